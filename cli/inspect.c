/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Looking into the stack: what a flow's decision was derived from, which flows there are, who depends on a
 * name. The daemon answers with JSON, which is printed as it is with --json, and readable else.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/json.h"
#include "cli/tree.h"
#include "cli/verbs.h"

/* Read a name that holds JSON; *raw gets the text, malloc'ed. 0, or a negative errno. */
static int read_json(struct session *session, const char *path, char **raw, struct node *root)
{
    const char *text;
    size_t size;
    int rc = ns_client_read(session->client, 0, path, &text, &size);

    if (rc != 0)
        return rc;
    *raw = must(strndup(text, size));
    rc = tree_parse_json(*raw, root);
    if (rc != 0)
        free(*raw);
    return rc;
}

/* " 10.0.0.1:80" */
static void print_end(const char *address, const char *port)
{
    printf("%s%s%s", address, strcmp(port, "0") == 0 || *port == '\0' ? "" : ":",
           strcmp(port, "0") == 0 ? "" : port);
}

static void print_key(const struct node *flow)
{
    if (node_child(flow, "mac") != NULL) {
        printf("bridge %s, to %s", node_text(flow, "bridge"), node_text(flow, "mac"));
        return;
    }
    printf("%s ", node_text(flow, "proto"));
    print_end(node_text(flow, "src"), node_text(flow, "sport"));
    printf(" > ");
    print_end(node_text(flow, "dst"), node_text(flow, "dport"));
    if (node_child(flow, "iface") != NULL)
        printf(", from %s", node_text(flow, "iface"));
}

static void print_optional(const char *before, const char *text)
{
    if (*text != '\0')
        printf("%s%s", before, text);
}

/* ---- why ---- */

static void print_why(const struct node *flow)
{
    const struct node *from = node_child(flow, "from");

    print_key(flow);
    printf(" (worker %s)\n  %s", node_text(flow, "lcore"), node_text(flow, "action"));
    print_optional(" to port ", node_text(flow, "port"));
    print_optional(", MAC ", node_text(flow, "mac_to"));
    print_optional(", next hop ", node_text(flow, "next_hop"));
    printf("\n  %s packets, %s bytes, last %s s ago\n", node_text(flow, "packets"),
           node_text(flow, "bytes"), node_text(flow, "idle"));
    printf("  decided at version %s, header made at version %s, from\n", node_text(flow, "decided"),
           node_text(flow, "compiled"));
    for (size_t i = 0; from != NULL && i < from->count; i++)
        printf("    %-40s version %s\n", node_text(&from->children[i], "name"),
               node_text(&from->children[i], "version"));
}

static int why_flow(struct session *session, const char *key)
{
    char *raw, *path = must_printf("/stats/why/%s", key);
    struct node flows;
    int rc = read_json(session, path, &raw, &flows);

    free(path);
    if (rc != 0)
        return session_refused(session, "", rc);
    if (session->json)
        puts(raw);
    else
        for (size_t i = 0; i < flows.count; i++)
            print_why(&flows.children[i]);
    tree_free(&flows);
    free(raw);
    return EXIT_DONE;
}

/* The terms of a flow's key as /stats/why takes them: joined by commas. */
static char *join_terms(const char *const *words, size_t count)
{
    char *key = must(strdup(words[0]));

    for (size_t i = 1; i < count; i++) {
        char *longer = must_printf("%s,%s", key, words[i]);

        free(key);
        key = longer;
    }
    return key;
}

/* A definition: itself, and the flows that follow it. */
static int why_definition(struct session *session, const char *name)
{
    char *path = must_printf("/flow/%s", name);
    struct node definition;
    int status, rc = tree_read(session, 0, path, 1, &definition);

    if (rc == -ENOENT) {
        status = refused("there is no flow %s; a flow definition's name is right, or terms like "
                         "src=10.1.0.2 dst=10.0.0.5 proto=icmp",
                         name);
    } else if (rc != 0) {
        status = session_refused(session, path, rc);
    } else {
        if (!session->json)
            printf("flow %s: %s, priority %s, action %s\n", name,
                   *node_text(&definition, "match") != '\0' ? node_text(&definition, "match")
                                                            : "all packets",
                   *node_text(&definition, "priority") != '\0' ? node_text(&definition, "priority")
                                                               : "0",
                   *node_text(&definition, "action") != '\0' ? node_text(&definition, "action")
                                                             : "route");
        status = do_dependents(session, path);
        tree_free(&definition);
    }
    free(path);
    return status;
}

