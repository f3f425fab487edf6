/* SPDX-License-Identifier: BSD-3-Clause */
/* Accounts: exact limits over the wire, and counters that equal a recount whatever happens. */
#include "tests/unit/names_server.h"

#include "nameserv/account.h"
#include "tests/unit/seed.h"

static struct names_server names;
static int fd, guest;

static int start(void **state)
{
    (void)state;
    names_server_start(&names, NULL);
    fd = raw_connect(&names);
    guest = raw_guest(fd, 5);
    EXPECT_OK(fd, NS_WIRE_MKDIR, 0, "/local/domain/5\0");
    EXPECT_OK(fd, NS_WIRE_SET_PERMS, 0, "/local/domain/5\0n5\0");
    return 0;
}

static int stop(void **state)
{
    (void)state;
    EXPECT(fd, NS_WIRE_CONTROL, 0, "check\0", "OK\0");
    close(guest);
    close(fd);
    names_server_stop(&names);
    return 0;
}

/* Its home is one name; four more make five. */
static void names_up_to_the_limit(void **state)
{
    uint32_t tx;

    (void)state;
    EXPECT_OK(fd, NS_WIRE_SET_QUOTA, 0, "5\0nodes\0005\0");
    EXPECT(fd, NS_WIRE_GET_QUOTA, 0, "5\0nodes\0", "5\0");
    EXPECT(fd, NS_WIRE_GET_QUOTA, 0, "nodes\0", "1000\0");
    EXPECT_OK(guest, NS_WIRE_WRITE, 0, "a/b/c\0x");
    EXPECT_ERROR(guest, NS_WIRE_WRITE, 0, "d/e\0x", "ENOSPC");
    EXPECT_ERROR(guest, NS_WIRE_READ, 0, "d\0", "ENOENT"); /* nothing of it is left */
    EXPECT_OK(guest, NS_WIRE_MKDIR, 0, "d\0");
    EXPECT_ERROR(guest, NS_WIRE_MKDIR, 0, "e\0", "ENOSPC");
    EXPECT_OK(guest, NS_WIRE_WRITE, 0, "a/b\0y"); /* to overwrite takes no more */
    EXPECT_OK(guest, NS_WIRE_RM, 0, "a/b\0");
    EXPECT_OK(guest, NS_WIRE_MKDIR, 0, "e\0");
    tx = raw_begin(guest);
    EXPECT_OK(guest, NS_WIRE_RM, tx, "e\0");
    EXPECT_OK(guest, NS_WIRE_WRITE, tx, "f/g\0x");
    EXPECT_ERROR(guest, NS_WIRE_WRITE, tx, "h\0x", "ENOSPC"); /* at once, not at the end */
    EXPECT_OK(guest, NS_WIRE_TRANSACTION_END, tx, "T\0");
    EXPECT_OK(fd, NS_WIRE_MKDIR, 0, "/local/domain/5/more\0"); /* the privileged may */
    EXPECT_OK(fd, NS_WIRE_SET_PERMS, 0, "/local/domain/5/f\0n0\0");
    EXPECT_ERROR(guest, NS_WIRE_MKDIR, 0, "i\0", "ENOSPC");
    EXPECT_OK(fd, NS_WIRE_SET_QUOTA, 0, "5\0nodes\0000\0"); /* no limit */
    EXPECT_OK(guest, NS_WIRE_MKDIR, 0, "i\0");
}

