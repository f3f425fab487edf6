/* SPDX-License-Identifier: BSD-3-Clause */
/* Permission lists: the wire form and sharing. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nameserv/perms.h"
#include "tests/unit/seed.h"

#define PARSE(text, list) ns_perms_parse(text, sizeof(text), list)

static struct ns_perms *perms_of(const char *payload, size_t size)
{
    struct ns_perm list[NS_PERMS_MAX];
    int count = ns_perms_parse(payload, size, list);

    assert_true(count > 0);
    return ns_perms_new(list, (size_t)count);
}
#define PERMS(text) perms_of(text, sizeof(text))

static void parse_takes_the_wire_form(void **state)
{
    struct ns_perm list[NS_PERMS_MAX];

    (void)state;
    assert_int_equal(PARSE("n0", list), 1);
    assert_int_equal(list[0].id, 0);
    assert_int_equal(list[0].rights, NS_PERM_NONE);
    assert_int_equal(PARSE("r1\0w0x20\0b010\0n4294967295", list), 4);
    assert_int_equal(list[0].rights, NS_PERM_READ);
    assert_int_equal(list[1].id, 32);
    assert_int_equal(list[1].rights, NS_PERM_WRITE);
    assert_int_equal(list[2].id, 8);
    assert_int_equal(list[2].rights, NS_PERM_BOTH);
    assert_int_equal(list[3].id, UINT32_MAX);
}

static void parse_refuses_the_rest(void **state)
{
    static const char *const wrong[] = {"",
                                        "n",
                                        "x5",
                                        "5",
                                        "n-1",
                                        "n 1",
                                        "n+1",
                                        "n1x",
                                        "n1 ",
                                        "nn1",
                                        "n4294967296",
                                        "R1",
                                        "n0x",
                                        "n08",
                                        "n0xg",
                                        "\xff",
                                        "n99999999999999999999999"};
    struct ns_perm list[NS_PERMS_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_int_equal(ns_perms_parse(wrong[i], strlen(wrong[i]) + 1, list), -EINVAL);
    assert_int_equal(ns_perms_parse("n0", 0, list), -EINVAL);
    assert_int_equal(ns_perms_parse("n0", 2, list), -EINVAL); /* without its NUL */
    assert_int_equal(PARSE("n0\0", list), -EINVAL);           /* an empty one more */
    assert_int_equal(PARSE("n0\0x1", list), -EINVAL);
}

static void parse_has_a_limit(void **state)
{
    struct ns_perm list[NS_PERMS_MAX];
    char payload[(NS_PERMS_MAX + 1) * 3];

    (void)state;
    for (unsigned i = 0; i <= NS_PERMS_MAX; i++)
        memcpy(payload + 3 * i, "r1", 3);
    assert_int_equal(ns_perms_parse(payload, NS_PERMS_MAX * 3, list), NS_PERMS_MAX);
    assert_int_equal(ns_perms_parse(payload, sizeof(payload), list), -ENOSPC);
}

static void format_is_what_parse_took(void **state)
{
    static const char text[] = "n0\0r1\0w2147484648\0b4294967295";
    struct ns_perms *perms = PERMS(text);
    char buffer[sizeof(text)];

    (void)state;
    assert_int_equal(ns_perms_format(perms, buffer, sizeof(buffer)), sizeof(text));
    assert_memory_equal(buffer, text, sizeof(text));
    for (size_t size = 0; size < sizeof(text); size++)
        assert_int_equal(ns_perms_format(perms, buffer, size), -E2BIG);
    ns_perms_put(perms);
}

static void equal_lists_are_one(void **state)
{
    struct ns_perms *a = PERMS("n0\0r1"), *b = PERMS("n0\0r1"), *c = PERMS("n0\0r2"),
                    *d = PERMS("n0");

    (void)state;
    assert_ptr_equal(a, b);
    assert_int_equal(a->references, 2);
    assert_ptr_not_equal(a, c);
    assert_ptr_not_equal(a, d);
    ns_perms_put(a);
    assert_int_equal(b->references, 1);
    assert_int_equal(b->list[1].id, 1);
    ns_perms_put(b);
    ns_perms_put(c);
    ns_perms_put(d);
    ns_perms_put(NULL);
}

/* Thousands of lists, many times the table's first size, in random order. */
static void many_lists(void **state)
{
    enum { LISTS = 5000 };
    static struct ns_perms *perms[LISTS];
    static uint32_t references[LISTS];

    (void)state;
    seed_begin();
    for (unsigned step = 0; step < 300000 * seed_scale(); step++) {
        unsigned i = seed_below(LISTS);
        struct ns_perm list[2] = {{.id = i, .rights = i % 4},
                                  {.id = i / 2, .rights = NS_PERM_READ}};

        if (references[i] == 0 || seed_below(2) == 0) {
            struct ns_perms *got = ns_perms_new(list, 1 + i % 2);

            assert_true(references[i] == 0 || got == perms[i]);
            perms[i] = got;
            references[i]++;
        } else {
            ns_perms_put(perms[i]);
            references[i]--;
        }
        assert_true(references[i] == 0 || perms[i]->references == references[i]);
        assert_true(references[i] == 0 || perms[i]->list[0].id == i);
    }
    for (unsigned i = 0; i < LISTS; i++) {
        for (; references[i] > 0; references[i]--)
            ns_perms_put(perms[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parse_takes_the_wire_form), cmocka_unit_test(parse_refuses_the_rest),
        cmocka_unit_test(parse_has_a_limit),         cmocka_unit_test(format_is_what_parse_took),
        cmocka_unit_test(equal_lists_are_one),       cmocka_unit_test(many_lists),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
