/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ways: where flows have gone since the last change, so that the next of their kind gets its turn out of its hot line
 * and a few lines that are hot anyway.
 *
 * A decision depends on the definition that claims a flow, on the interface that it came in by, and, if it goes by
 * route, on its destination: all destinations in a range of addresses between two branches of the routing table go
 * the same way (route_lookup_range()). Flows that were bound through one route mostly go a few ways from there; so
 * eight are kept for each such kind of flows and compared side by side.
 *
 * A way was taken as a decision is (decision_take()), after the newest change that this lcore knows of: it is no older
 * than any stamp, and what changes after it brings a notice, with which the table's epoch moves (or, if nobody is bound
 * through what has changed, the generation of its holds) and all ways end.
 */
#ifndef KEDGE_FLOWS_WAYS_P_H
#define KEDGE_FLOWS_WAYS_P_H

#ifdef __SSE2__
#include <immintrin.h>
#endif

#include "flows/table_p.h"

/* The number by which valid ways are known: another one after each change of the table's epoch, of its holds, or of
 * definitions. */
uint32_t ways_serial(const struct flow_table *table, uint64_t claims);

/* The definitions of the newest version, for as long as the caller is in a read section, and what is known of them.
 * To be looked at again after a turn that took more than a way. */
struct claims_now {
    const struct classifier *classifier;
    uint32_t serial; /* of the ways that are valid */
    bool
        known; /* their notices have been taken, so flows that are not stale are bound through them */
};

static inline struct claims_now claims_now(const struct flow_table *table)
{
    struct flow_table_inner *inner = table->inner;
    const struct classifier *classifier =
        classifier_of(ns_store_version(inner->sources.store), inner->sources.definitions_slot);

    return (struct claims_now){
        .classifier = classifier,
        .serial = ways_serial(table, classifier_version(classifier)),
        .known = classifier_version(classifier) <= inner->taken,
    };
}

/* ---- has a flow to look again? ---- */

/* Can a definition claim it that it is not bound through, or one less? */
static inline bool may_be_claimed(const struct flow_table *table, const struct flow *flow)
{
    const struct flow_table_inner *inner = table->inner;

    return !inner->all_told && is_older(table, flow, inner->epoch_all);
}

static inline bool definition_changed(const struct flow_table *table, const struct flow *flow)
{
    return flow->definition != 0 &&
           is_older(table, flow, table->inner->holds[flow->definition].epoch);
}

static inline bool route_changed(const struct flow_table *table, const struct flow *flow)
{
    return flow->route != 0 && is_older(table, flow, table->inner->holds[flow->route].epoch);
}

/* Has something changed that concerns it, since it was last found right: its route, its definition, or a definition
 * that claims it? Needs the hot line only. */
static inline bool flow_is_stale(const struct flow_table *table, const struct flow *flow,
                                 const struct claims_now *now)
{
    if (flow->key.kind != FLOW_ROUTED)
        return false;
    return route_changed(table, flow) || definition_changed(table, flow) ||
           (may_be_claimed(table, flow) &&
            classifier_concerns(now->classifier, &flow->key, table->inner->claims_known));
}

/* ---- where does it go? ---- */

static inline struct ways *ways_of(struct flow_table_inner *inner, uint32_t route,
                                   uint32_t definition, uint32_t scope)
{
    return &inner->ways[(route * 31 + definition * 7 + scope) % WAYS];
}

static inline bool are_of(const struct ways *ways, const struct flow *flow, uint32_t definition,
                          uint32_t serial)
{
    return ways->route == flow->route && ways->definition == definition &&
           ways->scope == flow->key.scope && ways->serial == serial;
}

/* The hold of the definition that claims the flow now. false: this lcore has none of it. */
static inline bool definition_now(const struct flow_table *table, const struct flow *flow,
                                  const struct claims_now *now, uint32_t *hold)
{
    const struct definition *definition;

    *hold = flow->definition;
    if (now->known && !may_be_claimed(table, flow) && !definition_changed(table, flow))
        return true;
    definition = classify(now->classifier, &flow->key);
    *hold = definition == NULL ? 0 : hold_find(table, definition->anchor);
    return definition == NULL || *hold != 0;
}

