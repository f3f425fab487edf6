/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The push with real threads: one control core that changes names, lcores that bind to anchors, take
 * notices, unbind and come back. Meant to run under ThreadSanitizer as well.
 *
 * What must hold, whatever the interleaving:
 *   - a record that an lcore reads is whole, and of a version not older than it has seen for that name
 *   - when everything has stopped and every lcore has drained, each lcore's copy of each anchor that it
 *     is bound to is the newest: no notice was lost, neither at registration (O1) nor at draining (O2)
 *   - `applied` of an lcore that has drained is `notified`
 *   - anchors that lcores leave are forgotten although others come back at any moment, and none is used
 *     after it was freed (ASan's and TSan's part)
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nameserv/anchor.h"

enum { LCORES = 3, NAMES = 24, COMMITS = 30000 };

static struct ns_store *store;
static _Atomic bool stop;
static _Atomic unsigned drained;

/* ---- the module: a record says its version twice, to see tearing ---- */

struct value {
    uint64_t version;
    int number;
    uint64_t version_again;
};

struct value_anchor {
    struct ns_anchor anchor;
    int index;
};

static struct value_anchor *anchors[NAMES]; /* how lcores find them: RCU pointers */
static _Atomic uint32_t wanted[LCORES];     /* bits of names whose anchors an lcore asks for */

static int value_compile(struct ns_anchor *anchor, struct ns_compile *compile)
{
    char path[32];
    const struct ns_entry *entry;
    struct value *value = malloc(sizeof(*value));

    snprintf(path, sizeof(path), "/v/%d", ((struct value_anchor *)anchor)->index);
    entry = ns_compile_read(compile, path);
    value->version = value->version_again = ns_compile_version(compile)->number;
    value->number = entry == NULL ? -1 : atoi(ns_entry_value(entry));
    ns_compile_record(compile, value);
    return 0;
}

static void value_link(struct ns_anchor *anchor)
{
    ns_rcu_publish(anchors[((struct value_anchor *)anchor)->index], (struct value_anchor *)anchor);
}

static void value_unlink(struct ns_anchor *anchor)
{
    ns_rcu_publish(anchors[((struct value_anchor *)anchor)->index], NULL);
}

static const struct ns_anchor_ops value_ops = {.kind = "value",
                                               .rank = 1,
                                               .size = sizeof(struct value_anchor),
                                               .compile = value_compile,
                                               .free_record = free,
                                               .link = value_link,
                                               .unlink = value_unlink};

static void set_index(struct ns_anchor *anchor, void *arg)
{
    ((struct value_anchor *)anchor)->index = *(int *)arg;
}

/* ---- an lcore ---- */

struct lcore {
    unsigned index;
    unsigned seed;
    struct value_anchor *bound[NAMES];
    uint64_t seen[NAMES]; /* newest version read of each */
    int copy[NAMES];      /* what was last told or read at binding */
    uint64_t notices, asked, rebound;
};

static void copy_value(struct lcore *self, int i, struct value_anchor *anchor)
{
    const struct value *value = ns_rcu_load(anchor->anchor.record);

    assert_int_equal(value->version, value->version_again);
    assert_true(value->version >= self->seen[i]);
    self->seen[i] = value->version;
    self->copy[i] = value->number;
}

static void drain(struct lcore *self)
{
    struct ns_subscriber *subscriber = ns_store_subscriber(store, self->index);
    uint64_t notified = atomic_load_explicit(&subscriber->notified, memory_order_acquire);
    struct ns_notice *list = ns_subscriber_take(subscriber);

    while (list != NULL) {
        struct value_anchor *anchor = (struct value_anchor *)ns_notice_take(&list);
        int i = anchor->index;

        self->notices++;
        if (self->bound[i] == anchor)
            copy_value(self, i, anchor);
        else if (self->bound[i] == NULL) /* registered on our behalf, or a late one */
            ns_anchor_unregister(&anchor->anchor, self->index);
    }
    atomic_store_explicit(&subscriber->applied, notified, memory_order_release);
}

/* Register, then look whether it has changed since it was read (O1). */
static void bind(struct lcore *self, int i)
{
    struct value_anchor *anchor = ns_rcu_load(anchors[i]);
    uint64_t version;

    if (anchor == NULL) {
        atomic_fetch_or_explicit(&wanted[self->index], UINT32_C(1) << i, memory_order_release);
        self->asked++;
        return;
    }
    version = ns_anchor_version(&anchor->anchor);
    copy_value(self, i, anchor);
    self->bound[i] = anchor;
    if (rand_r(&self->seed) % 4 == 0)
        sched_yield(); /* let changes come between look-up and registration */
    ns_anchor_register(&anchor->anchor, self->index);
    while (ns_anchor_version(&anchor->anchor) != version) {
        version = ns_anchor_version(&anchor->anchor);
        copy_value(self, i, anchor);
        self->rebound++;
    }
}

