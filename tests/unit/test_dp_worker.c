/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Routed packets through a worker: crafted packets in, expected packets out, each reason for a drop, ICMP.
 * Its rounds are driven by the test; see dp_lab.h.
 */
#include "tests/unit/dp_lab.h"

static int setup(void **state)
{
    dp_begin(state);
    dp_neighbour("out0", 1, 2);
    dp_neighbour("in0", 0, 2);
    return 0;
}

/* ---- forwarding ---- */

static void a_packet_is_rewritten_and_sent(void **state)
{
    struct rte_mbuf *mbuf;
    struct rte_ether_addr to = mac(1, 2), from = mac(0, 2);

    (void)state;
    dp_send(IN, udp(address(1, 2), 1000));
    dp_run();
    mbuf = dp_receive(OUT);
    assert_non_null(mbuf);
    assert_memory_equal(&ether_of(mbuf)->dst_addr, &to, 6);
    assert_memory_equal(&ether_of(mbuf)->src_addr, &from, 6);
    assert_int_equal(ether_of(mbuf)->ether_type, RTE_BE16(RTE_ETHER_TYPE_IPV4));
    assert_int_equal(ip_of(mbuf)->time_to_live, 63);
    assert_int_equal(packet_header_sum(ip_of(mbuf)), 0xffff);
    assert_int_equal(ip_of(mbuf)->src_addr, address(0, 2));
    assert_int_equal(number_of(mbuf), 1000);
    rte_pktmbuf_free(mbuf);
    assert_silence();
    assert_int_equal(dropped_in_all(), 0);
    assert_int_equal(dp.worker->counters.routed, 1);
    assert_int_equal(dp.worker->counters.packets, 1);
    assert_int_equal(dp.worker->counters.ports[IN].rx_packets, 1);
    assert_int_equal(dp.worker->counters.ports[IN].rx_bytes, 60);
    assert_int_equal(dp.worker->counters.ports[OUT].tx_packets, 1);
    assert_int_equal(dp.worker->counters.ports[OUT].tx_bytes, 60);
}

/* The second time it goes at once, in the same round. */
static void a_known_flow_needs_nobody(void **state)
{
    unsigned asked;

    (void)state;
    dp_send(IN, udp(address(1, 2), 1000));
    dp_run();
    rte_pktmbuf_free(dp_receive(OUT));
    asked = dp.asked[REQUEST_MISSING];
    dp_send(IN, udp(address(1, 2), 1000));
    assert_true(worker_round(dp.worker));
    rte_pktmbuf_free(dp_receive(OUT));
    assert_int_equal(dp.asked[REQUEST_MISSING], asked);
    assert_int_equal(dp.worker->counters.routed, 2);
}

static void bursts_keep_their_order(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 100; i++)
        dp_send(IN, udp(address(1, 2), (uint16_t)(5000 + i)));
    dp.worker->workers->options.hold_packets = 100;
    dp_run();
    for (unsigned i = 0; i < 100; i++) {
        struct rte_mbuf *mbuf = dp_receive(OUT);

        assert_non_null(mbuf);
        assert_int_equal(number_of(mbuf), 5000 + i);
        rte_pktmbuf_free(mbuf);
    }
    assert_silence();
    assert_int_equal(dropped_in_all(), 0);
}

static void a_change_of_the_neighbour_shows_in_the_next_packet(void **state)
{
    struct lab *lab = &dp.lab;
    struct rte_ether_addr moved = mac(1, 0x77);
    struct rte_mbuf *mbuf;

    (void)state;
    dp_send(IN, udp(address(1, 2), 1000));
    dp_run();
    rte_pktmbuf_free(dp_receive(OUT));
    assert_done(user(lab, "/neigh/out0/10.1.0.2=02:00:00:00:01:77 static"));
    dp_send(IN, udp(address(1, 2), 1000));
    worker_round(dp.worker);
    mbuf = dp_receive(OUT);
    assert_memory_equal(&ether_of(mbuf)->dst_addr, &moved, 6);
    rte_pktmbuf_free(mbuf);
}

static void a_route_leads_via_its_next_hop(void **state)
{
    struct lab *lab = &dp.lab;
    struct rte_ether_addr gateway = mac(1, 2);
    struct rte_mbuf *mbuf;

    (void)state;
    assert_done(user(lab, "/route/192.168.0.0/16=via 10.1.0.2"));
    dp_send(IN, udp(RTE_BE32(0xc0a80505), 1));
    dp_run();
    mbuf = dp_receive(OUT);
    assert_non_null(mbuf);
    assert_memory_equal(&ether_of(mbuf)->dst_addr, &gateway, 6);
    rte_pktmbuf_free(mbuf);
}

