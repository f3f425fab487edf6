/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the files of the store share: store.c (life, housekeeping), reclaim.c (grace periods), txn.c
 * (transactions), commit.c (the way of a change), mount.c, anchor.c, watch.c. Nobody else includes it but
 * their tests.
 *
 * Everything here belongs to the control core unless a field says otherwise.
 */
#ifndef KEDGE_NAMESERV_STORE_P_H
#define KEDGE_NAMESERV_STORE_P_H

#include <pthread.h>
#include <stdatomic.h>

#include "nameserv/anchor.h"
#include "nameserv/arena.h"
#include "nameserv/hash.h"
#include "nameserv/mount.h"
#include "nameserv/pool.h"
#include "nameserv/store.h"
#include "nameserv/tree.h"

/* ---- growing arrays ---- */

struct ns_retired {
    void *object;
    void (*free_fn)(void *object);
};

struct ns_retired_list {
    struct ns_retired *items;
    size_t count, capacity;
};

/* Make room for one more item of the given size in a malloc'ed array. -ENOMEM leaves it as it was. */
int ns_grow(void **items, size_t count, size_t *capacity, size_t item_size);

/* ---- reclaim.c ---- */

struct ns_version *ns_version_new(struct ns_store *store); /* not zeroed; NULL without memory */
void ns_version_free(struct ns_store *store, const struct ns_version *version);

/* What one commit has replaced. The tree's part also waits for transactions older than `number`. */
struct ns_batch {
    struct ns_batch *next;
    uint64_t number; /* of the commit */
    uint64_t ticket; /* grace period that it waits for; 0: not asked for yet */
    struct ns_replaced replaced;
    struct ns_version *version; /* NULL in a batch of objects */
    struct ns_retired_list retired;
};

struct ns_batch_queue {
    struct ns_batch *first, **last;
};

struct ns_reclaim {
    struct ns_batch_queue trees, objects;
    size_t waiting_bytes;
    size_t unasked_bytes; /* of those that came after the newest ticket asked for */
    uint64_t asked_at;    /* when that was; ns, coarse */
    uint64_t ticket;      /* the next one to be asked for */
    bool alone;           /* there are no other readers, and there is no thread */
    pthread_t thread;
    _Atomic uint32_t requested; /* futex; low half of the newest ticket asked for */
    _Atomic uint64_t asked;     /* newest ticket asked for; written by the control core */
    _Atomic uint64_t completed; /* newest ticket whose grace period is over */
    _Atomic uint32_t asleep;    /* the thread waits on `requested` */
    _Atomic bool stop;
};

struct ns_batch *ns_batch_new(struct ns_store *store); /* empty; NULL without memory */
void ns_batch_free(struct ns_store *store,
                   struct ns_batch *batch); /* what is in it has gone; NULL is ignored */

int ns_reclaim_start(struct ns_reclaim *reclaim, bool alone);
void ns_reclaim_stop(struct ns_reclaim *reclaim);

/* The ticket of a grace period that starts after now; it is asked for by the next ns_reclaim_ask(). */
uint64_t ns_reclaim_ticket(struct ns_reclaim *reclaim);
void ns_reclaim_ask(struct ns_reclaim *reclaim);

/* Is it worth it to ask now? */
bool ns_reclaim_due(const struct ns_reclaim *reclaim);

/* Of those that are alone: there is no reader now. */
void ns_reclaim_over_now(struct ns_reclaim *reclaim);

/* Take a ticket and wait here until it is over: at the end, when the control core has nothing else to do. */
void ns_reclaim_wait(struct ns_reclaim *reclaim);
bool ns_reclaim_over(const struct ns_reclaim *reclaim, uint64_t ticket);

/* Hand over what a commit has replaced. Takes `tree` and `objects` (NULL: none), allocated before the
 * commit was published so that nothing can fail afterwards. */
void ns_reclaim_add(struct ns_store *store, struct ns_batch *tree, struct ns_batch *objects);

/* Free what can be freed, at most about `budget` blocks. Returns true if more could be freed at once. */
bool ns_reclaim_run(struct ns_store *store, size_t budget);

/* ---- the store ---- */

struct ns_anchors {
    struct ns_anchor **buckets;
    size_t bucket_count, count, dying;
    size_t requested, requested_max; /* of those, made by ns_anchor_get() with ops */
    struct ns_anchor *all;           /* ring of all anchors */
    struct ns_anchor *sweep;         /* where the search for unused ones goes on */
};

/* Commits that are not visible to others yet; publish.c. */
struct ns_gathering {
    bool on;               /* commits may wait */
    struct ns_batch *tree; /* what they have replaced; NULL: none waits */
    uint64_t first_number; /* of them */
    uint64_t first_serial; /* builds from it on began after the first of them */
};

