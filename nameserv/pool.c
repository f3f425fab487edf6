/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Blocks by size class out of slabs; see pool.h.
 *
 * The system gives chunks of 2 MiB, aligned to their size so that they can be huge pages. A chunk is
 * cut into slabs, a slab into blocks of one size class. The chunk's head holds the descriptors of
 * its slabs; block -> chunk -> slab is arithmetic. A slab whose last block comes back can serve
 * another class, and a chunk whose last slab comes back goes to the system, except for one that is
 * kept, so that a build at the edge doesn't map and unmap each time.
 *
 * Under AddressSanitizer every block comes from malloc instead, so that it finds the use of a freed
 * block and writes beyond the end.
 */
#include "nameserv/pool.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/queue.h>

#if defined(__SANITIZE_ADDRESS__)
#define POOL_USES_MALLOC 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POOL_USES_MALLOC 1
#endif
#endif
#ifndef POOL_USES_MALLOC
#define POOL_USES_MALLOC 0
#endif

enum {
    GRAIN = 8,
    CLASSES = NS_POOL_SMALL_MAX / GRAIN,
    CHUNK_SIZE = 2 << 20,
    SLAB_SIZE = 64 << 10,
    CHUNK_SLABS = CHUNK_SIZE / SLAB_SIZE,
};

struct free_block {
    struct free_block *next;
};

struct slab {
    LIST_ENTRY(slab) link;   /* among those of its class with room, or among the unused ones */
    struct free_block *free; /* blocks that came back */
    uint32_t uncut;          /* offset in the chunk of the first block never given out */
    uint32_t end;            /* offset in the chunk of the slab's end */
    uint32_t block_size;
    uint32_t live;
};

LIST_HEAD(slab_list, slab);

struct chunk {
    unsigned slabs_used;
    struct slab slabs[CHUNK_SLABS];
};

_Static_assert(sizeof(struct chunk) % GRAIN == 0, "blocks behind the chunk's head are aligned");
_Static_assert(sizeof(struct chunk) <= SLAB_SIZE / 8, "the head takes little of the first slab");

struct ns_pool {
    struct slab_list room[CLASSES]; /* slabs with a free block */
    struct slab_list unused;
    unsigned chunks_empty;
    size_t used;
    size_t held;
    uint64_t fail_in; /* 0 = never, 1 = the next and all after it */
};

static unsigned class_of(size_t size)
{
    return (unsigned)((size - 1) / GRAIN);
}

static bool is_small(size_t size)
{
    return !POOL_USES_MALLOC && size <= NS_POOL_SMALL_MAX;
}

static struct chunk *chunk_of(const void *address)
{
    return (struct chunk *)((uintptr_t)address & ~(uintptr_t)(CHUNK_SIZE - 1));
}

