/* SPDX-License-Identifier: BSD-3-Clause */
/* The control socket's file, its one daemon, who connects and how many. */
#include "tests/unit/names_server.h"

#include <fcntl.h>
#include <grp.h>
#include <sys/resource.h>
#include <sys/wait.h>

static struct names_server names;

/* ---- one daemon a socket ---- */

/* A second server, in this thread; its error, and the reason. */
static int second_server(const char *path, struct ns_reason *reason)
{
    struct ns_store_options store_options = {.lcores = 0};
    struct ns_server_options options = {.path = path};
    struct ns_server *server;
    struct ns_store *store;
    struct ns_loop *loop = ns_loop_new();
    int error;

    assert_int_equal(ns_store_new(&store_options, &store), 0);
    reason->text[0] = '\0';
    error = ns_server_new(store, loop, &options, reason, &server);
    if (error == 0)
        ns_server_free(server);
    ns_store_drain(store);
    ns_store_free(store);
    ns_loop_free(loop);
    return error;
}

static int bound_socket(const char *path, int backlog)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    strcpy(address.sun_path, path);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    if (backlog > 0)
        assert_int_equal(listen(fd, backlog), 0);
    return fd;
}

static void a_second_daemon_is_refused(void **state)
{
    struct ns_reason reason;
    int fd;

    (void)state;
    names_server_start(&names, NULL);
    assert_int_equal(second_server(names.path, &reason), -EADDRINUSE);
    assert_non_null(strstr(reason.text, names.path));
    fd = raw_connect(&names); /* the first one has not noticed */
    EXPECT_OK(fd, NS_WIRE_WRITE, 0, "/a\0b");
    close(fd);
    names_server_stop(&names);
}

static char folder[] = "/tmp/kedge-test-XXXXXX";
static char path[128];

static int setup_folder(void **state)
{
    (void)state;
    strcpy(folder + sizeof(folder) - 7, "XXXXXX");
    snprintf(path, sizeof(path), "%s/sock", mkdtemp(folder));
    return 0;
}

static int teardown_folder(void **state)
{
    (void)state;
    return rmdir(folder); /* fails if anything was left */
}

static void a_dead_daemons_socket_is_replaced(void **state)
{
    struct ns_reason reason;

    (void)state;
    close(bound_socket(path, 1));
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(second_server(path, &reason), 0);
}

static void a_server_without_our_lock_is_found(void **state)
{
    struct ns_reason reason;
    int fd = bound_socket(path, 1);

    (void)state;
    assert_int_equal(second_server(path, &reason), -EADDRINUSE);
    assert_non_null(strstr(reason.text, path));
    assert_int_equal(access(path, F_OK), 0);
    close(fd);
    unlink(path);
}

static void what_is_no_socket_is_left_alone(void **state)
{
    struct ns_reason reason;

    (void)state;
    close(open(path, O_CREAT | O_WRONLY, 0600));
    assert_int_equal(second_server(path, &reason), -EEXIST);
    assert_non_null(strstr(reason.text, "no socket"));
    assert_int_equal(unlink(path), 0);
}

static void the_folder_is_made(void **state)
{
    char deep[160];
    struct ns_reason reason;
    struct stat file;
    mode_t before = umask(077);

    (void)state;
    snprintf(deep, sizeof(deep), "%s/run/sock", folder);
    assert_int_equal(second_server(deep, &reason), 0);
    umask(before);
    *strrchr(deep, '/') = '\0';
    assert_int_equal(stat(deep, &file), 0);
    assert_int_equal(file.st_mode & 07777, 0755);
    assert_int_equal(rmdir(deep), 0);
    snprintf(deep, sizeof(deep), "%s/not/there/sock", folder);
    assert_int_equal(second_server(deep, &reason), -ENOENT);
    assert_non_null(strstr(reason.text, folder));
    memset(deep, 'x', sizeof(deep) - 1);
    memcpy(deep, "/tmp/", 5);
    deep[sizeof(deep) - 1] = '\0';
    assert_int_equal(second_server(deep, &reason), -ENAMETOOLONG);
}

enum { RACERS = 8 };

/* Start when the pipe closes, say whether we serve the socket, and keep it until it is gone. */
static void race(int go, int end)
{
    struct ns_server_options options = {.path = path};
    struct ns_store_options store_options = {.lcores = 0};
    struct ns_reason reason;
    struct ns_server *server;
    struct ns_store *store;
    struct ns_loop *loop = ns_loop_new();
    pid_t parent = getppid();
    char won;

    if (ns_store_new(&store_options, &store) < 0 || read(go, &won, 1) != 0)
        _exit(1);
    won = ns_server_new(store, loop, &options, &reason, &server) == 0;
    if (write(end, &won, 1) != 1)
        _exit(1);
    while (won && access(path, F_OK) == 0 && getppid() == parent)
        usleep(1000);
    _exit(0);
}

