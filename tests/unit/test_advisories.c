/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What went wrong in other Xenstore servers, one test each, over the socket. Where a test of something larger
 * has it already, it stands there:
 *
 *   XSA-326, a watcher that never reads   test_events, and here
 *   XSA-206, hot writers                  test_txn (thinking...), test_turn
 *   XSA-115, memory in a recursive RM     test_memory
 *   XSA-414, 415, 421, failed creations   test_memory
 *   XSA-420, sizes beyond 4096            test_connection (too_long...)
 *   failed look-ups are observed          test_txn (the matrix)
 *   zero-length requests                  test_connection
 *   O(watches) for an event               test_watch
 *   siblings by 8 clients                 test_txn
 *   XSA-352, 272, a quota is a recount    test_account
 *   XSA-38, indexes of a ring             test_ring, test_connection_ring, fuzz_ring
 *   XSA-419, time to reload               tests/e2e/test_journal.py
 *   XSA-322, 325, 233, 417, 419, 425, 483, special events, many clients   test_advisories_guests
 *   directories of more than 4096 bytes   test_operations, tests/e2e/test_xenstore_tools.py
 */
#include "tests/unit/names_clients.h"

#include <malloc.h>

/* Ask for something about a path, with what the operation needs besides. */
static void ask_about(int client, uint32_t type, const char *path, size_t size,
                      struct message *reply)
{
    char payload[NS_WIRE_PAYLOAD_MAX];
    size_t more = 0;

    assert_true(size + 8 < sizeof(payload));
    memcpy(payload, path, size);
    payload[size++] = '\0';
    if (type == NS_WIRE_WATCH || type == NS_WIRE_UNWATCH || type == NS_WIRE_DIRECTORY_PART ||
        type == NS_WIRE_SET_PERMS)
        more = (size_t)sprintf(payload + size, type == NS_WIRE_SET_PERMS ? "b0" : "0") + 1;
    else if (type == NS_WIRE_WRITE)
        payload[size + more++] = 'v';
    raw_ask(client, type, 0, payload, size + more, reply);
}

static const uint32_t path_operations[] = {
    NS_WIRE_DIRECTORY, NS_WIRE_READ,    NS_WIRE_GET_PERMS,      NS_WIRE_WRITE, NS_WIRE_MKDIR,
    NS_WIRE_SET_PERMS, NS_WIRE_UNWATCH, NS_WIRE_DIRECTORY_PART, NS_WIRE_RM};
enum { PATH_OPERATIONS = sizeof(path_operations) / sizeof(path_operations[0]) };

/* ---- memory ---- */

/* Send as much as goes; nobody reads the answers. */
static void flood(int client, uint32_t type, const char *payload, size_t size)
{
    char bytes[4096];
    size_t used = 0;

    while (used + 256 < sizeof(bytes))
        used += raw_format(bytes + used, type, 0, 0, payload, size);
    for (int i = 0; i < 1000; i++)
        if (send(client, bytes, used, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)used)
            return; /* also a message in pieces: the client is not used again */
}

static void xsa_326_and_416_floods_are_bounded(void **state)
{
    enum { FLOODERS = 8 };
    int flooders[FLOODERS];

    (void)state;
    EXPECT_OK(other, NS_WIRE_WRITE, 0,
              "/big\0"
              "0123456789012345678901234567890123456789012345678901234567");
    for (int i = 0; i < FLOODERS; i++) {
        flooders[i] = raw_connect(&names);
        EXPECT_OK(flooders[i], NS_WIRE_WATCH, 0, "/\0t\0");
        EXPECT_EVENT(flooders[i], "/\0t\0");
        for (int j = 0; j < 60; j++)
            raw_begin(flooders[i]);
        flood(flooders[i], NS_WIRE_READ, "/big", 5);
        flood(flooders[i], NS_WIRE_TRANSACTION_START, "", 1);
    }
    for (int i = 0; i < 2000; i++)
        expect_alive();
    assert_true(names.most_output <= NS_OUTPUT_FULL + NS_WIRE_MESSAGE_MAX);
    assert_true(names.most_events <= NS_EVENTS_MAX);
    for (int i = 0; i < FLOODERS; i++)
        close(flooders[i]);
}

static unsigned long store_counter(const char *name)
{
    char path[64];
    struct message reply;

    raw_ask(other, NS_WIRE_READ, 0, path, (size_t)sprintf(path, "/stats/store/%s", name) + 1,
            &reply);
    assert_int_equal(reply.header.type, NS_WIRE_READ);
    return strtoul(reply.payload, NULL, 10);
}

