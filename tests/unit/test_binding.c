/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bindings: the cases that make it hard, one by one, and then all of them at random against a model that
 * knows nothing of anchors: after every change has been told, each flow goes where the model says.
 */
#include "flows/check.h"
#include "tests/unit/flow_world.h"
#include "tests/unit/seed.h"

#define MAC_A "02:00:00:00:0a:0a"
#define MAC_B "02:00:00:00:0b:0b"

static struct flow_table_counters counters(void)
{
    struct flow_table_counters now;

    flow_table_counters(world.table, &now);
    return now;
}

static void two_gateways(void)
{
    set("/neigh/e0/10.0.0.2", MAC_A " static");
    set("/neigh/e3/192.168.0.9", MAC_B " static");
    set("/route/0.0.0.0/0", "via 10.0.0.2");
}

static int port_to(const char *dst)
{
    const struct adjacency *record = use_to(dst);

    return record->kind == ADJACENCY_FORWARD ? record->port : -1 - record->kind;
}

static void test_more_specific_route(void **state)
{
    (void)state;
    two_gateways();
    assert_int_equal(port_to("172.16.1.1"), 0);
    assert_int_equal(port_to("172.17.1.1"), 0);
    settle();
    set("/route/172.16.0.0/16", "via 192.168.0.9");
    settle();
    assert_int_equal(port_to("172.16.1.1"), 3);
    assert_int_equal(port_to("172.17.1.1"), 0);
    assert_int_equal(counters().rebound, 1);
    assert_int_equal(counters().looked_again, 1);
    set("/route/172.16.0.0/16", NULL);
    settle();
    assert_int_equal(port_to("172.16.1.1"), 0);
    assert_int_equal(counters().rebound, 2);
    assert_int_equal(counters().bound, 2);
}

/* Not even a default route at first. */
static void test_route_out_of_nothing(void **state)
{
    (void)state;
    assert_int_equal(port_to("172.16.1.1"), -1 - ADJACENCY_NO_ROUTE);
    two_gateways();
    settle();
    assert_int_equal(port_to("172.16.1.1"), 0);
    set("/route/0.0.0.0/0", NULL);
    settle();
    assert_int_equal(port_to("172.16.1.1"), -1 - ADJACENCY_NO_ROUTE);
    set("/route/172.0.0.0/8", "via 192.168.0.9");
    settle();
    assert_int_equal(port_to("172.16.1.1"), 3);
    set("/route/172.0.0.0/8", "reject");
    settle();
    assert_int_equal(port_to("172.16.1.1"), -1 - ADJACENCY_REJECT);
    assert_int_equal(counters().bound, 1);
}

/* A flow that is used before its turn in the walk looks again at once, within the budget. */
static void test_look_again_when_used(void **state)
{
    union flow_key key = key_of("10.9.9.9", "172.16.1.1", 53);
    struct flow *flow;

    (void)state;
    two_gateways();
    port_to("192.168.0.9");
    flow = flow_for(&key);
    settle();
    set("/route/0.0.0.0/0", "via 192.168.0.9");
    notices_round(world.table);
    assert_int_not_equal(flow->epoch, world.table->epoch);
    flow_table_burst(world.table, 0);
    assert_int_equal(flow_use(world.table, flow, 60)->port, 0); /* no budget: as before */
    flow_table_burst(world.table, 1);
    assert_int_equal(flow_use(world.table, flow, 60)->port, 3);
    assert_int_equal(world.table->budget_left, 0);
    assert_int_equal(flow->epoch, world.table->epoch);
}

static void test_definition_of_higher_priority(void **state)
{
    union flow_key dns = key_of("10.9.9.9", "172.16.1.1", 53),
                   web = key_of("10.9.9.9", "172.16.1.1", 80);

    (void)state;
    two_gateways();
    assert_int_equal(use(&dns)->port, 0);
    assert_int_equal(use(&web)->port, 0);
    set("/flow/b/match", "dport=53 proto=udp");
    set("/flow/b/action", "via 192.168.0.9");
    settle();
    assert_int_equal(use(&dns)->port, 3);
    assert_int_equal(use(&web)->port, 0);
    set("/flow/a/match", "dst=172.16.0.0/12");
    set("/flow/a/action", "drop");
    settle();
    assert_int_equal(use(&dns)->kind,
                     ADJACENCY_DENIED); /* of equal priority, the name that sorts first */
    assert_int_equal(use(&web)->kind, ADJACENCY_DENIED);
    set("/flow/b/priority", "7");
    settle();
    assert_int_equal(use(&dns)->port, 3);
    assert_int_equal(use(&web)->kind, ADJACENCY_DENIED);
    set("/flow/b", NULL);
    settle();
    assert_int_equal(use(&dns)->kind, ADJACENCY_DENIED);
    set("/flow/a/action", "route");
    settle();
    assert_int_equal(use(&dns)->kind, ADJACENCY_FORWARD);
    assert_int_equal(use(&web)->port, 0);
    assert_int_equal(counters().bound, 2);
}

