/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Anchors, dependents and notices.
 *
 * An anchor is the one stable object of a name on which somebody depends. Entries come and go in
 * versions of the tree; the anchor stays, holds the current record (the compiled form that lcores
 * read) and knows its dependents, of three kinds:
 *
 *   lcores    a bit each in a mask: flows on that lcore are bound to the anchor
 *   anchors   whose records are derived from this name; compiled anew in the same commit
 *   watches   of clients
 *
 * The name need not exist: an absent name can be depended on, and its creation is a change.
 *
 * A record is compiled by the anchor's module, on the control core, inside a commit. While it
 * compiles, it reads names through ns_compile_read(), which registers the anchor with each of them;
 * that is the whole of dependency tracking: whoever derives something from a name is registered with
 * it, because there is no other way to read it.
 *
 * NOTICES. The control core tells an lcore 'this anchor changed' by linking the anchor's notice for
 * that lcore into the lcore's list. There is at most one pending for an anchor and an lcore, and
 * the link is part of the anchor, so nothing is allocated and nothing can overflow. Two orders make
 * sure that no change is lost; in both a full fence stands between a store and a load of the other
 * side's variable (Dekker's pattern):
 *
 *   O1  lcore: set the bit in the mask   | fence | read the anchor's version again
 *       control: publish record, version | fence | read the mask
 *       So either the lcore sees the change and binds again, or the control core sees the bit and
 *       sends a notice.
 *
 *   O2  lcore: pending = 0               | fence | read version and record
 *       control: publish record, version | fence | exchange pending with 1; link it if it was 0
 *       So either the lcore's read sees the change, or a new notice is linked.
 *
 * Both, and the life of an anchor, are explored in all orders of steps and stores by tests/model/ (`make
 * model`); P1, R1, D1, S1 and the like name a step of those models beside the atomic that it stands for.
 *
 * LIFE. Anchors are made and forgotten by the control core. One that nobody depends on is unlinked,
 * so that no lcore finds it any more; after a grace period its mask is looked at again: if somebody
 * registered meanwhile it is linked again, else it is freed.
 */
#ifndef KEDGE_NAMESERV_ANCHOR_H
#define KEDGE_NAMESERV_ANCHOR_H

#include <stdatomic.h>

#include "nameserv/mount.h"
#include "nameserv/store.h"

#define NS_CACHE_LINE 64

struct ns_compile;
struct ns_anchor;

struct ns_anchor_ops {
    const char *kind; /* "adjacency": for people */
    unsigned rank;    /* an anchor is compiled after those of lower rank; it may only read names and
                         anchors of lower rank. 0 to 7 */
    size_t size;      /* of the module's object, in which struct ns_anchor is the first member; the
                         notices of the lcores are allocated behind it */

    /* Make the record for ns_compile_version(). Answer with ns_compile_record(). 0, -ENOMEM, or a
     * refusal by ns_refuse(), which fails the commit. NULL: the anchor has no record, only a
     * version. */
    int (*compile)(struct ns_anchor *anchor, struct ns_compile *compile);

    /* Equal records are not published and cause no notices. NULL: never equal. */
    bool (*same)(const void *a, const void *b);

    /* Free a record; on the control core, after its grace period, or at once if never published. */
    void (*free_record)(void *record);

    /* The anchor's module must make it findable for lcores, or unfindable. Called when it has been
     * made or somebody came back; and when nobody depends on it any more. Optional. */
    void (*link)(struct ns_anchor *anchor);
    void (*unlink)(struct ns_anchor *anchor);
};

/* Linked into the lcore's list while pending. */
struct ns_notice {
    struct ns_notice *next;      /* written by the control core before it links; read by the lcore
                                    before it clears pending */
    struct ns_anchor *anchor;    /* whose notice it is */
    _Atomic uint32_t pending;    /* O2 */
    _Atomic uint32_t lcore_data; /* the lcore's own word (which of its holds is this anchor's);
                                    written by that lcore, read by anybody */
};

struct ns_source; /* private: one edge from a name's anchor to the anchor derived from it */

