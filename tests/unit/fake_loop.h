/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nameserv/loop.h for tests: time stands still until fake_loop_advance(). A program that includes this
 * defines all of the loop's functions, so the real ones stay in their library.
 */
#ifndef KEDGE_TESTS_FAKE_LOOP_H
#define KEDGE_TESTS_FAKE_LOOP_H

#include <errno.h>
#include <stdlib.h>

#include "nameserv/loop.h"

#define FAKE_MS     UINT64_C(1000000)
#define FAKE_SECOND (1000 * FAKE_MS)

enum { FAKE_TIMERS = 4096 };

struct ns_loop {
    uint64_t now;
    struct ns_timer *timers[FAKE_TIMERS]; /* in the order in which they were started */
    uint32_t count;
};

struct ns_loop *ns_loop_new(void)
{
    struct ns_loop *loop = calloc(1, sizeof(*loop));

    if (loop != NULL)
        loop->now = 1000 * FAKE_SECOND;
    return loop;
}

void ns_loop_free(struct ns_loop *loop)
{
    free(loop);
}

uint64_t ns_loop_now(const struct ns_loop *loop)
{
    return loop->now;
}

bool ns_timer_running(const struct ns_timer *timer)
{
    return timer->index != 0;
}

void ns_timer_stop(struct ns_loop *loop, struct ns_timer *timer)
{
    if (timer->index == 0)
        return;
    loop->count--;
    for (uint32_t i = timer->index - 1; i < loop->count; i++) {
        loop->timers[i] = loop->timers[i + 1];
        loop->timers[i]->index = i + 1;
    }
    timer->index = 0;
}

int ns_timer_start(struct ns_loop *loop, struct ns_timer *timer, uint64_t after_ns)
{
    ns_timer_stop(loop, timer);
    if (loop->count == FAKE_TIMERS)
        return -ENOMEM;
    timer->due = loop->now + after_ns;
    loop->timers[loop->count++] = timer;
    timer->index = loop->count;
    return 0;
}

static inline struct ns_timer *fake_loop_first(struct ns_loop *loop)
{
    struct ns_timer *first = NULL;

    for (uint32_t i = 0; i < loop->count; i++)
        if (first == NULL || loop->timers[i]->due < first->due)
            first = loop->timers[i];
    return first;
}

/* Let time pass: timers fire in order, each at its time. */
static inline void fake_loop_advance(struct ns_loop *loop, uint64_t ns)
{
    uint64_t end = loop->now + ns;
    struct ns_timer *timer;

    while ((timer = fake_loop_first(loop)) != NULL && timer->due <= end) {
        loop->now = timer->due;
        ns_timer_stop(loop, timer);
        timer->fn(timer);
    }
    loop->now = end;
}

/* ---- what these tests don't use, so that nothing pulls in the real loop ---- */

int ns_loop_add(struct ns_loop *loop, struct ns_io *io, uint32_t events)
{
    (void)loop, (void)io, (void)events;
    abort();
}

int ns_loop_change(struct ns_loop *loop, struct ns_io *io, uint32_t events)
{
    (void)loop, (void)io, (void)events;
    abort();
}

void ns_loop_remove(struct ns_loop *loop, struct ns_io *io)
{
    (void)loop, (void)io;
    abort();
}

void ns_loop_hook(struct ns_loop *loop, uint64_t (*fn)(void *arg), void *arg)
{
    (void)loop, (void)fn, (void)arg;
    abort();
}

void ns_loop_run(struct ns_loop *loop)
{
    (void)loop;
    abort();
}

void ns_loop_stop(struct ns_loop *loop)
{
    (void)loop;
    abort();
}

void ns_loop_wake(struct ns_loop *loop)
{
    (void)loop;
    abort();
}

#endif
