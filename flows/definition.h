/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Flow definitions: the mount /flow, and the classifier of a version.
 *
 * /flow/NAME/match     "src=10.0.0.0/24 dst=... proto=udp sport=1000-2000 dport=53 iface=br0",
 *                      any of them, in any order; empty matches everything
 * /flow/NAME/priority  a number, higher wins; of equal ones the name that sorts first; 0 if absent
 * /flow/NAME/action    "route" (the default), "via ADDR", "drop", "count" (route, but it claims the
 *                      flow, so that its packets are counted there)
 *
 * A definition without a match node is incomplete and claims nothing.
 *
 * Dependencies: a flow depends on /flow/NAME of the definition that claimed it, and on /flow, which
 * a commit touches whenever it changes which flows a definition claims or which wins.
 */
#ifndef KEDGE_FLOWS_DEFINITION_H
#define KEDGE_FLOWS_DEFINITION_H

#include "arp/links.h"
#include "flows/flow.h"

enum definition_action { DEFINITION_ROUTE, DEFINITION_VIA, DEFINITION_DROP, DEFINITION_COUNT };

struct definition_match {
    rte_be32_t src, src_mask, dst, dst_mask;
    uint16_t sport_low, sport_high, dport_low, dport_high; /* host byte order, inclusive */
    uint16_t iface;                                        /* id; 0: any */
    uint8_t proto;
    bool any_proto;
};

/* Immutable, but for the anchor's own life. */
struct definition {
    char name[64];
    int32_t priority;
    uint8_t action;
    rte_be32_t via;
    struct definition_match match;
    uint64_t version;         /* commit that last changed it */
    struct ns_anchor *anchor; /* of /flow/NAME */
};

struct classifier;  /* of one version */
struct definitions; /* the mount */

/* Hang /flow. 0, -ENOMEM, -ENOSPC (slots), or as ns_mount_add(); what was made is in *definitions
 * also then. After links_new(). Control core, as the two below. */
int definitions_new(struct ns_store *store, struct links_mount *links,
                    struct definitions **definitions);

/* At shutdown, before or after the store is freed; nobody may classify or commit any more. The
 * anchors stay pinned. */
void definitions_free(struct definitions *definitions);
int definitions_slot(const struct definitions *definitions);

static inline const struct classifier *classifier_of(const struct ns_version *version, int slot)
{
    return (const struct classifier *)version->derived[slot];
}

/* The definition that claims a routed flow; NULL: none. Any reader, wait-free; costs a comparison
 * for each definition of higher priority. */
const struct definition *classify(const struct classifier *classifier, const union flow_key *key);

/* Can the definition that claims a routed flow be another than in this older version? false: certainly not. Costs
 * a comparison for each change since, and answers true if they are many. Any reader, wait-free. */
bool classifier_concerns(const struct classifier *classifier, const union flow_key *key,
                         uint64_t since);

/* The commit that last changed any definition, or 0. */
uint64_t classifier_version(const struct classifier *classifier);

size_t classifier_count(const struct classifier *classifier);
const struct definition *classifier_get(const struct classifier *classifier,
                                        size_t index); /* by priority */

/* The anchor of /flow, on which every routed flow depends. Never forgotten. */
struct ns_anchor *definitions_anchor(const struct definitions *definitions);

/* Text of the values above. 0, or -EINVAL with a sentence in why (what is wrong, what would be
 * right). iface names become ids by links_iface_id(). */
int definition_parse_match(struct links_mount *links, const char *text, size_t size,
                           struct definition_match *match, char *why, size_t why_size);
int definition_parse_action(const char *text, size_t size, uint8_t *action, rte_be32_t *via,
                            char *why, size_t why_size);

#endif
