/* SPDX-License-Identifier: BSD-3-Clause */
/* Live update, the giving side: the CONTROL command, waiting for transactions, exec. See live_update.h. */
#include "nameserv/live_update.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "nameserv/live_state.h"
#include "nameserv/log.h"
#include "nameserv/operations.h"

#define SECOND UINT64_C(1000000000)
#define LOOK   UINT64_C(5000000) /* ns: between two looks at whether it can be done */

enum { DEFAULT_SECONDS = 60, SECONDS_MAX = 3600, WORDS_MAX = 256 };
enum { TRIAL_MS = 30000, TRIAL_LOOK_MS = 2 };

static const char attached[] = "domains of Xen are attached, whose rings can't be handed over";

struct ns_live_update {
    struct ns_server *server;
    struct ns_live_update_options options;
    char *binary, *command_line; /* NULL: not given */
    struct ns_request *request;  /* of -s, while it is under way */
    bool force;
    uint64_t began, limit; /* ns */
    struct ns_timer timer;
};

/* ---- the end of a request ---- */

static void answer(struct ns_live_update *update, const char *text)
{
    struct ns_request *request = update->request;
    struct ns_connection *connection = request->connection;

    update->request = NULL;
    update->server->updating = false;
    ns_connection_released(update->server);
    if (connection->server != NULL) {
        connection->request = NULL;
        ns_operations_reply(connection, &request->header, text, strlen(text) + 1);
    }
    ns_connection_put(connection);
    free(request);
}

