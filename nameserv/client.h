/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A client of the control socket (or of any Xenstore socket), for kedgectl and others.
 *
 * Blocking, one thread a client. Calls are one round trip each; ns_client_send() and
 * ns_client_receive() pipeline.
 */
#ifndef KEDGE_NAMESERV_CLIENT_H
#define KEDGE_NAMESERV_CLIENT_H

#include <stddef.h>
#include <stdint.h>

struct ns_client;

/* Bytes of one request, and of one reply: of a write, the path, a NUL and the value. */
enum { NS_CLIENT_PAYLOAD_MAX = 4096 };

/* Connect. path NULL: $KEDGE_SOCKET, else /run/kedge/kedged.sock. 0 or a negative errno. */
int ns_client_open(const char *path, struct ns_client **client);
void ns_client_close(struct ns_client *client);

/* The socket, to poll for events. */
int ns_client_fd(const struct ns_client *client);

/* Each answers 0 or a negative errno as the server named it; -EPIPE if the connection is lost; -E2BIG, and
 * nothing is sent, if the request would be larger than NS_CLIENT_PAYLOAD_MAX. tx is a
 * transaction's id, or 0. Data is NUL-terminated besides, belongs to the client, and is valid until
 * the next call. */
int ns_client_read(struct ns_client *client, uint32_t tx, const char *path, const char **value,
                   size_t *size);
int ns_client_list(struct ns_client *client, uint32_t tx, const char *path, const char **names,
                   size_t *size);
int ns_client_write(struct ns_client *client, uint32_t tx, const char *path, const void *value,
                    size_t size);
int ns_client_mkdir(struct ns_client *client, uint32_t tx, const char *path);
int ns_client_remove(struct ns_client *client, uint32_t tx, const char *path);
int ns_client_get_perms(struct ns_client *client, uint32_t tx, const char *path, const char **perms,
                        size_t *size);
int ns_client_set_perms(struct ns_client *client, uint32_t tx, const char *path, const char *perms,
                        size_t size);
int ns_client_begin(struct ns_client *client, uint32_t *tx);
int ns_client_end(struct ns_client *client, uint32_t tx, int commit);
int ns_client_watch(struct ns_client *client, const char *path, const char *token);
int ns_client_unwatch(struct ns_client *client, const char *path, const char *token);

/* The next watch event; blocks up to timeout_ms (-1: for ever). 1 an event, 0 none in time, or a
 * negative errno. */
int ns_client_event(struct ns_client *client, int timeout_ms, const char **path,
                    const char **token);

/* The sentence that explains the last refusal: a read of /stats/self/error; "" if there is none. */
const char *ns_client_reason(struct ns_client *client);

/* Pipelining: queue a request (sent when the buffer is full, or by receive), and take the next reply
 * in order. type as in xs_wire.h. receive answers 0 or the error of that reply. */
int ns_client_send(struct ns_client *client, uint32_t type, uint32_t tx, const void *payload,
                   size_t size);
int ns_client_receive(struct ns_client *client, const char **data, size_t *size);

#endif
