/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Every allocation fails once, at every step of everything that the name service does. What was refused for it
 * has not happened: the tree is the same object, and all counts are as before. What was acknowledged has.
 *
 * The linker puts the functions below between the name service and malloc (see the Makefile); the pool of the
 * tree has a switch of its own. They fail in one thread only, the one that is tested.
 */
#include "tests/unit/names_server.h"

#include <search.h>

#include "nameserv/store_p.h"

/* ---- failing ---- */

static _Atomic long fail_in; /* 0: never; 1: the next */
static _Atomic bool failed;
static pthread_t victim;

static bool fails(void)
{
    if (fail_in == 0 || !pthread_equal(pthread_self(), victim) || --fail_in > 0)
        return false;
    failed = true;
    return true;
}

#define WRAP(type, name, parameters, arguments, failure)    \
    type __real_##name parameters;                          \
    type __wrap_##name parameters;                          \
    type __wrap_##name parameters                           \
    {                                                       \
        return fails() ? failure : __real_##name arguments; \
    }
WRAP(void *, malloc, (size_t size), (size), NULL)
WRAP(void *, calloc, (size_t count, size_t size), (count, size), NULL)
WRAP(void *, realloc, (void *old, size_t size), (old, size), NULL)
WRAP(void *, aligned_alloc, (size_t alignment, size_t size), (alignment, size), NULL)
WRAP(char *, strdup, (const char *text), (text), NULL)
WRAP(char *, strndup, (const char *text, size_t size), (text, size), NULL)
WRAP(void *, tsearch, (const void *key, void **root, int (*compare)(const void *, const void *)),
     (key, root, compare), NULL)

int __wrap_asprintf(char **text, const char *format, ...) __attribute__((format(printf, 2, 3)));
int __wrap_asprintf(char **text, const char *format, ...)
{
    va_list arguments;
    int size;

    if (fails())
        return -1;
    va_start(arguments, format);
    size = vasprintf(text, format, arguments);
    va_end(arguments);
    return size;
}

/* ---- the store ---- */

static struct ns_store *store;
static const struct ns_identity root = {.privileged = true};
static const struct ns_identity alice = {.uid = 1000, .gid = 1000};

/* A mount that derives an object, replaces it, and touches a name; and an anchor that is derived from its
 * names. */
static void *derived, *next_derived;

static int mount_prepare(struct ns_mount *mount, struct ns_commit *commit)
{
    int rc;

    (void)mount;
    next_derived = malloc(8);
    if (next_derived == NULL)
        return -ENOMEM;
    rc = ns_commit_retire(commit, derived, free);
    if (rc == 0)
        rc = ns_commit_touch(commit, "/one/touched");
    if (rc != 0)
        free(next_derived);
    return rc;
}

static void mount_publish(struct ns_mount *mount, struct ns_commit *commit)
{
    (void)mount, (void)commit;
    derived = next_derived;
}

static void mount_abandon(struct ns_mount *mount, struct ns_commit *commit)
{
    (void)mount, (void)commit;
    free(next_derived);
}

static int anchor_compile(struct ns_anchor *anchor, struct ns_compile *compile)
{
    void *record = malloc(8);

    (void)anchor;
    if (record == NULL)
        return -ENOMEM;
    ns_compile_record(compile, record);
    ns_compile_read(compile, "/one/x");
    ns_compile_read(compile, "/one/touched");
    return 0;
}

static const struct ns_mount_ops mount_ops = {
    .name = "one", .prepare = mount_prepare, .publish = mount_publish, .abandon = mount_abandon};
static const struct ns_anchor_ops anchor_ops = {.kind = "test",
                                                .rank = 1,
                                                .size = sizeof(struct ns_anchor),
                                                .compile = anchor_compile,
                                                .free_record = free};

static void no_event(struct ns_watch *watch, const char *path, size_t size)
{
    (void)watch, (void)path, (void)size;
}

static int no_child(const struct ns_entry *child, void *arg)
{
    (void)child, (void)arg;
    return 0;
}

static int step(struct ns_txn *txn, char *request)
{
    char *value = strchr(request + 1, '=');
    struct ns_perm perm = {0, NS_PERM_NONE, 0};
    const struct ns_perms *perms;
    const void *data;
    size_t size;

    if (value != NULL)
        *value++ = '\0';
    else
        value = request + strlen(request);
    switch (*request) {
    case 'r': return ns_txn_read(txn, request + 1, &data, &size);
    case 'l': return ns_txn_list(txn, request + 1, no_child, NULL);
    case 'p': return ns_txn_get_perms(txn, request + 1, &perms);
    case 'w': return ns_txn_write(txn, request + 1, value, strlen(value));
    case 'm': return ns_txn_mkdir(txn, request + 1);
    case 'x': return ns_txn_remove(txn, request + 1);
    default:
        perm.id = (uint32_t)strtoul(value + 1, NULL, 10);
        perm.rights = *value == 'b' ? NS_PERM_BOTH : NS_PERM_NONE;
        return ns_txn_set_perms(txn, request + 1, &perm, 1);
    }
}

