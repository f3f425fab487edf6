/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Changes seen at the ends of veth pairs, for bench/wire.py, which makes the namespaces and what forwards between
 * them:
 *
 *     veth netlink SENDER RECEIVER COUNT GAP_US ROUTER FLOWS
 *     veth announce SENDER RECEIVER COUNT GAP_US
 *
 * SENDER, RECEIVER and ROUTER are network namespaces (files below /run/netns). Frames are sent from eth0 of SENDER and
 * seen at eth0 of RECEIVER; the kernel stamps them.
 *
 * netlink: Linux forwards. A thread on CPU 1 sends at full rate; on CPU 0 the address of the neighbour 10.0.0.5 on
 * `out` of ROUTER is changed by RTM_NEWNEIGH (rtnetlink(7)).
 * announce: whoever forwards. 10.0.0.5 at RECEIVER announces another address by a gratuitous ARP reply, and then
 * frames are sent one by one until one comes with the new address: what is between two of them, some
 * microseconds, is the resolution.
 *
 * A line for each change: DONE FIRST_NEW LAST_OLD, in nanoseconds from just before the request or the announcement is
 * handed to the kernel; DONE is when that call was over. Of netlink the last line says how many frames a second
 * were forwarded: 'rate N'.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/if_ether.h>
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

#include "bench/machine.h"

enum { MARK_A = 5, MARK_B = 6, BURST = 32, FRAME = 256, FRAMES = 1 << 15, BLOCK = 1 << 16 };

static const uint8_t router_mac[6] = {2, 0, 0, 0, 0, 1};
static _Atomic bool over;
static uint32_t flows;
static int sender, receiver; /* packet sockets at eth0 of either */

static void die(const char *what)
{
    fprintf(stderr, "veth: %s: %s\n", what, strerror(errno));
    exit(1);
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

static void *send_all(void *unused)
{
    struct frame frames[BURST];
    struct iovec vectors[BURST];
    struct mmsghdr messages[BURST];
    uint32_t flow = 0;

    pin(1);
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
        if (sendmmsg(sender, messages, BURST, 0) < 0 && errno != ENOBUFS)
            die("sendmmsg");
    }
    return unused;
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
    int version = TPACKET_V2;

    enter(name);
    receiver = packet_socket(ETH_P_IP);
    if (setsockopt(receiver, SOL_PACKET, PACKET_VERSION, &version, sizeof(version)) != 0 ||
        setsockopt(receiver, SOL_PACKET, PACKET_RX_RING, &request, sizeof(request)) != 0)
        die("PACKET_RX_RING");
    seen.ring = mmap(NULL, (size_t)FRAME * FRAMES, PROT_READ | PROT_WRITE, MAP_SHARED, receiver, 0);
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

/* RFC 5227 section 1.2: an ARP announcement; here as a reply, to everybody. */
static void announce(uint8_t mark)
{
    const uint8_t mac[6] = {2, mark, mark, mark, mark, mark};
    struct {
        struct ether_header ether;
        struct ether_arp arp;
        uint8_t padding[18];
    } __attribute__((packed)) frame = {
        .ether = {.ether_type = htons(ETHERTYPE_ARP)},
        .arp = {.ea_hdr = {.ar_hrd = htons(ARPHRD_ETHER),
                           .ar_pro = htons(ETHERTYPE_IP),
                           .ar_hln = 6,
                           .ar_pln = 4,
                           .ar_op = htons(ARPOP_REPLY)},
                .arp_spa = {10, 0, 0, 5},
                .arp_tpa = {10, 0, 0, 5}},
    };

    memset(frame.ether.ether_dhost, 0xff, 6);
    memcpy(frame.ether.ether_shost, mac, 6);
    memcpy(frame.arp.arp_sha, mac, 6);
    memcpy(frame.arp.arp_tha, mac, 6); /* Linux takes no other reply for an announcement */
    if (send(receiver, &frame, sizeof(frame), 0) < 0)
        die("announcement");
}

static void print_change(int64_t start, int64_t done, uint8_t old, uint8_t new)
{
    if (seen.first[new] == 0)
        die("no frame with the new address");
    printf("%lld %lld %lld\n", (long long)(done - start), (long long)(seen.first[new] - start),
           (long long)(seen.last[old] > start ? seen.last[old] - start : 0));
}

static void change_by_netlink(uint8_t old, uint8_t new, long gap_us)
{
    int64_t start, done;

    look();
    seen.first[new] = seen.last[new] = 0;
    start = now_ns();
    set_neighbour(new);
    done = now_ns();
    for (int i = 0; i < 1000 && seen.first[new] == 0; i++) {
        sleep_us(gap_us);
        look();
    }
    print_change(start, done, old, new);
}

static void change_by_announcement(uint8_t old, uint8_t new, long gap_us)
{
    struct frame frame;
    int64_t start, done;

    frame_init(&frame);
    frame.udp.source = htons(1000);
    look();
    seen.first[new] = seen.last[new] = 0;
    start = now_ns();
    announce(new);
    done = now_ns();
    while (seen.first[new] == 0 && now_ns() < start + 1000000000) {
        if (send(sender, &frame, sizeof(frame), 0) < 0 && errno != ENOBUFS)
            die("send");
        sched_yield(); /* who forwards may have a thread on this CPU */
        look();
    }
    print_change(start, done, old, new);
    sleep_us(gap_us);
}

static void by_netlink(const char *router, long count, long gap_us)
{
    pthread_t thread;
    int64_t start;

    changes_in(router);
    set_neighbour(MARK_A);
    if (pthread_create(&thread, NULL, send_all, NULL) != 0)
        die("pthread_create");
    sleep_us(100000);
    look();
    seen.frames = 0;
    start = now_ns();
    for (long i = 0; i < count; i++)
        change_by_netlink(i % 2 == 0 ? MARK_A : MARK_B, i % 2 == 0 ? MARK_B : MARK_A, gap_us);
    look();
    printf("rate %.0f\n", (double)seen.frames * 1e9 / (double)(now_ns() - start));
    atomic_store(&over, true);
    pthread_join(thread, NULL);
}

int main(int argc, char **argv)
{
    long count, gap_us;

    if (!(argc == 8 && strcmp(argv[1], "netlink") == 0) &&
        !(argc == 6 && strcmp(argv[1], "announce") == 0)) {
        fprintf(stderr, "usage: veth netlink SENDER RECEIVER COUNT GAP_US ROUTER FLOWS\n"
                        "       veth announce SENDER RECEIVER COUNT GAP_US\n");
        return 2;
    }
    pin(0);
    enter(argv[2]);
    sender = packet_socket(0);
    receive_from(argv[3]);
    count = atol(argv[4]);
    gap_us = atol(argv[5]);
    if (argc == 8) {
        flows = (uint32_t)atol(argv[7]);
        by_netlink(argv[6], count, gap_us);
        return 0;
    }
    for (long i = 0; i < count; i++)
        change_by_announcement(i % 2 == 0 ? MARK_A : MARK_B, i % 2 == 0 ? MARK_B : MARK_A, gap_us);
    return 0;
}
