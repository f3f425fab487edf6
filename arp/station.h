/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Stations: which port of a bridge a MAC address is behind (IEEE 802.1Q's filtering database).
 *
 * /fdb/BRIDGE/MAC holds "PORT static", written by users, or "PORT learned", written by the stack when
 * an lcore sees a source address at a port where it was not known. Learned ones age out, go when their
 * port goes down or leaves the bridge, and move with the last frame seen; static ones never do.
 *
 * Thread safety: the control core only.
 */
#ifndef KEDGE_ARP_STATION_H
#define KEDGE_ARP_STATION_H

#include "arp/links.h"
#include "nameserv/loop.h"
#include "nameserv/stats.h"

struct stations;

struct stations_counters {
    uint64_t learned, moved, aged, flushed;
    uint64_t refused_static;  /* a frame from a static station's address at another port */
    uint64_t refused_full;    /* more than STATIONS_MAX learned */
    uint64_t refused_address; /* multicast, zero, or our own interface's on the bridge */
};
enum { STATIONS_MAX = 65536, STATIONS_MOVES_LOGGED = 5 };

/* used: when was a frame from this station last seen, in seconds of CLOCK_MONOTONIC; 0: not known.
 * Asked when a station is about to age out. */
int stations_new(struct ns_store *store, struct ns_loop *loop, struct links_mount *links,
                 uint64_t (*used)(void *arg, uint16_t bridge_id, const struct rte_ether_addr *mac),
                 void *arg, struct stations **stations);
/* Frees what is remembered of the stations; their names stay. Before the loop is freed; afterwards the
 * store may run no commit any more. */
void stations_free(struct stations *stations);

/* A frame with this source address came in at the port (device id) of the bridge. Commits what it
 * means. Multicast, broadcast and zero addresses, and addresses of our own interfaces, are refused.
 * 0: known or learned; negative: refused, counted and (rate-limited) logged. */
int stations_seen(struct stations *stations, uint16_t bridge_id, const struct rte_ether_addr *mac,
                  uint16_t port_id);

/* How many stations are known by learning now. */
size_t stations_learned(const struct stations *stations);

/* Is the address a static station of the bridge? Then port[LINK_NAME_MAX] gets the port's name. */
bool station_static(const struct stations *stations, const char *bridge,
                    const struct rte_ether_addr *mac, char *port);

/* Answer for /stats/stations/NAME: the counters, and `entries`. 0 or as ns_stats_add(). */
int stations_stats_add(struct stations *stations, struct ns_stats *stats);

void stations_counters(const struct stations *stations, struct stations_counters *out);

/* Parse the value of a /fdb name: the port's name into port[LINK_NAME_MAX], and whether it is static.
 * 0 or -EINVAL. */
int station_parse(const char *value, size_t size, char *port, bool *is_static);

/* Write "/fdb/BRIDGE/MAC" to path[NS_PATH_MAX + 1]. */
void station_path(const char *bridge, const struct rte_ether_addr *mac, char *path, size_t size);

#endif
