/* SPDX-License-Identifier: BSD-3-Clause */
/* See arena.h. */
#include "nameserv/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
    FIRST = 1024, /* a size that malloc() has at hand */
    NEXT = 64 << 10,
    HUGE_PAGE = 2 << 20,
    LARGE = 4 * NEXT, /* who has taken so much gets huge pages */
};

struct ns_arena_chunk {
    struct ns_arena_chunk *next;
    size_t size; /* this head included */
};

static struct ns_arena_chunk *huge_chunk(void)
{
    struct ns_arena_chunk *chunk = aligned_alloc(HUGE_PAGE, HUGE_PAGE);

    if (chunk != NULL)
        madvise(chunk, HUGE_PAGE, MADV_HUGEPAGE); /* only faster; not every kernel can */
    return chunk;
}

/* `size` bytes are wanted at once, which may be more than a chunk has. */
static struct ns_arena_chunk *chunk_new(const struct ns_arena *arena, size_t size)
{
    size_t wanted = arena->taken == 0 ? FIRST : arena->taken < LARGE ? NEXT : HUGE_PAGE;
    struct ns_arena_chunk *chunk;

    size += sizeof(*chunk);
    if (wanted < size)
        wanted = size;
    chunk = wanted == HUGE_PAGE ? huge_chunk() : malloc(wanted);
    if (chunk != NULL)
        chunk->size = wanted;
    return chunk;
}

void *ns_arena_get(struct ns_arena *arena, size_t size, size_t align)
{
    struct ns_arena_chunk *chunk = arena->chunks;
    size_t at = (arena->used + align - 1) & ~(align - 1);

    if (chunk == NULL || at + size > chunk->size) {
        chunk = chunk_new(arena, size);
        if (chunk == NULL)
            return NULL;
        chunk->next = arena->chunks;
        arena->chunks = chunk;
        arena->taken += chunk->size;
        at = sizeof(*chunk);
    }
    arena->used = at + size;
    return (char *)chunk + at;
}

char *ns_arena_copy(struct ns_arena *arena, const char *text, size_t size)
{
    char *copy = ns_arena_get(arena, size + 1, 1);

    if (copy == NULL)
        return NULL;
    memcpy(copy, text, size);
    copy[size] = '\0';
    return copy;
}

void ns_arena_reset(struct ns_arena *arena)
{
    if (arena->taken > FIRST)
        ns_arena_free(arena);
    else
        arena->used = sizeof(struct ns_arena_chunk);
}

void ns_arena_free(struct ns_arena *arena)
{
    while (arena->chunks != NULL) {
        struct ns_arena_chunk *next = arena->chunks->next;

        free(arena->chunks);
        arena->chunks = next;
    }
    *arena = (struct ns_arena){0};
}