static void padding_is_stripped(void **state)
{
    struct rte_mbuf *mbuf = datagram(address(1, 2), IPPROTO_UDP, 8);

    (void)state;
    assert_non_null(rte_pktmbuf_append(mbuf, 18));
    dp_send(IN, mbuf);
    dp_run();
    mbuf = dp_receive(OUT);
    assert_int_equal(rte_pktmbuf_pkt_len(mbuf), RTE_ETHER_HDR_LEN + PACKET_IPV4_MIN + 8);
    rte_pktmbuf_free(mbuf);
}

static void the_checksum_is_checked_by_the_port_or_here(void **state)
{
    struct rte_mbuf *mbuf = udp(address(1, 2), 1);

    (void)state;
    ip_of(mbuf)->hdr_checksum ^= 1;
    assert_dropped(mbuf, IN, DROP_IP_CHECKSUM);
    mbuf = udp(address(1, 2), 1);
    mbuf->ol_flags |= RTE_MBUF_F_RX_IP_CKSUM_BAD;
    assert_dropped(mbuf, IN, DROP_IP_CHECKSUM);
    mbuf = udp(address(1, 2), 1);
    ip_of(mbuf)->hdr_checksum ^= 1;
    mbuf->ol_flags |= RTE_MBUF_F_RX_IP_CKSUM_GOOD; /* believed: not looked at */
    dp_send(IN, mbuf);
    dp_run();
    rte_pktmbuf_free(dp_receive(OUT));
    assert_int_equal(dp.worker->counters.routed, 1);
}

static void send_fragments(uint16_t size, uint16_t flags, unsigned pieces)
{
    struct rte_mbuf *mbuf = datagram(address(1, 2), IPPROTO_UDP, size);
    unsigned bytes = 0;

    ip_of(mbuf)->fragment_offset = rte_cpu_to_be_16(flags);
    for (unsigned i = 0; i < size; i++)
        l4_of(mbuf)[i] = (uint8_t)(i * 7);
    packet_set_checksum(ip_of(mbuf));
    dp_send(IN, mbuf);
    dp_run();
    for (unsigned i = 0; i < pieces; i++) {
        uint16_t offset;

        mbuf = dp_receive(OUT);
        assert_non_null(mbuf);
        offset = rte_be_to_cpu_16(ip_of(mbuf)->fragment_offset);
        assert_int_equal((offset & RTE_IPV4_HDR_OFFSET_MASK) * 8, bytes);
        assert_int_equal(!!(offset & RTE_IPV4_HDR_MF_FLAG), i + 1 < pieces);
        assert_int_equal(packet_header_sum(ip_of(mbuf)), 0xffff);
        assert_int_equal(ip_of(mbuf)->time_to_live, 63);
        assert_true(rte_pktmbuf_pkt_len(mbuf) <= RTE_ETHER_HDR_LEN + 600);
        assert_int_equal(l4_of(mbuf)[0], (uint8_t)(bytes * 7));
        bytes += rte_be_to_cpu_16(ip_of(mbuf)->total_length) - PACKET_IPV4_MIN;
        rte_pktmbuf_free(mbuf);
    }
    assert_int_equal(bytes, size);
    assert_silence();
}

static void what_is_too_big_is_fragmented(void **state)
{
    struct lab *lab = &dp.lab;

    (void)state;
    assert_done(user(lab, "/port/p1/mtu=600"));
    send_fragments(1400, 0, 3);
    send_fragments(580, 0, 1);
    send_fragments(581, 0, 2);
    assert_int_equal(dropped_in_all(), 0);
}

/* ---- bursts of all kinds ---- */

enum { MARK = 8 }; /* behind the header of UDP */

static struct rte_mbuf *marked(rte_be32_t to, uint16_t size, uint8_t mark)
{
    struct rte_mbuf *mbuf = datagram(to, IPPROTO_UDP, size);

    l4_of(mbuf)[1] = 77;
    l4_of(mbuf)[MARK] = mark;
    return mbuf;
}

/* The i-th of a burst: to either side, some too big for one frame, one without a hop left, one to a host whose
 * address is not known yet. */
