/* SPDX-License-Identifier: BSD-3-Clause */
/* Stations: learned, moved, aged, flushed; what users may write; what is refused. */
#include "tests/unit/arp_lab.h"
#include "tests/unit/fake_loop.h"

#include "arp/station.h"

static struct lab the_lab, *const lab = &the_lab;
static struct ns_loop *loop;
static struct stations *stations;
static struct ns_stats *stats;
static uint64_t used_at; /* what the lcores would say of every station */
static int used_asked;

static const struct rte_ether_addr mac_a = {{0x52, 0x54, 0, 0, 0, 0xa}},
                                   mac_b = {{0x52, 0x54, 0, 0, 0, 0xb}};
#define STATION_A "/fdb/br0/52:54:00:00:00:0a"
#define STATION_B "/fdb/br0/52:54:00:00:00:0b"

static uint64_t used(void *arg, uint16_t bridge_id, const struct rte_ether_addr *mac)
{
    assert_ptr_equal(arg, lab);
    assert_int_not_equal(bridge_id, 0);
    assert_non_null(mac);
    used_asked++;
    return used_at;
}

/* A bridge of two ports, and a third port beside it. */
static int begin(void **state)
{
    (void)state;
    used_at = used_asked = 0;
    loop = ns_loop_new();
    lab_links_begin(lab);
    assert_int_equal(stations_new(lab->store, loop, lab->links, used, lab, &stations), 0);
    assert_int_equal(ns_stats_new(lab->store, &stats), 0);
    assert_int_equal(stations_stats_add(stations, stats), 0);
    lab_port(lab, "p0", 0);
    lab_port(lab, "p1", 1);
    lab_port(lab, "p2", 2);
    assert_done(user(lab, "/bridge/br0/port/p0", "/bridge/br0/port/p1", "/iface/i0/on=bridge br0",
                     "/iface/i0/mac=02:00:00:00:00:aa"));
    return 0;
}

static int end(void **state)
{
    (void)state;
    stations_free(stations);
    ns_store_free(lab->store);
    links_free(lab->links);
    ns_stats_free(stats);
    ns_loop_free(loop);
    return 0;
}

static uint16_t br0(void)
{
    return links_bridge_id(lab->links, "br0");
}

static int seen(const struct rte_ether_addr *mac, uint16_t port_id)
{
    return stations_seen(stations, br0(), mac, port_id);
}

static struct stations_counters counters(void)
{
    struct stations_counters out;

    stations_counters(stations, &out);
    return out;
}

static uint64_t commits(void)
{
    return ns_store_version(lab->store)->number;
}

/* ---- learning ---- */

static void a_station_is_learned_and_moves_with_one_commit_each(void **state)
{
    uint64_t before = commits();

    (void)state;
    assert_int_equal(seen(&mac_a, 0), 0);
    assert_string_equal(lab_value(lab, STATION_A), "p0 learned");
    assert_int_equal(commits(), before + 1);
    assert_int_equal(seen(&mac_a, 0), 0); /* known */
    assert_int_equal(commits(), before + 1);
    assert_int_equal(seen(&mac_a, 1), 0);
    assert_string_equal(lab_value(lab, STATION_A), "p1 learned");
    assert_int_equal(seen(&mac_a, 0), 0); /* at once back */
    assert_string_equal(lab_value(lab, STATION_A), "p0 learned");
    assert_int_equal(commits(), before + 3);
    assert_int_equal(counters().learned, 1);
    assert_int_equal(counters().moved, 2);
    assert_int_equal(stations_learned(stations), 1);
}

static void a_storm_of_moves_is_followed_to_its_end(void **state)
{
    (void)state;
    for (int i = 0; i <= 2000; i++)
        assert_int_equal(seen(&mac_a, i & 1), 0);
    assert_string_equal(lab_value(lab, STATION_A), "p0 learned");
    assert_int_equal(counters().moved, 2000);
    assert_int_equal(stations_learned(stations), 1);
}

