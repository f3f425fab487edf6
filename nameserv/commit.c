/* SPDX-License-Identifier: BSD-3-Clause */
/* The way of a change: merge, check, prepare, compile, publish, after. See nameserv/store.h. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "nameserv/clock.h"
#include "nameserv/store_p.h"
#include "nameserv/trace.h"

enum { CHANGES_KEPT = 256 };

/* ---- what the changes are ---- */

/* path must last as long as the commit. */
static int add_change_at(struct ns_commit *commit, const char *path, size_t path_size,
                         const struct ns_entry *before, const struct ns_entry *after)
{
    int rc = ns_grow((void **)&commit->changes, commit->change_count, &commit->change_capacity,
                     sizeof(commit->changes[0]));

    if (rc != 0)
        return rc;
    commit->changes[commit->change_count++] =
        (struct ns_change){.path = path,
                           .path_size = path_size,
                           .before = before,
                           .after = after,
                           .mount = ns_mount_find(commit->store, path, path_size)};
    return 0;
}

static int add_change(const char *path, size_t path_size, const struct ns_entry *before,
                      const struct ns_entry *after, void *arg)
{
    struct ns_commit *commit = arg;
    const char *copy = ns_arena_copy(commit->memory, path, path_size);

    return copy == NULL ? -ENOMEM : add_change_at(commit, copy, path_size, before, after);
}

/* Most commits are about one mount. */
static bool is_one_group(struct ns_commit *commit)
{
    struct ns_mount *mount = commit->change_count > 0 ? commit->changes[0].mount : NULL;

    memset(commit->parts, 0, commit->store->mount_count * sizeof(commit->parts[0]));
    for (size_t i = 1; i < commit->change_count; i++)
        if (commit->changes[i].mount != mount)
            return false;
    if (mount != NULL) {
        commit->parts[mount->index].count = commit->change_count;
        commit->concerned = UINT32_C(1) << mount->index;
    }
    return true;
}

/* Group the changes by mount; within a mount they stay in the order of their paths. */
static int group_changes(struct ns_commit *commit)
{
    size_t next[NS_MOUNTS_MAX], first = 0;
    struct ns_change *grouped;

    if (is_one_group(commit))
        return 0;
    grouped = malloc(commit->change_capacity * sizeof(*grouped));
    if (grouped == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < commit->change_count; i++)
        commit->parts[commit->changes[i].mount->index].count++;
    for (unsigned i = 0; i < commit->store->mount_count; i++) {
        commit->parts[i].first = next[i] = first;
        first += commit->parts[i].count;
        commit->concerned |= (uint32_t)(commit->parts[i].count > 0) << i;
    }
    for (size_t i = 0; i < commit->change_count; i++)
        grouped[next[commit->changes[i].mount->index]++] = commit->changes[i];
    free(commit->changes);
    commit->changes = grouped;
    return 0;
}

/* Does the commit change names of a mount that this one names in `also`? */
static bool is_also_concerned(const struct ns_commit *commit, const struct ns_mount *mount)
{
    const struct ns_store *store = commit->store;

    for (const char *const *also = mount->ops->also; *also != NULL; also++)
        for (unsigned i = 0; i < store->mount_count; i++)
            if (commit->parts[i].count > 0 && strcmp(store->mounts[i]->path, *also) == 0)
                return true;
    return false;
}

static struct ns_mount *mount_of_bit(const struct ns_commit *commit, uint32_t bits)
{
    return commit->store->mounts[__builtin_ctz(bits)];
}

static void add_also_concerned(struct ns_commit *commit)
{
    for (uint32_t bits = commit->store->hooked.also; bits != 0; bits &= bits - 1)
        if (is_also_concerned(commit, mount_of_bit(commit, bits)))
            commit->concerned |= bits & -bits;
}

/* Those of one op that removes nothing lie on the way to its name. */
static int add_changes_on_way(struct ns_commit *commit, const char *path, size_t size)
{
    const struct ns_entry *before = commit->before->root, *after = commit->build->root;
    size_t at = 1, end = 1;
    int rc = 0;

    for (;;) {
        const char *slash;

        if (after->version == 0)
            rc = end == size ? add_change_at(commit, path, end, before, after)
                             : add_change(path, end, before, after, commit);
        if (rc != 0 || end == size)
            return rc;
        slash = memchr(path + at, '/', size - at);
        end = slash == NULL ? size : (size_t)(slash - path);
        before = before == NULL ? NULL : ns_entry_child(before, path + at, end - at);
        after = ns_entry_child(after, path + at, end - at);
        if (after == NULL) /* nothing was done */
            return 0;
        at = end + 1;
    }
}

