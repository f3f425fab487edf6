/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Numbers below /stats. Each group of counters is made anew for each reading, as a sorted array of
 * names and values, out of tables that say where in a structure a counter stands.
 */
#include "dataplane/stats.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>

#include "arp/counter_names.h"
#include "dataplane/stats_p.h"

enum { GROUP_MAX = 96, GROUP_NAME = 40 };

/* Where a 64-bit counter stands in its structure. */
struct field {
    const char *name;
    size_t offset;
};
#define FIELD(type, member)                    \
    {                                          \
#member, offsetof(struct type, member) \
    }

/* Counters with their names, to be sorted and answered. */
struct group {
    struct counter_name counters[GROUP_MAX];
    char names[GROUP_MAX][GROUP_NAME];
    size_t count;
};

static void add(struct group *group, const char *directory, const char *name, uint64_t value)
{
    char *text = group->names[group->count];

    if (group->count == GROUP_MAX)
        return;
    snprintf(text, GROUP_NAME, "%s%s", directory, name);
    group->counters[group->count++] = (struct counter_name){text, value};
}

/* Counters of another thread are read as they are: each is written whole. */
static void add_fields(struct group *group, const char *directory, const struct field *fields,
                       size_t count, const void *structure)
{
    for (size_t i = 0; i < count; i++) {
        const uint64_t *counter = (const uint64_t *)((const char *)structure + fields[i].offset);

        add(group, directory, fields[i].name, __atomic_load_n(counter, __ATOMIC_RELAXED));
    }
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct counter_name *)a)->name, ((const struct counter_name *)b)->name);
}

static void answer_group(struct ns_query *query, struct group *group, const char *below, bool list)
{
    qsort(group->counters, group->count, sizeof(group->counters[0]), by_name);
    if (list)
        counter_names_list(query, below, group->counters, group->count);
    else if (*below == '\0')
        ns_query_answer(query, 0, "", 0);
    else
        counter_names_read(query, below, group->counters, group->count);
}

static void refuse(struct ns_query *query, const char *what)
{
    ns_query_refuse(query, ENOENT, "%s: %s", query->path, what);
}

/* ---- the daemon ---- */

static void read_version(struct ns_query *query, const char *below, void *arg)
{
    (void)below, (void)arg;
    ns_query_printf(query, "%s", KEDGE_VERSION);
}

static void read_uptime(struct ns_query *query, const char *below, void *arg)
{
    const struct stats *stats = arg;

    (void)below;
    ns_query_printf(query, "%" PRIu64,
                    (ns_loop_now(stats->control->loop) - stats->started) / 1000000000);
}

static void read_ready(struct ns_query *query, const char *below, void *arg)
{
    const struct stats *stats = arg;

    (void)below;
    ns_query_printf(query, "%d", stats->ready);
}

static void read_hz(struct ns_query *query, const char *below, void *arg)
{
    (void)below, (void)arg;
    ns_query_printf(query, "%" PRIu64, rte_get_tsc_hz());
}

/* ---- store, control core, packets ---- */

static const struct field store_fields[] = {
    FIELD(ns_store_counters, commits),           FIELD(ns_store_counters, publications),
    FIELD(ns_store_counters, conflicts),         FIELD(ns_store_counters, refusals),
    FIELD(ns_store_counters, notices),           FIELD(ns_store_counters, notices_coalesced),
    FIELD(ns_store_counters, records_compiled),  FIELD(ns_store_counters, records_same),
    FIELD(ns_store_counters, anchors),           FIELD(ns_store_counters, anchors_forgotten),
    FIELD(ns_store_counters, watch_events),      FIELD(ns_store_counters, watch_steps),
    FIELD(ns_store_counters, transactions_open), FIELD(ns_store_counters, transactions_expired),
    FIELD(ns_store_counters, pool_bytes),        FIELD(ns_store_counters, waiting_bytes),
    FIELD(ns_store_counters, published_clock),
};

static void answer_store(struct ns_query *query, const char *below, const struct stats *stats,
                         bool list)
{
    struct group group = {.count = 0};
    struct ns_store_counters counters;

    ns_store_counters(stats->control->store, &counters);
    add_fields(&group, "", store_fields, RTE_DIM(store_fields), &counters);
    add(&group, "", "version", ns_store_version(stats->control->store)->number);
    answer_group(query, &group, below, list);
}

