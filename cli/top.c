/* SPDX-License-Identifier: BSD-3-Clause */
/* top: a live status, made of two readings of /stats and the time between them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/json.h"
#include "cli/tree.h"
#include "cli/verbs.h"

enum { INTERVAL_MS = 1000, TIMES_MAX = 320 };

/* One look. */
struct look {
    struct node stats;
    struct node ports; /* /port: links */
    int64_t at_ms;
};

/* How many commits took less than so many nanoseconds, and not less than the end before. */
struct times {
    bool recent; /* those between two looks; else all */
    size_t count;
    double ends[TIMES_MAX], counts[TIMES_MAX], sum;
};

/* The value at a path of names below a node: "store/commits". */
static const char *text_at(const struct node *node, const char *path)
{
    while (node != NULL && *path != '\0') {
        char *name = must(strndup(path, strcspn(path, "/")));

        node = node_child(node, name);
        path += strlen(name);
        path += *path == '/';
        free(name);
    }
    return node != NULL && node->value != NULL ? node->value : "0";
}

static double number_at(const struct look *look, const char *path)
{
    return strtod(text_at(&look->stats, path), NULL);
}

/* By how much a counter rises in a second. */
static double rate(const struct look *before, const struct look *now, const char *path)
{
    double seconds = (double)(now->at_ms - before->at_ms) / 1000;
    double rise = number_at(now, path) - number_at(before, path);

    return seconds <= 0 || rise < 0 ? 0 : rise / seconds;
}

static double port_rate(const struct look *before, const struct look *now, const char *port,
                        const char *counter)
{
    char *path = must_printf("port/%s/%s", port, counter);
    double result = rate(before, now, path);

    free(path);
    return result;
}

/* The sum of all reasons. */
static double drop_rate(const struct look *before, const struct look *now)
{
    const struct node *drops = node_child(node_child(&now->stats, "total"), "drop");
    double sum = 0;

    for (size_t i = 0; drops != NULL && i < drops->count; i++) {
        char *path = must_printf("total/drop/%s", drops->children[i].name);

        sum += rate(before, now, path);
        free(path);
    }
    return sum;
}

static void make_printable(struct look *look)
{
    tree_make_printable(&look->stats);
    tree_make_printable(&look->ports);
}

static int take_look(struct session *session, struct look *look)
{
    int rc = tree_read(session, 0, "/stats", 8, &look->stats);

    look->at_ms = now_ms();
    if (rc == 0 && tree_read(session, 0, "/port", 2, &look->ports) != 0)
        look->ports = (struct node){.name = NULL};
    if (rc == 0 && !session->json)
        make_printable(look);
    return rc;
}

static void free_look(struct look *look)
{
    tree_free(&look->stats);
    tree_free(&look->ports);
}

/* ---- from commit to applied ---- */

/* The histogram of one look: upper ends and counts. NULL value: there is none. */
static struct node histogram_of(const struct look *look)
{
    struct node histogram;

    if (tree_parse_json(text_at(&look->stats, "apply/histogram"), &histogram) != 0)
        return (struct node){.name = NULL};
    return histogram;
}

static double count_in(const struct node *histogram, const char *end)
{
    for (size_t i = 0; i < histogram->count; i++) {
        const struct node *pair = &histogram->children[i];

        if (pair->count == 2 && strcmp(pair->children[0].value, end) == 0)
            return strtod(pair->children[1].value, NULL);
    }
    return 0;
}

/* What was added between the looks; if nothing was, all since the daemon started. */
static struct times times_between(const struct look *before, const struct look *now)
{
    struct node old = histogram_of(before), all = histogram_of(now);
    struct times times = {.count = 0};

    times.recent = number_at(now, "apply/count") > number_at(before, "apply/count");
    for (size_t i = 0; i < all.count && i < TIMES_MAX; i++) {
        const struct node *pair = &all.children[i];

        if (pair->count != 2)
            continue;
        times.ends[times.count] = strtod(pair->children[0].value, NULL);
        times.counts[times.count] = strtod(pair->children[1].value, NULL);
        if (times.recent)
            times.counts[times.count] -= count_in(&old, pair->children[0].value);
        times.sum += times.counts[times.count++];
    }
    tree_free(&old);
    tree_free(&all);
    return times;
}

