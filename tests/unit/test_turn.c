/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Turns of transactions that have lost: who is held back, for how long, and that nobody can make more of it.
 * Time stands still but for fake_loop_advance(); the same with real clients is in test_txn.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "nameserv/connection.h"
#include "tests/unit/fake_loop.h"

enum { CLIENTS = 32 };

static struct ns_server server;
static struct ns_connection clients[CLIENTS];
static int client_count;

static void nothing(struct ns_timer *timer)
{
    (void)timer;
}

static int setup(void **state)
{
    struct ns_store_options options = {.lcores = 0};

    (void)state;
    memset(&server, 0, sizeof(server));
    memset(clients, 0, sizeof(clients));
    client_count = 0;
    server.loop = ns_loop_new();
    server.flush.fn = nothing;
    TAILQ_INIT(&server.ready);
    assert_int_equal(ns_store_new(&options, &server.store), 0);
    return ns_turns_start(&server);
}

static int teardown(void **state)
{
    (void)state;
    for (int i = 0; i < client_count; i++)
        ns_turn_reset(&clients[i]);
    ns_turns_stop(&server);
    ns_store_free(server.store);
    ns_loop_free(server.loop);
    return 0;
}

static struct ns_connection *client(uint32_t uid)
{
    struct ns_connection *connection = &clients[client_count++];

    assert_true(client_count <= CLIENTS);
    connection->server = &server;
    connection->who = (struct ns_identity){.privileged = uid == 0, .uid = uid};
    return connection;
}

static void put(const char *path)
{
    assert_int_equal(ns_store_put(server.store, path, ""), 0);
}

static void loses(struct ns_connection *connection, const char *path, unsigned what)
{
    ns_turn_lost(path, strlen(path), what, connection);
}

enum { READ = 1, LIST = 4 }; /* as in store_p.h: what was observed */

/* Its next transaction starts, after it has lost by reading the name; true: at once. */
static bool starts(struct ns_connection *connection, const char *path, uint32_t txn)
{
    loses(connection, path, READ);
    if (!ns_turn_begin(connection))
        return false;
    ns_turn_started(connection, txn);
    return true;
}

enum act { WRITE, REMOVE, SET_PERMS };

/* May it make this change now? What it asks for by itself: the permissions are not the question here. */
static bool may(struct ns_connection *connection, enum act act, const char *path)
{
    static const struct ns_perm all = {0, NS_PERM_BOTH, 0};
    struct ns_txn *txn;
    bool allowed;

    if (connection->turn.held)
        return false;
    assert_int_equal(ns_txn_begin(server.store, &ns_identity_stack, &txn), 0);
    assert_int_equal(act == WRITE    ? ns_txn_write(txn, path, "v", 1)
                     : act == REMOVE ? ns_txn_remove(txn, path)
                                     : ns_txn_set_perms(txn, path, &all, 1),
                     0);
    allowed = ns_turn_allows(connection, txn);
    ns_txn_abort(txn);
    assert_int_equal(connection->turn.held, !allowed);
    return allowed;
}

/* ---- who is held back ---- */

static void writers_of_its_names_wait_for_the_end(void **state)
{
    struct ns_connection *loser = client(0), *writer = client(0), *elsewhere = client(0);

    (void)state;
    put("/hot");
    assert_true(ns_turn_begin(loser)); /* it has not lost: no turn */
    assert_true(may(writer, WRITE, "/hot"));
    assert_true(starts(loser, "/hot", 7));
    assert_false(may(writer, WRITE, "/hot"));
    assert_true(may(elsewhere, WRITE, "/other"));
    assert_true(may(elsewhere, WRITE, "/hot/below"));
    assert_true(may(loser, WRITE, "/hot"));
    ns_turn_ended(loser, 6, true); /* another one of its */
    assert_true(writer->turn.held);
    ns_turn_ended(loser, 7, true);
    assert_false(writer->turn.held);
    assert_true(writer->ready);
    assert_true(may(writer, WRITE, "/hot"));
    assert_true(ns_turn_begin(loser)); /* it has won */
    assert_true(may(writer, WRITE, "/hot"));
    assert_int_equal(server.counters.turns, 1);
    assert_int_equal(server.counters.held, 1);
}

