/* SPDX-License-Identifier: BSD-3-Clause */
/* Guests over ring pages: the same operations as over the socket, messages that come in pieces, guests
 * that break the rules or ask for a new connection, what may be handed in, and how guests end. */
#include "tests/unit/names_server.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include "nameserv/client_p.h"
#include "nameserv/ring_client.h"

static struct names_server names;
static int fd;                    /* a client of the socket */
static struct ns_client *monitor; /* another, which introduces */
static struct ns_guest_ring ring;
static struct ns_client *guest;

enum { DOMID = 7 };
#define HOME "/local/domain/7"
#define DATA HOME "/data"

static int setup(void **state)
{
    (void)state;
    names_server_start(&names, NULL);
    fd = raw_connect(&names);
    assert_int_equal(ns_client_open(names.path, &monitor), 0);
    assert_int_equal(ns_guest_ring_new(&ring), 0);
    assert_int_equal(ns_client_open_ring(&ring, &guest), 0);
    return 0;
}

static int setup_introduced(void **state)
{
    setup(state);
    assert_int_equal(ns_guest_ring_introduce(monitor, &ring, DOMID, -1), 0);
    EXPECT_OK(fd, NS_WIRE_WRITE, 0, "/local/domain/7\0");
    EXPECT_OK(fd, NS_WIRE_SET_PERMS, 0, "/local/domain/7\0n7\0");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    ns_client_close(guest);
    ns_guest_ring_free(&ring);
    if (monitor != NULL)
        ns_client_close(monitor);
    close(fd);
    names_server_stop(&names);
    return 0;
}

static void expect_alive(void)
{
    EXPECT_OK(fd, NS_WIRE_WRITE, 0, "/alive\0yes");
    EXPECT(fd, NS_WIRE_READ, 0, "/alive\0", "yes");
}

static void expect_introduced(bool is)
{
    if (is)
        EXPECT(fd, NS_WIRE_IS_DOMAIN_INTRODUCED, 0, "7\0", "T\0");
    else
        EXPECT(fd, NS_WIRE_IS_DOMAIN_INTRODUCED, 0, "7\0", "F\0");
}

/* The server has its own pace: ask until the domain is gone. */
static void wait_released(void)
{
    struct message reply;

    do
        raw_ask(fd, NS_WIRE_IS_DOMAIN_INTRODUCED, 0, "7", 2, &reply);
    while (reply.payload[0] != 'F');
}

static void expect_name(const char *path, const char *expected)
{
    const char *value;
    size_t size;

    assert_int_equal(ns_client_read(guest, 0, path, &value, &size), 0);
    assert_string_equal(value, expected);
}

/* ---- as over a socket ---- */

static void a_guest_uses_names_as_its_domain(void **state)
{
    const char *text;
    size_t size;
    uint32_t tx;

    (void)state;
    assert_int_equal(ns_client_write(guest, 0, DATA "/a", "1", 1), 0);
    EXPECT(fd, NS_WIRE_READ, 0, "/local/domain/7/data/a\0", "1");
    EXPECT_OK(fd, NS_WIRE_WRITE, 0, "/local/secret\0x");
    EXPECT_OK(fd, NS_WIRE_SET_PERMS, 0, "/local/secret\0n0\0");
    assert_int_equal(ns_client_read(guest, 0, "/local/secret", &text, &size), -EACCES);

    assert_int_equal(ns_client_begin(guest, &tx), 0);
    assert_int_equal(ns_client_write(guest, tx, DATA "/b", "2", 1), 0);
    EXPECT_ERROR(fd, NS_WIRE_READ, 0, "/local/domain/7/data/b\0", "ENOENT");
    assert_int_equal(ns_client_end(guest, tx, 1), 0);
    EXPECT(fd, NS_WIRE_READ, 0, "/local/domain/7/data/b\0", "2");
}

