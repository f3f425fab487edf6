/* SPDX-License-Identifier: BSD-3-Clause */
/* Watches of clients: which events come, in which order, and how many when nobody reads them. */
#include "tests/unit/names_clients.h"

static void the_first_event_follows_the_reply(void **state)
{
    (void)state;
    EXPECT_OK(fd, NS_WIRE_WATCH, 0, "/absent/x\0token\0");
    EXPECT_EVENT(fd, "/absent/x\0token\0");
    EXPECT_OK(fd, NS_WIRE_WATCH, 0, "relative\0\0"); /* an empty token */
    EXPECT_EVENT(fd, "relative\0\0");
    EXPECT_OK(fd, NS_WIRE_WATCH, 0, "@introduceDomain\0a\0");
    EXPECT_EVENT(fd, "@introduceDomain\0a\0");
    EXPECT_OK(fd, NS_WIRE_WATCH, 0, "@releaseDomain\0b\0");
    EXPECT_EVENT(fd, "@releaseDomain\0b\0");
    expect_silence(fd);
}

static void changes_of_others_and_of_oneself(void **state)
{
    (void)state;
    EXPECT_OK(fd, NS_WIRE_WATCH, 0, "/w\0t\0");
    EXPECT_EVENT(fd, "/w\0t\0");
    EXPECT_OK(other, NS_WIRE_WRITE, 0, "/w/a/b\0001"); /* one event, none for /w and /w/a */
    EXPECT_EVENT(fd, "/w/a/b\0t\0");
    EXPECT_OK(fd, NS_WIRE_WRITE, 0, "/w/a/b\0001"); /* the same value; the reply comes first */
    EXPECT_EVENT(fd, "/w/a/b\0t\0");
    EXPECT_OK(fd, NS_WIRE_SET_PERMS, 0, "/w/a\0n0\0");
    EXPECT_EVENT(fd, "/w/a\0t\0");
    EXPECT_OK(fd, NS_WIRE_MKDIR, 0, "/w/a\0"); /* exists: nothing has changed */
    EXPECT_OK(fd, NS_WIRE_WRITE, 0, "/wx\0001");
    expect_silence(fd);
    EXPECT_OK(fd, NS_WIRE_RM, 0, "/w\0"); /* one event for the whole of it */
    EXPECT_EVENT(fd, "/w\0t\0");
    EXPECT_OK(fd, NS_WIRE_RM, 0, "/w\0");
    expect_silence(fd);
}

static void relative_watches_speak_relatively(void **state)
{
    (void)state;
    EXPECT_OK(fd, NS_WIRE_WATCH, 0, "dev/x\0t\0");
    EXPECT_EVENT(fd, "dev/x\0t\0");
    EXPECT_OK(other, NS_WIRE_WRITE, 0, "/local/domain/0/dev/x/y\0001");
    EXPECT_EVENT(fd, "dev/x/y\0t\0");
    EXPECT_OK(other, NS_WIRE_RM, 0, "/local/domain/0/dev\0"); /* above the watch: its own path */
    EXPECT_EVENT(fd, "dev/x\0t\0");
    expect_silence(fd);
}

static void transactions_speak_when_they_commit(void **state)
{
    uint32_t tx = raw_begin(other);

    (void)state;
    EXPECT_OK(fd, NS_WIRE_WATCH, 0, "/w\0t\0");
    EXPECT_EVENT(fd, "/w\0t\0");
    EXPECT_OK(other, NS_WIRE_WRITE, tx, "/w/b\0001");
    EXPECT_OK(other, NS_WIRE_WRITE, tx, "/w/a\0001");
    expect_silence(fd);
    EXPECT_OK(other, NS_WIRE_TRANSACTION_END, tx, "T\0");
    EXPECT_EVENT(fd, "/w/b\0t\0");
    EXPECT_EVENT(fd, "/w/a\0t\0");
    tx = raw_begin(other);
    EXPECT_OK(other, NS_WIRE_WRITE, tx, "/w/c\0001");
    EXPECT_OK(other, NS_WIRE_TRANSACTION_END, tx, "F\0");
    expect_silence(fd);
}

