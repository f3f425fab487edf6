/* SPDX-License-Identifier: BSD-3-Clause */
/* Domains: their names, their death, and what of a dead one the next with its number gets. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "nameserv/domain.h"
#include "nameserv/mount.h"
#include "nameserv/store_p.h"
#include "nameserv/xenstore.h"

static struct ns_store *store;
static struct ns_xenstore xenstore;

static int start(void **state)
{
    struct ns_store_options options = {.lcores = 0};

    (void)state;
    memset(&xenstore, 0, sizeof(xenstore));
    assert_int_equal(ns_store_new(&options, &store), 0);
    assert_int_equal(ns_xenstore_add(store, &xenstore), 0);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    ns_store_free(store);
    return 0;
}

static struct ns_domain *introduce(uint32_t domid)
{
    struct ns_domain *domain;

    assert_int_equal(ns_domain_know(store, domid, &domain), 0);
    ns_domain_introduce(store, domain);
    assert_ptr_equal(ns_domain_find(store, domid), domain);
    return domain;
}

static int write_as(const struct ns_identity *who, const char *path)
{
    struct ns_txn *txn;
    int rc;

    assert_int_equal(ns_txn_begin(store, who, &txn), 0);
    rc = ns_txn_write(txn, path, "x", 1);
    if (rc == 0)
        return ns_txn_commit(txn, NULL, NULL);
    ns_txn_abort(txn);
    return rc;
}

static int read_as(const struct ns_identity *who, const char *path)
{
    const void *value;
    struct ns_txn *txn;
    size_t size;
    int rc;

    assert_int_equal(ns_txn_begin(store, who, &txn), 0);
    rc = ns_txn_read(txn, path, &value, &size);
    ns_txn_abort(txn);
    return rc;
}

static void set_perms(const char *path, const char *payload, size_t size)
{
    struct ns_perm list[NS_PERMS_MAX];
    int count = ns_perms_parse(payload, size, list);
    struct ns_txn *txn;

    assert_true(count > 0);
    assert_int_equal(ns_txn_begin(store, &ns_identity_stack, &txn), 0);
    assert_int_equal(ns_txn_set_perms(txn, path, list, (size_t)count), 0);
    assert_int_equal(ns_txn_commit(txn, NULL, NULL), 0);
}
#define SET_PERMS(path, text) set_perms(path, text, sizeof(text))

#define EXPECT_PERMS(path, text)                                                                \
    do {                                                                                        \
        char buffer[256];                                                                       \
        const struct ns_entry *entry_ =                                                         \
            ns_tree_lookup(ns_store_version(store)->root, path, strlen(path));                  \
        assert_non_null(entry_);                                                                \
        assert_int_equal(ns_perms_format(entry_->perms, buffer, sizeof(buffer)), sizeof(text)); \
        assert_memory_equal(buffer, text, sizeof(text));                                        \
    } while (0)

static void numbers(void **state)
{
    struct ns_domain *domain;

    (void)state;
    assert_int_equal(ns_domain_know(store, NS_DOMIDS, &domain), -ENOENT);
    assert_int_equal(ns_domain_know(store, UINT32_MAX, &domain), -ENOENT);
    assert_int_equal(ns_domain_know(store, NS_DOMIDS - 1, &domain), 0);
    assert_null(ns_domain_find(store, NS_DOMIDS - 1)); /* known, not introduced */
    assert_null(ns_domain_find(store, UINT32_MAX));
    assert_false(domain->who.privileged);
    assert_true(introduce(0)->who.privileged);
}

/* A new name takes its parent's list, and its creator owns it. */
static void what_a_domain_creates_is_its_own(void **state)
{
    const struct ns_identity *guest = &introduce(5)->who;

    (void)state;
    assert_int_equal(write_as(&ns_identity_stack, "/local/domain/5/data"), 0);
    assert_int_equal(write_as(guest, "/local/domain/5/data/x"), -EACCES);
    SET_PERMS("/local/domain/5/data", "b0\0b5");
    assert_int_equal(write_as(guest, "/local/domain/5/data/x/y"), 0);
    EXPECT_PERMS("/local/domain/5/data/x", "b5\0b5");
    EXPECT_PERMS("/local/domain/5/data/x/y", "b5\0b5");
    assert_int_equal(write_as(&ns_identity_stack, "/local/domain/5/data/x/z"), 0);
    EXPECT_PERMS("/local/domain/5/data/x/z", "b5\0b5");
    assert_int_equal(write_as(guest, "/plain"), -EACCES);
}