static void values_paths_and_permissions(void **state)
{
    char payload[NS_WIRE_PAYLOAD_MAX];
    struct message reply;

    (void)state;
    EXPECT_OK(fd, NS_WIRE_SET_QUOTA, 0, "5\0node-size\00011\0"); /* 8 for a permission */
    EXPECT_OK(guest, NS_WIRE_WRITE, 0, "a\000123");
    EXPECT_ERROR(guest, NS_WIRE_WRITE, 0, "a\0001234", "ENOSPC");
    EXPECT_ERROR(guest, NS_WIRE_WRITE, 0, "b\0001234", "ENOSPC");
    EXPECT_ERROR(guest, NS_WIRE_MKDIR, 0, "b\0", "ENOSPC"); /* a list of 4 bytes */
    EXPECT_ERROR(guest, NS_WIRE_MKDIR, 0, "a/b\0", "ENOSPC");
    EXPECT_ERROR(guest, NS_WIRE_SET_PERMS, 0, "a\0n5\0r1\0", "ENOSPC");
    EXPECT_OK(guest, NS_WIRE_WRITE, 0, "a\0001");
    EXPECT_OK(guest, NS_WIRE_MKDIR, 0, "a/b\0");
    EXPECT_ERROR(guest, NS_WIRE_WRITE, 0, "a\00012", "ENOSPC");
    EXPECT_OK(fd, NS_WIRE_WRITE, 0, "/local/domain/5/a\000123456789012"); /* the privileged may */
    EXPECT_OK(fd, NS_WIRE_SET_QUOTA, 0, "5\0node-size\0002048\0");
    EXPECT_OK(guest, NS_WIRE_SET_PERMS, 0, "a\0n5\0r1\0r2\0r3\0r4\0");
    EXPECT_ERROR(guest, NS_WIRE_SET_PERMS, 0, "a\0n5\0r1\0r2\0r3\0r4\0r6\0", "ENOSPC");
    EXPECT_OK(fd, NS_WIRE_SET_QUOTA, 0, "5\0path-max\00010\0");
    EXPECT_OK(guest, NS_WIRE_MKDIR, 0, "abcdefghij\0");
    EXPECT_OK(guest, NS_WIRE_MKDIR, 0, "/local/domain/5/abcdefghij\0"); /* as long */
    EXPECT_ERROR(guest, NS_WIRE_MKDIR, 0, "abcdefghijk\0", "EINVAL");
    EXPECT_ERROR(guest, NS_WIRE_WATCH, 0, "abcdefghijk\0t\0", "EINVAL");
    EXPECT_OK(fd, NS_WIRE_MKDIR, 0, "/local/domain/5/abcdefghijk\0");
    memset(payload, 'x', sizeof(payload));
    payload[0] = '/';
    payload[NS_WIRE_PAYLOAD_MAX - 1] = '\0';
    raw_ask(guest, NS_WIRE_READ, 0, payload, sizeof(payload), &reply);
    expect_bytes(&reply, NS_WIRE_ERROR, "EINVAL", 7);
}

static void watches_and_transactions(void **state)
{
    uint32_t txs[3];

    (void)state;
    EXPECT_OK(fd, NS_WIRE_SET_QUOTA, 0, "5\0watches\0002\0");
    EXPECT_OK(fd, NS_WIRE_SET_QUOTA, 0, "5\0transactions\0003\0");
    EXPECT_OK(fd, NS_WIRE_SET_QUOTA, 0, "5\0transaction-nodes\0002\0");
    EXPECT_OK(guest, NS_WIRE_WATCH, 0, "a\0t\0");
    EXPECT_EVENT(guest, "a\0t\0");
    EXPECT_OK(guest, NS_WIRE_WATCH, 0, "b\0t\0");
    EXPECT_EVENT(guest, "b\0t\0");
    EXPECT_ERROR(guest, NS_WIRE_WATCH, 0, "c\0t\0", "ENOSPC");
    EXPECT_OK(guest, NS_WIRE_UNWATCH, 0, "a\0t\0");
    EXPECT_OK(guest, NS_WIRE_WATCH, 0, "c\0t\0");
    EXPECT_EVENT(guest, "c\0t\0");
    for (int i = 0; i < 3; i++)
        txs[i] = raw_begin(guest);
    EXPECT_ERROR(guest, NS_WIRE_TRANSACTION_START, 0, "\0", "ENOSPC");
    EXPECT_OK(guest, NS_WIRE_TRANSACTION_END, txs[1], "F\0");
    txs[1] = raw_begin(guest);
    EXPECT(guest, NS_WIRE_READ, txs[1], "/local/domain/5\0", "");
    EXPECT_OK(guest, NS_WIRE_MKDIR, txs[1], "x\0");
    EXPECT_ERROR(guest, NS_WIRE_MKDIR, txs[1], "y\0", "ENOSPC");
    EXPECT_OK(guest, NS_WIRE_TRANSACTION_END, txs[1], "T\0");
}

