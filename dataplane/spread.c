/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The software spreader: a port with fewer receive queues than workers is shared all the same.
 *
 * Who polls the queue computes the hash of each routed packet's key, which it needs anyhow; the hash says
 * which worker has the flow (its upper bits: the lower ones are the slot in that worker's table). Packets of
 * other workers' flows go over in bursts, through a ring that has no other producer and no other consumer.
 * A full ring drops the newest, counted, and blocks nobody; what is handed over for a worker that has taken
 * nothing for a while is dropped as for a port that is stuck (transmit.c).
 *
 * The order within a flow is kept: it comes through one queue, takes one ring, and is forwarded by one
 * worker. All fragments of a datagram have one key, that of addresses and protocol alone, so they stay
 * together. What is not routed stays with who polls the queue: ARP, which is a request to the control core,
 * and bridged frames, because handing one over costs as much as bridging it, and because learning where a
 * station is needs the order of its frames, whatever protocol they carry.
 *
 * While the workers of a port change, packets of a flow may be on their way to two of them: for so long their
 * order is not kept.
 */
#include "dataplane/worker_p.h"

static unsigned worker_of(const struct worker *worker, uint16_t port, uint32_t hash)
{
    unsigned share = (unsigned)((uint64_t)hash * worker->views[port].spread >> 32);
    unsigned index = worker->first_worker[port] + share;

    return index < worker->workers->count ? index : index - worker->workers->count;
}

/* Its header has been checked here, and nobody has to do it again. */
static void hand_over(struct worker *worker, struct rte_mbuf *mbuf, unsigned to)
{
    mbuf->ol_flags |= RTE_MBUF_F_RX_IP_CKSUM_GOOD;
    if (!transmit_put(worker, mbuf, OUT_SPREAD + to))
        drop(worker, mbuf, DROP_SPREAD_FULL);
}

void spread_burst(struct worker *worker, uint16_t port)
{
    struct burst *burst = &worker->burst;
    unsigned kept = 0;

    for (unsigned i = 0; i < burst->count; i++) {
        unsigned to = worker_of(worker, port, flow_hash(&burst->key[i]));

        if (to != worker->index) {
            hand_over(worker, burst->mbuf[i], to);
            continue;
        }
        burst->mbuf[kept] = burst->mbuf[i];
        burst->key[kept] = burst->key[i];
        burst->flow[kept++] = burst->flow[i];
    }
    burst->count = kept;
}

/* The interface of the port may have gone, or changed, while the packet was on its way. */
static void take(struct worker *worker, struct rte_mbuf *mbuf)
{
    const struct port_view *view = &worker->views[mbuf->port];

    if (view->iface == NULL)
        drop(worker, mbuf, DROP_NO_INTERFACE);
    else
        forward_add(worker, view, mbuf);
}

static unsigned receive_from(struct worker *worker, struct rte_ring *ring)
{
    struct rte_mbuf *mbufs[BURST];
    unsigned count = rte_ring_sc_dequeue_burst(ring, (void **)mbufs, BURST, NULL);

    if (count == 0)
        return 0;
    for (unsigned i = 0; i < count; i++)
        rte_prefetch0(mbufs[i]);
    for (unsigned i = 0; i < count; i++)
        rte_prefetch0(rte_pktmbuf_mtod(mbufs[i], void *));
    flow_table_burst(worker->table, FLOW_BUDGET);
    worker->burst.count = 0;
    for (unsigned i = 0; i < count; i++)
        take(worker, mbufs[i]);
    forward_burst(worker);
    return count;
}

unsigned spread_receive(struct worker *worker)
{
    struct workers *workers = worker->workers;
    unsigned received = 0;

    for (unsigned from = 0; from < workers->count; from++)
        if (from != worker->index)
            received += receive_from(worker, workers->spread[from][worker->index]);
    if (received > 0)
        tally(worker->counters.spread_in, received);
    return received;
}