static const struct {
    const char *seen;
    unsigned what;
    enum act act;
    const char *path;
    bool allowed;
} kinds[] = {
    {"/d", READ, WRITE, "/d", false},
    {"/d", READ, WRITE, "/dx", true},
    {"/d/x", READ, WRITE, "/d", true},
    {"/d/x", READ, REMOVE, "/d", false},
    {"/d/x", READ, SET_PERMS, "/d", false},
    {"/d/none", READ, WRITE, "/d/none/below", false},
    {"/d/none", READ, WRITE, "/d/other", true},
    {"/d", READ, WRITE, "/d/new", true},
    {"/d", LIST, WRITE, "/d/new", false},
    {"/d", LIST, WRITE, "/d/new/below", false},
    {"/d", LIST, WRITE, "/d/x", true},
    {"/d", LIST, WRITE, "/d/x/new", true},
    {"/d", LIST, REMOVE, "/d/x", false},
    {"/d", LIST, REMOVE, "/d/x/y", true},
    {"/", LIST, WRITE, "/new", false},
    {"/", LIST, WRITE, "/d/x", true},
    {"/", READ, WRITE, "/", false},
};

static void which_changes_are_held_back(void **state)
{
    struct ns_connection *loser = client(0);

    (void)state;
    put("/d/x/y");
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        struct ns_connection *writer = client(0);

        loses(loser, kinds[i].seen, kinds[i].what);
        assert_true(ns_turn_begin(loser));
        ns_turn_started(loser, 1);
        if (may(writer, kinds[i].act, kinds[i].path) != kinds[i].allowed)
            fail_msg("row %zu: %s", i, kinds[i].path);
        ns_turn_ended(loser, 1, true);
        fake_loop_advance(server.loop, FAKE_MS);
    }
}

static void nobody_holds_back_the_more_privileged(void **state)
{
    struct ns_connection *root = client(0), *alice = client(1000), *bob = client(1001),
                         *loser = client(0);

    (void)state;
    assert_true(starts(alice, "/hot", 1));
    assert_true(may(root, WRITE, "/hot"));
    assert_false(may(bob, WRITE, "/hot"));
    assert_true(starts(loser, "/hot", 1)); /* does not wait for alice's turn either */
    assert_false(may(root, WRITE, "/hot"));
    assert_false(may(alice, WRITE, "/hot"));
    ns_turn_ended(alice, 1, false);
    assert_false(may(bob, WRITE, "/hot"));
}

/* ---- for how long ---- */

static void a_turn_ends_by_itself(void **state)
{
    struct ns_connection *loser = client(0), *writer = client(0);

    (void)state;
    assert_true(starts(loser, "/hot", 1));
    fake_loop_advance(server.loop, 5 * FAKE_MS);
    assert_false(may(writer, WRITE, "/hot"));
    fake_loop_advance(server.loop, NS_TURN_TIME - 5 * FAKE_MS);
    assert_true(may(writer, WRITE, "/hot"));
    assert_int_equal(server.counters.turns_expired, 1);
    ns_turn_ended(loser, 1, false); /* late, and of no consequence */
}

static void a_turn_ends_with_its_connection(void **state)
{
    struct ns_connection *loser = client(0), *writer = client(0), *next = client(0);

    (void)state;
    assert_true(starts(loser, "/hot", 1));
    assert_false(may(writer, WRITE, "/hot"));
    assert_false(starts(next, "/hot", 1));
    ns_turn_reset(next);
    assert_false(next->turn.held);
    ns_turn_reset(loser);
    assert_true(may(writer, WRITE, "/hot"));
}

/* Attackers that ask for turn after turn and use each to the end, against one writer. */
static void held_back_is_a_quarter_at_most(int attackers)
{
    struct ns_connection *writer = client(5), *attacker[8];
    uint64_t held = 0, all = 0;

    for (int i = 0; i < attackers; i++)
        attacker[i] = client(1000 + (uint32_t)i);
    while (all < 10 * FAKE_SECOND) {
        for (int i = 0; i < attackers; i++)
            if (!attacker[i]->turn.held)
                starts(attacker[i], "/hot", 1);
        held += may(writer, WRITE, "/hot") ? 0 : FAKE_MS / 4;
        all += FAKE_MS / 4;
        fake_loop_advance(server.loop, FAKE_MS / 4);
    }
    assert_true(held <= all / (1 + NS_TURN_PAUSE) + all / 50);
    assert_true(held >= all / 10); /* they did try */
}

