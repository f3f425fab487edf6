/* SPDX-License-Identifier: BSD-3-Clause */
/* /route in a real store: what is refused and why, what the table holds, who is told. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "flows/route_p.h"
#include "nameserv/anchor.h"
#include "nameserv/stats.h"
#include "tests/unit/seed.h"

static const struct ns_identity root = {.privileged = true};
static struct ns_store *store;
static struct links_mount *links;
static struct routes *routes;
static struct ns_reason reason; /* of the last commit */

static int setup(void **state)
{
    struct ns_store_options options = {.lcores = 1};

    (void)state;
    return ns_store_new(&options, &store) != 0 || links_new(store, &links) != 0 ||
           routes_new(store, links, &routes) != 0;
}

static int teardown(void **state)
{
    (void)state;
    routes_free(routes);
    ns_store_free(store); /* frees what still waits, which belongs to the routes */
    links_free(links);
    return 0;
}

/* ---- helpers ---- */

static struct ns_txn *begin(void)
{
    struct ns_txn *txn;

    assert_int_equal(ns_txn_begin(store, &root, &txn), 0);
    return txn;
}

static void set(struct ns_txn *txn, const char *path, const char *value)
{
    assert_int_equal(value == NULL ? ns_txn_remove(txn, path)
                                   : ns_txn_write(txn, path, value, strlen(value)),
                     0);
}

static int commit(struct ns_txn *txn)
{
    return ns_txn_commit(txn, NULL, &reason);
}

static int try(const char *path, const char *value)
{
    struct ns_txn *txn = begin();

    set(txn, path, value);
    return commit(txn);
}

static void put(const char *path, const char *value)
{
    if (try(path, value) != 0)
        fail_msg("%s = %s: %s", path, value, reason.text);
}

static const struct route_table *table(void)
{
    return route_table_of(ns_store_version(store), routes_slot(routes));
}

/* What a look-up finds, as text; "" for nothing. */
static const char *found(const char *address)
{
    static char text[96];
    const struct route *route;
    rte_be32_t parsed;

    assert_int_equal(link_parse_ipv4(address, strlen(address), &parsed), 0);
    route = route_lookup(table(), 0, parsed);
    text[0] = 0;
    if (route != NULL)
        route_describe(links, route, text, sizeof(text));
    return text;
}

static void assert_refused(const char *path, const char *value, const char *sentence)
{
    uint64_t before = ns_store_version(store)->number;

    assert_int_not_equal(try(path, value), 0);
    assert_string_equal(reason.path, path);
    if (strstr(reason.text, sentence) == NULL)
        fail_msg("%s = %s is refused with '%s' instead of '%s'", path, value, reason.text,
                 sentence);
    assert_int_equal(ns_store_version(store)->number, before);
}

static struct ns_anchor *anchor(const char *path)
{
    struct ns_anchor *made;

    assert_int_equal(ns_anchor_get(store, path, NULL, NULL, NULL, &made), 0);
    ns_anchor_pin(made);
    return made;
}

/* Was the name told of the newest commit? */
static bool told(const struct ns_anchor *anchor)
{
    return ns_anchor_version(anchor) == ns_store_version(store)->number;
}

static void iface(const char *name, const char *address, const char *length)
{
    char path[80];

    snprintf(path, sizeof(path), "/iface/%s/address/%s", name, address);
    put(path, length);
}

/* ---- names and values ---- */

