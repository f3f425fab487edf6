/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * kedged: a userspace network stack whose flows follow their names.
 */
#include <stdio.h>

#include "dataplane/daemon.h"
#include "nameserv/live_update.h"

int main(int argc, char **argv)
{
    char why[OPTIONS_WHY_MAX];
    struct options options;

    switch (options_parse(argc, argv, &options, why, sizeof(why))) {
    case OPTIONS_DONE: return 0;
    case OPTIONS_BAD: fprintf(stderr, "kedged: %s\n", why); return 2;
    case OPTIONS_RUN: break;
    }
    ns_log_set(options.log);
    if (ns_live_update_is_trial())
        return daemon_try(&options);
    return options.check ? daemon_check(&options) : daemon_run(&options);
}