/* A name that isn't there yet, comes, goes, and comes back: the flow is bound once, and never told. */
static void test_absent_name(void **state)
{
    (void)state;
    assert_int_equal(use_to("10.0.0.5")->kind, ADJACENCY_HOLD);
    for (int i = 0; i < 3; i++) {
        world.changed = NULL;
        set("/neigh/e0/10.0.0.5", i % 2 ? MAC_A " learned" : MAC_B " learned");
        settle();
        assert_ptr_equal(world.changed, adjacency_find(world.adjacencies, 0, ip("10.0.0.5")));
        assert_int_equal(world.changed_flows, 1);
        assert_int_equal(use_to("10.0.0.5")->kind, ADJACENCY_FORWARD);
        set("/neigh/e0/10.0.0.5", NULL);
        settle();
        assert_int_equal(use_to("10.0.0.5")->kind, ADJACENCY_HOLD);
    }
    assert_int_equal(counters().moved, 6);
    assert_int_equal(counters().bound, 1);
    assert_int_equal(counters().told, 0);
}

/* A VM migrates: its station moves, and every flow to it moves with one notice. */
static void test_station_moves(void **state)
{
    union flow_key bridged = station_key(MAC_A);
    uint64_t notices;

    (void)state;
    set("/neigh/b0/10.1.0.5", MAC_A " learned");
    set("/fdb/br0/" MAC_A, "p1 learned");
    for (uint16_t dport = 1; dport <= 500; dport++) {
        union flow_key key = key_of("10.9.9.9", "10.1.0.5", dport);

        assert_int_equal(use(&key)->port, 1);
    }
    assert_int_equal(use(&bridged)->port, 1);
    assert_int_equal(use(&bridged)->kind, ADJACENCY_BRIDGED);
    settle();
    notices = counters().notices;
    set("/fdb/br0/" MAC_A, "p2 learned");
    for (uint16_t dport = 1; dport <= 500; dport++) {
        union flow_key key = key_of("10.9.9.9", "10.1.0.5", dport);

        assert_int_equal(use(&key)->port, 2); /* before any notice was taken */
    }
    assert_int_equal(use(&bridged)->port, 2);
    settle();
    assert_int_equal(counters().moved, 501);
    assert_int_equal(counters().notices, notices + 2);
    assert_int_equal(counters().told, 0);
    set("/fdb/br0/" MAC_A, NULL);
    settle();
    assert_int_equal(use(&bridged)->kind, ADJACENCY_BRIDGE_FLOOD);
}

/* To the stack itself; and an address that is taken away. */
static void test_local(void **state)
{
    (void)state;
    assert_int_equal(use_to("10.0.0.1")->kind, ADJACENCY_LOCAL);
    assert_int_equal(use_to("10.0.0.255")->kind, ADJACENCY_BLACKHOLE);
    set("/iface/e0/address/10.0.0.1", NULL);
    settle();
    assert_int_equal(use_to("10.0.0.1")->kind, ADJACENCY_NO_ROUTE);
    set("/iface/e0/address/10.0.0.1", "24");
    settle();
    assert_int_equal(use_to("10.0.0.1")->kind, ADJACENCY_LOCAL);
    assert_int_equal(use_to("10.0.0.255")->kind, ADJACENCY_BLACKHOLE);
}

/* A change at the worst moment: after the look-up, before the registration. Nobody sends a notice for it;
 * the versions say so. */
