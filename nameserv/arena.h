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

/* Give everything back; the arena is empty then. */
void ns_arena_free(struct ns_arena *arena);

#endif
