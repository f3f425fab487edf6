/* SPDX-License-Identifier: BSD-3-Clause */
/* Transactions of clients: START and END, what they have access to, and their end with the connection. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "nameserv/operations.h"

struct ns_client_txn *ns_operations_find_txn(struct ns_connection *connection, uint32_t id)
{
    struct ns_client_txn *txn;

    LIST_FOREACH (txn, &connection->txns, link)
        if (txn->id == id)
            break;
    return txn;
}

static uint32_t unused_txn_id(struct ns_connection *connection)
{
    do
        connection->last_txn_id++;
    while (connection->last_txn_id == 0 ||
           ns_operations_find_txn(connection, connection->last_txn_id) != NULL);
    return connection->last_txn_id;
}

/* Begin one of the connection's, with that number. */
static int new_txn(struct ns_connection *connection, uint32_t id, struct ns_client_txn **result)
{
    struct ns_client_txn *txn = calloc(1, sizeof(*txn));
    int error;

    if (txn == NULL)
        return -ENOMEM;
    error = ns_txn_begin(connection->server->store, &connection->who, &txn->txn);
    if (error < 0) {
        free(txn);
        return error;
    }
    txn->id = id;
    LIST_INSERT_HEAD(&connection->txns, txn, link);
    connection->txn_count++;
    connection->account->transactions++;
    *result = txn;
    return 0;
}

static void free_txn(struct ns_connection *connection, struct ns_client_txn *txn)
{
    LIST_REMOVE(txn, link);
    connection->txn_count--;
    connection->account->transactions--;
    ns_accessed_forget(txn);
    free(txn);
}

int ns_operations_run_start(struct ns_call *call)
{
    struct ns_connection *connection = call->connection;
    struct ns_client_txn *txn;
    int error;

    if (call->in != NULL)
        return ns_call_refuse(call, EBUSY, "a transaction can't be started inside of another");
    if (connection->txn_count >= call->server->txns_max)
        return ns_call_refuse(call, ENOSPC, "a connection may have %u open transactions",
                              call->server->txns_max);
    if (!ns_call_allows(call, NS_QUOTA_TRANSACTIONS, connection->account->transactions))
        return ns_call_over(call, NS_QUOTA_TRANSACTIONS, "open transactions");
    /* Last: a turn without a transaction would only hold others back. */
    if (!ns_turn_begin(connection))
        return NS_CALL_HELD;
    error = new_txn(connection, unused_txn_id(connection), &txn);
    if (error < 0)
        return error;
    ns_txn_on_conflict(txn->txn, ns_turn_lost, connection);
    txn->began = ns_loop_now(call->server->loop);
    ns_turn_started(connection, txn->id);
    return ns_call_put_number(call, "", txn->id);
}

int ns_operations_take_txn(struct ns_connection *connection, uint32_t id)
{
    struct ns_client_txn *txn;
    int error;

    if (ns_operations_find_txn(connection, id) != NULL)
        return -EEXIST;
    error = new_txn(connection, id, &txn);
    if (error == 0)
        ns_txn_expire(txn->txn);
    return error;
}

int ns_operations_run_end(struct ns_call *call)
{
    const char *how = call->arguments.first;
    struct ns_txn *txn = call->in->txn;
    uint64_t version;
    uint32_t id;
    int error = 0;

    if (strcmp(how, "T") != 0 && strcmp(how, "F") != 0)
        return ns_call_refuse(call, EINVAL, "a transaction ends with T (commit) or F (abort)");
    if (*how == 'T' && !ns_turn_allows(call->connection, txn))
        return NS_CALL_HELD;
    id = call->in->id;
    free_txn(call->connection, call->in);
    call->in = NULL;
    if (*how == 'T')
        error = ns_txn_commit(txn, &version, &call->reason);
    else
        ns_txn_abort(txn);
    ns_turn_ended(call->connection, id, *how == 'T' && error == 0);
    return error;
}

int ns_operations_access(struct ns_call *call)
{
    int error = 0;

    if (call->in == NULL || call->path == NULL || call->connection->who.privileged ||
        ns_accessed_has(call->in, call->path))
        return 0;
    if (!ns_call_allows(call, NS_QUOTA_TRANSACTION_NODES, call->in->accessed_count))
        error = ns_call_over(call, NS_QUOTA_TRANSACTION_NODES, "names in a transaction");
    return error == 0 ? ns_accessed_add(call->in, call->path) : error;
}

void ns_operations_reset(struct ns_connection *connection)
{
    struct ns_client_txn *txn, *next;

    ns_events_reset(connection);
    ns_listing_drop(connection);
    for (txn = LIST_FIRST(&connection->txns); txn != NULL; txn = next) {
        next = LIST_NEXT(txn, link);
        ns_txn_abort(txn->txn);
        free_txn(connection, txn);
    }
    ns_turn_reset(connection);
}
