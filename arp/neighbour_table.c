/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Neighbours: the mount /neigh, what is remembered of each neighbour, and the commits that follow from it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "arp/judge.h"
#include "arp/neighbour_p.h"
#include "arp/text.h"

/* ---- names and values ---- */

static const char *const state_names[] = {
    [NEIGHBOUR_INCOMPLETE] = "INCOMPLETE", [NEIGHBOUR_REACHABLE] = "REACHABLE",
    [NEIGHBOUR_STALE] = "STALE",           [NEIGHBOUR_DELAY] = "DELAY",
    [NEIGHBOUR_PROBE] = "PROBE",           [NEIGHBOUR_FAILED] = "FAILED",
    [NEIGHBOUR_PERMANENT] = "PERMANENT",
};

const char *neighbour_state_name(enum neighbour_state state)
{
    return state_names[state];
}

void neighbour_path(const char *iface, rte_be32_t address, char *path, size_t size)
{
    const char *end = path + size;
    char text[16];

    path = text_put(text_put(path, end, "/neigh/"), end, iface);
    text_put(text_put(path, end, "/"), end, link_format_ipv4(address, text));
}

int neighbour_parse(const char *value, size_t size, struct rte_ether_addr *mac,
                    enum neighbour_value *kind)
{
    static const struct {
        const char *text;
        enum neighbour_value kind;
    } words[] = {{" static", NEIGHBOUR_VALUE_STATIC}, {" learned", NEIGHBOUR_VALUE_LEARNED}};

    if (size == 6 && memcmp(value, "failed", 6) == 0) {
        *kind = NEIGHBOUR_VALUE_FAILED;
        return 0;
    }
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (size == 17 + strlen(words[i].text) &&
            memcmp(value + 17, words[i].text, size - 17) == 0) {
            *kind = words[i].kind;
            return link_parse_mac(value, 17, mac);
        }
    return -EINVAL;
}

bool neighbour_look_up(const struct neighbours *neighbours, const char *iface, rte_be32_t address,
                       struct rte_ether_addr *mac, enum neighbour_value *kind)
{
    char path[NEIGHBOUR_PATH];
    const struct ns_entry *entry;

    neighbour_path(iface, address, path, sizeof(path));
    entry = ns_tree_lookup(ns_store_version(neighbours->store)->root, path, strlen(path));
    return entry != NULL &&
           neighbour_parse(ns_entry_value(entry), entry->value_size, mac, kind) == 0;
}

/* ---- judging ---- */

/* Has the interface that the neighbour is on this address itself, in the merged change? What is restored is
 * left alone: the address may have come after the neighbour. */
static bool is_own(const struct judge *judge)
{
    const char *iface = judge->change->path + strlen("/neigh/");
    const char *address = strrchr(iface, '/') + 1;
    char path[128];
    int size = snprintf(path, sizeof(path), "/iface/%.*s/address/%s", (int)(address - 1 - iface),
                        iface, address);

    return !ns_commit_restores(judge->commit) && size < (int)sizeof(path) &&
           ns_tree_lookup(ns_commit_version(judge->commit)->root, path, (size_t)size) != NULL;
}

static int judge_neighbour(struct judge *judge)
{
    struct rte_ether_addr mac;
    enum neighbour_value kind;
    rte_be32_t address;
    int error = judge_ipv4_name(judge, &address);

    if (error != 0)
        return error;
    if (neighbour_parse(judge->value, judge->size, &mac, &kind) != 0)
        return judge_refuse(
            judge, EINVAL,
            "%s is not a neighbour: 'MAC static', such as '52:54:00:12:34:56 static'",
            judge->shown);
    if (kind != NEIGHBOUR_VALUE_FAILED && !mac_is_unicast(&mac))
        return judge_refuse(judge, EINVAL,
                            "%s: a neighbour has a unicast MAC address that is not zero",
                            judge->shown);
    if (kind == NEIGHBOUR_VALUE_STATIC && is_own(judge))
        return judge_refuse(
            judge, EINVAL, "%s is the address of the interface itself; a neighbour is another host",
            judge->shown_name);
    if (kind == NEIGHBOUR_VALUE_STATIC || ns_commit_by_stack(judge->commit) ||
        judge_same_value(judge))
        return 0;
    return judge_refuse(judge, EPERM, "only the stack says %s; 'MAC static' would be right",
                        kind == NEIGHBOUR_VALUE_FAILED ? "what has failed" : "what it has learned");
}

