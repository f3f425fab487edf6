/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What went wrong in other Xenstore servers with domains that come and go, and with many clients: the rest of
 * test_advisories.
 */
#include "tests/unit/names_clients.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

static int stop(void **state)
{
    EXPECT(fd, NS_WIRE_CONTROL, 0, "check\0", "OK\0");
    return names_teardown(state);
}

/* Ask with a payload that is made of a format, whose '|' become NULs. */
static void ask(int client, uint32_t type, const char *format, unsigned number,
                struct message *reply)
{
    char payload[256];
    int size = snprintf(payload, sizeof(payload), format, number);

    for (int i = 0; i < size; i++)
        if (payload[i] == '|')
            payload[i] = '\0';
    raw_ask(client, type, 0, payload, (size_t)size, reply);
}

static void expect_done(int client, uint32_t type, const char *format, unsigned number)
{
    struct message reply;

    ask(client, type, format, number, &reply);
    expect_bytes(&reply, type, "OK", 3);
}

/* A guest with a home of its own. */
static int make_guest(unsigned domid)
{
    int guest = raw_guest(fd, domid);

    expect_done(fd, NS_WIRE_MKDIR, "/local/domain/%u|", domid);
    expect_done(fd, NS_WIRE_SET_PERMS, "/local/domain/%1$u|n%1$u|", domid);
    return guest;
}

static unsigned long counter(const char *format)
{
    struct message reply;

    ask(fd, NS_WIRE_READ, format, 0, &reply);
    assert_int_equal(reply.header.type, NS_WIRE_READ);
    return strtoul(reply.payload, NULL, 10);
}

/* ---- numbers that are used again ---- */

/* As much as its limits allow, and something from each who can give. */
static void use_all(int guest)
{
    EXPECT_OK(guest, NS_WIRE_WRITE, 0, "a/b/c\0x");
    EXPECT_ERROR(guest, NS_WIRE_MKDIR, 0, "d\0", "ENOSPC");
    EXPECT_OK(guest, NS_WIRE_WATCH, 0, "a\0t\0");
    EXPECT_EVENT(guest, "a\0t\0");
    EXPECT_ERROR(guest, NS_WIRE_WATCH, 0, "b\0t\0", "ENOSPC");
    raw_begin(guest);
    EXPECT_ERROR(guest, NS_WIRE_TRANSACTION_START, 0, "\0", "ENOSPC");
}

static void xsa_322_417_483_a_number_used_again(void **state)
{
    int guest, friend;

    (void)state;
    EXPECT_OK(fd, NS_WIRE_SET_QUOTA, 0, "nodes\0004\0");
    EXPECT_OK(fd, NS_WIRE_SET_QUOTA, 0, "watches\0001\0");
    EXPECT_OK(fd, NS_WIRE_SET_QUOTA, 0, "transactions\0001\0");
    EXPECT_OK(fd, NS_WIRE_WRITE, 0, "/local/gift\0x");
    friend = make_guest(6);
    for (int life = 0; life < 3; life++) {
        guest = make_guest(5);
        EXPECT_ERROR(guest, NS_WIRE_READ, 0, "/local/gift\0", "EACCES");
        EXPECT_ERROR(guest, NS_WIRE_WRITE, 0, "/local/domain/6/x\0v", "EACCES");
        EXPECT(fd, NS_WIRE_GET_PERMS, 0, "@introduceDomain\0", "n0\0");
        EXPECT(fd, NS_WIRE_GET_QUOTA, 0, "5\0nodes\0", "4\0");
        use_all(guest);
        EXPECT_OK(fd, NS_WIRE_SET_PERMS, 0, "/local/gift\0n0\0r5\0");
        EXPECT(guest, NS_WIRE_READ, 0, "/local/gift\0", "x");
        EXPECT_OK(fd, NS_WIRE_SET_TARGET, 0, "5\0006\0");
        EXPECT_OK(guest, NS_WIRE_RM, 0, "/local/domain/6/x\0");
        EXPECT_OK(fd, NS_WIRE_SET_PERMS, 0, "@introduceDomain\0n0\0r5\0");
        EXPECT_OK(fd, NS_WIRE_SET_QUOTA, 0, "5\0nodes\000100\0");
        EXPECT_OK(fd, NS_WIRE_RELEASE, 0, "5\0");
        assert_true(raw_closed(guest));
        close(guest);
        EXPECT(fd, NS_WIRE_GET_PERMS, 0, "/local/gift\0", "n0\0");
        EXPECT_ERROR(fd, NS_WIRE_READ, 0, "/local/domain/5\0", "ENOENT");
    }
    close(friend);
}

