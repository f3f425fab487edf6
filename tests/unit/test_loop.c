/* SPDX-License-Identifier: BSD-3-Clause */
/* The control core's loop: descriptors, timers, the hook, and waking it from elsewhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "nameserv/loop.h"
#include "nameserv/rcu.h"

static struct ns_loop *loop;

static int setup(void **state)
{
    (void)state;
    ns_rcu_register();
    loop = ns_loop_new();
    return loop == NULL;
}

static int teardown(void **state)
{
    (void)state;
    ns_loop_free(loop);
    ns_rcu_unregister();
    return 0;
}

/* ---- timers ---- */

enum { TIMERS = 500 };

struct numbered {
    struct ns_timer timer; /* first */
    uint64_t after;
};

static struct numbered numbered[TIMERS];
static size_t fired_count;
static struct numbered *fired[TIMERS];

static void count_fired(struct ns_timer *timer)
{
    assert_false(ns_timer_running(timer));
    fired[fired_count++] = (struct numbered *)timer;
}

static void stop_loop(struct ns_timer *timer)
{
    (void)timer;
    ns_loop_stop(loop);
}

static void timers_fire_in_order_and_stopped_ones_do_not(void **state)
{
    struct ns_timer last = {.fn = stop_loop};
    size_t expected = 0;

    (void)state;
    fired_count = 0;
    srand(1);
    for (size_t i = 0; i < TIMERS; i++) {
        numbered[i] =
            (struct numbered){.timer.fn = count_fired, .after = (uint64_t)(rand() % 1000000)};
        assert_int_equal(ns_timer_start(loop, &numbered[i].timer, numbered[i].after), 0);
    }
    /* Move some, stop some. */
    for (size_t i = 0; i < TIMERS; i += 3) {
        numbered[i].after = (uint64_t)(rand() % 2000000);
        assert_int_equal(ns_timer_start(loop, &numbered[i].timer, numbered[i].after), 0);
    }
    for (size_t i = 0; i < TIMERS; i += 5)
        ns_timer_stop(loop, &numbered[i].timer);
    ns_timer_stop(loop, &numbered[0].timer); /* twice is nothing */
    for (size_t i = 0; i < TIMERS; i++)
        expected += ns_timer_running(&numbered[i].timer);
    assert_int_equal(expected, TIMERS - TIMERS / 5);
    assert_int_equal(ns_timer_start(loop, &last, 3000000), 0);
    ns_loop_run(loop);

    assert_int_equal(fired_count, expected);
    for (size_t i = 1; i < fired_count; i++)
        assert_true(fired[i - 1]->after <= fired[i]->after);
}

static uint64_t rounds;
static uint64_t round_of_first, round_of_second;
static struct ns_timer second;

static uint64_t count_round(void *arg)
{
    (void)arg;
    rounds++;
    return UINT64_MAX;
}

static void second_fires(struct ns_timer *timer)
{
    (void)timer;
    round_of_second = rounds;
    ns_loop_stop(loop);
}

static void first_fires(struct ns_timer *timer)
{
    static int times;

    round_of_first = rounds;
    if (++times < 100) { /* itself, at once, again and again: rounds go on meanwhile */
        ns_timer_start(loop, timer, 0);
        return;
    }
    second.fn = second_fires;
    ns_timer_start(loop, &second, 0);
}

static void a_timer_started_by_a_timer_fires_in_the_next_round(void **state)
{
    struct ns_timer first = {.fn = first_fires};

    (void)state;
    rounds = 0;
    ns_loop_hook(loop, count_round, NULL);
    ns_timer_start(loop, &first, 0);
    ns_loop_run(loop);
    assert_true(round_of_first >= 99);
    assert_true(round_of_second > round_of_first);
}

/* ---- descriptors ---- */

struct counted {
    struct ns_io io; /* first */
    struct counted *other;
    int calls;
    uint64_t round;
};

static void remove_both(struct ns_io *io, uint32_t events)
{
    struct counted *self = (struct counted *)io;

    assert_int_equal(events, EPOLLIN);
    self->calls++;
    ns_loop_remove(loop, &self->other->io);
    ns_loop_remove(loop, io);
    ns_loop_stop(loop);
}

static int signalled(void)
{
    return eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
}

static void a_removed_descriptor_is_silent_at_once(void **state)
{
    struct counted a = {.io = {signalled(), remove_both}}, b = {.io = {signalled(), remove_both}};

    (void)state;
    a.other = &b;
    b.other = &a;
    assert_int_equal(ns_loop_add(loop, &a.io, EPOLLIN), 0);
    assert_int_equal(ns_loop_add(loop, &b.io, EPOLLIN), 0);
    ns_loop_run(loop);
    assert_int_equal(a.calls + b.calls, 1); /* both were readable in that round */
    close(a.io.fd);
    close(b.io.fd);
}

static struct ns_timer same_round;

static void same_round_fires(struct ns_timer *timer)
{
    (void)timer;
    round_of_first = rounds;
    ns_loop_stop(loop);
}