struct ns_store {
    pthread_t writer;             /* the control core: who made the store */
    struct ns_version *version;   /* the newest; control core only */
    struct ns_version *published; /* ns_rcu_load() by readers */
    struct ns_gathering gathering;
    struct ns_pool *pool;
    uint64_t serial; /* of the last build */
    struct ns_reclaim reclaim;
    size_t waiting_limit;
    struct ns_mount root_mount;
    struct ns_mount *mounts[NS_MOUNTS_MAX];
    unsigned mount_count;
    struct {
        uint8_t at;
        char byte;
    } mount_ends
        [NS_MOUNTS_MAX]; /* the last byte of each mount's path, which tells most names from its own */
    struct {
        uint32_t prepare, publish, abandon, after, also;
    } hooked; /* which mounts have these: a bit for each, by index */
    struct {
        unsigned mount; /* index */
        size_t size;    /* 0: none */
        char path[128];
    } checked; /* the path that was found legal last: requests look at theirs more than once */
    int derived_count;
    struct ns_listener *listeners;
    struct ns_hold hold;
    uint64_t number_floor; /* the next commit's number is greater */
    struct ns_anchors anchors;
    struct ns_domains *domains;
    struct ns_accounts *accounts;
    size_t watch_count;
    unsigned lcores;
    struct ns_subscriber *subscribers;
    struct ns_txn *oldest, *newest; /* open transactions in the order of their base */
    struct ns_txn *spare;           /* one that is over, for its room; NULL: none */
    struct ns_change *changes;      /* room that the last commit has left; NULL: none */
    size_t change_capacity;
    struct ns_trace *trace;  /* NULL: no commit is followed */
    bool committing;         /* between check and publish: no other commit may start */
    struct ns_reason reason; /* of the last operation of a transaction; text "": none */
    struct ns_store_counters counters;
};

/* ---- txn.c ---- */

enum ns_op_kind { NS_OP_WRITE, NS_OP_MKDIR, NS_OP_REMOVE, NS_OP_SET_PERMS, NS_OP_TOUCH };

/* One change that a client asked for, and what it was told; replayed if the transaction has to be merged. */
struct ns_op {
    enum ns_op_kind kind;
    int answer; /* 0, or the refusal */
    uint32_t value_size;
    uint32_t path_size;
    struct ns_perms *perms;
    const struct ns_mount *mount; /* concerned with the path */
    bool quiet;                   /* no watch hears of it */
    char data[];                  /* path, NUL, value */
};

/* Beside NS_OBSERVED_* (nameserv/authority.h), what is observed always: whether the name is there and may be
 * read; and what is no observation: what the transaction has written itself, as far as it had to look
 * (ops_noted). */
enum { NS_OBSERVED_ACCESS = 0x100, NS_OWN_VALUE = 0x200, NS_OWN_PERMS = 0x400 };

struct ns_observation {
    char *path;
    uint32_t path_size;
    uint32_t hash;
    unsigned what;
};

struct ns_txn {
    /* Room that one transaction leaves to the next (store->spare), empty. */
    struct ns_arena memory; /* ops, and paths of what is observed */
    struct ns_op **ops;
    struct ns_observation *observed; /* open hash; observed_capacity is a power of two */
    size_t op_capacity, observed_capacity;
    struct ns_build build; /* its own version; shares everything with base at first */

    struct ns_store *store; /* zero at first, as is all from here on */
    const struct ns_identity *who;
    const struct ns_entry *base;
    uint64_t base_number;
    size_t op_count, ops_noted, observed_count;
    bool ops_have_perms;
    struct ns_account *account; /* who remembered_bytes are counted for; NULL: nobody yet */
    size_t remembered_bytes;
    unsigned own_lost; /* NS_OWN_* that hold no longer: something was removed */
    bool loaded;       /* the build has what `ops` has not: ns_txn_load() */
    bool changed;      /* an operation succeeded: there is something to commit */
    void (*lost)(const char *path, size_t size, unsigned what, void *arg); /* may be NULL */
    void *lost_arg;
    bool pinned;  /* stands in the store's list, and keeps what its base needs */
    bool damaged; /* the build has the beginning of a change that failed; `ops` has not */
    bool expired; /* ended to get memory back: -EAGAIN for all that follows */
    bool view;    /* only reads, and commits nothing: no observation is noted */
    struct ns_reason *reason; /* the store's: it is large, and asked for at once or not at all */
    struct ns_txn *next, *previous;
};

/* ---- apply.c ---- */

/* Apply one op to a build, as `who`; the permission checks included. */
int ns_op_apply(struct ns_build *build, const struct ns_op *op, const struct ns_identity *who,
                struct ns_reason *reason);

