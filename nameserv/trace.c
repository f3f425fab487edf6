/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Following one commit through.
 */
#include "nameserv/trace.h"

#include <string.h>

#include "nameserv/clock.h"
#include "nameserv/store_p.h"

void ns_store_trace(struct ns_store *store, struct ns_trace *trace)
{
    store->trace = trace;
    if (trace == NULL)
        return;
    trace->number = trace->lcores = 0;
    trace->began = trace->published = trace->notified = 0;
}

/* The name itself, or one below it. */
static bool concerns(const struct ns_trace *trace, const char *path)
{
    size_t size = strlen(trace->path);

    return strncmp(path, trace->path, size) == 0 && (path[size] == '\0' || path[size] == '/');
}

static bool is_wanted(const struct ns_trace *trace, const struct ns_commit *commit)
{
    for (size_t i = 0; i < commit->change_count; i++)
        if (concerns(trace, commit->changes[i].path))
            return true;
    for (size_t i = 0; i < commit->touched_count; i++)
        if (concerns(trace, commit->touched[i]->path))
            return true;
    return false;
}

void ns_trace_publishing(struct ns_commit *commit, uint64_t began)
{
    struct ns_trace *trace = commit->store->trace;

    if (trace == NULL || trace->number != 0 || !is_wanted(trace, commit))
        return;
    trace->number = commit->version->number;
    trace->began = began;
    if (trace->publishing != NULL)
        trace->publishing(trace);
    trace->published = ns_clock();
}

void ns_trace_notified(struct ns_commit *commit)
{
    struct ns_trace *trace = commit->store->trace;

    if (trace == NULL || trace->number != commit->version->number)
        return;
    trace->notified = ns_clock();
    trace->lcores = commit->told;
}
