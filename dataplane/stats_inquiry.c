/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a flow's decision was derived from (/stats/why), which flows there are (/stats/flows), and
 * who depends on a name (/stats/dependents): JSON.
 *
 * Flows belong to their lcores, so workers are asked and the answer comes later; the loop goes on.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/flow_text.h"
#include "dataplane/stats_json.h"
#include "dataplane/stats_p.h"
#include "flows/route.h"

enum {
    FLOWS_A_PAGE = 8,
    DERIVED_MAX = 1024,
    SUMMARY_MAX = 640, /* bytes of what follows the list of derived names */
};

/* A query that waits for workers. */
struct inquiry {
    struct inquiry *next;
    struct stats *stats;
    struct ns_query *query;
    unsigned pending, count;
    bool busy; /* a worker could not be asked */
    void (*finish)(struct inquiry *inquiry);
    unsigned worker[WORKERS_MAX]; /* whom question i went to */
    struct question questions[];
};

static const struct links *links_now(const struct stats *stats)
{
    const struct control *control = stats->control;

    return links_of(ns_store_version(control->store), links_slot(control->modules.links));
}

/* ---- one flow ---- */

static void write_routed_key(struct stats_json *json, const struct stats *stats,
                             const union flow_key *key)
{
    char src[16], dst[16], proto[8];
    const char *iface = NULL;

    stats_json_text(json, "src", link_format_ipv4(key->src, src));
    stats_json_text(json, "dst", link_format_ipv4(key->dst, dst));
    stats_json_text(json, "proto", flow_proto_name(key->proto, proto));
    stats_json_number(json, "sport", rte_be_to_cpu_16(key->sport));
    stats_json_number(json, "dport", rte_be_to_cpu_16(key->dport));
    if ((key->scope & FLOW_SCOPE_LOCAL) == 0)
        iface = links_iface_name(stats->control->modules.links, key->scope);
    if (iface != NULL)
        stats_json_text(json, "iface", iface);
}

static void write_bridged_key(struct stats_json *json, const struct stats *stats,
                              const union flow_key *key)
{
    const struct link_bridge *bridge = links_bridge_by_id(links_now(stats), key->bridge);
    char mac[18];

    if (bridge != NULL)
        stats_json_text(json, "bridge", bridge->name);
    stats_json_text(json, "mac", link_format_mac(&key->mac, mac));
}

void stats_write_key(struct stats_json *json, const struct stats *stats, const union flow_key *key)
{
    if (key->kind == FLOW_BRIDGED)
        write_bridged_key(json, stats, key);
    else
        write_routed_key(json, stats, key);
}

/* Where its packets go now. */
void stats_write_record(struct stats_json *json, const struct stats *stats,
                        const struct adjacency *record)
{
    const struct links *links = links_now(stats);
    char text[18];

    stats_json_text(json, "action", adjacency_kind_name((enum adjacency_kind)record->kind));
    if ((record->kind == ADJACENCY_FORWARD || record->kind == ADJACENCY_BRIDGED) &&
        record->port < LINK_PORTS_MAX && links->by_port_id[record->port] != LINK_NO_ID)
        stats_json_text(json, "port", links->ports[links->by_port_id[record->port]].name);
    if (record->next_hop != 0)
        stats_json_text(json, "next_hop", link_format_ipv4(record->next_hop, text));
    if (record->header_size >= RTE_ETHER_HDR_LEN) {
        struct rte_ether_addr to;

        memcpy(&to, record->header, sizeof(to));
        stats_json_text(json, "mac_to", link_format_mac(&to, text));
    }
}

static void write_flow(struct stats_json *json, const struct stats *stats, unsigned lcore,
                       const struct flow_origin *origin)
{
    uint64_t now = ns_loop_now(stats->control->loop) / 1000000000;

    stats_json_number(json, "lcore", lcore);
    stats_write_key(json, stats, &origin->key);
    stats_json_number(json, "packets", origin->packets);
    stats_json_number(json, "bytes", origin->bytes);
    stats_json_number(json, "idle", now > origin->used ? now - origin->used : 0);
    stats_write_record(json, stats, &origin->record);
}

/* ---- asking ---- */

