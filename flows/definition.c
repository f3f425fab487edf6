/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The mount /flow: judges names and values, and makes the classifier of each commit.
 *
 * A commit parses only the definitions that it changes; the others' pointers are copied. A
 * definition is never edited: a changed one is a new object, and the old one goes after the grace
 * period. Each object keeps the anchor of its name pinned as long as it lives.
 */
#include "flows/definition.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arp/judge.h"
#include "flows/definition_p.h"
#include "flows/words.h"

enum { NAME_MAX_SIZE = sizeof(((struct definition *)0)->name) - 1 };

/* A name that a commit concerns, with its definition before and after; NULL: none, or incomplete.
 * */
struct changed_definition {
    char name[NAME_MAX_SIZE + 1];
    const struct definition *before;
    struct definition *now; /* NULL also if it is as before */
    bool stays;             /* it is as before */
};

/* What one commit replaces; freed together after the grace period. */
struct retired_definitions {
    struct classifier *classifier;
    size_t count;
    struct definition *items[];
};

struct definitions {
    struct ns_mount mount; /* first */
    struct links_mount *links;
    struct ns_anchor *anchor; /* of /flow */
    int slot;
    struct classifier *current; /* of the newest version */

    /* between prepare and publish or abandon */
    struct changed_definition *changed;
    size_t changed_count;
    struct classifier *pending; /* NULL: the commit changes nothing here */
    struct retired_definitions *retired;
};

/* ---- classifying ---- */

static inline bool in_range(rte_be16_t port, uint16_t low, uint16_t high)
{
    uint16_t number = rte_be_to_cpu_16(port);

    return number >= low && number <= high;
}

static inline bool matches(const struct definition_match *match, const union flow_key *key)
{
    return (key->src & match->src_mask) == match->src &&
           (key->dst & match->dst_mask) == match->dst &&
           (match->any_proto || match->proto == key->proto) &&
           in_range(key->sport, match->sport_low, match->sport_high) &&
           in_range(key->dport, match->dport_low, match->dport_high) &&
           (match->iface == 0 || match->iface == key->scope);
}

const struct definition *classify(const struct classifier *classifier, const union flow_key *key)
{
    for (size_t i = 0; i < classifier->count; i++)
        if (matches(&classifier->items[i]->match, key))
            return classifier->items[i];
    return NULL;
}

bool classifier_concerns(const struct classifier *classifier, const union flow_key *key,
                         uint64_t since)
{
    const struct claims *claims = &classifier->claims;

    if (since < claims->complete)
        return true;
    for (unsigned i = 0; i < claims->count && claims->list[i].version > since; i++)
        if (matches(&claims->list[i].match, key))
            return true;
    return false;
}

uint64_t classifier_version(const struct classifier *classifier)
{
    return classifier->version;
}

size_t classifier_count(const struct classifier *classifier)
{
    return classifier->count;
}

const struct definition *classifier_get(const struct classifier *classifier, size_t index)
{
    return index < classifier->count ? classifier->items[index] : NULL;
}

/* ---- judging one name ---- */

static int judge_match(struct judge *judge, struct links_mount *links, char *why, size_t why_size)
{
    struct definition_match match;

    return definition_parse_match(links, judge->value, judge->size, &match, why, why_size);
}

static int judge_priority(struct judge *judge, struct links_mount *links, char *why,
                          size_t why_size)
{
    int32_t priority;

    (void)links;
    return definition_parse_priority(judge->value, judge->size, &priority, why, why_size);
}

static int judge_action(struct judge *judge, struct links_mount *links, char *why, size_t why_size)
{
    uint8_t action;
    rte_be32_t via;

    (void)links;
    return definition_parse_action(judge->value, judge->size, &action, &via, why, why_size);
}

static const struct {
    const char *name;
    int (*judge)(struct judge *judge, struct links_mount *links, char *why, size_t why_size);
} parts[] = {
    {"match", judge_match},
    {"priority", judge_priority},
    {"action", judge_action},
};

static int judge_part(struct judge *judge, struct links_mount *links)
{
    struct word name = {judge->part[1].text, judge->part[1].size};
    char why[NS_REASON_MAX];

    for (size_t i = 0; judge->depth == 2 && i < RTE_DIM(parts); i++)
        if (word_is(name, parts[i].name)) {
            if (parts[i].judge(judge, links, why, sizeof(why)) == 0)
                return 0;
            return judge_refuse(judge, EINVAL, "%s", why);
        }
    return judge_refuse(
        judge, EINVAL,
        "a flow definition has no such name; match, priority and action are its names");
}

