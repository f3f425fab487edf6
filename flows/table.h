/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The flow table of one lcore: flows, their bindings, and what is done when a notice comes.
 *
 * FLOWS. Open addressing with linear probing, one cache line a flow; a flow never moves while it lives, so
 * its index names it. The line holds what the fast path needs: key, anchor of the adjacency, counters. Its
 * binding, which the fast path does not touch, lies in an array of its own. Each slot knows how far flows
 * that hash to it have been pushed at most (`reach`), so that a look-up knows where to stop, and a slot
 * that gets free is simply empty again.
 *
 * BINDING. A flow is bound to the anchors that its decision came from: the adjacency; the route of the
 * prefix that matched; the definition that claimed it; and /flow, for definitions to come. The lcore has
 * one *hold* for each anchor that any of its flows is bound to: the only thing that touches the anchor's
 * mask, and an array of the flows bound through it (in chunks of a pool; swap-remove; for adjacencies only of
 * those with listeners), so that a change reaches exactly those. Where they are many, a walk through the table in
 * the order of memory is quicker than one through the array, and whoever is bound anew need not be moved from array
 * to array: such a hold has none (`many`), and a bit for each slot says where there is a flow. The sweep gives it one
 * when its flows have become few.
 *
 * A CHANGE OF A VALUE (an adjacency's record) needs nothing here: the next packet reads the new record. Only
 * flows with listeners are told, by a walk.
 * A CHANGE OF A BINDING (route, definition, /flow) sets the hold's stamp to the anchor's version, bumps
 * the table's epoch and starts a walk over the hold's flows:
 *   - a flow whose epoch is older than that of one of its holds, when a packet uses it, takes the slow turn, within
 *     a budget a burst;
 *   - the walk, in slices, through the array (downwards because removal swaps with the last) or through the table,
 *     gives every other flow its slow turn; a change that comes in the middle moves the stamp, the round goes on
 *     from where it is, and one more follows, until one whole round has passed at the newest stamp. A flow's own
 *     epoch keeps it from being told twice.
 * Until its turn a flow goes on as before. Its hot line and its holds say whether it has to take one; and where it
 * goes is mostly known from a flow like it that had its turn before (ways_p.h), so that nothing else is needed.
 * A CHANGE OF DEFINITIONS concerns few of the flows that depend on /flow, which are all that are routed. So its
 * walk goes through the table and compares each flow's key with what the changed definitions claim, and only those
 * that are claimed take a slow turn.
 *
 * SHARE. An lcore with packets gives walks a share of its time, and packets no slow turns: a walk fetches what it
 * will need, so it gets more flows done in that time. One without packets gives walks slice after slice. So a change
 * of the binding of very many flows is a choice between the dip in forwarding and the time until the last one is
 * bound anew: at 16 ns each, a million take 0.16 s at 10 percent, or 16 ms all at once.
 *
 * LISTENERS can be told of both kinds of changes: flows/listener.h.
 *
 * APPLIED. Walks run in batches: those that changes start while one batch runs, also the further rounds
 * of its own, make up the next. When a batch is over, everything is applied that had been taken when it
 * began; so a storm of changes can't keep `applied` of the lcore's subscriber from moving on.
 *
 * THE SLOW TURN computes the decision from one version of the tree, then registers, then looks at the
 * anchors' versions again (nameserv/anchor.h, O1); if one is newer, it computes again. If it is overtaken
 * several times in a row, it leaves the flow as if a notice had come, so that a walk looks again.
 *
 * A flow that is bound already goes on as before while what its new binding needs is being made; if that
 * doesn't come within FLOW_PATIENCE seconds, it is forgotten, and its next packet asks.
 *
 * Memory is taken when the table is made: transparent huge pages where the kernel has them, from any NUMA
 * node's memory near the lcore, independent of EAL; the huge pages reserved for DPDK are left to it.
 * Nothing is allocated later.
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

enum { FLOW_PATIENCE = 2 /* seconds */ };

/* The hot line. Written by its lcore only; counters are read by others, torn at worst. */
struct flow {
    union flow_key key;
    struct ns_anchor *adjacency; /* the one anchor that the fast path follows */
    uint64_t packets, bytes;
    uint32_t epoch;      /* table's epoch when the binding was last known to be right */
    uint32_t used;       /* second of the last packet, as given to the table */
    uint32_t definition; /* index of the definition's hold, to count there; 0: none */
    uint32_t hold;       /* index of the adjacency's hold; 0: it is one of the fixed adjacencies */
    uint16_t
        reach; /* of the slot, not of the flow: the flows whose hash is this slot's index lie here
                            and in this many slots behind */
    uint8_t listeners; /* who is told when it moves: a bit each, see flows/listener.h */
    bool turned; /* its epoch is that of its last turn, and so says what version that was made on */
    uint32_t route; /* index of the hold of the route that matched; 0: none */
} __rte_aligned(64);
static_assert(sizeof(struct flow) == 64, "a flow is one cache line");

/* What the flows of a definition have counted, on this lcore. */
struct flow_count {
    uint64_t packets, bytes;
};

struct flow_table_options {
    unsigned lcore; /* index of the worker, which is that of its subscriber and mask bit */
    uint32_t flows; /* capacity; slots are the next power of two of twice as many */
    uint32_t holds; /* anchors that flows of this lcore may be bound to; 0: flows / 4 + 1024 */
    uint32_t idle_seconds; /* a flow unused for so long is forgotten; 0 = 60 */
    uint32_t slice;        /* notices taken and flows told in one poll; 0 = 64 */
    uint32_t budget;       /* slow turns of stale flows in one burst; 0 = 8 */
    uint32_t
        many; /* an anchor with more flows has no array of them; 0: a part of the table's slots */
    /* Percent of its time, less than 100, that an lcore with packets gives to walks, and to those that only tell
     * listeners (0: the same); slices are shorter then. 0: always whole slices and budgets. */
    uint32_t share, tell_share;
    int numa_node; /* SOCKET_ID_ANY as well */

    /* A notice for an adjacency, a station or a route came: its record may be new, or it was missing and
     * is there now (packets that wait for it can go). `flows` of this lcore are bound to it. On the
     * lcore; it may bind flows. May be NULL. */
    void (*changed)(void *arg, struct ns_anchor *anchor, uint32_t flows);

    /* A flow that goes on as before needs this to be made. False: it could not be asked for now, ask
     * again later. On the lcore. NULL: such flows are forgotten at once. */
    bool (*missing)(void *arg, const struct flow_missing *missing);
    void *arg;
};

struct flow_table_counters {
    uint64_t flows;               /* live now */
    uint64_t holds;               /* anchors depended on now */
    uint64_t bound;               /* slow turns of new flows */
    uint64_t rebound;             /* slow turns that changed a binding */
    uint64_t looked_again;        /* slow turns that found it unchanged */
    uint64_t moved;               /* flows whose adjacency's record was replaced under them */
    uint64_t heard;               /* times that listeners were told (flows/listener.h) */
    uint64_t told;                /* flows told by walks */
    uint64_t spared;              /* of those, not concerned by what changed */
    uint64_t missing, full, idle; /* no anchor yet; no room for a flow; forgotten because unused */
    uint64_t forgotten;           /* bound flows whose new binding could not be made in time */
    uint64_t holds_full;          /* no room for a hold */
    uint64_t overtaken;           /* slow turns that a change overtook */
    uint64_t notices;
};

struct flow_table {
    struct flow *flows; /* 1 << bits slots */
    uint32_t mask;
    uint32_t epoch;
    uint32_t now;              /* second, as last given to flow_table_poll() */
    uint32_t budget_left;      /* slow turns of packets, in this burst */
    uint32_t turns;            /* the same, as the share of time allows */
    struct flow_count *counts; /* by index of a definition's hold */
    struct flow_table_inner *inner;
};

/* Control core. 0, -ENOMEM, -EINVAL. */
int flow_table_new(const struct flow_sources *sources, const struct flow_table_options *options,
                   struct flow_table **table);
/* Control core, when the lcore has stopped: unbinds everything, and drops its notices. */
void flow_table_free(struct flow_table *table);

/* Top of the lcore's loop, while no flow or record of the round before is in use: take notices, go on with
 * walks and with the sweep for idle flows, a bounded amount. now: seconds of CLOCK_MONOTONIC. Returns true
 * while work is left (do not sleep). */
bool flow_table_poll(struct flow_table *table, uint32_t now);

/* Before a burst: give it its budget of slow turns. */
static inline void flow_table_burst(struct flow_table *table, uint32_t budget)
{
    table->budget_left = RTE_MIN(budget, table->turns);
}

static inline uint32_t flow_hash(const union flow_key *key)
{
    return rte_hash_crc_8byte(key->word[1], rte_hash_crc_8byte(key->word[0], 0xfeedbeef));
}

/* The slot where a flow with this hash lies, or behind which it was pushed. Fetch it some time before the look-up. */
static inline struct flow *flow_home(const struct flow_table *table, uint32_t hash)
{
    return &table->flows[hash & table->mask];
}

/* No kind is 0; and so a free slot matches no key. */
static inline bool flow_is_live(const struct flow *flow)
{
    return flow->key.kind != 0;
}

static inline bool flow_has_key(const struct flow *flow, const union flow_key *key)
{
    return ((flow->key.word[0] ^ key->word[0]) | (flow->key.word[1] ^ key->word[1])) == 0;
}

/* The flow with this key, or NULL. */
static inline struct flow *flow_find_from(const struct flow_table *table, const union flow_key *key,
                                          struct flow *home)
{
    struct flow *flow = home;

    for (uint32_t left = home->reach; !flow_has_key(flow, key); left--) {
        if (left == 0)
            return NULL;
        if (unlikely(++flow > &table->flows[table->mask]))
            flow = table->flows;
    }
    return flow;
}

static inline struct flow *flow_find(const struct flow_table *table, const union flow_key *key,
                                     uint32_t hash)
{
    return flow_find_from(table, key, flow_home(table, hash));
}

enum flow_turn {
    FLOW_BOUND,   /* *flow can be used */
    FLOW_MISSING, /* *missing says what the control core has to make; hold the packet */
    FLOW_FULL,    /* no room for a flow or a hold */
};

/* The slow turn of a packet whose flow is not in the table. */
enum flow_turn flow_bind(struct flow_table *table, const union flow_key *key, uint32_t hash,
                         struct flow **flow, struct flow_missing *missing);

/* A flow whose epoch is old looks again, which takes a slow turn off the budget if it must. Only while there is
 * some: through flow_look_again(). */
void flow_refresh(struct flow_table *table, struct flow *flow);

/* The flow is about to be used. Afterwards flow->adjacency is right, or still the old one until its turn. */
static inline void flow_look_again(struct flow_table *table, struct flow *flow)
{
    if (unlikely(table->budget_left != 0 && flow->epoch != table->epoch))
        flow_refresh(table, flow);
}

/* A counter that others read meanwhile. */
static inline void flow_tally(uint64_t *counter, uint32_t by)
{
    __atomic_store_n(counter, *counter + by, __ATOMIC_RELAXED);
}

/* What a packet does on the fast path. */
static inline const struct adjacency *flow_use(struct flow_table *table, struct flow *flow,
                                               uint32_t bytes)
{
    flow_look_again(table, flow);
    if (unlikely(flow->definition != 0)) {
        flow_tally(&table->counts[flow->definition].packets, 1);
        flow_tally(&table->counts[flow->definition].bytes, bytes);
    }
    flow_tally(&flow->packets, 1);
    flow_tally(&flow->bytes, bytes);
    flow->used = table->now;
    return adjacency_of(flow->adjacency);
}

/* Forget all flows. Takes as long as there are many. */
void flow_table_clear(struct flow_table *table);

/* Where a routed packet with this key would go next, from scratch on the newest version: the address of
 * the adjacency. For held packets and checks. Returns false if it goes to a fixed adjacency. */
bool flow_next_hop(const struct flow_sources *sources, const union flow_key *key, uint16_t *vrf,
                   rte_be32_t *next_hop);

/* ---- reading, by the control core as well ---- */
void flow_table_counters(const struct flow_table *table, struct flow_table_counters *out);

/* How many flows of this lcore are bound to the anchor, when one was last used (seconds, updated by the
 * sweep at least every two seconds), and what a definition's flows have counted. 0 if none. */
uint32_t flow_table_bound(const struct flow_table *table, const struct ns_anchor *anchor);
uint32_t flow_table_used(const struct flow_table *table, const struct ns_anchor *anchor);
void flow_table_counted(const struct flow_table *table, const struct ns_anchor *anchor,
                        uint64_t *packets, uint64_t *bytes);

/* ---- on the lcore: what a flow's decision came from ---- */
struct flow_origin {
    union flow_key key;
    uint64_t packets, bytes;
    uint32_t used;
    uint64_t bound_version; /* of the tree that the binding was computed from */
    char adjacency[64], route[32], definition[72]; /* names; "" if none */
    uint64_t adjacency_version, route_version, definition_version;
    struct adjacency record; /* as it is now */
};
/* false: no such flow. */
bool flow_origin(const struct flow_table *table, const union flow_key *key,
                 struct flow_origin *origin);

/* Number of the version of the tree that a flow's binding was computed from. */
uint64_t flow_bound_version(const struct flow_table *table, const struct flow *flow);

/* Go through the live flows, `cursor` starting at 0; false at the end. */
bool flow_table_next(const struct flow_table *table, uint32_t *cursor, const struct flow **flow);

#endif
