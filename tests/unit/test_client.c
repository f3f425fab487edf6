/* SPDX-License-Identifier: BSD-3-Clause */
/* The client side: each call against a real server, pipelining, events, and servers that misbehave. */
#include "tests/unit/names_server.h"

#include <pthread.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "nameserv/client.h"

static struct names_server names;
static struct ns_client *client, *other;
static const char *data;
static size_t size;

static int setup(void **state)
{
    (void)state;
    names_server_start(&names, NULL);
    return ns_client_open(names.path, &client) || ns_client_open(names.path, &other);
}

static int teardown(void **state)
{
    (void)state;
    ns_client_close(client);
    ns_client_close(other);
    names_server_stop(&names);
    return 0;
}

static void calls(void **state)
{
    (void)state;
    assert_int_equal(ns_client_write(client, 0, "/a/b", "x\0y", 3), 0);
    assert_int_equal(ns_client_read(client, 0, "/a/b", &data, &size), 0);
    assert_int_equal(size, 3);
    assert_memory_equal(data, "x\0y", 4); /* and a NUL */
    assert_int_equal(ns_client_mkdir(client, 0, "/a/c"), 0);
    assert_int_equal(ns_client_list(client, 0, "/a", &data, &size), 0);
    assert_int_equal(size, 4);
    assert_memory_equal(data, "b\0c\0", 5);
    assert_int_equal(ns_client_set_perms(client, 0, "/a/b", "n0\0r5\0", 6), 0);
    assert_int_equal(ns_client_get_perms(client, 0, "/a/b", &data, &size), 0);
    assert_memory_equal(data, "n0\0r5\0", 7);
    assert_int_equal(ns_client_remove(client, 0, "/a/b"), 0);
    assert_int_equal(ns_client_read(client, 0, "/a/b", &data, &size), -ENOENT);
    assert_non_null(strstr(ns_client_reason(client), "/a/b"));
    assert_string_equal(ns_client_reason(other), "");
    assert_int_equal(ns_client_write(client, 0, "/stats/x", "1", 1), -EROFS);
    assert_int_equal(ns_client_write(client, 0, "/a", client, NS_WIRE_PAYLOAD_MAX), -E2BIG);
    assert_int_equal(ns_client_read(client, 0, "/a", &data, &size), 0); /* still in step */
}

static void transactions(void **state)
{
    uint32_t tx;

    (void)state;
    assert_int_equal(ns_client_begin(client, &tx), 0);
    assert_int_equal(ns_client_read(client, tx, "/a", &data, &size), -ENOENT);
    assert_int_equal(ns_client_write(client, tx, "/b", "1", 1), 0);
    assert_int_equal(ns_client_write(other, 0, "/a", "1", 1), 0);
    assert_int_equal(ns_client_end(client, tx, 1), -EAGAIN);
    assert_int_equal(ns_client_begin(client, &tx), 0);
    assert_int_equal(ns_client_write(client, tx, "/b", "2", 1), 0);
    assert_int_equal(ns_client_end(client, tx, 1), 0);
    assert_int_equal(ns_client_begin(client, &tx), 0);
    assert_int_equal(ns_client_remove(client, tx, "/b"), 0);
    assert_int_equal(ns_client_end(client, tx, 0), 0);
    assert_int_equal(ns_client_read(other, 0, "/b", &data, &size), 0);
    assert_string_equal(data, "2");
}

enum { MANY = 20000 };

/* All requests before the first reply is taken: more than either side's socket buffers hold. */
static void a_long_pipeline(void **state)
{
    char payload[64], value[16];

    (void)state;
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(ns_client_send(client, NS_WIRE_WRITE, 0, payload,
                                        (size_t)sprintf(payload, "/wide/n%05d%c%d", i, 0, i)),
                         0);
        assert_int_equal(ns_client_send(client, NS_WIRE_READ, 0, payload, 13), 0);
    }
    assert_int_equal(ns_client_read(client, 0, "/wide", &data, &size), -EBUSY);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(ns_client_receive(client, &data, &size), 0);
        assert_string_equal(data, "OK");
        assert_int_equal(ns_client_receive(client, &data, &size), 0);
        sprintf(value, "%d", i);
        assert_string_equal(data, value);
    }
    assert_int_equal(ns_client_receive(client, &data, &size), -EINVAL);

    /* And a list that takes many parts. */
    assert_int_equal(ns_client_list(client, 0, "/wide", &data, &size), 0);
    assert_int_equal(size, MANY * 7);
    assert_string_equal(data, "n00000");
    assert_string_equal(data + size - 7, "n19999");
    assert_int_equal(ns_client_list(client, 0, "/slow", &data, &size), 0);
    assert_int_equal(size, 6000);
}

static void events(void **state)
{
    const char *path, *token;

    (void)state;
    assert_int_equal(ns_client_event(client, 0, &path, &token), 0);
    assert_int_equal(ns_client_watch(client, "/w", "tok"), 0);
    assert_int_equal(ns_client_watch(client, "/w", "tok"), -EEXIST);
    assert_int_equal(ns_client_event(client, -1, &path, &token), 1);
    assert_string_equal(path, "/w");
    assert_string_equal(token, "tok");
    for (int i = 0; i < 10; i++) {
        char name[16];

        sprintf(name, "/w/%d", i);
        assert_int_equal(ns_client_write(other, 0, name, "", 0), 0);
        assert_int_equal(ns_client_read(client, 0, name, &data, &size),
                         0); /* events come before it */
    }
    for (int i = 0; i < 10; i++) {
        char name[16];

        sprintf(name, "/w/%d", i);
        assert_int_equal(ns_client_event(client, -1, &path, &token), 1);
        assert_string_equal(path, name);
    }
    assert_int_equal(ns_client_event(client, 1, &path, &token), 0);
    assert_int_equal(ns_client_unwatch(client, "/w", "tok"), 0);
    assert_int_equal(ns_client_unwatch(client, "/w", "tok"), -ENOENT);
    assert_int_equal(ns_client_write(other, 0, "/w/x", "", 0), 0);
    assert_int_equal(ns_client_event(client, 0, &path, &token), 0);
}

