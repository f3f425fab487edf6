/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The device thread, and what it does with ethdev.
 */
#define ALLOW_EXPERIMENTAL_API /* rte_devargs_reset(), which frees what rte_devargs_parse() made */
#include "dataplane/device.h"

#include <errno.h>
#include <net/if.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <rte_bus.h>
#include <rte_dev.h>
#include <rte_devargs.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_ring.h>

#include "dataplane/fanout.h"
#include "dataplane/eal.h"
#include "dataplane/queues.h"
#include "dataplane/xdp_sockets.h"
#include "nameserv/log.h"

enum {
    RING_PAIRS = 16 /* net_ring's */,
    RX_DESCRIPTORS = 1024,
    TX_DESCRIPTORS = 1024,
    OWN_BUFFERS = 6143, /* of a queue: 2048 to be filled, 2048 to be sent, bursts, caches */
    FRAME_OVERHEAD = RTE_ETHER_HDR_LEN + RTE_VLAN_HLEN
};

struct job_queue {
    struct device_job *first, **end;
};

struct devices {
    struct rte_mempool *pool;
    void (*wake)(void *arg);
    void *arg;
    pthread_t thread;
    pthread_mutex_t lock; /* of the queues and stop */
    pthread_cond_t work;
    struct job_queue submitted, finished;
    bool stop;
    struct xdp_sockets sockets[RTE_MAX_ETHPORTS];    /* by device id; the device thread's */
    struct rte_mempool *own_pools[RTE_MAX_ETHPORTS]; /* likewise; see pool_for() */
    _Atomic uint32_t changed, gone; /* device ids, set by DPDK's interrupt thread */
};

int device_failed(struct device_job *job, int error, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(job->reason, sizeof(job->reason), format, arguments);
    va_end(arguments);
    return -(error > 0 ? error : EIO);
}

/* ---- events, on DPDK's interrupt thread ---- */

static int link_event(uint16_t id, enum rte_eth_event_type event, void *arg, void *answer)
{
    struct devices *devices = arg;

    (void)answer;
    atomic_fetch_or(event == RTE_ETH_EVENT_INTR_RMV ? &devices->gone : &devices->changed,
                    UINT32_C(1) << id);
    devices->wake(devices->arg);
    return 0;
}

/* ---- opening ---- */

static uint16_t find_device(const char *name)
{
    struct rte_eth_dev_info info;
    uint16_t id;

    RTE_ETH_FOREACH_DEV (id) {
        if (rte_eth_dev_info_get(id, &info) == 0 && info.device != NULL &&
            strcmp(rte_dev_name(info.device), name) == 0)
            return id;
    }
    return UINT16_MAX;
}

/* What else a user can do about a device that does not open. */
static const char *advice(void)
{
    return geteuid() == 0
               ? "DPDK's own words are in the log"
               : "this user may lack the right: kedged wants CAP_NET_RAW and CAP_NET_ADMIN for "
                 "interfaces of the kernel";
}

/* The device's name in the devargs, checked as far as it can be before probing. */
static int check_devargs(struct device_job *job, char *name, size_t size)
{
    struct rte_devargs devargs = {.bus = NULL};

    if (rte_devargs_parse(&devargs, job->devargs) < 0)
        return device_failed(
            job, ENODEV,
            "no driver takes '%s'; right would be a PCI address, or a name like "
            "net_af_packet0, net_af_xdp0, net_tap0, net_pcap0, net_ring0 or net_null0 followed by "
            "its arguments",
            job->devargs);
    snprintf(name, size, "%s", devargs.name);
    rte_devargs_reset(&devargs);
    if (find_device(name) != UINT16_MAX)
        return device_failed(
            job, EEXIST,
            "the device %s is in use by another port; give each port a device of its "
            "own, by another number at the end of its name",
            name);
    if (job->interface[0] == '\0' && strncmp(name, "net_af_", 7) == 0)
        return device_failed(job, EINVAL,
                             "'%s' does not say which interface of the kernel it is to use; "
                             "%s,iface=eth1 would",
                             job->devargs, name);
    if (job->interface[0] != '\0' && if_nametoindex(job->interface) == 0)
        return device_failed(job, ENODEV,
                             "there is no interface '%s' here; the port opens when it appears",
                             job->interface);
    return 0;
}

