/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ports: from what is committed to what is open.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rte_ethdev.h>
#include <rte_hash_crc.h>

#include "dataplane/netlink.h"
#include "dataplane/port_p.h"
#include "nameserv/log.h"

#define MS UINT64_C(1000000)

enum { RETRY_FIRST_MS = 250, RETRY_MOST_MS = 5000, LINK_POLL_MS = 1000 };

static void open_done(struct device_job *job);
static void close_done(struct device_job *job);
static void change_done(struct device_job *job);

/* ---- steps ---- */

static struct device_job *prepare(struct port *port, enum device_job_kind kind,
                                  void (*done)(struct device_job *job))
{
    port->job.kind = kind;
    port->job.id = port->id;
    port->job.mtu = port->mtu;
    port->job.done = done;
    port->job.arg = port;
    port->job.next = NULL;
    port->busy = true;
    return &port->job;
}

static void submit(struct port *port, enum device_job_kind kind,
                   void (*done)(struct device_job *job))
{
    devices_submit(port->ports->devices, prepare(port, kind, done));
}

/* The value of an argument of the device, as in "net_af_packet0,iface=veth0". */
static void argument_of(const char *devargs, const char *key, char *value, size_t size)
{
    size_t key_size = strlen(key);

    value[0] = '\0';
    for (const char *comma = strchr(devargs, ','); comma != NULL; comma = strchr(comma + 1, ',')) {
        if (strncmp(comma + 1, key, key_size) == 0 && comma[1 + key_size] == '=') {
            const char *text = comma + 2 + key_size;

            snprintf(value, size, "%.*s", (int)strcspn(text, ","), text);
        }
    }
}

/* Which interface of the kernel is behind the device. */
static void find_interface(struct port *port)
{
    const char *name = strncmp(port->devargs, "vdev:", 5) == 0 ? port->devargs + 5 : port->devargs;

    port->makes_interface = strncmp(name, "net_tap", 7) == 0;
    port->interface[0] = '\0';
    if (port->makes_interface || strncmp(name, "net_af_", 7) == 0)
        argument_of(port->devargs, "iface", port->interface, sizeof(port->interface));
}

static void start_opening(struct port *port, const struct port_wanted *wanted)
{
    port->job.again =
        strcmp(port->devargs, wanted->devargs) == 0 && port_has_error(port, port->job.reason);
    memcpy(port->devargs, wanted->devargs, sizeof(port->devargs));
    port->mtu = wanted->mtu;
    port->serving = wanted->serving;
    port->queues = wanted->queues;
    port->vanished = false;
    find_interface(port);
    memcpy(port->job.devargs, port->devargs, sizeof(port->devargs));
    snprintf(port->job.interface, sizeof(port->job.interface), "%s",
             port->makes_interface ? "" : port->interface);
    port->job.watched = port->interface[0] != '\0';
    port->job.queues = (uint16_t)port->queues;
    port->job.workers = (uint16_t)port->ports->workers->count;
    port->state = PORT_OPENING;
    submit(port, DEVICE_OPEN, open_done);
}

static void wake_workers(const struct ports *ports)
{
    for (unsigned i = 0; i < ports->workers->count; i++)
        worker_wake(ports->workers->worker[i]);
}

/* Take it away from the workers; why: what is wrong, or NULL. */
static void start_draining(struct port *port, const char *why)
{
    port_report_closed(port, why);
    port->drained_at = ns_store_version(port->ports->store)->number;
    port->marked = false;
    port->state = PORT_DRAINING;
}

/* A worker that sleeps is woken, so that it lets go of the device by itself. */
static bool all_have_seen(const struct ports *ports, uint64_t version)
{
    for (unsigned i = 0; i < ports->workers->count; i++)
        if (atomic_load(&ns_store_subscriber(ports->store, i)->seen) < version)
            return false;
    return true;
}

/* Does no worker know the device, and speaks nothing in their rings of it? A frame of this device must not be taken for
 * one of the next that has its id. */
static bool is_drained(struct port *port)
{
    struct workers *workers = port->ports->workers;

    if (!port->marked && all_have_seen(port->ports, port->drained_at)) {
        workers_mark(workers, &port->mark);
        port->marked = true;
    }
    return port->marked && workers_passed(workers, &port->mark);
}

static void drain(struct port *port)
{
    if (!is_drained(port)) {
        wake_workers(port->ports);
    } else if (!port->busy) {
        port->before = port_counters_of(port);
        port->state = PORT_CLOSING;
        submit(port, DEVICE_CLOSE, close_done);
    }
}

