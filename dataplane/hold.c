/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Packets that wait: for an anchor that the control core has to make, or for a next hop that is not
 * resolved.
 *
 * A queue stands for an adjacency, by (vrf, address). It asks the control core when it is made, and again
 * with back-off while it waits. When a notice says that something has changed, or the time for another try
 * has come, its packets go through the look-up again, in order, until one has to wait again or the port is
 * full. As long as the queue exists, later packets of its next hop go behind the others.
 *
 * Bounded: packets of one queue, packets in all, queues, and how long a packet waits. All memory is taken
 * at the start.
 *
 * Decisions without a next hop (local, no route) may wait for an anchor too; their queue has the address
 * 0, and the order of its packets matters to nobody.
 */
#include <errno.h>

#include <rte_malloc.h>

#include "dataplane/worker_p.h"

enum {
    QUEUES = 1024,      /* power of two */
    SLICE = 64,         /* queues looked at in one round */
    RELEASE_BURSTS = 4, /* of a queue in one round */
    ANSWERED = 4,
    TRY_FIRST_US = 20, /* notices come sooner; this is for what has none */
    TRY_MOST_US = 10000,
    ASK_FIRST_US = 2000,
    ASK_MOST_US = 1000000,
};
#define NONE UINT32_MAX

struct held {
    struct rte_mbuf *mbuf;
    union flow_key key;
    uint64_t since; /* TSC */
    uint32_t next;  /* in the queue, or free */
    bool counted;   /* by its flow */
};

struct hold_queue {
    rte_be32_t next_hop;
    uint16_t vrf;
    bool ready; /* something has changed: try now */
    uint32_t head, tail, count;
    uint32_t next;           /* in the bucket, or free */
    uint32_t position;       /* in hold->active */
    uint64_t try_at, ask_at; /* TSC */
    uint32_t try_us, ask_us;
    uint32_t routes;               /* hold->routes when it last tried */
    struct request ask;            /* what its first packet waits for */
    rte_be32_t answered[ANSWERED]; /* sources that were sent an ICMP error, newest first */
};

struct hold {
    struct held *packets;
    uint32_t free_packet, free_queue;
    uint32_t cursor; /* in active */
    uint32_t routes; /* notices for routes: a prefix may be there that was missing */
    uint32_t bucket[QUEUES];
    uint32_t active[QUEUES]; /* indices of queues; worker->held_queues of them */
    struct hold_queue queues[QUEUES];
};

/* ---- beginning and end ---- */

int hold_new(struct worker *worker, int numa_node)
{
    uint32_t total = worker->workers->options.hold_total;
    struct hold *hold = rte_zmalloc_socket("hold", sizeof(*hold), RTE_CACHE_LINE_SIZE, numa_node);

    if (hold == NULL)
        return -ENOMEM;
    worker->hold = hold;
    hold->packets = rte_zmalloc_socket("held", total * sizeof(*hold->packets), 0, numa_node);
    if (hold->packets == NULL)
        return -ENOMEM;
    for (uint32_t i = 0; i < total; i++)
        hold->packets[i].next = i + 1 < total ? i + 1 : NONE;
    for (uint32_t i = 0; i < QUEUES; i++) {
        hold->queues[i].next = i + 1 < QUEUES ? i + 1 : NONE;
        hold->bucket[i] = NONE;
    }
    return 0;
}

void hold_free(struct worker *worker)
{
    struct hold *hold = worker->hold;

    if (hold == NULL)
        return;
    for (uint32_t i = 0; i < worker->held_queues; i++) {
        const struct hold_queue *queue = &hold->queues[hold->active[i]];

        for (uint32_t at = queue->head; at != NONE; at = hold->packets[at].next)
            rte_pktmbuf_free(hold->packets[at].mbuf);
    }
    rte_free(hold->packets);
    rte_free(hold);
}

/* ---- queues ---- */

static uint32_t *bucket_of(struct hold *hold, uint16_t vrf, rte_be32_t next_hop)
{
    uint64_t mixed = (next_hop | (uint64_t)vrf << 32) * UINT64_C(0x9e3779b97f4a7c15);

    return &hold->bucket[mixed >> 32 & (QUEUES - 1)];
}

static struct hold_queue *queue_find(struct hold *hold, uint16_t vrf, rte_be32_t next_hop)
{
    for (uint32_t at = *bucket_of(hold, vrf, next_hop); at != NONE; at = hold->queues[at].next) {
        if (hold->queues[at].next_hop == next_hop && hold->queues[at].vrf == vrf)
            return &hold->queues[at];
    }
    return NULL;
}

