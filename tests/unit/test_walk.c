/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Notices and walks: slices, batches, storms, flows that come and go under a walk; and real threads, meant
 * to run under ThreadSanitizer as well.
 */
#include <rte_cycles.h>

#include "flows/check.h"
#include "tests/unit/flow_threads.h"
#include "tests/unit/seed.h"

#define MAC_A "02:00:00:00:0a:0a"
#define MAC_B "02:00:00:00:0b:0b"

static struct flow_table_counters counters(void)
{
    struct flow_table_counters now;

    flow_table_counters(world.table, &now);
    return now;
}

static uint64_t applied(void)
{
    return ns_store_subscriber(world.store, 0)->applied;
}

static uint64_t notified(void)
{
    return ns_store_subscriber(world.store, 0)->notified;
}

static union flow_key key_number(unsigned i, const char *dst)
{
    union flow_key key = key_of("10.9.9.9", dst, (uint16_t)i);

    key.sport = htons((uint16_t)(i >> 16));
    return key;
}

/* From how many flows on a hold has no array, so that walks go through the table; 0: as it comes. */
static uint32_t many;

static void table_with(uint32_t flows, uint32_t slice)
{
    flow_table_free(world.table);
    world_table(&(struct flow_table_options){.flows = flows, .slice = slice, .many = many});
    set("/neigh/e0/10.0.0.2", MAC_A " static");
    set("/neigh/e3/192.168.0.9", MAC_B " static");
    set("/route/0.0.0.0/0", "via 10.0.0.2");
}

static void bind_many(unsigned count, const char *dst)
{
    for (unsigned i = 0; i < count; i++) {
        union flow_key key = key_number(i, dst);

        flow_for(&key);
    }
    settle();
}

static unsigned count_port(unsigned port)
{
    const struct flow *flow;
    uint32_t cursor = 0;
    unsigned count = 0;

    while (flow_table_next(world.table, &cursor, &flow)) {
        const struct adjacency *record = adjacency_of(flow->adjacency);

        count += record->kind == ADJACENCY_FORWARD && record->port == port;
    }
    return count;
}

static void test_a_walk_takes_slices(void **state)
{
    unsigned polls = 0;
    uint64_t told;

    (void)state;
    table_with(2048, 10);
    use_to("192.168.0.9");
    bind_many(1000, "172.16.1.1");
    told = counters().told;
    set("/route/0.0.0.0/0", "via 192.168.0.9");
    assert_true(applied() < notified());
    while (flow_table_poll(world.table, world.now)) {
        polls++;
        assert_true(counters().told - told <= polls * 10);
        assert_true(applied() < notified());
        assert_true(polls < 200);
    }
    assert_true(polls >= 99);
    assert_int_equal(applied(), notified());
    assert_int_equal(count_port(3), 1001);
    assert_int_equal(counters().told - told,
                     many == 1 ? 1001 : 1000); /* with the one to 192.168.0.9 */
    assert_int_equal(counters().rebound, 1000);
}

/* Change after change in the middle of the walk: each flow is told in good time, none twice for the same
 * change, and `applied` moves on although the walk never ends. */
static void test_a_storm(void **state)
{
    enum { FLOWS = 300, SLICE = 10, ROUND = FLOWS / SLICE };
    uint64_t last = 0, turns;
    unsigned moves = 0, longest = 0, since = 0;

    (void)state;
    table_with(2048, SLICE);
    use_to("192.168.0.9");
    bind_many(FLOWS, "172.16.1.1");
    turns = counters().rebound + counters().looked_again;
    for (unsigned poll = 0; poll < 100 * ROUND; poll++) {
        set("/route/0.0.0.0/0", poll % 2 ? "via 10.0.0.2" : "via 192.168.0.9");
        flow_table_poll(world.table, world.now);
        ns_rcu_quiescent();
        ns_store_housekeep(world.store);
        since++;
        if (applied() != last) {
            moves++;
            last = applied();
            longest = RTE_MAX(longest, since);
            since = 0;
        }
    }
    assert_true(moves >= 40);
    assert_true(longest <= 3 * ROUND);
    assert_true(counters().rebound + counters().looked_again - turns <= 100 * ROUND * SLICE);
    set("/route/0.0.0.0/0", "via 192.168.0.9");
    settle();
    assert_int_equal(count_port(3), FLOWS + 1);
    assert_int_equal(applied(), notified());
}

