/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who is told when a flow moves. Of each adjacency that flows with listeners are bound to, the table keeps a
 * copy of the record that they know of: all of them know the same, but in a round that tells them of the next
 * one, when some know of that already. So one copy for an adjacency, and one for the round, are enough to
 * tell each listener where it comes from.
 */
#include <errno.h>

#include "flows/table_p.h"

const char *flow_link_name(enum flow_link link)
{
    static const char *const names[FLOW_LINKS] = {
        "definition", "route", "adjacency", "neighbour", "station", "interface", "port"};

    return link == 0 || link >= 1 << FLOW_LINKS ? "unknown" : names[__builtin_ctz(link)];
}

int flow_listener_add(struct flow_table *table, flow_told_fn *told, void *arg, bool all)
{
    struct flow_table_inner *inner = table->inner;

    for (int i = 0; i < FLOW_LISTENERS_MAX; i++) {
        if (inner->listeners[i].told != NULL)
            continue;
        inner->listeners[i] = (struct listener){told, arg};
        inner->listen_all |= (uint8_t)(all << i);
        return i;
    }
    return -ENOSPC;
}

static bool in_round(const struct hold *hold)
{
    return hold->walk == WALK_RUNNING;
}

/* The first one of an adjacency: what is current now is known from here on. A change that was published, but
 * whose notice has not been taken, will be told. */
static void record_begin(struct flow_table_inner *inner, uint32_t index)
{
    struct hold *hold = &inner->holds[index];

    inner->records[index] = *adjacency_of(hold->anchor);
    hold->stamp = inner->records[index].version;
}

/* A change of the record waits for its round, or for its notice to be taken; who comes now is told of it at once,
 * with what else has brought it here, and not a second time in the round. Without room it is. */
static struct ahead *ahead_find(const struct flow_table_inner *inner, uint32_t hold)
{
    for (int i = 0; i < AHEAD; i++)
        if (inner->ahead[i].hold == hold)
            return (struct ahead *)(uintptr_t)&inner->ahead[i];
    return NULL;
}

static struct ahead *ahead_new(struct flow_table_inner *inner)
{
    for (int i = 0; i < AHEAD; i++) /* or one whose listeners have all left before the round */
        if (inner->ahead[i].hold == 0 || inner->holds[inner->ahead[i].hold].last == 0)
            return &inner->ahead[i];
    return NULL;
}

static struct ahead *ahead_take(struct flow_table_inner *inner, uint32_t index)
{
    const struct adjacency *now = adjacency_of(inner->holds[index].anchor);
    struct ahead *ahead = ahead_find(inner, index);

    if (ahead != NULL || now->version <= inner->records[index].version)
        return ahead;
    ahead = ahead_new(inner);
    if (ahead != NULL)
        *ahead = (struct ahead){.hold = index, .record = *now};
    return ahead;
}

static void ahead_drop(struct flow_table_inner *inner, uint32_t hold)
{
    struct ahead *ahead = ahead_find(inner, hold);

    if (ahead != NULL)
        ahead->hold = 0;
}

void listener_attach(struct flow_table *table, uint32_t index)
{
    struct flow_table_inner *inner = table->inner;
    const struct flow *flow = &table->flows[index];
    struct hold *hold = &inner->holds[flow->hold];
    struct binding *binding = &inner->bindings[index];
    const struct ahead *ahead;

    if (flow->listeners == 0 || flow->hold == 0)
        return;
    if (hold->last == 0) {
        ahead_drop(inner, flow->hold);
        record_begin(inner, flow->hold);
    }
    array_add(inner, hold, index);
    binding->heard = inner->records[flow->hold].version;
    if (in_round(
            hold)) { /* it stands behind the round's cursor, so it must know of what that tells */
        binding->heard = RTE_MAX(binding->heard, inner->round_record.version);
        return;
    }
    ahead = ahead_take(inner, flow->hold);
    if (ahead != NULL)
        binding->heard = ahead->record.version;
}

const struct adjacency *listener_record(const struct flow_table *table, uint32_t index)
{
    const struct flow_table_inner *inner = table->inner;
    const struct flow *flow = &table->flows[index];
    uint64_t heard = inner->bindings[index].heard;
    const struct ahead *ahead;

    if (flow->hold == 0)
        return adjacency_of(flow->adjacency);
    if (in_round(&inner->holds[flow->hold]) && heard == inner->round_record.version)
        return &inner->round_record;
    if (heard == inner->records[flow->hold].version)
        return &inner->records[flow->hold];
    ahead = ahead_find(inner, flow->hold);
    return ahead != NULL && ahead->record.version == heard ? &ahead->record
                                                           : &inner->records[flow->hold];
}

void listener_tell(struct flow_table *table, uint32_t index, unsigned moved,
                   const struct adjacency *from, const struct adjacency *to)
{
    struct flow_table_inner *inner = table->inner;
    const struct flow_change change = {
        .flow = &table->flows[index], .from = from, .to = to, .moved = moved};

    for (unsigned left = change.flow->listeners; left != 0; left &= left - 1) {
        const struct listener *listener = &inner->listeners[__builtin_ctz(left)];

        bump(inner->counters.heard);
        listener->told(listener->arg, &change);
    }
}

/* Which names on the way from the next hop to the port were written in between? */
static unsigned moved_links(const struct adjacency *from, const struct adjacency *to)
{
    unsigned moved = 0;

    for (int i = 0; i < ADJACENCY_LINKS; i++)
        if (from->changed[i] != to->changed[i])
            moved |= (unsigned)FLOW_LINK_NEIGHBOUR << i;
    return moved == 0 ? FLOW_LINK_ROUTE : moved; /* a look-up on the way to the next hop */
}

void listener_round(struct flow_table *table, const struct hold *hold, uint32_t index)
{
    struct flow_table_inner *inner = table->inner;
    const struct adjacency *common = &inner->records[hold - inner->holds], *from = common;
    unsigned moved = inner->round_moved;

    if (inner->bindings[index].heard >= inner->round_record.version)
        return;
    if (unlikely(inner->bindings[index].heard != common->version)) {
        from = listener_record(table, index);
        moved = moved_links(from, &inner->round_record);
    }
    inner->bindings[index].heard = inner->round_record.version;
    listener_tell(table, index, moved, from, &inner->round_record);
}

void listener_round_begin(struct flow_table_inner *inner, const struct hold *hold)
{
    inner->round_record = *adjacency_of(hold->anchor);
    inner->round_moved = moved_links(&inner->records[hold - inner->holds], &inner->round_record);
}

void listener_round_end(struct flow_table_inner *inner, const struct hold *hold)
{
    struct adjacency *record = &inner->records[hold - inner->holds];

    if (record->version < inner->round_record.version)
        *record = inner->round_record;
    ahead_drop(inner, (uint32_t)(hold - inner->holds));
}

const struct adjacency *flow_listen(struct flow_table *table, struct flow *flow, int listener)
{
    uint32_t index = flow_index(table, flow);
    bool first = flow->listeners == 0;

    flow->listeners |= (uint8_t)(1 << listener);
    if (first)
        listener_attach(table, index);
    return listener_record(table, index);
}

void flow_unlisten(struct flow_table *table, struct flow *flow, int listener)
{
    struct flow_table_inner *inner = table->inner;
    bool any = flow->listeners != 0;

    flow->listeners &= (uint8_t) ~(1 << listener);
    if (any && flow->listeners == 0 && flow->hold != 0)
        array_remove(inner, &inner->holds[flow->hold],
                     inner->bindings[flow_index(table, flow)].place[BY_ADJACENCY]);
}
