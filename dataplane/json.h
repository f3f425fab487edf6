/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Writing JSON (RFC 8259) into a text of bounded size: what does not fit makes it `full`, and the caller
 * takes back to where it was before (json_mark(), json_reset()).
 *
 * Thread safety: one writer belongs to one thread.
 */
#ifndef KEDGE_DATAPLANE_JSON_H
#define KEDGE_DATAPLANE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nameserv/tree.h"

struct json {
    size_t size; /* of the text, without a NUL */
    size_t room; /* at most NS_VALUE_MAX */
    bool full;   /* something did not fit */
    bool comma;  /* the next value needs one before it */
    char text[NS_VALUE_MAX + 1];
};

/* Start an empty text that may be as long as a value. */
void json_begin(struct json *json);

/* key NULL: in an array, or at the top. bracket: '{' or '['. */
void json_open(struct json *json, const char *key, char bracket);
void json_close(struct json *json, char bracket); /* '}' or ']' */
void json_text(struct json *json, const char *key, const char *text);
void json_number(struct json *json, const char *key, uint64_t number);

/* To take back what was written since, also what made it full. */
struct json_mark {
    size_t size;
    bool full, comma;
};
struct json_mark json_mark(const struct json *json);
void json_reset(struct json *json, struct json_mark mark);

#endif
