/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A client's connection: bytes in, bytes out, and when to stop reading.
 */
#include "nameserv/operations.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "nameserv/access_log.h"
#include "nameserv/clock.h"

/* An output buffer that has become empty is kept up to this size. */
enum { KEPT_ROOM = 4096 };

enum { REQUESTS_A_LOOK = 8 };
#define ROUND_TIME UINT64_C(2000000) /* ns from which on nobody goes on before the others */

/* ---- output ---- */

static bool output_reserve(struct ns_output *output, size_t more)
{
    size_t size = ns_output_size(output), room = output->room > 0 ? output->room : 256;
    char *bytes;

    if (output->room - output->end >= more)
        return true;
    if (output->start > 0)
        memmove(output->bytes, output->bytes + output->start, size);
    output->start = 0;
    output->end = size;
    while (room - size < more)
        room *= 2;
    if (room == output->room)
        return true;
    bytes = realloc(output->bytes, room);
    if (bytes == NULL)
        return false;
    output->bytes = bytes;
    output->room = room;
    return true;
}

static void output_sent(struct ns_connection *connection, size_t size)
{
    struct ns_output *output = &connection->output;

    connection->account->unread_bytes -= size;
    output->start += size;
    output->sent += size;
    if (output->start < output->end)
        return;
    output->start = output->end = 0;
    if (output->room > KEPT_ROOM) {
        free(output->bytes);
        output->bytes = NULL;
        output->room = 0;
    }
}

/* Without room for another mark the last one's bytes wait for the newer ticket, too. */
void ns_connection_hold(struct ns_connection *connection, uint64_t ticket)
{
    struct ns_held *last = &connection->held[connection->held_count];

    if (connection->held_count == NS_HELD_MAX ||
        (connection->held_count > 0 && last[-1].ticket == ticket)) {
        last[-1].ticket = ticket;
        return;
    }
    *last = (struct ns_held){connection->output.sent + ns_output_size(&connection->output), ticket};
    connection->held_count++;
}

/* How much of the output may be sent. */
static size_t sendable(struct ns_connection *connection)
{
    uint64_t released = ns_store_hold(connection->server->store)->released;
    unsigned over = 0;

    while (over < connection->held_count && connection->held[over].ticket <= released)
        over++;
    connection->held_count -= over;
    if (over > 0)
        memmove(connection->held, connection->held + over,
                connection->held_count * sizeof(connection->held[0]));
    if (connection->held_count == 0)
        return ns_output_size(&connection->output);
    return (size_t)(connection->held[0].position - connection->output.sent);
}

void ns_connection_send(struct ns_connection *connection, const struct ns_wire_header *header,
                        const void *payload)
{
    struct ns_output *output = &connection->output;

    ns_connection_ready(connection);
    if (!output_reserve(output, sizeof(*header) + header->size)) {
        connection->broken = true;
        return;
    }
    memcpy(output->bytes + output->end, header, sizeof(*header));
    if (header->size > 0)
        memcpy(output->bytes + output->end + sizeof(*header), payload, header->size);
    output->end += sizeof(*header) + header->size;
    connection->account->unread_bytes += sizeof(*header) + header->size;
}

static void write_output(struct ns_connection *connection)
{
    struct ns_output *output = &connection->output;
    size_t size = sendable(connection);
    ssize_t sent;

    ns_store_publish(connection->server->store); /* before anybody is told of it */
    if (size == 0)
        return;
    sent = connection->transport->send(connection, output->bytes + output->start, size);
    connection->server->counters.writes++;
    if (sent >= 0)
        output_sent(connection, (size_t)sent);
    else if (sent != -EAGAIN)
        connection->broken = true;
    if (ns_output_size(output) == 0)
        connection->unsent = 0;
}

/* ---- input ---- */

/* Whoever has too much can still do one thing at a time, and take its answer: remove names, for example. */
static bool has_room(const struct ns_connection *connection)
{
    return ns_output_size(&connection->output) == 0 || ns_account_has_room(connection->account, 0);
}

/* May the next request be run? */
static bool accepts(const struct ns_connection *connection)
{
    return !connection->broken && !connection->blocked && !connection->turn.held &&
           connection->request == NULL && ns_output_size(&connection->output) < NS_OUTPUT_FULL &&
           ns_account_allows(connection->account, NS_QUOTA_OUTSTANDING, connection->unsent) &&
           has_room(connection);
}

