/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The mount /route: judges names and values, makes the routing table of each commit, and tells
 * whoever depends on a prefix that the table has changed there.
 */
#include "flows/route.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_prefetch.h>

#include "arp/judge.h"
#include "flows/route_p.h"

/* What one commit replaces; freed together after the grace period. */
struct retired_table {
    struct routes *routes;
    struct route_table *table;
    struct prefix_replaced replaced;
    bool derived; /* the next version has another list */
};

/* A value that was parsed lately: of a million routes most say the same as the one before. What it means does not
 * change, because an interface keeps its id. */
struct known_value {
    char text[40];
    size_t size; /* 0: none */
    struct route route;
};

struct routes {
    struct ns_mount mount; /* first */
    struct links_mount *links;
    struct ns_pool *pool; /* of the trie's nodes */
    int slot;
    unsigned users;  /* the mount itself, and every retired_table that waits */
    uint64_t serial; /* of the last build */
    struct known_value known;
    struct route_table *current; /* of the newest version */

    /* between prepare and publish or abandon */
    struct prefix_build build;
    struct route_table *pending; /* NULL: the commit changes nothing here */
    struct retired_table *retired;
};

/* Prepare, under way. */
struct route_work {
    struct routes *routes;
    struct ns_commit *commit;
    uint64_t version;
    uint64_t touched[64];     /* direct-mapped: a thousand new prefixes under one tell it once */
    rte_be32_t next_hops[64]; /* those that were set, by their last bits; 0.0.0.0 is none */
    bool many_next_hops;      /* not all of them had room there */
};

static bool is_known(const struct known_value *known, struct word value)
{
    return known->size != 0 && known->size == value.size &&
           memcmp(known->text, value.text, value.size) == 0;
}

static int parse_value(struct routes *routes, struct word value, struct route *route, char *why,
                       size_t why_size)
{
    struct known_value *known = &routes->known;
    int rc;

    if (is_known(known, value)) {
        route->kind = known->route.kind;
        route->iface = known->route.iface;
        route->via = known->route.via;
        return 0;
    }
    rc = route_parse_value(routes->links, value, route, why, why_size);
    if (rc == 0 && value.size <= sizeof(known->text)) {
        memcpy(known->text, value.text, value.size);
        known->size = value.size;
        known->route = *route;
    }
    return rc;
}

/* ---- judging one name ---- */

/* The prefix that a path stands for; false: it is not /route/ADDR/LEN. */
static bool path_prefix(const struct ns_mount *mount, const struct ns_change *change,
                        struct word *prefix)
{
    struct word head, tail;

    if (change->path_size <= mount->path_size)
        return false;
    *prefix = (struct word){change->path + mount->path_size + 1,
                            change->path_size - mount->path_size - 1};
    return word_cut(*prefix, '/', &head, &tail);
}

static int judge_address_node(struct judge *judge)
{
    rte_be32_t address;

    if (link_parse_ipv4(judge->part[0].text, judge->part[0].size, &address) < 0)
        return judge_refuse(judge, EINVAL,
                            "%s is not an IPv4 address; a route is named /route/ADDR/LEN, as in "
                            "/route/10.0.0.0/8",
                            judge->shown_name);
    if (judge->size != 0)
        return judge_refuse(
            judge, EINVAL,
            "a route's name ends with the prefix length, as in %s/24; this one only "
            "holds those below it, and its value is empty",
            judge->change->path);
    return 0;
}

static struct word value_of(const struct ns_change *change)
{
    return (struct word){ns_entry_value(change->after), change->after->value_size};
}

/* Nearly all are, and need no sentence: either /route/ADDR with nothing in it or a route. */
static bool is_plainly_right(struct routes *routes, const struct ns_change *change)
{
    struct word prefix = {NULL, 0};
    struct route route;
    rte_be32_t address;

    if (change->after == NULL || change->path_size <= routes->mount.path_size + 1)
        return false;
    if (!path_prefix(&routes->mount, change, &prefix))
        return change->after->value_size == 0 &&
               link_parse_ipv4(prefix.text, prefix.size, &address) == 0;
    return route_parse_prefix(prefix.text, prefix.size, &route.prefix, &route.length) == 0 &&
           parse_value(routes, value_of(change), &route, NULL, 0) == 0;
}

