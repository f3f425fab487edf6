/* SPDX-License-Identifier: BSD-3-Clause */
/* Turns of transactions that have lost; see turn.h. */
#include "nameserv/turn.h"

#include <stdlib.h>
#include <string.h>

#include "nameserv/connection.h"

static struct ns_lane *lane_of(struct ns_connection *connection)
{
    return &connection->server->turns
                .lanes[connection->who.privileged ? NS_LANE_PRIVILEGED : NS_LANE_OTHERS];
}

static uint64_t now_of(const struct ns_server *server)
{
    return ns_loop_now(server->loop);
}

/* ---- holding back ---- */

static void hold(struct ns_connection *connection, struct ns_turn_queue *queue)
{
    connection->turn.held = true;
    TAILQ_INSERT_TAIL(queue, connection, turn.link);
}

static void let_go(struct ns_connection *connection, struct ns_turn_queue *queue)
{
    connection->turn.held = false;
    TAILQ_REMOVE(queue, connection, turn.link);
    ns_connection_ready(connection);
}

/* They ask again when they run; another turn may still be in their way. */
static void let_all_go(struct ns_turns *turns)
{
    struct ns_connection *connection;

    while ((connection = TAILQ_FIRST(&turns->held)) != NULL)
        let_go(connection, &turns->held);
}

static void dequeue(struct ns_lane *lane, struct ns_connection *connection)
{
    connection->turn.queued = false;
    let_go(connection, &lane->queue);
}

/* ---- a lane ---- */

static void begin(struct ns_lane *lane, struct ns_connection *connection)
{
    lane->holder = connection;
    lane->began = now_of(lane->server);
    lane->held_since = 0;
    if (connection->turn.rank > lane->rank)
        lane->rank = connection->turn.rank;
    connection->turn.txn = 0;
    lane->server->counters.turns++;
}

static struct ns_connection *first_in_rank(const struct ns_lane *lane)
{
    struct ns_connection *connection, *first = TAILQ_FIRST(&lane->queue);

    TAILQ_FOREACH (connection, &lane->queue, turn.link)
        if (connection->turn.rank < first->turn.rank)
            first = connection;
    return first;
}

static bool is_free(const struct ns_lane *lane)
{
    return lane->holder == NULL && now_of(lane->server) >= lane->next;
}

/* When the lane has to be looked at again. */
static void schedule(struct ns_lane *lane)
{
    const struct ns_connection *first = TAILQ_FIRST(&lane->queue);
    uint64_t now = now_of(lane->server), due = UINT64_MAX;

    if (lane->holder != NULL)
        due = lane->began + NS_TURN_TIME;
    else if (first != NULL)
        due = lane->next;
    if (first != NULL && first->turn.since + NS_TURN_WAIT < due)
        due = first->turn.since + NS_TURN_WAIT;
    ns_timer_start(lane->server->loop, &lane->timer, due > now ? due - now : 0);
}

static void advance(struct ns_lane *lane)
{
    uint64_t now = now_of(lane->server);
    struct ns_connection *connection;

    while ((connection = TAILQ_FIRST(&lane->queue)) != NULL &&
           now >= connection->turn.since + NS_TURN_WAIT) {
        connection->turn.waived = true;
        dequeue(lane, connection);
    }
    if (connection != NULL && is_free(lane)) {
        connection = first_in_rank(lane);
        dequeue(lane, connection);
        begin(lane, connection);
    }
    schedule(lane);
}

static void end(struct ns_lane *lane)
{
    uint64_t now = now_of(lane->server);

    lane->holder = NULL;
    if (lane->held_since != 0)
        lane->next = now + (now - lane->held_since) * NS_TURN_PAUSE;
    let_all_go(&lane->server->turns);
    advance(lane);
}

static void lane_timer(struct ns_timer *timer)
{
    struct ns_lane *lane = (struct ns_lane *)((char *)timer - offsetof(struct ns_lane, timer));

    /* Its place in the heap was just given up, so there is room for it. */
    schedule(lane);
    if (lane->holder != NULL && now_of(lane->server) >= lane->began + NS_TURN_TIME) {
        lane->server->counters.turns_expired++;
        end(lane);
    } else {
        advance(lane);
    }
}

int ns_turns_start(struct ns_server *server)
{
    int error = 0;

    TAILQ_INIT(&server->turns.held);
    for (int i = 0; i < NS_LANES; i++) {
        struct ns_lane *lane = &server->turns.lanes[i];

        lane->server = server;
        lane->timer.fn = lane_timer;
        TAILQ_INIT(&lane->queue);
        if (error == 0)
            error = ns_timer_start(server->loop, &lane->timer, UINT64_MAX);
    }
    return error;
}

