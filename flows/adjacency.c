/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Anchors that lcores find by binary keys: the index, its look-ups, and making what is missing.
 *
 * The index is one RCU hash table of liburcu (split-ordered lists, Shalev and Shavit 2006) of fixed size:
 * only the control core changes it, and a table that grows would start threads and wait for them.
 */
#include "flows/adjacency.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_hash_crc.h>

#include "flows/adjacency_p.h"

enum { INDEX_BUCKETS = 1 << 17 }; /* 2 MiB; chains of 8 at a million anchors */

static const char *const kind_names[ADJACENCY_KINDS] = {
    [ADJACENCY_FORWARD] = "forward",     [ADJACENCY_FLOOD] = "flood",
    [ADJACENCY_BRIDGED] = "bridged",     [ADJACENCY_BRIDGE_FLOOD] = "bridge-flood",
    [ADJACENCY_HOLD] = "hold",           [ADJACENCY_UNREACHABLE] = "unreachable",
    [ADJACENCY_NO_ROUTE] = "no-route",   [ADJACENCY_REJECT] = "reject",
    [ADJACENCY_BLACKHOLE] = "blackhole", [ADJACENCY_DENIED] = "denied",
    [ADJACENCY_LOCAL] = "local",
};

const char *adjacency_kind_name(enum adjacency_kind kind)
{
    return kind < ADJACENCY_KINDS ? kind_names[kind] : "unknown";
}

enum adjacency_kind adjacency_end(enum route_kind kind)
{
    static const uint8_t ends[] = {
        [ROUTE_BLACKHOLE] = ADJACENCY_BLACKHOLE,
        [ROUTE_REJECT] = ADJACENCY_REJECT,
        [ROUTE_LOCAL] = ADJACENCY_LOCAL,
        [ROUTE_BROADCAST] = ADJACENCY_BLACKHOLE,
    };

    return (enum adjacency_kind)ends[kind];
}

/* ---- the index ---- */

static const struct adjacency_anchor *ours(const struct ns_anchor *anchor)
{
    return (const struct adjacency_anchor *)anchor;
}

static unsigned long key_hash(const union adjacency_key *key)
{
    return rte_hash_crc_8byte(key->word[1], rte_hash_crc_8byte(key->word[0], 0));
}

static int node_matches(struct cds_lfht_node *node, const void *arg)
{
    const struct adjacency_anchor *found = caa_container_of(node, struct adjacency_anchor, node);
    const union adjacency_key *key = arg;

    return atomic_load_explicit(&found->linked, memory_order_acquire) &&
           found->key.word[0] == key->word[0] && found->key.word[1] == key->word[1];
}

static struct ns_anchor *find(struct adjacencies *adjacencies, const union adjacency_key *key)
{
    struct cds_lfht_iter iter;
    struct cds_lfht_node *node;

    cds_lfht_lookup(adjacencies->index, key_hash(key), node_matches, key, &iter);
    node = cds_lfht_iter_get_node(&iter);
    return node == NULL ? NULL : &caa_container_of(node, struct adjacency_anchor, node)->anchor;
}

struct ns_anchor *adjacency_find(struct adjacencies *adjacencies, uint16_t vrf, rte_be32_t next_hop)
{
    const union adjacency_key key = {.kind = KEY_NEXT_HOP, .scope = vrf, .address = next_hop};

    return find(adjacencies, &key);
}

struct ns_anchor *adjacency_find_route(struct adjacencies *adjacencies, uint16_t vrf,
                                       rte_be32_t prefix, uint8_t length)
{
    const union adjacency_key key = {
        .kind = KEY_ROUTE, .length = length, .scope = vrf, .address = prefix};

    return find(adjacencies, &key);
}

struct ns_anchor *adjacency_find_station(struct adjacencies *adjacencies, uint16_t bridge,
                                         const struct rte_ether_addr *mac)
{
    const union adjacency_key key = {.kind = KEY_STATION, .scope = bridge, .mac = *mac};

    return find(adjacencies, &key);
}

struct ns_anchor *adjacency_fixed(struct adjacencies *adjacencies, enum adjacency_kind kind)
{
    return adjacencies->fixed[kind];
}

/* A node may come back into the index before the grace period of its removal is over: its hash is the
 * same, so a reader that still stands on it goes on in the same place, and nobody else changes the
 * index. */
