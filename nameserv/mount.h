/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Mounts: modules hung on nodes of the tree.
 *
 * A mount decides how the part of the name space at and below its path behaves: who may what there and
 * what names look like (its authority, nameserv/authority.h), which values are right, what is computed
 * instead of stored, and what happens on a commit. The deepest mount on the way to a name is the one concerned. The store itself is the mount
 * at "/": plain storage.
 *
 * Thread safety: everything here runs on the control core. No hook may block.
 */
#ifndef KEDGE_NAMESERV_MOUNT_H
#define KEDGE_NAMESERV_MOUNT_H

#include "nameserv/authority.h"
#include "nameserv/store.h"

enum { NS_MOUNTS_MAX = 32 };

struct ns_commit; /* a commit under way; valid during a hook */
struct ns_query;

/* One changed name. before NULL: created. after NULL: removed. */
struct ns_change {
    const char *path; /* NUL-terminated, absolute */
    size_t path_size;
    const struct ns_entry *before, *after;
    struct ns_mount *mount;
};

struct ns_mount_ops {
    const char *name;                     /* for messages */
    const struct ns_authority *authority; /* who may what, and what names look like; NULL = plain */
    bool computed;                        /* nothing is stored below; read and list answer */

    /* Other mounts whose changes concern this one too, by path, NULL at the end: prepare, publish,
     * abandon and after are also called for commits that change names of those. Optional. */
    const char *const *also;

    /* May the name have this value? Called for every changed name of the mount, in order of the
     * paths, with all of the merged change in place (ns_commit_version()). Judges syntax and what can
     * never be right; a reference to a name that does not exist is no error. Refuse with
     * ns_refuse() and return what it returns. Optional. */
    int (*check)(struct ns_mount *mount, struct ns_commit *commit, const struct ns_change *change);

    /* Judge the change as a whole and make what is derived from it. Called once for a commit that
     * changes names of the mount, after all checks have passed; mounts are called in the order in
     * which they were hung. Ends in exactly one of publish and abandon. Optional. */
    int (*prepare)(struct ns_mount *mount, struct ns_commit *commit);

    /* The commit is visible. Can't fail. Take over what prepare made. Optional. */
    void (*publish)(struct ns_mount *mount, struct ns_commit *commit);

    /* The commit has failed after prepare. Optional. */
    void (*abandon)(struct ns_mount *mount, struct ns_commit *commit);

    /* Act on the commit: start device work, send packets. May start transactions of its own.
     * Called after publish and all notices. Optional. */
    void (*after)(struct ns_mount *mount, struct ns_commit *commit);

    /* Is this name one that the stack writes of its own accord (learned from packets, the state of a
     * device)? Such names do not survive a restart: they are learned again, so the journal leaves
     * them out. before or after of a change is asked about. Optional: all that users may write is
     * kept. */
    bool (*transient)(const struct ns_mount *mount, const char *path, size_t path_size,
                      const struct ns_entry *entry);

    /* Computed mounts: answer with ns_query_answer(), now or later. list answers with names, each
     * NUL-terminated, in byte order. */
    void (*read)(struct ns_mount *mount, struct ns_query *query);
    void (*list)(struct ns_mount *mount, struct ns_query *query);
};

/* The part of a mount that the store knows; embedded in the module's object. */
struct ns_mount {
    const struct ns_mount_ops *ops;
    const struct ns_authority *authority;
    char path[64]; /* where it hangs */
    size_t path_size;
    struct ns_store *store;
    unsigned index; /* private: order in which it was hung */
};

/* Hang a mount on path; the node is created if missing, with the first permissions of the authority. 0, -EEXIST, -EINVAL, -ENOMEM, -ENAMETOOLONG. */
int ns_mount_add(struct ns_store *store, struct ns_mount *mount, const char *path,
                 const struct ns_mount_ops *ops);

/* Give the store's own mount, which is at "/", another authority, and "/" its first permissions. For the
 * start, before there are other names. 0, -ENOMEM. */
int ns_mount_set_root(struct ns_store *store, const struct ns_authority *authority);

/* The mount concerned with a path; never NULL. */
struct ns_mount *ns_mount_find(struct ns_store *store, const char *path, size_t path_size);

/* Is the name, which has this entry, of those that a restart forgets: computed, or transient? */
bool ns_mount_forgets(const struct ns_mount *mount, const char *path, size_t path_size,
                      const struct ns_entry *entry);

/* ---- inside hooks ---- */

/* The version that would be or has been published: root and number are final, derived[] as far as
 * mounts have prepared it. */
const struct ns_version *ns_commit_version(const struct ns_commit *commit);

/* The version before. */
const struct ns_version *ns_commit_before(const struct ns_commit *commit);

/* Does the stack itself make this change? */
bool ns_commit_by_stack(const struct ns_commit *commit);

/* Does it fill the store with what was committed before, from a journal (ns_txn_load())? What was right when
 * it was committed may depend on what has gone since: judge such things of a restored change not again. */
bool ns_commit_restores(const struct ns_commit *commit);

/* All changes of this mount, in order of their paths (parents first). */
const struct ns_change *ns_commit_changes(struct ns_commit *commit, struct ns_mount *mount,
                                          size_t *count);

/* All changes of the commit, grouped by mount, each group in order of the paths. */
const struct ns_change *ns_commit_all_changes(const struct ns_commit *commit, size_t *count);

/* Refuse the commit: the name that is wrong, what is wrong with it and what would be right. Returns
 * -error, for the hook to return. check may go on and refuse further names of its own accord; only
 * the first reason reaches a client, all of them reach ns_txn_judge(). */
int ns_refuse(struct ns_commit *commit, int error, const char *path, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* In prepare: let the new version carry this derived object in the slot. What it replaces is the
 * mount's to retire. */
void ns_commit_set_derived(struct ns_commit *commit, int slot, const void *derived);

/* In prepare: also count this name as changed for whoever depends on it (not for watches). A route
 * that is added touches the route that covered it. -ENOMEM. */
int ns_commit_touch(struct ns_commit *commit, const char *path);

/* In prepare: have free_fn(object) called on the control core when a grace period has passed after
 * the commit. Dropped if the commit fails. -ENOMEM. */
int ns_commit_retire(struct ns_commit *commit, void *object, void (*free_fn)(void *object));

/* ---- queries: reads of computed names ---- */

struct ns_query {
    struct ns_store *store;
    const char *path; /* absolute */
    const struct ns_identity *who;
    const void *connection; /* of the client, to tell connections apart; NULL if there is none */
    void *user;             /* free for the mount that answers later */
    void (*answer)(struct ns_query *query, int error, const void *data, size_t size); /* private */
};

/* Answer a query, exactly once; afterwards query is invalid. error 0 or a negative errno; data is
 * copied: the value for a read, names for a list, the explanation (a sentence) for an error. */
static inline void ns_query_answer(struct ns_query *query, int error, const void *data, size_t size)
{
    query->answer(query, error, data, size);
}

#endif
