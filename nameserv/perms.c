/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Permission lists: shared, parsed, printed and asked; see perms.h.
 *
 * Equal lists are found by a hash table that belongs to the control core. Readers on other threads
 * see only count and list[], which never change.
 */
#include "nameserv/perms.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nameserv/hash.h"

#define LETTERS "nrwb" /* by NS_PERM_* */

enum { BUCKETS_FIRST = 64 };

struct shared {
    struct shared *next;
    uint32_t hash;
    struct ns_perms perms;
};

static struct {
    struct shared **buckets;
    size_t size; /* a power of two, or 0 */
    size_t count;
} table;

static uint32_t hash_list(const struct ns_perm *list, size_t count)
{
    struct ns_hash hash = ns_hash_start;

    for (size_t i = 0; i < count; i++)
        ns_hash_word(&hash, (uint64_t)list[i].id << 32 | (uint64_t)list[i].rights << 30 |
                                list[i].generation);
    return (uint32_t)ns_hash_end(hash);
}

static bool same_list(const struct ns_perms *perms, const struct ns_perm *list, size_t count)
{
    if (perms->count != count)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (perms->list[i].id != list[i].id || perms->list[i].rights != list[i].rights ||
            perms->list[i].generation != list[i].generation)
            return false;
    }
    return true;
}

static struct shared **bucket_of(uint32_t hash)
{
    return &table.buckets[hash & (table.size - 1)];
}

/* Without memory the table stays as it is: longer chains, or none at all (then *false). */
static bool table_grow(void)
{
    size_t size = table.size == 0 ? BUCKETS_FIRST : table.size * 2;
    struct shared **buckets = calloc(size, sizeof(*buckets));
    struct shared *next;

    if (buckets == NULL)
        return table.size > 0;
    for (size_t i = 0; i < table.size; i++) {
        for (struct shared *shared = table.buckets[i]; shared != NULL; shared = next) {
            next = shared->next;
            shared->next = buckets[shared->hash & (size - 1)];
            buckets[shared->hash & (size - 1)] = shared;
        }
    }
    free(table.buckets);
    table.buckets = buckets;
    table.size = size;
    return true;
}

static struct shared *find(const struct ns_perm *list, size_t count, uint32_t hash)
{
    if (table.size == 0)
        return NULL;
    for (struct shared *shared = *bucket_of(hash); shared != NULL; shared = shared->next) {
        if (shared->hash == hash && same_list(&shared->perms, list, count))
            return shared;
    }
    return NULL;
}

struct ns_perms *ns_perms_new(const struct ns_perm *list, size_t count)
{
    uint32_t hash = hash_list(list, count);
    struct shared *shared = find(list, count, hash);

    if (shared != NULL)
        return ns_perms_get(&shared->perms);
    if (table.count >= table.size && !table_grow())
        return NULL;
    shared = malloc(sizeof(*shared) + count * sizeof(*list));
    if (shared == NULL)
        return NULL;
    shared->hash = hash;
    shared->perms.references = 1;
    shared->perms.count = (uint32_t)count;
    memcpy(shared->perms.list, list, count * sizeof(*list));
    shared->next = *bucket_of(hash);
    *bucket_of(hash) = shared;
    table.count++;
    return &shared->perms;
}

void ns_perms_put(struct ns_perms *perms)
{
    struct shared *shared, **link;

    if (perms == NULL || --perms->references > 0)
        return;
    shared = (struct shared *)((char *)perms - offsetof(struct shared, perms));
    link = bucket_of(shared->hash);
    while (*link != shared)
        link = &(*link)->next;
    *link = shared->next;
    free(shared);
    if (--table.count == 0) {
        free(table.buckets);
        table.buckets = NULL;
        table.size = 0;
    }
}

/* One entry of the wire form: a letter and a number. Stricter than strtoul, which would also take a
 * sign and leading spaces. */
static int parse_one(const char *text, struct ns_perm *perm)
{
    const char *letter = *text == '\0' ? NULL : strchr(LETTERS, *text);
    unsigned long id;
    char *end;

    if (letter == NULL || !isdigit((unsigned char)text[1]))
        return -EINVAL;
    errno = 0;
    id = strtoul(text + 1, &end, 0);
    if (*end != '\0' || errno != 0 || id > UINT32_MAX)
        return -EINVAL;
    *perm =
        (struct ns_perm){.id = (uint32_t)id, .rights = (uint32_t)(letter - LETTERS) & NS_PERM_BOTH};
    return 0;
}

int ns_perms_parse(const char *payload, size_t size, struct ns_perm *list)
{
    const char *end = payload + size;
    int count = 0, err;

    if (size == 0 || end[-1] != '\0')
        return -EINVAL;
    for (const char *text = payload; text < end; text += strlen(text) + 1) {
        if (count == NS_PERMS_MAX)
            return -ENOSPC;
        err = parse_one(text, &list[count]);
        if (err != 0)
            return err;
        count++;
    }
    return count;
}

int ns_perms_format(const struct ns_perms *perms, char *buffer, size_t size)
{
    size_t used = 0;

    for (uint32_t i = 0; i < perms->count; i++) {
        const struct ns_perm *perm = &perms->list[i];
        int length = snprintf(buffer + used, size - used, "%c%u",
                              LETTERS[perm->rights & NS_PERM_BOTH], perm->id);

        if ((size_t)length >= size - used)
            return -E2BIG;
        used += (size_t)length + 1;
    }
    return (int)used;
}

bool ns_perms_name(const struct ns_perms *perms, struct ns_domain_name domain)
{
    for (uint32_t i = 0; i < perms->count; i++)
        if (perms->list[i].id == domain.domid &&
            perms->list[i].generation == (domain.generation & NS_PERM_GENERATION_MAX))
            return true;
    return false;
}

bool ns_perms_any_name(struct ns_domain_name domain)
{
    for (size_t i = 0; i < table.size; i++)
        for (const struct shared *shared = table.buckets[i]; shared != NULL; shared = shared->next)
            if (ns_perms_name(&shared->perms, domain))
                return true;
    return false;
}
