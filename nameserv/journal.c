/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The journal: listens to the store, holds back what is not durable, refuses when the file can't be
 * written. See journal.h.
 */
#include "nameserv/journal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "nameserv/clock.h"
#include "nameserv/journal_p.h"
#include "nameserv/log.h"
#include "nameserv/stats.h"

#define MS UINT64_C(1000000)

/* A commit that is not journaled asks for numbers to be set aside when so few are left. */
#define NUMBERS_LEFT UINT64_C(262144)

/* ---- whether changes may go on ---- */

static bool is_late(struct ns_journal *journal)
{
    size_t size;
    uint64_t since;

    ns_journal_queue_waiting(&journal->queue, &size, &since);
    if (size > NS_JOURNAL_QUEUE)
        return true;
    return journal->sync == NS_JOURNAL_SOON && since != 0 &&
           ns_clock_monotonic() - since > NS_JOURNAL_LATE_MS * MS;
}

int ns_journal_error(const struct ns_journal *journal)
{
    int error = atomic_load_explicit(&journal->queue.error, memory_order_acquire);

    return error == 0 || error == -ENOSPC ? error : -EIO;
}

/* While the file can't be written nobody waits: who would, is refused. */
static void set_stalled(struct ns_journal *journal)
{
    struct ns_hold *hold = ns_store_hold(journal->store);
    bool stalled = ns_journal_error(journal) == 0 && is_late(journal);

    if (stalled == hold->stalled)
        return;
    hold->stalled = stalled;
    if (hold->changed != NULL)
        hold->changed(hold->arg);
}

static void look_again(struct ns_timer *timer)
{
    struct ns_journal *journal =
        (struct ns_journal *)((char *)timer - offsetof(struct ns_journal, timer));
    size_t size;
    uint64_t since;

    set_stalled(journal);
    ns_journal_queue_waiting(&journal->queue, &size, &since);
    if (since != 0)
        ns_timer_start(journal->loop, timer, NS_JOURNAL_LATE_MS / 10 * MS);
}

/* ---- the thread's progress ---- */

static void wake_core(void *arg)
{
    struct ns_journal *journal = arg;
    uint64_t one = 1;

    /* Fails only if the counter is full, and then the control core is awake. */
    if (write(journal->io.fd, &one, sizeof(one)) < 0)
        return;
}

static void progress_seen(struct ns_io *io, uint32_t events)
{
    struct ns_journal *journal =
        (struct ns_journal *)((char *)io - offsetof(struct ns_journal, io));
    struct ns_hold *hold = ns_store_hold(journal->store);
    uint64_t count;

    (void)events;
    if (read(io->fd, &count, sizeof(count)) < 0)
        return;
    hold->released = atomic_load_explicit(&journal->queue.written, memory_order_acquire);
    if (hold->changed != NULL)
        hold->changed(hold->arg);
    set_stalled(journal);
}

/* ---- from a commit to a record ---- */

enum action { NOTHING, PUT, REMOVE };

static enum action action_of(const struct ns_change *change)
{
    if (change->after != NULL &&
        !ns_mount_forgets(change->mount, change->path, change->path_size, change->after))
        return PUT;
    if (change->before != NULL &&
        !ns_mount_forgets(change->mount, change->path, change->path_size, change->before))
        return REMOVE;
    return NOTHING;
}

/* Permissions as text. Neighbouring names mostly share one list, which is kept, so it is the same as long
 * as it has the same address. */
static const char *perms_text(struct ns_journal *journal, struct ns_perms *perms, size_t *size)
{
    if (journal->perms != perms) {
        int length = ns_perms_format(perms, journal->perms_text, sizeof(journal->perms_text));

        ns_perms_put(journal->perms);
        journal->perms = ns_perms_get(perms);
        journal->perms_size = length < 0 ? 0 : (size_t)length;
    }
    *size = journal->perms_size;
    return journal->perms_text;
}

void ns_journal_describe(struct ns_journal *journal, const char *path, size_t path_size,
                         const struct ns_entry *entry, struct ns_journal_row *row)
{
    *row = (struct ns_journal_row){.path = path, .path_size = path_size};
    if (entry == NULL)
        return;
    row->perms = perms_text(journal, entry->perms, &row->perms_size);
    row->value = ns_entry_value(entry);
    row->value_size = entry->value_size;
}

static bool is_below(const struct ns_change *change, const struct ns_change *removed)
{
    return removed != NULL && change->path_size > removed->path_size &&
           change->path[removed->path_size] == '/' &&
           memcmp(change->path, removed->path, removed->path_size) == 0;
}

