/* SPDX-License-Identifier: BSD-3-Clause */
/* The grammar of commands: what lines are translated into, what is said about those that are wrong. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cli/command.h"
#include "cli/words.h"
#include "tests/unit/seed.h"

static char why[COMMAND_WHY_MAX];

static int parse(const char *line, struct command *command)
{
    why[0] = '\0';
    return command_parse_line(line, strlen(line), command, why);
}

/* Operations as text: "? PATH" must be there, "! PATH" must not, "+ PATH", "- PATH",
 * "~ PATH" goes if it is empty, "PATH=VALUE". */
static void describe(const struct command *command, char *text, size_t size)
{
    static const char *const signs[] = {"", "+ ", "- ", "~ ", "? ", "! "};
    size_t used = 0;

    text[0] = '\0';
    for (size_t i = 0; i < command->op_count; i++) {
        const struct command_op *op = &command->ops[i];
        bool write = op->kind == COMMAND_WRITE;

        used +=
            (size_t)snprintf(text + used, size - used, "%s%s%s%s%s", i == 0 ? "" : "; ",
                             signs[op->kind], op->path, write ? "=" : "", write ? op->value : "");
    }
}

/* ---- right lines ---- */

static const struct {
    const char *line, *ops;
} right[] = {
    {"port add p0 devargs net_null0", "! /port/p0; /port/p0/devargs=net_null0; + /port/p0"},
    {"port add p0 mtu 9000 devargs net_af_packet0,iface=eth0",
     "! /port/p0; /port/p0/mtu=9000; /port/p0/devargs=net_af_packet0,iface=eth0; + /port/p0"},
    {"port set p0 mtu 1400", "? /port/p0; /port/p0/mtu=1400"},
    {"port del p0", "? /port/p0; - /port/p0"},
    {"bridge add br0", "! /bridge/br0; + /bridge/br0"},
    {"bridge add br0 port p1 port p2 ageing 300",
     "! /bridge/br0; /bridge/br0/port/p1=; /bridge/br0/port/p2=; /bridge/br0/ageing=300; "
     "+ /bridge/br0"},
    {"bridge del br0 port p1", "? /bridge/br0/port/p1; - /bridge/br0/port/p1"},
    {"iface add i on port p0 address 10.0.0.1/24 address 10.1.0.1/16 mode bound",
     "! /iface/i; /iface/i/on=port p0; /iface/i/address/10.0.0.1=24; "
     "/iface/i/address/10.1.0.1=16; /iface/i/mode=bound; + /iface/i"},
    {"iface set i on bridge br0 mac 02:00:00:00:00:01",
     "? /iface/i; /iface/i/on=bridge br0; /iface/i/mac=02:00:00:00:00:01"},
    {"iface del i address 10.0.0.1/24", "? /iface/i/address/10.0.0.1; - /iface/i/address/10.0.0.1"},
    {"iface del i address 10.0.0.1", "? /iface/i/address/10.0.0.1; - /iface/i/address/10.0.0.1"},
    {"fdb add br0 02:00:00:00:00:01 port p1",
     "! /fdb/br0/02:00:00:00:00:01; /fdb/br0/02:00:00:00:00:01=p1 static"},
    {"neigh add br0 10.0.0.5 mac 02:00:00:00:00:05",
     "! /neigh/br0/10.0.0.5; /neigh/br0/10.0.0.5=02:00:00:00:00:05 static"},
    {"neigh set br0 10.0.0.5 lladdr 02:00:00:00:00:05",
     "? /neigh/br0/10.0.0.5; /neigh/br0/10.0.0.5=02:00:00:00:00:05 static"},
    {"neigh del br0 10.0.0.5", "? /neigh/br0/10.0.0.5; - /neigh/br0/10.0.0.5"},
    {"route add 10.1.0.0/16 via 10.0.0.5", "! /route/10.1.0.0/16; /route/10.1.0.0/16=via 10.0.0.5"},
    {"route add default dev br0", "! /route/0.0.0.0/0; /route/0.0.0.0/0=dev br0"},
    {"route add 10.0.0.7 blackhole", "! /route/10.0.0.7/32; /route/10.0.0.7/32=blackhole"},
    {"route set 10.0.0.0/8 reject", "? /route/10.0.0.0/8; /route/10.0.0.0/8=reject"},
    {"route del default", "? /route/0.0.0.0/0; - /route/0.0.0.0/0; ~ /route/0.0.0.0"},
    {"flow add all", "! /flow/all; /flow/all/match="},
    {"flow add web proto=tcp dport=80 priority -5 action via 10.0.0.5",
     "! /flow/web; /flow/web/priority=-5; /flow/web/action=via 10.0.0.5; "
     "/flow/web/match=proto=tcp dport=80"},
    {"flow add web match \"proto=tcp dport=80\" action drop",
     "! /flow/web; /flow/web/match=proto=tcp dport=80; /flow/web/action=drop"},
    {"flow set web action count", "? /flow/web; /flow/web/action=count"},
    {"flow set web dst=10.0.0.0/8", "? /flow/web; /flow/web/match=dst=10.0.0.0/8"},
    {"name add /a/b 'x  y'", "! /a/b; /a/b=x  y"},
    {"name add /a/b", "! /a/b; + /a/b"},
    {"name set /a/b \"\"", "? /a/b; /a/b="},
    {"name del /a", "? /a; - /a"},
    /* how lines are split */
    {"  route\tdel   10.0.0.0/8   # all of it",
     "? /route/10.0.0.0/8; - /route/10.0.0.0/8; ~ /route/10.0.0.0"},
    {"name add /a x#y", "! /a; /a=x#y"},
    {"name add /a \"\\\"\\\\\\x41\\n\\q\"", "! /a; /a=\"\\A\nq"},
    {"name add /a 'a\\n'\"b\"c", "! /a; /a=a\\nbc"},
    {"name add /a b\\ c", "! /a; /a=b c"},
};

