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

#include "flows/ways_p.h"

enum {
    IDLE_CYCLES = 1000, /* an lcore that comes back sooner has no packets */
    TELL_CYCLES = 100,  /* to tell a flow, before it is known */
    TELL_CYCLES_MAX = 5000,
    BUSY_POLLS = 3,            /* without a look at the clock, of an lcore with packets */
    AT_ONCE = 2 * CHUNK_FLOWS, /* told at least, so that it is worth it */
    EMPTY_WORDS = 16,          /* of 64 slots, that cost what a flow does */
    FETCH_AHEAD = 24,          /* flows, when going through the table */
};

/* ---- lists of walks ---- */

static void walk_append(struct flow_table_inner *inner, struct walk_list *list, uint32_t index)
{
    inner->holds[index].next = 0;
    if (list->last == 0)
        list->first = index;
    else
        inner->holds[list->last].next = index;
    list->last = index;
}

static void walk_pop(struct flow_table_inner *inner, struct walk_list *list)
{
    list->first = inner->holds[list->first].next;
    if (list->first == 0)
        list->last = 0;
}

/* Flows of a hold without an array are met by the walk through the table, which meets all. */
static uint32_t walked_by(const struct flow_table *table, uint32_t index)
{
    return table->inner->holds[index].filing == IN_ARRAY ? index : hold_of_all(table);
}

static void schedule(struct flow_table_inner *inner, uint32_t index)
{
    struct hold *hold = &inner->holds[index];

    if (hold->walk == WALK_RUNNING) {
        hold->again = true;
    } else if (hold->walk == WALK_NONE) {
        hold->walk = WALK_WAITING;
        walk_append(inner, hold->role == BY_ADJACENCY ? &inner->next_records : &inner->next_batch,
                    index);
    }
}

void walk_start(struct flow_table *table, uint32_t index, uint64_t version)
{
    struct flow_table_inner *inner = table->inner;
    struct hold *hold = &inner->holds[index];

    hold->stamp = version;
    if (hold->flows == 0) {
        inner->generation++; /* nobody has to look again, but the ways that lead here end */
        return;
    }
    hold->epoch = ++table->epoch;
    inner->versions[table->epoch % EPOCHS_KNOWN] =
        RTE_MAX(version, inner->versions[(table->epoch - 1) % EPOCHS_KNOWN]);
    if (hold->role == BY_ALL) {
        inner->epoch_all = table->epoch;
        inner->all_told = false;
    }
    schedule(inner, walked_by(table, index));
}

/* ---- notices ---- */

/* The answer to a request for an anchor that was missing: it came registered, and without a hold. */
static uint32_t hold_for_supplied(struct flow_table *table, struct ns_anchor *anchor)
{
    uint32_t index = hold_take(table, anchor, adjacency_is(anchor) ? BY_ADJACENCY : BY_ROUTE);

    if (index == 0)
        ns_anchor_unregister(anchor, table->inner->options.lcore);
    return index;
}

/* Packets use the new record from now on. Only flows with listeners have to be told. */
static void record_changed(struct flow_table_inner *inner, struct hold *hold)
{
    uint64_t version = adjacency_of(hold->anchor)->version;

    if (version <= hold->stamp)
        return;
    hold->stamp = version;
    inner->newest = RTE_MAX(inner->newest, version);
    write_shared(inner->counters.moved, inner->counters.moved + hold->flows);
    if (hold->last != 0)
        schedule(inner, (uint32_t)(hold - inner->holds));
}

static void binding_changed(struct flow_table *table, uint32_t index, uint64_t version)
{
    table->inner->newest = RTE_MAX(table->inner->newest, version);
    walk_start(table, index, version);
}

/* A notice may come for an anchor that this lcore has left. It can't be freed yet: it was not while the
 * notice was pending, and we are inside a read section since. But nothing may be bound to it because of the
 * notice alone: who comes back must have been let in by the control core, which sets the bit
 * (BREAK_UNREGISTERED in tests/model/life.pml). */
static void notice_take(struct flow_table *table)
{
    struct flow_table_inner *inner = table->inner;
    struct ns_anchor *anchor = ns_notice_take(&inner->notices);
    uint64_t mask = atomic_load_explicit(&anchor->mask, memory_order_relaxed); /* D6 */
    uint32_t index;
    struct hold *hold;

    bump(inner->counters.notices);
    if ((mask >> inner->options.lcore & 1) == 0)
        return;
    index = hold_find(table, anchor);
    if (index == 0)
        index = hold_for_supplied(table, anchor);
    if (index == 0)
        return;
    hold = &inner->holds[index];
    if (hold->role == BY_ADJACENCY)
        record_changed(inner, hold);
    else if (ns_anchor_version(anchor) > hold->stamp) /* D5 */
        binding_changed(table, index, ns_anchor_version(anchor));
    if ((hold->role == BY_ADJACENCY || hold->role == BY_ROUTE) && inner->options.changed != NULL)
        inner->options.changed(inner->options.arg, anchor, hold->flows);
}

