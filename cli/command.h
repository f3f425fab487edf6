/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Commands: lines of words that change names, as kedgectl takes them and as a configuration file holds
 * them ("route add 10.1.0.0/16 via 10.0.0.5").
 *
 * A command is translated into operations on the name space, without asking anybody: the words' shape is
 * judged here, values are judged by the mounts when the operations are committed. The translation also
 * goes the other way, for `kedgectl save`.
 *
 * Free of sockets and of everything of nameserv, so that kedgectl and kedged (which reads the configuration
 * file) both use it. No state; any thread.
 */
#ifndef KEDGE_CLI_COMMAND_H
#define KEDGE_CLI_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

enum {
    COMMAND_WORDS_MAX = 64,
    COMMAND_OPS_MAX = 64,
    COMMAND_WHY_MAX = 512,
    COMMAND_PATH_MAX = 3072 + 1, /* with its NUL */
    COMMAND_TITLE_MAX = 256,
};

enum command_op_kind {
    COMMAND_WRITE,   /* path, value */
    COMMAND_MKDIR,   /* path */
    COMMAND_REMOVE,  /* path and all below it */
    COMMAND_PRUNE,   /* path, if there is nothing below it any more; else nothing */
    COMMAND_PRESENT, /* refuse with `why` unless path exists: for `set` and `del` */
    COMMAND_ABSENT,  /* refuse with `why` if path exists: for `add` */
};

/* Does an operation of this kind have a value? */
static inline bool command_op_has_value(enum command_op_kind kind)
{
    return kind == COMMAND_WRITE || kind == COMMAND_PRESENT || kind == COMMAND_ABSENT;
}

/* To be done in order, in one transaction. A configuration file may say a thing twice: there ABSENT is
 * skipped, and PRESENT too unless the verb is `del`. */
struct command_op {
    enum command_op_kind kind;
    char *path;
    char *value; /* WRITE: the value; PRESENT, ABSENT: the sentence of the refusal */
};

struct command {
    const char *noun, *verb; /* as in the table; static */
    bool whole;              /* del: of the object itself, not of a member of it */
    struct command_op ops[COMMAND_OPS_MAX];
    size_t op_count;
};

/* Split a line into words: blanks separate, "..." and '...' quote, # starts a comment where a word could
 * start. \ takes the next character as it is; inside "..." \n, \r, \t and \xHH (not \x00) are bytes that a
 * line can't hold. Words are written into `buffer` (at least size + 1 bytes). Returns how many, 0 for an
 * empty line, or -EINVAL with a sentence in why[COMMAND_WHY_MAX] (unfinished quote, too many words, a NUL
 * or control character). */
int command_split(const char *line, size_t size, char *buffer, const char *words[COMMAND_WORDS_MAX],
                  char *why);

/* Translate words that change something (add, set, del of any noun). 0; -EINVAL with a sentence in why:
 * which word, what is wrong with it, what would be right; -ENOENT: no such noun or verb (also with a
 * sentence); -ENOMEM. The result belongs to the caller until command_free(). */
int command_parse(const char *const *words, size_t count, struct command *command, char *why);
void command_free(struct command *command);

/* The path that words after the noun name, and how people call it ("neighbour br0 10.0.0.5"). Fewer words
 * than an object has are right here, down to none: /neigh/br0. 0, or -EINVAL with a sentence in why. */
int command_locate(const char *noun, const char *const *words, size_t count,
                   char path[COMMAND_PATH_MAX], char title[COMMAND_TITLE_MAX], char *why);

/* A line of a configuration file: split and parse. command->noun is NULL for an empty line. Verbs that
 * change nothing (show, ...) are mistakes here. */
int command_parse_line(const char *line, size_t size, struct command *command, char *why);

#endif
