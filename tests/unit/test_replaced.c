/* SPDX-License-Identifier: BSD-3-Clause */
/* What builds replace: counted exactly, freed in steps, also where there is no memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/unit/tree_model.h"

static struct ns_pool *pool;
static uint64_t serial;

static int setup(void **state)
{
    (void)state;
    pool = ns_pool_new();
    serial = 0;
    return pool == NULL;
}

static int teardown(void **state)
{
    (void)state;
    assert_int_equal(ns_pool_used(pool), 0);
    ns_pool_free(pool);
    return 0;
}

static const struct ns_entry *new_tree(struct ns_perms *perms)
{
    const struct ns_entry *root = ns_tree_new(pool, ns_perms_get(perms), 1);

    assert_non_null(root);
    return root;
}

static struct ns_perms *some_perms(void)
{
    return ns_perms_new(&(struct ns_perm){.id = 0, .rights = NS_PERM_READ}, 1);
}

static int put(struct ns_build *build, const char *path, const char *value)
{
    return ns_build_write(build, path, strlen(path), value, strlen(value), NULL);
}

/* Seal the build as the commit of its serial number, and free what it replaced. */
static const struct ns_entry *publish(struct ns_build *build)
{
    ns_build_seal(build, build->serial);
    ns_replaced_free(&build->replaced, pool);
    return build->root;
}

/* The bytes that a batch says it holds are those that freeing it gives back, in however many steps. */
static void replaced_bytes_are_exact(void **state)
{
    struct universe universe;
    struct ns_build build;
    struct model model;
    const struct ns_entry *root;
    size_t used, limit;

    (void)state;
    seed_begin();
    universe_new(&universe, 300);
    model_new(&model, &universe, 1);
    root = new_tree(universe.perms[0]);
    serial = 1;
    for (unsigned round = 0; round < 2000; round++) {
        limit = 1 + seed_below(20);
        ns_build_begin(&build, pool, root, ++serial);
        for (unsigned i = seed_below(60); i > 0; i--)
            model_build_step(&model, &build, 0);
        ns_build_seal(&build, serial);
        model_seal(&model, serial);
        used = ns_pool_used(pool) - build.replaced.bytes;
        ns_pool_fail_after(pool, seed_below(3)); /* freeing works without memory, too */
        while (!ns_replaced_free_some(&build.replaced, pool, limit))
            assert_int_equal(ns_pool_used(pool) - build.replaced.bytes, used);
        ns_pool_fail_after(pool, 0);
        assert_int_equal(ns_pool_used(pool), used);
        assert_int_equal(build.replaced.bytes, 0);
        root = build.root;
    }
    model_expect(&model, root);
    ns_tree_free(root, pool);
    model_free(&model);
    universe_free(&universe);
}

/* A version without the thousand names that its base has; the build that removed them is sealed. */
static void remove_thousand(struct ns_build *build, struct ns_perms *perms)
{
    const struct ns_entry *root;
    char path[32];

    ns_build_begin(build, pool, new_tree(perms), 2);
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(path, sizeof(path), "/a/%u/%u", i / 10, i);
        assert_int_equal(put(build, path, "value"), 0);
    }
    root = publish(build);
    ns_build_begin(build, pool, root, 3);
    assert_int_equal(ns_build_remove(build, "/a", 2), 0);
    ns_build_seal(build, 3);
    assert_true(build->replaced.count < 5);
    assert_true(build->replaced.bytes > 1100 * sizeof(struct ns_entry));
}

/* A removed subtree of many names is freed in steps that are not larger than asked for. */
static void a_large_subtree_is_freed_in_steps(void **state)
{
    struct ns_perms *perms = some_perms();
    struct ns_build build;
    size_t used, steps = 1;

    (void)state;
    remove_thousand(&build, perms);
    used = ns_pool_used(pool);
    while (!ns_replaced_free_some(&build.replaced, pool, 10)) {
        assert_true(used - ns_pool_used(pool) <= 10 * 200);
        used = ns_pool_used(pool);
        steps++;
    }
    assert_true(steps > 1100 / 10);
    assert_int_equal(ns_tree_count(build.root), 1);
    ns_tree_free(build.root, pool);
    ns_perms_put(perms);
}

/* Where the vector can't grow, more is freed at once. */
static void freeing_needs_no_memory(void **state)
{
    struct ns_perms *perms = some_perms();
    struct ns_build build;
    size_t rest;

    (void)state;
    remove_thousand(&build, perms);
    rest = ns_pool_used(pool) - build.replaced.bytes;
    ns_pool_fail_after(pool, 1);
    while (!ns_replaced_free_some(&build.replaced, pool, 1))
        assert_int_equal(ns_pool_used(pool) - build.replaced.bytes, rest);
    ns_pool_fail_after(pool, 0);
    assert_int_equal(ns_pool_used(pool), rest);
    ns_tree_free(build.root, pool);
    ns_perms_put(perms);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(replaced_bytes_are_exact, setup, teardown),
        cmocka_unit_test_setup_teardown(a_large_subtree_is_freed_in_steps, setup, teardown),
        cmocka_unit_test_setup_teardown(freeing_needs_no_memory, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
