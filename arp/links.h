/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Links: the ports, bridges and interfaces of one version, as one immutable object.
 *
 * The mounts /port, /bridge and /iface are judged here; from what is committed in them, `struct links`
 * is compiled anew in each commit that changes one of them and travels in ns_version.derived, so that
 * neighbours, routes, adjacencies and lcores all see the links of the version that they work on. It is
 * rebuilt as a whole: there are at most a few dozen ports, and their configuration rarely changes.
 *
 * Names (see docs/names in the design's table):
 *   /port/NAME/devargs, /mtu                 written by users
 *   /port/NAME/workers, /queues              likewise: how many workers serve it, all if absent; with how
 *                                            many receive queues at most, one for each if absent
 *   /port/NAME/link, /mac, /error, /id, /lcore   operational, written by the stack only:
 *                                            "up" or "down"; address; why it failed; the device's
 *                                            number; the first worker that serves it
 *   /port/NAME/rx_queues, /tx_queues         likewise: how many queues the device has
 *   /bridge/NAME/port/PORT, /ageing          empty; seconds
 *   /iface/NAME/on, /mode, /mac              "port p0" or "bridge br0"; follow, bound, static; address
 *   /iface/NAME/address/ADDR                 prefix length
 *
 * A port that no device has been opened for (no /id yet, or failed) is in no index and not up. A port
 * belongs to at most one bridge, or carries at most one interface, never both; a bridge carries at most
 * one interface. Violations are refused with a reason.
 *
 * When the links of a name change in a way that matters to what is derived from it, the commit touches
 * that name: /port/NAME, /bridge/NAME, /iface/NAME. Depend on these three names, not on those below.
 *
 * Ids of interfaces and bridges are given on first sight of a name, start at 1, and are not given to
 * another name while the daemon runs (32,767 at most, because a flow's scope uses the top bit for itself):
 * keys of flows carry them.
 */
#ifndef KEDGE_ARP_LINKS_H
#define KEDGE_ARP_LINKS_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_byteorder.h>
#include <rte_ether.h>

#include "nameserv/mount.h"

enum {
    LINK_NAME_MAX = 32,      /* bytes of a port's, bridge's or interface's name with its NUL */
    LINK_PORTS_MAX = 32,     /* RTE_MAX_ETHPORTS of Debian's DPDK */
    LINK_DEVARGS_MAX = 512,  /* bytes of a device's arguments with their NUL */
    LINK_ADDRESSES_MAX = 16, /* an interface */
    LINK_QUEUES_MAX = 16,    /* of a port, each way; also the workers that can serve it */
    LINK_NO_ID = 0xffff,
};

enum link_mode {
    LINK_FOLLOW, /* learn and follow announcements */
    LINK_BOUND,  /* accept only the configured triples of address, MAC and port */
    LINK_STATIC, /* packets change nothing */
};

struct link_port {
    char name[LINK_NAME_MAX];
    uint16_t id;  /* of the device (DPDK's port id); LINK_NO_ID: none open */
    uint16_t mtu; /* bytes of an IP packet */
    uint16_t
        lcore; /* index of the first worker that serves it, who has queue 0; LINK_NO_ID: none */
    uint16_t workers;              /* so many serve it, beginning with that one; 0: all */
    uint16_t queues;               /* receive queues wanted at most */
    uint16_t rx_queues, tx_queues; /* of the device; at least 1 */
    bool up;
    struct rte_ether_addr mac;
    uint16_t bridge; /* index in links->bridges, or LINK_NO_ID */
    uint16_t iface;  /* index in links->ifaces of the interface directly on it, or LINK_NO_ID */
};

struct link_bridge {
    char name[LINK_NAME_MAX];
    uint16_t id;
    uint16_t iface;  /* index in links->ifaces, or LINK_NO_ID */
    uint32_t ageing; /* seconds; 300 if not configured; 0: stations do not age */
    uint16_t port_count;
    uint16_t ports[LINK_PORTS_MAX]; /* indices in links->ports; not all need be up */
};

struct link_address {
    rte_be32_t address;
    uint8_t prefix_length;
};

struct link_iface {
    char name[LINK_NAME_MAX];
    uint16_t id;
    uint16_t vrf;    /* 0 */
    uint16_t port;   /* index in links->ports it is on, or LINK_NO_ID */
    uint16_t bridge; /* index in links->bridges, or LINK_NO_ID; both: it is on nothing yet */
    enum link_mode mode;
    /* Configured, else the port's, else a locally administered one, made of the name and this
     * machine's id. */
    struct rte_ether_addr mac;
    uint16_t mtu; /* the port's; of a bridge, the smallest of its ports */
    uint16_t address_count;
    struct link_address addresses[LINK_ADDRESSES_MAX];
};

struct links {
    uint64_t version; /* commit */
    uint16_t port_count, bridge_count, iface_count;
    uint16_t by_port_id[LINK_PORTS_MAX]; /* device id -> index in ports, or LINK_NO_ID */
    struct link_port *ports; /* sorted by name; the arrays lie in the same block of memory */
    struct link_bridge *bridges;
    struct link_iface *ifaces;
};

struct links_mount;

/* Hang the mounts /port, /bridge and /iface. 0 or a negative errno. The store keeps pointers to them:
 * call links_free() when the store is gone, or will run no commit any more. */
int links_new(struct ns_store *store, struct links_mount **mount);
void links_free(struct links_mount *mount);

/* Slot in ns_version.derived that holds the struct links; for lcores, which have only a version. */
int links_slot(const struct links_mount *mount);

/* The links of a version. Never NULL. Any reader. */
static inline const struct links *links_of(const struct ns_version *version, int slot)
{
    return (const struct links *)version->derived[slot];
}

/* Look-ups by name (NULL: none) and by id. Any reader; O(log n) and O(n). */
const struct link_port *links_port(const struct links *links, const char *name);
const struct link_bridge *links_bridge(const struct links *links, const char *name);
const struct link_iface *links_iface(const struct links *links, const char *name);
const struct link_bridge *links_bridge_by_id(const struct links *links, uint16_t id);
const struct link_iface *links_iface_by_id(const struct links *links, uint16_t id);

/* The name that an id was given to, also when nothing has that name any more; NULL: never given.
 * Control core. */
const char *links_iface_name(const struct links_mount *mount, uint16_t id);
uint16_t links_iface_id(struct links_mount *mount, const char *name); /* gives one; 0: no more */
uint16_t links_iface_known(const struct links_mount *mount, const char *name); /* 0: has none */
const char *links_bridge_name(const struct links_mount *mount, uint16_t id);
uint16_t links_bridge_id(const struct links_mount *mount, const char *name); /* 0: has none */

/* The port of a device; NULL: none has it. Any reader; O(1). */
const struct link_port *links_port_by_id(const struct links *links, uint16_t port_id);

/* The interface that frames from this port reach: the one on it, or on its bridge. NULL: none. */
const struct link_iface *links_iface_of_port(const struct links *links,
                                             const struct link_port *port);

/* Is the port that the interface is on up, or any port of its bridge? */
bool links_iface_up(const struct links *links, const struct link_iface *iface);

/* The mask of a prefix length from 0 to 32, in network byte order. */
static inline rte_be32_t link_mask(uint8_t prefix_length)
{
    return prefix_length == 0 ? 0 : rte_cpu_to_be_32(~UINT32_C(0) << (32 - prefix_length));
}

/* The interface's own address in whose subnet the given one lies, the longest prefix if there
 * are several; NULL if none. */
const struct link_address *link_subnet(const struct link_iface *iface, rte_be32_t address);

/* Is this one of the interface's own addresses? */
bool link_own_address(const struct link_iface *iface, rte_be32_t address);

/* Text to value and back, as in names and commands. 0 or -EINVAL; the whole text must fit. Formatting
 * writes to a buffer of at least 18 (MAC) or 16 (IPv4) bytes and returns it. */
int link_parse_mac(const char *text, size_t size, struct rte_ether_addr *mac);
int link_parse_ipv4(const char *text, size_t size, rte_be32_t *address);
char *link_format_mac(const struct rte_ether_addr *mac, char *buffer);
char *link_format_ipv4(rte_be32_t address, char *buffer);

#endif
