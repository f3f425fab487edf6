/* SPDX-License-Identifier: BSD-3-Clause */
/* name read, list, perms: the name space as it is. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/table.h"
#include "cli/verbs.h"

static int one_path(const char *verb, const char *const *words, size_t count)
{
    return count == 1 && words[0][0] == '/' ? EXIT_DONE : usage("one path, like /route: name %s PATH", verb);
}

int do_name_read(struct session *session, const char *const *words, size_t count)
{
    const char *value;
    size_t size;
    int rc, status = one_path("read", words, count);

    if (status != EXIT_DONE || !session_open(session))
        return status != EXIT_DONE ? status : EXIT_REFUSED;
    rc = ns_client_read(session->client, 0, words[0], &value, &size);
    if (rc != 0)
        return session_refused(session, words[0], rc);
    if (session->json)
        json_value(stdout, value);
    else
        fwrite(value, 1, size, stdout);
    putchar('\n');
    return EXIT_DONE;
}

int do_name_list(struct session *session, const char *const *words, size_t count)
{
    const char *names;
    size_t size, at = 0;
    int rc, status = one_path("list", words, count);

    if (status != EXIT_DONE || !session_open(session))
        return status != EXIT_DONE ? status : EXIT_REFUSED;
    rc = ns_client_list(session->client, 0, words[0], &names, &size);
    if (rc != 0)
        return session_refused(session, words[0], rc);
    if (session->json)
        putchar('[');
    for (; at < size; at += strlen(names + at) + 1) {
        if (!session->json) {
            puts(names + at);
            continue;
        }
        fputs(at == 0 ? "" : ",", stdout);
        json_string(stdout, names + at);
    }
    if (session->json)
        puts("]");
    return EXIT_DONE;
}

static int set_perms(struct session *session, const char *path, const char *const *perms, size_t count)
{
    char payload[1024];
    size_t used = 0;
    int rc;

    for (size_t i = 0; i < count; i++) {
        size_t size = strlen(perms[i]) + 1;

        if (used + size > sizeof(payload))
            return usage("too many permissions");
        memcpy(payload + used, perms[i], size);
        used += size;
    }
    rc = ns_client_set_perms(session->client, 0, path, payload, used);
    return rc == 0 ? EXIT_DONE : session_refused(session, path, rc);
}

int do_name_perms(struct session *session, const char *const *words, size_t count)
{
    const char *perms;
    size_t size;
    int rc;

    if (count == 0 || words[0][0] != '/')
        return usage("a path is missing: name perms PATH [n|r|w|bNUMBER]...");
    if (!session_open(session))
        return EXIT_REFUSED;
    if (count > 1)
        return set_perms(session, words[0], words + 1, count - 1);
    rc = ns_client_get_perms(session->client, 0, words[0], &perms, &size);
    if (rc != 0)
        return session_refused(session, words[0], rc);
    if (session->json)
        putchar('[');
    for (size_t at = 0; at < size; at += strlen(perms + at) + 1) {
        fputs(at == 0 ? "" : session->json ? "," : " ", stdout);
        if (session->json)
            json_string(stdout, perms + at);
        else
            fputs(perms + at, stdout);
    }
    puts(session->json ? "]" : "");
    return EXIT_DONE;
}
