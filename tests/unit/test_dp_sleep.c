/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Workers on lcores of their own that sleep: whatever is for them wakes them, at the worst moment too. They
 * would nap for a minute, so that what they do in time they were woken for. (EAL calls pthread_create() for
 * lcores.)
 */
#include <unistd.h>

#include "tests/unit/dp_lab.h"

enum { PATIENCE_S = 30, NAP_S = 60 };

static const struct worker_options sleepy = {.sleep_after_us = 1, .nap_us = NAP_S * 1000000};

static uint64_t seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec;
}

/* Wait until it is true. */
#define assert_soon(what)                                        \
    do {                                                         \
        for (uint64_t end_ = seconds() + PATIENCE_S; !(what);) { \
            if (seconds() > end_)                                \
                fail_msg("%s: not in time", #what);              \
            ns_rcu_quiescent();                                  \
            usleep(1);                                           \
        }                                                        \
    } while (0)

static bool sleeps(unsigned worker)
{
    return atomic_load(&dp.workers.worker[worker]->subscriber->sleeping) != 0;
}

static uint64_t counter(const uint64_t *value)
{
    return __atomic_load_n(value, __ATOMIC_RELAXED);
}

static void start(unsigned count)
{
    const unsigned lcores[] = {1, 2};

    assert_int_equal(workers_start(&dp.workers, lcores, count), 0);
    dp.worker = dp.workers.worker[0];
}

static int setup(void **state)
{
    (void)state;
    dp_begin_store(sleepy, 1);
    return 0;
}

static int setup_two(void **state)
{
    struct lab *lab = &dp.lab;

    (void)state;
    dp_begin_store(sleepy, 2);
    assert_done(stack(lab, "/port/p1/lcore=1"));
    assert_done(user(lab, "/port/p0/workers=1"));
    dp_neighbour("out0", 1, 2);
    return 0;
}

static int setup_spread(void **state)
{
    (void)state;
    dp_begin_store(sleepy, 2);
    dp_neighbour("out0", 1, 2);
    return 0;
}

static int teardown(void **state)
{
    workers_stop(&dp.workers);
    return dp_end(state);
}

static void an_idle_worker_sleeps_and_can_be_stopped(void **state)
{
    uint64_t begin = seconds();

    (void)state;
    start(1);
    assert_soon(sleeps(0) && counter(&dp.worker->counters.naps) > 0);
    workers_stop(&dp.workers);
    assert_true(seconds() - begin < NAP_S);
}

static unsigned answers;

static void answered(struct question *question, unsigned worker)
{
    (void)question;
    (void)worker;
    answers++;
}

/* Each comes when the worker is about to sleep, sleeps, or is about to wake. */
static void every_order_is_carried_out(void **state)
{
    struct question question = {.kind = QUESTION_ORIGIN, .answered = answered};
    const struct order order = {.kind = ORDER_QUESTION, .question = &question};

    (void)state;
    answers = 0;
    start(1);
    for (unsigned i = 0; i < 3000; i++) {
        for (volatile unsigned pause = 0; pause < (i * 37) % 5000; pause++)
            ;
        assert_int_equal(worker_order(dp.worker, &order), 0);
        assert_soon((dp_serve(), answers == i + 1));
    }
    assert_true(counter(&dp.worker->counters.naps) > 0);
}

/* A packet that came before is held; the control core is woken, makes its anchors, and the notice wakes
 * the worker, which sends it. */
static void notices_and_requests_wake(void **state)
{
    (void)state;
    dp_neighbour("out0", 1, 2);
    dp_send(IN, udp(address(1, 2), 1));
    start(1);
    assert_soon(atomic_load(&dp.woken) > 0);
    assert_soon((dp_serve(), counter(&dp.worker->counters.ports[OUT].tx_packets) == 1));
}

static void every_commit_is_applied(void **state)
{
    struct lab *lab = &dp.lab;

    (void)state;
    dp_neighbour("out0", 1, 2);
    dp_send(IN, udp(address(1, 2), 1));
    start(1);
    assert_soon((dp_serve(), counter(&dp.worker->counters.ports[OUT].tx_packets) == 1));
    for (unsigned i = 0; i < 1000; i++) {
        struct ns_subscriber *subscriber = dp.worker->subscriber;
        char name[80];

        snprintf(name, sizeof(name), "/neigh/out0/10.1.0.2=02:00:00:01:%02x:%02x static", i >> 8,
                 i & 255);
        assert_done(user(lab, name));
        assert_soon(atomic_load(&subscriber->applied) >= ns_store_version(lab->store)->number);
    }
}

/* Its port is served by the other worker, which sleeps. */
static void a_worker_wakes_another(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 20; i++)
        dp_send(IN, udp(address(1, 2), (uint16_t)i));
    start(2);
    assert_soon((dp_serve(), counter(&dp.workers.worker[1]->counters.ports[OUT].tx_packets) == 20));
    assert_int_equal(counter(&dp.workers.worker[0]->counters.ports[OUT].tx_packets), 0);
    assert_soon(sleeps(0) && sleeps(1));
    workers_stop(&dp.workers);
    for (unsigned i = 0; i < 20; i++) {
        struct rte_mbuf *mbuf = dp_receive(OUT);

        assert_non_null(mbuf);
        assert_int_equal(number_of(mbuf), i);
        rte_pktmbuf_free(mbuf);
    }
}

static uint64_t sent_by_all(void)
{
    for (unsigned i = 0; i < 2; i++)
        dp_serve_worker(dp.workers.worker[i]);
    return counter(&dp.worker->counters.ports[OUT].tx_packets);
}

/* Both sleep; the first, who polls, is woken by its port, for which the test stands. The flow is the other's. */
static void who_spreads_wakes_who_has_the_flow(void **state)
{
    const struct worker_counters *other;

    (void)state;
    start(2);
    other = &dp.workers.worker[1]->counters;
    for (uint16_t i = 0; i < 200; i++) {
        assert_soon(sleeps(0) && sleeps(1));
        dp_send(IN, udp(address(1, 2), i));
        worker_wake(dp.worker);
        assert_soon(sent_by_all() == i + 1u);
        assert_soon(sleeps(1)); /* an order that ThreadSanitizer knows: the driver's it doesn't */
        rte_pktmbuf_free(dp_receive(OUT));
    }
    assert_in_range(counter(&other->spread_in), 50, 150);
    assert_int_equal(counter(&other->spread_in), counter(&dp.worker->counters.spread_out));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_idle_worker_sleeps_and_can_be_stopped, setup, teardown),
        cmocka_unit_test_setup_teardown(every_order_is_carried_out, setup, teardown),
        cmocka_unit_test_setup_teardown(notices_and_requests_wake, setup, teardown),
        cmocka_unit_test_setup_teardown(every_commit_is_applied, setup, teardown),
        cmocka_unit_test_setup_teardown(a_worker_wakes_another, setup_two, teardown),
        cmocka_unit_test_setup_teardown(who_spreads_wakes_who_has_the_flow, setup_spread, teardown),
    };

    dp_eal_on(sysconf(_SC_NPROCESSORS_ONLN) > 1 ? "0@0,1@1,2@1" : "0@0,1@0,2@0");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
