/* SPDX-License-Identifier: BSD-3-Clause */
/* Keys of flows as users write them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <rte_byteorder.h>

#include "dataplane/flow_text.h"

static struct link_bridge bridges[] = {{.name = "br0", .id = 7}};
static struct link_iface ifaces[] = {{.name = "i1", .id = 3}};
static const struct links links = {
    .bridge_count = 1, .bridges = bridges, .iface_count = 1, .ifaces = ifaces};

static void routed(void **state)
{
    union flow_key key;
    char why[256] = "";

    (void)state;
    assert_int_equal(
        flow_parse_key(&links, "src=10.0.0.1,dst=10.0.0.2,proto=udp,sport=4000,dport=53,iface=i1",
                       &key, why, sizeof(why)),
        0);
    assert_int_equal(key.kind, FLOW_ROUTED);
    assert_int_equal(key.src, rte_cpu_to_be_32(0x0a000001));
    assert_int_equal(key.dst, rte_cpu_to_be_32(0x0a000002));
    assert_int_equal(key.proto, 17);
    assert_int_equal(key.sport, rte_cpu_to_be_16(4000));
    assert_int_equal(key.dport, rte_cpu_to_be_16(53));
    assert_int_equal(key.scope, 3);
}

static void what_is_left_out(void **state)
{
    union flow_key key;
    char why[256] = "";

    (void)state;
    assert_int_equal(
        flow_parse_key(&links, "proto=47,dst=10.0.0.2,src=10.0.0.1", &key, why, sizeof(why)), 0);
    assert_int_equal(key.proto, 47);
    assert_int_equal(key.sport, 0);
    assert_int_equal(key.scope, FLOW_SCOPE_ANY);
}

static void bridged(void **state)
{
    union flow_key key;
    char why[256] = "";

    (void)state;
    assert_int_equal(
        flow_parse_key(&links, "bridge=br0,mac=02:00:00:00:00:05", &key, why, sizeof(why)), 0);
    assert_int_equal(key.bridged_kind, FLOW_BRIDGED);
    assert_int_equal(key.bridge, 7);
    assert_int_equal(key.mac.addr_bytes[5], 5);
    assert_int_equal(key.zero | key.zero2 | key.zero3, 0);
}

static void mistakes(void **state)
{
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"src=10.0.0.1", "dst="},
        {"src=10.0.0.1,dst=10.0.0.2", "proto="},
        {"src=10.0.0.300,dst=10.0.0.2,proto=udp", "IPv4"},
        {"src=10.0.0.1,dst=10.0.0.2,proto=nonsense", "tcp, udp"},
        {"src=10.0.0.1,dst=10.0.0.2,proto=0", "tcp, udp"},
        {"src=10.0.0.1,dst=10.0.0.2,proto=256", "tcp, udp"},
        {"src=10.0.0.1,dst=10.0.0.2,proto=tcp,sport=65536", "65535"},
        {"src=10.0.0.1,dst=10.0.0.2,proto=tcp,sport=", "65535"},
        {"src=10.0.0.1,dst=10.0.0.2,proto=tcp,iface=nowhere", "no such interface"},
        {"src=10.0.0.1,dst=10.0.0.2,proto=tcp,bridge=br0", "bridge="},
        {"bridge=br0", "mac="},
        {"bridge=br0,mac=02:00:00:00:00:05,src=10.0.0.1", "bridge="},
        {"bridge=br9,mac=02:00:00:00:00:05", "no such bridge"},
        {"bridge=br0,mac=02:00:00:00:00", "52:54:00"},
        {"source=10.0.0.1", "src="},
        {"nonsense", "src="},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        union flow_key key;
        char why[256] = "";

        if (flow_parse_key(&links, cases[i].text, &key, why, sizeof(why)) != -EINVAL ||
            strstr(why, cases[i].why) == NULL)
            fail_msg("%s: '%s'", cases[i].text, why);
    }
}

static void protocol_names(void **state)
{
    char buffer[8];

    (void)state;
    assert_string_equal(flow_proto_name(6, buffer), "tcp");
    assert_string_equal(flow_proto_name(255, buffer), "255");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(routed),   cmocka_unit_test(what_is_left_out), cmocka_unit_test(bridged),
        cmocka_unit_test(mistakes), cmocka_unit_test(protocol_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
