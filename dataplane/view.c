/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a worker knows of devices: struct links by device id, ready for the packet path. Made anew when
 * the links change, which is rare.
 */
#include "dataplane/worker_p.h"

/* The worker that is the i-th of a port's, counted from its first. */
static unsigned worker_at(const struct worker *worker, const struct link_port *port, unsigned i)
{
    return (port->lcore + i) % worker->workers->count;
}

static unsigned served_by(const struct worker *worker, const struct link_port *port)
{
    unsigned count = worker->workers->count;

    return port->workers == 0 ? count : RTE_MIN((unsigned)port->workers, count);
}

/* A transmit queue of our own, if there are enough; else by way of a worker that has one, always the same. */
static void view_way_out(struct worker *worker, const struct link_port *port,
                         struct port_view *view)
{
    unsigned count = worker->workers->count;
    unsigned place = (worker->index + count - port->lcore % count) % count;

    view->out = OUT_NONE;
    if (!port->up || port->lcore >= count)
        return;
    view->tx_queue = (uint8_t)(place % port->tx_queues);
    view->out = place < port->tx_queues
                    ? (uint8_t)port->id
                    : (uint8_t)(OUT_BETWEEN + worker_at(worker, port, view->tx_queue));
}

/* The receive queues of the port that are this worker's. Returns their mask. */
static uint16_t view_way_in(struct worker *worker, const struct link_port *port,
                            struct port_view *view)
{
    unsigned served = served_by(worker, port);
    uint16_t mask = 0;

    if (port->lcore >= worker->workers->count)
        return 0;
    if (port->rx_queues < served) {
        view->spread = (uint8_t)served;
        worker->first_worker[port->id] = (uint8_t)port->lcore;
    }
    for (uint16_t queue = 0; queue < port->rx_queues; queue++) {
        if (worker_at(worker, port, queue % served) != worker->index)
            continue;
        worker->polled[worker->polled_count++] = (struct polled){port->id, queue};
        mask |= (uint16_t)(1u << queue);
    }
    return mask;
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
    view_way_out(worker, port, view);
}

void view_update(struct worker *worker)
{
    const struct links *links = worker->links;
    uint16_t polled[LINK_PORTS_MAX] = {0};

    for (unsigned i = 0; i < LINK_PORTS_MAX; i++)
        worker->views[i] = (struct port_view){.mac = PACKET_MAC_NONE, .out = OUT_NONE};
    worker->polled_count = 0;
    for (unsigned i = 0; i < links->port_count; i++) {
        const struct link_port *port = &links->ports[i];

        if (port->id >= LINK_PORTS_MAX)
            continue;
        view_fill(worker, port);
        polled[port->id] = view_way_in(worker, port, &worker->views[port->id]);
    }
    transmit_forget(worker);
    sleep_ports(worker, polled);
}
