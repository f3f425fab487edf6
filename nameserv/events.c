/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Watches of clients and their events.
 *
 * What must hold: after the last change of a name, each watch on it that may see it sends at least
 * one more event. Events that wait are merged if they are equal, but for those of special names: each
 * tells of another domain. When those of a connection take more than
 * NS_EVENTS_MAX bytes they are all replaced by one for each of their watches, with the watch's own
 * path, which tells the client to look at everything below; the same is done for one watch when
 * memory ends, the daemon's or what its owner may have. So a client that never reads costs a bounded amount, and nobody waits for it.
 */
#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "nameserv/access_log.h"
#include "nameserv/connection.h"

/* ---- the queue ---- */

static int compare_events(const void *a, const void *b)
{
    const struct ns_event *x = a, *y = b;

    if (x->watch != y->watch)
        return x->watch < y->watch ? -1 : 1;
    return strcmp(x->path, y->path);
}

static bool is_own(const struct ns_event *event)
{
    return event == &event->watch->own;
}

static size_t event_bytes(const struct ns_event *event)
{
    return sizeof(*event) + event->path_size + 1;
}

/* It is memory of who does not read. */
static void count_event(struct ns_events *events, const struct ns_event *event, bool queued)
{
    struct ns_account *account = event->watch->connection->account;
    size_t bytes = event_bytes(event);

    events->bytes += queued ? bytes : -bytes;
    account->unread_bytes += queued ? bytes : -bytes;
}

static void drop_event(struct ns_events *events, struct ns_event *event)
{
    TAILQ_REMOVE(&events->queue, event, link);
    if (is_own(event)) {
        event->watch->own_queued = false;
        return;
    }
    if (!event->special)
        tdelete(event, &events->index, compare_events);
    count_event(events, event, false);
    free(event);
}

/* The event that waits stands for another change as well, which may have to wait longer: then it comes again
 * when that one's ticket is released. It is not made to wait itself, or somebody who goes on writing could
 * keep it back for ever. */
static void merge_event(struct ns_event *event, uint64_t ticket)
{
    event->watch->connection->server->counters.events_merged++;
    if (ticket > event->ticket)
        event->again = ticket;
}

static void queue_own(struct ns_events *events, struct ns_client_watch *watch, uint64_t ticket)
{
    if (watch->own_queued) {
        merge_event(&watch->own, ticket);
        return;
    }
    watch->own_queued = true;
    watch->own.ticket = ticket;
    watch->own.again = 0;
    TAILQ_INSERT_TAIL(&events->queue, &watch->own, link);
}

/* An event that is not queued yet; false without memory, or if its owner has too much already. */
static bool queue_new(struct ns_events *events, const struct ns_event *like)
{
    bool may = ns_account_has_room(like->watch->connection->account, event_bytes(like));
    struct ns_event *event = may ? malloc(event_bytes(like)) : NULL;

    if (event == NULL)
        return false;
    *event = *like;
    event->path = memcpy(event + 1, like->path, like->path_size + 1);
    if (!event->special && tsearch(event, &events->index, compare_events) == NULL) {
        free(event);
        return false;
    }
    TAILQ_INSERT_TAIL(&events->queue, event, link);
    count_event(events, event, true);
    return true;
}

/* Too much waits: one event for each watch that has any. */
static void collapse(struct ns_events *events)
{
    struct ns_event *event = TAILQ_FIRST(&events->queue);

    events->overflowed = true;
    while (event != NULL) {
        struct ns_event *next = TAILQ_NEXT(event, link);
        struct ns_client_watch *watch = event->watch;
        uint64_t ticket = event->again != 0 ? event->again : event->ticket;

        if (!is_own(event)) {
            drop_event(events, event);
            queue_own(events, watch, ticket);
        }
        event = next;
    }
}

static void queue_event(struct ns_client_watch *watch, const char *path, size_t path_size,
                        uint64_t ticket)
{
    struct ns_events *events = &watch->connection->events;
    struct ns_event event = {.watch = watch,
                             .path = path,
                             .path_size = path_size,
                             .special = path[0] == '@',
                             .ticket = ticket};
    struct ns_event **found = NULL;

    /* An event that the wire can't carry is told by the watch's own path, which fits. */
    bool fits = path_size + 1 + watch->token_size + 1 <= NS_WIRE_PAYLOAD_MAX;
    bool own = events->overflowed || !fits || (!event.special && strcmp(path, watch->text) == 0);

    if (!own && !event.special)
        found = tfind(&event, &events->index, compare_events);
    if (found != NULL)
        merge_event(*found, ticket);
    else if (own || !queue_new(events, &event))
        queue_own(events, watch, ticket);
    if (events->bytes > NS_EVENTS_MAX)
        collapse(events);
    ns_connection_ready(watch->connection);
}

