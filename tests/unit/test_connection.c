/* SPDX-License-Identifier: BSD-3-Clause */
/* Connections: messages in pieces and in batches, answers that come later, clients that do not read,
 * and those that send nonsense. */
#include "tests/unit/names_clients.h"

/* ---- pieces and batches ---- */

static void byte_by_byte(void **state)
{
    char bytes[256];
    size_t size = raw_format(bytes, NS_WIRE_WRITE, 0, 1, "/a\0hello", 8);
    struct message got;

    (void)state;
    size += raw_format(bytes + size, NS_WIRE_READ, 0, 2, "/a", 3);
    for (size_t i = 0; i < size; i++) {
        raw_bytes(fd, bytes + i, 1);
        if (i % 5 == 0)
            expect_alive(); /* nobody waits for the half message */
    }
    raw_receive(fd, &got);
    expect_bytes(&got, NS_WIRE_WRITE, "OK", 3);
    raw_receive(fd, &got);
    expect_bytes(&got, NS_WIRE_READ, "hello", 5);
}

enum { BATCH = 1000 };

static void a_batch_is_answered_in_order_with_few_system_calls(void **state)
{
    static char bytes[BATCH * 64];
    size_t size = 0;
    struct message got;

    (void)state;
    for (uint32_t i = 0; i < BATCH; i++) {
        char payload[32];

        size += i % 2 == 0 ? raw_format(bytes + size, NS_WIRE_WRITE, 0, i, payload,
                                        (size_t)sprintf(payload, "/n%cvalue %u", 0, i))
                           : raw_format(bytes + size, NS_WIRE_READ, 0, i, "/n", 3);
    }
    raw_bytes(fd, bytes, size);
    for (uint32_t i = 0; i < BATCH; i++) {
        char value[32];

        raw_receive(fd, &got);
        assert_int_equal(got.header.request, i);
        sprintf(value, "value %u", i - 1);
        if (i % 2 == 0)
            expect_bytes(&got, NS_WIRE_WRITE, "OK", 3);
        else
            expect_bytes(&got, NS_WIRE_READ, value, strlen(value));
    }
}

static int teardown_counting(void **state)
{
    int error = names_teardown(state);

    assert_int_equal(names.counters.requests, BATCH);
    assert_true(names.counters.reads < BATCH / 10);
    assert_true(names.counters.writes < BATCH / 10);
    return error;
}

/* ---- later answers ---- */

static void a_later_answer_keeps_the_order(void **state)
{
    struct message got;

    (void)state;
    raw_send(fd, NS_WIRE_READ, 0, 1, "/slow/a", 8);
    raw_send(fd, NS_WIRE_WRITE, 0, 2, "/b\0001", 4);
    raw_send(fd, NS_WIRE_READ, 0, 3, "/slow/refused", 14);
    raw_send(fd, NS_WIRE_READ, 0, 4, "/stats/self/error", 18);
    expect_alive(); /* others go on meanwhile */
    EXPECT_ERROR(other, NS_WIRE_READ, 0, "/b\0", "ENOENT");
    do
        raw_ask(other, NS_WIRE_READ, 0, "/slow/release", 14, &got);
    while (got.payload[0] == '0');
    raw_receive(fd, &got);
    assert_int_equal(got.header.request, 1);
    expect_bytes(&got, NS_WIRE_READ, "/slow/a at last", 15);
    raw_receive(fd, &got);
    assert_int_equal(got.header.request, 2);
    do
        raw_ask(other, NS_WIRE_READ, 0, "/slow/release", 14, &got);
    while (got.payload[0] == '0');
    raw_receive(fd, &got);
    assert_int_equal(got.header.request, 3);
    expect_bytes(&got, NS_WIRE_ERROR, "EAGAIN", 7);
    raw_receive(fd, &got);
    assert_int_equal(got.header.request, 4);
    expect_bytes(&got, NS_WIRE_READ, "lcore 3 lags behind", 19);
}

static void events_come_while_an_answer_waits(void **state)
{
    struct message got;

    (void)state;
    EXPECT_OK(fd, NS_WIRE_WATCH, 0, "/w\0t\0");
    EXPECT_EVENT(fd, "/w\0t\0");
    raw_send(fd, NS_WIRE_READ, 0, 1, "/slow/a", 8);
    EXPECT_OK(other, NS_WIRE_WRITE, 0, "/w/x\0001");
    EXPECT_EVENT(fd, "/w/x\0t\0");
    do
        raw_ask(other, NS_WIRE_READ, 0, "/slow/release", 14, &got);
    while (got.payload[0] == '0');
    raw_receive(fd, &got);
    expect_bytes(&got, NS_WIRE_READ, "/slow/a at last", 15);
}

static void an_answer_to_nobody_is_dropped(void **state)
{
    struct message got;

    (void)state;
    raw_send(fd, NS_WIRE_READ, 0, 1, "/slow/a", 8);
    do /* until the server has seen it go */
        raw_ask(other, NS_WIRE_READ, 0, "/stats/server/requests", 23, &got);
    while (strtoul(got.payload, NULL, 10) < 2);
    close(fd);
    do
        raw_ask(other, NS_WIRE_READ, 0, "/stats/server/connections", 26, &got);
    while (strcmp(got.payload, "1") != 0);
    EXPECT(other, NS_WIRE_READ, 0, "/slow/release\0", "1");
    fd = raw_connect(&names);
    raw_send(fd, NS_WIRE_READ, 0, 1, "/slow/b", 8); /* and one that is open when the server ends */
    do
        raw_ask(other, NS_WIRE_READ, 0, "/stats/server/connections", 26, &got);
    while (strcmp(got.payload, "2") != 0);
}

