/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Following a commit through: what a worker stamps, and when it doesn't.
 */
#include "dataplane/trace.h"
#include "nameserv/trace.h"
#include "tests/unit/dp_lab.h"

enum { FLOWS = 20 };

static struct worker_trace slot;
static struct lab *const lab = &dp.lab;

static void publishing(struct ns_trace *trace)
{
    atomic_store(&slot.number, trace->number);
}

static struct ns_trace trace = {.path = "/neigh/out0/10.1.0.2", .publishing = publishing};

static void send_all(void)
{
    for (uint16_t i = 0; i < FLOWS; i++)
        dp_send(IN, udp(address(1, 2), i));
    dp_run();
    for (struct rte_mbuf *mbuf; (mbuf = dp_receive(OUT)) != NULL;)
        rte_pktmbuf_free(mbuf);
}

static int setup(void **state)
{
    dp_begin(state);
    dp_neighbour("out0", 1, 2);
    send_all();
    memset(&slot, 0, sizeof(slot));
    trace_arm(dp.worker, &slot);
    ns_store_trace(lab->store, &trace);
    return 0;
}

static int teardown(void **state)
{
    ns_store_trace(lab->store, NULL);
    return dp_end(state);
}

static void move(void)
{
    assert_done(user(lab, "/neigh/out0/10.1.0.2=02:00:00:00:01:07 static"));
}

static void a_change_is_followed_to_its_first_packet(void **state)
{
    (void)state;
    move();
    assert_int_equal(trace.number, ns_store_version(lab->store)->number);
    assert_int_equal(trace.lcores, 1);
    assert_true(trace.began <= trace.published && trace.published <= trace.notified);
    dp_run();
    assert_true(trace.published < slot.seen && trace.published < slot.noticed);
    assert_true(slot.noticed <= slot.applied);
    assert_int_equal(slot.flows, FLOWS);
    assert_int_equal(slot.packet, 0);
    send_all();
    assert_true(slot.packet > slot.noticed);
    assert_int_equal(slot.key.dst, address(1, 2));
}

/* The first packet is that of the change, not of the time after it. */
static void other_changes_are_not_followed(void **state)
{
    (void)state;
    dp_neighbour("out0", 1, 3);
    assert_done(user(lab, "/neigh/out0/10.1.0.22=02:00:00:00:01:07 static"));
    send_all();
    assert_int_equal(trace.number, 0);
    assert_int_equal(slot.seen | slot.noticed | slot.applied | slot.packet, 0);
    move();
    assert_true(trace.number > 0);
}

static void only_the_first_is_followed(void **state)
{
    uint64_t number;

    (void)state;
    move();
    number = trace.number;
    dp_neighbour("out0", 1, 2);
    assert_int_equal(trace.number, number);
}

/* Flows that are bound anew by a route. */
static void bindings_are_followed(void **state)
{
    (void)state;
    trace.path = "/route/10.1.0.2";
    dp_neighbour("out0", 1, 9);
    assert_done(user(lab, "/route/10.1.0.2/32=via 10.1.0.9"));
    trace.path = "/neigh/out0/10.1.0.2";
    assert_true(trace.number > 0);
    send_all();
    send_all();
    assert_true(slot.packet > slot.noticed && slot.noticed > trace.published);
    assert_true(slot.flows > 0);
}

static void nothing_is_stamped_when_it_is_over(void **state)
{
    (void)state;
    trace_arm(dp.worker, NULL);
    move();
    send_all();
    assert_int_equal(slot.seen | slot.noticed | slot.applied | slot.packet, 0);
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(a_change_is_followed_to_its_first_packet),
        test(other_changes_are_not_followed),
        test(only_the_first_is_followed),
        test(bindings_are_followed),
        test(nothing_is_stamped_when_it_is_over),
    };

    dp_eal();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
