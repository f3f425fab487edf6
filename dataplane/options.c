/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The command line, by one table: name, what its argument is, where it goes, what it says in
 * --help.
 */
#include "dataplane/options.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/worker.h"

#define DEFAULT_SOCKET "/run/kedge/kedged.sock"

enum option_type {
    TYPE_FLAG,
    TYPE_TEXT,
    TYPE_NUMBER,
    TYPE_MODE,
    TYPE_LEVEL,
    TYPE_SYNC,
    TYPE_CPUS,
    TYPE_EAL,
    TYPE_VERSION,
    TYPE_HELP
};

struct option_row {
    const char *name;
    const char *argument; /* NULL: none */
    enum option_type type;
    size_t offset; /* in struct options */
    unsigned min, max;
    const char *help;
};

#define AT(field) offsetof(struct options, field)
#define MS_MAX    86400000u

static const struct option_row rows[] = {
    {"socket", "PATH", TYPE_TEXT, AT(socket), 0, 0, "control socket (" DEFAULT_SOCKET ")"},
    {"socket-mode", "MODE", TYPE_MODE, AT(socket_mode), 0, 0,
     "mode of the socket file, octal (0666: the permissions of names decide)"},
    {"socket-group", "GROUP", TYPE_TEXT, AT(socket_group), 0, 0,
     "group of the socket file; its members may write every name"},
    {"config", "FILE", TYPE_TEXT, AT(config), 0, 0, "commands to begin with, as one transaction"},
    {"journal", "PATH", TYPE_TEXT, AT(journal), 0, 0,
     "file, or folder, to keep names in, so that they survive a restart"},
    {"journal-sync", "WHEN", TYPE_SYNC, AT(journal_sync), 0, 0,
     "what is written is on the disk: off (when the system likes), soon (within a second) or reply "
     "(before the client's reply) (soon)"},
    {"check", NULL, TYPE_FLAG, AT(check), 0, 0,
     "only read the configuration and say what is wrong"},
    {"json", NULL, TYPE_FLAG, AT(json), 0, 0, "with --check: say it in JSON, an object a line"},
    {"names-only", NULL, TYPE_FLAG, AT(names_only), 0, 0,
     "serve names, forward nothing, start no DPDK"},
    {"workers", "N", TYPE_NUMBER, AT(workers), 1, WORKERS_MAX, "threads that forward packets (1)"},
    {"lcores", "CPUS", TYPE_CPUS, AT(cpus), 0, 0,
     "CPUs, like 0,2-3: the control core's, then the workers' (all allowed ones, in order)"},
    {"cores", "CPUS", TYPE_CPUS, AT(cpus), 0, 0, "the same"},
    {"no-huge", NULL, TYPE_FLAG, AT(no_huge), 0, 0, "use no hugepages"},
    {"memory", "MB", TYPE_NUMBER, AT(memory), 16, 1 << 20,
     "memory of packets and devices (what they need)"},
    {"file-prefix", "NAME", TYPE_TEXT, AT(file_prefix), 0, 0,
     "of DPDK's files, to tell daemons apart (made of the socket's path)"},
    {"packets", "N", TYPE_NUMBER, AT(packets), 2048, 1 << 23, "packet buffers (32768)"},
    {"flows", "N", TYPE_NUMBER, AT(flows), 64, 1 << 26, "flows of each worker (131072)"},
    {"flow-idle", "SECONDS", TYPE_NUMBER, AT(flow_idle), 1, 86400,
     "a flow without packets is forgotten after (60)"},
    {"walk-share", "PERCENT", TYPE_NUMBER, AT(walk_share), 1, 90,
     "of a busy worker's time, for binding flows anew when routes or definitions change (7)"},
    {"poll", NULL, TYPE_FLAG, AT(poll), 0, 0, "workers never sleep"},
    {"poll-control", NULL, TYPE_FLAG, AT(poll_control), 0, 0, "the control core never sleeps"},
    {"log-moves", NULL, TYPE_FLAG, AT(log_moves), 0, 0,
     "every flow is told when it moves: kedgectl flow moves"},
    {"neigh-reachable", "MS", TYPE_NUMBER, AT(neighbours.reachable_ms), 1, MS_MAX,
     "a neighbour that was not heard of is STALE after (30000)"},
    {"neigh-retransmit", "MS", TYPE_NUMBER, AT(neighbours.retransmit_ms), 1, MS_MAX,
     "between two probes, and after the first request; doubles with each request (1000)"},
    {"neigh-delay", "MS", TYPE_NUMBER, AT(neighbours.delay_ms), 1, MS_MAX,
     "a STALE neighbour in use is probed after (5000)"},
    {"neigh-requests", "N", TYPE_NUMBER, AT(neighbours.requests), 1, 100,
     "broadcast requests without an answer until it has failed (3)"},
    {"neigh-probes", "N", TYPE_NUMBER, AT(neighbours.probes), 1, 100,
     "unicast probes without an answer until it is asked for by broadcast (3)"},
    {"neigh-failed", "MS", TYPE_NUMBER, AT(neighbours.failed_ms), 1, MS_MAX,
     "packets for a failed neighbour are refused for, then ask again (1000)"},
    {"neigh-stale", "MS", TYPE_NUMBER, AT(neighbours.stale_ms), 1, MS_MAX,
     "a STALE neighbour without packets is forgotten after (60000)"},
    {"neigh-limit", "N", TYPE_NUMBER, AT(neighbours.neighbours), 1, 1 << 24,
     "learned neighbours (65536)"},
    {"log", "LEVEL", TYPE_LEVEL, AT(log), 0, 0, "error, warning, notice, info or debug (notice)"},
    {"log-file", "WHERE", TYPE_TEXT, AT(log_file), 0, 0,
     "the daemon's log: a file, or syslog:FACILITY (stderr)"},
    {"access-log", "WHERE", TYPE_TEXT, AT(access_log), 0, 0,
     "log what clients do: to a file, or to syslog:FACILITY (off)"},
    {"access-log-mounts", "PATHS", TYPE_TEXT, AT(access_log_mounts), 0, 0,
     "only below these mounts, like /local,/port (all)"},
    {"access-log-reads", NULL, TYPE_FLAG, AT(access_log_reads), 0, 0, "log reads as well"},
    {"access-log-transactions", NULL, TYPE_FLAG, AT(access_log_transactions), 0, 0,
     "log that transactions begin and are aborted as well"},
    {"access-log-specials", NULL, TYPE_FLAG, AT(access_log_specials), 0, 0,
     "log operations on domains, features and quotas, and CONTROL as well"},
    {"log-size", "MB", TYPE_NUMBER, AT(log_size), 0, 1 << 20,
     "a log's file is rotated from this size on; 0: never (16)"},
    {"log-files", "N", TYPE_NUMBER, AT(log_files), 0, 1000,
     "rotated files of each log that are kept (10)"},
    {"eal", "ARG", TYPE_EAL, AT(eal), 0, 0,
     "one argument for DPDK, as --eal=-a0000:03:00.0; may be given several times"},
    {"version", NULL, TYPE_VERSION, 0, 0, 0, "print the version"},
    {"help", NULL, TYPE_HELP, 0, 0, 0, "print this"},
};
enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

