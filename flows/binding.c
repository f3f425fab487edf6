/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The slow turn: from a key to a decision, on one version of everything, and from the decision to a
 * binding. See nameserv/anchor.h for O1, the order that keeps a change between look-up and registration
 * from being lost.
 */
#include <string.h>

#include "flows/table_p.h"

enum { TRIES = 4 };

/* ---- from a key to where it goes ---- */

/* Either a next hop or a fixed adjacency. */
struct target {
    const struct definition *definition;
    bool by_route; /* prefix and length say by which, and 0.0.0.0/0 if there was none */
    bool fixed;
    uint8_t kind; /* of the fixed adjacency */
    uint8_t length;
    uint16_t vrf;
    rte_be32_t prefix;
    rte_be32_t next_hop;
};

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

static void target_by_route(struct target *target, const struct route *route, rte_be32_t dst)
{
    static const uint8_t fixed[] = {
        [ROUTE_BLACKHOLE] = ADJACENCY_BLACKHOLE,
        [ROUTE_REJECT] = ADJACENCY_NO_ROUTE,
        [ROUTE_LOCAL] = ADJACENCY_LOCAL,
        [ROUTE_BROADCAST] = ADJACENCY_BLACKHOLE,
    };

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
    else if (route->kind != ROUTE_DEV && route->kind != ROUTE_CONNECTED)
        target_fixed(target, fixed[route->kind]);
}

