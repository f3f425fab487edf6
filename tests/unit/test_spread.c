/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One port, several workers: which packets go where, that each flow lives on one worker and keeps its order,
 * what happens when a worker takes nothing, and queues where a port has several. The test calls the rounds of
 * all workers.
 */
#include "tests/unit/dp_lab.h"

enum { WORKERS = 3, FLOWS = 30, QUEUES = 3, WIDE = DP_PORTS /* a port with several queues */ };

static struct lab *const lab = &dp.lab;
static struct rte_ring *wide_in[QUEUES], *wide_out[QUEUES];
static uint16_t sent[FLOWS], received[FLOWS]; /* packets of each flow */

static int setup(void **state)
{
    (void)state;
    dp_begin_several((struct worker_options){0}, WORKERS);
    dp_neighbour("out0", 1, 2);
    memset(sent, 0, sizeof(sent));
    memset(received, 0, sizeof(received));
    return 0;
}

static const struct worker_counters *counters(unsigned worker)
{
    return worker_counters(dp.workers.worker[worker]);
}

static unsigned flows_of(unsigned worker)
{
    struct flow_table_counters flows;

    flow_table_counters(worker_table(dp.workers.worker[worker]), &flows);
    return (unsigned)flows.flows;
}

static unsigned flows_in_all(void)
{
    unsigned sum = 0;

    for (unsigned i = 0; i < WORKERS; i++)
        sum += flows_of(i);
    return sum;
}

/* The next packet of a flow; its number is its IP identification. */
static struct rte_mbuf *next_of(uint16_t flow)
{
    struct rte_mbuf *mbuf = udp(address(1, 2), flow);

    ip_of(mbuf)->packet_id = rte_cpu_to_be_16(sent[flow]++);
    packet_set_checksum(ip_of(mbuf));
    return mbuf;
}

static void send_all(unsigned packets)
{
    for (unsigned i = 0; i < packets; i++)
        for (uint16_t flow = 0; flow < FLOWS; flow++)
            dp_send(IN, next_of(flow));
}

/* Take what came out, each flow's packets in their order, and to this host. */
static void receive_all(struct rte_ring *out, unsigned host)
{
    void *next;

    while (rte_ring_dequeue(out, &next) == 0) {
        struct rte_mbuf *mbuf = next;
        unsigned flow = number_of(mbuf);

        assert_int_equal(rte_be_to_cpu_16(ip_of(mbuf)->packet_id), received[flow]++);
        assert_int_equal(ether_of(mbuf)->dst_addr.addr_bytes[5], host);
        rte_pktmbuf_free(mbuf);
    }
}

static void assert_all_came(void)
{
    for (unsigned flow = 0; flow < FLOWS; flow++)
        assert_int_equal(received[flow], sent[flow]);
}

/* ---- shares ---- */

/* Also the first packets, for which anchors have to be made, and those that come while others wait. */
static void flows_are_spread_and_keep_their_order(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 12; i++) {
        send_all(3);
        for (unsigned rounds = 0; rounds < i; rounds++)
            dp_round_all();
        dp_run_all();
        receive_all(dp.out[OUT], 2);
    }
    assert_all_came();
    assert_int_equal(flows_in_all(), FLOWS);
    for (unsigned i = 0; i < WORKERS; i++)
        assert_in_range(flows_of(i), FLOWS / WORKERS / 3, FLOWS / WORKERS * 2);
    assert_int_equal(counters(0)->packets, FLOWS * 36);
    assert_int_equal(counters(0)->spread_out, counters(1)->spread_in + counters(2)->spread_in);
    assert_int_equal(counters(0)->routed + counters(0)->spread_out, FLOWS * 36);
}

/* A notice goes to those workers that have flows, and to no others. */
static void all_workers_follow_a_change(void **state)
{
    (void)state;
    send_all(1);
    dp_run_all();
    receive_all(dp.out[OUT], 2);
    assert_done(user(lab, "/neigh/out0/10.1.0.2=02:00:00:00:01:07 static"));
    send_all(3);
    dp_run_all();
    receive_all(dp.out[OUT], 7);
    assert_all_came();
}

