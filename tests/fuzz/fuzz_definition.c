/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The values of /flow and /route from any bytes. What is accepted must mean something that can be;
 * what is refused must have a sentence that can be printed. The first byte of the input chooses the
 * parser: '0' a match, '1' an action, '2' a priority, '3' a route, '4' a prefix.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "flows/definition_p.h"
#include "flows/route_p.h"

#define REQUIRE(condition) \
    do {                   \
        if (!(condition))  \
            abort();       \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Names of interfaces get ids, which are the links' to give. */
static struct links_mount *links(void)
{
    static struct links_mount *mount;
    static struct ns_store *store;
    const struct ns_store_options options = {.lcores = 0};

    if (mount == NULL)
        REQUIRE(ns_store_new(&options, &store) == 0 && links_new(store, &mount) == 0);
    return mount;
}

/* 0, or a refusal with a sentence. */
static bool accepted(int rc, const char *why)
{
    REQUIRE(rc == 0 || rc == -EINVAL);
    for (const char *at = why; rc != 0 && *at != 0; at++)
        REQUIRE(*at >= ' ' && *at <= '~');
    REQUIRE(rc == 0 || *why != 0);
    return rc == 0;
}

static void fuzz_match(const char *text, size_t size, char *why, size_t why_size)
{
    struct definition_match match, again;

    if (!accepted(definition_parse_match(links(), text, size, &match, why, why_size), why))
        return;
    REQUIRE((match.src & ~match.src_mask) == 0 && (match.dst & ~match.dst_mask) == 0);
    REQUIRE(match.sport_low <= match.sport_high && match.dport_low <= match.dport_high);
    REQUIRE(definition_parse_match(links(), text, size, &again, NULL, 0) == 0);
    REQUIRE(again.src == match.src && again.dst == match.dst && again.iface == match.iface);
}

static void fuzz_action(const char *text, size_t size, char *why, size_t why_size)
{
    uint8_t action;
    rte_be32_t via;

    if (accepted(definition_parse_action(text, size, &action, &via, why, why_size), why))
        REQUIRE(action <= DEFINITION_COUNT && (via != 0) == (action == DEFINITION_VIA));
}

static void fuzz_priority(const char *text, size_t size, char *why, size_t why_size)
{
    int32_t priority;
    char copy[16] = "";

    if (!accepted(definition_parse_priority(text, size, &priority, why, why_size), why))
        return;
    REQUIRE(size < sizeof(copy));
    memcpy(copy, text, size);
    REQUIRE(priority == strtol(copy, NULL, 10));
}

static void fuzz_route(const char *text, size_t size, char *why, size_t why_size)
{
    struct route route;

    if (!accepted(route_parse_value(links(), (struct word){text, size}, &route, why, why_size),
                  why))
        return;
    REQUIRE(route_is_configured(&route));
    REQUIRE((route.via != 0) == (route.kind == ROUTE_VIA) &&
            (route.iface != 0) == (route.kind == ROUTE_DEV));
}

/* A prefix has one name: what is accepted is what would be written. */
static void fuzz_prefix(const char *text, size_t size, char *why, size_t why_size)
{
    rte_be32_t prefix, again;
    uint8_t length, again_length;
    char path[32];

    if (!accepted(word_prefix((struct word){text, size}, &prefix, &length, why, why_size), why))
        return;
    REQUIRE(length <= 32 && (prefix & ~route_mask(length)) == 0);
    route_path(prefix, length, path, sizeof(path));
    REQUIRE(route_parse_prefix(path + 7, strlen(path + 7), &again, &again_length) == 0);
    REQUIRE(again == prefix && again_length == length);
    REQUIRE(strncmp(path + 7, text, size) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const parsers[])(const char *text, size_t size, char *why, size_t why_size) = {
        fuzz_match, fuzz_action, fuzz_priority, fuzz_route, fuzz_prefix};
    char why[NS_REASON_MAX] = "";

    if (size == 0)
        return 0;
    parsers[(uint8_t)(data[0] - '0') % RTE_DIM(parsers)]((const char *)data + 1, size - 1, why,
                                                         sizeof(why));
    return 0;
}
