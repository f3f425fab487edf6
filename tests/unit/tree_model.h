/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The tree, told by an array: what a version has to hold, for tests.
 *
 * A *universe* is a fixed set of paths with all their parents, in the order in which a walk of the
 * tree meets them: parents first, siblings by bytes. So a subtree is a range of indices, and a walk or
 * a difference has to report ascending indices. A *model* says of each path whether it exists and with
 * what. Values are windows of one array of random bytes, so a model holds only offset and size.
 */
#ifndef KEDGE_TESTS_TREE_MODEL_H
#define KEDGE_TESTS_TREE_MODEL_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "nameserv/perms.h"
#include "nameserv/trie.h"
#include "tests/unit/seed.h"

enum { MODEL_PERMS = 4 };

struct universe_path {
    char *path;
    size_t size;
    unsigned parent;
    unsigned end; /* behind the last path below this one */
};

struct universe {
    struct universe_path *paths; /* [0] is "/" */
    unsigned count;
    struct ns_perms *perms[MODEL_PERMS];
    char values[2 * NS_VALUE_MAX];
};

struct model_entry {
    uint64_t version, children_version; /* 0: changed in the build that is not sealed yet */
    uint32_t value_at;
    uint16_t value_size;
    uint8_t perms;
    bool exists;
};

struct model {
    const struct universe *universe;
    struct model_entry *entries;
};

/* ---- the universe ---- */

/* In the order of a walk: '/' before all other bytes. */
static inline int universe_compare(const void *a, const void *b)
{
    const unsigned char *left = (const unsigned char *)((const struct universe_path *)a)->path;
    const unsigned char *right = (const unsigned char *)((const struct universe_path *)b)->path;

    while (*left != '\0' && *left == *right) {
        left++;
        right++;
    }
    if (*left == '\0' || *right == '\0')
        return (*left != '\0') - (*right != '\0');
    if (*left == '/' || *right == '/')
        return (*left != '/') - (*right != '/');
    return *left < *right ? -1 : 1;
}

static inline void universe_add_one(struct universe *universe, const char *path, size_t size)
{
    struct universe_path *paths = realloc(universe->paths, (universe->count + 1) * sizeof(*paths));

    assert_non_null(paths);
    paths[universe->count++] = (struct universe_path){.path = strndup(path, size), .size = size};
    universe->paths = paths;
}

/* A path and all above it. */
static inline void universe_add(struct universe *universe, const char *path)
{
    for (size_t i = 1; path[i] != '\0'; i++) {
        if (path[i] == '/')
            universe_add_one(universe, path, i);
    }
    universe_add_one(universe, path, strlen(path));
}

static inline bool universe_is_below(const struct universe_path *path,
                                     const struct universe_path *above)
{
    if (above->size == 1)
        return path->size > 1;
    return path->size > above->size && path->path[above->size] == '/' &&
           memcmp(path->path, above->path, above->size) == 0;
}

/* Sort, drop what is there twice, find parents and ends. */
static inline void universe_finish(struct universe *universe)
{
    struct universe_path *paths = universe->paths;
    unsigned kept = 1;

    qsort(paths, universe->count, sizeof(*paths), universe_compare);
    for (unsigned i = 1; i < universe->count; i++) {
        if (strcmp(paths[i].path, paths[kept - 1].path) == 0)
            free(paths[i].path);
        else
            paths[kept++] = paths[i];
    }
    universe->count = kept;
    for (unsigned i = 0; i < kept; i++) {
        unsigned end = i + 1;

        while (end < kept && universe_is_below(&paths[end], &paths[i])) {
            paths[end].parent = i; /* the nearest one writes last */
            end++;
        }
        paths[i].end = end;
    }
}

/* A name of bytes that try the trie: few different ones, so that names share beginnings, one is the
 * beginning of another, and they differ in high nibbles, low nibbles and the end. */
static inline size_t universe_name(char *name, unsigned size_max)
{
    static const unsigned char few[] = {0x01, 0x0f, 0x10, '0',  '1',  '9',
                                        'a',  'b',  0x7f, 0x80, 0xf0, 0xff};
    size_t size = 1 + seed_below(size_max);
    bool any = seed_below(4) == 0;

    for (size_t i = 0; i < size; i++) {
        do {
            name[i] = (char)(any ? seed_below(256) : few[seed_below(sizeof(few))]);
        } while (name[i] == '\0' || name[i] == '/');
    }
    name[size] = '\0';
    return size;
}

