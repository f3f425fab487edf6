/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who depends on what, anchor by anchor: /stats/anchors lists their names, /stats/anchor tells of one what it
 * is derived from, what is derived from it, and how many flows of each worker are bound to it. JSON.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "dataplane/stats_json.h"
#include "dataplane/stats_p.h"

enum {
    PARTS_A_PAGE = 1024,
    TAIL_ROOM = 96, /* for what follows the last name */
};

/* A list of names that may not fit. */
struct names {
    struct stats_json *json;
    size_t room;
    unsigned left_out;
};

static void write_name(struct ns_anchor *anchor, void *arg)
{
    struct names *names = arg;
    struct stats_json_mark mark = stats_json_mark(names->json);

    stats_json_text(names->json, NULL, anchor->path);
    if (!names->json->full && names->json->size <= names->room)
        return;
    stats_json_reset(names->json, mark);
    names->left_out++;
}

/* ---- /stats/anchors/CURSOR ---- */

static void count_bytes(struct ns_anchor *anchor, void *arg)
{
    *(size_t *)arg += 2 * anchor->path_size + 3;
}

/* Parts are written whole or not at all, so that the next page can begin with one. */
static void write_page(struct stats_json *json, struct ns_store *store, uint32_t *cursor)
{
    struct names names = {.json = json, .room = json->room - TAIL_ROOM};
    bool more = true;

    for (unsigned parts = 0; more && parts < PARTS_A_PAGE; parts++) {
        uint32_t ahead = *cursor;
        size_t bytes = 0;

        ns_anchors_part(store, &ahead, count_bytes, &bytes);
        if (bytes > 0 && json->size + bytes > names.room && json->size > 16)
            return;
        more = ns_anchors_part(store, cursor, write_name, &names);
    }
    if (!more)
        *cursor = UINT32_MAX;
}

static void read_anchors(struct ns_query *query, const char *below, void *arg)
{
    struct stats_json json;
    uint32_t cursor;
    int end = 0;

    (void)arg;
    if (*below == '\0') {
        ns_query_answer(query, 0, "", 0);
        return;
    }
    if (sscanf(below, "%" SCNu32 "%n", &cursor, &end) != 1 || below[end] != '\0') {
        ns_query_refuse(query, EINVAL,
                        "anchors are asked for as anchors/CURSOR, which is 0 at first");
        return;
    }
    stats_json_begin(&json);
    stats_json_open(&json, NULL, '{');
    stats_json_open(&json, "names", '[');
    write_page(&json, query->store, &cursor);
    stats_json_close(&json, ']');
    if (cursor != UINT32_MAX)
        stats_json_number(&json, "next", cursor);
    stats_json_close(&json, '}');
    ns_query_answer(query, json.full ? -E2BIG : 0, json.text, json.full ? 0 : json.size);
}

/* ---- /stats/anchor/PATH ---- */

static void write_flows(struct stats_json *json, const struct control *control,
                        const struct ns_anchor *anchor)
{
    stats_json_open(json, "flows", '[');
    for (unsigned i = 0; i < control->workers.count; i++)
        stats_json_number(json, NULL,
                          flow_table_bound(worker_table(control->workers.worker[i]), anchor));
    stats_json_close(json, ']');
}

static void write_anchor(struct stats_json *json, const struct control *control,
                         struct ns_anchor *anchor)
{
    struct names from = {.json = json, .room = json->room * 2 / 3};
    struct names to = {.json = json, .room = json->room - TAIL_ROOM};
    struct ns_dependents dependents = {.watches = 0};

    stats_json_open(json, NULL, '{');
    stats_json_text(json, "kind", anchor->ops != NULL ? anchor->ops->kind : "name");
    stats_json_number(json, "version", ns_anchor_version(anchor));
    write_flows(json, control, anchor);
    stats_json_open(json, "from", '[');
    ns_anchor_sources(anchor, write_name, &from);
    stats_json_close(json, ']');
    stats_json_open(json, "to", '[');
    ns_anchor_dependents(anchor, &dependents, write_name, &to);
    stats_json_close(json, ']');
    stats_json_number(json, "watches", dependents.watches);
    if (from.left_out + to.left_out > 0)
        stats_json_number(json, "left_out", from.left_out + to.left_out);
    stats_json_close(json, '}');
}

static void read_anchor(struct ns_query *query, const char *below, void *arg)
{
    const struct stats *stats = arg;
    struct ns_anchor *anchor;
    struct stats_json json;

    if (*below == '\0') {
        ns_query_answer(query, 0, "", 0);
        return;
    }
    /* The path asked for follows /stats/anchor, and begins with '/' itself. */
    anchor = ns_anchor_find(query->store, below - 1);
    if (anchor == NULL) {
        ns_query_refuse(query, ENOENT, "nobody depends on %s", below - 1);
        return;
    }
    stats_json_begin(&json);
    write_anchor(&json, stats->control, anchor);
    ns_query_answer(query, json.full ? -E2BIG : 0, json.text, json.full ? 0 : json.size);
}

int stats_add_anchors(struct stats *stats)
{
    int error = ns_stats_add(stats->names, "anchors", read_anchors, NULL, stats);

    return error == 0 ? ns_stats_add(stats->names, "anchor", read_anchor, NULL, stats) : error;
}
