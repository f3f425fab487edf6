/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inside of the link mounts: what links_*.c share. For them and their tests only.
 *
 *   links_mount.c     the three mounts: judging each value, and the hooks of a commit
 *   links_conflicts.c judging all of it together: what two names can't both claim
 *   links_compile.c   making struct links of a version, and telling which names changed
 *   links_lookup.c    reading struct links
 */
#ifndef KEDGE_ARP_LINKS_P_H
#define KEDGE_ARP_LINKS_P_H

#include "arp/links.h"

enum {
    LINK_BRIDGES_MAX = 1024,
    LINK_IFACES_MAX = 1024,
    LINK_IDS_MAX = 0x7fff, /* flow keys use the top bit of an interface's id for something else */
    LINK_MTU_MIN = 68,     /* RFC 791: every internet module forwards a datagram of 68 octets */
    LINK_MTU_MAX = 9216,
    LINK_MTU_DEFAULT = 1500,
    LINK_AGEING_MIN = 10, /* seconds; IEEE 802.1Q table 8-6 */
    LINK_AGEING_MAX = 1000000,
    LINK_AGEING_DEFAULT = 300,
};

/* Ids by name, given on first sight and never to another name. */
struct link_ids {
    void *tree;           /* of tsearch(), by name */
    struct link_id **ids; /* ids[id - 1] */
    uint16_t count;
};

/* 0: no more ids, or no memory. */
uint16_t link_ids_give(struct link_ids *ids, const char *name);
uint16_t link_ids_find(const struct link_ids *ids, const char *name); /* 0: it has none */
const char *link_ids_name(const struct link_ids *ids, uint16_t id);
void link_ids_fini(struct link_ids *ids);

/* One of the three mounts. */
struct links_part {
    struct ns_mount mount; /* first */
    struct links_mount *owner;
    const struct links_names *names;
};

struct links_mount {
    struct links_part port, bridge, iface;
    struct ns_store *store;
    int slot;
    struct links *pending; /* made in prepare, taken over in publish */
    struct links *current; /* of the newest version */
    struct link_ids iface_ids, bridge_ids;
    uint64_t machine; /* identifies this machine; MAC addresses are made with it */
};

/* Values, as they stand in the tree; used for judging and for compiling. 0 or -EINVAL. */
int link_parse_mode(const char *text, size_t size, enum link_mode *mode);

/* "port p0" or "bridge br0": the name is not NUL-terminated and lies in text. */
int link_parse_on(const char *text, size_t size, bool *bridge, const char **name,
                  size_t *name_size);

/* The child's value, or NULL with size 0 if there is no such child. */
const char *link_child_value(const struct ns_entry *entry, const char *child, size_t *size);

/* The node of the mount in a version (never NULL once the mount hangs). */
static inline const struct ns_entry *link_part_node(const struct links_part *part,
                                                    const struct ns_entry *root)
{
    return ns_tree_lookup(root, part->mount.path, part->mount.path_size);
}

/* Judge the commit's version as a whole: limits, and names that claim the same thing. 0 or a refusal. */
int links_judge(struct links_mount *mount, struct ns_commit *commit);

/* Make the links of a version. 0, -ENOMEM, -ENOSPC (ids). The result is freed with free(). */
int links_compile(struct links_mount *mount, const struct ns_version *version,
                  struct links **links);

/* Call fn with the path of every port, bridge and interface that differs between the two in what can be
 * derived from it, also of those that are in one only. before may be NULL. Stops at the first non-zero
 * answer of fn and returns it. */
int links_diff(const struct links *before, const struct links *after,
               int (*fn)(const char *path, void *arg), void *arg);

#endif
