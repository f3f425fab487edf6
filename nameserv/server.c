/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The control socket: its file, who may be its daemon, and who connects.
 *
 * Two daemons on one socket are kept apart by a lock on PATH.lock, which the kernel drops when its
 * holder dies; so whoever holds it may replace the socket file that a dead one left. A server that
 * knows nothing of the lock (another Xenstore daemon) is found by connecting to it.
 */
#include "nameserv/server.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "nameserv/connection.h"
#include "nameserv/connection_ring.h"
#include "nameserv/log.h"
#include "nameserv/stats.h"

enum {
    DEFAULT_TXNS = 64,
    DEFAULT_WATCHES = 1024,
    DEFAULT_MODE = 0666,
    BACKLOG = 4096,
    ACCEPTED_A_ROUND = 64,
};
#define ACCEPT_PAUSE UINT64_C(100000000) /* ns */
#define FLUSH_IDLE   (UINT64_MAX / 2)    /* ns: never, but running */

static int fail(struct ns_reason *reason, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int fail(struct ns_reason *reason, int error, const char *format, ...)
{
    va_list arguments;

    if (reason == NULL)
        return -error;
    va_start(arguments, format);
    vsnprintf(reason->text, sizeof(reason->text), format, arguments);
    va_end(arguments);
    reason->path[0] = '\0';
    return -error;
}

/* ---- the file ---- */

static int make_parent(const char *path, struct ns_reason *reason)
{
    const char *end = strrchr(path, '/');
    char *parent = end != NULL && end > path ? strndup(path, (size_t)(end - path)) : NULL;
    int error = 0;

    if (parent == NULL)
        return 0;
    if (mkdir(parent, 0755) == 0)
        error = chmod(parent, 0755) < 0 ? errno : 0; /* whatever the umask */
    else if (errno != EEXIST)
        error = errno;
    if (error > 0)
        fail(reason, error, "the socket's folder %s can't be made: %s", parent, strerror(error));
    free(parent);
    return -error;
}

/* Is the locked file still the one that has the name? The one who held it before may have removed it. */
static bool is_named(int fd, const char *path)
{
    struct stat held, named;

    return fstat(fd, &held) == 0 && stat(path, &named) == 0 && held.st_ino == named.st_ino &&
           held.st_dev == named.st_dev;
}

static int take_lock(struct ns_server *server, struct ns_reason *reason)
{
    for (;;) {
        int fd = open(server->lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

        if (fd < 0)
            return fail(reason, errno, "%s can't be opened: %s", server->lock_path,
                        strerror(errno));
        if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
            int error = errno;

            close(fd);
            if (error != EWOULDBLOCK)
                return fail(reason, error, "%s can't be locked: %s", server->lock_path,
                            strerror(error));
            return fail(reason, EADDRINUSE,
                        "another daemon serves %s; stop it, or use another socket", server->path);
        }
        if (is_named(fd, server->lock_path)) {
            server->lock_fd = fd;
            return 0;
        }
        close(fd);
    }
}

static bool answers(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool alive = fd >= 0 && (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 ||
                             errno == EAGAIN || errno == EACCES);

    if (fd >= 0)
        close(fd);
    return alive;
}

/* Remove what a dead daemon left. */
static int clear_path(const struct sockaddr_un *address, struct ns_reason *reason)
{
    const char *path = address->sun_path;
    struct stat file;

    if (lstat(path, &file) < 0)
        return errno == ENOENT ? 0 : fail(reason, errno, "%s: %s", path, strerror(errno));
    if (!S_ISSOCK(file.st_mode))
        return fail(reason, EEXIST, "%s exists and is no socket; remove it, or use another path",
                    path);
    if (answers(address))
        return fail(reason, EADDRINUSE,
                    "another server answers on %s; stop it, or use another socket", path);
    if (unlink(path) < 0)
        return fail(reason, errno, "the old socket %s can't be removed: %s", path, strerror(errno));
    return 0;
}

/* Who may connect is settled before listen(): until then nobody can. */
static int set_access(const struct ns_server *server, unsigned mode, struct ns_reason *reason)
{
    if (server->has_group && chown(server->path, (uid_t)-1, server->group) < 0)
        return fail(reason, errno, "%s can't be given to group %u: %s", server->path, server->group,
                    strerror(errno));
    if (chmod(server->path, mode != 0 ? mode : DEFAULT_MODE) < 0)
        return fail(reason, errno, "%s can't be given mode %o: %s", server->path, mode,
                    strerror(errno));
    return 0;
}

static int bind_socket(struct ns_server *server, unsigned mode, struct ns_reason *reason)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat file;
    int error;

    if (strlen(server->path) >= sizeof(address.sun_path))
        return fail(reason, ENAMETOOLONG, "the socket's path %s is longer than %zu bytes",
                    server->path, sizeof(address.sun_path) - 1);
    strcpy(address.sun_path, server->path);
    error = clear_path(&address, reason);
    if (error < 0)
        return error;
    server->io.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (server->io.fd < 0 ||
        bind(server->io.fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        lstat(server->path, &file) < 0)
        return fail(reason, errno, "the socket %s can't be made: %s", server->path,
                    strerror(errno));
    server->device = file.st_dev;
    server->inode = file.st_ino;
    error = set_access(server, mode, reason);
    if (error == 0 && listen(server->io.fd, BACKLOG) < 0)
        error = fail(reason, errno, "%s: %s", server->path, strerror(errno));
    return error;
}

/* Unless somebody has put another in its place. */
static void remove_socket(const struct ns_server *server)
{
    struct stat file;

    if (server->inode != 0 && lstat(server->path, &file) == 0 && file.st_ino == server->inode &&
        file.st_dev == server->device)
        unlink(server->path);
}

/* ---- identity ---- */

static int find_group(struct ns_server *server, const char *name, struct ns_reason *reason)
{
    const struct group *group;
    uint64_t number;

    if (name == NULL)
        return 0;
    group = getgrnam(name);
    if (group != NULL)
        server->group = group->gr_gid;
    else if (ns_wire_number(name, UINT32_MAX - 1, &number) == 0)
        server->group = (gid_t)number;
    else
        return fail(reason, ENOENT, "there is no group '%s'; give a name of /etc/group or a number",
                    name);
    server->has_group = true;
    return 0;
}

/* All supplementary groups of the peer; NULL if there are none or they can't be told. */
static gid_t *peer_groups(int fd, size_t *count)
{
    socklen_t size = 0;
    gid_t *groups;

    *count = 0;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &size) == 0 || errno != ERANGE)
        return NULL;
    groups = malloc(size);
    if (groups != NULL && getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) == 0)
        *count = size / sizeof(gid_t);
    return groups;
}

