/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The grammar: one table of nouns. Each names the words that identify an object and the properties that it
 * can be given; a property is a keyword, how many words follow it, and what it writes.
 */
#include "cli/command.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/words.h"

/* A command in the making. */
struct parser {
    const char *const *words; /* what is left */
    size_t count;
    struct command *command;
    char *why;
    char object[COMMAND_PATH_MAX]; /* path of the object */
    char title[COMMAND_TITLE_MAX]; /* for people: port p0 */
    bool is_add;
    unsigned seen;    /* properties given, by index */
    char match[1024]; /* flow: terms given as bare words */
};

/* A property of a noun. */
struct property {
    const char *keyword;
    const char *value; /* what follows it, for messages; NULL: nothing does */
    bool required;     /* by add */
    bool repeated;     /* may be given more than once, and can be deleted by itself */
    int (*apply)(struct parser *parser, const struct property *property);
    const char *name; /* below the object; for apply */
};

struct noun {
    const char *name;
    const char *article, *title;          /* for people: an, interface */
    const char *keys[3];                  /* what identifies an object, for messages */
    int (*locate)(struct parser *parser); /* takes the keys, sets object and title */
    const struct property *properties;
    int (*other)(struct parser *parser); /* a word that is no property; NULL: a mistake */
    int (*finish)(struct parser *parser);
};

/* ---- helpers ---- */

__attribute__((format(printf, 2, 3))) static int refuse(struct parser *parser, const char *format,
                                                        ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(parser->why, COMMAND_WHY_MAX, format, args);
    va_end(args);
    return -EINVAL;
}

/* malloc'ed; NULL: no memory */
__attribute__((format(printf, 1, 2))) static char *text(const char *format, ...)
{
    va_list args;
    char *made;
    int size;

    va_start(args, format);
    size = vasprintf(&made, format, args);
    va_end(args);
    return size < 0 ? NULL : made;
}

/* path and value, malloc'ed, are taken over. */
static int add_own(struct parser *parser, enum command_op_kind kind, char *path, char *value)
{
    struct command *command = parser->command;
    bool valued = kind != COMMAND_MKDIR && kind != COMMAND_REMOVE;

    if (path == NULL || (valued && value == NULL) || command->op_count == COMMAND_OPS_MAX) {
        bool whole = path != NULL && (!valued || value != NULL);

        free(path);
        free(value);
        return whole ? refuse(parser, "more than %d changes in one command; use several",
                              COMMAND_OPS_MAX)
                     : -ENOMEM;
    }
    command->ops[command->op_count++] = (struct command_op){kind, path, value};
    return 0;
}

static int add_op(struct parser *parser, enum command_op_kind kind, const char *path)
{
    return add_own(parser, kind, strdup(path), NULL);
}

/* Write the object itself, or a name below it: a property, or a member of one. value is taken over. */
static int write_object(struct parser *parser, char *value)
{
    return add_own(parser, COMMAND_WRITE, strdup(parser->object), value);
}

static int write_below(struct parser *parser, const char *name, const char *member, char *value)
{
    return add_own(parser, COMMAND_WRITE,
                   text("%s/%s%s%s", parser->object, name, *member != '\0' ? "/" : "", member),
                   value);
}

static const char *take(struct parser *parser)
{
    if (parser->count == 0)
        return NULL;
    parser->count--;
    return *parser->words++;
}

/* One part of a path: anything but '/', and not too long. The mount judges the rest. */
static int check_part(struct parser *parser, const char *what, const char *word)
{
    if (word[0] == '\0' || strchr(word, '/') != NULL || strlen(word) > 63)
        return refuse(parser, "\"%.64s\" is not a %s: 1 to 63 bytes without '/'", word, what);
    return 0;
}

/* Append to a text that ends with NUL within its size. */
__attribute__((format(printf, 3, 4))) static void append(char *text, size_t size,
                                                         const char *format, ...)
{
    size_t used = strlen(text);
    va_list args;

    va_start(args, format);
    vsnprintf(text + used, size - used, format, args);
    va_end(args);
}

