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
    struct burst *burst = &worker->burst;
    const struct rte_ipv4_hdr *ip = packet_ip(mbuf);
    uint64_t checked = mbuf->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK;
    uint32_t size = rte_pktmbuf_pkt_len(mbuf) - RTE_ETHER_HDR_LEN;
    enum drop_reason verdict;
    unsigned i = burst->count;

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
    burst->mbuf[i] = mbuf;
    burst->key[i] = packet_key(ip, packet_head(mbuf), view->scope);
    burst->hash[i] = flow_hash(&burst->key[i]);
    flow_prefetch(worker->table, burst->hash[i]);
    burst->count = i + 1;
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

static void (*const apply[ADJACENCY_KINDS])(struct worker *worker, struct packet *packet) = {
    [ADJACENCY_FORWARD] = apply_forward,
    [ADJACENCY_FLOOD] = apply_forward,
    [ADJACENCY_BRIDGED] = apply_no_route, /* no routed flow is bound to a station */
    [ADJACENCY_BRIDGE_FLOOD] = apply_no_route,
    [ADJACENCY_HOLD] = apply_hold,
    [ADJACENCY_UNREACHABLE] = apply_unreachable,
    [ADJACENCY_NO_ROUTE] = apply_no_route,
    [ADJACENCY_BLACKHOLE] = apply_blackhole,
    [ADJACENCY_DENIED] = apply_denied,
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

static void burst_find(struct worker *worker, struct burst *burst)
{
    for (unsigned i = 0; i < burst->count; i++) {
        struct flow *flow = flow_find(worker->table, &burst->key[i], burst->hash[i]);

        if (unlikely(flow == NULL))
            flow = flow_new(worker, i);
        if (likely(flow != NULL))
            rte_prefetch0(flow->adjacency);
        burst->flow[i] = flow;
    }
}

static void burst_use(struct worker *worker, struct burst *burst)
{
    for (unsigned i = 0; i < burst->count; i++) {
        if (unlikely(burst->flow[i] == NULL))
            continue;
        burst->record[i] =
            flow_use(worker->table, burst->flow[i], rte_pktmbuf_pkt_len(burst->mbuf[i]));
        rte_prefetch0(burst->record[i]);
    }
}

static inline bool is_plain(const struct worker *worker, const struct adjacency *record,
                            const struct rte_mbuf *mbuf, const struct rte_ipv4_hdr *ip)
{
    return record->kind == ADJACENCY_FORWARD && ip->time_to_live > 1 &&
           rte_pktmbuf_pkt_len(mbuf) - RTE_ETHER_HDR_LEN <= record->mtu && worker->held_queues == 0;
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

static void burst_apply(struct worker *worker, struct burst *burst)
{
    uint64_t routed = 0;

    for (unsigned i = 0; i < burst->count; i++) {
        const struct adjacency *record = burst->record[i];
        struct rte_mbuf *mbuf = burst->mbuf[i];
        struct rte_ipv4_hdr *ip;

        if (unlikely(burst->flow[i] == NULL))
            continue;
        ip = packet_ip(mbuf);
        if (unlikely(!is_plain(worker, record, mbuf, ip))) {
            apply_slowly(worker, i);
            continue;
        }
        packet_decrement_ttl(ip);
        memcpy(rte_pktmbuf_mtod(mbuf, void *), record->header, RTE_ETHER_HDR_LEN);
        transmit(worker, mbuf, record->port);
        routed++;
    }
    tally(worker->counters.routed, routed);
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
