/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * IP fragments at af_packet ports; see fanout.h. The driver offers nothing to hang this on, and a group's
 * flags can't be changed once it is there: so the program has a setsockopt() of its own, which the dynamic
 * linker prefers to libc's, also for drivers.
 */
#include "dataplane/fanout.h"

#include <linux/if_packet.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool keep_fragments;

void fanout_keep_fragments(void)
{
    keep_fragments = true;
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t size)
{
    uint32_t fanout;

    if (keep_fragments && level == SOL_PACKET && name == PACKET_FANOUT && size == sizeof(fanout)) {
        memcpy(&fanout, value, sizeof(fanout));
        /* Mode and flags are the upper half of the word. */
        fanout &= ~((uint32_t)(PACKET_FANOUT_FLAG_DEFRAG | PACKET_FANOUT_FLAG_ROLLOVER) << 16);
        value = &fanout;
    }
    return (int)syscall(SYS_setsockopt, fd, level, name, value, size);
}
