/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The memory of the tree: blocks by size class out of slabs.
 *
 * Everything that the one writer allocates for versions of the tree comes from a pool and goes back
 * to it, always on the writer's thread (what waits for a grace period is handed back to the writer
 * before it is freed), so there is no lock and no atomic operation. A size class is a multiple of 8
 * up to NS_POOL_SMALL_MAX bytes; larger blocks come from malloc. Callers give the size back when they
 * free, so a block has no header.
 *
 * Thread safety: none. One pool belongs to one thread (the control core).
 */
#ifndef KEDGE_NAMESERV_POOL_H
#define KEDGE_NAMESERV_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NS_POOL_SMALL_MAX = 512 };

struct ns_pool;

/* A new, empty pool; NULL without memory. */
struct ns_pool *ns_pool_new(void);

/* Free the pool and its slabs. Every block must have been given back; a debug build asserts it. */
void ns_pool_free(struct ns_pool *pool);

/* A block of at least size bytes, 8-byte aligned, not zeroed; NULL without memory. size > 0. */
void *ns_pool_get(struct ns_pool *pool, size_t size);

/* Give back a block that ns_pool_get(pool, size) returned. NULL is ignored. */
void ns_pool_put(struct ns_pool *pool, void *block, size_t size);

/* Bytes in blocks that are out, by the sizes asked for; and bytes that the pool has taken from the
 * system. */
size_t ns_pool_used(const struct ns_pool *pool);
size_t ns_pool_held(const struct ns_pool *pool);

/* For tests: let the n-th next allocation (1 = the next one) and all after it fail; 0 turns it off. */
void ns_pool_fail_after(struct ns_pool *pool, uint64_t n);

/* Counts one allocation that the tree makes elsewhere, so that ns_pool_fail_after() reaches it too;
 * false if it has to fail. */
bool ns_pool_allows(struct ns_pool *pool);

#endif
