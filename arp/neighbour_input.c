/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What an ARP packet means (RFC 826, RFC 5227), and whether it is believed.
 *
 *   1. Is it well-formed, and sent by whom it says? Is its sender one who can be on this interface?
 *   2. What may it change, by the interface's mode and by what is configured?
 *   3. Learn or follow, in one commit; then answer, if it asks for us.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "arp/judge.h"
#include "arp/neighbour_p.h"

static const char *const refusal_names[] = {
    [NEIGHBOUR_MALFORMED] = "malformed",
    [NEIGHBOUR_BAD_MAC] = "bad_mac",
    [NEIGHBOUR_OWN_ADDRESS] = "own_address",
    [NEIGHBOUR_OWN_MAC] = "own_mac",
    [NEIGHBOUR_WRONG_SUBNET] = "wrong_subnet",
    [NEIGHBOUR_IS_STATIC] = "is_static",
    [NEIGHBOUR_NOT_BOUND] = "not_bound",
    [NEIGHBOUR_MODE_STATIC] = "mode_static",
    [NEIGHBOUR_FULL] = "full",
};

const char *neighbour_refusal_name(enum neighbour_refusal refusal)
{
    return refusal_names[refusal];
}

/* What a packet is judged by. */
struct input {
    struct neighbours *neighbours;
    const struct links *links;
    const struct link_port *port;
    const struct link_iface *iface;
    struct arp_packet packet;
};

enum { ACCEPTED = 0, NOTHING_NEW = 1 }; /* beside enum neighbour_refusal as -1 - refusal */

static int refuse(struct input *input, enum neighbour_refusal refusal)
{
    struct neighbours *neighbours = input->neighbours;
    char address[16], mac[18];

    neighbours->refused[refusal]++;
    ns_log_limited(&neighbours->refusal_limits[refusal], NS_LOG_WARNING,
                   "interface %s: ARP from port %s refused, %s: it says %s is at %s",
                   input->iface->name, input->port->name, refusal_names[refusal],
                   link_format_ipv4(input->packet.sender, address),
                   link_format_mac(&input->packet.sender_mac, mac));
    return -1 - (int)refusal;
}

/* A frame that no interface can be named for. */
static int refuse_frame(struct neighbours *neighbours, uint16_t port_id,
                        enum neighbour_refusal refusal)
{
    neighbours->refused[refusal]++;
    ns_log_limited(&neighbours->refusal_limits[refusal], NS_LOG_WARNING,
                   "ARP from device %u refused, %s", port_id, refusal_names[refusal]);
    return -1 - (int)refusal;
}

/* ---- who sends ---- */

/* The address of a subnet itself, or its broadcast address. */
static bool is_reserved(const struct link_address *subnet, rte_be32_t address)
{
    rte_be32_t host = ~link_mask(subnet->prefix_length);

    return subnet->prefix_length <= 30 && ((address & host) == 0 || (address & host) == host);
}

/* Can this address be a neighbour's on the interface? One outside of its subnets can if a route made us ask
 * for it (a route to an interface without a next hop). */
static bool is_on_link(const struct input *input)
{
    const struct link_address *subnet = link_subnet(input->iface, input->packet.sender);

    if (subnet != NULL)
        return !is_reserved(subnet, input->packet.sender);
    return neighbour_find(input->neighbours, input->iface->id, input->packet.sender) != NULL;
}

static int judge_sender(struct input *input)
{
    const struct arp_packet *packet = &input->packet;

    if (!mac_is_unicast(&packet->sender_mac) ||
        !rte_is_same_ether_addr(&packet->sender_mac, &packet->source))
        return refuse(input, NEIGHBOUR_BAD_MAC);
    if (rte_is_same_ether_addr(&packet->sender_mac, &input->iface->mac))
        return refuse(input, NEIGHBOUR_OWN_MAC);
    if (packet->sender == 0)
        return packet->operation == RTE_ARP_OP_REQUEST ? ACCEPTED
                                                       : refuse(input, NEIGHBOUR_MALFORMED);
    if (link_own_address(input->iface, packet->sender)) {
        neighbours_defend(input->neighbours, input->iface, packet->sender);
        return refuse(input, NEIGHBOUR_OWN_ADDRESS);
    }
    return is_on_link(input) ? ACCEPTED : refuse(input, NEIGHBOUR_WRONG_SUBNET);
}

