/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The tree of names: persistent, path-copied by one writer, read by anybody.
 *
 * A version of the tree is a pointer to its root entry. An entry is one name with its value, its
 * permissions and its children; once published it never changes, so a snapshot is a pointer and
 * costs nothing. The children of an entry stand in a Patricia trie of popcount nodes over nibbles
 * of their names (after D. J. Bernstein's crit-bit tree and T. Finch's qp-trie), in byte order.
 *
 * A change works on a *build*: a private new version that shares with its base all that it has not
 * changed. Entries and trie nodes made in the build carry its serial number as owner and are
 * edited in place; those of the base are copied first, and the originals are remembered in
 * build->replaced, to be freed when no reader can see them any more. Serial numbers never repeat,
 * so nothing has to be unmarked when a build is published.
 *
 *      build = begin(base) -> write, remove, ... -> seal(commit number) -> publish build.root
 *                                                -> or abandon(): frees what the build made
 *
 * Each entry carries two generations: `version`, the commit that last changed its value or its
 * permissions (or created it), and `children_version`, the commit that last added or removed a
 * child. A transaction that has read a value does not conflict with the creation of a sibling.
 *
 * Names are sequences of bytes without '/' and NUL. Paths are absolute, start with '/', and have
 * neither empty components nor a trailing '/' (the root itself is "/"); callers check that with
 * ns_path_valid() before they come here.
 *
 * Thread safety: reading functions (lookup, children, diff) may be called by any thread on a version
 * that it keeps alive, by being inside an RCU read section or by pinning; they write nothing. Builds
 * belong to the control core.
 */
#ifndef KEDGE_NAMESERV_TREE_H
#define KEDGE_NAMESERV_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nameserv/pool.h"

enum {
    NS_PATH_MAX = 3072,  /* bytes of an absolute path, without its NUL (xenstore.txt) */
    NS_VALUE_MAX = 4096, /* bytes of a value: the payload limit of the wire */
};

struct ns_perms; /* nameserv/perms.h; entries hold a counted reference */

/* One name in one version of the tree. */
struct ns_entry {
    uint64_t owner;   /* serial of the build that made this copy */
    uint64_t version; /* commit of the last change of value or permissions; 0 = not yet sealed */
    uint64_t children_version; /* commit of the last child added or removed; 0 = not yet sealed */
    uintptr_t children;        /* slot of the children's trie; 0 = none */
    struct ns_perms *perms;
    uint32_t child_count;
    uint16_t value_size;
    uint16_t name_size; /* without the NUL */
    char data[];        /* name, NUL, value */
};

static inline const char *ns_entry_name(const struct ns_entry *entry)
{
    return entry->data;
}

static inline const char *ns_entry_value(const struct ns_entry *entry)
{
    return entry->data + entry->name_size + 1;
}

/* The entry at path in the version whose root is given; NULL if there is none. Wait-free.
 * path_size is without a NUL; path need not be NUL-terminated. */
const struct ns_entry *ns_tree_lookup(const struct ns_entry *root, const char *path,
                                      size_t path_size);

/* The deepest existing entry on the way to path, and in *depth_size how many bytes of path lead to
 * it ("/" counts 1). Never NULL. */
const struct ns_entry *ns_tree_nearest(const struct ns_entry *root, const char *path,
                                       size_t path_size, size_t *depth_size);

/* A direct child by name; NULL if there is none. */
const struct ns_entry *ns_entry_child(const struct ns_entry *entry, const char *name,
                                      size_t name_size);

/* The first child in byte order, and the first whose name is greater than the given one; NULL at the
 * end. Going through all n children by next() costs O(n * length of a name). */
const struct ns_entry *ns_entry_first(const struct ns_entry *entry);
const struct ns_entry *ns_entry_next(const struct ns_entry *entry, const char *name,
                                     size_t name_size);

/* Call fn for each child in byte order until it returns non-zero, which is then returned. */
int ns_entry_each(const struct ns_entry *entry, int (*fn)(const struct ns_entry *child, void *arg),
                  void *arg);

/* The same for those whose name is greater than the given one, which need not be a child's. */
int ns_entry_each_after(const struct ns_entry *entry, const char *name, size_t name_size,
                        int (*fn)(const struct ns_entry *child, void *arg), void *arg);

/* What ns_tree_diff() and ns_tree_each() report of one name. before is NULL for a creation, after for a removal. */
typedef int (*ns_diff_fn)(const char *path, size_t path_size, const struct ns_entry *before,
                          const struct ns_entry *after, void *arg);

/* Report every name that was created, removed, or whose value or permissions were written between
 * the two versions, parents before their children, siblings in byte order. Subtrees that are the
 * same object are skipped, so the cost is that of the change and not of the tree. Writing an equal
 * value counts as a write. path passed to fn is NUL-terminated and valid during the call. Stops at
 * the first non-zero answer of fn and returns it. Uses the stack in proportion to the depth of the
 * tree, which NS_PATH_MAX bounds. */
