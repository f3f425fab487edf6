/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The subscription to changes of the kernel's interfaces.
 */
#include "dataplane/netlink.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BATCHES = 16, BUFFER_BYTES = 32768 };

struct netlink {
    struct ns_io io; /* first: its function gets it */
    struct ns_loop *loop;
    void (*changed)(void *arg, const char *name);
    void *arg;
};

/* The interface's name in a message, NULL if it has none. */
static const char *link_name(const struct nlmsghdr *message)
{
    int left = (int)IFLA_PAYLOAD(message);

    for (const struct rtattr *attribute = IFLA_RTA(NLMSG_DATA(message)); RTA_OK(attribute, left);
         attribute = RTA_NEXT(attribute, left))
        if (attribute->rta_type == IFLA_IFNAME)
            return RTA_DATA(attribute);
    return NULL;
}

static void take_messages(struct netlink *netlink, const void *buffer, uint32_t size)
{
    for (const struct nlmsghdr *message = buffer; NLMSG_OK(message, size);
         message = NLMSG_NEXT(message, size))
        if (message->nlmsg_type == RTM_NEWLINK || message->nlmsg_type == RTM_DELLINK)
            netlink->changed(netlink->arg, link_name(message));
}

static void receive(struct ns_io *io, uint32_t events)
{
    struct netlink *netlink = (struct netlink *)io;
    _Alignas(struct nlmsghdr) char buffer[BUFFER_BYTES];

    (void)events;
    for (int i = 0; i < BATCHES; i++) {
        ssize_t size = recv(io->fd, buffer, sizeof(buffer), 0);

        if (size < 0 && errno == ENOBUFS) { /* messages were lost */
            netlink->changed(netlink->arg, NULL);
            continue;
        }
        if (size <= 0)
            return;
        take_messages(netlink, buffer, (uint32_t)size);
    }
}

static int subscribe(void)
{
    struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK};
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);

    if (fd < 0)
        return -errno;
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        int error = -errno;

        close(fd);
        return error;
    }
    return fd;
}

int netlink_new(struct ns_loop *loop, void (*changed)(void *arg, const char *name), void *arg,
                struct netlink **out)
{
    struct netlink *netlink = calloc(1, sizeof(*netlink));
    int error;

    if (netlink == NULL)
        return -ENOMEM;
    netlink->loop = loop;
    netlink->changed = changed;
    netlink->arg = arg;
    netlink->io.fn = receive;
    netlink->io.fd = error = subscribe();
    if (error >= 0)
        error = ns_loop_add(loop, &netlink->io, EPOLLIN);
    if (error < 0) {
        if (netlink->io.fd >= 0)
            close(netlink->io.fd);
        free(netlink);
        return error;
    }
    *out = netlink;
    return 0;
}

void netlink_free(struct netlink *netlink)
{
    ns_loop_remove(netlink->loop, &netlink->io);
    close(netlink->io.fd);
    free(netlink);
}

struct netlink_state netlink_interface(const char *name)
{
    struct netlink_state state = {.index = 0};
    struct ifreq request = {.ifr_flags = 0};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return state;
    strncpy(request.ifr_name, name, sizeof(request.ifr_name) - 1);
    if (ioctl(fd, SIOCGIFFLAGS, &request) == 0)
        state.up = (request.ifr_flags & IFF_UP) != 0 && (request.ifr_flags & IFF_RUNNING) != 0;
    if (ioctl(fd, SIOCGIFINDEX, &request) == 0)
        state.index = (unsigned)request.ifr_ifindex;
    close(fd);
    return state;
}
