/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Builds: changing a version of the tree; see tree.h.
 *
 * Each change looks first, on the tree as it is, so that what is refused copies nothing. Then all
 * that needs memory is done: new entries are made apart, and the entries and nodes on the way to the
 * change become the build's own, which leaves the content as it was. The last step puts the new
 * entry in or takes the old one out, and can't fail.
 */
#include "nameserv/trie.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "nameserv/perms.h"

/* ---- entries ---- */

/* An entry of the build with that name and value, otherwise as `like`: permissions, generations and
 * children. NULL without memory. */
static struct ns_entry *new_entry(struct ns_build *build, const struct ns_entry *like,
                                  const char *name, size_t name_size, const void *value,
                                  size_t value_size)
{
    struct ns_entry *entry = ns_pool_get(build->pool, ns_entry_bytes_for(name_size, value_size));

    if (entry == NULL)
        return NULL;
    memcpy(entry, like, sizeof(*entry));
    entry->owner = build->serial;
    entry->name_size = (uint16_t)name_size;
    entry->value_size = (uint16_t)value_size;
    memcpy(entry->data, name, name_size);
    entry->data[name_size] = '\0';
    if (value_size > 0)
        memcpy(entry->data + name_size + 1, value, value_size);
    ns_perms_get(entry->perms);
    return entry;
}

static void set_perms(struct ns_entry *entry, struct ns_perms *perms)
{
    ns_perms_get(perms);
    ns_perms_put(entry->perms);
    entry->perms = perms;
}

static bool is_own(const struct ns_build *build, const struct ns_entry *entry)
{
    return entry->owner == build->serial;
}

/* A copy of an entry, for which there is then room to drop the original; the entry itself if it is the
 * build's own. NULL without memory. */
static struct ns_entry *own_copy(struct ns_build *build, const struct ns_entry *entry)
{
    if (is_own(build, entry))
        return (struct ns_entry *)entry;
    if (ns_build_reserve(build, 1) != 0)
        return NULL;
    return new_entry(build, entry, ns_entry_name(entry), entry->name_size, ns_entry_value(entry),
                     entry->value_size);
}

/* ---- paths ---- */

/* Where the last component of a path starts. Not for the root. */
static size_t last_component(const char *path, size_t path_size)
{
    size_t at = path_size;

    while (path[at - 1] != '/')
        at--;
    return at;
}

/* The size of the path of the parent, of which the child's name starts at `at`. */
static size_t parent_size(size_t at)
{
    return at > 1 ? at - 1 : 1;
}

/* The entry at path, which must exist, with all above it made the build's own. NULL without memory. */
static struct ns_entry *own_entry(struct ns_build *build, const char *path, size_t path_size)
{
    struct ns_entry *entry = own_copy(build, build->root);
    size_t at = 1, end;

    if (entry == NULL)
        return NULL;
    if (entry != build->root)
        ns_build_drop(build, ns_slot_of_entry(build->root));
    build->root = entry;
    while (at < path_size) {
        struct ns_place place = ns_place_children(entry);
        const char *slash = memchr(path + at, '/', path_size - at);

        end = slash == NULL ? path_size : (size_t)(slash - path);
        if (ns_trie_own(build, &place, path + at, end - at) != 0)
            return NULL;
        entry = own_copy(build, ns_slot_entry(*place.slot));
        if (entry == NULL)
            return NULL;
        if (ns_slot_of_entry(entry) != *place.slot) {
            ns_build_drop(build, *place.slot);
            ns_place_set_own(place, ns_slot_of_entry(entry));
        }
        at = end + 1;
    }
    return entry;
}

/* Put another entry, of the build, in the place of an existing one, which is dropped. */
static int replace_entry(struct ns_build *build, const char *path, size_t path_size,
                         const struct ns_entry *old, struct ns_entry *entry)
{
    struct ns_entry *parent;
    struct ns_place place;
    size_t at;

    ns_way_forget(build);
    if (path_size > 1) {
        at = last_component(path, path_size);
        parent = own_entry(build, path, parent_size(at));
        if (parent == NULL)
            return -ENOMEM;
        place = ns_place_children(parent);
        if (ns_trie_own(build, &place, path + at, path_size - at) != 0 ||
            ns_build_reserve(build, 1) != 0)
            return -ENOMEM;
        ns_place_set_own(place, ns_slot_of_entry(entry));
    } else {
        if (ns_build_reserve(build, 1) != 0)
            return -ENOMEM;
        build->root = entry;
    }
    ns_build_drop(build, ns_slot_of_entry(old));
    return 0;
}

