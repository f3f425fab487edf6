/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Routed packets: parse, look up, rewrite, out.
 *
 * A burst goes through in stages, each of which fetches what the next one reads, so that the cache misses
 * of 32 packets are waited for together: key and hash (the flow's line), find (the anchor's line), use
 * (the record's line), apply. What is not a plain packet to a resolved next hop leaves for the slow
 * paths.
 */
#include "dataplane/worker_p.h"

/* ---- in ---- */

/* Ethernet pads short frames: what follows the datagram is not part of it. */
static void strip_padding(struct rte_mbuf *mbuf, uint32_t size)
{
    rte_pktmbuf_trim(mbuf, (uint16_t)(rte_pktmbuf_pkt_len(mbuf) - size));
}

void forward_add(struct worker *worker, const struct port_view *view, struct rte_mbuf *mbuf)
{
    const struct rte_ipv4_hdr *ip = packet_ip(mbuf);
    uint64_t checked = mbuf->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK;
    uint32_t size = rte_pktmbuf_pkt_len(mbuf) - RTE_ETHER_HDR_LEN;
    enum drop_reason verdict;

    if (unlikely(checked == RTE_MBUF_F_RX_IP_CKSUM_BAD)) {
        drop(worker, mbuf, DROP_IP_CHECKSUM);
        return;
    }
    verdict = packet_check(ip, packet_head(mbuf), size, checked != RTE_MBUF_F_RX_IP_CKSUM_GOOD);
    if (unlikely((int)verdict != PACKET_RIGHT)) {
        drop(worker, mbuf, verdict);
        return;
    }
    if (unlikely(rte_be_to_cpu_16(ip->total_length) != size))
        strip_padding(mbuf, RTE_ETHER_HDR_LEN + rte_be_to_cpu_16(ip->total_length));
    burst_add(worker, mbuf, packet_key(ip, packet_head(mbuf), view->scope));
}

/* ---- the slow turn of a packet without a flow ---- */

/* Martians never get a flow, so this is not asked again for packets of a flow. */
static bool is_martian(const struct worker *worker, const struct packet *packet)
{
    const struct link_iface *iface;

    if (packet_is_ours(&packet->key))
        return false;
    if (packet_source_is_martian(packet->key.src) || packet_address_is_special(packet->key.dst))
        return true;
    iface = packet_iface(worker, packet->mbuf);
    return iface != NULL && link_own_address(iface, packet->key.src);
}

enum flow_turn forward_find(struct worker *worker, struct packet *packet,
                            struct flow_missing *missing)
{
    uint32_t hash = flow_hash(&packet->key);
    enum flow_turn turn = FLOW_BOUND;

    packet->flow = flow_find(worker->table, &packet->key, hash);
    if (packet->flow == NULL)
        turn = flow_bind(worker->table, &packet->key, hash, &packet->flow, missing);
    else
        flow_look_again(worker->table, packet->flow);
    if (packet->flow != NULL)
        packet->record = adjacency_of(packet->flow->adjacency);
    return turn;
}

/* Find or make the flow of a packet; false: the packet was dropped, or waits. */
static bool find_or_hold(struct worker *worker, struct packet *packet)
{
    struct flow_missing missing;

    if (is_martian(worker, packet)) {
        drop(worker, packet->mbuf, DROP_BAD_SOURCE);
        return false;
    }
    switch (forward_find(worker, packet, &missing)) {
    case FLOW_BOUND: return true;
    case FLOW_MISSING: hold_missing(worker, packet, &missing); return false;
    default: drop(worker, packet->mbuf, DROP_FLOWS_FULL); return false;
    }
}

/* ---- what to do with a packet, by the kind of its adjacency ---- */

void forward_send(struct worker *worker, struct rte_mbuf *mbuf, const struct adjacency *record)
{
    const struct link_bridge *bridge;

    memcpy(rte_pktmbuf_mtod(mbuf, void *), record->header, RTE_ETHER_HDR_LEN);
    if (likely(record->kind == ADJACENCY_FORWARD)) {
        transmit(worker, mbuf, record->port);
        return;
    }
    bridge = links_bridge_by_id(worker->links, record->bridge);
    if (bridge == NULL)
        drop(worker, mbuf, DROP_PORT_DOWN);
    else
        bridge_flood(worker, mbuf, bridge, LINK_NO_ID);
}

/* A packet of somebody else's that would have to go on, but may not. True: it was dropped. The TTL is judged
 * before anything on the way out (RFC 1812 section 5.3.1). */
static bool hops_are_over(struct worker *worker, struct packet *packet)
{
    if (packet_is_ours(&packet->key) || packet_ip(packet->mbuf)->time_to_live > 1)
        return false;
    icmp_error(worker, packet, ICMP_TIME_EXCEEDED, 0, 0);
    drop(worker, packet->mbuf, DROP_TTL);
    return true;
}

/* An ICMP error shows the packet as it came, so a hop is taken off when it is sure to go. */
static void apply_forward(struct worker *worker, struct packet *packet)
{
    struct rte_mbuf *mbuf = packet->mbuf;
    struct rte_ipv4_hdr *ip = packet_ip(mbuf);
    bool too_big = rte_pktmbuf_pkt_len(mbuf) - RTE_ETHER_HDR_LEN > packet->record->mtu;

    if (hops_are_over(worker, packet))
        return;
    if (too_big && ip->fragment_offset & RTE_BE16(RTE_IPV4_HDR_DF_FLAG)) {
        icmp_error(worker, packet, ICMP_UNREACHABLE, ICMP_UNREACHABLE_FRAGMENTATION,
                   packet->record->mtu);
        drop(worker, mbuf, DROP_MTU);
        return;
    }
    if (!packet_is_ours(&packet->key)) {
        packet_decrement_ttl(ip);
        tally(worker->counters.routed, 1);
    }
    if (too_big)
        fragment_send(worker, mbuf, packet->record);
    else
        forward_send(worker, mbuf, packet->record);
}

static void apply_hold(struct worker *worker, struct packet *packet)
{
    if (!hops_are_over(worker, packet))
        hold_unresolved(worker, packet);
}

static void apply_unreachable(struct worker *worker, struct packet *packet)
{
    icmp_error(worker, packet, ICMP_UNREACHABLE, ICMP_UNREACHABLE_HOST, 0);
    drop(worker, packet->mbuf, DROP_UNREACHABLE);
}

static void apply_no_route(struct worker *worker, struct packet *packet)
{
    icmp_error(worker, packet, ICMP_UNREACHABLE, ICMP_UNREACHABLE_NETWORK, 0);
    drop(worker, packet->mbuf, DROP_NO_ROUTE);
}

static void apply_blackhole(struct worker *worker, struct packet *packet)
{
    drop(worker, packet->mbuf, DROP_BLACKHOLE);
}

static void apply_denied(struct worker *worker, struct packet *packet)
{
    drop(worker, packet->mbuf, DROP_DENIED);
}

/* No routed flow is bound to a station. */
static void (*const apply[ADJACENCY_KINDS])(struct worker *worker, struct packet *packet) = {
    [ADJACENCY_FORWARD] = apply_forward,     [ADJACENCY_FLOOD] = apply_forward,
    [ADJACENCY_BRIDGED] = apply_no_route,    [ADJACENCY_BRIDGE_FLOOD] = apply_no_route,
    [ADJACENCY_HOLD] = apply_hold,           [ADJACENCY_UNREACHABLE] = apply_unreachable,
    [ADJACENCY_NO_ROUTE] = apply_no_route,   [ADJACENCY_REJECT] = apply_no_route,
    [ADJACENCY_BLACKHOLE] = apply_blackhole, [ADJACENCY_DENIED] = apply_denied,
    [ADJACENCY_LOCAL] = icmp_local,
};

void forward_apply(struct worker *worker, struct packet *packet)
{
    if (worker->held_queues > 0 && !packet->held && hold_behind(worker, packet))
        return;
    apply[packet->record->kind](worker, packet);
}

void forward_own(struct worker *worker, struct rte_mbuf *mbuf, uint16_t vrf)
{
    struct packet packet = {.mbuf = mbuf, .quiet = true};

    mbuf->port = RTE_MBUF_PORT_INVALID;
    packet.key = packet_key(packet_ip(mbuf), packet_head(mbuf), FLOW_SCOPE_LOCAL | vrf);
    if (!find_or_hold(worker, &packet))
        return;
    flow_use(worker->table, packet.flow, rte_pktmbuf_pkt_len(mbuf));
    forward_apply(worker, &packet);
}

/* ---- the burst ---- */

/* A packet whose flow is not in the table. NULL: there is none, and the packet is gone. */
static struct flow *flow_new(struct worker *worker, unsigned i)
{
    struct burst *burst = &worker->burst;
    struct packet packet = {.mbuf = burst->mbuf[i], .key = burst->key[i]};

    return find_or_hold(worker, &packet) ? packet.flow : NULL;
}

/* Packets that went when they were looked up leave no gap. */
static void burst_close_gaps(struct burst *burst)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < burst->count; i++) {
        if (burst->flow[i] == NULL)
            continue;
        burst->mbuf[kept] = burst->mbuf[i];
        burst->key[kept] = burst->key[i];
        burst->flow[kept++] = burst->flow[i];
    }
    burst->count = kept;
}

