/* SPDX-License-Identifier: BSD-3-Clause */
/* stats and name show: all names of a part of the name space with their values. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/json.h"
#include "cli/text.h"
#include "cli/tree.h"
#include "cli/verbs.h"

enum { DEPTH_MAX = 64 };

/* ---- stats ---- */

static bool has_leaf(const struct node *node)
{
    if (node->count == 0)
        return node->value != NULL && node->size > 0;
    for (size_t i = 0; i < node->count; i++)
        if (has_leaf(&node->children[i]))
            return true;
    return false;
}

/* Names with nothing in them (those that are asked with more behind them) are left out. */
static void print_nested(const struct node *node, int indent)
{
    const char *separator = "\n";

    if (node->count == 0) {
        json_value(stdout, node->value != NULL ? node->value : "");
        return;
    }
    putchar('{');
    for (size_t i = 0; i < node->count; i++) {
        if (!has_leaf(&node->children[i]))
            continue;
        printf("%s%*s", separator, indent + 2, "");
        json_string(stdout, node->children[i].name);
        fputs(": ", stdout);
        print_nested(&node->children[i], indent + 2);
        separator = ",\n";
    }
    printf("\n%*s}", indent, "");
}

static void print_pair(const char *name, const char *between, const char *value, size_t size)
{
    text_print_string(stdout, name);
    fputs(between, stdout);
    text_print(stdout, value, size);
    putchar('\n');
}

static void print_lines(const struct node *node, const char *name)
{
    if (node->count == 0 && node->value != NULL && node->size > 0)
        print_pair(name, " ", node->value, node->size);
    for (size_t i = 0; i < node->count; i++) {
        char *below = must_printf("%s%s%s", name, *name != '\0' ? "/" : "", node->children[i].name);

        print_lines(&node->children[i], below);
        free(below);
    }
}

int do_stats(struct session *session, const char *const *words, size_t count)
{
    const char *name = count > 0 ? words[0] : "";
    struct node root;
    char *path;
    int rc;

    if (count > 1)
        return usage("\"%s\" is too much: stats takes one name, like lcore/0", words[1]);
    if (strncmp(name, "/stats", 6) == 0)
        name += 6;
    name += *name == '/';
    path = must_printf("/stats%s%s", *name != '\0' ? "/" : "", name);
    rc = session_open(session) ? tree_read(session, 0, path, DEPTH_MAX, &root) : 1;
    if (rc == 0 && session->json) {
        print_nested(&root, 0);
        putchar('\n');
    } else if (rc == 0) {
        print_lines(&root, name);
    }
    if (rc == 0)
        tree_free(&root);
    else if (rc < 0)
        session_refused(session, path, rc);
    free(path);
    return rc == 0 ? EXIT_DONE : EXIT_REFUSED;
}

/* ---- name show ---- */

static void show_node(const struct session *session, const struct node *node, const char *path,
                      bool *first)
{
    if (session->json) {
        fputs(*first ? "\n" : ",\n", stdout);
        json_string(stdout, path);
        putchar(':');
        json_bytes(stdout, node->value != NULL ? node->value : "", node->size);
    } else {
        print_pair(path, node->size > 0 ? " = " : "", node->value, node->size);
    }
    *first = false;
    for (size_t i = 0; i < node->count; i++) {
        char *below =
            must_printf("%s/%s", strcmp(path, "/") == 0 ? "" : path, node->children[i].name);

        show_node(session, &node->children[i], below, first);
        free(below);
    }
}

static int show_names(struct session *session, const char *path)
{
    struct node root;
    bool first = true;
    int rc = tree_read(session, 0, path, DEPTH_MAX, &root);

    if (rc != 0)
        return session_refused(session, path, rc);
    if (session->json)
        putchar('{');
    show_node(session, &root, path, &first);
    if (session->json)
        puts("\n}");
    tree_free(&root);
    return EXIT_DONE;
}

int do_name_show(struct session *session, const char *const *words, size_t count)
{
    char path[COMMAND_PATH_MAX], title[COMMAND_TITLE_MAX], why[COMMAND_WHY_MAX];

    if (count == 0)
        return usage("PATH is missing: name show /route");
    if (command_locate(session->noun, words, count, path, title, why) != 0)
        return usage("%s", why);
    if (!session_open(session))
        return EXIT_REFUSED;
    return session->dependents ? do_dependents(session, path) : show_names(session, path);
}
