/* SPDX-License-Identifier: BSD-3-Clause */
/* name read, list, perms: the name space as it is. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/json.h"
#include "cli/text.h"
#include "cli/verbs.h"

/* Judge the words, and connect. */
static int begin(struct session *session, const char *verb, const char *const *words, size_t count)
{
    if (count != 1 || words[0][0] != '/')
        return usage("PATH is missing, and begins with '/': name %s /some/path", verb);
    return session_open(session) ? EXIT_DONE : EXIT_REFUSED;
}

int do_name_read(struct session *session, const char *const *words, size_t count)
{
    const char *value;
    size_t size;
    int rc, status = begin(session, "read", words, count);

    if (status != EXIT_DONE)
        return status;
    rc = ns_client_read(session->client, 0, words[0], &value, &size);
    if (rc != 0)
        return session_refused(session, words[0], rc);
    if (session->json)
        json_bytes(stdout, value, size);
    else
        fwrite(value, 1, size, stdout);
    putchar('\n');
    return EXIT_DONE;
}

/* Texts that are ended by NULs: an array, or separated by `between`. */
static void print_texts(const struct session *session, const char *texts, size_t size, char between)
{
    if (session->json)
        putchar('[');
    for (size_t at = 0; at < size; at += strlen(texts + at) + 1) {
        if (at > 0)
            putchar(session->json ? ',' : between);
        if (session->json)
            json_string(stdout, texts + at);
        else
            text_print_string(stdout, texts + at);
    }
    if (session->json)
        putchar(']');
    if (session->json || size > 0)
        putchar('\n');
}

int do_name_list(struct session *session, const char *const *words, size_t count)
{
    const char *names;
    size_t size;
    int rc, status = begin(session, "list", words, count);

    if (status != EXIT_DONE)
        return status;
    rc = ns_client_list(session->client, 0, words[0], &names, &size);
    if (rc != 0)
        return session_refused(session, words[0], rc);
    print_texts(session, names, size, '\n');
    return EXIT_DONE;
}

static int set_perms(struct session *session, const char *path, const char *const *perms,
                     size_t count)
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
        return usage("PATH is missing, and begins with '/': name perms PATH [n|r|w|bNUMBER]...");
    if (!session_open(session))
        return EXIT_REFUSED;
    if (count > 1)
        return set_perms(session, words[0], words + 1, count - 1);
    rc = ns_client_get_perms(session->client, 0, words[0], &perms, &size);
    if (rc != 0)
        return session_refused(session, words[0], rc);
    print_texts(session, perms, size, ' ');
    return EXIT_DONE;
}
