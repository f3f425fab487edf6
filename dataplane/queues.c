/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Queues of a device; see queues.h.
 */
#include "dataplane/queues.h"

#include <errno.h>
#include <string.h>

#include "nameserv/log.h"

#define RSS_FIELDS (RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP | RTE_ETH_RSS_SCTP)

/* What is known of drivers; any other gets one for each worker if it has RSS. */
enum kind { BY_RSS, BY_ARGUMENTS, PAIRED, ONE };

static enum kind kind_of(const struct rte_eth_dev_info *info)
{
    static const struct {
        const char *driver;
        enum kind kind;
    } known[] = {
        {"net_af_packet", BY_ARGUMENTS},
        {"net_af_xdp", BY_ARGUMENTS},
        {"net_pcap", BY_ARGUMENTS},
        {"net_memif", BY_ARGUMENTS},
        {"net_vhost", BY_ARGUMENTS},
        {"net_ring", PAIRED},
        {"net_tap", ONE},
    };

    for (size_t i = 0; i < RTE_DIM(known); i++)
        if (strcmp(known[i].driver, info->driver_name) == 0)
            return known[i].kind;
    return BY_RSS;
}

static int as_the_arguments_say(struct device_job *job, const struct rte_eth_dev_info *info)
{
    if (info->max_rx_queues > LINK_QUEUES_MAX)
        return device_failed(job, EINVAL, "the device has %u queues; %d are the most",
                             info->max_rx_queues, LINK_QUEUES_MAX);
    job->rx_queues = RTE_MAX(info->max_rx_queues, 1);
    job->tx_queues = RTE_MAX(RTE_MIN(info->max_tx_queues, LINK_QUEUES_MAX), 1);
    return 0;
}

static uint16_t at_most(uint16_t wanted, uint16_t most)
{
    return RTE_MAX(RTE_MIN(wanted, most), 1);
}

int queues_choose(struct device_job *job, const struct rte_eth_dev_info *info)
{
    uint16_t pairs = at_most(job->workers, RTE_MIN(info->max_rx_queues, info->max_tx_queues));

    job->rx_follows = false;
    job->rx_queues = job->tx_queues = 1;
    switch (kind_of(info)) {
    case BY_ARGUMENTS: return as_the_arguments_say(job, info);
    case PAIRED: job->rx_queues = job->tx_queues = pairs; break;
    case ONE: break;
    case BY_RSS:
        job->tx_queues = at_most(job->workers, info->max_tx_queues);
        job->rx_follows =
            (info->flow_type_rss_offloads & RSS_FIELDS) != 0 && info->max_rx_queues > 1;
        if (job->rx_follows)
            job->rx_queues = at_most(job->queues, info->max_rx_queues);
    }
    return 0;
}

void queues_spread(const struct device_job *job, const struct rte_eth_dev_info *info,
                   struct rte_eth_conf *conf)
{
    if (!job->rx_follows || job->rx_queues == 1)
        return;
    conf->rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
    conf->rx_adv_conf.rss_conf.rss_hf = RSS_FIELDS & info->flow_type_rss_offloads;
}

void queues_share(const struct device_job *job)
{
    struct rte_eth_rss_reta_entry64 reta[RTE_ETH_RSS_RETA_SIZE_512 / RTE_ETH_RETA_GROUP_SIZE];
    struct rte_eth_dev_info info;
    int error;

    if (!job->rx_follows || job->rx_queues == 1 || rte_eth_dev_info_get(job->id, &info) < 0 ||
        info.reta_size == 0 || info.reta_size > RTE_ETH_RSS_RETA_SIZE_512)
        return;
    memset(reta, 0, sizeof(reta));
    for (unsigned i = 0; i < info.reta_size; i++) {
        struct rte_eth_rss_reta_entry64 *group = &reta[i / RTE_ETH_RETA_GROUP_SIZE];

        group->mask |= UINT64_C(1) << i % RTE_ETH_RETA_GROUP_SIZE;
        group->reta[i % RTE_ETH_RETA_GROUP_SIZE] = (uint16_t)(i % job->rx_queues);
    }
    error = rte_eth_dev_rss_reta_update(job->id, reta, info.reta_size);
    if (error < 0 && error != -ENOTSUP)
        ns_log(NS_LOG_WARNING,
               "device %u: it does not take our table of shares (%s), and uses its own", job->id,
               rte_strerror(-error));
}
