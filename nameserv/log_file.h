/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A log in a file or in syslog, written by a thread of its own, so that whoever logs never waits for a
 * disk.
 *
 * A line is copied into a bounded buffer. The thread takes what is there at least every
 * NS_LOG_FILE_LAG_MS, or when half of the buffer is full, and writes it with few system calls; it also
 * rotates and reopens the file. Lines that come while the buffer is full are left out and counted; the
 * log itself says how many, in their place.
 *
 * Rotation: when the file has reached its size it becomes FILE.1, the one before FILE.2, and so on.
 *
 * Thread safety: any thread but an lcore in its packet loop. A line takes a lock that others hold for
 * the time of a copy; the writing thread never takes it.
 */
#ifndef KEDGE_NAMESERV_LOG_FILE_H
#define KEDGE_NAMESERV_LOG_FILE_H

#include <stddef.h>
#include <stdint.h>

enum { NS_LOG_FILE_BUFFER = 4 << 20, NS_LOG_FILE_LAG_MS = 50, NS_LOG_FILE_LINE_MAX = 1024 };

struct ns_log_file;

struct ns_log_file_options {
    uint64_t size; /* bytes from which on the file is rotated; 0 = never */
    unsigned
        files; /* rotated ones that are kept; the oldest goes. 0: the full file is begun anew */
};

/* Open a log. where: a file's path (made with mode 0600, appended to), or "syslog:FACILITY", as in
 * "syslog:daemon". Afterwards the thread runs. 0 or a negative errno: -EINVAL (no such facility), or why
 * the file can't be opened. */
int ns_log_file_open(const char *where, const struct ns_log_file_options *options,
                     struct ns_log_file **file);

/* Write what is left, end the thread, close. Nobody may use it any more. */
void ns_log_file_close(struct ns_log_file *file);

/* Add a line, without its newline; it is cut at NS_LOG_FILE_LINE_MAX. Waits for no disk. */
void ns_log_file_put(struct ns_log_file *file, const char *line, size_t size);

/* Open the path anew: somebody has moved the file away. Soon, in the thread. Also from signal
 * handlers. */
void ns_log_file_reopen(struct ns_log_file *file);

struct ns_log_file_counters {
    uint64_t lines, left_out, rotations;
};
void ns_log_file_counters(const struct ns_log_file *file, struct ns_log_file_counters *out);

const char *ns_log_file_where(const struct ns_log_file *file);

#endif
