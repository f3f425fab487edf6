/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * kedgectl: flags, which may stand anywhere on the line, and one table of what can be asked for. --help is
 * made of the same table.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/verbs.h"
#include "cli/words.h"

/* ---- what there is ---- */

/* Flags besides --socket and --json, which go with everything. */
enum {
    APPLIED = 1,
    TIMEOUT = 2,
    INTERVAL = 4,
    ONCE = 8,
    DEPENDENTS = 16,
    LEARNED = 32,
    SVG = 64,
    CHANGE = APPLIED | TIMEOUT, /* the function gets the noun and the verb as well */
};

struct verb {
    const char *noun; /* NULL: it is about none */
    const char *name;
    int (*run)(struct session *session, const char *const *words, size_t count);
    unsigned flags;
    const char *arguments, *help;
};

static const struct verb verbs[] = {
    {"port", "add", do_change, CHANGE, "NAME devargs DEVARGS [mtu BYTES] [workers N] [queues N]",
     "use a DPDK device"},
    {"port", "set", do_change, CHANGE, "NAME [devargs DEVARGS] [mtu BYTES] [workers N] [queues N]",
     "change it"},
    {"port", "del", do_change, CHANGE, "NAME", "give the device back"},
    {"port", "show", do_show, DEPENDENTS, "[NAME]", "link, address, packets"},
    {"bridge", "add", do_change, CHANGE, "NAME [port PORT]... [ageing SECONDS]",
     "join ports to one network"},
    {"bridge", "set", do_change, CHANGE, "NAME [port PORT]... [ageing SECONDS]",
     "add ports, change the ageing"},
    {"bridge", "del", do_change, CHANGE, "NAME [port PORT]", "remove it, or one port of it"},
    {"bridge", "show", do_show, DEPENDENTS, "[NAME]", "ports of bridges"},
    {"iface", "add", do_change, CHANGE,
     "NAME on port|bridge NAME [address ADDRESS/LENGTH]... [mode follow|bound|static] [mac MAC]",
     "an interface with addresses"},
    {"iface", "set", do_change, CHANGE,
     "NAME [on ...] [address ADDRESS/LENGTH]... [mode MODE] [mac MAC]",
     "add addresses (or change the length of one), change the rest"},
    {"iface", "del", do_change, CHANGE, "NAME [address ADDRESS]",
     "remove it, or one address of it"},
    {"iface", "show", do_show, DEPENDENTS, "[NAME]", "addresses and modes"},
    {"fdb", "add", do_change, CHANGE, "BRIDGE MAC port PORT", "a station that does not move"},
    {"fdb", "set", do_change, CHANGE, "BRIDGE MAC port PORT", "move it; also one that was learned"},
    {"fdb", "del", do_change, CHANGE, "BRIDGE MAC", "forget it"},
    {"fdb", "show", do_show, DEPENDENTS, "[BRIDGE [MAC]]", "stations"},
    {"neigh", "add", do_change, CHANGE, "IFACE ADDRESS mac MAC", "a neighbour that does not move"},
    {"neigh", "set", do_change, CHANGE, "IFACE ADDRESS mac MAC",
     "move it; also one that was learned"},
    {"neigh", "del", do_change, CHANGE, "IFACE ADDRESS", "forget it"},
    {"neigh", "show", do_show, DEPENDENTS, "[IFACE [ADDRESS]]", "neighbours and their states"},
    {"route", "add", do_change, CHANGE, "PREFIX via ADDRESS|dev IFACE|blackhole|reject",
     "the longest prefix wins"},
    {"route", "set", do_change, CHANGE, "PREFIX via ADDRESS|dev IFACE|blackhole|reject",
     "change where it leads"},
    {"route", "del", do_change, CHANGE, "PREFIX", "remove it"},
    {"route", "show", do_show, DEPENDENTS, "[PREFIX]", "routes, and those of interfaces"},
    {"flow", "add", do_change, CHANGE,
     "NAME [src=PREFIX] [dst=PREFIX] [proto=P] [sport=N] [dport=N] [iface=I]"
     " [priority N] [action A]",
     "say what is to be done with some packets: route, via ADDRESS, drop, count"},
    {"flow", "set", do_change, CHANGE, "NAME [TERM]... [priority N] [action A]", "change it"},
    {"flow", "del", do_change, CHANGE, "NAME", "remove it"},
    {"flow", "show", do_show, DEPENDENTS | LEARNED, "[NAME]",
     "definitions; --learned: the flows that there are"},
    {"flow", "moves", do_moves, 0, "", "the newest moves of flows (kedged --log-moves)"},
    {"flow", "why", do_why, 0, "NAME | src=A dst=B proto=P [sport=N] [dport=N] [iface=I]",
     "what a flow's decision was derived from"},
    {"name", "add", do_change, CHANGE, "PATH [VALUE]", "create any name"},
    {"name", "set", do_change, CHANGE, "PATH VALUE", "change its value"},
    {"name", "del", do_change, CHANGE, "PATH", "remove it and all below it"},
    {"name", "show", do_name_show, DEPENDENTS, "PATH", "the name and all below it"},
    {"name", "read", do_name_read, 0, "PATH", "its value"},
    {"name", "list", do_name_list, 0, "PATH", "the names below it"},
    {"name", "perms", do_name_perms, 0, "PATH [PERMISSION]...",
     "who may: n, r, w or b (none, read, write, both) and a number, like n0 r1000"},
    {NULL, "stats", do_stats, 0, "[NAME]", "counters, and what else is computed when read"},
    {NULL, "graph", do_graph, SVG, "[NAME]",
     "who depends on what, on a name or in all, in the language of graphviz"},
    {NULL, "top", do_top, INTERVAL | ONCE, "", "a live status"},
    {NULL, "trace", do_trace, 0, "NAME",
     "follow the next change of a name through: commit, notice, flows, first packet"},
    {NULL, "watch", do_watch, 0, "[PATH]...", "print changes as they come"},
    {NULL, "wait", do_wait, TIMEOUT, "", "until the daemon is ready"},
    {NULL, "save", do_save, 0, "", "print the running configuration as commands"},
    {NULL, "check", do_check, 0, "[FILE]",
     "say what is wrong with a configuration file; without one, with the running daemon"},
};
enum { VERBS = sizeof(verbs) / sizeof(verbs[0]) };

