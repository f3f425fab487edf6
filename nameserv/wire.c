/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The Xenstore wire protocol: reading headers and payloads, naming errors.
 */
#include "nameserv/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "nameserv/tree.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

int ns_wire_next(const void *bytes, size_t size, struct ns_wire_header *header)
{
    if (size < NS_WIRE_HEADER_SIZE)
        return 0;
    memcpy(header, bytes, NS_WIRE_HEADER_SIZE);
    if (header->size > NS_WIRE_PAYLOAD_MAX)
        return -EMSGSIZE;
    if (size - NS_WIRE_HEADER_SIZE < header->size)
        return 0;
    return (int)(NS_WIRE_HEADER_SIZE + header->size);
}

/* ---- errors ---- */

/* The names that clients know. */
static const struct {
    int error;
    const char *name;
} wire_errors[] = {
    {EINVAL, "EINVAL"}, {EACCES, "EACCES"}, {EEXIST, "EEXIST"},       {EISDIR, "EISDIR"},
    {ENOENT, "ENOENT"}, {ENOMEM, "ENOMEM"}, {ENOSPC, "ENOSPC"},       {EIO, "EIO"},
    {ENOSYS, "ENOSYS"}, {EROFS, "EROFS"},   {ENOTEMPTY, "ENOTEMPTY"}, {EBUSY, "EBUSY"},
    {EAGAIN, "EAGAIN"}, {E2BIG, "E2BIG"},   {EISCONN, "EISCONN"},     {EPERM, "EPERM"},
};

/* What the others are called instead. Everything that is not here is EINVAL. */
static const struct {
    int error;
    int instead;
} nearest[] = {
    {EDQUOT, ENOSPC},     {ENOBUFS, ENOMEM}, {EMFILE, ENOMEM},    {ENFILE, ENOMEM},
    {ETIMEDOUT, EAGAIN},  {EINTR, EAGAIN},   {ECANCELED, EAGAIN}, {EINPROGRESS, EBUSY},
    {EADDRINUSE, EBUSY},  {EMSGSIZE, E2BIG}, {EOVERFLOW, E2BIG},  {EFBIG, E2BIG},
    {EOPNOTSUPP, ENOSYS}, {ENOTDIR, ENOENT}, {ENODEV, ENOENT},    {ENXIO, ENOENT},
    {ESRCH, ENOENT},      {EPIPE, EIO},      {ECONNRESET, EIO},   {EPROTO, EIO},
};

static const char *known_name(int error)
{
    for (size_t i = 0; i < COUNT(wire_errors); i++)
        if (wire_errors[i].error == error)
            return wire_errors[i].name;
    return NULL;
}

const char *ns_wire_error_name(int error)
{
    const char *name;

    if (error < 0)
        error = -error;
    name = known_name(error);
    for (size_t i = 0; name == NULL && i < COUNT(nearest); i++)
        if (nearest[i].error == error)
            name = known_name(nearest[i].instead);
    return name != NULL ? name : "EINVAL";
}

int ns_wire_error_number(const char *payload, size_t size)
{
    size_t length = strnlen(payload, size);

    for (size_t i = 0; i < COUNT(wire_errors); i++)
        if (strlen(wire_errors[i].name) == length &&
            memcmp(wire_errors[i].name, payload, length) == 0)
            return -wire_errors[i].error;
    return -EINVAL;
}

/* ---- payloads ---- */

static size_t count_nuls(const char *bytes, size_t size)
{
    size_t count = 0;

    for (size_t i = 0; i < size; i++)
        count += bytes[i] == '\0';
    return count;
}

int ns_wire_parse(enum ns_wire_shape shape, const char *payload, size_t size,
                  struct ns_wire_arguments *arguments)
{
    const char *end = size > 0 ? memchr(payload, '\0', size) : NULL;

    *arguments = (struct ns_wire_arguments){.first = "", .rest = ""};
    if (shape == NS_WIRE_ANYTHING || (shape == NS_WIRE_TEXTS && size == 0))
        return 0;
    if (end == NULL)
        return -EINVAL;
    arguments->first = payload;
    arguments->first_size = (size_t)(end - payload);
    arguments->rest = end + 1;
    arguments->rest_size = size - arguments->first_size - 1;
    if (shape == NS_WIRE_VALUE)
        return 0;
    if (shape == NS_WIRE_TEXTS) {
        arguments->count = (unsigned)count_nuls(payload, size);
        return payload[size - 1] == '\0' ? 0 : -EINVAL;
    }
    if (shape == NS_WIRE_STRING)
        return arguments->rest_size == 0 ? 0 : -EINVAL;
    if (arguments->rest_size == 0 || payload[size - 1] != '\0')
        return -EINVAL;
    if (shape == NS_WIRE_LIST)
        return 0;
    arguments->rest_size--;
    return count_nuls(arguments->rest, arguments->rest_size) == 0 ? 0 : -EINVAL;
}

const char *ns_wire_text(const struct ns_wire_arguments *arguments, unsigned index)
{
    const char *text = arguments->first;

    if (index >= arguments->count)
        return "";
    while (index-- > 0)
        text += strlen(text) + 1;
    return text;
}

int ns_wire_number(const char *text, uint64_t max, uint64_t *number)
{
    uint64_t value = 0;

    if (*text == '\0')
        return -EINVAL;
    for (; *text != '\0'; text++) {
        uint64_t digit = (uint64_t)(*text - '0');

        if (*text < '0' || *text > '9' || value > (max - digit) / 10 || digit > max)
            return -EINVAL;
        value = value * 10 + digit;
    }
    *number = value;
    return 0;
}

int ns_wire_absolute(const char *home, size_t home_size, const char *path, size_t size,
                     char *absolute)
{
    if (size == 0)
        return -EINVAL;
    if (path[0] == '/' || path[0] == '@')
        home_size = 0;
    else if (size > NS_WIRE_RELATIVE_MAX)
        return -EINVAL;
    if (home_size + size > NS_PATH_MAX)
        return -EINVAL;
    memcpy(absolute, home, home_size);
    memcpy(absolute + home_size, path, size);
    absolute[home_size + size] = '\0';
    return (int)(home_size + size);
}
