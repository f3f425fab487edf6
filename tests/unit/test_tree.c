/* SPDX-License-Identifier: BSD-3-Clause */
/* The tree of names: random builds against a model, snapshots, differences, and memory that ends. */
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

static const struct ns_entry *get(const struct ns_entry *root, const char *path)
{
    return ns_tree_lookup(root, path, strlen(path));
}

/* Seal the build as the commit of its serial number, and free what it replaced. */
static const struct ns_entry *publish(struct ns_build *build)
{
    ns_build_seal(build, build->serial);
    ns_replaced_free(&build->replaced, pool);
    return build->root;
}

/* ---- what it is like ---- */

static void a_version_stays_as_it_was(void **state)
{
    struct ns_perms *perms = some_perms();
    const struct ns_entry *old = new_tree(perms);
    struct ns_build build;

    (void)state;
    ns_build_begin(&build, pool, old, 2);
    assert_int_equal(put(&build, "/neigh/br0/10.0.0.5", "02:00:00:00:00:01"), 0);
    ns_build_seal(&build, 2);

    assert_null(get(old, "/neigh"));
    assert_int_equal(old->child_count, 0);
    assert_string_equal(ns_entry_name(get(build.root, "/neigh/br0/10.0.0.5")), "10.0.0.5");
    assert_int_equal(get(build.root, "/neigh/br0/10.0.0.5")->value_size, 17);
    assert_int_equal(get(build.root, "/neigh")->value_size, 0);
    assert_null(get(build.root, "/neigh/br0/10.0.0.50"));
    assert_null(get(build.root, "/neigh/br0/10.0.0"));

    ns_replaced_free(&build.replaced, pool);
    ns_tree_free(build.root, pool);
    ns_perms_put(perms);
}

static void generations_tell_values_from_children(void **state)
{
    struct ns_perms *perms = some_perms();
    struct ns_build build;
    const struct ns_entry *root;

    (void)state;
    ns_build_begin(&build, pool, new_tree(perms), 2);
    assert_int_equal(put(&build, "/a/b", "1"), 0);
    root = publish(&build);
    assert_int_equal(root->version, 1);
    assert_int_equal(root->children_version, 2);

    ns_build_begin(&build, pool, root, 3);
    assert_int_equal(put(&build, "/a/c", "1"), 0);
    root = publish(&build);
    assert_int_equal(root->children_version, 2);
    assert_int_equal(get(root, "/a")->version, 2);
    assert_int_equal(get(root, "/a")->children_version, 3);
    assert_int_equal(get(root, "/a/b")->version, 2);

    ns_build_begin(&build, pool, root, 4);
    assert_int_equal(put(&build, "/a/b", "1"), 0);
    root = publish(&build);
    assert_int_equal(get(root, "/a/b")->version, 4);
    assert_int_equal(get(root, "/a")->version, 2);
    assert_int_equal(get(root, "/a")->children_version, 3);

    ns_tree_free(root, pool);
    ns_perms_put(perms);
}

static void nearest_and_neighbours(void **state)
{
    struct ns_perms *perms = some_perms();
    const struct ns_entry *root = new_tree(perms), *a;
    struct ns_build build;
    size_t depth;

    (void)state;
    assert_ptr_equal(ns_tree_nearest(root, "/x/y", 4, &depth), root);
    assert_int_equal(depth, 1);
    ns_build_begin(&build, pool, root, 2);
    assert_int_equal(put(&build, "/a/b", ""), 0);
    assert_int_equal(put(&build, "/a/ba", ""), 0);
    root = publish(&build);
    a = get(root, "/a");
    assert_ptr_equal(ns_tree_nearest(root, "/a/bb/c", 7, &depth), a);
    assert_int_equal(depth, 2);
    assert_string_equal(ns_entry_name(ns_tree_nearest(root, "/a/b/c", 6, &depth)), "b");
    assert_int_equal(depth, 4);
    assert_string_equal(ns_entry_name(ns_entry_first(a)), "b");
    assert_string_equal(ns_entry_name(ns_entry_next(a, "b", 1)), "ba");
    assert_null(ns_entry_next(a, "ba", 2));
    assert_null(ns_entry_first(get(root, "/a/b")));
    assert_null(ns_entry_next(get(root, "/a/b"), "a", 1));
    assert_ptr_equal(ns_entry_child(a, "ba", 2), get(root, "/a/ba"));
    ns_tree_free(root, pool);
    ns_perms_put(perms);
}

static int stop_at_second(const char *path, size_t path_size, const struct ns_entry *before,
                          const struct ns_entry *after, void *calls)
{
    (void)path, (void)path_size, (void)before, (void)after;
    return ++*(int *)calls == 2 ? 42 : 0;
}

