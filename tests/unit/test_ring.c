/* SPDX-License-Identifier: BSD-3-Clause */
/* The ring page: bytes across the ring's end and across 2^32, indexes that can't be right, partial
 * messages between two threads, and a new connection. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "nameserv/ring.h"

/* With memory behind it that nobody may touch. */
struct lab {
    struct ns_ring_page page;
    unsigned char beyond[64];
};

static struct lab lab;

static int setup(void **state)
{
    (void)state;
    memset(&lab, 0, sizeof(lab));
    memset(lab.beyond, 0xa5, sizeof(lab.beyond));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(lab.beyond); i++)
        assert_int_equal(lab.beyond[i], 0xa5);
    return 0;
}

static void set_indexes(struct ns_ring ring, uint32_t consumer, uint32_t producer)
{
    *ring.consumer = consumer;
    *ring.producer = producer;
}

static void bytes_go_through_in_order_over_every_edge(void **state)
{
    /* Around the ring's end, and around 2^32. */
    static const uint32_t starts[] = {
        0, 1, 1000, 1023, 1024, 4095, UINT32_MAX, UINT32_MAX - 7, UINT32_MAX - 1023};
    struct ns_ring ring = ns_ring_requests(&lab.page);
    char in[NS_RING_SIZE], out[NS_RING_SIZE];

    (void)state;
    for (size_t i = 0; i < sizeof(in); i++)
        in[i] = (char)(i * 7 + i / 256);
    for (size_t s = 0; s < sizeof(starts) / sizeof(starts[0]); s++) {
        for (size_t size = 1; size <= NS_RING_SIZE; size += size < 16 ? 1 : 63) {
            set_indexes(ring, starts[s], starts[s]);
            assert_int_equal(ns_ring_put(ring, in, size), size);
            memset(out, 0, sizeof(out));
            assert_int_equal(ns_ring_take(ring, out, sizeof(out)), size);
            assert_memory_equal(in, out, size);
            assert_int_equal(*ring.consumer, (uint32_t)(starts[s] + size));
            assert_int_equal(*ring.producer, *ring.consumer);
        }
    }
}

static void a_full_ring_takes_no_more_and_an_empty_one_gives_none(void **state)
{
    struct ns_ring ring = ns_ring_replies(&lab.page);
    char bytes[2 * NS_RING_SIZE] = {0};

    (void)state;
    assert_int_equal(ns_ring_take(ring, bytes, sizeof(bytes)), 0);
    assert_false(ns_ring_pending(ring));
    assert_int_equal(ns_ring_put(ring, bytes, sizeof(bytes)), NS_RING_SIZE);
    assert_int_equal(ns_ring_put(ring, bytes, 1), 0);
    assert_true(ns_ring_pending(ring));
    assert_int_equal(ns_ring_take(ring, bytes, 24), 24);
    assert_int_equal(ns_ring_put(ring, bytes, 100), 24);
}

static void the_two_rings_are_apart(void **state)
{
    char got[8];

    (void)state;
    assert_int_equal(ns_ring_put(ns_ring_requests(&lab.page), "ask", 4), 4);
    assert_int_equal(ns_ring_put(ns_ring_replies(&lab.page), "answer", 7), 7);
    assert_int_equal(ns_ring_take(ns_ring_replies(&lab.page), got, sizeof(got)), 7);
    assert_string_equal(got, "answer");
    assert_string_equal(lab.page.request, "ask");
    assert_int_equal(lab.page.request_producer, 4);
    assert_int_equal(lab.page.reply_producer, 7);
    assert_int_equal(lab.page.reply_consumer, 7);
}

static void indexes_that_can_not_be_right_are_refused(void **state)
{
    static const uint32_t hostile[][2] = {
        {0, 1025},
        {0, UINT32_MAX},
        {1, 0},
        {5000, 3000},
        {UINT32_MAX, 1024},
        {0x80000000u, 0},
        {0, 0x80000000u},
        {UINT32_MAX - 1, 0x7fffffff},
        {0x7fffffff, 0xffffffff},
    };
    struct ns_ring rings[] = {ns_ring_requests(&lab.page), ns_ring_replies(&lab.page)};
    char bytes[4 * NS_RING_SIZE] = {0};

    (void)state;
    for (size_t i = 0; i < 2 * sizeof(hostile) / sizeof(hostile[0]); i++) {
        struct ns_ring ring = rings[i % 2];

        set_indexes(ring, hostile[i / 2][0], hostile[i / 2][1]);
        assert_int_equal(ns_ring_take(ring, bytes, sizeof(bytes)), -EIO);
        assert_int_equal(ns_ring_put(ring, bytes, sizeof(bytes)), -EIO);
        assert_true(ns_ring_pending(ring));
        assert_int_equal(*ring.consumer, hostile[i / 2][0]);
        assert_int_equal(*ring.producer, hostile[i / 2][1]);
    }
}

/* ---- two threads ---- */

enum { STREAM = 200000 };

