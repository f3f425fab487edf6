/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The IPv4 parser and the ICMP writer on arbitrary bytes. Input: the first byte says how much of the
 * packet lies in the first segment (0: all of it), the rest is the packet from its IP header on.
 *
 * What must hold: nothing beyond the first segment is read (it is a block of its own); a header that
 * passes keeps a right checksum when its TTL falls; an ICMP error about it is itself a right packet; what is
 * taken for plain is right.
 */
#include <stdint.h>
#include <stdlib.h>

#include "dataplane/packet.h"

#define MUST(what)   \
    do {             \
        if (!(what)) \
            abort(); \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_ttl(struct rte_ipv4_hdr *ip)
{
    uint8_t ttl = ip->time_to_live;

    packet_set_checksum(ip);
    if (ttl == 0)
        return;
    packet_decrement_ttl(ip);
    MUST(ip->time_to_live == ttl - 1);
    MUST(packet_header_sum(ip) == 0xffff);
}

static void try_error(const struct rte_ipv4_hdr *ip, uint32_t head)
{
    const struct icmp_error error = {.type = ICMP_TIME_EXCEEDED, .source = RTE_BE32(0x0a000001)};
    uint8_t out[ICMP_ERROR_MAX];
    uint32_t written;

    if (!icmp_may_answer(ip, head))
        return;
    written = icmp_write_error(out, &error, ip, head);
    MUST(written <= ICMP_ERROR_MAX);
    MUST((int)packet_check((void *)out, written, written, true) == PACKET_RIGHT);
    MUST(!icmp_may_answer((void *)out, written)); /* never an error about an error */
}

static void try_packet(void *packet, uint32_t head, uint32_t size)
{
    struct rte_ipv4_hdr *ip = packet;
    union flow_key key;

    packet_check(ip, head, size, true);
    if ((int)packet_check(ip, head, size, false) != PACKET_RIGHT)
        return;
    MUST(packet_header_size(ip) <= head);
    key = packet_key(ip, head, 7);
    MUST(key.src == ip->src_addr && key.dst == ip->dst_addr && key.scope == 7);
    MUST(key.proto == ip->next_proto_id && key.kind == FLOW_ROUTED);
    MUST(!packet_is_fragment(ip) || (key.sport == 0 && key.dport == 0));
    try_error(ip, head);
    try_ttl(ip);
}

/* As what a frame carries: one that is taken for plain passes all checks, and has the same key. */
static void try_plain(const void *packet, uint32_t size)
{
    uint8_t frame[PACKET_PLAIN_MIN];
    const struct rte_ether_hdr ether = {.src_addr = {{2}},
                                        .ether_type = RTE_BE16(RTE_ETHER_TYPE_IPV4)};
    const struct rte_ipv4_hdr *ip = packet;
    union flow_key key, general;

    if (size < PACKET_IPV4_MIN + 4)
        return;
    memcpy(frame, &ether, sizeof(ether));
    memcpy(frame + sizeof(ether), packet, PACKET_IPV4_MIN + 4);
    if (!packet_is_plain(frame, 0, size))
        return;
    MUST((int)packet_check(ip, size, size, false) == PACKET_RIGHT);
    key = packet_plain_key(frame, packet_plain_scope(7));
    general = packet_key(ip, size, 7);
    MUST(key.word[0] == general.word[0] && key.word[1] == general.word[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint32_t head, whole;
    void *packet;

    if (size < 2 || size > UINT16_MAX)
        return 0;
    whole = (uint32_t)size - 1;
    head = data[0] == 0 || data[0] > whole ? whole : data[0];
    packet = malloc(head);
    MUST(packet != NULL);
    memcpy(packet, data + 1, head);
    if (head == whole)
        try_plain(packet, whole);
    try_packet(packet, head, whole);
    free(packet);
    return 0;
}
