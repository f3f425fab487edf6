/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A worker: an lcore that forwards packets, and the two ways between it and the control core.
 *
 * Each queue of a port belongs to one worker, who alone touches it; struct links of the newest version
 * says to whom (view.c): receive queue q to worker lcore + q of those that serve the port, transmit queue
 * q to worker lcore + q of all. So ports need no lock, and one that is removed is free when the workers
 * have gone on to a version without it. Where a worker has no queue, packets are handed over through
 * single-producer single-consumer rings, one for each pair and way:
 *
 *   spread    in: a port with fewer receive queues than workers is spread by whoever polls it (spread.c)
 *   between   out: a port with fewer transmit queues than workers is sent to by the owner of a queue
 *
 * All packets of a flow take the same rings, so their order is kept.
 *
 *   requests   worker -> control core: what the worker can't do itself. Bounded; a full ring drops the
 *              request, counted, and never a data packet. The control core looks at the rings each round
 *              of its loop: a worker makes no system call to announce a packet. Only when it goes to sleep
 *              does it wake the control core, if its ring is not empty; and, once, when the control core
 *              has said that it sleeps (control_sleeps).
 *   orders     control core -> worker: packets to send, questions about flows.
 *
 * One round of a worker: newest version, orders, notices and walks (flow_table_poll()), held packets that
 * may go, then for each port: burst in, classify, look up, rewrite, bursts out; quiescent state. After
 * `sleep_after_us` without a packet it naps: offline for RCU, on the interrupt descriptors of its ports
 * and its own eventfd, or for `nap_us` where a port has no interrupts.
 */
#ifndef KEDGE_DATAPLANE_WORKER_H
#define KEDGE_DATAPLANE_WORKER_H

#include <rte_mbuf.h>
#include <rte_ring.h>

#include "arp/links.h"
#include "flows/check.h"
#include "flows/table.h"

enum { WORKERS_MAX = 16, BURST = 32 };
static_assert((int)WORKERS_MAX <= (int)LINK_QUEUES_MAX, "each worker can have a queue of its own");

/* Why a packet was dropped. Names in drop_reason_name(). */
enum drop_reason {
    DROP_SHORT,        /* truncated Ethernet, ARP or IP header, or IP length beyond the frame */
    DROP_NOT_OURS,     /* unicast frame for another station, on a port that is in no bridge */
    DROP_NO_INTERFACE, /* the port is in no bridge and has no interface */
    DROP_ETHERTYPE,    /* routed port: neither IPv4, ARP nor RARP */
    DROP_BAD_SOURCE,   /* source MAC or IP address is multicast, broadcast or zero */
    DROP_IP_HEADER,    /* version, header length */
    DROP_IP_CHECKSUM,
    DROP_IP_OPTIONS_SOURCE_ROUTE,
    DROP_TTL,
    DROP_MTU, /* too big, and don't fragment is set */
    DROP_NO_ROUTE,
    DROP_BLACKHOLE,
    DROP_DENIED,      /* by a flow definition */
    DROP_UNREACHABLE, /* next hop failed */
    DROP_HOLD_FULL,   /* too many packets held for one next hop, or in all */
    DROP_HOLD_TIMEOUT,
    DROP_FLOWS_FULL,
    DROP_SAME_PORT, /* bridged back to the port it came from */
    DROP_PORT_DOWN,
    DROP_TX_FULL, /* the port's queue, or the ring to its worker */
    DROP_NO_BUFFER,
    DROP_REQUEST_FULL, /* a control packet, not a data packet */
    DROP_LOCAL,        /* for the stack itself, but nobody here takes it */
    DROP_RATE_LIMIT,   /* an ICMP error that was not sent */
    DROP_SPREAD_FULL,  /* the ring to the worker that has the flow */
    DROP_REASONS,
};
const char *drop_reason_name(enum drop_reason reason);

enum request_kind {
    REQUEST_MISSING, /* make these anchors: adjacencies_supply() */
    REQUEST_RESOLVE, /* a packet waits for this next hop: adjacency is HOLD; neighbours_want() */
    REQUEST_STATION, /* a source address was seen at a port: stations_seen() */
    REQUEST_PACKET,  /* ARP or RARP: mbuf with its Ethernet header, mbuf->port is the port */
    REQUEST_ANSWER,  /* to a question */
};

struct question;
struct worker_trace;

/* Travels by value in a ring. */
struct request {
    uint8_t kind;
    uint8_t worker;
    uint16_t port;   /* device id */
    uint16_t bridge; /* STATION */
    struct rte_ether_addr mac;
    union {
        struct flow_missing missing;
        struct {
            uint16_t vrf;
            uint16_t iface;
            rte_be32_t next_hop;
        } resolve;
        struct rte_mbuf *packet;
        struct question *question;
    };
};
static_assert(sizeof(struct request) <= 40 && sizeof(struct request) % 4 == 0,
              "fits a ring element");

