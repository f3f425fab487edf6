/* SPDX-License-Identifier: BSD-3-Clause */
#include "cli/text.h"

#include <string.h>

#include "cli/session.h"

size_t text_utf8_size(const char *text, size_t size)
{
    static const struct {
        unsigned char low, high, second_low, second_high;
        size_t size;
    } forms[] = {
        {0x20, 0x7e, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    const unsigned char *byte = (const unsigned char *)text;
    size_t form = 0, i = 2;

    while (form < sizeof(forms) / sizeof(forms[0]) && byte[0] > forms[form].high)
        form++;
    if (form == sizeof(forms) / sizeof(forms[0]) || byte[0] < forms[form].low ||
        size < forms[form].size)
        return 0;
    if (forms[form].size > 1 &&
        (byte[1] < forms[form].second_low || byte[1] > forms[form].second_high))
        return 0;
    while (i < forms[form].size && (byte[i] & 0xc0) == 0x80)
        i++;
    return i >= forms[form].size ? forms[form].size : 0;
}

bool text_is_obeyed(const char *text, size_t size)
{
    unsigned char last = (unsigned char)text[size - 1];

    if (size == 2)
        return text[0] == '\xc2' && last < 0xa0;
    if (size != 3 || text[0] != '\xe2')
        return false;
    return text[1] == '\x80' ? last >= 0xaa && last <= 0xae
                             : text[1] == '\x81' && last >= 0xa6 && last <= 0xa9;
}

static void print_byte(FILE *file, unsigned char byte)
{
    static const char meanings[] = "\n\r\t\\", letters[] = "nrt\\";
    const char *meaning = byte != '\0' ? strchr(meanings, byte) : NULL;

    if (meaning != NULL)
        fprintf(file, "\\%c", letters[meaning - meanings]);
    else
        fprintf(file, "\\x%02x", byte);
}

void text_print(FILE *file, const char *text, size_t size)
{
    for (size_t at = 0; at < size;) {
        size_t character = text_utf8_size(text + at, size - at);

        if (character == 0 || text[at] == '\\' || text_is_obeyed(text + at, character)) {
            print_byte(file, (unsigned char)text[at++]);
            continue;
        }
        fwrite(text + at, 1, character, file);
        at += character;
    }
}

void text_print_string(FILE *file, const char *text)
{
    text_print(file, text, strlen(text));
}

char *text_printable(const char *text, size_t size)
{
    size_t printable_size;
    char *printable;
    FILE *out = must(open_memstream(&printable, &printable_size));

    text_print(out, text, size);
    fclose(out);
    return must(printable);
}
