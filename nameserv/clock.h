/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A clock for measuring how long a change takes: the processor's time-stamp counter where there is one that
 * runs evenly, as all lcores and the traffic generator of bench/ read it too. 10 ns a reading.
 *
 * Thread safety: any thread.
 */
#ifndef KEDGE_NAMESERV_CLOCK_H
#define KEDGE_NAMESERV_CLOCK_H

#include <stdint.h>
#include <time.h>

/* Ticks; their rate is not known here. */
static inline uint64_t ns_clock(void)
{
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#else
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC_RAW, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
#endif
}

/* Nanoseconds of CLOCK_MONOTONIC. */
static inline uint64_t ns_clock_monotonic(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

#endif
