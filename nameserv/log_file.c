/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A log that is written by a thread of its own.
 *
 * The buffer is a ring of bytes with one consumer. `head` is where the next line goes and is moved by
 * those who log, under their lock; `tail` is moved by the thread. L1: a line is copied, then head is
 * stored (release); the thread loads head (acquire), then reads. L2: the thread writes lines out, then
 * stores tail (release); who logs loads tail (acquire), then copies over them.
 *
 * Sleep. The thread sleeps without limit only when nothing is left: it sets `idle`, then looks at head
 * once more; who logs stores head, then looks at `idle` (Dekker's pattern, full fences). One of the two
 * sees the other. Woken, it sleeps for the lag so that lines gather, and is woken from that when the
 * buffer is half full.
 */
#include "nameserv/log_file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "nameserv/rcu.h"

enum { WRITER_NICE = 5, FILE_MODE = 0600, FULL_PIPE_MS = 100 };
#define SYSLOG "syslog:"

struct ns_log_file {
    /* those who log */
    pthread_mutex_t lock;
    uint64_t head;
    uint64_t dropped; /* not yet said; also taken by the thread */
    uint64_t lines, left_out, rotations;
    bool hurry; /* the thread has been woken because half is full */
    /* the thread */
    uint64_t tail;
    bool idle, ending, reopen;
    sem_t wake;
    pthread_t thread;
    int fd; /* -1: syslog, or the file could not be opened */
    int facility;
    uint64_t written; /* bytes of the file */
    struct ns_log_file_options options;
    char *where;
    char buffer[NS_LOG_FILE_BUFFER];
};

/* ---- those who log ---- */

static void copy_in(struct ns_log_file *file, uint64_t at, const char *bytes, size_t size)
{
    size_t offset = at % NS_LOG_FILE_BUFFER;
    size_t first = size < NS_LOG_FILE_BUFFER - offset ? size : NS_LOG_FILE_BUFFER - offset;

    memcpy(file->buffer + offset, bytes, first);
    memcpy(file->buffer, bytes + first, size - first);
}

/* Under the lock. How many bytes are in use afterwards; 0: there was no room. */
static uint64_t append(struct ns_log_file *file, const char *line, size_t size)
{
    uint64_t tail = __atomic_load_n(&file->tail, __ATOMIC_ACQUIRE); /* L2 */
    uint64_t head = file->head;

    if (NS_LOG_FILE_BUFFER - (head - tail) < size + 1) {
        __atomic_fetch_add(&file->dropped, 1, __ATOMIC_RELAXED);
        file->left_out++;
        return 0;
    }
    copy_in(file, head, line, size);
    copy_in(file, head + size, "\n", 1);
    file->lines++;
    __atomic_store_n(&file->head, head + size + 1, __ATOMIC_RELEASE); /* L1 */
    return head + size + 1 - tail;
}

void ns_log_file_put(struct ns_log_file *file, const char *line, size_t size)
{
    uint64_t used;

    if (size > NS_LOG_FILE_LINE_MAX)
        size = NS_LOG_FILE_LINE_MAX;
    pthread_mutex_lock(&file->lock);
    used = append(file, line, size);
    pthread_mutex_unlock(&file->lock);
    NS_FENCE();
    if (__atomic_load_n(&file->idle, __ATOMIC_RELAXED)) {
        if (__atomic_exchange_n(&file->idle, false, __ATOMIC_SEQ_CST))
            sem_post(&file->wake);
    } else if (used > NS_LOG_FILE_BUFFER / 2 &&
               !__atomic_exchange_n(&file->hurry, true, __ATOMIC_SEQ_CST)) {
        sem_post(&file->wake);
    }
}

void ns_log_file_reopen(struct ns_log_file *file)
{
    __atomic_store_n(&file->reopen, true, __ATOMIC_SEQ_CST);
    sem_post(&file->wake);
}

void ns_log_file_counters(const struct ns_log_file *file, struct ns_log_file_counters *out)
{
    struct ns_log_file *writable = (struct ns_log_file *)(uintptr_t)file;

    pthread_mutex_lock(&writable->lock);
    out->lines = file->lines;
    out->left_out = file->left_out;
    pthread_mutex_unlock(&writable->lock);
    out->rotations = __atomic_load_n(&file->rotations, __ATOMIC_RELAXED);
}

const char *ns_log_file_where(const struct ns_log_file *file)
{
    return file->where;
}

/* ---- the file ---- */

static int open_file(struct ns_log_file *file, int flags)
{
    struct stat about;

    file->fd =
        open(file->where, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | flags,
             FILE_MODE);
    if (file->fd < 0)
        return -errno;
    file->written = fstat(file->fd, &about) == 0 ? (uint64_t)about.st_size : 0;
    return 0;
}

static void reopen_file(struct ns_log_file *file, int flags)
{
    if (file->fd >= 0)
        close(file->fd);
    open_file(file, flags);
}

static void rotate(struct ns_log_file *file)
{
    char *from = NULL, *to = NULL;

    for (unsigned i = file->options.files; i > 0; i--) {
        int size = i == 1 ? asprintf(&from, "%s", file->where)
                          : asprintf(&from, "%s.%u", file->where, i - 1);

        if (size >= 0 && asprintf(&to, "%s.%u", file->where, i) >= 0) {
            rename(from, to);
            free(to);
        }
        if (size >= 0)
            free(from);
    }
    reopen_file(file, file->options.files == 0 ? O_TRUNC : 0);
    __atomic_fetch_add(&file->rotations, 1, __ATOMIC_RELAXED);
}

/* ---- the thread ---- */

static bool is_over(const struct ns_log_file *file)
{
    return __atomic_load_n(&file->ending, __ATOMIC_SEQ_CST);
}

/* A pipe that is full may stay so for ever; the end of the log doesn't wait for it. */
static bool wait_for_room(const struct ns_log_file *file)
{
    struct pollfd room = {.fd = file->fd, .events = POLLOUT};

    return poll(&room, 1, FULL_PIPE_MS) > 0 || !is_over(file);
}

/* Whole lines. What can't be written is left out. */
static void write_file(struct ns_log_file *file, const char *bytes, size_t size)
{
    while (size > 0 && file->fd >= 0) {
        ssize_t done = write(file->fd, bytes, size);

        if (done < 0 && errno != EINTR && (errno != EAGAIN || !wait_for_room(file)))
            break;
        if (done > 0) {
            file->written += (size_t)done;
            bytes += done;
            size -= (size_t)done;
        }
    }
}

static void write_syslog(const struct ns_log_file *file, const char *bytes, size_t size)
{
    const char *end;

    for (; size > 0 && (end = memchr(bytes, '\n', size)) != NULL;
         size -= (size_t)(end + 1 - bytes), bytes = end + 1)
        syslog(file->facility | LOG_INFO, "%.*s", (int)(end - bytes), bytes);
}

static void write_out(struct ns_log_file *file, const char *bytes, size_t size)
{
    if (file->facility >= 0) {
        write_syslog(file, bytes, size);
        return;
    }
    write_file(file, bytes, size);
    if (file->options.size > 0 && file->written >= file->options.size)
        rotate(file);
}

/* At most this much between two looks at the size of the file. */
enum { PIECE = 64 << 10 };

static void say_dropped(struct ns_log_file *file)
{
    uint64_t dropped = __atomic_exchange_n(&file->dropped, 0, __ATOMIC_RELAXED);
    char line[96];
    int size;

    if (dropped == 0)
        return;
    size = snprintf(line, sizeof(line), "%llu lines were left out: they came faster than %s\n",
                    (unsigned long long)dropped, "they could be written");
    write_out(file, line, (size_t)size);
}

/* The last newline before which at least something lies; lines end up whole in one file. */
static size_t whole_lines(const char *bytes, size_t size)
{
    const char *end = memrchr(bytes, '\n', size);

    return end != NULL ? (size_t)(end + 1 - bytes) : 0;
}

static void drain(struct ns_log_file *file)
{
    uint64_t head = __atomic_load_n(&file->head, __ATOMIC_ACQUIRE); /* L1 */
    char piece[PIECE];

    __atomic_store_n(&file->hurry, false, __ATOMIC_SEQ_CST);
    while (file->tail < head) {
        size_t offset = file->tail % NS_LOG_FILE_BUFFER;
        size_t size = head - file->tail < PIECE ? (size_t)(head - file->tail) : PIECE;
        size_t first = size < NS_LOG_FILE_BUFFER - offset ? size : NS_LOG_FILE_BUFFER - offset;

        memcpy(piece, file->buffer + offset, first);
        memcpy(piece + first, file->buffer, size - first);
        size = whole_lines(piece, size);
        __atomic_store_n(&file->tail, file->tail + size, __ATOMIC_RELEASE); /* L2 */
        write_out(file, piece, size);
    }
    say_dropped(file);
}

static void sleep_lag(struct ns_log_file *file)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += NS_LOG_FILE_LAG_MS * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    while (sem_timedwait(&file->wake, &until) < 0 && errno == EINTR)
        ;
}

