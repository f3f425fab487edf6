/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The prefixes that interfaces bring along. For each address: its subnet (connected), the address
 * itself (local), and the subnet's first and last address (broadcast), of which prefixes of 31 (RFC
 * 3021) and 32 bits have none.
 */
#include <stdlib.h>
#include <string.h>

#include "flows/route_p.h"

enum { DERIVED_PER_ADDRESS = 4 };

static int compare_prefix(const struct derived_route *a, const struct derived_route *b)
{
    uint32_t x = rte_be_to_cpu_32(a->route.prefix), y = rte_be_to_cpu_32(b->route.prefix);

    if (a->vrf != b->vrf)
        return a->vrf < b->vrf ? -1 : 1;
    if (x != y)
        return x < y ? -1 : 1;
    return (int)a->route.length - b->route.length;
}

/* Of several for a prefix the first in this order stays: an address is ours whatever else it is; of
 * two interfaces in one subnet the one that was named first has it. */
static int compare(const void *left, const void *right)
{
    static const int rank[] = {[ROUTE_LOCAL] = 0, [ROUTE_BROADCAST] = 1, [ROUTE_CONNECTED] = 2};
    const struct derived_route *a = left, *b = right;
    int order = compare_prefix(a, b);

    if (order == 0)
        order = rank[a->route.kind] - rank[b->route.kind];
    return order != 0 ? order : (int)a->route.iface - b->route.iface;
}

static void add(struct derived_routes *derived, const struct link_iface *iface,
                enum route_kind kind, rte_be32_t prefix, uint8_t length, uint64_t version)
{
    struct route route = {
        .prefix = prefix, .length = length, .kind = kind, .iface = iface->id, .version = version};

    derived->items[derived->count++] = (struct derived_route){.vrf = iface->vrf, .route = route};
}

static void add_address(struct derived_routes *derived, const struct link_iface *iface,
                        const struct link_address *address, uint64_t version)
{
    uint8_t length = address->prefix_length;
    rte_be32_t mask = route_mask(length);

    add(derived, iface, ROUTE_LOCAL, address->address, 32, version);
    if (length == 32)
        return;
    add(derived, iface, ROUTE_CONNECTED, address->address & mask, length, version);
    if (length == 31)
        return;
    add(derived, iface, ROUTE_BROADCAST, address->address & mask, 32, version);
    add(derived, iface, ROUTE_BROADCAST, address->address | ~mask, 32, version);
}

struct derived_routes *derived_routes_make(const struct links *links, uint64_t version)
{
    size_t room = 0, kept = 0;
    struct derived_routes *derived;

    for (unsigned i = 0; i < links->iface_count; i++)
        room += DERIVED_PER_ADDRESS * links->ifaces[i].address_count;
    derived = calloc(1, sizeof(*derived) + room * sizeof(derived->items[0]));
    if (derived == NULL)
        return NULL;
    for (unsigned i = 0; i < links->iface_count; i++)
        for (unsigned j = 0; j < links->ifaces[i].address_count; j++)
            add_address(derived, &links->ifaces[i], &links->ifaces[i].addresses[j], version);
    qsort(derived->items, derived->count, sizeof(derived->items[0]), compare);
    for (size_t i = 0; i < derived->count; i++)
        if (kept == 0 || compare_prefix(&derived->items[kept - 1], &derived->items[i]) != 0)
            derived->items[kept++] = derived->items[i];
    derived->count = kept;
    return derived;
}

static int compare_key(const void *key, const void *item)
{
    return compare_prefix(key, item);
}

const struct route *derived_routes_find(const struct derived_routes *derived, uint16_t vrf,
                                        rte_be32_t prefix, uint8_t length)
{
    struct derived_route key = {.vrf = vrf, .route = {.prefix = prefix, .length = length}};
    const struct derived_route *found = NULL;

    if (derived != NULL)
        found = bsearch(&key, derived->items, derived->count, sizeof(key), compare_key);
    return found == NULL ? NULL : &found->route;
}

int derived_routes_diff(const struct derived_routes *before, const struct derived_routes *after,
                        int (*fn)(uint16_t vrf, const struct route *before, const struct route *now,
                                  void *arg),
                        void *arg)
{
    size_t i = 0, j = 0, before_count = before == NULL ? 0 : before->count;
    size_t after_count = after == NULL ? 0 : after->count;
    int answer = 0;

    while (answer == 0 && (i < before_count || j < after_count)) {
        const struct derived_route *a = i < before_count ? &before->items[i] : NULL;
        const struct derived_route *b = j < after_count ? &after->items[j] : NULL;
        int order = a == NULL ? 1 : b == NULL ? -1 : compare_prefix(a, b);

        i += order <= 0;
        j += order >= 0;
        if (order < 0)
            answer = fn(a->vrf, &a->route, NULL, arg);
        else if (order > 0)
            answer = fn(b->vrf, NULL, &b->route, arg);
        else if (!route_same(&a->route, &b->route))
            answer = fn(b->vrf, &a->route, &b->route, arg);
    }
    return answer;
}
