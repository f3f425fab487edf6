/* SPDX-License-Identifier: BSD-3-Clause */
/* Transactions, merging, mounts and watches of the store, on one thread. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nameserv/mount.h"
#include "nameserv/store_p.h"
#include "nameserv/xenstore.h"

static struct ns_store *store;

static const struct ns_identity root = {.privileged = true};
static const struct ns_identity alice = {.uid = 1000, .gid = 1000};

static int setup(void **state)
{
    struct ns_store_options options = {.lcores = 0};

    (void)state;
    return ns_store_new(&options, &store);
}

static int teardown(void **state)
{
    (void)state;
    ns_store_free(store);
    return 0;
}

static struct ns_txn *begin_as(const struct ns_identity *who)
{
    struct ns_txn *txn;

    assert_int_equal(ns_txn_begin(store, who, &txn), 0);
    return txn;
}

static struct ns_txn *begin(void)
{
    return begin_as(&root);
}

static int write_text(struct ns_txn *txn, const char *path, const char *value)
{
    return ns_txn_write(txn, path, value, strlen(value));
}

static int commit(struct ns_txn *txn)
{
    return ns_txn_commit(txn, NULL, NULL);
}

static void put(const char *path, const char *value)
{
    assert_int_equal(ns_store_put(store, path, value), 0);
}

static const char *get(const char *path)
{
    static char copy[NS_VALUE_MAX + 1];
    const struct ns_entry *entry =
        ns_tree_lookup(ns_store_version(store)->root, path, strlen(path));

    if (entry == NULL)
        return NULL;
    memcpy(copy, ns_entry_value(entry), entry->value_size);
    copy[entry->value_size] = '\0';
    return copy;
}

static int reads(struct ns_txn *txn, const char *path)
{
    const void *value;
    size_t size;

    return ns_txn_read(txn, path, &value, &size);
}

static int count_child(const struct ns_entry *child, void *arg)
{
    (void)child;
    ++*(int *)arg;
    return 0;
}

static int lists(struct ns_txn *txn, const char *path)
{
    int count = 0, rc = ns_txn_list(txn, path, count_child, &count);

    return rc == 0 ? count : rc;
}

/* ---- transactions ---- */

static void test_commit_is_visible_at_once_and_whole(void **state)
{
    struct ns_txn *txn = begin();
    uint64_t version, before = ns_store_version(store)->number;

    (void)state;
    assert_int_equal(write_text(txn, "/a/b/c", "1"), 0);
    assert_int_equal(write_text(txn, "/a/d", "2"), 0);
    assert_null(get("/a"));
    assert_int_equal(reads(txn, "/a/b/c"), 0);
    assert_int_equal(ns_txn_commit(txn, &version, NULL), 0);
    assert_int_equal(version, before + 1);
    assert_string_equal(get("/a/b/c"), "1");
    assert_string_equal(get("/a/d"), "2");
    assert_string_equal(get("/a/b"), "");
}

static void *make_and_free(void *unused)
{
    const struct ns_store_options options = {.lcores = 1};

    for (int i = 0; i < 3000; i++) {
        struct ns_store *other;

        assert_int_equal(ns_store_new(&options, &other), 0);
        assert_int_equal(ns_store_put(other, "/a", "1"), 0);
        assert_int_equal(ns_store_put(other, "/a", "2"), 0);
        ns_store_housekeep(other);
        ns_store_free(other);
    }
    return unused;
}

/* A grace period that was asked for just before does not wait for whoever frees the store. */
static void test_an_end_in_a_grace_period(void **state)
{
    pthread_t thread;

    (void)state;
    ns_rcu_offline();
    assert_int_equal(pthread_create(&thread, NULL, make_and_free, NULL), 0);
    pthread_join(thread, NULL);
    ns_rcu_online();
}

static void test_abort_leaves_nothing(void **state)
{
    struct ns_txn *txn = begin();
    struct ns_store_counters before, after;

    (void)state;
    ns_store_drain(store);
    ns_store_counters(store, &before);
    assert_int_equal(write_text(txn, "/x/y", "1"), 0);
    ns_txn_abort(txn);
    ns_store_counters(store, &after);
    assert_null(get("/x"));
    assert_int_equal(after.pool_bytes, before.pool_bytes);
}

static void test_snapshot_stays_as_it_was(void **state)
{
    struct ns_txn *txn;
    const void *value;
    size_t size;

    (void)state;
    put("/s/a", "old");
    txn = begin();
    put("/s/a", "new");
    put("/s/b", "new");
    for (int i = 0; i < 100; i++)
        put("/s/a", "newer");
    ns_store_drain(store);
    assert_int_equal(ns_txn_read(txn, "/s/a", &value, &size), 0);
    assert_int_equal(size, 3);
    assert_memory_equal(value, "old", 3);
    assert_int_equal(reads(txn, "/s/b"), -ENOENT);
    assert_int_equal(commit(txn), 0); /* it only read */
}

