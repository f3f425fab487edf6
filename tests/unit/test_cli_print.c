/* SPDX-License-Identifier: BSD-3-Clause */
/* What kedgectl prints: commands that make the names they were printed from, JSON, tables. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/command.h"
#include "cli/json.h"
#include "cli/print.h"
#include "cli/tree.h"
#include "tests/unit/seed.h"

/* ---- a small name space: a tree that commands are applied to ---- */

static struct node root;

static int setup(void **state)
{
    (void)state;
    root = (struct node){.name = strdup(""), .value = strdup("")};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    tree_free(&root);
    return 0;
}

/* The child of that name, made where byte order wants it if it is missing. */
static struct node *child_of(struct node *node, const char *name)
{
    size_t at = 0;

    while (at < node->count && strcmp(node->children[at].name, name) < 0)
        at++;
    if (at < node->count && strcmp(node->children[at].name, name) == 0)
        return &node->children[at];
    node->children = realloc(node->children, (node->count + 1) * sizeof(node->children[0]));
    memmove(&node->children[at + 1], &node->children[at],
            (node->count - at) * sizeof(node->children[0]));
    node->count++;
    node->children[at] = (struct node){.name = strdup(name), .value = strdup("")};
    return &node->children[at];
}

/* value NULL: make it, and keep the value that it has. */
static void put_bytes(const char *path, const char *value, size_t size)
{
    struct node *node = &root;

    while (*path == '/') {
        char *name = strndup(path + 1, strcspn(path + 1, "/"));

        node = child_of(node, name);
        path += 1 + strlen(name);
        free(name);
    }
    if (value == NULL)
        return;
    free(node->value);
    node->value = malloc(size + 1);
    memcpy(node->value, value, size);
    node->value[size] = '\0';
    node->size = size;
}

static void put(const char *path, const char *value)
{
    put_bytes(path, value, strlen(value));
}

static void apply(const char *line, size_t size)
{
    struct command command;
    char why[COMMAND_WHY_MAX] = "";

    if (command_parse_line(line, size, &command, why) != 0)
        fail_msg("%.*s: %s", (int)size, line, why);
    for (size_t i = 0; i < command.op_count; i++) {
        if (command.ops[i].kind == COMMAND_WRITE)
            put(command.ops[i].path, command.ops[i].value);
        else if (command.ops[i].kind == COMMAND_MKDIR)
            put_bytes(command.ops[i].path, NULL, 0);
    }
    command_free(&command);
}

static void apply_all(const char *lines)
{
    while (*lines != '\0') {
        size_t size = strcspn(lines, "\n");

        apply(lines, size);
        lines += size + (lines[size] == '\n');
    }
}

static char *printed(unsigned *left_out)
{
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    *left_out = print_commands(out, &root);
    fclose(out);
    return text;
}

/* All names and values, one a line, to compare trees. */
static void dump(FILE *out, const struct node *node, const char *path)
{
    for (size_t i = 0; i < node->count; i++) {
        const struct node *child = &node->children[i];
        char *below;

        assert_true(asprintf(&below, "%s/%s", path, child->name) > 0);
        fprintf(out, "%s=", below);
        json_bytes(out, child->value, child->size);
        fputc('\n', out);
        dump(out, child, below);
        free(below);
    }
}

static char *dumped(void)
{
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    dump(out, &root, "");
    fclose(out);
    return text;
}

static void empty(void)
{
    tree_free(&root);
    setup(NULL);
}

/* ---- commands ---- */

static const char canonical[] =
    "port add p0 devargs net_af_packet0,iface=eth0 mtu 1500\n"
    "port add p1 devargs net_null0\n"
    "bridge add br0 ageing 300 port p0 port p1\n"
    "bridge add br1\n"
    "iface add br0 on bridge br0 mode bound mac 02:00:00:00:00:01 address 10.0.0.1/24 "
    "address 10.1.0.1/16\n"
    "iface add up on port p9\n"
    "fdb add br0 02:00:00:00:00:05 port p1\n"
    "neigh add br0 10.0.0.5 mac 02:00:00:00:00:05\n"
    "route add 0.0.0.0/0 via 10.0.0.7\n"
    "route add 10.2.0.0/16 dev br0\n"
    "route add 10.3.0.0/16 blackhole\n"
    "flow add all\n"
    "flow add web dst=10.0.0.0/24 proto=tcp dport=80 priority -7 action via 10.0.0.5\n"
    "name add /app/leaf\n"
    "name add /app/text \"two words\"\n";

static void canonical_lines_come_back(void **state)
{
    unsigned left_out;
    char *text;

    (void)state;
    apply_all(canonical);
    text = printed(&left_out);
    assert_string_equal(text, canonical);
    assert_int_equal(left_out, 0);
    free(text);
}

