/* SPDX-License-Identifier: BSD-3-Clause */
#include "nameserv/xenstore.h"

static const struct ns_mount_ops xenstore_ops = {.name = "xenstore",
                                                 .authority = &ns_authority_xenstore};

static const char *const parts[NS_XENSTORE_PARTS] = {"/local", "/vm", "/tool", "/libxl"};

int ns_xenstore_add(struct ns_store *store, struct ns_xenstore *xenstore)
{
    int rc = 0;

    for (int i = 0; i < NS_XENSTORE_PARTS && rc == 0; i++)
        rc = ns_mount_add(store, &xenstore->mounts[i], parts[i], &xenstore_ops);
    return rc;
}
