/* SPDX-License-Identifier: BSD-3-Clause */
/* Commits that wait together are published together, and are commits of their own in all else. */
#include "tests/unit/names_server.h"

#include "nameserv/store_p.h"

static struct ns_store *store;
static const struct ns_identity root = {.privileged = true};

static int setup(void **state)
{
    struct ns_store_options options = {.lcores = 1};

    (void)state;
    return ns_store_new(&options, &store);
}

static int teardown(void **state)
{
    (void)state;
    ns_store_free(store);
    return 0;
}

static struct ns_txn *begin(void)
{
    struct ns_txn *txn;

    assert_int_equal(ns_txn_begin(store, &root, &txn), 0);
    return txn;
}

static void put(const char *path, const char *value)
{
    assert_int_equal(ns_store_put(store, path, value), 0);
}

/* What others see. */
static bool is_published(const char *path)
{
    return ns_tree_lookup(ns_store_version(store)->root, path, strlen(path)) != NULL;
}

static void expect(struct ns_txn *txn, const char *path, const char *value)
{
    const void *data;
    size_t size;
    int rc = ns_txn_read(txn, path, &data, &size);

    assert_int_equal(rc, value == NULL ? -ENOENT : 0);
    if (value != NULL) {
        assert_int_equal(size, strlen(value));
        assert_memory_equal(data, value, size);
    }
}

static struct ns_store_counters counters(void)
{
    struct ns_store_counters counters;

    ns_store_counters(store, &counters);
    return counters;
}

static void many_commits_are_one_publication(void **state)
{
    struct ns_store_counters before, after;
    uint64_t number = ns_store_version(store)->number, previous = number, commit;
    char path[32];

    (void)state;
    before = counters();
    ns_store_gather(store, true);
    for (int i = 0; i < 16; i++) {
        struct ns_txn *txn = begin();

        sprintf(path, "/g/%d", i);
        assert_int_equal(ns_txn_write(txn, path, "v", 1), 0);
        assert_int_equal(ns_txn_commit(txn, &commit, NULL), 0);
        assert_int_equal(commit, ++previous);
        assert_false(is_published(path));
        txn = begin();
        expect(txn, path, "v");
        ns_txn_abort(txn);
    }
    assert_int_equal(ns_store_version(store)->number, number);
    ns_store_publish(store);
    assert_int_equal(ns_store_version(store)->number, number + 16);
    assert_true(is_published("/g/0") && is_published("/g/15"));
    after = counters();
    assert_int_equal(after.commits, before.commits + 16);
    assert_int_equal(after.publications, before.publications + 1);
    ns_store_gather(store, false);
    put("/g/16", "v");
    assert_true(is_published("/g/16"));
}

/* Versions between are kept for whom they are a snapshot, and for nobody else. */
static void snapshots_of_versions_that_nobody_else_saw(void **state)
{
    struct ns_txn *one, *two;
    uint64_t bytes;

    (void)state;
    put("/s/x/deep", "0");
    ns_store_gather(store, true);
    put("/s/x/deep", "1");
    one = begin();
    for (int i = 0; i < 100; i++)
        put("/s/x/deep", "2");
    put("/s/x/other", "2");
    two = begin();
    put("/s", NULL);
    put("/s/x/deep", "3");
    expect(one, "/s/x/deep", "1");
    expect(two, "/s/x/deep", "2");
    expect(two, "/s/x/other", "2");
    ns_store_publish(store);
    ns_store_drain(store);
    expect(one, "/s/x/deep", "1");
    assert_int_equal(ns_txn_write(one, "/s/x/deep", "mine", 4), 0);
    assert_int_equal(ns_txn_commit(one, NULL, NULL), -EAGAIN);
    ns_txn_abort(two);

    ns_store_publish(store);
    ns_store_drain(store);
    bytes = counters().pool_bytes;
    for (int i = 0; i < 1000; i++)
        put("/s/x/deep", "4");
    assert_true(counters().pool_bytes < bytes + 10000); /* what nobody can see is free at once */
    ns_store_gather(store, false);
}

/* A transaction that began long before, whose own copies others have seen meanwhile. */
static void an_old_transaction_joins(void **state)
{
    struct ns_txn *old = begin(), *reader;

    (void)state;
    assert_int_equal(ns_txn_write(old, "/o/a", "old", 3), 0);
    put("/o/b", "1");
    reader = begin();
    ns_store_gather(store, true);
    put("/o/c", "1");
    assert_int_equal(ns_txn_commit(old, NULL, NULL), 0);
    put("/o/b", "2");
    put("/o/a", "2");
    put("/o/c", "2");
    ns_store_publish(store);
    ns_store_drain(store);
    expect(reader, "/o/b", "1");
    expect(reader, "/o/a", NULL);
    ns_txn_abort(reader);
    ns_store_gather(store, false);
}

static int prepare(struct ns_mount *mount, struct ns_commit *commit)
{
    (void)mount, (void)commit;
    return 0;
}

static int compile(struct ns_anchor *anchor, struct ns_compile *compile)
{
    (void)anchor;
    ns_compile_record(compile, malloc(8));
    ns_compile_read(compile, "/plain/source");
    return 0;
}

