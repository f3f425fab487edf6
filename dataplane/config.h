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

enum config_purpose { CONFIG_CHECK, CONFIG_COMMIT };

/* Hang the parts that its lines `mount add PATH xenstore|plain` ask for, before anything is written: each
 * mistake is told as below. 0 or the first error. */
int config_hang(struct ns_parts *parts, const char *file,
                void (*mistake)(const char *file, unsigned line, const char *text));

/* Read the file and judge it against the store's mounts; commit it if that is the purpose and
 * nothing is wrong. Every mistake is told by mistake(), in order of lines (0: the file as a whole),
 * in a sentence that says what would be right. *commands gets how many there are. 0 or a negative
 * errno. */
int config_read(struct ns_store *store, const char *file, enum config_purpose purpose,
                void (*mistake)(const char *file, unsigned line, const char *text),
                unsigned *commands);

#endif