static bool has_work(const struct ns_log_file *file)
{
    return __atomic_load_n(&file->head, __ATOMIC_ACQUIRE) != file->tail || is_over(file) ||
           __atomic_load_n(&file->reopen, __ATOMIC_SEQ_CST);
}

static void sleep_idle(struct ns_log_file *file)
{
    __atomic_store_n(&file->idle, true, __ATOMIC_SEQ_CST);
    NS_FENCE();
    while (!has_work(file))
        sem_wait(&file->wake);
    __atomic_store_n(&file->idle, false, __ATOMIC_SEQ_CST);
    if (!is_over(file))
        sleep_lag(file);
}

/* Who answers requests goes first, also on its own CPU. */
static void step_back(void)
{
    const struct sched_param none = {.sched_priority = 0};

    pthread_setschedparam(pthread_self(), SCHED_BATCH, &none);
    setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), WRITER_NICE);
}

static void *writer(void *arg)
{
    struct ns_log_file *file = arg;
    bool over, again;

    step_back();
    do {
        sleep_idle(file);
        over = is_over(file);
        again = __atomic_exchange_n(&file->reopen, false, __ATOMIC_SEQ_CST) && file->facility < 0;
        drain(file); /* what came before belongs into the file that was moved away */
        if (again)
            reopen_file(file, 0);
    } while (!over);
    return NULL;
}