/* ---- writing ---- */

static int overwrite(struct ns_build *build, const char *path, size_t path_size,
                     const struct ns_entry *old, const void *value, size_t value_size,
                     struct ns_perms *perms)
{
    struct ns_entry *entry = (struct ns_entry *)old;
    bool in_place =
        is_own(build, old) && ns_entry_bytes_for(old->name_size, value_size) == ns_entry_bytes(old);

    if (in_place) {
        if (value_size > 0)
            memmove(entry->data + entry->name_size + 1, value, value_size);
        entry->value_size = (uint16_t)value_size;
    } else {
        entry = new_entry(build, old, ns_entry_name(old), old->name_size, value, value_size);
        if (entry == NULL)
            return -ENOMEM;
        if (replace_entry(build, path, path_size, old, entry) != 0) {
            ns_block_free(ns_slot_of_entry(entry), build->pool);
            return -ENOMEM;
        }
    }
    if (perms != NULL)
        set_perms(entry, perms);
    entry->version = 0;
    return 0;
}

/* The entries for path[at...], each the only child of the one before, apart from the tree; all as
 * `like`, an entry without children and generations. The first of them, or NULL without memory. */
static struct ns_entry *make_chain(struct ns_build *build, const struct ns_entry *like,
                                   const char *path, size_t path_size, size_t at, const void *value,
                                   size_t value_size)
{
    struct ns_entry *below = NULL, *entry;
    size_t start;

    for (size_t end = path_size; end > at; end = start - 1) {
        start = last_component(path, end);
        entry = below == NULL ? new_entry(build, like, path + start, end - start, value, value_size)
                              : new_entry(build, like, path + start, end - start, NULL, 0);
        if (entry == NULL) {
            if (below != NULL)
                ns_build_drop_tree(build, ns_slot_of_entry(below));
            return NULL;
        }
        if (below != NULL) {
            entry->children = ns_slot_of_entry(below);
            entry->child_count = 1;
        }
        below = entry;
    }
    return below;
}

static struct ns_entry *chain_end(struct ns_entry *entry)
{
    while (entry->children != 0)
        entry = ns_slot_entry(entry->children);
    return entry;
}

static int create(struct ns_build *build, const char *path, size_t path_size,
                  const struct ns_entry *nearest, size_t depth_size, const void *value,
                  size_t value_size, struct ns_perms *perms)
{
    const struct ns_entry like = {.perms = nearest->perms};
    size_t at = depth_size == 1 ? 1 : depth_size + 1;
    struct ns_entry *chain = make_chain(build, &like, path, path_size, at, value, value_size),
                    *parent;

    if (chain == NULL)
        return -ENOMEM;
    if (perms != NULL)
        set_perms(chain_end(chain), perms);
    parent = build->way != NULL && build->way->parent == nearest
                 ? build->way->parent
                 : own_entry(build, path, depth_size);
    if (parent == NULL || ns_trie_insert(build, parent, chain) != 0) {
        ns_build_drop_tree(build, ns_slot_of_entry(chain));
        return -ENOMEM;
    }
    parent->child_count++;
    parent->children_version = 0;
    ns_way_note(build, parent, path, depth_size);
    return 0;
}