/* Has who the right to an entry that stands in the mount? */
bool ns_entry_may(const struct ns_entry *entry, const struct ns_mount *mount,
                  const struct ns_identity *who, unsigned right);

/* The sentences of refusals: -EACCES, -ENOENT. */
int ns_txn_denied(struct ns_reason *reason, const char *path, unsigned right);
int ns_txn_absent(struct ns_reason *reason, const char *path);

/* ---- txn.c ---- */

/* Set permissions so that no watch hears of it. Takes over the reference. */
int ns_txn_set_perms_quietly(struct ns_txn *txn, const char *path, struct ns_perms *perms);

/* Count what the transaction is about to remember for its client. 0, -ENOMEM, or -ENOSPC with a sentence: its
 * account has no room. The first thing that a transaction remembers is always allowed, so that who has too much
 * can remove some of it. */
int ns_txn_remember(struct ns_txn *txn, size_t bytes);
void ns_txn_forget(struct ns_txn *txn); /* count it no longer */

void ns_txn_unpin(struct ns_txn *txn);
void ns_txn_release(struct ns_txn *txn);   /* frees it; the build must be over */
void ns_txn_free_room(struct ns_txn *txn); /* NULL is ignored */
void ns_txn_expire_oldest(struct ns_store *store);

/* ---- observe.c ---- */

/* Note an observation. 0, -ENOMEM or -ENOSPC, and then the client must not be told what it would have observed. */
int ns_observe(struct ns_txn *txn, const char *path, size_t size, unsigned what);

/* The same for an entry that is there, of which the client may have written itself what it sees. */
int ns_observe_entry(struct ns_txn *txn, const char *path, size_t size, unsigned what,
                     const struct ns_entry *entry);

/* Merge: is everything that the transaction observed in `root` as it was in its base? */
bool ns_txn_holds(const struct ns_txn *txn, const struct ns_entry *root);

/* It has lost: tell txn->lost what does not hold in `root`. */
void ns_txn_tell_lost(const struct ns_txn *txn, const struct ns_entry *root);

/* ---- commit.c ---- */

/* Of the changes, those of one mount. */
struct ns_commit_part {
    size_t first, count;
};

struct ns_commit {
    struct ns_store *store;
    const struct ns_identity *who;
    struct ns_build *build;
    struct ns_version *version; /* the new one */
    const struct ns_version *before;
    struct ns_change *changes; /* grouped by mount, in order of paths within */
    size_t change_count, change_capacity;
    struct ns_arena *memory;      /* the transaction's; has the paths of changes */
    uint32_t concerned, prepared; /* mounts: a bit for each, by index */
    struct ns_anchor **touched;
    size_t touched_count, touched_capacity;
    struct ns_batch *tree_batch, *object_batch;
    struct ns_anchor *work[8];   /* to be compiled, by rank */
    struct ns_anchor *published; /* to be published */
    struct ns_reason *reason;
    void (*judge)(const struct ns_reason *reason, void *arg);
    void *judge_arg;
    bool restores;   /* ns_txn_load() was used */
    int error;       /* of the first refusal */
    uint64_t began;  /* ns_clock(), if some commit is to be followed */
    uint64_t told;   /* mask of lcores that got notices */
    uint64_t number; /* of the newest version when it is over; hooks may have made newer ones */
    struct ns_commit_part
        parts[NS_MOUNTS_MAX]; /* last, because large; as many as there are mounts */
};
_Static_assert(NS_MOUNTS_MAX <= 32, "mounts are told by the bits of 32");

int ns_commit_run(struct ns_txn *txn, uint64_t *version, struct ns_reason *reason,
                  void (*judge)(const struct ns_reason *reason, void *arg), void *judge_arg);

/* ---- publish.c ---- */

/* May the commit, which is judged, wait for others? Then joining them can't fail. */
bool ns_publish_may_wait(struct ns_commit *commit);

/* Make it the newest version: visible at once, with all that were gathered, or later. In the second case it has
 * to be joined when nobody looks at the version before any more. */
void ns_publish_now(struct ns_commit *commit);
void ns_publish_later(struct ns_commit *commit);
void ns_publish_joined(struct ns_commit *commit);