static void one_attacker_has_a_quarter_at_most(void **state)
{
    (void)state;
    held_back_is_a_quarter_at_most(1);
}

static void eight_attackers_have_no_more(void **state)
{
    (void)state;
    held_back_is_a_quarter_at_most(8);
}

static void without_anybody_held_back_turns_follow_each_other(void **state)
{
    struct ns_connection *one = client(0), *two = client(0);

    (void)state;
    assert_true(starts(one, "/hot", 1));
    assert_false(starts(two, "/hot", 1));
    fake_loop_advance(server.loop, FAKE_MS);
    ns_turn_ended(one, 1, true);
    assert_false(two->turn.held); /* in this moment */
    assert_true(server.turns.lanes[NS_LANE_PRIVILEGED].holder == two);
}

/* ---- in which order ---- */

static void many_connections_are_no_advantage(void **state)
{
    struct ns_connection *alice = client(1000), *many[10];
    int before_alice = 0;

    (void)state;
    for (int i = 0; i < 10; i++) {
        many[i] = client(1001);
        starts(many[i], "/hot", 1);
    }
    assert_false(starts(alice, "/hot", 1));
    while (alice->turn.held) {
        assert_true(server.turns.lanes[NS_LANE_OTHERS].holder != NULL);
        before_alice++;
        ns_turn_reset(server.turns.lanes[NS_LANE_OTHERS].holder);
    }
    assert_true(before_alice <= 2);
}

static void nobody_waits_for_ever(void **state)
{
    struct ns_connection *writer = client(5), *others[20], *last = client(2000);

    (void)state;
    for (int i = 0; i < 20; i++) {
        others[i] = client(1000 + (uint32_t)i);
        starts(others[i], "/hot", 1);
    }
    for (uint64_t time = 0; time < NS_TURN_WAIT; time += FAKE_MS) {
        may(writer, WRITE, "/hot");
        if (time == 0)
            assert_false(starts(last, "/hot", 1));
        fake_loop_advance(server.loop, FAKE_MS);
    }
    fake_loop_advance(server.loop, FAKE_MS);
    assert_false(last->turn.held);
    assert_true(ns_turn_begin(last));
}

/* ---- names ---- */

static void names_are_kept_until_it_wins_and_bounded(void **state)
{
    struct ns_connection *loser = client(1000), *root = client(0), *writer = client(0);
    char path[64];

    (void)state;
    loses(loser, "/one", READ);
    loses(loser, "/two", READ);
    loses(loser, "/two", LIST);
    assert_int_equal(loser->turn.name_count, 2);
    for (int i = 0; i < 2 * NS_TURN_NAMES_MAX; i++) {
        snprintf(path, sizeof(path), "/n/%d", i);
        loses(loser, path, READ);
        loses(root, path, READ);
    }
    assert_int_equal(loser->turn.name_count, NS_TURN_NAMES_MAX);
    assert_true(ns_turn_begin(loser));
    ns_turn_started(loser, 1);
    assert_true(may(client(1001), WRITE, "/n/400"));
    assert_false(may(client(1001), WRITE, "/two"));
    assert_true(ns_turn_begin(root));
    assert_false(may(writer, WRITE, "/n/400")); /* more than are kept: all of them */
}

#define TURN_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TURN_TEST(writers_of_its_names_wait_for_the_end),
        TURN_TEST(which_changes_are_held_back),
        TURN_TEST(nobody_holds_back_the_more_privileged),
        TURN_TEST(a_turn_ends_by_itself),
        TURN_TEST(a_turn_ends_with_its_connection),
        TURN_TEST(one_attacker_has_a_quarter_at_most),
        TURN_TEST(eight_attackers_have_no_more),
        TURN_TEST(without_anybody_held_back_turns_follow_each_other),
        TURN_TEST(many_connections_are_no_advantage),
        TURN_TEST(nobody_waits_for_ever),
        TURN_TEST(names_are_kept_until_it_wins_and_bounded),
    };

    return cmocka_run_group_tests_name("turn", tests, NULL, NULL);
}
