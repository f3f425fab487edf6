/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What conflicts and what does not, over the socket: the rows of the table in nameserv/txn.c, and clients that
 * create names side by side.
 */
#include "tests/unit/names_clients.h"

/* ---- the matrix ---- */

/* Requests in short: a letter, a path below /m, and after '=' a value (or permissions):
 * r read, w write, l list, L list in parts, m mkdir, x rm, p get_perms, s set_perms. */
static uint32_t type_of(char letter)
{
    switch (letter) {
    case 'r': return NS_WIRE_READ;
    case 'w': return NS_WIRE_WRITE;
    case 'l': return NS_WIRE_DIRECTORY;
    case 'L': return NS_WIRE_DIRECTORY_PART;
    case 'm': return NS_WIRE_MKDIR;
    case 'x': return NS_WIRE_RM;
    case 'p': return NS_WIRE_GET_PERMS;
    default: return NS_WIRE_SET_PERMS;
    }
}

/* Run the requests, separated by blanks. */
static void run(int client, uint32_t tx, const char *requests)
{
    char copy[256], *rest = copy, *request;

    strcpy(copy, requests);
    while ((request = strsep(&rest, " ")) != NULL && *request != '\0') {
        uint32_t type = type_of(*request);
        char payload[256], *equals = strchr(request, '='), *value = equals;
        struct message reply;
        size_t size;

        if (equals != NULL)
            *value++ = '\0';
        size = (size_t)sprintf(payload, "/m/%s", request + 1) + 1;
        if (type == NS_WIRE_DIRECTORY_PART)
            value = "0";
        if (value != NULL)
            size += (size_t)sprintf(payload + size, "%s", value) + (type != NS_WIRE_WRITE);
        raw_ask(client, type, tx, payload, size, &reply);
    }
}

static const struct {
    const char *transaction, *meanwhile;
    bool fine;
    const char *afterwards; /* "path=value" that must be so; "path": absent */
} matrix[] = {
    {"wA=t", "wA=o", true, "A=t"},
    {"rA wB=t", "wA=o", false, "A=o"},
    {"rA wB=t", "wA=a", true, "B=t"},
    {"rA wB=t", "wA=o wA=a", true, "B=t"},
    {"rA wB=t", "xA", false, NULL},
    {"rA wB=t", "xA wA=a", true, "B=t"},
    {"rA", "wA=o", true, "A=o"},
    {"rA lD pA rnone", "wA=o wD/y=o sA=n0 wnone=o", true, NULL},
    {"lD wB=t", "wD/y=o", false, NULL},
    {"lD wB=t", "wD/y=o xD/y", true, "B=t"},
    {"lD wB=t", "wD/x=o", true, "B=t"},
    {"lD wB=t", "wD=o sD=n0", true, "B=t"},
    {"LD wB=t", "wD/y=o", false, NULL},
    {"LD wB=t", "wD=o", true, "B=t"},
    {"wD/n1=t", "wD/n2=o", true, "D/n2=o"},
    {"wD/n1=t", "wD/n1=o", true, "D/n1=t"},
    {"mD/n1", "mD/n1", true, "D/n1="},
    {"mD/n1", "wD/n1=o", true, "D/n1=o"},
    {"xD/x", "xD/x", true, "D/x"},
    {"xD", "wD/y=o", true, "D/y"},
    {"wD/x=t", "xD", true, "D/x=t"},
    {"xD/x", "xD", false, NULL},
    {"rD/q wB=t", "wD/q=o", false, "B"},
    {"rD/q wB=t", "wD/q/below=o", false, NULL},
    {"rD/q wB=t", "wD/other=o", true, "B=t"},
    {"lD/q wB=t", "mD/q", false, NULL},
    {"pD/q wB=t", "mD/q", false, NULL},
    {"xD/q/r wB=t", "mD/q", false, NULL},
    {"pA wB=t", "sA=n0", false, NULL},
    {"pA wB=t", "sA=n0 sA=r0", true, "B=t"},
    {"pA wB=t", "wA=o", true, "B=t"},
    {"rA wB=t", "sA=n0", true, "B=t"},
    {"rA wB=t", "wC=o", true, "B=t"},
    {"rA wB=t", "wA/child=o", true, "B=t"},
    {"rA wA=t", "wA=o", false, "A=o"},
    {"wA=t rA", "wA=o", true, "A=t"},
    {"sA=n0 rA", "wA=o", false, NULL},
    {"wA=t pA", "sA=n0", false, NULL},
    {"sA=b0 pA", "sA=n0", true, NULL},
    {"mD/n1 rD/n1", "wD/n1=o", false, NULL},
};