static void addresses_that_are_no_station_are_refused(void **state)
{
    static const struct rte_ether_addr bad[] = {{{1, 0, 0x5e, 0, 0, 1}},
                                                {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}},
                                                {{0}},
                                                {{2, 0, 0, 0, 0, 0xaa}} /* i0's own */};
    uint64_t before = commits();

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(seen(&bad[i], 0), -EINVAL);
    assert_int_equal(counters().refused_address, 4);
    assert_int_equal(commits(), before);
}

static void frames_from_elsewhere_teach_nothing(void **state)
{
    uint64_t before = commits();

    (void)state;
    assert_int_equal(seen(&mac_a, 2), -ENOENT); /* not in the bridge */
    assert_int_equal(seen(&mac_a, 7), -ENOENT); /* no such device */
    assert_int_equal(seen(&mac_a, LINK_NO_ID), -ENOENT);
    assert_int_equal(stations_seen(stations, br0() + 1, &mac_a, 0), -ENOENT);
    assert_int_equal(commits(), before);
    assert_done(stack(lab, "/port/p0/link=down"));
    assert_int_equal(seen(&mac_a, 0), -ENOENT); /* came in before it went down */
    assert_string_equal(lab_value(lab, STATION_A), "(none)");
}

static void no_more_are_learned_than_fit(void **state)
{
    struct rte_ether_addr mac = mac_a;

    (void)state;
    for (uint32_t i = 0; i < STATIONS_MAX; i++) {
        memcpy(mac.addr_bytes + 2, &i, sizeof(i));
        assert_int_equal(seen(&mac, 0), 0);
        if (i % 1024 == 0)
            ns_store_drain(lab->store);
    }
    mac.addr_bytes[0] = 0x56;
    assert_int_equal(seen(&mac, 0), -ENOSPC);
    assert_int_equal(counters().refused_full, 1);
    assert_done(stack(lab, "/port/p0/link=down"));
    assert_int_equal(stations_learned(stations), 0);
    assert_int_equal(counters().flushed, STATIONS_MAX);
    assert_done(stack(lab, "/port/p0/link=up"));
    assert_int_equal(seen(&mac, 0), 0);
}

/* ---- static ones ---- */

static void a_static_station_stays(void **state)
{
    char port[LINK_NAME_MAX];

    (void)state;
    assert_done(user(lab, STATION_A "=p1 static"));
    assert_true(station_static(stations, "br0", &mac_a, port));
    assert_string_equal(port, "p1");
    assert_false(station_static(stations, "br0", &mac_b, port));
    assert_int_equal(seen(&mac_a, 1), 0);
    assert_int_equal(seen(&mac_a, 0), -EPERM);
    assert_int_equal(counters().refused_static, 1);
    fake_loop_advance(loop, 4000 * FAKE_SECOND);
    assert_done(stack(lab, "/port/p1/link=down"));
    assert_done(user(lab, "-/bridge/br0"));
    assert_string_equal(lab_value(lab, STATION_A), "p1 static");
    assert_int_equal(counters().learned + counters().aged + counters().flushed, 0);
}

static void a_learned_one_becomes_static_and_is_forgotten_as_learned(void **state)
{
    char port[LINK_NAME_MAX];

    (void)state;
    assert_int_equal(seen(&mac_a, 0), 0);
    assert_false(station_static(stations, "br0", &mac_a, port));
    assert_done(user(lab, STATION_A "=p0 static"));
    assert_int_equal(stations_learned(stations), 0);
    fake_loop_advance(loop, 400 * FAKE_SECOND);
    assert_string_equal(lab_value(lab, STATION_A), "p0 static");
    assert_done(user(lab, "-" STATION_A));
    assert_int_equal(seen(&mac_a, 1), 0);
    assert_string_equal(lab_value(lab, STATION_A), "p1 learned");
}