static int routes_check(struct ns_mount *mount, struct ns_commit *commit,
                        const struct ns_change *change)
{
    struct routes *routes = (struct routes *)mount;
    struct judge judge;
    struct word prefix;
    struct route route;
    char why[NS_REASON_MAX];

    if (is_plainly_right(routes, change))
        return 0;
    judge_begin(&judge, mount, commit, change);
    if (judge.depth == 0)
        return judge_mount_point(&judge);
    if (judge_removal(&judge))
        return 0;
    if (judge.depth == 1)
        return judge_address_node(&judge);
    if (judge.depth > 2 || !path_prefix(mount, change, &prefix))
        return judge_refuse(&judge, EINVAL,
                            "there are no names below a route; it is /route/ADDR/LEN with a value");
    if (word_prefix(prefix, &route.prefix, &route.length, why, sizeof(why)) < 0 ||
        parse_value(routes, (struct word){judge.value, judge.size}, &route, why, sizeof(why)) < 0)
        return judge_refuse(&judge, EINVAL, "%s", why);
    return 0;
}

/* ---- preparing a table ---- */

static int touch(struct route_work *work, rte_be32_t prefix, uint8_t length)
{
    uint64_t key = (uint64_t)prefix << 8 | length | UINT64_C(1) << 63;
    uint64_t *touched = &work->touched[(key * UINT64_C(0x9e3779b97f4a7c15)) >> 58];
    char path[32];

    if (*touched == key)
        return 0;
    *touched = key;
    route_path(prefix, length, path, sizeof(path));
    return ns_commit_touch(work->commit, path);
}

/* Whoever was decided by what covers a new prefix may lie inside: tell them to look again. */
static int touch_cover(struct route_work *work, uint16_t vrf, rte_be32_t prefix, uint8_t length)
{
    const struct route *cover =
        prefix_trie_cover(&work->routes->current->trie, vrf, prefix, length);

    return cover == NULL ? touch(work, 0, 0) : touch(work, cover->prefix, cover->length);
}

/* Let the table have this route for the prefix, or none. */
static int put(struct route_work *work, uint16_t vrf, rte_be32_t prefix, uint8_t length,
               const struct route *route)
{
    struct prefix_build *build = &work->routes->build;
    const struct route *now = prefix_build_exact(build, vrf, prefix, length);
    int rc;

    if (route == NULL)
        return now == NULL ? 0 : prefix_build_remove(build, vrf, prefix, length);
    if (now != NULL && route_same(now, route))
        return 0;
    rc = prefix_build_set(build, vrf, route);
    if (rc == 0 && now == NULL)
        rc = touch_cover(work, vrf, prefix, length);
    return rc;
}

/* A million entries of the tree lie all over memory: fetch the one that comes soon. */
static inline void prefetch_change(const struct ns_change *changes, size_t count, size_t i)
{
    if (i + 8 < count)
        rte_prefetch0(changes[i + 8].after);
}

/* The route that a change configures; false: the name is no route, or goes. Values have been
 * judged. */
static bool changed_route(const struct route_work *work, const struct ns_change *change,
                          struct route *route)
{
    return change->after != NULL &&
           parse_value(work->routes, value_of(change), route, NULL, 0) == 0;
}

static rte_be32_t *next_hop_place(struct route_work *work, rte_be32_t via)
{
    return &work->next_hops[rte_be_to_cpu_32(via) % RTE_DIM(work->next_hops)];
}

static void note_next_hop(struct route_work *work, const struct route *route)
{
    rte_be32_t *place = next_hop_place(work, route->via);

    if (route->kind != ROUTE_VIA || *place == route->via)
        return;
    work->many_next_hops |= *place != 0;
    *place = route->via;
}

static int apply_change(struct route_work *work, const struct ns_change *change)
{
    struct route route = {.version = work->version}, back;
    const struct route *derived;
    struct word prefix;

    if (!path_prefix(&work->routes->mount, change, &prefix) ||
        route_parse_prefix(prefix.text, prefix.size, &route.prefix, &route.length) < 0)
        return 0;
    if (changed_route(work, change, &route)) {
        note_next_hop(work, &route);
        return put(work, 0, route.prefix, route.length, &route);
    }
    derived = derived_routes_find(work->routes->pending->derived, 0, route.prefix, route.length);
    if (derived == NULL)
        return put(work, 0, route.prefix, route.length, NULL);
    back = *derived;
    back.version = work->version;
    return put(work, 0, route.prefix, route.length, &back);
}

/* A derived prefix came, changed or went. No entry of its name has changed, so it is touched;
 * unless a configured route stands there, then nothing happens. */
