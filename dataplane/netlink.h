/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The kernel's interfaces behind ports (af_packet, af_xdp, tap): there or gone, up or down.
 *
 * A subscription to RTM_NEWLINK and RTM_DELLINK (rtnetlink(7)) says that something may have
 * changed; what is true is then asked anew. So a message that was lost or is late does no harm.
 *
 * Thread safety: the control core only; netlink_interface() any thread.
 */
#ifndef KEDGE_DATAPLANE_NETLINK_H
#define KEDGE_DATAPLANE_NETLINK_H

#include <stdbool.h>

#include "nameserv/loop.h"

struct netlink;

/* Have changed(arg, name) called when something about an interface of this network namespace
 * changes; name is NULL if it may be any of them. 0 or a negative errno. */
int netlink_new(struct ns_loop *loop, void (*changed)(void *arg, const char *name), void *arg,
                struct netlink **netlink);
void netlink_free(struct netlink *netlink);

struct netlink_state {
    unsigned index; /* 0: there is no such interface */
    bool up;        /* administratively, and it has a carrier */
};

/* How an interface is now; a few system calls. */
struct netlink_state netlink_interface(const char *name);

#endif
