/* SPDX-License-Identifier: BSD-3-Clause */
/* /flow: values and their mistakes, the classifier against a list, who is told. */
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "flows/definition_p.h"
#include "flows/route.h"
#include "tests/unit/seed.h"

static const struct ns_identity root = {.privileged = true};
static struct ns_store *store;
static struct links_mount *links;
static struct definitions *definitions;
static struct ns_reason reason; /* of the last commit */

static int setup(void **state)
{
    struct ns_store_options options = {.lcores = 1};

    (void)state;
    return ns_store_new(&options, &store) != 0 || links_new(store, &links) != 0 ||
           definitions_new(store, links, &definitions) != 0;
}

static int teardown(void **state)
{
    (void)state;
    ns_store_free(store);
    definitions_free(definitions);
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

static const struct classifier *classifier(void)
{
    return classifier_of(ns_store_version(store), definitions_slot(definitions));
}

static bool told(const struct ns_anchor *anchor)
{
    return ns_anchor_version(anchor) == ns_store_version(store)->number;
}

static rte_be32_t ip(const char *text)
{
    rte_be32_t address;

    assert_int_equal(link_parse_ipv4(text, strlen(text), &address), 0);
    return address;
}

/* The name of the definition that claims the flow; "" for none. */
static const char *claims(const char *src, const char *dst, uint8_t proto, uint16_t sport,
                          uint16_t dport, uint16_t scope)
{
    union flow_key key = {.src = ip(src),
                          .dst = ip(dst),
                          .proto = proto,
                          .kind = FLOW_ROUTED,
                          .scope = scope,
                          .sport = rte_cpu_to_be_16(sport),
                          .dport = rte_cpu_to_be_16(dport)};
    const struct definition *definition = classify(classifier(), &key);

    return definition == NULL ? "" : definition->name;
}

/* ---- values ---- */

static void test_match(void **state)
{
    static const char text[] =
        "src=10.0.0.0/24  dst=20.0.0.1 proto=udp sport=1000-2000 dport=53 iface=br0";
    struct definition_match match;
    char why[NS_REASON_MAX] = "";

    (void)state;
    assert_int_equal(definition_parse_match(links, text, strlen(text), &match, why, sizeof(why)),
                     0);
    assert_int_equal(match.src, ip("10.0.0.0"));
    assert_int_equal(match.src_mask, ip("255.255.255.0"));
    assert_int_equal(match.dst, ip("20.0.0.1"));
    assert_int_equal(match.dst_mask, ip("255.255.255.255"));
    assert_int_equal(match.proto, IPPROTO_UDP);
    assert_false(match.any_proto);
    assert_int_equal(match.sport_low, 1000);
    assert_int_equal(match.sport_high, 2000);
    assert_int_equal(match.dport_low, 53);
    assert_int_equal(match.dport_high, 53);
    assert_int_equal(match.iface, links_iface_id(links, "br0"));
    assert_int_equal(definition_parse_match(links, "", 0, &match, why, sizeof(why)), 0);
    assert_true(match.any_proto && match.src_mask == 0 && match.dst_mask == 0 && match.iface == 0);
    assert_int_equal(match.sport_high, 65535);
    assert_int_equal(
        definition_parse_match(links, "proto=0 src=0.0.0.0/0", 21, &match, why, sizeof(why)), 0);
    assert_true(!match.any_proto && match.proto == 0 && match.src_mask == 0);
    assert_int_equal(
        definition_parse_match(links, "dport=0-65535 proto=6", 21, &match, why, sizeof(why)), 0);
}

struct mistake {
    const char *path, *value, *sentence;
};

static const struct mistake mistakes[] = {
    {"/flow", "x", "its value is empty"},
    {"/flow/a", "x", "its value is empty"},
    {"/flow/0123456789012345678901234567890123456789012345678901234567890123", "",
     "at most 63 bytes; this has 64"},
    {"/flow/a/name", "x", "match, priority and action are its names"},
    {"/flow/a/match/src", "10.0.0.1", "match, priority and action are its names"},
    {"/flow/a/match", "tcp",
     "'tcp' is not KEY=VALUE; the keys are src, dst, proto, sport, dport and iface"},
    {"/flow/a/match", "port=5",
     "there is no key 'port'; src, dst, proto, sport, dport and iface are"},
    {"/flow/a/match", "=5", "there is no key ''"},
    {"/flow/a/match", "src=", "src has no value; leave the key away to match any"},
    {"/flow/a/match", "src=10.0.0.1 src=10.0.0.2", "src is given twice"},
    {"/flow/a/match", "src=10.0.0.5/24",
     "10.0.0.5/24 has host bits set; 10.0.0.0/24 is the prefix"},
    {"/flow/a/match", "dst=10.0.0/24", "'10.0.0' is not an IPv4 address"},
    {"/flow/a/match", "dst=10.0.0.0/255.0.0.0", "'255.0.0.0' is not a prefix length"},
    {"/flow/a/match", "dst=10.0.0.0/", "'' is not a prefix length"},
    {"/flow/a/match", "dst=10.0.0.0/33",
     "'33' is not a prefix length; it must be a number from 0 to 32"},
    {"/flow/a/match", "proto=ospf",
     "'ospf' is no protocol; tcp, udp, sctp, icmp, gre, esp or a number"},
    {"/flow/a/match", "proto=256", "'256' is no protocol"},
    {"/flow/a/match", "proto=UDP", "'UDP' is no protocol"},
    {"/flow/a/match", "proto=udp dport=65536", "'65536' is no port"},
    {"/flow/a/match", "proto=udp dport=dns", "'dns' is no port"},
    {"/flow/a/match", "proto=udp dport=53-", "'53-' is no port"},
    {"/flow/a/match", "proto=udp dport=1-2-3", "'1-2-3' is no port"},
    {"/flow/a/match", "proto=udp sport=20-10", "20-10 ends before it begins; 10-20 would be right"},
    {"/flow/a/match", "dport=53",
     "dport needs a protocol that has ports: proto=tcp, proto=udp or proto=sctp"},
    {"/flow/a/match", "sport=53 proto=icmp", "sport needs a protocol that has ports"},
    {"/flow/a/match", "dport=53 proto=200", "dport needs a protocol that has ports"},
    {"/flow/a/match", "iface=br*", "'br*' is not a name for an interface"},
    {"/flow/a/match", "src=1.1.1.1\nproto=udp", "'1.1.1.1?proto=udp' is not an IPv4 address"},
    {"/flow/a/priority", "", "'' is no priority"},
    {"/flow/a/priority", "high",
     "'high' is no priority; a number from -2147483647 to 2147483647 is"},
    {"/flow/a/priority", "2147483648", "is no priority"},
    {"/flow/a/priority", "--1", "is no priority"},
    {"/flow/a/priority", "-", "is no priority"},
    {"/flow/a/priority", "1 ", "is no priority"},
    {"/flow/a/action", "", "'' is no action; 'route', 'via ADDR', 'drop' and 'count' are"},
    {"/flow/a/action", "reject", "'reject' is no action"},
    {"/flow/a/action", "via", "'via' needs the address of the next hop"},
    {"/flow/a/action", "via br0", "'br0' is not an IPv4 address"},
    {"/flow/a/action", "via 239.0.0.1", "239.0.0.1 can't be a next hop"},
    {"/flow/a/action", "via 10.0.0.1 10.0.0.2", "'10.0.0.2' after 'via' is too much"},
    {"/flow/a/action", "drop all", "'all' after 'drop' is too much"},
};

static void test_mistakes(void **state)
{
    uint64_t before = ns_store_version(store)->number;

    (void)state;
    for (size_t i = 0; i < RTE_DIM(mistakes); i++) {
        assert_int_equal(try(mistakes[i].path, mistakes[i].value), -EINVAL);
        assert_memory_equal(reason.path, mistakes[i].path, strlen(reason.path));
        if (strstr(reason.text, mistakes[i].sentence) == NULL)
            fail_msg("%s = %s: '%s' is not '%s'", mistakes[i].path, mistakes[i].value, reason.text,
                     mistakes[i].sentence);
    }
    assert_int_equal(try("/flow", NULL), -EPERM);
    assert_int_equal(ns_store_version(store)->number, before);
    assert_int_equal(classifier_count(classifier()), 0);
}

/* ---- the mount ---- */

static void test_whole(void **state)
{
    const struct definition *definition;

    (void)state;
    put("/flow/web/priority", "7");
    put("/flow/web/action", "via 10.0.0.9");
    assert_int_equal(classifier_count(classifier()), 0); /* incomplete */
    put("/flow/web/match", "dst=20.0.0.0/8 proto=tcp dport=80-443");
    assert_int_equal(classifier_count(classifier()), 1);
    definition = classifier_get(classifier(), 0);
    assert_string_equal(definition->name, "web");
    assert_int_equal(definition->priority, 7);
    assert_int_equal(definition->action, DEFINITION_VIA);
    assert_int_equal(definition->via, ip("10.0.0.9"));
    assert_int_equal(definition->version, ns_store_version(store)->number);
    assert_ptr_equal(definition->anchor, ns_anchor_find(store, "/flow/web"));
    assert_string_equal(claims("1.1.1.1", "20.3.0.1", IPPROTO_TCP, 9, 80, 3), "web");
    assert_string_equal(claims("1.1.1.1", "20.3.0.1", IPPROTO_TCP, 9, 443, 3), "web");
    assert_string_equal(claims("1.1.1.1", "20.3.0.1", IPPROTO_TCP, 80, 444, 3), "");
    assert_string_equal(claims("1.1.1.1", "20.3.0.1", IPPROTO_UDP, 9, 80, 3), "");
    assert_string_equal(claims("20.3.0.1", "1.1.1.1", IPPROTO_TCP, 9, 80, 3), "");
    put("/flow/web/match", "iface=br0");
    assert_string_equal(claims("20.3.0.1", "1.1.1.1", 99, 0, 0, links_iface_id(links, "br0")),
                        "web");
    assert_string_equal(claims("20.3.0.1", "1.1.1.1", 99, 0, 0, links_iface_id(links, "br1")), "");
    put("/flow/web/action", NULL);
    assert_int_equal(classifier_get(classifier(), 0)->action, DEFINITION_ROUTE);
    assert_int_equal(classifier_get(classifier(), 0)->via, 0);
    put("/flow/web/match", NULL);
    assert_int_equal(classifier_count(classifier()), 0);
    assert_null(classifier_get(classifier(), 0));
}

static void test_order(void **state)
{
    (void)state;
    put("/flow/b/match", "");
    put("/flow/c/match", "");
    put("/flow/a-z/match", "");
    put("/flow/a/match", "");
    assert_string_equal(claims("1.1.1.1", "2.2.2.2", 6, 1, 2, 1), "a");
    put("/flow/c/priority", "1");
    assert_string_equal(claims("1.1.1.1", "2.2.2.2", 6, 1, 2, 1), "c");
    put("/flow/b/priority", "1");
    assert_string_equal(claims("1.1.1.1", "2.2.2.2", 6, 1, 2, 1), "b");
    put("/flow/a/priority", "-1");
    put("/flow/b", NULL);
    put("/flow/c/priority", NULL);
    assert_string_equal(classifier_get(classifier(), 0)->name, "a-z");
    assert_string_equal(classifier_get(classifier(), 1)->name, "c");
    assert_string_equal(classifier_get(classifier(), 2)->name, "a");
    assert_int_equal(classifier_count(classifier()), 3);
}

static void test_told(void **state)
{
    struct ns_anchor *all = definitions_anchor(definitions), *one, *two;
    const struct definition *untouched;

    (void)state;
    put("/flow/one/match", "proto=udp");
    put("/flow/two/match", "proto=tcp");
    one = ns_anchor_find(store, "/flow/one");
    two = ns_anchor_find(store, "/flow/two");
    assert_true(told(all) && told(two) && !told(one));
    untouched = classifier_get(classifier(), 1);
    put("/flow/one/action", "drop"); /* the same flows, decided in another way */
    assert_true(told(one) && !told(two) && !told(all));
    assert_ptr_equal(classifier_get(classifier(), 1), untouched);
    put("/flow/one/action", "drop"); /* the same again */
    assert_true(!told(one) && !told(all));
    put("/flow/one/action", "via 10.0.0.1");
    put("/flow/one/action", "via 10.0.0.2");
    assert_true(told(one) && !told(all));
    put("/flow/one/priority", "0"); /* as it was without */
    assert_true(!told(one) && !told(all));
    put("/flow/one/priority", "1");
    assert_true(told(one) && !told(two) && told(all));
    put("/flow/three/priority", "1"); /* incomplete */
    assert_true(!told(one) && !told(all));
    put("/flow/one", NULL);
    assert_true(told(one) && !told(two) && told(all));
    assert_int_equal(classifier_count(classifier()), 1);
}

/* A definition keeps its anchor; when it has gone, and nobody else depends on the name, the anchor
 * goes. */
static void test_anchors(void **state)
{
    (void)state;
    put("/flow/one/match", "proto=udp");
    put("/flow/one/match", "proto=tcp");
    ns_store_drain(store);
    assert_non_null(ns_anchor_find(store, "/flow/one"));
    put("/flow/one", NULL);
    ns_store_drain(store);
    assert_null(ns_anchor_find(store, "/flow/one"));
    assert_non_null(ns_anchor_find(store, "/flow"));
    assert_int_equal(try("/flow/two/match", "src=1"), -EINVAL);
    ns_store_drain(store);
    assert_null(ns_anchor_find(store, "/flow/two"));
}

/* ---- a commit that fails after /flow has prepared ---- */

static int refuse_all(struct ns_mount *mount, struct ns_commit *commit)
{
    return ns_refuse(commit, EPERM, mount->path, "no");
}

static void test_abandoned(void **state)
{
    static const struct ns_mount_ops ops = {.name = "refuses", .prepare = refuse_all};
    static struct ns_mount refuses;
    struct ns_txn *txn;

    (void)state;
    put("/flow/a/match", "proto=udp");
    put("/flow/b/match", "");
    assert_int_equal(ns_mount_add(store, &refuses, "/zzz", &ops), 0);
    for (int i = 0; i < 3; i++) {
        txn = begin();
        set(txn, "/flow/a/priority", "5");
        set(txn, "/flow/b", NULL);
        set(txn, "/flow/c/match", "proto=tcp");
        set(txn, "/zzz/x", "1");
        assert_int_equal(commit(txn), -EPERM);
        ns_store_drain(store);
        assert_int_equal(classifier_count(classifier()), 2);
        assert_null(ns_anchor_find(store, "/flow/c"));
        assert_string_equal(claims("1.1.1.1", "2.2.2.2", IPPROTO_UDP, 1, 2, 1), "a");
    }
    put("/flow/b", NULL);
    assert_int_equal(classifier_count(classifier()), 1);
}

/* ---- against a model ---- */

enum { MODEL_NAMES = 24, MODEL_COMMITS = 3000 };

/* What stands in the tree. */
struct model {
    bool there;
    int priority; /* 0 may also be absent */
    int src_bits, proto, port_low, port_high, iface;
};

static struct model model[MODEL_NAMES];

static void model_name(unsigned i, char *name)
{
    sprintf(name, "%c%u", i % 2 ? 'x' : 'X', i / 2);
}

static bool model_matches(const struct model *m, const union flow_key *key)
{
    uint16_t port = rte_be_to_cpu_16(key->dport);
    uint32_t net = m->src_bits == 0 ? 0 : UINT32_MAX << (32 - m->src_bits);

    return m->there && (rte_be_to_cpu_32(key->src) & net) == (0x0a0a0a0a & net) &&
           (m->proto < 0 || m->proto == key->proto) &&
           (m->port_low < 0 || (port >= m->port_low && port <= m->port_high)) &&
           (m->iface == 0 || m->iface == key->scope);
}

/* Is `a` tried before `b`? */
static bool model_before(unsigned a, unsigned b)
{
    char first[16], second[16];

    model_name(a, first);
    model_name(b, second);
    if (model[a].priority != model[b].priority)
        return model[a].priority > model[b].priority;
    return strcmp(first, second) < 0;
}

static const char *model_classify(const union flow_key *key)
{
    static char name[16];
    int best = -1;

    for (unsigned i = 0; i < MODEL_NAMES; i++)
        if (model_matches(&model[i], key) && (best < 0 || model_before(i, (unsigned)best)))
            best = (int)i;
    name[0] = 0;
    if (best >= 0)
        model_name((unsigned)best, name);
    return name;
}

static void change_match(struct ns_txn *txn, struct model *m, const char *path)
{
    static const int bits[] = {0, 8, 31, 32}, protos[] = {-1, IPPROTO_TCP, IPPROTO_UDP, 47};
    char text[128], net[16];
    int at;

    m->there = true;
    m->src_bits = bits[seed_below(4)];
    m->proto = protos[seed_below(4)];
    m->port_low = m->proto == IPPROTO_TCP || m->proto == IPPROTO_UDP ? (int)seed_below(4) - 1 : -1;
    m->port_high = m->port_low + (int)seed_below(3);
    m->iface = seed_below(2) ? links_iface_id(links, seed_below(2) ? "i1" : "i2") : 0;
    at = sprintf(text, "src=%s/%d",
                 link_format_ipv4(ip("10.10.10.10") & route_mask((uint8_t)m->src_bits), net),
                 m->src_bits);
    if (m->proto >= 0)
        at += sprintf(text + at, " proto=%d", m->proto);
    if (m->port_low >= 0)
        at += sprintf(text + at, " dport=%d-%d", m->port_low, m->port_high);
    if (m->iface != 0)
        sprintf(text + at, " iface=%s", links_iface_name(links, (uint16_t)m->iface));
    set(txn, path, text);
}

static void change(struct ns_txn *txn)
{
    unsigned i = seed_below(MODEL_NAMES);
    struct model *m = &model[i];
    char name[16], path[64], value[16];

    model_name(i, name);
    sprintf(path, "/flow/%s", name);
    switch (seed_below(4)) {
    case 0:
        set(txn, path, "");
        set(txn, path, NULL);
        *m = (struct model){.there = false};
        break;
    case 1:
        m->priority = (int)seed_below(5) - 2;
        sprintf(value, "%d", m->priority);
        strcat(path, "/priority");
        set(txn, path, value);
        break;
    default: strcat(path, "/match"); change_match(txn, m, path);
    }
}

static union flow_key some_key(void)
{
    static const char *const sources[] = {"10.10.10.10", "10.10.10.11", "10.0.0.1", "99.0.0.1"};
    static const uint8_t protos[] = {IPPROTO_TCP, IPPROTO_UDP, 47, 1};
    uint8_t proto = protos[seed_below(4)];

    return (union flow_key){
        .src = ip(sources[seed_below(4)]),
        .dst = (rte_be32_t)seed_next(),
        .proto = proto,
        .dport = proto == IPPROTO_TCP || proto == IPPROTO_UDP
                     ? rte_cpu_to_be_16((uint16_t)seed_below(5))
                     : 0,
        .scope = links_iface_id(links, seed_below(2) ? "i1" : "i2"),
        .kind = FLOW_ROUTED,
    };
}

/* Who claimed a key in an older version. */
static struct sample {
    uint64_t version;
    union flow_key key;
    char name[16];
} samples[64];

static unsigned long spared, concerned;

/* As a walk does: whoever is not concerned keeps what it had. */
static void check_sample(struct sample *sample)
{
    if (sample->version != 0 && classifier_concerns(classifier(), &sample->key, sample->version)) {
        concerned++;
    } else if (sample->version != 0) {
        spared++;
        assert_string_equal(model_classify(&sample->key), sample->name);
    }
    if (sample->version != 0 && seed_below(16) != 0)
        return;
    sample->version = ns_store_version(store)->number;
    sample->key = some_key();
    strcpy(sample->name, model_classify(&sample->key));
}

static void test_model(void **state)
{
    (void)state;
    seed_begin();
    memset(model, 0, sizeof(model));
    memset(samples, 0, sizeof(samples));
    for (unsigned round = 0; round < MODEL_COMMITS * seed_scale(); round++) {
        struct ns_txn *txn = begin();
        size_t count = 0;

        for (unsigned i = 1 + seed_below(6); i > 0; i--)
            change(txn);
        assert_int_equal(commit(txn), 0);
        for (unsigned i = 0; i < 16; i++) {
            union flow_key key = some_key();
            const struct definition *found = classify(classifier(), &key);

            assert_string_equal(found == NULL ? "" : found->name, model_classify(&key));
        }
        for (size_t i = 0; i < RTE_DIM(samples); i++)
            check_sample(&samples[i]);
        for (unsigned i = 0; i < MODEL_NAMES; i++)
            count += model[i].there;
        assert_int_equal(classifier_count(classifier()), count);
        if (round % 64 == 0)
            ns_store_drain(store);
    }
    assert_true(spared > 0 && concerned > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_match, setup, teardown),
        cmocka_unit_test_setup_teardown(test_mistakes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(test_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_told, setup, teardown),
        cmocka_unit_test_setup_teardown(test_anchors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_abandoned, setup, teardown),
        cmocka_unit_test_setup_teardown(test_model, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