static void a_death_takes_all_away(void **state)
{
    struct ns_domain *guest = introduce(5);
    const struct ns_entry *root;

    (void)state;
    SET_PERMS("/local", "n0\0b5");
    assert_int_equal(write_as(&guest->who, "/local/mine/deep"), 0);
    assert_int_equal(write_as(&ns_identity_stack, "/local/shared"), 0);
    SET_PERMS("/local/shared", "n0\0r5\0r6");
    assert_int_equal(write_as(&ns_identity_stack, "/by-uid"), 0);
    SET_PERMS("/by-uid", "n5"); /* plain: no domain's */
    assert_int_equal(ns_domain_release(store, guest), 0);
    root = ns_store_version(store)->root;
    assert_null(ns_domain_find(store, 5));
    assert_null(ns_tree_lookup(root, "/local/mine", 11));
    EXPECT_PERMS("/local", "n0");
    EXPECT_PERMS("/local/shared", "n0\0r6");
    EXPECT_PERMS("/by-uid", "n5");
}

/* Permissions may be given to a number before its domain is there, but the next one's are its own. */
static void a_number_used_again(void **state)
{
    struct ns_domain *guest;

    (void)state;
    assert_int_equal(write_as(&ns_identity_stack, "/local/a"), 0);
    SET_PERMS("/local/a", "n0\0r5");
    guest = introduce(5);
    assert_int_equal(read_as(&guest->who, "/local/a"), 0);
    assert_int_equal(ns_domain_release(store, guest), 0);
    assert_int_equal(ns_domain_generation(store, 5), 1);
    guest = introduce(5);
    assert_int_equal(read_as(&guest->who, "/local/a"), -EACCES);
    SET_PERMS("/local/a", "n0\0r5");
    assert_int_equal(read_as(&guest->who, "/local/a"), 0);
    assert_int_equal(ns_domain_release(store, guest), 0);
}

/* What a transaction gives to a domain that dies before its end reaches nobody, now or after a restart, for which
 * generations begin anew. */
static void a_gift_for_the_dead(void **state)
{
    const struct ns_perm list[] = {{.id = 0, .rights = NS_PERM_NONE},
                                   {.id = 5, .rights = NS_PERM_READ}};
    struct ns_domain *guest = introduce(5);
    struct ns_txn *txn;

    (void)state;
    assert_int_equal(write_as(&ns_identity_stack, "/local/a"), 0);
    assert_int_equal(ns_txn_begin(store, &ns_identity_stack, &txn), 0);
    assert_int_equal(ns_txn_set_perms(txn, "/local/a", list, 2), 0);
    assert_int_equal(ns_domain_release(store, guest), 0);
    assert_int_equal(ns_txn_commit(txn, NULL, NULL), -EAGAIN);
    SET_PERMS("/local/a", "n0\0r5");
    assert_int_equal(read_as(&introduce(5)->who, "/local/a"), 0);
}

static void targets(void **state)
{
    struct ns_domain *guest = introduce(5), *stub = introduce(6);

    (void)state;
    assert_int_equal(write_as(&ns_identity_stack, "/local/of5"), 0);
    SET_PERMS("/local/of5", "n5");
    assert_int_equal(read_as(&stub->who, "/local/of5"), -EACCES);
    ns_domain_set_target(stub, guest);
    assert_int_equal(write_as(&stub->who, "/local/of5/made"), 0);
    EXPECT_PERMS("/local/of5/made", "n6");
    assert_int_equal(ns_domain_release(store, guest), 0);
    assert_false(stub->who.has_target);
    introduce(5);
    assert_int_equal(write_as(&ns_identity_stack, "/local/new"), 0);
    SET_PERMS("/local/new", "n5");
    assert_int_equal(read_as(&stub->who, "/local/new"), -EACCES);
}