/* Without the whole difference if it can be told from the op. */
static int find_changed_names(struct ns_commit *commit, const struct ns_txn *txn)
{
    const struct ns_op *only = txn->op_count == 1 ? txn->ops[0] : NULL;

    if (only != NULL && only->answer == 0 && only->kind != NS_OP_REMOVE)
        return add_changes_on_way(commit, only->data, only->path_size);
    return ns_tree_diff(commit->before->root, commit->build->root, add_change, commit);
}

static int find_changes(struct ns_commit *commit, const struct ns_txn *txn)
{
    int rc = find_changed_names(commit, txn);

    if (rc == 0)
        rc = group_changes(commit);
    for (size_t i = 0; i < txn->op_count && rc == 0; i++)
        if (txn->ops[i]->kind == NS_OP_TOUCH)
            rc = ns_commit_touch(commit, txn->ops[i]->data);
    if (rc == 0)
        add_also_concerned(commit);
    return rc;
}

/* ---- judging ---- */

static int run_checks(struct ns_commit *commit)
{
    int first = 0;

    for (size_t i = 0; i < commit->change_count; i++) {
        struct ns_mount *mount = commit->changes[i].mount;
        int rc =
            mount->ops->check == NULL ? 0 : mount->ops->check(mount, commit, &commit->changes[i]);

        if (rc != 0 && commit->judge == NULL)
            return rc;
        if (rc != 0 && first == 0)
            first = rc;
    }
    return first;
}

static int run_prepares(struct ns_commit *commit)
{
    uint32_t bits = commit->concerned & commit->store->hooked.prepare;

    for (; bits != 0; bits &= bits - 1) {
        struct ns_mount *mount = mount_of_bit(commit, bits);
        int rc = mount->ops->prepare(mount, commit);

        if (rc != 0)
            return rc;
        commit->prepared |= bits & -bits;
    }
    return 0;
}

/* Only those whose prepare succeeded. */
static void run_abandons(struct ns_commit *commit)
{
    uint32_t bits = commit->prepared & commit->store->hooked.abandon;

    for (; bits != 0; bits &= bits - 1) {
        struct ns_mount *mount = mount_of_bit(commit, bits);

        mount->ops->abandon(mount, commit);
    }
}

static void run_publishes(struct ns_commit *commit)
{
    uint32_t bits = commit->concerned & commit->store->hooked.publish;

    for (; bits != 0; bits &= bits - 1) {
        struct ns_mount *mount = mount_of_bit(commit, bits);

        mount->ops->publish(mount, commit);
    }
}

static void run_afters(struct ns_commit *commit)
{
    uint32_t bits = commit->concerned & commit->store->hooked.after;

    for (; bits != 0; bits &= bits - 1) {
        struct ns_mount *mount = mount_of_bit(commit, bits);

        mount->ops->after(mount, commit);
    }
}

/* Last of all: a listener that agrees has done its work in vain if somebody refuses after it. */
static int prepare_listeners(struct ns_commit *commit)
{
    for (struct ns_listener *l = commit->store->listeners; l != NULL; l = l->next) {
        int rc = l->prepare(l, commit);

        if (rc != 0)
            return rc;
        l->prepared = true;
    }
    return 0;
}

static void end_listeners(struct ns_commit *commit, bool published)
{
    for (struct ns_listener *l = commit->store->listeners; l != NULL; l = l->next) {
        if (l->prepared)
            (published ? l->publish : l->abandon)(l, commit);
        l->prepared = false;
    }
}

static int judge(struct ns_commit *commit)
{
    int rc = run_checks(commit);

    if (rc == 0)
        rc = ns_domains_judge(commit);
    if (rc == 0)
        rc = ns_accounts_judge(commit);
    if (rc == 0)
        rc = run_prepares(commit);
    if (rc == 0)
        rc = ns_anchors_compile(commit);
    if (rc == 0 && commit->judge == NULL)
        rc = prepare_listeners(commit);
    return rc;
}

/* ---- life of a commit ---- */

