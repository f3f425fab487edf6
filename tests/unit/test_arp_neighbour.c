/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Neighbours: resolution and the state machine, every form of announcement, everything that is refused,
 * what users change, and what happens to neighbours when their interface does.
 */
#include "tests/unit/arp_lab.h"
#include "tests/unit/fake_loop.h"

#include "arp/neighbour_p.h"

static struct lab the_lab, *const lab = &the_lab;
static struct ns_loop *loop;
static struct stations *stations;
static struct neighbours *neighbours;
static struct ns_stats *stats;

/* What was sent. */
enum { SENT_MAX = 512 };
static struct sent {
    uint16_t iface;
    struct arp_packet packet;
} sent[SENT_MAX];
static int sent_count;
static uint64_t used_at; /* what the lcores say of each neighbour */

#define OWN        "10.0.0.1"
#define HOST       "10.0.0.5"
#define NEIGH_HOST "/neigh/i0/10.0.0.5"
#define MAC_A      "52:54:00:00:00:0a"
#define MAC_B      "52:54:00:00:00:0b"
#define OWN_MAC    "02:00:00:00:00:aa"
#define EVERYBODY  "ff:ff:ff:ff:ff:ff"
#define ZERO       "00:00:00:00:00:00"

static void send_frame(void *arg, uint16_t iface_id, const void *frame, size_t size)
{
    assert_ptr_equal(arg, lab);
    assert_int_equal(size, ARP_FRAME_SIZE);
    assert_true(sent_count < SENT_MAX);
    assert_int_equal(arp_parse(frame, size, &sent[sent_count].packet), 0);
    sent[sent_count++].iface = iface_id;
}

static uint64_t used(void *arg, uint16_t iface_id, rte_be32_t address)
{
    assert_ptr_equal(arg, lab);
    assert_int_not_equal(iface_id, 0);
    assert_int_not_equal(address, 0);
    return used_at;
}

/* ---- set-up: i0 on a bridge of p0 and p1, i1 on p2 ---- */

static int begin_with(const struct neighbours_options *options)
{
    static const struct neighbours_io io = {.send = send_frame, .used = used, .arg = &the_lab};

    used_at = 0;
    loop = ns_loop_new();
    lab_links_begin(lab);
    assert_int_equal(stations_new(lab->store, loop, lab->links, NULL, NULL, &stations), 0);
    assert_int_equal(
        neighbours_new(lab->store, loop, lab->links, stations, options, &io, &neighbours), 0);
    assert_int_equal(ns_stats_new(lab->store, &stats), 0);
    assert_int_equal(neighbours_stats_add(neighbours, stats), 0);
    lab_port(lab, "p0", 0);
    lab_port(lab, "p1", 1);
    lab_port(lab, "p2", 2);
    assert_done(user(lab, "/bridge/br0/port/p0", "/bridge/br0/port/p1", "/iface/i0/on=bridge br0",
                     "/iface/i0/mac=" OWN_MAC, "/iface/i0/address/" OWN "=24",
                     "/iface/i1/on=port p2", "/iface/i1/address/10.1.0.1=16"));
    fake_loop_advance(loop, 10 * FAKE_SECOND); /* announcements are over */
    assert_int_equal(loop->count, 0);
    sent_count = 0;
    return 0;
}

static int begin(void **state)
{
    (void)state;
    return begin_with(NULL);
}

static int begin_small(void **state)
{
    static const struct neighbours_options options = {.neighbours = 3};

    (void)state;
    return begin_with(&options);
}

static int end(void **state)
{
    (void)state;
    neighbours_free(neighbours);
    stations_free(stations);
    assert_int_equal(loop->count, 0); /* no timer is left behind */
    ns_store_free(lab->store);
    links_free(lab->links);
    ns_stats_free(stats);
    ns_loop_free(loop);
    return 0;
}

/* ---- helpers ---- */

static rte_be32_t ipv4(const char *text)
{
    rte_be32_t address;

    assert_int_equal(link_parse_ipv4(text, strlen(text), &address), 0);
    return address;
}

static struct rte_ether_addr mac(const char *text)
{
    struct rte_ether_addr parsed;

    assert_int_equal(link_parse_mac(text, strlen(text), &parsed), 0);
    return parsed;
}

static uint16_t iface_id(const char *name)
{
    return links_iface_known(lab->links, name);
}

/* Let an ARP packet come in. */
static int input(uint16_t port, uint16_t operation, const char *destination, const char *sender_mac,
                 const char *sender, const char *target_mac, const char *target)
{
    const struct arp_packet packet = {.destination = mac(destination),
                                      .source = mac(sender_mac),
                                      .operation = operation,
                                      .sender_mac = mac(sender_mac),
                                      .sender = ipv4(sender),
                                      .target_mac = mac(target_mac),
                                      .target = ipv4(target)};
    uint8_t frame[ARP_FRAME_SIZE];

    arp_build(&packet, frame);
    return neighbours_input(neighbours, port, frame, sizeof(frame));
}

static int request(uint16_t port, const char *sender_mac, const char *sender, const char *target)
{
    return input(port, RTE_ARP_OP_REQUEST, EVERYBODY, sender_mac, sender, ZERO, target);
}

static int reply(uint16_t port, const char *sender_mac, const char *sender)
{
    return input(port, RTE_ARP_OP_REPLY, OWN_MAC, sender_mac, sender, OWN_MAC, OWN);
}

static int refusal(enum neighbour_refusal reason)
{
    return -1 - (int)reason;
}

static const char *state_of(const char *iface, const char *address)
{
    enum neighbour_state state;
    uint64_t age;

    if (!neighbours_state(neighbours, iface_id(iface), ipv4(address), &state, &age))
        return "(none)";
    return neighbour_state_name(state);
}

static int want(const char *iface, const char *address)
{
    return neighbours_want(neighbours, iface_id(iface), ipv4(address));
}

static struct neighbours_counters counters(void)
{
    struct neighbours_counters out;

    neighbours_counters(neighbours, &out);
    return out;
}

static uint64_t commits(void)
{
    return ns_store_version(lab->store)->number;
}

/* HOST is known with MAC_A, REACHABLE, because it has answered. */
static void make_reachable(void)
{
    assert_int_equal(want("i0", HOST), 0);
    assert_int_equal(reply(0, MAC_A, HOST), 0);
    assert_string_equal(state_of("i0", HOST), "REACHABLE");
    assert_string_equal(lab_value(lab, NEIGH_HOST), MAC_A " learned");
    sent_count = 0;
}

static void make_stale(void)
{
    make_reachable();
    fake_loop_advance(loop, 45 * FAKE_SECOND);
    assert_string_equal(state_of("i0", HOST), "STALE");
    assert_int_equal(sent_count, 0);
}

static void assert_mac(const struct rte_ether_addr *is, const char *should)
{
    char text[18];

    assert_string_equal(link_format_mac(is, text), should);
}

static void assert_sent(int index, uint16_t operation, const char *destination, const char *sender,
                        const char *target_mac, const char *target)
{
    const struct arp_packet *packet = &sent[index].packet;

    assert_true(index < sent_count);
    assert_int_equal(packet->operation, operation);
    assert_mac(&packet->destination, destination);
    assert_mac(&packet->target_mac, target_mac);
    assert_int_equal(packet->sender, ipv4(sender));
    assert_int_equal(packet->target, ipv4(target));
    assert_true(rte_is_same_ether_addr(&packet->source, &packet->sender_mac));
}