static const struct field control_fields[] = {
    FIELD(control_counters, rounds),        FIELD(control_counters, requests),
    FIELD(control_counters, supply_failed), FIELD(control_counters, sent),
    FIELD(control_counters, send_down),     FIELD(control_counters, send_failed),
};

static void answer_control(struct ns_query *query, const char *below, const struct stats *stats,
                           bool list)
{
    struct group group = {.count = 0};

    add_fields(&group, "", control_fields, RTE_DIM(control_fields), &stats->control->counters);
    answer_group(query, &group, below, list);
}

static void answer_packets(struct ns_query *query, const char *below, const struct stats *stats,
                           bool list)
{
    struct rte_mempool *pool = stats->control->pool;
    struct group group = {.count = 0};

    add(&group, "", "total", pool != NULL ? pool->size : 0);
    add(&group, "", "free", pool != NULL ? rte_mempool_avail_count(pool) : 0);
    answer_group(query, &group, below, list);
}

/* ---- lcores ---- */

static const struct field worker_fields[] = {
    FIELD(worker_counters, packets),
    FIELD(worker_counters, routed),
    FIELD(worker_counters, bridged),
    FIELD(worker_counters, flooded),
    FIELD(worker_counters, local),
    FIELD(worker_counters, icmp_out),
    FIELD(worker_counters, rounds),
    FIELD(worker_counters, busy_rounds),
    FIELD(worker_counters, busy_cycles),
    FIELD(worker_counters, naps),
    FIELD(worker_counters, held),
    FIELD(worker_counters, held_now),
    FIELD(worker_counters, released),
    FIELD(worker_counters, requests),
    FIELD(worker_counters, requests_dropped),
    FIELD(worker_counters, spread_in),
    FIELD(worker_counters, spread_out),
};

static const struct field flow_fields[] = {
    FIELD(flow_table_counters, flows),        FIELD(flow_table_counters, holds),
    FIELD(flow_table_counters, bound),        FIELD(flow_table_counters, rebound),
    FIELD(flow_table_counters, looked_again), FIELD(flow_table_counters, moved),
    FIELD(flow_table_counters, told),         FIELD(flow_table_counters, spared),
    FIELD(flow_table_counters, missing),      FIELD(flow_table_counters, full),
    FIELD(flow_table_counters, idle),         FIELD(flow_table_counters, forgotten),
    FIELD(flow_table_counters, holds_full),   FIELD(flow_table_counters, overtaken),
    FIELD(flow_table_counters, notices),      FIELD(flow_table_counters, heard),
};

static void add_subscriber(struct group *group, struct ns_subscriber *subscriber)
{
    add(group, "", "applied", atomic_load(&subscriber->applied));
    add(group, "", "coalesced", atomic_load(&subscriber->coalesced));
    add(group, "", "notices", atomic_load(&subscriber->notices));
    add(group, "", "notified", atomic_load(&subscriber->notified));
    add(group, "", "seen", atomic_load(&subscriber->seen));
    add(group, "", "sleeping", atomic_load(&subscriber->sleeping));
}

static void add_worker(struct group *group, const struct control *control, unsigned index)
{
    const struct worker *worker = control->workers.worker[index];
    const struct worker_counters *counters = worker_counters(worker);
    struct flow_table_counters flows;

    add_fields(group, "", worker_fields, RTE_DIM(worker_fields), counters);
    for (int i = 0; i < DROP_REASONS; i++)
        add(group, "drop/", drop_reason_name((enum drop_reason)i),
            __atomic_load_n(&counters->drops[i], __ATOMIC_RELAXED));
    flow_table_counters(worker_table(worker), &flows);
    add_fields(group, "flow/", flow_fields, RTE_DIM(flow_fields), &flows);
}

/* "3/routed" -> 3, and what follows; false: there is no such worker. */
static bool take_worker(const struct control *control, const char **below, unsigned *index)
{
    char *end;
    unsigned long number = strtoul(*below, &end, 10);

    if (end == *below || (*end != '\0' && *end != '/') || number >= control->workers.count)
        return false;
    *index = (unsigned)number;
    *below = *end == '/' ? end + 1 : end;
    return true;
}

static void list_workers(struct ns_query *query, const struct control *control)
{
    char names[WORKERS_MAX * 4];
    size_t used = 0;

    for (unsigned i = 0; i < control->workers.count; i++)
        used += (size_t)snprintf(names + used, sizeof(names) - used, "%u", i) + 1;
    ns_query_answer(query, 0, names, used);
}

