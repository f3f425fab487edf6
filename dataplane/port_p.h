/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inside of the ports; for port*.c only.
 *
 *   port.c          steps from what is committed to what is open
 *   port_names.c    what is committed, and what is reported
 *   port_status.c   counters
 *
 * Thread safety: the control core only.
 */
#ifndef KEDGE_DATAPLANE_PORT_P_H
#define KEDGE_DATAPLANE_PORT_P_H

#include <net/if.h>

#include "dataplane/port.h"

enum port_state { PORT_CLOSED, PORT_OPENING, PORT_OPEN, PORT_DRAINING, PORT_CLOSING, PORT_FAILED };

struct port {
    struct port *next; /* in order of names */
    struct ports *ports;
    char name[LINK_NAME_MAX];
    enum port_state state;
    char devargs[DEVICE_ARGS_MAX]; /* of the device that is open or was tried */
    uint16_t mtu;                  /* likewise */
    struct rte_ether_addr mac;
    char interface[IF_NAMESIZE]; /* of the kernel, behind the device; "": none */
    bool makes_interface;        /* the device makes it, and takes it away */
    unsigned interface_index;
    uint16_t id;
    unsigned worker;  /* the first that serves it */
    unsigned serving; /* how many do, at most as many as there are */
    unsigned queues;  /* receive queues wanted */
    bool up;
    bool vanished;       /* it is closed because the device is gone */
    bool busy;           /* the job is with the device thread */
    bool ask_link;       /* when the job is back */
    uint64_t drained_at; /* the first version without it */
    bool marked;         /* all workers have seen that, and this is what was in their rings then: */
    struct workers_mark mark;
    struct device_job job;
    struct ns_timer retry;
    unsigned retry_ms;
    struct port_counters before, base; /* of earlier devices; what the id had counted at opening */
};

struct ports {
    struct ns_store *store;
    struct ns_loop *loop;
    int links_slot;
    struct devices *devices;
    struct workers *workers;
    struct ns_watch watch;
    struct ns_timer link_timer;
    struct port *first;
    bool dirty; /* compare all ports with what is committed */
};

/* ---- port_names.c ---- */

/* What the user wants of a port. */
struct port_wanted {
    bool wanted;
    char devargs[DEVICE_ARGS_MAX];
    uint16_t mtu;
    unsigned serving; /* workers */
    unsigned queues;  /* receive queues, if the device has so many */
    uint16_t id;      /* as committed, LINK_NO_ID: none */
};
struct port_wanted port_wanted(const struct port *port);

/* Commit what it is: an open device; closed, and what is wrong (NULL: nothing); the state of its
 * link; what is wrong although it is open, or NULL. 0 or a negative errno; -ENOENT: the user has
 * removed the port, and there is nowhere to report. */
int port_report_open(struct port *port);
int port_report_closed(struct port *port, const char *why);
int port_report_link(struct port *port);
int port_report_error(struct port *port, const char *why);

/* Is this reported as wrong already? */
bool port_has_error(const struct port *port, const char *why);

/* ---- port_status.c ---- */

/* All that workers have counted for a device id. */
struct port_counters port_counters_by_id(const struct ports *ports, uint16_t id);

/* All that a port has counted, over all its devices. */
struct port_counters port_counters_of(const struct port *port);

/* Where in the list a name stands, or would. */
struct port **port_place(struct ports *ports, const char *name);

#endif
