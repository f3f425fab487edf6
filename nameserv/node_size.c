/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How large a name of a domain may be: as in xenstored not only the value counts, but all of it, permissions and the
 * list of children as well. Only the change of a domain is judged, by that domain's limit.
 */
#include <errno.h>

#include "nameserv/account.h"
#include "nameserv/store_p.h"

struct sum {
    uint64_t bytes, limit;
};

/* Stops when it is too much: a wide name costs no more to refuse than one that is just too large. */
static int add_name(const struct ns_entry *child, void *arg)
{
    struct sum *sum = arg;

    sum->bytes += child->name_size + 1u;
    return sum->bytes > sum->limit;
}

int ns_node_size_judge(struct ns_store *store, const struct ns_identity *who,
                       const struct ns_node_size *node, const char *path, struct ns_reason *reason)
{
    struct ns_account *account;
    struct sum sum;

    if (who->privileged || who->kind != NS_DOMAIN)
        return 0;
    account = ns_account_of(store, who);
    if (account == NULL)
        return -ENOMEM;
    sum.limit = account->quotas.limit[NS_QUOTA_NODE_SIZE];
    if (account->exempt || sum.limit == 0)
        return 0;
    sum.bytes = NS_NODE_PERM_BYTES * (uint64_t)node->perms + node->value + node->more_names;
    if (node->children != NULL && sum.bytes <= sum.limit)
        ns_entry_each(node->children, add_name, &sum);
    if (sum.bytes > sum.limit)
        return ns_reason_set(
            reason, ENOSPC, path,
            "you may have %llu bytes in a name: its value, %d for each permission, "
            "and the names of its children (quota node-size)",
            (unsigned long long)sum.limit, NS_NODE_PERM_BYTES);
    ns_quota_seen(ns_quotas_most(store), NS_QUOTA_NODE_SIZE, sum.bytes);
    return 0;
}
