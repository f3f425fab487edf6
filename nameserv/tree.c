/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reading a version of the tree, and its first and its last day; see tree.h.
 */
#include "nameserv/trie.h"

#include <string.h>

#include "nameserv/perms.h"

/* The component of path that starts at `at`: its size. */
static size_t component(const char *path, size_t path_size, size_t at)
{
    const char *slash = memchr(path + at, '/', path_size - at);

    return slash == NULL ? path_size - at : (size_t)(slash - path) - at;
}

const struct ns_entry *ns_tree_nearest(const struct ns_entry *root, const char *path,
                                       size_t path_size, size_t *depth_size)
{
    const struct ns_entry *entry = root, *child;
    size_t at = 1, size;

    *depth_size = 1;
    while (at < path_size) {
        size = component(path, path_size, at);
        child = ns_trie_get(entry->children, path + at, size);
        if (child == NULL)
            break;
        entry = child;
        *depth_size = at + size;
        at += size + 1;
    }
    return entry;
}

const struct ns_entry *ns_tree_lookup(const struct ns_entry *root, const char *path,
                                      size_t path_size)
{
    size_t depth_size;
    const struct ns_entry *entry = ns_tree_nearest(root, path, path_size, &depth_size);

    return depth_size == path_size ? entry : NULL;
}

const struct ns_entry *ns_entry_child(const struct ns_entry *entry, const char *name,
                                      size_t name_size)
{
    return ns_trie_get(entry->children, name, name_size);
}

const struct ns_entry *ns_entry_first(const struct ns_entry *entry)
{
    return ns_trie_first(entry->children);
}

const struct ns_entry *ns_entry_next(const struct ns_entry *entry, const char *name,
                                     size_t name_size)
{
    return ns_trie_after(entry->children, name, name_size);
}

static int each(uintptr_t slot, int (*fn)(const struct ns_entry *child, void *arg), void *arg)
{
    const struct ns_trie_node *node;
    unsigned count;
    int answer = 0;

    if (!ns_slot_is_node(slot))
        return fn(ns_slot_entry(slot), arg);
    node = ns_slot_node(slot);
    count = ns_node_size(node);
    for (unsigned i = 0; i < count && answer == 0; i++)
        answer = each(node->slots[i], fn, arg);
    return answer;
}

int ns_entry_each(const struct ns_entry *entry, int (*fn)(const struct ns_entry *child, void *arg),
                  void *arg)
{
    return entry->children == 0 ? 0 : each(entry->children, fn, arg);
}

const struct ns_entry *ns_tree_new(struct ns_pool *pool, struct ns_perms *perms, uint64_t version)
{
    struct ns_entry *root = ns_pool_get(pool, ns_entry_bytes_for(1, 0));

    if (root == NULL)
        return NULL;
    *root = (struct ns_entry){
        .version = version, .children_version = version, .perms = perms, .name_size = 1};
    memcpy(root->data, "/", 2);
    return root;
}

static void free_block(uintptr_t slot, void *pool)
{
    ns_block_free(slot, pool);
}

void ns_tree_free(const struct ns_entry *root, struct ns_pool *pool)
{
    ns_trie_walk(ns_slot_of_entry(root), free_block, pool);
}

static void count_entry(uintptr_t slot, void *count)
{
    *(size_t *)count += !ns_slot_is_node(slot);
}

size_t ns_tree_count(const struct ns_entry *root)
{
    size_t count = 0;

    ns_trie_walk(ns_slot_of_entry(root), count_entry, &count);
    return count;
}