/* Go through what is to be journaled: its size, and if record is not NULL it is added. */
static size_t gather(struct ns_journal *journal, const struct ns_commit *commit,
                     struct ns_journal_record *record)
{
    size_t count, size = 0;
    const struct ns_change *changes = ns_commit_all_changes(commit, &count), *removed = NULL;

    for (size_t i = 0; i < count; i++) {
        enum action action = action_of(&changes[i]);
        struct ns_journal_row row;

        if (action == NOTHING || (action == REMOVE && is_below(&changes[i], removed)))
            continue;
        if (action == REMOVE)
            removed = &changes[i];
        ns_journal_describe(journal, changes[i].path, changes[i].path_size,
                            action == PUT ? changes[i].after : NULL, &row);
        size += ns_journal_item_size(row.path_size, row.perms_size, row.value_size);
        if (record != NULL)
            ns_journal_record_add(record, &row, action == REMOVE);
    }
    return size;
}

static int refuse(struct ns_journal *journal, struct ns_commit *commit, int error)
{
    journal->counters.refused++;
    return ns_refuse(commit, -error, "",
                     "the journal %s can't be written (%s), so nothing can be changed that has to "
                     "be kept; the daemon's log says more",
                     ns_journal_file_path(journal->file), strerror(-error));
}

static int commit_prepare(struct ns_listener *listener, struct ns_commit *commit)
{
    struct ns_journal *journal = (struct ns_journal *)listener;
    uint64_t number = ns_commit_version(commit)->number;
    size_t size = gather(journal, commit, NULL);
    int error = size == 0 ? 0 : ns_journal_error(journal);

    journal->pending = NULL;
    if (error != 0 && (journal->sync == NS_JOURNAL_REPLY || is_late(journal)))
        return refuse(journal, commit, error);
    if (size == 0 &&
        number + NUMBERS_LEFT < atomic_load_explicit(&journal->queue.commits, memory_order_relaxed))
        return 0;
    if (size == 0 && journal->asked_numbers > number)
        return 0;
    journal->pending = ns_journal_record_new(number, size);
    if (journal->pending == NULL)
        return -ENOMEM;
    gather(journal, commit, journal->pending);
    return 0;
}

/* Queue it, and let whoever is told of it wait. */
static void enqueue(struct ns_journal *journal, struct ns_journal_record *record)
{
    struct ns_hold *hold = ns_store_hold(journal->store);
    size_t items = record->items;
    uint64_t ticket = ns_journal_queue_add(&journal->queue, record);

    journal->counters.names += items;
    if (!ns_timer_running(&journal->timer))
        ns_timer_start(journal->loop, &journal->timer, NS_JOURNAL_LATE_MS / 10 * MS);
    set_stalled(journal);
    if (items > 0 && journal->sync == NS_JOURNAL_REPLY) {
        hold->given = hold->current = ticket;
        hold->commits++;
    }
}

/* What is in no commit: put or remove one row. */
static void enqueue_row(struct ns_journal *journal, const struct ns_journal_row *row, bool remove)
{
    struct ns_journal_record *record = ns_journal_record_new(
        ns_store_version(journal->store)->number,
        ns_journal_item_size(row->path_size, row->perms_size, row->value_size));

    if (record == NULL) {
        ns_log(NS_LOG_ERROR, "%s: a change of it is not journaled: out of memory", row->path);
        return;
    }
    ns_journal_record_add(record, row, remove);
    enqueue(journal, record);
    ns_store_hold(journal->store)->current = 0; /* no watch fires */
}

static void special_changed(struct ns_listener *listener, const char *name, struct ns_perms *perms)
{
    struct ns_journal *journal = (struct ns_journal *)listener;
    struct ns_journal_row row = {.path = name, .path_size = strlen(name), .value = ""};

    row.perms = perms_text(journal, perms, &row.perms_size);
    enqueue_row(journal, &row, false);
}

void ns_journal_describe_quotas(const char *name, const char *text, struct ns_journal_row *row)
{
    *row = (struct ns_journal_row){.path = name, .path_size = strlen(name)};
    if (text == NULL)
        return;
    row->perms = "n0"; /* each row has some */
    row->perms_size = sizeof("n0");
    row->value = text;
    row->value_size = strlen(text);
}

static void quotas_changed(struct ns_listener *listener, const char *name, const char *text)
{
    struct ns_journal_row row;

    ns_journal_describe_quotas(name, text, &row);
    enqueue_row((struct ns_journal *)listener, &row, text == NULL);
}

