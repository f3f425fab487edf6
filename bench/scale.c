/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The push at scale, inside one process: bench/scale [--flows N] [--routes N] [--rounds N] [--share PERCENT]
 * FIGURE...
 *
 * The control core runs on CPU 0, one lcore on CPU 1 (see bench/world.h). Figures:
 *
 *   memory    bytes of memory for a flow, and for a name
 *   changes   commits a second by the control core while the lcore forwards, and what that costs it
 *   routes    one transaction that adds N routes; one that replaces them all; deleting single ones that
 *             one flow follows
 *   told      flows told of a change in a second by an lcore that has nothing else to do
 *   rebound   from just before a commit until the last flow concerned is bound anew, for 1,000 flows concerned of
 *             all, for 100,000 and so on; and the dip in forwarding meanwhile
 *   shares    the same for routes only, with several shares of the lcore's time for it (or --share)
 *   stopped   memory that waits while the lcore stands still and the control core goes on
 *
 * A dip is the median over pairs, three for each round: packets in a second of the lcore's own CPU time while it has
 * something to tell, beside those of a stretch before it and one behind. The interval beside it holds the median with
 * 95 % (binomial, without any assumption about how the pairs are spread).
 */
#include <getopt.h>
#include <math.h>
#include <unistd.h>

#include "bench/world.h"
#include "flows/listener.h"

enum {
    SAMPLES_MAX = 8192,
    HOST_ROUTES = 1000,
    ROUTES_ROUNDS_MAX = 5,
    ROUTES_MEMORY = 2 << 20, /* KiB: more than 1,000,000 routes take */
    CHANGES_PACED = 10000
};

static struct {
    uint32_t flows, routes, rounds, share;
} options = {.flows = 1000000, .routes = 1000000, .rounds = 5}; /* share: 0 if not given */

struct samples {
    double values[SAMPLES_MAX];
    size_t count;
};

