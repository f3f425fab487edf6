/* SPDX-License-Identifier: BSD-3-Clause */
/* Rows of named fields, printed as aligned columns or as JSON. */
#ifndef KEDGE_CLI_TABLE_H
#define KEDGE_CLI_TABLE_H

#include <stdbool.h>
#include <stddef.h>

enum { TABLE_FIELDS_MAX = 20 };

enum column_kind {
    COLUMN_TEXT,
    COLUMN_NUMBER,
    COLUMN_LIST,   /* words; an array in JSON */
    COLUMN_DETAIL, /* a number that is in JSON only */
};

/* The title is the key of the JSON object, as in the name space. */
struct column {
    const char *title;
    enum column_kind kind;
};

struct row {
    char *fields[TABLE_FIELDS_MAX]; /* malloc'ed; NULL: has none */
};

struct table {
    const struct column *columns; /* up to one without a title */
    struct row *rows;
    size_t count, capacity;
};

/* A new row, all fields NULL. Valid until the next one. */
struct row *table_add(struct table *table);

/* Order by the first two columns, numbers in them by their value: 10.0.0.9 before 10.0.0.10. */
void table_sort(struct table *table);

/* Print, and free the rows. As JSON, an array of objects; single: the first row as one object. */
void table_print(struct table *table, bool json, bool single);

#endif
