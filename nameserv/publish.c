/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Publishing: commits that wait together are published together.
 *
 * Requests that are read in one round of the loop are answered at its end. So what they commit need not be
 * visible to other threads before; the control core itself always works on the newest version. Between
 * ns_store_gather(true) and ns_store_publish() a commit of plain names only becomes the newest version, and
 * what it has replaced joins what the others of the round have: one pointer store, one batch and one grace
 * period stand for all of them. Each is a commit of its own in all else: it is judged, numbered, journaled, told
 * to watches and answered by itself.
 *
 *   store->version     the newest; the control core's
 *   store->published   what ns_store_version() gives, to anybody
 *
 * What a commit of the gathering has made and a later one replaces, nobody else has ever seen. It is freed at
 * once, unless a transaction began in between and keeps it.
 *
 * A commit that concerns a module, or an anchor of which a record is derived, is published at once, and all that
 * were gathered with it: the order is kept. So is each commit while commits are traced, because a trace tells
 * how long each step took.
 */
#include <stdlib.h>

#include "nameserv/clock.h"
#include "nameserv/store_p.h"
#include "nameserv/trace.h"

void ns_store_gather(struct ns_store *store, bool on)
{
    store->gathering.on = on;
}

static void retire_gathered(struct ns_store *store)
{
    struct ns_gathering *gathering = &store->gathering;

    if (gathering->tree == NULL)
        return;
    ns_reclaim_add(store, gathering->tree, NULL);
    gathering->tree = NULL;
}

static void make_visible(struct ns_store *store)
{
    store->counters.published_clock = ns_clock();
    store->counters.publications++;
    ns_rcu_publish(store->published, store->version); /* P1 */
}

void ns_store_publish(struct ns_store *store)
{
    if (store->gathering.tree == NULL)
        return;
    make_visible(store);
    retire_gathered(store);
}

static void give_replaced(struct ns_commit *commit, struct ns_batch *batch)
{
    batch->replaced = commit->build->replaced;
    batch->version = (struct ns_version *)(uintptr_t)commit->before;
    commit->build->replaced = (struct ns_replaced){0};
}

void ns_publish_now(struct ns_commit *commit)
{
    struct ns_store *store = commit->store;

    store->version = commit->version;
    make_visible(store);
    ns_anchors_publish(commit);
    ns_anchors_notify(commit);
    if (store->trace != NULL)
        ns_trace_notified(commit);
    ns_anchors_done(commit);
    retire_gathered(store);
    give_replaced(commit, commit->tree_batch);
    ns_reclaim_add(store, commit->tree_batch, commit->object_batch);
}

/* ---- gathering ---- */

/* Modules hand objects to other threads, or act when the commit is visible. */
static bool concerns_modules(const struct ns_commit *commit)
{
    const struct ns_store *store = commit->store;

    return (commit->concerned &
            (store->hooked.prepare | store->hooked.publish | store->hooked.after)) != 0;
}

/* An anchor that nothing but watches hangs on has nobody to tell on other threads. */
static bool concerns_dependents(const struct ns_commit *commit)
{
    for (const struct ns_anchor *anchor = commit->published; anchor != NULL;
         anchor = anchor->next_work)
        if (anchor->ops != NULL || anchor->dependents != NULL ||
            atomic_load_explicit(&anchor->mask, memory_order_acquire) != 0)
            return true;
    return false;
}

/* There must be room for what it has replaced, so that joining can't fail. */
bool ns_publish_may_wait(struct ns_commit *commit)
{
    struct ns_gathering *gathering = &commit->store->gathering;

    if (!gathering->on || commit->store->trace != NULL || commit->object_batch != NULL ||
        concerns_modules(commit) || concerns_dependents(commit))
        return false;
    return gathering->tree == NULL ||
           ns_replaced_reserve(&gathering->tree->replaced, commit->store->pool,
                               commit->build->replaced.count) == 0;
}

void ns_publish_later(struct ns_commit *commit)
{
    struct ns_store *store = commit->store;
    struct ns_gathering *gathering = &store->gathering;

    store->version = commit->version;
    if (commit->published != NULL) {
        ns_anchors_publish(commit);
        ns_anchors_done(commit);
    }
    if (gathering->tree != NULL)
        return;
    gathering->tree = commit->tree_batch;
    give_replaced(commit, gathering->tree);
    gathering->first_number = commit->number;
    gathering->first_serial = store->serial + 1;
    commit->tree_batch = NULL;
}

/* What it has replaced is taken over, or freed if nobody can see it, as its predecessor. */
void ns_publish_joined(struct ns_commit *commit)
{
    struct ns_gathering *gathering = &commit->store->gathering;
    const struct ns_txn *newest = commit->store->newest;
    bool kept = newest != NULL && newest->base_number >= gathering->first_number;

    if (commit->tree_batch == NULL)
        return;
    ns_replaced_join(&gathering->tree->replaced, &commit->build->replaced, commit->store->pool,
                     kept ? UINT64_MAX : gathering->first_serial);
    ns_version_free(commit->store, commit->before);
    ns_batch_free(commit->store, commit->tree_batch);
}