static int key_missing(struct parser *parser, const struct noun *noun, size_t key)
{
    return refuse(parser, "%s is missing: %s %s %s%s%s", noun->keys[key], noun->name,
                  parser->command->verb, noun->keys[0], noun->keys[1] != NULL ? " " : "",
                  noun->keys[1] != NULL ? noun->keys[1] : "");
}

/* Take n words that are parts of the path below /noun. */
static int locate_parts(struct parser *parser, const struct noun *noun, size_t n)
{
    snprintf(parser->object, sizeof(parser->object), "/%s", noun->name);
    snprintf(parser->title, sizeof(parser->title), "%s", noun->title);
    for (size_t i = 0; i < n; i++) {
        const char *word = take(parser);
        int rc =
            word == NULL ? key_missing(parser, noun, i) : check_part(parser, noun->keys[i], word);

        if (rc != 0)
            return rc;
        append(parser->object, sizeof(parser->object), "/%s", word);
        append(parser->title, sizeof(parser->title), " %s", word);
    }
    return 0;
}

/* ---- properties ---- */

static int apply_write(struct parser *parser, const struct property *property)
{
    return write_below(parser, property->name, "", strdup(take(parser)));
}

/* The value is itself a name: /bridge/br0/port/p1. */
static int apply_member(struct parser *parser, const struct property *property)
{
    const char *word = take(parser);
    int rc = check_part(parser, property->value, word);

    return rc == 0 ? write_below(parser, property->name, word, strdup("")) : rc;
}

static int apply_on(struct parser *parser, const struct property *property)
{
    static const char *const kinds[] = {"port", "bridge", NULL};
    const char *kind = take(parser), *name = take(parser);

    if (strcmp(kind, "port") != 0 && strcmp(kind, "bridge") != 0)
        return words_refuse(parser->why, "what an interface can be on", kind, kinds);
    if (name == NULL)
        return refuse(parser, "the name of the %s is missing after \"on %s\"", kind, kind);
    return write_below(parser, property->name, "", text("%s %s", kind, name));
}

