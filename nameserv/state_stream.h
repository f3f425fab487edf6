/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The state that one daemon hands to the next: a stream of records with a version.
 *
 *     header   8 bytes "kedgelu\n", u32 version, u32 0x01020304 (the byte order of the machine)
 *     record   u32 type, u32 size of the body, body, zeros up to a multiple of 8
 *     body     the numbers of its type (u64 each), the sizes of its texts (u32 each), the texts
 *
 * The last record is END; it has the number of records before it and a checksum of all their bytes. A
 * type that is unknown, or whose body is not as its type says, is an error: a newer daemon that adds
 * something raises the version, and reads the older ones, whose types are as they were.
 *
 * Everything here is pure: bytes in, records out. Any thread.
 */
#ifndef KEDGE_NAMESERV_STATE_STREAM_H
#define KEDGE_NAMESERV_STATE_STREAM_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { NS_STATE_VERSION = 2, NS_STATE_NUMBERS = 7, NS_STATE_TEXTS = 3 };

enum ns_state_type {
    NS_STATE_GLOBAL = 1, /* numbers: last commit, listening descriptor, lock's descriptor. First */
    NS_STATE_NODE = 2,   /* texts: path, permissions as on the wire, value. Parents first */
    NS_STATE_CONNECTION =
        3,                /* numbers: descriptor, or NS_STATE_NONE for that of the ring before it,
                                NS_STATE_ENDED, last transaction's number; texts: input that was
                                not run, output that was not sent */
    NS_STATE_WATCH = 4,   /* of the connection before it. Numbers: levels (struct ns_watch). Texts:
                                path as given, token */
    NS_STATE_EVENT = 5,   /* not sent yet. Texts: its watch's path and token, its path */
    NS_STATE_TXN = 6,     /* a transaction that was open. Numbers: its number */
    NS_STATE_END = 7,     /* numbers: records, checksum */
    NS_STATE_SPECIAL = 8, /* texts: name, permissions */
    NS_STATE_DOMAIN = 9,  /* numbers: domid, features, NS_STATE_INTRODUCED and so on, page, event
                                channel, domid of the target */
    NS_STATE_QUOTAS = 10, /* that were set at run time. Texts: name, limits (nameserv/account.h) */
    /* since version 2 */
    NS_STATE_RING = 11, /* numbers: domid, descriptor of the connection that answers for the guest,
                           number of its page, NS_HANDED_MAX descriptors as with INTRODUCE. Its
                           connection comes next, unless the guest is ignored; after all sockets */
    NS_STATE_HANDED = 12, /* of the connection before it, for its next INTRODUCE. Numbers:
                             NS_HANDED_MAX descriptors */
    NS_STATE_SOCKET = 13, /* text: path of the control socket */
};

#define NS_STATE_NONE UINT64_MAX /* no descriptor */

enum { NS_STATE_ENDED = 1 }; /* the client will send nothing more */
enum { NS_STATE_INTRODUCED = 1, NS_STATE_SHUTDOWN = 2, NS_STATE_TARGET = 4 }; /* a domain */

struct ns_state_text {
    const char *bytes; /* not NUL-terminated */
    size_t size;
};

struct ns_state_record {
    enum ns_state_type type;
    uint64_t numbers[NS_STATE_NUMBERS];
    struct ns_state_text texts[NS_STATE_TEXTS];
};

struct ns_state_writer {
    FILE *stream;
    uint64_t records, sum;
    int error; /* the first, negative; then nothing is written any more */
};

/* Begin with the header; write records; end. */
void ns_state_begin(struct ns_state_writer *writer, FILE *stream);
void ns_state_write(struct ns_state_writer *writer, const struct ns_state_record *record);
/* 0, or the first error. */
int ns_state_end(struct ns_state_writer *writer);

struct ns_state_reader {
    const char *bytes;
    size_t size, at;
    uint64_t records, sum;
};

/* 0; -EINVAL: it is no such stream, or of another version or machine. bytes must be aligned to 8. */
int ns_state_open(struct ns_state_reader *reader, const void *bytes, size_t size);

/* 1: a record, whose texts point into the stream; 0: the end, and all was as it was written; -EINVAL. */
int ns_state_read(struct ns_state_reader *reader, struct ns_state_record *record);

#endif
