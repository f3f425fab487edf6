/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A client of the control socket.
 *
 * Requests are numbered, and each reply must carry the number of the oldest request that waits. What
 * is received is read ahead; events that come between replies are queued. While requests are being
 * sent replies are taken in as well: a server that stops reading because nobody reads its replies
 * would otherwise wait for us and we for it.
 */
#include "nameserv/client.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "nameserv/client_p.h"
#include "nameserv/wire.h"

#define DEFAULT_SOCKET "/run/kedge/kedged.sock"
#define REASON_PATH    "/stats/self/error"
/* ---- the connection ---- */

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd;

    if (strlen(path) >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    strcpy(address.sun_path, path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        int error = errno;

        close(fd);
        return -error;
    }
    return fd;
}

static ssize_t outcome(ssize_t size)
{
    return size > 0 ? size : size == 0 ? -EPIPE : -errno;
}

static ssize_t socket_receive(struct ns_client *client, void *bytes, size_t room)
{
    return outcome(recv(client->fd, bytes, room, MSG_DONTWAIT));
}

static ssize_t socket_send(struct ns_client *client, const void *bytes, size_t size)
{
    return outcome(send(client->fd, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT));
}

/* Not by a recv() that blocks: Linux wakes its caller also when the server reads the request, because there is room to
 * send then; that is before the reply, and for nothing. poll() tells what it was woken for. */
static int socket_wait(struct ns_client *client, short events, int timeout_ms)
{
    struct pollfd possible = {.fd = client->fd, .events = events};

    return poll(&possible, 1, timeout_ms) < 0 ? -errno : possible.revents;
}

static void socket_close(struct ns_client *client)
{
    close(client->fd);
}

static const struct ns_client_carrier socket_carrier = {socket_receive, socket_send, socket_wait,
                                                        socket_close};

struct ns_client *ns_client_new(const struct ns_client_carrier *carrier, int fd)
{
    struct ns_client *client = malloc(sizeof(*client));

    if (client == NULL)
        return NULL;
    memset(client, 0, offsetof(struct ns_client, send));
    client->carrier = carrier;
    client->fd = fd;
    STAILQ_INIT(&client->events);
    return client;
}

int ns_client_open(const char *path, struct ns_client **result)
{
    struct ns_client *client;
    int fd;

    if (path == NULL)
        path = getenv("KEDGE_SOCKET");
    fd = connect_to(path != NULL ? path : DEFAULT_SOCKET);
    if (fd < 0)
        return fd;
    client = ns_client_new(&socket_carrier, fd);
    if (client == NULL) {
        close(fd);
        return -ENOMEM;
    }
    *result = client;
    return 0;
}

void ns_client_drop_events(struct ns_client *client)
{
    struct event *event;

    while ((event = STAILQ_FIRST(&client->events)) != NULL) {
        STAILQ_REMOVE_HEAD(&client->events, link);
        free(event);
    }
}

void ns_client_close(struct ns_client *client)
{
    ns_client_drop_events(client);
    client->carrier->close(client);
    free(client->event);
    free(client->list);
    free(client->in);
    free(client);
}

int ns_client_fd(const struct ns_client *client)
{
    return client->fd;
}

static int lose(struct ns_client *client)
{
    client->lost = true;
    return -EPIPE;
}

/* ---- receiving ---- */

static int make_room(struct ns_client *client)
{
    size_t room = client->in_room > 0 ? client->in_room * 2 : NS_CLIENT_RECEIVE_SIZE;
    char *in;

    if (client->in_start > 0) {
        memmove(client->in, client->in + client->in_start, client->in_end - client->in_start);
        client->in_end -= client->in_start;
        client->in_start = 0;
    }
    if (client->in_end < client->in_room)
        return 0;
    in = realloc(client->in, room);
    if (in == NULL)
        return -ENOMEM;
    client->in = in;
    client->in_room = room;
    return 0;
}

/* Take what is there; 0 also if that is nothing. */
static int take_in(struct ns_client *client)
{
    ssize_t size;
    int error = make_room(client);

    if (error < 0)
        return error;
    size = client->carrier->receive(client, client->in + client->in_end,
                                    client->in_room - client->in_end);
    if (size > 0)
        client->in_end += (size_t)size;
    else if (size != -EINTR && size != -EAGAIN)
        return lose(client);
    return 0;
}

