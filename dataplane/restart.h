/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What outlives the process: the journal, and the state that a live update hands over.
 *
 * The daemon calls these in the order in which they stand here. Each failure is logged, and ends the start.
 *
 * Thread safety: the main thread, which is the control core.
 */
#ifndef KEDGE_DATAPLANE_RESTART_H
#define KEDGE_DATAPLANE_RESTART_H

#include "dataplane/options.h"
#include "nameserv/live_update.h"
#include "nameserv/server.h"
#include "nameserv/stats.h"

struct restart {
    const struct options *options;
    struct ns_loop *loop;
    struct ns_store *store;
    struct ns_stats *stats;
    struct ns_server *server;

    /* What the daemon's logs have queued is written before the process becomes another; they are opened again if
     * that fails. start: 0 or a negative errno. */
    void (*stop_logs)(void *arg);
    int (*start_logs)(void *arg);
    void *logs_arg;

    /* private */
    struct ns_journal *journal;    /* NULL: none */
    struct ns_live_state *state;   /* of the process before; NULL: there was none, or it is taken */
    struct ns_live_update *update; /* NULL: it can't be asked for */
};

/* Look whether there is a state to take over. */
int restart_take_state(struct restart *restart);

/* Is there one? Then the configuration file is not read: the state has what it says. */
bool restart_has_state(const struct restart *restart);

/* The server goes on with the socket of the process before. */
void restart_set_server(const struct restart *restart, struct ns_server_options *options);

/* With all mounts hung: names from the state or the journal, which is kept from then on. */
int restart_fill_store(struct restart *restart);
int restart_start_journal(struct restart *restart);

/* With the configuration committed: clients of the state are served, and may ask for the next update. */
int restart_start_clients(struct restart *restart);

/* Before the server goes. */
void restart_end_updates(struct restart *restart);

/* After it: all that is queued gets into the journal. */
void restart_end_journal(struct restart *restart);

#endif
