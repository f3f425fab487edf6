/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bridged frames (IEEE 802.1D): stations are learnt from sources, frames go to the station's port, or to
 * all others while it is not known.
 *
 * A station is a flow: key bridge and MAC address, record the port that it is behind. The same flow serves
 * both ways. As a source it shows whether the control core has to be told that the station is new or has
 * moved, and is marked as used, which keeps the station from ageing out; as a destination it shows the way.
 * What is asked of the control core is asked once in a millisecond until the record says so.
 *
 * No VLANs yet: tagged frames are bridged as they are.
 */
#include "dataplane/worker_p.h"

/* ---- stations ---- */

/* A station of a bridge, or at a port, as one number that is not 0. */
static uint64_t station_at(uint64_t mac, uint16_t place)
{
    return mac | (uint64_t)(1 + place) << 48;
}

static void ask_missing(struct worker *worker, uint64_t mac, uint16_t bridge)
{
    struct request request = {.kind = REQUEST_MISSING,
                              .missing = {.kind = FLOW_BRIDGED, .bridge = bridge}};

    if (recently(worker, ~station_at(mac, bridge),
                 0)) /* ~: not where it is, but that it is wanted */
        return;
    memcpy(&request.missing.mac, &mac, sizeof(request.missing.mac));
    request_send(worker, &request);
}

static void tell_station(struct worker *worker, const struct port_view *view, uint64_t mac,
                         uint16_t port)
{
    struct request request = {.kind = REQUEST_STATION, .port = port, .bridge = view->bridge->id};

    if (recently(worker, station_at(mac, view->bridge->id), port))
        return;
    memcpy(&request.mac, &mac, sizeof(request.mac));
    request_send(worker, &request);
}

/* The flow of a station; NULL: its anchor has to be made first, or there is no room. */
static struct flow *station_find(struct worker *worker, uint64_t mac, uint16_t bridge)
{
    union flow_key key = packet_station_key(mac, bridge);
    uint32_t hash = flow_hash(&key);
    struct flow *flow = flow_find(worker->table, &key, hash);
    struct flow_missing missing;

    if (likely(flow != NULL)) {
        flow_look_again(worker->table, flow);
        return flow;
    }
    return flow_bind(worker->table, &key, hash, &flow, &missing) == FLOW_BOUND ? flow : NULL;
}

/* The control core is told of the station before it is asked for the anchor, so that the anchor's first
 * record is right. */
static void learn(struct worker *worker, const struct port_view *view, uint64_t mac, uint16_t port)
{
    uint64_t here = station_at(mac, port);
    const struct adjacency *record;
    struct flow *flow;

    if (worker->bridge_last == here)
        return;
    flow = station_find(worker, mac, view->bridge->id);
    record = flow ? adjacency_of(flow->adjacency) : NULL;
    if (record == NULL || record->kind != ADJACENCY_BRIDGED || record->port != port)
        tell_station(worker, view, mac, port);
    if (flow == NULL) {
        ask_missing(worker, mac, view->bridge->id);
        return;
    }
    flow->used = worker->table->now;
    worker->bridge_last = here;
}

/* ---- out ---- */

static uint32_t payload_size(const struct rte_mbuf *mbuf)
{
    const struct rte_ether_hdr *ether = rte_pktmbuf_mtod(mbuf, const struct rte_ether_hdr *);
    uint32_t header = RTE_ETHER_HDR_LEN + (packet_is_vlan(ether->ether_type) ? RTE_VLAN_HLEN : 0);

    return rte_pktmbuf_pkt_len(mbuf) -
           header; /* wraps for a frame that is no more than half a tag */
}

/* A bridge can't say that a frame is too big. */
static void send_bridged(struct worker *worker, struct rte_mbuf *mbuf, uint16_t port)
{
    const struct port_view *view = &worker->views[port];

    if (unlikely(view->open && (int32_t)payload_size(mbuf) > view->mtu))
        drop(worker, mbuf, DROP_MTU);
    else
        transmit(worker, mbuf, port);
}

/* The next port to flood to, from index *at of the bridge's; LINK_NO_ID at the end. */
static uint16_t next_port(const struct worker *worker, const struct link_bridge *bridge,
                          uint16_t but, unsigned *at)
{
    while (*at < bridge->port_count) {
        const struct link_port *port = &worker->links->ports[bridge->ports[(*at)++]];

        if (port->up && port->id < LINK_PORTS_MAX && port->id != but)
            return port->id;
    }
    return LINK_NO_ID;
}

/* Each port but the last gets a copy: any driver takes those, and a receiver in the same process
 * (net_ring) may write to them. Floods are rare. */