/* Wait until one of the events is possible, and take in what is there. 1, 0 if the time is over, or a
 * negative errno. */
static int wait_and_take(struct ns_client *client, short events, int timeout_ms)
{
    int possible = client->carrier->wait(client, events, timeout_ms);
    int error = 0;

    if (possible < 0 && possible != -EINTR)
        return lose(client);
    if (possible > 0 && (possible & ~POLLOUT) != 0)
        error = take_in(client);
    return error < 0 ? error : possible != 0;
}

static int queue_event(struct ns_client *client, const char *payload, size_t size)
{
    struct ns_wire_arguments arguments;
    struct event *event;

    if (ns_wire_parse(NS_WIRE_PAIR, payload, size, &arguments) < 0)
        return lose(client);
    event = malloc(sizeof(*event) + size);
    if (event == NULL)
        return -ENOMEM;
    memcpy(event->text, payload, size);
    event->token = event->text + arguments.first_size + 1;
    STAILQ_INSERT_TAIL(&client->events, event, link);
    return 0;
}

/* Take the first message that is there whole: 1 a reply (in client->reply), 2 an event (queued), 0
 * none, or a negative errno. */
static int take_message(struct ns_client *client, struct ns_wire_header *header)
{
    const char *bytes = client->in + client->in_start;
    int size = client->in_end == client->in_start
                   ? 0
                   : ns_wire_next(bytes, client->in_end - client->in_start, header);
    int error = 0;

    if (size < 0)
        return lose(client);
    if (size == 0)
        return 0;
    if (header->type == NS_WIRE_WATCH_EVENT) {
        error = queue_event(client, bytes + NS_WIRE_HEADER_SIZE, header->size);
    } else {
        memcpy(client->reply, bytes + NS_WIRE_HEADER_SIZE, header->size);
        client->reply[header->size] = '\0';
    }
    client->in_start += (size_t)size;
    if (client->in_start == client->in_end)
        client->in_start = client->in_end = 0;
    return error < 0 ? error : header->type == NS_WIRE_WATCH_EVENT ? 2 : 1;
}

/* ---- sending ---- */

static int flush(struct ns_client *client)
{
    size_t done = 0;
    int error = client->lost ? -EPIPE : 0;

    while (error == 0 && done < client->send_size) {
        ssize_t size = client->carrier->send(client, client->send + done, client->send_size - done);

        if (size >= 0)
            done += (size_t)size;
        else if (size == -EAGAIN)
            error = wait_and_take(client, POLLIN | POLLOUT, -1);
        else if (size != -EINTR)
            error = lose(client);
        if (error > 0)
            error = 0;
    }
    client->send_size = 0;
    return error;
}

_Static_assert((int)NS_CLIENT_PAYLOAD_MAX == (int)NS_WIRE_PAYLOAD_MAX,
               "client.h knows the wire's limit");

/* Queue a request whose payload comes in pieces. */
static int send_pieces(struct ns_client *client, uint32_t type, uint32_t tx,
                       const struct iovec *pieces, int count)
{
    struct ns_wire_header header = {.type = type, .tx = tx};
    size_t size = 0;
    int error;

    for (int i = 0; i < count; i++)
        size += pieces[i].iov_len;
    if (size > NS_WIRE_PAYLOAD_MAX)
        return -E2BIG;
    if (client->send_size + sizeof(header) + size > NS_CLIENT_SEND_SIZE &&
        (error = flush(client)) < 0)
        return error;
    header.request = ++client->sent;
    header.size = (uint32_t)size;
    memcpy(client->send + client->send_size, &header, sizeof(header));
    client->send_size += sizeof(header);
    for (int i = 0; i < count; i++) {
        if (pieces[i].iov_len > 0)
            memcpy(client->send + client->send_size, pieces[i].iov_base, pieces[i].iov_len);
        client->send_size += pieces[i].iov_len;
    }
    return 0;
}

