/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the machine itself allows, for bench/wire.py: nothing here is Kedge's.
 *
 *     limits socket polls|sleeps COUNT GAP_US   from just before a client's send() to where another process on the
 *                                               same CPU 0 has received it, by epoll; the client then waits in poll()
 *     limits yield COUNT GAP_US                 the same over memory that they share: the client writes and steps
 *                                               aside by sched_yield(), as the other does all the time
 *     limits wake COUNT GAP_US                  from just before CPU 1 writes an eventfd to where who slept by epoll on
 *                                               CPU 0 has read it
 *     limits gaps CPU SECONDS                   how long a process that only looks at the clock was kept from it, each
 *                                               time that was more than GAP_NS
 *
 * A line for each, in nanoseconds.
 */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/machine.h"

enum { GAP_NS = 10000, REQUEST_SIZE = 64 };

/* Of the two processes. */
struct shared {
    _Atomic uint64_t asked, answered; /* numbers, from 1 */
    _Atomic uint64_t start, end;      /* ns */
};

static struct shared *shared;
static bool polls;

static void die(const char *what)
{
    fprintf(stderr, "limits: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int watch(int fd)
{
    struct epoll_event event = {.events = EPOLLIN};
    int epoll = epoll_create1(EPOLL_CLOEXEC);

    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0)
        die("epoll");
    return epoll;
}

static void wait_for(int epoll)
{
    struct epoll_event event;

    while (epoll_wait(epoll, &event, 1, polls ? 0 : -1) == 0)
        sched_yield();
}

/* ---- the other process ---- */

static void serve_socket(int fd, long count)
{
    char request[REQUEST_SIZE];
    int epoll = watch(fd);

    for (long i = 0; i < count; i++) {
        wait_for(epoll);
        if (recv(fd, request, sizeof(request), 0) < 0)
            die("recv");
        shared->end = clock_ns();
        if (send(fd, request, 1, 0) < 0)
            die("send");
    }
}

static void serve_memory(int unused, long count)
{
    (void)unused;
    for (uint64_t done = 0; done < (uint64_t)count; sched_yield()) {
        if (shared->asked == done)
            continue;
        shared->end = clock_ns();
        shared->answered = ++done;
    }
}

static void serve_event(int fd, long count)
{
    int epoll = watch(fd);
    uint64_t value;

    for (long i = 1; i <= count; i++) {
        wait_for(epoll);
        if (read(fd, &value, sizeof(value)) < 0)
            die("eventfd");
        shared->end = clock_ns();
        shared->answered = (uint64_t)i;
    }
}

/* ---- this one ---- */

static void ask_socket(int fd)
{
    struct pollfd readable = {.fd = fd, .events = POLLIN};
    char request[REQUEST_SIZE] = {0};

    if (send(fd, request, sizeof(request), 0) < 0 || poll(&readable, 1, -1) < 0 ||
        recv(fd, request, sizeof(request), 0) < 0)
        die("socket");
}

static void ask_memory(int unused)
{
    (void)unused;
    shared->asked++;
    while (shared->answered != shared->asked)
        sched_yield();
}

static void ask_event(int fd)
{
    uint64_t value = 1;

    shared->asked++;
    if (write(fd, &value, sizeof(value)) < 0)
        die("eventfd");
    while (shared->answered != shared->asked)
        ;
}

struct kind {
    const char *name;
    int cpu; /* of who asks; the other is on 0 */
    void (*serve)(int fd, long count);
    void (*ask)(int fd);
};

static const struct kind kinds[] = {
    {"socket", 0, serve_socket, ask_socket},
    {"yield", 0, serve_memory, ask_memory},
    {"wake", 1, serve_event, ask_event},
};

static void open_ends(const struct kind *kind, int *ends)
{
    if (kind->serve == serve_socket) {
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
            die("socketpair");
        return;
    }
    ends[0] = ends[1] = eventfd(0, EFD_CLOEXEC);
    if (ends[0] < 0)
        die("eventfd");
}

static void hops(const struct kind *kind, long count, long gap_us)
{
    int ends[2];
    pid_t other;

    open_ends(kind, ends);
    pin(0);
    other = fork();
    if (other == 0) {
        kind->serve(ends[1], count);
        _exit(0);
    }
    pin(kind->cpu);
    for (long i = 0; i < count; i++) {
        sleep_us(gap_us);
        shared->start = clock_ns();
        kind->ask(ends[0]);
        printf("%llu\n", (unsigned long long)(shared->end - shared->start));
    }
    waitpid(other, NULL, 0);
}

static void gaps(int cpu, long seconds)
{
    uint64_t last, end;

    pin(cpu);
    last = clock_ns();
    end = last + (uint64_t)seconds * 1000000000;
    while (last < end) {
        uint64_t now = clock_ns();

        if (now - last > GAP_NS)
            printf("%llu\n", (unsigned long long)(now - last));
        last = now;
    }
}

int main(int argc, char **argv)
{
    bool modes = argc == 5;

    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (shared == MAP_FAILED)
        die("mmap");
    if (argc == 4 && strcmp(argv[1], "gaps") == 0) {
        gaps(atoi(argv[2]), atol(argv[3]));
        return 0;
    }
    polls = modes && strcmp(argv[2], "polls") == 0;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if ((argc == 4 || modes) && strcmp(argv[1], kinds[i].name) == 0) {
            hops(&kinds[i], atol(argv[argc - 2]), atol(argv[argc - 1]));
            return 0;
        }
    }
    fprintf(stderr, "usage: limits socket polls|sleeps COUNT GAP_US\n"
                    "       limits yield|wake COUNT GAP_US\n"
                    "       limits gaps CPU SECONDS\n");
    return 2;
}