static void who_has_no_dependents_gets_no_notice(void **state)
{
    uint64_t before[WORKERS];

    (void)state;
    assert_done(user(lab, "/port/p0/workers=2"));
    send_all(1);
    dp_run_all();
    receive_all(dp.out[OUT], 2);
    for (unsigned i = 0; i < WORKERS; i++)
        before[i] = atomic_load(&dp.workers.worker[i]->subscriber->notices);
    assert_done(user(lab, "/neigh/out0/10.1.0.2=02:00:00:00:01:07 static"));
    for (unsigned i = 0; i < WORKERS; i++)
        assert_int_equal(atomic_load(&dp.workers.worker[i]->subscriber->notices) - before[i],
                         i < 2);
}

/* /port/p0/workers, also while there is traffic. */
static void as_many_serve_as_are_wanted(void **state)
{
    static const char *const wanted[] = {"/port/p0/workers=1", "/port/p0/workers=2",
                                         "/port/p0/workers=16"};

    (void)state;
    for (unsigned i = 0; i < RTE_DIM(wanted); i++) {
        assert_done(user(lab, wanted[i]));
        send_all(2);
        dp_run_all();
        receive_all(dp.out[OUT], 2);
        for (unsigned worker = 0; worker < WORKERS; worker++) {
            if (worker <= i)
                assert_true(flows_of(worker) > 0);
            else
                assert_int_equal(flows_of(worker), 0);
            flow_table_clear(worker_table(dp.workers.worker[worker]));
        }
    }
    assert_all_came();
}

/* Shares begin with the first worker of a port, and go around. */
static void the_first_worker_is_the_ports(void **state)
{
    (void)state;
    assert_done(user(lab, "/port/p0/workers=2"));
    assert_done(stack(lab, "/port/p0/lcore=2"));
    send_all(1);
    dp_run_all();
    receive_all(dp.out[OUT], 2);
    assert_all_came();
    assert_int_equal(counters(2)->packets, FLOWS);
    assert_int_equal(flows_of(1), 0);
    assert_true(flows_of(0) > 0 && flows_of(2) > 0);
}

/* ---- what is not a flow of five terms ---- */

static struct rte_mbuf *fragment(uint16_t flow, uint16_t offset)
{
    struct rte_mbuf *mbuf = next_of(flow);

    ip_of(mbuf)->src_addr = address(0, 10 + flow);
    ip_of(mbuf)->fragment_offset =
        rte_cpu_to_be_16(offset == 0 ? RTE_IPV4_HDR_MF_FLAG : offset / 8);
    packet_set_checksum(ip_of(mbuf));
    return mbuf;
}

static void fragments_of_a_datagram_stay_together(void **state)
{
    (void)state;
    for (uint16_t flow = 0; flow < FLOWS; flow++) {
        dp_send(IN, fragment(flow, 0));
        dp_send(IN, fragment(flow, 24));
    }
    dp_run_all();
    receive_all(dp.out[OUT], 2);
    assert_all_came();
    assert_int_equal(flows_in_all(), FLOWS); /* one for both of each datagram */
}

static void arp_stays_with_who_polls(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 20; i++)
        dp_send(IN, frame(broadcast, mac(0, 20 + i), RTE_ETHER_TYPE_ARP, 46));
    dp_run_all();
    assert_int_equal(dp.asked[REQUEST_PACKET], 20);
    assert_int_equal(counters(0)->requests, 20);
}

static void bridged_frames_stay_with_who_polls(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        dp_send(BR_A, frame(mac(2, 50), mac(2, 20 + i), RTE_ETHER_TYPE_IPV4, 46));
        dp_run_all();
    }
    for (unsigned port = BR_B; port <= BR_C; port++)
        for (struct rte_mbuf *mbuf; (mbuf = dp_receive(port)) != NULL;)
            rte_pktmbuf_free(mbuf);
    assert_int_equal(counters(0)->flooded, 20);
    assert_int_equal(counters(0)->spread_out, 0);
}

/* ---- a worker that takes nothing ---- */

static uint64_t spread_full(void)
{
    return counters(0)->drops[DROP_SPREAD_FULL];
}

