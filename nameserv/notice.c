/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a commit does with anchors: the records of everything that is derived from a changed name are
 * compiled anew, published, and those lcores are told that depend on them, and no others.
 *
 * The orders O1 and O2 are explained in nameserv/anchor.h; the control core's half is here. P2 to P6 are the
 * steps of tests/model/notice.pml.
 */
#include <assert.h>
#include <errno.h>

#include "nameserv/store_p.h"

static void publish_later(struct ns_commit *commit, struct ns_anchor *anchor)
{
    anchor->work |= NS_WORK_DONE;
    anchor->next_work = commit->published;
    commit->published = anchor;
}

static void enqueue(struct ns_commit *commit, struct ns_anchor *anchor)
{
    if (anchor->work & (NS_WORK_QUEUED | NS_WORK_DONE))
        return;
    anchor->work |= NS_WORK_QUEUED;
    anchor->next_work = commit->work[anchor->ops->rank];
    commit->work[anchor->ops->rank] = anchor;
}

static void enqueue_dependents(struct ns_commit *commit, const struct ns_anchor *anchor)
{
    for (const struct ns_source *edge = anchor->dependents; edge != NULL;
         edge = edge->next_dependent)
        enqueue(commit, edge->derived);
}

/* The name itself has changed, or was touched. */
static void enqueue_changed(struct ns_commit *commit, struct ns_anchor *anchor)
{
    if (anchor->ops != NULL && anchor->ops->compile != NULL) {
        enqueue(commit, anchor);
    } else if (!(anchor->work & NS_WORK_DONE)) {
        anchor->work |= NS_WORK_CHANGED;
        publish_later(commit, anchor);
    }
    /* Also if the record turns out the same: who reads the name may read more of it than the record
     * says. */
    enqueue_dependents(commit, anchor);
}

static bool same_record(const struct ns_anchor *anchor, const void *record)
{
    return anchor->record != NULL && record != NULL && anchor->ops->same != NULL &&
           anchor->ops->same(anchor->record, record);
}

static int compile_one(struct ns_commit *commit, struct ns_anchor *anchor)
{
    struct ns_compile compile = {
        .store = commit->store, .commit = commit, .version = commit->version, .anchor = anchor};
    int rc = ns_anchor_compile(anchor, &compile);

    if (rc != 0)
        return rc;
    anchor->new_sources = compile.sources;
    publish_later(commit, anchor);
    if (same_record(anchor, compile.record)) {
        commit->store->counters.records_same++;
        if (anchor->ops->free_record != NULL)
            anchor->ops->free_record(compile.record);
        return 0;
    }
    anchor->new_record = compile.record;
    anchor->work |= NS_WORK_CHANGED;
    enqueue_dependents(commit, anchor);
    if (anchor->record == NULL || anchor->ops->free_record == NULL)
        return 0;
    return ns_commit_retire(commit, anchor->record, anchor->ops->free_record);
}

int ns_anchors_compile(struct ns_commit *commit)
{
    struct ns_store *store = commit->store;

    for (size_t i = 0; i < commit->change_count && store->anchors.count > 0; i++) {
        const struct ns_change *change = &commit->changes[i];
        struct ns_anchor *anchor = ns_anchor_lookup(store, change->path, change->path_size,
                                                    ns_path_hash(change->path, change->path_size));

        if (anchor != NULL)
            enqueue_changed(commit, anchor);
    }
    for (size_t i = 0; i < commit->touched_count; i++)
        enqueue_changed(commit, commit->touched[i]);

    for (unsigned rank = 0; rank < sizeof(commit->work) / sizeof(commit->work[0]); rank++) {
        while (commit->work[rank] != NULL) {
            struct ns_anchor *anchor = commit->work[rank];
            int rc;

            commit->work[rank] = anchor->next_work;
            anchor->work &= ~NS_WORK_QUEUED;
            rc = compile_one(commit, anchor);
            if (rc != 0)
                return rc;
        }
    }
    return 0;
}

void ns_anchors_abandon(struct ns_commit *commit)
{
    for (unsigned rank = 0; rank < sizeof(commit->work) / sizeof(commit->work[0]); rank++)
        for (struct ns_anchor *anchor = commit->work[rank]; anchor != NULL;
             anchor = anchor->next_work)
            anchor->work = 0;
    for (struct ns_anchor *anchor = commit->published; anchor != NULL; anchor = anchor->next_work) {
        ns_source_list_free(commit->store, anchor->new_sources);
        if (anchor->new_record != NULL && anchor->ops->free_record != NULL)
            anchor->ops->free_record(anchor->new_record);
        anchor->new_sources = NULL;
        anchor->new_record = NULL;
        anchor->work = 0;
    }
}

