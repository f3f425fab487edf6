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

#include "nameserv/connection.h"

/* What a function answers if the reply comes by another way, now or later. */
enum { ANSWERED_ELSEWHERE = 1 };

/* What the transaction number of the header means to an operation. */
enum txn_use {
    TXN_IGNORED, /* not looked at */
    TXN_CHECKED, /* must exist if it is not 0 */
    TXN_NEEDED,  /* must exist */
    TXN_VIEW,    /* as CHECKED; the operation reads in it, or in one of its own */
    TXN_CHANGE,  /* the same, and its own is committed */
};

enum path_use { PATH_NONE, PATH_NODE, PATH_NODE_OR_SPECIAL };

struct call;

struct operation {
    const char *name;
    int (*run)(struct call *call); /* 0, ANSWERED_ELSEWHERE, or a negative errno */
    enum ns_wire_shape shape;
    enum txn_use txn;
    enum path_use path;
};

/* One request while it is run. */
struct call {
    struct ns_connection *connection;
    struct ns_server *server;
    const struct ns_wire_header *header;
    const struct operation *operation;
    struct ns_wire_arguments arguments;
    const char *path; /* absolute */
    size_t path_size;
    struct ns_client_txn *in; /* the client's transaction; NULL: none */
    struct ns_txn *txn;       /* that, or one of its own */
    struct ns_reason reason;  /* of a refusal; text "" = none given */
    char *reply;              /* NS_WIRE_PAYLOAD_MAX bytes */
    size_t reply_size;
};

/* ---- reasons ---- */

__attribute__((format(printf, 3, 4)))
static int refuse(struct call *call, int error, const char *format, ...)
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
        { EAGAIN, "something that the transaction had read was changed meanwhile; start it again" },
        { ENOENT, "no such name" },
        { EACCES, "not permitted" },
        { ENOMEM, "out of memory" },
        { E2BIG, "the answer is longer than the 4096 bytes that a message carries" },
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
    int size = *path == '\0' ? asprintf(&sentence, "%s", text) : asprintf(&sentence, "%s: %s", path, text);

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

static void send_reply(struct ns_connection *connection, const struct ns_wire_header *request,
                       const void *payload, size_t size)
{
    struct ns_wire_header header = *request;

    header.size = (uint32_t)size;
    ns_connection_send(connection, &header, payload);
    connection->server->counters.replies++;
}

static void send_error(struct ns_connection *connection, const struct ns_wire_header *request, int error)
{
    struct ns_wire_header header = *request;
    const char *name = ns_wire_error_name(error);

    header.type = NS_WIRE_ERROR;
    header.size = (uint32_t)strlen(name) + 1;
    ns_connection_send(connection, &header, name);
    connection->server->counters.replies++;
    connection->server->counters.errors++;
}

static int put(struct call *call, const void *bytes, size_t size)
{
    if (size > NS_WIRE_PAYLOAD_MAX - call->reply_size)
        return -E2BIG;
    memcpy(call->reply + call->reply_size, bytes, size);
    call->reply_size += size;
    return 0;
}

/* ---- computed names ---- */

/* The reply to DIRECTORY_PART from a list that is there whole. Its generation is a checksum, which
 * changes when the list does. */
static void send_list_part(struct ns_request *request, const char *names, size_t size)
{
    char reply[NS_WIRE_PAYLOAD_MAX];
    uint64_t sum = UINT64_C(0xcbf29ce484222325); /* FNV-1a */
    size_t used, start = request->offset < size ? request->offset : size, end = start, room;

    for (size_t i = 0; i < size; i++)
        sum = (sum ^ (unsigned char)names[i]) * UINT64_C(0x100000001b3);
    used = (size_t)snprintf(reply, sizeof(reply), "%llu", (unsigned long long)sum) + 1;
    room = sizeof(reply) - used - 1;
    for (size_t i = start; i < size && i - start < room; i++)
        if (names[i] == '\0')
            end = i + 1;
    if (end > start)
        memcpy(reply + used, names + start, end - start);
    used += end - start;
    if (end == size)
        reply[used++] = '\0';
    send_reply(request->connection, &request->header, reply, used);
}

