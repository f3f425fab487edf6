/* SPDX-License-Identifier: BSD-3-Clause */
/* The journal's queue and the thread that empties it; see journal_queue.h. */
#include "nameserv/journal_queue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "nameserv/clock.h"
#include "nameserv/log.h"

#define MS    UINT64_C(1000000)
#define RETRY (1000 * MS)

/* A batch of that size is not let grow, only to be written later. */
enum { GATHERED_ENOUGH = 4 << 20 };

/* Numbers of commits are set aside in advance, so that commits that are not journaled can have some: so
 * many, and again when half of them are left. */
#define SET_ASIDE UINT64_C(1048576)

/* ---- records ---- */

size_t ns_journal_item_size(size_t path_size, size_t perms_size, size_t value_size)
{
    return (sizeof(struct ns_journal_item) + path_size + 1 + perms_size + value_size + 1) &
           ~(size_t)1;
}

struct ns_journal_record *ns_journal_record_new(uint64_t number, size_t room)
{
    struct ns_journal_record *record = malloc(sizeof(*record) + room);

    if (record != NULL)
        *record = (struct ns_journal_record){.number = number, .room = room};
    return record;
}

void ns_journal_record_add(struct ns_journal_record *record, const struct ns_journal_row *row,
                           bool remove)
{
    struct ns_journal_item *item = (struct ns_journal_item *)(void *)(record->bytes + record->size);
    char *at = item->bytes;

    *item = (struct ns_journal_item){.remove = remove,
                                     .path_size = (uint16_t)row->path_size,
                                     .perms_size = (uint16_t)row->perms_size,
                                     .value_size = (uint16_t)row->value_size};
    memcpy(at, row->path, row->path_size);
    at[row->path_size] = '\0';
    at += row->path_size + 1;
    if (row->perms_size > 0)
        memcpy(at, row->perms, row->perms_size);
    if (row->value_size > 0)
        memcpy(at + row->perms_size, row->value, row->value_size);
    record->size += ns_journal_item_size(row->path_size, row->perms_size, row->value_size);
    record->items++;
}

static void free_records(struct ns_journal_record *record)
{
    while (record != NULL) {
        struct ns_journal_record *next = record->next;

        free(record);
        record = next;
    }
}

/* ---- writing a batch ---- */

/* The puts of a batch since its last removal. They are sorted, so that of those of one name only the
 * last is written, and that the file is gone through in order. */
struct put_key {
    const struct ns_journal_item *item;
    size_t order;
};

struct puts {
    struct put_key *keys;
    size_t count;
};

static int compare_keys(const void *a, const void *b)
{
    const struct put_key *x = a, *y = b;
    int order = strcmp(x->item->bytes, y->item->bytes);

    if (order != 0)
        return order;
    return x->order < y->order ? -1 : x->order > y->order;
}

static int put(struct ns_journal_file *file, const struct ns_journal_item *item)
{
    const char *perms = item->bytes + item->path_size + 1;
    const struct ns_journal_row row = {.path = item->bytes,
                                       .path_size = item->path_size,
                                       .perms = perms,
                                       .perms_size = item->perms_size,
                                       .value = perms + item->perms_size,
                                       .value_size = item->value_size};

    return ns_journal_file_put(file, &row);
}

static int put_all(struct ns_journal_file *file, struct puts *puts)
{
    struct put_key *keys = puts->keys;
    int error = 0;

    qsort(keys, puts->count, sizeof(*keys), compare_keys);
    for (size_t i = 0; error == 0 && i < puts->count; i++)
        if (i + 1 == puts->count || strcmp(keys[i].item->bytes, keys[i + 1].item->bytes) != 0)
            error = put(file, keys[i].item);
    puts->count = 0;
    return error;
}

static int write_record(struct ns_journal_file *file, const struct ns_journal_record *record,
                        struct puts *puts)
{
    const char *at = record->bytes, *end = at + record->size;
    int error = 0;