static void retry_later(struct port *port)
{
    port->state = PORT_FAILED;
    ns_timer_start(port->ports->loop, &port->retry, port->retry_ms * MS);
    port->retry_ms = RTE_MIN(port->retry_ms * 2, (unsigned)RETRY_MOST_MS);
}

static void retry_now(struct port *port)
{
    ns_timer_stop(port->ports->loop, &port->retry);
    port->state = PORT_CLOSED;
    port->ports->dirty = true;
}

static void retry_fired(struct ns_timer *timer)
{
    retry_now(RTE_PTR_SUB(timer, offsetof(struct port, retry)));
}

static void follow_link(struct port *port, bool up)
{
    if (up == port->up)
        return;
    port->up = up;
    ns_log(NS_LOG_INFO, "port %s: link %s", port->name, up ? "up" : "down");
    port_report_link(port);
}

/* An open port that shall stay so. */
static void follow_mtu(struct port *port, uint16_t mtu)
{
    if (port->busy || port->mtu == mtu)
        return;
    port->mtu = mtu;
    submit(port, DEVICE_MTU, change_done);
}

/* Workers share what comes through the same queues in another way as soon as the links say so; a device
 * that is to have other queues is opened anew. */
static void follow_queues(struct port *port, const struct port_wanted *wanted)
{
    bool other = port->queues != wanted->queues && port->job.rx_follows;

    port->serving = wanted->serving;
    port->queues = wanted->queues;
    if (other)
        start_draining(port, NULL);
}

static void follow(struct port *port, const struct port_wanted *wanted)
{
    follow_mtu(port, wanted->mtu);
    follow_queues(port, wanted);
}

static void step(struct port *port)
{
    struct port_wanted wanted = port_wanted(port);
    bool same = wanted.wanted && strcmp(wanted.devargs, port->devargs) == 0;

    switch (port->state) {
    case PORT_CLOSED:
        if (wanted.wanted)
            start_opening(port, &wanted);
        break;
    case PORT_OPEN: /* a port that was removed and added again has lost its id */
        if (same && wanted.id == port->id)
            follow(port, &wanted);
        else
            start_draining(port, NULL);
        break;
    case PORT_FAILED:
        if (!same || wanted.mtu != port->mtu) {
            port->retry_ms = RETRY_FIRST_MS;
            retry_now(port);
        }
        break;
    case PORT_DRAINING: drain(port); break;
    case PORT_OPENING:
    case PORT_CLOSING: break; /* the job will come back */
    }
}

/* ---- jobs come back ---- */

/* The worker with the fewest ports. */
static unsigned choose_worker(const struct ports *ports)
{
    unsigned load[WORKERS_MAX] = {0}, best = 0;

    for (const struct port *port = ports->first; port != NULL; port = port->next)
        if (port->state == PORT_OPEN)
            load[port->worker]++;
    for (unsigned i = 1; i < ports->workers->count; i++)
        if (load[i] < load[best])
            best = i;
    return best;
}

/* It is tried again and again; the same reason is told once. */
static void failed_to_open(struct port *port)
{
    retry_later(port);
    if (port_has_error(port, port->job.reason))
        return;
    ns_log(NS_LOG_WARNING, "port %s: %s", port->name, port->job.reason);
    port_report_closed(port, port->job.reason);
}

/* Its own address; or one made of its name, locally administered, if it has none. That of a tap is
 * also the address of the kernel's end, which is somebody else. */
static void choose_mac(struct port *port)
{
    uint64_t hash = rte_cpu_to_le_64(rte_hash_crc(port->name, (uint32_t)strlen(port->name), 0));

    port->mac = port->job.mac;
    if (rte_is_valid_assigned_ether_addr(&port->mac) && !port->makes_interface)
        return;
    port->mac = (struct rte_ether_addr){.addr_bytes = {0x02, 0x6b}};
    memcpy(&port->mac.addr_bytes[2], &hash, 4);
}

/* The state of its link, and which interface it was that was opened. */
static void look_at_link(struct port *port)
{
    struct netlink_state interface;

    port->up = port->job.up;
    if (port->interface[0] == '\0')
        return;
    interface = netlink_interface(port->interface);
    port->interface_index = interface.index;
    port->up = interface.up;
}