/* Flows leave and come while the walk is on its way: all that stay are told. */
static void test_flows_come_and_go_under_a_walk(void **state)
{
    enum { FLOWS = 600 };

    (void)state;
    seed_begin();
    table_with(2048, 7);
    use_to("192.168.0.9");
    bind_many(FLOWS, "172.16.1.1");
    for (int i = 0; i < 40; i++) {
        set("/route/0.0.0.0/0", i % 2 ? "via 10.0.0.2" : "via 192.168.0.9");
        while (flow_table_poll(world.table, world.now)) {
            union flow_key key = key_number(seed_below(FLOWS), "172.16.1.1");
            struct flow *flow = flow_find(world.table, &key, flow_hash(&key));

            if (flow != NULL)
                flow_forget(world.table, flow_index(world.table, flow));
            else
                flow_for(&key);
        }
        assert_int_equal(count_port(i % 2 ? 0 : 3) + (i % 2), counters().flows);
    }
}

/* More notices at once than a poll takes. */
static void test_many_notices(void **state)
{
    struct ns_txn *txn;
    unsigned polls;

    (void)state;
    table_with(2048, 16);
    for (unsigned i = 0; i < 1000; i++) {
        char dst[32];

        snprintf(dst, sizeof(dst), "10.1.%u.%u", 1 + i / 250, 1 + i % 250);
        use_to(dst);
    }
    settle();
    must(ns_txn_begin(world.store, &ns_identity_stack, &txn));
    for (unsigned i = 0; i < 1000; i++) {
        char path[64];

        snprintf(path, sizeof(path), "/neigh/b0/10.1.%u.%u", 1 + i / 250, 1 + i % 250);
        must(ns_txn_write(txn, path, MAC_A " learned", strlen(MAC_A " learned")));
    }
    must(ns_txn_commit(txn, NULL, NULL));
    flow_table_poll(world.table, world.now);
    assert_int_equal(counters().moved, 16);
    assert_true(applied() < notified());
    polls = settle();
    assert_true(polls >= 1000 / 16 - 1);
    assert_int_equal(counters().moved, 1000);
    assert_int_equal(applied(), notified());
}

/* A short walk that comes while a long one runs is in the next batch; what was taken with the long one is
 * applied when that is over, not before and not later. */
static void test_batches(void **state)
{
    uint64_t first;
    unsigned polls = 0;

    (void)state;
    table_with(2048, 10);
    use_to("192.168.0.9");
    bind_many(500, "172.16.1.1");
    set("/route/0.0.0.0/0", "via 192.168.0.9");
    first = notified();
    flow_table_poll(world.table, world.now);
    set("/route/192.168.0.0/24", "dev e3");
    for (; applied() < first; polls++)
        assert_true(flow_table_poll(world.table, world.now));
    assert_true(polls >= 48 && polls <= 52);
    assert_int_equal(applied(), first);
    settle();
    assert_int_equal(applied(), notified());
}

/* A flow whose decision was overtaken, and that gave up trying, is told although no notice comes: the
 * change was before the registration. */
static void test_notice_oneself(void **state)
{
    union flow_key key = key_number(1, "172.16.1.1");
    struct flow_missing missing;
    struct taken taken;
    struct flow *flow;
    uint64_t notices;

    (void)state;
    table_with(64, 0);
    use_to("192.168.0.9");
    flow_forget(world.table,
                flow_index(world.table, flow_for(&key))); /* now the anchors are there */
    for (int second = 0; second < 10; second++, world.now++)
        settle(); /* and not held any more, apart from those of the other flow */
    notices = counters().notices;
    assert_int_equal(decide(world.sources, &key, &taken.decision, &missing), FLOW_BOUND);
    set("/route/0.0.0.0/0", "via 192.168.0.9");
    assert_true(decision_take(world.table, &taken));
    flow = flow_slot_take(world.table, &key, flow_hash(&key));
    decision_bind(world.table, flow_index(world.table, flow), &taken);
    assert_int_equal(adjacency_of(flow->adjacency)->port, 0);
    assert_true(walks_left(world.table));
    settle();
    assert_int_equal(adjacency_of(flow->adjacency)->port, 3);
    assert_int_equal(counters().notices, notices);
}

