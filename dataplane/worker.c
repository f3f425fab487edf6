/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The worker's loop, and its beginning and end.
 *
 * What is read in a round comes from one version of everything, which is said to be 'seen' when ports that
 * are not in it have been let go. So a version that is seen is never newer than the one in use, and a port
 * that is not in it is touched no more.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <time.h>

#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_malloc.h>

#include "dataplane/moves.h"
#include "dataplane/worker_p.h"

enum { RECENT_US = 1000 };

/* ---- a round ---- */

/* Seconds change once in a second: then the system's clock is asked (which is no system call). */
static void clock_update(struct worker *worker)
{
    struct timespec now;

    if (likely(worker->tsc < worker->second_ends))
        return;
    clock_gettime(CLOCK_MONOTONIC, &now);
    worker->now = (uint32_t)now.tv_sec;
    worker->second_ends =
        worker->tsc + worker->hz / 1000 * (uint64_t)(1000 - now.tv_nsec / 1000000);
}

/* A round lasts until the next one begins: one look at the TSC for both. */
static void round_begin(struct worker *worker)
{
    worker->tsc = rte_rdtsc();
    if (worker->busy_since != 0)
        tally(worker->counters.busy_cycles, worker->tsc - worker->busy_since);
    worker->busy_since = 0;
    clock_update(worker);
}

static void links_load(struct worker *worker)
{
    const struct ns_version *version = ns_store_version(worker->workers->store);
    const struct links *links = links_of(version, worker->workers->sources->links_slot);

    if (unlikely(links != worker->links || links->version != worker->links_version)) {
        worker->links = links;
        worker->links_version = links->version;
        view_update(worker);
    }
    if (unlikely(version->number !=
                 atomic_load_explicit(&worker->subscriber->seen, memory_order_relaxed)))
        atomic_store_explicit(&worker->subscriber->seen, version->number, memory_order_release);
}

bool worker_round(struct worker *worker)
{
    unsigned packets = 0;
    bool work;

    round_begin(worker);
    work = flow_table_poll(worker->table, worker->now);
    links_load(worker);
    if (unlikely(worker->trace != NULL))
        trace_round(worker);
    flow_table_burst(worker->table, FLOW_BUDGET);
    work |= orders_round(worker);
    if (worker->workers->count > 1)
        packets += transmit_receive(worker) + spread_receive(worker);
    if (worker->held_queues > 0)
        packets += hold_round(worker);
    packets += ports_receive(worker);
    if (worker->outs_pending != 0)
        transmit_flush(worker);
    tally(worker->counters.rounds, 1);
    if (packets > 0) {
        worker->busy_since = worker->tsc;
        tally(worker->counters.busy_rounds, 1);
    }
    ns_rcu_quiescent();
    return work || packets > 0 || worker->outs_pending != 0;
}

/* ---- asking the control core ---- */

/* The request was put into the ring before; the control core says that it sleeps, then looks into the ring
 * once more (Dekker's pattern). */
static void wake_control(struct workers *workers)
{
    NS_FENCE();
    if (likely(atomic_load_explicit(&workers->control_sleeps, memory_order_relaxed) == 0))
        return;
    if (atomic_exchange(&workers->control_sleeps, 0) != 0 && workers->wake_control != NULL)
        workers->wake_control(workers->wake_arg);
}

bool request_send(struct worker *worker, struct request *request)
{
    request->worker = (uint8_t)worker->index;
    if (rte_ring_sp_enqueue_elem(worker->requests, request, sizeof(*request)) != 0) {
        tally(worker->counters.requests_dropped, 1);
        return false;
    }
    tally(worker->counters.requests, 1);
    wake_control(worker->workers);
    return true;
}

bool recently(struct worker *worker, uint64_t about, uint16_t what)
{
    uint64_t mixed = about * UINT64_C(0x9e3779b97f4a7c15);
    struct recent *recent = &worker->recent[mixed >> 32 & (RECENT - 1)];

    if (recent->about == about && recent->what == what &&
        worker->tsc - recent->when < worker_us(worker, RECENT_US))
        return true;
    *recent = (struct recent){.about = about, .when = worker->tsc, .what = what};
    return false;
}

unsigned worker_requests(struct worker *worker, struct request *requests, unsigned count)
{
    return rte_ring_sc_dequeue_burst_elem(worker->requests, requests, sizeof(*requests), count,
                                          NULL);
}

bool worker_has_requests(const struct worker *worker)
{
    return ring_count(worker->requests) > 0;
}

int worker_order(struct worker *worker, const struct order *order)
{
    if (rte_ring_sp_enqueue_elem(worker->orders, (void *)(uintptr_t)order, sizeof(*order)) != 0)
        return -ENOBUFS;
    worker_wake(worker);
    return 0;
}

/* ---- what is in the rings ---- */

static uint32_t filled(const struct rte_ring *ring)
{
    return ring == NULL ? 0 : __atomic_load_n(&ring->prod.tail, __ATOMIC_ACQUIRE);
}