/* Address space of 2 MiB, aligned: twice as much is mapped and the ends are given back. */
static void *map_aligned(void)
{
    char *area = mmap(NULL, 2 * (size_t)CHUNK_SIZE, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    size_t before;

    if (area == MAP_FAILED)
        return NULL;
    before = -(uintptr_t)area % CHUNK_SIZE;
    if (before > 0)
        munmap(area, before);
    munmap(area + before + CHUNK_SIZE, CHUNK_SIZE - before);
    return area + before;
}

static bool chunk_new(struct ns_pool *pool)
{
    struct chunk *chunk = map_aligned();

    if (chunk == NULL)
        return false;
    madvise(chunk, CHUNK_SIZE, MADV_HUGEPAGE); /* only faster; not every kernel can */
    for (unsigned i = CHUNK_SLABS; i-- > 0;)
        LIST_INSERT_HEAD(&pool->unused, &chunk->slabs[i], link);
    pool->chunks_empty++;
    pool->held += CHUNK_SIZE;
    return true;
}

static void chunk_free(struct ns_pool *pool, struct chunk *chunk)
{
    for (unsigned i = 0; i < CHUNK_SLABS; i++)
        LIST_REMOVE(&chunk->slabs[i], link);
    munmap(chunk, CHUNK_SIZE);
    pool->chunks_empty--;
    pool->held -= CHUNK_SIZE;
}

/* Give an unused slab to a class. */
static struct slab *slab_open(struct ns_pool *pool, unsigned class)
{
    struct slab *slab;
    struct chunk *chunk;
    uint32_t index;

    if (LIST_EMPTY(&pool->unused) && !chunk_new(pool))
        return NULL;
    slab = LIST_FIRST(&pool->unused);
    LIST_REMOVE(slab, link);
    chunk = chunk_of(slab);
    if (chunk->slabs_used++ == 0)
        pool->chunks_empty--;
    index = (uint32_t)(slab - chunk->slabs);
    slab->free = NULL;
    slab->uncut = index == 0 ? sizeof(struct chunk) : index * SLAB_SIZE;
    slab->end = (index + 1) * SLAB_SIZE;
    slab->block_size = (class + 1) * GRAIN;
    slab->live = 0;
    LIST_INSERT_HEAD(&pool->room[class], slab, link);
    return slab;
}

/* Take back a slab whose last block has come back. */
static void slab_close(struct ns_pool *pool, struct slab *slab)
{
    struct chunk *chunk = chunk_of(slab);

    LIST_REMOVE(slab, link);
    LIST_INSERT_HEAD(&pool->unused, slab, link);
    if (--chunk->slabs_used > 0)
        return;
    pool->chunks_empty++;
    if (pool->chunks_empty > 1)
        chunk_free(pool, chunk);
}

static bool slab_full(const struct slab *slab)
{
    return slab->free == NULL && slab->uncut + slab->block_size > slab->end;
}

static void *small_get(struct ns_pool *pool, unsigned class)
{
    struct slab *slab = LIST_FIRST(&pool->room[class]);
    void *block;

    if (slab == NULL)
        slab = slab_open(pool, class);
    if (slab == NULL)
        return NULL;
    if (slab->free != NULL) {
        block = slab->free;
        slab->free = slab->free->next;
    } else {
        block = (char *)chunk_of(slab) + slab->uncut;
        slab->uncut += slab->block_size;
    }
    slab->live++;
    if (slab_full(slab))
        LIST_REMOVE(slab, link);
    return block;
}

static void small_put(struct ns_pool *pool, void *address, unsigned class)
{
    struct chunk *chunk = chunk_of(address);
    struct slab *slab = &chunk->slabs[((uintptr_t)address - (uintptr_t)chunk) / SLAB_SIZE];
    struct free_block *block = address;

    assert(slab->block_size == (class + 1) * GRAIN && slab->live > 0);
    if (slab_full(slab))
        LIST_INSERT_HEAD(&pool->room[class], slab, link);
    block->next = slab->free;
    slab->free = block;
    if (--slab->live == 0)
        slab_close(pool, slab);
}

struct ns_pool *ns_pool_new(void)
{
    return calloc(1, sizeof(struct ns_pool));
}

void ns_pool_free(struct ns_pool *pool)
{
    assert(pool->used == 0);
    while (!LIST_EMPTY(&pool->unused))
        chunk_free(pool, chunk_of(LIST_FIRST(&pool->unused)));
    free(pool);
}

bool ns_pool_allows(struct ns_pool *pool)
{
    if (pool->fail_in == 1)
        return false;
    if (pool->fail_in > 1)
        pool->fail_in--;
    return true;
}

void *ns_pool_get(struct ns_pool *pool, size_t size)
{
    void *block;

    if (!ns_pool_allows(pool))
        return NULL;
    block = is_small(size) ? small_get(pool, class_of(size)) : malloc(size);
    if (block == NULL)
        return NULL;
    pool->used += size;
    if (!is_small(size))
        pool->held += size;
    return block;
}

void ns_pool_put(struct ns_pool *pool, void *block, size_t size)
{
    if (block == NULL)
        return;
    pool->used -= size;
    if (is_small(size)) {
        small_put(pool, block, class_of(size));
    } else {
        pool->held -= size;
        free(block);
    }
}

size_t ns_pool_used(const struct ns_pool *pool)
{
    return pool->used;
}

size_t ns_pool_held(const struct ns_pool *pool)
{
    return pool->held;
}

void ns_pool_fail_after(struct ns_pool *pool, uint64_t n)
{
    pool->fail_in = n;
}