static void right_lines(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++) {
        struct command command;
        char text[2048];

        if (parse(right[i].line, &command) != 0)
            fail_msg("%s: %s", right[i].line, why);
        describe(&command, text, sizeof(text));
        assert_string_equal(text, right[i].ops);
        command_free(&command);
    }
}

static void empty_lines(void **state)
{
    static const char *const lines[] = {"", "   ", "\t\r\n", "# comment", "   # \"open"};

    (void)state;
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        struct command command;

        assert_int_equal(parse(lines[i], &command), 0);
        assert_null(command.noun);
        assert_int_equal(command.op_count, 0);
    }
}

/* ---- wrong lines ---- */

static const struct {
    const char *line, *says;
    int rc;
} wrong[] = {
    {"prot add p0", "\"prot\" is not a thing that can be configured; did you mean \"port\"?",
     -ENOENT},
    {"port show", "\"show\" is not something to be done here", -ENOENT},
    {"port ad p0", "did you mean \"add\"?", -ENOENT},
    {"port", "what is to be done with \"port\"? add, set or del would be right", -ENOENT},
    {"port add", "NAME is missing: port add NAME", -EINVAL},
    {"port add p0", "\"devargs\" is missing: devargs DEVARGS", -EINVAL},
    {"port add p0 devargs", "the value is missing after \"devargs\"", -EINVAL},
    {"port add p0 devargs a devargs b", "\"devargs\" is given twice", -EINVAL},
    {"port add p0 devarg a", "\"devarg\" is not a property of a port; did you mean \"devargs\"?",
     -EINVAL},
    {"port add a/b devargs x",
     "\"a/b\" is not a NAME: 1 to 31 letters, digits, '-', '_' or '.' would be", -EINVAL},
    {"port add \"\" devargs x", "\"\" is not a NAME", -EINVAL},
    {"port set p0", "nothing to change", -EINVAL},
    {"port del p0 mtu", "\"mtu\" is too much: del removes the whole port", -EINVAL},
    {"bridge add br0 port a/b", "\"a/b\" is not a port", -EINVAL},
    {"bridge del br0 port", "the value is missing after \"port\"", -EINVAL},
    {"bridge del br0 port a port b", "\"port\" is too much: one port at a time", -EINVAL},
    {"bridge del br0 prt a", "did you mean \"port\"?", -EINVAL},
    {"iface add i", "\"on\" is missing: on port NAME or bridge NAME", -EINVAL},
    {"iface add i on eth0 p0",
     "\"eth0\" is not what an interface can be on; port or bridge would be", -EINVAL},
    {"iface add i on brige br0", "did you mean \"bridge\"?", -EINVAL},
    {"iface add i on port", "the name of the port is missing after \"on port\"", -EINVAL},
    {"iface add i on port p0 address 10.0.0.1",
     "\"10.0.0.1\" is not an address with its prefix length; 10.0.0.1/24 would be", -EINVAL},
    {"iface set i speed 10", "is not a property of an interface", -EINVAL},
    {"fdb add br0", "MAC is missing: fdb add BRIDGE MAC", -EINVAL},
    {"fdb add br0 02:00:00:00:00:01", "\"port\" is missing", -EINVAL},
    {"neigh add br0 10.0.0.5", "\"mac\" is missing", -EINVAL},
    {"neigh add br0 10.0.0.5 mac 02:00:00:00:00:01 lladdr 02:00:00:00:00:02", "it has one already",
     -EINVAL},
    {"neigh add br0 10.0.0.5 mac zz", "\"zz\" is not a MAC address; 52:54:00:12:34:56 would be",
     -EINVAL},
    {"neigh add br0 10.0.0.5 mac 02:00:00:00:00:0", "is not a MAC address", -EINVAL},
    {"neigh add br0 10.0.0.5 lladdr 02:00:00:00:00:011", "is not a MAC address", -EINVAL},
    {"route add", "PREFIX is missing: route add 10.1.0.0/16", -EINVAL},
    {"route add /8 via 10.0.0.1", "\"/8\" is not a prefix; 10.1.0.0/16 would be", -EINVAL},
    {"route add 10.0.0.0/8/8 reject", "is not a prefix", -EINVAL},
    {"route add 10.0.0.0/8", "where to?", -EINVAL},
    {"route add 10.0.0.0/8 via", "the value is missing after \"via\": ADDRESS", -EINVAL},
    {"route add 10.0.0.0/8 vai 10.0.0.1", "did you mean \"via\"?", -EINVAL},
    {"route add 10.0.0.0/8 via 10.0.0.1 dev br0", "a route goes one way", -EINVAL},
    {"flow add f prto=tcp", "\"prto=\" is not a property of a flow; did you mean \"proto=\"?",
     -EINVAL},
    {"flow add f match a dst=b", "not both", -EINVAL},
    {"flow add f action vai 1.2.3.4", "\"vai\" is not an action; did you mean \"via\"?", -EINVAL},
    {"flow add f action 1.2.3.4", "is not an action; route, via, drop or count would be", -EINVAL},
    {"name add", "PATH is missing", -EINVAL},
    {"name add a", "PATH is missing, and begins with '/'", -EINVAL},
    {"name add /a b c", "\"c\" is too much: one value", -EINVAL},
    {"name add /a \"b", "a quote is not closed; end it with \"", -EINVAL},
    {"name add /a 'b", "a quote is not closed; end it with '", -EINVAL},
    {"name add /a \"\\x4\"", "hexadecimal", -EINVAL},
    {"name add /a \"\\x00\"", "hexadecimal", -EINVAL},
    {"name add /a \x01", "byte 0x01 is not text", -EINVAL},
    {"name add /a \"\x7f\"", "byte 0x7f is not text", -EINVAL},
    {"name add /a \"\\\x07\"", "byte 0x07 is not text", -EINVAL},
};

