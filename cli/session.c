/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "cli/session.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *socket_name(const struct session *session)
{
    const char *name = session->socket != NULL ? session->socket : getenv("KEDGE_SOCKET");

    return name != NULL ? name : "/run/kedge/kedged.sock";
}

bool session_open(struct session *session)
{
    int rc = ns_client_open(session->socket, &session->client);

    if (rc == 0)
        return true;
    fprintf(stderr, "kedgectl: no daemon at %s: %s%s\n", socket_name(session), strerror(-rc),
            rc == -EACCES ? "" : "; is kedged running, and is this its socket (--socket, KEDGE_SOCKET)?");
    return false;
}

void session_close(struct session *session)
{
    if (session->client != NULL)
        ns_client_close(session->client);
    session->client = NULL;
}

int session_refused(struct session *session, const char *what, int error)
{
    const char *reason = error == -EPIPE ? "" : ns_client_reason(session->client);

    fprintf(stderr, "kedgectl: %s%s%s\n", what, *what == '\0' ? "" : ": ",
            *reason != '\0' ? reason : strerror(-error));
    return EXIT_REFUSED;
}

int usage(const char *format, ...)
{
    va_list args;

    fputs("kedgectl: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    return EXIT_USAGE;
}

void *must(void *memory)
{
    if (memory == NULL) {
        fputs("kedgectl: no memory\n", stderr);
        exit(EXIT_REFUSED);
    }
    return memory;
}

static char *format_path(const char *format, va_list args)
{
    char *path;

    return vasprintf(&path, format, args) < 0 ? must(NULL) : path;
}

char *must_printf(const char *format, ...)
{
    va_list args;
    char *text;

    va_start(args, format);
    text = format_path(format, args);
    va_end(args);
    return text;
}

char *session_read(struct session *session, const char *format, ...)
{
    const char *value;
    va_list args;
    char *path;
    size_t size;
    int rc;

    va_start(args, format);
    path = format_path(format, args);
    va_end(args);
    rc = ns_client_read(session->client, 0, path, &value, &size);
    free(path);
    return rc == 0 ? must(strndup(value, size)) : NULL;
}

static char **split_names(const char *names, size_t size)
{
    size_t count = 0, i = 0;
    char **list, *copy;

    for (size_t at = 0; at < size; at++)
        count += names[at] == '\0';
    list = must(malloc((count + 1) * sizeof(list[0]) + size + 1));
    copy = (char *)(list + count + 1);
    memcpy(copy, names, size);
    for (; i < count; i++) {
        list[i] = copy;
        copy += strlen(copy) + 1;
    }
    list[count] = NULL;
    return list;
}

char **session_list(struct session *session, const char *format, ...)
{
    const char *names = "";
    va_list args;
    char *path, **list;
    size_t size = 0;
    int rc;

    va_start(args, format);
    path = format_path(format, args);
    va_end(args);
    rc = ns_client_list(session->client, 0, path, &names, &size);
    list = rc == 0 ? split_names(names, size) : rc == -ENOENT ? split_names("", 0) : NULL;
    if (list == NULL)
        session_refused(session, path, rc);
    free(path);
    return list;
}