static bool must_wait(const struct ns_connection *connection, const struct ns_wire_header *header)
{
    const struct ns_server *server = connection->server;

    if (server->updating && header->type == NS_WIRE_TRANSACTION_START && connection->txn_count == 0)
        return true;
    return ns_store_hold(server->store)->stalled && ns_operation_commits(header->type);
}

/* Others want their turn: a round has taken long enough, and this connection has had part of it. The clock is looked
 * at now and then, as most requests cost little more than that. */
static bool is_others_turn(const struct ns_connection *connection, unsigned run)
{
    return run % REQUESTS_A_LOOK == 0 &&
           ns_clock_monotonic() - ns_loop_now(connection->server->loop) > ROUND_TIME;
}

/* Run the messages that are there whole; returns how many bytes they took. Events that wait go first:
 * either they all fit, or the output is full and nothing is run, so no reply overtakes them. */
static size_t run_messages(struct ns_connection *connection, const char *bytes, size_t size)
{
    struct ns_wire_header header;
    unsigned run = 0;
    size_t used = 0;

    ns_store_gather(connection->server->store, true);
    ns_events_move(connection);
    while (accepts(connection)) {
        int taken = ns_wire_next(bytes + used, size - used, &header);

        if (taken < 0)
            connection->broken = connection->malformed = true; /* where is the next header? */
        if (taken <= 0)
            break;
        connection->blocked = must_wait(connection, &header);
        if (connection->blocked)
            break;
        if (!ns_operation_run(connection, &header, bytes + used + NS_WIRE_HEADER_SIZE))
            break;
        ns_events_move(connection);
        used += (size_t)taken;
        if (is_others_turn(connection, ++run))
            break;
    }
    ns_store_gather(connection->server->store, false);
    return used;
}

/* Keep what has not been run. */
static void keep_rest(struct ns_connection *connection, const char *bytes, size_t size)
{
    char *rest = size > 0 ? malloc(size) : NULL;

    if (size > 0 && rest == NULL)
        connection->broken = true;
    else if (size > 0)
        memcpy(rest, bytes, size);
    free(connection->rest);
    connection->rest = rest;
    connection->rest_size = rest != NULL ? size : 0;
}

/* Run from the shared buffer, which begins with what was kept. */
static void run_input(struct ns_connection *connection, size_t size)
{
    size_t used = run_messages(connection, connection->server->input, size);

    if (used > 0 || size != connection->rest_size)
        keep_rest(connection, connection->server->input + used, size - used);
}

static bool has_whole_message(const struct ns_connection *connection)
{
    struct ns_wire_header header;

    return ns_wire_next(connection->rest, connection->rest_size, &header) != 0;
}

static void receive(struct ns_connection *connection)
{
    struct ns_server *server = connection->server;
    size_t kept = connection->rest_size;
    ssize_t size;

    if (kept > 0)
        memcpy(server->input, connection->rest, kept);
    size = connection->transport->receive(connection, server->input + kept, NS_INPUT_SIZE - kept);
    server->counters.reads++;
    if (size > 0)
        run_input(connection, kept + (size_t)size);
    else if (size == 0)
        connection->ended = true;
    else if (size != -EAGAIN)
        connection->broken = true;
}

/* ---- turns ---- */

void ns_connection_ready(struct ns_connection *connection)
{
    if (connection->ready)
        return;
    connection->ready = true;
    TAILQ_INSERT_TAIL(&connection->server->ready, connection, ready_link);
    connection->server->ready_count++;
    ns_timer_start(connection->server->loop, &connection->server->flush, 0);
}

void ns_connection_event(struct ns_connection *connection, uint32_t events)
{
    bool announced = (events & ~(uint32_t)EPOLLOUT) != 0; /* bytes, or their end */

    if ((events & (EPOLLHUP | EPOLLERR)) != 0 && (connection->interest & EPOLLIN) == 0)
        connection->broken = true; /* nobody is left to read the answer */
    else if (announced && accepts(connection) && !has_whole_message(connection))
        receive(connection);
    else
        connection->missed |= announced;
    ns_connection_ready(connection);
}

/* Nothing more will come and nothing more is to be sent. */
static bool is_over(const struct ns_connection *connection)
{
    return connection->broken ||
           (connection->ended && connection->request == NULL && !has_whole_message(connection) &&
            ns_output_size(&connection->output) == 0);
}

