/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The operations of the wire protocol: one table, one dispatcher, one short function each.
 *
 * The dispatcher checks what the table says (shape of the payload, transaction, path) before the
 * function runs, and answers after it. A request outside of a transaction is a transaction of one
 * operation. Each refusal leaves its sentence with the connection.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nameserv/access_log.h"
#include "nameserv/operations.h"

/* ---- reasons ---- */

int ns_call_refuse(struct ns_call *call, int error, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(call->reason.text, sizeof(call->reason.text), format, arguments);
    va_end(arguments);
    call->reason.path[0] = '\0';
    return -error;
}

/* What is said about an error when whoever refused gave no reason. */
static const char *general_reason(int error)
{
    static const struct {
        int error;
        const char *text;
    } texts[] = {
        {EAGAIN, "something that the transaction had read was changed meanwhile; start it again"},
        {ENOENT, "no such name"},
        {EACCES, "not permitted"},
        {ENOMEM, "out of memory"},
        {E2BIG, "the answer is longer than the 4096 bytes that a message carries"},
    };

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (texts[i].error == -error)
            return texts[i].text;
    return strerror(-error);
}

/* Keep the sentence for /stats/self/error. Without memory there is none. */
static void keep_reason(struct ns_connection *connection, const char *path, const char *text)
{
    char *sentence = NULL;
    int size = asprintf(&sentence, "%s%s%s", path, *path == '\0' ? "" : ": ", text);

    free(connection->error);
    connection->error = size < 0 ? NULL : sentence;
}

void ns_operations_read_error(struct ns_query *query, const char *below, void *arg)
{
    const struct ns_connection *connection = query->connection;
    const char *sentence = connection != NULL && connection->error != NULL ? connection->error : "";

    (void)arg;
    if (*below != '\0')
        ns_query_answer(query, -ENOENT, NULL, 0);
    else
        ns_query_answer(query, 0, sentence, strlen(sentence));
}

/* ---- replies ---- */

static void count_unsent(struct ns_connection *connection)
{
    connection->unsent++;
    if (!connection->account->exempt)
        ns_quota_seen(ns_quotas_most(connection->server->store), NS_QUOTA_OUTSTANDING,
                      connection->unsent);
}

void ns_operations_reply(struct ns_connection *connection, const struct ns_wire_header *request,
                         const void *payload, size_t size)
{
    struct ns_wire_header header = *request;

    header.size = (uint32_t)size;
    ns_connection_send(connection, &header, payload);
    count_unsent(connection);
    connection->server->counters.replies++;
}

void ns_operations_refuse(struct ns_connection *connection, const struct ns_wire_header *request,
                          int error, const char *path, const char *text)
{
    struct ns_wire_header header = *request;
    const char *name = ns_wire_error_name(error);

    keep_reason(connection, path, text != NULL ? text : general_reason(error));
    header.type = NS_WIRE_ERROR;
    header.size = (uint32_t)strlen(name) + 1;
    ns_connection_send(connection, &header, name);
    count_unsent(connection);
    connection->server->counters.replies++;
    connection->server->counters.errors++;
}

int ns_call_put(struct ns_call *call, const void *bytes, size_t size)
{
    if (size > NS_WIRE_PAYLOAD_MAX - call->reply_size)
        return -E2BIG;
    memcpy(call->reply + call->reply_size, bytes, size);
    call->reply_size += size;
    return 0;
}

int ns_call_put_number(struct ns_call *call, const char *prefix, uint64_t number)
{
    char text[64];
    int size = snprintf(text, sizeof(text), "%s%llu", prefix, (unsigned long long)number);

    return ns_call_put(call, text, (size_t)size + 1);
}

/* ---- quotas ---- */

bool ns_call_allows(const struct ns_call *call, enum ns_quota quota, uint64_t used)
{
    if (call->connection->who.privileged)
        return true;
    if (!ns_account_allows(call->connection->account, quota, used))
        return false;
    ns_quota_seen(ns_quotas_most(call->server->store), quota, used + 1);
    return true;
}

int ns_call_over(struct ns_call *call, enum ns_quota quota, const char *what)
{
    return ns_call_refuse(
        call, quota == NS_QUOTA_PATH_MAX ? EINVAL : ENOSPC, "you may have %u %s (quota %s)",
        call->connection->account->quotas.limit[quota], what, ns_quota_name(quota));
}

