/* SPDX-License-Identifier: BSD-3-Clause */
/* The configuration file: one transaction, and mistakes by line. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "arp/links.h"
#include "dataplane/config.h"

enum { TOLD_MAX = 16 };

static struct ns_store *store;
static struct links_mount *mount;
static unsigned told_lines[TOLD_MAX], told;
static bool names_only;
static char told_texts[TOLD_MAX][512];

static int set_up(void **state)
{
    const struct ns_store_options options = {.lcores = 0};

    (void)state;
    told = 0;
    names_only = false;
    assert_int_equal(ns_store_new(&options, &store), 0);
    assert_int_equal(links_new(store, &mount), 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    ns_store_free(store);
    links_free(mount);
    return 0;
}

static void tell(const char *file, unsigned line, const char *text)
{
    assert_non_null(file);
    assert_true(told < TOLD_MAX);
    told_lines[told] = line;
    snprintf(told_texts[told++], sizeof(told_texts[0]), "%s", text);
}

enum purpose { CHECK, COMMIT };

static int read_file(const struct config_file *file, enum purpose purpose, unsigned *commands)
{
    return purpose == CHECK ? config_check(file, NULL, store, commands)
                            : config_commit(file, store, commands);
}

/* Read a text as a configuration file. */
static int read_text(const char *text, enum purpose purpose, unsigned *commands)
{
    char path[] = "/tmp/kedge-test-config-XXXXXX";
    int fd = mkstemp(path), error;

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    error =
        read_file(&(struct config_file){.path = path, .names_only = names_only, .mistake = tell},
                  purpose, commands);
    unlink(path);
    return error;
}

static bool exists(const char *path)
{
    return ns_tree_lookup(ns_store_version(store)->root, path, strlen(path)) != NULL;
}

static void commits_all_at_once(void **state)
{
    uint64_t before = ns_store_version(store)->number;
    unsigned commands;

    (void)state;
    assert_int_equal(
        read_text(
            "\xef\xbb\xbf# ports\n\nport add p0 devargs net_null0\nname set /tool/x \"a b\" # x\n"
            "iface add i0 on port p0 address 10.0.0.1/24",
            COMMIT, &commands),
        0);
    assert_int_equal(commands, 3);
    assert_int_equal(told, 0);
    assert_int_equal(ns_store_version(store)->number, before + 1);
    assert_true(exists("/port/p0/devargs"));
    assert_true(exists("/iface/i0/address/10.0.0.1"));
    assert_true(exists("/tool/x"));
}

static void check_commits_nothing(void **state)
{
    uint64_t before = ns_store_version(store)->number;
    unsigned commands;

    (void)state;
    assert_int_equal(read_text("port add p0 devargs net_null0\n", CHECK, &commands), 0);
    assert_int_equal(commands, 1);
    assert_int_equal(ns_store_version(store)->number, before);
    assert_false(exists("/port/p0"));
}

/* Words that are wrong and values that are refused, by line, in order; and nothing is committed. */
static void every_mistake_with_its_line(void **state)
{
    unsigned commands;

    (void)state;
    assert_true(read_text("port add p0 devargs net_null0\n"
                          "iface add i0 on port p0 address 10.0.0.300/24\n"
                          "nonsense\n"
                          "port add p1 devargs net_null1 mtu 5\n"
                          "port add \"p2\n"
                          "iface add i1 on nothing p0\n",
                          COMMIT, &commands) < 0);
    assert_int_equal(told, 5);
    for (unsigned i = 0; i < told; i++)
        assert_int_equal(told_lines[i], i + 2);
    assert_non_null(strstr(told_texts[0], "10.0.0.5"));
    assert_non_null(strstr(told_texts[2], "/port/p1/mtu: "));
    assert_false(exists("/port/p0"));
}

/* Right each for itself, wrong together; found although another line is wrong by itself. */
static void mistakes_between_lines(void **state)
{
    unsigned commands;

    (void)state;
    assert_true(read_text("port add p0 devargs net_null0 mtu 5\n"
                          "port add p1 devargs net_null1\n"
                          "bridge add br0 port p1\n"
                          "iface add i0 on port p1\n",
                          CHECK, &commands) < 0);
    assert_int_equal(told, 2);
    assert_int_equal(told_lines[0], 1);
    assert_true(told_lines[1] == 3 || told_lines[1] == 4);
}