static void test_mistakes(void **state)
{
    static const struct {
        const char *path, *value, *sentence;
    } mistakes[] = {
        {"/route", "x", "its value is empty"},
        {"/route/10.0.0", "", "\"10.0.0\" is not an IPv4 address"},
        {"/route/010.0.0.0", "", "is not an IPv4 address"},
        {"/route/256.0.0.0/8", "blackhole", "is not an IPv4 address"},
        {"/route/10.0.0.0", "blackhole", "/route/10.0.0.0/24"},
        {"/route/10.0.0.0/33", "blackhole",
         "'33' is not a prefix length; it must be a number from 0 to 32"},
        {"/route/10.0.0.0/08", "blackhole", "'08' is not a prefix length"},
        {"/route/10.0.0.0/x", "blackhole", "'x' is not a prefix length"},
        {"/route/10.0.0.5/24", "blackhole",
         "10.0.0.5/24 has host bits set; 10.0.0.0/24 is the prefix"},
        {"/route/1.0.0.0/0", "blackhole", "1.0.0.0/0 has host bits set; 0.0.0.0/0 is the prefix"},
        {"/route/12.0.0.0/8/metric", "5", "no names below a route"},
        {"/route/12.0.0.0/8/a/b/c", "", "no names below a route"},
        {"/route/10.0.0.0/8", "",
         "a route needs a value: 'via ADDR', 'dev IFACE', 'blackhole' or 'reject'"},
        {"/route/10.0.0.0/8", "  ", "a route needs a value"},
        {"/route/10.0.0.0/8", "unreachable", "'unreachable' is no kind of route"},
        {"/route/10.0.0.0/8", "local", "'local' is no kind of route"},
        {"/route/10.0.0.0/8", "via", "'via' needs the address of the next hop"},
        {"/route/10.0.0.0/8", "via 10.0.0", "'10.0.0' is not an IPv4 address"},
        {"/route/10.0.0.0/8", "via 0.0.0.0", "0.0.0.0 can't be a next hop"},
        {"/route/10.0.0.0/8", "via 224.0.0.5", "224.0.0.5 can't be a next hop"},
        {"/route/10.0.0.0/8", "via 255.255.255.255", "can't be a next hop"},
        {"/route/10.0.0.0/8", "via 1.1.1.1 dev p0", "'dev' after 'via' is too much"},
        {"/route/10.0.0.0/8", "dev", "'dev' needs the name of the interface"},
        {"/route/10.0.0.0/8", "dev br/0", "'br/0' is not a name for an interface"},
        {"/route/10.0.0.0/8", "dev a-name-of-more-than-31-characters-",
         "is not a name for an interface"},
        {"/route/10.0.0.0/8", "dev p0 p1", "'p1' after 'dev' is too much"},
        {"/route/10.0.0.0/8", "blackhole now", "'now' after 'blackhole' is too much"},
        {"/route/10.0.0.0/8", "reject\033[2J", "'reject?[2J' is no kind of route"},
    };

    (void)state;
    put("/route/12.0.0.0/8", "reject");
    for (size_t i = 0; i < RTE_DIM(mistakes); i++) {
        /* the first name on the way that is wrong is the one that is named */
        int rc = try(mistakes[i].path, mistakes[i].value);

        assert_int_equal(rc, -EINVAL);
        assert_memory_equal(reason.path, mistakes[i].path, strlen(reason.path));
        if (strstr(reason.text, mistakes[i].sentence) == NULL)
            fail_msg("%s = %s: '%s' is not '%s'", mistakes[i].path, mistakes[i].value, reason.text,
                     mistakes[i].sentence);
    }
    assert_int_equal(try("/route", NULL), -EPERM);
    assert_int_equal(route_table_count(table()), 1);
}

static void test_directories(void **state)
{
    struct ns_txn *txn = begin();

    (void)state;
    assert_int_equal(ns_txn_mkdir(txn, "/route/10.0.0.0"), 0);
    assert_int_equal(commit(txn), 0);
    assert_int_equal(route_table_count(table()), 0);
    put("/route/10.0.0.0/8", "blackhole");
    put("/route/10.0.0.0/16", " reject ");
    assert_int_equal(route_table_count(table()), 2);
    assert_string_equal(found("10.0.0.1"), "10.0.0.0/16 reject");
    assert_string_equal(found("10.1.0.1"), "10.0.0.0/8 blackhole");
    assert_string_equal(found("11.0.0.1"), "");
    put("/route/10.0.0.0", NULL);
    assert_int_equal(route_table_count(table()), 0);
}

static void test_kinds(void **state)
{
    rte_be32_t prefix;
    uint8_t length;

    (void)state;
    put("/route/0.0.0.0/0", "via 10.0.0.1");
    put("/route/10.9.0.0/16", "dev later0");
    assert_string_equal(found("8.8.8.8"), "0.0.0.0/0 via 10.0.0.1");
    assert_string_equal(found("10.9.9.9"), "10.9.0.0/16 dev later0");
    assert_int_equal(route_lookup(table(), 0, rte_cpu_to_be_32(0x0a090909))->iface,
                     links_iface_id(links, "later0"));
    assert_int_equal(route_parse_prefix("10.9.0.0/16", 11, &prefix, &length), 0);
    assert_int_equal(route_exact(table(), 0, prefix, length)->version,
                     ns_store_version(store)->number);
    assert_null(route_exact(table(), 0, prefix, 17));
    assert_null(route_lookup(table(), 1, prefix));
    assert_int_equal(route_parse_prefix("10.9.0.7", 8, &prefix, &length), 0);
    assert_int_equal(length, 32);
    assert_int_equal(route_parse_prefix("10.9.0.7/31", 11, &prefix, &length), -EINVAL);
    assert_int_equal(route_parse_prefix("10.9.0.7/", 9, &prefix, &length), -EINVAL);
}

