/* SPDX-License-Identifier: BSD-3-Clause */
/* Words of values; see words.h. */
#include "flows/words.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "arp/judge.h"
#include "flows/route.h"

bool word_next(struct word *rest, struct word *word)
{
    while (rest->size > 0 && *rest->text == ' ') {
        rest->text++;
        rest->size--;
    }
    word->text = rest->text;
    word->size = 0;
    while (rest->size > 0 && *rest->text != ' ') {
        rest->text++;
        rest->size--;
        word->size++;
    }
    return word->size > 0;
}

bool word_is(struct word word, const char *text)
{
    return strlen(text) == word.size && memcmp(text, word.text, word.size) == 0;
}

bool word_cut(struct word word, char at, struct word *before, struct word *after)
{
    const char *found = word.size == 0 ? NULL : memchr(word.text, at, word.size);

    if (found == NULL)
        return false;
    *before = (struct word){word.text, (size_t)(found - word.text)};
    *after = (struct word){found + 1, word.size - before->size - 1};
    return true;
}

int explain(char *why, size_t why_size, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(why, why_size, format, args);
    va_end(args);
    for (size_t i = 0; i < why_size && why[i] != 0; i++)
        if (why[i] < ' ' || why[i] > '~')
            why[i] = '?';
    return -EINVAL;
}

/* As it must stand in a name: no leading zero, so that a prefix has one name only. */
static int parse_length(struct word word, uint8_t *length)
{
    uint32_t number;

    if ((word.size > 1 && word.text[0] == '0') ||
        parse_number(word.text, word.size, 0, 32, &number) < 0)
        return -EINVAL;
    *length = (uint8_t)number;
    return 0;
}

int word_prefix(struct word word, rte_be32_t *prefix, uint8_t *length, char *why, size_t why_size)
{
    struct word address = word, bits = {"32", 2};
    char right[16];

    word_cut(word, '/', &address, &bits);
    if (link_parse_ipv4(address.text, address.size, prefix) < 0)
        return explain(why, why_size,
                       "'%.*s' is not an IPv4 address; a prefix is written like 10.0.0.0/8",
                       WORD_ARGS(address));
    if (parse_length(bits, length) < 0)
        return explain(why, why_size,
                       "'%.*s' is not a prefix length; it must be a number from 0 to 32",
                       WORD_ARGS(bits));
    if ((*prefix & ~route_mask(*length)) != 0)
        return explain(why, why_size, "%.*s has host bits set; %s/%u is the prefix",
                       WORD_ARGS(word), link_format_ipv4(*prefix & route_mask(*length), right),
                       *length);
    return 0;
}

int word_next_hop(struct word word, rte_be32_t *address, char *why, size_t why_size)
{
    if (link_parse_ipv4(word.text, word.size, address) < 0)
        return explain(why, why_size,
                       "'%.*s' is not an IPv4 address; a next hop is written like 10.0.0.1",
                       WORD_ARGS(word));
    if (!ipv4_is_host(*address))
        return explain(why, why_size,
                       "%.*s can't be a next hop: 0/8, 127/8, multicast and reserved addresses "
                       "are not addresses of hosts",
                       WORD_ARGS(word));
    return 0;
}

int word_iface(struct word word, char *name, char *why, size_t why_size)
{
    if (!judge_link_name(word.text, word.size))
        return explain(why, why_size,
                       "'%.*s' is not a name for an interface: 1 to %d letters, digits, '-', '_' "
                       "or '.'",
                       WORD_ARGS(word), LINK_NAME_MAX - 1);
    memcpy(name, word.text, word.size);
    name[word.size] = 0;
    return 0;
}
