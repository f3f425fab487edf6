/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Writing JSON.
 */
#include "dataplane/json.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

void json_begin(struct json *json)
{
    json->size = 0;
    json->room = NS_VALUE_MAX;
    json->full = json->comma = false;
    json->text[0] = '\0';
}

static void put(struct json *json, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void put(struct json *json, const char *format, ...)
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

static void put_quoted(struct json *json, const char *text)
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

static void put_key(struct json *json, const char *key)
{
    if (json->comma)
        put(json, ",");
    json->comma = true;
    if (key == NULL)
        return;
    put_quoted(json, key);
    put(json, ":");
}

void json_open(struct json *json, const char *key, char bracket)
{
    put_key(json, key);
    put(json, "%c", bracket);
    json->comma = false;
}

void json_close(struct json *json, char bracket)
{
    put(json, "%c", bracket);
    json->comma = true;
}

void json_text(struct json *json, const char *key, const char *text)
{
    put_key(json, key);
    put_quoted(json, text);
}

void json_number(struct json *json, const char *key, uint64_t number)
{
    put_key(json, key);
    put(json, "%" PRIu64, number);
}

struct json_mark json_mark(const struct json *json)
{
    return (struct json_mark){ json->size, json->full, json->comma };
}

void json_reset(struct json *json, struct json_mark mark)
{
    json->size = mark.size;
    json->full = mark.full;
    json->comma = mark.comma;
    json->text[json->size] = '\0';
}
