/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Transactions: what a client observes and changes between START and END.
 *
 * A transaction works on a private build on the version at its start. Besides, two things are kept: the
 * changes it asked for, and what it observed. If nobody committed meanwhile, the build itself becomes
 * the new version. Else the commit looks whether everything observed is as it was, and applies the
 * changes to the newest version; what the client did not look at merges.
 *
 *   transaction                  committed meanwhile     END
 *   write A (blind)              write A                 fine, the transaction's value stays
 *   read A, write B              write A, other value    EAGAIN
 *   read A, write B              write A, equal value    fine: what was read is still so
 *   read A, write B              write A, and back       fine
 *   read A, write B              set_perms A             fine, unless it may no longer read A
 *   read A, write B              create A/x              fine: a child is not the value
 *   get_perms A, write B         set_perms A             EAGAIN
 *   get_perms A, write B         write A                 fine
 *   list D, write B              create D/y              EAGAIN
 *   list D, write B              create D/y, remove it   fine
 *   create D/n1                  create D/n2             fine
 *   create D/n1                  create D/n1             fine, the transaction's value stays
 *   rm D/x                       rm D/x                  fine
 *   rm D                         create D/y              fine, D is gone
 *   write D/x                    rm D                    fine, D is created again
 *   rm D/x                       rm D                    EAGAIN: it would be refused, D is missing
 *   read D/q: ENOENT, write B    create D/q              EAGAIN: an absence was observed
 *   rm D/q/r: ENOENT, write B    create D/q              EAGAIN: it would not be refused
 *   write A, read A              write A                 fine: it read its own
 *   set_perms A, read A          write A                 EAGAIN: the value was not its own
 *   read A, write B              write C                 fine
 *   only reads                   anything                fine: it read one consistent version
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "nameserv/store_p.h"

/* ---- permissions ---- */

unsigned ns_mount_rights(const struct ns_perms *perms, const struct ns_identity *who)
{
    if (who->stack || who->privileged)
        return NS_PERM_BOTH;
    return ns_perms_unix(perms, who);
}

static bool is_owner(const struct ns_perms *perms, const struct ns_identity *who)
{
    return who->stack || who->privileged || ns_perms_unix_owner(perms, who);
}

bool ns_may(const struct ns_entry *entry, const struct ns_identity *who, unsigned right)
{
    return (ns_mount_rights(entry->perms, who) & right) != 0;
}

static int denied(struct ns_reason *reason, const char *path, unsigned right)
{
    ns_reason_set(reason, EACCES, path, "not permitted: you have no right to %s here",
                  right == NS_PERM_READ ? "read" : "write");
    return -EACCES;
}

/* A name that is absent is reported as such only to who has the right asked for on the nearest existing
 * ancestor; to others it might as well be there (XSA-115). */
static int absent(struct ns_reason *reason, const struct ns_entry *nearest, const char *path,
                  const struct ns_identity *who, unsigned right)
{
    if (!ns_may(nearest, who, right))
        return denied(reason, path, right);
    ns_reason_set(reason, ENOENT, path, "no such name");
    return -ENOENT;
}

/* ---- changes ---- */

/* Each level on its own, so that what an unprivileged client creates belongs to it. */
static int create_owned(struct ns_build *build, const char *path, size_t size, size_t existing,
                        const struct ns_entry *nearest, const struct ns_identity *who)
{
    struct ns_perm list[NS_PERMS_MAX];
    struct ns_perms *perms;
    int rc = 0;

    memcpy(list, nearest->perms->list, nearest->perms->count * sizeof(list[0]));
    list[0].id = who->uid;
    perms = ns_perms_new(list, nearest->perms->count);
    if (perms == NULL)
        return -ENOMEM;
    for (size_t end = existing + 1; end <= size && rc == 0; end++)
        if (end == size || (path[end] == '/' && end > 1))
            rc = ns_build_write(build, path, end, "", 0, perms);
    ns_perms_put(perms);
    return rc;
}

static int apply_write(struct ns_build *build, const struct ns_op *op,
                       const struct ns_identity *who, struct ns_reason *reason)
{
    size_t existing;
    const struct ns_entry *nearest =
        ns_tree_nearest(build->root, op->data, op->path_size, &existing);
    int rc = 0;

    if (!ns_may(nearest, who, NS_PERM_WRITE))
        return denied(reason, op->data, NS_PERM_WRITE);
    if (existing < op->path_size && !who->stack && !who->privileged)
        rc = create_owned(build, op->data, op->path_size, existing, nearest, who);
    if (rc == 0)
        rc = ns_build_write(build, op->data, op->path_size, op->data + op->path_size + 1,
                            op->value_size, NULL);
    return rc;
}

