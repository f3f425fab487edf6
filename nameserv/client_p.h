/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The inside of a client: for client.c, and for ring_client.c, which carries one over a ring page.
 *
 * Thread safety: as the client itself, one thread.
 */
#ifndef KEDGE_NAMESERV_CLIENT_P_H
#define KEDGE_NAMESERV_CLIENT_P_H

#include <stdbool.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "nameserv/client.h"
#include "nameserv/wire.h"

struct ns_guest_ring;

enum { NS_CLIENT_SEND_SIZE = 32 << 10, NS_CLIENT_RECEIVE_SIZE = 32 << 10 };

struct event {
    STAILQ_ENTRY(event) link;
    const char *token;
    char text[]; /* path, NUL, token, NUL */
};

/* What carries a client's bytes. receive and send don't wait: how many bytes, -EAGAIN or -EINTR, or another negative
 * errno, and then the connection is lost. wait: which of POLLIN and POLLOUT are possible; 0 if the time (-1: for ever)
 * is over, or -EINTR. */
struct ns_client_carrier {
    ssize_t (*receive)(struct ns_client *client, void *bytes, size_t room);
    ssize_t (*send)(struct ns_client *client, const void *bytes, size_t size);
    int (*wait)(struct ns_client *client, short events, int timeout_ms);
    void (*close)(struct ns_client *client);
};

struct ns_client {
    const struct ns_client_carrier *carrier;
    const struct ns_guest_ring *ring; /* the carrier's */
    int fd;                           /* to poll */
    bool lost;
    uint32_t sent, received; /* numbers of the last request and of the last reply taken */
    STAILQ_HEAD(, event) events;
    struct event *event; /* given out last */
    char *list;          /* one that came in parts */
    size_t send_size;
    char *in; /* received: from in_start to in_end */
    size_t in_start, in_end, in_room;
    char send[NS_CLIENT_SEND_SIZE];
    char reply[NS_WIRE_PAYLOAD_MAX + 1];
    char reason[NS_WIRE_PAYLOAD_MAX + 1];
};

/* A client over a carrier. NULL without memory. */
struct ns_client *ns_client_new(const struct ns_client_carrier *carrier, int fd);

/* Forget the events that were received and not taken. */
void ns_client_drop_events(struct ns_client *client);

#endif
