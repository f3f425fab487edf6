/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The computed mounts of /tool/xenstored; see tool.h.
 *
 * A query goes down the parts of its path through small functions, one for each level. Each either answers
 * for what is left of the path, or says that there is no such name.
 */
#include "nameserv/tool.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nameserv/connection.h"
#include "nameserv/log.h"
#include "nameserv/stats.h"

/* A query under way: what is left of its path, and whether the children are asked for or the value. */
struct inquiry {
    struct ns_tool *tool;
    struct ns_query *query;
    const char *rest;
    bool list;
    char *names; /* of a directory */
    size_t size;
    FILE *out;
};

/* ---- going down ---- */

/* Take the next part of the path. */
static void next_part(struct inquiry *inquiry, char part[NS_PATH_MAX + 1])
{
    size_t size = strcspn(inquiry->rest, "/");

    memcpy(part, inquiry->rest, size);
    part[size] = '\0';
    inquiry->rest += size + (inquiry->rest[size] == '/');
}

static void absent(struct inquiry *inquiry)
{
    ns_query_refuse(inquiry->query, ENOENT, "%s: there is no such name", inquiry->query->path);
}

static void answer_number(struct inquiry *inquiry, uint64_t number)
{
    if (*inquiry->rest != '\0')
        absent(inquiry);
    else if (inquiry->list)
        ns_query_answer(inquiry->query, 0, "", 0);
    else
        ns_query_printf(inquiry->query, "%llu", (unsigned long long)number);
}

static void answer_text(struct inquiry *inquiry, const char *text)
{
    if (*inquiry->rest != '\0')
        absent(inquiry);
    else
        ns_query_answer(inquiry->query, 0, text, inquiry->list ? 0 : strlen(text));
}

/* A directory: its children are put into inquiry->out between these two; value is what reading it gives, which
 * for the mount itself says that it is computed. */
static bool begin_directory(struct inquiry *inquiry)
{
    inquiry->out = open_memstream(&inquiry->names, &inquiry->size);
    if (inquiry->out == NULL)
        ns_query_answer(inquiry->query, -ENOMEM, NULL, 0);
    return inquiry->out != NULL;
}

static void put_child(struct inquiry *inquiry, const char *name)
{
    fwrite(name, 1, strlen(name) + 1, inquiry->out);
}

static void put_child_number(struct inquiry *inquiry, unsigned number)
{
    fprintf(inquiry->out, "%u%c", number, '\0');
}

static void end_directory(struct inquiry *inquiry, const char *value)
{
    if (fclose(inquiry->out) != 0)
        ns_query_answer(inquiry->query, -ENOMEM, NULL, 0);
    else if (inquiry->list)
        ns_query_answer(inquiry->query, 0, inquiry->names, inquiry->size);
    else
        ns_query_answer(inquiry->query, 0, value, strlen(value));
    free(inquiry->names);
}

/* Rows of names with a number each: a directory, or one of them. */
struct row {
    const char *name;
    uint64_t number;
};

static void answer_rows(struct inquiry *inquiry, const struct row *rows, size_t count,
                        const char *value)
{
    char part[NS_PATH_MAX + 1];

    if (*inquiry->rest == '\0') {
        if (!begin_directory(inquiry))
            return;
        for (size_t i = 0; i < count; i++)
            put_child(inquiry, rows[i].name);
        end_directory(inquiry, value);
        return;
    }
    next_part(inquiry, part);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(rows[i].name, part) == 0) {
            answer_number(inquiry, rows[i].number);
            return;
        }
    }
    absent(inquiry);
}

/* ---- quota ---- */

static int compare_rows(const void *a, const void *b)
{
    return strcmp(((const struct row *)a)->name, ((const struct row *)b)->name);
}

static void answer_used(struct inquiry *inquiry, const struct ns_account *account)
{
    const struct row rows[] = {{"memory", ns_account_memory(account)},
                               {"nodes", account->nodes},
                               {"transactions", account->transactions},
                               {"watches", account->watches}};

    answer_rows(inquiry, rows, sizeof(rows) / sizeof(rows[0]), "");
}

