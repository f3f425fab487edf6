/* SPDX-License-Identifier: BSD-3-Clause */
/* The flow table's slots, counters, sweep and holds. */
#include "tests/unit/flow_world.h"
#include "tests/unit/seed.h"

#define MAC_A "02:00:00:00:0a:0a"

static union flow_key random_key(unsigned addresses)
{
    union flow_key key = key_of("10.9.9.9", "10.0.0.5", 53);

    key.src = rte_cpu_to_be_32(0x0b000000 + seed_below(addresses));
    return key;
}

/* The table against a plain list of what is in it, while flows come and go at full load. */
static void test_slots_against_a_model(void **state)
{
    enum { FLOWS = 1024, KEYS = 4096 };
    static bool live[KEYS];
    unsigned count = 0, full = 0;

    (void)state;
    seed_begin();
    memset(live, 0, sizeof(live));
    for (unsigned step = 0; step < 200000 * seed_scale(); step++) {
        unsigned i = seed_below(KEYS);
        union flow_key key = key_of("10.9.9.9", "10.0.0.5", 53);
        uint32_t hash;
        struct flow *flow;

        key.src = rte_cpu_to_be_32(0x0b000000 + i);
        hash = flow_hash(&key);
        flow = flow_find(world.table, &key, hash);
        assert_int_equal(flow != NULL, live[i]);
        if (live[i]) {
            assert_memory_equal(&flow->key, &key, sizeof(key));
            if (seed_below(2) == 0)
                continue;
            flow_forget(world.table, flow_index(world.table, flow));
            count--;
            live[i] = false;
        } else if (count < FLOWS) {
            flow_for(&key);
            count++;
            live[i] = true;
        } else {
            struct flow_missing missing;

            assert_int_equal(flow_bind(world.table, &key, hash, &flow, &missing), FLOW_FULL);
            full++;
        }
    }
    assert_true(full > 0);
    for (unsigned i = 0; i < KEYS; i++)
        if (live[i])
            count--;
    assert_int_equal(count, 0);
}

/* When all are gone, no trace is left in the slots: look-ups are as short as in a new table. */
static void test_slots_after_the_flood(void **state)
{
    const struct flow *flow;
    uint32_t cursor = 0;

    (void)state;
    seed_begin();
    for (int i = 0; i < 1024; i++) {
        union flow_key key = random_key(UINT32_C(1) << 20);

        flow_for(&key);
    }
    flow_table_clear(world.table);
    assert_false(flow_table_next(world.table, &cursor, &flow));
    for (uint32_t i = 0; i <= world.table->mask; i++)
        assert_int_equal(world.table->flows[i].reach, 0);
}

/* Flows whose hashes meet in one slot, which a stranger can choose: a look-up stays short, and whatever is in
 * the table is found. */
static void test_slots_that_many_want(void **state)
{
    enum { FLOWS = 4096, WANT = 1500 };
    unsigned bound = 0, full = 0;

    (void)state;
    flow_table_free(world.table);
    world_table(&(struct flow_table_options){.flows = FLOWS});
    use_to("10.0.0.5");
    for (uint32_t i = 0; bound + full < WANT; i++) {
        union flow_key key = key_of("10.9.9.9", "10.0.0.5", 53);
        struct flow_missing missing;
        struct flow *flow;

        key.src = rte_cpu_to_be_32(0x0b000000 + i);
        if ((flow_hash(&key) & world.table->mask) != 5)
            continue;
        if (flow_bind(world.table, &key, flow_hash(&key), &flow, &missing) == FLOW_FULL) {
            full++;
            continue;
        }
        bound++;
        assert_ptr_equal(flow_find(world.table, &key, flow_hash(&key)), flow);
    }
    assert_true(bound >= 1000 && full > 0);
}

