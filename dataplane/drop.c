/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Dropping a packet, with the reason counted.
 */
#include "dataplane/worker_p.h"

static const char *const drop_reason_names[DROP_REASONS] = {
    [DROP_SHORT] = "short",
    [DROP_NOT_OURS] = "not-ours",
    [DROP_NO_INTERFACE] = "no-interface",
    [DROP_ETHERTYPE] = "ethertype",
    [DROP_BAD_SOURCE] = "bad-source",
    [DROP_IP_HEADER] = "ip-header",
    [DROP_IP_CHECKSUM] = "ip-checksum",
    [DROP_IP_OPTIONS_SOURCE_ROUTE] = "source-route",
    [DROP_TTL] = "ttl",
    [DROP_MTU] = "mtu",
    [DROP_NO_ROUTE] = "no-route",
    [DROP_BLACKHOLE] = "blackhole",
    [DROP_DENIED] = "denied",
    [DROP_UNREACHABLE] = "unreachable",
    [DROP_HOLD_FULL] = "hold-full",
    [DROP_HOLD_TIMEOUT] = "hold-timeout",
    [DROP_FLOWS_FULL] = "flows-full",
    [DROP_SAME_PORT] = "same-port",
    [DROP_PORT_DOWN] = "port-down",
    [DROP_TX_FULL] = "tx-full",
    [DROP_NO_BUFFER] = "no-buffer",
    [DROP_REQUEST_FULL] = "request-full",
    [DROP_LOCAL] = "local",
    [DROP_RATE_LIMIT] = "icmp-rate-limit",
    [DROP_SPREAD_FULL] = "spread-full",
};

const char *drop_reason_name(enum drop_reason reason)
{
    return reason < DROP_REASONS ? drop_reason_names[reason] : "unknown";
}

void drop(struct worker *worker, struct rte_mbuf *mbuf, enum drop_reason reason)
{
    tally(worker->counters.drops[reason], 1);
    rte_pktmbuf_free(mbuf);
}
