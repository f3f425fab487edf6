/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Stations that go: those of which nothing is heard any more, and those behind ports that are down or
 * have left their bridge. What goes together goes in one commit.
 */
#include <stdio.h>
#include <string.h>

#include "arp/station_p.h"

enum {
    TICK_SECONDS = 1,
    SLICE_MIN = 256, /* stations looked at in a tick, and a quarter of all */
};
#define A_SECOND UINT64_C(1000000000)

void stations_start_tick(struct stations *stations)
{
    if (!ns_timer_running(&stations->tick) &&
        ns_timer_start(stations->loop, &stations->tick, TICK_SECONDS * A_SECOND) != 0)
        ns_log_limited(&stations->failures, NS_LOG_ERROR,
                       "no memory for a timer: stations do not age");
}

/* ---- removing ---- */

/* A transaction that removes names of stations; begun with the first of them. */
struct removal {
    struct stations *stations;
    struct ns_txn *txn;
    size_t count;
    int error;
};

static bool removal_begin(struct removal *removal)
{
    if (removal->txn == NULL && removal->error == 0)
        removal->error = ns_txn_begin(removal->stations->store, &ns_identity_stack, &removal->txn);
    return removal->error == 0;
}

static void removal_add(struct removal *removal, const char *bridge,
                        const struct rte_ether_addr *mac)
{
    char path[LINK_NAME_MAX + 32];

    if (!removal_begin(removal))
        return;
    station_path(bridge, mac, path, sizeof(path));
    removal->error = ns_txn_remove(removal->txn, path);
    removal->count++;
}

/* The directory of a bridge that is gone, unless something configured is left in it. */
static void removal_add_directory(struct removal *removal, const char *bridge)
{
    const struct ns_entry *entry;
    char path[LINK_NAME_MAX + 8];

    snprintf(path, sizeof(path), "/fdb/%s", bridge);
    if (removal_begin(removal) && ns_txn_get(removal->txn, path, &entry) == 0 &&
        entry->child_count == 0)
        removal->error = ns_txn_remove(removal->txn, path);
}

/* Commit it. How many were removed; what failed is tried again by the next tick. */
static size_t removal_end(struct removal *removal)
{
    int error = removal->error;

    if (removal->txn != NULL && error == 0)
        error = ns_txn_commit(removal->txn, NULL, NULL);
    else if (removal->txn != NULL)
        ns_txn_abort(removal->txn);
    if (error != 0)
        ns_log_limited(&removal->stations->failures, NS_LOG_ERROR,
                       "stations could not be removed: %s", strerror(-error));
    return error == 0 ? removal->count : 0;
}

/* Remove the stations behind ports that are down or have left, all in one commit. */
static void flush(struct stations *stations, const struct links *before)
{
    const struct links *links = stations_links(stations);
    struct removal removal = {.stations = stations};
    struct station *station;

    TAILQ_FOREACH (station, &stations->all, all) {
        struct rte_ether_addr mac;
        uint16_t id = station_key_split(station->node.key, &mac);
        const struct link_bridge *bridge = links_bridge_by_id(links, id);

        if (bridge == NULL || !station_port_serves(links, bridge, station->port))
            removal_add(&removal, links_bridge_name(stations->links, id), &mac);
    }
    for (uint16_t i = 0; i < before->bridge_count; i++)
        if (links_bridge(links, before->bridges[i].name) == NULL)
            removal_add_directory(&removal, before->bridges[i].name);
    stations->counters.flushed += removal_end(&removal);
}

/* Has a port that served a bridge ceased to, or is a bridge gone? */
static bool something_lost(const struct links *before, const struct links *after)
{
    for (uint16_t i = 0; i < before->port_count; i++) {
        const struct link_port *port = &before->ports[i];
        const struct link_bridge *bridge;

        if (!port->up || port->bridge == LINK_NO_ID)
            continue;
        bridge = links_bridge(after, before->bridges[port->bridge].name);
        if (bridge == NULL || !station_port_serves(after, bridge, port->name))
            return true;
    }
    for (uint16_t i = 0; i < before->bridge_count; i++)
        if (links_bridge(after, before->bridges[i].name) == NULL)
            return true;
    return false;
}

/* ---- ageing ---- */

/* Is nothing heard of it any more? Asks the lcores when the time that it was remembered for is over. */
static bool is_aged(struct stations *stations, struct station *station,
                    const struct link_bridge *bridge, const struct rte_ether_addr *mac)
{
    uint64_t now = stations_now(stations), used;

    if (bridge->ageing == 0 || station->heard + bridge->ageing > now)
        return false;
    used = stations->used == NULL ? 0 : stations->used(stations->arg, bridge->id, mac);
    if (used > station->heard)
        station->heard = used;
    return station->heard + bridge->ageing <= now;
}

static void age(struct stations *stations)
{
    const struct links *links = stations_links(stations);
    struct removal removal = {.stations = stations};
    size_t slice = RTE_MIN(stations->table.count, SLICE_MIN + stations->table.count / 4);

    for (; slice > 0; slice--) {
        struct station *station = TAILQ_FIRST(&stations->all);
        struct rte_ether_addr mac;
        const struct link_bridge *bridge;
        uint16_t id;

        TAILQ_REMOVE(&stations->all, station, all);
        TAILQ_INSERT_TAIL(&stations->all, station, all);
        id = station_key_split(station->node.key, &mac);
        bridge = links_bridge_by_id(links, id);
        if (bridge == NULL || is_aged(stations, station, bridge, &mac))
            removal_add(&removal, links_bridge_name(stations->links, id), &mac);
    }
    stations->counters.aged += removal_end(&removal);
}

void stations_tick(struct ns_timer *timer)
{
    struct stations *stations =
        (struct stations *)((char *)timer - offsetof(struct stations, tick));

    age(stations);
    if (stations->table.count > 0)
        stations_start_tick(stations);
}

void stations_links_changed(struct stations *stations, const struct links *before,
                            const struct links *after)
{
    if (something_lost(before, after))
        flush(stations, before);
}
