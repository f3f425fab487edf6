/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * /stats/check/run: does everything that was derived agree with the names? Each worker goes through its flows
 * (flows/check.h), the control core through the records of all anchors, both in slices; the answer comes when
 * all have finished, as JSON.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/stats_json.h"
#include "dataplane/stats_p.h"

enum {
    ANCHORS_A_ROUND = 64, /* about 100 us */
    RECORD_FAULTS = 8,
    ANCHOR_NAME = 64,
    PAUSE_NS = 100000,
};

struct stats_check {
    struct ns_timer timer; /* first; the next slice of anchors */
    struct stats *stats;
    struct ns_query *query;
    struct ns_anchor *at; /* looked at last; pinned */
    uint64_t records, wrong_records;
    char faults[RECORD_FAULTS][ANCHOR_NAME];
    unsigned pending; /* workers, and the control core */
    bool busy;        /* a worker could not be asked */
    unsigned count;
    struct question questions[];
};

/* ---- the answer ---- */

static void write_faults(struct stats_json *json, const struct stats_check *check, unsigned lcore)
{
    const struct flow_check *found = &check->questions[lcore].check;

    for (unsigned i = 0; i < RTE_MIN(found->wrong, (uint64_t)CHECK_FAULTS); i++) {
        struct stats_json_mark mark = stats_json_mark(json);

        stats_json_open(json, NULL, '{');
        stats_json_number(json, "lcore", lcore);
        stats_write_key(json, check->stats, &found->faults[i].key);
        stats_json_text(json, "what", found->faults[i].what);
        stats_json_text(json, "bound", found->faults[i].bound);
        stats_json_text(json, "expected", found->faults[i].expected);
        stats_json_close(json, '}');
        if (json->full || json->size + 64 > json->room) {
            stats_json_reset(json, mark);
            return;
        }
    }
}

static void write_answer(struct stats_json *json, const struct stats_check *check)
{
    uint64_t flows = 0, pending = 0, wrong = 0;

    for (unsigned i = 0; i < check->count; i++) {
        flows += check->questions[i].check.flows;
        pending += check->questions[i].check.pending;
        wrong += check->questions[i].check.wrong;
    }
    stats_json_open(json, NULL, '{');
    stats_json_number(json, "flows", flows);
    stats_json_number(json, "pending", pending);
    stats_json_number(json, "wrong_flows", wrong);
    stats_json_number(json, "records", check->records);
    stats_json_number(json, "wrong_records", check->wrong_records);
    stats_json_open(json, "names", '[');
    for (unsigned i = 0; i < RTE_MIN(check->wrong_records, (uint64_t)RECORD_FAULTS); i++)
        stats_json_text(json, NULL, check->faults[i]);
    stats_json_close(json, ']');
    stats_json_open(json, "faults", '[');
    for (unsigned i = 0; i < check->count; i++)
        write_faults(json, check, i);
    stats_json_close(json, ']');
    stats_json_close(json, '}');
}

static void finish(struct stats_check *check)
{
    struct stats_json json;

    check->stats->check = NULL;
    stats_json_begin(&json);
    write_answer(&json, check);
    if (check->busy)
        ns_query_refuse(check->query, EAGAIN,
                        "a worker has too many orders to be asked; ask again");
    else
        ns_query_answer(check->query, json.full ? -E2BIG : 0, json.text, json.full ? 0 : json.size);
    free(check);
}

static void part_done(struct stats_check *check)
{
    if (--check->pending == 0)
        finish(check);
}

/* ---- records, on the control core ---- */

static void verify(struct stats_check *check, struct ns_anchor *anchor)
{
    if (anchor->ops == NULL || anchor->ops->compile == NULL)
        return;
    check->records++;
    if (ns_anchor_verify(anchor) != 0)
        return;
    if (check->wrong_records < RECORD_FAULTS)
        snprintf(check->faults[check->wrong_records], ANCHOR_NAME, "%s", anchor->path);
    check->wrong_records++;
}

/* The place is kept on an anchor with a record: a plain one may have to be replaced meanwhile. */
static void keep_place(struct stats_check *check, struct ns_anchor *at)
{
    struct ns_anchor *before = check->at;

    if (at != NULL)
        ns_anchor_pin(at);
    check->at = at;
    if (before != NULL)
        ns_anchor_unpin(before);
}

static void records_slice(struct ns_timer *timer)
{
    struct stats_check *check = (struct stats_check *)timer;
    struct ns_store *store = check->stats->control->store;
    struct ns_anchor *at = check->at, *keep = NULL;

    for (unsigned i = 0; i < ANCHORS_A_ROUND || keep == NULL; i++) {
        at = ns_anchor_next(store, at);
        if (at == NULL) {
            keep_place(check, NULL);
            part_done(check);
            return;
        }
        verify(check, at);
        if (at->ops != NULL)
            keep = at;
    }
    keep_place(check, at->ops != NULL ? at : keep);
    ns_timer_start(check->stats->control->loop, &check->timer, PAUSE_NS);
}

/* ---- flows, on the workers ---- */

static void answered(struct question *question, unsigned worker)
{
    (void)worker;
    part_done(question->arg);
}

static void ask_workers(struct stats_check *check)
{
    for (unsigned i = 0; i < check->count; i++) {
        struct question *question = &check->questions[i];
        struct order order = {.kind = ORDER_QUESTION, .question = question};

        *question = (struct question){.kind = QUESTION_CHECK, .answered = answered, .arg = check};
        if (worker_order(check->stats->control->workers.worker[i], &order) < 0) {
            check->busy = true;
            check->pending--;
        }
    }
}

static void read_check(struct ns_query *query, const char *below, void *arg)
{
    struct stats *stats = arg;
    unsigned count = stats->control->workers.count;
    struct stats_check *check;

    if (*below == '\0') {
        ns_query_answer(query, 0, "", 0);
        return;
    }
    if (strcmp(below, "run") != 0) {
        ns_query_refuse(query, ENOENT, "there is nothing below /stats/check but run");
        return;
    }
    if (stats->check != NULL) {
        ns_query_refuse(query, EAGAIN, "a check is under way; ask again");
        return;
    }
    check = calloc(1, sizeof(*check) + count * sizeof(check->questions[0]));
    if (check == NULL) {
        ns_query_answer(query, -ENOMEM, NULL, 0);
        return;
    }
    *check = (struct stats_check){.timer.fn = records_slice,
                                  .stats = stats,
                                  .query = query,
                                  .count = count,
                                  .pending = count + 1};
    stats->check = check;
    ask_workers(check);
    records_slice(&check->timer);
}

/* ---- registration ---- */

/* Who walks through /stats must not start one: it is asked for by one more name. */
int stats_add_check(struct stats *stats)
{
    return ns_stats_add(stats->names, "check", read_check, NULL, stats);
}

/* The workers have stopped. */
void stats_end_check(struct stats *stats)
{
    struct stats_check *check = stats->check;

    if (check == NULL)
        return;
    ns_timer_stop(stats->control->loop, &check->timer);
    keep_place(check, NULL);
    ns_query_refuse(check->query, EAGAIN, "the daemon ends");
    free(check);
}
