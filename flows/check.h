/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Does every flow agree with the tree? The checker walks all flows of a table and compares what each is bound to
 * (adjacency, route, definition, and its place in the arrays by which changes reach it) with a decision that is
 * computed from scratch on the newest version; nothing that was remembered for speed is used.
 *
 * A flow that a change has not reached yet (its notice is on the way, a walk has not come by, what it needs is
 * being made) is counted as pending and is not wrong. A difference without such a reason is looked at again for
 * CHECK_PATIENCE seconds, since a commit that is just being published becomes visible piece by piece, and only
 * then called a fault. The check repairs nothing.
 *
 * The other half, whether the records themselves are what their names say, is ns_anchor_verify().
 *
 * Thread safety: on the table's lcore, in slices; forwarding goes on between them.
 */
#ifndef KEDGE_FLOWS_CHECK_H
#define KEDGE_FLOWS_CHECK_H

#include "flows/table.h"

enum { CHECK_FAULTS = 8, CHECK_PATIENCE = 2 };

struct flow_fault {
    union flow_key key;
    char what[16];                /* "adjacency", "route", "definition", "array", "mask" */
    char bound[64], expected[64]; /* names; "" if none */
};

/* A check under way. All zero: it begins. */
struct flow_check {
    uint32_t cursor; /* slot that comes next */
    uint32_t
        suspect_since; /* second in which the flow there was first found to differ; 0: it is not */
    uint64_t flows, pending; /* looked at; of those, not reached yet by a change */
    uint64_t wrong;
    struct flow_fault faults[CHECK_FAULTS]; /* the first ones */
};

/* Go on for at most `slots` slots. True when it is over. */
bool flow_table_check(const struct flow_table *table, struct flow_check *check, uint32_t slots);

#endif
