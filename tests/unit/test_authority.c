/* SPDX-License-Identifier: BSD-3-Clause */
/* Who may do what in plain and in Xenstore parts. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "nameserv/authority.h"

static struct ns_perms *perms_of(const char *payload, size_t size)
{
    struct ns_perm list[NS_PERMS_MAX];
    int count = ns_perms_parse(payload, size, list);

    assert_true(count > 0);
    return ns_perms_new(list, (size_t)count);
}
#define PERMS(text) perms_of(text, sizeof(text))

static void unix_rights(void **state)
{
    /* owner 1000, others may read; 1001 writes, group 50 both, 1002 nothing, and once more 1001 */
    struct ns_perms *perms = PERMS("r1000\0w1001\0b2147483698\0n1002\0b1001");
    struct ns_identity who = {.uid = 1000, .gid = 1};

    (void)state;
    assert_int_equal(ns_rights(&ns_authority_plain, perms, &who), NS_PERM_BOTH);
    assert_true(ns_owns(&ns_authority_plain, perms, &who));
    who.uid = 1001;
    assert_int_equal(ns_rights(&ns_authority_plain, perms, &who), NS_PERM_WRITE);
    assert_false(ns_owns(&ns_authority_plain, perms, &who));
    who.uid = 1002;
    assert_int_equal(ns_rights(&ns_authority_plain, perms, &who), NS_PERM_NONE);
    who.gid = 50; /* the group's entry comes first */
    assert_int_equal(ns_rights(&ns_authority_plain, perms, &who), NS_PERM_BOTH);
    who.gid = 1;
    who.uid = 50; /* a uid is not a gid */
    assert_int_equal(ns_rights(&ns_authority_plain, perms, &who), NS_PERM_READ);
    who.group_count = 2;
    who.groups[1] = 50;
    assert_int_equal(ns_rights(&ns_authority_plain, perms, &who), NS_PERM_BOTH);
    ns_perms_put(perms);
}

static void a_group_can_own(void **state)
{
    struct ns_perms *perms = PERMS("n2147483698");
    struct ns_identity who = {.uid = 7, .gid = 8};

    (void)state;
    assert_int_equal(ns_rights(&ns_authority_plain, perms, &who), NS_PERM_NONE);
    who.gid = 50;
    assert_int_equal(ns_rights(&ns_authority_plain, perms, &who), NS_PERM_BOTH);
    assert_true(ns_owns(&ns_authority_plain, perms, &who));
    ns_perms_put(perms);
}

static void the_privileged_pass(void **state)
{
    struct ns_perms *perms = PERMS("n5");
    struct ns_identity who = {.uid = 6};

    (void)state;
    assert_int_equal(ns_rights(&ns_authority_plain, perms, &who), NS_PERM_NONE);
    who.privileged = true;
    assert_int_equal(ns_rights(&ns_authority_plain, perms, &who), NS_PERM_BOTH);
    assert_int_equal(ns_rights(&ns_authority_plain, perms, &ns_identity_stack), NS_PERM_BOTH);
    assert_true(ns_owns(&ns_authority_plain, perms, &ns_identity_stack));
    ns_perms_put(perms);
}

/* First match wins, an explicit n takes a default away, and duplicates count for nothing. */
static void domains_have_rights(void **state)
{
    struct ns_perms *perms = PERMS("b5\0n6\0r7\0w7");
    struct ns_identity who = {.kind = NS_DOMAIN, .domain = {.domid = 5}};

    (void)state;
    assert_int_equal(ns_rights(&ns_authority_xenstore, perms, &who), NS_PERM_BOTH);
    assert_true(ns_owns(&ns_authority_xenstore, perms, &who));
    who.domain.domid = 6;
    assert_int_equal(ns_rights(&ns_authority_xenstore, perms, &who), NS_PERM_NONE);
    who.domain.domid = 7;
    assert_int_equal(ns_rights(&ns_authority_xenstore, perms, &who), NS_PERM_READ);
    who.domain.domid = 8;
    assert_int_equal(ns_rights(&ns_authority_xenstore, perms, &who), NS_PERM_BOTH);
    assert_false(ns_owns(&ns_authority_xenstore, perms, &who));
    ns_perms_put(perms);
}

static void a_target_counts_too(void **state)
{
    struct ns_perms *perms = PERMS("n5\0r6");
    struct ns_identity who = {.kind = NS_DOMAIN, .domain = {.domid = 9}, .target = {.domid = 5}};

    (void)state;
    assert_int_equal(ns_rights(&ns_authority_xenstore, perms, &who), NS_PERM_NONE);
    who.has_target = true;
    assert_int_equal(ns_rights(&ns_authority_xenstore, perms, &who), NS_PERM_BOTH);
    assert_true(ns_owns(&ns_authority_xenstore, perms, &who));
    who.target.domid = 6;
    assert_int_equal(ns_rights(&ns_authority_xenstore, perms, &who), NS_PERM_READ);
    ns_perms_put(perms);
}

/* The number alone is nothing: XSA-322. */
static void another_generation_is_another_domain(void **state)
{
    struct ns_perms *perms = PERMS("n5\0r6");
    struct ns_identity who = {.kind = NS_DOMAIN, .domain = {.domid = 5, .generation = 1}};

    (void)state;
    assert_int_equal(ns_rights(&ns_authority_xenstore, perms, &who), NS_PERM_NONE);
    assert_false(ns_owns(&ns_authority_xenstore, perms, &who));
    who.domain.domid = 6;
    assert_int_equal(ns_rights(&ns_authority_xenstore, perms, &who), NS_PERM_NONE);
    ns_perms_put(perms);
}

static void any_domain_is_everybody_and_no_owner(void **state)
{
    struct ns_perms *perms = PERMS("n0\0r32757"), *owned = PERMS("n32757");
    struct ns_identity who = {.kind = NS_DOMAIN, .domain = {.domid = 5}};

    (void)state;
    assert_int_equal(ns_rights(&ns_authority_xenstore, perms, &who), NS_PERM_READ);
    assert_int_equal(ns_rights(&ns_authority_xenstore, owned, &who), NS_PERM_NONE);
    ns_perms_put(perms);
    ns_perms_put(owned);
}

/* A uid is not a domid, and a domid no uid. */
static void strangers(void **state)
{
    struct ns_perms *perms = PERMS("r5\0b6");
    struct ns_identity user = {.uid = 5}, domain = {.kind = NS_DOMAIN, .domain = {.domid = 5}};
    struct ns_perm owner = {.id = 0};

    (void)state;
    assert_int_equal(ns_rights(&ns_authority_xenstore, perms, &user), NS_PERM_READ);
    assert_false(ns_owns(&ns_authority_xenstore, perms, &user));
    assert_int_equal(ns_authority_xenstore.own(&user, &owner), -EACCES);
    assert_int_equal(ns_rights(&ns_authority_plain, perms, &domain), NS_PERM_NONE);
    assert_false(ns_owns(&ns_authority_plain, perms, &domain));
    assert_int_equal(ns_authority_plain.own(&domain, &owner), -EACCES);
    ns_perms_put(perms);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unix_rights),
        cmocka_unit_test(a_group_can_own),
        cmocka_unit_test(the_privileged_pass),
        cmocka_unit_test(domains_have_rights),
        cmocka_unit_test(a_target_counts_too),
        cmocka_unit_test(another_generation_is_another_domain),
        cmocka_unit_test(any_domain_is_everybody_and_no_owner),
        cmocka_unit_test(strangers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