/* Microseconds that this share of the commits did not exceed. */
static double percentile(const struct times *times, double share)
{
    double sum = 0;

    for (size_t i = 0; i < times->count; i++) {
        sum += times->counts[i];
        if (sum > 0 && sum >= times->sum * share)
            return times->ends[i] / 1000;
    }
    return 0;
}

static double worker_rise(const struct look *before, const struct look *now, const char *worker,
                          const char *what)
{
    char *path = must_printf("apply/lcore/%s/%s", worker, what);
    double rise = number_at(now, path) - (before != NULL ? number_at(before, path) : 0);

    free(path);
    return rise;
}

/* The worker that took longest on the mean, and how long, in microseconds; NULL: there is none. */
static const char *slowest(const struct look *before, const struct look *now, double *mean_us)
{
    const struct node *workers = node_child(node_child(&now->stats, "apply"), "lcore");
    const char *found = NULL;

    *mean_us = 0;
    for (size_t i = 0; workers != NULL && i < workers->count; i++) {
        const char *worker = workers->children[i].name;
        double count = worker_rise(before, now, worker, "count");
        double us = count > 0 ? worker_rise(before, now, worker, "sum_ns") / count / 1000 : 0;

        if (us <= *mean_us)
            continue;
        *mean_us = us;
        found = worker;
    }
    return found;
}

/* Flows that were told of a change: followed a new record, or looked again. */
static double told_rate(const struct look *before, const struct look *now)
{
    return rate(before, now, "moved") + rate(before, now, "total/flow/told");
}

/* ---- for people ---- */

static void print_bars(const struct times *times)
{
    static const char bar[] = "########################################";
    double most = 0, sum = 0;

    for (size_t i = 0; i < times->count; i++)
        most = times->counts[i] > most ? times->counts[i] : most;
    for (size_t i = 0; i < times->count; i++) {
        sum += times->counts[i];
        if (times->counts[i] > 0)
            printf("  < %9.1f us %8.0f %5.1f %% %.*s\n", times->ends[i] / 1000, times->counts[i],
                   sum * 100 / times->sum, (int)(times->counts[i] * 40 / most), bar);
    }
}

static void print_apply(const struct look *before, const struct look *now)
{
    struct times times = times_between(before, now);
    double mean;
    const char *worker = slowest(times.recent ? before : NULL, now, &mean);

    printf("notices/s %.0f, coalesced/s %.0f, flows told/s %.0f\n",
           rate(before, now, "store/notices"), rate(before, now, "store/notices_coalesced"),
           told_rate(before, now));
    if (times.sum <= 0)
        return;
    printf("commit to applied (%.0f commits%s): p50 %.1f us, p90 %.1f us, p99 %.1f us", times.sum,
           times.recent ? "" : " since the start", percentile(&times, 0.5), percentile(&times, 0.9),
           percentile(&times, 0.99));
    if (worker != NULL)
        printf("; slowest: worker %s, %.1f us on the mean", worker, mean);
    putchar('\n');
    print_bars(&times);
}

static void print_last(const struct look *now)
{
    double applied = number_at(now, "last/applied_us"), at = number_at(now, "last/time");
    time_t seconds = (time_t)at;
    char clock[16] = "";
    struct tm tm;

    if (at <= 0)
        return;
    strftime(clock, sizeof(clock), "%T", localtime_r(&seconds, &tm));
    printf("last change: version %s at %s.%03d", text_at(&now->stats, "last/number"), clock,
           (int)((at - (double)seconds) * 1000));
    if (applied > 0)
        printf(", applied after %.1f us", applied);
    putchar('\n');
}

