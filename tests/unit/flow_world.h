/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A small world for tests of flows: a store with links, routes and definitions, and the flow table of
 * lcore 0, all in one thread. /neigh and /fdb are plain storage here: their values are read, not judged.
 *
 *   port p0, with interface e0, 10.0.0.1/24       port p1, p2 in bridge br0, with interface b0, 10.1.0.1/16
 *   port p3, with interface e3, 192.168.0.1/24
 */
#ifndef KEDGE_TESTS_FLOW_WORLD_H
#define KEDGE_TESTS_FLOW_WORLD_H

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "flows/ways_p.h"

struct world {
    struct ns_store *store;
    struct links_mount *links;
    struct routes *routes;
    struct definitions *definitions;
    struct adjacencies *adjacencies;
    const struct flow_sources *sources;
    struct flow_table *table;
    uint32_t now;
    unsigned supplies;         /* how often something missing was asked for */
    bool refuse;               /* to supply */
    struct ns_anchor *changed; /* last one that the table reported */
    uint32_t changed_flows;
};

static struct world world;

static inline void must(int rc)
{
    assert_int_equal(rc, 0);
}

/* One commit of one change; value NULL removes. */
static inline void set(const char *path, const char *value)
{
    must(ns_store_put(world.store, path, value));
}

static inline rte_be32_t ip(const char *text)
{
    return inet_addr(text);
}

static inline union flow_key key_of(const char *src, const char *dst, uint16_t dport)
{
    union flow_key key = {.src = ip(src),
                          .dst = ip(dst),
                          .sport = 1000,
                          .dport = htons(dport),
                          .scope = links_iface_id(world.links, "e0"),
                          .proto = 17,
                          .kind = FLOW_ROUTED};

    return key;
}

static inline union flow_key station_key(const char *mac)
{
    union flow_key key = {.bridged_kind = FLOW_BRIDGED};

    key.bridge =
        links_bridge(links_of(ns_store_version(world.store), world.sources->links_slot), "br0")->id;
    must(link_parse_mac(mac, strlen(mac), &key.mac));
    return key;
}

static inline void world_changed(void *arg, struct ns_anchor *anchor, uint32_t flows)
{
    (void)arg;
    world.changed = anchor;
    world.changed_flows = flows;
}

static inline bool world_missing(void *arg, const struct flow_missing *missing)
{
    (void)arg;
    world.supplies++;
    return !world.refuse && adjacencies_supply(world.adjacencies, missing, 0) == 0;
}

static inline bool is_stale(const struct flow *flow)
{
    const struct claims_now now = claims_now(world.table);

    return flow_is_stale(world.table, flow, &now);
}

/* Poll until nothing is left to do, as an lcore with time on its hands (a commit whose notices came with those of one before
 * is applied by one more poll, without which it would not sleep either); bounded, so that a walk that never ends fails a
 * test. Returns how many polls it took. */
static inline unsigned settle(void)
{
    const struct ns_subscriber *subscriber = ns_store_subscriber(world.store, 0);
    unsigned polls = 1;

    while (flow_table_poll(world.table, world.now) || subscriber->applied < subscriber->notified) {
        ns_rcu_quiescent();
        assert_true(polls++ < 1000000);
    }
    return polls;
}

/* Find the flow, or bind it as a worker does: what is missing is supplied. */
static inline struct flow *flow_for(const union flow_key *key)
{
    uint32_t hash = flow_hash(key);
    struct flow *flow = flow_find(world.table, key, hash);
    struct flow_missing missing;
    enum flow_turn turn;

    if (flow != NULL)
        return flow;
    turn = flow_bind(world.table, key, hash, &flow, &missing);
    if (turn == FLOW_MISSING) {
        must(adjacencies_supply(world.adjacencies, &missing, 0));
        settle();
        turn = flow_bind(world.table, key, hash, &flow, &missing);
    }
    assert_int_equal(turn, FLOW_BOUND);
    return flow;
}

