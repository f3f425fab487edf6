/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Permission lists.
 *
 * A permission list is Xenstore's: entry 0 names the owner, and its letter is the default for
 * everybody without an entry of their own; each further entry gives one identity's rights, first
 * match wins. On the wire an entry is a letter (n, r, w, b) and a decimal number. What the number
 * means is the mount's business (nameserv/authority.h): a domain id in a Xenstore part; in a plain
 * part a uid, or a gid plus 2^31 (NS_PERM_GROUP).
 *
 * Lists are immutable and shared: equal lists are one object with a count of references. The count
 * is touched by the control core only.
 */
#ifndef KEDGE_NAMESERV_PERMS_H
#define KEDGE_NAMESERV_PERMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nameserv/identity.h"

enum { NS_PERM_NONE = 0, NS_PERM_READ = 1, NS_PERM_WRITE = 2, NS_PERM_BOTH = 3 };
#define NS_PERM_GROUP 0x80000000u /* added to a gid in plain parts */
enum { NS_PERMS_MAX = 64 };

enum { NS_PERM_GENERATION_MAX = (1 << 30) - 1 };

struct ns_perm {
    uint32_t id;
    uint32_t rights : 2;      /* NS_PERM_* */
    uint32_t generation : 30; /* of a domain, modulo 2^30; 0 in plain parts */
};

struct ns_perms {
    uint32_t references; /* control core only */
    uint32_t count;
    struct ns_perm list[];
};

/* A new list with one reference; NULL without memory. count from 1 to NS_PERMS_MAX. */
struct ns_perms *ns_perms_new(const struct ns_perm *list, size_t count);

static inline struct ns_perms *ns_perms_get(struct ns_perms *perms)
{
    perms->references++;
    return perms;
}

/* Drop a reference; the last one frees. NULL is ignored. */
void ns_perms_put(struct ns_perms *perms);

/* Read the wire form: NUL-terminated strings, one after the other. Numbers as strtoul base 0 takes
 * them. Writes at most NS_PERMS_MAX entries to list; returns how many, or -EINVAL (no entry, unknown
 * letter, missing number, missing final NUL), -ENOSPC (too many). */
int ns_perms_parse(const char *payload, size_t size, struct ns_perm *list);

/* Write the wire form into buffer; returns its size, or -E2BIG. */
int ns_perms_format(const struct ns_perms *perms, char *buffer, size_t size);

/* Does the list have an entry for the domain? Does any list that exists? The latter costs in proportion
 * to the number of different lists. */
bool ns_perms_name(const struct ns_perms *perms, struct ns_domain_name domain);
bool ns_perms_any_name(struct ns_domain_name domain);

#endif