static int apply_derived(uint16_t vrf, const struct route *before, const struct route *now,
                         void *arg)
{
    struct route_work *work = arg;
    const struct route *any = now != NULL ? now : before;
    const struct route *there =
        prefix_trie_exact(&work->routes->build.trie, vrf, any->prefix, any->length);
    int rc;

    if (there != NULL && route_is_configured(there))
        return 0;
    rc = put(work, vrf, any->prefix, any->length, now);
    return rc != 0 ? rc : touch(work, any->prefix, any->length);
}

static int apply(struct route_work *work, const struct ns_change *changes, size_t count)
{
    struct routes *routes = work->routes;
    int rc = 0;

    for (size_t i = 0; i < count && rc == 0; i++) {
        prefetch_change(changes, count, i);
        rc = apply_change(work, &changes[i]);
    }
    if (rc == 0)
        rc = derived_routes_diff(routes->current->derived, routes->pending->derived, apply_derived,
                                 work);
    routes->pending->trie = routes->build.trie;
    return rc;
}

static bool next_hops_are_right(const struct route_work *work)
{
    for (size_t i = 0; i < RTE_DIM(work->next_hops); i++)
        if (work->next_hops[i] != 0 &&
            route_judge_via(work->routes->pending, work->next_hops[i], NULL, 0) < 0)
            return false;
    return !work->many_next_hops;
}

/* Judge the next hops of the routes that the commit sets, all of them even if one is refused. Many
 * have the same few, so the last ones found right are remembered. */
static int judge_next_hops(struct route_work *work, const struct ns_change *changes, size_t count)
{
    int rc = 0;

    if (next_hops_are_right(work))
        return 0;
    memset(work->next_hops, 0, sizeof(work->next_hops));

    for (size_t i = 0; i < count; i++) {
        struct route route;
        struct word prefix;
        rte_be32_t *known;
        char why[NS_REASON_MAX];

        prefetch_change(changes, count, i);
        if (!path_prefix(&work->routes->mount, &changes[i], &prefix) ||
            !changed_route(work, &changes[i], &route) || route.kind != ROUTE_VIA)
            continue;
        known = next_hop_place(work, route.via);
        if (*known == route.via)
            continue;
        if (route_judge_via(work->routes->pending, route.via, why, sizeof(why)) < 0)
            rc = ns_refuse(work->commit, EINVAL, changes[i].path, "%s", why);
        else
            *known = route.via;
    }
    return rc;
}

/* ---- the hooks of a commit ---- */

/* Forget what prepare has made. */
static void drop_pending(struct routes *routes)
{
    if (routes->pending == NULL)
        return;
    prefix_build_abandon(&routes->build);
    if (routes->pending->derived != routes->current->derived)
        free(routes->pending->derived);
    free(routes->pending);
    free(routes->retired);
    routes->pending = NULL;
    routes->retired = NULL;
}

static int differs(uint16_t vrf, const struct route *before, const struct route *now, void *arg)
{
    (void)vrf, (void)before, (void)now, (void)arg;
    return 1;
}

/* The links have changed: what do they bring along now? The list stays if that is the same. */
static int make_derived(struct route_work *work, const struct links *links)
{
    struct derived_routes *before = work->routes->current->derived;
    struct derived_routes *made = derived_routes_make(links, work->version);

    if (made == NULL)
        return -ENOMEM;
    if (before != NULL && derived_routes_diff(before, made, differs, NULL) == 0)
        free(made);
    else
        work->routes->pending->derived = made;
    return 0;
}

static int begin_pending(struct route_work *work)
{
    struct routes *routes = work->routes;
    int slot = links_slot(routes->links);
    const struct links *before = links_of(ns_commit_before(work->commit), slot);
    const struct links *after = links_of(ns_commit_version(work->commit), slot);

    routes->pending = calloc(1, sizeof(*routes->pending));
    if (routes->pending == NULL)
        return -ENOMEM;
    prefix_build_begin(&routes->build, routes->pool, &routes->current->trie, ++routes->serial);
    routes->pending->derived = routes->current->derived;
    if ((before != after || routes->current->derived == NULL) && make_derived(work, after) < 0)
        return -ENOMEM;
    routes->retired = calloc(1, sizeof(*routes->retired));
    return routes->retired == NULL ? -ENOMEM : 0;
}

