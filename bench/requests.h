/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Raw requests on a Xenstore socket, for bench/names_client.c: bytes out, messages in, and no more
 * than that, so that what is measured is the server. Whatever goes wrong ends the program.
 */
#ifndef KEDGE_BENCH_REQUESTS_H
#define KEDGE_BENCH_REQUESTS_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "bench/machine.h"
#include "nameserv/wire.h"

enum { INPUT_SIZE = 256 << 10, BATCH_SIZE = 512 << 10 };

struct link {
    int fd;
    size_t start, end; /* of what was received and not yet taken */
    char input[INPUT_SIZE];
};

/* Requests that are sent at once. */
struct batch {
    size_t size;
    unsigned count;
    char bytes[BATCH_SIZE];
};

__attribute__((noreturn, format(printf, 1, 2))) static inline void die(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(EXIT_FAILURE);
}

static inline struct link *link_open(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct link *link = calloc(1, sizeof(*link));

    if (link == NULL || strlen(path) >= sizeof(address.sun_path))
        die("%s: too long", path);
    strcpy(address.sun_path, path);
    link->fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (link->fd < 0 || connect(link->fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        die("%s: no server answers", path);
    return link;
}

static inline void link_close(struct link *link)
{
    close(link->fd);
    free(link);
}

static inline void batch_reset(struct batch *batch)
{
    batch->size = 0;
    batch->count = 0;
}

/* A request of a text, its NUL, and more bytes. */
static inline void batch_add(struct batch *batch, uint32_t type, uint32_t tx, const char *text,
                             const void *more, size_t more_size)
{
    size_t text_size = strlen(text) + 1;
    struct ns_wire_header header = {
        .type = type, .tx = tx, .size = (uint32_t)(text_size + more_size)};

    if (batch->size + sizeof(header) + header.size > BATCH_SIZE)
        die("a batch of more than %d bytes", BATCH_SIZE);
    memcpy(batch->bytes + batch->size, &header, sizeof(header));
    batch->size += sizeof(header);
    memcpy(batch->bytes + batch->size, text, text_size);
    batch->size += text_size;
    if (more_size > 0)
        memcpy(batch->bytes + batch->size, more, more_size);
    batch->size += more_size;
    batch->count++;
}

static inline void batch_send(struct link *link, const struct batch *batch)
{
    size_t done = 0;

    while (done < batch->size) {
        ssize_t sent = send(link->fd, batch->bytes + done, batch->size - done, MSG_NOSIGNAL);

        if (sent < 0)
            die("the server has closed the connection");
        done += (size_t)sent;
    }
}

/* The next message; payload is valid until the next call. */
static inline const char *link_message(struct link *link, struct ns_wire_header *header)
{
    int size;

    while ((size = ns_wire_next(link->input + link->start, link->end - link->start, header)) == 0) {
        ssize_t got;

        if (INPUT_SIZE - link->end < NS_WIRE_MESSAGE_MAX) {
            memmove(link->input, link->input + link->start, link->end - link->start);
            link->end -= link->start;
            link->start = 0;
        }
        got = recv(link->fd, link->input + link->end, INPUT_SIZE - link->end, 0);
        if (got <= 0)
            die("the server has closed the connection");
        link->end += (size_t)got;
    }
    if (size < 0)
        die("a message of more than %d bytes", NS_WIRE_PAYLOAD_MAX);
    link->start += (size_t)size;
    if (link->start == link->end) {
        const char *payload = link->input + link->start - header->size;

        link->start = link->end = 0; /* what was taken stays there until more is received */
        return payload;
    }
    return link->input + link->start - header->size;
}

/* The next reply; events are passed over, and errors end the program. */
static inline const char *link_reply(struct link *link, struct ns_wire_header *header)
{
    const char *payload;

    do
        payload = link_message(link, header);
    while (header->type == NS_WIRE_WATCH_EVENT);
    if (header->type == NS_WIRE_ERROR)
        die("refused: %.*s", (int)header->size, payload);
    return payload;
}

static inline void link_replies(struct link *link, unsigned count)
{
    struct ns_wire_header header;

    while (count-- > 0)
        link_reply(link, &header);
}

/* Send, and take the reply of each. */
static inline void batch_run(struct link *link, const struct batch *batch)
{
    batch_send(link, batch);
    link_replies(link, batch->count);
}

static inline void request(struct link *link, struct batch *batch, uint32_t type, const char *text,
                           const void *more, size_t more_size)
{
    batch_reset(batch);
    batch_add(batch, type, 0, text, more, more_size);
    batch_run(link, batch);
}

#endif
