/* SPDX-License-Identifier: BSD-3-Clause */
/* Next hops that can't be right; see route_judge_via() in route_p.h. */
#include <stdio.h>
#include <string.h>

#include "flows/adjacency.h"
#include "flows/route_p.h"

enum { CHAIN_TEXT = ADJACENCY_DEPTH * 48 };

/* "10.0.0.1 by 10.0.0.0/8 via 20.0.0.1, 20.0.0.1 by ..." */
static void describe_chain(rte_be32_t via, const struct route *const *chain, unsigned count,
                           char *text)
{
    char *at = text, address[16], prefix[16];

    *text = 0;
    for (unsigned i = 0; i < count; via = chain[i++]->via)
        at += snprintf(at, CHAIN_TEXT - (size_t)(at - text), "%s%s by %s/%u", i == 0 ? "" : ", ",
                       link_format_ipv4(via, address), link_format_ipv4(chain[i]->prefix, prefix),
                       chain[i]->length);
}

static int refuse_chain(rte_be32_t via, const struct route *const *chain, unsigned count,
                        bool circle, char *why, size_t why_size)
{
    char text[CHAIN_TEXT];

    describe_chain(via, chain, count, text);
    if (circle && count == 1)
        return explain(
            why, why_size,
            "its next hop would be reached by the way of itself (%s); it must lie in the subnet "
            "of an interface, or inside a longer prefix that leads there",
            text);
    if (circle)
        return explain(
            why, why_size,
            "its next hop would be reached in a circle (%s); one of these next hops must "
            "lie in the subnet of an interface",
            text);
    return explain(why, why_size,
                   "its next hop takes more than %d look-ups (%s); name one that is nearer",
                   ADJACENCY_DEPTH, text);
}

static int judge_first(const struct route *route, rte_be32_t via, char *why, size_t why_size)
{
    char address[16];

    if (route == NULL || (route->kind != ROUTE_LOCAL && route->kind != ROUTE_BROADCAST))
        return 0;
    return explain(why, why_size,
                   "%s is %s of the stack itself; a next hop is the address of another host",
                   link_format_ipv4(via, address),
                   route->kind == ROUTE_LOCAL ? "an address" : "a broadcast address");
}

/* The route covers its own next hop: a circle of one. A default route covers all there is, which says nothing
 * about where its next hop will be: it waits. */
static int judge_self(const struct route_table *table, const struct route *route, char *why,
                      size_t why_size)
{
    char via[16], prefix[16];

    if (route->length == 0)
        return 0;
    if (derived_routes_find(table->derived, 0, route->prefix, route->length) == NULL)
        return refuse_chain(route->via, &route, 1, true, why, why_size);
    return explain(
        why, why_size, "%s/%u hides the subnet of an interface through which %s would be reached",
        link_format_ipv4(route->prefix, prefix), route->length, link_format_ipv4(route->via, via));
}

int route_judge_via(const struct route_table *table, rte_be32_t via, char *why, size_t why_size)
{
    const struct route *chain[ADJACENCY_DEPTH];
    rte_be32_t at = via;

    for (unsigned n = 0; n < ADJACENCY_DEPTH; n++) {
        const struct route *route = prefix_trie_lookup(&table->trie, 0, at);

        if (route == NULL || route->kind != ROUTE_VIA)
            return n == 0 ? judge_first(route, via, why, why_size) : 0;
        for (unsigned i = 0; i < n; i++)
            if (chain[i] == route)
                return i == n - 1 ? judge_self(table, route, why, why_size)
                                  : refuse_chain(via, chain, n, true, why, why_size);
        chain[n] = route;
        at = route->via;
    }
    return refuse_chain(via, chain, ADJACENCY_DEPTH, false, why, why_size);
}
