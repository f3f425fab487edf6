/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The mounts /port, /bridge and /iface: which names there may be, which values are right, who may
 * write them, and the hooks that make struct links in each commit.
 *
 * Names and values are tables: a mount has names of things (ports, bridges, interfaces), and below
 * each the names of the first table that fits. The whole is judged and compiled by the mount that was
 * hung last, /iface, which the commits of the two others concern as well.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "arp/judge.h"
#include "arp/links_p.h"

/* A name below a port, a bridge or an interface. */
struct links_rule {
    const char *name;
    int (*value)(struct judge *judge); /* judges the value of the name itself */
    int (*child)(struct judge *judge); /* judges a name below it; NULL: there may be none */
    bool stack;                        /* written by the stack only */
};

/* What may stand in a mount. */
struct links_names {
    const char *noun;  /* "a port" */
    const char *right; /* the names that users write below one, for messages */
    const struct links_rule *rules;
    size_t rule_count;
};

/* ---- values ---- */

static int judge_number(struct judge *judge, uint32_t min, uint32_t max, const char *what)
{
    uint32_t number;

    if (parse_number(judge->value, judge->size, min, max, &number) == 0)
        return 0;
    return judge_refuse(judge, EINVAL, "%s is not %s: a number from %u to %u", judge->shown, what,
                        min, max);
}

static int judge_devargs(struct judge *judge)
{
    if (judge->size == 0)
        return judge_refuse(
            judge, EINVAL,
            "a port needs its device's arguments, such as net_af_packet0,iface=eth0");
    if (judge->size >= LINK_DEVARGS_MAX)
        return judge_refuse(judge, E2BIG, "device arguments have at most %d bytes",
                            LINK_DEVARGS_MAX - 1);
    for (size_t i = 0; i < judge->size; i++)
        if (judge->value[i] <= ' ' || judge->value[i] > '~')
            return judge_refuse(
                judge, EINVAL,
                "%s are not device arguments: no spaces or control characters, such as "
                "net_af_packet0,iface=eth0",
                judge->shown);
    if (judge->value[0] == ',')
        return judge_refuse(judge, EINVAL, "%s has no device name before the first comma",
                            judge->shown);
    return 0;
}

static int judge_mtu(struct judge *judge)
{
    return judge_number(judge, LINK_MTU_MIN, LINK_MTU_MAX, "an MTU in bytes");
}

static int judge_link_state(struct judge *judge)
{
    if ((judge->size == 2 && memcmp(judge->value, "up", 2) == 0) ||
        (judge->size == 4 && memcmp(judge->value, "down", 4) == 0))
        return 0;
    return judge_refuse(judge, EINVAL, "%s is not a link's state: up or down", judge->shown);
}

static int judge_mac(struct judge *judge)
{
    struct rte_ether_addr mac;

    if (link_parse_mac(judge->value, judge->size, &mac) != 0)
        return judge_refuse(judge, EINVAL, "%s is not a MAC address such as 52:54:00:12:34:56",
                            judge->shown);
    if (!mac_is_unicast(&mac))
        return judge_refuse(judge, EINVAL,
                            "%s is a multicast or zero address; a unicast one would be right",
                            judge->shown);
    return 0;
}

static int judge_text(struct judge *judge)
{
    (void)judge;
    return 0;
}

static int judge_port_id(struct judge *judge)
{
    return judge_number(judge, 0, LINK_PORTS_MAX - 1, "the number of a device");
}

static int judge_lcore(struct judge *judge)
{
    return judge_number(judge, 0, NS_LCORES_MAX - 1, "the number of a worker");
}

static int judge_workers(struct judge *judge)
{
    return judge_number(judge, 1, LINK_QUEUES_MAX, "a number of workers");
}

static int judge_queues(struct judge *judge)
{
    return judge_number(judge, 1, LINK_QUEUES_MAX, "a number of queues");
}