static int neighbour_check(struct ns_mount *mount, struct ns_commit *commit,
                           const struct ns_change *change)
{
    struct judge judge;
    int error;

    judge_begin(&judge, mount, commit, change);
    if (judge.depth == 0)
        return judge_mount_point(&judge);
    if (judge_removal(&judge))
        return 0;
    if (judge.depth == 2)
        return judge_neighbour(&judge);
    if (judge.depth > 2)
        return judge_refuse(&judge, EINVAL, "nothing stands below a neighbour");
    error = judge_name_of(&judge, "an interface");
    return error != 0 ? error : judge_directory(&judge);
}

/* ---- what is remembered ---- */

struct neighbour *neighbour_find(const struct neighbours *neighbours, uint16_t iface_id,
                                 rte_be32_t address)
{
    return (struct neighbour *)key_table_find(&neighbours->table, neighbour_key(iface_id, address));
}

struct neighbour *neighbour_add(struct neighbours *neighbours, uint16_t iface_id,
                                rte_be32_t address)
{
    struct neighbour *neighbour;

    if (neighbours->table.count >= neighbours->options.neighbours)
        return NULL;
    neighbour = calloc(1, sizeof(*neighbour));
    if (neighbour == NULL)
        return NULL;
    neighbour->node.key = neighbour_key(iface_id, address);
    neighbour->owner = neighbours;
    neighbour->iface = iface_id;
    neighbour->address = address;
    neighbour->state = NEIGHBOUR_INCOMPLETE;
    neighbour->since = neighbour->heard = ns_loop_now(neighbours->loop);
    key_table_add(&neighbours->table, &neighbour->node);
    TAILQ_INSERT_TAIL(&neighbours->all, neighbour, all);
    return neighbour;
}

void neighbour_drop(struct neighbour *neighbour)
{
    struct neighbours *neighbours = neighbour->owner;

    neighbour_rest(neighbour);
    key_table_remove(&neighbours->table, &neighbour->node);
    TAILQ_REMOVE(&neighbours->all, neighbour, all);
    free(neighbour);
}

int neighbour_commit(struct neighbour *neighbour, const char *value)
{
    struct neighbours *neighbours = neighbour->owner;
    char path[NEIGHBOUR_PATH];
    int error;

    neighbour_path(links_iface_name(neighbours->links, neighbour->iface), neighbour->address, path,
                   sizeof(path));
    neighbour = NULL; /* the commit may free it */
    error = ns_store_put(neighbours->store, path, value);
    if (error != 0)
        ns_log_limited(&neighbours->failures, NS_LOG_ERROR, "%s: '%s' could not be committed: %s",
                       path, value == NULL ? "" : value, strerror(-error));
    return error;
}

/* A name of the mount has changed, by us or by a user: the object of a name that is gone or static goes. */
static void follow(struct neighbours *neighbours, const struct ns_change *change)
{
    const char *name = change->path + neighbours->mount.path_size + 1, *text = strchr(name, '/');
    const struct ns_entry *after = change->after;
    char iface[LINK_NAME_MAX] = "";
    enum neighbour_value kind = NEIGHBOUR_VALUE_STATIC;
    struct rte_ether_addr mac;
    struct neighbour *neighbour;
    rte_be32_t address;

    if (text == NULL || text - name >= LINK_NAME_MAX ||
        link_parse_ipv4(text + 1, strlen(text + 1), &address) != 0)
        return;
    memcpy(iface, name, (size_t)(text - name));
    neighbour = neighbour_find(neighbours, links_iface_known(neighbours->links, iface), address);
    if (neighbour == NULL)
        return;
    if (after != NULL &&
        neighbour_parse(ns_entry_value(after), after->value_size, &mac, &kind) != 0)
        return;
    if (kind == NEIGHBOUR_VALUE_STATIC)
        neighbour_drop(neighbour);
    else
        neighbour->committed = true;
}

