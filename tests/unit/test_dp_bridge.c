/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bridged frames through a worker: learning, stations, flooding, and what a bridge must not do. Ports 2, 3
 * and 4 are in the bridge.
 */
#include "tests/unit/dp_lab.h"

static const struct rte_ether_addr stack_mac = {{2, 0, 0, 0, 0, 0x10}};

/* Take what came out of each port: true if exactly these (a mask) had one frame each. */
static unsigned ports_out(void)
{
    unsigned mask = 0;

    for (unsigned port = 0; port < DP_PORTS; port++) {
        struct rte_mbuf *mbuf = dp_receive(port);

        if (mbuf != NULL)
            mask |= 1u << port;
        rte_pktmbuf_free(mbuf);
    }
    assert_silence();
    return mask;
}

enum { A = 1 << BR_A, B = 1 << BR_B, C = 1 << BR_C };

static unsigned bridged(unsigned port, struct rte_mbuf *mbuf)
{
    dp_send(port, mbuf);
    dp_run();
    return ports_out();
}

static struct rte_mbuf *between(unsigned from, unsigned to)
{
    return frame(mac(2, to), mac(2, from), RTE_ETHER_TYPE_IPV6, 46);
}

static void an_unknown_station_is_flooded_a_known_one_not(void **state)
{
    (void)state;
    assert_int_equal(bridged(BR_A, between(5, 6)), B | C);
    assert_int_equal(bridged(BR_B, between(6, 5)), A);
    assert_int_equal(bridged(BR_A, between(5, 6)), B);
    assert_int_equal(bridged(BR_C, between(7, 6)), B);
    assert_int_equal(dp.asked[REQUEST_STATION], 3); /* each once */
    assert_int_equal(dp.worker->counters.flooded, 1);
    assert_int_equal(dp.worker->counters.bridged, 3);
    assert_int_equal(dropped_in_all(), 0);
}

static void a_frame_goes_unchanged(void **state)
{
    struct rte_mbuf *mbuf = between(5, 6), *copy;
    uint8_t sent[60];

    (void)state;
    memset(rte_pktmbuf_mtod_offset(mbuf, void *, 14), 0x5a, 46);
    memcpy(sent, rte_pktmbuf_mtod(mbuf, void *), sizeof(sent));
    dp_send(BR_A, mbuf);
    dp_run();
    for (unsigned port = BR_B; port <= BR_C; port++) {
        copy = dp_receive(port);
        assert_non_null(copy);
        assert_int_equal(rte_pktmbuf_pkt_len(copy), sizeof(sent));
        assert_memory_equal(rte_pktmbuf_mtod(copy, void *), sent, sizeof(sent));
        assert_int_equal(rte_mbuf_refcnt_read(copy), 1); /* nobody else's */
        rte_pktmbuf_free(copy);
    }
}

static void a_station_that_moves_is_followed(void **state)
{
    (void)state;
    dp_freeze();
    bridged(BR_A, between(5, 6));
    bridged(BR_B, between(6, 5));
    assert_int_equal(dp.last[REQUEST_STATION].port, BR_B);
    bridged(BR_C, between(6, 5)); /* it speaks elsewhere */
    assert_int_equal(dp.last[REQUEST_STATION].port, BR_C);
    assert_int_equal(bridged(BR_A, between(5, 6)), C);
    bridged(BR_B, between(6, 5)); /* and back, within the millisecond */
    assert_int_equal(bridged(BR_A, between(5, 6)), B);
}

static void the_control_core_is_not_asked_for_every_frame(void **state)
{
    (void)state;
    dp.silent = true;
    dp_freeze();
    for (unsigned i = 0; i < 20; i++)
        dp_send(BR_A, between(5, 6));
    dp_run();
    for (unsigned i = 0; i < 20; i++) {
        rte_pktmbuf_free(dp_receive(BR_B));
        rte_pktmbuf_free(dp_receive(BR_C));
    }
    assert_silence();
    assert_int_equal(dp.asked[REQUEST_STATION], 1);
    assert_int_equal(dp.asked[REQUEST_MISSING], 2); /* both stations' anchors */
    dp_age();
    bridged(BR_A, between(5, 6));
    assert_int_equal(dp.asked[REQUEST_STATION], 2);
}

static void same_port_is_dropped(void **state)
{
    (void)state;
    bridged(BR_A, between(5, 6));
    bridged(BR_A, between(6, 5));
    assert_dropped(between(5, 6), BR_A, DROP_SAME_PORT);
}

