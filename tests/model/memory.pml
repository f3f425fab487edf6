/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory as weak as the C code has to expect it, for the models beside this file.
 *
 * Spin itself interleaves steps on one memory that everybody sees at once. Here each thread has a store
 * buffer between itself and memory: a store goes into it, the thread's own loads see it there, and a
 * process of its own (drain) moves it to memory at any later time. Stores leave in any order, with two
 * exceptions: stores to one variable keep theirs, and a release store leaves only when all before it
 * have left. That is weaker than x86 (which keeps all stores in order), and as weak for stores as
 * C11 lets a compiler and an ARM processor be. What it does not show are loads that overtake each other;
 * in the C code each of those that matter is an acquire load, or stands behind a full fence.
 *
 *     store(thread, variable, value)           a plain or relaxed store
 *     store_release(thread, variable, value)   ns_rcu_publish(), memory_order_release
 *     load(thread, variable, result)
 *     fence(thread)                            NS_FENCE(): the buffer is empty
 *     exchange(thread, variable, value, result), set_bit, clear_bit
 *                                              read-modify-write: on memory itself, the buffer empty
 *
 * Before including it define THREADS, VARIABLES and DEPTH (how many stores a buffer holds, at most 5).
 */
byte memory[VARIABLES];

typedef buffer {
    byte count;
    byte variable[5];
    byte value[5];
    bit release[5];
};
buffer buffers[THREADS];

inline put(thread, cell, content, is_release)
{
    atomic {
        buffers[thread].count < DEPTH ->
        buffers[thread].variable[buffers[thread].count] = cell;
        buffers[thread].value[buffers[thread].count] = content;
        buffers[thread].release[buffers[thread].count] = is_release;
        buffers[thread].count++
    }
}

#define store(thread, cell, content)         put(thread, cell, content, 0)
#define store_release(thread, cell, content) put(thread, cell, content, 1)

/* The newest store of one's own, or else what is in memory. */
inline load(thread, cell, result)
{
    d_step {
        result = memory[cell];
        if
        :: buffers[thread].count > 0 && buffers[thread].variable[0] == cell -> result = buffers[thread].value[0]
        :: else
        fi;
        if
        :: buffers[thread].count > 1 && buffers[thread].variable[1] == cell -> result = buffers[thread].value[1]
        :: else
        fi;
        if
        :: buffers[thread].count > 2 && buffers[thread].variable[2] == cell -> result = buffers[thread].value[2]
        :: else
        fi;
        if
        :: buffers[thread].count > 3 && buffers[thread].variable[3] == cell -> result = buffers[thread].value[3]
        :: else
        fi;
        if
        :: buffers[thread].count > 4 && buffers[thread].variable[4] == cell -> result = buffers[thread].value[4]
        :: else
        fi
    }
}

inline fence(thread)
{
    buffers[thread].count == 0
}

inline exchange(thread, cell, content, result)
{
    atomic {
        buffers[thread].count == 0 ->
        result = memory[cell];
        memory[cell] = content
    }
}

inline set_bit(thread, cell, bits)
{
    atomic { buffers[thread].count == 0 -> memory[cell] = memory[cell] | (bits) }
}

inline clear_bit(thread, cell, bits)
{
    atomic { buffers[thread].count == 0 -> memory[cell] = memory[cell] & (255 - (bits)) }
}

/* May the store at this place leave before those in front of it? */
#define SAME(thread, before, place) (buffers[thread].variable[before] == buffers[thread].variable[place])
#define MAY_LEAVE(thread, place) \
    ((place) < buffers[thread].count && ((place) == 0 || (!buffers[thread].release[place] && \
     !SAME(thread, 0, place) && ((place) < 2 || !SAME(thread, 1, place)) && \
     ((place) < 3 || !SAME(thread, 2, place)) && ((place) < 4 || !SAME(thread, 3, place)))))

inline leave(thread, place)
{
    d_step {
        memory[buffers[thread].variable[place]] = buffers[thread].value[place];
        i = place;
        buffers[thread].count--;
        do
        :: i < buffers[thread].count ->
            buffers[thread].variable[i] = buffers[thread].variable[i + 1];
            buffers[thread].value[i] = buffers[thread].value[i + 1];
            buffers[thread].release[i] = buffers[thread].release[i + 1];
            i++
        :: else -> break
        od;
        /* What is left behind must not tell states apart. */
        buffers[thread].variable[i] = 0;
        buffers[thread].value[i] = 0;
        buffers[thread].release[i] = 0;
        i = 0
    }
}

proctype drain(byte thread)
{
    byte i;

end:
    do
    :: atomic { MAY_LEAVE(thread, 0) -> leave(thread, 0) }
    :: atomic { MAY_LEAVE(thread, 1) -> leave(thread, 1) }
    :: atomic { MAY_LEAVE(thread, 2) -> leave(thread, 2) }
    :: atomic { MAY_LEAVE(thread, 3) -> leave(thread, 3) }
    :: atomic { MAY_LEAVE(thread, 4) -> leave(thread, 4) }
    od
}
