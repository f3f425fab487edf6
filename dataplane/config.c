/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reading the configuration file.
 *
 * Which line a refused name comes from is remembered for every name that a line writes; the last
 * line that writes it counts, because it is the one that is judged.
 */
#include "dataplane/config.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/command.h"

struct config_mistake {
    unsigned line;
    char *text;
};

struct config_name {
    unsigned line;
    char *path;
};

enum purpose { JUDGE, COMMIT };

struct config_reader {
    const struct config_file *file;
    struct ns_parts *parts; /* hang these, and look at nothing else; NULL: the reverse */
    struct ns_txn *txn;
    unsigned line, commands;
    struct config_mistake *mistakes;
    size_t mistake_count;
    struct config_name *names;
    size_t name_count;
    int error; /* the first */
};

/* The administrator's own file: it may write what root may, not what only the stack writes. */
static const struct ns_identity config_identity = {.privileged = true};

static void add_mistake(struct config_reader *reader, unsigned line, int error, const char *format,
                        ...) __attribute__((format(printf, 4, 5)));

static void add_mistake(struct config_reader *reader, unsigned line, int error, const char *format,
                        ...)
{
    struct config_mistake *more =
        realloc(reader->mistakes, (reader->mistake_count + 1) * sizeof(*reader->mistakes));
    va_list arguments;

    if (reader->error == 0)
        reader->error = error < 0 ? error : -error;
    if (more == NULL)
        return;
    reader->mistakes = more;
    more += reader->mistake_count;
    more->line = line;
    va_start(arguments, format);
    if (vasprintf(&more->text, format, arguments) >= 0)
        reader->mistake_count++;
    va_end(arguments);
}

static void remember_name(struct config_reader *reader, const char *path)
{
    struct config_name *more = reader->names;
    char *copy = strdup(path);

    if ((reader->name_count & (reader->name_count - 1)) == 0) /* room for the next power of two */
        more =
            realloc(more, (reader->name_count == 0 ? 1 : reader->name_count * 2) * sizeof(*more));
    if (more != NULL)
        reader->names = more;
    if (copy == NULL || more == NULL) {
        free(copy);
        add_mistake(reader, reader->line, ENOMEM, "no memory");
        return;
    }
    more[reader->name_count++] = (struct config_name){reader->line, copy};
}

/* Is one of the two paths at or above the other? Answers how many components' bytes they share. */
static size_t related(const char *a, const char *b)
{
    size_t size = strlen(a) < strlen(b) ? strlen(a) : strlen(b);

    if (strncmp(a, b, size) != 0 || (a[size] != '\0' && a[size] != '/') ||
        (b[size] != '\0' && b[size] != '/'))
        return 0;
    return size;
}

/* The line that a refusal is about: the last that writes the name, else the last that writes
 * something closest above or below it. 0: none. */
static unsigned line_of(const struct config_reader *reader, const char *path)
{
    size_t best = 0;
    unsigned line = 0;

    for (size_t i = reader->name_count; i-- > 0;) {
        if (strcmp(reader->names[i].path, path) == 0)
            return reader->names[i].line;
        if (related(reader->names[i].path, path) > best) {
            best = related(reader->names[i].path, path);
            line = reader->names[i].line;
        }
    }
    return line;
}

static void forget_names(struct config_reader *reader)
{
    for (size_t i = 0; i < reader->name_count; i++)
        free(reader->names[i].path);
    free(reader->names);
    reader->names = NULL;
    reader->name_count = 0;
}

static bool is_mistaken(const struct config_reader *reader, unsigned line)
{
    for (size_t i = 0; i < reader->mistake_count; i++)
        if (reader->mistakes[i].line == line)
            return true;
    return false;
}

/* ---- lines ---- */

/* A refusal by the store or a module, with the name that it is about. */
static void add_refusal(struct config_reader *reader, unsigned line, int error,
                        const struct ns_reason *reason)
{
    add_mistake(reader, line, error, "%s%s%s", reason->path, reason->path[0] != '\0' ? ": " : "",
                reason->text[0] != '\0' ? reason->text : strerror(-error));
}

static int any_child(const struct ns_entry *child, void *arg)
{
    (void)child, (void)arg;
    return 1;
}

static int prune(struct ns_txn *txn, const char *path)
{
    int error = ns_txn_list(txn, path, any_child, NULL);

    if (error == 0)
        error = ns_txn_remove(txn, path);
    return error == -ENOENT || error > 0 ? 0 : error;
}