/* ---- packets ---- */

static void frames_are_built_as_rfc_826_says(void **state)
{
    static const uint8_t right[ARP_FRAME_SIZE] = {
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x52, 0x54, 0,    0,    0,  0xa, 0x08, 0x06,
        0,    1,    0x08, 0,    6,    4,    0,    1,    0x52, 0x54, 0,  0,   0,    0xa,
        10,   0,    0,    5,    0,    0,    0,    0,    0,    0,    10, 0,   0,    1};
    const struct arp_packet packet = {.destination = mac(EVERYBODY),
                                      .source = mac(MAC_A),
                                      .operation = 1,
                                      .sender_mac = mac(MAC_A),
                                      .sender = ipv4(HOST),
                                      .target = ipv4(OWN)};
    uint8_t frame[ARP_FRAME_SIZE];
    struct arp_packet parsed;

    (void)state;
    arp_build(&packet, frame);
    assert_memory_equal(frame, right, sizeof(right));
    assert_int_equal(arp_parse(frame, 42, &parsed), 0);
    assert_int_equal(arp_parse(frame, 41, &parsed), -EINVAL);
    assert_false(parsed.reverse);
    assert_int_equal(parsed.sender, ipv4(HOST));
}

static void malformed_packets_are_refused(void **state)
{
    /* hardware type, protocol, lengths, operation, ethertype: none of them may be another */
    static const struct {
        int at;
        uint8_t value;
    } wrong[] = {{15, 6}, {14, 1}, {16, 0x86}, {17, 1}, {18, 8}, {19, 16},
                 {21, 0}, {21, 3}, {21, 8},    {20, 1}, {13, 0}};
    const struct arp_packet packet = {.destination = mac(EVERYBODY),
                                      .source = mac(MAC_A),
                                      .operation = 1,
                                      .sender_mac = mac(MAC_A),
                                      .sender = ipv4(HOST),
                                      .target = ipv4(OWN)};
    uint8_t frame[ARP_FRAME_SIZE];

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        arp_build(&packet, frame);
        frame[wrong[i].at] = wrong[i].value;
        assert_int_equal(neighbours_input(neighbours, 0, frame, sizeof(frame)),
                         refusal(NEIGHBOUR_MALFORMED));
    }
    for (size_t size = 0; size < 42; size++) {
        arp_build(&packet, frame);
        assert_int_equal(neighbours_input(neighbours, 0, frame, size),
                         refusal(NEIGHBOUR_MALFORMED));
    }
    assert_int_equal(neighbours_refused(neighbours, NEIGHBOUR_MALFORMED),
                     sizeof(wrong) / sizeof(wrong[0]) + 42);
    assert_int_equal(neighbours_count(neighbours), 0);
    assert_int_equal(sent_count, 0);
}

static void rarp_touches_no_neighbour(void **state)
{
    const struct arp_packet packet = {.destination = mac(EVERYBODY),
                                      .source = mac(MAC_B),
                                      .operation = 3,
                                      .sender_mac = mac(MAC_B),
                                      .target_mac = mac(MAC_B)};
    uint8_t frame[ARP_FRAME_SIZE];
    uint64_t before;

    (void)state;
    make_reachable();
    before = commits();
    arp_build(&packet, frame);
    frame[12] = 0x80;
    frame[13] = 0x35;
    assert_int_equal(neighbours_input(neighbours, 1, frame, sizeof(frame)), 0);
    assert_int_equal(counters().rarp_in, 1);
    frame[21] = 1; /* an operation that RARP does not have */
    assert_int_equal(neighbours_input(neighbours, 1, frame, sizeof(frame)),
                     refusal(NEIGHBOUR_MALFORMED));
    assert_int_equal(commits(), before);
    assert_int_equal(sent_count, 0);
}

/* ---- resolution ---- */

static void an_answer_makes_it_reachable(void **state)
{
    uint64_t before = commits(), requests = counters().requests_out;

    (void)state;
    assert_int_equal(want("i0", HOST), 0);
    assert_string_equal(state_of("i0", HOST), "INCOMPLETE");
    assert_string_equal(lab_value(lab, NEIGH_HOST), "(none)");
    assert_int_equal(sent_count, 1);
    assert_sent(0, RTE_ARP_OP_REQUEST, EVERYBODY, OWN, ZERO, HOST);
    assert_mac(&sent[0].packet.source, OWN_MAC);
    assert_int_equal(sent[0].iface, iface_id("i0"));
    assert_int_equal(want("i0", HOST), 0); /* under way */
    assert_int_equal(sent_count, 1);
    assert_int_equal(commits(), before);

    assert_int_equal(reply(1, MAC_A, HOST), 0);
    assert_string_equal(lab_value(lab, NEIGH_HOST), MAC_A " learned");
    assert_string_equal(state_of("i0", HOST), "REACHABLE");
    assert_int_equal(commits(), before + 1);
    assert_int_equal(want("i0", HOST), 0);
    assert_int_equal(sent_count, 1);
    assert_int_equal(counters().learned, 1);
    assert_int_equal(counters().requests_out, requests + 1);
    assert_int_equal(counters().replies_in, 1);
}

static void requests_are_repeated_with_back_off_until_it_has_failed(void **state)
{
    uint64_t before = commits();

    (void)state;
    assert_int_equal(want("i0", HOST), 0);
    fake_loop_advance(loop, 999 * FAKE_MS);
    assert_int_equal(sent_count, 1);
    fake_loop_advance(loop, FAKE_MS);
    assert_int_equal(sent_count, 2);
    fake_loop_advance(loop, 1999 * FAKE_MS);
    assert_int_equal(sent_count, 2);
    fake_loop_advance(loop, FAKE_MS);
    assert_int_equal(sent_count, 3);
    fake_loop_advance(loop, 3999 * FAKE_MS);
    assert_string_equal(state_of("i0", HOST), "INCOMPLETE");
    assert_int_equal(commits(), before);
    fake_loop_advance(loop, FAKE_MS);
    assert_string_equal(state_of("i0", HOST), "FAILED");
    assert_string_equal(lab_value(lab, NEIGH_HOST), "failed");
    assert_int_equal(sent_count, 3);
    assert_int_equal(counters().failed, 1);
    assert_int_equal(want("i0", HOST), -EHOSTUNREACH);

    /* It is forgotten, so that the next packet starts again. */
    fake_loop_advance(loop, 999 * FAKE_MS);
    assert_string_equal(lab_value(lab, NEIGH_HOST), "failed");
    fake_loop_advance(loop, FAKE_MS);
    assert_string_equal(lab_value(lab, NEIGH_HOST), "(none)");
    assert_string_equal(state_of("i0", HOST), "(none)");
    assert_int_equal(commits(), before + 2);
    assert_int_equal(want("i0", HOST), 0);
    assert_int_equal(sent_count, 4);
}

static void the_asking_address_is_of_the_subnet(void **state)
{
    (void)state;
    assert_done(user(lab, "/iface/i0/address/192.0.2.1=24", "/iface/i0/address/10.9.0.1=24"));
    fake_loop_advance(loop, 10 * FAKE_SECOND);
    sent_count = 0;
    assert_int_equal(want("i0", "192.0.2.7"), 0);
    assert_sent(0, RTE_ARP_OP_REQUEST, EVERYBODY, "192.0.2.1", ZERO, "192.0.2.7");
    assert_int_equal(want("i0", "203.0.113.7"), 0); /* of no subnet: a route has sent us there */
    assert_sent(1, RTE_ARP_OP_REQUEST, EVERYBODY, OWN, ZERO, "203.0.113.7");
    assert_int_equal(input(0, RTE_ARP_OP_REPLY, OWN_MAC, MAC_A, "203.0.113.7", OWN_MAC, OWN), 0);
    assert_string_equal(state_of("i0", "203.0.113.7"), "REACHABLE");
}