static void test_change_between_look_up_and_registration(void **state)
{
    static const char *const changes[][2] = {{"/route/172.16.0.0/12", "via 192.168.0.9"},
                                             {"/route/0.0.0.0/0", "blackhole"},
                                             {"/flow/x/match", "dport=53 proto=udp"},
                                             {"/flow/dns/action", "drop"}};
    union flow_key key = key_of("10.9.9.9", "172.16.1.1", 53);
    struct flow_missing missing;
    struct taken taken;

    (void)state;
    two_gateways();
    set("/flow/dns/match", "dport=53 proto=udp");
    for (size_t i = 0; i < RTE_DIM(changes); i++) {
        uint64_t notices;

        for (int second = 0; second < 100; second++, world.now++)
            settle(); /* until nothing is held any more */
        assert_int_equal(counters().holds,
                         i == 0 ? 0 : 1); /* the definition's, with its counters */
        if (decide(world.sources, &key, &taken.decision, &missing) == FLOW_MISSING) {
            must(adjacencies_supply(world.adjacencies, &missing, 0));
            assert_int_equal(decide(world.sources, &key, &taken.decision, &missing), FLOW_BOUND);
        }
        for (int second = 0; second < 10; second++, world.now++)
            settle();
        notices = counters().notices;
        set(changes[i][0], changes[i][1]);
        assert_true(decision_take(world.table, &taken));
        assert_true(decision_overtaken(&taken.decision));
        settle();
        if (i < 3)
            assert_int_equal(counters().notices, notices);
        set(changes[i][0], NULL);
        set("/route/0.0.0.0/0", "via 10.0.0.2");
        set("/flow/dns/match", "dport=53 proto=udp");
    }
    assert_int_equal(decide(world.sources, &key, &taken.decision, &missing), FLOW_BOUND);
    assert_true(decision_take(world.table, &taken));
    assert_false(decision_overtaken(&taken.decision));
}

/* What the new binding needs is not there: the flow goes on as before until it is. */
static void test_missing_for_a_bound_flow(void **state)
{
    (void)state;
    two_gateways();
    assert_int_equal(port_to("172.16.1.1"), 0);
    settle();
    world.refuse = true;
    set("/route/172.16.0.0/12", "via 192.168.0.9");
    for (int i = 0; i < 100; i++)
        assert_true(flow_table_poll(world.table, world.now));
    assert_int_equal(port_to("172.16.1.1"), 0);
    assert_true(world.supplies > 0);
    world.refuse = false;
    settle();
    assert_int_equal(port_to("172.16.1.1"), 3);
    assert_int_equal(counters().bound, 1);
    assert_int_equal(counters().forgotten, 0);
}

static void test_missing_for_too_long(void **state)
{
    union flow_key key = key_of("10.9.9.9", "172.16.1.1", 53);
    struct ns_subscriber *subscriber = ns_store_subscriber(world.store, 0);

    (void)state;
    two_gateways();
    assert_int_equal(port_to("172.16.1.1"), 0);
    settle();
    world.refuse = true;
    set("/route/172.16.0.0/12", "via 192.168.0.9");
    for (int second = 0; second < FLOW_PATIENCE; second++, world.now++)
        for (int i = 0; i < 10; i++) {
            flow_table_poll(world.table, world.now);
            assert_non_null(flow_find(world.table, &key, flow_hash(&key)));
            assert_true(subscriber->applied < subscriber->notified);
        }
    settle();
    assert_null(flow_find(world.table, &key, flow_hash(&key)));
    assert_int_equal(counters().forgotten, 1);
    assert_int_equal(subscriber->applied, subscriber->notified);
    assert_int_equal(port_to("172.16.1.1"), 3); /* its next packet asks */
}

/* What was there when it was asked for may be let go before all else that the flow needs is there: the hold that was
 * empty for long is dropped, and the anchor with it. Then it is asked for again in the same second. */
static void test_missing_again(void **state)
{
    const struct flow_missing missing = {
        .kind = FLOW_ROUTED, .next_hop = ip("192.168.0.9"), .no_prefix = true};

    (void)state;
    two_gateways();
    port_to("172.16.1.1");
    flow_ask(world.table, &missing);
    flow_ask(world.table, &missing);
    assert_int_equal(world.supplies, 1);
    settle();
    hold_drop(world.table,
              hold_find(world.table, adjacency_find(world.adjacencies, 0, missing.next_hop)));
    flow_ask(world.table, &missing);
    flow_ask(world.table, &missing);
    assert_int_equal(world.supplies, 2);
    settle();
}

/* ---- all at random, against a model ---- */

enum { ABSENT = -1 };

