/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Publish, register, notify, drain: no change is lost, none is told too early.
 *
 * One flow on each of LCORES lcores, bound through two anchors (a diamond), and COMMITS commits that change
 * one of them or both. The steps carry the names under which the C code refers to them:
 *
 *     P1..P6   control core: ns_commit publishing in commit.c, ns_anchors_publish() and
 *              ns_anchors_notify() in notice.c
 *     R1..R4   lcore: the slow turn in decision.c, ns_anchor_register() in anchor.h
 *     D1..D5   lcore: flow_table_poll() and ns_notice_take() in walk.c and anchor.h
 *
 * Claims, when nothing more can happen:
 *     every flow's binding is as new as each of its anchors   (no lost notice)
 *     no notice is pending, and none is in a list             (each was linked once and taken once)
 * and at any time:
 *     what a notice announces can be read when it is taken    (publish before notify)
 *     what has changed up to N has reached the flow of an lcore that says 'applied N'
 *
 * Deliberately broken variants, each of which must fail: BREAK_PUBLISH_FENCE, BREAK_REGISTER_FENCE,
 * BREAK_SECOND_LOOK, BREAK_CLEAR_LATE, BREAK_NEXT_LATE, BREAK_NOTIFIED_EARLY, BREAK_MASK_FIRST.
 */
#ifndef COMMITS
#define COMMITS 2
#endif
#ifndef LCORES
#define LCORES 1 /* or 2 */
#endif
#define THREADS (LCORES + 1) /* the lcores, and the control core */
#define CONTROL LCORES
#define DEPTH 4

#define VERSION 0                                           /* number of the published version */
#define CHANGED(anchor) (1 + (anchor))                      /* its version */
#define MASK(anchor) (3 + (anchor))                         /* lcores with dependents */
#define HEAD(lcore) (5 + (lcore))                           /* list of notices: 0, or anchor + 1 */
#define NOTIFIED(lcore) (7 + (lcore))                       /* newest commit, its notices linked */
#define PENDING(anchor, lcore) (9 + (anchor) * 2 + (lcore))
#define NEXT(anchor, lcore) (13 + (anchor) * 2 + (lcore))
#define VARIABLES 17
#include "memory.pml"

byte bound[LCORES];    /* version that the flow's binding was computed from */
byte applied[LCORES];

/* ---- control core ---- */

inline notify(anchor, lcore)
{
    exchange(CONTROL, PENDING(anchor, lcore), 1, was);      /* P5 */
    if
    :: was == 0 ->
        do
        :: load(CONTROL, HEAD(lcore), head);                /* P6 */
           store(CONTROL, NEXT(anchor, lcore), head);
           fence(CONTROL); /* the exchange that follows is a release */
           if
           :: atomic { memory[HEAD(lcore)] == head -> memory[HEAD(lcore)] = anchor + 1 };
              break
           :: atomic { memory[HEAD(lcore)] != head -> skip }
           fi
        od
    :: else
    fi
}

inline told(lcore, number)
{
    store_release(CONTROL, NOTIFIED(lcore), number)
}

/* Masks are read once for each anchor. */
inline notify_all(anchor, number)
{
    load(CONTROL, MASK(anchor), mask);                      /* P4 */
    if
    :: mask & 1 -> notify(anchor, 0)
    :: else
    fi;
#if LCORES > 1
    if
    :: mask & 2 -> notify(anchor, 1)
    :: else
    fi;
#endif
    masks = masks | mask;
    mask = 0;
    was = 0;
    head = 0
}