static void what_cannot_be_wanted(void **state)
{
    (void)state;
    assert_int_equal(want("i0", OWN), -EHOSTUNREACH);
    assert_int_equal(want("i0", "224.0.0.1"), -EHOSTUNREACH);
    assert_int_equal(want("i0", "255.255.255.255"), -EHOSTUNREACH);
    assert_int_equal(neighbours_want(neighbours, 999, ipv4(HOST)), -ENETUNREACH);
    assert_done(
        user(lab, "/iface/i8/on=port p8", "/iface/i8/address/10.8.0.1=24", "/iface/i9/on=port p9"));
    assert_int_equal(want("i8", "10.8.0.2"), -ENETUNREACH); /* on nothing */
    assert_int_equal(want("i9", "10.8.0.2"), -ENETUNREACH); /* no address */
    assert_int_equal(neighbours_count(neighbours), 0);
    assert_int_equal(sent_count, 0);
}

/* ---- the state machine ---- */

static void reachable_ages_to_stale_within_bounds(void **state)
{
    uint64_t before;

    (void)state;
    make_reachable();
    before = commits();
    fake_loop_advance(loop, 15 * FAKE_SECOND - FAKE_MS);
    assert_string_equal(state_of("i0", HOST), "REACHABLE");
    fake_loop_advance(loop, 30 * FAKE_SECOND + 2 * FAKE_MS);
    assert_string_equal(state_of("i0", HOST), "STALE");
    assert_int_equal(commits(), before);
    assert_int_equal(sent_count, 0);
}

static void an_answer_keeps_it_reachable(void **state)
{
    (void)state;
    make_reachable();
    for (int i = 0; i < 10; i++) {
        fake_loop_advance(loop, 14 * FAKE_SECOND);
        assert_int_equal(reply(0, MAC_A, HOST), 0);
        assert_string_equal(state_of("i0", HOST), "REACHABLE");
    }
    assert_int_equal(counters().learned, 1);
}

static void a_stale_one_in_use_is_probed(void **state)
{
    uint64_t before;

    (void)state;
    make_stale();
    before = commits();
    used_at = ns_loop_now(loop) / FAKE_SECOND + 1;
    fake_loop_advance(loop, 1000 * FAKE_MS);
    assert_string_equal(state_of("i0", HOST), "DELAY");
    assert_int_equal(sent_count, 0);
    fake_loop_advance(loop, 5 * FAKE_SECOND);
    assert_string_equal(state_of("i0", HOST), "PROBE");
    assert_int_equal(sent_count, 1);
    assert_sent(0, RTE_ARP_OP_REQUEST, MAC_A, OWN, ZERO, HOST); /* unicast */
    assert_int_equal(reply(0, MAC_A, HOST), 0);
    assert_string_equal(state_of("i0", HOST), "REACHABLE");
    assert_int_equal(commits(), before); /* nothing that others decide by has changed */
}

static void what_was_sent_before_it_became_stale_is_no_use(void **state)
{
    (void)state;
    used_at = ns_loop_now(loop) / FAKE_SECOND + 1;
    make_stale();
    fake_loop_advance(loop, 10 * FAKE_SECOND);
    assert_string_equal(state_of("i0", HOST), "STALE");
    assert_int_equal(sent_count, 0);
}

static void a_probe_without_answer_fails(void **state)
{
    (void)state;
    make_stale();
    assert_int_equal(want("i0", HOST), 0); /* that is use, too */
    assert_string_equal(state_of("i0", HOST), "DELAY");
    fake_loop_advance(loop, 5 * FAKE_SECOND);
    assert_int_equal(sent_count, 1);
    fake_loop_advance(loop, 2 * FAKE_SECOND);
    assert_int_equal(sent_count, 3);
    assert_string_equal(state_of("i0", HOST), "PROBE");
    assert_string_equal(lab_value(lab, NEIGH_HOST), MAC_A " learned"); /* goes on forwarding */
    fake_loop_advance(loop, 7 * FAKE_SECOND); /* broadcast requests after 3, 4 and 6 seconds */
    assert_int_equal(sent_count, 6);
    assert_sent(2, RTE_ARP_OP_REQUEST, MAC_A, OWN, ZERO, HOST);
    assert_sent(3, RTE_ARP_OP_REQUEST, EVERYBODY, OWN, ZERO, HOST);
    assert_sent(5, RTE_ARP_OP_REQUEST, EVERYBODY, OWN, ZERO, HOST);
    assert_string_equal(state_of("i0", HOST), "PROBE");
    fake_loop_advance(loop, 1 * FAKE_SECOND);
    assert_string_equal(state_of("i0", HOST), "FAILED");
    assert_string_equal(lab_value(lab, NEIGH_HOST), "failed");
    fake_loop_advance(loop, 1 * FAKE_SECOND);
    assert_string_equal(lab_value(lab, NEIGH_HOST), "(none)");
    assert_int_equal(want("i0", HOST), 0); /* asked again */
    assert_string_equal(state_of("i0", HOST), "INCOMPLETE");
}

/* It has moved to another MAC address and told nobody: only a broadcast reaches it. */
static void an_unannounced_move_is_found_before_it_fails(void **state)
{
    (void)state;
    make_stale();
    assert_int_equal(want("i0", HOST), 0);
    fake_loop_advance(loop, 8 * FAKE_SECOND);
    assert_sent(3, RTE_ARP_OP_REQUEST, EVERYBODY, OWN, ZERO, HOST);
    assert_int_equal(reply(0, MAC_B, HOST), 0);
    assert_string_equal(state_of("i0", HOST), "REACHABLE");
    assert_string_equal(lab_value(lab, NEIGH_HOST), MAC_B " learned");
    assert_int_equal(counters().failed, 0);
}

static void an_answer_while_delayed_needs_no_probe(void **state)
{
    (void)state;
    make_stale();
    assert_int_equal(want("i0", HOST), 0);
    assert_int_equal(reply(0, MAC_A, HOST), 0);
    assert_string_equal(state_of("i0", HOST), "REACHABLE");
    fake_loop_advance(loop, 10 * FAKE_SECOND);
    assert_int_equal(sent_count, 0);
}

static void an_unused_stale_one_is_forgotten(void **state)
{
    (void)state;
    make_stale();
    fake_loop_advance(loop, 70 * FAKE_SECOND);
    assert_string_equal(state_of("i0", HOST), "(none)");
    assert_string_equal(lab_value(lab, NEIGH_HOST), "(none)");
    assert_int_equal(sent_count, 0);
    assert_int_equal(loop->count, 0); /* no tick without a STALE one */
}

static void many_stale_ones_are_all_looked_at(void **state)
{
    char address[32];

    (void)state;
    for (int i = 0; i < 500; i++) {
        snprintf(address, sizeof(address), "10.1.%d.%d", 1 + i / 250, 1 + i % 250);
        assert_int_equal(request(2, MAC_A, address, "10.1.0.1"), 0);
        assert_string_equal(state_of("i1", address), "STALE");
    }
    assert_int_equal(neighbours_count(neighbours), 500);
    sent_count = 0;
    used_at = ns_loop_now(loop) / FAKE_SECOND + 1;
    fake_loop_advance(loop, 5 * FAKE_SECOND); /* not all in the first tick */
    for (int i = 0; i < 500; i += 100) {
        snprintf(address, sizeof(address), "10.1.%d.%d", 1 + i / 250, 1 + i % 250);
        assert_string_not_equal(state_of("i1", address), "STALE");
    }
}

