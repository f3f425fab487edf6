/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One change applied to a build: what the operation means, and who may.
 *
 * Whose rights a permission list gives is asked of the authority of the mount in which the entry that has
 * the list stands; for a name that is absent that is the nearest entry above, perhaps in another mount.
 */
#include <errno.h>
#include <string.h>

#include "nameserv/account.h"
#include "nameserv/store_p.h"

struct applying {
    struct ns_build *build;
    const struct ns_op *op;
    const struct ns_identity *who;
    struct ns_reason *reason;
    const struct ns_entry *nearest;
    size_t existing;              /* bytes of the path that lead to it */
    const struct ns_mount *mount; /* of the nearest */
};

/* ---- who may ---- */

bool ns_entry_may(const struct ns_entry *entry, const struct ns_mount *mount,
                  const struct ns_identity *who, unsigned right)
{
    return (ns_rights(mount->authority, entry->perms, who) & right) != 0;
}

int ns_txn_denied(struct ns_reason *reason, const char *path, unsigned right)
{
    return ns_reason_set(reason, EACCES, path, "not permitted: you have no right to %s here",
                         right == NS_PERM_READ ? "read" : "write");
}

int ns_txn_absent(struct ns_reason *reason, const char *path)
{
    return ns_reason_set(reason, ENOENT, path, "no such name");
}

/* A name that is absent is reported as such only to who has the right asked for on the nearest existing
 * ancestor; to others it might as well be there (XSA-115). */
static int may_write(const struct applying *applying)
{
    if (ns_entry_may(applying->nearest, applying->mount, applying->who, NS_PERM_WRITE))
        return 0;
    return ns_txn_denied(applying->reason, applying->op->data, NS_PERM_WRITE);
}

/* ---- how large ---- */

static int judge_size(const struct applying *applying, const struct ns_node_size *node)
{
    return ns_node_size_judge(applying->mount->store, applying->who, node, applying->op->data,
                              applying->reason);
}

/* The first name that is missing, with its NUL: it is added to the nearest entry's list. */
static size_t first_missing(const struct applying *applying)
{
    const char *missing = applying->op->data + applying->existing;

    return strcspn(missing + (*missing == '/'), "/") + 1;
}

/* Both what is written, and if that is new, the name in which it is made. */
static int may_be_so_large(const struct applying *applying)
{
    const struct ns_entry *nearest = applying->nearest;
    bool exists = applying->existing == applying->op->path_size;
    const struct ns_node_size written = {.perms = nearest->perms->count,
                                         .value = applying->op->value_size,
                                         .children = exists ? nearest : NULL};
    const struct ns_node_size above = {.perms = nearest->perms->count,
                                       .value = nearest->value_size,
                                       .children = nearest,
                                       .more_names = exists ? 0 : first_missing(applying)};
    int rc = judge_size(applying, &written);

    return rc == 0 && !exists ? judge_size(applying, &above) : rc;
}

/* ---- creating ---- */

/* The list of an entry made below one with `above`: the same, but what the unprivileged create is theirs. */
static int inherit(const struct applying *applying, const struct ns_mount *mount,
                   const struct ns_perms *above, struct ns_perms **result)
{
    struct ns_perm list[NS_PERMS_MAX];
    int rc;

    memcpy(list, above->list, above->count * sizeof(list[0]));
    rc = mount->authority->own(applying->who, &list[0]);
    if (rc != 0)
        return ns_reason_set(applying->reason, -rc, applying->op->data,
                             "not permitted: you can own nothing in %s, so you can't create",
                             mount->path);
    *result = ns_perms_new(list, above->count);
    return *result == NULL ? -ENOMEM : 0;
}

/* The node where a mount hangs does not inherit: the numbers in the list above may mean something else. */
static int first_list(const struct ns_mount *mount, struct ns_perms **result)
{
    *result = ns_perms_new(&mount->authority->first, 1);
    return *result == NULL ? -ENOMEM : 0;
}

static bool hangs_at(const struct ns_mount *mount, size_t size)
{
    return size == mount->path_size && size > 1;
}

/* How many names are missing. */
static int64_t count_levels(const struct applying *applying)
{
    const struct ns_op *op = applying->op;
    int64_t levels = applying->existing > 1 ? 0 : 1;

    for (size_t i = applying->existing; i < op->path_size; i++)
        levels += op->data[i] == '/';
    return levels;
}

/* What a transaction of the unprivileged creates is counted as it goes, so that the operation which would
 * be one too many is refused, and not the whole at its end. */
static int may_own_more(const struct applying *applying)
{
    struct ns_build *build = applying->build;
    struct ns_account *account = ns_account_of(applying->mount->store, applying->who);
    int64_t levels = count_levels(applying);
    uint32_t limit;

    if (account == NULL)
        return -ENOMEM;
    limit = account->quotas.limit[NS_QUOTA_NODES];
    if (!account->exempt && limit > 0 && (int64_t)account->nodes + build->made + levels > limit)
        return ns_reason_set(applying->reason, ENOSPC, applying->op->data,
                             "you may have %u names, and have %lld", limit,
                             (long long)account->nodes + (long long)build->made);
    build->made += levels;
    return 0;
}

