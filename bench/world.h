/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a benchmark inside one process needs: a control core (the calling thread) with every mount that
 * the daemon has, and lcores that forward without ports: each takes notices and walks, finds the flow of each
 * packet and uses it, as dataplane/worker.c does, so that what is measured is the push and not a driver.
 *
 *   port p0, with interface e0, 10.0.0.1/8; static neighbours 10.0.0.5 and 10.0.0.6
 *   flow i goes to 16.0.0.0/8 if i < `near`, else to 32.0.0.0/8, by a route each
 */
#ifndef KEDGE_BENCH_WORLD_H
#define KEDGE_BENCH_WORLD_H

#include <arpa/inet.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arp/station.h"
#include "bench/machine.h"
#include "flows/table.h"
#include "nameserv/loop.h"

/* The budget and the shares are those of dataplane/worker.c, if options do not say otherwise. */
enum {
    WORLD_BURST = 32,
    WORLD_REQUESTS = 1024,
    WORLD_BUDGET = 1,
    WORLD_SHARE = 7,
    WORLD_TELL_SHARE = 2
};

static inline void must(int rc, const char *what)
{
    if (rc == 0)
        return;
    fprintf(stderr, "%s: %s\n", what, strerror(-rc));
    exit(1);
}

/* An lcore. Each field is written by one side only. */
struct forwarder {
    pthread_t thread;
    struct flow_table *table;
    unsigned index, cpu;
    /* control core */
    _Alignas(NS_CACHE_LINE) _Atomic uint32_t traffic; /* flows that packets belong to; 0: none */
    _Atomic bool stop, frozen;                        /* frozen: stands still, online for RCU */
    _Atomic uint32_t answered;
    /* lcore */
    _Alignas(NS_CACHE_LINE) _Atomic uint64_t packets;
    _Alignas(NS_CACHE_LINE) _Atomic uint32_t asked;
    _Atomic bool is_frozen, quiet; /* quiet: nothing was left to do in the last round */
    uint64_t checksum;             /* of headers: they are really read */
    struct flow_missing requests[WORLD_REQUESTS];
};

struct bench_world {
    struct ns_store *store;
    struct ns_loop *loop;
    struct links_mount *links;
    struct stations *stations;
    struct neighbours *neighbours;
    struct routes *routes;
    struct definitions *definitions;
    struct adjacencies *adjacencies;
    const struct flow_sources *sources;
    uint32_t share; /* percent of its time for walks; set before the lcore is started */
    uint32_t near;  /* flows to 16.0.0.0/8; set before any is made */
    uint16_t scope;
    struct forwarder *forwarder; /* one */
};

static struct bench_world world;

static inline union flow_key world_key(uint32_t i)
{
    bool near = i < world.near;
    union flow_key key = {.src = RTE_BE32(0x0a090909),
                          .dst =
                              rte_cpu_to_be_32((near ? 0x10000000 : 0x20000000) + (i & 0xffffff)),
                          .sport = rte_cpu_to_be_16((uint16_t)(1000 + (i >> 24))),
                          .dport = RTE_BE16(53),
                          .scope = world.scope,
                          .proto = 17,
                          .kind = FLOW_ROUTED};

    return key;
}

/* ---- an lcore ---- */

static inline bool forwarder_ask(void *arg, const struct flow_missing *missing)
{
    struct forwarder *self = arg;
    uint32_t asked = atomic_load_explicit(&self->asked, memory_order_relaxed);

    if (asked - atomic_load_explicit(&self->answered, memory_order_acquire) == WORLD_REQUESTS)
        return false;
    self->requests[asked % WORLD_REQUESTS] = *missing;
    atomic_store_explicit(&self->asked, asked + 1, memory_order_release);
    return true;
}

static inline void forwarder_packet(struct forwarder *self, const union flow_key *key,
                                    uint32_t hash)
{
    struct flow *flow = flow_find(self->table, key, hash);
    struct flow_missing missing;

    if (unlikely(flow == NULL)) {
        enum flow_turn turn = flow_bind(self->table, key, hash, &flow, &missing);

        if (turn == FLOW_MISSING)
            forwarder_ask(self, &missing);
        if (turn != FLOW_BOUND)
            return;
    }
    self->checksum += flow_use(self->table, flow, 64)->header[5];
}