static void wrong_lines(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct command command;
        int rc = parse(wrong[i].line, &command);

        if (rc != wrong[i].rc || strstr(why, wrong[i].says) == NULL)
            fail_msg("%s: %d, \"%s\" instead of %d, \"%s\"", wrong[i].line, rc, why, wrong[i].rc,
                     wrong[i].says);
        assert_int_equal(command.op_count, 0);
    }
}

static void refusals_of_add_and_set(void **state)
{
    struct command command;

    (void)state;
    assert_int_equal(parse("neigh add br0 10.0.0.5 mac 02:00:00:00:00:05", &command), 0);
    assert_string_equal(command.ops[0].value,
                        "neighbour br0 10.0.0.5 exists already; use set to change it");
    command_free(&command);
    assert_int_equal(parse("iface set i mode static", &command), 0);
    assert_string_equal(command.ops[0].value, "there is no interface i; use add");
    command_free(&command);
    assert_int_equal(parse("iface del i address 10.0.0.1/24", &command), 0);
    assert_string_equal(command.ops[0].value, "interface i has no address 10.0.0.1/24");
    command_free(&command);
}

/* ---- limits ---- */

static void too_many_words(void **state)
{
    char line[COMMAND_WORDS_MAX * 4] = "name add /a";
    struct command command;

    (void)state;
    for (int i = 3; i <= COMMAND_WORDS_MAX; i++)
        strcat(line, " w");
    assert_int_equal(parse(line, &command), -EINVAL);
    assert_non_null(strstr(why, "more than 64 words"));
}

