/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Adjacencies: how to reach a next hop, compiled by the control core from the whole chain.
 *
 *   /adjacency/VRF/ADDR   derived, no entry in the tree. Look the address up in the routing table; if
 *                         the route goes via another next hop, look that up (at most
 *                         ADJACENCY_DEPTH times); take the interface, its MAC address, the neighbour
 *                         on it, the station behind which port of its bridge, and the port. The
 *                         anchor depends on every name on the way: route(s), /iface/NAME,
 *                         /neigh/IFACE/ADDR, /fdb/BRIDGE/MAC, /bridge/NAME, /port/NAME.
 *   /fdb/BRIDGE/MAC       a station: bridged flows are bound to it.
 *   /route/ADDR/LEN       no record; lcores depend on its version.
 *
 * Anchors are found by lcores under binary keys in one RCU hash table. They are made by the control
 * core only, when an lcore asks (adjacencies_supply()), and are capped by the store, so that a scan of
 * addresses can't eat the memory.
 *
 * Some adjacencies are the same for everybody and always there: no route, blackhole, denied, local.
 */
#ifndef KEDGE_FLOWS_ADJACENCY_H
#define KEDGE_FLOWS_ADJACENCY_H

#include "arp/neighbour.h"
#include "flows/definition.h"
#include "flows/route.h"

enum { ADJACENCY_DEPTH = 8 };

struct adjacencies;

/* The index, the fixed adjacencies, and the slots and anchors of all modules in one place. The store may
 * go on to forget anchors after adjacencies_free(), but neither lcores, nor commits, nor
 * adjacencies_supply() may come after it. 0, -ENOMEM, -ENOSPC. */
int adjacencies_new(struct ns_store *store, struct links_mount *links, struct routes *routes,
                    struct definitions *definitions, struct adjacencies **adjacencies);
void adjacencies_free(struct adjacencies *adjacencies);

/* What an lcore found missing. Small enough to travel by value in a ring. */
struct flow_missing {
    uint8_t kind; /* FLOW_ROUTED: next_hop, prefix, length; FLOW_BRIDGED: mac, bridge */
    uint8_t length;
    uint16_t vrf;
    bool no_prefix;   /* not needed: a definition said where it goes */
    bool no_next_hop; /* not needed: it goes to one of the fixed adjacencies */
    uint16_t bridge;
    struct rte_ether_addr mac;
    rte_be32_t next_hop;
    rte_be32_t prefix;
};

/* Control core: make those of the anchors that are missing, and register the lcore with all of them; it gets
 * a notice for each, also for one that was there: who waits for the next hop is told of it, whatever was
 * missing. 0; -ENOSPC (too many anchors), -ENOMEM, -ENOENT (there is no such bridge): then it may have been
 * told of some, and will ask again. */
int adjacencies_supply(struct adjacencies *adjacencies, const struct flow_missing *missing,
                       unsigned lcore);

/* ---- any reader, inside a read section; wait-free; NULL if there is none ---- */
struct ns_anchor *adjacency_find(struct adjacencies *adjacencies, uint16_t vrf,
                                 rte_be32_t next_hop);
struct ns_anchor *adjacency_find_route(struct adjacencies *adjacencies, uint16_t vrf,
                                       rte_be32_t prefix, uint8_t length);
struct ns_anchor *adjacency_find_station(struct adjacencies *adjacencies, uint16_t bridge,
                                         const struct rte_ether_addr *mac);

/* What becomes of packets where a route leads to no next hop. kind: none of VIA, DEV and CONNECTED. */
enum adjacency_kind adjacency_end(enum route_kind kind);

/* The anchor of one of the fixed adjacencies (NO_ROUTE, REJECT, BLACKHOLE, DENIED, LOCAL); it never changes, so
 * nobody needs to depend on it. */
struct ns_anchor *adjacency_fixed(struct adjacencies *adjacencies, enum adjacency_kind kind);

/* Which is it? For the lcore that takes a notice. */
bool adjacency_is(const struct ns_anchor *anchor);          /* has a struct adjacency as record */
bool adjacency_is_next_hop(const struct ns_anchor *anchor); /* one of /adjacency/VRF/ADDR */
bool adjacency_is_route(const struct ns_anchor *anchor);    /* one of /route/ADDR/LEN */
rte_be32_t adjacency_next_hop(const struct ns_anchor *anchor, uint16_t *vrf);

/* What an lcore needs to compute a decision. */
struct flow_sources {
    struct ns_store *store;
    struct adjacencies *adjacencies;
    int links_slot, routes_slot, definitions_slot;
    struct ns_anchor *definitions_anchor;
};
const struct flow_sources *adjacencies_sources(const struct adjacencies *adjacencies);

#endif
