/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Watches: the dependents that are clients.
 *
 * A watch hangs on the anchor of its path and hears of every change at or below it. So a change looks at
 * the anchors of its own path and of each name above: the cost is that of the path's depth and of the
 * events, however many watches there are elsewhere. Events follow what the transaction asked for, one for
 * each change in its order; ancestors that a write created on the way are no events of their own
 * (xenstore.txt).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nameserv/store_p.h"

int ns_watch_add(struct ns_store *store, struct ns_watch *watch, const char *path)
{
    struct ns_anchor *anchor;
    int rc = ns_anchor_get(store, path, NULL, NULL, NULL, &anchor);

    if (rc != 0)
        return rc;
    watch->anchor = anchor;
    watch->previous = NULL;
    watch->next = anchor->watches;
    if (watch->next != NULL)
        watch->next->previous = watch;
    anchor->watches = watch;
    store->watch_count++;
    return 0;
}

void ns_watch_remove(struct ns_store *store, struct ns_watch *watch)
{
    if (watch->previous != NULL)
        watch->previous->next = watch->next;
    else
        watch->anchor->watches = watch->next;
    if (watch->next != NULL)
        watch->next->previous = watch->previous;
    store->watch_count--;
}

/* One change, and who may hear of it: who may read the name or its parent, now or before (XSA-115). */
struct event {
    const struct ns_commit *commit;
    const char *path;
    size_t path_size;
    const struct ns_entry *sources[4]; /* the name before, its parent before, the same now */
    const struct ns_mount *mounts[2];  /* of the name, of its parent */
};

static bool may_hear(const struct event *event, const struct ns_identity *who)
{
    for (size_t i = 0; i < sizeof(event->sources) / sizeof(event->sources[0]); i++)
        if (event->sources[i] != NULL &&
            ns_entry_may(event->sources[i], event->mounts[i % 2], who, NS_PERM_READ))
            return true;
    return false;
}

/* below: how many levels the changed name lies below the prefix. */
static void fire_at(const struct event *event, size_t prefix_size, uint32_t hash, unsigned below)
{
    struct ns_store *store = event->commit->store;
    struct ns_anchor *anchor = ns_anchor_lookup(store, event->path, prefix_size, hash);
    struct ns_watch *next;

    store->counters.watch_steps++;
    for (struct ns_watch *watch = anchor == NULL ? NULL : anchor->watches; watch != NULL;
         watch = next) {
        next = watch->next;
        store->counters.watch_steps++;
        if ((watch->levels != 0 && below >= watch->levels) || !may_hear(event, watch->who))
            continue;
        store->counters.watch_events++;
        watch->fire(watch, event->path, event->path_size);
    }
}

/* The path's own anchor and those of all names above it; the hash grows along the path. */
static void fire_upwards(const struct event *event)
{
    struct ns_path_hash hash = ns_path_hash_begin();
    unsigned below = event->path_size > 1;

    for (size_t i = 1; i < event->path_size; i++)
        below += event->path[i] == '/';
    fire_at(event, 1, ns_path_hash("/", 1), below);
    for (size_t i = 0; i < event->path_size; i++) {
        ns_path_hash_step(&hash, (unsigned char)event->path[i]);
        if (i > 0 && (i + 1 == event->path_size || event->path[i + 1] == '/'))
            fire_at(event, i + 1, ns_path_hash_end(&hash), --below);
    }
}

static void event_init(struct event *event, const struct ns_commit *commit, const char *path,
                       size_t size)
{
    const struct ns_entry *roots[] = {commit->before->root, commit->version->root};
    size_t parent = size;

    while (parent > 1 && path[parent - 1] != '/')
        parent--;
    if (parent > 1)
        parent--;
    *event = (struct event){.commit = commit, .path = path, .path_size = size};
    event->mounts[0] = ns_mount_find(commit->store, path, size);
    event->mounts[1] = ns_mount_above(event->mounts[0], path, parent);
    for (int i = 0; i < 2; i++) {
        event->sources[i * 2] = ns_tree_lookup(roots[i], path, size);
        event->sources[i * 2 + 1] = ns_tree_lookup(roots[i], path, parent);
    }
}

static bool same_name(const struct ns_entry *before, const struct ns_entry *after)
{
    return before == after ||
           (before != NULL && after != NULL && before->version == after->version);
}

/* ---- what was told already ---- */

/* A transaction may change one name any number of times, and remove what lies below it as often; its watches hear
 * of it once, and what was removed is gone down once, or a commit would cost its operations times the size of what
 * they remove. */
struct told_name {
    const char *path; /* of an operation; NULL: free */
    size_t size;
    uint32_t hash;
    bool removed; /* and all that was below it */
};

struct told {
    struct told_name
        *names; /* open hash; NULL: one operation, or no memory: nothing is remembered */
    size_t mask;
};

static void told_begin(struct told *told, size_t ops)
{
    size_t capacity = 4;

    while (capacity < ops * 2)
        capacity *= 2;
    told->mask = capacity - 1;
    told->names = ops > 1 ? calloc(capacity, sizeof(told->names[0])) : NULL;
}

