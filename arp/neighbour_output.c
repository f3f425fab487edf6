/* SPDX-License-Identifier: BSD-3-Clause */
/* The ARP packets that neighbours send: requests, probes, answers, announcements. */
#include <stdlib.h>
#include <string.h>

#include "arp/neighbour_p.h"

static const struct rte_ether_addr everybody = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};

static void send(struct neighbours *neighbours, const struct link_iface *iface,
                 const struct arp_packet *packet)
{
    uint8_t frame[ARP_FRAME_SIZE];

    arp_build(packet, frame);
    if (packet->operation == RTE_ARP_OP_REQUEST)
        neighbours->counters.requests_out++;
    else
        neighbours->counters.replies_out++;
    neighbours->io.send(neighbours->io.arg, iface->id, frame, sizeof(frame));
}

/* The own address to ask from: that of the neighbour's subnet, else the first. */
static rte_be32_t source_for(const struct link_iface *iface, rte_be32_t address)
{
    const struct link_address *own = link_subnet(iface, address);

    return own != NULL ? own->address : iface->addresses[0].address;
}

void neighbour_solicit(struct neighbour *neighbour, const struct rte_ether_addr *to)
{
    struct neighbours *neighbours = neighbour->owner;
    const struct link_iface *iface =
        links_iface_by_id(neighbours_links(neighbours), neighbour->iface);
    struct arp_packet packet = {.operation = RTE_ARP_OP_REQUEST, .target = neighbour->address};

    if (iface == NULL || iface->address_count == 0)
        return;
    packet.destination = to != NULL ? *to : everybody;
    packet.source = packet.sender_mac = iface->mac;
    packet.sender = source_for(iface, neighbour->address);
    send(neighbours, iface, &packet);
}

void neighbours_answer(struct neighbours *neighbours, const struct link_iface *iface,
                       const struct arp_packet *request)
{
    const struct arp_packet packet = {
        .destination = request->sender_mac,
        .source = iface->mac,
        .operation = RTE_ARP_OP_REPLY,
        .sender_mac = iface->mac,
        .sender = request->target,
        .target_mac = request->sender_mac,
        .target = request->sender,
    };

    send(neighbours, iface, &packet);
}

/* RFC 5227 section 2.3: a request whose sender and target are the same address. */
static void announce(struct neighbours *neighbours, const struct link_iface *iface,
                     rte_be32_t address)
{
    const struct arp_packet packet = {
        .destination = everybody,
        .source = iface->mac,
        .operation = RTE_ARP_OP_REQUEST,
        .sender_mac = iface->mac,
        .sender = address,
        .target = address,
    };

    send(neighbours, iface, &packet);
}

/* ---- defending, RFC 5227 section 2.4(c) ---- */

static struct defence *defence_of(struct neighbours *neighbours, uint16_t iface_id,
                                  rte_be32_t address)
{
    struct defence *defence;

    for (unsigned i = 0; i < DEFENDED_MAX; i++)
        if (neighbours->defences[i].iface == iface_id && neighbours->defences[i].address == address)
            return &neighbours->defences[i];
    defence = &neighbours->defences[neighbours->next_defence++ % DEFENDED_MAX];
    *defence = (struct defence){.iface = iface_id, .address = address};
    return defence;
}

void neighbours_defend(struct neighbours *neighbours, const struct link_iface *iface,
                       rte_be32_t address)
{
    struct defence *defence = defence_of(neighbours, iface->id, address);
    uint64_t now = ns_loop_now(neighbours->loop);

    if (defence->when != 0 && now - defence->when < DEFEND_INTERVAL * NEIGHBOUR_SECOND)
        return;
    defence->when = now;
    announce(neighbours, iface, address);
}

/* ---- announcing ---- */

static void end(struct announcement *announcement)
{
    ns_timer_stop(announcement->owner->loop, &announcement->timer);
    LIST_REMOVE(announcement, entry);
    free(announcement);
}

/* Announce all addresses, and once more later, in case a frame is lost. */
static void announce_all(struct announcement *announcement)
{
    struct neighbours *neighbours = announcement->owner;
    const struct link_iface *iface =
        links_iface_by_id(neighbours_links(neighbours), announcement->iface);

    for (uint16_t i = 0; iface != NULL && i < iface->address_count; i++)
        announce(neighbours, iface, iface->addresses[i].address);
    announcement->left--;
    if (iface == NULL || announcement->left == 0 ||
        ns_timer_start(neighbours->loop, &announcement->timer,
                       ANNOUNCE_INTERVAL * NEIGHBOUR_SECOND) != 0)
        end(announcement);
}

static void announce_again(struct ns_timer *timer)
{
    announce_all((struct announcement *)((char *)timer - offsetof(struct announcement, timer)));
}

void neighbours_announce(struct neighbours *neighbours, uint16_t iface_id)
{
    struct announcement *announcement;

    LIST_FOREACH (announcement, &neighbours->announcements, entry)
        if (announcement->iface == iface_id)
            break;
    if (announcement == NULL) {
        announcement = calloc(1, sizeof(*announcement));
        if (announcement == NULL)
            return;
        announcement->owner = neighbours;
        announcement->iface = iface_id;
        announcement->timer.fn = announce_again;
        LIST_INSERT_HEAD(&neighbours->announcements, announcement, entry);
    }
    announcement->left = ANNOUNCE_NUM;
    announce_all(announcement);
}

void neighbours_announcements_free(struct neighbours *neighbours)
{
    struct announcement *announcement, *following;

    for (announcement = LIST_FIRST(&neighbours->announcements); announcement != NULL;
         announcement = following) {
        following = LIST_NEXT(announcement, entry);
        end(announcement);
    }
}
