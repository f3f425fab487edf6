/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Judging the links of a version together: limits, and names that claim the same thing.
 *
 * Each name that takes something for itself makes a claim: a bridge's member and an interface on a
 * port claim the port, an interface on a bridge claims the bridge, an address claims itself, a port
 * claims its device. Claims are sorted; two equal ones next to each other are refused, also if what
 * they claim does not exist yet.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arp/links_p.h"

enum { CLAIM_PATH = 2 * LINK_NAME_MAX + 32 };

enum claim_kind { CLAIM_PORT, CLAIM_BRIDGE, CLAIM_ADDRESS, CLAIM_DEVICE, CLAIM_ID };

static const struct {
    const char *what, *rule;
} claim_kinds[] = {
    [CLAIM_PORT] = {"port", "a port is in one bridge or carries one interface"},
    [CLAIM_BRIDGE] = {"bridge", "a bridge carries one interface"},
    [CLAIM_ADDRESS] = {"address", "an address belongs to one interface"},
    [CLAIM_DEVICE] = {"device",
                      "a device belongs to one port; give each port's device a name of its own"},
    [CLAIM_ID] = {"device number", "a device belongs to one port"},
};

struct claim {
    enum claim_kind kind;
    const char *key; /* what is claimed; lies in the tree */
    size_t key_size;
    char path[CLAIM_PATH];
};

struct claims {
    struct claim *items;
    size_t count, capacity;
    struct ns_commit *commit;
    const struct ns_entry *owner; /* the bridge or interface whose children are gone through */
};

static int add(struct claims *claims, enum claim_kind kind, const char *key, size_t key_size,
               const char *format, const char *name, const char *child)
{
    struct claim *claim;

    if (claims->count == claims->capacity) {
        size_t capacity = claims->capacity == 0 ? 64 : claims->capacity * 2;
        struct claim *grown = realloc(claims->items, capacity * sizeof(*grown));

        if (grown == NULL)
            return -ENOMEM;
        claims->items = grown;
        claims->capacity = capacity;
    }
    claim = &claims->items[claims->count++];
    claim->kind = kind;
    claim->key = key;
    claim->key_size = key_size;
    snprintf(claim->path, sizeof(claim->path), format, name, child);
    return 0;
}

/* ---- collecting ---- */

static int claim_port(const struct ns_entry *port, void *arg)
{
    struct claims *claims = arg;
    const char *name = ns_entry_name(port), *comma, *text;
    size_t size;
    int error = 0;

    text = link_child_value(port, "devargs", &size);
    if (text != NULL) {
        comma = memchr(text, ',', size);
        error = add(claims, CLAIM_DEVICE, text, comma == NULL ? size : (size_t)(comma - text),
                    "/port/%s/%s", name, "devargs");
    }
    text = link_child_value(port, "id", &size);
    if (error == 0 && text != NULL)
        error = add(claims, CLAIM_ID, text, size, "/port/%s/%s", name, "id");
    return error;
}

static int claim_member(const struct ns_entry *member, void *arg)
{
    struct claims *claims = arg;

    return add(claims, CLAIM_PORT, ns_entry_name(member), member->name_size, "/bridge/%s/port/%s",
               ns_entry_name(claims->owner), ns_entry_name(member));
}

static int claim_bridge(const struct ns_entry *bridge, void *arg)
{
    struct claims *claims = arg;
    const struct ns_entry *members = ns_entry_child(bridge, "port", 4);

    claims->owner = bridge;
    return members == NULL ? 0 : ns_entry_each(members, claim_member, claims);
}

static int claim_address(const struct ns_entry *address, void *arg)
{
    struct claims *claims = arg;

    return add(claims, CLAIM_ADDRESS, ns_entry_name(address), address->name_size,
               "/iface/%s/address/%s", ns_entry_name(claims->owner), ns_entry_name(address));
}

static int judge_addresses(struct ns_commit *commit, const struct ns_entry *iface,
                           const struct ns_entry *addresses)
{
    char path[CLAIM_PATH];

    if (addresses == NULL || addresses->child_count <= LINK_ADDRESSES_MAX)
        return 0;
    snprintf(path, sizeof(path), "/iface/%s/address", ns_entry_name(iface));
    return ns_refuse(commit, ENOSPC, path, "an interface can't have %u addresses; at most %d",
                     addresses->child_count, LINK_ADDRESSES_MAX);
}