static void burst_find(struct worker *worker, struct burst *burst)
{
    const struct flow_table *table = worker->table;
    const unsigned count = burst->count;
    unsigned gone = 0;

    for (unsigned i = 0; i < count; i++) {
        struct flow *flow = flow_find_from(table, &burst->key[i], burst->flow[i]);

        if (unlikely(flow == NULL))
            flow = flow_new(worker, i);
        burst->flow[i] = flow;
        if (likely(flow != NULL))
            rte_prefetch0(flow->adjacency);
        else
            gone++;
    }
    if (unlikely(gone != 0))
        burst_close_gaps(burst);
}

static void burst_use(struct worker *worker, struct burst *burst)
{
    struct flow_table *table = worker->table;
    const unsigned count = burst->count;

    for (unsigned i = 0; i < count; i++) {
        const struct adjacency *record =
            flow_use(table, burst->flow[i], rte_pktmbuf_pkt_len(burst->mbuf[i]));

        rte_prefetch0(record);
        burst->record[i] = record;
    }
}

static inline bool is_plain(const struct adjacency *record, uint32_t size,
                            const struct rte_ipv4_hdr *ip)
{
    return record->kind == ADJACENCY_FORWARD && ip->time_to_live > 1 && size <= record->mtu;
}

static void apply_slowly(struct worker *worker, unsigned i)
{
    struct burst *burst = &worker->burst;
    struct packet packet = {
        .mbuf = burst->mbuf[i],
        .key = burst->key[i],
        .flow = burst->flow[i],
        .record = burst->record[i],
    };

    forward_apply(worker, &packet);
}