static void open_done(struct device_job *job)
{
    struct port *port = job->arg;

    port->busy = false;
    port->ports->dirty = true;
    if (job->error < 0) {
        failed_to_open(port);
        return;
    }
    port->id = job->id;
    port->worker = choose_worker(port->ports);
    port->base = port_counters_by_id(port->ports, port->id);
    port->state = PORT_OPEN;
    choose_mac(port);
    look_at_link(port);
    ns_log(NS_LOG_INFO,
           "port %s: %s is open as device %u, %u workers from %u on serve it by %u receive and %u "
           "transmit queues, link %s",
           port->name, port->devargs, port->id, port->serving, port->worker, job->rx_queues,
           job->tx_queues, port->up ? "up" : "down");
    port->vanished = port_report_open(port) < 0;
    if (port->vanished) {
        /* No worker has ever seen it: close it, and try again if it is still wanted. */
        port->drained_at = 0;
        port->marked = false;
        port->state = PORT_DRAINING;
    } else {
        port->retry_ms = RETRY_FIRST_MS;
        wake_workers(port->ports); /* no frame of this port can yet */
    }
}

static void close_done(struct device_job *job)
{
    struct port *port = job->arg;

    port->busy = false;
    port->ports->dirty = true;
    port->state = PORT_CLOSED;
    ns_log(NS_LOG_INFO, "port %s: device %u is closed", port->name, port->id);
    if (port->vanished)
        retry_later(port);
}

/* MTU and LINK. */
static void change_done(struct device_job *job)
{
    struct port *port = job->arg;

    port->busy = false;
    port->ports->dirty = true; /* it may wait for just this */
    if (port->state != PORT_OPEN)
        return;
    if (job->kind == DEVICE_LINK)
        follow_link(port, job->up);
    else
        port_report_error(port, job->error < 0 ? job->reason : NULL);
}

/* ---- link states, and devices that vanish ---- */

static void vanish(struct port *port, const char *what)
{
    char why[DEVICE_REASON_MAX];

    snprintf(why, sizeof(why), "%s is gone; the port opens again when it comes back", what);
    ns_log(NS_LOG_WARNING, "port %s: %s", port->name, why);
    port->vanished = true;
    port->ports->dirty = true;
    start_draining(port, why);
}

static void look_at_interface(struct port *port)
{
    struct netlink_state interface = netlink_interface(port->interface);
    char what[IF_NAMESIZE + 32];

    if (port->state == PORT_OPEN && interface.index != port->interface_index) {
        snprintf(what, sizeof(what), "the interface %s", port->interface);
        vanish(port, what);
    } else if (port->state == PORT_OPEN) {
        follow_link(port, interface.up);
    } else if (port->state == PORT_FAILED && interface.index != 0 && !port->makes_interface) {
        port->retry_ms = RETRY_FIRST_MS;
        retry_now(port);
    }
}

void ports_interface_changed(void *arg, const char *interface)
{
    struct ports *ports = arg;

    for (struct port *port = ports->first; port != NULL; port = port->next)
        if (port->interface[0] != '\0' &&
            (interface == NULL || strcmp(interface, port->interface) == 0))
            look_at_interface(port);
}

/* Devices that don't announce changes are asked each second, others when they do. */
static void link_timer_fired(struct ns_timer *timer)
{
    struct ports *ports = RTE_PTR_SUB(timer, offsetof(struct ports, link_timer));

    for (struct port *port = ports->first; port != NULL; port = port->next)
        if (port->state == PORT_OPEN && port->interface[0] == '\0' && !port->job.announces)
            port->ask_link = true;
    ns_timer_start(ports->loop, timer, LINK_POLL_MS * MS);
}

static void take_announcements(struct ports *ports)
{
    uint32_t changed = devices_changed(ports->devices), gone = devices_gone(ports->devices);

    for (struct port *port = ports->first; (changed | gone) != 0 && port != NULL;
         port = port->next) {
        if (port->state != PORT_OPEN)
            continue;
        if (gone & UINT32_C(1) << port->id)
            vanish(port, "the device");
        else if (changed & UINT32_C(1) << port->id)
            port->ask_link = true;
    }
}

static void ask_links(struct ports *ports)
{
    for (struct port *port = ports->first; port != NULL; port = port->next) {
        if (port->state == PORT_OPEN && port->ask_link && !port->busy) {
            port->ask_link = false;
            submit(port, DEVICE_LINK, change_done);
        }
    }
}

/* ---- the list of ports ---- */

struct port **port_place(struct ports *ports, const char *name)
{
    struct port **place = &ports->first;

    while (*place != NULL && strcmp((*place)->name, name) < 0)
        place = &(*place)->next;
    return place;
}