/* ---- interfaces ---- */

static void test_derived(void **state)
{
    (void)state;
    iface("br0", "10.0.0.1", "24");
    assert_int_equal(route_table_count(table()), 4);
    assert_string_equal(found("10.0.0.5"), "10.0.0.0/24 connected br0");
    assert_string_equal(found("10.0.0.1"), "10.0.0.1/32 local br0");
    assert_string_equal(found("10.0.0.0"), "10.0.0.0/32 broadcast br0");
    assert_string_equal(found("10.0.0.255"), "10.0.0.255/32 broadcast br0");
    iface("br0", "10.0.1.1", "31");
    iface("br0", "10.0.2.1", "32");
    assert_int_equal(route_table_count(table()), 7);
    assert_string_equal(found("10.0.1.0"), "10.0.1.0/31 connected br0");
    assert_string_equal(found("10.0.2.1"), "10.0.2.1/32 local br0");
    put("/iface/br0/address/10.0.0.1", "25");
    assert_string_equal(found("10.0.0.127"), "10.0.0.127/32 broadcast br0");
    assert_string_equal(found("10.0.0.255"), "");
    put("/iface/br0", NULL);
    assert_int_equal(route_table_count(table()), 0);
}

/* An address of ours stays ours whatever else it is, and the first interface keeps a shared subnet.
 * */
static void test_derived_overlap(void **state)
{
    (void)state;
    iface("b", "10.0.0.1", "24");
    iface("a", "10.0.0.2", "24");
    assert_string_equal(found("10.0.0.9"), "10.0.0.0/24 connected b");
    put("/iface/b", NULL);
    assert_string_equal(found("10.0.0.9"), "10.0.0.0/24 connected a");
    iface("c", "10.0.0.255", "16");
    assert_string_equal(found("10.0.0.255"), "10.0.0.255/32 local c");
}

/* A commit that changes no prefix leaves the table alone. */
static void test_table_stays(void **state)
{
    const struct route_table *before;

    (void)state;
    iface("br0", "10.0.0.1", "24");
    put("/route/20.0.0.0/8", "reject");
    before = table();
    put("/iface/br0/mode", "static");
    put("/route/20.0.0.0/8", "reject");
    put("/elsewhere", "x");
    assert_ptr_equal(table(), before);
    put("/route/20.0.0.0/8", "blackhole");
    assert_ptr_not_equal(table(), before);
}

static void test_configured_wins(void **state)
{
    uint64_t version;

    (void)state;
    iface("br0", "10.0.0.1", "24");
    put("/route/10.0.0.0/24", "reject");
    assert_int_equal(route_table_count(table()), 4);
    assert_string_equal(found("10.0.0.5"), "10.0.0.0/24 reject");
    iface("br0", "10.0.0.2", "24"); /* changes the list beneath */
    assert_string_equal(found("10.0.0.5"), "10.0.0.0/24 reject");
    put("/route/10.0.0.0/24", NULL);
    assert_string_equal(found("10.0.0.5"), "10.0.0.0/24 connected br0");
    version = ns_store_version(store)->number;
    assert_int_equal(route_lookup(table(), 0, rte_cpu_to_be_32(0x0a000005))->version, version);
    put("/route/10.0.0.0/24", "blackhole");
    put("/iface/br0", NULL);
    assert_string_equal(found("10.0.0.5"), "10.0.0.0/24 blackhole");
    put("/route/10.0.0.0/24", NULL);
    assert_string_equal(found("10.0.0.5"), "");
}

/* ---- who is told ---- */

