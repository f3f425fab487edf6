/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Histories of transactions, as clients saw them, and whether there is a serial order that explains them.
 *
 * Every value that is written is unique, so a read tells whose write it saw; 0 stands for absence. A
 * transaction that has changed something comes with a number that orders it (the commit's, as far as it could
 * be learnt; equal numbers are in unknown order). The check is a proof: all transactions are run again one after
 * the other in that order, and each must see what it saw. One that only read may stand anywhere, but not
 * before a commit of which its client side knew when it began.
 *
 * Names are numbered 0 to HISTORY_NAMES - 1; each HISTORY_WIDTH of them are one directory.
 */
#ifndef KEDGE_TESTS_UNIT_HISTORY_H
#define KEDGE_TESTS_UNIT_HISTORY_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HISTORY_NAMES = 8, HISTORY_WIDTH = 4, HISTORY_STEPS = 8, HISTORY_TIES = 8 };

enum history_kind { HISTORY_READ, HISTORY_WRITE, HISTORY_REMOVE, HISTORY_LIST };

struct history_step {
    enum history_kind kind;
    unsigned name;  /* LIST: the directory */
    uint64_t value; /* read or written; LIST: a bit for each name of the directory */
};

struct history_txn {
    uint64_t order; /* 0: it has changed nothing */
    uint64_t after; /* the newest commit that was acknowledged to anybody when it began */
    unsigned count;
    struct history_step steps[HISTORY_STEPS];
};

struct history_state {
    uint64_t order;
    uint64_t values[HISTORY_NAMES];
};

static inline uint64_t history_list(const struct history_state *state, unsigned directory)
{
    uint64_t present = 0;

    for (unsigned i = 0; i < HISTORY_WIDTH; i++)
        if (state->values[directory * HISTORY_WIDTH + i] != 0)
            present |= UINT64_C(1) << i;
    return present;
}

/* Run one on a state; false: it can't have seen that. */
static inline bool history_run(const struct history_txn *txn, struct history_state *state)
{
    for (unsigned i = 0; i < txn->count; i++) {
        const struct history_step *step = &txn->steps[i];

        switch (step->kind) {
        case HISTORY_WRITE: state->values[step->name] = step->value; break;
        case HISTORY_REMOVE: state->values[step->name] = 0; break;
        case HISTORY_READ:
            if (state->values[step->name] != step->value)
                return false;
            break;
        case HISTORY_LIST:
            if (history_list(state, step->name) != step->value)
                return false;
            break;
        }
    }
    if (txn->order != 0)
        state->order = txn->order;
    return true;
}

static inline int history_compare(const void *a, const void *b)
{
    const struct history_txn *x = a, *y = b;

    return (x->order > y->order) - (x->order < y->order);
}

/* Those of one number in any order that works; `done` is a bit for each. */
static inline bool history_run_ties(const struct history_txn *txns, unsigned count, unsigned done,
                                    struct history_state *states)
{
    if (done == (1u << count) - 1)
        return true;
    for (unsigned i = 0; i < count; i++) {
        states[1] = states[0];
        if (!(done & 1u << i) && history_run(&txns[i], &states[1]) &&
            history_run_ties(txns, count, done | 1u << i, states + 1))
            return true;
    }
    return false;
}

/* All that have changed something, which come last in `txns`. states has room for one more than there are, and
 * starts with all absent. */
static inline bool history_run_changes(const struct history_txn *txns, size_t count,
                                       struct history_state *states)
{
    for (size_t i = 0, end; i < count; i = end) {
        for (end = i + 1; end < count && txns[end].order == txns[i].order;)
            end++;
        if (end - i > HISTORY_TIES ||
            !history_run_ties(txns + i, (unsigned)(end - i), 0, states + i)) {
            printf("commit %llu saw what no serial order explains\n",
                   (unsigned long long)txns[i].order);
            return false;
        }
    }
    return true;
}

static inline bool history_fits(const struct history_txn *txn, const struct history_state *states,
                                size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct history_state state = states[i];

        if ((i + 1 == count || states[i + 1].order > txn->after) && history_run(txn, &state))
            return true;
    }
    return false;
}

/* Is there a serial order? Sorts the transactions. */
static inline bool history_is_serial(struct history_txn *txns, size_t count)
{
    struct history_state *states = calloc(count + 1, sizeof(*states));
    size_t readers = 0;
    bool serial;

    qsort(txns, count, sizeof(*txns), history_compare);
    while (readers < count && txns[readers].order == 0)
        readers++;
    serial = history_run_changes(txns + readers, count - readers, states);
    for (size_t i = 0; i < readers && serial; i++) {
        serial = history_fits(&txns[i], states, count - readers + 1);
        if (!serial)
            printf("a transaction that only read, after commit %llu, saw what never was at once\n",
                   (unsigned long long)txns[i].after);
    }
    free(states);
    return serial;
}

#endif