/* ---- flags ---- */

static const struct flag {
    const char *name;
    unsigned flag; /* 0: goes with everything */
    const char *argument, *help;
} flags[] = {
    {"--socket", 0, "PATH", "the control socket ($KEDGE_SOCKET, or /run/kedge/kedged.sock)"},
    {"--json", 0, NULL, "print JSON; also refusals, on stderr"},
    {"--applied", APPLIED, NULL, "changes: wait until every worker has applied it"},
    {"--timeout", TIMEOUT, "SECONDS", "wait (30 if not given), or a change with --applied (5)"},
    {"--interval", INTERVAL, "SECONDS", "top: between two looks (1)"},
    {"--once", ONCE, NULL, "top: one look, which takes an --interval: rates need two"},
    {"--dependents", DEPENDENTS, NULL, "show: who depends on it"},
    {"--learned", LEARNED, NULL, "flow show: flows instead of definitions"},
    {"--svg", SVG, NULL, "graph: drawn by graphviz's dot"},
    {"--help", 0, NULL, "print this; after a noun: about that"},
    {"--version", 0, NULL, "print the version"},
};
enum { FLAGS = sizeof(flags) / sizeof(flags[0]) };

/* A command line that has been read. */
struct line {
    struct session session;
    const char **words;
    size_t count;
    unsigned given; /* flags that do not go with everything */
    bool help, version;
};

static int take_seconds(const struct flag *flag, const char *text, unsigned *ms)
{
    char *end;
    double seconds = strtod(text, &end); /* NOLINT: read_flag() refuses a flag without its value */

    if (*text < '0' || *text > '9' || *end != '\0' || !(seconds >= 0.001 && seconds <= 1e6))
        return usage("%s: \"%s\" is not a time; seconds, like 0.5 or 30, would be", flag->name,
                     text);
    *ms = (unsigned)(seconds * 1000 + 0.5);
    return EXIT_DONE;
}

static int take_flag(struct line *line, const struct flag *flag, const char *argument)
{
    struct session *session = &line->session;

    line->given |= flag->flag;
    session->json |= strcmp(flag->name, "--json") == 0;
    session->applied |= flag->flag == APPLIED;
    session->once |= flag->flag == ONCE;
    session->dependents |= flag->flag == DEPENDENTS;
    session->learned |= flag->flag == LEARNED;
    session->svg |= flag->flag == SVG;
    line->help |= strcmp(flag->name, "--help") == 0;
    line->version |= strcmp(flag->name, "--version") == 0;
    if (flag->flag == TIMEOUT)
        return take_seconds(flag, argument, &session->timeout_ms);
    if (flag->flag == INTERVAL)
        return take_seconds(flag, argument, &session->interval_ms);
    if (strcmp(flag->name, "--socket") == 0)
        session->socket = argument;
    return EXIT_DONE;
}

