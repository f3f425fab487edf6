/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Packets that wait for an anchor or a neighbour: in order, within bounds, and answered when it was in
 * vain.
 */
#include "tests/unit/dp_lab.h"

static void send_numbers(unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++)
        dp_send(IN, udp(address(1, 2), (uint16_t)i));
}

static void assert_numbers(unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++) {
        struct rte_mbuf *mbuf = dp_receive(OUT);

        assert_non_null(mbuf);
        assert_int_equal(number_of(mbuf), i);
        assert_int_equal(ip_of(mbuf)->time_to_live, 63);
        rte_pktmbuf_free(mbuf);
    }
    assert_silence();
}

static void resolve(void)
{
    dp_neighbour("out0", 1, 2);
}

static void fail_to_resolve(void)
{
    struct lab *lab = &dp.lab;

    assert_done(user(lab, "/neigh/out0/10.1.0.2=failed"));
}

static void a_packet_waits_for_its_neighbour(void **state)
{
    (void)state;
    dp_freeze();
    send_numbers(0, 1);
    dp_run();
    assert_silence();
    assert_int_equal(dp.asked[REQUEST_MISSING], 1);
    assert_int_equal(dp.asked[REQUEST_RESOLVE], 1);
    assert_int_equal(dp.last[REQUEST_RESOLVE].resolve.next_hop, address(1, 2));
    assert_int_equal(dp.last[REQUEST_RESOLVE].resolve.iface,
                     links_iface(lab_links(&dp.lab), "out0")->id);
    assert_int_equal(dp.worker->counters.held_now, 1);
    resolve();
    dp_run();
    assert_numbers(0, 1);
    assert_int_equal(dp.worker->counters.held_now, 0);
    assert_int_equal(dp.worker->counters.released, 1);
    assert_int_equal(dp.worker->held_queues, 0);
    assert_int_equal(dropped_in_all(), 0);
}

static void order_is_kept(void **state)
{
    (void)state;
    send_numbers(0, 10);
    dp_run();
    send_numbers(10, 40);
    dp_run();
    resolve();
    send_numbers(40, 60); /* come in together with the notice: behind the others */
    dp_run();
    send_numbers(60, 70);
    dp_run();
    assert_numbers(0, 70);
    assert_int_equal(dp.worker->counters.released, dp.worker->counters.held);
}

/* Packets that see the new record already while others still wait. */
static void later_packets_queue_behind(void **state)
{
    (void)state;
    dp.worker->workers->options.hold_packets = 100;
    send_numbers(0, 5);
    dp_run();
    resolve();
    /* the port takes nothing now */
    for (unsigned i = 0; i < DP_RING - 1; i++)
        assert_int_equal(rte_ring_enqueue(dp.out[OUT], rte_pktmbuf_alloc(dp.pool)), 0);
    dp.worker->outs[OUT].stuck_since = dp.worker->tsc;
    dp_freeze();
    send_numbers(5, 15);
    for (unsigned i = 0; i < 10; i++)
        worker_round(dp.worker);
    assert_int_equal(dp.worker->counters.held_now, 15);
    dp_empty(dp.out[OUT]);
    dp.worker->outs[OUT].stuck_since = 0;
    dp_run();
    assert_numbers(0, 15);
}

/* More than the port can take at once: what it has no room for goes on waiting. */
static void release_is_paced_to_the_port(void **state)
{
    unsigned came = 0;
    struct rte_mbuf *mbuf;

    (void)state;
    dp.worker->workers->options.hold_packets = 250;
    for (unsigned i = 0; i < 10; i++) {
        send_numbers(i * 25, i * 25 + 25);
        dp_run();
    }
    dp_freeze();
    resolve();
    for (unsigned round = 0; round < 100; round++) {
        worker_round(dp.worker);
        for (unsigned i = 0; i < 5 && (mbuf = dp_receive(OUT)) != NULL; i++) { /* a slow port */
            assert_int_equal(number_of(mbuf), came++);
            rte_pktmbuf_free(mbuf);
        }
    }
    assert_int_equal(came, 250);
    assert_int_equal(dropped_in_all(), 0);
}

static void a_queue_is_bounded(void **state)
{
    (void)state;
    send_numbers(0, 100);
    dp_run();
    assert_int_equal(dp.worker->counters.held_now, 64);
    assert_int_equal(dropped(DROP_HOLD_FULL), 36);
    resolve();
    dp_run();
    assert_numbers(0, 64); /* the oldest stay */
}

