/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzzes whole sessions: the input is bytecode, two bytes a request, for three clients of a real server, one of
 * them without privilege. A model that is an array of names says what each reply has to be. Of a transaction
 * it keeps the requests and their replies: END may succeed only if all of them would be answered alike now, and
 * must if the tree is as it was at START. Of watches it keeps what has to be told at the latest before the next
 * reply. At the end tree and model are compared, and nothing may be left open.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "nameserv/connection.h"
#include "nameserv/tree.h"
#include "nameserv/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "%s\n", what);
    abort();
}

/* ---- the model ---- */

enum { ROOT, PATHS = 14, CLIENTS = 3, TXNS = 3, LOG = 64, WATCHES = 4, REPLY = 512 };

/* Parents first, siblings in the order of their bytes. */
static const struct {
    const char *path;
    int parent;
} universe[PATHS] = {
    {"/", -1},     {"/f", 0},    {"/f/a", 1},    {"/f/a/x", 2},    {"/f/a/x/1", 3},
    {"/f/a/y", 2}, {"/f/b", 1},  {"/f/b/x", 6},  {"/f/b/x.y", 6},  {"/f/c", 1},
    {"/g", 0},     {"/g/a", 10}, {"/g/a/b", 11}, {"/g/a/b/c", 12},
};

struct node {
    bool exists;
    uint8_t right; /* of those who don't own it */
    uint16_t owner;
    char value[8];
};

struct model {
    struct node nodes[PATHS];
};

enum action { READ, WRITE, LIST, MAKE, REMOVE, GET_PERMS, SET_PERMS, ACTIONS };

struct request {
    enum action action;
    int path;
    unsigned argument;
    size_t size; /* of the reply */
    char reply[REPLY];
};

static const char letters[] = "nrwb";

static bool may(const struct node *node, unsigned uid, unsigned right)
{
    return uid == 0 || node->owner == uid || (node->right & right) != 0;
}

static int nearest(const struct model *model, int path)
{
    while (!model->nodes[path].exists)
        path = universe[path].parent;
    return path;
}

static bool is_below(int path, int above)
{
    while (path > above)
        path = universe[path].parent;
    return path == above;
}

static void say(struct request *request, const char *text)
{
    request->size = strlen(text) + 1;
    memcpy(request->reply, text, request->size);
}

static void make(struct model *model, int path, unsigned uid)
{
    struct node *node = &model->nodes[path];

    if (node->exists)
        return;
    make(model, universe[path].parent, uid);
    *node = model->nodes[universe[path].parent];
    node->value[0] = '\0';
    if (uid != 0)
        node->owner = (uint16_t)uid;
}

static void list(const struct model *model, struct request *request)
{
    request->size = 0;
    for (int i = 0; i < PATHS; i++) {
        const char *name = strrchr(universe[i].path, '/') + 1;

        if (i == ROOT || universe[i].parent != request->path || !model->nodes[i].exists)
            continue;
        memcpy(request->reply + request->size, name, strlen(name) + 1);
        request->size += strlen(name) + 1;
    }
}

static void look(const struct model *model, struct request *request, unsigned uid)
{
    const struct node *node = &model->nodes[nearest(model, request->path)];

    if (!may(node, uid, 1)) {
        say(request, "EACCES");
    } else if (!model->nodes[request->path].exists) {
        say(request, "ENOENT");
    } else if (request->action == READ) {
        say(request, node->value);
        request->size--;
    } else if (request->action == LIST) {
        list(model, request);
    } else {
        request->size =
            (size_t)sprintf(request->reply, "%c%u", letters[node->right], node->owner) + 1;
    }
}

static void set_perms(struct model *model, struct request *request, unsigned uid)
{
    struct node *node = &model->nodes[request->path];
    unsigned owner = request->argument & 4 ? 1000 : 0;

    if (!node->exists)
        say(request,
            may(&model->nodes[nearest(model, request->path)], uid, 2) ? "ENOENT" : "EACCES");
    else if (uid != 0 && node->owner != uid)
        say(request, "EACCES");
    else if (uid != 0 && owner != node->owner)
        say(request, "EPERM");
    else {
        node->owner = (uint16_t)owner;
        node->right = request->argument & 3;
        say(request, "OK");
    }
}

