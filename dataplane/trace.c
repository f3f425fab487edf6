/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A worker's part of following a commit through.
 */
#include "dataplane/trace.h"

#include "dataplane/worker_p.h"

static void stamp(_Atomic uint64_t *field)
{
    atomic_store_explicit(field, rte_rdtsc(), memory_order_release);
}

static bool is_stamped(const _Atomic uint64_t *field)
{
    return atomic_load_explicit(field, memory_order_relaxed) != 0;
}

/* What the table has counted so far: flows that followed a record or were told, and notices. */
static void count(const struct worker *worker, uint64_t *notices, uint64_t *told)
{
    struct flow_table_counters counters;

    flow_table_counters(worker->table, &counters);
    *notices = counters.notices;
    *told = counters.moved + counters.told;
}

void trace_arm(struct worker *worker, struct worker_trace *trace)
{
    worker->trace = trace;
    if (trace == NULL)
        return;
    trace->seen = trace->noticed = trace->applied = trace->flows = trace->packet = 0;
    count(worker, &trace->notices, &trace->told);
    stamp(&trace->armed);
}

void trace_round(struct worker *worker)
{
    struct worker_trace *trace = worker->trace;
    uint64_t number = atomic_load_explicit(&trace->number, memory_order_acquire), notices, told;

    count(worker, &notices, &told);
    if (number == 0) {
        trace->notices = notices;
        trace->told = told;
        return;
    }
    if (!is_stamped(&trace->seen) && atomic_load(&worker->subscriber->seen) >= number)
        stamp(&trace->seen);
    if (!is_stamped(&trace->noticed) && notices > trace->notices)
        stamp(&trace->noticed);
    if (is_stamped(&trace->applied) || atomic_load(&worker->subscriber->applied) < number)
        return;
    atomic_store_explicit(&trace->flows, told - trace->told, memory_order_relaxed);
    stamp(&trace->applied);
}

/* By a record of this commit, or a decision made on its version or a later one. Who has to wait is not sent. */
static bool goes_by(const struct worker *worker, const struct flow *flow,
                    const struct adjacency *record, uint64_t number)
{
    return record->kind != ADJACENCY_HOLD &&
           (record->version == number || flow_bound_version(worker->table, flow) >= number);
}

void trace_flow(struct worker *worker, const struct flow *flow, const struct adjacency *record)
{
    struct worker_trace *trace = worker->trace;
    uint64_t number = atomic_load_explicit(&trace->number, memory_order_acquire);

    if (number == 0 || is_stamped(&trace->packet) || !goes_by(worker, flow, record, number))
        return;
    trace->key = flow->key;
    transmit_flush(worker);
    stamp(&trace->packet);
}

void trace_burst(struct worker *worker)
{
    const struct burst *burst = &worker->burst;

    for (unsigned i = 0; i < burst->count; i++)
        trace_flow(worker, burst->flow[i], burst->record[i]);
}