static void answer_request(struct ns_query *query, int error, const void *data, size_t size)
{
    struct ns_request *request = (struct ns_request *)query;
    struct ns_connection *connection = request->connection;

    if (connection->server != NULL) {
        connection->request = NULL;
        if (error == 0 && request->header.type == NS_WIRE_DIRECTORY_PART) {
            send_list_part(request, data, size);
        } else if (error == 0 && size <= NS_WIRE_PAYLOAD_MAX) {
            send_reply(connection, &request->header, data, size);
        } else {
            char *text = error < 0 && size > 0 ? strndup(data, size) : NULL;

            error = error < 0 ? error : -E2BIG;
            if (text != NULL)
                keep_reason(connection, "", text);
            else
                keep_reason(connection, request->path, general_reason(error));
            free(text);
            send_error(connection, &request->header, error);
        }
    }
    ns_connection_put(connection);
    free(request);
}

/* If the name is computed, ask its mount: ANSWERED_ELSEWHERE, or -ENOMEM. Else 0. */
static int ask_mount(struct call *call, bool list, uint64_t offset)
{
    struct ns_mount *mount = ns_mount_find(call->server->store, call->path, call->path_size);
    struct ns_request *request;

    if (!mount->ops->computed)
        return 0;
    request = calloc(1, sizeof(*request) + call->path_size + 1);
    if (request == NULL)
        return -ENOMEM;
    memcpy(request->path, call->path, call->path_size + 1);
    request->connection = call->connection;
    request->header = *call->header;
    request->offset = offset;
    request->query = (struct ns_query){ .store = call->server->store,
                                        .path = request->path,
                                        .who = &call->connection->who,
                                        .connection = call->connection,
                                        .answer = answer_request };
    call->connection->request = request;
    call->connection->references++;
    (list ? mount->ops->list : mount->ops->read)(mount, &request->query);
    return ANSWERED_ELSEWHERE;
}

/* ---- reading ---- */

static int run_read(struct call *call)
{
    const void *value;
    size_t size;
    int error = ask_mount(call, false, 0);

    if (error != 0)
        return error;
    error = ns_txn_read(call->txn, call->path, &value, &size);
    return error < 0 ? error : put(call, value, size);
}

static int put_name(const struct ns_entry *child, void *arg)
{
    return put(arg, ns_entry_name(child), child->name_size + 1u);
}

static int run_directory(struct call *call)
{
    int error = ask_mount(call, true, 0);

    return error != 0 ? error : ns_txn_list(call->txn, call->path, put_name, call);
}

/* A computed name has the permissions of its mount. */
static int run_get_perms(struct call *call)
{
    struct ns_mount *mount = ns_mount_find(call->server->store, call->path, call->path_size);
    const struct ns_perms *perms;
    int error = ns_txn_get_perms(call->txn, mount->ops->computed ? mount->path : call->path, &perms);

    if (error < 0)
        return error;
    error = ns_perms_format(perms, call->reply, NS_WIRE_PAYLOAD_MAX);
    call->reply_size = error < 0 ? 0 : (size_t)error;
    return error < 0 ? error : 0;
}

static int run_get_domain_path(struct call *call)
{
    uint64_t domain;

    if (ns_wire_number(call->arguments.first, UINT16_MAX, &domain) < 0)
        return refuse(call, EINVAL, "'%.40s' is no domain number (0 to 65535)", call->arguments.first);
    call->reply_size = (size_t)snprintf(call->reply, NS_WIRE_PAYLOAD_MAX, "/local/domain/%u", (unsigned)domain) + 1;
    return 0;
}

/* ---- listing in parts ---- */