/* `notified` is read first: what was linked before it was stored is in the list. */
void notices_round(struct flow_table *table)
{
    struct flow_table_inner *inner = table->inner;

    if (inner->notices == NULL) {
        inner->taking =
            atomic_load_explicit(&inner->subscriber->notified, memory_order_acquire); /* D0 */
        inner->notices = ns_subscriber_take(inner->subscriber);
    }
    for (uint32_t i = 0; i < inner->options.slice && inner->notices != NULL; i++)
        notice_take(table);
    if (inner->notices == NULL)
        inner->taken = inner->taking;
}

/* ---- walks ---- */

static bool out_of_patience(const struct flow_table *table, struct hold *hold)
{
    if (table->inner->options.missing == NULL)
        return true;
    if (hold->missing_since == 0)
        hold->missing_since = table->now;
    return table->now - hold->missing_since >= FLOW_PATIENCE;
}

/* A turn that needs more than what is kept. */
static void tell_slowly(struct flow_table *table, struct hold *hold, uint32_t flow)
{
    struct flow_missing missing;
    enum flow_turn turn = flow_rebind(table, flow, &missing);

    if (turn == FLOW_BOUND)
        return;
    if (turn == FLOW_FULL || out_of_patience(table, hold)) {
        bump(table->inner->counters.forgotten);
        flow_forget(table, flow);
        return;
    }
    hold->waits = true;
    flow_ask(table, &missing);
}

/* A flow of a route, a definition, or of all. False: it was right. */
static __rte_always_inline bool tell(struct flow_table *table, struct hold *hold, uint32_t index,
                                     struct claims_now *now)
{
    struct flow *flow = &table->flows[index];

    if (!flow_is_stale(table, flow, now))
        return false;
    if (likely(ways_turn(table, flow, now)))
        return true;
    tell_slowly(table, hold, index);
    *now = claims_now(table);
    return true;
}

static void round_begin(struct flow_table_inner *inner, struct hold *hold)
{
    hold->walk = WALK_RUNNING;
    hold->cursor = hold->role == BY_ALL ? inner->slots : hold->last;
    hold->again = hold->waits = false;
    if (hold->role == BY_ADJACENCY)
        listener_round_begin(inner, hold);
    else if (hold->role == BY_ALL)
        inner->claims_round = hold->stamp;
}

static void all_were_told(struct flow_table_inner *inner, const struct hold *hold)
{
    inner->claims_known = inner->claims_round;
    inner->all_told = inner->claims_round == hold->stamp;
}

/* A walk with flows that wait stays in its batch, which is not over before they have been told. */
static void round_end(struct flow_table_inner *inner, uint32_t index)
{
    struct hold *hold = &inner->holds[index];

    if (hold->role == BY_ADJACENCY)
        listener_round_end(inner, hold);
    else if (hold->role == BY_ALL && !hold->waits)
        all_were_told(inner, hold);
    walk_pop(inner, hold->role == BY_ADJACENCY ? &inner->records_batch : &inner->batch);
    if (!hold->waits)
        hold->missing_since = 0;
    hold->walk = hold->waits || hold->again ? WALK_WAITING : WALK_NONE;
    if (hold->walk == WALK_WAITING)
        walk_append(inner,
                    hold->waits                  ? &inner->batch
                    : hold->role == BY_ADJACENCY ? &inner->next_records
                                                 : &inner->next_batch,
                    index);
}

/* ---- through an array ---- */

/* The flows of an array lie anywhere. */
static inline void fetch_flow(const struct flow_table *table, uint32_t place)
{
    const struct flow_table_inner *inner = table->inner;

    rte_prefetch0(&table->flows[inner->chunks[place]]);
    rte_prefetch0(&inner->bindings[inner->chunks[place]]);
}

static void array_begin(const struct flow_table *table, const struct hold *hold)
{
    const uint32_t *chunks = table->inner->chunks;
    uint32_t chunk = hold->last & ~(uint32_t)(CHUNK - 1);

    for (uint32_t place = 1; place <= CHUNK_FLOWS && hold->last != 0; place++) {
        fetch_flow(table, chunk + place);
        fetch_flow(table, chunks[chunk] + place);
    }
}

/* One by one, each when the one in the same place of the chunk behind is told, and the line of the chunk before that:
 * all of a chunk at once are more than a CPU fetches side by side. In the last one some words are of another use of the
 * chunk: any flow. */