/* Everything that publishing will need is allocated here. */
static int commit_begin(struct ns_commit *commit)
{
    commit->version = ns_version_new(commit->store);
    commit->tree_batch = ns_batch_new(commit->store);
    if (commit->version == NULL || commit->tree_batch == NULL)
        return -ENOMEM;
    *commit->version = *commit->before;
    commit->version->root = commit->build->root;
    commit->version->number = commit->before->number + 1;
    if (commit->version->number <= commit->store->number_floor)
        commit->version->number = commit->store->number_floor + 1;
    return 0;
}

static void commit_abandon(struct ns_commit *commit)
{
    end_listeners(commit, false);
    ns_accounts_end(commit->store, false);
    run_abandons(commit);
    ns_anchors_abandon(commit);
    if (commit->object_batch != NULL)
        free(commit->object_batch->retired.items);
    ns_batch_free(commit->store, commit->object_batch);
    ns_batch_free(commit->store, commit->tree_batch);
    ns_version_free(commit->store, commit->version);
    ns_build_abandon(commit->build);
}

/* The point of no return: nothing fails. True: it is still to join those that were gathered. */
static bool commit_publish(struct ns_commit *commit)
{
    struct ns_store *store = commit->store;
    bool later = ns_publish_may_wait(commit);

    commit->number = commit->version->number;
    ns_build_seal(commit->build, commit->number);
    if (store->trace != NULL)
        ns_trace_publishing(commit, commit->began);
    if (later)
        ns_publish_later(commit);
    else
        ns_publish_now(commit);
    ns_accounts_end(store, true);
    store->counters.commits++;
    run_publishes(commit);
    end_listeners(commit, true);
    return later;
}

/* ---- merging ---- */

/* Its client was told how it went; now it has to go the same way. */
static int replay(struct ns_build *merged, const struct ns_op *op, const struct ns_identity *who)
{
    int rc = ns_op_apply(merged, op, who, NULL);

    if (rc == op->answer)
        return 0;
    return rc == -ENOMEM ? rc : -EAGAIN;
}

/* It could not be done again as it was: by the name itself, or the one above. */
static void tell_lost_by(const struct ns_txn *txn, const struct ns_op *op)
{
    size_t above = op->path_size;

    if (txn->lost == NULL)
        return;
    while (above > 1 && op->data[above - 1] != '/')
        above--;
    txn->lost(op->data, op->path_size, NS_OBSERVED_VALUE, txn->lost_arg);
    txn->lost(op->data, above > 1 ? above - 1 : 1, NS_OBSERVED_VALUE, txn->lost_arg);
}

static int merge(struct ns_txn *txn, struct ns_build *merged)
{
    struct ns_store *store = txn->store;
    int rc = !txn->loaded && ns_txn_holds(txn, store->version->root) ? 0 : -EAGAIN;

    if (rc != 0)
        ns_txn_tell_lost(txn, store->version->root);
    ns_build_abandon(&txn->build);
    ns_build_begin(merged, store->pool, store->version->root, ++store->serial);
    for (size_t i = 0; i < txn->op_count && rc == 0; i++) {
        rc = replay(merged, txn->ops[i], txn->who);
        if (rc == -EAGAIN)
            tell_lost_by(txn, txn->ops[i]);
    }
    if (rc == 0)
        return 0;
    ns_build_abandon(merged);
    if (rc == -ENOMEM)
        return rc;
    store->counters.conflicts++;
    return ns_reason_set(txn->reason, EAGAIN, "",
                         "something that the transaction looked at has changed since; do it again");
}

/* Free what can be freed as long as there is too much; true: that was enough. */
static bool is_room(struct ns_store *store)
{
    while (store->reclaim.waiting_bytes > store->waiting_limit)
        if (!ns_store_housekeep(store))
            return store->reclaim.waiting_bytes <= store->waiting_limit;
    return true;
}

/* Old versions wait for readers and for snapshots. Beyond the limit, snapshots are ended first; if an
 * lcore holds up grace periods, commits are refused until it goes on. */
static int make_room(struct ns_txn *txn)
{
    struct ns_store *store = txn->store;

    while (!is_room(store) && store->oldest != NULL && store->oldest != txn &&
           store->oldest->base_number < store->version->number)
        ns_txn_expire_oldest(store);
    if (is_room(store))
        return 0;
    if (store->oldest == txn && txn->base_number < store->version->number)
        return ns_reason_set(txn->reason, EAGAIN, "",
                             "the transaction was open for too long; do it again");
    return ns_reason_set(
        txn->reason, ENOMEM, "",
        "%zu bytes of old versions wait for a reader that does not go on; try again later",
        store->reclaim.waiting_bytes);
}

