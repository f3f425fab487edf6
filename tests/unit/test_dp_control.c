/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How the control core sleeps while workers are awake, and who wakes it. The test is the control core, and calls the
 * worker's rounds.
 */
#include <unistd.h>

#include "dataplane/control.h"
#include "tests/unit/dp_lab.h"

enum { QUIET_US = 1100 }; /* for a millisecond nobody wakes it */

static struct control control;

static int setup(void **state)
{
    const unsigned lcores[] = {0};

    (void)state;
    dp_begin_store((struct worker_options){.poll = true}, 1);
    control = (struct control){
        .store = dp.lab.store,
        .loop = ns_loop_new(),
        .modules = {.links = dp.lab.links, .adjacencies = dp.adjacencies},
        .pool = dp.pool,
        .workers = dp.workers,
    };
    if (control.loop == NULL)
        return -1;
    assert_int_equal(workers_new(&control.workers, lcores, 1), 0);
    dp.worker = control.workers.worker[0];
    dp_neighbour("out0", 1, 2);
    ns_store_drain(dp.lab.store);
    control_start(&control);
    return 0;
}

static int teardown(void **state)
{
    workers_free(&control.workers);
    ns_loop_free(control.loop);
    return dp_end(state);
}

static void stop_loop(struct ns_timer *timer)
{
    (void)timer;
    ns_loop_stop(control.loop);
}

static void run_for(uint64_t ns)
{
    struct ns_timer end = {.fn = stop_loop};

    assert_int_equal(ns_timer_start(control.loop, &end, ns), 0);
    ns_loop_run(control.loop);
}

static void one_round(void)
{
    run_for(0);
}

static bool says_that_it_sleeps(void)
{
    return atomic_load(&control.workers.control_sleeps) != 0;
}

static void be_quiet(void)
{
    one_round(); /* which sees the newest commit */
    for (unsigned rounds = 0; !says_that_it_sleeps(); rounds++) {
        assert_true(rounds < 1000);
        usleep(QUIET_US);
        one_round();
    }
}

/* A packet whose next hop has no anchor yet: the worker asks for it. */
static void ask_for(unsigned host)
{
    dp_send(IN, udp(address(1, host), 1));
    worker_round(dp.worker);
    assert_true(worker_has_requests(dp.worker));
}

static void a_request_wakes_it_though_workers_are_awake(void **state)
{
    (void)state;
    be_quiet();
    assert_int_equal(atomic_load(&dp.woken), 0);
    ask_for(2);
    assert_int_equal(atomic_load(&dp.woken), 1);
    ask_for(3);
    assert_int_equal(atomic_load(&dp.woken), 1); /* once is enough */
    one_round();
    assert_false(worker_has_requests(dp.worker));
}

/* So a storm of requests costs workers a wake-up each millisecond, not one each. */
static void it_looks_by_itself_for_a_while_after_a_request(void **state)
{
    (void)state;
    be_quiet();
    ask_for(2);
    one_round();
    assert_false(says_that_it_sleeps());
    ask_for(3);
    assert_int_equal(atomic_load(&dp.woken), 1);
}

static void it_sleeps_long_while_a_worker_polls(void **state)
{
    uint64_t rounds;

    (void)state;
    be_quiet();
    rounds = control.counters.rounds;
    run_for(100000000);
    assert_true(control.counters.rounds - rounds < 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_request_wakes_it_though_workers_are_awake, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(it_looks_by_itself_for_a_while_after_a_request, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(it_sleeps_long_while_a_worker_polls, setup, teardown),
    };

    dp_eal();
    return cmocka_run_group_tests_name("dp_control", tests, NULL, NULL);
}