/* Worker 0 polls and has flows of its own; worker 2 forwards; worker 1 hangs. */
static void who_hangs_holds_up_nobody(void **state)
{
    unsigned first;

    (void)state;
    send_all(1);
    dp_run_all();
    receive_all(dp.out[OUT], 2);
    first = flows_of(1);
    dp_freeze(); /* nothing is given up as stuck */
    for (unsigned i = 0; spread_full() < 100; i++) {
        assert_true(i < 10000);
        send_all(3);
        for (unsigned rounds = 0; rounds < 4; rounds++) {
            worker_round(dp.workers.worker[0]);
            worker_round(dp.workers.worker[2]);
        }
        worker_round(dp.workers.worker[0]);
        for (struct rte_mbuf *mbuf; (mbuf = dp_receive(OUT)) != NULL;) {
            received[number_of(mbuf)]++;
            rte_pktmbuf_free(mbuf);
        }
    }
    assert_int_equal(counters(0)->routed + counters(2)->routed + first,
                     counters(0)->packets - counters(0)->drops[DROP_SPREAD_FULL] -
                         (BETWEEN_RING - 1) - OUT_SIZE);
    for (unsigned flow = 0; flow < FLOWS; flow++)
        assert_true(received[flow] == sent[flow] || received[flow] == 1);
}

/* What waits too long for a worker is dropped, so that who polls can sleep. */
static void what_nobody_takes_is_given_up(void **state)
{
    (void)state;
    dp_freeze();
    while (dp.worker->outs_pending == 0) {
        send_all(3);
        for (unsigned rounds = 0; rounds < 4; rounds++)
            worker_round(dp.worker);
        dp_serve_worker(dp.worker);
        dp_empty(dp.out[OUT]);
    }
    dp_age();
    for (unsigned rounds = 0; rounds < 8; rounds++)
        worker_round(dp.worker);
    assert_int_equal(dp.worker->outs_pending >> OUT_SPREAD, 0);
    assert_true(spread_full() > 0);
}

/* ---- a device that goes, while its packets are on their way ---- */

/* Worker 1 knows first that the device is gone, and worker 0 hands over packets of it until it knows: those are in the
 * ring when all know, and must be out of it before another device has the id. */
static void ids_are_free_when_the_rings_are(void **state)
{
    struct worker *polls = dp.workers.worker[0], *forwards = dp.workers.worker[1];
    struct workers_mark mark;

    (void)state;
    send_all(1);
    dp_run_all();
    receive_all(dp.out[OUT], 2);
    workers_mark(&dp.workers, &mark);
    assert_true(workers_passed(&dp.workers, &mark));

    send_all(1);
    for (unsigned rounds = 0; rounds < 4; rounds++)
        worker_round(polls);
    workers_mark(&dp.workers, &mark);
    assert_false(workers_passed(&dp.workers, &mark));
    assert_done(stack(lab, "-/port/p0/id"));
    worker_round(polls);
    worker_round(dp.workers.worker[2]);
    assert_false(workers_passed(&dp.workers, &mark));
    worker_round(forwards);
    assert_true(workers_passed(&dp.workers, &mark));
    assert_true(counters(1)->drops[DROP_NO_INTERFACE] > 0);
}

/* Also what has found no room in the ring. */
static void what_waits_for_a_ring_goes_with_its_device(void **state)
{
    (void)state;
    dp_freeze();
    while (dp.worker->outs_pending >> OUT_SPREAD == 0) {
        send_all(3);
        for (unsigned rounds = 0; rounds < 4; rounds++)
            worker_round(dp.worker);
        dp_serve_worker(dp.worker);
        dp_empty(dp.out[OUT]);
    }
    assert_done(stack(lab, "-/port/p0/id"));
    worker_round(dp.worker);
    assert_int_equal(dp.worker->outs_pending >> OUT_SPREAD, 0);
    assert_true(counters(0)->drops[DROP_PORT_DOWN] > 0);
}

/* ---- several queues ---- */

/* Once a program: it stays. */
static void wide_port(void)
{
    struct rte_eth_conf conf = {0};
    char name[16];

    for (unsigned i = 0; i < QUEUES; i++) {
        snprintf(name, sizeof(name), "wide_in%u", i);
        wide_in[i] = rte_ring_create(name, DP_RING, SOCKET_ID_ANY, 0);
        snprintf(name, sizeof(name), "wide_out%u", i);
        wide_out[i] = rte_ring_create(name, DP_RING, SOCKET_ID_ANY, 0);
    }
    if (rte_eth_from_rings("wide", wide_in, QUEUES, wide_out, QUEUES, 0) != WIDE ||
        rte_eth_dev_configure(WIDE, QUEUES, QUEUES, &conf) != 0)
        rte_exit(EXIT_FAILURE, "the wide port\n");
    for (uint16_t i = 0; i < QUEUES; i++)
        if (rte_eth_rx_queue_setup(WIDE, i, 64, 0, NULL, dp.pool) != 0 ||
            rte_eth_tx_queue_setup(WIDE, i, 64, 0, NULL) != 0)
            rte_exit(EXIT_FAILURE, "queue %u\n", i);
    if (rte_eth_dev_start(WIDE) != 0)
        rte_exit(EXIT_FAILURE, "the wide port does not start\n");
}

