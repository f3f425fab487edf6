/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The trie of children: editing by a build; see trie.h.
 *
 * Going down, every node that is not the build's own is replaced by a copy that is, in its place in
 * the copy above; so there is no way back up and no stack of the way. Each step that can run out of
 * memory comes before the first change of content.
 */
#include "nameserv/trie.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool is_own(const struct ns_build *build, const struct ns_trie_node *node)
{
    return node->owner == build->serial;
}

/* The fresh bits of a node as far as they hold for this build. */
static uint16_t fresh_of(const struct ns_build *build, const struct ns_trie_node *node)
{
    return is_own(build, node) ? node->fresh : 0;
}

static struct ns_trie_node *new_node(struct ns_build *build, uint32_t position, unsigned slots)
{
    struct ns_trie_node *node = ns_pool_get(build->pool, ns_node_bytes(slots));

    if (node != NULL) {
        node->owner = build->serial;
        node->position = position;
    }
    return node;
}

/* Make the node at place the build's own. NULL without memory. */
static struct ns_trie_node *own_node(struct ns_build *build, struct ns_place place)
{
    struct ns_trie_node *node = ns_slot_node(*place.slot), *copy;

    if (is_own(build, node))
        return node;
    if (ns_build_reserve(build, 1) != 0)
        return NULL;
    copy = new_node(build, node->position, ns_node_size(node));
    if (copy == NULL)
        return NULL;
    copy->bitmap = node->bitmap;
    copy->fresh = 0;
    memcpy(copy->slots, node->slots, ns_node_size(node) * sizeof(uintptr_t));
    ns_place_set_own(place, ns_slot_of_node(copy));
    ns_build_drop(build, ns_slot_of_node(node));
    return copy;
}

/* The place of a nibble's slot, which exists, in a node of the build. */
static struct ns_place place_in(struct ns_trie_node *node, unsigned nibble)
{
    return (struct ns_place){.slot = &node->slots[ns_node_index(node, nibble)],
                             .fresh = &node->fresh,
                             .bit = (uint16_t)(1u << nibble)};
}

int ns_trie_own(struct ns_build *build, struct ns_place *place, const char *name, size_t name_size)
{
    while (ns_slot_is_node(*place->slot)) {
        struct ns_trie_node *node = own_node(build, *place);

        if (node == NULL)
            return -ENOMEM;
        *place = place_in(node, ns_key_nibble(name, name_size, node->position));
    }
    return 0;
}

/* A new node above what is at place, where the new entry's key differs from all there. */
static int fork_at(struct ns_build *build, struct ns_place place, uint32_t position, unsigned there,
                   const struct ns_entry *entry)
{
    unsigned here = ns_entry_nibble(entry, position);
    struct ns_trie_node *node = new_node(build, position, 2);

    if (node == NULL)
        return -ENOMEM;
    node->bitmap = (uint16_t)(1u << here | 1u << there);
    node->fresh = (uint16_t)(1u << here);
    if (ns_slot_owner(*place.slot) == build->serial)
        node->fresh |= (uint16_t)(1u << there);
    node->slots[here > there] = ns_slot_of_entry(entry);
    node->slots[here < there] = *place.slot;
    ns_place_set_own(place, ns_slot_of_node(node));
    return 0;
}

/* One slot more for the node at place. */
static int grow(struct ns_build *build, struct ns_place place, const struct ns_entry *entry)
{
    struct ns_trie_node *node = ns_slot_node(*place.slot), *copy;
    unsigned nibble = ns_entry_nibble(entry, node->position);
    unsigned index = ns_node_index(node, nibble), count = ns_node_size(node);

    if (ns_build_reserve(build, 1) != 0)
        return -ENOMEM;
    copy = new_node(build, node->position, count + 1);
    if (copy == NULL)
        return -ENOMEM;
    copy->bitmap = (uint16_t)(node->bitmap | 1u << nibble);
    copy->fresh = (uint16_t)(fresh_of(build, node) | 1u << nibble);
    memcpy(copy->slots, node->slots, index * sizeof(uintptr_t));
    copy->slots[index] = ns_slot_of_entry(entry);
    memcpy(copy->slots + index + 1, node->slots + index, (count - index) * sizeof(uintptr_t));
    ns_place_set_own(place, ns_slot_of_node(copy));
    ns_build_drop(build, ns_slot_of_node(node));
    return 0;
}

/* The last node on the way above the name's place, so far as they agree. */
static struct ns_trie_node *way_back(struct ns_way *way, const char *name, size_t name_size)
{
    uint32_t position;

    if (way->last == NULL)
        return NULL;
    position = ns_key_difference(ns_entry_name(way->last), way->last->name_size, name, name_size);
    while (way->depth > 0 && way->nodes[way->depth - 1]->position > position)
        way->depth--;
    return way->depth == 0 ? NULL : way->nodes[way->depth - 1];
}

uintptr_t ns_way_slot(struct ns_way *way, const char *name, size_t name_size)
{
    const struct ns_trie_node *node = way_back(way, name, name_size);
    unsigned nibble;

    if (node == NULL)
        return way->parent->children;
    nibble = ns_key_nibble(name, name_size, node->position);
    return ns_node_has(node, nibble) ? node->slots[ns_node_index(node, nibble)] : 0;
}

/* Where to start with an entry that is to be added: the place above which nothing has to be done. */
static struct ns_place way_place(struct ns_way *way, struct ns_entry *parent,
                                 const struct ns_entry *entry)
{
    const char *name = ns_entry_name(entry);
    struct ns_trie_node *node;

    if (way == NULL)
        return ns_place_children(parent);
    node = way_back(way, name, entry->name_size);
    if (node != NULL && !ns_node_has(node, ns_entry_nibble(entry, node->position)))
        node = --way->depth == 0 ? NULL : way->nodes[way->depth - 1];
    return node == NULL ? ns_place_children(parent)
                        : place_in(node, ns_entry_nibble(entry, node->position));
}

