/* SPDX-License-Identifier: BSD-3-Clause */
/* The registry of accounts, and what commits do to them; see account.h. */
#include "nameserv/account.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nameserv/log.h"
#include "nameserv/store_p.h"
#include "nameserv/trie.h"

enum { BUCKETS = 256 };

struct ns_accounts {
    struct ns_account *buckets[BUCKETS];
    struct ns_account *last;      /* the one that was asked for last: mostly the next, too */
    struct ns_account *concerned; /* by the commit under way */
    struct ns_quotas plain, xenstore;
    uint64_t most[NS_QUOTAS];
};

static const char *const names[NS_QUOTAS] = {
    [NS_QUOTA_NODES] = "nodes",
    [NS_QUOTA_WATCHES] = "watches",
    [NS_QUOTA_OUTSTANDING] = "outstanding",
    [NS_QUOTA_MEMORY] = "memory",
    [NS_QUOTA_SOFT_MEMORY] = "soft-memory",
    [NS_QUOTA_TRANSACTIONS] = "transactions",
    [NS_QUOTA_TRANSACTION_NODES] = "transaction-nodes",
    [NS_QUOTA_NODE_PERMISSIONS] = "node-permissions",
    [NS_QUOTA_PATH_MAX] = "path-max",
    [NS_QUOTA_NODE_SIZE] = "node-size",
};

/* xenstored's. */
static const struct ns_quotas xenstore_defaults = {.limit = {
                                                       [NS_QUOTA_NODES] = 1000,
                                                       [NS_QUOTA_WATCHES] = 128,
                                                       [NS_QUOTA_OUTSTANDING] = 20,
                                                       [NS_QUOTA_MEMORY] = 2560 << 10,
                                                       [NS_QUOTA_SOFT_MEMORY] = 2048 << 10,
                                                       [NS_QUOTA_TRANSACTIONS] = 10,
                                                       [NS_QUOTA_TRANSACTION_NODES] = 1024,
                                                       [NS_QUOTA_NODE_PERMISSIONS] = 5,
                                                       [NS_QUOTA_PATH_MAX] = 2048,
                                                       [NS_QUOTA_NODE_SIZE] = 2048,
                                                   }};

/* Users without privilege are people and daemons of this host, and not guests. */
static const struct ns_quotas plain_defaults = {.limit = {
                                                    [NS_QUOTA_NODES] = 100000,
                                                    [NS_QUOTA_WATCHES] = 8192,
                                                    [NS_QUOTA_MEMORY] = 256 << 20,
                                                    [NS_QUOTA_TRANSACTIONS] = 1024,
                                                    [NS_QUOTA_TRANSACTION_NODES] = 100000,
                                                    [NS_QUOTA_NODE_PERMISSIONS] = NS_PERMS_MAX,
                                                    [NS_QUOTA_PATH_MAX] = NS_PATH_MAX,
                                                    [NS_QUOTA_NODE_SIZE] = NS_VALUE_MAX,
                                                }};

struct ns_accounts *ns_accounts_new(void)
{
    struct ns_accounts *accounts = calloc(1, sizeof(*accounts));

    if (accounts != NULL) {
        accounts->plain = plain_defaults;
        accounts->xenstore = xenstore_defaults;
    }
    return accounts;
}

void ns_accounts_free(struct ns_accounts *accounts)
{
    for (size_t i = 0; accounts != NULL && i < BUCKETS; i++) {
        while (accounts->buckets[i] != NULL) {
            struct ns_account *next = accounts->buckets[i]->next;

            free(accounts->buckets[i]);
            accounts->buckets[i] = next;
        }
    }
    free(accounts);
}

const char *ns_quota_name(enum ns_quota quota)
{
    return names[quota];
}

enum ns_quota ns_quota_find(const char *name)
{
    enum ns_quota quota = 0;

    while (quota < NS_QUOTAS && strcmp(names[quota], name) != 0)
        quota++;
    return quota;
}

struct ns_quotas *ns_accounts_defaults(struct ns_store *store, const struct ns_authority *authority)
{
    return authority == &ns_authority_xenstore ? &store->accounts->xenstore
                                               : &store->accounts->plain;
}

const struct ns_quotas *ns_quotas_default(struct ns_store *store,
                                          const struct ns_authority *authority)
{
    return ns_accounts_defaults(store, authority);
}

uint64_t *ns_quotas_most(struct ns_store *store)
{
    return store->accounts->most;
}

