/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzzes what a daemon takes over in a live update: the stream itself, and the store that is made of it.
 *
 * A stream that was mangled ends at its checksum, so what the records of the input say is written anew, with
 * the right one, and then taken into a store: it must be refused, or come out as it went in.
 */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "nameserv/live_update.h"
#include "nameserv/state_stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_inside(const struct ns_state_record *record, const char *bytes, size_t size)
{
    for (int i = 0; i < NS_STATE_TEXTS; i++)
        if (record->texts[i].size > 0)
            assert(record->texts[i].bytes >= bytes &&
                   record->texts[i].bytes + record->texts[i].size <= bytes + size);
}

/* Rewrite the input's records; the descriptor of the new stream. */
static int rewrite(const char *bytes, size_t size)
{
    int fd = memfd_create("fuzz", 0);
    FILE *stream = fdopen(dup(fd), "w");
    struct ns_state_record record = {.type = NS_STATE_GLOBAL, .numbers = {7, 1000, 1001}};
    struct ns_state_reader reader;
    struct ns_state_writer writer;

    ns_state_begin(&writer, stream);
    ns_state_write(&writer, &record);
    if (ns_state_open(&reader, bytes, size) == 0)
        while (ns_state_read(&reader, &record) == 1) {
            check_inside(&record, bytes, size);
            if (record.type != NS_STATE_GLOBAL)
                ns_state_write(&writer, &record);
        }
    assert(ns_state_end(&writer) == 0);
    fclose(stream);
    return fd;
}

static void fill(struct ns_live_state *state)
{
    const struct ns_store_options none = {.lcores = 0};
    struct ns_reason reason = {.text = ""};
    struct ns_store *store;
    char why[256];

    if (ns_store_new(&none, &store) != 0)
        return;
    if (ns_live_state_fill_store(state, store, &reason) != 0)
        assert(reason.text[0] != '\0');
    if (ns_tree_check(ns_store_version(store)->root, why, sizeof(why)) != 0)
        abort();
    ns_store_free(store);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *bytes =
        malloc(size > 0 ? size : 1); /* of exactly its size: a read past the end is seen */
    struct ns_live_state *state = NULL;
    struct ns_reason reason;
    int fd;

    if (bytes == NULL)
        return 0;
    memcpy(bytes, data, size);
    fd = rewrite(bytes, size);
    assert(ns_live_state_open_fd(fd, &state, &reason) == 0);
    fill(state);
    ns_live_state_free(state);
    close(fd);
    free(bytes);
    return 0;
}