void bridge_flood(struct worker *worker, struct rte_mbuf *mbuf, const struct link_bridge *bridge,
                  uint16_t but)
{
    unsigned at = 0;
    uint16_t port = next_port(worker, bridge, but, &at);

    if (port == LINK_NO_ID) {
        drop(worker, mbuf, DROP_PORT_DOWN);
        return;
    }
    tally(worker->counters.flooded, 1);
    for (uint16_t next; (next = next_port(worker, bridge, but, &at)) != LINK_NO_ID; port = next) {
        struct rte_mbuf *copy = rte_pktmbuf_copy(mbuf, worker->pool, 0, UINT32_MAX);

        if (copy != NULL)
            send_bridged(worker, copy, port);
        else
            tally(worker->counters.drops[DROP_NO_BUFFER], 1);
    }
    send_bridged(worker, mbuf, port);
}

static void bridge_unicast(struct worker *worker, const struct port_view *view,
                           struct rte_mbuf *mbuf, uint64_t to)
{
    struct flow *flow = station_find(worker, to, view->bridge->id);
    const struct adjacency *record = flow ? adjacency_of(flow->adjacency) : NULL;

    if (flow == NULL) {
        ask_missing(worker, to, view->bridge->id);
    } else {
        flow->packets++;
        flow->bytes += rte_pktmbuf_pkt_len(mbuf);
    }
    if (record == NULL || record->kind == ADJACENCY_BRIDGE_FLOOD) {
        bridge_flood(worker, mbuf, view->bridge, mbuf->port);
    } else if (record->kind != ADJACENCY_BRIDGED) {
        drop(worker, mbuf,
             DROP_PORT_DOWN); /* it is known where the station is, but not reachable */
    } else if (record->port == mbuf->port) {
        drop(worker, mbuf, DROP_SAME_PORT);
    } else {
        tally(worker->counters.bridged, 1);
        send_bridged(worker, mbuf, record->port);
        if (unlikely(worker->trace != NULL))
            trace_flow(worker, flow, record);
    }
}

/* ---- to the control core ---- */

void control_packet(struct worker *worker, struct rte_mbuf *mbuf)
{
    struct request request = {.kind = REQUEST_PACKET, .port = mbuf->port, .packet = mbuf};

    if (!request_send(worker, &request))
        drop(worker, mbuf, DROP_REQUEST_FULL);
}

static bool is_arp(const struct rte_ether_hdr *ether)
{
    return ether->ether_type == RTE_BE16(RTE_ETHER_TYPE_ARP) ||
           ether->ether_type == RTE_BE16(RTE_ETHER_TYPE_RARP);
}

/* To all, and if it is ARP also to the control core: as a copy, because flooding consumes it. The station
 * request of its source is in the ring already. */
static void bridge_group(struct worker *worker, const struct port_view *view, struct rte_mbuf *mbuf)
{
    const struct rte_ether_hdr *ether = rte_pktmbuf_mtod(mbuf, const struct rte_ether_hdr *);

    if (view->iface != NULL && is_arp(ether)) {
        struct rte_mbuf *copy = rte_pktmbuf_copy(mbuf, worker->pool, 0, UINT32_MAX);

        if (copy != NULL) {
            copy->port = mbuf->port;
            control_packet(worker, copy);
        } else {
            tally(worker->counters.drops[DROP_NO_BUFFER], 1);
        }
    }
    bridge_flood(worker, mbuf, view->bridge, mbuf->port);
}

/* Groups, nobody, and ourselves (which would be a loop) are nobody's source. */
static bool is_bad_source(const struct port_view *view, uint64_t mac)
{
    return packet_mac_is_group(mac) || mac == 0 || mac == view->mac;
}

bool bridge_input(struct worker *worker, const struct port_view *view, struct rte_mbuf *mbuf)
{
    const struct rte_ether_hdr *ether = rte_pktmbuf_mtod(mbuf, const struct rte_ether_hdr *);
    uint64_t to = packet_mac(&ether->dst_addr), from = packet_mac(&ether->src_addr);

    if (is_bad_source(view, from)) {
        drop(worker, mbuf, DROP_BAD_SOURCE);
        return false;
    }
    learn(worker, view, from, mbuf->port);
    if (to == view->mac)
        return true;
    if (unlikely((mbuf->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED) && rte_vlan_insert(&mbuf) != 0))
        drop(worker, mbuf, DROP_NO_BUFFER);
    else if (packet_mac_is_reserved(to))
        drop(worker, mbuf, DROP_LOCAL);
    else if (packet_mac_is_group(to))
        bridge_group(worker, view, mbuf);
    else
        bridge_unicast(worker, view, mbuf, to);
    return false;
}
