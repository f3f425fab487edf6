/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A domain's connection over a ring page.
 *
 * The guest notifies when it has moved an index, which says neither which nor whether it matters, so
 * each notification is taken for 'bytes to receive, and room to send'. One that came while no request
 * could be run is forgotten; when requests are wanted again the ring itself is looked at.
 *
 * That bytes were taken the guest is told with the reply to them, or when the connection's turn is over: before that,
 * whoever waits for the reply would wake up for nothing.
 */
#include "nameserv/connection_ring.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "nameserv/log.h"

enum { LOOKED_AT = 64 }; /* rings in a round of a loop that polls; others notify */

#define VANISH_AGAIN UINT64_C(100000000) /* ns, until memory may be there */
#define VANISH_IDLE  (UINT64_MAX / 2) /* never, but running, so that starting it anew can't fail */

static struct ns_attached_ring *ring_of(const struct ns_connection *connection)
{
    return connection->carrier;
}

static void fail(struct ns_attached_ring *ring, enum ns_ring_error error, const char *what)
{
    static struct ns_log_limit limit = {.burst = 5};

    ns_ring_fail(ring->page, error);
    ring->carrier->notify(ring);
    ns_log_limited(&limit, NS_LOG_WARNING, "domain %u is ignored: %s",
                   ring->domain->who.domain.domid, what);
}

/* ---- the transport ---- */

/* What a step of the ring means to the connection. */
static ssize_t outcome(struct ns_attached_ring *ring, ssize_t size)
{
    if (size < 0)
        fail(ring, NS_RING_INDEX, "more than 1024 bytes lie between two of its ring's indexes");
    return size == 0 ? -EAGAIN : size;
}

static void notify(struct ns_attached_ring *ring)
{
    ring->owes_notice = false;
    ring->carrier->notify(ring);
}

static void pay_notice(struct ns_connection *connection)
{
    struct ns_attached_ring *ring = ring_of(connection);

    if (ring->owes_notice)
        notify(ring);
}

static ssize_t ring_receive(struct ns_connection *connection, void *bytes, size_t room)
{
    struct ns_attached_ring *ring = ring_of(connection);

    ssize_t size = outcome(ring, ns_ring_take(ns_ring_requests(ring->page), bytes, room));

    ring->owes_notice |= size > 0;
    return size;
}

static ssize_t ring_send(struct ns_connection *connection, const void *bytes, size_t size)
{
    struct ns_attached_ring *ring = ring_of(connection);

    ssize_t sent = outcome(ring, ns_ring_put(ns_ring_replies(ring->page), bytes, size));

    if (sent > 0)
        notify(ring);
    return sent;
}

static int ring_want(struct ns_connection *connection, uint32_t events)
{
    struct ns_attached_ring *ring = ring_of(connection);

    if ((events & EPOLLIN) == 0 || !ns_ring_pending(ns_ring_requests(ring->page)))
        return 0;
    return ns_timer_start(ring->server->loop, &ring->again, 0);
}

static void ring_close(struct ns_connection *connection)
{
    struct ns_attached_ring *ring = ring_of(connection);

    pay_notice(connection);
    ring->connection = NULL;
    ns_timer_stop(ring->server->loop, &ring->again);
    if (connection->malformed && ring->domain != NULL)
        fail(ring, NS_RING_PROTOCOL, "it announced a message of more than 4096 bytes");
}

static const struct ns_transport ring_transport = {ring_receive, ring_send, ring_want, ring_close,
                                                   pay_notice};

/* ---- life ---- */

int ns_attached_ring_connect(struct ns_attached_ring *ring)
{
    struct ns_connection *connection =
        ns_connection_new(ring->server, &ring_transport, &ring->domain->who);

    if (connection == NULL)
        return -ENOMEM;
    connection->carrier = ring;
    ring->connection = connection;
    return 0;
}

static void look_again(struct ns_timer *timer)
{
    ns_attached_ring_event(
        (struct ns_attached_ring *)((char *)timer - offsetof(struct ns_attached_ring, again)));
}

static void release(struct ns_timer *timer)
{
    struct ns_attached_ring *ring =
        (struct ns_attached_ring *)((char *)timer - offsetof(struct ns_attached_ring, vanish));
    struct ns_server *server = ring->server;

    if (ring->connection != NULL)
        ns_connection_close(ring->connection);
    if (ring->domain->who.privileged) { /* which stays, whoever has spoken for it */
        ns_attached_ring_stop(ring);
        return;
    }
    if (ns_domain_release(server->store, ring->domain) < 0) {
        ns_timer_start(server->loop, timer, VANISH_AGAIN);
        return;
    }
    ring->domain = NULL;
    ns_attached_ring_stop(ring);
}

