/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ARP input: bytes are a small program over ports, packets, time and users, and whatever it does, names,
 * objects and timers of neighbours must stay in step.
 *
 * An instruction is a byte; its low bits say what, its high bits with what. A frame takes its size from
 * the next byte, and its content from those after it; frames that are to be nearly right take only what
 * makes the difference.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arp/neighbour_p.h"
#include "tests/unit/fake_loop.h"

static struct ns_store *store;
static struct ns_loop *loop;
static struct links_mount *links;
static struct stations *stations;
static struct neighbours *neighbours;
static uint64_t used_at;

struct program {
    const uint8_t *at;
    size_t left;
};

static uint8_t next(struct program *program)
{
    if (program->left == 0)
        return 0;
    program->left--;
    return *program->at++;
}

static void check(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "does not hold: %s\n", what);
    abort();
}

static void sent(void *arg, uint16_t iface_id, const void *frame, size_t size)
{
    struct arp_packet packet;

    (void)arg;
    check(links_iface_name(links, iface_id) != NULL, "sent by an interface");
    check(arp_parse(frame, size, &packet) == 0, "a well-formed packet is sent");
}

static uint64_t used(void *arg, uint16_t iface_id, rte_be32_t address)
{
    (void)arg, (void)iface_id, (void)address;
    return used_at;
}

static void put(const struct ns_identity *who, const char *path, const char *value)
{
    struct ns_txn *txn;
    int error = ns_txn_begin(store, who, &txn);

    if (error == 0)
        error = value == NULL ? ns_txn_remove(txn, path)
                              : ns_txn_write(txn, path, value, strlen(value));
    if (error == 0)
        ns_txn_commit(txn, NULL, NULL);
    else
        ns_txn_abort(txn);
}

/* ---- the world: i0 on a bridge of p0 and p1, i1 on p2 ---- */

static void begin(void)
{
    static const struct ns_store_options store_options = {.lcores = 1};
    static const struct neighbours_options options = {.neighbours = 8};
    static const struct neighbours_io io = {.send = sent, .used = used};
    static const char *const names[][2] = {
        {"/port/p0/devargs", "a"},
        {"/port/p0/id", "0"},
        {"/port/p0/link", "up"},
        {"/port/p1/devargs", "b"},
        {"/port/p1/id", "1"},
        {"/port/p1/link", "up"},
        {"/port/p2/devargs", "c"},
        {"/port/p2/id", "2"},
        {"/port/p2/link", "up"},
        {"/bridge/br0/port/p0", ""},
        {"/bridge/br0/port/p1", ""},
        {"/iface/i0/on", "bridge br0"},
        {"/iface/i0/mac", "02:00:00:00:00:01"},
        {"/iface/i0/address/10.0.0.1", "24"},
        {"/iface/i1/on", "port p2"},
        {"/iface/i1/mac", "02:00:00:00:00:02"},
        {"/iface/i1/address/10.1.0.1", "24"},
        {"/neigh/i0/10.0.0.2", "02:00:00:00:01:02 static"},
    };

    ns_log_set(NS_LOG_ERROR);
    loop = ns_loop_new();
    if (ns_store_new(&store_options, &store) != 0 || links_new(store, &links) != 0 ||
        stations_new(store, loop, links, NULL, NULL, &stations) != 0 ||
        neighbours_new(store, loop, links, stations, &options, &io, &neighbours) != 0)
        abort();
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        put(&ns_identity_stack, names[i][0], names[i][1]);
}

static void end(void)
{
    neighbours_free(neighbours);
    stations_free(stations);
    check(loop->count == 0, "no timer is left");
    ns_store_free(store);
    links_free(links);
    ns_loop_free(loop);
}

/* ---- what must hold ---- */

static size_t in_tree;

static int check_name(const struct ns_entry *entry, void *arg)
{
    const struct ns_entry *iface = arg;
    struct rte_ether_addr mac;
    enum neighbour_value kind;
    rte_be32_t address;
    const struct neighbour *neighbour;

    check(neighbour_parse(ns_entry_value(entry), entry->value_size, &mac, &kind) == 0,
          "a value is well-formed");
    check(link_parse_ipv4(ns_entry_name(entry), entry->name_size, &address) == 0,
          "a name is an address");
    neighbour = neighbour_find(neighbours, links_iface_known(links, ns_entry_name(iface)), address);
    check((neighbour != NULL) == (kind != NEIGHBOUR_VALUE_STATIC),
          "all but static names have an object");
    if (neighbour == NULL)
        return 0;
    check(neighbour->committed, "an object knows of its name");
    check((kind == NEIGHBOUR_VALUE_FAILED) == (neighbour->state == NEIGHBOUR_FAILED),
          "failed is FAILED");
    if (kind == NEIGHBOUR_VALUE_LEARNED)
        check(rte_is_same_ether_addr(&mac, &neighbour->mac),
              "name and object have the same address");
    in_tree++;
    return 0;
}

