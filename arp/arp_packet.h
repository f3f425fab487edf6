/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ARP packets for IPv4 over Ethernet (RFC 826), and RARP (RFC 903), which has the same form. Private to
 * arp/ and its tests.
 *
 * Thread safety: none needed; nothing is kept.
 */
#ifndef KEDGE_ARP_ARP_PACKET_H
#define KEDGE_ARP_ARP_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rte_arp.h>
#include <rte_ether.h>

/* Without the check sum; shorter frames are padded, because not every device does it. */
enum { ARP_FRAME_SIZE = 60 };

struct arp_packet {
    struct rte_ether_addr destination, source; /* of the frame */
    bool reverse;                              /* RARP */
    uint16_t operation;                        /* host byte order */
    struct rte_ether_addr sender_mac, target_mac;
    rte_be32_t sender, target;
};

/* Take a frame apart. 0, or -EINVAL: not ARP or RARP for IPv4 over Ethernet, too short, or with an
 * operation that it does not have. */
int arp_parse(const void *frame, size_t size, struct arp_packet *packet);

/* Make a frame of it (reverse is ignored: always ARP). */
void arp_build(const struct arp_packet *packet, uint8_t frame[ARP_FRAME_SIZE]);

#endif
