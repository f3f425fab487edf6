/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Listeners: who is told what when a flow moves. What must hold for each flow and listener, whatever comes in
 * between: `from` is what it was told last; after all has settled, what it knows is what packets use; one commit
 * is one call, and a change that leaves the way as it was is none.
 */
#include "tests/unit/flow_world.h"
#include "tests/unit/seed.h"

#define MAC_A "02:00:00:00:0a:0a"
#define MAC_B "02:00:00:00:0b:0b"
#define MAC_C "02:00:00:00:0c:0c"

enum { KNOWN = 4096 };

/* What the listener knows of each flow, by slot. */
static struct adjacency known[KNOWN];
static uint32_t known_of[KNOWN]; /* calls */
static unsigned calls, moved, gaps;
static int listener;

static bool same(const struct adjacency *a, const struct adjacency *b)
{
    return a->version == b->version && a->kind == b->kind && a->port == b->port &&
           a->next_hop == b->next_hop && memcmp(a->header, b->header, sizeof(a->header)) == 0;
}

static void told(void *arg, const struct flow_change *change)
{
    uint32_t index = flow_index(world.table, change->flow);

    assert_ptr_equal(arg, &world);
    gaps += !same(change->from, &known[index]);
    known[index] = *change->to;
    known_of[index]++;
    moved = change->moved;
    calls++;
}

static struct flow *listen_to(const char *dst, uint16_t dport)
{
    union flow_key key = key_of("10.9.9.9", dst, dport);
    struct flow *flow = flow_for(&key);

    known[flow_index(world.table, flow)] = *flow_listen(world.table, flow, listener);
    return flow;
}

static void begin(uint32_t slice)
{
    struct flow_table_options options = {.flows = KNOWN / 2, .slice = slice};

    flow_table_free(world.table);
    world_table(&options);
    listener = flow_listener_add(world.table, told, &world, false);
    assert_true(listener >= 0);
    memset(known_of, 0, sizeof(known_of));
    calls = moved = gaps = 0;
    set("/neigh/e0/10.0.0.2", MAC_A " static");
    set("/neigh/e0/10.0.0.3", MAC_A " static");
    set("/neigh/b0/10.1.0.2", MAC_A " static");
    set("/fdb/br0/" MAC_A, "p1 static");
    set("/route/172.16.0.0/12", "via 10.0.0.2");
    flow_table_poll(world.table, world.now);
}

/* Everything that was changed has settled: was it one call, for these links? */
static void assert_told(unsigned links)
{
    settle();
    assert_int_equal(calls, 1);
    assert_int_equal(moved, links);
    assert_int_equal(gaps, 0);
    calls = 0;
}

static void assert_not_told(void)
{
    settle();
    assert_int_equal(calls, 0);
}

static void test_each_link(void **state)
{
    struct flow *flow;

    (void)state;
    begin(64);
    flow = listen_to("172.16.0.1", 53);
    set("/neigh/e0/10.0.0.2", MAC_B " static");
    assert_told(FLOW_LINK_NEIGHBOUR);
    assert_int_equal(known[flow_index(world.table, flow)].header[5], 0x0b);
    set("/iface/e0/mac", "02:00:00:00:00:77");
    assert_told(FLOW_LINK_INTERFACE);
    set("/port/p0/link", "down");
    assert_told(FLOW_LINK_PORT);
    set("/port/p0/link", "up");
    assert_told(FLOW_LINK_PORT);
    set("/route/172.16.0.0/12", "via 10.0.0.3");
    assert_told(FLOW_LINK_ADJACENCY | FLOW_LINK_ROUTE);
    set("/route/172.16.0.0/24", "via 10.0.0.3");
    assert_told(FLOW_LINK_ROUTE); /* a more specific one took it, to the same next hop */
    set("/flow/f/match", "proto=udp dport=53");
    assert_told(FLOW_LINK_DEFINITION);
    set("/flow/f/action", "via 10.0.0.2");
    assert_told(FLOW_LINK_ADJACENCY | FLOW_LINK_ROUTE);
    set("/flow/f", NULL);
    assert_told(FLOW_LINK_ADJACENCY | FLOW_LINK_ROUTE | FLOW_LINK_DEFINITION);
}

static void test_station(void **state)
{
    (void)state;
    begin(64);
    listen_to("10.1.0.2", 53);
    set("/fdb/br0/" MAC_A, "p2 static");
    assert_told(FLOW_LINK_STATION);
    set("/fdb/br0/" MAC_B, "p1 static");
    assert_not_told();
    set("/neigh/b0/10.1.0.2", MAC_B " static");
    settle(); /* another neighbour, and another station by that */
    assert_int_equal(calls, 1);
    assert_true(moved & FLOW_LINK_NEIGHBOUR);
    assert_int_equal(gaps, 0);
}

