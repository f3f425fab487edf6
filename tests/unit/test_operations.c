/* SPDX-License-Identifier: BSD-3-Clause */
/* Each operation of the wire protocol, over a real socket: what it answers, and what it refuses. */
#include "tests/unit/names_server.h"

static struct names_server names;
static int fd;

static int setup(void **state)
{
    (void)state;
    names_server_start(&names, NULL);
    fd = raw_connect(&names);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    close(fd);
    names_server_stop(&names);
    assert_int_equal(names.counters.requests, names.counters.replies);
    return 0;
}

static void expect_reason(const char *words)
{
    struct message reply;

    raw_ask(fd, NS_WIRE_READ, 0, "/stats/self/error", 18, &reply);
    assert_int_equal(reply.header.type, NS_WIRE_READ);
    if (strstr(reply.payload, words) == NULL)
        fail_msg("'%s' is not in '%s'", words, reply.payload);
}

/* ---- names ---- */

static void write_and_read(void **state)
{
    (void)state;
    EXPECT_OK(fd, NS_WIRE_WRITE, 0, "/a/b\0hello");
    EXPECT(fd, NS_WIRE_READ, 0, "/a/b\0", "hello");
    EXPECT(fd, NS_WIRE_READ, 0, "/a\0", "");
    EXPECT_OK(fd, NS_WIRE_WRITE, 0, "/a/b\0x\0y\n");
    EXPECT(fd, NS_WIRE_READ, 0, "/a/b\0", "x\0y\n");
    EXPECT_OK(fd, NS_WIRE_WRITE, 0, "/a/b\0");
    EXPECT(fd, NS_WIRE_READ, 0, "/a/b\0", "");
    EXPECT_ERROR(fd, NS_WIRE_READ, 0, "/a/c\0", "ENOENT");
    EXPECT_ERROR(fd, NS_WIRE_WRITE, 0, "/a/b", "EINVAL"); /* no NUL */
    EXPECT_ERROR(fd, NS_WIRE_READ, 0, "/a/b", "EINVAL");
    EXPECT_ERROR(fd, NS_WIRE_READ, 0, "/a/b\0c\0", "EINVAL");
    EXPECT_ERROR(fd, NS_WIRE_READ, 0, "", "EINVAL");
}

static void the_longest_value(void **state)
{
    char payload[NS_WIRE_PAYLOAD_MAX];
    struct message reply;

    (void)state;
    memset(payload, 'v', sizeof(payload));
    memcpy(payload, "/v", 3);
    raw_ask(fd, NS_WIRE_WRITE, 0, payload, sizeof(payload), &reply);
    expect_bytes(&reply, NS_WIRE_WRITE, "OK", 3);
    raw_ask(fd, NS_WIRE_READ, 0, "/v", 3, &reply);
    expect_bytes(&reply, NS_WIRE_READ, payload + 3, sizeof(payload) - 3);
}

static void paths(void **state)
{
    static const char *const bad[] = {
        "",    "//",   "/a/", "/a//b", "/a b", "/a\x80", "/local/domain/",
        "a//", "/a\n", "@x",  "/*",    "a b",  " /a"};
    char payload[NS_PATH_MAX + 2];
    struct message reply;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        raw_ask(fd, NS_WIRE_READ, 0, bad[i], strlen(bad[i]) + 1, &reply);
        expect_bytes(&reply, NS_WIRE_ERROR, "EINVAL", 7);
    }
    EXPECT_OK(fd, NS_WIRE_WRITE, 0, "relative/x\0001");
    EXPECT(fd, NS_WIRE_READ, 0, "/local/domain/0/relative/x\0", "1");
    memset(payload, 'x', sizeof(payload));
    payload[0] = '/';
    payload[sizeof(payload) - 1] = '\0';
    raw_ask(fd, NS_WIRE_MKDIR, 0, payload, sizeof(payload), &reply);
    expect_bytes(&reply, NS_WIRE_ERROR, "EINVAL", 7);
    raw_ask(fd, NS_WIRE_READ, 0, payload + 1, sizeof(payload) - 1,
            &reply); /* relative, and too long */
    expect_bytes(&reply, NS_WIRE_ERROR, "EINVAL", 7);
    EXPECT_OK(fd, NS_WIRE_WRITE, 0, "/a/10.0.0.5:80+x=1,~%\0ok"); /* a plain part's characters */
}

