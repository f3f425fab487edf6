/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * For tests of the control socket: a store and its server in a thread of their own, on a socket in a
 * folder of their own, and raw messages to it.
 *
 * /slow is a computed mount whose reads are answered when somebody reads /slow/release: the order of
 * answers is the test's, not the clock's. /slow/guest/DOMID opens a connection of a domain; /slow/look looks at rings
 * as a loop that polls does.
 */
#ifndef KEDGE_TESTS_UNIT_NAMES_SERVER_H
#define KEDGE_TESTS_UNIT_NAMES_SERVER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "nameserv/connection.h"
#include "nameserv/domain.h"
#include "nameserv/stats.h"
#include "nameserv/wire.h"
#include "nameserv/xenstore.h"

enum { SLOW_MAX = 16 };

struct names_server {
    char folder[64];
    char path[128];
    struct ns_server_options options;
    pthread_t thread;
    sem_t started;
    struct ns_loop *loop;
    struct ns_store *store;
    struct ns_stats *stats;
    struct ns_server *server;
    struct ns_mount slow;
    struct ns_xenstore xenstore;
    struct ns_query *waiting[SLOW_MAX];
    size_t waiting_count;
    _Atomic size_t most_output,
        most_events;                    /* bytes that any connection had waiting after a round */
    _Atomic bool unmeasured;            /* leave that be: it takes a look at each connection */
    struct ns_server_counters counters; /* as they were at the end */
    struct ns_store_counters store_counters;
};

/* A connection of a domain, which must be introduced: answers with the test's end of it. */
static void slow_guest(struct names_server *names, struct ns_query *query, const char *number)
{
    struct ns_domain *domain = ns_domain_find(names->store, (uint32_t)atoi(number));
    int ends[2];

    assert_non_null(domain);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    assert_int_equal(ns_connection_accept(names->server, ends[0], &domain->who), 0);
    ns_query_printf(query, "%d", ends[1]);
}

static void slow_read(struct ns_mount *mount, struct ns_query *query)
{
    struct names_server *names =
        (struct names_server *)((char *)mount - offsetof(struct names_server, slow));

    if (strncmp(query->path, "/slow/guest/", 12) == 0) {
        slow_guest(names, query, query->path + 12);
        return;
    }
    if (strcmp(query->path, "/slow/look") == 0) {
        ns_server_look(names->server);
        ns_query_printf(query, "looked");
        return;
    }
    if (strcmp(query->path, "/slow/release") != 0) {
        assert_true(names->waiting_count < SLOW_MAX);
        names->waiting[names->waiting_count++] = query;
        return;
    }
    ns_query_printf(query, "%zu", names->waiting_count);
    while (names->waiting_count > 0) {
        struct ns_query *waiting = names->waiting[--names->waiting_count];

        if (strcmp(waiting->path, "/slow/refused") == 0)
            ns_query_refuse(waiting, EAGAIN, "lcore 3 lags behind");
        else
            ns_query_printf(waiting, "%s at last", waiting->path);
    }
}

static void slow_list(struct ns_mount *mount, struct ns_query *query)
{
    char names[9000];
    size_t size = 0;

    (void)mount;
    for (int i = 0; i < 1000; i++)
        size += (size_t)sprintf(names + size, "n%04d", i) + 1;
    ns_query_answer(query, 0, names, size);
}

/* /stats/store, as far as tests ask for it. */
static void store_read(struct ns_query *query, const char *below, void *arg)
{
    struct names_server *names = arg;
    struct ns_store_counters counters;

    ns_store_counters(names->store, &counters);
    if (strcmp(below, "version") == 0)
        ns_query_printf(query, "%" PRIu64, ns_store_version(names->store)->number);
    else if (strcmp(below, "pool_bytes") == 0)
        ns_query_printf(query, "%" PRIu64, counters.pool_bytes);
    else if (strcmp(below, "waiting_bytes") == 0)
        ns_query_printf(query, "%" PRIu64, counters.waiting_bytes);
    else if (strcmp(below, "transactions_open") == 0)
        ns_query_printf(query, "%" PRIu64, counters.transactions_open);
    else if (strcmp(below, "commits") == 0)
        ns_query_printf(query, "%" PRIu64, counters.commits);
    else if (strcmp(below, "publications") == 0)
        ns_query_printf(query, "%" PRIu64, counters.publications);
    else if (strcmp(below, "anchors") == 0)
        ns_query_printf(query, "%" PRIu64, counters.anchors);
    else
        ns_query_refuse(query, ENOENT, "no such name");
}

