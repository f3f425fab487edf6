/* SPDX-License-Identifier: BSD-3-Clause */
#include "cli/print.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"

/* Members of a list on one line; more get lines of their own, within the limits of a command. */
enum { MEMBERS_MAX = 20 };

/* ---- words ---- */

static bool is_plain(const char *text, size_t size)
{
    if (size == 0 || text[0] == '#')
        return false;
    for (size_t i = 0; i < size; i++)
        if (!isgraph((unsigned char)text[i]) || strchr("\"'\\", text[i]) != NULL)
            return false;
    return true;
}

void print_word(FILE *file, const char *text, size_t size)
{
    if (is_plain(text, size)) {
        fwrite(text, 1, size, file);
        return;
    }
    fputc('"', file);
    for (size_t i = 0; i < size; i++) {
        unsigned char byte = (unsigned char)text[i];

        if (byte == '"' || byte == '\\')
            fprintf(file, "\\%c", byte);
        else if (byte < 0x20 || byte >= 0x7f)
            fprintf(file, "\\x%02x", byte);
        else
            fputc(byte, file);
    }
    fputc('"', file);
}

static void print_text(FILE *file, const char *text)
{
    fputc(' ', file);
    print_word(file, text, strlen(text));
}

/* ---- objects ---- */

struct object {
    const struct noun *noun;
    const char *first, *second; /* what names it; second "": one does */
    const char *path;
    const struct node *node;
};

struct noun {
    const char *name;
    int keys;
    void (*print)(FILE *file, const struct object *object); /* lines that might make it */
};

/* KEYWORD VALUE, if the object has it */
static void print_property(FILE *file, const struct object *object, const char *keyword)
{
    const struct node *property = node_child(object->node, keyword);

    if (property == NULL || property->value == NULL)
        return;
    fprintf(file, " %s", keyword);
    print_text(file, property->value);
}

/* KEYWORD MEMBER for each name in a list; values: with /VALUE behind it. */
static void print_members(FILE *file, const struct object *object, const char *keyword, bool values)
{
    const struct node *list = node_child(object->node, keyword);

    for (size_t i = 0; list != NULL && i < list->count; i++) {
        const struct node *member = &list->children[i];

        if (i > 0 && i % MEMBERS_MAX == 0)
            fprintf(file, "\n%s set %s", object->noun->name, object->first);
        fprintf(file, " %s %s%s%s", keyword, member->name, values ? "/" : "",
                values && member->value != NULL ? member->value : "");
    }
}

static void print_port(FILE *file, const struct object *object)
{
    print_property(file, object, "devargs");
    print_property(file, object, "mtu");
    print_property(file, object, "workers");
    print_property(file, object, "queues");
}

static void print_bridge(FILE *file, const struct object *object)
{
    print_property(file, object, "ageing");
    print_members(file, object, "port", false);
}

static void print_iface(FILE *file, const struct object *object)
{
    fprintf(file, " on %s", node_text(object->node, "on"));
    print_property(file, object, "mode");
    print_property(file, object, "mac");
    print_members(file, object, "address", true);
}

/* "WORD static" */
static void print_static(FILE *file, const struct object *object)
{
    const char *value = object->node->value;

    fprintf(file, " %s %.*s", strcmp(object->noun->name, "fdb") == 0 ? "port" : "mac",
            (int)strcspn(value, " "), value);
}

static void print_route(FILE *file, const struct object *object)
{
    fprintf(file, " %s", object->node->value);
}

static void print_flow(FILE *file, const struct object *object)
{
    const char *match = node_text(object->node, "match");
    const struct node *action = node_child(object->node, "action");

    if (match[0] != '\0')
        fprintf(file, " %s", match);
    print_property(file, object, "priority");
    if (action != NULL && action->value != NULL)
        fprintf(file, " action %s", action->value);
}

static const struct noun nouns[] = {
    {"port", 1, print_port},  {"bridge", 1, print_bridge}, {"iface", 1, print_iface},
    {"fdb", 2, print_static}, {"neigh", 2, print_static},  {"route", 2, print_route},
    {"flow", 1, print_flow},
};
enum { NOUNS = sizeof(nouns) / sizeof(nouns[0]) };

/* Names that the stack writes beside those of users: what it has learned, and that a neighbour has failed. */
static bool is_learned(const char *path, const struct node *node)
{
    static const char ending[] = " learned";
    const size_t size = sizeof(ending) - 1;

    if (node->value == NULL)
        return false;
    if (strncmp(path, "/neigh/", 7) == 0 && strcmp(node->value, "failed") == 0)
        return true;
    return node->size > size && strcmp(node->value + node->size - size, ending) == 0;
}

static bool is_of_stack(const char *path)
{
    static const char *const names[] = {"link",  "mac",       "error",    "id",
                                        "lcore", "rx_queues", "tx_queues"};
    const char *last = strrchr(path, '/') + 1;

    if (strncmp(path, "/port/", 6) != 0 || strchr(path + 6, '/') != last - 1)
        return false;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(names[i], last) == 0)
            return true;
    return false;
}

/* A list whose last member is gone says nothing. */
static bool is_empty_list(const char *path, const struct node *node)
{
    return node->count == 0 && node->size == 0 &&
           (strcmp(node->name, "port") == 0 || strcmp(node->name, "address") == 0) &&
           (strncmp(path, "/bridge/", 8) == 0 || strncmp(path, "/iface/", 7) == 0);
}

/* ---- names of their own ---- */

/* Call visit for each name at and below a node that somebody must write: those above it come by themselves.
 * Adds up what it answers. */
