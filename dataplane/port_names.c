/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ports: names below /port, read and written.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "dataplane/port_p.h"
#include "nameserv/log.h"

enum { PATH_SIZE = 64 + LINK_NAME_MAX };

/* ---- what is committed ---- */

static const struct ns_entry *entry_of(const struct ports *ports, const char *port,
                                       const char *name)
{
    char path[PATH_SIZE];
    int size = snprintf(path, sizeof(path), "/port/%s/%s", port, name);

    return ns_tree_lookup(ns_store_version(ports->store)->root, path, (size_t)size);
}

struct port_wanted port_wanted(const struct port *port)
{
    const struct ports *ports = port->ports;
    const struct links *links = links_of(ns_store_version(ports->store), ports->links_slot);
    const struct link_port *link = links_port(links, port->name);
    const struct ns_entry *devargs = entry_of(ports, port->name, "devargs");
    struct port_wanted wanted = {.id = LINK_NO_ID};

    if (link == NULL || devargs == NULL || devargs->value_size == 0)
        return wanted;
    wanted.wanted = true;
    snprintf(wanted.devargs, sizeof(wanted.devargs), "%.*s", (int)devargs->value_size,
             ns_entry_value(devargs));
    wanted.mtu = link->mtu;
    wanted.serving = ports->workers->count;
    if (link->workers > 0)
        wanted.serving = RTE_MIN(wanted.serving, (unsigned)link->workers);
    wanted.queues = RTE_MIN(wanted.serving, (unsigned)link->queues);
    wanted.id = link->id;
    return wanted;
}

/* ---- what is reported ---- */

struct report {
    const char *name, *value; /* NULL: remove */
};

static int write_reports(struct ns_txn *txn, const struct port *port, const struct report *reports,
                         size_t count)
{
    char path[PATH_SIZE];
    int error = 0;

    for (size_t i = 0; i < count && error == 0; i++) {
        snprintf(path, sizeof(path), "/port/%s/%s", port->name, reports[i].name);
        if (reports[i].value != NULL)
            error = ns_txn_write(txn, path, reports[i].value, strlen(reports[i].value));
        else
            error = ns_txn_remove(txn, path);
    }
    return error;
}

/* All in one transaction. A port that the user has removed has no names to report in. */
static int report(struct port *port, const struct report *reports, size_t count)
{
    struct ns_reason reason = {.text = ""};
    struct ns_txn *txn;
    uint64_t version;
    int error;

    if (!port_wanted(port).wanted)
        return -ENOENT;
    error = ns_txn_begin(port->ports->store, &ns_identity_stack, &txn);
    if (error == 0) {
        error = write_reports(txn, port, reports, count);
        if (error == 0)
            error = ns_txn_commit(txn, &version, &reason);
        else
            ns_txn_abort(txn);
    }
    if (error < 0)
        ns_log(NS_LOG_ERROR, "port %s: its state can't be committed: %s%s%s", port->name,
               strerror(-error), reason.text[0] != '\0' ? ": " : "", reason.text);
    return error;
}

int port_report_open(struct port *port)
{
    char id[8], lcore[8], mac[18], rx[8], tx[8];
    const struct report reports[] = {
        {"id", id},        {"mac", mac},      {"lcore", lcore}, {"link", port->up ? "up" : "down"},
        {"rx_queues", rx}, {"tx_queues", tx}, {"error", NULL},
    };

    snprintf(id, sizeof(id), "%u", port->id);
    snprintf(lcore, sizeof(lcore), "%u", port->worker);
    snprintf(rx, sizeof(rx), "%u", port->job.rx_queues);
    snprintf(tx, sizeof(tx), "%u", port->job.tx_queues);
    link_format_mac(&port->mac, mac);
    return report(port, reports, RTE_DIM(reports));
}

int port_report_closed(struct port *port, const char *why)
{
    const struct report reports[] = {
        {"link", "down"},    {"id", NULL},        {"mac", NULL},  {"lcore", NULL},
        {"rx_queues", NULL}, {"tx_queues", NULL}, {"error", why},
    };

    return report(port, reports, RTE_DIM(reports));
}

int port_report_link(struct port *port)
{
    const struct report reports[] = {{"link", port->up ? "up" : "down"}};

    return report(port, reports, RTE_DIM(reports));
}

int port_report_error(struct port *port, const char *why)
{
    const struct report reports[] = {{"error", why}};

    return report(port, reports, RTE_DIM(reports));
}

bool port_has_error(const struct port *port, const char *why)
{
    const struct ns_entry *error = entry_of(port->ports, port->name, "error");

    return error != NULL && error->value_size == strlen(why) &&
           memcmp(ns_entry_value(error), why, error->value_size) == 0;
}
