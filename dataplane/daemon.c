/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The daemon's parts.
 *
 * The socket comes before DPDK: a second daemon must not disturb the first one's files. Nobody is
 * served before the configuration is committed, because the loop does not run yet.
 *
 * The end has a time limit. What must be done for others (workers stopped, devices closed, files removed)
 * comes first; if that takes too long, a device's driver or a worker hangs, and a thread removes the files
 * and ends the process, which is a failure (exit 1). What follows only frees memory of our own: if time is
 * over then, the kernel does it as well, and the end is as good as any other.
 */
#include "dataplane/daemon.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "dataplane/config.h"
#include "dataplane/control.h"
#include "dataplane/eal.h"
#include "dataplane/logs.h"
#include "dataplane/netlink.h"
#include "dataplane/notify.h"
#include "dataplane/restart.h"
#include "dataplane/stats.h"
#include "dataplane/stats_json.h"
#include "nameserv/parts.h"
#include "nameserv/server.h"
#include "nameserv/tool.h"
#include "nameserv/xenstore.h"

#define MS UINT64_C(1000000)

enum { END_MS = 850, CLOSE_MS = 600, DEVICES_MS = 100, READY_POLL_MS = 2 };

struct daemon {
    const struct options *options;
    struct ns_loop *loop;
    struct ns_store *store;
    struct ns_stats *names; /* /stats */
    struct ns_xenstore xenstore;
    struct ns_parts *parts; /* that the configuration hangs */
    struct ns_tool tool;
    struct ns_server *server;
    struct restart restart;
    struct eal eal;
    bool has_eal;
    struct control control;
    struct devices *devices;
    struct netlink *netlink;
    struct logs logs;
    struct ns_io signals; /* a signalfd */
    struct ns_timer ready;
    int status;          /* what to exit with */
    _Atomic bool closed; /* nothing is left to be done but to free memory */
};

static int failed(const char *what, int error)
{
    ns_log(NS_LOG_ERROR, "%s: %s", what, strerror(-error));
    return error;
}

/* ---- signals ---- */

