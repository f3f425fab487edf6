/* SPDX-License-Identifier: BSD-3-Clause */
/* Computed names of neighbours: /stats/neigh/IFACE/ADDR and /stats/neighbours/NAME. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arp/counter_names.h"
#include "arp/neighbour_p.h"

/* ---- counters ---- */

enum { PLAIN = 9, COUNTERS = PLAIN + NEIGHBOUR_REFUSALS, REFUSED_NAME = 32 };

struct counters {
    struct counter_name names[COUNTERS];
    char refused[NEIGHBOUR_REFUSALS][REFUSED_NAME];
};

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct counter_name *)a)->name, ((const struct counter_name *)b)->name);
}

static void name_counters(const struct neighbours *neighbours, struct counters *counters)
{
    const struct neighbours_counters *c = &neighbours->counters;
    const struct counter_name plain[PLAIN] = {
        {"entries", neighbours->table.count},
        {"failed", c->failed},
        {"learned", c->learned},
        {"moved", c->moved},
        {"rarp_in", c->rarp_in},
        {"replies_in", c->replies_in},
        {"replies_out", c->replies_out},
        {"requests_in", c->requests_in},
        {"requests_out", c->requests_out},
    };

    memcpy(counters->names, plain, sizeof(plain));
    for (int i = 0; i < NEIGHBOUR_REFUSALS; i++) {
        snprintf(counters->refused[i], REFUSED_NAME, "refused/%s",
                 neighbour_refusal_name((enum neighbour_refusal)i));
        counters->names[PLAIN + i] =
            (struct counter_name){counters->refused[i], neighbours->refused[i]};
    }
    qsort(counters->names, COUNTERS, sizeof(counters->names[0]), by_name);
}

static void read_counters(struct ns_query *query, const char *below, void *arg)
{
    struct counters counters;

    name_counters(arg, &counters);
    counter_names_read(query, below, counters.names, COUNTERS);
}

static void list_counters(struct ns_query *query, const char *below, void *arg)
{
    struct counters counters;

    name_counters(arg, &counters);
    counter_names_list(query, below, counters.names, COUNTERS);
}

/* ---- neighbours ---- */

static void refuse(struct ns_query *query)
{
    ns_query_refuse(query, ENOENT, "no such neighbour is known");
}

static void answer_state(struct ns_query *query, const struct neighbours *neighbours,
                         const char *iface, rte_be32_t address)
{
    uint16_t id = links_iface_known(neighbours->links, iface);
    const struct neighbour *neighbour = neighbour_find(neighbours, id, address);
    enum neighbour_state state;
    enum neighbour_value kind;
    struct rte_ether_addr mac;
    char text[18];
    uint64_t age;

    if (neighbour_look_up(neighbours, iface, address, &mac, &kind) &&
        kind == NEIGHBOUR_VALUE_STATIC) {
        ns_query_printf(query, "%s 0 %s", neighbour_state_name(NEIGHBOUR_PERMANENT),
                        link_format_mac(&mac, text));
    } else if (neighbours_state(neighbours, id, address, &state, &age)) {
        bool known = state != NEIGHBOUR_INCOMPLETE && state != NEIGHBOUR_FAILED;

        ns_query_printf(query, "%s %" PRIu64 " %s", neighbour_state_name(state), age,
                        known ? link_format_mac(&neighbour->mac, text) : "-");
    } else {
        refuse(query);
    }
}

static void read_neighbour(struct ns_query *query, const char *below, void *arg)
{
    const char *slash = strchr(below, '/');
    char iface[LINK_NAME_MAX] = "";
    rte_be32_t address;

    if (slash == NULL) {
        ns_query_answer(query, 0, "", 0);
    } else if (slash - below < LINK_NAME_MAX &&
               link_parse_ipv4(slash + 1, strlen(slash + 1), &address) == 0) {
        memcpy(iface, below, (size_t)(slash - below));
        answer_state(query, arg, iface, address);
    } else {
        refuse(query);
    }
}

/* ---- listings: names of the tree and of objects without a name yet, each once ---- */

struct listing {
    char (*names)[LINK_NAME_MAX];
    size_t count, capacity;
    bool failed;
};

static void list_add(struct listing *listing, const char *name)
{
    if (listing->count == listing->capacity) {
        size_t capacity = listing->capacity == 0 ? 64 : listing->capacity * 2;
        void *grown = realloc(listing->names, capacity * sizeof(*listing->names));

        if (grown == NULL) {
            listing->failed = true;
            return;
        }
        listing->names = grown;
        listing->capacity = capacity;
    }
    snprintf(listing->names[listing->count++], LINK_NAME_MAX, "%s", name);
}

static int list_entry(const struct ns_entry *entry, void *arg)
{
    list_add(arg, ns_entry_name(entry));
    return 0;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* Sort, leave out what stands twice, pack, and answer. */
static void list_answer(struct listing *listing, struct ns_query *query)
{
    char *packed = (char *)listing->names;
    size_t used = 0;

    if (listing->count > 0)
        qsort(listing->names, listing->count, sizeof(*listing->names), by_text);
    for (size_t i = 0; i < listing->count; i++) {
        size_t size = strlen(listing->names[i]) + 1;

        if (i + 1 < listing->count && strcmp(listing->names[i], listing->names[i + 1]) == 0)
            continue;
        memmove(packed + used, listing->names[i], size); /* never beyond what has been read */
        used += size;
    }
    if (listing->failed)
        ns_query_answer(query, -ENOMEM, NULL, 0);
    else
        ns_query_answer(query, 0, used == 0 ? "" : packed, used);
    free(listing->names);
}

/* below "": interfaces that have neighbours; "IFACE": its neighbours. */
static void list_neighbours(struct ns_query *query, const char *below, void *arg)
{
    struct neighbours *neighbours = arg;
    char path[NS_PATH_MAX + 1], text[16];
    struct listing listing = {0};
    const struct ns_entry *entry;
    struct neighbour *neighbour;

    if (strchr(below, '/') != NULL) {
        ns_query_answer(query, 0, "", 0);
        return;
    }
    snprintf(path, sizeof(path), "/neigh%s%.*s", *below == 0 ? "" : "/", LINK_NAME_MAX, below);
    entry = ns_tree_lookup(ns_store_version(neighbours->store)->root, path, strlen(path));
    if (entry != NULL)
        ns_entry_each(entry, list_entry, &listing);
    TAILQ_FOREACH (neighbour, &neighbours->all, all) {
        const char *iface = links_iface_name(neighbours->links, neighbour->iface);

        if (*below == 0)
            list_add(&listing, iface);
        else if (strcmp(iface, below) == 0)
            list_add(&listing, link_format_ipv4(neighbour->address, text));
    }
    list_answer(&listing, query);
}

int neighbours_stats_add(struct neighbours *neighbours, struct ns_stats *stats)
{
    int error = ns_stats_add(stats, "neigh", read_neighbour, list_neighbours, neighbours);

    return error != 0 ? error
                      : ns_stats_add(stats, "neighbours", read_counters, list_counters, neighbours);
}
