/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inside of the neighbours: what neighbour_*.c share. For them and their tests only.
 *
 *   neighbour_table.c  the mount /neigh, what is remembered of each neighbour, commits
 *   neighbour_timer.c  the state machine: what is done on entering a state, and when its time is over
 *   neighbour_input.c  what a packet means
 *   neighbour_output.c the packets that are sent
 *   neighbour_links.c  interfaces that come, go and move
 *   neighbour_stats.c  computed names
 *
 * The tree holds what others decide by; static neighbours are only there. Beside it there is an object
 * for each neighbour that is learned, being resolved, or failed: its state and its timer. The object
 * of a name goes with the name, in the hook after the commit that removes it, whoever did. So after
 * any commit an object may be gone; look it up again.
 */
#ifndef KEDGE_ARP_NEIGHBOUR_P_H
#define KEDGE_ARP_NEIGHBOUR_P_H

#include <sys/queue.h>

#include "arp/arp_packet.h"
#include "arp/key_table.h"
#include "arp/neighbour.h"
#include "nameserv/log.h"

#define NEIGHBOUR_MS     UINT64_C(1000000) /* in ns */
#define NEIGHBOUR_SECOND UINT64_C(1000000000)

enum {
    NEIGHBOUR_PATH = LINK_NAME_MAX + 32, /* bytes of a /neigh path */
    ANNOUNCE_NUM = 2,                    /* RFC 5227 section 1.1 */
    ANNOUNCE_INTERVAL = 2,               /* seconds */
    DEFEND_INTERVAL = 10,                /* seconds */
    DEFENDED_MAX = 64,                   /* own addresses whose last defence is remembered */
    LOGGED_A_SECOND = 5,                 /* lines of one kind */
};

struct neighbour {
    struct key_node node; /* first; neighbour_key() */
    TAILQ_ENTRY(neighbour) all;
    TAILQ_ENTRY(neighbour) stale; /* while STALE */
    struct neighbours *owner;
    struct ns_timer timer;
    uint64_t since; /* when the state was entered; ns of the loop's clock */
    uint64_t
        heard; /* when it last spoke; before it ever did: when it was first asked for; likewise */
    rte_be32_t address;
    uint16_t iface;
    uint8_t state;             /* enum neighbour_state, never PERMANENT */
    uint8_t sent;              /* requests or probes in this state */
    bool committed;            /* the name exists */
    struct rte_ether_addr mac; /* valid in REACHABLE, STALE, DELAY, PROBE */
};

TAILQ_HEAD(neighbour_list, neighbour);

/* An interface whose addresses are being announced: once more after ANNOUNCE_INTERVAL. */
struct announcement {
    LIST_ENTRY(announcement) entry;
    struct neighbours *owner;
    struct ns_timer timer;
    uint16_t iface;
    uint8_t left;
};

/* When an own address was last defended. */
struct defence {
    rte_be32_t address;
    uint16_t iface;
    uint64_t when;
};

struct neighbours {
    struct ns_mount mount; /* first */
    struct ns_store *store;
    struct ns_loop *loop;
    struct links_mount *links;
    struct stations *stations;
    int slot;
    struct neighbours_options options;
    struct neighbours_io io;
    struct key_table table;
    struct neighbour_list all;
    struct neighbour_list stale; /* in the order in which they will be looked at */
    size_t stale_count;
    struct ns_timer stale_tick;
    LIST_HEAD(announcement_list, announcement) announcements;
    struct defence defences[DEFENDED_MAX];
    unsigned next_defence;
    unsigned short seed[3]; /* of nrand48() */
    struct neighbours_counters counters;
    uint64_t refused[NEIGHBOUR_REFUSALS];
    struct ns_log_limit refusal_limits[NEIGHBOUR_REFUSALS];
    struct ns_log_limit moves, failures;
};

/* ---- neighbour_table.c ---- */

static inline const struct links *neighbours_links(const struct neighbours *neighbours)
{
    return links_of(ns_store_version(neighbours->store), neighbours->slot);
}

static inline uint64_t neighbour_key(uint16_t iface_id, rte_be32_t address)
{
    return (uint64_t)iface_id << 32 | address;
}

/* The object of a neighbour, NULL if there is none. */
struct neighbour *neighbour_find(const struct neighbours *neighbours, uint16_t iface_id,
                                 rte_be32_t address);

/* A new object, INCOMPLETE, without a timer and without a name. NULL: the limit is reached, or no memory. */
struct neighbour *neighbour_add(struct neighbours *neighbours, uint16_t iface_id,
                                rte_be32_t address);

/* Free the object; its name stays. */
void neighbour_drop(struct neighbour *neighbour);

/* Commit the name with this value; NULL removes it, and the object. 0 or a negative errno, logged. */
int neighbour_commit(struct neighbour *neighbour, const char *value);

/* What the tree says of it. false: nothing. mac is not written for "failed". */
bool neighbour_look_up(const struct neighbours *neighbours, const char *iface, rte_be32_t address,
                       struct rte_ether_addr *mac, enum neighbour_value *kind);

/* ---- neighbour_timer.c ---- */

/* Enter a state: its timer is started, its packets are sent. Commits nothing. */
void neighbour_enter(struct neighbour *neighbour, enum neighbour_state state);

/* The neighbour can't be reached: commit that, and enter FAILED. If it can't be committed, it will be
 * tried again. */
void neighbour_fail(struct neighbour *neighbour);

/* Take it off the list of STALE ones and stop its timer. */
void neighbour_rest(struct neighbour *neighbour);

/* Forget a STALE neighbour that is not in use, for one that is wanted. */
bool neighbours_make_room(struct neighbours *neighbours);

void neighbour_stale_tick(struct ns_timer *timer);

/* ---- neighbour_output.c ---- */

/* Ask for the neighbour's MAC address: the address that is known, or everybody (NULL). */
void neighbour_solicit(struct neighbour *neighbour, const struct rte_ether_addr *to);

/* Answer a request for an own address of the interface. */
void neighbours_answer(struct neighbours *neighbours, const struct link_iface *iface,
                       const struct arp_packet *request);

/* Somebody claims an own address of the interface: announce it, at most once in DEFEND_INTERVAL. */
void neighbours_defend(struct neighbours *neighbours, const struct link_iface *iface,
                       rte_be32_t address);

void neighbours_announcements_free(struct neighbours *neighbours);

/* ---- neighbour_links.c ---- */

/* The links have changed. */
void neighbours_links_changed(struct neighbours *neighbours, const struct links *before,
                              const struct links *after);

#endif
