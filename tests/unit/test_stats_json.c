/* SPDX-License-Identifier: BSD-3-Clause */
/* Writing JSON into a value. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "dataplane/stats_json.h"

static struct stats_json json;

static void nested(void **state)
{
    (void)state;
    stats_json_begin(&json);
    stats_json_open(&json, NULL, '{');
    stats_json_text(&json, "a", "x");
    stats_json_open(&json, "list", '[');
    stats_json_number(&json, NULL, 1);
    stats_json_number(&json, NULL, UINT64_MAX);
    stats_json_open(&json, NULL, '{');
    stats_json_close(&json, '}');
    stats_json_close(&json, ']');
    stats_json_number(&json, "b", 0);
    stats_json_close(&json, '}');
    assert_false(json.full);
    assert_string_equal(json.text, "{\"a\":\"x\",\"list\":[1,18446744073709551615,{}],\"b\":0}");
    assert_int_equal(json.size, strlen(json.text));
}

static void escapes(void **state)
{
    (void)state;
    stats_json_begin(&json);
    stats_json_text(&json, NULL, "a\"b\\c\n\x01/\xc3\xa4");
    assert_string_equal(json.text, "\"a\\\"b\\\\c\\u000a\\u0001/\xc3\xa4\"");
}

/* Exactly a value's size fits, one byte more does not. */
static void room(void **state)
{
    static char text[NS_VALUE_MAX];

    (void)state;
    memset(text, 'x', sizeof(text));
    text[NS_VALUE_MAX - 2] = '\0';
    stats_json_begin(&json);
    stats_json_text(&json, NULL, text);
    assert_false(json.full);
    assert_int_equal(json.size, NS_VALUE_MAX);
    stats_json_begin(&json);
    stats_json_open(&json, NULL, '[');
    stats_json_text(&json, NULL, text);
    assert_true(json.full);
}

/* What did not fit is taken back, and what follows stands where it would have. */
static void take_back(void **state)
{
    static char text[NS_VALUE_MAX];
    struct stats_json_mark mark;

    (void)state;
    memset(text, 'x', sizeof(text) - 1);
    stats_json_begin(&json);
    stats_json_open(&json, NULL, '[');
    stats_json_number(&json, NULL, 1);
    mark = stats_json_mark(&json);
    stats_json_text(&json, NULL, text);
    assert_true(json.full);
    stats_json_reset(&json, mark);
    assert_false(json.full);
    stats_json_number(&json, NULL, 2);
    stats_json_close(&json, ']');
    assert_string_equal(json.text, "[1,2]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nested),
        cmocka_unit_test(escapes),
        cmocka_unit_test(room),
        cmocka_unit_test(take_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
