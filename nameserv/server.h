/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The control socket: a store served over the Xenstore wire protocol (xenstore.txt and io/xs_wire.h
 * of the Xen tree) on a UNIX stream socket.
 *
 * Identity comes from SO_PEERCRED and SO_PEERGROUPS. Requests are read ahead and answered in batches:
 * one read and one write for as many messages as there are. Replies of a connection come in the
 * order of its requests, also when one is answered later (computed names); other connections go on
 * meanwhile. A client that does not read is not read from either once its unsent replies reach a
 * limit; its watch events are merged, so that they are bounded by its watches.
 *
 * Beyond Xenstore: the sentence that explains a connection's last refusal is read from
 * /stats/self/error.
 *
 * Thread safety: the control core only.
 */
#ifndef KEDGE_NAMESERV_SERVER_H
#define KEDGE_NAMESERV_SERVER_H

#include "nameserv/loop.h"
#include "nameserv/store.h"

struct ns_access_log;
struct ns_server;
struct ns_stats;

struct ns_server_options {
    const char *path;  /* of the socket */
    unsigned mode;     /* of the socket file; 0 = 0666: permissions decide, and all may read */
    const char *group; /* name or number: the socket file's group, and its members are privileged;
                               NULL = none */
    unsigned transactions;  /* a connection's open transactions; 0 = 64 */
    unsigned watches;       /* a connection's watches, unless it is privileged; 0 = 1024 */
    bool taken_over;        /* these two come from the process before (nameserv/live_update.h): */
    int listening, lock;    /* the socket, and the lock beside it */
    struct ns_stats *stats; /* gets self/error and server/...; NULL = none. Outlives the server */
};

/* Listen. A live daemon on the socket: -EADDRINUSE; a dead one's file is replaced. reason gets a
 * sentence. 0 or a negative errno. */
int ns_server_new(struct ns_store *store, struct ns_loop *loop,
                  const struct ns_server_options *options, struct ns_reason *reason,
                  struct ns_server **server);

/* Log operations there from now on; NULL: nowhere. It must outlive the server. */
void ns_server_set_access_log(struct ns_server *server, struct ns_access_log *log);

/* For a loop that polls, in each of its rounds: take what guests have put into their rings (nameserv/ring.h) before
 * they have notified. */
void ns_server_look(struct ns_server *server);

/* Close all connections and remove the socket file. */
void ns_server_free(struct ns_server *server);

struct ns_server_counters {
    uint64_t connections, connections_total, requests, replies, errors, events, events_merged;
    uint64_t reads, writes;              /* system calls */
    uint64_t turns, turns_expired, held; /* nameserv/turn.h; held: requests */
};
void ns_server_counters(const struct ns_server *server, struct ns_server_counters *out);

#endif