static int unknown_flag(const char *word)
{
    const char *names[FLAGS + 1] = {0};
    char why[COMMAND_WHY_MAX];

    for (int i = 0; i < FLAGS; i++)
        names[i] = flags[i].name;
    words_refuse(why, "a flag", word, names);
    return usage("%s", why);
}

/* One flag with its argument, which may follow '=' or be the next word (then *at is moved on). */
static int read_flag(struct line *line, char **argv, int *at)
{
    const char *word = strcmp(argv[*at], "-h") == 0 ? "--help" : argv[*at], *argument = NULL;
    size_t size = strcspn(word, "=");

    for (int i = 0; i < FLAGS; i++) {
        if (strlen(flags[i].name) != size || memcmp(flags[i].name, word, size) != 0)
            continue;
        if (word[size] == '=')
            argument = word + size + 1;
        if (argument != NULL && flags[i].argument == NULL)
            return usage("%s takes no value", flags[i].name);
        if (flags[i].argument != NULL && argument == NULL)
            argument = argv[*at + 1] != NULL ? argv[++*at] : NULL;
        if (flags[i].argument != NULL && argument == NULL)
            return usage("%s needs a value, %s", flags[i].name, flags[i].argument);
        return take_flag(line, &flags[i], argument);
    }
    return unknown_flag(word);
}

/* What begins like a flag is one: nobody means a port named -j. Numbers are words. */
static bool looks_like_flag(const char *word)
{
    return word[0] == '-' && (word[1] == '-' || isalpha((unsigned char)word[1]));
}

/* Flags may stand anywhere; behind "--" all are words. */
static int read_line(struct line *line, int argc, char **argv)
{
    bool flags_end = false;
    int status = EXIT_DONE;

    line->words = must(calloc((size_t)argc + 1, sizeof(line->words[0])));
    for (int i = 1; i < argc && status == EXIT_DONE; i++) {
        bool is_flag = !flags_end && looks_like_flag(argv[i]);

        if (!is_flag)
            line->words[line->count++] = argv[i];
        else if (argv[i][2] == '\0' && argv[i][1] == '-')
            flags_end = true;
        else
            status = read_flag(line, argv, &i);
    }
    return status;
}

/* ---- help ---- */

/* The word that a command begins with. */
static const char *first_word(const struct verb *verb)
{
    return verb->noun != NULL ? verb->noun : verb->name;
}

static bool is_noun(const char *word)
{
    for (int i = 0; i < VERBS; i++)
        if (verbs[i].noun != NULL && strcmp(verbs[i].noun, word) == 0)
            return true;
    return false;
}

static bool is_verb(const char *word)
{
    for (int i = 0; i < VERBS; i++)
        if (verbs[i].noun != NULL && strcmp(verbs[i].name, word) == 0)
            return true;
    return false;
}

static void help_verb(const struct verb *verb)
{
    printf("  %s%s%s%s%s\n        %s", verb->noun != NULL ? verb->noun : "",
           verb->noun != NULL ? " " : "", verb->name, verb->arguments[0] != '\0' ? " " : "",
           verb->arguments, verb->help);
    if (verb->flags != CHANGE)
        for (int i = 0; i < FLAGS; i++)
            if (verb->flags & flags[i].flag)
                printf(" [%s%s%s]", flags[i].name, flags[i].argument != NULL ? " " : "",
                       flags[i].argument != NULL ? flags[i].argument : "");
    putchar('\n');
}

/* Flags that go with everything, and those of `mask`. */
static void help_flags(unsigned mask)
{
    printf("\nFlags, anywhere on the line:\n");
    for (int i = 0; i < FLAGS; i++)
        if (flags[i].flag == 0 || (flags[i].flag & mask))
            printf("  %-12s %-8s %s\n", flags[i].name,
                   flags[i].argument != NULL ? flags[i].argument : "", flags[i].help);
}

static int help_all(void)
{
    const char *noun = NULL;

    printf("Usage: kedgectl NOUN VERB [ARGUMENT]... [FLAG]...\n"
           "Configure and inspect kedged.\n\n");
    for (int i = 0; i < VERBS; i++) {
        if (verbs[i].noun == NULL) {
            printf("%s  %-6s %-12s %s\n", noun != NULL ? "\n\n" : "", verbs[i].name,
                   verbs[i].arguments, verbs[i].help);
            noun = NULL;
        } else if (noun == NULL || strcmp(noun, verbs[i].noun) != 0) {
            noun = verbs[i].noun;
            printf("%s  %-6s %s", i > 0 ? "\n" : "", noun, verbs[i].name);
        } else {
            printf(", %s", verbs[i].name);
        }
    }
    help_flags(~0u);
    printf(
        "\n`kedgectl NOUN --help` says more about a noun. Exit status: 0 done, 1 refused, 2 wrong "
        "usage.\n");
    return EXIT_DONE;
}

