/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzzes the ring page: the input is a program of both sides' steps on one page, some of which write
 * any value into any word, as a hostile guest may. Whatever the page says, a step answers with an
 * error or stays within its bounds; and while nobody is hostile, bytes come out as they went in.
 */
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "nameserv/ring.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct run {
    struct ns_ring_page *page;
    uint32_t put[2], taken[2]; /* bytes through each ring, while nobody is hostile */
    int honest;
};

static struct ns_ring ring_of(const struct run *run, int which)
{
    return which ? ns_ring_replies(run->page) : ns_ring_requests(run->page);
}

static uint8_t byte_at(uint32_t position)
{
    return (uint8_t)(position * 131 >> 4);
}

/* In memory of exactly its size: a copy past the end is seen. */
static void put(struct run *run, int which, size_t size)
{
    uint8_t *bytes = malloc(size > 0 ? size : 1);
    ssize_t done;

    if (bytes == NULL)
        return;
    for (size_t i = 0; i < size; i++)
        bytes[i] = byte_at(run->put[which] + (uint32_t)i);
    done = ns_ring_put(ring_of(run, which), bytes, size);
    assert(done == -EIO || (done >= 0 && (size_t)done <= size && done <= NS_RING_SIZE));
    assert(!run->honest || done >= 0);
    run->put[which] += done > 0 ? (uint32_t)done : 0;
    free(bytes);
}

static void take(struct run *run, int which, size_t room)
{
    uint8_t *bytes = malloc(room > 0 ? room : 1);
    ssize_t done;

    if (bytes == NULL)
        return;
    done = ns_ring_take(ring_of(run, which), bytes, room);
    assert(done == -EIO || (done >= 0 && (size_t)done <= room && done <= NS_RING_SIZE));
    assert(!run->honest || done >= 0);
    for (ssize_t i = 0; run->honest && i < done; i++)
        assert(bytes[i] == byte_at(run->taken[which] + (uint32_t)i));
    run->taken[which] += done > 0 ? (uint32_t)done : 0;
    free(bytes);
}

static void begin_anew(struct run *run)
{
    if (ns_ring_ask_reconnect(run->page) == 0)
        assert(ns_ring_reconnect_asked(run->page));
    ns_ring_reset(run->page);
    assert(ns_ring_connected(run->page) && ns_ring_failed(run->page) == NS_RING_OK);
    assert(!ns_ring_pending(ring_of(run, 0)) && !ns_ring_pending(ring_of(run, 1)));
    memset(run->put, 0, sizeof(run->put));
    memset(run->taken, 0, sizeof(run->taken));
    run->honest = 1;
}

/* Both indexes of a ring to the same value: an honest start anywhere. */
static void move(struct run *run, int which, uint32_t to)
{
    struct ns_ring ring = ring_of(run, which);

    *ring.consumer = *ring.producer = to;
    run->put[which] = run->taken[which] = 0;
}

static void step(struct run *run, const uint8_t *code)
{
    uint32_t operand = (uint32_t)code[1] | (uint32_t)code[2] << 8 | (uint32_t)code[3] << 16;
    int which = code[0] >> 7;

    switch (code[0] & 7) {
    case 0:
    case 1: put(run, which, operand % 1500); break;
    case 2:
    case 3: take(run, which, operand % 1500); break;
    case 4: begin_anew(run); break;
    case 5: ns_ring_offer(run->page, operand); break;
    case 6: move(run, which, operand << 8 | code[3]); break;
    case 7: /* hostile */
        run->honest = 0;
        (&run->page->request_consumer)[code[0] >> 3 & 7] = operand << 8 | code[3];
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct run run = {.page = calloc(1, sizeof(struct ns_ring_page)), .honest = 1};

    if (run.page == NULL)
        return 0;
    for (; size >= 4; data += 4, size -= 4)
        step(&run, data);
    free(run.page);
    return 0;
}