static inline void fetch_before(const struct flow_table *table, uint32_t place)
{
    const uint32_t *chunks = table->inner->chunks;
    uint32_t before = chunks[place & ~(uint32_t)(CHUNK - 1)];

    if (before == 0)
        return;
    fetch_flow(table, before + place % CHUNK);
    if (place % CHUNK == CHUNK_FLOWS)
        rte_prefetch0(&chunks[chunks[before]]);
}

/* Downwards, see array_remove(). The cursor steps on before the flow is told, which may take it out of
 * the array. Returns what is left of the budget. */
static uint32_t array_on(struct flow_table *table, struct hold *hold, uint32_t budget)
{
    struct flow_table_inner *inner = table->inner;
    struct claims_now now = claims_now(table);

    for (; hold->cursor != 0 && budget > 0; budget--) {
        uint32_t place = hold->cursor, flow = inner->chunks[place];

        fetch_before(table, place);
        hold->cursor = place_before(inner->chunks, place);
        bump(inner->counters.told);
        if (hold->role == BY_ADJACENCY)
            listener_round(table, hold, flow);
        else
            tell(table, hold, flow, &now);
    }
    return budget;
}

/* ---- through the table ---- */

/* Going downwards through the slots that flows are in, 64 at a time. */
struct slots {
    uint32_t word;
    uint64_t left; /* of the word */
};

/* Those before this one, which is not 0. */
static inline struct slots slots_before(const struct flow_table_inner *inner, uint32_t slot)
{
    uint32_t last = slot - 1;

    return (struct slots){last / 64, inner->live[last / 64] & ~UINT64_C(0) >> (63 - last % 64)};
}

/* The next one. False: not among these 64; it is where they begin then, and 0 is the end. */
static inline bool slots_next(const struct flow_table_inner *inner, struct slots *slots,
                              uint32_t *slot)
{
    if (likely(slots->left != 0)) {
        uint32_t bit = 63 - (uint32_t)__builtin_clzll(slots->left);

        slots->left ^= UINT64_C(1) << bit;
        *slot = slots->word * 64 + bit;
        return true;
    }
    *slot = slots->word * 64;
    if (slots->word != 0)
        slots->left = inner->live[--slots->word];
    return false;
}

/* One step ahead of the walk; also the cold part, if a flow of this slice needed its. */
static inline void fetch_on(const struct flow_table *table, struct slots *ahead)
{
    const struct flow_table_inner *inner = table->inner;
    uint32_t slot;

    slots_next(inner, ahead, &slot);
    rte_prefetch0(&table->flows[slot]);
    if (unlikely(inner->turned))
        rte_prefetch0(&inner->bindings[slot]);
}

/* From where the slice before has ended, or the table. */
static struct slots fetch_begin(const struct flow_table *table, const struct hold *hold)
{
    struct flow_table_inner *inner = table->inner;
    struct slots ahead;

    if (hold->cursor != inner->slots)
        return slots_before(inner, RTE_MAX(inner->fetched, 1u));
    ahead = slots_before(inner, hold->cursor);
    for (int i = 0; i < FETCH_AHEAD; i++)
        fetch_on(table, &ahead);
    return ahead;
}

static uint32_t table_on(struct flow_table *table, struct hold *hold, uint32_t budget)
{
    struct flow_table_inner *inner = table->inner;
    struct slots slots = slots_before(inner, hold->cursor), ahead = fetch_begin(table, hold);
    struct claims_now now = claims_now(table);
    uint32_t empty = 0, told = 0, right = 0, slot = hold->cursor;

    inner->turned = false;
    while (slot != 0 && budget > 0) {
        bool found = slots_next(inner, &slots, &slot);

        fetch_on(table, &ahead);
        if (likely(found && flow_is_live(&table->flows[slot]))) {
            told++;
            right += !tell(table, hold, slot, &now);
        } else if (++empty % EMPTY_WORDS != 0) {
            continue;
        }
        budget--;
    }
    hold->cursor = slot;
    inner->fetched =
        ahead.word * 64 + 64 - (ahead.left == 0 ? 64 : (uint32_t)__builtin_clzll(ahead.left));
    write_shared(inner->counters.told, inner->counters.told + told);
    write_shared(inner->counters.spared, inner->counters.spared + right);
    return budget;
}

/* ---- either ---- */

static uint32_t walk_on(struct flow_table *table, uint32_t index, uint32_t budget)
{
    struct flow_table_inner *inner = table->inner;
    struct hold *hold = &inner->holds[index];

    if (hold->walk == WALK_WAITING) {
        round_begin(inner, hold);
        if (hold->role != BY_ALL)
            array_begin(table, hold);
    }
    budget = hold->role == BY_ALL ? table_on(table, hold, budget) : array_on(table, hold, budget);
    if (hold->cursor != 0)
        return budget;
    round_end(inner, index);
    return hold->waits ? 0 : budget; /* nothing new before the next poll */
}