static void take_defaults(struct ns_store *store, struct ns_account *account)
{
    account->quotas = *ns_quotas_default(store, account->authority);
    account->quotas.set = 0;
}

static struct ns_account **bucket_of(struct ns_accounts *accounts, uint32_t id)
{
    return &accounts->buckets[(id * 2654435761u) >> 24];
}

static struct ns_account *new_account(struct ns_store *store, const struct ns_authority *authority,
                                      uint32_t id)
{
    struct ns_account *account = calloc(1, sizeof(*account)), **bucket;

    if (account == NULL)
        return NULL;
    account->authority = authority;
    account->id = id;
    account->exempt = id == 0;
    take_defaults(store, account);
    bucket = bucket_of(store->accounts, id);
    account->next = *bucket;
    *bucket = account;
    return account;
}

struct ns_account *ns_account_get(struct ns_store *store, const struct ns_authority *authority,
                                  uint32_t id)
{
    struct ns_account *account = store->accounts->last;

    if (account != NULL && account->id == id && account->authority == authority)
        return account;
    for (account = *bucket_of(store->accounts, id); account != NULL; account = account->next)
        if (account->id == id && account->authority == authority)
            break;
    if (account == NULL)
        account = new_account(store, authority, id);
    store->accounts->last = account;
    return account;
}

struct ns_account *ns_account_of(struct ns_store *store, const struct ns_identity *who)
{
    if (who->kind == NS_DOMAIN)
        return ns_account_get(store, &ns_authority_xenstore, who->domain.domid);
    return ns_account_get(store, &ns_authority_plain, who->uid);
}

void ns_account_forget(struct ns_store *store, const struct ns_authority *authority, uint32_t id)
{
    struct ns_account *account, **link = bucket_of(store->accounts, id);

    while ((account = *link) != NULL && (account->id != id || account->authority != authority))
        link = &account->next;
    if (account == NULL)
        return;
    if (account->quotas.set != 0)
        ns_quotas_forgotten(store, account);
    take_defaults(store, account);
    account->warned = false;
}

int ns_accounts_each(struct ns_store *store, int (*fn)(struct ns_account *account, void *arg),
                     void *arg)
{
    int rc = 0;

    for (size_t i = 0; i < BUCKETS && rc == 0; i++)
        for (struct ns_account *account = store->accounts->buckets[i]; account != NULL && rc == 0;
             account = account->next)
            rc = fn(account, arg);
    return rc;
}

/* ---- commits ---- */

static int count(struct ns_store *store, const struct ns_authority *authority,
                 const struct ns_entry *entry, int sign)
{
    struct ns_accounts *accounts = store->accounts;
    struct ns_account *account;

    if (entry == NULL)
        return 0;
    account = ns_account_get(store, authority, entry->perms->list[0].id);
    if (account == NULL)
        return -ENOMEM;
    account->more_nodes += sign;
    account->more_bytes += sign * (int64_t)ns_entry_bytes(entry);
    if (!account->concerned) {
        account->concerned = true;
        account->next_concerned = accounts->concerned;
        accounts->concerned = account;
    }
    return 0;
}

/* Only who gets more can be over a limit. */
static int judge(const struct ns_account *account, struct ns_reason *reason)
{
    static const enum ns_quota limits[] = {NS_QUOTA_NODES, NS_QUOTA_MEMORY};
    const int64_t more[] = {account->more_nodes, account->more_bytes};
    const uint64_t now[] = {account->nodes, ns_account_memory(account)};

    for (size_t i = 0; i < 2 && !account->exempt; i++) {
        uint32_t limit = account->quotas.limit[limits[i]];
        uint64_t would_have = now[i] + (uint64_t)more[i];

        if (more[i] > 0 && limit > 0 && would_have > limit)
            return ns_reason_set(reason, ENOSPC, "",
                                 "%s %u may have %u %s in %s parts, and would have %llu",
                                 account->authority->bind != NULL ? "domain" : "user", account->id,
                                 limit, i == 0 ? "names" : "bytes", account->authority->name,
                                 (unsigned long long)would_have);
    }
    return 0;
}

static void warn_of_memory(struct ns_account *account)
{
    uint32_t limit = account->quotas.limit[NS_QUOTA_SOFT_MEMORY];
    uint64_t memory = ns_account_memory(account);
    bool over = limit > 0 && memory > limit;

    if (over && !account->warned)
        ns_log(NS_LOG_WARNING, "%s %u has %llu bytes, more than its soft-memory of %u",
               account->authority->bind != NULL ? "domain" : "user", account->id,
               (unsigned long long)memory, limit);
    account->warned = over;
}

