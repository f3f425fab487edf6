/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Stations: the mount /fdb.
 *
 * The tree says where a station is. Beside it there is, for each learned one, an object that knows
 * when it must be looked at again; it appears and goes with the name, in the hook that runs after each
 * commit. A tick each second looks at a part of them, and removes in one commit those of which nothing
 * has been heard for their bridge's ageing time.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arp/counter_names.h"
#include "arp/judge.h"
#include "arp/station_p.h"
#include "arp/text.h"

/* ---- keys, names and values ---- */

void station_path(const char *bridge, const struct rte_ether_addr *mac, char *path, size_t size)
{
    const char *end = path + size;
    char text[18];

    path = text_put(text_put(path, end, "/fdb/"), end, bridge);
    text_put(text_put(path, end, "/"), end, link_format_mac(mac, text));
}

int station_parse(const char *value, size_t size, char *port, bool *is_static)
{
    const char *space = memchr(value, ' ', size);
    size_t name;

    if (space == NULL)
        return -EINVAL;
    name = (size_t)(space - value);
    if (!judge_link_name(value, name))
        return -EINVAL;
    if (size - name == 7 && memcmp(space, " static", 7) == 0)
        *is_static = true;
    else if (size - name == 8 && memcmp(space, " learned", 8) == 0)
        *is_static = false;
    else
        return -EINVAL;
    memcpy(port, value, name);
    port[name] = 0;
    return 0;
}

/* Where the tree says that the station is. false: nowhere. */
static bool look_up(const struct stations *stations, const char *bridge,
                    const struct rte_ether_addr *mac, char *port, bool *is_static)
{
    char path[LINK_NAME_MAX + 32];
    const struct ns_entry *entry;

    station_path(bridge, mac, path, sizeof(path));
    entry = ns_tree_lookup(ns_store_version(stations->store)->root, path, strlen(path));
    return entry != NULL &&
           station_parse(ns_entry_value(entry), entry->value_size, port, is_static) == 0;
}

bool station_static(const struct stations *stations, const char *bridge,
                    const struct rte_ether_addr *mac, char *port)
{
    bool is_static;

    return look_up(stations, bridge, mac, port, &is_static) && is_static;
}

/* ---- judging ---- */

static int judge_station(struct judge *judge)
{
    struct rte_ether_addr mac;
    char port[LINK_NAME_MAX];
    bool is_static;
    int error = judge_mac_name(judge, &mac);

    if (error != 0)
        return error;
    if (station_parse(judge->value, judge->size, port, &is_static) != 0)
        return judge_refuse(judge, EINVAL,
                            "%s is not where a station is: 'PORT static', such as 'p0 static'",
                            judge->shown);
    if (!is_static && !ns_commit_by_stack(judge->commit) && !judge_same_value(judge))
        return judge_refuse(judge, EPERM,
                            "only the stack learns stations; '%s static' would be right", port);
    return 0;
}

static int station_check(struct ns_mount *mount, struct ns_commit *commit,
                         const struct ns_change *change)
{
    struct judge judge;
    int error;

    judge_begin(&judge, mount, commit, change);
    if (judge.depth == 0)
        return judge_mount_point(&judge);
    if (judge_removal(&judge))
        return 0;
    if (judge.depth == 2)
        return judge_station(&judge);
    if (judge.depth > 2)
        return judge_refuse(&judge, EINVAL, "nothing stands below a station");
    error = judge_name_of(&judge, "a bridge");
    return error != 0 ? error : judge_directory(&judge);
}

/* ---- what is remembered ---- */

static struct station *find(const struct stations *stations, uint64_t key)
{
    return (struct station *)key_table_find(&stations->table, key);
}

static struct station *remember(struct stations *stations, uint64_t key)
{
    struct station *station = calloc(1, sizeof(*station));

    if (station == NULL)
        return NULL;
    station->node.key = key;
    station->heard = stations_now(stations);
    key_table_add(&stations->table, &station->node);
    TAILQ_INSERT_TAIL(&stations->all, station, all);
    stations_start_tick(stations);
    return station;
}

static void forget(struct stations *stations, struct station *station)
{
    key_table_remove(&stations->table, &station->node);
    TAILQ_REMOVE(&stations->all, station, all);
    free(station);
}

