/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The sweep: once in SWEEP_SECONDS it has looked at every slot and every hold. Flows that are not used are
 * forgotten, holds learn when their flows were last used, and holds without flows are given back after a
 * while, because an anchor can be forgotten only when no lcore holds it.
 *
 * What is due in a second is spread over its polls, as many as there were in the second before.
 */
#include "flows/table_p.h"

enum {
    SWEEP_SECONDS = 2,
    SWEEP_MIN = 16, /* in one poll */
    SWEEP_MAX = 512,
    HOLD_KEEP_SECONDS = 5,
    EPOCHS_FAR = 1 << 30,
};

static uint32_t sweep_total(const struct flow_table_inner *inner)
{
    return inner->slots + inner->hold_count;
}

void sweep_second(struct flow_table *table, uint32_t now)
{
    struct flow_table_inner *inner = table->inner;
    uint32_t total = sweep_total(inner), elapsed = now - table->now;
    uint32_t due = elapsed >= SWEEP_SECONDS ? total : total / SWEEP_SECONDS + 1;

    inner->sweep_due = RTE_MIN(inner->sweep_due + due, total);
    inner->sweep_slice = inner->sweep_due / (inner->polls + 1) + 1;
    inner->sweep_slice =
        RTE_MAX(RTE_MIN(inner->sweep_slice, (uint32_t)SWEEP_MAX), (uint32_t)SWEEP_MIN);
    inner->polls = 0;
}

static void sweep_flow(struct flow_table *table, uint32_t index)
{
    struct flow_table_inner *inner = table->inner;
    struct flow *flow = &table->flows[index];
    struct hold *hold;

    if (!flow_is_live(flow))
        return;
    if (unlikely(table->epoch - flow->epoch > EPOCHS_FAR))
        flow_renew(table, flow); /* epochs come around: a flow must not become new by waiting */
    if (table->now - flow->used > inner->options.idle_seconds) {
        bump(inner->counters.idle);
        flow_forget(table, index);
        return;
    }
    if (flow->turned) { /* while it is known */
        inner->bindings[index].version = binding_version(table, index);
        flow->turned = false;
    }
    hold_gather_flow(table, index);
    hold = &inner->holds[flow->hold];
    if (flow->hold != 0 && hold->used < flow->used)
        write_shared(hold->used, flow->used);
}

/* A definition's hold has its counters, and stays while there is such a definition. */
static bool definition_exists(const struct flow_table_inner *inner, const struct ns_anchor *anchor)
{
    const struct classifier *classifier =
        classifier_of(ns_store_version(inner->sources.store), inner->sources.definitions_slot);

    for (size_t i = 0; i < classifier_count(classifier); i++)
        if (classifier_get(classifier, i)->anchor == anchor)
            return true;
    return false;
}

static void sweep_hold(struct flow_table *table, uint32_t index)
{
    struct flow_table_inner *inner = table->inner;
    const struct hold *hold = &inner->holds[index];

    if (hold->anchor != NULL)
        hold_gather(table, index);
    if (hold->anchor == NULL || hold->flows != 0 || hold->walk != WALK_NONE ||
        table->now - hold->empty_since < HOLD_KEEP_SECONDS)
        return;
    if (hold->role == BY_DEFINITION && definition_exists(inner, hold->anchor))
        return;
    hold_drop(table, index);
}

bool sweep_round(struct flow_table *table)
{
    struct flow_table_inner *inner = table->inner;
    uint32_t total = sweep_total(inner);
    uint32_t slice = RTE_MIN(inner->sweep_due, inner->sweep_slice);

    inner->polls++;
    if (inner->counters.holds == 0) { /* then there are no flows either */
        inner->sweep_due = 0;
        return false;
    }
    inner->sweep_due -= slice;
    for (; slice > 0; slice--) {
        if (inner->sweep_next < inner->slots)
            sweep_flow(table, inner->sweep_next);
        else
            sweep_hold(table, inner->sweep_next - inner->slots);
        inner->sweep_next = inner->sweep_next + 1 == total ? 0 : inner->sweep_next + 1;
    }
    return inner->sweep_due > total / SWEEP_SECONDS + 1;
}
