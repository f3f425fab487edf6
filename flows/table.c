/* SPDX-License-Identifier: BSD-3-Clause */
/* The flow table: its life, its slots, and what others may read of it. */
#include <errno.h>
#include <linux/mempolicy.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "flows/table_p.h"

enum {
    DEFAULT_IDLE_SECONDS = 60,
    DEFAULT_SLICE = 64,
    DEFAULT_BUDGET = 8,
    FLOWS_MAX = 1 << 26,
    REACH_MAX =
        1024, /* hashes are no secret: whoever makes many flows meet in one slot gets no more */
    /* Flows of a hold are looked for in the table if they are more than this part of its slots: to look at a flow in
     * the order of the table costs about a fourth of what it takes to turn one that lies anywhere. */
    MANY_PART = 8,
    HUGE_PAGE = 2 << 20,
    PAGE = 4096,
};

/* ---- memory ---- */

/* A reservation is cut so that it begins at a huge page. */
static void *map_aligned(size_t size)
{
    char *start =
        mmap(NULL, size + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    size_t skip;

    if (start == MAP_FAILED)
        return NULL;
    skip = -(uintptr_t)start & (HUGE_PAGE - 1);
    if (skip != 0)
        munmap(start, skip);
    munmap(start + skip + size, HUGE_PAGE - skip);
    return start + skip;
}

/* Everything is touched now, so that no packet waits for the kernel to find a page. Which node's memory
 * it is, and how large the pages are, are wishes only. */
static void *memory_new(size_t size, int numa_node)
{
    unsigned long nodes = numa_node >= 0 && numa_node < 64 ? 1UL << numa_node : 0;
    char *memory = map_aligned(size);

    if (memory == NULL)
        return NULL;
    madvise(memory, size, MADV_HUGEPAGE);
    if (nodes != 0)
        syscall(SYS_mbind, memory, size, MPOL_PREFERRED, &nodes, 64UL, 0U);
    for (size_t i = 0; i < size; i += PAGE)
        *(volatile char *)(memory + i) = 0;
    return memory;
}

/* Cut an array of whole cache lines off the memory; or, as long as memory is NULL, only add its size. */
static void *cut(char *memory, size_t *used, size_t count, size_t size)
{
    void *array = memory == NULL ? NULL : memory + *used;

    *used += RTE_ALIGN_CEIL(count * size, (size_t)NS_CACHE_LINE);
    return array;
}

static uint32_t chunk_count(const struct flow_table_inner *inner)
{
    return inner->flow_limit / CHUNK_FLOWS * ARRAYS + ARRAYS + inner->hold_count + 1;
}

static size_t cut_arrays(struct flow_table *table, char *memory)
{
    struct flow_table_inner *inner = table->inner;
    size_t used = 0;

    table->flows = cut(memory, &used, inner->slots, sizeof(struct flow));
    inner->bindings = cut(memory, &used, inner->slots, sizeof(struct binding));
    inner->holds = cut(memory, &used, inner->hold_count, sizeof(struct hold));
    inner->records = cut(memory, &used, inner->hold_count, sizeof(struct adjacency));
    table->counts = cut(memory, &used, inner->hold_count, sizeof(struct flow_count));
    inner->chunks = cut(memory, &used, chunk_count(inner), CHUNK * sizeof(uint32_t));
    inner->live = cut(memory, &used, inner->slots / 64 + 1, sizeof(uint64_t));
    return RTE_ALIGN_CEIL(used, (size_t)HUGE_PAGE);
}

static void fill_free_lists(struct flow_table_inner *inner)
{
    for (uint32_t i = 1; i + 1 < inner->hold_count; i++)
        inner->holds[i].next = i + 1;
    for (uint32_t i = 1; i + 1 < chunk_count(inner); i++)
        inner->chunks[i * CHUNK] = (i + 1) * CHUNK;
    inner->holds[0].filing = IN_TABLE;
    inner->free_hold = 1;
    inner->free_chunk = CHUNK;
}

/* ---- life ---- */

static void set_options(struct flow_table_inner *inner, const struct flow_table_options *options)
{
    inner->options = *options;
    if (options->idle_seconds == 0)
        inner->options.idle_seconds = DEFAULT_IDLE_SECONDS;
    if (options->slice == 0)
        inner->options.slice = DEFAULT_SLICE;
    if (options->budget == 0)
        inner->options.budget = DEFAULT_BUDGET;
    if (options->tell_share == 0)
        inner->options.tell_share = options->share;
    inner->flow_limit = options->flows;
    inner->hold_count = (options->holds == 0 ? options->flows / 4 + 1024 : options->holds) + 1;
    inner->slots = RTE_MAX(rte_align32pow2(options->flows * 2), 64u);
    inner->many = options->many == 0 ? inner->slots / MANY_PART : options->many;
}

static int table_init(struct flow_table *table, const struct flow_sources *sources,
                      const struct flow_table_options *options)
{
    struct flow_table_inner *inner = table->inner;

    set_options(inner, options);
    inner->sources = *sources;
    inner->tell_cycles = 100;
    inner->generation = 1; /* what is kept of no generation is empty */
    inner->subscriber = ns_store_subscriber(sources->store, options->lcore);
    inner->memory_size = cut_arrays(table, NULL);
    inner->memory = memory_new(inner->memory_size, options->numa_node);
    if (inner->memory == NULL)
        return -ENOMEM;
    cut_arrays(table, inner->memory);
    fill_free_lists(inner);
    table->mask = inner->slots - 1;
    if (options->share == 0)
        table->turns = UINT32_MAX;
    flow_table_burst(table, inner->options.budget);
    return 0;
}

int flow_table_new(const struct flow_sources *sources, const struct flow_table_options *options,
                   struct flow_table **result)
{
    struct flow_table *table;
    int rc;

    if (options->flows == 0 || options->flows > FLOWS_MAX || options->holds > FLOWS_MAX)
        return -EINVAL;
    table = calloc(1, sizeof(*table));
    if (table == NULL)
        return -ENOMEM;
    table->inner = calloc(1, sizeof(*table->inner));
    rc = table->inner == NULL ? -ENOMEM : table_init(table, sources, options);
    if (rc != 0) {
        free(table->inner);
        free(table);
        return rc;
    }
    *result = table;
    return 0;
}

void flow_table_clear(struct flow_table *table)
{
    for (uint32_t i = 0; i < table->inner->slots; i++)
        if (flow_is_live(&table->flows[i]))
            flow_forget(table, i);
}

void flow_table_free(struct flow_table *table)
{
    struct flow_table_inner *inner = table->inner;

    flow_table_clear(table);
    for (uint32_t i = 1; i < inner->hold_count; i++)
        if (inner->holds[i].anchor != NULL)
            hold_drop(table, i);
    do {
        while (inner->notices != NULL)
            ns_notice_take(&inner->notices);
        inner->notices = ns_subscriber_take(inner->subscriber);
    } while (inner->notices != NULL);
    munmap(inner->memory, inner->memory_size);
    free(inner);
    free(table);
}

bool flow_table_poll(struct flow_table *table, uint32_t now)
{
    struct flow_table_inner *inner = table->inner;
    bool behind;

    if (now != table->now)
        sweep_second(table, now);
    table->now = now;
    notices_round(table);
    walks_round(table);
    flow_table_burst(table, inner->options.budget);
    behind = sweep_round(table);
    return walks_left(table) || behind;
}

/* ---- slots ---- */

bool flow_table_full(const struct flow_table *table)
{
    return table->inner->counters.flows >= table->inner->flow_limit;
}

struct flow *flow_slot_take(struct flow_table *table, const union flow_key *key, uint32_t hash)
{
    struct flow_table_inner *inner = table->inner;
    struct flow *home = &table->flows[hash & table->mask], *flow = home;
    uint32_t distance = 0;

    while (flow_is_live(flow) && distance < REACH_MAX)
        flow = &table->flows[(hash + ++distance) & table->mask];
    if (flow_is_live(flow))
        return NULL;
    *flow = (struct flow){.key = *key, .used = table->now, .reach = flow->reach};
    home->reach = (uint16_t)RTE_MAX(home->reach, distance);
    inner->bindings[flow_index(table, flow)] = (struct binding){0};
    inner->live[flow_index(table, flow) / 64] |= UINT64_C(1) << flow_index(table, flow) % 64;
    write_shared(inner->counters.flows, inner->counters.flows + 1);
    return flow;
}

/* The farthest of those that were pushed from the same slot may have gone. */
static void slot_free(struct flow_table *table, uint32_t slot)
{
    uint32_t home = flow_hash(&table->flows[slot].key) & table->mask;
    uint32_t distance = (slot - home) & table->mask;

    table->flows[slot] = (struct flow){.reach = table->flows[slot].reach};
    table->inner->live[slot / 64] &= ~(UINT64_C(1) << slot % 64);
    if (distance < table->flows[home].reach)
        return;
    for (; distance > 0; distance--) {
        const struct flow *flow = &table->flows[(home + distance) & table->mask];

        if (flow_is_live(flow) && (flow_hash(&flow->key) & table->mask) == home)
            break;
    }
    table->flows[home].reach = (uint16_t)distance;
}

void flow_forget(struct flow_table *table, uint32_t index)
{
    struct flow_table_inner *inner = table->inner;

    for (int role = 0; role < ROLES; role++) {
        uint32_t hold = flow_hold(table, index, role);

        if (hold != 0)
            hold_detach(table, hold, index);
    }
    slot_free(table, index);
    write_shared(inner->counters.flows, inner->counters.flows - 1);
}

/* ---- reading ---- */

/* All counters are 64 bits wide. */
void flow_table_counters(const struct flow_table *table, struct flow_table_counters *out)
{
    const uint64_t *from = (const uint64_t *)&table->inner->counters;
    uint64_t *to = (uint64_t *)out;

    for (size_t i = 0; i < sizeof(*out) / sizeof(*to); i++)
        to[i] = read_shared(from[i]);
}

uint32_t flow_table_bound(const struct flow_table *table, const struct ns_anchor *anchor)
{
    uint32_t index = hold_find(table, anchor);

    return index == 0 ? 0 : read_shared(table->inner->holds[index].flows);
}

uint32_t flow_table_used(const struct flow_table *table, const struct ns_anchor *anchor)
{
    uint32_t index = hold_find(table, anchor);

    return index == 0 ? 0 : read_shared(table->inner->holds[index].used);
}

void flow_table_counted(const struct flow_table *table, const struct ns_anchor *anchor,
                        uint64_t *packets, uint64_t *bytes)
{
    uint32_t index = hold_find(table, anchor);

    *packets = index == 0 ? 0 : read_shared(table->counts[index].packets);
    *bytes = index == 0 ? 0 : read_shared(table->counts[index].bytes);
}

static void origin_name(const struct flow_table_inner *inner, uint32_t hold, char *name,
                        size_t size, uint64_t *version)
{
    const struct ns_anchor *anchor = inner->holds[hold].anchor;

    *version = hold == 0 ? 0 : ns_anchor_version(anchor);
    snprintf(name, size, "%s", hold == 0 ? "" : anchor->path);
}

bool flow_origin(const struct flow_table *table, const union flow_key *key,
                 struct flow_origin *origin)
{
    const struct flow_table_inner *inner = table->inner;
    const struct flow *flow = flow_find(table, key, flow_hash(key));

    if (flow == NULL)
        return false;
    *origin = (struct flow_origin){
        .key = flow->key,
        .packets = flow->packets,
        .bytes = flow->bytes,
        .used = flow->used,
        .bound_version = binding_version(table, flow_index(table, flow)),
        .record = *adjacency_of(flow->adjacency),
    };
    origin->adjacency_version = origin->record.version;
    snprintf(origin->adjacency, sizeof(origin->adjacency), "%s", flow->adjacency->path);
    origin_name(inner, flow->route, origin->route, sizeof(origin->route), &origin->route_version);
    origin_name(inner, flow->definition, origin->definition, sizeof(origin->definition),
                &origin->definition_version);
    return true;
}

uint64_t flow_bound_version(const struct flow_table *table, const struct flow *flow)
{
    return binding_version(table, flow_index(table, flow));
}

bool flow_table_next(const struct flow_table *table, uint32_t *cursor, const struct flow **flow)
{
    for (; *cursor < table->inner->slots; ++*cursor)
        if (flow_is_live(&table->flows[*cursor])) {
            *flow = &table->flows[(*cursor)++];
            return true;
        }
    return false;
}