/* The store's hook: path has changed. */
static void watch_fires(struct ns_watch *base, const char *path, size_t path_size)
{
    struct ns_client_watch *watch = (struct ns_client_watch *)base;
    size_t skip = watch->relative ? watch->connection->home_size : 0;

    queue_event(watch, path + skip, path_size - skip,
                ns_store_hold(watch->connection->server->store)->current);
}

bool ns_events_released(const struct ns_connection *connection)
{
    const struct ns_event *event = TAILQ_FIRST(&connection->events.queue);

    return event != NULL && event->ticket <= ns_store_hold(connection->server->store)->released;
}

/* It was moved: gone, or at the end of the queue for the other change that it stands for. */
static void event_told(struct ns_events *events, struct ns_event *event)
{
    if (event->again == 0) {
        drop_event(events, event);
        return;
    }
    event->ticket = event->again;
    event->again = 0;
    TAILQ_REMOVE(&events->queue, event, link);
    TAILQ_INSERT_TAIL(&events->queue, event, link);
}

static const char *token_of(const struct ns_client_watch *watch)
{
    return watch->text + watch->path_size + 1;
}

void ns_events_move(struct ns_connection *connection)
{
    struct ns_events *events = &connection->events;
    struct ns_event *event;

    while ((event = TAILQ_FIRST(&events->queue)) != NULL && ns_events_released(connection) &&
           ns_output_size(&connection->output) < NS_OUTPUT_FULL) {
        const struct ns_client_watch *watch = event->watch;
        char payload[NS_WIRE_PAYLOAD_MAX];
        struct ns_wire_header header = {.type = NS_WIRE_WATCH_EVENT};

        memcpy(payload, event->path, event->path_size + 1);
        memcpy(payload + event->path_size + 1, watch->text + watch->path_size + 1,
               watch->token_size + 1u);
        header.size = (uint32_t)(event->path_size + 1 + watch->token_size + 1);
        event_told(events, event);
        ns_access_log_event(connection->server->access_log, connection, payload, token_of(watch));
        ns_connection_send(connection, &header, payload);
        connection->server->counters.events++;
    }
    if (event == NULL)
        events->overflowed = false;
}

/* ---- watches ---- */

/* Both are of one connection, so what is relative lies below the same home. */
static int compare_relative(const struct ns_client_watch *relative, const char *absolute)
{
    const struct ns_connection *connection = relative->connection;
    int order = strncmp(connection->home, absolute, connection->home_size);

    return order != 0 ? order : strcmp(relative->text, absolute + connection->home_size);
}

/* By what their paths mean, however the client has written them. */
static int compare_watches(const void *a, const void *b)
{
    const struct ns_client_watch *x = a, *y = b;
    int order = x->relative == y->relative ? strcmp(x->text, y->text)
                : x->relative              ? compare_relative(x, y->text)
                                           : -compare_relative(y, x->text);

    return order != 0 ? order : strcmp(token_of(x), token_of(y));
}

static struct ns_client_watch *new_watch(struct ns_connection *connection, const char *path,
                                         const char *token)
{
    size_t path_size = strlen(path), token_size = strlen(token);
    struct ns_client_watch *watch = calloc(1, sizeof(*watch) + path_size + 1 + token_size + 1);

    if (watch == NULL)
        return NULL;
    memcpy(watch->text, path, path_size + 1);
    memcpy(watch->text + path_size + 1, token, token_size + 1);
    watch->path_size = (uint16_t)path_size;
    watch->token_size = (uint16_t)token_size;
    watch->relative = path[0] != '/' && path[0] != '@';
    watch->connection = connection;
    watch->own = (struct ns_event){.watch = watch, .path = watch->text, .path_size = path_size};
    watch->watch.fire = watch_fires;
    watch->watch.who = &connection->who;
    return watch;
}

size_t ns_events_watch_bytes(const struct ns_client_watch *watch)
{
    return sizeof(*watch) + watch->path_size + 1u + watch->token_size + 1u;
}

