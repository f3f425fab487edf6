/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The journal's file: names, permissions and values as SQLite keeps them.
 *
 * It holds the newest state of each name, one row each, and a bound of the numbers that commits have
 * had. Commits are written in transactions of SQLite in its write-ahead log, so a file that was being
 * written when the machine or the daemon died is as it was after some commit. Each row has a checksum of its
 * own; SQLite has none for what is in the main file.
 *
 * Thread safety: one thread at a time.
 */
#ifndef KEDGE_NAMESERV_JOURNAL_FILE_H
#define KEDGE_NAMESERV_JOURNAL_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ns_journal_file;
struct ns_reason;

/* One name, as it is stored. perms: as on the wire, each ending with a NUL. */
struct ns_journal_row {
    const char *path;
    size_t path_size;
    const char *perms;
    size_t perms_size;
    const void *value;
    size_t value_size;
};

/* Open, or make, with mode 0600, the file at path; if that is a folder, the file names.journal in it.
 * sync: transactions are on the disk when they end (else the system writes them when it likes).
 * Refused, with a sentence: what is no journal (-EINVAL), of another version (-EINVAL), in use by
 * another process (-EBUSY), damaged (-EUCLEAN), and what the system refuses. */
int ns_journal_file_open(const char *path, bool sync, struct ns_reason *reason,
                         struct ns_journal_file **file);

/* NULL is ignored. */
void ns_journal_file_close(struct ns_journal_file *file);

/* Its path. */
const char *ns_journal_file_path(const struct ns_journal_file *file);

/* All numbers up to this one count as given to commits; 0: it is new. */
uint64_t ns_journal_file_commits(const struct ns_journal_file *file);

/* Call fn for each row, in order of paths, until it answers non-zero, which is returned. 0;
 * -EUCLEAN (damaged), -EIO, -ENOMEM, with a sentence. */
int ns_journal_file_read(struct ns_journal_file *file,
                         int (*fn)(const struct ns_journal_row *row, void *arg), void *arg,
                         struct ns_reason *reason);

/* ---- writing: begin, put and remove, end ---- */

/* 0, or the negative errno of the first that failed: -ENOSPC, -EIO, -ENOMEM. After a failure abort;
 * then the file is as it was. end makes it durable, and sets what ns_journal_file_commits() says. */
int ns_journal_file_begin(struct ns_journal_file *file);
int ns_journal_file_put(struct ns_journal_file *file, const struct ns_journal_row *row);
/* With all below it. */
int ns_journal_file_remove(struct ns_journal_file *file, const char *path, size_t path_size);
int ns_journal_file_end(struct ns_journal_file *file, uint64_t commits);
void ns_journal_file_abort(struct ns_journal_file *file);

/* What SQLite said about the last failure. */
const char *ns_journal_file_error(const struct ns_journal_file *file);

#endif
