/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The grammar: one table of nouns. Each names the words that identify an object and the properties that it
 * can be given; a property is a keyword, how many words follow it, and what it writes.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/parser.h"
#include "cli/words.h"

/* Write the object itself, or a name below it: a property, or a member of one. value is taken over. */
static int write_object(struct parser *parser, char *value)
{
    return parser_add(parser, COMMAND_WRITE, strdup(parser->object), value);
}

static int write_below(struct parser *parser, const char *name, const char *member, char *value)
{
    return parser_add(
        parser, COMMAND_WRITE,
        parser_text("%s/%s%s%s", parser->object, name, *member != '\0' ? "/" : "", member), value);
}

/* ---- properties ---- */

static int apply_write(struct parser *parser, const struct property *property)
{
    return write_below(parser, property->name, "", strdup(parser_take(parser)));
}

/* The value is itself a name: /bridge/br0/port/p1. */
static int apply_member(struct parser *parser, const struct property *property)
{
    const char *word = parser_take(parser);
    int rc = parser_check_part(parser, property->value, word);

    return rc == 0 ? write_below(parser, property->name, word, strdup("")) : rc;
}

static int apply_on(struct parser *parser, const struct property *property)
{
    static const char *const kinds[] = {"port", "bridge", NULL};
    const char *kind = parser_take(parser), *name = parser_take(parser);

    if (strcmp(kind, "port") != 0 && strcmp(kind, "bridge") != 0)
        return words_refuse(parser->why, "what an interface can be on", kind, kinds);
    if (name == NULL)
        return parser_refuse(parser, "the name of the %s is missing after \"on %s\"", kind, kind);
    return write_below(parser, property->name, "", parser_text("%s %s", kind, name));
}

static int apply_address(struct parser *parser, const struct property *property)
{
    char address[64];
    const char *word = parser_take(parser), *slash = strchr(word, '/');

    if (slash == NULL || slash == word || slash[1] == '\0' ||
        (size_t)(slash - word) >= sizeof(address))
        return parser_refuse(
            parser, "\"%.64s\" is not an address with its prefix length; 10.0.0.1/24 would be",
            word);
    snprintf(address, sizeof(address), "%.*s", (int)(slash - word), word);
    return write_below(parser, property->name, address, strdup(slash + 1));
}

static bool has_write(const struct parser *parser)
{
    const struct command *command = parser->command;

    return command->op_count > 0 && command->ops[command->op_count - 1].kind == COMMAND_WRITE;
}

/* The object itself has the value "WORD static". */
static int apply_static(struct parser *parser, const struct property *property)
{
    if (has_write(parser))
        return parser_refuse(parser, "\"%s\" is too much: it has one already", property->keyword);
    return write_object(parser, parser_text("%s static", parser_take(parser)));
}

static int apply_mac(struct parser *parser, const struct property *property)
{
    const char *word = parser->words[0];

    if (!words_is_mac(word))
        return parser_refuse(parser, "\"%.64s\" is not a MAC address; 52:54:00:12:34:56 would be",
                             word);
    return apply_static(parser, property);
}

static int apply_next_hop(struct parser *parser, const struct property *property)
{
    if (has_write(parser))
        return parser_refuse(
            parser, "a route goes one way: via ADDRESS, dev INTERFACE, blackhole or reject");
    if (property->value == NULL)
        return write_object(parser, strdup(property->keyword));
    return write_object(parser, parser_text("%s %s", property->keyword, parser_take(parser)));
}

/* action route|drop|count, or action via ADDRESS */
static int apply_action(struct parser *parser, const struct property *property)
{
    static const char *const actions[] = {"route", "via", "drop", "count", NULL};
    const char *const *action = actions, *word = parser_take(parser);
    bool via = strcmp(word, "via") == 0 && parser->count > 0;

    while (*action != NULL && strcmp(*action, word) != 0)
        action++;
    if (*action == NULL && strchr(word, ' ') == NULL) /* "via ADDRESS" may be one word */
        return words_refuse(parser->why, "an action", word, actions);
    return write_below(parser, property->name, "",
                       via ? parser_text("via %s", parser_take(parser)) : strdup(word));
}