/* A notice that brings nothing new: somebody else on this lcore has asked for what is there. */
static void test_idle_notice(void **state)
{
    struct flow_missing missing = {.kind = FLOW_ROUTED, .next_hop = ip("10.0.0.2")};
    struct flow_table_counters before;

    (void)state;
    table_with(64, 0);
    use_to("172.16.1.1");
    flow_table_clear(world.table);
    for (int second = 0; second < 10; second++, world.now++)
        settle();
    assert_int_equal(counters().holds, 0);
    use_to("172.16.1.1"); /* the anchors are there still */
    before = counters();
    world.changed = NULL;
    must(adjacencies_supply(world.adjacencies, &missing, 0));
    settle();
    assert_int_equal(counters().notices, before.notices + 2);
    assert_int_equal(counters().moved, before.moved);
    assert_int_equal(counters().told, before.told);
    assert_non_null(world.changed);
}

/* A busy lcore gives walks a share of its time only, and goes on chunk by chunk; an idle one whole slices. */
static void test_a_share_of_the_time(void **state)
{
    enum { FLOWS = 3000 };
    struct flow_table_options options = {.flows = 4096, .slice = 64, .share = 1};
    uint64_t most = 0, last, end;
    unsigned polls = 0;

    (void)state;
    flow_table_free(world.table);
    world_table(&options);
    for (uint16_t i = 0; i < FLOWS; i++) {
        union flow_key key = key_of("10.9.9.9", "172.16.1.1", i);

        flow_for(&key);
    }
    settle();
    set("/route/0.0.0.0/0", "via 192.168.0.9");
    last = counters().told;
    while (flow_table_poll(world.table, world.now)) {
        most = RTE_MAX(most, counters().told - last);
        last = counters().told;
        assert_true(++polls < 1000000);
        for (end = rte_rdtsc() + 20000; rte_rdtsc() < end;)
            ; /* packets */
    }
    assert_true(most <= FLOWS / 4 &&
                polls > 10); /* 1 % of 20,000 cycles is less than a chunk takes */
    assert_int_equal(counters().rebound, FLOWS);
}

/* A definition that claims one flow of a thousand: the others are told, and take no slow turn for it. What had
 * come before is not asked again, and what comes after tells them anew. */
static void test_definitions_spare_others(void **state)
{
    struct flow_table_counters before;

    (void)state;
    table_with(2048, 10);
    use_to("192.168.0.9");
    bind_many(1000, "172.16.1.1");
    set("/flow/f/action", "via 192.168.0.9");
    before = counters();
    set("/flow/f/match", "dst=172.16.1.1 proto=udp dport=7");
    settle();
    assert_int_equal(counters().rebound, before.rebound + 1);
    assert_int_equal(counters().looked_again, before.looked_again);
    assert_int_equal(counters().spared, before.spared + 1000); /* with the one to 192.168.0.9 */
    assert_int_equal(count_port(3), 2);
    set("/flow/g/match", "dst=192.168.0.9");
    set("/flow/f", NULL);
    settle();
    assert_int_equal(counters().rebound, before.rebound + 3);
    assert_int_equal(counters().looked_again, before.looked_again);
    assert_int_equal(count_port(3), 1);
}

/* Too many to be remembered: then all look again. */
static void test_many_definitions(void **state)
{
    struct flow_table_counters before;

    (void)state;
    table_with(2048, 10);
    bind_many(100, "172.16.1.1");
    before = counters();
    for (unsigned i = 0; i < 40; i++) {
        char path[32], match[32];

        snprintf(path, sizeof(path), "/flow/d%u/match", i);
        snprintf(match, sizeof(match), "dst=172.17.0.%u", i);
        set(path, match);
    }
    settle();
    assert_int_equal(counters().looked_again, before.looked_again + 100);
    set("/flow/one/match", "proto=udp dport=7");
    settle();
    assert_int_equal(counters().looked_again, before.looked_again + 100);
    assert_int_equal(counters().rebound, before.rebound + 1);
}

