/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Looking into the stack: what a flow's decision was derived from, which flows there are, who depends on a
 * name. The daemon answers with JSON, which is printed as it is with --json, and readable else.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/inspect.h"
#include "cli/json.h"
#include "cli/terms.h"
#include "cli/tree.h"
#include "cli/verbs.h"

static void print_optional(const char *before, const char *text)
{
    if (*text != '\0')
        printf("%s%s", before, text);
}

/* "10.0.0.1:80"; there is no port 0 */
static void print_end(const char *address, const char *port)
{
    fputs(address, stdout);
    print_optional(":", strcmp(port, "0") == 0 ? "" : port);
}

/* An echo's identifier is where others have their source port. */
void inspect_print_key(const struct node *flow)
{
    bool echo = strcmp(node_text(flow, "proto"), "icmp") == 0;

    if (node_child(flow, "mac") != NULL) {
        printf("bridge %s, to %s", node_text(flow, "bridge"), node_text(flow, "mac"));
        return;
    }
    printf("%s ", node_text(flow, "proto"));
    print_end(node_text(flow, "src"), echo ? "" : node_text(flow, "sport"));
    fputs(" > ", stdout);
    print_end(node_text(flow, "dst"), echo ? "" : node_text(flow, "dport"));
    print_optional(" id ", echo ? node_text(flow, "sport") : "");
    print_optional(", from ", node_text(flow, "iface"));
}

/* As JSON, as it was read. */
static void print_node(const struct node *node)
{
    bool object = node->kind == NODE_OBJECT;

    if (node->kind == NODE_TEXT) {
        json_bytes(stdout, node->value, node->size);
    } else if (node->kind == NODE_NUMBER) {
        fputs(node->value, stdout);
    } else {
        putchar(object ? '{' : '[');
        for (size_t i = 0; i < node->count; i++) {
            fputs(i == 0 ? "" : ",", stdout);
            if (object) {
                json_string(stdout, node->children[i].name);
                putchar(':');
            }
            print_node(&node->children[i]);
        }
        putchar(object ? '}' : ']');
    }
}

/* An array, an element a line; number: how many came before. */
static void print_element(const struct node *node, size_t number)
{
    fputs(number == 0 ? "[\n" : ",\n", stdout);
    print_node(node);
}

static void print_array_end(size_t count)
{
    puts(count == 0 ? "[]" : "\n]");
}

/* ---- all flows ---- */

typedef bool flow_visitor(const struct node *flow, void *arg); /* false: enough */

/* Go through the flows of one lcore, page by page: there may be millions. 1: enough; 0, or a negative
 * errno. */
static int each_flow_of(struct session *session, const char *lcore, flow_visitor *visit, void *arg)
{
    char cursor[24] = "0";
    int rc = 0;

    while (rc == 0 && cursor[0] != '\0') {
        char *raw, *path = must_printf("/stats/flows/%s/%s", lcore, cursor);
        const struct node *flows;
        struct node page;

        rc = tree_read_json(session, path, &raw, &page);
        free(path);
        if (rc != 0)
            return rc;
        flows = node_child(&page, "flows");
        for (size_t i = 0; flows != NULL && i < flows->count && rc == 0; i++)
            rc = visit(&flows->children[i], arg) ? 0 : 1;
        snprintf(cursor, sizeof(cursor), "%s", node_text(&page, "next"));
        tree_free(&page);
        free(raw);
    }
    return rc;
}

/* 0 or a negative errno. */
static int each_flow(struct session *session, flow_visitor *visit, void *arg)
{
    struct node lcores;
    int rc = tree_read(session, 0, "/stats/lcore", 1, &lcores);

    if (rc != 0)
        return rc;
    for (size_t i = 0; i < lcores.count && rc == 0; i++)
        rc = each_flow_of(session, lcores.children[i].name, visit, arg);
    tree_free(&lcores);
    return rc < 0 ? rc : 0;
}

struct listing {
    bool json;
    size_t count;
};

static bool list_flow(const struct node *flow, void *arg)
{
    struct listing *listing = arg;

    if (listing->json) {
        print_element(flow, listing->count++);
        return true;
    }
    inspect_print_key(flow);
    printf("  %s", node_text(flow, "action"));
    print_optional(" ", node_text(flow, "port"));
    print_optional(" ", node_text(flow, "mac_to"));
    printf("  %s packets, %s bytes, last %s s ago, worker %s\n", node_text(flow, "packets"),
           node_text(flow, "bytes"), node_text(flow, "idle"), node_text(flow, "lcore"));
    listing->count++;
    return true;
}

int do_learned(struct session *session)
{
    struct listing listing = {.json = session->json};
    int rc = each_flow(session, list_flow, &listing);

    if (session->json && rc == 0)
        print_array_end(listing.count);
    return rc == 0 ? EXIT_DONE : session_refused(session, "/stats/flows", rc);
}

/* ---- why ---- */