static void signal_came(struct ns_io *io, uint32_t events)
{
    struct daemon *daemon = (struct daemon *)((char *)io - offsetof(struct daemon, signals));
    struct signalfd_siginfo info;

    (void)events;
    if (read(io->fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
        return;
    if (info.ssi_signo == SIGHUP) {
        logs_reopen(&daemon->logs);
        return;
    }
    ns_log(NS_LOG_INFO, "%s: ending", strsignal((int)info.ssi_signo));
    ns_loop_stop(daemon->loop);
}

/* Blocked before any thread is made, so that all of them inherit that. */
static int take_signals(struct daemon *daemon)
{
    sigset_t set;

    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    daemon->signals.fn = signal_came;
    daemon->signals.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return daemon->signals.fd < 0 ? -errno : ns_loop_add(daemon->loop, &daemon->signals, EPOLLIN);
}

/* ---- beginning ---- */

static int start_names(struct daemon *daemon)
{
    const struct options *options = daemon->options;
    const struct ns_store_options store = {.lcores = options->names_only ? 0 : eal_workers(options),
                                           .alone = options->names_only};
    int error = 0;

    daemon->loop = ns_loop_new();
    if (daemon->loop == NULL)
        return failed("the event loop can't be made", -errno);
    daemon->control.loop = daemon->restart.loop = daemon->loop;
    error = take_signals(daemon);
    if (error == 0)
        error = ns_store_new(&store, &daemon->store);
    daemon->control.store = daemon->restart.store = daemon->store;
    if (error == 0)
        error = ns_stats_new(daemon->store, &daemon->names);
    if (error == 0)
        error = ns_xenstore_add(daemon->store, &daemon->xenstore);
    if (error == 0)
        error = ns_parts_new(daemon->store, daemon->names, &daemon->parts);
    daemon->restart.stats = daemon->names;
    return error < 0 ? failed("the store can't be made", error) : 0;
}

static int start_server(struct daemon *daemon)
{
    struct ns_server_options options = {
        .path = daemon->options->socket,
        .mode = daemon->options->socket_mode,
        .group = daemon->options->socket_group,
        .stats = daemon->names,
    };
    struct ns_reason reason = {.text = ""};
    int error;

    restart_set_server(&daemon->restart, &options);
    error = ns_server_new(daemon->store, daemon->loop, &options, &reason, &daemon->server);
    daemon->restart.server = daemon->server;
    if (error < 0)
        ns_log(NS_LOG_ERROR, "%s", reason.text[0] != '\0' ? reason.text : strerror(-error));
    if (error == 0 && (error = ns_tool_add(daemon->store, &daemon->tool, daemon->server)) < 0)
        failed("/tool/xenstored can't be made", error);
    return error;
}

static int start_eal(struct daemon *daemon)
{
    char why[512];
    int error = eal_start(daemon->options, &daemon->eal, why, sizeof(why));

    if (error < 0)
        ns_log(NS_LOG_ERROR, "%s", why);
    daemon->has_eal = error == 0;
    daemon->control.pool = daemon->eal.pool;
    return error;
}

static int start_workers(struct daemon *daemon)
{
    struct control *control = &daemon->control;
    const struct options *options = daemon->options;
    struct modules_io io = control_io(control);
    int error =
        modules_new(&control->modules, daemon->store, daemon->loop, &options->neighbours, &io);

    if (error < 0)
        return failed("the modules can't be made", error);
    control->poll = options->poll_control;
    control->server = daemon->server;
    control->workers.store = daemon->store;
    control->workers.sources = adjacencies_sources(control->modules.adjacencies);
    control->workers.pool = daemon->eal.pool;
    control->workers.options.flows = options->flows;
    control->workers.options.idle_seconds = options->flow_idle;
    control->workers.options.walk_share = options->walk_share;
    control->workers.options.poll = options->poll;
    control->workers.options.log_moves = options->log_moves;
    control->workers.wake_control = control_wake;
    control->workers.wake_arg = control;
    error = workers_start(&control->workers, daemon->eal.lcores, daemon->eal.workers);
    return error != 0
               ? failed("the workers can't be started; --flows and --memory say how much they take",
                        error < 0 ? error : -error)
               : 0;
}

static int start_ports(struct daemon *daemon)
{
    struct control *control = &daemon->control;
    int error = devices_start(daemon->eal.pool, control_wake, control, &daemon->devices);

    if (error == 0)
        error = ports_new(daemon->store, daemon->loop, links_slot(control->modules.links),
                          daemon->devices, &control->workers, &control->ports);
    if (error == 0)
        error =
            netlink_new(daemon->loop, ports_interface_changed, control->ports, &daemon->netlink);
    return error < 0 ? failed("the ports can't be watched", error) : 0;
}

static int start_data_plane(struct daemon *daemon)
{
    int error = start_eal(daemon);

    if (error == 0)
        error = start_workers(daemon);
    if (error == 0)
        error = start_ports(daemon);
    return error;
}

static int start_stats(struct daemon *daemon)
{
    int error = stats_new(&daemon->control, daemon->names, &daemon->control.stats);

    if (error == 0 && !daemon->options->names_only)
        error = modules_stats_add(&daemon->control.modules, daemon->names);
    return error < 0 ? failed("/stats can't be made", error) : 0;
}

static void log_mistake(const char *file, unsigned line, const char *text)
{
    if (line > 0)
        ns_log(NS_LOG_ERROR, "%s:%u: %s", file, line, text);
    else
        ns_log(NS_LOG_ERROR, "%s: %s", file, text);
}

static struct config_file config_of(const struct daemon *daemon)
{
    return (struct config_file){.path = daemon->options->config,
                                .names_only = daemon->options->names_only,
                                .mistake = log_mistake};
}

static int hang_parts(struct daemon *daemon)
{
    const struct config_file config = config_of(daemon);

    return config.path == NULL ? 0 : config_hang(&config, daemon->parts);
}

static int read_config(struct daemon *daemon)
{
    const struct config_file config = config_of(daemon);
    unsigned commands = 0;
    int error;

    if (config.path == NULL)
        return 0;
    error = config_commit(&config, daemon->store, &commands);
    if (error == 0)
        ns_log(NS_LOG_INFO, "%s: %u commands are committed", config.path, commands);
    return error;
}

/* Ready: what is configured is open, or has failed and said so. */
static void look_whether_ready(struct ns_timer *timer)
{
    struct daemon *daemon = (struct daemon *)((char *)timer - offsetof(struct daemon, ready));

    if (daemon->control.ports != NULL && !ports_settled(daemon->control.ports)) {
        ns_timer_start(daemon->loop, timer, READY_POLL_MS * MS);
        return;
    }
    stats_set_ready(daemon->control.stats);
    notify("READY=1");
    ns_log(NS_LOG_NOTICE, "ready; control socket %s, %u worker%s", daemon->options->socket,
           daemon->control.workers.count, daemon->control.workers.count == 1 ? "" : "s");
}

/* When every mount that it may be restricted to is there. */
static int start_access_log(struct daemon *daemon)
{
    int error = logs_start_access(&daemon->logs, daemon->options, daemon->store);

    if (error == 0)
        ns_server_set_access_log(daemon->server, daemon->logs.access);
    return error;
}

static void stop_logs(void *arg)
{
    struct daemon *daemon = arg;

    ns_server_set_access_log(daemon->server, NULL);
    logs_stop(&daemon->logs);
}

static int start_logs(void *arg)
{
    struct daemon *daemon = arg;
    int error = logs_start_own(&daemon->logs, daemon->options);

    return error == 0 ? start_access_log(daemon) : error;
}

static int start(struct daemon *daemon)
{
    int error = restart_take_state(&daemon->restart);
    bool had_state = restart_has_state(&daemon->restart);

    if (error == 0)
        error = start_names(daemon);
    if (error == 0)
        error = logs_start_own(&daemon->logs, daemon->options);
    if (error == 0)
        error = start_server(daemon);
    if (error == 0 && !daemon->options->names_only)
        error = start_data_plane(daemon);
    if (error == 0)
        error = start_stats(daemon);
    if (error == 0)
        error = hang_parts(daemon);
    if (error == 0)
        error = restart_fill_store(&daemon->restart);
    if (error == 0)
        error = start_access_log(daemon);
    if (error == 0)
        error = restart_start_journal(&daemon->restart);
    if (error == 0 && !had_state)
        error = read_config(daemon);
    if (error == 0)
        error = restart_start_clients(&daemon->restart);
    if (error < 0)
        return error;
    control_start(&daemon->control);
    daemon->ready.fn = look_whether_ready;
    return ns_timer_start(daemon->loop, &daemon->ready, READY_POLL_MS * MS);
}

/* ---- end ---- */

/* The socket is gone already. */
__attribute__((noreturn)) static void leave(const struct daemon *daemon)
{
    bool closed = atomic_load(&daemon->closed);

    if (!closed)
        ns_log(NS_LOG_ERROR, "a device or a worker does not end in time; leaving without it");
    if (daemon->has_eal)
        eal_remove_files(&daemon->eal);
    _exit(closed ? daemon->status : 1);
}

static void *leave_in_time(void *daemon)
{
    const struct timespec limit = {.tv_nsec = (long)(END_MS * MS)};

    nanosleep(&limit, NULL);
    leave(daemon);
}

static void limit_end(struct daemon *daemon)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, leave_in_time, daemon) == 0)
        pthread_detach(thread);
}

