/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest's side of a ring page, and its monitor's: what attaches a guest to the server, and a client
 * (nameserv/client.h) that talks over the ring. docs/examples/guest.c shows all of it.
 *
 *   monitor   ns_guest_ring_new(), ns_guest_ring_introduce(); gives page and descriptors to its guest
 *   guest     ns_client_open_ring(), and then any call of nameserv/client.h
 *
 * Relative paths of a guest lie below /local/domain/DOMID.
 *
 * Thread safety: one thread on a ring.
 */
#ifndef KEDGE_NAMESERV_RING_CLIENT_H
#define KEDGE_NAMESERV_RING_CLIENT_H

#include "nameserv/client.h"
#include "nameserv/ring.h"

struct ns_guest_ring {
    struct ns_ring_page *page;
    int memory;    /* the memfd that holds it */
    int to_server; /* eventfds */
    int to_guest;
};

/* A ring page of its own, with its descriptors (close-on-exec). 0 or a negative errno. */
int ns_guest_ring_new(struct ns_guest_ring *ring);
void ns_guest_ring_free(struct ns_guest_ring *ring);

/* Introduce the ring as domain domid, over a privileged client of the control socket, of which no
 * request is under way. life: a descriptor that becomes readable or hangs up when the guest is gone,
 * such as a pidfd: then the domain is released. -1: it is when the monitor's client is closed. The
 * descriptors stay the caller's. 0, or a negative errno as the server named it. */
int ns_guest_ring_introduce(struct ns_client *monitor, const struct ns_guest_ring *ring,
                            unsigned domid, int life);

/* A client over a ring, which must outlive it. ns_client_fd() is an eventfd: when it is readable, take
 * events with timeout 0 until there is none. 0 or -ENOMEM. */
int ns_client_open_ring(const struct ns_guest_ring *ring, struct ns_client **client);

/* Begin anew: watches, transactions and requests under way are gone. What to do when a call answered
 * -EPIPE, and when another program had the ring before. Waits up to timeout_ms (-1: for ever) for the
 * server. 0, -ETIMEDOUT, -EOPNOTSUPP (the server can't), or another negative errno. */
int ns_client_reconnect(struct ns_client *client, int timeout_ms);

#endif
