/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inside of the flow table: what table.c (life, slots, reading), hold.c (holds and their arrays), decision.c
 * (where a flow goes), ways.c (where flows like it went), binding.c (slow turns), walk.c (notices and walks),
 * listener.c (who is told) and sweep.c (what is idle goes) share. For them and their tests only.
 *
 * Everything belongs to the table's lcore. Fields that the control core reads as well are written with
 * write_shared() and read with read_shared(): relaxed, and never torn.
 */
#ifndef KEDGE_FLOWS_TABLE_P_H
#define KEDGE_FLOWS_TABLE_P_H

#include "flows/listener.h"
#include "flows/table.h"

#define read_shared(variable)         __atomic_load_n(&(variable), __ATOMIC_RELAXED)
#define write_shared(variable, value) __atomic_store_n(&(variable), (value), __ATOMIC_RELAXED)
#define bump(variable)                write_shared(variable, (variable) + 1)

/* What a flow depends on besides its adjacency, and is told about. */
enum dependency { BY_ROUTE, BY_DEFINITION, BY_ALL, DEPENDENCIES };
/* The other role of a hold: its flows are counted, and those with listeners stand in its array. */
enum { BY_ADJACENCY = DEPENDENCIES, ROLES };
enum {
    ARRAYS = ROLES - 1 /* that a flow stands in at most: none of those that all are bound through */
};

/* Cold part of a flow; same index. A turn that moves it from and to holds without arrays does not touch it. */
struct binding {
    uint64_t version; /* of the tree that it was computed from, if that is not noted by epoch */
    uint64_t heard;   /* version of the record that its listeners know of */
    uint32_t place[ROLES]; /* where the flow stands in that hold's array, if it stands in one: see
                                 hold_has_filed(); for an adjacency, if it has listeners */
};
static_assert(sizeof(struct binding) == 32, "two bindings in a cache line");

enum hold_walk { WALK_NONE, WALK_WAITING, WALK_RUNNING };

/* Where the flows of a hold of a route or a definition are found. */
enum hold_filing {
    IN_ARRAY, /* in its array */
    IN_TABLE, /* they are so many that going through the table is quicker: there is no array */
    GATHERING, /* they were, and are few now: in the table, and those that the sweep has come by in the array */
};

/* This lcore's share of an anchor. Index 0 stands for none: it has no array. */
struct hold {
    struct ns_anchor *anchor; /* NULL: free */
    uint64_t stamp; /* newest change of the anchor that this lcore knows of: a flow whose binding
                                 is older looks again. Of an adjacency, the version of its record */
    uint32_t flows; /* bound through it; read by others */
    uint32_t used;  /* second in which one of them was last used; read by others */
    uint32_t first; /* the array's first chunk */
    uint32_t last;  /* place of the array's last element; 0: empty */
    uint32_t
        cursor; /* place that the walk looks at next; 0: the round is over. In the role BY_ALL, the slot
                                 behind it */
    uint32_t next;        /* in a list of walks, or of free holds */
    uint32_t empty_since; /* second in which the last flow left */
    uint32_t
        missing_since; /* second in which a walk first met a flow whose new binding needs something
                                 that is not there yet; 0: none */
    uint32_t epoch;    /* of the table, when the stamp last moved */
    uint8_t role;
    uint8_t walk;   /* enum hold_walk */
    uint8_t filing; /* enum hold_filing */
    bool again;     /* the stamp moved in the middle of a round */
    bool waits;     /* a flow was met in this round that waits for what is missing */
} __rte_aligned(64);
static_assert(sizeof(struct hold) == 64, "a hold is one cache line");

/* Arrays of dependents lie in chunks of one line: word 0 is the chunk before, or 0, the others are flows.
 * A place is the index of a word; chunk 0 is not used. */
enum { CHUNK = 16, CHUNK_FLOWS = CHUNK - 1 };

struct walk_list {
    uint32_t first, last;
};

enum { ASKED = 64 };

/* What was asked for lately, so that a walk over a million flows asks once for what they all need. */
struct asked {
    struct flow_missing what;
    uint32_t second;
    uint32_t
        generation; /* of the table's holds: one that is dropped may be that of what was asked for */
    bool valid;
};