static void users_may_remove_what_was_learned(void **state)
{
    (void)state;
    assert_int_equal(seen(&mac_a, 0), 0);
    assert_int_equal(seen(&mac_b, 0), 0);
    assert_done(user(lab, "-" STATION_A));
    assert_int_equal(stations_learned(stations), 1);
    assert_int_equal(seen(&mac_a, 1), 0);
    assert_done(user(lab, "-/fdb/br0"));
    assert_int_equal(stations_learned(stations), 0);
    assert_int_equal(counters().moved, 0);
}

static void values_are_judged(void **state)
{
    static const struct {
        const char *change, *path, *says;
        int error;
    } wrong[] = {
        {"/fdb=x", "/fdb", "its value is empty", EINVAL},
        {"-/fdb", "/fdb", "can't be removed", EPERM},
        {"/fdb/br0=x", "/fdb/br0", "its value is empty", EINVAL},
        {"/fdb/br:0", "/fdb/br:0", "not a name for a bridge", EINVAL},
        {STATION_A "=p0", STATION_A, "'PORT static'", EINVAL},
        {STATION_A "=", STATION_A, "'PORT static'", EINVAL},
        {STATION_A "=p0 Static", STATION_A, "'PORT static'", EINVAL},
        {STATION_A "=p0 static ", STATION_A, "'PORT static'", EINVAL},
        {STATION_A "= static", STATION_A, "'PORT static'", EINVAL},
        {STATION_A "=p+ static", STATION_A, "'PORT static'", EINVAL},
        {STATION_A "=p0 learned", STATION_A,
         "only the stack learns stations; 'p0 static' would be right", EPERM},
        {STATION_A "/x=1", STATION_A, "'PORT static'", EINVAL},
        {"/fdb/br0/52:54:00:00:00:0A=p0 static", "/fdb/br0/52:54:00:00:00:0A", &STATION_A[9],
         EINVAL},
        {"/fdb/br0/52:54:00:00:00=p0 static", "/fdb/br0/52:54:00:00:00", "not a MAC address",
         EINVAL},
        {"/fdb/br0/01:00:5e:00:00:01=p0 static", "/fdb/br0/01:00:5e:00:00:01", "multicast", EINVAL},
        {"/fdb/br0/00:00:00:00:00:00=p0 static", "/fdb/br0/00:00:00:00:00:00", "zero", EINVAL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_refused(user(lab, wrong[i].change), wrong[i].error, wrong[i].path, wrong[i].says);
    assert_done(user(lab, "/fdb/br7/52:54:00:00:00:01=p7 static")); /* of a bridge to come */
    assert_refused(user(lab, "/fdb/br7/52:54:00:00:00:01/x=1"), EINVAL,
                   "/fdb/br7/52:54:00:00:00:01/x", "nothing stands below");
}

static void values_are_parsed(void **state)
{
    char port[LINK_NAME_MAX];
    bool is_static = false;

    (void)state;
    assert_int_equal(station_parse("p0 static", 9, port, &is_static), 0);
    assert_true(is_static);
    assert_string_equal(port, "p0");
    assert_int_equal(station_parse("abcdefghijklmnopqrstuvwxyz01234 learned", 39, port, &is_static),
                     0);
    assert_false(is_static);
    assert_int_equal(
        station_parse("abcdefghijklmnopqrstuvwxyz012345 learned", 40, port, &is_static), -EINVAL);
}

/* ---- ageing ---- */

static void what_is_not_heard_of_ages(void **state)
{
    (void)state;
    assert_int_equal(seen(&mac_a, 0), 0);
    fake_loop_advance(loop, 299 * FAKE_SECOND);
    assert_string_equal(lab_value(lab, STATION_A), "p0 learned");
    assert_int_equal(used_asked, 0);
    fake_loop_advance(loop, 2 * FAKE_SECOND);
    assert_string_equal(lab_value(lab, STATION_A), "(none)");
    assert_int_equal(counters().aged, 1);
    assert_int_equal(stations_learned(stations), 0);
}

static void what_the_lcores_still_hear_stays(void **state)
{
    (void)state;
    assert_int_equal(seen(&mac_a, 0), 0);
    used_at = ns_loop_now(loop) / FAKE_SECOND + 200;
    fake_loop_advance(loop, 301 * FAKE_SECOND);
    assert_string_equal(lab_value(lab, STATION_A), "p0 learned");
    assert_true(used_asked > 0);
    fake_loop_advance(loop, 198 * FAKE_SECOND);
    assert_string_equal(lab_value(lab, STATION_A), "p0 learned");
    fake_loop_advance(loop, 3 * FAKE_SECOND);
    assert_string_equal(lab_value(lab, STATION_A), "(none)");
}

static void a_move_counts_as_heard(void **state)
{
    (void)state;
    assert_int_equal(seen(&mac_a, 0), 0);
    fake_loop_advance(loop, 200 * FAKE_SECOND);
    assert_int_equal(seen(&mac_a, 1), 0);
    fake_loop_advance(loop, 299 * FAKE_SECOND);
    assert_string_equal(lab_value(lab, STATION_A), "p1 learned");
    fake_loop_advance(loop, 2 * FAKE_SECOND);
    assert_string_equal(lab_value(lab, STATION_A), "(none)");
}

static void the_ageing_time_is_the_bridges(void **state)
{
    (void)state;
    assert_done(user(lab, "/bridge/br0/ageing=0"));
    assert_int_equal(seen(&mac_a, 0), 0);
    fake_loop_advance(loop, 5000 * FAKE_SECOND);
    assert_string_equal(lab_value(lab, STATION_A), "p0 learned");
    assert_done(user(lab, "/bridge/br0/ageing=10"));
    assert_int_equal(seen(&mac_b, 0), 0);
    fake_loop_advance(loop, 2 * FAKE_SECOND);
    assert_string_equal(lab_value(lab, STATION_A), "(none)");
    assert_string_equal(lab_value(lab, STATION_B), "p0 learned");
    fake_loop_advance(loop, 9 * FAKE_SECOND);
    assert_string_equal(lab_value(lab, STATION_B), "(none)");
}

static void many_age_in_few_commits(void **state)
{
    struct rte_ether_addr mac = mac_a;
    uint64_t before;

    (void)state;
    for (uint32_t i = 0; i < 2000; i++) {
        memcpy(mac.addr_bytes + 2, &i, sizeof(i));
        assert_int_equal(seen(&mac, 0), 0);
    }
    before = commits();
    fake_loop_advance(loop, 310 * FAKE_SECOND);
    assert_int_equal(stations_learned(stations), 0);
    assert_int_equal(counters().aged, 2000);
    assert_true(commits() - before < 10);
    assert_int_equal(loop->count, 0); /* nothing ticks while there is nothing to age */
}

/* ---- flushing ---- */

static void stations_go_when_their_port_goes_down(void **state)
{
    uint64_t before;

    (void)state;
    assert_int_equal(seen(&mac_a, 0), 0);
    assert_int_equal(seen(&mac_b, 1), 0);
    before = commits();
    assert_done(stack(lab, "/port/p0/link=down"));
    assert_int_equal(commits(), before + 2); /* the link, and all of its stations */
    assert_string_equal(lab_value(lab, STATION_A), "(none)");
    assert_string_equal(lab_value(lab, STATION_B), "p1 learned");
    assert_int_equal(counters().flushed, 1);
    assert_done(stack(lab, "/port/p1/error=vanished"));
    assert_int_equal(counters().flushed, 2);
}

static void stations_go_when_their_port_leaves(void **state)
{
    (void)state;
    assert_int_equal(seen(&mac_a, 0), 0);
    assert_int_equal(seen(&mac_b, 1), 0);
    assert_done(user(lab, "-/bridge/br0/port/p0", "/bridge/br1/port/p0"));
    assert_string_equal(lab_value(lab, STATION_A), "(none)");
    assert_done(user(lab, "-/port/p1"));
    assert_string_equal(lab_value(lab, STATION_B), "(none)");
    assert_int_equal(stations_seen(stations, links_bridge_id(lab->links, "br1"), &mac_a, 0), 0);
    assert_string_equal(lab_value(lab, "/fdb/br1/52:54:00:00:00:0a"), "p0 learned");
}

static void stations_go_with_their_bridge(void **state)
{
    (void)state;
    assert_int_equal(seen(&mac_a, 0), 0);
    assert_int_equal(seen(&mac_b, 1), 0);
    assert_done(user(lab, "-/bridge/br0"));
    assert_int_equal(stations_learned(stations), 0);
    assert_string_equal(lab_value(lab, "/fdb/br0"), "(none)");
    assert_int_equal(counters().flushed, 2);
    /* It comes back, under the same id, and knows nobody. */
    assert_done(user(lab, "/bridge/br0/port/p0"));
    assert_int_equal(seen(&mac_a, 0), 0);
    assert_string_equal(lab_value(lab, STATION_A), "p0 learned");
}

static void other_changes_flush_nothing(void **state)
{
    uint64_t before;

    (void)state;
    assert_int_equal(seen(&mac_a, 0), 0);
    before = commits();
    assert_done(user(lab, "/port/p0/mtu=1400", "-/bridge/br0/port/p9", "/bridge/br0/ageing=100"));
    assert_done(stack(lab, "/port/p1/link=down", "/port/p0/lcore=0"));
    assert_int_equal(commits(), before + 2 + 0);
    assert_string_equal(lab_value(lab, STATION_A), "p0 learned");
}

/* ---- computed names ---- */

static void counters_are_names(void **state)
{
    (void)state;
    assert_int_equal(seen(&mac_a, 0), 0);
    assert_int_equal(seen(&mac_a, 1), 0);
    assert_string_equal(ask(lab, "/stats/stations", true),
                        "aged entries flushed learned moved refused");
    assert_string_equal(ask(lab, "/stats/stations/refused", true), "address full static");
    assert_string_equal(ask(lab, "/stats/stations/learned", true), "");
    assert_string_equal(ask(lab, "/stats/stations/moved", false), "1");
    assert_string_equal(ask(lab, "/stats/stations/entries", false), "1");
    assert_string_equal(ask(lab, "/stats/stations/refused/full", false), "0");
    assert_string_equal(ask(lab, "/stats/stations", false), "");
    assert_string_equal(ask(lab, "/stats/stations/refused", false), "");
    assert_string_equal(ask(lab, "/stats/stations/none", false), strerror(ENOENT));
    assert_string_equal(ask(lab, "/stats/stations/none", true), strerror(ENOENT));
    assert_string_equal(ask(lab, "/stats/stations/refuse", true), strerror(ENOENT));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_station_is_learned_and_moves_with_one_commit_each),
        TEST(a_storm_of_moves_is_followed_to_its_end),
        TEST(addresses_that_are_no_station_are_refused),
        TEST(frames_from_elsewhere_teach_nothing),
        TEST(no_more_are_learned_than_fit),
        TEST(a_static_station_stays),
        TEST(a_learned_one_becomes_static_and_is_forgotten_as_learned),
        TEST(users_may_remove_what_was_learned),
        TEST(values_are_judged),
        cmocka_unit_test(values_are_parsed),
        TEST(what_is_not_heard_of_ages),
        TEST(what_the_lcores_still_hear_stays),
        TEST(a_move_counts_as_heard),
        TEST(the_ageing_time_is_the_bridges),
        TEST(many_age_in_few_commits),
        TEST(stations_go_when_their_port_goes_down),
        TEST(stations_go_when_their_port_leaves),
        TEST(stations_go_with_their_bridge),
        TEST(other_changes_flush_nothing),
        TEST(counters_are_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