static int apply_mkdir(struct ns_build *build, const struct ns_op *op,
                       const struct ns_identity *who, struct ns_reason *reason)
{
    const struct ns_entry *entry = ns_tree_lookup(build->root, op->data, op->path_size);

    if (entry == NULL)
        return apply_write(build, op, who, reason);
    return ns_may(entry, who, NS_PERM_WRITE) ? 0 : denied(reason, op->data, NS_PERM_WRITE);
}

static size_t parent_size(const char *path, size_t size)
{
    while (size > 1 && path[size - 1] != '/')
        size--;
    return size > 1 ? size - 1 : 1;
}

static int apply_remove(struct ns_build *build, const struct ns_op *op,
                        const struct ns_identity *who, struct ns_reason *reason)
{
    size_t existing;
    const struct ns_entry *nearest =
        ns_tree_nearest(build->root, op->data, op->path_size, &existing);

    if (op->path_size == 1)
        return ns_reason_set(reason, EINVAL, "/", "the root can't be removed");
    if (existing == op->path_size) {
        if (!ns_may(nearest, who, NS_PERM_WRITE))
            return denied(reason, op->data, NS_PERM_WRITE);
        return ns_build_remove(build, op->data, op->path_size);
    }
    if (existing == parent_size(op->data, op->path_size))
        return ns_may(nearest, who, NS_PERM_WRITE) ? 0 : denied(reason, op->data, NS_PERM_WRITE);
    return absent(reason, nearest, op->data, who, NS_PERM_WRITE);
}

static int apply_set_perms(struct ns_build *build, const struct ns_op *op,
                           const struct ns_identity *who, struct ns_reason *reason)
{
    size_t existing;
    const struct ns_entry *entry = ns_tree_nearest(build->root, op->data, op->path_size, &existing);

    if (existing < op->path_size)
        return absent(reason, entry, op->data, who, NS_PERM_WRITE);
    if (!is_owner(entry->perms, who))
        return ns_reason_set(reason, EACCES, op->data,
                             "not permitted: only the owner changes permissions");
    if (op->perms->list[0].id != entry->perms->list[0].id && !who->stack && !who->privileged)
        return ns_reason_set(reason, EPERM, op->data,
                             "not permitted: only root gives a name to another owner");
    return ns_build_set_perms(build, op->data, op->path_size, op->perms);
}

static int apply_touch(struct ns_build *build, const struct ns_op *op,
                       const struct ns_identity *who, struct ns_reason *reason)
{
    (void)build;
    (void)op;
    (void)who;
    (void)reason;
    return 0; /* concerns anchors only: commit.c */
}

typedef int (*apply_fn)(struct ns_build *build, const struct ns_op *op,
                        const struct ns_identity *who, struct ns_reason *reason);
static const apply_fn apply[] = {
    [NS_OP_WRITE] = apply_write,         [NS_OP_MKDIR] = apply_mkdir, [NS_OP_REMOVE] = apply_remove,
    [NS_OP_SET_PERMS] = apply_set_perms, [NS_OP_TOUCH] = apply_touch,
};

static int computed(struct ns_store *store, const struct ns_op *op, struct ns_reason *reason)
{
    const struct ns_mount *mount = ns_mount_find(store, op->data, op->path_size);

    if (!mount->ops->computed)
        return 0;
    return ns_reason_set(reason, EROFS, op->data,
                         "names below %s are computed and can't be changed", mount->path);
}

int ns_op_apply(struct ns_store *store, struct ns_build *build, const struct ns_op *op,
                const struct ns_identity *who, struct ns_reason *reason)
{
    int rc = who->stack ? 0 : computed(store, op, reason);

    return rc == 0 ? apply[op->kind](build, op, who, reason) : rc;
}

/* ---- life ---- */

int ns_txn_begin(struct ns_store *store, const struct ns_identity *who, struct ns_txn **result)
{
    struct ns_txn *txn = calloc(1, sizeof(*txn));

    if (txn == NULL)
        return -ENOMEM;
    txn->store = store;
    txn->who = who;
    txn->base = store->version->root;
    txn->base_number = store->version->number;
    ns_build_begin(&txn->build, store->pool, txn->base, ++store->serial);
    txn->previous = store->newest;
    if (store->newest != NULL)
        store->newest->next = txn;
    else
        store->oldest = txn;
    store->newest = txn;
    txn->pinned = true;
    store->counters.transactions_open++;
    *result = txn;
    return 0;
}

