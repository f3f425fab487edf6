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

const struct ns_entry *ns_tree_nearest_below(const struct ns_entry *entry, size_t at,
                                             const char *path, size_t path_size, size_t *depth_size)
{
    const struct ns_entry *child;
    size_t size;

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

const struct ns_entry *ns_tree_nearest(const struct ns_entry *root, const char *path,
                                       size_t path_size, size_t *depth_size)
{
    *depth_size = 1;
    return ns_tree_nearest_below(root, 1, path, path_size, depth_size);
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

/* The entries below a node are spread over memory: ask for all before going to the first. */
static inline void prefetch_slots(const struct ns_trie_node *node, unsigned from, unsigned count)
{
    for (unsigned i = from; i < count; i++)
        __builtin_prefetch((const void *)(node->slots[i] & ~(uintptr_t)NS_SLOT_NODE));
}

typedef int (*child_fn)(const struct ns_entry *child, void *arg);

static int each(uintptr_t slot, child_fn fn, void *arg);

static int each_from(const struct ns_trie_node *node, unsigned index, child_fn fn, void *arg)
{
    unsigned count = ns_node_size(node);
    int answer = 0;

    prefetch_slots(node, index, count);
    for (; index < count && answer == 0; index++)
        answer = each(node->slots[index], fn, arg);
    return answer;
}

static int each(uintptr_t slot, child_fn fn, void *arg)
{
    return ns_slot_is_node(slot) ? each_from(ns_slot_node(slot), 0, fn, arg)
                                 : fn(ns_slot_entry(slot), arg);
}

int ns_entry_each(const struct ns_entry *entry, child_fn fn, void *arg)
{
    return entry->children == 0 ? 0 : each(entry->children, fn, arg);
}

/* A name, the child that shares most with it, and the position where they differ. */
struct after {
    const char *name;
    size_t size;
    const struct ns_entry *nearest;
    uint32_t position;
    child_fn fn;
    void *arg;
};

/* Down to that position, and on the way back up all that lies to the right. */
static int each_after(uintptr_t slot, const struct after *after)
{
    const struct ns_trie_node *node;
    unsigned nibble, index;
    int answer = 0;

    if (!ns_slot_is_node(slot) || ns_slot_node(slot)->position > after->position) {
        if (after->position == NS_POSITION_NONE ||
            ns_entry_nibble(after->nearest, after->position) <
                ns_key_nibble(after->name, after->size, after->position))
            return 0;
        return each(slot, after->fn, after->arg);
    }
    node = ns_slot_node(slot);
    nibble = ns_key_nibble(after->name, after->size, node->position);
    index = ns_node_index(node, nibble);
    if (node->position < after->position)
        answer = each_after(node->slots[index++], after);
    return answer != 0 ? answer : each_from(node, index, after->fn, after->arg);
}

int ns_entry_each_after(const struct ns_entry *entry, const char *name, size_t name_size,
                        child_fn fn, void *arg)
{
    struct after after = {.name = name, .size = name_size, .fn = fn, .arg = arg};

    if (entry->children == 0)
        return 0;
    after.nearest = ns_trie_nearest(entry->children, name, name_size);
    after.position =
        ns_key_difference(name, name_size, ns_entry_name(after.nearest), after.nearest->name_size);
    return each_after(entry->children, &after);
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