static int judge_ageing(struct judge *judge)
{
    uint32_t seconds;

    if (parse_number(judge->value, judge->size, 0, LINK_AGEING_MAX, &seconds) == 0 &&
        (seconds == 0 || seconds >= LINK_AGEING_MIN))
        return 0;
    return judge_refuse(
        judge, EINVAL,
        "%s is not an ageing time: seconds from %d to %d, or 0 for stations that do not age",
        judge->shown, LINK_AGEING_MIN, LINK_AGEING_MAX);
}

static int judge_on(struct judge *judge)
{
    const char *name;
    size_t size;
    bool bridge;

    if (link_parse_on(judge->value, judge->size, &bridge, &name, &size) == 0)
        return 0;
    return judge_refuse(judge, EINVAL,
                        "%s is nothing that an interface can be on: 'port NAME' or 'bridge NAME'",
                        judge->shown);
}

static int judge_mode(struct judge *judge)
{
    enum link_mode mode;

    if (link_parse_mode(judge->value, judge->size, &mode) == 0)
        return 0;
    return judge_refuse(judge, EINVAL, "%s is not a mode: follow, bound or static", judge->shown);
}

/* /iface/NAME/address/ADDR */
static int judge_address(struct judge *judge)
{
    rte_be32_t address, host;
    uint32_t length;
    int error = judge_ipv4_name(judge, &address);

    if (error != 0)
        return error;
    if (parse_number(judge->value, judge->size, 1, 32, &length) != 0)
        return judge_refuse(judge, EINVAL, "%s is not a prefix length: a number from 1 to 32",
                            judge->shown);
    host = ~link_mask((uint8_t)length);
    if (length <= 30 && (address & host) == 0)
        return judge_refuse(judge, EINVAL, "%s/%u is the network itself, not an address in it",
                            judge->shown_name, length);
    if (length <= 30 && (address & host) == host)
        return judge_refuse(judge, EINVAL, "%s/%u is the broadcast address of its network",
                            judge->shown_name, length);
    return 0;
}

/* /bridge/NAME/port/PORT */
static int judge_member(struct judge *judge)
{
    int error = judge_name_of(judge, "a port");

    return error != 0 ? error : judge_directory(judge);
}

static const struct links_rule port_rules[] = {
    {.name = "devargs", .value = judge_devargs},
    {.name = "mtu", .value = judge_mtu},
    {.name = "workers", .value = judge_workers},
    {.name = "queues", .value = judge_queues},
    {.name = "link", .value = judge_link_state, .stack = true},
    {.name = "mac", .value = judge_mac, .stack = true},
    {.name = "error", .value = judge_text, .stack = true},
    {.name = "id", .value = judge_port_id, .stack = true},
    {.name = "lcore", .value = judge_lcore, .stack = true},
    {.name = "rx_queues", .value = judge_queues, .stack = true},
    {.name = "tx_queues", .value = judge_queues, .stack = true},
};

static const struct links_rule bridge_rules[] = {
    {.name = "port", .value = judge_directory, .child = judge_member},
    {.name = "ageing", .value = judge_ageing},
};

static const struct links_rule iface_rules[] = {
    {.name = "on", .value = judge_on},
    {.name = "mode", .value = judge_mode},
    {.name = "mac", .value = judge_mac},
    {.name = "address", .value = judge_directory, .child = judge_address},
};

#define RULES(rules) rules, sizeof(rules) / sizeof(rules[0])
static const struct links_names port_names = {"a port", "devargs, mtu, workers and queues",
                                              RULES(port_rules)};
static const struct links_names bridge_names = {"a bridge", "port/PORT and ageing",
                                                RULES(bridge_rules)};
static const struct links_names iface_names = {"an interface", "on, mode, mac and address/ADDR",
                                               RULES(iface_rules)};

/* ---- judging a name ---- */

/* Names of the stack stand below a port that a user has made, and go with it. The stack may find that
 * the port was removed while a device was being opened. */