static struct rte_mbuf *of_all_kinds(uint8_t i)
{
    struct rte_mbuf *mbuf =
        marked(i == 20 ? address(1, 9) : address(i % 4 != 3, 2), i % 5 == 4 ? 1000 : 26, i);

    if (i == 13)
        ip_of(mbuf)->time_to_live = 1;
    packet_set_checksum(ip_of(mbuf));
    return mbuf;
}

/* The marks of what came out of a port only grow. Returns how many there were. */
static unsigned assert_in_order(unsigned port)
{
    struct rte_mbuf *mbuf;
    unsigned count = 0;
    int last = -1;

    for (; (mbuf = dp_receive(port)) != NULL; rte_pktmbuf_free(mbuf)) {
        bool later = ip_of(mbuf)->fragment_offset & RTE_BE16(RTE_IPV4_HDR_OFFSET_MASK);

        assert_int_equal(packet_header_sum(ip_of(mbuf)), 0xffff);
        if (ip_of(mbuf)->next_proto_id != IPPROTO_UDP || later)
            continue;
        assert_int_equal(ip_of(mbuf)->time_to_live, 63);
        assert_true(l4_of(mbuf)[MARK] > last);
        last = l4_of(mbuf)[MARK];
        count++;
    }
    return count;
}

static void a_burst_of_all_kinds_keeps_the_order_of_its_flows(void **state)
{
    struct lab *lab = &dp.lab;

    (void)state;
    assert_done(user(lab, "/port/p1/mtu=600"));
    dp_send(IN, marked(address(1, 2), 26, 0));
    dp_send(IN, marked(address(0, 2), 26, 0));
    dp_run();
    assert_int_equal(assert_in_order(OUT) + assert_in_order(IN), 2);
    for (uint8_t i = 0; i < BURST; i++)
        dp_send(IN, of_all_kinds(i));
    worker_round(dp.worker);
    assert_int_equal(assert_in_order(OUT), BURST - BURST / 4 - 2);
    assert_int_equal(assert_in_order(IN), BURST / 4);
    assert_int_equal(dropped(DROP_TTL), 1);
    assert_int_equal(dropped_in_all(), 1);
}

/* ---- reasons to drop ---- */

static void frames_for_others_are_dropped(void **state)
{
    struct rte_mbuf *mbuf = udp(address(1, 2), 1);

    (void)state;
    rte_pktmbuf_mtod(mbuf, struct rte_ether_hdr *)->dst_addr = mac(0, 0x55);
    assert_dropped(mbuf, IN, DROP_NOT_OURS);
    mbuf = udp(address(1, 2), 1);
    rte_pktmbuf_mtod(mbuf, struct rte_ether_hdr *)->dst_addr = broadcast;
    assert_dropped(mbuf, IN, DROP_LOCAL);
}

static void frames_that_are_no_ipv4_are_dropped(void **state)
{
    struct rte_mbuf *tagged = udp(address(1, 2), 1);

    (void)state;
    assert_dropped(frame(mac(0, 1), mac(0, 0x99), RTE_ETHER_TYPE_IPV6, 60), IN, DROP_ETHERTYPE);
    assert_dropped(frame(mac(0, 1), mac(0, 0x99), RTE_ETHER_TYPE_VLAN, 60), IN, DROP_ETHERTYPE);
    tagged->ol_flags |= RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED;
    assert_dropped(tagged, IN, DROP_ETHERTYPE);
}

static void truncated_frames_are_dropped(void **state)
{
    struct rte_mbuf *mbuf = udp(address(1, 2), 1);

    (void)state;
    rte_pktmbuf_trim(mbuf, (uint16_t)(rte_pktmbuf_pkt_len(mbuf) - 13));
    assert_dropped(mbuf, IN, DROP_SHORT);
    mbuf = udp(address(1, 2), 1);
    rte_pktmbuf_trim(mbuf, (uint16_t)(rte_pktmbuf_pkt_len(mbuf) - RTE_ETHER_HDR_LEN - 19));
    assert_dropped(mbuf, IN, DROP_SHORT);
    mbuf = udp(address(1, 2), 1);
    rte_pktmbuf_trim(mbuf, 1);
    assert_dropped(mbuf, IN, DROP_SHORT);
}

