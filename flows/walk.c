/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Notices, and the walks that they start: every flow bound through a changed anchor looks again, a slice in
 * each poll.
 *
 * Batches. A walk that is started waits for the next batch; so does one that has to go around again. A
 * batch begins with all that wait, and with `batch_target` = all notices taken so far: when it is over,
 * every change up to there has reached its flows, because each of its walks began its last round after
 * those notices were taken.
 */
#include <rte_cycles.h>

#include "flows/table_p.h"

enum {
    IDLE_CYCLES = 1000, /* an lcore that comes back sooner has no packets */
    TELL_CYCLES = 100,  /* to tell a flow, before it is known */
    TELL_CYCLES_MAX = 5000,
    BUSY_POLLS = 3,            /* without a look at the clock, of an lcore with packets */
    AT_ONCE = 2 * CHUNK_FLOWS, /* told at least, so that it is worth it */
};

/* ---- lists of walks ---- */

static void walk_append(struct flow_table_private *private, struct walk_list *list, uint32_t index)
{
    private->holds[index].next = 0;
    if (list->last == 0)
        list->first = index;
    else
    private->holds[list->last].next = index;
    list->last = index;
}

static void walk_pop(struct flow_table_private *private, struct walk_list *list)
{
    list->first = private->holds[list->first].next;
    if (list->first == 0)
        list->last = 0;
}

static void schedule(struct flow_table_private *private, uint32_t index)
{
    struct hold *hold = &private->holds[index];

    if (hold->walk == WALK_RUNNING) {
        hold->again = true;
    } else if (hold->walk == WALK_NONE) {
        hold->walk = WALK_WAITING;
        walk_append(private,
                    hold->role == BY_ADJACENCY ? &private->next_records : &private->next_batch,
                    index);
    }
}

void walk_start(struct flow_table *table, uint32_t index, uint64_t version)
{
    struct flow_table_private *private = table->private;
    struct hold *hold = &private->holds[index];

    hold->stamp = version;
    if (hold->flows == 0)
        return;
    hold->epoch = ++table->epoch;
    if (hold->role == BY_ALL)
    private->epoch_all = table->epoch;
    schedule(private, index);
}

/* ---- notices ---- */

/* The answer to a request for an anchor that was missing: it came registered, and without a hold. */
static uint32_t hold_for_supplied(struct flow_table *table, struct ns_anchor *anchor)
{
    uint32_t index = hold_take(table, anchor, adjacency_is(anchor) ? BY_ADJACENCY : BY_ROUTE);

    if (index == 0)
        ns_anchor_unregister(anchor, table->private->options.lcore);
    return index;
}

/* Packets use the new record from now on. Only flows with listeners have to be told. */
static void record_changed(struct flow_table_private *private, struct hold *hold)
{
    uint64_t version = adjacency_of(hold->anchor)->version;

    if (version <= hold->stamp)
        return;
    hold->stamp = version;
    private->newest = RTE_MAX(private->newest, version);
    write_shared(private->counters.moved, private->counters.moved + hold->flows);
    if (hold->last != 0)
        schedule(private, (uint32_t)(hold - private->holds));
}

static void binding_changed(struct flow_table *table, uint32_t index, uint64_t version)
{
    table->private->newest = RTE_MAX(table->private->newest, version);
    walk_start(table, index, version);
}

/* A notice may come for an anchor that this lcore has left. It can't be freed yet: it was not while the
 * notice was pending, and we are inside a read section since. But nothing may be bound to it because of the
 * notice alone: who comes back must have been let in by the control core, which sets the bit
 * (BREAK_UNREGISTERED in tests/model/life.pml). */
static void notice_take(struct flow_table *table)
{
    struct flow_table_private *private = table->private;
    struct ns_anchor *anchor = ns_notice_take(&private->notices);
    uint64_t mask = atomic_load_explicit(&anchor->mask, memory_order_relaxed); /* D6 */
    uint32_t index;
    struct hold *hold;

    bump(private->counters.notices);
    if ((mask >> private->options.lcore & 1) == 0)
        return;
    index = hold_find(table, anchor);
    if (index == 0)
        index = hold_for_supplied(table, anchor);
    if (index == 0)
        return;
    hold = &private->holds[index];
    if (hold->role == BY_ADJACENCY)
        record_changed(private, hold);
    else if (ns_anchor_version(anchor) > hold->stamp) /* D5 */
        binding_changed(table, index, ns_anchor_version(anchor));
    if ((hold->role == BY_ADJACENCY || hold->role == BY_ROUTE) && private->options.changed != NULL)
    private->options.changed(private->options.arg, anchor, hold->flows);
}

