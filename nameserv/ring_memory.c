/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Rings over memory and event descriptors that a privileged client hands in.
 *
 * What is handed in stays in the hands of others, so nothing that they may do with it later can stop
 * the server. Memory that shrinks would end a reader with SIGBUS: the memfd must be sealed against
 * that. A hole that is punched into it reads as zeros; where it would not, in hugetlbfs with an
 * exhausted pool, memory is refused. Whether a descriptor blocks is a flag that all its holders share:
 * reading is asked for without waiting in each call. Writing to an eventfd can't be; whoever gives an
 * eventfd to a guest that is not trusted lets it stop the server, and hands in sockets instead.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "nameserv/connection_ring.h"

struct memory_ring {
    struct ns_attached_ring ring; /* first */
    struct ns_io event;           /* the guest notifies */
    struct ns_io life;            /* fd -1: none */
    struct ns_handed handed;
    uint64_t gfn;
    bool event_is_socket, guest_is_socket;
};

/* ---- what is handed in ---- */

static int check_memory(int fd, uint64_t gfn, struct ns_reason *reason)
{
    int seals = fcntl(fd, F_GET_SEALS);
    struct statfs system;
    struct stat file;

    if (seals < 0 || fstatfs(fd, &system) < 0 || system.f_type != TMPFS_MAGIC)
        return ns_ring_refuse(reason, "the first descriptor is no memfd of ordinary pages");
    if ((seals & F_SEAL_SHRINK) == 0)
        return ns_ring_refuse(reason, "the memory can shrink; seal it with F_SEAL_SHRINK");
    if ((seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) != 0)
        return ns_ring_refuse(reason,
                              "the memory is sealed against writing, and the server writes to it");
    if (fstat(fd, &file) < 0 || gfn >= (uint64_t)file.st_size / NS_RING_PAGE_SIZE)
        return ns_ring_refuse(reason, "the memory has no page of that number");
    return 0;
}

static bool is_socket(int fd)
{
    struct stat file;

    return fstat(fd, &file) == 0 && S_ISSOCK(file.st_mode);
}

/* One that is not would be readable, or hung up, for ever, and nothing could be taken from it. */
static bool is_connected(int fd)
{
    struct sockaddr_storage peer;
    socklen_t size = sizeof(peer);

    return getpeername(fd, (struct sockaddr *)&peer, &size) == 0;
}

static bool is_eventfd(int fd)
{
    static const char is[] = "anon_inode:[eventfd]";
    char name[40], target[sizeof(is)];
    ssize_t size;

    snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
    size = readlink(name, target, sizeof(target));
    return size == sizeof(is) - 1 && memcmp(target, is, sizeof(is) - 1) == 0;
}

static int check_event(int fd, struct ns_reason *reason)
{
    int flags = fcntl(fd, F_GETFL);

    if (!is_socket(fd) && !is_eventfd(fd))
        return ns_ring_refuse(reason,
                              "the second and third descriptor must be eventfds or sockets");
    if (is_socket(fd) && !is_connected(fd))
        return ns_ring_refuse(reason,
                              "a socket to notify the server or the guest by must be connected");
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return -errno;
    return 0;
}

static int check(const struct ns_handed *handed, uint64_t gfn, struct ns_reason *reason)
{
    int error;

    if (handed->count <= NS_HANDED_TO_GUEST || handed->count > NS_HANDED_MAX)
        return ns_ring_refuse(reason,
                              "a ring takes a memfd, an event descriptor to the server, one to the "
                              "guest, and perhaps one that tells when the guest is gone");
    error = check_memory(handed->fds[NS_HANDED_MEMORY], gfn, reason);
    if (error == 0)
        error = check_event(handed->fds[NS_HANDED_TO_SERVER], reason);
    if (error == 0)
        error = check_event(handed->fds[NS_HANDED_TO_GUEST], reason);
    return error;
}

/* ---- events ---- */

/* If the guest's end is full it has been told already. */
static void memory_notify(struct ns_attached_ring *base)
{
    struct memory_ring *ring = (struct memory_ring *)base;
    const uint64_t one = 1;
    int fd = ring->handed.fds[NS_HANDED_TO_GUEST];
    ssize_t done = ring->guest_is_socket ? send(fd, &one, sizeof(one), MSG_DONTWAIT | MSG_NOSIGNAL)
                                         : write(fd, &one, sizeof(one));

    if (done < 0 && errno == EPIPE && ring->life.fd < 0)
        ns_attached_ring_vanish(base);
}

/* Take what announced the event; false when nobody is left on the other side. */
static bool take_notification(const struct memory_ring *ring)
{
    char bytes[256];
    struct iovec piece = {bytes, sizeof(bytes)};

    if (ring->event_is_socket)
        return recv(ring->event.fd, bytes, sizeof(bytes), MSG_DONTWAIT) != 0;
    piece.iov_len = sizeof(uint64_t);
    return preadv2(ring->event.fd, &piece, 1, -1, RWF_NOWAIT) != 0;
}

