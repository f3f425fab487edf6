/* SPDX-License-Identifier: BSD-3-Clause */
/* /stats/applied: when it answers. The lcore is played by the test, through its subscriber. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dataplane/stats_p.h"
#include "nameserv/stats.h"

static struct ns_store *store;
static struct ns_stats *names;
static struct control control;
static struct ns_subscriber *lcore;
static struct ns_query query;
static unsigned answers;
static int answer;

static int setup(void **state)
{
    const struct ns_store_options options = {.lcores = 1};

    (void)state;
    assert_int_equal(ns_store_new(&options, &store), 0);
    assert_int_equal(ns_stats_new(store, &names), 0);
    control = (struct control){.store = store, .workers.count = 1};
    control.loop = ns_loop_new();
    assert_non_null(control.loop);
    assert_int_equal(stats_new(&control, names, &control.stats), 0);
    lcore = ns_store_subscriber(store, 0);
    answers = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    stats_free(control.stats);
    ns_loop_free(control.loop);
    ns_store_drain(store);
    ns_stats_free(names);
    ns_store_free(store);
    return 0;
}

static void take_answer(struct ns_query *asked, int error, const void *data, size_t size)
{
    (void)asked;
    (void)data;
    (void)size;
    answers++;
    answer = error;
}

static void ask(void)
{
    struct ns_mount *mount = ns_mount_find(store, "/stats/applied", strlen("/stats/applied"));

    query = (struct ns_query){.store = store, .path = "/stats/applied", .answer = take_answer};
    mount->ops->read(mount, &query);
}

static uint64_t newest(void)
{
    return ns_store_version(store)->number;
}

/* It uses another version, and has notices, that it has not dealt with. */
static void test_an_lcore_that_runs(void **state)
{
    (void)state;
    atomic_store(&lcore->seen, newest() - 1);
    atomic_store(&lcore->notified, 7);
    ask();
    assert_int_equal(answers, 0);
    atomic_store(&lcore->seen, newest());
    stats_poll(control.stats);
    assert_int_equal(answers, 0);
    atomic_store(&lcore->applied, 7);
    stats_poll(control.stats);
    assert_int_equal(answers, 1);
    assert_int_equal(answer, 0);
}

/* It uses no version at all. */
static void test_an_lcore_that_sleeps_with_nothing_to_do(void **state)
{
    (void)state;
    atomic_store(&lcore->sleeping, 1);
    ask();
    assert_int_equal(answers, 1);
    assert_int_equal(answer, 0);
}

/* It is being woken; its first round deals with a slice of its notices only, and forwards. */
static void test_an_lcore_that_sleeps_over_its_notices(void **state)
{
    (void)state;
    atomic_store(&lcore->sleeping, 1);
    atomic_store(&lcore->notified, 7);
    ask();
    assert_int_equal(answers, 0);
    atomic_store(&lcore->applied, 7);
    stats_poll(control.stats);
    assert_int_equal(answers, 1);
    assert_int_equal(answer, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_an_lcore_that_runs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_lcore_that_sleeps_with_nothing_to_do, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_an_lcore_that_sleeps_over_its_notices, setup,
                                        teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
