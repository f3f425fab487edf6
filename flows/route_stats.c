/* SPDX-License-Identifier: BSD-3-Clause */
/* /stats/routes: what the routing table holds and what a look-up finds, computed when read. */
#include <errno.h>
#include <string.h>

#include "flows/route_p.h"
#include "nameserv/stats.h"

static void answer_lookup(struct ns_query *query, const struct routes *routes, const char *text)
{
    const struct route_table *table =
        route_table_of(ns_store_version(query->store), routes_slot(routes));
    const struct route *route;
    rte_be32_t address;
    char line[96];

    if (link_parse_ipv4(text, strlen(text), &address) < 0) {
        ns_query_refuse(query, EINVAL, "'%.40s' is not an IPv4 address such as 10.0.0.5", text);
        return;
    }
    route = route_lookup(table, 0, address);
    if (route == NULL) {
        ns_query_refuse(query, ENOENT, "no route covers %s", text);
        return;
    }
    route_describe(routes_links(routes), route, line, sizeof(line));
    ns_query_printf(query, "%s", line);
}

static void stats_read(struct ns_query *query, const char *below, void *arg)
{
    static const char lookup[] = "lookup/";
    const struct routes *routes = arg;

    if (strcmp(below, "count") == 0)
        ns_query_printf(
            query, "%zu",
            route_table_count(route_table_of(ns_store_version(query->store), routes_slot(routes))));
    else if (strncmp(below, lookup, strlen(lookup)) == 0)
        answer_lookup(query, routes, below + strlen(lookup));
    else if (*below == 0 || strcmp(below, "lookup") == 0)
        ns_query_answer(query, 0, "", 0);
    else
        ns_query_refuse(query, ENOENT, "there are only count and lookup/ADDR below /stats/routes");
}

static void stats_list(struct ns_query *query, const char *below, void *arg)
{
    static const char names[] = "count\0lookup";

    (void)arg;
    if (*below == 0)
        ns_query_answer(query, 0, names, sizeof(names));
    else if (strcmp(below, "count") == 0 || strcmp(below, "lookup") == 0)
        ns_query_answer(query, 0, "", 0);
    else
        ns_query_refuse(query, ENOENT, "there are only count and lookup/ADDR below /stats/routes");
}

int routes_stats_add(struct routes *routes, struct ns_stats *stats)
{
    return ns_stats_add(stats, "routes", stats_read, stats_list, routes);
}