static void remove_below(struct model *model, int path)
{
    for (int i = path; i < PATHS; i++)
        if (is_below(i, path))
            model->nodes[i].exists = false;
}

/* Run it, and say what has to be answered. */
static void run(struct model *model, struct request *request, unsigned uid)
{
    int path = request->path, above = nearest(model, path);
    bool allowed = may(&model->nodes[above], uid, 2);

    switch (request->action) {
    case WRITE:
    case MAKE:
        say(request, allowed ? "OK" : "EACCES");
        if (allowed && (request->action == WRITE || above != path)) {
            make(model, path, uid);
            model->nodes[path].value[0] = '\0';
            if (request->action == WRITE)
                sprintf(model->nodes[path].value, "%u", request->argument);
        }
        break;
    case REMOVE:
        if (path == ROOT)
            say(request, "EINVAL");
        else if (!allowed)
            say(request, "EACCES");
        else
            say(request, above == path || above == universe[path].parent ? "OK" : "ENOENT");
        if (path != ROOT && allowed)
            remove_below(model, path);
        break;
    case SET_PERMS: set_perms(model, request, uid); break;
    default: look(model, request, uid); break;
    }
}

static bool changes(const struct request *request)
{
    return request->action == WRITE || request->action == MAKE || request->action == REMOVE ||
           request->action == SET_PERMS;
}

static bool succeeded(const struct request *request)
{
    return strcmp(request->reply, "OK") == 0;
}

static bool same_node(const struct node *a, const struct node *b)
{
    return a->exists == b->exists && (!a->exists || (a->owner == b->owner && a->right == b->right &&
                                                     strcmp(a->value, b->value) == 0));
}

static bool same_model(const struct model *a, const struct model *b)
{
    for (int i = 0; i < PATHS; i++)
        if (!same_node(&a->nodes[i], &b->nodes[i]))
            return false;
    return true;
}

/* ---- clients ---- */

struct txn {
    uint32_t id; /* 0: none */
    struct model base, own;
    struct request log[LOG];
    int count;
    bool changes;
};

struct watch {
    bool set, told_late; /* something has to be told; by the reply that is awaited */
    bool pending;
    int path;
};

static struct client {
    int fd;
    unsigned uid;
    char input[65536];
    size_t input_size;
    struct txn txns[TXNS];
    struct watch watches[WATCHES]; /* their numbers are the tokens */
    struct ns_wire_header reply;
    char payload[NS_WIRE_PAYLOAD_MAX + 1];
} clients[CLIENTS];

static struct ns_store *store;
static struct ns_loop *loop;
static struct ns_server *server;
static char folder[] = "/tmp/kedge-fuzz-XXXXXX";
static struct sockaddr_un address = {.sun_family = AF_UNIX};
static struct client *waiting; /* for its reply; NULL: for the last connection to go */
static struct model current;

static void stop_server(void)
{
    ns_server_free(server);
    rmdir(folder);
}

static void start_server(void)
{
    struct ns_store_options store_options = {.lcores = 0};
    struct ns_server_options options = {.path = address.sun_path};
    struct ns_reason reason;

    require(mkdtemp(folder) != NULL && chmod(folder, 0755) == 0, "no folder for the socket");
    snprintf(address.sun_path, sizeof(address.sun_path), "%s/sock", folder);
    require(ns_store_new(&store_options, &store) == 0, "no store");
    loop = ns_loop_new();
    require(loop != NULL, "no loop");
    require(ns_server_new(store, loop, &options, &reason, &server) == 0, "no server");
    atexit(stop_server);
}