static void a_diff_can_be_stopped(void **state)
{
    struct ns_perms *perms = some_perms();
    const struct ns_entry *root = new_tree(perms);
    struct ns_build build;
    int calls = 0;

    (void)state;
    ns_build_begin(&build, pool, root, 2);
    assert_int_equal(put(&build, "/a/b/c", ""), 0);
    assert_int_equal(put(&build, "/d", ""), 0);
    assert_int_equal(ns_tree_diff(root, build.root, stop_at_second, &calls), 42);
    assert_int_equal(calls, 2);
    ns_build_abandon(&build);
    ns_tree_free(root, pool);
    ns_perms_put(perms);
}

/* Neither build is sealed: what both wrote differs, although its generation is 0 in both. */
static void a_diff_of_two_builds(void **state)
{
    struct ns_perms *perms = some_perms();
    const struct ns_entry *root = new_tree(perms);
    struct ns_build one, other;
    int calls = 10;

    (void)state;
    ns_build_begin(&one, pool, root, 2);
    ns_build_begin(&other, pool, root, 3);
    assert_int_equal(put(&one, "/a", "1"), 0);
    assert_int_equal(put(&other, "/a", "2"), 0);
    assert_int_equal(ns_tree_diff(one.root, other.root, stop_at_second, &calls), 0);
    assert_int_equal(calls, 11);
    ns_build_abandon(&one);
    ns_build_abandon(&other);
    ns_tree_free(root, pool);
    ns_perms_put(perms);
}

/* The longest path, as deep as can be: each function that goes down comes back. */
static void the_deepest_path(void **state)
{
    struct ns_perms *perms = some_perms();
    const struct ns_entry *root = new_tree(perms);
    char path[NS_PATH_MAX + 1], why[200];
    struct ns_build build;

    (void)state;
    for (size_t i = 0; i < NS_PATH_MAX; i++)
        path[i] = i % 2 == 0 ? '/' : 'x';
    ns_build_begin(&build, pool, root, 2);
    assert_int_equal(ns_build_write(&build, path, NS_PATH_MAX, "value", 5, NULL), 0);
    ns_build_seal(&build, 2);
    assert_int_equal(ns_tree_count(build.root), 1 + NS_PATH_MAX / 2);
    assert_int_equal(ns_tree_lookup(build.root, path, NS_PATH_MAX)->value_size, 5);
    assert_int_equal(ns_tree_check(build.root, why, sizeof(why)), 0);
    ns_replaced_free(&build.replaced, pool);
    ns_tree_free(build.root, pool);
    ns_perms_put(perms);
}

/* Names of which each is the beginning of the next one need a node at every byte. */
static void the_deepest_trie(void **state)
{
    struct ns_perms *perms = some_perms();
    struct ns_build build, next;
    char path[NS_PATH_MAX], why[200];
    int calls = -NS_PATH_MAX;

    (void)state;
    memset(path, 'x', sizeof(path));
    path[0] = '/';
    ns_build_begin(&build, pool, new_tree(perms), 2);
    for (size_t size = 2; size <= sizeof(path); size++)
        assert_int_equal(ns_build_write(&build, path, size, "", 0, NULL), 0);
    publish(&build);
    assert_int_equal(ns_tree_check(build.root, why, sizeof(why)), 0);
    ns_build_begin(&next, pool, build.root, 3);
    assert_int_equal(ns_build_write(&next, path, sizeof(path), "new", 3, NULL), 0);
    ns_build_seal(&next, 3);
    assert_int_equal(ns_tree_diff(build.root, next.root, stop_at_second, &calls), 0);
    assert_int_equal(calls, 1 - NS_PATH_MAX);
    ns_replaced_free(&next.replaced, pool);
    ns_tree_free(next.root, pool);
    ns_perms_put(perms);
}

/* ---- a random history ---- */

/* One published version. Those that are pinned keep their model, to be compared when they go. */
struct version {
    const struct ns_entry *root;
    struct model model;
    uint64_t hash;
    bool pinned;
    struct ns_replaced replaced; /* by the build that made the next one */
};

enum { HISTORY_MAX = 64, PINNED_MAX = 6 };

struct history {
    struct universe universe;
    struct version versions[HISTORY_MAX]; /* the oldest first */
    unsigned count;
    struct model now, next;
    unsigned operations, failed, abandoned, published;
};

static struct version *newest(struct history *history)
{
    return &history->versions[history->count - 1];
}

static void history_add(struct history *history, const struct ns_entry *root)
{
    struct version *version = &history->versions[history->count++];

    *version = (struct version){.root = root, .hash = model_hash(root)};
}

static void history_pin(struct version *version, const struct model *model)
{
    version->pinned = true;
    model_new(&version->model, model->universe, 0);
    model_copy(&version->model, model);
}

