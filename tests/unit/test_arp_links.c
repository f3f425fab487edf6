/* SPDX-License-Identifier: BSD-3-Clause */
/* Links: which names and values there may be, what is compiled from them, and which names a commit touches. */
#include "tests/unit/arp_lab.h"

#include "arp/text.h"

#include <stdlib.h>

#include "arp/links_p.h"
#include "nameserv/anchor.h"

static struct lab the_lab, *const lab = &the_lab;

static int begin(void **state)
{
    (void)state;
    lab_links_begin(lab);
    return 0;
}

static int end(void **state)
{
    (void)state;
    lab_links_end(lab);
    return 0;
}

/* ---- text ---- */

static void mac_addresses_are_parsed_whole(void **state)
{
    static const char *const bad[] = {"",
                                      "52:54:00:12:34",
                                      "52:54:00:12:34:5",
                                      "52:54:00:12:34:567",
                                      "52-54-00-12-34-56",
                                      "52:54:00:12:34:5g",
                                      "5254.0012.3456",
                                      "52:54:00:12:34:56 "};
    struct rte_ether_addr mac;
    char text[18];

    (void)state;
    assert_int_equal(link_parse_mac("52:54:00:aB:Cd:ef", 17, &mac), 0);
    assert_string_equal(link_format_mac(&mac, text), "52:54:00:ab:cd:ef");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(link_parse_mac(bad[i], strlen(bad[i]), &mac), -EINVAL);
}

static void ipv4_addresses_are_parsed_whole(void **state)
{
    static const char *const bad[] = {
        "",          "10",        "10.0.0",     "10.0.0.256", "10.0.0.1.2",          "10.0.0.01",
        " 10.0.0.1", "10.0.0.1 ", "0x0a.0.0.1", "010.0.0.1",  "10.0.0.1000000000000"};
    rte_be32_t address;
    char text[16];

    (void)state;
    assert_int_equal(link_parse_ipv4("10.0.0.255", 10, &address), 0);
    assert_int_equal(address, rte_cpu_to_be_32(0x0a0000ff));
    assert_string_equal(link_format_ipv4(address, text), "10.0.0.255");
    assert_int_equal(link_parse_ipv4("255.255.255.255", 15, &address), 0);
    assert_string_equal(link_format_ipv4(address, text), "255.255.255.255");
    assert_int_equal(link_parse_ipv4("10.0.0.1\0", 9, &address), -EINVAL);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(link_parse_ipv4(bad[i], strlen(bad[i]), &address), -EINVAL);
}

static void addresses_are_written_as_they_are_read(void **state)
{
    (void)state;
    for (unsigned byte = 0; byte < 256; byte++) {
        const struct rte_ether_addr mac = {
            {(uint8_t)byte, 0, (uint8_t)(255 - byte), 9, 10, (uint8_t)byte}};
        const rte_be32_t address = rte_cpu_to_be_32(byte << 24 | (255 - byte) << 8 | byte);
        char text[18], expected[18];

        snprintf(expected, sizeof(expected), "%02x:00:%02x:09:0a:%02x", byte, 255 - byte, byte);
        assert_string_equal(link_format_mac(&mac, text), expected);
        snprintf(expected, sizeof(expected), "%u.0.%u.%u", byte, 255 - byte, byte);
        assert_string_equal(link_format_ipv4(address, text), expected);
    }
}

static void texts_are_cut_off_where_the_buffer_ends(void **state)
{
    char text[8] = "xxxxxxx";
    const char *end = text + 5;

    (void)state;
    assert_ptr_equal(text_put_number(text_put(text, end, "ab"), end, 12345), text + 4);
    assert_string_equal(text, "ab12");
    assert_ptr_equal(text_put(text + 4, end, "more"), text + 4);
    assert_int_equal(text[5], 'x');
    text_put_number(text, text + 2, 0);
    assert_string_equal(text, "0");
}

/* ---- what is compiled ---- */

static void without_names_there_are_no_links(void **state)
{
    const struct links *links = lab_links(lab);

    (void)state;
    assert_non_null(links);
    assert_int_equal(links->port_count + links->bridge_count + links->iface_count, 0);
    assert_null(links_port(links, "p0"));
    assert_null(links_port_by_id(links, 0));
    assert_null(links_port_by_id(links, LINK_NO_ID));
}