static enum options_outcome bad(char *why, size_t size, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static enum options_outcome bad(char *why, size_t size, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(why, size, format, arguments);
    va_end(arguments);
    return OPTIONS_BAD;
}

/* Digits only, in the base, up to max. */
static bool parse_number(const char *text, int base, unsigned max, unsigned *number)
{
    unsigned long value;
    char *end;

    if (!isdigit((unsigned char)text[0]))
        return false;
    errno = 0;
    value = strtoul(text, &end, base);
    if (*end != '\0' || errno != 0 || value > max)
        return false;
    *number = (unsigned)value;
    return true;
}

/* "N" or "N-M" up to the end of the part. */
static bool parse_cpu_range(const char *text, size_t size, unsigned *first, unsigned *last)
{
    char part[32], *dash;

    if (size >= sizeof(part))
        return false;
    memcpy(part, text, size);
    part[size] = '\0';
    dash = strchr(part, '-');
    if (dash != NULL)
        *dash = '\0';
    if (!parse_number(part, 10, 1023, first))
        return false;
    *last = *first;
    return dash == NULL || (parse_number(dash + 1, 10, 1023, last) && *last >= *first);
}

int options_parse_cpus(const char *text, unsigned *cpus, unsigned max)
{
    unsigned count = 0;

    for (;;) {
        size_t size = strcspn(text, ",");
        unsigned first, last;

        if (!parse_cpu_range(text, size, &first, &last) || last - first >= max - count)
            return -EINVAL;
        while (first <= last)
            cpus[count++] = first++;
        if (text[size] == '\0')
            return (int)count;
        text += size + 1;
    }
}

static void print_help(void)
{
    printf(
        "Usage: kedged [OPTION]...\n"
        "A userspace network stack on DPDK ports, configured by names over a control socket.\n\n");
    for (size_t i = 0; i < ROWS; i++) {
        char left[40];

        snprintf(left, sizeof(left), "--%s%s%s", rows[i].name, rows[i].argument != NULL ? " " : "",
                 rows[i].argument != NULL ? rows[i].argument : "");
        printf("  %-26s %s\n", left, rows[i].help);
    }
    printf("\nkedged(8) says more; kedgectl(8) configures it while it runs.\n");
}

static enum options_outcome take_text(const struct option_row *row, const char *text, void *field,
                                      char *why, size_t why_size)
{
    if (*text == '\0')
        return bad(why, why_size, "--%s: its %s is empty", row->name, row->argument);
    *(const char **)field = text;
    return OPTIONS_RUN;
}

static enum options_outcome take_number(const struct option_row *row, const char *text, void *field,
                                        char *why, size_t why_size)
{
    unsigned number;

    if (!parse_number(text, 10, row->max, &number) || number < row->min)
        return bad(why, why_size, "--%s: '%s' is not a number from %u to %u", row->name, text,
                   row->min, row->max);
    *(unsigned *)field = number;
    return OPTIONS_RUN;
}

static enum options_outcome take_mode(const struct option_row *row, const char *text, void *field,
                                      char *why, size_t why_size)
{
    if (!parse_number(text, 8, 0777, field) || *(unsigned *)field == 0)
        return bad(why, why_size, "--%s: '%s' is not a file mode; write it in octal, like 0660",
                   row->name, text);
    return OPTIONS_RUN;
}

static enum options_outcome take_level(const struct option_row *row, const char *text, void *field,
                                       char *why, size_t why_size)
{
    if (!ns_log_parse(text, field))
        return bad(why, why_size,
                   "--%s: there is no level '%s'; the levels are error, warning, notice, "
                   "info and debug",
                   row->name, text);
    return OPTIONS_RUN;
}

static enum options_outcome take_sync(const struct option_row *row, const char *text,
                                      enum ns_journal_sync *sync, char *why, size_t why_size)
{
    static const char *const words[] = {
        [NS_JOURNAL_SOON] = "soon", [NS_JOURNAL_REPLY] = "reply", [NS_JOURNAL_OFF] = "off"};

    for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcmp(text, words[i]) == 0) {
            *sync = i;
            return OPTIONS_RUN;
        }
    }
    return bad(why, why_size, "--%s: there is no '%s'; it is off, soon or reply", row->name, text);
}

