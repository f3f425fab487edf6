/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The modules: made in one order, freed in the reverse.
 */
#include "dataplane/modules.h"

int modules_new(struct modules *modules, struct ns_store *store, struct ns_loop *loop,
                const struct neighbours_options *options, const struct modules_io *io)
{
    int error = links_new(store, &modules->links);

    if (error == 0)
        error = stations_new(store, loop, modules->links, io->station_used, io->arg,
                             &modules->stations);
    if (error == 0)
        error = neighbours_new(store, loop, modules->links, modules->stations, options,
                               &io->neighbours, &modules->neighbours);
    if (error == 0)
        error = routes_new(store, modules->links, &modules->routes);
    if (error == 0)
        error = definitions_new(store, modules->links, &modules->definitions);
    if (error == 0)
        error = adjacencies_new(store, modules->links, modules->routes, modules->definitions,
                                &modules->adjacencies);
    return error;
}

void modules_end(struct modules *modules)
{
    if (modules->adjacencies != NULL)
        adjacencies_free(modules->adjacencies);
    if (modules->neighbours != NULL)
        neighbours_free(modules->neighbours);
    if (modules->stations != NULL)
        stations_free(modules->stations);
    modules->adjacencies = NULL;
    modules->neighbours = NULL;
    modules->stations = NULL;
}

void modules_free(struct modules *modules)
{
    if (modules->definitions != NULL)
        definitions_free(modules->definitions);
    if (modules->routes != NULL)
        routes_free(modules->routes);
    if (modules->links != NULL)
        links_free(modules->links);
}

int modules_stats_add(const struct modules *modules, struct ns_stats *stats)
{
    int error = neighbours_stats_add(modules->neighbours, stats);

    if (error == 0)
        error = stations_stats_add(modules->stations, stats);
    if (error == 0)
        error = routes_stats_add(modules->routes, stats);
    return error;
}
