/* SPDX-License-Identifier: BSD-3-Clause */
/* Adjacencies and stations: what each state of the chain compiles to, and that every link in it counts. */
#include "tests/unit/flow_world.h"

#define GATEWAY "10.0.0.254"
#define MAC_A   "02:00:00:00:0a:0a"
#define MAC_B   "02:00:00:00:0b:0b"

static struct ns_anchor *next_hop(const char *address)
{
    struct flow_missing missing = {.kind = FLOW_ROUTED, .next_hop = ip(address), .no_prefix = true};

    must(adjacencies_supply(world.adjacencies, &missing, 0));
    return adjacency_find(world.adjacencies, 0, ip(address));
}

static const struct adjacency *record(const char *address)
{
    return adjacency_of(next_hop(address));
}

static int kind(const char *address)
{
    return record(address)->kind;
}

static void assert_mac(const uint8_t *bytes, const char *text)
{
    char got[18];

    assert_string_equal(link_format_mac((const struct rte_ether_addr *)bytes, got), text);
}

static void test_forward_has_the_whole_header(void **state)
{
    const struct adjacency *adjacency;

    (void)state;
    set("/neigh/e0/10.0.0.5", MAC_A " static");
    adjacency = record("10.0.0.5");
    assert_int_equal(adjacency->kind, ADJACENCY_FORWARD);
    assert_int_equal(adjacency->port, 0);
    assert_int_equal(adjacency->lcore, 0);
    assert_int_equal(adjacency->mtu, 1500);
    assert_int_equal(adjacency->header_size, 14);
    assert_int_equal(adjacency->next_hop, ip("10.0.0.5"));
    assert_int_equal(adjacency->iface, links_iface_id(world.links, "e0"));
    assert_int_equal(adjacency->version, ns_store_version(world.store)->number);
    assert_mac(adjacency->header, MAC_A);
    assert_mac(adjacency->header + 6, "02:00:00:00:00:10");
    assert_int_equal(adjacency->header[12] << 8 | adjacency->header[13], 0x0800);
}

static void test_neighbour_appears_fails_and_goes(void **state)
{
    (void)state;
    assert_int_equal(kind("10.0.0.5"), ADJACENCY_HOLD);
    assert_int_equal(record("10.0.0.5")->iface, links_iface_id(world.links, "e0"));
    set("/neigh/e0/10.0.0.5", MAC_A " learned");
    assert_int_equal(kind("10.0.0.5"), ADJACENCY_FORWARD);
    set("/neigh/e0/10.0.0.5", "failed");
    assert_int_equal(kind("10.0.0.5"), ADJACENCY_UNREACHABLE);
    set("/neigh/e0/10.0.0.5", NULL);
    assert_int_equal(kind("10.0.0.5"), ADJACENCY_HOLD);
    set("/neigh/e0/10.0.0.5", MAC_B " learned");
    assert_mac(record("10.0.0.5")->header, MAC_B);
}

static void test_port_down_holds(void **state)
{
    (void)state;
    set("/neigh/e0/10.0.0.5", MAC_A " learned");
    assert_int_equal(kind("10.0.0.5"), ADJACENCY_FORWARD);
    set("/port/p0/link", "down");
    assert_int_equal(kind("10.0.0.5"), ADJACENCY_HOLD);
    set("/port/p0/link", "up");
    assert_int_equal(kind("10.0.0.5"), ADJACENCY_FORWARD);
    set("/port/p0/id", NULL);
    assert_int_equal(kind("10.0.0.5"), ADJACENCY_HOLD);
}

static void test_interface_goes_and_comes_back_elsewhere(void **state)
{
    (void)state;
    set("/neigh/e0/10.0.0.5", MAC_A " static");
    set("/route/172.16.0.0/12", "dev e0");
    set("/neigh/e0/172.16.0.9", MAC_B " static");
    assert_int_equal(kind("10.0.0.5"), ADJACENCY_FORWARD);
    assert_int_equal(kind("172.16.0.9"), ADJACENCY_FORWARD);
    set("/iface/e0", NULL);
    assert_int_equal(kind("10.0.0.5"), ADJACENCY_NO_ROUTE);
    assert_int_equal(kind("172.16.0.9"), ADJACENCY_UNREACHABLE);
    set("/port/p4/devargs", "net_null4");
    set("/port/p4/id", "4");
    set("/port/p4/lcore", "1");
    set("/port/p4/link", "up");
    set("/iface/e0/on", "port p4");
    assert_int_equal(kind("172.16.0.9"), ADJACENCY_FORWARD);
    assert_int_equal(record("172.16.0.9")->port, 4);
    assert_int_equal(record("172.16.0.9")->lcore, 1);
}

