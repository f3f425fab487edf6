/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * /stats: the computed mount, and the names registered in it.
 *
 * Registered names stand in one sorted array: a daemon has some dozens of them, given at start. The
 * order is that of the bytes with '/' first, so that a name's descendants follow it.
 */
#include "nameserv/stats.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATS_PATH "/stats"

struct stat_name {
    char *name;
    size_t size;
    void (*read)(struct ns_query *query, const char *below, void *arg);
    void (*list)(struct ns_query *query, const char *below, void *arg);
    void *arg;
};

struct ns_stats {
    struct ns_mount mount; /* first: hooks get it */
    struct stat_name *names;
    size_t count;
};

/* ---- answers ---- */

static void answer_text(struct ns_query *query, int error, const char *format, va_list arguments)
{
    char *text = NULL;
    int size = vasprintf(&text, format, arguments);

    if (size < 0)
        ns_query_answer(query, -ENOMEM, NULL, 0);
    else
        ns_query_answer(query, error, text, (size_t)size);
    if (size >= 0)
        free(text);
}

void ns_query_printf(struct ns_query *query, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    answer_text(query, 0, format, arguments);
    va_end(arguments);
}

void ns_query_refuse(struct ns_query *query, int error, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    answer_text(query, error < 0 ? error : -error, format, arguments);
    va_end(arguments);
}

/* ---- look-up ---- */

/* What a query asks for: its path below /stats, without a leading '/'. */
static const char *asked_name(const struct ns_query *query)
{
    const char *name = query->path + strlen(STATS_PATH);

    return *name == '/' ? name + 1 : name;
}

/* Does `upper` name `name` itself or something above it? */
static bool is_at_or_above(const char *upper, size_t upper_size, const char *name)
{
    return strncmp(upper, name, upper_size) == 0 &&
           (name[upper_size] == '/' || name[upper_size] == '\0');
}

/* The deepest registration that answers for name; NULL if there is none. */
static struct stat_name *find(struct ns_stats *stats, const char *name)
{
    struct stat_name *found = NULL;

    for (size_t i = 0; i < stats->count; i++) {
        struct stat_name *stat = &stats->names[i];

        if (is_at_or_above(stat->name, stat->size, name) &&
            (found == NULL || stat->size > found->size))
            found = stat;
    }
    return found;
}

/* The part of a registered name that follows the directory `upper`; NULL if it does not lie there. */
static const char *part_below(const struct stat_name *stat, const char *upper)
{
    size_t size = strlen(upper);

    if (size == 0)
        return stat->name;
    return stat->size > size && is_at_or_above(upper, size, stat->name) ? stat->name + size + 1
                                                                        : NULL;
}

static bool is_directory(const struct ns_stats *stats, const char *name)
{
    for (size_t i = 0; i < stats->count; i++)
        if (part_below(&stats->names[i], name) != NULL)
            return true;
    return *name == '\0';
}

static const char *below_name(const struct stat_name *stat, const char *name)
{
    return name[stat->size] == '/' ? name + stat->size + 1 : name + stat->size;
}

/* ---- hooks ---- */

static void refuse_absent(struct ns_query *query)
{
    ns_query_refuse(query, ENOENT, "%s: there is no such name", query->path);
}

static void stats_read(struct ns_mount *mount, struct ns_query *query)
{
    struct ns_stats *stats = (struct ns_stats *)mount;
    const char *name = asked_name(query);
    struct stat_name *stat = find(stats, name);

    if (stat != NULL)
        stat->read(query, below_name(stat, name), stat->arg);
    else if (is_directory(stats, name))
        ns_query_printf(query, "%s", *name == '\0' ? "computed" : "");
    else
        refuse_absent(query);
}

/* The children of a directory: the next component of each name below it, each once. They are in
 * order, and equal ones follow each other, because the names are. */
static void list_directory(struct ns_stats *stats, struct ns_query *query, const char *name)
{
    char *names = NULL, *last = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&names, &size);

    for (size_t i = 0; out != NULL && i < stats->count; i++) {
        const char *below = part_below(&stats->names[i], name);
        char *child = below != NULL ? strndup(below, strcspn(below, "/")) : NULL;

        if (child != NULL && (last == NULL || strcmp(child, last) != 0))
            fwrite(child, 1, strlen(child) + 1, out);
        if (child != NULL) {
            free(last);
            last = child;
        }
    }
    free(last);
    if (out == NULL || fclose(out) != 0)
        ns_query_answer(query, -ENOMEM, NULL, 0);
    else
        ns_query_answer(query, 0, names, size);
    free(names);
}

static void stats_list(struct ns_mount *mount, struct ns_query *query)
{
    struct ns_stats *stats = (struct ns_stats *)mount;
    const char *name = asked_name(query);
    struct stat_name *stat = find(stats, name);

    if (stat != NULL && stat->list != NULL)
        stat->list(query, below_name(stat, name), stat->arg);
    else if (is_directory(stats, name) || (stat != NULL && *below_name(stat, name) == '\0'))
        list_directory(stats, query, name);
    else
        refuse_absent(query);
}

static const struct ns_mount_ops stats_ops = {
    .name = "stats",
    .computed = true,
    .read = stats_read,
    .list = stats_list,
};

/* ---- registration ---- */

int ns_stats_new(struct ns_store *store, struct ns_stats **result)
{
    struct ns_stats *stats = calloc(1, sizeof(*stats));
    int error;

    if (stats == NULL)
        return -ENOMEM;
    error = ns_mount_add(store, &stats->mount, STATS_PATH, &stats_ops);
    if (error < 0) {
        free(stats);
        return error;
    }
    *result = stats;
    return 0;
}

void ns_stats_free(struct ns_stats *stats)
{
    for (size_t i = 0; i < stats->count; i++)
        free(stats->names[i].name);
    free(stats->names);
    free(stats);
}

/* Byte order with '/' before everything else: the order of a walk through the tree. */
static int compare_names(const char *a, const char *b)
{
    while (*a != '\0' && *a == *b) {
        a++;
        b++;
    }
    return (*a == '/' ? 1 : (unsigned char)*a) - (*b == '/' ? 1 : (unsigned char)*b);
}

/* Where a name stands, or would stand. */
static size_t position(const struct ns_stats *stats, const char *name)
{
    size_t at = 0;

    while (at < stats->count && compare_names(stats->names[at].name, name) < 0)
        at++;
    return at;
}

int ns_stats_add(struct ns_stats *stats, const char *name,
                 void (*read)(struct ns_query *query, const char *below, void *arg),
                 void (*list)(struct ns_query *query, const char *below, void *arg), void *arg)
{
    size_t at = position(stats, name);
    struct stat_name *names;
    char *copy;

    if (at < stats->count && strcmp(stats->names[at].name, name) == 0)
        return -EEXIST;
    names = realloc(stats->names, (stats->count + 1) * sizeof(*names));
    if (names == NULL)
        return -ENOMEM;
    stats->names = names;
    copy = strdup(name);
    if (copy == NULL)
        return -ENOMEM;
    memmove(names + at + 1, names + at, (stats->count - at) * sizeof(*names));
    names[at] = (struct stat_name){copy, strlen(copy), read, list, arg};
    stats->count++;
    return 0;
}

void ns_stats_remove(struct ns_stats *stats, const char *name)
{
    size_t at = position(stats, name);

    if (at >= stats->count || strcmp(stats->names[at].name, name) != 0)
        return;
    free(stats->names[at].name);
    stats->count--;
    memmove(stats->names + at, stats->names + at + 1, (stats->count - at) * sizeof(*stats->names));
}