static void bad_sources_are_dropped(void **state)
{
    (void)state;
    assert_dropped(frame(mac(2, 5), stack_mac, RTE_ETHER_TYPE_IPV6, 46), BR_A,
                   DROP_BAD_SOURCE); /* a loop */
    assert_dropped(frame(mac(2, 5), (struct rte_ether_addr){{0}}, RTE_ETHER_TYPE_IPV6, 46), BR_A,
                   DROP_BAD_SOURCE);
    assert_dropped(frame(mac(2, 5), broadcast, RTE_ETHER_TYPE_IPV6, 46), BR_A, DROP_BAD_SOURCE);
    assert_int_equal(dp.asked[REQUEST_STATION], 0);
}

static void broadcast_and_multicast_flood(void **state)
{
    struct rte_ether_addr group = {{0x33, 0x33, 0, 0, 0, 1}};
    struct rte_ether_addr reserved = {{0x01, 0x80, 0xc2, 0, 0, 0x00}};

    (void)state;
    assert_int_equal(bridged(BR_A, frame(broadcast, mac(2, 5), RTE_ETHER_TYPE_IPV4, 46)), B | C);
    assert_int_equal(bridged(BR_B, frame(group, mac(2, 6), RTE_ETHER_TYPE_IPV6, 46)), A | C);
    assert_dropped(frame(reserved, mac(2, 5), 0x0026, 46), BR_A,
                   DROP_LOCAL); /* spanning tree: not ours to pass */
}

static void ports_that_are_down_are_left_out(void **state)
{
    struct lab *lab = &dp.lab;

    (void)state;
    bridged(BR_A, between(5, 6));
    bridged(BR_B, between(6, 5));
    assert_done(stack(lab, "/port/p3/link=down"));
    assert_int_equal(bridged(BR_A, frame(broadcast, mac(2, 5), RTE_ETHER_TYPE_IPV4, 46)), C);
    assert_dropped(between(5, 6), BR_A, DROP_PORT_DOWN);
    assert_done(stack(lab, "/port/p4/link=down"));
    assert_dropped(frame(broadcast, mac(2, 5), RTE_ETHER_TYPE_IPV4, 46), BR_A, DROP_PORT_DOWN);
}

/* Broadcast ARP goes to all other ports and to us; the source is told first, so that who answers knows
 * where to send. */
static void arp_goes_everywhere(void **state)
{
    (void)state;
    assert_int_equal(bridged(BR_A, frame(broadcast, mac(2, 5), RTE_ETHER_TYPE_ARP, 46)), B | C);
    assert_int_equal(dp.asked[REQUEST_PACKET], 1);
    assert_int_equal(dp.last[REQUEST_PACKET].port, BR_A);
    assert_int_equal(dp.order[0], REQUEST_STATION);
    assert_int_equal(dp.order[dp.order_count - 1], REQUEST_PACKET);
    /* to us alone: nobody else's */
    assert_int_equal(bridged(BR_B, frame(stack_mac, mac(2, 6), RTE_ETHER_TYPE_ARP, 46)), 0);
    assert_int_equal(dp.asked[REQUEST_PACKET], 2);
    /* between others: not ours */
    assert_int_equal(bridged(BR_B, frame(mac(2, 5), mac(2, 6), RTE_ETHER_TYPE_ARP, 46)), A);
    assert_int_equal(dp.asked[REQUEST_PACKET], 2);
    assert_int_equal(bridged(BR_C, frame(broadcast, mac(2, 6), RTE_ETHER_TYPE_RARP, 46)), A | B);
    assert_int_equal(dp.asked[REQUEST_PACKET], 3);
    assert_int_equal(dp.last[REQUEST_STATION].port, BR_C);
    assert_int_equal(dropped_in_all(), 0);
}

static void a_bridge_without_interface_keeps_arp_to_itself(void **state)
{
    struct lab *lab = &dp.lab;

    (void)state;
    assert_done(user(lab, "-/iface/lan0"));
    assert_int_equal(bridged(BR_A, frame(broadcast, mac(2, 5), RTE_ETHER_TYPE_ARP, 46)), B | C);
    assert_int_equal(dp.asked[REQUEST_PACKET], 0);
    assert_int_equal(bridged(BR_A, frame(stack_mac, mac(2, 5), RTE_ETHER_TYPE_IPV4, 46)), B | C);
}

static void tagged_frames_are_bridged_as_they_are(void **state)
{
    struct rte_mbuf *mbuf = between(5, 6);

    (void)state;
    assert_int_equal(bridged(BR_A, frame(mac(2, 6), mac(2, 5), RTE_ETHER_TYPE_VLAN, 46)), B | C);
    mbuf->ol_flags |= RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED;
    mbuf->vlan_tci = 7;
    dp_send(BR_A, mbuf);
    dp_run();
    mbuf = dp_receive(BR_B);
    assert_int_equal(ether_of(mbuf)->ether_type, RTE_BE16(RTE_ETHER_TYPE_VLAN));
    assert_int_equal(rte_pktmbuf_pkt_len(mbuf), 64);
    rte_pktmbuf_free(mbuf);
    assert_int_equal(ports_out(), C);
    assert_dropped(frame(stack_mac, mac(2, 5), RTE_ETHER_TYPE_VLAN, 46), BR_A, DROP_ETHERTYPE);
}