/* Each level on its own. */
static int create_levels(const struct applying *applying, size_t size)
{
    const struct ns_op *op = applying->op;
    struct ns_perms *perms = NULL, *above = applying->nearest->perms;
    int rc = applying->who->privileged ? 0 : may_own_more(applying);

    if (rc != 0)
        return rc;
    ns_perms_get(above);
    for (size_t end = applying->existing + 1; end <= size && rc == 0; end++) {
        const struct ns_mount *mount;

        if (end < size && (op->data[end] != '/' || end == 1))
            continue;
        mount = ns_mount_above(op->mount, op->data, end);
        if (hangs_at(mount, end))
            rc = first_list(mount, &perms);
        else if (applying->who->privileged)
            perms = ns_perms_get(above);
        else
            rc = inherit(applying, mount, above, &perms);
        if (rc != 0)
            break;
        ns_perms_put(above);
        above = perms;
        rc = ns_build_write(applying->build, op->data, end, "", 0, perms);
    }
    ns_perms_put(above);
    return rc;
}

/* The privileged inherit all of it, which the build does by itself, unless a mount hangs on the way. */
static bool needs_levels(const struct applying *applying)
{
    const struct ns_op *op = applying->op;

    return applying->existing < op->path_size &&
           (!applying->who->privileged || applying->existing < op->mount->path_size);
}

static int apply_write(const struct applying *applying)
{
    const struct ns_op *op = applying->op;
    int rc = may_write(applying);

    if (rc == 0)
        rc = may_be_so_large(applying);
    if (rc != 0)
        return rc;
    if (!needs_levels(applying))
        return ns_build_write_below(applying->build, applying->nearest, applying->existing,
                                    op->data, op->path_size, op->data + op->path_size + 1,
                                    op->value_size, NULL);
    rc = create_levels(applying, op->path_size);
    if (rc == 0)
        rc = ns_build_write(applying->build, op->data, op->path_size, op->data + op->path_size + 1,
                            op->value_size, NULL);
    return rc;
}

static int apply_mkdir(const struct applying *applying)
{
    return applying->existing < applying->op->path_size ? apply_write(applying)
                                                        : may_write(applying);
}

/* ---- the others ---- */

static size_t parent_size(const char *path, size_t size)
{
    while (size > 1 && path[size - 1] != '/')
        size--;
    return size > 1 ? size - 1 : 1;
}

/* The reverse of may_own_more(). */
static int count_removed(const struct ns_entry *entry, void *arg)
{
    const struct applying *applying = arg;

    applying->build->made -= ns_owns(applying->mount->authority, entry->perms, applying->who);
    return ns_entry_each(entry, count_removed, arg);
}

static int apply_remove(const struct applying *applying)
{
    const struct ns_op *op = applying->op;
    const struct ns_mount *computed;
    int rc;

    if (op->path_size == 1)
        return ns_reason_set(applying->reason, EINVAL, "/", "the root can't be removed");
    rc = may_write(applying);
    if (rc != 0)
        return rc;
    computed = ns_mount_computed_below(op->mount->store, op->data, op->path_size);
    if (computed != NULL && !applying->who->stack) /* who could hang it there again? */
        return ns_reason_set(applying->reason, EROFS, op->data,
                             "%s below it is computed and can't be removed", computed->path);
    if (applying->existing == op->path_size) {
        if (!applying->who->privileged)
            count_removed(applying->nearest, (void *)(uintptr_t)applying);
        return ns_build_remove(applying->build, op->data, op->path_size);
    }
    if (applying->existing == parent_size(op->data, op->path_size))
        return 0;
    return ns_txn_absent(applying->reason, op->data);
}

static int apply_set_perms(const struct applying *applying)
{
    const struct ns_op *op = applying->op;
    const struct ns_perm *now = &applying->nearest->perms->list[0], *then = &op->perms->list[0];
    const struct ns_node_size node = {.perms = op->perms->count,
                                      .value = applying->nearest->value_size,
                                      .children = applying->nearest};
    int rc;

    if (applying->existing < op->path_size) {
        rc = may_write(applying);
        return rc != 0 ? rc : ns_txn_absent(applying->reason, op->data);
    }
    if (!ns_owns(applying->mount->authority, applying->nearest->perms, applying->who))
        return ns_reason_set(applying->reason, EACCES, op->data,
                             "not permitted: only the owner changes permissions");
    if ((then->id != now->id || then->generation != now->generation) && !applying->who->privileged)
        return ns_reason_set(applying->reason, EPERM, op->data,
                             "not permitted: only root gives a name to another owner");
    rc = judge_size(applying, &node);
    return rc != 0 ? rc : ns_build_set_perms(applying->build, op->data, op->path_size, op->perms);
}

static int apply_touch(const struct applying *applying)
{
    (void)applying;
    return 0; /* concerns anchors only: commit.c */
}

typedef int (*apply_fn)(const struct applying *applying);
static const apply_fn apply[] = {
    [NS_OP_WRITE] = apply_write,         [NS_OP_MKDIR] = apply_mkdir, [NS_OP_REMOVE] = apply_remove,
    [NS_OP_SET_PERMS] = apply_set_perms, [NS_OP_TOUCH] = apply_touch,
};

int ns_op_apply(struct ns_build *build, const struct ns_op *op, const struct ns_identity *who,
                struct ns_reason *reason)
{
    struct applying applying = {.build = build, .op = op, .who = who, .reason = reason};

    if (op->mount->ops->computed && !who->stack)
        return ns_reason_set(reason, EROFS, op->data,
                             "names below %s are computed and can't be changed", op->mount->path);
    applying.nearest = ns_build_nearest(build, op->data, op->path_size, &applying.existing);
    applying.mount = ns_mount_above(op->mount, op->data, applying.existing);
    return apply[op->kind](&applying);
}
