/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ports: what they have counted.
 *
 * Workers count by device id, and an id is given to another device when one was closed: so what the
 * id had counted at opening is taken away, and what earlier devices of the port have counted is
 * added.
 */
#include <string.h>

#include <rte_ethdev.h>

#include "dataplane/port_p.h"

struct port_counters port_counters_by_id(const struct ports *ports, uint16_t id)
{
    struct port_counters sum = {.rx_packets = 0};

    for (unsigned i = 0; i < ports->workers->count; i++) {
        const struct port_counters *one = &worker_counters(ports->workers->worker[i])->ports[id];

        sum.rx_packets += one->rx_packets;
        sum.rx_bytes += one->rx_bytes;
        sum.tx_packets += one->tx_packets;
        sum.tx_bytes += one->tx_bytes;
        sum.tx_dropped += one->tx_dropped;
    }
    return sum;
}

struct port_counters port_counters_of(const struct port *port)
{
    struct port_counters now = port->before;

    if (port->state == PORT_OPEN || port->state == PORT_DRAINING) {
        struct port_counters sum = port_counters_by_id(port->ports, port->id);

        now.rx_packets += sum.rx_packets - port->base.rx_packets;
        now.rx_bytes += sum.rx_bytes - port->base.rx_bytes;
        now.tx_packets += sum.tx_packets - port->base.tx_packets;
        now.tx_bytes += sum.tx_bytes - port->base.tx_bytes;
        now.tx_dropped += sum.tx_dropped - port->base.tx_dropped;
    }
    return now;
}

static void fill_status(const struct port *port, struct port_status *status)
{
    struct rte_eth_stats stats;

    *status = (struct port_status){.open = port->state == PORT_OPEN, .id = port->id};
    memcpy(status->name, port->name, sizeof(status->name));
    status->counters = port_counters_of(port);
    if (status->open && rte_eth_stats_get(port->id, &stats) == 0) {
        status->rx_missed = stats.imissed + stats.rx_nombuf;
        status->rx_errors = stats.ierrors;
        status->tx_errors = stats.oerrors;
    }
}

bool ports_status(struct ports *ports, const char *name, struct port_status *status)
{
    struct port *port = *port_place(ports, name);

    if (port == NULL || strcmp(port->name, name) != 0)
        return false;
    fill_status(port, status);
    return true;
}

bool ports_next(struct ports *ports, const char *name, struct port_status *status)
{
    struct port *port = *port_place(ports, name);

    if (port != NULL && strcmp(port->name, name) == 0)
        port = port->next;
    if (port == NULL)
        return false;
    fill_status(port, status);
    return true;
}
