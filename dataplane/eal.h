/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Starting and ending DPDK's environment (EAL): threads, memory, the pool of packets.
 *
 * Each daemon has a file prefix of its own, so that several run beside each other and tools like
 * dpdk-dumpcap find the right one. --in-memory would leave no files, but rules out such tools and
 * can't be combined with --no-huge; so files are used, and removed at the end, and what a killed
 * daemon has left is removed at the next start.
 *
 * Thread safety: the control core only.
 */
#ifndef KEDGE_DATAPLANE_EAL_H
#define KEDGE_DATAPLANE_EAL_H

#include <limits.h>

#include <rte_mempool.h>

#include "dataplane/options.h"
#include "dataplane/worker.h"

struct eal {
    bool huge;                     /* memory is in hugepages */
    unsigned workers;              /* how many lcores for workers there are */
    unsigned lcores[WORKERS_MAX];  /* their EAL ids */
    struct rte_mempool *pool;      /* of packets */
    char prefix[64];               /* of files */
    char runtime_folder[PATH_MAX]; /* DPDK's own, of this daemon; "" before it was made */
};

/* How many workers were asked for, by number or by CPUs. */
unsigned eal_workers(const struct options *options);

/* Start it: the calling thread becomes the control core and is bound to its CPU. Refuses CPUs that
 * may not be used; without enough hugepages it goes on without any, and says what that costs. 0, or
 * a negative errno and a sentence in why. */
int eal_start(const struct options *options, struct eal *eal, char *why, size_t why_size);

/* End it. All workers have stopped and all devices are closed. */
void eal_stop(struct eal *eal);

/* A pool of packet buffers. Like rte_pktmbuf_pool_create(), but it need not be contiguous for devices: without
 * hugepages buffers would otherwise land one to a page at the same offset, and fight for cache sets. NULL: no
 * memory, or the name is taken. Any thread. */
struct rte_mempool *eal_make_pool(const char *name, unsigned packets);

/* The calling thread is about to do again what DPDK has complained about before: its messages are
 * for debugging only, until false. Any thread. */
void eal_quiet(bool quiet);

/* Only remove the files: the last resort of a daemon that can't end properly. Any thread. */
void eal_remove_files(const struct eal *eal);

#endif
