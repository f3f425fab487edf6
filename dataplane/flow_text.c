/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Keys of flows as text.
 */
#include "dataplane/flow_text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_byteorder.h>

static const struct {
    const char *name;
    uint8_t number;
} protos[] = {{"icmp", 1}, {"igmp", 2}, {"tcp", 6},   {"udp", 17},
              {"gre", 47}, {"esp", 50}, {"sctp", 132}};
enum { PROTOS = sizeof(protos) / sizeof(protos[0]) };

const char *flow_proto_name(uint8_t proto, char *buffer)
{
    for (int i = 0; i < PROTOS; i++)
        if (protos[i].number == proto)
            return protos[i].name;
    snprintf(buffer, 8, "%u", proto);
    return buffer;
}

/* A key in the making. */
struct key_parser {
    const struct links *links;
    union flow_key key;
    unsigned seen;     /* terms, by index in the table */
    const char *wrong; /* about the last term */
};

static bool parse_number(const char *text, unsigned long max, unsigned long *number)
{
    char *end;

    if (*text < '0' || *text > '9')
        return false;
    *number = strtoul(text, &end, 10);
    return *end == '\0' && *number <= max;
}

static bool take_src(struct key_parser *parser, const char *value)
{
    parser->wrong = "an IPv4 address such as 10.0.0.5 would be right";
    return link_parse_ipv4(value, strlen(value), &parser->key.src) == 0;
}

static bool take_dst(struct key_parser *parser, const char *value)
{
    parser->wrong = "an IPv4 address such as 10.0.0.5 would be right";
    return link_parse_ipv4(value, strlen(value), &parser->key.dst) == 0;
}

static bool take_proto(struct key_parser *parser, const char *value)
{
    unsigned long number = 0;

    parser->wrong = "tcp, udp, icmp, or a number up to 255 would be right";
    for (int i = 0; i < PROTOS; i++) {
        if (strcmp(protos[i].name, value) == 0) {
            parser->key.proto = protos[i].number;
            return true;
        }
    }
    if (!parse_number(value, 255, &number) || number == 0)
        return false;
    parser->key.proto = (uint8_t)number;
    return true;
}

static bool take_port(struct key_parser *parser, const char *value, rte_be16_t *port)
{
    unsigned long number = 0;

    parser->wrong = "a number up to 65535 would be right";
    if (!parse_number(value, 65535, &number))
        return false;
    *port = rte_cpu_to_be_16((uint16_t)number);
    return true;
}

static bool take_sport(struct key_parser *parser, const char *value)
{
    return take_port(parser, value, &parser->key.sport);
}

static bool take_dport(struct key_parser *parser, const char *value)
{
    return take_port(parser, value, &parser->key.dport);
}

static bool take_iface(struct key_parser *parser, const char *value)
{
    const struct link_iface *iface = links_iface(parser->links, value);

    parser->wrong = "there is no such interface";
    if (iface != NULL)
        parser->key.scope = iface->id;
    return iface != NULL;
}

static bool take_bridge(struct key_parser *parser, const char *value)
{
    const struct link_bridge *bridge = links_bridge(parser->links, value);

    parser->wrong = "there is no such bridge";
    if (bridge != NULL)
        parser->key.bridge = bridge->id;
    return bridge != NULL;
}

static bool take_mac(struct key_parser *parser, const char *value)
{
    parser->wrong = "a MAC address such as 52:54:00:12:34:56 would be right";
    return link_parse_mac(value, strlen(value), &parser->key.mac) == 0;
}

enum {
    TERM_SRC = 1,
    TERM_DST = 2,
    TERM_PROTO = 4,
    ROUTED_TERMS = 0x3f,
    TERM_BRIDGE = 0x40,
    TERM_MAC = 0x80
};
static const struct {
    const char *name;
    bool (*take)(struct key_parser *parser, const char *value);
} terms[] = {{"src", take_src},       {"dst", take_dst},     {"proto", take_proto},
             {"sport", take_sport},   {"dport", take_dport}, {"iface", take_iface},
             {"bridge", take_bridge}, {"mac", take_mac}};
enum { TERMS = sizeof(terms) / sizeof(terms[0]) };

/* "name=value"; which term it is, or -1. */
static int take_term(struct key_parser *parser, const char *term)
{
    const char *value = strchr(term, '=');
    size_t size = strcspn(term, "=");

    parser->wrong = "terms are src=, dst=, proto=, sport=, dport= and iface=, or bridge= and mac=";
    if (value == NULL)
        return -1;
    for (int i = 0; i < TERMS; i++)
        if (strlen(terms[i].name) == size && memcmp(terms[i].name, term, size) == 0)
            return terms[i].take(parser, value + 1) ? i : -1;
    return -1;
}

/* The two kinds of keys lie in the same memory: which it is has to be known first. */
static bool is_bridged(const char *text)
{
    return strncmp(text, "bridge=", 7) == 0 || strncmp(text, "mac=", 4) == 0;
}

static int finish(struct key_parser *parser, bool bridged, char *why, size_t why_size)
{
    unsigned needed = bridged ? TERM_BRIDGE | TERM_MAC : TERM_SRC | TERM_DST | TERM_PROTO;
    unsigned allowed = bridged ? needed : ROUTED_TERMS;

    if ((parser->seen & needed) == needed && (parser->seen & ~allowed) == 0)
        return 0;
    snprintf(why, why_size,
             "a flow is named by src=, dst= and proto= (also sport=, dport=, iface=), or by "
             "bridge= and mac=, parted by commas");
    return -EINVAL;
}

int flow_parse_key(const struct links *links, const char *text, union flow_key *key, char *why,
                   size_t why_size)
{
    struct key_parser parser = {.links = links};
    bool bridged = is_bridged(text);
    char copy[256], *save = NULL;

    memset(&parser.key, 0, sizeof(parser.key));
    parser.key.kind = bridged ? FLOW_BRIDGED : FLOW_ROUTED;
    if (!bridged)
        parser.key.scope = FLOW_SCOPE_ANY;
    snprintf(copy, sizeof(copy), "%s", text);
    for (char *term = strtok_r(copy, ",", &save); term != NULL; term = strtok_r(NULL, ",", &save)) {
        union flow_key before = parser.key;
        int index = take_term(&parser, term);

        if (index < 0) {
            snprintf(why, why_size, "'%s' is no part of a flow's name: %s", term, parser.wrong);
            return -EINVAL;
        }
        parser.seen |= 1u << index;
        if ((index >= 6) != bridged)
            parser.key = before; /* of the other kind: finish() refuses it */
    }
    *key = parser.key;
    return finish(&parser, bridged, why, why_size);
}