static void expect_afterwards(const char *path_and_value)
{
    char payload[256];
    struct message reply;
    const char *equals = strchr(path_and_value, '=');
    int length = equals != NULL ? (int)(equals - path_and_value) : (int)strlen(path_and_value);
    int size = sprintf(payload, "/m/%.*s", length, path_and_value) + 1;

    raw_ask(fd, NS_WIRE_READ, 0, payload, (size_t)size, &reply);
    if (equals == NULL)
        expect_bytes(&reply, NS_WIRE_ERROR, "ENOENT", 7);
    else
        expect_bytes(&reply, NS_WIRE_READ, equals + 1, strlen(equals + 1));
}

static void each_row_of_the_matrix(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(matrix) / sizeof(matrix[0]); i++) {
        struct message reply;
        uint32_t tx;

        EXPECT_OK(other, NS_WIRE_WRITE, 0, "/m/here\0");
        EXPECT_OK(other, NS_WIRE_RM, 0, "/m\0");
        run(other, 0, "wA=a wD/x=x");
        tx = raw_begin(fd);
        run(fd, tx, matrix[i].transaction);
        run(other, 0, matrix[i].meanwhile);
        raw_ask(fd, NS_WIRE_TRANSACTION_END, tx, "T", 2, &reply);
        if ((reply.header.type == NS_WIRE_TRANSACTION_END) != matrix[i].fine)
            fail_msg("%s / %s: %s", matrix[i].transaction, matrix[i].meanwhile, reply.payload);
        if (!matrix[i].fine)
            assert_string_equal(reply.payload, "EAGAIN");
        if (matrix[i].afterwards != NULL)
            expect_afterwards(matrix[i].afterwards);
    }
}

static void write_skew(void **state)
{
    uint32_t one, two;

    (void)state;
    run(other, 0, "wA=a wB=b");
    one = raw_begin(fd);
    two = raw_begin(other);
    run(fd, one, "rA wB=1");
    run(other, two, "rB wA=2");
    EXPECT_OK(fd, NS_WIRE_TRANSACTION_END, one, "T\0");
    EXPECT_ERROR(other, NS_WIRE_TRANSACTION_END, two, "T\0", "EAGAIN");
}

/* ---- siblings ---- */

enum { CREATORS = 8, CREATED = 200 };

struct creator {
    int fd, number, again;
};

static void *create_siblings(void *arg)
{
    struct creator *creator = arg;

    for (int i = 0; i < CREATED; i++) {
        char payload[64];
        int size = sprintf(payload, "/dir/%d-%d%cvalue", creator->number, i, 0);
        uint32_t tx;
        struct message reply;

        raw_send(creator->fd, NS_WIRE_TRANSACTION_START, 0, 0, "", 1);
        raw_receive(creator->fd, &reply);
        tx = (uint32_t)strtoul(reply.payload, NULL, 10);
        raw_send(creator->fd, NS_WIRE_WRITE, tx, 0, payload, (size_t)size);
        raw_receive(creator->fd, &reply);
        raw_send(creator->fd, NS_WIRE_TRANSACTION_END, tx, 0, "T", 2);
        raw_receive(creator->fd, &reply);
        creator->again += reply.header.type == NS_WIRE_ERROR;
    }
    return NULL;
}

static void siblings_by_eight_clients_never_conflict(void **state)
{
    struct creator creators[CREATORS];
    pthread_t threads[CREATORS];
    struct message reply;

    (void)state;
    EXPECT_OK(fd, NS_WIRE_MKDIR, 0, "/dir\0");
    for (int i = 0; i < CREATORS; i++) {
        creators[i] = (struct creator){.fd = raw_connect(&names), .number = i};
        assert_int_equal(pthread_create(&threads[i], NULL, create_siblings, &creators[i]), 0);
    }
    for (int i = 0; i < CREATORS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(creators[i].again, 0);
        close(creators[i].fd);
    }
    for (int i = 0; i < CREATORS * CREATED; i++) {
        char path[64];
        int size = sprintf(path, "/dir/%d-%d", i / CREATED, i % CREATED) + 1;

        raw_ask(fd, NS_WIRE_READ, 0, path, (size_t)size, &reply);
        expect_bytes(&reply, NS_WIRE_READ, "value", 5);
    }
}

/* The same with all of them open at once, whatever the threads' luck. */
static void siblings_of_open_transactions_never_conflict(void **state)
{
    int fds[CREATORS];
    uint32_t txs[CREATORS];

    (void)state;
    for (int i = 0; i < CREATORS; i++)
        fds[i] = raw_connect(&names);
    for (int round = 0; round < 20; round++) {
        char request[64];

        for (int i = 0; i < CREATORS; i++) {
            txs[i] = raw_begin(fds[i]);
            sprintf(request, "wdir/%d-%d=v", i, round);
            run(fds[i], txs[i], request);
        }
        for (int i = 0; i < CREATORS; i++)
            EXPECT_OK(fds[i], NS_WIRE_TRANSACTION_END, txs[i], "T\0");
    }
    for (int i = 0; i < CREATORS; i++)
        close(fds[i]);
}

