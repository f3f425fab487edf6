/* SPDX-License-Identifier: BSD-3-Clause */
/* The keyed hash: it is SipHash-1-3, each prefix of a path comes by the way, no two paths have the same words, and names
 * that lie in one chain of an unkeyed hash do not in this one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "nameserv/hash.h"

/* As the paper says it: the length is in the last word. */
static uint64_t siphash(const unsigned char *bytes, size_t size)
{
    struct ns_hash hash = ns_hash_of_key(0, 0);
    uint64_t word = 0;

    for (size_t i = 0; i < size; i++) {
        word |= (uint64_t)bytes[i] << i % 8 * 8;
        if (i % 8 == 7) {
            ns_hash_word(&hash, word);
            word = 0;
        }
    }
    ns_hash_word(&hash, word | (uint64_t)size << 56);
    return ns_hash_end(hash);
}

/* Of bytes 0, 1, 2... under the key 0, as CPython 3.11 hashes them (PYTHONHASHSEED=0). */
static void it_is_siphash(void **state)
{
    static const struct {
        size_t size;
        uint64_t hash;
    } known[] = {
        {1, UINT64_C(0x68a914128e01e473)},  {7, UINT64_C(0x2f098ab0c751325a)},
        {8, UINT64_C(0xead411e67ebe2eea)},  {9, UINT64_C(0x75927f9d95124362)},
        {16, UINT64_C(0x8972188433a5c5b7)}, {31, UINT64_C(0x169739443111d49b)},
    };
    unsigned char bytes[32];

    (void)state;
    for (int i = 0; i < 32; i++)
        bytes[i] = (unsigned char)i;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        assert_true(siphash(bytes, known[i].size) == known[i].hash);
}

static void prefixes_come_by_the_way(void **state)
{
    static const char path[] = "/local/domain/12345/device/vif/0/exactly8/a/@x";
    struct ns_path_hash hash = ns_path_hash_begin();

    (void)state;
    for (size_t i = 0; i < sizeof(path) - 1; i++) {
        ns_path_hash_step(&hash, (unsigned char)path[i]);
        assert_int_equal(ns_path_hash_end(&hash), ns_path_hash(path, i + 1));
    }
}

static void paths_differ(void **state)
{
    static const char *const paths[] = {"/",         "/a",         "/a/b", "/ab", "/abcdefg",
                                        "/abcdefgh", "/abcdefg/h", "/b/a", "@a",  "@a/b"};

    (void)state;
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        for (size_t j = 0; j < i; j++)
            assert_int_not_equal(ns_path_hash(paths[i], strlen(paths[i])),
                                 ns_path_hash(paths[j], strlen(paths[j])));
}

static uint32_t fnv(const char *text, size_t size)
{
    uint32_t hash = UINT32_C(2166136261);

    for (size_t i = 0; i < size; i++)
        hash = (hash ^ (unsigned char)text[i]) * UINT32_C(16777619);
    return hash;
}

/* Names that anybody can look for at home: all in one bucket of 1024 by FNV. Here they lie in as many as chance gives;
 * which, nobody knows beforehand. */
static void names_chosen_to_collide_do_not(void **state)
{
    enum { NAMES = 512, BUCKETS = 1024 };
    unsigned char filled[BUCKETS] = {0};
    unsigned found = 0, longest = 0;

    (void)state;
    for (unsigned i = 0; found < NAMES; i++) {
        char path[32];
        size_t size = (size_t)snprintf(path, sizeof(path), "/tool/%x", i);
        unsigned char *chain;

        if (fnv(path, size) % BUCKETS != 7)
            continue;
        found++;
        chain = &filled[ns_path_hash(path, size) % BUCKETS];
        *chain += 1;
        longest = *chain > longest ? *chain : longest;
    }
    assert_true(longest < 12); /* less than one in 10^9 that it is not */
}

/* Twice drawn is once drawn, or what lies in tables would be lost. */
static void the_key_is_drawn_once(void **state)
{
    static const struct ns_hash none;
    struct ns_hash first = ns_hash_start;

    (void)state;
    assert_memory_not_equal(&first, &none, sizeof(none));
    assert_int_equal(ns_hash_seed(), 0);
    assert_memory_equal(&first, &ns_hash_start, sizeof(first));
}

static int seed(void **state)
{
    (void)state;
    return ns_hash_seed();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_siphash),         cmocka_unit_test(prefixes_come_by_the_way),
        cmocka_unit_test(paths_differ),          cmocka_unit_test(names_chosen_to_collide_do_not),
        cmocka_unit_test(the_key_is_drawn_once),
    };

    return cmocka_run_group_tests(tests, seed, NULL);
}
