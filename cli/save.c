/* SPDX-License-Identifier: BSD-3-Clause */
/* save: all that users have written, as of one version. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/json.h"
#include "cli/print.h"
#include "cli/tree.h"
#include "cli/verbs.h"

enum { DEPTH_MAX = 4096 };

/* All of the tree but /stats, which is computed. */
static int read_all(struct session *session, uint32_t tx, struct node *root)
{
    struct node list;
    int rc = tree_read(session, tx, "/", 1, &list);

    *root = (struct node){.name = NULL};
    if (rc != 0)
        return rc;
    root->children = must(calloc(list.count + 1, sizeof(list.children[0])));
    for (size_t i = 0; rc == 0 && i < list.count; i++) {
        char *path = must_printf("/%s", list.children[i].name);

        if (strcmp(path, "/stats") != 0)
            rc = tree_read(session, tx, path, DEPTH_MAX, &root->children[root->count]);
        if (rc == 0 && strcmp(path, "/stats") != 0)
            root->count++;
        if (rc == -EACCES) /* not ours to see, as what is below others */
            rc = 0;
        free(path);
    }
    tree_free(&list);
    return rc;
}

/* Lines as they would be printed, each a string. */
static void print_as_json(const char *lines)
{
    const char *separator = "\n";

    putchar('[');
    while (*lines != '\0') {
        size_t size = strcspn(lines, "\n");

        fputs(separator, stdout);
        json_bytes(stdout, lines, size);
        separator = ",\n";
        lines += size + 1;
    }
    puts("\n]");
}

static unsigned print_all(const struct session *session, const struct node *root)
{
    unsigned left_out;
    char *lines;
    size_t size;
    FILE *out;

    if (!session->json)
        return print_commands(stdout, root);
    out = must(open_memstream(&lines, &size));
    left_out = print_commands(out, root);
    fclose(out);
    print_as_json(must(lines));
    free(lines);
    return left_out;
}

int do_save(struct session *session, const char *const *words, size_t count)
{
    struct node root;
    uint32_t tx;
    unsigned left_out;
    int rc;

    if (count > 0)
        return usage("\"%s\" is too much: save prints, and takes no file; use > FILE", words[0]);
    if (!session_open(session))
        return EXIT_REFUSED;
    rc = ns_client_begin(session->client, &tx);
    if (rc != 0)
        return session_refused(session, "", rc);
    rc = read_all(session, tx, &root);
    if (rc != 0)
        return session_refused(session, "/", rc);
    ns_client_end(session->client, tx, 0);
    left_out = print_all(session, &root);
    tree_free(&root);
    if (left_out > 0)
        return refused("%u names could not be written as commands; comments say which", left_out);
    return EXIT_DONE;
}
