/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The hash of tables whose keys clients choose: names, and lists of permissions.
 *
 * It is SipHash-1-3 (Aumasson and Bernstein, "SipHash: a fast short-input PRF") under a key that each process draws
 * for itself: who does not know the key can't compute names that lie in one chain, as he could for FNV or a CRC, and
 * turn each look-up into a walk over all that he made. Seeds of those would not help: names that collide under one
 * collide under many.
 *
 * What is hashed is a sequence of words. Unlike in the paper its length is not part of it: callers make their words
 * so that no two keys give the same ones, and that way a prefix of a path costs only its end (ns_path_hash_end()).
 *
 * Costs: a round for a word, three at the end; each is some 14 instructions that depend on each other.
 *
 * Thread safety: pure, any thread, after ns_hash_seed().
 */
#ifndef KEDGE_NAMESERV_HASH_H
#define KEDGE_NAMESERV_HASH_H

#include <stddef.h>
#include <stdint.h>

struct ns_hash {
    uint64_t a, b, c, d;
};

/* Where each hash of this process begins: its key, drawn by the first ns_hash_seed(). */
extern struct ns_hash ns_hash_start;

/* Draw the key, unless there is one. ns_store_new() calls it. 0, or a negative errno of getrandom(). */
int ns_hash_seed(void);

/* The beginning under a given key. */
static inline struct ns_hash ns_hash_of_key(uint64_t key0, uint64_t key1)
{
    return (struct ns_hash){
        key0 ^ UINT64_C(0x736f6d6570736575), key1 ^ UINT64_C(0x646f72616e646f6d),
        key0 ^ UINT64_C(0x6c7967656e657261), key1 ^ UINT64_C(0x7465646279746573)};
}

static inline uint64_t ns_hash_turn(uint64_t word, unsigned bits)
{
    return word << bits | word >> (64 - bits);
}

static inline void ns_hash_round(struct ns_hash *hash)
{
    hash->a += hash->b;
    hash->c += hash->d;
    hash->b = ns_hash_turn(hash->b, 13) ^ hash->a;
    hash->d = ns_hash_turn(hash->d, 16) ^ hash->c;
    hash->a = ns_hash_turn(hash->a, 32) + hash->d;
    hash->c += hash->b;
    hash->d = ns_hash_turn(hash->d, 21) ^ hash->a;
    hash->b = ns_hash_turn(hash->b, 17) ^ hash->c;
    hash->c = ns_hash_turn(hash->c, 32);
}

static inline void ns_hash_word(struct ns_hash *hash, uint64_t word)
{
    hash->d ^= word;
    ns_hash_round(hash);
    hash->a ^= word;
}

static inline uint64_t ns_hash_end(struct ns_hash hash)
{
    hash.c ^= 0xff;
    for (int i = 0; i < 3; i++)
        ns_hash_round(&hash);
    return hash.a ^ hash.b ^ hash.c ^ hash.d;
}

/* ---- paths ---- */

/*
 * A path, byte after byte. Each name begins with its '/' in a word of its own, and zeros fill up the last word of the
 * name before; no name has a NUL byte, so no two paths give the same words.
 */
struct ns_path_hash {
    struct ns_hash hash;
    uint64_t word;
    unsigned bits; /* that word has */
};

static inline struct ns_path_hash ns_path_hash_begin(void)
{
    return (struct ns_path_hash){.hash = ns_hash_start};
}

static inline void ns_path_hash_step(struct ns_path_hash *path, unsigned char byte)
{
    if (path->bits == 64 || byte == '/') {
        if (path->bits > 0)
            ns_hash_word(&path->hash, path->word);
        path->word = path->bits = 0;
    }
    path->word |= (uint64_t)byte << path->bits;
    path->bits += 8;
}

/* Of the bytes so far; more may follow. */
static inline uint32_t ns_path_hash_end(const struct ns_path_hash *path)
{
    struct ns_hash hash = path->hash;

    ns_hash_word(&hash, path->word);
    return (uint32_t)ns_hash_end(hash);
}

/* Of a whole path. */
uint32_t ns_path_hash(const char *path, size_t size);

#endif