static int check_iface(const struct ns_entry *entry, void *arg)
{
    (void)arg;
    return ns_entry_each(entry, check_name, (void *)(uintptr_t)entry);
}

static void check_all(void)
{
    const struct ns_entry *root = ns_tree_lookup(ns_store_version(store)->root, "/neigh", 6);
    const struct neighbour *neighbour;
    size_t committed = 0, stale = 0, all = 0;

    in_tree = 0;
    ns_entry_each(root, check_iface, NULL);
    TAILQ_FOREACH (neighbour, &neighbours->all, all) {
        committed += neighbour->committed;
        stale += neighbour->state == NEIGHBOUR_STALE;
        check(ns_timer_running(&neighbour->timer) == (neighbour->state != NEIGHBOUR_STALE),
              "time goes on for each");
        all++;
    }
    check(all == neighbours->table.count, "the table counts right");
    check(all <= neighbours->options.neighbours, "the limit is kept");
    check(committed == in_tree, "each object's name is there");
    check(stale == neighbours->stale_count, "the STALE ones are listed");
    check(stale == 0 || ns_timer_running(&neighbours->stale_tick), "STALE ones are looked at");
}

/* ---- instructions ---- */

static void raw_frame(struct program *program, unsigned port)
{
    uint8_t frame[256];
    size_t size = next(program);

    for (size_t i = 0; i < size; i++)
        frame[i] = next(program);
    neighbours_input(neighbours, (uint16_t)port, frame, size);
}

/* Well-formed, from one of few hosts to one of few. */
static void arp_frame(struct program *program, unsigned port)
{
    uint8_t who = next(program), how = next(program), frame[ARP_FRAME_SIZE];
    uint32_t net = how & 0x40 ? 0x0a010000 : 0x0a000000;
    struct arp_packet packet = {
        .destination = {{how & 1 ? 0xff : 2, 0, 0, 0, 0, 1}},
        .source = {{2, 0, 0, 0, (uint8_t)(how >> 1 & 1), (uint8_t)(who >> 4)}},
        .operation = how & 4 ? RTE_ARP_OP_REPLY : RTE_ARP_OP_REQUEST,
        .sender = rte_cpu_to_be_32(net | (who & 15)),
        .target = rte_cpu_to_be_32(net | (how & 8 ? 1 : who & 15)),
    };

    packet.sender_mac = packet.target_mac = packet.source;
    arp_build(&packet, frame);
    if (how & 0x20)
        frame[how % ARP_FRAME_SIZE] ^= next(program);
    stations_seen(stations, links_bridge_id(links, "br0"), &packet.source, (uint16_t)port);
    neighbours_input(neighbours, (uint16_t)port, frame, sizeof(frame));
}

static void want(struct program *program, unsigned iface)
{
    neighbours_want(neighbours, (uint16_t)iface,
                    rte_cpu_to_be_32(0x0a000000 | (iface == 2) << 16 | (next(program) & 15)));
}

static void advance(struct program *program, unsigned seconds)
{
    used_at = next(program) & 1 ? ns_loop_now(loop) / FAKE_SECOND + seconds : 0;
    fake_loop_advance(loop, seconds * 3 * FAKE_SECOND + next(program) * FAKE_MS);
}

static void as_user(struct program *program, unsigned what)
{
    static const struct ns_identity root = {.privileged = true};
    static const char *const edits[][2] = {
        {"/neigh/i0", NULL},
        {"/neigh/i0/10.0.0.5", "02:00:00:00:00:05 static"},
        {"/neigh/i0/10.0.0.5", NULL},
        {"/iface/i0/mode", "bound"},
        {"/iface/i0/mode", "static"},
        {"/iface/i0/mode", NULL},
        {"/iface/i0/on", "bridge br1"},
        {"/iface/i0/on", "bridge br0"},
        {"/bridge/br0/port/p0", NULL},
        {"/bridge/br0/port/p0", ""},
        {"/iface/i1", NULL},
        {"/iface/i1/on", "port p2"},
        {"/iface/i1/address/10.1.0.1", "24"},
        {"/iface/i0/address/10.0.0.1", NULL},
        {"/iface/i0/address/10.0.0.1", "24"},
        {"/fdb/br0/02:00:00:00:00:05", "p1 static"},
    };

    put(next(program) & 1 ? &ns_identity_stack : &root, edits[what % 16][0], edits[what % 16][1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const instructions[])(struct program *, unsigned) = {
        raw_frame, arp_frame, arp_frame, want, advance, as_user, arp_frame, want};
    struct program program = {data, size};

    begin();
    while (program.left > 0) {
        uint8_t code = next(&program);

        instructions[code & 7](&program, code >> 3 & (code % 8 == 5 ? 15 : 3));
        check_all();
        ns_store_housekeep(store);
        ns_rcu_quiescent();
    }
    end();
    return 0;
}
