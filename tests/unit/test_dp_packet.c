/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is read from packets, the edits of routing, and ICMP errors, on crafted bytes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "dataplane/packet.h"

enum { ROOM = 2048 };

/* A packet from its IP header on. */
struct sample {
    union {
        struct rte_ipv4_hdr ip;
        uint8_t bytes[ROOM];
    };
    uint32_t size;
};

static struct sample sample(uint8_t proto, const void *payload, uint32_t payload_size)
{
    struct sample s = {.size = PACKET_IPV4_MIN + payload_size};

    s.ip = (struct rte_ipv4_hdr){
        .version_ihl = 0x45,
        .total_length = rte_cpu_to_be_16((uint16_t)s.size),
        .time_to_live = 64,
        .next_proto_id = proto,
        .src_addr = RTE_BE32(0x0a000002),
        .dst_addr = RTE_BE32(0x0a010002),
    };
    memcpy(s.bytes + PACKET_IPV4_MIN, payload, payload_size);
    packet_set_checksum(&s.ip);
    return s;
}

static const uint8_t udp[8] = {0x03, 0xe8, 0x00, 0x35, 0, 8, 0, 0}; /* 1000 -> 53 */

static struct sample with_options(const uint8_t *options, uint32_t size)
{
    struct sample s = sample(IPPROTO_UDP, udp, sizeof(udp));

    memmove(s.bytes + PACKET_IPV4_MIN + size, s.bytes + PACKET_IPV4_MIN, sizeof(udp));
    memcpy(s.bytes + PACKET_IPV4_MIN, options, size);
    s.size += size;
    s.ip.version_ihl = (uint8_t)(0x45 + size / 4);
    s.ip.total_length = rte_cpu_to_be_16((uint16_t)s.size);
    packet_set_checksum(&s.ip);
    return s;
}

static int check(const struct sample *s)
{
    return (int)packet_check(&s->ip, s->size, s->size, true);
}

static void a_right_packet_passes(void **state)
{
    struct sample s = sample(IPPROTO_UDP, udp, sizeof(udp));

    (void)state;
    assert_int_equal(check(&s), PACKET_RIGHT);
    assert_int_equal((int)packet_check(&s.ip, s.size, s.size + 18, true),
                     PACKET_RIGHT); /* padding */
    assert_int_equal((int)packet_check(&s.ip, PACKET_IPV4_MIN, s.size, true), PACKET_RIGHT);
}

static void truncated_packets_are_refused(void **state)
{
    struct sample s = sample(IPPROTO_UDP, udp, sizeof(udp));

    (void)state;
    for (uint32_t size = 0; size < s.size; size++)
        assert_int_equal((int)packet_check(&s.ip, size, size, true), DROP_SHORT);
}

static void wrong_headers_are_refused(void **state)
{
    struct sample s = sample(IPPROTO_UDP, udp, sizeof(udp));

    (void)state;
    s.ip.version_ihl = 0x65;
    packet_set_checksum(&s.ip);
    assert_int_equal(check(&s), DROP_IP_HEADER);
    s.ip.version_ihl = 0x44;
    assert_int_equal(check(&s), DROP_IP_HEADER);
    s.ip.version_ihl = 0x45;
    s.ip.total_length = RTE_BE16(19);
    assert_int_equal(check(&s), DROP_IP_HEADER);
    s = sample(IPPROTO_UDP, udp, sizeof(udp));
    s.ip.version_ihl = 0x4f; /* 60 bytes of header in a packet of 28 */
    assert_int_equal(check(&s), DROP_IP_HEADER);
}

static void a_wrong_checksum_is_refused_unless_the_port_has_checked(void **state)
{
    struct sample s = sample(IPPROTO_UDP, udp, sizeof(udp));

    (void)state;
    s.ip.hdr_checksum ^= 0x0100;
    assert_int_equal(check(&s), DROP_IP_CHECKSUM);
    assert_int_equal((int)packet_check(&s.ip, s.size, s.size, false), PACKET_RIGHT);
}

