/* SPDX-License-Identifier: BSD-3-Clause */
/* One run of kedgectl: its flags, its connection, and how a refusal is told. Single-threaded. */
#ifndef KEDGE_CLI_SESSION_H
#define KEDGE_CLI_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nameserv/client.h"

enum { EXIT_DONE = 0, EXIT_REFUSED = 1, EXIT_USAGE = 2 };

struct session {
    const char *socket; /* --socket, or NULL */
    bool json, applied, dependents, learned, once;
    unsigned timeout;  /* seconds: --timeout; 0: not given */
    unsigned interval; /* seconds: --interval */
    struct ns_client *client;
};

/* Connect. False: said on stderr. */
bool session_open(struct session *session);
void session_close(struct session *session);

/* Say a refusal on stderr: what was tried, and the daemon's sentence. Returns EXIT_REFUSED. */
int session_refused(struct session *session, const char *what, int error);

/* Say wrong usage on stderr. Returns EXIT_USAGE. */
int usage(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Read a name into malloc'ed memory; NULL if it is absent or can't be read. */
char *session_read(struct session *session, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The children of a name, as a NULL-terminated array in one malloc'ed block; empty if it is absent. NULL:
 * an error, said on stderr. */
char **session_list(struct session *session, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* malloc, or the end of the program. */
void *must(void *memory);
char *must_printf(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