/* Each row: what the transaction does, what is committed meanwhile, what its end must answer (the tolerant
 * column of the Xenstore reference, without the isolation hole). */
enum act {
    NOTHING,
    WRITE_A,
    READ_A,
    LIST_D,
    NEW_D_N1,
    NEW_D_N2,
    RM_D_X,
    RM_D,
    WRITE_D_X,
    READ_D_Q,
    NEW_D_Q,
    PERMS_A,
    SET_PERMS_A,
    WRITE_C,
    READ_A_X,
    NEW_A_CHILD,
    MKDIR_D_N1,
    READ_D_N1,
    NEW_D_N1_BELOW,
    WRITE_A_AGAIN,
    ABA,
    RM_D_Q_R,
    REPLACE_A,
    DENY_A,
    NEW_D_Q_GONE
};

static void perform(struct ns_txn *txn, enum act act)
{
    struct ns_perm list = {.id = 0, .rights = NS_PERM_BOTH};
    const struct ns_perms *perms;

    switch (act) {
    case NOTHING: break;
    case WRITE_A: assert_int_equal(write_text(txn, "/m/A", "w"), 0); break;
    case READ_A: assert_int_equal(reads(txn, "/m/A"), 0); break;
    case LIST_D: assert_int_equal(lists(txn, "/m/D"), 1); break;
    case NEW_D_N1: assert_int_equal(write_text(txn, "/m/D/n1", "n"), 0); break;
    case NEW_D_N2: assert_int_equal(write_text(txn, "/m/D/n2", "n"), 0); break;
    case MKDIR_D_N1: assert_int_equal(ns_txn_mkdir(txn, "/m/D/n1"), 0); break;
    case READ_D_N1: assert_int_equal(reads(txn, "/m/D/n1"), 0); break;
    case NEW_D_N1_BELOW: assert_int_equal(write_text(txn, "/m/D/n1/below", "b"), 0); break;
    case RM_D_X: assert_int_equal(ns_txn_remove(txn, "/m/D/x"), 0); break;
    case RM_D: assert_int_equal(ns_txn_remove(txn, "/m/D"), 0); break;
    case WRITE_D_X: assert_int_equal(write_text(txn, "/m/D/x", "t"), 0); break;
    case READ_D_Q: assert_int_equal(reads(txn, "/m/D/q"), -ENOENT); break;
    case NEW_D_Q: assert_int_equal(write_text(txn, "/m/D/q", "q"), 0); break;
    case PERMS_A: assert_int_equal(ns_txn_get_perms(txn, "/m/A", &perms), 0); break;
    case SET_PERMS_A: assert_int_equal(ns_txn_set_perms(txn, "/m/A", &list, 1), 0); break;
    case WRITE_C: assert_int_equal(write_text(txn, "/m/C", "c"), 0); break;
    case READ_A_X: assert_int_equal(reads(txn, "/m/A/x"), -ENOENT); break;
    case NEW_A_CHILD: assert_int_equal(write_text(txn, "/m/A/other", "o"), 0); break;
    case WRITE_A_AGAIN: assert_int_equal(write_text(txn, "/m/A", "a"), 0); break;
    case ABA:
        put("/m/A", "b");
        put("/m/A", "a");
        break;
    case RM_D_Q_R: assert_int_equal(ns_txn_remove(txn, "/m/D/q/r"), -ENOENT); break;
    case REPLACE_A:
        assert_int_equal(ns_txn_set_perms(txn, "/m/A", &list, 1), 0);
        assert_int_equal(ns_txn_remove(txn, "/m/A"), 0);
        assert_int_equal(write_text(txn, "/m/A", "new"), 0);
        break;
    case DENY_A:
        list.rights = NS_PERM_NONE;
        assert_int_equal(ns_txn_set_perms(txn, "/m", &list, 1), 0);
        break;
    case NEW_D_Q_GONE:
        put("/m/D/q", "q");
        put("/m/D/q", NULL);
        break;
    }
}

