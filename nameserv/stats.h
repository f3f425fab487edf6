/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * /stats: names that are computed when they are read.
 *
 * Each part of the daemon registers the names that it answers for. A registered name answers for
 * itself and for all below it, the deepest registration wins; names above it are directories.
 *
 * Thread safety: the control core only.
 */
#ifndef KEDGE_NAMESERV_STATS_H
#define KEDGE_NAMESERV_STATS_H

#include "nameserv/mount.h"

struct ns_stats;

/* Hang the computed mount on /stats. One a store. 0 or as ns_mount_add(). */
int ns_stats_new(struct ns_store *store, struct ns_stats **stats);
void ns_stats_free(struct ns_stats *stats);

/* Answer reads of /stats/NAME and below. below is what follows NAME, without a leading '/', "" for
 * NAME itself. fn must answer the query (ns_query_answer()), now or later. list answers listings of
 * NAME and below; NULL: it has no children. 0, -EEXIST, -ENOMEM. */
int ns_stats_add(struct ns_stats *stats, const char *name,
                 void (*read)(struct ns_query *query, const char *below, void *arg),
                 void (*list)(struct ns_query *query, const char *below, void *arg), void *arg);

/* Take a registration back. Its queries that are still unanswered stay with whoever has them. */
void ns_stats_remove(struct ns_stats *stats, const char *name);

/* Convenience: answer with a formatted text. */
void ns_query_printf(struct ns_query *query, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Convenience: refuse with an error and a sentence. */
void ns_query_refuse(struct ns_query *query, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
