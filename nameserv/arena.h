/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory that is taken piece by piece and given back all at once: the operations of a transaction, the paths of
 * a commit's changes.
 *
 * The first chunk is small, because most transactions are; the next ones are larger, and in the end huge pages, of
 * which a million pieces cost the kernel few.
 *
 * Thread safety: none; an arena belongs to its thread.
 */
#ifndef KEDGE_NAMESERV_ARENA_H
#define KEDGE_NAMESERV_ARENA_H

#include <stddef.h>

struct ns_arena_chunk;

/* All zero is an empty one. */
struct ns_arena {
    struct ns_arena_chunk *chunks;
    size_t used;  /* bytes of the newest chunk */
    size_t taken; /* bytes of all chunks */
};

/* So many bytes; not zeroed, and aligned to `align`, a power of two up to 8. NULL without memory. */
void *ns_arena_get(struct ns_arena *arena, size_t size, size_t align);

/* A copy of size bytes, with a NUL behind them; NULL without memory. */
char *ns_arena_copy(struct ns_arena *arena, const char *text, size_t size);

/* What was taken is over. The first chunk stays if it is the only one: who does small work again and again takes
 * nothing from the system. */
void ns_arena_reset(struct ns_arena *arena);

/* Give everything back; the arena is empty then. */
void ns_arena_free(struct ns_arena *arena);

#endif