/* account NULL: defaults, which have no use. */
static void answer_quotas(struct inquiry *inquiry, const struct ns_quotas *quotas,
                          const struct ns_account *account)
{
    struct row rows[NS_QUOTAS + 1];
    size_t count = NS_QUOTAS;
    char part[NS_PATH_MAX + 1];

    if (account != NULL && strncmp(inquiry->rest, "used", 4) == 0 &&
        (inquiry->rest[4] == '/' || inquiry->rest[4] == '\0')) {
        next_part(inquiry, part);
        answer_used(inquiry, account);
        return;
    }
    for (size_t i = 0; i < NS_QUOTAS; i++)
        rows[i] = (struct row){ns_quota_name((enum ns_quota)i), quotas->limit[i]};
    if (account != NULL)
        rows[count++] = (struct row){"used", 0};
    qsort(rows, count, sizeof(rows[0]), compare_rows);
    answer_rows(inquiry, rows, count, "");
}

struct account_list {
    struct inquiry *inquiry;
    const struct ns_authority *authority;
};

static int put_account(struct ns_account *account, void *arg)
{
    const struct account_list *list = arg;

    if (account->authority == list->authority)
        put_child_number(list->inquiry, account->id);
    return 0;
}

static int find_account(struct ns_account *account, void *arg)
{
    struct ns_account *asked = arg;

    if (account->authority != asked->authority || account->id != asked->id)
        return 0;
    *asked = *account;
    return 1;
}

static void answer_accounts(struct inquiry *inquiry, const struct ns_authority *authority)
{
    struct ns_store *store = inquiry->query->store;
    struct account_list list = {inquiry, authority};
    struct ns_account asked = {.authority = authority};
    char part[NS_PATH_MAX + 1];
    uint64_t id;

    if (*inquiry->rest == '\0') {
        if (!begin_directory(inquiry))
            return;
        ns_accounts_each(store, put_account, &list);
        end_directory(inquiry, "");
        return;
    }
    next_part(inquiry, part);
    if (ns_wire_number(part, UINT32_MAX, &id) == 0) {
        asked.id = (uint32_t)id;
        if (ns_accounts_each(store, find_account, &asked) == 1) {
            answer_quotas(inquiry, &asked.quotas, &asked);
            return;
        }
    }
    absent(inquiry);
}

static void answer_quota(struct inquiry *inquiry)
{
    static const struct row rows[] = {{"default", 0}, {"domain", 0}, {"user", 0}};
    const char *rest = inquiry->rest;
    char part[NS_PATH_MAX + 1];

    next_part(inquiry, part);
    if (strcmp(part, "default") == 0) {
        answer_quotas(inquiry, ns_quotas_default(inquiry->query->store, &ns_authority_xenstore),
                      NULL);
    } else if (strcmp(part, "domain") == 0) {
        answer_accounts(inquiry, &ns_authority_xenstore);
    } else if (strcmp(part, "user") == 0) {
        answer_accounts(inquiry, &ns_authority_plain);
    } else {
        inquiry->rest = rest;
        answer_rows(inquiry, rows, 3, "computed");
    }
}

/* ---- connection ---- */

static bool is_of(const struct ns_connection *connection, bool domains)
{
    return (connection->who.kind == NS_DOMAIN) == domains;
}

static unsigned number_of(const struct ns_connection *connection)
{
    return connection->who.kind == NS_DOMAIN ? connection->who.domain.domid
                                             : (unsigned)connection->io.fd;
}

static void answer_connection(struct inquiry *inquiry, const struct ns_connection *connection)
{
    const struct row rows[] = {{"address", 0},
                               {"current-transactions", connection->txn_count},
                               {"current-watches", connection->watch_count}};
    char text[64];

    if (strcmp(inquiry->rest, "address") != 0) {
        answer_rows(inquiry, rows, 3, "");
        return;
    }
    if (connection->who.kind == NS_DOMAIN)
        snprintf(text, sizeof(text), "domain %u", connection->who.domain.domid);
    else
        snprintf(text, sizeof(text), "uid %u pid %u", connection->who.uid, connection->who.pid);
    inquiry->rest = "";
    answer_text(inquiry, text);
}

