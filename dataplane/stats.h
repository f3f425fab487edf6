/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The data plane's names below /stats; docs/stats.md lists them.
 *
 * Thread safety: the control core only.
 */
#ifndef KEDGE_DATAPLANE_STATS_H
#define KEDGE_DATAPLANE_STATS_H

#include <stdbool.h>
#include <stdint.h>

#include "nameserv/stats.h"

struct control;
struct stats;

/* Register all names. The control core's modules, workers and ports may be there or not, and may go
 * before the stats do. 0 or a negative errno. */
int stats_new(struct control *control, struct ns_stats *names, struct stats **stats);

/* Refuses what still waits for an answer. */
void stats_free(struct stats *stats);

/* Answer who waits for 'applied'. In how many nanoseconds it must be called again; UINT64_MAX: no
 * need. */
uint64_t stats_poll(struct stats *stats);

/* Say in /stats/ready that the configuration is committed and its ports are open or have failed. */
void stats_set_ready(struct stats *stats);

#endif
