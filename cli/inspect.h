/* SPDX-License-Identifier: BSD-3-Clause */
/* What the commands that look into the stack share. Single-threaded. */
#ifndef KEDGE_CLI_INSPECT_H
#define KEDGE_CLI_INSPECT_H

#include "cli/tree.h"

/* A flow's key, as in "udp 10.1.0.2:4000 > 10.2.0.2:53, from i1". */
void inspect_print_key(const struct node *flow);

#endif