static int judge_stack_name(struct judge *judge)
{
    const struct ns_change *change = judge->change;
    size_t port_size = (size_t)(judge->part[0].text + judge->part[0].size - change->path);
    const struct ns_version *after = ns_commit_version(judge->commit);
    const struct ns_version *before = ns_commit_before(judge->commit);
    const struct ns_entry *port = ns_tree_lookup(after->root, change->path, port_size);
    size_t size;

    if (judge_removal(judge) && port == NULL)
        return 0;
    if (!ns_commit_by_stack(judge->commit) && !judge_same_value(judge))
        return judge_refuse(
            judge, EPERM,
            "it is written by the stack only; devargs, mtu, workers and queues are what "
            "users write below a port");
    if (ns_tree_lookup(before->root, change->path, port_size) == NULL &&
        link_child_value(port, "devargs", &size) == NULL)
        return judge_refuse(judge, ENOENT, "there is no such port any more");
    return 0;
}

static const struct links_rule *find_rule(const struct links_names *names,
                                          const struct name_part *part)
{
    for (size_t i = 0; i < names->rule_count; i++)
        if (strlen(names->rules[i].name) == part->size &&
            memcmp(names->rules[i].name, part->text, part->size) == 0)
            return &names->rules[i];
    return NULL;
}

/* A name below a port, a bridge or an interface. */
static int judge_below(struct judge *judge, struct links_part *part)
{
    const struct links_names *names = part->names;
    const struct links_rule *rule = find_rule(names, &judge->part[1]);
    int error = 0;

    if (rule == NULL || judge->depth > JUDGE_PARTS || (judge->depth == 3 && rule->child == NULL)) {
        if (judge_removal(judge))
            return 0;
        return judge_refuse(judge, EINVAL, "%s has no such name; users write %s below it",
                            names->noun, names->right);
    }
    if (rule->stack)
        error = judge_stack_name(judge);
    if (error != 0 || judge_removal(judge))
        return error;
    return judge->depth == 2 ? rule->value(judge) : rule->child(judge);
}

static int links_check(struct ns_mount *mount, struct ns_commit *commit,
                       const struct ns_change *change)
{
    struct links_part *part = (struct links_part *)mount;
    struct judge judge;
    int error;

    judge_begin(&judge, mount, commit, change);
    if (judge.depth == 0)
        return judge_mount_point(&judge);
    if (judge.depth > 1)
        return judge_below(&judge, part);
    if (judge_removal(&judge))
        return 0;
    error = judge_name_of(&judge, part->names->noun);
    return error != 0 ? error : judge_directory(&judge);
}

/* ---- a commit ---- */

struct touching {
    struct ns_commit *commit;
    size_t count;
};

static int touch(const char *path, void *arg)
{
    struct touching *touching = arg;

    touching->count++;
    return ns_commit_touch(touching->commit, path);
}

/* Make the links of the commit's version in owner->pending; none if they are as before. */
static int make_links(struct links_mount *owner, struct ns_commit *commit)
{
    struct touching touching = {.commit = commit};
    int error = links_compile(owner, ns_commit_version(commit), &owner->pending);

    if (error == -ENOSPC)
        return ns_refuse(
            commit, ENOSPC, owner->iface.mount.path,
            "more than %d names of interfaces or bridges have been used since the daemon started",
            LINK_IDS_MAX);
    if (error == 0)
        error = links_diff(owner->current, owner->pending, touch, &touching);
    if (error != 0 || owner->current == NULL)
        return error;
    if (touching.count > 0)
        return ns_commit_retire(commit, owner->current, free);
    free(owner->pending);
    owner->pending = NULL;
    return 0;
}

static int links_prepare(struct ns_mount *mount, struct ns_commit *commit)
{
    struct links_mount *owner = ((struct links_part *)mount)->owner;
    int error = links_judge(owner, commit);

    if (error == 0)
        error = make_links(owner, commit);
    if (error != 0) {
        free(owner->pending);
        owner->pending = NULL;
    } else if (owner->pending != NULL) {
        ns_commit_set_derived(commit, owner->slot, owner->pending);
    }
    return error;
}

static void links_publish(struct ns_mount *mount, struct ns_commit *commit)
{
    struct links_mount *owner = ((struct links_part *)mount)->owner;

    (void)commit;
    if (owner->pending != NULL)
        owner->current = owner->pending; /* the one before has been retired in prepare */
    owner->pending = NULL;
}