static void a_port_is_up_when_the_stack_says_so(void **state)
{
    const struct link_port *port;

    (void)state;
    assert_done(user(lab, "/port/p0/devargs=net_null0", "/port/p0/mtu=9000"));
    port = links_port(lab_links(lab), "p0");
    assert_non_null(port);
    assert_int_equal(port->id, LINK_NO_ID);
    assert_int_equal(port->mtu, 9000);
    assert_int_equal(port->lcore, LINK_NO_ID);
    assert_false(port->up);
    assert_int_equal(port->bridge, LINK_NO_ID);
    assert_int_equal(port->iface, LINK_NO_ID);

    assert_done(stack(lab, "/port/p0/id=3", "/port/p0/lcore=1", "/port/p0/mac=02:00:00:00:00:07",
                      "/port/p0/link=up"));
    port = links_port_by_id(lab_links(lab), 3);
    assert_non_null(port);
    assert_string_equal(port->name, "p0");
    assert_true(port->up);
    assert_int_equal(port->lcore, 1);
    assert_int_equal(port->mac.addr_bytes[5], 7);

    assert_done(stack(lab, "/port/p0/link=down"));
    assert_false(links_port(lab_links(lab), "p0")->up);
    assert_non_null(links_port_by_id(lab_links(lab), 3));

    assert_done(stack(lab, "/port/p0/link=up", "/port/p0/error=the device is gone"));
    assert_null(links_port_by_id(lab_links(lab), 3));
    assert_false(links_port(lab_links(lab), "p0")->up);
}

static void a_bridge_finds_its_ports_and_its_interface(void **state)
{
    const struct links *links;
    const struct link_bridge *bridge;
    const struct link_iface *iface;

    (void)state;
    lab_port(lab, "p1", 1);
    lab_port(lab, "p0", 0);
    assert_done(user(lab, "/port/p0/mtu=1400", "/bridge/br0/port/p0", "/bridge/br0/port/p1",
                     "/bridge/br0/port/p9", "/bridge/br0/ageing=60", "/iface/i0/on=bridge br0",
                     "/iface/i0/address/10.0.0.1=24", "/iface/i0/mode=bound"));
    links = lab_links(lab);
    bridge = links_bridge(links, "br0");
    assert_int_equal(bridge->ageing, 60);
    assert_int_equal(bridge->port_count, 2); /* p9 waits */
    assert_string_equal(links->ports[bridge->ports[0]].name, "p0");
    assert_string_equal(links->ports[bridge->ports[1]].name, "p1");
    assert_ptr_equal(&links->bridges[links_port(links, "p1")->bridge], bridge);
    iface = links_iface(links, "i0");
    assert_ptr_equal(&links->ifaces[bridge->iface], iface);
    assert_int_equal(iface->port, LINK_NO_ID);
    assert_ptr_equal(&links->bridges[iface->bridge], bridge);
    assert_int_equal(iface->mode, LINK_BOUND);
    assert_int_equal(iface->mtu, 1400);
    assert_ptr_equal(links_iface_of_port(links, links_port(links, "p0")), iface);
    assert_true(links_iface_up(links, iface));
    assert_ptr_equal(links_bridge_by_id(links, bridge->id), bridge);
    assert_ptr_equal(links_iface_by_id(links, iface->id), iface);

    assert_done(user(lab, "/port/p9/devargs=net_null9"));
    assert_int_equal(links_bridge(lab_links(lab), "br0")->port_count, 3);
    assert_done(stack(lab, "/port/p0/link=down", "/port/p1/link=down"));
    assert_false(links_iface_up(lab_links(lab), links_iface(lab_links(lab), "i0")));
}

