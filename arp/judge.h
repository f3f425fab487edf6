/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What mounts share in judging a changed name: its parts, its value, and how to
 * refuse it. For the mounts of arp/ and of flows/ above it.
 *
 * Thread safety: the control core only, inside ops->check.
 */
#ifndef KEDGE_ARP_JUDGE_H
#define KEDGE_ARP_JUDGE_H

#include <rte_ether.h>

#include "nameserv/mount.h"

enum { JUDGE_PARTS = 3, JUDGE_SHOWN = 72 };

struct name_part {
    const char *text; /* not NUL-terminated */
    size_t size;
};

struct judge {
    struct ns_commit *commit;
    const struct ns_change *change;
    unsigned depth; /* components below the mount's path; JUDGE_PARTS + 1: deeper than any name */
    struct name_part part[JUDGE_PARTS];
    const char *value; /* the new one; "" for a removal */
    size_t size;
    char shown[JUDGE_SHOWN];      /* the value in quotes, fit to be printed */
    char shown_name[JUDGE_SHOWN]; /* the last component of the name, likewise */
};

/* Take a change apart. */
void judge_begin(struct judge *judge, const struct ns_mount *mount, struct ns_commit *commit,
                 const struct ns_change *change);

/* Refuse with a sentence that says what would be right. */
#define judge_refuse(judge, error, ...) \
    ns_refuse((judge)->commit, error, (judge)->change->path, __VA_ARGS__)

/* The change removes the name. */
static inline bool judge_removal(const struct judge *judge)
{
    return judge->change->after == NULL;
}

/* The name existed before with the same value: only permissions change, or nothing. */
bool judge_same_value(const struct judge *judge);

/* The mount's own node: it stays, and stays empty. */
int judge_mount_point(struct judge *judge);

/* A name that only groups others: its value must be empty. */
int judge_directory(struct judge *judge);

/* Is this the name of a port, bridge or interface: 1 to 31 of letters, digits and - _ . */
bool judge_link_name(const char *text, size_t size);

/* Refuse the last component as the name of `noun` ("a port") unless it can be one. */
int judge_name_of(struct judge *judge, const char *noun);

/* The last component of the name is a unicast MAC address in canonical form (lower case, colons), or a
 * dotted quad. The address is written to the second argument. */
int judge_mac_name(struct judge *judge, struct rte_ether_addr *mac);
int judge_ipv4_name(struct judge *judge, rte_be32_t *address);

/* Neither zero nor multicast nor broadcast. */
static inline bool mac_is_unicast(const struct rte_ether_addr *mac)
{
    return rte_is_valid_assigned_ether_addr(mac);
}

/* Can a host have this address? Not 0/8, 127/8, multicast, reserved (RFC 1122 section 3.2.1.3). */
bool ipv4_is_host(rte_be32_t address);

/* A decimal number of digits only, from min to max. 0 or -EINVAL. */
int parse_number(const char *text, size_t size, uint32_t min, uint32_t max, uint32_t *number);

#endif