/* del refuses what is not there, where a line before has made it as little as anybody. */
static void deleted_must_be_there(void **state)
{
    unsigned commands;

    (void)state;
    assert_int_equal(read_text("port add p0 devargs net_null0\nport del p0\nport del p0\n"
                               "route del 10.0.0.0/8\nport set p1 mtu 1400 devargs net_null1\n",
                               CHECK, &commands),
                     -ENOENT);
    assert_int_equal(told, 2);
    assert_int_equal(told_lines[0], 3);
    assert_non_null(strstr(told_texts[0], "there is no port p0"));
    assert_int_equal(told_lines[1], 4);
    assert_non_null(strstr(told_texts[1], "there is no route 10.0.0.0/8"));
    for (int i = 0; i < 2; i++) /* there may be no daemon */
        assert_null(strstr(told_texts[i], "kedgectl"));
}

/* The address of a route goes with its last length. */
static void deleted_routes_leave_nothing(void **state)
{
    unsigned commands;

    (void)state;
    assert_int_equal(read_text("route add 10.0.0.0/8 reject\nroute add 10.0.0.0/16 reject\n"
                               "route add 11.0.0.0/8 reject\nroute del 10.0.0.0/8\n"
                               "route del 11.0.0.0/8\n",
                               COMMIT, &commands),
                     0);
    assert_true(exists("/route/10.0.0.0/16"));
    assert_false(exists("/route/10.0.0.0/8") || exists("/route/11.0.0.0"));
}

/* The last line that writes a name is the one that is wrong about it. */
static void last_line_counts(void **state)
{
    unsigned commands;

    (void)state;
    assert_int_equal(read_text("port add p0 devargs net_null0 mtu 1500\n\nport set p0 mtu 3\n",
                               CHECK, &commands),
                     -EINVAL);
    assert_int_equal(told, 1);
    assert_int_equal(told_lines[0], 3);
}

static void stack_names_are_refused(void **state)
{
    unsigned commands;

    (void)state;
    assert_true(read_text("port add p0 devargs net_null0\nname set /port/p0/id 3\n", COMMIT,
                          &commands) < 0);
    assert_int_equal(told, 1);
    assert_int_equal(told_lines[0], 2);
}

static void no_such_file(void **state)
{
    unsigned commands;

    (void)state;
    assert_int_equal(read_file(&(struct config_file){.path = "/nonexistent/file", .mistake = tell},
                               CHECK, &commands),
                     -ENOENT);
    assert_int_equal(told, 1);
    assert_int_equal(told_lines[0], 0);
}

static void only_names_are_configured_without_a_stack(void **state)
{
    unsigned commands;

    (void)state;
    names_only = true;
    assert_int_equal(read_text("name add /a b\nport add p0 devargs net_null0\n", COMMIT, &commands),
                     -EINVAL);
    assert_int_equal(told, 1);
    assert_int_equal(told_lines[0], 2);
    assert_non_null(strstr(told_texts[0], "'port' is of the stack"));
    assert_false(exists("/a"));
    assert_int_equal(read_text("name add /a b\n", COMMIT, &commands), 0);
    assert_true(exists("/a"));
}

static void empty_file(void **state)
{
    unsigned commands;

    (void)state;
    assert_int_equal(read_text("", COMMIT, &commands), 0);
    assert_int_equal(commands, 0);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(commits_all_at_once),
        CASE(check_commits_nothing),
        CASE(every_mistake_with_its_line),
        CASE(commits_all_at_once),
        CASE(check_commits_nothing),
        CASE(mistakes_between_lines),
        CASE(deleted_must_be_there),
        CASE(deleted_routes_leave_nothing),
        CASE(last_line_counts),
        CASE(stack_names_are_refused),
        CASE(no_such_file),
        CASE(only_names_are_configured_without_a_stack),
        CASE(empty_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