/* Packets of the flows in pseudo-random order: consecutive numbers through a multiplication. */
static inline void forwarder_burst(struct forwarder *self, uint32_t traffic, uint32_t *next)
{
    union flow_key keys[WORLD_BURST];
    uint32_t hashes[WORLD_BURST];

    for (int i = 0; i < WORLD_BURST; i++) {
        uint64_t mixed = (uint64_t)((*next)++ * UINT32_C(2654435769)) * traffic;

        keys[i] = world_key((uint32_t)(mixed >> 32));
        hashes[i] = flow_hash(&keys[i]);
        rte_prefetch0(flow_home(self->table, hashes[i]));
    }
    flow_table_burst(self->table, WORLD_BUDGET);
    for (int i = 0; i < WORLD_BURST; i++)
        forwarder_packet(self, &keys[i], hashes[i]);
    atomic_store_explicit(&self->packets,
                          atomic_load_explicit(&self->packets, memory_order_relaxed) + WORLD_BURST,
                          memory_order_relaxed);
}

static inline void forwarder_freeze(struct forwarder *self)
{
    atomic_store(&self->is_frozen, true);
    while (atomic_load(&self->frozen))
        sched_yield();
    atomic_store(&self->is_frozen, false);
}

static inline void *forwarder_main(void *arg)
{
    struct forwarder *self = arg;
    uint32_t next = 0;

    pin(self->cpu);
    ns_rcu_register();
    for (uint64_t round = 0; !atomic_load_explicit(&self->stop, memory_order_relaxed); round++) {
        uint32_t traffic = atomic_load_explicit(&self->traffic, memory_order_relaxed);
        bool work = flow_table_poll(self->table, 1000);

        atomic_store_explicit(&self->quiet, !work, memory_order_relaxed);
        if (traffic != 0)
            forwarder_burst(self, traffic, &next);
        if (unlikely(atomic_load_explicit(&self->frozen, memory_order_relaxed)))
            forwarder_freeze(self);
        ns_rcu_quiescent();
    }
    ns_rcu_unregister();
    return NULL;
}

/* ---- the control core ---- */

/* One round of its loop, as far as lcores and memory are concerned. */
static inline bool world_round(void)
{
    struct forwarder *lcore = world.forwarder;
    uint32_t answered = atomic_load_explicit(&lcore->answered, memory_order_relaxed);
    bool more;

    while (answered != atomic_load_explicit(&lcore->asked, memory_order_acquire)) {
        adjacencies_supply(world.adjacencies, &lcore->requests[answered % WORLD_REQUESTS],
                           lcore->index);
        atomic_store_explicit(&lcore->answered, ++answered, memory_order_release);
    }
    more = ns_store_housekeep(world.store);
    ns_rcu_quiescent();
    return more;
}

static inline void set(const char *path, const char *value)
{
    must(ns_store_put(world.store, path, value), path);
}

static inline void rest(double seconds)
{
    uint64_t end = clock_ns() + (uint64_t)(seconds * 1e9);

    while (clock_ns() < end)
        world_round();
}

/* Until the lcore has dealt with all that it was told; returns the nanoseconds since `start`. */
static inline uint64_t applied(uint64_t start)
{
    struct ns_subscriber *lcore = ns_store_subscriber(world.store, 0);
    uint64_t goal = atomic_load(&lcore->notified);

    while (atomic_load_explicit(&lcore->applied, memory_order_acquire) < goal)
        world_round();
    return clock_ns() - start;
}

static inline uint64_t packets(void)
{
    return atomic_load_explicit(&world.forwarder->packets, memory_order_relaxed);
}

/* Use every flow, until all are in the table; then no traffic. */
static inline void fill(uint32_t flows)
{
    struct flow_table_counters now;

    atomic_store(&world.forwarder->traffic, flows);
    do {
        rest(0.05);
        flow_table_counters(world.forwarder->table, &now);
    } while (now.flows < flows);
    atomic_store(&world.forwarder->traffic, 0);
    rest(0.05);
}