static enum options_outcome take_cpus(const struct option_row *row, const char *text,
                                      struct options *options, char *why, size_t why_size)
{
    int count = options_parse_cpus(text, options->cpus, OPTIONS_CPUS_MAX);

    if (count < 0)
        return bad(why, why_size,
                   "--%s: '%s' is not a list of CPUs; write numbers and ranges, like 0,2-3",
                   row->name, text);
    options->cpu_count = (unsigned)count;
    return OPTIONS_RUN;
}

static enum options_outcome take_eal(const struct option_row *row, const char *text,
                                     struct options *options, char *why, size_t why_size)
{
    if (options->eal_count == OPTIONS_EAL_MAX)
        return bad(why, why_size, "--%s: at most %d arguments for DPDK", row->name,
                   OPTIONS_EAL_MAX);
    options->eal[options->eal_count++] = text;
    return OPTIONS_RUN;
}

static enum options_outcome take(const struct option_row *row, const char *text,
                                 struct options *options, char *why, size_t why_size)
{
    void *field = (char *)options + row->offset;

    switch (row->type) {
    case TYPE_FLAG: *(bool *)field = true; return OPTIONS_RUN;
    case TYPE_TEXT: return take_text(row, text, field, why, why_size);
    case TYPE_NUMBER: return take_number(row, text, field, why, why_size);
    case TYPE_MODE: return take_mode(row, text, field, why, why_size);
    case TYPE_LEVEL: return take_level(row, text, field, why, why_size);
    case TYPE_SYNC: return take_sync(row, text, field, why, why_size);
    case TYPE_CPUS: return take_cpus(row, text, options, why, why_size);
    case TYPE_EAL: return take_eal(row, text, options, why, why_size);
    case TYPE_VERSION: puts("kedged " KEDGE_VERSION); return OPTIONS_DONE;
    case TYPE_HELP: print_help(); return OPTIONS_DONE;
    }
    return OPTIONS_BAD;
}