static void a_guest_watches(void **state)
{
    const char *path, *token;

    (void)state;
    assert_int_equal(ns_client_write(guest, 0, DATA, "", 0), 0);
    assert_int_equal(ns_client_watch(guest, DATA, "t"), 0);
    assert_int_equal(ns_client_event(guest, -1, &path, &token), 1);
    assert_string_equal(path, DATA);
    EXPECT_OK(fd, NS_WIRE_WRITE, 0, "/local/domain/7/data/x\0new");
    assert_int_equal(ns_client_event(guest, -1, &path, &token), 1);
    assert_string_equal(path, DATA "/x");
    assert_string_equal(token, "t");
    assert_int_equal(ns_client_event(guest, 0, &path, &token), 0);
}

/* Messages that are longer than the ring, both ways, and many of them under way. */
static void messages_longer_than_the_ring_come_in_pieces(void **state)
{
    enum { COUNT = 50, SIZE = 1900 };
    static char bytes[SIZE + 32];
    const char *data;
    size_t size;

    (void)state;
    for (int i = 0; i < COUNT; i++) {
        size_t at = (size_t)sprintf(bytes, HOME "/v%d", i) + 1;

        memset(bytes + at, 'a' + i % 26, SIZE);
        assert_int_equal(ns_client_send(guest, NS_WIRE_WRITE, 0, bytes, at + SIZE), 0);
        assert_int_equal(ns_client_send(guest, NS_WIRE_READ, 0, bytes, at), 0);
    }
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(ns_client_receive(guest, &data, &size), 0);
        assert_string_equal(data, "OK");
        assert_int_equal(ns_client_receive(guest, &data, &size), 0);
        assert_int_equal(size, SIZE);
        assert_int_equal(data[0], 'a' + i % 26);
        assert_int_equal(data[SIZE - 1], 'a' + i % 26);
    }
    expect_alive();
}

/* What the guest has put into its ring before INTRODUCE is answered. */
static void what_was_asked_before_is_answered(void **state)
{
    const char *data;
    size_t size;

    (void)state;
    assert_int_equal(ns_client_send(guest, NS_WIRE_GET_DOMAIN_PATH, 0, "3", 2), 0);
    {
        struct ns_wire_header header = {NS_WIRE_GET_DOMAIN_PATH, 1, 0, 2};
        struct ns_ring requests = ns_ring_requests(ring.page);

        assert_int_equal(ns_ring_put(requests, &header, sizeof(header)), sizeof(header));
        assert_int_equal(ns_ring_put(requests, "3", 2), 2);
        guest->send_size = 0;
    }
    assert_int_equal(ns_guest_ring_introduce(monitor, &ring, DOMID, -1), 0);
    assert_int_equal(ns_client_receive(guest, &data, &size), 0);
    assert_string_equal(data, "/local/domain/3");
}

/* In one message with the descriptors: nothing else comes with them. */
static void send_with_descriptors(const void *bytes, size_t size)
{
    const int fds[] = {ring.memory, ring.to_server, ring.to_guest};
    union {
        char bytes[CMSG_SPACE(sizeof(fds))];
        struct cmsghdr align;
    } control = {.bytes = ""};
    struct iovec piece = {(void *)(uintptr_t)bytes, size};
    struct msghdr message = {.msg_iov = &piece,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control.bytes)};
    struct cmsghdr *item = CMSG_FIRSTHDR(&message);

    item->cmsg_level = SOL_SOCKET;
    item->cmsg_type = SCM_RIGHTS;
    item->cmsg_len = CMSG_LEN(sizeof(fds));
    memcpy(CMSG_DATA(item), fds, sizeof(fds));
    assert_int_equal(sendmsg(fd, &message, 0), size);
}

