/* SPDX-License-Identifier: BSD-3-Clause */
/* The stream of a live update; see state_stream.h. */
#include "nameserv/state_stream.h"

#include <errno.h>
#include <string.h>

#define SUM_START UINT64_C(0xcbf29ce484222325)

struct header {
    char magic[8];
    uint32_t version, order;
};

static const struct header header = {
    .magic = "kedgelu\n", .version = NS_STATE_VERSION, .order = 0x01020304};

struct prefix {
    uint32_t type, size;
};

/* How many numbers and texts a record of a type has. */
static const struct shape {
    uint8_t numbers, texts;
} shapes[] = {
    [NS_STATE_GLOBAL] = {3, 0}, [NS_STATE_NODE] = {0, 3},    [NS_STATE_CONNECTION] = {3, 2},
    [NS_STATE_WATCH] = {1, 2},  [NS_STATE_EVENT] = {0, 3},   [NS_STATE_TXN] = {1, 0},
    [NS_STATE_END] = {2, 0},    [NS_STATE_SPECIAL] = {0, 2}, [NS_STATE_DOMAIN] = {6, 0},
    [NS_STATE_QUOTAS] = {0, 2}, [NS_STATE_RING] = {7, 0},    [NS_STATE_HANDED] = {4, 0},
    [NS_STATE_SOCKET] = {0, 1},
};

static size_t padded(size_t size)
{
    return (size + 7) & ~(size_t)7;
}

/* FNV-1a over words: it finds what was mangled, not who meant to. */
static uint64_t sum_words(uint64_t sum, const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i += 8) {
        uint64_t word = 0;

        memcpy(&word, bytes + i, size - i < 8 ? size - i : 8);
        sum = (sum ^ word) * UINT64_C(0x100000001b3);
    }
    return sum;
}

/* ---- writing ---- */

static void put(struct ns_state_writer *writer, const void *bytes, size_t size)
{
    if (writer->error == 0 && size > 0 && fwrite(bytes, 1, size, writer->stream) != size)
        writer->error = errno != 0 ? -errno : -EIO;
}

void ns_state_begin(struct ns_state_writer *writer, FILE *stream)
{
    *writer = (struct ns_state_writer){.stream = stream, .sum = SUM_START};
    put(writer, &header, sizeof(header));
}

void ns_state_write(struct ns_state_writer *writer, const struct ns_state_record *record)
{
    static const char zeros[8];
    const struct shape *shape = &shapes[record->type];
    struct prefix prefix = {.type = record->type};
    uint32_t sizes[NS_STATE_TEXTS];
    size_t size = shape->numbers * sizeof(uint64_t) + shape->texts * sizeof(uint32_t);

    for (unsigned i = 0; i < shape->texts; i++) {
        sizes[i] = (uint32_t)record->texts[i].size;
        size += record->texts[i].size;
    }
    prefix.size = (uint32_t)size;
    put(writer, &prefix, sizeof(prefix));
    put(writer, record->numbers, shape->numbers * sizeof(uint64_t));
    put(writer, sizes, shape->texts * sizeof(uint32_t));
    writer->sum = sum_words(writer->sum, (const char *)&prefix, sizeof(prefix));
    writer->sum =
        sum_words(writer->sum, (const char *)record->numbers, shape->numbers * sizeof(uint64_t));
    for (unsigned i = 0; i < shape->texts; i++) {
        put(writer, record->texts[i].bytes, record->texts[i].size);
        writer->sum = sum_words(writer->sum, record->texts[i].bytes, record->texts[i].size);
    }
    put(writer, zeros, padded(size) - size);
    writer->records++;
}

int ns_state_end(struct ns_state_writer *writer)
{
    const struct ns_state_record end = {.type = NS_STATE_END,
                                        .numbers = {writer->records, writer->sum}};

    ns_state_write(writer, &end);
    if (writer->error == 0 && fflush(writer->stream) != 0)
        writer->error = -errno;
    return writer->error;
}

/* ---- reading ---- */

int ns_state_open(struct ns_state_reader *reader, const void *bytes, size_t size)
{
    struct header found;

    if (size < sizeof(found))
        return -EINVAL;
    memcpy(&found, bytes, sizeof(found));
    if (memcmp(found.magic, header.magic, sizeof(found.magic)) != 0 ||
        found.order != header.order || found.version < 1 || found.version > NS_STATE_VERSION)
        return -EINVAL;
    *reader = (struct ns_state_reader){
        .bytes = bytes, .size = size, .at = sizeof(header), .sum = SUM_START};
    return 0;
}

/* The body's parts; it has size bytes. */
static int read_body(const char *body, size_t size, const struct shape *shape,
                     struct ns_state_record *record)
{
    size_t fixed = shape->numbers * sizeof(uint64_t) + shape->texts * sizeof(uint32_t), at = fixed;

    if (size < fixed)
        return -EINVAL;
    memcpy(record->numbers, body, shape->numbers * sizeof(uint64_t));
    for (unsigned i = 0; i < shape->texts; i++) {
        uint32_t text;

        memcpy(&text, body + shape->numbers * sizeof(uint64_t) + i * sizeof(text), sizeof(text));
        if (text > size - at)
            return -EINVAL;
        record->texts[i] = (struct ns_state_text){body + at, text};
        at += text;
    }
    return at == size ? 0 : -EINVAL;
}

static int check_end(const struct ns_state_reader *reader, const struct ns_state_record *record,
                     uint64_t sum)
{
    if (record->numbers[0] != reader->records || record->numbers[1] != sum ||
        reader->at != reader->size)
        return -EINVAL;
    return 0;
}

static void add_to_sum(struct ns_state_reader *reader, const struct prefix *prefix,
                       const struct shape *shape, const struct ns_state_record *record)
{
    uint64_t sum = sum_words(reader->sum, (const char *)prefix, sizeof(*prefix));

    sum = sum_words(sum, (const char *)record->numbers, shape->numbers * sizeof(uint64_t));
    for (unsigned i = 0; i < shape->texts; i++)
        sum = sum_words(sum, record->texts[i].bytes, record->texts[i].size);
    reader->sum = sum;
}

int ns_state_read(struct ns_state_reader *reader, struct ns_state_record *record)
{
    const char *at = reader->bytes + reader->at;
    struct prefix prefix;
    size_t left = reader->size - reader->at;
    uint64_t sum = reader->sum;

    if (left < sizeof(prefix))
        return -EINVAL;
    memcpy(&prefix, at, sizeof(prefix));
    left -= sizeof(prefix);
    if (prefix.type < NS_STATE_GLOBAL || prefix.type >= sizeof(shapes) / sizeof(shapes[0]) ||
        padded(prefix.size) > left)
        return -EINVAL;
    *record = (struct ns_state_record){.type = prefix.type};
    if (read_body(at + sizeof(prefix), prefix.size, &shapes[prefix.type], record) != 0)
        return -EINVAL;
    reader->at += sizeof(prefix) + padded(prefix.size);
    if (record->type == NS_STATE_END)
        return check_end(reader, record, sum);
    add_to_sum(reader, &prefix, &shapes[record->type], record);
    reader->records++;
    return 1;
}
