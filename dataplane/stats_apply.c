/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How long it takes from publishing a commit until it is applied, as the control core sees it: a histogram
 * since the daemon started, and for each worker how long it took, and how often it was the last.
 *
 * One commit is followed at a time, with those that were published before the control core came to look:
 * what is counted is a sample when there are more.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "dataplane/stats_json.h"
#include "dataplane/stats_p.h"

/* ---- classes of times ---- */

/* Eight classes between a power of two and the next; below 8 ns, one each. */
static unsigned bucket_of(uint64_t ns)
{
    unsigned shift;

    if (ns < APPLY_CLASSES)
        return (unsigned)ns;
    shift = 63 - (unsigned)__builtin_clzll(ns) - 3;
    return RTE_MIN((shift + 1) * APPLY_CLASSES + (unsigned)((ns >> shift) & (APPLY_CLASSES - 1)),
                   (unsigned)APPLY_BUCKETS - 1);
}

/* The smallest time that is beyond the class. */
static uint64_t bucket_end(unsigned bucket)
{
    unsigned shift = bucket / APPLY_CLASSES;

    if (shift == 0)
        return bucket + 1;
    return (uint64_t)(APPLY_CLASSES + bucket % APPLY_CLASSES + 1) << (shift - 1);
}

/* A time that `share` of 1000 commits did not exceed. */
static uint64_t percentile(const struct apply *apply, uint64_t share)
{
    uint64_t wanted = (apply->count * share + 999) / 1000, sum = 0;

    for (unsigned i = 0; i < APPLY_BUCKETS; i++) {
        sum += apply->buckets[i];
        if (sum >= wanted && sum > 0)
            return RTE_MIN(bucket_end(i), apply->max_ns);
    }
    return 0;
}

/* ---- measuring ---- */

static void start(struct stats *stats)
{
    struct apply *apply = &stats->apply;
    struct ns_store_counters counters;

    ns_store_counters(stats->control->store, &counters);
    apply->goal = applied_goal_now(stats->control);
    apply->clock = counters.published_clock;
    apply->noticed = ns_loop_now(stats->control->loop);
    apply->arrived = 0;
    apply->open = true;
}

/* Note who has arrived. Returns how many have not. */
static unsigned look(struct stats *stats, uint64_t ns, unsigned *last)
{
    struct apply *apply = &stats->apply;
    unsigned left = 0;

    for (unsigned i = 0; i < stats->control->workers.count; i++) {
        if (apply->arrived >> i & 1)
            continue;
        if (applied_lags(stats->control, &apply->goal, i)) {
            left++;
            continue;
        }
        apply->arrived |= UINT64_C(1) << i;
        apply->workers[i].count++;
        apply->workers[i].sum_ns += ns;
        *last = i;
    }
    return left;
}

uint64_t apply_poll(struct stats *stats)
{
    struct apply *apply = &stats->apply;
    unsigned last = WORKERS_MAX;
    uint64_t ns;

    if (!apply->open && ns_store_version(stats->control->store)->number != apply->goal.number)
        start(stats);
    if (!apply->open)
        return UINT64_MAX;
    ns = applied_since(apply->clock);
    if (look(stats, ns, &last) > 0)
        return applied_patience(ns_loop_now(stats->control->loop) - apply->noticed);
    apply->open = false;
    apply->count++;
    apply->max_ns = RTE_MAX(apply->max_ns, ns);
    apply->buckets[bucket_of(ns)]++;
    if (last < WORKERS_MAX)
        apply->workers[last].slowest++;
    return UINT64_MAX;
}

/* ---- /stats/apply ---- */

