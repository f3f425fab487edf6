/* SPDX-License-Identifier: BSD-3-Clause */
/* Anchors, what is derived from names, and notices, on one thread. Threads are in test_push.c. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nameserv/anchor.h"

static struct ns_store *store;

/* ---- a module whose records are sums of numbers that stand in names ---- */

struct sum {
    int total;
    uint64_t version;
};

struct sum_anchor {
    struct ns_anchor anchor;
    const char *inputs[4];
    bool linked;
};

static int sums_live, sums_compiled;

static int sum_compile(struct ns_anchor *anchor, struct ns_compile *compile)
{
    struct sum_anchor *self = (struct sum_anchor *)anchor;
    struct sum *sum = calloc(1, sizeof(*sum));

    sums_live++;
    sums_compiled++;
    sum->version = ns_compile_version(compile)->number;
    ns_compile_record(compile, sum);
    for (int i = 0; i < 4 && self->inputs[i] != NULL; i++) {
        const struct ns_entry *entry = ns_compile_read(compile, self->inputs[i]);

        if (entry == NULL)
            continue;
        sum->total += atoi(ns_entry_value(entry));
        if (ns_entry_value(entry)[0] == '!')
            return ns_refuse(ns_compile_commit(compile), EINVAL, self->inputs[i], "not a number");
    }
    return 0;
}

static bool sum_same(const void *a, const void *b)
{
    return ((const struct sum *)a)->total == ((const struct sum *)b)->total;
}

static void sum_free(void *record)
{
    sums_live--;
    free(record);
}

static void sum_link(struct ns_anchor *anchor)
{
    ((struct sum_anchor *)anchor)->linked = true;
}

static void sum_unlink(struct ns_anchor *anchor)
{
    ((struct sum_anchor *)anchor)->linked = false;
}

static const struct ns_anchor_ops sum_ops = {.kind = "sum",
                                             .rank = 3,
                                             .size = sizeof(struct sum_anchor),
                                             .compile = sum_compile,
                                             .same = sum_same,
                                             .free_record = sum_free,
                                             .link = sum_link,
                                             .unlink = sum_unlink};

/* A second level: a sum of what the anchors of sums say. */
static int twice_compile(struct ns_anchor *anchor, struct ns_compile *compile)
{
    struct sum_anchor *self = (struct sum_anchor *)anchor;
    struct sum *sum = calloc(1, sizeof(*sum));

    sums_live++;
    sums_compiled++;
    ns_compile_record(compile, sum);
    for (int i = 0; i < 4 && self->inputs[i] != NULL; i++)
        ns_compile_depend(compile, self->inputs[i]);
    sum->total = (int)ns_compile_version(compile)->number;
    return 0;
}

static const struct ns_anchor_ops twice_ops = {.kind = "twice",
                                               .rank = 4,
                                               .size = sizeof(struct sum_anchor),
                                               .compile = twice_compile,
                                               .free_record = sum_free};

static void set_inputs(struct ns_anchor *anchor, void *arg)
{
    memcpy(((struct sum_anchor *)anchor)->inputs, arg,
           sizeof(((struct sum_anchor *)anchor)->inputs));
}

static struct sum_anchor *make(const char *path, const struct ns_anchor_ops *ops, const char *a,
                               const char *b)
{
    const char *inputs[4] = {a, b, NULL, NULL};
    struct ns_anchor *anchor;

    assert_int_equal(ns_anchor_get(store, path, ops, set_inputs, inputs, &anchor), 0);
    return (struct sum_anchor *)anchor;
}

static int total(const struct sum_anchor *anchor)
{
    return ((const struct sum *)anchor->anchor.record)->total;
}

/* ---- set-up ---- */

static int setup(void **state)
{
    struct ns_store_options options = {.lcores = 2, .anchors_max = 100};

    (void)state;
    sums_compiled = 0;
    return ns_store_new(&options, &store);
}

static int teardown(void **state)
{
    (void)state;
    ns_store_free(store);
    assert_int_equal(sums_live, 0);
    return 0;
}

static void put(const char *path, const char *value)
{
    assert_int_equal(ns_store_put(store, path, value), 0);
}