    while (at < end && error == 0) {
        const struct ns_journal_item *item = (const struct ns_journal_item *)(const void *)at;

        at += ns_journal_item_size(item->path_size, item->perms_size, item->value_size);
        if (!item->remove) {
            puts->keys[puts->count] = (struct put_key){item, puts->count};
            puts->count++;
            continue;
        }
        error = put_all(file, puts);
        if (error == 0)
            error = ns_journal_file_remove(file, item->bytes, item->path_size);
    }
    return error;
}

static uint64_t numbers_given(const struct ns_journal_queue *queue, uint64_t number)
{
    uint64_t commits = ns_journal_file_commits(queue->file);

    return number + SET_ASIDE / 2 > commits ? number + SET_ASIDE : commits;
}

static int write_batch(struct ns_journal_queue *queue, const struct ns_journal_batch *batch)
{
    struct puts puts = {.keys = malloc((batch->items + 1) * sizeof(*puts.keys))};
    int error = puts.keys == NULL ? -ENOMEM : ns_journal_file_begin(queue->file);

    for (const struct ns_journal_record *record = batch->first; record != NULL && error == 0;
         record = record->next)
        error = write_record(queue->file, record, &puts);
    if (error == 0)
        error = put_all(queue->file, &puts);
    if (error == 0)
        error = ns_journal_file_end(queue->file, numbers_given(queue, batch->number));
    free(puts.keys);
    return error;
}

/* ---- the thread ---- */

static void wait_until(struct ns_journal_queue *queue, uint64_t when)
{
    const struct timespec time = {.tv_sec = (time_t)(when / (1000 * MS)),
                                  .tv_nsec = (long)(when % (1000 * MS))};

    pthread_cond_timedwait(&queue->wake, &queue->mutex, &time);
}

static bool has_gathered(const struct ns_journal_queue *queue, uint64_t *until)
{
    const struct ns_journal_batch *batch = &queue->gathering;

    *until = batch->since + queue->gather;
    return queue->stop || queue->hurry || batch->size >= GATHERED_ENOUGH ||
           ns_clock_monotonic() >= *until;
}

/* Wait for a batch and take it; false: there will be none. */
static bool take_batch(struct ns_journal_queue *queue, struct ns_journal_batch *batch)
{
    uint64_t until;

    pthread_mutex_lock(&queue->mutex);
    while (queue->gathering.since == 0 && !queue->stop)
        pthread_cond_wait(&queue->wake, &queue->mutex);
    while (queue->gathering.since != 0 && !has_gathered(queue, &until))
        wait_until(queue, until);
    *batch = queue->gathering;
    queue->gathering = (struct ns_journal_batch){.last = &queue->gathering.first};
    queue->writing_since = batch->since;
    queue->writing_size = batch->size;
    queue->ticket += batch->since != 0;
    pthread_mutex_unlock(&queue->mutex);
    return batch->since != 0;
}

static void log_failure(struct ns_journal_queue *queue, int error)
{
    if (atomic_load_explicit(&queue->error, memory_order_relaxed) != error)
        ns_log(NS_LOG_ERROR,
               "the journal %s can't be written: %s; commits are refused or wait until it can",
               ns_journal_file_path(queue->file),
               error == -ENOMEM ? "out of memory" : ns_journal_file_error(queue->file));
}

/* True: try again. */
static bool pause_after_failure(struct ns_journal_queue *queue)
{
    uint64_t until = ns_clock_monotonic() + RETRY;
    bool again;

    pthread_mutex_lock(&queue->mutex);
    while (!queue->hurry && ns_clock_monotonic() < until)
        wait_until(queue, until);
    again = !queue->hurry;
    pthread_mutex_unlock(&queue->mutex);
    return again;
}

static bool write_until_written(struct ns_journal_queue *queue,
                                const struct ns_journal_batch *batch)
{
    int error;

    while ((error = write_batch(queue, batch)) != 0) {
        log_failure(queue, error);
        ns_journal_file_abort(queue->file);
        atomic_store_explicit(&queue->error, error, memory_order_release);
        atomic_fetch_add_explicit(&queue->failures, 1, memory_order_relaxed);
        queue->progress(queue->arg);
        if (!pause_after_failure(queue))
            return false;
    }
    if (atomic_exchange_explicit(&queue->error, 0, memory_order_acq_rel) != 0)
        ns_log(NS_LOG_NOTICE, "the journal %s can be written again",
               ns_journal_file_path(queue->file));
    return true;
}