static void take_event(struct client *client, const char *payload)
{
    size_t path_size = strlen(payload);
    struct watch *watch = &client->watches[payload[path_size + 1] - '0'];
    const char *watched = universe[watch->path].path;

    require(watch->set, "an event of a watch that is gone");
    require(watch->path == ROOT || strncmp(payload, watched, strlen(watched)) == 0,
            "an event of another path");
    watch->pending = watch->told_late = false;
}

/* Take whole messages; true when the reply is there. */
static bool take(struct client *client)
{
    struct ns_wire_header header;
    bool replied = false;

    for (;;) {
        int taken = ns_wire_next(client->input, client->input_size, &header);

        require(taken >= 0, "a reply that is too long");
        if (taken == 0)
            return replied;
        memcpy(client->payload, client->input + sizeof(header), header.size);
        client->payload[header.size] = '\0';
        client->input_size -= (size_t)taken;
        memmove(client->input, client->input + taken, client->input_size);
        if (header.type == NS_WIRE_WATCH_EVENT) {
            take_event(client, client->payload);
            continue;
        }
        client->reply = header;
        return true; /* what comes behind it belongs to the next */
    }
}

static uint64_t client_round(void *arg)
{
    struct ns_server_counters counters;
    ssize_t size;

    (void)arg;
    ns_store_housekeep(store);
    if (waiting == NULL) {
        ns_server_counters(server, &counters);
        if (counters.connections == 0)
            ns_loop_stop(loop);
        return 0;
    }
    size = recv(waiting->fd, waiting->input + waiting->input_size,
                sizeof(waiting->input) - waiting->input_size, MSG_DONTWAIT);
    if (size > 0)
        waiting->input_size += (size_t)size;
    if (take(waiting))
        ns_loop_stop(loop);
    return 0;
}

/* One request and its reply, which is in client->reply and client->payload afterwards. */
static void ask(struct client *client, uint32_t type, uint32_t tx, const char *payload, size_t size)
{
    struct ns_wire_header header = {type, 1, tx, (uint32_t)size};
    char message[sizeof(header) + 256];

    for (int i = 0; i < WATCHES; i++)
        client->watches[i].told_late = client->watches[i].pending;
    memcpy(message, &header, sizeof(header));
    memcpy(message + sizeof(header), payload, size);
    size += sizeof(header);
    require(send(client->fd, message, size, MSG_NOSIGNAL) == (ssize_t)size, "closed");
    waiting = client;
    ns_loop_run(loop);
    require(client->reply.type == type || client->reply.type == NS_WIRE_ERROR, "another type");
    require(client->reply.tx == tx && client->reply.request == 1, "another request's reply");
    for (int i = 0; i < WATCHES; i++)
        require(!client->watches[i].told_late, "a change was not told in time");
}

static void expect(const struct client *client, const struct request *request)
{
    if (client->reply.size == request->size &&
        memcmp(client->payload, request->reply, request->size) == 0)
        return;
    fprintf(stderr, "action %d of %s by %u: '%s', not '%s'\n", request->action,
            universe[request->path].path, client->uid, client->payload, request->reply);
    abort();
}

/* ---- what must be told ---- */

static void must_tell(int path, bool exactly)
{
    for (int i = 0; i < CLIENTS; i++)
        for (int j = 0; j < WATCHES && clients[i].uid == 0; j++) {
            struct watch *watch = &clients[i].watches[j];

            if (watch->set && (exactly ? watch->path == path : is_below(path, watch->path)))
                watch->pending = true;
        }
}

/* A commit of these requests has made `now` of `before`. */
static void committed(const struct request *requests, int count, const struct model *before,
                      const struct model *now)
{
    for (int i = 0; i < count; i++) {
        int path = requests[i].path;

        if (!changes(&requests[i]) || !succeeded(&requests[i]) ||
            same_node(&before->nodes[path], &now->nodes[path]))
            continue;
        must_tell(path, false);
        for (int below = path + 1; below < PATHS && !now->nodes[path].exists; below++)
            if (is_below(below, path) && before->nodes[below].exists)
                must_tell(below, true);
    }
}