int do_why(struct session *session, const char *const *words, size_t count)
{
    char *key;
    int status;

    if (count == 0)
        return usage("which flow? its definition's name, or terms like src=10.1.0.2 dst=10.0.0.5 "
                     "proto=icmp");
    if (!session_open(session))
        return EXIT_REFUSED;
    if (count == 1 && strchr(words[0], '=') == NULL)
        return why_definition(session, words[0]);
    key = join_terms(words, count);
    status = why_flow(session, key);
    free(key);
    return status;
}

/* ---- dependents ---- */

static void print_dependents(const char *path, const struct node *root)
{
    const struct node *derived = node_child(root, "derived"), *lcores = node_child(root, "lcores");
    const char *left_out = node_text(root, "left_out");

    printf("%s, version %s\n", path, node_text(root, "version"));
    printf("  flows: %s", node_text(root, "flows"));
    for (size_t i = 0; lcores != NULL && i < lcores->count; i++)
        printf("%sworker %zu: %s", i == 0 ? " (" : ", ", i, lcores->children[i].value);
    printf("%s\n  watches: %s\n", lcores != NULL && lcores->count > 0 ? ")" : "",
           node_text(root, "watches"));
    if (derived == NULL || derived->count == 0)
        return;
    printf("  derived from it:\n");
    for (size_t i = 0; i < derived->count; i++) {
        const struct node *one = &derived->children[i];

        printf("    %-40s %s, version %s, flows: %s\n", node_text(one, "name"),
               node_text(one, "kind"), node_text(one, "version"), node_text(one, "flows"));
    }
    if (*left_out != '\0')
        printf("    and %s more\n", left_out);
}

int do_dependents(struct session *session, const char *path)
{
    char *raw, *name = must_printf("/stats/dependents%s", path);
    struct node root;
    int rc = read_json(session, name, &raw, &root);

    free(name);
    if (rc != 0)
        return session_refused(session, path, rc);
    if (session->json)
        puts(raw);
    else
        print_dependents(path, &root);
    tree_free(&root);
    free(raw);
    return EXIT_DONE;
}

/* ---- flows ---- */

static void print_json_flow(const struct node *flow, bool first)
{
    fputs(first ? "\n{" : ",\n{", stdout);
    for (size_t i = 0; i < flow->count; i++) {
        const struct node *field = &flow->children[i];

        fputs(i == 0 ? "" : ",", stdout);
        json_string(stdout, field->name);
        putchar(':');
        if (field->kind == NODE_TEXT)
            json_bytes(stdout, field->value, field->size);
        else
            fputs(field->value != NULL ? field->value : "null", stdout);
    }
    putchar('}');
}

static void print_flow(const struct node *flow)
{
    print_key(flow);
    printf("  %s", node_text(flow, "action"));
    print_optional(" ", node_text(flow, "port"));
    print_optional(" ", node_text(flow, "mac_to"));
    printf("  %s packets, %s bytes, last %s s ago, worker %s\n", node_text(flow, "packets"),
           node_text(flow, "bytes"), node_text(flow, "idle"), node_text(flow, "lcore"));
}

/* Pages are printed as they come: there may be millions of flows. */
static int print_page(struct session *session, const char *path, bool *first, char *next,
                      size_t next_size)
{
    const struct node *flows;
    struct node page;
    char *raw;
    int rc = read_json(session, path, &raw, &page);

    if (rc != 0)
        return rc;
    flows = node_child(&page, "flows");
    for (size_t i = 0; flows != NULL && i < flows->count; i++) {
        if (session->json)
            print_json_flow(&flows->children[i], *first);
        else
            print_flow(&flows->children[i]);
        *first = false;
    }
    snprintf(next, next_size, "%s", node_text(&page, "next"));
    tree_free(&page);
    free(raw);
    return 0;
}

static int print_lcore(struct session *session, const char *lcore, bool *first)
{
    char cursor[24] = "0";
    int rc = 0;

    while (rc == 0 && cursor[0] != '\0') {
        char *path = must_printf("/stats/flows/%s/%s", lcore, cursor);

        rc = print_page(session, path, first, cursor, sizeof(cursor));
        free(path);
    }
    return rc;
}

int do_learned(struct session *session)
{
    struct node lcores;
    bool first = true;
    int rc = tree_read(session, 0, "/stats/lcore", 1, &lcores);

    if (rc != 0)
        return session_refused(session, "/stats/lcore", rc);
    if (session->json)
        putchar('[');
    for (size_t i = 0; i < lcores.count && rc == 0; i++)
        rc = print_lcore(session, lcores.children[i].name, &first);
    if (session->json)
        puts(first ? "]" : "\n]");
    tree_free(&lcores);
    return rc == 0 ? EXIT_DONE : session_refused(session, "/stats/flows", rc);
}
