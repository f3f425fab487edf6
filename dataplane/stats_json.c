/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Writing JSON.
 */
#include "dataplane/stats_json.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

void stats_json_begin(struct stats_json *json)
{
    json->size = 0;
    json->room = NS_VALUE_MAX;
    json->full = json->comma = false;
    json->text[0] = '\0';
}

static void put(struct stats_json *json, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void put(struct stats_json *json, const char *format, ...)
{
    va_list arguments;
    int size;

    if (json->full)
        return;
    va_start(arguments, format);
    size = vsnprintf(json->text + json->size, json->room - json->size + 1, format, arguments);
    va_end(arguments);
    if (size < 0 || (size_t)size > json->room - json->size)
        json->full = true;
    else
        json->size += (size_t)size;
}

static void put_quoted(struct stats_json *json, const char *text)
{
    put(json, "\"");
    for (const char *c = text; *c != '\0'; c++) {
        if (*c == '"' || *c == '\\')
            put(json, "\\%c", *c);
        else if ((unsigned char)*c < ' ')
            put(json, "\\u%04x", (unsigned char)*c);
        else
            put(json, "%c", *c);
    }
    put(json, "\"");
}

static void put_key(struct stats_json *json, const char *key)
{
    if (json->comma)
        put(json, ",");
    json->comma = true;
    if (key == NULL)
        return;
    put_quoted(json, key);
    put(json, ":");
}

void stats_json_open(struct stats_json *json, const char *key, char bracket)
{
    put_key(json, key);
    put(json, "%c", bracket);
    json->comma = false;
}

void stats_json_close(struct stats_json *json, char bracket)
{
    put(json, "%c", bracket);
    json->comma = true;
}

void stats_json_text(struct stats_json *json, const char *key, const char *text)
{
    put_key(json, key);
    put_quoted(json, text);
}

void stats_json_number(struct stats_json *json, const char *key, uint64_t number)
{
    put_key(json, key);
    put(json, "%" PRIu64, number);
}

struct stats_json_mark stats_json_mark(const struct stats_json *json)
{
    return (struct stats_json_mark){json->size, json->full, json->comma};
}

void stats_json_reset(struct stats_json *json, struct stats_json_mark mark)
{
    json->size = mark.size;
    json->full = mark.full;
    json->comma = mark.comma;
    json->text[json->size] = '\0';
}
