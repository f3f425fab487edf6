/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ports: keeps the open devices as /port/NAME/devargs and /mtu say, and reports in /port/NAME/id,
 * /mac, /lcore, /link and /error what became of it.
 *
 * Level-triggered: whatever changes below /port, in the kernel or in a device, each port is
 * compared with what is committed, and takes the next step towards it:
 *
 *     closed ──> opening ──> open ──> draining ──> closing ──> closed
 *                   └──> failed ──(in a while, or wanted otherwise)──^
 *
 * Draining: the version without the port is published, and the device is closed when every worker
 * has gone on to that version or a later one.
 *
 * Thread safety: the control core only.
 */
#ifndef KEDGE_DATAPLANE_PORT_H
#define KEDGE_DATAPLANE_PORT_H

#include "arp/links.h"
#include "dataplane/device.h"
#include "dataplane/worker.h"
#include "nameserv/loop.h"

struct ports;

/* Watch /port. Devices are opened from the next ports_poll() on. 0 or a negative errno. */
int ports_new(struct ns_store *store, struct ns_loop *loop, int links_slot, struct devices *devices,
              struct workers *workers, struct ports **ports);

/* Close all devices: all workers have stopped. False: not within the time. */
bool ports_close(struct ports *ports, unsigned timeout_ms);
void ports_free(struct ports *ports);

/* Take the steps that can be taken. True: a port waits for workers; call again soon. */
bool ports_poll(struct ports *ports);

/* Something about an interface of the kernel may have changed; NULL: any. For netlink_new(). */
void ports_interface_changed(void *ports, const char *interface);

/* Every port is open, or has failed and said so. */
bool ports_settled(const struct ports *ports);

/* What a port has counted since the daemon started, also over several devices. */
struct port_status {
    char name[LINK_NAME_MAX];
    bool open;
    uint16_t id; /* of the device, if open */
    struct port_counters counters;
    uint64_t rx_missed, rx_errors, tx_errors; /* as the open device says */
};

/* The port with this name, or the first whose name is greater; false: none. "" comes before all. */
bool ports_status(struct ports *ports, const char *name, struct port_status *status);
bool ports_next(struct ports *ports, const char *name, struct port_status *status);

#endif
