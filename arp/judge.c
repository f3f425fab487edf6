/* SPDX-License-Identifier: BSD-3-Clause */
/* What the mounts of this folder share in judging a changed name; see judge.h. */
#include "arp/judge.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "arp/links.h"

/* Quote a text for a message: anything that could disturb a terminal or a line becomes '?'. */
static void show(const char *text, size_t size, char *shown)
{
    size_t room = JUDGE_SHOWN - sizeof("\"...\""), n = size < room ? size : room;
    char *at = shown;

    *at++ = '"';
    for (size_t i = 0; i < n; i++)
        *at++ = isprint((unsigned char)text[i]) ? text[i] : '?';
    strcpy(at, n < size ? "...\"" : "\"");
}

static void split(struct judge *judge, const char *text)
{
    judge->depth = 0;
    while (*text == '/' && text[1] != 0) {
        size_t size = strcspn(++text, "/");

        if (judge->depth < JUDGE_PARTS)
            judge->part[judge->depth] = (struct name_part){text, size};
        if (judge->depth <= JUDGE_PARTS)
            judge->depth++;
        text += size;
    }
}

void judge_begin(struct judge *judge, const struct ns_mount *mount, struct ns_commit *commit,
                 const struct ns_change *change)
{
    const char *last = strrchr(change->path, '/') + 1;

    judge->commit = commit;
    judge->change = change;
    judge->value = change->after == NULL ? "" : ns_entry_value(change->after);
    judge->size = change->after == NULL ? 0 : change->after->value_size;
    split(judge, change->path + mount->path_size);
    show(judge->value, judge->size, judge->shown);
    show(last, strlen(last), judge->shown_name);
}

bool judge_same_value(const struct judge *judge)
{
    const struct ns_entry *before = judge->change->before, *after = judge->change->after;

    return before != NULL && after != NULL && before->value_size == after->value_size &&
           memcmp(ns_entry_value(before), ns_entry_value(after), after->value_size) == 0;
}

int judge_directory(struct judge *judge)
{
    if (judge->size == 0)
        return 0;
    return judge_refuse(
        judge, EINVAL,
        "%s can't be its value: the name only holds those below it, and its value is empty",
        judge->shown);
}

int judge_mount_point(struct judge *judge)
{
    if (judge_removal(judge))
        return judge_refuse(judge, EPERM,
                            "it can't be removed; remove the names below it one by one");
    return judge_directory(judge);
}

bool judge_link_name(const char *text, size_t size)
{
    if (size == 0 || size >= LINK_NAME_MAX)
        return false;
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];

        if (c > 127 || (!isalnum(c) && c != '-' && c != '_' && c != '.'))
            return false;
    }
    return true;
}

int judge_name_of(struct judge *judge, const char *noun)
{
    const char *last = strrchr(judge->change->path, '/') + 1;

    if (judge_link_name(last, strlen(last)))
        return 0;
    return judge_refuse(judge, EINVAL,
                        "%s is not a name for %s: 1 to %d letters, digits, '-', '_' or '.'",
                        judge->shown_name, noun, LINK_NAME_MAX - 1);
}

int judge_mac_name(struct judge *judge, struct rte_ether_addr *mac)
{
    const char *last = strrchr(judge->change->path, '/') + 1;
    char canonical[18];

    if (link_parse_mac(last, strlen(last), mac) != 0)
        return judge_refuse(judge, EINVAL, "%s is not a MAC address such as 52:54:00:12:34:56",
                            judge->shown_name);
    if (strcmp(link_format_mac(mac, canonical), last) != 0)
        return judge_refuse(judge, EINVAL, "%s has upper-case letters: %s would be right",
                            judge->shown_name, canonical);
    if (!mac_is_unicast(mac))
        return judge_refuse(
            judge, EINVAL,
            "%s is not the address of one station: multicast and zero addresses are none",
            judge->shown_name);
    return 0;
}

int judge_ipv4_name(struct judge *judge, rte_be32_t *address)
{
    const char *last = strrchr(judge->change->path, '/') + 1;

    if (link_parse_ipv4(last, strlen(last), address) != 0)
        return judge_refuse(judge, EINVAL, "%s is not an IPv4 address such as 10.0.0.5",
                            judge->shown_name);
    if (!ipv4_is_host(*address))
        return judge_refuse(
            judge, EINVAL,
            "%s can't be the address of a host: 0/8, 127/8, multicast and reserved ones can't",
            judge->shown_name);
    return 0;
}

bool ipv4_is_host(rte_be32_t address)
{
    uint32_t first = rte_be_to_cpu_32(address) >> 24;

    return first != 0 && first != 127 && first < 224;
}

int parse_number(const char *text, size_t size, uint32_t min, uint32_t max, uint32_t *number)
{
    uint64_t value = 0;

    if (size == 0 || size > 10)
        return -EINVAL;
    for (size_t i = 0; i < size; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -EINVAL;
        value = value * 10 + (uint64_t)(text[i] - '0');
    }
    if (value < min || value > max)
        return -EINVAL;
    *number = (uint32_t)value;
    return 0;
}
