/* SPDX-License-Identifier: BSD-3-Clause */
#include "cli/terms.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli/command.h"
#include "cli/words.h"

const char *const term_names[TERMS + 1] = {"src",   "dst",    "proto", "sport", "dport",
                                           "iface", "bridge", "mac",   NULL};

/* ---- values ---- */

/* A decimal number at *text, which is moved behind it. */
static bool take_number(const char **text, uint32_t max, uint32_t *number)
{
    size_t digits = strspn(*text, "0123456789");

    if (digits == 0 || digits > 5)
        return false;
    *number = (uint32_t)strtoul(*text, NULL, 10);
    *text += digits;
    return *number <= max;
}

/* An address is a range of one. Host bits may be set: 10.1.0.1/24 is the subnet of that address. */
static bool read_prefix(const char *text, uint32_t *low, uint32_t *high)
{
    const char *slash = strchr(text, '/'), *rest = slash != NULL ? slash + 1 : "32";
    size_t size = strcspn(text, "/");
    char address[INET_ADDRSTRLEN];
    uint32_t length, hosts;
    struct in_addr in;

    if (size >= sizeof(address))
        return false;
    memcpy(address, text, size);
    address[size] = '\0';
    if (inet_pton(AF_INET, address, &in) != 1 || !take_number(&rest, 32, &length) || *rest != '\0')
        return false;
    hosts = length == 32 ? 0 : UINT32_MAX >> length;
    *low = ntohl(in.s_addr) & ~hosts;
    *high = *low | hosts;
    return true;
}

/* A number or a range, as in 1000-2000. */
static bool read_ports(const char *text, uint32_t *low, uint32_t *high)
{
    if (!take_number(&text, UINT16_MAX, low))
        return false;
    *high = *low;
    if (*text == '-') {
        text++;
        if (!take_number(&text, UINT16_MAX, high))
            return false;
    }
    return *text == '\0' && *low <= *high;
}

static bool read_proto(const char *text, uint32_t *low, uint32_t *high)
{
    static const struct {
        const char *name;
        uint32_t number;
    } protocols[] = {{"tcp", IPPROTO_TCP},   {"udp", IPPROTO_UDP}, {"sctp", IPPROTO_SCTP},
                     {"icmp", IPPROTO_ICMP}, {"gre", IPPROTO_GRE}, {"esp", IPPROTO_ESP},
                     {"igmp", IPPROTO_IGMP}};

    for (size_t i = 0; i < sizeof(protocols) / sizeof(protocols[0]); i++)
        if (strcmp(protocols[i].name, text) == 0) {
            *low = *high = protocols[i].number;
            return true;
        }
    if (!take_number(&text, 255, low) || *text != '\0')
        return false;
    *high = *low;
    return true;
}

static bool read_mac(const char *text, uint32_t *low, uint32_t *high)
{
    (void)low, (void)high;
    return words_is_mac(text);
}

static bool read_name(const char *text, uint32_t *low, uint32_t *high)
{
    (void)low, (void)high;
    return strlen(text) <= 31 && strchr(text, '/') == NULL && strchr(text, ',') == NULL;
}

static const struct {
    bool (*read)(const char *text, uint32_t *low, uint32_t *high);
    const char *what, *right;
} kinds[TERMS] = {
    [TERM_SRC] = {read_prefix, "address", "10.1.0.2, or a prefix like 10.1.0.0/16,"},
    [TERM_DST] = {read_prefix, "address", "10.1.0.2, or a prefix like 10.1.0.0/16,"},
    [TERM_PROTO] = {read_proto, "protocol",
                    "tcp, udp, sctp, icmp, igmp, gre, esp or a number from 0 to 255"},
    [TERM_SPORT] = {read_ports, "port", "a number from 0 to 65535, or a range like 1000-2000,"},
    [TERM_DPORT] = {read_ports, "port", "a number from 0 to 65535, or a range like 1000-2000,"},
    [TERM_IFACE] = {read_name, "interface's name", "1 to 31 letters, digits, '-', '_' or '.'"},
    [TERM_BRIDGE] = {read_name, "bridge's name", "1 to 31 letters, digits, '-', '_' or '.'"},
    [TERM_MAC] = {read_mac, "MAC address", "52:54:00:12:34:56"},
};

/* ---- terms ---- */

__attribute__((format(printf, 2, 3))) static int refuse(char *why, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(why, COMMAND_WHY_MAX, format, args);
    va_end(args);
    return -EINVAL;
}

static int unknown_term(const char *word, size_t size, char *why)
{
    char name[32];

    snprintf(name, sizeof(name), "%.*s", (int)size, word);
    return words_refuse(why, "a term of a flow", name, term_names);
}

int terms_take(struct terms *terms, const char *word, char *why)
{
    size_t size = strcspn(word, "="), i = 0;
    const char *value = word + size + 1;

    if (word[size] == '\0')
        return refuse(why, "\"%.64s\" is not a term of a flow; terms are like src=10.1.0.2", word);
    while (i < TERMS && (strlen(term_names[i]) != size || memcmp(term_names[i], word, size) != 0))
        i++;
    if (i == TERMS)
        return unknown_term(word, size, why);
    if (terms->given[i] != NULL)
        return refuse(why, "%s is given twice; once is right", term_names[i]);
    if (*value == '\0')
        return refuse(why, "%s has no value; leave the term away to match any", term_names[i]);
    if (!kinds[i].read(value, &terms->low[i], &terms->high[i]))
        return refuse(why, "%s: \"%.64s\" is no %s; %s would be", term_names[i], value,
                      kinds[i].what, kinds[i].right);
    terms->given[i] = value;
    return 0;
}

int terms_finish(const struct terms *terms, char *why)
{
    const char *bridged = terms->given[TERM_BRIDGE] != NULL ? "bridge" : "mac";

    if (terms->given[TERM_BRIDGE] == NULL && terms->given[TERM_MAC] == NULL)
        return 0;
    for (int i = 0; i < TERM_BRIDGE; i++)
        if (terms->given[i] != NULL)
            return refuse(why,
                          "%s and %s don't go together: a flow is routed, with src, dst, proto, "
                          "sport, dport and iface, or bridged, with bridge and mac",
                          bridged, term_names[i]);
    return 0;
}

/* Exactly as the daemon writes it, which takes no ranges. */
static bool is_one(const struct terms *terms, enum term term)
{
    return terms->given[term] != NULL && strpbrk(terms->given[term], "/-") == NULL &&
           terms->low[term] != 0;
}

bool terms_name_one(const struct terms *terms)
{
    if (terms->given[TERM_BRIDGE] != NULL && terms->given[TERM_MAC] != NULL)
        return true;
    return is_one(terms, TERM_SRC) && is_one(terms, TERM_DST) && is_one(terms, TERM_PROTO) &&
           (terms->given[TERM_SPORT] == NULL || is_one(terms, TERM_SPORT)) &&
           (terms->given[TERM_DPORT] == NULL || is_one(terms, TERM_DPORT));
}

bool terms_fit(const struct terms *terms, enum term term, const char *value)
{
    uint32_t low, high;

    if (terms->given[term] == NULL)
        return true;
    if (term == TERM_MAC)
        return strcasecmp(terms->given[term], value) == 0;
    if (term == TERM_IFACE || term == TERM_BRIDGE)
        return strcmp(terms->given[term], value) == 0;
    return *value != '\0' && kinds[term].read(value, &low, &high) && low >= terms->low[term] &&
           low <= terms->high[term];
}
