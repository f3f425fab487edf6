/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The control core's event loop.
 *
 * A round: sleep, descriptors, timers, hook. A loop that polls lets others go first between timers and hook, so that
 * what they have left in memory that the hook looks at is found before the kernel is asked for events. A timer that is
 * started with 0 by a descriptor's function fires in the same round, after all descriptors; one that is started by a
 * timer's function fires in the next round at the earliest, so a round always ends.
 */
#include "nameserv/loop.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "nameserv/rcu.h"

enum { EVENTS_A_ROUND = 64 };
#define NS_A_SECOND      UINT64_C(1000000000)
#define NS_A_MILLISECOND UINT64_C(1000000)
#define NS_FOR_EVER      (UINT64_MAX / 4) /* from here on the kernel is not bothered with a timer */
#define NS_ALARM_LEAST   UINT64_C(2000000) /* ns: shorter sleeps have a time-out of their own */

struct ns_loop {
    int epoll;
    struct ns_io wake;  /* an eventfd */
    struct ns_io alarm; /* a timerfd, for sleeps: see set_alarm() */
    uint64_t alarm_due; /* when it ends a sleep; 0: it is not set */
    bool stop;          /* atomic: set by signal handlers and other threads */
    bool firing;        /* timers are being called */
    uint64_t now;
    uint64_t (*hook)(void *arg);
    void *hook_arg;

    struct ns_timer **timers; /* a binary heap, earliest first; timer->index is its place plus 1 */
    uint32_t timer_count, timer_room;

    struct epoll_event
        events[EVENTS_A_ROUND]; /* of this round; a removed descriptor's ptr is NULL */
    int event_count;
};

static uint64_t clock_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_A_SECOND + (uint64_t)now.tv_nsec;
}

static void wake_seen(struct ns_io *io, uint32_t events)
{
    uint64_t count;

    (void)events;
    /* Non-blocking; that nothing is left to be read is fine. */
    if (read(io->fd, &count, sizeof(count)) < 0)
        return;
}

static void alarm_seen(struct ns_io *io, uint32_t events)
{
    struct ns_loop *loop = (struct ns_loop *)((char *)io - offsetof(struct ns_loop, alarm));

    wake_seen(io, events);
    loop->alarm_due = 0;
}

struct ns_loop *ns_loop_new(void)
{
    struct ns_loop *loop = calloc(1, sizeof(*loop));

    if (loop == NULL)
        return NULL;
    loop->now = clock_now();
    loop->wake.fn = wake_seen;
    loop->alarm.fn = alarm_seen;
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    loop->wake.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    loop->alarm.fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (loop->epoll < 0 || loop->wake.fd < 0 || loop->alarm.fd < 0 ||
        ns_loop_add(loop, &loop->wake, EPOLLIN) < 0 ||
        ns_loop_add(loop, &loop->alarm, EPOLLIN) < 0) {
        int error = errno;

        ns_loop_free(loop);
        errno = error;
        return NULL;
    }
    return loop;
}

void ns_loop_free(struct ns_loop *loop)
{
    if (loop->wake.fd >= 0)
        close(loop->wake.fd);
    if (loop->alarm.fd >= 0)
        close(loop->alarm.fd);
    if (loop->epoll >= 0)
        close(loop->epoll);
    for (uint32_t i = 0; i < loop->timer_count; i++)
        loop->timers[i]->index = 0;
    free(loop->timers);
    free(loop);
}

/* ---- descriptors ---- */

static int control(struct ns_loop *loop, int operation, struct ns_io *io, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = io};

    return epoll_ctl(loop->epoll, operation, io->fd, &event) < 0 ? -errno : 0;
}

int ns_loop_add(struct ns_loop *loop, struct ns_io *io, uint32_t events)
{
    return control(loop, EPOLL_CTL_ADD, io, events);
}

int ns_loop_change(struct ns_loop *loop, struct ns_io *io, uint32_t events)
{
    return control(loop, EPOLL_CTL_MOD, io, events);
}

