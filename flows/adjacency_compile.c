/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Records of adjacencies and stations: following the chain from a next hop to a port, on the version that
 * is about to be published. Every name on the way is registered as a source, also the absent ones, so that
 * a change anywhere in the chain compiles the record anew in the same commit.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "arp/text.h"
#include "flows/adjacency_p.h"

/* One compilation. */
struct chain {
    struct ns_compile *compile;
    const struct adjacencies *owner;
    const struct links *links;
    struct adjacency *record;
};

static int chain_begin(struct chain *chain, struct ns_anchor *anchor, struct ns_compile *compile)
{
    const struct ns_version *version = ns_compile_version(compile);
    const struct adjacencies *owner = ((struct adjacency_anchor *)anchor)->owner;
    struct adjacency *record = aligned_alloc(NS_CACHE_LINE, NS_CACHE_LINE);

    if (record == NULL)
        return -ENOMEM;
    memset(record, 0, NS_CACHE_LINE);
    record->version = version->number;
    *chain = (struct chain){compile, owner, links_of(version, owner->sources.links_slot), record};
    ns_compile_record(compile, record);
    return 0;
}

/* Depend on a name, and note when it was written. */
static void depend(struct chain *chain, enum adjacency_link link, const char *path)
{
    uint32_t changed = (uint32_t)ns_compile_depend(chain->compile, path);

    chain->record->changed[link] = RTE_MAX(chain->record->changed[link], changed);
}

static void depend_on_link(struct chain *chain, enum adjacency_link link, const char *what,
                           const char *name)
{
    char path[LINK_NAME_MAX + 16];
    const char *end = path + sizeof(path);

    text_put(text_put(text_put(text_put(path, end, "/"), end, what), end, "/"), end, name);
    depend(chain, link, path);
}

static const struct ns_entry *read_name(struct chain *chain, enum adjacency_link link,
                                        const char *path)
{
    depend(chain, link, path);
    return ns_tree_lookup(ns_compile_version(chain->compile)->root, path, strlen(path));
}

/* ---- stations ---- */

/* The port that the fdb names, if it is one of this bridge; NULL: the station is not known. */
static const struct link_port *station_port(struct chain *chain, const struct link_bridge *bridge,
                                            const struct ns_entry *entry)
{
    char name[LINK_NAME_MAX];
    const struct link_port *port;
    bool is_static;

    if (entry == NULL ||
        station_parse(ns_entry_value(entry), entry->value_size, name, &is_static) != 0)
        return NULL;
    depend_on_link(chain, ADJACENCY_PORT, "port", name);
    port = links_port(chain->links, name);
    if (port == NULL || port->bridge == LINK_NO_ID ||
        &chain->links->bridges[port->bridge] != bridge)
        return NULL;
    return port;
}

static bool port_usable(const struct link_port *port)
{
    return port->up && port->id != LINK_NO_ID && port->lcore != LINK_NO_ID;
}

static void out_of_port(struct adjacency *record, enum adjacency_kind kind,
                        const struct link_port *port)
{
    record->kind = kind;
    record->port = port->id;
    record->lcore = port->lcore;
    record->mtu = port->mtu;
}

/* ---- next hops ---- */

static void write_header(struct adjacency *record, const struct rte_ether_addr *to,
                         const struct link_iface *iface)
{
    static const uint8_t ipv4[] = {RTE_ETHER_TYPE_IPV4 >> 8, RTE_ETHER_TYPE_IPV4 & 0xff};

    memcpy(record->header, to, RTE_ETHER_ADDR_LEN);
    memcpy(record->header + RTE_ETHER_ADDR_LEN, &iface->mac, RTE_ETHER_ADDR_LEN);
    memcpy(record->header + 2 * RTE_ETHER_ADDR_LEN, ipv4, sizeof(ipv4));
    record->header_size = RTE_ETHER_HDR_LEN;
}

static void through_port(struct chain *chain, const struct link_port *port,
                         const struct link_iface *iface, const struct rte_ether_addr *mac)
{
    if (!port_usable(port)) {
        chain->record->kind = ADJACENCY_HOLD;
        return;
    }
    out_of_port(chain->record, ADJACENCY_FORWARD, port);
    write_header(chain->record, mac, iface);
}

static void through_bridge(struct chain *chain, const struct link_iface *iface,
                           const struct rte_ether_addr *mac)
{
    const struct link_bridge *bridge = &chain->links->bridges[iface->bridge];
    const struct link_port *port;
    char path[LINK_NAME_MAX + 32];

    depend_on_link(chain, ADJACENCY_INTERFACE, "bridge", bridge->name);
    station_path(bridge->name, mac, path, sizeof(path));
    port = station_port(chain, bridge, read_name(chain, ADJACENCY_STATION, path));
    if (port != NULL) {
        through_port(chain, port, iface, mac);
        return;
    }
    chain->record->kind = ADJACENCY_FLOOD;
    chain->record->bridge = bridge->id;
    chain->record->mtu = iface->mtu;
    write_header(chain->record, mac, iface);
}

static void through_iface(struct chain *chain, const struct link_iface *iface,
                          const struct rte_ether_addr *mac)
{
    const struct link_port *port;

    if (iface->bridge != LINK_NO_ID) {
        through_bridge(chain, iface, mac);
        return;
    }
    port = &chain->links->ports[iface->port];
    depend_on_link(chain, ADJACENCY_PORT, "port", port->name);
    through_port(chain, port, iface, mac);
}