/* `notified` is read first: what was linked before it was stored is in the list. */
void notices_round(struct flow_table *table)
{
    struct flow_table_private *private = table->private;

    if (private->notices == NULL) {
        private->taking =
            atomic_load_explicit(&private->subscriber->notified, memory_order_acquire); /* D0 */
        private->notices = ns_subscriber_take(private->subscriber);
    }
    for (uint32_t i = 0; i < private->options.slice && private->notices != NULL; i++)
        notice_take(table);
    if (private->notices == NULL)
    private->taken = private->taking;
}

/* ---- walks ---- */

static bool out_of_patience(const struct flow_table *table, struct hold *hold)
{
    if (table->private->options.missing == NULL)
        return true;
    if (hold->missing_since == 0)
        hold->missing_since = table->now;
    return table->now - hold->missing_since >= FLOW_PATIENCE;
}

static void tell(struct flow_table *table, struct hold *hold, uint32_t flow)
{
    struct flow_table_private *private = table->private;
    struct flow_missing missing;
    enum flow_turn turn;

    bump(private->counters.told);
    if (hold->role == BY_ADJACENCY) {
        listener_round(table, hold, flow);
        return;
    }
    if (hold->role == BY_ALL && flow_is_spared(table, &table->flows[flow])) {
        bump(private->counters.spared);
        return;
    }
    private->turned = true;
    if (!flow_is_stale(table, flow))
        return;
    turn = flow_rebind(table, flow, &missing);
    if (turn == FLOW_BOUND)
        return;
    if (turn == FLOW_FULL || out_of_patience(table, hold)) {
        bump(private->counters.forgotten);
        flow_forget(table, flow);
        return;
    }
    hold->waits = true;
    flow_ask(table, &missing);
}

static void round_begin(struct flow_table_private *private, struct hold *hold)
{
    hold->walk = WALK_RUNNING;
    hold->cursor = hold->last;
    hold->again = hold->waits = false;
    private->turned = true;
    if (hold->role == BY_ADJACENCY)
        listener_round_begin(private, hold);
    else if (hold->role == BY_ALL)
    private->claims_round = hold->stamp;
}

/* A walk with flows that wait stays in its batch, which is not over before they have been told. */
static void round_end(struct flow_table_private *private, uint32_t index)
{
    struct hold *hold = &private->holds[index];

    if (hold->role == BY_ADJACENCY)
        listener_round_end(private, hold);
    else if (hold->role == BY_ALL && !hold->waits)
    private->claims_known = private->claims_round;
    walk_pop(private, hold->role == BY_ADJACENCY ? &private->records_batch : &private->batch);
    if (!hold->waits)
        hold->missing_since = 0;
    hold->walk = hold->waits || hold->again ? WALK_WAITING : WALK_NONE;
    if (hold->walk == WALK_WAITING)
        walk_append(private,
                    hold->waits                  ? &private->batch
                    : hold->role == BY_ADJACENCY ? &private->next_records
                                                 : &private->next_batch,
                    index);
}

/* The flows of a chunk lie anywhere: fetch their lines side by side. The cold ones are not needed where flows are
 * spared, and most of them are if all of the chunk before were. */
static void prefetch_flows(const struct flow_table *table, uint32_t chunk)
{
    const struct flow_table_private *private = table->private;

    for (uint32_t place = chunk + CHUNK_FLOWS; place > chunk; place--) {
        if (private->turned)
            rte_prefetch0(&private->bindings[private->chunks[place]]);
        rte_prefetch0(&table->flows[private->chunks[place]]);
    }
}

/* While the flows of one chunk are told, those of the one before it are on their way, and the line of the
 * chunk before that. In the last one some words are of another use of the chunk: any flow. */
static void prefetch_ahead(const struct flow_table *table, uint32_t chunk)
{
    const uint32_t *chunks = table->private->chunks;
    uint32_t before = chunks[chunk];

    if (before == 0)
        return;
    prefetch_flows(table, before);
    rte_prefetch0(&chunks[chunks[before]]);
}

static void walk_begin(struct flow_table *table, struct hold *hold)
{
    uint32_t chunk = hold->last & ~(uint32_t)(CHUNK - 1);

    round_begin(table->private, hold);
    if (hold->cursor == 0)
        return;
    prefetch_flows(table, chunk);
    prefetch_ahead(table, chunk);
}

/* Downwards, see array_remove(). The cursor steps on before the flow is told, which may take it out of
 * the array. Returns what is left of the budget. */
static uint32_t walk_on(struct flow_table *table, uint32_t index, uint32_t budget)
{
    struct flow_table_private *private = table->private;
    struct hold *hold = &private->holds[index];

    if (hold->walk == WALK_WAITING)
        walk_begin(table, hold);
    for (; hold->cursor != 0 && budget > 0; budget--) {
        uint32_t place = hold->cursor;

        if (place % CHUNK == CHUNK_FLOWS) {
            prefetch_ahead(table, place - CHUNK_FLOWS);
            private->turned = hold->role != BY_ALL;
        }
        hold->cursor = place_before(private->chunks, place);
        tell(table, hold, private->chunks[place]);
    }
    if (hold->cursor != 0)
        return budget;
    round_end(private, index);
    return hold->waits ? 0 : budget; /* nothing new before the next poll */
}

