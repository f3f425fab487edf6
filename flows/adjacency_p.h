/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inside of adjacencies: what adjacency.c (index, life) and adjacency_compile.c (records) share. For them
 * and their tests only.
 */
#ifndef KEDGE_FLOWS_ADJACENCY_P_H
#define KEDGE_FLOWS_ADJACENCY_P_H

#include <stdatomic.h>

#include <urcu/rculfhash.h>

#include "flows/adjacency.h"

/* The binary key under which lcores find an anchor. No padding; compared and hashed as two words. */
union adjacency_key {
    struct {
        uint8_t kind; /* enum adjacency_key_kind */
        uint8_t length;
        uint16_t scope;            /* VRF; of a station, the id of its bridge */
        rte_be32_t address;        /* next hop or prefix; of a fixed adjacency, its kind */
        struct rte_ether_addr mac; /* of a station */
        uint16_t zero;
    };
    uint64_t word[2];
};
static_assert(sizeof(union adjacency_key) == 16, "a key is two words");

enum adjacency_key_kind { KEY_NEXT_HOP = 1, KEY_STATION, KEY_ROUTE, KEY_FIXED };

/* An anchor of ours. */
struct adjacency_anchor {
    struct ns_anchor anchor; /* first */
    struct adjacencies *owner;
    union adjacency_key key;
    struct cds_lfht_node node;

    /* In the index. Stored with release after everything above, loaded with acquire by who meets the node
     * there: makes the key visible to lcores without relying on the order inside liburcu. */
    _Atomic bool linked;
};

struct adjacencies {
    struct flow_sources sources; /* first */
    struct links_mount *links;
    struct cds_lfht *index;
    struct ns_anchor *fixed[ADJACENCY_KINDS]; /* pinned */
};

/* Hooks of struct ns_anchor_ops. */
int adjacency_compile_next_hop(struct ns_anchor *anchor, struct ns_compile *compile);
int adjacency_compile_station(struct ns_anchor *anchor, struct ns_compile *compile);
int adjacency_compile_fixed(struct ns_anchor *anchor, struct ns_compile *compile);

/* Do two records send packets the same way? Versions are not compared. */
bool adjacency_same(const void *a, const void *b);

#endif