static void the_same_watch_twice_and_unwatch(void **state)
{
    (void)state;
    EXPECT_OK(fd, NS_WIRE_WATCH, 0, "/w\0t\0");
    EXPECT_EVENT(fd, "/w\0t\0");
    EXPECT_ERROR(fd, NS_WIRE_WATCH, 0, "/w\0t\0", "EEXIST");
    EXPECT_OK(fd, NS_WIRE_WATCH, 0, "/w\0u\0");
    EXPECT_EVENT(fd, "/w\0u\0");
    EXPECT_ERROR(fd, NS_WIRE_UNWATCH, 0, "/w\0v\0", "ENOENT");
    EXPECT_ERROR(fd, NS_WIRE_UNWATCH, 0, "/v\0t\0", "ENOENT");
    EXPECT_ERROR(fd, NS_WIRE_UNWATCH, 0, "/w\0", "EINVAL");
    EXPECT_ERROR(fd, NS_WIRE_WATCH, 0, "/w\0t\0001\0", "EEXIST"); /* whatever its depth */
    EXPECT_ERROR(fd, NS_WIRE_WATCH, 0, "/w/\0t\0", "EINVAL");
    EXPECT_OK(fd, NS_WIRE_UNWATCH, 0, "/w\0t\0");
    EXPECT_OK(other, NS_WIRE_WRITE, 0, "/w\0001");
    EXPECT_EVENT(fd, "/w\0u\0");
    expect_silence(fd);
    EXPECT_OK(fd, NS_WIRE_RESET_WATCHES, 0, "");
    EXPECT_OK(other, NS_WIRE_WRITE, 0, "/w\0002");
    expect_silence(fd);
    EXPECT_OK(fd, NS_WIRE_WATCH, 0, "/w\0u\0"); /* free to be used again */
    EXPECT_EVENT(fd, "/w\0u\0");
}

/* A path is the same however it is written; events have it as the watch was made. */
static void relative_or_absolute_is_one_watch(void **state)
{
    (void)state;
    EXPECT_OK(fd, NS_WIRE_WATCH, 0, "dev\0t\0");
    EXPECT_EVENT(fd, "dev\0t\0");
    EXPECT_ERROR(fd, NS_WIRE_WATCH, 0, "/local/domain/0/dev\0t\0", "EEXIST");
    EXPECT_OK(fd, NS_WIRE_WATCH, 0, "/local/domain/0/dev\0u\0");
    EXPECT_EVENT(fd, "/local/domain/0/dev\0u\0");
    EXPECT_ERROR(fd, NS_WIRE_WATCH, 0, "dev\0u\0", "EEXIST");
    EXPECT_OK(fd, NS_WIRE_WATCH, 0, "/local/domain/0\0t\0");
    EXPECT_EVENT(fd, "/local/domain/0\0t\0");
    EXPECT_OK(fd, NS_WIRE_UNWATCH, 0, "/local/domain/0/dev\0t\0");
    EXPECT_OK(fd, NS_WIRE_UNWATCH, 0, "dev\0u\0");
    EXPECT_OK(fd, NS_WIRE_UNWATCH, 0, "/local/domain/0\0t\0");
    EXPECT_ERROR(fd, NS_WIRE_UNWATCH, 0, "dev\0t\0", "ENOENT");
}

static void an_event_too_long_for_the_wire_has_the_watchs_path(void **state)
{
    char payload[NS_WIRE_PAYLOAD_MAX], path[2002];
    struct message got;

    (void)state;
    memset(payload, 't', sizeof(payload));
    memcpy(payload, "/w", 3);
    payload[sizeof(payload) - 1] = '\0'; /* path and token fill an event exactly */
    raw_ask(fd, NS_WIRE_WATCH, 0, payload, sizeof(payload), &got);
    expect_bytes(&got, NS_WIRE_WATCH, "OK", 3);
    raw_receive(fd, &got);
    expect_bytes(&got, NS_WIRE_WATCH_EVENT, payload, sizeof(payload));
    memset(path, 'n', sizeof(path));
    memcpy(path, "/w/", 3);
    path[2000] = '\0';
    raw_ask(other, NS_WIRE_WRITE, 0, path, 2001, &got);
    expect_bytes(&got, NS_WIRE_WRITE, "OK", 3);
    raw_receive(fd, &got);
    expect_bytes(&got, NS_WIRE_WATCH_EVENT, payload, sizeof(payload));
}

/* ---- nobody reads ---- */

/* Write many names, 50 requests at a time. */
static void write_names(int count, const char *format)
{
    char batch[50 * 128], payload[128];
    struct message reply;

    for (int i = 0; i < count;) {
        size_t size = 0;
        int end = i + 50;

        for (; i < end; i++) {
            int length = sprintf(payload, format, i) + 1;

            size += raw_format(batch + size, NS_WIRE_WRITE, 0, 0, payload, (size_t)length);
        }
        raw_bytes(other, batch, size);
        for (int j = 0; j < 50; j++) {
            raw_receive(other, &reply);
            expect_bytes(&reply, NS_WIRE_WRITE, "OK", 3);
        }
    }
}

