/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Neighbours: which MAC address an IPv4 address on an interface has.
 *
 * ARP (RFC 826), with the state machine of RFC 4861 section 7.3 (INCOMPLETE, REACHABLE, STALE, DELAY,
 * PROBE) and Linux's FAILED. Committed is only what others decide by, the address and whether it can
 * be used: /neigh/IFACE/ADDR holds "MAC static" (users), "MAC learned" or "failed" (the stack); it is
 * absent while a first resolution runs. Changing between REACHABLE, STALE, DELAY and PROBE commits
 * nothing; states and ages are computed when read.
 *
 * A known neighbour follows every announcement (interfaces of mode `follow`): gratuitous request with
 * target hardware address zero or broadcast, gratuitous reply, and any ARP packet to us from a new MAC.
 * There is no 'locktime': two moves within a second both count. An unknown sender is learnt only from
 * a packet that asks or answers us (RFC 826's merge flag). RARP (RFC 903, ethertype 0x8035, as
 * hypervisors send after a migration) moves a station and touches no neighbour.
 *
 * Refused, counted by reason and logged with a rate limit: changes of static neighbours, of our own
 * addresses, from a wrong interface or subnet, bad MAC addresses (multicast, zero), malformed packets,
 * what the interface's mode forbids.
 *
 * Thread safety: the control core only.
 */
#ifndef KEDGE_ARP_NEIGHBOUR_H
#define KEDGE_ARP_NEIGHBOUR_H

#include "arp/links.h"
#include "arp/station.h"
#include "nameserv/loop.h"
#include "nameserv/stats.h"

struct neighbours;

enum neighbour_state {
    NEIGHBOUR_INCOMPLETE,
    NEIGHBOUR_REACHABLE,
    NEIGHBOUR_STALE,
    NEIGHBOUR_DELAY,
    NEIGHBOUR_PROBE,
    NEIGHBOUR_FAILED,
    NEIGHBOUR_PERMANENT, /* static */
};
const char *neighbour_state_name(enum neighbour_state state);

enum neighbour_refusal {
    NEIGHBOUR_MALFORMED,   /* hardware or protocol type, lengths, operation */
    NEIGHBOUR_BAD_MAC,     /* multicast, broadcast, zero, or sender differs from Ethernet source */
    NEIGHBOUR_OWN_ADDRESS, /* somebody claims one of ours */
    NEIGHBOUR_OWN_MAC,
    NEIGHBOUR_WRONG_SUBNET,
    NEIGHBOUR_IS_STATIC,
    NEIGHBOUR_NOT_BOUND, /* mode bound: not the configured MAC or port */
    NEIGHBOUR_MODE_STATIC,
    NEIGHBOUR_FULL,
    NEIGHBOUR_REFUSALS,
};
const char *neighbour_refusal_name(enum neighbour_refusal refusal);

struct neighbours_options {
    uint32_t reachable_ms;  /* REACHABLE to STALE; 30,000, randomised 0.5 to 1.5 (RFC 4861 6.3.2) */
    uint32_t retransmit_ms; /* between probes; 1,000, doubled for each further broadcast request */
    uint32_t delay_ms;      /* DELAY to PROBE; 5,000 */
    uint32_t requests;      /* broadcast requests until FAILED; 3 */
    uint32_t probes;        /* unicast probes until it is asked for by broadcast; 3 */
    uint32_t failed_ms;  /* a FAILED entry is forgotten after, so that the next packet asks again;
                               1,000, the least time between requests of RFC 1122 section 2.3.2.1 */
    uint32_t stale_ms;   /* an unused STALE entry is forgotten after; 60,000, as in Linux */
    uint32_t neighbours; /* limit of learned and incomplete ones; 65,536 */
};

struct neighbours_io {
    /* Send an Ethernet frame out of an interface: through its port, or through its bridge (a
     * broadcast address floods, another goes to its station or floods). The frame is copied. */
    void (*send)(void *arg, uint16_t iface_id, const void *frame, size_t size);
    /* When was a packet last sent by this neighbour, in seconds of CLOCK_MONOTONIC; 0: not known. */
    uint64_t (*used)(void *arg, uint16_t iface_id, rte_be32_t address);
    void *arg;
};

/* Hang the mount /neigh. options NULL or zero fields: the defaults above. */
int neighbours_new(struct ns_store *store, struct ns_loop *loop, struct links_mount *links,
                   struct stations *stations, const struct neighbours_options *options,
                   const struct neighbours_io *io, struct neighbours **neighbours);
/* Frees what is remembered of the neighbours; their names stay. Before the loop is freed; afterwards the
 * store may run no commit any more. */
void neighbours_free(struct neighbours *neighbours);

/* An ARP or RARP frame (with its Ethernet header, VLAN tags removed) came in at a port (device id). Its
 * source station has been told to stations_seen() by the caller if the port is in a bridge. Answers
 * requests for our addresses, learns, follows. 0 or, if refused, -1 - enum neighbour_refusal. */
int neighbours_input(struct neighbours *neighbours, uint16_t port_id, const void *frame,
                     size_t size);

/* Somebody wants to send to this address: start to resolve it unless that is under way or done. 0, or
 * -ENOSPC, -ENETUNREACH (the interface is on nothing or has no address), -EHOSTUNREACH (FAILED). */
int neighbours_want(struct neighbours *neighbours, uint16_t iface_id, rte_be32_t address);

/* Announce our own address (gratuitous ARP request, RFC 5227 section 3); done by itself when an
 * interface gets an address or its link comes up. */
void neighbours_announce(struct neighbours *neighbours, uint16_t iface_id);

/* State and age (since it last spoke; if it never did, since it was first asked for) for people. false: not
 * known. */
bool neighbours_state(const struct neighbours *neighbours, uint16_t iface_id, rte_be32_t address,
                      enum neighbour_state *state, uint64_t *age_ms);

uint64_t neighbours_refused(const struct neighbours *neighbours, enum neighbour_refusal refusal);
struct neighbours_counters {
    uint64_t requests_in, replies_in, rarp_in, requests_out, replies_out;
    uint64_t learned, moved, failed;
};
void neighbours_counters(const struct neighbours *neighbours, struct neighbours_counters *out);

/* How many are remembered: learned, incomplete and failed ones; static ones are not counted. */
size_t neighbours_count(const struct neighbours *neighbours);

/* Answer for /stats/neigh/IFACE/ADDR with "STATE AGE_MS MAC" (MAC is "-" while it is not known; static
 * ones have no age, 0), and for /stats/neighbours/NAME: the counters, `entries`, and refused/REASON.
 * 0 or as ns_stats_add(). */
int neighbours_stats_add(struct neighbours *neighbours, struct ns_stats *stats);

enum neighbour_value { NEIGHBOUR_VALUE_STATIC, NEIGHBOUR_VALUE_LEARNED, NEIGHBOUR_VALUE_FAILED };

/* Parse the value of a /neigh name. 0 or -EINVAL. mac is not written for "failed". */
int neighbour_parse(const char *value, size_t size, struct rte_ether_addr *mac,
                    enum neighbour_value *kind);

/* Write "/neigh/IFACE/ADDR" to path. */
void neighbour_path(const char *iface, rte_be32_t address, char *path, size_t size);

#endif
