/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * For tests of the control socket that need no more than this: a server (tests/unit/names_server.h) and two privileged
 * clients of it, made anew for each test by names_setup() and names_teardown(), and what is asked of them again and
 * again.
 */
#ifndef KEDGE_TESTS_UNIT_NAMES_CLIENTS_H
#define KEDGE_TESTS_UNIT_NAMES_CLIENTS_H

#include "tests/unit/names_server.h"

static struct names_server names;
static int fd, other;

static inline int names_setup(void **state)
{
    (void)state;
    names_server_start(&names, NULL);
    fd = raw_connect(&names);
    other = raw_connect(&names);
    return 0;
}

static inline int names_teardown(void **state)
{
    (void)state;
    close(fd);
    close(other);
    names_server_stop(&names);
    return 0;
}

#define NAMES_TEST(test) cmocka_unit_test_setup_teardown(test, names_setup, names_teardown)

/* The server goes on, whatever the test has done to it. */
static inline void expect_alive(void)
{
    EXPECT_OK(other, NS_WIRE_WRITE, 0, "/alive\0yes");
    EXPECT(other, NS_WIRE_READ, 0, "/alive\0", "yes");
}

/* Nothing more is there: the reply to a new request comes first. */
static inline void expect_silence(int client)
{
    EXPECT(client, NS_WIRE_GET_DOMAIN_PATH, 0, "0\0", "/local/domain/0\0");
}

/* As somebody without privilege, which takes root. The server asks the kernel when it accepts: it has when this
 * returns. */
static inline int connect_as(uid_t uid)
{
    int client;

    if (geteuid() != 0 && uid != 0)
        skip();
    assert_int_equal(seteuid(uid), 0);
    client = raw_connect(&names);
    assert_int_equal(seteuid(0), 0);
    expect_silence(client);
    return client;
}

#endif
