/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An example client: many requests in one go.
 *
 *     build/examples/pipeline /example 10000
 *
 * It writes that many names below the path, then adds up what they say in one transaction, and says how
 * long each took. A request is a round trip when one waits for its answer before the next; here they
 * are queued, sent in large pieces, and their answers taken afterwards, in the same order.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "nameserv/client.h"
#include "nameserv/wire.h"

enum { IN_FLIGHT = 1000 }; /* so many answers at most wait to be taken */

static double seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* The payload of a WRITE is the path, a NUL and the value; that of a READ the path and a NUL. */
static int ask(struct ns_client *client, uint32_t type, uint32_t tx, const char *path, int i)
{
    char payload[512];
    int size = snprintf(payload, sizeof(payload), "%s/%d", path, i) + 1;

    if (type == NS_WIRE_WRITE)
        size += snprintf(payload + size, sizeof(payload) - (size_t)size, "%d", i);
    return ns_client_send(client, type, tx, payload, (size_t)size);
}

/* One request of the type for each number below count, with IN_FLIGHT of them on the way at a time.
 * Every answer is taken, also after one that is an error, which is returned; *sum gets the sum of the
 * values. */
static int ask_all(struct ns_client *client, uint32_t type, uint32_t tx, const char *path,
                   int count, long *sum)
{
    int asked = 0, error = 0;
    const char *value;
    size_t size;

    *sum = 0;
    for (int taken = 0; taken < count; taken++) {
        int answer;

        while (asked < count && asked < taken + IN_FLIGHT)
            if ((answer = ask(client, type, tx, path, asked++)) < 0)
                return answer;
        answer = ns_client_receive(client, &value, &size);
        if (answer == -EPIPE)
            return answer;
        if (answer < 0)
            error = answer;
        else if (type == NS_WIRE_READ)
            *sum += atol(value);
    }
    return error;
}

static int run(struct ns_client *client, const char *path, int count)
{
    double start = seconds();
    uint32_t tx;
    long sum;
    int error = ask_all(client, NS_WIRE_WRITE, 0, path, count, &sum);

    if (error < 0)
        return error;
    printf("%d names written in %.1f ms\n", count, (seconds() - start) * 1e3);
    start = seconds();
    error = ns_client_begin(client, &tx);
    if (error == 0)
        error = ask_all(client, NS_WIRE_READ, tx, path, count, &sum);
    if (error == 0)
        error = ns_client_end(client, tx, 1);
    if (error == 0)
        printf("read in %.1f ms, sum %ld\n", (seconds() - start) * 1e3, sum);
    return error;
}

int main(int argc, char **argv)
{
    struct ns_client *client;
    int error;

    if (argc > 3 || (argc > 1 && argv[1][0] != '/') || (argc > 2 && atoi(argv[2]) <= 0)) {
        fprintf(stderr,
                "Usage: %s [PATH [COUNT]]\nWrite COUNT (10000) names below PATH (/example), "
                "and read them.\n",
                argv[0]);
        return EXIT_FAILURE;
    }
    error = ns_client_open(NULL, &client); /* $KEDGE_SOCKET, else the usual one */
    if (error < 0) {
        fprintf(stderr, "no daemon answers: %s\n", strerror(-error));
        return EXIT_FAILURE;
    }
    error = run(client, argc > 1 ? argv[1] : "/example", argc > 2 ? atoi(argv[2]) : 10000);
    if (error < 0)
        fprintf(stderr, "%s (%s)\n", ns_client_reason(client), strerror(-error));
    ns_client_close(client);
    return error < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