static struct hold_queue *queue_new(struct worker *worker, uint16_t vrf, rte_be32_t next_hop)
{
    struct hold *hold = worker->hold;
    uint32_t *bucket = bucket_of(hold, vrf, next_hop);
    uint32_t at = hold->free_queue;
    struct hold_queue *queue;

    if (at == NONE)
        return NULL;
    queue = &hold->queues[at];
    hold->free_queue = queue->next;
    *queue = (struct hold_queue){
        .next_hop = next_hop,
        .vrf = vrf,
        .head = NONE,
        .tail = NONE,
        .next = *bucket,
        .position = worker->held_queues,
        .try_us = TRY_FIRST_US,
        .ask_us = ASK_FIRST_US,
    };
    *bucket = at;
    hold->active[worker->held_queues++] = at;
    return queue;
}

static void queue_free(struct worker *worker, struct hold_queue *queue)
{
    struct hold *hold = worker->hold;
    uint32_t at = (uint32_t)(queue - hold->queues);
    uint32_t last = hold->active[--worker->held_queues];
    uint32_t *link = bucket_of(hold, queue->vrf, queue->next_hop);

    while (*link != at)
        link = &hold->queues[*link].next;
    *link = queue->next;
    hold->active[queue->position] = last;
    hold->queues[last].position = queue->position;
    queue->next = hold->free_queue;
    hold->free_queue = at;
}

static bool queue_push(struct worker *worker, struct hold_queue *queue, const struct held *what)
{
    struct hold *hold = worker->hold;
    uint32_t at = hold->free_packet;

    if (at == NONE || queue->count >= worker->workers->options.hold_packets)
        return false;
    hold->free_packet = hold->packets[at].next;
    hold->packets[at] = *what;
    hold->packets[at].next = NONE;
    if (queue->count++ == 0)
        queue->head = at;
    else
        hold->packets[queue->tail].next = at;
    queue->tail = at;
    tally(worker->counters.held_now, 1);
    return true;
}

static struct held queue_pop(struct worker *worker, struct hold_queue *queue)
{
    struct hold *hold = worker->hold;
    uint32_t at = queue->head;
    struct held held = hold->packets[at];

    queue->head = held.next;
    queue->count--;
    hold->packets[at].next = hold->free_packet;
    hold->free_packet = at;
    tally(worker->counters.held_now, -1);
    return held;
}

/* ---- waiting ---- */

/* An interface that isn't there resolves nothing: the adjacency waits for a name, and its notice. */
static void queue_ask(struct worker *worker, struct hold_queue *queue)
{
    if (queue->ask.kind == REQUEST_MISSING || queue->ask.resolve.iface != 0)
        request_send(worker, &queue->ask);
    queue->ask_at = worker->tsc + worker_us(worker, queue->ask_us);
    queue->ask_us = RTE_MIN(2 * queue->ask_us, (uint32_t)ASK_MOST_US);
}

static void queue_wait(struct worker *worker, struct hold_queue *queue)
{
    queue->ready = false;
    queue->routes = worker->hold->routes;
    queue->try_at = worker->tsc + worker_us(worker, queue->try_us);
    queue->try_us = RTE_MIN(2 * queue->try_us, (uint32_t)TRY_MOST_US);
}

static bool same_missing(const struct flow_missing *a, const struct flow_missing *b)
{
    return a->next_hop == b->next_hop && a->prefix == b->prefix && a->length == b->length &&
           a->no_prefix == b->no_prefix && a->no_next_hop == b->no_next_hop;
}

static bool same_cause(const struct request *a, const struct request *b)
{
    if (a->kind != b->kind)
        return false;
    if (a->kind == REQUEST_MISSING)
        return same_missing(&a->missing, &b->missing);
    return a->resolve.iface == b->resolve.iface && a->resolve.next_hop == b->resolve.next_hop;
}

/* The first packet of the queue waits for this. A new cause is asked for at once. */
static void queue_wait_for(struct worker *worker, struct hold_queue *queue,
                           const struct request *ask)
{
    if (!same_cause(&queue->ask, ask)) {
        queue->ask_us = ASK_FIRST_US;
        queue->ask_at = 0;
    }
    queue->ask = *ask;
    if (worker->tsc >= queue->ask_at)
        queue_ask(worker, queue);
    queue_wait(worker, queue);
}

