/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The life of an anchor: nobody reads one that is freed, and nobody who came back is forgotten.
 *
 * One anchor, LCORES lcores whose flows come and go (BINDS times each), and a control core that commits COMMITS
 * changes of it, answers requests, and forgets it when nobody depends on it any more. A grace period is over
 * when every lcore has passed a quiescent state, which it does only between two turns of its loop. The steps
 * carry the names under which the C code refers to them:
 *
 *     S1..S5   control core: consider() in anchor.c
 *     A1..A2   control core: ns_anchor_get(), ns_anchor_register_for()
 *     B1..B4   lcore: finds the anchor, registers (R1..R4 of notice.pml), and leaves it again
 *     D1..D5   lcore: takes notices, as in notice.pml, but not all of them in the same turn
 *
 * Claims: no lcore touches the anchor when it is freed; when nothing more can happen no flow is bound to a
 * freed anchor, and each is as new as its anchor.
 *
 * Deliberately broken variants, each of which must fail: BREAK_NO_GRACE, BREAK_ONE_GRACE, BREAK_LOOK_AGAIN,
 * BREAK_PENDING, BREAK_LINK_LATE, BREAK_UNREGISTERED (registers again because of a notice alone).
 */
#ifndef COMMITS
#define COMMITS 1
#endif
#ifndef BINDS
#define BINDS 2
#endif
#ifndef LCORES
#define LCORES 1 /* or 2 */
#endif
#define THREADS (LCORES + 1)
#define CONTROL LCORES
#define DEPTH 3

#define VERSION 0
#define CHANGED 1          /* the anchor's version */
#define MASK 2
#define LINKED 3           /* do lcores find it? */
#define HEAD(lcore) (4 + (lcore))
#define PENDING(lcore) (6 + (lcore))
#define REQUEST(lcore) (8 + (lcore))
#define VARIABLES 10
#include "memory.pml"

bit freed;                 /* at once, for everybody */
bit online[LCORES];        /* the grace period under way waits for this lcore */
bit bound[LCORES];
byte version[LCORES];      /* of the flow's binding */

#define touch() assert(!freed)

/* ---- control core ---- */

mtype = { LIVE, DYING, DEAD, FREED };

inline grace_begin()
{
    fence(CONTROL);
    d_step {
        online[0] = 1;
#if LCORES > 1
        online[1] = 1;
#endif
    }
}

#if LCORES > 1
#define GRACE_OVER (!online[0] && !online[1])
#else
#define GRACE_OVER (!online[0])
#endif

inline notify(lcore)
{
    exchange(CONTROL, PENDING(lcore), 1, was);
    if
    :: was == 0 -> exchange(CONTROL, HEAD(lcore), 1, was)
    :: else
    fi;
    was = 0
}

/* is_used(): one load after the other, while lcores go on. */
inline look_whether_used()
{
    load(CONTROL, MASK, used);
#ifndef BREAK_PENDING
    if
    :: used == 0 -> load(CONTROL, PENDING(0), used)
    :: else
    fi;
#if LCORES > 1
    if
    :: used == 0 -> load(CONTROL, PENDING(1), used)
    :: else
    fi
#endif
#endif
}

inline revive()
{
    state = LIVE;
    store_release(CONTROL, LINKED, 1)
}

inline answer(lcore)
{
    store(CONTROL, REQUEST(lcore), 0);                      /* A1 */
    fence(CONTROL);
    if
    :: state == DYING || state == DEAD -> revive()
    :: else
    fi;
    if
    :: state != FREED ->
        set_bit(CONTROL, MASK, 1 << lcore);                 /* A2 */
        notify(lcore)
    :: else
    fi
}