static void fail(struct ns_live_update *update, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void fail(struct ns_live_update *update, const char *format, ...)
{
    char text[NS_REASON_MAX];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    ns_log(NS_LOG_ERROR, "live update: %s", text);
    answer(update, text);
}

/* ---- exec ---- */

/* The words of -c behind the binary's name, or those of this process; `line` is theirs as long as they are used.
 * false without memory. */
static bool command_words(struct ns_live_update *update, char **words, char **line)
{
    size_t count = 1;
    char *rest;

    words[0] = update->binary;
    *line = NULL;
    if (update->command_line == NULL) {
        for (char **word = update->options.argv + 1; *word != NULL && count < WORDS_MAX; word++)
            words[count++] = *word;
        words[count] = NULL;
        return true;
    }
    *line = strdup(update->command_line);
    if (*line == NULL)
        return false;
    for (char *word = strtok_r(*line, " \t", &rest); word != NULL && count < WORDS_MAX;
         word = strtok_r(NULL, " \t", &rest))
        words[count++] = word;
    words[count] = NULL;
    return true;
}

/* In a child, whose messages go to `messages`. A positive errno. */
static int spawn(const char *binary, char **words, int messages, pid_t *child)
{
    posix_spawn_file_actions_t actions;
    int error = posix_spawn_file_actions_init(&actions);

    if (error != 0)
        return error;
    error = posix_spawn_file_actions_adddup2(&actions, messages, STDERR_FILENO);
    if (error == 0)
        error = posix_spawn(child, binary, &actions, NULL, words, environ);
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

/* Run the binary, in this process or, for the trial, in a child; its environment names the state. 0: the child;
 * negative errno: it can't be run. */
static int run_binary(struct ns_live_update *update, int state, int messages, pid_t *child)
{
    char *words[WORDS_MAX + 1], *line, number[16];
    int error = ENOMEM;

    snprintf(number, sizeof(number), "%d", state);
    if (command_words(update, words, &line) && setenv(NS_LIVE_UPDATE_VARIABLE, number, 1) == 0 &&
        (child == NULL || setenv(NS_LIVE_UPDATE_TRIAL, "1", 1) == 0)) {
        if (child != NULL)
            error = spawn(update->binary, words, messages, child);
        else if (execv(update->binary, words) < 0)
            error = errno;
    }
    unsetenv(NS_LIVE_UPDATE_VARIABLE);
    unsetenv(NS_LIVE_UPDATE_TRIAL);
    free(line);
    return -error;
}

/* Its exit status; it is killed after TRIAL_MS. */
static int wait_for(pid_t child)
{
    const struct timespec pause = {.tv_nsec = TRIAL_LOOK_MS * 1000000};
    int status;

    for (int waited = 0; waited < TRIAL_MS; waited += TRIAL_LOOK_MS) {
        if (waitpid(child, &status, WNOHANG) == child)
            return status;
        nanosleep(&pause, NULL);
    }
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    return status;
}

/* The last thing that a trial said, in `text`; "" if it said nothing. It is another program, maybe: only what can be
 * printed is taken. */
static void last_message(int messages, char *text, size_t size)
{
    off_t end = lseek(messages, 0, SEEK_END), start = end > (off_t)size ? end - (off_t)size : 0;
    ssize_t got = pread(messages, text, size - 1, start);
    char *line;

    text[got > 0 ? got : 0] = '\0';
    for (char *at = text + strlen(text); at > text && at[-1] == '\n';)
        *--at = '\0';
    line = strrchr(text, '\n');
    if (line != NULL)
        memmove(text, line + 1, strlen(line + 1) + 1);
    for (char *at = text; *at != '\0'; at++)
        if ((unsigned char)*at < ' ' || *at == 127)
            *at = '?';
}

/* Of a trial that did not end as it should. */
static void explain(const struct ns_live_update *update, int messages, struct ns_reason *reason)
{
    char text[NS_REASON_MAX / 2];

    last_message(messages, text, sizeof(text));
    if (text[0] != '\0')
        snprintf(reason->text, sizeof(reason->text), "%s could not take over: %s", update->binary,
                 text);
    else
        snprintf(reason->text, sizeof(reason->text),
                 "%s could not take over, and does not say why: it is another program or version",
                 update->binary);
}

static int try_state(struct ns_live_update *update, int state, int messages,
                     struct ns_reason *reason)
{
    pid_t child;
    int error, status;

    fcntl(state, F_SETFD, 0);
    error = run_binary(update, state, messages, &child);
    if (error != 0)
        return error;
    status = wait_for(child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == NS_LIVE_UPDATE_FITS)
        return 0;
    explain(update, messages, reason);
    return -EINVAL;
}

/* Could it take over? In the end nobody could come back. */
static int try_binary(struct ns_live_update *update, struct ns_reason *reason)
{
    int state = ns_live_state_make(update->server, update->request), messages, error;

    if (state < 0)
        return state;
    messages = memfd_create("messages", MFD_CLOEXEC);
    error = messages < 0 ? -errno : try_state(update, state, messages, reason);
    if (messages >= 0)
        close(messages);
    close(state);
    return error;
}

/* The reply is part of the state: the new process sends it. Comes back only if that can't be run. */
static int become(struct ns_live_update *update)
{
    int state = ns_live_state_make(update->server, update->request), error;

    if (state < 0)
        return state;
    ns_live_state_keep_open(update->server, state, true);
    error = run_binary(update, state, -1, NULL);
    ns_live_state_keep_open(update->server, state, false);
    close(state);
    return error;
}

/* Who has no future is not handed over. */
static void close_broken(struct ns_server *server)
{
    struct ns_connection *connection, *next;

    for (connection = LIST_FIRST(&server->connections); connection != NULL; connection = next) {
        next = LIST_NEXT(connection, link);
        if (connection->broken)
            ns_connection_close(connection);
    }
}

static void run(struct ns_live_update *update)
{
    struct ns_reason reason = {.text = ""};
    int error;

    close_broken(update->server);
    if (!ns_live_state_can(update->server)) { /* attached meanwhile */
        fail(update, "%s", attached);
        return;
    }
    error = try_binary(update, &reason);
    if (error == 0) {
        ns_log(NS_LOG_NOTICE, "live update: %s takes over", update->binary);
        error = update->options.pause(update->options.arg, &reason);
    }
    if (error == 0) {
        error = become(update);
        update->options.resume(update->options.arg);
    }
    if (reason.text[0] != '\0')
        fail(update, "%s", reason.text);
    else
        fail(update, "%s can't take over: %s", update->binary, strerror(-error));
}

/* ---- waiting ---- */

/* Is a transaction open that is to be waited for? */
static bool must_wait(const struct ns_live_update *update)
{
    uint64_t now = ns_loop_now(update->server->loop);
    bool over = now - update->began >= update->limit;
    struct ns_connection *connection;
    struct ns_client_txn *txn;

    LIST_FOREACH (connection, &update->server->connections, link) {
        if (connection->request != NULL && connection->request != update->request)
            return true; /* a computed name that answers soon */
        LIST_FOREACH (txn, &connection->txns, link)
            if (!over && !(update->force && now - txn->began >= update->limit))
                return true;
    }
    return false;
}

static void look(struct ns_timer *timer)
{
    struct ns_live_update *update =
        (struct ns_live_update *)((char *)timer - offsetof(struct ns_live_update, timer));

    if (!must_wait(update))
        run(update);
    else if (ns_timer_start(update->server->loop, timer, LOOK) < 0)
        fail(update, "out of memory");
}

/* ---- the command ---- */

/* Answer at once. A refusal is a text as well: that is how its clients know it. */
static int say(struct ns_call *call, const char *format, ...) __attribute__((format(printf, 2, 3)));

static int say(struct ns_call *call, const char *format, ...)
{
    char text[NS_REASON_MAX];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    return ns_call_put(call, text, strlen(text)); /* CONTROL ends it with a NUL */
}

static int set(struct ns_call *call, char **to, const char *text)
{
    char *copy = strdup(text);

    if (copy == NULL)
        return -ENOMEM;
    free(*to);
    *to = copy;
    return say(call, "OK");
}

static int set_binary(struct ns_call *call, struct ns_live_update *update, const char *path)
{
    struct stat file;

    if (path[0] != '/' || stat(path, &file) < 0 || !S_ISREG(file.st_mode) || access(path, X_OK) < 0)
        return say(call, "'%s' is not the absolute path of a program that can be run", path);
    return set(call, &update->binary, path);
}

static int start(struct ns_call *call, struct ns_live_update *update, uint64_t seconds, bool force)
{
    struct ns_connection *connection = call->connection;
    struct ns_request *request;

    if (update->request != NULL)
        return say(call, "BUSY");
    if (update->binary == NULL)
        return say(call, "which program is to take over? -f says it");
    if (!ns_live_state_can(update->server))
        return say(call, "%s", attached);
    request = calloc(1, sizeof(*request) + 1);
    if (request == NULL)
        return -ENOMEM;
    request->connection = connection;
    request->header = *call->header;
    if (ns_timer_start(update->server->loop, &update->timer, 0) < 0) {
        free(request);
        return -ENOMEM;
    }
    connection->request = request;
    connection->references++;
    update->request = request;
    update->force = force;
    update->began = ns_loop_now(update->server->loop);
    update->limit = seconds * SECOND;
    update->server->updating = true;
    return NS_ANSWERED_ELSEWHERE;
}

static int take_back(struct ns_call *call, struct ns_live_update *update)
{
    free(update->binary);
    free(update->command_line);
    update->binary = update->command_line = NULL;
    ns_timer_stop(update->server->loop, &update->timer);
    if (update->request != NULL)
        fail(update, "it was taken back");
    return say(call, "OK");
}

/* The next of the texts that follow each other; NULL: there is none. */
static const char *next_text(const char **at, size_t *left)
{
    const char *text = *at;
    size_t size = strnlen(text, *left);

    if (*left == 0 || size == *left)
        return NULL;
    *at += size + 1;
    *left -= size + 1;
    return text;
}

static int read_start(struct ns_call *call, struct ns_live_update *update, const char *at,
                      size_t left)
{
    uint64_t seconds = DEFAULT_SECONDS;
    bool force = false;
    const char *word;

    while ((word = next_text(&at, &left)) != NULL) {
        if (strcmp(word, "-F") == 0) {
            force = true;
        } else if (strcmp(word, "-t") == 0) {
            word = next_text(&at, &left);
            if (word == NULL || ns_wire_number(word, SECONDS_MAX, &seconds) != 0)
                return say(call, "-t takes a number of seconds, at most %d", SECONDS_MAX);
        } else {
            return say(call, "-s takes -t SECONDS and -F, and not '%.40s'", word);
        }
    }
    return start(call, update, seconds, force);
}

int ns_live_update_control(struct ns_call *call, const char *parameters, size_t size)
{
    struct ns_live_update *update = call->server->live_update;
    const char *at = parameters, *what, *argument;
    size_t left = size;

    if (update == NULL)
        return say(call, "only a daemon that was started with --names-only can be updated live");
    what = next_text(&at, &left);
    if (what != NULL && strcmp(what, "-s") == 0)
        return read_start(call, update, at, left);
    if (what != NULL && strcmp(what, "-a") == 0)
        return take_back(call, update);
    argument = next_text(&at, &left);
    if (what != NULL && argument != NULL && strcmp(what, "-f") == 0)
        return set_binary(call, update, argument);
    if (what != NULL && argument != NULL && strcmp(what, "-c") == 0)
        return set(call, &update->command_line, argument);
    return say(call, "live-update takes -f BINARY, -c COMMAND LINE, -s [-t SECONDS] [-F], or -a");
}

/* ---- life ---- */

int ns_live_update_new(struct ns_server *server, const struct ns_live_update_options *options,
                       struct ns_live_update **result)
{
    struct ns_live_update *update = calloc(1, sizeof(*update));

    if (update == NULL)
        return -ENOMEM;
    update->server = server;
    update->options = *options;
    update->timer.fn = look;
    server->live_update = update;
    *result = update;
    return 0;
}

void ns_live_update_free(struct ns_live_update *update)
{
    if (update == NULL)
        return;
    ns_timer_stop(update->server->loop, &update->timer);
    if (update->request != NULL)
        answer(update, "the daemon ends");
    update->server->live_update = NULL;
    free(update->binary);
    free(update->command_line);
    free(update);
}