static void print_ports(const struct look *before, const struct look *now)
{
    printf("\n%-15s %-5s %12s %12s %10s %10s %10s\n", "port", "link", "rx/s", "tx/s", "rx Mbit/s",
           "tx Mbit/s", "dropped/s");
    for (size_t i = 0; i < now->ports.count; i++) {
        const struct node *port = &now->ports.children[i];
        const char *link = node_text(port, "link");

        printf("%-15s %-5s %12.0f %12.0f %10.2f %10.2f %10.0f\n", port->name,
               *link != '\0' ? link : "-", port_rate(before, now, port->name, "rx_packets"),
               port_rate(before, now, port->name, "tx_packets"),
               port_rate(before, now, port->name, "rx_bytes") * 8 / 1e6,
               port_rate(before, now, port->name, "tx_bytes") * 8 / 1e6,
               port_rate(before, now, port->name, "tx_dropped"));
    }
}

static double worker_rate(const struct look *before, const struct look *now, const char *worker,
                          const char *what)
{
    char *path = must_printf("lcore/%s/%s", worker, what);
    double result = rate(before, now, path);

    free(path);
    return result;
}

static void print_workers(const struct look *before, const struct look *now)
{
    const struct node *workers = node_child(&now->stats, "lcore");
    double hz = number_at(now, "tsc_hz");

    if (workers == NULL || workers->count == 0)
        return;
    printf("\n%-15s %5s %12s %12s %12s %10s %10s\n", "worker", "busy", "packets/s", "spread out/s",
           "spread in/s", "notices/s", "flows");
    for (size_t i = 0; i < workers->count; i++) {
        const struct node *worker = &workers->children[i];
        double cycles = worker_rate(before, now, worker->name, "busy_cycles");

        printf("%-15s %3.0f %% %12.0f %12.0f %12.0f %10.0f %10s\n", worker->name,
               hz > 0 ? cycles * 100 / hz : 0, worker_rate(before, now, worker->name, "packets"),
               worker_rate(before, now, worker->name, "spread_out"),
               worker_rate(before, now, worker->name, "spread_in"),
               worker_rate(before, now, worker->name, "notices"), text_at(worker, "flow/flows"));
    }
}

static void print_status(const struct look *before, const struct look *now)
{
    printf("kedged %s, up %.0f s\n", text_at(&now->stats, "version"), number_at(now, "uptime"));
    printf("flows %.0f, neighbours %.0f, stations %.0f, routes %.0f\n",
           number_at(now, "total/flow/flows"), number_at(now, "neighbours/entries"),
           number_at(now, "stations/entries"), number_at(now, "routes/count"));
    printf("packets/s %.0f, dropped/s %.0f, changes/s %.1f, flows moved/s %.0f\n",
           rate(before, now, "total/packets"), drop_rate(before, now),
           rate(before, now, "store/commits"), rate(before, now, "moved"));
    print_last(now);
    print_apply(before, now);
    print_workers(before, now);
    if (now->ports.count > 0)
        print_ports(before, now);
}

/* ---- JSON ---- */

static void print_json_ports(const struct look *before, const struct look *now)
{
    static const char *const counters[] = {"rx_packets", "tx_packets", "rx_bytes", "tx_bytes",
                                           "tx_dropped"};

    for (size_t i = 0; i < now->ports.count; i++) {
        const struct node *port = &now->ports.children[i];

        fputs(i == 0 ? "" : ",", stdout);
        json_string(stdout, port->name);
        fputs(":{\"link\":", stdout);
        json_string(stdout, node_text(port, "link"));
        for (size_t j = 0; j < sizeof(counters) / sizeof(counters[0]); j++)
            printf(",\"%s\":%.1f", counters[j], port_rate(before, now, port->name, counters[j]));
        putchar('}');
    }
}

static void print_json_workers(const struct look *before, const struct look *now)
{
    static const char *const counters[] = {"packets",   "routed",  "spread_out",
                                           "spread_in", "notices", "busy_cycles"};
    const struct node *workers = node_child(&now->stats, "lcore");

    for (size_t i = 0; workers != NULL && i < workers->count; i++) {
        const struct node *worker = &workers->children[i];

        printf("%s\"%s\":{\"flows\":%s", i == 0 ? "" : ",", worker->name,
               text_at(worker, "flow/flows"));
        for (size_t j = 0; j < sizeof(counters) / sizeof(counters[0]); j++)
            printf(",\"%s\":%.1f", counters[j],
                   worker_rate(before, now, worker->name, counters[j]));
        putchar('}');
    }
}

