/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The client that measures Xenstore servers: raw requests on any Xenstore socket.
 *
 *     build/bench/names_client SOCKET FIGURE ARGUMENT...
 *
 * It prints lines 'NAME VALUE' for the harness, bench/servers.py, which says what the figures are for.
 * The nodes of a loaded store are /load/D/N with 100 to each D, and values of 16 bytes.
 */
#include "bench/requests.h"

enum { WIDTH = 100, DEPTH = 64, VALUE_SIZE = 16, CHILD_SIZE = 8 };
#define VALUE "0123456789abcdef"

static struct batch batch;
static uint64_t samples[1 << 20];

static unsigned long number(const char *text)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);

    if (*text == '\0' || *end != '\0')
        die("'%s' is no number", text);
    return value;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static void print_rate(uint64_t count, uint64_t nanoseconds)
{
    printf("rate %.1f\n", (double)count * 1e9 / (double)nanoseconds);
}

/* One of samples[], in microseconds. */
static double sample_us(size_t index)
{
    return (double)samples[index] / 1e3;
}

/* Of samples[]. */
static void print_latencies(size_t count)
{
    qsort(samples, count, sizeof(samples[0]), compare);
    printf("p50 %.3f\n", sample_us(count / 2));
    printf("p99 %.3f\n", sample_us(count * 99 / 100));
    printf("p999 %.3f\n", sample_us(count * 999 / 1000));
    printf("max %.3f\n", sample_us(count - 1));
}

static size_t sample_count(const char *text)
{
    unsigned long count = number(text);

    if (count == 0 || count > sizeof(samples) / sizeof(samples[0]))
        die("%s operations can't be sampled", text);
    return count;
}

static const char *node_path(char *path, unsigned long node)
{
    sprintf(path, "/load/%lu/n%02lu", node / WIDTH, node % WIDTH);
    return path;
}

/* A number that looks random; all below `limit` come, each once, if it is a power of ten. */
static unsigned long scattered(unsigned long i, unsigned long limit)
{
    return (i * 7919 + 17) % limit;
}

/* ---- one name, many requests ---- */

static void add_one(struct batch *to, bool write)
{
    batch_add(to, write ? NS_WIRE_WRITE : NS_WIRE_READ, 0, "/bench/one", VALUE,
              write ? VALUE_SIZE : 0);
}

static bool is_write(const char *text)
{
    if (strcmp(text, "read") != 0 && strcmp(text, "write") != 0)
        die("'%s' is neither read nor write", text);
    return *text == 'w';
}

/* read|write IN_FLIGHT COUNT: so many requests are sent at once, and the next when all are answered. */
static void run_flight(struct link *link, char **arguments)
{
    bool write = is_write(arguments[0]);
    unsigned long depth = number(arguments[1]), count = number(arguments[2]) / depth;
    uint64_t start;

    request(link, &batch, NS_WIRE_WRITE, "/bench/one", VALUE, VALUE_SIZE);
    batch_reset(&batch);
    for (unsigned long i = 0; i < depth; i++)
        add_one(&batch, write);
    for (unsigned long i = 0; i < count / 10; i++)
        batch_run(link, &batch);
    start = clock_ns();
    for (unsigned long i = 0; i < count; i++)
        batch_run(link, &batch);
    print_rate(count * depth, clock_ns() - start);
}

/* ---- transactions ---- */

static uint32_t begin(struct link *link)
{
    struct ns_wire_header header;

    batch_reset(&batch);
    batch_add(&batch, NS_WIRE_TRANSACTION_START, 0, "", NULL, 0);
    batch_send(link, &batch);
    return (uint32_t)number(link_reply(link, &header));
}

