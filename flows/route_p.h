/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inside of the mount /route: what route*.c share. For them and their tests only.
 *
 *   route.c          the mount: judging names and values, and making the table of each commit
 *   route_judge.c    next hops that can't be right: our own addresses, circles
 *   route_derived.c  the prefixes that interfaces bring along
 *   route_text.c     prefixes and routes as text
 *   route_stats.c    /stats/routes
 *   prefix_trie.c    the trie
 */
#ifndef KEDGE_FLOWS_ROUTE_P_H
#define KEDGE_FLOWS_ROUTE_P_H

#include "flows/prefix_trie.h"
#include "flows/words.h"

/* What interfaces bring along, sorted by VRF, prefix and length, one for each. Kept beside the
 * trie, so that a derived prefix comes back when the configured one that hid it goes. */
struct derived_route {
    uint16_t vrf;
    struct route route;
};

struct derived_routes {
    size_t count;
    struct derived_route items[];
};

/* The routing table of a version. Immutable once published. */
struct route_table {
    struct prefix_trie trie;
    struct derived_routes
        *derived; /* malloc'ed; shared with the next version if that has the same */
};

static inline bool route_is_configured(const struct route *route)
{
    return route->kind <= ROUTE_REJECT;
}

/* Do both send packets the same way? Versions are not compared. */
static inline bool route_same(const struct route *a, const struct route *b)
{
    return a->kind == b->kind && a->iface == b->iface && a->via == b->via;
}

/* The links that the mount was made with. */
struct links_mount *routes_links(const struct routes *routes);

/* The value of /route/ADDR/LEN: fills kind, iface (an id is given to the name) and via. 0, or
 * -EINVAL with a sentence. Control core. */
int route_parse_value(struct links_mount *links, struct word value, struct route *route, char *why,
                      size_t why_size);

/* "10.0.0.0/24 connected br0", "0.0.0.0/0 via 10.0.0.1". */
void route_describe(const struct links_mount *links, const struct route *route, char *text,
                    size_t size);

/* What the interfaces of these links bring along, stamped with the version. NULL without memory. */
struct derived_routes *derived_routes_make(const struct links *links, uint64_t version);

/* NULL: none. derived may be NULL. */
const struct route *derived_routes_find(const struct derived_routes *derived, uint16_t vrf,
                                        rte_be32_t prefix, uint8_t length);

/* Call fn for each prefix that is not the same in both; now is NULL for one that has gone. Stops at
 * the first non-zero answer and returns it. Both may be NULL. */
int derived_routes_diff(const struct derived_routes *before, const struct derived_routes *after,
                        int (*fn)(uint16_t vrf, const struct route *before, const struct route *now,
                                  void *arg),
                        void *arg);

/* Can a route via this address be right in this table? 0; or -EINVAL with a sentence: an address of
 * our own, a broadcast address, or look-ups that go around in a circle or further than
 * ADJACENCY_DEPTH.
 *
 * A route that covers its own next hop, with no longer prefix there, is a circle of one, or hides the
 * connected prefix of its next hop. A default route is not: it covers everything, and waits for the
 * interface by which its next hop will be reached. */
int route_judge_via(const struct route_table *table, rte_be32_t via, char *why, size_t why_size);

#endif