static void an_interface_takes_what_its_port_has(void **state)
{
    const struct link_iface *iface;

    (void)state;
    assert_done(user(lab, "/iface/i0/on=port p0"));
    iface = links_iface(lab_links(lab), "i0");
    assert_int_equal(iface->port, LINK_NO_ID);
    assert_int_equal(iface->mode, LINK_FOLLOW);
    assert_int_equal(iface->mac.addr_bytes[0] & 3, 2); /* local, unicast */
    assert_false(links_iface_up(lab_links(lab), iface));
    lab_port(lab, "p0", 0);
    iface = links_iface(lab_links(lab), "i0");
    assert_string_equal(lab_links(lab)->ports[iface->port].name, "p0");
    assert_true(links_iface_up(lab_links(lab), iface));
    assert_true(rte_is_same_ether_addr(&iface->mac, &lab_links(lab)->ports[iface->port].mac));
    assert_done(user(lab, "/iface/i0/mac=02:11:22:33:44:55", "/port/p0/mtu=2000"));
    iface = links_iface(lab_links(lab), "i0");
    assert_int_equal(iface->mac.addr_bytes[1], 0x11);
    assert_int_equal(iface->mtu, 2000);
}

static void made_addresses_differ_by_name_and_stay(void **state)
{
    struct rte_ether_addr a, b;

    (void)state;
    assert_done(user(lab, "/iface/a", "/iface/b"));
    a = links_iface(lab_links(lab), "a")->mac;
    b = links_iface(lab_links(lab), "b")->mac;
    assert_false(rte_is_same_ether_addr(&a, &b));
    assert_done(user(lab, "-/iface/a"));
    assert_done(user(lab, "/iface/a"));
    assert_true(rte_is_same_ether_addr(&a, &links_iface(lab_links(lab), "a")->mac));
}

static rte_be32_t ipv4(const char *text)
{
    rte_be32_t address;

    assert_int_equal(link_parse_ipv4(text, strlen(text), &address), 0);
    return address;
}

static void subnets_are_found_by_longest_prefix(void **state)
{
    const struct link_iface *iface;

    (void)state;
    assert_done(user(lab, "/iface/i0/address/10.0.0.1=8", "/iface/i0/address/10.1.0.1=16",
                     "/iface/i0/address/192.0.2.1=32"));
    iface = links_iface(lab_links(lab), "i0");
    assert_int_equal(link_subnet(iface, ipv4("10.1.2.3"))->prefix_length, 16);
    assert_int_equal(link_subnet(iface, ipv4("10.2.2.3"))->prefix_length, 8);
    assert_int_equal(link_subnet(iface, ipv4("192.0.2.1"))->prefix_length, 32);
    assert_null(link_subnet(iface, ipv4("192.0.2.2")));
    assert_true(link_own_address(iface, ipv4("10.1.0.1")));
    assert_false(link_own_address(iface, ipv4("10.1.0.2")));
}

static void ids_stay_with_their_names(void **state)
{
    uint16_t a, b;

    (void)state;
    assert_done(user(lab, "/iface/a", "/bridge/x"));
    a = links_iface(lab_links(lab), "a")->id;
    assert_int_equal(links_iface_id(lab->links, "b"), a + 1); /* asked for before it exists */
    assert_done(user(lab, "-/iface/a"));
    assert_done(user(lab, "/iface/b", "/iface/c"));
    b = links_iface(lab_links(lab), "b")->id;
    assert_int_equal(b, a + 1);
    assert_int_equal(links_iface(lab_links(lab), "c")->id, a + 2);
    assert_string_equal(links_iface_name(lab->links, a), "a");
    assert_done(user(lab, "/iface/a"));
    assert_int_equal(links_iface(lab_links(lab), "a")->id, a);
    assert_null(links_iface_name(lab->links, 0));
    assert_null(links_iface_name(lab->links, a + 3));
    assert_int_equal(links_iface_known(lab->links, "d"), 0);
    assert_int_equal(links_bridge_id(lab->links, "x"), 1);
    assert_string_equal(links_bridge_name(lab->links, 1), "x");
}

static void ids_end_some_day(void **state)
{
    char name[16];

    (void)state;
    for (int i = 1; i <= LINK_IDS_MAX; i++) {
        snprintf(name, sizeof(name), "i%d", i);
        assert_int_equal(links_iface_id(lab->links, name), i);
    }
    assert_int_equal(links_iface_id(lab->links, "one-more"), 0);
    assert_int_equal(links_iface_id(lab->links, "i77"), 77);
    assert_refused(user(lab, "/iface/one-more"), ENOSPC, "/iface", "names of interfaces");
    assert_done(user(lab, "/iface/i77"));
}