static void make_list_and_remove(void **state)
{
    (void)state;
    EXPECT_OK(fd, NS_WIRE_MKDIR, 0, "/d/c\0");
    EXPECT_OK(fd, NS_WIRE_MKDIR, 0, "/d/a\0");
    EXPECT_OK(fd, NS_WIRE_WRITE, 0, "/d/b/x\0001");
    EXPECT(fd, NS_WIRE_DIRECTORY, 0, "/d\0", "a\0b\0c\0");
    EXPECT(fd, NS_WIRE_DIRECTORY, 0, "/d/a\0", "");
    EXPECT_ERROR(fd, NS_WIRE_DIRECTORY, 0, "/e\0", "ENOENT");
    EXPECT_OK(fd, NS_WIRE_MKDIR, 0, "/d/a\0"); /* again is no error */
    EXPECT_OK(fd, NS_WIRE_RM, 0, "/d/b\0");
    EXPECT_OK(fd, NS_WIRE_RM, 0, "/d/b\0"); /* neither */
    EXPECT_ERROR(fd, NS_WIRE_RM, 0, "/d/b/x\0", "ENOENT");
    EXPECT_ERROR(fd, NS_WIRE_RM, 0, "/\0", "EINVAL");
    EXPECT(fd, NS_WIRE_DIRECTORY, 0, "/d\0", "a\0c\0");
}

static void permissions(void **state)
{
    (void)state;
    EXPECT_OK(fd, NS_WIRE_MKDIR, 0, "/p\0");
    EXPECT_OK(fd, NS_WIRE_SET_PERMS, 0, "/p\0n5\0r6\0b2147483648\0");
    EXPECT(fd, NS_WIRE_GET_PERMS, 0, "/p\0", "n5\0r6\0b2147483648\0");
    EXPECT_ERROR(fd, NS_WIRE_GET_PERMS, 0, "/q\0", "ENOENT");
    EXPECT_ERROR(fd, NS_WIRE_SET_PERMS, 0, "/q\0n0\0", "ENOENT");
    EXPECT_ERROR(fd, NS_WIRE_SET_PERMS, 0, "/p\0", "EINVAL");
    EXPECT_ERROR(fd, NS_WIRE_SET_PERMS, 0, "/p\0x5\0", "EINVAL");
    EXPECT_ERROR(fd, NS_WIRE_SET_PERMS, 0, "/p\0r\0", "EINVAL");
    EXPECT_ERROR(fd, NS_WIRE_SET_PERMS, 0, "/p\0r5", "EINVAL");
    expect_reason("ending with a NUL");
    EXPECT_OK(fd, NS_WIRE_SET_PERMS, 0,
              "/p\0r32757\0w32757\0"); /* DOMID_ANY is a number like others */
}

static void what_is_not_served(void **state)
{
    static const uint32_t types[] = {15, 16, 20, 27, 100, 65535, 0xffffffff};
    struct message reply;

    (void)state;
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        raw_ask(fd, types[i], 0, "/a", 3, &reply);
        expect_bytes(&reply, NS_WIRE_ERROR, "ENOSYS", 7);
    }
    expect_reason("no operation 4294967295");
    EXPECT(fd, NS_WIRE_GET_DOMAIN_PATH, 0, "7\0", "/local/domain/7\0");
    EXPECT_ERROR(fd, NS_WIRE_GET_DOMAIN_PATH, 0, "65536\0", "EINVAL");
    EXPECT_ERROR(fd, NS_WIRE_GET_DOMAIN_PATH, 0, "x\0", "EINVAL");
}

static void control(void **state)
{
    (void)state;
    EXPECT_ERROR(fd, NS_WIRE_CONTROL, 0, "no-such\0", "EINVAL");
    EXPECT(fd, NS_WIRE_CONTROL, 0, "live-update\0-s\0",
           "only a daemon that was started with --names-only can be updated live\0");
}

/* ---- transactions ---- */