static void test_told(void **state)
{
    struct ns_anchor *none = anchor("/route/0.0.0.0/0"), *eight = anchor("/route/10.0.0.0/8");
    struct ns_anchor *sixteen = anchor("/route/10.1.0.0/16"), *other = anchor("/route/11.0.0.0/8");

    (void)state;
    put("/route/11.0.0.0/8", "reject");
    put("/route/10.0.0.0/8", "reject");
    assert_true(told(none) && told(eight) && !told(other));
    put("/route/10.1.0.0/16", "reject");
    assert_true(!told(none) && told(eight) && told(sixteen) && !told(other));
    put("/route/10.1.0.0/16", "blackhole");
    assert_true(!told(none) && !told(eight) && told(sixteen));
    put("/route/10.1.2.0/24", "blackhole");
    assert_true(!told(eight) && told(sixteen));
    put("/route/10.1.0.0/16", NULL);
    assert_true(!told(eight) && told(sixteen));
    put("/route/10.1.2.3/32", "reject");
    assert_true(!told(eight) && !told(sixteen));
}

/* No entry of a derived prefix's name changes in the tree, and still its name is told. */
static void test_derived_told(void **state)
{
    struct ns_anchor *none = anchor("/route/0.0.0.0/0"), *net = anchor("/route/10.0.0.0/24");
    struct ns_anchor *own = anchor("/route/10.0.0.1/32"), *last = anchor("/route/10.0.0.255/32");

    (void)state;
    iface("br0", "10.0.0.1", "24");
    assert_true(told(none) && told(net) && told(own) && told(last));
    put("/iface/br0/mode", "static");
    assert_true(!told(none) && !told(net) && !told(own));
    iface("br0", "10.0.0.2", "24");
    assert_true(told(net) && !told(none) && !told(own)); /* covers the new 10.0.0.2 */
    put("/iface/br0/address/10.0.0.2", NULL);
    put("/route/10.0.0.0/24", "reject");
    assert_true(told(net) && !told(none));
    put("/iface/br0", NULL);
    assert_true(told(own) && told(last) && !told(net)); /* the configured route is as it was */
}

/* Many new prefixes under one tell it, in one commit; the tree is not concerned by what stays. */
static void test_told_once(void **state)
{
    struct ns_anchor *eight = anchor("/route/10.0.0.0/8"), *nine = anchor("/route/9.0.0.0/8");
    struct ns_txn *txn;
    char path[40];

    (void)state;
    put("/route/10.0.0.0/8", "reject");
    put("/route/9.0.0.0/8", "reject");
    txn = begin();
    for (unsigned i = 0; i < 5000; i++) {
        snprintf(path, sizeof(path), "/route/10.%u.%u.0/24", i / 256, i % 256);
        set(txn, path, "blackhole");
    }
    assert_int_equal(commit(txn), 0);
    assert_true(told(eight) && !told(nine));
    assert_int_equal(route_table_count(table()), 5002);
    assert_string_equal(found("10.3.7.1"), "10.3.7.0/24 blackhole");
}

/* ---- next hops ---- */

static void test_own_next_hop(void **state)
{
    (void)state;
    iface("br0", "10.0.0.1", "24");
    assert_refused("/route/20.0.0.0/8", "via 10.0.0.1",
                   "10.0.0.1 is an address of the stack itself");
    assert_refused("/route/20.0.0.0/8", "via 10.0.0.255", "10.0.0.255 is a broadcast address");
    assert_refused("/route/10.0.0.0/24", "via 10.0.0.2", "10.0.0.0/24 hides the subnet");
    put("/route/20.0.0.0/8", "via 10.0.0.2");
    assert_string_equal(found("20.0.0.1"), "20.0.0.0/8 via 10.0.0.2");
}

/* Judged together with the rest of the transaction, not with what was before. */
static void test_own_next_hop_merged(void **state)
{
    struct ns_txn *txn = begin();

    (void)state;
    set(txn, "/route/20.0.0.0/8", "via 10.0.0.1");
    set(txn, "/iface/br0/address/10.0.0.1", "24");
    assert_int_equal(commit(txn), -EINVAL);
    assert_string_equal(reason.path, "/route/20.0.0.0/8");
    assert_int_equal(route_table_count(table()), 0);
    iface("br0", "10.0.0.1", "24");
    txn = begin();
    set(txn, "/route/20.0.0.0/8", "via 10.0.0.1");
    set(txn, "/iface/br0/address/10.0.0.1", NULL);
    set(txn, "/iface/br0/address/10.0.0.2", "24");
    assert_int_equal(commit(txn), 0);
}