/* ---- a client that thinks, and one that does not ---- */

struct hot_writer {
    int fd;
    const char *path;
    pthread_t thread;
    _Atomic bool stop;
    uint64_t written;
};

static void *write_without_a_pause(void *arg)
{
    struct hot_writer *writer = arg;
    struct message reply;
    char payload[64];

    while (!writer->stop) {
        int size =
            sprintf(payload, "%s%c%llu", writer->path, 0, (unsigned long long)writer->written);

        raw_send(writer->fd, NS_WIRE_WRITE, 0, 0, payload, (size_t)size);
        raw_receive(writer->fd, &reply);
        expect_bytes(&reply, NS_WIRE_WRITE, "OK", 3);
        writer->written++;
    }
    return NULL;
}

static void writer_start(struct hot_writer *writer, int client, const char *path)
{
    *writer = (struct hot_writer){.fd = client, .path = path};
    assert_int_equal(pthread_create(&writer->thread, NULL, write_without_a_pause, writer), 0);
}

static void writer_stop(struct hot_writer *writer)
{
    writer->stop = true;
    pthread_join(writer->thread, NULL);
    close(writer->fd);
}

/* Read, think, write; what END says. */
static bool think(int client, const char *one, const char *two)
{
    uint32_t tx = raw_begin(client);
    struct message reply;
    char payload[64];

    raw_ask(client, NS_WIRE_READ, tx, one, strlen(one) + 1, &reply);
    raw_ask(client, NS_WIRE_READ, tx, two, strlen(two) + 1, &reply);
    usleep(1000);
    raw_ask(client, NS_WIRE_WRITE, tx, payload, (size_t)sprintf(payload, "%s%cthought", one, 0),
            &reply);
    raw_ask(client, NS_WIRE_TRANSACTION_END, tx, "T", 2, &reply);
    if (reply.header.type == NS_WIRE_ERROR)
        assert_string_equal(reply.payload, "EAGAIN");
    return reply.header.type == NS_WIRE_TRANSACTION_END;
}

static uint64_t server_counter(const char *name)
{
    char path[64];
    struct message reply;

    raw_ask(fd, NS_WIRE_READ, 0, path, (size_t)sprintf(path, "/stats/server/%s", name) + 1, &reply);
    return strtoull(reply.payload, NULL, 10);
}

enum { THOUGHTS = 30 };

/* How many tries all of them took. */
static unsigned think_often(int client, const char *one, const char *two)
{
    unsigned tries = 0;

    for (int i = 0; i < THOUGHTS; i++) {
        do
            tries++;
        while (!think(client, one, two));
    }
    return tries;
}

/* One try to lose, one in turn; one more for each turn that this machine was too slow for. */
static void thinking_wins_in_the_second_try(void **state)
{
    struct hot_writer writer;
    unsigned tries;

    (void)state;
    writer_start(&writer, raw_connect(&names), "/hot/a");
    tries = think_often(other, "/hot/a", "/cold");
    writer_stop(&writer);
    assert_true(tries <= 2 * THOUGHTS + server_counter("turns_expired"));
    assert_true(tries > THOUGHTS); /* the writer was hot */
    assert_true(writer.written > tries);
}

static void thinking_about_two_hot_names(void **state)
{
    struct hot_writer a, b;
    unsigned tries;

    (void)state;
    writer_start(&a, raw_connect(&names), "/hot/a");
    writer_start(&b, raw_connect(&names), "/hot/b");
    tries = think_often(other, "/hot/a", "/hot/b");
    writer_stop(&a);
    writer_stop(&b);
    assert_true(tries <= 3 * THOUGHTS + server_counter("turns_expired"));
}

static void writers_without_privilege_do_not_keep_root_from_winning(void **state)
{
    struct hot_writer writers[3];
    unsigned tries;

    (void)state;
    EXPECT_OK(fd, NS_WIRE_WRITE, 0, "/hot/a\0x");
    EXPECT_OK(fd, NS_WIRE_SET_PERMS, 0, "/hot/a\0b0\0");
    for (int i = 0; i < 3; i++)
        writer_start(&writers[i], connect_as(1000 + (uid_t)i), "/hot/a");
    tries = think_often(other, "/hot/a", "/cold");
    for (int i = 0; i < 3; i++)
        writer_stop(&writers[i]);
    assert_true(tries <= 2 * THOUGHTS + server_counter("turns_expired"));
}

