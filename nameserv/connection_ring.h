/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A domain's connection over a ring page: between connection.c and what maps and notifies, which is
 *
 *   ring_memory.c  memory and event descriptors that were handed in over the control socket
 *   ring_xen.c     grant tables and event channels, where Xen's libraries are
 *
 * A ring outlives its connection: a guest that breaks the rules is *ignored*. Its connection is closed
 * with its watches, transactions and output, the error word says why, and the domain stays, so that
 * its end is still noticed. A guest that then asks for a new connection gets one.
 *
 * A ring ends when its domain is released, or when the guest vanishes, which releases the domain.
 *
 * Thread safety: the control core only.
 */
#ifndef KEDGE_NAMESERV_CONNECTION_RING_H
#define KEDGE_NAMESERV_CONNECTION_RING_H

#include <sys/queue.h>

#include "nameserv/connection.h"
#include "nameserv/domain.h"
#include "nameserv/ring.h"

struct ns_attached_ring;

/* What maps the page and notifies the guest. Neither waits. */
struct ns_ring_carrier {
    void (*notify)(struct ns_attached_ring *ring);
    void (*detach)(struct ns_attached_ring *ring); /* unmap the page, free the ring */

    /* What the ring was made of: its descriptors, which stay the ring's, and its page's number. NULL: of
     * nothing that another process could make it of (live update). */
    const struct ns_handed *(*handed)(const struct ns_attached_ring *ring, uint64_t *gfn);
};

/* Embedded in the carrier's object, which sets the first three before ns_attached_ring_start(). */
struct ns_attached_ring {
    const struct ns_ring_carrier *carrier;
    struct ns_server *server;
    struct ns_ring_page *page;
    struct ns_domain *domain;         /* NULL: it is being freed */
    struct ns_connection *connection; /* NULL: the guest is ignored */
    struct ns_timer again;            /* look at the ring without having been notified */
    struct ns_timer vanish;
    bool owes_notice; /* bytes were taken, and the guest has not been told that there is room */
    struct ns_connection *introducer; /* with whose end the guest vanishes; NULL: it does not */
    LIST_ENTRY(ns_attached_ring) link;
    LIST_ENTRY(ns_attached_ring) introducer_link;
};

/* Open the domain's connection; what the guest has put into the ring already is run later in this round. 0 or
 * -ENOMEM, and then the ring is still the caller's. */
int ns_attached_ring_start(struct ns_attached_ring *ring, struct ns_domain *domain);

/* The same for a ring that another process has served until now: its page is left as it is. The guest is
 * ignored until it has a connection, which is what to call next for one that is not. 0 or -ENOMEM. */
int ns_attached_ring_go_on(struct ns_attached_ring *ring, struct ns_domain *domain);
int ns_attached_ring_connect(struct ns_attached_ring *ring);

/* The guest has notified us. */
void ns_attached_ring_event(struct ns_attached_ring *ring);

/* Look at rings without having been notified, at a bounded number of them: for a loop that polls. */
void ns_attached_rings_look(struct ns_server *server);

/* Close the connection, empty the rings, and begin anew: INTRODUCE of a domain that is there. */
void ns_attached_ring_restart(struct ns_attached_ring *ring);

/* The guest is gone, or nobody is left who answers for it: soon its domain is released. */
void ns_attached_ring_vanish(struct ns_attached_ring *ring);

/* INTRODUCE: attach the domain to what the introducer has handed in, which is used up, or else to a
 * page that the domain has granted under Xen. A ring that is there already is replaced if another is
 * handed in, and begins anew if not. Without Xen and without descriptors the domain has no ring. 0, or
 * a negative errno with its reason: -EINVAL, -ENOMEM. */
int ns_attached_ring_introduce(struct ns_connection *introducer, struct ns_domain *domain,
                               uint64_t gfn, uint32_t port, struct ns_reason *reason);

/* Close the connection and detach: the domain is being released, or the server ends. */
void ns_attached_ring_stop(struct ns_attached_ring *ring);

/* Set the sentence about a refusal; -EINVAL. */
int ns_ring_refuse(struct ns_reason *reason, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* ---- ring_memory.c ---- */

/* Descriptors handed in with INTRODUCE, in this order. */
enum {
    NS_HANDED_MEMORY, /* a memfd that is sealed against shrinking; the page is number gfn of it */
    NS_HANDED_TO_SERVER, /* an eventfd, or a connected socket: readable when the guest notifies */
    NS_HANDED_TO_GUEST,  /* the same, to notify the guest */
    NS_HANDED_LIFE,      /* optional: readable or hung up when the guest is gone; a pidfd */
};

/* Attach the domain's ring to descriptors, which belong to the ring from then on; without
 * NS_HANDED_LIFE the guest vanishes with the introducer. 0, or a negative errno with its reason, and
 * then the descriptors are still the caller's: -EINVAL, -ENOMEM. */
int ns_ring_memory_attach(struct ns_connection *introducer, struct ns_domain *domain,
                          const struct ns_handed *handed, uint64_t gfn, struct ns_reason *reason);

/* The same after a live update, for descriptors that another process was given. introducer: NULL if NS_HANDED_LIFE
 * is there, or if the guest is about to vanish. */
int ns_ring_memory_take_over(struct ns_server *server, struct ns_connection *introducer,
                             struct ns_domain *domain, const struct ns_handed *handed, uint64_t gfn,
                             struct ns_reason *reason);

/* ---- ring_xen.c ---- */

/* Attach the page that a domain of Xen has granted to the store, and its event channel. Built without
 * Xen, or not run on it, it does nothing: the domain has no ring. 0, or a negative errno with its reason: -EINVAL,
 * -ENOMEM. */
#ifdef NS_WITH_XEN
int ns_ring_xen_attach(struct ns_server *server, struct ns_domain *domain, uint32_t port,
                       struct ns_reason *reason);
void ns_xen_close(struct ns_server *server); /* when no ring is left */
#else
static inline int ns_ring_xen_attach(struct ns_server *server, struct ns_domain *domain,
                                     uint32_t port, struct ns_reason *reason)
{
    (void)server, (void)domain, (void)port, (void)reason;
    return 0;
}
static inline void ns_xen_close(struct ns_server *server)
{
    (void)server;
}
#endif

#endif
