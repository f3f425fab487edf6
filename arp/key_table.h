/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A hash table of objects with a 64-bit key, for what the control core remembers of each station and
 * each neighbour. Nodes are embedded in the caller's objects and owned by the caller.
 *
 * The number of buckets is fixed, so that adding can't fail and never takes longer than usual; with
 * the limits on stations and neighbours a bucket holds four on average. Keys come from the network:
 * the hash is seeded at random, so that nobody can choose addresses that meet in one bucket.
 *
 * Thread safety: the control core only.
 */
#ifndef KEDGE_ARP_KEY_TABLE_H
#define KEDGE_ARP_KEY_TABLE_H

#include <stddef.h>
#include <stdint.h>

enum { KEY_TABLE_BITS = 14 };

struct key_node {
    struct key_node *next;
    uint64_t key;
};

struct key_table {
    struct key_node **buckets;
    size_t count;
    uint64_t seed;
};

/* 0 or -ENOMEM. */
int key_table_init(struct key_table *table);

/* Frees the buckets; the nodes are the caller's. */
void key_table_fini(struct key_table *table);

/* The node with this key, or NULL. */
struct key_node *key_table_find(const struct key_table *table, uint64_t key);

/* node->key must be set and not be in the table. */
void key_table_add(struct key_table *table, struct key_node *node);

/* The node must be in the table. */
void key_table_remove(struct key_table *table, struct key_node *node);

#endif
