/* SPDX-License-Identifier: BSD-3-Clause */
#include "cli/session.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/json.h"
#include "cli/text.h"

const char *session_socket(const struct session *session)
{
    const char *name = session->socket != NULL ? session->socket : getenv("KEDGE_SOCKET");

    return name != NULL ? name : "/run/kedge/kedged.sock";
}

bool session_open(struct session *session)
{
    int rc = ns_client_open(session->socket, &session->client);

    if (rc == 0)
        return true;
    refused("no daemon at %s: %s%s", session_socket(session), strerror(-rc),
            rc == -EACCES
                ? ""
                : "; is kedged running, and is this its socket (--socket, KEDGE_SOCKET)?");
    return false;
}

void session_close(struct session *session)
{
    if (session->client != NULL)
        ns_client_close(session->client);
    session->client = NULL;
}

static bool ends_with(const char *text, const char *end)
{
    size_t size = strlen(text), end_size = strlen(end);

    return size >= end_size && strcmp(text + size - end_size, end) == 0;
}

int session_refused(struct session *session, const char *what, int error)
{
    const char *reason = error == -EPIPE ? "" : ns_client_reason(session->client);

    if (error == -EPIPE)
        return refused("the daemon has closed the connection");
    /* The same as of an object; whoever computes a name may know more than that it is not there. */
    if (error == -ENOENT && *what == '/' && (*reason == '\0' || ends_with(reason, "no such name")))
        return refused("there is no %s", what);
    /* The daemon's sentences begin with the name that they are about. */
    if (*reason != '\0' && strncmp(reason, what, strlen(what)) == 0)
        return refused("%s", reason);
    return refused("%s%s%s", what, *what == '\0' ? "" : ": ",
                   *reason != '\0' ? reason : strerror(-error));
}

static bool in_json;

void refuse_in_json(void)
{
    in_json = true;
}

/* A refusal for lack of memory is told by must(), so none is needed for its sentence. */
static void say(const char *format, va_list args)
{
    char text[8192]; /* a path and a sentence */

    vsnprintf(text, sizeof(text), format, args);
    if (!in_json) {
        fputs("kedgectl: ", stderr);
        text_print_string(stderr, text);
        fputc('\n', stderr);
        return;
    }
    fputs("{\"error\": ", stderr);
    json_string(stderr, text);
    fputs("}\n", stderr);
}

int refused(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say(format, args);
    va_end(args);
    return EXIT_REFUSED;
}

int refused_absent(const char *noun, const char *sentence)
{
    return refused("%s; `kedgectl %s show` lists what there is", sentence, noun);
}

int usage(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say(format, args);
    va_end(args);
    return EXIT_USAGE;
}

/* Lines are flushed when they are complete, so that nothing is left to do. */
static void end(int signal)
{
    (void)signal;
    _exit(EXIT_DONE);
}

void end_on_signals(void)
{
    signal(SIGINT, end);
    signal(SIGTERM, end);
}

int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void *must(void *memory)
{
    if (memory == NULL)
        exit(refused("no memory"));
    return memory;
}

char *must_printf(const char *format, ...)
{
    va_list args;
    char *text;
    int size;

    va_start(args, format);
    size = vasprintf(&text, format, args);
    va_end(args);
    return size < 0 ? must(NULL) : text;
}