/* ---- pairs ---- */

enum { TARGETS = 4 }; /* none, 5 acts for 6, 6 for 5, each for the other */

static void kill_pair(unsigned targets, unsigned first, bool hang_up, bool busy)
{
    int guests[2] = {make_guest(5), make_guest(6)};

    if ((targets & 1) != 0)
        EXPECT_OK(fd, NS_WIRE_SET_TARGET, 0, "5\0006\0");
    if ((targets & 2) != 0)
        EXPECT_OK(fd, NS_WIRE_SET_TARGET, 0, "6\0005\0");
    for (int i = 0; i < 2 && busy; i++) {
        raw_begin(guests[i]);
        EXPECT_OK(guests[i], NS_WIRE_WATCH, 0, "/local\0t\0");
        EXPECT_EVENT(guests[i], "/local\0t\0");
        raw_send(guests[i], NS_WIRE_READ, 0, 1, "x", 2);
    }
    if (hang_up)
        close(guests[first]);
    for (unsigned i = 0; i < 2; i++) {
        expect_done(fd, NS_WIRE_RELEASE, "%u|", 5 + (first ^ i));
        EXPECT_EVENT(other, "@releaseDomain\0t\0");
    }
    EXPECT_ERROR(fd, NS_WIRE_SET_TARGET, 0, "5\0006\0", "ENOENT");
    close(guests[!first]);
    if (!hang_up)
        close(guests[first]);
}

/* Whoever dies first, and whatever it was to the other: each death is told once. */
static void xsa_325_233_pairs_die_in_any_order(void **state)
{
    (void)state;
    EXPECT_OK(other, NS_WIRE_WATCH, 0, "@releaseDomain\0t\0");
    EXPECT_EVENT(other, "@releaseDomain\0t\0");
    for (unsigned targets = 0; targets < TARGETS; targets++)
        for (unsigned first = 0; first < 2; first++)
            for (unsigned how = 0; how < 4; how++)
                kill_pair(targets, first, (how & 1) != 0, (how & 2) != 0);
    EXPECT(other, NS_WIRE_GET_DOMAIN_PATH, 0, "0\0", "/local/domain/0\0"); /* and no more */
}

/* ---- deaths ---- */

/* Requests that nobody has run, replies and events that nobody has read, open transactions, and a merge of all
 * that with deaths of others in one batch. */
static void xsa_425_release_with_work_queued(void **state)
{
    enum { GUESTS = 8, REQUESTS = 100 };
    char batch[GUESTS * 64];
    int guests[GUESTS];
    size_t size = 0;
    struct message reply;

    (void)state;
    for (unsigned i = 0; i < GUESTS; i++) {
        guests[i] = make_guest(10 + i);
        EXPECT_OK(guests[i], NS_WIRE_WATCH, 0, "/local\0t\0");
        EXPECT_EVENT(guests[i], "/local\0t\0");
        raw_begin(guests[i]);
    }
    for (unsigned i = 0; i < GUESTS; i++)
        for (int j = 0; j < REQUESTS; j++)
            raw_send(guests[i], NS_WIRE_WRITE, 0, 1, "x\0v", 3);
    for (unsigned i = 0; i < GUESTS; i++) {
        char number[16];

        size += raw_format(batch + size, NS_WIRE_RELEASE, 0, 1, number,
                           (size_t)sprintf(number, "%u", 10 + i) + 1);
    }
    raw_bytes(fd, batch, size);
    for (unsigned i = 0; i < GUESTS; i++) {
        raw_receive(fd, &reply);
        expect_bytes(&reply, NS_WIRE_RELEASE, "OK", 3);
    }
    for (unsigned i = 0; i < GUESTS; i++) {
        expect_done(fd, NS_WIRE_MKDIR, "/alive/%u|", i);
        close(guests[i]);
    }
    EXPECT(fd, NS_WIRE_DIRECTORY, 0, "/local/domain\0", "");
}