uint64_t ns_txn_base(const struct ns_txn *txn)
{
    return txn->base_number;
}

void ns_txn_unpin(struct ns_txn *txn)
{
    struct ns_store *store = txn->store;

    if (!txn->pinned)
        return;
    txn->pinned = false;
    if (txn->previous != NULL)
        txn->previous->next = txn->next;
    else
        store->oldest = txn->next;
    if (txn->next != NULL)
        txn->next->previous = txn->previous;
    else
        store->newest = txn->previous;
    store->counters.transactions_open--;
}

static void op_free(struct ns_op *op)
{
    ns_perms_put(op->perms);
    free(op);
}

void ns_txn_release(struct ns_txn *txn)
{
    ns_txn_unpin(txn);
    for (size_t i = 0; i < txn->op_count; i++)
        op_free(txn->ops[i]);
    free(txn->ops);
    ns_observations_free(txn);
    free(txn);
}

void ns_txn_abort(struct ns_txn *txn)
{
    if (!txn->expired)
        ns_build_abandon(&txn->build);
    ns_txn_release(txn);
}

void ns_txn_expire_oldest(struct ns_store *store)
{
    struct ns_txn *txn = store->oldest;

    ns_build_abandon(&txn->build);
    ns_txn_unpin(txn);
    txn->expired = true;
    store->counters.transactions_expired++;
}

const struct ns_reason *ns_txn_reason(const struct ns_txn *txn)
{
    return &txn->reason;
}

/* ---- reading ---- */

static int check_path(struct ns_txn *txn, const char *path, size_t size)
{
    int rc;

    txn->reason.text[0] = '\0';
    txn->reason.path[0] = '\0';
    if (txn->expired)
        return ns_reason_set(&txn->reason, EAGAIN, "",
                             "the transaction was open for too long; start it again");
    rc = ns_store_path_check(txn->store, path, size, &txn->reason);
    if (rc != 0)
        memcpy(txn->reason.path, path, size <= NS_PATH_MAX ? size + 1 : 0);
    return rc;
}

/* Note what the client learns: that the name is absent, or that it may not know, or `what` of the entry. */
static int look(struct ns_txn *txn, const char *path, unsigned what, const struct ns_entry **found)
{
    size_t size = strlen(path), existing;
    const struct ns_entry *entry;
    int rc = check_path(txn, path, size);

    *found = NULL;
    if (rc != 0)
        return rc;
    entry = ns_tree_nearest(txn->build.root, path, size, &existing);
    if (existing == size && ns_may(entry, txn->who, NS_PERM_READ))
        rc = ns_observe_entry(txn, path, size, what, entry);
    else
        rc = ns_observe(txn, path, size, NS_OBSERVED_VALUE);
    if (rc != 0)
        return rc;
    if (existing < size)
        return absent(&txn->reason, entry, path, txn->who, NS_PERM_READ);
    if (!ns_may(entry, txn->who, NS_PERM_READ))
        return denied(&txn->reason, path, NS_PERM_READ);
    *found = entry;
    return 0;
}

int ns_txn_get(struct ns_txn *txn, const char *path, const struct ns_entry **entry)
{
    return look(txn, path, NS_OBSERVED_VALUE | NS_OBSERVED_PERMS | NS_OBSERVED_CHILDREN, entry);
}

int ns_txn_read(struct ns_txn *txn, const char *path, const void **value, size_t *size)
{
    const struct ns_entry *entry;
    int rc = look(txn, path, NS_OBSERVED_VALUE, &entry);

    if (rc == 0) {
        *value = ns_entry_value(entry);
        *size = entry->value_size;
    }
    return rc;
}

int ns_txn_get_perms(struct ns_txn *txn, const char *path, const struct ns_perms **perms)
{
    const struct ns_entry *entry;
    int rc = look(txn, path, NS_OBSERVED_PERMS, &entry);

    if (rc == 0)
        *perms = entry->perms;
    return rc;
}

int ns_txn_directory(struct ns_txn *txn, const char *path, const struct ns_entry **entry)
{
    return look(txn, path, NS_OBSERVED_CHILDREN, entry);
}

