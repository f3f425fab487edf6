/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Anchors: the table that finds them by path, their life, and the edges between a name and what is
 * derived from it. What a commit does with them is in notice.c.
 */
#include "nameserv/anchor.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "nameserv/store_p.h"

/* S1 to S5, A1: steps of tests/model/life.pml.
 *
 * dying: not findable by lcores; after a grace period nobody can come to depend on it any more.
 * dead: then seen unused; after another grace period nobody is reading it any more. */
enum { ANCHOR_LIVE, ANCHOR_DYING, ANCHOR_DEAD };

/* ---- the table ---- */

int ns_anchors_init(struct ns_anchors *anchors, size_t requested_max)
{
    anchors->bucket_count = 256;
    anchors->requested_max = requested_max;
    anchors->buckets = calloc(anchors->bucket_count, sizeof(struct ns_anchor *));
    return anchors->buckets == NULL ? -ENOMEM : 0;
}

/* Without memory the table stays as it is: slower, but right. */
static void table_grow(struct ns_anchors *anchors)
{
    size_t count = anchors->bucket_count * 2;
    struct ns_anchor **buckets = calloc(count, sizeof(struct ns_anchor *));

    if (buckets == NULL)
        return;
    for (size_t i = 0; i < anchors->bucket_count; i++) {
        struct ns_anchor *next;

        for (struct ns_anchor *anchor = anchors->buckets[i]; anchor != NULL; anchor = next) {
            next = anchor->next_same_hash;
            anchor->next_same_hash = buckets[anchor->hash & (count - 1)];
            buckets[anchor->hash & (count - 1)] = anchor;
        }
    }
    free(anchors->buckets);
    anchors->buckets = buckets;
    anchors->bucket_count = count;
}

static void table_insert(struct ns_anchors *anchors, struct ns_anchor *anchor)
{
    struct ns_anchor **bucket;

    if (anchors->count >= anchors->bucket_count)
        table_grow(anchors);
    bucket = &anchors->buckets[anchor->hash & (anchors->bucket_count - 1)];
    anchor->next_same_hash = *bucket;
    *bucket = anchor;
    if (anchors->all == NULL) {
        anchor->next_all = anchor->previous_all = anchor;
        anchors->all = anchors->sweep = anchor;
    } else {
        anchor->next_all = anchors->all;
        anchor->previous_all = anchors->all->previous_all;
        anchor->previous_all->next_all = anchor;
        anchor->next_all->previous_all = anchor;
    }
    anchors->count++;
    if (anchor->ops != NULL)
        anchors->requested++;
}

static void table_remove(struct ns_anchors *anchors, struct ns_anchor *anchor)
{
    struct ns_anchor **link = &anchors->buckets[anchor->hash & (anchors->bucket_count - 1)];
    bool last = anchor->next_all == anchor;

    while (*link != anchor)
        link = &(*link)->next_same_hash;
    *link = anchor->next_same_hash;
    anchor->next_all->previous_all = anchor->previous_all;
    anchor->previous_all->next_all = anchor->next_all;
    if (anchors->all == anchor)
        anchors->all = last ? NULL : anchor->next_all;
    if (anchors->sweep == anchor)
        anchors->sweep = last ? NULL : anchor->next_all;
    anchors->count--;
    if (anchor->ops != NULL)
        anchors->requested--;
}

struct ns_anchor *ns_anchor_lookup(struct ns_store *store, const char *path, size_t path_size,
                                   uint32_t hash)
{
    struct ns_anchors *anchors = &store->anchors;
    struct ns_anchor *anchor = anchors->buckets[hash & (anchors->bucket_count - 1)];

    while (anchor != NULL && (anchor->hash != hash || anchor->path_size != path_size ||
                              memcmp(anchor->path, path, path_size) != 0))
        anchor = anchor->next_same_hash;
    return anchor;
}

struct ns_anchor *ns_anchor_find(struct ns_store *store, const char *path)
{
    size_t size = strlen(path);

    return ns_anchor_lookup(store, path, size, ns_path_hash(path, size));
}

bool ns_anchors_part(struct ns_store *store, uint32_t *cursor,
                     void (*fn)(struct ns_anchor *anchor, void *arg), void *arg)
{
    struct ns_anchors *anchors = &store->anchors;
    struct ns_anchor *anchor;

    if (*cursor >= anchors->bucket_count)
        return false;
    for (anchor = anchors->buckets[*cursor]; anchor != NULL; anchor = anchor->next_same_hash)
        fn(anchor, arg);
    return ++*cursor < anchors->bucket_count;
}

/* ---- making and freeing ---- */

