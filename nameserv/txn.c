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

#include "nameserv/account.h"
#include "nameserv/store_p.h"

enum { ROOM_KEPT = 64 }; /* ops, observations, blocks */

/* ---- life ---- */

/* Most transactions are of one request and follow each other: each uses the room of the one before. */
static struct ns_txn *new_txn(struct ns_store *store)
{
    struct ns_txn *txn = store->spare;

    if (txn == NULL)
        return calloc(1, sizeof(*txn));
    store->spare = NULL;
    memset(&txn->store, 0, sizeof(*txn) - offsetof(struct ns_txn, store));
    return txn;
}

int ns_txn_begin(struct ns_store *store, const struct ns_identity *who, struct ns_txn **result)
{
    struct ns_txn *txn = new_txn(store);
    struct ns_replaced room;

    if (txn == NULL)
        return -ENOMEM;
    room = txn->build.replaced;
    txn->store = store;
    txn->reason = &store->reason;
    txn->who = who;
    txn->base = store->version->root;
    txn->base_number = store->version->number;
    ns_build_begin(&txn->build, store->pool, txn->base, ++store->serial);
    txn->build.replaced = room;
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

int ns_txn_view(struct ns_store *store, const struct ns_identity *who, struct ns_txn **txn)
{
    int rc = ns_txn_begin(store, who, txn);

    if (rc == 0)
        (*txn)->view = true;
    return rc;
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

int ns_txn_remember(struct ns_txn *txn, size_t bytes)
{
    if (txn->who->privileged)
        return 0;
    if (txn->account == NULL)
        txn->account = ns_account_of(txn->store, txn->who);
    if (txn->account == NULL)
        return -ENOMEM;
    if (txn->remembered_bytes > 0 && !ns_account_has_room(txn->account, bytes))
        return ns_reason_set(txn->reason, ENOSPC, "",
                             "you may have %u bytes, and what the transaction has looked at and "
                             "changed is part of them",
                             txn->account->quotas.limit[NS_QUOTA_MEMORY]);
    txn->account->txn_bytes += bytes;
    txn->remembered_bytes += bytes;
    return 0;
}

void ns_txn_forget(struct ns_txn *txn)
{
    if (txn->account != NULL)
        txn->account->txn_bytes -= txn->remembered_bytes;
    txn->remembered_bytes = 0;
}

size_t ns_txn_remembered(const struct ns_txn *txn)
{
    return txn->remembered_bytes;
}

void ns_txn_free_room(struct ns_txn *txn)
{
    if (txn == NULL)
        return;
    ns_arena_free(&txn->memory);
    free(txn->ops);
    free(txn->observed);
    free(txn->build.replaced.blocks);
    free(txn);
}

/* Leave its room to the next one, unless that is large. */
static bool leave_room(struct ns_txn *txn)
{
    if (txn->store->spare != NULL || txn->op_capacity > ROOM_KEPT ||
        txn->observed_capacity > ROOM_KEPT || txn->build.replaced.capacity > ROOM_KEPT)
        return false;
    if (txn->observed_count > 0)
        memset(txn->observed, 0, txn->observed_capacity * sizeof(txn->observed[0]));
    ns_arena_reset(&txn->memory);
    txn->store->spare = txn;
    return true;
}

void ns_txn_release(struct ns_txn *txn)
{
    ns_txn_unpin(txn);
    ns_txn_forget(txn);
    for (size_t i = 0; i < txn->op_count && txn->ops_have_perms; i++)
        ns_perms_put(txn->ops[i]->perms);
    if (!leave_room(txn))
        ns_txn_free_room(txn);
}

void ns_txn_abort(struct ns_txn *txn)
{
    struct ns_replaced room = {.blocks = txn->build.replaced.blocks,
                               .capacity = txn->build.replaced.capacity};

    if (!txn->expired) {
        txn->build.replaced = (struct ns_replaced){0};
        ns_build_abandon(&txn->build);
        txn->build.replaced = room;
    }
    ns_txn_release(txn);
}

void ns_txn_expire(struct ns_txn *txn)
{
    ns_build_abandon(&txn->build);
    ns_txn_unpin(txn);
    txn->expired = true;
    txn->store->counters.transactions_expired++;
}

void ns_txn_expire_oldest(struct ns_store *store)
{
    ns_txn_expire(store->oldest);
}

const struct ns_reason *ns_txn_reason(const struct ns_txn *txn)
{
    return txn->reason;
}

/* ---- reading ---- */

static int check_path(struct ns_txn *txn, const char *path, size_t size,
                      const struct ns_mount **mount)
{
    int rc;

    txn->reason->text[0] = '\0';
    txn->reason->path[0] = '\0';
    if (txn->expired) {
        ns_reason_set(txn->reason, EAGAIN, "",
                      "the transaction was open for too long; start it again");
        return -EAGAIN;
    }
    rc = ns_mount_of_path(txn->store, path, size, txn->reason, mount);
    if (rc != 0)
        memcpy(txn->reason->path, path, size <= NS_PATH_MAX ? size + 1 : 0);
    return rc;
}

/* Note what the client learns: that the name is absent, or that it may not know, or of the entry what the
 * mount's authority says that the operation observes. */
static int look(struct ns_txn *txn, const char *path, enum ns_look how,
                const struct ns_entry **found)
{
    size_t size = strlen(path), existing;
    const struct ns_mount *mount;
    const struct ns_entry *entry;
    bool may;
    int rc = check_path(txn, path, size, &mount);

    *found = NULL;
    if (rc != 0)
        return rc;
    entry = ns_tree_nearest(txn->build.root, path, size, &existing);
    may = ns_entry_may(entry, ns_mount_above(mount, path, existing), txn->who, NS_PERM_READ);
    if (existing == size && may)
        rc = ns_observe_entry(txn, path, size, mount->authority->footprint[how], entry);
    else
        rc = ns_observe(txn, path, size, NS_OBSERVED_VALUE);
    if (rc != 0)
        return rc;
    if (!may) {
        ns_txn_denied(txn->reason, path, NS_PERM_READ);
        return -EACCES;
    }
    if (existing < size) {
        ns_txn_absent(txn->reason, path);
        return -ENOENT;
    }
    *found = entry;
    return 0;
}

int ns_txn_get(struct ns_txn *txn, const char *path, const struct ns_entry **entry)
{
    return look(txn, path, NS_LOOK_ALL, entry);
}

int ns_txn_read(struct ns_txn *txn, const char *path, const void **value, size_t *size)
{
    const struct ns_entry *entry;
    int rc = look(txn, path, NS_LOOK_VALUE, &entry);

    if (rc == 0) {
        *value = ns_entry_value(entry);
        *size = entry->value_size;
    }
    return rc;
}

int ns_txn_get_perms(struct ns_txn *txn, const char *path, const struct ns_perms **perms)
{
    const struct ns_entry *entry;
    int rc = look(txn, path, NS_LOOK_PERMS, &entry);

    if (rc == 0)
        *perms = entry->perms;
    return rc;
}

int ns_txn_directory(struct ns_txn *txn, const char *path, const struct ns_entry **entry)
{
    return look(txn, path, NS_LOOK_LIST, entry);
}

int ns_txn_list(struct ns_txn *txn, const char *path,
                int (*fn)(const struct ns_entry *child, void *arg), void *arg)
{
    const struct ns_entry *entry;
    int rc = look(txn, path, NS_LOOK_LIST, &entry);

    return rc == 0 ? ns_entry_each(entry, fn, arg) : rc;
}

/* ---- changing ---- */

static struct ns_op *op_new(struct ns_txn *txn, enum ns_op_kind kind, const char *path,
                            size_t path_size, const void *value, size_t value_size)
{
    struct ns_op *op = ns_arena_get(&txn->memory, sizeof(*op) + path_size + 1 + value_size,
                                    _Alignof(struct ns_op));

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

/* Equal lists are one object, but who is to count need not find out whose. */
static size_t list_bytes(const struct ns_perms *perms)
{
    return perms == NULL ? 0 : sizeof(*perms) + perms->count * sizeof(perms->list[0]);
}

static int change(struct ns_txn *txn, enum ns_op_kind kind, const char *path, const void *value,
                  size_t value_size, struct ns_perms *perms)
{
    size_t size = strlen(path);
    const struct ns_mount *mount;
    struct ns_op *op;
    int rc = check_path(txn, path, size, &mount);

    if (rc == 0 && txn->view)
        rc = ns_reason_set(txn->reason, EPERM, path, "this transaction only reads");
    if (rc == 0 && value_size > NS_VALUE_MAX)
        rc = ns_reason_set(txn->reason, ENOSPC, path,
                           "a value of %zu bytes is too large; at most %d are allowed", value_size,
                           NS_VALUE_MAX);
    if (rc == 0)
        rc = ns_txn_remember(txn, sizeof(*op) + size + 1 + value_size + list_bytes(perms));
    if (rc == 0)
        rc = ns_grow((void **)&txn->ops, txn->op_count, &txn->op_capacity, sizeof(txn->ops[0]));
    op = rc == 0 ? op_new(txn, kind, path, size, value, value_size) : NULL;
    if (op == NULL) {
        ns_perms_put(perms);
        return rc == 0 ? -ENOMEM : rc;
    }
    op->perms = perms;
    op->mount = mount;
    rc = ns_op_apply(&txn->build, op, txn->who, txn->reason);
    if (rc == -ENOMEM) {
        txn->damaged = true;
        ns_perms_put(perms);
        return rc;
    }
    /* A refusal was told, so it is kept: a merge has to refuse it again. */
    op->answer = rc;
    txn->ops[txn->op_count++] = op;
    txn->ops_have_perms |= perms != NULL;
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
    const struct ns_mount *mount;
    int rc = check_path(txn, path, path_size, &mount);

    if (rc == 0 && value_size > NS_VALUE_MAX)
        rc = ns_reason_set(txn->reason, ENOSPC, path, "a value of %zu bytes is too large",
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
    const struct ns_mount *mount = ns_mount_find(txn->store, path, strlen(path));
    struct ns_perm bound[NS_PERMS_MAX];
    struct ns_perms *perms;

    if (count == 0 || count > NS_PERMS_MAX)
        return -EINVAL;
    memcpy(bound, list, count * sizeof(list[0]));
    if (mount->authority->bind != NULL)
        mount->authority->bind(txn->store, bound, count);
    perms = ns_perms_new(bound, count);
    return perms == NULL ? -ENOMEM : change(txn, NS_OP_SET_PERMS, path, NULL, 0, perms);
}

int ns_txn_set_perms_quietly(struct ns_txn *txn, const char *path, struct ns_perms *perms)
{
    int rc = change(txn, NS_OP_SET_PERMS, path, NULL, 0, perms);

    if (rc == 0)
        txn->ops[txn->op_count - 1]->quiet = true;
    return rc;
}