static const struct {
    enum act first, second, meanwhile;
    int answer;
} matrix[] = {
    {WRITE_A, NOTHING, WRITE_A, 0},
    {READ_A, WRITE_C, WRITE_A, -EAGAIN},
    {READ_A, NOTHING, WRITE_A, 0},
    {READ_A, WRITE_C, WRITE_A_AGAIN, 0},
    {READ_A, WRITE_C, ABA, 0},
    {READ_A, WRITE_C, SET_PERMS_A, 0},
    {PERMS_A, WRITE_C, WRITE_A, 0},
    {READ_D_Q, WRITE_C, NEW_D_Q_GONE, 0},
    {LIST_D, WRITE_C, NEW_D_Q_GONE, 0},
    {LIST_D, WRITE_C, NEW_D_N1, -EAGAIN},
    {LIST_D, WRITE_C, WRITE_D_X, 0},
    {NEW_D_N1, NOTHING, NEW_D_N2, 0},
    {NEW_D_N1, NOTHING, NEW_D_N1, 0},
    {MKDIR_D_N1, NOTHING, MKDIR_D_N1, 0},
    {RM_D_X, NOTHING, RM_D_X, 0},
    {RM_D, NOTHING, NEW_D_N1, 0},
    {WRITE_D_X, NOTHING, RM_D, 0},
    {READ_D_Q, WRITE_C, NEW_D_Q, -EAGAIN},
    {READ_D_Q, WRITE_C, NEW_D_N1, 0},
    {PERMS_A, WRITE_C, SET_PERMS_A, -EAGAIN},
    {READ_A, WRITE_C, NEW_A_CHILD, 0},
    {READ_A_X, WRITE_C, NEW_A_CHILD, 0},
    {READ_A, WRITE_A, WRITE_C, 0},
    /* what the transaction has written itself it does not observe, but only that */
    {WRITE_A, READ_A, WRITE_A, 0},
    {SET_PERMS_A, PERMS_A, SET_PERMS_A, 0},
    {SET_PERMS_A, READ_A, WRITE_A, -EAGAIN},
    {WRITE_A, PERMS_A, SET_PERMS_A, -EAGAIN},
    {MKDIR_D_N1, READ_D_N1, NEW_D_N1, -EAGAIN},
    {NEW_D_N1_BELOW, READ_D_N1, NEW_D_N1, -EAGAIN},
    {NEW_D_N1, READ_D_N1, NEW_D_N1, 0},
    /* it got its permissions from above */
    {REPLACE_A, PERMS_A, DENY_A, -EAGAIN},
    /* refusals are told, too */
    {RM_D_Q_R, WRITE_C, NEW_D_Q, -EAGAIN},
    {RM_D_Q_R, WRITE_C, NEW_D_N1, 0},
    {RM_D_Q_R, NOTHING, NEW_D_Q, 0},
    {RM_D_X, NOTHING, RM_D,
     -EAGAIN}, /* removing below a missing parent is an error: it would be seen */
};

static void test_conflict_matrix(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(matrix) / sizeof(matrix[0]); i++) {
        struct ns_txn *txn, *other;

        ns_store_put(store, "/m", NULL);
        put("/m/A", "a");
        put("/m/D/x", "x");
        txn = begin();
        perform(txn, matrix[i].first);
        perform(txn, matrix[i].second);
        other = begin();
        perform(other, matrix[i].meanwhile);
        assert_int_equal(commit(other), 0);
        if (commit(txn) != matrix[i].answer)
            fail_msg("row %zu of the matrix", i);
    }
}

static void test_merge_keeps_both(void **state)
{
    struct ns_txn *one = begin(), *two = begin();

    (void)state;
    assert_int_equal(write_text(one, "/k/one", "1"), 0);
    assert_int_equal(write_text(two, "/k/two", "2"), 0);
    assert_int_equal(commit(one), 0);
    assert_int_equal(commit(two), 0);
    assert_string_equal(get("/k/one"), "1");
    assert_string_equal(get("/k/two"), "2");
}

static void test_write_skew_is_refused(void **state)
{
    struct ns_txn *one, *two;

    (void)state;
    put("/w/A", "a");
    put("/w/B", "b");
    one = begin();
    two = begin();
    assert_int_equal(reads(one, "/w/A"), 0);
    assert_int_equal(write_text(one, "/w/B", "1"), 0);
    assert_int_equal(reads(two, "/w/B"), 0);
    assert_int_equal(write_text(two, "/w/A", "2"), 0);
    assert_int_equal(commit(one), 0);
    assert_int_equal(commit(two), -EAGAIN);
    assert_string_equal(get("/w/A"), "a");
}

static void test_remove(void **state)
{
    struct ns_txn *txn;

    (void)state;
    put("/r/a/b/c", "1");
    txn = begin();
    assert_int_equal(ns_txn_remove(txn, "/r/none"), 0);
    assert_int_equal(ns_txn_remove(txn, "/r/none/below"), -ENOENT);
    assert_int_equal(ns_txn_remove(txn, "/"), -EINVAL);
    assert_int_equal(ns_txn_remove(txn, "/r/a"), 0);
    assert_int_equal(reads(txn, "/r/a/b/c"), -ENOENT);
    assert_int_equal(commit(txn), 0);
    assert_null(get("/r/a"));
}