void ns_turns_stop(struct ns_server *server)
{
    for (int i = 0; i < NS_LANES; i++)
        ns_timer_stop(server->loop, &server->turns.lanes[i].timer);
}

/* ---- who has lost ---- */

void ns_turn_lost(const char *path, size_t size, unsigned what, void *arg)
{
    struct ns_connection *connection = arg;
    struct ns_turn *turn = &connection->turn;
    struct ns_turn_name *name;

    SLIST_FOREACH (name, &turn->names, link) {
        if (name->size == size && memcmp(name->path, path, size) == 0) {
            name->what |= what;
            return;
        }
    }
    name = turn->name_count < NS_TURN_NAMES_MAX && turn->name_bytes + size <= NS_TURN_BYTES_MAX
               ? malloc(sizeof(*name) + size)
               : NULL;
    if (name == NULL) {
        turn->everything = true;
        return;
    }
    name->size = (uint32_t)size;
    name->what = what;
    memcpy(name->path, path, size);
    SLIST_INSERT_HEAD(&turn->names, name, link);
    turn->name_count++;
    turn->name_bytes += size;
}

static void forget_names(struct ns_turn *turn)
{
    struct ns_turn_name *name;

    while ((name = SLIST_FIRST(&turn->names)) != NULL) {
        SLIST_REMOVE_HEAD(&turn->names, link);
        free(name);
    }
    turn->name_count = turn->name_bytes = 0;
    turn->everything = false;
}

/* Behind all of the same uid, and behind the newest turn. */
static uint64_t next_rank(const struct ns_lane *lane, const struct ns_connection *connection)
{
    const struct ns_connection *other;
    uint64_t rank = lane->rank;

    TAILQ_FOREACH (other, &lane->queue, turn.link)
        if (other->who.uid == connection->who.uid && other->turn.rank > rank)
            rank = other->turn.rank;
    return rank + 1;
}

bool ns_turn_begin(struct ns_connection *connection)
{
    struct ns_lane *lane = lane_of(connection);
    struct ns_turn *turn = &connection->turn;

    if (turn->name_count == 0 || lane->holder == connection || turn->waived) {
        turn->waived = false;
        return true;
    }
    turn->rank = next_rank(lane, connection);
    if (TAILQ_EMPTY(&lane->queue) && is_free(lane)) {
        begin(lane, connection);
        schedule(lane);
        return true;
    }
    turn->since = now_of(connection->server);
    turn->queued = true;
    hold(connection, &lane->queue);
    schedule(lane);
    return false;
}

void ns_turn_started(struct ns_connection *connection, uint32_t txn)
{
    if (lane_of(connection)->holder == connection && connection->turn.txn == 0)
        connection->turn.txn = txn;
}

/* ---- who is in the way ---- */

static bool is_in_the_way(const struct ns_lane *lane, const struct ns_txn *txn)
{
    const struct ns_turn *turn = &lane->holder->turn;
    const struct ns_turn_name *name;

    if (turn->everything && lane->holder->who.privileged)
        return ns_txn_changes(txn);
    SLIST_FOREACH (name, &turn->names, link)
        if (ns_txn_disturbs(txn, name->path, name->size, name->what))
            return true;
    return false;
}

bool ns_turn_allows(struct ns_connection *connection, const struct ns_txn *txn)
{
    struct ns_turns *turns = &connection->server->turns;

    for (struct ns_lane *lane = lane_of(connection); lane < turns->lanes + NS_LANES; lane++) {
        if (lane->holder == NULL || lane->holder == connection || !is_in_the_way(lane, txn))
            continue;
        if (lane->held_since == 0)
            lane->held_since = now_of(connection->server);
        hold(connection, &turns->held);
        connection->server->counters.held++;
        return false;
    }
    return true;
}

/* ---- ends ---- */

void ns_turn_ended(struct ns_connection *connection, uint32_t txn, bool won)
{
    struct ns_lane *lane = lane_of(connection);

    if (won)
        forget_names(&connection->turn);
    if (lane->holder == connection && connection->turn.txn == txn)
        end(lane);
}

void ns_turn_reset(struct ns_connection *connection)
{
    struct ns_lane *lane = lane_of(connection);
    struct ns_turn *turn = &connection->turn;

    forget_names(turn);
    if (turn->queued)
        dequeue(lane, connection);
    else if (turn->held)
        let_go(connection, &connection->server->turns.held);
    if (lane->holder == connection)
        end(lane);
}