struct ns_anchor {
    /* Read by lcores, written by the control core. */
    void *record;             /* ns_rcu_load(); NULL until compiled, and for anchors without one */
    _Atomic uint64_t version; /* commit that last changed or touched it */
    const struct ns_anchor_ops *ops;
    struct ns_notice *notices; /* one for each lcore: ns_anchor_notice() */
    uint32_t
        notice_stride; /* bytes from one to the next: a cache line each if there are several lcores */

    /* Control core only. */
    struct ns_store *store;
    char *path; /* the name, or a name of its own for a derived anchor ("/adjacency/0/10.0.0.5") */
    size_t path_size;
    struct ns_source *dependents; /* anchors derived from this name */
    struct ns_source *sources;    /* names that this record was derived from */
    struct ns_watch *watches;
    struct ns_anchor *next_all, *previous_all;
    struct ns_anchor *next_same_hash;
    struct ns_anchor *next_work; /* in the commit under way */
    void *new_record;
    struct ns_source *new_sources;
    uint64_t ticket; /* grace period to wait for before it is freed */
    uint32_t hash;
    uint32_t pins;
    uint8_t state, work;

    /* Written by lcores and the control core. */
    _Alignas(NS_CACHE_LINE) _Atomic uint64_t mask; /* lcores with dependents; O1 */
};

/* The notice for an lcore. */
static inline struct ns_notice *ns_anchor_notice(const struct ns_anchor *anchor, unsigned lcore)
{
    return (struct ns_notice *)((char *)anchor->notices + (size_t)lcore * anchor->notice_stride);
}

/* ---- control core ---- */

/* The anchor of a name, made if there is none: linked, compiled against the newest version. ops NULL: a
 * plain anchor without a record, if there is none yet. A plain one that is asked for with ops is replaced:
 * its dependents move over, and pointers to the old one are invalid (-EBUSY if it is pinned or lcores
 * depend on it); otherwise ops must be the same at each call for a path. *anchor is valid until the next
 * ns_store_housekeep() unless somebody depends on it (or ns_anchor_pin()).
 * 0, -ENOMEM, -ENOSPC (too many), or what compile answered. init, if not NULL, is called with arg on a
 * new one before it is compiled and linked. */
int ns_anchor_get(struct ns_store *store, const char *path, const struct ns_anchor_ops *ops,
                  void (*init)(struct ns_anchor *anchor, void *arg), void *arg,
                  struct ns_anchor **anchor);

/* The same without making one; NULL if there is none. */
struct ns_anchor *ns_anchor_find(struct ns_store *store, const char *path);

/* Keep an anchor although nobody depends on it; counted. */
void ns_anchor_pin(struct ns_anchor *anchor);
void ns_anchor_unpin(struct ns_anchor *anchor);

/* Register an lcore on its behalf and send it a notice whatever the anchor's version: the answer to
 * an lcore that asked for an anchor to be made. */
void ns_anchor_register_for(struct ns_anchor *anchor, unsigned lcore);

/* Who depends on it: fn is called for each derived anchor; then masks, watches are counted. */
struct ns_dependents {
    uint64_t lcores; /* mask */
    size_t anchors, watches;
};
void ns_anchor_dependents(struct ns_anchor *anchor, struct ns_dependents *out,
                          void (*fn)(struct ns_anchor *derived, void *arg), void *arg);

/* Go through all anchors, a part of the table of names after the other: call fn for each in part *cursor,
 * which begins with 0, and move it on. False: it was the last. Anchors that come meanwhile may be missed, or
 * met twice if the table grows. */
bool ns_anchors_part(struct ns_store *store, uint32_t *cursor,
                     void (*fn)(struct ns_anchor *anchor, void *arg), void *arg);

/* Call fn for each name that the anchor's record was derived from. */
void ns_anchor_sources(struct ns_anchor *anchor, void (*fn)(struct ns_anchor *source, void *arg),
                       void *arg);

/* All anchors, in no order that means something: the one after this one, the first after NULL, NULL at the end.
 * Whoever goes on in a later round has pinned the one where it stopped. */
struct ns_anchor *ns_anchor_next(struct ns_store *store, const struct ns_anchor *after);

/* Is the record what would be compiled for the newest version? Compiles it once more, compares (ops->same), and
 * forgets it: nothing is published. 1: it is, or the anchor has no record to compare; 0: it is not; -ENOMEM.
 * Outside of commits. */
