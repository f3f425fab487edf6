/* SPDX-License-Identifier: BSD-3-Clause */
/* Operations for and by domains, over the wire. */
#include "tests/unit/names_server.h"

static struct names_server names;
static int fd, guest;

static int start(void **state)
{
    (void)state;
    names_server_start(&names, NULL);
    fd = raw_connect(&names);
    guest = raw_guest(fd, 5);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    close(guest);
    close(fd);
    names_server_stop(&names);
    return 0;
}

static void life_of_a_domain(void **state)
{
    (void)state;
    EXPECT(fd, NS_WIRE_IS_DOMAIN_INTRODUCED, 0, "7\0", "F\0");
    EXPECT(fd, NS_WIRE_IS_DOMAIN_INTRODUCED, 0, "32752\0", "T\0"); /* itself */
    EXPECT(fd, NS_WIRE_IS_DOMAIN_INTRODUCED, 0, "0\0", "T\0");
    EXPECT_ERROR(fd, NS_WIRE_RELEASE, 0, "0\0", "EINVAL");
    EXPECT_OK(fd, NS_WIRE_WATCH, 0, "@introduceDomain\0i\0");
    EXPECT_EVENT(fd, "@introduceDomain\0i\0");
    EXPECT_OK(fd, NS_WIRE_WATCH, 0, "@releaseDomain\0r\0001\0");
    EXPECT_EVENT(fd, "@releaseDomain\0r\0");
    EXPECT_OK(fd, NS_WIRE_INTRODUCE, 0, "7\0001\0002\0");
    EXPECT_EVENT(fd, "@introduceDomain\0i\0");
    EXPECT_OK(fd, NS_WIRE_INTRODUCE, 0, "7\0001\0003\0"); /* again: no event */
    EXPECT(fd, NS_WIRE_IS_DOMAIN_INTRODUCED, 0, "7\0", "T\0");
    EXPECT_OK(fd, NS_WIRE_RESUME, 0, "7\0");
    EXPECT_OK(fd, NS_WIRE_RELEASE, 0, "7\0");
    EXPECT_EVENT(fd, "@releaseDomain/7\0r\0");
    EXPECT(fd, NS_WIRE_IS_DOMAIN_INTRODUCED, 0, "7\0", "F\0");
    EXPECT_ERROR(fd, NS_WIRE_RELEASE, 0, "7\0", "ENOENT");
    EXPECT_ERROR(fd, NS_WIRE_RESUME, 0, "7\0", "ENOENT");
    EXPECT_ERROR(fd, NS_WIRE_SET_TARGET, 0, "5\0007\0", "ENOENT");
    EXPECT_ERROR(fd, NS_WIRE_SET_TARGET, 0, "7\0005\0", "ENOENT");
    EXPECT_OK(fd, NS_WIRE_INTRODUCE, 0, "0\0001\0001\0");
    EXPECT_EVENT(fd, "@introduceDomain\0i\0");
    EXPECT_ERROR(fd, NS_WIRE_RELEASE, 0, "0\0", "EINVAL");
}

static void what_can_never_be_right(void **state)
{
    (void)state;
    EXPECT_ERROR(fd, NS_WIRE_INTRODUCE, 0, "7\0001\0000\0", "EINVAL"); /* no event channel */
    EXPECT_ERROR(fd, NS_WIRE_INTRODUCE, 0, "7\0001\000-1\0", "EINVAL");
    EXPECT_ERROR(fd, NS_WIRE_INTRODUCE, 0, "7\0001\0", "EINVAL");
    EXPECT_ERROR(fd, NS_WIRE_INTRODUCE, 0, "7\0001\0001\0001\0", "EINVAL");
    EXPECT_ERROR(fd, NS_WIRE_INTRODUCE, 0, "7\0001\0001", "EINVAL");
    EXPECT_ERROR(fd, NS_WIRE_INTRODUCE, 0, "x\0001\0001\0", "EINVAL");
    EXPECT_ERROR(fd, NS_WIRE_INTRODUCE, 0, "70000\0001\0001\0", "EINVAL");
    EXPECT_ERROR(fd, NS_WIRE_INTRODUCE, 0, "32752\0001\0001\0", "ENOENT");
    EXPECT_ERROR(fd, NS_WIRE_IS_DOMAIN_INTRODUCED, 0, "5 \0", "EINVAL");
    EXPECT_ERROR(fd, NS_WIRE_RELEASE, 9, "5\0", "ENOENT"); /* no such transaction */
}

