/* SPDX-License-Identifier: BSD-3-Clause */
/* Live update, the taking side: a state becomes a store and a server. See live_update.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "nameserv/account.h"
#include "nameserv/connection_ring.h"
#include "nameserv/domain.h"
#include "nameserv/live_update.h"
#include "nameserv/log.h"
#include "nameserv/state_stream.h"
#include "nameserv/store_p.h"

struct ns_live_state {
    void *bytes;
    size_t size;
    struct ns_state_record global;
};

enum { SOCKET_PATH_MAX = sizeof(((struct sockaddr_un *)NULL)->sun_path) };

static const struct ns_identity loader = {.stack = true, .privileged = true};

static bool to_string(const struct ns_state_text *text, char *string, size_t room)
{
    if (text->size >= room || memchr(text->bytes, '\0', text->size) != NULL)
        return false;
    memcpy(string, text->bytes, text->size);
    string[text->size] = '\0';
    return true;
}

/* ---- opening ---- */

static int useless(struct ns_reason *reason)
{
    return ns_reason_set(reason, EINVAL, "",
                         "the state that the daemon before has left can't be read: it is damaged, "
                         "or of another version");
}

/* Everything is looked at once before anything is done. */
static int check(struct ns_live_state *state)
{
    struct ns_state_reader reader;
    struct ns_state_record record;
    int more = ns_state_open(&reader, state->bytes, state->size);

    if (more != 0 || ns_state_read(&reader, &state->global) != 1 ||
        state->global.type != NS_STATE_GLOBAL)
        return -EINVAL;
    while ((more = ns_state_read(&reader, &record)) == 1)
        if (record.type == NS_STATE_GLOBAL)
            return -EINVAL;
    return more;
}

int ns_live_state_open_fd(int fd, struct ns_live_state **result, struct ns_reason *reason)
{
    struct ns_live_state *state = calloc(1, sizeof(*state));
    struct stat file;

    if (state == NULL)
        return ns_reason_set(reason, ENOMEM, "", "out of memory");
    state->bytes = MAP_FAILED;
    if (fstat(fd, &file) == 0 && file.st_size > 0) {
        state->size = (size_t)file.st_size;
        state->bytes = mmap(NULL, state->size, PROT_READ, MAP_PRIVATE, fd, 0);
    }
    if (state->bytes == MAP_FAILED || check(state) != 0) {
        ns_live_state_free(state);
        return useless(reason);
    }
    *result = state;
    return 0;
}

bool ns_live_update_is_trial(void)
{
    bool trial = getenv(NS_LIVE_UPDATE_TRIAL) != NULL;

    unsetenv(NS_LIVE_UPDATE_TRIAL);
    return trial;
}

int ns_live_state_open(struct ns_live_state **state, struct ns_reason *reason)
{
    const char *text = getenv(NS_LIVE_UPDATE_VARIABLE);
    uint64_t number;
    int error;

    *state = NULL;
    if (text == NULL)
        return 0;
    if (ns_wire_number(text, INT32_MAX, &number) != 0)
        return ns_reason_set(reason, EINVAL, "", "%s=%s: that is no descriptor",
                             NS_LIVE_UPDATE_VARIABLE, text);
    unsetenv(NS_LIVE_UPDATE_VARIABLE);
    error = ns_live_state_open_fd((int)number, state, reason);
    close((int)number);
    return error;
}

void ns_live_state_free(struct ns_live_state *state)
{
    if (state == NULL)
        return;
    if (state->bytes != MAP_FAILED)
        munmap(state->bytes, state->size);
    free(state);
}

/* Two names of one socket, if it is there; else it must be the same name. */
static bool same_socket(const char *a, const char *b)
{
    struct stat first, second;

    if (stat(a, &first) == 0 && stat(b, &second) == 0)
        return first.st_dev == second.st_dev && first.st_ino == second.st_ino;
    return strcmp(a, b) == 0;
}

int ns_live_state_check_socket(const struct ns_live_state *state, const char *path,
                               struct ns_reason *reason)
{
    struct ns_state_reader reader;
    struct ns_state_record record;
    char kept[SOCKET_PATH_MAX];

