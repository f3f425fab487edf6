/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * CONTROL: commands of an administrator, as xenstore-control(8) sends them. The table is also what help
 * prints. A command answers with a text.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nameserv/live_update.h"
#include "nameserv/log.h"
#include "nameserv/operations.h"

struct command {
    const char *name, *usage;
    int (*run)(struct ns_call *call);
    unsigned least, most; /* arguments */
};

/* Append a line to the reply, whose NUL comes at the end. */
static int say(struct ns_call *call, const char *format, ...) __attribute__((format(printf, 2, 3)));

static int say(struct ns_call *call, const char *format, ...)
{
    va_list arguments;
    char text[512];

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    return ns_call_put(call, text, strlen(text));
}

static const char *argument(const struct ns_call *call, unsigned index)
{
    return ns_wire_text(&call->arguments, index + 1);
}

/* ---- the commands ---- */

static int run_check(struct ns_call *call)
{
    struct ns_store *store = call->server->store;
    char why[NS_REASON_MAX];
    int error = ns_tree_check(ns_store_version(store)->root, why, sizeof(why));

    if (error == 0)
        error = ns_server_recount(call->server, why, sizeof(why));
    if (error == -ENOMEM)
        return error;
    if (error < 0)
        ns_log(NS_LOG_ERROR, "check: %s", why);
    return error == 0 ? say(call, "OK") : say(call, "%s", why);
}

static int count_account(struct ns_account *account, void *arg)
{
    struct ns_account *sum = arg;

    sum->nodes += account->nodes;
    sum->bytes += account->bytes;
    sum->watches += account->watches;
    return 0;
}

static int run_memreport(struct ns_call *call)
{
    struct ns_store_counters counters;
    struct ns_account sum = {.id = 0};
    int error;

    ns_store_counters(call->server->store, &counters);
    ns_accounts_each(call->server->store, count_account, &sum);
    error = say(call,
                "names %llu, %llu bytes\npool %llu bytes\nold versions %llu bytes\nanchors %llu\n",
                (unsigned long long)sum.nodes, (unsigned long long)sum.bytes,
                (unsigned long long)counters.pool_bytes, (unsigned long long)counters.waiting_bytes,
                (unsigned long long)counters.anchors);
    if (error == 0)
        error = say(call, "watches %u\ntransactions %llu\nconnections %llu\n", sum.watches,
                    (unsigned long long)counters.transactions_open,
                    (unsigned long long)call->server->counters.connections);
    return error;
}

static int run_print(struct ns_call *call)
{
    ns_log(NS_LOG_NOTICE, "%.1000s", argument(call, 0));
    return 0;
}

/* ---- quota ---- */

static int say_quotas(struct ns_call *call, const struct ns_quotas *quotas)
{
    int error = 0;

    for (enum ns_quota quota = 0; quota < NS_QUOTAS && error == 0; quota++)
        error = say(call, "%-17s: %8u\n", ns_quota_name(quota), quotas->limit[quota]);
    return error;
}

/* A domain by its number, or a user as uid:NUMBER. */
static int find_account(struct ns_call *call, unsigned index, struct ns_account **account)
{
    bool user = strncmp(argument(call, index), "uid:", 4) == 0;
    const char *text = argument(call, index) + (user ? 4 : 0);
    uint64_t id;

    if (ns_wire_number(text, user ? UINT32_MAX : NS_DOMIDS - 1, &id) < 0) {
        ns_call_refuse(call, EINVAL, "'%.40s' is no domain's number and no uid:NUMBER",
                       argument(call, index));
        return -EINVAL;
    }
    *account = ns_account_get(call->server->store,
                              user ? &ns_authority_plain : &ns_authority_xenstore, (uint32_t)id);
    return *account == NULL ? -ENOMEM : 0;
}

static int say_account(struct ns_call *call, const struct ns_account *account)
{
    int error =
        say(call, "%s %u:\nnodes            : %8llu\nmemory           : %8llu\n",
            account->authority == &ns_authority_plain ? "User" : "Domain", account->id,
            (unsigned long long)account->nodes, (unsigned long long)ns_account_memory(account));

    if (error == 0)
        error = say(call, "watches          : %8u\ntransactions     : %8u\nlimits:\n",
                    account->watches, account->transactions);
    return error == 0 ? say_quotas(call, &account->quotas) : error;
}

/* quota set NAME LIMIT: of new domains. quota set NAME LIMIT WHO: of one. */
static int set_quota(struct ns_call *call)
{
    enum ns_quota quota = ns_quota_find(argument(call, 1));
    struct ns_account *account = NULL;
    uint64_t limit;
    int error = 0;

    if (call->arguments.count < 4 || quota == NS_QUOTAS ||
        ns_wire_number(argument(call, 2), UINT32_MAX, &limit) < 0)
        return ns_call_refuse(call, EINVAL, "quota set takes a quota's name and a limit");
    if (call->arguments.count == 5)
        error = find_account(call, 3, &account);
    if (error == 0)
        ns_quota_set(call->server->store,
                     account != NULL ? account->authority : &ns_authority_xenstore, account, quota,
                     (uint32_t)limit);
    return error;
}