static int claim_iface(const struct ns_entry *iface, void *arg)
{
    struct claims *claims = arg;
    const struct ns_entry *addresses = ns_entry_child(iface, "address", 7);
    size_t size, name_size;
    const char *text = link_child_value(iface, "on", &size), *name;
    bool bridge;
    int error = judge_addresses(claims->commit, iface, addresses);

    claims->owner = iface;
    if (error == 0 && text != NULL && link_parse_on(text, size, &bridge, &name, &name_size) == 0)
        error = add(claims, bridge ? CLAIM_BRIDGE : CLAIM_PORT, name, name_size, "/iface/%s/%s",
                    ns_entry_name(iface), "on");
    if (error == 0 && addresses != NULL)
        error = ns_entry_each(addresses, claim_address, claims);
    return error;
}

/* ---- judging ---- */

static int compare(const void *left, const void *right)
{
    const struct claim *a = left, *b = right;
    int order = (int)a->kind - (int)b->kind;

    if (order == 0)
        order = memcmp(a->key, b->key, a->key_size < b->key_size ? a->key_size : b->key_size);
    if (order == 0)
        order = (a->key_size > b->key_size) - (a->key_size < b->key_size);
    return order != 0 ? order : strcmp(a->path, b->path);
}

/* Did the name stand there before, untouched by this commit? */
static bool is_old(const struct ns_commit *commit, const char *path)
{
    size_t size = strlen(path);

    return ns_tree_lookup(ns_commit_before(commit)->root, path, size) ==
           ns_tree_lookup(ns_commit_version(commit)->root, path, size);
}

/* Refuse the newer of two claims, and name the other. */
static int refuse(struct ns_commit *commit, const struct claim *a, const struct claim *b)
{
    bool first_is_new = is_old(commit, b->path) && !is_old(commit, a->path);
    const struct claim *wrong = first_is_new ? a : b, *other = first_is_new ? b : a;

    return ns_refuse(commit, EEXIST, wrong->path, "%s %.*s is taken by %s already: %s",
                     claim_kinds[a->kind].what, (int)a->key_size, a->key, other->path,
                     claim_kinds[a->kind].rule);
}

static int judge_claims(struct claims *claims)
{
    int first = 0;

    if (claims->count > 1)
        qsort(claims->items, claims->count, sizeof(*claims->items), compare);
    for (size_t i = 1; i < claims->count; i++) {
        const struct claim *a = &claims->items[i - 1], *b = &claims->items[i];

        if (a->kind == b->kind && a->key_size == b->key_size &&
            memcmp(a->key, b->key, a->key_size) == 0) {
            int error = refuse(claims->commit, a, b);

            first = first == 0 ? error : first;
        }
    }
    return first;
}

static int judge_limit(struct ns_commit *commit, const struct links_part *part,
                       const struct ns_entry *node, uint32_t limit)
{
    if (node == NULL || node->child_count <= limit)
        return 0;
    return ns_refuse(commit, ENOSPC, part->mount.path,
                     "there would be %u of them; at most %u can be", node->child_count, limit);
}

int links_judge(struct links_mount *mount, struct ns_commit *commit)
{
    const struct {
        const struct links_part *part;
        uint32_t limit;
        int (*collect)(const struct ns_entry *entry, void *arg);
    } parts[] = {
        {&mount->port, LINK_PORTS_MAX, claim_port},
        {&mount->bridge, LINK_BRIDGES_MAX, claim_bridge},
        {&mount->iface, LINK_IFACES_MAX, claim_iface},
    };
    struct claims claims = {.commit = commit};
    int error = 0;

    for (size_t i = 0; error == 0 && i < sizeof(parts) / sizeof(parts[0]); i++) {
        const struct ns_entry *node =
            link_part_node(parts[i].part, ns_commit_version(commit)->root);

        error = judge_limit(commit, parts[i].part, node, parts[i].limit);
        if (error == 0 && node != NULL)
            error = ns_entry_each(node, parts[i].collect, &claims);
    }
    if (error == 0)
        error = judge_claims(&claims);
    free(claims.items);
    return error;
}
