/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Telling a service manager how it goes, by the protocol of sd_notify(3): a datagram to the socket
 * that $NOTIFY_SOCKET names. Nothing happens if there is none.
 *
 * Thread safety: any thread.
 */
#ifndef KEDGE_DATAPLANE_NOTIFY_H
#define KEDGE_DATAPLANE_NOTIFY_H

/* "READY=1", "STOPPING=1" */
void notify(const char *state);

#endif
