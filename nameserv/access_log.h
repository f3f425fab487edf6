/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The access log: a line for each operation of a client, apart from the daemon's own log.
 *
 *     [20261126T01:20:33.123Z] D3.17        write     /local/domain/3/data hello
 *
 * Time (UTC), who (D and a domain's number, or A and a number of a connection to the socket), the
 * transaction if there is one, what, the name, and what was given. Bytes that can't be printed are
 * shown as '?', and those that separate texts as blanks; a line is cut at NS_ACCESS_LOG_LINE bytes,
 * and then ends with "...". Besides the operations there are
 *
 *     newconn, endconn     a client came, went
 *     commit, conflict     a transaction ended well, or with EAGAIN
 *     event                a watch event was sent: its name, its token
 *     error                an operation was refused, apart from ENOENT: the error, the name
 *
 * Off unless it has a place to go to. Then everything is logged but what has a switch: reads, transactions (start
 * and abort), specials (domains, features, quotas, CONTROL). It can be restricted to some mounts.
 *
 * Lines are written by a thread (nameserv/log_file.h); no reply waits for it.
 *
 * Thread safety: the control core, but for ns_access_log_reopen().
 */
#ifndef KEDGE_NAMESERV_ACCESS_LOG_H
#define KEDGE_NAMESERV_ACCESS_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nameserv/log_file.h"

enum { NS_ACCESS_LOG_LINE = 180 };

struct ns_access_log;
struct ns_call;
struct ns_connection;
struct ns_store;

struct ns_access_log_options {
    const char *where;  /* a file, or syslog:FACILITY; NULL = off at first */
    const char *mounts; /* paths of the mounts that are logged, separated by commas; NULL = all */
    struct ns_log_file_options file;
    bool reads, transactions, specials;
};

/* Open it. 0, -ENOENT (the store has no mount of that path), or as ns_log_file_open(). */
int ns_access_log_open(struct ns_store *store, const struct ns_access_log_options *options,
                       struct ns_access_log **log);
void ns_access_log_close(struct ns_access_log *log);

/* Go on in another file or syslog facility, with all that came before in the old one; NULL: off. As ns_log_file_open(), and then nothing has changed. */
int ns_access_log_move(struct ns_access_log *log, const char *where);

/* The path anew, after somebody has moved the file. Any thread, and signal handlers. */
void ns_access_log_reopen(struct ns_access_log *log);

/* Turn a switch on or off: "access" (everything), "reads", "transactions", "specials". -EINVAL: there
 * is no such switch. */
int ns_access_log_switch(struct ns_access_log *log, const char *name, bool on);

/* The names of all switches, each with "+" (on) or "-" before it, separated by blanks. */
void ns_access_log_switches(const struct ns_access_log *log, char *text, size_t size);

/* Where it goes; NULL: off. */
const char *ns_access_log_where(const struct ns_access_log *log);

/* Of the place that it goes to now; zeros if it is off. */
void ns_access_log_counters(const struct ns_access_log *log, struct ns_log_file_counters *out);

/* ---- for the server; log may be NULL in all of them ---- */

/* An operation was run, and answered with error (0 or a negative errno). */
void ns_access_log_operation(struct ns_access_log *log, const struct ns_call *call, int error);

/* A watch event is being sent. */
void ns_access_log_event(struct ns_access_log *log, const struct ns_connection *connection,
                         const char *path, const char *token);

/* A client came or went. */
void ns_access_log_client(struct ns_access_log *log, const struct ns_connection *connection,
                          bool came);

#endif