/* ---- clients that do not read ---- */

static void replies_wait_for_a_client_that_does_not_read(void **state)
{
    char bytes[NS_WIRE_MESSAGE_MAX], value[4000];
    uint32_t sent = 0;
    struct message got;

    (void)state;
    memset(value, 'v', sizeof(value));
    memcpy(value, "/v", 3);
    raw_ask(fd, NS_WIRE_WRITE, 0, value, sizeof(value), &got);
    for (int refused = 0; refused < 100;) { /* until the server has stopped reading */
        size_t size = raw_format(bytes, NS_WIRE_READ, 0, sent, "/v", 3);
        ssize_t done = send(fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (done < 0) {
            refused++;
            expect_alive();
            continue;
        }
        assert_int_equal(done, size);
        sent++;
    }
    assert_true(names.most_output <= NS_OUTPUT_FULL + NS_WIRE_MESSAGE_MAX);
    for (uint32_t i = 0; i < sent; i++) {
        raw_receive(fd, &got);
        assert_int_equal(got.header.request, i);
        expect_bytes(&got, NS_WIRE_READ, value + 3, sizeof(value) - 3);
    }
}

static void requests_before_half_a_close_are_answered(void **state)
{
    struct message got;

    (void)state;
    for (uint32_t i = 0; i < 100; i++)
        raw_send(fd, NS_WIRE_READ, 0, i, "/", 2);
    raw_send(fd, NS_WIRE_WRITE, 0, 100, "/last\0words", 11);
    shutdown(fd, SHUT_WR);
    for (uint32_t i = 0; i <= 100; i++) {
        raw_receive(fd, &got);
        assert_int_equal(got.header.request, i);
    }
    assert_true(raw_closed(fd));
    EXPECT(other, NS_WIRE_READ, 0, "/last\0", "words");
}

/* ---- nonsense ---- */

static void too_long_closes_the_connection(void **state)
{
    static const uint32_t sizes[] = {4097, 5000, 0x7fffffff, 0x80000000, 0xffffffff};

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct ns_wire_header header = {.type = NS_WIRE_READ, .size = sizes[i]};
        int bad = raw_connect(&names);

        raw_bytes(bad, &header, sizeof(header));
        assert_true(raw_closed(bad));
        close(bad);
    }
    expect_alive();
}

static void zero_length_requests_are_answered(void **state)
{
    static const uint32_t types[] = {NS_WIRE_RESET_WATCHES, NS_WIRE_TRANSACTION_START};
    struct message got;

    (void)state;
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        raw_ask(fd, types[i], 0, "", 0, &got);
        assert_int_equal(got.header.type, types[i]);
    }
    EXPECT_ERROR(fd, NS_WIRE_READ, 0, "", "EINVAL");
    EXPECT_ERROR(fd, NS_WIRE_TRANSACTION_END, 1, "", "EINVAL");
}

static void garbage_harms_nobody(void **state)
{
    char bytes[6000];

    (void)state;
    srand(7);
    for (int round = 0; round < 300; round++) {
        int bad = raw_connect(&names);
        size_t size = (size_t)rand() % sizeof(bytes);

        for (size_t i = 0; i < size; i++)
            bytes[i] = (char)rand();
        if (round % 3 > 0 && size > 16) { /* a header that passes, again and again */
            for (size_t at = 0; at + 16 < size; at += 16 + (size_t)(bytes[at + 12] & 0x3f)) {
                struct ns_wire_header header = {(uint32_t)rand() % 25, 1, (uint32_t)rand() % 3,
                                                bytes[at + 12] & 0x3f};
                memcpy(bytes + at, &header, sizeof(header));
                bytes[at + 16] = '/';
            }
        }
        if (send(bad, bytes, size, MSG_NOSIGNAL) < 0)
            assert_int_equal(errno, EPIPE);
        close(bad);
    }
    expect_alive();
}

static void closing_in_the_middle_of_things(void **state)
{
    (void)state;
    for (int i = 0; i < 50; i++) {
        int bad = raw_connect(&names);
        uint32_t tx = raw_begin(bad);

        EXPECT_OK(bad, NS_WIRE_WRITE, tx, "/never\0seen");
        EXPECT_OK(bad, NS_WIRE_WATCH, tx, "/\0t\0");
        raw_bytes(bad, "\2\0\0\0", 4); /* a piece of a header */
        close(bad);
    }
    EXPECT_ERROR(other, NS_WIRE_READ, 0, "/never\0", "ENOENT");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        NAMES_TEST(byte_by_byte),
        cmocka_unit_test_setup_teardown(a_batch_is_answered_in_order_with_few_system_calls,
                                        names_setup, teardown_counting),
        NAMES_TEST(a_later_answer_keeps_the_order),
        NAMES_TEST(events_come_while_an_answer_waits),
        NAMES_TEST(an_answer_to_nobody_is_dropped),
        NAMES_TEST(replies_wait_for_a_client_that_does_not_read),
        NAMES_TEST(requests_before_half_a_close_are_answered),
        NAMES_TEST(too_long_closes_the_connection),
        NAMES_TEST(zero_length_requests_are_answered),
        NAMES_TEST(garbage_harms_nobody),
        NAMES_TEST(closing_in_the_middle_of_things),
    };

    return cmocka_run_group_tests_name("connection", tests, NULL, NULL);
}