static void apply(struct flow_table_private *private, uint64_t version)
{
    _Atomic uint64_t *applied = &private->subscriber->applied;

    if (version > atomic_load_explicit(applied, memory_order_relaxed))
        atomic_store_explicit(applied, version, memory_order_release);
}

/* First those that bind flows anew, until what they wait for is there, then those that tell of records: so a
 * flow of which one commit has changed both is told once, by the first. And not before all notices of that
 * commit were taken. */
static void batch_begin(struct flow_table_private *private)
{
    if (private->taken < private->newest)
        return;
    private->batch = private->next_batch;
    private->records_batch = private->next_records;
    private->next_batch = private->next_records = (struct walk_list){0, 0};
    private->batch_target = private->taken;
}

/* The walk that comes next in the batch; 0: it is over. */
static uint32_t batch_first(const struct flow_table_private *private)
{
    return private->batch.first != 0 ? private->batch.first : private->records_batch.first;
}

static bool next_is_empty(const struct flow_table_private *private)
{
    return private->next_batch.first == 0 && private->next_records.first == 0;
}

/* Look at the clock. An lcore that comes back soon has no packets; of the first look nothing is known. */
static void watch_time(struct flow_table_private *private, uint32_t share)
{
    uint64_t now = rte_rdtsc(), away = private->polled == 0 ? IDLE_CYCLES : now - private->polled;

    private->polled = now;
    private->idle = away < IDLE_CYCLES;
    if (private->idle)
        return;
    private->saved += (int64_t)(away * share / (100 - share));
    private->polls_left = BUSY_POLLS;
}

/* An lcore with packets saves a share of its time up for walks, until there is enough for some chunks of flows.
 * One without gives them a whole slice. */
static uint32_t slice(struct flow_table *table)
{
    struct flow_table_private *private = table->private;
    const struct flow_table_options *options = &private->options;
    uint32_t share = private->batch.first != 0 ? options->share : options->tell_share;

    if (share == 0)
        return options->slice;
    if (private->polls_left != 0) {
        private->polls_left--;
        return 0;
    }
    watch_time(private, share);
    table->turns = private->idle ? options->budget : 0;
    if (private->idle)
        return options->slice;
    if (private->saved < (int64_t)AT_ONCE * private->tell_cycles)
        return 0;
    return (uint32_t)RTE_MIN(private->saved / private->tell_cycles, (int64_t)options->slice);
}

/* A moving average; a walk that was interrupted says nothing. */
static void learn(struct flow_table_private *private, uint64_t cycles, uint32_t told)
{
    uint64_t each = told == 0 ? TELL_CYCLES_MAX : cycles / told;

    if (each < TELL_CYCLES_MAX)
    private->tell_cycles = (uint32_t)((private->tell_cycles * 15 + each + 15) / 16);
}

/* What it took is taken off what was saved; of an interruption not all, and no more is kept than for a slice. */
static void pay(struct flow_table_private *private, uint64_t cycles, uint32_t told)
{
    int64_t most = (int64_t) private->options.slice * private->tell_cycles;

    learn(private, cycles, told);
    if (private->idle)
        return;
    private->saved = RTE_MIN(private->saved - RTE_MIN((int64_t)cycles, 2 * most), most);
}

static void batch_on(struct flow_table *table)
{
    struct flow_table_private *private = table->private;
    uint32_t whole = slice(table), budget = whole;
    uint64_t start = private->polled;

    if (whole == 0)
        return;
    while (batch_first(private) != 0 && budget > 0)
        budget = walk_on(table, batch_first(private), budget);
    if (private->options.share == 0)
        return;
    private->polled = rte_rdtsc();
    pay(private, private->polled - start, whole - budget);
}

void walks_round(struct flow_table *table)
{
    struct flow_table_private *private = table->private;

    if (batch_first(private) == 0)
        batch_begin(private);
    if (batch_first(private) != 0)
        batch_on(table);
    if (batch_first(private) != 0)
        return;
    private->polled = 0;
    private->polls_left = 0;
    if (private->options.share != 0)
        table->turns = 0;
    apply(private, next_is_empty(private) ? private->taken : private->batch_target);
}

bool walks_left(const struct flow_table *table)
{
    const struct flow_table_private *private = table->private;

    return private->notices != NULL || batch_first(private) != 0 || !next_is_empty(private) ||
           atomic_load_explicit(&private->subscriber->head, memory_order_relaxed) != NULL;
}