static void *producer(void *arg)
{
    unsigned seed = 1;

    (void)arg;
    for (uint32_t done = 0; done < STREAM;) {
        unsigned char piece[200];
        size_t size = 1 + (size_t)rand_r(&seed) % sizeof(piece);
        ssize_t put;

        if (size > STREAM - done)
            size = STREAM - done;
        for (size_t i = 0; i < size; i++)
            piece[i] = (unsigned char)((done + i) * 31 >> 3);
        put = ns_ring_put(ns_ring_requests(&lab.page), piece, size);
        assert_true(put >= 0);
        done += (uint32_t)put;
        if (put == 0)
            sched_yield();
    }
    return NULL;
}

static void no_byte_is_read_before_it_is_written_nor_overwritten_before_it_is_read(void **state)
{
    pthread_t thread;

    (void)state;
    lab.page.request_consumer = lab.page.request_producer = UINT32_MAX - 5000;
    assert_int_equal(pthread_create(&thread, NULL, producer, NULL), 0);
    for (uint32_t done = 0; done < STREAM;) {
        unsigned char piece[333];
        ssize_t got = ns_ring_take(ns_ring_requests(&lab.page), piece, sizeof(piece));

        assert_true(got >= 0);
        for (ssize_t i = 0; i < got; i++)
            assert_int_equal(piece[i], (unsigned char)((done + (uint32_t)i) * 31 >> 3));
        done += (uint32_t)got;
        if (got == 0)
            sched_yield();
    }
    pthread_join(thread, NULL);
}

/* The guest writes nonsense into all words while the server works: no copy leaves the rings. */
static _Atomic int stop;

static void *vandal(void *arg)
{
    unsigned seed = 7;

    (void)arg;
    while (!stop) {
        uint32_t *words = &lab.page.request_consumer;

        for (int i = 0; i < 4; i++)
            __atomic_store_n(&words[i], (uint32_t)rand_r(&seed) % 2048, __ATOMIC_RELAXED);
    }
    return NULL;
}

static void indexes_that_change_meanwhile_move_no_copy_out_of_the_ring(void **state)
{
    char guarded[NS_RING_SIZE + 64];
    pthread_t thread;

    (void)state;
    stop = 0;
    memset(guarded, 0x5a, sizeof(guarded));
    assert_int_equal(pthread_create(&thread, NULL, vandal, NULL), 0);
    for (int i = 0; i < 100000; i++) {
        ssize_t got = ns_ring_take(ns_ring_requests(&lab.page), guarded, NS_RING_SIZE);

        assert_true(got == -EIO || (got >= 0 && got <= NS_RING_SIZE));
        got = ns_ring_put(ns_ring_replies(&lab.page), guarded, NS_RING_SIZE);
        assert_true(got == -EIO || (got >= 0 && got <= NS_RING_SIZE));
    }
    stop = 1;
    pthread_join(thread, NULL);
    for (size_t i = NS_RING_SIZE; i < sizeof(guarded); i++)
        assert_int_equal(guarded[i], 0x5a);
}

/* ---- a new connection ---- */

static void a_guest_asks_for_a_new_connection(void **state)
{
    char byte;

    (void)state;
    assert_int_equal(ns_ring_ask_reconnect(&lab.page), -EOPNOTSUPP);
    assert_true(ns_ring_connected(&lab.page));
    ns_ring_offer(&lab.page, NS_RING_FEATURE_RECONNECTION | NS_RING_FEATURE_ERROR);
    ns_ring_put(ns_ring_requests(&lab.page), "half", 4);
    ns_ring_put(ns_ring_replies(&lab.page), "old", 3);
    ns_ring_fail(&lab.page, NS_RING_PROTOCOL);
    assert_int_equal(ns_ring_failed(&lab.page), NS_RING_PROTOCOL);

    assert_false(ns_ring_reconnect_asked(&lab.page));
    assert_int_equal(ns_ring_ask_reconnect(&lab.page), 0);
    assert_true(ns_ring_reconnect_asked(&lab.page));
    assert_false(ns_ring_connected(&lab.page));
    ns_ring_reset(&lab.page);
    assert_true(ns_ring_connected(&lab.page));
    assert_int_equal(ns_ring_failed(&lab.page), NS_RING_OK);
    assert_int_equal(ns_ring_take(ns_ring_requests(&lab.page), &byte, 1), 0);
    assert_int_equal(ns_ring_take(ns_ring_replies(&lab.page), &byte, 1), 0);
    assert_int_equal(lab.page.features, NS_RING_FEATURE_RECONNECTION | NS_RING_FEATURE_ERROR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(bytes_go_through_in_order_over_every_edge, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_ring_takes_no_more_and_an_empty_one_gives_none,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(the_two_rings_are_apart, setup, teardown),
        cmocka_unit_test_setup_teardown(indexes_that_can_not_be_right_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(
            no_byte_is_read_before_it_is_written_nor_overwritten_before_it_is_read, setup,
            teardown),
        cmocka_unit_test_setup_teardown(indexes_that_change_meanwhile_move_no_copy_out_of_the_ring,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_guest_asks_for_a_new_connection, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
