/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * graph: who depends on what. Nodes are names on which somebody depends, and workers; an edge leads from a name
 * to what is derived from it, or to a worker that has flows bound to it. Without a name all of them; with one,
 * the names that it is derived from, and all that follows from it.
 */
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "cli/json.h"
#include "cli/text.h"
#include "cli/tree.h"
#include "cli/verbs.h"

enum { UP = 1, DOWN = 2 };

/* A name that was met. */
struct vertex {
    char *name;
    unsigned ways;      /* to be followed from here */
    struct node anchor; /* what the daemon says of it; empty: nobody depends on it any more */
};

struct graph {
    struct session *session;
    struct vertex *vertices;
    size_t count, capacity;
    size_t *index; /* open addressing, by hash of the name: place in vertices + 1 */
    size_t slots;
    FILE *out;
    bool json;
    size_t written; /* of a list in JSON */
};

/* ---- names ---- */

static size_t slot_of(const struct graph *graph, const char *name)
{
    uint32_t hash = UINT32_C(2166136261); /* FNV-1a */
    size_t slot;

    for (const char *c = name; *c != '\0'; c++)
        hash = (hash ^ (unsigned char)*c) * UINT32_C(16777619);
    for (slot = hash & (graph->slots - 1); graph->index[slot] != 0;
         slot = (slot + 1) & (graph->slots - 1))
        if (strcmp(graph->vertices[graph->index[slot] - 1].name, name) == 0)
            break;
    return slot;
}

static void grow(struct graph *graph)
{
    graph->capacity = graph->capacity == 0 ? 64 : 2 * graph->capacity;
    graph->vertices = must(realloc(graph->vertices, graph->capacity * sizeof(graph->vertices[0])));
    graph->slots = 2 * graph->capacity;
    free(graph->index);
    graph->index = must(calloc(graph->slots, sizeof(graph->index[0])));
    for (size_t i = 0; i < graph->count; i++)
        graph->index[slot_of(graph, graph->vertices[i].name)] = i + 1;
}

static void meet(struct graph *graph, const char *name, unsigned ways)
{
    size_t slot;

    if (graph->count == graph->capacity)
        grow(graph);
    slot = slot_of(graph, name);
    if (graph->index[slot] != 0) {
        graph->vertices[graph->index[slot] - 1].ways |= ways;
        return;
    }
    graph->vertices[graph->count++] =
        (struct vertex){.name = must(strdup(name)), .ways = ways, .anchor = {.name = NULL}};
    graph->index[slot] = graph->count;
}

static bool is_known(const struct graph *graph, const char *name)
{
    return graph->count > 0 && graph->index[slot_of(graph, name)] != 0;
}

/* ---- asking ---- */

static void meet_all(struct graph *graph, const struct node *names, unsigned ways)
{
    for (size_t i = 0; names != NULL && i < names->count; i++)
        meet(graph, names->children[i].value, ways);
}

static int ask(struct graph *graph, size_t i)
{
    char *path = must_printf("/stats/anchor%s", graph->vertices[i].name);
    struct node anchor;
    int rc = tree_read_json(graph->session, path, NULL, &anchor);

    free(path);
    if (rc == -ENOENT)
        return 0;
    if (rc != 0)
        return rc;
    graph->vertices[i].anchor = anchor;
    if (graph->vertices[i].ways & DOWN)
        meet_all(graph, node_child(&anchor, "to"), DOWN);
    if (graph->vertices[i].ways & UP)
        meet_all(graph, node_child(&anchor, "from"), UP);
    return 0;
}

/* Names that are met on the way are asked for in their turn. */
static int ask_all(struct graph *graph)
{
    int rc = 0;

    for (size_t i = 0; i < graph->count && rc == 0; i++)
        rc = ask(graph, i);
    return rc;
}

static int meet_page(struct graph *graph, char **cursor)
{
    char *path = must_printf("/stats/anchors/%s", *cursor);
    struct node page;
    int rc = tree_read_json(graph->session, path, NULL, &page);

    free(path);
    free(*cursor);
    *cursor = NULL;
    if (rc != 0)
        return rc;
    meet_all(graph, node_child(&page, "names"), 0);
    if (node_child(&page, "next") != NULL)
        *cursor = must(strdup(node_text(&page, "next")));
    tree_free(&page);
    return 0;
}

static int meet_everybody(struct graph *graph)
{
    char *cursor = must(strdup("0"));
    int rc = 0;

    while (rc == 0 && cursor != NULL)
        rc = meet_page(graph, &cursor);
    free(cursor);
    return rc;
}

/* ---- writing ---- */

static void comma(struct graph *graph)
{
    fputs(graph->written++ == 0 ? "" : ",\n", graph->out);
}

/* dot reads a quoted string as JSON does if all in it is printable. */
static void write_name(struct graph *graph, const char *name)
{
    char *printable = graph->json ? must(strdup(name)) : text_printable(name, strlen(name));

    json_string(graph->out, printable);
    free(printable);
}

