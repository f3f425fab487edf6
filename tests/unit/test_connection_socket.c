/* SPDX-License-Identifier: BSD-3-Clause */
/* What a socket carries: it is looked at before it is taken, and nothing that was sent is overlooked. */
#include "tests/unit/names_clients.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>

static void write_one(void)
{
    EXPECT_OK(fd, NS_WIRE_WRITE, 0, "/one\0value");
}

static int kept_by_kernel(void)
{
    int bytes = 0;

    assert_int_equal(ioctl(fd, SIOCOUTQ, &bytes), 0);
    return bytes;
}

/* To take it would wake who waits for the answer. On a busy machine some answers come so late that it was taken
 * meanwhile; therefore one is enough. */
static void what_was_asked_is_answered_before_it_is_taken(void **state)
{
    int kept = 0;

    (void)state;
    for (int i = 0; i < 10000 && kept == 0; i++) {
        write_one();
        kept = kept_by_kernel();
    }
    assert_true(kept > 0);
}

static void what_was_seen_is_taken_in_the_end(void **state)
{
    (void)state;
    write_one();
    for (int i = 0; i < 10000 && kept_by_kernel() > 0; i++)
        usleep(1000);
    assert_int_equal(kept_by_kernel(), 0);
    write_one();
}

/* A large value is more than the client has room for beside a request that was not taken. */
static void who_has_little_room_to_send_goes_on(void **state)
{
    char value[3000] = "/one";
    int size = 1;

    (void)state;
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
    for (int i = 0; i < 40; i++) {
        struct message reply;

        write_one();
        raw_ask(fd, NS_WIRE_WRITE, 0, value, sizeof(value), &reply);
        expect_bytes(&reply, NS_WIRE_WRITE, "OK", 3);
    }
}

/* All is there before the server looks: requests, some with descriptors, and the end. */
static void nothing_behind_descriptors_or_before_the_end_is_overlooked(void **state)
{
    enum { REQUESTS = 20 };
    char request[64], payload[NS_WIRE_PAYLOAD_MAX];
    struct ns_wire_header header;
    int client = raw_connect(&names), answers = 0;

    (void)state;
    for (unsigned i = 0; i < REQUESTS; i++) {
        union {
            char bytes[CMSG_SPACE(sizeof(int))];
            struct cmsghdr align;
        } control = {.bytes = {0}};
        struct iovec piece = {
            request, raw_format(request, NS_WIRE_WRITE, 0, i, "/one\0v", sizeof("/one\0v") - 1)};
        struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};

        if (i % 3 == 1) {
            message.msg_control = &control;
            message.msg_controllen = sizeof(control);
            *CMSG_FIRSTHDR(&message) = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)),
                                                        .cmsg_level = SOL_SOCKET,
                                                        .cmsg_type = SCM_RIGHTS};
            memcpy(CMSG_DATA(CMSG_FIRSTHDR(&message)), &client, sizeof(int));
        }
        assert_int_equal(sendmsg(client, &message, MSG_NOSIGNAL), piece.iov_len);
    }
    shutdown(client, SHUT_WR);
    while (raw_take(client, &header, sizeof(header)) && raw_take(client, payload, header.size))
        answers++;
    assert_int_equal(answers, REQUESTS);
    close(client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        NAMES_TEST(what_was_asked_is_answered_before_it_is_taken),
        NAMES_TEST(what_was_seen_is_taken_in_the_end),
        NAMES_TEST(who_has_little_room_to_send_goes_on),
        NAMES_TEST(nothing_behind_descriptors_or_before_the_end_is_overlooked),
    };

    return cmocka_run_group_tests_name("connection_socket", tests, NULL, NULL);
}
