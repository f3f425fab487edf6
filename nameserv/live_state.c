/* SPDX-License-Identifier: BSD-3-Clause */
/* Live update: the state of a server and its store as a stream; see live_state.h. */
#include "nameserv/live_state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "nameserv/account.h"
#include "nameserv/connection_ring.h"
#include "nameserv/domain.h"
#include "nameserv/perms.h"
#include "nameserv/state_stream.h"

static struct ns_state_text text_of(const void *bytes, size_t size)
{
    return (struct ns_state_text){bytes, size};
}

static struct ns_state_text string(const char *text)
{
    return text_of(text, strlen(text));
}

/* ---- the tree ---- */

static int write_node(const char *path, size_t path_size, const struct ns_entry *before,
                      const struct ns_entry *after, void *arg)
{
    struct ns_state_writer *writer = arg;
    char perms[NS_PERMS_MAX * 12];
    int perms_size = ns_perms_format(after->perms, perms, sizeof(perms));
    const struct ns_state_record record = {
        .type = NS_STATE_NODE,
        .texts = {text_of(path, path_size), text_of(perms, perms_size < 0 ? 0 : (size_t)perms_size),
                  text_of(ns_entry_value(after), after->value_size)}};

    (void)before;
    ns_state_write(writer, &record);
    return writer->error;
}

/* ---- domains ---- */

static int write_domain(struct ns_domain *domain, void *arg)
{
    const struct ns_identity *who = &domain->who;
    const struct ns_state_record record = {
        .type = NS_STATE_DOMAIN,
        .numbers = {who->domain.domid, domain->features,
                    (domain->introduced ? NS_STATE_INTRODUCED : 0u) |
                        (domain->shutdown ? NS_STATE_SHUTDOWN : 0u) |
                        (who->has_target ? NS_STATE_TARGET : 0u),
                    domain->page, domain->port, who->target.domid}};

    ns_state_write(arg, &record);
    return 0;
}

static void write_specials(struct ns_state_writer *writer, const struct ns_store *store)
{
    for (int i = 0; i < NS_SPECIALS; i++) {
        char perms[NS_PERMS_MAX * 12];
        int size =
            ns_perms_format(ns_special_perms(store, (enum ns_special)i), perms, sizeof(perms));
        const struct ns_state_record record = {
            .type = NS_STATE_SPECIAL,
            .texts = {string(ns_special_name((enum ns_special)i)),
                      text_of(perms, size < 0 ? 0 : (size_t)size)}};

        ns_state_write(writer, &record);
    }
}

static int write_quotas(const char *name, const char *text, void *arg)
{
    const struct ns_state_record record = {.type = NS_STATE_QUOTAS,
                                           .texts = {string(name), string(text)}};

    ns_state_write(arg, &record);
    return 0;
}

/* ---- connections ---- */

/* A ring's connection has none of its own. */
static bool has_descriptor(const struct ns_connection *connection)
{
    return connection->carrier == NULL;
}

static void put_descriptors(uint64_t *numbers, const struct ns_handed *handed)
{
    for (unsigned i = 0; i < NS_HANDED_MAX; i++)
        numbers[i] = i < handed->count ? (uint64_t)handed->fds[i] : NS_STATE_NONE;
}

static void write_watches(struct ns_state_writer *writer, const struct ns_connection *connection)
{
    const struct ns_client_watch *watch;
    const struct ns_event *event;

    LIST_FOREACH (watch, &connection->watches, link) {
        const struct ns_state_record record = {
            .type = NS_STATE_WATCH,
            .numbers = {watch->watch.levels},
            .texts = {string(watch->text), string(watch->text + watch->path_size + 1)}};

        ns_state_write(writer, &record);
    }
    TAILQ_FOREACH (event, &connection->events.queue, link) {
        const char *path = event->watch->text;
        const struct ns_state_record record = {.type = NS_STATE_EVENT,
                                               .texts = {string(path),
                                                         string(path + event->watch->path_size + 1),
                                                         text_of(event->path, event->path_size)}};

        ns_state_write(writer, &record);
    }
}

static void write_txns(struct ns_state_writer *writer, const struct ns_connection *connection)
{
    const struct ns_client_txn *txn;

    LIST_FOREACH (txn, &connection->txns, link) {
        const struct ns_state_record record = {.type = NS_STATE_TXN, .numbers = {txn->id}};

        ns_state_write(writer, &record);
    }
}

/* The output that was not sent, and the reply to whoever has asked for all this. */
static size_t whole_output(const struct ns_connection *connection, bool waits, char *reply,
                           struct ns_state_text *output)
{
    struct ns_wire_header header;
    size_t size = ns_output_size(&connection->output);

    *output = text_of(connection->output.bytes + connection->output.start, size);
    if (!waits)
        return size;
    header = connection->request->header;
    header.size = sizeof("OK");
    memcpy(reply, output->bytes, size);
    memcpy(reply + size, &header, sizeof(header));
    memcpy(reply + size + sizeof(header), "OK", sizeof("OK"));
    *output = text_of(reply, size + sizeof(header) + sizeof("OK"));
    return output->size;
}