static void links_abandon(struct ns_mount *mount, struct ns_commit *commit)
{
    struct links_mount *owner = ((struct links_part *)mount)->owner;

    (void)commit;
    free(owner->pending);
    owner->pending = NULL;
}

static const char *const iface_also[] = {"/port", "/bridge", NULL};

/* What the stack reports of a port: /port/NAME/link and the like. */
static bool port_transient(const struct ns_mount *mount, const char *path, size_t path_size,
                           const struct ns_entry *entry)
{
    const struct links_names *names = ((const struct links_part *)mount)->names;
    const char *name = ns_entry_name(entry);
    struct name_part last = {.text = name, .size = entry->name_size};
    const struct links_rule *rule;
    size_t depth = 0;

    for (size_t i = mount->path_size; i < path_size; i++)
        depth += path[i] == '/';
    rule = depth == 2 ? find_rule(names, &last) : NULL;
    return rule != NULL && rule->stack;
}

static const struct ns_mount_ops port_ops = {
    .name = "ports", .check = links_check, .transient = port_transient};
static const struct ns_mount_ops bridge_ops = {.name = "bridges", .check = links_check};
static const struct ns_mount_ops iface_ops = {
    .name = "interfaces",
    .also = iface_also,
    .check = links_check,
    .prepare = links_prepare,
    .publish = links_publish,
    .abandon = links_abandon,
};

/* ---- life ---- */

/* FNV-1a of what tells this machine from others. */
static uint64_t machine_hash(void)
{
    char text[128];
    size_t size = 0;
    FILE *file = fopen("/etc/machine-id", "re");
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    if (file != NULL) {
        size = fread(text, 1, sizeof(text), file);
        fclose(file);
    }
    if (size == 0 && gethostname(text, sizeof(text)) == 0)
        size = strnlen(text, sizeof(text));
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ (uint8_t)text[i]) * UINT64_C(0x100000001b3);
    return hash;
}

static int hang(struct links_mount *owner, struct links_part *part, const char *path,
                const struct ns_mount_ops *ops, const struct links_names *names)
{
    part->owner = owner;
    part->names = names;
    return ns_mount_add(owner->store, &part->mount, path, ops);
}

int links_new(struct ns_store *store, struct links_mount **mount)
{
    struct links_mount *owner = calloc(1, sizeof(*owner));
    int error;

    if (owner == NULL)
        return -ENOMEM;
    owner->store = store;
    owner->machine = machine_hash();
    *mount = owner;
    error = ns_store_derived_slot(store);
    if (error < 0)
        return error;
    owner->slot = error;
    error = hang(owner, &owner->port, "/port", &port_ops, &port_names);
    if (error == 0)
        error = hang(owner, &owner->bridge, "/bridge", &bridge_ops, &bridge_names);
    if (error == 0)
        error = hang(owner, &owner->iface, "/iface", &iface_ops, &iface_names);
    /* A commit of our own, so that every version from here on has links. */
    return error != 0 ? error : ns_store_put(store, "/iface", "");
}

void links_free(struct links_mount *mount)
{
    if (mount == NULL)
        return;
    free(mount->current);
    link_ids_fini(&mount->iface_ids);
    link_ids_fini(&mount->bridge_ids);
    free(mount);
}

int links_slot(const struct links_mount *mount)
{
    return mount->slot;
}

const char *links_iface_name(const struct links_mount *mount, uint16_t id)
{
    return link_ids_name(&mount->iface_ids, id);
}

uint16_t links_iface_id(struct links_mount *mount, const char *name)
{
    return link_ids_give(&mount->iface_ids, name);
}

uint16_t links_iface_known(const struct links_mount *mount, const char *name)
{
    return link_ids_find(&mount->iface_ids, name);
}

const char *links_bridge_name(const struct links_mount *mount, uint16_t id)
{
    return link_ids_name(&mount->bridge_ids, id);
}

uint16_t links_bridge_id(const struct links_mount *mount, const char *name)
{
    return link_ids_find(&mount->bridge_ids, name);
}