static void stop_data_plane(struct daemon *daemon)
{
    struct control *control = &daemon->control;

    ns_rcu_offline(); /* workers must not wait for us, whom we wait for */
    workers_stop(&control->workers);
    ns_rcu_online();
    if (daemon->netlink != NULL)
        netlink_free(daemon->netlink);
    if (control->ports != NULL && !ports_close(control->ports, CLOSE_MS))
        ns_log(NS_LOG_WARNING, "not all devices are closed after %d ms", CLOSE_MS);
    if (daemon->devices != NULL && !devices_stop(daemon->devices, DEVICES_MS))
        leave(daemon);
    if (control->ports != NULL)
        ports_free(control->ports);
    control->ports = NULL;
}

static void stop_store(struct daemon *daemon)
{
    struct control *control = &daemon->control;

    if (control->stats != NULL)
        stats_free(control->stats);
    workers_free(&control->workers);
    ns_store_drain(daemon->store);
    modules_end(&control->modules);
    if (daemon->names != NULL)
        ns_stats_free(daemon->names);
    ns_store_free(daemon->store);
    if (daemon->parts != NULL)
        ns_parts_free(daemon->parts);
    modules_free(&control->modules);
}

static void stop(struct daemon *daemon)
{
    notify("STOPPING=1");
    restart_end_updates(&daemon->restart);
    if (daemon->server != NULL)
        ns_server_free(daemon->server);
    daemon->server = NULL;
    restart_end_journal(&daemon->restart); /* nobody changes what is kept any more */
    limit_end(daemon);
    if (daemon->has_eal)
        stop_data_plane(daemon);
    atomic_store(&daemon->closed, true);
    if (daemon->store != NULL)
        stop_store(daemon);
    if (daemon->has_eal)
        eal_stop(&daemon->eal);
    if (daemon->signals.fd >= 0)
        close(daemon->signals.fd);
    if (daemon->loop != NULL)
        ns_loop_free(daemon->loop);
    logs_stop(&daemon->logs);
}

