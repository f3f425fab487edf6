/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * GET_QUOTA and SET_QUOTA. Without a domain they are about what new domains begin with; domain 0 names the
 * one that is asked for, also before it is introduced. Quotas of users are CONTROL's (control.c).
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "nameserv/operations.h"

static int find_quota(struct ns_call *call, const char *name, enum ns_quota *quota)
{
    *quota = ns_quota_find(name);
    return *quota < NS_QUOTAS ? 0 : ns_call_refuse(call, EINVAL, "there is no quota '%.40s'", name);
}

/* The account of the domain in the text; NULL: of none, it is about new domains. */
static int find_account(struct ns_call *call, const char *text, struct ns_account **account)
{
    uint32_t domid = 0;
    int error;

    *account = NULL;
    if (text == NULL)
        return 0;
    error = ns_call_domid(call, text, &domid);
    if (error < 0)
        return error;
    if (domid >= NS_DOMIDS)
        return ns_call_refuse(call, ENOENT, "%u is no domain's number; they are below %d", domid,
                              NS_DOMIDS);
    *account = ns_account_get(call->server->store, &ns_authority_xenstore, domid);
    return *account == NULL ? -ENOMEM : 0;
}

static int put_names(struct ns_call *call)
{
    char text[512];
    int size = 0;

    for (enum ns_quota quota = 0; quota < NS_QUOTAS; quota++)
        size += snprintf(text + size, sizeof(text) - (size_t)size, "%s%s", size == 0 ? "" : " ",
                         ns_quota_name(quota));
    return ns_call_put(call, text, (size_t)size + 1);
}

int ns_quota_run_get(struct ns_call *call)
{
    const struct ns_quotas *quotas = ns_quotas_default(call->server->store, &ns_authority_xenstore);
    unsigned count = call->arguments.count;
    struct ns_account *account;
    enum ns_quota quota = NS_QUOTAS;
    int error;

    if (count == 0)
        return put_names(call);
    error = find_account(call, count == 2 ? call->arguments.first : NULL, &account);
    if (error == 0)
        error = find_quota(call, ns_wire_text(&call->arguments, count - 1), &quota);
    if (error == 0 && account != NULL)
        quotas = &account->quotas;
    return error < 0 ? error : ns_call_put_number(call, "", quotas->limit[quota]);
}

int ns_quota_run_set(struct ns_call *call)
{
    unsigned count = call->arguments.count;
    const char *text = ns_wire_text(&call->arguments, count - 1);
    struct ns_account *account = NULL;
    enum ns_quota quota = NS_QUOTAS;
    uint64_t limit = 0;
    int error = find_account(call, count == 3 ? call->arguments.first : NULL, &account);

    if (error == 0)
        error = find_quota(call, ns_wire_text(&call->arguments, count - 2), &quota);
    if (error == 0 && ns_wire_number(text, UINT32_MAX, &limit) < 0)
        error = ns_call_refuse(call, EINVAL, "'%.40s' is no limit; 0 is none", text);
    if (error == 0)
        ns_quota_set(call->server->store, &ns_authority_xenstore, account, quota, (uint32_t)limit);
    return error;
}
