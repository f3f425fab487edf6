/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the tests of the worker share: a worker whose rounds are driven by the test, on ports that are
 * rings of the test's, with a control core that only serves what the worker asks for.
 *
 *   port 0   iface in0  10.0.0.1/24       ports 2, 3, 4   bridge br0, iface lan0  10.2.0.1/24
 *   port 1   iface out0 10.1.0.1/24
 *
 * Host n of a network has the address 10.x.0.n and the MAC address 02:00:00:00:0x:n; the stack has
 * 02:00:00:00:00:01 at in0, :02 at out0, and :10 at lan0.
 */
#ifndef KEDGE_TESTS_DP_LAB_H
#define KEDGE_TESTS_DP_LAB_H

#include <stdlib.h>

#include <rte_eal.h>
#include <rte_eth_ring.h>

#include "dataplane/worker_p.h"
#include "tests/unit/arp_lab.h"

enum { IN = 0, OUT = 1, BR_A = 2, BR_B = 3, BR_C = 4, DP_PORTS = 5, DP_RING = 128, DP_POOL = 2047 };

struct dp_lab {
    struct lab lab;
    struct routes *routes;
    struct definitions *definitions;
    struct adjacencies *adjacencies;
    struct workers workers;
    struct worker *worker;
    struct rte_mempool *pool;
    struct rte_ring *in[DP_PORTS], *out[DP_PORTS];
    bool verifies; /* the ports verify checksums, as most do */

    /* the control core */
    bool silent; /* it does nothing */
    unsigned asked[REQUEST_ANSWER + 1];
    _Atomic unsigned woken;
    struct request last[REQUEST_ANSWER + 1];
    uint8_t order[64]; /* kinds of requests, as they came */
    unsigned order_count;
};

static struct dp_lab dp;

/* ---- beginning and end ---- */