static void xsa_326_what_is_refused_leaves_nothing(void **state)
{
    unsigned long open, version;

    (void)state;
    for (int i = 0; i < 64; i++)
        raw_begin(fd);
    open = store_counter("transactions_open");
    version = store_counter("version");
    for (int i = 0; i < 100; i++)
        EXPECT_ERROR(fd, NS_WIRE_TRANSACTION_START, 0, "\0", "ENOSPC");
    EXPECT_ERROR(fd, NS_WIRE_WRITE, 0, "/no such\0v", "EINVAL");
    EXPECT_ERROR(fd, NS_WIRE_RM, 0, "/none/none\0", "ENOENT");
    assert_int_equal(store_counter("transactions_open"), open);
    assert_int_equal(store_counter("version"), version);
}

/* Watch and forget, a million times: 500 pairs in a batch. */
static void xsa_330_watch_and_reset_for_ever(void **state)
{
    enum { PAIRS = 500, ROUNDS = 1000000 / PAIRS };
    static char batch[PAIRS * 128], replies[65536];
    size_t size = 0, expected = 0, before = 0;

    (void)state;
    for (int i = 0; i < PAIRS; i++) {
        size += raw_format(batch + size, NS_WIRE_WATCH, 0, 0, "/w/some/name\0token", 19);
        size += raw_format(batch + size, NS_WIRE_RESET_WATCHES, 0, 0, "", 1);
        expected += 3 * sizeof(struct ns_wire_header) + 3 + 19 + 3;
    }
    for (int i = 0; i < ROUNDS; i++) {
        size_t sent = 0, got = 0;

        while (sent < size || got < expected) {
            ssize_t done =
                sent < size ? send(fd, batch + sent, size - sent, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;

            if (done > 0)
                sent += (size_t)done;
            done = recv(fd, replies, sizeof(replies), sent < size ? MSG_DONTWAIT : 0);
            if (done > 0)
                got += (size_t)done;
        }
        assert_int_equal(got, expected);
        if (i == ROUNDS / 10)
            before = mallinfo2().uordblks;
    }
    assert_true(mallinfo2().uordblks < before + (256 << 10));
    assert_true(store_counter("anchors") <= 1);
}

/* ---- who may know what ---- */

static void xsa_115_nobody_hears_of_what_he_may_not_read(void **state)
{
    int alice;
    struct message reply;

    (void)state;
    EXPECT_OK(fd, NS_WIRE_MKDIR, 0, "/secret\0");
    EXPECT_OK(fd, NS_WIRE_SET_PERMS, 0, "/secret\0n0\0");
    EXPECT_OK(fd, NS_WIRE_MKDIR, 0, "/secret/in\0");
    alice = connect_as(1000);
    EXPECT_OK(alice, NS_WIRE_WATCH, 0, "/\0t\0");
    EXPECT_EVENT(alice, "/\0t\0");
    EXPECT_OK(alice, NS_WIRE_WATCH, 0, "/secret/in/name\0t\0");
    EXPECT_EVENT(alice, "/secret/in/name\0t\0");
    EXPECT_OK(fd, NS_WIRE_WRITE, 0, "/secret/in/name\0v");
    EXPECT_OK(fd, NS_WIRE_WRITE, 0, "/secret/in/name\0w");
    EXPECT_OK(fd, NS_WIRE_SET_PERMS, 0, "/secret/in/name\0n0\0");
    for (size_t i = 0; i < PATH_OPERATIONS; i++) {
        if (path_operations[i] == NS_WIRE_UNWATCH)
            continue;
        ask_about(alice, path_operations[i], "/secret/in/name", 15, &reply); /* is there */
        expect_bytes(&reply, NS_WIRE_ERROR, "EACCES", 7);
        ask_about(alice, path_operations[i], "/secret/in/none", 15, &reply); /* is not */
        expect_bytes(&reply, NS_WIRE_ERROR, "EACCES", 7);
        ask_about(alice, path_operations[i], "/secret/in/none/below", 21, &reply);
        expect_bytes(&reply, NS_WIRE_ERROR, "EACCES", 7);
    }
    EXPECT_OK(fd, NS_WIRE_RM, 0, "/secret/in/name\0");
    EXPECT_OK(fd, NS_WIRE_RM, 0, "/secret/in\0");
    expect_silence(alice);
    close(alice);
}

static void xsa_353_the_root_has_permissions_like_others(void **state)
{
    int alice = connect_as(1000);

    (void)state;
    EXPECT(alice, NS_WIRE_READ, 0, "/\0", "");
    EXPECT(alice, NS_WIRE_GET_PERMS, 0, "/\0", "r0\0");
    EXPECT_ERROR(alice, NS_WIRE_WRITE, 0, "/\0v", "EACCES");
    EXPECT_ERROR(alice, NS_WIRE_WRITE, 0, "/new\0v", "EACCES");
    EXPECT_ERROR(alice, NS_WIRE_MKDIR, 0, "/new\0", "EACCES");
    EXPECT_ERROR(alice, NS_WIRE_SET_PERMS, 0, "/\0b1000\0", "EACCES");
    EXPECT_ERROR(alice, NS_WIRE_RM, 0, "/\0", "EINVAL");
    EXPECT_OK(fd, NS_WIRE_SET_PERMS, 0, "/\0n0\0");
    EXPECT_ERROR(alice, NS_WIRE_READ, 0, "/\0", "EACCES");
    EXPECT_ERROR(alice, NS_WIRE_DIRECTORY, 0, "/\0", "EACCES");
    EXPECT_ERROR(alice, NS_WIRE_DIRECTORY_PART, 0, "/\0000\0", "EACCES");
    EXPECT_ERROR(alice, NS_WIRE_GET_PERMS, 0, "/\0", "EACCES");
    EXPECT_ERROR(fd, NS_WIRE_RM, 0, "/\0", "EINVAL");
    close(alice);
}

/* ---- paths ---- */

static void make_read_list_remove(const char *path, size_t size)
{
    struct message reply;

    ask_about(fd, NS_WIRE_WRITE, path, size, &reply);
    expect_bytes(&reply, NS_WIRE_WRITE, "OK", 3);
    ask_about(fd, NS_WIRE_READ, path, size, &reply);
    expect_bytes(&reply, NS_WIRE_READ, "v", 1);
    ask_about(fd, NS_WIRE_DIRECTORY, path, size, &reply);
    expect_bytes(&reply, NS_WIRE_DIRECTORY, "", 0);
    ask_about(fd, NS_WIRE_RM, path, size, &reply);
    expect_bytes(&reply, NS_WIRE_RM, "OK", 3);
    ask_about(fd, NS_WIRE_READ, path, size, &reply);
    expect_bytes(&reply, NS_WIRE_ERROR, "ENOENT", 7);
}

/* What can be made can be read and removed, by each of its names. */
static void xsa_323_paths_at_the_limit(void **state)
{
    char path[NS_PATH_MAX + 2], absolute[NS_PATH_MAX + 2];
    struct message reply;

    (void)state;
    memset(path, 'p', sizeof(path));
    make_read_list_remove(path, NS_WIRE_RELATIVE_MAX);
    ask_about(fd, NS_WIRE_WRITE, path, NS_WIRE_RELATIVE_MAX + 1, &reply);
    expect_bytes(&reply, NS_WIRE_ERROR, "EINVAL", 7);
    ask_about(fd, NS_WIRE_WRITE, path, NS_WIRE_RELATIVE_MAX, &reply);
    snprintf(absolute, sizeof(absolute), "/local/domain/0/%.*s", NS_WIRE_RELATIVE_MAX, path);
    make_read_list_remove(absolute, strlen(absolute));
    path[0] = '/';
    make_read_list_remove(path, NS_PATH_MAX);
    ask_about(fd, NS_WIRE_WRITE, path, NS_PATH_MAX + 1, &reply);
    expect_bytes(&reply, NS_WIRE_ERROR, "EINVAL", 7);
}

static void xsa_324_a_giant_token(void **state)
{
    char payload[NS_WIRE_PAYLOAD_MAX + 1];
    struct message got;

    (void)state;
    memset(payload, 't', sizeof(payload));
    memcpy(payload, "/w", 3);
    payload[NS_WIRE_PAYLOAD_MAX - 1] = '\0';
    raw_ask(fd, NS_WIRE_WATCH, 0, payload, NS_WIRE_PAYLOAD_MAX, &got);
    expect_bytes(&got, NS_WIRE_WATCH, "OK", 3);
    raw_receive(fd, &got);
    EXPECT_OK(other, NS_WIRE_WRITE, 0, "/w/longer/than/the/watched/path\0v");
    raw_receive(fd, &got); /* path and token would be longer than a message */
    expect_bytes(&got, NS_WIRE_WATCH_EVENT, payload, NS_WIRE_PAYLOAD_MAX);
    raw_ask(fd, NS_WIRE_UNWATCH, 0, payload, NS_WIRE_PAYLOAD_MAX, &got);
    expect_bytes(&got, NS_WIRE_UNWATCH, "OK", 3);
}

/* The deepest path that is legal, for each operation, in a transaction that has to be merged, and as a tree
 * that is removed. */
static void xsa_418_the_deepest_tree(void **state)
{
    enum { DEEPEST = NS_PATH_MAX };
    char path[DEEPEST + 3];
    struct message reply;
    uint32_t tx;
    int third;

    (void)state;
    for (int i = 0; i < DEEPEST; i += 2)
        path[i] = '/', path[i + 1] = 'd';
    path[DEEPEST] = '\0', path[DEEPEST + 1] = 'v';
    ask_about(fd, NS_WIRE_WATCH, path, DEEPEST, &reply);
    expect_bytes(&reply, NS_WIRE_WATCH, "OK", 3);
    raw_receive(fd, &reply);
    for (size_t i = 0; i < PATH_OPERATIONS; i++) {
        uint32_t type = path_operations[i];

        if (type == NS_WIRE_UNWATCH)
            continue;
        raw_ask(other, NS_WIRE_WRITE, 0, path, DEEPEST + 2, &reply);
        expect_bytes(&reply, NS_WIRE_WRITE, "OK", 3);
        ask_about(other, type, path, DEEPEST, &reply);
        assert_int_equal(reply.header.type, type);
    }
    tx = raw_begin(other);
    raw_ask(other, NS_WIRE_WRITE, tx, path, DEEPEST + 2, &reply);
    expect_bytes(&reply, NS_WIRE_WRITE, "OK", 3);
    third = raw_connect(&names);
    EXPECT_OK(third, NS_WIRE_WRITE, 0, "/elsewhere\0v");
    close(third);
    EXPECT_OK(other, NS_WIRE_TRANSACTION_END, tx, "T\0");
    EXPECT_OK(other, NS_WIRE_RM, 0, "/d\0");
    EXPECT_ERROR(other, NS_WIRE_READ, 0, "/d\0", "ENOENT");
}

static void xsa_481_every_beginning_of_a_special_form(void **state)
{
    static const char *const forms[] = {"/local/domain/0/x",
                                        "@introduceDomain",
                                        "@releaseDomain/0",
                                        "/stats/server/reads",
                                        "//",
                                        "/a//b/"};
    struct message reply;

    (void)state;
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++)
        for (size_t size = 0; size <= strlen(forms[i]); size++)
            for (size_t j = 0; j < PATH_OPERATIONS; j++)
                ask_about(fd, path_operations[j], forms[i], size, &reply);
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        EXPECT_ERROR(fd, NS_WIRE_READ, 0, "/local/domain/\0", "EINVAL");
        EXPECT_ERROR(fd, NS_WIRE_WRITE, 0, "@introduceDomain\0v", "EINVAL");
    }
    expect_alive();
}