static struct told_name *told_slot(const struct told *told, const char *path, size_t size,
                                   uint32_t hash)
{
    size_t i = hash & told->mask;

    while (told->names[i].path != NULL &&
           (told->names[i].hash != hash || told->names[i].size != size ||
            memcmp(told->names[i].path, path, size) != 0))
        i = (i + 1) & told->mask;
    return &told->names[i];
}

static bool is_told_removed(const struct told *told, const char *path, size_t size, uint32_t hash)
{
    return told->names != NULL && told_slot(told, path, size, hash)->removed;
}

/* The name, or one above it. */
static bool is_below_told_removed(const struct told *told, const char *path, size_t size)
{
    struct ns_path_hash hash = ns_path_hash_begin();

    for (size_t i = 0; i < size && told->names != NULL; i++) {
        ns_path_hash_step(&hash, (unsigned char)path[i]);
        if (i > 0 && (i + 1 == size || path[i + 1] == '/') &&
            is_told_removed(told, path, i + 1, ns_path_hash_end(&hash)))
            return true;
    }
    return false;
}

/* ---- commits ---- */

/* Going down a removed subtree: watches exactly on a name in it hear of that name; those above hear of
 * the removed one only. The path grows and shrinks in one buffer. */
struct descent {
    const struct ns_commit *commit;
    const struct told *told;
    char path[NS_PATH_MAX + 1];
    size_t size;
};

static int fire_child(const struct ns_entry *child, void *arg)
{
    struct descent *descent = arg;
    size_t size = descent->size;
    struct event event;
    uint32_t hash;

    if (size + 1 + child->name_size > NS_PATH_MAX)
        return 0;
    descent->path[size] = '/';
    memcpy(descent->path + size + 1, ns_entry_name(child), child->name_size);
    descent->size = size + 1 + child->name_size;
    descent->path[descent->size] = '\0';
    hash = ns_path_hash(descent->path, descent->size);
    if (!is_told_removed(descent->told, descent->path, descent->size, hash)) {
        event_init(&event, descent->commit, descent->path, descent->size);
        if (event.sources[2] == NULL)
            fire_at(&event, event.path_size, hash, 0);
        ns_entry_each(child, fire_child, descent);
    }
    descent->size = size;
    return 0;
}

static void fire_removed(const struct event *removed, const struct told *told)
{
    struct descent descent = {.commit = removed->commit, .told = told, .size = removed->path_size};

    memcpy(descent.path, removed->path, removed->path_size);
    ns_entry_each(removed->sources[0], fire_child, &descent);
}

static void fire_op(const struct ns_commit *commit, const struct ns_op *op, const struct told *told)
{
    struct told_name alone = {.path = NULL}, *name = &alone;
    struct event event;
    bool removes;

    event_init(&event, commit, op->data, op->path_size);
    if (same_name(event.sources[0], event.sources[2]))
        return;
    if (told->names != NULL)
        name = told_slot(told, op->data, op->path_size, ns_path_hash(op->data, op->path_size));
    if (name->path == NULL) {
        name->path = op->data;
        name->size = op->path_size;
        name->hash = ns_path_hash(op->data, op->path_size);
        fire_upwards(&event);
    }
    /* It may have been made again, without what was below. */
    removes = event.sources[0] != NULL && (event.sources[2] == NULL || op->kind == NS_OP_REMOVE);
    if (removes && !is_below_told_removed(told, op->data, op->path_size)) {
        fire_removed(&event, told);
        name->removed = true;
    }
}

void ns_watches_fire(const struct ns_commit *commit, const struct ns_txn *txn)
{
    struct told told;

    if (commit->store->watch_count == 0)
        return;
    told_begin(&told, txn->op_count);
    for (size_t i = 0; i < txn->op_count; i++) {
        const struct ns_op *op = txn->ops[i];

        if (op->kind != NS_OP_TOUCH && op->answer == 0 && !op->quiet)
            fire_op(commit, op, &told);
    }
    free(told.names);
}

/* ---- special names ---- */

static void fire_special_at(struct ns_store *store, const char *name, const char *numbered,
                            const struct ns_perms *perms)
{
    struct ns_anchor *anchor =
        ns_anchor_lookup(store, name, strlen(name), ns_path_hash(name, strlen(name)));
    struct ns_watch *next;

    for (struct ns_watch *watch = anchor == NULL ? NULL : anchor->watches; watch != NULL;
         watch = next) {
        const char *path = watch->levels == 2 ? numbered : name;

        next = watch->next;
        if ((ns_rights(&ns_authority_xenstore, perms, watch->who) & NS_PERM_READ) == 0)
            continue;
        store->counters.watch_events++;
        watch->fire(watch, path, strlen(path));
    }
}

void ns_watches_fire_special(struct ns_store *store, const char *name, uint32_t domid,
                             const struct ns_perms *perms)
{
    char numbered[64];

    snprintf(numbered, sizeof(numbered), "%s/%u", name, domid);
    fire_special_at(store, name, numbered, perms);
    fire_special_at(store, numbered, numbered, perms);
}