/* ---- all of it ---- */

/* A commit uses the room for changes of the one before; one that a hook makes has to get its own. */
static void take_room(struct ns_commit *commit)
{
    commit->changes = commit->store->changes;
    commit->change_capacity = commit->store->change_capacity;
    commit->store->changes = NULL;
    commit->store->change_capacity = 0;
}

static void leave_room(struct ns_commit *commit)
{
    if (commit->store->changes != NULL || commit->change_capacity > CHANGES_KEPT) {
        free(commit->changes);
        return;
    }
    commit->store->changes = commit->changes;
    commit->store->change_capacity = commit->change_capacity;
}

static int run(struct ns_commit *commit, struct ns_txn *txn)
{
    struct ns_store *store = commit->store;
    int rc = commit_begin(commit);
    bool later;

    if (rc == 0)
        rc = find_changes(commit, txn);
    store->committing = true;
    if (rc == 0 && (commit->change_count > 0 || commit->touched_count > 0))
        rc = judge(commit);
    store->committing = false;
    if (rc != 0 && rc != -ENOMEM)
        store->counters.refusals++;
    if (rc != 0 || commit->judge != NULL ||
        (commit->change_count == 0 && commit->touched_count == 0)) {
        commit_abandon(commit);
        return rc;
    }
    later = commit_publish(commit);
    ns_watches_fire(commit, txn);
    if (later)
        ns_publish_joined(commit);
    store->hold.current = 0;
    run_afters(commit);
    return 0;
}

static int finish(struct ns_txn *txn, int rc, struct ns_reason *reason)
{
    if (rc != 0 && reason != NULL && reason->text[0] == '\0')
        *reason = *txn->reason;
    ns_txn_release(txn);
    return rc;
}

int ns_commit_run(struct ns_txn *txn, uint64_t *version, struct ns_reason *reason,
                  void (*judge_fn)(const struct ns_reason *reason, void *arg), void *judge_arg)
{
    struct ns_store *store = txn->store;
    struct ns_build merged = {.replaced = {0}}, *build = &txn->build;
    struct ns_commit commit;
    int rc;

    memset(&commit, 0, offsetof(struct ns_commit, parts));
    commit.store = store;
    commit.who = txn->who;
    commit.restores = txn->loaded;
    commit.reason = reason;
    commit.judge = judge_fn;
    commit.judge_arg = judge_arg;
    commit.memory = &txn->memory;

    assert(pthread_equal(store->writer, pthread_self()));
    assert(!store->committing);
    if (store->trace != NULL)
        commit.began = ns_clock();
    if (reason != NULL)
        reason->text[0] = reason->path[0] = '\0';
    txn->reason->text[0] = txn->reason->path[0] = '\0';
    if (version != NULL)
        *version = txn->base_number;
    if (txn->expired)
        return finish(
            txn, ns_reason_set(txn->reason, EAGAIN, "", "the transaction was open for too long"),
            reason);
    rc = txn->changed ? make_room(txn) : 1;
    if (rc != 0) {
        ns_build_abandon(&txn->build);
        return finish(txn, rc == 1 ? 0 : rc, reason);
    }
    if (store->version->root != txn->base || txn->damaged) {
        build = &merged;
        rc = merge(txn, &merged);
        if (rc != 0)
            return finish(txn, rc, reason);
    }
    commit.build = build;
    commit.before = store->version;
    ns_txn_unpin(txn);  /* `before` lives until the control core's next quiescent state */
    ns_txn_forget(txn); /* what it makes of it is counted instead */
    commit.number = store->version->number;
    take_room(&commit);
    rc = run(&commit, txn);
    if (rc == 0 && version != NULL)
        *version = commit.number;
    leave_room(&commit);
    free(commit.touched);
    free(merged.replaced.blocks);
    return finish(txn, rc, reason);
}

int ns_txn_commit(struct ns_txn *txn, uint64_t *version, struct ns_reason *reason)
{
    return ns_commit_run(txn, version, reason, NULL, NULL);
}

int ns_txn_judge(struct ns_txn *txn, void (*fn)(const struct ns_reason *reason, void *arg),
                 void *arg)
{
    return ns_commit_run(txn, NULL, NULL, fn, arg);
}