/* Where a flow goes: either a next hop or a fixed adjacency. */
struct target {
    uint64_t version; /* of the tree that it was computed from */
    const struct definition *definition;
    rte_be32_t prefix;
    rte_be32_t next_hop;
    uint16_t vrf;
    bool by_route; /* prefix and length say by which, and 0.0.0.0/0 if there was none */
    bool fixed;
    uint8_t kind; /* of the fixed adjacency */
    uint8_t length;
    /* Flows that agree in a prefix of the destination with this length, and are claimed by the same definition, have
     * this target as well. */
    uint8_t range;
    uint64_t claims; /* version of the classifier that was asked */
};

/* What a flow shall be bound to: computed from one version, without a look at the flow. */
struct decision {
    uint64_t version;
    struct ns_anchor *adjacency;
    bool fixed;                              /* the adjacency never changes: nothing to depend on */
    struct ns_anchor *anchors[DEPENDENCIES]; /* NULL: does not depend on such a thing */
};

/* A decision with the holds of all that it depends on. */
struct taken {
    struct decision decision;
    bool overtaken;     /* something has changed since; perhaps before it was registered */
    uint8_t range;      /* of the target, if it was made for a routed flow */
    uint64_t claims;    /* the same */
    uint32_t adjacency; /* 0: fixed */
    uint32_t holds[DEPENDENCIES];
};

struct listener {
    flow_told_fn *told; /* NULL: free */
    void *arg;
};

enum { MEMOS = 64, AHEAD = 16, EPOCHS_KNOWN = 256 };

/* The record that flows were told which came to an adjacency when its next round was due already. */
struct ahead {
    uint32_t hold; /* 0: free */
    struct adjacency record;
};

/* A target, by words that are quickly compared. */
struct memo_key {
    uint64_t version;
    const struct definition *definition;
    uint64_t addresses, rest;
};

/* A decision made lately, with its holds: flows that a walk tells one after the other mostly go the same
 * few ways. */
struct memo {
    struct memo_key key;
    struct taken taken;
    uint32_t generation; /* of the table's holds; another: not valid */
};

/* Where flows of one interface, bound through one route before and claimed by one definition now, go. See ways_p.h. */
enum { WAYS = 64, WAYS_KEPT = 8 };

struct ways {
    rte_be32_t mask[WAYS_KEPT], prefix[WAYS_KEPT]; /* destinations of each */
    uint32_t route, definition;                    /* holds */
    uint32_t scope;
    uint32_t serial; /* see ways_serial() */
    uint32_t next;   /* to be replaced */
    struct taken taken[WAYS_KEPT];
} __rte_aligned(64);

struct flow_table_inner {
    struct flow_sources sources;
    struct flow_table_options options;
    struct ns_subscriber *subscriber;
    struct binding *bindings;
    struct hold *holds;
    struct adjacency
        *records; /* by hold of an adjacency: the one that listeners know of, as long as
                                  there are any */
    uint32_t *chunks;
    uint64_t *live; /* a bit for each slot: there is a flow */
    uint32_t slots, hold_count, flow_limit;
    uint32_t many;      /* a hold with more flows has no array */
    uint32_t gathering; /* holds */
    uint32_t free_hold, free_chunk;
    void *memory;
    size_t memory_size;

    /* notices and walks */
    struct ns_notice *notices; /* taken, not looked at yet */
    uint64_t taking;           /* `notified` as read before these were taken */
    uint64_t taken;            /* all notices up to this commit have been looked at */
    uint64_t batch_target;     /* applied when the batch is over */
    uint64_t newest;           /* commit of the newest change that a notice has brought */
    struct walk_list batch, next_batch;
    struct walk_list records_batch,
        next_records;              /* of the same batches, behind those: of adjacencies */
    struct adjacency round_record; /* that the round under way tells; only one is */
    unsigned round_moved;          /* FLOW_LINK_ bits */
    struct ahead ahead[AHEAD];
    uint64_t polled;      /* TSC at the end of the last poll; 0: no walk was left */
    int64_t saved;        /* cycles that walks may take */
    uint32_t polls_left;  /* without a look at the clock */
    bool idle;            /* there were no packets between the last polls: they may take all */
    uint32_t tell_cycles; /* what it takes to tell a flow, as far as is known */
    struct asked asked[ASKED];

