/* SPDX-License-Identifier: BSD-3-Clause */
/* Mounts: which module is concerned with a name, what names it allows, and what its hooks may ask. */
#include "nameserv/mount.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nameserv/store_p.h"

/* For all mounts but the one at "/". */
static bool lies_below(const struct ns_mount *mount, const char *path, size_t size)
{
    return (size == mount->path_size || path[mount->path_size] == '/') &&
           memcmp(path, mount->path, mount->path_size) == 0;
}

static bool is_checked(const struct ns_store *store, const char *path, size_t size)
{
    return size == store->checked.size && memcmp(path, store->checked.path, size) == 0;
}

struct ns_mount *ns_mount_find(struct ns_store *store, const char *path, size_t path_size)
{
    struct ns_mount *found = &store->root_mount;

    if (is_checked(store, path, path_size))
        return store->mounts[store->checked.mount];

    for (unsigned i = 1; i < store->mount_count; i++) {
        struct ns_mount *mount = store->mounts[i];
        unsigned at = store->mount_ends[i].at;

        if (path_size > at && path[at] == store->mount_ends[i].byte &&
            mount->path_size > found->path_size && lies_below(mount, path, path_size))
            found = mount;
    }
    return found;
}

const struct ns_mount *ns_mount_computed_below(const struct ns_store *store, const char *path,
                                               size_t path_size)
{
    for (unsigned i = 1; i < store->mount_count; i++) {
        const struct ns_mount *mount = store->mounts[i];

        if (mount->ops->computed && mount->path_size > path_size && mount->path[path_size] == '/' &&
            memcmp(mount->path, path, path_size) == 0)
            return mount;
    }
    return NULL;
}

static int make_node(struct ns_store *store, const char *path)
{
    struct ns_txn *txn;
    int rc = ns_txn_begin(store, &ns_identity_stack, &txn);

    if (rc != 0)
        return rc;
    rc = ns_txn_mkdir(txn, path);
    if (rc == 0)
        return ns_txn_commit(txn, NULL, NULL);
    ns_txn_abort(txn);
    return rc;
}

static uint32_t bit_if(const struct ns_mount *mount, bool is_there)
{
    return is_there ? UINT32_C(1) << mount->index : 0;
}

static void note_hooks(struct ns_store *store, const struct ns_mount *mount)
{
    const struct ns_mount_ops *ops = mount->ops;

    store->hooked.prepare |= bit_if(mount, ops->prepare != NULL);
    store->hooked.publish |= bit_if(mount, ops->publish != NULL);
    store->hooked.abandon |= bit_if(mount, ops->abandon != NULL);
    store->hooked.after |= bit_if(mount, ops->after != NULL);
    store->hooked.also |= bit_if(mount, ops->also != NULL);
}

/* While its own node is made, a mount has no hooks yet. */
static const struct ns_mount_ops unready_ops = {.name = "unready"};

int ns_mount_add(struct ns_store *store, struct ns_mount *mount, const char *path,
                 const struct ns_mount_ops *ops)
{
    size_t size = strlen(path);
    int rc = ns_store_path_check(store, path, size, NULL);
    bool there;

    if (rc != 0)
        return rc;
    there = ns_tree_lookup(store->version->root, path, size) != NULL;
    if (size >= sizeof(mount->path) || store->mount_count == NS_MOUNTS_MAX)
        return -ENAMETOOLONG;
    for (unsigned i = 0; i < store->mount_count; i++)
        if (strcmp(store->mounts[i]->path, path) == 0)
            return -EEXIST;
    mount->ops = &unready_ops;
    mount->authority = ops->authority != NULL ? ops->authority : &ns_authority_plain;
    memcpy(mount->path, path, size + 1);
    mount->path_size = size;
    mount->store = store;
    mount->index = store->mount_count;
    store->checked.size = 0;
    store->mount_ends[store->mount_count].at = (uint8_t)(size - 1);
    store->mount_ends[store->mount_count].byte = path[size - 1];
    store->mounts[store->mount_count++] = mount;
    rc = there ? ns_accounts_take(store) : make_node(store, path);
    mount->ops = ops;
    store->checked.size = 0;
    if (rc != 0)
        store->mount_count--;
    else
        note_hooks(store, mount);
    return rc;
}

