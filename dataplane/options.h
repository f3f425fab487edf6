/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What kedged was told on its command line.
 *
 * Thread safety: read once at start; constant afterwards.
 */
#ifndef KEDGE_DATAPLANE_OPTIONS_H
#define KEDGE_DATAPLANE_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arp/neighbour.h"
#include "nameserv/journal.h"
#include "nameserv/log.h"

enum { OPTIONS_CPUS_MAX = 64, OPTIONS_EAL_MAX = 32, OPTIONS_WHY_MAX = 256 };

enum options_outcome {
    OPTIONS_RUN,  /* go on */
    OPTIONS_DONE, /* --help or --version: printed; exit 0 */
    OPTIONS_BAD,  /* why says which option is wrong and what would be right; exit 2 */
};

struct options {
    char **argv;              /* the whole command line; NULL at its end */
    const char *socket;       /* path of the control socket */
    unsigned socket_mode;     /* 0: the server's default */
    const char *socket_group; /* NULL: none */
    const char *config;       /* NULL: none */
    const char *journal;      /* NULL: none */
    enum ns_journal_sync journal_sync;
    bool check;      /* only read the configuration */
    bool json;       /* and say in JSON what is wrong with it */
    bool names_only; /* no EAL, no worker */

    unsigned workers;                /* 0: not given */
    unsigned cpu_count;              /* 0: not given */
    unsigned cpus[OPTIONS_CPUS_MAX]; /* the control core's, then the workers' in order */
    bool no_huge;
    unsigned memory; /* MiB for DPDK; 0: as much as the packets need */
    const char *file_prefix;
    unsigned packets; /* mbufs */
    const char *eal[OPTIONS_EAL_MAX];
    unsigned eal_count;

    unsigned flows; /* capacity of each worker's table */
    unsigned flow_idle;
    unsigned walk_share;
    bool poll;         /* workers never sleep */
    bool poll_control; /* nor does the control core */
    bool log_moves;    /* flows are told when they move */
    enum ns_log_level log;
    const char *log_file;          /* NULL: stderr */
    unsigned log_size, log_files;  /* MiB; of each log */
    const char *access_log;        /* NULL: none */
    const char *access_log_mounts; /* NULL: all */
    bool access_log_reads, access_log_transactions, access_log_specials;
    struct neighbours_options neighbours; /* 0: the default */
};

/* Read the command line. Strings point into argv. why gets a sentence if the outcome is
 * OPTIONS_BAD. */
enum options_outcome options_parse(int argc, char **argv, struct options *options, char *why,
                                   size_t why_size);

/* Read a list of CPUs as in "0,2-3": how many were written to cpus, or -EINVAL. A CPU may stand in
 * it more than once. */
int options_parse_cpus(const char *text, unsigned *cpus, unsigned max);

#endif
