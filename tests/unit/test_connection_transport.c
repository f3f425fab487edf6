/* SPDX-License-Identifier: BSD-3-Clause */
/* What a connection asks of its transport: steps in an order that a real one takes only now and then. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <sys/epoll.h>

#include "nameserv/account.h"
#include "nameserv/connection.h"
#include "tests/unit/fake_loop.h"

enum { DOMID = 7 };

static struct ns_server server;
static struct ns_connection *connection;
static unsigned incoming, together, replies, wanted; /* requests, replies, calls of want() */

/* So many requests at once. */
static ssize_t take(struct ns_connection *from, void *bytes, size_t room)
{
    static const struct ns_wire_header header = {.type = NS_WIRE_GET_DOMAIN_PATH, .size = 2};
    const size_t each = sizeof(header) + 2;
    unsigned count = incoming < together ? incoming : together;

    (void)from;
    assert_true(room >= count * each);
    for (unsigned i = 0; i < count; i++) {
        memcpy((char *)bytes + i * each, &header, sizeof(header));
        memcpy((char *)bytes + i * each + sizeof(header), "3", 2);
    }
    incoming -= count;
    return count == 0 ? -EAGAIN : (ssize_t)(count * each);
}

static ssize_t put(struct ns_connection *to, const void *bytes, size_t size)
{
    (void)to, (void)bytes;
    replies++;
    return (ssize_t)size;
}

static int want(struct ns_connection *from, uint32_t events)
{
    (void)from;
    wanted += (events & EPOLLIN) != 0;
    return 0;
}

static void close_nothing(struct ns_connection *from)
{
    (void)from;
}

static const struct ns_transport transport = {take, put, want, close_nothing, NULL};

static void nothing(struct ns_timer *timer)
{
    (void)timer;
}

static int setup(void **state)
{
    static const struct ns_identity who = {.kind = NS_DOMAIN, .domain = {DOMID, 0}};
    struct ns_store_options options = {.lcores = 0};

    (void)state;
    memset(&server, 0, sizeof(server));
    incoming = replies = wanted = 0;
    together = 1;
    server.loop = ns_loop_new();
    server.flush.fn = nothing;
    TAILQ_INIT(&server.ready);
    assert_int_equal(ns_store_new(&options, &server.store), 0);
    assert_int_equal(ns_turns_start(&server), 0);
    connection = ns_connection_new(&server, &transport, &who);
    assert_non_null(connection);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    ns_connection_close(connection);
    ns_turns_stop(&server);
    ns_timer_stop(server.loop, &server.flush);
    ns_store_free(server.store);
    ns_loop_free(server.loop);
    return 0;
}

/* A request that is announced while the reply before it is still to be sent: who announces it does so once. */
static void what_was_announced_too_early_is_asked_for_again(void **state)
{
    (void)state;
    ns_quota_set(server.store, &ns_authority_xenstore, connection->account, NS_QUOTA_OUTSTANDING,
                 1);
    incoming = 2;
    ns_connection_event(connection, EPOLLIN);
    ns_connection_event(connection, EPOLLIN);
    assert_int_equal(incoming, 1);
    ns_connection_serve_ready(&server);
    assert_int_equal(replies, 1);
    assert_int_equal(wanted, 1);
    ns_connection_event(connection, EPOLLIN | EPOLLOUT);
    ns_connection_serve_ready(&server);
    assert_int_equal(incoming, 0);
    assert_int_equal(replies, 2);
    assert_int_equal(wanted, 1); /* nothing was missed this time */
}

/* Requests that cost much, sent all at once, are run a few in a round. */
static void others_have_their_turn_in_between(void **state)
{
    enum { ALL = 100 };
    unsigned rounds = 0;

    (void)state;
    ns_quota_set(server.store, &ns_authority_xenstore, connection->account, NS_QUOTA_OUTSTANDING,
                 0);
    server.loop->now = 0; /* so each round has taken very long */
    incoming = together = ALL;
    ns_connection_event(connection, EPOLLIN);
    while (server.counters.requests < ALL) {
        uint64_t before = server.counters.requests;

        ns_connection_serve_ready(&server);
        assert_in_range(server.counters.requests - before, 1, 8);
        rounds++;
    }
    assert_in_range(rounds, ALL / 8 - 1, ALL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(others_have_their_turn_in_between, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_announced_too_early_is_asked_for_again, setup,
                                        teardown),
    };

    return cmocka_run_group_tests_name("connection_transport", tests, NULL, NULL);
}