static void add_txn(uint32_t tx, unsigned long reads, unsigned long writes)
{
    char path[64];

    batch_reset(&batch);
    for (unsigned long i = 0; i < reads + writes; i++) {
        sprintf(path, "/bench/txn/n%lu", i);
        batch_add(&batch, i < reads ? NS_WIRE_READ : NS_WIRE_WRITE, tx, path, VALUE,
                  i < reads ? 0 : VALUE_SIZE);
    }
    batch_add(&batch, NS_WIRE_TRANSACTION_END, tx, "T", NULL, 0);
}

/* READS WRITES COUNT: two round trips each, one for the start and one for all the rest. */
static void run_txn(struct link *link, char **arguments)
{
    unsigned long reads = number(arguments[0]), writes = number(arguments[1]),
                  count = number(arguments[2]);
    uint64_t start;

    add_txn(begin(link), 0, reads + writes);
    batch_run(link, &batch);
    start = clock_ns();
    for (unsigned long i = 0; i < count; i++) {
        add_txn(begin(link), reads, writes);
        batch_run(link, &batch);
    }
    print_rate(count, clock_ns() - start);
}

/* ---- many nodes ---- */

/* FIRST COUNT: writes the nodes, 64 in flight. */
static void run_load(struct link *link, char **arguments)
{
    unsigned long node = number(arguments[0]), end = node + number(arguments[1]);
    uint64_t start = clock_ns(), count = end - node;
    char path[64];

    while (node < end) {
        batch_reset(&batch);
        for (int i = 0; i < DEPTH && node < end; i++, node++)
            batch_add(&batch, NS_WIRE_WRITE, 0, node_path(path, node), VALUE, VALUE_SIZE);
        batch_run(link, &batch);
    }
    print_rate(count, clock_ns() - start);
}

/* Time one request. */
static uint64_t timed(struct link *link, uint32_t type, const char *path, size_t value_size)
{
    uint64_t start = clock_ns();

    request(link, &batch, type, path, VALUE, value_size);
    return clock_ns() - start;
}

/* NODES COUNT: among that many, create new ones beside others, overwrite, remove the new ones. */
static void run_change(struct link *link, char **arguments)
{
    static const char *const names[] = {"create", "overwrite", "remove"};
    unsigned long nodes = number(arguments[0]);
    size_t count = sample_count(arguments[1]);
    char path[64];

    for (int step = 0; step < 3; step++) {
        for (size_t i = 0; i < count; i++) {
            node_path(path, scattered(i, nodes));
            if (step != 1)
                sprintf(path + strlen(path), "x%zu", i);
            samples[i] = timed(link, step == 2 ? NS_WIRE_RM : NS_WIRE_WRITE, path,
                               step == 2 ? 0 : VALUE_SIZE);
        }
        qsort(samples, count, sizeof(samples[0]), compare);
        printf("%s %.3f\n", names[step], sample_us(count / 2));
    }
}

/* NODES COUNT: overwrite, one after the other. */
static void run_worst(struct link *link, char **arguments)
{
    unsigned long nodes = number(arguments[0]);
    size_t count = sample_count(arguments[1]);
    char path[64];

    for (size_t i = 0; i < count; i++)
        samples[i] = timed(link, NS_WIRE_WRITE, node_path(path, scattered(i, nodes)), VALUE_SIZE);
    print_latencies(count);
}

/* Nothing: remove all that was loaded. */
static void run_unload(struct link *link, char **arguments)
{
    (void)arguments;
    printf("p50 %.3f\n", (double)timed(link, NS_WIRE_RM, "/load", 0) / 1e3);
}

/* ---- watches ---- */

/* Watch a name, or as many names as watches. */
static void add_watches(struct link *link, const char *path, bool own_name, unsigned long count)
{
    char name[64], token[32];

    for (unsigned long i = 0; i < count;) {
        batch_reset(&batch);
        for (int j = 0; j < DEPTH && i < count; j++, i++) {
            int size = sprintf(token, "t%lu", i);

            snprintf(name, sizeof(name), own_name ? "%s/%lu" : "%s", path, i);
            batch_add(&batch, NS_WIRE_WATCH, 0, name, token, (size_t)size + 1);
        }
        batch_run(link, &batch);
    }
}

