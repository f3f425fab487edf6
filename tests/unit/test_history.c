/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Serialisability: clients run random transactions side by side over the socket and note what they saw; the
 * checker of history.h looks for a serial order. That it finds what is wrong is tested, too.
 *
 * A transaction learns the number of its commit by changing the list of a directory of its client's own: that
 * is what DIRECTORY_PART tells about it afterwards.
 */
#include "tests/unit/names_server.h"

#include <sched.h>

#include "tests/unit/history.h"
#include "tests/unit/seed.h"

/* ---- the checker ---- */

#define R(name, value)            \
    {                             \
        HISTORY_READ, name, value \
    }
#define W(name, value)             \
    {                              \
        HISTORY_WRITE, name, value \
    }
#define X(name)                 \
    {                           \
        HISTORY_REMOVE, name, 0 \
    }
#define L(directory, names)            \
    {                                  \
        HISTORY_LIST, directory, names \
    }
#define T(order, after, ...)                                                                      \
    {                                                                                             \
        order, after, sizeof((struct history_step[]){__VA_ARGS__}) / sizeof(struct history_step), \
        {                                                                                         \
            __VA_ARGS__                                                                           \
        }                                                                                         \
    }

static const struct {
    const char *what;
    bool serial;
    struct history_txn txns[6];
} known[] = {
    {"one after the other", true, {T(1, 0, W(0, 1)), T(2, 1, R(0, 1), W(0, 2)), T(0, 2, R(0, 2))}},
    {"its own writes", true, {T(1, 0, R(0, 0), W(0, 1), R(0, 1), X(0), R(0, 0))}},
    {"a lost update",
     false,
     {T(1, 0, W(0, 1)), T(2, 1, R(0, 1), W(0, 2)), T(3, 1, R(0, 1), W(0, 3))}},
    {"write skew",
     false,
     {T(1, 0, W(0, 1), W(1, 1)), T(2, 1, R(0, 1), W(1, 2)), T(3, 1, R(1, 1), W(0, 3))}},
    {"a dirty read", false, {T(1, 0, W(0, 1)), T(2, 1, R(0, 99), W(1, 2))}},
    {"half of a commit", false, {T(1, 0, W(0, 1), W(1, 1)), T(0, 0, R(0, 1), R(1, 0))}},
    {"two times at once",
     false,
     {T(1, 0, W(0, 1)), T(2, 0, W(1, 2)), T(3, 0, W(0, 3)), T(0, 0, R(0, 1), R(1, 0), R(0, 3))}},
    {"an absence that was over", false, {T(1, 0, W(0, 1)), T(2, 0, R(0, 0), W(1, 2))}},
    {"a phantom", false, {T(1, 0, W(0, 1)), T(2, 1, W(1, 2)), T(3, 1, L(0, 1), W(4, 3))}},
    {"a list", true, {T(1, 0, W(0, 1)), T(2, 1, W(5, 2)), T(3, 1, L(0, 1), L(1, 2), W(4, 3))}},
    {"a snapshot from before", true, {T(1, 0, W(0, 1)), T(0, 0, R(0, 0))}},
    {"an old snapshot", false, {T(1, 0, W(0, 1)), T(0, 1, R(0, 0))}},
    {"equal numbers, in one order", true, {T(5, 0, R(0, 1), W(1, 2)), T(5, 0, W(0, 1))}},
    {"equal numbers, in none", false, {T(5, 0, R(0, 0), W(1, 2)), T(5, 0, R(1, 0), W(0, 1))}},
};

static void the_checker_knows_right_from_wrong(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        struct history_txn txns[6];
        size_t count = 0;

        memcpy(txns, known[i].txns, sizeof(txns));
        while (count < 6 && txns[count].count > 0)
            count++;
        if (history_is_serial(txns, count) != known[i].serial)
            fail_msg("%s", known[i].what);
    }
}

/* ---- clients ---- */

enum { CLIENTS = 6, TXNS = 300, ALL = CLIENTS * TXNS };

