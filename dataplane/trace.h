/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a worker notes of one commit that is followed through: when it came to know of it, and when the first
 * packet went by it. Each worker has a slot, which it alone stamps, with the TSC, between two ORDER_TRACE; at other
 * times it pays one look at a pointer a round, and one a burst.
 *
 * Thread safety: as each field says; all are read by anybody.
 */
#ifndef KEDGE_DATAPLANE_TRACE_H
#define KEDGE_DATAPLANE_TRACE_H

#include <stdatomic.h>

#include "flows/flow.h"

struct worker_trace {
    /* the control core's: the commit, before it is published; 0: it has not come */
    _Alignas(NS_CACHE_LINE) _Atomic uint64_t number;

    /* the worker's; TSC, 0: not yet */
    _Alignas(NS_CACHE_LINE) _Atomic uint64_t armed; /* it has taken the order */
    _Atomic uint64_t seen;    /* begins to use a version that has the commit */
    _Atomic uint64_t noticed; /* has taken notices */
    _Atomic uint64_t applied; /* has dealt with them: its flows are told */
    _Atomic uint64_t flows;   /* not a time: how many were told */
    _Atomic uint64_t
        packet; /* the first packet that went by the change, or, at least, by a decision made since,
                                 was handed to its port. Stored after its key */
    union flow_key key;
    uint64_t notices, told; /* private: the table's counters before */
};

#endif