static void wrong_headers_are_dropped(void **state)
{
    struct rte_mbuf *mbuf = udp(address(1, 2), 1);

    (void)state;
    ip_of(mbuf)->version_ihl = 0x65;
    assert_dropped(mbuf, IN, DROP_IP_HEADER);
    mbuf = datagram(address(1, 2), IPPROTO_UDP, 16);
    ip_of(mbuf)->version_ihl = 0x47;
    memcpy((uint8_t *)ip_of(mbuf) + PACKET_IPV4_MIN, (uint8_t[]){131, 7, 4, 10, 0, 0, 9, 0}, 8);
    packet_set_checksum(ip_of(mbuf));
    assert_dropped(mbuf, IN, DROP_IP_OPTIONS_SOURCE_ROUTE);
}

static struct rte_mbuf *from(rte_be32_t source)
{
    struct rte_mbuf *mbuf = udp(address(1, 2), 1);

    ip_of(mbuf)->src_addr = source;
    packet_set_checksum(ip_of(mbuf));
    return mbuf;
}

static void martians_are_dropped(void **state)
{
    struct rte_mbuf *mbuf = udp(address(1, 2), 1);

    (void)state;
    assert_dropped(from(0), IN, DROP_BAD_SOURCE);
    assert_dropped(from(RTE_BE32(0x7f000001)), IN, DROP_BAD_SOURCE);
    assert_dropped(from(RTE_BE32(0xe0000001)), IN, DROP_BAD_SOURCE);
    assert_dropped(from(RTE_BE32(0xffffffff)), IN, DROP_BAD_SOURCE);
    assert_dropped(from(address(0, 1)), IN, DROP_BAD_SOURCE); /* our own */
    assert_dropped(udp(RTE_BE32(0x7f000001), 1), IN, DROP_BAD_SOURCE);
    rte_pktmbuf_mtod(mbuf, struct rte_ether_hdr *)->src_addr.addr_bytes[0] |= 1;
    assert_dropped(mbuf, IN, DROP_BAD_SOURCE);
}

static void definitions_and_routes_can_drop(void **state)
{
    struct lab *lab = &dp.lab;

    (void)state;
    assert_done(user(lab, "/route/192.168.1.0/24=blackhole"));
    assert_dropped(udp(RTE_BE32(0xc0a80105), 1), IN, DROP_BLACKHOLE);
    assert_done(
        user(lab, "/flow/no/match=dst=10.1.0.0/24 proto=udp dport=53", "/flow/no/action=drop"));
    assert_dropped(udp(address(1, 2), 1), IN, DROP_DENIED);
}

static void a_port_that_is_down_gets_nothing(void **state)
{
    struct rte_mbuf *mbuf = udp(address(1, 2), 1);
    const struct order order = {.kind = ORDER_SEND, .port = OUT, .packet = mbuf};
    struct lab *lab = &dp.lab;

    (void)state;
    assert_done(stack(lab, "/port/p1/link=down"));
    assert_int_equal(worker_order(dp.worker, &order), 0);
    dp_run();
    assert_silence();
    assert_int_equal(dropped(DROP_PORT_DOWN), 1);
}

/* Then its device is closed by another thread. */
static void a_version_is_seen_when_its_ports_are(void **state)
{
    struct ns_subscriber *subscriber = dp.worker->subscriber;
    struct lab *lab = &dp.lab;

    (void)state;
    dp_run();
    assert_done(stack(lab, "-/port/p1/id"));
    flow_table_poll(dp.worker->table, dp.worker->now);
    assert_true(dp.worker->views[OUT].open);
    assert_true(atomic_load(&subscriber->seen) < ns_store_version(lab->store)->number);
    worker_round(dp.worker);
    assert_false(dp.worker->views[OUT].open);
    assert_int_equal(atomic_load(&subscriber->seen), ns_store_version(lab->store)->number);
}

static void a_port_without_interface_takes_nothing(void **state)
{
    struct lab *lab = &dp.lab;

    (void)state;
    assert_done(user(lab, "-/iface/in0"));
    assert_dropped(udp(address(1, 2), 1), IN, DROP_NO_INTERFACE);
}

/* What the port doesn't take waits; what comes when that is full is dropped, and so is all if the port
 * takes nothing for too long. */