/* ---- steps ---- */

static void act(struct client *client, struct txn *txn, const struct request *asked)
{
    static const uint32_t types[ACTIONS] = {NS_WIRE_READ,     NS_WIRE_WRITE, NS_WIRE_DIRECTORY,
                                            NS_WIRE_MKDIR,    NS_WIRE_RM,    NS_WIRE_GET_PERMS,
                                            NS_WIRE_SET_PERMS};
    struct request request = *asked;
    struct model before = current;
    char payload[128];
    size_t size = (size_t)sprintf(payload, "%s", universe[request.path].path) + 1;

    if (request.action == WRITE)
        size += (size_t)sprintf(payload + size, "%u", request.argument);
    else if (request.action == SET_PERMS)
        size += (size_t)sprintf(payload + size, "%c%u", letters[request.argument & 3],
                                request.argument & 4 ? 1000 : 0) +
                1;
    run(txn != NULL ? &txn->own : &current, &request, client->uid);
    ask(client, types[request.action], txn != NULL ? txn->id : 0, payload, size);
    expect(client, &request);
    if (txn == NULL) {
        committed(&request, 1, &before, &current);
        return;
    }
    txn->log[txn->count++] = request;
    txn->changes |= changes(&request) && succeeded(&request);
}

static void start(struct client *client, struct txn *txn)
{
    ask(client, NS_WIRE_TRANSACTION_START, 0, "", 1);
    txn->id = (uint32_t)strtoul(client->payload, NULL, 10);
    txn->base = txn->own = current;
    txn->count = 0;
    txn->changes = false;
}

/* Would all be answered alike now? merged: what becomes of it. */
static bool replays(const struct client *client, const struct txn *txn, struct model *merged)
{
    *merged = current;
    for (int i = 0; i < txn->count; i++) {
        struct request again = txn->log[i];

        run(merged, &again, client->uid);
        if (again.size != txn->log[i].size ||
            memcmp(again.reply, txn->log[i].reply, again.size) != 0)
            return false;
    }
    return true;
}

static void end(struct client *client, struct txn *txn, bool commit)
{
    struct model before = current, merged;
    bool alike = replays(client, txn, &merged), as_it_was = same_model(&current, &txn->base);
    bool fine;

    ask(client, NS_WIRE_TRANSACTION_END, txn->id, commit ? "T" : "F", 2);
    txn->id = 0;
    fine = client->reply.type == NS_WIRE_TRANSACTION_END;
    if (!fine)
        require(strcmp(client->payload, "EAGAIN") == 0, "END fails with EAGAIN only");
    require(fine || (commit && txn->changes && !as_it_was), "a conflict without a cause");
    if (!fine || !commit || !txn->changes)
        return;
    require(alike, "a commit although something was seen that is no longer so");
    current = merged;
    committed(txn->log, txn->count, &before, &current);
}

static void watch(struct client *client, struct watch *watch, int path)
{
    char payload[128];
    char token = (char)('0' + (watch - client->watches));
    size_t size;

    size = (size_t)sprintf(payload, "%s%c%c", universe[watch->set ? watch->path : path].path, 0,
                           token) +
           1;
    if (watch->set) {
        ask(client, NS_WIRE_UNWATCH, 0, payload, size);
        *watch = (struct watch){.set = false};
    } else {
        *watch = (struct watch){.set = true, .path = path};
        ask(client, NS_WIRE_WATCH, 0, payload, size);
        watch->pending = true; /* the first event */
    }
    require(client->reply.type != NS_WIRE_ERROR, "a watch was refused");
}

static void open_client(struct client *client, unsigned uid)
{
    memset(client, 0, sizeof(*client));
    client->uid = geteuid() == 0 ? uid : 0;
    client->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    require(client->uid == 0 || seteuid(uid) == 0, "seteuid()");
    require(connect(client->fd, (struct sockaddr *)&address, sizeof(address)) == 0, "connect()");
    require(client->uid == 0 || seteuid(0) == 0, "seteuid()");
}

