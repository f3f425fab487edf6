/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is read from a packet, and the small edits that routing makes. Pure functions on bytes: no mbuf,
 * no worker, so that tests and the fuzzer need neither.
 *
 * Sizes: `size` is what the frame holds from the IP header on, `head` how much of that lies in one piece
 * in memory (the first segment of an mbuf). No function reads beyond `head`.
 */
#ifndef KEDGE_DATAPLANE_PACKET_H
#define KEDGE_DATAPLANE_PACKET_H

#include <string.h>

#include <netinet/in.h>

#include <rte_branch_prediction.h>
#include <rte_byteorder.h>
#include <rte_ether.h>
#include <rte_icmp.h>
#include <rte_ip.h>

#include "dataplane/worker.h"

/* A verdict is a drop reason, or this. */
enum { PACKET_RIGHT = DROP_REASONS };

enum {
    PACKET_MAC_BYTES = 6,
    PACKET_IPV4_MIN = 20,
    PACKET_IPV4_LIKELY = 0x45, /* version 4, no options */
    PACKET_TTL = 64,           /* of our own packets (RFC 1122 section 3.2.1.7) */
    PACKET_ICMP_HEADER = 8,
    PACKET_IPV4_MIN_MTU = 68, /* RFC 791 */
};

/* ---- Ethernet ---- */

#define PACKET_MAC_MASK UINT64_C(0xffffffffffff)

/* Equals no address. */
#define PACKET_MAC_NONE (~UINT64_C(0))

/* A MAC address as a number, for comparing. `at` must have 8 readable bytes. */
static inline uint64_t packet_mac(const void *at)
{
    uint64_t word;

    memcpy(&word, at, sizeof(word));
    return word & PACKET_MAC_MASK;
}

static inline uint64_t packet_mac_of(const struct rte_ether_addr *mac)
{
    uint64_t word = 0;

    memcpy(&word, mac, sizeof(*mac));
    return word;
}

/* Bit 0 of the first byte that goes over the wire: multicast or broadcast. */
static inline bool packet_mac_is_group(uint64_t mac)
{
    return mac & 1;
}

/* 01:80:c2:00:00:00 to 0f (IEEE 802.1D section 7.12.6): never leaves a bridge. */
static inline bool packet_mac_is_reserved(uint64_t mac)
{
    return (mac & UINT64_C(0xf0ffffffffff)) == UINT64_C(0x0000c28001);
}

static inline bool packet_is_vlan(rte_be16_t ether_type)
{
    return ether_type == RTE_BE16(RTE_ETHER_TYPE_VLAN) ||
           ether_type == RTE_BE16(RTE_ETHER_TYPE_QINQ);
}

/* ---- IPv4 ---- */

static inline uint32_t packet_header_size(const struct rte_ipv4_hdr *ip)
{
    return (ip->version_ihl & 0x0f) * 4u;
}

static inline bool packet_is_fragment(const struct rte_ipv4_hdr *ip)
{
    return ip->fragment_offset & RTE_BE16(RTE_IPV4_HDR_MF_FLAG | RTE_IPV4_HDR_OFFSET_MASK);
}

/* The options of a header: they are forwarded as they are, but nobody may choose the way (RFC 1812
 * section 5.3.13 allows to refuse source routes; RFC 7126 advises it). */
static inline enum drop_reason packet_check_options(const struct rte_ipv4_hdr *ip)
{
    enum { END = 0, NOP = 1, LOOSE_SOURCE_ROUTE = 131, STRICT_SOURCE_ROUTE = 137 };
    const uint8_t *at = (const uint8_t *)ip + PACKET_IPV4_MIN;
    const uint8_t *end = (const uint8_t *)ip + packet_header_size(ip);

    while (at < end && *at != END) {
        if (*at == NOP) {
            at++;
            continue;
        }
        if (end - at < 2 || at[1] < 2 || at[1] > end - at)
            return DROP_IP_HEADER;
        if (*at == LOOSE_SOURCE_ROUTE || *at == STRICT_SOURCE_ROUTE)
            return DROP_IP_OPTIONS_SOURCE_ROUTE;
        at += at[1];
    }
    return (enum drop_reason)PACKET_RIGHT;
}

/* The one's complement sum over a header without options; 0xffff if its checksum is right. */
static inline uint16_t packet_short_header_sum(const struct rte_ipv4_hdr *ip)
{
    uint32_t word[PACKET_IPV4_MIN / sizeof(uint32_t)];
    uint64_t sum;

    memcpy(word, ip, sizeof(word));
    sum = (uint64_t)word[0] + word[1] + word[2] + word[3] + word[4];
    sum = (sum >> 32) + (uint32_t)sum;
    sum = (sum >> 16) + (uint16_t)sum;
    return (uint16_t)((sum >> 16) + sum);
}

/* The same over any header. */
static inline uint16_t packet_header_sum(const struct rte_ipv4_hdr *ip)
{
    return likely(ip->version_ihl == PACKET_IPV4_LIKELY)
               ? packet_short_header_sum(ip)
               : rte_raw_cksum(ip, packet_header_size(ip));
}

