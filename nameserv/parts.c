/* SPDX-License-Identifier: BSD-3-Clause */
/* Parts that the configuration hangs; see parts.h. */
#include "nameserv/parts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nameserv/store_p.h"
#include "nameserv/wire.h"

struct part {
    struct ns_mount mount;
    struct ns_mount_ops ops;
    struct part *next;
};

struct ns_parts {
    struct ns_store *store;
    struct part *first;
    bool root; /* the authority of "/" is configured */
};

/* ---- /stats/mounts ---- */

static bool is_configured(const struct ns_parts *parts, const struct ns_mount *mount)
{
    const struct part *part = parts->first;

    while (part != NULL && &part->mount != mount)
        part = part->next;
    return part != NULL || (parts->root && mount->path_size == 1);
}

static void read_mounts(struct ns_query *query, const char *below, void *arg)
{
    const struct ns_parts *parts = arg;
    const struct ns_mount *mount;
    const char *flags;
    uint64_t index;

    if (*below == '\0') {
        ns_query_answer(query, 0, "", 0);
        return;
    }
    if (strlen(below) != 2 || ns_wire_number(below, parts->store->mount_count - 1, &index) < 0) {
        ns_query_refuse(query, ENOENT, "%s: there is no such name", query->path);
        return;
    }
    mount = parts->store->mounts[index];
    flags = mount->ops->computed ? "computed" : is_configured(parts, mount) ? "configured" : "-";
    ns_query_printf(query, "%s %s %s", mount->path, mount->authority->name, flags);
}

/* Two digits each, so that they are in byte order. */
static void list_mounts(struct ns_query *query, const char *below, void *arg)
{
    const struct ns_parts *parts = arg;
    char names[NS_MOUNTS_MAX * 3 + 1];
    size_t size = 0;

    for (unsigned i = 0; i < parts->store->mount_count && *below == '\0'; i++)
        size += (size_t)snprintf(names + size, sizeof(names) - size, "%02u", i) + 1;
    ns_query_answer(query, 0, names, size);
}

int ns_parts_new(struct ns_store *store, struct ns_stats *stats, struct ns_parts **result)
{
    struct ns_parts *parts = calloc(1, sizeof(*parts));
    int rc;

    if (parts == NULL)
        return -ENOMEM;
    parts->store = store;
    rc = stats == NULL ? 0 : ns_stats_add(stats, "mounts", read_mounts, list_mounts, parts);
    if (rc < 0)
        free(parts);
    else
        *result = parts;
    return rc;
}

void ns_parts_free(struct ns_parts *parts)
{
    struct part *next;

    for (struct part *part = parts->first; part != NULL; part = next) {
        next = part->next;
        free(part);
    }
    free(parts);
}

/* ---- hanging ---- */

/* May a part lie there? Modules and computed mounts have all that is below them. */
static int judge(struct ns_parts *parts, const char *path, const struct ns_authority *authority,
                 struct ns_reason *reason)
{
    const struct ns_mount *above;
    size_t size = strlen(path);

    if (authority == NULL)
        return ns_reason_set(reason, EINVAL, path, "a mount is of the kind plain or xenstore");
    if (ns_store_path_check(parts->store, path, size, reason) != 0)
        return -EINVAL;
    if (size >= sizeof(above->path))
        return ns_reason_set(reason, EINVAL, path, "a mount's path has at most %zu bytes",
                             sizeof(above->path) - 1);
    above = ns_mount_find(parts->store, path, size);
    if (above->path_size == size && size > 1)
        return ns_reason_set(reason, EEXIST, path, "a mount hangs there already");
    if (above->ops->computed || above->ops->check != NULL || above->ops->prepare != NULL)
        return ns_reason_set(reason, EBUSY, path,
                             "nothing can be hung below %s, which is a module's", above->path);
    if (parts->store->mount_count == NS_MOUNTS_MAX)
        return ns_reason_set(reason, ENOSPC, path, "there are %d mounts, and no more can be",
                             NS_MOUNTS_MAX);
    return 0;
}

static int hang(struct ns_parts *parts, const char *path, const struct ns_authority *authority)
{
    struct part *part = calloc(1, sizeof(*part));
    int rc;

    if (part == NULL)
        return -ENOMEM;
    part->ops = (struct ns_mount_ops){.name = authority->name, .authority = authority};
    rc = ns_mount_add(parts->store, &part->mount, path, &part->ops);
    if (rc != 0) {
        free(part);
        return rc;
    }
    part->next = parts->first;
    parts->first = part;
    return 0;
}

int ns_parts_hang(struct ns_parts *parts, const char *path, const char *kind,
                  struct ns_reason *reason)
{
    const struct ns_authority *authority = ns_authority_find(kind);
    int rc = judge(parts, path, authority, reason);

    if (rc != 0)
        return rc;
    if (strcmp(path, "/") == 0) {
        rc = ns_mount_set_root(parts->store, authority);
        parts->root |= rc == 0;
    } else {
        rc = hang(parts, path, authority);
    }
    return rc == 0 ? 0 : ns_reason_set(reason, -rc, path, "it can't be hung: %s", strerror(-rc));
}
