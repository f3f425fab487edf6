/* SPDX-License-Identifier: BSD-3-Clause */
/* /stats: which registration answers, and what directories hold. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "nameserv/stats.h"

static struct ns_store *store;
static struct ns_stats *stats;

/* ---- asking ---- */

static int answers, last_error;
static char last_data[256];
static size_t last_size;

static void take_answer(struct ns_query *query, int error, const void *data, size_t size)
{
    (void)query;
    answers++;
    last_error = error;
    last_size = size;
    memset(last_data, 0, sizeof(last_data));
    assert_true(size < sizeof(last_data));
    if (size > 0)
        memcpy(last_data, data, size);
}

static void ask(const char *path, bool list)
{
    struct ns_mount *mount = ns_mount_find(store, path, strlen(path));
    struct ns_query query = {.store = store, .path = path, .answer = take_answer};

    answers = 0;
    assert_true(mount->ops->computed);
    (list ? mount->ops->list : mount->ops->read)(mount, &query);
    assert_int_equal(answers, 1);
}

static void expect_read(const char *path, const char *text)
{
    ask(path, false);
    assert_int_equal(last_error, 0);
    assert_string_equal(last_data, text);
}

static void expect_list(const char *path, const char *names, size_t size)
{
    ask(path, true);
    assert_int_equal(last_error, 0);
    assert_int_equal(last_size, size);
    assert_memory_equal(last_data, names, size);
}
#define EXPECT_LIST(path, names) expect_list(path, names, sizeof(names) - 1)

static void expect_absent(const char *path)
{
    ask(path, false);
    assert_int_equal(last_error, -ENOENT);
    assert_non_null(strstr(last_data, path));
    ask(path, true);
    assert_int_equal(last_error, -ENOENT);
}

/* ---- answering ---- */

static void read_fn(struct ns_query *query, const char *below, void *arg)
{
    ns_query_printf(query, "%s:%s", (const char *)arg, below);
}

static void read_leaf(struct ns_query *query, const char *below, void *arg)
{
    if (*below != '\0')
        ns_query_refuse(query, ENOENT, "%s: no such name", query->path);
    else
        ns_query_printf(query, "%s", (const char *)arg);
}

static void list_fn(struct ns_query *query, const char *below, void *arg)
{
    (void)arg;
    ns_query_answer(query, 0, *below == '\0' ? "x\0y" : "z", *below == '\0' ? 4 : 2);
}

static int setup(void **state)
{
    struct ns_store_options options = {.lcores = 0};

    (void)state;
    assert_int_equal(ns_store_new(&options, &store), 0);
    assert_int_equal(ns_stats_new(store, &stats), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    ns_stats_free(stats);
    ns_store_drain(store);
    ns_store_free(store);
    return 0;
}

static void nothing_registered(void **state)
{
    (void)state;
    expect_read("/stats", "computed");
    EXPECT_LIST("/stats", "");
    expect_absent("/stats/x");
    assert_int_equal(ns_stats_new(store, &stats), -EEXIST);
}

static void the_deepest_registration_answers(void **state)
{
    (void)state;
    assert_int_equal(ns_stats_add(stats, "lcore", read_fn, list_fn, "lcore"), 0);
    assert_int_equal(ns_stats_add(stats, "lcore/0/flows", read_fn, NULL, "flows"), 0);
    assert_int_equal(ns_stats_add(stats, "lcore", read_fn, NULL, "again"), -EEXIST);
    expect_read("/stats/lcore", "lcore:");
    expect_read("/stats/lcore/0/drops", "lcore:0/drops");
    expect_read("/stats/lcore/0/flows", "flows:");
    expect_read("/stats/lcore/0/flows/x", "flows:x");
    expect_read("/stats/lcore/0/flowsx", "lcore:0/flowsx");
    EXPECT_LIST("/stats/lcore", "x\0y\0");
    EXPECT_LIST("/stats/lcore/0", "z\0");
    expect_absent("/stats/lcor");
    expect_absent("/stats/lcores");
}

static void directories_hold_each_name_once_and_in_order(void **state)
{
    static const char *const names[] = {"b/c", "a", "b/a/x", "a-b", "b/a/y", "b", "c", "b.c"};

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        assert_int_equal(ns_stats_add(stats, names[i], read_leaf, NULL, "1"), 0);
    EXPECT_LIST("/stats", "a\0a-b\0b\0b.c\0c\0");
    EXPECT_LIST("/stats/b", "a\0c\0");
    EXPECT_LIST("/stats/b/a", "x\0y\0");
    EXPECT_LIST("/stats/b/a/x", "");
    expect_read("/stats/b/a/x", "1");
    expect_absent("/stats/d");
}

static void removal(void **state)
{
    (void)state;
    assert_int_equal(ns_stats_add(stats, "a/b", read_leaf, NULL, "1"), 0);
    assert_int_equal(ns_stats_add(stats, "a/c", read_leaf, NULL, "2"), 0);
    ns_stats_remove(stats, "a/b");
    ns_stats_remove(stats, "a/b");
    ns_stats_remove(stats, "none");
    EXPECT_LIST("/stats/a", "c\0");
    expect_absent("/stats/a/b");
    ns_stats_remove(stats, "a/c");
    expect_absent("/stats/a");
}

#define STATS_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STATS_TEST(nothing_registered),
        STATS_TEST(the_deepest_registration_answers),
        STATS_TEST(directories_hold_each_name_once_and_in_order),
        STATS_TEST(removal),
    };

    return cmocka_run_group_tests_name("stats", tests, NULL, NULL);
}