/* Those that have the destination in their range, a bit each. */
static inline unsigned ways_to(const struct ways *ways, rte_be32_t dst)
{
    unsigned found = 0;

#ifdef __SSE2__
    const __m128i all = _mm_set1_epi32((int)dst);
    const __m128i *mask = (const __m128i *)ways->mask, *prefix = (const __m128i *)ways->prefix;

    static_assert(WAYS_KEPT == 8, "two vectors of four");
    found =
        (unsigned)_mm_movemask_ps((__m128)_mm_cmpeq_epi32(_mm_and_si128(all, mask[0]), prefix[0]));
    found |=
        (unsigned)_mm_movemask_ps((__m128)_mm_cmpeq_epi32(_mm_and_si128(all, mask[1]), prefix[1]))
        << 4;
#else
    for (unsigned i = 0; i < WAYS_KEPT; i++)
        found |= (unsigned)((dst & ways->mask[i]) == ways->prefix[i]) << i;
#endif
    return found;
}

/* The decision for a routed flow that is not right any more; NULL: it has to be made. */
static inline const struct taken *ways_find(const struct flow_table *table, const struct flow *flow,
                                            const struct claims_now *now)
{
    const struct ways *ways;
    uint32_t definition;
    unsigned found;

    if (unlikely(!definition_now(table, flow, now, &definition)))
        return NULL;
    ways = ways_of(table->inner, flow->route, definition, flow->key.scope);
    if (unlikely(!are_of(ways, flow, definition, now->serial)))
        return NULL;
    found = ways_to(ways, flow->key.dst);
    return unlikely(found == 0) ? NULL : &ways->taken[__builtin_ctz(found)];
}

/* ---- a turn without a look at the cold part ---- */

static inline bool has_no_array(const struct hold *holds, uint32_t from, uint32_t to)
{
    return from == to || (holds[from].filing == IN_TABLE && holds[to].filing == IN_TABLE);
}

/* Does nothing but counters and the hot line change? */
static inline bool is_light(const struct flow_table *table, const struct flow *flow,
                            const struct taken *way)
{
    const struct hold *holds = table->inner->holds;

    return flow->listeners == 0 && has_no_array(holds, flow->route, way->holds[BY_ROUTE]) &&
           has_no_array(holds, flow->definition, way->holds[BY_DEFINITION]);
}

static inline void move_lightly(struct flow_table *table, const struct flow *flow, uint32_t *bound,
                                uint32_t to)
{
    struct hold *from_hold = &table->inner->holds[*bound], *to_hold = &table->inner->holds[to];

    if (*bound == to)
        return;
    hold_leave(table, from_hold, flow);
    write_shared(to_hold->flows, to_hold->flows + 1);
    *bound = to;
}

static inline void bind_lightly(struct flow_table *table, struct flow *flow,
                                const struct taken *way)
{
    struct flow_table_inner *inner = table->inner;

    if (flow->adjacency == way->decision.adjacency && flow->route == way->holds[BY_ROUTE] &&
        flow->definition == way->holds[BY_DEFINITION]) {
        bump(inner->counters.looked_again);
    } else {
        bump(inner->counters.rebound);
        move_lightly(table, flow, &flow->hold, way->adjacency);
        move_lightly(table, flow, &flow->route, way->holds[BY_ROUTE]);
        move_lightly(table, flow, &flow->definition, way->holds[BY_DEFINITION]);
        flow->adjacency = way->decision.adjacency;
    }
    flow->epoch = table->epoch;
    flow->turned = true;
}

/* false: it needs more than its hot line and what is kept. */
static inline bool ways_turn(struct flow_table *table, struct flow *flow,
                             const struct claims_now *now)
{
    const struct taken *way = ways_find(table, flow, now);

    if (unlikely(way == NULL || !is_light(table, flow, way)))
        return false;
    bind_lightly(table, flow, way);
    return true;
}

/* It was made, and the flow is not bound to it yet. */
void ways_add(struct flow_table *table, const struct flow *flow, const struct taken *taken);

#endif
