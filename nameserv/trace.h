/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Following one commit through: the first one that changes a name, or something below it, is noted with the
 * times of its stages. While nothing is followed, a commit pays one look at a pointer for it.
 *
 * Thread safety: the control core only.
 */
#ifndef KEDGE_NAMESERV_TRACE_H
#define KEDGE_NAMESERV_TRACE_H

#include <stdint.h>

struct ns_store;
struct ns_commit;

struct ns_trace {
    const char *path; /* the name; belongs to the asker */
    /* called just before it is published, so that lcores can know which one it is. May be NULL. */
    void (*publishing)(struct ns_trace *trace);
    void *arg;

    /* the commit, once it has come */
    uint64_t number; /* 0: not yet */
    uint64_t began, published,
        notified;    /* ns_clock(): its beginning; just before it is published; when all
                                            notices are linked */
    uint64_t lcores; /* mask of those that got a notice */
};

/* Follow a name from now on; its commit's fields are cleared. NULL: follow none. The trace belongs to the caller
 * and must live until then. */
void ns_store_trace(struct ns_store *store, struct ns_trace *trace);

/* ---- for commit.c ---- */

/* A commit is about to be published, and is. began: ns_clock() at its beginning. */
void ns_trace_publishing(struct ns_commit *commit, uint64_t began);
void ns_trace_notified(struct ns_commit *commit);

#endif
