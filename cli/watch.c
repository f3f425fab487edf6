/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * watch: changed names and their new values, as they come. The first event of each watch says only that
 * it is there.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/json.h"
#include "cli/text.h"
#include "cli/verbs.h"

static void print_json_line(const char *path, const char *value, size_t size)
{
    fputs("{\"name\":", stdout);
    json_string(stdout, path);
    fputs(",\"value\":", stdout);
    if (value != NULL)
        json_bytes(stdout, value, size);
    else
        fputs("null", stdout);
    puts("}");
}

/* value NULL: the name is gone. */
static void print_line(const char *path, const char *value, size_t size)
{
    text_print_string(stdout, path);
    if (value == NULL)
        fputs(" is gone", stdout);
    else if (size > 0)
        fputs(" = ", stdout);
    text_print(stdout, value, size);
    putchar('\n');
}

static int print_event(struct session *session, const char *event_path)
{
    char *path = must(strdup(event_path));
    const char *value = NULL;
    size_t size = 0;
    int rc = ns_client_read(session->client, 0, path, &value, &size);

    if (rc == 0 || rc == -ENOENT)
        (session->json ? print_json_line : print_line)(path, rc == 0 ? value : NULL, size);
    free(path);
    return rc == -EPIPE || fflush(stdout) != 0 ? -EPIPE : 0;
}

/* Set the watches, each with its number as the token. */
static int set_watches(struct session *session, const char *const *paths, size_t count)
{
    char token[24];

    for (size_t i = 0; i < count; i++) {
        int rc;

        snprintf(token, sizeof(token), "%zu", i);
        rc = ns_client_watch(session->client, paths[i], token);
        if (rc != 0)
            return session_refused(session, paths[i], rc);
    }
    return EXIT_DONE;
}

/* Print events until the connection ends. */
static void follow(struct session *session, bool *begun, size_t count)
{
    const char *path, *token;
    int rc = 0;

    while (rc == 0 && ns_client_event(session->client, -1, &path, &token) == 1) {
        size_t number = strtoul(token, NULL, 10);

        if (number < count && !begun[number])
            begun[number] = true;
        else
            rc = print_event(session, path);
    }
}

int do_watch(struct session *session, const char *const *words, size_t count)
{
    static const char *const all[] = {"/"};
    const char *const *paths = count > 0 ? words : all;
    bool *begun;
    int status;

    for (size_t i = 0; i < count; i++) {
        if (words[i][0] != '/' && words[i][0] != '@')
            return usage("\"%s\" is not a path; /neigh would be", words[i]);
        if (strcmp(words[i], "/stats") == 0 || strncmp(words[i], "/stats/", 7) == 0)
            return usage("names below /stats are computed when they are read and have no events; "
                         "`kedgectl top` shows them live");
    }
    count = count > 0 ? count : 1;
    if (!session_open(session))
        return EXIT_REFUSED;
    status = set_watches(session, paths, count);
    if (status != EXIT_DONE)
        return status;
    end_on_signals();
    begun = must(calloc(count, sizeof(begun[0])));
    follow(session, begun, count);
    free(begun);
    if (ferror(stdout))
        return EXIT_DONE; /* whoever reads us has gone: main() says so */
    return refused("the daemon has closed the connection");
}
