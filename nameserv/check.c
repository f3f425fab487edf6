/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Is a version of the tree well formed? See ns_tree_check() in tree.h.
 */
#include "nameserv/trie.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "nameserv/perms.h"

struct check {
    char *why;
    size_t why_size;
};

struct directory {
    const struct ns_entry *entry;
    const struct ns_entry *previous; /* the child gone through before */
    uint32_t count;
};

static int check_children(struct check *check, const struct ns_entry *entry);

__attribute__((format(printf, 2, 3))) static int wrong(struct check *check, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(check->why, check->why_size, format, arguments);
    va_end(arguments);
    return -EINVAL;
}

static bool is_after(const struct ns_entry *entry, const struct ns_entry *previous)
{
    return previous == NULL || strcmp(ns_entry_name(previous), ns_entry_name(entry)) < 0;
}

static int check_entry(struct check *check, struct directory *directory,
                       const struct ns_entry *entry)
{
    const char *name = ns_entry_name(entry);

    if (strnlen(name, entry->name_size + (size_t)1) != entry->name_size || entry->name_size == 0 ||
        strchr(name, '/') != NULL)
        return wrong(check, "a child of '%s' has a name that is none",
                     ns_entry_name(directory->entry));
    if (!is_after(entry, directory->previous))
        return wrong(check, "'%s' stands after '%s'", name, ns_entry_name(directory->previous));
    if (ns_trie_get(directory->entry->children, name, entry->name_size) != entry)
        return wrong(check, "'%s' is not found by its name", name);
    if (entry->perms == NULL || entry->perms->references == 0)
        return wrong(check, "'%s' has no permissions", name);
    directory->previous = entry;
    directory->count++;
    return check_children(check, entry);
}

static int check_slot(struct check *check, struct directory *directory, uintptr_t slot,
                      int64_t above);

/* What a block made by `owner` may have below it: blocks as old or older. */
static int check_owner(struct check *check, const struct directory *directory, uint64_t owner,
                       uintptr_t slot)
{
    if (ns_slot_owner(slot) <= owner)
        return 0;
    return wrong(check, "a block below '%s' is younger than the one above it",
                 ns_entry_name(directory->entry));
}

static int check_node(struct check *check, struct directory *directory,
                      const struct ns_trie_node *node)
{
    unsigned index = 0;
    int err = 0;

    for (unsigned bits = node->bitmap; bits != 0 && err == 0; bits &= bits - 1, index++) {
        uintptr_t slot = node->slots[index];
        bool fresh = (node->fresh & bits & -bits) != 0;

        err = check_owner(check, directory, node->owner, slot);
        if (err == 0 && fresh != (ns_slot_owner(slot) == node->owner))
            err = wrong(check, "a mark of the owner is wrong below '%s'",
                        ns_entry_name(directory->entry));
        if (err == 0)
            err = check_slot(check, directory, slot, node->position);
    }
    return err;
}

/* above: the position of the node above; -1 if there is none. */
static int check_slot(struct check *check, struct directory *directory, uintptr_t slot,
                      int64_t above)
{
    const struct ns_trie_node *node;

    if (!ns_slot_is_node(slot))
        return check_entry(check, directory, ns_slot_entry(slot));
    node = ns_slot_node(slot);
    if (ns_node_size(node) < 2 || (node->fresh & ~node->bitmap) != 0)
        return wrong(check, "a node below '%s' has a wrong bitmap",
                     ns_entry_name(directory->entry));
    if (node->position <= above)
        return wrong(check, "a node below '%s' looks back", ns_entry_name(directory->entry));
    return check_node(check, directory, node);
}

static int check_children(struct check *check, const struct ns_entry *entry)
{
    struct directory directory = {.entry = entry};
    int err = 0;

    if (entry->children != 0)
        err = check_owner(check, &directory, entry->owner, entry->children);
    if (err == 0 && entry->children != 0)
        err = check_slot(check, &directory, entry->children, -1);
    if (err == 0 && directory.count != entry->child_count)
        err = wrong(check, "'%s' has %u children and says %u", ns_entry_name(entry),
                    directory.count, entry->child_count);
    return err;
}

int ns_tree_check(const struct ns_entry *root, char *why, size_t why_size)
{
    struct check check = {.why = why, .why_size = why_size};

    return check_children(&check, root);
}
