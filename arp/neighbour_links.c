/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Interfaces that come, go and move: their learned neighbours go with them, and what they are now is
 * announced.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "arp/neighbour_p.h"

/* What the interface is on, by name. */
static const char *port_of(const struct links *links, const struct link_iface *iface)
{
    return iface->port == LINK_NO_ID ? "" : links->ports[iface->port].name;
}

static const char *bridge_of(const struct links *links, const struct link_iface *iface)
{
    return iface->bridge == LINK_NO_ID ? "" : links->bridges[iface->bridge].name;
}

static bool is_moved(const struct links *before, const struct link_iface *old,
                     const struct links *after, const struct link_iface *iface)
{
    return strcmp(port_of(before, old), port_of(after, iface)) != 0 ||
           strcmp(bridge_of(before, old), bridge_of(after, iface)) != 0;
}

/* Nobody says that the hosts behind a cable that was pulled are still there when it comes back (Linux
 * flushes on loss of carrier, too). Not so behind a bridge: a station may have moved to another port. */
static bool lost_carrier(const struct links *before, const struct link_iface *old,
                         const struct links *after, const struct link_iface *iface)
{
    return old->port != LINK_NO_ID && iface->port != LINK_NO_ID && before->ports[old->port].up &&
           !after->ports[iface->port].up;
}

static bool same_addresses(const struct link_iface *a, const struct link_iface *b)
{
    if (a->address_count != b->address_count)
        return false;
    for (uint16_t i = 0; i < a->address_count; i++)
        if (a->addresses[i].address != b->addresses[i].address ||
            a->addresses[i].prefix_length != b->addresses[i].prefix_length)
            return false;
    return true;
}

/* ---- neighbours that go ---- */

/* Is what was learned of this neighbour void now? */
static bool is_void(const struct neighbour *neighbour, const struct links *before,
                    const struct links *after)
{
    const struct link_iface *old = links_iface_by_id(before, neighbour->iface);
    const struct link_iface *now = links_iface_by_id(after, neighbour->iface);

    if (now == NULL || old == NULL || is_moved(before, old, after, now) ||
        lost_carrier(before, old, after, now) || now->mode != old->mode)
        return true;
    if (now->address_count == 0 || link_own_address(now, neighbour->address))
        return true;
    return link_subnet(old, neighbour->address) != NULL &&
           link_subnet(now, neighbour->address) == NULL;
}

/* Has anything happened that can make a neighbour void? Then all are looked at. */
static bool something_lost(const struct links *before, const struct links *after)
{
    for (uint16_t i = 0; i < before->iface_count; i++) {
        const struct link_iface *old = &before->ifaces[i], *now = links_iface(after, old->name);

        if (now == NULL || is_moved(before, old, after, now) ||
            lost_carrier(before, old, after, now) || now->mode != old->mode ||
            !same_addresses(old, now))
            return true;
    }
    return false;
}

static int remove_name(struct neighbours *neighbours, struct ns_txn *txn,
                       const struct neighbour *neighbour)
{
    char path[NEIGHBOUR_PATH];

    neighbour_path(links_iface_name(neighbours->links, neighbour->iface), neighbour->address, path,
                   sizeof(path));
    return ns_txn_remove(txn, path);
}

static int remove_names(struct neighbours *neighbours, struct ns_txn *txn,
                        const struct links *before, const struct links *after)
{
    struct neighbour *neighbour, *next;
    int error = 0;

    for (neighbour = TAILQ_FIRST(&neighbours->all); error == 0 && neighbour != NULL;
         neighbour = next) {
        next = TAILQ_NEXT(neighbour, all);
        if (!is_void(neighbour, before, after))
            continue;
        if (neighbour->committed)
            error = remove_name(neighbours, txn, neighbour);
        else
            neighbour_drop(neighbour);
    }
    return error;
}

/* The directories of interfaces that are gone, unless something configured is left in them. */
static int remove_directories(struct ns_txn *txn, const struct links *before,
                              const struct links *after)
{
    int error = 0;

    for (uint16_t i = 0; error == 0 && i < before->iface_count; i++) {
        const struct ns_entry *entry;
        char path[NEIGHBOUR_PATH];

        if (links_iface(after, before->ifaces[i].name) != NULL)
            continue;
        snprintf(path, sizeof(path), "/neigh/%s", before->ifaces[i].name);
        if (ns_txn_get(txn, path, &entry) == 0 && entry->child_count == 0)
            error = ns_txn_remove(txn, path);
    }
    return error;
}

/* Remove all that is void, in one commit; the objects of names go in the hook after it. */
static void remove_void(struct neighbours *neighbours, const struct links *before,
                        const struct links *after)
{
    struct ns_txn *txn;
    int error = ns_txn_begin(neighbours->store, &ns_identity_stack, &txn);

    if (error == 0) {
        error = remove_names(neighbours, txn, before, after);
        if (error == 0)
            error = remove_directories(txn, before, after);
        if (error == 0)
            error = ns_txn_commit(txn, NULL, NULL);
        else
            ns_txn_abort(txn);
    }
    if (error != 0)
        ns_log_limited(&neighbours->failures, NS_LOG_ERROR, "neighbours could not be removed: %s",
                       strerror(-error));
}

/* ---- announcing ---- */

/* Has a port come up that leads to the interface? */
static bool came_up(const struct links *before, const struct links *after,
                    const struct link_iface *iface)
{
    for (uint16_t i = 0; i < after->port_count; i++) {
        const struct link_port *port = &after->ports[i], *old = links_port(before, port->name);

        if (port->up && links_iface_of_port(after, port) == iface && (old == NULL || !old->up))
            return true;
    }
    return false;
}

static bool is_news(const struct links *before, const struct links *after,
                    const struct link_iface *iface)
{
    const struct link_iface *old = links_iface(before, iface->name);

    return old == NULL || !rte_is_same_ether_addr(&old->mac, &iface->mac) ||
           !same_addresses(old, iface) || is_moved(before, old, after, iface) ||
           came_up(before, after, iface);
}

void neighbours_links_changed(struct neighbours *neighbours, const struct links *before,
                              const struct links *after)
{
    if (something_lost(before, after))
        remove_void(neighbours, before, after);
    for (uint16_t i = 0; i < after->iface_count; i++) {
        const struct link_iface *iface = &after->ifaces[i];

        if (iface->address_count > 0 && links_iface_up(after, iface) &&
            is_news(before, after, iface))
            neighbours_announce(neighbours, iface->id);
    }
}
