/* SPDX-License-Identifier: BSD-3-Clause */
/* What the tests of arp/ share: a store with the link mounts, written to as a user or as the stack. */
#ifndef KEDGE_TESTS_ARP_LAB_H
#define KEDGE_TESTS_ARP_LAB_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "arp/links.h"

/* A user who may write everything that users may write. */
static const struct ns_identity lab_user = {.privileged = true, .uid = 0};

struct lab {
    struct ns_store *store;
    struct links_mount *links;
    struct ns_reason reason; /* of the last refusal */
};

static inline void lab_links_begin(struct lab *lab)
{
    const struct ns_store_options options = {.lcores = 1};

    assert_int_equal(ns_store_new(&options, &lab->store), 0);
    assert_int_equal(links_new(lab->store, &lab->links), 0);
}

static inline void lab_links_end(struct lab *lab)
{
    ns_store_free(lab->store);
    links_free(lab->links);
}

/* "PATH=VALUE", "PATH" (mkdir), "-PATH" (remove): as many as wanted, NULL at the end, in one commit. */
static inline int lab_change(struct lab *lab, const struct ns_identity *who, ...)
{
    struct ns_txn *txn;
    const char *change;
    va_list changes;
    int error = ns_txn_begin(lab->store, who, &txn);

    assert_int_equal(error, 0);
    va_start(changes, who);
    while (error == 0 && (change = va_arg(changes, const char *)) != NULL) {
        const char *equals = strchr(change, '=');
        char path[256];

        snprintf(path, sizeof(path), "%.*s", equals == NULL ? 255 : (int)(equals - change), change);
        if (change[0] == '-')
            error = ns_txn_remove(txn, path + 1);
        else if (equals == NULL)
            error = ns_txn_mkdir(txn, path);
        else
            error = ns_txn_write(txn, path, equals + 1, strlen(equals + 1));
    }
    va_end(changes);
    memset(&lab->reason, 0, sizeof(lab->reason));
    if (error == 0)
        return ns_txn_commit(txn, NULL, &lab->reason);
    ns_txn_abort(txn);
    return error;
}

#define user(lab, ...)  lab_change(lab, &lab_user, __VA_ARGS__, NULL)
#define stack(lab, ...) lab_change(lab, &ns_identity_stack, __VA_ARGS__, NULL)

#define assert_done(expression)                                                            \
    do {                                                                                   \
        int error_ = (expression);                                                         \
        if (error_ != 0)                                                                   \
            fail_msg("%s: %s: %s: %s", #expression, strerror(-error_), (lab)->reason.path, \
                     (lab)->reason.text);                                                  \
    } while (0)

/* The change is refused with this error, for this name, with a sentence that says this. */
#define assert_refused(expression, error, name, says)                  \
    do {                                                               \
        assert_int_equal(expression, -(error));                        \
        assert_string_equal((lab)->reason.path, name);                 \
        if (strstr((lab)->reason.text, says) == NULL)                  \
            fail_msg("'%s' is not in '%s'", says, (lab)->reason.text); \
    } while (0)

static inline const struct links *lab_links(struct lab *lab)
{
    return links_of(ns_store_version(lab->store), links_slot(lab->links));
}

/* The value of a name, "(none)" if there is no such name. */
static inline const char *lab_value(struct lab *lab, const char *path)
{
    const struct ns_entry *entry =
        ns_tree_lookup(ns_store_version(lab->store)->root, path, strlen(path));
    static char value[NS_VALUE_MAX + 1];

    if (entry == NULL)
        return "(none)";
    memcpy(value, ns_entry_value(entry), entry->value_size);
    value[entry->value_size] = 0;
    return value;
}

/* Make a port with a device that is up. */
static inline void lab_port(struct lab *lab, const char *name, unsigned id)
{
    char devargs[64], text[64], up[64], mac[64];

    snprintf(devargs, sizeof(devargs), "/port/%s/devargs=net_null%u", name, id);
    snprintf(text, sizeof(text), "/port/%s/id=%u", name, id);
    snprintf(up, sizeof(up), "/port/%s/link=up", name);
    snprintf(mac, sizeof(mac), "/port/%s/mac=02:00:00:00:00:%02x", name, id + 1);
    assert_done(user(lab, devargs));
    assert_done(stack(lab, text, up, mac));
}

/* ---- computed names ---- */

struct lab_asked {
    struct ns_query query; /* first */
    int error;
    char data[1024];
    size_t size;
};

static inline void lab_answered(struct ns_query *query, int error, const void *data, size_t size)
{
    struct lab_asked *asked = (struct lab_asked *)query;

    asked->error = error;
    asked->size = size;
    assert_true(size < sizeof(asked->data));
    memcpy(asked->data, data, size);
    asked->data[size] = 0;
    for (size_t i = 0; i + 1 < size; i++)
        if (asked->data[i] == 0)
            asked->data[i] = ' ';
}

/* What a computed name answers: its value, or its children with spaces between, or the error's text. */
static inline const char *ask(struct lab *lab, const char *path, bool list)
{
    static struct lab_asked asked;
    struct ns_mount *mount = ns_mount_find(lab->store, path, strlen(path));

    asked.query = (struct ns_query){
        .store = lab->store, .path = path, .who = &lab_user, .answer = lab_answered};
    (list ? mount->ops->list : mount->ops->read)(mount, &asked.query);
    return asked.error == 0 ? asked.data : strerror(-asked.error);
}

#endif
