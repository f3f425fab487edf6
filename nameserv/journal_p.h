/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the files of the journal share: journal.c (listening), journal_load.c (the beginning) and
 * journal_stats.c. Nobody else includes it but their tests.
 */
#ifndef KEDGE_NAMESERV_JOURNAL_P_H
#define KEDGE_NAMESERV_JOURNAL_P_H

#include "nameserv/journal.h"
#include "nameserv/journal_queue.h"
#include "nameserv/mount.h"
#include "nameserv/store_p.h"

enum { NS_PERMS_TEXT = NS_PERMS_MAX * 12 }; /* a letter, ten digits, a NUL each */

struct ns_journal {
    struct ns_listener listener; /* first */
    struct ns_store *store;
    struct ns_loop *loop;
    struct ns_stats *stats;
    struct ns_journal_file *file; /* the thread's, once it runs */
    enum ns_journal_sync sync;
    bool listening;
    struct ns_journal_queue queue;
    struct ns_journal_record *pending; /* of the commit under way */
    uint64_t asked_numbers;            /* no commit below this needs to ask for numbers again */
    struct ns_io io;                   /* an eventfd: the thread has got on */
    struct ns_timer timer;             /* while something waits: is it late? */
    struct ns_journal_counters counters;

    struct ns_perms *perms; /* a reference; NULL: none */
    char perms_text[NS_PERMS_TEXT];
    size_t perms_size;
};

/* The row of an entry; without one that of a removal. It points into the entry and the journal. */
void ns_journal_describe(struct ns_journal *journal, const char *path, size_t path_size,
                         const struct ns_entry *entry, struct ns_journal_row *row);

/* The row of limits; without text that of a removal. It points to both. */
void ns_journal_describe_quotas(const char *name, const char *text, struct ns_journal_row *row);

/* ---- journal_stats.c ---- */

int ns_journal_stats_add(struct ns_journal *journal);
void ns_journal_stats_remove(struct ns_journal *journal);

#endif