static void source_routes_are_refused_other_options_pass(void **state)
{
    static const uint8_t loose[8] = {131, 7, 4, 10, 0, 0, 1, 0},
                         strict[8] = {1, 137, 7, 4, 10, 0, 0, 1};
    static const uint8_t record[8] = {7, 7, 4, 0, 0, 0, 0, 0}, alert[4] = {148, 4, 0, 0};
    static const uint8_t after_end[8] = {1, 0, 131, 7, 4, 0, 0, 0};
    static const uint8_t zero[4] = {7, 0, 0, 0}, beyond[4] = {7, 9, 4, 0}, cut[4] = {1, 1, 1, 7};
    struct {
        const uint8_t *options;
        uint32_t size;
        int verdict;
    } cases[] = {
        {loose, 8, DROP_IP_OPTIONS_SOURCE_ROUTE},
        {strict, 8, DROP_IP_OPTIONS_SOURCE_ROUTE},
        {record, 8, PACKET_RIGHT},
        {alert, 4, PACKET_RIGHT},
        {after_end, 8, PACKET_RIGHT},
        {zero, 4, DROP_IP_HEADER},
        {beyond, 4, DROP_IP_HEADER},
        {cut, 4, DROP_IP_HEADER},
    };

    (void)state;
    for (size_t i = 0; i < RTE_DIM(cases); i++) {
        struct sample s = with_options(cases[i].options, cases[i].size);

        assert_int_equal(check(&s), cases[i].verdict);
    }
}

static void options_beyond_the_first_segment_are_not_read(void **state)
{
    static const uint8_t record[8] = {7, 7, 4, 0, 0, 0, 0, 0};
    struct sample s = with_options(record, sizeof(record));

    (void)state;
    assert_int_equal((int)packet_check(&s.ip, 24, s.size, true), DROP_SHORT);
}

static void a_key_holds_what_makes_a_flow(void **state)
{
    struct sample s = sample(IPPROTO_UDP, udp, sizeof(udp));
    union flow_key key = packet_key(&s.ip, s.size, 5);

    (void)state;
    assert_int_equal(key.src, RTE_BE32(0x0a000002));
    assert_int_equal(key.dst, RTE_BE32(0x0a010002));
    assert_int_equal(key.sport, RTE_BE16(1000));
    assert_int_equal(key.dport, RTE_BE16(53));
    assert_int_equal(key.scope, 5);
    assert_int_equal(key.proto, IPPROTO_UDP);
    assert_int_equal(key.kind, FLOW_ROUTED);
}

static uint64_t second_word(const struct sample *s)
{
    return packet_key(&s->ip, s->size, 1).word[1];
}

static void all_fragments_of_a_datagram_have_one_key(void **state)
{
    struct sample first = sample(IPPROTO_UDP, udp, sizeof(udp)), last;
    union flow_key key;

    (void)state;
    first.ip.fragment_offset = RTE_BE16(RTE_IPV4_HDR_MF_FLAG);
    last = first;
    last.ip.fragment_offset = RTE_BE16(185);
    memset(last.bytes + PACKET_IPV4_MIN, 0xee, 8);
    key = packet_key(&first.ip, first.size, 1);
    assert_int_equal(key.sport, 0);
    assert_int_equal(key.dport, 0);
    assert_true(second_word(&first) == second_word(&last));
}

static void ports_are_read_only_where_there_are_some(void **state)
{
    struct sample s = sample(IPPROTO_TCP, udp, sizeof(udp));
    uint8_t protocols[] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP, IPPROTO_DCCP, IPPROTO_UDPLITE};

    (void)state;
    for (size_t i = 0; i < sizeof(protocols); i++) {
        s.ip.next_proto_id = protocols[i];
        assert_int_equal(packet_key(&s.ip, s.size, 1).dport, RTE_BE16(53));
        assert_int_equal(packet_key(&s.ip, 23, 1).dport, 0); /* cut short */
    }
    s.ip.next_proto_id = IPPROTO_GRE;
    assert_int_equal(packet_key(&s.ip, s.size, 1).sport, 0);
    assert_int_equal(packet_key(&s.ip, s.size, 1).dport, 0);
}

static void an_echo_has_its_identifier(void **state)
{
    uint8_t echo[8] = {8, 0, 0, 0, 0x12, 0x34, 0, 1};
    struct sample s = sample(IPPROTO_ICMP, echo, sizeof(echo));

    (void)state;
    assert_int_equal(packet_key(&s.ip, s.size, 1).sport, RTE_BE16(0x1234));
    assert_int_equal(packet_key(&s.ip, s.size, 1).dport, 0);
    s.bytes[PACKET_IPV4_MIN] = 0; /* and so has its reply */
    assert_int_equal(packet_key(&s.ip, s.size, 1).sport, RTE_BE16(0x1234));
    s.bytes[PACKET_IPV4_MIN] = 11;
    assert_int_equal(packet_key(&s.ip, s.size, 1).sport, 0);
}