static inline void world_io_send(void *arg, uint16_t iface, const void *frame, size_t size)
{
    (void)arg, (void)iface, (void)frame, (void)size;
}

static inline uint64_t world_io_used(void *arg, uint16_t iface, rte_be32_t address)
{
    (void)arg, (void)iface, (void)address;
    return 0;
}

static inline uint64_t world_station_used(void *arg, uint16_t bridge,
                                          const struct rte_ether_addr *mac)
{
    (void)arg, (void)bridge, (void)mac;
    return 0;
}

static inline void world_fill(void)
{
    static const char *const names[][2] = {
        {"/port/p0/devargs", "net_null0"},
        {"/port/p0/id", "0"},
        {"/port/p0/lcore", "0"},
        {"/port/p0/link", "up"},
        {"/port/p0/mac", "02:00:00:00:00:10"},
        {"/iface/e0/on", "port p0"},
        {"/iface/e0/address/10.0.0.1", "8"},
        {"/neigh/e0/10.0.0.5", "02:05:05:05:05:05 static"},
        {"/neigh/e0/10.0.0.6", "02:06:06:06:06:06 static"},
        {"/route/16.0.0.0/8", "via 10.0.0.5"},
        {"/route/32.0.0.0/8", "via 10.0.0.5"},
    };

    for (size_t i = 0; i < RTE_DIM(names); i++)
        set(names[i][0], names[i][1]);
    world.scope = links_iface_id(world.links, "e0");
}

static inline void world_begin(size_t waiting_bytes)
{
    const struct ns_store_options options = {
        .lcores = 1, .waiting_bytes = waiting_bytes, .anchors_max = 4 << 20};
    const struct neighbours_io io = {.send = world_io_send, .used = world_io_used};

    world = (struct bench_world){.loop = ns_loop_new(), .share = WORLD_SHARE};
    must(ns_store_new(&options, &world.store), "store");
    must(links_new(world.store, &world.links), "links");
    must(stations_new(world.store, world.loop, world.links, world_station_used, NULL,
                      &world.stations),
         "stations");
    must(neighbours_new(world.store, world.loop, world.links, world.stations, NULL, &io,
                        &world.neighbours),
         "neighbours");
    must(routes_new(world.store, world.links, &world.routes), "routes");
    must(definitions_new(world.store, world.links, &world.definitions), "definitions");
    must(adjacencies_new(world.store, world.links, world.routes, world.definitions,
                         &world.adjacencies),
         "adjacencies");
    world.sources = adjacencies_sources(world.adjacencies);
    world_fill();
}

/* Start the lcore, with a table for so many flows. */
static inline void world_forward(uint32_t flows, unsigned cpu)
{
    struct forwarder *lcore = aligned_alloc(
        NS_CACHE_LINE, RTE_ALIGN_CEIL(sizeof(struct forwarder), (size_t)NS_CACHE_LINE));
    struct flow_table_options options = {.flows = flows,
                                         .idle_seconds = 3600,
                                         .numa_node = -1,
                                         .share = world.share,
                                         .tell_share = WORLD_TELL_SHARE,
                                         .missing = forwarder_ask};

    memset(lcore, 0, sizeof(*lcore));
    lcore->cpu = cpu;
    options.arg = lcore;
    must(flow_table_new(world.sources, &options, &lcore->table), "flow table");
    world.forwarder = lcore;
    must(-pthread_create(&lcore->thread, NULL, forwarder_main, lcore), "thread");
}

static inline void world_end(void)
{
    atomic_store(&world.forwarder->stop, true);
    pthread_join(world.forwarder->thread, NULL);
    flow_table_free(world.forwarder->table);
    free(world.forwarder);
    ns_store_drain(world.store);
    neighbours_free(world.neighbours);
    stations_free(world.stations);
    adjacencies_free(world.adjacencies);
    ns_store_free(world.store);
    definitions_free(world.definitions);
    routes_free(world.routes);
    links_free(world.links);
    ns_loop_free(world.loop);
}

#endif