static void test_circle(void **state)
{
    (void)state;
    put("/route/0.0.0.0/0",
        "via 40.0.0.1"); /* waits for its interface, and what needs it waits as well */
    put("/route/10.0.0.0/8", "via 20.0.0.1");
    assert_refused("/route/20.0.0.0/8", "via 10.0.0.1",
                   "in a circle (10.0.0.1 by 10.0.0.0/8, 20.0.0.1 by 20.0.0.0/8)");
    put("/route/20.0.0.0/8", "via 30.0.0.1");
    assert_refused("/route/30.0.0.0/8", "via 10.0.0.1", "in a circle");
    put("/route/10.0.0.1/32", "dev br0");
    put("/route/30.0.0.0/8", "via 10.0.0.1");
}

/* A circle of one, unless something longer leads to the next hop; a default route waits. */
static void test_covers_its_next_hop(void **state)
{
    struct ns_txn *txn;

    (void)state;
    put("/route/0.0.0.0/0", "via 10.0.0.2");
    assert_refused("/route/10.0.0.0/8", "via 10.0.0.2",
                   "by the way of itself (10.0.0.2 by 10.0.0.0/8); it must lie in the subnet");
    txn = begin(); /* the interface comes along */
    set(txn, "/route/10.0.0.0/8", "via 10.0.0.2");
    set(txn, "/iface/br0/address/10.0.0.1", "24");
    assert_int_equal(commit(txn), 0);
    put("/route/20.0.0.1/32", "via 10.0.0.2"); /* as good as an interface */
    put("/route/20.0.0.0/8", "via 20.0.0.1");
    txn = begin(); /* it goes: what is there waits, what is set then is judged */
    set(txn, "/iface/br0/address/10.0.0.1", NULL);
    assert_int_equal(commit(txn), 0);
    assert_string_equal(found("10.1.0.1"), "10.0.0.0/8 via 10.0.0.2");
    assert_refused("/route/30.0.0.0/8", "via 10.0.0.2", "by the way of itself");
    iface("br0", "10.0.0.1", "24");
    put("/route/30.0.0.0/8", "via 10.0.0.2");
}

/* A journal may hold a route whose interface went after it. */
static void test_restored_is_not_judged(void **state)
{
    struct ns_perm owner = {0};
    struct ns_perms *perms = ns_perms_new(&owner, 1);
    struct ns_txn *txn = begin();
    static const char path[] = "/route/10.0.0.0/8";

    (void)state;
    assert_int_equal(ns_txn_load(txn, "/route/10.0.0.0", strlen("/route/10.0.0.0"), "", 0, perms),
                     0);
    assert_int_equal(ns_txn_load(txn, path, strlen(path), "via 10.0.0.2", 12, perms), 0);
    assert_int_equal(commit(txn), 0);
    ns_perms_put(perms);
    assert_string_equal(found("10.1.0.1"), "10.0.0.0/8 via 10.0.0.2");
}

static void test_depth(void **state)
{
    char path[32], value[32];

    (void)state;
    put("/route/108.0.0.0/8", "dev br0");
    for (int i = 107; i >= 101; i--) {
        snprintf(path, sizeof(path), "/route/%d.0.0.0/8", i);
        snprintf(value, sizeof(value), "via %d.0.0.1", i + 1);
        put(path, value);
    }
    put("/route/100.0.0.0/8", "via 101.0.0.1"); /* its next hop takes 8 look-ups */
    assert_refused("/route/99.0.0.0/8", "via 100.0.0.1",
                   "takes more than 8 look-ups (100.0.0.1 by 100.0.0.0/8, ");
}

/* All mistakes of a transaction are found, and nothing of it stays. */
static void count_reason(const struct ns_reason *found_reason, void *arg)
{
    assert_non_null(strstr(found_reason->text, "of the stack itself"));
    ++*(int *)arg;
}