static void a_version_keeps_its_links(void **state)
{
    const struct ns_version *version;
    const struct links *links;

    (void)state;
    assert_done(user(lab, "/port/p0/devargs=net_null0"));
    version = ns_store_version(lab->store);
    links = lab_links(lab);
    assert_done(user(lab, "/some/thing=else"));
    assert_ptr_equal(lab_links(lab), links);
    assert_done(user(lab, "/port/p0/mtu=1500")); /* what it was by default */
    assert_ptr_equal(lab_links(lab), links);
    assert_done(user(lab, "/port/p0/mtu=1501"));
    assert_ptr_not_equal(lab_links(lab), links);
    assert_int_equal(lab_links(lab)->version, ns_store_version(lab->store)->number);
    assert_int_equal(links_of(version, links_slot(lab->links))->ports[0].mtu, 1500);
}

/* ---- values ---- */

static void right_values_are_taken(void **state)
{
    static const char *const right[] = {
        "/port/p0",
        "/port/A.b_c-0",
        "/port/p0/devargs=net_af_packet0,iface=veth0",
        "/port/p0/devargs=0000:01:00.0",
        "/port/p0/mtu=68",
        "/port/p0/mtu=9216",
        "/bridge/br0/ageing=0",
        "/bridge/br0/ageing=10",
        "/bridge/br0/ageing=1000000",
        "/bridge/br0/port",
        "/bridge/br0/port/p0=",
        "/iface/i0/on=port p0",
        "/iface/i0/on=bridge br0",
        "/iface/i0/mode=follow",
        "/iface/i0/mode=bound",
        "/iface/i0/mode=static",
        "/iface/i0/mac=52:54:00:12:34:56",
        "/iface/i0/address/10.0.0.1=24",
        "/iface/i0/address/10.0.0.0=31",
        "/iface/i0/address/10.0.0.1=31",
        "/iface/i0/address/10.0.0.0=32",
        "/iface/i0/address/10.0.0.1=1",
        "/port/abcdefghijklmnopqrstuvwxyz01234", /* 31 */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++) {
        if (user(lab, right[i]) != 0)
            fail_msg("%s: %s", right[i], lab->reason.text);
        user(lab, "-/port/p0", "-/bridge/br0", "-/iface/i0");
    }
}

