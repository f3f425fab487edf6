/* SPDX-License-Identifier: BSD-3-Clause */
/* A log that a thread writes: lines whole and in order, rotation, reopening, and what does not fit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nameserv/log_file.h"

static char folder[64], path[96];
static const struct ns_log_file_options never_rotated = {.size = 0};

static int setup(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/kedge-test-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/log", folder);
    return 0;
}

static const char *numbered(int number)
{
    static char name[128];

    snprintf(name, sizeof(name), number == 0 ? "%s" : "%s.%d", path, number);
    return name;
}

static int teardown(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++)
        unlink(numbered(i));
    assert_int_equal(rmdir(folder), 0); /* nothing else was made */
    return 0;
}

static struct ns_log_file *open_log(const struct ns_log_file_options *options)
{
    struct ns_log_file *file = NULL;

    assert_int_equal(ns_log_file_open(path, options, &file), 0);
    return file;
}

static void put_number(struct ns_log_file *file, unsigned number)
{
    char line[64];

    ns_log_file_put(file, line, (size_t)sprintf(line, "line %u", number));
}

/* Reads on from the expected number; returns the number after the last. */
static unsigned expect_numbers(int number, unsigned next)
{
    FILE *file = fopen(numbered(number), "r");
    unsigned got;
    char end;

    assert_non_null(file);
    while (fscanf(file, "line %u%c", &got, &end) == 2) {
        assert_int_equal(end, '\n');
        assert_int_equal(got, next);
        next++;
    }
    assert_true(feof(file));
    fclose(file);
    return next;
}

static void lines_are_whole_and_in_order(void **state)
{
    struct ns_log_file *file = open_log(&never_rotated);
    struct ns_log_file_counters counters;
    struct stat about;

    (void)state;
    for (unsigned i = 0; i < 1000; i++)
        put_number(file, i);
    ns_log_file_counters(file, &counters);
    assert_int_equal(counters.lines, 1000);
    assert_string_equal(ns_log_file_where(file), path);
    ns_log_file_close(file);
    assert_int_equal(expect_numbers(0, 0), 1000);
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_mode & 0777, 0600); /* values are not everybody's */

    file = open_log(&never_rotated); /* appended to */
    for (unsigned i = 1000; i < 1010; i++)
        put_number(file, i);
    ns_log_file_close(file);
    assert_int_equal(expect_numbers(0, 0), 1010);
}

static void a_long_line_is_cut(void **state)
{
    struct ns_log_file *file = open_log(&never_rotated);
    char line[2 * NS_LOG_FILE_LINE_MAX];
    struct stat about;

    (void)state;
    memset(line, 'x', sizeof(line));
    ns_log_file_put(file, line, sizeof(line));
    ns_log_file_close(file);
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_size, NS_LOG_FILE_LINE_MAX + 1);
}

/* More than the thread looks at in one piece, so that several rotations happen. */
static void a_full_file_is_rotated(void **state)
{
    const struct ns_log_file_options options = {.size = 64 << 10, .files = 3};
    struct ns_log_file *file = open_log(&options);
    struct ns_log_file_counters counters;
    unsigned next = 0, put = 0;

    (void)state;
    while (put < 40000) {
        put_number(file, put++);
        if (put % 10000 == 0) { /* so that nothing is left out */
            ns_log_file_close(file);
            file = open_log(&options);
        }
    }
    ns_log_file_counters(file, &counters);
    ns_log_file_close(file);
    assert_int_equal(counters.left_out, 0);
    assert_int_equal(access(numbered(3), F_OK), 0);
    assert_int_equal(access(numbered(4), F_OK), -1);
    {
        FILE *oldest = fopen(numbered(3), "r");

        assert_int_equal(fscanf(oldest, "line %u", &next), 1);
        fclose(oldest);
    }
    assert_true(next > 0); /* the first ones are gone */
    for (int i = 3; i >= 0; i--)
        next = expect_numbers(i, next);
    assert_int_equal(next, 40000);
}

