/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The daemon's two logs as the command line wants them: its own (nameserv/log.h), and that of its
 * clients' operations (nameserv/access_log.h).
 *
 * Thread safety: the control core only.
 */
#ifndef KEDGE_DATAPLANE_LOGS_H
#define KEDGE_DATAPLANE_LOGS_H

#include "dataplane/options.h"
#include "nameserv/access_log.h"

struct logs {
    struct ns_log_file *own;      /* NULL: stderr */
    struct ns_access_log *access; /* NULL: off */
};

/* What is wrong is logged, wherever that goes. 0 or a negative errno. */
int logs_start_own(struct logs *logs, const struct options *options);

/* When all mounts are hung. Also if it is to be off: it may be turned on later. */
int logs_start_access(struct logs *logs, const struct options *options, struct ns_store *store);

/* Open the files anew. */
void logs_reopen(const struct logs *logs);

/* Write what is left. What is logged afterwards goes to stderr. */
void logs_stop(struct logs *logs);

#endif
