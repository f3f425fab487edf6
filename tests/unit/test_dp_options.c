/* SPDX-License-Identifier: BSD-3-Clause */
/* The command line of kedged. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "dataplane/options.h"

enum { WORDS_MAX = 70 };

struct parsed {
    struct options options;
    char why[OPTIONS_WHY_MAX];
    enum options_outcome outcome;
};

/* Parse a command line given as one text; words are parted by single spaces. The words stay valid
 * until the next call. */
static struct parsed parse(const char *text)
{
    static char copy[4096];
    char *argv[WORDS_MAX + 1] = {"kedged"};
    struct parsed parsed = {.why = ""};
    int argc = 1;

    snprintf(copy, sizeof(copy), "%s", text);
    for (char *word = strtok(copy, " "); word != NULL; word = strtok(NULL, " ")) {
        assert_true(argc < WORDS_MAX);
        argv[argc++] = word;
    }
    parsed.outcome = options_parse(argc, argv, &parsed.options, parsed.why, sizeof(parsed.why));
    return parsed;
}

static void defaults(void **state)
{
    struct parsed parsed = parse("");

    (void)state;
    assert_int_equal(parsed.outcome, OPTIONS_RUN);
    assert_string_equal(parsed.options.socket, "/run/kedge/kedged.sock");
    assert_null(parsed.options.config);
    assert_int_equal(parsed.options.workers, 0);
    assert_int_equal(parsed.options.cpu_count, 0);
    assert_int_equal(parsed.options.packets, 32768);
    assert_int_equal(parsed.options.flows, 131072);
    assert_int_equal(parsed.options.flow_idle, 60);
    assert_int_equal(parsed.options.log, NS_LOG_NOTICE);
    assert_int_equal(parsed.options.neighbours.reachable_ms, 0);
    assert_false(parsed.options.no_huge || parsed.options.poll || parsed.options.poll_control ||
                 parsed.options.check || parsed.options.names_only);
}

static void all_given(void **state)
{
    struct parsed parsed = parse(
        "--socket /tmp/s --socket-mode 0660 --socket-group kvm --config c --workers 3 --lcores "
        "2,0-1 "
        "--no-huge --memory 512 --file-prefix k --packets 4096 --flows 100 --flow-idle 7 "
        "--walk-share 20 --poll "
        "--poll-control --log debug --eal -a0000:03:00.0 --eal=--vdev=net_null0 --neigh-reachable "
        "11 "
        "--neigh-retransmit 12 --neigh-delay 13 --neigh-requests 14 --neigh-probes 15 "
        "--neigh-failed 16 "
        "--neigh-stale 17 --neigh-limit 18");
    const struct options *options = &parsed.options;

    (void)state;
    assert_string_equal(parsed.why, "");
    assert_int_equal(parsed.outcome, OPTIONS_RUN);
    assert_string_equal(options->socket, "/tmp/s");
    assert_int_equal(options->socket_mode, 0660);
    assert_string_equal(options->socket_group, "kvm");
    assert_string_equal(options->config, "c");
    assert_int_equal(options->workers, 3);
    assert_int_equal(options->cpu_count, 3);
    assert_int_equal(options->cpus[0], 2);
    assert_int_equal(options->cpus[2], 1);
    assert_true(options->no_huge && options->poll && options->poll_control);
    assert_int_equal(options->memory, 512);
    assert_string_equal(options->file_prefix, "k");
    assert_int_equal(options->packets, 4096);
    assert_int_equal(options->flows, 100);
    assert_int_equal(options->flow_idle, 7);
    assert_int_equal(options->walk_share, 20);
    assert_int_equal(options->log, NS_LOG_DEBUG);
    assert_int_equal(options->eal_count, 2);
    assert_string_equal(options->eal[0], "-a0000:03:00.0");
    assert_string_equal(options->eal[1], "--vdev=net_null0");
    assert_int_equal(options->neighbours.reachable_ms, 11);
    assert_int_equal(options->neighbours.retransmit_ms, 12);
    assert_int_equal(options->neighbours.delay_ms, 13);
    assert_int_equal(options->neighbours.requests, 14);
    assert_int_equal(options->neighbours.probes, 15);
    assert_int_equal(options->neighbours.failed_ms, 16);
    assert_int_equal(options->neighbours.stale_ms, 17);
    assert_int_equal(options->neighbours.neighbours, 18);
}

