/* SPDX-License-Identifier: BSD-3-Clause */
#include "cli/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/json.h"
#include "cli/session.h"
#include "cli/text.h"

struct row *table_add(struct table *table)
{
    if (table->count == table->capacity) {
        table->capacity = table->capacity == 0 ? 16 : table->capacity * 2;
        table->rows = must(realloc(table->rows, table->capacity * sizeof(table->rows[0])));
    }
    memset(&table->rows[table->count], 0, sizeof(table->rows[0]));
    return &table->rows[table->count++];
}

static int compare_fields(const char *a, const char *b)
{
    return strverscmp(a != NULL ? a : "", b != NULL ? b : "");
}

static int compare_rows(const void *a, const void *b)
{
    const struct row *left = a, *right = b;
    int order = compare_fields(left->fields[0], right->fields[0]);

    return order != 0 ? order : compare_fields(left->fields[1], right->fields[1]);
}

void table_sort(struct table *table)
{
    if (table->count > 1)
        qsort(table->rows, table->count, sizeof(table->rows[0]), compare_rows);
}

/* ---- JSON ---- */

static void print_list(const char *words)
{
    const char *separator = "";

    putchar('[');
    while (*(words += strspn(words, " ")) != '\0') {
        size_t size = strcspn(words, " ");

        fputs(separator, stdout);
        json_bytes(stdout, words, size);
        separator = ",";
        words += size;
    }
    putchar(']');
}

static void print_field(enum column_kind kind, const char *field)
{
    if (kind == COLUMN_LIST)
        print_list(field);
    else if (kind == COLUMN_TEXT)
        json_string(stdout, field);
    else
        json_value(stdout, field);
}

static void print_object(const struct table *table, const struct row *row)
{
    const char *separator = "";

    putchar('{');
    for (int i = 0; table->columns[i].title != NULL; i++) {
        if (row->fields[i] == NULL)
            continue;
        fputs(separator, stdout);
        json_string(stdout, table->columns[i].title);
        putchar(':');
        print_field(table->columns[i].kind, row->fields[i]);
        separator = ",";
    }
    putchar('}');
}

static void print_json(const struct table *table, bool single)
{
    if (single && table->count > 0) {
        print_object(table, &table->rows[0]);
        putchar('\n');
        return;
    }
    putchar('[');
    for (size_t i = 0; i < table->count; i++) {
        fputs(i == 0 ? "\n" : ",\n", stdout);
        print_object(table, &table->rows[i]);
    }
    puts(table->count > 0 ? "\n]" : "]");
}

/* ---- columns ---- */

static const char *shown(const char *field)
{
    return field == NULL || *field == '\0' ? "-" : field;
}

/* In characters: those of UTF-8 are its bytes without the ones that continue. */
static size_t length_of(const char *text)
{
    size_t length = 0;

    for (; *text != '\0'; text++)
        length += ((unsigned char)*text & 0xc0) != 0x80;
    return length;
}

static int width_of(const struct table *table, int column)
{
    size_t width = strlen(table->columns[column].title);

    for (size_t i = 0; i < table->count; i++) {
        size_t length = length_of(shown(table->rows[i].fields[column]));

        width = length > width ? length : width;
    }
    return (int)width;
}

static void make_printable(struct table *table)
{
    for (size_t row = 0; row < table->count; row++)
        for (int i = 0; table->columns[i].title != NULL; i++) {
            char *field = table->rows[row].fields[i];

            if (field != NULL)
                table->rows[row].fields[i] = text_printable(field, strlen(field));
            free(field);
        }
}

static void print_cell(const char *text, int width, bool right, bool last)
{
    int pad = width - (int)length_of(text);

    if (right)
        printf("%*s", pad, "");
    fputs(text, stdout);
    if (last)
        putchar('\n');
    else
        printf("%*s", right ? 2 : pad + 2, "");
}

static int last_column(const struct table *table)
{
    int last = 0;

    for (int i = 0; table->columns[i].title != NULL; i++)
        if (table->columns[i].kind != COLUMN_DETAIL)
            last = i;
    return last;
}

/* row NULL: the titles. */
static void print_line(const struct table *table, const int *width, int last, const struct row *row)
{
    for (int i = 0; i <= last; i++) {
        bool right = table->columns[i].kind == COLUMN_NUMBER;

        if (table->columns[i].kind != COLUMN_DETAIL)
            print_cell(row != NULL ? shown(row->fields[i]) : table->columns[i].title,
                       i == last && !right ? 0 : width[i], right, i == last);
    }
}

static void print_columns(struct table *table)
{
    int width[TABLE_FIELDS_MAX], last = last_column(table);

    if (table->count == 0)
        return;
    make_printable(table);
    for (int i = 0; i <= last; i++)
        width[i] = width_of(table, i);
    print_line(table, width, last, NULL);
    for (size_t row = 0; row < table->count; row++)
        print_line(table, width, last, &table->rows[row]);
}

void table_print(struct table *table, bool json, bool single)
{
    if (json)
        print_json(table, single);
    else
        print_columns(table);
    for (size_t row = 0; row < table->count; row++)
        for (int i = 0; i < TABLE_FIELDS_MAX; i++)
            free(table->rows[row].fields[i]);
    free(table->rows);
    table->rows = NULL;
    table->count = table->capacity = 0;
}
