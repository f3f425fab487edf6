/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sending: a buffer for each port of this worker and for each other worker, handed over when a burst is
 * full and at the end of the round.
 *
 * What the port doesn't take at once waits in the buffer for the next round, in order. If the buffer is
 * full, new frames are dropped; if the port has taken nothing for STUCK_US, all that wait are.
 */
#include "dataplane/worker_p.h"

enum { STUCK_US = 1000 };

static struct port_counters *port_of(struct worker *worker, unsigned index)
{
    return &worker->counters.ports[index];
}

/* Frames beyond `sent` move to the front. */
static void keep_rest(struct out *out, unsigned sent)
{
    out->count -= sent;
    memmove(out->mbufs, out->mbufs + sent, out->count * sizeof(out->mbufs[0]));
}

static void drop_all(struct worker *worker, unsigned index, enum drop_reason reason)
{
    struct out *out = &worker->outs[index];

    for (unsigned i = 0; i < out->count; i++) {
        unsigned port = index < OUT_BETWEEN ? index : out->mbufs[i]->port;

        if (reason == DROP_TX_FULL)
            tally(port_of(worker, port)->tx_dropped, 1);
        drop(worker, out->mbufs[i], reason);
    }
    out->count = 0;
    out->stuck_since = 0;
    worker->outs_pending &= ~(UINT64_C(1) << index);
}

/* The mbufs belong to the driver once it has taken them: count before. */
static unsigned to_port(struct worker *worker, unsigned index, struct out *out)
{
    struct port_counters *counters = port_of(worker, index);
    uint64_t bytes = 0;
    unsigned sent;

    for (unsigned i = 0; i < out->count; i++)
        bytes += rte_pktmbuf_pkt_len(out->mbufs[i]);
    sent = rte_eth_tx_burst((uint16_t)index, worker->views[index].tx_queue, out->mbufs,
                            (uint16_t)out->count);
    for (unsigned i = sent; i < out->count; i++)
        bytes -= rte_pktmbuf_pkt_len(out->mbufs[i]);
    tally(counters->tx_packets, sent);
    tally(counters->tx_bytes, bytes);
    return sent;
}

static unsigned to_worker(struct worker *worker, worker_rings rings, unsigned to, struct out *out)
{
    unsigned sent =
        rte_ring_sp_enqueue_burst(rings[worker->index][to], (void **)out->mbufs, out->count, NULL);

    worker_wake(worker->workers->worker[to]);
    return sent;
}

static unsigned hand_over(struct worker *worker, unsigned index, struct out *out)
{
    unsigned sent;

    if (likely(index < OUT_BETWEEN))
        return to_port(worker, index, out);
    if (index < OUT_SPREAD)
        return to_worker(worker, worker->workers->between, index - OUT_BETWEEN, out);
    sent = to_worker(worker, worker->workers->spread, index - OUT_SPREAD, out);
    tally(worker->counters.spread_out, sent);
    return sent;
}

void transmit_flush_one(struct worker *worker, unsigned index)
{
    struct out *out = &worker->outs[index];
    unsigned sent = hand_over(worker, index, out);

    if (likely(sent == out->count)) {
        out->count = 0;
        out->stuck_since = 0;
        worker->outs_pending &= ~(UINT64_C(1) << index);
        return;
    }
    if (sent > 0 || out->stuck_since == 0)
        out->stuck_since = worker->tsc;
    keep_rest(out, sent);
    if (worker->tsc - out->stuck_since > worker_us(worker, STUCK_US))
        drop_all(worker, index, index < OUT_SPREAD ? DROP_TX_FULL : DROP_SPREAD_FULL);
}

/* False: they don't all fit. */
static bool put_all(struct worker *worker, struct rte_mbuf **mbufs, unsigned count, unsigned index)
{
    struct out *out = &worker->outs[index];

    if (unlikely(out->count + count > OUT_SIZE))
        return false;
    memcpy(out->mbufs + out->count, mbufs, count * sizeof(mbufs[0]));
    out->count += count;
    worker->outs_pending |= UINT64_C(1) << index;
    if (out->count >= BURST)
        transmit_flush_one(worker, index);
    return true;
}

void transmit_all(struct worker *worker, struct rte_mbuf **mbufs, unsigned count, uint16_t port)
{
    unsigned index = transmit_out(worker, port);

    if (likely(index < OUT_BETWEEN) && likely(put_all(worker, mbufs, count, index)))
        return;
    for (unsigned i = 0; i < count; i++)
        transmit(worker, mbufs[i], port);
}

void transmit_flush(struct worker *worker)
{
    for (uint64_t left = worker->outs_pending; left != 0; left &= left - 1)
        transmit_flush_one(worker, (unsigned)__builtin_ctzll(left));
}

/* Of what waits for another worker, that of devices which are gone: whether it is on its way out by one or came in by
 * it. */
static void forget_gone(struct worker *worker, unsigned index)
{
    struct out *out = &worker->outs[index];
    unsigned kept = 0;

    for (unsigned i = 0; i < out->count; i++) {
        struct rte_mbuf *mbuf = out->mbufs[i];

        if (mbuf->port < LINK_PORTS_MAX && worker->views[mbuf->port].open)
            out->mbufs[kept++] = mbuf;
        else
            drop(worker, mbuf, DROP_PORT_DOWN);
    }
    out->count = kept;
    if (kept == 0) {
        out->stuck_since = 0;
        worker->outs_pending &= ~(UINT64_C(1) << index);
    }
}

void transmit_forget(struct worker *worker)
{
    for (unsigned i = 0; i < OUT_BETWEEN; i++) {
        if (worker->outs[i].count > 0 && worker->views[i].out != i)
            drop_all(worker, i, DROP_PORT_DOWN);
    }
    for (unsigned i = OUT_BETWEEN; i < OUTS; i++)
        forget_gone(worker, i);
}

unsigned transmit_receive(struct worker *worker)
{
    struct workers *workers = worker->workers;
    struct rte_mbuf *mbufs[BURST];
    unsigned received = 0;

    for (unsigned from = 0; from < workers->count; from++) {
        struct rte_ring *ring = workers->between[from][worker->index];
        unsigned count = ring ? rte_ring_sc_dequeue_burst(ring, (void **)mbufs, BURST, NULL) : 0;

        for (unsigned i = 0; i < count; i++) {
            uint16_t port = mbufs[i]->port;

            /* Its port moved on to yet another worker: never back into a ring, it could go around. */
            if (port < LINK_PORTS_MAX && worker->views[port].out == port)
                transmit(worker, mbufs[i], port);
            else
                drop(worker, mbufs[i], DROP_PORT_DOWN);
        }
        received += count;
    }
    return received;
}

unsigned transmit_room(const struct worker *worker, uint16_t port)
{
    unsigned index = transmit_out(worker, port);
    const struct out *out;

    if (index == OUT_NONE)
        return OUT_SIZE; /* dropped there, with the reason */
    out = &worker->outs[index];
    return out->stuck_since ? 0 : OUT_SIZE - out->count;
}
