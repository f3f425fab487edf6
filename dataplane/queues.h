/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How many queues a device gets, and how it spreads what it receives over them.
 *
 *   driver                               receive queues                transmit queues
 *   with RSS: PCI, net_null, ...         one for each serving worker,  one for each worker
 *                                        at most /port/NAME/queues
 *   net_af_packet, net_af_xdp, net_pcap  as many as its arguments say  likewise
 *   net_ring                             one for each worker           likewise: a packet comes back in the
 *                                                                      queue that it was sent by
 *   net_tap, and those without RSS       one                           one; else one for each worker
 *
 * As far as the device has so many. All of those that arguments ask for are polled, because the kernel, or a
 * file, puts packets into each. A tap has one because the kernel moves a flow to the queue that was last sent
 * by: its order would be lost. Where workers are more than receive queues, spread.c spreads.
 *
 * RSS hashes addresses and ports (of fragments, addresses only), with the key that the driver brings: the two
 * directions of a connection are two flows here, so nothing would be won by a symmetric one.
 *
 * Thread safety: the device thread only.
 */
#ifndef KEDGE_DATAPLANE_QUEUES_H
#define KEDGE_DATAPLANE_QUEUES_H

#include <rte_ethdev.h>

#include "dataplane/device.h"

/* Fill in rx_queues, tx_queues and rx_follows. 0, or a negative errno with the reason in the job. */
int queues_choose(struct device_job *job, const struct rte_eth_dev_info *info);

/* Ask for RSS if there are several receive queues and the device has it. */
void queues_spread(const struct device_job *job, const struct rte_eth_dev_info *info,
                   struct rte_eth_conf *conf);

/* When the device has started: equal shares of the hashes to all receive queues. */
void queues_share(const struct device_job *job);

#endif
