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

static uint32_t sweep_total(const struct flow_table_private *private)
{
    return private->slots + private->hold_count;
}

void sweep_second(struct flow_table *table, uint32_t now)
{
    struct flow_table_private *private = table->private;
    uint32_t total = sweep_total(private), elapsed = now - table->now;
    uint32_t due = elapsed >= SWEEP_SECONDS ? total : total / SWEEP_SECONDS + 1;

    private->sweep_due = RTE_MIN(private->sweep_due + due, total);
    private->sweep_slice = private->sweep_due / (private->polls + 1) + 1;
    private->sweep_slice =
        RTE_MAX(RTE_MIN(private->sweep_slice, (uint32_t)SWEEP_MAX), (uint32_t)SWEEP_MIN);
    private->polls = 0;
}

static void sweep_flow(struct flow_table *table, uint32_t index)
{
    struct flow_table_private *private = table->private;
    struct flow *flow = &table->flows[index];
    struct hold *hold;

    if (!flow_is_live(flow))
        return;
    if (unlikely(table->epoch - flow->epoch > EPOCHS_FAR) && !flow_is_stale(table, index))
        flow->epoch = table->epoch; /* epochs come around: a flow must not become new by waiting */
    if (table->now - flow->used > private->options.idle_seconds) {
        bump(private->counters.idle);
        flow_forget(table, index);
        return;
    }
    hold = &private->holds[flow->hold];
    if (flow->hold != 0 && hold->used < flow->used)
        write_shared(hold->used, flow->used);
}

/* A definition's hold has its counters, and stays while there is such a definition. */
static bool definition_exists(const struct flow_table_private *private,
                              const struct ns_anchor *anchor)
{
    const struct classifier *classifier =
        classifier_of(ns_store_version(private->sources.store), private->sources.definitions_slot);

    for (size_t i = 0; i < classifier_count(classifier); i++)
        if (classifier_get(classifier, i)->anchor == anchor)
            return true;
    return false;
}

static void sweep_hold(struct flow_table *table, uint32_t index)
{
    struct flow_table_private *private = table->private;
    const struct hold *hold = &private->holds[index];

    if (hold->anchor == NULL || hold->flows != 0 || hold->walk != WALK_NONE ||
        table->now - hold->empty_since < HOLD_KEEP_SECONDS)
        return;
    if (hold->role == BY_DEFINITION && definition_exists(private, hold->anchor))
        return;
    hold_drop(table, index);
}

bool sweep_round(struct flow_table *table)
{
    struct flow_table_private *private = table->private;
    uint32_t total = sweep_total(private);
    uint32_t slice = RTE_MIN(private->sweep_due, private->sweep_slice);

    private->polls++;
    if (private->counters.holds == 0) { /* then there are no flows either */
        private->sweep_due = 0;
        return false;
    }
    private->sweep_due -= slice;
    for (; slice > 0; slice--) {
        if (private->sweep_next < private->slots)
            sweep_flow(table, private->sweep_next);
        else
            sweep_hold(table, private->sweep_next - private->slots);
        private->sweep_next = private->sweep_next + 1 == total ? 0 : private->sweep_next + 1;
    }
    return private->sweep_due > total / SWEEP_SECONDS + 1;
}