/* Who is it? All groups count for being privileged; permissions see the first NS_IDENTITY_GROUPS. */
static int identify(const struct ns_server *server, int fd, struct ns_identity *who)
{
    struct ucred peer;
    socklen_t size = sizeof(peer);
    gid_t *groups;
    size_t count;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
        return -errno;
    *who = (struct ns_identity){.uid = peer.uid, .gid = peer.gid, .pid = (uint32_t)peer.pid};
    who->privileged = peer.uid == 0 || peer.uid == server->own_uid ||
                      (server->has_group && peer.gid == server->group);
    groups = peer_groups(fd, &count);
    for (size_t i = 0; i < count; i++) {
        if (server->has_group && groups[i] == server->group)
            who->privileged = true;
        if (who->group_count < NS_IDENTITY_GROUPS)
            who->groups[who->group_count++] = groups[i];
    }
    free(groups);
    return 0;
}

/* ---- accepting ---- */

static void resume_accepting(struct ns_timer *timer)
{
    struct ns_server *server =
        (struct ns_server *)((char *)timer - offsetof(struct ns_server, accept));

    ns_loop_change(server->loop, &server->io, EPOLLIN);
}

/* No descriptor is free: clients wait in the backlog, and the loop is not woken by them meanwhile. */
static void pause_accepting(struct ns_server *server)
{
    static struct ns_log_limit limit = {.burst = 1};

    ns_log_limited(&limit, NS_LOG_WARNING, "%s: no descriptor is left for another client: %s",
                   server->path, strerror(errno));
    if (ns_timer_start(server->loop, &server->accept, ACCEPT_PAUSE) == 0)
        ns_loop_change(server->loop, &server->io, 0);
}

/* No user without privilege has more connections than there are left for the others: one alone gets half of all. */
static bool may_connect(struct ns_server *server, const struct ns_identity *who)
{
    static struct ns_log_limit limit = {.burst = 1};
    const struct ns_account *account = ns_account_of(server->store, who);

    if (who->privileged)
        return true;
    if (account != NULL && server->unprivileged < server->unprivileged_max &&
        account->connections < server->unprivileged_max - server->unprivileged)
        return true;
    ns_log_limited(&limit, NS_LOG_WARNING,
                   "%s: uid %u is turned away, it has %u of %u clients without privilege",
                   server->path, who->uid, account == NULL ? 0 : account->connections,
                   server->unprivileged);
    return false;
}