static void reset(struct client *client)
{
    ask(client, NS_WIRE_RESET_WATCHES, 0, "", 1);
    for (int i = 0; i < WATCHES; i++)
        client->watches[i] = (struct watch){.set = false};
    for (int i = 0; i < TXNS; i++)
        client->txns[i].id = 0;
}

/* The first byte: client, and what; the second: where, and with what. */
static void step(uint8_t what, uint8_t where)
{
    struct client *client = &clients[(what & 3) % CLIENTS];
    struct txn *txn = &client->txns[(what >> 2 & 3) % TXNS];
    struct request request = {.path = where % PATHS, .argument = where / PATHS};

    switch (what >> 4) {
    case 0:
    case 1:
    case 2: /* in a transaction, which is started for it */
    case 3:
    case 4:
    case 5:
    case 6:
        request.action = (enum action)(what >> 4);
        if (txn->id == 0)
            start(client, txn);
        if (txn->count < LOG)
            act(client, txn, &request);
        break;
    case 7:
    case 8:
        if (txn->id != 0)
            end(client, txn, what >> 4 == 7 || where > 200);
        break;
    case 9: watch(client, &client->watches[where / PATHS % WATCHES], request.path); break;
    case 10:
        if (where > 240)
            reset(client);
        break;
    default: /* by itself */
        request.action = (enum action)((what >> 4) + where) % ACTIONS;
        act(client, NULL, &request);
        break;
    }
}

static void compare_with_tree(void)
{
    for (int i = 1; i < PATHS; i++) {
        const struct ns_entry *entry = ns_tree_lookup(ns_store_version(store)->root,
                                                      universe[i].path, strlen(universe[i].path));

        require((entry != NULL) == current.nodes[i].exists, "a name too many or too few");
        if (entry != NULL)
            require(entry->value_size == strlen(current.nodes[i].value) &&
                        memcmp(ns_entry_value(entry), current.nodes[i].value, entry->value_size) ==
                            0,
                    "another value");
    }
}

/* What accounts have is what is there. */
static void recount(void)
{
    char why[NS_REASON_MAX] = "out of memory";

    require(ns_server_recount(server, why, sizeof(why)) == 0, why);
}

static int has_nothing_open(struct ns_account *account, void *arg)
{
    (void)arg;
    return account->watches != 0 || account->transactions != 0 || account->watch_bytes != 0 ||
           account->unread_bytes != 0 || account->txn_bytes != 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const unsigned uids[CLIENTS] = {0, 0, 1000};
    struct ns_store_counters counters;
    static const struct ns_perm perms = {.rights = NS_PERM_READ};
    struct ns_txn *txn;

    if (server == NULL)
        start_server();
    current = (struct model){.nodes[ROOT] = {.exists = true, .right = NS_PERM_READ}};
    ns_loop_hook(loop, client_round, NULL);
    for (int i = 0; i < CLIENTS; i++)
        open_client(&clients[i], uids[i]);
    for (size_t i = 0; i + 1 < size && i < 1000; i += 2)
        step(data[i], data[i + 1]);
    compare_with_tree();
    recount();
    for (int i = 0; i < CLIENTS; i++)
        close(clients[i].fd);
    waiting = NULL;
    ns_loop_run(loop);
    ns_store_counters(store, &counters);
    require(counters.transactions_open == 0, "a transaction is left open");
    recount();
    require(ns_accounts_each(store, has_nothing_open, NULL) == 0, "an account still has something");
    require(ns_txn_begin(store, &ns_identity_stack, &txn) == 0 && ns_txn_remove(txn, "/f") == 0 &&
                ns_txn_remove(txn, "/g") == 0 && ns_txn_write(txn, "/", "", 0) == 0 &&
                ns_txn_set_perms(txn, "/", &perms, 1) == 0 && ns_txn_commit(txn, NULL, NULL) == 0,
            "removing what the clients have made");
    return 0;
}