int ns_mount_set_root(struct ns_store *store, const struct ns_authority *authority)
{
    const struct ns_authority *before = store->root_mount.authority;
    struct ns_txn *txn;
    int rc;

    store->root_mount.authority = authority;
    store->checked.size = 0;
    rc = ns_txn_begin(store, &ns_identity_stack, &txn);
    if (rc == 0) {
        rc = ns_txn_set_perms(txn, "/", &authority->first, 1);
        if (rc == 0)
            rc = ns_txn_commit(txn, NULL, NULL);
        else
            ns_txn_abort(txn);
    }
    if (rc == 0)
        rc = ns_accounts_take(store);
    if (rc != 0)
        store->root_mount.authority = before;
    store->checked.size = 0;
    return rc;
}

bool ns_mount_forgets(const struct ns_mount *mount, const char *path, size_t path_size,
                      const struct ns_entry *entry)
{
    const struct ns_mount_ops *ops = mount->ops;

    return ops->computed ||
           (ops->transient != NULL && ops->transient(mount, path, path_size, entry));
}

/* ---- paths ---- */

/* Legal everywhere; a part of a path is not empty, so '/' does not follow '/'. */
enum { LEGAL = 1, SLASH = 2 };
static const unsigned char classes[256] = {
    ['a' ... 'z'] = LEGAL, ['A' ... 'Z'] = LEGAL, ['0' ... '9'] = LEGAL, ['-'] = LEGAL,
    ['_'] = LEGAL,         ['@'] = LEGAL,         ['/'] = SLASH,
};

/* Where the path stops being legal, with these characters besides; its size if it does not. */
static size_t legal_size(const char *path, size_t size, const char *more)
{
    for (size_t i = 0; i < size; i++) {
        unsigned class = classes[(unsigned char)path[i]];

        if (class == LEGAL)
            continue;
        if (class == SLASH ? i > 0 && path[i - 1] == '/'
                           : path[i] == '\0' || strchr(more, path[i]) == NULL)
            return i;
    }
    return size;
}

static int bad_shape(const char *path, size_t size, struct ns_reason *reason)
{
    if (size == 0 || path[0] != '/')
        return ns_reason_set(reason, EINVAL, "", "a path starts with '/'");
    if (size > NS_PATH_MAX)
        return ns_reason_set(reason, EINVAL, "",
                             "a path of %zu bytes is too long; at most %d are allowed", size,
                             NS_PATH_MAX);
    if (size > 1 && path[size - 1] == '/')
        return ns_reason_set(reason, EINVAL, "", "a path does not end in '/'");
    return 0;
}

static void note_checked(struct ns_store *store, const char *path, size_t size,
                         const struct ns_mount *mount)
{
    if (size > sizeof(store->checked.path))
        return;
    memcpy(store->checked.path, path, size);
    store->checked.size = size;
    store->checked.mount = mount->index;
}

int ns_mount_of_path(struct ns_store *store, const char *path, size_t size,
                     struct ns_reason *reason, const struct ns_mount **mount)
{
    const char *more;
    size_t at;
    int rc;

    if (is_checked(store, path, size)) {
        *mount = store->mounts[store->checked.mount];
        return 0;
    }
    rc = bad_shape(path, size, reason);
    if (rc != 0)
        return rc;
    *mount = ns_mount_find(store, path, size);
    more = (*mount)->authority->chars;
    at = legal_size(path, size, more);
    if (at == size) {
        note_checked(store, path, size, *mount);
        return 0;
    }
    if (path[at] == '/')
        return ns_reason_set(reason, EINVAL, "", "a path has no empty parts ('//')");
    return ns_reason_set(
        reason, EINVAL, "",
        "byte 0x%02x at %zu is not allowed in a path below %s; letters, digits and "
        "\"-_@%s\" are",
        (unsigned char)path[at], at, (*mount)->path, more);
}

