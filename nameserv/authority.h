/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Authorities: what differs between a Xenstore part of the name space, a plain UNIX part, and others.
 *
 * Transactions, permissions, quotas, watches and logs are written once. Whatever they have to ask that
 * has another answer in another part stands in this table, and a mount names the one that holds for
 * it (nameserv/mount.h). authority.c has both, on one page.
 *
 * An identity of the other kind is a stranger: an unprivileged UNIX user in a Xenstore part has no
 * domain number, so it gets what everybody gets there and can create nothing, because what it created
 * would have no owner. A domain in a plain part has no rights at all: guests are no users of the host.
 *
 * Thread safety: the control core only.
 */
#ifndef KEDGE_NAMESERV_AUTHORITY_H
#define KEDGE_NAMESERV_AUTHORITY_H

#include <stddef.h>

#include "nameserv/identity.h"
#include "nameserv/perms.h"

struct ns_store;

/* What a transaction observes of a name, and so conflicts with if others change it meanwhile; that the
 * name is there and may be read counts always. A mask of each way to look stands in the authority. */
enum { NS_OBSERVED_VALUE = 1, NS_OBSERVED_PERMS = 2, NS_OBSERVED_CHILDREN = 4 };
enum ns_look { NS_LOOK_VALUE, NS_LOOK_LIST, NS_LOOK_PERMS, NS_LOOK_ALL, NS_LOOKS };

/* What the access log takes by default. */
enum { NS_LOGGED_CHANGES = 1, NS_LOGGED_READS = 2, NS_LOGGED_TXNS = 4, NS_LOGGED_SPECIAL = 8 };

struct ns_authority {
    const char *name;  /* "plain", "xenstore": as configurations call it */
    const char *chars; /* legal in names besides letters, digits, '-', '_', '@' */

    /* Rights (NS_PERM_*) of an unprivileged identity by a permission list. */
    unsigned (*rights)(const struct ns_perms *perms, const struct ns_identity *who);

    /* Is it the owner by the list's first entry? Of the unprivileged. */
    bool (*owns)(const struct ns_perms *perms, const struct ns_identity *who);

    /* Make an unprivileged identity the owner of what it creates, whose list begins with *owner. What the
     * privileged create belongs to the owner of what is above. 0, -EACCES (it can't own here). */
    int (*own)(const struct ns_identity *who, struct ns_perm *owner);

    /* Give the numbers of a new permission list their meaning of now (of domains, the generation).
     * Optional. */
    void (*bind)(const struct ns_store *store, struct ns_perm *list, size_t count);

    struct ns_perm first;         /* the permission list of the node where a mount hangs */
    unsigned footprint[NS_LOOKS]; /* NS_OBSERVED_*; what is written is no observation */
    unsigned logged;              /* NS_LOGGED_* */
};

extern const struct ns_authority ns_authority_plain, ns_authority_xenstore;

/* By name; NULL if there is none. */
const struct ns_authority *ns_authority_find(const char *name);

static inline unsigned ns_rights(const struct ns_authority *authority, const struct ns_perms *perms,
                                 const struct ns_identity *who)
{
    return who->privileged ? NS_PERM_BOTH : authority->rights(perms, who);
}

static inline bool ns_owns(const struct ns_authority *authority, const struct ns_perms *perms,
                           const struct ns_identity *who)
{
    return who->privileged || authority->owns(perms, who);
}

#endif