static void test_refused_whole(void **state)
{
    struct ns_txn *txn;
    struct ns_anchor *none = anchor("/route/0.0.0.0/0");
    char path[40], value[40];
    int reasons = 0;

    (void)state;
    iface("br0", "10.0.0.1", "24");
    iface("br0", "10.0.1.1", "24");
    for (int judge = 0; judge < 2; judge++) {
        txn = begin();
        for (unsigned i = 0; i < 1000; i++) {
            snprintf(path, sizeof(path), "/route/20.%u.%u.0/24", i / 256, i % 256);
            snprintf(value, sizeof(value), "via 10.0.%u.%u", i % 2,
                     i == 500 || i == 501 ? 1 : 2 + i % 200);
            set(txn, path, value);
        }
        if (judge)
            assert_int_equal(ns_txn_judge(txn, count_reason, &reasons), -EINVAL);
        else
            assert_int_equal(commit(txn), -EINVAL);
        assert_int_equal(route_table_count(table()), 8);
    }
    assert_int_equal(reasons, 2);
    assert_string_equal(found("20.0.0.1"), "");
    put("/route/20.0.0.0/16", "via 10.0.0.2");
    assert_true(told(none));
    assert_true(prefix_trie_check(&table()->trie));
}

/* ---- against a model ---- */

enum { MODEL_PREFIXES = 64, MODEL_ADDRESSES = 6, MODEL_COMMITS = 4000 };

/* What stands in the tree; the table is derived from it anew for each comparison. */
static struct {
    int kind[MODEL_PREFIXES];        /* -1: no route */
    uint8_t length[MODEL_ADDRESSES]; /* 0: no address */
} model;

static void model_prefix(unsigned i, rte_be32_t *prefix, uint8_t *length)
{
    static const uint8_t lengths[] = {8, 24, 25, 30, 31, 32, 0, 16};

    *length = lengths[i % RTE_DIM(lengths)];
    *prefix = rte_cpu_to_be_32(0x0a000000 + (i / RTE_DIM(lengths)) * 0x40) & route_mask(*length);
}

static rte_be32_t model_address(unsigned i)
{
    return rte_cpu_to_be_32(0x0a000000 + i * 0x2f + 1);
}

static int model_kind(rte_be32_t prefix, uint8_t length)
{
    int best = -1;

    for (unsigned i = 0; i < MODEL_PREFIXES; i++) {
        rte_be32_t other;
        uint8_t other_length;

        model_prefix(i, &other, &other_length);
        if (model.kind[i] >= 0 && other == prefix && other_length == length)
            return model.kind[i];
    }
    for (unsigned i = 0; i < MODEL_ADDRESSES; i++) {
        uint8_t bits = model.length[i];
        rte_be32_t own = model_address(i), net = own & route_mask(bits);

        if (bits == 0)
            continue;
        if (length == 32 && prefix == own)
            return ROUTE_LOCAL;
        if (length == 32 && bits < 31 && (prefix == net || prefix == (own | ~route_mask(bits))))
            best = ROUTE_BROADCAST;
        if (best < 0 && length == bits && prefix == net)
            best = ROUTE_CONNECTED;
    }
    return best;
}

/* The longest prefix of the address that the model has. */
static void compare_lookup(rte_be32_t address)
{
    const struct route *route = route_lookup(table(), 0, address);

    for (int length = 32; length >= 0; length--) {
        int kind = model_kind(address & route_mask((uint8_t)length), (uint8_t)length);

        if (kind < 0)
            continue;
        assert_non_null(route);
        assert_int_equal(route->kind, kind);
        assert_int_equal(route->length, length);
        return;
    }
    assert_null(route);
}

static void change_route(struct ns_txn *txn, unsigned i)
{
    static const char *const values[] = {[ROUTE_VIA] = "via 192.0.2.1",
                                         [ROUTE_DEV] = "dev p0",
                                         [ROUTE_BLACKHOLE] = "blackhole",
                                         [ROUTE_REJECT] = "reject"};
    int kind = (int)seed_below(8) - 4;
    rte_be32_t prefix;
    uint8_t length;
    char path[32];

    model_prefix(i, &prefix, &length);
    route_path(prefix, length, path, sizeof(path));
    if (kind >= 0)
        set(txn, path, values[kind]);
    else if (model.kind[i] >= 0)
        set(txn, path, NULL);
    for (unsigned j = 0; j < MODEL_PREFIXES;
         j++) { /* some prefixes are in the list more than once */
        rte_be32_t other;
        uint8_t other_length;

        model_prefix(j, &other, &other_length);
        if (other == prefix && other_length == length)
            model.kind[j] = kind < 0 ? -1 : kind;
    }
}

