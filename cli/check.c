/* SPDX-License-Identifier: BSD-3-Clause */
/* check: the daemon itself reads the file, with all that it knows. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/verbs.h"

/* Become kedged in a folder relative to kedgectl's own. Comes back if it is not there. */
static void try_beside(const char *folder, const char *self, char *const *arguments)
{
    char *program = must_printf("%.*s%skedged", (int)(strrchr(self, '/') + 1 - self), self, folder);

    execv(program, arguments);
    free(program);
}

int do_check(struct session *session, const char *const *words, size_t count)
{
    char self[4096];
    ssize_t size = readlink("/proc/self/exe", self, sizeof(self) - 1);
    char *arguments[] = {"kedged", "--check", "--config", NULL, NULL};

    if (count != 1)
        return usage("one file is to be given: check FILE");
    if (session->json)
        return usage("check prints lines for people only: it does not take --json");
    arguments[3] = (char *)(uintptr_t)words[0];
    if (size > 0) {
        self[size] = '\0';
        try_beside("", self, arguments);
        try_beside("../sbin/", self, arguments);
    }
    execvp("kedged", arguments);
    return refused("kedged, which reads the file, is neither beside kedgectl nor in PATH: %s",
                   strerror(errno));
}
