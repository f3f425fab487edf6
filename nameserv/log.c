/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The daemon's log.
 */
#include "nameserv/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "nameserv/log_file.h"

enum { LINE_MAX_SIZE = 1024 };

static const char *const level_names[] = {"error", "warning", "notice", "info", "debug"};
static int current = NS_LOG_NOTICE;
static pthread_mutex_t target_lock = PTHREAD_MUTEX_INITIALIZER;
static struct ns_log_file *target; /* NULL: stderr */

void ns_log_to(struct ns_log_file *file)
{
    pthread_mutex_lock(&target_lock);
    target = file;
    pthread_mutex_unlock(&target_lock);
}

void ns_log_set(enum ns_log_level level)
{
    __atomic_store_n(&current, (int)level, __ATOMIC_RELAXED);
}

enum ns_log_level ns_log_get(void)
{
    return (enum ns_log_level)__atomic_load_n(&current, __ATOMIC_RELAXED);
}

bool ns_log_parse(const char *text, enum ns_log_level *level)
{
    for (int i = NS_LOG_ERROR; i <= NS_LOG_DEBUG; i++) {
        if (strcmp(text, level_names[i]) == 0) {
            *level = (enum ns_log_level)i;
            return true;
        }
    }
    return false;
}

/* Texts of clients end up in the log: none of their bytes may end the line or steer a terminal. */
static void make_printable(char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
            text[i] = '?';
}

/* A file needs the time; who reads stderr, a terminal or a journal, knows it. */
static size_t format_time(char *text, size_t size)
{
    struct timespec now;
    struct tm date;
    size_t done;

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &date);
    done = strftime(text, size, "[%Y%m%dT%H:%M:%S", &date);
    return done + (size_t)snprintf(text + done, size - done, ".%03ldZ] ", now.tv_nsec / 1000000);
}

static void write_to_target(char *line, size_t size)
{
    char whole[LINE_MAX_SIZE];
    size_t before;

    pthread_mutex_lock(&target_lock);
    if (target != NULL) {
        before = format_time(whole, sizeof(whole));
        if (size > sizeof(whole) - before)
            size = sizeof(whole) - before;
        memcpy(whole + before, line, size);
        ns_log_file_put(target, whole, before + size);
    } else {
        line[size++] = '\n';
        if (write(STDERR_FILENO, line, size) < 0)
            errno = 0; /* nobody is left to be told */
    }
    pthread_mutex_unlock(&target_lock);
}

static void write_line(enum ns_log_level level, const char *format, va_list arguments,
                       uint64_t left_out)
{
    char line[LINE_MAX_SIZE];
    size_t room = sizeof(line) - 1; /* for the end of the line */
    size_t size = (size_t)snprintf(line, room, "%s: ", level_names[level]);
    int more = vsnprintf(line + size, room - size, format, arguments);

    size = more < 0 ? size : size + (size_t)more;
    if (size < room && left_out > 0) {
        more = snprintf(line + size, room - size, " (%llu more like this were left out)",
                        (unsigned long long)left_out);
        size += (size_t)more;
    }
    if (size > room - 1)
        size = room - 1;
    make_printable(line, size);
    write_to_target(line, size);
}

void ns_log(enum ns_log_level level, const char *format, ...)
{
    va_list arguments;

    if (level > ns_log_get())
        return;
    va_start(arguments, format);
    write_line(level, format, arguments, 0);
    va_end(arguments);
}

/* May a line of this kind be printed now? *left_out gets how many before it were not. */
static bool within_limit(struct ns_log_limit *limit, uint64_t *left_out)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    struct timespec now;
    bool within;

    clock_gettime(CLOCK_MONOTONIC, &now);
    pthread_mutex_lock(&lock);
    if (limit->second != (uint64_t)now.tv_sec) {
        limit->second = (uint64_t)now.tv_sec;
        limit->count = 0;
    }
    within = limit->count < limit->burst;
    *left_out = within ? limit->left_out : 0;
    limit->count += within;
    limit->left_out = within ? 0 : limit->left_out + 1;
    pthread_mutex_unlock(&lock);
    return within;
}

void ns_log_limited(struct ns_log_limit *limit, enum ns_log_level level, const char *format, ...)
{
    va_list arguments;
    uint64_t left_out;

    if (level > ns_log_get() || !within_limit(limit, &left_out))
        return;
    va_start(arguments, format);
    write_line(level, format, arguments, left_out);
    va_end(arguments);
}
