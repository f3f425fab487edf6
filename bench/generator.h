/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the traffic generator (generator.c) and the harness share: one file, mapped by both. Its path is in
 * KEDGE_GENERATOR. The harness (bench/generator.py) knows the same layout; the static_asserts keep it.
 */
#ifndef KEDGE_BENCH_GENERATOR_H
#define KEDGE_BENCH_GENERATOR_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

enum { GENERATOR_MAGIC = 0x4b474731, GENERATOR_MARKS = 256 };

struct generator_shared {
    uint32_t magic;
    uint32_t flows;         /* harness: how many flows the traffic has; may change while running */
    uint32_t like_a_nic;    /* harness: set packet type, good checksum, RSS hash, as a NIC does */
    uint32_t paused;        /* harness: deliver nothing */
    uint8_t destination[8]; /* harness: MAC address that frames are sent to (6 bytes) */
    uint32_t first_flow;    /* harness: number of the first one */
    uint32_t ports;         /* plugin: how many ports it serves */
    uint64_t received;      /* plugin: frames handed to the program */
    uint64_t sent;          /* plugin: frames that the program sent */
    uint64_t
        torn;     /* plugin: frames whose destination was neither a whole old nor a whole new one */
    uint64_t tsc; /* plugin: of the newest burst sent */
    uint64_t count[GENERATOR_MARKS]; /* plugin: frames by the last byte of their destination MAC */
    uint64_t first[GENERATOR_MARKS]; /* plugin: TSC of the first and of the newest of them */
    uint64_t last[GENERATOR_MARKS];
};
static_assert(offsetof(struct generator_shared, received) == 32, "bench/generator.py knows this");
static_assert(offsetof(struct generator_shared, count) == 64, "bench/generator.py knows this");

#endif
