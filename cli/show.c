/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * show: what is configured, from the name space, and beside it what the stack reports of it, as a table.
 * Each noun is a row of a table: columns, how deep its names go, where its operational state is, and the
 * function that makes rows.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/table.h"
#include "cli/tree.h"
#include "cli/verbs.h"

enum { KEYS_MAX = 2 };

struct view {
    struct session *session;
    struct table table;
    struct node config; /* the mount */
    struct node stats;  /* what is computed of it; empty if nothing is */
    char *keys[KEYS_MAX];
    size_t key_count;
};

static void set(struct row *row, int column, const char *text)
{
    if (text[0] != '\0')
        row->fields[column] = must(strdup(text));
}

/* A value, or what holds where none is given (docs/configuration.md). */
static void set_or(struct row *row, int column, const struct node *node, const char *name,
                   const char *otherwise)
{
    const char *text = node_text(node, name);

    set(row, column, text[0] != '\0' ? text : otherwise);
}

/* Fill columns from `first` on with the values of the children that have the columns' titles. */
static void set_titled(struct view *view, struct row *row, int first, int count,
                       const struct node *node)
{
    for (int i = first; i < first + count; i++)
        set(row, i, node_text(node, view->table.columns[i].title));
}

/* The next word of *text, cut off; "" at its end. */
static char *cut(char **text)
{
    char *word = strsep(text, " ");

    return word != NULL ? word : "";
}

/* ---- ports, bridges, interfaces ---- */

static const struct column port_columns[] = {
    {"name", COLUMN_TEXT},         {"link", COLUMN_TEXT},         {"mac", COLUMN_TEXT},
    {"mtu", COLUMN_NUMBER},        {"lcore", COLUMN_NUMBER},      {"workers", COLUMN_DETAIL},
    {"queues", COLUMN_DETAIL},     {"rx_queues", COLUMN_DETAIL},  {"tx_queues", COLUMN_DETAIL},
    {"rx_packets", COLUMN_NUMBER}, {"tx_packets", COLUMN_NUMBER}, {"tx_dropped", COLUMN_NUMBER},
    {"rx_bytes", COLUMN_DETAIL},   {"tx_bytes", COLUMN_DETAIL},   {"rx_missed", COLUMN_DETAIL},
    {"rx_errors", COLUMN_DETAIL},  {"tx_errors", COLUMN_DETAIL},  {"devargs", COLUMN_TEXT},
    {"error", COLUMN_TEXT},        {NULL, COLUMN_TEXT},
};

static void port_rows(struct view *view)
{
    for (size_t i = 0; i < view->config.count; i++) {
        const struct node *port = &view->config.children[i];
        struct row *row = table_add(&view->table);

        set(row, 0, port->name);
        set_titled(view, row, 1, 2, port);
        set_or(row, 3, port, "mtu", "1500");
        set_titled(view, row, 4, 5, port);
        set_titled(view, row, 9, 8, node_child(&view->stats, port->name));
        set_titled(view, row, 17, 2, port);
    }
}

/* The names below a node as one text: "a/24 b/24", or without the values. */
static char *joined(const struct node *node, bool values)
{
    size_t size;
    char *text;
    FILE *out = must(open_memstream(&text, &size));

    for (size_t i = 0; node != NULL && i < node->count; i++)
        fprintf(out, "%s%s%s%s", i == 0 ? "" : " ", node->children[i].name, values ? "/" : "",
                values && node->children[i].value != NULL ? node->children[i].value : "");
    fclose(out);
    return must(text);
}

static const struct column bridge_columns[] = {
    {"name", COLUMN_TEXT},
    {"ageing", COLUMN_NUMBER},
    {"port", COLUMN_LIST},
    {NULL, COLUMN_TEXT},
};

static void bridge_rows(struct view *view)
{
    for (size_t i = 0; i < view->config.count; i++) {
        const struct node *bridge = &view->config.children[i];
        struct row *row = table_add(&view->table);

        set(row, 0, bridge->name);
        set_or(row, 1, bridge, "ageing", "300");
        row->fields[2] = joined(node_child(bridge, "port"), false);
    }
}

static const struct column iface_columns[] = {
    {"name", COLUMN_TEXT}, {"on", COLUMN_TEXT},      {"mode", COLUMN_TEXT},
    {"mac", COLUMN_TEXT},  {"address", COLUMN_LIST}, {NULL, COLUMN_TEXT},
};

static void iface_rows(struct view *view)
{
    for (size_t i = 0; i < view->config.count; i++) {
        const struct node *iface = &view->config.children[i];
        struct row *row = table_add(&view->table);

        set(row, 0, iface->name);
        set(row, 1, node_text(iface, "on"));
        set_or(row, 2, iface, "mode", "follow");
        set(row, 3, node_text(iface, "mac"));
        row->fields[4] = joined(node_child(iface, "address"), true);
    }
}

/* ---- stations, neighbours ---- */

static const struct column fdb_columns[] = {
    {"bridge", COLUMN_TEXT}, {"mac", COLUMN_TEXT}, {"port", COLUMN_TEXT},
    {"kind", COLUMN_TEXT},   {NULL, COLUMN_TEXT},
};