static struct ns_anchor *next_notice(unsigned lcore)
{
    struct ns_notice *list = ns_subscriber_take(ns_store_subscriber(store, lcore));
    struct ns_anchor *anchor;

    if (list == NULL)
        return NULL;
    anchor = ns_notice_take(&list);
    assert_null(list);
    return anchor;
}

static size_t anchor_count(void)
{
    struct ns_store_counters counters;

    ns_store_counters(store, &counters);
    return counters.anchors;
}

/* ---- tests ---- */

static void test_absent_name_can_be_depended_on(void **state)
{
    struct ns_anchor *anchor;

    (void)state;
    assert_int_equal(ns_anchor_get(store, "/n/x", NULL, NULL, NULL, &anchor), 0);
    ns_anchor_register(anchor, 1);
    put("/n/y", "1");
    assert_null(next_notice(1));
    put("/n/x", "1");
    assert_ptr_equal(next_notice(1), anchor);
    assert_null(next_notice(0));
    assert_int_equal(ns_anchor_version(anchor), ns_store_version(store)->number);
    put("/n", NULL); /* removed with its parent */
    assert_ptr_equal(next_notice(1), anchor);
    put("/n/x", "2");
    assert_ptr_equal(next_notice(1), anchor);
    ns_anchor_unregister(anchor, 1);
    put("/n/x", "3");
    assert_null(next_notice(1));
}

/* Removed and made again while nobody depended on it: who kept its old version sees that it is another. */
static void test_versions_never_repeat(void **state)
{
    uint64_t version = 0;

    (void)state;
    for (int i = 0; i < 3; i++) {
        struct ns_anchor *anchor;

        put("/n/x", "1");
        assert_int_equal(ns_anchor_get(store, "/n/x", NULL, NULL, NULL, &anchor), 0);
        assert_true(ns_anchor_version(anchor) > version);
        version = ns_anchor_version(anchor);
        put("/n", NULL);
        ns_store_drain(store);
        ns_store_drain(store);
        assert_null(ns_anchor_find(store, "/n/x"));
    }
}

static void test_notices_coalesce(void **state)
{
    struct ns_anchor *one, *two;
    struct ns_notice *list;
    struct ns_subscriber *subscriber = ns_store_subscriber(store, 0);

    (void)state;
    assert_int_equal(ns_anchor_get(store, "/c/1", NULL, NULL, NULL, &one), 0);
    assert_int_equal(ns_anchor_get(store, "/c/2", NULL, NULL, NULL, &two), 0);
    ns_anchor_register(one, 0);
    ns_anchor_register(two, 0);
    for (int i = 0; i < 1000; i++) {
        put("/c/1", "x");
        put("/c/2", "x");
    }
    assert_int_equal(atomic_load(&subscriber->notified), ns_store_version(store)->number);
    list = ns_subscriber_take(subscriber);
    assert_ptr_equal(ns_notice_take(&list), two); /* newest first */
    assert_ptr_equal(ns_notice_take(&list), one);
    assert_null(list);
    assert_null(ns_subscriber_take(subscriber));
    ns_anchor_unregister(one, 0);
    ns_anchor_unregister(two, 0);
}

static void test_derived_record_follows_in_the_same_commit(void **state)
{
    struct sum_anchor *sum;

    (void)state;
    put("/a", "1");
    sum = make("/sum", &sum_ops, "/a", "/b");
    assert_true(sum->linked);
    assert_int_equal(total(sum), 1);
    ns_anchor_register(&sum->anchor, 0);
    put("/b", "10");
    assert_int_equal(total(sum), 11);
    assert_ptr_equal(next_notice(0), sum);
    assert_int_equal(((struct sum *)sum->anchor.record)->version, ns_store_version(store)->number);
    put("/b", "+10"); /* the same sum: nobody is told */
    assert_null(next_notice(0));
    put("/unrelated", "1");
    assert_null(next_notice(0));
    ns_anchor_unregister(&sum->anchor, 0);
}

