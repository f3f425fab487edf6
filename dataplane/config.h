/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The configuration file: lines of commands as kedgectl takes them, all of them one transaction. Besides,
 * lines `mount add PATH KIND`, which a file has and kedgectl has not, because mounts are hung at start.
 *
 * Thread safety: the control core only.
 */
#ifndef KEDGE_DATAPLANE_CONFIG_H
#define KEDGE_DATAPLANE_CONFIG_H

#include "nameserv/parts.h"
#include "nameserv/store.h"

struct config_file {
    const char *path;
    bool names_only; /* there is no stack to configure: commands that do are mistakes */

    /* Every mistake, in order of lines (0: the file as a whole), in a sentence that says what would be right. */
    void (*mistake)(const char *path, unsigned line, const char *text);
};

/* Hang the parts that its lines `mount add PATH xenstore|plain` ask for, before anything is written. 0 or the first
 * error. */
int config_hang(const struct config_file *file, struct ns_parts *parts);

/* The same, and judge all the rest against the store's mounts: every mistake is told. *commands gets how many commands
 * there are. 0 or a negative errno. */
int config_check(const struct config_file *file, struct ns_parts *parts, struct ns_store *store,
                 unsigned *commands);

/* When its parts hang: judge it, and commit it if nothing is wrong. *commands as above. 0 or a negative errno. */
int config_commit(const struct config_file *file, struct ns_store *store, unsigned *commands);

#endif
