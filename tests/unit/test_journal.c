/* SPDX-License-Identifier: BSD-3-Clause */
/* The journal: what a store had comes back, whatever became of it meanwhile. Runs with the journal's own thread
 * (pthread_create() is in journal_queue.c), so it is one of those for ThreadSanitizer. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "nameserv/account.h"
#include "nameserv/domain.h"
#include "nameserv/journal_p.h"

static char folder[] = "/tmp/kedge-journal-XXXXXX", path[64];
static struct ns_reason reason;

static const struct ns_identity root = {.privileged = true};

static int setup(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(path, sizeof(path), "%s/journal", folder);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

/* A store with its journal. */
struct life {
    struct ns_loop *loop;
    struct ns_store *store;
    struct ns_journal *journal;
    size_t names;
};

static void begin(struct life *life, enum ns_journal_sync sync)
{
    const struct ns_store_options none = {.lcores = 0};
    const struct ns_journal_options options = {.path = path, .sync = sync};

    life->loop = ns_loop_new();
    assert_non_null(life->loop);
    assert_int_equal(ns_store_new(&none, &life->store), 0);
    assert_int_equal(ns_journal_new(life->store, life->loop, &options, &reason, &life->journal), 0);
    assert_int_equal(ns_journal_load(life->journal, &life->names, &reason), 0);
    assert_int_equal(ns_journal_start(life->journal), 0);
}

static void end(struct life *life)
{
    assert_true(ns_journal_free(life->journal, 10000));
    ns_store_free(life->store);
    ns_loop_free(life->loop);
}

static void change(struct life *life, const char *name, const char *value)
{
    struct ns_txn *txn;

    assert_int_equal(ns_txn_begin(life->store, &root, &txn), 0);
    if (value == NULL)
        assert_int_equal(ns_txn_remove(txn, name), 0);
    else
        assert_int_equal(ns_txn_write(txn, name, value, strlen(value)), 0);
    assert_int_equal(ns_txn_commit(txn, NULL, NULL), 0);
}

/* Everything in a version as one text. */
struct text {
    char *bytes;
    size_t size;
    FILE *stream;
};

static int print_entry(const char *name, size_t name_size, const struct ns_entry *before,
                       const struct ns_entry *after, void *arg)
{
    struct text *text = arg;

    (void)name_size;
    (void)before;
    fprintf(text->stream, "%s=%.*s", name, after->value_size, ns_entry_value(after));
    for (uint32_t i = 0; i < after->perms->count; i++)
        fprintf(text->stream, " %u:%u", after->perms->list[i].rights, after->perms->list[i].id);
    fputc('\n', text->stream);
    return 0;
}

static char *everything(struct life *life)
{
    struct text text = {.bytes = NULL};

    text.stream = open_memstream(&text.bytes, &text.size);
    ns_tree_each(ns_store_version(life->store)->root, print_entry, &text);
    fclose(text.stream);
    return text.bytes;
}

/* End it, begin again, and look whether all is as it was. */
static void restart(struct life *life, enum ns_journal_sync sync)
{
    char *before = everything(life), *after;
    uint64_t number = ns_store_version(life->store)->number;

    end(life);
    begin(life, sync);
    after = everything(life);
    assert_string_equal(after, before);
    assert_true(life->store->number_floor >= number); /* the next commit's is greater */
    free(before);
    free(after);
}

static void test_what_was_comes_back(void **state)
{
    struct life life;

    (void)state;
    begin(&life, NS_JOURNAL_REPLY);
    restart(&life, NS_JOURNAL_SOON);
    change(&life, "/a/b/c", "1");
    change(&life, "/a/b/c/d", "2");
    change(&life, "/a/b-c", "beside");
    change(&life, "/a/b.c", "beside");
    change(&life, "/a/b0", "beside");
    restart(&life, NS_JOURNAL_OFF);
    change(&life, "/a/b", NULL);
    change(&life, "/a/b/again", "");
    restart(&life, NS_JOURNAL_REPLY);
    change(&life, "/a", NULL);
    restart(&life, NS_JOURNAL_REPLY);
    assert_int_equal(life.names, 0);
    end(&life);
}

static void test_permissions_come_back(void **state)
{
    const struct ns_perm list[] = {{12, NS_PERM_NONE, 0}, {NS_PERM_GROUP + 7, NS_PERM_BOTH, 0}};
    struct life life;
    struct ns_txn *txn;

    (void)state;
    begin(&life, NS_JOURNAL_REPLY);
    assert_int_equal(ns_txn_begin(life.store, &root, &txn), 0);
    assert_int_equal(ns_txn_write(txn, "/p/q", "x", 1), 0);
    assert_int_equal(ns_txn_set_perms(txn, "/p/q", list, 2), 0);
    assert_int_equal(ns_txn_set_perms(txn, "/", list, 1), 0);
    assert_int_equal(ns_txn_commit(txn, NULL, NULL), 0);
    restart(&life, NS_JOURNAL_REPLY);
    end(&life);
}

static void test_special_names_keep_their_permissions(void **state)
{
    const struct ns_perm list[] = {{.id = 0, .rights = NS_PERM_NONE},
                                   {.id = 7, .rights = NS_PERM_READ}};
    struct ns_perms *perms = ns_perms_new(list, 2);
    struct ns_domain *domain;
    struct life life;

    (void)state;
    begin(&life, NS_JOURNAL_REPLY);
    ns_special_set_perms(life.store, NS_RELEASE_DOMAIN, perms);
    ns_perms_put(perms);
    assert_int_equal(ns_store_hold(life.store)->commits, 1);
    restart(&life, NS_JOURNAL_REPLY);
    assert_int_equal(ns_special_perms(life.store, NS_RELEASE_DOMAIN)->count, 2);
    assert_int_equal(ns_special_perms(life.store, NS_RELEASE_DOMAIN)->list[1].id, 7);
    assert_int_equal(ns_domain_know(life.store, 7, &domain), 0);
    assert_int_equal(ns_domain_release(life.store, domain), 0);
    restart(&life, NS_JOURNAL_REPLY);
    assert_int_equal(ns_special_perms(life.store, NS_RELEASE_DOMAIN)->count, 1);
    end(&life);
}

