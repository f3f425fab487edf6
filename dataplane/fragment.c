/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fragmentation of IPv4 packets that are too big for the way out (RFC 791 section 3.2), by DPDK's
 * library. The copying form is used: its fragments are plain buffers that any driver takes.
 */
#define ALLOW_EXPERIMENTAL_API /* rte_ipv4_fragment_copy_nonseg_packet() */
#include <rte_ip_frag.h>

#include "dataplane/worker_p.h"

/* 64 KiB over links of at least 1 KiB; smaller ones carry what fits. */
enum { FRAGMENTS_MAX = 64 };

static int make_fragments(struct worker *worker, struct rte_mbuf *mbuf, uint16_t mtu,
                          struct rte_mbuf **out)
{
    uint32_t room = rte_pktmbuf_data_room_size(worker->pool) - RTE_PKTMBUF_HEADROOM;

    if (mbuf->nb_segs != 1 || mtu < PACKET_IPV4_MIN_MTU)
        return -ENOTSUP;
    rte_pktmbuf_adj(mbuf, RTE_ETHER_HDR_LEN); /* the library starts at the IP header */
    return rte_ipv4_fragment_copy_nonseg_packet(mbuf, out, FRAGMENTS_MAX,
                                                (uint16_t)RTE_MIN(mtu, room), worker->pool);
}

void fragment_send(struct worker *worker, struct rte_mbuf *mbuf, const struct adjacency *record)
{
    struct rte_mbuf *fragments[FRAGMENTS_MAX];
    int count = make_fragments(worker, mbuf, record->mtu, fragments);

    if (count < 0) {
        drop(worker, mbuf, count == -ENOMEM ? DROP_NO_BUFFER : DROP_MTU);
        return;
    }
    for (int i = 0; i < count; i++) {
        packet_set_checksum(rte_pktmbuf_mtod(fragments[i], struct rte_ipv4_hdr *));
        rte_pktmbuf_prepend(fragments[i], RTE_ETHER_HDR_LEN);
        forward_send(worker, fragments[i], record);
    }
    rte_pktmbuf_free(mbuf);
}
