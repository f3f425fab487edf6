/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Builds on memory that is really read-only once published.
 *
 * This program has a pool of its own instead of nameserv/pool.c: each block lies at the end of a page
 * of its own. When a build is sealed its pages are made read-only, and a block that is given back is
 * unmapped. So a write to what is published, a read behind a block's end, and the use of a freed block
 * all end the program at their cause.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/tree_model.h"

/* ---- the pool ---- */

struct ns_pool {
    size_t used;
    uint64_t fail_in;
};

static size_t mapped_size(size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);

    return (size + page - 1) / page * page;
}

static void *map_of(void *block)
{
    return (void *)((uintptr_t)block & ~((uintptr_t)sysconf(_SC_PAGESIZE) - 1));
}

struct ns_pool *ns_pool_new(void)
{
    return calloc(1, sizeof(struct ns_pool));
}

void ns_pool_free(struct ns_pool *pool)
{
    free(pool);
}

bool ns_pool_allows(struct ns_pool *pool)
{
    if (pool->fail_in == 1)
        return false;
    pool->fail_in -= pool->fail_in > 0;
    return true;
}

void *ns_pool_get(struct ns_pool *pool, size_t size)
{
    size_t rounded = (size + 7) & ~(size_t)7;
    char *map;

    if (!ns_pool_allows(pool))
        return NULL;
    map = mmap(NULL, mapped_size(rounded), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
               0);
    assert_ptr_not_equal(map, MAP_FAILED);
    pool->used += size;
    return map + mapped_size(rounded) - rounded;
}

void ns_pool_put(struct ns_pool *pool, void *block, size_t size)
{
    if (block == NULL)
        return;
    assert_int_equal(munmap(map_of(block), mapped_size((size + 7) & ~(size_t)7)), 0);
    pool->used -= size;
}

size_t ns_pool_used(const struct ns_pool *pool)
{
    return pool->used;
}

size_t ns_pool_held(const struct ns_pool *pool)
{
    return pool->used;
}

void ns_pool_fail_after(struct ns_pool *pool, uint64_t n)
{
    pool->fail_in = n;
}

/* ---- the tests ---- */

static void protect_block(uintptr_t slot, void *arg)
{
    size_t size = ns_slot_is_node(slot) ? ns_node_bytes(ns_node_size(ns_slot_node(slot)))
                                        : ns_entry_bytes(ns_slot_entry(slot));

    (void)arg;
    assert_int_equal(
        mprotect(map_of((void *)(slot & ~(uintptr_t)NS_SLOT_NODE)), mapped_size(size), PROT_READ),
        0);
}

/* From here on nobody writes to what the build made. */
static void protect(const struct ns_build *build)
{
    if (build->root->owner == build->serial)
        ns_trie_walk_own(ns_slot_of_entry(build->root), build->serial, protect_block, NULL, NULL);
}

struct snapshot {
    const struct ns_entry *root;
    struct model model;
    struct ns_replaced replaced; /* by the build that made it */
};

enum { SNAPSHOTS = 4 };

static void build_one(const struct snapshot *base, struct snapshot *next, struct ns_pool *pool,
                      uint64_t serial)
{
    struct ns_build build;

    do {
        model_copy(&next->model, &base->model);
        ns_build_begin(&build, pool, base->root, serial);
        for (unsigned steps = 1 + seed_below(30); steps > 0; steps--)
            model_build_step(&next->model, &build, seed_below(4) == 0 ? 1 + seed_below(10) : 0);
        if (seed_below(4) > 0)
            break;
        ns_build_abandon(&build);
    } while (true);
    ns_build_seal(&build, serial);
    model_seal(&next->model, serial);
    protect(&build);
    next->root = build.root;
    next->replaced = build.replaced;
}

static void published_memory_is_never_written(void **state)
{
    struct snapshot snapshots[SNAPSHOTS] = {0}, *next;
    struct ns_pool *pool = ns_pool_new();
    struct universe universe;
    uint64_t serial = 1;

    (void)state;
    seed_begin();
    universe_new(&universe, 150);
    for (unsigned i = 0; i < SNAPSHOTS; i++)
        model_new(&snapshots[i].model, &universe, 1);
    snapshots[1].root = ns_tree_new(pool, ns_perms_get(universe.perms[0]), 1);
    while (++serial < 2500 * seed_scale()) {
        /* the slot that comes next holds the oldest version; what the one after it replaced can go */
        next = &snapshots[serial % SNAPSHOTS];
        if (next->root != NULL) {
            model_expect(&next->model, next->root);
            ns_replaced_free(&snapshots[(serial + 1) % SNAPSHOTS].replaced, pool);
        }
        build_one(&snapshots[(serial - 1) % SNAPSHOTS], next, pool, serial);
    }
    next = &snapshots[(serial - 1) % SNAPSHOTS];
    model_expect(&next->model, next->root);
    for (unsigned i = 0; i < SNAPSHOTS; i++)
        ns_replaced_free(&snapshots[i].replaced, pool);
    ns_tree_free(next->root, pool);
    assert_int_equal(ns_pool_used(pool), 0);
    for (unsigned i = 0; i < SNAPSHOTS; i++)
        model_free(&snapshots[i].model);
    universe_free(&universe);
    ns_pool_free(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_memory_is_never_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