static struct names_server names;
static struct history_txn history[ALL];
static size_t history_count;
static pthread_mutex_t history_lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic uint64_t newest; /* commit that was acknowledged to anybody */

struct recorder {
    int fd, number;
    uint64_t random, written, committed, conflicts;
    bool marked; /* its own directory has a child */
};

static uint64_t random_below(struct recorder *client, uint64_t bound)
{
    client->random = client->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (client->random >> 33) % bound;
}

static void ask(struct recorder *client, uint32_t type, uint32_t tx, const char *payload,
                size_t size, struct message *reply)
{
    raw_send(client->fd, type, tx, 0, payload, size);
    raw_receive(client->fd, reply);
}

/* A name of the history on the wire; returns its size with the NUL. */
static size_t name_of(unsigned name, char *path)
{
    return (size_t)sprintf(path, "/h/%u/%u", name / HISTORY_WIDTH, name % HISTORY_WIDTH) + 1;
}

static uint64_t list_of(const struct message *reply)
{
    uint64_t present = 0;

    if (reply->header.type == NS_WIRE_ERROR)
        return 0;
    for (size_t i = 0; i < reply->header.size; i += 2)
        present |= UINT64_C(1) << (reply->payload[i] - '0');
    return present;
}

static void do_step(struct recorder *client, uint32_t tx, struct history_step *step)
{
    struct message reply;
    char payload[64];
    size_t size = name_of(step->name, payload);

    switch (step->kind) {
    case HISTORY_READ:
        ask(client, NS_WIRE_READ, tx, payload, size, &reply);
        step->value = reply.header.type == NS_WIRE_ERROR ? 0 : strtoull(reply.payload, NULL, 10);
        break;
    case HISTORY_WRITE:
        step->value = ++client->written * CLIENTS + (uint64_t)client->number;
        size += (size_t)sprintf(payload + size, "%llu", (unsigned long long)step->value);
        ask(client, NS_WIRE_WRITE, tx, payload, size, &reply);
        assert_int_equal(reply.header.type, NS_WIRE_WRITE);
        break;
    case HISTORY_REMOVE:
        ask(client, NS_WIRE_RM, tx, payload, size, &reply);
        assert_int_equal(reply.header.type, NS_WIRE_RM);
        break;
    case HISTORY_LIST:
        size = (size_t)sprintf(payload, "/h/%u", step->name) + 1;
        ask(client, NS_WIRE_DIRECTORY, tx, payload, size, &reply);
        step->value = list_of(&reply);
        break;
    }
}

/* Change the list of the client's own directory, or ask for the number of its last change. */
static void mark(struct recorder *client, uint32_t tx)
{
    struct message reply;
    char path[64];
    size_t size = (size_t)sprintf(path, "/order/%d/mark", client->number) + 1;

    ask(client, client->marked ? NS_WIRE_RM : NS_WIRE_MKDIR, tx, path, size, &reply);
    assert_int_not_equal(reply.header.type, NS_WIRE_ERROR);
}

static uint64_t order_of_mark(struct recorder *client)
{
    struct message reply;
    char payload[64];
    size_t size = (size_t)sprintf(payload, "/order/%d%c0", client->number, 0) + 1;

    ask(client, NS_WIRE_DIRECTORY_PART, 0, payload, size, &reply);
    assert_int_equal(reply.header.type, NS_WIRE_DIRECTORY_PART);
    return strtoull(reply.payload, NULL, 10);
}

static void note(struct history_txn *txn)
{
    pthread_mutex_lock(&history_lock);
    history[history_count++] = *txn;
    pthread_mutex_unlock(&history_lock);
    if (txn->order > newest)
        newest = txn->order; /* may go back a little: it is a lower bound */
}

