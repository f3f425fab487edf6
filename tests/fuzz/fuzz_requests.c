/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzzes the whole control socket: the input is what a client sends, before it closes its side, to a
 * server with a real store. The server must come to the end of it and leave nothing open.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "nameserv/server.h"
#include "nameserv/stats.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct ns_store *store;
static struct ns_loop *loop;
static struct ns_stats *stats;
static struct ns_server *server;
static char folder[] = "/tmp/kedge-fuzz-XXXXXX";
static struct sockaddr_un address = {.sun_family = AF_UNIX};

static struct {
    int fd;
    const uint8_t *data;
    size_t size;
    uint64_t connected_before;
} client;

static void require(bool condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "%s failed\n", what);
    abort();
}

static void stop_server(void)
{
    ns_server_free(server);
    rmdir(folder);
}

static void start_server(void)
{
    struct ns_store_options store_options = {.lcores = 0};
    struct ns_server_options options = {.path = address.sun_path};
    struct ns_reason reason;

    require(mkdtemp(folder) != NULL, "a folder for the socket");
    snprintf(address.sun_path, sizeof(address.sun_path), "%s/sock", folder);
    require(ns_store_new(&store_options, &store) == 0, "ns_store_new()");
    require(ns_stats_new(store, &stats) == 0, "ns_stats_new()");
    options.stats = stats;
    loop = ns_loop_new();
    require(loop != NULL, "ns_loop_new()");
    require(ns_server_new(store, loop, &options, &reason, &server) == 0, "ns_server_new()");
    atexit(stop_server);
}

/* A round of the client: it sends and takes what goes without waiting. */
static uint64_t client_round(void *arg)
{
    struct ns_server_counters counters;
    char replies[65536];
    ssize_t done = send(client.fd, client.data, client.size, MSG_DONTWAIT | MSG_NOSIGNAL);

    (void)arg;
    if (done > 0) {
        client.data += done;
        client.size -= (size_t)done;
    }
    if (client.size == 0)
        shutdown(client.fd, SHUT_WR);
    while (recv(client.fd, replies, sizeof(replies), MSG_DONTWAIT) > 0)
        continue;
    ns_store_housekeep(store);
    ns_server_counters(server, &counters);
    if (counters.connections_total > client.connected_before && counters.connections == 0)
        ns_loop_stop(loop);
    return 0;
}

/* Remove what the client has made, so that inputs do not depend on each other. */
static void clean_up(void)
{
    const struct ns_entry *child = ns_entry_first(ns_store_version(store)->root);
    char name[NS_PATH_MAX + 2] = "/", *own = name + 1;

    while (child != NULL) {
        snprintf(own, sizeof(name) - 1, "%s", ns_entry_name(child));
        if (strcmp(own, "stats") != 0)
            require(ns_store_put(store, name, NULL) == 0, "removing what the client has made");
        child = ns_entry_next(ns_store_version(store)->root, own, strlen(own));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ns_server_counters counters;
    struct ns_store_counters store_counters;

    if (server == NULL)
        start_server();
    ns_server_counters(server, &counters);
    client.connected_before = counters.connections_total;
    client.data = data;
    client.size = size;
    client.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    require(connect(client.fd, (struct sockaddr *)&address, sizeof(address)) == 0, "connect()");
    ns_loop_hook(loop, client_round, NULL);
    ns_loop_run(loop);
    close(client.fd);
    ns_store_counters(store, &store_counters);
    require(store_counters.transactions_open == 0, "ending the client's transactions");
    clean_up();
    return 0;
}