    if (ns_state_open(&reader, state->bytes, state->size) != 0)
        return useless(reason);
    while (ns_state_read(&reader, &record) == 1) {
        if (record.type == NS_STATE_SOCKET &&
            (!to_string(&record.texts[0], kept, sizeof(kept)) || !same_socket(kept, path)))
            return ns_reason_set(
                reason, EINVAL, "",
                "a live update keeps the control socket, which is %.*s; for another one start "
                "the daemon anew",
                (int)record.texts[0].size, record.texts[0].bytes);
    }
    return 0;
}

int ns_live_state_listening(const struct ns_live_state *state)
{
    return (int)state->global.numbers[1];
}

int ns_live_state_lock(const struct ns_live_state *state)
{
    return (int)state->global.numbers[2];
}

uint64_t ns_live_state_commit(const struct ns_live_state *state)
{
    return state->global.numbers[0];
}

/* ---- texts ---- */

/* A text as a string. false: it is none, or has no room. */
/* ---- the store ---- */

static int to_perms(const struct ns_state_text *text, struct ns_perms **perms)
{
    struct ns_perm list[NS_PERMS_MAX];
    int count = ns_perms_parse(text->bytes, text->size, list);

    if (count < 0)
        return -EINVAL;
    *perms = ns_perms_new(list, (size_t)count);
    return *perms == NULL ? -ENOMEM : 0;
}

static int load_node(struct ns_txn *txn, const struct ns_state_record *record)
{
    const struct ns_state_text *value = &record->texts[2];
    char path[NS_PATH_MAX + 1];
    struct ns_perms *perms;
    int error = to_perms(&record->texts[1], &perms);

    if (error != 0)
        return error;
    error = to_string(&record->texts[0], path, sizeof(path))
                ? ns_txn_load(txn, path, record->texts[0].size, value->bytes, value->size, perms)
                : -EINVAL;
    ns_perms_put(perms);
    return error;
}

static int load_special(struct ns_store *store, const struct ns_state_record *record)
{
    char name[NS_PATH_MAX + 1];
    struct ns_perms *perms;
    int error = to_perms(&record->texts[1], &perms);

    if (error != 0)
        return error;
    if (to_string(&record->texts[0], name, sizeof(name)) && ns_special_find(name) != NS_SPECIALS)
        ns_special_set_perms(store, ns_special_find(name), perms);
    else
        error = -EINVAL;
    ns_perms_put(perms);
    return error;
}

static int load_domain(struct ns_store *store, const struct ns_state_record *record)
{
    const uint64_t *numbers = record->numbers;
    struct ns_domain *domain, *target;
    int error =
        ns_domain_know(store, numbers[0] < NS_DOMIDS ? (uint32_t)numbers[0] : NS_DOMIDS, &domain);

    if (error == 0 && (numbers[2] & NS_STATE_TARGET) != 0)
        error = ns_domain_know(store, numbers[5] < NS_DOMIDS ? (uint32_t)numbers[5] : NS_DOMIDS,
                               &target);
    if (error != 0)
        return error == -ENOENT ? -EINVAL : error;
    domain->features = (uint32_t)numbers[1];
    domain->introduced = (numbers[2] & NS_STATE_INTRODUCED) != 0;
    domain->shutdown = (numbers[2] & NS_STATE_SHUTDOWN) != 0;
    domain->page = numbers[3];
    domain->port = (uint32_t)numbers[4];
    if ((numbers[2] & NS_STATE_TARGET) != 0)
        ns_domain_set_target(domain, target);
    return 0;
}

static int load_quotas(struct ns_store *store, const struct ns_state_record *record)
{
    char name[NS_QUOTAS_NAME], text[NS_QUOTAS_TEXT];

    if (!to_string(&record->texts[0], name, sizeof(name)) ||
        !to_string(&record->texts[1], text, sizeof(text)))
        return -EINVAL;
    return ns_quotas_take(store, name, text);
}

static int load_record(struct ns_txn *txn, struct ns_store *store,
                       const struct ns_state_record *record)
{
    switch (record->type) {
    case NS_STATE_NODE: return load_node(txn, record);
    case NS_STATE_SPECIAL: return load_special(store, record);
    case NS_STATE_DOMAIN: return load_domain(store, record);
    case NS_STATE_QUOTAS: return load_quotas(store, record);
    default: return 0; /* the server's */
    }
}

int ns_live_state_fill_store(struct ns_live_state *state, struct ns_store *store,
                             struct ns_reason *reason)
{
    struct ns_state_reader reader;
    struct ns_state_record record;
    struct ns_txn *txn;
    int error;