static void only_the_privileged(void **state)
{
    (void)state;
    EXPECT_ERROR(guest, NS_WIRE_CONTROL, 0, "help\0", "EACCES");
    EXPECT_ERROR(guest, NS_WIRE_INTRODUCE, 0, "7\0001\0001\0", "EACCES");
    EXPECT_ERROR(guest, NS_WIRE_RELEASE, 0, "5\0", "EACCES");
    EXPECT_ERROR(guest, NS_WIRE_IS_DOMAIN_INTRODUCED, 0, "5\0", "EACCES");
    EXPECT_ERROR(guest, NS_WIRE_RESUME, 0, "5\0", "EACCES");
    EXPECT_ERROR(guest, NS_WIRE_SET_TARGET, 0, "5\0005\0", "EACCES");
    EXPECT_ERROR(guest, NS_WIRE_GET_FEATURE, 0, "5\0", "EACCES");
    EXPECT_ERROR(guest, NS_WIRE_SET_FEATURE, 0, "6\0001\0", "EACCES");
    EXPECT_ERROR(guest, NS_WIRE_GET_QUOTA, 0, "", "EACCES");
    EXPECT_ERROR(guest, NS_WIRE_SET_QUOTA, 0, "nodes\0001\0", "EACCES");
    EXPECT(guest, NS_WIRE_GET_DOMAIN_PATH, 0, "9\0", "/local/domain/9\0");
}

static void features(void **state)
{
    int other;

    (void)state;
    EXPECT(fd, NS_WIRE_GET_FEATURE, 0, "", "15\0");
    EXPECT(guest, NS_WIRE_GET_FEATURE, 0, "", "15\0");
    EXPECT_ERROR(fd, NS_WIRE_GET_FEATURE, 0, "\0", "EINVAL"); /* an empty text is one */
    EXPECT_ERROR(fd, NS_WIRE_SET_FEATURE, 0, "5\0000\0", "EBUSY");
    EXPECT_ERROR(fd, NS_WIRE_SET_FEATURE, 0, "6\00016\0", "EINVAL");
    EXPECT_ERROR(fd, NS_WIRE_SET_FEATURE, 0, "40000\0000\0", "ENOENT");
    EXPECT_ERROR(fd, NS_WIRE_GET_FEATURE, 0, "6\0", "ENOENT");
    EXPECT_OK(fd, NS_WIRE_SET_FEATURE, 0, "6\0001\0");
    other = raw_guest(fd, 6);
    EXPECT(fd, NS_WIRE_GET_FEATURE, 0, "6\0", "1\0");
    EXPECT(other, NS_WIRE_GET_FEATURE, 0, "", "1\0");
    EXPECT_ERROR(other, NS_WIRE_WATCH, 0, "x\0t\0001\0", "EINVAL"); /* a depth is not offered */
    EXPECT_OK(guest, NS_WIRE_WATCH, 0, "x\0t\0001\0");
    EXPECT_EVENT(guest, "x\0t\0");
    EXPECT_ERROR(guest, NS_WIRE_WATCH, 0, "x\0u\000-1\0", "EINVAL");
    EXPECT_ERROR(guest, NS_WIRE_WATCH, 0, "x\0u\0001\0001\0", "EINVAL");
    EXPECT_ERROR(guest, NS_WIRE_WATCH, 0, "@releaseDomain\0u\0002\0", "EINVAL");
    close(other);
}

/* Relative paths lie in its own home, also in events. */
static void a_guest_is_at_home(void **state)
{
    (void)state;
    EXPECT_OK(fd, NS_WIRE_MKDIR, 0, "/local/domain/5\0");
    EXPECT_OK(fd, NS_WIRE_SET_PERMS, 0, "/local/domain/5\0n5\0");
    EXPECT_OK(guest, NS_WIRE_WATCH, 0, "data\0t\0");
    EXPECT_EVENT(guest, "data\0t\0");
    EXPECT_OK(guest, NS_WIRE_WRITE, 0, "data/a\0001");
    EXPECT_EVENT(guest, "data/a\0t\0");
    EXPECT(fd, NS_WIRE_READ, 0, "/local/domain/5/data/a\0", "1");
    EXPECT(fd, NS_WIRE_GET_PERMS, 0, "/local/domain/5/data/a\0", "n5\0");
    EXPECT_ERROR(guest, NS_WIRE_SET_PERMS, 0, "data\0n6\0", "EPERM");
    EXPECT_OK(guest, NS_WIRE_SET_PERMS, 0, "data\0n5\0r6\0");
}

