/* SPDX-License-Identifier: BSD-3-Clause */
/* The ways that are kept; see ways_p.h. */
#include "flows/ways_p.h"

uint32_t ways_serial(const struct flow_table *table, uint64_t claims)
{
    struct flow_table_inner *inner = table->inner;

    if (inner->ways_epoch != table->epoch || inner->ways_generation != inner->generation ||
        inner->ways_claims != claims)
        inner->ways_serial++;
    inner->ways_epoch = table->epoch;
    inner->ways_generation = inner->generation;
    inner->ways_claims = claims;
    return inner->ways_serial;
}

static void ways_begin(struct ways *ways, const struct flow *flow, uint32_t definition,
                       uint32_t serial)
{
    *ways = (struct ways){
        .route = flow->route,
        .definition = definition,
        .scope = flow->key.scope,
        .serial = serial,
    };
    for (unsigned i = 0; i < WAYS_KEPT; i++)
        ways->prefix[i] = 1; /* of the mask 0: matches none */
}

void ways_add(struct flow_table *table, const struct flow *flow, const struct taken *taken)
{
    uint32_t definition = taken->holds[BY_DEFINITION];
    uint32_t serial = ways_serial(table, taken->claims);
    struct ways *ways = ways_of(table->inner, flow->route, definition, flow->key.scope);
    unsigned i;

    if (taken->overtaken)
        return;
    if (!are_of(ways, flow, definition, serial))
        ways_begin(ways, flow, definition, serial);
    i = ways->next++ % WAYS_KEPT;
    ways->mask[i] = route_mask(taken->range);
    ways->prefix[i] = flow->key.dst & ways->mask[i];
    ways->taken[i] = *taken;
}