static void start_timer(struct ns_io *io, uint32_t events)
{
    (void)events;
    ((struct counted *)io)->round = rounds;
    ns_timer_start(loop, &same_round, 0);
    ns_loop_change(loop, io, 0);
}

static void a_timer_started_by_a_descriptor_fires_in_the_same_round(void **state)
{
    struct counted a = {.io = {signalled(), start_timer}};

    (void)state;
    rounds = 0;
    same_round = (struct ns_timer){.fn = same_round_fires};
    ns_loop_hook(loop, count_round, NULL);
    assert_int_equal(ns_loop_add(loop, &a.io, EPOLLIN), 0);
    ns_loop_run(loop);
    assert_int_equal(a.round, round_of_first);
    ns_loop_remove(loop, &a.io);
    close(a.io.fd);
}

static void a_bad_descriptor_is_refused(void **state)
{
    struct ns_io io = {.fd = -1};

    (void)state;
    assert_true(ns_loop_add(loop, &io, EPOLLIN) < 0);
}

/* ---- the hook, waking, stopping ---- */

static uint64_t poll_ten_times(void *arg)
{
    if (++*(int *)arg == 10)
        ns_loop_stop(loop);
    return 0;
}

static void the_hook_can_poll(void **state)
{
    int calls = 0;

    (void)state;
    ns_loop_hook(loop, poll_ten_times, &calls);
    ns_loop_run(loop);
    assert_int_equal(calls, 10);
}

/* ---- who shares the CPU with a loop that polls ---- */

enum { ROUNDS = 2000 };
static _Atomic bool runs, over;
static unsigned turns; /* of the other thread */

static void pin(void)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(sched_getcpu(), &set);
    assert_int_equal(pthread_setaffinity_np(pthread_self(), sizeof(set), &set), 0);
}

static void *take_turns(void *arg)
{
    for (runs = true; !over; turns++)
        sched_yield();
    return arg;
}

static uint64_t poll_for_long(void *arg)
{
    if (runs && ++*(int *)arg == ROUNDS)
        ns_loop_stop(loop);
    return 0;
}

/* Or it would have thousands of rounds for each turn of the other. */
static void a_loop_that_polls_lets_others_go_first(void **state)
{
    cpu_set_t before;
    pthread_t thread;
    int calls = 0;

    (void)state;
    pthread_getaffinity_np(pthread_self(), sizeof(before), &before);
    pin(); /* the other thread inherits it */
    assert_int_equal(pthread_create(&thread, NULL, take_turns, NULL), 0);
    ns_loop_hook(loop, poll_for_long, &calls);
    ns_loop_run(loop);
    over = true;
    pthread_join(thread, NULL);
    pthread_setaffinity_np(pthread_self(), sizeof(before), &before);
    assert_true(turns > ROUNDS / 10);
}

static uint64_t soon(void *arg)
{
    if (++*(int *)arg == 10)
        ns_loop_stop(loop);
    return 100000; /* nothing else would end the sleep */
}

static void the_hook_bounds_the_sleep(void **state)
{
    int calls = 0;

    (void)state;
    ns_loop_hook(loop, soon, &calls);
    ns_loop_run(loop);
    assert_int_equal(calls, 10);
}

enum { WAKES = 1000 };
static _Atomic int asked, answered;

static uint64_t answer(void *arg)
{
    (void)arg;
    answered = asked;
    return UINT64_MAX;
}

static void *wake_often(void *arg)
{
    (void)arg;
    for (int i = 1; i <= WAKES; i++) {
        asked = i;
        ns_loop_wake(loop);
        while (answered != i)
            usleep(10);
    }
    ns_loop_stop(loop);
    return NULL;
}

static void another_thread_can_wake_and_stop(void **state)
{
    pthread_t thread;

    (void)state;
    asked = answered = 0;
    ns_loop_hook(loop, answer, NULL);
    assert_int_equal(pthread_create(&thread, NULL, wake_often, NULL), 0);
    ns_loop_run(loop);
    pthread_join(thread, NULL);
    assert_int_equal(answered, WAKES);
}

static void a_stop_before_the_run_counts(void **state)
{
    int calls = 0;

    (void)state;
    ns_loop_hook(loop, poll_ten_times, &calls);
    ns_loop_stop(loop);
    ns_loop_run(loop);
    assert_int_equal(calls, 0);
}

#define LOOP_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOP_TEST(timers_fire_in_order_and_stopped_ones_do_not),
        LOOP_TEST(a_timer_started_by_a_timer_fires_in_the_next_round),
        LOOP_TEST(a_removed_descriptor_is_silent_at_once),
        LOOP_TEST(a_timer_started_by_a_descriptor_fires_in_the_same_round),
        LOOP_TEST(a_bad_descriptor_is_refused),
        LOOP_TEST(the_hook_can_poll),
        LOOP_TEST(a_loop_that_polls_lets_others_go_first),
        LOOP_TEST(the_hook_bounds_the_sleep),
        LOOP_TEST(another_thread_can_wake_and_stop),
        LOOP_TEST(a_stop_before_the_run_counts),
    };

    return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