/* ---- arrays that come and go ---- */

static const struct hold *hold_of_default_route(void)
{
    const struct flow_table_inner *inner = world.table->inner;

    for (uint32_t i = 1; i < inner->hold_count; i++)
        if (inner->holds[i].anchor != NULL &&
            strcmp(inner->holds[i].anchor->path, "/route/0.0.0.0/0") == 0)
            return &inner->holds[i];
    fail();
    return NULL;
}

static void assert_sound(void)
{
    struct flow_check found = {.cursor = 0};

    while (!flow_table_check(world.table, &found, 100))
        world.table->now += found.suspect_since != 0; /* patience */
    assert_int_equal(found.wrong, 0);
}

/* Until the sweep has come by everything; a change in the middle of it reaches all. */
static void sweep_with_changes(void)
{
    for (int poll = 0; poll < 60; poll++) {
        set("/route/0.0.0.0/0", poll % 2 ? "via 10.0.0.2" : "via 192.168.0.9");
        world.now += poll % 10 == 0;
        settle();
        assert_sound();
        assert_int_equal(count_port(poll % 2 ? 0 : 3), counters().flows - poll % 2);
    }
}

/* A hold whose flows become many gives its array up, and gets one when they have become few. */
static void test_arrays_come_and_go(void **state)
{
    enum { FLOWS = 600, LEFT = 20 };
    uint32_t free_chunks = 0, after = 0;

    (void)state;
    many = 100;
    table_with(1024, 7);
    for (uint32_t chunk = world.table->inner->free_chunk; chunk != 0;
         chunk = world.table->inner->chunks[chunk])
        free_chunks++;
    use_to("192.168.0.9");
    bind_many(100, "172.16.1.1");
    assert_int_equal(hold_of_default_route()->filing, IN_ARRAY);
    assert_int_equal(array_size(hold_of_default_route()), 100);
    bind_many(FLOWS, "172.16.1.1");
    assert_int_equal(hold_of_default_route()->filing, IN_TABLE);
    assert_int_equal(array_size(hold_of_default_route()), 0);
    for (unsigned i = LEFT; i < FLOWS; i++) {
        union flow_key key = key_number(i, "172.16.1.1");

        flow_forget(world.table, flow_index(world.table, flow_for(&key)));
    }
    sweep_with_changes();
    assert_int_equal(hold_of_default_route()->filing, IN_ARRAY);
    assert_int_equal(array_size(hold_of_default_route()), LEFT);
    bind_many(FLOWS, "172.16.1.1");
    assert_int_equal(hold_of_default_route()->filing, IN_TABLE);
    flow_table_clear(world.table);
    for (uint32_t chunk = world.table->inner->free_chunk; chunk != 0;
         chunk = world.table->inner->chunks[chunk])
        after++;
    assert_int_equal(after, free_chunks);
    many = 0;
}

/* A flow that comes, and one that goes, at each step of the sweep around the table: they are found where they should
 * be, whatever the sweep has come by. */
static void test_arrays_at_each_step_of_the_sweep(void **state)
{
    struct flow_table_inner *inner;
    union flow_key old = key_number(0, "172.16.1.1");

    (void)state;
    many = 40;
    table_with(64, 7);
    inner = world.table->inner;
    bind_many(60, "172.16.1.1");
    assert_int_equal(hold_of_default_route()->filing, IN_TABLE);
    for (unsigned i = 8; i < 60; i++) {
        union flow_key key = key_number(i, "172.16.1.1");

        flow_forget(world.table, flow_index(world.table, flow_for(&key)));
    }
    for (uint32_t step = 0; step < 3 * (inner->slots + inner->hold_count); step++) {
        union flow_key key = key_number(100 + step, "172.16.1.1");

        inner->sweep_due = inner->sweep_slice = 1;
        sweep_round(world.table);
        flow_for(&key);
        assert_sound();
        flow_forget(world.table, flow_index(world.table, flow_for(&old)));
        old = key;
        assert_sound();
    }
    assert_int_equal(hold_of_default_route()->filing, IN_ARRAY);
    assert_int_equal(array_size(hold_of_default_route()), 8);
    many = 0;
}