static void test_paths(void **state)
{
    static const char *const bad[] = {"", "a", "/a/", "//", "/a//b", "/a b", "/\x80", "/a\\b"};
    struct ns_txn *txn = begin();

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(reads(txn, bad[i]), -EINVAL);
        assert_string_not_equal(ns_txn_reason(txn)->text, "");
    }
    assert_int_equal(write_text(txn, "/a.b:c+d=e,f~g%h@i-j_k", "ok"), 0);
    ns_txn_abort(txn);
}

static void test_permissions(void **state)
{
    struct ns_perm for_alice[] = {{0, NS_PERM_NONE, 0}, {1000, NS_PERM_BOTH, 0}};
    struct ns_perm secret = {0, NS_PERM_NONE, 0};
    struct ns_txn *txn;
    const struct ns_perms *perms;

    (void)state;
    put("/p/alice", "");
    put("/p/secret", "s");
    txn = begin();
    assert_int_equal(ns_txn_set_perms(txn, "/p/alice", for_alice, 2), 0);
    assert_int_equal(ns_txn_set_perms(txn, "/p/secret", &secret, 1), 0);
    assert_int_equal(commit(txn), 0);

    txn = begin_as(&alice);
    assert_int_equal(write_text(txn, "/p/mine", "x"), -EACCES);
    assert_int_equal(reads(txn, "/p/secret"), -EACCES);
    assert_int_equal(reads(txn, "/p/secret/hidden"), -EACCES);
    assert_int_equal(reads(txn, "/p/none"), -ENOENT);
    assert_int_equal(write_text(txn, "/p/alice/deep/er", "x"), 0);
    assert_int_equal(ns_txn_get_perms(txn, "/p/alice/deep", &perms), 0);
    assert_int_equal(perms->list[0].id, 1000);
    assert_int_equal(ns_txn_set_perms(txn, "/p/alice", for_alice, 2), -EACCES);
    assert_int_equal(ns_txn_set_perms(txn, "/p/alice/deep", &secret, 1), -EPERM);
    assert_int_equal(commit(txn), 0);
}

/* A refusal tells the permissions of what refused. */
static void test_refusals_are_observed(void **state)
{
    struct ns_perm secret = {0, NS_PERM_NONE, 0}, open = {0, NS_PERM_BOTH, 0};
    static const char *const asked[] = {"/o/secret", "/o/secret/below"};

    (void)state;
    put("/o/alice", "");
    for (int i = 0; i < 4; i++) {
        struct ns_txn *txn, *other;

        put("/o/secret", "s");
        txn = begin();
        assert_int_equal(ns_txn_set_perms(txn, "/o/alice", &open, 1), 0);
        assert_int_equal(ns_txn_set_perms(txn, "/o/secret", &secret, 1), 0);
        assert_int_equal(commit(txn), 0);
        txn = begin_as(&alice);
        assert_int_equal(i & 1 ? lists(txn, asked[i / 2]) : reads(txn, asked[i / 2]), -EACCES);
        assert_int_equal(write_text(txn, "/o/alice", "saw it"), 0);
        other = begin();
        assert_int_equal(ns_txn_set_perms(other, "/o/secret", &open, 1), 0);
        assert_int_equal(commit(other), 0);
        assert_int_equal(commit(txn), -EAGAIN);
    }
}

/* ---- memory ---- */

static void test_old_transactions_end_when_memory_does(void **state)
{
    struct ns_store_options options = {.waiting_bytes = 100000};
    struct ns_store_counters counters;
    struct ns_txn *open;
    char value[1000] = {0};

    (void)state;
    assert_int_equal(ns_store_new(&options, &store), 0);
    open = begin();
    for (int i = 0; i < 1000; i++) {
        struct ns_txn *txn = begin();

        assert_int_equal(ns_txn_write(txn, "/big", value, sizeof(value)), 0);
        assert_int_equal(commit(txn), 0);
        ns_store_drain(store);
    }
    ns_store_counters(store, &counters);
    assert_true(counters.waiting_bytes < 200000);
    assert_int_equal(counters.transactions_expired, 1);
    assert_int_equal(reads(open, "/"), -EAGAIN);
    assert_int_equal(commit(open), -EAGAIN);
    ns_store_free(store);
}

/* Giving back takes several steps; nobody else has to suffer meanwhile. */
static void test_one_end_is_enough(void **state)
{
    struct ns_store_options options = {.waiting_bytes = 100000};
    struct ns_store_counters counters;
    struct ns_txn *open, *txn;
    char path[32];

    (void)state;
    assert_int_equal(ns_store_new(&options, &store), 0);
    txn = begin();
    for (int i = 0; i < 10000; i++) {
        snprintf(path, sizeof(path), "/many/%d", i);
        assert_int_equal(write_text(txn, path, "x"), 0);
    }
    assert_int_equal(commit(txn), 0);
    open = begin();
    put("/many", NULL);
    ns_store_drain(store);
    ns_store_counters(store, &counters);
    assert_true(counters.waiting_bytes > 100000);
    txn = begin();
    put("/one", "1");
    assert_int_equal(reads(txn, "/one"), -ENOENT);
    ns_txn_abort(txn);
    assert_int_equal(commit(open), -EAGAIN);
    ns_store_free(store);
}

