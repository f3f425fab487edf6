/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inside of the stations: what station.c (the mount /fdb, learning) and station_age.c (ageing, flushing)
 * share. For them only.
 */
#ifndef KEDGE_ARP_STATION_P_H
#define KEDGE_ARP_STATION_P_H

#include <sys/queue.h>

#include "arp/key_table.h"
#include "arp/station.h"
#include "nameserv/log.h"

enum { STATION_PATH = LINK_NAME_MAX + 32 }; /* bytes of a /fdb path */

/* What is remembered of a learned station. */
struct station {
    struct key_node node; /* first; station_key() */
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

static inline const struct links *stations_links(const struct stations *stations)
{
    return links_of(ns_store_version(stations->store), stations->slot);
}

static inline uint64_t stations_now(const struct stations *stations)
{
    return ns_loop_now(stations->loop) / UINT64_C(1000000000);
}

static inline uint64_t station_key(uint16_t bridge_id, const struct rte_ether_addr *mac)
{
    uint64_t key = bridge_id;

    for (int i = 0; i < RTE_ETHER_ADDR_LEN; i++)
        key = key << 8 | mac->addr_bytes[i];
    return key;
}

static inline uint16_t station_key_split(uint64_t key, struct rte_ether_addr *mac)
{
    for (int i = RTE_ETHER_ADDR_LEN - 1; i >= 0; i--, key >>= 8)
        mac->addr_bytes[i] = (uint8_t)key;
    return (uint16_t)key;
}

/* Does the port still lead to stations of this bridge? */
bool station_port_serves(const struct links *links, const struct link_bridge *bridge,
                         const char *port_name);

/* ---- station_age.c ---- */

/* There are stations to be looked at: see that it will be done. */
void stations_start_tick(struct stations *stations);
void stations_tick(struct ns_timer *timer);

/* The links have changed: remove the stations behind ports that are down or have left. */
void stations_links_changed(struct stations *stations, const struct links *before,
                            const struct links *after);

#endif