static void wrong_values_are_refused_with_a_reason(void **state)
{
    static const struct {
        const char *change, *path, *says;
    } wrong[] = {
        {"/port=x", "/port", "its value is empty"},
        {"/port/p0=x", "/port/p0", "\"x\" can't be its value"},
        {"/port/p+0", "/port/p+0", "\"p+0\" is not a name for a port: 1 to 31 letters"},
        {"/port/abcdefghijklmnopqrstuvwxyz012345", "/port/abcdefghijklmnopqrstuvwxyz012345",
         "not a name for a port"},
        {"/bridge/a:b", "/bridge/a:b", "not a name for a bridge"},
        {"/iface/a=b=", "/iface/a", "\"b=\" can't be its value"},
        {"/iface/a,b", "/iface/a,b", "not a name for an interface"},
        {"/port/p0/devargs=", "/port/p0/devargs", "net_af_packet0,iface=eth0"},
        {"/port/p0/devargs=a b", "/port/p0/devargs", "no spaces"},
        {"/port/p0/devargs=a\nb", "/port/p0/devargs", "\"a?b\" are not device arguments"},
        {"/port/p0/devargs=,iface=x", "/port/p0/devargs", "no device name"},
        {"/port/p0/mtu=67", "/port/p0/mtu",
         "\"67\" is not an MTU in bytes: a number from 68 to 9216"},
        {"/port/p0/mtu=9217", "/port/p0/mtu", "68 to 9216"},
        {"/port/p0/mtu=", "/port/p0/mtu", "68 to 9216"},
        {"/port/p0/mtu=1500 ", "/port/p0/mtu", "68 to 9216"},
        {"/port/p0/mtu=-1", "/port/p0/mtu", "68 to 9216"},
        {"/port/p0/mtu=99999999999999999999", "/port/p0/mtu", "68 to 9216"},
        {"/port/p0/speed=10", "/port/p0/speed",
         "a port has no such name; users write devargs, mtu, workers and queues"},
        {"/port/p0/devargs/x=10", "/port/p0/devargs", "needs its device's arguments"},
        {"/bridge/br0/ageing=9", "/bridge/br0/ageing", "seconds from 10 to 1000000, or 0"},
        {"/bridge/br0/ageing=1000001", "/bridge/br0/ageing", "seconds from 10 to 1000000"},
        {"/bridge/br0/ageing=x", "/bridge/br0/ageing", "\"x\" is not an ageing time"},
        {"/bridge/br0/port=x", "/bridge/br0/port", "its value is empty"},
        {"/bridge/br0/port/p0=x", "/bridge/br0/port/p0", "its value is empty"},
        {"/bridge/br0/port/p+", "/bridge/br0/port/p+", "not a name for a port"},
        {"/bridge/br0/port/p0/x", "/bridge/br0/port/p0/x",
         "a bridge has no such name; users write port/PORT and ageing"},
        {"/bridge/br0/stp=1", "/bridge/br0/stp", "a bridge has no such name"},
        {"/iface/i0/on=p0", "/iface/i0/on", "'port NAME' or 'bridge NAME'"},
        {"/iface/i0/on=", "/iface/i0/on", "'port NAME' or 'bridge NAME'"},
        {"/iface/i0/on=port", "/iface/i0/on", "'port NAME'"},
        {"/iface/i0/on=port ", "/iface/i0/on", "'port NAME'"},
        {"/iface/i0/on=port p0 ", "/iface/i0/on", "'port NAME'"},
        {"/iface/i0/on=port  p0", "/iface/i0/on", "'port NAME'"},
        {"/iface/i0/on=vlan 7", "/iface/i0/on", "'port NAME'"},
        {"/iface/i0/mode=fast", "/iface/i0/mode",
         "\"fast\" is not a mode: follow, bound or static"},
        {"/iface/i0/mode=Follow", "/iface/i0/mode", "follow, bound or static"},
        {"/iface/i0/mac=52:54:00", "/iface/i0/mac", "\"52:54:00\" is not a MAC address such as"},
        {"/iface/i0/mac=01:00:5e:00:00:01", "/iface/i0/mac", "multicast"},
        {"/iface/i0/mac=ff:ff:ff:ff:ff:ff", "/iface/i0/mac", "multicast"},
        {"/iface/i0/mac=00:00:00:00:00:00", "/iface/i0/mac", "zero"},
        {"/iface/i0/address=10.0.0.1", "/iface/i0/address", "its value is empty"},
        {"/iface/i0/address/10.0.0.1=", "/iface/i0/address/10.0.0.1", "a number from 1 to 32"},
        {"/iface/i0/address/10.0.0.1=0", "/iface/i0/address/10.0.0.1", "a number from 1 to 32"},
        {"/iface/i0/address/10.0.0.1=33", "/iface/i0/address/10.0.0.1", "a number from 1 to 32"},
        {"/iface/i0/address/10.0.0.1=/24", "/iface/i0/address/10.0.0.1", "a number from 1 to 32"},
        {"/iface/i0/address/10.0.0.0=24", "/iface/i0/address/10.0.0.0", "the network itself"},
        {"/iface/i0/address/10.0.0.255=24", "/iface/i0/address/10.0.0.255",
         "the broadcast address"},
        {"/iface/i0/address/10.0.0.3=30", "/iface/i0/address/10.0.0.3", "the broadcast address"},
        {"/iface/i0/address/224.0.0.1=24", "/iface/i0/address/224.0.0.1", "multicast"},
        {"/iface/i0/address/255.255.255.255=32", "/iface/i0/address/255.255.255.255", "reserved"},
        {"/iface/i0/address/0.0.0.1=24", "/iface/i0/address/0.0.0.1",
         "can't be the address of a host"},
        {"/iface/i0/address/127.0.0.1=8", "/iface/i0/address/127.0.0.1",
         "can't be the address of a host"},
        {"/iface/i0/address/10.0.0=24", "/iface/i0/address/10.0.0", "not an IPv4 address"},
        {"/iface/i0/address/10.0.0.01=24", "/iface/i0/address/10.0.0.01", "not an IPv4 address"},
        {"/iface/i0/address/10.0.0.1/24=", "/iface/i0/address/10.0.0.1", "a number from 1 to 32"},
        {"/iface/i0/mtu=1500", "/iface/i0/mtu",
         "an interface has no such name; users write on, mode, mac and address"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        uint64_t version = ns_store_version(lab->store)->number;

        assert_refused(user(lab, wrong[i].change), EINVAL, wrong[i].path, wrong[i].says);
        assert_int_equal(ns_store_version(lab->store)->number, version);
    }
}

static void mount_points_stay(void **state)
{
    (void)state;
    assert_refused(user(lab, "-/port"), EPERM, "/port", "can't be removed");
    assert_refused(user(lab, "-/bridge"), EPERM, "/bridge", "can't be removed");
    assert_refused(user(lab, "-/iface"), EPERM, "/iface", "can't be removed");
}

/* ---- what only the stack writes ---- */

static void users_do_not_write_for_the_stack(void **state)
{
    static const char *const names[] = {"link=up", "mac=02:00:00:00:00:01", "error=x", "id=1",
                                        "lcore=0"};

    (void)state;
    lab_port(lab, "p0", 1);
    assert_done(stack(lab, "/port/p0/lcore=0", "/port/p0/error="));
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char change[64], path[64];

        snprintf(change, sizeof(change), "/port/p1/%s", names[i]);
        snprintf(path, sizeof(path), "/port/p1/%.*s", (int)strcspn(names[i], "="), names[i]);
        assert_refused(user(lab, "/port/p1/devargs=net_null1x", change), EPERM, path,
                       "by the stack only");
    }
    assert_refused(user(lab, "/port/p0/link=down"), EPERM, "/port/p0/link", "by the stack only");
    assert_refused(user(lab, "-/port/p0/link"), EPERM, "/port/p0/link", "by the stack only");
    assert_done(user(lab, "/port/p0/link=up")); /* says nothing new */
}

