/* SPDX-License-Identifier: BSD-3-Clause */
/* Writing JSON. What is no UTF-8 is written as the code points of its bytes, so that the output always is. */
#ifndef KEDGE_CLI_JSON_H
#define KEDGE_CLI_JSON_H

#include <stddef.h>
#include <stdio.h>

/* As a string. */
void json_bytes(FILE *file, const char *text, size_t size);
void json_string(FILE *file, const char *text);

/* As a number if it is one (decimal, with or without a fraction), else as a string. */
void json_value(FILE *file, const char *text);

#endif
