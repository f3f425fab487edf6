/* SPDX-License-Identifier: BSD-3-Clause */
/* What accounts have that belongs to connections, counted anew; see connection.h. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "nameserv/connection.h"

struct recount {
    char *why;
    size_t why_size;
};

static int clear(struct ns_account *account, void *arg)
{
    (void)arg;
    memset(&account->found, 0, sizeof(account->found));
    return 0;
}

static void count(const struct ns_connection *connection)
{
    struct ns_account *account = connection->account;
    const struct ns_client_watch *watch;
    const struct ns_client_txn *txn;

    LIST_FOREACH (watch, &connection->watches, link) {
        account->found.watches++;
        account->found.watch_bytes += ns_events_watch_bytes(watch);
    }
    LIST_FOREACH (txn, &connection->txns, link) {
        account->found.transactions++;
        account->found.txn_bytes += ns_txn_remembered(txn->txn);
    }
    account->found.unread_bytes += connection->events.bytes + ns_output_size(&connection->output);
}

static int compare(struct ns_account *account, void *arg)
{
    const struct recount *recount = arg;

    if (account->watches == account->found.watches &&
        account->transactions == account->found.transactions &&
        account->watch_bytes == account->found.watch_bytes &&
        account->unread_bytes == account->found.unread_bytes &&
        account->txn_bytes == account->found.txn_bytes)
        return 0;
    snprintf(recount->why, recount->why_size,
             "%s %u: %u watches of %llu bytes, %u transactions of %llu and %llu bytes unread are "
             "counted; %u of %llu, %u of %llu and %llu are there",
             account->authority->name, account->id, account->watches,
             (unsigned long long)account->watch_bytes, account->transactions,
             (unsigned long long)account->txn_bytes, (unsigned long long)account->unread_bytes,
             account->found.watches, (unsigned long long)account->found.watch_bytes,
             account->found.transactions, (unsigned long long)account->found.txn_bytes,
             (unsigned long long)account->found.unread_bytes);
    return -EINVAL;
}

int ns_server_recount(struct ns_server *server, char *why, size_t why_size)
{
    struct recount recount = {why, why_size};
    const struct ns_connection *connection;
    int error = ns_accounts_recount(server->store, why, why_size);

    if (error != 0)
        return error;
    ns_accounts_each(server->store, clear, NULL);
    LIST_FOREACH (connection, &server->connections, link)
        count(connection);
    return ns_accounts_each(server->store, compare, &recount);
}
