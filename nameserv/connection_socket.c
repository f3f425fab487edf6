/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A connection over a UNIX stream socket.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "nameserv/connection.h"

/* What an interrupted call means is the same as that nothing was there. */
static ssize_t outcome(ssize_t size)
{
    return size >= 0 ? size : errno == EINTR ? -EAGAIN : -errno;
}

/* ---- descriptors that come along ---- */

void ns_connection_drop_handed(struct ns_connection *connection)
{
    struct ns_handed *handed = connection->handed;

    connection->handed = NULL;
    if (handed == NULL)
        return;
    for (unsigned i = 0; i < handed->count; i++)
        close(handed->fds[i]);
    free(handed);
}

/* Those that came before and were not used are closed. */
static void keep_handed(struct ns_connection *connection, struct msghdr *message)
{
    struct cmsghdr *item = CMSG_FIRSTHDR(message);
    struct ns_handed handed = {.count = 0};

    if (item == NULL || item->cmsg_level != SOL_SOCKET || item->cmsg_type != SCM_RIGHTS)
        return;
    ns_connection_drop_handed(connection);
    handed.count = (unsigned)((item->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    memcpy(handed.fds, CMSG_DATA(item), handed.count * sizeof(int));
    connection->handed = malloc(sizeof(handed));
    if (connection->handed == NULL) {
        connection->broken = true;
        while (handed.count > 0)
            close(handed.fds[--handed.count]);
        return;
    }
    *connection->handed = handed;
}

/*
 * A read ends with the message that had descriptors with it, so they belong to what it ends with. Without room for
 * them, which only the privileged get, the kernel closes them. More may be there than what was read: then no further
 * event tells of it, because events tell of what comes (EPOLLET).
 */
static ssize_t receive(struct ns_connection *connection, void *bytes, size_t room, int flags)
{
    union {
        char bytes[CMSG_SPACE(NS_HANDED_MAX * sizeof(int))];
        struct cmsghdr align;
    } control;
    bool takes_descriptors = connection->who.privileged && (flags & MSG_PEEK) == 0;
    struct iovec piece = {bytes, room};
    struct msghdr message = {.msg_iov = &piece,
                             .msg_iovlen = 1,
                             .msg_control = takes_descriptors ? &control : NULL,
                             .msg_controllen = takes_descriptors ? sizeof(control.bytes) : 0};
    ssize_t size = recvmsg(connection->io.fd, &message, flags | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    bool has_descriptors =
        size >= 0 && (message.msg_controllen > 0 || (message.msg_flags & MSG_CTRUNC) != 0);

    if (has_descriptors && takes_descriptors)
        keep_handed(connection, &message);
    if (has_descriptors || size == (ssize_t)room)
        connection->missed = true;
    connection->looked.ended = has_descriptors;
    return outcome(size);
}

/* ---- looking before taking ---- */

/*
 * Whoever waits for an answer in a recv() is woken by the kernel also when the peer takes bytes out of the socket,
 * because then there is room to send. A client that waits for each answer would be woken twice for each, and on
 * a CPU that it shares with us, take our turn to find that there is nothing. So bytes are only looked at
 * (MSG_PEEK, at an offset that the kernel moves along), and taken out when some have gathered, or a little later
 * at the latest, should they be in the way of a client that has little room to send. Who sends much at once does
 * not wait for each answer, and is read in the common way.
 */
enum { LOOKED_SIZE = 4096, LOOKED_READS = 16, USUAL_SIZE = 2048 };
#define LOOKED_TIME UINT64_C(10000000) /* ns */

static void forget_looked(struct ns_connection *connection)
{
    if (connection->looked.size > 0)
        LIST_REMOVE(connection, looked.link);
    connection->looked.size = 0;
    connection->looked.reads = 0;
    connection->looked.ended = false;
}

static void take(struct ns_connection *connection)
{
    char bytes[LOOKED_SIZE];
    size_t left = connection->looked.size;

    while (left > 0) {
        ssize_t size = receive(connection, bytes, left < sizeof(bytes) ? left : sizeof(bytes), 0);

        if (size <= 0) {
            connection->broken = true; /* what was seen is there */
            ns_connection_ready(connection);
            break;
        }
        left -= (size_t)size;
    }
    forget_looked(connection);
}

void ns_connections_take(struct ns_server *server)
{
    while (!LIST_EMPTY(&server->looked))
        take(LIST_FIRST(&server->looked));
}

static ssize_t look(struct ns_connection *connection, void *bytes, size_t room)
{
    struct ns_server *server = connection->server;
    struct ns_looked *looked = &connection->looked;
    ssize_t size = receive(connection, bytes, room, MSG_PEEK);

    if (size <= 0)
        return size;
    if (looked->size == 0)
        LIST_INSERT_HEAD(&server->looked, connection, looked.link);
    looked->size += (size_t)size;
    if (++looked->reads == LOOKED_READS || looked->size > LOOKED_SIZE || looked->ended ||
        (!ns_timer_running(&server->take) &&
         ns_timer_start(server->loop, &server->take, LOOKED_TIME) < 0))
        take(connection);
    return size;
}

/* Without an offset each look would begin with the same bytes. */
static void offer_looks(struct ns_connection *connection)
{
    int offset = 0;

    connection->looked.can =
        setsockopt(connection->io.fd, SOL_SOCKET, SO_PEEK_OFF, &offset, sizeof(offset)) == 0;
    connection->looked.usual = connection->looked.can;
}

/* ---- the transport ---- */

static ssize_t socket_receive(struct ns_connection *connection, void *bytes, size_t room)
{
    ssize_t size;

    if (connection->looked.usual) {
        size = look(connection, bytes, room);
    } else {
        take(connection);
        size = receive(connection, bytes, room, 0);
    }
    if (size > 0)
        connection->looked.usual = connection->looked.can && size <= USUAL_SIZE;
    return size;
}

static ssize_t socket_send(struct ns_connection *connection, const void *bytes, size_t size)
{
    return outcome(send(connection->io.fd, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT));
}

/* Bytes that were only looked at are still there, so it has to be told of what comes. The end comes once, too. */
static uint32_t edges(uint32_t events)
{
    return events | EPOLLET | ((events & EPOLLIN) != 0 ? EPOLLRDHUP : 0);
}

static int socket_want(struct ns_connection *connection, uint32_t events)
{
    return ns_loop_change(connection->server->loop, &connection->io, edges(events));
}

static void socket_close(struct ns_connection *connection)
{
    ns_loop_remove(connection->server->loop, &connection->io);
    forget_looked(connection);
    close(connection->io.fd);
    ns_connection_drop_handed(connection);
}

static const struct ns_transport socket_transport = {socket_receive, socket_send, socket_want,
                                                     socket_close, NULL};

static void socket_event(struct ns_io *io, uint32_t events)
{
    struct ns_connection *connection = (struct ns_connection *)io;

    if ((events & (EPOLLHUP | EPOLLRDHUP | EPOLLERR)) != 0)
        connection->missed = true; /* the end may be behind bytes */
    ns_connection_event(connection, events);
}

int ns_connection_accept(struct ns_server *server, int fd, const struct ns_identity *who)
{
    struct ns_io io = {.fd = fd, .fn = socket_event};
    struct ns_connection *connection = ns_connection_new(server, &socket_transport, who);
    int error;

    if (connection == NULL)
        return -ENOMEM;
    connection->io = io;
    offer_looks(connection);
    error = ns_loop_add(server->loop, &connection->io, edges(EPOLLIN));
    if (error < 0) {
        connection->io.fd = -1; /* which the caller keeps */
        ns_connection_close(connection);
    }
    return error;
}