static int definitions_check(struct ns_mount *mount, struct ns_commit *commit,
                             const struct ns_change *change)
{
    struct judge judge;

    judge_begin(&judge, mount, commit, change);
    if (judge.depth == 0)
        return judge_mount_point(&judge);
    if (judge_removal(&judge))
        return 0;
    if (judge.depth > 1)
        return judge_part(&judge, ((struct definitions *)mount)->links);
    if (judge.part[0].size > NAME_MAX_SIZE)
        return judge_refuse(&judge, EINVAL,
                            "the name of a flow definition has at most %d bytes; this has %zu",
                            NAME_MAX_SIZE, judge.part[0].size);
    return judge_directory(&judge);
}

/* ---- one definition ---- */

static void definition_path(const char *name, char *path, size_t size)
{
    snprintf(path, size, "/flow/%s", name);
}

static void definition_free(struct definition *definition)
{
    if (definition->anchor != NULL)
        ns_anchor_unpin(definition->anchor);
    free(definition);
}

/* Values have been judged, so what can fail is memory only. */
static int fill(struct definitions *definitions, const struct ns_entry *entry,
                const struct ns_entry *match, struct definition *definition)
{
    const struct ns_entry *priority = ns_entry_child(entry, "priority", 8);
    const struct ns_entry *action = ns_entry_child(entry, "action", 6);
    int rc = definition_parse_match(definitions->links, ns_entry_value(match), match->value_size,
                                    &definition->match, NULL, 0);

    if (rc == 0 && priority != NULL)
        rc = definition_parse_priority(ns_entry_value(priority), priority->value_size,
                                       &definition->priority, NULL, 0);
    if (rc == 0 && action != NULL)
        rc = definition_parse_action(ns_entry_value(action), action->value_size,
                                     &definition->action, &definition->via, NULL, 0);
    return rc;
}

/* The definition of that name in the version; *made is NULL if there is none or it is incomplete.
 * */
static int make(struct definitions *definitions, const struct ns_version *version, const char *name,
                struct definition **made)
{
    char path[NAME_MAX_SIZE + 8];
    const struct ns_entry *entry, *match;
    struct ns_anchor *anchor;
    int rc;

    *made = NULL;
    definition_path(name, path, sizeof(path));
    entry = ns_tree_lookup(version->root, path, strlen(path));
    match = entry == NULL ? NULL : ns_entry_child(entry, "match", 5);
    if (match == NULL)
        return 0;
    *made = calloc(1, sizeof(**made));
    if (*made == NULL)
        return -ENOMEM;
    (*made)->version = version->number;
    snprintf((*made)->name, sizeof((*made)->name), "%s", name);
    rc = fill(definitions, entry, match, *made);
    if (rc == 0)
        rc = ns_anchor_get(definitions->mount.store, path, NULL, NULL, NULL, &anchor);
    if (rc != 0)
        return rc;
    (*made)->anchor = anchor;
    ns_anchor_pin(anchor);
    return 0;
}

static bool same_match(const struct definition_match *a, const struct definition_match *b)
{
    return a->src == b->src && a->src_mask == b->src_mask && a->dst == b->dst &&
           a->dst_mask == b->dst_mask && a->sport_low == b->sport_low &&
           a->sport_high == b->sport_high && a->dport_low == b->dport_low &&
           a->dport_high == b->dport_high && a->iface == b->iface && a->proto == b->proto &&
           a->any_proto == b->any_proto;
}

/* Do both claim the same flows, before the same others? */
static bool claims_same(const struct definition *a, const struct definition *b)
{
    return a != NULL && b != NULL && a->priority == b->priority && same_match(&a->match, &b->match);
}

/* ---- the definitions that a commit concerns ---- */

static int compare_name(const void *name, const void *changed)
{
    return strcmp(name, ((const struct changed_definition *)changed)->name);
}

static int compare_changed(const void *a, const void *b)
{
    return strcmp(((const struct changed_definition *)a)->name,
                  ((const struct changed_definition *)b)->name);
}

/* Collect the names, once each: changes come in order of paths, so those below a name stand
 * together. */
static int collect(struct definitions *definitions, const struct ns_change *changes, size_t count)
{
    struct changed_definition *changed = calloc(count + 1, sizeof(*changed));
    size_t found = 0;

    definitions->changed = changed;
    definitions->changed_count = 0;
    if (changed == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        const char *name = changes[i].path + definitions->mount.path_size;
        size_t size = *name == 0 ? 0 : strcspn(++name, "/");

        if (size == 0 || size > NAME_MAX_SIZE ||
            (found > 0 && strlen(changed[found - 1].name) == size &&
             memcmp(changed[found - 1].name, name, size) == 0))
            continue;
        memcpy(changed[found++].name, name, size); /* the rest is 0 */
    }
    qsort(changed, found, sizeof(*changed), compare_changed);
    definitions->changed_count = found;
    return 0;
}

