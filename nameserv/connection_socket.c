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

/* A read ends with the message that had descriptors with it, so they belong to what it ends with. */
static ssize_t receive_with_descriptors(struct ns_connection *connection, void *bytes, size_t room)
{
    union {
        char bytes[CMSG_SPACE(NS_HANDED_MAX * sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec piece = {bytes, room};
    struct msghdr message = {.msg_iov = &piece,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control.bytes)};
    ssize_t size = recvmsg(connection->io.fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

    if (size >= 0 && message.msg_controllen > 0)
        keep_handed(connection, &message);
    return outcome(size);
}

/* ---- the transport ---- */

/* Without room for descriptors the kernel closes them. */
static ssize_t socket_receive(struct ns_connection *connection, void *bytes, size_t room)
{
    if (connection->who.privileged)
        return receive_with_descriptors(connection, bytes, room);
    return outcome(recv(connection->io.fd, bytes, room, MSG_DONTWAIT));
}

static ssize_t socket_send(struct ns_connection *connection, const void *bytes, size_t size)
{
    return outcome(send(connection->io.fd, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT));
}

static int socket_want(struct ns_connection *connection, uint32_t events)
{
    return ns_loop_change(connection->server->loop, &connection->io, events);
}

static void socket_close(struct ns_connection *connection)
{
    ns_loop_remove(connection->server->loop, &connection->io);
    close(connection->io.fd);
    ns_connection_drop_handed(connection);
}

static const struct ns_transport socket_transport = {socket_receive, socket_send, socket_want,
                                                     socket_close, NULL};

static void socket_event(struct ns_io *io, uint32_t events)
{
    ns_connection_event((struct ns_connection *)io, events);
}

int ns_connection_accept(struct ns_server *server, int fd, const struct ns_identity *who)
{
    struct ns_io io = {.fd = fd, .fn = socket_event};
    struct ns_connection *connection = ns_connection_new(server, &socket_transport, who);
    int error;

    if (connection == NULL)
        return -ENOMEM;
    connection->io = io;
    error = ns_loop_add(server->loop, &connection->io, EPOLLIN);
    if (error < 0) {
        connection->io.fd = -1; /* which the caller keeps */
        ns_connection_close(connection);
    }
    return error;
}
