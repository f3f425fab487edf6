/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * AF_XDP sockets that a device holds.
 *
 * The driver net_af_xdp of DPDK 22.11 does not close the socket of its memory when a device is
 * closed, and the kernel then refuses to bind another to the same queue (EBUSY): the interface
 * could not be opened again. So what a device has opened is noted, and closed after it.
 *
 * Thread safety: the device thread only, which alone opens such sockets.
 */
#ifndef KEDGE_DATAPLANE_XDP_SOCKETS_H
#define KEDGE_DATAPLANE_XDP_SOCKETS_H

#include <sys/types.h>

enum { XDP_SOCKETS_MAX = 64 };

struct xdp_sockets {
    unsigned count;
    struct {
        int fd;
        ino_t inode; /* tells a socket from a later one with the same descriptor */
    } list[XDP_SOCKETS_MAX];
};

/* All that this process has open. */
void xdp_sockets_find(struct xdp_sockets *sockets);

/* Take away those that stand in `others`. */
void xdp_sockets_subtract(struct xdp_sockets *sockets, const struct xdp_sockets *others);

/* Close those that are still open. */
void xdp_sockets_close(const struct xdp_sockets *sockets);

#endif
