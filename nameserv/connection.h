/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The inside of the control socket: for server.c, connection.c, operations.c, events.c and their
 * tests; everybody else includes nameserv/server.h.
 *
 *   server.c      the socket file, who may be its daemon, accepting, who connects
 *   connection.c  bytes in, bytes out, and when to stop reading, whatever carries them
 *   connection_socket.c, connection_ring.c  what carries them: a UNIX stream socket, a page of memory
 *   operations.c  the table of operations, one request at a time; computed.c and listing.c belong to it
 *   events.c      watches and their events
 *   turn.c        who has lost a conflict has its turn, while others wait
 *
 * THE WAY OF A REQUEST. When a connection is readable, one read gets what is there and every whole
 * message is run at once; replies are appended to the connection's output, each followed by the
 * events that wait. Connections with something to send are in server->ready, and the flush timer,
 * which fires after the descriptors of the same round, gives each of them one write.
 *
 * A read of a computed name may be answered later. Until then the connection's next request is not
 * run: replies keep their order, /stats/self/error speaks of the request before it, and one request
 * per connection waits at most.
 *
 * MEMORY. What a client has not taken, output and events, counts for its account like its names and watches. If
 * that is too much, events are merged and the next request waits until the output is taken.
 *
 * BOUNDS of what a client that does not read can make the daemon keep: input of NS_INPUT_SIZE,
 * output of NS_OUTPUT_FULL and one reply, events of NS_EVENTS_MAX bytes and one for each watch.
 *
 * WHAT IS NOT DURABLE YET. Where the journal makes commits durable before they are told (struct
 * ns_hold), the reply to a request that has committed waits in the output, and what comes after it waits
 * behind it; events wait in their queue until their commit's ticket is released. While the store is stalled
 * the next request that changes something is not run.
 *
 * Thread safety: the control core only.
 */
#ifndef KEDGE_NAMESERV_CONNECTION_H
#define KEDGE_NAMESERV_CONNECTION_H

#include <sys/queue.h>
#include <sys/types.h>

#include "nameserv/account.h"
#include "nameserv/loop.h"
#include "nameserv/mount.h"
#include "nameserv/server.h"
#include "nameserv/store.h"
#include "nameserv/turn.h"
#include "nameserv/wire.h"

enum {
    NS_INPUT_SIZE = 32 << 10,  /* one read */
    NS_OUTPUT_FULL = 64 << 10, /* unsent bytes from which on no request is run, no event moved */
    NS_EVENTS_MAX = 1 << 20, /* bytes of queued events from which on they are one for each watch */
    NS_LIST_TEXT_SIZE = 1 << 20, /* longer lists are not kept as text */
};

struct ns_connection;
struct ns_attached_ring;

/* An event that waits to be moved to the output. */
struct ns_event {
    TAILQ_ENTRY(ns_event) link;
    struct ns_client_watch *watch;
    const char *path; /* as the client will see it */
    size_t path_size;
    bool special;    /* is of a special name: not in the index, never merged */
    uint64_t ticket; /* it waits for this one; 0: it need not wait */
    uint64_t
        again; /* another change, of another ticket, was merged into it: it comes again; 0: no */
};

/* A client's watch. Its event with its own path is part of it: it can be queued without memory, and
 * may stand for any other. */
struct ns_client_watch {
    struct ns_watch watch; /* first: the store's hook gets it */
    struct ns_connection *connection;
    LIST_ENTRY(ns_client_watch) link;
    struct ns_event own;
    bool own_queued;
    bool relative; /* events carry paths below the home as the client writes them */
    uint16_t path_size;
    uint16_t token_size;
    char text[]; /* the path as the client gave it, NUL, token, NUL */
};

struct ns_events {
    TAILQ_HEAD(ns_event_queue, ns_event) queue;
    void *index;  /* tsearch() by watch and path: equal events merge; not the watches' own ones */
    size_t bytes; /* of all but the watches' own ones */
    bool overflowed; /* until the queue is empty, watches queue their own events only */
};