static struct changed_definition *find_changed(struct definitions *definitions, const char *name)
{
    return bsearch(name, definitions->changed, definitions->changed_count,
                   sizeof(*definitions->changed), compare_name);
}

static int touch_changed(struct ns_commit *commit, const struct changed_definition *changed)
{
    char path[NAME_MAX_SIZE + 8];
    int rc;

    definition_path(changed->name, path, sizeof(path));
    rc = ns_commit_touch(commit, path);
    if (rc == 0 && !claims_same(changed->before, changed->now))
        rc = ns_commit_touch(commit, "/flow");
    return rc;
}

/* Make what the name holds now; tell its flows, and, if other flows may be concerned, all. */
static int renew(struct definitions *definitions, struct ns_commit *commit,
                 struct changed_definition *changed)
{
    const struct definition *before = changed->before;
    int rc = make(definitions, ns_commit_version(commit), changed->name, &changed->now);

    if (rc != 0)
        return rc;
    if (claims_same(before, changed->now) && before->action == changed->now->action &&
        before->via == changed->now->via) {
        definition_free(changed->now);
        changed->now = NULL;
        changed->stays = true;
    }
    if (changed->stays || (before == NULL && changed->now == NULL))
        return 0;
    return touch_changed(commit, changed);
}

/* ---- the classifier of a commit ---- */

static int compare_order(const struct definition *a, const struct definition *b)
{
    if (a->priority != b->priority)
        return a->priority > b->priority ? -1 : 1;
    return strcmp(a->name, b->name);
}

static int compare_items(const void *a, const void *b)
{
    return compare_order(*(const struct definition *const *)a,
                         *(const struct definition *const *)b);
}

/* Those of the classifier that stay, in order, and those that are new, sorted, become one. */
static void merge(const struct classifier *current, struct definitions *definitions,
                  const struct definition **fresh, size_t fresh_count, struct classifier *merged)
{
    size_t next = 0;

    for (size_t i = 0; i < current->count; i++) {
        const struct definition *item = current->items[i];
        const struct changed_definition *changed = find_changed(definitions, item->name);

        if (changed != NULL && !changed->stays)
            continue;
        while (next < fresh_count && compare_order(fresh[next], item) < 0)
            merged->items[merged->count++] = fresh[next++];
        merged->items[merged->count++] = item;
    }
    while (next < fresh_count)
        merged->items[merged->count++] = fresh[next++];
}

static void claim_add(struct claims *claims, const struct claim *claim)
{
    if (claims->count < CLAIMS_KEPT)
        claims->list[claims->count++] = *claim;
    else if (claims->complete < claim->version)
        claims->complete = claim->version;
}

static void claim_note(struct claims *claims, const struct definition *definition, uint64_t version)
{
    const struct claim claim = {.version = version,
                                .match = definition == NULL ? (struct definition_match){0}
                                                            : definition->match};

    if (definition != NULL)
        claim_add(claims, &claim);
}

/* What the commit changes comes in front of what was known; what has no room there is forgotten. */
static void make_claims(const struct definitions *definitions, uint64_t version,
                        struct claims *claims)
{
    const struct claims *before = &definitions->current->claims;

    claims->complete = before->complete;
    for (size_t i = 0; i < definitions->changed_count; i++) {
        const struct changed_definition *changed = &definitions->changed[i];

        if (changed->stays || claims_same(changed->before, changed->now))
            continue;
        claim_note(claims, changed->before, version);
        claim_note(claims, changed->now, version);
    }
    for (unsigned i = 0; i < before->count; i++)
        claim_add(claims, &before->list[i]);
}

/* Make pending and retired out of what has changed; neither if that is nothing. */
static int compile(struct definitions *definitions, uint64_t version)
{
    size_t count = definitions->changed_count, fresh_count = 0, gone = 0;
    const struct definition **fresh = calloc(count + 1, sizeof(*fresh));
    struct retired_definitions *retired =
        calloc(1, sizeof(*retired) + count * sizeof(retired->items[0]));
    struct classifier *pending = calloc(
        1, sizeof(*pending) + (definitions->current->count + count) * sizeof(pending->items[0]));

    definitions->retired = retired;
    definitions->pending = pending;
    if (fresh == NULL || retired == NULL || pending == NULL) {
        free(fresh);
        return -ENOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        const struct changed_definition *changed = &definitions->changed[i];

        if (changed->before != NULL && !changed->stays)
            retired->items[gone++] = (struct definition *)changed->before;
        if (changed->now != NULL)
            fresh[fresh_count++] = changed->now;
    }
    qsort(fresh, fresh_count, sizeof(*fresh), compare_items);
    pending->version = version;
    merge(definitions->current, definitions, fresh, fresh_count, pending);
    make_claims(definitions, version, &pending->claims);
    retired->count = gone;
    retired->classifier = definitions->current;
    free(fresh);
    return 0;
}