static inline void universe_new(struct universe *universe, unsigned paths)
{
    char path[NS_PATH_MAX + 1] = "";

    *universe = (struct universe){0};
    universe_add_one(universe, "/", 1);
    for (unsigned i = 0; i < paths; i++) {
        unsigned depth = 1 + seed_below(5);
        size_t size = 0;

        for (unsigned level = 0; level < depth; level++) {
            path[size++] = '/';
            size += universe_name(path + size, seed_below(50) == 0 ? 300 : level < 2 ? 2 : 4);
        }
        universe_add(universe, path);
    }
    universe_finish(universe);
    for (unsigned i = 0; i < MODEL_PERMS; i++)
        universe->perms[i] = ns_perms_new(&(struct ns_perm){.id = i, .rights = NS_PERM_READ}, 1);
    for (size_t i = 0; i < sizeof(universe->values); i++)
        universe->values[i] = (char)seed_next();
}

static inline void universe_free(struct universe *universe)
{
    for (unsigned i = 0; i < universe->count; i++)
        free(universe->paths[i].path);
    free(universe->paths);
    for (unsigned i = 0; i < MODEL_PERMS; i++) {
        assert_int_equal(universe->perms[i]->references, 1);
        ns_perms_put(universe->perms[i]);
    }
}

/* ---- the model ---- */

/* Only the root, made by `version` with the first permissions. */
static inline void model_new(struct model *model, const struct universe *universe, uint64_t version)
{
    model->universe = universe;
    model->entries = calloc(universe->count, sizeof(*model->entries));
    assert_non_null(model->entries);
    model->entries[0] =
        (struct model_entry){.exists = true, .version = version, .children_version = version};
}

static inline void model_free(struct model *model)
{
    free(model->entries);
}

static inline void model_copy(struct model *to, const struct model *from)
{
    memcpy(to->entries, from->entries, from->universe->count * sizeof(*from->entries));
}

static inline void model_create(struct model *model, unsigned i)
{
    unsigned parent = model->universe->paths[i].parent;

    if (!model->entries[parent].exists)
        model_create(model, parent);
    model->entries[parent].children_version = 0;
    model->entries[i] = (struct model_entry){.exists = true, .perms = model->entries[parent].perms};
}

/* perms: MODEL_PERMS for none. */
static inline void model_write(struct model *model, unsigned i, uint32_t value_at,
                               uint16_t value_size, unsigned perms)
{
    struct model_entry *entry = &model->entries[i];

    if (!entry->exists)
        model_create(model, i);
    entry->value_at = value_at;
    entry->value_size = value_size;
    entry->version = 0;
    if (perms < MODEL_PERMS)
        entry->perms = (uint8_t)perms;
}

static inline void model_remove(struct model *model, unsigned i)
{
    for (unsigned below = i; below < model->universe->paths[i].end; below++)
        model->entries[below].exists = false;
    model->entries[model->universe->paths[i].parent].children_version = 0;
}

static inline void model_seal(struct model *model, uint64_t version)
{
    for (unsigned i = 0; i < model->universe->count; i++) {
        struct model_entry *entry = &model->entries[i];

        if (entry->version == 0)
            entry->version = version;
        if (entry->children_version == 0)
            entry->children_version = version;
    }
}

/* ---- a version against the model ---- */

static inline void model_expect_entry(const struct model *model, unsigned i,
                                      const struct ns_entry *entry)
{
    const struct model_entry *expected = &model->entries[i];

    assert_non_null(entry);
    assert_true(expected->exists);
    assert_int_equal(entry->value_size, expected->value_size);
    assert_memory_equal(ns_entry_value(entry), model->universe->values + expected->value_at,
                        entry->value_size);
    assert_ptr_equal(entry->perms, model->universe->perms[expected->perms]);
    assert_int_equal(entry->version, expected->version);
    assert_int_equal(entry->children_version, expected->children_version);
}