static int probe(struct device_job *job)
{
    char name[RTE_DEV_NAME_MAX_LEN];
    int error = check_devargs(job, name, sizeof(name));

    if (error < 0)
        return error;
    error = rte_dev_probe(job->devargs);
    if (error < 0) /* many drivers answer -1 for anything */
        return device_failed(job, error == -1 ? EIO : -error,
                             "the device '%s' does not open (%s); %s", job->devargs,
                             error == -1 ? "its driver refuses" : rte_strerror(-error), advice());
    job->id = find_device(name);
    if (job->id == UINT16_MAX)
        return device_failed(job, ENODEV, "'%s' is a device, but not one that packets go through",
                             job->devargs);
    return 0;
}

/* Interrupts are asked for and given up if the driver refuses: the worker polls such a port. */
static int configure(struct device_job *job, const struct rte_eth_dev_info *info)
{
    struct rte_eth_conf conf = {
        .rxmode.offloads = info->rx_offload_capa & RTE_ETH_RX_OFFLOAD_IPV4_CKSUM,
        .intr_conf = {.rxq = 1, .lsc = job->announces},
    };
    int error = queues_choose(job, info);

    if (error < 0)
        return error;
    queues_spread(job, info, &conf);
    error = rte_eth_dev_configure(job->id, job->rx_queues, job->tx_queues, &conf);
    if (error < 0) {
        conf.intr_conf.rxq = 0;
        error = rte_eth_dev_configure(job->id, job->rx_queues, job->tx_queues, &conf);
    }
    if (error < 0)
        return device_failed(job, -error, "the device can't be configured: %s; %s",
                             rte_strerror(-error), advice());
    return 0;
}

/* The driver net_af_xdp never gives back the buffers that are in the kernel's hands when its device is
 * closed, or fails to open, and it is tried again and again. So each such device has a pool of its own, that goes
 * with it. Workers copy what they receive, and the driver what it sends, so nothing else is in it. */
static struct rte_mempool *pool_for(struct devices *devices, uint16_t id, const char *driver)
{
    char name[RTE_MEMPOOL_NAMESIZE];

    if (strcmp(driver, "net_af_xdp") != 0)
        return devices->pool;
    snprintf(name, sizeof(name), "device-%u", id);
    devices->own_pools[id] = eal_make_pool(name, OWN_BUFFERS);
    return devices->own_pools[id];
}

static int set_up_queues(struct device_job *job, struct rte_mempool *pool)
{
    uint16_t rx = RX_DESCRIPTORS, tx = TX_DESCRIPTORS;
    int socket = rte_eth_dev_socket_id(job->id), error;

    if (pool == NULL)
        return device_failed(job, ENOMEM,
                             "no memory for %d packet buffers of its own; --memory allows for more",
                             OWN_BUFFERS);
    error = rte_eth_dev_adjust_nb_rx_tx_desc(job->id, &rx, &tx);
    for (uint16_t queue = 0; error == 0 && queue < job->rx_queues; queue++)
        error = rte_eth_rx_queue_setup(job->id, queue, rx, (unsigned)socket, NULL, pool);
    for (uint16_t queue = 0; error == 0 && queue < job->tx_queues; queue++)
        error = rte_eth_tx_queue_setup(job->id, queue, tx, (unsigned)socket, NULL);
    if (error < 0)
        return device_failed(job, -error, "the device's queues can't be set up: %s; %s",
                             rte_strerror(-error), advice());
    return 0;
}