static void unlink_inquiry(struct inquiry *inquiry)
{
    struct inquiry **place = &inquiry->stats->inquiries;

    while (*place != inquiry)
        place = &(*place)->next;
    *place = inquiry->next;
}

static void finish(struct inquiry *inquiry)
{
    unlink_inquiry(inquiry);
    if (inquiry->busy)
        ns_query_refuse(inquiry->query, EAGAIN,
                        "a worker has too many orders to be asked; ask again");
    else
        inquiry->finish(inquiry);
    free(inquiry);
}

static void answered(struct question *question, unsigned worker)
{
    struct inquiry *inquiry = question->arg;

    (void)worker;
    if (--inquiry->pending == 0)
        finish(inquiry);
}

/* Send the same question to `count` workers beginning with `first`. finish answers the query when
 * all of them have answered. */
static void ask(struct stats *stats, struct ns_query *query, const struct question *question,
                unsigned first, unsigned count, void (*done)(struct inquiry *inquiry))
{
    struct inquiry *inquiry = calloc(1, sizeof(*inquiry) + count * sizeof(inquiry->questions[0]));

    if (inquiry == NULL) {
        ns_query_answer(query, -ENOMEM, NULL, 0);
        return;
    }
    *inquiry = (struct inquiry){.next = stats->inquiries,
                                .stats = stats,
                                .query = query,
                                .count = count,
                                .pending = count + 1,
                                .finish = done};
    stats->inquiries = inquiry;
    for (unsigned i = 0; i < count; i++) {
        struct order order = {.kind = ORDER_QUESTION, .question = &inquiry->questions[i]};

        inquiry->worker[i] = first + i;
        inquiry->questions[i] = *question;
        inquiry->questions[i].answered = answered;
        inquiry->questions[i].arg = inquiry;
        if (worker_order(stats->control->workers.worker[first + i], &order) < 0) {
            inquiry->busy = true;
            inquiry->pending--;
        }
    }
    if (--inquiry->pending == 0)
        finish(inquiry);
}

/* ---- /stats/why/KEY ---- */

static void write_name(struct stats_json *json, const char *name, uint64_t version)
{
    stats_json_open(json, NULL, '{');
    stats_json_text(json, "name", name);
    stats_json_number(json, "version", version);
    stats_json_close(json, '}');
}

struct derivation {
    struct stats_json *json;
    const struct flow_origin *origin;
};

static void write_source(struct ns_anchor *source, void *arg)
{
    const struct derivation *derivation = arg;

    if (strcmp(source->path, derivation->origin->route) != 0) /* which stands there already */
        write_name(derivation->json, source->path, ns_anchor_version(source));
}

/* All names that the decision came from: definition, route, and those that the adjacency was
 * compiled from. */
static void write_derivation(struct stats_json *json, const struct stats *stats,
                             const struct flow_origin *origin)
{
    struct derivation derivation = {json, origin};
    struct ns_anchor *adjacency = origin->adjacency[0] == '/'
                                      ? ns_anchor_find(stats->control->store, origin->adjacency)
                                      : NULL;

    stats_json_number(json, "decided", origin->bound_version);
    stats_json_number(json, "compiled", origin->record.version);
    stats_json_open(json, "from", '[');
    if (origin->definition[0] != '\0')
        write_name(json, origin->definition, origin->definition_version);
    if (origin->route[0] != '\0')
        write_name(json, origin->route, origin->route_version);
    if (origin->adjacency[0] != '\0')
        write_name(json, origin->adjacency, origin->adjacency_version);
    if (adjacency != NULL)
        ns_anchor_sources(adjacency, write_source, &derivation);
    stats_json_close(json, ']');
}

/* One flow, or nothing if it does not fit. */
static bool write_why(struct stats_json *json, const struct stats *stats, unsigned lcore,
                      const struct flow_origin *origin)
{
    struct stats_json_mark mark = stats_json_mark(json);

    stats_json_open(json, NULL, '{');
    write_flow(json, stats, lcore, origin);
    write_derivation(json, stats, origin);
    stats_json_close(json, '}');
    if (!json->full && json->size + 1 <= json->room)
        return true;
    stats_json_reset(json, mark);
    return false;
}

