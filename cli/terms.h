/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Terms of flows, as in "flow why src=10.1.0.2 dst=10.2.0.0/16 proto=tcp dport=80": what a user knows of a
 * flow, judged before anybody is asked, and compared with the flows that there are. No state; any thread.
 */
#ifndef KEDGE_CLI_TERMS_H
#define KEDGE_CLI_TERMS_H

#include <stdbool.h>
#include <stdint.h>

enum term {
    TERM_SRC,
    TERM_DST,
    TERM_PROTO,
    TERM_SPORT,
    TERM_DPORT,
    TERM_IFACE,
    TERM_BRIDGE,
    TERM_MAC,
    TERMS
};

/* As they are written, without the '='. */
extern const char *const term_names[TERMS + 1];

struct terms {
    const char *given[TERMS]; /* words of the user; NULL: any */
    uint32_t low[TERMS],
        high[TERMS]; /* of addresses, ports and protocols, in the host's byte order */
};

/* Take NAME=VALUE in. 0, or -EINVAL with a sentence in why[COMMAND_WHY_MAX]. The word must stay. */
int terms_take(struct terms *terms, const char *word, char *why);

/* All are taken: do they go together? 0, or -EINVAL with a sentence in why[COMMAND_WHY_MAX]. */
int terms_finish(const struct terms *terms, char *why);

/* Do they name one flow, so that it can be asked for? */
bool terms_name_one(const struct terms *terms);

/* Does a flow's value fit? "": the flow has no such term. */
bool terms_fit(const struct terms *terms, enum term term, const char *value);

#endif
