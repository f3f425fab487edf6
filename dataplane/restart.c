/* SPDX-License-Identifier: BSD-3-Clause */
/* What outlives the process; see restart.h. */
#include "dataplane/restart.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "nameserv/clock.h"
#include "nameserv/journal.h"
#include "nameserv/log.h"

#define MS UINT64_C(1000000)

enum { JOURNAL_END_MS = 10000 };

static int refused(int error, const struct ns_reason *reason)
{
    if (error != 0)
        ns_log(NS_LOG_ERROR, "%s%s%s", reason->path, reason->path[0] != '\0' ? ": " : "",
               reason->text[0] != '\0' ? reason->text : strerror(-error));
    return error;
}

static int say(struct ns_reason *reason, int error, const char *text)
{
    snprintf(reason->text, sizeof(reason->text), "%s", text);
    reason->path[0] = '\0';
    return error;
}

/* ---- the state ---- */

int restart_take_state(struct restart *restart)
{
    struct ns_reason reason = {.text = ""};
    int error = ns_live_state_open(&restart->state, &reason);

    if (error == 0 && restart->state != NULL && !restart->options->names_only)
        error = say(&reason, -EINVAL, "a live update needs --names-only");
    else if (error == 0 && restart->state != NULL)
        error = ns_live_state_check_socket(restart->state, restart->options->socket, &reason);
    return refused(error, &reason);
}

bool restart_has_state(const struct restart *restart)
{
    return restart->state != NULL;
}

void restart_set_server(const struct restart *restart, struct ns_server_options *options)
{
    if (restart->state == NULL)
        return;
    options->taken_over = true;
    options->listening = ns_live_state_listening(restart->state);
    options->lock = ns_live_state_lock(restart->state);
}

int restart_fill_store(struct restart *restart)
{
    struct ns_reason reason = {.text = ""};

    if (restart->state == NULL)
        return 0;
    return refused(ns_live_state_fill_store(restart->state, restart->store, &reason), &reason);
}

/* ---- the journal ---- */

static int open_journal(struct restart *restart, struct ns_reason *reason)
{
    const struct ns_journal_options options = {.path = restart->options->journal,
                                               .sync = restart->options->journal_sync,
                                               .stats = restart->stats};

    return ns_journal_new(restart->store, restart->loop, &options, reason, &restart->journal);
}

/* What users wrote before comes back as one transaction, when all mounts are there to judge it. */
static int load_journal(struct restart *restart, struct ns_reason *reason)
{
    uint64_t start = ns_clock_monotonic();
    size_t names;
    int error = ns_journal_load(restart->journal, &names, reason);

    if (error == 0)
        ns_log(NS_LOG_NOTICE, "%s: %zu names are loaded in %u ms", restart->options->journal, names,
               (unsigned)((ns_clock_monotonic() - start) / MS));
    else if (reason->path[0] != '\0')
        ns_log(NS_LOG_ERROR,
               "%s: the name below stands in this journal and is refused; kedged --names-only "
               "--journal %s serves "
               "all of it as it is, for mending",
               restart->options->journal, restart->options->journal);
    return error;
}

static int begin_journal(struct restart *restart)
{
    int error = ns_journal_start(restart->journal);

    if (error != 0)
        ns_log(NS_LOG_ERROR, "the journal can't be started: %s", strerror(-error));
    return error;
}

/* A state that was handed over is newer than what the journal has. */
int restart_start_journal(struct restart *restart)
{
    struct ns_reason reason = {.text = ""};
    int error;

    if (restart->options->journal == NULL)
        return 0;
    error = open_journal(restart, &reason);
    if (error == 0 && restart->state != NULL)
        error =
            ns_journal_take_over(restart->journal, ns_live_state_commit(restart->state), &reason);
    else if (error == 0)
        error = load_journal(restart, &reason);
    return error != 0 ? refused(error, &reason) : begin_journal(restart);
}

void restart_end_journal(struct restart *restart)
{
    ns_journal_free(restart->journal, JOURNAL_END_MS);
    restart->journal = NULL;
}

/* ---- clients ---- */

/* Before exec: all that is queued gets into the file, which is closed. */
static int end_journal(struct restart *restart, struct ns_reason *reason)
{
    struct ns_journal *journal = restart->journal;

    if (journal == NULL)
        return 0;
    if (ns_journal_error(journal) != 0)
        return say(reason, ns_journal_error(journal), "the journal can't be written; not now");
    restart->journal = NULL;
    if (ns_journal_free(journal, JOURNAL_END_MS))
        return 0;
    ns_loop_stop(restart->loop);
    return say(reason, -EIO, "the journal can't be written; the daemon ends");
}

static int pause_threads(void *arg, struct ns_reason *reason)
{
    struct restart *restart = arg;
    int error = end_journal(restart, reason);

    if (error == 0)
        restart->stop_logs(restart->logs_arg);
    return error;
}

/* Without a journal, or a log that was asked for, nothing may be promised any more. */
static void resume_threads(void *arg)
{
    struct restart *restart = arg;
    struct ns_reason reason = {.text = ""};
    int error = restart->start_logs(restart->logs_arg);

    if (error == 0 && restart->options->journal != NULL)
        error = refused(open_journal(restart, &reason), &reason);
    if (error == 0 && restart->options->journal != NULL)
        error = begin_journal(restart);
    if (error != 0)
        ns_loop_stop(restart->loop);
}

static int fill_server(struct restart *restart)
{
    struct ns_reason reason = {.text = ""};
    int error;

    if (restart->state == NULL)
        return 0;
    error = ns_live_state_fill_server(restart->state, restart->server, &reason);
    ns_live_state_free(restart->state);
    restart->state = NULL;
    return refused(error, &reason);
}

int restart_start_clients(struct restart *restart)
{
    const struct ns_live_update_options options = {.argv = restart->options->argv,
                                                   .pause = pause_threads,
                                                   .resume = resume_threads,
                                                   .arg = restart};
    int error = fill_server(restart);

    if (error != 0 || !restart->options->names_only)
        return error;
    return ns_live_update_new(restart->server, &options, &restart->update);
}

void restart_end_updates(struct restart *restart)
{
    ns_live_update_free(restart->update);
    ns_live_state_free(restart->state);
    restart->update = NULL;
    restart->state = NULL;
}
