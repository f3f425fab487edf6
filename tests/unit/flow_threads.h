/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Threads that forward in the small world of flow_world.h, each with a flow table of its own, while the test is the
 * control core: it changes names, and answers what the threads ask for. Meant to run under ThreadSanitizer as well.
 */
#ifndef KEDGE_TESTS_UNIT_FLOW_THREADS_H
#define KEDGE_TESTS_UNIT_FLOW_THREADS_H

#include <pthread.h>
#include <sched.h>

#include "tests/unit/flow_world.h"

enum { FLOW_THREADS_MAX = 4, FLOW_REQUESTS = 64 };

/* A worker with its ring to the control core: bounded, one writer, one reader. Embedded in the test's own. */
struct flow_thread {
    pthread_t thread;
    unsigned index;
    struct flow_table *table;
    uint32_t now;
    void (*packets)(struct flow_thread *self, unsigned round); /* of a round */
    void (*over)(struct flow_thread *self);                    /* NULL: nothing; before it ends */
    struct flow_missing requests[FLOW_REQUESTS];
    _Atomic uint32_t asked, answered;
    _Atomic uint64_t uses;
};

static struct flow_thread *flow_threads[FLOW_THREADS_MAX];
static unsigned flow_thread_count;
static _Atomic bool flow_threads_stop;
static _Atomic unsigned flow_threads_drained;

/* ---- the threads ---- */

static inline bool flow_thread_ask(void *arg, const struct flow_missing *missing)
{
    struct flow_thread *self = arg;
    uint32_t asked = atomic_load_explicit(&self->asked, memory_order_relaxed);

    if (asked - atomic_load_explicit(&self->answered, memory_order_acquire) == FLOW_REQUESTS)
        return false;
    self->requests[asked % FLOW_REQUESTS] = *missing;
    atomic_store_explicit(&self->asked, asked + 1, memory_order_release);
    return true;
}

/* A packet: its flow is found or bound, and used. NULL: not now. */
static inline const struct adjacency *flow_thread_use(struct flow_thread *self,
                                                      const union flow_key *key, struct flow **flow)
{
    uint32_t hash = flow_hash(key);
    struct flow_missing missing;
    const struct adjacency *record;

    *flow = flow_find(self->table, key, hash);
    if (*flow == NULL) {
        enum flow_turn turn = flow_bind(self->table, key, hash, flow, &missing);

        if (turn == FLOW_MISSING)
            flow_thread_ask(self, &missing);
        if (turn != FLOW_BOUND)
            return NULL;
    }
    record = flow_use(self->table, *flow, 60);
    atomic_fetch_add_explicit(&self->uses, 1, memory_order_relaxed);
    return record;
}

static inline void *flow_thread_main(void *arg)
{
    struct flow_thread *self = arg;
    bool done = false;

    ns_rcu_register();
    for (unsigned round = 0; !done; round++) {
        bool stopping = atomic_load(&flow_threads_stop);
        bool busy = flow_table_poll(self->table, self->now);

        flow_table_burst(self->table, 2);
        if (!stopping)
            self->packets(self, round);
        if (round % 8 == 0)
            sched_yield();
        done = stopping && !busy && atomic_load(&self->answered) == atomic_load(&self->asked);
        ns_rcu_quiescent();
    }
    if (self->over != NULL)
        self->over(self);
    atomic_fetch_add(&flow_threads_drained, 1);
    ns_rcu_unregister();
    return NULL;
}

/* ---- the test ---- */

/* Make the next one; the options' lcore and what to do about something missing are filled in. */
static inline void flow_thread_new(struct flow_thread *self, struct flow_table_options options)
{
    self->index = flow_thread_count;
    self->now = 1000;
    options.lcore = self->index;
    options.missing = flow_thread_ask;
    options.arg = self;
    must(flow_table_new(world.sources, &options, &self->table));
    flow_threads[flow_thread_count++] = self;
}

static inline void flow_threads_run(void)
{
    for (unsigned i = 0; i < flow_thread_count; i++)
        must(pthread_create(&flow_threads[i]->thread, NULL, flow_thread_main, flow_threads[i]));
}

/* A round of the control core. */
static inline void flow_threads_answer(void)
{
    for (unsigned i = 0; i < flow_thread_count; i++) {
        struct flow_thread *thread = flow_threads[i];
        uint32_t answered = atomic_load_explicit(&thread->answered, memory_order_relaxed);

        while (answered != atomic_load_explicit(&thread->asked, memory_order_acquire)) {
            adjacencies_supply(world.adjacencies, &thread->requests[answered % FLOW_REQUESTS],
                               thread->index);
            atomic_store_explicit(&thread->answered, ++answered, memory_order_release);
        }
    }
    ns_store_housekeep(world.store);
    ns_rcu_quiescent();
}

/* How many packets has the slowest seen? */
static inline uint64_t flow_threads_least_uses(void)
{
    uint64_t least = UINT64_MAX;

    for (unsigned i = 0; i < flow_thread_count; i++)
        least = RTE_MIN(least, atomic_load_explicit(&flow_threads[i]->uses, memory_order_relaxed));
    return least;
}

/* Let them come to rest and end, while the control core goes on to answer. Their tables stay. */
static inline void flow_threads_end(void)
{
    atomic_store(&flow_threads_stop, true);
    while (atomic_load(&flow_threads_drained) < flow_thread_count) {
        flow_threads_answer();
        ns_rcu_offline();
        sched_yield();
        ns_rcu_online();
    }
    for (unsigned i = 0; i < flow_thread_count; i++)
        must(pthread_join(flow_threads[i]->thread, NULL));
}

#endif
