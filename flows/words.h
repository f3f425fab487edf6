/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Values of /route and /flow are words with blanks between them: taking them apart, and saying what
 * is wrong with one. Private to flows/.
 *
 * Thread safety: no state; parsing functions may be called by any thread.
 */
#ifndef KEDGE_FLOWS_WORDS_H
#define KEDGE_FLOWS_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rte_byteorder.h>

enum { WORD_SHOWN = 48 }; /* bytes of a user's text that a sentence repeats */

/* A piece of a value; not NUL-terminated. */
struct word {
    const char *text;
    size_t size;
};

/* For a printf of "%.*s". */
#define WORD_ARGS(word) (int)((word).size < WORD_SHOWN ? (word).size : WORD_SHOWN), (word).text

/* Take the next word off the front of rest; false: there is none. */
bool word_next(struct word *rest, struct word *word);

bool word_is(struct word word, const char *text);

/* Cut the word in two at the first such byte; false: it is not there, and nothing is changed. */
bool word_cut(struct word word, char at, struct word *before, struct word *after);

/* Write the sentence, with everything in it that could disturb a terminal replaced. Returns
 * -EINVAL. */
int explain(char *why, size_t why_size, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A prefix "ADDR/LEN" or "ADDR" without host bits. 0, or -EINVAL with a sentence. */
int word_prefix(struct word word, rte_be32_t *prefix, uint8_t *length, char *why, size_t why_size);

/* The address of a host, as a next hop is. */
int word_next_hop(struct word word, rte_be32_t *address, char *why, size_t why_size);

/* The name of an interface, copied to name[LINK_NAME_MAX]. */
int word_iface(struct word word, char *name, char *why, size_t why_size);

#endif
