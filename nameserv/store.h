/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The store: one tree of names, its versions, and the transactions that change it.
 *
 * Everything that changes a name is a transaction on the control core, whoever asks for it. A commit
 * goes through these steps; the first that fails ends it, and then nothing has happened:
 *
 *   merge     if other commits came since the transaction began: everything that its client observed
 *             (values, lists, absences, permissions) must be as it was, else -EAGAIN; then what it
 *             wrote is applied to the newest version
 *   check     each changed name is shown to its mount (nameserv/mount.h): may it have this value?
 *   prepare   each mount concerned judges the whole merged change, and makes what it derives from it
 *   compile   records of the anchors concerned (nameserv/anchor.h) are made anew, sources first
 *   publish   cannot fail: one pointer store makes the new version visible, new records go into
 *             their anchors, one full fence, then notices go to the lcores that the masks name
 *   after     mounts act (open a device, send a probe), watches fire
 *
 * What the commit replaced is one batch; it is freed when a grace period has passed and, for the
 * tree itself, when no open transaction is older.
 *
 * Thread safety: the control core only, except ns_store_version() and what it gives.
 */
#ifndef KEDGE_NAMESERV_STORE_H
#define KEDGE_NAMESERV_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nameserv/identity.h"
#include "nameserv/perms.h"
#include "nameserv/rcu.h"
#include "nameserv/tree.h"

enum { NS_DERIVED_MAX = 8, NS_LCORES_MAX = 64, NS_REASON_MAX = 512 };

struct ns_store;
struct ns_txn;
struct ns_anchor;
struct ns_mount;
struct ns_commit;

/* One version of everything. Immutable once published. derived[] holds what mounts compile from the
 * whole of their part (a routing table, a classifier), so that a reader finds all of it in one
 * version. */
struct ns_version {
    const struct ns_entry *root;
    uint64_t number;
    const void *derived[NS_DERIVED_MAX];
};

/* The sentence that explains a refusal, and the name it is about ("" if about none). */
struct ns_reason {
    char path[NS_PATH_MAX + 1];
    char text[NS_REASON_MAX];
};

struct ns_store_options {
    unsigned lcores;      /* how many lcores will take notices: 0 to NS_LCORES_MAX */
    size_t waiting_bytes; /* limit on what waits for grace periods and snapshots; 0 = 256 MiB */
    size_t anchors_max;   /* limit on anchors that packets asked for; 0 = 1 << 20 */
    bool alone;           /* no other thread reads: grace periods end with ns_store_quiescent() */
};

/* A new store with an empty root. Starts the reclaimer's thread, unless nobody else reads. The calling thread becomes the
 * control core (and a registered RCU reader). 0, -ENOMEM, -EAGAIN (no thread). */
int ns_store_new(const struct ns_store_options *options, struct ns_store **store);

/* Free everything. All transactions must be over, all anchors forgotten and all lcores gone. */
void ns_store_free(struct ns_store *store);

/* Let commits of plain names wait until ns_store_publish(), and be published together. Until then only the
 * control core's own transactions see them, so nothing may be answered before. A commit of anything else
 * publishes all of them. on: from now on. */
void ns_store_gather(struct ns_store *store, bool on);

/* Publish what waits. */
void ns_store_publish(struct ns_store *store);

/* The newest published version. Any registered reader inside its read section; wait-free. */
const struct ns_version *ns_store_version(struct ns_store *store);

/* Give no commit from now on this number or one below. */
void ns_store_number_from(struct ns_store *store, uint64_t number);

/* For derived data: a slot in ns_version.derived, given once per user at start. -ENOSPC. */
int ns_store_derived_slot(struct ns_store *store);

/* Free what grace periods and snapshots have released, and forget anchors that nobody uses, a
 * bounded amount a call. Returns true if more is waiting. The control core calls it each round of
 * its loop. */
bool ns_store_housekeep(struct ns_store *store);

/* The control core holds nothing that it has read. For a store that it has alone: then what was replaced until now
 * can be freed. */
void ns_store_quiescent(struct ns_store *store);

/* Does anything wait for a grace period? Then ns_store_housekeep() is to be called now and then, also if
 * nothing else happens. */
bool ns_store_waits(const struct ns_store *store);

/* Wait (blocking) until everything that can be freed is freed. Tests and shutdown only. All other
 * readers must go on passing quiescent states. */
void ns_store_drain(struct ns_store *store);

