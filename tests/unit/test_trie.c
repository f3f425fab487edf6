/* SPDX-License-Identifier: BSD-3-Clause */
/* The children of one entry: getting, stepping and order, against a sorted array of names. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/unit/tree_model.h"

enum { NAMES_MAX = 400, NAME_MAX_TESTED = 6 };

struct name {
    char bytes[NAME_MAX_TESTED + 1];
    size_t size;
};

struct names {
    struct name list[NAMES_MAX];
    unsigned count;
};

static struct ns_pool *pool;
static struct ns_perms *perms;

static int setup(void **state)
{
    (void)state;
    pool = ns_pool_new();
    perms = ns_perms_new(&(struct ns_perm){.id = 0}, 1);
    return pool == NULL || perms == NULL;
}

static int teardown(void **state)
{
    (void)state;
    assert_int_equal(ns_pool_used(pool), 0);
    assert_int_equal(perms->references, 1);
    ns_perms_put(perms);
    ns_pool_free(pool);
    return 0;
}

static int compare_names(const void *a, const void *b)
{
    /* as unsigned bytes: strcmp() is defined so */
    return strcmp(((const struct name *)a)->bytes, ((const struct name *)b)->bytes);
}

static void random_name(struct name *name)
{
    name->size = universe_name(name->bytes, NAME_MAX_TESTED);
}

static void random_names(struct names *names, unsigned count)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < count; i++)
        random_name(&names->list[i]);
    qsort(names->list, count, sizeof(names->list[0]), compare_names);
    for (unsigned i = 0; i < count; i++) {
        if (kept == 0 || compare_names(&names->list[kept - 1], &names->list[i]) != 0)
            names->list[kept++] = names->list[i];
    }
    names->count = kept;
}

static void shuffle(unsigned *order, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        unsigned j = seed_below(i + 1);

        order[i] = i;
        order[i] = order[j];
        order[j] = i;
    }
}

/* A root with these children, put in at random order. */
static const struct ns_entry *tree_of(const struct names *names)
{
    unsigned order[NAMES_MAX] = {0};
    struct ns_build build;
    char path[NAME_MAX_TESTED + 2];

    shuffle(order, names->count);
    ns_build_begin(&build, pool, ns_tree_new(pool, ns_perms_get(perms), 1), 2);
    for (unsigned i = 0; i < names->count; i++) {
        int size = snprintf(path, sizeof(path), "/%s", names->list[order[i]].bytes);

        assert_int_equal(ns_build_write(&build, path, (size_t)size, NULL, 0, NULL), 0);
    }
    ns_build_seal(&build, 2);
    ns_replaced_free(&build.replaced, pool);
    return build.root;
}

static void expect_name(const struct names *names, unsigned i, const struct ns_entry *entry)
{
    if (i >= names->count) {
        assert_null(entry);
        return;
    }
    assert_non_null(entry);
    assert_string_equal(ns_entry_name(entry), names->list[i].bytes);
}

static void expect_steps(const struct names *names, const struct ns_entry *root)
{
    const struct ns_entry *entry = ns_entry_first(root);

    for (unsigned i = 0; i < names->count; i++) {
        expect_name(names, i, entry);
        assert_ptr_equal(ns_entry_child(root, names->list[i].bytes, names->list[i].size), entry);
        entry = ns_entry_next(root, ns_entry_name(entry), entry->name_size);
    }
    assert_null(entry);
}

struct expected {
    const struct names *names;
    unsigned next;
};

static int expect_next(const struct ns_entry *entry, void *arg)
{
    struct expected *expected = arg;

    assert_true(expected->next < expected->names->count);
    expect_name(expected->names, expected->next++, entry);
    return 0;
}

/* From a name that may be there or not. */
static void expect_step_from(const struct names *names, const struct ns_entry *root,
                             const struct name *from)
{
    struct expected expected = {.names = names};
    unsigned i = 0;

    while (i < names->count && compare_names(&names->list[i], from) < 0)
        i++;
    if (i < names->count && compare_names(&names->list[i], from) == 0)
        expect_name(names, i++, ns_entry_child(root, from->bytes, from->size));
    else
        assert_null(ns_entry_child(root, from->bytes, from->size));
    expect_name(names, i, ns_entry_next(root, from->bytes, from->size));
    expected.next = i;
    assert_int_equal(ns_entry_each_after(root, from->bytes, from->size, expect_next, &expected), 0);
    assert_int_equal(expected.next, names->count);
}

static void steps_are_in_byte_order(void **state)
{
    struct names *names = calloc(1, sizeof(*names));

    (void)state;
    assert_non_null(names);
    seed_begin();
    for (unsigned round = 0; round < 2000 * seed_scale(); round++) {
        const struct ns_entry *root;
        struct name from;

        random_names(names, seed_below(round % 10 == 0 ? NAMES_MAX : 12));
        root = tree_of(names);
        expect_steps(names, root);
        for (unsigned i = 0; i < 100; i++) {
            random_name(&from);
            expect_step_from(names, root, &from);
        }
        ns_tree_free(root, pool);
    }
    free(names);
}

/* All 254 bytes that a name can have, each as a name: two levels of nodes, full ones. */
static void every_byte_is_a_name(void **state)
{
    struct names *names = calloc(1, sizeof(*names));
    const struct ns_entry *root;

    (void)state;
    assert_non_null(names);
    seed_begin();
    for (unsigned byte = 1; byte < 256; byte++) {
        if (byte != '/')
            names->list[names->count++] = (struct name){.bytes = {(char)byte}, .size = 1};
    }
    root = tree_of(names);
    assert_int_equal(root->child_count, 254);
    expect_steps(names, root);
    ns_tree_free(root, pool);
    free(names);
}

