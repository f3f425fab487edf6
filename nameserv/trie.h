/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The children of an entry: a Patricia trie of popcount nodes over nibbles. Private to the tree, its
 * tests and its benchmarks.
 *
 * KEYS. The key of a child is its name followed by a NUL. Position p of a key is a nibble of it, the
 * high one of a byte first; behind the end all nibbles are 0. Because a name has no NUL, no key is a
 * prefix of another, and the order of keys by nibbles is the order of names by bytes.
 *
 * SLOTS. A slot is one word: 0 for none; the address of an entry; or the address of a node plus
 * NS_SLOT_NODE. A node says which position of the key it looks at (greater than that of the node
 * above it, and all keys below agree before it), and has a slot for each value that occurs there, two
 * at least, in order. So a lookup takes one load of a node for each position where keys differ, and
 * compares the name once, at the entry.
 *
 *      entry "neigh"                      node, position 1          node, position 3
 *      +----------+      +----------+     +----------+ slot "a"
 *      | children |----> | bits 4 7 |---->| bits 1 2 |----> entry "ba"
 *      +----------+      +----------+     +----------+----> entry "bb"
 *                              |
 *                              +--------> entry "x"
 *
 * FRESH. While a build works, it must find what it has made without reading what it has not: `fresh`
 * has a bit for each slot whose block was made by the owner of this node. It is true for the owner
 * only: whoever copies the node starts with none, so nothing has to be unmarked at publishing. What
 * a build made hangs together from the root down: above a block of its own all blocks are its own.
 */
#ifndef KEDGE_NAMESERV_TRIE_H
#define KEDGE_NAMESERV_TRIE_H

#include "nameserv/tree.h"

struct ns_trie_node {
    uint64_t owner;    /* serial of the build that made this copy */
    uint32_t position; /* nibble of the key that this node looks at */
    uint16_t bitmap;   /* values of that nibble that have a slot */
    uint16_t fresh;    /* those whose block the owner made, too */
    uintptr_t slots[];
};

_Static_assert(sizeof(struct ns_trie_node) == 16, "two words before the slots");
_Static_assert(sizeof(struct ns_entry) == 48, "six words before the name");

enum { NS_SLOT_NODE = 1 };

static inline bool ns_slot_is_node(uintptr_t slot)
{
    return slot & NS_SLOT_NODE;
}

static inline struct ns_trie_node *ns_slot_node(uintptr_t slot)
{
    return (struct ns_trie_node *)(slot - NS_SLOT_NODE);
}

static inline struct ns_entry *ns_slot_entry(uintptr_t slot)
{
    return (struct ns_entry *)slot;
}

static inline uintptr_t ns_slot_of_node(const struct ns_trie_node *node)
{
    return (uintptr_t)node + NS_SLOT_NODE;
}

static inline uintptr_t ns_slot_of_entry(const struct ns_entry *entry)
{
    return (uintptr_t)entry;
}

/* Who made the block. slot must not be 0. */
static inline uint64_t ns_slot_owner(uintptr_t slot)
{
    return ns_slot_is_node(slot) ? ns_slot_node(slot)->owner : ns_slot_entry(slot)->owner;
}

/* The nibble of a key at a position. */
static inline unsigned ns_key_nibble(const char *name, size_t name_size, uint32_t position)
{
    unsigned byte = position / 2 < name_size ? (unsigned char)name[position / 2] : 0;

    return position % 2 == 0 ? byte >> 4 : byte & 15;
}

static inline unsigned ns_entry_nibble(const struct ns_entry *entry, uint32_t position)
{
    return ns_key_nibble(ns_entry_name(entry), entry->name_size, position);
}

static inline unsigned ns_node_size(const struct ns_trie_node *node)
{
    return (unsigned)__builtin_popcount(node->bitmap);
}

static inline bool ns_node_has(const struct ns_trie_node *node, unsigned nibble)
{
    return node->bitmap >> nibble & 1;
}

/* Which slot is that of a nibble; or would be, if the node has none for it. */
static inline unsigned ns_node_index(const struct ns_trie_node *node, unsigned nibble)
{
    return (unsigned)__builtin_popcount(node->bitmap & ((1u << nibble) - 1));
}

/* Bytes of pool memory. An entry's size is rounded, so that a value that grows within the rounding
 * does not change it. */
static inline size_t ns_node_bytes(unsigned slots)
{
    return sizeof(struct ns_trie_node) + slots * sizeof(uintptr_t);
}

static inline size_t ns_entry_bytes_for(size_t name_size, size_t value_size)
{
    return (sizeof(struct ns_entry) + name_size + 1 + value_size + 7) & ~(size_t)7;
}

static inline size_t ns_entry_bytes(const struct ns_entry *entry)
{
    return ns_entry_bytes_for(entry->name_size, entry->value_size);
}

/* ---- reading; any thread ---- */

/* The entry with that name; NULL if there is none. slot may be 0. */
struct ns_entry *ns_trie_get(uintptr_t slot, const char *name, size_t name_size);

/* The first entry, and the first greater than a name; NULL if there is none. slot may be 0. */
struct ns_entry *ns_trie_first(uintptr_t slot);
struct ns_entry *ns_trie_after(uintptr_t slot, const char *name, size_t name_size);