void ns_loop_remove(struct ns_loop *loop, struct ns_io *io)
{
    control(loop, EPOLL_CTL_DEL, io, 0);
    for (int i = 0; i < loop->event_count; i++)
        if (loop->events[i].data.ptr == io)
            loop->events[i].data.ptr = NULL;
}

uint64_t ns_loop_now(const struct ns_loop *loop)
{
    return loop->now;
}

/* ---- timers ---- */

static void place(struct ns_loop *loop, uint32_t at, struct ns_timer *timer)
{
    loop->timers[at] = timer;
    timer->index = at + 1;
}

static void sift_up(struct ns_loop *loop, uint32_t at)
{
    struct ns_timer *timer = loop->timers[at];

    while (at > 0 && loop->timers[(at - 1) / 2]->due > timer->due) {
        place(loop, at, loop->timers[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    place(loop, at, timer);
}

static void sift_down(struct ns_loop *loop, uint32_t at)
{
    struct ns_timer *timer = loop->timers[at];

    for (;;) {
        uint32_t child = 2 * at + 1;

        if (child + 1 < loop->timer_count &&
            loop->timers[child + 1]->due < loop->timers[child]->due)
            child++;
        if (child >= loop->timer_count || loop->timers[child]->due >= timer->due)
            break;
        place(loop, at, loop->timers[child]);
        at = child;
    }
    place(loop, at, timer);
}

static int make_room(struct ns_loop *loop)
{
    uint32_t room = loop->timer_room == 0 ? 64 : loop->timer_room * 2;
    struct ns_timer **timers;

    if (loop->timer_count < loop->timer_room)
        return 0;
    timers = realloc(loop->timers, room * sizeof(struct ns_timer *));
    if (timers == NULL)
        return -ENOMEM;
    loop->timers = timers;
    loop->timer_room = room;
    return 0;
}

int ns_timer_start(struct ns_loop *loop, struct ns_timer *timer, uint64_t after_ns)
{
    if (loop->firing && after_ns == 0)
        after_ns = 1;
    if (timer->index == 0) {
        if (make_room(loop) < 0)
            return -ENOMEM;
        place(loop, loop->timer_count++, timer);
    }
    timer->due = after_ns > UINT64_MAX - loop->now ? UINT64_MAX : loop->now + after_ns;
    sift_up(loop, timer->index - 1);
    sift_down(loop, timer->index - 1);
    return 0;
}

void ns_timer_stop(struct ns_loop *loop, struct ns_timer *timer)
{
    uint32_t at = timer->index - 1;

    if (timer->index == 0)
        return;
    timer->index = 0;
    loop->timer_count--;
    if (at == loop->timer_count)
        return;
    place(loop, at, loop->timers[loop->timer_count]);
    sift_up(loop, at);
    sift_down(loop, loop->timers[at]->index - 1);
}

bool ns_timer_running(const struct ns_timer *timer)
{
    return timer->index != 0;
}

static void call_timers(struct ns_loop *loop)
{
    loop->firing = true;
    while (loop->timer_count > 0 && loop->timers[0]->due <= loop->now) {
        struct ns_timer *timer = loop->timers[0];

        ns_timer_stop(loop, timer);
        timer->fn(timer);
    }
    loop->firing = false;
}

/* ---- rounds ---- */

void ns_loop_hook(struct ns_loop *loop, uint64_t (*fn)(void *arg), void *arg)
{
    loop->hook = fn;
    loop->hook_arg = arg;
}

/*
 * A loop that is busy sleeps often, for a moment each time, and always with a time-out that is far away. To set a
 * timer for each such sleep and to take it back costs more than the sleep. So the alarm is set once, and stays set
 * while the time-outs move on; when it goes off it is set anew, to what is then the next. True if the sleep needs
 * no time-out of its own.
 */
static bool set_alarm(struct ns_loop *loop, uint64_t due)
{
    struct itimerspec time = {
        .it_value = {.tv_sec = (time_t)(due / NS_A_SECOND), .tv_nsec = (long)(due % NS_A_SECOND)}};

    if (loop->alarm_due != 0 && loop->alarm_due <= due)
        return true;
    if (timerfd_settime(loop->alarm.fd, TFD_TIMER_ABSTIME, &time, NULL) < 0)
        return false;
    loop->alarm_due = due;
    return true;
}

/* How long to sleep: no longer than the hook said, nor than to the first timer. */
static uint64_t sleep_time(struct ns_loop *loop, uint64_t hook_says)
{
    uint64_t now = clock_now(), time = hook_says;

    if (loop->timer_count > 0 && loop->timers[0]->due != UINT64_MAX) {
        uint64_t due = loop->timers[0]->due;

        if (due <= now)
            return 0;
        if (due - now < time)
            time = due - now;
    }
    if (time >= NS_ALARM_LEAST && time < NS_FOR_EVER && set_alarm(loop, now + time))
        return UINT64_MAX;
    return time;
}

static int wait_events(struct ns_loop *loop, uint64_t timeout)
{
    struct timespec time = {.tv_sec = (time_t)(timeout / NS_A_SECOND),
                            .tv_nsec = (long)(timeout % NS_A_SECOND)};
    int count = epoll_pwait2(loop->epoll, loop->events, EVENTS_A_ROUND,
                             timeout >= NS_FOR_EVER ? NULL : &time, NULL);

    if (count < 0 && errno == ENOSYS) { /* before Linux 5.11: whole milliseconds, rather too late */
        uint64_t ms = timeout / NS_A_MILLISECOND + (timeout % NS_A_MILLISECOND != 0);

        count = epoll_wait(loop->epoll, loop->events, EVENTS_A_ROUND,
                           timeout >= NS_FOR_EVER ? -1
                           : ms > INT32_MAX       ? INT32_MAX
                                                  : (int)ms);
    }
    return count < 0 ? 0 : count;
}

/* Let those go first who share the CPU with a loop that polls: most of them are about to ask it for something, and
 * would else wait until the scheduler takes the CPU away from it, which is some milliseconds. */
static void step_aside(void)
{
    ns_rcu_offline();
    sched_yield();
    ns_rcu_online();
}

/* A thread that sleeps must not hold up grace periods; a round is a quiescent state. */
static void sleep_and_take(struct ns_loop *loop, uint64_t timeout)
{
    if (timeout == 0) {
        ns_rcu_quiescent();
        loop->event_count = wait_events(loop, 0);
    } else {
        ns_rcu_offline();
        loop->event_count = wait_events(loop, timeout);
        ns_rcu_online();
    }
}

void ns_loop_run(struct ns_loop *loop)
{
    uint64_t hook_says = 0;

    while (!__atomic_exchange_n(&loop->stop, false, __ATOMIC_ACQUIRE)) {
        sleep_and_take(loop, sleep_time(loop, hook_says));
        loop->now = clock_now();
        for (int i = 0; i < loop->event_count; i++) {
            struct ns_io *io = loop->events[i].data.ptr;

            if (io != NULL)
                io->fn(io, loop->events[i].events);
        }
        call_timers(loop);
        if (hook_says == 0 && loop->event_count == 0)
            step_aside();
        hook_says = loop->hook != NULL ? loop->hook(loop->hook_arg) : UINT64_MAX;
    }
}

void ns_loop_wake(struct ns_loop *loop)
{
    uint64_t one = 1;
    int error = errno; /* of whoever a signal handler has interrupted */

    /* Fails only if the counter is full, and then the loop is awake. */
    if (write(loop->wake.fd, &one, sizeof(one)) < 0)
        errno = error;
}

void ns_loop_stop(struct ns_loop *loop)
{
    __atomic_store_n(&loop->stop, true, __ATOMIC_RELEASE);
    ns_loop_wake(loop);
}
