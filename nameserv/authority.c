/* SPDX-License-Identifier: BSD-3-Clause */
/* What differs between Xenstore and plain parts; see authority.h. */
#include "nameserv/authority.h"

#include <errno.h>
#include <string.h>

#include "nameserv/domain.h"

const struct ns_identity ns_identity_stack = {.stack = true, .privileged = true};

/* First match wins; who has no entry gets the owner's letter. */
static unsigned rights_by(const struct ns_perms *perms, const struct ns_identity *who,
                          bool (*is_meant)(struct ns_perm entry, const struct ns_identity *who))
{
    for (uint32_t i = 1; i < perms->count; i++)
        if (is_meant(perms->list[i], who))
            return perms->list[i].rights;
    return perms->list[0].rights;
}

/* Conflicts only with what the client could tell apart: children are not the value, nor permissions. */
#define TOLERANT                                                                     \
    {                                                                                \
        [NS_LOOK_VALUE] = NS_OBSERVED_VALUE, [NS_LOOK_LIST] = NS_OBSERVED_CHILDREN,  \
        [NS_LOOK_PERMS] = NS_OBSERVED_PERMS,                                         \
        [NS_LOOK_ALL] = NS_OBSERVED_VALUE | NS_OBSERVED_PERMS | NS_OBSERVED_CHILDREN \
    }

/* ---- plain: a number is a uid, or a gid plus NS_PERM_GROUP ---- */

static bool is_user_or_group(struct ns_perm entry, const struct ns_identity *who)
{
    uint32_t gid = entry.id - NS_PERM_GROUP;

    if ((entry.id & NS_PERM_GROUP) == 0)
        return who->uid == entry.id;
    if (who->gid == gid)
        return true;
    for (uint32_t i = 0; i < who->group_count; i++)
        if (who->groups[i] == gid)
            return true;
    return false;
}

static bool plain_owns(const struct ns_perms *perms, const struct ns_identity *who)
{
    return who->kind == NS_USER && is_user_or_group(perms->list[0], who);
}

static unsigned plain_rights(const struct ns_perms *perms, const struct ns_identity *who)
{
    if (who->kind != NS_USER)
        return NS_PERM_NONE;
    return plain_owns(perms, who) ? NS_PERM_BOTH : rights_by(perms, who, is_user_or_group);
}

static int plain_own(const struct ns_identity *who, struct ns_perm *owner)
{
    if (who->kind != NS_USER)
        return -EACCES;
    owner->id = who->uid;
    return 0;
}

const struct ns_authority ns_authority_plain = {
    .name = "plain",
    .chars = ".:+=,~%",
    .rights = plain_rights,
    .owns = plain_owns,
    .own = plain_own,
    .first = {.id = 0, .rights = NS_PERM_READ}, /* root's; all who may connect read */
    .footprint = TOLERANT,
    .logged = NS_LOGGED_CHANGES,
};

/* ---- xenstore: a number is a domain's (xenstore.txt) ---- */

static bool is_domain(struct ns_perm entry, struct ns_domain_name domain)
{
    return entry.id == domain.domid && entry.generation == domain.generation;
}

static bool is_own_or_target(struct ns_perm entry, const struct ns_identity *who)
{
    return who->kind == NS_DOMAIN &&
           (is_domain(entry, who->domain) || (who->has_target && is_domain(entry, who->target)));
}

/* DOMID_ANY is everybody, but owns nothing. */
static bool is_meant_domain(struct ns_perm entry, const struct ns_identity *who)
{
    return entry.id == NS_DOMID_ANY || is_own_or_target(entry, who);
}

static bool xenstore_owns(const struct ns_perms *perms, const struct ns_identity *who)
{
    return is_own_or_target(perms->list[0], who);
}

static unsigned xenstore_rights(const struct ns_perms *perms, const struct ns_identity *who)
{
    return xenstore_owns(perms, who) ? NS_PERM_BOTH : rights_by(perms, who, is_meant_domain);
}

static int xenstore_own(const struct ns_identity *who, struct ns_perm *owner)
{
    if (who->kind != NS_DOMAIN)
        return -EACCES;
    owner->id = who->domain.domid;
    owner->generation = who->domain.generation & NS_PERM_GENERATION_MAX;
    return 0;
}

static void xenstore_bind(const struct ns_store *store, struct ns_perm *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        list[i].generation = ns_domain_generation(store, list[i].id) & NS_PERM_GENERATION_MAX;
}

const struct ns_authority ns_authority_xenstore = {
    .name = "xenstore",
    .chars = "",
    .rights = xenstore_rights,
    .owns = xenstore_owns,
    .own = xenstore_own,
    .bind = xenstore_bind,
    .first = {.id = 0, .rights = NS_PERM_NONE}, /* domain 0's, and hidden from the others */
    .footprint = TOLERANT,
    .logged = NS_LOGGED_CHANGES,
};

const struct ns_authority *ns_authority_find(const char *name)
{
    static const struct ns_authority *const all[] = {&ns_authority_plain, &ns_authority_xenstore};

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        if (strcmp(all[i]->name, name) == 0)
            return all[i];
    return NULL;
}