static int apply(struct ns_txn *txn, const struct command_op *op)
{
    switch (op->kind) {
    case COMMAND_WRITE: return ns_txn_write(txn, op->path, op->value, strlen(op->value));
    case COMMAND_MKDIR: return ns_txn_mkdir(txn, op->path);
    case COMMAND_REMOVE: return ns_txn_remove(txn, op->path);
    case COMMAND_PRUNE: return prune(txn, op->path);
    case COMMAND_PRESENT:
    case COMMAND_ABSENT: return 0; /* for kedgectl: a file may say a thing twice */
    }
    return 0;
}

/* What del is to remove must be there, here as on the command line. */
static bool is_missing(struct ns_txn *txn, const struct command *command,
                       const struct command_op *op)
{
    const void *value;
    size_t size;

    return op->kind == COMMAND_PRESENT && strcmp(command->verb, "del") == 0 &&
           ns_txn_read(txn, op->path, &value, &size) == -ENOENT;
}

static void apply_command(struct config_reader *reader, const struct command *command)
{
    for (size_t i = 0; i < command->op_count; i++) {
        int error;

        if (is_missing(reader->txn, command, &command->ops[i])) {
            add_mistake(reader, reader->line, ENOENT, "%s", command->ops[i].value);
            return;
        }
        error = apply(reader->txn, &command->ops[i]);
        if (error < 0) {
            add_refusal(reader, reader->line, error, ns_txn_reason(reader->txn));
            return;
        }
        remember_name(reader, command->ops[i].path);
    }
}

/* ---- mounts ---- */

static bool is_mount_line(const char *line, size_t size)
{
    size_t blank = strspn(line, " \t");

    return size > blank + 5 && strncmp(line + blank, "mount", 5) == 0 &&
           (line[blank + 5] == ' ' || line[blank + 5] == '\t');
}

static void hang_line(struct config_reader *reader, const char *line, size_t size)
{
    const char *words[COMMAND_WORDS_MAX];
    struct ns_reason reason = {.text = ""};
    char why[COMMAND_WHY_MAX] = "";
    char *buffer = malloc(size + 1);
    int count = buffer != NULL ? command_split(line, size, buffer, words, why) : -ENOMEM;

    if (count < 0) {
        add_mistake(reader, reader->line, count, "%s", why[0] != '\0' ? why : strerror(-count));
    } else if (count != 4 || strcmp(words[1], "add") != 0) {
        add_mistake(reader, reader->line, EINVAL,
                    "a mount is written 'mount add PATH xenstore' or 'mount add PATH plain'");
    } else {
        int error = ns_parts_hang(reader->parts, words[2], words[3], &reason);

        if (error < 0)
            add_refusal(reader, reader->line, error, &reason);
    }
    free(buffer);
}

static void read_line(struct config_reader *reader, const char *line, size_t size)
{
    struct command command = {.noun = NULL};
    char why[COMMAND_WHY_MAX] = "";
    int error;

    if (is_mount_line(line, size)) {
        reader->commands++;
        if (reader->parts != NULL)
            hang_line(reader, line, size);
        return;
    }
    if (reader->parts != NULL)
        return;
    error = command_parse_line(line, size, &command, why);
    if (error < 0) {
        add_mistake(reader, reader->line, error, "%s", why[0] != '\0' ? why : strerror(-error));
        return;
    }
    if (command.noun == NULL)
        return;
    reader->commands++;
    if (reader->file->names_only && strcmp(command.noun, "name") != 0)
        add_mistake(
            reader, reader->line, EINVAL,
            "'%s' is of the stack, which --names-only leaves out; 'name' and 'mount' are not",
            command.noun);
    else
        apply_command(reader, &command);
    command_free(&command);
}

/* Some editors begin a file of UTF-8 with a byte order mark. */
static size_t mark_size(const struct config_reader *reader, const char *line)
{
    static const char mark[] = "\xef\xbb\xbf";

    return reader->line == 1 && strncmp(line, mark, strlen(mark)) == 0 ? strlen(mark) : 0;
}

/* What is read a second time would be empty then. */
static bool is_pipe(FILE *stream)
{
    struct stat status;

    return fstat(fileno(stream), &status) == 0 && S_ISFIFO(status.st_mode);
}