/* One path, by lookup. */
static inline void model_expect_path(const struct model *model, unsigned i,
                                     const struct ns_entry *root)
{
    const struct universe_path *path = &model->universe->paths[i];
    const struct ns_entry *entry = ns_tree_lookup(root, path->path, path->size);

    if (model->entries[i].exists)
        model_expect_entry(model, i, entry);
    else
        assert_null(entry);
}

static inline unsigned model_next_existing(const struct model *model, unsigned from)
{
    while (from < model->universe->count && !model->entries[from].exists)
        from++;
    return from;
}

struct model_walk {
    const struct model *model;
    unsigned next;     /* what is before this index has been met */
    unsigned parent;   /* whose children are gone through */
    uint32_t children; /* how many of them */
};

static inline void model_walk_children(struct model_walk *walk, unsigned i,
                                       const struct ns_entry *entry);

static inline int model_walk_child(const struct ns_entry *child, void *arg)
{
    struct model_walk *walk = arg;
    unsigned i = model_next_existing(walk->model, walk->next);
    const struct universe_path *path = &walk->model->universe->paths[i];

    assert_true(i < walk->model->universe->count);
    assert_int_equal(path->parent, walk->parent);
    assert_string_equal(ns_entry_name(child), strrchr(path->path, '/') + 1);
    model_expect_entry(walk->model, i, child);
    walk->children++;
    walk->next = i + 1;
    model_walk_children(walk, i, child);
    return 0;
}

static inline void model_walk_children(struct model_walk *walk, unsigned i,
                                       const struct ns_entry *entry)
{
    struct model_walk outer = *walk;

    walk->parent = i;
    walk->children = 0;
    assert_int_equal(ns_entry_each(entry, model_walk_child, walk), 0);
    assert_int_equal(entry->child_count, walk->children);
    walk->parent = outer.parent;
    walk->children = outer.children;
}

/* The whole version: every entry, in order, and nothing else. */
static inline void model_expect(const struct model *model, const struct ns_entry *root)
{
    struct model_walk walk = {.model = model, .next = 1};
    char why[256] = "";

    model_expect_entry(model, 0, root);
    model_walk_children(&walk, 0, root);
    assert_int_equal(model_next_existing(model, walk.next), model->universe->count);
    if (ns_tree_check(root, why, sizeof(why)) != 0)
        fail_msg("%s", why);
}

/* ---- a difference against the models ---- */

struct model_diff {
    const struct model *before, *after;
    unsigned next;
};

static inline bool model_differs(const struct model_entry *before, const struct model_entry *after)
{
    if (!before->exists || !after->exists)
        return before->exists != after->exists;
    return before->version != after->version || after->version == 0;
}

static inline unsigned model_next_difference(const struct model_diff *diff)
{
    unsigned i = diff->next;

    while (i < diff->before->universe->count &&
           !model_differs(&diff->before->entries[i], &diff->after->entries[i]))
        i++;
    return i;
}

static inline int model_diff_entry(const char *path, size_t path_size,
                                   const struct ns_entry *before, const struct ns_entry *after,
                                   void *arg)
{
    struct model_diff *diff = arg;
    unsigned i = model_next_difference(diff);

    assert_true(i < diff->before->universe->count);
    assert_int_equal(path_size, strlen(path));
    assert_string_equal(path, diff->before->universe->paths[i].path);
    assert_int_equal(before != NULL, diff->before->entries[i].exists);
    assert_int_equal(after != NULL, diff->after->entries[i].exists);
    if (before != NULL)
        model_expect_entry(diff->before, i, before);
    if (after != NULL)
        model_expect_entry(diff->after, i, after);
    diff->next = i + 1;
    return 0;
}

static inline void model_expect_diff(const struct model *before, const struct ns_entry *before_root,
                                     const struct model *after, const struct ns_entry *after_root)
{
    struct model_diff diff = {.before = before, .after = after};

    assert_int_equal(ns_tree_diff(before_root, after_root, model_diff_entry, &diff), 0);
    assert_int_equal(model_next_difference(&diff), before->universe->count);
}

/* ---- changes of both ---- */

/* One change of the build, told to the model if it succeeded; fail_after as in ns_pool_fail_after().
 * Its answer, which is 0, or -ENOMEM if an allocation had to fail. */
