/* SPDX-License-Identifier: BSD-3-Clause */
/* Changes: a command's operations in one transaction, done again while others get in between. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/verbs.h"

enum { TRIES = 100 };

static int do_op(struct session *session, uint32_t tx, const struct command_op *op)
{
    const char *value;
    size_t size;
    int rc;

    switch (op->kind) {
    case COMMAND_WRITE: return ns_client_write(session->client, tx, op->path, op->value, strlen(op->value));
    case COMMAND_MKDIR: return ns_client_mkdir(session->client, tx, op->path);
    case COMMAND_REMOVE: return ns_client_remove(session->client, tx, op->path);
    case COMMAND_PRESENT: return ns_client_read(session->client, tx, op->path, &value, &size);
    case COMMAND_ABSENT:
        rc = ns_client_read(session->client, tx, op->path, &value, &size);
        return rc == 0 ? -EEXIST : rc == -ENOENT ? 0 : rc;
    }
    return -EINVAL;
}

/* A name that must or must not be there has its own sentence; all else is explained by the daemon. */
static int refused(struct session *session, const struct command_op *op, int rc)
{
    bool by_us = (op->kind == COMMAND_PRESENT && rc == -ENOENT) || (op->kind == COMMAND_ABSENT && rc == -EEXIST);

    if (!by_us)
        return session_refused(session, op->path, rc);
    fprintf(stderr, "kedgectl: %s\n", op->value);
    return EXIT_REFUSED;
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
            int status = refused(session, &command->ops[i], rc);

            ns_client_end(session->client, tx, 0);
            return status;
        }
    }
    rc = ns_client_end(session->client, tx, 1);
    *again = rc == -EAGAIN;
    return rc == 0 || *again ? EXIT_DONE : session_refused(session, "", rc);
}

int wait_applied(struct session *session)
{
    const char *value;
    size_t size;
    int rc = ns_client_read(session->client, 0, "/stats/applied", &value, &size);

    return rc == 0 ? EXIT_DONE : session_refused(session, "committed, but not applied yet", rc);
}

int do_change(struct session *session, const char *const *words, size_t count)
{
    struct command command;
    char why[COMMAND_WHY_MAX];
    int status = EXIT_REFUSED, rc = command_parse(words, count, &command, why);
    bool again = true;

    if (rc != 0)
        return usage("%s", rc == -ENOMEM ? "no memory" : why);
    if (!session_open(session)) {
        command_free(&command);
        return EXIT_REFUSED;
    }
    for (int i = 0; i < TRIES && again; i++)
        status = try_change(session, &command, &again);
    if (again) {
        fprintf(stderr, "kedgectl: others change the same names all the time; gave up after %d tries\n", TRIES);
        status = EXIT_REFUSED;
    }
    command_free(&command);
    return status == EXIT_DONE && session->applied ? wait_applied(session) : status;
}