static void change_address(struct ns_txn *txn, unsigned i)
{
    static const uint8_t lengths[] = {0, 8, 24, 25, 30, 31, 32};
    uint8_t length = lengths[seed_below(RTE_DIM(lengths))];
    char path[64], address[16], value[4];

    snprintf(path, sizeof(path), "/iface/i%u/address/%s", i % 2,
             link_format_ipv4(model_address(i), address));
    snprintf(value, sizeof(value), "%u", length);
    if (length > 0)
        set(txn, path, value);
    else if (model.length[i] > 0)
        set(txn, path, NULL);
    model.length[i] = length;
}

static void test_model(void **state)
{
    unsigned accepted = 0;

    (void)state;
    seed_begin();
    memset(&model.kind, -1, sizeof(model.kind));
    memset(&model.length, 0, sizeof(model.length));
    for (unsigned round = 0; round < MODEL_COMMITS * seed_scale(); round++) {
        typeof(model) before = model;
        struct ns_txn *txn = begin();

        for (unsigned i = 1 + seed_below(4); i > 0; i--)
            seed_below(3) != 0 ? change_route(txn, seed_below(MODEL_PREFIXES))
                               : change_address(txn, seed_below(MODEL_ADDRESSES));
        if (commit(txn) == 0)
            accepted++;
        else
            model = before;
        for (unsigned i = 0; i < 24; i++)
            compare_lookup(rte_cpu_to_be_32(0x0a000000 + seed_below(0x240)));
        compare_lookup((rte_be32_t)seed_next());
        assert_true(prefix_trie_check(&table()->trie));
        if (round % 50 == 0)
            ns_store_drain(store);
    }
    assert_in_range(accepted, MODEL_COMMITS / 2, UINT32_MAX);
}

/* ---- /stats ---- */

static char answered[128];
static int answered_error;

static void take_answer(struct ns_query *query, int error, const void *data, size_t size)
{
    (void)query;
    answered_error = error;
    snprintf(answered, sizeof(answered), "%.*s", (int)size, (const char *)data);
}

static const char *ask(const char *path)
{
    struct ns_mount *mount = ns_mount_find(store, path, strlen(path));
    struct ns_query query = {.store = store, .path = path, .who = &root, .answer = take_answer};

    assert_non_null(mount->ops->read);
    mount->ops->read(mount, &query);
    return answered;
}

static void test_stats(void **state)
{
    struct ns_stats *stats;

    (void)state;
    assert_int_equal(ns_stats_new(store, &stats), 0);
    assert_int_equal(routes_stats_add(routes, stats), 0);
    iface("br0", "10.0.0.1", "24");
    put("/route/20.0.0.0/8", "via 10.0.0.2");
    assert_string_equal(ask("/stats/routes/count"), "5");
    assert_string_equal(ask("/stats/routes/lookup/20.1.2.3"), "20.0.0.0/8 via 10.0.0.2");
    assert_string_equal(ask("/stats/routes/lookup/10.0.0.9"), "10.0.0.0/24 connected br0");
    assert_int_equal(answered_error, 0);
    assert_string_equal(ask("/stats/routes/lookup/30.0.0.1"), "no route covers 30.0.0.1");
    assert_int_equal(answered_error, -ENOENT);
    ask("/stats/routes/lookup/nonsense");
    assert_int_equal(answered_error, -EINVAL);
    ask("/stats/routes/other");
    assert_int_equal(answered_error, -ENOENT);
    ns_stats_free(stats);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_mistakes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_directories, setup, teardown),
        cmocka_unit_test_setup_teardown(test_kinds, setup, teardown),
        cmocka_unit_test_setup_teardown(test_derived, setup, teardown),
        cmocka_unit_test_setup_teardown(test_derived_overlap, setup, teardown),
        cmocka_unit_test_setup_teardown(test_table_stays, setup, teardown),
        cmocka_unit_test_setup_teardown(test_configured_wins, setup, teardown),
        cmocka_unit_test_setup_teardown(test_told, setup, teardown),
        cmocka_unit_test_setup_teardown(test_derived_told, setup, teardown),
        cmocka_unit_test_setup_teardown(test_told_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_own_next_hop, setup, teardown),
        cmocka_unit_test_setup_teardown(test_own_next_hop_merged, setup, teardown),
        cmocka_unit_test_setup_teardown(test_circle, setup, teardown),
        cmocka_unit_test_setup_teardown(test_covers_its_next_hop, setup, teardown),
        cmocka_unit_test_setup_teardown(test_restored_is_not_judged, setup, teardown),
        cmocka_unit_test_setup_teardown(test_depth, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(test_model, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stats, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
