/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A connection over a UNIX stream socket.
 */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "nameserv/connection.h"

/* What an interrupted call means is the same as that nothing was there. */
static ssize_t outcome(ssize_t size)
{
    return size >= 0 ? size : errno == EINTR ? -EAGAIN : -errno;
}

static ssize_t socket_receive(struct ns_connection *connection, void *bytes, size_t room)
{
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
}

static const struct ns_transport socket_transport = {socket_receive, socket_send, socket_want,
                                                     socket_close};

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