static void add(struct samples *samples, double value)
{
    if (samples->count < SAMPLES_MAX)
        samples->values[samples->count++] = value;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static double percentile(struct samples *samples, double share)
{
    qsort(samples->values, samples->count, sizeof(double), compare);
    return samples->values[RTE_MIN(samples->count - 1, (size_t)(share * (double)samples->count))];
}

/* Does the median lie between these two of the sorted samples? With 95 %. */
static void interval(struct samples *samples, double *low, double *high)
{
    size_t count = samples->count,
           rank = (size_t)RTE_MAX(0.0, ((double)count - 1.96 * sqrt((double)count)) / 2);

    percentile(samples, 0.5);
    *low = samples->values[rank];
    *high = samples->values[count - 1 - rank];
}

static void result(const char *name, double value, const char *unit, const char *keys)
{
    printf("BENCH %s %.6g %s%s%s\n", name, value, unit, *keys == 0 ? "" : " ", keys);
    fflush(stdout);
}

#define keys(...) (snprintf(key_text, sizeof(key_text), __VA_ARGS__), key_text)
static char key_text[256];

static size_t resident(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    unsigned long size = 0, pages = 0;

    if (file == NULL || fscanf(file, "%lu %lu", &size, &pages) != 2)
        must(-EIO, "/proc/self/statm");
    fclose(file);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* Seconds that a thread has run: what it takes where it is not alone on its CPU. */
static double cpu_of(pthread_t thread)
{
    struct timespec used;
    clockid_t clock;

    must(-pthread_getcpuclockid(thread, &clock), "clock");
    clock_gettime(clock, &used);
    return (double)used.tv_sec + (double)used.tv_nsec / 1e9;
}

/* One transaction of `count` names, made by text(). */
static uint64_t transaction(uint32_t count,
                            void (*text)(uint32_t i, char *path, size_t path_size, char *value))
{
    uint64_t start = clock_ns();
    struct ns_txn *txn;
    struct ns_reason reason = {.text = ""};
    char path[64], value[64];
    int rc;

    must(ns_txn_begin(world.store, &ns_identity_stack, &txn), "transaction");
    for (uint32_t i = 0; i < count; i++) {
        text(i, path, sizeof(path), value);
        must(*value == 0 ? ns_txn_remove(txn, path) : ns_txn_write(txn, path, value, strlen(value)),
             path);
    }
    rc = ns_txn_commit(txn, NULL, &reason);
    must(rc, reason.text);
    return clock_ns() - start;
}

/* ---- memory ---- */

static void neighbour_text(uint32_t i, char *path, size_t path_size, char *value)
{
    snprintf(path, path_size, "/neigh/e0/10.%u.%u.%u", 1 + (i >> 16), i >> 8 & 255, i & 255);
    snprintf(value, 64, "02:07:%02x:%02x:%02x:%02x static", i >> 24, i >> 16 & 255, i >> 8 & 255,
             i & 255);
}

static void memory(void)
{
    size_t before, names = options.routes;

    world_begin(0);
    before = resident();
    world_forward(options.flows, 1);
    result("push.bytes_per_flow", (double)(resident() - before) / options.flows, "bytes",
           keys("flows=%u", options.flows));
    fill(options.flows);
    before = resident();
    transaction((uint32_t)names, neighbour_text);
    while (world_round())
        ;
    rest(0.1);
    result("push.bytes_per_name", (double)(resident() - before) / (double)names, "bytes",
           keys("names=%zu", names));
    world_end();
}

/* ---- changes ---- */

/* Change a neighbour that every flow follows, for so long, at most `pace` times a second (0: as fast as it
 * goes). Returns how often it was in a second. */
static double change_for(double seconds, double pace)
{
    uint64_t start = clock_ns(), end = start + (uint64_t)(seconds * 1e9), commits = 0;
    char value[64];

    for (uint64_t now = start; now < end; now = clock_ns()) {
        if (pace == 0 || (double)commits < (double)(now - start) * pace / 1e9) {
            unsigned mark = 16 + commits++ % 64;

            snprintf(value, sizeof(value), "02:%02x:%02x:%02x:%02x:%02x static", mark, mark, mark,
                     mark, mark);
            set("/neigh/e0/10.0.0.5", value);
        }
        world_round();
    }
    return (double)commits / ((double)(clock_ns() - start) / 1e9);
}

static double rate_for(double seconds)
{
    uint64_t start = clock_ns(), before = packets();

    rest(seconds);
    return (double)(packets() - before) / ((double)(clock_ns() - start) / 1e9);
}

static double rate_under(double seconds, double pace, double *commits)
{
    uint64_t start = clock_ns(), before = packets();

    *commits = change_for(seconds, pace);
    return (double)(packets() - before) / ((double)(clock_ns() - start) / 1e9);
}

/* Alternating: without changes, with. */
static void measure_changes(double pace)
{
    struct samples drop = {.count = 0}, rate = {.count = 0};

    for (uint32_t round = 0; round < 4 * options.rounds; round++) {
        double commits, alone = rate_for(0.1), under = rate_under(0.1, pace, &commits);

        add(&rate, commits);
        add(&drop, 100 * (1 - under / alone));
    }
    if (pace == 0)
        result("push.changes_per_s", percentile(&rate, 0.5), "1/s",
               keys("flows=%u drop_percent=%.2f", options.flows, percentile(&drop, 0.5)));
    else
        result("push.forward_drop", percentile(&drop, 0.5), "%",
               keys("flows=%u changes_per_s=%.0f p25=%.2f p75=%.2f", options.flows,
                    percentile(&rate, 0.5), percentile(&drop, 0.25), percentile(&drop, 0.75)));
}

static void changes(void)
{
    world_begin(0);
    world.near = options.flows;
    world_forward(options.flows, 1);
    fill(options.flows);
    atomic_store(&world.forwarder->traffic, options.flows);
    rest(0.2);
    measure_changes(CHANGES_PACED);
    measure_changes(0);
    world_end();
}

/* ---- routes ---- */

static void route_text(uint32_t i, char *path, size_t path_size, char *value)
{
    snprintf(path, path_size, "/route/%u.%u.%u.0/24", 64 + (i >> 16), i >> 8 & 255, i & 255);
    strcpy(value, "via 10.0.0.5");
}

static void other_route_text(uint32_t i, char *path, size_t path_size, char *value)
{
    route_text(i, path, path_size, value);
    strcpy(value, "via 10.0.0.6");
}

/* Each has one flow. */
static void host_route_text(uint32_t i, char *path, size_t path_size, char *value)
{
    snprintf(path, path_size, "/route/16.0.%u.%u/32", i >> 8, i & 255);
    strcpy(value, "via 10.0.0.6");
}

/* From before the transaction begins until it is committed. */
static void delete_routes(struct samples *times)
{
    char path[64], value[64];

    transaction(HOST_ROUTES, host_route_text);
    applied(clock_ns());
    for (uint32_t i = 0; i < HOST_ROUTES; i++) {
        uint64_t start;

        rest(0.0005);
        host_route_text(i, path, sizeof(path), value);
        start = clock_ns();
        set(path, NULL);
        add(times, (double)(clock_ns() - start) / 1e3);
        applied(start);
    }
}

struct route_samples {
    struct samples added, cpu, deleted, replaced;
};

static void measure_routes(struct route_samples *samples)
{
    double cpu;

    world_begin(0);
    world.near = options.flows;
    world_forward(options.flows, 1);
    fill(options.flows);
    touch_memory((size_t)ROUTES_MEMORY << 10);
    cpu = cpu_of(pthread_self());
    add(&samples->added, (double)transaction(options.routes, route_text) / 1e9);
    add(&samples->cpu, cpu_of(pthread_self()) - cpu);
    delete_routes(&samples->deleted);
    touch_memory((size_t)ROUTES_MEMORY << 10);
    add(&samples->replaced, (double)transaction(options.routes, other_route_text) / 1e9);
    world_end();
}

static void routes(void)
{
    static struct route_samples samples;

    for (uint32_t round = 0; round < RTE_MIN(options.rounds, (uint32_t)ROUTES_ROUNDS_MAX); round++)
        measure_routes(&samples);
    result("push.routes_1m_s", percentile(&samples.added, 0.5), "s",
           keys("routes=%u cpu_s=%.3g range=%.3g..%.3g", options.routes,
                percentile(&samples.cpu, 0.5), percentile(&samples.added, 0),
                percentile(&samples.added, 1)));
    result("push.route_delete_us.p50", percentile(&samples.deleted, 0.5), "us",
           keys("routes=%u p99=%.3g", options.routes, percentile(&samples.deleted, 0.99)));
    result("push.routes_replaced_s", percentile(&samples.replaced, 0.5), "s",
           keys("routes=%u range=%.3g..%.3g", options.routes, percentile(&samples.replaced, 0),
                percentile(&samples.replaced, 1)));
}

/* ---- told, rebound ---- */

static void count_told(void *arg, const struct flow_change *change)
{
    *(uint64_t *)arg += change->moved;
}

/* Of a new route, by which each flow is bound anew; of a neighbour's new address, by a call to a listener. */
static void measure_told(const char *what, const char *path, const char *const *values)
{
    struct samples rates = {.count = 0}, own = {.count = 0};

    for (uint32_t round = 0; round < 4 * options.rounds; round++) {
        double cpu = cpu_of(world.forwarder->thread);
        uint64_t start = clock_ns();

        set(path, values[round % 2]);
        add(&rates, options.flows / ((double)applied(start) / 1e9));
        add(&own, options.flows / (cpu_of(world.forwarder->thread) - cpu));
    }
    result("push.told_per_s", percentile(&rates, 0.5), "1/s",
           keys("flows=%u change=%s best=%.4g per_cpu_s=%.4g", options.flows, what,
                percentile(&rates, 1), percentile(&own, 0.5)));
}

/* ---- what forwarding loses ---- */

struct stretch {
    uint64_t packets;
    double cpu;
};

static struct stretch stretch_begin(void)
{
    return (struct stretch){packets(), cpu_of(world.forwarder->thread)};
}

/* Packets in a second of the lcore's time since then: what others take of its CPU does not count. */
static double stretch_rate(struct stretch begin)
{
    double cpu = cpu_of(world.forwarder->thread) - begin.cpu;

    return (double)(packets() - begin.packets) / cpu;
}

static double rate_alone(double seconds)
{
    struct stretch begin = stretch_begin();

    rest(seconds);
    return stretch_rate(begin);
}

/* Of a change, one sample in a pair: ms until all flows have been told, the lcore's own part of them, and percent. */
struct dip {
    struct samples times, own, dips;
};

/* A change, made by change(arg), between two stretches without, about as long. */
static void measure_dip(struct dip *dip, void (*change)(void *arg), void *arg)
{
    double last = dip->times.count == 0 ? 0 : dip->times.values[dip->times.count - 1] / 1e3;
    double length = RTE_MIN(RTE_MAX(last / 2, 0.01), 0.5), alone = rate_alone(length), during, took,
           own;
    struct stretch begin = stretch_begin();
    uint64_t start = clock_ns();

    change(arg);
    took = (double)applied(start);
    own = cpu_of(world.forwarder->thread) - begin.cpu;
    during = stretch_rate(begin);
    alone = (alone + rate_alone(length)) / 2;
    if (!isfinite(alone) || !isfinite(during)) /* it did not run at all in one of them */
        return;
    add(&dip->own, 1e3 * own);
    add(&dip->dips, 100 * (1 - during / alone));
    add(&dip->times, took / 1e6);
}

static const char *dip_keys(struct dip *dip)
{
    static char text[128];
    double low, high;

    interval(&dip->dips, &low, &high);
    snprintf(text, sizeof(text),
             "dip_percent=%.1f interval=%.1f..%.1f pairs=%zu max=%.4g own_ms=%.4g",
             percentile(&dip->dips, 0.5), low, high, dip->dips.count, percentile(&dip->times, 1),
             percentile(&dip->own, 0.5));
    return text;
}

static void move_neighbour(void *round)
{
    char value[64];

    snprintf(value, sizeof(value), "02:%02x:00:00:00:01 static", 16 + *(uint32_t *)round % 200);
    set("/neigh/e0/10.0.0.5", value);
}

/* The same, told while the lcore forwards: what forwarding loses meanwhile, and how long it takes. */
static void measure_told_busy(void)
{
    static struct dip dip;

    atomic_store(&world.forwarder->traffic, options.flows);
    rest(0.2);
    for (uint32_t round = 0; round < 3 * options.rounds; round++)
        measure_dip(&dip, move_neighbour, &round);
    result("push.told_ms", percentile(&dip.times, 0.5), "ms",
           keys("flows=%u %s", options.flows, dip_keys(&dip)));
}

static void told(void)
{
    static const char *const routes[] = {"via 10.0.0.6", "via 10.0.0.5"};
    static const char *const neighbours[] = {"02:07:07:07:07:07 static",
                                             "02:08:08:08:08:08 static"};
    uint64_t sum = 0;

    world_begin(0);
    world.near = options.flows;
    world_forward(options.flows, 1);
    must(RTE_MIN(flow_listener_add(world.forwarder->table, count_told, &sum, true), 0), "listener");
    fill(options.flows);
    measure_told("neighbour", "/neigh/e0/10.0.0.5", neighbours);
    measure_told_busy();
    world_end();
    world_begin(0);
    world.near = options.flows;
    world_forward(options.flows, 1);
    fill(options.flows);
    measure_told("route", "/route/16.0.0.0/8", routes);
    world_end();
}

static void split_text(uint32_t i, char *path, size_t path_size, char *value)
{
    snprintf(path, path_size, "/route/16.%u.0.0/9", 128 * i);
    strcpy(value, "via 10.0.0.6");
}

static void join_text(uint32_t i, char *path, size_t path_size, char *value)
{
    split_text(i, path, path_size, value);
    *value = 0;
}

static void claim_text(uint32_t i, char *path, size_t path_size, char *value)
{
    static const char *const names[][2] = {{"match", "dst=16.0.0.0/8"}, {"action", "via 10.0.0.6"}};

    snprintf(path, path_size, "/flow/f/%s", names[i][0]);
    strcpy(value, names[i][1]);
}

static void unclaim_text(uint32_t i, char *path, size_t path_size, char *value)
{
    (void)i;
    snprintf(path, path_size, "/flow/f");
    *value = 0;
}

static const struct rebinding {
    const char *name;
    uint32_t count;
    void (*text)(uint32_t i, char *path, size_t path_size, char *value);
} rebindings[] = {{"more-specific", 2, split_text},
                  {"removed-route", 2, join_text},
                  {"definition", 2, claim_text},
                  {"removed-definition", 1, unclaim_text}};

static void make_rebinding(void *arg)
{
    const struct rebinding *rebinding = arg;

    transaction(rebinding->count, rebinding->text);
}

enum { ROUTES_ONLY = 2 }; /* the first of them */

static void measure_rebound(uint32_t near, size_t changes)
{
    struct dip *dips = calloc(changes, sizeof(*dips));

    must(dips == NULL ? -ENOMEM : 0, "samples");
    for (uint32_t round = 0; round < 3 * options.rounds; round++)
        for (size_t i = 0; i < changes; i++)
            measure_dip(&dips[i], make_rebinding, (void *)(uintptr_t)&rebindings[i]);
    for (size_t i = 0; i < changes; i++)
        result("push.rebound_ms", percentile(&dips[i].times, 0.5), "ms",
               keys("flows=%u of=%u change=%s share=%u %s", near, options.flows, rebindings[i].name,
                    world.share, dip_keys(&dips[i])));
    free(dips);
}

static void rebound_with(uint32_t share, size_t changes)
{
    for (uint32_t near = 1000; near <= options.flows; near *= near == 1000 ? 100 : 10) {
        world_begin(0);
        world.share = share;
        world.near = near;
        world_forward(options.flows, 1);
        fill(options.flows);
        atomic_store(&world.forwarder->traffic, options.flows);
        rest(0.2);
        measure_rebound(near, changes);
        world_end();
    }
}

static void rebound(void)
{
    rebound_with(options.share == 0 ? WORLD_SHARE : options.share, RTE_DIM(rebindings));
}

static void shares(void)
{
    static const uint32_t percent[] = {5, 10, 20, 50};

    if (options.share != 0)
        rebound_with(options.share, ROUTES_ONLY);
    for (size_t i = 0; i < RTE_DIM(percent) && options.share == 0; i++)
        rebound_with(percent[i], ROUTES_ONLY);
}

/* ---- an lcore that stands still ---- */

static void stopped(void)
{
    struct ns_store_counters counters;
    uint64_t refused = 0, commits = 0, end;
    size_t most = 0;

    world_begin(64 << 20);
    world.near = options.flows;
    world_forward(options.flows, 1);
    fill(options.flows);
    atomic_store(&world.forwarder->frozen, true);
    for (end = clock_ns() + 1000000000; clock_ns() < end;) {
        char value[64];

        snprintf(value, sizeof(value), "02:%02lx:00:00:00:01 static", commits % 200);
        if (ns_store_put(world.store, "/neigh/e0/10.0.0.5", value) == 0)
            commits++;
        else
            refused++;
        world_round();
        ns_store_counters(world.store, &counters);
        most = RTE_MAX(most, counters.waiting_bytes);
    }
    atomic_store(&world.forwarder->frozen, false);
    rest(0.2);
    set("/neigh/e0/10.0.0.5", "02:05:05:05:05:05 static");
    ns_store_counters(world.store, &counters);
    result("push.stopped_bytes", (double)most, "bytes",
           keys("limit=%d commits=%lu refused=%lu after=%lu", 64 << 20, commits, refused,
                counters.waiting_bytes));
    world_end();
}

static const struct {
    const char *name;
    void (*run)(void);
} figures[] = {{"memory", memory},   {"changes", changes}, {"routes", routes},  {"told", told},
               {"rebound", rebound}, {"shares", shares},   {"stopped", stopped}};

static void run(const char *name)
{
    for (size_t i = 0; i < RTE_DIM(figures); i++) {
        if (strcmp(figures[i].name, name) == 0) {
            figures[i].run();
            return;
        }
    }
    fprintf(stderr, "there is no figure %s\n", name);
    exit(2);
}

int main(int argc, char **argv)
{
    static const struct option longs[] = {{"flows", 1, NULL, 'f'},
                                          {"routes", 1, NULL, 'r'},
                                          {"rounds", 1, NULL, 'n'},
                                          {"share", 1, NULL, 's'},
                                          {NULL, 0, NULL, 0}};

    for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
        switch (c) {
        case 'f': options.flows = (uint32_t)atoi(optarg); break;
        case 'r': options.routes = (uint32_t)atoi(optarg); break;
        case 's': options.share = (uint32_t)atoi(optarg); break;
        case 'n': options.rounds = (uint32_t)atoi(optarg); break;
        default: return 2;
        }
    }
    pin(0);
    for (int i = optind; i < argc; i++)
        run(argv[i]);
    return 0;
}