/* quota max: the most that any had. quota max -r: and begin anew. */
static int say_most(struct ns_call *call)
{
    uint64_t *most = ns_quotas_most(call->server->store);
    int error = 0;

    if (call->arguments.count > 3 ||
        (call->arguments.count == 3 && strcmp(argument(call, 1), "-r") != 0))
        return ns_call_refuse(call, EINVAL, "quota max takes nothing, or -r");
    for (enum ns_quota quota = 0; quota < NS_QUOTAS && error == 0; quota++)
        error = say(call, "%-17s: %8llu\n", ns_quota_name(quota), (unsigned long long)most[quota]);
    if (call->arguments.count == 3)
        memset(most, 0, NS_QUOTAS * sizeof(*most));
    return error;
}

static int run_quota(struct ns_call *call)
{
    struct ns_account *account;
    int error;

    if (call->arguments.count == 1)
        return say_quotas(call, ns_quotas_default(call->server->store, &ns_authority_xenstore));
    if (strcmp(argument(call, 0), "set") == 0)
        return set_quota(call);
    if (strcmp(argument(call, 0), "max") == 0)
        return say_most(call);
    if (call->arguments.count > 2)
        return ns_call_refuse(call, EINVAL, "quota takes nothing, 'set', or one domain or user");
    error = find_account(call, 0, &account);
    return error < 0 ? error : say_account(call, account);
}

/* Limits that only warn; soft-memory, which other servers call memory here. */
static int run_quota_soft(struct ns_call *call)
{
    struct ns_store *store = call->server->store;
    uint64_t limit;

    if (call->arguments.count == 1)
        return say(call, "memory           : %8u\n",
                   ns_quotas_default(store, &ns_authority_xenstore)->limit[NS_QUOTA_SOFT_MEMORY]);
    if (call->arguments.count != 4 || strcmp(argument(call, 0), "set") != 0 ||
        (strcmp(argument(call, 1), "memory") != 0 &&
         strcmp(argument(call, 1), "soft-memory") != 0) ||
        ns_wire_number(argument(call, 2), UINT32_MAX, &limit) < 0)
        return ns_call_refuse(call, EINVAL,
                              "quota-soft takes nothing, or 'set memory' and a limit");
    ns_quota_set(store, &ns_authority_xenstore, NULL, NS_QUOTA_SOFT_MEMORY, (uint32_t)limit);
    return 0;
}

static int run_live_update(struct ns_call *call)
{
    return ns_live_update_control(call, call->arguments.rest, call->arguments.rest_size);
}

static int run_help(struct ns_call *call);

static const struct command commands[] = {
    {"check", "", run_check, 0, 0},
    {"help", "", run_help, 0, 0},
    {"live-update", "[-f FILE] [-c ARGUMENT] [-s [-t SECONDS] [-F]] [-a]", run_live_update, 0, 64},
    {"log", "[error|warning|notice|info|debug|on|off|+SWITCH|-SWITCH]", ns_control_log, 0, 1},
    {"logfile", "[PATH|syslog:FACILITY|off]", ns_control_logfile, 0, 1},
    {"memreport", "", run_memreport, 0, 0},
    {"print", "TEXT", run_print, 1, 1},
    {"quota", "[DOMID|uid:UID | set NAME LIMIT [DOMID|uid:UID] | max [-r]]", run_quota, 0, 4},
    {"quota-soft", "[set memory LIMIT]", run_quota_soft, 0, 3},
};
enum { COMMANDS = sizeof(commands) / sizeof(commands[0]) };

static int run_help(struct ns_call *call)
{
    int error = 0;

    for (int i = 0; i < COMMANDS && error == 0; i++)
        error = say(call, "%s%s%s\n", commands[i].name, *commands[i].usage == '\0' ? "" : " ",
                    commands[i].usage);
    return error;
}

int ns_control_run(struct ns_call *call)
{
    const char *name = call->arguments.first;
    unsigned count = call->arguments.count == 0 ? 0 : call->arguments.count - 1;
    int error;

    for (int i = 0; i < COMMANDS; i++) {
        if (strcmp(commands[i].name, name) != 0)
            continue;
        if (count < commands[i].least || count > commands[i].most)
            return ns_call_refuse(call, EINVAL, "usage: %s %s", name, commands[i].usage);
        error = commands[i].run(call);
        return error == 0 && call->reply_size > 0 ? ns_call_put(call, "", 1) : error;
    }
    return ns_call_refuse(call, EINVAL, "there is no command '%.40s'; help lists them", name);
}
