/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The access log.
 */
#include "nameserv/access_log.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "nameserv/operations.h"

enum { MOUNTS_MAX = NS_MOUNTS_MAX };

/* What a switch turns on; LINES is all of it. */
enum kind { LINES, READS, TRANSACTIONS, SPECIALS, KINDS };
static const char *const switch_names[KINDS] = {"access", "reads", "transactions", "specials"};

struct ns_access_log {
    struct ns_log_file *file; /* NULL: off */
    struct ns_log_file_options options;
    bool on[KINDS];
    const struct ns_mount *mounts[MOUNTS_MAX]; /* that are logged; none: all are */
    unsigned mount_count;
    time_t second; /* of the text */
    char second_text[24];
};

/* ---- lines ---- */

struct line {
    size_t size;
    char text[NS_ACCESS_LOG_LINE];
};

static void put_bytes(struct line *line, const char *bytes, size_t size)
{
    size_t room = sizeof(line->text) - line->size;
    size_t fits = size < room ? size : room;

    for (size_t i = 0; i < fits; i++) {
        char byte = bytes[i];

        line->text[line->size++] = byte == '\0' ? ' ' : (byte < ' ' || byte == 0x7f) ? '?' : byte;
    }
    if (fits < size)
        memcpy(line->text + sizeof(line->text) - 3, "...", 3);
}

static void put_text(struct line *line, const char *text)
{
    put_bytes(line, text, strlen(text));
}

static void put_padding(struct line *line, size_t column)
{
    do
        put_bytes(line, " ", 1);
    while (line->size < column);
}

/* Formatted once a second. */
static void put_time(struct ns_access_log *log, struct line *line)
{
    struct timespec now;
    char rest[8];
    struct tm date;

    clock_gettime(CLOCK_REALTIME, &now);
    if (now.tv_sec != log->second) {
        log->second = now.tv_sec;
        gmtime_r(&now.tv_sec, &date);
        strftime(log->second_text, sizeof(log->second_text), "[%Y%m%dT%H:%M:%S", &date);
    }
    put_text(line, log->second_text);
    snprintf(rest, sizeof(rest), ".%03ldZ]", now.tv_nsec / 1000000 % 1000);
    put_text(line, rest);
}

enum { WHAT_COLUMN = 37, PATH_COLUMN = 47 };

static void begin(struct ns_access_log *log, struct line *line,
                  const struct ns_connection *connection, uint32_t tx, const char *what)
{
    const struct ns_identity *who = &connection->who;
    char name[40];

    line->size = 0;
    put_time(log, line);
    snprintf(name, sizeof(name), who->kind == NS_DOMAIN ? " D%llu" : " A%llu",
             who->kind == NS_DOMAIN ? (unsigned long long)who->domain.domid
                                    : (unsigned long long)connection->number);
    put_text(line, name);
    if (tx != 0) {
        snprintf(name, sizeof(name), ".%u", tx);
        put_text(line, name);
    }
    put_padding(line, WHAT_COLUMN);
    put_text(line, what);
    put_padding(line, PATH_COLUMN);
}

static void end(struct ns_access_log *log, struct line *line)
{
    while (line->size > 0 && line->text[line->size - 1] == ' ')
        line->size--;
    ns_log_file_put(log->file, line->text, line->size);
}

/* ---- what is logged ---- */

static bool is_on(const struct ns_access_log *log)
{
    return log != NULL && log->file != NULL && log->on[LINES];
}

static bool is_logged(const struct ns_access_log *log, struct ns_store *store, const char *path,
                      size_t size)
{
    const struct ns_mount *mount;

    if (log->mount_count == 0 || path[0] != '/')
        return true;
    mount = ns_mount_find(store, path, size);
    for (unsigned i = 0; i < log->mount_count; i++)
        if (log->mounts[i] == mount)
            return true;
    return false;
}

static enum kind kind_of(uint32_t type)
{
    switch (type) {
    case NS_WIRE_DIRECTORY:
    case NS_WIRE_READ:
    case NS_WIRE_GET_PERMS:
    case NS_WIRE_DIRECTORY_PART: return READS;
    case NS_WIRE_TRANSACTION_START:
    case NS_WIRE_TRANSACTION_END: return TRANSACTIONS;
    case NS_WIRE_WATCH:
    case NS_WIRE_UNWATCH:
    case NS_WIRE_RESET_WATCHES:
    case NS_WIRE_WRITE:
    case NS_WIRE_MKDIR:
    case NS_WIRE_RM:
    case NS_WIRE_SET_PERMS: return LINES;
    default: return SPECIALS;
    }
}

/* What an operation is called here. A transaction's end is what came of it, and that has no switch. */
static const char *name_of(const struct ns_call *call, int error, enum kind *kind, char lower[32])
{
    const char *name = call->operation != NULL ? call->operation->name : "unknown";
    size_t i = 0;

    if (call->header->type == NS_WIRE_TRANSACTION_END && call->arguments.first != NULL &&
        call->arguments.first[0] == 'T' && (error == 0 || error == -EAGAIN)) {
        *kind = LINES;
        return error == 0 ? "commit" : "conflict";
    }
    for (; name[i] != '\0' && i < 31; i++)
        lower[i] = (char)tolower((unsigned char)name[i]);
    lower[i] = '\0';
    return lower;
}