static bool taken(const struct rte_ring *ring, uint32_t mark)
{
    return ring == NULL ||
           (int32_t)(__atomic_load_n(&ring->cons.tail, __ATOMIC_ACQUIRE) - mark) >= 0;
}

void workers_mark(const struct workers *workers, struct workers_mark *mark)
{
    for (unsigned from = 0; from < workers->count; from++) {
        mark->requests[from] = filled(workers->worker[from]->requests);
        mark->orders[from] = filled(workers->worker[from]->orders);
        for (unsigned to = 0; to < workers->count; to++) {
            mark->between[from][to] = filled(workers->between[from][to]);
            mark->spread[from][to] = filled(workers->spread[from][to]);
        }
    }
}

bool workers_passed(const struct workers *workers, const struct workers_mark *mark)
{
    bool all = true;

    for (unsigned from = 0; from < workers->count && all; from++) {
        all = taken(workers->worker[from]->requests, mark->requests[from]) &&
              taken(workers->worker[from]->orders, mark->orders[from]);
        for (unsigned to = 0; to < workers->count && all; to++)
            all = taken(workers->between[from][to], mark->between[from][to]) &&
                  taken(workers->spread[from][to], mark->spread[from][to]);
    }
    return all;
}

const struct worker_counters *worker_counters(const struct worker *worker)
{
    return &worker->counters;
}

struct flow_table *worker_table(const struct worker *worker)
{
    return worker->table;
}

/* ---- beginning and end ---- */

/* A flow of the table needs anchors for its new binding. (struct flow_table_options.missing) */
static bool supply_flow(void *worker, const struct flow_missing *missing)
{
    struct request request = {.kind = REQUEST_MISSING, .missing = *missing};

    return request_send(worker, &request);
}

static int table_new(struct worker *worker, int numa_node)
{
    const struct worker_options *options = &worker->workers->options;
    const uint32_t share = options->walk_share == 0 ? WALK_SHARE : options->walk_share;
    const struct flow_table_options table_options = {
        .lcore = worker->index,
        .flows = options->flows,
        .idle_seconds = options->idle_seconds,
        .budget = FLOW_BUDGET,
        .share = share,
        .tell_share = RTE_MIN(share, (uint32_t)TELL_SHARE),
        .numa_node = numa_node,
        .changed = hold_changed,
        .missing = supply_flow,
        .arg = worker,
    };

    return flow_table_new(worker->workers->sources, &table_options, &worker->table);
}