/* A change that fails in the middle leaves nothing, also if the client goes on and commits. */
static void test_a_change_without_memory_did_not_happen(void **state)
{
    static const struct ns_perm for_alice = {1000, NS_PERM_BOTH, 0};
    unsigned failures = 0;
    int rc = -ENOMEM;

    (void)state;
    for (uint64_t allowed = 1; rc != 0; allowed++) {
        struct ns_txn *txn;

        put("/f", "");
        txn = begin();
        assert_int_equal(ns_txn_set_perms(txn, "/f", &for_alice, 1), 0);
        assert_int_equal(commit(txn), 0);
        txn = begin_as(&alice);
        ns_pool_fail_after(store->pool, allowed);
        rc = write_text(txn, "/f/a/b/c", "x");
        ns_pool_fail_after(store->pool, 0);
        failures += rc == -ENOMEM;
        assert_int_equal(write_text(txn, "/f/other", "x"), 0);
        assert_int_equal(commit(txn), 0);
        assert_string_equal(get("/f/other"), "x");
        assert_true((rc == 0) == (get("/f/a") != NULL));
        put("/f", NULL);
    }
    assert_true(failures > 3);
}

/* ---- mounts ---- */

struct test_mount {
    struct ns_mount mount;
    int checks, prepares, publishes, abandons, afters;
    bool refuse_in_prepare;
};

static int mount_check(struct ns_mount *mount, struct ns_commit *commit,
                       const struct ns_change *change)
{
    ((struct test_mount *)mount)->checks++;
    if (change->after != NULL && memcmp(ns_entry_value(change->after), "bad", 3) == 0)
        return ns_refuse(commit, EINVAL, change->path, "\"bad\" is not good; \"good\" is");
    return 0;
}

static int mount_prepare(struct ns_mount *mount, struct ns_commit *commit)
{
    struct test_mount *test = (struct test_mount *)mount;
    size_t count;

    ns_commit_changes(commit, mount, &count);
    test->prepares++;
    return test->refuse_in_prepare
               ? ns_refuse(commit, ENOSPC, mount->path, "%zu changes are too many", count)
               : 0;
}

static void mount_publish(struct ns_mount *mount, struct ns_commit *commit)
{
    assert_int_equal(ns_commit_version(commit)->number, ns_commit_before(commit)->number + 1);
    ((struct test_mount *)mount)->publishes++;
}

static void mount_abandon(struct ns_mount *mount, struct ns_commit *commit)
{
    (void)commit;
    ((struct test_mount *)mount)->abandons++;
}

static void mount_after(struct ns_mount *mount, struct ns_commit *commit)
{
    (void)commit;
    if (((struct test_mount *)mount)->afters++ == 0)
        put("/one/by-after", "x"); /* a hook may commit */
}

static const char *const follows_one[] = {"/one", NULL};
static const struct ns_mount_ops ops_one = {.name = "one",
                                            .check = mount_check,
                                            .prepare = mount_prepare,
                                            .publish = mount_publish,
                                            .abandon = mount_abandon};
static const struct ns_mount_ops ops_two = {.name = "two",
                                            .authority = &ns_authority_xenstore,
                                            .also = follows_one,
                                            .check = mount_check,
                                            .prepare = mount_prepare,
                                            .publish = mount_publish,
                                            .abandon = mount_abandon,
                                            .after = mount_after};

static void count_refusal(const struct ns_reason *reason, void *arg)
{
    assert_string_not_equal(reason->text, "");
    ++*(int *)arg;
}