int ns_store_path_check(struct ns_store *store, const char *path, size_t size,
                        struct ns_reason *reason)
{
    const struct ns_mount *mount;

    return ns_mount_of_path(store, path, size, reason, &mount);
}

/* ---- inside hooks ---- */

const struct ns_version *ns_commit_version(const struct ns_commit *commit)
{
    return commit->version;
}

const struct ns_version *ns_commit_before(const struct ns_commit *commit)
{
    return commit->before;
}

bool ns_commit_by_stack(const struct ns_commit *commit)
{
    return commit->who->stack;
}

bool ns_commit_restores(const struct ns_commit *commit)
{
    return commit->restores;
}

const struct ns_change *ns_commit_changes(struct ns_commit *commit, struct ns_mount *mount,
                                          size_t *count)
{
    const struct ns_commit_part *part = &commit->parts[mount->index];

    *count = part->count;
    return commit->changes + part->first;
}

const struct ns_change *ns_commit_all_changes(const struct ns_commit *commit, size_t *count)
{
    *count = commit->change_count;
    return commit->changes;
}

int ns_reason_set(struct ns_reason *reason, int error, const char *path, const char *format, ...)
{
    va_list args;

    if (reason == NULL)
        return -error;
    snprintf(reason->path, sizeof(reason->path), "%s", path);
    va_start(args, format);
    vsnprintf(reason->text, sizeof(reason->text), format, args);
    va_end(args);
    return -error;
}

int ns_refuse(struct ns_commit *commit, int error, const char *path, const char *format, ...)
{
    struct ns_reason reason;
    va_list args;

    snprintf(reason.path, sizeof(reason.path), "%s", path);
    va_start(args, format);
    vsnprintf(reason.text, sizeof(reason.text), format, args);
    va_end(args);
    if (commit->judge != NULL)
        commit->judge(&reason, commit->judge_arg);
    if (commit->error == 0) {
        commit->error = -error;
        if (commit->reason != NULL)
            *commit->reason = reason;
    }
    return -error;
}

void ns_commit_set_derived(struct ns_commit *commit, int slot, const void *derived)
{
    commit->version->derived[slot] = derived;
}

int ns_commit_touch(struct ns_commit *commit, const char *path)
{
    struct ns_anchor *anchor = ns_anchor_find(commit->store, path);
    int rc;

    if (anchor == NULL)
        return 0; /* nobody depends on it */
    rc = ns_grow((void **)&commit->touched, commit->touched_count, &commit->touched_capacity,
                 sizeof(commit->touched[0]));
    if (rc == 0)
        commit->touched[commit->touched_count++] = anchor;
    return rc;
}

int ns_commit_retire(struct ns_commit *commit, void *object, void (*free_fn)(void *object))
{
    struct ns_retired_list *list;
    int rc;

    if (commit->object_batch == NULL)
        commit->object_batch = ns_batch_new(commit->store);
    if (commit->object_batch == NULL)
        return -ENOMEM;
    list = &commit->object_batch->retired;
    rc = ns_grow((void **)&list->items, list->count, &list->capacity, sizeof(list->items[0]));

    if (rc == 0)
        list->items[list->count++] = (struct ns_retired){object, free_fn};
    return rc;
}

int ns_grow(void **items, size_t count, size_t *capacity, size_t item_size)
{
    size_t wanted = *capacity == 0 ? 8 : *capacity * 2;
    void *grown;

    if (count < *capacity)
        return 0;
    grown = realloc(*items, wanted * item_size);
    if (grown == NULL)
        return -ENOMEM;
    *items = grown;
    *capacity = wanted;
    return 0;
}
