/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A daemon that is wrong on purpose: it edits the header of a published adjacency in place, as other stacks do,
 * instead of publishing a new record. Linked into build/bench/kedged_in_place only, to show that bench/torn.py
 * finds torn headers where there are any.
 */
#include <string.h>

#include "flows/adjacency.h"
#include "flows/flow.h"
#include "nameserv/store_p.h"

void __real_ns_anchors_publish(struct ns_commit *commit);
void __wrap_ns_anchors_publish(struct ns_commit *commit);

static void write_in_place(struct adjacency *old, const struct adjacency *new)
{
    volatile uint8_t *to = (volatile uint8_t *)&old->header;
    const uint8_t *from = (const uint8_t *)&new->header;

    for (size_t i = 0; i < sizeof(new->header); i++)
        to[i] = from[i];
}

void __wrap_ns_anchors_publish(struct ns_commit *commit)
{
    for (struct ns_anchor *anchor = commit->published; anchor != NULL; anchor = anchor->next_work)
        if (anchor->ops != NULL && adjacency_is(anchor) && anchor->record != NULL &&
            anchor->new_record != NULL)
            write_in_place(anchor->record, anchor->new_record);
    __real_ns_anchors_publish(commit);
}
