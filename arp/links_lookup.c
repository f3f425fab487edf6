/* SPDX-License-Identifier: BSD-3-Clause */
/* Reading struct links; any thread that keeps its version alive. */
#include <stdlib.h>
#include <string.h>

#include <rte_byteorder.h>

#include "arp/links.h"

/* All three element types begin with their name. */
static int compare_name(const void *name, const void *element)
{
    return strcmp((const char *)name, (const char *)element);
}

static const void *find(const char *name, const void *elements, size_t count, size_t size)
{
    return count == 0 ? NULL : bsearch(name, elements, count, size, compare_name);
}

const struct link_port *links_port(const struct links *links, const char *name)
{
    return find(name, links->ports, links->port_count, sizeof(*links->ports));
}

const struct link_bridge *links_bridge(const struct links *links, const char *name)
{
    return find(name, links->bridges, links->bridge_count, sizeof(*links->bridges));
}

const struct link_iface *links_iface(const struct links *links, const char *name)
{
    return find(name, links->ifaces, links->iface_count, sizeof(*links->ifaces));
}

const struct link_bridge *links_bridge_by_id(const struct links *links, uint16_t id)
{
    for (uint16_t i = 0; i < links->bridge_count; i++)
        if (links->bridges[i].id == id)
            return &links->bridges[i];
    return NULL;
}

const struct link_iface *links_iface_by_id(const struct links *links, uint16_t id)
{
    for (uint16_t i = 0; i < links->iface_count; i++)
        if (links->ifaces[i].id == id)
            return &links->ifaces[i];
    return NULL;
}

const struct link_port *links_port_by_id(const struct links *links, uint16_t port_id)
{
    if (port_id >= LINK_PORTS_MAX || links->by_port_id[port_id] == LINK_NO_ID)
        return NULL;
    return &links->ports[links->by_port_id[port_id]];
}

const struct link_iface *links_iface_of_port(const struct links *links,
                                             const struct link_port *port)
{
    uint16_t iface = port->bridge == LINK_NO_ID ? port->iface : links->bridges[port->bridge].iface;

    return iface == LINK_NO_ID ? NULL : &links->ifaces[iface];
}

bool links_iface_up(const struct links *links, const struct link_iface *iface)
{
    const struct link_bridge *bridge;

    if (iface->port != LINK_NO_ID)
        return links->ports[iface->port].up;
    if (iface->bridge == LINK_NO_ID)
        return false;
    bridge = &links->bridges[iface->bridge];
    for (uint16_t i = 0; i < bridge->port_count; i++)
        if (links->ports[bridge->ports[i]].up)
            return true;
    return false;
}

const struct link_address *link_subnet(const struct link_iface *iface, rte_be32_t address)
{
    const struct link_address *best = NULL;

    for (uint16_t i = 0; i < iface->address_count; i++) {
        const struct link_address *own = &iface->addresses[i];
        rte_be32_t mask = link_mask(own->prefix_length);

        if (((own->address ^ address) & mask) == 0 &&
            (best == NULL || own->prefix_length > best->prefix_length))
            best = own;
    }
    return best;
}

bool link_own_address(const struct link_iface *iface, rte_be32_t address)
{
    for (uint16_t i = 0; i < iface->address_count; i++)
        if (iface->addresses[i].address == address)
            return true;
    return false;
}