struct ns_store_counters {
    uint64_t commits, conflicts, refusals;
    uint64_t publications; /* versions made visible; one may stand for several commits */
    uint64_t notices, notices_coalesced; /* pushed; not pushed because one was pending */
    uint64_t records_compiled, records_same;
    uint64_t anchors, anchors_forgotten;
    uint64_t watch_events;
    uint64_t watch_steps; /* names looked up and watches looked at to find whom to tell */
    uint64_t transactions_open, transactions_expired;
    uint64_t pool_bytes, waiting_bytes;
    uint64_t published_clock; /* ns_clock() just before the newest version was published */
};
void ns_store_counters(struct ns_store *store, struct ns_store_counters *out);

/* ---- transactions ---- */

/* Start one on the newest version; it sees that version, whole, and its own writes, until it ends.
 * who must live as long as the transaction. 0, -ENOMEM. */
int ns_txn_begin(struct ns_store *store, const struct ns_identity *who, struct ns_txn **txn);

/* The same for one that only reads and is aborted: it is cheaper, because what it observes need not be
 * noted. Changes are refused with -EPERM. */
int ns_txn_view(struct ns_store *store, const struct ns_identity *who, struct ns_txn **txn);

/* The version that the transaction began on. */
uint64_t ns_txn_base(const struct ns_txn *txn);

/* Bytes that its account counts for it: what a client without privilege has looked at and changed. */
size_t ns_txn_remembered(const struct ns_txn *txn);

/* Read a value. *value points into the snapshot and is valid until the transaction's next change or
 * end. Observes the value, or the absence. 0, -ENOENT, -EACCES, -EINVAL (path), -EAGAIN (the
 * transaction was ended for lack of memory). The same errors hold for all below. */
int ns_txn_read(struct ns_txn *txn, const char *path, const void **value, size_t *size);

/* Call fn for each child in byte order. Observes the list. fn's non-zero answer is returned. */
int ns_txn_list(struct ns_txn *txn, const char *path,
                int (*fn)(const struct ns_entry *child, void *arg), void *arg);

/* The entry itself. Observes value, permissions and list; directory() the list only. */
int ns_txn_get(struct ns_txn *txn, const char *path, const struct ns_entry **entry);
int ns_txn_directory(struct ns_txn *txn, const char *path, const struct ns_entry **entry);

/* Changes. They see and change the transaction's own version; what others committed meanwhile is
 * merged at the end. Also -ENOMEM, -ENOSPC (quota), -EPERM. remove: -ENOENT only if the parent is
 * missing, else success (xenstore.txt). */
int ns_txn_write(struct ns_txn *txn, const char *path, const void *value, size_t size);
int ns_txn_mkdir(struct ns_txn *txn, const char *path);
int ns_txn_remove(struct ns_txn *txn, const char *path);
int ns_txn_get_perms(struct ns_txn *txn, const char *path, const struct ns_perms **perms);
int ns_txn_set_perms(struct ns_txn *txn, const char *path, const struct ns_perm *list,
                     size_t count);

/* Has any change succeeded in it, so that its commit changes something? */
bool ns_txn_changes(const struct ns_txn *txn);

/* Have fn called, when the commit fails for a conflict, for each name that is not as the transaction saw it.
 * what says how it was seen, for ns_txn_disturbs(). */
void ns_txn_on_conflict(struct ns_txn *txn,
                        void (*fn)(const char *path, size_t size, unsigned what, void *arg),
                        void *arg);

/* Could the commit of txn be seen by a transaction that has looked at this name in this way? True also in
 * rare cases in which it could not. */
bool ns_txn_disturbs(const struct ns_txn *txn, const char *path, size_t size, unsigned what);

/* The stack only: count the name as changed although its value is not, so that what is derived from
 * it is compiled anew and its watches stay silent. */
int ns_txn_touch(struct ns_txn *txn, const char *path);

/* Write an entry with its permissions (a counted reference is taken) as it is, without judging the
 * right to, and without a memory of it: the transaction can't be merged, so nobody may commit before it ends,
 * and no watch fires. For filling a store. path is NUL-terminated. */
int ns_txn_load(struct ns_txn *txn, const char *path, size_t path_size, const void *value,
                size_t value_size, struct ns_perms *perms);

/* The name and a sentence about the last operation of this transaction that failed. Valid until the
 * next operation of any transaction. */
const struct ns_reason *ns_txn_reason(const struct ns_txn *txn);