static void drop_listing(struct ns_connection *connection)
{
    if (connection->listing == NULL)
        return;
    if (connection->listing->pin != NULL)
        ns_txn_abort(connection->listing->pin);
    free(connection->listing);
    connection->listing = NULL;
}

/* Start a listing anew. Outside of a transaction it takes over the call's own one. */
static int start_listing(struct call *call)
{
    struct ns_listing *listing = calloc(1, sizeof(*listing));

    drop_listing(call->connection);
    if (listing == NULL)
        return -ENOMEM;
    listing->tx = call->header->tx;
    memcpy(listing->path, call->path, call->path_size + 1);
    if (call->in == NULL) {
        listing->pin = call->txn;
        call->txn = NULL;
    }
    call->connection->listing = listing;
    return 0;
}

/* The listing that this request is about. The first part starts it; a later one goes on, or starts
 * it anew if another was asked for in between: then the generation tells the client. */
static int find_listing(struct call *call, uint64_t offset)
{
    const struct ns_listing *listing = call->connection->listing;

    if (listing != NULL && offset > 0 && listing->tx == call->header->tx &&
        strcmp(listing->path, call->path) == 0)
        return 0;
    return start_listing(call);
}

static int nothing(const struct ns_entry *child, void *arg)
{
    (void)child;
    (void)arg;
    return 1;
}

/* A number that changes when the list does. Inside of a transaction that has changed the list itself
 * there is no commit number yet. */
static uint64_t generation(const struct call *call, const struct ns_entry *entry)
{
    if (entry->children_version > 0)
        return entry->children_version;
    return (UINT64_C(1) << 63) + (call->in != NULL ? call->in->changes : 0);
}

/* The name at the byte offset of the list: the one after the last part, or by counting. *skip gets
 * how much of it lies before the offset. */
static const struct ns_entry *seek(struct ns_listing *listing, const struct ns_entry *entry, uint64_t offset,
                                   size_t *skip)
{
    const struct ns_entry *child;
    uint64_t at = 0;

    *skip = 0;
    if (offset > 0 && listing->offset == offset)
        return ns_entry_next(entry, listing->last, strlen(listing->last));
    for (child = ns_entry_first(entry); child != NULL && at + child->name_size + 1 <= offset;
         child = ns_entry_next(entry, ns_entry_name(child), child->name_size))
        at += child->name_size + 1u;
    *skip = child != NULL ? (size_t)(offset - at) : 0;
    return child;
}

static void put_part(struct call *call, struct ns_listing *listing, const struct ns_entry *entry,
                     uint64_t offset)
{
    size_t skip;
    const struct ns_entry *child = seek(listing, entry, offset, &skip);

    listing->generation = generation(call, entry);
    call->reply_size = (size_t)snprintf(call->reply, NS_WIRE_PAYLOAD_MAX, "%llu",
                                        (unsigned long long)listing->generation) + 1;
    listing->offset = offset;
    while (child != NULL && call->reply_size + child->name_size + 1 - skip < NS_WIRE_PAYLOAD_MAX) {
        put(call, ns_entry_name(child) + skip, child->name_size + 1 - skip);
        listing->offset += child->name_size + 1 - skip;
        memcpy(listing->last, ns_entry_name(child), child->name_size + 1u);
        skip = 0;
        child = ns_entry_next(entry, listing->last, child->name_size);
    }
    if (child == NULL) {
        put(call, "", 1);
        drop_listing(call->connection);
    }
}