static void way_push(struct ns_way *way, struct ns_trie_node *node)
{
    if (way != NULL && way->depth < NS_WAY_NODES)
        way->nodes[way->depth++] = node;
}

/* Put the entry into a place that has something: beside it, or in it. */
static int insert_at(struct ns_build *build, struct ns_way *way, struct ns_place place,
                     const struct ns_entry *entry)
{
    const struct ns_entry *nearest =
        ns_trie_nearest(*place.slot, ns_entry_name(entry), entry->name_size);
    uint32_t position = ns_key_difference(ns_entry_name(entry), entry->name_size,
                                          ns_entry_name(nearest), nearest->name_size);
    struct ns_trie_node *node;
    int rc;

    assert(position != NS_POSITION_NONE);
    while (ns_slot_is_node(*place.slot) && ns_slot_node(*place.slot)->position < position) {
        node = own_node(build, place);
        if (node == NULL)
            return -ENOMEM;
        way_push(way, node);
        place = place_in(node, ns_entry_nibble(entry, node->position));
    }
    if (ns_slot_is_node(*place.slot) && ns_slot_node(*place.slot)->position == position)
        rc = grow(build, place, entry);
    else
        rc = fork_at(build, place, position, ns_entry_nibble(nearest, position), entry);
    if (rc == 0)
        way_push(way, ns_slot_node(*place.slot));
    return rc;
}

int ns_trie_insert(struct ns_build *build, struct ns_entry *parent, struct ns_entry *entry)
{
    struct ns_way *way = build->way != NULL && build->way->parent == parent ? build->way : NULL;
    struct ns_place place = way_place(way, parent, entry);
    int rc = 0;

    if (*place.slot == 0)
        ns_place_set_own(place, ns_slot_of_entry(entry));
    else
        rc = insert_at(build, way, place, entry);
    if (rc != 0)
        ns_way_forget(build); /* it may lead half to the one, half to the other */
    else if (way != NULL)
        way->last = entry;
    return rc;
}

void ns_way_note(struct ns_build *build, struct ns_entry *parent, const char *path,
                 size_t path_size)
{
    struct ns_way *way = build->way;

    if (++build->created < NS_WAY_FROM || (way != NULL && way->parent == parent))
        return;
    if (way == NULL)
        way = build->way = malloc(sizeof(*way)); /* without it all goes on, only slower */
    if (way == NULL)
        return;
    way->parent = path_size > 1 && path_size <= sizeof(way->path) ? parent : NULL;
    way->last = NULL;
    way->depth = 0;
    if (way->parent == NULL)
        return;
    way->path_size = (uint32_t)path_size;
    memcpy(way->path, path, path_size);
}

/* The node at place loses one of its two slots, and with it its reason. */
static void unfork(struct ns_build *build, struct ns_place place, unsigned nibble)
{
    struct ns_trie_node *node = ns_slot_node(*place.slot);
    uint16_t bit = (uint16_t)(node->bitmap & ~(1u << nibble));
    uintptr_t other = node->slots[ns_node_index(node, nibble) == 0];

    if (fresh_of(build, node) & bit)
        ns_place_set_own(place, other);
    else
        ns_place_set_foreign(place, other);
    ns_build_drop(build, ns_slot_of_node(node));
}

/* One slot less for the node at place. */
static int shrink(struct ns_build *build, struct ns_place place, unsigned nibble)
{
    struct ns_trie_node *node = ns_slot_node(*place.slot), *copy;
    unsigned index = ns_node_index(node, nibble), count = ns_node_size(node);

    copy = new_node(build, node->position, count - 1);
    if (copy == NULL)
        return -ENOMEM;
    copy->bitmap = (uint16_t)(node->bitmap & ~(1u << nibble));
    copy->fresh = (uint16_t)(fresh_of(build, node) & ~(1u << nibble));
    memcpy(copy->slots, node->slots, index * sizeof(uintptr_t));
    memcpy(copy->slots + index, node->slots + index + 1, (count - index - 1) * sizeof(uintptr_t));
    ns_place_set_own(place, ns_slot_of_node(copy));
    ns_build_drop(build, ns_slot_of_node(node));
    return 0;
}

/* Go down to the last node above the entry; *nibble gets its slot. */
static int own_to_last(struct ns_build *build, struct ns_place *place, const char *name,
                       size_t name_size, unsigned *nibble)
{
    for (;;) {
        struct ns_trie_node *node = ns_slot_node(*place->slot);

        *nibble = ns_key_nibble(name, name_size, node->position);
        if (!ns_slot_is_node(node->slots[ns_node_index(node, *nibble)]))
            return 0;
        node = own_node(build, *place);
        if (node == NULL)
            return -ENOMEM;
        *place = place_in(node, *nibble);
    }
}

int ns_trie_remove(struct ns_build *build, struct ns_place place, const char *name,
                   size_t name_size, size_t extra)
{
    unsigned nibble;

    if (!ns_slot_is_node(*place.slot)) {
        if (ns_build_reserve(build, extra) != 0)
            return -ENOMEM;
        *place.slot = 0;
        return 0;
    }
    if (own_to_last(build, &place, name, name_size, &nibble) != 0 ||
        ns_build_reserve(build, 1 + extra) != 0)
        return -ENOMEM;
    if (ns_node_size(ns_slot_node(*place.slot)) > 2)
        return shrink(build, place, nibble);
    unfork(build, place, nibble);
    return 0;
}
