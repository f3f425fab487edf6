/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Holds: one for each anchor that flows of this lcore are bound to, found through the lcore's own word in
 * the anchor; and the arrays of flows bound through them.
 */
#include "flows/table_p.h"

static _Atomic uint32_t *hold_word(const struct flow_table *table, const struct ns_anchor *anchor)
{
    return &ns_anchor_notice(anchor, table->inner->options.lcore)->lcore_data;
}

uint32_t hold_find(const struct flow_table *table, const struct ns_anchor *anchor)
{
    return atomic_load_explicit(hold_word(table, anchor), memory_order_relaxed);
}

/* The version is read after registering: a change that comes later brings a notice. */
static uint64_t current_stamp(const struct ns_anchor *anchor, uint8_t role)
{
    return role == BY_ADJACENCY ? adjacency_of(anchor)->version : ns_anchor_version(anchor);
}

uint32_t hold_take(struct flow_table *table, struct ns_anchor *anchor, uint8_t role)
{
    struct flow_table_inner *inner = table->inner;
    uint32_t index = hold_find(table, anchor);
    struct hold *hold;

    if (index != 0)
        return index;
    index = inner->free_hold;
    if (index == 0) {
        bump(inner->counters.holds_full);
        return 0;
    }
    hold = &inner->holds[index];
    inner->free_hold = hold->next;
    ns_anchor_register(anchor, inner->options.lcore);
    *hold = (struct hold){
        .anchor = anchor,
        .role = role,
        .epoch = table->epoch,
        .empty_since = table->now,
        .used = table->now,
    };
    hold->stamp = current_stamp(anchor, role);
    table->counts[index] = (struct flow_count){0, 0};
    atomic_store_explicit(hold_word(table, anchor), index, memory_order_relaxed);
    write_shared(inner->counters.holds, inner->counters.holds + 1);
    return index;
}

void hold_drop(struct flow_table *table, uint32_t index)
{
    struct flow_table_inner *inner = table->inner;
    struct hold *hold = &inner->holds[index];

    inner->gathering -= hold->filing == GATHERING;
    atomic_store_explicit(hold_word(table, hold->anchor), 0, memory_order_relaxed);
    ns_anchor_unregister(hold->anchor, inner->options.lcore);
    hold->anchor = NULL;
    inner->generation++;
    hold->next = inner->free_hold;
    inner->free_hold = index;
    write_shared(inner->counters.holds, inner->counters.holds - 1);
}

/* ---- arrays ---- */

/* Never fails: there are chunks for all flows in all roles, and one more for each hold. */
static uint32_t chunk_take(struct flow_table_inner *inner, uint32_t before)
{
    uint32_t chunk = inner->free_chunk;

    inner->free_chunk = inner->chunks[chunk];
    inner->chunks[chunk] = before;
    return chunk;
}

static void chunk_put(struct flow_table_inner *inner, uint32_t chunk)
{
    inner->chunks[chunk] = inner->free_chunk;
    inner->free_chunk = chunk;
}

void array_add(struct flow_table_inner *inner, struct hold *hold, uint32_t flow)
{
    uint32_t used = hold->last % CHUNK; /* of the last chunk */

    if (hold->last == 0)
        hold->first = hold->last = chunk_take(inner, 0);
    else if (used == CHUNK_FLOWS)
        hold->last = chunk_take(inner, hold->last - used);
    hold->last++;
    inner->chunks[hold->last] = flow;
    inner->bindings[flow].place[hold->role] = hold->last;
}

/* The last takes the free place. A walk goes downwards, so what moves has been looked at already, or
 * moves to where the walk still comes by; only a walk that stood on the last itself has to step down. */
void array_remove(struct flow_table_inner *inner, struct hold *hold, uint32_t place)
{
    uint32_t last = hold->last, moved = inner->chunks[last],
             before = place_before(inner->chunks, last);

    inner->chunks[place] = moved;
    inner->bindings[moved].place[hold->role] = place;
    if (hold->cursor == last)
        hold->cursor = before;
    hold->last = before;
    if (last % CHUNK == 1)
        chunk_put(inner, last - 1);
}

/* All at once: the chunks are linked as the free ones are. */
static void array_drop(struct flow_table_inner *inner, struct hold *hold)
{
    if (hold->last == 0)
        return;
    inner->chunks[hold->first] = inner->free_chunk;
    inner->free_chunk = hold->last & ~(uint32_t)(CHUNK - 1);
    hold->last = 0;
}

/* ---- where the flows of a hold are found ---- */

/* While it gathers, the sweep has gone from the hold's own turn around to the slot where it is now; or to the hold, where
 * it may stop before that has its turn. */
bool hold_has_filed(const struct flow_table *table, uint32_t index, uint32_t flow)
{
    const struct flow_table_inner *inner = table->inner;

    switch (inner->holds[index].filing) {
    case IN_ARRAY: return true;
    case GATHERING: return inner->sweep_next <= inner->slots + index && flow < inner->sweep_next;
    default: return false;
    }
}

/* Not while a walk goes through the array. */
static void leave_array(struct flow_table_inner *inner, struct hold *hold)
{
    if (hold->walk != WALK_NONE)
        return;
    array_drop(inner, hold);
    inner->gathering -= hold->filing == GATHERING;
    hold->filing = IN_TABLE;
}

void hold_gather(struct flow_table *table, uint32_t index)
{
    struct flow_table_inner *inner = table->inner;
    struct hold *hold = &inner->holds[index];

    if (hold->filing == GATHERING) {
        hold->filing = IN_ARRAY;
        inner->gathering--;
    } else if (hold->filing == IN_TABLE && hold->flows <= inner->many / 4) {
        hold->filing = GATHERING;
        inner->gathering++;
    }
}

void hold_gather_flow(struct flow_table *table, uint32_t flow)
{
    struct flow_table_inner *inner = table->inner;

    for (int role = BY_ROUTE; role <= BY_DEFINITION && inner->gathering != 0; role++) {
        struct hold *hold = &inner->holds[flow_hold(table, flow, role)];

        if (hold->filing == GATHERING)
            array_add(inner, hold, flow);
    }
}

/* ---- binding ---- */

static void file(struct flow_table *table, uint32_t index, uint32_t flow)
{
    struct flow_table_inner *inner = table->inner;
    struct hold *hold = &inner->holds[index];

    if (!hold_has_filed(table, index, flow))
        return;
    array_add(inner, hold, flow);
    if (hold->flows > inner->many)
        leave_array(inner, hold);
}

void hold_attach(struct flow_table *table, uint32_t index, uint32_t flow)
{
    struct flow_table_inner *inner = table->inner;
    struct hold *hold = &inner->holds[index];

    write_shared(hold->flows, hold->flows + 1);
    if (hold->role == BY_ADJACENCY)
        listener_attach(table, flow);
    else if (hold->role != BY_ALL)
        file(table, index, flow);
}

/* Without a look at the flow's cold part. */
static bool stands_in_array(const struct flow_table *table, uint32_t index, uint32_t flow)
{
    switch (table->inner->holds[index].role) {
    case BY_ALL: return false;
    case BY_ADJACENCY: return table->flows[flow].listeners != 0;
    default: return hold_has_filed(table, index, flow);
    }
}

void hold_detach(struct flow_table *table, uint32_t index, uint32_t flow)
{
    struct flow_table_inner *inner = table->inner;
    struct hold *hold = &inner->holds[index];

    hold_leave(table, hold, &table->flows[flow]);
    if (stands_in_array(table, index, flow))
        array_remove(inner, hold, inner->bindings[flow].place[hold->role]);
}