/* End it. After commit, whatever it answers, the transaction is gone and txn invalid. *version gets
 * the commit number (that of the base if nothing was changed); reason, if not NULL, the explanation
 * of a refusal. 0, -EAGAIN (something observed has changed), -ENOMEM, or a mount's refusal. */
int ns_txn_commit(struct ns_txn *txn, uint64_t *version, struct ns_reason *reason);
void ns_txn_abort(struct ns_txn *txn);

/* What it has done is dropped; what is asked of it from now on, its commit included, is answered with -EAGAIN. It
 * is not expired yet. */
void ns_txn_expire(struct ns_txn *txn);

/* Judge as commit would, report every refusal to fn (not only the first), and abort. Returns the
 * first error or 0. For kedged --check. */
int ns_txn_judge(struct ns_txn *txn, void (*fn)(const struct ns_reason *reason, void *arg),
                 void *arg);

/* One change by the stack, in a transaction of its own; format makes the value. value NULL removes.
 * The same errors; a refusal is the caller's bug or a race with a user, and is to be logged. */
int ns_store_put(struct ns_store *store, const char *path, const char *value);

/* ---- listeners ---- */

/* Somebody who is told of every commit, whatever it changes: the journal. Embedded in its object. The
 * hooks get the commit as a mount's hooks do (nameserv/mount.h; ns_commit_all_changes() gives what has
 * changed). prepare is called when every mount has agreed; it may refuse with ns_refuse(), and makes
 * what publish needs. Exactly one of publish (can't fail, before any watch fires) and abandon follows
 * a prepare that succeeded. */
struct ns_listener {
    int (*prepare)(struct ns_listener *listener, struct ns_commit *commit);
    void (*publish)(struct ns_listener *listener, struct ns_commit *commit);
    void (*abandon)(struct ns_listener *listener, struct ns_commit *commit);
    /* The permissions of a special name, which is in no commit, were set. Can't fail. */
    void (*special)(struct ns_listener *listener, const char *name, struct ns_perms *perms);
    /* Limits were set (nameserv/account.h, ns_quotas_each()); text NULL: their account has none of its own any
     * more. Can't fail. */
    void (*quotas)(struct ns_listener *listener, const char *name, const char *text);
    bool prepared; /* private: in the commit under way */
    struct ns_listener *next;
};

/* Listen from the next commit on. The listener must live until the store is freed or it is removed. */
void ns_store_listen(struct ns_store *store, struct ns_listener *listener);
void ns_store_unlisten(struct ns_store *store, struct ns_listener *listener);

/* ---- holding back ---- */

/* What waits until commits are durable. A journal that makes them so before they are told (nameserv/journal.h)
 * gives out tickets; who tells of commits, the server, waits for them. Tickets grow. All zero where nothing
 * has to wait. */
struct ns_hold {
    uint64_t commits;  /* how many have got a ticket */
    uint64_t given;    /* the ticket of the newest of them */
    uint64_t current;  /* while watches fire: the ticket of their commit; 0: it need not wait */
    uint64_t released; /* all tickets up to this one need not wait any longer */
    bool stalled;      /* too much waits: let nobody change anything */

    /* Called when released or stalled has changed. NULL: nobody waits. */
    void (*changed)(void *arg);
    void *arg;
};

struct ns_hold *ns_store_hold(struct ns_store *store);

/* ---- watches ---- */

/* A dependent that is a client's watch. Embedded in the caller's object. fire is called on the
 * control core after the commit, once for each changed name at or below the path (path is the changed
 * name, or the watch's own path if something above it was removed). It must only queue. */
struct ns_watch {
    void (*fire)(struct ns_watch *watch, const char *path, size_t path_size);
    const struct ns_identity *who; /* events about names that it may not read are kept from it */
    unsigned levels;               /* that it hears of, the path's own included; 0: all below */
    struct ns_anchor *anchor;      /* private from here */
    struct ns_watch *next, *previous;
};

/* path: valid absolute path, or "@name": a special name (nameserv/domain.h) fires, with a depth of 1 as
 * "@name/DOMID"; all others never do. 0, -ENOMEM. */
int ns_watch_add(struct ns_store *store, struct ns_watch *watch, const char *path);
void ns_watch_remove(struct ns_store *store, struct ns_watch *watch);

/* ---- paths ---- */

/* 0 if path (without a NUL inside) is a legal absolute path of the part of the name space that it
 * lies in; -EINVAL otherwise, with the reason filled if not NULL. */
int ns_store_path_check(struct ns_store *store, const char *path, size_t size,
                        struct ns_reason *reason);

#endif