static void commit_publish(struct ns_listener *listener, struct ns_commit *commit)
{
    struct ns_journal *journal = (struct ns_journal *)listener;
    struct ns_journal_record *record = journal->pending;

    (void)commit;
    if (record == NULL)
        return;
    journal->pending = NULL;
    journal->counters.commits += record->items > 0;
    if (record->items == 0)
        journal->asked_numbers = record->number + NUMBERS_LEFT / 2;
    enqueue(journal, record);
}

static void commit_abandon(struct ns_listener *listener, struct ns_commit *commit)
{
    struct ns_journal *journal = (struct ns_journal *)listener;

    (void)commit;
    free(journal->pending);
    journal->pending = NULL;
}

/* ---- life ---- */

int ns_journal_new(struct ns_store *store, struct ns_loop *loop,
                   const struct ns_journal_options *options, struct ns_reason *reason,
                   struct ns_journal **result)
{
    struct ns_journal *journal = calloc(1, sizeof(*journal));
    int error;

    if (journal == NULL)
        return ns_reason_set(reason, ENOMEM, "", "out of memory");
    journal->listener = (struct ns_listener){.prepare = commit_prepare,
                                             .publish = commit_publish,
                                             .abandon = commit_abandon,
                                             .special = special_changed,
                                             .quotas = quotas_changed};
    journal->store = store;
    journal->loop = loop;
    journal->sync = options->sync;
    journal->stats = options->stats;
    journal->timer.fn = look_again;
    journal->io = (struct ns_io){.fd = -1, .fn = progress_seen};
    error = ns_journal_file_open(options->path, options->sync != NS_JOURNAL_OFF, reason,
                                 &journal->file);
    if (error != 0)
        free(journal);
    else
        *result = journal;
    return error;
}

int ns_journal_start(struct ns_journal *journal)
{
    int error;

    journal->io.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    error = journal->io.fd < 0 ? -errno : ns_loop_add(journal->loop, &journal->io, EPOLLIN);
    if (error != 0)
        return error;
    journal->queue.gather = journal->sync == NS_JOURNAL_REPLY ? 0 : NS_JOURNAL_GATHER_MS * MS;
    journal->queue.progress = wake_core;
    journal->queue.arg = journal;
    /* Tickets go on where those of a journal of this store before have ended. */
    atomic_init(&journal->queue.written, ns_store_hold(journal->store)->given);
    error = ns_journal_queue_start(&journal->queue, journal->file);
    if (error != 0)
        return error;
    journal->listening = true;
    ns_store_listen(journal->store, &journal->listener);
    return ns_journal_stats_add(journal);
}

/* What was the last number is known now, so nothing of what was set aside is lost. */
static void keep_numbers(struct ns_journal *journal)
{
    if (ns_journal_file_begin(journal->file) != 0 ||
        ns_journal_file_end(journal->file, ns_store_version(journal->store)->number) != 0)
        ns_journal_file_abort(journal->file);
}

/* All is written: nobody waits any longer. */
static void let_all_go(struct ns_journal *journal)
{
    struct ns_hold *hold = ns_store_hold(journal->store);

    hold->released = hold->given;
    hold->stalled = false;
    if (hold->changed != NULL)
        hold->changed(hold->arg);
}

bool ns_journal_free(struct ns_journal *journal, unsigned milliseconds)
{
    bool all = true;

    if (journal == NULL)
        return true;
    if (journal->listening) {
        ns_journal_stats_remove(journal);
        ns_store_unlisten(journal->store, &journal->listener);
        all = ns_journal_queue_stop(&journal->queue, milliseconds);
        if (all) {
            keep_numbers(journal);
            let_all_go(journal);
        } else {
            ns_log(NS_LOG_ERROR, "the journal %s lacks the newest commits: it could not be written",
                   ns_journal_file_path(journal->file));
        }
    }
    ns_timer_stop(journal->loop, &journal->timer);
    if (journal->io.fd >= 0) {
        ns_loop_remove(journal->loop, &journal->io);
        close(journal->io.fd);
    }
    ns_journal_file_close(journal->file);
    ns_perms_put(journal->perms);
    free(journal);
    return all;
}

void ns_journal_counters(struct ns_journal *journal, struct ns_journal_counters *out)
{
    size_t size = 0;
    uint64_t since;

    if (journal->listening)
        ns_journal_queue_waiting(&journal->queue, &size, &since);
    *out = journal->counters;
    out->writes = atomic_load_explicit(&journal->queue.writes, memory_order_relaxed);
    out->failures = atomic_load_explicit(&journal->queue.failures, memory_order_relaxed);
    out->waiting_bytes = size;
}
