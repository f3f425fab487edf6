/* SPDX-License-Identifier: BSD-3-Clause */
/* The values of flow definitions, from text; each mistake has its sentence. */
#include "flows/definition.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "arp/judge.h"
#include "flows/definition_p.h"
#include "flows/route.h"
#include "flows/words.h"

/* ---- match ---- */

struct match_parser {
    struct links_mount *links;
    struct definition_match *match;
    unsigned seen; /* keys, a bit each */
    char *why;
    size_t why_size;
};

static int parse_prefix(struct match_parser *parser, struct word value, rte_be32_t *address,
                        rte_be32_t *mask)
{
    uint8_t length;
    int rc = word_prefix(value, address, &length, parser->why, parser->why_size);

    *mask = rc == 0 ? route_mask(length) : 0;
    return rc;
}

static int parse_src(struct match_parser *parser, struct word value)
{
    return parse_prefix(parser, value, &parser->match->src, &parser->match->src_mask);
}

static int parse_dst(struct match_parser *parser, struct word value)
{
    return parse_prefix(parser, value, &parser->match->dst, &parser->match->dst_mask);
}

static const struct {
    const char *name;
    uint8_t number;
    bool ports;
} protocols[] = {
    {"tcp", IPPROTO_TCP, true},    {"udp", IPPROTO_UDP, true},  {"sctp", IPPROTO_SCTP, true},
    {"icmp", IPPROTO_ICMP, false}, {"gre", IPPROTO_GRE, false}, {"esp", IPPROTO_ESP, false},
};

static int parse_proto(struct match_parser *parser, struct word value)
{
    uint32_t number;

    parser->match->any_proto = false;
    for (size_t i = 0; i < RTE_DIM(protocols); i++)
        if (word_is(value, protocols[i].name)) {
            parser->match->proto = protocols[i].number;
            return 0;
        }
    if (parse_number(value.text, value.size, 0, 255, &number) < 0)
        return explain(parser->why, parser->why_size,
                       "'%.*s' is no protocol; tcp, udp, sctp, icmp, gre, esp or a "
                       "number from 0 to 255 is",
                       WORD_ARGS(value));
    parser->match->proto = (uint8_t)number;
    return 0;
}

static bool has_ports(const struct definition_match *match)
{
    for (size_t i = 0; i < RTE_DIM(protocols); i++)
        if (!match->any_proto && protocols[i].number == match->proto)
            return protocols[i].ports;
    return false;
}

static int parse_ports(struct match_parser *parser, struct word value, uint16_t *low,
                       uint16_t *high)
{
    struct word first = value, last = value;
    uint32_t from, to;

    word_cut(value, '-', &first, &last);
    if (parse_number(first.text, first.size, 0, UINT16_MAX, &from) < 0 ||
        parse_number(last.text, last.size, 0, UINT16_MAX, &to) < 0)
        return explain(parser->why, parser->why_size,
                       "'%.*s' is no port; a number from 0 to 65535 is, or a range "
                       "like 1000-2000",
                       WORD_ARGS(value));
    if (from > to)
        return explain(parser->why, parser->why_size,
                       "the range %.*s ends before it begins; %u-%u would be right",
                       WORD_ARGS(value), to, from);
    *low = (uint16_t)from;
    *high = (uint16_t)to;
    return 0;
}

static int parse_sport(struct match_parser *parser, struct word value)
{
    return parse_ports(parser, value, &parser->match->sport_low, &parser->match->sport_high);
}

static int parse_dport(struct match_parser *parser, struct word value)
{
    return parse_ports(parser, value, &parser->match->dport_low, &parser->match->dport_high);
}

static int parse_iface(struct match_parser *parser, struct word value)
{
    char name[LINK_NAME_MAX];
    int rc = word_iface(value, name, parser->why, parser->why_size);

    if (rc < 0)
        return rc;
    parser->match->iface = links_iface_id(parser->links, name);
    if (parser->match->iface == 0)
        return explain(parser->why, parser->why_size,
                       "too many names of interfaces have been used since the daemon started");
    return 0;
}

enum { KEY_SPORT = 3, KEY_DPORT = 4 };

