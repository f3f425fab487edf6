/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Orders of the control core: packets to send, questions about flows.
 *
 * A question may have to look through the whole table: it does so in slices, one a round, so that
 * forwarding goes on. Questions are answered one after the other; other orders don't wait for them.
 */
#include "dataplane/worker_p.h"

enum {
    ORDERS_A_ROUND = 32,
    ORIGINS = RTE_DIM(((struct question *)0)->origins),
    SCOPE_ANY = 0xffff,
    CHECKS_A_ROUND = 32, /* slots of the flow table */
};

/* Same flow, whatever interface it came in by. */
static bool same_but_scope(const union flow_key *a, const union flow_key *b)
{
    union flow_key x = *a;

    x.scope = b->scope;
    return x.word[0] == b->word[0] && x.word[1] == b->word[1];
}

static bool wanted(const struct question *question, const struct flow *flow)
{
    if (!flow_is_live(flow))
        return false;
    return question->kind == QUESTION_FLOWS || same_but_scope(&flow->key, &question->key);
}

/* No flow has a key without a kind, but empty slots do. */
static void take_origin(struct worker *worker, struct question *question, const union flow_key *key)
{
    if (key->kind != 0 && flow_origin(worker->table, key, &question->origins[question->count]))
        question->count++;
}

static bool is_full(const struct question *question)
{
    return question->count == ORIGINS ||
           (question->limit > 0 && question->count >= question->limit);
}

/* Go on from the cursor; true when the question is answered. */
static bool question_slice(struct worker *worker, struct question *question)
{
    const struct flow_table *table = worker->table;

    if (question->kind == QUESTION_CHECK)
        return flow_table_check(table, &question->check, CHECKS_A_ROUND);
    if (question->kind == QUESTION_ORIGIN && question->key.scope != SCOPE_ANY) {
        take_origin(worker, question, &question->key);
        return true;
    }
    for (unsigned i = 0; i < ROUND_SLICE; i++) {
        const struct flow *flow;

        if (is_full(question))
            return true;
        if (question->cursor > table->mask) {
            question->cursor = UINT32_MAX;
            return true;
        }
        flow = &table->flows[question->cursor++];
        if (wanted(question, flow))
            take_origin(worker, question, &flow->key);
    }
    return false;
}

static void questions_round(struct worker *worker)
{
    struct question *question = worker->questions;
    struct request answer = {.kind = REQUEST_ANSWER, .question = question};

    if (!question_slice(worker, question) ||
        ring_count(worker->requests) == rte_ring_get_capacity(worker->requests))
        return; /* goes on in the next round */
    worker->questions = question->next;
    if (worker->questions == NULL)
        worker->questions_end = &worker->questions;
    request_send(worker, &answer);
}

static void question_take(struct worker *worker, struct question *question)
{
    if (question->kind == QUESTION_ORIGIN)
        question->cursor = 0;
    question->count = 0;
    question->next = NULL;
    *worker->questions_end = question;
    worker->questions_end = &question->next;
}

static void obey(struct worker *worker, const struct order *order)
{
    switch (order->kind) {
    case ORDER_SEND: transmit(worker, order->packet, order->port); break;
    case ORDER_QUESTION: question_take(worker, order->question); break;
    case ORDER_CLEAR: flow_table_clear(worker->table); break;
    case ORDER_TRACE: trace_arm(worker, order->trace); break;
    }
}

bool orders_round(struct worker *worker)
{
    struct order orders[ORDERS_A_ROUND];
    unsigned count;

    count = rte_ring_sc_dequeue_burst_elem(worker->orders, orders, sizeof(orders[0]),
                                           ORDERS_A_ROUND, NULL);
    for (unsigned i = 0; i < count; i++)
        obey(worker, &orders[i]);
    if (worker->questions == NULL)
        return count > 0;
    questions_round(worker);
    return true;
}
