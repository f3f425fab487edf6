/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The daemon: its parts, made in one order and ended in the reverse.
 *
 * Thread safety: the main thread, which is the control core.
 */
#ifndef KEDGE_DATAPLANE_DAEMON_H
#define KEDGE_DATAPLANE_DAEMON_H

#include "dataplane/options.h"

/* Run until SIGTERM or SIGINT. The exit code. */
int daemon_run(const struct options *options);

/* Only look whether this daemon could take over the state of a live update. The exit code. */
int daemon_try(const struct options *options);

/* Only judge the configuration file. The exit code. */
int daemon_check(const struct options *options);

#endif