static void long_words(void **state)
{
    char line[8192], name[4096];
    struct command command;

    (void)state;
    memset(name, 'a', sizeof(name));
    name[0] = '/';
    name[COMMAND_PATH_MAX - 1] = '\0';
    snprintf(line, sizeof(line), "name add %s", name);
    assert_int_equal(parse(line, &command), 0);
    assert_string_equal(command.ops[1].path, name);
    command_free(&command);
    name[COMMAND_PATH_MAX - 1] = 'a';
    name[COMMAND_PATH_MAX] = '\0';
    snprintf(line, sizeof(line), "name add %s", name);
    assert_int_equal(parse(line, &command), -EINVAL);
    assert_non_null(strstr(why, "longer than 3072 bytes"));
    snprintf(line, sizeof(line), "port add %s devargs x", name + 1);
    assert_int_equal(parse(line, &command), -EINVAL);
}

/* A value is cut nowhere. */
static void long_values(void **state)
{
    static const struct {
        const char *format, *before, *after;
    } lines[] = {
        {"port set p devargs %s", "", ""},
        {"route add 10.0.0.0/8 via %s", "via ", ""},
        {"fdb add br0 02:00:00:00:00:01 port %s", "", " static"},
        {"iface add i on port %s", "port ", ""},
        {"flow set f action via %s", "via ", ""},
        {"flow set f priority %s", "", ""},
        {"name set /a %s", "", ""},
    };
    char line[8192], value[4096], expected[8192];
    struct command command;

    (void)state;
    memset(value, 'v', sizeof(value));
    value[3000] = '\0';
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        snprintf(line, sizeof(line), lines[i].format, value);
        snprintf(expected, sizeof(expected), "%s%s%s", lines[i].before, value, lines[i].after);
        assert_int_equal(parse(line, &command), 0);
        assert_string_equal(command.ops[1].value, expected);
        command_free(&command);
    }
    snprintf(line, sizeof(line), "flow set f dst=%s", value);
    assert_int_equal(parse(line, &command), -EINVAL);
    assert_string_equal(why, "the match is too long");
}

/* ---- names of objects ---- */

