/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The daemon's logs.
 */
#include "dataplane/logs.h"

#include <errno.h>
#include <string.h>

static struct ns_log_file_options file_options(const struct options *options)
{
    return (struct ns_log_file_options){.size = (uint64_t)options->log_size << 20,
                                        .files = options->log_files};
}

static int complain(const char *option, const char *where, int error)
{
    ns_log(NS_LOG_ERROR, "--%s %s: %s", option, where,
           error == -EINVAL ? "there is no such facility; syslog:daemon and syslog:local0 are two"
                            : strerror(-error));
    return error;
}

int logs_start_own(struct logs *logs, const struct options *options)
{
    const struct ns_log_file_options file = file_options(options);
    int error;

    if (options->log_file == NULL)
        return 0;
    error = ns_log_file_open(options->log_file, &file, &logs->own);
    if (error < 0)
        return complain("log-file", options->log_file, error);
    ns_log_to(logs->own);
    return 0;
}

int logs_start_access(struct logs *logs, const struct options *options, struct ns_store *store)
{
    const struct ns_access_log_options access = {
        .where = options->access_log,
        .mounts = options->access_log_mounts,
        .file = file_options(options),
        .reads = options->access_log_reads,
        .transactions = options->access_log_transactions,
        .specials = options->access_log_specials,
    };
    int error;

    error = ns_access_log_open(store, &access, &logs->access);
    if (error == -ENOENT && options->access_log_mounts != NULL) {
        ns_log(NS_LOG_ERROR,
               "--access-log-mounts %s: each must be where a mount hangs, as '/local,/port'",
               options->access_log_mounts);
        return error;
    }
    return error < 0 ? complain("access-log", options->access_log, error) : 0;
}

void logs_reopen(const struct logs *logs)
{
    if (logs->own != NULL)
        ns_log_file_reopen(logs->own);
    if (logs->access != NULL)
        ns_access_log_reopen(logs->access);
}

void logs_stop(struct logs *logs)
{
    if (logs->access != NULL)
        ns_access_log_close(logs->access);
    ns_log_to(NULL);
    if (logs->own != NULL)
        ns_log_file_close(logs->own);
    *logs = (struct logs){.own = NULL};
}