static inline void dp_port(unsigned id)
{
    struct rte_eth_conf conf = {0};
    char name[16];

    snprintf(name, sizeof(name), "in%u", id);
    dp.in[id] = rte_ring_create(name, DP_RING, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
    snprintf(name, sizeof(name), "out%u", id);
    dp.out[id] = rte_ring_create(name, DP_RING, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
    snprintf(name, sizeof(name), "p%u", id);
    if (rte_eth_from_rings(name, &dp.in[id], 1, &dp.out[id], 1, 0) != (int)id ||
        rte_eth_dev_configure((uint16_t)id, 1, 1, &conf) != 0 ||
        rte_eth_rx_queue_setup((uint16_t)id, 0, 64, 0, NULL, dp.pool) != 0 ||
        rte_eth_tx_queue_setup((uint16_t)id, 0, 64, 0, NULL) != 0 ||
        rte_eth_dev_start((uint16_t)id) != 0)
        rte_exit(EXIT_FAILURE, "port %u\n", id);
}

/* Once a program. lcores: as for EAL's --lcores. */
static inline void dp_eal_on(const char *lcores)
{
    char chosen[64];
    char *arguments[] = {"test", "--no-huge",      "--no-pci",          "--no-shconf", chosen,
                         "-m64", "--no-telemetry", "--log-level=error", NULL};

    snprintf(chosen, sizeof(chosen), "--lcores=%s", lcores);
    if (rte_eal_init(RTE_DIM(arguments) - 1, arguments) < 0)
        rte_exit(EXIT_FAILURE, "EAL\n");
    dp.pool =
        rte_pktmbuf_pool_create("frames", DP_POOL, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    if (dp.pool == NULL)
        rte_exit(EXIT_FAILURE, "pool\n");
    for (unsigned id = 0; id < DP_PORTS; id++)
        dp_port(id);
}

static inline void dp_eal(void)
{
    dp_eal_on("0");
}

static inline void dp_links(void)
{
    struct lab *lab = &dp.lab;

    for (unsigned id = 0; id < DP_PORTS; id++) {
        char name[8], lcore[32];

        snprintf(name, sizeof(name), "p%u", id);
        lab_port(lab, name, id);
        snprintf(lcore, sizeof(lcore), "/port/%s/lcore=0", name);
        assert_done(stack(lab, lcore));
    }
    assert_done(user(lab, "/bridge/br0", "/bridge/br0/port/p2", "/bridge/br0/port/p3",
                     "/bridge/br0/port/p4", "/iface/in0/on=port p0",
                     "/iface/in0/address/10.0.0.1=24", "/iface/out0/on=port p1",
                     "/iface/out0/address/10.1.0.1=24", "/iface/lan0/on=bridge br0",
                     "/iface/lan0/mac=02:00:00:00:00:10", "/iface/lan0/address/10.2.0.1=24"));
}

static void dp_wake_control(void *arg)
{
    (void)arg;
    atomic_fetch_add(&dp.woken, 1);
}

/* All but the workers, which shall have these options. */
static inline void dp_begin_store(struct worker_options options, unsigned lcores)
{
    const struct ns_store_options store_options = {.lcores = lcores};
    struct lab *lab = &dp.lab;

    assert_int_equal(ns_store_new(&store_options, &lab->store), 0);
    assert_int_equal(links_new(lab->store, &lab->links), 0);
    assert_int_equal(routes_new(lab->store, lab->links, &dp.routes), 0);
    assert_int_equal(definitions_new(lab->store, lab->links, &dp.definitions), 0);
    assert_int_equal(
        adjacencies_new(lab->store, lab->links, dp.routes, dp.definitions, &dp.adjacencies), 0);
    if (options.flows == 0)
        options.flows = 1024;
    dp.workers = (struct workers){
        .store = lab->store,
        .sources = adjacencies_sources(dp.adjacencies),
        .pool = dp.pool,
        .options = options,
        .wake_control = dp_wake_control,
    };
    dp.silent = false;
    memset(dp.asked, 0, sizeof(dp.asked));
    memset(dp.last, 0, sizeof(dp.last));
    dp.order_count = 0;
    atomic_store(&dp.woken, 0);
    dp_links();
}

/* Several workers, on one lcore: the test calls their rounds. */
static inline void dp_begin_several(struct worker_options options, unsigned count)
{
    const unsigned lcores[WORKERS_MAX] = {0};

    dp_begin_store(options, count);
    assert_int_equal(workers_new(&dp.workers, lcores, count), 0);
    dp.worker = dp.workers.worker[0];
}

static inline void dp_begin_with(struct worker_options options)
{
    dp_begin_several(options, 1);
}

static inline int dp_begin(void **state)
{
    (void)state;
    dp_begin_with((struct worker_options){0});
    return 0;
}

static inline void dp_empty(struct rte_ring *ring)
{
    void *mbuf;

    while (rte_ring_dequeue(ring, &mbuf) == 0)
        rte_pktmbuf_free(mbuf);
}

/* Every frame must have come back to the pool. */
static inline int dp_end(void **state)
{
    (void)state;
    workers_free(&dp.workers);
    for (unsigned id = 0; id < DP_PORTS; id++) {
        dp_empty(dp.in[id]);
        dp_empty(dp.out[id]);
    }
    ns_store_drain(dp.lab.store);
    adjacencies_free(dp.adjacencies);
    ns_store_free(dp.lab.store);
    definitions_free(dp.definitions);
    routes_free(dp.routes);
    links_free(dp.lab.links);
    return rte_mempool_avail_count(dp.pool) == DP_POOL ? 0 : -1;
}

/* ---- the control core ---- */

static inline void dp_station(const struct request *request)
{
    char path[64], value[32];

    station_path("br0", &request->mac, path, sizeof(path));
    snprintf(value, sizeof(value), "p%u learned", request->port);
    assert_int_equal(ns_store_put(dp.lab.store, path, value), 0);
}

static inline void dp_serve_one(const struct request *request)
{
    dp.asked[request->kind]++;
    dp.last[request->kind] = *request;
    dp.order[dp.order_count++ % RTE_DIM(dp.order)] = request->kind;
    if (request->kind == REQUEST_PACKET)
        rte_pktmbuf_free(request->packet);
    if (request->kind == REQUEST_ANSWER)
        request->question->answered(request->question, request->worker);
    if (dp.silent)
        return;
    if (request->kind == REQUEST_MISSING)
        assert_int_equal(adjacencies_supply(dp.adjacencies, &request->missing, request->worker), 0);
    if (request->kind == REQUEST_STATION)
        dp_station(request);
}

static inline unsigned dp_serve_worker(struct worker *worker)
{
    struct request requests[8];
    unsigned count = worker_requests(worker, requests, RTE_DIM(requests));

    for (unsigned i = 0; i < count; i++)
        dp_serve_one(&requests[i]);
    return count;
}

static inline unsigned dp_serve(void)
{
    return dp_serve_worker(dp.worker);
}

/* A round of each worker. */
static inline bool dp_round_all(void)
{
    bool work = false;

    for (unsigned i = 0; i < dp.workers.count; i++) {
        work |= worker_round(dp.workers.worker[i]);
        work |= dp_serve_worker(dp.workers.worker[i]) > 0;
    }
    return work;
}

/* Rounds of all, until nothing is left to do. */
static inline void dp_run_all(void)
{
    for (unsigned rounds = 0; dp_round_all(); rounds++)
        assert_true(rounds < 100000);
}

/* Rounds, until nothing is left to do. */
static inline void dp_run(void)
{
    unsigned rounds = 0;
    bool work;

    do {
        work = worker_round(dp.worker);
        work |= dp_serve() > 0;
        assert_true(++rounds < 100000);
    } while (work);
}

static inline uint64_t dropped(enum drop_reason reason)
{
    return dp.worker->counters.drops[reason];
}

static inline uint64_t dropped_in_all(void)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < DROP_REASONS; i++)
        sum += dp.worker->counters.drops[i];
    return sum;
}

/* Let no time limit pass: a second is days now. Small enough for the products made with it. */
static inline void dp_freeze(void)
{
    dp.worker->hz = UINT64_C(1000000000000000);
}

/* Let all time limits pass: a second is one cycle now. */
static inline void dp_age(void)
{
    dp.worker->hz = 1;
}

/* ---- frames ---- */

static inline struct rte_ether_addr mac(unsigned network, unsigned host)
{
    return (struct rte_ether_addr){{2, 0, 0, 0, (uint8_t)network, (uint8_t)host}};
}

static inline rte_be32_t address(unsigned network, unsigned host)
{
    return RTE_BE32(0x0a000000) | rte_cpu_to_be_32(network << 16 | host);
}

static const struct rte_ether_addr broadcast = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};