/* What goes only together, or not together. */
static enum options_outcome judge(const struct options *options, char *why, size_t why_size)
{
    if (options->check && options->config == NULL)
        return bad(why, why_size,
                   "--check: it needs to know which file; say --config FILE as well");
    if (options->json && !options->check)
        return bad(why, why_size, "--json: it goes with --check, whose mistakes it prints");
    if (options->journal_sync != NS_JOURNAL_SOON && options->journal == NULL)
        return bad(why, why_size,
                   "--journal-sync: it needs to know which journal; say --journal PATH as well");
    if (options->names_only && options->workers > 0)
        return bad(why, why_size,
                   "--workers: with --names-only there are none; leave one of the two out");
    if (options->access_log == NULL &&
        (options->access_log_mounts != NULL || options->access_log_reads ||
         options->access_log_transactions || options->access_log_specials))
        return bad(why, why_size, "--access-log-*: say where to as well, with --access-log WHERE");
    if (options->file_prefix != NULL && strchr(options->file_prefix, '/') != NULL)
        return bad(why, why_size,
                   "--file-prefix: '%s' is not the beginning of a file's name; leave out the '/'",
                   options->file_prefix);
    return OPTIONS_RUN;
}

static void fill_table(struct option *table)
{
    for (int i = 0; i < ROWS; i++)
        table[i] = (struct option){
            rows[i].name, rows[i].argument != NULL ? required_argument : no_argument, NULL, i + 1};
    table[ROWS] = (struct option){NULL, 0, NULL, 0};
}

/* getopt_long() answers ':' for an argument that is missing (optopt is the row's val), '?' else. */
static enum options_outcome complain(int answer, char **argv, char *why, size_t why_size)
{
    const char *word = argv[optind - 1];

    if (answer == ':')
        return bad(why, why_size, "--%s: it needs an argument, %s", rows[optopt - 1].name,
                   rows[optopt - 1].argument);
    if (optopt > 0 && optopt <= ROWS)
        return bad(why, why_size, "--%s: it takes no argument", rows[optopt - 1].name);
    return bad(why, why_size, "%s: there is no such option; --help lists them", word);
}

enum options_outcome options_parse(int argc, char **argv, struct options *options, char *why,
                                   size_t why_size)
{
    struct option table[ROWS + 1];
    enum options_outcome outcome = OPTIONS_RUN;
    int answer;

    *options = (struct options){.argv = argv,
                                .socket = DEFAULT_SOCKET,
                                .packets = 32768,
                                .flows = 131072,
                                .flow_idle = 60,
                                .walk_share = WALK_SHARE,
                                .log = NS_LOG_NOTICE,
                                .log_size = 16,
                                .log_files = 10};
    fill_table(table);
    optind = 0; /* start anew: tests parse many command lines */
    opterr = 0;
    while (outcome == OPTIONS_RUN && (answer = getopt_long(argc, argv, "+:", table, NULL)) != -1) {
        if (answer == '?' || answer == ':')
            outcome = complain(answer, argv, why, why_size);
        else
            outcome = take(&rows[answer - 1], optarg, options, why, why_size);
    }
    if (outcome == OPTIONS_RUN && optind < argc)
        outcome = bad(why, why_size,
                      "%s: kedged takes options only, which begin with --; --help lists them",
                      argv[optind]);
    return outcome == OPTIONS_RUN ? judge(options, why, why_size) : outcome;
}