/* A path is as long for every domain: its own number in it does not count. */
static size_t counted_size(const char *path, size_t size)
{
    const size_t home = sizeof(NS_WIRE_HOME) - 1;
    size_t digits;

    if (size <= home || memcmp(path, NS_WIRE_HOME, home) != 0)
        return size;
    digits = strspn(path + home, "0123456789");
    if (digits == 0 || path[home + digits] != '/')
        return size;
    return size - home - digits - 1;
}

/* ---- reading ---- */

static int run_read(struct ns_call *call)
{
    const void *value;
    size_t size;
    int error = ns_call_ask_mount(call, false, 0);

    if (error != 0)
        return error;
    error = ns_txn_read(call->txn, call->path, &value, &size);
    return error < 0 ? error : ns_call_put(call, value, size);
}

static int put_name(const struct ns_entry *child, void *arg)
{
    return ns_call_put(arg, ns_entry_name(child), child->name_size + 1u);
}

static int run_directory(struct ns_call *call)
{
    int error = ns_call_ask_mount(call, true, 0);

    return error != 0 ? error : ns_txn_list(call->txn, call->path, put_name, call);
}

/* A computed name has the permissions of its mount. */
static int run_get_perms(struct ns_call *call)
{
    struct ns_mount *mount = ns_mount_find(call->server->store, call->path, call->path_size);
    const struct ns_perms *perms;
    int error =
        call->path[0] == '@'
            ? ns_special_get_perms(call, &perms)
            : ns_txn_get_perms(call->txn, mount->ops->computed ? mount->path : call->path, &perms);

    if (error < 0)
        return error;
    error = ns_perms_format(perms, call->reply, NS_WIRE_PAYLOAD_MAX);
    call->reply_size = error < 0 ? 0 : (size_t)error;
    return error < 0 ? error : 0;
}

/* ---- changing ---- */

static int run_write(struct ns_call *call)
{
    size_t size = call->arguments.rest_size;

    if (size > 0 && !ns_call_allows(call, NS_QUOTA_NODE_SIZE, size - 1))
        return ns_call_over(call, NS_QUOTA_NODE_SIZE, "bytes in a value");
    return ns_txn_write(call->txn, call->path, call->arguments.rest, size);
}

static int run_mkdir(struct ns_call *call)
{
    return ns_txn_mkdir(call->txn, call->path);
}

static int run_rm(struct ns_call *call)
{
    return ns_txn_remove(call->txn, call->path);
}

static int run_set_perms(struct ns_call *call)
{
    struct ns_perm list[NS_PERMS_MAX];
    int count = ns_perms_parse(call->arguments.rest, call->arguments.rest_size, list);

    if (count == -ENOSPC)
        return ns_call_refuse(call, ENOSPC, "%s: more than %d permissions", call->path,
                              NS_PERMS_MAX);
    if (count < 0)
        return ns_call_refuse(
            call, EINVAL,
            "%s: a permission is one of the letters n, r, w, b and a number, as in 'r0'",
            call->path);
    if (!ns_call_allows(call, NS_QUOTA_NODE_PERMISSIONS, (uint64_t)count - 1))
        return ns_call_over(call, NS_QUOTA_NODE_PERMISSIONS, "permissions of a name");
    if (call->path[0] == '@')
        return ns_special_change_perms(call, list, (size_t)count);
    return ns_txn_set_perms(call->txn, call->path, list, (size_t)count);
}

/* ---- watches ---- */

/* The depth of a watch, as levels: its own name counts. */
static int watch_levels(struct ns_call *call, unsigned *levels)
{
    const char *depth = ns_wire_text(&call->arguments, 2);
    uint64_t number = 0;

    *levels = 0;
    if (call->arguments.count < 3)
        return 0;
    if (!ns_call_offers(call, NS_FEATURE_DEPTH))
        return ns_call_refuse(call, EINVAL, "a depth of watches is not offered to this domain");
    if (ns_wire_number(depth, UINT16_MAX, &number) < 0 || (call->path[0] == '@' && number > 1))
        return ns_call_refuse(call, EINVAL, "'%.40s' is no depth; 0 is the name itself%s", depth,
                              call->path[0] == '@' ? ", 1 tells the domain" : "");
    *levels = (unsigned)number + 1;
    return 0;
}

static int run_watch(struct ns_call *call)
{
    unsigned levels;
    int error = watch_levels(call, &levels);

    if (error == 0)
        error = ns_events_watch(call->connection, call->arguments.first, call->path,
                                call->arguments.rest, levels);
    if (error == -EINVAL)
        return error;
    if (error == -EEXIST)
        return ns_call_refuse(call, EEXIST, "%s is being watched already with this token",
                              call->path);
    if (error == -ENOSPC)
        return ns_call_refuse(
            call, ENOSPC, "a connection may have %u watches, and you %u, within %u bytes",
            call->server->watches_max, call->connection->account->quotas.limit[NS_QUOTA_WATCHES],
            call->connection->account->quotas.limit[NS_QUOTA_MEMORY]);
    return error;
}

