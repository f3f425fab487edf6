/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a domain leaves behind: names that it owns, and entries in the permissions of other names.
 *
 * All of it goes in one commit. Names are looked for in the newest version of the tree, and only if there is
 * any permission list at all that names the domain; then the cost is that of the tree.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "nameserv/store_p.h"

struct estate {
    struct ns_store *store;
    struct ns_domain_name domain;
    struct ns_txn *txn;
    char path[NS_PATH_MAX + 1];
    size_t size;
};

static bool is_of(struct ns_perm entry, struct ns_domain_name domain)
{
    return entry.id == domain.domid &&
           entry.generation == (domain.generation & NS_PERM_GENERATION_MAX);
}

int ns_estate_strip(struct ns_perms **perms, struct ns_domain_name domain)
{
    struct ns_perm list[NS_PERMS_MAX];
    struct ns_perms *stripped;
    size_t count = 0;

    if (!ns_perms_name(*perms, domain))
        return 0;
    for (uint32_t i = 0; i < (*perms)->count; i++)
        if (!is_of((*perms)->list[i], domain))
            list[count++] = (*perms)->list[i];
        else if (i == 0) /* its owner is gone: domain 0's from now on, and for nobody else */
            list[count++] = (struct ns_perm){.rights = NS_PERM_NONE};
    stripped = ns_perms_new(list, count);
    if (stripped == NULL)
        return -ENOMEM;
    ns_perms_put(*perms);
    *perms = stripped;
    return 0;
}

static int strip_entry(struct estate *estate, const struct ns_entry *entry)
{
    struct ns_perms *perms = ns_perms_get(entry->perms);
    int rc = ns_estate_strip(&perms, estate->domain);

    if (rc == 0)
        rc = ns_txn_set_perms_quietly(estate->txn, estate->path, perms);
    else
        ns_perms_put(perms);
    return rc;
}

/* An entry whose list names the domain, in a part where numbers are domains. */
static int clear_entry(struct estate *estate, const struct ns_entry *entry, bool *removed)
{
    const struct ns_mount *mount = ns_mount_find(estate->store, estate->path, estate->size);

    if (mount->authority->bind == NULL)
        return 0;
    *removed = is_of(entry->perms->list[0], estate->domain) && estate->size > 1;
    return *removed ? ns_txn_remove(estate->txn, estate->path) : strip_entry(estate, entry);
}

static int visit_child(const struct ns_entry *child, void *arg);

static int visit(struct estate *estate, const struct ns_entry *entry)
{
    bool removed = false;
    int rc = 0;

    if (ns_perms_name(entry->perms, estate->domain))
        rc = clear_entry(estate, entry, &removed);
    return rc == 0 && !removed ? ns_entry_each(entry, visit_child, estate) : rc;
}

/* The path grows and shrinks in one buffer. */
static int visit_child(const struct ns_entry *child, void *arg)
{
    struct estate *estate = arg;
    size_t size = estate->size, end = size > 1 ? size : 0;
    int rc;

    estate->path[end] = '/';
    memcpy(estate->path + end + 1, ns_entry_name(child), child->name_size + 1u);
    estate->size = end + 1 + child->name_size;
    rc = visit(estate, child);
    estate->size = size;
    estate->path[size] = '\0';
    return rc;
}

int ns_estate_clear(struct ns_store *store, struct ns_domain_name domain)
{
    struct estate *estate;
    int rc;

    if (!ns_perms_any_name(domain))
        return 0;
    estate = calloc(1, sizeof(*estate));
    if (estate == NULL)
        return -ENOMEM;
    estate->store = store;
    estate->domain = domain;
    estate->size = 1;
    estate->path[0] = '/';
    rc = ns_txn_begin(store, &ns_identity_stack, &estate->txn);
    if (rc == 0) {
        rc = visit(estate, store->version->root);
        if (rc == 0)
            rc = ns_txn_commit(estate->txn, NULL, NULL);
        else
            ns_txn_abort(estate->txn);
    }
    free(estate);
    return rc;
}
