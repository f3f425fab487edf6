/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The trie of children: reading and walking; see trie.h. Editing is in edit.c.
 */
#include "nameserv/trie.h"

#include <string.h>

#include "nameserv/perms.h"

struct ns_entry *ns_trie_get(uintptr_t slot, const char *name, size_t name_size)
{
    struct ns_entry *entry;

    if (slot == 0)
        return NULL;
    while (ns_slot_is_node(slot)) {
        const struct ns_trie_node *node = ns_slot_node(slot);
        unsigned nibble = ns_key_nibble(name, name_size, node->position);

        if (!ns_node_has(node, nibble))
            return NULL;
        slot = node->slots[ns_node_index(node, nibble)];
    }
    entry = ns_slot_entry(slot);
    if (entry->name_size != name_size || memcmp(ns_entry_name(entry), name, name_size) != 0)
        return NULL;
    return entry;
}

struct ns_entry *ns_trie_first(uintptr_t slot)
{
    while (ns_slot_is_node(slot))
        slot = ns_slot_node(slot)->slots[0];
    return slot == 0 ? NULL : ns_slot_entry(slot);
}

struct ns_entry *ns_trie_nearest(uintptr_t slot, const char *name, size_t name_size)
{
    while (ns_slot_is_node(slot)) {
        const struct ns_trie_node *node = ns_slot_node(slot);
        unsigned nibble = ns_key_nibble(name, name_size, node->position);

        /* Without a slot for it, everything below differs here; any entry will do. */
        slot = node->slots[ns_node_has(node, nibble) ? ns_node_index(node, nibble) : 0];
    }
    return ns_slot_entry(slot);
}

uint32_t ns_key_difference(const char *a, size_t a_size, const char *b, size_t b_size)
{
    size_t common = a_size < b_size ? a_size : b_size, i = 0;
    unsigned a_byte, b_byte;

    while (i < common && a[i] == b[i])
        i++;
    if (i == common && a_size == b_size)
        return NS_POSITION_NONE;
    a_byte = i < a_size ? (unsigned char)a[i] : 0;
    b_byte = i < b_size ? (unsigned char)b[i] : 0;
    return (uint32_t)(2 * i + ((a_byte ^ b_byte) < 16));
}

/* The first slot of a node for a nibble of at least that value; 0 if there is none. */
static uintptr_t slot_from(const struct ns_trie_node *node, unsigned nibble)
{
    unsigned index;

    if (nibble > 15)
        return 0;
    index = ns_node_index(node, nibble);
    return index < ns_node_size(node) ? node->slots[index] : 0;
}

/*
 * Down to the position where the name leaves the keys that are there. On the way `later` becomes the
 * nearest slot to the right, of which the first entry is the answer unless what is found at the end
 * is itself greater than the name.
 */
struct ns_entry *ns_trie_after(uintptr_t slot, const char *name, size_t name_size)
{
    const struct ns_entry *nearest;
    uintptr_t later = 0, right;
    uint32_t position;

    if (slot == 0)
        return NULL;
    nearest = ns_trie_nearest(slot, name, name_size);
    position = ns_key_difference(name, name_size, ns_entry_name(nearest), nearest->name_size);
    while (ns_slot_is_node(slot) && ns_slot_node(slot)->position < position) {
        const struct ns_trie_node *node = ns_slot_node(slot);
        unsigned nibble = ns_key_nibble(name, name_size, node->position);

        right = slot_from(node, nibble + 1);
        if (right != 0)
            later = right;
        slot = node->slots[ns_node_index(node, nibble)];
    }
    if (position == NS_POSITION_NONE)
        return ns_trie_first(later);
    if (ns_slot_is_node(slot) && ns_slot_node(slot)->position == position) {
        right = slot_from(ns_slot_node(slot), ns_key_nibble(name, name_size, position));
        return ns_trie_first(right != 0 ? right : later);
    }
    if (ns_entry_nibble(nearest, position) > ns_key_nibble(name, name_size, position))
        return ns_trie_first(slot);
    return ns_trie_first(later);
}

/* The blocks below a node are spread over memory: ask for all before going into the first. */
static void prefetch_slots(const struct ns_trie_node *node, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        __builtin_prefetch((const void *)(node->slots[i] & ~(uintptr_t)NS_SLOT_NODE));
}

void ns_trie_walk(uintptr_t slot, ns_block_fn fn, void *arg)
{
    if (ns_slot_is_node(slot)) {
        const struct ns_trie_node *node = ns_slot_node(slot);
        unsigned count = ns_node_size(node);

        prefetch_slots(node, count);
        for (unsigned i = 0; i < count; i++)
            ns_trie_walk(node->slots[i], fn, arg);
    } else if (ns_slot_entry(slot)->children != 0) {
        ns_trie_walk(ns_slot_entry(slot)->children, fn, arg);
    }
    fn(slot, arg);
}

static void walk_own_node(const struct ns_trie_node *node, ns_block_fn own, ns_block_fn foreign,
                          void *arg)
{
    unsigned index = 0;

    for (unsigned bits = node->bitmap; bits != 0; bits &= bits - 1, index++) {
        if (node->fresh & bits & -bits)
            ns_trie_walk_own(node->slots[index], node->owner, own, foreign, arg);
        else if (foreign != NULL)
            foreign(node->slots[index], arg);
    }
}

void ns_trie_walk_own(uintptr_t slot, uint64_t serial, ns_block_fn own, ns_block_fn foreign,
                      void *arg)
{
    uintptr_t children;

    if (ns_slot_is_node(slot)) {
        walk_own_node(ns_slot_node(slot), own, foreign, arg);
    } else if ((children = ns_slot_entry(slot)->children) != 0) {
        if (ns_slot_owner(children) == serial)
            ns_trie_walk_own(children, serial, own, foreign, arg);
        else if (foreign != NULL)
            foreign(children, arg);
    }
    own(slot, arg);
}

void ns_block_free(uintptr_t slot, struct ns_pool *pool)
{
    if (ns_slot_is_node(slot)) {
        struct ns_trie_node *node = ns_slot_node(slot);

        ns_pool_put(pool, node, ns_node_bytes(ns_node_size(node)));
    } else {
        struct ns_entry *entry = ns_slot_entry(slot);

        ns_perms_put(entry->perms);
        ns_pool_put(pool, entry, ns_entry_bytes(entry));
    }
}
