/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The Linux kernel as a peer: how long a neighbour's new address takes to the wire. For bench/wire.py, which makes
 * the namespaces.
 *
 *     linux SENDER ROUTER RECEIVER COUNT FLOWS GAP_US
 *
 * The first three are network namespaces (files below /run/netns): frames are sent from eth0 of SENDER at full
 * rate by a thread on CPU 1, forwarded by ROUTER and seen at eth0 of RECEIVER. On CPU 0 the address of the neighbour
 * 10.0.0.5 on `out` of ROUTER is changed by RTM_NEWNEIGH (rtnetlink(7)). A line for each change: ACK FIRST_NEW
 * LAST_OLD, in nanoseconds from just before the request is handed to the kernel; the kernel stamps the frames.
 * The last line says how many frames a second were forwarded: 'rate N'.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MARK_A = 5, MARK_B = 6, BURST = 32, FRAME = 256, FRAMES = 1 << 15, BLOCK = 1 << 16 };

static const uint8_t router_mac[6] = {2, 0, 0, 0, 0, 1};
static _Atomic bool over;
static uint32_t flows;

static void die(const char *what)
{
    fprintf(stderr, "linux: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void pin(int cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof(set), &set) != 0)
        die("sched_setaffinity");
}

static void enter(const char *name)
{
    char path[256];
    int fd;

    snprintf(path, sizeof(path), "/run/netns/%s", name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || setns(fd, CLONE_NEWNET) != 0)
        die(path);
    close(fd);
}

static int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now); /* the clock that frames are stamped by */
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int packet_socket(int protocol)
{
    struct sockaddr_ll address = {.sll_family = AF_PACKET,
                                  .sll_protocol = htons((uint16_t)protocol),
                                  .sll_ifindex = (int)if_nametoindex("eth0")};
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
        die("packet socket");
    return fd;
}

/* ---- sending ---- */

struct frame {
    struct ether_header ether;
    struct iphdr ip;
    struct udphdr udp;
    uint8_t payload[18];
} __attribute__((packed));

static uint16_t checksum(const void *ip)
{
    uint16_t words[10];
    uint32_t sum = 0;

    memcpy(words, ip, sizeof(words));
    for (int i = 0; i < 10; i++)
        sum += words[i];
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t) ~((sum & 0xffff) + (sum >> 16));
}

static void frame_init(struct frame *frame)
{
    struct iphdr ip = {.version = 4,
                       .ihl = 5,
                       .tot_len = htons(sizeof(*frame) - sizeof(frame->ether)),
                       .ttl = 64,
                       .protocol = IPPROTO_UDP,
                       .saddr = htonl(0xc0a80102),
                       .daddr = htonl(0x0a020001)};

    memset(frame, 0, sizeof(*frame));
    memcpy(frame->ether.ether_dhost, router_mac, 6);
    frame->ether.ether_shost[0] = 2;
    frame->ether.ether_type = htons(ETHERTYPE_IP);
    ip.check = checksum(&ip);
    frame->ip = ip;
    frame->udp.len = htons(sizeof(frame->udp) + sizeof(frame->payload));
    frame->udp.dest = htons(53);
}