static void test_origin_and_counters(void **state)
{
    union flow_key key = key_of("10.9.9.9", "10.0.0.5", 53),
                   other = key_of("10.9.9.9", "10.0.0.5", 54);
    struct flow_table_counters counters;
    struct flow_origin origin;
    uint64_t packets, bytes;

    (void)state;
    set("/neigh/e0/10.0.0.5", MAC_A " static");
    set("/flow/dns/match", "dport=53 proto=udp");
    set("/flow/dns/action", "count");
    for (int i = 0; i < 3; i++)
        use(&key);
    use(&other);
    assert_true(flow_origin(world.table, &key, &origin));
    assert_int_equal(origin.packets, 3);
    assert_int_equal(origin.bytes, 300);
    assert_int_equal(origin.used, world.now);
    assert_int_equal(origin.record.kind, ADJACENCY_FORWARD);
    assert_string_equal(origin.adjacency, "/adjacency/0/10.0.0.5");
    assert_string_equal(origin.route, "/route/10.0.0.0/24");
    assert_string_equal(origin.definition, "/flow/dns");
    assert_true(origin.definition_version > 0 && origin.definition_version <= origin.bound_version);
    assert_true(flow_origin(world.table, &other, &origin));
    assert_string_equal(origin.definition, "");
    key.src++;
    assert_false(flow_origin(world.table, &key, &origin));

    flow_table_counted(world.table, ns_anchor_find(world.store, "/flow/dns"), &packets, &bytes);
    assert_int_equal(packets, 3);
    assert_int_equal(bytes, 300);
    assert_int_equal(flow_table_bound(world.table, ns_anchor_find(world.store, "/flow/dns")), 1);
    assert_int_equal(
        flow_table_bound(world.table, ns_anchor_find(world.store, "/route/10.0.0.0/24")), 2);
    assert_int_equal(
        flow_table_bound(world.table, adjacency_find(world.adjacencies, 0, ip("10.0.0.5"))), 2);
    assert_int_equal(flow_table_bound(world.table, definitions_anchor(world.definitions)), 2);
    flow_table_counters(world.table, &counters);
    assert_int_equal(counters.flows, 2);
    assert_int_equal(counters.bound, 2);
    assert_int_equal(counters.holds, 4);
}

/* A definition keeps what it has counted when its flows have gone, and until it goes itself. */
static void test_counts_outlive_flows(void **state)
{
    union flow_key key = key_of("10.9.9.9", "10.0.0.5", 53);
    struct ns_anchor *anchor;
    uint64_t packets, bytes;

    (void)state;
    set("/flow/dns/match", "dport=53 proto=udp");
    use(&key);
    anchor = ns_anchor_find(world.store, "/flow/dns");
    for (int i = 0; i < 200; i++, world.now++)
        settle();
    assert_null(flow_find(world.table, &key, flow_hash(&key)));
    flow_table_counted(world.table, anchor, &packets, &bytes);
    assert_int_equal(packets, 1);
    use(&key);
    flow_table_counted(world.table, anchor, &packets, &bytes);
    assert_int_equal(packets, 2);
    set("/flow/dns", NULL);
    for (int i = 0; i < 200; i++, world.now++)
        settle();
    ns_store_drain(world.store);
    assert_null(ns_anchor_find(world.store, "/flow/dns"));
}

/* Unused flows are forgotten in time, used ones stay; holds without flows are given back, and then the
 * control core can forget the anchors. */
static void test_sweep(void **state)
{
    union flow_key idle = key_of("10.9.9.9", "10.0.0.5", 53),
                   busy = key_of("10.9.9.9", "10.0.0.6", 53);
    struct flow_table_counters counters;

    (void)state;
    use(&idle);
    for (int second = 0; second < 70; second++, world.now++) {
        use(&busy);
        for (int i = 0; i < 100; i++)
            flow_table_poll(world.table, world.now);
    }
    assert_null(flow_find(world.table, &idle, flow_hash(&idle)));
    assert_non_null(flow_find(world.table, &busy, flow_hash(&busy)));
    flow_table_counters(world.table, &counters);
    assert_int_equal(counters.idle, 1);
    assert_int_equal(counters.flows, 1);
    assert_int_equal(counters.holds, 3);
    ns_store_drain(world.store);
    assert_null(adjacency_find(world.adjacencies, 0, ip("10.0.0.5")));
    assert_non_null(adjacency_find(world.adjacencies, 0, ip("10.0.0.6")));
    assert_true(flow_table_used(world.table, adjacency_find(world.adjacencies, 0, ip("10.0.0.6"))) +
                    3 >=
                world.now);
}