static void a_port_that_is_stuck_loses_the_newest(void **state)
{
    unsigned count = 0;
    struct rte_mbuf *mbuf;

    (void)state;
    dp_send(IN, udp(address(1, 2), 1));
    dp_run();
    rte_pktmbuf_free(dp_receive(OUT));
    for (unsigned i = 0; i < 8; i++) {
        for (unsigned k = 0; k < BURST; k++)
            dp_send(IN, udp(address(1, 2), 1));
        worker_round(dp.worker);
    }
    /* the ring holds DP_RING - 1, the buffer OUT_SIZE */
    assert_int_equal(dropped(DROP_TX_FULL), 8 * BURST - (DP_RING - 1) - OUT_SIZE);
    assert_int_equal(dp.worker->counters.ports[OUT].tx_dropped, dropped(DROP_TX_FULL));
    for (; (mbuf = dp_receive(OUT)) != NULL; count++)
        rte_pktmbuf_free(mbuf);
    worker_round(dp.worker);
    for (; (mbuf = dp_receive(OUT)) != NULL; count++)
        rte_pktmbuf_free(mbuf);
    assert_int_equal(count, DP_RING - 1 + OUT_SIZE);
    assert_int_equal(dp.worker->outs_pending, 0);
}

static void a_port_that_stays_stuck_loses_all(void **state)
{
    (void)state;
    dp_send(IN, udp(address(1, 2), 1));
    dp_run();
    for (unsigned i = 0; i < 6; i++) {
        for (unsigned k = 0; k < BURST; k++)
            dp_send(IN, udp(address(1, 2), 1));
        worker_round(dp.worker);
    }
    assert_true(dp.worker->outs[OUT].count > 0);
    dp_age();
    worker_round(dp.worker);
    assert_int_equal(dp.worker->outs[OUT].count, 0);
    assert_int_equal(dropped(DROP_TX_FULL), 6 * BURST + 1 - (DP_RING - 1));
}

static void a_full_flow_table_drops(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2048; i++) {
        dp_send(IN, udp(address(1, 2), (uint16_t)i));
        dp_run();
        rte_pktmbuf_free(dp_receive(OUT));
    }
    assert_true(dropped(DROP_FLOWS_FULL) > 0);
    assert_int_equal(dropped(DROP_FLOWS_FULL) + dp.worker->counters.routed, 2048);
}

/* ---- ICMP ---- */

/* The ICMP error that came back to host 2 of in0's network. */
static void assert_error(uint8_t type, uint8_t code, rte_be32_t source, uint16_t mtu)
{
    struct rte_mbuf *mbuf = dp_receive(IN);
    struct rte_ether_addr host = mac(0, 2);
    const uint8_t *icmp;

    assert_non_null(mbuf);
    assert_memory_equal(&ether_of(mbuf)->dst_addr, &host, 6);
    assert_int_equal((int)packet_check(ip_of(mbuf), rte_pktmbuf_data_len(mbuf) - 14,
                                       rte_pktmbuf_pkt_len(mbuf) - 14, true),
                     PACKET_RIGHT);
    assert_int_equal(ip_of(mbuf)->src_addr, source);
    assert_int_equal(ip_of(mbuf)->dst_addr, address(0, 2));
    assert_int_equal(ip_of(mbuf)->time_to_live, 64);
    icmp = l4_of(mbuf);
    assert_int_equal(icmp[0], type);
    assert_int_equal(icmp[1], code);
    assert_int_equal(icmp[6] << 8 | icmp[7], mtu);
    assert_int_equal(icmp[PACKET_ICMP_HEADER], 0x45); /* quotes the packet */
    rte_pktmbuf_free(mbuf);
    assert_silence();
}

static void hops_run_out(void **state)
{
    (void)state;
    for (uint8_t ttl = 0; ttl <= 1; ttl++) {
        struct rte_mbuf *mbuf = udp(address(1, 2), 1);

        ip_of(mbuf)->time_to_live = ttl;
        packet_set_checksum(ip_of(mbuf));
        dp_send(IN, mbuf);
        dp_run();
        assert_error(ICMP_TIME_EXCEEDED, 0, address(0, 1), 0);
        assert_int_equal(dropped(DROP_TTL), ttl + 1u);
    }
    assert_int_equal(dp.worker->counters.routed, 0);
}

static void networks_and_hosts_are_unreachable(void **state)
{
    struct lab *lab = &dp.lab;

    (void)state;
    dp_send(IN, udp(RTE_BE32(0xc0a80505), 1));
    dp_run();
    assert_error(ICMP_UNREACHABLE, ICMP_UNREACHABLE_NETWORK, address(0, 1), 0);
    assert_int_equal(dropped(DROP_NO_ROUTE), 1);
    assert_done(user(lab, "/neigh/out0/10.1.0.3=failed"));
    dp_send(IN, udp(address(1, 3), 1));
    dp_run();
    assert_error(ICMP_UNREACHABLE, ICMP_UNREACHABLE_HOST, address(0, 1), 0);
    assert_int_equal(dropped(DROP_UNREACHABLE), 1);
}

