/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reading a part of the name space, level by level: all requests of a level are sent before their replies
 * are taken, so that the time is that of a few round trips, not of as many as there are names.
 */
#include "cli/tree.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "cli/text.h"

/* Types of requests: io/xs_wire.h of Xen. */
enum { XS_DIRECTORY = 1, XS_READ = 2 };
enum { AT_ONCE = 256 };

/* A node of the level that is being read. */
struct place {
    struct node *node;
    char *path;
    bool long_list; /* its list did not fit in a message */
};

struct level {
    struct place *places;
    size_t count;
};

struct reader {
    struct session *session;
    uint32_t tx;
    bool lists; /* this level is not the last */
};

static void set_children(struct node *node, const char *names, size_t size)
{
    size_t count = 0, i = 0;

    for (size_t at = 0; at < size; at++)
        count += names[at] == '\0';
    if (count == 0)
        return;
    node->children = must(calloc(count, sizeof(node->children[0])));
    node->count = count;
    for (size_t at = 0; i < count; at += strlen(names + at) + 1)
        node->children[i++].name = must(strdup(names + at));
}

static void set_value(struct node *node, const char *value, size_t size)
{
    node->value = must(malloc(size + 1));
    memcpy(node->value, value, size);
    node->value[size] = '\0';
    node->size = size;
}

static int send_places(struct reader *reader, const struct place *places, size_t count)
{
    struct ns_client *client = reader->session->client;
    int rc = 0;

    for (size_t i = 0; i < count && rc == 0; i++) {
        size_t size = strlen(places[i].path) + 1;

        rc = ns_client_send(client, XS_READ, reader->tx, places[i].path, size);
        if (rc == 0 && reader->lists)
            rc = ns_client_send(client, XS_DIRECTORY, reader->tx, places[i].path, size);
    }
    return rc;
}

static int receive_place(struct reader *reader, struct place *place)
{
    const char *data;
    size_t size;
    int rc = ns_client_receive(reader->session->client, &data, &size);

    place->node->error = rc;
    if (rc == 0)
        set_value(place->node, data, size);
    if (rc == -EPIPE || !reader->lists)
        return rc == -EPIPE ? rc : 0;
    rc = ns_client_receive(reader->session->client, &data, &size);
    if (rc == 0)
        set_children(place->node, data, size);
    place->long_list = rc == -E2BIG;
    return rc == -EPIPE ? rc : 0;
}

static int read_places(struct reader *reader, struct place *places, size_t count)
{
    const char *names;
    size_t size;
    int rc = send_places(reader, places, count);

    for (size_t i = 0; i < count && rc == 0; i++)
        rc = receive_place(reader, &places[i]);
    for (size_t i = 0; i < count && rc == 0; i++)
        if (places[i].long_list &&
            ns_client_list(reader->session->client, reader->tx, places[i].path, &names, &size) == 0)
            set_children(places[i].node, names, size);
    return rc;
}

static int read_level(struct reader *reader, struct level *level)
{
    int rc = 0;

    for (size_t at = 0; at < level->count && rc == 0; at += AT_ONCE)
        rc = read_places(reader, level->places + at,
                         level->count - at < AT_ONCE ? level->count - at : AT_ONCE);
    return rc;
}

static void free_level(struct level *level)
{
    for (size_t i = 0; i < level->count; i++)
        free(level->places[i].path);
    free(level->places);
}

/* All children of a level are the next one. */
static struct level next_level(const struct level *level)
{
    struct level next = {.count = 0};

    for (size_t i = 0; i < level->count; i++)
        next.count += level->places[i].node->count;
    next.places = must(calloc(next.count + 1, sizeof(next.places[0])));
    next.count = 0;
    for (size_t i = 0; i < level->count; i++) {
        const struct place *place = &level->places[i];
        const char *path = strcmp(place->path, "/") == 0 ? "" : place->path;

        for (size_t j = 0; j < place->node->count; j++) {
            struct node *child = &place->node->children[j];

            next.places[next.count++] =
                (struct place){.node = child, .path = must_printf("%s/%s", path, child->name)};
        }
    }
    return next;
}

int tree_read(struct session *session, uint32_t tx, const char *path, int depth, struct node *root)
{
    const char *name = strrchr(path, '/');
    struct reader reader = {session, tx, false};
    struct level level = {must(calloc(1, sizeof(level.places[0]))), 1}, next;
    int rc = 0;

    *root = (struct node){.name = must(strdup(name != NULL ? name + 1 : path))};
    level.places[0] = (struct place){.node = root, .path = must(strdup(path))};
    for (; depth >= 0 && rc == 0 && level.count > 0; depth--) {
        reader.lists = depth > 0;
        rc = read_level(&reader, &level);
        next = next_level(&level);
        free_level(&level);
        level = next;
    }
    free_level(&level);
    if (rc == 0)
        rc = root->error;
    if (rc != 0)
        tree_free(root);
    return rc;
}

int tree_read_below(struct session *session, const char *path, const char *const *keys,
                    size_t key_count, int depth, struct node *root)
{
    char *below;
    int rc;

    if (key_count == 0)
        return tree_read(session, 0, path, depth, root);
    below = must_printf("%s/%s", path, keys[0]);
    *root = (struct node){.name = must(strdup("")), .count = 1};
    root->children = must(calloc(1, sizeof(root->children[0])));
    rc = tree_read_below(session, below, keys + 1, key_count - 1, depth - 1, root->children);
    free(below);
    if (rc != 0) {
        tree_free(root);
        return rc;
    }
    free(root->children[0].name);
    root->children[0].name = must(strdup(keys[0]));
    return 0;
}

void tree_make_printable(struct node *root)
{
    char *value = root->value;

    if (value != NULL) {
        root->value = text_printable(value, root->size);
        root->size = strlen(root->value);
        free(value);
    }
    for (size_t i = 0; i < root->count; i++)
        tree_make_printable(&root->children[i]);
}

void tree_free(struct node *root)
{
    for (size_t i = 0; i < root->count; i++)
        tree_free(&root->children[i]);
    free(root->children);
    free(root->name);
    free(root->value);
    *root = (struct node){.name = NULL};
}

struct node *node_add(struct node *node)
{
    struct node *grown = must(realloc(node->children, (node->count + 1) * sizeof(grown[0])));

    node->children = grown;
    grown[node->count] = (struct node){.name = NULL};
    return &grown[node->count++];
}

static int by_name(const void *name, const void *node)
{
    return strcmp(name, ((const struct node *)node)->name);
}

const struct node *node_child(const struct node *node, const char *name)
{
    if (node == NULL || node->count == 0)
        return NULL;
    if (node->kind == NODE_NAME)
        return bsearch(name, node->children, node->count, sizeof(node->children[0]), by_name);
    for (size_t i = 0; i < node->count; i++)
        if (strcmp(node->children[i].name, name) == 0)
            return &node->children[i];
    return NULL;
}

const char *node_text(const struct node *node, const char *name)
{
    const struct node *child = node_child(node, name);

    return child != NULL && child->value != NULL ? child->value : "";
}

int tree_read_json(struct session *session, const char *path, char **raw, struct node *root)
{
    const char *text;
    char *copy;
    size_t size;
    int rc = ns_client_read(session->client, 0, path, &text, &size);

    *root = (struct node){.name = NULL};
    if (rc != 0)
        return rc;
    copy = must(strndup(text, size));
    rc = tree_parse_json(copy, root);
    if (rc == 0 && raw != NULL)
        *raw = copy;
    else
        free(copy);
    return rc;
}
