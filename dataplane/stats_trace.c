/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * /stats/trace/PATH: follow the next commit that changes a name through to the packets.
 *
 * Armed: each worker is told to take stamps; when all have answered, /stats/trace says so. Then the commit comes
 * (nameserv/trace.h), and each worker that has dependents notes what it does with it (dataplane/trace.h). The
 * query is answered when all of them have sent a packet by it, or PATIENCE after the commit; or after PATIENCE_MOST
 * if no commit comes. There is one trace at a time.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>

#include "dataplane/flow_text.h"
#include "dataplane/stats_json.h"
#include "dataplane/stats_p.h"
#include "dataplane/trace.h"
#include "nameserv/trace.h"

#define MS            UINT64_C(1000000)
#define PATIENCE      (1000 * MS)
#define PATIENCE_MOST (60000 * MS)

/* A worker that has not yet taken the order that ended the trace before sees no commit, and resets its slot when
 * it takes the next one. */
struct trace {
    struct worker_trace slots[WORKERS_MAX];
    struct ns_trace commit;
    struct ns_query *query; /* NULL: nothing is followed */
    char path[NS_PATH_MAX + 1];
    uint64_t asked, came; /* on the loop's clock; when the commit was noticed, 0: not yet */
};

static bool is_armed(const struct stats *stats)
{
    const struct trace *trace = stats->trace;

    for (unsigned i = 0; i < stats->control->workers.count; i++)
        if (atomic_load_explicit(&trace->slots[i].armed, memory_order_acquire) == 0)
            return false;
    return true;
}

/* Before the commit is published: a worker that sees the change knows which one it is. */
static void publishing(struct ns_trace *commit)
{
    struct stats *stats = commit->arg;

    for (unsigned i = 0; i < stats->control->workers.count; i++)
        atomic_store_explicit(&stats->trace->slots[i].number, commit->number, memory_order_release);
}

/* False: a worker has too many orders. */
static bool order_all(struct stats *stats, bool arm)
{
    for (unsigned i = 0; i < stats->control->workers.count; i++) {
        struct order order = {.kind = ORDER_TRACE, .trace = arm ? &stats->trace->slots[i] : NULL};

        if (worker_order(stats->control->workers.worker[i], &order) < 0)
            return false;
    }
    return true;
}

static void end(struct stats *stats)
{
    ns_store_trace(stats->control->store, NULL);
    order_all(stats, false);
    stats->trace->query = NULL;
}

/* ---- the answer ---- */

static uint64_t ns_after(uint64_t began, uint64_t stamp)
{
    uint64_t hz = rte_get_tsc_hz();

    return hz == 0 || stamp < began ? 0 : (uint64_t)((double)(stamp - began) * 1e9 / (double)hz);
}

static void write_time(struct stats_json *json, const struct trace *trace, const char *name,
                       uint64_t stamp)
{
    if (stamp != 0)
        stats_json_number(json, name, ns_after(trace->commit.began, stamp));
}

static void write_key(struct stats_json *json, const struct stats *stats, const union flow_key *key)
{
    const struct links *links = links_of(ns_store_version(stats->control->store),
                                         links_slot(stats->control->modules.links));
    char src[16], dst[16], mac[18], proto[8], text[160];

    if (key->kind == FLOW_BRIDGED) {
        const struct link_bridge *bridge = links_bridge_by_id(links, key->bridge);

        snprintf(text, sizeof(text), "bridge=%s,mac=%s", bridge != NULL ? bridge->name : "",
                 link_format_mac(&key->mac, mac));
    } else {
        snprintf(text, sizeof(text), "src=%s,dst=%s,proto=%s,sport=%u,dport=%u",
                 link_format_ipv4(key->src, src), link_format_ipv4(key->dst, dst),
                 flow_proto_name(key->proto, proto), rte_be_to_cpu_16(key->sport),
                 rte_be_to_cpu_16(key->dport));
    }
    stats_json_text(json, "flow", text);
}

static void write_worker(struct stats_json *json, const struct stats *stats, unsigned worker)
{
    const struct trace *trace = stats->trace;
    const struct worker_trace *slot = &trace->slots[worker];
    uint64_t packet = atomic_load_explicit(&slot->packet, memory_order_acquire);
    bool told = trace->commit.lcores >> worker & 1;

    stats_json_open(json, NULL, '{');
    stats_json_number(json, "lcore", worker);
    stats_json_number(json, "told", told);
    write_time(json, trace, "seen_ns", atomic_load(&slot->seen));
    if (told) {
        write_time(json, trace, "notice_ns", atomic_load(&slot->noticed));
        write_time(json, trace, "applied_ns", atomic_load(&slot->applied));
        stats_json_number(json, "flows", atomic_load(&slot->flows));
        write_time(json, trace, "packet_ns", packet);
    }
    if (told && packet != 0)
        write_key(json, stats, &slot->key);
    stats_json_close(json, '}');
}

