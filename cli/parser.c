/* SPDX-License-Identifier: BSD-3-Clause */
#include "cli/parser.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int parser_refuse(struct parser *parser, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(parser->why, COMMAND_WHY_MAX, format, args);
    va_end(args);
    return -EINVAL;
}

char *parser_text(const char *format, ...)
{
    va_list args;
    char *made;
    int size;

    va_start(args, format);
    size = vasprintf(&made, format, args);
    va_end(args);
    return size < 0 ? NULL : made;
}

int parser_add(struct parser *parser, enum command_op_kind kind, char *path, char *value)
{
    struct command *command = parser->command;
    bool valued = command_op_has_value(kind);

    if (path == NULL || (valued && value == NULL) || command->op_count == COMMAND_OPS_MAX) {
        bool whole = path != NULL && (!valued || value != NULL);

        free(path);
        free(value);
        return whole ? parser_refuse(parser, "more than %d changes in one command; use several",
                                     COMMAND_OPS_MAX)
                     : -ENOMEM;
    }
    command->ops[command->op_count++] = (struct command_op){kind, path, value};
    return 0;
}

int parser_add_path(struct parser *parser, enum command_op_kind kind, const char *path)
{
    return parser_add(parser, kind, strdup(path), NULL);
}

const char *parser_take(struct parser *parser)
{
    if (parser->count == 0)
        return NULL;
    parser->count--;
    return *parser->words++;
}

/* What would be right for a key or member of this kind. */
static const char *form_of(const struct parser *parser, const char *what)
{
    if (strcmp(what, "MAC") == 0)
        return "52:54:00:12:34:56";
    if (strcmp(what, "ADDRESS") == 0)
        return "10.0.0.5";
    if (parser->command->noun != NULL && strcmp(parser->command->noun, "flow") == 0)
        return "1 to 63 bytes without '/'";
    return "1 to 31 letters, digits, '-', '_' or '.'";
}

int parser_check_part(struct parser *parser, const char *what, const char *word)
{
    if (word[0] == '\0' || strchr(word, '/') != NULL || strlen(word) > 63)
        return parser_refuse(parser, "\"%.64s\" is not a %s: %s would be", word, what,
                             form_of(parser, what));
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
    return parser_refuse(parser, "%s is missing: %s %s %s%s%s", noun->keys[key], noun->name,
                         parser->command->verb, noun->keys[0], noun->keys[1] != NULL ? " " : "",
                         noun->keys[1] != NULL ? noun->keys[1] : "");
}

int parser_locate(struct parser *parser, const struct noun *noun, size_t n)
{
    snprintf(parser->object, sizeof(parser->object), "/%s", noun->name);
    snprintf(parser->title, sizeof(parser->title), "%s", noun->title);
    for (size_t i = 0; i < n; i++) {
        const char *word = parser_take(parser);
        int rc = word == NULL ? key_missing(parser, noun, i)
                              : parser_check_part(parser, noun->keys[i], word);

        if (rc != 0)
            return rc;
        append(parser->object, sizeof(parser->object), "/%s", word);
        append(parser->title, sizeof(parser->title), " %s", word);
    }
    return 0;
}
