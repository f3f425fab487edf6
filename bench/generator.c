/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One traffic generator for every program that is measured: a plugin for LD_PRELOAD, on public DPDK API
 * only, so that dpdk-testpmd, l3fwd, Open vSwitch and kedged get the same packets at the same cost.
 *
 * The programs run on net_null ports. When a port is started, two callbacks are hung on it: on receive,
 * the empty packets of net_null become UDP packets of N flows in pseudo-random order; on transmit, frames
 * are counted by the last byte of their destination MAC address, with the TSC of the first and the last,
 * which tells when a change was on the wire, and whole headers are told from torn ones.
 *
 * Flow i is 10.1.(i / 256 % 256).(i % 256) port 1000 + i / 65536 -> 10.2.0.1 port 53.
 *
 * Torn headers: the harness uses only destinations whose last five bytes are equal.
 */
#define _GNU_SOURCE
#include "bench/generator.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_ip.h>
#include <rte_udp.h>

enum { FRAME_SIZE = 64 - RTE_ETHER_CRC_LEN };

static struct generator_shared *shared;

/* State of one receive queue; only its lcore touches it. */
struct source {
    uint32_t at, flows, stride;
    uint32_t base_sum; /* of the IP header without the source address */
    struct {
        struct rte_ether_hdr ether;
        struct rte_ipv4_hdr ip;
        struct rte_udp_hdr udp;
    } __rte_packed __rte_aligned(2) header;
};

static struct generator_shared *map_shared(void)
{
    const char *path = getenv("KEDGE_GENERATOR");
    int fd = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);
    void *map = fd < 0 ? MAP_FAILED
                       : mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (fd >= 0)
        close(fd);
    if (map == MAP_FAILED || ((struct generator_shared *)map)->magic != GENERATOR_MAGIC) {
        fprintf(stderr, "generator: KEDGE_GENERATOR must name a file made by the harness\n");
        abort();
    }
    return map;
}

static struct source *source_new(void)
{
    struct source *source = aligned_alloc(64, 128);

    if (source == NULL)
        abort();
    memset(source, 0, sizeof(*source));
    memcpy(&source->header.ether.dst_addr, shared->destination, RTE_ETHER_ADDR_LEN);
    source->header.ether.src_addr = (struct rte_ether_addr){{0x02, 0, 0, 0, 0, 0x99}};
    source->header.ether.ether_type = rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4);
    source->header.ip = (struct rte_ipv4_hdr){
        .version_ihl = RTE_IPV4_VHL_DEF,
        .total_length = rte_cpu_to_be_16(FRAME_SIZE - sizeof(struct rte_ether_hdr)),
        .time_to_live = 64,
        .next_proto_id = IPPROTO_UDP,
        .dst_addr = rte_cpu_to_be_32(RTE_IPV4(10, 2, 0, 1)),
    };
    source->header.udp = (struct rte_udp_hdr){
        .dst_port = rte_cpu_to_be_16(53),
        .dgram_len = rte_cpu_to_be_16(FRAME_SIZE - sizeof(struct rte_ether_hdr) -
                                      sizeof(struct rte_ipv4_hdr)),
    };
    source->base_sum = (uint16_t)~rte_ipv4_cksum(&source->header.ip);
    return source;
}

/* A Weyl sequence over the number of flows: neighbours in time are far apart in any table, and, as the
 * stride has no factor in common with the number, each flow comes once in a round. */
static void set_flows(struct source *source, uint32_t flows)
{
    uint32_t a, b, rest;

    source->flows = flows;
    source->at = 0;
    source->stride = (uint32_t)((uint64_t)flows * 618034 / 1000000);
    do {
        source->stride++;
        for (a = flows, b = source->stride; b != 0; a = b, b = rest)
            rest = a % b;
    } while (a != 1);
    source->stride %= flows;
}

static inline uint32_t next_flow(struct source *source)
{
    source->at += source->stride;
    if (source->at >= source->flows)
        source->at -= source->flows;
    return source->at;
}

static inline void fill(struct source *source, struct rte_mbuf *packet, uint32_t flow,
                        bool like_a_nic)
{
    uint32_t address = RTE_IPV4(10, 1, 0, 0) | (flow & 0xffff);
    uint32_t sum =
        source->base_sum + rte_cpu_to_be_16(address >> 16) + rte_cpu_to_be_16(address & 0xffff);

    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    source->header.ip.src_addr = rte_cpu_to_be_32(address);
    source->header.ip.hdr_checksum = (uint16_t)~sum;
    source->header.udp.src_port = rte_cpu_to_be_16((uint16_t)(1000 + (flow >> 16)));
    memcpy(rte_pktmbuf_mtod(packet, void *), &source->header, sizeof(source->header));
    packet->data_len = packet->pkt_len = FRAME_SIZE;
    if (like_a_nic) {
        packet->packet_type = RTE_PTYPE_L2_ETHER | RTE_PTYPE_L3_IPV4 | RTE_PTYPE_L4_UDP;
        packet->ol_flags |= RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_RSS_HASH;
        packet->hash.rss = flow * UINT32_C(2654435761);
    }
}

