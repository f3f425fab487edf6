/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The flow table of one lcore: flows, their bindings, and what is done when a notice comes.
 *
 * FLOWS. Open addressing with one cache line a flow; a flow never moves while it lives, so its index
 * names it. The line holds what the fast path needs: key, anchor of the adjacency, counters. A second,
 * cold line holds its binding.
 *
 * BINDING. A flow is bound to the anchors that its decision came from: the adjacency; the route of the
 * prefix that matched; the definition that claimed it; and /flow, for definitions to come. The lcore has
 * one *hold* for each anchor that any of its flows is bound to: the only thing that touches the anchor's
 * mask, and an array of the flows bound through it (in chunks of a pool; swap-remove), so that a change
 * reaches exactly those.
 *
 * A CHANGE OF A VALUE (an adjacency's record) needs nothing here: the next packet reads the new record.
 * A CHANGE OF A BINDING (route, definition, /flow) sets the hold's stamp to the anchor's version, bumps
 * the table's epoch and starts a walk over the hold's flows:
 *   - a flow whose epoch is not the table's, when a packet uses it, compares its stamps with its holds'
 *     and takes the slow turn if one is newer, within a budget a burst;
 *   - the walk, in slices, downwards because removal swaps with the last, gives every other flow its
 *     slow turn; a change that comes in the middle moves the stamp and makes it go around again from
 *     where it is, until one whole round has passed at the newest stamp. A flow's own bound version keeps
 *     it from being told twice.
 * Until its turn a flow goes on as before. When all walks are over, `applied` of the lcore's subscriber
 * is moved on.
 *
 * THE SLOW TURN computes the decision from one version of the tree, then registers, then looks at the
 * anchors' versions again (nameserv/anchor.h, O1).
 *
 * Memory is taken when the table is made (huge pages where there are). Nothing is allocated later.
 *
 * Thread safety: a table belongs to its lcore, whose thread is online for RCU in all calls. new, free and
 * the reading functions marked so may be called by the control core.
 */
#ifndef KEDGE_FLOWS_TABLE_H
#define KEDGE_FLOWS_TABLE_H

#include <rte_hash_crc.h>
#include <rte_prefetch.h>

#include "flows/adjacency.h"
#include "flows/flow.h"

enum flow_state { FLOW_EMPTY = 0, FLOW_DELETED, FLOW_LIVE };

/* The hot line. Written by its lcore only; counters are read by others, torn at worst. */
struct flow {
    union flow_key key;
    struct ns_anchor *adjacency; /* the one anchor that the fast path follows */
    uint64_t packets, bytes;
    uint32_t epoch;      /* table's epoch when the binding was last known to be right */
    uint32_t used;       /* second of the last packet, as given to the table */
    uint32_t definition; /* index of the definition's hold, to count there; 0: none */
    uint8_t state;       /* enum flow_state */
    uint8_t pad[3];
    uint64_t reserved;
} __rte_aligned(64);
static_assert(sizeof(struct flow) == 64, "a flow is one cache line");

struct flow_table_options {
    unsigned lcore;        /* index of the worker, which is that of its subscriber and mask bit */
    uint32_t flows;        /* capacity; slots are the next power of two of twice as many */
    uint32_t holds;        /* anchors that flows of this lcore may be bound to; 0: flows / 4 + 1024 */
    uint32_t idle_seconds; /* a flow unused for so long is forgotten; 0 = 60 */
    uint32_t slice;        /* flows told in one poll; 0 = 64 */
    uint32_t budget;       /* slow turns of stale flows in one burst; 0 = 8 */
    int numa_node;         /* SOCKET_ID_ANY as well */
    /* A notice for an adjacency or a station came: its record may be new (packets that wait for it can
     * go), `flows` of this lcore are bound to it. On the lcore. */
    void (*changed)(void *arg, struct ns_anchor *anchor, uint32_t flows);
    void *arg;
};

struct flow_table_counters {
    uint64_t flows;            /* live now */
    uint64_t holds;            /* anchors depended on now */
    uint64_t bound;            /* slow turns of new flows */
    uint64_t rebound;          /* slow turns that changed a binding */
    uint64_t looked_again;     /* slow turns that found it unchanged */
    uint64_t moved;            /* flows whose adjacency's record was replaced under them */
    uint64_t told;             /* flows told by walks */
    uint64_t missing, full, idle; /* no anchor yet; no room; forgotten */
    uint64_t notices;
};

struct flow_table {
    struct flow *flows; /* 1 << bits slots */
    uint32_t mask;
    uint32_t epoch;
    uint32_t now;       /* second, as last given to flow_table_poll() */
    uint32_t budget_left;
    struct flow_table_private *private;
};

/* Control core. 0, -ENOMEM, -EINVAL. */
int flow_table_new(const struct flow_sources *sources, const struct flow_table_options *options,
                   struct flow_table **table);
/* Control core, when the lcore has stopped: unbinds everything. */
void flow_table_free(struct flow_table *table);

/* Top of the lcore's loop: take notices, go on with walks and with the sweep for idle flows, a bounded
 * amount. now: seconds of CLOCK_MONOTONIC. Returns true while work is left (do not sleep). */
bool flow_table_poll(struct flow_table *table, uint32_t now);

/* Before a burst: give it its budget of slow turns. */
static inline void flow_table_burst(struct flow_table *table, uint32_t budget)
{
    table->budget_left = budget;
}

static inline uint32_t flow_hash(const union flow_key *key)
{
    return rte_hash_crc_8byte(key->word[1], rte_hash_crc_8byte(key->word[0], 0xfeedbeef));
}

static inline void flow_prefetch(const struct flow_table *table, uint32_t hash)
{
    rte_prefetch0(&table->flows[hash & table->mask]);
}

/* The flow with this key, or NULL. */
static inline struct flow *flow_find(const struct flow_table *table, const union flow_key *key, uint32_t hash)
{
    for (uint32_t slot = hash & table->mask;; slot = (slot + 1) & table->mask) {
        struct flow *flow = &table->flows[slot];

        if (flow->key.word[0] == key->word[0] && flow->key.word[1] == key->word[1])
            return flow;
        if (flow->state == FLOW_EMPTY)
            return NULL;
    }
}

enum flow_turn {
    FLOW_BOUND,   /* *flow can be used */
    FLOW_MISSING, /* *missing says what the control core has to make; hold the packet */
    FLOW_FULL,    /* no room for a flow or a hold */
};

/* The slow turn of a packet whose flow is not in the table. */
enum flow_turn flow_bind(struct flow_table *table, const union flow_key *key, uint32_t hash,
                         struct flow **flow, struct flow_missing *missing);

/* A flow whose epoch is old is about to be used: look again if it must and the budget allows. Afterwards
 * flow->adjacency is right, or still the old one until its turn. */
void flow_refresh(struct flow_table *table, struct flow *flow);

/* What a packet does on the fast path. */
static inline const struct adjacency *flow_use(struct flow_table *table, struct flow *flow, uint32_t bytes)
{
    if (unlikely(flow->epoch != table->epoch))
        flow_refresh(table, flow);
    flow->packets++;
    flow->bytes += bytes;
    flow->used = table->now;
    return adjacency_of(flow->adjacency);
}

/* Forget all flows (tests, shutdown). */
void flow_table_clear(struct flow_table *table);

/* Where a routed packet with this key would go next, from scratch on one version: the address of the
 * adjacency. For held packets and checks. Returns false if it goes to a fixed adjacency. */
bool flow_next_hop(const struct flow_sources *sources, const union flow_key *key, uint16_t *vrf, rte_be32_t *next_hop);

/* ---- reading, by the control core as well ---- */
void flow_table_counters(const struct flow_table *table, struct flow_table_counters *out);

/* How many flows of this lcore are bound to the anchor, when one was last used (seconds, updated by the
 * sweep at least every two seconds), and what a definition's flows have counted. 0 if none. */
uint32_t flow_table_bound(const struct flow_table *table, const struct ns_anchor *anchor);
uint32_t flow_table_used(const struct flow_table *table, const struct ns_anchor *anchor);
void flow_table_counted(const struct flow_table *table, const struct ns_anchor *anchor, uint64_t *packets, uint64_t *bytes);

/* ---- on the lcore: what a flow's decision came from ---- */
struct flow_origin {
    union flow_key key;
    uint64_t packets, bytes;
    uint32_t used;
    uint64_t bound_version;       /* of the tree that the binding was computed from */
    char adjacency[64], route[32], definition[72]; /* names; "" if none */
    uint64_t adjacency_version, route_version, definition_version;
    struct adjacency record;      /* as it is now */
};
/* false: no such flow. */
bool flow_origin(const struct flow_table *table, const union flow_key *key, struct flow_origin *origin);

/* Go through the live flows, `cursor` starting at 0; false at the end. */
bool flow_table_next(const struct flow_table *table, uint32_t *cursor, const struct flow **flow);

#endif
