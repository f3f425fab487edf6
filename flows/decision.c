/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Decisions: from a key to where it goes, on one version of everything, to the anchors that this comes from,
 * and to this lcore's holds of them.
 */
#include "flows/table_p.h"

enum { TRIES = 4 };

/* ---- from a key to where it goes ---- */

static uint16_t key_vrf(const struct links *links, const union flow_key *key)
{
    const struct link_iface *iface;

    if (key->scope & FLOW_SCOPE_LOCAL)
        return key->scope & ~FLOW_SCOPE_LOCAL;
    iface = links_iface_by_id(links, key->scope);
    return iface == NULL ? 0 : iface->vrf;
}

static void target_fixed(struct target *target, enum adjacency_kind kind)
{
    target->fixed = true;
    target->kind = kind;
}

static void target_by_route(struct target *target, const struct route_table *table, rte_be32_t dst)
{
    const struct route *route = route_lookup_range(table, target->vrf, dst, &target->range);

    target->by_route = true;
    target->next_hop = dst;
    if (route == NULL) {
        target_fixed(target, ADJACENCY_NO_ROUTE);
        return;
    }
    target->prefix = route->prefix;
    target->length = route->length;
    if (route->kind == ROUTE_VIA)
        target->next_hop = route->via;
    else if (route->kind == ROUTE_DEV || route->kind == ROUTE_CONNECTED)
        target->range = 32; /* each has a next hop of its own */
    else
        target_fixed(target, adjacency_end(route->kind));
}

static struct target target_of(const struct flow_sources *sources, const struct ns_version *version,
                               const union flow_key *key)
{
    const struct classifier *classifier = classifier_of(version, sources->definitions_slot);
    struct target target = {.version = version->number,
                            .vrf = key_vrf(links_of(version, sources->links_slot), key),
                            .claims = classifier_version(classifier)};

    target.definition = classify(classifier, key);
    if (target.definition != NULL && target.definition->action == DEFINITION_DROP)
        target_fixed(&target, ADJACENCY_DENIED);
    else if (target.definition != NULL && target.definition->action == DEFINITION_VIA)
        target.next_hop = target.definition->via;
    else
        target_by_route(&target, route_table_of(version, sources->routes_slot), key->dst);
    return target;
}

bool flow_next_hop(const struct flow_sources *sources, const union flow_key *key, uint16_t *vrf,
                   rte_be32_t *next_hop)
{
    struct target target = target_of(sources, ns_store_version(sources->store), key);

    *vrf = target.vrf;
    *next_hop = target.next_hop;
    return !target.fixed;
}

/* ---- from where it goes to anchors ---- */

static enum flow_turn decide_routed(const struct flow_sources *sources, const struct target *target,
                                    struct decision *decision, struct flow_missing *missing)
{
    struct ns_anchor *route = NULL;

    if (target->by_route)
        route =
            adjacency_find_route(sources->adjacencies, target->vrf, target->prefix, target->length);
    *decision = (struct decision){
        .version = target->version,
        .fixed = target->fixed,
        .adjacency = target->fixed
                         ? adjacency_fixed(sources->adjacencies, target->kind)
                         : adjacency_find(sources->adjacencies, target->vrf, target->next_hop),
        .anchors = {[BY_ROUTE] = route,
                    [BY_DEFINITION] =
                        target->definition == NULL ? NULL : target->definition->anchor,
                    [BY_ALL] = sources->definitions_anchor},
    };
    *missing = (struct flow_missing){
        .kind = FLOW_ROUTED,
        .vrf = target->vrf,
        .next_hop = target->next_hop,
        .no_next_hop = target->fixed,
        .prefix = target->prefix,
        .length = target->length,
        .no_prefix = !target->by_route,
    };
    return decision->adjacency == NULL || (target->by_route && route == NULL) ? FLOW_MISSING
                                                                              : FLOW_BOUND;
}

static enum flow_turn decide_bridged(const struct flow_sources *sources,
                                     const struct ns_version *version, const union flow_key *key,
                                     struct decision *decision, struct flow_missing *missing)
{
    *decision = (struct decision){
        .version = version->number,
        .adjacency = adjacency_find_station(sources->adjacencies, key->bridge, &key->mac),
    };
    *missing = (struct flow_missing){.kind = FLOW_BRIDGED, .mac = key->mac, .bridge = key->bridge};
    return decision->adjacency == NULL ? FLOW_MISSING : FLOW_BOUND;
}

enum flow_turn decide(const struct flow_sources *sources, const union flow_key *key,
                      struct decision *decision, struct flow_missing *missing)
{
    const struct ns_version *version = ns_store_version(sources->store); /* R1 */
    struct target target;

    if (key->kind == FLOW_BRIDGED)
        return decide_bridged(sources, version, key, decision, missing);
    target = target_of(sources, version, key);
    return decide_routed(sources, &target, decision, missing);
}