static uint16_t receive(uint16_t port, uint16_t queue, struct rte_mbuf **packets, uint16_t count,
                        uint16_t max, void *arg)
{
    struct source *source = arg;
    uint32_t flows = __atomic_load_n(&shared->flows, __ATOMIC_RELAXED);
    uint32_t first = __atomic_load_n(&shared->first_flow, __ATOMIC_RELAXED);
    bool like_a_nic = shared->like_a_nic != 0;

    (void)port;
    (void)queue;
    (void)max;
    if (flows == 0 || __atomic_load_n(&shared->paused, __ATOMIC_RELAXED) != 0) {
        rte_pktmbuf_free_bulk(packets, count);
        return 0;
    }
    if (flows != source->flows)
        set_flows(source, flows);
    for (uint16_t i = 0; i < count; i++)
        fill(source, packets[i], first + next_flow(source), like_a_nic);
    __atomic_store_n(&shared->received, shared->received + count, __ATOMIC_RELAXED);
    return count;
}

static uint16_t transmit(uint16_t port, uint16_t queue, struct rte_mbuf **packets, uint16_t count,
                         void *arg)
{
    uint64_t now = rte_rdtsc();

    (void)port;
    (void)queue;
    (void)arg;
    for (uint16_t i = 0; i < count; i++) {
        const uint8_t *mac = rte_pktmbuf_mtod(packets[i], const uint8_t *);
        uint8_t mark = mac[5];
        uint64_t five;

        memcpy(&five, mac, 8);
        five = (five >> 8) & UINT64_C(0xffffffffff);
        if (five != mark * UINT64_C(0x0101010101))
            __atomic_store_n(&shared->torn, shared->torn + 1, __ATOMIC_RELAXED);
        if (shared->count[mark]++ == 0)
            __atomic_store_n(&shared->first[mark], now, __ATOMIC_RELAXED);
        __atomic_store_n(&shared->last[mark], now, __ATOMIC_RELAXED);
    }
    __atomic_store_n(&shared->sent, shared->sent + count, __ATOMIC_RELAXED);
    __atomic_store_n(&shared->tsc, now, __ATOMIC_RELAXED);
    return count;
}

/* Interposed: net_null says that it tells no packet types, but with this plugin it does, as a NIC would. */
int rte_eth_dev_get_supported_ptypes(uint16_t port, uint32_t mask, uint32_t *types, int count)
{
    static const uint32_t all[] = {RTE_PTYPE_L2_ETHER, RTE_PTYPE_L3_IPV4,     RTE_PTYPE_L3_IPV4_EXT,
                                   RTE_PTYPE_L3_IPV6,  RTE_PTYPE_L3_IPV6_EXT, RTE_PTYPE_L4_TCP,
                                   RTE_PTYPE_L4_UDP};
    int found = 0;

    (void)port;
    for (size_t i = 0; i < RTE_DIM(all); i++) {
        if ((all[i] & mask) == 0)
            continue;
        if (found < count)
            types[found] = all[i];
        found++;
    }
    return found;
}

/* Interposed. Callbacks can't be hung before the port has its queues, and not through the event of a new
 * port from a constructor: EAL is not up yet. */
int rte_eth_dev_start(uint16_t port)
{
    static int (*next)(uint16_t);
    struct rte_eth_dev_info info;
    int rc;

    if (next == NULL)
        next = (int (*)(uint16_t))dlsym(RTLD_NEXT, "rte_eth_dev_start");
    rc = next(port);
    if (rc != 0 || rte_eth_dev_info_get(port, &info) != 0 ||
        strcmp(info.driver_name, "net_null") != 0)
        return rc;
    if (shared == NULL)
        shared = map_shared();
    for (uint16_t queue = 0; queue < info.nb_rx_queues; queue++)
        if (rte_eth_add_rx_callback(port, queue, receive, source_new()) == NULL)
            abort();
    for (uint16_t queue = 0; queue < info.nb_tx_queues; queue++)
        if (rte_eth_add_tx_callback(port, queue, transmit, NULL) == NULL)
            abort();
    __atomic_fetch_add(&shared->ports, 1, __ATOMIC_RELAXED);
    return 0;
}