/* A snapshot ends: it must be what it was. */
static void history_unpin(struct history *history, unsigned i)
{
    struct version *version = &history->versions[i];

    model_expect(&version->model, version->root);
    assert_int_equal(model_hash(version->root), version->hash);
    model_expect_diff(&version->model, version->root, &history->now, newest(history)->root);
    model_expect_diff(&history->now, newest(history)->root, &version->model, version->root);
    model_free(&version->model);
    version->pinned = false;
}

/* Free from the oldest on, up to the first that is pinned or the newest. */
static void history_reclaim(struct history *history)
{
    unsigned i = 0;

    for (; i + 1 < history->count && !history->versions[i].pinned; i++)
        ns_replaced_free(&history->versions[i].replaced, pool);
    history->count -= i;
    memmove(history->versions, history->versions + i,
            history->count * sizeof(history->versions[0]));
}

static void history_unpin_some(struct history *history)
{
    unsigned pinned = 0;

    for (unsigned i = 0; i < history->count; i++)
        pinned += history->versions[i].pinned;
    for (unsigned i = 0; i < history->count; i++) {
        if (!history->versions[i].pinned)
            continue;
        if (pinned > PINNED_MAX || history->count == HISTORY_MAX || seed_below(40) == 0) {
            history_unpin(history, i);
            pinned--;
        }
    }
    history_reclaim(history);
}

static void history_build(struct history *history)
{
    unsigned steps = 1 + seed_below(seed_below(8) == 0 ? 400 : 20), failing = seed_below(4) == 0;
    struct ns_build build;

    model_copy(&history->next, &history->now);
    ns_build_begin(&build, pool, newest(history)->root, ++serial);
    for (unsigned i = 0; i < steps; i++) {
        uint64_t fail_after = failing && seed_below(3) == 0 ? 1 + seed_below(12) : 0;

        history->failed += model_build_step(&history->next, &build, fail_after) != 0;
        model_expect_path(&history->next, seed_below(history->universe.count), build.root);
        history->operations++;
    }
    if (seed_below(10) == 0)
        model_expect(&history->next, build.root);
    model_expect_diff(&history->now, newest(history)->root, &history->next, build.root);
    if (seed_below(5) == 0) {
        ns_build_abandon(&build);
        history->abandoned++;
        return;
    }
    ns_build_seal(&build, serial);
    model_seal(&history->next, serial);
    if (seed_below(10) == 0)
        history_pin(newest(history), &history->now);
    newest(history)->replaced = build.replaced;
    history_add(history, build.root);
    model_copy(&history->now, &history->next);
    history->published++;
}

static void history_run(unsigned paths, unsigned operations)
{
    struct history *history = calloc(1, sizeof(*history));
    size_t live;

    assert_non_null(history);
    universe_new(&history->universe, paths);
    model_new(&history->now, &history->universe, 1);
    model_new(&history->next, &history->universe, 1);
    serial = 1;
    history_add(history, new_tree(history->universe.perms[0]));
    while (history->operations < operations) {
        history_build(history);
        history_unpin_some(history);
    }
    for (unsigned i = 0; i < history->count; i++) {
        if (history->versions[i].pinned)
            history_unpin(history, i);
    }
    history_reclaim(history);
    model_expect(&history->now, newest(history)->root);
    live = ns_tree_count(newest(history)->root);
    ns_tree_free(newest(history)->root, pool);
    assert_int_equal(ns_pool_used(pool), 0);
    print_message("%u paths: %u operations, %u without memory, %u versions, %u builds abandoned, "
                  "%zu names at the end\n",
                  history->universe.count, history->operations, history->failed, history->published,
                  history->abandoned, live);
    assert_true(history->failed > 0 && history->abandoned > 0);
    model_free(&history->now);
    model_free(&history->next);
    universe_free(&history->universe);
    free(history);
}

static void random_history_of_few_names(void **state)
{
    (void)state;
    seed_begin();
    for (unsigned round = 0; round < 20; round++)
        history_run(1 + seed_below(30), 20000 * seed_scale());
}

static void random_history_of_many_names(void **state)
{
    (void)state;
    seed_begin();
    history_run(2000, 1000000 * seed_scale());
}

/* ---- memory ends at every step ---- */

/* Let each allocation of a change fail in turn. After each failure the build is as it was before,
 * can still be used, and gives everything back; and when the change succeeds at last, it is right. */