/* ---- announcements ---- */

/* Each form of announcement, of a neighbour that is known. */
static const struct announcement_form {
    const char *name;
    uint16_t operation;
    const char *destination, *target_mac, *target;
} forms[] = {
    {"gratuitous request, target zero", RTE_ARP_OP_REQUEST, EVERYBODY, ZERO, HOST},
    {"gratuitous request, target broadcast", RTE_ARP_OP_REQUEST, EVERYBODY, EVERYBODY, HOST},
    {"gratuitous reply", RTE_ARP_OP_REPLY, EVERYBODY, EVERYBODY, HOST},
    {"gratuitous reply with its own MAC as target", RTE_ARP_OP_REPLY, EVERYBODY, MAC_B, HOST},
    {"gratuitous reply to us alone", RTE_ARP_OP_REPLY, OWN_MAC, OWN_MAC, HOST},
    {"request to us", RTE_ARP_OP_REQUEST, EVERYBODY, ZERO, OWN},
    {"unicast request to us", RTE_ARP_OP_REQUEST, OWN_MAC, ZERO, OWN},
    {"reply to us that nobody asked for", RTE_ARP_OP_REPLY, OWN_MAC, OWN_MAC, OWN},
    {"request to somebody else", RTE_ARP_OP_REQUEST, EVERYBODY, ZERO, "10.0.0.77"},
};
enum { FORMS = sizeof(forms) / sizeof(forms[0]) };

static int announce(const struct announcement_form *form, uint16_t port, const char *sender_mac)
{
    return input(port, form->operation, form->destination, sender_mac, HOST, form->target_mac,
                 form->target);
}

static void every_announcement_is_followed(void **state)
{
    (void)state;
    for (int i = 0; i < FORMS; i++) {
        uint64_t before;

        assert_done(user(lab, "-/neigh/i0"));
        make_reachable();
        before = commits();
        assert_int_equal(announce(&forms[i], 1, MAC_B), 0);
        if (strcmp(lab_value(lab, NEIGH_HOST), MAC_B " learned") != 0)
            fail_msg("not followed: %s", forms[i].name);
        assert_int_equal(commits(), before + 1);
        assert_string_equal(state_of("i0", HOST),
                            "STALE"); /* what nobody asked for is probed when used */
    }
    assert_int_equal(counters().moved, FORMS);
}

static void two_moves_at_once_both_count(void **state)
{
    (void)state;
    make_reachable();
    for (int i = 0; i < 100; i++) {
        assert_int_equal(announce(&forms[i % FORMS], 1, i & 1 ? MAC_A : MAC_B), 0);
        assert_string_equal(lab_value(lab, NEIGH_HOST),
                            i & 1 ? MAC_A " learned" : MAC_B " learned");
    }
    assert_int_equal(counters().moved, 100);
}

static void an_announcement_in_any_state_is_followed(void **state)
{
    static const struct {
        const char *state;
        int seconds; /* after it was found STALE and used */
    } ages[] = {{"DELAY", 1}, {"PROBE", 6}, {"FAILED", 15}};

    (void)state;
    for (size_t i = 0; i < sizeof(ages) / sizeof(ages[0]); i++) {
        make_stale();
        assert_int_equal(want("i0", HOST), 0);
        fake_loop_advance(loop, (uint64_t)ages[i].seconds * FAKE_SECOND);
        assert_string_equal(state_of("i0", HOST), ages[i].state);
        assert_int_equal(announce(&forms[0], 1, MAC_B), 0);
        assert_string_equal(state_of("i0", HOST), "STALE");
        assert_string_equal(lab_value(lab, NEIGH_HOST), MAC_B " learned");
        assert_done(user(lab, "-/neigh/i0"));
    }
}

static void one_that_is_being_resolved_may_announce_itself(void **state)
{
    (void)state;
    assert_int_equal(want("i0", HOST), 0);
    assert_int_equal(announce(&forms[0], 0, MAC_A), 0);
    assert_string_equal(state_of("i0", HOST), "STALE");
    assert_string_equal(lab_value(lab, NEIGH_HOST), MAC_A " learned");
    fake_loop_advance(loop, 10 * FAKE_SECOND);
    assert_int_equal(sent_count, 1); /* no more requests */
}

/* The age is that of its last word, whatever state has been entered since. */
static void the_age_is_since_it_was_heard(void **state)
{
    enum neighbour_state now;
    uint64_t age;

    (void)state;
    make_reachable();
    fake_loop_advance(loop, 60 * FAKE_SECOND);
    assert_true(neighbours_state(neighbours, iface_id("i0"), ipv4(HOST), &now, &age));
    assert_int_equal(now, NEIGHBOUR_STALE);
    assert_int_equal(age, 60000);
    assert_int_equal(announce(&forms[0], 0, MAC_A), 0); /* no other state, but a word */
    fake_loop_advance(loop, 2 * FAKE_SECOND);
    assert_true(neighbours_state(neighbours, iface_id("i0"), ipv4(HOST), &now, &age));
    assert_int_equal(age, 2000);
}

static void the_same_again_changes_nothing(void **state)
{
    uint64_t before;

    (void)state;
    make_stale();
    before = commits();
    for (int i = 0; i < FORMS; i++)
        assert_int_equal(announce(&forms[i], 0, MAC_A), 0);
    assert_int_equal(commits(), before);
    assert_string_equal(lab_value(lab, NEIGH_HOST), MAC_A " learned");
    assert_int_equal(counters().moved, 0);
}

static void strangers_are_learned_only_if_they_talk_to_us(void **state)
{
    (void)state;
    for (int i = 0; i < FORMS; i++) {
        bool to_us = strcmp(forms[i].target, OWN) == 0;

        assert_int_equal(announce(&forms[i], 0, MAC_A), 0);
        assert_string_equal(lab_value(lab, NEIGH_HOST), to_us ? MAC_A " learned" : "(none)");
        assert_string_equal(state_of("i0", HOST), to_us ? "STALE" : "(none)");
        assert_done(user(lab, "-/neigh/i0"));
    }
}

static void an_announcement_after_the_station_is_one_commit(void **state)
{
    const struct rte_ether_addr moved = mac(MAC_A);
    uint64_t before;

    (void)state;
    make_reachable();
    assert_int_equal(stations_seen(stations, links_bridge_id(lab->links, "br0"), &moved, 0), 0);
    before = commits();
    assert_int_equal(stations_seen(stations, links_bridge_id(lab->links, "br0"), &moved, 1), 0);
    assert_int_equal(announce(&forms[0], 1, MAC_A), 0);
    assert_int_equal(commits(), before + 1); /* same MAC: only the station has moved */
    assert_int_equal(announce(&forms[0], 1, MAC_B), 0);
    assert_int_equal(commits(), before + 2);
}

/* ---- answering ---- */

