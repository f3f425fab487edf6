/* SPDX-License-Identifier: BSD-3-Clause */
/* What definition.c and definition_parse.c share. For them and their tests only. */
#ifndef KEDGE_FLOWS_DEFINITION_P_H
#define KEDGE_FLOWS_DEFINITION_P_H

#include "flows/definition.h"

/* What a changed definition claimed before, or claims since. */
struct claim {
    uint64_t version; /* of the commit that changed it */
    struct definition_match match;
};

/* The last changes, the newest in front: all those of commits after `complete`. */
enum { CLAIMS_KEPT = 16 };
struct claims {
    uint64_t complete;
    unsigned count;
    struct claim list[CLAIMS_KEPT];
};

/* The definitions of a version, those that are tried first in front. Immutable once published; the
 * definitions are shared with other versions. */
struct classifier {
    uint64_t version; /* commit that made it */
    struct claims claims;
    size_t count;
    const struct definition *items[];
};

/* The text of /flow/NAME/priority. 0, or -EINVAL with a sentence. */
int definition_parse_priority(const char *text, size_t size, int32_t *priority, char *why,
                              size_t why_size);

#endif