/* ---- what was decided lately ---- */

/* Made in registers of a target that was just written field by field: read back from memory by whole words, the
 * fields would have to be waited for. */
static inline struct memo_key memo_key(const struct target *target)
{
    return (struct memo_key){
        .version = target->version,
        .definition = target->definition,
        .addresses = (uint64_t)target->prefix << 32 | target->next_hop,
        .rest = (uint64_t)target->vrf << 32 | (uint64_t)target->by_route << 24 |
                (uint64_t)target->fixed << 16 | (uint64_t)target->kind << 8 | target->length,
    };
}

static struct memo *memo_of(struct flow_table_inner *inner, const struct memo_key *key)
{
    uint32_t hash = rte_hash_crc_8byte(key->addresses, (uint32_t)key->rest);

    return &inner->memos[rte_hash_crc_8byte((uintptr_t)key->definition, hash) % MEMOS];
}

static bool same_key(const struct memo_key *a, const struct memo_key *b)
{
    return a->version == b->version && a->definition == b->definition &&
           a->addresses == b->addresses && a->rest == b->rest;
}

/* Those that are remembered were registered before, so whatever changes after their version brings a
 * notice; and their holds are still there (generation). */
static bool memo_find(struct flow_table_inner *inner, const struct memo_key *key,
                      struct taken *taken)
{
    const struct memo *memo = memo_of(inner, key);

    if (memo->generation != inner->generation || !same_key(&memo->key, key))
        return false;
    *taken = memo->taken;
    return true;
}

/* ---- from anchors to holds ---- */

/* The adjacency's record need not be that of the same version: whoever uses the flow reads the newest. */
bool decision_overtaken(const struct decision *decision)
{
    for (int role = 0; role < DEPENDENCIES; role++)
        if (decision->anchors[role] != NULL &&
            ns_anchor_version(decision->anchors[role]) > decision->version) /* R4 */
            return true;
    return false;
}

bool decision_take(struct flow_table *table, struct taken *taken)
{
    const struct decision *decision = &taken->decision;

    taken->adjacency = 0;
    if (!decision->fixed) {
        taken->adjacency = hold_take(table, decision->adjacency, BY_ADJACENCY);
        if (taken->adjacency == 0)
            return false;
    }
    for (uint8_t role = 0; role < DEPENDENCIES; role++) {
        taken->holds[role] = 0;
        if (decision->anchors[role] == NULL)
            continue;
        taken->holds[role] = hold_take(table, decision->anchors[role], role);
        if (taken->holds[role] == 0)
            return false;
    }
    taken->overtaken = decision_overtaken(decision);
    return true;
}

/* What was taken in vain, because a change came in between or there was no room for all, stays as empty
 * holds until the sweep finds them. */
static enum flow_turn take(struct flow_table *table, struct taken *taken)
{
    if (!decision_take(table, taken))
        return FLOW_FULL;
    if (taken->overtaken)
        bump(table->inner->counters.overtaken);
    return FLOW_BOUND;
}

static enum flow_turn take_bridged(struct flow_table *table, const union flow_key *key,
                                   struct taken *taken, struct flow_missing *missing)
{
    const struct flow_sources *sources = &table->inner->sources;
    enum flow_turn turn =
        decide_bridged(sources, ns_store_version(sources->store), key, &taken->decision, missing);

    return turn == FLOW_BOUND ? take(table, taken) : turn;
}

static enum flow_turn take_routed(struct flow_table *table, const union flow_key *key,
                                  struct taken *taken, struct flow_missing *missing)
{
    struct flow_table_inner *inner = table->inner;
    struct target target = target_of(&inner->sources, ns_store_version(inner->sources.store), key);
    const struct memo_key memo = memo_key(&target);
    enum flow_turn turn;

    if (memo_find(inner, &memo, taken)) {
        taken->range = target.range;
        return FLOW_BOUND;
    }
    taken->range = target.range;
    taken->claims = target.claims;
    turn = decide_routed(&inner->sources, &target, &taken->decision, missing);
    if (turn == FLOW_BOUND)
        turn = take(table, taken);
    if (turn == FLOW_BOUND && !taken->overtaken)
        *memo_of(inner, &memo) =
            (struct memo){.key = memo, .taken = *taken, .generation = inner->generation};
    return turn;
}

enum flow_turn decide_and_take(struct flow_table *table, const union flow_key *key,
                               struct taken *taken, struct flow_missing *missing)
{
    enum flow_turn turn = FLOW_BOUND;

    taken->overtaken = true;
    for (int i = 0; i < TRIES && turn == FLOW_BOUND && taken->overtaken; i++)
        turn = key->kind == FLOW_BRIDGED ? take_bridged(table, key, taken, missing)
                                         : take_routed(table, key, taken, missing);
    if (turn == FLOW_MISSING)
        bump(table->inner->counters.missing);
    return turn;
}