static void answer(struct stats *stats)
{
    const struct trace *trace = stats->trace;
    struct stats_json json;

    stats_json_begin(&json);
    stats_json_open(&json, NULL, '{');
    stats_json_number(&json, "number", trace->commit.number);
    write_time(&json, trace, "published_ns", trace->commit.published);
    write_time(&json, trace, "notices_ns", trace->commit.notified);
    stats_json_open(&json, "lcores", '[');
    for (unsigned i = 0; i < stats->control->workers.count; i++)
        write_worker(&json, stats, i);
    stats_json_close(&json, ']');
    stats_json_close(&json, '}');
    ns_query_answer(trace->query, json.full ? -E2BIG : 0, json.text, json.full ? 0 : json.size);
    end(stats);
}

/* ---- waiting ---- */

/* All that have dependents have told them, and sent a packet. */
static bool is_through(const struct stats *stats)
{
    const struct trace *trace = stats->trace;

    for (unsigned i = 0; i < stats->control->workers.count; i++)
        if ((trace->commit.lcores >> i & 1) && (atomic_load(&trace->slots[i].applied) == 0 ||
                                                atomic_load(&trace->slots[i].packet) == 0))
            return false;
    return true;
}

uint64_t trace_poll(struct stats *stats)
{
    struct trace *trace = stats->trace;
    uint64_t now = ns_loop_now(stats->control->loop);

    if (trace == NULL || trace->query == NULL)
        return UINT64_MAX;
    if (trace->commit.number == 0) {
        if (now - trace->asked < PATIENCE_MOST)
            return 500 * MS;
        ns_query_refuse(trace->query, EAGAIN, "%s has not changed within 60 s", trace->path);
        end(stats);
        return UINT64_MAX;
    }
    if (trace->came == 0)
        trace->came = now;
    if (!is_through(stats) && now - trace->came < PATIENCE)
        return MS;
    answer(stats);
    return UINT64_MAX;
}

/* ---- asking ---- */

static void start(struct stats *stats, struct ns_query *query, const char *path)
{
    struct trace *trace = stats->trace;

    snprintf(trace->path, sizeof(trace->path), "%s", path);
    for (unsigned i = 0; i < WORKERS_MAX; i++)
        trace->slots[i].number = trace->slots[i].armed = 0;
    trace->commit = (struct ns_trace){.path = trace->path, .publishing = publishing, .arg = stats};
    trace->asked = ns_loop_now(stats->control->loop);
    trace->came = 0;
    trace->query = query;
    ns_store_trace(stats->control->store, &trace->commit);
    if (order_all(stats, true))
        return;
    ns_query_refuse(query, EAGAIN, "a worker has too many orders to be asked; ask again");
    end(stats);
}

/* Made when it is first asked for; it stays, because workers may still know of it. */
static bool has_room(struct stats *stats)
{
    if (stats->trace != NULL)
        return true;
    stats->trace = aligned_alloc(NS_CACHE_LINE, sizeof(*stats->trace));
    if (stats->trace != NULL)
        memset(stats->trace, 0, sizeof(*stats->trace));
    return stats->trace != NULL;
}

static const char *state_of(const struct stats *stats)
{
    if (stats->trace == NULL || stats->trace->query == NULL)
        return "idle";
    return is_armed(stats) ? "armed" : "arming";
}

static void read_trace(struct ns_query *query, const char *below, void *arg)
{
    struct stats *stats = arg;

    if (*below == '\0') {
        ns_query_printf(query, "%s", state_of(stats));
        return;
    }
    if (stats->trace != NULL && stats->trace->query != NULL) {
        ns_query_refuse(query, EBUSY, "a change of %s is being waited for; one at a time",
                        stats->trace->path);
        return;
    }
    if (!has_room(stats)) {
        ns_query_answer(query, -ENOMEM, NULL, 0);
        return;
    }
    /* The path asked for follows /stats/trace, and begins with '/' itself. */
    start(stats, query, below - 1);
}

int stats_add_trace(struct stats *stats)
{
    return ns_stats_add(stats->names, "trace", read_trace, NULL, stats);
}

void stats_end_trace(struct stats *stats)
{
    if (stats->trace != NULL && stats->trace->query != NULL) {
        ns_store_trace(stats->control->store, NULL);
        ns_query_refuse(stats->trace->query, EAGAIN, "the daemon ends");
    }
    free(stats->trace);
}
