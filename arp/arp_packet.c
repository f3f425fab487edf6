/* SPDX-License-Identifier: BSD-3-Clause */
/* ARP packets for IPv4 over Ethernet; see arp_packet.h. */
#include "arp/arp_packet.h"

#include <errno.h>
#include <string.h>

#include <rte_byteorder.h>

enum { RARP_REQUEST = 3, RARP_REPLY = 4 }; /* RFC 903 */

static bool is_for_ipv4(const struct rte_arp_hdr *arp)
{
    return arp->arp_hardware == rte_cpu_to_be_16(RTE_ARP_HRD_ETHER) &&
           arp->arp_protocol == rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4) &&
           arp->arp_hlen == RTE_ETHER_ADDR_LEN && arp->arp_plen == sizeof(rte_be32_t);
}

static bool operation_fits(const struct arp_packet *packet)
{
    if (packet->reverse)
        return packet->operation == RARP_REQUEST || packet->operation == RARP_REPLY;
    return packet->operation == RTE_ARP_OP_REQUEST || packet->operation == RTE_ARP_OP_REPLY;
}

int arp_parse(const void *frame, size_t size, struct arp_packet *packet)
{
    struct rte_ether_hdr ether;
    struct rte_arp_hdr arp;

    if (size < sizeof(ether) + sizeof(arp))
        return -EINVAL;
    /* A frame in a buffer need not be aligned. */
    memcpy(&ether, frame, sizeof(ether));
    memcpy(&arp, (const char *)frame + sizeof(ether), sizeof(arp));
    packet->reverse = ether.ether_type == rte_cpu_to_be_16(RTE_ETHER_TYPE_RARP);
    if (!packet->reverse && ether.ether_type != rte_cpu_to_be_16(RTE_ETHER_TYPE_ARP))
        return -EINVAL;
    packet->destination = ether.dst_addr;
    packet->source = ether.src_addr;
    packet->operation = rte_be_to_cpu_16(arp.arp_opcode);
    packet->sender_mac = arp.arp_data.arp_sha;
    packet->target_mac = arp.arp_data.arp_tha;
    packet->sender = arp.arp_data.arp_sip;
    packet->target = arp.arp_data.arp_tip;
    return is_for_ipv4(&arp) && operation_fits(packet) ? 0 : -EINVAL;
}

void arp_build(const struct arp_packet *packet, uint8_t frame[ARP_FRAME_SIZE])
{
    const struct rte_ether_hdr ether = {
        .dst_addr = packet->destination,
        .src_addr = packet->source,
        .ether_type = rte_cpu_to_be_16(RTE_ETHER_TYPE_ARP),
    };
    const struct rte_arp_hdr arp = {
        .arp_hardware = rte_cpu_to_be_16(RTE_ARP_HRD_ETHER),
        .arp_protocol = rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4),
        .arp_hlen = RTE_ETHER_ADDR_LEN,
        .arp_plen = sizeof(rte_be32_t),
        .arp_opcode = rte_cpu_to_be_16(packet->operation),
        .arp_data =
            {
                .arp_sha = packet->sender_mac,
                .arp_sip = packet->sender,
                .arp_tha = packet->target_mac,
                .arp_tip = packet->target,
            },
    };

    memset(frame, 0, ARP_FRAME_SIZE);
    memcpy(frame, &ether, sizeof(ether));
    memcpy(frame + sizeof(ether), &arp, sizeof(arp));
}