/* Every checksum there is, against computing it from scratch. */
static void decrementing_keeps_the_checksum_right(void **state)
{
    struct sample s = sample(IPPROTO_UDP, udp, sizeof(udp));

    (void)state;
    for (uint32_t id = 0; id <= UINT16_MAX; id++) {
        struct rte_ipv4_hdr ip = s.ip, again;

        ip.packet_id = (uint16_t)id;
        ip.time_to_live = (uint8_t)(1 + id % 255);
        packet_set_checksum(&ip);
        again = ip;
        packet_decrement_ttl(&ip);
        again.time_to_live--;
        packet_set_checksum(&again);
        assert_memory_equal(&ip, &again, sizeof(ip));
    }
}

/* ---- the plain packet ---- */

struct whole {
    struct rte_ether_hdr ether;
    struct rte_ipv4_hdr ip;
    uint8_t rest[10];
} __rte_packed __rte_aligned(2);

static const struct rte_ether_addr here = {{0x02, 0, 0, 0, 0, 0x01}};

static struct whole plain(uint8_t proto)
{
    struct whole w = {
        .ether = {.dst_addr = here,
                  .src_addr = {{0x02, 0x80, 0xff, 0, 1, 0x99}},
                  .ether_type = RTE_BE16(RTE_ETHER_TYPE_IPV4)},
        .ip = {.version_ihl = 0x45,
               .type_of_service = 0xb8,
               .total_length = rte_cpu_to_be_16(sizeof(w) - RTE_ETHER_HDR_LEN),
               .packet_id = 0xffff,
               .fragment_offset = RTE_BE16(RTE_IPV4_HDR_DF_FLAG),
               .next_proto_id = proto,
               .hdr_checksum = 0xffff,
               .src_addr = RTE_BE32(0x0a000002),
               .dst_addr = RTE_BE32(0xfffefdfc)},
        .rest = {0x83, 0xe8, 0xff, 0x35, 0xee, 0xee, 0xee, 0xee, 0xee, 0xee},
    };

    return w;
}

static bool is_plain(const struct whole *w)
{
    return packet_is_plain(w, packet_mac_of(&here), sizeof(*w) - RTE_ETHER_HDR_LEN);
}

static bool has_ports(uint8_t proto)
{
    return proto == IPPROTO_TCP || proto == IPPROTO_UDP || proto == IPPROTO_SCTP ||
           proto == IPPROTO_DCCP || proto == IPPROTO_UDPLITE;
}

static void plain_are_protocols_with_ports(void **state)
{
    (void)state;
    for (unsigned proto = 0; proto <= UINT8_MAX; proto++) {
        struct whole w = plain((uint8_t)proto);

        assert_int_equal(is_plain(&w), has_ports((uint8_t)proto));
    }
}

/* Whatever bit is another: what is plain then is right, and has the key that the general way finds. */
static void what_is_plain_the_general_way_finds_right(void **state)
{
    const uint32_t size = sizeof(struct whole) - RTE_ETHER_HDR_LEN;
    unsigned count = 0;

    (void)state;
    for (unsigned bit = 0; bit < sizeof(struct whole) * 8; bit++) {
        struct whole w = plain(IPPROTO_UDP);
        union flow_key key, general;

        ((uint8_t *)&w)[bit / 8] ^= (uint8_t)(1 << bit % 8);
        if (!is_plain(&w))
            continue;
        count++;
        assert_true(rte_is_same_ether_addr(&w.ether.dst_addr, &here));
        assert_true(rte_is_unicast_ether_addr(&w.ether.src_addr));
        assert_int_equal(w.ether.ether_type, RTE_BE16(RTE_ETHER_TYPE_IPV4));
        assert_int_equal((int)packet_check(&w.ip, size, size, false), PACKET_RIGHT);
        assert_int_equal(w.ip.version_ihl, PACKET_IPV4_LIKELY);
        assert_false(packet_is_fragment(&w.ip));
        key = packet_plain_key(&w, packet_plain_scope(7));
        general = packet_key(&w.ip, size, 7);
        assert_memory_equal(&key, &general, sizeof(key));
    }
    /* All bits but those of address here, group, type, version, size, fragment and protocol. */
    assert_int_equal(count, sizeof(struct whole) * 8 - 48 - 1 - 16 - 8 - 16 - 14 - 8);
}

