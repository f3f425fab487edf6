/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a build takes out of its tree: freed at once if the build made it, else remembered until no
 * reader can see it; see ns_replaced in tree.h.
 *
 * A block that was copied is remembered alone: what is below it is still in use. Of a subtree that was
 * removed only the top is remembered, with a tag, so the vector stays small; it is taken apart when it
 * is freed, by which time nobody else can be in it.
 */
#include "nameserv/trie.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

enum { REPLACED_FIRST = 16 };

int ns_replaced_reserve(struct ns_replaced *replaced, struct ns_pool *pool, size_t count)
{
    size_t capacity = replaced->capacity == 0 ? REPLACED_FIRST : replaced->capacity;
    uintptr_t *blocks;

    if (replaced->capacity - replaced->count >= count)
        return 0;
    while (capacity - replaced->count < count)
        capacity *= 2;
    if (!ns_pool_allows(pool))
        return -ENOMEM;
    blocks = realloc(replaced->blocks, capacity * sizeof(*blocks));
    if (blocks == NULL)
        return -ENOMEM;
    replaced->blocks = blocks;
    replaced->capacity = capacity;
    return 0;
}

int ns_build_reserve(struct ns_build *build, size_t count)
{
    return ns_replaced_reserve(&build->replaced, build->pool, count);
}

static void remember(struct ns_build *build, uintptr_t tagged)
{
    assert(build->replaced.count < build->replaced.capacity);
    build->replaced.blocks[build->replaced.count++] = tagged;
}

static size_t block_bytes(uintptr_t slot)
{
    if (ns_slot_is_node(slot))
        return ns_node_bytes(ns_node_size(ns_slot_node(slot)));
    return ns_entry_bytes(ns_slot_entry(slot));
}

void ns_build_drop(struct ns_build *build, uintptr_t slot)
{
    if (ns_slot_owner(slot) == build->serial) {
        ns_block_free(slot, build->pool);
    } else {
        build->replaced.bytes += block_bytes(slot);
        remember(build, slot);
    }
}

static void add_bytes(uintptr_t slot, void *bytes)
{
    *(size_t *)bytes += block_bytes(slot);
}

static void drop_own(uintptr_t slot, void *build)
{
    ns_block_free(slot, ((struct ns_build *)build)->pool);
}

static void drop_foreign_tree(uintptr_t slot, void *arg)
{
    struct ns_build *build = arg;

    ns_trie_walk(slot, add_bytes, &build->replaced.bytes);
    remember(build, slot | NS_REPLACED_TREE);
}

void ns_build_drop_tree(struct ns_build *build, uintptr_t slot)
{
    if (ns_slot_owner(slot) == build->serial)
        ns_trie_walk_own(slot, build->serial, drop_own, drop_foreign_tree, build);
    else
        drop_foreign_tree(slot, build);
}

static void count_nothing(uintptr_t slot, void *arg)
{
    (void)slot, (void)arg;
}

static void count_one(uintptr_t slot, void *count)
{
    (void)slot;
    ++*(size_t *)count;
}

size_t ns_build_drop_count(const struct ns_build *build, uintptr_t slot)
{
    size_t count = 0;

    if (ns_slot_owner(slot) != build->serial)
        return 1;
    ns_trie_walk_own(slot, build->serial, count_nothing, count_one, &count);
    return count;
}

static void free_block(uintptr_t slot, void *pool)
{
    ns_block_free(slot, pool);
}

static void forget_bytes(uintptr_t slot, void *replaced)
{
    ((struct ns_replaced *)replaced)->bytes -= block_bytes(slot);
}

/* The slots directly below a block; *count gets how many. */
static const uintptr_t *slots_below(uintptr_t slot, size_t *count)
{
    if (ns_slot_is_node(slot)) {
        *count = ns_node_size(ns_slot_node(slot));
        return ns_slot_node(slot)->slots;
    }
    *count = ns_slot_entry(slot)->children != 0;
    return &ns_slot_entry(slot)->children;
}

/* Put what is below the top of a subtree into the vector, as subtrees of their own. If there is no
 * memory even for that, free it right now. */
static void take_apart(struct ns_replaced *replaced, struct ns_pool *pool, uintptr_t slot)
{
    size_t count;
    const uintptr_t *slots = slots_below(slot, &count);
    bool room = ns_replaced_reserve(replaced, pool, count) == 0;

    for (size_t i = 0; i < count; i++) {
        if (room) {
            __builtin_prefetch((const void *)(slots[i] & ~(uintptr_t)NS_SLOT_NODE));
            replaced->blocks[replaced->count++] = slots[i] | NS_REPLACED_TREE;
        } else {
            ns_trie_walk(slots[i], forget_bytes, replaced);
            ns_trie_walk(slots[i], free_block, pool);
        }
    }
}

bool ns_replaced_free_some(struct ns_replaced *replaced, struct ns_pool *pool, size_t limit)
{
    for (; replaced->count > 0 && limit > 0; limit--) {
        uintptr_t tagged = replaced->blocks[--replaced->count];
        uintptr_t slot = tagged & ~(uintptr_t)NS_REPLACED_TREE;

        if (tagged & NS_REPLACED_TREE)
            take_apart(replaced, pool, slot);
        replaced->bytes -= block_bytes(slot);
        ns_block_free(slot, pool);
    }
    if (replaced->count > 0)
        return false;
    free(replaced->blocks);
    *replaced = (struct ns_replaced){0};
    return true;
}

void ns_replaced_join(struct ns_replaced *to, struct ns_replaced *from, struct ns_pool *pool,
                      uint64_t serial)
{
    to->bytes += from->bytes;
    for (size_t i = 0; i < from->count; i++) {
        uintptr_t tagged = from->blocks[i];

        if (!(tagged & NS_REPLACED_TREE) && ns_slot_owner(tagged) >= serial) {
            to->bytes -= block_bytes(tagged);
            ns_block_free(tagged, pool);
        } else {
            assert(to->count < to->capacity);
            to->blocks[to->count++] = tagged;
        }
    }
    from->count = from->bytes = 0;
}

void ns_replaced_free(struct ns_replaced *replaced, struct ns_pool *pool)
{
    ns_replaced_free_some(replaced, pool, SIZE_MAX);
}