/* What a privileged client asks right behind INTRODUCE stays its own, whatever lies in the guest's ring. */
static void what_comes_behind_introduce_is_run_as_it_was_sent(void **state)
{
    char asked[256], of_guest[256];
    size_t size = raw_format(asked, NS_WIRE_INTRODUCE, 0, 1, "7\0000\0001\0", 6);
    size_t after = size, guest_size;
    struct message reply;
    const char *data;

    (void)state;
    size += raw_format(asked + size, NS_WIRE_WRITE, 0, 2, "/right\0x", 8);
    guest_size = raw_format(of_guest, NS_WIRE_GET_DOMAIN_PATH, 0, 1, "3\0            ", after - 16);
    assert_int_equal(guest_size, after);
    guest_size += raw_format(of_guest + guest_size, NS_WIRE_WRITE, 0, 2, "/wrong\0x", 8);
    assert_int_equal(ns_client_send(guest, NS_WIRE_GET_DOMAIN_PATH, 0, "3", 2), 0);
    guest->send_size = 0;
    assert_int_equal(ns_ring_put(ns_ring_requests(ring.page), of_guest, guest_size), guest_size);

    send_with_descriptors(asked, size);
    raw_receive(fd, &reply);
    assert_int_equal(reply.header.type, NS_WIRE_INTRODUCE);
    raw_receive(fd, &reply);
    assert_int_equal(reply.header.type, NS_WIRE_WRITE);
    EXPECT(fd, NS_WIRE_READ, 0, "/right\0", "x");
    EXPECT_ERROR(fd, NS_WIRE_READ, 0, "/wrong\0", "ENOENT");
    assert_int_equal(ns_client_receive(guest, &data, &size), -EINVAL);
}

/* ---- notifications ---- */

static void ask_silently(void)
{
    const struct ns_wire_header header = {NS_WIRE_GET_DOMAIN_PATH, 1, 0, sizeof("3")};

    assert_int_equal(ns_ring_put(ns_ring_requests(ring.page), &header, sizeof(header)),
                     sizeof(header));
    assert_int_equal(ns_ring_put(ns_ring_requests(ring.page), "3", sizeof("3")), sizeof("3"));
}

static uint64_t notifications(void)
{
    uint64_t count = 0;

    assert_true(read(ring.to_guest, &count, sizeof(count)) > 0 || errno == EAGAIN);
    return count;
}

/* Of the room that a request leaves its guest learns with the reply, or it would wake up twice. */
static void a_guest_is_notified_once_for_a_request(void **state)
{
    const uint64_t one = 1;

    (void)state;
    notifications(); /* that it is connected */
    ask_silently();
    assert_int_equal(write(ring.to_server, &one, sizeof(one)), sizeof(one));
    while (!ns_ring_pending(ns_ring_replies(ring.page)))
        sched_yield();
    expect_alive(); /* the round is over */
    assert_int_equal(notifications(), 1);
}

static void a_guest_learns_of_room_without_a_reply(void **state)
{
    const uint64_t one = 1;

    (void)state;
    notifications();
    assert_int_equal(ns_ring_put(ns_ring_requests(ring.page), "half a header", 13), 13);
    assert_int_equal(write(ring.to_server, &one, sizeof(one)), sizeof(one));
    expect_alive();
    expect_alive();
    assert_int_equal(notifications(), 1);
}

static void a_server_that_polls_needs_no_notification(void **state)
{
    (void)state;
    EXPECT(fd, NS_WIRE_READ, 0, "/slow/look\0", "looked"); /* and finds nothing */
    assert_false(ns_ring_pending(ns_ring_replies(ring.page)));
    ask_silently();
    EXPECT(fd, NS_WIRE_READ, 0, "/slow/look\0", "looked");
    assert_true(ns_ring_pending(ns_ring_replies(ring.page)));
}

/* ---- guests that break the rules ---- */

static void notify_server(void)
{
    const uint64_t one = 1;

    assert_int_equal(write(ring.to_server, &one, sizeof(one)), sizeof(one));
}

static void wait_failed(enum ns_ring_error error)
{
    while (ns_ring_failed(ring.page) == NS_RING_OK) {
        struct pollfd told = {.fd = ring.to_guest, .events = POLLIN};
        uint64_t count;

        poll(&told, 1, -1);
        assert_true(read(ring.to_guest, &count, sizeof(count)) > 0 || errno == EAGAIN);
    }
    assert_int_equal(ns_ring_failed(ring.page), error);
}

static void expect_ignored_until_reconnect(enum ns_ring_error error)
{
    const char *path, *token, *value;
    size_t size;

    wait_failed(error);
    expect_alive();
    expect_introduced(true);
    assert_int_equal(ns_client_read(guest, 0, "/", &value, &size), -EPIPE);
    EXPECT_OK(fd, NS_WIRE_WRITE, 0, "/local/domain/7/data\0later");

    assert_int_equal(ns_client_reconnect(guest, -1), 0);
    expect_name(DATA, "later");
    assert_int_equal(ns_client_event(guest, 0, &path, &token), 0); /* its watch is gone */
    assert_int_equal(ns_client_unwatch(guest, DATA, "t"), -ENOENT);
}

