/* SPDX-License-Identifier: BSD-3-Clause */
/* Changes: a command's operations in one transaction, done again while others get in between. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/verbs.h"

enum { TRIES = 100 };

/* The list is observed: if somebody creates something below in the meantime, all is done again. Who may not
 * look, or not remove it, leaves it where it is. */
static int prune(struct ns_client *client, uint32_t tx, const char *path)
{
    const char *names;
    size_t size;
    int rc = ns_client_list(client, tx, path, &names, &size);

    if (rc == 0 && size == 0)
        rc = ns_client_remove(client, tx, path);
    return rc == -ENOENT || rc == -EACCES ? 0 : rc;
}

static int do_op(struct session *session, uint32_t tx, const struct command_op *op)
{
    struct ns_client *client = session->client;
    const char *value;
    size_t size;
    int rc;

    switch (op->kind) {
    case COMMAND_WRITE: return ns_client_write(client, tx, op->path, op->value, strlen(op->value));
    case COMMAND_MKDIR: return ns_client_mkdir(client, tx, op->path);
    case COMMAND_REMOVE: return ns_client_remove(client, tx, op->path);
    case COMMAND_PRUNE: return prune(client, tx, op->path);
    case COMMAND_PRESENT: return ns_client_read(client, tx, op->path, &value, &size);
    case COMMAND_ABSENT:
        rc = ns_client_read(client, tx, op->path, &value, &size);
        return rc == 0 ? -EEXIST : rc == -ENOENT ? 0 : rc;
    }
    return -EINVAL;
}

/* A name that must or must not be there has its own sentence; all else is explained by the daemon. */
static int op_refused(struct session *session, const struct command *command,
                      const struct command_op *op, int rc)
{
    bool listed = command->whole && strcmp(command->noun, "name") != 0;

    if (op->kind == COMMAND_PRESENT && rc == -ENOENT && listed)
        return refused_absent(command->noun, op->value);
    if ((op->kind == COMMAND_PRESENT && rc == -ENOENT) ||
        (op->kind == COMMAND_ABSENT && rc == -EEXIST))
        return refused("%s", op->value);
    if (op->kind == COMMAND_WRITE && rc == -E2BIG && strlen(op->path) < NS_CLIENT_PAYLOAD_MAX)
        return refused(
            "%s: a value of %zu bytes is too long; at most %zu fit into a request beside this path",
            op->path, strlen(op->value), NS_CLIENT_PAYLOAD_MAX - strlen(op->path) - 1);
    return session_refused(session, op->path, rc);
}

/* One try. *again: somebody else has changed what was looked at. */
static int try_change(struct session *session, const struct command *command, bool *again)
{
    uint32_t tx;
    int rc = ns_client_begin(session->client, &tx);

    *again = false;
    if (rc != 0)
        return session_refused(session, "", rc);
    for (size_t i = 0; i < command->op_count; i++) {
        rc = do_op(session, tx, &command->ops[i]);
        if (rc != 0) {
            int status = op_refused(session, command, &command->ops[i], rc);

            ns_client_end(session->client, tx, 0);
            return status;
        }
    }
    rc = ns_client_end(session->client, tx, 1);
    *again = rc == -EAGAIN;
    return rc == 0 || *again ? EXIT_DONE : session_refused(session, "", rc);
}

static int change(struct session *session, const struct command *command)
{
    bool again = true;
    int status = EXIT_REFUSED;

    for (int i = 0; i < TRIES && again; i++)
        status = try_change(session, command, &again);
    return again
               ? refused("others change the same names all the time; gave up after %d tries", TRIES)
               : status;
}

/* ---- applied ---- */

static const char *too_late_says;

static void too_late(int signal)
{
    (void)signal;
    while (write(STDERR_FILENO, too_late_says, strlen(too_late_says)) < 0 && errno == EINTR)
        ;
    _exit(EXIT_REFUSED);
}

/* The daemon answers after 5 s at the latest, and names the laggards. A limit of our own ends the program,
 * sooner or later than that. */
static void limit_wait(const struct session *session)
{
    unsigned limit_ms = session->timeout_ms;
    struct itimerval timer = {
        .it_value = {.tv_sec = limit_ms / 1000, .tv_usec = limit_ms % 1000 * 1000}};

    too_late_says = session->json ? "{\"error\": \"committed, but not applied within --timeout\"}\n"
                                  : "kedgectl: committed, but not applied within --timeout\n";
    signal(SIGALRM, too_late);
    setitimer(ITIMER_REAL, &timer, NULL);
}

static int wait_applied(struct session *session)
{
    const char *value;
    size_t size;
    int rc;

    if (session->timeout_ms > 0)
        limit_wait(session);
    do
        rc = ns_client_read(session->client, 0, "/stats/applied", &value, &size);
    while (rc == -EAGAIN && session->timeout_ms > 0);
    return rc == 0 ? EXIT_DONE : session_refused(session, "committed, but not applied yet", rc);
}

int do_change(struct session *session, const char *const *words, size_t count)
{
    struct command command;
    char why[COMMAND_WHY_MAX];
    int status = EXIT_REFUSED, rc = command_parse(words, count, &command, why);

    if (rc != 0)
        return usage("%s", rc == -ENOMEM ? "no memory" : why);
    if (session_open(session))
        status = change(session, &command);
    command_free(&command);
    return status == EXIT_DONE && session->applied ? wait_applied(session) : status;
}
