/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest's side of a ring page, and its monitor's.
 */
#include "nameserv/ring_client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "nameserv/client_p.h"

/* ---- the monitor ---- */

static int make_memory(struct ns_guest_ring *ring)
{
    void *page;

    ring->memory = memfd_create("xenstore ring", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (ring->memory < 0 || ftruncate(ring->memory, NS_RING_PAGE_SIZE) < 0 ||
        fcntl(ring->memory, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0)
        return -errno;
    page = mmap(NULL, NS_RING_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, ring->memory, 0);
    if (page == MAP_FAILED)
        return -errno;
    ring->page = page;
    return 0;
}

int ns_guest_ring_new(struct ns_guest_ring *ring)
{
    int error;

    *ring = (struct ns_guest_ring){NULL, -1, -1, -1};
    error = make_memory(ring);
    if (error == 0 && (ring->to_server = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0)
        error = -errno;
    if (error == 0 && (ring->to_guest = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0)
        error = -errno;
    if (error < 0)
        ns_guest_ring_free(ring);
    return error;
}

static void close_if_open(int fd)
{
    if (fd >= 0)
        close(fd);
}

void ns_guest_ring_free(struct ns_guest_ring *ring)
{
    if (ring->page != NULL)
        munmap(ring->page, NS_RING_PAGE_SIZE);
    close_if_open(ring->memory);
    close_if_open(ring->to_server);
    close_if_open(ring->to_guest);
}

/* Send what is queued with the descriptors; what does not fit is left to ns_client_receive(). */
static int send_with(struct ns_client *client, const int *fds, size_t count)
{
    union {
        char bytes[CMSG_SPACE(4 * sizeof(int))];
        struct cmsghdr header;
    } control = {.bytes = {0}};
    struct iovec piece = {client->send, client->send_size};
    struct msghdr message = {.msg_iov = &piece,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = CMSG_SPACE(count * sizeof(int))};
    ssize_t sent;

    control.header = (struct cmsghdr){.cmsg_len = CMSG_LEN(count * sizeof(int)),
                                      .cmsg_level = SOL_SOCKET,
                                      .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(&control.header), fds, count * sizeof(int));
    do
        sent = sendmsg(client->fd, &message, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent < 0) {
        client->lost = true;
        return -EPIPE;
    }
    client->send_size -= (size_t)sent;
    memmove(client->send, client->send + sent, client->send_size);
    return 0;
}

int ns_guest_ring_introduce(struct ns_client *monitor, const struct ns_guest_ring *ring,
                            unsigned domid, int life)
{
    const int fds[] = {ring->memory, ring->to_server, ring->to_guest, life};
    char payload[32];
    const char *data;
    size_t size;
    int error;

    if (monitor->lost)
        return -EPIPE;
    if (monitor->sent != monitor->received)
        return -EBUSY;
    size = (size_t)snprintf(payload, sizeof(payload), "%u", domid) + 1;
    memcpy(payload + size, "0\0001", sizeof("0\0001")); /* the memfd's first page, port 1 */
    error = ns_client_send(monitor, NS_WIRE_INTRODUCE, 0, payload, size + sizeof("0\0001"));
    if (error == 0)
        error = send_with(monitor, fds, life >= 0 ? 4 : 3);
    return error < 0 ? error : ns_client_receive(monitor, &data, &size);
}

/* ---- the guest ---- */

static void notify(const struct ns_guest_ring *ring)
{
    const uint64_t one = 1;

    if (write(ring->to_server, &one, sizeof(one)) < 0)
        return; /* its counter is full: the server has been told often enough */
}

/* A lost ring is told by the error word only, when nothing is left to be taken. */
static ssize_t outcome(struct ns_client *client, ssize_t size)
{
    if (size > 0)
        notify(client->ring);
    if (size != 0)
        return size;
    return ns_ring_failed(client->ring->page) == NS_RING_OK ? -EAGAIN : -EPIPE;
}

static ssize_t ring_send(struct ns_client *client, const void *bytes, size_t size)
{
    if (ns_ring_failed(client->ring->page) != NS_RING_OK)
        return -EPIPE; /* nobody would read it */
    return outcome(client, ns_ring_put(ns_ring_requests(client->ring->page), bytes, size));
}

static int possible(const struct ns_client *client, short events)
{
    struct ns_ring_page *page = client->ring->page;
    int now = 0;

    if (ns_ring_pending(ns_ring_replies(page)) || ns_ring_failed(page) != NS_RING_OK)
        now |= POLLIN;
    if (ns_ring_has_room(ns_ring_requests(page)))
        now |= POLLOUT;
    return now & events;
}

/* The notification is taken before the ring is looked at: one that comes later is seen by the next. */
static int ring_wait(struct ns_client *client, short events, int timeout_ms)
{
    struct pollfd readable = {.fd = client->ring->to_guest, .events = POLLIN};
    uint64_t count;
    int now = possible(client, events);

    while (now == 0) {
        int ready = poll(&readable, 1, timeout_ms);

        if (ready <= 0)
            return ready < 0 ? -errno : 0;
        if (read(client->ring->to_guest, &count, sizeof(count)) < 0 && errno != EAGAIN)
            return -errno;
        now = possible(client, events);
        if (now == 0 && timeout_ms >= 0)
            return -EINTR; /* the caller knows how much time is left */
    }
    return now;
}

static ssize_t ring_receive(struct ns_client *client, void *bytes, size_t room)
{
    return outcome(client, ns_ring_take(ns_ring_replies(client->ring->page), bytes, room));
}

/* The ring is its owner's. */
static void ring_close(struct ns_client *client)
{
    (void)client;
}

static const struct ns_client_carrier ring_carrier = {ring_receive, ring_send, ring_wait,
                                                      ring_close};

int ns_client_open_ring(const struct ns_guest_ring *ring, struct ns_client **result)
{
    struct ns_client *client = ns_client_new(&ring_carrier, ring->to_guest);

    if (client == NULL)
        return -ENOMEM;
    client->ring = ring;
    *result = client;
    return 0;
}

static int wait_connected(const struct ns_guest_ring *ring, int timeout_ms)
{
    struct pollfd readable = {.fd = ring->to_guest, .events = POLLIN};
    uint64_t count;

    while (!ns_ring_connected(ring->page)) {
        int ready = poll(&readable, 1, timeout_ms);

        if (ready == 0)
            return -ETIMEDOUT;
        if (ready < 0 && errno != EINTR)
            return -errno;
        if (read(ring->to_guest, &count, sizeof(count)) < 0 && errno != EAGAIN)
            return -errno;
    }
    return 0;
}

int ns_client_reconnect(struct ns_client *client, int timeout_ms)
{
    int error;

    if (client->ring == NULL)
        return -EOPNOTSUPP;
    error = ns_ring_ask_reconnect(client->ring->page);
    if (error < 0)
        return error;
    notify(client->ring);
    error = wait_connected(client->ring, timeout_ms);
    if (error < 0)
        return error;
    ns_client_drop_events(client);
    client->lost = false;
    client->sent = client->received = 0;
    client->send_size = client->in_start = client->in_end = 0;
    return 0;
}