static const struct {
    const char *name;
    int (*parse)(struct match_parser *parser, struct word value);
} match_keys[] = {
    {"src", parse_src},
    {"dst", parse_dst},
    {"proto", parse_proto},
    [KEY_SPORT] = {"sport", parse_sport},
    [KEY_DPORT] = {"dport", parse_dport},
    {"iface", parse_iface},
};

static int parse_condition(struct match_parser *parser, struct word condition)
{
    struct word key, value;
    size_t i = 0;

    if (!word_cut(condition, '=', &key, &value))
        return explain(parser->why, parser->why_size,
                       "'%.*s' is not KEY=VALUE; the keys are src, dst, proto, "
                       "sport, dport and iface",
                       WORD_ARGS(condition));
    while (i < RTE_DIM(match_keys) && !word_is(key, match_keys[i].name))
        i++;
    if (i == RTE_DIM(match_keys))
        return explain(parser->why, parser->why_size,
                       "there is no key '%.*s'; src, dst, proto, sport, dport and "
                       "iface are",
                       WORD_ARGS(key));
    if (parser->seen & 1u << i)
        return explain(parser->why, parser->why_size, "%s is given twice; once is right",
                       match_keys[i].name);
    parser->seen |= 1u << i;
    if (value.size == 0)
        return explain(parser->why, parser->why_size,
                       "%s has no value; leave the key away to match any", match_keys[i].name);
    return match_keys[i].parse(parser, value);
}

int definition_parse_match(struct links_mount *links, const char *text, size_t size,
                           struct definition_match *match, char *why, size_t why_size)
{
    struct match_parser parser = {.links = links, .match = match, .why = why, .why_size = why_size};
    struct word rest = {text, size}, condition;
    int rc = 0;

    *match = (struct definition_match){
        .any_proto = true, .sport_high = UINT16_MAX, .dport_high = UINT16_MAX};
    while (rc == 0 && word_next(&rest, &condition))
        rc = parse_condition(&parser, condition);
    if (rc == 0 && (parser.seen & (1u << KEY_SPORT | 1u << KEY_DPORT)) != 0 && !has_ports(match))
        return explain(why, why_size,
                       "%s needs a protocol that has ports: proto=tcp, proto=udp or proto=sctp",
                       parser.seen & 1u << KEY_SPORT ? "sport" : "dport");
    return rc;
}

/* ---- action, priority ---- */

static const struct {
    const char *name;
    enum definition_action action;
} actions[] = {
    {"route", DEFINITION_ROUTE},
    {"via", DEFINITION_VIA},
    {"drop", DEFINITION_DROP},
    {"count", DEFINITION_COUNT},
};

int definition_parse_action(const char *text, size_t size, uint8_t *action, rte_be32_t *via,
                            char *why, size_t why_size)
{
    struct word rest = {text, size}, verb, target, more;
    bool any = word_next(&rest, &verb), targeted = word_next(&rest, &target);
    size_t i = 0;

    while (i < RTE_DIM(actions) && !word_is(verb, actions[i].name))
        i++;
    if (!any || i == RTE_DIM(actions))
        return explain(why, why_size,
                       "'%.*s' is no action; 'route', 'via ADDR', 'drop' and 'count' are",
                       WORD_ARGS(verb));
    *action = actions[i].action;
    *via = 0;
    more = target;
    if (*action == DEFINITION_VIA && !targeted)
        return explain(why, why_size,
                       "'via' needs the address of the next hop, as in 'via 10.0.0.1'");
    if (*action == DEFINITION_VIA ? word_next(&rest, &more) : targeted)
        return explain(why, why_size, "'%.*s' after '%s' is too much; leave it away",
                       WORD_ARGS(more), actions[i].name);
    return *action == DEFINITION_VIA ? word_next_hop(target, via, why, why_size) : 0;
}

int definition_parse_priority(const char *text, size_t size, int32_t *priority, char *why,
                              size_t why_size)
{
    bool negative = size > 0 && *text == '-';
    uint32_t number;

    if (parse_number(text + negative, size - negative, 0, INT32_MAX, &number) < 0)
        return explain(why, why_size,
                       "'%.*s' is no priority; a number from -%d to %d is, and the higher one wins",
                       WORD_ARGS(((struct word){text, size})), INT32_MAX, INT32_MAX);
    *priority = negative ? -(int32_t)number : (int32_t)number;
    return 0;
}