static uint64_t names_server_round(void *arg)
{
    struct names_server *names = arg;
    const struct ns_connection *connection;

    LIST_FOREACH (connection, &names->server->connections, link) {
        if (names->unmeasured)
            break;
        if (ns_output_size(&connection->output) > names->most_output)
            names->most_output = ns_output_size(&connection->output);
        if (connection->events.bytes > names->most_events)
            names->most_events = connection->events.bytes;
    }
    return ns_store_housekeep(names->store) ? 0 : UINT64_MAX;
}

static void *names_server_thread(void *arg)
{
    static const struct ns_mount_ops slow_ops = {
        .name = "slow", .computed = true, .read = slow_read, .list = slow_list};
    struct names_server *names = arg;
    struct ns_store_options options = {.lcores = 0};
    struct ns_reason reason = {.text = ""};

    assert_int_equal(ns_store_new(&options, &names->store), 0);
    names->loop = ns_loop_new();
    assert_non_null(names->loop);
    assert_int_equal(ns_stats_new(names->store, &names->stats), 0);
    assert_int_equal(ns_stats_add(names->stats, "store", store_read, NULL, names), 0);
    assert_int_equal(ns_mount_add(names->store, &names->slow, "/slow", &slow_ops), 0);
    assert_int_equal(ns_xenstore_add(names->store, &names->xenstore), 0);
    names->options.path = names->path;
    names->options.stats = names->stats;
    assert_int_equal(
        ns_server_new(names->store, names->loop, &names->options, &reason, &names->server), 0);
    sem_post(&names->started);
    ns_loop_hook(names->loop, names_server_round, names);
    ns_loop_run(names->loop);

    ns_server_counters(names->server, &names->counters);
    ns_server_free(names->server);
    while (names->waiting_count > 0)
        ns_query_answer(names->waiting[--names->waiting_count], 0, "too late", 8);
    ns_store_drain(names->store);
    ns_store_counters(names->store, &names->store_counters);
    ns_stats_free(names->stats);
    ns_store_free(names->store);
    return NULL;
}

static inline void names_server_start(struct names_server *names,
                                      const struct ns_server_options *options)
{
    memset(names, 0, sizeof(*names));
    if (options != NULL)
        names->options = *options;
    strcpy(names->folder, "/tmp/kedge-test-XXXXXX");
    assert_non_null(mkdtemp(names->folder));
    assert_int_equal(chmod(names->folder, 0755), 0);
    snprintf(names->path, sizeof(names->path), "%s/sock", names->folder);
    sem_init(&names->started, 0, 0);
    assert_int_equal(pthread_create(&names->thread, NULL, names_server_thread, names), 0);
    sem_wait(&names->started);
}

/* Also checks that nothing is left: no socket, no lock file, no open transaction. */
static inline void names_server_stop(struct names_server *names)
{
    ns_loop_stop(names->loop);
    pthread_join(names->thread, NULL);
    ns_loop_free(names->loop); /* not before we are through with stopping it */
    sem_destroy(&names->started);
    assert_int_equal(rmdir(names->folder), 0);
    assert_int_equal(names->store_counters.transactions_open, 0);
}

/* ---- raw messages ---- */

struct message {
    struct ns_wire_header header;
    char payload[NS_WIRE_PAYLOAD_MAX + 1]; /* NUL-terminated */
};

static inline int raw_connect(const struct names_server *names)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    strcpy(address.sun_path, names->path);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static inline void raw_bytes(int fd, const void *bytes, size_t size)
{
    assert_int_equal(send(fd, bytes, size, MSG_NOSIGNAL), size);
}

static inline size_t raw_format(char *buffer, uint32_t type, uint32_t tx, uint32_t request,
                                const void *payload, size_t size)
{
    struct ns_wire_header header = {type, request, tx, (uint32_t)size};

    memcpy(buffer, &header, sizeof(header));
    if (size > 0)
        memcpy(buffer + sizeof(header), payload, size);
    return sizeof(header) + size;
}