static void take_events(struct link *link, unsigned long count)
{
    struct ns_wire_header header;

    while (count > 0) {
        link_message(link, &header);
        count -= header.type == NS_WIRE_WATCH_EVENT;
    }
}

/* Pass over what the server has still to say about the watches being new. */
static void settle(struct link *link)
{
    usleep(100000);
    request(link, &batch, NS_WIRE_READ, "/", NULL, 0);
    usleep(100000);
    while (recv(link->fd, link->input, INPUT_SIZE, MSG_DONTWAIT) > 0)
        ;
    link->start = link->end = 0;
}

/* WATCHES COUNT: from a write until the last event, all watches of one connection on one node. */
static void run_fanout(struct link *link, char **arguments, const char *socket)
{
    unsigned long watches = number(arguments[0]);
    size_t count = sample_count(arguments[1]);
    struct link *watcher = link_open(socket);

    request(link, &batch, NS_WIRE_WRITE, "/bench/watched", VALUE, VALUE_SIZE);
    add_watches(watcher, "/bench/watched", false, watches);
    settle(watcher);
    for (size_t i = 0; i < count; i++) {
        uint64_t start = clock_ns();

        batch_reset(&batch);
        batch_add(&batch, NS_WIRE_WRITE, 0, "/bench/watched", VALUE, VALUE_SIZE);
        batch_send(link, &batch);
        take_events(watcher, watches);
        samples[i] = clock_ns() - start;
        link_replies(link, 1);
    }
    link_close(watcher);
    print_latencies(count);
}

/* WATCHES COUNT: what a write costs while another connection watches so many other names. */
static void run_elsewhere(struct link *link, char **arguments, const char *socket)
{
    size_t count = sample_count(arguments[1]);
    struct link *watcher = link_open(socket);

    add_watches(watcher, "/bench/elsewhere", true, number(arguments[0]));
    settle(watcher);
    for (size_t i = 0; i < count; i++)
        samples[i] = timed(link, NS_WIRE_WRITE, "/bench/one", VALUE_SIZE);
    link_close(watcher);
    print_latencies(count);
}

/* ---- listing ---- */

static void make_children(struct link *link, unsigned long children)
{
    char path[64];

    for (unsigned long i = 0; i < children;) {
        batch_reset(&batch);
        for (int j = 0; j < DEPTH && i < children; j++, i++) {
            sprintf(path, "/bench/wide/n%06lu", i);
            batch_add(&batch, NS_WIRE_WRITE, 0, path, "", 0);
        }
        batch_run(link, &batch);
    }
}

static void ask_part(struct batch *to, size_t offset)
{
    char text[24];
    int size = sprintf(text, "%zu", offset);

    batch_add(to, NS_WIRE_DIRECTORY_PART, 0, "/bench/wide", text, (size_t)size + 1);
}

/* Take a part: its bytes of the list go to list + offset. *last: the list ends with it. Returns the
 * offset behind it. */
static size_t take_part(struct link *link, char *list, size_t offset, bool *last)
{
    struct ns_wire_header header;
    const char *payload = link_reply(link, &header);
    size_t skip = strlen(payload) + 1, size = header.size - skip;

    *last = size > 0 && payload[header.size - 1] == '\0' &&
            (size == 1 || payload[header.size - 2] == '\0');
    memcpy(list + offset, payload + skip, size - *last);
    return offset + size - *last;
}

/*
 * The list in parts, in two round trips or three: the first part tells how much of the list one carries,
 * and then the others are asked for all at once, each from a little before the end of the one before.
 */
