/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Xenstore's own part of the name space: /local, /vm, /tool and /libxl, where names follow
 * xenstore.txt: letters, digits and "-_@" only. They are plain storage otherwise.
 *
 * Thread safety: the control core only.
 */
#ifndef KEDGE_NAMESERV_XENSTORE_H
#define KEDGE_NAMESERV_XENSTORE_H

#include "nameserv/mount.h"

enum { NS_XENSTORE_PARTS = 4 };

/* The mounts; they must live as long as the store. */
struct ns_xenstore {
    struct ns_mount mounts[NS_XENSTORE_PARTS];
};

/* Hang them. 0 or as ns_mount_add(). */
int ns_xenstore_add(struct ns_store *store, struct ns_xenstore *xenstore);

#endif