static void neighbour_after(struct ns_mount *mount, struct ns_commit *commit)
{
    struct neighbours *neighbours = (struct neighbours *)mount;
    const struct links *before = links_of(ns_commit_before(commit), neighbours->slot);
    const struct links *after = links_of(ns_commit_version(commit), neighbours->slot);
    size_t count;
    const struct ns_change *changes = ns_commit_changes(commit, mount, &count);

    for (size_t i = 0; i < count; i++)
        follow(neighbours, &changes[i]);
    if (before != after)
        neighbours_links_changed(neighbours, before, after);
}

/* ---- asking ---- */

bool neighbours_state(const struct neighbours *neighbours, uint16_t iface_id, rte_be32_t address,
                      enum neighbour_state *state, uint64_t *age_ms)
{
    const struct neighbour *neighbour = neighbour_find(neighbours, iface_id, address);
    const char *iface = links_iface_name(neighbours->links, iface_id);
    struct rte_ether_addr mac;
    enum neighbour_value kind;

    if (neighbour != NULL) {
        *state = neighbour->state;
        *age_ms = (ns_loop_now(neighbours->loop) - neighbour->heard) / NEIGHBOUR_MS;
        return true;
    }
    *state = NEIGHBOUR_PERMANENT;
    *age_ms = 0;
    return iface != NULL && neighbour_look_up(neighbours, iface, address, &mac, &kind) &&
           kind == NEIGHBOUR_VALUE_STATIC;
}

/* Nothing but a name that a user has written can be used on this interface. */
static bool only_configured(const struct link_iface *iface)
{
    return iface->mode != LINK_FOLLOW;
}

static int want_new(struct neighbours *neighbours, const struct link_iface *iface,
                    rte_be32_t address)
{
    bool hopeless = only_configured(iface);
    uint16_t iface_id = iface->id;
    struct neighbour *neighbour = neighbour_add(neighbours, iface_id, address);

    /* Strangers can fill the table with themselves; they must not keep us from those that we need. */
    if (neighbour == NULL && neighbours_make_room(neighbours))
        neighbour = neighbour_add(neighbours, iface_id, address);
    if (neighbour == NULL)
        return -ENOSPC;
    if (hopeless)
        neighbour_fail(neighbour);
    else
        neighbour_enter(neighbour, NEIGHBOUR_INCOMPLETE);
    return hopeless ? -EHOSTUNREACH : 0;
}

int neighbours_want(struct neighbours *neighbours, uint16_t iface_id, rte_be32_t address)
{
    const struct link_iface *iface = links_iface_by_id(neighbours_links(neighbours), iface_id);
    struct neighbour *neighbour = neighbour_find(neighbours, iface_id, address);
    struct rte_ether_addr mac;
    enum neighbour_value kind;

    if (iface == NULL || iface->address_count == 0 ||
        (iface->port == LINK_NO_ID && iface->bridge == LINK_NO_ID))
        return -ENETUNREACH;
    if (neighbour == NULL) {
        if (neighbour_look_up(neighbours, iface->name, address, &mac, &kind) &&
            kind == NEIGHBOUR_VALUE_STATIC)
            return 0;
        if (!ipv4_is_host(address) || link_own_address(iface, address))
            return -EHOSTUNREACH;
        return want_new(neighbours, iface, address);
    }
    if (neighbour->state == NEIGHBOUR_STALE)
        neighbour_enter(neighbour, NEIGHBOUR_DELAY);
    return neighbour->state == NEIGHBOUR_FAILED ? -EHOSTUNREACH : 0;
}

uint64_t neighbours_refused(const struct neighbours *neighbours, enum neighbour_refusal refusal)
{
    return neighbours->refused[refusal];
}