static void requests_for_us_are_answered(void **state)
{
    (void)state;
    assert_int_equal(request(0, MAC_A, HOST, OWN), 0);
    assert_int_equal(sent_count, 1);
    assert_sent(0, RTE_ARP_OP_REPLY, MAC_A, OWN, MAC_A, HOST);
    assert_mac(&sent[0].packet.sender_mac, OWN_MAC);
    assert_int_equal(counters().replies_out, 1);
    assert_int_equal(counters().requests_in, 1);
    assert_int_equal(request(0, MAC_A, HOST, "10.0.0.2"), 0);
    assert_int_equal(request(0, MAC_A, HOST, "10.1.0.1"), 0); /* i1's address */
    assert_int_equal(request(2, MAC_A, "10.1.0.5", OWN), 0);  /* asked at i1 */
    assert_int_equal(reply(0, MAC_A, HOST), 0);
    assert_int_equal(sent_count, 1);
}

static void a_probe_for_a_duplicate_is_answered_and_teaches_nothing(void **state)
{
    (void)state;
    assert_int_equal(request(0, MAC_A, "0.0.0.0", OWN), 0);
    assert_int_equal(sent_count, 1);
    assert_sent(0, RTE_ARP_OP_REPLY, MAC_A, OWN, MAC_A, "0.0.0.0");
    assert_int_equal(request(0, MAC_A, "0.0.0.0", HOST), 0);
    assert_int_equal(sent_count, 1);
    assert_int_equal(neighbours_count(neighbours), 0);
    assert_int_equal(reply(0, MAC_A, "0.0.0.0"), refusal(NEIGHBOUR_MALFORMED));
}

static void ports_without_an_interface_are_nobody(void **state)
{
    (void)state;
    assert_done(user(lab, "-/iface/i0"));
    assert_int_equal(request(0, MAC_A, HOST, OWN), 0);
    assert_int_equal(request(17, MAC_A, HOST, OWN), 0);
    assert_int_equal(sent_count, 0);
    assert_int_equal(neighbours_count(neighbours), 0);
}

/* ---- refusals ---- */

static void bad_mac_addresses_are_refused(void **state)
{
    struct arp_packet packet = {.destination = mac(EVERYBODY),
                                .source = mac(MAC_A),
                                .operation = 1,
                                .sender_mac = mac(MAC_B),
                                .sender = ipv4(HOST),
                                .target = ipv4(OWN)};
    uint8_t frame[ARP_FRAME_SIZE];

    (void)state;
    make_reachable();
    arp_build(&packet, frame);
    assert_int_equal(neighbours_input(neighbours, 0, frame, sizeof(frame)),
                     refusal(NEIGHBOUR_BAD_MAC));
    assert_int_equal(request(0, ZERO, HOST, OWN), refusal(NEIGHBOUR_BAD_MAC));
    assert_int_equal(request(0, EVERYBODY, HOST, OWN), refusal(NEIGHBOUR_BAD_MAC));
    assert_int_equal(request(0, "01:00:5e:00:00:01", HOST, OWN), refusal(NEIGHBOUR_BAD_MAC));
    assert_int_equal(neighbours_refused(neighbours, NEIGHBOUR_BAD_MAC), 4);
    assert_int_equal(request(0, OWN_MAC, HOST, OWN), refusal(NEIGHBOUR_OWN_MAC));
    assert_int_equal(neighbours_refused(neighbours, NEIGHBOUR_OWN_MAC), 1);
    assert_string_equal(lab_value(lab, NEIGH_HOST), MAC_A " learned");
    assert_int_equal(sent_count, 0);
}

static void our_own_address_is_defended(void **state)
{
    uint64_t before = commits();

    (void)state;
    assert_int_equal(request(0, MAC_B, OWN, OWN), refusal(NEIGHBOUR_OWN_ADDRESS));
    assert_int_equal(sent_count, 1);
    assert_sent(0, RTE_ARP_OP_REQUEST, EVERYBODY, OWN, ZERO, OWN);
    for (int i = 0; i < 50; i++)
        assert_int_equal(input(0, RTE_ARP_OP_REPLY, EVERYBODY, MAC_B, OWN, EVERYBODY, OWN),
                         refusal(NEIGHBOUR_OWN_ADDRESS));
    assert_int_equal(sent_count, 1); /* RFC 5227: not more often than in ten seconds */
    fake_loop_advance(loop, 10 * FAKE_SECOND);
    assert_int_equal(request(0, MAC_B, OWN, HOST), refusal(NEIGHBOUR_OWN_ADDRESS));
    assert_int_equal(sent_count, 2);
    assert_int_equal(neighbours_refused(neighbours, NEIGHBOUR_OWN_ADDRESS), 52);
    assert_int_equal(commits(), before);
    assert_string_equal(lab_value(lab, "/neigh/i0/" OWN), "(none)");
}

static void wrong_subnets_and_interfaces_are_refused(void **state)
{
    (void)state;
    make_reachable();
    assert_int_equal(request(0, MAC_A, "192.0.2.5", OWN), refusal(NEIGHBOUR_WRONG_SUBNET));
    assert_int_equal(request(0, MAC_A, "10.0.0.0", OWN), refusal(NEIGHBOUR_WRONG_SUBNET));
    assert_int_equal(request(0, MAC_A, "10.0.0.255", OWN), refusal(NEIGHBOUR_WRONG_SUBNET));
    assert_int_equal(request(2, MAC_B, HOST, "10.1.0.1"),
                     refusal(NEIGHBOUR_WRONG_SUBNET)); /* i0's, at i1 */
    assert_int_equal(neighbours_refused(neighbours, NEIGHBOUR_WRONG_SUBNET), 4);
    assert_string_equal(lab_value(lab, NEIGH_HOST), MAC_A " learned");
    assert_int_equal(sent_count, 0);
    assert_int_equal(neighbours_count(neighbours), 1);
}

static void static_neighbours_stay(void **state)
{
    uint64_t before;

    (void)state;
    assert_done(user(lab, NEIGH_HOST "=" MAC_A " static"));
    before = commits();
    for (int i = 0; i < FORMS; i++) {
        assert_int_equal(announce(&forms[i], 0, MAC_B), refusal(NEIGHBOUR_IS_STATIC));
        assert_int_equal(announce(&forms[i], 0, MAC_A), 0);
    }
    assert_int_equal(neighbours_refused(neighbours, NEIGHBOUR_IS_STATIC), FORMS);
    assert_int_equal(commits(), before);
    assert_string_equal(lab_value(lab, NEIGH_HOST), MAC_A " static");
    assert_string_equal(state_of("i0", HOST), "PERMANENT");
    assert_int_equal(want("i0", HOST), 0);
    assert_int_equal(sent_count,
                     2); /* it asked twice for us; the one who pretended got no answer */
    assert_int_equal(neighbours_count(neighbours), 0);
}

