/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The registry of domains; see domain.h. Numbers index an array, whose pages the system gives when they
 * are first used.
 */
#include "nameserv/domain.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nameserv/account.h"
#include "nameserv/store_p.h"

struct ns_domains {
    struct ns_perms *specials[NS_SPECIALS];
    uint32_t end;  /* all known numbers lie below */
    bool recycled; /* some number is no longer of its first generation */
    struct ns_domain *known[NS_DOMIDS];
    uint32_t generations[NS_DOMIDS];
};

static const char *const special_names[NS_SPECIALS] = {"@introduceDomain", "@releaseDomain"};

/* Domain 0 hears of both; that one is gone, every domain may know. */
static int make_specials(struct ns_domains *domains)
{
    static const struct ns_perm list[] = {{.id = 0, .rights = NS_PERM_NONE},
                                          {.id = NS_DOMID_ANY, .rights = NS_PERM_READ}};

    for (int i = 0; i < NS_SPECIALS; i++) {
        domains->specials[i] = ns_perms_new(list, i == NS_RELEASE_DOMAIN ? 2 : 1);
        if (domains->specials[i] == NULL)
            return -ENOMEM;
    }
    return 0;
}

struct ns_domains *ns_domains_new(void)
{
    struct ns_domains *domains = calloc(1, sizeof(*domains));

    if (domains != NULL && make_specials(domains) != 0) {
        ns_domains_free(domains);
        domains = NULL;
    }
    return domains;
}

void ns_domains_free(struct ns_domains *domains)
{
    if (domains == NULL)
        return;
    for (int i = 0; i < NS_SPECIALS; i++)
        ns_perms_put(domains->specials[i]);
    for (uint32_t domid = 0; domid < domains->end; domid++)
        free(domains->known[domid]);
    free(domains);
}

struct ns_domain *ns_domain_find(struct ns_store *store, uint32_t domid)
{
    struct ns_domain *domain = domid < NS_DOMIDS ? store->domains->known[domid] : NULL;

    return domain != NULL && domain->introduced ? domain : NULL;
}

int ns_domain_know(struct ns_store *store, uint32_t domid, struct ns_domain **result)
{
    struct ns_domains *domains = store->domains;
    struct ns_domain *domain;

    if (domid >= NS_DOMIDS)
        return -ENOENT;
    domain = domains->known[domid];
    if (domain == NULL) {
        domain = calloc(1, sizeof(*domain));
        if (domain == NULL)
            return -ENOMEM;
        domain->who.kind = NS_DOMAIN;
        domain->who.privileged = domid == 0;
        domain->who.domain = (struct ns_domain_name){domid, domains->generations[domid]};
        domain->features = NS_FEATURES;
        domains->known[domid] = domain;
        if (domid >= domains->end)
            domains->end = domid + 1;
    }
    *result = domain;
    return 0;
}

int ns_domains_each(struct ns_store *store, int (*fn)(struct ns_domain *domain, void *arg),
                    void *arg)
{
    int rc = 0;

    for (uint32_t domid = 0; domid < store->domains->end && rc == 0; domid++)
        if (store->domains->known[domid] != NULL)
            rc = fn(store->domains->known[domid], arg);
    return rc;
}

uint32_t ns_domain_generation(const struct ns_store *store, uint32_t domid)
{
    return domid < NS_DOMIDS ? store->domains->generations[domid] : 0;
}

/* ---- special names ---- */

enum ns_special ns_special_find(const char *path)
{
    enum ns_special special = NS_INTRODUCE_DOMAIN;

    while (special < NS_SPECIALS && strcmp(path, special_names[special]) != 0)
        special++;
    return special;
}

const struct ns_perms *ns_special_perms(const struct ns_store *store, enum ns_special special)
{
    return store->domains->specials[special];
}

const char *ns_special_name(enum ns_special special)
{
    return special_names[special];
}

static void tell_listeners(struct ns_store *store, enum ns_special special)
{
    for (struct ns_listener *l = store->listeners; l != NULL; l = l->next)
        l->special(l, special_names[special], store->domains->specials[special]);
}

void ns_special_set_perms(struct ns_store *store, enum ns_special special, struct ns_perms *perms)
{
    struct ns_perms *before = store->domains->specials[special];

    store->domains->specials[special] = ns_perms_get(perms);
    ns_perms_put(before);
    tell_listeners(store, special);
}

static void fire(struct ns_store *store, enum ns_special special, const struct ns_domain *domain)
{
    ns_watches_fire_special(store, special_names[special], domain->who.domain.domid,
                            store->domains->specials[special]);
}

/* ---- the dead ---- */

static bool names_dead(const struct ns_store *store, const struct ns_perms *perms)
{
    for (uint32_t i = 0; i < perms->count; i++)
        if (perms->list[i].id < NS_DOMIDS &&
            perms->list[i].generation !=
                (store->domains->generations[perms->list[i].id] & NS_PERM_GENERATION_MAX))
            return true;
    return false;
}

int ns_domains_judge(struct ns_commit *commit)
{
    for (size_t i = 0; i < commit->change_count && commit->store->domains->recycled; i++) {
        const struct ns_change *change = &commit->changes[i];

        if (change->mount->authority->bind != NULL && change->after != NULL &&
            (change->before == NULL || change->before->perms != change->after->perms) &&
            names_dead(commit->store, change->after->perms))
            return ns_reason_set(commit->reason, EAGAIN, change->path,
                                 "a domain that its permissions name was released meanwhile");
    }
    return 0;
}

/* ---- life ---- */

void ns_domain_introduce(struct ns_store *store, struct ns_domain *domain)
{
    if (domain->introduced)
        return;
    domain->introduced = true;
    fire(store, NS_INTRODUCE_DOMAIN, domain);
}

void ns_domain_shutdown(struct ns_store *store, struct ns_domain *domain)
{
    if (domain->shutdown)
        return;
    domain->shutdown = true;
    fire(store, NS_RELEASE_DOMAIN, domain);
}

void ns_domain_set_target(struct ns_domain *domain, const struct ns_domain *target)
{
    domain->who.has_target = true;
    domain->who.target = target->who.domain;
}

static int drop_target(struct ns_domain *domain, void *arg)
{
    const struct ns_domain *gone = arg;

    if (domain->who.has_target && domain->who.target.domid == gone->who.domain.domid)
        domain->who.has_target = false;
    return 0;
}

int ns_domain_release(struct ns_store *store, struct ns_domain *domain)
{
    struct ns_domain_name name = domain->who.domain;
    int rc = ns_estate_clear(store, name);

    if (rc != 0)
        return rc;
    for (int i = 0; i < NS_SPECIALS && rc == 0; i++) {
        const struct ns_perms *before = store->domains->specials[i];

        rc = ns_estate_strip(&store->domains->specials[i], name);
        if (store->domains->specials[i] != before)
            tell_listeners(store, (enum ns_special)i);
    }
    if (rc != 0)
        return rc;
    ns_account_forget(store, &ns_authority_xenstore, name.domid);
    store->domains->generations[name.domid]++;
    store->domains->recycled = true;
    store->domains->known[name.domid] = NULL;
    ns_domains_each(store, drop_target, domain);
    if (domain->introduced)
        fire(store, NS_RELEASE_DOMAIN, domain);
    free(domain);
    return 0;
}
