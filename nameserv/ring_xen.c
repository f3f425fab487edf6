/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Rings of Xen's domains: grant tables carry the page, event channels the notifications. Built where
 * Xen's libraries are (the Makefile says how that is found out); compiled against Debian's, and never
 * run on Xen by us. So it does only what has to be different here: map, bind, notify, unmap. All that
 * depends on what the guest writes is shared with the rings that are tested (connection_ring.c).
 *
 * There is one descriptor of event channels for all domains: a pending port is looked up among the
 * rings. The page is the grant that each domain's builder reserves for the store
 * (GNTTAB_RESERVED_XENSTORE); a domain without it is refused, as mapping foreign pages by frame number
 * takes rights that the store shall not need.
 */
#ifdef NS_WITH_XEN

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <xenevtchn.h>
#include <xengnttab.h>

#include <xen/grant_table.h>

#include "nameserv/connection_ring.h"

#define DEVICE "/dev/xen/evtchn"

struct ns_xen {
    struct ns_io io; /* first: of event channels */
    struct ns_server *server;
    xenevtchn_handle *events;
    xengnttab_handle *grants;
};

struct xen_ring {
    struct ns_attached_ring ring; /* first */
    evtchn_port_t port;           /* our end */
};

/* ---- the carrier ---- */

static void xen_notify(struct ns_attached_ring *base)
{
    struct xen_ring *ring = (struct xen_ring *)base;

    /* A channel that is closed at the other end is a domain that is about to be released. */
    (void)xenevtchn_notify(base->server->xen->events, ring->port);
}

static void xen_detach(struct ns_attached_ring *base)
{
    struct xen_ring *ring = (struct xen_ring *)base;

    xenevtchn_unbind(base->server->xen->events, ring->port);
    xengnttab_unmap(base->server->xen->grants, base->page, 1);
    free(ring);
}

static const struct ns_ring_carrier xen_carrier = {xen_notify, xen_detach, NULL};

/* ---- events ---- */

static struct xen_ring *find_port(struct ns_server *server, xenevtchn_port_or_error_t port)
{
    struct ns_attached_ring *ring;

    LIST_FOREACH (ring, &server->rings, link)
        if (ring->carrier == &xen_carrier && ((struct xen_ring *)ring)->port == (evtchn_port_t)port)
            return (struct xen_ring *)ring;
    return NULL;
}

/* One port a call; the descriptor stays readable while there are more. It is unmasked before the ring is
 * looked at, so that what comes meanwhile is told again. */
static void port_pending(struct ns_io *io, uint32_t events)
{
    struct ns_xen *xen = (struct ns_xen *)io;
    xenevtchn_port_or_error_t port = xenevtchn_pending(xen->events);
    struct xen_ring *ring;

    (void)events;
    if (port < 0)
        return;
    xenevtchn_unmask(xen->events, (evtchn_port_t)port);
    ring = find_port(xen->server, port);
    if (ring != NULL)
        ns_attached_ring_event(&ring->ring);
}

/* ---- life ---- */

void ns_xen_close(struct ns_server *server)
{
    struct ns_xen *xen = server->xen;

    if (xen == NULL)
        return;
    server->xen = NULL;
    if (xen->events != NULL) {
        ns_loop_remove(server->loop, &xen->io);
        xenevtchn_close(xen->events);
    }
    if (xen->grants != NULL)
        xengnttab_close(xen->grants);
    free(xen);
}

/* When the first domain is introduced: a daemon without Xen has nothing to do with it. */
static int open_xen(struct ns_server *server, struct ns_reason *reason)
{
    struct ns_xen *xen;

    if (server->xen != NULL)
        return 0;
    xen = calloc(1, sizeof(*xen));
    if (xen == NULL)
        return -ENOMEM;
    server->xen = xen;
    xen->server = server;
    xen->events = xenevtchn_open(NULL, 0);
    xen->grants = xengnttab_open(NULL, 0);
    if (xen->events != NULL)
        xen->io = (struct ns_io){xenevtchn_fd(xen->events), port_pending};
    if (xen->events == NULL || xen->grants == NULL ||
        ns_loop_add(server->loop, &xen->io, EPOLLIN) < 0) {
        int error = errno;

        ns_xen_close(server);
        return ns_ring_refuse(reason, "event channels and grant tables of Xen can't be used: %s",
                              strerror(error));
    }
    return 0;
}

static int map_and_bind(struct xen_ring *ring, uint32_t domid, uint32_t port,
                        struct ns_reason *reason)
{
    struct ns_xen *xen = ring->ring.server->xen;
    xenevtchn_port_or_error_t bound;

    ring->ring.page = xengnttab_map_grant_ref(xen->grants, domid, GNTTAB_RESERVED_XENSTORE,
                                              PROT_READ | PROT_WRITE);
    if (ring->ring.page == NULL)
        return ns_ring_refuse(reason, "the page that the domain grants can't be mapped: %s",
                              strerror(errno));
    bound = xenevtchn_bind_interdomain(xen->events, domid, port);
    if (bound < 0) {
        int error = errno;

        xengnttab_unmap(xen->grants, ring->ring.page, 1);
        return ns_ring_refuse(reason, "the event channel can't be bound: %s", strerror(error));
    }
    ring->port = (evtchn_port_t)bound;
    return 0;
}

int ns_ring_xen_attach(struct ns_server *server, struct ns_domain *domain, uint32_t port,
                       struct ns_reason *reason)
{
    struct xen_ring *ring;
    int error;

    if (access(DEVICE, F_OK) < 0)
        return 0; /* not on Xen: a domain in name only, as when built without it */
    error = open_xen(server, reason);
    if (error < 0)
        return error;
    ring = calloc(1, sizeof(*ring));
    if (ring == NULL)
        return -ENOMEM;
    ring->ring.carrier = &xen_carrier;
    ring->ring.server = server;
    error = map_and_bind(ring, domain->who.domain.domid, port, reason);
    if (error < 0) {
        free(ring);
        return error;
    }
    error = ns_attached_ring_start(&ring->ring, domain);
    if (error < 0)
        xen_detach(&ring->ring);
    return error;
}

#endif /* NS_WITH_XEN */