/* ---- special names ---- */

struct heard {
    struct ns_watch watch;
    char last[64];
    unsigned count;
};

static void hear(struct ns_watch *watch, const char *path, size_t size)
{
    struct heard *heard = (struct heard *)watch;

    assert_true(size < sizeof(heard->last));
    memcpy(heard->last, path, size + 1);
    heard->count++;
}

static void listen_to(struct heard *heard, const struct ns_identity *who, const char *path,
                      unsigned levels)
{
    *heard = (struct heard){.watch = {.fire = hear, .who = who, .levels = levels}};
    assert_int_equal(ns_watch_add(store, &heard->watch, path), 0);
}

static void special_names(void **state)
{
    const struct ns_identity *guest = &introduce(3)->who;
    struct heard introduced, released, numbered, of_five, of_guest, introduced_guest;
    struct ns_domain *five;

    (void)state;
    listen_to(&introduced, &ns_identity_stack, "@introduceDomain", 0);
    listen_to(&introduced_guest, guest, "@introduceDomain", 0);
    listen_to(&released, &ns_identity_stack, "@releaseDomain", 0);
    listen_to(&numbered, &ns_identity_stack, "@releaseDomain", 2);
    listen_to(&of_five, guest, "@releaseDomain/5", 0);
    listen_to(&of_guest, guest, "@releaseDomain", 0);
    five = introduce(5);
    ns_domain_introduce(store, five);
    assert_int_equal(introduced.count, 1);
    assert_int_equal(introduced_guest.count, 0); /* n0 */
    ns_domain_shutdown(store, five);
    ns_domain_shutdown(store, five);
    assert_int_equal(released.count, 1); /* once until it is resumed */
    five->shutdown = false;
    ns_domain_shutdown(store, five);
    assert_int_equal(released.count, 2);
    assert_int_equal(ns_domain_release(store, five), 0);
    assert_int_equal(ns_domain_release(store, introduce(6)), 0);
    assert_int_equal(released.count, 4);
    assert_string_equal(released.last, "@releaseDomain");
    assert_string_equal(numbered.last, "@releaseDomain/6");
    assert_int_equal(of_five.count, 3);
    assert_string_equal(of_five.last, "@releaseDomain/5");
    assert_int_equal(of_guest.count, 4); /* r32757 */
    ns_watch_remove(store, &introduced.watch);
    ns_watch_remove(store, &introduced_guest.watch);
    ns_watch_remove(store, &released.watch);
    ns_watch_remove(store, &numbered.watch);
    ns_watch_remove(store, &of_five.watch);
    ns_watch_remove(store, &of_guest.watch);
}

static void watches_have_a_depth(void **state)
{
    struct heard own, children, all;

    (void)state;
    listen_to(&own, &ns_identity_stack, "/local", 1);
    listen_to(&children, &ns_identity_stack, "/local", 2);
    listen_to(&all, &ns_identity_stack, "/", 0);
    assert_int_equal(write_as(&ns_identity_stack, "/local"), 0);
    assert_int_equal(write_as(&ns_identity_stack, "/local/a"), 0);
    assert_int_equal(write_as(&ns_identity_stack, "/local/a/b"), 0);
    assert_int_equal(own.count, 1);
    assert_int_equal(children.count, 2);
    assert_int_equal(all.count, 3);
    ns_watch_remove(store, &own.watch);
    ns_watch_remove(store, &children.watch);
    ns_watch_remove(store, &all.watch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(numbers, start, stop),
        cmocka_unit_test_setup_teardown(what_a_domain_creates_is_its_own, start, stop),
        cmocka_unit_test_setup_teardown(a_death_takes_all_away, start, stop),
        cmocka_unit_test_setup_teardown(a_number_used_again, start, stop),
        cmocka_unit_test_setup_teardown(a_gift_for_the_dead, start, stop),
        cmocka_unit_test_setup_teardown(targets, start, stop),
        cmocka_unit_test_setup_teardown(special_names, start, stop),
        cmocka_unit_test_setup_teardown(watches_have_a_depth, start, stop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