static void what_is_too_big_for_the_port_is_dropped(void **state)
{
    struct lab *lab = &dp.lab;

    (void)state;
    assert_done(user(lab, "/port/p3/mtu=600"));
    bridged(BR_B, between(6, 5));
    assert_dropped(frame(mac(2, 6), mac(2, 5), RTE_ETHER_TYPE_IPV4, 601), BR_A, DROP_MTU);
    assert_int_equal(bridged(BR_A, frame(mac(2, 6), mac(2, 5), RTE_ETHER_TYPE_IPV4, 600)), B);
    assert_int_equal(bridged(BR_A, frame(mac(2, 6), mac(2, 5), RTE_ETHER_TYPE_VLAN, 604)), B);
    assert_int_equal(bridged(BR_A, frame(mac(2, 5), mac(2, 7), RTE_ETHER_TYPE_IPV4, 20)),
                     0); /* same port */
    assert_int_equal(bridged(BR_A, frame(mac(2, 9), mac(2, 5), RTE_ETHER_TYPE_VLAN, 2)),
                     B | C); /* half a tag */
}

static void runts_are_dropped(void **state)
{
    struct rte_mbuf *mbuf = between(5, 6);

    (void)state;
    rte_pktmbuf_trim(mbuf, (uint16_t)(rte_pktmbuf_pkt_len(mbuf) - 13));
    assert_dropped(mbuf, BR_A, DROP_SHORT);
}

/* ---- a bridge with an interface ---- */

static void routed_frames_leave_through_the_interface(void **state)
{
    struct rte_ether_addr next = mac(1, 2);
    struct rte_mbuf *mbuf = udp(address(1, 2), 9);

    (void)state;
    dp_neighbour("out0", 1, 2);
    rte_pktmbuf_mtod(mbuf, struct rte_ether_hdr *)->dst_addr = stack_mac;
    rte_pktmbuf_mtod(mbuf, struct rte_ether_hdr *)->src_addr = mac(2, 5);
    dp_send(BR_B, mbuf);
    dp_run();
    mbuf = dp_receive(OUT);
    assert_non_null(mbuf);
    assert_memory_equal(&ether_of(mbuf)->dst_addr, &next, 6);
    rte_pktmbuf_free(mbuf);
    assert_int_equal(dp.asked[REQUEST_STATION], 1); /* the bridge has learnt from it */
    assert_int_equal(dp.last[REQUEST_STATION].port, BR_B);
}

/* The neighbour is known, where it is behind is not: to all ports, with the header of routing. */
static void a_neighbour_of_unknown_place_is_flooded(void **state)
{
    struct rte_ether_addr host = mac(2, 5);

    (void)state;
    dp_neighbour("lan0", 2, 5);
    dp_send(IN, udp(address(2, 5), 9));
    dp_run();
    for (unsigned port = BR_A; port <= BR_C; port++) {
        struct rte_mbuf *mbuf = dp_receive(port);

        assert_non_null(mbuf);
        assert_memory_equal(&ether_of(mbuf)->dst_addr, &host, 6);
        assert_memory_equal(&ether_of(mbuf)->src_addr, &stack_mac, 6);
        assert_int_equal(ip_of(mbuf)->time_to_live, 63);
        assert_int_equal(packet_header_sum(ip_of(mbuf)), 0xffff);
        rte_pktmbuf_free(mbuf);
    }
    assert_silence();
    bridged(BR_C, between(5, 6)); /* it speaks: from now on to its port only */
    assert_int_equal(bridged(IN, udp(address(2, 5), 9)), C);
    bridged(BR_A, between(5, 6)); /* and moves */
    assert_int_equal(bridged(IN, udp(address(2, 5), 9)), A);
}

#define test(name) cmocka_unit_test_setup_teardown(name, dp_begin, dp_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(an_unknown_station_is_flooded_a_known_one_not),
        test(a_frame_goes_unchanged),
        test(a_station_that_moves_is_followed),
        test(the_control_core_is_not_asked_for_every_frame),
        test(same_port_is_dropped),
        test(bad_sources_are_dropped),
        test(broadcast_and_multicast_flood),
        test(ports_that_are_down_are_left_out),
        test(arp_goes_everywhere),
        test(a_bridge_without_interface_keeps_arp_to_itself),
        test(tagged_frames_are_bridged_as_they_are),
        test(what_is_too_big_for_the_port_is_dropped),
        test(runts_are_dropped),
        test(routed_frames_leave_through_the_interface),
        test(a_neighbour_of_unknown_place_is_flooded),
    };

    dp_eal();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