static void the_mtu_is_told_where_nobody_may_fragment(void **state)
{
    struct lab *lab = &dp.lab;
    struct rte_mbuf *mbuf = datagram(address(1, 2), IPPROTO_UDP, 1000);

    (void)state;
    assert_done(user(lab, "/port/p1/mtu=700"));
    ip_of(mbuf)->fragment_offset = RTE_BE16(RTE_IPV4_HDR_DF_FLAG);
    packet_set_checksum(ip_of(mbuf));
    dp_send(IN, mbuf);
    dp_run();
    assert_error(ICMP_UNREACHABLE, ICMP_UNREACHABLE_FRAGMENTATION, address(0, 1), 700);
    assert_int_equal(dropped(DROP_MTU), 1);
}

static void nobody_listens_here(void **state)
{
    (void)state;
    dp_send(IN, udp(address(1, 1), 1)); /* the far side's address is ours as well */
    dp_run();
    assert_error(ICMP_UNREACHABLE, ICMP_UNREACHABLE_PORT, address(0, 1), 0);
    dp_send(IN, datagram(address(0, 1), IPPROTO_GRE, 40));
    dp_run();
    assert_error(ICMP_UNREACHABLE, ICMP_UNREACHABLE_PROTOCOL, address(0, 1), 0);
    assert_int_equal(dropped(DROP_LOCAL), 2);
    assert_int_equal(dp.worker->counters.local, 2);
}

static void errors_are_not_answered_with_errors(void **state)
{
    struct rte_mbuf *mbuf = datagram(RTE_BE32(0xc0a80505), IPPROTO_ICMP, 40);

    (void)state;
    l4_of(mbuf)[0] = ICMP_UNREACHABLE;
    assert_dropped(mbuf, IN, DROP_NO_ROUTE);
    mbuf = udp(RTE_BE32(0xc0a80505), 1);
    ip_of(mbuf)->fragment_offset = RTE_BE16(9);
    packet_set_checksum(ip_of(mbuf));
    assert_dropped(mbuf, IN, DROP_NO_ROUTE);
    mbuf = udp(RTE_BE32(0xc0a80505), 1);
    ip_of(mbuf)->src_addr = RTE_BE32(0x0a0000ff); /* all of in0's subnet */
    packet_set_checksum(ip_of(mbuf));
    assert_dropped(mbuf, IN, DROP_NO_ROUTE);
}

static void errors_are_limited(void **state)
{
    struct rte_mbuf *mbuf;
    unsigned errors = 0;

    (void)state;
    workers_free(&dp.workers);
    dp.workers.options.icmp_per_second = 10; /* one in a tenth of a second */
    assert_int_equal(workers_new(&dp.workers, (unsigned[]){0}, 1), 0);
    dp.worker = dp.workers.worker[0];
    for (unsigned i = 0; i < 20; i++) {
        dp_send(IN, udp(RTE_BE32(0xc0a80505), 1));
        if (i == 0)
            dp_run(); /* the others need not wait: of those that do, a source is answered once */
    }
    dp_run();
    for (; (mbuf = dp_receive(IN)) != NULL; errors++)
        rte_pktmbuf_free(mbuf);
    assert_int_equal(errors, dp.worker->counters.icmp_out);
    assert_int_equal(errors + dropped(DROP_RATE_LIMIT), 20);
    assert_true(errors >= 1 && errors < 20);
    assert_int_equal(dropped(DROP_NO_ROUTE), 20);
}

static struct rte_mbuf *echo(rte_be32_t to, uint16_t size)
{
    struct rte_mbuf *mbuf = datagram(to, IPPROTO_ICMP, size);
    uint8_t *icmp = l4_of(mbuf);
    uint16_t checksum;

    for (unsigned i = 0; i < size; i++)
        icmp[i] = (uint8_t)i;
    icmp[0] = 8;
    icmp[1] = icmp[2] = icmp[3] = 0;
    checksum = (uint16_t)~rte_raw_cksum(icmp, size);
    memcpy(icmp + 2, &checksum, 2);
    return mbuf;
}