static const struct {
    const char *prefix;
    int length;
} prefixes[] = {{"0.0.0.0", 0},     {"172.16.0.0", 12}, {"172.16.1.0", 24}, {"172.16.1.0", 25},
                {"172.16.1.7", 32}, {"10.1.0.2", 32},   {"10.0.0.128", 25}, {"192.168.0.9", 32}};
enum { PREFIXES = RTE_DIM(prefixes) };

/* The last is for any prefix but those of next hops, the first for all. */
static const char *const route_values[] = {"blackhole",    "reject",       "via 10.0.0.3",
                                           "via 10.0.0.2", "via 10.1.0.2", "dev e3"};
enum { ROUTE_VALUES = RTE_DIM(route_values), ROUTE_VALUES_OF_NEXT_HOPS = 3 };

static const struct {
    const char *iface, *address;
} neighbours[] = {{"e0", "10.0.0.2"},   {"e0", "10.0.0.3"},    {"e0", "10.0.0.200"},
                  {"b0", "10.1.0.2"},   {"b0", "10.1.0.3"},    {"e3", "192.168.0.9"},
                  {"e3", "172.16.1.7"}, {"e3", "172.16.1.200"}};
enum { NEIGHBOURS = RTE_DIM(neighbours) };

static const char *const macs[] = {MAC_A, MAC_B, "02:00:00:00:0c:0c"};
enum { MACS = RTE_DIM(macs), FAILED = MACS };

static const char *const ports[] = {"p0", "p1", "p2", "p3"};

static const char *const definition_names[] = {"alpha", "beta", "gamma"};
static const char *const matches[] = {"dport=53 proto=udp", "src=10.9.0.0/16",
                                      "dst=172.16.1.0/24 proto=udp", ""};
static const char *const actions[] = {"route", "count", "drop", "via 10.0.0.3", "via 192.168.0.9"};
enum {
    DEFINITIONS = RTE_DIM(definition_names),
    MATCHES = RTE_DIM(matches),
    ACTIONS = RTE_DIM(actions)
};

static struct {
    int route[PREFIXES];       /* index in route_values */
    int neighbour[NEIGHBOURS]; /* index in macs, or FAILED */
    int station[MACS];         /* port of the bridge: 1, 2 */
    bool down[4];
    struct {
        int match, action, priority;
    } definition[DEFINITIONS];
} model;

static const char *const sources_of_flows[] = {"10.9.9.9", "10.8.8.8"};
static const char *const destinations[] = {"172.16.1.7", "172.16.1.9", "172.16.1.200", "172.16.9.9",
                                           "10.1.0.2",   "10.1.0.3",   "10.0.0.2",     "10.0.0.200",
                                           "10.0.0.201", "8.8.8.8",    "10.0.0.1",     "10.0.0.255",
                                           "192.168.0.9"};
enum { SOURCES = RTE_DIM(sources_of_flows), DESTINATIONS = RTE_DIM(destinations) };

static void write_or_remove(struct ns_txn *txn, const char *path, const char *value)
{
    must(value == NULL ? ns_txn_remove(txn, path) : ns_txn_write(txn, path, value, strlen(value)));
}

static void change_route(struct ns_txn *txn)
{
    unsigned i = seed_below(PREFIXES);
    bool of_next_hops = strncmp(prefixes[i].prefix, "10.1", 4) == 0 || prefixes[i].prefix[1] == '9';
    int value = (int)seed_below(1 + (of_next_hops ? ROUTE_VALUES_OF_NEXT_HOPS : ROUTE_VALUES)) - 1;
    char path[64];

    snprintf(path, sizeof(path), "/route/%s/%d", prefixes[i].prefix, prefixes[i].length);
    if (value != ABSENT || model.route[i] != ABSENT)
        write_or_remove(txn, path, value == ABSENT ? NULL : route_values[value]);
    model.route[i] = value;
}

static void change_neighbour(struct ns_txn *txn)
{
    unsigned i = seed_below(NEIGHBOURS);
    int value = (int)seed_below(MACS + 2) - 1;
    char path[64], text[64];

    snprintf(path, sizeof(path), "/neigh/%s/%s", neighbours[i].iface, neighbours[i].address);
    snprintf(text, sizeof(text), "%s learned", macs[value >= 0 && value < MACS ? value : 0]);
    if (value != ABSENT || model.neighbour[i] != ABSENT)
        write_or_remove(txn, path, value == ABSENT ? NULL : value == FAILED ? "failed" : text);
    model.neighbour[i] = value;
}