static inline int model_build_write(struct model *model, struct ns_build *build, unsigned i,
                                    unsigned value_size, unsigned perms, uint64_t fail_after)
{
    const struct universe *universe = model->universe;
    uint32_t value_at = seed_below(NS_VALUE_MAX);
    int err;

    ns_pool_fail_after(build->pool, fail_after);
    err = ns_build_write(build, universe->paths[i].path, universe->paths[i].size,
                         universe->values + value_at, value_size,
                         perms < MODEL_PERMS ? universe->perms[perms] : NULL);
    ns_pool_fail_after(build->pool, 0);
    if (err == 0)
        model_write(model, i, value_at, (uint16_t)value_size, perms);
    else
        assert_true(err == -ENOMEM && fail_after > 0);
    return err;
}

static inline int model_build_set_perms(struct model *model, struct ns_build *build, unsigned i,
                                        unsigned perms, uint64_t fail_after)
{
    const struct universe *universe = model->universe;
    int err;

    ns_pool_fail_after(build->pool, fail_after);
    err = ns_build_set_perms(build, universe->paths[i].path, universe->paths[i].size,
                             universe->perms[perms]);
    ns_pool_fail_after(build->pool, 0);
    if (!model->entries[i].exists) {
        assert_int_equal(err, -ENOENT);
        return 0;
    }
    if (err == 0) {
        model->entries[i].perms = (uint8_t)perms;
        model->entries[i].version = 0;
    } else {
        assert_true(err == -ENOMEM && fail_after > 0);
    }
    return err;
}

static inline int model_build_remove(struct model *model, struct ns_build *build, unsigned i,
                                     uint64_t fail_after)
{
    const struct universe *universe = model->universe;
    int err;

    ns_pool_fail_after(build->pool, fail_after);
    err = ns_build_remove(build, universe->paths[i].path, universe->paths[i].size);
    ns_pool_fail_after(build->pool, 0);
    if (i == 0 || !model->entries[i].exists) {
        assert_int_equal(err, i == 0 ? -EINVAL : -ENOENT);
        return 0;
    }
    if (err == 0)
        model_remove(model, i);
    else
        assert_true(err == -ENOMEM && fail_after > 0);
    return err;
}

static inline unsigned model_random_size(void)
{
    switch (seed_below(16)) {
    case 0: return seed_below(NS_VALUE_MAX + 1);
    case 1:
    case 2:
    case 3: return 0;
    default: return seed_below(48);
    }
}

/* A random change of a random path. */
static inline int model_build_step(struct model *model, struct ns_build *build, uint64_t fail_after)
{
    unsigned i = seed_below(model->universe->count), dice = seed_below(20);

    if (dice < 12)
        return model_build_write(model, build, i, model_random_size(), seed_below(4 * MODEL_PERMS),
                                 fail_after);
    if (dice < 15)
        return model_build_set_perms(model, build, i, seed_below(MODEL_PERMS), fail_after);
    return model_build_remove(model, build, i, fail_after);
}

/* ---- is published memory left alone? ---- */

static inline uint64_t model_hash_bytes(uint64_t hash, const void *bytes, size_t size)
{
    const unsigned char *byte = bytes;
    uint64_t word;

    for (; size >= sizeof(word); size -= sizeof(word), byte += sizeof(word)) {
        memcpy(&word, byte, sizeof(word));
        hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
        hash ^= hash >> 32;
    }
    for (; size > 0; size--)
        hash = (hash ^ *byte++) * UINT64_C(0x100000001b3);
    return hash;
}

static inline void model_hash_block(uintptr_t slot, void *hash)
{
    const struct ns_entry *entry = ns_slot_entry(slot);
    const struct ns_trie_node *node;

    if (ns_slot_is_node(slot)) {
        node = ns_slot_node(slot);
        *(uint64_t *)hash =
            model_hash_bytes(*(uint64_t *)hash, node, ns_node_bytes(ns_node_size(node)));
    } else {
        *(uint64_t *)hash = model_hash_bytes(
            *(uint64_t *)hash, entry, sizeof(*entry) + entry->name_size + 1 + entry->value_size);
    }
}

/* Of every byte of every block of a version. */
static inline uint64_t model_hash(const struct ns_entry *root)
{
    uint64_t hash = 0;

    ns_trie_walk(ns_slot_of_entry(root), model_hash_block, &hash);
    return hash;
}

#endif