/* A domain that is made, fills its quota and dies, again and again: the store is no larger than with one. */
static void xsa_419_a_reboot_loop(void **state)
{
    enum { LIVES = 20, NODES = 900 };
    static char batch[NODES * 64], replies[NODES * 19];
    unsigned long full = 0;
    size_t size = 0;

    (void)state;
    for (int i = 0; i < NODES; i++) {
        char path[32];

        size += raw_format(batch + size, NS_WIRE_WRITE, 0, 0, path,
                           (size_t)sprintf(path, "d%d/x%d", i % 30, i) + 1);
    }
    for (int life = 0; life < LIVES; life++) {
        int guest = make_guest(5);

        for (size_t sent = 0; sent < size;) {
            size_t piece = 0; /* fifteen at a time: more would have to be taken before */

            for (int i = 0; i < 15 && sent + piece < size; i++) {
                struct ns_wire_header header;

                memcpy(&header, batch + sent + piece, sizeof(header));
                piece += sizeof(header) + header.size;
            }
            raw_bytes(guest, batch + sent, piece);
            assert_true(raw_take(guest, replies, 15 * (sizeof(struct ns_wire_header) + 3)));
            sent += piece;
        }
        if (life == 0)
            full = counter("/stats/store/pool_bytes|");
        EXPECT_OK(fd, NS_WIRE_RELEASE, 0, "5\0");
        close(guest);
        EXPECT(fd, NS_WIRE_DIRECTORY, 0, "/local/domain\0", "");
    }
    for (int i = 0; i < 10000 && counter("/stats/store/pool_bytes|") > full; i++)
        EXPECT_OK(fd, NS_WIRE_MKDIR, 0, "/any\0"); /* a grace period takes some rounds */
    assert_true(counter("/stats/store/pool_bytes|") <= full);
}

/* ---- special events ---- */

/* Each tells of another domain, so there are as many as there were deaths, also if they wait together. */
static void special_events_do_not_merge(void **state)
{
    char batch[1024];
    size_t size = 0;
    struct message reply;

    (void)state;
    EXPECT_OK(other, NS_WIRE_WATCH, 0, "@introduceDomain\0i\0");
    EXPECT_EVENT(other, "@introduceDomain\0i\0");
    EXPECT_OK(other, NS_WIRE_WATCH, 0, "@releaseDomain\0r\0001\0");
    EXPECT_EVENT(other, "@releaseDomain\0r\0");
    for (int life = 0; life < 4; life++) {
        size += raw_format(batch + size, NS_WIRE_INTRODUCE, 0, 0, "5\0001\0001", 6);
        size += raw_format(batch + size, NS_WIRE_RELEASE, 0, 0, "5", 2);
    }
    raw_bytes(fd, batch, size);
    for (int life = 0; life < 8; life++) {
        raw_receive(fd, &reply);
        assert_string_equal(reply.payload, "OK");
    }
    for (int life = 0; life < 4; life++) {
        EXPECT_EVENT(other, "@introduceDomain\0i\0");
        EXPECT_EVENT(other, "@releaseDomain/5\0r\0");
    }
    EXPECT(other, NS_WIRE_GET_DOMAIN_PATH, 0, "0\0", "/local/domain/0\0");
}

/* Who does not read them costs a bounded amount all the same, and is told once more. */
static void special_events_are_bounded(void **state)
{
    enum { BATCH = 100, LIVES = 30000 };
    static char batch[BATCH * 64];
    size_t size = 0, lives = 0;
    struct message reply;

    (void)state;
    EXPECT_OK(other, NS_WIRE_WATCH, 0, "@releaseDomain\0r\0");
    for (int i = 0; i < BATCH; i++) {
        size += raw_format(batch + size, NS_WIRE_INTRODUCE, 0, 0, "5\0001\0001", 6);
        size += raw_format(batch + size, NS_WIRE_RELEASE, 0, 0, "5", 2);
    }
    for (; lives < LIVES; lives += BATCH) {
        raw_bytes(fd, batch, size);
        for (int i = 0; i < 2 * BATCH; i++)
            raw_receive(fd, &reply);
    }
    raw_send(other, NS_WIRE_GET_DOMAIN_PATH, 0, 0, "0", 2);
    do {
        raw_receive(other, &reply);
        lives -= reply.header.type == NS_WIRE_WATCH_EVENT;
    } while (reply.header.type == NS_WIRE_WATCH_EVENT);
    assert_true(lives > 0 && lives < LIVES);
    assert_true(names.most_events <= NS_EVENTS_MAX);
}