/* The requests of a text like "w/a=1 x/b" in a transaction. The first error that is none of memory goes on, as
 * a client would. */
static int steps(struct ns_txn *txn, const char *requests)
{
    char copy[256], *rest = copy, *request;
    int rc;

    strcpy(copy, requests);
    while ((request = strsep(&rest, " ")) != NULL) {
        rc = step(txn, request);
        if (rc == -ENOMEM)
            return rc;
    }
    return 0;
}

static void do_all(const char *requests)
{
    struct ns_txn *txn;

    assert_int_equal(ns_txn_begin(store, &root, &txn), 0);
    assert_int_equal(steps(txn, requests), 0);
    assert_int_equal(ns_txn_commit(txn, NULL, NULL), 0);
}

static const struct {
    const struct ns_identity *who;
    const char *requests, *meanwhile;
} cases[] = {
    {&root, "w/t/a=1", NULL},
    {&root, "w/t/a=1", "w/other=1"},
    {&root, "w/t/new/deep/er=1", NULL},
    {&root, "w/t/new/deep/er=1", "w/t/new=1"},
    {&alice, "w/open/new/deep/er=1", NULL},
    {&alice, "w/open/new/deep/er=1 w/t/a=refused x/t/none/none r/open/new", "w/other=1"},
    {&root, "m/t/new/dir", NULL},
    {&root, "x/t/a", NULL},
    {&root, "x/t", NULL},
    {&root, "x/t w/t/a=again", "w/t/late=1"},
    {&root, "w/new=1 x/new", NULL},
    {&root, "w/new/a/b=1 x/new w/new/a=1", "w/other=1"},
    {&root, "s/t/a=n5", NULL},
    {&root, "s/t=b1000 w/t/a=1 p/t", "w/other=1"},
    {&root, "r/t/a l/t p/t/b r/t/none w/t/a=2 w/t/z=1 x/t/c s/t/b=b0 r/t/a", NULL},
    {&root, "r/t/a l/t p/t/b r/t/none w/t/a=2 w/t/z=1 x/t/c s/t/b=b0 r/t/a", "w/other=1"},
    {&root, "w/one/x=1 w/t/a=1", NULL},
    {&root, "w/one/x=1 w/t/a=1", "w/one/y=1"},
    {&root, "w/one/x=1 x/one/y w/one/z=1", "w/other=1"},
};

static const char content[] =
    "w/t/a=a w/t/b=b w/t/c/d/e=c w/t/c/d/f=c w/t/g=g w/open=o s/open=b0 w/one/x=x w/other=o";

struct state {
    const struct ns_entry *root;
    struct ns_store_counters counters;
    size_t watches;
};

static struct state state_now(void)
{
    struct state state = {.root = ns_store_version(store)->root, .watches = store->watch_count};
    char why[256];

    ns_store_drain(store);
    assert_int_equal(ns_tree_check(state.root, why, sizeof(why)), 0);
    ns_store_counters(store, &state.counters);
    return state;
}

static void expect_same(const struct state *before, const struct state *after)
{
    assert_ptr_equal(before->root, after->root);
    assert_int_equal(before->watches, after->watches);
    assert_int_equal(before->counters.pool_bytes, after->counters.pool_bytes);
    assert_int_equal(before->counters.waiting_bytes, after->counters.waiting_bytes);
    assert_int_equal(before->counters.anchors, after->counters.anchors);
    assert_int_equal(before->counters.transactions_open, after->counters.transactions_open);
    assert_int_equal(before->counters.commits, after->counters.commits);
    assert_int_equal(before->counters.watch_events, after->counters.watch_events);
}

static void switch_on(bool pool, long n)
{
    if (pool)
        ns_pool_fail_after(store->pool, (uint64_t)n);
    else
        fail_in = n;
}

/* What is left to go, and off. The pool's count goes on by itself. */
static long switch_off(bool pool)
{
    long left = fail_in;

    if (pool)
        ns_pool_fail_after(store->pool, 0);
    fail_in = 0;
    return left;
}