static int admit(struct ns_server *server, int fd, bool is_new)
{
    struct ns_identity who = {.privileged = false};
    int error = identify(server, fd, &who);

    if (error < 0)
        return error;
    if (is_new && !may_connect(server, &who))
        return -EBUSY;
    ns_log(NS_LOG_DEBUG, "%s: uid %u pid %u connects", server->path, who.uid, who.pid);
    return ns_connection_accept(server, fd, &who);
}

int ns_server_admit(struct ns_server *server, int fd)
{
    return admit(server, fd, false);
}

static void accept_clients(struct ns_io *io, uint32_t events)
{
    struct ns_server *server = (struct ns_server *)io;

    (void)events;
    for (int i = 0; i < ACCEPTED_A_ROUND; i++) {
        int fd = accept4(io->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
                pause_accepting(server);
            return;
        }
        if (admit(server, fd, true) < 0)
            close(fd);
    }
}

void ns_server_look(struct ns_server *server)
{
    ns_attached_rings_look(server);
}

static void flush(struct ns_timer *timer)
{
    struct ns_server *server =
        (struct ns_server *)((char *)timer - offsetof(struct ns_server, flush));

    /* Its place in the heap was just given up, so there is room for it. */
    ns_timer_start(server->loop, timer, FLUSH_IDLE);
    ns_connection_serve_ready(server);
    ns_store_publish(server->store); /* also what a client has asked for that is gone */
}

static void take_looked(struct ns_timer *timer)
{
    ns_connections_take((struct ns_server *)((char *)timer - offsetof(struct ns_server, take)));
}

/* ---- /stats/server ---- */

static const struct {
    const char *name;
    size_t offset;
} counter_names[] = {
    {"connections", offsetof(struct ns_server_counters, connections)},
    {"connections_total", offsetof(struct ns_server_counters, connections_total)},
    {"errors", offsetof(struct ns_server_counters, errors)},
    {"events", offsetof(struct ns_server_counters, events)},
    {"events_merged", offsetof(struct ns_server_counters, events_merged)},
    {"held", offsetof(struct ns_server_counters, held)},
    {"reads", offsetof(struct ns_server_counters, reads)},
    {"replies", offsetof(struct ns_server_counters, replies)},
    {"requests", offsetof(struct ns_server_counters, requests)},
    {"turns", offsetof(struct ns_server_counters, turns)},
    {"turns_expired", offsetof(struct ns_server_counters, turns_expired)},
    {"writes", offsetof(struct ns_server_counters, writes)},
};
enum { COUNTERS = sizeof(counter_names) / sizeof(counter_names[0]) };

static void read_counter(struct ns_query *query, const char *below, void *arg)
{
    const struct ns_server *server = arg;

    for (size_t i = 0; i < COUNTERS; i++) {
        if (strcmp(below, counter_names[i].name) == 0) {
            uint64_t value;

            memcpy(&value, (const char *)&server->counters + counter_names[i].offset,
                   sizeof(value));
            ns_query_printf(query, "%llu", (unsigned long long)value);
            return;
        }
    }
    if (*below == '\0')
        ns_query_answer(query, 0, "", 0);
    else
        ns_query_refuse(query, ENOENT, "%s: no such name", query->path);
}

static void list_counters(struct ns_query *query, const char *below, void *arg)
{
    char names[COUNTERS * 32];
    size_t size = 0;

    (void)arg;
    for (size_t i = 0; *below == '\0' && i < COUNTERS; i++)
        size +=
            (size_t)snprintf(names + size, sizeof(names) - size, "%s", counter_names[i].name) + 1;
    ns_query_answer(query, 0, names, size);
}

static int register_stats(struct ns_server *server, struct ns_stats *stats,
                          struct ns_reason *reason)
{
    int error = 0;

    if (stats == NULL)
        return 0;
    error = ns_stats_add(stats, "self/error", ns_operations_read_error, NULL, NULL);
    if (error == 0 &&
        (error = ns_stats_add(stats, "server", read_counter, list_counters, server)) < 0)
        ns_stats_remove(stats, "self/error");
    if (error < 0)
        return fail(reason, -error, "/stats/server can't be registered: %s", strerror(-error));
    server->stats = stats;
    return 0;
}

/* ---- life ---- */

