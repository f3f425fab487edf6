/* SPDX-License-Identifier: BSD-3-Clause */
/* Prefixes and routes as text: names, values, and lines for people. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "arp/text.h"
#include "flows/route_p.h"

static const char *const kind_names[] = {
    [ROUTE_VIA] = "via",
    [ROUTE_DEV] = "dev",
    [ROUTE_BLACKHOLE] = "blackhole",
    [ROUTE_REJECT] = "reject",
    [ROUTE_CONNECTED] = "connected",
    [ROUTE_LOCAL] = "local",
    [ROUTE_BROADCAST] = "broadcast",
};

void route_path(rte_be32_t prefix, uint8_t length, char *path, size_t size)
{
    const char *end = path + size;
    char address[16];

    path = text_put(text_put(path, end, "/route/"), end, link_format_ipv4(prefix, address));
    text_put_number(text_put(path, end, "/"), end, length);
}

int route_parse_prefix(const char *text, size_t size, rte_be32_t *prefix, uint8_t *length)
{
    return word_prefix((struct word){text, size}, prefix, length, NULL, 0);
}

static int parse_dev(struct links_mount *links, struct word word, struct route *route, char *why,
                     size_t why_size)
{
    char name[LINK_NAME_MAX];
    int rc = word_iface(word, name, why, why_size);

    if (rc < 0)
        return rc;
    route->iface = links_iface_id(links, name);
    if (route->iface == 0)
        return explain(why, why_size,
                       "too many names of interfaces have been used since the daemon started");
    return 0;
}

/* What a word of a value means, and what it wants after it. */
static const struct route_word {
    enum route_kind kind;
    const char *wants; /* NULL: nothing */
} route_words[] = {
    {ROUTE_VIA, "the address of the next hop, as in 'via 10.0.0.1'"},
    {ROUTE_DEV, "the name of the interface, as in 'dev br0'"},
    {ROUTE_BLACKHOLE, NULL},
    {ROUTE_REJECT, NULL},
};

static const struct route_word *find_word(struct word word)
{
    for (size_t i = 0; i < RTE_DIM(route_words); i++)
        if (word_is(word, kind_names[route_words[i].kind]))
            return &route_words[i];
    return NULL;
}

int route_parse_value(struct links_mount *links, struct word value, struct route *route, char *why,
                      size_t why_size)
{
    struct word verb, target, more;
    bool any = word_next(&value, &verb), targeted = word_next(&value, &target);
    const struct route_word *known = any ? find_word(verb) : NULL;

    if (!any)
        return explain(why, why_size,
                       "a route needs a value: 'via ADDR', 'dev IFACE', 'blackhole' or 'reject'");
    if (known == NULL)
        return explain(why, why_size,
                       "'%.*s' is no kind of route; 'via ADDR', 'dev IFACE', 'blackhole' and "
                       "'reject' are",
                       WORD_ARGS(verb));
    if (known->wants != NULL && !targeted)
        return explain(why, why_size, "'%.*s' needs %s", WORD_ARGS(verb), known->wants);
    more = target;
    if (known->wants == NULL ? targeted : word_next(&value, &more))
        return explain(why, why_size, "'%.*s' after '%.*s' is too much; leave it away",
                       WORD_ARGS(more), WORD_ARGS(verb));
    route->kind = known->kind;
    route->iface = 0;
    route->via = 0;
    if (known->kind == ROUTE_VIA)
        return word_next_hop(target, &route->via, why, why_size);
    return known->kind == ROUTE_DEV ? parse_dev(links, target, route, why, why_size) : 0;
}

void route_describe(const struct links_mount *links, const struct route *route, char *text,
                    size_t size)
{
    char prefix[16], via[16];
    const char *target = "";

    if (route->kind == ROUTE_VIA)
        target = link_format_ipv4(route->via, via);
    else if (route->iface != 0)
        target = links_iface_name(links, route->iface);
    snprintf(text, size, "%s/%u %s%s%s", link_format_ipv4(route->prefix, prefix), route->length,
             kind_names[route->kind], *target != 0 ? " " : "", target);
}
