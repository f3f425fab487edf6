/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Writing JSON (RFC 8259) into a text of bounded size: what does not fit makes it `full`, and the
 * caller takes back to where it was before (stats_json_mark(), stats_json_reset()).
 *
 * Thread safety: one writer belongs to one thread.
 */
#ifndef KEDGE_DATAPLANE_STATS_JSON_H
#define KEDGE_DATAPLANE_STATS_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nameserv/tree.h"

struct stats_json {
    size_t size; /* of the text, without a NUL */
    size_t room; /* at most NS_VALUE_MAX */
    bool full;   /* something did not fit */
    bool comma;  /* the next value needs one before it */
    char text[NS_VALUE_MAX + 1];
};

/* Start an empty text that may be as long as a value. */
void stats_json_begin(struct stats_json *json);

/* key NULL: in an array, or at the top. bracket: '{' or '['. */
void stats_json_open(struct stats_json *json, const char *key, char bracket);
void stats_json_close(struct stats_json *json, char bracket); /* '}' or ']' */
void stats_json_text(struct stats_json *json, const char *key, const char *text);
void stats_json_number(struct stats_json *json, const char *key, uint64_t number);

/* To take back what was written since, also what made it full. */
struct stats_json_mark {
    size_t size;
    bool full, comma;
};
struct stats_json_mark stats_json_mark(const struct stats_json *json);
void stats_json_reset(struct stats_json *json, struct stats_json_mark mark);

#endif