/* ---- many clients ---- */

/* Nanoseconds of the processor that the server's thread needs for some requests: the least of several tries, as
 * work that goes on beside it can only add to it. */
static uint64_t work(void)
{
    enum { TRIES = 8, REQUESTS = 200 };
    uint64_t least = UINT64_MAX;
    clockid_t clock;

    assert_int_equal(pthread_getcpuclockid(names.thread, &clock), 0);
    for (int i = 0; i < TRIES; i++) {
        struct timespec before, after;
        uint64_t used;

        clock_gettime(clock, &before);
        for (int j = 0; j < REQUESTS; j++) {
            EXPECT_OK(fd, NS_WIRE_WRITE, 0, "/some/name\0value");
            EXPECT(fd, NS_WIRE_READ, 0, "/some/name\0", "value");
        }
        clock_gettime(clock, &after);
        used = (uint64_t)(after.tv_sec - before.tv_sec) * UINT64_C(1000000000) +
               (uint64_t)after.tv_nsec - (uint64_t)before.tv_nsec;
        least = used < least ? used : least;
    }
    return least;
}

/* Another process that has so many clients connected, each with a watch, until the pipe is closed: here there
 * would not be descriptors enough for both ends. */
static pid_t connect_others(int count, int *until_closed)
{
    int to_us[2], to_child[2];
    char byte;
    pid_t child;

    assert_int_equal(pipe(to_us), 0);
    assert_int_equal(pipe(to_child), 0);
    child = fork();
    if (child == 0) {
        close(to_child[1]);
        for (int i = 0; i < count; i++)
            expect_done(raw_connect(&names), NS_WIRE_WATCH, "/elsewhere/%u|t|", (unsigned)i);
        _exit(write(to_us[1], "", 1) != 1 || read(to_child[0], &byte, 1) != 0);
    }
    assert_true(child > 0);
    close(to_us[1]);
    close(to_child[0]);
    assert_int_equal(read(to_us[0], &byte, 1), 1);
    close(to_us[0]);
    *until_closed = to_child[1];
    return child;
}

/* A request costs what it costs, however many others are connected, each with a watch of its own. The server's own
 * time is compared, generously, as the machine may have other work: to look at each of 10,000 connections costs dozens of
 * times as much as a request. */
static void a_request_among_10000_clients(void **state)
{
    static const int more[] = {1000, 9000};
    struct rlimit before, enough;
    pid_t children[2];
    uint64_t alone;
    int pipes[2];

    (void)state;
    getrlimit(RLIMIT_NOFILE, &before);
    enough = (struct rlimit){before.rlim_max, before.rlim_max};
    if (enough.rlim_max < 11000 || setrlimit(RLIMIT_NOFILE, &enough) != 0)
        skip();
    names.unmeasured = true;
    alone = work();
    for (int i = 0; i < 2; i++) {
        uint64_t among;

        children[i] = connect_others(more[i], &pipes[i]);
        among = work();
        if (among > 10 * alone)
            fail_msg("%d more: %" PRIu64 " ns, alone %" PRIu64 " ns", more[i], among, alone);
    }
    for (int i = 1; i >= 0; i--) { /* the second has the first one's pipe */
        int status;

        close(pipes[i]);
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
    }
    setrlimit(RLIMIT_NOFILE, &before);
}

#define GUEST_TEST(test) cmocka_unit_test_setup_teardown(test, names_setup, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        GUEST_TEST(xsa_322_417_483_a_number_used_again),
        GUEST_TEST(xsa_325_233_pairs_die_in_any_order),
        GUEST_TEST(xsa_425_release_with_work_queued),
        GUEST_TEST(xsa_419_a_reboot_loop),
        GUEST_TEST(special_events_do_not_merge),
        GUEST_TEST(special_events_are_bounded),
        GUEST_TEST(a_request_among_10000_clients),
    };

    return cmocka_run_group_tests_name("advisories_guests", tests, NULL, NULL);
}