/* However seldom or often it is polled, a poll looks at a bounded number of slots, and says when it is
 * behind; the whole table is looked at every two seconds. */
static void test_sweep_is_bounded_and_complete(void **state)
{
    struct flow_table_inner *inner;
    uint32_t total;

    (void)state;
    flow_table_free(world.table);
    world_table(&(struct flow_table_options){.flows = 100000});
    inner = world.table->inner;
    use_to("10.0.0.5");
    total = inner->slots + inner->hold_count;
    for (int polls = 1; polls <= 100000; polls *= 10) {
        uint32_t looked = 0;

        for (int second = 0; second < 6; second++, world.now++) {
            int i = 0;
            bool behind;

            use_to("10.0.0.5");
            do {
                uint32_t before = inner->sweep_next, after;

                behind = flow_table_poll(world.table, world.now);
                after = (inner->sweep_next + total - before) % total;
                assert_true(after <= 512);
                if (second >= 2)
                    looked += after;
            } while (++i < polls || behind);
        }
        assert_true(looked >= total * 3 / 2); /* in four seconds */
    }
}

static void test_no_room_for_holds(void **state)
{
    struct flow_table_counters counters;
    union flow_key key;
    struct flow *flow;
    struct flow_missing missing;

    (void)state;
    flow_table_free(world.table);
    world_table(&(struct flow_table_options){.flows = 64, .holds = 4});
    use_to("10.0.0.5"); /* adjacency, route, /flow */
    use_to("10.0.0.6");
    key = key_of("10.9.9.9", "10.0.0.7", 53);
    assert_int_equal(flow_bind(world.table, &key, flow_hash(&key), &flow, &missing), FLOW_MISSING);
    must(adjacencies_supply(world.adjacencies, &missing, 0));
    settle();
    assert_int_equal(adjacency_find(world.adjacencies, 0, ip("10.0.0.7"))->mask,
                     0); /* given back */
    assert_int_equal(flow_bind(world.table, &key, flow_hash(&key), &flow, &missing), FLOW_FULL);
    flow_table_counters(world.table, &counters);
    assert_int_equal(counters.flows, 2);
    assert_int_equal(counters.holds, 4);
    assert_int_equal(counters.holds_full, 2);
    for (int i = 0; i < 100;
         i++, world.now++) /* the others are forgotten, and there is room again */
        settle();
    use(&key);
}

static void test_options_are_judged(void **state)
{
    struct flow_table_options options = {.flows = 0};
    struct flow_table *table;

    (void)state;
    assert_int_equal(flow_table_new(world.sources, &options, &table), -EINVAL);
    options.flows = UINT32_MAX;
    assert_int_equal(flow_table_new(world.sources, &options, &table), -EINVAL);
}

/* ---- arrays of dependents ---- */

enum { ARRAY_FLOWS = 512 };

static uint32_t sound_array_size(const struct hold *hold, bool seen[])
{
    const struct flow_table_inner *inner = world.table->inner;
    uint32_t size = 0;

    for (uint32_t place = hold->last; place != 0; place = place_before(inner->chunks, place)) {
        uint32_t flow = inner->chunks[place];

        assert_int_equal(inner->bindings[flow].place[hold->role], place);
        assert_false(seen[flow]);
        seen[flow] = true;
        size++;
    }
    return size;
}

/* Flows are attached and detached in random order; each hold's array has exactly its flows, each at the
 * place that it believes, and all chunks come back at the end. */