static void write_vertex(struct graph *graph, const struct vertex *vertex)
{
    const char *kind = node_text(&vertex->anchor, "kind"),
               *watches = node_text(&vertex->anchor, "watches");
    bool derived = strcmp(kind, "name") != 0 && *kind != '\0';

    if (graph->json) {
        comma(graph);
        fputs("{\"name\":", graph->out);
        json_string(graph->out, vertex->name);
        fputs(",\"kind\":", graph->out);
        json_string(graph->out, kind);
        fprintf(graph->out, ",\"version\":%s,\"watches\":%s}",
                *kind != '\0' ? node_text(&vertex->anchor, "version") : "0",
                *watches != '\0' ? watches : "0");
        return;
    }
    fputs("  ", graph->out);
    write_name(graph, vertex->name);
    fprintf(graph->out, " [shape=%s];\n", derived ? "box" : "ellipse");
}

static void write_edge(struct graph *graph, const char *from, const char *to, const char *flows)
{
    if (graph->json)
        comma(graph);
    fputs(graph->json ? "{\"from\":" : "  ", graph->out);
    write_name(graph, from);
    fputs(graph->json ? ",\"to\":" : " -> ", graph->out);
    write_name(graph, to);
    if (flows != NULL && graph->json)
        fprintf(graph->out, ",\"flows\":%s", flows);
    else if (flows != NULL)
        fprintf(graph->out, " [label=\"%s flow%s\"]", flows, strcmp(flows, "1") == 0 ? "" : "s");
    fputs(graph->json ? "}" : ";\n", graph->out);
}

/* Each edge between names stands once: with what is derived. */
static void write_edges(struct graph *graph, const struct vertex *vertex)
{
    const struct node *from = node_child(&vertex->anchor, "from"),
                      *flows = node_child(&vertex->anchor, "flows");

    for (size_t i = 0; from != NULL && i < from->count; i++)
        if (is_known(graph, from->children[i].value))
            write_edge(graph, from->children[i].value, vertex->name, NULL);
    for (size_t i = 0; flows != NULL && i < flows->count; i++) {
        char worker[32];

        snprintf(worker, sizeof(worker), "worker %zu", i);
        if (strcmp(flows->children[i].value, "0") != 0)
            write_edge(graph, vertex->name, worker, flows->children[i].value);
    }
}

static void write_graph(struct graph *graph)
{
    fputs(graph->json ? "{\"nodes\":[\n" : "digraph kedge {\n  rankdir=LR;\n", graph->out);
    for (size_t i = 0; i < graph->count; i++)
        write_vertex(graph, &graph->vertices[i]);
    fputs(graph->json ? "],\n\"edges\":[\n" : "", graph->out);
    graph->written = 0;
    for (size_t i = 0; i < graph->count; i++)
        write_edges(graph, &graph->vertices[i]);
    fputs(graph->json ? "]}\n" : "}\n", graph->out);
}

/* Of dot, or of the shell that started it. */
static bool is_broken_pipe(int status)
{
    return (WIFSIGNALED(status) && WTERMSIG(status) == SIGPIPE) ||
           (WIFEXITED(status) && WEXITSTATUS(status) == 128 + SIGPIPE);
}

/* Written for dot, which draws it on our standard output. */
static int draw(struct graph *graph)
{
    int status;

    if (system("command -v dot >/dev/null 2>&1") != 0) /* NOLINT: a constant */
        return refused("dot is not there, which draws graphs; Debian's package graphviz has it. "
                       "Without --svg the graph is printed as text");
    graph->out = popen("dot -Tsvg", "w"); /* NOLINT: likewise */
    if (graph->out == NULL)
        return refused("dot can't be started: %s", strerror(errno));
    write_graph(graph);
    status = pclose(graph->out);
    if (is_broken_pipe(status))
        raise(SIGPIPE); /* as if it had been ours: whoever reads the drawing has gone */
    return status == 0 ? EXIT_DONE : refused("dot has failed; its own words are above");
}

static int show(struct graph *graph, const char *name)
{
    if (name != NULL && graph->vertices[0].anchor.count == 0)
        return refused("nobody depends on %s", name);
    if (graph->session->svg)
        return draw(graph);
    write_graph(graph);
    return EXIT_DONE;
}

static void free_graph(struct graph *graph)
{
    for (size_t i = 0; i < graph->count; i++) {
        free(graph->vertices[i].name);
        tree_free(&graph->vertices[i].anchor);
    }
    free(graph->vertices);
    free(graph->index);
}

int do_graph(struct session *session, const char *const *words, size_t count)
{
    struct graph graph = {.session = session, .out = stdout, .json = session->json};
    int rc = 0, status;

    if (count > 1)
        return usage("\"%s\" is too much: graph takes one name", words[1]);
    if (count == 1 && words[0][0] != '/')
        return usage("\"%s\" is not a name's path; it would begin with /", words[0]);
    if (session->json && session->svg)
        return usage("--json and --svg exclude each other");
    if (!session_open(session))
        return EXIT_REFUSED;
    if (count == 1)
        meet(&graph, words[0], UP | DOWN);
    else
        rc = meet_everybody(&graph);
    if (rc == 0)
        rc = ask_all(&graph);
    status = rc == 0 ? show(&graph, count == 1 ? words[0] : NULL)
                     : session_refused(session, "/stats/anchors", rc);
    free_graph(&graph);
    return status;
}