/* Run one case with the n-th allocation failing; 0 when there was none. */
static int run_case(size_t i, bool pool, long n)
{
    struct state before, after;
    struct ns_txn *txn;
    int rc;

    do_all("x/t x/open x/new x/one/x x/one/y");
    do_all(content);
    before = state_now();
    switch_on(pool, n);
    rc = ns_txn_begin(store, cases[i].who, &txn);
    if (rc == 0) {
        rc = steps(txn, cases[i].requests);
        if (cases[i].meanwhile != NULL) {
            long left = switch_off(pool);

            do_all(cases[i].meanwhile);
            before.root = ns_store_version(store)->root;
            before.counters.commits++;
            /* the pool counts what was taken until now only when it fails: begin anew */
            switch_on(pool, pool ? n : left);
        }
        if (rc == 0)
            rc = ns_txn_commit(txn, NULL, NULL);
        else
            ns_txn_abort(txn);
    }
    switch_off(pool);
    if (rc == 0)
        return 0;
    assert_int_equal(rc, -ENOMEM);
    after = state_now();
    if (cases[i].meanwhile != NULL) {
        before.counters.pool_bytes = after.counters.pool_bytes;
        before.counters.watch_events = after.counters.watch_events;
        before.counters.anchors = after.counters.anchors;
    }
    expect_same(&before, &after);
    return rc;
}

static void each_allocation_of_a_transaction_fails(void **state)
{
    static struct ns_mount mount;
    struct ns_store_options options = {.lcores = 1};
    struct ns_watch on_t = {.fire = no_event, .who = &root}, deep = on_t;
    struct ns_anchor *anchor;
    long most = 0;

    (void)state;
    victim = pthread_self();
    assert_int_equal(ns_store_new(&options, &store), 0);
    assert_int_equal(ns_mount_add(store, &mount, "/one", &mount_ops), 0);
    assert_int_equal(ns_anchor_get(store, "/derived", &anchor_ops, NULL, NULL, &anchor), 0);
    ns_anchor_pin(anchor);
    assert_int_equal(ns_watch_add(store, &on_t, "/t"), 0);
    assert_int_equal(ns_watch_add(store, &deep, "/t/c/d/e"), 0);
    for (int pool = 0; pool < 2; pool++) {
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
            long n = 1;

            while (run_case(i, pool != 0, n) != 0)
                n++;
            most = n > most ? n : most;
        }
    }
    assert_true(most > 15);
    ns_watch_remove(store, &on_t);
    ns_watch_remove(store, &deep);
    ns_anchor_unpin(anchor);
    ns_store_free(store);
    free(derived);
}

static void each_allocation_of_a_watch_fails(void **state)
{
    struct ns_store_options options = {.lcores = 1};
    struct ns_watch watch = {.fire = no_event, .who = &root};
    struct state before, after;
    int rc = -ENOMEM;

    (void)state;
    victim = pthread_self();
    assert_int_equal(ns_store_new(&options, &store), 0);
    before = state_now();
    for (long n = 1; rc != 0; n++) {
        fail_in = n;
        rc = ns_watch_add(store, &watch, "/w");
        fail_in = 0;
        after = state_now();
        if (rc != 0)
            expect_same(&before, &after);
    }
    ns_watch_remove(store, &watch);
    after = state_now();
    expect_same(&before, &after);
    ns_store_free(store);
}

/* ---- the server ---- */

static struct names_server names;

static const struct {
    uint32_t type, tx;
    const char *payload;
    size_t size;
} script[] = {
#define REQUEST(type, tx, payload)             \
    {                                          \
        type, tx, payload, sizeof(payload) - 1 \
    }
    REQUEST(NS_WIRE_WRITE, 0, "/f/0\0v"),
    REQUEST(NS_WIRE_TRANSACTION_START, 0, "\0"),
    REQUEST(NS_WIRE_READ, 1, "/f/0\0"),
    REQUEST(NS_WIRE_WRITE, 1, "/f/1/below\0v"),
    REQUEST(NS_WIRE_MKDIR, 1, "/f/2\0"),
    REQUEST(NS_WIRE_DIRECTORY, 1, "/f\0"),
    REQUEST(NS_WIRE_TRANSACTION_END, 1, "T\0"),
    REQUEST(NS_WIRE_WATCH, 0, "/f\0token\0"),
    REQUEST(NS_WIRE_WRITE, 0, "/f/3\0v"),
    REQUEST(NS_WIRE_SET_PERMS, 0, "/f/3\0r0\0"),
    REQUEST(NS_WIRE_GET_PERMS, 0, "/f/3\0"),
    REQUEST(NS_WIRE_DIRECTORY_PART, 0, "/f\0000\0"),
    REQUEST(NS_WIRE_READ, 0, "/stats/server/requests\0"),
    REQUEST(NS_WIRE_READ, 0, "/none\0"),
    REQUEST(NS_WIRE_RM, 0, "/f/0\0"),
    REQUEST(NS_WIRE_UNWATCH, 0, "/f\0token\0"),
    REQUEST(NS_WIRE_WATCH, 0, "left\0open\0"),
    REQUEST(NS_WIRE_TRANSACTION_START, 0, "\0"),
    REQUEST(NS_WIRE_WRITE, 2, "/f/left-open\0v"),
};
enum { SCRIPT = sizeof(script) / sizeof(script[0]) };
enum { TX_WRITE = 3, TX_MKDIR = 4, TX_END = 6, LATE_WRITE = 8, REMOVED = 14 };
enum outcome { UNKNOWN, DONE, REFUSED };

