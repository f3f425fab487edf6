/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ICMP for IPv4, as a router speaks it (RFC 792; RFC 1122 section 3.2.2; RFC 1812 section 4.3): answers to
 * echo requests, and errors about packets that can't go on.
 *
 * Errors are limited by a token bucket (RFC 1812 section 4.3.2.8), whose tokens are TSC cycles. They come
 * from the address of the interface that the packet came in by, so that traceroute shows the way there.
 */
#include "dataplane/worker_p.h"

enum {
    TOS_INTERNET_CONTROL = 0xc0, /* precedence 6 (RFC 1812 section 4.3.2.5) */
    ICMP_MTU_OFFSET = 6,
    ICMP_CHECKSUM_OFFSET = 2,
};

/* ---- what an error looks like ---- */

static bool is_icmp_query(uint8_t type)
{
    enum { ECHO_REPLY = 0, ECHO = 8, TIMESTAMP = 13, TIMESTAMP_REPLY = 14 };

    return type == ECHO_REPLY || type == ECHO || type == TIMESTAMP || type == TIMESTAMP_REPLY;
}

bool icmp_may_answer(const struct rte_ipv4_hdr *about, uint32_t head)
{
    uint32_t header = packet_header_size(about);

    if (about->fragment_offset & RTE_BE16(RTE_IPV4_HDR_OFFSET_MASK))
        return false;
    if (packet_source_is_martian(about->src_addr) || packet_address_is_multicast(about->dst_addr) ||
        packet_address_is_special(about->dst_addr))
        return false;
    if (about->next_proto_id != IPPROTO_ICMP)
        return true;
    return head > header && is_icmp_query(((const uint8_t *)about)[header]);
}

static void write_ip(struct rte_ipv4_hdr *ip, const struct icmp_error *error, rte_be32_t to,
                     uint32_t total)
{
    *ip = (struct rte_ipv4_hdr){
        .version_ihl = PACKET_IPV4_LIKELY,
        .type_of_service = TOS_INTERNET_CONTROL,
        .total_length = rte_cpu_to_be_16((uint16_t)total),
        .packet_id = rte_cpu_to_be_16(error->id),
        .time_to_live = PACKET_TTL,
        .next_proto_id = IPPROTO_ICMP,
        .src_addr = error->source,
        .dst_addr = to,
    };
    packet_set_checksum(ip);
}

uint32_t icmp_write_error(void *out, const struct icmp_error *error,
                          const struct rte_ipv4_hdr *about, uint32_t head)
{
    uint32_t quoted = RTE_MIN(head, (uint32_t)rte_be_to_cpu_16(about->total_length));
    uint8_t *icmp = (uint8_t *)out + PACKET_IPV4_MIN;
    rte_be16_t mtu = rte_cpu_to_be_16(error->mtu);
    uint16_t checksum;

    quoted = RTE_MIN(quoted, (uint32_t)(ICMP_ERROR_MAX - PACKET_IPV4_MIN - PACKET_ICMP_HEADER));
    memset(icmp, 0, PACKET_ICMP_HEADER);
    icmp[0] = error->type;
    icmp[1] = error->code;
    memcpy(icmp + ICMP_MTU_OFFSET, &mtu, sizeof(mtu));
    memcpy(icmp + PACKET_ICMP_HEADER, about, quoted);
    checksum = (uint16_t)~rte_raw_cksum(icmp, PACKET_ICMP_HEADER + quoted);
    memcpy(icmp + ICMP_CHECKSUM_OFFSET, &checksum, sizeof(checksum));
    write_ip(out, error, about->src_addr, PACKET_IPV4_MIN + PACKET_ICMP_HEADER + quoted);
    return PACKET_IPV4_MIN + PACKET_ICMP_HEADER + quoted;
}

/* ---- sending one ---- */

/* The broadcast address of one of the interface's subnets, or the subnet's own (RFC 1812 section
 * 4.2.2.11). Prefixes of 31 and 32 bits have none (RFC 3021). */
static bool is_subnet_broadcast(const struct link_iface *iface, rte_be32_t address)
{
    const struct link_address *own = link_subnet(iface, address);
    rte_be32_t mask = own ? route_mask(own->prefix_length) : 0;

    return own != NULL && own->prefix_length < 31 &&
           ((address & ~mask) == 0 || (address | mask) == UINT32_MAX);
}

/* Our address on the interface: that of the source's subnet if there is one. 0: it has none. */
static rte_be32_t source_for(const struct link_iface *iface, rte_be32_t to)
{
    const struct link_address *own = link_subnet(iface, to);

    if (own == NULL && iface->address_count > 0)
        own = &iface->addresses[0];
    return own ? own->address : 0;
}

/* Take the tokens for one error; the bucket holds those of a tenth of a second. */
static bool rate_allows(struct worker *worker)
{
    uint64_t cost = worker->hz / worker->workers->options.icmp_per_second;
    uint64_t most = RTE_MAX(worker->hz / 10, cost);

    worker->icmp_tokens =
        RTE_MIN(worker->icmp_tokens + (worker->tsc - worker->icmp_refilled), most);
    worker->icmp_refilled = worker->tsc;
    if (worker->icmp_tokens < cost)
        return false;
    worker->icmp_tokens -= cost;
    return true;
}

static void error_send(struct worker *worker, const struct icmp_error *error,
                       struct rte_mbuf *about, uint16_t vrf)
{
    struct rte_mbuf *mbuf = rte_pktmbuf_alloc(worker->pool);
    uint32_t size;