/* A transaction of a client. */
struct ns_client_txn {
    LIST_ENTRY(ns_client_txn) link;
    uint32_t id;
    uint64_t began;   /* on the loop's clock */
    uint64_t changes; /* requests in it that have changed something */
    void *accessed;   /* names that it has asked for; accessed.c */
    uint32_t accessed_count;
    struct ns_txn *txn;
};

/* A listing that is fetched in parts (DIRECTORY_PART): where the last part ended, so that the next
 * one goes on there. Outside of transactions it holds one of its own, so that writers can't starve a
 * lister. */
struct ns_listing {
    struct ns_txn *pin; /* NULL inside of a client's transaction */
    uint32_t tx;
    uint64_t generation;
    uint64_t offset; /* of the next name in the list */
    char path[NS_PATH_MAX + 1];
    char last[NS_PATH_MAX + 1]; /* the name before it */
};

/* The list that was fetched last in parts, by any client. */
struct ns_list_text {
    uint64_t generation; /* commit that last changed the list; 0: there is none */
    bool whole;          /* else it is too long to be kept */
    char *bytes;         /* NS_LIST_TEXT_SIZE: names, each with its NUL */
    size_t size;
    char path[NS_PATH_MAX + 1];
};

/* A request whose answer may come later. The query is all that the mount knows. */
struct ns_request {
    struct ns_query query; /* first */
    struct ns_connection *connection;
    struct ns_wire_header header;
    uint64_t offset; /* of a DIRECTORY_PART */
    char path[];
};

/* Descriptors that a privileged client has sent along (SCM_RIGHTS), for its next INTRODUCE. */
enum { NS_HANDED_MAX = 4 };
struct ns_handed {
    unsigned count;
    int fds[NS_HANDED_MAX];
};

/* What carries a connection's bytes. None of these waits; each is called on the control core. */
struct ns_transport {
    /* Take up to room bytes. How many; 0: the client will send nothing more; -EAGAIN: none are there;
     * another negative errno: the connection is broken. */
    ssize_t (*receive)(struct ns_connection *connection, void *bytes, size_t room);

    /* Hand over up to size bytes. How many, -EAGAIN if there is no room, or another negative errno. */
    ssize_t (*send)(struct ns_connection *connection, const void *bytes, size_t size);

    /* From now on call ns_connection_event() for these: EPOLLIN when there are bytes to receive, also those
     * that are there already, EPOLLOUT when there is room to send. Called when they change, and when bytes can be
     * received again of which an event has told in vain; EPOLLIN at first. */
    int (*want)(struct ns_connection *connection, uint32_t events);

    void (*close)(struct ns_connection *connection);

    /* Its turn is over, and what could be sent was sent. NULL: that means nothing to the transport. */
    void (*turned)(struct ns_connection *connection);
};

/* Bytes of a socket that were looked at and are not taken out of it yet; connection_socket.c. */
struct ns_looked {
    LIST_ENTRY(ns_connection) link; /* in server->looked, while there are any */
    size_t size;
    unsigned reads;
    bool can, usual; /* look; usual: the next read does, because the last was small */
    bool ended;      /* the last look ended with descriptors */
};

struct ns_output {
    char *bytes;
    size_t start, end, room;
    uint64_t sent; /* bytes, ever */
};

/* What is appended to the output from a position on waits for a ticket (struct ns_hold). */
struct ns_held {
    uint64_t position; /* in all the output ever */
    uint64_t ticket;
};
enum { NS_HELD_MAX = 8 };

struct ns_connection {
    struct ns_io io; /* first; the transport's, as is the next */
    void *carrier;
    const struct ns_transport *transport;
    struct ns_server *server; /* NULL once closed */
    LIST_ENTRY(ns_connection) link;
    TAILQ_ENTRY(ns_connection) ready_link;
    unsigned
        references; /* one of the server, one of the unanswered request that knows its address */
    struct ns_identity who;
    uint64_t number; /* never repeats */
    struct ns_account *account;
    unsigned unsent;                 /* replies since the output was empty */
    char home[NS_WIRE_HOME_MAX + 1]; /* where its relative paths lie */
    uint8_t home_size;