static void apply(struct flow_table_inner *inner, uint64_t version)
{
    _Atomic uint64_t *applied = &inner->subscriber->applied;

    if (version > atomic_load_explicit(applied, memory_order_relaxed))
        atomic_store_explicit(applied, version, memory_order_release);
}

/* First those that bind flows anew, until what they wait for is there, then those that tell of records: so a
 * flow of which one commit has changed both is told once, by the first. And not before all notices of that
 * commit were taken. */
static void batch_begin(struct flow_table_inner *inner)
{
    if (inner->taken < inner->newest)
        return;
    inner->batch = inner->next_batch;
    inner->records_batch = inner->next_records;
    inner->next_batch = inner->next_records = (struct walk_list){0, 0};
    inner->batch_target = inner->taken;
}

/* The walk that comes next in the batch; 0: it is over. */
static uint32_t batch_first(const struct flow_table_inner *inner)
{
    return inner->batch.first != 0 ? inner->batch.first : inner->records_batch.first;
}

static bool next_is_empty(const struct flow_table_inner *inner)
{
    return inner->next_batch.first == 0 && inner->next_records.first == 0;
}

/* Look at the clock. An lcore that comes back soon has no packets; of the first look nothing is known. */
static void watch_time(struct flow_table_inner *inner, uint32_t share)
{
    uint64_t now = rte_rdtsc(), away = inner->polled == 0 ? IDLE_CYCLES : now - inner->polled;

    inner->polled = now;
    inner->idle = away < IDLE_CYCLES;
    if (inner->idle)
        return;
    inner->saved += (int64_t)(away * share / (100 - share));
    inner->polls_left = BUSY_POLLS;
}

/* What packets wait for at most, in cycles: flows that cost less than expected are so many more. */
static int64_t whole_slice(const struct flow_table_inner *inner)
{
    return (int64_t)inner->options.slice * RTE_MAX(inner->tell_cycles, (uint32_t)TELL_CYCLES);
}

/* An lcore with packets saves a share of its time up for walks, until there is enough for some chunks of flows.
 * One without gives them a whole slice. */
static uint32_t slice(struct flow_table *table)
{
    struct flow_table_inner *inner = table->inner;
    const struct flow_table_options *options = &inner->options;
    uint32_t share = inner->batch.first != 0 ? options->share : options->tell_share;

    if (share == 0)
        return options->slice;
    if (inner->polls_left != 0) {
        inner->polls_left--;
        return 0;
    }
    watch_time(inner, share);
    table->turns = inner->idle ? options->budget : 0;
    if (inner->idle)
        return options->slice;
    if (inner->saved < (int64_t)AT_ONCE * inner->tell_cycles)
        return 0;
    return (uint32_t)(RTE_MIN(inner->saved, whole_slice(inner)) / inner->tell_cycles);
}

/* A moving average; a walk that was interrupted says nothing. */
static void learn(struct flow_table_inner *inner, uint64_t cycles, uint32_t told)
{
    uint64_t each = told == 0 ? TELL_CYCLES_MAX : cycles / told;

    if (each < TELL_CYCLES_MAX)
        inner->tell_cycles = (uint32_t)((inner->tell_cycles * 15 + each + 15) / 16);
}

/* What it took is taken off what was saved; of an interruption not all, and no more is kept than for a slice. */
static void pay(struct flow_table_inner *inner, uint64_t cycles, uint32_t told)
{
    int64_t most = whole_slice(inner);

    learn(inner, cycles, told);
    if (inner->idle)
        return;
    inner->saved = RTE_MIN(inner->saved - RTE_MIN((int64_t)cycles, 2 * most), most);
}

static void batch_on(struct flow_table *table)
{
    struct flow_table_inner *inner = table->inner;
    uint32_t whole = slice(table), budget = whole;
    uint64_t start = inner->polled;

    if (whole == 0)
        return;
    while (batch_first(inner) != 0 && budget > 0)
        budget = walk_on(table, batch_first(inner), budget);
    if (inner->options.share == 0)
        return;
    inner->polled = rte_rdtsc();
    pay(inner, inner->polled - start, whole - budget);
}

void walks_round(struct flow_table *table)
{
    struct flow_table_inner *inner = table->inner;

    if (batch_first(inner) == 0)
        batch_begin(inner);
    if (batch_first(inner) != 0)
        batch_on(table);
    if (batch_first(inner) != 0)
        return;
    inner->polled = 0;
    inner->polls_left = 0;
    if (inner->options.share != 0)
        table->turns = 0;
    apply(inner, next_is_empty(inner) ? inner->taken : inner->batch_target);
}

bool walks_left(const struct flow_table *table)
{
    const struct flow_table_inner *inner = table->inner;

    return inner->notices != NULL || batch_first(inner) != 0 || !next_is_empty(inner) ||
           atomic_load_explicit(&inner->subscriber->head, memory_order_relaxed) != NULL;
}
