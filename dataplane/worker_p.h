/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inside of a worker; for the files of the worker and their tests only.
 *
 * The way of a packet through the files:
 *
 *   receive.c burst in ──> bridge.c ──────────────────────────────> transmit.c  bursts out
 *                    └───> (spread.c) ──> forward.c ──> (fragment.c) ─┘
 *                             ├────────> hold.c ──> forward.c again
 *                             └────────> icmp.c ──> forward.c (our own packets)
 *
 * Thread safety: everything belongs to the worker's thread, but what is said to be atomic, the rings, and
 * the counters, which others read.
 */
#ifndef KEDGE_DATAPLANE_WORKER_P_H
#define KEDGE_DATAPLANE_WORKER_P_H

#include <stdatomic.h>

#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "dataplane/packet.h"
#include "dataplane/worker.h"

enum {
    REQUEST_RING = 1024, /* bounds also the packets that wait for the control core */
    ORDER_RING = 1024,
    BETWEEN_RING = 1024,
    OUT_SIZE = 2 * BURST,
    OUT_BETWEEN = LINK_PORTS_MAX,           /* outs: by device id, */
    OUT_SPREAD = OUT_BETWEEN + WORKERS_MAX, /* then by worker: frames to be sent, */
    OUTS = OUT_SPREAD + WORKERS_MAX,        /* packets to be forwarded */
    POLLED_MAX = LINK_PORTS_MAX * LINK_QUEUES_MAX,
    OUT_NONE = 0xff,
    FLOW_BUDGET = 1,   /* slow turns of stale flows in one burst; the others go on as before */
    TELL_SHARE = 2,    /* percent of its time, at most, for telling listeners only */
    RECENT = 1024,     /* power of two */
    ROUND_SLICE = 512, /* slots of the flow table that a question looks at in one round */
};

/* ---- what this worker knows of a device, from struct links ---- */

struct port_view {
    uint64_t mac;   /* of the interface here, as a number; PACKET_MAC_NONE: there is none */
    uint16_t scope; /* id of that interface, for keys */
    uint16_t mtu;
    uint8_t out;      /* index in worker->outs, OUT_NONE: down, or served by nobody */
    uint8_t tx_queue; /* if out is the port: ours */
    uint8_t spread;   /* 0: what is polled here stays here; else so many workers share it */
    bool open;        /* a device of the links */
    const struct link_bridge *bridge; /* NULL: not in one. Both belong to worker->links */
    const struct link_iface *iface;   /* on the port, or on its bridge; NULL: none */
};

/* A receive queue. */
struct polled {
    uint16_t port, queue;
};

/* Frames on their way to one port, or in a ring to another worker. What a port doesn't take stays for
 * the next round; what comes when it is full, or when the port took nothing for long, is dropped. */
struct out {
    uint32_t count;
    uint64_t stuck_since; /* TSC; 0: it isn't */
    struct rte_mbuf *mbufs[OUT_SIZE];
} __rte_cache_aligned;

/* A routed packet on the slow paths. */
struct packet {
    struct rte_mbuf *mbuf; /* data starts at the Ethernet header; mbuf->port is where it came in, or
                               RTE_MBUF_PORT_INVALID for our own */
    union flow_key key;
    struct flow *flow;
    const struct adjacency *record;
    bool held;  /* comes out of a queue: it need not queue again behind itself */
    bool quiet; /* no ICMP error about it */
};

/* The routed packets of a burst, stage by stage. */
struct burst {
    unsigned count;
    struct rte_mbuf *mbuf[BURST];
    union flow_key key[BURST];
    struct flow *flow[BURST]; /* first, the slot where the flow would be at home */
    const struct adjacency *record[BURST];
};

static_assert(OUTS <= 64, "outs_pending has a bit for each");

struct hold; /* hold.c */

/* What was asked lately, so that it isn't asked for every frame. Direct-mapped. */
struct recent {
    uint64_t about;
    uint64_t when; /* TSC */
    uint16_t what;
};

