/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The journal: what users have written survives a restart.
 *
 * It listens to the store. Each commit's changes are copied into a queue; a thread of its own writes
 * what has gathered there to the file (nameserv/journal_file.h), all of it in one transaction of the
 * file and, if asked for, one fsync. Left out is what a restart forgets (ns_mount_forgets()).
 *
 *   OFF     written soon, never synced: survives the end of the daemon, however sudden, as far as it was
 *           written (50 ms), but not that of the machine
 *   SOON    synced, 50 ms after the commit and as long as the disk takes; at most one second late,
 *           else requests that change something wait
 *   REPLY   synced before its client gets the reply, and before watch events tell of it. Others that
 *           read meanwhile may see it before
 *
 * In every setting the file has a prefix of the commits, each whole: what has not been written is the newest.
 *
 * MEMORY. At most NS_JOURNAL_QUEUE bytes and one commit wait to be written; then requests that change
 * something wait (ns_store_hold()), those that read go on.
 *
 * FAILURE. If the file can't be written the error is logged, and writing is tried again each second;
 * nothing that was queued is dropped. Meanwhile commits are refused with -ENOSPC (no space) or -EIO: under REPLY
 * at once, else when no more may wait. Replies that wait go on waiting: whether such a commit is kept is known when
 * the disk answers, or with the next start.
 *
 * Thread safety: the control core only.
 */
#ifndef KEDGE_NAMESERV_JOURNAL_H
#define KEDGE_NAMESERV_JOURNAL_H

#include "nameserv/loop.h"
#include "nameserv/store.h"

enum { NS_JOURNAL_QUEUE = 32 << 20, NS_JOURNAL_GATHER_MS = 50, NS_JOURNAL_LATE_MS = 1000 };

enum ns_journal_sync { NS_JOURNAL_SOON, NS_JOURNAL_REPLY, NS_JOURNAL_OFF };

struct ns_journal;
struct ns_stats;

struct ns_journal_options {
    const char *path; /* of the file, or of a folder for names.journal */
    enum ns_journal_sync sync;
    struct ns_stats *stats; /* gets journal/...; NULL = none. Outlives the journal */
};

/* Open the file, or make it. 0, or as ns_journal_file_open(), with a sentence. */
int ns_journal_new(struct ns_store *store, struct ns_loop *loop,
                   const struct ns_journal_options *options, struct ns_reason *reason,
                   struct ns_journal **journal);

/* Commit all that is in the file, as one transaction over all mounts; *names gets how many. Numbers of
 * commits go on from those that were given before. Before ns_journal_start(). 0; a mount's refusal, or as
 * ns_journal_file_read(), with a sentence. */
int ns_journal_load(struct ns_journal *journal, size_t *names, struct ns_reason *reason);

/* Make the file hold what the store has now, unless the last commit in it is this one, after which the store was
 * filled from elsewhere. Before ns_journal_start(). 0, or what the file's system says, with a sentence. */
int ns_journal_take_over(struct ns_journal *journal, uint64_t commit, struct ns_reason *reason);

/* Journal commits from now on. 0, -EAGAIN (no thread), -ENOMEM. */
int ns_journal_start(struct ns_journal *journal);

/* Wait (blocking) until all is written, for at most the given time, and close the file. What is not written then
 * is lost, and that is logged; false. NULL is ignored. */
bool ns_journal_free(struct ns_journal *journal, unsigned milliseconds);

/* Why the file can't be written at present: -ENOSPC, -EIO; 0: it can. */
int ns_journal_error(const struct ns_journal *journal);

struct ns_journal_counters {
    uint64_t commits, names; /* journaled: commits, and names in them that were put or removed */
    uint64_t writes;         /* transactions of the file */
    uint64_t failures;       /* of them */
    uint64_t waiting_bytes;  /* that are to be written */
    uint64_t refused;        /* commits, because the file can't be written */
};
void ns_journal_counters(struct ns_journal *journal, struct ns_journal_counters *out);

#endif
