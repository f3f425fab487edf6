/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Text of others (names, values, sentences that quote them) as people may see it: printable characters as
 * they are, all else escaped as in a line of a configuration: \n, \r, \t, \\ and \xHH. So nobody's value begins
 * a line of its own, or speaks to the terminal. Single-threaded; memory that is short ends the program.
 */
#ifndef KEDGE_CLI_TEXT_H
#define KEDGE_CLI_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Bytes of the UTF-8 character (RFC 3629) at text, 0 if there is none; NUL to 0x1f and 0x7f are none here. */
size_t text_utf8_size(const char *text, size_t size);

/* Is this character of UTF-8 one that a terminal obeys instead of showing it? U+0080 to U+009F are controls as well, and
 * those that turn the direction of writing (U+202A to U+202E, U+2066 to U+2069) put text where it does not stand. */
bool text_is_obeyed(const char *character, size_t size);

void text_print(FILE *file, const char *text, size_t size);
void text_print_string(FILE *file, const char *text);

/* The same as a string, malloc'ed. */
char *text_printable(const char *text, size_t size);

#endif
