/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A client of the control socket, or of any Xenstore socket (XENSTORED_PATH of the stock tools): what
 * kedgectl is made of. docs/examples has two programs that use it: watch.c and pipeline.c.
 *
 *     struct ns_client *client;
 *     const char *value;
 *     size_t size;
 *
 *     if (ns_client_open(NULL, &client) == 0 &&
 *         ns_client_read(client, 0, "/neigh/br0/10.0.0.5", &value, &size) == 0)
 *             puts(value);
 *
 * CALLS. Each of the calls below is one round trip: it blocks until its answer is there. PATHS are as
 * xenstore.txt has them: absolute, or relative to /local/domain/0. Values are bytes, and may contain
 * NULs; size is without the NUL that always follows them for convenience.
 *
 * ANSWERS. 0, or a negative errno: that which the server named (-ENOENT, -EACCES, -EAGAIN, ...;
 * ns_client_reason() gives the sentence to it), -EPIPE once the connection is lost, -ENOMEM, -E2BIG for
 * a request of more than NS_CLIENT_PAYLOAD_MAX, which was not sent, and -EBUSY for a call while answers of the
 * pipeline wait. After -EPIPE all that is left is ns_client_close().
 *
 * MEMORY. What a call hands out (values, lists, events) belongs to the client and is valid until the next
 * call. The client keeps what was received and not asked for yet: events without limit, so who watches
 * should take them.
 *
 * TRANSACTIONS. ns_client_begin() gives a number, which the calls take as tx (0: none). One that ends in
 * -EAGAIN has changed nothing; do all of it again, reads included.
 *
 * WATCHES. A new one fires once at once, for its own path. An event says which name has changed, not how;
 * several changes may be one event. Events come in between the answers of calls, and wait for
 * ns_client_event(). To wait for other things as well, poll ns_client_fd() for input, and then take
 * events with a time of 0 until there is none; and do the same before the first poll and after calls, since
 * what they have read ahead is not seen by poll.
 *
 * PIPELINING. ns_client_send() queues a request and ns_client_receive() takes the next answer; answers come
 * in the order of the requests, and each has to be taken. While it sends, the client also takes in what
 * comes, so neither side waits for the other however many requests are on the way; but their answers
 * are kept in memory. A batch of 64 requests costs little more than one.
 *
 * Thread safety: none; a client belongs to one thread at a time. SIGPIPE is never raised.
 */
#ifndef KEDGE_NAMESERV_CLIENT_H
#define KEDGE_NAMESERV_CLIENT_H

#include <stddef.h>
#include <stdint.h>

struct ns_client;

/* Bytes of one request, and of one reply: of a write, the path, a NUL and the value. */
enum { NS_CLIENT_PAYLOAD_MAX = 4096 };

/* Connect. path NULL: $KEDGE_SOCKET, else /run/kedge/kedged.sock. 0, or a negative errno of connect(2):
 * -ENOENT and -ECONNREFUSED if nobody listens, -EACCES; -ENAMETOOLONG, -ENOMEM. */
int ns_client_open(const char *path, struct ns_client **client);

/* Close the connection; its watches and open transactions end with it. */
void ns_client_close(struct ns_client *client);

/* The socket, to poll for events. */
int ns_client_fd(const struct ns_client *client);

/* A value; -ENOENT if there is no such name. */
int ns_client_read(struct ns_client *client, uint32_t tx, const char *path, const char **value,
                   size_t *size);

/* The names of the children, each NUL-terminated, in byte order; size counts all of them. A list of
 * any length: one that fits in no answer is fetched in parts. */
int ns_client_list(struct ns_client *client, uint32_t tx, const char *path, const char **names,
                   size_t *size);

/* Write a value; a missing name is created, and those above it. */
int ns_client_write(struct ns_client *client, uint32_t tx, const char *path, const void *value,
                    size_t size);

/* Create a name with an empty value, unless it is there. */
int ns_client_mkdir(struct ns_client *client, uint32_t tx, const char *path);

/* Remove a name and all below it. A name that is not there is no error if the one above it is. */
int ns_client_remove(struct ns_client *client, uint32_t tx, const char *path);

/* Permissions, as on the wire: texts of a letter (n none, r read, w write, b both) and a number, each
 * NUL-terminated; the first is the owner, with what all others may. */
int ns_client_get_perms(struct ns_client *client, uint32_t tx, const char *path, const char **perms,
                        size_t *size);
int ns_client_set_perms(struct ns_client *client, uint32_t tx, const char *path, const char *perms,
                        size_t size);

/* Start a transaction, and end it; commit 0 drops it. -EAGAIN: somebody has changed what it read. */
int ns_client_begin(struct ns_client *client, uint32_t *tx);
int ns_client_end(struct ns_client *client, uint32_t tx, int commit);

/* Watch a name and all below it; events carry the token. -EEXIST if it is watched with this token. */
int ns_client_watch(struct ns_client *client, const char *path, const char *token);
int ns_client_unwatch(struct ns_client *client, const char *path, const char *token);

/* The next watch event; blocks up to timeout_ms (-1: for ever; 0: not at all). 1 an event, 0 none in
 * time, or a negative errno. */
int ns_client_event(struct ns_client *client, int timeout_ms, const char **path,
                    const char **token);

/* The sentence that explains the last refusal: a read of /stats/self/error, which is kedged's; "" if
 * there is none. */
const char *ns_client_reason(struct ns_client *client);

/* Pipelining: queue a request of any type (enum ns_wire_type, nameserv/wire.h) with its payload as on the
 * wire, which is copied. It is sent when enough are queued, or by receive. 0, -E2BIG, -ENOMEM, -EPIPE. */
int ns_client_send(struct ns_client *client, uint32_t type, uint32_t tx, const void *payload,
                   size_t size);

/* Take the answer of the oldest request that has none yet: 0 and its payload, or its error. -EINVAL if
 * there is no such request. */
int ns_client_receive(struct ns_client *client, const char **data, size_t *size);

#endif
