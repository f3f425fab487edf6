/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The Xenstore wire protocol (docs/misc/xenstore.txt and io/xs_wire.h of the Xen tree): message
 * types, header, errors, and the shapes of payloads.
 *
 * A message is a header of four 32-bit words in host byte order and at most NS_WIRE_PAYLOAD_MAX
 * bytes. A reply carries the type, the request's number and the transaction of its request; a
 * refusal is of type NS_WIRE_ERROR and carries the name of an errno. Watch events carry zeros.
 *
 * Everything here is pure: bytes in, answer out, no state. Any thread.
 */
#ifndef KEDGE_NAMESERV_WIRE_H
#define KEDGE_NAMESERV_WIRE_H

#include <stddef.h>
#include <stdint.h>

enum ns_wire_type {
    NS_WIRE_CONTROL = 0,
    NS_WIRE_DIRECTORY = 1,
    NS_WIRE_READ = 2,
    NS_WIRE_GET_PERMS = 3,
    NS_WIRE_WATCH = 4,
    NS_WIRE_UNWATCH = 5,
    NS_WIRE_TRANSACTION_START = 6,
    NS_WIRE_TRANSACTION_END = 7,
    NS_WIRE_INTRODUCE = 8,
    NS_WIRE_RELEASE = 9,
    NS_WIRE_GET_DOMAIN_PATH = 10,
    NS_WIRE_WRITE = 11,
    NS_WIRE_MKDIR = 12,
    NS_WIRE_RM = 13,
    NS_WIRE_SET_PERMS = 14,
    NS_WIRE_WATCH_EVENT = 15,
    NS_WIRE_ERROR = 16,
    NS_WIRE_IS_DOMAIN_INTRODUCED = 17,
    NS_WIRE_RESUME = 18,
    NS_WIRE_SET_TARGET = 19,
    NS_WIRE_RESET_WATCHES = 21,
    NS_WIRE_DIRECTORY_PART = 22,
    NS_WIRE_GET_FEATURE = 23,
    NS_WIRE_SET_FEATURE = 24,
    NS_WIRE_GET_QUOTA = 25,
    NS_WIRE_SET_QUOTA = 26,
};

enum { NS_WIRE_HEADER_SIZE = 16, NS_WIRE_PAYLOAD_MAX = 4096 };
enum { NS_WIRE_MESSAGE_MAX = NS_WIRE_HEADER_SIZE + NS_WIRE_PAYLOAD_MAX };

/* Paths that do not start with '/' or '@' lie below this and the number of the client's domain, which is 0
 * for clients of a socket. */
#define NS_WIRE_HOME "/local/domain/"
enum { NS_WIRE_HOME_MAX = sizeof(NS_WIRE_HOME "65535/") - 1, NS_WIRE_RELATIVE_MAX = 2048 };

struct ns_wire_header {
    uint32_t type;
    uint32_t request; /* chosen by the client, echoed; 0 in events */
    uint32_t tx;      /* 0: no transaction; 0 in events */
    uint32_t size;    /* of the payload that follows */
};
_Static_assert(sizeof(struct ns_wire_header) == NS_WIRE_HEADER_SIZE,
               "the header as it is on the wire");

/* Look at the bytes received: the size of the first message, header included, and its header, once
 * the message is there whole; 0 if more bytes are needed; -EMSGSIZE as soon as the header announces
 * more than NS_WIRE_PAYLOAD_MAX bytes, after which the stream is of no use. */
int ns_wire_next(const void *bytes, size_t size, struct ns_wire_header *header);

/* The name that a (positive or negative) errno has on the wire. One that has none there gets that of
 * the nearest meaning, since clients take every unknown name for EINVAL. Never NULL. */
const char *ns_wire_error_name(int error);

/* The reverse, for the payload of an error reply: a negative errno; -EINVAL for an unknown name. */
int ns_wire_error_number(const char *payload, size_t size);

/* What a request's payload must look like; '|' is a NUL. */
enum ns_wire_shape {
    NS_WIRE_ANYTHING, /* ignored: "|", or nothing */
    NS_WIRE_STRING,   /* "text|": exactly one NUL, at the end */
    NS_WIRE_PAIR,     /* "text|text|": exactly two */
    NS_WIRE_VALUE,    /* "text|bytes": what follows the first NUL may be anything */
    NS_WIRE_LIST,     /* "text|text|...": at least two, and the last byte is a NUL */
    NS_WIRE_TEXTS,    /* "text|text|...": any number, none of them too */
};

struct ns_wire_arguments {
    const char *first; /* NUL-terminated; "" for NS_WIRE_ANYTHING */
    size_t first_size; /* without its NUL */
    const char *rest;  /* what follows the first NUL; a pair's is NUL-terminated */
    size_t rest_size;  /* all of it; without the last NUL for a pair */
    unsigned count;    /* of NS_WIRE_TEXTS, else 0 */
};

/* Take a payload apart; everything points into it. 0, or -EINVAL if it has not that shape. */
int ns_wire_parse(enum ns_wire_shape shape, const char *payload, size_t size,
                  struct ns_wire_arguments *arguments);

/* The text number `index` (from 0) of NS_WIRE_TEXTS; "" if there are not so many. */
const char *ns_wire_text(const struct ns_wire_arguments *arguments, unsigned index);

/* A decimal number and nothing else, of at most max. 0 or -EINVAL. */
int ns_wire_number(const char *text, uint64_t max, uint64_t *number);

/* The absolute form of a path as a client gives it: itself if it starts with '/' or '@', else below the
 * client's home, which ends with '/'. absolute has room for NS_PATH_MAX + 1 bytes and is NUL-terminated. Returns the size
 * without the NUL, or -EINVAL: empty or too long. What characters it may have is not judged here. */
int ns_wire_absolute(const char *home, size_t home_size, const char *path, size_t size,
                     char *absolute);

#endif