/* ---- messages ---- */

static void xsa_420_headers_at_the_limits(void **state)
{
    static const uint32_t limits[] = {0,          1,          15,        16,     127,
                                      128,        0x7fff,     0x8000,    0xffff, 0x7fffffff,
                                      0x80000000, 0xfffffffe, 0xffffffff};
    enum { LIMITS = sizeof(limits) / sizeof(limits[0]) };
    struct message reply;

    (void)state;
    for (size_t i = 0; i < LIMITS; i++) {
        for (size_t j = 0; j < LIMITS; j++) {
            raw_send(fd, limits[i], limits[j], limits[j], "/\0", 2);
            do
                raw_receive(fd, &reply);
            while (reply.header.type == NS_WIRE_WATCH_EVENT);
            assert_int_equal(reply.header.request, limits[j]);
            assert_int_equal(reply.header.tx, limits[j]);
        }
    }
    expect_alive();
}

static void xsa_72_a_reply_at_the_limit(void **state)
{
    char payload[64];
    struct message reply;

    (void)state;
    for (int i = 0; i < 4096 / 8 + 1; i++) {
        int size = sprintf(payload, "/dir/%07d", i) + 1;

        EXPECT(fd, NS_WIRE_DIRECTORY, 0, "/stats/self\0", "error\0");
        raw_ask(fd, NS_WIRE_MKDIR, 0, payload, (size_t)size, &reply);
        raw_ask(fd, NS_WIRE_DIRECTORY, 0, "/dir", 5, &reply);
        if (i < 4096 / 8)
            assert_int_equal(reply.header.size, (i + 1) * 8);
        else
            expect_bytes(&reply, NS_WIRE_ERROR, "E2BIG", 6);
    }
}