static size_t list_in_parts(struct link *link, char *list, size_t expected)
{
    bool last;
    size_t have, step, asked;

    batch_reset(&batch);
    ask_part(&batch, 0);
    batch_send(link, &batch);
    have = take_part(link, list, 0, &last);
    step = have - 16;
    while (!last) {
        unsigned count = 0;

        batch_reset(&batch);
        for (asked = have; asked < expected || count == 0; asked += step, count++)
            ask_part(&batch, asked);
        batch_send(link, &batch);
        for (unsigned i = 0; i < count; i++) {
            size_t end = take_part(link, list, asked - (count - i) * step, &last);

            have = end > have ? end : have;
        }
        expected = have + 1;
    }
    return have;
}

/* One answer, or -1 if it does not fit into one. A server may also send more than a message has room
 * for; libxenstore closes the connection then, and we take it. */
static long list_at_once(struct link *link, char *list)
{
    struct ns_wire_header header;
    size_t have = 0;

    batch_reset(&batch);
    batch_add(&batch, NS_WIRE_DIRECTORY, 0, "/bench/wide", NULL, 0);
    batch_send(link, &batch);
    if (recv(link->fd, &header, sizeof(header), MSG_WAITALL) != sizeof(header))
        die("the server has closed the connection");
    while (have < header.size) {
        ssize_t got = recv(link->fd, list + have, header.size - have, 0);

        if (got <= 0)
            die("the server has closed the connection");
        have += (size_t)got;
    }
    return header.type == NS_WIRE_ERROR ? -1 : (long)have;
}

static void check_list(const char *list, size_t size, unsigned long children)
{
    char name[32];

    if (size != children * CHILD_SIZE)
        die("%zu bytes of names instead of %zu", size, (size_t)children * CHILD_SIZE);
    for (unsigned long i = 0; i < children; i++) {
        snprintf(name, sizeof(name), "n%06lu", i);
        if (memcmp(list + i * CHILD_SIZE, name, CHILD_SIZE) != 0)
            die("%s is not in its place in the list", name);
    }
}

/* CHILDREN COUNT: all names of a directory. */
static void run_list(struct link *link, char **arguments)
{
    unsigned long children = number(arguments[0]);
    size_t count = sample_count(arguments[1]), expected = children * CHILD_SIZE, size = 0;
    char *list = malloc(expected + NS_WIRE_PAYLOAD_MAX * 2);
    bool parts;

    make_children(link, children);
    parts = list_at_once(link, list) < 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t start = clock_ns();

        size = parts ? list_in_parts(link, list, expected) : (size_t)list_at_once(link, list);
        samples[i] = clock_ns() - start;
        check_list(list, size, children);
    }
    free(list);
    print_latencies(count);
}

/* ---- */

static const struct figure {
    const char *name;
    int arguments;
    void (*run)(struct link *link, char **arguments);
    void (*run_with_watcher)(struct link *link, char **arguments, const char *socket);
} figures[] = {
    {"flight", 3, run_flight, NULL}, {"txn", 3, run_txn, NULL},
    {"load", 2, run_load, NULL},     {"unload", 0, run_unload, NULL},
    {"change", 2, run_change, NULL}, {"worst", 2, run_worst, NULL},
    {"fanout", 2, NULL, run_fanout}, {"elsewhere", 2, NULL, run_elsewhere},
    {"list", 2, run_list, NULL},
};

int main(int argc, char **argv)
{
    struct link *link;

    for (size_t i = 0; argc >= 3 && i < sizeof(figures) / sizeof(figures[0]); i++) {
        if (strcmp(figures[i].name, argv[2]) != 0 || figures[i].arguments != argc - 3)
            continue;
        link = link_open(argv[1]);
        if (figures[i].run != NULL)
            figures[i].run(link, argv + 3);
        else
            figures[i].run_with_watcher(link, argv + 3, argv[1]);
        link_close(link);
        return EXIT_SUCCESS;
    }
    fprintf(stderr, "usage: names_client SOCKET FIGURE ARGUMENT...; bench/servers.py knows them\n");
    return 2;
}