enum order_kind {
    ORDER_SEND,     /* mbuf, out of port */
    ORDER_QUESTION, /* fill in the answer and send it back as REQUEST_ANSWER */
    ORDER_CLEAR,    /* forget all flows */
    ORDER_TRACE,    /* follow a commit, or, with NULL, no more */
};
struct order {
    uint8_t kind;
    uint8_t pad;
    uint16_t port;
    uint32_t pad2;
    union {
        struct rte_mbuf *packet;
        struct question *question;
        struct worker_trace *trace;
    };
};
static_assert(sizeof(struct order) == 16, "fits a ring element");

/* Asked by the control core, answered on the worker. Belongs to the asker. */
struct question {
    enum { QUESTION_ORIGIN, QUESTION_FLOWS, QUESTION_CHECK } kind;
    union flow_key key; /* ORIGIN; scope 0xffff: any */
    uint32_t limit;     /* at most so many origins; 0: as many as there is room for */
    /* FLOWS: where to go on; afterwards, where to go on next, UINT32_MAX at the end */
    uint32_t cursor;
    uint32_t count; /* how many origins were filled in */
    struct flow_origin origins[16];
    struct flow_check check;                                      /* CHECK */
    void (*answered)(struct question *question, unsigned worker); /* called on the control core */
    void *arg;
    struct question *next; /* the worker's, until it is answered */
};

struct port_counters {
    uint64_t rx_packets, rx_bytes, tx_packets, tx_bytes, tx_dropped;
};

/* Written by the worker, read by anybody. */
struct worker_counters {
    uint64_t packets, routed, bridged, flooded, local, icmp_out;
    uint64_t drops[DROP_REASONS];
    uint64_t rounds, busy_rounds, busy_cycles, naps;
    uint64_t held, held_now, released;
    uint64_t requests, requests_dropped;
    uint64_t spread_out, spread_in; /* handed over to, taken from other workers, to be forwarded */
    struct port_counters ports[LINK_PORTS_MAX]; /* by device id */
};

enum { WALK_SHARE = 7 };

struct worker_options {
    uint32_t flows;        /* capacity of the flow table */
    uint32_t idle_seconds; /* of a flow */
    uint32_t
        walk_share; /* percent of a busy worker's time for binding flows anew; 0 = WALK_SHARE */
    bool poll;      /* never sleep */
    uint32_t sleep_after_us;  /* 0 = 100 */
    uint32_t nap_us;          /* 0 = 250; two and a half times as long after a while of quiet */
    uint32_t hold_packets;    /* for one next hop; 0 = 64 */
    uint32_t hold_total;      /* in all; 0 = an eighth of the packet pool */
    uint32_t hold_seconds;    /* a packet waits at most; 0 = 10 */
    uint32_t icmp_per_second; /* ICMP errors; 0 = 1000 */
    bool log_moves;           /* every flow is told when it moves: moves.h */
};

struct worker;

/* Rings of mbufs, by [from][to]. */
typedef struct rte_ring *worker_rings[WORKERS_MAX][WORKERS_MAX];

/* Everything shared by workers. */
struct workers {
    struct ns_store *store;
    const struct flow_sources *sources;
    struct rte_mempool *pool;
    struct worker_options options;
    unsigned count;
    struct worker *worker[WORKERS_MAX];
    worker_rings between; /* mbuf->port is the way out */
    worker_rings spread;  /* mbuf->port is where it came in */
    /* called by a worker that goes to sleep with requests in its ring */
    void (*wake_control)(void *arg);
    void *wake_arg;
    /* set by the control core before it sleeps for long; a worker that has made a request takes it
     * back and wakes the control core */
    _Atomic uint32_t control_sleeps;
};

/* ---- control core ---- */

/* Make the workers (tables, rings) and start one on each of the given EAL lcores. 0 or negative errno. */
int workers_start(struct workers *workers, const unsigned *lcores, unsigned count);

/* Let them stop after their round, and wait for that. */
void workers_stop(struct workers *workers);
void workers_free(struct workers *workers);

/* Take up to `count` requests of one worker. */
unsigned worker_requests(struct worker *worker, struct request *requests, unsigned count);

/* Is there something to take? */
bool worker_has_requests(const struct worker *worker);

/* How far the rings of all workers have been filled at a moment: those between them, their requests and their orders. */
struct workers_mark {
    uint32_t between[WORKERS_MAX][WORKERS_MAX], spread[WORKERS_MAX][WORKERS_MAX];
    uint32_t requests[WORKERS_MAX], orders[WORKERS_MAX];
};

/* What lies in the rings speaks of devices by their ids, and an id is used again at once. So when every worker has seen
 * that a device is gone, from when on none puts anything of it into a ring, set a mark; when all has been taken that
 * was in the rings then, nothing speaks of the device any more. A packet that is held may still have come in by it,
 * which then says only whose address an ICMP error has. */
void workers_mark(const struct workers *workers, struct workers_mark *mark);
bool workers_passed(const struct workers *workers, const struct workers_mark *mark);

/* Give an order; wakes a sleeping worker. -ENOBUFS: the ring is full, the caller keeps the packet. */
int worker_order(struct worker *worker, const struct order *order);

/* Wake it if it sleeps. */
void worker_wake(struct worker *worker);

const struct worker_counters *worker_counters(const struct worker *worker);
struct flow_table *worker_table(const struct worker *worker);

#endif
