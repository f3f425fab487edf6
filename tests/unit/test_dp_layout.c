/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What one lcore writes lies on no cache line that another one writes: each worker's own structure, its
 * subscriber, its notice in an anchor, its flow table, and the two ends of a ring.
 *
 * Shared on purpose is an anchor's mask, which an lcore writes when its first flow is bound to the anchor and
 * when its last one leaves; and the head of its list of notices, between the control core and the lcore.
 */
#include "tests/unit/dp_lab.h"

enum { LINE = RTE_CACHE_LINE_SIZE, WORKERS = 4 };

#define LINE_OF(type, member) (offsetof(type, member) / LINE)
#define ALONE(type, first, next)                              \
    static_assert(LINE_OF(type, first) < LINE_OF(type, next), \
                  #first " and " #next " are written by others")

/* The worker's, then what others write. */
static_assert(sizeof(struct worker) % LINE == 0, "nothing else lies on a worker's last line");
static_assert(offsetof(struct worker, woken) % LINE == 0, "others' line begins here");
static_assert(LINE_OF(struct worker, stop) == LINE_OF(struct worker, woken), "and it is one");
ALONE(struct worker, interrupt_count, woken);
/* What is read for every packet, and what is written for every packet. */
ALONE(struct worker, first_worker, burst);
ALONE(struct worker, views, burst);
ALONE(struct worker, burst, counters);

/* Control core and lcore; lcore; control core. */
static_assert(sizeof(struct ns_subscriber) % LINE == 0, "subscribers share no line");
ALONE(struct ns_subscriber, coalesced, applied);
ALONE(struct ns_subscriber, sleeping, wake);

/* Lcores read the first line, and write the mask's. */
ALONE(struct ns_anchor, notice_stride, mask);
ALONE(struct ns_anchor, work, mask);
static_assert(LINE_OF(struct ns_anchor, notice_stride) == 0, "one line is read for a packet");
static_assert(sizeof(struct ns_anchor) % LINE == 0, "a module's part lies behind it");

ALONE(struct rte_ring, prod, cons);
static_assert(sizeof(struct flow) == LINE, "flows share no line");

static int setup(void **state)
{
    (void)state;
    dp_begin_several((struct worker_options){0}, WORKERS);
    dp_neighbour("out0", 1, 2);
    return 0;
}

static void assert_apart(const void *a, const void *b, size_t size)
{
    uintptr_t x = (uintptr_t)a, y = (uintptr_t)b;

    assert_int_equal(x % LINE, 0);
    assert_int_equal(y % LINE, 0);
    assert_true(x + size <= y || y + size <= x);
}

static void workers_lie_apart(void **state)
{
    struct workers *all = &dp.workers;

    (void)state;
    for (unsigned i = 0; i < WORKERS; i++) {
        for (unsigned j = 0; j < i; j++) {
            assert_apart(all->worker[i], all->worker[j], sizeof(struct worker));
            assert_apart(all->worker[i]->subscriber, all->worker[j]->subscriber,
                         sizeof(struct ns_subscriber));
            assert_apart(all->worker[i]->table->flows, all->worker[j]->table->flows,
                         (all->worker[i]->table->mask + 1) * sizeof(struct flow));
        }
    }
}

static struct ns_anchor *some_adjacency(void)
{
    struct ns_anchor *anchor = adjacency_find(dp.adjacencies, 0, address(1, 2));

    assert_non_null(anchor);
    return anchor;
}

static void notices_lie_apart(void **state)
{
    const struct ns_anchor *anchor;

    (void)state;
    dp_send(IN, udp(address(1, 2), 1));
    dp_run_all();
    rte_pktmbuf_free(dp_receive(OUT));
    anchor = some_adjacency();
    for (unsigned i = 0; i < WORKERS; i++) {
        assert_apart(ns_anchor_notice(anchor, i), &anchor->mask, LINE);
        for (unsigned j = 0; j < i; j++)
            assert_apart(ns_anchor_notice(anchor, i), ns_anchor_notice(anchor, j), LINE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(workers_lie_apart, setup, dp_end),
        cmocka_unit_test_setup_teardown(notices_lie_apart, setup, dp_end),
    };

    dp_eal();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
