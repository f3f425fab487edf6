/* SPDX-License-Identifier: BSD-3-Clause */
/* The stream of a live update: what was written is read, and what was mangled is not. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nameserv/state_stream.h"

#define TEXT(string)               \
    {                              \
        string, sizeof(string) - 1 \
    }

static const struct ns_state_record records[] = {
    {.type = NS_STATE_GLOBAL, .numbers = {UINT64_MAX, 3, 4}},
    {.type = NS_STATE_NODE, .texts = {TEXT("/a"), TEXT("r0\0b5\0"), TEXT("")}},
    {.type = NS_STATE_NODE, .texts = {TEXT("/a/b"), TEXT("r0\0"), TEXT("va\0lue")}},
    {.type = NS_STATE_CONNECTION,
     .numbers = {5, NS_STATE_ENDED, 9},
     .texts = {TEXT("input"), TEXT("output that waits")}},
    {.type = NS_STATE_WATCH, .numbers = {2}, .texts = {TEXT("/a"), TEXT("token")}},
    {.type = NS_STATE_EVENT, .texts = {TEXT("/a"), TEXT("token"), TEXT("/a/b")}},
    {.type = NS_STATE_TXN, .numbers = {77}},
    {.type = NS_STATE_SPECIAL, .texts = {TEXT("@releaseDomain"), TEXT("n0\0r5\0")}},
    {.type = NS_STATE_DOMAIN, .numbers = {5, 15, NS_STATE_TARGET, 1, 2, 6}},
    {.type = NS_STATE_QUOTAS, .texts = {TEXT("@quota/xenstore/5"), TEXT("nodes 7\n")}},
    {.type = NS_STATE_RING, .numbers = {5, NS_STATE_NONE, 3, 6, 7, 8, NS_STATE_NONE}},
    {.type = NS_STATE_CONNECTION, .numbers = {NS_STATE_NONE, 0, 1}, .texts = {TEXT(""), TEXT("")}},
    {.type = NS_STATE_HANDED, .numbers = {9, 10, 11, NS_STATE_NONE}},
    {.type = NS_STATE_SOCKET, .texts = {TEXT("/run/kedge/kedged.sock")}},
};
enum { RECORDS = sizeof(records) / sizeof(records[0]) };

static char *written(size_t *size)
{
    struct ns_state_writer writer;
    char *bytes = NULL;
    FILE *stream = open_memstream(&bytes, size);

    ns_state_begin(&writer, stream);
    for (int i = 0; i < RECORDS; i++)
        ns_state_write(&writer, &records[i]);
    assert_int_equal(ns_state_end(&writer), 0);
    fclose(stream);
    return bytes;
}

static void assert_same(const struct ns_state_record *a, const struct ns_state_record *b)
{
    assert_int_equal(a->type, b->type);
    assert_memory_equal(a->numbers, b->numbers, sizeof(a->numbers));
    for (int i = 0; i < NS_STATE_TEXTS; i++) {
        assert_int_equal(a->texts[i].size, b->texts[i].size);
        if (a->texts[i].size > 0)
            assert_memory_equal(a->texts[i].bytes, b->texts[i].bytes, a->texts[i].size);
    }
}

static void test_what_was_written_is_read(void **state)
{
    struct ns_state_reader reader;
    struct ns_state_record record;
    size_t size;
    char *bytes = written(&size);

    (void)state;
    assert_int_equal(size % 8, 0);
    assert_int_equal(ns_state_open(&reader, bytes, size), 0);
    for (int i = 0; i < RECORDS; i++) {
        assert_int_equal(ns_state_read(&reader, &record), 1);
        assert_same(&record, &records[i]);
    }
    assert_int_equal(ns_state_read(&reader, &record), 0);
    free(bytes);
}

/* 0: it was read to its end without a mistake. */
static int read_all(const char *bytes, size_t size)
{
    struct ns_state_reader reader;
    struct ns_state_record record;
    int answer = ns_state_open(&reader, bytes, size);

    if (answer == 0)
        while ((answer = ns_state_read(&reader, &record)) == 1)
            ;
    return answer;
}

/* Each byte that is changed or missing is noticed; padding says nothing, and may be anything. */
static void test_what_was_mangled_is_not(void **state)
{
    size_t size, ignored = 0;
    char *bytes = written(&size);

    (void)state;
    assert_int_equal(read_all(bytes, size), 0);
    for (size_t i = 0; i < size; i++) {
        bytes[i] ^= 0x40;
        ignored += read_all(bytes, size) == 0;
        bytes[i] ^= 0x40;
        assert_int_equal(read_all(bytes, i), -EINVAL);
    }
    assert_true(ignored < RECORDS * 8);
    assert_int_equal(read_all(bytes, size), 0);
    free(bytes);
}

/* The version is a word behind the magic; no byte of the header counts for the checksum. */
static void test_older_versions_are_read(void **state)
{
    size_t size;
    char *bytes = written(&size);

    (void)state;
    bytes[8] = 1;
    assert_int_equal(read_all(bytes, size), 0);
    bytes[8] = 0;
    assert_int_equal(read_all(bytes, size), -EINVAL);
    bytes[8] = NS_STATE_VERSION + 1;
    assert_int_equal(read_all(bytes, size), -EINVAL);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_was_written_is_read),
        cmocka_unit_test(test_what_was_mangled_is_not),
        cmocka_unit_test(test_older_versions_are_read),
    };

    return cmocka_run_group_tests_name("state stream", tests, NULL, NULL);
}