static void run_one(struct recorder *client)
{
    struct history_txn txn = {.after = newest, .count = 1 + (unsigned)random_below(client, 5)};
    bool reads_only = random_below(client, 4) == 0, commits = random_below(client, 10) != 0;
    struct message reply;
    uint32_t tx;

    ask(client, NS_WIRE_TRANSACTION_START, 0, "", 1, &reply);
    tx = (uint32_t)strtoul(reply.payload, NULL, 10);
    for (unsigned i = 0; i < txn.count; i++) {
        struct history_step *step = &txn.steps[i];
        uint64_t kind = random_below(client, 10);

        step->kind = kind < 4     ? HISTORY_READ
                     : kind < 5   ? HISTORY_LIST
                     : reads_only ? HISTORY_READ
                     : kind < 9   ? HISTORY_WRITE
                                  : HISTORY_REMOVE;
        step->name = (unsigned)random_below(
            client, step->kind == HISTORY_LIST ? HISTORY_NAMES / HISTORY_WIDTH : HISTORY_NAMES);
        do_step(client, tx, step);
        if (random_below(client, 4) == 0)
            sched_yield();
    }
    if (!reads_only)
        mark(client, tx);
    ask(client, NS_WIRE_TRANSACTION_END, tx, commits ? "T" : "F", 2, &reply);
    if (reply.header.type == NS_WIRE_ERROR)
        client->conflicts++;
    if (reply.header.type == NS_WIRE_ERROR || !commits)
        return;
    if (!reads_only) {
        client->marked = !client->marked;
        txn.order = order_of_mark(client);
        client->committed++;
    }
    note(&txn);
}

static void *record(void *arg)
{
    struct recorder *client = arg;
    char path[64];
    struct message reply;

    ask(client, NS_WIRE_MKDIR, 0, path, (size_t)sprintf(path, "/order/%d", client->number) + 1,
        &reply);
    for (int i = 0; i < TXNS; i++)
        run_one(client);
    return NULL;
}

/* What is below a missing directory can't be removed. */
static void make_directories(void)
{
    int fd = raw_connect(&names);

    EXPECT_OK(fd, NS_WIRE_MKDIR, 0, "/h/0\0");
    EXPECT_OK(fd, NS_WIRE_MKDIR, 0, "/h/1\0");
    close(fd);
}

static uint64_t record_all(void)
{
    struct recorder clients[CLIENTS];
    pthread_t threads[CLIENTS];
    uint64_t conflicts = 0, committed = 0;

    history_count = 0;
    newest = 0;
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] =
            (struct recorder){.fd = raw_connect(&names), .number = i, .random = seed_next()};
        assert_int_equal(pthread_create(&threads[i], NULL, record, &clients[i]), 0);
    }
    for (int i = 0; i < CLIENTS; i++) {
        pthread_join(threads[i], NULL);
        conflicts += clients[i].conflicts;
        committed += clients[i].committed;
        close(clients[i].fd);
    }
    assert_true(committed > TXNS); /* in spite of all conflicts */
    return conflicts;
}

/* The same history with one read that saw the value before the one it saw. */
static bool forge_a_read(void)
{
    for (size_t i = history_count - 1; i > 0; i--) {
        struct history_txn *txn = &history[i];

        for (unsigned j = 0; j < txn->count && txn->order != 0; j++) {
            if (txn->steps[j].kind == HISTORY_READ && txn->steps[j].value != 0) {
                txn->steps[j].value += CLIENTS * UINT64_C(1000000);
                return true;
            }
        }
    }
    return false;
}

static void what_clients_saw_has_a_serial_order(void **state)
{
    (void)state;
    seed_begin();
    names_server_start(&names, NULL);
    make_directories();
    assert_true(record_all() > 0);
    assert_true(history_is_serial(history, history_count));
    assert_true(forge_a_read());
    assert_false(history_is_serial(history, history_count));
    names_server_stop(&names);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_checker_knows_right_from_wrong),
        cmocka_unit_test(what_clients_saw_has_a_serial_order),
    };

    return cmocka_run_group_tests_name("history", tests, NULL, NULL);
}
