/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The state machine of a neighbour (RFC 4861 section 7.3.2, and Linux's FAILED).
 *
 *      INCOMPLETE --answer--> REACHABLE --time--> STALE --used--> DELAY --time--> PROBE --answer--> REACHABLE
 *          |                                        |                               |
 *          +--no answer--> FAILED --time--> (none)  +--unused: (none)               +--no answer--> FAILED
 *
 * A neighbour in PROBE that does not answer at the MAC address that is known is asked for by broadcast before
 * it has failed: it may have another one by now, and nobody has announced it (RFC 7048 section 3). Until it
 * has failed, packets go where they went before.
 *
 * Packets make it enter states as well, see neighbour_input.c. A STALE neighbour has no timer of its
 * own: there may be many, and what is asked of them is the same each second. A tick asks a part of
 * them whether a packet was sent since.
 */
#include <stdlib.h>

#include "arp/neighbour_p.h"

enum {
    STALE_SLICE = 64, /* looked at in each tick, and an eighth of all */
    BACKOFF_MAX = 6,  /* doublings */
    SENT_MAX = UINT8_MAX,
};

static void start(struct neighbour *neighbour, uint64_t after_ms)
{
    struct neighbours *neighbours = neighbour->owner;

    if (ns_timer_start(neighbours->loop, &neighbour->timer, after_ms * NEIGHBOUR_MS) != 0)
        ns_log_limited(&neighbours->failures, NS_LOG_ERROR,
                       "no memory for a timer: a neighbour stays %s until it is heard of",
                       neighbour_state_name(neighbour->state));
}

/* Uniformly from half to one and a half (RFC 4861 section 6.3.2), so that neighbours that were learned
 * together are not probed together. */
static uint64_t randomised(struct neighbours *neighbours, uint32_t ms)
{
    return ms / 2 + (uint64_t)nrand48(neighbours->seed) * ms / (UINT64_C(1) << 31);
}

/* ---- entering ---- */

static void start_stale_tick(struct neighbours *neighbours)
{
    if (!ns_timer_running(&neighbours->stale_tick) &&
        ns_timer_start(neighbours->loop, &neighbours->stale_tick, NEIGHBOUR_SECOND) != 0)
        ns_log_limited(&neighbours->failures, NS_LOG_ERROR,
                       "no memory for a timer: neighbours stay STALE");
}

static void enter_stale(struct neighbour *neighbour)
{
    struct neighbours *neighbours = neighbour->owner;

    TAILQ_INSERT_TAIL(&neighbours->stale, neighbour, stale);
    neighbours->stale_count++;
    start_stale_tick(neighbours);
}

/* The neighbour's next request, of which `before` were sent by broadcast already. */
static void request_again(struct neighbour *neighbour, unsigned before)
{
    unsigned doublings = RTE_MIN(before, (unsigned)BACKOFF_MAX);

    neighbour->sent++;
    neighbour_solicit(neighbour, NULL);
    start(neighbour, (uint64_t)neighbour->owner->options.retransmit_ms << doublings);
}

static void request(struct neighbour *neighbour)
{
    request_again(neighbour, neighbour->sent);
}

static void probe(struct neighbour *neighbour)
{
    uint32_t probes = neighbour->owner->options.probes;

    if (neighbour->sent >= probes) {
        request_again(neighbour, neighbour->sent - probes);
        return;
    }
    neighbour->sent++;
    neighbour_solicit(neighbour, &neighbour->mac);
    start(neighbour, neighbour->owner->options.retransmit_ms);
}

static void enter_reachable(struct neighbour *neighbour)
{
    start(neighbour, randomised(neighbour->owner, neighbour->owner->options.reachable_ms));
}

static void enter_delay(struct neighbour *neighbour)
{
    start(neighbour, neighbour->owner->options.delay_ms);
}

static void enter_failed(struct neighbour *neighbour)
{
    start(neighbour, neighbour->owner->options.failed_ms);
}

/* ---- when time is over ---- */

static void incomplete_over(struct neighbour *neighbour)
{
    if (neighbour->sent < RTE_MIN(neighbour->owner->options.requests, (uint32_t)SENT_MAX))
        request(neighbour);
    else
        neighbour_fail(neighbour);
}

static void reachable_over(struct neighbour *neighbour)
{
    neighbour_enter(neighbour, NEIGHBOUR_STALE);
}

static void delay_over(struct neighbour *neighbour)
{
    neighbour_enter(neighbour, NEIGHBOUR_PROBE);
}

static void probe_over(struct neighbour *neighbour)
{
    const struct neighbours_options *options = &neighbour->owner->options;

    if (neighbour->sent < RTE_MIN(options->probes + options->requests, (uint32_t)SENT_MAX))
        probe(neighbour);
    else
        neighbour_fail(neighbour);
}

/* Forget it. If that can't be committed, it is tried again. */
static void failed_over(struct neighbour *neighbour)
{
    struct neighbours *neighbours = neighbour->owner;
    uint64_t key = neighbour->node.key;

    if (neighbour_commit(neighbour, NULL) == 0)
        return;
    neighbour = (struct neighbour *)key_table_find(&neighbours->table, key);
    if (neighbour != NULL)
        start(neighbour, neighbours->options.failed_ms);
}

static const struct {
    void (*enter)(struct neighbour *neighbour);
    void (*over)(struct neighbour *neighbour);
} states[] = {
    [NEIGHBOUR_INCOMPLETE] = {request, incomplete_over},
    [NEIGHBOUR_REACHABLE] = {enter_reachable, reachable_over},
    [NEIGHBOUR_STALE] = {enter_stale, NULL},
    [NEIGHBOUR_DELAY] = {enter_delay, delay_over},
    [NEIGHBOUR_PROBE] = {probe, probe_over},
    [NEIGHBOUR_FAILED] = {enter_failed, failed_over},
};

static void time_over(struct ns_timer *timer)
{
    struct neighbour *neighbour =
        (struct neighbour *)((char *)timer - offsetof(struct neighbour, timer));

    states[neighbour->state].over(neighbour);
}

void neighbour_rest(struct neighbour *neighbour)
{
    struct neighbours *neighbours = neighbour->owner;

    ns_timer_stop(neighbours->loop, &neighbour->timer);
    if (neighbour->state != NEIGHBOUR_STALE)
        return;
    TAILQ_REMOVE(&neighbours->stale, neighbour, stale);
    neighbours->stale_count--;
}

void neighbour_enter(struct neighbour *neighbour, enum neighbour_state state)
{
    neighbour_rest(neighbour);
    neighbour->timer.fn = time_over;
    neighbour->state = (uint8_t)state;
    neighbour->since = ns_loop_now(neighbour->owner->loop);
    neighbour->sent = 0;
    states[state].enter(neighbour);
}

void neighbour_fail(struct neighbour *neighbour)
{
    struct neighbours *neighbours = neighbour->owner;
    uint64_t key = neighbour->node.key;
    int error = neighbour_commit(neighbour, "failed");

    neighbour = (struct neighbour *)key_table_find(&neighbours->table, key);
    if (neighbour == NULL)
        return;
    neighbour->timer.fn = time_over;
    if (error != 0) {
        start(neighbour, neighbours->options.retransmit_ms);
        return;
    }
    neighbours->counters.failed++;
    neighbour_enter(neighbour, NEIGHBOUR_FAILED);
}

/* ---- STALE ones ---- */

static bool used_since(const struct neighbour *neighbour)
{
    const struct neighbours_io *io = &neighbour->owner->io;

    return io->used != NULL && io->used(io->arg, neighbour->iface, neighbour->address) >
                                   neighbour->since / NEIGHBOUR_SECOND;
}

/* Has a packet been sent since it became STALE? Then probe it soon. Or has it not been used for long?
 * Then forget it. */
static void look_at_stale(struct neighbour *neighbour)
{
    struct neighbours *neighbours = neighbour->owner;
    uint64_t age = ns_loop_now(neighbours->loop) - neighbour->since;

    if (used_since(neighbour))
        neighbour_enter(neighbour, NEIGHBOUR_DELAY);
    else if (age >= neighbours->options.stale_ms * NEIGHBOUR_MS)
        neighbour_commit(neighbour, NULL); /* if it fails, the next round tries again */
}

bool neighbours_make_room(struct neighbours *neighbours)
{
    struct neighbour *neighbour = TAILQ_FIRST(&neighbours->stale);

    return neighbour != NULL && !used_since(neighbour) && neighbour_commit(neighbour, NULL) == 0;
}

void neighbour_stale_tick(struct ns_timer *timer)
{
    struct neighbours *neighbours =
        (struct neighbours *)((char *)timer - offsetof(struct neighbours, stale_tick));
    size_t count = RTE_MIN(neighbours->stale_count, STALE_SLICE + neighbours->stale_count / 8);

    for (; count > 0 && !TAILQ_EMPTY(&neighbours->stale); count--) {
        struct neighbour *neighbour = TAILQ_FIRST(&neighbours->stale);

        TAILQ_REMOVE(&neighbours->stale, neighbour, stale);
        TAILQ_INSERT_TAIL(&neighbours->stale, neighbour, stale);
        look_at_stale(neighbour);
    }
    if (neighbours->stale_count > 0)
        start_stale_tick(neighbours);
}