static void assert_echo_reply(rte_be32_t from_address, uint16_t size)
{
    struct rte_mbuf *mbuf = dp_receive(IN);
    struct rte_ether_addr host = mac(0, 2);
    const uint8_t *icmp;

    assert_non_null(mbuf);
    icmp = l4_of(mbuf);
    assert_memory_equal(&ether_of(mbuf)->dst_addr, &host, 6);
    assert_int_equal(packet_header_sum(ip_of(mbuf)), 0xffff);
    assert_int_equal(ip_of(mbuf)->src_addr, from_address);
    assert_int_equal(ip_of(mbuf)->dst_addr, address(0, 2));
    assert_int_equal(ip_of(mbuf)->time_to_live, 64);
    assert_int_equal(icmp[0], 0);
    assert_int_equal(rte_raw_cksum(icmp, size), 0xffff);
    for (unsigned i = 4; i < size; i++)
        assert_int_equal(icmp[i], (uint8_t)i);
    rte_pktmbuf_free(mbuf);
    assert_silence();
}

static void an_echo_is_answered(void **state)
{
    struct rte_mbuf *mbuf = echo(address(0, 1), 64);

    (void)state;
    ip_of(mbuf)->time_to_live = 1; /* the last hop is ours: as in traceroute */
    packet_set_checksum(ip_of(mbuf));
    dp_send(IN, mbuf);
    dp_run();
    assert_echo_reply(address(0, 1), 64);
    dp_send(IN, echo(address(1, 1), 1480)); /* any address of ours, up to the MTU */
    dp_run();
    assert_echo_reply(address(1, 1), 1480);
    assert_int_equal(dropped_in_all(), 0);
    assert_int_equal(dp.worker->counters.local, 2);
    assert_int_equal(dp.worker->counters.icmp_out, 2);
}

static void wrong_echoes_are_not_answered(void **state)
{
    struct rte_mbuf *mbuf = echo(address(0, 1), 64);

    (void)state;
    l4_of(mbuf)[20] ^= 1;
    assert_dropped(mbuf, IN, DROP_IP_CHECKSUM);
    mbuf = echo(address(0, 1), 64);
    ip_of(mbuf)->fragment_offset = RTE_BE16(RTE_IPV4_HDR_MF_FLAG);
    packet_set_checksum(ip_of(mbuf));
    assert_dropped(mbuf, IN, DROP_LOCAL);
    assert_dropped(echo(RTE_BE32(0x0a0000ff), 64), IN, DROP_BLACKHOLE); /* broadcast */
}

/* ---- to and from the control core ---- */

static void arp_goes_to_the_control_core(void **state)
{
    (void)state;
    dp_send(IN, frame(broadcast, mac(0, 2), RTE_ETHER_TYPE_ARP, 46));
    dp_send(IN, frame(mac(0, 1), mac(0, 2), RTE_ETHER_TYPE_RARP, 46));
    dp_run();
    assert_int_equal(dp.asked[REQUEST_PACKET], 2);
    assert_int_equal(dp.last[REQUEST_PACKET].port, IN);
    assert_int_equal(dropped_in_all(), 0);
    assert_dropped(frame(mac(0, 0x44), mac(0, 2), RTE_ETHER_TYPE_ARP, 46), IN, DROP_NOT_OURS);
}

/* A full ring costs control packets, counted, and no data packet. */
static void control_packets_push_out_nothing(void **state)
{
    (void)state;
    dp_send(IN, udp(address(1, 2), 1));
    dp_run();
    rte_pktmbuf_free(dp_receive(OUT));
    for (unsigned i = 0; i < REQUEST_RING + 10; i++) {
        dp_send(IN, frame(broadcast, mac(0, 2), RTE_ETHER_TYPE_ARP, 46));
        worker_round(dp.worker);
    }
    assert_int_equal(dropped(DROP_REQUEST_FULL), 11); /* a ring holds one less than its size */
    assert_int_equal(dp.worker->counters.requests_dropped, 11);
    dp_send(IN, udp(address(1, 2), 1));
    worker_round(dp.worker);
    rte_pktmbuf_free(dp_receive(OUT));
    assert_int_equal(dp.worker->counters.routed, 2);
    dp_run();
}

static void orders_send(void **state)
{
    const struct order order = {
        .kind = ORDER_SEND,
        .port = OUT,
        .packet = frame(broadcast, mac(0, 2), RTE_ETHER_TYPE_ARP, 46),
    };
    struct rte_mbuf *mbuf;

    (void)state;
    assert_int_equal(worker_order(dp.worker, &order), 0);
    worker_round(dp.worker);
    mbuf = dp_receive(OUT);
    assert_ptr_equal(mbuf, order.packet);
    rte_pktmbuf_free(mbuf);
}

