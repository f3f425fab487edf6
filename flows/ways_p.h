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

#include "flows/table_p.h"

static inline struct ways_key ways_key(const struct flow_table *table, const struct flow *flow,
                                       uint32_t definition, uint64_t claims)
{
    return (struct ways_key){
        .claims = claims,
        .route = flow->route,
        .definition = definition,
        .scope = flow->key.scope,
        .epoch = table->epoch,
        .generation = table->inner->generation,
    };
}

static inline struct ways *ways_of(struct flow_table_inner *inner, const struct ways_key *key)
{
    return &inner->ways[(key->route * 31 + key->definition * 7 + key->scope) % WAYS];
}

static inline bool same_ways(const struct ways_key *a, const struct ways_key *b)
{
    return a->claims == b->claims && a->route == b->route && a->definition == b->definition &&
           a->scope == b->scope && a->epoch == b->epoch && a->generation == b->generation;
}

/* Can another definition claim the flow than the one that it is bound through? Also one of a change whose notice has
 * not been taken. */
static inline bool may_be_claimed(const struct flow_table *table, const struct flow *flow,
                                  const struct classifier *classifier)
{
    const struct flow_table_inner *inner = table->inner;

    return is_older(table, flow, inner->epoch_all) ||
           classifier_version(classifier) > inner->taken ||
           (flow->definition != 0 && is_older(table, flow, inner->holds[flow->definition].epoch));
}

/* The hold of the definition that claims the flow now. false: this lcore has none of it. */
static inline bool definition_now(const struct flow_table *table, const struct flow *flow,
                                  const struct classifier *classifier, uint32_t *hold)
{
    const struct definition *definition;

    *hold = flow->definition;
    if (!may_be_claimed(table, flow, classifier))
        return true;
    definition = classify(classifier, &flow->key);
    *hold = definition == NULL ? 0 : hold_find(table, definition->anchor);
    return definition == NULL || *hold != 0;
}

/* The decision for a routed flow that is not right any more; NULL: it has to be made. */
static inline const struct taken *ways_find(const struct flow_table *table, const struct flow *flow)
{
    const struct flow_sources *sources = &table->inner->sources;
    const struct classifier *classifier =
        classifier_of(ns_store_version(sources->store), sources->definitions_slot);
    const struct ways *ways;
    struct ways_key key;
    uint32_t definition;
    unsigned found = 0;

    if (!definition_now(table, flow, classifier, &definition))
        return NULL;
    key = ways_key(table, flow, definition, classifier_version(classifier));
    ways = ways_of(table->inner, &key);
    if (!same_ways(&ways->key, &key))
        return NULL;
    for (unsigned i = 0; i < WAYS_KEPT; i++)
        found |= (unsigned)((flow->key.dst & ways->mask[i]) == ways->prefix[i]) << i;
    return found == 0 ? NULL : &ways->taken[__builtin_ctz(found)];
}

/* It was made, and the flow is not bound to it yet. */
void ways_add(struct flow_table *table, const struct flow *flow, const struct taken *taken);

#endif
