/* SPDX-License-Identifier: BSD-3-Clause */
/* Fuzzes permission lists as they come over the wire: what is read is written the same again. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nameserv/perms.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "%s\n", what);
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ns_perm list[NS_PERMS_MAX], again[NS_PERMS_MAX];
    char text[NS_PERMS_MAX * 16];
    int count = ns_perms_parse((const char *)data, size, list), length;
    struct ns_perms *perms;

    require(count != 0 && count <= NS_PERMS_MAX, "a list has one entry at least, and not too many");
    if (count < 0)
        return 0;
    perms = ns_perms_new(list, (size_t)count);
    require(perms != NULL, "out of memory");
    length = ns_perms_format(perms, text, sizeof(text));
    require(length > 0, "a list that can't be written");
    require(ns_perms_parse(text, (size_t)length, again) == count, "another count");
    for (int i = 0; i < count; i++)
        require(list[i].id == again[i].id && list[i].rights == again[i].rights, "another entry");
    ns_perms_put(perms);
    return 0;
}