static int run_directory_part(struct call *call)
{
    const struct ns_entry *entry;
    struct ns_listing *listing;
    struct ns_txn *txn;
    uint64_t offset;
    int error;

    if (ns_wire_number(call->arguments.rest, UINT32_MAX, &offset) < 0)
        return refuse(call, EINVAL, "'%.40s' is no offset", call->arguments.rest);
    error = ask_mount(call, true, offset);
    if (error == 0)
        error = find_listing(call, offset);
    if (error != 0)
        return error;
    listing = call->connection->listing;
    txn = listing->pin != NULL ? listing->pin : call->txn;
    error = ns_txn_list(txn, call->path, nothing, NULL); /* observes the list, or may not see it */
    if (error >= 0)
        error = ns_txn_get(txn, call->path, &entry);
    if (error >= 0) {
        /* A list that was changed in between is not where the last part ended. */
        if (listing->generation != generation(call, entry))
            listing->offset = 0;
        put_part(call, listing, entry, offset);
        return 0;
    }
    call->reason = *ns_txn_reason(txn);
    drop_listing(call->connection);
    return error;
}

/* ---- changing ---- */

static int run_write(struct call *call)
{
    return ns_txn_write(call->txn, call->path, call->arguments.rest, call->arguments.rest_size);
}

static int run_mkdir(struct call *call)
{
    return ns_txn_mkdir(call->txn, call->path);
}

static int run_rm(struct call *call)
{
    return ns_txn_remove(call->txn, call->path);
}

static int run_set_perms(struct call *call)
{
    struct ns_perm list[NS_PERMS_MAX];
    int count = ns_perms_parse(call->arguments.rest, call->arguments.rest_size, list);

    if (count == -ENOSPC)
        return refuse(call, ENOSPC, "%s: more than %d permissions", call->path, NS_PERMS_MAX);
    if (count < 0)
        return refuse(call, EINVAL, "%s: a permission is one of the letters n, r, w, b and a number, as in 'r0'",
                      call->path);
    return ns_txn_set_perms(call->txn, call->path, list, (size_t)count);
}

/* ---- watches ---- */

static int run_watch(struct call *call)
{
    int error = ns_events_watch(call->connection, call->arguments.first, call->path, call->arguments.rest);

    if (error == -EEXIST)
        return refuse(call, EEXIST, "%s is being watched already with this token", call->path);
    if (error == -ENOSPC)
        return refuse(call, ENOSPC, "a connection may have %u watches", call->server->watches_max);
    return error;
}

static int run_unwatch(struct call *call)
{
    int error = ns_events_unwatch(call->connection, call->arguments.first, call->arguments.rest);

    if (error == -ENOENT)
        return refuse(call, ENOENT, "%s is not being watched with this token", call->path);
    return error;
}

static int run_reset_watches(struct call *call)
{
    ns_operations_reset(call->connection);
    return 0;
}

/* ---- transactions ---- */

static struct ns_client_txn *find_txn(struct ns_connection *connection, uint32_t id)
{
    struct ns_client_txn *txn;

    LIST_FOREACH(txn, &connection->txns, link)
        if (txn->id == id)
            break;
    return txn;
}

static uint32_t unused_txn_id(struct ns_connection *connection)
{
    do
        connection->last_txn_id++;
    while (connection->last_txn_id == 0 || find_txn(connection, connection->last_txn_id) != NULL);
    return connection->last_txn_id;
}

static void free_txn(struct ns_connection *connection, struct ns_client_txn *txn)
{
    LIST_REMOVE(txn, link);
    connection->txn_count--;
    free(txn);
}

static int run_transaction_start(struct call *call)
{
    struct ns_connection *connection = call->connection;
    struct ns_client_txn *txn;
    int error;

    if (call->in != NULL)
        return refuse(call, EBUSY, "a transaction can't be started inside of another");
    if (connection->txn_count >= call->server->txns_max)
        return refuse(call, ENOSPC, "a connection may have %u open transactions", call->server->txns_max);
    txn = calloc(1, sizeof(*txn));
    if (txn == NULL)
        return -ENOMEM;
    error = ns_txn_begin(call->server->store, &connection->who, &txn->txn);
    if (error < 0) {
        free(txn);
        return error;
    }
    txn->id = unused_txn_id(connection);
    LIST_INSERT_HEAD(&connection->txns, txn, link);
    connection->txn_count++;
    call->reply_size = (size_t)snprintf(call->reply, NS_WIRE_PAYLOAD_MAX, "%u", txn->id) + 1;
    return 0;
}

