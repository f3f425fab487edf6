/* SPDX-License-Identifier: BSD-3-Clause */
/* What it costs to find the watches that a change concerns: counted, not timed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nameserv/store_p.h"

enum { ELSEWHERE = 100000, ON_ONE = 1000 };

static struct ns_store *store;
static const struct ns_identity root = {.privileged = true};
static struct ns_watch *watches;
static size_t watch_count, fired;

static void count(struct ns_watch *watch, const char *path, size_t size)
{
    (void)watch, (void)path, (void)size;
    fired++;
}

static int setup(void **state)
{
    struct ns_store_options options = {.lcores = 0};

    (void)state;
    watches = calloc(ELSEWHERE + ON_ONE, sizeof(*watches));
    watch_count = fired = 0;
    return watches == NULL ? -1 : ns_store_new(&options, &store);
}

static int teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < watch_count; i++)
        ns_watch_remove(store, &watches[i]);
    ns_store_free(store);
    free(watches);
    return 0;
}

static void watch(const char *path)
{
    struct ns_watch *watch = &watches[watch_count++];

    *watch = (struct ns_watch){.fire = count, .who = &root};
    assert_int_equal(ns_watch_add(store, watch, path), 0);
}

/* The steps of one change. */
static uint64_t steps_of(const char *path, const char *value)
{
    struct ns_store_counters before, after;

    ns_store_counters(store, &before);
    assert_int_equal(ns_store_put(store, path, value), 0);
    ns_store_counters(store, &after);
    return after.watch_steps - before.watch_steps;
}

static void watches_elsewhere_cost_nothing(void **state)
{
    char path[64];
    uint64_t write, create, remove;

    (void)state;
    watch("/a/b");
    write = steps_of("/a/b/c/d", "1");
    assert_int_equal(write, 5 + 1); /* the name, four above it, and one watch */
    create = steps_of("/a/b/new", "1");
    remove = steps_of("/a/b/new", NULL);
    for (int i = 0; i < ELSEWHERE; i++) {
        snprintf(path, sizeof(path), "/elsewhere/%d/%d", i / 1000, i);
        watch(path);
    }
    assert_true(store->anchors.count <= store->anchors.bucket_count); /* so a look-up is one step */
    fired = 0;
    assert_int_equal(steps_of("/a/b/c/d", "2"), write);
    assert_int_equal(steps_of("/a/b/new", "2"), create);
    assert_int_equal(steps_of("/a/b/new", NULL), remove);
    assert_int_equal(fired, 3);
}

static void depth_is_what_it_costs(void **state)
{
    char path[512] = "";

    (void)state;
    watch("/none");
    for (unsigned depth = 1; depth <= 100; depth++) {
        strcat(path, "/x");
        assert_int_equal(steps_of(path, "1"), depth + 1);
    }
}

static void watches_on_one_name_cost_one_step_each(void **state)
{
    (void)state;
    for (int i = 0; i < ON_ONE; i++)
        watch("/one");
    assert_int_equal(steps_of("/one", "1"), 2 + ON_ONE);
    assert_int_equal(fired, ON_ONE);
    assert_int_equal(steps_of("/one/below", "1"), 3 + ON_ONE);
    assert_int_equal(steps_of("/other", "1"), 2);
    assert_int_equal(fired, 2 * ON_ONE);
}

/* ---- transactions ---- */

static uint64_t steps_of_commit(struct ns_txn *txn)
{
    struct ns_store_counters before, after;

    fired = 0;
    ns_store_counters(store, &before);
    assert_int_equal(ns_txn_commit(txn, NULL, NULL), 0);
    ns_store_counters(store, &after);
    return after.watch_steps - before.watch_steps;
}

static void put_below(const char *path, int names)
{
    char name[600];

    for (int i = 0; i < names; i++) {
        snprintf(name, sizeof(name), "%s/%d", path, i);
        assert_int_equal(ns_store_put(store, name, "1"), 0);
    }
}

static uint64_t steps_of_removing(int times)
{
    struct ns_txn *txn;

    put_below("/d", ON_ONE);
    assert_int_equal(ns_txn_begin(store, &root, &txn), 0);
    for (int i = 0; i < times; i++) {
        assert_int_equal(ns_txn_write(txn, "/d", "again", 5), 0);
        assert_int_equal(ns_txn_remove(txn, "/d"), 0);
    }
    return steps_of_commit(txn);
}

/* However often a transaction removes a name, and whatever is below it. */
static void a_name_is_told_once_a_commit(void **state)
{
    (void)state;
    watch("/");
    watch("/d/7");
    assert_int_equal(steps_of_removing(1), steps_of_removing(50));
    assert_int_equal(fired, 2);
}

/* Each level's operation removes all that lies below, and only the last of them anything. */
static void what_is_removed_level_by_level_is_told_once(void **state)
{
    enum { LEVELS = 100 };
    struct ns_txn *txn;
    char path[512] = "";

    (void)state;
    for (int i = 0; i < LEVELS; i++)
        strcat(path, "/x");
    put_below(path, ON_ONE);
    watch(path);
    strcat(path, "/7");
    watch(path);
    assert_int_equal(ns_txn_begin(store, &root, &txn), 0);
    for (int level = LEVELS; level > 0; level--) {
        path[level * 2] = '\0';
        assert_int_equal(ns_txn_remove(txn, path), 0);
    }
    assert_true(steps_of_commit(txn) < ON_ONE + LEVELS * LEVELS);
    assert_int_equal(fired, 2);

    put_below("/y/y/y", ON_ONE); /* from above: a name that is gone can be removed once more */
    watch("/y/y/y/7");
    assert_int_equal(ns_txn_begin(store, &root, &txn), 0);
    assert_int_equal(ns_txn_remove(txn, "/y"), 0);
    assert_int_equal(ns_txn_write(txn, "/y", "", 0), 0);
    assert_int_equal(ns_txn_remove(txn, "/y/y"), 0);
    assert_int_equal(ns_txn_write(txn, "/y/y", "", 0), 0);
    assert_int_equal(ns_txn_remove(txn, "/y/y/y"), 0);
    assert_true(steps_of_commit(txn) < ON_ONE + 100);
    assert_int_equal(fired, 1);
}

#define WATCH_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WATCH_TEST(watches_elsewhere_cost_nothing),
        WATCH_TEST(depth_is_what_it_costs),
        WATCH_TEST(watches_on_one_name_cost_one_step_each),
        WATCH_TEST(a_name_is_told_once_a_commit),
        WATCH_TEST(what_is_removed_level_by_level_is_told_once),
    };

    return cmocka_run_group_tests_name("watch", tests, NULL, NULL);
}