static void print_json_apply(const struct look *before, const struct look *now)
{
    struct times times = times_between(before, now);
    double mean;
    const char *worker = slowest(times.recent ? before : NULL, now, &mean);

    printf("\"notices\":%.1f,\"coalesced\":%.1f,\"told\":%.1f,", rate(before, now, "store/notices"),
           rate(before, now, "store/notices_coalesced"), told_rate(before, now));
    printf("\"apply\":{\"commits\":%.0f,\"recent\":%s,\"p50_us\":%.1f,\"p90_us\":%.1f,"
           "\"p99_us\":%.1f,\"histogram\":[",
           times.sum, times.recent ? "true" : "false", percentile(&times, 0.5),
           percentile(&times, 0.9), percentile(&times, 0.99));
    for (size_t i = 0; i < times.count; i++)
        printf("%s[%.3f,%.0f]", i == 0 ? "" : ",", times.ends[i] / 1000, times.counts[i]);
    putchar(']');
    if (worker != NULL)
        printf(",\"slowest\":%s,\"slowest_mean_us\":%.1f", worker, mean);
    fputs("},\"lcore\":{", stdout);
    print_json_workers(before, now);
    fputs("},", stdout);
}

/* Rates, a second; one object a line. */
static void print_json(const struct look *before, const struct look *now)
{
    printf("{\"uptime\":%.0f,\"flows\":%.0f,\"neighbours\":%.0f,\"stations\":%.0f,\"routes\":%.0f,",
           number_at(now, "uptime"), number_at(now, "total/flow/flows"),
           number_at(now, "neighbours/entries"), number_at(now, "stations/entries"),
           number_at(now, "routes/count"));
    printf("\"packets\":%.1f,\"drop\":%.1f,\"commits\":%.1f,\"moved\":%.1f,",
           rate(before, now, "total/packets"), drop_rate(before, now),
           rate(before, now, "store/commits"), rate(before, now, "moved"));
    print_json_apply(before, now);
    printf("\"last\":{\"number\":%s,\"time\":%s,\"applied_us\":%.1f},\"port\":{",
           text_at(&now->stats, "last/number"), text_at(&now->stats, "last/time"),
           number_at(now, "last/applied_us"));
    print_json_ports(before, now);
    puts("}}");
}

static void print_look(const struct session *session, const struct look *before,
                       const struct look *now)
{
    bool terminal = !session->json && !session->once && isatty(STDOUT_FILENO);

    if (terminal)
        fputs("\033[H\033[2J", stdout);
    if (session->json)
        print_json(before, now);
    else
        print_status(before, now);
    if (!terminal && !session->json && !session->once)
        putchar('\n');
}

/* Rates need two looks, also where one status is wanted. */
int do_top(struct session *session, const char *const *words, size_t count)
{
    unsigned ms = session->interval_ms > 0 ? session->interval_ms : INTERVAL_MS;
    struct timespec interval = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};
    struct look before, now;
    int rc;

    if (count > 0)
        return usage("\"%s\" is too much: top takes --interval and --once", words[0]);
    if (!session_open(session))
        return EXIT_REFUSED;
    end_on_signals();
    rc = take_look(session, &before);
    for (bool again = true; rc == 0 && again; again = rc == 0 && !session->once) {
        nanosleep(&interval, NULL);
        rc = take_look(session, &now);
        if (rc != 0)
            break;
        print_look(session, &before, &now);
        if (fflush(stdout) != 0)
            rc = -EPIPE;
        free_look(&before);
        before = now;
    }
    if (rc == 0)
        free_look(&before);
    return rc == 0 ? EXIT_DONE : session_refused(session, "/stats", rc);
}