/* Each mistake is answered with a sentence that names the option and says what would be right. */
static void mistakes(void **state)
{
    static const struct {
        const char *line, *named, *right;
    } cases[] = {
        {"--nonsense", "--nonsense", "--help"},
        {"-x", "-x", "--help"},
        {"veth0", "veth0", "--help"},
        {"--socket", "--socket", "PATH"},
        {"--socket=", "--socket", "empty"},
        {"--no-huge=yes", "--no-huge", "no argument"},
        {"--workers 0", "--workers", "from 1 to 16"},
        {"--workers 17", "--workers", "from 1 to 16"},
        {"--workers two", "--workers", "from 1 to 16"},
        {"--workers -1", "--workers", "from 1 to 16"},
        {"--workers 1x", "--workers", "from 1 to 16"},
        {"--workers 99999999999999999999", "--workers", "from 1 to 16"},
        {"--memory 1", "--memory", "from 16"},
        {"--flow-idle 0", "--flow-idle", "from 1"},
        {"--walk-share 91", "--walk-share", "from 1 to 90"},
        {"--socket-mode 0888", "--socket-mode", "octal"},
        {"--socket-mode 1777", "--socket-mode", "octal"},
        {"--log loud", "--log", "warning"},
        {"--lcores 1-", "--lcores", "0,2-3"},
        {"--cores 3-1", "--cores", "0,2-3"},
        {"--cores ,", "--cores", "0,2-3"},
        {"--cores 0-99", "--cores", "0,2-3"},
        {"--check", "--check", "--config FILE"},
        {"--names-only --workers 2", "--workers", "leave one of the two out"},
        {"--file-prefix a/b", "--file-prefix", "leave out"},
        {"--neigh-delay 0", "--neigh-delay", "from 1"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct parsed parsed = parse(cases[i].line);

        if (parsed.outcome != OPTIONS_BAD || strstr(parsed.why, cases[i].named) == NULL ||
            strstr(parsed.why, cases[i].right) == NULL)
            fail_msg("%s: outcome %d, '%s'", cases[i].line, parsed.outcome, parsed.why);
    }
}

static void too_many_eal_arguments(void **state)
{
    char line[1024] = "";
    struct parsed parsed;

    (void)state;
    for (int i = 0; i < OPTIONS_EAL_MAX; i++)
        strcat(line, "--eal=-v ");
    parsed = parse(line);
    assert_int_equal(parsed.outcome, OPTIONS_RUN);
    assert_int_equal(parsed.options.eal_count, OPTIONS_EAL_MAX);
    parsed = parse(strcat(line, "--eal=-v"));
    assert_int_equal(parsed.outcome, OPTIONS_BAD);
    assert_non_null(strstr(parsed.why, "--eal"));
}

static void cpu_lists(void **state)
{
    unsigned cpus[4];

    (void)state;
    assert_int_equal(options_parse_cpus("7", cpus, 4), 1);
    assert_int_equal(cpus[0], 7);
    assert_int_equal(options_parse_cpus("0,1,1", cpus, 4), 3);
    assert_int_equal(cpus[2], 1);
    assert_int_equal(options_parse_cpus("0-3", cpus, 4), 4);
    assert_int_equal(options_parse_cpus("0-4", cpus, 4), -EINVAL);
    assert_int_equal(options_parse_cpus("0-3,9", cpus, 4), -EINVAL);
    assert_int_equal(options_parse_cpus("", cpus, 4), -EINVAL);
    assert_int_equal(options_parse_cpus("1,,2", cpus, 4), -EINVAL);
    assert_int_equal(options_parse_cpus("0-4294967295", cpus, 4), -EINVAL);
}

static void help_and_version(void **state)
{
    (void)state;
    assert_int_equal(parse("--help").outcome, OPTIONS_DONE);
    assert_int_equal(parse("--version").outcome, OPTIONS_DONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),  cmocka_unit_test(all_given),
        cmocka_unit_test(mistakes),  cmocka_unit_test(too_many_eal_arguments),
        cmocka_unit_test(cpu_lists), cmocka_unit_test(help_and_version),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
