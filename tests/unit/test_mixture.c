/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * No packet leaves by a mixture of old and new: threads forward while a control core changes, in one commit each, all
 * names that a decision depends on. Every version of a record bears one mark, in the neighbour's address and in the
 * interface's; which next hop it belongs to says the route, or the definition. A packet must leave by one record, whole.
 * Listeners are told of the same flows: what they are told must be whole as well, each step must begin where the one
 * before ended, and at the end every flow agrees with the tree.
 */
#include "tests/unit/flow_threads.h"
#include "tests/unit/seed.h"

#include "flows/check.h"

enum { LCORES = 3, FLOWS = 200, MARKS = 200, HOPS = 2 };

struct lcore {
    struct flow_thread thread; /* first */
    uint64_t mixed, told, gaps;
    struct adjacency knows[FLOWS]; /* of a flow, since it was first told */
    struct flow_check check;
};

static struct lcore lcores[LCORES];

static bool is_whole(const struct adjacency *record)
{
    uint8_t mark = record->header[5];

    if (record->kind != ADJACENCY_FORWARD)
        return false;
    for (int i = 1; i < 5; i++)
        if (record->header[i] != mark)
            return false;
    return record->header[11] == mark;
}

static void told(void *arg, const struct flow_change *change)
{
    struct lcore *self = arg;
    uint16_t flow = ntohs(change->flow->key.sport);

    self->told++;
    self->mixed += !is_whole(change->to) || !is_whole(change->from);
    self->gaps +=
        self->knows[flow].version != 0 && self->knows[flow].version != change->from->version;
    self->knows[flow] = *change->to;
}

static void lcore_packet(struct lcore *self, uint16_t number)
{
    union flow_key key = {.src = RTE_BE32(0x0a090909),
                          .dst = RTE_BE32(0xac100001), /* 172.16.0.1 */
                          .sport = htons(number),
                          .dport = htons(number % 2 == 0 ? 53 : 54),
                          .scope = 1,
                          .proto = 17,
                          .kind = FLOW_ROUTED};
    struct flow *flow;
    const struct adjacency *record = flow_thread_use(&self->thread, &key, &flow);

    self->mixed += record != NULL && !is_whole(record);
}

static void lcore_packets(struct flow_thread *self, unsigned round)
{
    for (int i = 0; i < 8; i++)
        lcore_packet((struct lcore *)self, (uint16_t)((round * 8 + i) % FLOWS));
}

static void lcore_over(struct flow_thread *self)
{
    while (!flow_table_check(self->table, &((struct lcore *)self)->check, 64))
        flow_table_poll(self->table, ++self->now);
}

/* Everything that the decision comes from, in one commit. */
static void change(unsigned mark)
{
    char paths[6][48], values[6][48];
    struct ns_txn *txn;

    for (int i = 0; i < HOPS; i++)
        snprintf(paths[i], sizeof(paths[i]), "/neigh/e0/10.0.0.%d", 2 + i);
    snprintf(paths[2], sizeof(paths[2]), "/iface/e0/mac");
    snprintf(paths[3], sizeof(paths[3]), "/route/172.16.0.0/%u", 12 + mark / 2 % 8);
    snprintf(paths[4], sizeof(paths[4]), "/flow/f/match");
    snprintf(paths[5], sizeof(paths[5]), "/flow/f/action");
    for (int i = 0; i < HOPS; i++)
        snprintf(values[i], sizeof(values[i]), "02:%02x:%02x:%02x:%02x:%02x static", mark, mark,
                 mark, mark, mark);
    snprintf(values[2], sizeof(values[2]), "02:00:00:00:00:%02x", mark);
    snprintf(values[3], sizeof(values[3]), "via 10.0.0.%u", 2 + mark % HOPS);
    snprintf(values[4], sizeof(values[4]), "proto=udp dport=%s", mark % 3 == 0 ? "53" : "53-54");
    snprintf(values[5], sizeof(values[5]), "via 10.0.0.%u", 2 + mark % HOPS);
    must(ns_txn_begin(world.store, &ns_identity_stack, &txn));
    for (unsigned length = 12; length < 20; length++) {
        char path[48];

        snprintf(path, sizeof(path), "/route/172.16.0.0/%u", length);
        if (length != 12 + mark / 2 % 8 &&
            ns_tree_lookup(ns_store_version(world.store)->root, path, strlen(path)) != NULL)
            must(ns_txn_remove(txn, path));
    }
    for (size_t i = 0; i < RTE_DIM(paths); i++)
        must(ns_txn_write(txn, paths[i], values[i], strlen(values[i])));
    must(ns_txn_commit(txn, NULL, NULL));
}

static void lcore_new(struct lcore *self)
{
    *self = (struct lcore){.thread = {.packets = lcore_packets, .over = lcore_over}};
    flow_thread_new(&self->thread,
                    (struct flow_table_options){.flows = 512, .slice = 8, .numa_node = -1});
    assert_int_equal(flow_listener_add(self->thread.table, told, self, true), 0);
}

static int setup_lcores(void **state)
{
    (void)state;
    world_begin(LCORES);
    change(1);
    return 0;
}

static void test_no_mixture(void **state)
{
    uint64_t all_told = 0;

    (void)state;
    for (unsigned i = 0; i < LCORES; i++)
        lcore_new(&lcores[i]);
    flow_threads_run();
    for (unsigned i = 0; i < 6000 * seed_scale() || flow_threads_least_uses() < 20000; i++) {
        change(1 + i % MARKS);
        for (int j = 0; j < 4; j++)
            flow_threads_answer();
        sched_yield();
    }
    flow_threads_end();
    for (int i = 0; i < LCORES; i++) {
        assert_int_equal(lcores[i].mixed, 0);
        assert_int_equal(lcores[i].gaps, 0);
        assert_int_equal(lcores[i].check.wrong + lcores[i].check.pending, 0);
        assert_int_equal(lcores[i].check.flows, FLOWS);
        all_told += lcores[i].told;
        flow_table_free(lcores[i].thread.table);
    }
    assert_true(all_told > FLOWS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_no_mixture, setup_lcores, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
