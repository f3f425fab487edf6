/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The control core's event loop: file descriptors (epoll), timers (a heap), and one hook a round.
 *
 * The hook is how rings that nobody announces with a system call are looked at: it is called each
 * round and answers when it wants to be called again at the latest, which bounds the sleep.
 *
 * Thread safety: one loop belongs to one thread; ns_loop_stop() and ns_loop_wake() may be called from
 * any thread and from signal handlers.
 */
#ifndef KEDGE_NAMESERV_LOOP_H
#define KEDGE_NAMESERV_LOOP_H

#include <stdbool.h>
#include <stdint.h>

struct ns_loop;

/* A watched descriptor, embedded in the caller's object. */
struct ns_io {
    int fd;
    void (*fn)(struct ns_io *io, uint32_t events); /* EPOLLIN ... */
};

struct ns_timer {
    void (*fn)(struct ns_timer *timer);
    uint64_t due; /* ns, on the loop's clock; private from here */
    uint32_t index;
};

struct ns_loop *ns_loop_new(void); /* NULL with errno */
void ns_loop_free(struct ns_loop *loop);

/* Watch a descriptor for events (EPOLLIN, EPOLLOUT). 0 or a negative errno. remove may be called from
 * inside any fn; no event is delivered afterwards. */
int ns_loop_add(struct ns_loop *loop, struct ns_io *io, uint32_t events);
int ns_loop_change(struct ns_loop *loop, struct ns_io *io, uint32_t events);
void ns_loop_remove(struct ns_loop *loop, struct ns_io *io);

/* Nanoseconds of CLOCK_MONOTONIC, read once a round. */
uint64_t ns_loop_now(const struct ns_loop *loop);

/* (Re)start a timer to fire once, after_ns from the loop's now. A zeroed struct with fn set is a
 * stopped timer. With 0 it fires in this round, after all descriptors, or in the next one if a timer or
 * the hook starts it. Restarting a running timer can't fail. 0 or -ENOMEM. */
int ns_timer_start(struct ns_loop *loop, struct ns_timer *timer, uint64_t after_ns);
void ns_timer_stop(struct ns_loop *loop, struct ns_timer *timer);
bool ns_timer_running(const struct ns_timer *timer);

/* Set the hook: called each round, after descriptors and timers; answers in how many nanoseconds it
 * must be called again at the latest (0: at once, that is polling, and others on the CPU go first; UINT64_MAX: no
 * need). */
void ns_loop_hook(struct ns_loop *loop, uint64_t (*fn)(void *arg), void *arg);

/* Run until ns_loop_stop(), also if that came before. The thread is offline for RCU while it sleeps.
 * The loop may be freed when all calls of stop and wake have returned. */
void ns_loop_run(struct ns_loop *loop);
void ns_loop_stop(struct ns_loop *loop);
void ns_loop_wake(struct ns_loop *loop);

#endif