static unsigned long read_number(const char *path)
{
    struct message reply;

    raw_ask(fd, NS_WIRE_READ, 0, path, strlen(path) + 1, &reply);
    assert_int_equal(reply.header.type, NS_WIRE_READ);
    return strtoul(reply.payload, NULL, 10);
}

/* Others would be held back for a transaction that there is not. */
static void no_turn_is_given_to_who_may_not_begin(void **state)
{
    uint32_t tx;

    (void)state;
    EXPECT_OK(fd, NS_WIRE_SET_QUOTA, 0, "5\0transactions\0001\0");
    EXPECT_OK(guest, NS_WIRE_WRITE, 0, "a\0001");
    tx = raw_begin(guest);
    EXPECT(guest, NS_WIRE_READ, tx, "a\0", "1");
    EXPECT_OK(guest, NS_WIRE_WRITE, tx, "b\0001");
    EXPECT_OK(fd, NS_WIRE_WRITE, 0, "/local/domain/5/a\0002");
    EXPECT_ERROR(guest, NS_WIRE_TRANSACTION_END, tx, "T\0", "EAGAIN");
    tx = raw_begin(guest); /* with a turn, of which it makes nothing */
    while (read_number("/stats/server/turns_expired") == 0)
        continue;
    EXPECT_ERROR(guest, NS_WIRE_TRANSACTION_START, 0, "\0", "ENOSPC");
    assert_int_equal(read_number("/stats/server/turns"), 1);
    EXPECT_OK(guest, NS_WIRE_TRANSACTION_END, tx, "F\0");
}

static unsigned long used_memory(void)
{
    static const char word[] = "memory           : ";
    struct message reply;
    const char *found;

    raw_ask(fd, NS_WIRE_CONTROL, 0, "quota\0005", 8, &reply);
    found = strstr(reply.payload, word);
    assert_non_null(found);
    return strtoul(found + strlen(word), NULL, 10);
}

static void set_memory(unsigned long limit)
{
    char payload[64];
    struct message reply;
    int size = snprintf(payload, sizeof(payload), "5%cmemory%c%lu", 0, 0, limit);

    raw_ask(fd, NS_WIRE_SET_QUOTA, 0, payload, (size_t)size + 1, &reply);
    expect_bytes(&reply, NS_WIRE_SET_QUOTA, "OK", 3);
}

/* Names and watches; exactly so many bytes. */
static void memory_up_to_the_limit(void **state)
{
    unsigned long before = used_memory(), with_name, with_watch;

    (void)state;
    EXPECT_OK(guest, NS_WIRE_WRITE, 0, "a\0value");
    with_name = used_memory();
    EXPECT_OK(guest, NS_WIRE_WATCH, 0, "a\0token\0");
    EXPECT_EVENT(guest, "a\0token\0");
    with_watch = used_memory();
    assert_true(before < with_name && with_name < with_watch);
    EXPECT_OK(guest, NS_WIRE_UNWATCH, 0, "a\0token\0");
    assert_int_equal(used_memory(), with_name);
    set_memory(with_watch - 1);
    EXPECT_ERROR(guest, NS_WIRE_WATCH, 0, "a\0token\0", "ENOSPC");
    EXPECT_ERROR(guest, NS_WIRE_UNWATCH, 0, "a\0token\0", "ENOENT");
    set_memory(with_watch);
    EXPECT_OK(guest, NS_WIRE_WATCH, 0, "a\0token\0");
    EXPECT_EVENT(guest, "a\0token\0");
    EXPECT_OK(guest, NS_WIRE_RM, 0, "a\0"); /* also at the limit */
    EXPECT_EVENT(guest, "a\0token\0");
    set_memory(with_watch - 1);
    EXPECT_ERROR(guest, NS_WIRE_WRITE, 0, "a\0value", "ENOSPC");
    set_memory(with_watch);
    EXPECT_OK(guest, NS_WIRE_WRITE, 0, "a\0value");
    EXPECT_EVENT(guest, "a\0token\0");
}