static const struct property port_properties[] = {
    {"devargs", "DEVARGS", true, false, apply_write, "devargs"},
    {"mtu", "BYTES", false, false, apply_write, "mtu"},
    {"workers", "NUMBER", false, false, apply_write, "workers"},
    {"queues", "NUMBER", false, false, apply_write, "queues"},
    {0},
};
static const struct property bridge_properties[] = {
    {"ageing", "SECONDS", false, false, apply_write, "ageing"},
    {"port", "port", false, true, apply_member, "port"},
    {0},
};
static const struct property iface_properties[] = {
    {"on", "port NAME or bridge NAME", true, false, apply_on, "on"},
    {"address", "ADDRESS/LENGTH", false, true, apply_address, "address"},
    {"mode", "follow, bound or static", false, false, apply_write, "mode"},
    {"mac", "MAC", false, false, apply_write, "mac"},
    {0},
};
static const struct property fdb_properties[] = {
    {"port", "PORT", true, false, apply_static, NULL},
    {0},
};
static const struct property neigh_properties[] = {
    {"mac", "MAC", false, false, apply_mac, NULL},
    {"lladdr", "MAC", false, false, apply_mac, NULL},
    {0},
};
static const struct property route_properties[] = {
    {"via", "ADDRESS", false, false, apply_next_hop, NULL},
    {"dev", "INTERFACE", false, false, apply_next_hop, NULL},
    {"blackhole", NULL, false, false, apply_next_hop, NULL},
    {"reject", NULL, false, false, apply_next_hop, NULL},
    {0},
};
static const struct property flow_properties[] = {
    {"match", "\"src=... dst=... proto=... sport=... dport=... iface=...\"", false, false,
     apply_write, "match"},
    {"priority", "NUMBER", false, false, apply_write, "priority"},
    {"action", "route, via ADDRESS, drop or count", false, false, apply_action, "action"},
    {0},
};
static const struct property no_properties[] = {{0}};

/* ---- nouns ---- */

static int locate_one(struct parser *parser)
{
    return parser_locate(parser, command_noun(parser->command->noun), 1);
}

static int locate_two(struct parser *parser)
{
    return parser_locate(parser, command_noun(parser->command->noun), 2);
}

/* "default", "10.0.0.0/8", or an address, which is a /32 */
static int locate_route(struct parser *parser)
{
    const char *word = parser_take(parser), *slash;

    if (word == NULL)
        return parser_refuse(parser, "PREFIX is missing: route %s 10.1.0.0/16",
                             parser->command->verb);
    if (strcmp(word, "default") == 0)
        word = "0.0.0.0/0";
    slash = strchr(word, '/');
    if (strlen(word) > 64 || slash == word ||
        (slash != NULL && (slash[1] == '\0' || strchr(slash + 1, '/') != NULL)))
        return parser_refuse(parser, "\"%.64s\" is not a prefix; 10.1.0.0/16 would be", word);
    snprintf(parser->object, sizeof(parser->object), "/route/%s%s", word,
             slash == NULL ? "/32" : "");
    snprintf(parser->title, sizeof(parser->title), "route %s", word);
    return 0;
}

static int locate_path(struct parser *parser)
{
    const char *word = parser_take(parser);

    if (word == NULL || word[0] != '/')
        return parser_refuse(parser, "PATH is missing, and begins with '/': name %s /some/path",
                             parser->command->verb);
    if (strlen(word) >= sizeof(parser->object))
        return parser_refuse(parser, "the path is longer than %zu bytes",
                             sizeof(parser->object) - 1);
    snprintf(parser->object, sizeof(parser->object), "%s", word);
    snprintf(parser->title, sizeof(parser->title), "%.250s", word);
    return 0;
}

static const char *const flow_terms[] = {
    "src=", "dst=", "proto=", "sport=", "dport=", "iface=", NULL};

