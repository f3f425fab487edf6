/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Stations: the mount /fdb.
 *
 * The tree says where a station is. Beside it there is, for each learned one, an object that knows
 * when it must be looked at again; it appears and goes with the name, in the hook that runs after each
 * commit. A tick each second looks at a part of them, and removes in one commit those of which nothing
 * has been heard for their bridge's ageing time.
 */
#include "arp/station.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "arp/counter_names.h"
#include "arp/judge.h"
#include "arp/key_table.h"
#include "nameserv/log.h"

enum {
    TICK_SECONDS = 1,
    SLICE_MIN = 256, /* stations looked at in a tick, and a quarter of all */
};
#define A_SECOND UINT64_C(1000000000)

/* What is remembered of a learned station. */
struct station {
    struct key_node node; /* first; key_of() */
    TAILQ_ENTRY(station) all;
    char port[LINK_NAME_MAX];
    uint64_t heard; /* seconds; when it was learned, moved, or last found to be in use */
};

TAILQ_HEAD(station_list, station);

struct stations {
    struct ns_mount mount; /* first */
    struct ns_store *store;
    struct ns_loop *loop;
    struct links_mount *links;
    int slot;
    uint64_t (*used)(void *arg, uint16_t bridge_id, const struct rte_ether_addr *mac);
    void *arg;
    struct key_table table;
    struct station_list all; /* in the order in which they will be looked at */
    struct ns_timer tick;
    struct stations_counters counters;
    struct ns_log_limit moves, refusals, failures;
};

static const struct links *current_links(const struct stations *stations)
{
    return links_of(ns_store_version(stations->store), stations->slot);
}

static uint64_t seconds_now(const struct stations *stations)
{
    return ns_loop_now(stations->loop) / A_SECOND;
}

/* ---- keys, names and values ---- */

static uint64_t key_of(uint16_t bridge_id, const struct rte_ether_addr *mac)
{
    uint64_t key = bridge_id;

    for (int i = 0; i < RTE_ETHER_ADDR_LEN; i++)
        key = key << 8 | mac->addr_bytes[i];
    return key;
}

static uint16_t key_split(uint64_t key, struct rte_ether_addr *mac)
{
    for (int i = RTE_ETHER_ADDR_LEN - 1; i >= 0; i--, key >>= 8)
        mac->addr_bytes[i] = (uint8_t)key;
    return (uint16_t)key;
}

void station_path(const char *bridge, const struct rte_ether_addr *mac, char *path, size_t size)
{
    char text[18];

    snprintf(path, size, "/fdb/%s/%s", bridge, link_format_mac(mac, text));
}

int station_parse(const char *value, size_t size, char *port, bool *is_static)
{
    const char *space = memchr(value, ' ', size);
    size_t name = space == NULL ? 0 : (size_t)(space - value);

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
static bool look_up(const struct stations *stations, const char *bridge, const struct rte_ether_addr *mac,
                    char *port, bool *is_static)
{
    char path[LINK_NAME_MAX + 32];
    const struct ns_entry *entry;

    station_path(bridge, mac, path, sizeof(path));
    entry = ns_tree_lookup(ns_store_version(stations->store)->root, path, strlen(path));
    return entry != NULL && station_parse(ns_entry_value(entry), entry->value_size, port, is_static) == 0;
}

bool station_static(const struct stations *stations, const char *bridge, const struct rte_ether_addr *mac,
                    char *port)
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
        return judge_refuse(judge, EINVAL, "%s is not where a station is: 'PORT static', such as 'p0 static'",
                            judge->shown);
    if (!is_static && !ns_commit_by_stack(judge->commit) && !judge_same_value(judge))
        return judge_refuse(judge, EPERM, "only the stack learns stations; '%s static' would be right", port);
    return 0;
}

static int station_check(struct ns_mount *mount, struct ns_commit *commit, const struct ns_change *change)
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