static void watch_data(void)
{
    const char *path, *token;
    uint32_t tx;

    assert_int_equal(ns_client_write(guest, 0, DATA, "", 0), 0);
    assert_int_equal(ns_client_watch(guest, DATA, "t"), 0);
    assert_int_equal(ns_client_event(guest, -1, &path, &token), 1);
    assert_int_equal(ns_client_begin(guest, &tx), 0);
}

static void hostile_indexes_get_a_guest_ignored(void **state)
{
    static const uint32_t producers[] = {1025, UINT32_MAX, 0x80000000u};

    (void)state;
    for (size_t i = 0; i < sizeof(producers) / sizeof(producers[0]); i++) {
        watch_data();
        __atomic_store_n(&ring.page->request_producer, ring.page->request_consumer + producers[i],
                         __ATOMIC_SEQ_CST);
        notify_server();
        expect_ignored_until_reconnect(NS_RING_INDEX);
    }
    watch_data(); /* the other ring's, when the server has something to say */
    __atomic_store_n(&ring.page->reply_consumer, ring.page->reply_producer + 1, __ATOMIC_SEQ_CST);
    EXPECT_OK(fd, NS_WIRE_WRITE, 0, "/local/domain/7/data\0now");
    expect_ignored_until_reconnect(NS_RING_INDEX);
}

static void a_message_that_is_too_long_gets_a_guest_ignored(void **state)
{
    struct ns_wire_header header = {NS_WIRE_WRITE, 1, 0, NS_WIRE_PAYLOAD_MAX + 1};

    (void)state;
    watch_data();
    assert_int_equal(ns_ring_put(ns_ring_requests(ring.page), &header, sizeof(header)),
                     sizeof(header));
    notify_server();
    expect_ignored_until_reconnect(NS_RING_PROTOCOL);
}

static void a_new_connection_forgets_half_a_message(void **state)
{
    (void)state;
    watch_data();
    assert_int_equal(ns_ring_put(ns_ring_requests(ring.page), "half a header", 13), 13);
    notify_server();
    expect_alive();
    assert_int_equal(ns_client_reconnect(guest, -1), 0);
    expect_name(DATA, "");
    assert_int_equal(ns_client_unwatch(guest, DATA, "t"), -ENOENT);
}

/* A guest that never reads: the ring stays full, events merge, and nobody else waits. */
static void a_guest_that_does_not_read_stops_nobody(void **state)
{
    enum { COUNT = 3000 };
    const char *path, *token;
    int events = 0;

    (void)state;
    watch_data();
    for (int i = 0; i < COUNT; i++) {
        char payload[64];
        size_t size = (size_t)sprintf(payload, "/local/domain/7/data/%d", i % 100) + 1;
        struct message reply;

        raw_ask(fd, NS_WIRE_WRITE, 0, payload, size, &reply);
        expect_bytes(&reply, NS_WIRE_WRITE, "OK", 3);
    }
    expect_name(DATA "/99", "");
    while (ns_client_event(guest, 0, &path, &token) == 1)
        events++;
    assert_in_range(events, 100, COUNT - 1);
}

/* ---- how guests end ---- */

static void a_guest_vanishes_with_its_monitor(void **state)
{
    (void)state;
    EXPECT_OK(fd, NS_WIRE_WATCH, 0, "@releaseDomain\0gone\0");
    EXPECT_EVENT(fd, "@releaseDomain\0gone\0");
    ns_client_close(monitor);
    monitor = NULL;
    EXPECT_EVENT(fd, "@releaseDomain\0gone\0");
    expect_introduced(false);
    EXPECT_ERROR(fd, NS_WIRE_READ, 0, "/local/domain/7\0", "ENOENT"); /* it was the domain's */
}

