/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Counters as computed names, /stats/SOMETHING/NAME: one number each, listed in byte order. For arp/
 * and the folders above it.
 *
 * Thread safety: the control core only.
 */
#ifndef KEDGE_ARP_COUNTER_NAMES_H
#define KEDGE_ARP_COUNTER_NAMES_H

#include "nameserv/stats.h"

struct counter_name {
    const char *name; /* may contain '/': "refused/malformed" */
    uint64_t value;
};

/* Answer a read of what is below: the number, or an empty value for a directory. names must be sorted
 * in byte order. */
void counter_names_read(struct ns_query *query, const char *below, const struct counter_name *names,
                        size_t count);

/* Answer a listing of what is below. */
void counter_names_list(struct ns_query *query, const char *below, const struct counter_name *names,
                        size_t count);

#endif