int ns_accounts_judge(struct ns_commit *commit)
{
    struct ns_store *store = commit->store;
    int rc = 0;

    for (size_t i = 0; i < commit->change_count && rc == 0; i++) {
        const struct ns_change *change = &commit->changes[i];

        rc = count(store, change->mount->authority, change->before, -1);
        if (rc == 0)
            rc = count(store, change->mount->authority, change->after, 1);
    }
    for (const struct ns_account *account = store->accounts->concerned;
         account != NULL && rc == 0 && !commit->who->privileged; account = account->next_concerned)
        rc = judge(account, commit->reason);
    return rc;
}

void ns_account_look(struct ns_store *store, struct ns_account *account)
{
    uint64_t *most = store->accounts->most;

    if (account->exempt)
        return;
    warn_of_memory(account);
    ns_quota_seen(most, NS_QUOTA_NODES, account->nodes);
    ns_quota_seen(most, NS_QUOTA_MEMORY, ns_account_memory(account));
    ns_quota_seen(most, NS_QUOTA_SOFT_MEMORY, ns_account_memory(account));
}

void ns_accounts_end(struct ns_store *store, bool published)
{
    struct ns_account *account;

    while ((account = store->accounts->concerned) != NULL) {
        store->accounts->concerned = account->next_concerned;
        if (published) {
            account->nodes += (uint64_t)account->more_nodes;
            account->bytes += (uint64_t)account->more_bytes;
            ns_account_look(store, account);
        }
        account->more_nodes = account->more_bytes = 0;
        account->concerned = false;
    }
}

/* ---- recount ---- */

struct recount {
    struct ns_store *store;
    char path[NS_PATH_MAX + 1];
    size_t size;
    char *why;
    size_t why_size;
};

static int recount_child(const struct ns_entry *entry, void *arg);

static int recount_entry(struct recount *recount, const struct ns_entry *entry)
{
    const struct ns_mount *mount = ns_mount_find(recount->store, recount->path, recount->size);
    int rc = count(recount->store, mount->authority, entry, 1);

    return rc == 0 ? ns_entry_each(entry, recount_child, recount) : rc;
}

static int recount_child(const struct ns_entry *entry, void *arg)
{
    struct recount *recount = arg;
    size_t size = recount->size, end = size > 1 ? size : 0;
    int rc;

    recount->path[end] = '/';
    memcpy(recount->path + end + 1, ns_entry_name(entry), entry->name_size + 1u);
    recount->size = end + 1 + entry->name_size;
    rc = recount_entry(recount, entry);
    recount->size = size;
    return rc;
}

static int compare(struct ns_account *account, void *arg)
{
    struct recount *recount = arg;

    if (account->nodes == (uint64_t)account->more_nodes &&
        account->bytes == (uint64_t)account->more_bytes)
        return 0;
    snprintf(recount->why, recount->why_size,
             "%s %u: %llu names of %llu bytes are counted, %lld of %lld are there",
             account->authority->name, account->id, (unsigned long long)account->nodes,
             (unsigned long long)account->bytes, (long long)account->more_nodes,
             (long long)account->more_bytes);
    return -EINVAL;
}

static int count_all(struct recount *recount)
{
    recount->path[0] = '/';
    recount->size = 1;
    return recount_entry(recount, recount->store->version->root);
}

int ns_accounts_recount(struct ns_store *store, char *why, size_t why_size)
{
    struct recount *recount = calloc(1, sizeof(*recount));
    int rc;

    if (recount == NULL)
        return -ENOMEM;
    recount->store = store;
    recount->why = why;
    recount->why_size = why_size;
    rc = count_all(recount);
    if (rc == 0)
        rc = ns_accounts_each(store, compare, recount);
    ns_accounts_end(store, false);
    free(recount);
    return rc;
}

static int clear(struct ns_account *account, void *arg)
{
    (void)arg;
    account->nodes = account->bytes = 0;
    return 0;
}

int ns_accounts_take(struct ns_store *store)
{
    struct recount *recount = calloc(1, sizeof(*recount));
    int rc;

    if (recount == NULL)
        return -ENOMEM;
    recount->store = store;
    rc = count_all(recount);
    if (rc == 0)
        ns_accounts_each(store, clear, NULL);
    ns_accounts_end(store, rc == 0);
    free(recount);
    return rc;
}