static unsigned each_name(const struct node *node, const char *path,
                          unsigned (*visit)(FILE *file, const struct node *node, const char *path),
                          FILE *file)
{
    unsigned sum = 0;

    if (is_of_stack(path) || is_learned(path, node) || is_empty_list(path, node))
        return 0;
    if (node->count == 0 || node->size > 0 || node->value == NULL)
        sum += visit(file, node, path);
    for (size_t i = 0; i < node->count; i++) {
        char *below = must_printf("%s/%s", path, node->children[i].name);

        sum += each_name(&node->children[i], below, visit, file);
        free(below);
    }
    return sum;
}

static unsigned count_name(FILE *file, const struct node *node, const char *path)
{
    (void)file, (void)node, (void)path;
    return 1;
}

/* Answers how many were left out. */
static unsigned print_name(FILE *file, const struct node *node, const char *path)
{
    if (node->value == NULL || memchr(node->value, '\0', node->size) != NULL) {
        fputc('#', file);
        print_text(file, path);
        fprintf(file, " %s\n",
                node->value == NULL ? "may not be read"
                                    : "has a NUL byte, which no command can have");
        return 1;
    }
    fputs("name add", file);
    print_text(file, path);
    if (node->size > 0)
        print_text(file, node->value);
    fputc('\n', file);
    return 0;
}

/* ---- is a line right? ---- */

/* The node of a path at or below the object. */
static const struct node *find(const struct object *object, const char *path)
{
    const struct node *node = object->node;
    size_t size = strlen(object->path);

    if (strncmp(path, object->path, size) != 0)
        return NULL;
    for (path += size; *path == '/' && node != NULL; path += strcspn(path, "/")) {
        char *name = must(strndup(path + 1, strcspn(path + 1, "/")));

        node = node_child(node, name);
        free(name);
        path++;
    }
    return *path == '\0' ? node : NULL;
}

/* How many names of the object a command makes as they are; -1: something else. */
static int made(const struct object *object, const struct command *command)
{
    int count = 0;

    for (size_t i = 0; i < command->op_count; i++) {
        const struct command_op *op = &command->ops[i];
        const char *value = op->kind == COMMAND_WRITE ? op->value : "";
        const struct node *node = find(object, op->path);

        if (op->kind == COMMAND_ABSENT || op->kind == COMMAND_PRESENT)
            continue;
        if (node == NULL || node->value == NULL || node->size != strlen(value) ||
            memcmp(node->value, value, node->size) != 0)
            return -1;
        count += node->count == 0 || node->size > 0;
    }
    return count;
}

/* Do these lines make the object, the whole of it, and nothing else? */
static bool is_right(const struct object *object, const char *lines)
{
    unsigned count = 0;

    while (*lines != '\0') {
        size_t size = strcspn(lines, "\n");
        char why[COMMAND_WHY_MAX];
        struct command command;
        int one = command_parse_line(lines, size, &command, why) == 0 ? made(object, &command) : -1;

        command_free(&command);
        if (one < 0)
            return false;
        count += (unsigned)one;
        lines += size + (lines[size] == '\n');
    }
    return count == each_name(object->node, object->path, count_name, NULL);
}

static unsigned print_object(FILE *file, const struct object *object)
{
    bool prefix = strcmp(object->noun->name, "route") == 0, right;
    unsigned left_out = 0;
    char *lines;
    size_t size;
    FILE *out = must(open_memstream(&lines, &size));

    fprintf(out, "%s add %s%s%s", object->noun->name, object->first,
            *object->second == '\0' ? ""
            : prefix                ? "/"
                                    : " ",
            object->second);
    object->noun->print(out, object);
    fputc('\n', out);
    fclose(out);
    right = is_right(object, must(lines));
    if (right)
        fputs(lines, file);
    else
        left_out = each_name(object->node, object->path, print_name, file);
    free(lines);
    return left_out;
}

/* ---- all ---- */

static unsigned print_one(FILE *file, const struct noun *noun, const char *first,
                          const char *second, const struct node *node)
{
    struct object object = {noun, first, second, NULL, node};
    char *path = must_printf("/%s/%s%s%s", noun->name, first, *second != '\0' ? "/" : "", second);
    unsigned left_out = 0;

    object.path = path;
    if (node->value == NULL)
        left_out = print_name(file, node, path);
    else if (!is_learned(path, node))
        left_out = print_object(file, &object);
    free(path);
    return left_out;
}

static unsigned print_noun(FILE *file, const struct noun *noun, const struct node *mount)
{
    unsigned left_out = 0;

    for (size_t i = 0; mount != NULL && i < mount->count; i++) {
        const struct node *first = &mount->children[i];

        if (noun->keys == 1)
            left_out += print_one(file, noun, first->name, "", first);
        for (size_t j = 0; noun->keys == 2 && j < first->count; j++)
            left_out +=
                print_one(file, noun, first->name, first->children[j].name, &first->children[j]);
    }
    return left_out;
}

static bool is_mount(const char *name)
{
    for (int i = 0; i < NOUNS; i++)
        if (strcmp(nouns[i].name, name) == 0)
            return true;
    return strcmp(name, "stats") == 0;
}

/* Xenstore's own part is there from the start. */
static bool is_from_start(const struct node *node)
{
    static const char *const names[] = {"local", "vm", "tool", "libxl"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(names[i], node->name) == 0)
            return node->count == 0 && node->size == 0;
    return false;
}

unsigned print_commands(FILE *file, const struct node *root)
{
    unsigned left_out = 0;

    for (int i = 0; i < NOUNS; i++)
        left_out += print_noun(file, &nouns[i], node_child(root, nouns[i].name));
    for (size_t i = 0; i < root->count; i++) {
        char *path = must_printf("/%s", root->children[i].name);

        if (!is_mount(root->children[i].name) && !is_from_start(&root->children[i]))
            left_out += each_name(&root->children[i], path, print_name, file);
        free(path);
    }
    return left_out;
}