/* ---- what it may change ---- */

static bool asks_or_answers_us(const struct input *input)
{
    return link_own_address(input->iface, input->packet.target);
}

/* Mode bound: the address, the MAC and the port must be as configured. */
static bool is_bound(const struct input *input, bool is_static, const struct rte_ether_addr *mac)
{
    char port[LINK_NAME_MAX];

    if (!is_static || !rte_is_same_ether_addr(mac, &input->packet.sender_mac))
        return false;
    if (input->iface->bridge == LINK_NO_ID)
        return true;
    return !station_static(input->neighbours->stations,
                           input->links->bridges[input->iface->bridge].name, mac, port) ||
           strcmp(port, input->port->name) == 0;
}

/* ACCEPTED: it may be learned. NOTHING_NEW: it is as configured, or does not concern us. Or a refusal. */
static int judge_change(struct input *input)
{
    struct rte_ether_addr mac;
    enum neighbour_value kind;
    bool is_static = neighbour_look_up(input->neighbours, input->iface->name, input->packet.sender,
                                       &mac, &kind) &&
                     kind == NEIGHBOUR_VALUE_STATIC;

    if (input->iface->mode == LINK_BOUND)
        return is_bound(input, is_static, &mac) ? NOTHING_NEW : refuse(input, NEIGHBOUR_NOT_BOUND);
    if (is_static && !rte_is_same_ether_addr(&mac, &input->packet.sender_mac))
        return refuse(input, NEIGHBOUR_IS_STATIC);
    if (is_static)
        return NOTHING_NEW;
    if (input->iface->mode == LINK_FOLLOW)
        return ACCEPTED;
    return asks_or_answers_us(input) ? refuse(input, NEIGHBOUR_MODE_STATIC) : NOTHING_NEW;
}

/* ---- learning ---- */

static int commit_mac(const struct input *input, struct neighbour *neighbour)
{
    char text[18], value[32];

    snprintf(value, sizeof(value), "%s learned", link_format_mac(&input->packet.sender_mac, text));
    return neighbour_commit(neighbour, value);
}

static void log_move(const struct input *input, const struct neighbour *neighbour)
{
    char address[16], from[18], to[18];

    ns_log_limited(
        &input->neighbours->moves, NS_LOG_NOTICE, "neighbour %s on %s moved from %s to %s",
        link_format_ipv4(neighbour->address, address), input->iface->name,
        link_format_mac(&neighbour->mac, from), link_format_mac(&input->packet.sender_mac, to));
}

/* An answer to what we asked: a reply, to us alone. */
static bool is_answer(const struct input *input)
{
    return input->packet.operation == RTE_ARP_OP_REPLY && asks_or_answers_us(input) &&
           rte_is_same_ether_addr(&input->packet.destination, &input->iface->mac);
}

static bool has_mac(const struct neighbour *neighbour)
{
    return neighbour->state != NEIGHBOUR_INCOMPLETE && neighbour->state != NEIGHBOUR_FAILED;
}

/* It has another MAC address than we knew, or had none: one commit, and then it is what it says. What
 * nobody has asked for is used at once, but STALE: it will be probed if it is used. */
static int follow(struct input *input, struct neighbour *neighbour)
{
    struct neighbours *neighbours = input->neighbours;
    bool asked = neighbour->state == NEIGHBOUR_INCOMPLETE || neighbour->state == NEIGHBOUR_PROBE;
    bool moved = has_mac(neighbour);

    if (moved)
        log_move(input, neighbour);
    if (commit_mac(input, neighbour) != 0)
        return refuse(input, NEIGHBOUR_FULL);
    neighbour = neighbour_find(neighbours, input->iface->id, input->packet.sender);
    if (neighbour == NULL)
        return ACCEPTED; /* somebody made it static, or removed it, in answer to the commit */
    neighbour->mac = input->packet.sender_mac;
    neighbour->heard = ns_loop_now(neighbours->loop);
    neighbours->counters.learned += !moved;
    neighbours->counters.moved += moved;
    neighbour_enter(neighbour, asked && is_answer(input) ? NEIGHBOUR_REACHABLE : NEIGHBOUR_STALE);
    return ACCEPTED;
}