static struct ns_anchor *anchor_new(struct ns_store *store, const char *path, size_t path_size,
                                    uint32_t hash, const struct ns_anchor_ops *ops)
{
    size_t stride = store->lcores > 1 ? NS_CACHE_LINE : sizeof(struct ns_notice);
    size_t object =
        ((ops == NULL ? sizeof(struct ns_anchor) : ops->size) + stride - 1) & ~(stride - 1);
    size_t size = object + store->lcores * stride + path_size + 1;
    struct ns_anchor *anchor;

    size = (size + NS_CACHE_LINE - 1) & ~(size_t)(NS_CACHE_LINE - 1);
    anchor = aligned_alloc(NS_CACHE_LINE, size);
    if (anchor == NULL)
        return NULL;
    memset(anchor, 0, size);
    anchor->ops = ops;
    anchor->store = store;
    anchor->notices = (struct ns_notice *)((char *)anchor + object);
    anchor->notice_stride = (uint32_t)stride;
    for (unsigned i = 0; i < store->lcores; i++)
        ns_anchor_notice(anchor, i)->anchor = anchor;
    anchor->path = (char *)ns_anchor_notice(anchor, store->lcores);
    memcpy(anchor->path, path, path_size + 1);
    anchor->path_size = path_size;
    anchor->hash = hash;
    atomic_init(&anchor->version, store->version->number);
    return anchor;
}

void ns_source_list_free(struct ns_store *store, struct ns_source *sources)
{
    while (sources != NULL) {
        struct ns_source *next = sources->next_source;

        ns_pool_put(store->pool, sources, sizeof(*sources));
        sources = next;
    }
}

/* Take the edges to an anchor's sources out of the sources' lists, and free them. */
static void sources_unlink(struct ns_anchor *anchor)
{
    for (struct ns_source *edge = anchor->sources; edge != NULL; edge = edge->next_source) {
        *edge->link_dependent = edge->next_dependent;
        if (edge->next_dependent != NULL)
            edge->next_dependent->link_dependent = edge->link_dependent;
    }
    ns_source_list_free(anchor->store, anchor->sources);
    anchor->sources = NULL;
}

static void dependent_link(struct ns_source *edge)
{
    struct ns_source **head = &edge->source->dependents;

    edge->next_dependent = *head;
    edge->link_dependent = head;
    if (*head != NULL)
        (*head)->link_dependent = &edge->next_dependent;
    *head = edge;
}

void ns_anchor_take_sources(struct ns_anchor *anchor, struct ns_source *sources)
{
    sources_unlink(anchor);
    anchor->sources = sources;
    for (struct ns_source *edge = sources; edge != NULL; edge = edge->next_source)
        dependent_link(edge);
}

static void record_free(const struct ns_anchor *anchor, void *record)
{
    if (record != NULL && anchor->ops->free_record != NULL)
        anchor->ops->free_record(record);
}

static void anchor_free(struct ns_anchor *anchor)
{
    sources_unlink(anchor);
    record_free(anchor, anchor->record);
    free(anchor);
}

void ns_anchors_fini(struct ns_store *store)
{
    struct ns_anchors *anchors = &store->anchors;

    /* All edges first: an edge stands in lists of two anchors. */
    for (size_t i = 0; i < anchors->count; i++, anchors->all = anchors->all->next_all)
        sources_unlink(anchors->all);
    while (anchors->all != NULL) {
        struct ns_anchor *anchor = anchors->all;

        table_remove(anchors, anchor);
        anchor_free(anchor);
    }
    free(anchors->buckets);
}

/* ---- compile ---- */

const struct ns_version *ns_compile_version(const struct ns_compile *compile)
{
    return compile->version;
}

struct ns_commit *ns_compile_commit(struct ns_compile *compile)
{
    return compile->commit;
}

void ns_compile_record(struct ns_compile *compile, void *record)
{
    compile->record = record;
}

static struct ns_anchor *plain_anchor(struct ns_store *store, const char *path)
{
    size_t size = strlen(path);
    uint32_t hash = ns_path_hash(path, size);
    struct ns_anchor *anchor = ns_anchor_lookup(store, path, size, hash);

    if (anchor == NULL) {
        anchor = anchor_new(store, path, size, hash, NULL);
        if (anchor != NULL)
            table_insert(&store->anchors, anchor);
    }
    return anchor;
}

static bool has_source(const struct ns_compile *compile, const struct ns_anchor *source)
{
    const struct ns_source *edge = compile->sources;

    while (edge != NULL && edge->source != source)
        edge = edge->next_source;
    return edge != NULL;
}

/* What is published in the commit under way is not in the anchor yet. */
static uint64_t changed_in(const struct ns_compile *compile, const struct ns_anchor *source)
{
    return compile->commit != NULL && (source->work & NS_WORK_CHANGED) != 0
               ? compile->version->number
               : ns_anchor_version(source);
}