/* A route of any length around one of 20 destinations, or a definition that claims some of them. */
static void change_some(void)
{
    static const char *const values[] = {"via 10.0.0.2", "via 192.168.0.9", "blackhole"};
    uint8_t length = (uint8_t)(12 + seed_below(21));
    rte_be32_t prefix = rte_cpu_to_be_32(0xac100001 + (seed_below(20) << 8)) & route_mask(length);
    const char *value = values[seed_below(RTE_DIM(values))];
    char path[64];

    if (seed_below(5) != 0)
        route_path(prefix, length, path, sizeof(path));
    else
        snprintf(path, sizeof(path), "/flow/f%u/match", seed_below(3));
    if (strstr(path, "/flow") != NULL)
        value = "dst=172.16.4.0/22 proto=udp dport=1";
    set(path, value);
    settle();
    if (seed_below(2) == 0)
        set(path, NULL);
    settle();
}

/* Flows of one route that go more ways than are kept, and of several definitions. */
static void test_ways_of_many_kinds(void **state)
{
    (void)state;
    seed_begin();
    table_with(2048, 64);
    use_to("192.168.0.9");
    for (unsigned i = 0; i < 20; i++) {
        char dst[32];

        snprintf(dst, sizeof(dst), "172.16.%u.1", i);
        bind_many(4, dst);
    }
    for (unsigned round = 0; round < 200; round++) {
        change_some();
        assert_sound();
    }
}

static void assert_as_decided(const struct flow *flow)
{
    struct decision decision;
    struct flow_missing missing;

    assert_int_equal(decide(world.sources, &flow->key, &decision, &missing), FLOW_BOUND);
    assert_ptr_equal(flow->adjacency, decision.adjacency);
    for (int role = 0; role < DEPENDENCIES; role++) {
        uint32_t hold = flow_hold(world.table, flow_index(world.table, flow), role);

        assert_ptr_equal(decision.anchors[role],
                         hold == 0 ? NULL : world.table->inner->holds[hold].anchor);
    }
}

/* While flows look again because of one commit, another is published that changes definitions and routes, and its
 * notices are not taken yet: who looks again goes by all of it. */
static void test_a_way_is_of_one_version(void **state)
{
    struct ns_txn *txn;

    (void)state;
    table_with(2048, 1);
    set("/flow/f/match", "dst=172.17.0.1");
    set("/flow/f/action", "via 10.0.0.2");
    use_to("172.17.0.1");
    use_to("192.168.0.9");
    bind_many(20, "172.16.1.1");
    bind_many(20, "172.16.2.1");
    settle();
    set("/route/0.0.0.0/0", "via 192.168.0.9");
    for (int i = 0; i < 3; i++)
        flow_table_poll(world.table, world.now);
    must(ns_txn_begin(world.store, &ns_identity_stack, &txn));
    must(ns_txn_write(txn, "/flow/f/match", "dst=172.16.1.1", strlen("dst=172.16.1.1")));
    must(ns_txn_write(txn, "/route/0.0.0.0/0", "blackhole", strlen("blackhole")));
    must(ns_txn_commit(txn, NULL, NULL));
    for (unsigned i = 0; i < 40; i++) {
        union flow_key key = key_number(i % 20, i < 20 ? "172.16.2.1" : "172.16.1.1");
        struct flow *flow = flow_for(&key);
        bool stale = is_stale(flow);

        use(&key);
        if (stale)
            assert_as_decided(flow);
    }
    assert_true(walks_left(world.table));
    settle();
    assert_sound();
}

static bool forget_if_bound_anew(const union flow_key *key)
{
    struct flow *flow = flow_for(key);
    bool anew = !is_stale(flow);

    if (anew)
        flow_forget(world.table, flow_index(world.table, flow));
    return anew;
}

