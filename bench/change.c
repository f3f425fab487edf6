/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Changes of one name over the control socket, and when they are on the wire: for bench/wire.py, which starts the
 * daemon and the traffic.
 *
 *     change one SOCKET GENERATOR PATH COUNT GAP_US    one after the other; a line for each:
 *                                                      REPLY FIRST_NEW LAST_OLD, in nanoseconds
 *     change ring SOCKET GENERATOR PATH COUNT GAP_US   the same over a ring page (nameserv/ring_client.h), which the
 *                                                      client introduces as domain 0's
 *     change many SOCKET GENERATOR PATH COUNT WINDOW   as fast as it goes, WINDOW requests in flight; one line:
 *                                                      CHANGES SECONDS
 *
 * The name is a neighbour's, the values are two MAC addresses whose last five bytes are all 5 or all 6: the
 * marks by which the generator (bench/generator.c) tells frames apart. All times are of the TSC, from just before
 * the request is handed to the kernel. LAST_OLD is 0 if no frame with the old address left after that.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <rte_cycles.h>

#include "bench/generator.h"
#include "bench/machine.h"
#include "nameserv/client.h"
#include "nameserv/ring_client.h"
#include "nameserv/wire.h"

enum { MARK_A = 5, MARK_B = 6, PATIENCE_S = 2 };

static volatile struct generator_shared *generator;
static double ns_per_tick;

static void die(const char *what, int error)
{
    fprintf(stderr, "change: %s: %s\n", what, strerror(-error));
    exit(1);
}

static void map_generator(const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    void *map = fd < 0 ? MAP_FAILED
                       : mmap(NULL, sizeof(struct generator_shared), PROT_READ | PROT_WRITE,
                              MAP_SHARED, fd, 0);

    if (map == MAP_FAILED)
        die(path, -errno);
    close(fd);
    generator = map;
}

static void calibrate(void)
{
    uint64_t ticks = rte_rdtsc(), ns = clock_ns();

    sleep_us(200000);
    ns_per_tick = (double)(clock_ns() - ns) / (double)(rte_rdtsc() - ticks);
}

static double ns_since(uint64_t start, uint64_t tsc)
{
    return tsc > start ? (double)(tsc - start) * ns_per_tick : 0;
}

/* PATH, NUL, value: the payload of a WRITE. */
static size_t write_payload(char *payload, size_t size, const char *path, int mark)
{
    size_t used = strlen(path) + 1;

    memcpy(payload, path, used);
    return used + (size_t)snprintf(payload + used, size - used,
                                   "02:%02x:%02x:%02x:%02x:%02x static", mark, mark, mark, mark,
                                   mark);
}

static void forget(int mark)
{
    generator->count[mark] = generator->first[mark] = generator->last[mark] = 0;
}

static void wait_for(int mark, uint64_t start)
{
    while (generator->first[mark] == 0)
        if (ns_since(start, rte_rdtsc()) > PATIENCE_S * 1e9)
            die("no frame with the new address", -ETIMEDOUT);
        else
            sleep_us(50);
}

static void change_one(struct ns_client *client, const char *path, int old, int new, long gap_us)
{
    char payload[512];
    size_t size = write_payload(payload, sizeof(payload), path, new);
    const char *data;
    uint64_t start, replied;
    int error;

    forget(new);
    start = rte_rdtsc();
    error = ns_client_send(client, NS_WIRE_WRITE, 0, payload, size);
    if (error == 0)
        error = ns_client_receive(client, &data, &size);
    replied = rte_rdtsc();
    if (error < 0)
        die(ns_client_reason(client), error);
    wait_for(new, start);
    sleep_us(gap_us);
    printf("%.0f %.0f %.0f\n", ns_since(start, replied), ns_since(start, generator->first[new]),
           ns_since(start, generator->last[old]));
}

static struct ns_client *open_ring(struct ns_client *monitor)
{
    static struct ns_guest_ring ring;
    struct ns_client *client = NULL;
    int error = ns_guest_ring_new(&ring);

    if (error == 0)
        error = ns_guest_ring_introduce(monitor, &ring, 0, -1);
    if (error == 0)
        error = ns_client_open_ring(&ring, &client);
    if (error < 0)
        die("ring", error);
    return client;
}

static void change_many(struct ns_client *client, const char *path, long count, long window)
{
    uint64_t start = clock_ns();
    char payload[2][512];
    size_t sizes[2], size;
    const char *data;
    int error = 0;

    for (int i = 0; i < 2; i++)
        sizes[i] = write_payload(payload[i], sizeof(payload[i]), path, i == 0 ? MARK_A : MARK_B);
    for (long sent = 0, received = 0; received < count && error == 0; received++) {
        for (; sent < count && sent < received + window && error == 0; sent++)
            error = ns_client_send(client, NS_WIRE_WRITE, 0, payload[sent % 2], sizes[sent % 2]);
        if (error == 0)
            error = ns_client_receive(client, &data, &size);
    }
    if (error < 0)
        die(path, error);
    printf("%ld %.6f\n", count, (double)(clock_ns() - start) / 1e9);
}

int main(int argc, char **argv)
{
    struct ns_client *client, *monitor;
    long count, number;
    int error;

    if (argc != 7 || (strcmp(argv[1], "one") != 0 && strcmp(argv[1], "ring") != 0 &&
                      strcmp(argv[1], "many") != 0)) {
        fprintf(stderr, "usage: change one|ring|many SOCKET GENERATOR PATH COUNT GAP_US|WINDOW\n");
        return 2;
    }
    map_generator(argv[3]);
    error = ns_client_open(argv[2], &monitor);
    if (error < 0)
        die(argv[2], error);
    client = strcmp(argv[1], "ring") == 0 ? open_ring(monitor) : monitor;
    count = atol(argv[5]);
    number = atol(argv[6]);
    calibrate();
    if (strcmp(argv[1], "many") == 0)
        change_many(client, argv[4], count, number);
    else
        for (long i = 0; i < count; i++)
            change_one(client, argv[4], i % 2 == 0 ? MARK_A : MARK_B, i % 2 == 0 ? MARK_B : MARK_A,
                       number);
    if (client != monitor)
        ns_client_close(client);
    ns_client_close(monitor);
    return 0;
}