static struct ns_server *new_server(struct ns_store *store, struct ns_loop *loop,
                                    const struct ns_server_options *options)
{
    struct ns_server *server = calloc(1, sizeof(*server));
    struct rlimit files = {.rlim_cur = 1024};

    if (server == NULL)
        return NULL;
    getrlimit(RLIMIT_NOFILE, &files);
    server->store = store;
    server->loop = loop;
    server->io = (struct ns_io){.fd = -1, .fn = accept_clients};
    server->lock_fd = -1;
    server->own_uid = geteuid();
    server->flush.fn = flush;
    server->accept.fn = resume_accepting;
    server->take.fn = take_looked;
    server->unprivileged_max = (unsigned)(files.rlim_cur < 65536 ? files.rlim_cur : 65536) / 2;
    server->txns_max = options->transactions != 0 ? options->transactions : DEFAULT_TXNS;
    server->watches_max = options->watches != 0 ? options->watches : DEFAULT_WATCHES;
    TAILQ_INIT(&server->ready);
    ns_store_hold(store)->changed = ns_connection_released;
    ns_store_hold(store)->arg = server;
    server->path = strdup(options->path);
    if (server->path == NULL || asprintf(&server->lock_path, "%s.lock", options->path) < 0) {
        free(server->path);
        free(server);
        return NULL;
    }
    return server;
}

/* Another process has bound and locked it for us. */
static int take_over(struct ns_server *server, const struct ns_server_options *options,
                     struct ns_reason *reason)
{
    struct stat file;

    server->io.fd = options->listening;
    server->lock_fd = options->lock;
    if (fcntl(server->io.fd, F_SETFD, FD_CLOEXEC) < 0 ||
        fcntl(server->lock_fd, F_SETFD, FD_CLOEXEC) < 0)
        return fail(reason, errno, "%s can't be taken over: %s", server->path, strerror(errno));
    if (lstat(server->path, &file) == 0) {
        server->device = file.st_dev;
        server->inode = file.st_ino;
    }
    return 0;
}

static int make_socket(struct ns_server *server, const struct ns_server_options *options,
                       struct ns_reason *reason)
{
    int error;

    if (options->taken_over)
        return take_over(server, options, reason);
    error = make_parent(server->path, reason);
    if (error == 0)
        error = take_lock(server, reason);
    return error == 0 ? bind_socket(server, options->mode, reason) : error;
}

static int start(struct ns_server *server, const struct ns_server_options *options,
                 struct ns_reason *reason)
{
    int error = find_group(server, options->group, reason);

    if (error == 0)
        error = make_socket(server, options, reason);
    if (error == 0)
        error = register_stats(server, options->stats, reason);
    if (error == 0 && ((error = ns_timer_start(server->loop, &server->flush, FLUSH_IDLE)) < 0 ||
                       (error = ns_turns_start(server)) < 0))
        fail(reason, -error, "out of memory");
    if (error == 0 && (error = ns_loop_add(server->loop, &server->io, EPOLLIN)) < 0)
        fail(reason, -error, "%s: %s", server->path, strerror(-error));
    return error;
}

int ns_server_new(struct ns_store *store, struct ns_loop *loop,
                  const struct ns_server_options *options, struct ns_reason *reason,
                  struct ns_server **result)
{
    struct ns_server *server = new_server(store, loop, options);
    int error =
        server != NULL ? start(server, options, reason) : fail(reason, ENOMEM, "out of memory");

    if (error < 0 && server != NULL)
        ns_server_free(server);
    else if (error == 0)
        *result = server;
    return error;
}

void ns_server_free(struct ns_server *server)
{
    struct ns_connection *connection, *next;

    while (!LIST_EMPTY(&server->rings))
        ns_attached_ring_stop(LIST_FIRST(&server->rings));
    ns_xen_close(server);
    for (connection = LIST_FIRST(&server->connections); connection != NULL; connection = next) {
        next = LIST_NEXT(connection, link);
        ns_connection_close(connection);
    }
    ns_store_hold(server->store)->changed = NULL;
    ns_timer_stop(server->loop, &server->flush);
    ns_turns_stop(server);
    ns_timer_stop(server->loop, &server->accept);
    ns_timer_stop(server->loop, &server->take);
    if (server->io.fd >= 0) {
        ns_loop_remove(server->loop, &server->io);
        close(server->io.fd);
    }
    remove_socket(server);
    if (server->stats != NULL) {
        ns_stats_remove(server->stats, "self/error");
        ns_stats_remove(server->stats, "server");
    }
    if (server->lock_fd >= 0) {
        unlink(server->lock_path); /* while it is held; see is_named() */
        close(server->lock_fd);
    }
    free(server->path);
    free(server->lock_path);
    free(server->listed.bytes);
    free(server);
}

void ns_server_set_access_log(struct ns_server *server, struct ns_access_log *log)
{
    server->access_log = log;
}

void ns_server_counters(const struct ns_server *server, struct ns_server_counters *out)
{
    *out = server->counters;
}
