/* SPDX-License-Identifier: BSD-3-Clause */
/* A hash table of objects with a 64-bit key; see key_table.h. */
#include "arp/key_table.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

static struct key_node **bucket_of(const struct key_table *table, uint64_t key)
{
    uint64_t x = key ^ table->seed;

    /* Two rounds of multiply and shift; the seed goes in before the first, so it can't be undone. */
    x = (x ^ (x >> 32)) * UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 29)) * UINT64_C(0xbf58476d1ce4e5b9);
    return &table->buckets[x >> (64 - KEY_TABLE_BITS)];
}

int key_table_init(struct key_table *table)
{
    table->count = 0;
    if (getrandom(&table->seed, sizeof(table->seed), GRND_NONBLOCK) != sizeof(table->seed))
        table->seed = (uintptr_t)table; /* early at boot; address randomisation has to do */
    table->buckets = calloc((size_t)1 << KEY_TABLE_BITS, sizeof(*table->buckets));
    return table->buckets == NULL ? -ENOMEM : 0;
}

void key_table_fini(struct key_table *table)
{
    free(table->buckets);
    table->buckets = NULL;
}

struct key_node *key_table_find(const struct key_table *table, uint64_t key)
{
    struct key_node *node = *bucket_of(table, key);

    while (node != NULL && node->key != key)
        node = node->next;
    return node;
}

void key_table_add(struct key_table *table, struct key_node *node)
{
    struct key_node **bucket = bucket_of(table, node->key);

    node->next = *bucket;
    *bucket = node;
    table->count++;
}

void key_table_remove(struct key_table *table, struct key_node *node)
{
    struct key_node **link = bucket_of(table, node->key);

    while (*link != node)
        link = &(*link)->next;
    *link = node->next;
    table->count--;
}