static void test_bridged(void **state)
{
    union flow_key key;
    struct flow *flow;

    (void)state;
    begin(64);
    key = station_key(MAC_A);
    flow = flow_for(&key);
    known[flow_index(world.table, flow)] = *flow_listen(world.table, flow, listener);
    set("/fdb/br0/" MAC_A, "p2 static");
    assert_told(FLOW_LINK_STATION);
    set("/port/p2/link", "down");
    assert_told(FLOW_LINK_PORT);
}

static void test_nobody_is_told_in_vain(void **state)
{
    struct flow *flow;

    (void)state;
    begin(64);
    flow = listen_to("172.16.0.1", 53);
    set("/neigh/e0/10.0.0.2", MAC_A " static");
    set("/neigh/e0/10.0.0.3", MAC_B " static");
    set("/route/172.16.128.0/24", "via 10.0.0.3");
    set("/flow/f/match", "proto=udp dport=54");
    assert_not_told();
    flow_unlisten(world.table, flow, listener);
    set("/neigh/e0/10.0.0.2", MAC_B " static");
    set("/route/172.16.0.0/12", "via 10.0.0.3");
    assert_not_told();
}

/* Neighbour, interface, port, route and a definition in one commit: a diamond, and one call. */
static void test_a_diamond(void **state)
{
    static const char *const names[][2] = {
        {"/neigh/e0/10.0.0.2", MAC_B " static"}, {"/neigh/e0/10.0.0.3", MAC_C " static"},
        {"/iface/e0/mac", "02:00:00:00:00:78"},  {"/route/172.16.0.0/12", "via 10.0.0.3"},
        {"/route/172.16.0.0/16", "reject"},      {"/flow/f/match", "proto=udp dport=53"},
        {"/flow/f/action", "via 10.0.0.3"},
    };
    struct ns_txn *txn;
    struct flow *flow, *other;

    (void)state;
    begin(1);
    other = listen_to("10.0.0.3", 99); /* whose record the first comes to, and is due itself */
    flow = listen_to("172.16.0.1", 53);
    must(ns_txn_begin(world.store, &ns_identity_stack, &txn));
    for (size_t i = 0; i < RTE_DIM(names); i++)
        must(ns_txn_write(txn, names[i][0], names[i][1], strlen(names[i][1])));
    must(ns_txn_commit(txn, NULL, NULL));
    settle();
    assert_int_equal(known_of[flow_index(world.table, flow)], 1);
    assert_int_equal(known_of[flow_index(world.table, other)], 1);
    assert_int_equal(gaps, 0);
    assert_int_equal(adjacency_of(flow->adjacency)->header[5], 0x0c);
    assert_true(same(&known[flow_index(world.table, flow)], adjacency_of(flow->adjacency)));
}

/* Changes come faster than flows can be told: each goes from what it knew to what there was, and all end at the
 * newest. */
static void test_a_storm(void **state)
{
    struct flow *flows[200];

    (void)state;
    begin(3);
    for (unsigned i = 0; i < RTE_DIM(flows); i++)
        flows[i] = listen_to("172.16.0.1", (uint16_t)i);
    for (unsigned i = 0; i < 500; i++) {
        set("/neigh/e0/10.0.0.2", i % 2 == 0 ? MAC_B " static" : MAC_C " static");
        if (i % 100 == 50)
            set("/route/172.16.0.0/12", i % 200 == 50 ? "via 10.0.0.3" : "via 10.0.0.2");
        flow_table_poll(world.table, world.now);
        if (i % 7 == 0) { /* one comes back in the middle of a round */
            flow_unlisten(world.table, flows[i % RTE_DIM(flows)], listener);
            known[flow_index(world.table, flows[i % RTE_DIM(flows)])] =
                *flow_listen(world.table, flows[i % RTE_DIM(flows)], listener);
        }
        if (i % 11 == 0) {
            flow_forget(world.table, flow_index(world.table, flows[i % RTE_DIM(flows)]));
            flows[i % RTE_DIM(flows)] = listen_to("172.16.0.1", i % RTE_DIM(flows));
        }
    }
    settle();
    assert_int_equal(gaps, 0);
    assert_true(calls > RTE_DIM(flows));
    for (unsigned i = 0; i < RTE_DIM(flows); i++)
        assert_true(
            same(&known[flow_index(world.table, flows[i])], adjacency_of(flows[i]->adjacency)));
}

/* One that takes itself out, and another flow, while it is told. */
static void told_once(void *arg, const struct flow_change *change)
{
    calls++;
    flow_unlisten(world.table, (struct flow *)(uintptr_t)change->flow, *(int *)arg);
}

static void test_who_leaves_while_told(void **state)
{
    static int once;

    (void)state;
    begin(2);
    once = flow_listener_add(world.table, told_once, &once, false);
    for (unsigned i = 0; i < 100; i++) {
        union flow_key key = key_of("10.9.9.9", "172.16.0.1", (uint16_t)i);

        flow_listen(world.table, flow_for(&key), once);
    }
    set("/neigh/e0/10.0.0.2", MAC_B " static");
    settle();
    assert_int_equal(calls, 100);
    set("/neigh/e0/10.0.0.2", MAC_C " static");
    settle();
    assert_int_equal(calls, 100);
}