int ns_client_send(struct ns_client *client, uint32_t type, uint32_t tx, const void *payload,
                   size_t size)
{
    struct iovec piece = {.iov_base = (void *)(uintptr_t)payload, .iov_len = size};

    return send_pieces(client, type, tx, &piece, 1);
}

int ns_client_receive(struct ns_client *client, const char **data, size_t *size)
{
    struct ns_wire_header header;
    int got, error;

    if (client->lost)
        return -EPIPE;
    if (client->sent == client->received)
        return -EINVAL; /* nothing was asked */
    error = flush(client);
    if (error < 0)
        return error;
    while ((got = take_message(client, &header)) != 1) {
        if (got == 0)
            got = wait_and_take(client, POLLIN, -1);
        if (got < 0)
            return got;
    }
    if (header.request != ++client->received)
        return lose(client);
    if (header.type == NS_WIRE_ERROR)
        return ns_wire_error_number(client->reply, header.size);
    *data = client->reply;
    *size = header.size;
    return 0;
}

/* ---- calls ---- */

static int call_pieces(struct ns_client *client, uint32_t type, uint32_t tx,
                       const struct iovec *pieces, int count, const char **data, size_t *size)
{
    int error;

    if (client->lost)
        return -EPIPE;
    if (client->sent != client->received)
        return -EBUSY;
    error = send_pieces(client, type, tx, pieces, count);
    return error < 0 ? error : ns_client_receive(client, data, size);
}

/* A request of one or two texts (second NULL: one). */
static int call_texts(struct ns_client *client, uint32_t type, uint32_t tx, const char *first,
                      const char *second, const char **data, size_t *size)
{
    struct iovec pieces[2] = {{(void *)(uintptr_t)first, strlen(first) + 1}};

    if (second != NULL)
        pieces[1] = (struct iovec){(void *)(uintptr_t)second, strlen(second) + 1};
    return call_pieces(client, type, tx, pieces, second != NULL ? 2 : 1, data, size);
}

/* A request of a text and bytes. */
static int call_bytes(struct ns_client *client, uint32_t type, uint32_t tx, const char *path,
                      const void *bytes, size_t count)
{
    struct iovec pieces[2] = {{(void *)(uintptr_t)path, strlen(path) + 1},
                              {(void *)(uintptr_t)bytes, count}};
    const char *data;
    size_t size;

    return call_pieces(client, type, tx, pieces, 2, &data, &size);
}

int ns_client_read(struct ns_client *client, uint32_t tx, const char *path, const char **value,
                   size_t *size)
{
    return call_texts(client, NS_WIRE_READ, tx, path, NULL, value, size);
}

/* Add the names of one reply to DIRECTORY_PART to client->list. 1: that was the last part. */
static int add_part(struct ns_client *client, const char *part, size_t part_size, size_t *size)
{
    const char *names = part + strlen(part) + 1;
    size_t count = (size_t)(part + part_size - names);
    bool last;
    char *list;

    if (strlen(part) >= part_size || count == 0)
        return lose(client);
    last = names[count - 1] == '\0' && (count == 1 || names[count - 2] == '\0');
    count -= last;
    list = realloc(client->list, *size + count + 1);
    if (list == NULL)
        return -ENOMEM;
    client->list = list;
    memcpy(list + *size, names, count);
    *size += count;
    list[*size] = '\0';
    return last;
}

/* A list that fits in no reply. It is begun anew when it changes while we fetch it. */
static int list_in_parts(struct ns_client *client, uint32_t tx, const char *path, size_t *size)
{
    char generation[32] = "", offset[24];
    const char *part;
    size_t part_size;
    int got = 0;

    *size = 0;
    while (got == 0) {
        snprintf(offset, sizeof(offset), "%zu", *size);
        got = call_texts(client, NS_WIRE_DIRECTORY_PART, tx, path, offset, &part, &part_size);
        if (got < 0)
            return got;
        if (*size > 0 && strcmp(part, generation) != 0) {
            *size = 0;
            continue;
        }
        strncpy(generation, part, sizeof(generation) - 1);
        got = add_part(client, part, part_size, size);
    }
    return got < 0 ? got : 0;
}

