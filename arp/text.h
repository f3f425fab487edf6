/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Putting names together piece by piece. To compile a record the names on its chain are read, half a dozen; with
 * printf() that took half a microsecond of each change.
 *
 *     char *at = text_put(path, path + size, "/route/");
 *     text_put_number(text_put(at, path + size, address), path + size, length);
 *
 * Thread safety: any thread.
 */
#ifndef KEDGE_ARP_TEXT_H
#define KEDGE_ARP_TEXT_H

/* Append a text at the place of a NUL, or at the beginning of a buffer that ends at end and is not empty. What has no
 * room is cut off; there is a NUL in any case, and its place is returned. */
static inline char *text_put(char *at, const char *end, const char *text)
{
    while (*text != '\0' && end - at > 1)
        *at++ = *text++;
    *at = '\0';
    return at;
}

static inline char *text_put_number(char *at, const char *end, unsigned number)
{
    char digits[3 * sizeof(number) + 1], *first = &digits[sizeof(digits) - 1];

    *first = '\0';
    do
        *--first = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    return text_put(at, end, first);
}

#endif
