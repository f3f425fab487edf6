/* SPDX-License-Identifier: BSD-3-Clause */
/* The checker: quiet where all is right, and each deliberately wrong decision is found. */
#include "tests/unit/flow_world.h"

#include "flows/check.h"

static struct flow *first, *second;

static void begin(void)
{
    union flow_key a = key_of("10.9.9.9", "172.16.0.1", 53),
                   b = key_of("10.9.9.9", "172.17.0.1", 54);

    set("/neigh/e0/10.0.0.2", "02:00:00:00:00:02 static");
    set("/neigh/e3/192.168.0.9", "02:00:00:00:00:09 static");
    set("/route/172.16.0.0/16", "via 10.0.0.2");
    set("/route/172.17.0.0/16", "via 192.168.0.9");
    set("/flow/f/match", "proto=udp dport=54");
    first = flow_for(&a);
    second = flow_for(&b);
    settle();
}

/* With all the patience that it has. */
static struct flow_check check(void)
{
    struct flow_check check = {.cursor = 0};

    for (unsigned rounds = 0; !flow_table_check(world.table, &check, 100); rounds++) {
        assert_true(rounds < 1000);
        world.now += check.suspect_since != 0;
        flow_table_poll(world.table, world.now);
    }
    return check;
}

static void assert_sound(uint64_t flows)
{
    struct flow_check found = check();

    assert_int_equal(found.flows, flows);
    assert_int_equal(found.pending, 0);
    assert_int_equal(found.wrong, 0);
}

static void assert_wrong(const struct flow *flow, const char *what)
{
    struct flow_check found = check();

    assert_int_equal(found.wrong, 1);
    assert_string_equal(found.faults[0].what, what);
    assert_memory_equal(&found.faults[0].key, &flow->key, sizeof(flow->key));
}

static void test_all_is_right(void **state)
{
    (void)state;
    begin();
    use_to("10.1.0.7");
    use_to("8.8.8.8");
    assert_sound(4);
    set("/route/172.16.0.0/16", "via 192.168.0.9");
    set("/flow/f", NULL);
    settle();
    assert_sound(4);
}

static void test_wrong_adjacency(void **state)
{
    struct ns_anchor *right;
    struct flow_check found;

    (void)state;
    begin();
    right = first->adjacency;
    first->adjacency = second->adjacency; /* packets go elsewhere; everything else is as it was */
    found = check();
    assert_int_equal(found.wrong, 1);
    assert_string_equal(found.faults[0].what, "adjacency");
    assert_string_equal(found.faults[0].bound, "/adjacency/0/192.168.0.9");
    assert_string_equal(found.faults[0].expected, "/adjacency/0/10.0.0.2");
    first->adjacency = right;
    assert_sound(2);
}

static void test_wrong_dependency(void **state)
{
    uint32_t right;

    (void)state;
    begin();
    right = first->route;
    first->route = second->route; /* it would follow another route's changes */
    assert_wrong(first, "route");
    first->route = right;
    right = second->definition;
    second->definition = 0;
    assert_wrong(second, "definition");
    second->definition = right;
    assert_sound(2);
}

/* Bound to the right, and yet no change would reach it. */
static void test_unreachable(void **state)
{
    uint32_t *place, right, index;

    (void)state;
    begin();
    index = flow_index(world.table, first);
    place = &world.table->inner->bindings[index].place[BY_ROUTE];
    right = *place;
    *place = 0;
    assert_wrong(first, "array");
    *place = right;
    ns_anchor_unregister(first->adjacency, 0);
    assert_wrong(first, "mask");
    ns_anchor_register(first->adjacency, 0);
    assert_sound(2);
}

/* A lost notice: the change was published, and the lcore never hears of it. */
static void test_a_lost_notice(void **state)
{
    struct ns_subscriber *lcore;

    (void)state;
    begin();
    lcore = ns_store_subscriber(world.store, 0);
    set("/route/172.16.0.0/16", "via 192.168.0.9");
    atomic_store(&lcore->head, NULL);
    settle();
    assert_int_equal(check().pending, 1); /* its anchor says that it is not up to date */
    set("/route/172.16.0.0/24", "via 192.168.0.9");
    settle();
}

static void test_pending_is_not_wrong(void **state)
{
    struct flow_check found = {.cursor = 0};

    (void)state;
    begin();
    set("/route/172.16.0.0/16", "via 192.168.0.9");
    while (!flow_table_check(world.table, &found, 7))
        ;
    assert_int_equal(found.flows, 2);
    assert_int_equal(found.pending, 1);
    assert_int_equal(found.wrong, 0);
    settle();
    assert_sound(2);
}

static void test_records(void **state)
{
    struct adjacency *record;
    unsigned wrong = 0, anchors = 0;

    (void)state;
    begin();
    record = (struct adjacency *)(uintptr_t)adjacency_of(first->adjacency);
    assert_int_equal(ns_anchor_verify(first->adjacency), 1);
    record->header[3] ^= 1;
    for (struct ns_anchor *at = NULL; (at = ns_anchor_next(world.store, at)) != NULL; anchors++)
        wrong += ns_anchor_verify(at) == 0;
    assert_int_equal(wrong, 1);
    assert_true(anchors > 5);
    record->header[3] ^= 1;
    assert_int_equal(ns_anchor_verify(first->adjacency), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_all_is_right, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wrong_adjacency, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wrong_dependency, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unreachable, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_lost_notice, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pending_is_not_wrong, setup, teardown),
        cmocka_unit_test_setup_teardown(test_records, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
