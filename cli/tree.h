/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Trees of names and values in memory: a part of the name space, read in few round trips, or a JSON text.
 * Single-threaded; memory that is short ends the program.
 */
#ifndef KEDGE_CLI_TREE_H
#define KEDGE_CLI_TREE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "cli/session.h"

enum node_kind {
    NODE_NAME,   /* of the name space; children are in byte order */
    NODE_TEXT,   /* the rest is of JSON */
    NODE_NUMBER, /* also true, false, null: as it is written */
    NODE_OBJECT,
    NODE_ARRAY,
};

struct node {
    char *name;  /* the last part of its path; the key in an object; "" in an array */
    char *value; /* NUL-terminated; NULL: none, or it could not be read */
    size_t size; /* of value */
    struct node *children;
    size_t count;
    enum node_kind kind;
    int error; /* NODE_NAME: why value is NULL */
};

/* Read the name `path` and all names up to `depth` levels below it (0: itself only) into *root. Names that
 * vanish meanwhile, or may not be read, have no value. 0, or the error of `path` itself; then *root is
 * empty. tx: a transaction, or 0. */
int tree_read(struct session *session, uint32_t tx, const char *path, int depth, struct node *root);

/* The same of `path`, with only those below it whose first parts are keys: /neigh with {"br0"}. The root
 * stands for `path` in any case. */
int tree_read_below(struct session *session, const char *path, const char *const *keys,
                    size_t key_count, int depth, struct node *root);

/* Read a JSON text into *root. 0 or -EINVAL, when *root is empty. */
int tree_parse_json(const char *text, struct node *root);

/* Read a name whose value is JSON. 0, or a negative errno, when *root is empty. *raw, if wanted, gets the text,
 * malloc'ed. */
int tree_read_json(struct session *session, const char *path, char **raw, struct node *root);

/* Make all values what a person may see (cli/text.h). For what is printed with printf() and not asked about again. */
void tree_make_printable(struct node *root);

void tree_free(struct node *root);

/* A new last child, empty. Others may move. */
struct node *node_add(struct node *node);

/* The child of that name, or NULL. */
const struct node *node_child(const struct node *node, const char *name);

/* The value of a child; "" if there is none. */
const char *node_text(const struct node *node, const char *name);

#endif