static void change_station(struct ns_txn *txn)
{
    unsigned i = seed_below(MACS);
    int port = (int)seed_below(3);
    char path[64];

    snprintf(path, sizeof(path), "/fdb/br0/%s", macs[i]);
    port = port == 0 ? ABSENT : port;
    if (port != ABSENT || model.station[i] != ABSENT)
        write_or_remove(txn, path, port == ABSENT ? NULL : port == 1 ? "p1 learned" : "p2 static");
    model.station[i] = port;
}

static void change_port(struct ns_txn *txn)
{
    unsigned i = seed_below(4);
    char path[64];

    model.down[i] = seed_below(4) == 0;
    snprintf(path, sizeof(path), "/port/%s/link", ports[i]);
    write_or_remove(txn, path, model.down[i] ? "down" : "up");
}

static void change_definition(struct ns_txn *txn)
{
    unsigned i = seed_below(DEFINITIONS);
    char path[64], priority[16];

    snprintf(path, sizeof(path), "/flow/%s", definition_names[i]);
    if (seed_below(3) == 0) {
        if (model.definition[i].match != ABSENT)
            write_or_remove(txn, path, NULL);
        model.definition[i].match = ABSENT;
        return;
    }
    model.definition[i].match = (int)seed_below(MATCHES);
    model.definition[i].action = (int)seed_below(ACTIONS);
    model.definition[i].priority = (int)seed_below(3);
    snprintf(path, sizeof(path), "/flow/%s/match", definition_names[i]);
    write_or_remove(txn, path, matches[model.definition[i].match]);
    snprintf(path, sizeof(path), "/flow/%s/action", definition_names[i]);
    write_or_remove(txn, path, actions[model.definition[i].action]);
    snprintf(path, sizeof(path), "/flow/%s/priority", definition_names[i]);
    snprintf(priority, sizeof(priority), "%d", model.definition[i].priority);
    write_or_remove(txn, path, priority);
}

static void random_commit(void)
{
    static void (*const change[])(struct ns_txn *) = {change_route,      change_neighbour,
                                                      change_station,    change_port,
                                                      change_definition, change_route};
    struct ns_txn *txn;

    must(ns_txn_begin(world.store, &ns_identity_stack, &txn));
    for (unsigned n = seed_below(4); n < 4; n++)
        change[seed_below(RTE_DIM(change))](txn);
    must(ns_txn_commit(txn, NULL, NULL));
}

/* What the model expects of a packet. */
struct expected {
    int kind;
    int port;
    int mac;
};

static struct expected expect_port(int port, int mac)
{
    if (model.down[port])
        return (struct expected){ADJACENCY_HOLD, 0, 0};
    return (struct expected){ADJACENCY_FORWARD, port, mac};
}

static struct expected expect_neighbour(const char *iface, rte_be32_t address)
{
    int mac = ABSENT;

    for (int i = 0; i < NEIGHBOURS; i++)
        if (strcmp(neighbours[i].iface, iface) == 0 && ip(neighbours[i].address) == address)
            mac = model.neighbour[i];
    if (mac == ABSENT)
        return (struct expected){ADJACENCY_HOLD, 0, 0};
    if (mac == FAILED)
        return (struct expected){ADJACENCY_UNREACHABLE, 0, 0};
    if (strcmp(iface, "b0") != 0)
        return expect_port(iface[1] - '0', mac);
    if (model.station[mac] == ABSENT)
        return (struct expected){ADJACENCY_FLOOD, 0, mac};
    return expect_port(model.station[mac], mac);
}

static bool inside(rte_be32_t address, const char *prefix, int length)
{
    return ((address ^ ip(prefix)) & route_mask((uint8_t)length)) == 0;
}

static struct expected expect_address(rte_be32_t address)
{
    static const struct {
        const char *prefix;
        int length;
        const char *iface; /* NULL: kind */
        int kind;
    } derived[] = {
        {"10.0.0.0", 24, "e0", 0},    {"10.0.0.1", 32, NULL, ADJACENCY_LOCAL},
        {"10.1.0.0", 16, "b0", 0},    {"10.0.0.255", 32, NULL, ADJACENCY_BLACKHOLE},
        {"192.168.0.0", 24, "e3", 0},
    };
    int best = -1, length = -1;
    bool configured = false;
    const char *value;