/* A name of the mount has changed: follow it. */
static void follow(struct stations *stations, const struct ns_change *change)
{
    char bridge[LINK_NAME_MAX] = "", port[LINK_NAME_MAX];
    const char *name = change->path + stations->mount.path_size + 1, *mac_text = strchr(name, '/');
    const struct ns_entry *after = change->after;
    struct rte_ether_addr mac;
    struct station *station;
    bool is_static = true;
    uint16_t id;

    if (mac_text == NULL || mac_text - name >= LINK_NAME_MAX)
        return;
    memcpy(bridge, name, (size_t)(mac_text - name));
    id = links_bridge_id(stations->links, bridge);
    if (id == 0 || link_parse_mac(mac_text + 1, strlen(mac_text + 1), &mac) != 0)
        return;
    station = find(stations, station_key(id, &mac));
    if (after != NULL &&
        station_parse(ns_entry_value(after), after->value_size, port, &is_static) != 0)
        return;
    if (is_static) {
        if (station != NULL)
            forget(stations, station);
        return;
    }
    if (station == NULL && (station = remember(stations, station_key(id, &mac))) == NULL)
        ns_log_limited(&stations->failures, NS_LOG_ERROR, "no memory: %s will not age",
                       change->path);
    else
        memcpy(station->port, port, sizeof(port));
}

static void station_after(struct ns_mount *mount, struct ns_commit *commit)
{
    struct stations *stations = (struct stations *)mount;
    const struct links *before = links_of(ns_commit_before(commit), stations->slot);
    const struct links *after = links_of(ns_commit_version(commit), stations->slot);
    size_t count;
    const struct ns_change *changes = ns_commit_changes(commit, mount, &count);

    for (size_t i = 0; i < count; i++)
        follow(stations, &changes[i]);
    if (before != after)
        stations_links_changed(stations, before, after);
}

/* ---- learning ---- */

bool station_port_serves(const struct links *links, const struct link_bridge *bridge,
                         const char *port_name)
{
    const struct link_port *port = links_port(links, port_name);

    return port != NULL && port->up && port->bridge != LINK_NO_ID &&
           &links->bridges[port->bridge] == bridge;
}

static int refuse_address(struct stations *stations, const struct link_bridge *bridge,
                          const struct rte_ether_addr *mac)
{
    char text[18];

    stations->counters.refused_address++;
    ns_log_limited(&stations->refusals, NS_LOG_WARNING,
                   "bridge %s: a frame from %s, which is no station's address", bridge->name,
                   link_format_mac(mac, text));
    return -EINVAL;
}

static int refuse_static(struct stations *stations, const struct link_bridge *bridge,
                         const struct rte_ether_addr *mac, const struct link_port *port,
                         const char *right)
{
    char text[18];

    stations->counters.refused_static++;
    ns_log_limited(&stations->refusals, NS_LOG_WARNING,
                   "bridge %s: a frame from %s at port %s, but it is a static station at %s",
                   bridge->name, link_format_mac(mac, text), port->name, right);
    return -EPERM;
}

/* One of ours on this bridge? */
static bool is_own(const struct links *links, const struct link_bridge *bridge,
                   const struct rte_ether_addr *mac)
{
    return bridge->iface != LINK_NO_ID &&
           rte_is_same_ether_addr(&links->ifaces[bridge->iface].mac, mac);
}

static int commit_learned(struct stations *stations, const struct link_bridge *bridge,
                          const struct rte_ether_addr *mac, const struct link_port *port)
{
    char path[LINK_NAME_MAX + 32], value[LINK_NAME_MAX + 16];
    int error;

    station_path(bridge->name, mac, path, sizeof(path));
    snprintf(value, sizeof(value), "%s learned", port->name);
    error = ns_store_put(stations->store, path, value);
    if (error != 0)
        ns_log_limited(&stations->failures, NS_LOG_ERROR, "%s could not be learned: %s", path,
                       strerror(-error));
    return error;
}

static int learn(struct stations *stations, const struct link_bridge *bridge,
                 const struct rte_ether_addr *mac, const struct link_port *port)
{
    uint64_t key = station_key(bridge->id, mac);
    struct station *station;
    int error;

    if (stations->table.count >= STATIONS_MAX) {
        stations->counters.refused_full++;
        ns_log_limited(
            &stations->refusals, NS_LOG_WARNING,
            "bridge %s: %d stations are learned, no more fit; frames to others are flooded",
            bridge->name, STATIONS_MAX);
        return -ENOSPC;
    }
    station = remember(stations, key);
    if (station == NULL)
        return -ENOMEM;
    error = commit_learned(stations, bridge, mac, port);
    if (error == 0)
        stations->counters.learned++;
    else if (find(stations, key) == station)
        forget(stations, station);
    return error;
}

static int move(struct stations *stations, const struct link_bridge *bridge,
                const struct rte_ether_addr *mac, const struct link_port *port, const char *from)
{
    struct station *station = find(stations, station_key(bridge->id, mac));
    char text[18];
    int error;

    if (station != NULL)
        station->heard = stations_now(stations);
    /* Log first: the names in `bridge` and `port` are those of the version before the commit. */
    ns_log_limited(&stations->moves, NS_LOG_NOTICE,
                   "bridge %s: station %s moved from port %s to %s", bridge->name,
                   link_format_mac(mac, text), from, port->name);
    error = commit_learned(stations, bridge, mac, port);
    if (error == 0)
        stations->counters.moved++;
    return error;
}

