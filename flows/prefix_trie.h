/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The trie of prefixes behind a routing table: path-compressed, binary, persistent.
 *
 * Private to flows/: route.c, its tests, benches and fuzzers include it; everybody else reads a
 * table through flows/route.h.
 *
 * KEY. 48 bits, the VRF before the address, so one trie holds all VRFs and a look-up in one never
 * sees another's prefixes. A node stands for the first `bits` bits of its key; a prefix of length n
 * has 16 + n of them. A node has a route, or two children, or both; a node with neither is not
 * kept, nor one with a single child and no route. So a table of n prefixes has fewer than 2n nodes
 * (56 bytes with a route, 32 without), and a look-up visits at most one node for each length, 33 in
 * one VRF.
 *
 * VERSIONS. A published trie is never written. A change works on a build that shares with its base
 * what it does not change; nodes made in the build carry its serial as owner and are edited in
 * place, those of the base are copied first and remembered in build->replaced, to be freed together
 * when no reader can see them any more. Serials never repeat, so nothing is unmarked when a build
 * is published.
 *
 *      begin(base) -> set, remove, ... -> publish build.trie, retire build.replaced
 *                                      -> or prefix_build_abandon(): frees what the build made
 *
 * IN ORDER. A build remembers the nodes on the way to the last prefix that it set, all of them its own, and
 * goes on from the last one that leads to the next prefix as well. So prefixes that come nearly in order, as the
 * changes of a commit do, take a few steps each and not the whole depth.
 *
 * COST at n prefixes: a change copies its path, about log2(n) nodes, once a build; a look-up reads
 * as many (at 1,000,000 prefixes some 0.3 us with cold caches). Setting 1,000,000 in one build
 * takes 0.06 s in the order of prefixes and 0.8 s in random order; 75 bytes a prefix.
 *
 * Thread safety: reading functions may be called by any thread on a trie that it keeps alive (an
 * RCU read section); they are wait-free and write nothing. Builds, and freeing, belong to the
 * control core.
 */
#ifndef KEDGE_FLOWS_PREFIX_TRIE_H
#define KEDGE_FLOWS_PREFIX_TRIE_H

#include "flows/route.h"
#include "nameserv/pool.h"

struct prefix_node;

/* One version; a value to copy. All zero is the empty one. */
struct prefix_trie {
    struct prefix_node *root;
    size_t count; /* prefixes */
};

/* What a build has replaced. The vector comes from malloc, the nodes from the pool. */
struct prefix_replaced {
    struct prefix_node **nodes;
    size_t count, capacity;
};

enum { PREFIX_DEPTH = 16 + 32 + 1 /* nodes on one path, at most: one for each length of a key */ };

struct prefix_build {
    struct ns_pool *pool;
    struct prefix_trie trie; /* as built so far; look-ups may use it */
    uint64_t serial;
    struct prefix_replaced replaced;
    uint64_t last_key; /* the way to it: the build's own nodes, from the root down */
    unsigned depth;
    struct prefix_node *way[PREFIX_DEPTH];
};

/* ---- reading; routes found are valid as long as the trie ---- */

/* Longest prefix match; NULL: none. address in network byte order, as all below. */
const struct route *prefix_trie_lookup(const struct prefix_trie *trie, uint16_t vrf,
                                       rte_be32_t address);

/* The same; *length is that of a prefix of the address under which every address finds the same; there may be a shorter one. */
const struct route *prefix_trie_lookup_range(const struct prefix_trie *trie, uint16_t vrf,
                                             rte_be32_t address, uint8_t *length);

/* Exactly this prefix; NULL: it is not there. */
const struct route *prefix_trie_exact(const struct prefix_trie *trie, uint16_t vrf,
                                      rte_be32_t prefix, uint8_t length);

/* The longest prefix that covers this one and is shorter; NULL: none. */
const struct route *prefix_trie_cover(const struct prefix_trie *trie, uint16_t vrf,
                                      rte_be32_t prefix, uint8_t length);

/* Call fn for each route in order of VRF, address, length, until it answers non-zero, which is then
 * returned. */
int prefix_trie_each(const struct prefix_trie *trie,
                     int (*fn)(const struct route *route, void *arg), void *arg);

/* Is the structure right (nesting, bits, no superfluous node, count)? For tests; O(n). */
bool prefix_trie_check(const struct prefix_trie *trie);

/* ---- control core ---- */

/* Start a build. serial must be greater than any used before. Cannot fail. */
void prefix_build_begin(struct prefix_build *build, struct ns_pool *pool,
                        const struct prefix_trie *base, uint64_t serial);

/* Exactly this prefix, in the trie as built so far; NULL: it is not there. Cheaper than prefix_trie_exact() if the
 * prefix lies near the last one that was set. */
const struct route *prefix_build_exact(struct prefix_build *build, uint16_t vrf, rte_be32_t prefix,
                                       uint8_t length);

/* Add the route, or replace that of the same prefix; it is copied. 0; -ENOMEM, and then the build's
 * content is as before. */
int prefix_build_set(struct prefix_build *build, uint16_t vrf, const struct route *route);

/* Take a prefix out. 0, -ENOENT, or -ENOMEM as above. */
int prefix_build_remove(struct prefix_build *build, uint16_t vrf, rte_be32_t prefix,
                        uint8_t length);

/* Give up: free everything that the build made. The base is untouched. */
void prefix_build_abandon(struct prefix_build *build);

/* Free the nodes, and the vector, after the grace period. */
void prefix_replaced_free(struct prefix_replaced *replaced, struct ns_pool *pool);

/* Free a whole version that nobody can see. Only for the last one that is left. */
void prefix_trie_free(struct prefix_trie *trie, struct ns_pool *pool);

#endif