static void what_the_stack_writes_is_left_out(void **state)
{
    unsigned left_out;
    char *text;

    (void)state;
    apply_all("port add p0 devargs net_null0\nbridge add br0 port p0");
    put("/port/p0/link", "up");
    put("/port/p0/mac", "02:00:00:00:00:01");
    put("/port/p0/error", "it has gone");
    put("/port/p0/id", "0");
    put("/port/p0/lcore", "1");
    put("/fdb/br0/02:00:00:00:00:05", "p0 learned");
    put("/neigh/br0/10.0.0.5", "02:00:00:00:00:05 learned");
    put("/neigh/br0/10.0.0.6", "failed");
    put("/stats/ready", "1");
    put("/local", "");
    text = printed(&left_out);
    assert_string_equal(text, "port add p0 devargs net_null0\nbridge add br0 port p0\n");
    assert_int_equal(left_out, 0);
    free(text);
}

/* Names that no command of their noun makes are printed as what they are. */
static void odd_objects(void **state)
{
    unsigned left_out;
    char *text;

    (void)state;
    put("/port/half/mtu", "1500");
    put("/bridge/br0/port", "");
    put("/iface/i/mode", "bound");
    put("/route/10.0.0.0/8", "via  10.0.0.1");
    put("/flow/f/action", "drop");
    put("/flow/g/match", "dst=10.0.0.0/8  proto=tcp");
    put("/local/domain/0/name", "Domain-0");
    text = printed(&left_out);
    assert_string_equal(text, "name add /port/half/mtu 1500\n"
                              "bridge add br0\n"
                              "name add /iface/i/mode bound\n"
                              "name add /route/10.0.0.0/8 \"via  10.0.0.1\"\n"
                              "name add /flow/f/action drop\n"
                              "name add /flow/g/match \"dst=10.0.0.0/8  proto=tcp\"\n"
                              "name add /local/domain/0/name Domain-0\n");
    assert_int_equal(left_out, 0);
    free(text);
}

static void a_nul_is_left_out_and_said(void **state)
{
    unsigned left_out;
    char *text;

    (void)state;
    put_bytes("/app/binary", "a\0b", 3);
    put("/app/other", "x");
    text = printed(&left_out);
    assert_int_equal(left_out, 1);
    assert_non_null(strstr(text, "# /app/binary has a NUL byte"));
    assert_non_null(strstr(text, "name add /app/other x\n"));
    free(text);
}

/* More members than one command can take. */
static void long_lists(void **state)
{
    unsigned left_out, lines = 0;
    char path[64], *text, *before, *after;

    (void)state;
    apply_all("iface add i on port p0");
    for (int i = 1; i <= 100; i++) {
        snprintf(path, sizeof(path), "/iface/i/address/10.0.%d.1", i);
        put(path, "24");
    }
    before = dumped();
    text = printed(&left_out);
    assert_int_equal(left_out, 0);
    assert_null(strstr(text, "name add"));
    for (const char *at = text; *at != '\0'; at++)
        lines += *at == '\n';
    assert_int_equal(lines, 5);
    empty();
    apply_all(text);
    after = dumped();
    assert_string_equal(after, before);
    free(text);
    free(before);
    free(after);
}

/* ---- any names ---- */

static void put_random_value(const char *path)
{
    static const char *const values[] = {
        "",    "a",        "two words",      "#",      "\"",          "\\",    "'",
        "\n",  "\xff\x80", "port p0",        "10",     "via 1.2.3.4", "drop",  "p0 static",
        " x ", "x  y",     "dst=1.2.3.4/32", "reject", "via",         "static"};
    char bytes[40];
    size_t size = seed_below(sizeof(bytes));

    if (seed_below(3) > 0) {
        put(path, values[seed_below(sizeof(values) / sizeof(values[0]))]);
        return;
    }
    for (size_t i = 0; i < size; i++)
        bytes[i] = (char)(1 + seed_below(255));
    put_bytes(path, bytes, size);
}

static void put_random_name(void)
{
    static const char *const places[] = {"/port/p%u/devargs",
                                         "/port/p%u/mtu",
                                         "/bridge/b%u/port/x",
                                         "/bridge/b%u/ageing",
                                         "/bridge/b%u",
                                         "/iface/i%u/on",
                                         "/iface/i%u/mode",
                                         "/iface/i%u/address/1.2.3.4",
                                         "/fdb/b0/m%u",
                                         "/neigh/i0/10.0.0.%u",
                                         "/route/10.0.0.0/%u",
                                         "/flow/f%u/match",
                                         "/flow/f%u/action",
                                         "/flow/f%u/priority",
                                         "/x%u/y",
                                         "/x/y%u/z"};
    char path[64];
    const char *place = places[seed_below(sizeof(places) / sizeof(places[0]))];
    const char *mark = strstr(place, "%u");

    snprintf(path, sizeof(path), "%.*s%u%s", (int)(mark - place), place, seed_below(3), mark + 2);
    put_random_value(path);
}