proctype control()
{
    byte number, was, used;
    mtype state = LIVE;

end:
    do
    :: number < COMMITS && state != FREED ->
        number++;
        store_release(CONTROL, VERSION, number);
        store_release(CONTROL, CHANGED, number);
        fence(CONTROL);
        load(CONTROL, MASK, used);
        if
        :: used & 1 -> notify(0)
        :: else
        fi;
#if LCORES > 1
        if
        :: used & 2 -> notify(1)
        :: else
        fi;
#endif
        used = 0

    :: memory[REQUEST(0)] == 1 -> answer(0)
#if LCORES > 1
    :: memory[REQUEST(1)] == 1 -> answer(1)
#endif

    :: state == LIVE ->
        look_whether_used();                                /* S1 */
        if
        :: used == 0 ->
#ifndef BREAK_LINK_LATE
            store_release(CONTROL, LINKED, 0);              /* S2 */
#endif
            state = DYING;
            grace_begin();                                  /* S3 */
#ifdef BREAK_LINK_LATE
            store_release(CONTROL, LINKED, 0)
#endif
        :: else -> used = 0
        fi

#ifdef BREAK_NO_GRACE
    :: state == DYING ->
#else
    :: state == DYING && GRACE_OVER ->
#endif
#ifndef BREAK_LOOK_AGAIN
        look_whether_used();                                /* S4 */
#endif
        if
        :: used != 0 -> revive()
        :: else ->
#ifdef BREAK_ONE_GRACE
            state = FREED;
            freed = 1
#else
            state = DEAD;
            grace_begin()
#endif
        fi;
        used = 0

#ifdef BREAK_NO_GRACE
    :: state == DEAD ->
#else
    :: state == DEAD && GRACE_OVER ->
#endif
#ifndef BREAK_LOOK_AGAIN
        look_whether_used();                                /* S5 */
#endif
        if
        :: used != 0 -> revive()
        :: else ->
            state = FREED;
            freed = 1
        fi;
        used = 0
    od
}

/* ---- lcores ---- */

inline bind(lcore)
{
    do
    :: load(lcore, VERSION, seen);                          /* R1 */
       touch();
       set_bit(lcore, MASK, 1 << lcore);                    /* R2, R3 */
       touch();
       load(lcore, CHANGED, other);                         /* R4 */
       if
       :: other <= seen -> break
       :: else
       fi
    od;
    bound[lcore] = 1;
    version[lcore] = seen;
    seen = 0;
    other = 0
}

proctype worker(byte self)
{
    byte binds, found, seen, other;
    bit list, asked;

end:
    do
    :: !bound[self] && binds < BINDS ->
        load(self, LINKED, found);                          /* B1 */
        if
        :: found ->
            binds++;
            asked = 0;
            bind(self)                                      /* B2 */
        :: !found && !asked ->
            asked = 1;
            store(self, REQUEST(self), 1)                   /* B3 */
        :: else
        fi;
        found = 0

    :: bound[self] ->
        touch();
        clear_bit(self, MASK, 1 << self);                   /* B4 */
        bound[self] = 0;
        version[self] = 0

    :: !list && memory[HEAD(self)] != 0 ->
        exchange(self, HEAD(self), 0, list)                 /* D1 */

    :: list ->
        touch();
        store(self, PENDING(self), 0);                      /* D3 */
        fence(self);                                        /* D4 */
        touch();
        list = 0;
        load(self, MASK, found);                            /* D6: has it left meanwhile? */
#ifndef BREAK_UNREGISTERED
        if
        :: !(found & (1 << self)) -> goto next_turn
        :: else
        fi;
#endif
        touch();
        load(self, CHANGED, found);                         /* D5 */
        if
        :: bound[self] && found > version[self] -> bind(self)
        :: !bound[self] && binds < BINDS ->
            binds++;
            asked = 0;
            bind(self)
        :: !bound[self] && binds == BINDS -> clear_bit(self, MASK, 1 << self)
        :: else
        fi;
next_turn:
        found = 0

    :: online[self] ->
        fence(self);
        online[self] = 0
    od
}

inline check(lcore)
{
    assert(!bound[lcore] || (!freed && version[lcore] >= memory[CHANGED]));
    assert(memory[HEAD(lcore)] == 0 && memory[PENDING(lcore)] == 0)
}

init {
    atomic {
        memory[LINKED] = 1;
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
