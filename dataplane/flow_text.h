/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Keys of flows as text: what users ask for in /stats/why/KEY.
 *
 * Thread safety: no state; any thread.
 */
#ifndef KEDGE_DATAPLANE_FLOW_TEXT_H
#define KEDGE_DATAPLANE_FLOW_TEXT_H

#include "arp/links.h"
#include "flows/flow.h"

enum { FLOW_SCOPE_ANY = 0xffff };

/* "src=10.0.0.1,dst=10.0.0.2,proto=udp,sport=1,dport=2,iface=i1": src, dst and proto must be given,
 * ports are 0 and the interface is any if they are not. Or "bridge=br0,mac=02:00:00:00:00:05". 0;
 * or -EINVAL with a sentence in why. */
int flow_parse_key(const struct links *links, const char *text, union flow_key *key, char *why,
                   size_t why_size);

/* "tcp", or the number, written to the buffer of 8 bytes if need be. */
const char *flow_proto_name(uint8_t proto, char *buffer);

#endif
