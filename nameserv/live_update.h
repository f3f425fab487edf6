/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Live update: this process becomes another kedged, and its clients notice nothing.
 *
 * Over CONTROL, as xenstore-control does: `live-update` with -f BINARY, optionally -c COMMAND LINE, then
 * -s [-t SECONDS] [-F]; -a takes it back. The answer is OK, or a sentence that says why not. With -s
 * the answer comes when it is over, from the new binary.
 *
 * Open transactions delay it, for 60 seconds or those of -t: meanwhile no client that has none open may
 * start one. Those that are open then end: whatever is asked in them afterwards is answered with EAGAIN.
 * With -F it goes on as soon as each of them is older than that time.
 *
 * Before, the new binary is run beside this process, with KEDGE_LIVE_UPDATE_TRIAL in its environment: it
 * says by its exit code whether it could take over its command line and the names. If not nothing happens.
 *
 * What is handed over (nameserv/state_stream.h), in a file without a name whose descriptor stands in the environment's
 * KEDGE_LIVE_UPDATE: the listening socket, the connections with what they have sent and not been answered and
 * what they have not read yet, their watches and events, the rings of guests, the tree with its permissions, and
 * the number of the last commit. The new process takes over the same PID, and if nothing else is said the same
 * command line.
 *
 * A ring's page and events are descriptors as a connection is. Its indexes are in the page, which is left as it is:
 * a guest that puts in a request meanwhile is answered by the new process. Not so a ring of Xen's domains, whose
 * page is a mapping and no descriptor: while one is attached there is no live update.
 *
 * Thread safety: the control core only.
 */
#ifndef KEDGE_NAMESERV_LIVE_UPDATE_H
#define KEDGE_NAMESERV_LIVE_UPDATE_H

#include "nameserv/server.h"

struct ns_call;
struct ns_live_update;

#define NS_LIVE_UPDATE_VARIABLE "KEDGE_LIVE_UPDATE"
#define NS_LIVE_UPDATE_TRIAL    "KEDGE_LIVE_UPDATE_TRIAL"

enum { NS_LIVE_UPDATE_FITS = 77 }; /* exit code of a trial that succeeded */

/* ---- giving ---- */

struct ns_live_update_options {
    char **argv; /* command line of this process; NULL at the end. Must live as long */

    /* Called before the state is written: nothing may be under way that would not survive the end of this
     * process. Negative errno: not now, with a sentence. */
    int (*pause)(void *arg, struct ns_reason *reason);
    /* The new binary could not be run: go on. */
    void (*resume)(void *arg);
    void *arg;
};

/* Let clients of the server ask for it. 0 or -ENOMEM. */
int ns_live_update_new(struct ns_server *server, const struct ns_live_update_options *options,
                       struct ns_live_update **update);
void ns_live_update_free(struct ns_live_update *update); /* NULL is ignored. Before the server */

/* The CONTROL command live-update; its parameters follow each other, each ending with a NUL. */
int ns_live_update_control(struct ns_call *call, const char *parameters, size_t size);

/* ---- taking ---- */

struct ns_live_state;

/* Is this process to say only whether it could take over? Takes the variable out of the environment. */
bool ns_live_update_is_trial(void);

/* The state that the process before has left, and its last commit. Takes the variable out of the environment.
 * *state NULL: there is none. 0; -EINVAL with a sentence. */
int ns_live_state_open(struct ns_live_state **state, struct ns_reason *reason);

/* Take it from a descriptor that is the caller's. 0; -EINVAL with a sentence. */
int ns_live_state_open_fd(int fd, struct ns_live_state **state, struct ns_reason *reason);

/* Is this where the clients come from? -EINVAL with a sentence if it is another socket: it can't be changed. */
int ns_live_state_check_socket(const struct ns_live_state *state, const char *path,
                               struct ns_reason *reason);

/* For ns_server_options, and the journal. */
int ns_live_state_listening(const struct ns_live_state *state);
int ns_live_state_lock(const struct ns_live_state *state);
uint64_t ns_live_state_commit(const struct ns_live_state *state);

/* Fill a store, as one commit; then the server, whose clients are served from then on. 0, or a negative errno with
 * a sentence. */
int ns_live_state_fill_store(struct ns_live_state *state, struct ns_store *store,
                             struct ns_reason *reason);
int ns_live_state_fill_server(struct ns_live_state *state, struct ns_server *server,
                              struct ns_reason *reason);
void ns_live_state_free(struct ns_live_state *state); /* NULL is ignored */

#endif
