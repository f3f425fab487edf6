/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Making struct links of a version of the tree, and comparing two of them.
 *
 * What is compiled here has been judged: values are right, and no two names claim the same thing.
 * References to names that do not exist are left out; they wait.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arp/judge.h"
#include "arp/links_p.h"

/* ---- values ---- */

static bool is_text(const char *text, size_t size, const char *word)
{
    return strlen(word) == size && memcmp(text, word, size) == 0;
}

int link_parse_mode(const char *text, size_t size, enum link_mode *mode)
{
    static const char *const words[] = {
        [LINK_FOLLOW] = "follow", [LINK_BOUND] = "bound", [LINK_STATIC] = "static"};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (is_text(text, size, words[i])) {
            *mode = (enum link_mode)i;
            return 0;
        }
    return -EINVAL;
}

int link_parse_on(const char *text, size_t size, bool *bridge, const char **name, size_t *name_size)
{
    const char *space = memchr(text, ' ', size);
    size_t word = space == NULL ? 0 : (size_t)(space - text);

    if (!is_text(text, word, "port") && !is_text(text, word, "bridge"))
        return -EINVAL;
    *bridge = text[0] == 'b';
    *name = space + 1;
    *name_size = size - word - 1;
    return judge_link_name(*name, *name_size) ? 0 : -EINVAL;
}

const char *link_child_value(const struct ns_entry *entry, const char *child, size_t *size)
{
    const struct ns_entry *found = ns_entry_child(entry, child, strlen(child));

    *size = found == NULL ? 0 : found->value_size;
    return found == NULL ? NULL : ns_entry_value(found);
}

static uint32_t number_of(const struct ns_entry *entry, const char *child, uint32_t max,
                          uint32_t absent)
{
    size_t size;
    const char *text = link_child_value(entry, child, &size);
    uint32_t number;

    return text != NULL && parse_number(text, size, 0, max, &number) == 0 ? number : absent;
}

static void copy_name(char *name, const struct ns_entry *entry)
{
    memcpy(name, ns_entry_name(entry), entry->name_size);
    name[entry->name_size] = 0;
}

/* ---- compiling ---- */

struct compile {
    struct links_mount *mount;
    struct links *links;
};

static int compile_port(const struct ns_entry *entry, void *arg)
{
    struct links *links = ((struct compile *)arg)->links;
    struct link_port *port = &links->ports[links->port_count];
    size_t size;
    const char *text;

    copy_name(port->name, entry);
    port->mtu = (uint16_t)number_of(entry, "mtu", LINK_MTU_MAX, LINK_MTU_DEFAULT);
    port->id = (uint16_t)number_of(entry, "id", LINK_PORTS_MAX - 1, LINK_NO_ID);
    port->lcore = (uint16_t)number_of(entry, "lcore", NS_LCORES_MAX - 1, LINK_NO_ID);
    port->workers = (uint16_t)number_of(entry, "workers", LINK_QUEUES_MAX, 0);
    port->queues = (uint16_t)number_of(entry, "queues", LINK_QUEUES_MAX, LINK_QUEUES_MAX);
    port->rx_queues = (uint16_t)number_of(entry, "rx_queues", LINK_QUEUES_MAX, 1);
    port->tx_queues = (uint16_t)number_of(entry, "tx_queues", LINK_QUEUES_MAX, 1);
    port->bridge = port->iface = LINK_NO_ID;
    link_child_value(entry, "error", &size);
    if (size > 0)
        port->id = LINK_NO_ID; /* the device has failed */
    text = link_child_value(entry, "link", &size);
    port->up = port->id != LINK_NO_ID && is_text(text, size, "up");
    text = link_child_value(entry, "mac", &size);
    link_parse_mac(text, size, &port->mac);
    if (port->id != LINK_NO_ID)
        links->by_port_id[port->id] = links->port_count;
    links->port_count++;
    return 0;
}

