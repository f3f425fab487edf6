/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * When is a commit applied? When every lcore has dealt with the notices that it had got by then,
 * and, if it is awake, uses a version that has the commit. One that sleeps uses none; but notices
 * have woken it, and its first rounds deal with a slice of them each while they forward.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rte_cycles.h>

#include "dataplane/stats_p.h"
#include "nameserv/clock.h"

#define US       UINT64_C(1000)
#define MS       UINT64_C(1000000)
#define PATIENCE (5000 * MS)

struct applied_goal applied_goal_now(const struct control *control)
{
    struct applied_goal goal = {.number = ns_store_version(control->store)->number};

    for (unsigned i = 0; i < control->workers.count; i++)
        goal.notified[i] = atomic_load(&ns_store_subscriber(control->store, i)->notified);
    return goal;
}

bool applied_lags(const struct control *control, const struct applied_goal *goal, unsigned worker)
{
    struct ns_subscriber *subscriber = ns_store_subscriber(control->store, worker);

    return atomic_load(&subscriber->applied) < goal->notified[worker] ||
           (atomic_load(&subscriber->sleeping) == 0 &&
            atomic_load(&subscriber->seen) < goal->number);
}

static bool reached(const struct control *control, const struct applied_goal *goal)
{
    for (unsigned i = 0; i < control->workers.count; i++)
        if (applied_lags(control, goal, i))
            return false;
    return true;
}

/* ---- /stats/applied ---- */

static void refuse(const struct stats *stats, struct ns_query *query,
                   const struct applied_goal *goal)
{
    char laggards[WORKERS_MAX * 4] = "";
    size_t used = 0;

    for (unsigned i = 0; i < stats->control->workers.count; i++)
        if (applied_lags(stats->control, goal, i))
            used += (size_t)snprintf(laggards + used, sizeof(laggards) - used, "%s%u",
                                     used > 0 ? ", " : "", i);
    ns_query_refuse(query, EAGAIN,
                    "commit %" PRIu64
                    " is published but not applied after 5 s; still behind: worker %s",
                    goal->number, laggards);
}

/* True: answered. */
static bool settle(const struct stats *stats, const struct applied_wait *wait)
{
    if (reached(stats->control, &wait->goal))
        ns_query_printf(wait->query, "%" PRIu64, wait->goal.number);
    else if (ns_loop_now(stats->control->loop) - wait->asked >= PATIENCE)
        refuse(stats, wait->query, &wait->goal);
    else
        return false;
    return true;
}

static void read_applied(struct ns_query *query, const char *below, void *arg)
{
    struct stats *stats = arg;
    struct applied_wait *wait;

    if (*below != '\0') {
        ns_query_refuse(query, ENOENT, "there is nothing below /stats/applied");
        return;
    }
    wait = malloc(sizeof(*wait));
    if (wait == NULL) {
        ns_query_answer(query, -ENOMEM, NULL, 0);
        return;
    }
    *wait = (struct applied_wait){.next = stats->waits,
                                  .query = query,
                                  .goal = applied_goal_now(stats->control),
                                  .asked = ns_loop_now(stats->control->loop)};
    if (settle(stats, wait))
        free(wait);
    else
        stats->waits = wait;
}

/* Soon at first, as it is a matter of microseconds; then now and then. */
uint64_t applied_patience(uint64_t waited)
{
    if (waited < 50 * US)
        return 0;
    return waited < MS ? 20 * US : 500 * US;
}

static uint64_t poll_waits(struct stats *stats)
{
    uint64_t now = ns_loop_now(stats->control->loop), again = UINT64_MAX;

    for (struct applied_wait **place = &stats->waits; *place != NULL;) {
        struct applied_wait *wait = *place;

        if (settle(stats, wait)) {
            *place = wait->next;
            free(wait);
        } else {
            again = RTE_MIN(again, applied_patience(now - wait->asked));
            place = &wait->next;
        }
    }
    return again;
}

/* ---- /stats/last ---- */

static void start_last(struct stats *stats)
{
    struct ns_store_counters counters;
    struct timespec now;

    ns_store_counters(stats->control->store, &counters);
    clock_gettime(CLOCK_REALTIME, &now);
    stats->last = (struct last_commit){
        .goal = applied_goal_now(stats->control),
        .open = true,
        .clock = counters.published_clock,
        .noticed = ns_loop_now(stats->control->loop),
        .time_us = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000,
    };
}

/* 0 where DPDK has not measured the clock: with names only there is nobody to wait for either. */
uint64_t applied_since(uint64_t clock)
{
    uint64_t hz = rte_get_tsc_hz();

    return hz == 0 ? 0 : (uint64_t)((double)(ns_clock() - clock) * 1e9 / (double)hz);
}

static uint64_t poll_last(struct stats *stats)
{
    struct last_commit *last = &stats->last;

    if (ns_store_version(stats->control->store)->number != last->goal.number)
        start_last(stats);
    if (!last->open)
        return UINT64_MAX;
    if (!reached(stats->control, &last->goal))
        return applied_patience(ns_loop_now(stats->control->loop) - last->noticed);
    last->open = false;
    last->applied_ns = applied_since(last->clock);
    return UINT64_MAX;
}

static void read_last(struct ns_query *query, const char *below, void *arg)
{
    const struct last_commit *last = &((struct stats *)arg)->last;

    if (*below == '\0')
        ns_query_answer(query, 0, "", 0);
    else if (strcmp(below, "number") == 0)
        ns_query_printf(query, "%" PRIu64, last->goal.number);
    else if (strcmp(below, "time") == 0)
        ns_query_printf(query, "%" PRIu64 ".%06" PRIu64, last->time_us / 1000000,
                        last->time_us % 1000000);
    else if (strcmp(below, "applied_us") == 0 && !last->open)
        ns_query_printf(query, "%.1f", (double)last->applied_ns / 1000);
    else if (strcmp(below, "applied_us") == 0)
        ns_query_answer(query, 0, "", 0);
    else
        ns_query_refuse(query, ENOENT, "there are number, time and applied_us below /stats/last");
}

static void list_last(struct ns_query *query, const char *below, void *arg)
{
    static const char names[] = "applied_us\0number\0time";

    (void)arg;
    ns_query_answer(query, 0, names, *below == '\0' ? sizeof(names) : 0);
}

/* ---- both ---- */

uint64_t stats_poll(struct stats *stats)
{
    uint64_t last = poll_last(stats), waits = poll_waits(stats), apply = apply_poll(stats);
    uint64_t trace = trace_poll(stats);

    return RTE_MIN(RTE_MIN(last, waits), RTE_MIN(apply, trace));
}

int stats_add_applied(struct stats *stats)
{
    int error = ns_stats_add(stats->names, "applied", read_applied, NULL, stats);

    return error == 0 ? ns_stats_add(stats->names, "last", read_last, list_last, stats) : error;
}

void stats_end_applied(struct stats *stats)
{
    while (stats->waits != NULL) {
        struct applied_wait *wait = stats->waits;

        stats->waits = wait->next;
        ns_query_refuse(wait->query, EAGAIN, "the daemon ends");
        free(wait);
    }
}
