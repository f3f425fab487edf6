/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Receiving: from the queues that this worker polls to its burst, to a bridge, or to the control core.
 *
 * Most frames are plain, and a few words of them tell: they go to the interface of the port, and hold an IPv4 packet
 * without options, whole, of a protocol with ports. Those are added to the burst at once. All others take the general
 * way, which would do the same with a plain one in more steps.
 */
#include "dataplane/worker_p.h"

enum { PREFETCH_AHEAD = 4 };

/* A frame to the interface here, or to all. On a bridge, the bridge has dealt with it already. */
static void input_here(struct worker *worker, const struct port_view *view, struct rte_mbuf *mbuf)
{
    const struct rte_ether_hdr *ether = rte_pktmbuf_mtod(mbuf, const struct rte_ether_hdr *);
    uint64_t to = packet_mac(&ether->dst_addr);
    rte_be16_t type = ether->ether_type;

    if (view->iface == NULL)
        drop(worker, mbuf, DROP_NO_INTERFACE);
    else if (to != view->mac && !packet_mac_is_group(to))
        drop(worker, mbuf, DROP_NOT_OURS);
    else if (mbuf->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED)
        drop(worker, mbuf, DROP_ETHERTYPE);
    else if (type == RTE_BE16(RTE_ETHER_TYPE_ARP) || type == RTE_BE16(RTE_ETHER_TYPE_RARP))
        control_packet(worker, mbuf);
    else if (type != RTE_BE16(RTE_ETHER_TYPE_IPV4))
        drop(worker, mbuf, DROP_ETHERTYPE);
    else if (packet_mac_is_group(to))
        drop(worker, mbuf, DROP_LOCAL); /* nobody here takes multicast or broadcast datagrams */
    else
        forward_add(worker, view, mbuf);
}

/* The general way of a frame. Not inlined: it would take registers from the plain ones. */
static __rte_noinline void input(struct worker *worker, const struct port_view *view,
                                 struct rte_mbuf *mbuf)
{
    if (unlikely(rte_pktmbuf_data_len(mbuf) < RTE_ETHER_HDR_LEN))
        drop(worker, mbuf, DROP_SHORT);
    else if (view->bridge != NULL) {
        if (bridge_input(worker, view, mbuf))
            input_here(worker, view, mbuf);
    } else if (packet_mac_is_group(
                   packet_mac(&rte_pktmbuf_mtod(mbuf, struct rte_ether_hdr *)->src_addr)))
        drop(worker, mbuf, DROP_BAD_SOURCE);
    else
        input_here(worker, view, mbuf);
}

/* A device that has buffers of its own (device.c says which) gets them back at once: then none is in use
 * elsewhere when the device is closed. Returns how many frames there are. */
static unsigned take_over(struct worker *worker, struct rte_mbuf **mbufs, unsigned count)
{
    unsigned taken = 0;

    for (unsigned i = 0; i < count; i++) {
        struct rte_mbuf *copy = rte_pktmbuf_copy(mbufs[i], worker->pool, 0, UINT32_MAX);

        if (copy != NULL) {
            rte_pktmbuf_free(mbufs[i]);
            mbufs[taken++] = copy;
        } else {
            drop(worker, mbufs[i], DROP_NO_BUFFER);
        }
    }
    return taken;
}

static inline bool is_verified(const struct rte_mbuf *mbuf, const void *frame)
{
    const uint64_t checked = mbuf->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK;
    const char *ip = (const char *)frame + RTE_ETHER_HDR_LEN;

    return likely(checked == RTE_MBUF_F_RX_IP_CKSUM_GOOD) ||
           (checked == RTE_MBUF_F_RX_IP_CKSUM_UNKNOWN &&
            packet_short_header_sum((const void *)ip) == UINT16_MAX);
}

static inline bool frame_is_plain(const struct rte_mbuf *mbuf, const void *frame, uint64_t mac)
{
    return rte_pktmbuf_data_len(mbuf) >= PACKET_PLAIN_MIN &&
           packet_is_plain(frame, mac, rte_pktmbuf_pkt_len(mbuf) - RTE_ETHER_HDR_LEN) &&
           !(mbuf->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED) && is_verified(mbuf, frame);
}

/* Returns the bytes of the frames. Not inlined, for the same reason. */
static __rte_noinline uint64_t input_all(struct worker *worker, uint16_t port,
                                         struct rte_mbuf **mbufs, unsigned count)
{
    const struct port_view *view = &worker->views[port];
    const uint64_t mac = view->bridge == NULL ? view->mac : PACKET_MAC_NONE;
    const uint64_t scope = packet_plain_scope(view->scope);
    uint64_t bytes = 0;

    for (unsigned i = 0; i < count; i++) {
        struct rte_mbuf *mbuf = mbufs[i];
        const void *frame = rte_pktmbuf_mtod(mbuf, const void *);

        if (i + PREFETCH_AHEAD < count)
            rte_prefetch0(rte_pktmbuf_mtod(mbufs[i + PREFETCH_AHEAD], void *));
        bytes += rte_pktmbuf_pkt_len(mbuf);
        mbuf->port = port; /* not every driver says so (net_ring) */
        if (likely(frame_is_plain(mbuf, frame, mac)))
            burst_add(worker, mbuf, packet_plain_key(frame, scope));
        else
            input(worker, view, mbuf);
    }
    return bytes;
}

static unsigned queue_poll(struct worker *worker, uint16_t port, uint16_t queue)
{
    struct rte_mbuf *mbufs[BURST];
    unsigned count = rte_eth_rx_burst(port, queue, mbufs, BURST);
    uint64_t bytes;

    if (count == 0)
        return 0;
    if (unlikely(mbufs[0]->pool != worker->pool))
        count = take_over(worker, mbufs, count);
    flow_table_burst(worker->table, FLOW_BUDGET);
    worker->burst.count = 0;
    worker->bridge_last = 0;
    for (unsigned i = 0; i < RTE_MIN(count, (unsigned)PREFETCH_AHEAD); i++)
        rte_prefetch0(rte_pktmbuf_mtod(mbufs[i], void *));
    bytes = input_all(worker, port, mbufs, count);
    if (unlikely(worker->views[port].spread != 0))
        spread_burst(worker, port);
    forward_burst(worker);
    tally(worker->counters.ports[port].rx_packets, count);
    tally(worker->counters.ports[port].rx_bytes, bytes);
    return count;
}

unsigned ports_receive(struct worker *worker)
{
    unsigned count = 0;

    for (unsigned i = 0; i < worker->polled_count; i++)
        count += queue_poll(worker, worker->polled[i].port, worker->polled[i].queue);
    tally(worker->counters.packets, count);
    return count;
}