static int run_unwatch(struct ns_call *call)
{
    int error = ns_events_unwatch(call->connection, call->arguments.first, call->arguments.rest);

    if (error == -ENOENT)
        return ns_call_refuse(call, ENOENT, "%s is not being watched with this token", call->path);
    return error;
}

static int run_reset_watches(struct ns_call *call)
{
    ns_operations_reset(call->connection);
    return 0;
}

/* ---- the table and the dispatcher ---- */

static const struct ns_operation operations[] = {
    [NS_WIRE_CONTROL] = {"CONTROL", ns_control_run, NS_WIRE_TEXTS, NS_TXN_IGNORED, NS_PATH_NONE},
    [NS_WIRE_DIRECTORY] = {"DIRECTORY", run_directory, NS_WIRE_STRING, NS_TXN_VIEW, NS_PATH_NODE},
    [NS_WIRE_READ] = {"READ", run_read, NS_WIRE_STRING, NS_TXN_VIEW, NS_PATH_NODE},
    [NS_WIRE_GET_PERMS] = {"GET_PERMS", run_get_perms, NS_WIRE_STRING, NS_TXN_VIEW,
                           NS_PATH_NODE_OR_SPECIAL},
    [NS_WIRE_WATCH] = {"WATCH", run_watch, NS_WIRE_TEXTS, NS_TXN_IGNORED, NS_PATH_NODE_OR_SPECIAL},
    [NS_WIRE_UNWATCH] = {"UNWATCH", run_unwatch, NS_WIRE_PAIR, NS_TXN_IGNORED,
                         NS_PATH_NODE_OR_SPECIAL},
    [NS_WIRE_TRANSACTION_START] = {"TRANSACTION_START", ns_operations_run_start, NS_WIRE_ANYTHING,
                                   NS_TXN_CHECKED, NS_PATH_NONE},
    [NS_WIRE_TRANSACTION_END] = {"TRANSACTION_END", ns_operations_run_end, NS_WIRE_STRING,
                                 NS_TXN_NEEDED, NS_PATH_NONE},
    [NS_WIRE_GET_DOMAIN_PATH] = {"GET_DOMAIN_PATH", ns_domain_run_path, NS_WIRE_STRING,
                                 NS_TXN_CHECKED, NS_PATH_NONE},
    [NS_WIRE_WRITE] = {"WRITE", run_write, NS_WIRE_VALUE, NS_TXN_CHANGE, NS_PATH_NODE},
    [NS_WIRE_MKDIR] = {"MKDIR", run_mkdir, NS_WIRE_STRING, NS_TXN_CHANGE, NS_PATH_NODE},
    [NS_WIRE_RM] = {"RM", run_rm, NS_WIRE_STRING, NS_TXN_CHANGE, NS_PATH_NODE},
    [NS_WIRE_SET_PERMS] = {"SET_PERMS", run_set_perms, NS_WIRE_LIST, NS_TXN_CHANGE,
                           NS_PATH_NODE_OR_SPECIAL},
    [NS_WIRE_RESET_WATCHES] = {"RESET_WATCHES", run_reset_watches, NS_WIRE_ANYTHING, NS_TXN_CHECKED,
                               NS_PATH_NONE},
    [NS_WIRE_DIRECTORY_PART] = {"DIRECTORY_PART", ns_listing_run_part, NS_WIRE_PAIR, NS_TXN_VIEW,
                                NS_PATH_NODE},
    [NS_WIRE_INTRODUCE] = {"INTRODUCE", ns_domain_run_introduce, NS_WIRE_TEXTS, NS_TXN_CHECKED,
                           NS_PATH_NONE},
    [NS_WIRE_RELEASE] = {"RELEASE", ns_domain_run_release, NS_WIRE_STRING, NS_TXN_CHECKED,
                         NS_PATH_NONE},
    [NS_WIRE_IS_DOMAIN_INTRODUCED] = {"IS_DOMAIN_INTRODUCED", ns_domain_run_is_introduced,
                                      NS_WIRE_STRING, NS_TXN_CHECKED, NS_PATH_NONE},
    [NS_WIRE_RESUME] = {"RESUME", ns_domain_run_resume, NS_WIRE_STRING, NS_TXN_CHECKED,
                        NS_PATH_NONE},
    [NS_WIRE_SET_TARGET] = {"SET_TARGET", ns_domain_run_set_target, NS_WIRE_PAIR, NS_TXN_CHECKED,
                            NS_PATH_NONE},
    [NS_WIRE_GET_FEATURE] = {"GET_FEATURE", ns_domain_run_get_feature, NS_WIRE_TEXTS,
                             NS_TXN_CHECKED, NS_PATH_NONE},
    [NS_WIRE_SET_FEATURE] = {"SET_FEATURE", ns_domain_run_set_feature, NS_WIRE_PAIR, NS_TXN_CHECKED,
                             NS_PATH_NONE},
    [NS_WIRE_GET_QUOTA] = {"GET_QUOTA", ns_quota_run_get, NS_WIRE_TEXTS, NS_TXN_CHECKED,
                           NS_PATH_NONE},
    [NS_WIRE_SET_QUOTA] = {"SET_QUOTA", ns_quota_run_set, NS_WIRE_TEXTS, NS_TXN_CHECKED,
                           NS_PATH_NONE},
};