static int add_port(const struct ns_entry *entry, void *arg)
{
    struct ports *ports = arg;
    struct port **place = port_place(ports, ns_entry_name(entry));
    struct port *port;

    if (*place != NULL && strcmp((*place)->name, ns_entry_name(entry)) == 0)
        return 0;
    port = calloc(1, sizeof(*port));
    if (port == NULL)
        return -ENOMEM;
    snprintf(port->name, sizeof(port->name), "%s", ns_entry_name(entry));
    port->ports = ports;
    port->retry.fn = retry_fired;
    port->retry_ms = RETRY_FIRST_MS;
    port->next = *place;
    *place = port;
    return 0;
}

static void remove_port(struct port **place)
{
    struct port *port = *place;

    ns_timer_stop(port->ports->loop, &port->retry);
    *place = port->next;
    free(port);
}

static void reconcile(struct ports *ports)
{
    const struct ns_entry *root = ns_tree_lookup(ns_store_version(ports->store)->root, "/port", 5);

    ports->dirty = false;
    if (root != NULL && ns_entry_each(root, add_port, ports) < 0)
        ports->dirty = true; /* without memory: next time */
    for (struct port **place = &ports->first; *place != NULL;) {
        step(*place);
        if ((*place)->state == PORT_CLOSED && !port_wanted(*place).wanted)
            remove_port(place);
        else
            place = &(*place)->next;
    }
}

static bool drain_all(struct ports *ports)
{
    bool waits = false;

    for (struct port *port = ports->first; port != NULL; port = port->next) {
        if (port->state == PORT_DRAINING) {
            drain(port);
            waits = true;
        }
    }
    return waits;
}

bool ports_poll(struct ports *ports)
{
    devices_poll(ports->devices);
    take_announcements(ports);
    if (ports->dirty)
        reconcile(ports);
    ask_links(ports);
    return drain_all(ports) || ports->dirty;
}

bool ports_settled(const struct ports *ports)
{
    for (const struct port *port = ports->first; port != NULL; port = port->next)
        if (port->state != PORT_OPEN && port->state != PORT_FAILED)
            return false;
    return !ports->dirty;
}

/* ---- beginning and end ---- */

static void watch_fired(struct ns_watch *watch, const char *path, size_t path_size)
{
    struct ports *ports = RTE_PTR_SUB(watch, offsetof(struct ports, watch));

    (void)path, (void)path_size;
    ports->dirty = true;
}

int ports_new(struct ns_store *store, struct ns_loop *loop, int links_slot, struct devices *devices,
              struct workers *workers, struct ports **out)
{
    struct ports *ports = calloc(1, sizeof(*ports));
    int error;

    if (ports == NULL)
        return -ENOMEM;
    *ports = (struct ports){.store = store,
                            .loop = loop,
                            .links_slot = links_slot,
                            .devices = devices,
                            .workers = workers,
                            .dirty = true};
    ports->watch.fire = watch_fired;
    ports->watch.who = &ns_identity_stack;
    ports->link_timer.fn = link_timer_fired;
    error = ns_watch_add(store, &ports->watch, "/port");
    if (error == 0) {
        error = ns_timer_start(loop, &ports->link_timer, LINK_POLL_MS * MS);
        if (error < 0)
            ns_watch_remove(store, &ports->watch);
    }
    if (error < 0) {
        free(ports);
        return error;
    }
    *out = ports;
    return 0;
}

/* Close what can be closed; true when nothing is left open. */
static bool close_some(struct ports *ports)
{
    struct device_job *jobs = NULL;
    bool all = true;

    devices_poll(ports->devices);
    for (struct port *port = ports->first; port != NULL; port = port->next) {
        if ((port->state == PORT_OPEN || port->state == PORT_DRAINING) && !port->busy) {
            struct device_job *job = prepare(port, DEVICE_CLOSE, close_done);

            port->state = PORT_CLOSING;
            job->next = jobs;
            jobs = job;
        }
        all = all && (port->state == PORT_CLOSED || port->state == PORT_FAILED);
    }
    devices_submit(ports->devices, jobs);
    return all;
}

bool ports_close(struct ports *ports, unsigned timeout_ms)
{
    const struct timespec pause = {.tv_nsec = (long)MS};
    bool closed = close_some(ports);

    for (unsigned ms = 0; !closed && ms < timeout_ms; ms++) {
        nanosleep(&pause, NULL);
        closed = close_some(ports);
    }
    return closed;
}

void ports_free(struct ports *ports)
{
    ns_watch_remove(ports->store, &ports->watch);
    ns_timer_stop(ports->loop, &ports->link_timer);
    while (ports->first != NULL)
        remove_port(&ports->first);
    free(ports);
}