int stations_seen(struct stations *stations, uint16_t bridge_id, const struct rte_ether_addr *mac,
                  uint16_t port_id)
{
    const struct links *links = stations_links(stations);
    const struct link_bridge *bridge = links_bridge_by_id(links, bridge_id);
    const struct link_port *port = links_port_by_id(links, port_id);
    char known[LINK_NAME_MAX];
    bool is_static;

    /* The frame may have waited in a ring while its port went down or left the bridge. */
    if (bridge == NULL || port == NULL || !station_port_serves(links, bridge, port->name))
        return -ENOENT;
    if (!mac_is_unicast(mac) || is_own(links, bridge, mac))
        return refuse_address(stations, bridge, mac);
    if (!look_up(stations, bridge->name, mac, known, &is_static))
        return learn(stations, bridge, mac, port);
    if (strcmp(known, port->name) == 0)
        return 0;
    if (is_static)
        return refuse_static(stations, bridge, mac, port, known);
    return move(stations, bridge, mac, port, known);
}

/* ---- computed names ---- */

enum { COUNTERS = 8 };

static void name_counters(const struct stations *stations, struct counter_name names[COUNTERS])
{
    const struct stations_counters *c = &stations->counters;
    const struct counter_name sorted[COUNTERS] = {
        {"aged", c->aged},
        {"entries", stations->table.count},
        {"flushed", c->flushed},
        {"learned", c->learned},
        {"moved", c->moved},
        {"refused/address", c->refused_address},
        {"refused/full", c->refused_full},
        {"refused/static", c->refused_static},
    };

    memcpy(names, sorted, sizeof(sorted));
}

static void read_counters(struct ns_query *query, const char *below, void *arg)
{
    struct counter_name names[COUNTERS];

    name_counters(arg, names);
    counter_names_read(query, below, names, COUNTERS);
}

static void list_counters(struct ns_query *query, const char *below, void *arg)
{
    struct counter_name names[COUNTERS];

    name_counters(arg, names);
    counter_names_list(query, below, names, COUNTERS);
}

int stations_stats_add(struct stations *stations, struct ns_stats *stats)
{
    return ns_stats_add(stats, "stations", read_counters, list_counters, stations);
}

void stations_counters(const struct stations *stations, struct stations_counters *out)
{
    *out = stations->counters;
}

size_t stations_learned(const struct stations *stations)
{
    return stations->table.count;
}

/* ---- life ---- */

static const char *const station_also[] = {"/port", "/bridge", "/iface", NULL};

/* A station that was learned is learned again. */
static bool station_transient(const struct ns_mount *mount, const char *path, size_t path_size,
                              const struct ns_entry *entry)
{
    char port[LINK_NAME_MAX];
    bool is_static;

    (void)mount, (void)path, (void)path_size;
    return station_parse(ns_entry_value(entry), entry->value_size, port, &is_static) == 0 &&
           !is_static;
}

static const struct ns_mount_ops station_ops = {
    .name = "stations",
    .also = station_also,
    .check = station_check,
    .transient = station_transient,
    .after = station_after,
};

int stations_new(struct ns_store *store, struct ns_loop *loop, struct links_mount *links,
                 uint64_t (*used)(void *arg, uint16_t bridge_id, const struct rte_ether_addr *mac),
                 void *arg, struct stations **result)
{
    struct stations *stations = calloc(1, sizeof(*stations));
    int error;

    if (stations == NULL)
        return -ENOMEM;
    stations->store = store;
    stations->loop = loop;
    stations->links = links;
    stations->slot = links_slot(links);
    stations->used = used;
    stations->arg = arg;
    stations->tick.fn = stations_tick;
    stations->moves.burst = stations->refusals.burst = stations->failures.burst =
        STATIONS_MOVES_LOGGED;
    TAILQ_INIT(&stations->all);
    error = key_table_init(&stations->table);
    if (error == 0)
        error = ns_mount_add(store, &stations->mount, "/fdb", &station_ops);
    if (error != 0) {
        key_table_fini(&stations->table);
        free(stations);
        return error;
    }
    *result = stations;
    return 0;
}

void stations_free(struct stations *stations)
{
    struct station *station;

    if (stations == NULL)
        return;
    ns_timer_stop(stations->loop, &stations->tick);
    while ((station = TAILQ_FIRST(&stations->all)) != NULL)
        forget(stations, station);
    key_table_fini(&stations->table);
    free(stations);
}
