/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How a worker sleeps when there is nothing to do, and how it is woken.
 *
 * It says that it sleeps, then looks once more; who has something for it first puts that in its place,
 * then looks whether it sleeps (Dekker's pattern: a full fence stands between the store and the load on
 * both sides; W and Z are the steps of tests/model/sleep.pml). So either it sees the work, or it is woken.
 * Packets announce themselves by the interrupts of their ports; where a port has none, it is polled between
 * short naps.
 */
#define ALLOW_EXPERIMENTAL_API /* rte_eth_dev_conf_get() */
#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <rte_malloc.h>

#include "dataplane/worker_p.h"

enum {
    LONG_NAP_US = 500000, /* interrupts everywhere: the sweep for idle flows still wants its turn */
    QUIET_US = 50000,
};

int sleep_new(struct worker *worker)
{
    worker->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    worker->interrupt_fd = epoll_create1(EPOLL_CLOEXEC);
    return worker->wake_fd < 0 || worker->interrupt_fd < 0 ? -errno : 0;
}

static int interrupt_control(struct worker *worker, unsigned port, unsigned queue, int operation)
{
    if (!rte_eth_dev_is_valid_port((uint16_t)port))
        return -ENODEV;
    return rte_eth_dev_rx_intr_ctl_q((uint16_t)port, (uint16_t)queue, worker->interrupt_fd,
                                     operation, NULL);
}

/* Was it configured for interrupts? Asking any other for them would only fill the log. */
static bool has_interrupts(unsigned port)
{
    struct rte_eth_conf conf;

    return rte_eth_dev_conf_get((uint16_t)port, &conf) == 0 && conf.intr_conf.rxq;
}

static void sleep_port(struct worker *worker, unsigned port, uint16_t wanted)
{
    uint16_t *have = &worker->interrupts[port];

    for (uint32_t gone = *have & ~(uint32_t)wanted; gone != 0; gone &= gone - 1) {
        interrupt_control(worker, port, (unsigned)__builtin_ctz(gone), RTE_INTR_EVENT_DEL);
        worker->interrupt_count--;
    }
    *have &= wanted;
    if (*have == wanted || !has_interrupts(port))
        return;
    for (uint32_t new = wanted & ~(uint32_t)*have; new != 0; new &= new - 1) {
        unsigned queue = (unsigned)__builtin_ctz(new);

        if (interrupt_control(worker, port, queue, RTE_INTR_EVENT_ADD) == 0) {
            *have |= (uint16_t)(1u << queue);
            worker->interrupt_count++;
        }
    }
}

/* A queue without interrupts is polled between naps. A device that is gone has taken its descriptors
 * along. */
void sleep_ports(struct worker *worker, const uint16_t *masks)
{
    for (unsigned port = 0; port < LINK_PORTS_MAX; port++)
        sleep_port(worker, port, masks[port]);
}

void sleep_free(struct worker *worker)
{
    sleep_ports(worker, (const uint16_t[LINK_PORTS_MAX]){0});
    if (worker->wake_fd >= 0)
        close(worker->wake_fd);
    if (worker->interrupt_fd >= 0)
        close(worker->interrupt_fd);
}

void worker_wake(struct worker *worker)
{
    /* What it shall find was stored before; see above. */
    NS_FENCE();                                                                         /* W2 */
    if (atomic_load_explicit(&worker->subscriber->sleeping, memory_order_relaxed) == 0) /* W3 */
        return;
    if (atomic_exchange(&worker->woken, 1) == 0) /* W4 */
        eventfd_write(worker->wake_fd, 1);
}

/* Notices; or it has taken some before the control core said of which commit they were. */
static bool is_notified(struct ns_subscriber *subscriber)
{
    return atomic_load(&subscriber->head) != NULL ||
           atomic_load(&subscriber->notified) > atomic_load(&subscriber->applied);
}

static bool rings_have(worker_rings rings, unsigned workers, unsigned to)
{
    for (unsigned from = 0; from < workers; from++)
        if (rings[from][to] != NULL && ring_count(rings[from][to]) > 0)
            return true;
    return false;
}