/* What it may not see, it can't tell from what is not there. */
static void nothing_is_told(void **state)
{
    (void)state;
    EXPECT_OK(fd, NS_WIRE_WRITE, 0, "/local/secret/x\0001");
    EXPECT_OK(fd, NS_WIRE_WRITE, 0, "/local/open\0001");
    EXPECT_OK(fd, NS_WIRE_SET_PERMS, 0, "/local/open\0r0\0");
    EXPECT_ERROR(guest, NS_WIRE_READ, 0, "/local/secret/x\0", "EACCES");
    EXPECT_ERROR(guest, NS_WIRE_READ, 0, "/local/secret/y\0", "EACCES");
    EXPECT_ERROR(guest, NS_WIRE_RM, 0, "/local/secret/y/z\0", "EACCES");
    EXPECT_ERROR(guest, NS_WIRE_READ, 0, "/local/open/y\0", "ENOENT");
    EXPECT_ERROR(guest, NS_WIRE_DIRECTORY, 0, "/\0", "EACCES");
    EXPECT_ERROR(guest, NS_WIRE_WRITE, 0, "/\0x", "EACCES");
    EXPECT_ERROR(guest, NS_WIRE_GET_PERMS, 0, "/\0", "EACCES");
    EXPECT_ERROR(guest, NS_WIRE_SET_PERMS, 0, "/\0b5\0", "EACCES");
    EXPECT_ERROR(guest, NS_WIRE_READ, 0, "/stats/server/requests\0", "EACCES");
    EXPECT_ERROR(guest, NS_WIRE_DIRECTORY, 0, "/stats\0", "EACCES");
    EXPECT_OK(guest, NS_WIRE_WATCH, 0, "/local/secret\0t\0");
    EXPECT_EVENT(guest, "/local/secret\0t\0");
    EXPECT_OK(fd, NS_WIRE_WRITE, 0, "/local/secret/x\0002");
    EXPECT_OK(fd, NS_WIRE_RM, 0, "/local/secret\0");
    EXPECT_ERROR(guest, NS_WIRE_READ, 0, "/local/x\0", "EACCES"); /* and no event before it */
}

static void a_target_lends_its_rights(void **state)
{
    int stub;

    (void)state;
    EXPECT_OK(fd, NS_WIRE_WRITE, 0, "/local/domain/5/x\0001");
    EXPECT_OK(fd, NS_WIRE_SET_PERMS, 0, "/local/domain/5/x\0n5\0");
    stub = raw_guest(fd, 6);
    EXPECT_ERROR(stub, NS_WIRE_READ, 0, "/local/domain/5/x\0", "EACCES");
    EXPECT_OK(fd, NS_WIRE_SET_TARGET, 0, "6\0005\0");
    EXPECT(stub, NS_WIRE_READ, 0, "/local/domain/5/x\0", "1");
    EXPECT_OK(stub, NS_WIRE_SET_PERMS, 0, "/local/domain/5/x\0r5\0");
    EXPECT_OK(fd, NS_WIRE_RELEASE, 0, "5\0");
    assert_true(raw_closed(guest));
    EXPECT_ERROR(fd, NS_WIRE_READ, 0, "/local/domain/5/x\0", "ENOENT"); /* went with its owner */
    EXPECT_ERROR(stub, NS_WIRE_READ, 0, "/local/domain/5/x\0", "EACCES");
    EXPECT_OK(fd, NS_WIRE_RELEASE, 0, "6\0");
    assert_true(raw_closed(stub));
    close(stub);
}

static void a_release_is_heard(void **state)
{
    (void)state;
    EXPECT_OK(fd, NS_WIRE_WRITE, 0, "/local/domain/5\0");
    EXPECT_OK(fd, NS_WIRE_SET_PERMS, 0, "/local/domain/5\0n5\0");
    EXPECT_OK(guest, NS_WIRE_WRITE, 0, "a/b\0001");
    EXPECT_OK(fd, NS_WIRE_WATCH, 0, "/local/domain/5/a/b\0t\0");
    EXPECT_EVENT(fd, "/local/domain/5/a/b\0t\0");
    EXPECT_OK(fd, NS_WIRE_RELEASE, 0, "5\0");
    EXPECT_EVENT(fd, "/local/domain/5/a/b\0t\0");
}