static void fdb_rows(struct view *view)
{
    for (size_t i = 0; i < view->config.count; i++) {
        const struct node *bridge = &view->config.children[i];

        for (size_t j = 0; j < bridge->count; j++) {
            struct row *row = table_add(&view->table);
            char *value = bridge->children[j].value;

            set(row, 0, bridge->name);
            set(row, 1, bridge->children[j].name);
            set(row, 2, cut(&value));
            set(row, 3, cut(&value));
        }
    }
}

static const struct column neigh_columns[] = {
    {"iface", COLUMN_TEXT}, {"address", COLUMN_TEXT}, {"mac", COLUMN_TEXT}, {"kind", COLUMN_TEXT},
    {"state", COLUMN_TEXT}, {"age", COLUMN_NUMBER},   {NULL, COLUMN_TEXT},
};

/* "MAC learned", and "REACHABLE 1234 MAC" with the age in ms. */
static void neigh_row(struct view *view, const char *iface, const char *address, char *value,
                      char *state)
{
    struct row *row = table_add(&view->table);
    char age[32], *ms;

    set(row, 0, iface);
    set(row, 1, address);
    if (value == NULL || strcmp(value, "failed") != 0)
        set(row, 2, cut(&value));
    set(row, 3, cut(&value));
    set(row, 4, cut(&state));
    ms = cut(&state);
    if (ms[0] == '\0')
        return;
    snprintf(age, sizeof(age), "%.1f", strtod(ms, NULL) / 1000);
    set(row, 5, age);
}

static char *value_of(const struct node *node)
{
    return node != NULL ? node->value : NULL;
}

static void neigh_rows(struct view *view)
{
    for (size_t i = 0; i < view->config.count; i++) {
        const struct node *iface = &view->config.children[i];
        const struct node *states = node_child(&view->stats, iface->name);

        for (size_t j = 0; j < iface->count; j++)
            neigh_row(view, iface->name, iface->children[j].name, iface->children[j].value,
                      value_of(node_child(states, iface->children[j].name)));
    }
    /* Those that are being looked for, or were not found, have no name. */
    for (size_t i = 0; i < view->stats.count; i++) {
        const struct node *iface = &view->stats.children[i];
        const struct node *known = node_child(&view->config, iface->name);

        for (size_t j = 0; j < iface->count; j++)
            if (iface->children[j].value != NULL &&
                node_child(known, iface->children[j].name) == NULL)
                neigh_row(view, iface->name, iface->children[j].name, NULL,
                          iface->children[j].value);
    }
}

/* ---- routes, flows ---- */

static const struct column route_columns[] = {
    {"prefix", COLUMN_TEXT},
    {"to", COLUMN_TEXT},
    {"from", COLUMN_TEXT},
    {NULL, COLUMN_TEXT},
};

static void route_row(struct view *view, char *prefix, const char *to, const char *from)
{
    struct row *row = table_add(&view->table);

    row->fields[0] = prefix;
    set(row, 1, to);
    set(row, 2, from);
}

/* The subnet of an interface's address; NULL if it is none. */
static char *subnet(const char *address, const char *length_text)
{
    int length = atoi(length_text);
    char text[INET_ADDRSTRLEN];
    struct in_addr in;

    if (inet_pton(AF_INET, address, &in) != 1 || length < 1 || length > 32)
        return NULL;
    in.s_addr &= htonl(UINT32_MAX << (32 - length));
    inet_ntop(AF_INET, &in, text, sizeof(text));
    return must_printf("%s/%d", text, length);
}

static void iface_routes(struct view *view)
{
    struct node ifaces;

    if (tree_read(view->session, 0, "/iface", 3, &ifaces) != 0)
        return;
    for (size_t i = 0; i < ifaces.count; i++) {
        const struct node *iface = &ifaces.children[i], *list = node_child(iface, "address");

        for (size_t j = 0; list != NULL && j < list->count; j++) {
            const struct node *address = &list->children[j];
            char *to = must_printf("dev %s", iface->name);
            char *prefix = address->value != NULL ? subnet(address->name, address->value) : NULL;

            if (prefix != NULL)
                route_row(view, prefix, to, "interface");
            free(to);
        }
    }
    tree_free(&ifaces);
}

static void route_rows(struct view *view)
{
    for (size_t i = 0; i < view->config.count; i++) {
        const struct node *address = &view->config.children[i];

        for (size_t j = 0; j < address->count; j++)
            if (address->children[j].value != NULL)
                route_row(view, must_printf("%s/%s", address->name, address->children[j].name),
                          address->children[j].value, "route");
    }
    if (view->key_count == 0)
        iface_routes(view);
}

static const struct column flow_columns[] = {
    {"name", COLUMN_TEXT},      {"priority", COLUMN_NUMBER}, {"flows", COLUMN_NUMBER},
    {"packets", COLUMN_NUMBER}, {"bytes", COLUMN_NUMBER},    {"action", COLUMN_TEXT},
    {"match", COLUMN_TEXT},     {NULL, COLUMN_TEXT},
};