static void print_why(const struct node *flow)
{
    const struct node *from = node_child(flow, "from");

    inspect_print_key(flow);
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

enum { ANSWERS_MAX = 16 };

struct inquiry {
    struct session *session;
    struct terms terms; /* given by the user */
    struct node keys;   /* flows that fit: an array of their terms */
    size_t printed;
    bool more;
};

/* The key of a flow as /stats/why takes it: "src=10.0.0.1,dst=...", of what each term is. */
static char *make_key(const char *const values[TERMS])
{
    char *key = must(strdup(""));

    for (int i = 0; i < TERMS; i++) {
        char *longer;

        if (values[i] == NULL || values[i][0] == '\0')
            continue;
        longer = must_printf("%s%s%s=%s", key, *key == '\0' ? "" : ",", term_names[i], values[i]);
        free(key);
        key = longer;
    }
    return key;
}

/* Ask about one flow, and print what is answered. 0, or a negative errno. */
static int answer(struct inquiry *inquiry, const char *const values[TERMS])
{
    char *raw, *key = make_key(values), *path = must_printf("/stats/why/%s", key);
    struct node flows;
    int rc = tree_read_json(inquiry->session, path, &raw, &flows);

    free(path);
    free(key);
    if (rc != 0)
        return rc;
    for (size_t i = 0; i < flows.count; i++, inquiry->printed++) {
        if (inquiry->session->json) {
            print_element(&flows.children[i], inquiry->printed);
            continue;
        }
        tree_make_printable(&flows.children[i]);
        print_why(&flows.children[i]);
    }
    tree_free(&flows);
    free(raw);
    return 0;
}

/* Keep the terms of a flow that fits. They are asked about later, as only one question may be under way. */
static bool keep_fitting(const struct node *flow, void *arg)
{
    struct inquiry *inquiry = arg;
    struct node *key;

    for (int i = 0; i < TERMS; i++)
        if (!terms_fit(&inquiry->terms, (enum term)i, node_text(flow, term_names[i])))
            return true;
    inquiry->more = inquiry->keys.count == ANSWERS_MAX;
    if (inquiry->more)
        return false;
    key = node_add(&inquiry->keys);
    key->kind = NODE_OBJECT;
    for (int i = 0; i < TERMS; i++) {
        struct node *term = node_add(key);

        term->name = must(strdup(term_names[i]));
        term->value = must(strdup(node_text(flow, term_names[i])));
    }
    return true;
}

/* Not all terms are known to the user: who knows the port that a client has chosen? */
static int search(struct inquiry *inquiry)
{
    int rc = each_flow(inquiry->session, keep_fitting, inquiry);

    for (size_t i = 0; i < inquiry->keys.count && rc == 0; i++) {
        const char *values[TERMS];

        for (int j = 0; j < TERMS; j++)
            values[j] = node_text(&inquiry->keys.children[i], term_names[j]);
        rc = answer(inquiry, values);
        if (rc == -ENOENT) /* it has gone meanwhile */
            rc = 0;
    }
    tree_free(&inquiry->keys);
    return rc == 0 && inquiry->printed == 0 ? -ENOENT : rc;
}

static int why_flow(struct inquiry *inquiry)
{
    struct session *session = inquiry->session;
    int rc = -ENOENT;

    if (terms_name_one(&inquiry->terms))
        rc = answer(inquiry, inquiry->terms.given);
    if (rc == -ENOENT)
        rc = search(inquiry);
    if (rc == -ENOENT)
        return refused(
            "no such flow is known; one is known from its first packet until it is idle");
    if (rc != 0)
        return session_refused(session, "", rc);
    if (session->json)
        print_array_end(inquiry->printed);
    else if (inquiry->more)
        printf("and more; `kedgectl flow show --learned` lists all\n");
    return EXIT_DONE;
}

static int take_terms(struct terms *terms, const char *const *words, size_t count)
{
    char why[COMMAND_WHY_MAX];
    int rc = 0;

    for (size_t i = 0; i < count && rc == 0; i++)
        rc = terms_take(terms, words[i], why);
    if (rc == 0)
        rc = terms_finish(terms, why);
    return rc == 0 ? EXIT_DONE : usage("%s", why);
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
        tree_make_printable(&definition);
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
    struct inquiry inquiry = {.session = session, .keys = {.kind = NODE_ARRAY}};
    bool definition = count == 1 && strchr(words[0], '=') == NULL;
    int status = EXIT_DONE;

    if (count == 0)
        return usage("which flow? its definition's name, or terms like src=10.1.0.2 dst=10.0.0.5 "
                     "proto=icmp");
    if (!definition)
        status = take_terms(&inquiry.terms, words, count);
    if (status != EXIT_DONE)
        return status;
    if (!session_open(session))
        return EXIT_REFUSED;
    return definition ? why_definition(session, words[0]) : why_flow(&inquiry);
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
    int rc = tree_read_json(session, name, &raw, &root);

    free(name);
    if (rc != 0)
        return session_refused(session, path, rc);
    tree_make_printable(&root);
    if (session->json)
        puts(raw);
    else
        print_dependents(path, &root);
    tree_free(&root);
    free(raw);
    return EXIT_DONE;
}