struct worker {
    /* read for every packet, written when the links change */
    struct flow_table *table;
    struct rte_mempool *pool;
    struct hold *hold;
    struct worker_trace *trace; /* NULL: no commit is followed */
    uint32_t held_queues;       /* of hold.c: 0 = no packet waits for anything */
    uint16_t polled_count;
    uint64_t tsc; /* start of the round */
    struct port_view views[LINK_PORTS_MAX] __rte_cache_aligned;
    struct polled polled[POLLED_MAX];
    uint8_t first_worker[LINK_PORTS_MAX]; /* of those that a port is spread over */

    /* written for every packet */
    struct burst burst __rte_cache_aligned;
    struct worker_counters counters __rte_cache_aligned;
    uint64_t outs_pending; /* mask: those that hold frames */
    struct out outs[OUTS];

    /* now and then */
    unsigned index;
    struct workers *workers;
    struct ns_subscriber *subscriber;
    struct worker_moves *moves; /* NULL: nobody wants to know */
    struct rte_ring *requests, *orders;
    const struct links *links; /* of the round's version */
    uint64_t links_version;
    uint64_t hz, second_ends; /* TSC */
    uint32_t now;             /* seconds of CLOCK_MONOTONIC */
    uint64_t busy_since;      /* TSC of the start of the round before if it had packets, else 0 */
    uint64_t idle_since;      /* TSC; 0: there was something to do */
    uint64_t icmp_tokens, icmp_refilled; /* in TSC cycles, see icmp.c */
    uint16_t ip_id;
    uint64_t bridge_last; /* station seen last in this burst, with its port: needs no look-up */
    struct question *questions, **questions_end;
    struct recent recent[RECENT];
    unsigned lcore; /* EAL's */
    bool launched;
    int wake_fd, interrupt_fd;           /* eventfd; epoll instance of the ports' interrupts */
    uint16_t interrupts[LINK_PORTS_MAX]; /* masks of the queues in it */
    uint16_t interrupt_count;            /* how many those are */

    /* written by others */
    _Atomic uint32_t woken __rte_cache_aligned; /* wake_fd was written and not read yet */
    _Atomic bool stop;
};

/* Counters are written by the worker only and read by others: never torn, in no order. */
#define tally(counter, n) __atomic_store_n(&(counter), (counter) + (n), __ATOMIC_RELAXED)

/* ---- worker.c ---- */

/* workers_start() without starting them. */
int workers_new(struct workers *workers, const unsigned *lcores, unsigned count);
int worker_new(struct workers *workers, unsigned index, int numa_node, struct worker **worker);
void worker_free(struct worker *worker);

/* One round. True: there was something to do, or is left. The thread is a registered, online reader. */
bool worker_round(struct worker *worker);

/* Into the ring to the control core; false if it is full. A packet stays the caller's then. */
bool request_send(struct worker *worker, struct request *request);

/* How many elements a ring holds, for either side of it. (rte_ring_count() reads without an order that
 * ThreadSanitizer knows.) */
static inline uint32_t ring_count(const struct rte_ring *ring)
{
    uint32_t taken = __atomic_load_n(&ring->cons.tail, __ATOMIC_ACQUIRE);

    return (__atomic_load_n(&ring->prod.tail, __ATOMIC_ACQUIRE) - taken) & ring->mask;
}

/* True if the last that was said about this is the same, and no older than a millisecond. Else remember
 * that it is said now. */
bool recently(struct worker *worker, uint64_t about, uint16_t what);

static inline uint64_t worker_us(const struct worker *worker, uint64_t us)
{
    return us * worker->hz / 1000000;
}

/* ---- receive.c ---- */

/* A burst from each queue, and what has to be done with it. Returns how many frames there were. */
unsigned ports_receive(struct worker *worker);

/* ---- view.c ---- */

/* Make what is known of devices anew from worker->links. */
void view_update(struct worker *worker);

/* ---- trace.c ---- */

/* Follow a commit, or, with NULL, no more. */
void trace_arm(struct worker *worker, struct worker_trace *trace);