/* Enter it into the connection's index and the store. */
static int register_watch(struct ns_client_watch *watch, const char *absolute)
{
    struct ns_connection *connection = watch->connection;
    struct ns_client_watch **found = tsearch(watch, &connection->watch_index, compare_watches);
    int error;

    if (found == NULL)
        return -ENOMEM;
    if (*found != watch)
        return -EEXIST;
    error = ns_watch_add(connection->server->store, &watch->watch, absolute);
    if (error < 0)
        tdelete(watch, &connection->watch_index, compare_watches);
    return error;
}

static int add_watch(struct ns_connection *connection, const char *path, const char *absolute,
                     const char *token, unsigned levels, struct ns_client_watch **result)
{
    struct ns_client_watch *watch = new_watch(connection, path, token);
    int error;

    if (watch == NULL)
        return -ENOMEM;
    watch->watch.levels = levels;
    error = ns_account_has_room(connection->account, ns_events_watch_bytes(watch))
                ? register_watch(watch, absolute)
                : -ENOSPC;
    if (error < 0) {
        free(watch);
        return error;
    }
    LIST_INSERT_HEAD(&connection->watches, watch, link);
    connection->watch_count++;
    connection->account->watches++;
    connection->account->watch_bytes += ns_events_watch_bytes(watch);
    if (!connection->account->exempt)
        ns_quota_seen(ns_quotas_most(connection->server->store), NS_QUOTA_WATCHES,
                      connection->account->watches);
    *result = watch;
    return 0;
}

static bool may_watch(const struct ns_connection *connection)
{
    return connection->who.privileged ||
           (connection->watch_count < connection->server->watches_max &&
            ns_account_allows(connection->account, NS_QUOTA_WATCHES, connection->account->watches));
}

int ns_events_watch(struct ns_connection *connection, const char *path, const char *absolute,
                    const char *token, unsigned levels)
{
    struct ns_client_watch *watch;
    int error = may_watch(connection) ? add_watch(connection, path, absolute, token, levels, &watch)
                                      : -ENOSPC;

    if (error == 0)
        queue_event(watch, watch->text, watch->path_size, 0);
    return error;
}

int ns_events_take_watch(struct ns_connection *connection, const char *path, const char *absolute,
                         const char *token, unsigned levels)
{
    struct ns_client_watch *watch;

    return add_watch(connection, path, absolute, token, levels, &watch);
}

static void free_watch(struct ns_client_watch *watch)
{
    struct ns_connection *connection = watch->connection;

    ns_watch_remove(connection->server->store, &watch->watch);
    tdelete(watch, &connection->watch_index, compare_watches);
    LIST_REMOVE(watch, link);
    connection->watch_count--;
    connection->account->watches--;
    connection->account->watch_bytes -= ns_events_watch_bytes(watch);
    free(watch);
}

static void drop_events_of(struct ns_events *events, const struct ns_client_watch *watch)
{
    struct ns_event *event = TAILQ_FIRST(&events->queue);

    while (event != NULL) {
        struct ns_event *next = TAILQ_NEXT(event, link);

        if (event->watch == watch)
            drop_event(events, event);
        event = next;
    }
}

static int find_watch(struct ns_connection *connection, const char *path, const char *token,
                      struct ns_client_watch **result)
{
    struct ns_client_watch *key = new_watch(connection, path, token);
    struct ns_client_watch **found;

    if (key == NULL)
        return -ENOMEM;
    found = tfind(key, &connection->watch_index, compare_watches);
    free(key);
    if (found == NULL)
        return -ENOENT;
    *result = *found;
    return 0;
}

int ns_events_unwatch(struct ns_connection *connection, const char *path, const char *token)
{
    struct ns_client_watch *watch;
    int error = find_watch(connection, path, token, &watch);

    if (error != 0)
        return error;
    drop_events_of(&connection->events, watch);
    free_watch(watch);
    return 0;
}

int ns_events_take_event(struct ns_connection *connection, const char *path, const char *token,
                         const char *changed)
{
    struct ns_client_watch *watch;
    int error = find_watch(connection, path, token, &watch);

    if (error == 0)
        queue_event(watch, changed, strlen(changed), 0);
    return error;
}

static void drop_all_events(struct ns_events *events)
{
    struct ns_event *event, *next;

    for (event = TAILQ_FIRST(&events->queue); event != NULL; event = next) {
        next = TAILQ_NEXT(event, link);
        drop_event(events, event);
    }
    events->overflowed = false;
}

void ns_events_reset(struct ns_connection *connection)
{
    struct ns_client_watch *watch, *next;

    drop_all_events(&connection->events);
    for (watch = LIST_FIRST(&connection->watches); watch != NULL; watch = next) {
        next = LIST_NEXT(watch, link);
        free_watch(watch);
    }
}