/* Is there something to do after all? */
static bool something_came(const struct worker *worker)
{
    struct workers *workers = worker->workers;

    if (is_notified(worker->subscriber) || atomic_load(&worker->stop) ||
        ring_count(worker->orders) > 0)
        return true;
    return rings_have(workers->between, workers->count, worker->index) ||
           rings_have(workers->spread, workers->count, worker->index);
}

static bool has_interrupt(const struct worker *worker, const struct polled *polled)
{
    return worker->interrupts[polled->port] >> polled->queue & 1;
}

static void interrupts_set(const struct worker *worker, int (*set)(uint16_t port, uint16_t queue))
{
    for (unsigned i = 0; worker->interrupt_count > 0 && i < worker->polled_count; i++)
        if (has_interrupt(worker, &worker->polled[i]))
            set(worker->polled[i].port, worker->polled[i].queue);
}

/* Some devices raise no interrupt for what came before it was enabled. */
static bool frames_wait(const struct worker *worker)
{
    for (unsigned i = 0; worker->interrupt_count > 0 && i < worker->polled_count; i++) {
        const struct polled *polled = &worker->polled[i];

        if (has_interrupt(worker, polled) &&
            rte_eth_rx_queue_count(polled->port, polled->queue) > 0)
            return true;
    }
    return false;
}

/* Short naps at first; longer ones when it has been quiet for a while, because a nap costs what it costs to
 * put a thread to sleep (20 us on a virtual machine), and still a packet waits less than a millisecond. */
static uint64_t nap_us(const struct worker *worker)
{
    bool all = worker->polled_count == worker->interrupt_count;
    uint64_t us = worker->workers->options.nap_us;

    if (worker->held_queues > 0)
        return us;
    if (all)
        return LONG_NAP_US;
    return worker->tsc - worker->idle_since < worker_us(worker, QUIET_US) ? us : us * 5 / 2;
}

static void nap(struct worker *worker, uint64_t us)
{
    struct pollfd fds[2] = {
        {.fd = worker->wake_fd, .events = POLLIN},
        {.fd = worker->interrupt_fd, .events = POLLIN},
    };
    const struct timespec time = {.tv_sec = (time_t)(us / 1000000),
                                  .tv_nsec = (long)(us % 1000000 * 1000)};
    struct rte_epoll_event events[LINK_PORTS_MAX];
    eventfd_t ignored;

    if (ppoll(fds, worker->interrupt_count > 0 ? 2 : 1, &time, NULL) <= 0)
        return;
    if (fds[0].revents) {
        eventfd_read(worker->wake_fd, &ignored); /* Z5 */
        /* After the read: a later wake-up writes again. An exchange, so that what an earlier one has put
         * in place is seen. */
        atomic_exchange(&worker->woken, 0); /* Z6 */
    }
    if (fds[1].revents)
        rte_epoll_wait(worker->interrupt_fd, events, LINK_PORTS_MAX, 0); /* empties them */
}

static void go_to_sleep(struct worker *worker)
{
    struct workers *workers = worker->workers;

    if (ring_count(worker->requests) > 0 && workers->wake_control != NULL)
        workers->wake_control(workers->wake_arg);
    tally(worker->counters.naps, 1);
    ns_rcu_offline();
    nap(worker, nap_us(worker));
    ns_rcu_online();
}

void worker_idle(struct worker *worker)
{
    const struct worker_options *options = &worker->workers->options;

    if (options->poll)
        return;
    if (worker->idle_since == 0)
        worker->idle_since = worker->tsc;
    if (worker->tsc - worker->idle_since < worker_us(worker, options->sleep_after_us))
        return;
    atomic_store(&worker->subscriber->sleeping, 1); /* Z2 */
    NS_FENCE();                                     /* see above; Z3 */
    if (!something_came(worker)) {                  /* Z4 */
        interrupts_set(worker, rte_eth_dev_rx_intr_enable);
        if (!frames_wait(worker))
            go_to_sleep(worker);
        interrupts_set(worker, rte_eth_dev_rx_intr_disable);
    }
    atomic_store(&worker->subscriber->sleeping, 0); /* Z7 */
    NS_FENCE(); /* who still saw it asleep has published what the next round loads */
}