static uint32_t limit_of(struct life *life, uint32_t domid, enum ns_quota quota)
{
    return ns_account_get(life->store, &ns_authority_xenstore, domid)->quotas.limit[quota];
}

/* Of new domains, of one, of a user; until the domain is gone. */
static void test_limits_are_kept(void **state)
{
    struct ns_domain *domain;
    struct ns_account *account;
    struct life life;

    (void)state;
    begin(&life, NS_JOURNAL_REPLY);
    account = ns_account_get(life.store, &ns_authority_xenstore, 7);
    ns_quota_set(life.store, &ns_authority_xenstore, account, NS_QUOTA_NODES, 12);
    ns_quota_set(life.store, &ns_authority_xenstore, account, NS_QUOTA_WATCHES, 0);
    ns_quota_set(life.store, &ns_authority_xenstore, NULL, NS_QUOTA_NODES, 99);
    account = ns_account_get(life.store, &ns_authority_plain, 1000);
    ns_quota_set(life.store, &ns_authority_plain, account, NS_QUOTA_NODES, 3);
    assert_int_equal(ns_store_hold(life.store)->commits, 4);
    for (int i = 0; i < 2; i++) {
        restart(&life, NS_JOURNAL_REPLY);
        assert_int_equal(limit_of(&life, 7, NS_QUOTA_NODES), 12);
        assert_int_equal(limit_of(&life, 7, NS_QUOTA_WATCHES), 0);
        assert_int_equal(limit_of(&life, 7, NS_QUOTA_TRANSACTIONS), 10);
        assert_int_equal(limit_of(&life, 8, NS_QUOTA_NODES), 99);
        account = ns_account_get(life.store, &ns_authority_plain, 1000);
        assert_int_equal(account->quotas.limit[NS_QUOTA_NODES], 3);
    }
    assert_int_equal(ns_domain_know(life.store, 7, &domain), 0);
    assert_int_equal(ns_domain_release(life.store, domain), 0);
    restart(&life, NS_JOURNAL_REPLY);
    assert_int_equal(limit_of(&life, 7, NS_QUOTA_NODES), 99);
    assert_int_equal(limit_of(&life, 7, NS_QUOTA_WATCHES), 128);
    end(&life);
}

/* Many random changes of few names: what gathers in one batch is merged, and has to come to the same. */
static void test_batches_come_to_the_same(void **state)
{
    static const char *const names[] = {"/r/a", "/r/a/x", "/r/a/x/y", "/r/a-", "/r/b", "/r"};
    struct life life;
    unsigned seed = 1;

    (void)state;
    begin(&life, NS_JOURNAL_SOON);
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < 2000; i++) {
            const char *name = names[rand_r(&seed) % 6];
            char value[16];

            snprintf(value, sizeof(value), "%d", i);
            change(&life, "/r", "");
            change(&life, "/r/a", "");
            change(&life, "/r/a/x", "");
            change(&life, name, rand_r(&seed) % 3 == 0 ? NULL : value);
        }
        restart(&life, NS_JOURNAL_SOON);
    }
    end(&life);
}

static void test_only_what_waits_is_held(void **state)
{
    const struct ns_hold *hold;
    struct life life;

    (void)state;
    begin(&life, NS_JOURNAL_SOON);
    change(&life, "/h", "1");
    hold = ns_store_hold(life.store);
    assert_int_equal(hold->given, 0);
    assert_int_equal(hold->commits, 0);
    end(&life);
    begin(&life, NS_JOURNAL_REPLY);
    change(&life, "/h", "2");
    hold = ns_store_hold(life.store);
    assert_int_equal(hold->commits, 1);
    assert_true(hold->given > 0);
    assert_int_equal(hold->released, 0);
    assert_int_equal(hold->current, 0);
    end(&life);
}

/* A live update that fails ends the journal and begins it again, on the same store: who waited for the first is let
 * go, and who comes then waits for the second. */
static void test_tickets_go_on_in_another_journal(void **state)
{
    const struct ns_journal_options options = {.path = path, .sync = NS_JOURNAL_REPLY};
    struct ns_hold *hold;
    struct life life;
    uint64_t first;

    (void)state;
    begin(&life, NS_JOURNAL_REPLY);
    change(&life, "/t", "1");
    hold = ns_store_hold(life.store);
    first = hold->given;
    hold->stalled = true; /* so much waits */
    assert_true(ns_journal_free(life.journal, 10000));
    assert_int_equal(hold->released, first);
    assert_false(hold->stalled);
    assert_int_equal(ns_journal_new(life.store, life.loop, &options, &reason, &life.journal), 0);
    assert_int_equal(ns_journal_start(life.journal), 0);
    change(&life, "/t", "2");
    assert_int_equal(hold->given, first + 1);
    assert_int_equal(hold->released, first);
    end(&life);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_was_comes_back),
        cmocka_unit_test(test_permissions_come_back),
        cmocka_unit_test(test_special_names_keep_their_permissions),
        cmocka_unit_test(test_limits_are_kept),
        cmocka_unit_test(test_batches_come_to_the_same),
        cmocka_unit_test(test_only_what_waits_is_held),
        cmocka_unit_test(test_tickets_go_on_in_another_journal),
    };

    return cmocka_run_group_tests_name("journal", tests, setup, teardown);
}