static int run_transaction_end(struct call *call)
{
    const char *how = call->arguments.first;
    struct ns_txn *txn = call->in->txn;
    uint64_t version;

    if (strcmp(how, "T") != 0 && strcmp(how, "F") != 0)
        return refuse(call, EINVAL, "a transaction ends with T (commit) or F (abort)");
    free_txn(call->connection, call->in);
    call->in = NULL;
    if (*how == 'T')
        return ns_txn_commit(txn, &version, &call->reason);
    ns_txn_abort(txn);
    return 0;
}

void ns_operations_reset(struct ns_connection *connection)
{
    struct ns_client_txn *txn;

    ns_events_reset(connection);
    drop_listing(connection);
    while ((txn = LIST_FIRST(&connection->txns)) != NULL) {
        ns_txn_abort(txn->txn);
        free_txn(connection, txn);
    }
}

/* ---- the table and the dispatcher ---- */

static const struct operation operations[] = {
    [NS_WIRE_DIRECTORY] = { "DIRECTORY", run_directory, NS_WIRE_STRING, TXN_VIEW, PATH_NODE },
    [NS_WIRE_READ] = { "READ", run_read, NS_WIRE_STRING, TXN_VIEW, PATH_NODE },
    [NS_WIRE_GET_PERMS] = { "GET_PERMS", run_get_perms, NS_WIRE_STRING, TXN_VIEW, PATH_NODE },
    [NS_WIRE_WATCH] = { "WATCH", run_watch, NS_WIRE_PAIR, TXN_IGNORED, PATH_NODE_OR_SPECIAL },
    [NS_WIRE_UNWATCH] = { "UNWATCH", run_unwatch, NS_WIRE_PAIR, TXN_IGNORED, PATH_NODE_OR_SPECIAL },
    [NS_WIRE_TRANSACTION_START] = { "TRANSACTION_START", run_transaction_start, NS_WIRE_ANYTHING,
                                    TXN_CHECKED, PATH_NONE },
    [NS_WIRE_TRANSACTION_END] = { "TRANSACTION_END", run_transaction_end, NS_WIRE_STRING, TXN_NEEDED,
                                  PATH_NONE },
    [NS_WIRE_GET_DOMAIN_PATH] = { "GET_DOMAIN_PATH", run_get_domain_path, NS_WIRE_STRING, TXN_CHECKED,
                                  PATH_NONE },
    [NS_WIRE_WRITE] = { "WRITE", run_write, NS_WIRE_VALUE, TXN_CHANGE, PATH_NODE },
    [NS_WIRE_MKDIR] = { "MKDIR", run_mkdir, NS_WIRE_STRING, TXN_CHANGE, PATH_NODE },
    [NS_WIRE_RM] = { "RM", run_rm, NS_WIRE_STRING, TXN_CHANGE, PATH_NODE },
    [NS_WIRE_SET_PERMS] = { "SET_PERMS", run_set_perms, NS_WIRE_LIST, TXN_CHANGE, PATH_NODE },
    [NS_WIRE_RESET_WATCHES] = { "RESET_WATCHES", run_reset_watches, NS_WIRE_ANYTHING, TXN_CHECKED,
                                PATH_NONE },
    [NS_WIRE_DIRECTORY_PART] = { "DIRECTORY_PART", run_directory_part, NS_WIRE_PAIR, TXN_VIEW, PATH_NODE },
};

static int find_operation(struct call *call)
{
    uint32_t type = call->header->type;

    if (type >= sizeof(operations) / sizeof(operations[0]) || operations[type].run == NULL)
        return refuse(call, ENOSYS, "there is no operation %u", type);
    call->operation = &operations[type];
    return 0;
}