int ns_anchor_verify(struct ns_anchor *anchor);

/* ---- in compile ---- */

/* The version to compile for. */
const struct ns_version *ns_compile_version(const struct ns_compile *compile);

/* The commit under way; NULL when an anchor is compiled outside of one. */
struct ns_commit *ns_compile_commit(struct ns_compile *compile);

/* The entry at path in that version, NULL if absent; the anchor depends on the name from now on, also
 * if it is absent. If memory ends, the compile fails whatever the hook answers. */
const struct ns_entry *ns_compile_read(struct ns_compile *compile, const char *path);

/* Depend on a name without reading it. Returns the commit that last changed it (or touched it, or changed the
 * record that stands there), which may be this one; of a name on which nobody depended before, the newest
 * that is published. */
uint64_t ns_compile_depend(struct ns_compile *compile, const char *path);

/* Hand over the record made. */
void ns_compile_record(struct ns_compile *compile, void *record);

/* ---- lcores ---- */

/* One for each lcore, given out by the store. */
struct ns_subscriber {
    /* written by the control core */
    _Alignas(NS_CACHE_LINE) struct ns_notice *_Atomic head;
    _Atomic uint64_t
        notified; /* newest commit for which notices were linked; stored after linking, so
                                  that who reads it and then takes the notices has taken them all */
    _Atomic uint64_t notices, coalesced;
    /* written by the lcore */
    _Alignas(
        NS_CACHE_LINE) _Atomic uint64_t applied; /* all notices up to this commit are dealt with */
    _Atomic uint64_t
        seen; /* number of the version that it uses, when nothing of older ones is in use */
    _Atomic uint32_t sleeping; /* offline; drains before it touches a packet */
    /* control core */
    _Alignas(NS_CACHE_LINE) void (*wake)(
        void *arg); /* called when a notice was linked and the lcore
                                                        sleeps; may be NULL */
    void *wake_arg;
};

struct ns_subscriber *ns_store_subscriber(struct ns_store *store, unsigned lcore);

/* Take all pending notices: returns the list, or NULL. The lcore's top of loop. One relaxed load when
 * there is none. Go through it with ns_notice_take(). */
static inline struct ns_notice *ns_subscriber_take(struct ns_subscriber *subscriber)
{
    if (atomic_load_explicit(&subscriber->head, memory_order_relaxed) == NULL)
        return NULL;
    return atomic_exchange_explicit(&subscriber->head, NULL, memory_order_acquire); /* D1 */
}

/* Take the first notice off a taken list: *list moves on, pending is cleared, and only after that may
 * the caller read the anchor's version and record (O2). next must be read before pending is cleared:
 * from then on the control core may link the notice again. */
static inline struct ns_anchor *ns_notice_take(struct ns_notice **list)
{
    struct ns_notice *notice = *list;
    struct ns_anchor *anchor = notice->anchor;

    *list = notice->next;                                             /* D2 */
    atomic_store_explicit(&notice->pending, 0, memory_order_seq_cst); /* D3 */
    NS_FENCE();                                                       /* O2, D4 */
    return anchor;
}

/* Register this lcore with the anchor, inside a read section. Then compare ns_anchor_version() with
 * the version that the binding was computed from: if it is newer, compute again (O1). */
static inline void ns_anchor_register(struct ns_anchor *anchor, unsigned lcore)
{
    atomic_fetch_or_explicit(&anchor->mask, UINT64_C(1) << lcore, memory_order_seq_cst); /* R2 */
    NS_FENCE(); /* O1, R3 */
}

/* This lcore has no dependents on the anchor any more. A notice may still be pending; it will be taken
 * as any other. Afterwards the anchor may only be used until the next quiescent state. */
static inline void ns_anchor_unregister(struct ns_anchor *anchor, unsigned lcore)
{
    atomic_fetch_and_explicit(&anchor->mask, ~(UINT64_C(1) << lcore),
                              memory_order_release); /* B4 */
}

static inline uint64_t ns_anchor_version(const struct ns_anchor *anchor)
{
    return atomic_load_explicit(&anchor->version, memory_order_acquire);
}

#endif
