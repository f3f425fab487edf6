/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Routes: the mount /route, and the routing table of a version.
 *
 * /route/ADDR/LEN holds "via ADDR", "dev IFACE", "blackhole" or "reject" (10.0.0.0/8 is the node
 * `8` below `10.0.0.0`; host bits must be 0). Besides those, the table holds for each address of an
 * interface its connected prefix, its host route to the stack itself, and the subnet's broadcast; a
 * configured route wins over a derived one of the same prefix.
 *
 * The table is a path-compressed binary trie, persistent like the tree of names: a commit copies
 * the paths that it changes and shares the rest, so the table of any version can be read,
 * wait-free, by anybody who is in a read section.
 *
 * Refused: a next hop that is an address of the stack itself, or that would be reached in a circle
 * (of one, too: by way of the route that it is the next hop of) or by more than ADJACENCY_DEPTH
 * look-ups. A default route that covers its own next hop, as it does before an interface has an
 * address, is not refused: it waits, its adjacency is unreachable until then. Only routes set by the
 * commit are judged so. One that becomes a circle because an interface goes waits for it to come
 * back, also over a restart: what is restored is not judged again.
 *
 * Dependencies: whoever decides by a look-up depends on the name of the prefix found,
 * /route/ADDR/LEN, also for derived prefixes, and on /route/0.0.0.0/0 if none was found. A commit
 * that adds a prefix touches the name of the prefix that covered it before; one that removes a
 * prefix has changed its name.
 */
#ifndef KEDGE_FLOWS_ROUTE_H
#define KEDGE_FLOWS_ROUTE_H

#include "arp/links.h"
#include "flows/flow.h"

enum route_kind {
    /* configured */
    ROUTE_VIA,
    ROUTE_DEV,
    ROUTE_BLACKHOLE,
    ROUTE_REJECT,
    /* derived from interfaces */
    ROUTE_CONNECTED,
    ROUTE_LOCAL,
    ROUTE_BROADCAST,
};

/* A prefix with its route; immutable. */
struct route {
    rte_be32_t prefix;
    uint8_t length;
    uint8_t kind;
    uint16_t iface;   /* id; DEV and the derived kinds */
    rte_be32_t via;   /* VIA */
    uint64_t version; /* commit that set it */
};

struct ns_stats;    /* nameserv/stats.h */
struct route_table; /* of one version */
struct routes;      /* the mount */

/* Hang /route. 0, -ENOMEM, -ENOSPC (slots), or as ns_mount_add(); what was made is in *routes also
 * then. After links_new(). Control core, as the two below. */
int routes_new(struct ns_store *store, struct links_mount *links, struct routes **routes);

/* At shutdown, before or after the store is freed; nobody may look anything up or commit any more.
 * */
void routes_free(struct routes *routes);
int routes_slot(const struct routes *routes);

/* Answer for /stats/routes/count, and for /stats/routes/lookup/ADDR: what a look-up finds, as
 * "10.0.0.0/24 connected br0". 0, -EEXIST, -ENOMEM. */
int routes_stats_add(struct routes *routes, struct ns_stats *stats);

static inline const struct route_table *route_table_of(const struct ns_version *version, int slot)
{
    return (const struct route_table *)version->derived[slot];
}

/* Longest prefix match; NULL: no route. Any reader, wait-free, at most 33 steps. */
const struct route *route_lookup(const struct route_table *table, uint16_t vrf, rte_be32_t address);

/* The same; *length is that of the shortest prefix of the address under which every address finds the same. */
const struct route *route_lookup_range(const struct route_table *table, uint16_t vrf,
                                       rte_be32_t address, uint8_t *length);

/* Exactly this prefix. */
const struct route *route_exact(const struct route_table *table, uint16_t vrf, rte_be32_t prefix,
                                uint8_t length);

size_t route_table_count(const struct route_table *table);

/* Call fn for every prefix in order of address, then length, until it answers non-zero. */
int route_table_each(const struct route_table *table,
                     int (*fn)(const struct route *route, void *arg), void *arg);

/* Write "/route/ADDR/LEN" to path (at least 32 bytes). */
void route_path(rte_be32_t prefix, uint8_t length, char *path, size_t size);

/* Parse "ADDR/LEN" (also "ADDR": /32). -EINVAL: not that, or host bits set. */
int route_parse_prefix(const char *text, size_t size, rte_be32_t *prefix, uint8_t *length);

/* The mask of a prefix length, in network byte order. */
static inline rte_be32_t route_mask(uint8_t length)
{
    return length == 0 ? 0 : rte_cpu_to_be_32(~UINT32_C(0) << (32 - length));
}

#endif