static void answer_why(struct inquiry *inquiry)
{
    struct stats_json json;
    unsigned found = 0;

    stats_json_begin(&json);
    json.room--; /* for the bracket */
    stats_json_open(&json, NULL, '[');
    for (unsigned i = 0; i < inquiry->count; i++) {
        const struct question *question = &inquiry->questions[i];

        for (unsigned j = 0; j < question->count; j++)
            found += write_why(&json, inquiry->stats, inquiry->worker[i], &question->origins[j]);
    }
    json.room++;
    stats_json_close(&json, ']');
    if (found > 0)
        ns_query_answer(inquiry->query, 0, json.text, json.size);
    else
        ns_query_refuse(
            inquiry->query, ENOENT,
            "no such flow is known; one is known from its first packet until it is idle");
}

static void read_why(struct ns_query *query, const char *below, void *arg)
{
    struct stats *stats = arg;
    struct question question = {.kind = QUESTION_ORIGIN};
    char why[256];

    if (*below == '\0')
        ns_query_answer(query, 0, "", 0);
    else if (stats->control->workers.count == 0)
        ns_query_refuse(query, ENOENT, "there are no workers, and no flows");
    else if (flow_parse_key(links_now(stats), below, &question.key, why, sizeof(why)) < 0)
        ns_query_refuse(query, EINVAL, "%s", why);
    else
        ask(stats, query, &question, 0, stats->control->workers.count, answer_why);
}

/* ---- /stats/flows/LCORE/CURSOR ---- */

static void answer_flows(struct inquiry *inquiry)
{
    const struct question *question = &inquiry->questions[0];
    struct stats_json json;

    stats_json_begin(&json);
    stats_json_open(&json, NULL, '{');
    stats_json_open(&json, "flows", '[');
    for (unsigned i = 0; i < question->count; i++) {
        stats_json_open(&json, NULL, '{');
        write_flow(&json, inquiry->stats, inquiry->worker[0], &question->origins[i]);
        stats_json_close(&json, '}');
    }
    stats_json_close(&json, ']');
    if (question->cursor != UINT32_MAX)
        stats_json_number(&json, "next", question->cursor);
    stats_json_close(&json, '}');
    if (json.full) /* can't be: FLOWS_A_PAGE flows of the greatest size fit */
        ns_query_answer(inquiry->query, -E2BIG, NULL, 0);
    else
        ns_query_answer(inquiry->query, 0, json.text, json.size);
}

static void read_flows(struct ns_query *query, const char *below, void *arg)
{
    struct stats *stats = arg;
    struct question question = {.kind = QUESTION_FLOWS, .limit = FLOWS_A_PAGE};
    unsigned lcore;
    int end = 0;

    if (*below == '\0')
        ns_query_answer(query, 0, "", 0);
    else if (sscanf(below, "%u/%" SCNu32 "%n", &lcore, &question.cursor, &end) != 2 ||
             below[end] != '\0')
        ns_query_refuse(query, EINVAL,
                        "flows are asked for as flows/LCORE/CURSOR, and CURSOR is 0 at first");
    else if (lcore >= stats->control->workers.count)
        ns_query_refuse(query, ENOENT, "there is no worker %u", lcore);
    else
        ask(stats, query, &question, lcore, 1, answer_flows);
}

/* ---- /stats/dependents/PATH ---- */

struct dependents {
    struct stats *stats;
    struct stats_json *json;
    uint64_t direct[WORKERS_MAX], derived[WORKERS_MAX]; /* flows */
    unsigned count, left_out;
    const struct ns_anchor *seen[DERIVED_MAX]; /* by one way or another */
};

static uint64_t count_flows(const struct dependents *dependents, const struct ns_anchor *anchor,
                            uint64_t *flows)
{
    const struct workers *workers = &dependents->stats->control->workers;
    uint64_t sum = 0;

    for (unsigned i = 0; i < workers->count; i++) {
        uint32_t bound = flow_table_bound(worker_table(workers->worker[i]), anchor);

        flows[i] += bound;
        sum += bound;
    }
    return sum;
}