/* Send those of [from, to), which are rewritten. Mostly all go to one port. */
static void burst_send(struct worker *worker, struct burst *burst, unsigned from, unsigned to,
                       bool one_port)
{
    if (likely(one_port)) {
        transmit_all(worker, &burst->mbuf[from], to - from, burst->record[from]->port);
        return;
    }
    for (unsigned i = from; i < to; i++)
        transmit(worker, burst->mbuf[i], burst->record[i]->port);
}

/* Rewrite and send plain packets, from this one on. Returns the first that isn't, or the end. */
static unsigned apply_plain(struct worker *worker, struct burst *burst, unsigned from)
{
    const unsigned count = burst->count, port = burst->record[from]->port;
    unsigned others = 0, i;

    if (unlikely(worker->held_queues > 0))
        return from;
    for (i = from; i < count; i++) {
        const struct adjacency *record = burst->record[i];
        struct rte_mbuf *mbuf = burst->mbuf[i];
        char *frame = rte_pktmbuf_mtod(mbuf, char *);
        struct rte_ipv4_hdr *ip = (void *)(frame + RTE_ETHER_HDR_LEN);

        if (unlikely(!is_plain(record, rte_pktmbuf_pkt_len(mbuf) - RTE_ETHER_HDR_LEN, ip)))
            break;
        packet_decrement_ttl(ip);
        memcpy(frame, record->header, RTE_ETHER_HDR_LEN);
        others |= record->port ^ port;
    }
    if (likely(i > from))
        burst_send(worker, burst, from, i, others == 0);
    tally(worker->counters.routed, i - from);
    return i;
}

static void burst_apply(struct worker *worker, struct burst *burst)
{
    for (unsigned i = 0; i < burst->count; i++) {
        i = apply_plain(worker, burst, i);
        if (unlikely(i < burst->count))
            apply_slowly(worker, i);
    }
}

void forward_burst(struct worker *worker)
{
    struct burst *burst = &worker->burst;

    burst_find(worker, burst);
    burst_use(worker, burst);
    burst_apply(worker, burst);
    if (unlikely(worker->trace != NULL))
        trace_burst(worker);
}