/* [[END,COUNT],...]: COUNT commits took less than END nanoseconds, and not less than the END before. */
static void answer_histogram(struct ns_query *query, const struct apply *apply)
{
    struct stats_json json;

    stats_json_begin(&json);
    stats_json_open(&json, NULL, '[');
    for (unsigned i = 0; i < APPLY_BUCKETS; i++) {
        if (apply->buckets[i] == 0)
            continue;
        stats_json_open(&json, NULL, '[');
        stats_json_number(&json, NULL, bucket_end(i));
        stats_json_number(&json, NULL, apply->buckets[i]);
        stats_json_close(&json, ']');
    }
    stats_json_close(&json, ']');
    ns_query_answer(query, json.full ? -E2BIG : 0, json.text, json.full ? 0 : json.size);
}

static const struct {
    const char *name;
    uint64_t share; /* of 1000 */
} percentiles[] = {{"p50_ns", 500}, {"p90_ns", 900}, {"p99_ns", 990}, {"p999_ns", 999}};

static void answer_worker(struct ns_query *query, const struct stats *stats, const char *below)
{
    const struct apply *apply = &stats->apply;
    char what[16];
    unsigned worker;

    if (sscanf(below, "%u/%15s", &worker, what) != 2 || worker >= stats->control->workers.count)
        ns_query_refuse(query, ENOENT, "there is no such worker, or nothing of that name");
    else if (strcmp(what, "count") == 0)
        ns_query_printf(query, "%" PRIu64, apply->workers[worker].count);
    else if (strcmp(what, "sum_ns") == 0)
        ns_query_printf(query, "%" PRIu64, apply->workers[worker].sum_ns);
    else if (strcmp(what, "slowest") == 0)
        ns_query_printf(query, "%" PRIu64, apply->workers[worker].slowest);
    else
        ns_query_refuse(query, ENOENT, "there are count, sum_ns and slowest of a worker");
}

static void read_apply(struct ns_query *query, const char *below, void *arg)
{
    const struct stats *stats = arg;
    const struct apply *apply = &stats->apply;

    if (*below == '\0' || strcmp(below, "lcore") == 0) {
        ns_query_answer(query, 0, "", 0);
        return;
    }
    for (size_t i = 0; i < RTE_DIM(percentiles); i++) {
        if (strcmp(below, percentiles[i].name) == 0) {
            ns_query_printf(query, "%" PRIu64, percentile(apply, percentiles[i].share));
            return;
        }
    }
    if (strcmp(below, "count") == 0)
        ns_query_printf(query, "%" PRIu64, apply->count);
    else if (strcmp(below, "max_ns") == 0)
        ns_query_printf(query, "%" PRIu64, apply->max_ns);
    else if (strcmp(below, "histogram") == 0)
        answer_histogram(query, apply);
    else if (strncmp(below, "lcore/", 6) == 0 && strchr(below + 6, '/') == NULL)
        ns_query_answer(query, 0, "", 0);
    else if (strncmp(below, "lcore/", 6) == 0)
        answer_worker(query, stats, below + 6);
    else
        ns_query_refuse(query, ENOENT, "there is nothing of that name below /stats/apply");
}

static void list_workers(struct ns_query *query, const struct stats *stats)
{
    char names[WORKERS_MAX * 4];
    size_t used = 0;

    for (unsigned i = 0; i < stats->control->workers.count; i++)
        used += (size_t)snprintf(names + used, sizeof(names) - used, "%u", i) + 1;
    ns_query_answer(query, 0, names, used);
}

static void list_apply(struct ns_query *query, const char *below, void *arg)
{
    static const char names[] = "count\0histogram\0lcore\0max_ns\0p50_ns\0p90_ns\0p999_ns\0p99_ns";
    static const char of_worker[] = "count\0slowest\0sum_ns";

    if (*below == '\0')
        ns_query_answer(query, 0, names, sizeof(names));
    else if (strcmp(below, "lcore") == 0)
        list_workers(query, arg);
    else if (strncmp(below, "lcore/", 6) == 0 && strchr(below + 6, '/') == NULL)
        ns_query_answer(query, 0, of_worker, sizeof(of_worker));
    else
        ns_query_answer(query, 0, "", 0);
}

int stats_add_apply(struct stats *stats)
{
    return ns_stats_add(stats->names, "apply", read_apply, list_apply, stats);
}