/* A packet of this key: which record does it get? */
static inline const struct adjacency *use(const union flow_key *key)
{
    struct flow *flow = flow_for(key);

    flow_table_burst(world.table, 8);
    return flow_use(world.table, flow, 100);
}

static inline const struct adjacency *use_to(const char *dst)
{
    union flow_key key = key_of("10.9.9.9", dst, 53);

    return use(&key);
}

static const struct {
    const char *path, *value;
} world_names[] = {
    {"/port/p0/devargs", "net_null0"},
    {"/port/p0/id", "0"},
    {"/port/p0/lcore", "0"},
    {"/port/p0/link", "up"},
    {"/port/p0/mac", "02:00:00:00:00:10"},
    {"/port/p1/devargs", "net_null1"},
    {"/port/p1/id", "1"},
    {"/port/p1/lcore", "0"},
    {"/port/p1/link", "up"},
    {"/port/p2/devargs", "net_null2"},
    {"/port/p2/id", "2"},
    {"/port/p2/lcore", "0"},
    {"/port/p2/link", "up"},
    {"/port/p3/devargs", "net_null3"},
    {"/port/p3/id", "3"},
    {"/port/p3/lcore", "1"},
    {"/port/p3/link", "up"},
    {"/bridge/br0/port/p1", ""},
    {"/bridge/br0/port/p2", ""},
    {"/iface/e0/on", "port p0"},
    {"/iface/e0/address/10.0.0.1", "24"},
    {"/iface/b0/on", "bridge br0"},
    {"/iface/b0/mac", "02:00:00:00:00:b0"},
    {"/iface/b0/address/10.1.0.1", "16"},
    {"/iface/e3/on", "port p3"},
    {"/iface/e3/address/192.168.0.1", "24"},
};

static inline void world_fill(void)
{
    struct ns_txn *txn;

    must(ns_txn_begin(world.store, &ns_identity_stack, &txn));
    for (size_t i = 0; i < RTE_DIM(world_names); i++)
        must(ns_txn_write(txn, world_names[i].path, world_names[i].value,
                          strlen(world_names[i].value)));
    must(ns_txn_commit(txn, NULL, NULL));
}

static inline void world_table(const struct flow_table_options *wanted)
{
    struct flow_table_options options = *wanted;

    options.changed = world_changed;
    if (options.missing == NULL)
        options.missing = world_missing;
    if (options.flows == 0)
        options.flows = 1024;
    options.numa_node = -1;
    must(flow_table_new(world.sources, &options, &world.table));
}

static inline void world_begin(unsigned lcores)
{
    struct ns_store_options options = {.lcores = lcores};

    world = (struct world){.now = 1000};
    must(ns_store_new(&options, &world.store));
    must(links_new(world.store, &world.links));
    must(routes_new(world.store, world.links, &world.routes));
    must(definitions_new(world.store, world.links, &world.definitions));
    must(adjacencies_new(world.store, world.links, world.routes, world.definitions,
                         &world.adjacencies));
    world.sources = adjacencies_sources(world.adjacencies);
    world_fill();
}

static inline void world_end(void)
{
    if (world.table != NULL)
        flow_table_free(world.table);
    ns_store_drain(world.store);
    adjacencies_free(world.adjacencies);
    ns_store_free(world.store);
    definitions_free(world.definitions);
    routes_free(world.routes);
    links_free(world.links);
}

/* How many flows stand in a hold's array. */
static inline uint32_t array_size(const struct hold *hold)
{
    uint32_t size = 0;

    for (uint32_t place = hold->last; place != 0;
         place = place_before(world.table->inner->chunks, place))
        size++;
    return size;
}

static inline int setup(void **state)
{
    (void)state;
    world_begin(1);
    world_table(&(struct flow_table_options){0});
    flow_table_poll(world.table, world.now);
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    world_end();
    return 0;
}

#endif