/* ---- servers that misbehave ---- */

static void nobody_there(void **state)
{
    struct ns_client *none;
    char path[200];

    (void)state;
    assert_int_equal(ns_client_open("/tmp/kedge-test-none/sock", &none), -ENOENT);
    memset(path, 'x', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    assert_int_equal(ns_client_open(path, &none), -ENAMETOOLONG);
    setenv("KEDGE_SOCKET", names.path, 1);
    assert_int_equal(ns_client_open(NULL, &none), 0);
    unsetenv("KEDGE_SOCKET");
    assert_int_equal(ns_client_mkdir(none, 0, "/x"), 0);
    ns_client_close(none);
}

/* A server that answers every connection's first request with these bytes, and closes. */
static int bad_socket(char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    snprintf(path, sizeof(address.sun_path), "%s/bad", names.folder);
    strcpy(address.sun_path, path);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 5), 0);
    return fd;
}

static int ask_bad(int listener, const char *path, uint32_t type, uint32_t request, uint32_t said,
                   size_t sent)
{
    struct ns_wire_header header = {type, request, 0, said};
    struct ns_client *bad;
    char zeros[NS_WIRE_PAYLOAD_MAX] = {0};
    int fd, error;

    assert_int_equal(ns_client_open(path, &bad), 0);
    fd = accept(listener, NULL, NULL);
    raw_bytes(fd, &header, sizeof(header));
    if (sent > 0)
        raw_bytes(fd, zeros, sent);
    shutdown(fd, SHUT_WR);
    error = ns_client_read(bad, 0, "/a", &data, &size);
    if (error == -EPIPE)
        assert_int_equal(ns_client_read(bad, 0, "/a", &data, &size), -EPIPE); /* and stays lost */
    ns_client_close(bad);
    close(fd);
    return error;
}

static void bad_replies_lose_the_connection(void **state)
{
    char path[128];
    int listener = bad_socket(path);

    (void)state;
    assert_int_equal(ask_bad(listener, path, NS_WIRE_READ, 1, 5, 5), 0);      /* a good one */
    assert_int_equal(ask_bad(listener, path, NS_WIRE_READ, 2, 5, 5), -EPIPE); /* another's */
    assert_int_equal(ask_bad(listener, path, NS_WIRE_READ, 1, 4097, 0), -EPIPE);
    assert_int_equal(ask_bad(listener, path, NS_WIRE_READ, 1, 100, 50), -EPIPE);
    assert_int_equal(ask_bad(listener, path, NS_WIRE_ERROR, 1, 5, 5),
                     -EINVAL); /* an unknown name */
    assert_int_equal(ask_bad(listener, path, NS_WIRE_WATCH_EVENT, 0, 1, 1), -EPIPE);
    close(listener);
    unlink(path);
}

/* ---- what wakes a client that waits ---- */

struct waiting {
    struct ns_client *client;
    _Atomic int thread; /* its id; 0: it has not begun */
    long waits;
};

static void *ask(void *arg)
{
    struct waiting *waiting = arg;
    struct rusage before, after;

    getrusage(RUSAGE_THREAD, &before);
    waiting->thread = (int)syscall(SYS_gettid);
    assert_int_equal(ns_client_read(waiting->client, 0, "/a", &data, &size), 0);
    getrusage(RUSAGE_THREAD, &after);
    waiting->waits = after.ru_nvcsw - before.ru_nvcsw;
    return NULL;
}

static bool sleeps(int thread)
{
    char path[64], state = 0;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/self/task/%d/stat", thread);
    file = fopen(path, "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%*d (%*[^)]) %c", &state), 1);
    fclose(file);
    return state == 'S';
}

/* Also not when it had time to run for nothing. */
static void wait_until_it_sleeps(struct waiting *waiting)
{
    for (int looks = 0; looks < 20; usleep(100))
        looks = waiting->thread != 0 && sleeps(waiting->thread) ? looks + 1 : 0;
}

static void only_the_reply_wakes_a_client(void **state)
{
    char request[NS_WIRE_HEADER_SIZE + sizeof("/a")];
    const struct ns_wire_header reply = {NS_WIRE_READ, 1, 0, 0};
    struct waiting waiting = {0};
    char path[128];
    int listener = bad_socket(path), fd;
    pthread_t thread;

    (void)state;
    assert_int_equal(ns_client_open(path, &waiting.client), 0);
    fd = accept(listener, NULL, NULL);
    assert_int_equal(pthread_create(&thread, NULL, ask, &waiting), 0);
    wait_until_it_sleeps(&waiting);
    assert_int_equal(recv(fd, request, sizeof(request), MSG_WAITALL), sizeof(request));
    wait_until_it_sleeps(&waiting);
    raw_bytes(fd, &reply, sizeof(reply));
    pthread_join(thread, NULL);
    assert_true(waiting.waits <= 1);
    ns_client_close(waiting.client);
    close(fd);
    close(listener);
    unlink(path);
}

#define CLIENT_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLIENT_TEST(calls),
        CLIENT_TEST(transactions),
        CLIENT_TEST(a_long_pipeline),
        CLIENT_TEST(events),
        CLIENT_TEST(nobody_there),
        CLIENT_TEST(bad_replies_lose_the_connection),
        CLIENT_TEST(only_the_reply_wakes_a_client),
    };

    return cmocka_run_group_tests_name("client", tests, NULL, NULL);
}