static struct target target_of(const struct flow_sources *sources, const struct ns_version *version,
                               const union flow_key *key)
{
    struct target target = {.vrf = key_vrf(links_of(version, sources->links_slot), key)};

    target.definition = classify(classifier_of(version, sources->definitions_slot), key);
    if (target.definition != NULL && target.definition->action == DEFINITION_DROP)
        target_fixed(&target, ADJACENCY_DENIED);
    else if (target.definition != NULL && target.definition->action == DEFINITION_VIA)
        target.next_hop = target.definition->via;
    else
        target_by_route(
            &target,
            route_lookup(route_table_of(version, sources->routes_slot), target.vrf, key->dst),
            key->dst);
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

static enum flow_turn decide_routed(const struct flow_sources *sources,
                                    const struct ns_version *version, const union flow_key *key,
                                    struct decision *decision, struct flow_missing *missing)
{
    struct target target = target_of(sources, version, key);
    struct ns_anchor *route = NULL;

    if (target.by_route)
        route =
            adjacency_find_route(sources->adjacencies, target.vrf, target.prefix, target.length);
    *decision = (struct decision){
        .version = version->number,
        .fixed = target.fixed,
        .adjacency = target.fixed
                         ? adjacency_fixed(sources->adjacencies, target.kind)
                         : adjacency_find(sources->adjacencies, target.vrf, target.next_hop),
        .anchors = {[BY_ROUTE] = route,
                    [BY_DEFINITION] = target.definition == NULL ? NULL : target.definition->anchor,
                    [BY_ALL] = sources->definitions_anchor},
    };
    *missing = (struct flow_missing){
        .kind = FLOW_ROUTED,
        .vrf = target.vrf,
        .next_hop = target.next_hop,
        .no_next_hop = target.fixed,
        .prefix = target.prefix,
        .length = target.length,
        .no_prefix = !target.by_route,
    };
    return decision->adjacency == NULL || (target.by_route && route == NULL) ? FLOW_MISSING
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

    return key->kind == FLOW_BRIDGED ? decide_bridged(sources, version, key, decision, missing)
                                     : decide_routed(sources, version, key, decision, missing);
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
    return true;
}

/* The adjacency's record need not be that of the same version: whoever uses the flow reads the newest. */
bool decision_overtaken(const struct decision *decision)
{
    for (int role = 0; role < DEPENDENCIES; role++)
        if (decision->anchors[role] != NULL &&
            ns_anchor_version(decision->anchors[role]) > decision->version) /* R4 */
            return true;
    return false;
}

/* What was taken in vain, because a change came in between or there was no room for all, stays as empty
 * holds until the sweep finds them. */
static enum flow_turn decide_and_take(struct flow_table *table, const union flow_key *key,
                                      struct taken *taken, struct flow_missing *missing)
{
    struct flow_table_private *private = table->private;

    for (int i = 0; i < TRIES; i++) {
        if (decide(&private->sources, key, &taken->decision, missing) == FLOW_MISSING) {
            bump(private->counters.missing);
            return FLOW_MISSING;
        }
        if (!decision_take(table, taken))
            return FLOW_FULL;
        if (!decision_overtaken(&taken->decision))
            return FLOW_BOUND;
        bump(private->counters.overtaken);
    }
    return FLOW_BOUND;
}

/* Changes kept coming while the decision was made, and perhaps before this lcore was registered: then no
 * notice comes for them. */
static void notice_oneself(struct flow_table *table, const struct taken *taken)
{
    for (int role = 0; role < DEPENDENCIES; role++) {
        const struct ns_anchor *anchor = taken->decision.anchors[role];

        if (anchor != NULL && ns_anchor_version(anchor) > taken->decision.version)
            walk_start(table, taken->holds[role], ns_anchor_version(anchor));
    }
}

/* ---- binding ---- */

void decision_bind(struct flow_table *table, uint32_t index, const struct taken *taken)
{
    struct flow_table_private *private = table->private;
    struct flow *flow = &table->flows[index];
    struct binding *binding = &private->bindings[index];

    if (flow->hold != taken->adjacency) {
        if (flow->hold != 0)
            hold_detach(table, flow->hold, index);
        if (taken->adjacency != 0)
            hold_attach(table, taken->adjacency, index);
        flow->hold = taken->adjacency;
    }
    for (int role = 0; role < DEPENDENCIES; role++) {
        if (binding->hold[role] == taken->holds[role])
            continue;
        if (binding->hold[role] != 0)
            hold_detach(table, binding->hold[role], index);
        if (taken->holds[role] != 0)
            hold_attach(table, taken->holds[role], index);
    }
    flow->definition = taken->holds[BY_DEFINITION];
    flow->adjacency = taken->decision.adjacency;
    flow->epoch = table->epoch;
    binding->version = taken->decision.version;
    notice_oneself(table, taken);
}

enum flow_turn flow_bind(struct flow_table *table, const union flow_key *key, uint32_t hash,
                         struct flow **flow, struct flow_missing *missing)
{
    struct flow_table_private *private = table->private;
    struct taken taken;
    enum flow_turn turn;

    if (flow_table_full(table)) {
        bump(private->counters.full);
        return FLOW_FULL;
    }
    turn = decide_and_take(table, key, &taken, missing);
    if (turn != FLOW_BOUND)
        return turn;
    *flow = flow_slot_take(table, key, hash);
    if (*flow == NULL) {
        bump(private->counters.full);
        return FLOW_FULL;
    }
    decision_bind(table, flow_index(table, *flow), &taken);
    bump(private->counters.bound);
    return FLOW_BOUND;
}

static bool same_binding(const struct flow_table *table, uint32_t index, const struct taken *taken)
{
    const struct flow *flow = &table->flows[index];

    return flow->adjacency == taken->decision.adjacency &&
           memcmp(table->private->bindings[index].hold, taken->holds, sizeof(taken->holds)) == 0;
}

enum flow_turn flow_rebind(struct flow_table *table, uint32_t index, struct flow_missing *missing)
{
    struct flow_table_private *private = table->private;
    struct taken taken;
    enum flow_turn turn = decide_and_take(table, &table->flows[index].key, &taken, missing);

    if (turn != FLOW_BOUND)
        return turn;
    if (same_binding(table, index, &taken))
        bump(private->counters.looked_again);
    else
        bump(private->counters.rebound);
    decision_bind(table, index, &taken);
    return FLOW_BOUND;
}

bool flow_is_stale(const struct flow_table *table, uint32_t index)
{
    const struct flow_table_private *private = table->private;
    const struct binding *binding = &private->bindings[index];

    for (int role = 0; role < DEPENDENCIES; role++)
        if (binding->hold[role] != 0 &&
            private->holds[binding->hold[role]].stamp > binding->version)
            return true;
    return false;
}

static uint32_t asked_slot(const struct flow_missing *missing)
{
    uint32_t hash = rte_hash_crc_4byte(missing->prefix, missing->next_hop);

    return rte_hash_crc(&missing->mac, sizeof(missing->mac), hash) % ASKED;
}

static bool same_missing(const struct flow_missing *a, const struct flow_missing *b)
{
    return a->kind == b->kind && a->vrf == b->vrf && a->no_prefix == b->no_prefix &&
           a->prefix == b->prefix && a->length == b->length && a->no_next_hop == b->no_next_hop &&
           a->next_hop == b->next_hop && a->bridge == b->bridge &&
           rte_is_same_ether_addr(&a->mac, &b->mac);
}

void flow_ask(struct flow_table *table, const struct flow_missing *missing)
{
    struct flow_table_private *private = table->private;
    struct asked *asked = &private->asked[asked_slot(missing)];

    if (asked->valid && asked->second == table->now && same_missing(&asked->what, missing))
        return;
    *asked = (struct asked){.what = *missing, .second = table->now};
    asked->valid =
        private->options.missing != NULL && private->options.missing(private->options.arg, missing);
}

void flow_refresh(struct flow_table *table, struct flow *flow)
{
    uint32_t index = flow_index(table, flow);
    struct flow_missing missing;

    if (!flow_is_stale(table, index)) {
        flow->epoch = table->epoch;
        return;
    }
    if (table->budget_left == 0)
        return;
    table->budget_left--;
    if (flow_rebind(table, index, &missing) == FLOW_MISSING)
        flow_ask(table, &missing);
}