static void play(enum outcome *outcomes)
{
    char batch[SCRIPT * 64];
    size_t size = 0;
    int client = raw_connect(&names);
    struct ns_wire_header header;
    char payload[NS_WIRE_PAYLOAD_MAX];

    for (uint32_t i = 0; i < SCRIPT; i++)
        size += raw_format(batch + size, script[i].type, script[i].tx, i, script[i].payload,
                           script[i].size);
    if (send(client, batch, size, MSG_NOSIGNAL) == (ssize_t)size)
        shutdown(client, SHUT_WR);
    while (raw_take(client, &header, sizeof(header)) && raw_take(client, payload, header.size))
        if (header.type != NS_WIRE_WATCH_EVENT)
            outcomes[header.request] = header.type == NS_WIRE_ERROR ? REFUSED : DONE;
    close(client);
}

static bool exists(int client, const char *path)
{
    struct message reply;

    raw_ask(client, NS_WIRE_READ, 0, path, strlen(path) + 1, &reply);
    return reply.header.type == NS_WIRE_READ;
}

static void expect(enum outcome outcome, bool there)
{
    if (outcome != UNKNOWN)
        assert_int_equal(outcome == DONE, there);
}

static uint64_t stat_of(int client, const char *name)
{
    char path[64];
    struct message reply;

    raw_ask(client, NS_WIRE_READ, 0, path, (size_t)sprintf(path, "/stats/%s", name) + 1, &reply);
    return strtoull(reply.payload, NULL, 10);
}

/* What was freed waits for a grace period. */
static void expect_in_the_end(int client, const char *name, uint64_t value)
{
    for (int i = 0; i < 10000; i++) {
        if (stat_of(client, name) == value)
            return;
        usleep(1000);
    }
    assert_int_equal(stat_of(client, name), value);
}

static void each_allocation_of_the_server_fails(void **state)
{
    int other;
    uint64_t pool_bytes, open;
    long n = 0;

    (void)state;
    names_server_start(&names, NULL);
    other = raw_connect(&names);
    victim = names.thread;
    EXPECT_OK(other, NS_WIRE_MKDIR, 0, "/g\0");
    expect_in_the_end(other, "store/waiting_bytes", 0);
    pool_bytes = stat_of(other, "store/pool_bytes");
    open = stat_of(other, "store/transactions_open");
    do {
        enum outcome outcomes[SCRIPT] = {UNKNOWN};
        bool one, two;

        failed = false;
        fail_in = ++n;
        play(outcomes);
        fail_in = 0;
        expect_in_the_end(other, "server/connections", 1);
        one = exists(other, "/f/1/below");
        two = exists(other, "/f/2");
        if (outcomes[TX_END] == DONE) {
            expect(outcomes[TX_WRITE], one);
            expect(outcomes[TX_MKDIR], two);
        } else if (outcomes[TX_END] == REFUSED) {
            assert_false(one || two);
        }
        if (outcomes[TX_WRITE] == DONE && outcomes[TX_MKDIR] == DONE)
            assert_int_equal(one, two);
        expect(outcomes[LATE_WRITE], exists(other, "/f/3"));
        if (outcomes[0] == DONE)
            expect(outcomes[REMOVED], !exists(other, "/f/0"));
        assert_false(exists(other, "/f/left-open"));
        EXPECT_OK(other, NS_WIRE_RM, 0, "/f\0");
        expect_in_the_end(other, "store/pool_bytes", pool_bytes);
        assert_int_equal(stat_of(other, "store/transactions_open"), open);
        expect_in_the_end(other, "store/anchors", 0);
    } while (failed);
    assert_true(n > 15);
    close(other);
    names_server_stop(&names);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_allocation_of_a_transaction_fails),
        cmocka_unit_test(each_allocation_of_a_watch_fails),
        cmocka_unit_test(each_allocation_of_the_server_fails),
    };

    return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