static void test_mounts(void **state)
{
    static struct test_mount one, two;
    struct ns_reason reason;
    struct ns_txn *txn;
    uint64_t before, version;
    int refusals = 0;

    (void)state;
    assert_int_equal(ns_mount_add(store, &one.mount, "/one", &ops_one), 0);
    assert_int_equal(ns_mount_add(store, &two.mount, "/two", &ops_two), 0);
    assert_int_equal(ns_mount_add(store, &two.mount, "/two", &ops_two), -EEXIST);
    assert_ptr_equal(ns_mount_find(store, "/one/x", 6), &one.mount);
    assert_string_equal(ns_mount_find(store, "/ones", 5)->path, "/");

    /* all or nothing, over both */
    txn = begin();
    assert_int_equal(write_text(txn, "/one/x", "good"), 0);
    assert_int_equal(write_text(txn, "/two/x", "bad"), 0);
    assert_int_equal(ns_txn_commit(txn, NULL, &reason), -EINVAL);
    assert_string_equal(reason.path, "/two/x");
    assert_string_equal(reason.text, "\"bad\" is not good; \"good\" is");
    assert_null(get("/one/x"));
    assert_int_equal(one.prepares + two.prepares, 0);

    two.refuse_in_prepare = true;
    txn = begin();
    assert_int_equal(write_text(txn, "/one/x", "good"), 0);
    assert_int_equal(ns_txn_commit(txn, NULL, &reason), -ENOSPC); /* two follows one's changes */
    assert_int_equal(one.prepares, 1);
    assert_int_equal(one.abandons, 1);
    assert_int_equal(two.abandons, 0);
    assert_null(get("/one/x"));

    two.refuse_in_prepare = false;
    before = ns_store_version(store)->number;
    txn = begin();
    assert_int_equal(write_text(txn, "/one/x", "good"), 0);
    assert_int_equal(ns_txn_commit(txn, &version, NULL), 0);
    assert_int_equal(version, before + 1); /* its own, not that of the commit made by a hook */
    assert_int_equal(one.publishes, 2);    /* its own, and the one that the hook made */
    assert_string_equal(get("/one/by-after"), "x");

    txn = begin();
    assert_int_equal(write_text(txn, "/two/a.b", "x"), -EINVAL); /* its alphabet has no dot */
    ns_txn_abort(txn);

    txn = begin();
    assert_int_equal(write_text(txn, "/one/y", "bad"), 0);
    assert_int_equal(write_text(txn, "/two/y", "bad"), 0);
    assert_int_equal(ns_txn_judge(txn, count_refusal, &refusals), -EINVAL);
    assert_int_equal(refusals, 2);
    assert_null(get("/one/y"));
}

/* ---- listeners ---- */

struct test_listener {
    struct ns_listener listener;
    int prepares, publishes, abandons;
    size_t changes;
    uint64_t number;
    bool refuse;
};

static int listener_prepare(struct ns_listener *listener, struct ns_commit *commit)
{
    struct test_listener *test = (struct test_listener *)listener;

    test->prepares++;
    if (test->refuse)
        return ns_refuse(commit, EIO, "", "the listener refuses");
    ns_commit_all_changes(commit, &test->changes);
    return 0;
}

static void listener_publish(struct ns_listener *listener, struct ns_commit *commit)
{
    struct test_listener *test = (struct test_listener *)listener;

    test->publishes++;
    test->number = ns_commit_version(commit)->number;
    assert_ptr_equal(ns_commit_version(commit), ns_store_version(store));
}

static void listener_abandon(struct ns_listener *listener, struct ns_commit *commit)
{
    (void)commit;
    ((struct test_listener *)listener)->abandons++;
}

static void expect_listener(const struct test_listener *test, int prepares, int publishes,
                            int abandons)
{
    assert_int_equal(test->prepares, prepares);
    assert_int_equal(test->publishes, publishes);
    assert_int_equal(test->abandons, abandons);
}

static void test_listeners(void **state)
{
    struct test_listener first = {.listener = {.prepare = listener_prepare,
                                               .publish = listener_publish,
                                               .abandon = listener_abandon}};
    struct test_listener second = first;
    struct ns_reason reason;
    uint64_t version;
    struct ns_txn *txn;

    (void)state;
    ns_store_listen(store, &first.listener);
    ns_store_listen(store, &second.listener);
    txn = begin();
    assert_int_equal(write_text(txn, "/listen/a", "1"), 0);
    assert_int_equal(ns_txn_commit(txn, &version, &reason), 0);
    expect_listener(&first, 1, 1, 0);
    expect_listener(&second, 1, 1, 0);
    assert_int_equal(first.changes, 2);
    assert_int_equal(first.number, version);

    first.refuse = true; /* the second is asked before it */
    txn = begin();
    assert_int_equal(write_text(txn, "/listen/a", "2"), 0);
    assert_int_equal(ns_txn_commit(txn, &version, &reason), -EIO);
    assert_string_equal(reason.text, "the listener refuses");
    expect_listener(&first, 2, 1, 0);
    expect_listener(&second, 2, 1, 1);
    assert_string_equal(get("/listen/a"), "1");

    txn = begin();
    assert_int_equal(write_text(txn, "/listen/a", "2"), 0);
    assert_int_equal(ns_txn_judge(txn, count_refusal, NULL), 0);
    expect_listener(&second, 2, 1, 1);

    ns_store_unlisten(store, &first.listener);
    put("/listen/a", "2");
    expect_listener(&first, 2, 1, 0);
    expect_listener(&second, 3, 2, 1);
    ns_store_unlisten(store, &second.listener);
}

