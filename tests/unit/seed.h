/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Random numbers for tests. The seed is another one in each run and is printed, so that a run that
 * failed can be repeated with KEDGE_TEST_SEED=...; KEDGE_TEST_SCALE=10 runs ten times as many steps.
 */
#ifndef KEDGE_TESTS_SEED_H
#define KEDGE_TESTS_SEED_H

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

static uint64_t seed_state;

/* Start a sequence; at the beginning of each test, so that one can be run alone. */
static inline void seed_begin(void)
{
    const char *text = getenv("KEDGE_TEST_SEED");
    static uint64_t seed;

    if (seed == 0 && text != NULL)
        seed = strtoull(text, NULL, 0);
    while (seed == 0) {
        if (getrandom(&seed, sizeof(seed), 0) < 0)
            abort();
    }
    seed_state = seed;
    printf("KEDGE_TEST_SEED=%" PRIu64 "\n", seed);
}

/* splitmix64 (Steele, Lea, Flood 2014): any seed will do. */
static inline uint64_t seed_next(void)
{
    uint64_t z = seed_state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* One of 0 to n - 1. */
static inline unsigned seed_below(unsigned n)
{
    return (unsigned)(seed_next() >> 32) % n;
}

static inline unsigned seed_scale(void)
{
    const char *text = getenv("KEDGE_TEST_SCALE");

    return text == NULL ? 1 : (unsigned)strtoul(text, NULL, 0);
}

#endif
