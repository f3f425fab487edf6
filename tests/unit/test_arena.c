/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory that is given back all at once: what is got does not overlap, small chunks stay, large ones go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "nameserv/arena.h"

static void pieces_do_not_overlap(void **state)
{
    static const size_t sizes[] = {1, 8, 700, 700, 3, 100000, 64, 65536, 17};
    enum { COUNT = sizeof(sizes) / sizeof(sizes[0]) };
    struct ns_arena arena = {0};
    unsigned char *pieces[COUNT];

    (void)state;
    for (size_t i = 0; i < COUNT; i++) {
        pieces[i] = ns_arena_get(&arena, sizes[i], 8);
        assert_non_null(pieces[i]);
        assert_int_equal((uintptr_t)pieces[i] % 8, 0);
        memset(pieces[i], (int)i, sizes[i]);
    }
    for (size_t i = 0; i < COUNT; i++)
        for (size_t j = 0; j < sizes[i]; j++)
            assert_int_equal(pieces[i][j], i);
    ns_arena_free(&arena);
    assert_null(arena.chunks);
}

static void small_work_is_done_in_the_same_room(void **state)
{
    struct ns_arena arena = {0};
    void *first = ns_arena_get(&arena, 100, 8);

    (void)state;
    ns_arena_reset(&arena);
    assert_ptr_equal(ns_arena_get(&arena, 200, 8), first);
    assert_non_null(ns_arena_get(&arena, 100000, 1));
    ns_arena_reset(&arena);
    assert_null(arena.chunks);
    assert_string_equal(ns_arena_copy(&arena, "names", 4), "name");
    ns_arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_do_not_overlap),
        cmocka_unit_test(small_work_is_done_in_the_same_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
