/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The control core's hook.
 */
#include "dataplane/control.h"

#include <stdatomic.h>
#include <string.h>

#include <rte_mbuf.h>

#include "dataplane/stats.h"
#include "nameserv/server.h"

#define US UINT64_C(1000)
#define MS UINT64_C(1000000)

enum { REQUESTS_A_TURN = 32, FRAME_MAX = 2048 };

/* ---- sending ---- */

static void send_by_port(struct control *control, const struct link_port *port, const void *frame,
                         size_t size)
{
    struct order order = {.kind = ORDER_SEND, .port = port->id};
    char *data;

    if (port->id == LINK_NO_ID || !port->up || port->lcore >= control->workers.count) {
        control->counters.send_down++;
        return;
    }
    order.packet = rte_pktmbuf_alloc(control->pool);
    data = order.packet != NULL ? rte_pktmbuf_append(order.packet, (uint16_t)size) : NULL;
    if (data != NULL) {
        memcpy(data, frame, size);
        if (worker_order(control->workers.worker[port->lcore], &order) == 0) {
            control->counters.sent++;
            return;
        }
    }
    rte_pktmbuf_free(order.packet);
    control->counters.send_failed++;
}

/* The port of the bridge behind which the station is; NULL if that is not known. */
static const struct link_port *station_port(struct control *control, const struct links *links,
                                            const struct link_bridge *bridge,
                                            const struct rte_ether_addr *mac)
{
    char path[NS_PATH_MAX + 1], name[LINK_NAME_MAX];
    const struct ns_entry *entry;
    bool is_static;

    station_path(bridge->name, mac, path, sizeof(path));
    entry = ns_tree_lookup(ns_store_version(control->store)->root, path, strlen(path));
    if (entry == NULL ||
        station_parse(ns_entry_value(entry), entry->value_size, name, &is_static) < 0)
        return NULL;
    return links_port(links, name);
}

static void send_by_bridge(struct control *control, const struct links *links,
                           const struct link_bridge *bridge, const void *frame, size_t size)
{
    const struct rte_ether_addr *to = frame;
    const struct link_port *port = NULL;

    if (rte_is_unicast_ether_addr(to))
        port = station_port(control, links, bridge, to);
    if (port != NULL) {
        send_by_port(control, port, frame, size);
        return;
    }
    for (unsigned i = 0; i < bridge->port_count; i++)
        send_by_port(control, &links->ports[bridge->ports[i]], frame, size);
}

static void send_frame(void *arg, uint16_t iface_id, const void *frame, size_t size)
{
    struct control *control = arg;
    const struct links *links =
        links_of(ns_store_version(control->store), links_slot(control->modules.links));
    const struct link_iface *iface = links_iface_by_id(links, iface_id);

    if (iface == NULL || size > FRAME_MAX)
        control->counters.send_down++;
    else if (iface->port != LINK_NO_ID)
        send_by_port(control, &links->ports[iface->port], frame, size);
    else if (iface->bridge != LINK_NO_ID)
        send_by_bridge(control, links, &links->bridges[iface->bridge], frame, size);
    else
        control->counters.send_down++;
}

/* ---- when was something used ---- */

/* The newest use by any worker. */
static uint64_t used_by_workers(const struct control *control, const struct ns_anchor *anchor)
{
    uint32_t newest = 0;

    for (unsigned i = 0; anchor != NULL && i < control->workers.count; i++) {
        uint32_t used = flow_table_used(worker_table(control->workers.worker[i]), anchor);

        newest = used > newest ? used : newest;
    }
    return newest;
}

static uint64_t neighbour_used(void *arg, uint16_t iface_id, rte_be32_t address)
{
    struct control *control = arg;
    const struct links *links =
        links_of(ns_store_version(control->store), links_slot(control->modules.links));
    const struct link_iface *iface = links_iface_by_id(links, iface_id);

    if (iface == NULL || control->workers.count == 0)
        return 0;
    return used_by_workers(control,
                           adjacency_find(control->modules.adjacencies, iface->vrf, address));
}

static uint64_t station_used(void *arg, uint16_t bridge_id, const struct rte_ether_addr *mac)
{
    struct control *control = arg;

    if (control->workers.count == 0)
        return 0;
    return used_by_workers(control,
                           adjacency_find_station(control->modules.adjacencies, bridge_id, mac));
}

struct modules_io control_io(struct control *control)
{
    return (struct modules_io){
        .neighbours = {.send = send_frame, .used = neighbour_used, .arg = control},
        .station_used = station_used,
        .arg = control,
    };
}

/* ---- requests ---- */

static void take_missing(struct control *control, const struct request *request)
{
    if (adjacencies_supply(control->modules.adjacencies, &request->missing, request->worker) < 0)
        control->counters.supply_failed++;
}