static int apply_address(struct parser *parser, const struct property *property)
{
    char address[64];
    const char *word = take(parser), *slash = strchr(word, '/');

    if (slash == NULL || slash == word || slash[1] == '\0' ||
        (size_t)(slash - word) >= sizeof(address))
        return refuse(parser,
                      "\"%.64s\" is not an address with its prefix length; 10.0.0.1/24 would be",
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
        return refuse(parser, "\"%s\" is too much: it has one already", property->keyword);
    return write_object(parser, text("%s static", take(parser)));
}

static int apply_next_hop(struct parser *parser, const struct property *property)
{
    if (has_write(parser))
        return refuse(parser,
                      "a route goes one way: via ADDRESS, dev INTERFACE, blackhole or reject");
    if (property->value == NULL)
        return write_object(parser, strdup(property->keyword));
    return write_object(parser, text("%s %s", property->keyword, take(parser)));
}

/* action route|drop|count, or action via ADDRESS */
static int apply_action(struct parser *parser, const struct property *property)
{
    const char *word = take(parser);
    bool via = strcmp(word, "via") == 0 && parser->count > 0;

    return write_below(parser, property->name, "",
                       via ? text("via %s", take(parser)) : strdup(word));
}

static const struct property port_properties[] = {
    {"devargs", "DEVARGS", true, false, apply_write, "devargs"},
    {"mtu", "BYTES", false, false, apply_write, "mtu"},
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
    {"mac", "MAC", false, false, apply_static, NULL},
    {"lladdr", "MAC", false, false, apply_static, NULL},
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

static const struct noun *find_noun(const char *name);

static int locate_one(struct parser *parser)
{
    return locate_parts(parser, find_noun(parser->command->noun), 1);
}

static int locate_two(struct parser *parser)
{
    return locate_parts(parser, find_noun(parser->command->noun), 2);
}

/* "default", "10.0.0.0/8", or an address, which is a /32 */
static int locate_route(struct parser *parser)
{
    const char *word = take(parser), *slash;

    if (word == NULL)
        return refuse(parser, "PREFIX is missing: route %s 10.1.0.0/16", parser->command->verb);
    if (strcmp(word, "default") == 0)
        word = "0.0.0.0/0";
    slash = strchr(word, '/');
    if (strlen(word) > 64 || slash == word ||
        (slash != NULL && (slash[1] == '\0' || strchr(slash + 1, '/') != NULL)))
        return refuse(parser, "\"%.64s\" is not a prefix; 10.1.0.0/16 would be", word);
    snprintf(parser->object, sizeof(parser->object), "/route/%s%s", word,
             slash == NULL ? "/32" : "");
    snprintf(parser->title, sizeof(parser->title), "route %s", word);
    return 0;
}

static int locate_path(struct parser *parser)
{
    const char *word = take(parser);

    if (word == NULL || word[0] != '/')
        return refuse(parser, "PATH is missing, and begins with '/': name %s /some/path",
                      parser->command->verb);
    if (strlen(word) >= sizeof(parser->object))
        return refuse(parser, "the path is longer than %zu bytes", sizeof(parser->object) - 1);
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
        return refuse(parser, "the match is too long");
    append(parser->match, sizeof(parser->match), "%s%s", used == 0 ? "" : " ", take(parser));
    return 0;
}

static int flow_finish(struct parser *parser)
{
    bool has_match = parser->seen & 1u;

    if (has_match && parser->match[0] != '\0')
        return refuse(
            parser,
            "give the match either as one quoted word after \"match\" or as bare terms, not both");
    if (!has_match && (parser->is_add || parser->match[0] != '\0'))
        return write_below(parser, "match", "", strdup(parser->match));
    return 0;
}

static int route_finish(struct parser *parser)
{
    if (parser->seen == 0)
        return refuse(parser,
                      "where to? via ADDRESS, dev INTERFACE, blackhole or reject is missing");
    return 0;
}

/* name set PATH [VALUE] */
static int name_value(struct parser *parser)
{
    if (parser->seen++ > 0)
        return refuse(parser, "\"%.64s\" is too much: one value, quoted if it has blanks",
                      parser->words[0]);
    return write_object(parser, strdup(take(parser)));
}

static int name_finish(struct parser *parser)
{
    return parser->seen == 0 ? add_op(parser, COMMAND_MKDIR, parser->object) : 0;
}

static int neigh_finish(struct parser *parser)
{
    if (parser->seen == 0)
        return refuse(parser, "\"mac\" is missing: mac MAC");
    return 0;
}

/* An object that is a directory exists by being made. */
static int object_finish(struct parser *parser)
{
    return parser->is_add ? add_op(parser, COMMAND_MKDIR, parser->object) : 0;
}

static const struct noun nouns[] = {
    {"port", "a", "port", {"NAME"}, locate_one, port_properties, NULL, object_finish},
    {"bridge", "a", "bridge", {"NAME"}, locate_one, bridge_properties, NULL, object_finish},
    {"iface", "an", "interface", {"NAME"}, locate_one, iface_properties, NULL, object_finish},
    {"fdb", "a", "station", {"BRIDGE", "MAC"}, locate_two, fdb_properties, NULL, NULL},
    {"neigh",
     "a",
     "neighbour",
     {"IFACE", "ADDRESS"},
     locate_two,
     neigh_properties,
     NULL,
     neigh_finish},
    {"route", "a", "route", {"PREFIX"}, locate_route, route_properties, NULL, route_finish},
    {"flow", "a", "flow", {"NAME"}, locate_one, flow_properties, flow_term, flow_finish},
    {"name", "a", "name", {"PATH"}, locate_path, no_properties, name_value, name_finish},
};
enum { NOUNS = sizeof(nouns) / sizeof(nouns[0]) };

static const struct noun *find_noun(const char *name)
{
    for (size_t i = 0; i < NOUNS; i++)
        if (strcmp(nouns[i].name, name) == 0)
            return &nouns[i];
    return NULL;
}

/* ---- reading a command ---- */

static int unknown_property(struct parser *parser, const struct noun *noun)
{
    const char *keywords[16] = {0};
    const char *word = parser->words[0];
    char what[64], key[64];
    size_t count = 0;

    for (const struct property *p = noun->properties; p->keyword != NULL; p++)
        keywords[count++] = p->keyword;
    for (const char *const *term = flow_terms; noun->other == flow_term && *term != NULL; term++)
        keywords[count++] = *term;
    snprintf(what, sizeof(what), "a property of %s %s", noun->article, noun->title);
    snprintf(key, sizeof(key), "%.*s", (int)strcspn(word, "=") + (strchr(word, '=') != NULL), word);
    return words_refuse(parser->why, what, key, keywords);
}

static int take_property(struct parser *parser, const struct noun *noun)
{
    const struct property *property = noun->properties;
    unsigned bit;

    while (property->keyword != NULL && strcmp(property->keyword, parser->words[0]) != 0)
        property++;
    if (property->keyword == NULL) {
        int rc = noun->other == NULL ? -ENOENT : noun->other(parser);

        return rc == -ENOENT ? unknown_property(parser, noun) : rc;
    }
    take(parser);
    bit = 1u << (property - noun->properties);
    if ((parser->seen & bit) && !property->repeated)
        return refuse(parser, "\"%s\" is given twice", property->keyword);
    parser->seen |= bit;
    if (property->value != NULL && parser->count == 0)
        return refuse(parser, "the value is missing after \"%s\": %s", property->keyword,
                      property->value);
    return property->apply(parser, property);
}

static int check_required(struct parser *parser, const struct noun *noun)
{
    for (const struct property *p = noun->properties; p->keyword != NULL && parser->is_add; p++) {
        if (!p->required || (parser->seen & (1u << (p - noun->properties))))
            continue;
        return refuse(parser, "\"%s\" is missing: %s %s", p->keyword, p->keyword, p->value);
    }
    return 0;
}

static int require_absent(struct parser *parser)
{
    return add_own(parser, COMMAND_ABSENT, strdup(parser->object),
                   text("%s exists already; use set to change it", parser->title));
}

static int require_present(struct parser *parser, const char *hint)
{
    return add_own(parser, COMMAND_PRESENT, strdup(parser->object),
                   text("there is no %s%s", parser->title, hint));
}

static int parse_change(struct parser *parser, const struct noun *noun)
{
    int rc = parser->is_add ? require_absent(parser) : require_present(parser, "; use add");

    while (rc == 0 && parser->count > 0)
        rc = take_property(parser, noun);
    if (rc == 0)
        rc = check_required(parser, noun);
    if (rc == 0 && noun->finish != NULL)
        rc = noun->finish(parser);
    if (rc == 0 && parser->command->op_count == 1)
        rc = refuse(parser, "nothing to change; give a property of the %s", noun->title);
    return rc;
}

/* del OBJECT KEYWORD VALUE, for what can be given more than once */
static int del_member(struct parser *parser, const struct property *property, const char *value)
{
    /* of an address, the prefix length may be given, as in add */
    int size = (int)strcspn(value, property->apply == apply_address ? "/" : "");
    char *path = text("%s/%s/%.*s", parser->object, property->name, size, value);
    int rc = path == NULL
                 ? -ENOMEM
                 : add_own(parser, COMMAND_PRESENT, strdup(path),
                           text("%s has no %s %s", parser->title, property->keyword, value));

    if (rc == 0)
        rc = add_op(parser, COMMAND_REMOVE, path);
    free(path);
    return rc;
}

/* del takes the whole object, unless a member is named. */
static int unknown_member(struct parser *parser, const struct noun *noun, const char *keyword)
{
    const char *keywords[8] = {0};
    char what[80];
    size_t count = 0;

    for (const struct property *p = noun->properties; p->keyword != NULL; p++)
        if (p->repeated)
            keywords[count++] = p->keyword;
    if (count == 0)
        return refuse(parser, "\"%.64s\" is too much: del removes the whole %s", keyword,
                      noun->title);
    snprintf(what, sizeof(what), "what can be removed from %s %s", noun->article, noun->title);
    return words_refuse(parser->why, what, keyword, keywords);
}

static int parse_del(struct parser *parser, const struct noun *noun)
{
    const struct property *property = noun->properties;
    const char *keyword = take(parser), *value = take(parser);

    if (keyword == NULL) {
        int rc = require_present(parser, "");

        return rc == 0 ? add_op(parser, COMMAND_REMOVE, parser->object) : rc;
    }
    while (property->keyword != NULL &&
           (strcmp(property->keyword, keyword) != 0 || !property->repeated))
        property++;
    if (property->keyword == NULL)
        return unknown_member(parser, noun, keyword);
    if (value == NULL)
        return refuse(parser, "the value is missing after \"%s\"", keyword);
    if (parser->count > 0)
        return refuse(parser, "\"%.64s\" is too much: one %s at a time", parser->words[0], keyword);
    return del_member(parser, property, value);
}

static const char *const verbs[] = {"add", "set", "del", NULL};

static int parse_words(struct parser *parser)
{
    const char *names[NOUNS + 1] = {0};
    const char *word = take(parser);
    const struct noun *noun = word == NULL ? NULL : find_noun(word);
    const char *const *verb = verbs;
    int rc;

    for (size_t i = 0; i < NOUNS; i++)
        names[i] = nouns[i].name;
    if (noun == NULL) {
        words_refuse(parser->why, "a thing that can be configured", word == NULL ? "" : word,
                     names);
        return -ENOENT;
    }
    parser->command->noun = noun->name;
    word = take(parser);
    while (*verb != NULL && (word == NULL || strcmp(*verb, word) != 0))
        verb++;
    if (*verb == NULL) {
        words_refuse(parser->why, "something to be done here", word == NULL ? "" : word, verbs);
        return -ENOENT;
    }
    parser->command->verb = *verb;
    parser->is_add = strcmp(*verb, "add") == 0;
    rc = noun->locate(parser);
    if (rc != 0)
        return rc;
    return strcmp(*verb, "del") == 0 ? parse_del(parser, noun) : parse_change(parser, noun);
}

int command_parse(const char *const *words, size_t count, struct command *command, char *why)
{
    struct parser parser = {.words = words, .count = count, .command = command, .why = why};
    int rc;

    command->noun = command->verb = NULL;
    command->op_count = 0;
    why[0] = '\0';
    rc = parse_words(&parser);
    if (rc != 0)
        command_free(command);
    /* Sentences quote words, which may hold anything. */
    for (char *at = why; *at != '\0'; at++)
        if ((unsigned char)*at < 0x20 || *at == 0x7f)
            *at = '?';
    return rc;
}

int command_locate(const char *noun_name, const char *const *words, size_t count,
                   char path[COMMAND_PATH_MAX], char title[COMMAND_TITLE_MAX], char *why)
{
    const struct noun *noun = find_noun(noun_name);
    struct command command = {.noun = noun->name, .verb = "show"};
    struct parser parser = {.words = words, .count = count, .command = &command, .why = why};
    size_t keys = 0;
    int rc;

    while (noun->keys[keys] != NULL)
        keys++;
    rc = count < keys ? locate_parts(&parser, noun, count) : noun->locate(&parser);
    if (rc == 0 && parser.count > 0)
        rc = refuse(&parser, "\"%.64s\" is too much", parser.words[0]);
    memcpy(path, parser.object, sizeof(parser.object));
    memcpy(title, parser.title, sizeof(parser.title));
    return rc;
}

void command_free(struct command *command)
{
    for (size_t i = 0; i < command->op_count; i++) {
        free(command->ops[i].path);
        free(command->ops[i].value);
    }
    command->op_count = 0;
}

int command_parse_line(const char *line, size_t size, struct command *command, char *why)
{
    const char *words[COMMAND_WORDS_MAX];
    char *buffer = malloc(size + COMMAND_WORDS_MAX + 1); /* each word also gets a NUL */
    int rc;

    command->noun = command->verb = NULL;
    command->op_count = 0;
    if (buffer == NULL)
        return -ENOMEM;
    rc = command_split(line, size, buffer, words, why);
    if (rc > 0)
        rc = command_parse(words, (size_t)rc, command, why);
    free(buffer);
    return rc;
}