static void exhaust(const struct model *base, const struct ns_entry *root, unsigned prepare)
{
    uint64_t seed = seed_next();
    struct ns_build build;
    struct model model;
    size_t used = ns_pool_used(pool);
    int err;

    model_new(&model, base->universe, 0);
    for (uint64_t n = 1;; n++) {
        seed_state = seed; /* the same changes each time */
        model_copy(&model, base);
        ns_build_begin(&build, pool, root, ++serial);
        for (unsigned i = 0; i < prepare; i++)
            assert_int_equal(model_build_step(&model, &build, 0), 0);
        err = model_build_step(&model, &build, n);
        model_expect(&model, build.root);
        if (err != 0 && n % 2 == 0)
            assert_int_equal(model_build_step(&model, &build, 0), 0);
        model_expect_diff(base, root, &model, build.root);
        ns_build_abandon(&build);
        assert_int_equal(ns_pool_used(pool), used);
        model_expect(base, root);
        if (err == 0)
            break;
    }
    seed_state = seed + seed_next();
    model_free(&model);
}

static void every_allocation_fails_once(void **state)
{
    struct universe universe;
    struct ns_build build;
    struct model model;

    (void)state;
    seed_begin();
    universe_new(&universe, 60);
    model_new(&model, &universe, 1);
    serial = 2;
    ns_build_begin(&build, pool, new_tree(universe.perms[0]), serial);
    for (unsigned i = 0; i < 300; i++)
        model_build_step(&model, &build, 0);
    model_seal(&model, serial);
    publish(&build);
    for (unsigned i = 0; i < 2000 * seed_scale(); i++)
        exhaust(&model, build.root, i % 2 == 0 ? 0 : seed_below(30));
    ns_tree_free(build.root, pool);
    model_free(&model);
    universe_free(&universe);
}

static void no_memory_for_a_tree(void **state)
{
    struct ns_perms *perms = some_perms();

    (void)state;
    ns_pool_fail_after(pool, 1);
    assert_null(ns_tree_new(pool, perms, 1));
    ns_pool_fail_after(pool, 0);
    ns_perms_put(perms);
}

/* ---- the checker itself ---- */

/* Break a tree in each way that the checker knows, and mend it again. */
static void check_finds_what_is_broken(void **state)
{
    struct ns_perms *perms = some_perms();
    struct ns_build build;
    struct ns_entry *a, *b;
    struct ns_trie_node *node;
    char why[200];

    (void)state;
    ns_build_begin(&build, pool, new_tree(perms), 2);
    assert_int_equal(put(&build, "/d/a", ""), 0);
    assert_int_equal(put(&build, "/d/b", ""), 0);
    publish(&build);
    a = (struct ns_entry *)get(build.root, "/d/a");
    b = (struct ns_entry *)get(build.root, "/d");
    node = ns_slot_node(b->children);

#define BROKEN(change, mend)                                                    \
    do {                                                                        \
        change;                                                                 \
        why[0] = '\0';                                                          \
        assert_int_equal(ns_tree_check(build.root, why, sizeof(why)), -EINVAL); \
        assert_true(why[0] != '\0');                                            \
        mend;                                                                   \
        assert_int_equal(ns_tree_check(build.root, why, sizeof(why)), 0);       \
    } while (0)
    BROKEN(b->child_count = 3, b->child_count = 2);
    BROKEN(a->data[0] = 'c', a->data[0] = 'a');
    BROKEN(a->data[0] = '/', a->data[0] = 'a');
    BROKEN(a->name_size = 0, a->name_size = 1);
    BROKEN(a->perms = NULL, a->perms = perms);
    BROKEN(a->owner = 3, a->owner = 2);
    BROKEN(a->owner = 1, a->owner = 2);
    BROKEN(node->fresh = 0, node->fresh = node->bitmap);
    BROKEN(node->fresh |= 1, node->fresh = node->bitmap);
    BROKEN(node->bitmap = 2, node->bitmap = 6);
    BROKEN(node->bitmap = 12, node->bitmap = 6);
    BROKEN(node->owner = 1, node->owner = 2);
#undef BROKEN
    ns_tree_free(build.root, pool);
    ns_perms_put(perms);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_version_stays_as_it_was, setup, teardown),
        cmocka_unit_test_setup_teardown(generations_tell_values_from_children, setup, teardown),
        cmocka_unit_test_setup_teardown(nearest_and_neighbours, setup, teardown),
        cmocka_unit_test_setup_teardown(a_diff_can_be_stopped, setup, teardown),
        cmocka_unit_test_setup_teardown(a_diff_of_two_builds, setup, teardown),
        cmocka_unit_test_setup_teardown(the_deepest_path, setup, teardown),
        cmocka_unit_test_setup_teardown(the_deepest_trie, setup, teardown),
        cmocka_unit_test_setup_teardown(random_history_of_few_names, setup, teardown),
        cmocka_unit_test_setup_teardown(random_history_of_many_names, setup, teardown),
        cmocka_unit_test_setup_teardown(every_allocation_fails_once, setup, teardown),
        cmocka_unit_test_setup_teardown(no_memory_for_a_tree, setup, teardown),
        cmocka_unit_test_setup_teardown(check_finds_what_is_broken, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