static void *send_all(void *name)
{
    struct frame frames[BURST];
    struct iovec vectors[BURST];
    struct mmsghdr messages[BURST];
    uint32_t flow = 0;
    int fd;

    pin(1);
    enter(name);
    fd = packet_socket(0);
    memset(messages, 0, sizeof(messages));
    for (int i = 0; i < BURST; i++) {
        frame_init(&frames[i]);
        vectors[i] = (struct iovec){&frames[i], sizeof(frames[i])};
        messages[i].msg_hdr.msg_iov = &vectors[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    while (!atomic_load_explicit(&over, memory_order_relaxed)) {
        for (int i = 0; i < BURST; i++, flow = flow + 1 < flows ? flow + 1 : 0)
            frames[i].udp.source = htons((uint16_t)(1000 + flow));
        if (sendmmsg(fd, messages, BURST, 0) < 0 && errno != ENOBUFS)
            die("sendmmsg");
    }
    close(fd);
    return NULL;
}

/* ---- receiving ---- */

static struct {
    uint8_t *ring;
    uint32_t next;
    uint64_t frames;
    int64_t first[256], last[256]; /* by mark; 0: none */
} seen;

static void receive_from(const char *name)
{
    struct tpacket_req request = {.tp_block_size = BLOCK,
                                  .tp_block_nr = FRAMES / (BLOCK / FRAME),
                                  .tp_frame_size = FRAME,
                                  .tp_frame_nr = FRAMES};
    int version = TPACKET_V2, fd;

    enter(name);
    fd = packet_socket(ETH_P_IP);
    if (setsockopt(fd, SOL_PACKET, PACKET_VERSION, &version, sizeof(version)) != 0 ||
        setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &request, sizeof(request)) != 0)
        die("PACKET_RX_RING");
    seen.ring = mmap(NULL, (size_t)FRAME * FRAMES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (seen.ring == MAP_FAILED)
        die("mmap");
}

/* Read what is in the ring. */
static void look(void)
{
    for (;;) {
        struct tpacket2_hdr *header =
            (struct tpacket2_hdr *)(seen.ring + (size_t)seen.next * FRAME);
        uint8_t mark;
        int64_t when;

        if ((__atomic_load_n(&header->tp_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER) == 0)
            return;
        mark = ((uint8_t *)header)[header->tp_mac + 5];
        when = (int64_t)header->tp_sec * 1000000000 + header->tp_nsec;
        seen.frames++;
        if (seen.first[mark] == 0)
            seen.first[mark] = when;
        seen.last[mark] = when;
        __atomic_store_n(&header->tp_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
        seen.next = (seen.next + 1) % FRAMES;
    }
}

/* ---- changing ---- */

static int netlink;
static unsigned out;

static void changes_in(const char *name)
{
    enter(name);
    netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    out = if_nametoindex("out");
    if (netlink < 0 || out == 0)
        die("netlink");
}

static void set_neighbour(uint8_t mark)
{
    struct {
        struct nlmsghdr header;
        struct ndmsg neighbour;
        struct rtattr address_attribute;
        uint32_t address;
        struct rtattr mac_attribute;
        uint8_t mac[8];
    } request = {
        .header = {.nlmsg_len = sizeof(request) - 2,
                   .nlmsg_type = RTM_NEWNEIGH,
                   .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE},
        .neighbour = {.ndm_family = AF_INET, .ndm_ifindex = (int)out, .ndm_state = NUD_PERMANENT},
        .address_attribute = {RTA_LENGTH(4), NDA_DST},
        .address = htonl(0x0a000005),
        .mac_attribute = {RTA_LENGTH(6), NDA_LLADDR},
        .mac = {2, mark, mark, mark, mark, mark},
    };
    struct {
        struct nlmsghdr header;
        struct nlmsgerr error;
        char rest[256];
    } answer;

    if (send(netlink, &request, request.header.nlmsg_len, 0) < 0 ||
        recv(netlink, &answer, sizeof(answer), 0) < 0)
        die("RTM_NEWNEIGH");
    errno = -answer.error.error;
    if (answer.header.nlmsg_type != NLMSG_ERROR || errno != 0)
        die("RTM_NEWNEIGH");
}

static void sleep_us(long us)
{
    struct timespec time = {us / 1000000, us % 1000000 * 1000};

    nanosleep(&time, NULL);
}

static void change(uint8_t old, uint8_t new, long gap_us)
{
    int64_t start, answered;

    look();
    seen.first[new] = seen.last[new] = 0;
    start = now_ns();
    set_neighbour(new);
    answered = now_ns();
    for (int i = 0; i < 1000 && seen.first[new] == 0; i++) {
        sleep_us(gap_us);
        look();
    }
    if (seen.first[new] == 0)
        die("no frame with the new address");
    printf("%lld %lld %lld\n", (long long)(answered - start), (long long)(seen.first[new] - start),
           (long long)(seen.last[old] > start ? seen.last[old] - start : 0));
}

int main(int argc, char **argv)
{
    pthread_t sender;
    int64_t start;
    long count, gap_us;

    if (argc != 7) {
        fprintf(stderr, "usage: linux SENDER ROUTER RECEIVER COUNT FLOWS GAP_US\n");
        return 2;
    }
    count = atol(argv[4]);
    flows = (uint32_t)atol(argv[5]);
    gap_us = atol(argv[6]);
    pin(0);
    receive_from(argv[3]);
    changes_in(argv[2]);
    set_neighbour(MARK_A);
    if (pthread_create(&sender, NULL, send_all, argv[1]) != 0)
        die("pthread_create");
    sleep_us(100000);
    look();
    seen.frames = 0;
    start = now_ns();
    for (long i = 0; i < count; i++)
        change(i % 2 == 0 ? MARK_A : MARK_B, i % 2 == 0 ? MARK_B : MARK_A, gap_us);
    look();
    printf("rate %.0f\n", (double)seen.frames * 1e9 / (double)(now_ns() - start));
    atomic_store(&over, true);
    pthread_join(sender, NULL);
    return 0;
}