static void start_tick(struct stations *stations)
{
    if (!ns_timer_running(&stations->tick) &&
        ns_timer_start(stations->loop, &stations->tick, TICK_SECONDS * A_SECOND) != 0)
        ns_log_limited(&stations->failures, NS_LOG_ERROR, "no memory for a timer: stations do not age");
}

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
    station->heard = seconds_now(stations);
    key_table_add(&stations->table, &station->node);
    TAILQ_INSERT_TAIL(&stations->all, station, all);
    start_tick(stations);
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
    station = find(stations, key_of(id, &mac));
    if (after != NULL && station_parse(ns_entry_value(after), after->value_size, port, &is_static) != 0)
        return;
    if (is_static) {
        if (station != NULL)
            forget(stations, station);
        return;
    }
    if (station == NULL && (station = remember(stations, key_of(id, &mac))) == NULL)
        ns_log_limited(&stations->failures, NS_LOG_ERROR, "no memory: %s will not age", change->path);
    else
        memcpy(station->port, port, sizeof(port));
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

static void removal_add(struct removal *removal, const char *bridge, const struct rte_ether_addr *mac)
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
    if (removal_begin(removal) && ns_txn_get(removal->txn, path, &entry) == 0 && entry->child_count == 0)
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
        ns_log_limited(&removal->stations->failures, NS_LOG_ERROR, "stations could not be removed: %s",
                       strerror(-error));
    return error == 0 ? removal->count : 0;
}

/* Does the port still lead to a station of this bridge? */
static bool port_serves(const struct links *links, const struct link_bridge *bridge, const char *port_name)
{
    const struct link_port *port = links_port(links, port_name);

    return port != NULL && port->up && port->bridge != LINK_NO_ID &&
           &links->bridges[port->bridge] == bridge;
}

/* Remove the stations behind ports that are down or have left, all in one commit. */
static void flush(struct stations *stations, const struct links *before)
{
    const struct links *links = current_links(stations);
    struct removal removal = {.stations = stations};
    struct station *station;

    TAILQ_FOREACH(station, &stations->all, all) {
        struct rte_ether_addr mac;
        uint16_t id = key_split(station->node.key, &mac);
        const struct link_bridge *bridge = links_bridge_by_id(links, id);

        if (bridge == NULL || !port_serves(links, bridge, station->port))
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
        if (bridge == NULL || !port_serves(after, bridge, port->name))
            return true;
    }
    for (uint16_t i = 0; i < before->bridge_count; i++)
        if (links_bridge(after, before->bridges[i].name) == NULL)
            return true;
    return false;
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
    if (before != after && something_lost(before, after))
        flush(stations, before);
}

/* ---- ageing ---- */

/* Is nothing heard of it any more? Asks the lcores when the time that it was remembered for is over. */
static bool is_aged(struct stations *stations, struct station *station, const struct link_bridge *bridge,
                    const struct rte_ether_addr *mac)
{
    uint64_t now = seconds_now(stations), used;

    if (bridge->ageing == 0 || station->heard + bridge->ageing > now)
        return false;
    used = stations->used == NULL ? 0 : stations->used(stations->arg, bridge->id, mac);
    if (used > station->heard)
        station->heard = used;
    return station->heard + bridge->ageing <= now;
}

static void age(struct stations *stations)
{
    const struct links *links = current_links(stations);
    struct removal removal = {.stations = stations};
    size_t slice = RTE_MIN(stations->table.count, SLICE_MIN + stations->table.count / 4);

    for (; slice > 0; slice--) {
        struct station *station = TAILQ_FIRST(&stations->all);
        struct rte_ether_addr mac;
        const struct link_bridge *bridge;
        uint16_t id;

        TAILQ_REMOVE(&stations->all, station, all);
        TAILQ_INSERT_TAIL(&stations->all, station, all);
        id = key_split(station->node.key, &mac);
        bridge = links_bridge_by_id(links, id);
        if (bridge == NULL || is_aged(stations, station, bridge, &mac))
            removal_add(&removal, links_bridge_name(stations->links, id), &mac);
    }
    stations->counters.aged += removal_end(&removal);
}

