/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Being told when a flow moves: the push, carried on to whoever keeps something for a flow (a log of moves, a
 * connection's state of its path, a rule elsewhere), on the flow's own lcore.
 *
 * A listener is registered with a table once. A flow then asks for it (flow_listen()), or all flows do that are
 * bound from then on. When something that the flow depends on changes so that its packets are sent another
 * way, each of its listeners is called once for the flow, with
 *
 *   from     what the listener was last told (at first, what flow_listen() answered)
 *   to       what it is told now. Always `from` of the next call, so no step is missed in the chain of what a
 *            listener knows; but when changes come faster than they can be told, several become one step.
 *            The packets of the flow use the newest record, which may be one step ahead.
 *   moved    which links of the chain are the reason, FLOW_LINK_ bits: definition, route and next hop are those
 *            by which the flow chose its adjacency; neighbour, station, interface and port are the names, on
 *            the way from the next hop to the port, that were written since. One commit that changes several
 *            of them is one call.
 *
 * WHEN. A flow that is bound anew tells its listeners at once, before its next packet. A record that changes
 * under many flows is told to them by a walk over those that have listeners, in slices between bursts of
 * packets (flow_table_poll()), which is part of what `applied` of the lcore waits for. Nobody is called for a
 * change that leaves the flow's way as it was.
 *
 * COST. A flow without listeners: nothing. A flow with one: 4 bytes, and when it is bound an entry in an
 * array; told: about what it takes to fetch two cache lines, prefetched. A value that changes under flows with
 * listeners costs their lcore one call for each of them, so who only has to follow the newest record should
 * read it through the flow (flow_use()), as packets do, and not listen.
 *
 * CONTEXT. The lcore's thread, online for RCU, in the middle of flow_table_poll(), flow_use() or flow_bind().
 * The callee must be short: it may read the flow, count, write to memory and rings of its own, and call
 * flow_listen() and flow_unlisten(). It must not bind, use or forget flows, block, allocate from the system, or
 * keep a pointer to any argument.
 */
#ifndef KEDGE_FLOWS_LISTENER_H
#define KEDGE_FLOWS_LISTENER_H

#include "flows/table.h"

enum { FLOW_LISTENERS_MAX = 8 };

enum flow_link {
    FLOW_LINK_DEFINITION = 1,
    FLOW_LINK_ROUTE = 2,
    FLOW_LINK_ADJACENCY = 4, /* another next hop */
    FLOW_LINK_NEIGHBOUR = 8, /* these four stand in the order of enum adjacency_link */
    FLOW_LINK_STATION = 16,
    FLOW_LINK_INTERFACE = 32,
    FLOW_LINK_PORT = 64,
    FLOW_LINKS = 7,
};
/* "route", of one bit. */
const char *flow_link_name(enum flow_link link);

struct flow_change {
    const struct flow *flow;
    const struct adjacency *from, *to; /* each whole, of one version; copies */
    unsigned moved;
};

typedef void flow_told_fn(void *arg, const struct flow_change *change);

/* Register. `all`: every flow that is bound from now on asks for it. Returns its number, or -ENOSPC. The control
 * core before the lcore starts, or the lcore. A listener stays as long as the table. */
int flow_listener_add(struct flow_table *table, flow_told_fn *told, void *arg, bool all);

/* The flow asks for this listener, or no longer does. Cheap to repeat. listen answers with what the flow's
 * listeners know of now, which is where the first call will come from; valid until the caller returns to
 * the table. On the lcore. */
const struct adjacency *flow_listen(struct flow_table *table, struct flow *flow, int listener);
void flow_unlisten(struct flow_table *table, struct flow *flow, int listener);

#endif