int daemon_run(const struct options *options)
{
    struct daemon daemon = {.options = options, .restart.options = options, .signals.fd = -1};
    int error;

    daemon.restart.stop_logs = stop_logs;
    daemon.restart.start_logs = start_logs;
    daemon.restart.logs_arg = &daemon;
    error = start(&daemon);

    if (error == 0)
        ns_loop_run(daemon.loop);
    daemon.status = error < 0 ? 1 : 0;
    stop(&daemon);
    return daemon.status;
}

/* ---- --check ---- */

static void print_mistake(const char *file, unsigned line, const char *text)
{
    if (line > 0)
        printf("%s:%u: %s\n", file, line, text);
    else
        printf("%s: %s\n", file, text);
}

static void begin_json(struct stats_json *json, const char *file)
{
    stats_json_begin(json);
    stats_json_open(json, NULL, '{');
    stats_json_text(json, "file", file);
}

static void print_json(struct stats_json *json)
{
    stats_json_close(json, '}');
    printf("%.*s\n", (int)json->size, json->text);
}

static void print_mistake_json(const char *file, unsigned line, const char *text)
{
    struct stats_json_mark mark;
    struct stats_json json;

    begin_json(&json, file);
    if (line > 0)
        stats_json_number(&json, "line", line);
    mark = stats_json_mark(&json);
    json.room--; /* for the bracket */
    stats_json_text(&json, "text", text);
    if (json.full) {
        stats_json_reset(&json, mark);
        stats_json_text(&json, "text", "what is wrong is too long for JSON; --check alone says it");
    }
    json.room++;
    print_json(&json);
}

static void print_ok(const char *file, unsigned commands, bool in_json)
{
    struct stats_json json;

    if (!in_json) {
        printf("%s: ok, %u command%s\n", file, commands, commands == 1 ? "" : "s");
        return;
    }
    begin_json(&json, file);
    stats_json_number(&json, "commands", commands);
    print_json(&json);
}

static void send_nothing(void *arg, uint16_t iface_id, const void *frame, size_t size)
{
    (void)arg, (void)iface_id, (void)frame, (void)size;
}

static int check_in(struct daemon *daemon)
{
    const struct modules_io io = {.neighbours.send = send_nothing};
    struct config_file config = config_of(daemon);
    unsigned commands = 0;
    int error = daemon->options->names_only
                    ? 0
                    : modules_new(&daemon->control.modules, daemon->store, daemon->loop,
                                  &daemon->options->neighbours, &io);

    if (error < 0)
        return failed("the modules can't be made", error);
    config.mistake = daemon->options->json ? print_mistake_json : print_mistake;
    error = config_check(&config, daemon->parts, daemon->store, &commands);
    if (error == 0)
        print_ok(config.path, commands, daemon->options->json);
    return error;
}

/* A store without anything around it, for fn. */
static int run_apart(const struct options *options, int (*fn)(struct daemon *daemon))
{
    struct daemon daemon = {.options = options, .restart.options = options, .signals.fd = -1};
    int error = start_names(&daemon);

    if (error == 0)
        error = fn(&daemon);
    restart_end_updates(&daemon.restart);
    if (daemon.store != NULL)
        stop_store(&daemon);
    if (daemon.signals.fd >= 0)
        close(daemon.signals.fd);
    if (daemon.loop != NULL)
        ns_loop_free(daemon.loop);
    return error;
}

int daemon_check(const struct options *options)
{
    return run_apart(options, check_in) < 0 ? 1 : 0;
}

static int fill_only(struct daemon *daemon)
{
    int error = restart_take_state(&daemon->restart);

    return error == 0 ? restart_fill_store(&daemon->restart) : error;
}

int daemon_try(const struct options *options)
{
    return run_apart(options, fill_only) == 0 ? NS_LIVE_UPDATE_FITS : 1;
}