static void answer_lcore(struct ns_query *query, const char *below, const struct stats *stats,
                         bool list)
{
    struct group group = {.count = 0};
    unsigned index;

    if (*below == '\0' && list) {
        list_workers(query, stats->control);
    } else if (*below == '\0') {
        ns_query_answer(query, 0, "", 0);
    } else if (take_worker(stats->control, &below, &index)) {
        add_worker(&group, stats->control, index);
        add_subscriber(&group, ns_store_subscriber(stats->control->store, index));
        answer_group(query, &group, below, list);
    } else {
        refuse(query, "there is no such worker");
    }
}

/* The same counters, summed over all workers. */
static void sum_workers(const struct control *control, struct group *total)
{
    for (unsigned i = 0; i < control->workers.count; i++) {
        struct group one = {.count = 0};

        add_worker(i == 0 ? total : &one, control, i);
        for (size_t j = 0; j < one.count; j++)
            total->counters[j].value += one.counters[j].value;
    }
}

static void answer_total(struct ns_query *query, const char *below, const struct stats *stats,
                         bool list)
{
    struct group total = {.count = 0};

    sum_workers(stats->control, &total);
    answer_group(query, &total, below, list);
}

static void read_moved(struct ns_query *query, const char *below, void *arg)
{
    const struct control *control = ((const struct stats *)arg)->control;
    struct flow_table_counters counters;
    uint64_t moved = 0;

    (void)below;
    for (unsigned i = 0; i < control->workers.count; i++) {
        flow_table_counters(worker_table(control->workers.worker[i]), &counters);
        moved += counters.moved;
    }
    ns_query_printf(query, "%" PRIu64, moved);
}

/* ---- things with names: ports, flow definitions ---- */

/* "p0/rx_packets" -> "p0" in name, and what follows. false: too long for a name. */
static bool take_name(const char **below, char *name, size_t size)
{
    size_t length = strcspn(*below, "/");

    if (length >= size)
        return false;
    memcpy(name, *below, length);
    name[length] = '\0';
    *below += length + ((*below)[length] == '/');
    return true;
}

static void list_ports(struct ns_query *query, struct ports *ports)
{
    char names[LINK_PORTS_MAX * 2 * LINK_NAME_MAX];
    struct port_status status = {.name = ""};
    size_t used = 0;

    while (ports != NULL && ports_next(ports, status.name, &status) &&
           used + LINK_NAME_MAX < sizeof(names))
        used += (size_t)snprintf(names + used, sizeof(names) - used, "%s", status.name) + 1;
    ns_query_answer(query, 0, names, used);
}

static const struct field port_fields[] = {
    {"rx_packets", offsetof(struct port_status, counters.rx_packets)},
    {"rx_bytes", offsetof(struct port_status, counters.rx_bytes)},
    {"tx_packets", offsetof(struct port_status, counters.tx_packets)},
    {"tx_bytes", offsetof(struct port_status, counters.tx_bytes)},
    {"tx_dropped", offsetof(struct port_status, counters.tx_dropped)},
    FIELD(port_status, rx_missed),
    FIELD(port_status, rx_errors),
    FIELD(port_status, tx_errors),
};

static void answer_port(struct ns_query *query, const char *below, const struct stats *stats,
                        bool list)
{
    struct ports *ports = stats->control->ports;
    struct group group = {.count = 0};
    struct port_status status;
    char name[LINK_NAME_MAX];

    if (*below == '\0' && list) {
        list_ports(query, ports);
    } else if (*below == '\0') {
        ns_query_answer(query, 0, "", 0);
    } else if (ports != NULL && take_name(&below, name, sizeof(name)) &&
               ports_status(ports, name, &status)) {
        add_fields(&group, "", port_fields, RTE_DIM(port_fields), &status);
        answer_group(query, &group, below, list);
    } else {
        refuse(query, "there is no such port");
    }
}

static void add_definition(struct group *group, const struct control *control,
                           const struct ns_anchor *anchor)
{
    uint64_t flows = 0, packets = 0, bytes = 0, one_packets, one_bytes;

    for (unsigned i = 0; anchor != NULL && i < control->workers.count; i++) {
        const struct flow_table *table = worker_table(control->workers.worker[i]);

        flow_table_counted(table, anchor, &one_packets, &one_bytes);
        packets += one_packets;
        bytes += one_bytes;
        flows += flow_table_bound(table, anchor);
    }
    add(group, "", "bytes", bytes);
    add(group, "", "flows", flows);
    add(group, "", "packets", packets);
}