/* What it owns stays. */
static void domain_0_outlives_its_ring(void **state)
{
    (void)state;
    assert_int_equal(ns_guest_ring_introduce(monitor, &ring, 0, -1), 0);
    assert_int_equal(ns_client_write(guest, 0, "/local/domain/0/own", "1", 1), 0);
    ns_client_close(monitor);
    assert_int_equal(ns_client_open(names.path, &monitor), 0);
    for (int rounds = 0; rounds < 3; rounds++) /* its end was noticed in the first */
        expect_alive();
    EXPECT(fd, NS_WIRE_READ, 0, "/local/domain/0/own\0", "1");
    assert_int_equal(ns_guest_ring_introduce(monitor, &ring, 0, -1), 0); /* and may have another */
    assert_int_equal(ns_client_reconnect(guest, -1), 0);
    expect_name("/local/domain/0/own", "1");
}

static void a_guest_vanishes_with_what_it_lives_by(void **state)
{
    const char *value;
    size_t size;
    int life[2];

    (void)state;
    assert_int_equal(pipe(life), 0);
    assert_int_equal(ns_guest_ring_introduce(monitor, &ring, DOMID, life[0]), 0);
    close(life[0]);
    ns_client_close(monitor); /* a tool that only introduces */
    monitor = NULL;
    expect_alive();
    expect_introduced(true);
    assert_int_equal(ns_client_read(guest, 0, HOME, &value, &size), -EACCES); /* not its own */
    close(life[1]);
    wait_released();
}

static void release_ends_a_ring(void **state)
{
    (void)state;
    watch_data();
    EXPECT_OK(fd, NS_WIRE_RELEASE, 0, "7\0");
    expect_introduced(false);
    notify_server();
    expect_alive();
    assert_int_equal(ns_guest_ring_introduce(monitor, &ring, DOMID, -1), 0); /* another life */
    assert_int_equal(ns_client_unwatch(guest, DATA, "t"), -ENOENT);
}

static void introducing_again_replaces_the_ring(void **state)
{
    struct ns_guest_ring second;
    struct ns_client *client;
    const char *value;
    size_t size;

    (void)state;
    watch_data();
    assert_int_equal(ns_guest_ring_new(&second), 0);
    assert_int_equal(ns_client_open_ring(&second, &client), 0);
    assert_int_equal(ns_guest_ring_introduce(monitor, &second, DOMID, -1), 0);
    assert_int_equal(ns_client_read(client, 0, DATA, &value, &size), 0);
    assert_int_equal(ns_client_unwatch(client, DATA, "t"), -ENOENT);
    ns_client_close(client);
    ns_guest_ring_free(&second);
    expect_alive();
}

/* INTRODUCE without descriptors of a domain that is there: begin anew. */
static void introducing_again_without_descriptors_resets(void **state)
{
    (void)state;
    watch_data();
    EXPECT_OK(fd, NS_WIRE_INTRODUCE, 0, "7\0000\0001\0");
    guest->sent = guest->received = 0;
    expect_name(DATA, "");
    assert_int_equal(ns_client_unwatch(guest, DATA, "t"), -ENOENT);
}

/* ---- what may be handed in ---- */

static int memory_of(size_t size, int seals)
{
    int memory = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    assert_int_equal(ftruncate(memory, (off_t)size), 0);
    assert_int_equal(fcntl(memory, F_ADD_SEALS, seals), 0);
    return memory;
}

static void expect_refused(int memory, int to_server, int to_guest)
{
    struct ns_guest_ring bad = {ring.page, memory, to_server, to_guest};

    assert_int_equal(ns_guest_ring_introduce(monitor, &bad, DOMID, -1), -EINVAL);
    assert_true(ns_client_reason(monitor)[0] != '\0');
    expect_introduced(false);
}