static void special_names(void **state)
{
    (void)state;
    EXPECT(fd, NS_WIRE_GET_PERMS, 0, "@releaseDomain\0", "n0\0r32757\0");
    EXPECT(fd, NS_WIRE_GET_PERMS, 0, "@introduceDomain\0", "n0\0");
    EXPECT_ERROR(fd, NS_WIRE_GET_PERMS, 0, "@x\0", "ENOENT");
    EXPECT_ERROR(fd, NS_WIRE_READ, 0, "@releaseDomain\0", "EINVAL");
    EXPECT_ERROR(fd, NS_WIRE_WRITE, 0, "@x\0001", "EINVAL");
    EXPECT_ERROR(fd, NS_WIRE_WATCH, 0, "@x/\0t\0", "EINVAL");
    EXPECT_ERROR(fd, NS_WIRE_WATCH, 0, "@x y\0t\0", "EINVAL");
    EXPECT_ERROR(guest, NS_WIRE_GET_PERMS, 0, "@introduceDomain\0", "EACCES");
    EXPECT_ERROR(guest, NS_WIRE_SET_PERMS, 0, "@introduceDomain\0r5\0", "EACCES");
    EXPECT_OK(guest, NS_WIRE_WATCH, 0, "@introduceDomain\0i\0");
    EXPECT_EVENT(guest, "@introduceDomain\0i\0");
    EXPECT_OK(fd, NS_WIRE_INTRODUCE, 0, "8\0001\0001\0"); /* which it may not hear of */
    EXPECT_OK(fd, NS_WIRE_SET_PERMS, 0, "@introduceDomain\0n0\0r5\0");
    EXPECT_OK(fd, NS_WIRE_INTRODUCE, 0, "9\0001\0001\0");
    EXPECT_EVENT(guest, "@introduceDomain\0i\0");
    EXPECT_ERROR(guest, NS_WIRE_READ, 0, "x\0", "EACCES");
    EXPECT_OK(fd, NS_WIRE_RELEASE, 0, "5\0");
    EXPECT(fd, NS_WIRE_GET_PERMS, 0, "@introduceDomain\0", "n0\0");
}

static void any_domain(void **state)
{
    (void)state;
    EXPECT_OK(fd, NS_WIRE_WRITE, 0, "/local/all\0001");
    EXPECT_OK(fd, NS_WIRE_SET_PERMS, 0, "/local/all\0n0\0r32757\0");
    EXPECT(guest, NS_WIRE_READ, 0, "/local/all\0", "1");
    EXPECT_ERROR(guest, NS_WIRE_WRITE, 0, "/local/all\0002", "EACCES");
}

static void control(void **state)
{
    struct message reply;

    (void)state;
    EXPECT(fd, NS_WIRE_CONTROL, 0, "check\0", "OK\0");
    EXPECT(fd, NS_WIRE_CONTROL, 0, "log\0", "notice\0");
    EXPECT_OK(fd, NS_WIRE_CONTROL, 0, "log\0warning\0");
    EXPECT(fd, NS_WIRE_CONTROL, 0, "log\0", "warning\0");
    EXPECT_OK(fd, NS_WIRE_CONTROL, 0, "log\0notice\0");
    EXPECT_ERROR(fd, NS_WIRE_CONTROL, 0, "log\0loud\0", "EINVAL");
    EXPECT_ERROR(fd, NS_WIRE_CONTROL, 0, "", "EINVAL");
    EXPECT_ERROR(fd, NS_WIRE_CONTROL, 0, "nonsense\0", "EINVAL");
    EXPECT_ERROR(fd, NS_WIRE_CONTROL, 0, "print\0", "EINVAL");
    EXPECT_OK(fd, NS_WIRE_CONTROL, 0, "print\0a test says this\0");
    raw_ask(fd, NS_WIRE_CONTROL, 0, "help\0", 5, &reply);
    assert_non_null(strstr(reply.payload, "memreport\n"));
    raw_ask(fd, NS_WIRE_CONTROL, 0, "memreport\0", 10, &reply);
    assert_non_null(strstr(reply.payload, "connections 2\n"));
    EXPECT_OK(fd, NS_WIRE_CONTROL, 0, "quota\0set\0nodes\00017\0005\0");
    raw_ask(fd, NS_WIRE_CONTROL, 0, "quota\0005\0", 8, &reply);
    assert_non_null(strstr(reply.payload, "      17\n"));
    EXPECT_ERROR(fd, NS_WIRE_CONTROL, 0, "quota\0set\0noodles\00017\0", "EINVAL");
    EXPECT_ERROR(fd, NS_WIRE_CONTROL, 0, "quota\0x\0", "EINVAL");
}

#define DOMAIN_TEST(test) cmocka_unit_test_setup_teardown(test, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        DOMAIN_TEST(life_of_a_domain),
        DOMAIN_TEST(what_can_never_be_right),
        DOMAIN_TEST(only_the_privileged),
        DOMAIN_TEST(features),
        DOMAIN_TEST(a_guest_is_at_home),
        DOMAIN_TEST(nothing_is_told),
        DOMAIN_TEST(a_target_lends_its_rights),
        DOMAIN_TEST(a_release_is_heard),
        DOMAIN_TEST(special_names),
        DOMAIN_TEST(any_domain),
        DOMAIN_TEST(control),
    };

    return cmocka_run_group_tests_name("operations_domain", tests, NULL, NULL);
}