static void answer_connections_of(struct inquiry *inquiry, bool domains)
{
    const struct ns_connection *connection;
    char part[NS_PATH_MAX + 1];
    uint64_t number;

    if (*inquiry->rest == '\0') {
        if (!begin_directory(inquiry))
            return;
        LIST_FOREACH (connection, &inquiry->tool->server->connections, link)
            if (is_of(connection, domains))
                put_child_number(inquiry, number_of(connection));
        end_directory(inquiry, "");
        return;
    }
    next_part(inquiry, part);
    if (ns_wire_number(part, UINT32_MAX, &number) < 0)
        number = UINT64_MAX;
    LIST_FOREACH (connection, &inquiry->tool->server->connections, link)
        if (is_of(connection, domains) && number_of(connection) == number)
            break;
    if (connection == NULL)
        absent(inquiry);
    else
        answer_connection(inquiry, connection);
}

static void answer_connections(struct inquiry *inquiry)
{
    static const struct row rows[] = {{"domain", 0}, {"socket", 0}};
    const char *rest = inquiry->rest;
    char part[NS_PATH_MAX + 1];

    next_part(inquiry, part);
    if (strcmp(part, "domain") == 0 || strcmp(part, "socket") == 0) {
        answer_connections_of(inquiry, part[0] == 'd');
        return;
    }
    inquiry->rest = rest;
    answer_rows(inquiry, rows, 2, "computed");
}

/* ---- log, memory ---- */

static void answer_log(struct inquiry *inquiry)
{
    static const struct row rows[] = {{"level", 0}};
    static const char *const names[] = {"error", "warning", "notice", "info", "debug"};

    if (strcmp(inquiry->rest, "level") == 0) {
        inquiry->rest = "";
        answer_text(inquiry, names[ns_log_get()]);
        return;
    }
    answer_rows(inquiry, rows, 1, "computed");
}

static int add_account(struct ns_account *account, void *arg)
{
    struct ns_account *sum = arg;

    sum->nodes += account->nodes;
    sum->bytes += account->bytes;
    return 0;
}

static void answer_memory(struct inquiry *inquiry)
{
    struct ns_store_counters counters;
    struct ns_account sum = {.id = 0};
    struct row rows[] = {
        {"anchors", 0}, {"name-bytes", 0}, {"names", 0}, {"pool-bytes", 0}, {"waiting-bytes", 0}};

    ns_store_counters(inquiry->query->store, &counters);
    ns_accounts_each(inquiry->query->store, add_account, &sum);
    rows[0].number = counters.anchors;
    rows[1].number = sum.bytes;
    rows[2].number = sum.nodes;
    rows[3].number = counters.pool_bytes;
    rows[4].number = counters.waiting_bytes;
    answer_rows(inquiry, rows, sizeof(rows) / sizeof(rows[0]), "computed");
}

/* ---- the mounts ---- */

static const struct {
    const char *path;
    void (*answer)(struct inquiry *inquiry);
} mounts[NS_TOOL_MOUNTS] = {
    {"/tool/xenstored/connection", answer_connections},
    {"/tool/xenstored/log", answer_log},
    {"/tool/xenstored/memory", answer_memory},
    {"/tool/xenstored/quota", answer_quota},
};

static void answer(struct ns_mount *mount, struct ns_query *query, bool list)
{
    struct inquiry inquiry = {.query = query, .list = list, .rest = query->path + mount->path_size};
    size_t which = 0;

    while (strcmp(mount->path, mounts[which].path) != 0)
        which++;
    inquiry.tool = (struct ns_tool *)((char *)(mount - which) - offsetof(struct ns_tool, mounts));
    inquiry.rest += *inquiry.rest == '/';
    mounts[which].answer(&inquiry);
}

static void tool_read(struct ns_mount *mount, struct ns_query *query)
{
    answer(mount, query, false);
}

static void tool_list(struct ns_mount *mount, struct ns_query *query)
{
    answer(mount, query, true);
}

static const struct ns_mount_ops tool_ops = {
    .name = "tool",
    .authority = &ns_authority_xenstore,
    .computed = true,
    .read = tool_read,
    .list = tool_list,
};

int ns_tool_add(struct ns_store *store, struct ns_tool *tool, struct ns_server *server)
{
    int rc = ns_store_put(store, "/tool/xenstored", "");

    tool->server = server;
    for (int i = 0; i < NS_TOOL_MOUNTS && rc == 0; i++)
        rc = ns_mount_add(store, &tool->mounts[i], mounts[i].path, &tool_ops);
    return rc;
}