static void what_could_harm_the_server_is_refused(void **state)
{
    int shrinks = memory_of(4096, F_SEAL_GROW), small = memory_of(4095, F_SEAL_SHRINK);
    int read_only = memory_of(4096, F_SEAL_SHRINK | F_SEAL_WRITE);
    int file = open("/tmp", O_TMPFILE | O_RDWR, 0600), ends[2];
    int loose = socket(AF_UNIX, SOCK_STREAM, 0); /* hung up for ever */

    (void)state;
    assert_int_equal(pipe(ends), 0);
    expect_refused(shrinks, ring.to_server, ring.to_guest);
    expect_refused(small, ring.to_server, ring.to_guest);
    expect_refused(read_only, ring.to_server, ring.to_guest);
    expect_refused(file, ring.to_server, ring.to_guest);
    expect_refused(ring.to_server, ring.to_server, ring.to_guest);
    expect_refused(ring.memory, ends[0], ring.to_guest);
    expect_refused(ring.memory, ring.to_server, ends[1]);
    expect_refused(ring.memory, ring.memory, ring.to_guest);
    expect_refused(ring.memory, loose, ring.to_guest);
    expect_refused(ring.memory, ring.to_server, loose);
    assert_int_equal(ns_guest_ring_introduce(monitor, &ring, DOMID, -1), 0);
    close(shrinks);
    close(small);
    close(read_only);
    close(file);
    close(loose);
    close(ends[0]);
    close(ends[1]);
}

/* Sockets instead of eventfds, for guests that are not trusted; the end of theirs is their end. */
static void sockets_carry_notifications_as_well(void **state)
{
    struct ns_guest_ring theirs = ring;
    int to_server[2], to_guest[2];
    char byte = 0;

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, to_server), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, to_guest), 0);
    theirs.to_server = to_server[1];
    theirs.to_guest = to_guest[1];
    assert_int_equal(ns_guest_ring_introduce(monitor, &theirs, DOMID, -1), 0);
    close(to_server[1]);
    close(to_guest[1]);
    for (int i = 0; i < 3; i++) {
        struct ns_wire_header header = {NS_WIRE_GET_DOMAIN_PATH, 1, 0, 2};
        char answer[64];
        ssize_t size = 0;

        ns_ring_put(ns_ring_requests(ring.page), &header, sizeof(header));
        ns_ring_put(ns_ring_requests(ring.page), "3", 2);
        assert_int_equal(write(to_server[0], &byte, 1), 1);
        while (size < (ssize_t)sizeof(header) + 16) {
            ssize_t got = ns_ring_take(ns_ring_replies(ring.page), answer + size,
                                       sizeof(answer) - (size_t)size);

            assert_true(got >= 0);
            size += got;
            if (got == 0)
                assert_true(read(to_guest[0], answer + size, 8) > 0);
        }
        assert_string_equal(answer + sizeof(header), "/local/domain/3");
    }
    close(to_server[0]);
    wait_released();
    close(to_guest[0]);
}

#define WITH(setup_fn, test) cmocka_unit_test_setup_teardown(test, setup_fn, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(setup_introduced, a_guest_uses_names_as_its_domain),
        WITH(setup_introduced, a_guest_watches),
        WITH(setup_introduced, messages_longer_than_the_ring_come_in_pieces),
        WITH(setup, what_was_asked_before_is_answered),
        WITH(setup, what_comes_behind_introduce_is_run_as_it_was_sent),
        WITH(setup_introduced, a_guest_is_notified_once_for_a_request),
        WITH(setup_introduced, a_guest_learns_of_room_without_a_reply),
        WITH(setup_introduced, a_server_that_polls_needs_no_notification),
        WITH(setup_introduced, hostile_indexes_get_a_guest_ignored),
        WITH(setup_introduced, a_message_that_is_too_long_gets_a_guest_ignored),
        WITH(setup_introduced, a_new_connection_forgets_half_a_message),
        WITH(setup_introduced, a_guest_that_does_not_read_stops_nobody),
        WITH(setup_introduced, a_guest_vanishes_with_its_monitor),
        WITH(setup, domain_0_outlives_its_ring),
        WITH(setup, a_guest_vanishes_with_what_it_lives_by),
        WITH(setup_introduced, release_ends_a_ring),
        WITH(setup_introduced, introducing_again_replaces_the_ring),
        WITH(setup_introduced, introducing_again_without_descriptors_resets),
        WITH(setup, what_could_harm_the_server_is_refused),
        WITH(setup, sockets_carry_notifications_as_well),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