static inline void packet_set_checksum(struct rte_ipv4_hdr *ip)
{
    ip->hdr_checksum = 0;
    ip->hdr_checksum = (uint16_t)~packet_header_sum(ip);
}

/* The rare part of packet_check(): options. */
static inline enum drop_reason packet_check_long(const struct rte_ipv4_hdr *ip, uint32_t head,
                                                 uint32_t total)
{
    uint32_t header = packet_header_size(ip);

    if (ip->version_ihl >> 4 != 4 || header < PACKET_IPV4_MIN || total < header)
        return DROP_IP_HEADER;
    if (header > head)
        return DROP_SHORT;
    return packet_check_options(ip);
}

/* The checks of RFC 1812 section 5.2.2, and that the datagram is whole. `verify`: the checksum too (the
 * port has not done it). TTL and addresses are judged where they matter: on the way out, and before a flow
 * is made. */
static inline enum drop_reason packet_check(const struct rte_ipv4_hdr *ip, uint32_t head,
                                            uint32_t size, bool verify)
{
    uint32_t total;

    if (unlikely(head < PACKET_IPV4_MIN))
        return DROP_SHORT;
    total = rte_be_to_cpu_16(ip->total_length);
    if (unlikely(ip->version_ihl != PACKET_IPV4_LIKELY)) {
        enum drop_reason verdict = packet_check_long(ip, head, total);

        if ((int)verdict != PACKET_RIGHT)
            return verdict;
    }
    if (unlikely(total < PACKET_IPV4_MIN))
        return DROP_IP_HEADER;
    if (unlikely(total > size))
        return DROP_SHORT;
    if (verify && unlikely(packet_header_sum(ip) != 0xffff))
        return DROP_IP_CHECKSUM;
    return (enum drop_reason)PACKET_RIGHT;
}

/* Protocols whose header begins with two port numbers. */
static const bool packet_has_ports[UINT8_MAX + 1] = {
    [IPPROTO_TCP] = true,  [IPPROTO_UDP] = true,     [IPPROTO_DCCP] = true,
    [IPPROTO_SCTP] = true, [IPPROTO_UDPLITE] = true,
};

/* The two port numbers as they stand in the packet, sport in the low half; for ICMP echo the identifier
 * and 0. All fragments of a datagram must take one flow, and only the first has ports: so none has. */
static inline uint32_t packet_ports(const struct rte_ipv4_hdr *ip, uint32_t head)
{
    uint32_t header = packet_header_size(ip);
    const uint8_t *l4 = (const uint8_t *)ip + header;
    uint32_t ports = 0;
    uint16_t identifier;

    if (likely(packet_has_ports[ip->next_proto_id])) {
        if (likely(head >= header + sizeof(ports) && !packet_is_fragment(ip)))
            memcpy(&ports, l4, sizeof(ports));
        return ports;
    }
    if (ip->next_proto_id != IPPROTO_ICMP || head < header + PACKET_ICMP_HEADER ||
        packet_is_fragment(ip) ||
        (l4[0] != RTE_IP_ICMP_ECHO_REQUEST && l4[0] != RTE_IP_ICMP_ECHO_REPLY))
        return 0;
    memcpy(&identifier, l4 + 4, sizeof(identifier));
    return identifier;
}

/* The key of a routed packet, built in registers: written field by field it would defeat store
 * forwarding when it is read as two words. */
static inline union flow_key packet_key(const struct rte_ipv4_hdr *ip, uint32_t head,
                                        uint16_t scope)
{
    union flow_key key;

    memcpy(&key.word[0], &ip->src_addr, sizeof(key.word[0]));
    key.word[1] = packet_ports(ip, head) | (uint64_t)scope << 32 |
                  (uint64_t)ip->next_proto_id << 48 | (uint64_t)FLOW_ROUTED << 56;
    return key;
}
static_assert(RTE_BYTE_ORDER == RTE_LITTLE_ENDIAN, "keys are built for little-endian machines");

/* ---- the plain packet ---- */

/* Ethernet and IPv4 header, and the ports. */
enum { PACKET_PLAIN_MIN = RTE_ETHER_HDR_LEN + PACKET_IPV4_MIN + 4 };

/* Is this a frame to `mac`, from no group, with an IPv4 packet of `size` bytes that packet_check() finds right, without
 * options, and neither a fragment nor without ports? Few words say so:
 *
 *      byte 0        6      8       12     14        15    16     18      20        22    23         24
 *           | to    | from        | type | 4, size  | tos | total | id   | fragment | ttl | protocol |
 *      word 0..............|1...............................|2......................................|
 *
 * No: ask packet_check(). At least PACKET_PLAIN_MIN bytes lie in one piece. The checksum is not looked at. */