    struct memo memos[MEMOS];
    struct ways ways[WAYS];
    uint64_t ways_claims; /* for which ways_serial is valid: version of the classifier */
    uint32_t ways_epoch, ways_generation, ways_serial;
    uint32_t generation; /* of holds: another when one was dropped, or changed without flows */
    uint64_t versions[EPOCHS_KNOWN]; /* newest change that was known when an epoch began */
    uint32_t epoch_all; /* of the table, when the stamp of a hold in the role BY_ALL last moved */
    bool all_told;      /* since then, every flow has been told of it */
    uint64_t
        claims_known; /* each routed flow is right for the definitions of this version, or of a later one */
    uint64_t claims_round; /* will be so when the round under way is over */
    bool turned;           /* the flow told last needed its cold part */
    uint32_t fetched;      /* slot behind the one that a walk through the table fetches next */

    struct listener listeners[FLOW_LISTENERS_MAX];
    uint8_t listen_all; /* those that are told of every flow */

    /* the sweep: see sweep.c */
    uint32_t sweep_next;  /* slot, or slots + hold */
    uint32_t sweep_due;   /* how many are to be looked at in this second */
    uint32_t sweep_slice; /* of those, in one poll */
    uint32_t polls;       /* in this second */

    struct flow_table_counters counters;
};

/* ---- hold.c ---- */

/* The hold of an anchor, made and registered with it if there is none; its index, or 0: no room. */
uint32_t hold_take(struct flow_table *table, struct ns_anchor *anchor, uint8_t role);
uint32_t hold_find(const struct flow_table *table, const struct ns_anchor *anchor); /* any thread */

/* Unregister and free an empty one on which no walk runs. */
void hold_drop(struct flow_table *table, uint32_t index);

/* One flow less is bound through the hold. */
static inline void hold_leave(const struct flow_table *table, struct hold *hold,
                              const struct flow *flow)
{
    write_shared(hold->flows, hold->flows - 1);
    if (hold->flows == 0)
        hold->empty_since = table->now;
    if (hold->used < flow->used)
        write_shared(hold->used, flow->used);
}

/* Bind a flow through a hold, and unbind it. */
void hold_attach(struct flow_table *table, uint32_t hold, uint32_t flow);
void hold_detach(struct flow_table *table, uint32_t hold, uint32_t flow);

/* Does the flow, which is bound through the hold of a route or a definition, stand in its array? */
bool hold_has_filed(const struct flow_table *table, uint32_t hold, uint32_t flow);

/* The sweep comes by a hold: one with few flows gets an array again, which is whole when the sweep comes by the next
 * time; and by a flow, which goes into those of its holds that gather. */
void hold_gather(struct flow_table *table, uint32_t hold);
void hold_gather_flow(struct flow_table *table, uint32_t flow);

/* Put a flow into a hold's array, and take it out. */
void array_add(struct flow_table_inner *inner, struct hold *hold, uint32_t flow);
void array_remove(struct flow_table_inner *inner, struct hold *hold, uint32_t place);

/* The place before this one in its array; 0: there is none. */
static inline uint32_t place_before(const uint32_t *chunks, uint32_t place)
{
    uint32_t chunk = place & ~(uint32_t)(CHUNK - 1);

    if (place - chunk > 1)
        return place - 1;
    return chunks[chunk] == 0 ? 0 : chunks[chunk] + CHUNK_FLOWS;
}

/* The one hold in the role BY_ALL. */
static inline uint32_t hold_of_all(const struct flow_table *table)
{
    return hold_find(table, table->inner->sources.definitions_anchor);
}

/* The hold through which a flow is bound in this role; 0: none. */
static inline uint32_t flow_hold(const struct flow_table *table, uint32_t flow, int role)
{
    const struct flow *hot = &table->flows[flow];

    switch (role) {
    case BY_ROUTE: return hot->route;
    case BY_DEFINITION: return hot->definition;
    case BY_ADJACENCY: return hot->hold;
    default: return hot->key.kind == FLOW_ROUTED ? hold_of_all(table) : 0;
    }
}