/* Put a packet at the end of the queue for a next hop. */
static void wait_in(struct worker *worker, const struct held *held, uint16_t vrf,
                    rte_be32_t next_hop, const struct request *ask)
{
    struct hold_queue *queue = queue_find(worker->hold, vrf, next_hop);
    bool is_new = queue == NULL;

    if (is_new)
        queue = queue_new(worker, vrf, next_hop);
    if (queue == NULL || !queue_push(worker, queue, held)) {
        drop(worker, held->mbuf, DROP_HOLD_FULL);
        if (is_new && queue != NULL)
            queue_free(worker, queue);
        return;
    }
    if (is_new)
        queue_wait_for(worker, queue, ask);
}

static struct held held_of(const struct worker *worker, const struct packet *packet, bool counted)
{
    return (struct held){
        .mbuf = packet->mbuf, .key = packet->key, .since = worker->tsc, .counted = counted};
}

static struct request ask_missing(const struct flow_missing *missing)
{
    return (struct request){.kind = REQUEST_MISSING, .missing = *missing};
}

static struct request ask_resolve(const struct packet *packet, uint16_t vrf)
{
    return (struct request){
        .kind = REQUEST_RESOLVE,
        .resolve = {.vrf = vrf,
                    .iface = packet->record->iface,
                    .next_hop = packet->record->next_hop},
    };
}

void hold_missing(struct worker *worker, struct packet *packet, const struct flow_missing *missing)
{
    struct held held = held_of(worker, packet, false);
    struct request ask = ask_missing(missing);

    tally(worker->counters.held, 1);
    wait_in(worker, &held, missing->vrf, missing->next_hop, &ask);
}

void hold_unresolved(struct worker *worker, struct packet *packet)
{
    struct held held = held_of(worker, packet, true);
    uint16_t vrf;
    rte_be32_t next_hop = adjacency_next_hop(packet->flow->adjacency, &vrf);
    struct request ask = ask_resolve(packet, vrf);

    tally(worker->counters.held, 1);
    wait_in(worker, &held, vrf, next_hop, &ask);
}

bool hold_behind(struct worker *worker, struct packet *packet)
{
    const struct ns_anchor *anchor = packet->flow->adjacency;
    struct held held = held_of(worker, packet, true);
    struct hold_queue *queue;
    rte_be32_t next_hop;
    uint16_t vrf;

    if (packet->record->kind > ADJACENCY_FLOOD || !adjacency_is_next_hop(anchor))
        return false;
    next_hop = adjacency_next_hop(anchor, &vrf);
    queue = queue_find(worker->hold, vrf, next_hop);
    if (queue == NULL)
        return false;
    tally(worker->counters.held, 1);
    if (!queue_push(worker, queue, &held))
        drop(worker, packet->mbuf, DROP_HOLD_FULL);
    return true;
}
static_assert(ADJACENCY_FORWARD == 0 && ADJACENCY_FLOOD == 1, "the kinds that send");

/* ---- going ---- */

void hold_changed(void *arg, struct ns_anchor *anchor, uint32_t flows)
{
    struct worker *worker = arg;
    struct hold_queue *queue;
    rte_be32_t next_hop;
    uint16_t vrf;

    (void)flows;
    if (adjacency_is_route(anchor))
        worker->hold->routes++;
    if (worker->held_queues == 0 || !adjacency_is_next_hop(anchor))
        return;
    next_hop = adjacency_next_hop(anchor, &vrf);
    queue = queue_find(worker->hold, vrf, next_hop);
    if (queue != NULL)
        queue->ready = true;
}

/* Each source is answered once. */
static bool was_answered(struct hold_queue *queue, rte_be32_t source)
{
    for (unsigned i = 0; i < ANSWERED; i++) {
        if (queue->answered[i] == source)
            return true;
    }
    memmove(queue->answered + 1, queue->answered,
            sizeof(queue->answered) - sizeof(queue->answered[0]));
    queue->answered[0] = source;
    return false;
}

/* The head of the queue has to wait; if it is for what this queue stands for, all behind it do too. Else
 * the decision is another by now, and it joins the others there. */
static bool head_waits(struct worker *worker, struct hold_queue *queue, uint16_t vrf,
                       rte_be32_t next_hop, const struct request *ask)
{
    struct held held;

    if (queue->vrf == vrf && queue->next_hop == next_hop) {
        queue_wait_for(worker, queue, ask);
        return true;
    }
    held = queue_pop(worker, queue);
    wait_in(worker, &held, vrf, next_hop, ask);
    return false;
}