static void *queue_main(void *arg)
{
    struct ns_journal_queue *queue = arg;
    struct ns_journal_batch batch;
    bool written = true;

    while (written && take_batch(queue, &batch)) {
        written = write_until_written(queue, &batch);
        if (!written)
            break;
        free_records(batch.first);
        pthread_mutex_lock(&queue->mutex);
        queue->writing_since = 0;
        queue->writing_size = 0;
        pthread_mutex_unlock(&queue->mutex);
        atomic_store_explicit(&queue->commits, ns_journal_file_commits(queue->file),
                              memory_order_release);
        atomic_fetch_add_explicit(&queue->writes, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&queue->written, 1, memory_order_release);
        queue->progress(queue->arg);
    }
    if (!written)
        free_records(batch.first);
    pthread_mutex_lock(&queue->mutex);
    queue->ended = true;
    pthread_cond_broadcast(&queue->wake);
    pthread_mutex_unlock(&queue->mutex);
    return NULL;
}

/* ---- the control core's side ---- */

int ns_journal_queue_start(struct ns_journal_queue *queue, struct ns_journal_file *file)
{
    pthread_condattr_t attributes;
    int error;

    queue->file = file;
    queue->gathering.last = &queue->gathering.first;
    queue->ticket = atomic_load_explicit(&queue->written, memory_order_relaxed) + 1;
    atomic_init(&queue->commits, ns_journal_file_commits(file));
    pthread_mutex_init(&queue->mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&queue->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    error = pthread_create(&queue->thread, NULL, queue_main, queue);
    queue->running = error == 0;
    return -error;
}

uint64_t ns_journal_queue_add(struct ns_journal_queue *queue, struct ns_journal_record *record)
{
    struct ns_journal_batch *batch = &queue->gathering;
    uint64_t ticket;
    size_t before;

    pthread_mutex_lock(&queue->mutex);
    before = batch->size;
    if (batch->since == 0)
        batch->since = ns_clock_monotonic();
    *batch->last = record;
    batch->last = &record->next;
    batch->size += sizeof(*record) + record->room;
    batch->items += record->items;
    batch->number = record->number;
    ticket = queue->ticket;
    if (before == 0 || (before < GATHERED_ENOUGH && batch->size >= GATHERED_ENOUGH))
        pthread_cond_signal(&queue->wake);
    pthread_mutex_unlock(&queue->mutex);
    return ticket;
}

void ns_journal_queue_waiting(struct ns_journal_queue *queue, size_t *size, uint64_t *since)
{
    pthread_mutex_lock(&queue->mutex);
    *size = queue->writing_size + queue->gathering.size;
    *since = queue->writing_since != 0 ? queue->writing_since : queue->gathering.since;
    pthread_mutex_unlock(&queue->mutex);
}

bool ns_journal_queue_stop(struct ns_journal_queue *queue, unsigned milliseconds)
{
    uint64_t until = ns_clock_monotonic() + milliseconds * MS;
    bool all;

    if (!queue->running)
        return true;
    pthread_mutex_lock(&queue->mutex);
    queue->stop = true;
    pthread_cond_broadcast(&queue->wake);
    while (!queue->ended && ns_clock_monotonic() < until)
        wait_until(queue, until);
    queue->hurry = true;
    pthread_cond_broadcast(&queue->wake);
    pthread_mutex_unlock(&queue->mutex);
    pthread_join(queue->thread, NULL);
    queue->running = false;
    all = queue->gathering.since == 0 &&
          atomic_load_explicit(&queue->error, memory_order_acquire) == 0;
    free_records(queue->gathering.first);
    pthread_cond_destroy(&queue->wake);
    pthread_mutex_destroy(&queue->mutex);
    return all;
}