/* For domain 0 only. */
static const bool privileged[NS_WIRE_SET_QUOTA + 1] = {
    [NS_WIRE_CONTROL] = true,   [NS_WIRE_INTRODUCE] = true,
    [NS_WIRE_RELEASE] = true,   [NS_WIRE_IS_DOMAIN_INTRODUCED] = true,
    [NS_WIRE_RESUME] = true,    [NS_WIRE_SET_TARGET] = true,
    [NS_WIRE_GET_QUOTA] = true, [NS_WIRE_SET_FEATURE] = true,
    [NS_WIRE_SET_QUOTA] = true,
};

/* How many texts those of NS_WIRE_TEXTS take. */
static const struct {
    unsigned least, most;
} texts[NS_WIRE_SET_QUOTA + 1] = {
    [NS_WIRE_CONTROL] = {0, NS_WIRE_PAYLOAD_MAX},
    [NS_WIRE_WATCH] = {2, 3},
    [NS_WIRE_INTRODUCE] = {3, 3},
    [NS_WIRE_GET_FEATURE] = {0, 1},
    [NS_WIRE_GET_QUOTA] = {0, 2},
    [NS_WIRE_SET_QUOTA] = {2, 3},
};

static int find_operation(struct ns_call *call)
{
    uint32_t type = call->header->type;

    if (type >= sizeof(operations) / sizeof(operations[0]) || operations[type].run == NULL)
        return ns_call_refuse(call, ENOSYS, "there is no operation %u", type);
    call->operation = &operations[type];
    if (privileged[type] && !call->connection->who.privileged)
        return ns_call_refuse(call, EACCES, "%s: not permitted: only the privileged may",
                              call->operation->name);
    return 0;
}

static int check_payload(struct ns_call *call, const char *payload)
{
    static const char *const shapes[] = {
        [NS_WIRE_ANYTHING] = "anything",
        [NS_WIRE_STRING] = "one text that ends with a NUL",
        [NS_WIRE_PAIR] = "two texts that end with a NUL each",
        [NS_WIRE_VALUE] = "a path that ends with a NUL, and a value",
        [NS_WIRE_LIST] = "a path and at least one permission, each ending with a NUL",
        [NS_WIRE_TEXTS] = "another number of texts, each ending with a NUL",
    };
    const struct ns_operation *operation = call->operation;

    if (ns_wire_parse(operation->shape, payload, call->header->size, &call->arguments) == 0 &&
        (operation->shape != NS_WIRE_TEXTS ||
         (call->arguments.count >= texts[call->header->type].least &&
          call->arguments.count <= texts[call->header->type].most)))
        return 0;
    return ns_call_refuse(call, EINVAL, "%s takes %s", operation->name, shapes[operation->shape]);
}

static int check_txn(struct ns_call *call)
{
    enum ns_txn_use use = call->operation->txn;

    if (use == NS_TXN_IGNORED || (use != NS_TXN_NEEDED && call->header->tx == 0))
        return 0;
    call->in = ns_operations_find_txn(call->connection, call->header->tx);
    if (call->in == NULL)
        return ns_call_refuse(call, ENOENT, "this connection has no transaction %u",
                              call->header->tx);
    call->txn = call->in->txn;
    return 0;
}