static void xsa_484_reset_and_close_inside_of_a_transaction(void **state)
{
    uint32_t tx = raw_begin(fd);

    (void)state;
    EXPECT_OK(fd, NS_WIRE_WRITE, tx, "/t\0v");
    EXPECT_OK(fd, NS_WIRE_RESET_WATCHES, tx, "\0");
    EXPECT_ERROR(fd, NS_WIRE_TRANSACTION_END, tx, "T\0", "ENOENT");
    tx = raw_begin(fd);
    EXPECT_OK(fd, NS_WIRE_WRITE, tx, "/t\0v");
    raw_send(fd, NS_WIRE_RESET_WATCHES, tx, 0, "", 0);
    raw_send(fd, NS_WIRE_WRITE, tx, 0, "/t\0v", 4);
    raw_bytes(fd, "\13\0\0\0\0\0\0\0", 8); /* half of another */
    close(fd);
    fd = raw_connect(&names);
    EXPECT_ERROR(fd, NS_WIRE_READ, 0, "/t\0", "ENOENT");
}

static void set_perms_for_any_domain_from_a_socket(void **state)
{
    (void)state;
    EXPECT_OK(fd, NS_WIRE_WRITE, 0, "/any\0v");
    EXPECT_OK(fd, NS_WIRE_SET_PERMS, 0, "/any\0n0\0r32757\0");
    EXPECT(fd, NS_WIRE_GET_PERMS, 0, "/any\0", "n0\0r32757\0");
    expect_alive();
}

