/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The daemon's log: stderr or a file, one line an event, level first (in a file, after the time).
 *
 * Thread safety: any thread that is not an lcore in its packet loop; a line is one write.
 */
#ifndef KEDGE_NAMESERV_LOG_H
#define KEDGE_NAMESERV_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum ns_log_level { NS_LOG_ERROR, NS_LOG_WARNING, NS_LOG_NOTICE, NS_LOG_INFO, NS_LOG_DEBUG };

/* Print levels up to this one; NS_LOG_NOTICE at start. */
void ns_log_set(enum ns_log_level level);
enum ns_log_level ns_log_get(void);

/* "error", "warning", "notice", "info", "debug"; false if it is none of these. */
bool ns_log_parse(const char *text, enum ns_log_level *level);

/* From now on write to the file; NULL: to stderr, as at first. When it returns the file that was used
 * before is used no more. */
struct ns_log_file;
void ns_log_to(struct ns_log_file *file);

void ns_log(enum ns_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* At most `burst` lines of one kind in each second; what was left out is counted and said with the
 * next line. A static object for each kind. */
struct ns_log_limit {
    uint32_t burst;
    uint32_t count;
    uint64_t second;
    uint64_t left_out;
};
void ns_log_limited(struct ns_log_limit *limit, enum ns_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