static int check_payload(struct call *call, const char *payload)
{
    static const char *const shapes[] = {
        [NS_WIRE_ANYTHING] = "anything",
        [NS_WIRE_STRING] = "one text that ends with a NUL",
        [NS_WIRE_PAIR] = "two texts that end with a NUL each",
        [NS_WIRE_VALUE] = "a path that ends with a NUL, and a value",
        [NS_WIRE_LIST] = "a path and at least one permission, each ending with a NUL",
    };
    const struct operation *operation = call->operation;

    if (ns_wire_parse(operation->shape, payload, call->header->size, &call->arguments) == 0)
        return 0;
    return refuse(call, EINVAL, "%s takes %s", operation->name, shapes[operation->shape]);
}

static int check_txn(struct call *call)
{
    enum txn_use use = call->operation->txn;

    if (use == TXN_IGNORED || (use != TXN_NEEDED && call->header->tx == 0))
        return 0;
    call->in = find_txn(call->connection, call->header->tx);
    if (call->in == NULL)
        return refuse(call, ENOENT, "this connection has no transaction %u", call->header->tx);
    call->txn = call->in->txn;
    return 0;
}

static int check_path(struct call *call)
{
    const struct operation *operation = call->operation;
    int size;

    if (operation->path == PATH_NONE)
        return 0;
    size = ns_wire_absolute(call->arguments.first, call->arguments.first_size, call->server->path_asked);
    if (size < 0)
        return refuse(call, EINVAL, "a path has at least one byte, and at most %d (%d if it is relative)",
                      NS_PATH_MAX, NS_WIRE_RELATIVE_MAX);
    call->path = call->server->path_asked;
    call->path_size = (size_t)size;
    if (call->path[0] == '@' && operation->path == PATH_NODE)
        return refuse(call, EINVAL, "%.100s: special names can only be watched", call->path);
    if (call->path[0] == '@')
        return 0;
    return ns_store_path_check(call->server->store, call->path, call->path_size, &call->reason);
}

/* Run the operation in the client's transaction, or in one of its own. */
static int run_in_txn(struct call *call)
{
    enum txn_use use = call->operation->txn;
    uint64_t version;
    int error;

    if (use < TXN_VIEW)
        return call->operation->run(call);
    error = call->in != NULL ? 0 : ns_txn_begin(call->server->store, &call->connection->who, &call->txn);
    if (error < 0)
        return error;
    error = call->operation->run(call);
    if (error < 0 && call->txn != NULL && call->reason.text[0] == '\0')
        call->reason = *ns_txn_reason(call->txn);
    if (call->in != NULL) {
        call->in->changes += use == TXN_CHANGE;
    } else if (error == 0 && use == TXN_CHANGE) {
        error = ns_txn_commit(call->txn, &version, &call->reason);
    } else if (call->txn != NULL) { /* a listing may have kept it */
        ns_txn_abort(call->txn);
    }
    return error;
}

static int run(struct call *call, const char *payload)
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

void ns_operation_run(struct ns_connection *connection, const struct ns_wire_header *header,
                      const char *payload)
{
    struct call call;
    int error;

    memset(&call, 0, offsetof(struct call, reason));
    call.connection = connection;
    call.server = connection->server;
    call.header = header;
    call.reason.path[0] = call.reason.text[0] = '\0';
    call.reply = connection->server->reply;
    call.reply_size = 0;
    connection->server->counters.requests++;
    error = run(&call, payload);
    if (error == ANSWERED_ELSEWHERE)
        return;
    if (error < 0) {
        bool said = call.reason.text[0] != '\0';

        keep_reason(connection, said ? call.reason.path : call.path != NULL ? call.path : "",
                    said ? call.reason.text : general_reason(error));
        send_error(connection, header, error);
    } else if (call.operation->txn == TXN_VIEW || call.reply_size > 0) {
        send_reply(connection, header, call.reply, call.reply_size);
    } else {
        send_reply(connection, header, "OK", sizeof("OK"));
    }
}
