/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who asks: the daemon itself, a UNIX user, or a Xen domain.
 *
 * Privileged are the daemon itself, root, the user and the group that the daemon was told, and domain
 * 0. In Xenstore parts of the name space a privileged user is domain 0.
 *
 * A domain is a number (domid) and a generation. Numbers are used again; the generation is what tells
 * the new domain from the dead one, so that nothing given to the old one is the new one's
 * (nameserv/domain.h).
 *
 * Thread safety: the control core only.
 */
#ifndef KEDGE_NAMESERV_IDENTITY_H
#define KEDGE_NAMESERV_IDENTITY_H

#include <stdbool.h>
#include <stdint.h>

enum { NS_IDENTITY_GROUPS = 32 };

enum {
    NS_DOMIDS = 0x7ff0,     /* numbers of real domains lie below (DOMID_FIRST_RESERVED) */
    NS_DOMID_SELF = 0x7ff0, /* the caller */
    NS_DOMID_ANY = 0x7ff5,  /* in permission lists: every domain */
};

enum ns_identity_kind { NS_USER, NS_DOMAIN };

struct ns_domain_name {
    uint32_t domid;
    uint32_t generation;
};

/* Filled once per connection; of a domain the target may change later. */
struct ns_identity {
    enum ns_identity_kind kind;
    bool stack; /* the daemon itself: may do everything, also write what only the stack writes */
    bool privileged; /* passes every check of permissions, and no quota stops it */
    bool has_target;
    /* NS_USER */
    uint32_t uid;
    uint32_t gid;
    uint32_t pid; /* for logs */
    uint32_t group_count;
    uint32_t groups[NS_IDENTITY_GROUPS];
    /* NS_DOMAIN */
    struct ns_domain_name domain;
    struct ns_domain_name target; /* has its rights, too (SET_TARGET); if has_target */
};

/* The daemon's own identity. */
extern const struct ns_identity ns_identity_stack;

/* The domain number that an identity has in Xenstore parts: its own, or 0 for the privileged.
 * UINT32_MAX: none, it is a UNIX user without privilege. */
static inline uint32_t ns_identity_domid(const struct ns_identity *who)
{
    if (who->kind == NS_DOMAIN)
        return who->domain.domid;
    return who->privileged ? 0 : UINT32_MAX;
}

#endif
