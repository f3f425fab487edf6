/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Devices: the slow work of opening, starting, asking and closing them, on a thread of its own.
 *
 * The control core hands in jobs and goes on; done() is called on the control core, by
 * devices_poll(), when one is finished. Jobs are done one after the other in their order, but devices
 * that are closed one after the other are stopped at the same time: the kernel waits for a grace period
 * of its own for each packet socket, and can let many share one.
 *
 * Thread safety: the functions belong to the control core. A job belongs to the device thread from
 * devices_submit() until its done().
 */
#ifndef KEDGE_DATAPLANE_DEVICE_H
#define KEDGE_DATAPLANE_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_ether.h>
#include <rte_mempool.h>

#include "arp/links.h"

enum { DEVICE_ARGS_MAX = LINK_DEVARGS_MAX, DEVICE_REASON_MAX = 384 };

enum device_job_kind {
    DEVICE_OPEN,  /* probe, configure, start */
    DEVICE_CLOSE, /* stop, close, remove; no worker may use it any more */
    DEVICE_MTU,   /* of one that is started */
    DEVICE_LINK,  /* is it up? */
};

struct device_job {
    enum device_job_kind kind;
    /* what is wanted */
    char devargs[DEVICE_ARGS_MAX]; /* OPEN */
    /* OPEN: the kernel's interface that must exist first; "": none */
    char interface[DEVICE_ARGS_MAX];
    bool watched;             /* OPEN: its link state comes from elsewhere */
    bool again;               /* OPEN: it has failed before, and its reason is known */
    uint16_t mtu;             /* OPEN, MTU */
    uint16_t id;              /* the device's number; an answer of OPEN */
    uint16_t queues, workers; /* OPEN: receive queues to have; workers who may send by it */
    /* answers */
    int error; /* 0 or a negative errno, and then a sentence */
    char reason[DEVICE_REASON_MAX];
    struct rte_ether_addr mac;     /* OPEN */
    bool up;                       /* OPEN, LINK */
    bool announces;                /* OPEN: it announces changes of its link state */
    uint16_t rx_queues, tx_queues; /* OPEN; at most LINK_QUEUES_MAX */
    bool rx_follows;               /* OPEN: with other `queues` it would have other rx_queues */

    void (*done)(struct device_job *job); /* on the control core */
    void *arg;
    struct device_job *next;
};

/* Say in job->reason why; returns the negative errno. For the files of the device thread. */
int device_failed(struct device_job *job, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

struct devices;

/* Start the thread. wake(arg) is called on any thread when devices_poll() has something to do. 0 or
 * a negative errno. */
int devices_start(struct rte_mempool *pool, void (*wake)(void *arg), void *arg,
                  struct devices **devices);

/* End the thread, after all jobs that were submitted; their done() is called. False: it does not
 * end within the time, because a device hangs; then the process can only be left. */
bool devices_stop(struct devices *devices, unsigned timeout_ms);

/* Hand in jobs, linked by `next`, all at once. */
void devices_submit(struct devices *devices, struct device_job *jobs);

/* Call done() of finished jobs. Returns how many. */
unsigned devices_poll(struct devices *devices);

/* Device ids whose link state may have changed, and those that are gone, since the last call; bit
 * masks. */
uint32_t devices_changed(struct devices *devices);
uint32_t devices_gone(struct devices *devices);

#endif