/* ---- decision.c ---- */

/* FLOW_BOUND: the decision is complete. FLOW_MISSING: something is not there yet. */
enum flow_turn decide(const struct flow_sources *sources, const union flow_key *key,
                      struct decision *decision, struct flow_missing *missing);

/* Take the holds of all that a decision depends on. false: no room. */
bool decision_take(struct flow_table *table, struct taken *taken);

/* Both, and again if it was overtaken; FLOW_FULL if there is no room. */
enum flow_turn decide_and_take(struct flow_table *table, const union flow_key *key,
                               struct taken *taken, struct flow_missing *missing);

/* Has any of its anchors changed since the version that it was computed from? Only after
 * decision_take() is the answer of any worth (O1). */
bool decision_overtaken(const struct decision *decision);

/* ---- binding.c ---- */

/* Of the tree that a flow's binding was computed from. */
uint64_t binding_version(const struct flow_table *table, uint32_t flow);

/* Bind a flow to it; if it was overtaken, as if a notice had come for what has changed. */
void decision_bind(struct flow_table *table, uint32_t flow, const struct taken *taken);

/* Compute the binding of a bound flow anew. FLOW_MISSING, FLOW_FULL: it is as before. */
enum flow_turn flow_rebind(struct flow_table *table, uint32_t flow, struct flow_missing *missing);

/* If it is right, it need not look again before the next change. False: it is stale. */
bool flow_renew(const struct flow_table *table, struct flow *flow);

/* Has the stamp of a hold moved since the flow was last found right? `moved`: the table's epoch then. The sweep
 * keeps flows from being so old that epochs come around. */
static inline bool is_older(const struct flow_table *table, const struct flow *flow, uint32_t moved)
{
    return table->epoch - flow->epoch > table->epoch - moved;
}

/* Ask for what is missing, unless that was done lately. */
void flow_ask(struct flow_table *table, const struct flow_missing *missing);

/* ---- table.c ---- */

/* Take a slot for a flow that is not in the table, if flow_table_full() says that there is room. NULL: there
 * is none near where it belongs. */
struct flow *flow_slot_take(struct flow_table *table, const union flow_key *key, uint32_t hash);
bool flow_table_full(const struct flow_table *table);

/* Unbind and forget. */
void flow_forget(struct flow_table *table, uint32_t flow);

static inline uint32_t flow_index(const struct flow_table *table, const struct flow *flow)
{
    return (uint32_t)(flow - table->flows);
}

/* ---- walk.c ---- */

/* The anchor of a hold has changed in this commit: its flows have to look again. */
void walk_start(struct flow_table *table, uint32_t hold, uint64_t version);

/* Take notices, a bounded number. */
void notices_round(struct flow_table *table);

/* Go on with walks, a bounded amount. */
void walks_round(struct flow_table *table);

/* Are there notices or walks? */
bool walks_left(const struct flow_table *table);

/* ---- listener.c ---- */

/* A flow has been bound through an adjacency's hold: if it has listeners, it has to stand in the array. */
void listener_attach(struct flow_table *table, uint32_t flow);

/* The record that the flow's listeners know of. */
const struct adjacency *listener_record(const struct flow_table *table, uint32_t flow);

/* Tell them. */
void listener_tell(struct flow_table *table, uint32_t flow, unsigned moved,
                   const struct adjacency *from, const struct adjacency *to);

/* A round over the flows of an adjacency that have listeners: it tells one record, also if another comes
 * meanwhile. */
void listener_round_begin(struct flow_table_inner *inner, const struct hold *hold);
void listener_round(struct flow_table *table, const struct hold *hold, uint32_t flow);
void listener_round_end(struct flow_table_inner *inner, const struct hold *hold);

/* ---- sweep.c ---- */

/* A second has begun. */
void sweep_second(struct flow_table *table, uint32_t now);

/* Look at a bounded number of slots and holds. True: it is more than a second behind. */
bool sweep_round(struct flow_table *table);

#endif
