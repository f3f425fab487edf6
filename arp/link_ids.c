/* SPDX-License-Identifier: BSD-3-Clause */
/* Ids of interfaces and of bridges: given on first sight of a name, and never to another name. */
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "arp/links_p.h"

struct link_id {
    char name[LINK_NAME_MAX]; /* first: the key of the search tree */
    uint16_t id;
};

static int compare(const void *a, const void *b)
{
    return strcmp((const char *)a, (const char *)b);
}

static struct link_id *make(struct link_ids *ids, const char *name)
{
    struct link_id **grown = realloc(ids->ids, (ids->count + 1u) * sizeof(*grown));
    struct link_id *made;

    if (grown == NULL)
        return NULL;
    ids->ids = grown;
    made = calloc(1, sizeof(*made));
    if (made == NULL)
        return NULL;
    memcpy(made->name, name, strnlen(name, LINK_NAME_MAX - 1));
    if (tsearch(made, &ids->tree, compare) == NULL) {
        free(made);
        return NULL;
    }
    ids->ids[ids->count++] = made;
    made->id = ids->count;
    return made;
}

uint16_t link_ids_find(const struct link_ids *ids, const char *name)
{
    struct link_id **found = tfind(name, &ids->tree, compare);

    return found == NULL ? 0 : (*found)->id;
}

uint16_t link_ids_give(struct link_ids *ids, const char *name)
{
    uint16_t id = link_ids_find(ids, name);
    struct link_id *made;

    if (id != 0)
        return id;
    if (ids->count == LINK_IDS_MAX)
        return 0;
    made = make(ids, name);
    return made == NULL ? 0 : made->id;
}

const char *link_ids_name(const struct link_ids *ids, uint16_t id)
{
    return id == 0 || id > ids->count ? NULL : ids->ids[id - 1]->name;
}

void link_ids_fini(struct link_ids *ids)
{
    tdestroy(ids->tree, free);
    free(ids->ids);
    *ids = (struct link_ids){0};
}