/* A scan of addresses can't hold more than that in all. */
static void all_queues_are_bounded(void **state)
{
    uint64_t most = dp.worker->workers->options.hold_total;

    (void)state;
    dp_freeze();
    assert_int_equal(most, (DP_POOL / 8));
    for (unsigned i = 0; i < 1200; i++) {
        dp_send(IN, udp(RTE_BE32(0x0a010000) | rte_cpu_to_be_32(2 + i % 250), (uint16_t)(i % 4)));
        dp_run();
    }
    assert_true(dp.worker->counters.held_now <= most);
    assert_int_equal(dp.worker->counters.held_now + dropped(DROP_HOLD_FULL), 1200);
    assert_true(rte_mempool_avail_count(dp.pool) >= DP_POOL - most - 1);
}

static void who_waits_too_long_is_dropped(void **state)
{
    struct rte_mbuf *mbuf;

    (void)state;
    dp_neighbour("in0", 0, 2);
    dp_send(IN, udp(RTE_BE32(0xc0a80505), 1)); /* makes the flow of errors to host 2 */
    dp_run();
    rte_pktmbuf_free(dp_receive(IN));
    send_numbers(0, 10);
    dp_run();
    dp_age();
    dp_run();
    assert_int_equal(dropped(DROP_HOLD_TIMEOUT), 10);
    assert_int_equal(dp.worker->held_queues, 0);
    mbuf = dp_receive(IN); /* its source is told, once */
    assert_non_null(mbuf);
    assert_int_equal(l4_of(mbuf)[0], ICMP_UNREACHABLE);
    assert_int_equal(l4_of(mbuf)[1], ICMP_UNREACHABLE_HOST);
    rte_pktmbuf_free(mbuf);
    assert_silence();
}

static void a_failed_neighbour_empties_the_queue(void **state)
{
    struct rte_mbuf *mbuf;

    (void)state;
    dp_neighbour("in0", 0, 2);
    send_numbers(0, 10);
    dp_run();
    fail_to_resolve();
    dp_run();
    assert_int_equal(dropped(DROP_UNREACHABLE), 10);
    assert_int_equal(dp.worker->counters.held_now, 0);
    mbuf = dp_receive(IN);
    assert_non_null(mbuf);
    assert_int_equal(l4_of(mbuf)[1], ICMP_UNREACHABLE_HOST);
    assert_int_equal(l4_of(mbuf)[PACKET_ICMP_HEADER + PACKET_IPV4_MIN + 1],
                     0); /* about the first */
    rte_pktmbuf_free(mbuf);
    assert_silence();
}

static void it_does_not_ask_for_every_packet(void **state)
{
    (void)state;
    dp.silent = true;
    dp_freeze();
    for (unsigned i = 0; i < 20; i++) {
        send_numbers(i, i + 1);
        dp_run();
    }
    assert_int_equal(dp.asked[REQUEST_MISSING], 1);
    assert_int_equal(dp.worker->counters.held_now, 20);
}

/* Its request was lost: it doesn't wait for ever. */
static void it_asks_again(void **state)
{
    (void)state;
    dp.silent = true;
    send_numbers(0, 1);
    for (unsigned i = 0; i < 100000000 && dp.asked[REQUEST_MISSING] < 2; i++)
        dp_run();
    assert_int_equal(dp.asked[REQUEST_MISSING], 2);
    dp.silent = false;
    resolve();
    for (unsigned i = 0; i < 100000000 && dp.worker->counters.held_now > 0; i++)
        dp_run();
    assert_numbers(0, 1);
}

/* The route changes while they wait: they go the new way, in order. */
static void they_follow_a_route_that_changes(void **state)
{
    struct lab *lab = &dp.lab;

    (void)state;
    dp_neighbour("out0", 1, 9);
    send_numbers(0, 5);
    dp_run();
    assert_silence();
    assert_done(user(lab, "/route/10.1.0.2/32=via 10.1.0.9"));
    for (unsigned i = 0; i < 100000000 && dp.worker->counters.held_now > 0; i++)
        dp_run(); /* until its next try */
    assert_numbers(0, 5);
}

/* ... or wait there. */
static void they_wait_elsewhere_if_they_must(void **state)
{
    struct lab *lab = &dp.lab;

    (void)state;
    send_numbers(0, 5);
    dp_run();
    assert_done(user(lab, "/route/10.1.0.2/32=via 10.1.0.9"));
    for (unsigned i = 0;
         i < 100000000 && dp.last[REQUEST_RESOLVE].resolve.next_hop != address(1, 9); i++)
        dp_run();
    assert_silence();
    assert_int_equal(dp.worker->counters.held_now, 5);
    dp_neighbour("out0", 1, 9);
    dp_run();
    assert_numbers(0, 5);
}