static void unbind(struct lcore *self, int i)
{
    ns_anchor_unregister(&self->bound[i]->anchor, self->index);
    self->bound[i] = NULL;
}

static void *lcore_main(void *arg)
{
    struct lcore *self = arg;

    ns_rcu_register();
    while (!atomic_load_explicit(&stop, memory_order_acquire)) {
        drain(self);
        for (int n = 0; n < 4; n++) {
            int i = rand_r(&self->seed) % NAMES;

            if (self->bound[i] == NULL)
                bind(self, i);
            else if (rand_r(&self->seed) % 4 == 0)
                unbind(self, i);
            else
                copy_value(self, i, self->bound[i]);
        }
        ns_rcu_quiescent();
        if (rand_r(&self->seed) % 64 == 0) { /* sleep: offline, drain before the next use */
            ns_rcu_offline();
            sched_yield();
            ns_rcu_online();
        }
    }
    drain(self);
    atomic_fetch_add(&drained, 1);
    ns_rcu_unregister();
    return NULL;
}

/* ---- the control core ---- */

static void supply(void)
{
    for (unsigned lcore = 0; lcore < LCORES; lcore++) {
        uint32_t bits = atomic_exchange_explicit(&wanted[lcore], 0, memory_order_acquire);

        for (; bits != 0; bits &= bits - 1) {
            int i = __builtin_ctz(bits);
            struct ns_anchor *anchor;
            char path[32];

            snprintf(path, sizeof(path), "/anchor/%d", i);
            assert_int_equal(ns_anchor_get(store, path, &value_ops, set_index, &i, &anchor), 0);
            ns_anchor_register_for(anchor, lcore);
        }
    }
}

static void change(unsigned *seed)
{
    struct ns_txn *txn;
    int names = 1 + rand_r(seed) % 3;

    assert_int_equal(ns_txn_begin(store, &ns_identity_stack, &txn), 0);
    while (names-- > 0) {
        char path[32], value[16];

        snprintf(path, sizeof(path), "/v/%d", rand_r(seed) % NAMES);
        snprintf(value, sizeof(value), "%d", rand_r(seed) % 1000);
        if (rand_r(seed) % 8 == 0)
            (void)ns_txn_remove(txn, path);
        else
            assert_int_equal(ns_txn_write(txn, path, value, strlen(value)), 0);
    }
    assert_int_equal(ns_txn_commit(txn, NULL, NULL), 0);
}

static void check_lcore(const struct lcore *lcore)
{
    struct ns_subscriber *subscriber = ns_store_subscriber(store, lcore->index);

    assert_int_equal(atomic_load(&subscriber->applied), atomic_load(&subscriber->notified));
    for (int i = 0; i < NAMES; i++) {
        const struct value *now;

        if (lcore->bound[i] == NULL)
            continue;
        now = lcore->bound[i]->anchor.record;
        if (now->number != lcore->copy[i])
            fail_msg("lcore %u has %d for name %d; it is %d since version %lu", lcore->index,
                     lcore->copy[i], i, now->number, now->version);
    }
}

static void test_no_notice_is_lost(void **state)
{
    struct ns_store_options options = {.lcores = LCORES};
    struct lcore lcores[LCORES] = {0};
    pthread_t threads[LCORES];
    unsigned seed = 1;
    struct ns_store_counters counters;

    (void)state;
    assert_int_equal(ns_store_new(&options, &store), 0);
    for (unsigned i = 0; i < LCORES; i++) {
        lcores[i].index = i;
        lcores[i].seed = i + 100;
        assert_int_equal(pthread_create(&threads[i], NULL, lcore_main, &lcores[i]), 0);
    }
    for (int i = 0; i < COMMITS; i++) {
        supply();
        change(&seed);
        ns_store_housekeep(store);
        ns_rcu_quiescent();
    }
    atomic_store_explicit(&stop, true, memory_order_release);
    for (unsigned i = 0; i < LCORES; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        check_lcore(&lcores[i]);
        for (int n = 0; n < NAMES; n++)
            if (lcores[i].bound[n] != NULL)
                unbind(&lcores[i], n);
        assert_true(lcores[i].notices > 0);
    }
    ns_store_drain(store);
    ns_store_counters(store, &counters);
    assert_true(counters.notices > 0);
    assert_true(counters.anchors_forgotten > 0);
    ns_store_free(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_no_notice_is_lost)};

    return cmocka_run_group_tests_name("push", tests, NULL, NULL);
}
