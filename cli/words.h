/* SPDX-License-Identifier: BSD-3-Clause */
/* Words: what helps to read them and to say what is wrong with them. No state; any thread. */
#ifndef KEDGE_CLI_WORDS_H
#define KEDGE_CLI_WORDS_H

#include <stdbool.h>
#include <stddef.h>

/* Of the words of a NULL-terminated list, the one that is most like `word` (Levenshtein's distance), NULL
 * if none is like it at all. */
const char *words_nearest(const char *word, const char *const *list);

/* Write a sentence into why[COMMAND_WHY_MAX]: '"word" is not ...; did you mean "..."?' or, if nothing is
 * like it, the list of what would be right. Returns -EINVAL. */
int words_refuse(char *why, const char *what, const char *word, const char *const *list);

/* Is it a MAC address: six pairs of hexadecimal digits with colons between? */
bool words_is_mac(const char *word);

#endif