    bool ready;        /* is in server->ready */
    bool ended;        /* the client will send nothing more */
    bool broken;       /* to be closed without ado */
    bool malformed;    /* because of what it sent */
    uint32_t interest; /* what the transport has been asked for */
    bool missed;       /* bytes were announced that could not be received then */
    char *rest;        /* received and not yet run */
    size_t rest_size;
    struct ns_output output;
    struct ns_held held[NS_HELD_MAX]; /* in order of position and ticket */
    unsigned held_count;
    bool waits; /* for a ticket, in server->waiting */
    bool
        blocked; /* its next request has to wait: it changes something and the store is stalled, or it
                     begins a transaction and the server is to be updated */
    LIST_ENTRY(ns_connection) waiting_link;
    struct ns_request *request; /* that waits for its answer */

    struct ns_looked looked;
    struct ns_handed *handed;                 /* NULL: none */
    LIST_HEAD(, ns_attached_ring) introduced; /* rings of guests that vanish with this client */

    char *error; /* the sentence about the last refusal; NULL = none */
    LIST_HEAD(, ns_client_txn) txns;
    unsigned txn_count;
    struct ns_turn turn;
    uint32_t last_txn_id;
    struct ns_listing *listing;
    LIST_HEAD(, ns_client_watch) watches;
    void *watch_index; /* tsearch() by path and token */
    unsigned watch_count;
    struct ns_events events;
};

struct ns_server {
    struct ns_io io; /* first: the listening socket */
    struct ns_store *store;
    struct ns_loop *loop;
    struct ns_stats *stats;
    struct ns_access_log *access_log; /* NULL: none */
    struct ns_timer flush;            /* always running, so that starting it anew can't fail */
    struct ns_turns turns;
    struct ns_timer take; /* take what was looked at, if it has not been done meanwhile */
    LIST_HEAD(, ns_connection) looked;
    struct ns_timer accept; /* accept again, after a pause for lack of descriptors */
    LIST_HEAD(, ns_connection) connections;
    TAILQ_HEAD(ns_ready, ns_connection) ready;
    LIST_HEAD(, ns_connection) waiting; /* for tickets */
    size_t ready_count;
    LIST_HEAD(, ns_attached_ring) rings;
    struct ns_xen *xen; /* NULL: not built with it, or no domain of it has come */
    unsigned unprivileged, unprivileged_max; /* connections */
    unsigned txns_max, watches_max;
    uid_t own_uid;
    bool has_group;
    gid_t group;
    char *path, *lock_path;
    int lock_fd;
    dev_t device; /* of the socket file, to remove no other's */
    ino_t inode;
    struct ns_live_update *live_update; /* NULL: it can't be asked for */
    bool updating;                      /* one waits for transactions to end */
    struct ns_server_counters counters;
    struct ns_list_text listed;
    char input[NS_INPUT_SIZE];        /* scratch of the connection that is being read */
    char reply[NS_WIRE_PAYLOAD_MAX];  /* scratch of the request that is being run */
    char path_asked[NS_PATH_MAX + 1]; /* its path, absolute */
};

/* ---- connection.c ---- */

/* A connection over a transport, for which EPOLLIN is wanted. NULL without memory. */
struct ns_connection *ns_connection_new(struct ns_server *server,
                                        const struct ns_transport *transport,
                                        const struct ns_identity *who);
void ns_connection_close(struct ns_connection *connection);
void ns_connection_put(struct ns_connection *connection); /* drop a reference */

/* The transport says what is possible now: EPOLLIN, EPOLLOUT; EPOLLHUP, EPOLLERR: the client is gone. */
void ns_connection_event(struct ns_connection *connection, uint32_t events);

/* There is something to do for it: it gets its turn this round, or the next. */
void ns_connection_ready(struct ns_connection *connection);

/* Append a message to the output. If memory ends the connection breaks: a client can't do without. */
void ns_connection_send(struct ns_connection *connection, const struct ns_wire_header *header,
                        const void *payload);