static void write_handed(struct ns_state_writer *writer, const struct ns_handed *handed)
{
    struct ns_state_record record = {.type = NS_STATE_HANDED};

    if (handed == NULL)
        return;
    put_descriptors(record.numbers, handed);
    ns_state_write(writer, &record);
}

static void write_connection(struct ns_state_writer *writer, const struct ns_connection *connection,
                             uint64_t descriptor, bool waits)
{
    static char reply[NS_OUTPUT_FULL + 2 * NS_WIRE_MESSAGE_MAX];
    struct ns_state_record record = {
        .type = NS_STATE_CONNECTION,
        .numbers = {descriptor, connection->ended ? NS_STATE_ENDED : 0, connection->last_txn_id},
        .texts = {text_of(connection->rest, connection->rest_size)}};

    whole_output(connection, waits, reply, &record.texts[1]);
    ns_state_write(writer, &record);
    write_handed(writer, connection->handed);
    write_watches(writer, connection);
    write_txns(writer, connection);
}

/* ---- rings ---- */

static void write_ring(struct ns_state_writer *writer, const struct ns_attached_ring *ring,
                       const struct ns_request *waits)
{
    struct ns_state_record record = {.type = NS_STATE_RING};
    const struct ns_handed *handed = ring->carrier->handed(ring, &record.numbers[2]);

    record.numbers[0] = ring->domain->who.domain.domid;
    record.numbers[1] =
        ring->introducer != NULL ? (uint64_t)ring->introducer->io.fd : NS_STATE_NONE;
    put_descriptors(record.numbers + 3, handed);
    ns_state_write(writer, &record);
    if (ring->connection != NULL)
        write_connection(writer, ring->connection, NS_STATE_NONE,
                         ring->connection == waits->connection);
}

/* ---- all of it ---- */

static void write_all(struct ns_state_writer *writer, const struct ns_server *server,
                      const struct ns_request *waits)
{
    const struct ns_version *version = ns_store_version(server->store);
    const struct ns_connection *connection;
    const struct ns_attached_ring *ring;
    const struct ns_state_record global = {
        .type = NS_STATE_GLOBAL,
        .numbers = {version->number, (uint64_t)server->io.fd, (uint64_t)server->lock_fd}};
    const struct ns_state_record socket = {.type = NS_STATE_SOCKET,
                                           .texts = {string(server->path)}};

    ns_state_write(writer, &global);
    ns_state_write(writer, &socket);
    ns_quotas_each(server->store, write_quotas, writer);
    ns_tree_each(version->root, write_node, writer);
    ns_domains_each(server->store, write_domain, writer);
    write_specials(writer, server->store);
    LIST_FOREACH (connection, &server->connections, link)
        if (has_descriptor(connection))
            write_connection(writer, connection, (uint64_t)connection->io.fd,
                             connection == waits->connection);
    LIST_FOREACH (ring, &server->rings, link)
        write_ring(writer, ring, waits);
}

int ns_live_state_make(struct ns_server *server, const struct ns_request *waits)
{
    int fd = memfd_create("kedged-state", MFD_CLOEXEC), copy = fd < 0 ? -1 : dup(fd), error;
    FILE *stream = copy < 0 ? NULL : fdopen(copy, "w");
    struct ns_state_writer writer;

    /* What was committed in this round, too: its replies are in the output. */
    ns_store_publish(server->store);
    ns_connections_take(server); /* what the other process finds in a socket, nobody has run */
    if (stream == NULL) {
        error = -errno;
        if (copy >= 0)
            close(copy);
        if (fd >= 0)
            close(fd);
        return error;
    }
    ns_state_begin(&writer, stream);
    write_all(&writer, server, waits);
    error = ns_state_end(&writer);
    if (fclose(stream) != 0 && error == 0)
        error = -errno;
    if (error == 0)
        return fd;
    close(fd);
    return error;
}

static void keep(int fd, bool keep_open)
{
    fcntl(fd, F_SETFD, keep_open ? 0 : FD_CLOEXEC);
}

static void keep_handed(const struct ns_handed *handed, bool keep_open)
{
    for (unsigned i = 0; handed != NULL && i < handed->count; i++)
        keep(handed->fds[i], keep_open);
}

void ns_live_state_keep_open(const struct ns_server *server, int state, bool keep_open)
{
    const struct ns_connection *connection;
    const struct ns_attached_ring *ring;
    uint64_t page;

    keep(state, keep_open);
    keep(server->io.fd, keep_open);
    keep(server->lock_fd, keep_open);
    LIST_FOREACH (connection, &server->connections, link) {
        if (has_descriptor(connection))
            keep(connection->io.fd, keep_open);
        keep_handed(connection->handed, keep_open);
    }
    LIST_FOREACH (ring, &server->rings, link)
        keep_handed(ring->carrier->handed(ring, &page), keep_open);
}

bool ns_live_state_can(const struct ns_server *server)
{
    const struct ns_attached_ring *ring;

    LIST_FOREACH (ring, &server->rings, link)
        if (ring->carrier->handed == NULL)
            return false;
    return true;
}
