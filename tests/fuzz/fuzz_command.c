/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Lines of a configuration file from any bytes: the grammar of commands, and what kedgectl reads (JSON)
 * and prints. The first byte of the input chooses: 'j' JSON, 'w' a word that is printed and split again,
 * any other a line of which it is a part.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/print.h"
#include "cli/tree.h"

#define REQUIRE(condition) \
    do {                   \
        if (!(condition))  \
            abort();       \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is accepted names paths; what is refused has a sentence in one line. */
static void fuzz_line(const char *line, size_t size)
{
    char why[COMMAND_WHY_MAX] = "";
    struct command command;
    int rc = command_parse_line(line, size, &command, why);

    REQUIRE(rc == 0 || rc == -EINVAL || rc == -ENOENT);
    REQUIRE(rc == 0 || (why[0] != '\0' && strchr(why, '\n') == NULL && command.op_count == 0));
    REQUIRE(rc != 0 || (command.noun == NULL) == (command.op_count == 0));
    for (size_t i = 0; i < command.op_count; i++) {
        const struct command_op *op = &command.ops[i];

        REQUIRE(op->path[0] == '/' && (op->value != NULL) == command_op_has_value(op->kind));
    }
    command_free(&command);
}

/* A word comes back as it was. */
static void fuzz_word(const char *word, size_t size)
{
    const char *words[COMMAND_WORDS_MAX];
    char *line, *buffer, why[COMMAND_WHY_MAX];
    size_t line_size;
    FILE *out;

    if (memchr(word, '\0', size) != NULL)
        return;
    out = open_memstream(&line, &line_size);
    REQUIRE(out != NULL);
    print_word(out, word, size);
    fclose(out);
    buffer = malloc(line_size + 1);
    REQUIRE(buffer != NULL);
    REQUIRE(command_split(line, line_size, buffer, words, why) == 1);
    REQUIRE(strlen(words[0]) == size && memcmp(words[0], word, size) == 0);
    free(buffer);
    free(line);
}

static void fuzz_json(const char *bytes, size_t size)
{
    char *text = strndup(bytes, size);
    struct node root;

    REQUIRE(text != NULL);
    if (tree_parse_json(text, &root) == 0)
        tree_free(&root);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;

    if (size > 0 && text[0] == 'j')
        fuzz_json(text + 1, size - 1);
    else if (size > 0 && text[0] == 'w')
        fuzz_word(text + 1, size - 1);
    else
        fuzz_line(text, size);
    return 0;
}
