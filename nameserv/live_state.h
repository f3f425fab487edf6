/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The state of a live update, made of a server and its store: between live_update.c and live_state.c.
 *
 * Thread safety: the control core only.
 */
#ifndef KEDGE_NAMESERV_LIVE_STATE_H
#define KEDGE_NAMESERV_LIVE_STATE_H

#include "nameserv/connection.h"

/* Can all rings be handed over? Those of Xen's domains can't. */
bool ns_live_state_can(const struct ns_server *server);

/* Write the state into a file without a name. `waits` is the request that is answered OK by whoever takes it
 * over. No connection may be broken. The descriptor, or a negative errno. */
int ns_live_state_make(struct ns_server *server, const struct ns_request *waits);

/* Shall the descriptors of the state survive exec? */
void ns_live_state_keep_open(const struct ns_server *server, int state, bool keep);

#endif