static int compile_member(const struct ns_entry *entry, void *arg)
{
    struct links *links = ((struct compile *)arg)->links;
    struct link_bridge *bridge = &links->bridges[links->bridge_count];
    const struct link_port *found = links_port(links, ns_entry_name(entry));

    if (found == NULL)
        return 0;
    bridge->ports[bridge->port_count++] = (uint16_t)(found - links->ports);
    links->ports[found - links->ports].bridge = links->bridge_count;
    return 0;
}

static int compile_bridge(const struct ns_entry *entry, void *arg)
{
    struct compile *compile = arg;
    struct links *links = compile->links;
    struct link_bridge *bridge = &links->bridges[links->bridge_count];
    const struct ns_entry *members = ns_entry_child(entry, "port", 4);

    copy_name(bridge->name, entry);
    bridge->id = link_ids_give(&compile->mount->bridge_ids, bridge->name);
    bridge->iface = LINK_NO_ID;
    bridge->ageing = number_of(entry, "ageing", LINK_AGEING_MAX, LINK_AGEING_DEFAULT);
    if (members != NULL)
        ns_entry_each(members, compile_member, compile);
    links->bridge_count++;
    return bridge->id == 0 ? -ENOSPC : 0;
}

static int compile_address(const struct ns_entry *entry, void *arg)
{
    struct links *links = ((struct compile *)arg)->links;
    struct link_iface *iface = &links->ifaces[links->iface_count];
    struct link_address *address = &iface->addresses[iface->address_count];
    uint32_t length;

    if (link_parse_ipv4(ns_entry_name(entry), entry->name_size, &address->address) != 0 ||
        parse_number(ns_entry_value(entry), entry->value_size, 1, 32, &length) != 0)
        return 0;
    address->prefix_length = (uint8_t)length;
    iface->address_count++;
    return 0;
}

/* Tie the interface and what it is on together, in both directions. */
static void compile_on(struct links *links, struct link_iface *iface, const struct ns_entry *entry)
{
    size_t size, name_size;
    const char *text = link_child_value(entry, "on", &size), *name;
    char copy[LINK_NAME_MAX] = "";
    const struct link_port *port;
    const struct link_bridge *bridge;
    bool on_bridge;

    if (text == NULL || link_parse_on(text, size, &on_bridge, &name, &name_size) != 0)
        return;
    memcpy(copy, name, name_size);
    port = on_bridge ? NULL : links_port(links, copy);
    bridge = on_bridge ? links_bridge(links, copy) : NULL;
    if (port != NULL) {
        iface->port = (uint16_t)(port - links->ports);
        links->ports[iface->port].iface = links->iface_count;
    } else if (bridge != NULL) {
        iface->bridge = (uint16_t)(bridge - links->bridges);
        links->bridges[iface->bridge].iface = links->iface_count;
    }
}

/* A locally administered address that is the same at each start, and another one for another name or
 * on another machine. */
static void made_mac(uint64_t machine, const char *name, struct rte_ether_addr *mac)
{
    uint64_t hash = machine;

    while (*name != 0)
        hash = (hash ^ (uint8_t)*name++) * UINT64_C(0x100000001b3);
    hash ^= hash >> 29;
    for (int i = 0; i < RTE_ETHER_ADDR_LEN; i++)
        mac->addr_bytes[i] = (uint8_t)(hash >> (8 * i));
    mac->addr_bytes[0] = (uint8_t)((mac->addr_bytes[0] & 0xfc) | RTE_ETHER_LOCAL_ADMIN_ADDR);
}

static void compile_mac(const struct compile *compile, struct link_iface *iface,
                        const struct ns_entry *entry)
{
    size_t size;
    const char *text = link_child_value(entry, "mac", &size);

    if (text != NULL && link_parse_mac(text, size, &iface->mac) == 0)
        return;
    if (iface->port != LINK_NO_ID && mac_is_unicast(&compile->links->ports[iface->port].mac))
        iface->mac = compile->links->ports[iface->port].mac;
    else
        made_mac(compile->mount->machine, iface->name, &iface->mac);
}

