/* SPDX-License-Identifier: BSD-3-Clause */
/* The parsers of the wire protocol: what they take, and what they refuse. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "nameserv/tree.h"
#include "nameserv/wire.h"

#define HOME "/local/domain/0/"

static void a_message_is_there_when_all_its_bytes_are(void **state)
{
    char bytes[NS_WIRE_MESSAGE_MAX + 10] = {0};
    struct ns_wire_header header = {.type = NS_WIRE_WRITE, .request = 7, .tx = 9, .size = 5}, got;

    (void)state;
    memcpy(bytes, &header, sizeof(header));
    for (size_t size = 0; size < 21; size++)
        assert_int_equal(ns_wire_next(bytes, size, &got), 0);
    assert_int_equal(ns_wire_next(bytes, 21, &got), 21);
    assert_int_equal(ns_wire_next(bytes, sizeof(bytes), &got), 21);
    assert_memory_equal(&header, &got, sizeof(got));
}

static void too_long_is_said_by_the_header(void **state)
{
    static const uint32_t sizes[] = {4097, 0x7fffffff, 0x80000000, 0xfffffff0, 0xffffffff};
    char bytes[NS_WIRE_MESSAGE_MAX] = {0};
    struct ns_wire_header header = {.size = 4096}, got;

    (void)state;
    memcpy(bytes, &header, sizeof(header));
    assert_int_equal(ns_wire_next(bytes, sizeof(bytes) - 1, &got), 0);
    assert_int_equal(ns_wire_next(bytes, sizeof(bytes), &got), NS_WIRE_MESSAGE_MAX);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        header.size = sizes[i];
        memcpy(bytes, &header, sizeof(header));
        assert_int_equal(ns_wire_next(bytes, sizeof(header), &got), -EMSGSIZE);
    }
}

static void every_error_has_a_name_that_clients_know(void **state)
{
    static const char *const known[] = {
        "EINVAL", "EACCES", "EEXIST", "EISDIR", "ENOENT", "ENOMEM",    "ENOSPC", "EIO",
        "ENOSYS", "EROFS",  "EBUSY",  "EAGAIN", "E2BIG",  "ENOTEMPTY", "EPERM",  "EISCONN"};

    (void)state;
    for (int error = 1; error < 200; error++) {
        const char *name = ns_wire_error_name(error);
        size_t i = 0;

        while (i < sizeof(known) / sizeof(known[0]) && strcmp(known[i], name) != 0)
            i++;
        assert_true(i < sizeof(known) / sizeof(known[0]));
        assert_string_equal(ns_wire_error_name(-error), name);
        assert_string_equal(ns_wire_error_name(ns_wire_error_number(name, strlen(name) + 1)), name);
    }
    assert_string_equal(ns_wire_error_name(ENAMETOOLONG), "EINVAL");
    assert_string_equal(ns_wire_error_name(EDQUOT), "ENOSPC");
    assert_string_equal(ns_wire_error_name(-ENOENT), "ENOENT");
    assert_int_equal(ns_wire_error_number("ENOENT", 7), -ENOENT);
    assert_int_equal(ns_wire_error_number("ENOENTX", 6), -ENOENT);
    assert_int_equal(ns_wire_error_number("EQUOTA", 7), -EINVAL);
    assert_int_equal(ns_wire_error_number("", 0), -EINVAL);
}

static int parse(enum ns_wire_shape shape, const char *payload, size_t size,
                 struct ns_wire_arguments *got)
{
    return ns_wire_parse(shape, payload, size, got);
}

static void one_text(void **state)
{
    struct ns_wire_arguments got;

    (void)state;
    assert_int_equal(parse(NS_WIRE_STRING, "/a\0", 3, &got), 0);
    assert_string_equal(got.first, "/a");
    assert_int_equal(got.first_size, 2);
    assert_int_equal(parse(NS_WIRE_STRING, "\0", 1, &got), 0);
    assert_int_equal(got.first_size, 0);
    assert_int_equal(parse(NS_WIRE_STRING, "", 0, &got), -EINVAL);
    assert_int_equal(parse(NS_WIRE_STRING, NULL, 0, &got), -EINVAL);
    assert_int_equal(parse(NS_WIRE_STRING, "/a", 2, &got), -EINVAL);
    assert_int_equal(parse(NS_WIRE_STRING, "/a\0b\0", 5, &got), -EINVAL);
    assert_int_equal(parse(NS_WIRE_STRING, "/a\0\0", 4, &got), -EINVAL);
}

static void two_texts(void **state)
{
    struct ns_wire_arguments got;

    (void)state;
    assert_int_equal(parse(NS_WIRE_PAIR, "/a\0tok\0", 7, &got), 0);
    assert_string_equal(got.first, "/a");
    assert_string_equal(got.rest, "tok");
    assert_int_equal(got.rest_size, 3);
    assert_int_equal(parse(NS_WIRE_PAIR, "/a\0\0", 4, &got), 0);
    assert_int_equal(got.rest_size, 0);
    assert_int_equal(parse(NS_WIRE_PAIR, "/a\0", 3, &got), -EINVAL);
    assert_int_equal(parse(NS_WIRE_PAIR, "/a\0tok", 6, &got), -EINVAL);
    assert_int_equal(parse(NS_WIRE_PAIR, "/a\0tok\0003\0", 9, &got), -EINVAL);
}

static void a_value_is_any_bytes(void **state)
{
    struct ns_wire_arguments got;

    (void)state;
    assert_int_equal(parse(NS_WIRE_VALUE, "/a\0x\0y", 6, &got), 0);
    assert_int_equal(got.rest_size, 3);
    assert_memory_equal(got.rest, "x\0y", 3);
    assert_int_equal(parse(NS_WIRE_VALUE, "/a\0", 3, &got), 0);
    assert_int_equal(got.rest_size, 0);
    assert_int_equal(parse(NS_WIRE_VALUE, "/a", 2, &got), -EINVAL);
}

static void a_list_and_nothing(void **state)
{
    struct ns_wire_arguments got;

    (void)state;
    assert_int_equal(parse(NS_WIRE_LIST, "/a\0r0\0w5\0", 9, &got), 0);
    assert_int_equal(got.rest_size, 6);
    assert_int_equal(parse(NS_WIRE_LIST, "/a\0r0", 5, &got), -EINVAL);
    assert_int_equal(parse(NS_WIRE_LIST, "/a\0", 3, &got), -EINVAL);
    assert_int_equal(parse(NS_WIRE_ANYTHING, NULL, 0, &got), 0);
    assert_int_equal(parse(NS_WIRE_ANYTHING, "junk", 4, &got), 0);
    assert_string_equal(got.first, "");
}

static void numbers(void **state)
{
    uint64_t number;

    (void)state;
    assert_int_equal(ns_wire_number("0", 10, &number), 0);
    assert_int_equal(number, 0);
    assert_int_equal(ns_wire_number("10", 10, &number), 0);
    assert_int_equal(number, 10);
    assert_int_equal(ns_wire_number("11", 10, &number), -EINVAL);
    assert_int_equal(ns_wire_number("9", 5, &number), -EINVAL);
    assert_int_equal(ns_wire_number("18446744073709551615", UINT64_MAX, &number), 0);
    assert_true(number == UINT64_MAX);
    assert_int_equal(ns_wire_number("18446744073709551616", UINT64_MAX, &number), -EINVAL);
    assert_int_equal(ns_wire_number("99999999999999999999999", UINT64_MAX, &number), -EINVAL);
    assert_int_equal(ns_wire_number("", 10, &number), -EINVAL);
    assert_int_equal(ns_wire_number("1x", 10, &number), -EINVAL);
    assert_int_equal(ns_wire_number("-1", 10, &number), -EINVAL);
    assert_int_equal(ns_wire_number(" 1", 10, &number), -EINVAL);
}

static void relative_paths_are_below_home(void **state)
{
    char long_path[NS_PATH_MAX + 2], absolute[NS_PATH_MAX + 1];

    (void)state;
    assert_int_equal(ns_wire_absolute(HOME, sizeof(HOME) - 1, "/a", 2, absolute), 2);
    assert_string_equal(absolute, "/a");
    assert_int_equal(ns_wire_absolute(HOME, sizeof(HOME) - 1, "@x", 2, absolute), 2);
    assert_int_equal(ns_wire_absolute(HOME, sizeof(HOME) - 1, "a/b", 3, absolute), 19);
    assert_string_equal(absolute, "/local/domain/0/a/b");
    assert_int_equal(ns_wire_absolute(HOME, sizeof(HOME) - 1, "", 0, absolute), -EINVAL);
    memset(long_path, 'x', sizeof(long_path));
    assert_int_equal(
        ns_wire_absolute(HOME, sizeof(HOME) - 1, long_path, NS_WIRE_RELATIVE_MAX, absolute),
        (int)sizeof(HOME) - 1 + NS_WIRE_RELATIVE_MAX);
    assert_int_equal(
        ns_wire_absolute(HOME, sizeof(HOME) - 1, long_path, NS_WIRE_RELATIVE_MAX + 1, absolute),
        -EINVAL);
    long_path[0] = '/';
    assert_int_equal(ns_wire_absolute(HOME, sizeof(HOME) - 1, long_path, NS_PATH_MAX, absolute),
                     NS_PATH_MAX);
    assert_int_equal(ns_wire_absolute(HOME, sizeof(HOME) - 1, long_path, NS_PATH_MAX + 1, absolute),
                     -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_is_there_when_all_its_bytes_are),
        cmocka_unit_test(too_long_is_said_by_the_header),
        cmocka_unit_test(every_error_has_a_name_that_clients_know),
        cmocka_unit_test(one_text),
        cmocka_unit_test(two_texts),
        cmocka_unit_test(a_value_is_any_bytes),
        cmocka_unit_test(a_list_and_nothing),
        cmocka_unit_test(numbers),
        cmocka_unit_test(relative_paths_are_below_home),
    };

    return cmocka_run_group_tests_name("wire", tests, NULL, NULL);
}