/* ---- the hooks of a commit ---- */

static void retired_free(void *object)
{
    struct retired_definitions *retired = object;

    for (size_t i = 0; i < retired->count; i++)
        definition_free(retired->items[i]);
    free(retired->classifier);
    free(retired);
}

/* Prepare is over: with `fresh`, the definitions made belong to nobody. */
static void clean_up(struct definitions *definitions, bool fresh)
{
    for (size_t i = 0; fresh && i < definitions->changed_count; i++)
        if (definitions->changed[i].now != NULL)
            definition_free(definitions->changed[i].now);
    free(definitions->changed);
    definitions->changed = NULL;
    definitions->changed_count = 0;
    definitions->pending = NULL;
    definitions->retired = NULL;
}

static void definitions_abandon(struct ns_mount *mount, struct ns_commit *commit)
{
    struct definitions *definitions = (struct definitions *)mount;

    (void)commit;
    free(definitions->pending);
    free(definitions->retired);
    clean_up(definitions, true);
}

static bool changes_nothing(const struct definitions *definitions)
{
    for (size_t i = 0; i < definitions->changed_count; i++) {
        const struct changed_definition *changed = &definitions->changed[i];

        if (changed->now != NULL || (changed->before != NULL && !changed->stays))
            return false;
    }
    return true;
}

static int prepare(struct definitions *definitions, struct ns_commit *commit)
{
    size_t count;
    const struct ns_change *changes = ns_commit_changes(commit, &definitions->mount, &count);
    int rc = collect(definitions, changes, count);

    for (size_t i = 0; rc == 0 && i < definitions->current->count; i++) {
        struct changed_definition *changed =
            find_changed(definitions, definitions->current->items[i]->name);

        if (changed != NULL)
            changed->before = definitions->current->items[i];
    }
    for (size_t i = 0; rc == 0 && i < definitions->changed_count; i++)
        rc = renew(definitions, commit, &definitions->changed[i]);
    if (rc != 0 || changes_nothing(definitions))
        return rc;
    rc = compile(definitions, ns_commit_version(commit)->number);
    return rc != 0 ? rc : ns_commit_retire(commit, definitions->retired, retired_free);
}

static int definitions_prepare(struct ns_mount *mount, struct ns_commit *commit)
{
    struct definitions *definitions = (struct definitions *)mount;
    int rc = prepare(definitions, commit);

    if (rc != 0)
        definitions_abandon(mount, commit);
    else if (definitions->pending != NULL)
        ns_commit_set_derived(commit, definitions->slot, definitions->pending);
    else
        ns_commit_set_derived(commit, definitions->slot, definitions->current);
    return rc;
}

static void definitions_publish(struct ns_mount *mount, struct ns_commit *commit)
{
    struct definitions *definitions = (struct definitions *)mount;

    (void)commit;
    if (definitions->pending != NULL)
        definitions->current = definitions->pending;
    clean_up(definitions, false);
}

static const struct ns_mount_ops definitions_ops = {
    .name = "flow definitions",
    .check = definitions_check,
    .prepare = definitions_prepare,
    .publish = definitions_publish,
    .abandon = definitions_abandon,
};

/* ---- life ---- */

int definitions_new(struct ns_store *store, struct links_mount *links, struct definitions **result)
{
    struct definitions *definitions = calloc(1, sizeof(*definitions));
    int rc;

    if (definitions == NULL)
        return -ENOMEM;
    *result = definitions;
    definitions->links = links;
    definitions->current = calloc(1, sizeof(*definitions->current));
    if (definitions->current == NULL)
        return -ENOMEM;
    definitions->slot = ns_store_derived_slot(store);
    if (definitions->slot < 0)
        return definitions->slot;
    rc = ns_mount_add(store, &definitions->mount, "/flow", &definitions_ops);
    if (rc == 0)
        rc = ns_anchor_get(store, "/flow", NULL, NULL, NULL, &definitions->anchor);
    if (rc != 0)
        return rc;
    ns_anchor_pin(definitions->anchor);
    /* A commit of our own, so that every version from here on has a classifier. */
    return ns_store_put(store, "/flow", "");
}

void definitions_free(struct definitions *definitions)
{
    if (definitions == NULL)
        return;
    for (size_t i = 0; definitions->current != NULL && i < definitions->current->count; i++)
        free((struct definition *)definitions->current->items[i]);
    free(definitions->current);
    free(definitions);
}

int definitions_slot(const struct definitions *definitions)
{
    return definitions->slot;
}

struct ns_anchor *definitions_anchor(const struct definitions *definitions)
{
    return definitions->anchor;
}