uint64_t ns_compile_depend(struct ns_compile *compile, const char *path)
{
    struct ns_anchor *source = plain_anchor(compile->store, path);
    struct ns_source *edge;

    if (source != NULL && has_source(compile, source))
        return changed_in(compile, source);
    edge = source == NULL ? NULL : ns_pool_get(compile->store->pool, sizeof(*edge));
    if (edge == NULL) {
        compile->failed = true;
        return 0;
    }
    assert(source->ops == NULL || source->ops->rank < compile->anchor->ops->rank);
    *edge = (struct ns_source){
        .source = source, .derived = compile->anchor, .next_source = compile->sources};
    compile->sources = edge;
    return changed_in(compile, source);
}

const struct ns_entry *ns_compile_read(struct ns_compile *compile, const char *path)
{
    ns_compile_depend(compile, path);
    return ns_tree_lookup(compile->version->root, path, strlen(path));
}

/* Run the hook. Afterwards the record and the sources are the caller's, or freed if it failed. */
int ns_anchor_compile(struct ns_anchor *anchor, struct ns_compile *compile)
{
    int rc = anchor->ops->compile(anchor, compile);

    anchor->store->counters.records_compiled++;
    if (rc == 0 && compile->failed)
        rc = -ENOMEM;
    if (rc != 0) {
        record_free(anchor, compile->record);
        ns_source_list_free(anchor->store, compile->sources);
    }
    return rc;
}

/* ---- for modules ---- */

static int check_room(struct ns_store *store, const struct ns_anchor_ops *ops)
{
    return ops != NULL && store->anchors.requested >= store->anchors.requested_max ? -ENOSPC : 0;
}

/* A plain anchor becomes one with ops: what depends on the name moves over. */
static int move_dependents(struct ns_anchor *from, struct ns_anchor *to)
{
    if (from->pins != 0 || atomic_load_explicit(&from->mask, memory_order_relaxed) != 0)
        return -EBUSY;
    to->dependents = from->dependents;
    if (to->dependents != NULL)
        to->dependents->link_dependent = &to->dependents;
    for (struct ns_source *edge = to->dependents; edge != NULL; edge = edge->next_dependent)
        edge->source = to;
    to->watches = from->watches;
    for (struct ns_watch *watch = to->watches; watch != NULL; watch = watch->next)
        watch->anchor = to;
    from->dependents = NULL;
    return 0;
}

static int compile_first(struct ns_anchor *anchor)
{
    struct ns_compile compile = {
        .store = anchor->store, .version = anchor->store->version, .anchor = anchor};
    int rc;

    if (anchor->ops == NULL || anchor->ops->compile == NULL)
        return 0;
    rc = ns_anchor_compile(anchor, &compile);
    if (rc != 0)
        return rc;
    ns_anchor_take_sources(anchor, compile.sources);
    ns_rcu_publish(anchor->record, compile.record);
    return 0;
}

static int anchor_make(struct ns_store *store, struct ns_anchor *plain, struct ns_anchor *anchor,
                       void (*init)(struct ns_anchor *anchor, void *arg), void *arg)
{
    int rc;

    if (init != NULL)
        init(anchor, arg);
    rc = compile_first(anchor);
    if (rc == 0 && plain != NULL)
        rc = move_dependents(plain, anchor);
    if (rc != 0) {
        anchor_free(anchor);
        return rc;
    }
    if (plain != NULL) {
        if (plain->state != ANCHOR_LIVE)
            store->anchors.dying--;
        table_remove(&store->anchors, plain);
        anchor_free(plain);
    }
    table_insert(&store->anchors, anchor);
    if (anchor->ops != NULL && anchor->ops->link != NULL)
        anchor->ops->link(anchor);
    return 0;
}

static void revive(struct ns_anchor *anchor)
{
    if (anchor->state == ANCHOR_LIVE)
        return;
    anchor->state = ANCHOR_LIVE;
    anchor->store->anchors.dying--;
    if (anchor->ops != NULL && anchor->ops->link != NULL)
        anchor->ops->link(anchor);
}

int ns_anchor_get(struct ns_store *store, const char *path, const struct ns_anchor_ops *ops,
                  void (*init)(struct ns_anchor *anchor, void *arg), void *arg,
                  struct ns_anchor **anchor)
{
    size_t size = strlen(path);
    uint32_t hash = ns_path_hash(path, size);
    struct ns_anchor *found = ns_anchor_lookup(store, path, size, hash);
    int rc;

