/* SPDX-License-Identifier: BSD-3-Clause */
/* JSON, out and in (RFC 8259). */
#include "cli/json.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "cli/text.h"
#include "cli/tree.h"

/* ---- out ---- */

/* Of a character of UTF-8 that takes two or three bytes. */
static unsigned code_of(const char *text, size_t size)
{
    unsigned code = (unsigned char)text[0] & (size == 2 ? 0x1f : 0x0f);

    for (size_t i = 1; i < size; i++)
        code = code << 6 | ((unsigned char)text[i] & 0x3f);
    return code;
}

void json_bytes(FILE *file, const char *text, size_t size)
{
    fputc('"', file);
    for (size_t at = 0; at < size;) {
        size_t character = text_utf8_size(text + at, size - at);

        if (text[at] == '"' || text[at] == '\\')
            fprintf(file, "\\%c", text[at]);
        else if (character == 0)
            fprintf(file, "\\u%04x", (unsigned char)text[at]);
        else if (text_is_obeyed(text + at, character))
            fprintf(file, "\\u%04x", code_of(text + at, character));
        else
            fwrite(text + at, 1, character, file);
        at += character == 0 ? 1 : character;
    }
    fputc('"', file);
}

void json_string(FILE *file, const char *text)
{
    json_bytes(file, text, strlen(text));
}

static bool is_number(const char *text)
{
    size_t whole = strspn(text, "0123456789"), fraction = 0;

    if (whole == 0 || whole > 20 || (text[0] == '0' && whole > 1))
        return false;
    text += whole;
    if (*text == '.') {
        fraction = strspn(text + 1, "0123456789");
        text += fraction == 0 ? 0 : fraction + 1;
    }
    return *text == '\0';
}

void json_value(FILE *file, const char *text)
{
    if (is_number(text))
        fputs(text, file);
    else
        json_string(file, text);
}

/* ---- in ---- */

enum { DEPTH_MAX = 32 };

struct parser {
    const char *at;
    int depth;
};

static int parse_value(struct parser *parser, struct node *node);

static void skip_blanks(struct parser *parser)
{
    parser->at += strspn(parser->at, " \t\r\n");
}

/* Skip blanks, and take the character if it is there. */
static bool take(struct parser *parser, char character)
{
    skip_blanks(parser);
    if (*parser->at != character)
        return false;
    parser->at++;
    return true;
}

/* The rest of \uXXXX as UTF-8; surrogates are left as two characters of three bytes. */
static int take_code(struct parser *parser, FILE *out)
{
    unsigned code = 0;

    for (int i = 0; i < 4; i++, parser->at++) {
        if (!isxdigit((unsigned char)*parser->at))
            return -EINVAL;
        code = code * 16 + (unsigned)(isdigit((unsigned char)*parser->at)
                                          ? *parser->at - '0'
                                          : tolower((unsigned char)*parser->at) - 'a' + 10);
    }
    if (code < 0x80) {
        fputc((int)code, out);
        return 0;
    }
    if (code >= 0x800)
        fputc((int)(0xe0 | code >> 12), out);
    fputc((int)(code >= 0x800 ? 0x80 | (code >> 6 & 0x3f) : 0xc0 | code >> 6), out);
    fputc((int)(0x80 | (code & 0x3f)), out);
    return 0;
}

static int take_escape(struct parser *parser, FILE *out)
{
    static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    const char *letter;

    if (*parser->at == 'u') {
        parser->at++;
        return take_code(parser, out);
    }
    letter = *parser->at != '\0' ? strchr(letters, *parser->at) : NULL;
    if (letter == NULL)
        return -EINVAL;
    parser->at++;
    fputc(meanings[letter - letters], out);
    return 0;
}

/* What follows an opening quote. */
static int take_string(struct parser *parser, char **text, size_t *size)
{
    FILE *out = must(open_memstream(text, size));
    int rc = 0;

    while (rc == 0 && *parser->at != '"') {
        if (*parser->at == '\\') {
            parser->at++;
            rc = take_escape(parser, out);
        } else if (*parser->at == '\0') {
            rc = -EINVAL;
        } else {
            fputc(*parser->at++, out);
        }
    }
    fclose(out);
    must(*text);
    parser->at += rc == 0;
    return rc;
}

static int parse_child(struct parser *parser, struct node *node)
{
    struct node *child = node_add(node);
    size_t size;

    if (node->kind == NODE_ARRAY)
        child->name = must(strdup(""));
    else if (!take(parser, '"') || take_string(parser, &child->name, &size) != 0 ||
             !take(parser, ':'))
        return -EINVAL;
    return parse_value(parser, child);
}

static int parse_children(struct parser *parser, struct node *node, char end)
{
    int rc = 0;

    if (++parser->depth > DEPTH_MAX)
        return -EINVAL;
    if (take(parser, end)) {
        parser->depth--;
        return 0;
    }
    do
        rc = parse_child(parser, node);
    while (rc == 0 && take(parser, ','));
    parser->depth--;
    return rc != 0 || !take(parser, end) ? -EINVAL : 0;
}

static int parse_bare(struct parser *parser, struct node *node)
{
    node->size = strspn(parser->at, "+-.0123456789abcdefghijklmnopqrstuvwxyzE");
    if (node->size == 0)
        return -EINVAL;
    node->kind = NODE_NUMBER;
    node->value = must(strndup(parser->at, node->size));
    parser->at += node->size;
    return 0;
}

static int parse_value(struct parser *parser, struct node *node)
{
    if (take(parser, '"')) {
        node->kind = NODE_TEXT;
        return take_string(parser, &node->value, &node->size);
    }
    if (take(parser, '{')) {
        node->kind = NODE_OBJECT;
        return parse_children(parser, node, '}');
    }
    if (take(parser, '[')) {
        node->kind = NODE_ARRAY;
        return parse_children(parser, node, ']');
    }
    return parse_bare(parser, node);
}

int tree_parse_json(const char *text, struct node *root)
{
    struct parser parser = {.at = text};
    int rc;

    *root = (struct node){.name = must(strdup(""))};
    rc = parse_value(&parser, root);
    skip_blanks(&parser);
    if (rc == 0 && *parser.at == '\0')
        return 0;
    tree_free(root);
    return -EINVAL;
}