static void names_of_the_stack_go_with_the_port(void **state)
{
    (void)state;
    lab_port(lab, "p0", 0);
    assert_done(user(lab, "-/port/p0"));
    assert_string_equal(lab_value(lab, "/port/p0/link"), "(none)");
    assert_null(links_port(lab_links(lab), "p0"));
    assert_null(links_port_by_id(lab_links(lab), 0));
    /* The stack was still opening the device. */
    assert_refused(stack(lab, "/port/p0/link=up"), ENOENT, "/port/p0/link",
                   "no such port any more");
    assert_refused(user(lab, "/port/p1/devargs=x", "/port/p1/link=up"), EPERM, "/port/p1/link",
                   "by the stack only");
    /* Gone and made again in one: the device would be forgotten, so not in one. */
    lab_port(lab, "p0", 0);
    assert_refused(user(lab, "-/port/p0", "/port/p0/devargs=net_null0"), EPERM, "/port/p0/id",
                   "by the stack only");
}

static void the_stack_is_judged_too(void **state)
{
    (void)state;
    lab_port(lab, "p0", 0);
    assert_refused(stack(lab, "/port/p0/link=perhaps"), EINVAL, "/port/p0/link", "up or down");
    assert_refused(stack(lab, "/port/p0/id=32"), EINVAL, "/port/p0/id", "0 to 31");
    assert_refused(stack(lab, "/port/p0/lcore=64"), EINVAL, "/port/p0/lcore", "0 to 63");
    assert_refused(stack(lab, "/port/p0/mac=x"), EINVAL, "/port/p0/mac", "not a MAC address");
}

/* ---- conflicts ---- */