/* The address is on the link of this interface. */
static void resolve(struct chain *chain, uint16_t iface_id, rte_be32_t address)
{
    const struct link_iface *iface = links_iface_by_id(chain->links, iface_id);
    const char *name = links_iface_name(chain->owner->links, iface_id);
    const struct ns_entry *entry;
    struct rte_ether_addr mac;
    enum neighbour_value kind;
    char path[LINK_NAME_MAX + 32];

    chain->record->kind = ADJACENCY_UNREACHABLE;
    chain->record->iface = iface_id;
    chain->record->next_hop = address;
    if (name != NULL)
        depend_on_link(chain, ADJACENCY_INTERFACE, "iface", name);
    if (iface == NULL || (iface->port == LINK_NO_ID && iface->bridge == LINK_NO_ID))
        return;
    neighbour_path(iface->name, address, path, sizeof(path));
    entry = read_name(chain, ADJACENCY_NEIGHBOUR, path);
    if (entry == NULL ||
        neighbour_parse(ns_entry_value(entry), entry->value_size, &mac, &kind) != 0)
        chain->record->kind = ADJACENCY_HOLD;
    else if (kind != NEIGHBOUR_VALUE_FAILED)
        through_iface(chain, iface, &mac);
}

static const struct route *look_up(struct chain *chain, uint16_t vrf, rte_be32_t address)
{
    const struct ns_version *version = ns_compile_version(chain->compile);
    const struct route *route =
        route_lookup(route_table_of(version, chain->owner->sources.routes_slot), vrf, address);
    char path[32];

    route_path(route == NULL ? 0 : route->prefix, route == NULL ? 0 : route->length, path,
               sizeof(path));
    ns_compile_depend(chain->compile, path);
    return route;
}

/* Next hops that resolve through each other in a circle end at the depth limit, as unreachable; the mount
 * /route refuses those that it can see. */
static void follow(struct chain *chain, uint16_t vrf, rte_be32_t address)
{
    for (int depth = 0; depth < ADJACENCY_DEPTH; depth++) {
        const struct route *route = look_up(chain, vrf, address);

        chain->record->next_hop = address;
        if (route == NULL) {
            chain->record->kind = ADJACENCY_NO_ROUTE;
            return;
        }
        if (route->kind == ROUTE_DEV || route->kind == ROUTE_CONNECTED) {
            resolve(chain, route->iface, address);
            return;
        }
        if (route->kind != ROUTE_VIA) {
            chain->record->kind = adjacency_end(route->kind);
            return;
        }
        address = route->via;
    }
    chain->record->kind = ADJACENCY_UNREACHABLE;
}

/* ---- hooks ---- */

int adjacency_compile_next_hop(struct ns_anchor *anchor, struct ns_compile *compile)
{
    const union adjacency_key *key = &((struct adjacency_anchor *)anchor)->key;
    struct chain chain;
    int rc = chain_begin(&chain, anchor, compile);

    if (rc == 0)
        follow(&chain, key->scope, key->address);
    return rc;
}

/* When was the station's own name written? A change of it compiles the record, and otherwise only one of its
 * bridge or its port does. */
static void note_station(const struct chain *chain, const struct adjacency *before)
{
    uint32_t number = (uint32_t)chain->record->version, *changed = chain->record->changed;
    bool other = changed[ADJACENCY_PORT] == number || changed[ADJACENCY_INTERFACE] == number;

    changed[ADJACENCY_STATION] =
        before != NULL && other ? before->changed[ADJACENCY_STATION] : number;
}

/* The anchor's own name is read past ns_compile_read(): a change of it compiles the record anyway. */
int adjacency_compile_station(struct ns_anchor *anchor, struct ns_compile *compile)
{
    const union adjacency_key *key = &((struct adjacency_anchor *)anchor)->key;
    const struct link_bridge *bridge;
    const struct link_port *port;
    struct chain chain;
    const char *name;
    int rc = chain_begin(&chain, anchor, compile);

    if (rc != 0)
        return rc;
    bridge = links_bridge_by_id(chain.links, key->scope);
    name = links_bridge_name(chain.owner->links, key->scope);
    if (name != NULL)
        depend_on_link(&chain, ADJACENCY_INTERFACE, "bridge", name);
    chain.record->bridge = key->scope;
    chain.record->station = key->mac;
    chain.record->kind = ADJACENCY_BLACKHOLE;
    if (bridge == NULL)
        return 0;
    port = station_port(
        &chain, bridge,
        ns_tree_lookup(ns_compile_version(compile)->root, anchor->path, anchor->path_size));
    note_station(&chain, anchor->record);
    if (port == NULL)
        chain.record->kind = ADJACENCY_BRIDGE_FLOOD;
    else if (port_usable(port))
        out_of_port(chain.record, ADJACENCY_BRIDGED, port);
    return 0;
}

int adjacency_compile_fixed(struct ns_anchor *anchor, struct ns_compile *compile)
{
    struct chain chain;
    int rc = chain_begin(&chain, anchor, compile);

    if (rc == 0)
        chain.record->kind = (uint8_t)((struct adjacency_anchor *)anchor)->key.address;
    return rc;
}

bool adjacency_same(const void *a, const void *b)
{
    size_t start = sizeof(uint64_t);

    static_assert(offsetof(struct adjacency, version) == 0,
                  "what stands between the version and the links is compared");
    return memcmp((const char *)a + start, (const char *)b + start,
                  offsetof(struct adjacency, changed) - start) == 0;
}