static void event_seen(struct ns_io *io, uint32_t events)
{
    struct memory_ring *ring =
        (struct memory_ring *)((char *)io - offsetof(struct memory_ring, event));

    (void)events;
    if (!take_notification(ring)) {
        ns_loop_remove(ring->ring.server->loop, io);
        ns_attached_ring_vanish(&ring->ring);
        return;
    }
    ns_attached_ring_event(&ring->ring);
}

static void life_over(struct ns_io *io, uint32_t events)
{
    struct memory_ring *ring =
        (struct memory_ring *)((char *)io - offsetof(struct memory_ring, life));

    (void)events;
    ns_loop_remove(ring->ring.server->loop, io);
    ns_attached_ring_vanish(&ring->ring);
}

/* ---- life ---- */

static void unmap(struct memory_ring *ring)
{
    if (ring->ring.page != NULL)
        munmap(ring->ring.page, NS_RING_PAGE_SIZE);
    ns_loop_remove(ring->ring.server->loop, &ring->event);
    if (ring->life.fd >= 0)
        ns_loop_remove(ring->ring.server->loop, &ring->life);
}

static void memory_detach(struct ns_attached_ring *base)
{
    struct memory_ring *ring = (struct memory_ring *)base;

    unmap(ring);
    for (unsigned i = 0; i < ring->handed.count; i++)
        close(ring->handed.fds[i]);
    free(ring);
}

static const struct ns_handed *memory_handed(const struct ns_attached_ring *base, uint64_t *gfn)
{
    const struct memory_ring *ring = (const struct memory_ring *)base;

    *gfn = ring->gfn;
    return &ring->handed;
}

static const struct ns_ring_carrier memory_carrier = {memory_notify, memory_detach, memory_handed};

static int map(struct memory_ring *ring)
{
    void *page = mmap(NULL, NS_RING_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
                      ring->handed.fds[NS_HANDED_MEMORY], (off_t)(ring->gfn * NS_RING_PAGE_SIZE));
    struct ns_loop *loop = ring->ring.server->loop;
    int error;

    if (page == MAP_FAILED)
        return -errno;
    ring->ring.page = page;
    error = ns_loop_add(loop, &ring->event, EPOLLIN);
    if (error == 0 && ring->life.fd >= 0)
        error = ns_loop_add(loop, &ring->life, EPOLLIN | EPOLLRDHUP);
    return error;
}

static struct memory_ring *new_ring(struct ns_server *server, const struct ns_handed *handed,
                                    uint64_t gfn)
{
    struct memory_ring *ring = calloc(1, sizeof(*ring));

    if (ring == NULL)
        return NULL;
    ring->ring.carrier = &memory_carrier;
    ring->ring.server = server;
    ring->handed = *handed;
    ring->gfn = gfn;
    ring->event = (struct ns_io){handed->fds[NS_HANDED_TO_SERVER], event_seen};
    ring->life = (struct ns_io){handed->count > NS_HANDED_LIFE ? handed->fds[NS_HANDED_LIFE] : -1,
                                life_over};
    ring->event_is_socket = is_socket(ring->event.fd);
    ring->guest_is_socket = is_socket(handed->fds[NS_HANDED_TO_GUEST]);
    return ring;
}

/* Who answers for the guest, if it has no descriptor that tells of its end. */
static void bind_life(struct memory_ring *ring, struct ns_connection *introducer)
{
    if (ring->life.fd >= 0)
        return;
    ring->ring.introducer = introducer;
    if (introducer == NULL)
        ns_attached_ring_vanish(&ring->ring);
    else
        LIST_INSERT_HEAD(&introducer->introduced, &ring->ring, introducer_link);
}

typedef int start_fn(struct ns_attached_ring *ring, struct ns_domain *domain);

static int attach(struct ns_server *server, struct ns_connection *introducer,
                  struct ns_domain *domain, const struct ns_handed *handed, uint64_t gfn,
                  start_fn *start, struct ns_reason *reason)
{
    struct memory_ring *ring;
    int error = check(handed, gfn, reason);

    if (error < 0)
        return error;
    ring = new_ring(server, handed, gfn);
    if (ring == NULL)
        return -ENOMEM;
    error = map(ring);
    if (error == -EPERM) /* epoll's, and events are of kinds that it takes */
        error = ns_ring_refuse(reason, "the fourth descriptor can't tell that the guest is gone; a "
                                       "pidfd or the end of a pipe can");
    if (error == 0)
        error = start(&ring->ring, domain);
    if (error < 0) {
        unmap(ring);
        free(ring);
        return error;
    }
    bind_life(ring, introducer);
    return 0; /* NOLINT: the loop and the connection have the ring now */
}

int ns_ring_memory_attach(struct ns_connection *introducer, struct ns_domain *domain,
                          const struct ns_handed *handed, uint64_t gfn, struct ns_reason *reason)
{
    return attach(introducer->server, introducer, domain, handed, gfn, ns_attached_ring_start,
                  reason);
}

int ns_ring_memory_take_over(struct ns_server *server, struct ns_connection *introducer,
                             struct ns_domain *domain, const struct ns_handed *handed, uint64_t gfn,
                             struct ns_reason *reason)
{
    return attach(server, introducer, domain, handed, gfn, ns_attached_ring_go_on, reason);
}