static void what_two_names_claim_is_refused(void **state)
{
    static const char *const taken = "is taken by";

    (void)state;
    assert_done(user(lab, "/bridge/br0/port/p0", "/iface/i1/on=port p1", "/iface/i2/on=bridge br0",
                     "/iface/i1/address/10.0.0.1=24", "/port/p0/devargs=net_tap0,iface=x"));
    assert_refused(user(lab, "/bridge/br1/port/p0"), EEXIST, "/bridge/br1/port/p0",
                   "/bridge/br0/port/p0");
    assert_refused(user(lab, "/bridge/a/port/p0"), EEXIST, "/bridge/a/port/p0",
                   taken); /* sorts first, still the new */
    assert_refused(user(lab, "/iface/i3/on=port p0"), EEXIST, "/iface/i3/on",
                   "port p0 is taken by /bridge/br0/port/p0 already: a port is in one bridge or "
                   "carries one interface");
    assert_refused(user(lab, "/bridge/br0/port/p1"), EEXIST, "/bridge/br0/port/p1", "/iface/i1/on");
    assert_refused(user(lab, "/iface/i3/on=port p1"), EEXIST, "/iface/i3/on", taken);
    assert_refused(user(lab, "/iface/a/on=bridge br0"), EEXIST, "/iface/a/on",
                   "a bridge carries one interface");
    assert_refused(user(lab, "/iface/i2/address/10.0.0.1=16"), EEXIST, "/iface/i2/address/10.0.0.1",
                   taken);
    assert_refused(user(lab, "/port/p1/devargs=net_tap0"), EEXIST, "/port/p1/devargs",
                   "a device belongs to one port");
    assert_refused(user(lab, "/iface/x/on=port p7", "/iface/y/on=port p7"), EEXIST, "/iface/y/on",
                   "/iface/x/on");
    /* Moving in one commit is no conflict, nor are names that only begin alike. */
    assert_done(user(lab, "-/bridge/br0/port/p0", "/bridge/br1/port/p0"));
    assert_done(
        user(lab, "/port/p1/devargs=net_tap01", "/port/p2/devargs=net_tap", "/bridge/br1/port/p"));
    assert_refused(user(lab, "-/bridge/br1/port/p0", "/bridge/br0/port/p0", "/bridge/br2/port/p0"),
                   EEXIST, "/bridge/br2/port/p0", taken);
}

static void the_stack_gives_a_device_once(void **state)
{
    (void)state;
    lab_port(lab, "p0", 0);
    assert_done(user(lab, "/port/p1/devargs=net_null1"));
    assert_refused(stack(lab, "/port/p1/id=0"), EEXIST, "/port/p1/id", "device number 0");
}

static void limits_are_kept(void **state)
{
    char change[64];

    (void)state;
    for (int i = 0; i < LINK_PORTS_MAX; i++) {
        snprintf(change, sizeof(change), "/port/p%d", i);
        assert_done(user(lab, change));
    }
    assert_refused(user(lab, "/port/more"), ENOSPC, "/port", "at most 32");
    for (int i = 1; i <= LINK_ADDRESSES_MAX; i++) {
        snprintf(change, sizeof(change), "/iface/i0/address/10.0.0.%d=24", i);
        assert_done(user(lab, change));
    }
    assert_int_equal(links_iface(lab_links(lab), "i0")->address_count, LINK_ADDRESSES_MAX);
    assert_refused(user(lab, "/iface/i0/address/10.0.0.99=24"), ENOSPC, "/iface/i0/address",
                   "can't have 17 addresses; at most 16");
}

static void count_reason(const struct ns_reason *reason, void *arg)
{
    (void)reason;
    ++*(int *)arg;
}

static void all_refusals_are_told_to_a_judge(void **state)
{
    struct ns_txn *txn;
    int count = 0;

    (void)state;
    assert_int_equal(ns_txn_begin(lab->store, &lab_user, &txn), 0);
    assert_int_equal(ns_txn_write(txn, "/port/p0/mtu", "1", 1), 0);
    assert_int_equal(ns_txn_write(txn, "/iface/i0/mode", "fast", 4), 0);
    assert_int_equal(ns_txn_write(txn, "/bridge/b!", "", 0), -EINVAL);
    assert_int_equal(ns_txn_write(txn, "/bridge/b+", "", 0), 0);
    assert_int_equal(ns_txn_judge(txn, count_reason, &count), -EINVAL);
    assert_int_equal(count, 3);

    count = 0;
    assert_int_equal(ns_txn_begin(lab->store, &lab_user, &txn), 0);
    for (const char *const *on =
             (const char *const[]){"/iface/a/on", "/iface/b/on", "/iface/c/on", NULL};
         *on; on++)
        assert_int_equal(ns_txn_write(txn, *on, "port p0", 7), 0);
    assert_int_equal(ns_txn_judge(txn, count_reason, &count), -EEXIST);
    assert_int_equal(count, 2);
    assert_null(links_iface(lab_links(lab), "a"));
}

/* ---- touching ---- */

