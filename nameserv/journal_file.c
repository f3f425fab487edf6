/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The journal's file; see journal_file.h.
 *
 *   name     path, perms, value, sum: a row for each name
 *   state    key, value: 'commits'
 *
 * The file is locked for as long as it is open (locking_mode=EXCLUSIVE), which also does without the
 * shared memory of SQLite's write-ahead log.
 */
#include "nameserv/journal_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nameserv/store_p.h"

enum { APPLICATION_ID = 0x4b656467, FORMAT = 1 }; /* "Kedg" */

enum statement { PUT, REMOVE, REMOVE_BELOW, SET_COMMITS, STATEMENTS };

struct ns_journal_file {
    char *path;
    sqlite3 *db;
    sqlite3_stmt *statements[STATEMENTS];
    uint64_t commits;
    bool open; /* a transaction */
};

/* Everything below a path lies between path + '/' and path + '0', the byte after it. Two statements,
 * because one with OR would look at every row. */
static const char *const texts[STATEMENTS] = {
    [PUT] = ("INSERT INTO name(path, perms, value, sum) VALUES(?1, ?2, ?3, ?4) ON CONFLICT(path) "
             "DO UPDATE SET perms = ?2, value = ?3, sum = ?4"),
    [REMOVE] = "DELETE FROM name WHERE path = ?1",
    [REMOVE_BELOW] = "DELETE FROM name WHERE path > ?1 AND path < ?2",
    [SET_COMMITS] = "UPDATE state SET value = ?1 WHERE key = 'commits'",
};

static const char new_file[] =
    "PRAGMA application_id = 1264936039;" /* APPLICATION_ID */
    "PRAGMA user_version = 1;"            /* FORMAT */
    "CREATE TABLE name(path BLOB PRIMARY KEY, perms BLOB NOT NULL, value BLOB NOT NULL,"
    " sum INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE state(key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
    "INSERT INTO state VALUES('commits', 0);";

_Static_assert(APPLICATION_ID == 1264936039, "the number in new_file");

/* ---- errors ---- */

static int error_of(int code)
{
    switch (code & 0xff) {
    case SQLITE_OK:
    case SQLITE_DONE:
    case SQLITE_ROW: return 0;
    case SQLITE_FULL: return -ENOSPC;
    case SQLITE_NOMEM: return -ENOMEM;
    case SQLITE_BUSY:
    case SQLITE_LOCKED: return -EBUSY;
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH: return -EACCES;
    case SQLITE_NOTADB: return -EINVAL;
    case SQLITE_CORRUPT: return -EUCLEAN;
    default: return -EIO;
    }
}

const char *ns_journal_file_error(const struct ns_journal_file *file)
{
    return sqlite3_errmsg(file->db);
}

static int say(const struct ns_journal_file *file, int error, struct ns_reason *reason)
{
    switch (error) {
    case 0: return 0;
    case -EINVAL:
        return ns_reason_set(reason, EINVAL, "",
                             "%s is not a journal of kedged; name another file, or move it away",
                             file->path);
    case -EBUSY:
        return ns_reason_set(reason, EBUSY, "",
                             "the journal %s is in use by another process; stop it, or name "
                             "another file",
                             file->path);
    case -EUCLEAN:
        return ns_reason_set(reason, EUCLEAN, "",
                             "the journal %s is damaged (%s); restore it from a copy, or move it "
                             "away to begin with nothing",
                             file->path, ns_journal_file_error(file));
    default:
        return ns_reason_set(reason, -error, "", "the journal %s can't be used: %s", file->path,
                             ns_journal_file_error(file));
    }
}

/* ---- opening ---- */

static int run(struct ns_journal_file *file, const char *sql)
{
    return error_of(sqlite3_exec(file->db, sql, NULL, NULL, NULL));
}

static int number(struct ns_journal_file *file, const char *sql, int64_t *value)
{
    sqlite3_stmt *statement;
    int code = sqlite3_prepare_v2(file->db, sql, -1, &statement, NULL);

    *value = 0;
    if (code == SQLITE_OK)
        code = sqlite3_step(statement);
    if (code == SQLITE_ROW)
        *value = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return error_of(code);
}

/* SQLite would make a file that others may read. */
static int make_private(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);

    if (fd < 0)
        return -errno;
    close(fd);
    return 0;
}

static char *full_path(const char *path)
{
    struct stat found;
    char *full;

    if (stat(path, &found) < 0 || !S_ISDIR(found.st_mode))
        return strdup(path);
    return asprintf(&full, "%s/names.journal", path) < 0 ? NULL : full;
}

