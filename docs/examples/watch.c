/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An example client: print a name and everything below it, and then each change as it happens.
 *
 *     build/examples/watch /neigh                              (without a path: all names)
 *
 * It shows the calls of nameserv/client.h: listing, reading, watching, and what to do with an event.
 * An event says which name has changed, not how; its value is read afterwards, so it is never older
 * than the event. A watch begins with an event of its own path, so there is no gap between the first
 * look and the first change.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nameserv/client.h"

static int show(struct ns_client *client, const char *path);

/* Print all children. The list is copied first: it is the client's only until the next call. */
static int show_children(struct ns_client *client, const char *path)
{
    const char *names, *name;
    size_t size;
    char *copy, child[4096];
    int error = ns_client_list(client, 0, path, &names, &size);

    if (error < 0)
        return error;
    copy = malloc(size + 1);
    if (copy == NULL)
        return -ENOMEM;
    memcpy(copy, names, size);
    for (name = copy; error == 0 && name < copy + size; name += strlen(name) + 1) {
        snprintf(child, sizeof(child), "%s/%s", strcmp(path, "/") == 0 ? "" : path, name);
        error = show(client, child);
    }
    free(copy);
    return error;
}

/* Print a name with its value, and all below it. A name that is gone is no error: it may have been
 * removed since we heard of it. */
static int show(struct ns_client *client, const char *path)
{
    const char *value;
    size_t size;
    int error = ns_client_read(client, 0, path, &value, &size);

    if (error == -ENOENT) {
        printf("%s is gone\n", path);
        return 0;
    }
    if (error < 0)
        return error;
    printf("%s = %.*s\n", path, (int)size, value);
    error = show_children(client, path);
    return error == -ENOENT ? 0 : error;
}

static int follow(struct ns_client *client, const char *path)
{
    const char *changed, *token;
    char name[4096];
    int error = ns_client_watch(client, path, "example");

    while (error >= 0) {
        error = ns_client_event(client, -1, &changed, &token);
        if (error < 0)
            break;
        snprintf(name, sizeof(name), "%s", changed); /* the client's only until the next call */
        error = show(client, name);
        fflush(stdout);
    }
    return error;
}

int main(int argc, char **argv)
{
    struct ns_client *client;
    int error;

    if (argc > 2 || (argc == 2 && argv[1][0] != '/' && argv[1][0] != '@')) {
        fprintf(stderr,
                "Usage: %s [PATH]\nPrint a name like /neigh with all below it, and each "
                "change as it happens.\n",
                argv[0]);
        return EXIT_FAILURE;
    }
    error = ns_client_open(NULL, &client); /* $KEDGE_SOCKET, else the usual one */
    if (error < 0) {
        fprintf(stderr, "no daemon answers: %s\n", strerror(-error));
        return EXIT_FAILURE;
    }
    error = follow(client, argc > 1 ? argv[1] : "/");
    fprintf(stderr, "%s (%s)\n", ns_client_reason(client), strerror(-error));
    ns_client_close(client);
    return EXIT_FAILURE;
}