static void root_is_never_held_back_by_those_without_privilege(void **state)
{
    struct hot_writer writer;
    int alice = connect_as(1000);

    (void)state;
    EXPECT_OK(fd, NS_WIRE_WRITE, 0, "/hot/a\0x");
    EXPECT_OK(fd, NS_WIRE_SET_PERMS, 0, "/hot/a\0b0\0");
    writer_start(&writer, raw_connect(&names), "/hot/a");
    for (int i = 0; i < THOUGHTS; i++)
        think(alice, "/hot/a", "/cold");
    writer_stop(&writer);
    assert_true(server_counter("turns") > 0);
    assert_int_equal(server_counter("held"), 0);
    close(alice);
}

/* What one attacker without privilege can do to another client of its kind: delay, and not for long. */
static void those_without_privilege_hold_back_each_other_for_a_moment(void **state)
{
    int attacker, victim;
    struct message reply;

    (void)state;
    EXPECT_OK(fd, NS_WIRE_WRITE, 0, "/hot/a\0x");
    EXPECT_OK(fd, NS_WIRE_SET_PERMS, 0, "/hot/a\0b0\0");
    attacker = connect_as(1000);
    victim = connect_as(1001);
    for (int i = 0; i < 5; i++) {
        uint32_t tx = raw_begin(attacker);

        EXPECT_OK(attacker, NS_WIRE_WRITE, tx, "/hot/a\0mine");
        raw_ask(attacker, NS_WIRE_READ, tx, "/hot/a/absent", 14, &reply);
        EXPECT_OK(victim, NS_WIRE_WRITE, 0,
                  "/hot/a/absent\0x"); /* waits for a turn to end, if any */
        EXPECT_OK(victim, NS_WIRE_RM, 0, "/hot/a/absent\0");
        EXPECT_OK(victim, NS_WIRE_WRITE, 0, "/hot/a/absent\0x");
        raw_ask(attacker, NS_WIRE_TRANSACTION_END, tx, "T", 2, &reply);
        EXPECT_OK(victim, NS_WIRE_RM, 0, "/hot/a/absent\0");
    }
    assert_true(server_counter("held") <= 20);
    close(attacker);
    close(victim);
}

/* A read-modify-write loop of many on one name: everybody gets through, nothing is lost. */
enum { COUNTERS = 6, COUNTED = 40 };

static void *count_up(void *arg)
{
    int client = *(int *)arg;

    for (int i = 0; i < COUNTED;) {
        struct message reply;
        char payload[64];
        uint32_t tx;

        raw_send(client, NS_WIRE_TRANSACTION_START, 0, 0, "", 1);
        raw_receive(client, &reply);
        tx = (uint32_t)strtoul(reply.payload, NULL, 10);
        raw_send(client, NS_WIRE_READ, tx, 0, "/count", 7);
        raw_receive(client, &reply);
        raw_send(client, NS_WIRE_WRITE, tx, 0, payload,
                 (size_t)sprintf(payload, "/count%c%lu", 0, strtoul(reply.payload, NULL, 10) + 1));
        raw_receive(client, &reply);
        raw_send(client, NS_WIRE_TRANSACTION_END, tx, 0, "T", 2);
        raw_receive(client, &reply);
        i += reply.header.type == NS_WIRE_TRANSACTION_END;
    }
    return NULL;
}

static void everybody_counts(void **state)
{
    pthread_t threads[COUNTERS];
    int fds[COUNTERS];

    (void)state;
    EXPECT_OK(fd, NS_WIRE_WRITE, 0, "/count\0000");
    for (int i = 0; i < COUNTERS; i++) {
        fds[i] = raw_connect(&names);
        assert_int_equal(pthread_create(&threads[i], NULL, count_up, &fds[i]), 0);
    }
    for (int i = 0; i < COUNTERS; i++) {
        pthread_join(threads[i], NULL);
        close(fds[i]);
    }
    EXPECT(fd, NS_WIRE_READ, 0, "/count\0", "240");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        NAMES_TEST(each_row_of_the_matrix),
        NAMES_TEST(write_skew),
        NAMES_TEST(siblings_by_eight_clients_never_conflict),
        NAMES_TEST(siblings_of_open_transactions_never_conflict),
        NAMES_TEST(thinking_wins_in_the_second_try),
        NAMES_TEST(thinking_about_two_hot_names),
        NAMES_TEST(writers_without_privilege_do_not_keep_root_from_winning),
        NAMES_TEST(root_is_never_held_back_by_those_without_privilege),
        NAMES_TEST(those_without_privilege_hold_back_each_other_for_a_moment),
        NAMES_TEST(everybody_counts),
    };

    return cmocka_run_group_tests_name("txn", tests, NULL, NULL);
}