static void log_refusal(struct ns_access_log *log, const struct ns_call *call, int error)
{
    struct line line;

    begin(log, &line, call->connection, call->header->tx, "error");
    put_text(&line, ns_wire_error_name(error));
    if (call->path != NULL) {
        put_text(&line, " ");
        put_text(&line, call->path);
    }
    end(log, &line);
}

void ns_access_log_operation(struct ns_access_log *log, const struct ns_call *call, int error)
{
    enum kind kind = kind_of(call->header->type);
    const char *first = call->path != NULL ? call->path : call->arguments.first;
    const char *name;
    char lower[32];
    struct line line;

    if (!is_on(log) ||
        (call->path != NULL && !is_logged(log, call->server->store, call->path, call->path_size)))
        return;
    name = name_of(call, error, &kind, lower);
    if (kind == LINES || log->on[kind]) {
        begin(log, &line, call->connection, call->header->tx, name);
        if (first != NULL)
            put_text(&line, first);
        if (call->arguments.rest_size > 0) {
            put_text(&line, " ");
            put_bytes(&line, call->arguments.rest, call->arguments.rest_size);
        }
        end(log, &line);
    }
    if (error < 0 && error != -ENOENT && error != -EAGAIN)
        log_refusal(log, call, error);
}

void ns_access_log_event(struct ns_access_log *log, const struct ns_connection *connection,
                         const char *path, const char *token)
{
    struct line line;

    if (!is_on(log) || !is_logged(log, connection->server->store, path, strlen(path)))
        return;
    begin(log, &line, connection, 0, "event");
    put_text(&line, path);
    put_text(&line, " ");
    put_text(&line, token);
    end(log, &line);
}

void ns_access_log_client(struct ns_access_log *log, const struct ns_connection *connection,
                          bool came)
{
    const struct ns_identity *who = &connection->who;
    char text[64] = "";
    struct line line;

    if (!is_on(log))
        return;
    begin(log, &line, connection, 0, came ? "newconn" : "endconn");
    if (came && who->kind == NS_USER)
        snprintf(text, sizeof(text), "uid %u pid %u", who->uid, who->pid);
    put_text(&line, text);
    end(log, &line);
}

/* ---- life ---- */

static int choose_mounts(struct ns_access_log *log, struct ns_store *store, const char *list)
{
    while (list != NULL) {
        size_t size = strcspn(list, ",");
        const struct ns_mount *mount = ns_mount_find(store, list, size);
        size_t path_size = mount->path_size;

        if (path_size != size || memcmp(mount->path, list, size) != 0)
            return -ENOENT;
        if (log->mount_count == MOUNTS_MAX)
            return -E2BIG;
        log->mounts[log->mount_count++] = mount;
        list = list[size] == ',' ? list + size + 1 : NULL;
    }
    return 0;
}

int ns_access_log_move(struct ns_access_log *log, const char *where)
{
    struct ns_log_file *file = NULL;
    int error = where != NULL ? ns_log_file_open(where, &log->options, &file) : 0;

    if (error < 0)
        return error;
    if (log->file != NULL)
        ns_log_file_close(log->file);
    log->file = file;
    return 0;
}

int ns_access_log_open(struct ns_store *store, const struct ns_access_log_options *options,
                       struct ns_access_log **result)
{
    struct ns_access_log *log = calloc(1, sizeof(*log));
    int error;

    if (log == NULL)
        return -ENOMEM;
    log->options = options->file;
    log->on[LINES] = true;
    log->on[READS] = options->reads;
    log->on[TRANSACTIONS] = options->transactions;
    log->on[SPECIALS] = options->specials;
    error = choose_mounts(log, store, options->mounts);
    if (error == 0)
        error = ns_access_log_move(log, options->where);
    if (error < 0)
        free(log);
    else
        *result = log;
    return error;
}

void ns_access_log_close(struct ns_access_log *log)
{
    if (log->file != NULL)
        ns_log_file_close(log->file);
    free(log);
}

void ns_access_log_reopen(struct ns_access_log *log)
{
    if (log->file != NULL)
        ns_log_file_reopen(log->file);
}

int ns_access_log_switch(struct ns_access_log *log, const char *name, bool on)
{
    for (int i = 0; i < KINDS; i++) {
        if (strcmp(name, switch_names[i]) == 0) {
            log->on[i] = on;
            return 0;
        }
    }
    return -EINVAL;
}

void ns_access_log_switches(const struct ns_access_log *log, char *text, size_t size)
{
    snprintf(text, size, "%c%s %c%s %c%s %c%s", log->on[0] ? '+' : '-', switch_names[0],
             log->on[1] ? '+' : '-', switch_names[1], log->on[2] ? '+' : '-', switch_names[2],
             log->on[3] ? '+' : '-', switch_names[3]);
}

const char *ns_access_log_where(const struct ns_access_log *log)
{
    return log->file != NULL ? ns_log_file_where(log->file) : NULL;
}

void ns_access_log_counters(const struct ns_access_log *log, struct ns_log_file_counters *out)
{
    *out = (struct ns_log_file_counters){.lines = 0};
    if (log->file != NULL)
        ns_log_file_counters(log->file, out);
}