static void test_station_moves_under_a_next_hop(void **state)
{
    (void)state;
    set("/neigh/b0/10.1.0.5", MAC_A " learned");
    assert_int_equal(kind("10.1.0.5"), ADJACENCY_FLOOD);
    assert_int_equal(record("10.1.0.5")->header_size, 14);
    set("/fdb/br0/" MAC_A, "p1 learned");
    assert_int_equal(kind("10.1.0.5"), ADJACENCY_FORWARD);
    assert_int_equal(record("10.1.0.5")->port, 1);
    set("/fdb/br0/" MAC_A, "p2 learned");
    assert_int_equal(record("10.1.0.5")->port, 2);
    set("/port/p2/link", "down");
    assert_int_equal(kind("10.1.0.5"), ADJACENCY_HOLD);
    set("/fdb/br0/" MAC_A, "p3 static"); /* not a port of the bridge */
    assert_int_equal(kind("10.1.0.5"), ADJACENCY_FLOOD);
    set("/bridge/br0/port/p2", NULL);
    set("/fdb/br0/" MAC_A, "p1 learned");
    assert_int_equal(record("10.1.0.5")->port, 1);
    set("/fdb/br0/" MAC_A, NULL);
    assert_int_equal(kind("10.1.0.5"), ADJACENCY_FLOOD);
    set("/neigh/b0/10.1.0.5", MAC_B " learned");
    set("/fdb/br0/" MAC_B, "p1 learned");
    assert_int_equal(kind("10.1.0.5"), ADJACENCY_FORWARD);
    assert_mac(record("10.1.0.5")->header, MAC_B);
}

/* A dependence on the station's name comes first and makes a plain anchor; then an lcore asks for the
 * station itself. */
static void test_station_anchor_replaces_the_plain_one(void **state)
{
    struct flow_missing missing = {.kind = FLOW_BRIDGED};
    union flow_key key = station_key(MAC_A);
    struct ns_anchor *station;

    (void)state;
    set("/neigh/b0/10.1.0.5", MAC_A " learned");
    assert_int_equal(kind("10.1.0.5"), ADJACENCY_FLOOD);
    missing.bridge = key.bridge;
    missing.mac = key.mac;
    assert_null(adjacency_find_station(world.adjacencies, key.bridge, &key.mac));
    must(adjacencies_supply(world.adjacencies, &missing, 0));
    station = adjacency_find_station(world.adjacencies, key.bridge, &key.mac);
    assert_non_null(station);
    assert_int_equal(adjacency_of(station)->kind, ADJACENCY_BRIDGE_FLOOD);
    set("/fdb/br0/" MAC_A, "p1 learned");
    assert_int_equal(adjacency_of(station)->kind, ADJACENCY_BRIDGED);
    assert_int_equal(adjacency_of(station)->port, 1);
    assert_int_equal(record("10.1.0.5")->port, 1);
    set("/port/p1/link", "down");
    assert_int_equal(adjacency_of(station)->kind, ADJACENCY_BLACKHOLE);
    set("/bridge/br0", NULL);
    assert_int_equal(adjacency_of(station)->kind, ADJACENCY_BLACKHOLE);
    missing.bridge = 999;
    assert_int_equal(adjacencies_supply(world.adjacencies, &missing, 0), -ENOENT);
}

static void test_next_hop_of_a_next_hop(void **state)
{
    (void)state;
    set("/neigh/e0/" GATEWAY, MAC_A " static");
    set("/neigh/e3/192.168.0.9", MAC_B " static");
    set("/route/172.16.0.0/12", "via " GATEWAY);
    set("/route/172.31.0.0/16", "via 172.16.5.5");
    assert_int_equal(kind("172.31.1.1"), ADJACENCY_FORWARD);
    assert_int_equal(record("172.31.1.1")->next_hop, ip(GATEWAY));
    set("/route/172.16.5.5/32", "via 192.168.0.9"); /* more specific, in the middle of the chain */
    assert_int_equal(record("172.31.1.1")->port, 3);
    set("/route/172.16.5.5/32", NULL);
    assert_int_equal(record("172.31.1.1")->port, 0);
    set("/route/172.16.0.0/12", "blackhole");
    assert_int_equal(kind("172.31.1.1"), ADJACENCY_BLACKHOLE);
    set("/route/172.16.0.0/12", "reject");
    assert_int_equal(kind("172.31.1.1"), ADJACENCY_REJECT);
    set("/route/172.16.0.0/12", NULL);
    assert_int_equal(kind("172.31.1.1"), ADJACENCY_NO_ROUTE);
}