void ns_anchors_publish(struct ns_commit *commit)
{
    uint64_t number = commit->version->number;

    for (struct ns_anchor *anchor = commit->published; anchor != NULL; anchor = anchor->next_work) {
        bool compiled = anchor->ops != NULL && anchor->ops->compile != NULL;

        if (compiled)
            ns_anchor_take_sources(anchor, anchor->new_sources);
        anchor->new_sources = NULL;
        if (!(anchor->work & NS_WORK_CHANGED))
            continue;
        if (compiled)
            ns_rcu_publish(anchor->record, anchor->new_record);
        anchor->new_record = NULL;
        atomic_store_explicit(&anchor->version, number, memory_order_release); /* P2 */
    }
    /* O1, O2: what is published above must be visible before masks and pending marks are read. */
    NS_FENCE(); /* P3 */
}

/* Link the anchor's notice for this lcore, unless one is pending. */
static void notice_send(struct ns_store *store, struct ns_anchor *anchor, unsigned lcore)
{
    struct ns_subscriber *subscriber = &store->subscribers[lcore];
    struct ns_notice *notice = ns_anchor_notice(anchor, lcore);
    struct ns_notice *head;

    if (atomic_exchange_explicit(&notice->pending, 1, memory_order_seq_cst) != 0) { /* O2, P5 */
        store->counters.notices_coalesced++;
        atomic_fetch_add_explicit(&subscriber->coalesced, 1, memory_order_relaxed);
        return;
    }
    head = atomic_load_explicit(&subscriber->head, memory_order_relaxed); /* P6 */
    do
        notice->next = head;
    while (!atomic_compare_exchange_weak_explicit(&subscriber->head, &head, notice,
                                                  memory_order_release, memory_order_relaxed));
    store->counters.notices++;
    atomic_fetch_add_explicit(&subscriber->notices, 1, memory_order_relaxed);
}

/* The lcore sets `sleeping`, then looks at its notices; we link, then look at `sleeping`. One of the two
 * sees the other (Dekker's pattern again). */
static void wake_if_asleep(struct ns_subscriber *subscriber)
{
    NS_FENCE();
    if (subscriber->wake != NULL &&
        atomic_load_explicit(&subscriber->sleeping, memory_order_relaxed) != 0)
        subscriber->wake(subscriber->wake_arg);
}

void ns_anchors_notify(struct ns_commit *commit)
{
    struct ns_store *store = commit->store;
    uint64_t told = 0;

    for (struct ns_anchor *anchor = commit->published; anchor != NULL; anchor = anchor->next_work) {
        uint64_t mask;

        if (!(anchor->work & NS_WORK_CHANGED))
            continue;
        mask =
            atomic_load_explicit(&anchor->mask, memory_order_relaxed); /* after the fence: O1, P4 */
        told |= mask;
        for (; mask != 0; mask &= mask - 1)
            notice_send(store, anchor, (unsigned)__builtin_ctzll(mask));
    }
    commit->told = told;
    for (; told != 0; told &= told - 1) {
        struct ns_subscriber *subscriber = &store->subscribers[__builtin_ctzll(told)];

        atomic_store_explicit(&subscriber->notified, commit->version->number, memory_order_release);
        wake_if_asleep(subscriber);
    }
}

void ns_anchors_done(struct ns_commit *commit)
{
    struct ns_anchor *next;

    for (struct ns_anchor *anchor = commit->published; anchor != NULL; anchor = next) {
        next = anchor->next_work;
        anchor->next_work = NULL;
        anchor->work = 0;
    }
    commit->published = NULL;
}

void ns_anchor_register_for(struct ns_anchor *anchor, unsigned lcore)
{
    assert(lcore < anchor->store->lcores);
    atomic_fetch_or_explicit(&anchor->mask, UINT64_C(1) << lcore, memory_order_seq_cst); /* A2 */
    notice_send(anchor->store, anchor, lcore);
    wake_if_asleep(&anchor->store->subscribers[lcore]);
}
