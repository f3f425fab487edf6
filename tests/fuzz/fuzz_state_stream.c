/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzzes what a daemon takes over in a live update: the stream itself, and the store and the server that are
 * made of it.
 *
 * A stream that was mangled ends at its checksum, so what the records of the input say is written anew, with
 * the right one, and then taken into a store and a server: it must be refused, or can be handed over again.
 */
#include <assert.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "nameserv/connection_ring.h"
#include "nameserv/live_state.h"
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

/* ---- descriptors ---- */

/* Those of the input are numbers of a process that never was. What stands for them lies from FIRST on, and is
 * closed by the server that takes it, or at the end. */
enum { FIRST = 500, LAST = 900 };

static int next_descriptor;
static int sockets; /* of the records before */

static uint64_t place(int fd)
{
    int placed = fd < 0 || next_descriptor > LAST ? -1 : dup2(fd, next_descriptor++);

    close(fd);
    return placed < 0 ? LAST + 1 : (uint64_t)placed;
}

static int socket_end(void)
{
    int ends[2];

    assert(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    place(ends[1]);
    return ends[0];
}

static int memory(int seals)
{
    int fd = memfd_create("ring", MFD_ALLOW_SEALING);

    assert(ftruncate(fd, 2 * NS_RING_PAGE_SIZE) == 0);
    assert(fcntl(fd, F_ADD_SEALS, seals) == 0);
    return fd;
}

/* A number says which kind of descriptor stands for it. */
static uint64_t descriptor_for(uint64_t number)
{
    if (number == NS_STATE_NONE)
        return NS_STATE_NONE;
    switch (number % 8) {
    case 0: return place(memory(F_SEAL_SHRINK));
    case 1:
    case 2: return place(eventfd(0, 0));
    case 3: return place(socket_end());
    case 4: return place(memory(F_SEAL_SHRINK | F_SEAL_FUTURE_WRITE));
    case 5: return place(memory(0));
    case 6: return place(socket(AF_UNIX, SOCK_STREAM, 0)); /* connected to nobody */
    default: return LAST + 1;
    }
}

static void give_descriptors(struct ns_state_record *record)
{
    uint64_t *numbers = record->numbers;

    if (record->type == NS_STATE_CONNECTION && numbers[0] != NS_STATE_NONE) {
        numbers[0] = place(socket_end());
        sockets++;
    } else if (record->type == NS_STATE_RING) {
        if (numbers[1] != NS_STATE_NONE) /* each socket has taken two places */
            numbers[1] = FIRST + 1 + 2 * (numbers[1] % ((uint64_t)sockets + 1));
        for (int i = 3; i < 7; i++)
            numbers[i] = descriptor_for(numbers[i]);
    } else if (record->type == NS_STATE_HANDED) {
        for (int i = 0; i < 4; i++)
            numbers[i] = descriptor_for(numbers[i]);
    }
}

/* ---- the state ---- */

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
            if (record.type == NS_STATE_GLOBAL || next_descriptor > LAST - 16)
                continue;
            give_descriptors(&record);
            ns_state_write(&writer, &record);
        }
    assert(ns_state_end(&writer) == 0);
    fclose(stream);
    return fd;
}

/* What was taken can be handed over again. */
static void hand_over(struct ns_server *server)
{
    const struct ns_request nobody = {.connection = NULL};
    struct ns_live_state *state;
    struct ns_reason reason;
    int fd = ns_live_state_make(server, &nobody);

    assert(fd >= 0);
    assert(ns_live_state_open_fd(fd, &state, &reason) == 0);
    ns_live_state_free(state);
    close(fd);
}

static uint64_t one_round(void *loop)
{
    ns_loop_stop(loop);
    return 0;
}

static void fill_server(struct ns_live_state *state, struct ns_store *store)
{
    const struct ns_server_options options = {.path = "/nowhere/socket",
                                              .taken_over = true,
                                              .listening = socket_end(),
                                              .lock = memfd_create("lock", MFD_CLOEXEC)};
    struct ns_reason reason = {.text = ""};
    struct ns_loop *loop = ns_loop_new();
    struct ns_server *server;

    assert(loop != NULL);
    assert(ns_server_new(store, loop, &options, &reason, &server) == 0);
    if (ns_live_state_fill_server(state, server, &reason) != 0)
        assert(reason.text[0] != '\0');
    else
        hand_over(server);
    ns_loop_hook(loop, one_round, loop);
    ns_loop_run(loop);
    ns_server_free(server);
    ns_loop_free(loop);
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
    else
        fill_server(state, store);
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
    next_descriptor = FIRST;
    sockets = 0;
    fd = rewrite(bytes, size);
    assert(ns_live_state_open_fd(fd, &state, &reason) == 0);
    fill(state);
    ns_live_state_free(state);
    close(fd);
    close_range(FIRST, LAST, 0);
    free(bytes);
    return 0;
}