static inline void raw_send(int fd, uint32_t type, uint32_t tx, uint32_t request,
                            const void *payload, size_t size)
{
    char buffer[NS_WIRE_MESSAGE_MAX];

    raw_bytes(fd, buffer, raw_format(buffer, type, tx, request, payload, size));
}

/* Receive bytes; false at the end of the connection. */
static inline bool raw_take(int fd, void *bytes, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t got = recv(fd, (char *)bytes + done, size - done, 0);

        if (got <= 0)
            return false;
        done += (size_t)got;
    }
    return true;
}

static inline void raw_receive(int fd, struct message *message)
{
    assert_true(raw_take(fd, &message->header, sizeof(message->header)));
    assert_true(message->header.size <= NS_WIRE_PAYLOAD_MAX);
    assert_true(raw_take(fd, message->payload, message->header.size));
    message->payload[message->header.size] = '\0';
}

/* One request, and its reply (events that come before it are not expected). payload is a literal, whose
 * last NUL is not sent. */
static inline void raw_ask(int fd, uint32_t type, uint32_t tx, const void *payload, size_t size,
                           struct message *reply)
{
    static uint32_t request;

    raw_send(fd, type, tx, ++request, payload, size);
    raw_receive(fd, reply);
    assert_int_equal(reply->header.request, request);
    assert_int_equal(reply->header.tx, tx);
    assert_true(reply->header.type == type || reply->header.type == NS_WIRE_ERROR);
}

static inline void expect_bytes(const struct message *message, uint32_t type, const void *bytes,
                                size_t size)
{
    if (message->header.type != type)
        print_message("type %u: %s\n", message->header.type, message->payload);
    assert_int_equal(message->header.type, type);
    assert_int_equal(message->header.size, size);
    assert_memory_equal(message->payload, bytes, size);
}

/* Ask and expect this reply; both are literals. */
#define EXPECT(fd, type, tx, payload, answer)                         \
    do {                                                              \
        struct message reply_;                                        \
        raw_ask(fd, type, tx, payload, sizeof(payload) - 1, &reply_); \
        expect_bytes(&reply_, type, answer, sizeof(answer) - 1);      \
    } while (0)
#define EXPECT_OK(fd, type, tx, payload) EXPECT(fd, type, tx, payload, "OK\0")
/* Ask and expect this error. */
#define EXPECT_ERROR(fd, type, tx, payload, name)                      \
    do {                                                               \
        struct message reply_;                                         \
        raw_ask(fd, type, tx, payload, sizeof(payload) - 1, &reply_);  \
        expect_bytes(&reply_, NS_WIRE_ERROR, name "\0", sizeof(name)); \
    } while (0)
/* The next message is this event. */
#define EXPECT_EVENT(fd, payload)                                                 \
    do {                                                                          \
        struct message event_;                                                    \
        raw_receive(fd, &event_);                                                 \
        expect_bytes(&event_, NS_WIRE_WATCH_EVENT, payload, sizeof(payload) - 1); \
        assert_int_equal(event_.header.request | event_.header.tx, 0);            \
    } while (0)

static inline uint32_t raw_begin(int fd)
{
    struct message reply;

    raw_ask(fd, NS_WIRE_TRANSACTION_START, 0, "", 1, &reply);
    assert_int_equal(reply.header.type, NS_WIRE_TRANSACTION_START);
    return (uint32_t)strtoul(reply.payload, NULL, 10);
}

/* Introduce a domain, and connect as it. */
static inline int raw_guest(int fd, unsigned domid)
{
    struct message reply;
    char payload[64];
    int size = snprintf(payload, sizeof(payload), "%u%c1%c1", domid, 0, 0);

    raw_ask(fd, NS_WIRE_INTRODUCE, 0, payload, (size_t)size + 1, &reply);
    assert_int_equal(reply.header.type, NS_WIRE_INTRODUCE);
    size = snprintf(payload, sizeof(payload), "/slow/guest/%u", domid);
    raw_ask(fd, NS_WIRE_READ, 0, payload, (size_t)size + 1, &reply);
    assert_int_equal(reply.header.type, NS_WIRE_READ);
    return atoi(reply.payload);
}

static inline bool raw_closed(int fd)
{
    char byte;

    return !raw_take(fd, &byte, 1);
}

#endif