static void tick(struct ns_timer *timer)
{
    struct stations *stations = (struct stations *)((char *)timer - offsetof(struct stations, tick));

    age(stations);
    if (stations->table.count > 0)
        start_tick(stations);
}

/* ---- learning ---- */

static int refuse_address(struct stations *stations, const struct link_bridge *bridge,
                          const struct rte_ether_addr *mac)
{
    char text[18];

    stations->counters.refused_address++;
    ns_log_limited(&stations->refusals, NS_LOG_WARNING, "bridge %s: a frame from %s, which is no station's address",
                   bridge->name, link_format_mac(mac, text));
    return -EINVAL;
}

static int refuse_static(struct stations *stations, const struct link_bridge *bridge,
                         const struct rte_ether_addr *mac, const struct link_port *port, const char *right)
{
    char text[18];

    stations->counters.refused_static++;
    ns_log_limited(&stations->refusals, NS_LOG_WARNING,
                   "bridge %s: a frame from %s at port %s, but it is a static station at %s", bridge->name,
                   link_format_mac(mac, text), port->name, right);
    return -EPERM;
}

/* One of ours on this bridge? */
static bool is_own(const struct links *links, const struct link_bridge *bridge, const struct rte_ether_addr *mac)
{
    return bridge->iface != LINK_NO_ID && rte_is_same_ether_addr(&links->ifaces[bridge->iface].mac, mac);
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
        ns_log_limited(&stations->failures, NS_LOG_ERROR, "%s could not be learned: %s", path, strerror(-error));
    return error;
}

static int learn(struct stations *stations, const struct link_bridge *bridge, const struct rte_ether_addr *mac,
                 const struct link_port *port)
{
    uint64_t key = key_of(bridge->id, mac);
    struct station *station;
    int error;

    if (stations->table.count >= STATIONS_MAX) {
        stations->counters.refused_full++;
        ns_log_limited(&stations->refusals, NS_LOG_WARNING,
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

static int move(struct stations *stations, const struct link_bridge *bridge, const struct rte_ether_addr *mac,
                const struct link_port *port, const char *from)
{
    struct station *station = find(stations, key_of(bridge->id, mac));
    char text[18];
    int error;

    if (station != NULL)
        station->heard = seconds_now(stations);
    /* Log first: the names in `bridge` and `port` are those of the version before the commit. */
    ns_log_limited(&stations->moves, NS_LOG_NOTICE, "bridge %s: station %s moved from port %s to %s", bridge->name,
                   link_format_mac(mac, text), from, port->name);
    error = commit_learned(stations, bridge, mac, port);
    if (error == 0)
        stations->counters.moved++;
    return error;
}

int stations_seen(struct stations *stations, uint16_t bridge_id, const struct rte_ether_addr *mac,
                  uint16_t port_id)
{
    const struct links *links = current_links(stations);
    const struct link_bridge *bridge = links_bridge_by_id(links, bridge_id);
    const struct link_port *port = links_port_by_id(links, port_id);
    char known[LINK_NAME_MAX];
    bool is_static;

    /* The frame may have waited in a ring while its port went down or left the bridge. */
    if (bridge == NULL || port == NULL || !port_serves(links, bridge, port->name))
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

static const struct ns_mount_ops station_ops = {
    .name = "stations",
    .also = station_also,
    .check = station_check,
    .after = station_after,
};

int stations_new(struct ns_store *store, struct ns_loop *loop, struct links_mount *links,
                 uint64_t (*used)(void *arg, uint16_t bridge_id, const struct rte_ether_addr *mac), void *arg,
                 struct stations **result)
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
    stations->tick.fn = tick;
    stations->moves.burst = stations->refusals.burst = stations->failures.burst = STATIONS_MOVES_LOGGED;
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