    ns_store_number_from(store, ns_live_state_commit(state));
    error = ns_txn_begin(store, &loader, &txn);
    if (error != 0)
        return ns_reason_set(reason, -error, "", "no transaction: %s", strerror(-error));
    ns_state_open(&reader, state->bytes, state->size);
    while (error == 0 && ns_state_read(&reader, &record) == 1)
        error = load_record(txn, store, &record);
    if (error == 0)
        return ns_txn_commit(txn, NULL, reason);
    *reason = *ns_txn_reason(txn);
    ns_txn_abort(txn);
    if (error == -ENOMEM)
        return ns_reason_set(reason, ENOMEM, "", "out of memory");
    return reason->text[0] != '\0' ? error : useless(reason);
}

/* ---- connections ---- */

static bool copy_bytes(const struct ns_state_text *text, char **bytes, size_t *size)
{
    if (text->size == 0)
        return true;
    *bytes = malloc(text->size);
    if (*bytes == NULL)
        return false;
    memcpy(*bytes, text->bytes, text->size);
    *size = text->size;
    return true;
}

/* Whose parts are read. */
struct owner {
    struct ns_server *server;
    struct ns_connection *connection; /* NULL: none, or it comes next */
    struct ns_attached_ring *ring;    /* it is this guest's */
    bool lost; /* the guest could not be taken over: what belongs to it is left out */
};

/* A descriptor's number is what the process before had; nobody else inherits it. */
static int take_descriptor(uint64_t number)
{
    int fd = number > INT32_MAX ? -1 : (int)number;

    fcntl(fd, F_SETFD, FD_CLOEXEC);
    return fd;
}

static void take_descriptors(const uint64_t *numbers, struct ns_handed *handed)
{
    handed->count = 0;
    while (handed->count < NS_HANDED_MAX && numbers[handed->count] != NS_STATE_NONE) {
        handed->fds[handed->count] = take_descriptor(numbers[handed->count]);
        handed->count++;
    }
}

static int take_socket(struct owner *owner, uint64_t number)
{
    int fd = take_descriptor(number), error = ns_server_admit(owner->server, fd);

    if (error != 0) {
        close(fd);
        return error;
    }
    *owner = (struct owner){.server = owner->server,
                            .connection = LIST_FIRST(&owner->server->connections)};
    return 0;
}

/* The connection of the guest whose ring was read before. */
static int take_guest(struct owner *owner)
{
    int error;

    if (owner->ring == NULL || owner->ring->connection != NULL)
        return -EINVAL;
    error = ns_attached_ring_connect(owner->ring);
    owner->connection = owner->ring->connection;
    return error;
}

static int take_connection(struct owner *owner, const struct ns_state_record *record)
{
    struct ns_connection *connection;
    int error;

    if (record->numbers[0] == NS_STATE_NONE && owner->lost)
        return 0;
    error = record->numbers[0] == NS_STATE_NONE ? take_guest(owner)
                                                : take_socket(owner, record->numbers[0]);
    if (error != 0)
        return error;
    connection = owner->connection;
    connection->ended = (record->numbers[1] & NS_STATE_ENDED) != 0;
    connection->last_txn_id = (uint32_t)record->numbers[2];
    if (!copy_bytes(&record->texts[0], &connection->rest, &connection->rest_size) ||
        !copy_bytes(&record->texts[1], &connection->output.bytes, &connection->output.end))
        return -ENOMEM;
    connection->output.room = connection->output.end;
    connection->account->unread_bytes += connection->output.end;
    ns_connection_ready(connection);
    return 0;
}

static int take_handed(struct ns_connection *connection, const struct ns_state_record *record)
{
    if (connection->handed != NULL ||
        connection->carrier != NULL) /* no descriptors come by a ring */
        return -EINVAL;
    connection->handed = malloc(sizeof(*connection->handed));
    if (connection->handed == NULL)
        return -ENOMEM;
    take_descriptors(record->numbers, connection->handed);
    return 0;
}

static int take_watch(struct ns_connection *connection, const struct ns_state_record *record)
{
    char path[NS_WIRE_PAYLOAD_MAX + 1], token[NS_WIRE_PAYLOAD_MAX + 1], absolute[NS_PATH_MAX + 1];
    int error;

    if (record->numbers[0] > UINT16_MAX + 1u || !to_string(&record->texts[0], path, sizeof(path)) ||
        !to_string(&record->texts[1], token, sizeof(token)) ||
        ns_wire_absolute(connection->home, connection->home_size, path, record->texts[0].size,
                         absolute) < 0)
        return -EINVAL;
    error = ns_events_take_watch(connection, path, absolute, token, (unsigned)record->numbers[0]);
    /* Daemons before version 2 told apart how a path was written. */
    return error == -EEXIST ? 0 : error;
}