/* What a mount is shown is the difference of the two versions, however it was found. */
struct expected {
    const struct ns_change *next;
    size_t left;
};

static int expect_change(const char *path, size_t path_size, const struct ns_entry *before,
                         const struct ns_entry *after, void *arg)
{
    struct expected *expected = arg;

    assert_true(expected->left > 0);
    assert_int_equal(expected->next->path_size, path_size);
    assert_string_equal(expected->next->path, path);
    assert_ptr_equal(expected->next->before, before);
    assert_ptr_equal(expected->next->after, after);
    expected->next++;
    expected->left--;
    return 0;
}

static int compare_prepare(struct ns_mount *mount, struct ns_commit *commit)
{
    struct expected expected;

    expected.next = ns_commit_changes(commit, mount, &expected.left);
    ((struct test_mount *)mount)->prepares++;
    ns_tree_diff(ns_commit_before(commit)->root, ns_commit_version(commit)->root, expect_change,
                 &expected);
    assert_int_equal(expected.left, 0);
    return 0;
}

static void test_changes_of_one_operation(void **state)
{
    static const struct ns_mount_ops ops = {.name = "three", .prepare = compare_prepare};
    static struct test_mount three;
    const struct ns_perm list = {.id = 5, .rights = NS_PERM_READ};
    struct ns_txn *txn;

    (void)state;
    assert_int_equal(ns_mount_add(store, &three.mount, "/three", &ops), 0);
    put("/three/a/b/c", "1");
    put("/three/a/b/c", "2");
    put("/three/a", "3");
    put("/three/a", NULL);
    txn = begin();
    assert_int_equal(ns_txn_set_perms(txn, "/three", &list, 1), 0);
    assert_int_equal(commit(txn), 0);
    txn = begin();
    assert_int_equal(ns_txn_mkdir(txn, "/three/d"), 0);
    assert_int_equal(commit(txn), 0);
    assert_int_equal(three.prepares, 6);
    txn = begin();
    assert_int_equal(ns_txn_mkdir(txn, "/three/d"), 0); /* it is there */
    assert_int_equal(commit(txn), 0);
    assert_int_equal(three.prepares, 6);
}

static void test_view(void **state)
{
    struct ns_txn *txn;

    (void)state;
    put("/a", "1");
    assert_int_equal(ns_txn_view(store, &ns_identity_stack, &txn), 0);
    put("/a", "2");
    put("/b", "2");
    assert_int_equal(reads(txn, "/a"), 0);
    assert_int_equal(reads(txn, "/b"), -ENOENT);
    assert_int_equal(write_text(txn, "/a", "3"), -EPERM);
    assert_int_equal(txn->observed_count, 0);
    ns_txn_abort(txn);
}

static void test_xenstore_part_has_its_own_alphabet(void **state)
{
    static struct ns_xenstore xenstore;
    struct ns_txn *txn;

    (void)state;
    assert_int_equal(ns_xenstore_add(store, &xenstore), 0);
    txn = begin();
    assert_int_equal(write_text(txn, "/local/domain/0/a@b-c_D", "x"), 0);
    assert_int_equal(write_text(txn, "/local/domain/0/a.b", "x"), -EINVAL);
    assert_non_null(strstr(ns_txn_reason(txn)->text, "below /local"));
    assert_int_equal(write_text(txn, "/locals/a.b", "x"), 0);
    ns_txn_abort(txn);
}

/* ---- watches ---- */

struct test_watch {
    struct ns_watch watch;
    char events[1024];
};

static void note_event(struct ns_watch *watch, const char *path, size_t size)
{
    struct test_watch *test = (struct test_watch *)watch;

    strncat(test->events, path, size);
    strcat(test->events, " ");
}

static void watch_at(struct test_watch *watch, const char *path, const struct ns_identity *who)
{
    *watch = (struct test_watch){.watch = {.fire = note_event, .who = who}};
    assert_int_equal(ns_watch_add(store, &watch->watch, path), 0);
}

static void expect_events(struct test_watch *watch, const char *events)
{
    assert_string_equal(watch->events, events);
    watch->events[0] = '\0';
}