/* Is it a journal, in the format that we know? A file of no bytes becomes one. */
static int recognise(struct ns_journal_file *file, struct ns_reason *reason)
{
    int64_t application, format, tables;
    int error = number(file, "SELECT count(*) FROM sqlite_master", &tables);

    if (error == 0)
        error = number(file, "PRAGMA application_id", &application);
    if (error == 0)
        error = number(file, "PRAGMA user_version", &format);
    if (error == 0 && tables == 0 && application == 0) {
        error = run(file, "BEGIN IMMEDIATE");
        if (error == 0)
            error = run(file, new_file);
        return say(file, error == 0 ? run(file, "COMMIT") : error, reason);
    }
    if (error == 0 && application != APPLICATION_ID)
        error = -EINVAL;
    if (error == 0 && format != FORMAT)
        return ns_reason_set(reason, EINVAL, "",
                             "the journal %s has format %lld, and this kedged knows format %d",
                             file->path, (long long)format, FORMAT);
    return say(file, error, reason);
}

static int prepare(struct ns_journal_file *file)
{
    int error = 0;

    for (int i = 0; i < STATEMENTS && error == 0; i++)
        error = error_of(sqlite3_prepare_v3(file->db, texts[i], -1, SQLITE_PREPARE_PERSISTENT,
                                            &file->statements[i], NULL));
    return error;
}

