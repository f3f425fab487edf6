/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inside of the stats; for stats*.c only.
 *
 *   stats.c            numbers: of the daemon, the store, lcores, ports, flow definitions
 *   stats_applied.c    /stats/applied and /stats/last
 *   stats_json.c       writing JSON
 *   stats_anchors.c    who depends on what, anchor by anchor
 *   stats_apply.c      how long commits took to be applied, and by whom
 *   stats_trace.c      one commit followed through
 *   stats_check.c      /stats/check
 *   stats_moves.c      /stats/moves
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

/* Times by their size: eight classes to a power of two. */
enum { APPLY_CLASSES = 8, APPLY_BITS = 40, APPLY_BUCKETS = APPLY_CLASSES * APPLY_BITS };

/* Commits whose way to the workers was measured: one at a time, so in a storm only some. */
struct apply {
    struct applied_goal goal;
    bool open;
    uint64_t clock;   /* ns_clock() when it was published */
    uint64_t noticed; /* on the loop's clock */
    uint64_t arrived; /* mask of workers */
    uint64_t count, max_ns, buckets[APPLY_BUCKETS];
    struct {
        uint64_t count, sum_ns;
        uint64_t slowest; /* how often it was the last */
    } workers[WORKERS_MAX];
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
struct trace;
struct stats_check;

struct stats {
    struct control *control;
    struct ns_stats *names;
    uint64_t started; /* on the loop's clock */
    bool ready;
    struct applied_wait *waits;
    struct last_commit last;
    struct apply apply;
    struct inquiry *inquiries; /* that wait for workers */
    struct trace *trace;
    struct stats_check *check; /* under way, or NULL */
};

/* A flow's key as members of an object. */
struct stats_json;
void stats_write_key(struct stats_json *json, const struct stats *stats, const union flow_key *key);
/* And where packets of such a record go. */
void stats_write_record(struct stats_json *json, const struct stats *stats,
                        const struct adjacency *record);

/* Each registers its names. 0 or as ns_stats_add(). */
int stats_add_applied(struct stats *stats);
int stats_add_inquiries(struct stats *stats);
int stats_add_anchors(struct stats *stats);
int stats_add_apply(struct stats *stats);
int stats_add_trace(struct stats *stats);

/* What has to be reached now; has this worker? */
struct applied_goal applied_goal_now(const struct control *control);
bool applied_lags(const struct control *control, const struct applied_goal *goal, unsigned worker);

/* Nanoseconds since a reading of ns_clock(); 0 where DPDK has not measured it. */
uint64_t applied_since(uint64_t clock);

/* How soon to look again at what has been waited for so long (nanoseconds). */
uint64_t applied_patience(uint64_t waited);

/* Part of stats_poll(). */
uint64_t apply_poll(struct stats *stats);
uint64_t trace_poll(struct stats *stats);
int stats_add_check(struct stats *stats);
int stats_add_moves(struct stats *stats);

/* Refuse what waits. */
void stats_end_applied(struct stats *stats);
void stats_end_inquiries(struct stats *stats);
void stats_end_trace(struct stats *stats);
void stats_end_check(struct stats *stats);

#endif