/* The entry that agrees with the name at all positions of nodes on the way, as far as there is one:
 * if any entry shares a prefix with the name, this one shares the longest. slot must not be 0. */
struct ns_entry *ns_trie_nearest(uintptr_t slot, const char *name, size_t name_size);

/* The first position where two names differ; NS_POSITION_NONE if they are equal. */
#define NS_POSITION_NONE UINT32_MAX
uint32_t ns_key_difference(const char *a, size_t a_size, const char *b, size_t b_size);

/* Call fn for each block at and below a slot, through all levels of the tree, children first: fn may
 * free the block. Uses the stack in proportion to depth. */
typedef void (*ns_block_fn)(uintptr_t slot, void *arg);
void ns_trie_walk(uintptr_t slot, ns_block_fn fn, void *arg);

/* The same for the blocks that a build made; the block at slot must be one of them. foreign, if not
 * NULL, is called for each block not made by it that hangs directly below one that is. Reads nothing
 * of foreign blocks, apart from the block that is the children of an entry. */
void ns_trie_walk_own(uintptr_t slot, uint64_t serial, ns_block_fn own, ns_block_fn foreign,
                      void *arg);

/* Give the memory of a block back, and an entry's reference of its permissions. */
void ns_block_free(uintptr_t slot, struct ns_pool *pool);

/* ---- editing; the control core ---- */

/* Where a slot is kept, in a block that the build made. */
struct ns_place {
    uintptr_t *slot;
    uint16_t *fresh; /* of the node that has the slot; NULL: it is an entry's children */
    uint16_t bit;    /* of the slot in *fresh */
};

static inline struct ns_place ns_place_children(struct ns_entry *entry)
{
    return (struct ns_place){.slot = &entry->children};
}

/* Put a block there that the build made, or one that it did not. */
static inline void ns_place_set_own(struct ns_place place, uintptr_t slot)
{
    *place.slot = slot;
    if (place.fresh != NULL)
        *place.fresh |= place.bit;
}

static inline void ns_place_set_foreign(struct ns_place place, uintptr_t slot)
{
    *place.slot = slot;
    if (place.fresh != NULL)
        *place.fresh &= (uint16_t)~place.bit;
}

/* All of these answer -ENOMEM with the content as before; some nodes may have been copied. */

/* *place is an entry's children; it becomes the place of the entry with that name, which must exist.
 * Afterwards all nodes on the way are the build's own. */
int ns_trie_own(struct ns_build *build, struct ns_place *place, const char *name, size_t name_size);

/* Add an entry that the build made. None of its name may exist. parent is the build's own. */
int ns_trie_insert(struct ns_build *build, struct ns_entry *parent, struct ns_entry *entry);

/* Take an existing entry out, without freeing it. When it succeeds, there is room to remember `extra`
 * blocks. */
int ns_trie_remove(struct ns_build *build, struct ns_place place, const char *name,
                   size_t name_size, size_t extra);

/* ---- the way ---- */

/* A build that has created some names remembers the way to the last one: its parent, and the nodes of the
 * parent's children above it. All of them are the build's own, so they stay where they are while it goes on
 * creating; anything else that it does makes it forget. The next name, mostly a sibling, goes on from the last
 * node that leads to it as well. */
enum { NS_WAY_FROM = 4 /* names created */, NS_WAY_NODES = 40, NS_WAY_PATH = 64 };

struct ns_way {
    struct ns_entry *parent; /* NULL: none is known */
    struct ns_entry *last;   /* child of it; NULL: only the parent is known */
    uint32_t depth;          /* of nodes */
    uint32_t path_size;
    struct ns_trie_node *nodes[NS_WAY_NODES];
    char path[NS_WAY_PATH]; /* of the parent, without a NUL */
};

/* Where to look for a child of way->parent: the slot under the last node on the way that leads to it. */
uintptr_t ns_way_slot(struct ns_way *way, const char *name, size_t name_size);

/* A name was created below parent, which is the build's own. */
void ns_way_note(struct ns_build *build, struct ns_entry *parent, const char *path,
                 size_t path_size);

static inline void ns_way_forget(struct ns_build *build)
{
    if (build->way != NULL)
        build->way->parent = NULL;
}

/* ns_tree_nearest() from an entry whose children's names start at `at`; *depth_size is that of the entry. */
const struct ns_entry *ns_tree_nearest_below(const struct ns_entry *entry, size_t at,
                                             const char *path, size_t path_size,
                                             size_t *depth_size);

/* ---- what a build replaces ---- */

/* The tag in ns_replaced.blocks, beside NS_SLOT_NODE, of a block with everything below it. */
enum { NS_REPLACED_TREE = 2 };

/* Make room for count blocks more, so that remembering them can't fail. 0 or -ENOMEM. */
int ns_build_reserve(struct ns_build *build, size_t count);

/* A block is out of the build's tree: freed at once if the build made it, else remembered, for which
 * there must be room. */
void ns_build_drop(struct ns_build *build, uintptr_t slot);

/* The same for a block with everything below it. Needs room for ns_build_drop_count() blocks. */
void ns_build_drop_tree(struct ns_build *build, uintptr_t slot);
size_t ns_build_drop_count(const struct ns_build *build, uintptr_t slot);

#endif