static void without_files_to_keep_a_full_file_is_begun_anew(void **state)
{
    const struct ns_log_file_options options = {.size = 1 << 10, .files = 0};
    struct ns_log_file *file = open_log(&options);
    struct stat about;

    (void)state;
    for (unsigned i = 0; i < 30000; i++)
        put_number(file, i);
    ns_log_file_close(file);
    assert_int_equal(stat(path, &about), 0);
    assert_true(about.st_size <= 64 << 10);
}

static void reopening_goes_on_in_a_new_file(void **state)
{
    struct ns_log_file *file = open_log(&never_rotated);

    (void)state;
    put_number(file, 0);
    assert_int_equal(rename(path, numbered(1)), 0);
    ns_log_file_reopen(file);
    while (access(path, F_OK) < 0)
        usleep(1000);
    put_number(file, 1);
    ns_log_file_close(file);
    assert_int_equal(expect_numbers(1, 0), 1); /* what came before is in the old one */
    assert_int_equal(expect_numbers(0, 1), 2);
}

/* A reader that does not read stops the thread, and nobody else. */
static void what_does_not_fit_is_counted_and_said(void **state)
{
    struct ns_log_file_counters counters;
    struct ns_log_file *file;
    static char line[NS_LOG_FILE_LINE_MAX];
    static char bytes[4 * NS_LOG_FILE_BUFFER];
    enum { LINES = 3 * NS_LOG_FILE_BUFFER / NS_LOG_FILE_LINE_MAX };
    size_t size = 0;
    unsigned said = 0;
    char *text;
    ssize_t got;
    int fd;

    (void)state;
    assert_int_equal(mkfifo(path, 0600), 0);
    fd = open(path, O_RDONLY | O_NONBLOCK);
    assert_true(fd >= 0);
    file = open_log(&never_rotated);
    memset(line, 'y', sizeof(line));
    for (int i = 0; i < LINES; i++)
        ns_log_file_put(file, line, sizeof(line));
    ns_log_file_counters(file, &counters);
    assert_int_equal(counters.lines + counters.left_out, LINES);
    assert_true(counters.left_out > 0);

    assert_int_equal(fcntl(fd, F_SETFL, 0), 0);
    while (said == 0 && (got = read(fd, bytes + size, sizeof(bytes) - 1 - size)) > 0) {
        size += (size_t)got;
        bytes[size] = '\0';
        text = strstr(bytes, " lines were left out");
        if (text != NULL) {
            while (text > bytes && text[-1] != '\n')
                text--;
            said = (unsigned)strtoul(text, NULL, 10);
        }
    }
    assert_int_equal(said, counters.left_out);
    for (int i = 0; i < 500; i++) /* more than the pipe takes: the end does not wait for a reader */
        ns_log_file_put(file, line, sizeof(line));
    ns_log_file_close(file);
    close(fd);
}

static void *logs_ten_thousand(void *arg)
{
    for (int i = 0; i < 2000; i++)
        ns_log_file_put(arg, "a line of some thread", 21);
    return NULL;
}

static void many_threads_may_log(void **state)
{
    struct ns_log_file *file = open_log(&never_rotated);
    pthread_t threads[4];
    struct stat about;

    (void)state;
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, logs_ten_thousand, file), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    ns_log_file_close(file);
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_size, 4 * 2000 * 22);
}

static void what_can_not_be_opened_is_said(void **state)
{
    struct ns_log_file *file;
    char bad[128];

    (void)state;
    assert_int_equal(ns_log_file_open("syslog:nobody", &never_rotated, &file), -EINVAL);
    snprintf(bad, sizeof(bad), "%s/no/such/folder", folder);
    assert_int_equal(ns_log_file_open(bad, &never_rotated, &file), -ENOENT);
    assert_int_equal(ns_log_file_open("syslog:local3", &never_rotated, &file), 0);
    ns_log_file_close(file);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(lines_are_whole_and_in_order),
        WITH(a_long_line_is_cut),
        WITH(a_full_file_is_rotated),
        WITH(without_files_to_keep_a_full_file_is_begun_anew),
        WITH(reopening_goes_on_in_a_new_file),
        WITH(what_does_not_fit_is_counted_and_said),
        WITH(many_threads_may_log),
        WITH(what_can_not_be_opened_is_said),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
