/* SPDX-License-Identifier: BSD-3-Clause */
/* Reading commands, by the table of nouns. */
#include "cli/command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/parser.h"
#include "cli/words.h"

static int unknown_property(struct parser *parser, const struct noun *noun)
{
    const char *keywords[16] = {0};
    const char *word = parser->words[0];
    char what[64], key[64];
    size_t count = 0;

    for (const struct property *p = noun->properties; p->keyword != NULL; p++)
        keywords[count++] = p->keyword;
    for (const char *const *term = noun->terms; term != NULL && *term != NULL; term++)
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
    parser_take(parser);
    bit = 1u << (property - noun->properties);
    if ((parser->seen & bit) && !property->repeated)
        return parser_refuse(parser, "\"%s\" is given twice", property->keyword);
    parser->seen |= bit;
    if (property->value != NULL && parser->count == 0)
        return parser_refuse(parser, "the value is missing after \"%s\": %s", property->keyword,
                             property->value);
    return property->apply(parser, property);
}

static int check_required(struct parser *parser, const struct noun *noun)
{
    for (const struct property *p = noun->properties; p->keyword != NULL && parser->is_add; p++) {
        if (!p->required || (parser->seen & (1u << (p - noun->properties))))
            continue;
        return parser_refuse(parser, "\"%s\" is missing: %s %s", p->keyword, p->keyword, p->value);
    }
    return 0;
}

static int require_absent(struct parser *parser)
{
    return parser_add(parser, COMMAND_ABSENT, strdup(parser->object),
                      parser_text("%s exists already; use set to change it", parser->title));
}

static int require_present(struct parser *parser, const char *hint)
{
    return parser_add(parser, COMMAND_PRESENT, strdup(parser->object),
                      parser_text("there is no %s%s", parser->title, hint));
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
        rc = parser_refuse(parser, "nothing to change; give a property of the %s", noun->title);
    return rc;
}

/* del OBJECT KEYWORD VALUE, for what can be given more than once */
static int del_member(struct parser *parser, const struct property *property, const char *value)
{
    /* of an address, the prefix length may be given, as in add */
    int size = (int)strcspn(value, strcmp(property->keyword, "address") == 0 ? "/" : "");
    char *path = parser_text("%s/%s/%.*s", parser->object, property->name, size, value);
    int rc =
        path == NULL
            ? -ENOMEM
            : parser_add(parser, COMMAND_PRESENT, strdup(path),
                         parser_text("%s has no %s %s", parser->title, property->keyword, value));

    if (rc == 0)
        rc = parser_add_path(parser, COMMAND_REMOVE, path);
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
        return parser_refuse(parser, "\"%.64s\" is too much: del removes the whole %s", keyword,
                             noun->title);
    snprintf(what, sizeof(what), "what can be removed from %s %s", noun->article, noun->title);
    return words_refuse(parser->why, what, keyword, keywords);
}

static int del_object(struct parser *parser, const struct noun *noun)
{
    int rc = require_present(parser, "");

    parser->command->whole = true;
    if (rc == 0)
        rc = parser_add_path(parser, COMMAND_REMOVE, parser->object);
    if (rc == 0 && noun->prunes) {
        int size = (int)(strrchr(parser->object, '/') - parser->object);

        rc = parser_add(parser, COMMAND_PRUNE, parser_text("%.*s", size, parser->object), NULL);
    }
    return rc;
}

static int parse_del(struct parser *parser, const struct noun *noun)
{
    const struct property *property = noun->properties;
    const char *keyword = parser_take(parser), *value = parser_take(parser);

    if (keyword == NULL)
        return del_object(parser, noun);
    while (property->keyword != NULL &&
           (strcmp(property->keyword, keyword) != 0 || !property->repeated))
        property++;
    if (property->keyword == NULL)
        return unknown_member(parser, noun, keyword);
    if (value == NULL)
        return parser_refuse(parser, "the value is missing after \"%s\"", keyword);
    if (parser->count > 0)
        return parser_refuse(parser, "\"%.64s\" is too much: one %s at a time", parser->words[0],
                             keyword);
    return del_member(parser, property, value);
}

static const char *const verbs[] = {"add", "set", "del", NULL};

static int parse_words(struct parser *parser)
{
    const char *names[COMMAND_NOUNS + 1] = {0};
    const char *word = parser_take(parser);
    const struct noun *noun = word == NULL ? NULL : command_noun(word);
    const char *const *verb = verbs;
    int rc;

    for (size_t i = 0; i < COMMAND_NOUNS; i++)
        names[i] = command_nouns[i].name;
    if (noun == NULL) {
        words_refuse(parser->why, "a thing that can be configured", word == NULL ? "" : word,
                     names);
        return -ENOENT;
    }
    parser->command->noun = noun->name;
    word = parser_take(parser);
    while (*verb != NULL && (word == NULL || strcmp(*verb, word) != 0))
        verb++;
    if (*verb == NULL) {
        if (word == NULL)
            parser_refuse(parser, "what is to be done with \"%s\"? add, set or del would be right",
                          noun->name);
        else
            words_refuse(parser->why, "something to be done here", word, verbs);
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
    command->whole = false;
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
    const struct noun *noun = command_noun(noun_name);
    struct command command = {.noun = noun->name, .verb = "show"};
    struct parser parser = {.words = words, .count = count, .command = &command, .why = why};
    size_t keys = 0;
    int rc;

    while (noun->keys[keys] != NULL)
        keys++;
    rc = count < keys ? parser_locate(&parser, noun, count) : noun->locate(&parser);
    if (rc == 0 && parser.count > 0)
        rc = parser_refuse(&parser, "\"%.64s\" is too much", parser.words[0]);
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