/* Everything that has waited for the client, up to the reply of a last request. */
static size_t read_events(const char *last_path, size_t *after_last)
{
    struct message got;
    size_t count = 0;

    *after_last = 0;
    raw_send(fd, NS_WIRE_READ, 0, 77, "/w", 3);
    for (;;) {
        raw_receive(fd, &got);
        if (got.header.type == NS_WIRE_READ)
            return count;
        assert_int_equal(got.header.type, NS_WIRE_WATCH_EVENT);
        count++;
        *after_last += strcmp(got.payload, last_path) == 0;
    }
}

static void a_client_that_never_reads_costs_a_bounded_amount(void **state)
{
    size_t after_last;

    (void)state;
    EXPECT_OK(fd, NS_WIRE_WATCH, 0, "/w\0t\0");
    EXPECT_EVENT(fd, "/w\0t\0");
    EXPECT_OK(other, NS_WIRE_WRITE, 0, "/w\0x");
    write_names(100000, "/w/a-name-of-some-length-and-number-%d");
    assert_true(names.most_events <= NS_EVENTS_MAX);
    assert_true(names.most_output <= NS_OUTPUT_FULL + NS_WIRE_MESSAGE_MAX);
    assert_true(read_events("/w", &after_last) < 50000);
    assert_true(after_last >= 1); /* the one that stands for all */

    /* And then it hears of single names again. */
    EXPECT_OK(other, NS_WIRE_WRITE, 0, "/w/again\0001");
    EXPECT_EVENT(fd, "/w/again\0t\0");
}

static void equal_events_merge(void **state)
{
    size_t after_last;

    (void)state;
    EXPECT_OK(fd, NS_WIRE_WATCH, 0, "/w\0t\0");
    EXPECT_EVENT(fd, "/w\0t\0");
    EXPECT_OK(fd, NS_WIRE_WATCH, 0, "/w/0\0t\0"); /* the same token, but another watch */
    EXPECT_EVENT(fd, "/w/0\0t\0");
    EXPECT_OK(other, NS_WIRE_WRITE, 0, "/w\0x");
    for (int i = 0; i < 100; i++)
        write_names(200, "/w/%d");
    assert_true(names.most_events < 200 * 128 * 2);
    assert_true(read_events("/w/0", &after_last) <= 20000 + 100 + 1);
    assert_true(after_last >= 2);
}

static void unwatch_takes_what_waits_and_leaves_the_rest(void **state)
{
    struct message got;
    bool answered = false;

    (void)state;
    EXPECT_OK(fd, NS_WIRE_WATCH, 0, "/w\0gone\0");
    EXPECT_EVENT(fd, "/w\0gone\0");
    EXPECT_OK(fd, NS_WIRE_WATCH, 0, "/w\0kept\0");
    EXPECT_EVENT(fd, "/w\0kept\0");
    EXPECT_OK(other, NS_WIRE_WRITE, 0, "/w\0x");
    write_names(20000, "/w/a-name-of-some-length-and-number-%d");
    raw_send(fd, NS_WIRE_UNWATCH, 0, 1, "/w\0gone", 8);
    EXPECT_OK(other, NS_WIRE_WRITE, 0, "/w\0the end");
    raw_send(fd, NS_WIRE_READ, 0, 2, "/w", 3);
    for (;;) {
        raw_receive(fd, &got);
        if (got.header.request == 2)
            break;
        if (got.header.type == NS_WIRE_UNWATCH)
            answered = true;
        else if (answered)
            assert_string_equal(got.payload + strlen(got.payload) + 1, "kept");
    }
    assert_true(answered);
}

static void closing_with_events_waiting(void **state)
{
    (void)state;
    EXPECT_OK(fd, NS_WIRE_WATCH, 0, "/\0t\0");
    write_names(5000, "/w/%d");
    close(fd);
    write_names(50, "/w/%d");
    fd = raw_connect(&names);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        NAMES_TEST(the_first_event_follows_the_reply),
        NAMES_TEST(changes_of_others_and_of_oneself),
        NAMES_TEST(relative_watches_speak_relatively),
        NAMES_TEST(transactions_speak_when_they_commit),
        NAMES_TEST(the_same_watch_twice_and_unwatch),
        NAMES_TEST(relative_or_absolute_is_one_watch),
        NAMES_TEST(an_event_too_long_for_the_wire_has_the_watchs_path),
        NAMES_TEST(a_client_that_never_reads_costs_a_bounded_amount),
        NAMES_TEST(equal_events_merge),
        NAMES_TEST(unwatch_takes_what_waits_and_leaves_the_rest),
        NAMES_TEST(closing_with_events_waiting),
    };

    return cmocka_run_group_tests_name("events", tests, NULL, NULL);
}