void neighbours_counters(const struct neighbours *neighbours, struct neighbours_counters *out)
{
    *out = neighbours->counters;
}

size_t neighbours_count(const struct neighbours *neighbours)
{
    return neighbours->table.count;
}

/* ---- life ---- */

static const char *const neighbour_also[] = {"/port", "/bridge", "/iface", NULL};

/* What was learned, or has failed, is found out again. */
static bool neighbour_transient(const struct ns_mount *mount, const char *path, size_t path_size,
                                const struct ns_entry *entry)
{
    struct rte_ether_addr mac;
    enum neighbour_value kind;

    (void)mount, (void)path, (void)path_size;
    return neighbour_parse(ns_entry_value(entry), entry->value_size, &mac, &kind) == 0 &&
           kind != NEIGHBOUR_VALUE_STATIC;
}

static const struct ns_mount_ops neighbour_ops = {
    .name = "neighbours",
    .also = neighbour_also,
    .check = neighbour_check,
    .transient = neighbour_transient,
    .after = neighbour_after,
};

static uint32_t or_default(uint32_t value, uint32_t absent)
{
    return value == 0 ? absent : value;
}

static void set_options(struct neighbours_options *to, const struct neighbours_options *from)
{
    static const struct neighbours_options none;

    from = from == NULL ? &none : from;
    to->reachable_ms = or_default(from->reachable_ms, 30000);
    to->retransmit_ms = or_default(from->retransmit_ms, 1000);
    to->delay_ms = or_default(from->delay_ms, 5000);
    to->requests = or_default(from->requests, 3);
    to->probes = or_default(from->probes, 3);
    to->failed_ms = or_default(from->failed_ms, 1000);
    to->stale_ms = or_default(from->stale_ms, 60000);
    to->neighbours = or_default(from->neighbours, 65536);
}

static void set_limits(struct neighbours *neighbours)
{
    for (int i = 0; i < NEIGHBOUR_REFUSALS; i++)
        neighbours->refusal_limits[i].burst = LOGGED_A_SECOND;
    neighbours->moves.burst = neighbours->failures.burst = LOGGED_A_SECOND;
}

int neighbours_new(struct ns_store *store, struct ns_loop *loop, struct links_mount *links,
                   struct stations *stations, const struct neighbours_options *options,
                   const struct neighbours_io *io, struct neighbours **result)
{
    struct neighbours *neighbours = calloc(1, sizeof(*neighbours));
    int error;

    if (neighbours == NULL)
        return -ENOMEM;
    neighbours->store = store;
    neighbours->loop = loop;
    neighbours->links = links;
    neighbours->stations = stations;
    neighbours->slot = links_slot(links);
    neighbours->io = *io;
    neighbours->stale_tick.fn = neighbour_stale_tick;
    set_options(&neighbours->options, options);
    set_limits(neighbours);
    TAILQ_INIT(&neighbours->all);
    TAILQ_INIT(&neighbours->stale);
    LIST_INIT(&neighbours->announcements);
    if (getrandom(neighbours->seed, sizeof(neighbours->seed), GRND_NONBLOCK) < 0)
        neighbours->seed[0] = (unsigned short)ns_loop_now(loop);
    error = key_table_init(&neighbours->table);
    if (error == 0)
        error = ns_mount_add(store, &neighbours->mount, "/neigh", &neighbour_ops);
    if (error != 0) {
        key_table_fini(&neighbours->table);
        free(neighbours);
        return error;
    }
    *result = neighbours;
    return 0;
}

void neighbours_free(struct neighbours *neighbours)
{
    struct neighbour *neighbour, *following;

    if (neighbours == NULL)
        return;
    for (neighbour = TAILQ_FIRST(&neighbours->all); neighbour != NULL; neighbour = following) {
        following = TAILQ_NEXT(neighbour, all);
        neighbour_drop(neighbour);
    }
    ns_timer_stop(neighbours->loop, &neighbours->stale_tick);
    neighbours_announcements_free(neighbours);
    key_table_fini(&neighbours->table);
    free(neighbours);
}
