/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inside the grammar of commands: what nouns are made of, and how a command is put together. Nouns
 * (cli/nouns.c) are a table; cli/command.c reads commands by it.
 */
#ifndef KEDGE_CLI_PARSER_H
#define KEDGE_CLI_PARSER_H

#include <stdbool.h>
#include <stddef.h>

#include "cli/command.h"

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
    const char *const *terms;            /* what such words begin with; NULL: anything */
    bool
        prunes; /* the name above an object is there for such objects only: it goes with the last */
    int (*finish)(struct parser *parser);
};

extern const struct noun command_nouns[];
enum { COMMAND_NOUNS = 8 };

/* NULL: there is no such noun. */
const struct noun *command_noun(const char *name);

/* Write the sentence of a refusal. Returns -EINVAL. */
int parser_refuse(struct parser *parser, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The next word; NULL: none is left. */
const char *parser_take(struct parser *parser);

/* One part of a path: anything but '/', and not too long. The mount judges the rest; a sentence from here says
 * what that will ask for. 0 or -EINVAL. */
int parser_check_part(struct parser *parser, const char *what, const char *word);

/* Take n words that are parts of the path below /noun, and set object and title. 0 or -EINVAL. */
int parser_locate(struct parser *parser, const struct noun *noun, size_t n);

/* malloc'ed; NULL: no memory */
char *parser_text(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Add an operation. path and value, malloc'ed, are taken over; NULL where there must be one means no
 * memory. 0, -EINVAL or -ENOMEM. */
int parser_add(struct parser *parser, enum command_op_kind kind, char *path, char *value);

/* The same without a value; the path is copied. */
int parser_add_path(struct parser *parser, enum command_op_kind kind, const char *path);

#endif
