/* SPDX-License-Identifier: BSD-3-Clause */
/* The pool: blocks that don't overlap, exact counts, and memory that goes back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nameserv/pool.h"
#include "tests/unit/seed.h"

enum { BLOCKS = 20000, SIZE_MAX_TESTED = NS_POOL_SMALL_MAX + 200 };

struct block {
    unsigned char *bytes;
    size_t size;
    unsigned char fill;
};

static struct ns_pool *pool;

static int setup(void **state)
{
    (void)state;
    pool = ns_pool_new();
    return pool == NULL;
}

static int teardown(void **state)
{
    (void)state;
    assert_int_equal(ns_pool_used(pool), 0);
    ns_pool_free(pool);
    return 0;
}

static void get_block(struct block *block, size_t size)
{
    block->size = size;
    block->bytes = ns_pool_get(pool, size);
    block->fill = (unsigned char)seed_next();
    assert_non_null(block->bytes);
    assert_int_equal((uintptr_t)block->bytes % 8, 0);
    memset(block->bytes, block->fill, size);
}

/* Nobody else has written to it. */
static void put_block(struct block *block)
{
    for (size_t i = 0; i < block->size; i++)
        assert_true(block->bytes[i] == block->fill);
    ns_pool_put(pool, block->bytes, block->size);
    block->bytes = NULL;
}

static void blocks_do_not_overlap(void **state)
{
    struct block *blocks = calloc(BLOCKS, sizeof(*blocks));
    size_t used = 0;

    (void)state;
    seed_begin();
    assert_non_null(blocks);
    for (unsigned step = 0; step < 400000 * seed_scale(); step++) {
        /* tides: mostly getting, then mostly giving back */
        bool rising = step / 50000 % 2 == 0;
        struct block *block = &blocks[seed_below(BLOCKS)];

        if (block->bytes == NULL && (rising || seed_below(8) == 0)) {
            get_block(block, 1 + seed_below(SIZE_MAX_TESTED));
            used += block->size;
        } else if (block->bytes != NULL && (!rising || seed_below(8) == 0)) {
            used -= block->size;
            put_block(block);
        }
        assert_int_equal(ns_pool_used(pool), used);
        assert_true(ns_pool_held(pool) >= used);
    }
    for (unsigned i = 0; i < BLOCKS; i++) {
        if (blocks[i].bytes != NULL)
            put_block(&blocks[i]);
    }
    free(blocks);
}

/* What one size has given back serves the others and the system: the peak of one does not stay. */
static void memory_goes_back(void **state)
{
    struct block *blocks = calloc(BLOCKS, sizeof(*blocks));
    size_t peak = 0;

    (void)state;
    seed_begin();
    assert_non_null(blocks);
    for (size_t size = 8; size <= NS_POOL_SMALL_MAX; size += 72) {
        for (unsigned i = 0; i < BLOCKS; i++)
            get_block(&blocks[i], size);
        if (ns_pool_held(pool) > peak)
            peak = ns_pool_held(pool);
        for (unsigned i = 0; i < BLOCKS; i++)
            put_block(&blocks[i]);
        assert_true(ns_pool_held(pool) <= 4 << 20);
    }
    assert_true(peak >= (size_t)BLOCKS * 440);
    assert_true(peak < (size_t)BLOCKS * 660);
    free(blocks);
}

/* Slabs that were full and have got holes are filled before new ones are taken. */
static void holes_are_filled(void **state)
{
    struct block *blocks = calloc(BLOCKS, sizeof(*blocks));
    size_t held;

    (void)state;
    seed_begin();
    assert_non_null(blocks);
    for (unsigned i = 0; i < BLOCKS; i++)
        get_block(&blocks[i], 200);
    held = ns_pool_held(pool);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = round; i < BLOCKS; i += 3)
            put_block(&blocks[i]);
        for (unsigned i = round; i < BLOCKS; i += 3)
            get_block(&blocks[i], 200);
        assert_int_equal(ns_pool_held(pool), held);
    }
    for (unsigned i = 0; i < BLOCKS; i++)
        put_block(&blocks[i]);
    free(blocks);
}

static void what_is_held_is_close_to_what_is_used(void **state)
{
    struct block *blocks = calloc(BLOCKS * 5, sizeof(*blocks));

    (void)state;
    seed_begin();
    assert_non_null(blocks);
    for (unsigned i = 0; i < BLOCKS * 5; i++)
        get_block(&blocks[i], 96);
    assert_true(ns_pool_held(pool) < ns_pool_used(pool) + ns_pool_used(pool) / 10 + (4 << 20));
    for (unsigned i = 0; i < BLOCKS * 5; i++)
        put_block(&blocks[i]);
    free(blocks);
}

static void failing_on_demand(void **state)
{
    void *first, *second;

    (void)state;
    ns_pool_fail_after(pool, 3);
    first = ns_pool_get(pool, 24);
    second = ns_pool_get(pool, 1000);
    assert_non_null(first);
    assert_non_null(second);
    assert_null(ns_pool_get(pool, 24));
    assert_null(ns_pool_get(pool, 24));
    assert_false(ns_pool_allows(pool));
    assert_int_equal(ns_pool_used(pool), 1024);
    ns_pool_fail_after(pool, 0);
    assert_true(ns_pool_allows(pool));
    ns_pool_put(pool, first, 24);
    ns_pool_put(pool, second, 1000);
    ns_pool_put(pool, NULL, 24);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(blocks_do_not_overlap, setup, teardown),
        cmocka_unit_test_setup_teardown(memory_goes_back, setup, teardown),
        cmocka_unit_test_setup_teardown(holes_are_filled, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_held_is_close_to_what_is_used, setup, teardown),
        cmocka_unit_test_setup_teardown(failing_on_demand, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