proctype control()
{
    byte number, mask, masks, was, head;
    bit first, second;

    do
    :: number < COMMITS ->
        number++;
        if
        :: first = 1; second = 0
        :: first = 0; second = 1
        :: first = 1; second = 1
        fi;
        store_release(CONTROL, VERSION, number);            /* P1 */
#ifdef BREAK_MASK_FIRST
        load(CONTROL, MASK(0), mask);
#endif
        if
        :: first -> store_release(CONTROL, CHANGED(0), number) /* P2 */
        :: else
        fi;
        if
        :: second -> store_release(CONTROL, CHANGED(1), number)
        :: else
        fi;
#ifndef BREAK_PUBLISH_FENCE
        fence(CONTROL);                                     /* P3 */
#endif
#ifdef BREAK_NOTIFIED_EARLY
        store_release(CONTROL, NOTIFIED(0), number);
#endif
#ifdef BREAK_MASK_FIRST
        if
        :: first && (mask & 1) -> notify(0, 0)
        :: else
        fi;
        masks = mask;
#else
        if
        :: first -> notify_all(0, number)
        :: else
        fi;
#endif
        if
        :: second -> notify_all(1, number)
        :: else
        fi;
#ifndef BREAK_NOTIFIED_EARLY
        if
        :: masks & 1 -> told(0, number)
        :: else
        fi;
#if LCORES > 1
        if
        :: masks & 2 -> told(1, number)
        :: else
        fi;
#endif
#endif
        masks = 0
    :: else -> break
    od
}

/* ---- lcores ---- */

/* One slow turn: the version, the registration, the second look. */
inline bind(lcore)
{
    do
    :: load(lcore, VERSION, version);                       /* R1 */
#ifdef BREAK_REGISTER_FENCE
       store(lcore, MASK(0), 1 << lcore);
       store(lcore, MASK(1), 1 << lcore);
#else
       set_bit(lcore, MASK(0), 1 << lcore);                 /* R2 */
       set_bit(lcore, MASK(1), 1 << lcore);
       fence(lcore);                                        /* R3 */
#endif
#ifdef BREAK_SECOND_LOOK
       break;
#endif
       load(lcore, CHANGED(0), seen);                       /* R4 */
       load(lcore, CHANGED(1), other);
       if
       :: seen <= version && other <= version -> break
       :: else
       fi
    od;
    bound[lcore] = version;
    version = 0;
    seen = 0;
    other = 0
}

inline take(lcore)
{
#ifdef BREAK_NEXT_LATE
    store(lcore, PENDING(list - 1, lcore), 0);
    fence(lcore);
    load(lcore, NEXT(list - 1, lcore), next);
#else
    load(lcore, NEXT(list - 1, lcore), next);               /* D2 */
#ifndef BREAK_CLEAR_LATE
    store(lcore, PENDING(list - 1, lcore), 0);              /* D3 */
    fence(lcore);                                           /* D4 */
#endif
#endif
    load(lcore, CHANGED(list - 1), changed);                /* D5 */
#ifdef BREAK_CLEAR_LATE
    store(lcore, PENDING(list - 1, lcore), 0);
    fence(lcore);
#endif
    if
    :: changed > bound[lcore] ->
        bind(lcore);
        assert(bound[lcore] >= changed)
    :: else
    fi;
    changed = 0;
    list = next;
    next = 0
}

proctype worker(byte self)
{
    byte version, seen, other, changed, list, next, taking;

    bind(self);
end:
    do
    :: memory[HEAD(self)] != 0 || memory[NOTIFIED(self)] > applied[self] ->
        load(self, NOTIFIED(self), taking);                 /* D0 */
        exchange(self, HEAD(self), 0, list);                /* D1 */
        do
        :: list != 0 -> take(self)
        :: else -> break
        od;
        applied[self] = taking;
        /* All changes up to there: those that are newer may wait for the next turn. */
        assert((memory[CHANGED(0)] <= bound[self] || memory[CHANGED(0)] > taking) &&
               (memory[CHANGED(1)] <= bound[self] || memory[CHANGED(1)] > taking));
        taking = 0
    od
}

#define NEWEST(lcore) (bound[lcore] >= memory[CHANGED(0)] && bound[lcore] >= memory[CHANGED(1)])

inline check(lcore)
{
    assert(NEWEST(lcore));
    assert(memory[HEAD(lcore)] == 0);
    assert(memory[PENDING(0, lcore)] == 0 && memory[PENDING(1, lcore)] == 0)
}

init {
    atomic {
        run drain(0);
#if LCORES > 1
        run drain(1);
#endif
        run drain(CONTROL);
        run worker(0);
#if LCORES > 1
        run worker(1);
#endif
        run control()
    };
    timeout;
    check(0);
#if LCORES > 1
    check(1);
#endif
}