/* A frame with an empty payload of this size. */
static inline struct rte_mbuf *frame(struct rte_ether_addr to, struct rte_ether_addr from,
                                     uint16_t type, uint16_t size)
{
    struct rte_mbuf *mbuf = rte_pktmbuf_alloc(dp.pool);
    struct rte_ether_hdr *ether;

    if (mbuf == NULL)
        rte_exit(EXIT_FAILURE, "no frames left\n");
    ether = (struct rte_ether_hdr *)rte_pktmbuf_append(mbuf, (uint16_t)(RTE_ETHER_HDR_LEN + size));
    if (ether == NULL)
        rte_exit(EXIT_FAILURE, "%u bytes are too many\n", size);
    memset(ether, 0, RTE_ETHER_HDR_LEN + size);
    ether->dst_addr = to;
    ether->src_addr = from;
    ether->ether_type = rte_cpu_to_be_16(type);
    return mbuf;
}

static inline struct rte_ipv4_hdr *ip_of(struct rte_mbuf *mbuf)
{
    return rte_pktmbuf_mtod_offset(mbuf, struct rte_ipv4_hdr *, RTE_ETHER_HDR_LEN);
}

static inline uint8_t *l4_of(struct rte_mbuf *mbuf)
{
    return (uint8_t *)ip_of(mbuf) + packet_header_size(ip_of(mbuf));
}

