/* SPDX-License-Identifier: BSD-3-Clause */
/* Limits that are set at run time, and as text; see account.h. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "nameserv/account.h"
#include "nameserv/store_p.h"
#include "nameserv/wire.h"

static const struct ns_authority *const parts[] = {&ns_authority_plain, &ns_authority_xenstore};

static void format_name(const struct ns_authority *authority, const struct ns_account *account,
                        char *name)
{
    int size = snprintf(name, NS_QUOTAS_NAME, NS_QUOTA_PREFIX "/%s", authority->name);

    if (account != NULL)
        snprintf(name + size, NS_QUOTAS_NAME - (size_t)size, "/%u", account->id);
}

static void format_limits(const struct ns_quotas *quotas, uint32_t which, char *text)
{
    size_t size = 0;

    text[0] = '\0';
    for (enum ns_quota quota = 0; quota < NS_QUOTAS; quota++)
        if ((which >> quota & 1) != 0)
            size += (size_t)snprintf(text + size, NS_QUOTAS_TEXT - size, "%s %u\n",
                                     ns_quota_name(quota), quotas->limit[quota]);
}

/* ---- setting ---- */

static void tell(struct ns_store *store, const char *name, const char *text)
{
    for (struct ns_listener *l = store->listeners; l != NULL; l = l->next)
        l->quotas(l, name, text);
}

static void set(struct ns_quotas *quotas, enum ns_quota quota, uint32_t limit)
{
    quotas->limit[quota] = limit;
    quotas->set |= 1u << quota;
}

void ns_quota_set(struct ns_store *store, const struct ns_authority *authority,
                  struct ns_account *account, enum ns_quota quota, uint32_t limit)
{
    struct ns_quotas *quotas =
        account != NULL ? &account->quotas : ns_accounts_defaults(store, authority);
    char name[NS_QUOTAS_NAME], text[NS_QUOTAS_TEXT];

    set(quotas, quota, limit);
    format_name(authority, account, name);
    format_limits(quotas, quotas->set, text);
    tell(store, name, text);
}

void ns_quotas_forgotten(struct ns_store *store, const struct ns_account *account)
{
    char name[NS_QUOTAS_NAME];

    format_name(account->authority, account, name);
    tell(store, name, NULL);
}

/* ---- all of them ---- */

struct walk {
    struct ns_store *store;
    int (*fn)(const char *name, const char *text, void *arg);
    void *arg;
};

static int tell_one(const struct walk *walk, const struct ns_authority *authority,
                    const struct ns_account *account, const struct ns_quotas *quotas,
                    uint32_t which)
{
    char name[NS_QUOTAS_NAME], text[NS_QUOTAS_TEXT];

    if (which == 0)
        return 0;
    format_name(authority, account, name);
    format_limits(quotas, which, text);
    return walk->fn(name, text, walk->arg);
}

/* Also what it has from defaults that are others by now. */
static int tell_account(struct ns_account *account, void *arg)
{
    const struct walk *walk = arg;
    const struct ns_quotas *defaults = ns_quotas_default(walk->store, account->authority);
    uint32_t which = account->quotas.set;

    for (enum ns_quota quota = 0; quota < NS_QUOTAS; quota++)
        if (account->quotas.limit[quota] != defaults->limit[quota])
            which |= 1u << quota;
    return tell_one(walk, account->authority, account, &account->quotas, which);
}

int ns_quotas_each(struct ns_store *store, int (*fn)(const char *name, const char *text, void *arg),
                   void *arg)
{
    struct walk walk = {store, fn, arg};
    int rc = 0;

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]) && rc == 0; i++) {
        const struct ns_quotas *quotas = ns_quotas_default(store, parts[i]);

        rc = tell_one(&walk, parts[i], NULL, quotas, quotas->set);
    }
    return rc == 0 ? ns_accounts_each(store, tell_account, &walk) : rc;
}

/* ---- taking ---- */

static int parse_line(const char *line, size_t size, enum ns_quota *quota, uint64_t *limit)
{
    char copy[NS_QUOTAS_NAME], *blank;

    if (size >= sizeof(copy))
        return -EINVAL;
    memcpy(copy, line, size);
    copy[size] = '\0';
    blank = strchr(copy, ' ');
    if (blank == NULL)
        return -EINVAL;
    *blank = '\0';
    *quota = ns_quota_find(copy);
    return *quota < NS_QUOTAS ? ns_wire_number(blank + 1, UINT32_MAX, limit) : -EINVAL;
}

static int parse_limits(const char *text, struct ns_quotas *quotas)
{
    while (*text != '\0') {
        const char *end = strchr(text, '\n');
        enum ns_quota quota;
        uint64_t limit;

        if (end == NULL || parse_line(text, (size_t)(end - text), &quota, &limit) != 0)
            return -EINVAL;
        set(quotas, quota, (uint32_t)limit);
        text = end + 1;
    }
    return 0;
}

static void merge(struct ns_quotas *quotas, const struct ns_quotas *more, uint32_t which)
{
    for (enum ns_quota quota = 0; quota < NS_QUOTAS; quota++)
        if ((which >> quota & 1) != 0)
            quotas->limit[quota] = more->limit[quota];
}

struct part_taken {
    const struct ns_authority *authority;
    const struct ns_quotas *limits;
};

static int take_for_account(struct ns_account *account, void *arg)
{
    const struct part_taken *taken = arg;

    if (account->authority == taken->authority)
        merge(&account->quotas, taken->limits, taken->limits->set & ~account->quotas.set);
    return 0;
}

/* Accounts may be there before: names that are loaded have owners. */
static void take_part(struct ns_store *store, const struct ns_authority *authority,
                      const struct ns_quotas *limits)
{
    struct ns_quotas *defaults = ns_accounts_defaults(store, authority);
    struct part_taken taken = {authority, limits};

    merge(defaults, limits, limits->set);
    defaults->set |= limits->set;
    ns_accounts_each(store, take_for_account, &taken);
}

static int take_account(struct ns_store *store, const struct ns_authority *authority,
                        const char *number, const struct ns_quotas *limits)
{
    struct ns_account *account;
    uint64_t id;

    if (ns_wire_number(number, UINT32_MAX, &id) != 0)
        return -EINVAL;
    account = ns_account_get(store, authority, (uint32_t)id);
    if (account == NULL)
        return -ENOMEM;
    merge(&account->quotas, limits, limits->set);
    account->quotas.set |= limits->set;
    return 0;
}

int ns_quotas_take(struct ns_store *store, const char *name, const char *text)
{
    const size_t prefix = sizeof(NS_QUOTA_PREFIX "/") - 1;
    struct ns_quotas limits = {.set = 0};

    if (strncmp(name, NS_QUOTA_PREFIX "/", prefix) != 0 || parse_limits(text, &limits) != 0)
        return -EINVAL;
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        size_t size = strlen(parts[i]->name);
        const char *rest = name + prefix + size;

        if (strncmp(name + prefix, parts[i]->name, size) != 0 || (*rest != '\0' && *rest != '/'))
            continue;
        if (*rest == '/')
            return take_account(store, parts[i], rest + 1, &limits);
        take_part(store, parts[i], &limits);
        return 0;
    }
    return -EINVAL;
}