static uint32_t slow_difference(const struct name *a, const struct name *b)
{
    for (uint32_t position = 0; position < 2 * (NAME_MAX_TESTED + 1); position++) {
        if (ns_key_nibble(a->bytes, a->size, position) !=
            ns_key_nibble(b->bytes, b->size, position))
            return position;
    }
    return NS_POSITION_NONE;
}

static void key_differences(void **state)
{
    (void)state;
    seed_begin();
    for (unsigned i = 0; i < 200000 * seed_scale(); i++) {
        struct name a, b;

        random_name(&a);
        random_name(&b);
        assert_int_equal(ns_key_difference(a.bytes, a.size, b.bytes, b.size),
                         slow_difference(&a, &b));
        assert_int_equal(ns_key_difference(a.bytes, a.size, a.bytes, a.size), NS_POSITION_NONE);
    }
}

/* Nodes have two slots at least, so there are fewer of them than entries. */
static void count_nodes(uintptr_t slot, void *count)
{
    *(unsigned *)count += ns_slot_is_node(slot);
}

static void nodes_are_fewer_than_names(void **state)
{
    struct names *names = calloc(1, sizeof(*names));
    const struct ns_entry *root;
    unsigned nodes = 0;

    (void)state;
    assert_non_null(names);
    seed_begin();
    random_names(names, NAMES_MAX);
    root = tree_of(names);
    ns_trie_walk(ns_slot_of_entry(root), count_nodes, &nodes);
    assert_true(nodes > 0 && nodes < names->count);
    ns_tree_free(root, pool);
    free(names);
}

/* ---- a build goes on from the name that it created last ---- */

static const char *const directories[] = {"/a", "/ab", "/b/c"};

struct created {
    struct names names[3];
    unsigned order[3][NAMES_MAX];
    unsigned next[3];
};

static void created_begin(struct created *created, bool in_order)
{
    for (unsigned d = 0; d < 3; d++) {
        random_names(&created->names[d], 1 + seed_below(200));
        created->next[d] = 0;
        shuffle(created->order[d], created->names[d].count);
        for (unsigned i = 0; in_order && i < created->names[d].count; i++)
            created->order[d][i] = i;
    }
}

/* Memory may end in the middle: then nothing has changed, and the same is tried again. */
static void create_name(struct ns_build *build, const char *path, size_t size)
{
    int rc;

    ns_pool_fail_after(pool, seed_below(4) == 0 ? 1 + seed_below(4) : 0);
    rc = ns_build_write(build, path, size, "v", 1, NULL);
    ns_pool_fail_after(pool, 0);
    if (rc == 0)
        return;
    assert_int_equal(rc, -ENOMEM);
    assert_null(ns_tree_lookup(build->root, path, size));
    assert_int_equal(ns_build_write(build, path, size, "v", 1, NULL), 0);
}

static void expect_same_nearest(const struct ns_build *build, const char *path, size_t size)
{
    size_t depth, expected;
    const struct ns_entry *nearest = ns_build_nearest(build, path, size, &depth);

    assert_ptr_equal(nearest, ns_tree_nearest(build->root, path, size, &expected));
    assert_int_equal(depth, expected);
}

/* All of them, now in this directory and now in that; between them something else is done. */
static void create_some(struct ns_build *build, struct created *created)
{
    char path[32];

    for (unsigned steps = 16 * 3 * 14; steps > 0; steps--) {
        unsigned d = steps / 16 % 3;
        struct name other;
        int size;

        random_name(&other);
        size = snprintf(path, sizeof(path), "%s/%s/%s", directories[d], other.bytes, other.bytes);
        expect_same_nearest(build, path, (size_t)size);
        if (created->next[d] == created->names[d].count)
            continue;
        size = snprintf(path, sizeof(path), "%s/%s", directories[d],
                        created->names[d].list[created->order[d][created->next[d]++]].bytes);
        create_name(build, path, (size_t)size);
        expect_same_nearest(build, path, (size_t)size);
        if (seed_below(8) == 0)
            assert_int_equal(ns_build_write(build, path, (size_t)size, path, (size_t)size, NULL),
                             0);
        if (seed_below(8) != 0)
            continue;
        assert_int_equal(ns_build_remove(build, path, (size_t)size), 0);
        create_name(build, path, (size_t)size);
    }
}

static void names_are_created_one_beside_the_other(void **state)
{
    struct created *created = calloc(1, sizeof(*created));
    char why[128];

    (void)state;
    assert_non_null(created);
    seed_begin();
    for (unsigned round = 0; round < 200 * seed_scale(); round++) {
        struct ns_build build;

        ns_build_begin(&build, pool, ns_tree_new(pool, ns_perms_get(perms), 1), 2);
        created_begin(created, round % 2 == 0);
        create_some(&build, created);
        assert_true(build.way != NULL);
        ns_build_seal(&build, 2);
        assert_int_equal(ns_tree_check(build.root, why, sizeof(why)), 0);
        for (unsigned d = 0; d < 3; d++)
            expect_steps(&created->names[d],
                         ns_tree_lookup(build.root, directories[d], strlen(directories[d])));
        ns_replaced_free(&build.replaced, pool);
        ns_tree_free(build.root, pool);
    }
    free(created);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(steps_are_in_byte_order, setup, teardown),
        cmocka_unit_test_setup_teardown(every_byte_is_a_name, setup, teardown),
        cmocka_unit_test_setup_teardown(key_differences, setup, teardown),
        cmocka_unit_test_setup_teardown(nodes_are_fewer_than_names, setup, teardown),
        cmocka_unit_test_setup_teardown(names_are_created_one_beside_the_other, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
