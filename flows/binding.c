/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The slow turn: a decision (decision.c) becomes a flow's binding. See nameserv/anchor.h for O1, the order
 * that keeps a change between look-up and registration from being lost.
 */
#include <string.h>

#include "flows/ways_p.h"

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

uint64_t binding_version(const struct flow_table *table, uint32_t index)
{
    const struct flow_table_inner *inner = table->inner;
    const struct flow *flow = &table->flows[index];

    return flow->turned && table->epoch - flow->epoch < EPOCHS_KNOWN
               ? inner->versions[flow->epoch % EPOCHS_KNOWN]
               : inner->bindings[index].version;
}

static void bind_adjacency(struct flow_table *table, uint32_t index, const struct taken *taken)
{
    struct flow *flow = &table->flows[index];

    if (flow->hold != taken->adjacency) {
        if (flow->hold != 0)
            hold_detach(table, flow->hold, index);
        flow->hold = taken->adjacency;
        if (taken->adjacency != 0)
            hold_attach(table, taken->adjacency, index);
    }
    flow->adjacency = taken->decision.adjacency;
}

static void bind_dependencies(struct flow_table *table, uint32_t index, const struct taken *taken)
{
    for (int role = BY_ROUTE; role <= BY_DEFINITION; role++) {
        uint32_t now = flow_hold(table, index, role);

        if (now == taken->holds[role])
            continue;
        if (now != 0)
            hold_detach(table, now, index);
        if (taken->holds[role] != 0)
            hold_attach(table, taken->holds[role], index);
    }
    table->flows[index].route = taken->holds[BY_ROUTE];
    table->flows[index].definition = taken->holds[BY_DEFINITION];
}

void decision_bind(struct flow_table *table, uint32_t index, const struct taken *taken)
{
    if (table->flows[index].adjacency == NULL && taken->holds[BY_ALL] != 0)
        hold_attach(table, taken->holds[BY_ALL], index); /* a new flow; it stays bound to that */
    bind_adjacency(table, index, taken);
    bind_dependencies(table, index, taken);
    table->flows[index].epoch = table->epoch;
    table->flows[index].turned = false;
    table->inner->bindings[index].version = taken->decision.version;
    table->inner->turned = true;
    if (taken->overtaken)
        notice_oneself(table, taken);
}

enum flow_turn flow_bind(struct flow_table *table, const union flow_key *key, uint32_t hash,
                         struct flow **flow, struct flow_missing *missing)
{
    struct flow_table_inner *inner = table->inner;
    struct taken taken;
    enum flow_turn turn;

    if (flow_table_full(table)) {
        bump(inner->counters.full);
        return FLOW_FULL;
    }
    turn = decide_and_take(table, key, &taken, missing);
    if (turn != FLOW_BOUND)
        return turn;
    *flow = flow_slot_take(table, key, hash);
    if (*flow == NULL) {
        bump(inner->counters.full);
        return FLOW_FULL;
    }
    (*flow)->listeners = inner->listen_all;
    decision_bind(table, flow_index(table, *flow), &taken);
    bump(inner->counters.bound);
    return FLOW_BOUND;
}

/* Which parts of the flow's binding are others in the decision? */
static unsigned moved(const struct flow_table *table, uint32_t index, const struct taken *taken)
{
    const struct flow *flow = &table->flows[index];
    unsigned links = 0;

    if (flow->adjacency != taken->decision.adjacency)
        links |= FLOW_LINK_ADJACENCY;
    if (flow->route != taken->holds[BY_ROUTE])
        links |= FLOW_LINK_ROUTE;
    if (flow->definition != taken->holds[BY_DEFINITION])
        links |= FLOW_LINK_DEFINITION;
    /* Bound through the same, and yet elsewhere: by what that says. */
    if (links == FLOW_LINK_ADJACENCY)
        links |= flow->route != 0 ? FLOW_LINK_ROUTE : FLOW_LINK_DEFINITION;
    return links;
}

/* Bind it anew, and tell its listeners. What they know of now is copied: it may be the last flow that keeps
 * it. */
static void rebind(struct flow_table *table, uint32_t index, const struct taken *taken)
{
    struct flow_table_inner *inner = table->inner;
    unsigned links = moved(table, index, taken);
    struct adjacency from;

    if (links == 0)
        bump(inner->counters.looked_again);
    else
        bump(inner->counters.rebound);
    if (links == 0 || likely(table->flows[index].listeners == 0)) {
        decision_bind(table, index, taken);
        return;
    }
    from = *listener_record(table, index);
    decision_bind(table, index, taken);
    listener_tell(table, index, links, &from, listener_record(table, index));
}

enum flow_turn flow_rebind(struct flow_table *table, uint32_t index, struct flow_missing *missing)
{
    struct flow *flow = &table->flows[index];
    const struct claims_now now = claims_now(table);
    const struct taken *way = ways_find(table, flow, &now);
    struct taken taken;

    if (way != NULL && is_light(table, flow, way)) {
        bind_lightly(table, flow, way);
        return FLOW_BOUND;
    }
    if (way == NULL) {
        enum flow_turn turn = decide_and_take(table, &flow->key, &taken, missing);

        if (turn != FLOW_BOUND)
            return turn;
        ways_add(table, flow, &taken);
        way = &taken;
    }
    rebind(table, index, way);
    return FLOW_BOUND;
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
    struct flow_table_inner *inner = table->inner;
    struct asked *asked = &inner->asked[asked_slot(missing)];

    if (asked->valid && asked->second == table->now && asked->generation == inner->generation &&
        same_missing(&asked->what, missing))
        return;
    *asked =
        (struct asked){.what = *missing, .second = table->now, .generation = inner->generation};
    asked->valid =
        inner->options.missing != NULL && inner->options.missing(inner->options.arg, missing);
}

bool flow_renew(const struct flow_table *table, struct flow *flow)
{
    const struct claims_now now = claims_now(table);

    if (flow_is_stale(table, flow, &now))
        return false;
    if (flow->turned)
        table->inner->bindings[flow_index(table, flow)].version =
            binding_version(table, flow_index(table, flow));
    flow->turned = false;
    flow->epoch = table->epoch;
    return true;
}

void flow_refresh(struct flow_table *table, struct flow *flow)
{
    struct flow_missing missing;

    if (flow_renew(table, flow))
        return;
    table->budget_left--;
    if (flow_rebind(table, flow_index(table, flow), &missing) == FLOW_MISSING)
        flow_ask(table, &missing);
}