/* Whatever is in the name space: the lines make it again. What is left out are lists without members. */
static void any_names_come_back(void **state)
{
    (void)state;
    seed_begin();
    for (unsigned i = 0; i < 3000 * seed_scale(); i++) {
        unsigned left_out;
        char *text, *again, *before, *after;

        empty();
        for (unsigned j = seed_below(20); j > 0; j--)
            put_random_name();
        before = dumped();
        text = printed(&left_out);
        assert_int_equal(left_out, 0);
        empty();
        apply_all(text);
        after = dumped();
        again = printed(&left_out);
        assert_string_equal(after, before);
        assert_string_equal(again, text);
        free(text);
        free(again);
        free(before);
        free(after);
    }
}

/* ---- JSON ---- */

static char *as_json(const char *bytes, size_t size)
{
    char *text;
    size_t used;
    FILE *out = open_memstream(&text, &used);

    json_bytes(out, bytes, size);
    fclose(out);
    return text;
}

static void json_strings(void **state)
{
    static const struct {
        const char *bytes, *json;
    } cases[] = {
        {"", "\"\""},
        {"a\"b\\c", "\"a\\\"b\\\\c\""},
        {"\n\x1f\x7f", "\"\\u000a\\u001f\\u007f\""},
        {"gr\xc3\xbc\xc3\x9f", "\"gr\xc3\xbc\xc3\x9f\""},
        {"\xe2\x82\xac \xf0\x9f\x9a\xa2", "\"\xe2\x82\xac \xf0\x9f\x9a\xa2\""},
        {"\xff", "\"\\u00ff\""},                       /* never in UTF-8 */
        {"\xc3", "\"\\u00c3\""},                       /* cut off */
        {"\xc0\x80", "\"\\u00c0\\u0080\""},            /* longer than need be */
        {"\xed\xa0\x80", "\"\\u00ed\\u00a0\\u0080\""}, /* a surrogate */
        {"\xe2\x82"
         "a",
         "\"\\u00e2\\u0082a\""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *text = as_json(cases[i].bytes, strlen(cases[i].bytes));

        assert_string_equal(text, cases[i].json);
        free(text);
    }
}

static void json_numbers(void **state)
{
    static const char *const numbers[] = {"0", "7", "18446744073709551615", "12.5", "0.25"};
    static const char *const texts[] = {"",    "007",   "1.",  ".5",  "-1",
                                        "1e5", "1.2.3", "1 2", "0x1", "123456789012345678901"};

    (void)state;
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]) + sizeof(texts) / sizeof(texts[0]);
         i++) {
        bool number = i < sizeof(numbers) / sizeof(numbers[0]);
        const char *value = number ? numbers[i] : texts[i - sizeof(numbers) / sizeof(numbers[0])];
        char *text;
        size_t size;
        FILE *out = open_memstream(&text, &size);

        json_value(out, value);
        fclose(out);
        assert_int_equal(text[0] == '"', !number);
        free(text);
    }
}

static void json_is_read(void **state)
{
    struct node tree;

    (void)state;
    assert_int_equal(tree_parse_json(" {\"a\": [1, -2.5, {\"b\":\"x\\n\\u00e9\\\"\"}], \"c\":null,"
                                     "\"d\":{}, \"e\":[] } ",
                                     &tree),
                     0);
    assert_int_equal(tree.kind, NODE_OBJECT);
    assert_int_equal(tree.count, 4);
    assert_string_equal(tree.children[0].children[1].value, "-2.5");
    assert_string_equal(node_text(&tree.children[0].children[2], "b"), "x\n\xc3\xa9\"");
    assert_string_equal(node_text(&tree, "c"), "null");
    assert_string_equal(node_text(&tree, "f"), "");
    assert_int_equal(node_child(&tree, "e")->kind, NODE_ARRAY);
    tree_free(&tree);
}

static void json_mistakes(void **state)
{
    static const char *const texts[] = {"",      "{",  "[1,]",  "{\"a\"}",    "{\"a\":}",
                                        "{a:1}", "[1", "\"abc", "\"\\x\"",    "\"\\u12\"",
                                        "1 2",   "]",  "[1}",   "{\"a\":1,}", "\"\\"};
    char deep[100];
    struct node tree;

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        assert_int_equal(tree_parse_json(texts[i], &tree), -EINVAL);
    memset(deep, '[', sizeof(deep));
    deep[sizeof(deep) - 1] = '\0';
    assert_int_equal(tree_parse_json(deep, &tree), -EINVAL);
}

int main(void)
{
#define NAMES_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        NAMES_TEST(canonical_lines_come_back),
        NAMES_TEST(what_the_stack_writes_is_left_out),
        NAMES_TEST(odd_objects),
        NAMES_TEST(a_nul_is_left_out_and_said),
        NAMES_TEST(long_lists),
        NAMES_TEST(any_names_come_back),
        cmocka_unit_test(json_strings),
        cmocka_unit_test(json_numbers),
        cmocka_unit_test(json_is_read),
        cmocka_unit_test(json_mistakes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