static void routes_put(struct routes *routes)
{
    if (--routes->users > 0)
        return;
    if (routes->current != NULL) {
        prefix_trie_free(&routes->current->trie, routes->pool);
        free(routes->current->derived);
        free(routes->current);
    }
    if (routes->pool != NULL)
        ns_pool_free(routes->pool);
    free(routes);
}

static void retired_free(void *object)
{
    struct retired_table *retired = object;
    struct routes *routes = retired->routes;

    prefix_replaced_free(&retired->replaced, routes->pool);
    if (retired->derived)
        free(retired->table->derived);
    free(retired->table);
    free(retired);
    routes_put(routes);
}

static int routes_prepare(struct ns_mount *mount, struct ns_commit *commit)
{
    struct routes *routes = (struct routes *)mount;
    struct route_work work = {
        .routes = routes, .commit = commit, .version = ns_commit_version(commit)->number};
    size_t count;
    const struct ns_change *changes = ns_commit_changes(commit, mount, &count);
    int rc = begin_pending(&work);

    if (rc == 0)
        rc = apply(&work, changes, count);
    if (rc == 0 && !ns_commit_restores(commit)) /* such routes may wait since an interface went */
        rc = judge_next_hops(&work, changes, count);
    if (rc != 0 || (routes->pending->derived == routes->current->derived &&
                    routes->build.trie.root == routes->current->trie.root)) {
        drop_pending(routes);
        return rc;
    }
    rc = ns_commit_retire(commit, routes->retired, retired_free);
    if (rc != 0)
        drop_pending(routes);
    else
        ns_commit_set_derived(commit, routes->slot, routes->pending);
    return rc;
}

static void routes_publish(struct ns_mount *mount, struct ns_commit *commit)
{
    struct routes *routes = (struct routes *)mount;

    (void)commit;
    if (routes->pending == NULL)
        return;
    *routes->retired = (struct retired_table){
        .routes = routes,
        .table = routes->current,
        .replaced = routes->build.replaced,
        .derived = routes->current->derived != routes->pending->derived,
    };
    routes->users++;
    routes->current = routes->pending;
    routes->pending = NULL;
    routes->retired = NULL;
}

static void routes_abandon(struct ns_mount *mount, struct ns_commit *commit)
{
    (void)commit;
    drop_pending((struct routes *)mount);
}

static const char *const routes_also[] = {"/iface", NULL};

static const struct ns_mount_ops routes_ops = {
    .name = "routes",
    .also = routes_also,
    .check = routes_check,
    .prepare = routes_prepare,
    .publish = routes_publish,
    .abandon = routes_abandon,
};

/* ---- life ---- */

int routes_new(struct ns_store *store, struct links_mount *links, struct routes **result)
{
    struct routes *routes = calloc(1, sizeof(*routes));
    int rc;

    if (routes == NULL)
        return -ENOMEM;
    *result = routes;
    routes->links = links;
    routes->users = 1;
    routes->current = calloc(1, sizeof(*routes->current));
    routes->pool = ns_pool_new();
    if (routes->current == NULL || routes->pool == NULL)
        return -ENOMEM;
    routes->slot = ns_store_derived_slot(store);
    if (routes->slot < 0)
        return routes->slot;
    rc = ns_mount_add(store, &routes->mount, "/route", &routes_ops);
    /* A commit of our own, so that every version from here on has a table. */
    return rc != 0 ? rc : ns_store_put(store, "/route", "");
}

void routes_free(struct routes *routes)
{
    if (routes != NULL)
        routes_put(routes);
}

int routes_slot(const struct routes *routes)
{
    return routes->slot;
}

struct links_mount *routes_links(const struct routes *routes)
{
    return routes->links;
}

/* ---- reading ---- */

const struct route *route_lookup(const struct route_table *table, uint16_t vrf, rte_be32_t address)
{
    return prefix_trie_lookup(&table->trie, vrf, address);
}

const struct route *route_lookup_range(const struct route_table *table, uint16_t vrf,
                                       rte_be32_t address, uint8_t *length)
{
    return prefix_trie_lookup_range(&table->trie, vrf, address, length);
}

const struct route *route_exact(const struct route_table *table, uint16_t vrf, rte_be32_t prefix,
                                uint8_t length)
{
    return prefix_trie_exact(&table->trie, vrf, prefix, length);
}

size_t route_table_count(const struct route_table *table)
{
    return table->trie.count;
}

int route_table_each(const struct route_table *table,
                     int (*fn)(const struct route *route, void *arg), void *arg)
{
    return prefix_trie_each(&table->trie, fn, arg);
}
