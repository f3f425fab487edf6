/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What every program that measures needs of the machine: its clock, a pause, memory, and a CPU of one's own.
 */
#ifndef KEDGE_BENCH_MACHINE_H
#define KEDGE_BENCH_MACHINE_H

#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

/* Nanoseconds of CLOCK_MONOTONIC. */
static inline uint64_t clock_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

static inline void sleep_us(long us)
{
    struct timespec time = {us / 1000000, us % 1000000 * 1000};

    nanosleep(&time, NULL);
}

/*
 * Use this much memory, in huge pages, and give it back. A virtual machine that reports its free pages to the host loses
 * them within seconds, and the next use of each then waits for the host: 2 s for a GiB instead of 0.1. What is freed last
 * is handed out first, so what is measured right after this is the program.
 */
static inline void touch_memory(size_t bytes)
{
    char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED) {
        perror("memory");
        exit(1);
    }
    madvise(memory, bytes, MADV_HUGEPAGE);
    for (size_t i = 0; i < bytes; i += 4096)
        memory[i] = 1;
    munmap(memory, bytes);
}

/* The calling thread, to one CPU; without it there is nothing to measure. */
static inline void pin(unsigned cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof(set), &set) != 0) {
        fprintf(stderr, "CPU %u: ", cpu);
        perror("sched_setaffinity");
        exit(1);
    }
}

#endif
