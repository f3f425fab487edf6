/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a worker knows of devices: struct links by device id, ready for the packet path. Made anew when
 * the links change, which is rare.
 */
#include "dataplane/worker_p.h"

static uint8_t way_out(const struct worker *worker, const struct link_port *port)
{
    if (!port->up || port->lcore >= worker->workers->count)
        return OUT_NONE;
    if (port->lcore == worker->index)
        return (uint8_t)port->id;
    return (uint8_t)(LINK_PORTS_MAX + port->lcore);
}

static void view_fill(struct worker *worker, const struct link_port *port)
{
    const struct links *links = worker->links;
    struct port_view *view = &worker->views[port->id];
    uint16_t iface = port->iface;

    if (port->bridge != LINK_NO_ID) {
        view->bridge = &links->bridges[port->bridge];
        iface = view->bridge->iface;
    }
    if (iface != LINK_NO_ID) {
        view->iface = &links->ifaces[iface];
        view->mac = packet_mac_of(&view->iface->mac);
        view->scope = view->iface->id;
    }
    view->mtu = port->mtu;
    view->open = true;
    view->out = way_out(worker, port);
}

void view_update(struct worker *worker)
{
    const struct links *links = worker->links;
    uint32_t polled = 0;

    for (unsigned i = 0; i < LINK_PORTS_MAX; i++)
        worker->views[i] = (struct port_view){.mac = ~UINT64_C(0), .out = OUT_NONE};
    worker->polled_count = 0;
    for (unsigned i = 0; i < links->port_count; i++) {
        const struct link_port *port = &links->ports[i];

        if (port->id >= LINK_PORTS_MAX)
            continue;
        view_fill(worker, port);
        if (port->lcore != worker->index)
            continue;
        worker->polled[worker->polled_count++] = port->id;
        polled |= UINT32_C(1) << port->id;
    }
    transmit_forget(worker);
    sleep_ports(worker, polled);
}