static void a_transaction_is_a_snapshot_and_all_or_nothing(void **state)
{
    int other = raw_connect(&names);
    uint32_t tx;

    (void)state;
    EXPECT_OK(fd, NS_WIRE_WRITE, 0, "/t/a\0001");
    tx = raw_begin(fd);
    EXPECT_OK(fd, NS_WIRE_WRITE, tx, "/t/a\0002");
    EXPECT_OK(fd, NS_WIRE_WRITE, tx, "/t/b\0002");
    EXPECT(fd, NS_WIRE_READ, tx, "/t/a\0", "2");
    EXPECT(fd, NS_WIRE_READ, 0, "/t/a\0", "1");
    EXPECT_ERROR(other, NS_WIRE_READ, 0, "/t/b\0", "ENOENT");
    EXPECT_ERROR(other, NS_WIRE_READ, tx, "/t/a\0", "ENOENT"); /* not its transaction */
    EXPECT_OK(other, NS_WIRE_WRITE, 0, "/t/c\0003");
    EXPECT_ERROR(fd, NS_WIRE_READ, tx, "/t/c\0", "ENOENT"); /* observed: absent */
    EXPECT_ERROR(fd, NS_WIRE_TRANSACTION_END, tx, "T\0", "EAGAIN");
    expect_reason("changed since");
    EXPECT_ERROR(fd, NS_WIRE_TRANSACTION_END, tx, "T\0", "ENOENT"); /* gone */

    tx = raw_begin(fd);
    EXPECT_OK(fd, NS_WIRE_WRITE, tx, "/t/b\0002");
    EXPECT_OK(other, NS_WIRE_WRITE, 0, "/t/d\0004"); /* not observed */
    EXPECT_OK(fd, NS_WIRE_TRANSACTION_END, tx, "T\0");
    EXPECT(other, NS_WIRE_DIRECTORY, 0, "/t\0", "a\0b\0c\0d\0");

    tx = raw_begin(fd);
    EXPECT_OK(fd, NS_WIRE_RM, tx, "/t\0");
    EXPECT_OK(fd, NS_WIRE_TRANSACTION_END, tx, "F\0");
    EXPECT(other, NS_WIRE_READ, 0, "/t/b\0", "2");
    close(other);
}

static void transaction_numbers(void **state)
{
    uint32_t tx = raw_begin(fd);

    (void)state;
    assert_int_not_equal(tx, 0);
    EXPECT_ERROR(fd, NS_WIRE_TRANSACTION_START, tx, "\0", "EBUSY");
    EXPECT_ERROR(fd, NS_WIRE_TRANSACTION_START, tx + 1, "\0", "ENOENT");
    EXPECT_ERROR(fd, NS_WIRE_READ, tx + 1, "/\0", "ENOENT");
    EXPECT_ERROR(fd, NS_WIRE_TRANSACTION_END, 0, "T\0", "ENOENT");
    EXPECT_ERROR(fd, NS_WIRE_TRANSACTION_END, tx, "X\0", "EINVAL");
    EXPECT_ERROR(fd, NS_WIRE_TRANSACTION_END, tx, "", "EINVAL");
    EXPECT_OK(fd, NS_WIRE_TRANSACTION_END, tx, "T\0"); /* it had stayed open */
    EXPECT_OK(fd, NS_WIRE_WATCH, 999, "/w\0t\0");      /* ignores it */
    EXPECT_EVENT(fd, "/w\0t\0");
    EXPECT_OK(fd, NS_WIRE_UNWATCH, 999, "/w\0t\0");
    EXPECT_ERROR(fd, NS_WIRE_RESET_WATCHES, 999, "\0", "ENOENT");
}

static void sixty_four_transactions_and_not_one_more(void **state)
{
    uint32_t first = raw_begin(fd);

    (void)state;
    for (int i = 1; i < 64; i++)
        raw_begin(fd);
    EXPECT_ERROR(fd, NS_WIRE_TRANSACTION_START, 0, "\0", "ENOSPC");
    EXPECT_OK(fd, NS_WIRE_TRANSACTION_END, first, "F\0");
    raw_begin(fd);
    EXPECT_OK(fd, NS_WIRE_RESET_WATCHES, first + 1, ""); /* inside of one: XSA-484 */
    EXPECT_ERROR(fd, NS_WIRE_READ, first + 1, "/\0", "ENOENT");
    raw_begin(fd); /* one is left open when the connection closes */
}

/* ---- wide nodes ---- */

enum { WIDE = 3000 };

static void make_wide(void)
{
    uint32_t tx = raw_begin(fd);
    char payload[64];
    struct message reply;

    for (int i = 0; i < WIDE; i++) {
        int size = sprintf(payload, "/wide/name-%05d", i) + 1;

        raw_ask(fd, NS_WIRE_MKDIR, tx, payload, (size_t)size, &reply);
        assert_int_equal(reply.header.type, NS_WIRE_MKDIR);
    }
    EXPECT_OK(fd, NS_WIRE_TRANSACTION_END, tx, "T\0");
}

/* Fetch a whole list by DIRECTORY_PART; between() is called between the parts. Returns its size, and
 * the number of names. */
