/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * IP fragments, and order, at af_packet ports.
 *
 * DPDK's af_packet driver has the kernel put IP fragments together before it gets them
 * (PACKET_FANOUT_FLAG_DEFRAG), and cuts what is then longer than its buffers: datagrams of more than 2 KiB
 * never arrive whole. A router and a bridge must see fragments as they came. Later versions of DPDK have an
 * option for it (defrag=0); 22.11 has none.
 *
 * With several queues (qpairs=N) it also has the kernel put packets of a queue that is full into another
 * (PACKET_FANOUT_FLAG_ROLLOVER): flows would move between workers, and lose their order, whenever there is
 * much to do. Without it the kernel drops what a queue has no room for.
 */
#ifndef KEDGE_DATAPLANE_FANOUT_H
#define KEDGE_DATAPLANE_FANOUT_H

/* From now on packet sockets of this process that join a fanout group get fragments as they came, and
 * each flow through one socket. Call it before the first device is opened. */
void fanout_keep_fragments(void);

#endif
