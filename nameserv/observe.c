/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a transaction has observed, and whether it still holds; see txn.c.
 *
 * Compared is what the client was told, not when it was last written: a value that was written again with
 * the same bytes, or changed and changed back, is the value that was read. So the cost of a merge is that of
 * what was observed. What the transaction has written itself it does not observe.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "nameserv/store_p.h"

/* ---- the table ---- */

static struct ns_observation *slot_of(struct ns_observation *table, size_t capacity,
                                      const char *path, size_t size, uint32_t hash)
{
    size_t i = hash & (capacity - 1);

    while (table[i].path != NULL && (table[i].hash != hash || table[i].path_size != size ||
                                     memcmp(table[i].path, path, size) != 0))
        i = (i + 1) & (capacity - 1);
    return &table[i];
}

static int grow(struct ns_txn *txn)
{
    size_t capacity = txn->observed_capacity == 0 ? 16 : txn->observed_capacity * 2;
    struct ns_observation *table = calloc(capacity, sizeof(table[0]));

    if (table == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < txn->observed_capacity; i++) {
        const struct ns_observation *old = &txn->observed[i];

        if (old->path != NULL)
            *slot_of(table, capacity, old->path, old->path_size, old->hash) = *old;
    }
    free(txn->observed);
    txn->observed = table;
    txn->observed_capacity = capacity;
    return 0;
}

int ns_observe(struct ns_txn *txn, const char *path, size_t size, unsigned what)
{
    struct ns_observation *slot;
    uint32_t hash;
    int rc;

    if (txn->view)
        return 0;
    hash = ns_path_hash(path, size);
    if (txn->observed_count * 2 >= txn->observed_capacity && grow(txn) != 0)
        return -ENOMEM;
    slot = slot_of(txn->observed, txn->observed_capacity, path, size, hash);
    if (slot->path == NULL) {
        rc = ns_txn_remember(txn, sizeof(*slot) + size + 1);
        if (rc != 0)
            return rc;
        slot->path = ns_arena_copy(&txn->memory, path, size);
        if (slot->path == NULL)
            return -ENOMEM;
        slot->path_size = (uint32_t)size;
        slot->hash = hash;
        txn->observed_count++;
    }
    slot->what |= what;
    return 0;
}

/* ---- what is its own ---- */

/* Enter what was written since the last time. A name that is removed and made again has its value from the
 * transaction all the same, but takes its permissions from above. */
static int note_own(struct ns_txn *txn)
{
    static const unsigned own[] = {
        [NS_OP_WRITE] = NS_OWN_VALUE, [NS_OP_SET_PERMS] = NS_OWN_PERMS, [NS_OP_TOUCH] = 0};
    int rc = 0;

    for (; txn->ops_noted < txn->op_count && rc == 0; txn->ops_noted += rc == 0) {
        const struct ns_op *op = txn->ops[txn->ops_noted];

        if (op->answer == 0 && op->kind == NS_OP_REMOVE)
            txn->own_lost = NS_OWN_PERMS;
        if (op->answer == 0 && own[op->kind] != 0)
            rc = ns_observe(txn, op->data, op->path_size, own[op->kind]);
    }
    return rc;
}

static bool is_own(const struct ns_txn *txn, const char *path, size_t size, unsigned own)
{
    return txn->observed_count > 0 &&
           (slot_of(txn->observed, txn->observed_capacity, path, size, ns_path_hash(path, size))
                ->what &
            own & ~txn->own_lost) != 0;
}

/* A name that was removed and made again has its permissions from one of those above. */
static int observe_above(struct ns_txn *txn, const char *path, size_t size)
{
    int rc = 0;

    for (size_t end = size - 1; end > 0 && rc == 0; end--)
        if (path[end] == '/')
            rc = ns_observe(txn, path, end, NS_OBSERVED_PERMS);
    return rc == 0 ? ns_observe(txn, "/", 1, NS_OBSERVED_PERMS) : rc;
}

/* Of an entry of which it has written the value it does observe the permissions, the other way round, and
 * both if only something below was written; and always that it may read it. */
int ns_observe_entry(struct ns_txn *txn, const char *path, size_t size, unsigned what,
                     const struct ns_entry *entry)
{
    unsigned own = what == NS_OBSERVED_VALUE   ? NS_OWN_VALUE
                   : what == NS_OBSERVED_PERMS ? NS_OWN_PERMS
                                               : 0;

    if (entry->version == 0 && own != 0) {
        int rc = note_own(txn);

        if (rc != 0)
            return rc;
        if (is_own(txn, path, size, own))
            what = NS_OBSERVED_ACCESS;
        else if ((what & NS_OBSERVED_PERMS) && (txn->own_lost & NS_OWN_PERMS))
            rc = observe_above(txn, path, size);
        if (rc != 0)
            return rc;
    }
    return ns_observe(txn, path, size, what);
}

/* ---- whether it holds ---- */

/* What a client finds at a name: the nearest entry tells whether it may know (XSA-115). */
struct sight {
    const struct ns_entry *nearest, *entry; /* entry: NULL if the name is absent */
    bool readable;
};

static struct sight look(struct ns_store *store, const struct ns_entry *root,
                         const struct ns_observation *seen, const struct ns_identity *who)
{
    size_t existing;
    struct sight sight = {.nearest = ns_tree_nearest(root, seen->path, seen->path_size, &existing)};

    sight.entry = existing == seen->path_size ? sight.nearest : NULL;
    sight.readable =
        ns_entry_may(sight.nearest, ns_mount_find(store, seen->path, existing), who, NS_PERM_READ);
    return sight;
}