int ns_txn_list(struct ns_txn *txn, const char *path,
                int (*fn)(const struct ns_entry *child, void *arg), void *arg)
{
    const struct ns_entry *entry;
    int rc = look(txn, path, NS_OBSERVED_CHILDREN, &entry);

    return rc == 0 ? ns_entry_each(entry, fn, arg) : rc;
}

/* ---- changing ---- */

static struct ns_op *op_new(enum ns_op_kind kind, const char *path, size_t path_size,
                            const void *value, size_t value_size)
{
    struct ns_op *op = malloc(sizeof(*op) + path_size + 1 + value_size);

    if (op == NULL)
        return NULL;
    *op = (struct ns_op){
        .kind = kind, .path_size = (uint32_t)path_size, .value_size = (uint32_t)value_size};
    memcpy(op->data, path, path_size);
    op->data[path_size] = '\0';
    if (value_size > 0)
        memcpy(op->data + path_size + 1, value, value_size);
    return op;
}

static int change(struct ns_txn *txn, enum ns_op_kind kind, const char *path, const void *value,
                  size_t value_size, struct ns_perms *perms)
{
    size_t size = strlen(path);
    struct ns_op *op;
    int rc = check_path(txn, path, size);

    if (rc == 0 && value_size > NS_VALUE_MAX)
        rc = ns_reason_set(&txn->reason, ENOSPC, path,
                           "a value of %zu bytes is too large; at most %d are allowed", value_size,
                           NS_VALUE_MAX);
    if (rc == 0)
        rc = ns_grow((void **)&txn->ops, txn->op_count, &txn->op_capacity, sizeof(txn->ops[0]));
    op = rc == 0 ? op_new(kind, path, size, value, value_size) : NULL;
    if (op == NULL) {
        ns_perms_put(perms);
        return rc == 0 ? -ENOMEM : rc;
    }
    op->perms = perms;
    rc = ns_op_apply(txn->store, &txn->build, op, txn->who, &txn->reason);
    if (rc == -ENOMEM) {
        txn->damaged = true;
        op_free(op);
        return rc;
    }
    /* A refusal was told, so it is kept: a merge has to refuse it again. */
    op->answer = rc;
    txn->ops[txn->op_count++] = op;
    txn->changed |= rc == 0;
    return rc;
}

int ns_txn_write(struct ns_txn *txn, const char *path, const void *value, size_t size)
{
    return change(txn, NS_OP_WRITE, path, value, size, NULL);
}

int ns_txn_mkdir(struct ns_txn *txn, const char *path)
{
    return change(txn, NS_OP_MKDIR, path, NULL, 0, NULL);
}

int ns_txn_remove(struct ns_txn *txn, const char *path)
{
    return change(txn, NS_OP_REMOVE, path, NULL, 0, NULL);
}

static bool is_there(const struct ns_entry *entry, const void *value, size_t value_size,
                     const struct ns_perms *perms)
{
    return entry != NULL && entry->value_size == value_size &&
           memcmp(ns_entry_value(entry), value, value_size) == 0 &&
           entry->perms->count == perms->count &&
           memcmp(entry->perms->list, perms->list, perms->count * sizeof(perms->list[0])) == 0;
}

int ns_txn_load(struct ns_txn *txn, const char *path, size_t path_size, const void *value,
                size_t value_size, struct ns_perms *perms)
{
    int rc = check_path(txn, path, path_size);

    if (rc == 0 && value_size > NS_VALUE_MAX)
        rc = ns_reason_set(&txn->reason, ENOSPC, path, "a value of %zu bytes is too large",
                           value_size);
    if (rc != 0 ||
        is_there(ns_tree_lookup(txn->build.root, path, path_size), value, value_size, perms))
        return rc;
    txn->changed = txn->loaded = true;
    return ns_build_write(&txn->build, path, path_size, value, value_size, perms);
}

int ns_txn_touch(struct ns_txn *txn, const char *path)
{
    if (!txn->who->stack)
        return -EPERM;
    return change(txn, NS_OP_TOUCH, path, NULL, 0, NULL);
}

int ns_txn_set_perms(struct ns_txn *txn, const char *path, const struct ns_perm *list, size_t count)
{
    struct ns_perms *perms = count == 0 || count > NS_PERMS_MAX ? NULL : ns_perms_new(list, count);

    if (perms == NULL)
        return count == 0 || count > NS_PERMS_MAX ? -EINVAL : -ENOMEM;
    return change(txn, NS_OP_SET_PERMS, path, NULL, 0, perms);
}
