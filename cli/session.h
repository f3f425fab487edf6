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
    const char *noun;   /* that the command is about; NULL: about none */
    const char *socket; /* --socket, or NULL */
    bool json, applied, dependents, learned, once, svg;
    unsigned timeout_ms;  /* --timeout; 0: not given */
    unsigned interval_ms; /* --interval; 0: not given */
    struct ns_client *client;
};

/* Connect. False: said on stderr. */
bool session_open(struct session *session);
void session_close(struct session *session);

/* The path of the socket, for messages. */
const char *session_socket(const struct session *session);

/* Say a refusal on stderr: what was tried, and the daemon's sentence. Returns EXIT_REFUSED. */
int session_refused(struct session *session, const char *what, int error);

/* Say a refusal of our own on stderr. Returns EXIT_REFUSED. */
int refused(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The same of an object that is not there: "there is no port p9", and how to see those that are. */
int refused_absent(const char *noun, const char *sentence);

/* Say wrong usage on stderr. Returns EXIT_USAGE. */
int usage(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* From here on refusals and wrong usage are told as {"error": "the sentence"}, a line on stderr. */
void refuse_in_json(void);

/* For commands that go on until somebody ends them: SIGINT and SIGTERM end the program as a success. */
void end_on_signals(void);

int64_t now_ms(void);

/* malloc, or the end of the program. */
void *must(void *memory);
char *must_printf(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