/* Note a refusal's sentence. Returns -error. */
int ns_reason_set(struct ns_reason *reason, int error, const char *path, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* ---- mount.c ---- */

/* A computed mount that hangs below the path, which is not the root's; NULL: there is none. */
const struct ns_mount *ns_mount_computed_below(const struct ns_store *store, const char *path,
                                               size_t path_size);

/* Check a path, as ns_store_path_check(), and tell the mount concerned. */
int ns_mount_of_path(struct ns_store *store, const char *path, size_t size,
                     struct ns_reason *reason, const struct ns_mount **mount);

/* The mount of the name at the first `size` bytes of a path of which `mount` is concerned with all. */
static inline const struct ns_mount *ns_mount_above(const struct ns_mount *mount, const char *path,
                                                    size_t size)
{
    return size >= mount->path_size ? mount : ns_mount_find(mount->store, path, size);
}

/* ---- anchor.c ---- */

/* An anchor in a commit: where it stands. */
enum {
    NS_WORK_QUEUED = 1,  /* in the list of its rank, to be compiled */
    NS_WORK_DONE = 2,    /* in the list of those to be published */
    NS_WORK_CHANGED = 4, /* the record is new, or it has none and the name has changed */
};

struct ns_source {
    struct ns_anchor *source, *derived;
    struct ns_source *next_source;     /* of derived */
    struct ns_source *next_dependent;  /* of source */
    struct ns_source **link_dependent; /* what points at this one */
};

struct ns_compile {
    struct ns_store *store;
    struct ns_commit *commit; /* NULL outside of one */
    const struct ns_version *version;
    struct ns_anchor *anchor;
    void *record;
    struct ns_source *sources;
    bool failed; /* memory ended while a source was registered */
};

int ns_anchors_init(struct ns_anchors *anchors, size_t requested_max);
void ns_anchors_fini(struct ns_store *store);
struct ns_anchor *ns_anchor_lookup(struct ns_store *store, const char *path, size_t path_size,
                                   uint32_t hash);

/* The anchors of changed and touched names, and of all that is derived from them, in order of rank, get
 * their new records (not yet published). */
int ns_anchors_compile(struct ns_commit *commit);

/* Parts of the above. */
int ns_anchor_compile(struct ns_anchor *anchor, struct ns_compile *compile);
void ns_anchor_take_sources(struct ns_anchor *anchor, struct ns_source *sources);
void ns_source_list_free(struct ns_store *store, struct ns_source *sources);
void ns_anchors_publish(struct ns_commit *commit);
void ns_anchors_notify(struct ns_commit *commit);
void ns_anchors_abandon(struct ns_commit *commit);
void ns_anchors_done(struct ns_commit *commit);
bool ns_anchors_sweep(struct ns_store *store, unsigned limit);

/* ---- account.c ---- */

/* Add up what the commit changes in each account, and refuse what would be over a limit. 0, -ENOSPC,
 * -ENOMEM. Ends in ns_accounts_end(), which also stands for nothing being added up. */
int ns_accounts_judge(struct ns_commit *commit);
void ns_accounts_end(struct ns_store *store, bool published);

/* Count all names anew and believe that: the authority of some has changed. 0, -ENOMEM. */
int ns_accounts_take(struct ns_store *store);

/* Refuse a commit (-EAGAIN) that would give something to a domain which was released since the transaction named
 * it. So no list in the tree names a dead domain, and a restart can begin generations anew. */
int ns_domains_judge(struct ns_commit *commit);

/* ---- node_size.c ---- */

enum { NS_NODE_PERM_BYTES = 8 };

/* A name as it would be. */
struct ns_node_size {
    size_t perms, value;
    const struct ns_entry *children; /* those of this entry; NULL: none */
    size_t more_names;               /* bytes of one that is added, with its NUL */
};

/* May a domain make the name so large? Others are not judged. 0, -ENOSPC with a sentence, -ENOMEM. */
int ns_node_size_judge(struct ns_store *store, const struct ns_identity *who,
                       const struct ns_node_size *node, const char *path, struct ns_reason *reason);

struct ns_account;
struct ns_quotas;

/* What new accounts of a part begin with, to be changed. */
struct ns_quotas *ns_accounts_defaults(struct ns_store *store,
                                       const struct ns_authority *authority);

/* Tell listeners that the account has no limits of its own any more. */
void ns_quotas_forgotten(struct ns_store *store, const struct ns_account *account);

/* ---- estate.c ---- */

/* Remove all names that the domain owns, and its entries in the permissions of others: one commit. 0,
 * -ENOMEM. */
int ns_estate_clear(struct ns_store *store, struct ns_domain_name domain);

/* Replace a list by one without the domain's entries. 0, -ENOMEM. */
int ns_estate_strip(struct ns_perms **perms, struct ns_domain_name domain);

/* ---- watch.c ---- */

/* Fire the watches of a special name, and of the name with the domain's number, if perms let them. */
void ns_watches_fire_special(struct ns_store *store, const char *name, uint32_t domid,
                             const struct ns_perms *perms);

/* Fire the watches of what the transaction changed, in the order in which it asked. */
void ns_watches_fire(const struct ns_commit *commit, const struct ns_txn *txn);

#endif