static int take_event(struct ns_connection *connection, const struct ns_state_record *record)
{
    char path[NS_WIRE_PAYLOAD_MAX + 1], token[NS_WIRE_PAYLOAD_MAX + 1], changed[NS_PATH_MAX + 1];

    if (!to_string(&record->texts[0], path, sizeof(path)) ||
        !to_string(&record->texts[1], token, sizeof(token)) ||
        !to_string(&record->texts[2], changed, sizeof(changed)))
        return -EINVAL;
    return ns_events_take_event(connection, path, token, changed);
}

/* What belongs to the connection that was read before it. */
static int take_part(const struct owner *owner, const struct ns_state_record *record)
{
    struct ns_connection *connection = owner->connection;

    if (connection == NULL)
        return owner->lost ? 0 : -EINVAL;
    switch (record->type) {
    case NS_STATE_HANDED: return take_handed(connection, record);
    case NS_STATE_WATCH: return take_watch(connection, record);
    case NS_STATE_EVENT: return take_event(connection, record);
    case NS_STATE_TXN: return ns_operations_take_txn(connection, (uint32_t)record->numbers[0]);
    default: return -EINVAL;
    }
}

/* ---- rings ---- */

static struct ns_connection *find_connection(struct ns_server *server, uint64_t number)
{
    struct ns_connection *connection;

    LIST_FOREACH (connection, &server->connections, link)
        if (connection->carrier == NULL && (uint64_t)connection->io.fd == number)
            break;
    return connection;
}

/* Whoever handed in the memory still has it in hand, and can keep others from mapping it. */
static int lose_guest(struct ns_server *server, struct ns_domain *domain, struct ns_handed *handed,
                      const struct ns_reason *reason)
{
    ns_log(NS_LOG_WARNING, "domain %u is released, its ring can't be taken over: %s",
           domain->who.domain.domid, reason->text);
    while (handed->count > 0)
        close(handed->fds[--handed->count]);
    return ns_domain_release(server->store, domain);
}

static int take_ring(struct owner *owner, const struct ns_state_record *record)
{
    struct ns_server *server = owner->server;
    struct ns_domain *domain = record->numbers[0] < NS_DOMIDS
                                   ? ns_domain_find(server->store, (uint32_t)record->numbers[0])
                                   : NULL;
    struct ns_connection *introducer = find_connection(server, record->numbers[1]);
    struct ns_reason reason = {.text = "it can't be mapped"};
    struct ns_handed handed;

    if (domain == NULL || domain->ring != NULL ||
        (introducer == NULL && record->numbers[1] != NS_STATE_NONE))
        return -EINVAL;
    take_descriptors(record->numbers + 3, &handed);
    *owner = (struct owner){.server = server};
    owner->lost = ns_ring_memory_take_over(server, introducer, domain, &handed, record->numbers[2],
                                           &reason) != 0;
    if (owner->lost)
        return lose_guest(server, domain, &handed, &reason);
    owner->ring = domain->ring;
    return 0;
}

/* ---- the server ---- */

static int take_record(struct owner *owner, const struct ns_state_record *record)
{
    switch (record->type) {
    case NS_STATE_CONNECTION: return take_connection(owner, record);
    case NS_STATE_RING: return take_ring(owner, record);
    case NS_STATE_WATCH:
    case NS_STATE_EVENT:
    case NS_STATE_TXN:
    case NS_STATE_HANDED: return take_part(owner, record);
    default: return 0; /* the store's */
    }
}

int ns_live_state_fill_server(struct ns_live_state *state, struct ns_server *server,
                              struct ns_reason *reason)
{
    struct owner owner = {.server = server};
    struct ns_state_reader reader;
    struct ns_state_record record;
    int error = 0;

    ns_state_open(&reader, state->bytes, state->size);
    while (error == 0 && ns_state_read(&reader, &record) == 1)
        error = take_record(&owner, &record);
    if (error == -EINVAL)
        return useless(reason);
    return error == 0 ? 0
                      : ns_reason_set(reason, -error, "", "a client can't be taken over: %s",
                                      strerror(-error));
}