static int check_path(struct ns_call *call)
{
    const struct ns_operation *operation = call->operation;
    int size;

    if (operation->path == NS_PATH_NONE)
        return 0;
    size =
        ns_wire_absolute(call->connection->home, call->connection->home_size, call->arguments.first,
                         call->arguments.first_size, call->server->path_asked);
    if (size < 0)
        return ns_call_refuse(call, EINVAL,
                              "a path has at least one byte, and at most %d (%d if it is relative)",
                              NS_PATH_MAX, NS_WIRE_RELATIVE_MAX);
    call->path = call->server->path_asked;
    call->path_size = (size_t)size;
    if (!ns_call_allows(call, NS_QUOTA_PATH_MAX, counted_size(call->path, call->path_size) - 1))
        return ns_call_over(call, NS_QUOTA_PATH_MAX, "bytes in a path");
    if (call->path[0] == '@' && operation->path == NS_PATH_NODE)
        return ns_call_refuse(call, EINVAL,
                              "%.100s: special names can only be watched and given permissions",
                              call->path);
    if (call->path[0] == '@')
        return ns_special_check(call);
    return ns_store_path_check(call->server->store, call->path, call->path_size, &call->reason);
}

/* A transaction of its own, unless the client has one. */
static int begin_own(struct ns_call *call)
{
    struct ns_store *store = call->server->store;
    const struct ns_identity *who = &call->connection->who;

    if (call->in != NULL)
        return 0;
    if (call->operation->txn == NS_TXN_VIEW)
        return ns_txn_view(store, who, &call->txn);
    return ns_txn_begin(store, who, &call->txn);
}

/* Run the operation in the client's transaction, or in one of its own. */
static int run_in_txn(struct ns_call *call)
{
    enum ns_txn_use use = call->operation->txn;
    uint64_t version;
    int error;

    if (use < NS_TXN_CHECKED)
        ns_store_publish(call->server->store); /* it may look at the whole store */
    if (use < NS_TXN_VIEW)
        return call->operation->run(call);
    error = ns_operations_access(call);
    if (error == 0)
        error = begin_own(call);
    if (error < 0)
        return error;
    error = call->operation->run(call);
    if (error < 0 && call->txn != NULL && call->reason.text[0] == '\0')
        call->reason = *ns_txn_reason(call->txn);
    if (call->in != NULL) {
        call->in->changes += use == NS_TXN_CHANGE;
    } else if (error == 0 && use == NS_TXN_CHANGE) {
        if (!ns_turn_allows(call->connection, call->txn)) {
            ns_txn_abort(call->txn);
            return NS_CALL_HELD;
        }
        error = ns_txn_commit(call->txn, &version, &call->reason);
    } else if (call->txn != NULL) { /* a listing may have kept it */
        ns_txn_abort(call->txn);
    }
    return error;
}

static int run(struct ns_call *call, const char *payload)
{
    int error = find_operation(call);

    if (error == 0)
        error = check_payload(call, payload);
    if (error == 0)
        error = check_txn(call);
    if (error == 0)
        error = check_path(call);
    return error == 0 ? run_in_txn(call) : error;
}

bool ns_operation_commits(uint32_t type)
{
    return type < sizeof(operations) / sizeof(operations[0]) &&
           (operations[type].txn == NS_TXN_CHANGE || type == NS_WIRE_TRANSACTION_END);
}

bool ns_operation_run(struct ns_connection *connection, const struct ns_wire_header *header,
                      const char *payload)
{
    const struct ns_hold *hold = ns_store_hold(connection->server->store);
    struct ns_call call;
    uint64_t commits;
    int error;

    memset(&call, 0, offsetof(struct ns_call, reason)); /* which is large */
    call.connection = connection;
    call.server = connection->server;
    call.header = header;
    call.reason.path[0] = call.reason.text[0] = '\0';
    call.reply = connection->server->reply;
    call.reply_size = 0;
    connection->server->counters.requests++;
    commits = hold->commits;
    error = run(&call, payload);
    if (hold->commits != commits)
        ns_connection_hold(connection, hold->given);
    if (error == NS_CALL_HELD)
        connection->server->counters.requests--; /* it will come again */
    else if (call.server->access_log != NULL)
        ns_access_log_operation(call.server->access_log, &call, error);
    if (error > 0)
        return error == NS_ANSWERED_ELSEWHERE;
    if (error < 0) {
        bool said = call.reason.text[0] != '\0';
        const char *path = said ? call.reason.path : call.path != NULL ? call.path : "";

        ns_operations_refuse(connection, header, error, path, said ? call.reason.text : NULL);
    } else if (call.operation->txn == NS_TXN_VIEW || call.reply_size > 0) {
        ns_operations_reply(connection, header, call.reply, call.reply_size);
    } else {
        ns_operations_reply(connection, header, "OK", sizeof("OK"));
    }
    return true;
}