struct listing {
    char names[NS_VALUE_MAX];
    size_t used;
};

static int list_name(const struct ns_entry *entry, void *arg)
{
    struct listing *listing = arg;

    if (listing->used + entry->name_size + 1 > sizeof(listing->names))
        return 1;
    memcpy(listing->names + listing->used, ns_entry_name(entry), entry->name_size + 1);
    listing->used += entry->name_size + 1;
    return 0;
}

static void list_definitions(struct ns_query *query)
{
    const struct ns_entry *flows = ns_tree_lookup(ns_store_version(query->store)->root, "/flow", 5);
    struct listing listing = {.used = 0};

    if (flows != NULL)
        ns_entry_each(flows, list_name, &listing);
    ns_query_answer(query, 0, listing.names, listing.used);
}

static void answer_flow(struct ns_query *query, const char *below, const struct stats *stats,
                        bool list)
{
    struct group group = {.count = 0};
    char name[64], path[72];
    int size;

    if (*below == '\0' && list) {
        list_definitions(query);
        return;
    }
    if (*below == '\0') {
        ns_query_answer(query, 0, "", 0);
        return;
    }
    if (take_name(&below, name, sizeof(name))) {
        size = snprintf(path, sizeof(path), "/flow/%s", name);
        if (ns_tree_lookup(ns_store_version(query->store)->root, path, (size_t)size) != NULL) {
            add_definition(&group, stats->control, ns_anchor_find(query->store, path));
            answer_group(query, &group, below, list);
            return;
        }
    }
    refuse(query, "there is no such flow definition");
}

/* ---- registration ---- */

struct group_name {
    const char *name;
    void (*answer)(struct ns_query *query, const char *below, const struct stats *stats, bool list);
};

/* What a registered group is called with. */
struct group_arg {
    struct stats *stats;
    const struct group_name *group;
};

static const struct group_name groups[] = {
    {"control", answer_control}, {"flow", answer_flow}, {"lcore", answer_lcore},
    {"packets", answer_packets}, {"port", answer_port}, {"store", answer_store},
    {"total", answer_total},
};
static struct group_arg group_args[RTE_DIM(groups)];

static void read_group(struct ns_query *query, const char *below, void *arg)
{
    const struct group_arg *group = arg;

    group->group->answer(query, below, group->stats, false);
}

static void list_group(struct ns_query *query, const char *below, void *arg)
{
    const struct group_arg *group = arg;

    group->group->answer(query, below, group->stats, true);
}

static int add_groups(struct stats *stats)
{
    int error = 0;

    for (size_t i = 0; i < RTE_DIM(groups) && error == 0; i++) {
        group_args[i] = (struct group_arg){stats, &groups[i]};
        error = ns_stats_add(stats->names, groups[i].name, read_group, list_group, &group_args[i]);
    }
    return error;
}

static int add_single(struct stats *stats)
{
    static const struct {
        const char *name;
        void (*read)(struct ns_query *query, const char *below, void *arg);
    } names[] = {
        {"version", read_version}, {"uptime", read_uptime}, {"ready", read_ready},
        {"tsc_hz", read_hz},       {"moved", read_moved},
    };
    int error = 0;

    for (size_t i = 0; i < RTE_DIM(names) && error == 0; i++)
        error = ns_stats_add(stats->names, names[i].name, names[i].read, NULL, stats);
    return error;
}

int stats_new(struct control *control, struct ns_stats *names, struct stats **out)
{
    struct stats *stats = calloc(1, sizeof(*stats));
    int error;

    if (stats == NULL)
        return -ENOMEM;
    stats->control = control;
    stats->names = names;
    stats->started = ns_loop_now(control->loop);
    *out = stats;
    error = add_single(stats);
    if (error == 0)
        error = add_groups(stats);
    if (error == 0)
        error = stats_add_applied(stats);
    if (error == 0)
        error = stats_add_apply(stats);
    if (error == 0)
        error = stats_add_anchors(stats);
    if (error == 0)
        error = stats_add_trace(stats);
    if (error == 0)
        error = stats_add_inquiries(stats);
    if (error == 0)
        error = stats_add_check(stats);
    return error == 0 ? stats_add_moves(stats) : error;
}

void stats_free(struct stats *stats)
{
    stats_end_applied(stats);
    stats_end_inquiries(stats);
    stats_end_trace(stats);
    stats_end_check(stats);
    free(stats);
}

void stats_set_ready(struct stats *stats)
{
    stats->ready = true;
}
