/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The floor of the name service's figures: a server that does nothing. It takes what is there, finds
 * the messages in it, answers each WRITE with "OK", every other one with a value of 16 bytes, and
 * sends all answers with one call: epoll_wait, recv, send. A server that reads in this way can not be quicker.
 *
 *     build/bench/floor SOCKET
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "nameserv/wire.h"

enum { CLIENTS_MAX = 16, INPUT_SIZE = 64 << 10, EVENTS_A_ROUND = 16 };

struct client {
    int fd;
    size_t size; /* of the input that is not answered yet */
    char input[INPUT_SIZE];
};

static char output[INPUT_SIZE * 4];

static void fail(const char *what)
{
    perror(what);
    exit(EXIT_FAILURE);
}

/* Answer the whole messages; what is left moves to the front. */
static size_t answer(struct client *client)
{
    struct ns_wire_header header;
    size_t used = 0, answered = 0;
    int size;

    while ((size = ns_wire_next(client->input + used, client->size - used, &header)) > 0) {
        const char *payload = header.type == NS_WIRE_WRITE ? "OK" : "0123456789abcdef";

        header.size = header.type == NS_WIRE_WRITE ? 3 : 16;
        memcpy(output + answered, &header, sizeof(header));
        memcpy(output + answered + sizeof(header), payload, header.size);
        answered += sizeof(header) + header.size;
        used += (size_t)size;
    }
    memmove(client->input, client->input + used, client->size - used);
    client->size -= used;
    return answered;
}

static void serve(struct client *client)
{
    ssize_t got = recv(client->fd, client->input + client->size, INPUT_SIZE - client->size, 0);
    size_t size;

    if (got <= 0) {
        close(client->fd);
        free(client);
        return;
    }
    client->size += (size_t)got;
    size = answer(client);
    if (size > 0 && send(client->fd, output, size, MSG_NOSIGNAL) < 0)
        perror("send");
}

static void admit(int epoll, int listener)
{
    struct client *client = malloc(sizeof(*client));
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};

    if (client == NULL)
        fail("malloc");
    client->size = 0;
    client->fd = accept(listener, NULL, NULL);
    if (client->fd < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, client->fd, &event) < 0)
        fail("accept");
}

static int listen_on(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    if (fd < 0 || strlen(path) >= sizeof(address.sun_path))
        fail(path);
    strcpy(address.sun_path, path);
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, CLIENTS_MAX) < 0)
        fail(path);
    return fd;
}

int main(int argc, char **argv)
{
    struct epoll_event events[EVENTS_A_ROUND], event = {.events = EPOLLIN, .data.ptr = NULL};
    int epoll = epoll_create1(0), listener;

    if (argc != 2) {
        fprintf(stderr, "usage: floor SOCKET\n");
        return 2;
    }
    listener = listen_on(argv[1]);
    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) < 0)
        fail("epoll");
    for (;;) {
        int count = epoll_wait(epoll, events, EVENTS_A_ROUND, -1);

        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr == NULL)
                admit(epoll, listener);
            else
                serve(events[i].data.ptr);
        }
    }
}
