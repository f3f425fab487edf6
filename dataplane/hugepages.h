/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Hugepages of this machine: how many there are, and the files that DPDK leaves on them.
 *
 * Thread safety: no state; any thread.
 */
#ifndef KEDGE_DATAPLANE_HUGEPAGES_H
#define KEDGE_DATAPLANE_HUGEPAGES_H

#include <stdbool.h>
#include <stdint.h>

/* Bytes of free hugepages in those sizes for which a hugetlbfs is mounted that we may write to. */
uint64_t hugepages_available(void);

/* Remove files named PREFIXmap_N from every mounted hugetlbfs: those that no living process holds
 * locked, or all of them. */
void hugepages_remove(const char *prefix, bool all);

/* Remove a folder and the files in it, not what lies in folders below. */
void folder_remove(const char *path);

#endif
