/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a flow and an adjacency are: the two structures that the packet path touches.
 *
 *      packet -> key -> flow (the lcore's own table) -> anchor -> adjacency -> header, port
 *
 * The fast path follows one anchor. Everything that an adjacency was compiled from (route, next hop,
 * neighbour, station, port) reaches the flow through the record that the anchor holds; everything that
 * decided *which* adjacency it is (definition, route) reaches it by notices, see flows/table.h.
 */
#ifndef KEDGE_FLOWS_FLOW_H
#define KEDGE_FLOWS_FLOW_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#include <rte_ether.h>

#include "nameserv/anchor.h"

enum flow_kind {
    FLOW_ROUTED = 1,  /* by IPv4 5-tuple and the interface it came in by */
    FLOW_BRIDGED = 2, /* by bridge and MAC address */
};

/* `scope` of a routed flow: the id of the interface that it came in by, which belongs to exactly one
 * VRF; or FLOW_SCOPE_LOCAL | vrf for packets of our own. */
enum { FLOW_SCOPE_LOCAL = 0x8000 };

/* 16 bytes, no padding, compared and hashed as two words. Build it in registers and store it whole:
 * written field by field it defeats store forwarding. All in network byte order but scope. */
union flow_key {
    struct {
        rte_be32_t src, dst;
        rte_be16_t sport,
            dport; /* 0 for protocols without ports; for ICMP, the identifier in sport */
        uint16_t scope;
        uint8_t proto;
        uint8_t kind; /* FLOW_ROUTED */
    };
    struct {
        struct rte_ether_addr mac;
        uint16_t bridge; /* id */
        uint32_t zero;
        uint16_t zero2;
        uint8_t zero3;
        uint8_t bridged_kind; /* FLOW_BRIDGED */
    };
    uint64_t word[2];
};
static_assert(sizeof(union flow_key) == 16, "a flow's key is two words");

enum adjacency_kind {
    ADJACENCY_FORWARD, /* header, port */
    ADJACENCY_FLOOD, /* header; to all ports of the bridge that are up: the station is not known */
    ADJACENCY_BRIDGED,      /* port; the frame goes unchanged */
    ADJACENCY_BRIDGE_FLOOD, /* the frame goes unchanged to all other ports of the bridge */
    ADJACENCY_HOLD,         /* not resolved yet: hold the packet, ask for resolution */
    ADJACENCY_UNREACHABLE,  /* drop, answer with ICMP host unreachable */
    ADJACENCY_NO_ROUTE,     /* drop, answer with ICMP network unreachable */
    ADJACENCY_REJECT,       /* the same, by a route that says so */
    ADJACENCY_BLACKHOLE,    /* drop silently */
    ADJACENCY_DENIED,       /* dropped by a flow definition */
    ADJACENCY_LOCAL,        /* to the stack itself */
    ADJACENCY_KINDS,
};
const char *adjacency_kind_name(enum adjacency_kind kind);

/* The names on the way from a next hop, or a station, to a port. */
enum adjacency_link {
    ADJACENCY_NEIGHBOUR,
    ADJACENCY_STATION,
    ADJACENCY_INTERFACE,
    ADJACENCY_PORT,
    ADJACENCY_LINKS,
};

/* The record of an adjacency's or a station's anchor. Immutable once published. */
struct adjacency {
    uint64_t version;    /* commit that it was compiled in */
    uint8_t kind;        /* enum adjacency_kind */
    uint8_t header_size; /* 14, or 0 */
    uint16_t port;       /* device id; FORWARD and BRIDGED */
    uint16_t lcore;      /* index of the worker that serves the port */
    uint16_t mtu;        /* bytes of an IP packet */
    uint16_t bridge;     /* id; FLOOD kinds */
    uint16_t iface;      /* id of the interface it goes out by; 0 if none */
    rte_be32_t next_hop;
    uint8_t header[16];            /* Ethernet: destination, source, type */
    struct rte_ether_addr station; /* BRIDGED kinds: whose station this is */
    /* Low half of the commit that last wrote each link's name (of a bridge, that of the interface); 0: no
     * such link. For telling which one moved; two records that differ in this only are the same. */
    uint32_t changed[ADJACENCY_LINKS];
};
static_assert(sizeof(struct adjacency) <= NS_CACHE_LINE, "an adjacency is read in one cache line");

static inline const struct adjacency *adjacency_of(const struct ns_anchor *anchor)
{
    return (const struct adjacency *)ns_rcu_load(anchor->record);
}

#endif
