/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzzes the parsers of the wire protocol: the input is a stream of messages, and each payload is taken
 * apart in every shape. What a parser gives back must lie inside of the payload.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "nameserv/perms.h"
#include "nameserv/tree.h"
#include "nameserv/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void parse(enum ns_wire_shape shape, const char *payload, size_t size)
{
    struct ns_wire_arguments arguments;
    struct ns_perm list[NS_PERMS_MAX];
    char absolute[NS_PATH_MAX + 1];
    uint64_t number;
    int length;

    if (ns_wire_parse(shape, payload, size, &arguments) < 0 || shape == NS_WIRE_ANYTHING)
        return;
    assert(arguments.first == payload && strlen(arguments.first) == arguments.first_size);
    assert(arguments.rest == payload + arguments.first_size + 1);
    assert(arguments.rest + arguments.rest_size <= payload + size);
    length =
        ns_wire_absolute("/local/domain/7/", 16, arguments.first, arguments.first_size, absolute);
    assert(length < 0 || (length <= NS_PATH_MAX && strlen(absolute) == (size_t)length));
    if (ns_wire_number(arguments.first, UINT32_MAX, &number) == 0)
        assert(number <= UINT32_MAX);
    length = ns_perms_parse(arguments.rest, arguments.rest_size, list);
    assert(length <= NS_PERMS_MAX);
    ns_wire_error_number(arguments.first, arguments.first_size + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ns_wire_header header;
    int taken;

    while ((taken = ns_wire_next(data, size, &header)) > 0) {
        /* In memory of exactly its size: a read past the end is seen. */
        char *payload = malloc(header.size > 0 ? header.size : 1);

        if (payload == NULL)
            break;
        memcpy(payload, data + NS_WIRE_HEADER_SIZE, header.size);
        for (int shape = NS_WIRE_ANYTHING; shape <= NS_WIRE_LIST; shape++)
            parse((enum ns_wire_shape)shape, payload, header.size);
        free(payload);
        data += taken;
        size -= (size_t)taken;
    }
    return 0;
}