static void mode_bound_takes_only_what_is_configured(void **state)
{
    uint64_t before;

    (void)state;
    assert_done(user(lab, "/iface/i0/mode=bound", NEIGH_HOST "=" MAC_A " static"));
    before = commits();
    assert_int_equal(request(0, MAC_A, HOST, OWN), 0);
    assert_int_equal(request(1, MAC_A, HOST, OWN), 0);
    assert_int_equal(sent_count, 2);
    assert_int_equal(request(0, MAC_B, HOST, OWN), refusal(NEIGHBOUR_NOT_BOUND));
    assert_int_equal(request(0, MAC_A, "10.0.0.6", OWN), refusal(NEIGHBOUR_NOT_BOUND));
    assert_int_equal(commits(), before);
    assert_int_equal(sent_count, 2);

    assert_done(user(lab, "/fdb/br0/" MAC_A "=p0 static"));
    assert_int_equal(request(0, MAC_A, HOST, OWN), 0);
    assert_int_equal(request(1, MAC_A, HOST, OWN), refusal(NEIGHBOUR_NOT_BOUND));
    assert_int_equal(neighbours_refused(neighbours, NEIGHBOUR_NOT_BOUND), 3);

    assert_int_equal(want("i0", "10.0.0.6"),
                     -EHOSTUNREACH); /* nothing that comes could be believed */
    assert_string_equal(lab_value(lab, "/neigh/i0/10.0.0.6"), "failed");
    assert_int_equal(reply(0, MAC_A, "10.0.0.6"), refusal(NEIGHBOUR_NOT_BOUND));
    assert_done(user(lab, "/neigh/i0/10.0.0.6=" MAC_A " static"));
    assert_int_equal(want("i0", "10.0.0.6"), 0);
}

static void mode_bound_on_a_port_knows_its_port(void **state)
{
    (void)state;
    assert_done(user(lab, "/iface/i1/mode=bound", "/neigh/i1/10.1.0.5=" MAC_A " static"));
    assert_int_equal(request(2, MAC_A, "10.1.0.5", "10.1.0.1"), 0);
    assert_int_equal(request(2, MAC_B, "10.1.0.5", "10.1.0.1"), refusal(NEIGHBOUR_NOT_BOUND));
}

static void mode_static_answers_and_learns_nothing(void **state)
{
    uint64_t before;

    (void)state;
    assert_done(user(lab, "/iface/i0/mode=static", "/neigh/i0/10.0.0.6=" MAC_A " static"));
    before = commits();
    assert_int_equal(request(0, MAC_A, HOST, OWN), refusal(NEIGHBOUR_MODE_STATIC));
    assert_int_equal(sent_count, 1);
    assert_sent(0, RTE_ARP_OP_REPLY, MAC_A, OWN, MAC_A, HOST);
    assert_int_equal(request(0, MAC_A, HOST, "10.0.0.77"), 0); /* would not have taught anything */
    assert_int_equal(request(0, MAC_B, "10.0.0.6", OWN), refusal(NEIGHBOUR_IS_STATIC));
    assert_int_equal(request(0, MAC_A, "10.0.0.6", OWN), 0);
    assert_int_equal(neighbours_refused(neighbours, NEIGHBOUR_MODE_STATIC), 1);
    assert_int_equal(commits(), before);

    sent_count = 0;
    assert_int_equal(want("i0", HOST), -EHOSTUNREACH);
    assert_string_equal(lab_value(lab, NEIGH_HOST), "failed");
    assert_int_equal(sent_count, 0);
    fake_loop_advance(loop, 3 * FAKE_SECOND);
    assert_string_equal(lab_value(lab, NEIGH_HOST), "(none)");
}

static void no_more_are_learned_than_fit(void **state)
{
    (void)state;
    assert_int_equal(want("i0", "10.0.0.10"), 0);
    assert_int_equal(want("i0", "10.0.0.11"), 0);
    assert_int_equal(want("i0", "10.0.0.12"), 0);
    assert_int_equal(want("i0", "10.0.0.13"), -ENOSPC);
    sent_count = 0;
    assert_int_equal(request(0, MAC_A, HOST, OWN), refusal(NEIGHBOUR_FULL));
    assert_int_equal(neighbours_refused(neighbours, NEIGHBOUR_FULL), 1);
    assert_int_equal(sent_count, 1);                   /* answered all the same */
    assert_int_equal(reply(0, MAC_A, "10.0.0.12"), 0); /* one that has its place */
    fake_loop_advance(loop, 10 * FAKE_SECOND + FAKE_MS);
    assert_int_equal(neighbours_count(neighbours), 1);
    assert_int_equal(request(0, MAC_A, HOST, OWN), 0);
}

static void strangers_make_room_for_one_that_is_wanted(void **state)
{
    (void)state;
    assert_int_equal(request(0, MAC_A, "10.0.0.10", OWN), 0);
    fake_loop_advance(loop, 1500 * FAKE_MS);
    assert_int_equal(request(0, MAC_A, "10.0.0.11", OWN), 0);
    assert_int_equal(request(0, MAC_A, "10.0.0.12", OWN), 0);
    assert_int_equal(want("i0", HOST), 0);
    assert_int_equal(neighbours_count(neighbours), 3);
    assert_string_equal(state_of("i0", HOST), "INCOMPLETE");
    used_at = ns_loop_now(loop) / FAKE_SECOND + 1; /* all are in use: none is thrown out */
    assert_int_equal(want("i0", "10.0.0.6"), -ENOSPC);
}

/* ---- names ---- */