int ns_tree_diff(const struct ns_entry *before, const struct ns_entry *after, ns_diff_fn fn,
                 void *arg);

/* The same for every name of a version, as if all were new. */
int ns_tree_each(const struct ns_entry *root, ns_diff_fn fn, void *arg);

/* What a build has replaced: blocks of older versions, to be freed when no reader and no pinned
 * snapshot can see them. The vector's own memory comes from malloc. */
struct ns_replaced {
    uintptr_t *blocks; /* tagged pointers, see replaced.c; free them with ns_replaced_free() */
    size_t count;
    size_t capacity;
    size_t bytes; /* of pool memory that the blocks hold */
};

/* Room for count blocks more. 0 or -ENOMEM. */
int ns_replaced_reserve(struct ns_replaced *replaced, struct ns_pool *pool, size_t count);

/* Move all from one to another, which has room for them, and free the vector; but free those at once that a
 * build of this serial or a later one has made. */
void ns_replaced_join(struct ns_replaced *to, struct ns_replaced *from, struct ns_pool *pool,
                      uint64_t serial);

/* Free every block, and the vector. Control core, after the grace period. */
void ns_replaced_free(struct ns_replaced *replaced, struct ns_pool *pool);

/* Free at most `limit` blocks (entries and nodes), so that a large subtree does not hold the caller up.
 * bytes goes down with it. True when nothing is left; then the vector is freed, too. */
bool ns_replaced_free_some(struct ns_replaced *replaced, struct ns_pool *pool, size_t limit);

struct ns_way; /* nameserv/trie.h */

/* A new version in the making. */
struct ns_build {
    struct ns_pool *pool;
    const struct ns_entry *base;
    const struct ns_entry *root;
    uint64_t serial;
    struct ns_replaced replaced;
    int64_t made; /* names that the caller counts (nameserv/apply.c); 0 at first */
    unsigned created;
    struct ns_way *way; /* to the name that was created last; NULL: few were */
};

/* A tree of only a root entry "/" with an empty value; version and children_version are given.
 * Takes over one reference of perms. NULL without memory. */
const struct ns_entry *ns_tree_new(struct ns_pool *pool, struct ns_perms *perms, uint64_t version);

/* Free a whole version that nobody can see. Only for the last one that is left. */
void ns_tree_free(const struct ns_entry *root, struct ns_pool *pool);

/* Start a build on base. serial must be greater than any used before. Cannot fail. */
void ns_build_begin(struct ns_build *build, struct ns_pool *pool, const struct ns_entry *base,
                    uint64_t serial);

/* As ns_tree_nearest() of the version in the making; cheaper for a name beside the one that was created last. */
const struct ns_entry *ns_build_nearest(const struct ns_build *build, const char *path,
                                        size_t path_size, size_t *depth_size);

/* Write a value. Missing ancestors are created with empty values. A created entry takes the
 * permissions of its parent, unless perms is given for it (a counted reference is taken). An existing
 * entry keeps its children, and its permissions unless perms is given.
 * 0; -ENOMEM, and then the build's content is as before. */
int ns_build_write(struct ns_build *build, const char *path, size_t path_size, const void *value,
                   size_t value_size, struct ns_perms *perms);

/* The same for who has just asked ns_build_nearest(). */
int ns_build_write_below(struct ns_build *build, const struct ns_entry *nearest, size_t depth_size,
                         const char *path, size_t path_size, const void *value, size_t value_size,
                         struct ns_perms *perms);

/* Set the permissions of an existing entry (a counted reference is taken). 0, -ENOENT, -ENOMEM. */
int ns_build_set_perms(struct ns_build *build, const char *path, size_t path_size,
                       struct ns_perms *perms);

/* Remove an entry with all below it. The root can't be removed (-EINVAL). 0, -ENOENT, -ENOMEM. */
int ns_build_remove(struct ns_build *build, const char *path, size_t path_size);

/* Stamp every entry that the build made and whose generations are still 0 with the commit number.
 * Costs in proportion to the change. Afterwards build->root may be published; the build itself is
 * over, and build->replaced belongs to the caller. */
void ns_build_seal(struct ns_build *build, uint64_t version);

/* Give up: free everything that the build made. base is untouched. */
void ns_build_abandon(struct ns_build *build);

/* Number of entries below and including the given one; for tests and reports. O(n). */
size_t ns_tree_count(const struct ns_entry *root);

/* Check the structure of a version (order, bitmaps, counts, owners); 0, or -EINVAL with a text in
 * why. For tests and kedgectl check. */
int ns_tree_check(const struct ns_entry *root, char *why, size_t why_size);

#endif