/* Look whether something is to be stamped: in each round, after each burst, and for a bridged packet. Call them
 * only if worker->trace. */
void trace_round(struct worker *worker);
void trace_burst(struct worker *worker);
void trace_flow(struct worker *worker, const struct flow *flow, const struct adjacency *record);

/* ---- order.c ---- */

/* Carry out what the control core wants, a bounded amount. True: there was something. */
bool orders_round(struct worker *worker);

/* ---- sleep.c ---- */

int sleep_new(struct worker *worker);
void sleep_free(struct worker *worker);

/* The queues in the masks, one for each port, are polled from now on: make their interrupts known. Others
 * are forgotten. */
void sleep_ports(struct worker *worker, const uint16_t *masks);

/* Nothing to do: nap if that has lasted long enough. */
void worker_idle(struct worker *worker);

/* ---- drop.c ---- */

void drop(struct worker *worker, struct rte_mbuf *mbuf, enum drop_reason reason);

/* ---- transmit.c ---- */

/* Hand all that is buffered to the ports and the other workers. */
void transmit_flush(struct worker *worker);
void transmit_flush_one(struct worker *worker, unsigned out);

/* Drop what is buffered of devices that are not there any more. */
void transmit_forget(struct worker *worker);

/* Take frames from other workers. Returns how many. */
unsigned transmit_receive(struct worker *worker);

/* How many frames the port is sure to have room for in its buffer; 0 while it doesn't take what it has. */
unsigned transmit_room(const struct worker *worker, uint16_t port);

/* Add to a buffer; it is handed over when a burst is full. False: there is no room, the frame stays the
 * caller's. */
static inline bool transmit_put(struct worker *worker, struct rte_mbuf *mbuf, unsigned index)
{
    struct out *out = &worker->outs[index];

    if (unlikely(out->count == OUT_SIZE))
        return false;
    out->mbufs[out->count++] = mbuf;
    worker->outs_pending |= UINT64_C(1) << index;
    if (unlikely(out->count % BURST == 0))
        transmit_flush_one(worker, index);
    return true;
}

/* The buffer for frames to a device's port. */
static inline unsigned transmit_out(const struct worker *worker, uint16_t port)
{
    return likely(port < LINK_PORTS_MAX) ? worker->views[port].out : OUT_NONE;
}

/* Out of a device's port. Consumes the frame. */
static inline void transmit(struct worker *worker, struct rte_mbuf *mbuf, uint16_t port)
{
    unsigned index = transmit_out(worker, port);

    if (unlikely(index == OUT_NONE)) {
        drop(worker, mbuf, DROP_PORT_DOWN);
        return;
    }
    if (index >= OUT_BETWEEN)
        mbuf->port = port;
    if (unlikely(!transmit_put(worker, mbuf, index))) {
        drop(worker, mbuf, DROP_TX_FULL);
        tally(worker->counters.ports[port].tx_dropped, 1);
    }
}

/* Several frames out of one port, in order. Consumes them. */
void transmit_all(struct worker *worker, struct rte_mbuf **mbufs, unsigned count, uint16_t port);

/* ---- spread.c ---- */

/* Of the routed packets of a burst that came in by this port, keep those whose flows live here, and hand
 * the others over. Call it if the port's view says `spread`. */
void spread_burst(struct worker *worker, uint16_t port);

/* Take packets from other workers, and forward them. Returns how many. */
unsigned spread_receive(struct worker *worker);

/* ---- forward.c ---- */

static inline struct rte_ipv4_hdr *packet_ip(struct rte_mbuf *mbuf)
{
    return rte_pktmbuf_mtod_offset(mbuf, struct rte_ipv4_hdr *, RTE_ETHER_HDR_LEN);
}

/* Bytes of the IP packet that lie in one piece. */
static inline uint32_t packet_head(const struct rte_mbuf *mbuf)
{
    return rte_pktmbuf_data_len(mbuf) - RTE_ETHER_HDR_LEN;
}