static void test_diamond_is_compiled_once(void **state)
{
    struct sum_anchor *left, *right, *top;
    struct ns_txn *txn;

    (void)state;
    left = make("/left", &sum_ops, "/a", "/b");
    right = make("/right", &sum_ops, "/a", "/c");
    top = make("/top", &twice_ops, "/left", "/right");
    ns_anchor_register(&top->anchor, 1);
    sums_compiled = 0;
    assert_int_equal(ns_txn_begin(store, &ns_identity_stack, &txn), 0);
    assert_int_equal(ns_txn_write(txn, "/a", "1", 1), 0);
    assert_int_equal(ns_txn_write(txn, "/b", "2", 1), 0);
    assert_int_equal(ns_txn_write(txn, "/c", "3", 1), 0);
    assert_int_equal(ns_txn_commit(txn, NULL, NULL), 0);
    assert_int_equal(sums_compiled, 3);
    assert_int_equal(total(left), 3);
    assert_int_equal(total(right), 4);
    assert_int_equal(total(top), (int)ns_store_version(store)->number);
    assert_ptr_equal(next_notice(1), top);
    ns_anchor_unregister(&top->anchor, 1);
}

static void test_refused_compile_leaves_everything(void **state)
{
    struct sum_anchor *sum, *other;
    struct ns_txn *txn;
    struct ns_reason reason;
    uint64_t before;

    (void)state;
    put("/a", "1");
    sum = make("/sum", &sum_ops, "/a", "/b");
    other = make("/other", &sum_ops, "/c", NULL);
    ns_anchor_register(&other->anchor, 0);
    before = ns_store_version(store)->number;
    assert_int_equal(ns_txn_begin(store, &ns_identity_stack, &txn), 0);
    assert_int_equal(ns_txn_write(txn, "/c", "7", 1), 0);
    assert_int_equal(ns_txn_write(txn, "/b", "!", 1), 0);
    assert_int_equal(ns_txn_commit(txn, NULL, &reason), -EINVAL);
    assert_string_equal(reason.path, "/b");
    assert_int_equal(ns_store_version(store)->number, before);
    assert_int_equal(total(sum), 1);
    assert_int_equal(total(other), 0);
    assert_null(next_notice(0));
    put("/c", "7"); /* and it still works */
    assert_int_equal(total(other), 7);
    assert_ptr_equal(next_notice(0), other);
    ns_anchor_unregister(&other->anchor, 0);
}

static void test_touch(void **state)
{
    struct ns_anchor *plain;
    struct sum_anchor *top;
    struct ns_txn *txn;

    (void)state;
    assert_int_equal(ns_anchor_get(store, "/t", NULL, NULL, NULL, &plain), 0);
    top = make("/top", &twice_ops, "/t", NULL);
    ns_anchor_register(plain, 0);
    assert_int_equal(ns_txn_begin(store, &ns_identity_stack, &txn), 0);
    assert_int_equal(ns_txn_touch(txn, "/t"), 0);
    assert_int_equal(ns_txn_commit(txn, NULL, NULL), 0);
    assert_ptr_equal(next_notice(0), plain);
    assert_int_equal(total(top), (int)ns_store_version(store)->number);
    ns_anchor_unregister(plain, 0);
}

static void count_anchor(struct ns_anchor *anchor, void *arg)
{
    (void)anchor;
    ++*(int *)arg;
}

static void test_plain_anchor_is_replaced(void **state)
{
    struct sum_anchor *top, *sum;
    struct ns_dependents dependents;
    int derived = 0, sources = 0;

    (void)state;
    top = make("/top", &twice_ops, "/sum", NULL); /* makes a plain anchor of /sum */
    sum = make("/sum", &sum_ops, "/a", NULL);
    ns_anchor_dependents(&sum->anchor, &dependents, count_anchor, &derived);
    assert_int_equal(dependents.anchors, 1);
    assert_int_equal(derived, 1);
    ns_anchor_sources(&top->anchor, count_anchor, &sources);
    assert_int_equal(sources, 1);
    sums_compiled = 0;
    put("/a", "5");
    assert_int_equal(sums_compiled, 2);
}

