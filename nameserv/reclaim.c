/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Grace periods, off the control core's path.
 *
 * The control core never waits for readers. It hands out tickets: one stands for a grace period that
 * starts after everything published so far. A thread of its own waits for them, one after the other;
 * when it is behind, many tickets share a grace period. What a ticket was taken for is freed by the
 * control core once the ticket is over, so all memory of the tree belongs to one thread.
 */
#include <errno.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "nameserv/store_p.h"

/* A grace period costs two wake-ups and turns of two threads, far more than a commit. So one is asked for
 * when so much waits for it, or this long after the last. */
enum { ASK_BYTES = 256 << 10 };
#define ASK_PAUSE UINT64_C(4000000) /* ns */

static void futex_wait(_Atomic uint32_t *word, uint32_t value)
{
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* Sleep until something is asked for. `asleep` is set before `requested` is compared by the kernel, and
 * ns_reclaim_ask() changes `requested` before it reads `asleep`: a wake-up can't be lost. */
static void wait_for_request(struct ns_reclaim *reclaim, uint32_t requested)
{
    atomic_store_explicit(&reclaim->asleep, 1, memory_order_seq_cst);
    if (atomic_load_explicit(&reclaim->requested, memory_order_seq_cst) == requested)
        futex_wait(&reclaim->requested, requested);
    atomic_store_explicit(&reclaim->asleep, 0, memory_order_seq_cst);
}

/* The grace period of this ticket is over. ns_reclaim_wait() may have been further. */
static void complete(struct ns_reclaim *reclaim, uint64_t ticket)
{
    uint64_t completed = atomic_load_explicit(&reclaim->completed, memory_order_relaxed);

    while (completed < ticket &&
           !atomic_compare_exchange_weak_explicit(&reclaim->completed, &completed, ticket,
                                                  memory_order_release, memory_order_relaxed))
        ;
}

/* `requested` is read before `stop` and `asked`: who changes these changes it afterwards, so a sleep on the old
 * value ends at once. */
static void *reclaim_main(void *arg)
{
    struct ns_reclaim *reclaim = arg;

    for (;;) {
        uint32_t requested = atomic_load_explicit(&reclaim->requested, memory_order_acquire);
        uint64_t asked = atomic_load_explicit(&reclaim->asked, memory_order_acquire);

        if (atomic_load_explicit(&reclaim->stop, memory_order_acquire))
            return NULL;
        if (asked <= atomic_load_explicit(&reclaim->completed, memory_order_relaxed)) {
            wait_for_request(reclaim, requested);
            continue;
        }
        ns_rcu_wait();
        complete(reclaim, asked);
    }
}

/* They come from the tree's pool: one writer gets and frees them all the time. */
struct ns_version *ns_version_new(struct ns_store *store)
{
    return ns_pool_get(store->pool, sizeof(struct ns_version));
}

void ns_version_free(struct ns_store *store, const struct ns_version *version)
{
    ns_pool_put(store->pool, (void *)(uintptr_t)version, sizeof(*version));
}

struct ns_batch *ns_batch_new(struct ns_store *store)
{
    struct ns_batch *batch = ns_pool_get(store->pool, sizeof(*batch));

    if (batch != NULL)
        memset(batch, 0, sizeof(*batch));
    return batch;
}

void ns_batch_free(struct ns_store *store, struct ns_batch *batch)
{
    ns_pool_put(store->pool, batch, sizeof(*batch));
}

int ns_reclaim_start(struct ns_reclaim *reclaim, bool alone)
{
    reclaim->trees.last = &reclaim->trees.first;
    reclaim->objects.last = &reclaim->objects.first;
    reclaim->ticket = 1;
    reclaim->alone = alone;
    if (alone)
        return 0;
    return -pthread_create(&reclaim->thread, NULL, reclaim_main, reclaim);
}

static void request(struct ns_reclaim *reclaim)
{
    atomic_fetch_add_explicit(&reclaim->requested, 1, memory_order_seq_cst);
    if (atomic_load_explicit(&reclaim->asleep, memory_order_seq_cst) != 0)
        futex_wake(&reclaim->requested);
}

void ns_reclaim_stop(struct ns_reclaim *reclaim)
{
    if (reclaim->alone)
        return;
    atomic_store_explicit(&reclaim->stop, true, memory_order_release);
    request(reclaim);
    pthread_join(reclaim->thread, NULL);
}

uint64_t ns_reclaim_ticket(struct ns_reclaim *reclaim)
{
    return reclaim->ticket;
}

static uint64_t coarse_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

bool ns_reclaim_due(const struct ns_reclaim *reclaim)
{
    return reclaim->unasked_bytes >= ASK_BYTES || coarse_now() - reclaim->asked_at >= ASK_PAUSE;
}

void ns_reclaim_ask(struct ns_reclaim *reclaim)
{
    reclaim->unasked_bytes = 0;
    reclaim->asked_at = coarse_now();
    atomic_store_explicit(&reclaim->asked, reclaim->ticket++, memory_order_release);
    request(reclaim);
}

void ns_reclaim_over_now(struct ns_reclaim *reclaim)
{
    reclaim->unasked_bytes = 0;
    complete(reclaim, reclaim->ticket++);
}

void ns_reclaim_wait(struct ns_reclaim *reclaim)
{
    uint64_t ticket = reclaim->ticket++;

    reclaim->unasked_bytes = 0;
    ns_rcu_offline();
    ns_rcu_wait();
    ns_rcu_online();
    complete(reclaim, ticket);
}

bool ns_reclaim_over(const struct ns_reclaim *reclaim, uint64_t ticket)
{
    return atomic_load_explicit(&reclaim->completed, memory_order_acquire) >= ticket;
}

static size_t batch_bytes(const struct ns_batch *batch)
{
    return sizeof(*batch) + (batch->version != NULL ? sizeof(*batch->version) : 0) +
           batch->replaced.bytes + batch->replaced.count * sizeof(uintptr_t) +
           batch->retired.count * (sizeof(struct ns_retired) + NS_CACHE_LINE);
}

static void add(struct ns_store *store, struct ns_batch_queue *queue, struct ns_batch *batch)
{
    size_t bytes = batch_bytes(batch);

    batch->number = store->version->number;
    batch->ticket = ns_reclaim_ticket(&store->reclaim);
    store->reclaim.waiting_bytes += bytes;
    store->reclaim.unasked_bytes += bytes;
    batch->next = NULL;
    *queue->last = batch;
    queue->last = &batch->next;
}

void ns_reclaim_add(struct ns_store *store, struct ns_batch *tree, struct ns_batch *objects)
{
    add(store, &store->reclaim.trees, tree);
    if (objects != NULL)
        add(store, &store->reclaim.objects, objects);
}

/* Free at most `budget` blocks, and count it down. True when nothing is left and the batch is gone. */
static bool batch_free_some(struct ns_store *store, struct ns_batch *batch, size_t *budget)
{
    size_t *waiting = &store->reclaim.waiting_bytes;
    size_t before = batch->replaced.count;
    bool done;

    *waiting -= batch_bytes(batch);
    while (batch->retired.count > 0 && *budget > 0) {
        const struct ns_retired *item = &batch->retired.items[--batch->retired.count];

        item->free_fn(item->object);
        --*budget;
    }
    done =
        ns_replaced_free_some(&batch->replaced, store->pool, *budget) && batch->retired.count == 0;
    before -= batch->replaced.count;
    *budget -= before < *budget ? before
                                : *budget; /* a removed tree counts more blocks than it stood for */
    if (done) {
        free(batch->retired.items);
        ns_version_free(store, batch->version);
        ns_batch_free(store, batch);
    } else {
        *waiting += batch_bytes(batch);
    }
    return done;
}

/* A snapshot older than the commit still sees what the commit replaced. */
static bool is_pinned(const struct ns_store *store, const struct ns_batch *batch)
{
    return store->oldest != NULL && store->oldest->base_number < batch->number;
}

bool ns_reclaim_run(struct ns_store *store, size_t budget)
{
    struct ns_reclaim *reclaim = &store->reclaim;
    struct ns_batch_queue *const queues[] = {&reclaim->objects, &reclaim->trees};

    for (int i = 0; i < 2; i++) {
        struct ns_batch *batch;

        while (budget > 0 && (batch = queues[i]->first) != NULL &&
               ns_reclaim_over(reclaim, batch->ticket) &&
               !(queues[i] == &reclaim->trees && is_pinned(store, batch))) {
            struct ns_batch *next = batch->next;

            if (!batch_free_some(store, batch, &budget))
                return true;
            queues[i]->first = next;
            if (next == NULL)
                queues[i]->last = &queues[i]->first;
            budget -= budget > 0; /* an empty batch costs something, too */
        }
    }
    return budget == 0;
}