static void locating(void **state)
{
    static const char *const words[] = {"br0", "10.0.0.5", "more"}, *const prefix[] = {
                                                                        "10.0.0.0/8"};
    char path[COMMAND_PATH_MAX], title[COMMAND_TITLE_MAX];

    (void)state;
    assert_int_equal(command_locate("neigh", words, 0, path, title, why), 0);
    assert_string_equal(path, "/neigh");
    assert_int_equal(command_locate("neigh", words, 1, path, title, why), 0);
    assert_string_equal(path, "/neigh/br0");
    assert_int_equal(command_locate("neigh", words, 2, path, title, why), 0);
    assert_string_equal(path, "/neigh/br0/10.0.0.5");
    assert_string_equal(title, "neighbour br0 10.0.0.5");
    assert_int_equal(command_locate("neigh", words, 3, path, title, why), -EINVAL);
    assert_string_equal(why, "\"more\" is too much");
    assert_int_equal(command_locate("route", prefix, 1, path, title, why), 0);
    assert_string_equal(path, "/route/10.0.0.0/8");
    assert_int_equal(command_locate("route", prefix, 0, path, title, why), 0);
    assert_string_equal(path, "/route");
}

static void nearest_words(void **state)
{
    static const char *const list[] = {"port", "bridge", "neigh", NULL};

    (void)state;
    assert_string_equal(words_nearest("prot", list), "port");
    assert_string_equal(words_nearest("bridge1", list), "bridge");
    assert_string_equal(words_nearest("neihg", list), "neigh");
    assert_null(words_nearest("x", list));
    assert_null(words_nearest("something-quite-different-and-long", list));
    assert_null(words_nearest("", list));
}

/* ---- any bytes ---- */

static size_t random_line(char *line, size_t size)
{
    static const char *const pieces[] = {
        "port",    "bridge", "iface", "fdb",     "neigh",    "route",    "flow",    "name",
        "add",     "set",    "del",   "devargs", "mtu",      "on",       "address", "mode",
        "via",     "dev",    "match", "action",  "priority", "default",  "/a/b",    "10.0.0.0/8",
        "src=1.2", "dst=",   "\"",    "'",       "\\",       "\\x41",    "#",       "\x01",
        "p0",      "br0",    "drop",  "reject",  "mac",      "blackhole"};
    size_t used = 0;

    for (unsigned i = seed_below(12); i > 0 && used + 16 < size; i--)
        used += (size_t)snprintf(line + used, size - used, "%s%s",
                                 pieces[seed_below(sizeof(pieces) / sizeof(pieces[0]))],
                                 seed_below(8) == 0 ? "" : " ");
    for (unsigned i = seed_below(4); i > 0 && used > 0; i--)
        line[seed_below((unsigned)used)] = (char)seed_below(256);
    return used;
}

/* Never reads or writes beyond, and says something about each mistake. */
static void garbage(void **state)
{
    unsigned accepted = 0;

    (void)state;
    seed_begin();
    for (unsigned i = 0; i < 200000 * seed_scale(); i++) {
        char line[256];
        size_t size = random_line(line, sizeof(line));
        struct command command;
        int rc;

        why[0] = '\0';
        rc = command_parse_line(line, size, &command, why);
        assert_true(rc == 0 || ((rc == -EINVAL || rc == -ENOENT) && why[0] != '\0'));
        accepted += rc == 0 && command.noun != NULL;
        for (size_t j = 0; rc == 0 && j < command.op_count; j++)
            assert_int_equal(command.ops[j].path[0], '/');
        command_free(&command);
    }
    assert_true(accepted > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(right_lines),    cmocka_unit_test(empty_lines),
        cmocka_unit_test(wrong_lines),    cmocka_unit_test(refusals_of_add_and_set),
        cmocka_unit_test(too_many_words), cmocka_unit_test(long_words),
        cmocka_unit_test(long_values),    cmocka_unit_test(locating),
        cmocka_unit_test(nearest_words),  cmocka_unit_test(garbage),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
