/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The difference between two versions of the tree; see ns_tree_diff() in tree.h.
 *
 * Both tries of a directory are gone through side by side. Two slots that hold the same word are the
 * same subtree, because nothing that is published changes; everything else is opened, at the first
 * position where either side distinguishes keys, until two entries stand against each other or one
 * against nothing.
 */
#include "nameserv/trie.h"

#include <string.h>

struct diff {
    char path[NS_PATH_MAX + 1];
    size_t path_size;
    ns_diff_fn fn;
    void *arg;
};

/* A slot opened at a position: which nibbles occur there, and what is below each. */
struct side {
    const struct ns_trie_node *node; /* NULL: all keys of the slot have the same nibble there */
    uintptr_t slot;
    uint16_t bitmap;
};

static int diff_slots(struct diff *diff, uintptr_t before, uintptr_t after);

/* The position of the slot's node; behind all positions for an entry or nothing. */
static uint32_t position_of(uintptr_t slot)
{
    return ns_slot_is_node(slot) ? ns_slot_node(slot)->position : NS_POSITION_NONE;
}

/* Do two nodes at one position have a slot in common? Then they also have the keys' beginning in
 * common, and no name needs to be read to know it. */
static bool share_slot(const struct ns_trie_node *a, const struct ns_trie_node *b)
{
    for (unsigned bits = a->bitmap & b->bitmap; bits != 0; bits &= bits - 1) {
        unsigned nibble = (unsigned)__builtin_ctz(bits);

        if (a->slots[ns_node_index(a, nibble)] == b->slots[ns_node_index(b, nibble)])
            return true;
    }
    return false;
}

/* The first position where keys below a and b can differ. Neither is 0. NS_POSITION_NONE if they are
 * two entries of one name. */
static uint32_t first_difference(uintptr_t a, uintptr_t b)
{
    uint32_t a_position = position_of(a), b_position = position_of(b), position;
    const struct ns_entry *a_first, *b_first;

    if (a_position == b_position && a_position != NS_POSITION_NONE &&
        share_slot(ns_slot_node(a), ns_slot_node(b)))
        return a_position;
    a_first = ns_trie_first(a);
    b_first = ns_trie_first(b);
    position = ns_key_difference(ns_entry_name(a_first), a_first->name_size, ns_entry_name(b_first),
                                 b_first->name_size);
    if (a_position < position)
        position = a_position;
    return b_position < position ? b_position : position;
}

static struct side open_side(uintptr_t slot, uint32_t position)
{
    if (slot == 0)
        return (struct side){0};
    if (position_of(slot) == position)
        return (struct side){.node = ns_slot_node(slot), .bitmap = ns_slot_node(slot)->bitmap};
    return (struct side){
        .slot = slot, .bitmap = (uint16_t)(1u << ns_entry_nibble(ns_trie_first(slot), position))};
}

static uintptr_t side_slot(const struct side *side, unsigned nibble)
{
    if ((side->bitmap >> nibble & 1) == 0)
        return 0;
    return side->node == NULL ? side->slot : side->node->slots[ns_node_index(side->node, nibble)];
}

static int diff_at(struct diff *diff, uintptr_t before, uintptr_t after, uint32_t position)
{
    struct side old = open_side(before, position), new = open_side(after, position);
    int answer = 0;

    for (unsigned bits = old.bitmap | new.bitmap; bits != 0 && answer == 0; bits &= bits - 1) {
        unsigned nibble = (unsigned)__builtin_ctz(bits);

        answer = diff_slots(diff, side_slot(&old, nibble), side_slot(&new, nibble));
    }
    return answer;
}

/* Two entries of one name, or one and NULL; path leads to them. */
static int diff_entries(struct diff *diff, const struct ns_entry *before,
                        const struct ns_entry *after)
{
    bool written =
        before == NULL || after == NULL || before->version != after->version || after->version == 0;
    int answer = 0;

    if (written)
        answer = diff->fn(diff->path, diff->path_size, before, after, diff->arg);
    if (answer != 0)
        return answer;
    return diff_slots(diff, before == NULL ? 0 : before->children,
                      after == NULL ? 0 : after->children);
}

/* The same with the name appended to the path meanwhile. */
static int diff_children(struct diff *diff, const struct ns_entry *before,
                         const struct ns_entry *after)
{
    const struct ns_entry *entry = before != NULL ? before : after;
    size_t parent_size = diff->path_size, at = parent_size == 1 ? 1 : parent_size + 1;
    int answer;

    diff->path[at - 1] = '/';
    memcpy(diff->path + at, ns_entry_name(entry), (size_t)entry->name_size + 1);
    diff->path_size = at + entry->name_size;
    answer = diff_entries(diff, before, after);
    diff->path_size = parent_size;
    return answer;
}

static int diff_slots(struct diff *diff, uintptr_t before, uintptr_t after)
{
    uint32_t position;

    if (before == after)
        return 0;
    if (before == 0 || after == 0)
        position = position_of(before | after);
    else
        position = first_difference(before, after);
    if (position == NS_POSITION_NONE)
        return diff_children(diff, ns_slot_entry(before), ns_slot_entry(after));
    return diff_at(diff, before, after, position);
}

int ns_tree_each(const struct ns_entry *root, ns_diff_fn fn, void *arg)
{
    struct diff diff = {.path = "/", .path_size = 1, .fn = fn, .arg = arg};

    return diff_entries(&diff, NULL, root);
}

int ns_tree_diff(const struct ns_entry *before, const struct ns_entry *after, ns_diff_fn fn,
                 void *arg)
{
    struct diff diff; /* of which the path is large */

    if (before == after)
        return 0;
    diff.path_size = 1;
    diff.fn = fn;
    diff.arg = arg;
    diff.path[0] = '/';
    diff.path[1] = '\0';
    return diff_entries(&diff, before, after);
}