/* What is sent from now on waits for the ticket. */
void ns_connection_hold(struct ns_connection *connection, uint64_t ticket);

/* Tickets have been released, or the store is no longer stalled. arg: the server. */
void ns_connection_released(void *arg);

static inline size_t ns_output_size(const struct ns_output *output)
{
    return output->end - output->start;
}

/* The flush timer's turn: serve everybody in server->ready. */
void ns_connection_serve_ready(struct ns_server *server);

/* ---- connection_socket.c ---- */

/* A client on an accepted descriptor. 0 or a negative errno, and then fd is still the caller's. */
int ns_connection_accept(struct ns_server *server, int fd, const struct ns_identity *who);

/* Take out of their sockets what was looked at. */
void ns_connections_take(struct ns_server *server);

/* Close the descriptors that were handed in and not used. */
void ns_connection_drop_handed(struct ns_connection *connection);

/* ---- connection_ring.c ---- */

/* The client is closed: guests that it answered for vanish. */
void ns_attached_rings_leave(struct ns_connection *introducer);

/* ---- server.c ---- */

/* The same for whoever is at the other end of the descriptor, and was connected before: no limit is asked. It is then
 * the first in server->connections. */
int ns_server_admit(struct ns_server *server, int fd);

/* ---- operations.c ---- */

/* Run one request: it is answered when this returns true, or connection->request waits. False: the connection
 * is held (nameserv/turn.h), and the request has to be run again when it no longer is. */
bool ns_operation_run(struct ns_connection *connection, const struct ns_wire_header *header,
                      const char *payload);

/* /stats/self/error */
void ns_operations_read_error(struct ns_query *query, const char *below, void *arg);

/* ---- operations_txn.c ---- */

/* A transaction of that number, as if it had been open and was ended: all in it is answered with EAGAIN. 0,
 * -EEXIST, -ENOMEM. */
int ns_operations_take_txn(struct ns_connection *connection, uint32_t id);

/* Abort what the client has open. */
void ns_operations_reset(struct ns_connection *connection);

/* ---- accessed.c ---- */

/* Names that a transaction of the unprivileged has asked for, each once. add: 0 or -ENOMEM. */
bool ns_accessed_has(const struct ns_client_txn *txn, const char *path);
int ns_accessed_add(struct ns_client_txn *txn, const char *path);
void ns_accessed_forget(struct ns_client_txn *txn);

/* ---- recount.c ---- */

/* Count anew what each account has, names and what belongs to connections. 0, or -EINVAL with a sentence in why;
 * -ENOMEM. */
int ns_server_recount(struct ns_server *server, char *why, size_t why_size);

/* ---- events.c ---- */

/* path: as the client gave it; absolute: what it means; levels: as of struct ns_watch. 0, -EEXIST, -ENOSPC,
 * -ENOMEM. Queues the initial event. */
int ns_events_watch(struct ns_connection *connection, const char *path, const char *absolute,
                    const char *token, unsigned levels);
/* The same without the initial event and without a limit, and an event that a watch has queued. For a live
 * update. event: 0, -ENOENT. */
int ns_events_take_watch(struct ns_connection *connection, const char *path, const char *absolute,
                         const char *token, unsigned levels);
int ns_events_take_event(struct ns_connection *connection, const char *path, const char *token,
                         const char *changed);
/* 0 or -ENOENT. Events that wait are dropped. */
int ns_events_unwatch(struct ns_connection *connection, const char *path, const char *token);
/* Drop all watches and events. */
void ns_events_reset(struct ns_connection *connection);
/* Move events to the output as long as it is not full. */
void ns_events_move(struct ns_connection *connection);

/* What a watch counts for. */
size_t ns_events_watch_bytes(const struct ns_client_watch *watch);

static inline bool ns_events_waiting(const struct ns_connection *connection)
{
    return !TAILQ_EMPTY(&connection->events.queue);
}

/* May the first of them be told? */
bool ns_events_released(const struct ns_connection *connection);

#endif
