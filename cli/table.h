/* SPDX-License-Identifier: BSD-3-Clause */
/* Rows of named fields, printed as aligned columns or as JSON. */
#ifndef KEDGE_CLI_TABLE_H
#define KEDGE_CLI_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum { TABLE_FIELDS_MAX = 12 };

struct row {
    char *fields[TABLE_FIELDS_MAX]; /* malloc'ed; NULL: has none */
};

/* titles: NULL-terminated; they are the keys of the JSON objects, as in the name space. */
struct table {
    const char *titles[TABLE_FIELDS_MAX + 1];
    struct row *rows;
    size_t count, capacity;
};

/* A new row, all fields NULL. */
struct row *table_add(struct table *table);

/* Print, and free the rows. As JSON, an array of objects; single: the first row as one object. */
void table_print(struct table *table, bool json, bool single);

/* Write text as a JSON string, or bare if it is a plain decimal number. */
void json_string(FILE *file, const char *text);
void json_value(FILE *file, const char *text);

#endif