static void test_unused_anchors_are_forgotten(void **state)
{
    struct sum_anchor *sum;
    size_t before = anchor_count();

    (void)state;
    sum = make("/sum", &sum_ops, "/a", "/b");
    ns_anchor_register(&sum->anchor, 0);
    ns_store_drain(store);
    assert_int_equal(anchor_count(), before + 3);

    ns_anchor_unregister(&sum->anchor, 0);
    while (sum->linked) /* one sweep unlinks it, and it waits for its grace period */
        ns_store_housekeep(store);
    ns_anchor_register(&sum->anchor, 0); /* an lcore that had found it before */
    ns_store_drain(store);
    assert_true(sum->linked);

    put("/a", "1");
    ns_anchor_unregister(&sum->anchor, 0);
    ns_store_drain(store);
    assert_ptr_equal(ns_anchor_find(store, "/sum"),
                     sum); /* its notice is still in the lcore's list */
    assert_ptr_equal(next_notice(0), sum);
    ns_store_drain(store);
    assert_null(ns_anchor_find(store, "/sum"));
    ns_store_drain(store);
    assert_int_equal(anchor_count(), before);
}

static void test_pinned_anchor_stays(void **state)
{
    struct sum_anchor *sum = make("/pinned", &sum_ops, NULL, NULL);

    (void)state;
    ns_anchor_pin(&sum->anchor);
    ns_store_drain(store);
    assert_ptr_equal(ns_anchor_find(store, "/pinned"), sum);
    ns_anchor_unpin(&sum->anchor);
    ns_store_drain(store);
    assert_null(ns_anchor_find(store, "/pinned"));
}

static void test_anchors_are_capped(void **state)
{
    struct ns_anchor *anchor;
    char path[32];

    (void)state;
    for (int i = 0; i < 100; i++) {
        snprintf(path, sizeof(path), "/scan/%d", i);
        make(path, &sum_ops, NULL, NULL);
    }
    assert_int_equal(ns_anchor_get(store, "/scan/more", &sum_ops, NULL, NULL, &anchor), -ENOSPC);
}

static void test_registration_for_an_lcore_sends_a_notice(void **state)
{
    struct sum_anchor *sum = make("/sum", &sum_ops, NULL, NULL);
    struct ns_dependents dependents;

    (void)state;
    ns_anchor_register_for(&sum->anchor, 1);
    ns_anchor_dependents(&sum->anchor, &dependents, NULL, NULL);
    assert_int_equal(dependents.lcores, 2);
    assert_ptr_equal(next_notice(1), sum);
    ns_anchor_unregister(&sum->anchor, 1);
}

static void count_wake(void *arg)
{
    ++*(int *)arg;
}

static void test_sleeping_lcore_is_woken(void **state)
{
    struct ns_subscriber *subscriber = ns_store_subscriber(store, 0);
    struct ns_anchor *anchor;
    int woken = 0;

    (void)state;
    subscriber->wake = count_wake;
    subscriber->wake_arg = &woken;
    assert_int_equal(ns_anchor_get(store, "/s", NULL, NULL, NULL, &anchor), 0);
    ns_anchor_register(anchor, 0);
    put("/s", "1");
    assert_int_equal(woken, 0);
    assert_ptr_equal(next_notice(0), anchor);
    atomic_store(&subscriber->sleeping, 1);
    put("/s", "2");
    assert_int_equal(woken, 1);
    assert_ptr_equal(next_notice(0), anchor);
    ns_anchor_unregister(anchor, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_absent_name_can_be_depended_on, setup, teardown),
        cmocka_unit_test_setup_teardown(test_versions_never_repeat, setup, teardown),
        cmocka_unit_test_setup_teardown(test_notices_coalesce, setup, teardown),
        cmocka_unit_test_setup_teardown(test_derived_record_follows_in_the_same_commit, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_diamond_is_compiled_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused_compile_leaves_everything, setup, teardown),
        cmocka_unit_test_setup_teardown(test_touch, setup, teardown),
        cmocka_unit_test_setup_teardown(test_plain_anchor_is_replaced, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unused_anchors_are_forgotten, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pinned_anchor_stays, setup, teardown),
        cmocka_unit_test_setup_teardown(test_anchors_are_capped, setup, teardown),
        cmocka_unit_test_setup_teardown(test_registration_for_an_lcore_sends_a_notice, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_sleeping_lcore_is_woken, setup, teardown),
    };

    return cmocka_run_group_tests_name("anchor", tests, NULL, NULL);
}
