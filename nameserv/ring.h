/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The ring page: a Xenstore connection in one page of memory that a guest and the server share
 * (docs/misc/xenstore-ring.txt and io/xs_wire.h of the Xen tree). Two rings of bytes carry the same
 * messages as a socket, requests one way, and replies and watch events the other way.
 *
 * Everything here is a pure function of the page: nothing is mapped, notified or waited for, and both
 * the server and a guest's client use it. Who moves an index notifies the other side afterwards
 * (ns_ring_transport of nameserv/connection.h, nameserv/ring_client.h).
 *
 * INDEXES run freely modulo 2^32; `producer - consumer` is what lies between, at most NS_RING_SIZE,
 * and an index modulo NS_RING_SIZE is where its byte lies. Each side writes one index of each ring.
 *
 * THE OTHER SIDE IS NOT TRUSTED. It can write all of the page at any time, our own indexes included.
 * So each index is loaded once for a call, the pair is checked, and only the checked copies are used:
 * a value that changes between check and use (time of check, time of use) can't move a copy out of
 * the ring. Bytes are copied once to private memory, and only the copy is looked at.
 *
 * ORDERS, and the race that each closes:
 *   R1  load the other's producer (acquire), then copy bytes out: else a byte could be read before
 *       the other has written it. Pairs with R2.
 *   R2  copy bytes in, then store the own producer (release).
 *   R3  copy bytes out, then store the own consumer (release): else the other could overwrite bytes
 *       that are still being copied. Pairs with R4.
 *   R4  load the other's consumer (acquire), then copy bytes in.
 *   R5  store an index, then a full fence, then notify; woken, then load indexes. A notification is
 *       remembered until it is taken, so whoever looks at the ring after taking it misses nothing.
 *   R6  reset the rings, then store state 0 (release); a guest that asked for a new connection uses
 *       the rings after it has loaded 0 (acquire).
 *
 * Thread safety: one thread on each side at a time.
 */
#ifndef KEDGE_NAMESERV_RING_H
#define KEDGE_NAMESERV_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { NS_RING_PAGE_SIZE = 4096, NS_RING_SIZE = 1024 };

/* What the server can do, in `features`. */
enum { NS_RING_FEATURE_RECONNECTION = 1, NS_RING_FEATURE_ERROR = 2 };

enum ns_ring_state { NS_RING_CONNECTED = 0, NS_RING_RECONNECT = 1 };

enum ns_ring_error {
    NS_RING_OK = 0,
    NS_RING_COMMUNICATION = 1, /* the other side can't be notified */
    NS_RING_INDEX = 2,         /* more than NS_RING_SIZE bytes between two indexes */
    NS_RING_PROTOCOL = 3,      /* a message that announces too many bytes */
};

/* As it lies in the page, words in host byte order. */
struct ns_ring_page {
    char request[NS_RING_SIZE]; /* written by the guest */
    char reply[NS_RING_SIZE];   /* written by the server */
    uint32_t request_consumer;  /* server */
    uint32_t request_producer;  /* guest */
    uint32_t reply_consumer;    /* guest */
    uint32_t reply_producer;    /* server */
    uint32_t features;          /* server: NS_RING_FEATURE_* */
    uint32_t state;             /* guest: NS_RING_RECONNECT; server: back to NS_RING_CONNECTED */
    uint32_t error;             /* server: enum ns_ring_error */
    uint32_t port;              /* Xen: event channel of a guest that nobody introduces */
};
_Static_assert(offsetof(struct ns_ring_page, request_consumer) == 2048 &&
                   offsetof(struct ns_ring_page, features) == 2064 &&
                   sizeof(struct ns_ring_page) == 2080,
               "the page as io/xs_wire.h defines it");

/* One of the two rings. */
struct ns_ring {
    char *bytes;
    uint32_t *consumer, *producer;
};

static inline struct ns_ring ns_ring_requests(struct ns_ring_page *page)
{
    return (struct ns_ring){page->request, &page->request_consumer, &page->request_producer};
}

static inline struct ns_ring ns_ring_replies(struct ns_ring_page *page)
{
    return (struct ns_ring){page->reply, &page->reply_consumer, &page->reply_producer};
}

/* Consume up to room bytes. How many, 0 if there are none, or -EIO: the indexes can't be right, and
 * nothing was touched. R1, R3. */
ssize_t ns_ring_take(struct ns_ring ring, void *bytes, size_t room);

/* Produce up to size bytes. How many, 0 if the ring is full, or -EIO as above. R4, R2. */
ssize_t ns_ring_put(struct ns_ring ring, const void *bytes, size_t size);

/* Does it hold bytes to take? Also true if its indexes can't be right, so that somebody looks. */
bool ns_ring_pending(struct ns_ring ring);

/* Is there room to put bytes? Also true if its indexes can't be right. */
bool ns_ring_has_room(struct ns_ring ring);

/* ---- the server's side ---- */

/* Has the guest asked for a new connection? */
bool ns_ring_reconnect_asked(const struct ns_ring_page *page);

/* Begin anew: both rings empty, no error, connected. Only while the guest keeps off: it has asked for
 * a new connection, or the page is being introduced again. R6. */
void ns_ring_reset(struct ns_ring_page *page);

/* Say what the server can do, and that it is connected; what lies in the rings stays. */
void ns_ring_offer(struct ns_ring_page *page, uint32_t features);

void ns_ring_fail(struct ns_ring_page *page, enum ns_ring_error error);

/* ---- the guest's side ---- */

/* What the server has said about the connection. */
enum ns_ring_error ns_ring_failed(const struct ns_ring_page *page);

/* Ask for a new connection: notify the server, and keep off the rings until ns_ring_connected().
 * -EOPNOTSUPP if the server does not offer NS_RING_FEATURE_RECONNECTION. */
int ns_ring_ask_reconnect(struct ns_ring_page *page);
bool ns_ring_connected(const struct ns_ring_page *page);

#endif