/* Timers, of which stopping or starting one anew can't fail from then on. */
static int begin(struct ns_attached_ring *ring, struct ns_domain *domain)
{
    int error;

    ring->domain = domain;
    ring->again.fn = look_again;
    ring->vanish.fn = release;
    error = ns_timer_start(ring->server->loop, &ring->vanish, VANISH_IDLE);
    /* What it has asked already is looked at later: requests that come with the introduction lie in the buffer
     * that its own would be received into. */
    if (error == 0)
        error = ns_timer_start(ring->server->loop, &ring->again, 0);
    if (error < 0)
        ns_timer_stop(ring->server->loop, &ring->vanish);
    return error;
}

static void attached(struct ns_attached_ring *ring)
{
    LIST_INSERT_HEAD(&ring->server->rings, ring, link);
    ring->domain->ring = ring;
    ring->carrier->notify(ring);
}

int ns_attached_ring_start(struct ns_attached_ring *ring, struct ns_domain *domain)
{
    int error = begin(ring, domain);

    if (error < 0)
        return error;
    error = ns_attached_ring_connect(ring);
    if (error < 0) {
        ns_timer_stop(ring->server->loop, &ring->again);
        ns_timer_stop(ring->server->loop, &ring->vanish);
        return error;
    }
    ns_ring_offer(ring->page, domain->features & (NS_FEATURE_RECONNECT | NS_FEATURE_ERROR));
    attached(ring);
    return 0;
}

int ns_attached_ring_go_on(struct ns_attached_ring *ring, struct ns_domain *domain)
{
    int error = begin(ring, domain);

    if (error == 0)
        attached(ring);
    return error;
}

void ns_attached_ring_event(struct ns_attached_ring *ring)
{
    if (ns_ring_reconnect_asked(ring->page))
        ns_attached_ring_restart(ring);
    else if (ring->connection != NULL)
        ns_connection_event(ring->connection, EPOLLIN | EPOLLOUT);
}

static bool asks(const struct ns_attached_ring *ring)
{
    if (ns_ring_reconnect_asked(ring->page))
        return true;
    return ring->connection != NULL && (ring->connection->interest & EPOLLIN) != 0 &&
           ns_ring_pending(ns_ring_requests(ring->page));
}

/* A guest can end other guests, but not itself: the one that is being looked at stays. */
void ns_attached_rings_look(struct ns_server *server)
{
    struct ns_attached_ring *ring;
    unsigned looks = 0;

    LIST_FOREACH (ring, &server->rings, link) {
        if (looks++ == LOOKED_AT)
            return;
        if (asks(ring))
            ns_attached_ring_event(ring);
    }
}

void ns_attached_ring_restart(struct ns_attached_ring *ring)
{
    if (ring->connection != NULL)
        ns_connection_close(ring->connection);
    ns_ring_reset(ring->page);
    if (ns_attached_ring_connect(ring) < 0)
        fail(ring, NS_RING_COMMUNICATION, "out of memory");
    else
        ring->carrier->notify(ring);
}

void ns_attached_ring_vanish(struct ns_attached_ring *ring)
{
    ns_timer_start(ring->server->loop, &ring->vanish, 0);
}

void ns_attached_ring_stop(struct ns_attached_ring *ring)
{
    if (ring->connection != NULL)
        ns_connection_close(ring->connection);
    ns_timer_stop(ring->server->loop, &ring->again);
    ns_timer_stop(ring->server->loop, &ring->vanish);
    LIST_REMOVE(ring, link);
    if (ring->domain != NULL)
        ring->domain->ring = NULL;
    if (ring->introducer != NULL)
        LIST_REMOVE(ring, introducer_link);
    ring->carrier->detach(ring);
}

void ns_attached_rings_leave(struct ns_connection *introducer)
{
    struct ns_attached_ring *ring;

    while ((ring = LIST_FIRST(&introducer->introduced)) != NULL) {
        LIST_REMOVE(ring, introducer_link);
        ring->introducer = NULL;
        ns_attached_ring_vanish(ring);
    }
}

int ns_ring_refuse(struct ns_reason *reason, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(reason->text, sizeof(reason->text), format, arguments);
    va_end(arguments);
    reason->path[0] = '\0';
    return -EINVAL;
}

int ns_attached_ring_introduce(struct ns_connection *introducer, struct ns_domain *domain,
                               uint64_t gfn, uint32_t port, struct ns_reason *reason)
{
    struct ns_attached_ring *before = domain->ring;
    int error;

    if (before != NULL && before->connection == introducer) /* which runs this request */
        return ns_ring_refuse(reason, "a domain does not introduce itself again; it asks its ring "
                                      "for a new connection");
    if (introducer->handed == NULL && before != NULL) {
        ns_attached_ring_restart(before);
        return 0;
    }
    if (introducer->handed == NULL)
        return ns_ring_xen_attach(introducer->server, domain, port, reason);
    error = ns_ring_memory_attach(introducer, domain, introducer->handed, gfn, reason);
    if (error < 0) {
        ns_connection_drop_handed(introducer);
        return error;
    }
    free(introducer->handed);
    introducer->handed = NULL;
    if (before != NULL) {
        before->domain = NULL;
        ns_attached_ring_stop(before);
    }
    return 0;
}