    if (mbuf == NULL) {
        tally(worker->counters.drops[DROP_NO_BUFFER], 1);
        return;
    }
    size = icmp_write_error(packet_ip(mbuf), error, packet_ip(about), packet_head(about));
    mbuf->data_len = (uint16_t)(RTE_ETHER_HDR_LEN + size);
    mbuf->pkt_len = mbuf->data_len;
    tally(worker->counters.icmp_out, 1);
    forward_own(worker, mbuf, vrf);
}

void icmp_error(struct worker *worker, const struct packet *packet, uint8_t type, uint8_t code,
                uint16_t mtu)
{
    const struct rte_ipv4_hdr *ip = packet_ip(packet->mbuf);
    const struct link_iface *iface;
    struct icmp_error error = {.type = type, .code = code, .mtu = mtu};

    if (packet->quiet || packet_is_ours(&packet->key) ||
        !icmp_may_answer(ip, packet_head(packet->mbuf)))
        return;
    iface = packet_iface(worker, packet->mbuf);
    if (iface == NULL || is_subnet_broadcast(iface, ip->src_addr) ||
        is_subnet_broadcast(iface, ip->dst_addr))
        return;
    error.source = source_for(iface, ip->src_addr);
    if (error.source == 0)
        return;
    if (!rate_allows(worker)) {
        tally(worker->counters.drops[DROP_RATE_LIMIT], 1);
        return;
    }
    error.id = worker->ip_id++;
    error_send(worker, &error, packet->mbuf, iface->vrf);
}

/* ---- packets to us ---- */

static bool is_own_address(const struct worker *worker, rte_be32_t address)
{
    for (unsigned i = 0; i < worker->links->iface_count; i++) {
        if (link_own_address(&worker->links->ifaces[i], address))
            return true;
    }
    return false;
}

/* Type 8 becomes 0, so the checksum rises by 0x0800 (RFC 1624). */
static void echo_turn(struct rte_icmp_hdr *icmp)
{
    uint32_t checksum = icmp->icmp_cksum + (uint32_t)RTE_BE16(0x0800);

    icmp->icmp_type = RTE_IP_ICMP_ECHO_REPLY;
    icmp->icmp_cksum = (uint16_t)(checksum + (checksum >= 0xffff));
}

/* RFC 1122 section 3.2.2.6: the reply goes back from the address asked, with the same data and TOS. */
static void echo_reply(struct worker *worker, struct packet *packet, struct rte_icmp_hdr *icmp)
{
    struct rte_ipv4_hdr *ip = packet_ip(packet->mbuf);
    const struct link_iface *iface = packet_iface(worker, packet->mbuf);
    rte_be32_t from = ip->src_addr;

    echo_turn(icmp);
    ip->src_addr = ip->dst_addr;
    ip->dst_addr = from;
    ip->time_to_live = PACKET_TTL;
    ip->packet_id = rte_cpu_to_be_16(worker->ip_id++);
    ip->fragment_offset = 0;
    packet_set_checksum(ip);
    packet->mbuf->ol_flags = 0;
    tally(worker->counters.icmp_out, 1);
    forward_own(worker, packet->mbuf, iface ? iface->vrf : 0);
}

static void icmp_input(struct worker *worker, struct packet *packet)
{
    struct rte_mbuf *mbuf = packet->mbuf;
    uint32_t header = RTE_ETHER_HDR_LEN + packet_header_size(packet_ip(mbuf));
    struct rte_icmp_hdr *icmp = rte_pktmbuf_mtod_offset(mbuf, struct rte_icmp_hdr *, header);
    uint16_t sum;

    if (rte_pktmbuf_data_len(mbuf) < header + PACKET_ICMP_HEADER)
        drop(worker, mbuf, DROP_SHORT);
    else if (rte_raw_cksum_mbuf(mbuf, header, rte_pktmbuf_pkt_len(mbuf) - header, &sum) != 0 ||
             sum != 0xffff)
        drop(worker, mbuf, DROP_IP_CHECKSUM);
    else if (icmp->icmp_type != RTE_IP_ICMP_ECHO_REQUEST || icmp->icmp_code != 0)
        drop(worker, mbuf, DROP_LOCAL);
    else
        echo_reply(worker, packet, icmp);
}

static void refuse(struct worker *worker, struct packet *packet)
{
    uint8_t protocol = packet_ip(packet->mbuf)->next_proto_id;
    bool has_ports = protocol == IPPROTO_UDP || protocol == IPPROTO_TCP;

    icmp_error(worker, packet, ICMP_UNREACHABLE,
               has_ports ? ICMP_UNREACHABLE_PORT : ICMP_UNREACHABLE_PROTOCOL, 0);
    drop(worker, packet->mbuf, DROP_LOCAL);
}

/* Nothing is put together here: fragments are refused. Broadcasts have nobody who takes them. */
void icmp_local(struct worker *worker, struct packet *packet)
{
    const struct rte_ipv4_hdr *ip = packet_ip(packet->mbuf);

    tally(worker->counters.local, 1);
    if (packet_is_ours(&packet->key) || packet_is_fragment(ip) ||
        !is_own_address(worker, ip->dst_addr))
        drop(worker, packet->mbuf, DROP_LOCAL);
    else if (ip->next_proto_id == IPPROTO_ICMP)
        icmp_input(worker, packet);
    else
        refuse(worker, packet);
}