    if (found != NULL && (ops == NULL || found->ops == ops)) {
        revive(found); /* A1 */
        *anchor = found;
        return 0;
    }
    assert(found == NULL || (found->ops == NULL && !store->committing));
    if (ops != NULL)
        ns_store_publish(
            store); /* its first record is of the newest version, and visible at once */
    rc = check_room(store, ops);
    if (rc != 0)
        return rc;
    *anchor = anchor_new(store, path, size, hash, ops);
    return *anchor == NULL ? -ENOMEM : anchor_make(store, found, *anchor, init, arg);
}

void ns_anchor_pin(struct ns_anchor *anchor)
{
    anchor->pins++;
}

void ns_anchor_unpin(struct ns_anchor *anchor)
{
    assert(anchor->pins > 0);
    anchor->pins--;
}

void ns_anchor_dependents(struct ns_anchor *anchor, struct ns_dependents *out,
                          void (*fn)(struct ns_anchor *derived, void *arg), void *arg)
{
    *out =
        (struct ns_dependents){.lcores = atomic_load_explicit(&anchor->mask, memory_order_relaxed)};
    for (struct ns_source *edge = anchor->dependents; edge != NULL; edge = edge->next_dependent) {
        out->anchors++;
        if (fn != NULL)
            fn(edge->derived, arg);
    }
    for (const struct ns_watch *watch = anchor->watches; watch != NULL; watch = watch->next)
        out->watches++;
}

void ns_anchor_sources(struct ns_anchor *anchor, void (*fn)(struct ns_anchor *source, void *arg),
                       void *arg)
{
    for (struct ns_source *edge = anchor->sources; edge != NULL; edge = edge->next_source)
        fn(edge->source, arg);
}

struct ns_anchor *ns_anchor_next(struct ns_store *store, const struct ns_anchor *after)
{
    struct ns_anchor *next = after == NULL ? store->anchors.all : after->next_all;

    return after != NULL && next == store->anchors.all ? NULL : next;
}

int ns_anchor_verify(struct ns_anchor *anchor)
{
    struct ns_compile compile = {
        .store = anchor->store, .version = anchor->store->version, .anchor = anchor};
    int rc;

    assert(!anchor->store->committing);
    if (anchor->ops == NULL || anchor->ops->compile == NULL || anchor->ops->same == NULL)
        return 1;
    rc = ns_anchor_compile(anchor, &compile);
    if (rc != 0)
        return rc;
    rc = anchor->ops->same(anchor->record, compile.record);
    record_free(anchor, compile.record);
    ns_source_list_free(anchor->store, compile.sources);
    return rc;
}

/* ---- forgetting ---- */

/* A notice that is still in an lcore's list points into the anchor. */
static bool has_pending(const struct ns_anchor *anchor)
{
    for (unsigned i = 0; i < anchor->store->lcores; i++)
        if (atomic_load_explicit(&ns_anchor_notice(anchor, i)->pending, memory_order_acquire) != 0)
            return true;
    return false;
}

static bool is_used(const struct ns_anchor *anchor)
{
    return anchor->pins != 0 || anchor->dependents != NULL || anchor->watches != NULL ||
           atomic_load_explicit(&anchor->mask, memory_order_acquire) != 0 || has_pending(anchor);
}

static void consider(struct ns_store *store, struct ns_anchor *anchor)
{
    if (anchor->state == ANCHOR_LIVE) {
        if (is_used(anchor)) /* S1 */
            return;
        if (anchor->ops != NULL && anchor->ops->unlink != NULL)
            anchor->ops->unlink(anchor); /* S2 */
        anchor->state = ANCHOR_DYING;
        store->anchors.dying++;
        anchor->ticket = ns_reclaim_ticket(&store->reclaim); /* S3 */
        return;
    }
    if (!ns_reclaim_over(&store->reclaim, anchor->ticket))
        return;
    /* Whoever found it before it was unlinked has registered by now, or never will: that was inside
     * a read section that is over. But who registered may have left again just now, with a notice
     * that it has taken and is still reading from: hence the second grace period. */
    if (is_used(anchor)) { /* S4, S5 */
        revive(anchor);
    } else if (anchor->state == ANCHOR_DYING) {
        anchor->state = ANCHOR_DEAD;
        anchor->ticket = ns_reclaim_ticket(&store->reclaim);
    } else {
        store->anchors.dying--;
        table_remove(&store->anchors, anchor);
        anchor_free(anchor);
        store->counters.anchors_forgotten++;
    }
}

bool ns_anchors_sweep(struct ns_store *store, unsigned limit)
{
    uint64_t before = store->counters.anchors_forgotten;

    for (unsigned i = 0; i < limit && store->anchors.sweep != NULL; i++) {
        struct ns_anchor *anchor = store->anchors.sweep;

        store->anchors.sweep = anchor->next_all;
        consider(store, anchor);
    }
    return store->counters.anchors_forgotten != before;
}
