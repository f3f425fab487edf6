/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A worker that sleeps misses nothing that was put there for it.
 *
 * One worker and two threads that have something for it (the control core with notices and orders, another
 * worker with packets), WORK times each. The worker's nap may end by itself, NAPS times, which is where a
 * wake-up could get lost; after that only a wake-up ends it. The steps carry the names under which the C
 * code refers to them:
 *
 *     W1..W4   who has something: worker_wake() in sleep.c
 *     Z1..Z7   the worker: worker_idle(), something_came() and nap() in sleep.c
 *
 * Claim: when nothing more can happen, there is nothing left to do.
 *
 * Deliberately broken variants, each of which must fail: BREAK_WAKE_FENCE, BREAK_SLEEP_FENCE, BREAK_LOOK_FIRST,
 * BREAK_CLEAR_FIRST.
 */
#ifndef WORK
#define WORK 2
#endif
#ifndef NAPS
#define NAPS 2
#endif
#define THREADS 3
#define WORKER 2
#define DEPTH 3

#define LEFT(thread) (thread) /* work of that thread that has not been done */
#define SLEEPING 2
#define WOKEN 3
#define VARIABLES 4
#include "memory.pml"

bit event; /* the eventfd: in the kernel, one for all */

proctype waker(byte self)
{
    byte i, seen;

    do
    :: i < WORK ->
        i++;
#ifdef BREAK_WAKE_FENCE
        store_release(self, LEFT(self), 1);                 /* W1 */
#else
        store_release(self, LEFT(self), 1);
        fence(self);                                        /* W2 */
#endif
        load(self, SLEEPING, seen);                         /* W3 */
        if
        :: seen ->
            exchange(self, WOKEN, 1, seen);                 /* W4 */
            if
            :: seen == 0 -> event = 1
            :: else
            fi
        :: else
        fi;
        seen = 0
    :: else -> break
    od
}

inline look()
{
    load(WORKER, LEFT(0), seen);
    if
    :: seen == 0 -> load(WORKER, LEFT(1), seen)
    :: else
    fi
}

proctype worker()
{
    byte seen, naps, ignored;

end:
    do
    :: exchange(WORKER, LEFT(0), 0, ignored);               /* Z1 */
       exchange(WORKER, LEFT(1), 0, ignored);
       ignored = 0;
#ifdef BREAK_LOOK_FIRST
       look();
#endif
       store(WORKER, SLEEPING, 1);                          /* Z2 */
#ifndef BREAK_SLEEP_FENCE
       fence(WORKER);                                       /* Z3 */
#endif
#ifndef BREAK_LOOK_FIRST
       look();                                              /* Z4 */
#endif
       if
       :: seen -> seen = 0
       :: else ->
end_nap:
            if
            :: event ->                                     /* Z5 */
#ifdef BREAK_CLEAR_FIRST
                exchange(WORKER, WOKEN, 0, ignored);
                event = 0
#else
                event = 0;
                exchange(WORKER, WOKEN, 0, ignored)         /* Z6 */
#endif
            :: naps < NAPS -> naps++
            fi;
            ignored = 0
       fi;
       store(WORKER, SLEEPING, 0);                          /* Z7 */
       fence(WORKER)
    od
}

init {
    atomic {
        run drain(0);
        run drain(1);
        run drain(WORKER);
        run waker(0);
        run waker(1);
        run worker()
    };
    timeout;
    assert(memory[LEFT(0)] == 0 && memory[LEFT(1)] == 0)
}
