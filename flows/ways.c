/* SPDX-License-Identifier: BSD-3-Clause */
/* The ways that are kept; see ways_p.h. */
#include "flows/ways_p.h"

static void ways_begin(struct ways *ways, const struct ways_key *key)
{
    *ways = (struct ways){.key = *key};
    for (unsigned i = 0; i < WAYS_KEPT; i++)
        ways->prefix[i] = 1; /* of the mask 0: matches none */
}

void ways_add(struct flow_table *table, const struct flow *flow, const struct taken *taken)
{
    const struct ways_key key = ways_key(table, flow, taken->holds[BY_DEFINITION], taken->claims);
    struct ways *ways = ways_of(table->inner, &key);
    unsigned i;

    if (taken->overtaken)
        return;
    if (!same_ways(&ways->key, &key))
        ways_begin(ways, &key);
    i = ways->next++ % WAYS_KEPT;
    ways->mask[i] = route_mask(taken->range);
    ways->prefix[i] = flow->key.dst & ways->mask[i];
    ways->taken[i] = *taken;
}