static uint16_t mtu_of(const struct links *links, const struct link_iface *iface)
{
    const struct link_bridge *bridge;
    uint16_t mtu = UINT16_MAX;

    if (iface->port != LINK_NO_ID)
        return links->ports[iface->port].mtu;
    if (iface->bridge == LINK_NO_ID)
        return LINK_MTU_DEFAULT;
    bridge = &links->bridges[iface->bridge];
    for (uint16_t i = 0; i < bridge->port_count; i++)
        mtu = RTE_MIN(mtu, links->ports[bridge->ports[i]].mtu);
    return bridge->port_count == 0 ? LINK_MTU_DEFAULT : mtu;
}

static int compile_iface(const struct ns_entry *entry, void *arg)
{
    struct compile *compile = arg;
    struct links *links = compile->links;
    struct link_iface *iface = &links->ifaces[links->iface_count];
    const struct ns_entry *addresses = ns_entry_child(entry, "address", 7);
    size_t size;
    const char *mode = link_child_value(entry, "mode", &size);

    copy_name(iface->name, entry);
    iface->id = link_ids_give(&compile->mount->iface_ids, iface->name);
    iface->port = iface->bridge = LINK_NO_ID;
    if (mode == NULL || link_parse_mode(mode, size, &iface->mode) != 0)
        iface->mode = LINK_FOLLOW;
    compile_on(links, iface, entry);
    compile_mac(compile, iface, entry);
    iface->mtu = mtu_of(links, iface);
    if (addresses != NULL)
        ns_entry_each(addresses, compile_address, compile);
    links->iface_count++;
    return iface->id == 0 ? -ENOSPC : 0;
}

/* One block for all: the arrays follow the struct. Their types need no more than its alignment. */
static struct links *allocate(uint32_t ports, uint32_t bridges, uint32_t ifaces)
{
    struct links *links =
        calloc(1, sizeof(*links) + ports * sizeof(*links->ports) +
                      bridges * sizeof(*links->bridges) + ifaces * sizeof(*links->ifaces));

    if (links == NULL)
        return NULL;
    links->bridges = (struct link_bridge *)(links + 1); /* most aligned first */
    links->ifaces = (struct link_iface *)(links->bridges + bridges);
    links->ports = (struct link_port *)(links->ifaces + ifaces);
    memset(links->by_port_id, 0xff, sizeof(links->by_port_id));
    return links;
}

static uint32_t children_of(const struct ns_entry *entry)
{
    return entry == NULL ? 0 : entry->child_count;
}

int links_compile(struct links_mount *mount, const struct ns_version *version, struct links **links)
{
    const struct ns_entry *ports = link_part_node(&mount->port, version->root);
    const struct ns_entry *bridges = link_part_node(&mount->bridge, version->root);
    const struct ns_entry *ifaces = link_part_node(&mount->iface, version->root);
    struct compile compile = {.mount = mount};
    int error;

    compile.links = allocate(children_of(ports), children_of(bridges), children_of(ifaces));
    if (compile.links == NULL)
        return -ENOMEM;
    compile.links->version = version->number;
    error = ports == NULL ? 0 : ns_entry_each(ports, compile_port, &compile);
    if (error == 0 && bridges != NULL)
        error = ns_entry_each(bridges, compile_bridge, &compile);
    if (error == 0 && ifaces != NULL)
        error = ns_entry_each(ifaces, compile_iface, &compile);
    if (error != 0)
        free(compile.links);
    else
        *links = compile.links;
    return error;
}

/* ---- comparing ---- */

/* The name of an element by index, "" for none: indices move when other names come and go. */
static const char *port_name(const struct links *links, uint16_t index)
{
    return index == LINK_NO_ID ? "" : links->ports[index].name;
}

static const char *bridge_name(const struct links *links, uint16_t index)
{
    return index == LINK_NO_ID ? "" : links->bridges[index].name;
}

static const char *iface_name(const struct links *links, uint16_t index)
{
    return index == LINK_NO_ID ? "" : links->ifaces[index].name;
}

