/* SPDX-License-Identifier: BSD-3-Clause */
/* What a daemon hands over in a live update, without another process: a store and its server become a state, and
 * the state another store and server, in whose table of descriptors the clients are where they were. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "nameserv/live_state.h"
#include "nameserv/live_update.h"
#include "nameserv/operations.h"

enum { UID = 4711 };

static char folder[] = "/tmp/kedge-live-XXXXXX", path[64];
static struct ns_reason reason;

struct daemon {
    struct ns_loop *loop;
    struct ns_store *store;
    struct ns_server *server;
};

static struct daemon before, after;
static int client; /* the test's end of the only connection */

static int setup_folder(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(path, sizeof(path), "%s/socket", folder);
    return 0;
}

static int teardown_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

static void start(struct daemon *daemon)
{
    const struct ns_store_options none = {.lcores = 0};
    const struct ns_server_options options = {.path = path, .watches = 2};

    daemon->loop = ns_loop_new();
    assert_non_null(daemon->loop);
    assert_int_equal(ns_store_new(&none, &daemon->store), 0);
    assert_int_equal(ns_server_new(daemon->store, daemon->loop, &options, &reason, &daemon->server),
                     0);
}

static void stop(struct daemon *daemon)
{
    ns_server_free(daemon->server);
    ns_store_free(daemon->store);
    ns_loop_free(daemon->loop);
}

static struct ns_connection *connection_of(const struct daemon *daemon)
{
    assert_non_null(LIST_FIRST(&daemon->server->connections));
    return LIST_FIRST(&daemon->server->connections);
}

/* The connection is that of another user, who has no privileges, if the test may become one. */
static int setup(void **state)
{
    int ends[2];
    bool root = geteuid() == 0;

    (void)state;
    start(&before);
    assert_true(!root || seteuid(UID) == 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    assert_true(!root || seteuid(0) == 0);
    assert_int_equal(ns_server_admit(before.server, ends[0]), 0);
    client = ends[1];
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    stop(&after);
    close(client);
    return 0;
}

/* One process ends and another begins: the connection keeps its descriptor. */
static void take_over(void)
{
    const struct ns_request nobody = {.connection = NULL};
    struct ns_live_state *state;
    int number = connection_of(&before)->io.fd, kept = dup(number);
    int fd = ns_live_state_make(before.server, &nobody);

    assert_true(fd >= 0);
    stop(&before);
    assert_int_equal(dup2(kept, number), number);
    close(kept);
    start(&after);
    assert_int_equal(ns_live_state_open_fd(fd, &state, &reason), 0);
    close(fd);
    assert_int_equal(ns_live_state_fill_store(state, after.store, &reason), 0);
    assert_int_equal(ns_live_state_fill_server(state, after.server, &reason), 0);
    ns_live_state_free(state);
}

/* The reply may be in the state's output already. */
static void what_was_committed_in_the_round_is_handed_over(void **state)
{
    static const struct ns_identity root = {.privileged = true};
    struct ns_txn *txn;
    uint64_t number;

    (void)state;
    ns_store_gather(before.store, true);
    assert_int_equal(ns_txn_begin(before.store, &root, &txn), 0);
    assert_int_equal(ns_txn_write(txn, "/vm", "x", 1), 0);
    assert_int_equal(ns_txn_commit(txn, &number, NULL), 0);
    ns_store_gather(before.store, false);
    take_over();
    assert_non_null(ns_tree_lookup(ns_store_version(after.store)->root, "/vm", 3));
    assert_true(ns_store_version(after.store)->number > number);
}

static void watches_keep_their_depth(void **state)
{
    const struct ns_client_watch *watch;

    (void)state;
    assert_int_equal(ns_events_watch(connection_of(&before), "/vm", "/vm", "deep", 3), 0);
    take_over();
    watch = LIST_FIRST(&connection_of(&after)->watches);
    assert_non_null(watch);
    assert_int_equal(watch->watch.levels, 3);
}

/* The new daemon's command line may allow less, and clients must not be lost for that. */
static void more_watches_than_the_limit_are_handed_over(void **state)
{
    static const char *const tokens[] = {"a", "b", "c"};

    (void)state;
    before.server->watches_max = 3;
    for (int i = 0; i < 3; i++)
        assert_int_equal(ns_events_watch(connection_of(&before), "/vm", "/vm", tokens[i], 0), 0);
    take_over();
    assert_int_equal(connection_of(&after)->watch_count, 3);
    if (!connection_of(&after)->who.privileged)
        assert_int_equal(ns_events_watch(connection_of(&after), "/vm", "/vm", "d", 0), -ENOSPC);
}

/* Or the account would be below nothing when they end, and allow no others. */
static void open_transactions_are_counted(void **state)
{
    (void)state;
    assert_int_equal(ns_operations_take_txn(connection_of(&before), 5), 0);
    take_over();
    assert_int_equal(connection_of(&after)->account->transactions, 1);
    ns_operations_reset(connection_of(&after));
    assert_int_equal(connection_of(&after)->account->transactions, 0);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_was_committed_in_the_round_is_handed_over),
        TEST(watches_keep_their_depth),
        TEST(more_watches_than_the_limit_are_handed_over),
        TEST(open_transactions_are_counted),
    };

    return cmocka_run_group_tests(tests, setup_folder, teardown_folder);
}
