/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check FILE: the daemon's program itself reads the file, with all that it knows.
 * check: the running daemon compares everything that it has derived with its names.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/inspect.h"
#include "cli/verbs.h"

/* Become kedged in a folder relative to kedgectl's own. Comes back if it is not there. */
static void try_beside(const char *folder, const char *self, char *const *arguments)
{
    char *program = must_printf("%.*s%skedged", (int)(strrchr(self, '/') + 1 - self), self, folder);

    execv(program, arguments);
    free(program);
}

static int check_file(struct session *session, const char *file)
{
    char self[4096];
    ssize_t size = readlink("/proc/self/exe", self, sizeof(self) - 1);
    char *arguments[] = {
        "kedged", "--check", "--config", (char *)(uintptr_t)file, session->json ? "--json" : NULL,
        NULL};

    if (size > 0) {
        self[size] = '\0';
        try_beside("", self, arguments);
        try_beside("../sbin/", self, arguments);
    }
    execvp("kedged", arguments);
    return refused("kedged, which reads the file, is neither beside kedgectl nor in PATH: %s",
                   strerror(errno));
}

/* ---- the running daemon ---- */

static void print_faults(const struct node *root)
{
    const struct node *names = node_child(root, "names"), *faults = node_child(root, "faults");

    for (size_t i = 0; names != NULL && i < names->count; i++)
        printf("%s: the record is not what its names say\n", names->children[i].value);
    for (size_t i = 0; faults != NULL && i < faults->count; i++) {
        const struct node *fault = &faults->children[i];

        inspect_print_key(fault);
        printf(", worker %s: wrong %s: bound to %s, which should be %s\n",
               node_text(fault, "lcore"), node_text(fault, "what"), node_text(fault, "bound"),
               node_text(fault, "expected"));
    }
}

static bool is_sound(const struct node *root)
{
    return strcmp(node_text(root, "wrong_flows"), "0") == 0 &&
           strcmp(node_text(root, "wrong_records"), "0") == 0;
}

static void print_summary(const struct node *root)
{
    printf("%s flows, %s of them not reached yet by a change, %s wrong; %s records, %s wrong\n",
           node_text(root, "flows"), node_text(root, "pending"), node_text(root, "wrong_flows"),
           node_text(root, "records"), node_text(root, "wrong_records"));
}

static int check_daemon(struct session *session)
{
    struct node root;
    char *raw;
    bool sound;
    int rc;

    if (!session_open(session))
        return EXIT_REFUSED;
    rc = tree_read_json(session, "/stats/check/run", &raw, &root);
    if (rc != 0)
        return session_refused(session, "check", rc);
    sound = is_sound(&root);
    if (session->json) {
        puts(raw);
    } else {
        tree_make_printable(&root);
        print_faults(&root);
        print_summary(&root);
    }
    tree_free(&root);
    free(raw);
    return sound ? EXIT_DONE : EXIT_REFUSED;
}

int do_check(struct session *session, const char *const *words, size_t count)
{
    if (count > 1)
        return usage("\"%s\" is too much: check takes one file, or none", words[1]);
    return count == 0 ? check_daemon(session) : check_file(session, words[0]);
}
