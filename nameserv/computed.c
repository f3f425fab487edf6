/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Requests for computed names: asked of their mount, and answered when it answers.
 *
 * The request outlives its connection if need be; then the answer is dropped.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nameserv/operations.h"

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
    ns_operations_reply(request->connection, &request->header, reply, used);
}

/* error is 0, or the mount's, whose data is the explanation. */
static void send_answer(struct ns_request *request, int error, const char *data, size_t size)
{
    struct ns_connection *connection = request->connection;
    char *text;

    if (error == 0 && request->header.type == NS_WIRE_DIRECTORY_PART) {
        send_list_part(request, data, size);
    } else if (error == 0 && size <= NS_WIRE_PAYLOAD_MAX) {
        ns_operations_reply(connection, &request->header, data, size);
    } else if (error == 0) {
        ns_operations_refuse(connection, &request->header, -E2BIG, request->path, NULL);
    } else {
        text = size > 0 ? strndup(data, size) : NULL;
        ns_operations_refuse(connection, &request->header, error, text != NULL ? "" : request->path,
                             text);
        free(text);
    }
}

static void answer_request(struct ns_query *query, int error, const void *data, size_t size)
{
    struct ns_request *request = (struct ns_request *)query;
    struct ns_connection *connection = request->connection;

    if (connection->server != NULL) {
        connection->request = NULL;
        send_answer(request, error, data, size);
    }
    ns_connection_put(connection);
    free(request);
}

/* All computed names have the permissions of the mount's own; without it, because a domain that is gone owned what was
 * above, they are the privileged's. */
static int may_read(struct ns_call *call, const struct ns_mount *mount)
{
    const struct ns_entry *entry =
        ns_tree_lookup(ns_store_version(call->server->store)->root, mount->path, mount->path_size);

    if (call->connection->who.privileged ||
        (entry != NULL &&
         (ns_rights(mount->authority, entry->perms, &call->connection->who) & NS_PERM_READ) != 0))
        return 0;
    return ns_call_refuse(call, EACCES, "%.200s: not permitted: you have no right to read here",
                          call->path);
}

int ns_call_ask_mount(struct ns_call *call, bool list, uint64_t offset)
{
    struct ns_mount *mount = ns_mount_find(call->server->store, call->path, call->path_size);
    struct ns_request *request;
    int error;

    if (!mount->ops->computed)
        return 0;
    error = may_read(call, mount);
    if (error < 0)
        return error;
    request = calloc(1, sizeof(*request) + call->path_size + 1);
    if (request == NULL)
        return -ENOMEM;
    memcpy(request->path, call->path, call->path_size + 1);
    request->connection = call->connection;
    request->header = *call->header;
    request->offset = offset;
    request->query = (struct ns_query){.store = call->server->store,
                                       .path = request->path,
                                       .who = &call->connection->who,
                                       .connection = call->connection,
                                       .answer = answer_request};
    call->connection->request = request;
    call->connection->references++;
    ns_store_publish(call->server->store); /* modules look at what is published */
    (list ? mount->ops->list : mount->ops->read)(mount, &request->query);
    return NS_ANSWERED_ELSEWHERE;
}