static void test_arrays(void **state)
{
    enum { HOLDS = 7 };
    struct flow_table_inner *inner = world.table->inner;
    static uint8_t member[ARRAY_FLOWS]; /* of which hold, from 1 */
    uint32_t holds[HOLDS + 1], free_chunks = 0, after = 0;
    static bool seen[4096];

    (void)state;
    seed_begin();
    memset(member, 0, sizeof(member));
    inner->many = UINT32_MAX;
    for (uint32_t chunk = inner->free_chunk; chunk != 0; chunk = inner->chunks[chunk])
        free_chunks++;
    for (int i = 1; i <= HOLDS; i++) {
        char path[32];
        struct ns_anchor *anchor;

        snprintf(path, sizeof(path), "/thing/%d", i);
        must(ns_anchor_get(world.store, path, NULL, NULL, NULL, &anchor));
        holds[i] = hold_take(world.table, anchor, BY_DEFINITION);
    }
    for (unsigned step = 0; step < 30000; step++) {
        uint32_t flow = seed_below(ARRAY_FLOWS);
        unsigned to = seed_below(HOLDS + 1);

        if (member[flow] != 0)
            hold_detach(world.table, holds[member[flow]], flow);
        member[flow] = (uint8_t)to;
        if (to != 0)
            hold_attach(world.table, holds[to], flow);
        if (step % 64 != 0)
            continue;
        memset(seen, 0, sizeof(seen));
        for (int i = 1; i <= HOLDS; i++)
            assert_int_equal(sound_array_size(&inner->holds[holds[i]], seen),
                             inner->holds[holds[i]].flows);
        for (uint32_t i = 0; i < ARRAY_FLOWS; i++)
            assert_int_equal(seen[i], member[i] != 0);
    }
    for (uint32_t flow = 0; flow < ARRAY_FLOWS; flow++)
        if (member[flow] != 0)
            hold_detach(world.table, holds[member[flow]], flow);
    for (uint32_t chunk = inner->free_chunk; chunk != 0; chunk = inner->chunks[chunk])
        after++;
    assert_int_equal(after, free_chunks);
}

/* Every flow may be bound in every role through holds of its own: the pool of chunks must do. */
static void test_chunks_are_enough(void **state)
{
    enum { FLOWS = 64, HOLDS = FLOWS * DEPENDENCIES };
    struct flow_table_inner *inner;
    uint32_t holds[FLOWS][DEPENDENCIES];

    (void)state;
    flow_table_free(world.table);
    world_table(&(struct flow_table_options){.flows = FLOWS, .holds = HOLDS});
    inner = world.table->inner;
    for (uint32_t flow = 0; flow < FLOWS; flow++)
        for (uint8_t role = 0; role < DEPENDENCIES; role++) {
            char path[32];
            struct ns_anchor *anchor;

            snprintf(path, sizeof(path), "/thing/%u/%u", flow, role);
            must(ns_anchor_get(world.store, path, NULL, NULL, NULL, &anchor));
            holds[flow][role] = hold_take(world.table, anchor, role);
            hold_attach(world.table, holds[flow][role], flow);
        }
    assert_true(inner->free_chunk != 0);
    for (uint32_t flow = 0; flow < FLOWS; flow++)
        for (uint8_t role = 0; role < DEPENDENCIES; role++)
            hold_detach(world.table, holds[flow][role], flow);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_slots_against_a_model, setup, teardown),
        cmocka_unit_test_setup_teardown(test_slots_after_the_flood, setup, teardown),
        cmocka_unit_test_setup_teardown(test_slots_that_many_want, setup, teardown),
        cmocka_unit_test_setup_teardown(test_origin_and_counters, setup, teardown),
        cmocka_unit_test_setup_teardown(test_counts_outlive_flows, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sweep, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sweep_is_bounded_and_complete, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_room_for_holds, setup, teardown),
        cmocka_unit_test_setup_teardown(test_options_are_judged, setup, teardown),
        cmocka_unit_test_setup_teardown(test_arrays, setup, teardown),
        cmocka_unit_test_setup_teardown(test_chunks_are_enough, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
