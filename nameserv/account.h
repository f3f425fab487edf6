/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Accounts: what each owner has in the store, and how much it may have.
 *
 * There is one account for each number that owns something in a part of the name space: a domain's in
 * Xenstore parts; a uid's, or a gid's, in plain ones. Names count for the owner in their permission list,
 * whoever made them; watches and transactions for who has them open. A limit allows exactly its number, and
 * 0 is no limit. The privileged are counted, and never stopped.
 *
 * Names are counted by commits, from the differences between two versions: what one commit creates, removes
 * and gives away is one change of each account concerned, whether it was one write or a merged
 * transaction, so nothing can be forgotten on the way. ns_accounts_recount() compares with the tree.
 *
 * Thread safety: the control core only.
 */
#ifndef KEDGE_NAMESERV_ACCOUNT_H
#define KEDGE_NAMESERV_ACCOUNT_H

#include "nameserv/authority.h"
#include "nameserv/store.h"

/* In the order in which GET_QUOTA names them. */
enum ns_quota {
    NS_QUOTA_NODES,
    NS_QUOTA_WATCHES,
    NS_QUOTA_OUTSTANDING, /* replies that were not taken; then no further request is run */
    NS_QUOTA_MEMORY, /* bytes of its names, of its watches, of what its open transactions remember, and of what its
                        connections have not taken */
    NS_QUOTA_SOFT_MEMORY, /* the same; more is only logged */
    NS_QUOTA_TRANSACTIONS,
    NS_QUOTA_TRANSACTION_NODES, /* different names that one transaction asks for */
    NS_QUOTA_NODE_PERMISSIONS,
    NS_QUOTA_PATH_MAX,  /* bytes; below /local/domain/N/ those that follow */
    NS_QUOTA_NODE_SIZE, /* bytes of a value; for a domain of all of a name (node_size.c) */
    NS_QUOTAS,
};

struct ns_quotas {
    uint32_t limit[NS_QUOTAS];
    uint32_t set; /* a bit for each that was set at run time: those survive a restart */
};

struct ns_account {
    const struct ns_authority *authority;
    uint32_t id;
    bool exempt; /* domain 0, root: counted, never stopped */
    struct ns_quotas quotas;
    uint64_t nodes, bytes;
    uint32_t watches, transactions, connections;
    uint64_t watch_bytes;
    uint64_t unread_bytes; /* events and replies that its connections have not taken */
    uint64_t
        txn_bytes; /* operations and observations of its transactions that are not committed yet */
    /* private from here */
    struct {
        uint32_t watches, transactions;
        uint64_t watch_bytes, unread_bytes, txn_bytes;
    } found;                        /* by the recount under way */
    int64_t more_nodes, more_bytes; /* by the commit under way */
    bool concerned, warned;
    struct ns_account *next, *next_concerned;
};

/* The registry; ns_store_new() and ns_store_free() call these. NULL without memory. */
struct ns_accounts *ns_accounts_new(void);
void ns_accounts_free(struct ns_accounts *accounts);

/* "nodes", "watches"...; NS_QUOTAS if it is none. */
const char *ns_quota_name(enum ns_quota quota);
enum ns_quota ns_quota_find(const char *name);

/* What new accounts of a part begin with. */
const struct ns_quotas *ns_quotas_default(struct ns_store *store,
                                          const struct ns_authority *authority);

/* The account of a number; made if there is none. NULL without memory. */
struct ns_account *ns_account_get(struct ns_store *store, const struct ns_authority *authority,
                                  uint32_t id);

/* The account of what an identity creates, and of its watches and transactions: of its domid or its uid. */
struct ns_account *ns_account_of(struct ns_store *store, const struct ns_identity *who);

/* A domain is gone: the next with its number begins with the defaults. Its names must be removed already. */
void ns_account_forget(struct ns_store *store, const struct ns_authority *authority, uint32_t id);

/* The most that any account but the exempt has had of each since the daemon began, or since it was set to 0: what an
 * administrator needs to know before he lowers a limit. */
uint64_t *ns_quotas_most(struct ns_store *store);

static inline void ns_quota_seen(uint64_t *most, enum ns_quota quota, uint64_t used)
{
    if (used > most[quota])
        most[quota] = used;
}

/* ---- limits that are set at run time (quotas.c) ---- */

/* Set a limit of an account, or, without one, what new accounts of the part begin with. Listeners of the store
 * are told. */
void ns_quota_set(struct ns_store *store, const struct ns_authority *authority,
                  struct ns_account *account, enum ns_quota quota, uint32_t limit);

/*
 * Limits as text, for what keeps them over a restart. The name is "@quota/PART" for those of new accounts of a
 * part, "@quota/PART/NUMBER" for an account's; the text is a line "QUOTA LIMIT" for each.
 */
#define NS_QUOTA_PREFIX "@quota"
enum { NS_QUOTAS_NAME = 64, NS_QUOTAS_TEXT = 512 };

/* Call fn for all that differ from what a new daemon begins with, a part's before those of its accounts, until it
 * answers non-zero, which is then returned. */
int ns_quotas_each(struct ns_store *store, int (*fn)(const char *name, const char *text, void *arg),
                   void *arg);

/* Set what the text says; of a part also for the accounts that are there and have none of their own. No listener
 * is told. 0, -EINVAL (this is no name or text of limits), -ENOMEM. */
int ns_quotas_take(struct ns_store *store, const char *name, const char *text);

/* Call fn for each account until it answers non-zero, which is then returned. */
int ns_accounts_each(struct ns_store *store, int (*fn)(struct ns_account *account, void *arg),
                     void *arg);

/* May the account have one more of what it has `used` of? */
static inline bool ns_account_allows(const struct ns_account *account, enum ns_quota quota,
                                     uint64_t used)
{
    uint32_t limit = account->quotas.limit[quota];

    return account->exempt || limit == 0 || used < limit;
}

/* What counts for NS_QUOTA_MEMORY. */
static inline uint64_t ns_account_memory(const struct ns_account *account)
{
    return account->bytes + account->watch_bytes + account->unread_bytes + account->txn_bytes;
}

/* May it have so many more bytes? */
static inline bool ns_account_has_room(const struct ns_account *account, uint64_t more)
{
    uint32_t limit = account->quotas.limit[NS_QUOTA_MEMORY];

    return account->exempt || limit == 0 || ns_account_memory(account) + more <= limit;
}

/* Its memory may have changed otherwise than by a commit: log it once when it is more than soft-memory, and keep the
 * most. Cheap; for each turn of its connections. */
void ns_account_look(struct ns_store *store, struct ns_account *account);

/* Count all names of the newest version anew and compare. 0, or -EINVAL with a sentence in why; -ENOMEM. */
int ns_accounts_recount(struct ns_store *store, char *why, size_t why_size);

#endif