/* Daemons that start at once on one stale socket: exactly one serves it. */
static void of_many_that_start_at_once_one_wins(void **state)
{
    int winners = 0, answers = 0, go[2], end[2];
    char won;

    (void)state;
    close(bound_socket(path, 1));
    assert_int_equal(pipe(go), 0);
    assert_int_equal(pipe(end), 0);
    for (int i = 0; i < RACERS; i++) {
        if (fork() == 0) {
            close(go[1]);
            race(go[0], end[1]);
        }
    }
    close(go[0]);
    close(go[1]); /* now */
    close(end[1]);
    for (; answers < RACERS && read(end[0], &won, 1) == 1; answers++)
        winners += won;
    unlink(path);
    while (wait(NULL) > 0)
        continue;
    close(end[0]);
    assert_int_equal(answers, RACERS);
    assert_int_equal(winners, 1);
    snprintf(path, sizeof(path), "%s/sock.lock",
             folder); /* who is killed leaves it, and it is no harm */
    assert_int_equal(unlink(path), 0);
}

/* ---- who connects ---- */

static void mode_and_group_of_the_file(void **state)
{
    struct ns_server_options options = {.mode = 0660, .group = geteuid() == 0 ? "12345" : NULL};
    struct stat file;

    (void)state;
    names_server_start(&names, &options);
    assert_int_equal(stat(names.path, &file), 0);
    assert_int_equal(file.st_mode & 07777, 0660);
    if (geteuid() == 0)
        assert_int_equal(file.st_gid, 12345);
    names_server_stop(&names);
    names_server_start(&names, NULL);
    assert_int_equal(stat(names.path, &file), 0);
    assert_int_equal(file.st_mode & 07777, 0666);
    names_server_stop(&names);
}

static void an_unknown_group_is_refused(void **state)
{
    struct ns_store_options store_options = {.lcores = 0};
    struct ns_server_options options = {.path = path, .group = "no-such-group"};
    struct ns_server *server;
    struct ns_store *store;
    struct ns_loop *loop = ns_loop_new();
    struct ns_reason reason;

    (void)state;
    assert_int_equal(ns_store_new(&store_options, &store), 0);
    assert_int_equal(ns_server_new(store, loop, &options, &reason, &server), -ENOENT);
    assert_non_null(strstr(reason.text, "no-such-group"));
    ns_store_drain(store);
    ns_store_free(store);
    ns_loop_free(loop);
}

/* Connect as somebody else: SO_PEERCRED tells who connected. */
static int connect_as(uid_t uid, gid_t gid, size_t group_count, const gid_t *groups)
{
    int fd;

    assert_int_equal(setgroups(group_count, groups), 0);
    assert_int_equal(setegid(gid), 0);
    assert_int_equal(seteuid(uid), 0);
    fd = raw_connect(&names);
    assert_int_equal(seteuid(0), 0);
    assert_int_equal(setegid(0), 0);
    assert_int_equal(setgroups(0, NULL), 0);
    return fd;
}

static void strangers_may_read_and_have_limits(void **state)
{
    struct ns_server_options options = {.watches = 3};
    int fd, root;

    (void)state;
    if (geteuid() != 0)
        skip();
    names_server_start(&names, &options);
    root = raw_connect(&names);
    EXPECT_OK(root, NS_WIRE_WRITE, 0, "/a\0b");
    fd = connect_as(65534, 65534, 0, NULL);
    EXPECT(fd, NS_WIRE_READ, 0, "/a\0", "b");
    EXPECT_ERROR(fd, NS_WIRE_WRITE, 0, "/a\0c", "EACCES");
    EXPECT_ERROR(fd, NS_WIRE_RM, 0, "/a\0", "EACCES");
    EXPECT_OK(fd, NS_WIRE_WATCH, 0, "/1\0t\0");
    EXPECT_EVENT(fd, "/1\0t\0");
    EXPECT_OK(fd, NS_WIRE_WATCH, 0, "/2\0t\0");
    EXPECT_EVENT(fd, "/2\0t\0");
    EXPECT_OK(fd, NS_WIRE_WATCH, 0, "/3\0t\0");
    EXPECT_EVENT(fd, "/3\0t\0");
    EXPECT_ERROR(fd, NS_WIRE_WATCH, 0, "/4\0t\0", "ENOSPC");
    EXPECT_OK(fd, NS_WIRE_UNWATCH, 0, "/2\0t\0");
    EXPECT_OK(fd, NS_WIRE_WATCH, 0, "/4\0t\0");
    EXPECT_EVENT(fd, "/4\0t\0");
    EXPECT_OK(root, NS_WIRE_SET_PERMS, 0, "/a\0n0\0");
    EXPECT_ERROR(fd, NS_WIRE_READ, 0, "/a\0", "EACCES");
    close(fd);
    close(root);
    names_server_stop(&names);
}