static void test_ends_of_a_chain(void **state)
{
    (void)state;
    assert_int_equal(kind("10.0.0.1"), ADJACENCY_LOCAL);
    assert_int_equal(kind("10.0.0.255"), ADJACENCY_BLACKHOLE);
    assert_int_equal(kind("8.8.8.8"), ADJACENCY_NO_ROUTE);
    for (int i = 0; i <= ADJACENCY_DEPTH; i++) { /* a chain that is too long */
        char path[64], value[64];

        snprintf(path, sizeof(path), "/route/172.16.%d.0/24", i);
        snprintf(value, sizeof(value), "via 172.16.%d.1", i + 1);
        set(path, value);
    }
    assert_int_equal(kind("172.16.0.1"), ADJACENCY_UNREACHABLE);
}

static void test_fixed_ones(void **state)
{
    static const int kinds[] = {ADJACENCY_NO_ROUTE, ADJACENCY_REJECT, ADJACENCY_BLACKHOLE,
                                ADJACENCY_DENIED, ADJACENCY_LOCAL};

    (void)state;
    for (int i = 0; i < 5; i++) {
        struct ns_anchor *anchor = adjacency_fixed(world.adjacencies, kinds[i]);

        assert_true(adjacency_is(anchor));
        assert_false(adjacency_is_next_hop(anchor));
        assert_int_equal(adjacency_of(anchor)->kind, kinds[i]);
    }
    assert_string_equal(adjacency_kind_name(ADJACENCY_NO_ROUTE), "no-route");
}

/* Equal records are not published: nobody is told of what makes no difference. */
static void test_same_record_keeps_its_version(void **state)
{
    uint64_t version;

    (void)state;
    set("/neigh/e0/10.0.0.5", MAC_A " learned");
    version = record("10.0.0.5")->version;
    set("/neigh/e0/10.0.0.5", MAC_A " static");
    set("/iface/e0/mode", "bound");
    assert_int_equal(record("10.0.0.5")->version, version);
    set("/port/p0/mtu", "9000");
    assert_int_not_equal(record("10.0.0.5")->version, version);
    assert_int_equal(record("10.0.0.5")->mtu, 9000);
}

static void test_unused_anchors_are_forgotten(void **state)
{
    struct ns_store_counters before, after;
    struct ns_anchor *anchor;
    uint16_t vrf;

    (void)state;
    ns_store_drain(world.store);
    ns_store_counters(world.store, &before);
    anchor = next_hop("10.0.0.5");
    assert_int_equal(adjacency_next_hop(anchor, &vrf), ip("10.0.0.5"));
    ns_anchor_unregister(anchor, 0);
    flow_table_poll(world.table, world.now); /* takes the notice */
    ns_store_drain(world.store);
    assert_null(adjacency_find(world.adjacencies, 0, ip("10.0.0.5")));
    ns_store_counters(world.store, &after);
    assert_int_equal(after.anchors, before.anchors);
}

static void test_too_many_anchors(void **state)
{
    struct ns_store_options options = {.lcores = 1, .anchors_max = 9};
    struct flow_missing missing = {.kind = FLOW_ROUTED, .no_prefix = true};
    struct world small = world;
    struct adjacencies *adjacencies;
    int rc = 0, made = 0;

    (void)state;
    must(ns_store_new(&options, &small.store));
    must(links_new(small.store, &small.links));
    must(routes_new(small.store, small.links, &small.routes));
    must(definitions_new(small.store, small.links, &small.definitions));
    must(adjacencies_new(small.store, small.links, small.routes, small.definitions, &adjacencies));
    for (; rc == 0 && made < 100; made++) {
        missing.next_hop = rte_cpu_to_be_32(0x0a000000 + made);
        rc = adjacencies_supply(adjacencies, &missing, 0);
    }
    assert_int_equal(rc, -ENOSPC);
    assert_int_equal(made, 5); /* five are fixed */
    adjacencies_free(adjacencies);
    ns_store_free(small.store);
    definitions_free(small.definitions);
    routes_free(small.routes);
    links_free(small.links);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_forward_has_the_whole_header, setup, teardown),
        cmocka_unit_test_setup_teardown(test_neighbour_appears_fails_and_goes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_port_down_holds, setup, teardown),
        cmocka_unit_test_setup_teardown(test_interface_goes_and_comes_back_elsewhere, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_station_moves_under_a_next_hop, setup, teardown),
        cmocka_unit_test_setup_teardown(test_station_anchor_replaces_the_plain_one, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_next_hop_of_a_next_hop, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ends_of_a_chain, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fixed_ones, setup, teardown),
        cmocka_unit_test_setup_teardown(test_same_record_keeps_its_version, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unused_anchors_are_forgotten, setup, teardown),
        cmocka_unit_test(test_too_many_anchors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
