/* SPDX-License-Identifier: BSD-3-Clause */
/* trace: the next change of a name, followed through to the packets; times since its commit began. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/tree.h"
#include "cli/verbs.h"

enum { STEPS_MAX = 128 };

struct step {
    double ns;
    size_t number; /* keeps the order of those that are at the same time */
    char *text;
};

struct steps {
    struct step list[STEPS_MAX];
    size_t count;
};

/* Takes the text over. Nothing is added for a step that was not met. */
static void add(struct steps *steps, const struct node *node, const char *name, char *text)
{
    if (node_child(node, name) == NULL || steps->count == STEPS_MAX) {
        free(text);
        return;
    }
    steps->list[steps->count] =
        (struct step){strtod(node_text(node, name), NULL), steps->count, text};
    steps->count++;
}

static void add_worker(struct steps *steps, const struct node *worker)
{
    const char *lcore = node_text(worker, "lcore"), *flows = node_text(worker, "flows");

    add(steps, worker, "seen_ns", must_printf("worker %s: uses the new version", lcore));
    add(steps, worker, "notice_ns", must_printf("worker %s: has taken its notices", lcore));
    add(steps, worker, "applied_ns",
        must_printf("worker %s: its flows are told (%s)", lcore, *flows != '\0' ? flows : "0"));
    add(steps, worker, "packet_ns",
        must_printf("worker %s: first packet, %s", lcore, node_text(worker, "flow")));
}

static int by_time(const void *left, const void *right)
{
    const struct step *a = left, *b = right;

    if (a->ns != b->ns)
        return a->ns < b->ns ? -1 : 1;
    return a->number < b->number ? -1 : 1;
}

static unsigned told(const struct node *workers)
{
    unsigned count = 0;

    for (size_t i = 0; workers != NULL && i < workers->count; i++)
        count += strcmp(node_text(&workers->children[i], "told"), "1") == 0;
    return count;
}

/* Who was told and sent nothing since. */
static void print_silent(const struct node *workers)
{
    for (size_t i = 0; workers != NULL && i < workers->count; i++) {
        const struct node *worker = &workers->children[i];

        if (strcmp(node_text(worker, "told"), "1") == 0 && node_child(worker, "packet_ns") == NULL)
            printf("              worker %s: no packet of its flows came\n",
                   node_text(worker, "lcore"));
    }
}

static void print_trace(const char *path, const struct node *root)
{
    const struct node *workers = node_child(root, "lcores");
    struct steps steps = {.count = 0};

    add(&steps, root, "published_ns", must_printf("published"));
    add(&steps, root, "notices_ns", must_printf("notices for %u workers", told(workers)));
    for (size_t i = 0; workers != NULL && i < workers->count; i++)
        add_worker(&steps, &workers->children[i]);
    qsort(steps.list, steps.count, sizeof(steps.list[0]), by_time);
    printf("%s: version %s\n       0.0 us  the commit begins\n", path, node_text(root, "number"));
    for (size_t i = 0; i < steps.count; i++) {
        printf("%10.1f us  %s\n", steps.list[i].ns / 1000, steps.list[i].text);
        free(steps.list[i].text);
    }
    print_silent(workers);
}

int do_trace(struct session *session, const char *const *words, size_t count)
{
    struct node root;
    char *raw, *path;
    int rc;

    if (count == 0)
        return usage("which name? trace takes its path, like /neigh/br0/10.0.0.5");
    if (count > 1)
        return usage("\"%s\" is too much: trace takes one name", words[1]);
    if (words[0][0] != '/')
        return usage("\"%s\" is not a name's path; it would begin with /", words[0]);
    if (!session_open(session))
        return EXIT_REFUSED;
    path = must_printf("/stats/trace%s", words[0]);
    rc = tree_read_json(session, path, &raw, &root);
    free(path);
    if (rc != 0)
        return session_refused(session, words[0], rc);
    tree_make_printable(&root);
    if (session->json)
        puts(raw);
    else
        print_trace(words[0], &root);
    tree_free(&root);
    free(raw);
    return EXIT_DONE;
}
