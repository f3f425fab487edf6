/* SPDX-License-Identifier: BSD-3-Clause */
/* Fuzzes paths as clients give them: what is legal has the right form, and can be written, read and removed. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nameserv/store.h"
#include "nameserv/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct ns_store *store;

static void require(bool condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "%s\n", what);
    abort();
}

static void stop(void)
{
    ns_store_free(store);
}

static void use(const char *path)
{
    struct ns_txn *txn;
    const void *value;
    size_t size;

    require(ns_txn_begin(store, &ns_identity_stack, &txn) == 0, "no transaction");
    require(ns_txn_write(txn, path, "v", 1) == 0, "a legal path that can't be written");
    require(ns_txn_read(txn, path, &value, &size) == 0 && size == 1, "or not be read");
    require(ns_txn_remove(txn, path) == 0 || strcmp(path, "/") == 0, "or not be removed");
    ns_txn_abort(txn);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ns_store_options options = {.lcores = 0};
    char given[8192], absolute[NS_PATH_MAX + 1];
    struct ns_reason reason = {.text = ""};
    int length;

    if (store == NULL) {
        require(ns_store_new(&options, &store) == 0, "no store");
        atexit(stop);
    }
    if (size >= sizeof(given) || memchr(data, '\0', size) != NULL)
        return 0;
    memcpy(given, data, size);
    given[size] = '\0';
    length = ns_wire_absolute(NS_WIRE_HOME, sizeof(NS_WIRE_HOME) - 1, given, size, absolute);
    if (length < 0)
        return 0;
    require((size_t)length == strlen(absolute) && length <= NS_PATH_MAX, "another length");
    if (ns_store_path_check(store, absolute, (size_t)length, &reason) != 0) {
        require(reason.text[0] != '\0', "a refusal without a reason");
        return 0;
    }
    require(absolute[0] == '/' && strstr(absolute, "//") == NULL, "a path of the wrong form");
    require(length == 1 || absolute[length - 1] != '/', "a slash at the end");
    use(absolute);
    return 0;
}