/* Nobody needs an answer: what comes of it is a change of the adjacency, or a time-out of who
 * waits. */
static void take_resolve(struct control *control, const struct request *request)
{
    neighbours_want(control->modules.neighbours, request->resolve.iface, request->resolve.next_hop);
}

static void take_station(struct control *control, const struct request *request)
{
    stations_seen(control->modules.stations, request->bridge, &request->mac, request->port);
}

static void take_packet(struct control *control, const struct request *request)
{
    struct rte_mbuf *packet = request->packet;
    uint32_t size = RTE_MIN(rte_pktmbuf_pkt_len(packet), (uint32_t)FRAME_MAX);
    char copy[FRAME_MAX];
    const void *frame =
        rte_pktmbuf_read(packet, 0, size, copy); /* copies only if it is in pieces */

    if (frame != NULL)
        neighbours_input(control->modules.neighbours, packet->port, frame, size);
    rte_pktmbuf_free(packet);
}

static void take_answer(struct control *control, const struct request *request)
{
    (void)control;
    request->question->answered(request->question, request->worker);
}

static void take(struct control *control, const struct request *request)
{
    static void (*const takers[])(struct control * control, const struct request *request) = {
        [REQUEST_MISSING] = take_missing, [REQUEST_RESOLVE] = take_resolve,
        [REQUEST_STATION] = take_station, [REQUEST_PACKET] = take_packet,
        [REQUEST_ANSWER] = take_answer,
    };

    if (request->kind < RTE_DIM(takers))
        takers[request->kind](control, request);
}

/* A turn of each worker, beginning with another one each round. Returns how many requests there
 * were. */
static unsigned take_requests(struct control *control)
{
    struct request requests[REQUESTS_A_TURN];
    unsigned total = 0, workers = control->workers.count;

    for (unsigned i = 0; i < workers; i++) {
        struct worker *worker = control->workers.worker[(control->first + i) % workers];
        unsigned count = worker_requests(worker, requests, REQUESTS_A_TURN);

        for (unsigned j = 0; j < count; j++)
            take(control, &requests[j]);
        total += count;
    }
    control->first++;
    return total;
}

/* ---- rounds ---- */

static bool all_sleep(const struct control *control)
{
    for (unsigned i = 0; i < control->workers.count; i++)
        if (atomic_load(&ns_store_subscriber(control->store, i)->sleeping) == 0)
            return false;
    return true;
}

/* While workers are awake, what waits for a grace period will soon be over, and moved flows are handed over by a
 * small ring that wakes nobody. */
static uint64_t longest_sleep(const struct control *control)
{
    if (!all_sleep(control) &&
        (ns_store_waits(control->store) || control->workers.options.log_moves))
        return 500 * US;
    return 100 * MS;
}

/* Say that we sleep, then look once more; a worker puts its request into the ring, then looks
 * whether we sleep (Dekker's pattern, a full fence on both sides). */
static uint64_t sleep_announced(struct control *control)
{
    atomic_store(&control->workers.control_sleeps, 1);
    NS_FENCE();
    for (unsigned i = 0; i < control->workers.count; i++) {
        if (worker_has_requests(control->workers.worker[i])) {
            atomic_store(&control->workers.control_sleeps, 0);
            return 0;
        }
    }
    return longest_sleep(control);
}

static uint64_t sleep_time(struct control *control, bool active)
{
    uint64_t now = ns_loop_now(control->loop);

    if (control->poll)
        return 0;
    if (control->workers.count == 0)
        return ns_store_waits(control->store) ? 100 * MS : UINT64_MAX;
    if (active)
        control->active_until = now + MS;
    if (now < control->active_until)
        return 50 * US;
    return sleep_announced(control);
}

static uint64_t hook(void *arg)
{
    struct control *control = arg;
    uint64_t commit, stats = UINT64_MAX, sleep;
    unsigned requests;
    bool more, active;

    atomic_store_explicit(&control->workers.control_sleeps, 0, memory_order_relaxed);
    if (control->poll)
        ns_server_look(control->server);
    requests = take_requests(control);
    active = control->ports != NULL && ports_poll(control->ports);
    moves_poll(control);
    if (control->stats != NULL)
        stats = stats_poll(control->stats);
    ns_store_quiescent(control->store);
    more = ns_store_housekeep(control->store);
    commit = ns_store_version(control->store)->number;
    active |= requests > 0 || commit != control->last_commit;
    control->last_commit = commit;
    control->counters.rounds++;
    control->counters.requests += requests;
    if (more || requests >= REQUESTS_A_TURN)
        return 0;
    sleep = sleep_time(control, active);
    return RTE_MIN(sleep, stats);
}

void control_start(struct control *control)
{
    ns_loop_hook(control->loop, hook, control);
}

void control_wake(void *arg)
{
    struct control *control = arg;

    ns_loop_wake(control->loop);
}