static void test_watches(void **state)
{
    struct test_watch on_root, on_dir, on_leaf, absent_one, of_alice;
    struct ns_perm secret = {0, NS_PERM_NONE, 0};
    struct ns_txn *txn;

    (void)state;
    watch_at(&on_root, "/", &root);
    watch_at(&on_dir, "/v/d", &root);
    watch_at(&on_leaf, "/v/d/leaf", &root);
    watch_at(&absent_one, "/v/none", &root);
    watch_at(&of_alice, "/v", &alice);

    put("/v/d/leaf", "1"); /* one event, none for the ancestors made on the way */
    expect_events(&on_root, "/v/d/leaf ");
    expect_events(&on_dir, "/v/d/leaf ");
    expect_events(&on_leaf, "/v/d/leaf ");
    expect_events(&absent_one, "");
    expect_events(&of_alice, "/v/d/leaf ");

    txn = begin();
    assert_int_equal(write_text(txn, "/v/d/b", "1"), 0);
    assert_int_equal(write_text(txn, "/v/d/a", "1"), 0);
    assert_int_equal(write_text(txn, "/v/d/gone", "1"), 0);
    assert_int_equal(ns_txn_remove(txn, "/v/d/gone"), 0);
    assert_int_equal(ns_txn_mkdir(txn, "/v/d"), 0);
    assert_int_equal(commit(txn), 0);
    expect_events(&on_dir, "/v/d/b /v/d/a ");
    expect_events(&on_leaf, "");

    txn = begin();
    assert_int_equal(ns_txn_set_perms(txn, "/v/d", &secret, 1), 0);
    assert_int_equal(ns_txn_set_perms(txn, "/v/d/a", &secret, 1), 0);
    assert_int_equal(commit(txn), 0);
    of_alice.events[0] = '\0';
    put("/v/d/a", "2"); /* neither it nor its parent can be read by alice */
    expect_events(&of_alice, "");
    expect_events(&on_dir, "/v/d /v/d/a /v/d/a ");

    on_root.events[0] = '\0';
    put("/v/d", NULL);
    expect_events(&on_root, "/v/d ");
    expect_events(&on_dir, "/v/d ");
    expect_events(&on_leaf, "/v/d/leaf ");

    /* removed and made again in one transaction: what was below is gone */
    put("/v/d/leaf", "1");
    on_root.events[0] = on_dir.events[0] = on_leaf.events[0] = '\0';
    txn = begin();
    assert_int_equal(ns_txn_remove(txn, "/v/d"), 0);
    assert_int_equal(write_text(txn, "/v/d/other", "1"), 0);
    assert_int_equal(commit(txn), 0);
    expect_events(&on_root, "/v/d /v/d/other ");
    expect_events(&on_leaf, "/v/d/leaf ");

    ns_watch_remove(store, &on_root.watch);
    ns_watch_remove(store, &on_dir.watch);
    ns_watch_remove(store, &on_leaf.watch);
    ns_watch_remove(store, &absent_one.watch);
    ns_watch_remove(store, &of_alice.watch);
    put("/v/d", "1");
    expect_events(&on_root, "");
}

/* A path that was found legal is remembered, with its mount. */
static void a_path_is_judged_by_what_hangs_there_now(void **state)
{
    static const struct ns_mount_ops ops = {.name = "xenstore",
                                            .authority = &ns_authority_xenstore};
    static struct ns_mount mount;

    (void)state;
    assert_int_equal(ns_store_path_check(store, "/judged/a.b", 11, NULL), 0);
    assert_int_equal(ns_mount_add(store, &mount, "/judged", &ops), 0);
    assert_int_equal(ns_store_path_check(store, "/judged/a.b", 11, NULL), -EINVAL);
    assert_int_equal(ns_store_path_check(store, "/judged/a", 9, NULL), 0);
    assert_ptr_equal(ns_mount_find(store, "/judged/a", 9), &mount);
    assert_int_equal(ns_store_path_check(store, "/judged/a/", 10, NULL), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_path_is_judged_by_what_hangs_there_now),
        cmocka_unit_test(test_commit_is_visible_at_once_and_whole),
        cmocka_unit_test(test_an_end_in_a_grace_period),
        cmocka_unit_test(test_abort_leaves_nothing),
        cmocka_unit_test(test_snapshot_stays_as_it_was),
        cmocka_unit_test(test_conflict_matrix),
        cmocka_unit_test(test_merge_keeps_both),
        cmocka_unit_test(test_write_skew_is_refused),
        cmocka_unit_test(test_remove),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_permissions),
        cmocka_unit_test(test_refusals_are_observed),
        cmocka_unit_test(test_a_change_without_memory_did_not_happen),
        cmocka_unit_test(test_mounts),
        cmocka_unit_test(test_listeners),
        cmocka_unit_test(test_changes_of_one_operation),
        cmocka_unit_test(test_view),
        cmocka_unit_test(test_xenstore_part_has_its_own_alphabet),
        cmocka_unit_test(test_watches),
    };
    const struct CMUnitTest memory[] = {
        cmocka_unit_test(test_old_transactions_end_when_memory_does),
        cmocka_unit_test(test_one_end_is_enough),
    };
    int failed = cmocka_run_group_tests_name("store", tests, setup, teardown);

    return failed + cmocka_run_group_tests_name("store memory", memory, NULL, NULL);
}