static void plain_is_neither_cut_nor_padded(void **state)
{
    struct whole w = plain(IPPROTO_TCP);
    uint32_t size = sizeof(w) - RTE_ETHER_HDR_LEN;

    (void)state;
    assert_true(packet_is_plain(&w, packet_mac_of(&here), size));
    assert_false(packet_is_plain(&w, packet_mac_of(&here), size + 1));
    assert_false(packet_is_plain(&w, packet_mac_of(&here), size - 1));
    assert_false(packet_is_plain(&w, packet_mac_of(&here), size + 0x10000));
}

static void nothing_is_plain_for_no_address(void **state)
{
    struct whole w = plain(IPPROTO_UDP);

    (void)state;
    memset(&w.ether, 0xff, 12);
    assert_false(packet_is_plain(&w, PACKET_MAC_NONE, sizeof(w) - RTE_ETHER_HDR_LEN));
    w.ether.src_addr.addr_bytes[0] = 0x02;
    assert_false(packet_is_plain(&w, PACKET_MAC_NONE, sizeof(w) - RTE_ETHER_HDR_LEN));
}

static void martians_are_known(void **state)
{
    (void)state;
    assert_true(packet_source_is_martian(RTE_BE32(0x00000000)));
    assert_true(packet_source_is_martian(RTE_BE32(0x00010203)));
    assert_true(packet_source_is_martian(RTE_BE32(0x7f000001)));
    assert_true(packet_source_is_martian(RTE_BE32(0xe0000001)));
    assert_true(packet_source_is_martian(RTE_BE32(0xf0000001)));
    assert_true(packet_source_is_martian(RTE_BE32(0xffffffff)));
    assert_false(packet_source_is_martian(RTE_BE32(0x01000000)));
    assert_false(packet_source_is_martian(RTE_BE32(0x0a000001)));
    assert_false(packet_source_is_martian(RTE_BE32(0xdfffffff)));
    assert_false(packet_address_is_special(RTE_BE32(0xe0000001)));
}

static void mac_addresses_are_told_apart(void **state)
{
    const uint8_t frame[16] = {0x01, 0x80, 0xc2, 0,    0,    0x0e, 0x02, 0,
                               0,    0,    0,    0x05, 0x08, 0x00, 0x45, 0};
    struct rte_ether_addr host = {{0x02, 0, 0, 0, 0, 0x05}};
    uint64_t reserved = packet_mac(frame), unicast = packet_mac(frame + 6);

    (void)state;
    assert_true(packet_mac_is_group(reserved));
    assert_true(packet_mac_is_reserved(reserved));
    assert_false(packet_mac_is_group(unicast));
    assert_false(packet_mac_is_reserved(unicast));
    assert_true(unicast == packet_mac_of(&host));
    assert_false(packet_mac_is_reserved(reserved | UINT64_C(0x100000000000))); /* :1e */
    assert_true(packet_mac_is_group(PACKET_MAC_MASK));
    assert_false(packet_mac_is_reserved(PACKET_MAC_MASK));
}

static void a_station_key_is_not_a_routed_key(void **state)
{
    struct rte_ether_addr mac = {{0x02, 0, 0, 0, 0, 0x05}};
    union flow_key key = packet_station_key(packet_mac_of(&mac), 9);

    (void)state;
    assert_memory_equal(&key.mac, &mac, sizeof(mac));
    assert_int_equal(key.bridge, 9);
    assert_int_equal(key.zero, 0);
    assert_int_equal(key.bridged_kind, FLOW_BRIDGED);
}

/* ---- ICMP ---- */

static bool may(const struct sample *s)
{
    return icmp_may_answer(&s->ip, s->size);
}