/* Devices without a notion of it take what comes; then the stack alone keeps to the limit. */
static int set_mtu(struct device_job *job, struct rte_mempool *pool)
{
    unsigned most = rte_pktmbuf_data_room_size(pool) - RTE_PKTMBUF_HEADROOM - FRAME_OVERHEAD;
    uint16_t now = 0;
    int error;

    if (job->mtu > most)
        return device_failed(job, EINVAL,
                             "an mtu of %u does not fit into a packet buffer; %u is the most",
                             job->mtu, most);
    if (rte_eth_dev_get_mtu(job->id, &now) == 0 && now == job->mtu)
        return 0;
    error = rte_eth_dev_set_mtu(job->id, job->mtu);
    if (error < 0 && error != -ENOTSUP)
        return device_failed(job, -error, "the device refuses an mtu of %u: %s; it has %u",
                             job->mtu, rte_strerror(-error), now);
    return 0;
}

static void ask_link(struct device_job *job)
{
    struct rte_eth_link link = {.link_status = RTE_ETH_LINK_DOWN};

    job->up = rte_eth_link_get_nowait(job->id, &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
}

/* Promiscuous: a bridge wants every frame, and an interface may have another address than its port.
 * */
static int start(struct devices *devices, struct device_job *job)
{
    int error;

    if (job->announces)
        rte_eth_dev_callback_register(job->id, RTE_ETH_EVENT_INTR_LSC, link_event, devices);
    rte_eth_dev_callback_register(job->id, RTE_ETH_EVENT_INTR_RMV, link_event, devices);
    error = rte_eth_dev_start(job->id);
    if (error < 0)
        return device_failed(job, -error, "the device does not start: %s; %s", rte_strerror(-error),
                             advice());
    error = rte_eth_promiscuous_enable(job->id);
    if (error < 0 && error != -ENOTSUP)
        return device_failed(job, -error,
                             "the device does not take all frames (promiscuous mode): %s; %s",
                             rte_strerror(-error), advice());
    queues_share(job);
    rte_eth_dev_set_link_up(job->id); /* most know no such thing */
    rte_eth_macaddr_get(job->id, &job->mac);
    ask_link(job);
    return 0;
}

/* ---- closing ---- */

static struct rte_ring *ring_of(const char *device, unsigned i)
{
    char name[RTE_RING_NAMESIZE];
    int size = snprintf(name, sizeof(name), "ETH_RXTX%u_%s", i, device);

    return size < (int)sizeof(name) ? rte_ring_lookup(name) : NULL;
}

/* The driver net_ring frees no packets that are still in a ring. */
static void empty_rings(const char *device)
{
    void *mbuf;

    for (unsigned i = 0; i < RING_PAIRS; i++) {
        struct rte_ring *ring = ring_of(device, i);

        while (ring != NULL && rte_ring_dequeue(ring, &mbuf) == 0)
            rte_pktmbuf_free(mbuf);
    }
}

/* It makes more rings than a device has queues, and frees those of the queues only; by their names they
 * would be in the way of the next device of the same name. */
static void free_rings(const char *device)
{
    for (unsigned i = 0; i < RING_PAIRS; i++)
        rte_ring_free(ring_of(device, i));
}

/* A device that is being closed. */
struct closing {
    uint16_t id;
    bool is_ring;
    struct rte_device *device;
    char name[RTE_DEV_NAME_MAX_LEN];
    pthread_t thread;
    bool threaded;
};

static void begin_closing(struct devices *devices, struct closing *closing, uint16_t id)
{
    struct rte_eth_dev_info info = {.device = NULL};

    *closing = (struct closing){.id = id};
    if (rte_eth_dev_info_get(id, &info) == 0 && info.device != NULL)
        snprintf(closing->name, sizeof(closing->name), "%s", rte_dev_name(info.device));
    closing->device = info.device;
    closing->is_ring = strncmp(closing->name, "net_ring", 8) == 0;
    rte_eth_dev_callback_unregister(id, RTE_ETH_EVENT_INTR_LSC, link_event, devices);
    rte_eth_dev_callback_unregister(id, RTE_ETH_EVENT_INTR_RMV, link_event, devices);
}

/* What may be slow, and may run for several devices at the same time: ethdev's functions for different
 * ports are independent of each other. */
static void *shut(void *arg)
{
    struct closing *closing = arg;

    rte_eth_dev_stop(closing->id);
    if (closing->is_ring)
        empty_rings(closing->name);
    rte_eth_dev_close(closing->id);
    return NULL;
}

static void end_closing(struct devices *devices, struct closing *closing)
{
    uint16_t id = closing->id;
    int error = closing->device != NULL ? rte_dev_remove(closing->device) : 0;

    if (error < 0)
        ns_log(NS_LOG_WARNING, "device %u: DPDK does not let it go: %s", id, rte_strerror(-error));
    xdp_sockets_close(&devices->sockets[id]);
    rte_mempool_free(devices->own_pools[id]);
    devices->own_pools[id] = NULL;
    if (closing->is_ring)
        free_rings(closing->name);
}

static void close_device(struct devices *devices, uint16_t id)
{
    struct closing closing;

    begin_closing(devices, &closing, id);
    shut(&closing);
    end_closing(devices, &closing);
}

static void close_devices(struct devices *devices, const struct device_job *jobs)
{
    struct closing closing[RTE_MAX_ETHPORTS];
    unsigned count = 0;

    for (; jobs != NULL; jobs = jobs->next) {
        struct closing *one = &closing[count++];

        begin_closing(devices, one, jobs->id);
        one->threaded = jobs->next != NULL && pthread_create(&one->thread, NULL, shut, one) == 0;
        if (!one->threaded)
            shut(one);
    }
    for (unsigned i = 0; i < count; i++) {
        if (closing[i].threaded)
            pthread_join(closing[i].thread, NULL);
        end_closing(devices, &closing[i]);
    }
}

static int start_device(struct devices *devices, struct device_job *job)
{
    struct rte_eth_dev_info info;
    int error = rte_eth_dev_info_get(job->id, &info);

    if (error < 0)
        return device_failed(job, -error, "the device says nothing about itself: %s",
                             rte_strerror(-error));
    job->announces = !job->watched && (*info.dev_flags & RTE_ETH_DEV_INTR_LSC) != 0;
    error = configure(job, &info);
    if (error == 0)
        error = set_up_queues(job, pool_for(devices, job->id, info.driver_name));
    if (error == 0)
        error = set_mtu(job, devices->pool);
    return error == 0 ? start(devices, job) : error;
}

static int open_device(struct devices *devices, struct device_job *job)
{
    struct xdp_sockets before, *sockets;
    int error = probe(job);

    if (error < 0)
        return error;
    sockets = &devices->sockets[job->id];
    xdp_sockets_find(&before);
    error = start_device(devices, job);
    xdp_sockets_find(sockets);
    xdp_sockets_subtract(sockets, &before);
    if (error < 0)
        close_device(devices, job->id);
    return error;
}

/* ---- the thread ---- */

static void work(struct devices *devices, struct device_job *job)
{
    if (job->kind == DEVICE_CLOSE) {
        close_devices(devices, job);
        return;
    }
    job->error = 0;
    job->reason[0] = '\0';
    switch (job->kind) {
    case DEVICE_OPEN:
        eal_quiet(job->again);
        job->error = open_device(devices, job);
        eal_quiet(false);
        break;
    case DEVICE_CLOSE: break;
    case DEVICE_MTU: job->error = set_mtu(job, devices->pool); break;
    case DEVICE_LINK: ask_link(job); break;
    }
}

static void put(struct job_queue *queue, struct device_job *job)
{
    job->next = NULL;
    *queue->end = job;
    queue->end = &job->next;
}

static struct device_job *take(struct job_queue *queue)
{
    struct device_job *job = queue->first;

    if (job != NULL) {
        queue->first = job->next;
        if (queue->first == NULL)
            queue->end = &queue->first;
    }
    return job;
}

/* The next job; and with one that closes a device, those after it that do as well, linked. */
static struct device_job *take_work(struct job_queue *queue)
{
    struct device_job *job = take(queue), *last = job;

    if (job == NULL)
        return NULL;
    job->next = NULL;
    while (job->kind == DEVICE_CLOSE && queue->first != NULL &&
           queue->first->kind == DEVICE_CLOSE) {
        last->next = take(queue);
        last = last->next;
        last->next = NULL;
    }
    return job;
}

static void put_all(struct job_queue *queue, struct device_job *jobs)
{
    while (jobs != NULL) {
        struct device_job *next = jobs->next;

        put(queue, jobs);
        jobs = next;
    }
}

static void *run(void *arg)
{
    struct devices *devices = arg;

    pthread_mutex_lock(&devices->lock);
    for (;;) {
        struct device_job *job = take_work(&devices->submitted);

        if (job == NULL && devices->stop)
            break;
        if (job == NULL) {
            pthread_cond_wait(&devices->work, &devices->lock);
            continue;
        }
        pthread_mutex_unlock(&devices->lock);
        work(devices, job);
        pthread_mutex_lock(&devices->lock);
        put_all(&devices->finished, job);
        devices->wake(devices->arg);
    }
    pthread_mutex_unlock(&devices->lock);
    return NULL;
}

/* ---- the control core's side ---- */

int devices_start(struct rte_mempool *pool, void (*wake)(void *arg), void *arg,
                  struct devices **out)
{
    struct devices *devices = calloc(1, sizeof(*devices));
    int error;

    if (devices == NULL)
        return -ENOMEM;
    fanout_keep_fragments();
    devices->pool = pool;
    devices->wake = wake;
    devices->arg = arg;
    devices->submitted.end = &devices->submitted.first;
    devices->finished.end = &devices->finished.first;
    pthread_mutex_init(&devices->lock, NULL);
    pthread_cond_init(&devices->work, NULL);
    error = rte_ctrl_thread_create(&devices->thread, "kedge-devices", NULL, run, devices);
    if (error != 0) {
        free(devices);
        return error > 0 ? -error : error;
    }
    *out = devices;
    return 0;
}

bool devices_stop(struct devices *devices, unsigned timeout_ms)
{
    struct timespec until;

    pthread_mutex_lock(&devices->lock);
    devices->stop = true;
    pthread_cond_signal(&devices->work);
    pthread_mutex_unlock(&devices->lock);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    if (pthread_timedjoin_np(devices->thread, NULL, &until) != 0)
        return false;
    devices_poll(devices);
    pthread_cond_destroy(&devices->work);
    pthread_mutex_destroy(&devices->lock);
    free(devices);
    return true;
}

void devices_submit(struct devices *devices, struct device_job *jobs)
{
    pthread_mutex_lock(&devices->lock);
    put_all(&devices->submitted, jobs);
    pthread_cond_signal(&devices->work);
    pthread_mutex_unlock(&devices->lock);
}

unsigned devices_poll(struct devices *devices)
{
    unsigned count = 0;

    for (;; count++) {
        struct device_job *job;

        pthread_mutex_lock(&devices->lock);
        job = take(&devices->finished);
        pthread_mutex_unlock(&devices->lock);
        if (job == NULL)
            return count;
        job->done(job);
    }
}

uint32_t devices_changed(struct devices *devices)
{
    return atomic_load(&devices->changed) == 0 ? 0 : atomic_exchange(&devices->changed, 0);
}

uint32_t devices_gone(struct devices *devices)
{
    return atomic_load(&devices->gone) == 0 ? 0 : atomic_exchange(&devices->gone, 0);
}
