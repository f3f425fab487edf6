/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The control core's side of the data plane: takes the workers' requests in the loop's hook, sends
 * packets of the modules by orders, and decides how long the loop may sleep.
 *
 * To wake the control core costs a worker a system call (10 us on a virtual machine), so a storm of requests must not
 * do it for each: for a millisecond after something happened the control core looks at the rings each 50 us, and
 * nobody wakes it. Then it sleeps long, and says so in workers->control_sleeps; whoever has a request wakes it, once.
 * So the first request after a quiet millisecond is taken at once, and a worker pays for a thousand wake-ups a
 * second at most.
 *
 * Thread safety: the control core only.
 */
#ifndef KEDGE_DATAPLANE_CONTROL_H
#define KEDGE_DATAPLANE_CONTROL_H

#include "dataplane/modules.h"
#include "dataplane/moves.h"
#include "dataplane/port.h"
#include "dataplane/worker.h"
#include "nameserv/loop.h"

struct stats;

struct control_counters {
    uint64_t rounds, requests;
    uint64_t supply_failed; /* anchors that could not be made */
    uint64_t sent;          /* frames of the modules, a flooded one once for each port */
    uint64_t send_down;     /* not sent: no port that is up */
    uint64_t send_failed;   /* not sent: no buffer, or the worker's ring was full */
};

struct control {
    struct ns_store *store;
    struct ns_loop *loop;
    struct modules modules;
    struct rte_mempool *pool; /* NULL with workers.count 0 */
    struct workers workers;   /* count 0: names only */
    struct ports *ports;      /* NULL: there are none */
    struct stats *stats;      /* NULL: there are none yet */
    bool poll;                /* never sleep */
    struct ns_server *server; /* if poll: its rings are polled as well */
    struct control_counters counters;
    struct move_history moves;

    /* private */
    uint64_t active_until; /* on the loop's clock */
    uint64_t last_commit;
    unsigned first; /* worker whose turn it is to be first */
};

/* What the modules ask of the data plane; arg is control. */
struct modules_io control_io(struct control *control);

/* Make it the hook of its loop. */
void control_start(struct control *control);

/* Wake the control core; any thread. For workers->wake_control and devices. */
void control_wake(void *control);

#endif