static void members_of_the_group_are_privileged(void **state)
{
    struct ns_server_options options = {.group = "12345", .mode = 0666};
    gid_t many[100];
    int fd;

    (void)state;
    if (geteuid() != 0)
        skip();
    for (size_t i = 0; i < 100; i++)
        many[i] = 20000 + (gid_t)i;
    names_server_start(&names, &options);
    fd = connect_as(65534, 12345, 0, NULL);
    EXPECT_OK(fd, NS_WIRE_WRITE, 0, "/a\0001");
    close(fd);
    fd = connect_as(65534, 65534, 100, many);
    EXPECT_ERROR(fd, NS_WIRE_WRITE, 0, "/a\0002", "EACCES");
    close(fd);
    many[99] = 12345; /* beyond those that permissions look at */
    fd = connect_as(65534, 65534, 100, many);
    EXPECT_OK(fd, NS_WIRE_WRITE, 0, "/a\0003");
    close(fd);
    names_server_stop(&names);
}

/* ---- no descriptor left ---- */

/* One user takes all the connections that it can get; another is served all the same. */
static void one_user_leaves_room_for_others(void **state)
{
    enum { WANTED = 40 };
    struct rlimit before, low;
    int fds[WANTED], other;

    (void)state;
    if (geteuid() != 0)
        skip();
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    low = (struct rlimit){.rlim_cur = 64, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    names_server_start(&names, NULL); /* has places for 32 without privilege */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    for (int i = 0; i < WANTED; i++)
        fds[i] = connect_as(65534, 65534, 0, NULL);
    other = connect_as(65533, 65533, 0, NULL);
    EXPECT(other, NS_WIRE_READ, 0, "/\0", "");
    EXPECT(fds[15], NS_WIRE_READ, 0, "/\0", "");
    close(other);
    for (int i = 0; i < WANTED; i++)
        close(fds[i]);
    names_server_stop(&names);
}

enum { MANY = 64 };

static void clients_wait_when_descriptors_run_out(void **state)
{
    struct rlimit before, low;
    int fds[MANY] = {-1}, count = 0, last;

    (void)state;
    names_server_start(&names, NULL);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    last = dup(0);
    low = (struct rlimit){.rlim_cur = (rlim_t)last + 20, .rlim_max = before.rlim_max};
    close(last);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    while (count < MANY) { /* the server's ends take descriptors of this process too */
        struct sockaddr_un address = {.sun_family = AF_UNIX};

        fds[count] = socket(AF_UNIX, SOCK_STREAM, 0);
        if (fds[count] < 0)
            break;
        strcpy(address.sun_path, names.path);
        assert_int_equal(connect(fds[count], (struct sockaddr *)&address, sizeof(address)), 0);
        count++;
    }
    assert_true(count > 1 && count < MANY);
    for (int i = 0; i + 1 < count; i++)
        close(fds[i]);
    EXPECT_OK(fds[count - 1], NS_WIRE_WRITE, 0, "/at\0last");
    close(fds[count - 1]);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    names_server_stop(&names);
}

#define FOLDER_TEST(test) cmocka_unit_test_setup_teardown(test, setup_folder, teardown_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_second_daemon_is_refused),
        FOLDER_TEST(a_dead_daemons_socket_is_replaced),
        FOLDER_TEST(a_server_without_our_lock_is_found),
        FOLDER_TEST(what_is_no_socket_is_left_alone),
        FOLDER_TEST(the_folder_is_made),
        FOLDER_TEST(of_many_that_start_at_once_one_wins),
        cmocka_unit_test(mode_and_group_of_the_file),
        FOLDER_TEST(an_unknown_group_is_refused),
        cmocka_unit_test(strangers_may_read_and_have_limits),
        cmocka_unit_test(members_of_the_group_are_privileged),
        cmocka_unit_test(one_user_leaves_room_for_others),
        cmocka_unit_test(clients_wait_when_descriptors_run_out),
    };

    return cmocka_run_group_tests_name("server", tests, NULL, NULL);
}