/* A transaction keeps each operation until its end, also those that write the same name again. */
static void what_a_transaction_remembers_counts(void **state)
{
    unsigned long before, open;
    uint32_t tx;
    int writes = 0;
    struct message reply;

    (void)state;
    EXPECT_OK(guest, NS_WIRE_WRITE, 0, "a\0value");
    before = used_memory();
    set_memory(before + 2000);
    tx = raw_begin(guest);
    do
        raw_ask(guest, NS_WIRE_WRITE, tx, "a\0VALUE", 7, &reply);
    while (reply.header.type == NS_WIRE_WRITE && ++writes < 1000);
    expect_bytes(&reply, NS_WIRE_ERROR, "ENOSPC", 7);
    assert_in_range(writes, 2, 40);
    EXPECT_ERROR(guest, NS_WIRE_READ, tx,
                 "a-long-name-that-is-not-there-and-does-not-fit-any-more-either\0", "ENOSPC");
    EXPECT(fd, NS_WIRE_CONTROL, 0, "check\0", "OK\0");
    open = used_memory();
    assert_in_range(open, before + 1900, before + 2000);
    EXPECT_OK(guest, NS_WIRE_TRANSACTION_END, tx, "T\0");
    assert_int_equal(used_memory(), before);

    tx = raw_begin(guest);
    EXPECT_ERROR(guest, NS_WIRE_READ, tx, "b\0", "ENOENT");
    assert_true(used_memory() > before);
    EXPECT_OK(guest, NS_WIRE_TRANSACTION_END, tx, "F\0");
    assert_int_equal(used_memory(), before);
    tx = raw_begin(guest); /* lists of permissions are as long as their entries */
    EXPECT_OK(guest, NS_WIRE_SET_PERMS, tx, "a\0n5\0");
    open = used_memory() - before;
    EXPECT_OK(guest, NS_WIRE_SET_PERMS, tx, "a\0n5\0r1\0r2\0");
    assert_true(used_memory() - before >= 2 * open + 2 * sizeof(struct ns_perm));
    EXPECT_OK(guest, NS_WIRE_TRANSACTION_END, tx, "F\0");

    set_memory(1); /* who has too much can remove it */
    tx = raw_begin(guest);
    EXPECT_OK(guest, NS_WIRE_RM, tx, "a\0");
    EXPECT_ERROR(guest, NS_WIRE_RM, tx, "a\0", "ENOSPC");
    EXPECT_OK(guest, NS_WIRE_TRANSACTION_END, tx, "T\0");
    EXPECT_ERROR(guest, NS_WIRE_READ, 0, "a\0", "ENOENT");
}

