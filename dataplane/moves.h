/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The log of moved flows: with --log-moves, every flow asks to be told when it moves (flows/listener.h), and the
 * newest moves can be read below /stats/moves, at most MOVES_A_SECOND of each worker; all are counted. At log level
 * info, a few a second are also written to the log.
 *
 * A worker hands what it is told to the control core through a ring of its own; a full ring, or too many a second,
 * leaves moves out, counted, and never blocks the worker.
 */
#ifndef KEDGE_DATAPLANE_MOVES_H
#define KEDGE_DATAPLANE_MOVES_H

#include "flows/listener.h"

enum { MOVES_A_SECOND = 1000, MOVES_KEPT = 64, MOVES_RING = 256 };

/* One flow that was told. */
struct move {
    union flow_key key;
    struct adjacency from, to;
    uint64_t number; /* since the start, of all workers together; given by the control core */
    uint64_t time;   /* seconds since 1970 */
    uint32_t moved;  /* FLOW_LINK_ bits */
    uint16_t worker;
};

struct worker;
struct control;

/* ---- worker ---- */

/* What a worker knows of its moves; counters are read by others. */
struct worker_moves {
    uint64_t told[FLOW_LINKS]; /* by link; a flow that several links moved counts for each */
    uint64_t left_out;
    uint32_t second, in_second;
    _Atomic uint32_t head __rte_cache_aligned; /* written by the worker */
    _Atomic uint32_t tail __rte_cache_aligned; /* written by the control core */
    struct move ring[MOVES_RING];
};

/* Have every flow of the worker's table listen. Before the worker starts. 0, -ENOMEM, -ENOSPC. */
int moves_new(struct worker *worker, int numa_node);
void moves_free(struct worker *worker);

/* ---- control core ---- */

/* The newest moves, oldest first: history[(next + i) % MOVES_KEPT] for those with a number. */
struct move_history {
    struct move kept[MOVES_KEPT];
    unsigned next;
    uint64_t count; /* taken from workers, in all */
};

/* Take what workers have told, and log some of it. */
void moves_poll(struct control *control);

/* Of a worker; NULL: it does not log them. */
const struct worker_moves *moves_of(const struct worker *worker);

#endif