/* False: it was there before, or there is no room to remember it. */
static bool is_new(struct dependents *dependents, const struct ns_anchor *anchor)
{
    if (dependents->count == DERIVED_MAX) {
        dependents->left_out++;
        return false;
    }
    for (unsigned i = 0; i < dependents->count; i++)
        if (dependents->seen[i] == anchor)
            return false;
    dependents->seen[dependents->count++] = anchor;
    return true;
}

/* A derived anchor, and what is derived from that. Nothing is derived from itself, and ranks bound
 * the depth. */
static void write_derived(struct ns_anchor *anchor, void *arg)
{
    struct dependents *dependents = arg;
    struct stats_json *json = dependents->json;
    struct stats_json_mark mark = stats_json_mark(json);
    struct ns_dependents more;

    if (!is_new(dependents, anchor))
        return;
    stats_json_open(json, NULL, '{');
    stats_json_text(json, "name", anchor->path);
    stats_json_text(json, "kind", anchor->ops != NULL ? anchor->ops->kind : "name");
    stats_json_number(json, "version", ns_anchor_version(anchor));
    stats_json_number(json, "flows", count_flows(dependents, anchor, dependents->derived));
    stats_json_close(json, '}');
    if (json->full || json->size + SUMMARY_MAX > json->room) {
        stats_json_reset(json, mark);
        dependents->left_out++;
    }
    ns_anchor_dependents(anchor, &more, write_derived, dependents);
}

/* Flows that are bound to the name itself are as a rule bound to what is derived from it too. */
static void write_flows(const struct dependents *dependents)
{
    uint64_t sum = 0;

    stats_json_open(dependents->json, "lcores", '[');
    for (unsigned i = 0; i < dependents->stats->control->workers.count; i++) {
        uint64_t flows = RTE_MAX(dependents->direct[i], dependents->derived[i]);

        sum += flows;
        stats_json_number(dependents->json, NULL, flows);
    }
    stats_json_close(dependents->json, ']');
    stats_json_number(dependents->json, "flows", sum);
}

static void write_dependents(struct dependents *dependents, struct ns_anchor *anchor)
{
    struct ns_dependents direct = {.watches = 0};

    stats_json_open(dependents->json, NULL, '{');
    stats_json_open(dependents->json, "derived", '[');
    if (anchor != NULL) {
        count_flows(dependents, anchor, dependents->direct);
        ns_anchor_dependents(anchor, &direct, write_derived, dependents);
    }
    stats_json_close(dependents->json, ']');
    if (dependents->left_out > 0)
        stats_json_number(dependents->json, "left_out", dependents->left_out);
    stats_json_number(dependents->json, "watches", direct.watches);
    write_flows(dependents);
    stats_json_number(dependents->json, "version", anchor != NULL ? ns_anchor_version(anchor) : 0);
    stats_json_close(dependents->json, '}');
}

static void read_dependents(struct ns_query *query, const char *below, void *arg)
{
    struct stats_json json;
    struct dependents dependents = {.stats = arg, .json = &json};

    if (*below == '\0') {
        ns_query_answer(query, 0, "", 0);
        return;
    }
    stats_json_begin(&json);
    /* The path asked for follows /stats/dependents, and begins with '/' itself. */
    write_dependents(&dependents, ns_anchor_find(query->store, below - 1));
    ns_query_answer(query, json.full ? -E2BIG : 0, json.text, json.full ? 0 : json.size);
}

/* ---- registration ---- */

int stats_add_inquiries(struct stats *stats)
{
    int error = ns_stats_add(stats->names, "why", read_why, NULL, stats);

    if (error == 0)
        error = ns_stats_add(stats->names, "flows", read_flows, NULL, stats);
    return error == 0 ? ns_stats_add(stats->names, "dependents", read_dependents, NULL, stats)
                      : error;
}

/* The workers have stopped: nobody will answer any more. */
void stats_end_inquiries(struct stats *stats)
{
    while (stats->inquiries != NULL) {
        struct inquiry *inquiry = stats->inquiries;

        stats->inquiries = inquiry->next;
        ns_query_refuse(inquiry->query, EAGAIN, "the daemon ends");
        free(inquiry);
    }
}