static FILE *open_file(struct config_reader *reader)
{
    FILE *stream = fopen(reader->file->path, "re");

    if (stream == NULL) {
        add_mistake(reader, 0, errno, "it can't be opened: %s", strerror(errno));
    } else if (is_pipe(stream)) {
        add_mistake(reader, 0, ESPIPE, "it is a pipe, and is read more than once; a file is right");
        fclose(stream);
        stream = NULL;
    }
    return stream;
}

static int read_lines(struct config_reader *reader)
{
    FILE *stream = open_file(reader);
    char *line = NULL;
    size_t room = 0;
    ssize_t size;

    if (stream == NULL)
        return reader->error;
    for (reader->line = 1; (size = getline(&line, &room, stream)) >= 0; reader->line++) {
        size_t mark = mark_size(reader, line);

        if (!is_mistaken(reader, reader->line))
            read_line(reader, line + mark,
                      (size_t)size - mark - (size > 0 && line[size - 1] == '\n'));
    }
    if (ferror(stream))
        add_mistake(reader, 0, errno, "it can't be read: %s", strerror(errno));
    free(line);
    fclose(stream);
    return reader->error;
}

/* ---- judging and committing ---- */

static void take_refusal(const struct ns_reason *reason, void *arg)
{
    struct config_reader *reader = arg;

    add_refusal(reader, line_of(reader, reason->path), -EINVAL, reason);
}

static void judge(struct config_reader *reader)
{
    int error = ns_txn_judge(reader->txn, take_refusal, reader);

    if (error < 0 && reader->error == 0)
        add_mistake(reader, 0, error, "it can't be judged: %s", strerror(-error));
}

static void commit(struct config_reader *reader)
{
    struct ns_reason reason = {.text = ""};
    uint64_t version;
    int error = ns_txn_commit(reader->txn, &version, &reason);

    if (error < 0)
        add_refusal(reader, line_of(reader, reason.path), error, &reason);
}

/* Read the file into a transaction, and end that. */
static void go_through(struct config_reader *reader, struct ns_store *store, enum purpose purpose)
{
    int error = ns_txn_begin(store, &config_identity, &reader->txn);

    reader->commands = 0;
    if (error < 0) {
        add_mistake(reader, 0, error, "no transaction: %s", strerror(-error));
        return;
    }
    read_lines(reader);
    if (purpose == JUDGE)
        judge(reader);
    else if (reader->error == 0)
        commit(reader);
    else
        ns_txn_abort(reader->txn);
}

/* What is wrong between names is judged only where each of them is right. So lines that are wrong by themselves
 * are left out and the rest is judged again, until nothing new is found. */
static void find_mistakes(struct config_reader *reader, struct ns_store *store)
{
    size_t known;

    do {
        known = reader->mistake_count;
        forget_names(reader);
        go_through(reader, store, JUDGE);
    } while (reader->mistake_count > known && reader->mistakes[known].line != 0);
}

static int by_line(const void *a, const void *b)
{
    const struct config_mistake *x = a, *y = b;

    return x->line < y->line ? -1 : x->line > y->line;
}

/* The end of a reader. */
static int tell_mistakes(struct config_reader *reader)
{
    if (reader->mistake_count > 0)
        qsort(reader->mistakes, reader->mistake_count, sizeof(*reader->mistakes), by_line);
    for (size_t i = 0; i < reader->mistake_count; i++) {
        reader->file->mistake(reader->file->path, reader->mistakes[i].line,
                              reader->mistakes[i].text);
        free(reader->mistakes[i].text);
    }
    free(reader->mistakes);
    forget_names(reader);
    return reader->error;
}

int config_hang(const struct config_file *file, struct ns_parts *parts)
{
    struct config_reader reader = {.file = file, .parts = parts};

    read_lines(&reader);
    return tell_mistakes(&reader);
}

int config_check(const struct config_file *file, struct ns_parts *parts, struct ns_store *store,
                 unsigned *commands)
{
    struct config_reader reader = {.file = file, .parts = parts};

    if (parts != NULL)
        read_lines(&reader);
    reader.parts = NULL;
    if (reader.mistake_count == 0 || reader.mistakes[0].line != 0) /* it can be read */
        find_mistakes(&reader, store);
    *commands = reader.commands;
    return tell_mistakes(&reader);
}

/* Judging first tells all mistakes; a commit would tell the first. */
int config_commit(const struct config_file *file, struct ns_store *store, unsigned *commands)
{
    struct config_reader reader = {.file = file};

    find_mistakes(&reader, store);
    if (reader.error == 0)
        go_through(&reader, store, COMMIT);
    *commands = reader.commands;
    return tell_mistakes(&reader);
}
