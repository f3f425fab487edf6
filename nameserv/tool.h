/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * /tool/xenstored: what a tool stack may know of the daemon, as names. The node itself is stored (that it is
 * there says that a daemon is); below it hang computed mounts, for the privileged:
 *
 *   quota/default/NAME, quota/domain/DOMID/NAME, quota/user/UID/NAME      limits
 *   quota/.../DOMID/used/nodes, memory, watches, transactions             use
 *   connection/socket/N, connection/domain/DOMID: address, current-transactions, current-watches
 *   log/level
 *   memory/names, name-bytes, pool-bytes, waiting-bytes, anchors
 *
 * Thread safety: the control core only.
 */
#ifndef KEDGE_NAMESERV_TOOL_H
#define KEDGE_NAMESERV_TOOL_H

#include "nameserv/mount.h"
#include "nameserv/server.h"

enum { NS_TOOL_MOUNTS = 4 };

/* Must live as long as the store. */
struct ns_tool {
    struct ns_mount mounts[NS_TOOL_MOUNTS];
    struct ns_server *server;
};

/* Hang them below /tool/xenstored, which is made. 0 or as ns_mount_add(). */
int ns_tool_add(struct ns_store *store, struct ns_tool *tool, struct ns_server *server);

#endif