static inline const struct rte_ether_hdr *ether_of(struct rte_mbuf *mbuf)
{
    return rte_pktmbuf_mtod(mbuf, const struct rte_ether_hdr *);
}

/* A datagram from host 2 of in0's network to the stack's MAC there; `size` bytes behind the IP header. */
static inline struct rte_mbuf *datagram(rte_be32_t to, uint8_t protocol, uint16_t size)
{
    struct rte_mbuf *mbuf =
        frame(mac(0, 1), mac(0, 0x99), RTE_ETHER_TYPE_IPV4, PACKET_IPV4_MIN + size);
    struct rte_ipv4_hdr *ip = ip_of(mbuf);

    *ip = (struct rte_ipv4_hdr){
        .version_ihl = 0x45,
        .total_length = rte_cpu_to_be_16(PACKET_IPV4_MIN + size),
        .time_to_live = 64,
        .next_proto_id = protocol,
        .src_addr = address(0, 2),
        .dst_addr = to,
    };
    packet_set_checksum(ip);
    return mbuf;
}

/* UDP; the number is its source port, so that it can be told apart. */
static inline struct rte_mbuf *udp(rte_be32_t to, uint16_t number)
{
    struct rte_mbuf *mbuf = datagram(to, IPPROTO_UDP, 26);
    rte_be16_t ports[2] = {rte_cpu_to_be_16(number), RTE_BE16(53)};

    memcpy(l4_of(mbuf), ports, sizeof(ports));
    return mbuf;
}

static inline unsigned number_of(struct rte_mbuf *mbuf)
{
    return (unsigned)l4_of(mbuf)[0] << 8 | l4_of(mbuf)[1];
}

static inline bool has_right_checksum(struct rte_mbuf *mbuf)
{
    return rte_pktmbuf_data_len(mbuf) >= RTE_ETHER_HDR_LEN + PACKET_IPV4_MIN &&
           ether_of(mbuf)->ether_type == RTE_BE16(RTE_ETHER_TYPE_IPV4) &&
           packet_header_size(ip_of(mbuf)) <= packet_head(mbuf) &&
           packet_header_sum(ip_of(mbuf)) == 0xffff;
}

static inline void dp_send(unsigned port, struct rte_mbuf *mbuf)
{
    if (dp.verifies && (mbuf->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK) == 0 &&
        has_right_checksum(mbuf))
        mbuf->ol_flags |= RTE_MBUF_F_RX_IP_CKSUM_GOOD;
    assert_int_equal(rte_ring_enqueue(dp.in[port], mbuf), 0);
}

/* The next frame that came out of the port; NULL: none. */
static inline struct rte_mbuf *dp_receive(unsigned port)
{
    void *mbuf;

    return rte_ring_dequeue(dp.out[port], &mbuf) == 0 ? mbuf : NULL;
}

static inline void assert_silence(void)
{
    for (unsigned port = 0; port < DP_PORTS; port++)
        assert_null(dp_receive(port));
}

/* Nothing came out, and this is why. */
#define assert_dropped(mbuf_, port_, reason_)                         \
    do {                                                              \
        uint64_t before_ = dropped(reason_), all_ = dropped_in_all(); \
        dp_send(port_, mbuf_);                                        \
        dp_run();                                                     \
        assert_silence();                                             \
        assert_int_equal(dropped(reason_), before_ + 1);              \
        assert_int_equal(dropped_in_all(), all_ + 1);                 \
    } while (0)

/* Host n of out0's network, and of in0's, can be reached. */
static inline void dp_neighbour(const char *iface, unsigned network, unsigned host)
{
    struct lab *lab = &dp.lab;
    char name[96];

    snprintf(name, sizeof(name), "/neigh/%s/10.%u.0.%u=02:00:00:00:%02x:%02x static", iface,
             network, host, network, host);
    assert_done(user(lab, name));
}

#endif
