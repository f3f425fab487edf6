/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the machine allows: a cache line that two cores write in turn, on CPU 0 and CPU 1. Prints the median time of a
 * round trip in nanoseconds: there and back. For bench/push.py.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <rte_cycles.h>

#include "bench/machine.h"

enum { ROUNDS = 20001, WARM = 1000 };

static _Alignas(64) _Atomic uint64_t line;

static void *answer(void *unused)
{
    pin(1);
    for (uint64_t i = 1; i <= 2 * (ROUNDS + WARM); i += 2) {
        while (atomic_load_explicit(&line, memory_order_acquire) != i)
            ;
        atomic_store_explicit(&line, i + 1, memory_order_release);
    }
    return unused;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static double ticks_per_ns(void)
{
    const struct timespec time = {.tv_nsec = 100000000};
    struct timespec a, b;
    uint64_t start = rte_rdtsc(), ticks;

    clock_gettime(CLOCK_MONOTONIC, &a);
    nanosleep(&time, NULL);
    ticks = rte_rdtsc() - start;
    clock_gettime(CLOCK_MONOTONIC, &b);
    return (double)ticks / ((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec));
}

int main(void)
{
    static uint64_t times[ROUNDS];
    double per_ns = ticks_per_ns();
    uint64_t middle;
    pthread_t other;

    pin(0);
    if (pthread_create(&other, NULL, answer, NULL) != 0)
        return 1;
    for (uint64_t i = 0; i < ROUNDS + WARM; i++) {
        uint64_t start = rte_rdtsc();

        atomic_store_explicit(&line, 2 * i + 1, memory_order_release);
        while (atomic_load_explicit(&line, memory_order_acquire) != 2 * i + 2)
            ;
        if (i >= WARM)
            times[i - WARM] = rte_rdtsc() - start;
    }
    pthread_join(other, NULL);
    qsort(times, ROUNDS, sizeof(times[0]), compare);
    middle = times[ROUNDS / 2];
    printf("%.1f\n", (double)middle / per_ns);
    return 0;
}