static bool unresolved_waits(struct worker *worker, struct hold_queue *queue,
                             const struct packet *packet)
{
    uint16_t vrf;
    rte_be32_t next_hop = adjacency_next_hop(packet->flow->adjacency, &vrf);
    struct request ask = ask_resolve(packet, vrf);

    return head_waits(worker, queue, vrf, next_hop, &ask);
}

static bool port_is_full(const struct worker *worker, const struct adjacency *record)
{
    return record->kind == ADJACENCY_FORWARD && transmit_room(worker, record->port) == 0;
}

/* The head of the queue goes the way that its flow says now. */
static void head_goes(struct worker *worker, struct hold_queue *queue, struct packet *packet)
{
    struct held held = queue_pop(worker, queue);
    uint8_t kind = packet->record->kind;

    if (!held.counted)
        flow_use(worker->table, packet->flow, rte_pktmbuf_pkt_len(held.mbuf));
    packet->quiet =
        kind > ADJACENCY_FLOOD && kind != ADJACENCY_LOCAL && was_answered(queue, held.key.src);
    tally(worker->counters.released, 1);
    forward_apply(worker, packet);
}

/* Look at the head of the queue. False: it waits, and so does the queue. */
static bool head_round(struct worker *worker, struct hold_queue *queue)
{
    const struct held *head = &worker->hold->packets[queue->head];
    struct packet packet = {.mbuf = head->mbuf, .key = head->key, .held = true};
    struct flow_missing missing;
    struct request ask;

    switch (forward_find(worker, &packet, &missing)) {
    case FLOW_MISSING:
        ask = ask_missing(&missing);
        return !head_waits(worker, queue, missing.vrf, missing.next_hop, &ask);
    case FLOW_FULL: drop(worker, queue_pop(worker, queue).mbuf, DROP_FLOWS_FULL); return true;
    case FLOW_BOUND: break;
    }
    if (packet.record->kind == ADJACENCY_HOLD)
        return !unresolved_waits(worker, queue, &packet);
    if (port_is_full(worker, packet.record))
        return false; /* stays ready */
    head_goes(worker, queue, &packet);
    return true;
}

/* Paced: after each burst the port has to have taken it. */
static unsigned queue_release(struct worker *worker, struct hold_queue *queue)
{
    unsigned went = 0;

    queue->ready = true;
    while (went < RELEASE_BURSTS * BURST && queue->count > 0 && head_round(worker, queue)) {
        if (++went % BURST == 0)
            transmit_flush(worker);
    }
    return went;
}

/* Time is up for the oldest. */
static void queue_expire(struct worker *worker, struct hold_queue *queue)
{
    uint64_t most = worker->workers->options.hold_seconds * worker->hz;

    while (queue->count > 0 && worker->tsc - worker->hold->packets[queue->head].since > most) {
        struct held held = queue_pop(worker, queue);
        struct packet packet = {.mbuf = held.mbuf, .key = held.key};

        packet.quiet = was_answered(queue, held.key.src);
        icmp_error(worker, &packet, ICMP_UNREACHABLE, ICMP_UNREACHABLE_HOST, 0);
        drop(worker, held.mbuf, DROP_HOLD_TIMEOUT);
    }
}

static bool is_due(const struct worker *worker, const struct hold_queue *queue)
{
    return queue->ready || worker->tsc >= queue->try_at ||
           (queue->ask.kind == REQUEST_MISSING && queue->routes != worker->hold->routes);
}

static unsigned queue_round(struct worker *worker, struct hold_queue *queue)
{
    unsigned went = 0;

    queue_expire(worker, queue);
    if (queue->count > 0 && is_due(worker, queue))
        went = queue_release(worker, queue);
    if (queue->count == 0)
        queue_free(worker, queue);
    return went;
}

unsigned hold_round(struct worker *worker)
{
    struct hold *hold = worker->hold;
    uint32_t look_at = RTE_MIN(worker->held_queues, (uint32_t)SLICE);
    unsigned went = 0;

    for (uint32_t i = 0; i < look_at && worker->held_queues > 0; i++) {
        uint32_t at;

        if (hold->cursor >= worker->held_queues)
            hold->cursor = 0;
        at = hold->active[hold->cursor];
        went += queue_round(worker, &hold->queues[at]);
        /* A queue that is gone has left its place to another. */
        if (hold->cursor < worker->held_queues && hold->active[hold->cursor] == at)
            hold->cursor++;
    }
    return went;
}
