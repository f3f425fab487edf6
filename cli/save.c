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

/* Take out of the tree what is computed, and what is there only to lead to it: the daemon makes that itself. */
static void prune(struct node *root, const char *path)
{
    for (size_t i = 0; i < root->count; i++) {
        size_t size = strlen(root->children[i].name);

        if (path[0] != '/' || strncmp(path + 1, root->children[i].name, size) != 0)
            continue;
        if (path[1 + size] == '/')
            prune(&root->children[i], path + 1 + size);
        if (path[1 + size] != '\0' &&
            (path[1 + size] != '/' || root->children[i].count + root->children[i].size > 0))
            continue;
        tree_free(&root->children[i]);
        memmove(&root->children[i], &root->children[i + 1],
                (--root->count - i) * sizeof(root->children[0]));
        return;
    }
}

static void print_mount(FILE *out, const char *path, const char *kind)
{
    fputs("mount add ", out);
    print_word(out, path, strlen(path));
    fputc(' ', out);
    print_word(out, kind, strlen(kind));
    fputc('\n', out);
}

/* What hangs where: lines for what the configuration has hung, and out with what is computed. Another
 * daemon's socket has no such list. */
static char *read_mounts(struct session *session, struct node *root)
{
    char *lines, path[256], kind[32], flags[32];
    struct node mounts;
    size_t size;
    FILE *out = must(open_memstream(&lines, &size));

    if (tree_read(session, 0, "/stats/mounts", 1, &mounts) != 0)
        mounts = (struct node){.name = NULL};
    for (size_t i = 0; i < mounts.count; i++) {
        const char *text = mounts.children[i].value;

        if (text == NULL || sscanf(text, "%255s %31s %31s", path, kind, flags) != 3)
            continue;
        if (strcmp(flags, "computed") == 0)
            prune(root, path);
        if (strcmp(flags, "configured") == 0)
            print_mount(out, path, kind);
    }
    tree_free(&mounts);
    fclose(out);
    return must(lines);
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

static unsigned print_all(const struct session *session, const struct node *root,
                          const char *mounts)
{
    unsigned left_out;
    char *lines;
    size_t size;
    FILE *out;

    if (!session->json) {
        fputs(mounts, stdout);
        return print_commands(stdout, root);
    }
    out = must(open_memstream(&lines, &size));
    fputs(mounts, out);
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
    char *mounts;
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
    mounts = read_mounts(session, &root);
    left_out = print_all(session, &root, mounts);
    free(mounts);
    tree_free(&root);
    if (left_out > 0)
        return refused("%u names could not be written as commands; comments say which", left_out);
    return EXIT_DONE;
}
