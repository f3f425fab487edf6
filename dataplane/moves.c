/* SPDX-License-Identifier: BSD-3-Clause */
/* The log of moved flows, from a worker's listener to the control core. See moves.h. */
#include "dataplane/moves.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

#include <rte_malloc.h>

#include "dataplane/control.h"
#include "dataplane/flow_text.h"
#include "dataplane/worker_p.h"
#include "nameserv/log.h"

enum { MOVES_A_ROUND = 64, LOGGED_A_SECOND = 10, TEXT_MAX = 96 };

/* ---- on the worker ---- */

static bool may_say(struct worker_moves *moves, uint32_t now)
{
    if (moves->second != now) {
        moves->second = now;
        moves->in_second = 0;
    }
    return moves->in_second++ < MOVES_A_SECOND;
}

static void told(void *arg, const struct flow_change *change)
{
    struct worker *worker = arg;
    struct worker_moves *moves = worker->moves;
    uint32_t head = atomic_load_explicit(&moves->head, memory_order_relaxed);

    for (unsigned left = change->moved; left != 0; left &= left - 1)
        tally(moves->told[__builtin_ctz(left)], 1);
    if (!may_say(moves, worker->now) ||
        head - atomic_load_explicit(&moves->tail, memory_order_acquire) == MOVES_RING) {
        tally(moves->left_out, 1);
        return;
    }
    moves->ring[head % MOVES_RING] = (struct move){
        .key = change->flow->key, .from = *change->from, .to = *change->to, .moved = change->moved};
    atomic_store_explicit(&moves->head, head + 1, memory_order_release);
}

int moves_new(struct worker *worker, int numa_node)
{
    int listener;

    worker->moves =
        rte_zmalloc_socket("moves", sizeof(*worker->moves), RTE_CACHE_LINE_SIZE, numa_node);
    if (worker->moves == NULL)
        return -ENOMEM;
    listener = flow_listener_add(worker->table, told, worker, true);
    return RTE_MIN(listener, 0);
}

void moves_free(struct worker *worker)
{
    rte_free(worker->moves);
}

const struct worker_moves *moves_of(const struct worker *worker)
{
    return worker->moves;
}

/* ---- on the control core ---- */

static void describe_links(unsigned moved, char *text, size_t size)
{
    size_t used = 0;

    *text = 0;
    for (; moved != 0 && used < size; moved &= moved - 1)
        used += (size_t)snprintf(text + used, size - used, "%s%s", used == 0 ? "" : ", ",
                                 flow_link_name((enum flow_link)(moved & -moved)));
}

static void describe_way(const struct links *links, const struct adjacency *record, char *text,
                         size_t size)
{
    struct rte_ether_addr to;
    char mac[18] = "";

    memcpy(&to, record->header, sizeof(to));
    if (record->header_size >= RTE_ETHER_HDR_LEN)
        link_format_mac(&to, mac);
    if ((record->kind == ADJACENCY_FORWARD || record->kind == ADJACENCY_BRIDGED) &&
        record->port < LINK_PORTS_MAX && links->by_port_id[record->port] != LINK_NO_ID)
        snprintf(text, size, "%s%s%s", links->ports[links->by_port_id[record->port]].name,
                 *mac == 0 ? "" : " ", mac);
    else
        snprintf(text, size, "%s%s%s", adjacency_kind_name((enum adjacency_kind)record->kind),
                 *mac == 0 ? "" : " ", mac);
}

static void log_move(const struct links *links, const struct move *move)
{
    static struct ns_log_limit limit = {.burst = LOGGED_A_SECOND};
    char moved[TEXT_MAX], from[TEXT_MAX], to[TEXT_MAX], a[18], b[18];

    if (ns_log_get() < NS_LOG_INFO)
        return;
    describe_links(move->moved, moved, sizeof(moved));
    describe_way(links, &move->from, from, sizeof(from));
    describe_way(links, &move->to, to, sizeof(to));
    if (move->key.kind == FLOW_BRIDGED)
        ns_log_limited(&limit, NS_LOG_INFO, "flow to station %s moved from %s to %s: %s",
                       link_format_mac(&move->key.mac, a), from, to, moved);
    else
        ns_log_limited(&limit, NS_LOG_INFO, "flow %s > %s moved from %s to %s: %s",
                       link_format_ipv4(move->key.src, a), link_format_ipv4(move->key.dst, b), from,
                       to, moved);
}

static void keep(struct control *control, const struct links *links, const struct move *move,
                 unsigned worker)
{
    struct move_history *history = &control->moves;
    struct move *kept = &history->kept[history->next];

    *kept = *move;
    kept->number = ++history->count;
    kept->time = (uint64_t)time(NULL);
    kept->worker = (uint16_t)worker;
    history->next = (history->next + 1) % MOVES_KEPT;
    log_move(links, kept);
}

void moves_poll(struct control *control)
{
    const struct links *links;

    if (control->workers.count == 0) /* names only: there are no links either */
        return;
    links = links_of(ns_store_version(control->store), links_slot(control->modules.links));
    for (unsigned i = 0; i < control->workers.count; i++) {
        struct worker_moves *moves = control->workers.worker[i]->moves;
        uint32_t tail, head;

        if (moves == NULL)
            continue;
        tail = atomic_load_explicit(&moves->tail, memory_order_relaxed);
        head = atomic_load_explicit(&moves->head, memory_order_acquire);
        head = RTE_MIN(head - tail, (uint32_t)MOVES_A_ROUND) + tail;
        for (; tail != head; tail++)
            keep(control, links, &moves->ring[tail % MOVES_RING], i);
        atomic_store_explicit(&moves->tail, tail, memory_order_release);
    }
}