/* ---- life ---- */

static int find_facility(const char *name)
{
    static const struct {
        const char *name;
        int facility;
    } all[] = {
        {"auth", LOG_AUTH},     {"authpriv", LOG_AUTHPRIV}, {"cron", LOG_CRON},
        {"daemon", LOG_DAEMON}, {"ftp", LOG_FTP},           {"kern", LOG_KERN},
        {"lpr", LOG_LPR},       {"mail", LOG_MAIL},         {"news", LOG_NEWS},
        {"syslog", LOG_SYSLOG}, {"user", LOG_USER},         {"uucp", LOG_UUCP},
        {"local0", LOG_LOCAL0}, {"local1", LOG_LOCAL1},     {"local2", LOG_LOCAL2},
        {"local3", LOG_LOCAL3}, {"local4", LOG_LOCAL4},     {"local5", LOG_LOCAL5},
        {"local6", LOG_LOCAL6}, {"local7", LOG_LOCAL7},
    };

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        if (strcmp(name, all[i].name) == 0)
            return all[i].facility;
    return -EINVAL;
}

static int open_target(struct ns_log_file *file)
{
    file->fd = -1;
    file->facility = -1;
    if (strncmp(file->where, SYSLOG, sizeof(SYSLOG) - 1) != 0)
        return open_file(file, 0);
    file->facility = find_facility(file->where + sizeof(SYSLOG) - 1);
    return file->facility < 0 ? file->facility : 0;
}

static void free_file(struct ns_log_file *file)
{
    if (file->fd >= 0)
        close(file->fd);
    sem_destroy(&file->wake);
    pthread_mutex_destroy(&file->lock);
    free(file->where);
    free(file);
}

/* Signals are for other threads. */
static int start_thread(struct ns_log_file *file)
{
    sigset_t all, before;
    int error;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&file->thread, NULL, writer, file);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -error;
}

int ns_log_file_open(const char *where, const struct ns_log_file_options *options,
                     struct ns_log_file **result)
{
    struct ns_log_file *file = calloc(1, sizeof(*file));
    int error;

    if (file == NULL)
        return -ENOMEM;
    file->options = *options;
    file->where = strdup(where);
    pthread_mutex_init(&file->lock, NULL);
    sem_init(&file->wake, 0, 0);
    file->fd = -1;
    error = file->where == NULL ? -ENOMEM : open_target(file);
    if (error == 0)
        error = start_thread(file);
    if (error < 0) {
        free_file(file);
        return error;
    }
    *result = file;
    return 0;
}

void ns_log_file_close(struct ns_log_file *file)
{
    __atomic_store_n(&file->ending, true, __ATOMIC_SEQ_CST);
    sem_post(&file->wake);
    pthread_join(file->thread, NULL);
    free_file(file);
}