static size_t fetch_parts(uint32_t tx, const char *path, char *list, size_t room,
                          void (*between)(void))
{
    char payload[128], generation[64] = "";
    struct message reply;
    size_t size = 0;
    bool last = false;

    while (!last) {
        size_t path_size = strlen(path) + 1, start;

        memcpy(payload, path, path_size);
        raw_ask(fd, NS_WIRE_DIRECTORY_PART, tx, payload,
                path_size + (size_t)sprintf(payload + path_size, "%zu", size) + 1, &reply);
        assert_int_equal(reply.header.type, NS_WIRE_DIRECTORY_PART);
        if (size > 0)
            assert_string_equal(reply.payload, generation);
        strcpy(generation, reply.payload);
        start = strlen(generation) + 1;
        last = reply.header.size == start + 1 || reply.payload[reply.header.size - 2] == '\0';
        assert_true(size + reply.header.size < room);
        memcpy(list + size, reply.payload + start, reply.header.size - start);
        size += reply.header.size - start - last;
        if (between != NULL)
            between();
    }
    return size;
}

static void expect_wide(const char *list, size_t size)
{
    char name[32];

    assert_int_equal(size, WIDE * 11);
    for (int i = 0; i < WIDE; i++) {
        sprintf(name, "name-%05d", i);
        assert_string_equal(list + i * 11, name);
    }
}

static int other_fd;

static void add_another(void)
{
    static int count;
    char payload[64];
    struct message reply;

    raw_ask(other_fd, NS_WIRE_MKDIR, 0, payload,
            (size_t)sprintf(payload, "/wide/also-%05d", count++) + 1, &reply);
    assert_int_equal(reply.header.type, NS_WIRE_MKDIR);
}

static void a_list_in_parts(void **state)
{
    static char list[WIDE * 12];
    uint32_t tx;

    (void)state;
    make_wide();
    EXPECT_ERROR(fd, NS_WIRE_DIRECTORY, 0, "/wide\0", "E2BIG");
    expect_wide(list, fetch_parts(0, "/wide", list, sizeof(list), NULL));
    tx = raw_begin(fd);
    expect_wide(list, fetch_parts(tx, "/wide", list, sizeof(list), NULL));
    other_fd = raw_connect(&names);
    expect_wide(list, fetch_parts(0, "/wide", list, sizeof(list), add_another)); /* one snapshot */
    expect_wide(list, fetch_parts(tx, "/wide", list, sizeof(list), add_another));
    EXPECT_OK(fd, NS_WIRE_TRANSACTION_END, tx, "T\0"); /* it only read */
    close(other_fd);
}

static void a_list_that_the_transaction_has_changed(void **state)
{
    static char list[WIDE * 12];
    uint32_t tx;

    (void)state;
    make_wide();
    tx = raw_begin(fd);
    EXPECT_OK(fd, NS_WIRE_MKDIR, tx, "/wide/z\0");
    assert_int_equal(fetch_parts(tx, "/wide", list, sizeof(list), NULL), WIDE * 11 + 2);
    assert_string_equal(list + (size_t)WIDE * 11, "z");
    expect_wide(list, (size_t)WIDE * 11);
    expect_wide(list, fetch_parts(0, "/wide", list, sizeof(list), NULL));
    EXPECT_OK(fd, NS_WIRE_TRANSACTION_END, tx, "T\0");
    assert_int_equal(fetch_parts(0, "/wide", list, sizeof(list), NULL), WIDE * 11 + 2);
}

static void parts_at_the_edges(void **state)
{
    struct message first, part;

    (void)state;
    EXPECT_OK(fd, NS_WIRE_WRITE, 0, "/e/ab\0001");
    EXPECT_OK(fd, NS_WIRE_WRITE, 0, "/e/cd\0001");
    raw_ask(fd, NS_WIRE_DIRECTORY_PART, 0, "/e\0000", 4, &first);
    expect_bytes(&first, NS_WIRE_ERROR, "EINVAL", 7); /* no NUL at the end */
    raw_ask(fd, NS_WIRE_DIRECTORY_PART, 0, "/e\0000\0", 5, &first);
    assert_memory_equal(first.payload + first.header.size - 8, "\0ab\0cd\0\0", 8);
    raw_ask(fd, NS_WIRE_DIRECTORY_PART, 0, "/e\0003\0", 5, &part);
    assert_string_equal(part.payload, first.payload); /* the generation */
    assert_memory_equal(part.payload + part.header.size - 5, "\0cd\0\0", 5);
    raw_ask(fd, NS_WIRE_DIRECTORY_PART, 0, "/e\0004\0", 5, &part); /* in the middle of a name */
    assert_memory_equal(part.payload + part.header.size - 4, "\0d\0\0", 4);
    raw_ask(fd, NS_WIRE_DIRECTORY_PART, 0, "/e\0006\0", 5, &part);
    assert_int_equal(part.header.size, strlen(first.payload) + 2);
    raw_ask(fd, NS_WIRE_DIRECTORY_PART, 0, "/e\0009999\0", 8, &part);
    assert_int_equal(part.header.size, strlen(first.payload) + 2);
    EXPECT_OK(fd, NS_WIRE_WRITE, 0, "/e/ef\0001");
    raw_ask(fd, NS_WIRE_DIRECTORY_PART, 0, "/e\0006\0", 5, &part);
    assert_string_not_equal(part.payload, first.payload);
    EXPECT_ERROR(fd, NS_WIRE_DIRECTORY_PART, 0, "/e\0", "EINVAL");
    EXPECT_ERROR(fd, NS_WIRE_DIRECTORY_PART, 0, "/e\0-1\0", "EINVAL");
    EXPECT_ERROR(fd, NS_WIRE_DIRECTORY_PART, 0, "/f\0000\0", "ENOENT");
}

