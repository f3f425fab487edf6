/* SPDX-License-Identifier: BSD-3-Clause */
/* /stats/moves: how many flows were told that they moved, by which link; and the newest of them, as JSON. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "dataplane/stats_json.h"
#include "dataplane/stats_p.h"

/* Sum of a counter over all workers. */
static uint64_t total(const struct stats *stats, int link)
{
    const struct workers *workers = &stats->control->workers;
    uint64_t sum = 0;

    for (unsigned i = 0; i < workers->count; i++) {
        const struct worker_moves *moves = moves_of(workers->worker[i]);

        if (moves != NULL)
            sum += __atomic_load_n(link < FLOW_LINKS ? &moves->told[link] : &moves->left_out,
                                   __ATOMIC_RELAXED);
    }
    return sum;
}

static const char *counter_name(int link)
{
    return link < FLOW_LINKS ? flow_link_name((enum flow_link)(1 << link)) : "left_out";
}

static void write_way(struct stats_json *json, const struct stats *stats, const char *key,
                      const struct adjacency *record)
{
    stats_json_open(json, key, '{');
    stats_write_record(json, stats, record);
    stats_json_close(json, '}');
}

/* false: it does not fit any more. */
static bool write_move(struct stats_json *json, const struct stats *stats, const struct move *move)
{
    struct stats_json_mark mark = stats_json_mark(json);

    stats_json_open(json, NULL, '{');
    stats_json_number(json, "number", move->number);
    stats_json_number(json, "time", move->time);
    stats_json_number(json, "lcore", move->worker);
    stats_write_key(json, stats, &move->key);
    stats_json_open(json, "moved", '[');
    for (unsigned left = move->moved; left != 0; left &= left - 1)
        stats_json_text(json, NULL, flow_link_name((enum flow_link)(left & -left)));
    stats_json_close(json, ']');
    write_way(json, stats, "from", &move->from);
    write_way(json, stats, "to", &move->to);
    stats_json_close(json, '}');
    if (!json->full && json->size + 1 <= json->room)
        return true;
    stats_json_reset(json, mark);
    return false;
}

/* Newest first: what does not fit is the oldest. */
static void answer_log(struct ns_query *query, const struct stats *stats)
{
    const struct move_history *history = &stats->control->moves;
    struct stats_json json;

    stats_json_begin(&json);
    json.room--; /* for the bracket */
    stats_json_open(&json, NULL, '[');
    for (unsigned i = 1; i <= MOVES_KEPT; i++) {
        const struct move *move = &history->kept[(history->next + MOVES_KEPT - i) % MOVES_KEPT];

        if (move->number == 0 || !write_move(&json, stats, move))
            break;
    }
    json.room++;
    stats_json_close(&json, ']');
    ns_query_answer(query, 0, json.text, json.size);
}

static void read_moves(struct ns_query *query, const char *below, void *arg)
{
    struct stats *stats = arg;

    if (*below == '\0') {
        ns_query_answer(query, 0, "", 0);
        return;
    }
    if (strcmp(below, "log") == 0) {
        answer_log(query, stats);
        return;
    }
    for (int link = 0; link <= FLOW_LINKS; link++) {
        if (strcmp(below, counter_name(link)) == 0) {
            ns_query_printf(query, "%" PRIu64, total(stats, link));
            return;
        }
    }
    ns_query_refuse(query, ENOENT, "there are the links of a flow, left_out and log below moves");
}

static void list_moves(struct ns_query *query, const char *below, void *arg)
{
    static const char names[] =
        "adjacency\0definition\0interface\0left_out\0neighbour\0port\0route\0station";

    (void)arg;
    ns_query_answer(query, 0, names, *below == '\0' ? sizeof(names) : 0);
}

int stats_add_moves(struct stats *stats)
{
    return ns_stats_add(stats->names, "moves", read_moves, list_moves, stats);
}
