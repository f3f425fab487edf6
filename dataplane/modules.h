/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The modules that make the name space of a store that of a network stack, in their order: links,
 * stations, neighbours, routes, definitions, adjacencies.
 *
 * Thread safety: the control core only.
 */
#ifndef KEDGE_DATAPLANE_MODULES_H
#define KEDGE_DATAPLANE_MODULES_H

#include "arp/neighbour.h"
#include "arp/station.h"
#include "flows/adjacency.h"

struct modules {
    struct links_mount *links;
    struct stations *stations;
    struct neighbours *neighbours;
    struct routes *routes;
    struct definitions *definitions;
    struct adjacencies *adjacencies;
};

/* What modules ask the data plane. */
struct modules_io {
    struct neighbours_io neighbours;
    uint64_t (*station_used)(void *arg, uint16_t bridge_id, const struct rte_ether_addr *mac);
    void *arg;
};

/* Hang all mounts. modules must be zeroed. 0 or a negative errno; in both cases modules_end() and
 * modules_free() are to be called. */
int modules_new(struct modules *modules, struct ns_store *store, struct ns_loop *loop,
                const struct neighbours_options *options, const struct modules_io *io);

/* Before ns_store_free(), when the workers are gone and no commit comes any more. */
void modules_end(struct modules *modules);

/* After ns_store_free(), which frees what they have derived. */
void modules_free(struct modules *modules);

/* Their names below /stats. */
int modules_stats_add(const struct modules *modules, struct ns_stats *stats);

#endif
