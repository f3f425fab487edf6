/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is to be written to the journal's file, and the thread that writes it: between journal.c, which
 * listens to the store, and journal_file.c.
 *
 * A record holds what one commit has changed. Records wait in a batch; the thread takes the whole
 * batch when it has written the one before, so whoever waits is served by one fsync. Batches are
 * numbered, and a batch's number is the ticket of whoever waits for it. In a batch only the last
 * change of each name is written.
 *
 * Thread safety: the control core, except where a field says otherwise.
 */
#ifndef KEDGE_NAMESERV_JOURNAL_QUEUE_H
#define KEDGE_NAMESERV_JOURNAL_QUEUE_H

#include <pthread.h>
#include <stdatomic.h>

#include "nameserv/journal_file.h"

/* One name that was put or, with all below it, removed. Path, NUL, permissions and value follow. */
struct ns_journal_item {
    bool remove;
    uint16_t path_size, perms_size, value_size;
    char bytes[];
};

/* Items follow each other, each at a multiple of 2 bytes. */
struct ns_journal_record {
    struct ns_journal_record *next;
    uint64_t number; /* of the commit */
    size_t size, room;
    size_t items;
    char bytes[];
};

struct ns_journal_batch {
    struct ns_journal_record *first, **last;
    size_t size, items; /* bytes of memory; names */
    uint64_t since;     /* ns_clock_monotonic() of the first record; 0: it is empty */
    uint64_t number;    /* of the newest commit */
};

struct ns_journal_queue {
    struct ns_journal_file *file; /* the thread's, while it runs */
    uint64_t gather;              /* ns that a batch gathers before it is written */
    void (*progress)(void *arg);  /* called by the thread after each batch, and each failure */
    void *arg;

    pthread_t thread;
    bool running;
    pthread_mutex_t mutex;
    pthread_cond_t wake;

    /* under the mutex */
    struct ns_journal_batch gathering;
    uint64_t ticket;        /* of the batch that gathers */
    uint64_t writing_since; /* of the batch that is being written; 0: none is */
    size_t writing_size;
    bool stop;  /* when all is written */
    bool ended; /* the thread */
    bool hurry; /* don't gather; if the file can't be written, give up */

    /* written by the thread, read by anybody */
    _Atomic uint64_t written; /* ticket of the newest batch that is in the file */
    _Atomic uint64_t commits; /* ns_journal_file_commits() */
    _Atomic uint64_t writes, failures;
    _Atomic int error; /* why the last attempt failed; 0: it did not */
};

/* A record with room for so many bytes of items. NULL without memory. */
struct ns_journal_record *ns_journal_record_new(uint64_t number, size_t room);
size_t ns_journal_item_size(size_t path_size, size_t perms_size, size_t value_size);
/* There is room. row->value NULL: removed, with all below. */
void ns_journal_record_add(struct ns_journal_record *record, const struct ns_journal_row *row,
                           bool remove);

/* The first batch's ticket is that of `written` and 1. 0 or a negative errno. */
int ns_journal_queue_start(struct ns_journal_queue *queue, struct ns_journal_file *file);

/* Takes the record. Can't fail. Returns its ticket. */
uint64_t ns_journal_queue_add(struct ns_journal_queue *queue, struct ns_journal_record *record);

/* How much waits, and since when the oldest of it does (0: nothing waits). */
void ns_journal_queue_waiting(struct ns_journal_queue *queue, size_t *size, uint64_t *since);

/* End the thread when all is written, after so many milliseconds in any case. True: all was. */
bool ns_journal_queue_stop(struct ns_journal_queue *queue, unsigned milliseconds);

#endif