const struct ns_entry *ns_build_nearest(const struct ns_build *build, const char *path,
                                        size_t path_size, size_t *depth_size)
{
    struct ns_way *way = build->way;
    const struct ns_entry *child;
    const char *name, *slash;
    size_t name_size;

    if (way == NULL || way->parent == NULL || path_size <= way->path_size + 1 ||
        path[way->path_size] != '/' || memcmp(path, way->path, way->path_size) != 0)
        return ns_tree_nearest(build->root, path, path_size, depth_size);
    name = path + way->path_size + 1;
    name_size = path_size - way->path_size - 1;
    slash = memchr(name, '/', name_size);
    if (slash != NULL)
        name_size = (size_t)(slash - name);
    *depth_size = way->path_size;
    child = ns_trie_get(ns_way_slot(way, name, name_size), name, name_size);
    if (child == NULL)
        return way->parent;
    *depth_size += 1 + name_size;
    return ns_tree_nearest_below(child, *depth_size + 1, path, path_size, depth_size);
}

int ns_build_write_below(struct ns_build *build, const struct ns_entry *nearest, size_t depth_size,
                         const char *path, size_t path_size, const void *value, size_t value_size,
                         struct ns_perms *perms)
{
    assert(path_size <= NS_PATH_MAX && value_size <= NS_VALUE_MAX);
    if (depth_size == path_size)
        return overwrite(build, path, path_size, nearest, value, value_size, perms);
    return create(build, path, path_size, nearest, depth_size, value, value_size, perms);
}

int ns_build_write(struct ns_build *build, const char *path, size_t path_size, const void *value,
                   size_t value_size, struct ns_perms *perms)
{
    size_t depth_size;
    const struct ns_entry *nearest = ns_build_nearest(build, path, path_size, &depth_size);

    return ns_build_write_below(build, nearest, depth_size, path, path_size, value, value_size,
                                perms);
}

int ns_build_set_perms(struct ns_build *build, const char *path, size_t path_size,
                       struct ns_perms *perms)
{
    struct ns_entry *entry;

    if (ns_tree_lookup(build->root, path, path_size) == NULL)
        return -ENOENT;
    ns_way_forget(build);
    entry = own_entry(build, path, path_size);
    if (entry == NULL)
        return -ENOMEM;
    set_perms(entry, perms);
    entry->version = 0;
    return 0;
}

int ns_build_remove(struct ns_build *build, const char *path, size_t path_size)
{
    const struct ns_entry *entry = ns_tree_lookup(build->root, path, path_size);
    struct ns_entry *parent;
    size_t at, drops;

    if (path_size == 1)
        return -EINVAL;
    if (entry == NULL)
        return -ENOENT;
    ns_way_forget(build);
    at = last_component(path, path_size);
    parent = own_entry(build, path, parent_size(at));
    if (parent == NULL)
        return -ENOMEM;
    drops = ns_build_drop_count(build, ns_slot_of_entry(entry));
    if (ns_trie_remove(build, ns_place_children(parent), path + at, path_size - at, drops) != 0)
        return -ENOMEM;
    parent->child_count--;
    parent->children_version = 0;
    ns_build_drop_tree(build, ns_slot_of_entry(entry));
    return 0;
}

/* ---- from the beginning to the end ---- */

void ns_build_begin(struct ns_build *build, struct ns_pool *pool, const struct ns_entry *base,
                    uint64_t serial)
{
    *build = (struct ns_build){.pool = pool, .base = base, .root = base, .serial = serial};
}

static void stamp(uintptr_t slot, void *version)
{
    struct ns_entry *entry;

    if (ns_slot_is_node(slot))
        return;
    entry = ns_slot_entry(slot);
    if (entry->version == 0)
        entry->version = *(uint64_t *)version;
    if (entry->children_version == 0)
        entry->children_version = *(uint64_t *)version;
}

static void way_free(struct ns_build *build)
{
    free(build->way);
    build->way = NULL;
}

void ns_build_seal(struct ns_build *build, uint64_t version)
{
    way_free(build);
    if (is_own(build, build->root))
        ns_trie_walk_own(ns_slot_of_entry(build->root), build->serial, stamp, NULL, &version);
}

static void free_block(uintptr_t slot, void *pool)
{
    ns_block_free(slot, pool);
}

void ns_build_abandon(struct ns_build *build)
{
    way_free(build);
    if (is_own(build, build->root))
        ns_trie_walk_own(ns_slot_of_entry(build->root), build->serial, free_block, NULL,
                         build->pool);
    build->root = build->base;
    free(build->replaced.blocks);
    build->replaced = (struct ns_replaced){0};
}