static unsigned answers;

static void answered(struct question *question, unsigned worker)
{
    (void)question;
    assert_int_equal(worker, 0);
    answers++;
}

static void ask_worker(struct question *question)
{
    const struct order order = {.kind = ORDER_QUESTION, .question = question};

    assert_int_equal(worker_order(dp.worker, &order), 0);
}

static void questions_are_answered(void **state)
{
    struct question one = {.kind = QUESTION_ORIGIN, .answered = answered};
    struct question other = one, all = {.kind = QUESTION_FLOWS, .answered = answered};
    unsigned seen = 0;
    struct rte_mbuf *mbuf = udp(address(1, 2), 7);

    (void)state;
    answers = 0;
    one.key = packet_key(ip_of(mbuf), 46, 0xffff); /* whatever interface it came in by */
    other.key = packet_key(ip_of(mbuf), 46, dp.worker->views[IN].scope);
    rte_pktmbuf_free(mbuf);
    for (unsigned i = 0; i < 40; i++)
        dp_send(IN, udp(address(1, 2), (uint16_t)i));
    dp_run();
    ask_worker(&one);
    ask_worker(&other);
    dp_run();
    assert_int_equal(answers, 2);
    assert_int_equal(one.count, 1);
    assert_int_equal(other.count, 0); /* the interface wasn't known yet when it was asked */
    while (all.cursor != UINT32_MAX) {
        ask_worker(&all);
        dp_run();
        seen += all.count;
    }
    assert_int_equal(seen, 40);
    assert_int_equal(one.origins[0].packets, 1);
    assert_string_equal(one.origins[0].adjacency, "/adjacency/0/10.1.0.2");
}

static void flows_can_be_forgotten(void **state)
{
    const struct order order = {.kind = ORDER_CLEAR};
    struct flow_table_counters counters;

    (void)state;
    dp_send(IN, udp(address(1, 2), 1));
    dp_run();
    assert_int_equal(worker_order(dp.worker, &order), 0);
    dp_run();
    flow_table_counters(worker_table(dp.worker), &counters);
    assert_int_equal(counters.flows, 0);
}

static void every_reason_has_a_name(void **state)
{
    (void)state;
    for (unsigned i = 0; i < DROP_REASONS; i++) {
        assert_non_null(drop_reason_name(i));
        for (unsigned k = 0; k < i; k++)
            assert_string_not_equal(drop_reason_name(i), drop_reason_name(k));
    }
    assert_string_equal(drop_reason_name(DROP_REASONS), "unknown");
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, dp_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(a_packet_is_rewritten_and_sent),
        test(a_known_flow_needs_nobody),
        test(bursts_keep_their_order),
        test(a_change_of_the_neighbour_shows_in_the_next_packet),
        test(a_route_leads_via_its_next_hop),
        test(padding_is_stripped),
        test(the_checksum_is_checked_by_the_port_or_here),
        test(what_is_too_big_is_fragmented),
        test(a_burst_of_all_kinds_keeps_the_order_of_its_flows),
        test(frames_for_others_are_dropped),
        test(frames_that_are_no_ipv4_are_dropped),
        test(truncated_frames_are_dropped),
        test(wrong_headers_are_dropped),
        test(martians_are_dropped),
        test(definitions_and_routes_can_drop),
        test(a_port_that_is_down_gets_nothing),
        test(a_version_is_seen_when_its_ports_are),
        test(a_port_without_interface_takes_nothing),
        test(a_port_that_is_stuck_loses_the_newest),
        test(a_port_that_stays_stuck_loses_all),
        test(a_full_flow_table_drops),
        test(hops_run_out),
        test(networks_and_hosts_are_unreachable),
        test(the_mtu_is_told_where_nobody_may_fragment),
        test(nobody_listens_here),
        test(errors_are_not_answered_with_errors),
        test(errors_are_limited),
        test(an_echo_is_answered),
        test(wrong_echoes_are_not_answered),
        test(arp_goes_to_the_control_core),
        test(control_packets_push_out_nothing),
        test(orders_send),
        test(questions_are_answered),
        test(flows_can_be_forgotten),
        test(every_reason_has_a_name),
    };

    int failed;

    dp_eal();
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    dp.verifies = true;
    return failed + cmocka_run_group_tests_name("ports that verify checksums", tests, NULL, NULL);
}