/* ---- quotas ---- */

static void exactly_so_many_and_not_one_more(void **state)
{
    struct ns_server_options options = {.transactions = 5, .watches = 7};
    int alice;
    char payload[1024];
    struct message reply;

    (void)state;
    names_server_start(&names, &options);
    alice = connect_as(1000);
    for (int i = 0; i < 5; i++)
        raw_begin(alice);
    EXPECT_ERROR(alice, NS_WIRE_TRANSACTION_START, 0, "\0", "ENOSPC");
    for (int i = 0; i < 8; i++) {
        int size = sprintf(payload, "/w%ctoken%d", 0, i) + 1;

        raw_ask(alice, NS_WIRE_WATCH, 0, payload, (size_t)size, &reply);
        if (i == 7)
            expect_bytes(&reply, NS_WIRE_ERROR, "ENOSPC", 7);
        else
            raw_receive(alice, &reply);
    }
    other = raw_connect(&names);
    EXPECT_OK(other, NS_WIRE_WRITE, 0, "/p\0v");
    for (int count = NS_PERMS_MAX; count <= NS_PERMS_MAX + 1; count++) {
        size_t size = (size_t)sprintf(payload, "/p") + 1;

        for (int i = 0; i < count; i++)
            size += (size_t)sprintf(payload + size, "r%d", i) + 1;
        raw_ask(other, NS_WIRE_SET_PERMS, 0, payload, size, &reply);
        assert_int_equal(reply.header.type,
                         count == NS_PERMS_MAX ? NS_WIRE_SET_PERMS : NS_WIRE_ERROR);
    }
    assert_string_equal(reply.payload, "ENOSPC");
    close(other);
    close(alice);
    names_server_stop(&names);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        NAMES_TEST(xsa_326_and_416_floods_are_bounded),
        NAMES_TEST(xsa_326_what_is_refused_leaves_nothing),
        NAMES_TEST(xsa_330_watch_and_reset_for_ever),
        NAMES_TEST(xsa_115_nobody_hears_of_what_he_may_not_read),
        NAMES_TEST(xsa_353_the_root_has_permissions_like_others),
        NAMES_TEST(xsa_323_paths_at_the_limit),
        NAMES_TEST(xsa_324_a_giant_token),
        NAMES_TEST(xsa_418_the_deepest_tree),
        NAMES_TEST(xsa_481_every_beginning_of_a_special_form),
        NAMES_TEST(xsa_420_headers_at_the_limits),
        NAMES_TEST(xsa_72_a_reply_at_the_limit),
        NAMES_TEST(xsa_484_reset_and_close_inside_of_a_transaction),
        NAMES_TEST(set_perms_for_any_domain_from_a_socket),
        cmocka_unit_test(exactly_so_many_and_not_one_more),
    };

    return cmocka_run_group_tests_name("advisories", tests, NULL, NULL);
}