static void flow_rows(struct view *view)
{
    for (size_t i = 0; i < view->config.count; i++) {
        const struct node *flow = &view->config.children[i];
        struct row *row = table_add(&view->table);

        set(row, 0, flow->name);
        set_or(row, 1, flow, "priority", "0");
        set_titled(view, row, 2, 3, node_child(&view->stats, flow->name));
        set_or(row, 5, flow, "action", "route");
        set(row, 6, node_text(flow, "match"));
    }
}

/* ---- all of them ---- */

static const struct noun {
    const char *name;
    const struct column *columns;
    size_t keys;       /* how many parts of the path name one object */
    int depth;         /* of the names below the mount */
    const char *owner; /* the noun that the first part names; NULL: this one */
    const char *stats;
    int stats_depth;
    void (*rows)(struct view *view);
} nouns[] = {
    {"port", port_columns, 1, 2, NULL, "/stats/port", 2, port_rows},
    {"bridge", bridge_columns, 1, 3, NULL, NULL, 0, bridge_rows},
    {"iface", iface_columns, 1, 3, NULL, NULL, 0, iface_rows},
    {"fdb", fdb_columns, 2, 2, "bridge", NULL, 0, fdb_rows},
    {"neigh", neigh_columns, 2, 2, "iface", "/stats/neigh", 2, neigh_rows},
    {"route", route_columns, 2, 2, NULL, NULL, 0, route_rows},
    {"flow", flow_columns, 1, 2, NULL, "/stats/flow", 2, flow_rows},
};

static const struct noun *find_noun(const char *name)
{
    const struct noun *noun = nouns;

    while (strcmp(noun->name, name) != 0)
        noun++;
    return noun;
}

/* The parts of the path behind the mount: "/neigh/br0/10.0.0.5" has two. */
static void split_keys(struct view *view, const char *path)
{
    const char *at = strchr(path + 1, '/');

    while (at != NULL && view->key_count < KEYS_MAX) {
        size_t size = strcspn(at + 1, "/");

        view->keys[view->key_count++] = must(strndup(at + 1, size));
        at = strchr(at + 1, '/');
    }
}

static int refuse_absent(const char *noun, const char *title)
{
    char *sentence = must_printf("there is no %s", title);
    int status = refused_absent(noun, sentence);

    free(sentence);
    return status;
}

/* All of one bridge or interface were asked for, and there are none: it may be missing itself. */
static int refuse_without(struct view *view, const char *owner)
{
    char path[COMMAND_PATH_MAX], title[COMMAND_TITLE_MAX], why[COMMAND_WHY_MAX];
    const char *const name = view->keys[0];
    struct node node;
    int rc;

    if (command_locate(owner, &name, 1, path, title, why) != 0)
        return usage("%s", why);
    rc = tree_read(view->session, 0, path, 0, &node);
    tree_free(&node);
    return rc == -ENOENT ? refuse_absent(owner, title) : EXIT_DONE;
}

static int show_table(struct view *view, const struct noun *noun, const char *title)
{
    const char *const *keys = (const char *const *)view->keys;
    bool single = view->key_count == noun->keys;
    char *mount = must_printf("/%s", noun->name);
    int rc =
        tree_read_below(view->session, mount, keys, view->key_count, noun->depth, &view->config);
    int stats_rc = noun->stats == NULL
                       ? -ENOENT
                       : tree_read_below(view->session, noun->stats, keys, view->key_count,
                                         noun->stats_depth, &view->stats);

    free(mount);
    if (rc != 0 && rc != -ENOENT)
        return session_refused(view->session, title, rc);
    if (rc == -ENOENT && noun->owner != NULL && view->key_count == 1) {
        int status = refuse_without(view, noun->owner);

        if (status != EXIT_DONE)
            return status;
    } else if (rc == -ENOENT && view->key_count > 0 && stats_rc != 0) {
        return refuse_absent(noun->name, title);
    }
    view->table.columns = noun->columns;
    noun->rows(view);
    table_sort(&view->table);
    table_print(&view->table, view->session->json, single);
    return EXIT_DONE;
}

static int show(struct session *session, const char *path, const char *title)
{
    const struct noun *noun = find_noun(session->noun);
    struct view view = {.session = session};
    int status;

    if (!session_open(session))
        return EXIT_REFUSED;
    split_keys(&view, path);
    if (session->dependents)
        status = view.key_count == noun->keys ? do_dependents(session, path)
                                              : usage("--dependents: of which one?");
    else
        status = show_table(&view, noun, title);
    tree_free(&view.config);
    tree_free(&view.stats);
    for (size_t i = 0; i < view.key_count; i++)
        free(view.keys[i]);
    return status;
}

int do_show(struct session *session, const char *const *words, size_t count)
{
    char path[COMMAND_PATH_MAX], title[COMMAND_TITLE_MAX], why[COMMAND_WHY_MAX];

    if (session->learned) {
        if (count > 0 || session->dependents)
            return usage("flow show --learned shows all flows; `flow why` tells about one");
        return session_open(session) ? do_learned(session) : EXIT_REFUSED;
    }
    if (command_locate(session->noun, words, count, path, title, why) != 0)
        return usage("%s", why);
    return show(session, path, title);
}