static bool same_port(const struct links *l, uint16_t i, const struct links *r, uint16_t j)
{
    const struct link_port *a = &l->ports[i], *b = &r->ports[j];

    return a->id == b->id && a->mtu == b->mtu && a->lcore == b->lcore && a->up == b->up &&
           a->workers == b->workers && a->queues == b->queues && a->rx_queues == b->rx_queues &&
           a->tx_queues == b->tx_queues && rte_is_same_ether_addr(&a->mac, &b->mac) &&
           strcmp(bridge_name(l, a->bridge), bridge_name(r, b->bridge)) == 0 &&
           strcmp(iface_name(l, a->iface), iface_name(r, b->iface)) == 0;
}

static bool same_bridge(const struct links *l, uint16_t i, const struct links *r, uint16_t j)
{
    const struct link_bridge *a = &l->bridges[i], *b = &r->bridges[j];

    if (a->ageing != b->ageing || a->port_count != b->port_count ||
        strcmp(iface_name(l, a->iface), iface_name(r, b->iface)) != 0)
        return false;
    for (uint16_t k = 0; k < a->port_count; k++)
        if (strcmp(port_name(l, a->ports[k]), port_name(r, b->ports[k])) != 0)
            return false;
    return true;
}

static bool same_iface(const struct links *l, uint16_t i, const struct links *r, uint16_t j)
{
    const struct link_iface *a = &l->ifaces[i], *b = &r->ifaces[j];

    if (a->mode != b->mode || a->mtu != b->mtu || a->vrf != b->vrf ||
        a->address_count != b->address_count || !rte_is_same_ether_addr(&a->mac, &b->mac) ||
        strcmp(port_name(l, a->port), port_name(r, b->port)) != 0 ||
        strcmp(bridge_name(l, a->bridge), bridge_name(r, b->bridge)) != 0)
        return false;
    for (uint16_t k = 0; k < a->address_count; k++)
        if (a->addresses[k].address != b->addresses[k].address ||
            a->addresses[k].prefix_length != b->addresses[k].prefix_length)
            return false;
    return true;
}

static uint16_t count_ports(const struct links *links)
{
    return links->port_count;
}

static uint16_t count_bridges(const struct links *links)
{
    return links->bridge_count;
}

static uint16_t count_ifaces(const struct links *links)
{
    return links->iface_count;
}

static const struct kind {
    const char *prefix;
    uint16_t (*count)(const struct links *links);
    const char *(*name)(const struct links *links, uint16_t index);
    bool (*same)(const struct links *l, uint16_t i, const struct links *r, uint16_t j);
} kinds[] = {
    {"/port/", count_ports, port_name, same_port},
    {"/bridge/", count_bridges, bridge_name, same_bridge},
    {"/iface/", count_ifaces, iface_name, same_iface},
};

/* Walk two sorted arrays together. */
static int diff_kind(const struct kind *kind, const struct links *before, const struct links *after,
                     int (*fn)(const char *path, void *arg), void *arg)
{
    uint16_t i = 0, j = 0, old_count = before == NULL ? 0 : kind->count(before),
             count = kind->count(after);

    while (i < old_count || j < count) {
        int order = i == old_count ? 1
                    : j == count   ? -1
                                   : strcmp(kind->name(before, i), kind->name(after, j));
        char path[LINK_NAME_MAX + 16];
        int answer = 0;

        if (order != 0 || !kind->same(before, i, after, j)) {
            snprintf(path, sizeof(path), "%s%s", kind->prefix,
                     order < 0 ? kind->name(before, i) : kind->name(after, j));
            answer = fn(path, arg);
        }
        if (answer != 0)
            return answer;
        i += order <= 0;
        j += order >= 0;
    }
    return 0;
}

int links_diff(const struct links *before, const struct links *after,
               int (*fn)(const char *path, void *arg), void *arg)
{
    int error = 0;

    for (size_t i = 0; error == 0 && i < sizeof(kinds) / sizeof(kinds[0]); i++)
        error = diff_kind(&kinds[i], before, after, fn, arg);
    return error;
}