/* Bare terms of a match: flow add web dst=10.0.0.0/8 proto=tcp */
static int flow_term(struct parser *parser)
{
    const char *const *term = flow_terms, *word = parser->words[0];
    size_t used = strlen(parser->match);

    while (*term != NULL && strncmp(word, *term, strlen(*term)) != 0)
        term++;
    if (*term == NULL)
        return -ENOENT;
    if (used + strlen(word) + 2 > sizeof(parser->match))
        return parser_refuse(parser, "the match is too long");
    snprintf(parser->match + used, sizeof(parser->match) - used, "%s%s", used == 0 ? "" : " ",
             word);
    parser_take(parser);
    return 0;
}

static int flow_finish(struct parser *parser)
{
    bool has_match = parser->seen & 1u;

    if (has_match && parser->match[0] != '\0')
        return parser_refuse(
            parser,
            "give the match either as one quoted word after \"match\" or as bare terms, not both");
    if (!has_match && (parser->is_add || parser->match[0] != '\0'))
        return write_below(parser, "match", "", strdup(parser->match));
    return 0;
}

static int route_finish(struct parser *parser)
{
    if (parser->seen == 0)
        return parser_refuse(
            parser, "where to? via ADDRESS, dev INTERFACE, blackhole or reject is missing");
    return 0;
}

/* name set PATH [VALUE] */
static int name_value(struct parser *parser)
{
    if (parser->seen++ > 0)
        return parser_refuse(parser, "\"%.64s\" is too much: one value, quoted if it has blanks",
                             parser->words[0]);
    return write_object(parser, strdup(parser_take(parser)));
}

static int name_finish(struct parser *parser)
{
    return parser->seen == 0 ? parser_add_path(parser, COMMAND_MKDIR, parser->object) : 0;
}

static int neigh_finish(struct parser *parser)
{
    if (parser->seen == 0)
        return parser_refuse(parser, "\"mac\" is missing: mac MAC");
    return 0;
}

/* An object that is a directory exists by being made. */
static int object_finish(struct parser *parser)
{
    return parser->is_add ? parser_add_path(parser, COMMAND_MKDIR, parser->object) : 0;
}

const struct noun command_nouns[] = {
    {
        .name = "port",
        .article = "a",
        .title = "port",
        .keys = {"NAME"},
        .locate = locate_one,
        .properties = port_properties,
        .finish = object_finish,
    },
    {
        .name = "bridge",
        .article = "a",
        .title = "bridge",
        .keys = {"NAME"},
        .locate = locate_one,
        .properties = bridge_properties,
        .finish = object_finish,
    },
    {
        .name = "iface",
        .article = "an",
        .title = "interface",
        .keys = {"NAME"},
        .locate = locate_one,
        .properties = iface_properties,
        .finish = object_finish,
    },
    {
        .name = "fdb",
        .article = "a",
        .title = "station",
        .keys = {"BRIDGE", "MAC"},
        .locate = locate_two,
        .properties = fdb_properties,
    },
    {
        .name = "neigh",
        .article = "a",
        .title = "neighbour",
        .keys = {"IFACE", "ADDRESS"},
        .locate = locate_two,
        .properties = neigh_properties,
        .finish = neigh_finish,
    },
    {
        .name = "route",
        .article = "a",
        .title = "route",
        .keys = {"PREFIX"},
        .locate = locate_route,
        .properties = route_properties,
        .prunes = true,
        .finish = route_finish,
    },
    {
        .name = "flow",
        .article = "a",
        .title = "flow",
        .keys = {"NAME"},
        .locate = locate_one,
        .properties = flow_properties,
        .other = flow_term,
        .terms = flow_terms,
        .finish = flow_finish,
    },
    {
        .name = "name",
        .article = "a",
        .title = "name",
        .keys = {"PATH"},
        .locate = locate_path,
        .properties = no_properties,
        .other = name_value,
        .finish = name_finish,
    },
};
_Static_assert(sizeof(command_nouns) / sizeof(command_nouns[0]) == COMMAND_NOUNS, "all nouns");

const struct noun *command_noun(const char *name)
{
    for (size_t i = 0; i < COMMAND_NOUNS; i++)
        if (strcmp(command_nouns[i].name, name) == 0)
            return &command_nouns[i];
    return NULL;
}