/* The only flow that a walk has bound anew goes, and then the way that it went changes: the next does not take it. */
static void test_a_way_that_nobody_goes_changes(void **state)
{
    union flow_key keys[] = {key_number(1, "172.16.1.1"), key_number(2, "172.16.1.2")},
                   other = key_of("10.9.9.9", "172.17.1.1", 53);
    const struct flow *first, *second;
    unsigned left;

    (void)state;
    table_with(2048, 1);
    use_to("192.168.0.9");
    set("/route/172.16.0.0/12", "via 10.0.0.2");
    flow_forget(world.table, flow_index(world.table, flow_for(&other))); /* its anchors stay */
    set("/route/172.16.0.0/12", NULL);
    settle();
    first = flow_for(&keys[0]);
    second = flow_for(&keys[1]);
    set("/route/172.16.0.0/12", "via 10.0.0.2");
    while (!is_stale(first))
        notices_round(world.table);
    while (is_stale(first) && is_stale(second))
        flow_table_poll(world.table, world.now);
    left = forget_if_bound_anew(&keys[0]) ? 1 : 0;
    assert_true(left == 1 || forget_if_bound_anew(&keys[1]));
    set("/route/172.16.0.0/12", "via 192.168.0.9");
    settle();
    assert_sound();
    assert_int_equal(use(&keys[left])->port, 3);
}

/* ---- real threads ---- */

enum { LCORES = 2, DESTINATIONS = 24 };

struct lcore {
    struct flow_thread thread; /* first */
    uint64_t state, torn;
};

static struct lcore lcores[LCORES];

static unsigned lcore_random(struct lcore *self, unsigned n)
{
    self->state = self->state * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (unsigned)(self->state >> 33) % n;
}

static union flow_key lcore_key(unsigned i, unsigned dport)
{
    union flow_key key = {.src = rte_cpu_to_be_32(0x0a090909),
                          .sport = 7,
                          .dport = htons((uint16_t)dport),
                          .scope = 1,
                          .proto = 17,
                          .kind = FLOW_ROUTED};

    key.dst = rte_cpu_to_be_32((i % 3 == 0   ? 0xac100100
                                : i % 3 == 1 ? 0x0a000080
                                             : 0x0a010000) +
                               2 + i);
    return key;
}

static void lcore_packet(struct lcore *self)
{
    union flow_key key = lcore_key(lcore_random(self, DESTINATIONS), 50 + lcore_random(self, 6));
    struct flow *flow;
    const struct adjacency *record = flow_thread_use(&self->thread, &key, &flow);

    if (record == NULL)
        return;
    self->torn += record->kind >= ADJACENCY_KINDS;
    if (record->kind ==
        ADJACENCY_FORWARD) /* in these MAC addresses the last two bytes are the same */
        self->torn += record->header[4] != record->header[5];
    if (lcore_random(self, 50) == 0)
        flow_forget(self->thread.table, flow_index(self->thread.table, flow));
}

static void lcore_packets(struct flow_thread *self, unsigned round)
{
    for (int i = 0; i < 8; i++)
        lcore_packet((struct lcore *)self);
    self->now += round % 64 == 0;
}

static void control_changes(void)
{
    static const char *const changes[][4] = {
        {"/route/0.0.0.0/0", "via 10.0.0.2", "via 192.168.0.9", NULL},
        {"/route/172.16.0.0/12", "via 192.168.0.9", "blackhole", NULL},
        {"/route/172.16.1.0/28", "via 10.1.0.2", "reject", NULL},
        {"/route/10.0.0.128/26", "dev e3", "via 192.168.0.9", NULL},
        {"/flow/a/match", "dport=53 proto=udp", "dport=51-54 proto=udp", NULL},
        {"/flow/b/match", "dst=172.16.1.0/29", "dst=10.0.0.0/8", NULL},
        {"/neigh/e0/10.0.0.2", MAC_A " learned", MAC_B " learned", NULL},
        {"/fdb/br0/" MAC_A, "p1 learned", "p2 learned", NULL},
    };
    const char *const *change = changes[seed_below(RTE_DIM(changes))];
    const char *value = change[1 + seed_below(3)];
    size_t parent = (size_t)(strrchr(change[0], '/') - change[0]);
    char path[64];

    snprintf(path, sizeof(path), "%s", change[0]);
    if (value == NULL && strncmp(path, "/flow", 5) == 0)
        path[parent] = 0; /* the whole definition */
    if (value == NULL &&
        ns_tree_lookup(ns_store_version(world.store)->root, path, strlen(path)) == NULL)
        return;
    set(path, value);
}