static inline bool packet_is_plain(const void *frame, uint64_t mac, uint32_t size)
{
    const uint64_t from_group = UINT64_C(1) << 48;
    const uint32_t ipv4 = RTE_BE16(RTE_ETHER_TYPE_IPV4) | PACKET_IPV4_LIKELY << 16;
    const uint64_t fragment = (uint64_t)RTE_BE16(RTE_IPV4_HDR_MF_FLAG | RTE_IPV4_HDR_OFFSET_MASK)
                              << 32;
    uint64_t addresses, total;
    uint32_t type;

    memcpy(&addresses, frame, sizeof(addresses));
    memcpy(&type, (const char *)frame + 12, sizeof(type));
    memcpy(&total, (const char *)frame + 16, sizeof(total));
    return (addresses & (PACKET_MAC_MASK | from_group)) == mac && (type & 0xffffff) == ipv4 &&
           rte_be_to_cpu_16((uint16_t)total) == size && (total & fragment) == 0 &&
           packet_has_ports[total >> 56];
}

static inline uint64_t packet_plain_scope(uint16_t scope)
{
    return (uint64_t)scope << 32 | (uint64_t)FLOW_ROUTED << 56;
}

/* packet_key() of a plain packet that came in by the interface of packet_plain_scope(). */
static inline union flow_key packet_plain_key(const void *frame, uint64_t scope)
{
    const struct rte_ipv4_hdr *ip = (const void *)((const char *)frame + RTE_ETHER_HDR_LEN);
    union flow_key key;
    uint32_t ports;

    memcpy(&key.word[0], &ip->src_addr, sizeof(key.word[0]));
    memcpy(&ports, ip + 1, sizeof(ports));
    key.word[1] = scope | (uint64_t)ip->next_proto_id << 48 | ports;
    return key;
}

/* The key of a station. */
static inline union flow_key packet_station_key(uint64_t mac, uint16_t bridge)
{
    union flow_key key;

    key.word[0] = mac | (uint64_t)bridge << 48;
    key.word[1] = (uint64_t)FLOW_BRIDGED << 56;
    return key;
}

static inline bool packet_address_is_multicast(rte_be32_t address)
{
    return (address & RTE_BE32(0xf0000000)) == RTE_BE32(0xe0000000);
}

/* 0.0.0.0/8, 127.0.0.0/8: on no wire, in neither place. 240.0.0.0/4 holds the limited broadcast. */
static inline bool packet_address_is_special(rte_be32_t address)
{
    return (address & RTE_BE32(0xff000000)) == 0 ||
           (address & RTE_BE32(0xff000000)) == RTE_BE32(0x7f000000) ||
           (address & RTE_BE32(0xf0000000)) == RTE_BE32(0xf0000000);
}

/* Martian addresses (RFC 1812 section 5.3.7). */
static inline bool packet_source_is_martian(rte_be32_t source)
{
    return packet_address_is_special(source) || packet_address_is_multicast(source);
}

/* A hop less, with the checksum brought along (RFC 1624, equation 3: the word of TTL and protocol falls
 * by 0x0100, so the checksum rises by it, with the carry brought around). TTL and checksum are in one
 * word: one load, one store. */
static inline void packet_decrement_ttl(struct rte_ipv4_hdr *ip)
{
    uint32_t word;

    memcpy(&word, &ip->time_to_live, sizeof(word));
    word += 0xffff + ((uint32_t)(word >= 0xfffe0000) << 16);
    memcpy(&ip->time_to_live, &word, sizeof(word));
}

/* ---- ICMP (RFC 792) ---- */

enum {
    ICMP_UNREACHABLE = 3,
    ICMP_TIME_EXCEEDED = 11,

    ICMP_UNREACHABLE_NETWORK = 0,
    ICMP_UNREACHABLE_HOST = 1,
    ICMP_UNREACHABLE_PROTOCOL = 2,
    ICMP_UNREACHABLE_PORT = 3,
    ICMP_UNREACHABLE_FRAGMENTATION = 4, /* needed, and DF set; RFC 1191 */

    /* As much of the original as fits into 576 bytes (RFC 1812 section 4.3.2.3). */
    ICMP_ERROR_MAX = 576,
};

struct icmp_error {
    uint8_t type, code;
    uint16_t mtu;      /* FRAGMENTATION only, else 0; host byte order */
    rte_be32_t source; /* ours */
    uint16_t id;       /* IP identification */
};

/* May an ICMP error be sent about this packet (RFC 1122 section 3.2.2, RFC 1812 section 4.3.2.7)? Not
 * about ICMP errors, fragments other than the first, nor what went to or came from many. What only the
 * interface knows (subnet broadcasts) is the caller's to check. The header has passed packet_check(). */
bool icmp_may_answer(const struct rte_ipv4_hdr *about, uint32_t head);

/* Write the whole IP packet to `out` (ICMP_ERROR_MAX bytes); returns its size. head: bytes of `about`
 * that may be read. */
uint32_t icmp_write_error(void *out, const struct icmp_error *error,
                          const struct rte_ipv4_hdr *about, uint32_t head);

#endif