static void anchor_link(struct ns_anchor *anchor)
{
    struct adjacency_anchor *self = (struct adjacency_anchor *)anchor;

    cds_lfht_node_init(&self->node);
    atomic_store_explicit(&self->linked, true, memory_order_release);
    cds_lfht_add(self->owner->index, key_hash(&self->key), &self->node);
}

static void anchor_unlink(struct ns_anchor *anchor)
{
    struct adjacency_anchor *self = (struct adjacency_anchor *)anchor;

    if (!atomic_load_explicit(&self->linked, memory_order_relaxed))
        return;
    atomic_store_explicit(&self->linked, false, memory_order_relaxed);
    cds_lfht_del(self->owner->index, &self->node);
}

/* ---- kinds of anchors ---- */

static const struct ns_anchor_ops fixed_ops = {
    .kind = "fixed adjacency",
    .size = sizeof(struct adjacency_anchor),
    .compile = adjacency_compile_fixed,
    .same = adjacency_same,
    .free_record = free,
};

static const struct ns_anchor_ops route_ops = {
    .kind = "route",
    .size = sizeof(struct adjacency_anchor),
    .link = anchor_link,
    .unlink = anchor_unlink,
};

static const struct ns_anchor_ops station_ops = {
    .kind = "station",
    .rank = 1,
    .size = sizeof(struct adjacency_anchor),
    .compile = adjacency_compile_station,
    .same = adjacency_same,
    .free_record = free,
    .link = anchor_link,
    .unlink = anchor_unlink,
};

static const struct ns_anchor_ops next_hop_ops = {
    .kind = "adjacency",
    .rank = 2, /* its record is derived from stations' names, which may be anchors of theirs */
    .size = sizeof(struct adjacency_anchor),
    .compile = adjacency_compile_next_hop,
    .same = adjacency_same,
    .free_record = free,
    .link = anchor_link,
    .unlink = anchor_unlink,
};

bool adjacency_is(const struct ns_anchor *anchor)
{
    return anchor->ops == &next_hop_ops || anchor->ops == &station_ops || anchor->ops == &fixed_ops;
}

bool adjacency_is_next_hop(const struct ns_anchor *anchor)
{
    return anchor->ops == &next_hop_ops;
}

bool adjacency_is_route(const struct ns_anchor *anchor)
{
    return anchor->ops == &route_ops;
}

rte_be32_t adjacency_next_hop(const struct ns_anchor *anchor, uint16_t *vrf)
{
    *vrf = ours(anchor)->key.scope;
    return ours(anchor)->key.address;
}

/* ---- making them ---- */

struct wanted {
    struct adjacencies *owner;
    union adjacency_key key;
};

static void anchor_init(struct ns_anchor *anchor, void *arg)
{
    struct adjacency_anchor *self = (struct adjacency_anchor *)anchor;
    const struct wanted *wanted = arg;

    self->owner = wanted->owner;
    self->key = wanted->key;
}

static int anchor_get(struct adjacencies *adjacencies, const char *path,
                      const struct ns_anchor_ops *ops, const union adjacency_key *key,
                      struct ns_anchor **anchor)
{
    struct wanted wanted = {adjacencies, *key};

    return ns_anchor_get(adjacencies->sources.store, path, ops, anchor_init, &wanted, anchor);
}

static int get_next_hop(struct adjacencies *adjacencies, uint16_t vrf, rte_be32_t next_hop,
                        struct ns_anchor **anchor)
{
    const union adjacency_key key = {.kind = KEY_NEXT_HOP, .scope = vrf, .address = next_hop};
    char path[64], address[16];

    snprintf(path, sizeof(path), "/adjacency/%u/%s", vrf, link_format_ipv4(next_hop, address));
    return anchor_get(adjacencies, path, &next_hop_ops, &key, anchor);
}

static int get_route(struct adjacencies *adjacencies, uint16_t vrf, rte_be32_t prefix,
                     uint8_t length, struct ns_anchor **anchor)
{
    const union adjacency_key key = {
        .kind = KEY_ROUTE, .length = length, .scope = vrf, .address = prefix};
    char path[32];

    route_path(prefix, length, path, sizeof(path));
    return anchor_get(adjacencies, path, &route_ops, &key, anchor);
}