static bool same_value(const struct ns_entry *before, const struct ns_entry *now)
{
    if (before == NULL || now == NULL)
        return before == now;
    return before->value_size == now->value_size &&
           memcmp(ns_entry_value(before), ns_entry_value(now), now->value_size) == 0;
}

static bool same_list(const struct ns_entry *before, const struct ns_entry *now)
{
    const struct ns_entry *a, *b;

    if (before == NULL || now == NULL)
        return before == now;
    if (before->children == now->children || before->child_count != now->child_count)
        return before->child_count == now->child_count;
    a = ns_entry_first(before);
    for (b = ns_entry_first(now); b != NULL;
         b = ns_entry_next(now, ns_entry_name(b), b->name_size)) {
        if (a->name_size != b->name_size ||
            memcmp(ns_entry_name(a), ns_entry_name(b), b->name_size) != 0)
            return false;
        a = ns_entry_next(before, ns_entry_name(a), a->name_size);
    }
    return true;
}

/* Permissions of a name that is absent are those that it would take from above. Equal lists are one object. */
static bool holds(unsigned what, const struct sight *before, const struct sight *now)
{
    if (before->nearest == now->nearest)
        return (before->entry == NULL) == (now->entry == NULL);
    if (before->readable != now->readable)
        return false;
    if ((what & NS_OBSERVED_PERMS) && before->nearest->perms != now->nearest->perms)
        return false;
    if (!before->readable)
        return true;
    if ((what & NS_OBSERVED_VALUE) && !same_value(before->entry, now->entry))
        return false;
    if ((what & NS_OBSERVED_CHILDREN) && !same_list(before->entry, now->entry))
        return false;
    return !(what & NS_OBSERVED_PERMS) || (before->entry == NULL) == (now->entry == NULL);
}

static bool observation_holds(const struct ns_txn *txn, const struct ns_observation *seen,
                              const struct ns_entry *root)
{
    const unsigned observed =
        NS_OBSERVED_VALUE | NS_OBSERVED_PERMS | NS_OBSERVED_CHILDREN | NS_OBSERVED_ACCESS;
    struct sight before, now;

    if (seen->path == NULL || !(seen->what & observed))
        return true;
    before = look(txn->store, txn->base, seen, txn->who);
    now = look(txn->store, root, seen, txn->who);
    return holds(seen->what, &before, &now);
}

bool ns_txn_holds(const struct ns_txn *txn, const struct ns_entry *root)
{
    for (size_t i = 0; i < txn->observed_capacity && txn->observed_count > 0; i++)
        if (!observation_holds(txn, &txn->observed[i], root))
            return false;
    return true;
}

/* ---- who has lost by what ---- */

void ns_txn_on_conflict(struct ns_txn *txn,
                        void (*fn)(const char *path, size_t size, unsigned what, void *arg),
                        void *arg)
{
    txn->lost = fn;
    txn->lost_arg = arg;
}

void ns_txn_tell_lost(const struct ns_txn *txn, const struct ns_entry *root)
{
    for (size_t i = 0; i < txn->observed_capacity && txn->lost != NULL; i++) {
        const struct ns_observation *seen = &txn->observed[i];

        if (!observation_holds(txn, seen, root))
            txn->lost(seen->path, seen->path_size, seen->what, txn->lost_arg);
    }
}

bool ns_txn_changes(const struct ns_txn *txn)
{
    return txn->changed;
}

static bool is_below(const char *path, size_t size, const char *above, size_t above_size)
{
    if (above_size == 1)
        return size > 1;
    return size > above_size && path[above_size] == '/' && memcmp(path, above, above_size) == 0;
}

/* The change is below the name: does it make the name, or make or remove a child? */
static bool disturbs_from_below(const struct ns_op *op, const struct ns_entry *root, size_t size,
                                unsigned what)
{
    size_t first = size == 1 ? 1 : size + 1;
    const char *slash = memchr(op->data + first, '/', op->path_size - first);
    size_t child = slash == NULL ? op->path_size : (size_t)(slash - op->data);

    if (ns_tree_lookup(root, op->data, child) == NULL)
        return (what & NS_OBSERVED_CHILDREN) || ns_tree_lookup(root, op->data, size) == NULL;
    return (what & NS_OBSERVED_CHILDREN) && op->kind == NS_OP_REMOVE && child == op->path_size;
}

static bool op_disturbs(const struct ns_op *op, const struct ns_entry *root, const char *path,
                        size_t size, unsigned what)
{
    if (op->answer != 0 || op->kind == NS_OP_TOUCH)
        return false;
    if (is_below(op->data, op->path_size, path, size))
        return disturbs_from_below(op, root, size, what);
    if (is_below(path, size, op->data, op->path_size))
        return op->kind == NS_OP_REMOVE || op->kind == NS_OP_SET_PERMS;
    return op->path_size == size && memcmp(op->data, path, size) == 0;
}

bool ns_txn_disturbs(const struct ns_txn *txn, const char *path, size_t size, unsigned what)
{
    for (size_t i = 0; i < txn->op_count; i++)
        if (op_disturbs(txn->ops[i], txn->store->version->root, path, size, what))
            return true;
    return false;
}
