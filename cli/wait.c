/* SPDX-License-Identifier: BSD-3-Clause */
/* wait: until the daemon is there, and says that it is ready. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli/verbs.h"

enum { PATIENCE_MS = 30000, PAUSE_MS = 20 };

/* 0: ready; -EAGAIN: it is there, but not ready; another error: not there. */
static int ask(struct session *session)
{
    const char *value;
    size_t size;
    int rc = session->client != NULL ? 0 : ns_client_open(session->socket, &session->client);

    if (rc == 0)
        rc = ns_client_read(session->client, 0, "/stats/ready", &value, &size);
    if (rc == 0)
        return strcmp(value, "1") == 0 ? 0 : -EAGAIN;
    session_close(session); /* the next try is a new connection */
    return rc;
}

int do_wait(struct session *session, const char *const *words, size_t count)
{
    unsigned patience = session->timeout_ms > 0 ? session->timeout_ms : PATIENCE_MS;
    int64_t deadline = now_ms() + patience;
    int rc;

    if (count > 0)
        return usage("\"%s\" is too much: wait takes --timeout only", words[0]);
    while ((rc = ask(session)) != 0 && rc != -EACCES && now_ms() < deadline)
        nanosleep(&(struct timespec){.tv_nsec = PAUSE_MS * 1000000}, NULL);
    if (rc == 0 && session->json)
        puts("{\"ready\": 1}");
    if (rc == 0)
        return EXIT_DONE;
    if (rc == -EAGAIN)
        return refused("the daemon at %s is not ready after %g s", session_socket(session),
                       patience / 1000.0);
    if (rc == -EACCES)
        return refused("no daemon at %s: %s", session_socket(session), strerror(-rc));
    return refused("no daemon at %s after %g s: %s", session_socket(session), patience / 1000.0,
                   strerror(-rc));
}