static void update_interest(struct ns_connection *connection)
{
    uint32_t interest = 0;

    if (accepts(connection) && !connection->ended && !has_whole_message(connection))
        interest |= EPOLLIN;
    if (sendable(connection) > 0)
        interest |= EPOLLOUT;
    if (interest == connection->interest && !(connection->missed && (interest & EPOLLIN) != 0))
        return;
    connection->missed = false;
    if (connection->transport->want(connection, interest) < 0)
        connection->broken = true;
    connection->interest = interest;
}

static void wait_for_tickets(struct ns_connection *connection)
{
    if (connection->waits || (connection->held_count == 0 && !connection->blocked &&
                              (!ns_events_waiting(connection) || ns_events_released(connection))))
        return;
    connection->waits = true;
    LIST_INSERT_HEAD(&connection->server->waiting, connection, waiting_link);
}

void ns_connection_released(void *arg)
{
    struct ns_server *server = arg;
    struct ns_connection *connection;

    while ((connection = LIST_FIRST(&server->waiting)) != NULL) {
        LIST_REMOVE(connection, waiting_link);
        connection->waits = connection->blocked = false;
        ns_connection_ready(connection);
    }
}

static void serve(struct ns_connection *connection)
{
    if (connection->rest_size > 0 && accepts(connection) && has_whole_message(connection)) {
        memcpy(connection->server->input, connection->rest, connection->rest_size);
        run_input(connection, connection->rest_size);
    }
    ns_events_move(connection);
    write_output(connection);
    if (connection->transport->turned != NULL)
        connection->transport->turned(connection);
    ns_account_look(connection->server->store, connection->account);
    if (!is_over(connection))
        update_interest(connection);
    if (is_over(connection)) {
        ns_connection_close(connection);
        return;
    }
    wait_for_tickets(connection);
    /* What was held back for lack of room goes on in the next round. */
    if (ns_output_size(&connection->output) == 0 &&
        (ns_events_released(connection) || (accepts(connection) && has_whole_message(connection))))
        ns_connection_ready(connection);
}

static void not_ready(struct ns_connection *connection)
{
    if (!connection->ready)
        return;
    connection->ready = false;
    TAILQ_REMOVE(&connection->server->ready, connection, ready_link);
    connection->server->ready_count--; /* NOLINT: who is ready is not closed */
}

void ns_connection_serve_ready(struct ns_server *server)
{
    struct ns_connection *connection;

    /* Those that become ready meanwhile have their turn in the next round, apart from as many as were
     * closed by others (RELEASE of a domain). */
    for (size_t turns = server->ready_count;
         turns > 0 && (connection = TAILQ_FIRST(&server->ready)) != NULL; turns--) {
        not_ready(connection); /* NOLINT: serve() takes those that it closes out of the list */
        serve(connection);
    }
}

/* ---- life ---- */

struct ns_connection *ns_connection_new(struct ns_server *server,
                                        const struct ns_transport *transport,
                                        const struct ns_identity *who)
{
    struct ns_account *account = ns_account_of(server->store, who);
    struct ns_connection *connection = account != NULL ? calloc(1, sizeof(*connection)) : NULL;

    if (connection == NULL)
        return NULL;
    connection->account = account;
    connection->transport = transport;
    connection->interest = EPOLLIN;
    connection->server = server;
    connection->references = 1;
    connection->who = *who;
    connection->home_size = (uint8_t)sprintf(connection->home, NS_WIRE_HOME "%u/",
                                             who->kind == NS_DOMAIN ? who->domain.domid : 0);
    TAILQ_INIT(&connection->events.queue);
    LIST_INSERT_HEAD(&server->connections, connection, link);
    server->counters.connections++;
    connection->number = ++server->counters.connections_total;
    server->unprivileged += !who->privileged;
    account->connections++;
    ns_access_log_client(server->access_log, connection, true);
    return connection;
}

void ns_connection_put(struct ns_connection *connection)
{
    if (--connection->references > 0)
        return;
    free(connection->error);
    free(connection);
}

void ns_connection_close(struct ns_connection *connection)
{
    struct ns_server *server = connection->server;

    ns_access_log_client(server->access_log, connection, false);
    connection->transport->close(connection);
    ns_operations_reset(connection);
    not_ready(connection);
    ns_attached_rings_leave(connection);
    if (connection->waits)
        LIST_REMOVE(connection, waiting_link);
    LIST_REMOVE(connection, link);
    server->counters.connections--;
    server->unprivileged -= !connection->who.privileged;
    connection->account->connections--;
    connection->account->unread_bytes -= ns_output_size(&connection->output);
    free(connection->rest);
    free(connection->output.bytes);
    connection->server = NULL;
    ns_connection_put(connection);
}
