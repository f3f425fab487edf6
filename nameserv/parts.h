/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Parts that the configuration hangs: `mount add /tenant7 xenstore`, `mount add /srv/names plain`. They are
 * storage, with the authority that has the name (nameserv/authority.h).
 *
 * Thread safety: the control core only.
 */
#ifndef KEDGE_NAMESERV_PARTS_H
#define KEDGE_NAMESERV_PARTS_H

#include "nameserv/mount.h"
#include "nameserv/stats.h"

struct ns_parts;

/* Registers /stats/mounts, if stats is not NULL: a name for each mount, "00", "01"..., in the order in which
 * they were hung, whose value is "PATH AUTHORITY FLAG". Flags are "computed" (read-only; nothing is stored there), "configured" (by ns_parts_hang()) or "-". 0,
 * -ENOMEM, -EEXIST. */
int ns_parts_new(struct ns_store *store, struct ns_stats *stats, struct ns_parts **parts);

/* After the store is freed, in which the mounts are; stats, too, may be freed already. */
void ns_parts_free(struct ns_parts *parts);

/* Hang a part. "/" may be given, too: then it is the authority of all that no other mount has. Before the store
 * has names of users. 0; -EINVAL, -EEXIST, -EBUSY, -ENOSPC or -ENOMEM with a sentence in the reason. */
int ns_parts_hang(struct ns_parts *parts, const char *path, const char *kind,
                  struct ns_reason *reason);

#endif