static void the_gap_of_a_migration_is_bridged(void **state)
{
    struct lab *lab = &dp.lab;

    (void)state;
    resolve();
    send_numbers(0, 5);
    dp_run();
    assert_numbers(0, 5);
    assert_done(user(lab, "-/neigh/out0/10.1.0.2")); /* gone */
    send_numbers(5, 15);
    dp_run();
    assert_silence();
    resolve();
    send_numbers(15, 20);
    dp_run();
    assert_numbers(5, 20);
    assert_int_equal(dropped_in_all(), 0);
}

/* Counted when they come, or when they go, never twice. */
static void a_flow_counts_each_packet_once(void **state)
{
    const struct flow *flow;
    uint32_t cursor = 0;

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        dp_send(IN, udp(address(1, 2), 77));
        dp_run();
    }
    resolve();
    dp_run();
    for (unsigned i = 0; i < 3; i++)
        rte_pktmbuf_free(dp_receive(OUT));
    assert_true(flow_table_next(worker_table(dp.worker), &cursor, &flow));
    assert_int_equal(flow->packets, 3);
    assert_int_equal(flow->bytes, 3 * 60);
}

static void our_own_packets_wait_too(void **state)
{
    struct rte_mbuf *mbuf = datagram(RTE_BE32(0xc0a80505), IPPROTO_UDP, 26);

    (void)state;
    dp_send(IN, mbuf); /* no route: an error for host 2, who is not resolved */
    dp_run();
    assert_silence();
    assert_int_equal(dp.worker->counters.held_now, 1);
    dp_neighbour("in0", 0, 2);
    dp_run();
    mbuf = dp_receive(IN);
    assert_non_null(mbuf);
    assert_int_equal(ip_of(mbuf)->time_to_live, 64); /* ours: no hop taken off */
    rte_pktmbuf_free(mbuf);
}

/* It may not go there anyway: its source needn't wait to hear that. */
static void who_has_no_hop_left_does_not_wait(void **state)
{
    struct rte_mbuf *mbuf;

    (void)state;
    dp_neighbour("in0", 0, 2);
    send_numbers(0, 1); /* makes the flow, and waits */
    dp_run();
    mbuf = udp(address(1, 2), 0);
    ip_of(mbuf)->time_to_live = 1;
    packet_set_checksum(ip_of(mbuf));
    dp_send(IN, mbuf);
    dp_run();
    mbuf = dp_receive(IN);
    assert_non_null(mbuf);
    assert_int_equal(l4_of(mbuf)[0], ICMP_TIME_EXCEEDED);
    rte_pktmbuf_free(mbuf);
    assert_int_equal(dp.worker->counters.held_now, 1);
}

static void nothing_stays_behind_at_the_end(void **state)
{
    (void)state;
    send_numbers(0, 10);
    worker_round(
        dp.worker); /* requests in the ring, packets in a queue: dp_end() counts the pool */
    dp_send(IN, frame(broadcast, mac(0, 2), RTE_ETHER_TYPE_ARP, 46));
    worker_round(dp.worker);
    assert_int_equal(dp.worker->counters.held_now, 10);
}

#define test(name) cmocka_unit_test_setup_teardown(name, dp_begin, dp_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(a_packet_waits_for_its_neighbour),
        test(order_is_kept),
        test(later_packets_queue_behind),
        test(release_is_paced_to_the_port),
        test(a_queue_is_bounded),
        test(all_queues_are_bounded),
        test(who_waits_too_long_is_dropped),
        test(a_failed_neighbour_empties_the_queue),
        test(it_does_not_ask_for_every_packet),
        test(it_asks_again),
        test(they_follow_a_route_that_changes),
        test(they_wait_elsewhere_if_they_must),
        test(the_gap_of_a_migration_is_bridged),
        test(a_flow_counts_each_packet_once),
        test(our_own_packets_wait_too),
        test(who_has_no_hop_left_does_not_wait),
        test(nothing_stays_behind_at_the_end),
    };

    int failed;

    dp_eal();
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    dp.verifies = true;
    return failed + cmocka_run_group_tests_name("ports that verify checksums", tests, NULL, NULL);
}