/* What nobody has taken is the reader's, and ends with it. */
static void unread_output_counts(void **state)
{
    enum { REQUESTS = 40 };
    static char batch[REQUESTS * 64];
    unsigned long before = used_memory();
    bool whole = true;
    size_t size = 0;

    (void)state;
    EXPECT_OK(fd, NS_WIRE_SET_QUOTA, 0, "5\0outstanding\0000\0");
    EXPECT_OK(guest, NS_WIRE_WRITE, 0,
              "big\0"
              "0123456789012345678901234567890123456789012345678901234567890123456789");
    for (int i = 0; i < REQUESTS; i++)
        size += raw_format(batch + size, NS_WIRE_READ, 0, 0, "big", 4);
    for (int i = 0; i < 10000 && used_memory() < before + 4096; i++) {
        ssize_t sent = whole ? send(guest, batch, size, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;

        whole = sent < 0 || sent == (ssize_t)size; /* the socket's own buffer is filled before */
    }
    assert_true(used_memory() >= before + 4096);
    EXPECT(fd, NS_WIRE_CONTROL, 0, "check\0", "OK\0");
    close(guest);
    guest = raw_connect(&names);
    for (int i = 0; i < 10000 && used_memory() > before + 4096; i++)
        continue;
    assert_true(used_memory() < before + 4096);
}

/* Requests that came together are run as long as no more than so many replies wait; then these are sent first. */
static void replies_up_to_the_limit(void **state)
{
    enum { REQUESTS = 12 };
    char batch[REQUESTS * 32], payload[64];

    (void)state;
    for (int limit = 1; limit <= REQUESTS; limit++) {
        int needed = snprintf(payload, sizeof(payload), "5%coutstanding%c%d", 0, 0, limit);
        unsigned long writes;
        struct message reply;
        size_t size = 0;

        raw_ask(fd, NS_WIRE_SET_QUOTA, 0, payload, (size_t)needed + 1, &reply);
        for (int i = 0; i < REQUESTS; i++)
            size += raw_format(batch + size, NS_WIRE_READ, 0, 0, "/local", 7);
        writes = read_number("/stats/server/writes");
        raw_bytes(guest, batch, size);
        for (int i = 0; i < REQUESTS; i++)
            raw_receive(guest, &reply);
        writes = read_number("/stats/server/writes") - writes;
        assert_int_equal(writes, (REQUESTS + limit - 1) / limit + 1);
    }
}

static void a_transaction_counts_different_names(void **state)
{
    uint32_t tx;

    (void)state;
    EXPECT_OK(fd, NS_WIRE_SET_QUOTA, 0, "5\0transaction-nodes\0003\0");
    tx = raw_begin(guest);
    for (int i = 0; i < 10; i++) {
        EXPECT_OK(guest, NS_WIRE_WRITE, tx, "a\0x");
        EXPECT(guest, NS_WIRE_READ, tx, "/local/domain/5/a\0", "x");
        EXPECT_ERROR(guest, NS_WIRE_READ, tx, "none\0", "ENOENT");
        EXPECT(guest, NS_WIRE_READ, tx, "/local/domain/5\0", "");
    }
    EXPECT_ERROR(guest, NS_WIRE_READ, tx, "b\0", "ENOSPC");
    EXPECT_ERROR(guest, NS_WIRE_WRITE, tx, "b\0x", "ENOSPC");
    EXPECT_OK(guest, NS_WIRE_TRANSACTION_END, tx, "T\0");
}

/* One guest has reached every limit: names, watches, memory, transactions, replies that it does not take. What
 * another asks for costs as many requests and system calls as if it were alone. */
static void who_is_at_its_limits_stops_nobody(void **state)
{
    enum { REQUESTS = 1000 };
    int neighbour = raw_guest(fd, 6);
    unsigned long reads, writes, requests;
    char batch[4096];
    size_t size = 0;

    (void)state;
    EXPECT_OK(fd, NS_WIRE_MKDIR, 0, "/local/domain/6\0");
    EXPECT_OK(fd, NS_WIRE_SET_PERMS, 0, "/local/domain/6\0n6\0");
    EXPECT_OK(fd, NS_WIRE_SET_QUOTA, 0, "5\0nodes\0001\0");
    EXPECT_OK(fd, NS_WIRE_SET_QUOTA, 0, "5\0watches\0001\0");
    EXPECT_OK(fd, NS_WIRE_SET_QUOTA, 0, "5\0transactions\0001\0");
    EXPECT_OK(guest, NS_WIRE_WATCH, 0, "/local/domain/6\0t\0");
    EXPECT_EVENT(guest, "/local/domain/6\0t\0");
    EXPECT_ERROR(guest, NS_WIRE_WATCH, 0, "a\0t\0", "ENOSPC");
    EXPECT_ERROR(guest, NS_WIRE_MKDIR, 0, "a\0", "ENOSPC");
    raw_begin(guest);
    EXPECT_ERROR(guest, NS_WIRE_TRANSACTION_START, 0, "\0", "ENOSPC");
    set_memory(1);
    while (size + 64 < sizeof(batch))
        size += raw_format(batch + size, NS_WIRE_WRITE, 0, 0, "a\0x", 3);
    while (send(guest, batch, size, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)size)
        continue;
    requests = read_number("/stats/server/requests");
    for (int quiet = 0; quiet < 50; requests++) /* until it can't go on */
        if (read_number("/stats/server/requests") == requests + 1) {
            quiet++;
        } else {
            quiet = 0;
            requests = read_number("/stats/server/requests") - 1;
        }
    reads = read_number("/stats/server/reads");
    writes = read_number("/stats/server/writes");
    for (int i = 0; i < REQUESTS; i++)
        EXPECT_OK(neighbour, NS_WIRE_WRITE, 0, "x\0value");
    assert_in_range(read_number("/stats/server/requests") - requests, REQUESTS, REQUESTS + 8);
    assert_in_range(read_number("/stats/server/reads") - reads, REQUESTS, REQUESTS + 8);
    assert_in_range(read_number("/stats/server/writes") - writes, REQUESTS, REQUESTS + 8);
    close(neighbour);
}

/* A dead domain leaves no use and no limits of its own to the next. */
static void a_new_domain_begins_anew(void **state)
{
    (void)state;
    EXPECT_OK(fd, NS_WIRE_SET_QUOTA, 0, "5\0nodes\0003\0");
    EXPECT_OK(guest, NS_WIRE_WRITE, 0, "a/b\0x");
    EXPECT_ERROR(guest, NS_WIRE_MKDIR, 0, "c\0", "ENOSPC");
    EXPECT_OK(fd, NS_WIRE_RELEASE, 0, "5\0");
    close(guest);
    guest = raw_guest(fd, 5);
    EXPECT(fd, NS_WIRE_GET_QUOTA, 0, "5\0nodes\0", "1000\0");
    EXPECT_OK(fd, NS_WIRE_SET_QUOTA, 0, "5\0nodes\0003\0");
    EXPECT_OK(fd, NS_WIRE_MKDIR, 0, "/local/domain/5\0");
    EXPECT_OK(fd, NS_WIRE_SET_PERMS, 0, "/local/domain/5\0n5\0");
    EXPECT_OK(guest, NS_WIRE_WRITE, 0, "a/b\0x");
    EXPECT_ERROR(guest, NS_WIRE_MKDIR, 0, "c\0", "ENOSPC");
}

static void quota_operations(void **state)
{
    (void)state;
    EXPECT(fd, NS_WIRE_GET_QUOTA, 0, "",
           "nodes watches outstanding memory soft-memory transactions transaction-nodes "
           "node-permissions path-max node-size\0");
    EXPECT_OK(fd, NS_WIRE_SET_QUOTA, 0, "nodes\0007\0"); /* of new domains */
    EXPECT(fd, NS_WIRE_GET_QUOTA, 0, "5\0nodes\0", "1000\0");
    EXPECT(fd, NS_WIRE_GET_QUOTA, 0, "6\0nodes\0", "7\0");
    EXPECT_ERROR(fd, NS_WIRE_GET_QUOTA, 0, "noodles\0", "EINVAL");
    EXPECT_ERROR(fd, NS_WIRE_GET_QUOTA, 0, "x\0nodes\0", "EINVAL");
    EXPECT_ERROR(fd, NS_WIRE_GET_QUOTA, 0, "40000\0nodes\0", "ENOENT");
    EXPECT_ERROR(fd, NS_WIRE_SET_QUOTA, 0, "nodes\000-1\0", "EINVAL");
    EXPECT_ERROR(fd, NS_WIRE_SET_QUOTA, 0, "nodes\0", "EINVAL");
    EXPECT_ERROR(fd, NS_WIRE_SET_QUOTA, 0, "1\0nodes\0001\0001\0", "EINVAL");
}

static void expect_line(const char *answer, const char *line)
{
    if (strstr(answer, line) == NULL)
        fail_msg("no '%s' in:\n%s", line, answer);
}

static void the_most_of_each_and_soft_limits(void **state)
{
    struct message reply;

    (void)state;
    raw_ask(fd, NS_WIRE_CONTROL, 0, "quota\0max\0-r", 13, &reply);
    EXPECT_OK(guest, NS_WIRE_WRITE, 0, "a/b\00012345");
    EXPECT_OK(guest, NS_WIRE_RM, 0, "a\0");
    EXPECT_OK(guest, NS_WIRE_WATCH, 0, "a\0t\0");
    EXPECT_EVENT(guest, "a\0t\0");
    EXPECT_OK(guest, NS_WIRE_UNWATCH, 0, "a\0t\0");
    raw_ask(fd, NS_WIRE_CONTROL, 0, "quota\0max\0-r", 13, &reply);
    expect_line(reply.payload, "nodes            :        3\n");
    expect_line(reply.payload, "watches          :        1\n");
    expect_line(reply.payload, "outstanding      :        1\n");
    expect_line(reply.payload, "transactions     :        0\n");
    raw_ask(fd, NS_WIRE_CONTROL, 0, "quota\0max", 10, &reply);
    expect_line(reply.payload, "nodes            :        0\n");
    EXPECT_ERROR(fd, NS_WIRE_CONTROL, 0, "quota\0max\0-x\0", "EINVAL");
    EXPECT(fd, NS_WIRE_CONTROL, 0, "quota-soft\0", "memory           :  2097152\n\0");
    EXPECT_OK(fd, NS_WIRE_CONTROL, 0, "quota-soft\0set\0memory\0005000\0");
    EXPECT(fd, NS_WIRE_GET_QUOTA, 0, "soft-memory\0", "5000\0");
    EXPECT_ERROR(fd, NS_WIRE_CONTROL, 0, "quota-soft\0set\0nodes\0005000\0", "EINVAL");
}

/* ---- random operations, and a recount after each commit ---- */

enum { ROUNDS = 3000, OPEN = 4 };

static const char *random_path(void)
{
    static const char *const parts[] = {"/a", "/b", "/c", "/d"};
    static char path[64];
    unsigned depth = 1 + (unsigned)(seed_next() % 4);

    strcpy(path, (seed_next() & 3) == 0 ? "/plain" : "/local");
    while (depth-- > 0)
        strcat(path, parts[seed_next() & 3]);
    return path;
}

static void random_change(struct ns_txn *txn)
{
    static const char value[64] = "";
    struct ns_perm list[2] = {{.id = (uint32_t)(seed_next() % 4), .rights = NS_PERM_BOTH},
                              {.id = (uint32_t)(seed_next() % 4), .rights = NS_PERM_READ}};

    switch (seed_next() % 5) {
    case 0: ns_txn_remove(txn, random_path()); break;
    case 1: ns_txn_set_perms(txn, random_path(), list, 1 + (seed_next() & 1)); break;
    case 2: ns_txn_mkdir(txn, random_path()); break;
    default: ns_txn_write(txn, random_path(), value, seed_next() % sizeof(value)); break;
    }
}

static void expect_recount(struct ns_store *store)
{
    char why[NS_REASON_MAX] = "";

    if (ns_accounts_recount(store, why, sizeof(why)) != 0)
        fail_msg("%s", why);
}

/* Several transactions are open at a time, so that most are merged. */
static void counters_equal_a_recount(void **state)
{
    struct ns_store_options options = {.lcores = 0};
    struct ns_identity who[4] = {{.privileged = true}, {.uid = 1}};
    struct ns_xenstore xenstore;
    struct ns_txn *open[OPEN] = {NULL};
    struct ns_domain *domain;
    struct ns_perm all = {.id = 0, .rights = NS_PERM_BOTH};
    struct ns_store *store;
    struct ns_txn *txn;

    (void)state;
    seed_begin();
    memset(&xenstore, 0, sizeof(xenstore));
    assert_int_equal(ns_store_new(&options, &store), 0);
    assert_int_equal(ns_xenstore_add(store, &xenstore), 0);
    assert_int_equal(ns_store_put(store, "/plain", ""), 0);
    assert_int_equal(ns_txn_begin(store, &ns_identity_stack, &txn), 0);
    assert_int_equal(ns_txn_set_perms(txn, "/plain", &all, 1), 0);
    assert_int_equal(ns_txn_set_perms(txn, "/local", &all, 1), 0);
    assert_int_equal(ns_txn_commit(txn, NULL, NULL), 0);
    for (uint32_t domid = 2; domid < 4; domid++) {
        assert_int_equal(ns_domain_know(store, domid, &domain), 0);
        who[domid] = domain->who;
        ns_account_of(store, &who[domid])->quotas.limit[NS_QUOTA_NODES] = 20;
    }
    for (int round = 0; round < ROUNDS; round++) {
        struct ns_txn **slot = &open[seed_next() % OPEN];

        if (*slot == NULL) {
            assert_int_equal(ns_txn_begin(store, &who[seed_next() & 3], slot), 0);
        } else if (seed_next() % 4 > 0) {
            random_change(*slot);
        } else {
            if (seed_next() % 8 > 0)
                ns_txn_commit(*slot, NULL, NULL);
            else
                ns_txn_abort(*slot);
            *slot = NULL;
            expect_recount(store);
            ns_store_housekeep(store);
        }
    }
    for (int i = 0; i < OPEN; i++)
        if (open[i] != NULL)
            ns_txn_abort(open[i]);
    for (uint32_t domid = 2; domid < 4; domid++) {
        assert_int_equal(ns_domain_know(store, domid, &domain), 0);
        assert_int_equal(ns_domain_release(store, domain), 0);
        expect_recount(store);
        assert_int_equal(ns_account_of(store, &who[domid])->nodes, 0);
    }
    ns_store_free(store);
}

#define ACCOUNT_TEST(test) cmocka_unit_test_setup_teardown(test, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ACCOUNT_TEST(names_up_to_the_limit),
        ACCOUNT_TEST(values_paths_and_permissions),
        ACCOUNT_TEST(watches_and_transactions),
        ACCOUNT_TEST(a_new_domain_begins_anew),
        ACCOUNT_TEST(no_turn_is_given_to_who_may_not_begin),
        ACCOUNT_TEST(memory_up_to_the_limit),
        ACCOUNT_TEST(what_a_transaction_remembers_counts),
        ACCOUNT_TEST(unread_output_counts),
        ACCOUNT_TEST(replies_up_to_the_limit),
        ACCOUNT_TEST(a_transaction_counts_different_names),
        ACCOUNT_TEST(who_is_at_its_limits_stops_nobody),
        ACCOUNT_TEST(the_most_of_each_and_soft_limits),
        ACCOUNT_TEST(quota_operations),
        cmocka_unit_test(counters_equal_a_recount),
    };

    return cmocka_run_group_tests_name("account", tests, NULL, NULL);
}