static int get_station(struct adjacencies *adjacencies, uint16_t bridge_id,
                       const struct rte_ether_addr *mac, struct ns_anchor **anchor)
{
    const struct flow_sources *sources = &adjacencies->sources;
    const struct links *links = links_of(ns_store_version(sources->store), sources->links_slot);
    const struct link_bridge *bridge = links_bridge_by_id(links, bridge_id);
    const union adjacency_key key = {.kind = KEY_STATION, .scope = bridge_id, .mac = *mac};
    char path[LINK_NAME_MAX + 32];

    if (bridge == NULL)
        return -ENOENT;
    station_path(bridge->name, mac, path, sizeof(path));
    return anchor_get(adjacencies, path, &station_ops, &key, anchor);
}

/* Prefix first: notices are taken last in, first out, but who is told of the next hop may bind at once,
 * and then must find both. */
static int supply_routed(struct adjacencies *adjacencies, const struct flow_missing *missing,
                         unsigned lcore)
{
    struct ns_anchor *anchor;
    int rc = 0;

    if (!missing->no_prefix) {
        rc = get_route(adjacencies, missing->vrf, missing->prefix, missing->length, &anchor);
        if (rc == 0)
            ns_anchor_register_for(anchor, lcore);
    }
    if (rc == 0 && !missing->no_next_hop) {
        rc = get_next_hop(adjacencies, missing->vrf, missing->next_hop, &anchor);
        if (rc == 0)
            ns_anchor_register_for(anchor, lcore);
    }
    return rc;
}

int adjacencies_supply(struct adjacencies *adjacencies, const struct flow_missing *missing,
                       unsigned lcore)
{
    struct ns_anchor *station;
    int rc;

    if (missing->kind == FLOW_ROUTED)
        return supply_routed(adjacencies, missing, lcore);
    rc = get_station(adjacencies, missing->bridge, &missing->mac, &station);
    if (rc == 0)
        ns_anchor_register_for(station, lcore);
    return rc;
}

/* ---- life ---- */

static int make_fixed(struct adjacencies *adjacencies)
{
    static const uint8_t kinds[] = {ADJACENCY_NO_ROUTE, ADJACENCY_REJECT, ADJACENCY_BLACKHOLE,
                                    ADJACENCY_DENIED, ADJACENCY_LOCAL};

    for (size_t i = 0; i < sizeof(kinds); i++) {
        const union adjacency_key key = {.kind = KEY_FIXED, .address = kinds[i]};
        struct ns_anchor *anchor;
        char path[64];
        int rc;

        snprintf(path, sizeof(path), "/adjacency/%s", adjacency_kind_name(kinds[i]));
        rc = anchor_get(adjacencies, path, &fixed_ops, &key, &anchor);
        if (rc != 0)
            return rc;
        ns_anchor_pin(anchor);
        adjacencies->fixed[kinds[i]] = anchor;
    }
    return 0;
}

int adjacencies_new(struct ns_store *store, struct links_mount *links, struct routes *routes,
                    struct definitions *definitions, struct adjacencies **result)
{
    struct adjacencies *adjacencies = calloc(1, sizeof(*adjacencies));
    int rc;

    if (adjacencies == NULL)
        return -ENOMEM;
    adjacencies->links = links;
    adjacencies->sources = (struct flow_sources){
        .store = store,
        .adjacencies = adjacencies,
        .links_slot = links_slot(links),
        .routes_slot = routes_slot(routes),
        .definitions_slot = definitions_slot(definitions),
        .definitions_anchor = definitions_anchor(definitions),
    };
    adjacencies->index = cds_lfht_new_flavor(INDEX_BUCKETS, INDEX_BUCKETS, INDEX_BUCKETS, 0,
                                             &urcu_qsbr_flavor, NULL);
    rc = adjacencies->index == NULL ? -ENOMEM : make_fixed(adjacencies);
    if (rc != 0) {
        adjacencies_free(adjacencies);
        return rc;
    }
    *result = adjacencies;
    return 0;
}

static void index_free(struct cds_lfht *index)
{
    struct cds_lfht_iter iter;
    struct cds_lfht_node *node;

    cds_lfht_for_each(index, &iter, node)
        anchor_unlink(&caa_container_of(node, struct adjacency_anchor, node)->anchor);
    cds_lfht_destroy(index, NULL);
}

void adjacencies_free(struct adjacencies *adjacencies)
{
    for (int kind = 0; kind < ADJACENCY_KINDS; kind++)
        if (adjacencies->fixed[kind] != NULL)
            ns_anchor_unpin(adjacencies->fixed[kind]);
    if (adjacencies->index != NULL)
        index_free(adjacencies->index);
    free(adjacencies);
}

const struct flow_sources *adjacencies_sources(const struct adjacencies *adjacencies)
{
    return &adjacencies->sources;
}
