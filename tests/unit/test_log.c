/* SPDX-License-Identifier: BSD-3-Clause */
/* The log: levels, one line an event, limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "nameserv/log.h"

static int saved, ends[2];
static char text[65536];

/* stderr goes to a pipe. */
static int setup(void **state)
{
    (void)state;
    saved = dup(STDERR_FILENO);
    return pipe(ends) < 0 || dup2(ends[1], STDERR_FILENO) < 0;
}

/* What was logged since. */
static const char *logged(void)
{
    ssize_t size;

    if (write(ends[1], "\1", 1) != 1)
        return "";
    size = read(ends[0], text, sizeof(text) - 1);
    text[size > 0 ? size - 1 : 0] = '\0';
    return text;
}

static int teardown(void **state)
{
    (void)state;
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(ends[0]);
    close(ends[1]);
    ns_log_set(NS_LOG_NOTICE);
    return 0;
}

static void levels(void **state)
{
    enum ns_log_level level;

    (void)state;
    assert_int_equal(ns_log_get(), NS_LOG_NOTICE);
    ns_log(NS_LOG_NOTICE, "port %s is %s", "p0", "up");
    ns_log(NS_LOG_INFO, "nobody sees this");
    assert_string_equal(logged(), "notice: port p0 is up\n");
    ns_log_set(NS_LOG_DEBUG);
    ns_log(NS_LOG_DEBUG, "now");
    ns_log_set(NS_LOG_ERROR);
    ns_log(NS_LOG_WARNING, "not now");
    ns_log(NS_LOG_ERROR, "always");
    assert_string_equal(logged(), "debug: now\nerror: always\n");
    assert_true(ns_log_parse("info", &level));
    assert_int_equal(level, NS_LOG_INFO);
    assert_false(ns_log_parse("loud", &level));
    assert_false(ns_log_parse("", &level));
}

static void a_line_stays_one_line(void **state)
{
    char value[5000];
    const char *line;

    (void)state;
    ns_log(NS_LOG_ERROR, "a\nb\x1b[2Jc\td");
    assert_string_equal(logged(), "error: a?b?[2Jc?d\n");
    memset(value, 'x', sizeof(value) - 1);
    value[sizeof(value) - 1] = '\0';
    ns_log(NS_LOG_ERROR, "%s", value);
    ns_log(NS_LOG_ERROR, "next");
    line = logged();
    assert_true(strcspn(line, "\n") < 1024);
    assert_string_equal(strchr(line, '\n') + 1, "error: next\n");
}

static void limits_count_what_they_leave_out(void **state)
{
    struct ns_log_limit limit = {.burst = 3};
    size_t lines = 0, calls = 0;
    char expected[100];

    (void)state;
    for (; limit.left_out < 90; calls++)
        ns_log_limited(&limit, NS_LOG_WARNING, "drop");
    for (const char *at = logged(); *at != '\0'; at++)
        lines += *at == '\n';
    assert_true(lines >= 3);
    assert_true(lines <= calls - 90);
    snprintf(expected, sizeof(expected), "warning: drop (%zu more like this were left out)\n",
             (size_t)limit.left_out);
    limit.second--; /* another second has come */
    ns_log_limited(&limit, NS_LOG_WARNING, "drop");
    assert_string_equal(logged(), expected);
    assert_int_equal(limit.left_out, 0);
}

#define LOG_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOG_TEST(levels),
        LOG_TEST(a_line_stays_one_line),
        LOG_TEST(limits_count_what_they_leave_out),
    };

    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