    for (int i = 0; i < (int)RTE_DIM(derived); i++)
        if (inside(address, derived[i].prefix, derived[i].length) && derived[i].length > length) {
            best = i;
            length = derived[i].length;
        }
    for (int i = 0; i < PREFIXES; i++)
        if (model.route[i] != ABSENT && inside(address, prefixes[i].prefix, prefixes[i].length) &&
            prefixes[i].length >= length) {
            best = i;
            length = prefixes[i].length;
            configured = true;
        }
    if (best < 0)
        return (struct expected){ADJACENCY_NO_ROUTE, 0, 0};
    if (!configured && derived[best].iface == NULL)
        return (struct expected){derived[best].kind, 0, 0};
    if (!configured)
        return expect_neighbour(derived[best].iface, address);
    value = route_values[model.route[best]];
    if (strcmp(value, "blackhole") == 0)
        return (struct expected){ADJACENCY_BLACKHOLE, 0, 0};
    if (strcmp(value, "reject") == 0)
        return (struct expected){ADJACENCY_REJECT, 0, 0};
    return strncmp(value, "via ", 4) == 0 ? expect_address(ip(value + 4))
                                          : expect_neighbour(value + 4, address);
}

static bool model_matches(int match, const union flow_key *key)
{
    switch (match) {
    case 0: return key->dport == htons(53);
    case 1: return inside(key->src, "10.9.0.0", 16);
    case 2: return inside(key->dst, "172.16.1.0", 24) && key->proto == 17;
    default: return true;
    }
}

static struct expected expect_routed(const union flow_key *key)
{
    int best = -1;
    const char *action;

    for (int i = 0; i < DEFINITIONS; i++)
        if (model.definition[i].match != ABSENT && model_matches(model.definition[i].match, key) &&
            (best < 0 || model.definition[i].priority > model.definition[best].priority))
            best = i;
    action = best < 0 ? "route" : actions[model.definition[best].action];
    if (strcmp(action, "drop") == 0)
        return (struct expected){ADJACENCY_DENIED, 0, 0};
    return expect_address(strncmp(action, "via ", 4) == 0 ? ip(action + 4) : key->dst);
}

static struct expected expect_bridged(const union flow_key *key)
{
    for (int i = 0; i < MACS; i++) {
        union flow_key other = station_key(macs[i]);

        if (!rte_is_same_ether_addr(&other.mac, &key->mac))
            continue;
        if (model.station[i] == ABSENT)
            break;
        if (model.down[model.station[i]])
            return (struct expected){ADJACENCY_BLACKHOLE, 0, 0};
        return (struct expected){ADJACENCY_BRIDGED, model.station[i], 0};
    }
    return (struct expected){ADJACENCY_BRIDGE_FLOOD, 0, 0};
}

static void check_flow(const struct flow *flow)
{
    const struct adjacency *record = adjacency_of(flow->adjacency);
    bool bridged = flow->key.kind == FLOW_BRIDGED;
    struct expected expected = bridged ? expect_bridged(&flow->key) : expect_routed(&flow->key);

    assert_string_equal(adjacency_kind_name(record->kind), adjacency_kind_name(expected.kind));
    if (record->kind == ADJACENCY_FORWARD || record->kind == ADJACENCY_BRIDGED)
        assert_int_equal(record->port, expected.port);
    if (record->kind == ADJACENCY_FORWARD || record->kind == ADJACENCY_FLOOD) {
        char mac[18];

        link_format_mac((const struct rte_ether_addr *)record->header, mac);
        assert_string_equal(mac, macs[expected.mac]);
    }
}

/* Each is counted as often as flows are bound through it, and an array has no one else. */
static void check_holds(void)
{
    struct flow_table_inner *inner = world.table->inner;
    uint32_t *flows = calloc(inner->hold_count, sizeof(*flows)), gathering = 0;
    const struct flow *flow;

    for (uint32_t cursor = 0; flow_table_next(world.table, &cursor, &flow);)
        for (int role = 0; role < ROLES; role++)
            flows[flow_hold(world.table, flow_index(world.table, flow), role)]++;
    for (uint32_t i = 1; i < inner->hold_count; i++) {
        const struct hold *hold = &inner->holds[i];

        if (hold->anchor == NULL)
            continue;
        assert_int_equal(hold->flows, flows[i]);
        gathering += hold->filing == GATHERING;
        if (hold->role == BY_ALL || hold->role == BY_ADJACENCY || hold->filing == IN_TABLE)
            assert_int_equal(array_size(hold), 0);
        else if (hold->filing == IN_ARRAY)
            assert_int_equal(array_size(hold), flows[i]);
    }
    assert_int_equal(inner->gathering, gathering);
    free(flows);
}

