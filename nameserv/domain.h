/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Domains: the guests that Xenstore parts of the name space are for.
 *
 * A domain is known from the first time that a privileged client says something about it (a feature, a
 * quota, INTRODUCE), and introduced from INTRODUCE to RELEASE. Without Xen nobody else tells which
 * domains there are, so permissions may name any number below NS_DOMIDS, also of one that comes later.
 *
 * What makes numbers safe to use again is the generation: each number has one, RELEASE raises it, and a
 * permission entry carries the generation that its number had when the entry was set
 * (nameserv/authority.h). What was given to the dead domain is never the next one's.
 *
 * A domain's connection, whatever carries it, acts as domain->who, and relative paths of it lie below
 * /local/domain/DOMID. INTRODUCE attaches one with ns_attached_ring_introduce(), and RELEASE ends it with
 * ns_attached_ring_stop() before ns_domain_release() (nameserv/connection_ring.h).
 *
 * Thread safety: the control core only.
 */
#ifndef KEDGE_NAMESERV_DOMAIN_H
#define KEDGE_NAMESERV_DOMAIN_H

#include "nameserv/identity.h"
#include "nameserv/store.h"

/* Bits of GET_FEATURE. */
enum {
    NS_FEATURE_RECONNECT = 1, /* of a ring */
    NS_FEATURE_ERROR = 2,     /* the error word of a ring */
    NS_FEATURE_DEPTH = 4,     /* WATCH with a depth */
    NS_FEATURE_ANY = 8,       /* NS_DOMID_ANY in permission lists */
    NS_FEATURES = 15,
};

struct ns_attached_ring;

struct ns_domain {
    struct ns_identity who; /* of its connection; domain 0 is privileged */
    uint32_t features;      /* offered to it; NS_FEATURES unless SET_FEATURE took some away */
    bool introduced;
    bool shutdown;                 /* is over, and its watchers know; until RESUME */
    uint64_t page;                 /* of its ring, as INTRODUCE said */
    uint32_t port;                 /* event channel */
    struct ns_attached_ring *ring; /* that carries its connection; NULL: none. The server's */
    void *connection;              /* a struct ns_connection; NULL: none. The server's */
};

/* The registry; ns_store_new() and ns_store_free() call these. NULL without memory. */
struct ns_domains *ns_domains_new(void);
void ns_domains_free(struct ns_domains *domains);

/* The domain if it is introduced, else NULL. */
struct ns_domain *ns_domain_find(struct ns_store *store, uint32_t domid);

/* The domain, which is known from now on. 0, -ENOENT (no domain can have that number), -ENOMEM. */
int ns_domain_know(struct ns_store *store, uint32_t domid, struct ns_domain **domain);

/* Call fn for each known domain by number until it answers non-zero, which is then returned. fn may
 * release the domain that it is called for. */
int ns_domains_each(struct ns_store *store, int (*fn)(struct ns_domain *domain, void *arg),
                    void *arg);

/* The generation of a number; 0 for those that no domain can have. */
uint32_t ns_domain_generation(const struct ns_store *store, uint32_t domid);

/* It is there: fires @introduceDomain if it was not introduced before. */
void ns_domain_introduce(struct ns_store *store, struct ns_domain *domain);

/* It has shut down: fires @releaseDomain, once until it is resumed. Its connection stays. */
void ns_domain_shutdown(struct ns_store *store, struct ns_domain *domain);

/* It is gone: all names that it owns are removed with what is below them, its entries are taken out of the
 * permissions of others, nobody's target is it any more, @releaseDomain fires, and the domain is
 * freed. Its connection must be closed before, so that it hears nothing of that. 0, or -ENOMEM: then
 * nothing has happened. */
int ns_domain_release(struct ns_store *store, struct ns_domain *domain);

/* From now on the domain has the rights of target, too. */
void ns_domain_set_target(struct ns_domain *domain, const struct ns_domain *target);

/* ---- special names ---- */

enum ns_special { NS_INTRODUCE_DOMAIN, NS_RELEASE_DOMAIN, NS_SPECIALS };

/* Which one path names, NS_SPECIALS if none. */
enum ns_special ns_special_find(const char *path);

const char *ns_special_name(enum ns_special special);

/* Who may hear of it. set takes a reference of its own. */
const struct ns_perms *ns_special_perms(const struct ns_store *store, enum ns_special special);
void ns_special_set_perms(struct ns_store *store, enum ns_special special, struct ns_perms *perms);

#endif
