/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inside of the stats; for stats*.c only.
 *
 *   stats.c            numbers: of the daemon, the store, lcores, ports, flow definitions
 *   stats_applied.c    /stats/applied and /stats/last
 *   stats_json.c       writing JSON
 *   stats_inquiry.c    what takes an answer of the workers, or names others: why, flows, dependents
 *
 * Thread safety: the control core only.
 */
#ifndef KEDGE_DATAPLANE_STATS_P_H
#define KEDGE_DATAPLANE_STATS_P_H

#include "dataplane/control.h"
#include "dataplane/stats.h"

/* What has to be reached for a commit to be applied: its number is seen, and of the notices that
 * each lcore had got when it was asked, all are dealt with. */
struct applied_goal {
    uint64_t number;
    uint64_t notified[WORKERS_MAX];
};

struct applied_wait {
    struct applied_wait *next;
    struct ns_query *query;
    struct applied_goal goal;
    uint64_t asked; /* on the loop's clock */
};

/* The newest commit. */
struct last_commit {
    struct applied_goal goal;
    bool open;           /* not applied yet */
    uint64_t clock;      /* ns_clock() when it was published */
    uint64_t noticed;    /* on the loop's clock */
    uint64_t time_us;    /* since the epoch */
    uint64_t applied_ns; /* from publishing until it was seen to be applied; 0: it isn't yet */
};

struct inquiry;

struct stats {
    struct control *control;
    struct ns_stats *names;
    uint64_t started; /* on the loop's clock */
    bool ready;
    struct applied_wait *waits;
    struct last_commit last;
    struct inquiry *inquiries; /* that wait for workers */
};

/* Each registers its names. 0 or as ns_stats_add(). */
int stats_add_applied(struct stats *stats);
int stats_add_inquiries(struct stats *stats);

/* Refuse what waits. */
void stats_end_applied(struct stats *stats);
void stats_end_inquiries(struct stats *stats);

#endif
