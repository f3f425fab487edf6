/* SPDX-License-Identifier: BSD-3-Clause */
/* Counters as computed names; see counter_names.h. */
#include "arp/counter_names.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

enum { LISTING_MAX = 2048 };

/* What follows directory/ in name, NULL if it is not below it. The directory "" holds all. */
static const char *rest_below(const char *name, const char *directory)
{
    size_t size = strlen(directory);

    if (strncmp(name, directory, size) != 0)
        return NULL;
    if (size == 0)
        return name;
    return name[size] == '/' ? name + size + 1 : NULL;
}

static void refuse(struct ns_query *query)
{
    ns_query_refuse(query, ENOENT, "there is no such counter");
}

void counter_names_read(struct ns_query *query, const char *below, const struct counter_name *names,
                        size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(names[i].name, below) == 0) {
            ns_query_printf(query, "%" PRIu64, names[i].value);
            return;
        }
        if (rest_below(names[i].name, below) != NULL) {
            ns_query_answer(query, 0, "", 0);
            return;
        }
    }
    refuse(query);
}

void counter_names_list(struct ns_query *query, const char *below, const struct counter_name *names,
                        size_t count)
{
    char listing[LISTING_MAX];
    size_t used = 0, last = SIZE_MAX, last_size = 0;
    bool found = *below == '\0'; /* nothing may count yet */

    for (size_t i = 0; i < count; i++) {
        const char *rest = rest_below(names[i].name, below);
        size_t size = rest == NULL ? 0 : strcspn(rest, "/");

        found |= rest != NULL || strcmp(names[i].name, below) == 0;
        /* Names of one directory stand together, so comparing with the last one is enough. */
        if (rest == NULL || used + size + 1 > sizeof(listing) ||
            (last != SIZE_MAX && size == last_size && memcmp(listing + last, rest, size) == 0))
            continue;
        memcpy(listing + used, rest, size);
        listing[used + size] = 0;
        last = used;
        last_size = size;
        used += size + 1;
    }
    if (found)
        ns_query_answer(query, 0, listing, used);
    else
        refuse(query);
}