static int learn_new(struct input *input)
{
    struct neighbours *neighbours = input->neighbours;
    struct neighbour *neighbour = neighbour_add(neighbours, input->iface->id, input->packet.sender);

    if (neighbour == NULL)
        return refuse(input, NEIGHBOUR_FULL);
    if (commit_mac(input, neighbour) != 0) {
        neighbour_drop(neighbour_find(neighbours, input->iface->id, input->packet.sender));
        return refuse(input, NEIGHBOUR_FULL);
    }
    neighbour = neighbour_find(neighbours, input->iface->id, input->packet.sender);
    neighbours->counters.learned++;
    if (neighbour == NULL)
        return ACCEPTED;
    neighbour->mac = input->packet.sender_mac;
    neighbour_enter(neighbour, NEIGHBOUR_STALE);
    return ACCEPTED;
}

static int learn(struct input *input)
{
    struct neighbour *neighbour =
        neighbour_find(input->neighbours, input->iface->id, input->packet.sender);

    if (neighbour == NULL)
        return asks_or_answers_us(input) ? learn_new(input) : NOTHING_NEW;
    if (!has_mac(neighbour) || !rte_is_same_ether_addr(&neighbour->mac, &input->packet.sender_mac))
        return follow(input, neighbour);
    neighbour->heard = ns_loop_now(input->neighbours->loop);
    if (is_answer(input))
        neighbour_enter(neighbour, NEIGHBOUR_REACHABLE);
    return ACCEPTED;
}

/* ---- all of it ---- */

static bool asks_us(const struct input *input)
{
    return input->packet.operation == RTE_ARP_OP_REQUEST && asks_or_answers_us(input);
}

/* One that is refused because nothing can be learned is answered all the same; one that is not believed
 * is not. */
static bool deserves_answer(int verdict)
{
    return verdict >= 0 || verdict == -1 - NEIGHBOUR_MODE_STATIC || verdict == -1 - NEIGHBOUR_FULL;
}

static int take(struct input *input)
{
    int verdict = judge_sender(input);

    /* A probe for a duplicate address (RFC 5227 section 2.1.1) has no sender: it teaches nothing. */
    if (verdict == ACCEPTED && input->packet.sender != 0) {
        verdict = judge_change(input);
        if (verdict == ACCEPTED)
            verdict = learn(input);
    }
    /* Look the interface up again: a commit has made a new version, and its hooks may have done more. */
    input->links = neighbours_links(input->neighbours);
    input->iface = links_iface_by_id(input->links, input->iface->id);
    if (input->iface != NULL && deserves_answer(verdict) && asks_us(input))
        neighbours_answer(input->neighbours, input->iface, &input->packet);
    return verdict < 0 ? verdict : 0;
}

int neighbours_input(struct neighbours *neighbours, uint16_t port_id, const void *frame,
                     size_t size)
{
    struct input input = {.neighbours = neighbours, .links = neighbours_links(neighbours)};

    if (arp_parse(frame, size, &input.packet) != 0)
        return refuse_frame(neighbours, port_id, NEIGHBOUR_MALFORMED);
    if (input.packet.reverse) {
        neighbours->counters.rarp_in++;
        return 0; /* its source station has been told already, and it says nothing else */
    }
    if (input.packet.operation == RTE_ARP_OP_REQUEST)
        neighbours->counters.requests_in++;
    else
        neighbours->counters.replies_in++;
    input.port = links_port_by_id(input.links, port_id);
    input.iface = input.port == NULL ? NULL : links_iface_of_port(input.links, input.port);
    return input.iface == NULL ? 0 : take(&input);
}