static void values_are_judged(void **state)
{
    static const struct {
        const char *change, *path, *says;
        int error;
    } wrong[] = {
        {"/neigh=x", "/neigh", "its value is empty", EINVAL},
        {"-/neigh", "/neigh", "can't be removed", EPERM},
        {"/neigh/i0=x", "/neigh/i0", "its value is empty", EINVAL},
        {"/neigh/i:0", "/neigh/i:0", "not a name for an interface", EINVAL},
        {NEIGH_HOST "=", NEIGH_HOST, "'MAC static'", EINVAL},
        {NEIGH_HOST "=" MAC_A, NEIGH_HOST, "'MAC static'", EINVAL},
        {NEIGH_HOST "=" MAC_A "  static", NEIGH_HOST, "'MAC static'", EINVAL},
        {NEIGH_HOST "=" MAC_A "_static", NEIGH_HOST, "'MAC static'", EINVAL},
        {NEIGH_HOST "=52:54:00:00:00 static", NEIGH_HOST, "'MAC static'", EINVAL},
        {NEIGH_HOST "=52:54:00:00:00:xx static", NEIGH_HOST, "'MAC static'", EINVAL},
        {NEIGH_HOST "=" ZERO " static", NEIGH_HOST, "unicast", EINVAL},
        {NEIGH_HOST "=" EVERYBODY " static", NEIGH_HOST, "unicast", EINVAL},
        {NEIGH_HOST "=" MAC_A " learned", NEIGH_HOST, "only the stack says what it has learned",
         EPERM},
        {NEIGH_HOST "=failed", NEIGH_HOST, "only the stack says what has failed", EPERM},
        {"/neigh/i0/10.0.0.05=" MAC_A " static", "/neigh/i0/10.0.0.05", "not an IPv4 address",
         EINVAL},
        {"/neigh/i0/host=" MAC_A " static", "/neigh/i0/host", "not an IPv4 address", EINVAL},
        {"/neigh/i0/224.0.0.1=" MAC_A " static", "/neigh/i0/224.0.0.1",
         "can't be the address of a host", EINVAL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_refused(user(lab, wrong[i].change), wrong[i].error, wrong[i].path, wrong[i].says);
    assert_done(
        user(lab, "/neigh/i7/10.7.0.1=52:54:00:00:00:0A static")); /* of an interface to come */
    assert_refused(user(lab, "/neigh/i7/10.7.0.1/x=1"), EINVAL, "/neigh/i7/10.7.0.1/x",
                   "nothing stands below");
    assert_refused(stack(lab, NEIGH_HOST "=x"), EINVAL, NEIGH_HOST, "'MAC static'");
}

static void users_take_over_what_was_learned(void **state)
{
    (void)state;
    make_reachable();
    assert_done(user(lab, NEIGH_HOST "=" MAC_B " static"));
    assert_string_equal(state_of("i0", HOST), "PERMANENT");
    assert_int_equal(neighbours_count(neighbours), 0);
    fake_loop_advance(loop, 1000 * FAKE_SECOND);
    assert_string_equal(lab_value(lab, NEIGH_HOST), MAC_B " static");
    assert_done(user(lab, "-" NEIGH_HOST));
    assert_string_equal(state_of("i0", HOST), "(none)");
    make_reachable();
}

static void users_end_a_resolution_by_a_static_neighbour(void **state)
{
    (void)state;
    assert_int_equal(want("i0", HOST), 0);
    assert_done(user(lab, NEIGH_HOST "=" MAC_A " static"));
    fake_loop_advance(loop, 100 * FAKE_SECOND);
    assert_int_equal(sent_count, 1);
    assert_string_equal(lab_value(lab, NEIGH_HOST), MAC_A " static");
}

static void users_may_remove_what_was_learned(void **state)
{
    (void)state;
    make_reachable();
    assert_done(user(lab, "-" NEIGH_HOST));
    assert_int_equal(neighbours_count(neighbours), 0);
    assert_int_equal(want("i0", HOST), 0); /* found again on demand */
    assert_int_equal(sent_count, 1);
    assert_int_equal(reply(0, MAC_B, HOST), 0);
    assert_string_equal(lab_value(lab, NEIGH_HOST), MAC_B " learned");
    assert_done(user(lab, "-/neigh/i0"));
    assert_int_equal(neighbours_count(neighbours), 0);
    assert_string_equal(state_of("i0", HOST), "(none)");
}

static void a_failed_one_may_be_removed_by_users(void **state)
{
    (void)state;
    assert_int_equal(want("i0", HOST), 0);
    fake_loop_advance(loop, 7 * FAKE_SECOND);
    assert_string_equal(lab_value(lab, NEIGH_HOST), "failed");
    assert_done(user(lab, "-" NEIGH_HOST));
    assert_int_equal(want("i0", HOST), 0);
    assert_string_equal(state_of("i0", HOST), "INCOMPLETE");
}

/* ---- interfaces ---- */

static void neighbours_go_with_their_interface(void **state)
{
    static const char *const changes[][2] = {
        {"-/iface/i0", NULL},
        {"/iface/i0/on=bridge br1", NULL},
        {"/iface/i0/on=port p7", NULL},
        {"-/iface/i0/on", NULL},
        {"-/bridge/br0", NULL},
        {"/iface/i0/mode=static", NULL},
        {"/iface/i0/mode=bound", NULL},
        {"-/iface/i0/address/" OWN, NULL},
        {"-/iface/i0/address/" OWN, "/iface/i0/address/10.9.0.1=24"},
        {"/iface/i0/address/" HOST "=24", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        uint64_t before;

        make_reachable();
        assert_int_equal(want("i0", "10.0.0.6"), 0);
        assert_int_equal(request(2, MAC_A, "10.1.0.5", "10.1.0.1"), 0);
        before = commits();
        assert_done(user(lab, changes[i][0], changes[i][1]));
        assert_int_equal(commits(), before + 2); /* theirs, and one for all neighbours */
        if (strcmp(lab_value(lab, NEIGH_HOST), "(none)") != 0 ||
            strcmp(state_of("i0", HOST), "(none)") != 0)
            fail_msg("still there after %s", changes[i][0]);
        assert_string_equal(lab_value(lab, "/neigh/i1/10.1.0.5"), MAC_A " learned");
        assert_done(user(lab, "-/iface/i0", "-/neigh/i0"));
        assert_done(user(lab, "/bridge/br0/port/p0", "/bridge/br0/port/p1",
                         "/iface/i0/on=bridge br0", "/iface/i0/mac=" OWN_MAC,
                         "/iface/i0/address/" OWN "=24"));
        fake_loop_advance(loop, 10 * FAKE_SECOND);
    }
}

static void static_ones_wait_for_their_interface(void **state)
{
    (void)state;
    assert_done(user(lab, NEIGH_HOST "=" MAC_A " static"));
    assert_done(user(lab, "-/iface/i0"));
    assert_string_equal(lab_value(lab, NEIGH_HOST), MAC_A " static");
    assert_done(user(lab, "-" NEIGH_HOST));
    assert_string_equal(lab_value(lab, "/neigh/i0"), "");
    assert_done(user(lab, "/iface/i0/on=bridge br0"));
    assert_done(user(lab, "-/iface/i0"));
    assert_string_equal(lab_value(lab, "/neigh/i0"), "(none)"); /* nothing was left in it */
}

/* Judged together with the rest of the change; outside every subnet it waits, or serves a route to the interface. */
static void the_own_address_is_no_neighbour(void **state)
{
    (void)state;
    assert_refused(user(lab, "/neigh/i0/" OWN "=" MAC_A " static"), EINVAL, "/neigh/i0/" OWN,
                   "is the address of the interface itself");
    assert_refused(
        user(lab, "/neigh/i0/10.9.0.1=" MAC_A " static", "/iface/i0/address/10.9.0.1=24"), EINVAL,
        "/neigh/i0/10.9.0.1", "another host");
    assert_done(user(lab, "/neigh/i0/10.9.0.1=" MAC_A " static"));
    assert_done(user(lab, "-/iface/i0/address/" OWN, "/neigh/i0/" OWN "=" MAC_A " static"));
}

static void other_changes_of_an_interface_keep_neighbours(void **state)
{
    (void)state;
    make_reachable();
    assert_done(user(lab, "/iface/i0/mac=02:00:00:00:00:bb", "/iface/i0/address/10.9.0.1=24",
                     "/port/p0/mtu=1400"));
    assert_done(stack(lab, "/port/p0/link=down", "/port/p1/link=down"));
    assert_done(user(lab, "-/iface/i1"));
    assert_string_equal(lab_value(lab, NEIGH_HOST), MAC_A " learned");
    assert_string_equal(state_of("i0", HOST), "REACHABLE");
}

static void a_pulled_cable_takes_neighbours_away(void **state)
{
    (void)state;
    make_reachable();
    assert_int_equal(request(2, MAC_A, "10.1.0.5", "10.1.0.1"), 0);
    assert_string_equal(lab_value(lab, "/neigh/i1/10.1.0.5"), MAC_A " learned");
    assert_done(stack(lab, "/port/p2/link=down"));
    assert_string_equal(lab_value(lab, "/neigh/i1/10.1.0.5"), "(none)");
    assert_string_equal(lab_value(lab, NEIGH_HOST), MAC_A " learned"); /* behind a bridge */
}

/* ---- announcing ourselves ---- */

static void new_addresses_are_announced_twice(void **state)
{
    (void)state;
    assert_done(user(lab, "/iface/i0/address/10.9.0.1=24"));
    assert_int_equal(sent_count, 2);
    assert_sent(0, RTE_ARP_OP_REQUEST, EVERYBODY, OWN, ZERO, OWN);
    assert_sent(1, RTE_ARP_OP_REQUEST, EVERYBODY, "10.9.0.1", ZERO, "10.9.0.1");
    fake_loop_advance(loop, 2 * FAKE_SECOND);
    assert_int_equal(sent_count, 4);
    fake_loop_advance(loop, 100 * FAKE_SECOND);
    assert_int_equal(sent_count, 4);
}

static void a_link_that_comes_up_is_announced_to(void **state)
{
    (void)state;
    assert_done(stack(lab, "/port/p2/link=down"));
    assert_int_equal(sent_count, 0);
    assert_done(user(lab, "/iface/i1/address/10.7.0.1=24")); /* nobody would hear it */
    assert_int_equal(sent_count, 0);
    assert_done(stack(lab, "/port/p2/link=up"));
    assert_int_equal(sent_count, 2);
    assert_int_equal(sent[0].iface, iface_id("i1"));
    fake_loop_advance(loop, 10 * FAKE_SECOND);
    sent_count = 0;
    assert_done(stack(lab, "/port/p1/link=down"));
    assert_int_equal(sent_count, 0);
    assert_done(stack(lab, "/port/p1/link=up")); /* one of two ports of a bridge */
    assert_int_equal(sent_count, 1);
    assert_int_equal(sent[0].iface, iface_id("i0"));
}

static void a_new_mac_address_is_announced(void **state)
{
    (void)state;
    assert_done(user(lab, "/iface/i0/mac=02:00:00:00:00:bb"));
    assert_int_equal(sent_count, 1);
    assert_mac(&sent[0].packet.sender_mac, "02:00:00:00:00:bb");
    assert_done(user(lab, "-/iface/i0")); /* before the second one */
    fake_loop_advance(loop, 10 * FAKE_SECOND);
    assert_int_equal(sent_count, 1);
}

static void anybody_may_have_it_announced(void **state)
{
    (void)state;
    neighbours_announce(neighbours, iface_id("i1"));
    neighbours_announce(neighbours, iface_id("i1"));
    assert_int_equal(sent_count, 2);
    fake_loop_advance(loop, 10 * FAKE_SECOND);
    assert_int_equal(sent_count, 3);
    neighbours_announce(neighbours, 999); /* nobody */
    assert_int_equal(sent_count, 3);
}

/* ---- computed names ---- */

static void states_and_counters_are_names(void **state)
{
    (void)state;
    assert_int_equal(want("i0", "10.0.0.6"), 0);
    make_reachable();
    assert_done(
        user(lab, "/neigh/i0/10.0.0.10=" MAC_B " static", "/neigh/i7/10.7.0.1=" MAC_B " static"));
    assert_int_equal(request(2, MAC_A, "10.1.0.5", "10.1.0.1"), 0);
    assert_int_equal(request(2, MAC_A, "10.2.0.5", "10.1.0.1"), refusal(NEIGHBOUR_WRONG_SUBNET));
    fake_loop_advance(loop, 1500 * FAKE_MS);
    assert_string_equal(ask(lab, "/stats/neigh", true), "i0 i1 i7");
    assert_string_equal(ask(lab, "/stats/neigh/i0", true), "10.0.0.10 10.0.0.5 10.0.0.6");
    assert_string_equal(ask(lab, "/stats/neigh/i9", true), "");
    assert_string_equal(ask(lab, "/stats/neigh/i0/10.0.0.5", true), "");
    assert_string_equal(ask(lab, "/stats/neigh/i0/10.0.0.5", false), "REACHABLE 1500 " MAC_A);
    assert_string_equal(ask(lab, "/stats/neigh/i0/10.0.0.6", false), "INCOMPLETE 1500 -");
    assert_string_equal(ask(lab, "/stats/neigh/i0/10.0.0.10", false), "PERMANENT 0 " MAC_B);
    assert_string_equal(ask(lab, "/stats/neigh/i7/10.7.0.1", false), "PERMANENT 0 " MAC_B);
    assert_string_equal(ask(lab, "/stats/neigh/i1/10.1.0.5", false), "STALE 1500 " MAC_A);
    assert_string_equal(ask(lab, "/stats/neigh/i0/10.0.0.7", false), strerror(ENOENT));
    assert_string_equal(ask(lab, "/stats/neigh/i0/x", false), strerror(ENOENT));
    assert_string_equal(ask(lab, "/stats/neigh/i0", false), "");
    assert_string_equal(ask(lab, "/stats/neighbours", true),
                        "entries failed learned moved rarp_in refused replies_in replies_out "
                        "requests_in requests_out");
    assert_string_equal(
        ask(lab, "/stats/neighbours/refused", true),
        "bad_mac full is_static malformed mode_static not_bound own_address own_mac wrong_subnet");
    assert_string_equal(ask(lab, "/stats/neighbours/refused/wrong_subnet", false), "1");
    assert_string_equal(ask(lab, "/stats/neighbours/entries", false), "3");
    assert_string_equal(ask(lab, "/stats/neighbours/learned", false), "2");
}

#define TEST(name)       cmocka_unit_test_setup_teardown(name, begin, end)
#define TEST_SMALL(name) cmocka_unit_test_setup_teardown(name, begin_small, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_are_built_as_rfc_826_says),
        TEST(malformed_packets_are_refused),
        TEST(rarp_touches_no_neighbour),
        TEST(an_answer_makes_it_reachable),
        TEST(requests_are_repeated_with_back_off_until_it_has_failed),
        TEST(the_asking_address_is_of_the_subnet),
        TEST(what_cannot_be_wanted),
        TEST(reachable_ages_to_stale_within_bounds),
        TEST(an_answer_keeps_it_reachable),
        TEST(a_stale_one_in_use_is_probed),
        TEST(what_was_sent_before_it_became_stale_is_no_use),
        TEST(a_probe_without_answer_fails),
        TEST(an_unannounced_move_is_found_before_it_fails),
        TEST(the_age_is_since_it_was_heard),
        TEST(an_answer_while_delayed_needs_no_probe),
        TEST(an_unused_stale_one_is_forgotten),
        TEST(many_stale_ones_are_all_looked_at),
        TEST(every_announcement_is_followed),
        TEST(two_moves_at_once_both_count),
        TEST(an_announcement_in_any_state_is_followed),
        TEST(one_that_is_being_resolved_may_announce_itself),
        TEST(the_same_again_changes_nothing),
        TEST(strangers_are_learned_only_if_they_talk_to_us),
        TEST(an_announcement_after_the_station_is_one_commit),
        TEST(requests_for_us_are_answered),
        TEST(a_probe_for_a_duplicate_is_answered_and_teaches_nothing),
        TEST(ports_without_an_interface_are_nobody),
        TEST(bad_mac_addresses_are_refused),
        TEST(our_own_address_is_defended),
        TEST(wrong_subnets_and_interfaces_are_refused),
        TEST(static_neighbours_stay),
        TEST(mode_bound_takes_only_what_is_configured),
        TEST(mode_bound_on_a_port_knows_its_port),
        TEST(mode_static_answers_and_learns_nothing),
        TEST_SMALL(no_more_are_learned_than_fit),
        TEST_SMALL(strangers_make_room_for_one_that_is_wanted),
        TEST(values_are_judged),
        TEST(users_take_over_what_was_learned),
        TEST(users_end_a_resolution_by_a_static_neighbour),
        TEST(users_may_remove_what_was_learned),
        TEST(a_failed_one_may_be_removed_by_users),
        TEST(neighbours_go_with_their_interface),
        TEST(static_ones_wait_for_their_interface),
        TEST(the_own_address_is_no_neighbour),
        TEST(other_changes_of_an_interface_keep_neighbours),
        TEST(a_pulled_cable_takes_neighbours_away),
        TEST(new_addresses_are_announced_twice),
        TEST(a_link_that_comes_up_is_announced_to),
        TEST(a_new_mac_address_is_announced),
        TEST(anybody_may_have_it_announced),
        TEST(states_and_counters_are_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
