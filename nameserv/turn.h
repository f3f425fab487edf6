/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Turns: how a transaction that has lost gets through.
 *
 * Conflicts are found at the end (nameserv/txn.c), so a client that thinks for a millisecond between reading
 * and writing loses for ever against one that writes what it reads all the time. Therefore a connection whose
 * transaction ended in EAGAIN takes a *turn* with its next: from its START to its END, commits of others that
 * would change one of the names by which it has lost are held back. Held back means that the request is run
 * later, and nothing of the connection is read before; it is never refused. A transaction that looks at the
 * same names again wins in the second try; each name more that turns out to be contended costs one more try,
 * because the names are kept until it has won.
 *
 * What keeps a turn from being used against others (XSA-206):
 *
 *   privilege   a turn of a client without privilege holds back its like only. There are two lanes, for the
 *               privileged and for the others; a turn holds back writers of its own lane, and one of the
 *               privileged also those of the other lane. So nobody without privilege delays anybody with it,
 *               and can't make his transactions fail either: it is held back by his turn.
 *   time        a turn ends after NS_TURN_TIME at the latest, also if its client has gone to sleep.
 *   share       if a turn has held somebody back, no other of its lane begins before NS_TURN_PAUSE times as
 *               long has passed: all turns of a lane together take at most 1/(1 + NS_TURN_PAUSE) of a writer's
 *               time, however many clients ask for one.
 *   order       one turn of a lane at a time. Whoever wants one waits for it at its START, so its tries are
 *               counted by turns and not by luck; uids take turns, not connections, so many connections
 *               of one uid are no advantage. Who has waited for NS_TURN_WAIT goes on without.
 *   names       only names that really were changed under the transaction are kept, NS_TURN_NAMES_MAX of them
 *               and NS_TURN_BYTES_MAX bytes. To a privileged client who has lost by more all writes are held.
 *
 * Turns of clients that only update names of each other cost nothing: nobody who is not waiting for a turn
 * himself is held back, so one follows the other without a pause.
 *
 * Thread safety: the control core only.
 */
#ifndef KEDGE_NAMESERV_TURN_H
#define KEDGE_NAMESERV_TURN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "nameserv/loop.h"

struct ns_connection;
struct ns_server;
struct ns_txn;

enum { NS_TURN_PAUSE = 3, NS_TURN_NAMES_MAX = 256, NS_TURN_BYTES_MAX = 16 << 10 };
#define NS_TURN_TIME UINT64_C(20000000)   /* ns */
#define NS_TURN_WAIT UINT64_C(1000000000) /* ns */

/* A name by which a connection has lost. */
struct ns_turn_name {
    SLIST_ENTRY(ns_turn_name) link;
    uint32_t size;
    uint32_t what; /* for ns_txn_disturbs() */
    char path[];
};

/* A connection's part. */
struct ns_turn {
    SLIST_HEAD(, ns_turn_name) names;
    size_t name_count, name_bytes;
    bool everything; /* it has lost by more names than are kept */
    bool held;       /* its next request waits, in server->turns.held or in a lane's queue */
    bool queued;
    bool waived;    /* it has waited long enough: its next START goes without a turn */
    uint32_t txn;   /* the transaction that has the turn; 0: it is to be started */
    uint64_t rank;  /* in the queue: the smallest is next */
    uint64_t since; /* when it was queued */
    TAILQ_ENTRY(ns_connection) link; /* of the queue, or of the held */
};

TAILQ_HEAD(ns_turn_queue, ns_connection);

struct ns_lane {
    struct ns_server *server;
    struct ns_turn_queue queue; /* whose START waits for a turn, in the order in which they came */
    struct ns_connection *holder; /* whose turn it is; NULL: nobody's */
    uint64_t began, held_since;   /* held_since 0: it has held nobody back */
    uint64_t next;                /* no turn begins before */
    uint64_t rank;                /* of the newest turn */
    struct ns_timer timer;        /* always running, so that starting it anew can't fail */
};

enum { NS_LANE_OTHERS, NS_LANE_PRIVILEGED, NS_LANES };

struct ns_turns {
    struct ns_lane lanes[NS_LANES];
    struct ns_turn_queue held; /* writers that wait for the end of a turn */
};

/* 0 or -ENOMEM. */
int ns_turns_start(struct ns_server *server);
void ns_turns_stop(struct ns_server *server);

/* A START: may it be run now? If not the connection is held, and its request runs later. */
bool ns_turn_begin(struct ns_connection *connection);

/* It was run, and made this transaction. */
void ns_turn_started(struct ns_connection *connection, uint32_t txn);

/* May this transaction, of this connection or made for its request, commit now? If not the connection is
 * held. */
bool ns_turn_allows(struct ns_connection *connection, const struct ns_txn *txn);

/* A name was not as the transaction saw it; for ns_txn_on_conflict(), arg is the connection. */
void ns_turn_lost(const char *path, size_t size, unsigned what, void *arg);

/* A transaction of the client has ended; won: committed. */
void ns_turn_ended(struct ns_connection *connection, uint32_t txn, bool won);

/* The connection's transactions are gone; it wants no turn any more. */
void ns_turn_reset(struct ns_connection *connection);

#endif