static void lcore_new(struct lcore *self)
{
    *self = (struct lcore){.thread = {.packets = lcore_packets}, .state = seed_next()};
    flow_thread_new(
        &self->thread,
        (struct flow_table_options){.flows = 512, .slice = 4, .idle_seconds = 3, .numa_node = -1});
}

/* What each flow is bound to is what it would be bound to now, and all is applied. */
static void check_lcore(const struct flow_thread *self)
{
    struct ns_subscriber *subscriber = ns_store_subscriber(world.store, self->index);
    const struct flow *flow;
    uint32_t cursor = 0;

    assert_int_equal(subscriber->applied, subscriber->notified);
    while (flow_table_next(self->table, &cursor, &flow)) {
        struct decision decision;
        struct flow_missing missing;

        assert_int_equal(decide(world.sources, &flow->key, &decision, &missing), FLOW_BOUND);
        assert_ptr_equal(decision.adjacency, flow->adjacency);
        for (int role = 0; role < DEPENDENCIES; role++) {
            uint32_t hold = flow_hold(self->table, flow_index(self->table, flow), role);

            assert_ptr_equal(decision.anchors[role],
                             hold == 0 ? NULL : self->table->inner->holds[hold].anchor);
        }
    }
}

static int setup_threads(void **state)
{
    (void)state;
    world_begin(LCORES);
    set("/neigh/e3/192.168.0.9", MAC_B " static");
    set("/neigh/b0/10.1.0.2", MAC_A " static");
    set("/flow/b/action", "via 192.168.0.9");
    return 0;
}

static void test_threads(void **state)
{
    uint64_t uses = 0, overtaken = 0, rebound = 0;

    (void)state;
    seed_begin();
    for (unsigned i = 0; i < LCORES; i++)
        lcore_new(&lcores[i]);
    flow_threads_run();
    for (unsigned commits = 0; commits < 20000 * seed_scale() || flow_threads_least_uses() < 20000;
         commits++) {
        control_changes();
        flow_threads_answer();
        if (commits % 4 == 0)
            sched_yield();
    }
    flow_threads_end();
    for (int i = 0; i < LCORES; i++) {
        struct flow_table_counters now;

        check_lcore(&lcores[i].thread);
        flow_table_counters(lcores[i].thread.table, &now);
        uses += lcores[i].thread.uses;
        assert_int_equal(lcores[i].torn, 0);
        overtaken += now.overtaken;
        rebound += now.rebound;
        flow_table_free(lcores[i].thread.table);
    }
    assert_true(uses > 0 && rebound > 0);
    print_message("%lu packets, %lu rebound, %lu overtaken\n", (unsigned long)uses,
                  (unsigned long)rebound, (unsigned long)overtaken);
}

static int setup_arrays(void **state)
{
    many = UINT32_MAX;
    return setup(state);
}

static int setup_table(void **state)
{
    many = 1;
    return setup(state);
}

static int teardown_many(void **state)
{
    many = 0;
    return teardown(state);
}

#define in_both_ways(test)                                                  \
    {#test ", by arrays", test, setup_arrays, teardown_many, NULL},         \
    {                                                                       \
#test ", through the table", test, setup_table, teardown_many, NULL \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_both_ways(test_a_walk_takes_slices),
        in_both_ways(test_a_storm),
        in_both_ways(test_flows_come_and_go_under_a_walk),
        cmocka_unit_test_setup_teardown(test_arrays_come_and_go, setup, teardown),
        cmocka_unit_test_setup_teardown(test_arrays_at_each_step_of_the_sweep, setup, teardown),
        in_both_ways(test_ways_of_many_kinds),
        in_both_ways(test_a_way_is_of_one_version),
        in_both_ways(test_a_way_that_nobody_goes_changes),
        cmocka_unit_test_setup_teardown(test_many_notices, setup, teardown),
        in_both_ways(test_batches),
        cmocka_unit_test_setup_teardown(test_notice_oneself, setup, teardown),
        cmocka_unit_test_setup_teardown(test_idle_notice, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_share_of_the_time, setup, teardown),
        cmocka_unit_test_setup_teardown(test_definitions_spare_others, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_definitions, setup, teardown),
        cmocka_unit_test_setup_teardown(test_threads, setup_threads, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