static void check_all(void)
{
    struct ns_subscriber *subscriber = ns_store_subscriber(world.store, 0);
    const struct flow *flow;
    uint32_t cursor = 0, holds = 0;
    struct flow_check found = {.cursor = 0};

    settle();
    assert_int_equal(subscriber->applied, subscriber->notified);
    while (!flow_table_check(world.table, &found, 64))
        world.table->now += found.suspect_since != 0; /* patience */
    assert_int_equal(found.wrong, 0);
    while (flow_table_next(world.table, &cursor, &flow)) {
        assert_false(is_stale(flow));
        check_flow(flow);
    }
    for (uint32_t i = 1; i < world.table->inner->hold_count; i++)
        if (world.table->inner->holds[i].anchor != NULL) {
            assert_int_equal(world.table->inner->holds[i].walk, WALK_NONE);
            holds++;
        }
    assert_int_equal(holds, counters().holds);
    check_holds();
}

static union flow_key random_key(void)
{
    if (seed_below(8) == 0)
        return station_key(macs[seed_below(MACS)]);
    return key_of(sources_of_flows[seed_below(SOURCES)], destinations[seed_below(DESTINATIONS)],
                  seed_below(2) == 0 ? 53 : (uint16_t)seed_below(20));
}

static void random_flows(void)
{
    for (unsigned n = seed_below(20); n > 0; n--) {
        union flow_key key = random_key();
        struct flow *flow = flow_for(&key);

        if (seed_below(10) == 0)
            flow_forget(world.table, flow_index(world.table, flow));
        else
            flow_use(world.table, flow, 100);
    }
}

static void model_begin(void)
{
    memset(&model, 0xff, sizeof(model)); /* all ABSENT */
    memset(model.down, 0, sizeof(model.down));
}

/* many: from how many flows on a hold has no array. */
static void run_model(uint32_t many)
{
    struct flow_table_counters now;

    seed_begin();
    model_begin();
    flow_table_free(world.table);
    world_table(
        &(struct flow_table_options){.flows = 2048, .slice = 3, .idle_seconds = 20, .many = many});
    world.table->epoch = UINT32_MAX - 100; /* it comes around on the way */
    for (unsigned step = 0; step < 3000 * seed_scale(); step++) {
        random_commit();
        random_flows();
        for (unsigned polls = seed_below(3); polls > 0; polls--)
            flow_table_poll(world.table, world.now);
        ns_rcu_quiescent();
        ns_store_housekeep(world.store);
        if (seed_below(4) == 0)
            world.now++;
        if (seed_below(10) == 0)
            check_all();
    }
    check_all();
    now = counters();
    assert_true(now.rebound > 0 && now.looked_again > 0 && now.moved > 0 && now.idle > 0);
    assert_true(now.spared > 0);
    flow_table_clear(world.table);
    for (int second = 0; second < 100; second++, world.now++)
        settle();
    assert_true(counters().holds <= DEFINITIONS);
    assert_int_equal(world.table->inner->gathering, 0);
}

static void test_model(void **state)
{
    (void)state;
    run_model(UINT32_MAX);
}

static void test_model_without_arrays(void **state)
{
    (void)state;
    run_model(1);
}

static void test_model_with_arrays_that_come_and_go(void **state)
{
    (void)state;
    run_model(16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_more_specific_route, setup, teardown),
        cmocka_unit_test_setup_teardown(test_route_out_of_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_look_again_when_used, setup, teardown),
        cmocka_unit_test_setup_teardown(test_definition_of_higher_priority, setup, teardown),
        cmocka_unit_test_setup_teardown(test_absent_name, setup, teardown),
        cmocka_unit_test_setup_teardown(test_station_moves, setup, teardown),
        cmocka_unit_test_setup_teardown(test_local, setup, teardown),
        cmocka_unit_test_setup_teardown(test_change_between_look_up_and_registration, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_missing_for_a_bound_flow, setup, teardown),
        cmocka_unit_test_setup_teardown(test_missing_for_too_long, setup, teardown),
        cmocka_unit_test_setup_teardown(test_missing_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_model, setup, teardown),
        cmocka_unit_test_setup_teardown(test_model_without_arrays, setup, teardown),
        cmocka_unit_test_setup_teardown(test_model_with_arrays_that_come_and_go, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