static int unknown_noun(const char *word)
{
    const char *names[VERBS + 1] = {0};
    char why[COMMAND_WHY_MAX];
    size_t count = 0;

    for (int i = 0; i < VERBS; i++)
        if (count == 0 || strcmp(names[count - 1], first_word(&verbs[i])) != 0)
            names[count++] = first_word(&verbs[i]);
    if (is_verb(word))
        return usage("\"%s\" of what? the noun comes first, as in `kedgectl flow %s`; "
                     "`kedgectl --help` lists all",
                     word, word);
    words_refuse(why, "a noun or a command", word, names);
    return usage("%s", why);
}

static int help_on(const char *word)
{
    unsigned mask = 0, count = 0;

    for (int i = 0; i < VERBS; i++) {
        if (strcmp(first_word(&verbs[i]), word) != 0)
            continue;
        help_verb(&verbs[i]);
        mask |= verbs[i].flags;
        count++;
    }
    if (count == 0)
        return unknown_noun(word);
    help_flags(mask);
    return EXIT_DONE;
}

/* ---- dispatch ---- */

static int unknown_verb(const char *noun, const char *word)
{
    const char *names[VERBS + 1] = {0};
    char why[COMMAND_WHY_MAX], what[32];
    size_t count = 0;

    for (int i = 0; i < VERBS; i++)
        if (verbs[i].noun != NULL && strcmp(verbs[i].noun, noun) == 0)
            names[count++] = verbs[i].name;
    if (word == NULL)
        return usage("what about %s? `kedgectl %s --help` lists what there is", noun, noun);
    snprintf(what, sizeof(what), "a verb of %s", noun);
    words_refuse(why, what, word, names);
    return usage("%s", why);
}

static int run(struct line *line, const struct verb *verb)
{
    size_t own = verb->run == do_change ? 0 : verb->noun == NULL ? 1 : 2;
    int status;

    for (int i = 0; i < FLAGS; i++)
        if (line->given & flags[i].flag & ~verb->flags)
            return usage("%s%s%s does not take %s", verb->noun != NULL ? verb->noun : "",
                         verb->noun != NULL ? " " : "", verb->name, flags[i].name);
    if ((line->given & (APPLIED | TIMEOUT)) == TIMEOUT && verb->flags == CHANGE)
        return usage("--timeout goes with --applied: without, nothing is waited for");
    line->session.noun = verb->noun;
    status = verb->run(&line->session, line->words + own, line->count - own);
    session_close(&line->session);
    if (status == EXIT_DONE && (fflush(stdout) != 0 || ferror(stdout)))
        return refused("the output can't be written: %s", strerror(errno));
    return status;
}

static int dispatch(struct line *line)
{
    const char *first = line->words[0], *second = line->words[1];

    for (int i = 0; i < VERBS; i++) {
        const struct verb *verb = &verbs[i];

        if (verb->noun == NULL && strcmp(verb->name, first) == 0)
            return run(line, verb);
        if (verb->noun != NULL && second != NULL && strcmp(verb->noun, first) == 0 &&
            strcmp(verb->name, second) == 0)
            return run(line, verb);
    }
    return is_noun(first) ? unknown_verb(first, second) : unknown_noun(first);
}

/* Before anything is read, because what is wrong may stand before the flag. */
static bool wants_json(char **argv)
{
    for (; *argv != NULL && strcmp(*argv, "--") != 0; argv++)
        if (strcmp(*argv, "--json") == 0)
            return true;
    return false;
}

int main(int argc, char **argv)
{
    struct line line = {.count = 0};
    int status;

    if (argc > 0 && wants_json(argv + 1))
        refuse_in_json();
    status = read_line(&line, argc, argv);

    if (status != EXIT_DONE) {
        free(line.words);
        return status;
    }
    if (line.version)
        puts("kedgectl " KEDGE_VERSION);
    else if (line.help)
        status = line.count > 0 ? help_on(line.words[0]) : help_all();
    else if (line.count == 0)
        status = usage("what is to be done? `kedgectl --help` lists what there is");
    else
        status = dispatch(&line);
    free(line.words);
    return status;
}
