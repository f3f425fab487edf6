/* SPDX-License-Identifier: BSD-3-Clause */
/* Splitting a line into words, and finding the word that was meant. */
#include "cli/words.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "cli/command.h"

/* ---- splitting ---- */

struct splitter {
    const char *at, *end;
    char *out;
    char *why;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static int bad_byte(struct splitter *splitter)
{
    unsigned char c = (unsigned char)*splitter->at;

    if (c >= 0x20 && c != 0x7f)
        return 0;
    snprintf(splitter->why, COMMAND_WHY_MAX, "byte 0x%02x is not text", c);
    return -EINVAL;
}

static int hex_digit(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *digit = c == '\0' ? NULL : strchr(digits, tolower((unsigned char)c));

    return digit == NULL ? -1 : (int)(digit - digits);
}

/* xHH: a byte that is no text. */
static int take_hex(struct splitter *splitter)
{
    bool whole = splitter->end - splitter->at >= 3;
    int high = whole ? hex_digit(splitter->at[1]) : -1;
    int low = whole ? hex_digit(splitter->at[2]) : -1;

    if (high < 0 || low < 0 || high + low == 0) {
        snprintf(splitter->why, COMMAND_WHY_MAX,
                 "\\x is not followed by two hexadecimal digits of a byte; \\x0a would be right");
        return -EINVAL;
    }
    *splitter->out++ = (char)(high * 16 + low);
    splitter->at += 3;
    return 0;
}

/* What follows \ inside of "...". */
static int take_escape(struct splitter *splitter)
{
    static const char letters[] = "nrt", meanings[] = "\n\r\t";
    const char *letter;

    if (bad_byte(splitter) != 0)
        return -EINVAL;
    if (*splitter->at == 'x')
        return take_hex(splitter);
    letter = strchr(letters, *splitter->at);
    *splitter->out++ = letter != NULL ? meanings[letter - letters] : *splitter->at;
    splitter->at++;
    return 0;
}

/* The inside of "..." (with escapes) or '...' (without). */
static int take_quoted(struct splitter *splitter, char quote)
{
    int rc = 0;

    splitter->at++;
    while (rc == 0 && splitter->at < splitter->end) {
        if (*splitter->at == quote) {
            splitter->at++;
            return 0;
        }
        if (*splitter->at == '\\' && quote == '"' && splitter->at + 1 < splitter->end) {
            splitter->at++;
            rc = take_escape(splitter);
            continue;
        }
        rc = bad_byte(splitter);
        *splitter->out++ = *splitter->at++;
    }
    if (rc == 0)
        snprintf(splitter->why, COMMAND_WHY_MAX, "a quote is not closed; end it with %c", quote);
    return -EINVAL;
}

static int take_word(struct splitter *splitter)
{
    int rc = 0;

    while (rc == 0 && splitter->at < splitter->end && !is_blank(*splitter->at)) {
        if (*splitter->at == '"' || *splitter->at == '\'') {
            rc = take_quoted(splitter, *splitter->at);
            continue;
        }
        if (*splitter->at == '\\' && splitter->at + 1 < splitter->end)
            splitter->at++;
        rc = bad_byte(splitter);
        *splitter->out++ = *splitter->at++;
    }
    *splitter->out++ = '\0';
    return rc;
}

int command_split(const char *line, size_t size, char *buffer, const char *words[COMMAND_WORDS_MAX],
                  char *why)
{
    struct splitter splitter = {line, line + size, buffer, why};
    int count = 0;

    for (;;) {
        while (splitter.at < splitter.end && is_blank(*splitter.at))
            splitter.at++;
        if (splitter.at == splitter.end || *splitter.at == '#')
            return count;
        if (count == COMMAND_WORDS_MAX) {
            snprintf(why, COMMAND_WHY_MAX, "more than %d words; quote what belongs together",
                     COMMAND_WORDS_MAX);
            return -EINVAL;
        }
        words[count++] = splitter.out;
        if (take_word(&splitter) != 0)
            return -EINVAL;
    }
}

/* ---- what was meant ---- */

enum { NEAR_MAX = 24 };

static size_t min3(size_t a, size_t b, size_t c)
{
    size_t min = a < b ? a : b;

    return min < c ? min : c;
}

static size_t distance(const char *a, const char *b)
{
    size_t row[NEAR_MAX + 1], size = strlen(b);

    for (size_t j = 0; j <= size; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1] != '\0'; i++) {
        size_t diagonal = row[0];

        row[0] = i;
        for (size_t j = 1; j <= size; j++) {
            size_t above = row[j];

            row[j] = min3(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
            diagonal = above;
        }
    }
    return row[size];
}

const char *words_nearest(const char *word, const char *const *list)
{
    const char *nearest = NULL;
    size_t best = strlen(word) > NEAR_MAX ? 0 : strlen(word) / 3 + 2;

    for (; *list != NULL && best > 0; list++) {
        size_t now = strlen(*list) > NEAR_MAX ? best : distance(word, *list);

        if (now < best) {
            best = now;
            nearest = *list;
        }
    }
    return nearest;
}

int words_refuse(char *why, const char *what, const char *word, const char *const *list)
{
    const char *nearest = words_nearest(word, list);
    int used = snprintf(why, COMMAND_WHY_MAX, "\"%.64s\" is not %s; ", word, what);

    if (nearest != NULL) {
        snprintf(why + used, (size_t)(COMMAND_WHY_MAX - used), "did you mean \"%s\"?", nearest);
        return -EINVAL;
    }
    for (; *list != NULL && used < COMMAND_WHY_MAX; list++)
        used += snprintf(why + used, (size_t)(COMMAND_WHY_MAX - used), "%s%s", *list,
                         list[1] == NULL   ? " would be"
                         : list[2] == NULL ? " or "
                                           : ", ");
    return -EINVAL;
}

bool words_is_mac(const char *word)
{
    for (int i = 0; i < 6; i++, word += 2) {
        if (i > 0 && *word++ != ':')
            return false;
        if (!isxdigit((unsigned char)word[0]) || !isxdigit((unsigned char)word[1]))
            return false;
    }
    return *word == '\0';
}