static void errors_are_answered_where_they_may_be(void **state)
{
    struct sample s = sample(IPPROTO_UDP, udp, sizeof(udp));
    uint8_t echo[8] = {8}, error[8] = {ICMP_UNREACHABLE}, redirect[8] = {5};
    struct sample icmp = sample(IPPROTO_ICMP, echo, sizeof(echo));

    (void)state;
    assert_true(may(&s));
    assert_true(may(&icmp));
    icmp = sample(IPPROTO_ICMP, error, sizeof(error));
    assert_false(may(&icmp));
    icmp = sample(IPPROTO_ICMP, redirect, sizeof(redirect));
    assert_false(may(&icmp));
    assert_false(icmp_may_answer(&icmp.ip, PACKET_IPV4_MIN)); /* its type is not there to see */
    s.ip.fragment_offset = RTE_BE16(RTE_IPV4_HDR_MF_FLAG);
    assert_true(may(&s));
    s.ip.fragment_offset = RTE_BE16(1);
    assert_false(may(&s));
    s.ip.fragment_offset = 0;
    s.ip.dst_addr = RTE_BE32(0xe0000005);
    assert_false(may(&s));
    s.ip.dst_addr = RTE_BE32(0xffffffff);
    assert_false(may(&s));
    s.ip.dst_addr = RTE_BE32(0x0a010002);
    s.ip.src_addr = RTE_BE32(0x7f000001);
    assert_false(may(&s));
}

static void an_error_quotes_the_packet(void **state)
{
    const struct icmp_error error = {
        .type = ICMP_UNREACHABLE,
        .code = ICMP_UNREACHABLE_FRAGMENTATION,
        .mtu = 1400,
        .source = RTE_BE32(0x0a000001),
        .id = 77,
    };
    struct sample about = sample(IPPROTO_UDP, udp, sizeof(udp)), out = {0};
    const uint8_t *icmp = out.bytes + PACKET_IPV4_MIN;

    (void)state;
    out.size = icmp_write_error(out.bytes, &error, &about.ip, about.size);
    assert_int_equal(out.size, PACKET_IPV4_MIN + PACKET_ICMP_HEADER + about.size);
    assert_int_equal(check(&out), PACKET_RIGHT);
    assert_int_equal(out.ip.src_addr, RTE_BE32(0x0a000001));
    assert_int_equal(out.ip.dst_addr, about.ip.src_addr);
    assert_int_equal(out.ip.packet_id, RTE_BE16(77));
    assert_int_equal(out.ip.time_to_live, 64);
    assert_int_equal(icmp[0], 3);
    assert_int_equal(icmp[1], 4);
    assert_int_equal(icmp[6] << 8 | icmp[7], 1400); /* RFC 1191 */
    assert_memory_equal(icmp + PACKET_ICMP_HEADER, about.bytes, about.size);
    assert_int_equal(rte_raw_cksum(icmp, out.size - PACKET_IPV4_MIN), 0xffff);
}

static void a_long_packet_is_quoted_up_to_576_bytes(void **state)
{
    const struct icmp_error error = {.type = ICMP_TIME_EXCEEDED, .source = RTE_BE32(0x0a000001)};
    static uint8_t payload[1400];
    struct sample about = sample(IPPROTO_UDP, payload, sizeof(payload)), out = {0};

    (void)state;
    out.size = icmp_write_error(out.bytes, &error, &about.ip, about.size);
    assert_int_equal(out.size, ICMP_ERROR_MAX);
    assert_int_equal(check(&out), PACKET_RIGHT);
    assert_int_equal(rte_raw_cksum(out.bytes + PACKET_IPV4_MIN, out.size - PACKET_IPV4_MIN),
                     0xffff);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_right_packet_passes),
        cmocka_unit_test(truncated_packets_are_refused),
        cmocka_unit_test(wrong_headers_are_refused),
        cmocka_unit_test(a_wrong_checksum_is_refused_unless_the_port_has_checked),
        cmocka_unit_test(source_routes_are_refused_other_options_pass),
        cmocka_unit_test(options_beyond_the_first_segment_are_not_read),
        cmocka_unit_test(a_key_holds_what_makes_a_flow),
        cmocka_unit_test(all_fragments_of_a_datagram_have_one_key),
        cmocka_unit_test(ports_are_read_only_where_there_are_some),
        cmocka_unit_test(an_echo_has_its_identifier),
        cmocka_unit_test(decrementing_keeps_the_checksum_right),
        cmocka_unit_test(plain_are_protocols_with_ports),
        cmocka_unit_test(what_is_plain_the_general_way_finds_right),
        cmocka_unit_test(plain_is_neither_cut_nor_padded),
        cmocka_unit_test(nothing_is_plain_for_no_address),
        cmocka_unit_test(martians_are_known),
        cmocka_unit_test(mac_addresses_are_told_apart),
        cmocka_unit_test(a_station_key_is_not_a_routed_key),
        cmocka_unit_test(errors_are_answered_where_they_may_be),
        cmocka_unit_test(an_error_quotes_the_packet),
        cmocka_unit_test(a_long_packet_is_quoted_up_to_576_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