static int set_up(struct ns_journal_file *file, bool sync, struct ns_reason *reason)
{
    int64_t commits;
    int error = run(file, "PRAGMA locking_mode = EXCLUSIVE; PRAGMA trusted_schema = OFF");

    if (error == 0)
        error = recognise(file, reason);
    if (error != 0)
        return reason->text[0] != '\0' ? error : say(file, error, reason);
    error = run(file, "PRAGMA journal_mode = WAL");
    if (error == 0)
        error = run(file, sync ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = OFF");
    if (error == 0)
        error = run(file, "PRAGMA cache_size = -32768; PRAGMA wal_autocheckpoint = 16384; PRAGMA "
                          "journal_size_limit = 67108864");
    if (error == 0)
        error = prepare(file);
    if (error == 0)
        error = number(file, "SELECT value FROM state WHERE key = 'commits'", &commits);
    if (error == 0)
        file->commits = (uint64_t)commits;
    return say(file, error, reason);
}

int ns_journal_file_open(const char *path, bool sync, struct ns_reason *reason,
                         struct ns_journal_file **result)
{
    struct ns_journal_file *file = calloc(1, sizeof(*file));
    int error;

    reason->text[0] = reason->path[0] = '\0';
    if (file != NULL)
        file->path = full_path(path);
    if (file == NULL || file->path == NULL) {
        free(file);
        return ns_reason_set(reason, ENOMEM, "", "out of memory");
    }
    error = make_private(file->path);
    if (error != 0) {
        ns_reason_set(reason, -error, "", "the journal %s can't be opened: %s", file->path,
                      strerror(-error));
    } else {
        error = error_of(sqlite3_open_v2(file->path, &file->db,
                                         SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL));
        error = error != 0 ? say(file, error, reason) : set_up(file, sync, reason);
    }
    if (error != 0)
        ns_journal_file_close(file);
    else
        *result = file;
    return error;
}

void ns_journal_file_close(struct ns_journal_file *file)
{
    if (file == NULL)
        return;
    for (int i = 0; i < STATEMENTS; i++)
        sqlite3_finalize(file->statements[i]);
    sqlite3_close(file->db);
    free(file->path);
    free(file);
}

const char *ns_journal_file_path(const struct ns_journal_file *file)
{
    return file->path;
}

uint64_t ns_journal_file_commits(const struct ns_journal_file *file)
{
    return file->commits;
}

/* ---- rows ---- */

/* FNV-1a, which is in the files: it finds what was damaged, not who meant to. */
#define SUM_START UINT32_C(2166136261)

static uint32_t sum_byte(uint32_t sum, unsigned char byte)
{
    return (sum ^ byte) * UINT32_C(16777619);
}

static uint32_t sum_bytes(uint32_t sum, const void *bytes, size_t size)
{
    const unsigned char *byte = bytes;

    for (size_t i = 0; i < size; i++)
        sum = sum_byte(sum, byte[i]);
    return sum_byte(sum, 0xff); /* what ends a field */
}

static uint32_t sum_of(const struct ns_journal_row *row)
{
    uint32_t sum = sum_bytes(SUM_START, row->path, row->path_size);

    sum = sum_bytes(sum, row->perms, row->perms_size);
    return sum_bytes(sum, row->value, row->value_size);
}

static int damaged(const struct ns_journal_file *file, const struct ns_journal_row *row,
                   struct ns_reason *reason)
{
    return ns_reason_set(reason, EUCLEAN, "",
                         "the journal %s is damaged: what it has of %.*s is not what was written; "
                         "restore it from a copy, or move it away to begin with nothing",
                         file->path, row->path_size > 200 ? 200 : (int)row->path_size,
                         row->path_size > 0 ? row->path : "");
}

/* SQLite gives NULL for a blob of no bytes. */
static const void *blob(sqlite3_stmt *statement, int at)
{
    const void *bytes = sqlite3_column_blob(statement, at);

    return bytes != NULL ? bytes : "";
}

static int read_row(struct ns_journal_file *file, sqlite3_stmt *statement,
                    int (*fn)(const struct ns_journal_row *row, void *arg), void *arg,
                    struct ns_reason *reason)
{
    const struct ns_journal_row row = {.path = blob(statement, 0),
                                       .path_size = (size_t)sqlite3_column_bytes(statement, 0),
                                       .perms = blob(statement, 1),
                                       .perms_size = (size_t)sqlite3_column_bytes(statement, 1),
                                       .value = blob(statement, 2),
                                       .value_size = (size_t)sqlite3_column_bytes(statement, 2)};

    if (sum_of(&row) != (uint32_t)sqlite3_column_int64(statement, 3))
        return damaged(file, &row, reason);
    return fn(&row, arg);
}

int ns_journal_file_read(struct ns_journal_file *file,
                         int (*fn)(const struct ns_journal_row *row, void *arg), void *arg,
                         struct ns_reason *reason)
{
    sqlite3_stmt *statement;
    int answer = 0,
        code =
            sqlite3_prepare_v2(file->db, "SELECT path, perms, value, sum FROM name ORDER BY path",
                               -1, &statement, NULL);

    while (code == SQLITE_OK && answer == 0 && (code = sqlite3_step(statement)) == SQLITE_ROW) {
        answer = read_row(file, statement, fn, arg, reason);
        code = SQLITE_OK;
    }
    if (answer == 0)
        answer = say(file, error_of(code), reason);
    sqlite3_finalize(statement);
    return answer;
}

/* ---- writing ---- */

/* An empty blob must not become NULL. */
static void bind(sqlite3_stmt *statement, int at, const void *bytes, size_t size)
{
    sqlite3_bind_blob(statement, at, size == 0 ? "" : bytes, (int)size, SQLITE_STATIC);
}

static int step(struct ns_journal_file *file, enum statement which)
{
    int error = error_of(sqlite3_step(file->statements[which]));

    sqlite3_reset(file->statements[which]);
    return error;
}

int ns_journal_file_begin(struct ns_journal_file *file)
{
    int error = run(file, "BEGIN IMMEDIATE");

    file->open = error == 0;
    return error;
}

int ns_journal_file_put(struct ns_journal_file *file, const struct ns_journal_row *row)
{
    sqlite3_stmt *statement = file->statements[PUT];

    bind(statement, 1, row->path, row->path_size);
    bind(statement, 2, row->perms, row->perms_size);
    bind(statement, 3, row->value, row->value_size);
    sqlite3_bind_int64(statement, 4, sum_of(row));
    return step(file, PUT);
}

int ns_journal_file_remove(struct ns_journal_file *file, const char *path, size_t path_size)
{
    char first[NS_PATH_MAX + 2], last[NS_PATH_MAX + 2];
    int error;

    memcpy(first, path, path_size);
    memcpy(last, path, path_size);
    first[path_size] = '/';
    last[path_size] = '/' + 1;
    bind(file->statements[REMOVE], 1, path, path_size);
    bind(file->statements[REMOVE_BELOW], 1, first, path_size + 1);
    bind(file->statements[REMOVE_BELOW], 2, last, path_size + 1);
    error = step(file, REMOVE);
    return error == 0 ? step(file, REMOVE_BELOW) : error;
}

int ns_journal_file_end(struct ns_journal_file *file, uint64_t commits)
{
    int error;

    sqlite3_bind_int64(file->statements[SET_COMMITS], 1, (int64_t)commits);
    error = step(file, SET_COMMITS);
    if (error == 0)
        error = run(file, "COMMIT");
    if (error != 0)
        return error;
    file->open = false;
    file->commits = commits;
    return 0;
}

void ns_journal_file_abort(struct ns_journal_file *file)
{
    if (file->open && !sqlite3_get_autocommit(file->db))
        run(file, "ROLLBACK");
    file->open = false;
}
