/* SPDX-License-Identifier: BSD-3-Clause */
/* Text of others as people may see it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "cli/text.h"

static const struct {
    const char *text;
    size_t size;
    const char *shown;
} cases[] = {
    {"", 0, ""},
    {"two words, \"quoted\"", 19, "two words, \"quoted\""},
    {"a\nb\tc\r", 6, "a\\nb\\tc\\r"},
    {"back\\slash", 10, "back\\\\slash"},
    {"\033[31mred", 8, "\\x1b[31mred"},
    {"a\0b", 3, "a\\x00b"},
    {"\x7f", 1, "\\x7f"},
    /* UTF-8 is shown, half of a character is not, nor what a terminal obeys */
    {"\xc3\xbc \xe2\x82\xac \xf0\x9f\x98\x80", 11, "\xc3\xbc \xe2\x82\xac \xf0\x9f\x98\x80"},
    {"\xc3", 1, "\\xc3"},
    {"\xff\xfe", 2, "\\xff\\xfe"},
    {"\xc0\x8a", 2, "\\xc0\\x8a"},
    {"\xc2\x9b", 2, "\\xc2\\x9b"},
    {"\xc2\xa0", 2, "\xc2\xa0"},
    {"\xe2\x80\xae", 3, "\\xe2\\x80\\xae"},
    {"\xe2\x81\xa7", 3, "\\xe2\\x81\\xa7"},
    {"\xe2\x80\x94", 3, "\xe2\x80\x94"},
};

static void shown(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *text = text_printable(cases[i].text, cases[i].size);

        assert_string_equal(text, cases[i].shown);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