static void what_concerns_others_is_published_at_once(void **state)
{
    static const struct ns_mount_ops mount_ops = {.name = "module", .prepare = prepare};
    static const struct ns_anchor_ops anchor_ops = {.kind = "test",
                                                    .rank = 1,
                                                    .size = sizeof(struct ns_anchor),
                                                    .compile = compile,
                                                    .free_record = free};
    static struct ns_mount mount;
    struct ns_anchor *anchor;

    (void)state;
    assert_int_equal(ns_mount_add(store, &mount, "/module", &mount_ops), 0);
    ns_store_gather(store, true);
    put("/plain/a", "1");
    assert_false(is_published("/plain/a"));
    put("/module/a", "1"); /* of a module: and all before it */
    assert_true(is_published("/plain/a") && is_published("/module/a"));
    put("/plain/b", "1");
    assert_int_equal(ns_anchor_get(store, "/derived", &anchor_ops, NULL, NULL, &anchor), 0);
    assert_true(is_published("/plain/b")); /* its record is made of it */
    ns_anchor_pin(anchor);
    put("/plain/c", "1");
    assert_false(is_published("/plain/c"));
    put("/plain/source", "1"); /* what a record is derived from */
    assert_true(is_published("/plain/c") && is_published("/plain/source"));
    ns_anchor_unpin(anchor);
    ns_store_gather(store, false);
}

/* ---- over the socket ---- */

static uint64_t counter(int client, const char *name)
{
    char path[64];
    struct message reply;

    raw_ask(client, NS_WIRE_READ, 0, path, (size_t)sprintf(path, "/stats/store/%s", name) + 1,
            &reply);
    return strtoull(reply.payload, NULL, 10);
}

static void a_pipelining_client_shares_with_itself(void **state)
{
    enum { REQUESTS = 16 };
    static struct names_server names;
    char batch[REQUESTS * 64];
    size_t size = 0;
    uint64_t commits, publications;
    struct message reply;
    int fd, other;

    (void)state;
    names_server_start(&names, NULL);
    fd = raw_connect(&names);
    other = raw_connect(&names);
    EXPECT_OK(other, NS_WIRE_WATCH, 0, "/b\0t\0");
    EXPECT_EVENT(other, "/b\0t\0");
    commits = counter(fd, "commits");
    publications = counter(fd, "publications");
    for (uint32_t i = 0; i < REQUESTS; i++) {
        char payload[32];

        size += raw_format(batch + size, NS_WIRE_WRITE, 0, i, payload,
                           (size_t)sprintf(payload, "/b/%u%cv", i, 0));
    }
    raw_bytes(fd, batch, size);
    for (uint32_t i = 0; i < REQUESTS; i++) {
        char event[32];

        raw_receive(fd, &reply); /* each has an answer of its own, and an event, in order */
        expect_bytes(&reply, NS_WIRE_WRITE, "OK", 3);
        assert_int_equal(reply.header.request, i);
        raw_receive(other, &reply);
        expect_bytes(&reply, NS_WIRE_WATCH_EVENT, event,
                     (size_t)sprintf(event, "/b/%u%ct", i, 0) + 1);
    }
    assert_int_equal(counter(fd, "commits") - commits, REQUESTS);
    assert_int_equal(counter(fd, "publications") - publications, 1);
    close(fd);
    close(other);
    names_server_stop(&names);
}

/* Whoever has the store alone waits for nobody. But what a commit replaced is there until the control core says that
 * it holds nothing. */
static void a_store_that_is_had_alone_frees_at_once(void **state)
{
    const struct ns_store_options options = {.alone = true};
    struct ns_store_counters before, after;
    const struct ns_entry *entry;

    (void)state;
    assert_int_equal(ns_store_new(&options, &store), 0);
    put("/a", "1");
    ns_store_quiescent(store);
    assert_false(ns_store_housekeep(store));
    ns_store_counters(store, &before);
    assert_int_equal(before.waiting_bytes, 0);
    entry = ns_tree_lookup(ns_store_version(store)->root, "/a", 2);
    put("/a", "2");
    assert_false(ns_store_housekeep(store));
    assert_memory_equal(ns_entry_value(entry), "1", 1);
    ns_store_quiescent(store);
    assert_false(ns_store_housekeep(store));
    ns_store_counters(store, &after);
    assert_int_equal(after.pool_bytes, before.pool_bytes);
    assert_false(ns_store_waits(store));
    ns_store_free(store);
}

#define PUBLISH_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PUBLISH_TEST(many_commits_are_one_publication),
        PUBLISH_TEST(snapshots_of_versions_that_nobody_else_saw),
        PUBLISH_TEST(an_old_transaction_joins),
        PUBLISH_TEST(what_concerns_others_is_published_at_once),
        cmocka_unit_test(a_pipelining_client_shares_with_itself),
        cmocka_unit_test(a_store_that_is_had_alone_frees_at_once),
    };

    return cmocka_run_group_tests_name("publish", tests, NULL, NULL);
}
