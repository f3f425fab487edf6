/* SPDX-License-Identifier: BSD-3-Clause */
/* /stats/journal: how the journal gets on. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "nameserv/journal_p.h"
#include "nameserv/stats.h"

static const char *const syncs[] = {
    [NS_JOURNAL_SOON] = "soon", [NS_JOURNAL_REPLY] = "reply", [NS_JOURNAL_OFF] = "off"};

static const struct {
    const char *name;
    size_t offset;
} counters[] = {
    {"commits", offsetof(struct ns_journal_counters, commits)},
    {"failures", offsetof(struct ns_journal_counters, failures)},
    {"names", offsetof(struct ns_journal_counters, names)},
    {"refused", offsetof(struct ns_journal_counters, refused)},
    {"waiting", offsetof(struct ns_journal_counters, waiting_bytes)},
    {"writes", offsetof(struct ns_journal_counters, writes)},
};
enum { COUNTERS = sizeof(counters) / sizeof(counters[0]) };

/* Beside the counters; in byte order with them. */
static const char names[] = "commits\0error\0failures\0names\0refused\0sync\0waiting\0writes";

static void read_error(struct ns_query *query, const struct ns_journal *journal)
{
    int error = atomic_load_explicit(&journal->queue.error, memory_order_acquire);

    ns_query_printf(query, "%s", error == 0 ? "" : strerror(-error));
}

static void read_journal(struct ns_query *query, const char *below, void *arg)
{
    struct ns_journal *journal = arg;
    struct ns_journal_counters values;

    ns_journal_counters(journal, &values);
    for (size_t i = 0; i < COUNTERS; i++) {
        if (strcmp(below, counters[i].name) == 0) {
            uint64_t value;

            memcpy(&value, (const char *)&values + counters[i].offset, sizeof(value));
            ns_query_printf(query, "%llu", (unsigned long long)value);
            return;
        }
    }
    if (*below == '\0')
        ns_query_answer(query, 0, "", 0);
    else if (strcmp(below, "sync") == 0)
        ns_query_printf(query, "%s", syncs[journal->sync]);
    else if (strcmp(below, "error") == 0)
        read_error(query, journal);
    else
        ns_query_refuse(query, ENOENT, "%s: no such name", query->path);
}

static void list_journal(struct ns_query *query, const char *below, void *arg)
{
    (void)arg;
    ns_query_answer(query, 0, names, *below == '\0' ? sizeof(names) : 0);
}

int ns_journal_stats_add(struct ns_journal *journal)
{
    if (journal->stats == NULL)
        return 0;
    return ns_stats_add(journal->stats, "journal", read_journal, list_journal, journal);
}

void ns_journal_stats_remove(struct ns_journal *journal)
{
    if (journal->stats != NULL)
        ns_stats_remove(journal->stats, "journal");
}