int ns_client_list(struct ns_client *client, uint32_t tx, const char *path, const char **names,
                   size_t *size)
{
    int error = call_texts(client, NS_WIRE_DIRECTORY, tx, path, NULL, names, size);

    if (error != -E2BIG)
        return error;
    error = list_in_parts(client, tx, path, size);
    *names = client->list;
    return error;
}

int ns_client_write(struct ns_client *client, uint32_t tx, const char *path, const void *value,
                    size_t size)
{
    return call_bytes(client, NS_WIRE_WRITE, tx, path, value, size);
}

int ns_client_mkdir(struct ns_client *client, uint32_t tx, const char *path)
{
    return call_bytes(client, NS_WIRE_MKDIR, tx, path, NULL, 0);
}

int ns_client_remove(struct ns_client *client, uint32_t tx, const char *path)
{
    return call_bytes(client, NS_WIRE_RM, tx, path, NULL, 0);
}

int ns_client_get_perms(struct ns_client *client, uint32_t tx, const char *path, const char **perms,
                        size_t *size)
{
    return call_texts(client, NS_WIRE_GET_PERMS, tx, path, NULL, perms, size);
}

int ns_client_set_perms(struct ns_client *client, uint32_t tx, const char *path, const char *perms,
                        size_t size)
{
    return call_bytes(client, NS_WIRE_SET_PERMS, tx, path, perms, size);
}

int ns_client_begin(struct ns_client *client, uint32_t *tx)
{
    const char *data;
    uint64_t number;
    size_t size;
    int error = call_texts(client, NS_WIRE_TRANSACTION_START, 0, "", NULL, &data, &size);

    if (error == 0 && ns_wire_number(data, UINT32_MAX, &number) < 0)
        error = lose(client);
    if (error == 0)
        *tx = (uint32_t)number;
    return error;
}

int ns_client_end(struct ns_client *client, uint32_t tx, int commit)
{
    return call_bytes(client, NS_WIRE_TRANSACTION_END, tx, commit ? "T" : "F", NULL, 0);
}

int ns_client_watch(struct ns_client *client, const char *path, const char *token)
{
    return call_bytes(client, NS_WIRE_WATCH, 0, path, token, strlen(token) + 1);
}

int ns_client_unwatch(struct ns_client *client, const char *path, const char *token)
{
    return call_bytes(client, NS_WIRE_UNWATCH, 0, path, token, strlen(token) + 1);
}

const char *ns_client_reason(struct ns_client *client)
{
    const char *text = "";
    size_t size = 0;

    client->reason[0] = '\0';
    if (ns_client_read(client, 0, REASON_PATH, &text, &size) == 0)
        memcpy(client->reason, text, size + 1);
    return client->reason;
}

/* ---- events ---- */

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Wait for bytes until the deadline (-1: for ever) and take them in: 1, 0 in time none, or an error. */
static int wait_for_bytes(struct ns_client *client, int64_t deadline)
{
    int64_t left = deadline < 0 ? -1 : deadline - now_ms();
    int got = wait_and_take(client, POLLIN, deadline >= 0 && left < 0 ? 0 : (int)left);

    return got != 0 || deadline < 0 || now_ms() < deadline ? (got < 0 ? got : 1) : 0;
}

int ns_client_event(struct ns_client *client, int timeout_ms, const char **path, const char **token)
{
    int64_t deadline = timeout_ms < 0 ? -1 : now_ms() + timeout_ms;
    struct ns_wire_header header;
    int got;

    if (client->lost)
        return -EPIPE;
    if (client->sent != client->received)
        return -EBUSY; /* replies have to be taken first */
    while (STAILQ_EMPTY(&client->events)) {
        got = take_message(client, &header);
        if (got == 1)
            return lose(client); /* a reply to nothing */
        if (got == 0 && (got = wait_for_bytes(client, deadline)) == 0)
            return 0;
        if (got < 0)
            return got;
    }
    free(client->event);
    client->event = STAILQ_FIRST(&client->events);
    STAILQ_REMOVE_HEAD(&client->events, link);
    *path = client->event->text;
    *token = client->event->token;
    return 1;
}