static struct rte_ring *ring_new(const char *what, unsigned from, unsigned to, unsigned element,
                                 unsigned count)
{
    char name[RTE_RING_NAMESIZE];

    if (snprintf(name, sizeof(name), "%s_%u_%u", what, from, to) >= (int)sizeof(name))
        return NULL;
    return rte_ring_create_elem(name, element, count, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
}

static int rings_new(struct worker *worker)
{
    unsigned index = worker->index;

    worker->requests = ring_new("requests", index, 0, sizeof(struct request), REQUEST_RING);
    worker->orders = ring_new("orders", index, 0, sizeof(struct order), ORDER_RING);
    return worker->requests && worker->orders ? 0 : -ENOMEM;
}

static void wake_subscriber(void *worker)
{
    worker_wake(worker);
}

static void worker_init(struct worker *worker, struct workers *workers, unsigned index)
{
    worker->workers = workers;
    worker->index = index;
    worker->pool = workers->pool;
    worker->hz = rte_get_tsc_hz();
    worker->tsc = rte_rdtsc();
    worker->questions_end = &worker->questions;
    worker->wake_fd = worker->interrupt_fd = -1;
    worker->ip_id = (uint16_t)(index * (UINT16_MAX / WORKERS_MAX)); /* workers give out others */
    worker->subscriber = ns_store_subscriber(workers->store, index);
    for (unsigned i = 0; i < LINK_PORTS_MAX; i++)
        worker->views[i].out = OUT_NONE;
}

int worker_new(struct workers *workers, unsigned index, int numa_node, struct worker **out)
{
    struct worker *worker =
        rte_zmalloc_socket("worker", sizeof(*worker), RTE_CACHE_LINE_SIZE, numa_node);
    int error;

    if (worker == NULL)
        return -ENOMEM;
    worker_init(worker, workers, index);
    if ((error = rings_new(worker)) != 0 || (error = hold_new(worker, numa_node)) != 0 ||
        (error = sleep_new(worker)) != 0 || (error = table_new(worker, numa_node)) != 0) {
        worker_free(worker);
        return error;
    }
    error = workers->options.log_moves ? moves_new(worker, numa_node) : 0;
    if (error != 0) {
        worker_free(worker);
        return error;
    }
    worker->subscriber->wake_arg = worker;
    worker->subscriber->wake = wake_subscriber;
    *out = worker;
    return 0;
}

static void ring_drain_packets(struct rte_ring *ring)
{
    void *mbuf;

    while (ring != NULL && rte_ring_sc_dequeue(ring, &mbuf) == 0)
        rte_pktmbuf_free(mbuf);
    rte_ring_free(ring);
}

/* Packets in the rings belong to nobody else now. Questions belong to their askers. */
static void rings_free(struct worker *worker)
{
    struct request request;
    struct order order;

    while (worker->requests &&
           rte_ring_sc_dequeue_elem(worker->requests, &request, sizeof(request)) == 0) {
        if (request.kind == REQUEST_PACKET)
            rte_pktmbuf_free(request.packet);
    }
    while (worker->orders && rte_ring_sc_dequeue_elem(worker->orders, &order, sizeof(order)) == 0) {
        if (order.kind == ORDER_SEND)
            rte_pktmbuf_free(order.packet);
    }
    rte_ring_free(worker->requests);
    rte_ring_free(worker->orders);
}

void worker_free(struct worker *worker)
{
    if (worker == NULL)
        return;
    worker->subscriber->wake = NULL;
    for (unsigned i = 0; i < OUTS; i++)
        rte_pktmbuf_free_bulk(worker->outs[i].mbufs, worker->outs[i].count);
    if (worker->table != NULL)
        flow_table_free(worker->table);
    sleep_free(worker);
    hold_free(worker);
    moves_free(worker);
    rings_free(worker);
    rte_free(worker);
}

static int worker_main(void *arg)
{
    struct worker *worker = arg;

    ns_rcu_register();
    prctl(PR_SET_TIMERSLACK, 1UL); /* naps end when they should */
    while (!atomic_load_explicit(&worker->stop, memory_order_relaxed)) {
        if (worker_round(worker))
            worker->idle_since = 0;
        else
            worker_idle(worker);
    }
    ns_rcu_unregister();
    return 0;
}

static void options_complete(struct workers *workers)
{
    struct worker_options *options = &workers->options;

    if (options->sleep_after_us == 0)
        options->sleep_after_us = 100;
    if (options->nap_us == 0)
        options->nap_us = 250;
    if (options->hold_packets == 0)
        options->hold_packets = 64;
    if (options->hold_total == 0)
        options->hold_total = RTE_MAX(workers->pool->size / 8 / workers->count, 1u);
    if (options->hold_seconds == 0)
        options->hold_seconds = 10;
    if (options->icmp_per_second == 0)
        options->icmp_per_second = 1000;
}

/* From each worker to each other. */
static int rings_between(const char *what, unsigned workers, worker_rings rings)
{
    for (unsigned from = 0; from < workers; from++) {
        for (unsigned to = 0; to < workers; to++) {
            if (from == to)
                continue;
            rings[from][to] = ring_new(what, from, to, sizeof(void *), BETWEEN_RING);
            if (rings[from][to] == NULL)
                return -ENOMEM;
        }
    }
    return 0;
}

int workers_new(struct workers *workers, const unsigned *lcores, unsigned count)
{
    int error;

    if (count == 0 || count > WORKERS_MAX)
        return -EINVAL;
    workers->count = count;
    options_complete(workers);
    error = rings_between("between", count, workers->between);
    if (error == 0)
        error = rings_between("spread", count, workers->spread);
    for (unsigned i = 0; i < count && error == 0; i++) {
        error = worker_new(workers, i, (int)rte_lcore_to_socket_id(lcores[i]), &workers->worker[i]);
        if (error == 0)
            workers->worker[i]->lcore = lcores[i];
    }
    if (error != 0)
        workers_free(workers);
    return error;
}

int workers_start(struct workers *workers, const unsigned *lcores, unsigned count)
{
    int error = workers_new(workers, lcores, count);

    for (unsigned i = 0; i < count && error == 0; i++) {
        struct worker *worker = workers->worker[i];

        error = rte_eal_remote_launch(worker_main, worker, worker->lcore);
        worker->launched = error == 0;
    }
    if (error != 0 && workers->count > 0) {
        workers_stop(workers);
        workers_free(workers);
    }
    return error;
}

void workers_stop(struct workers *workers)
{
    for (unsigned i = 0; i < workers->count; i++) {
        atomic_store(&workers->worker[i]->stop, true);
        worker_wake(workers->worker[i]);
    }
    for (unsigned i = 0; i < workers->count; i++) {
        if (workers->worker[i]->launched)
            rte_eal_wait_lcore(workers->worker[i]->lcore);
        NS_TSAN_ACQUIRE(); /* what it did before ns_rcu_unregister() */
        workers->worker[i]->launched = false;
    }
}

void workers_free(struct workers *workers)
{
    for (unsigned i = 0; i < workers->count; i++) {
        worker_free(workers->worker[i]);
        workers->worker[i] = NULL;
        for (unsigned to = 0; to < workers->count; to++) {
            ring_drain_packets(workers->between[i][to]);
            ring_drain_packets(workers->spread[i][to]);
            workers->between[i][to] = workers->spread[i][to] = NULL;
        }
    }
    workers->count = 0;
}