static const char *const watched[] = {"/port/p0", "/port/p1", "/bridge/br0", "/iface/i0",
                                      "/iface/i1"};
enum { WATCHED = sizeof(watched) / sizeof(watched[0]) };
static struct ns_anchor *anchors[WATCHED];
static uint64_t versions[WATCHED];

/* Which of the watched names the commit counted as changed: a bit for each. */
static unsigned touched(void)
{
    unsigned bits = 0;

    for (int i = 0; i < WATCHED; i++) {
        bits |= (ns_anchor_version(anchors[i]) != versions[i]) << i;
        versions[i] = ns_anchor_version(anchors[i]);
    }
    return bits;
}

enum { P0 = 1, P1 = 2, BR0 = 4, I0 = 8, I1 = 16 };

static void names_are_touched_when_what_they_mean_changes(void **state)
{
    (void)state;
    for (int i = 0; i < WATCHED; i++) {
        assert_int_equal(ns_anchor_get(lab->store, watched[i], NULL, NULL, NULL, &anchors[i]), 0);
        ns_anchor_pin(anchors[i]);
    }
    touched();
    lab_port(lab, "p0", 0);
    assert_int_equal(touched(), P0);
    lab_port(lab, "p1", 1);
    assert_int_equal(touched(), P1);
    assert_done(user(lab, "/iface/i1/on=port p1"));
    assert_int_equal(touched(), P1 | I1);
    assert_done(user(lab, "/bridge/br0/port/p0"));
    assert_int_equal(touched(), P0 | BR0);
    assert_done(user(lab, "/iface/i0/on=bridge br0", "/iface/i0/address/10.0.0.1=24"));
    assert_int_equal(touched(), BR0 | I0);
    assert_done(user(lab, "/port/p0/mtu=1000")); /* the interface's MTU follows */
    assert_int_equal(touched(), P0 | I0);
    assert_done(stack(lab, "/port/p1/mac=02:00:00:00:00:99")); /* and its address */
    assert_int_equal(touched(), P1 | I1);
    assert_done(stack(lab, "/port/p1/link=down"));
    assert_int_equal(touched(), P1);
    assert_done(user(lab, "/iface/i1/mac=02:00:00:00:00:99")); /* what it had */
    assert_int_equal(touched(), 0);
    assert_done(user(lab, "/iface/i0/address/10.0.0.1=16"));
    assert_int_equal(touched(), I0);
    assert_done(user(lab, "/bridge/br0/ageing=600"));
    assert_int_equal(touched(), BR0);
    assert_done(user(lab, "/port/a/devargs=net_null5")); /* moves indices, nothing else */
    assert_int_equal(touched(), 0);
    assert_done(user(lab, "-/port/p0"));
    assert_int_equal(touched(), P0 | BR0 | I0); /* the MTU is the default again */
    assert_done(user(lab, "-/iface/i1"));
    assert_int_equal(touched(), P1 | I1);
    for (int i = 0; i < WATCHED; i++)
        ns_anchor_unpin(anchors[i]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mac_addresses_are_parsed_whole),
        cmocka_unit_test(ipv4_addresses_are_parsed_whole),
        cmocka_unit_test(addresses_are_written_as_they_are_read),
        cmocka_unit_test(texts_are_cut_off_where_the_buffer_ends),
        TEST(without_names_there_are_no_links),
        TEST(a_port_is_up_when_the_stack_says_so),
        TEST(a_bridge_finds_its_ports_and_its_interface),
        TEST(an_interface_takes_what_its_port_has),
        TEST(made_addresses_differ_by_name_and_stay),
        TEST(subnets_are_found_by_longest_prefix),
        TEST(ids_stay_with_their_names),
        TEST(ids_end_some_day),
        TEST(a_version_keeps_its_links),
        TEST(right_values_are_taken),
        TEST(wrong_values_are_refused_with_a_reason),
        TEST(mount_points_stay),
        TEST(users_do_not_write_for_the_stack),
        TEST(names_of_the_stack_go_with_the_port),
        TEST(the_stack_is_judged_too),
        TEST(what_two_names_claim_is_refused),
        TEST(the_stack_gives_a_device_once),
        TEST(limits_are_kept),
        TEST(all_refusals_are_told_to_a_judge),
        TEST(names_are_touched_when_what_they_mean_changes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