/* ---- computed names, and reasons ---- */

static void computed_names(void **state)
{
    static char list[9000];
    struct message reply;

    (void)state;
    EXPECT(fd, NS_WIRE_DIRECTORY, 0, "/stats\0", "self\0server\0store\0");
    EXPECT(fd, NS_WIRE_DIRECTORY, 0, "/stats/self\0", "error\0");
    EXPECT(fd, NS_WIRE_DIRECTORY, 0, "/stats/self/error\0", "");
    EXPECT(fd, NS_WIRE_READ, 0, "/stats/server/connections\0", "1");
    EXPECT(fd, NS_WIRE_READ, 0, "/stats\0", "computed");
    EXPECT_ERROR(fd, NS_WIRE_READ, 0, "/stats/none\0", "ENOENT");
    expect_reason("/stats/none");
    raw_ask(fd, NS_WIRE_GET_PERMS, 0, "/stats/self/error", 18, &reply);
    assert_int_equal(reply.header.type, NS_WIRE_GET_PERMS);
    EXPECT_ERROR(fd, NS_WIRE_WRITE, 0, "/stats/server/connections\0007", "EROFS");
    expect_reason("computed");
    EXPECT_ERROR(fd, NS_WIRE_MKDIR, 0, "/stats/x\0", "EROFS");
    EXPECT_ERROR(fd, NS_WIRE_DIRECTORY, 0, "/slow\0", "E2BIG");
    assert_int_equal(fetch_parts(0, "/slow", list, sizeof(list), NULL), 6000);
    assert_string_equal(list, "n0000");
    assert_string_equal(list + 5994, "n0999");
}

static void reasons_belong_to_their_connection(void **state)
{
    int other = raw_connect(&names);

    (void)state;
    EXPECT(fd, NS_WIRE_READ, 0, "/stats/self/error\0", "");
    EXPECT_ERROR(fd, NS_WIRE_READ, 0, "/missing\0", "ENOENT");
    EXPECT_ERROR(other, NS_WIRE_READ, 0, "/has space\0", "EINVAL");
    expect_reason("/missing");
    expect_reason("/missing"); /* reading it does not change it */
    EXPECT_OK(fd, NS_WIRE_WRITE, 0, "/fine\0001");
    expect_reason("/missing");
    EXPECT_ERROR(fd, NS_WIRE_TRANSACTION_END, 0, "T\0", "ENOENT");
    expect_reason("no transaction");
    close(other);
}

#define OPERATION_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        OPERATION_TEST(write_and_read),
        OPERATION_TEST(the_longest_value),
        OPERATION_TEST(paths),
        OPERATION_TEST(make_list_and_remove),
        OPERATION_TEST(permissions),
        OPERATION_TEST(what_is_not_served),
        OPERATION_TEST(control),
        OPERATION_TEST(a_transaction_is_a_snapshot_and_all_or_nothing),
        OPERATION_TEST(transaction_numbers),
        OPERATION_TEST(sixty_four_transactions_and_not_one_more),
        OPERATION_TEST(a_list_in_parts),
        OPERATION_TEST(a_list_that_the_transaction_has_changed),
        OPERATION_TEST(parts_at_the_edges),
        OPERATION_TEST(computed_names),
        OPERATION_TEST(reasons_belong_to_their_connection),
    };

    return cmocka_run_group_tests_name("operations", tests, NULL, NULL);
}
