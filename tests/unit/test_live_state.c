/* SPDX-License-Identifier: BSD-3-Clause */
/* What a daemon hands over in a live update, without another process: a store and its server become a state, and
 * the state another store and server, in whose table of descriptors the clients are where they were. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "nameserv/connection_ring.h"
#include "nameserv/live_state.h"
#include "nameserv/live_update.h"
#include "nameserv/operations.h"
#include "nameserv/ring_client.h"

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

static struct {
    int number, copy;
} kept[16];
static unsigned kept_count;

static void keep(int number)
{
    int copy = fcntl(number, F_DUPFD, 100); /* out of the way of what the next daemon opens */

    assert_true(copy >= 0);
    kept[kept_count].number = number;
    kept[kept_count++].copy = copy;
}

static void keep_handed(const struct ns_handed *handed)
{
    for (unsigned i = 0; handed != NULL && i < handed->count; i++)
        keep(handed->fds[i]);
}

static void keep_descriptors(void)
{
    const struct ns_connection *connection;
    const struct ns_attached_ring *ring;
    uint64_t page;

    kept_count = 0;
    LIST_FOREACH (connection, &before.server->connections, link) {
        if (connection->carrier == NULL)
            keep(connection->io.fd);
        keep_handed(connection->handed);
    }
    LIST_FOREACH (ring, &before.server->rings, link)
        keep_handed(ring->carrier->handed(ring, &page));
}

static void restore_descriptors(void)
{
    for (unsigned i = 0; i < kept_count; i++) {
        assert_int_equal(dup2(kept[i].copy, kept[i].number), kept[i].number);
        close(kept[i].copy);
    }
}

/* One process ends and another begins: the connections and rings keep their descriptors. */
static void take_over(void)
{
    const struct ns_request nobody = {.connection = NULL};
    struct ns_live_state *state;
    int fd;

    keep_descriptors();
    fd = ns_live_state_make(before.server, &nobody);
    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_DUPFD, 200), 200);
    close(fd);
    stop(&before);
    restore_descriptors();
    start(&after);
    assert_int_equal(ns_live_state_open_fd(200, &state, &reason), 0);
    close(200);
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

/* ---- rings ---- */

enum { DOMID = 7 };

static struct ns_guest_ring page;

/* Attach a guest, as the introducer's INTRODUCE does. */
static struct ns_attached_ring *attach(struct ns_connection *introducer)
{
    const struct ns_handed handed = {3,
                                     {dup(page.memory), dup(page.to_server), dup(page.to_guest)}};
    struct ns_domain *domain;

    assert_int_equal(ns_domain_know(before.store, DOMID, &domain), 0);
    ns_domain_introduce(before.store, domain);
    assert_int_equal(ns_ring_memory_attach(introducer, domain, &handed, 0, &reason), 0);
    return domain->ring;
}

static int setup_ring(void **state)
{
    return setup(state) == 0 ? ns_guest_ring_new(&page) : -1;
}

static int teardown_ring(void **state)
{
    ns_guest_ring_free(&page);
    return teardown(state);
}

static struct ns_attached_ring *ring_after(void)
{
    const struct ns_domain *domain = ns_domain_find(after.store, DOMID);

    assert_non_null(domain);
    return domain->ring;
}

static void a_guest_is_handed_over(void **state)
{
    struct ns_connection *guest = attach(connection_of(&before))->connection;

    (void)state;
    assert_int_equal(ns_ring_put(ns_ring_requests(page.page), "not taken yet", 13), 13);
    guest->rest = strdup("half");
    guest->rest_size = 4;
    assert_int_equal(ns_events_watch(guest, "data", "/local/domain/7/data", "t", 3), 0);
    assert_int_equal(ns_operations_take_txn(guest, 5), 0);
    ns_ring_fail(page.page, NS_RING_INDEX);
    take_over();
    guest = ring_after()->connection;
    assert_non_null(guest);
    assert_int_equal(guest->who.domain.domid, DOMID);
    assert_int_equal(guest->rest_size, 4);
    assert_memory_equal(guest->rest, "half", 4);
    assert_string_equal(LIST_FIRST(&guest->watches)->text, "data");
    assert_true(LIST_FIRST(&guest->watches)->relative);
    assert_int_equal(guest->events.queue.tqh_first->path_size,
                     4); /* the first event, not sent yet */
    assert_int_equal(guest->txn_count, 1);
    assert_int_equal(page.page->request_producer, 13);
    assert_int_equal(page.page->request_consumer, 0);
    assert_int_equal(page.page->error, NS_RING_INDEX);
    assert_ptr_equal(ring_after()->introducer, LIST_NEXT(guest, link));
}

static void a_guest_that_is_ignored_still_is(void **state)
{
    (void)state;
    ns_connection_close(attach(connection_of(&before))->connection);
    take_over();
    assert_non_null(ring_after());
    assert_null(ring_after()->connection);
}

static uint64_t stop_when_released(void *arg)
{
    (void)arg;
    if (ns_domain_find(after.store, DOMID) == NULL)
        ns_loop_stop(after.loop);
    return 0;
}

/* Its introducer was closed, and the release had not had its turn. */
static void a_guest_that_is_about_to_vanish_does(void **state)
{
    int other = dup(client);

    (void)state;
    assert_int_equal(ns_server_admit(before.server, other), 0);
    ns_connection_close(attach(connection_of(&before))->introducer);
    take_over();
    ns_loop_hook(after.loop, stop_when_released, NULL);
    ns_loop_run(after.loop);
}

/* Sealed meanwhile: what belongs to it is left out, and the others are taken over. */
static void a_page_that_can_not_be_mapped_ends_its_guest(void **state)
{
    struct ns_connection *guest = attach(connection_of(&before))->connection;

    (void)state;
    assert_int_equal(ns_events_watch(guest, "data", "/local/domain/7/data", "t", 3), 0);
    assert_int_equal(fcntl(page.memory, F_ADD_SEALS, F_SEAL_FUTURE_WRITE), 0);
    take_over();
    assert_null(ns_domain_find(after.store, DOMID));
    assert_non_null(connection_of(&after));
    assert_null(LIST_NEXT(connection_of(&after), link));
}

static void what_was_handed_in_is_handed_over(void **state)
{
    struct ns_connection *connection = connection_of(&before);

    (void)state;
    connection->handed = calloc(1, sizeof(*connection->handed));
    *connection->handed = (struct ns_handed){2, {dup(page.memory), dup(page.to_guest)}};
    take_over();
    assert_non_null(connection_of(&after)->handed);
    assert_int_equal(connection_of(&after)->handed->count, 2);
    assert_true(fcntl(connection_of(&after)->handed->fds[0], F_GET_SEALS) > 0); /* the memfd */
}

#define RING_TEST(test) cmocka_unit_test_setup_teardown(test, setup_ring, teardown_ring)
#define TEST(test)      cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_was_committed_in_the_round_is_handed_over),
        TEST(watches_keep_their_depth),
        TEST(more_watches_than_the_limit_are_handed_over),
        TEST(open_transactions_are_counted),
        RING_TEST(a_guest_is_handed_over),
        RING_TEST(a_guest_that_is_ignored_still_is),
        RING_TEST(a_guest_that_is_about_to_vanish_does),
        RING_TEST(a_page_that_can_not_be_mapped_ends_its_guest),
        RING_TEST(what_was_handed_in_is_handed_over),
    };

    return cmocka_run_group_tests(tests, setup_folder, teardown_folder);
}
