/* SPDX-License-Identifier: BSD-3-Clause */
#include "cli/table.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "cli/session.h"

struct row *table_add(struct table *table)
{
    if (table->count == table->capacity) {
        table->capacity = table->capacity == 0 ? 16 : table->capacity * 2;
        table->rows = must(realloc(table->rows, table->capacity * sizeof(table->rows[0])));
    }
    memset(&table->rows[table->count], 0, sizeof(table->rows[0]));
    return &table->rows[table->count++];
}

void json_string(FILE *file, const char *text)
{
    fputc('"', file);
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\')
            fprintf(file, "\\%c", *text);
        else if ((unsigned char)*text < 0x20)
            fprintf(file, "\\u%04x", (unsigned char)*text);
        else
            fputc(*text, file);
    }
    fputc('"', file);
}

static bool is_number(const char *text)
{
    size_t size = strlen(text);

    if (size == 0 || size > 15 || (text[0] == '0' && size > 1))
        return false;
    while (isdigit((unsigned char)*text))
        text++;
    return *text == '\0';
}

void json_value(FILE *file, const char *text)
{
    if (is_number(text))
        fputs(text, file);
    else
        json_string(file, text);
}

static void print_object(const struct table *table, const struct row *row)
{
    const char *separator = "";

    putchar('{');
    for (int i = 0; table->titles[i] != NULL; i++) {
        if (row->fields[i] == NULL)
            continue;
        fputs(separator, stdout);
        json_string(stdout, table->titles[i]);
        putchar(':');
        json_value(stdout, row->fields[i]);
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

static const char *shown(const char *field)
{
    return field == NULL || *field == '\0' ? "-" : field;
}

static int width_of(const struct table *table, int column)
{
    size_t width = strlen(table->titles[column]);

    for (size_t i = 0; i < table->count; i++)
        if (strlen(shown(table->rows[i].fields[column])) > width)
            width = strlen(shown(table->rows[i].fields[column]));
    return (int)width;
}

static void print_columns(const struct table *table)
{
    int width[TABLE_FIELDS_MAX];

    if (table->count == 0)
        return;
    for (int i = 0; table->titles[i] != NULL; i++) {
        width[i] = table->titles[i + 1] == NULL ? 0 : width_of(table, i);
        printf("%-*s%s", width[i], table->titles[i], table->titles[i + 1] == NULL ? "\n" : "  ");
    }
    for (size_t row = 0; row < table->count; row++)
        for (int i = 0; table->titles[i] != NULL; i++)
            printf("%-*s%s", width[i], shown(table->rows[row].fields[i]),
                   table->titles[i + 1] == NULL ? "\n" : "  ");
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