/* In place of the port that in0 is on, or out0. */
static void use_wide(const char *iface, const char *rx_queues, const char *tx_queues)
{
    char on[48], rx[48], tx[48];

    snprintf(on, sizeof(on), "/iface/%s/on=port wide", iface);
    snprintf(rx, sizeof(rx), "/port/wide/rx_queues=%s", rx_queues);
    snprintf(tx, sizeof(tx), "/port/wide/tx_queues=%s", tx_queues);
    lab_port(lab, "wide", WIDE);
    assert_done(stack(lab, "/port/wide/lcore=1", rx, tx));
    assert_done(user(lab, on));
}

static void set_in0_mac(void)
{
    assert_done(user(lab, "/iface/in0/mac=02:00:00:00:00:01"));
}

/* The device has spread already: what comes in a queue stays with its worker. */
static void each_worker_has_a_receive_queue(void **state)
{
    (void)state;
    set_in0_mac();
    use_wide("in0", "3", "3");
    for (uint16_t flow = 0; flow < FLOWS; flow++)
        assert_int_equal(rte_ring_enqueue(wide_in[flow % QUEUES], next_of(flow)), 0);
    dp_run_all();
    receive_all(dp.out[OUT], 2);
    assert_all_came();
    for (unsigned i = 0; i < WORKERS; i++) {
        assert_int_equal(flows_of(i), FLOWS / QUEUES);
        assert_int_equal(counters(i)->packets, FLOWS / QUEUES);
        assert_int_equal(counters(i)->spread_out, 0);
    }
}

/* More queues than workers that serve: each queue is polled all the same. */
static void no_queue_is_forgotten(void **state)
{
    (void)state;
    set_in0_mac();
    use_wide("in0", "3", "3");
    assert_done(user(lab, "/port/wide/workers=2"));
    for (uint16_t flow = 0; flow < FLOWS; flow++)
        assert_int_equal(rte_ring_enqueue(wide_in[flow % QUEUES], next_of(flow)), 0);
    dp_run_all();
    receive_all(dp.out[OUT], 2);
    assert_all_came();
    assert_int_equal(counters(1)->packets, 2 * FLOWS / QUEUES); /* queues 0 and 2 */
    assert_int_equal(counters(2)->packets, FLOWS / QUEUES);
    assert_int_equal(counters(0)->packets, 0);
}

/* Two transmit queues for three workers: those of workers 1 and 2; worker 0 sends by way of worker 1. */
static void who_has_no_transmit_queue_uses_anothers(void **state)
{
    (void)state;
    use_wide("out0", "1", "2");
    send_all(2);
    dp_run_all();
    assert_int_equal(rte_ring_count(wide_out[2]), 0);
    assert_int_equal(counters(1)->ports[WIDE].tx_packets + counters(2)->ports[WIDE].tx_packets,
                     2 * FLOWS);
    assert_int_equal(counters(2)->ports[WIDE].tx_packets, rte_ring_count(wide_out[1]));
    assert_int_equal(counters(2)->ports[WIDE].tx_packets, 2 * flows_of(2));
    receive_all(wide_out[0], 2);
    receive_all(wide_out[1], 2);
    assert_all_came();
}

static int teardown(void **state)
{
    for (unsigned i = 0; i < QUEUES; i++) {
        dp_empty(wide_in[i]);
        dp_empty(wide_out[i]);
    }
    return dp_end(state);
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(flows_are_spread_and_keep_their_order),
        test(all_workers_follow_a_change),
        test(who_has_no_dependents_gets_no_notice),
        test(as_many_serve_as_are_wanted),
        test(the_first_worker_is_the_ports),
        test(fragments_of_a_datagram_stay_together),
        test(arp_stays_with_who_polls),
        test(bridged_frames_stay_with_who_polls),
        test(who_hangs_holds_up_nobody),
        test(what_nobody_takes_is_given_up),
        test(ids_are_free_when_the_rings_are),
        test(what_waits_for_a_ring_goes_with_its_device),
        test(each_worker_has_a_receive_queue),
        test(no_queue_is_forgotten),
        test(who_has_no_transmit_queue_uses_anothers),
    };

    dp_eal();
    wide_port();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