/* The interface that a packet came in by; NULL for our own packets, and if it is gone. */
static inline const struct link_iface *packet_iface(const struct worker *worker,
                                                    const struct rte_mbuf *mbuf)
{
    return mbuf->port < LINK_PORTS_MAX ? worker->views[mbuf->port].iface : NULL;
}

static inline bool packet_is_ours(const union flow_key *key)
{
    return key->scope & FLOW_SCOPE_LOCAL;
}

/* Add a packet to worker->burst, and ask for the flow's line. */
static inline void burst_add(struct worker *worker, struct rte_mbuf *mbuf, union flow_key key)
{
    struct burst *burst = &worker->burst;
    unsigned i = burst->count++;

    burst->mbuf[i] = mbuf;
    burst->key[i] = key;
    burst->flow[i] = flow_home(worker->table, flow_hash(&key));
    rte_prefetch0(burst->flow[i]);
}

/* An IPv4 frame to the interface of a port: parse and add it to worker->burst. */
void forward_add(struct worker *worker, const struct port_view *view, struct rte_mbuf *mbuf);

/* Look up and send all that was added. */
void forward_burst(struct worker *worker);

/* Find or bind the flow of packet->key. Does not count. FLOW_BOUND: flow and record are filled in. */
enum flow_turn forward_find(struct worker *worker, struct packet *packet,
                            struct flow_missing *missing);

/* Do what the packet's record says. Consumes the frame. */
void forward_apply(struct worker *worker, struct packet *packet);

/* Send an IP packet of our own: data starts with room for an Ethernet header, then a complete IP header.
 * Consumes it. */
void forward_own(struct worker *worker, struct rte_mbuf *mbuf, uint16_t vrf);

/* The Ethernet header of the record, and out. The frame is small enough. Consumes it. */
void forward_send(struct worker *worker, struct rte_mbuf *mbuf, const struct adjacency *record);

/* ---- fragment.c ---- */

/* Send a packet that is bigger than record->mtu and may be fragmented (RFC 791). Consumes it. */
void fragment_send(struct worker *worker, struct rte_mbuf *mbuf, const struct adjacency *record);

/* ---- bridge.c ---- */

/* A frame came in at a port of a bridge. True: it is for the interface of the bridge, and goes on there;
 * else it was consumed. */
bool bridge_input(struct worker *worker, const struct port_view *view, struct rte_mbuf *mbuf);

/* Out of all ports of the bridge that are up, but one (a device id, or LINK_NO_ID). Consumes it. */
void bridge_flood(struct worker *worker, struct rte_mbuf *mbuf, const struct link_bridge *bridge,
                  uint16_t but);

/* Give an ARP or RARP frame to the control core. Consumes it. */
void control_packet(struct worker *worker, struct rte_mbuf *mbuf);

/* ---- hold.c ---- */

int hold_new(struct worker *worker, int numa_node);
void hold_free(struct worker *worker);

/* Wait for what is missing. Consumes the frame. `counted`: the flow has counted it. */
void hold_missing(struct worker *worker, struct packet *packet, const struct flow_missing *missing);
void hold_unresolved(struct worker *worker, struct packet *packet);

/* Others wait for the same next hop: queue behind them. True: the frame was consumed. Call it only if
 * worker->held_queues. */
bool hold_behind(struct worker *worker, struct packet *packet);

/* A notice came: whatever waits for it may go. (struct flow_table_options.changed) */
void hold_changed(void *worker, struct ns_anchor *anchor, uint32_t flows);

/* Let go what may go, ask again, give up what waited too long. Returns how many packets went. */
unsigned hold_round(struct worker *worker);

/* ---- icmp.c ---- */

/* An ICMP error about a packet, unless it may not be or there were too many. Doesn't consume it. */
void icmp_error(struct worker *worker, const struct packet *packet, uint8_t type, uint8_t code,
                uint16_t mtu);

/* A packet to one of our own addresses. Consumes it. */
void icmp_local(struct worker *worker, struct packet *packet);

#endif
