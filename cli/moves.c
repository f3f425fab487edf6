/* SPDX-License-Identifier: BSD-3-Clause */
/* flow moves: which flows were told lately that they moved, and by which link of their chain. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/inspect.h"
#include "cli/verbs.h"

static void print_way(const char *word, const struct node *way)
{
    static const char *const parts[] = {"action", "port", "mac_to", "next_hop"};

    printf(" %s", word);
    for (size_t i = 0; way != NULL && i < sizeof(parts) / sizeof(parts[0]); i++) {
        const char *text = node_text(way, parts[i]);

        if (*text != '\0')
            printf(" %s%s", i == 3 ? "next hop " : "", text);
    }
}

static void print_time(const char *seconds)
{
    time_t time = (time_t)strtoll(seconds, NULL, 10);
    char text[32];
    struct tm parts;

    strftime(text, sizeof(text), "%F %T", localtime_r(&time, &parts));
    printf("%s ", text);
}

static void print_move(const struct node *move)
{
    const struct node *moved = node_child(move, "moved");

    print_time(node_text(move, "time"));
    inspect_print_key(move);
    print_way("moved from", node_child(move, "from"));
    print_way("to", node_child(move, "to"));
    for (size_t i = 0; moved != NULL && i < moved->count; i++)
        printf("%s %s", i == 0 ? ":" : ",", moved->children[i].value);
    putchar('\n');
}

/* The daemon answers the newest first. */
int do_moves(struct session *session, const char *const *words, size_t count)
{
    struct node root;
    char *raw;
    int rc;

    if (count > 0)
        return usage("\"%s\" is too much: flow moves takes nothing", words[0]);
    if (!session_open(session))
        return EXIT_REFUSED;
    rc = tree_read_json(session, "/stats/moves/log", &raw, &root);
    if (rc != 0)
        return session_refused(session, "flow moves", rc);
    tree_make_printable(&root);
    if (session->json)
        puts(raw);
    for (size_t i = root.count; !session->json && i > 0; i--)
        print_move(&root.children[i - 1]);
    tree_free(&root);
    free(raw);
    return EXIT_DONE;
}