static void count(void *arg, const struct flow_change *change)
{
    (void)change;
    ++*(unsigned *)arg;
}

static void test_all_flows_and_several_listeners(void **state)
{
    static unsigned told_all, told_some;
    struct flow_table_counters counters;
    int some;

    (void)state;
    begin(64);
    told_all = told_some = 0;
    assert_true(flow_listener_add(world.table, count, &told_all, true) >= 0);
    some = flow_listener_add(world.table, count, &told_some, false);
    for (unsigned i = 0; i < 10; i++) {
        union flow_key key = key_of("10.9.9.9", "172.16.0.1", (uint16_t)i);
        struct flow *flow = flow_for(&key);

        if (i < 3)
            flow_listen(world.table, flow, some);
    }
    set("/neigh/e0/10.0.0.2", MAC_B " static");
    settle();
    assert_int_equal(told_all, 10);
    assert_int_equal(told_some, 3);
    flow_table_counters(world.table, &counters);
    assert_int_equal(counters.heard, 13);
    for (int i = 3; i < FLOW_LISTENERS_MAX; i++)
        assert_int_equal(flow_listener_add(world.table, count, NULL, false), i);
    assert_int_equal(flow_listener_add(world.table, count, NULL, false), -ENOSPC);
}

/* Random changes of everything, flows that come, go and listen: no gap, no call in vain, and all know the
 * newest at the end. */
static void random_change(void)
{
    static const char *const changes[][4] = {
        {"/route/172.16.0.0/12", "via 10.0.0.2", "via 10.0.0.3", "reject"},
        {"/route/172.16.0.0/28", "via 10.0.0.3", "via 10.1.0.2", NULL},
        {"/neigh/e0/10.0.0.2", MAC_A " static", MAC_B " static", NULL},
        {"/neigh/e0/10.0.0.3", MAC_C " static", MAC_B " static", NULL},
        {"/neigh/b0/10.1.0.2", MAC_A " static", MAC_B " static", NULL},
        {"/fdb/br0/" MAC_A, "p1 static", "p2 static", NULL},
        {"/port/p1/link", "up", "down", NULL},
        {"/flow/f/match", "proto=udp dport=1-20", "proto=udp dport=5-40", "dst=172.16.0.0/30"},
        {"/flow/f/action", "via 10.1.0.2", "drop", NULL},
    };
    struct ns_txn *txn;

    must(ns_txn_begin(world.store, &ns_identity_stack, &txn));
    for (unsigned n = 1 + seed_below(3); n > 0; n--) {
        const char *const *change = changes[seed_below(RTE_DIM(changes))];
        const char *value = change[1 + seed_below(3)];

        if (value != NULL)
            must(ns_txn_write(txn, change[0], value, strlen(value)));
        else
            (void)ns_txn_remove(txn, change[0]);
    }
    must(ns_txn_commit(txn, NULL, NULL));
}

static void random_flow(void)
{
    union flow_key key = key_of("10.9.9.9", "172.16.0.1", (uint16_t)seed_below(60));
    struct flow *flow;

    key.dst = htonl(ntohl(key.dst) + seed_below(20));
    flow = flow_for(&key);
    if (seed_below(10) == 0)
        flow_forget(world.table, flow_index(world.table, flow));
    else if (seed_below(10) == 0)
        flow_unlisten(world.table, flow, listener);
    else if (!(flow->listeners & 1 << listener))
        known[flow_index(world.table, flow)] = *flow_listen(world.table, flow, listener);
    else
        flow_use(world.table, flow, 60);
}

static void test_random(void **state)
{
    const struct flow *flow;
    uint32_t cursor = 0, checked = 0;

    (void)state;
    seed_begin();
    begin(5);
    for (unsigned i = 0; i < 4000 * seed_scale(); i++) {
        random_change();
        for (int j = 0; j < 5; j++)
            random_flow();
        flow_table_poll(world.table, world.now);
        ns_store_housekeep(world.store);
        ns_rcu_quiescent();
    }
    settle();
    assert_int_equal(gaps, 0);
    while (flow_table_next(world.table, &cursor, &flow)) {
        const struct adjacency *knows = &known[flow_index(world.table, flow)];

        if (!(flow->listeners & 1 << listener))
            continue;
        assert_true(same(knows, adjacency_of(flow->adjacency)));
        checked++;
    }
    assert_true(checked > 100 && calls > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_each_link, setup, teardown),
        cmocka_unit_test_setup_teardown(test_station, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bridged, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nobody_is_told_in_vain, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_diamond, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_storm, setup, teardown),
        cmocka_unit_test_setup_teardown(test_who_leaves_while_told, setup, teardown),
        cmocka_unit_test_setup_teardown(test_all_flows_and_several_listeners, setup, teardown),
        cmocka_unit_test_setup_teardown(test_random, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
