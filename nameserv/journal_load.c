/* SPDX-License-Identifier: BSD-3-Clause */
/* The beginning: from the journal's file into the store, and, for a store filled from elsewhere, back. */
#include <errno.h>
#include <string.h>

#include "nameserv/account.h"
#include "nameserv/domain.h"
#include "nameserv/journal_p.h"

/* Whoever wrote it was allowed to; but what only the stack writes is not in a journal. */
static const struct ns_identity loader = {.privileged = true};

struct load {
    struct ns_journal *journal;
    struct ns_txn *txn;
    struct ns_reason *reason;
    struct ns_perms *perms; /* of the row before */
    char perms_text[NS_PERMS_TEXT];
    size_t perms_size;
    size_t names;
};

static int bad_row(struct load *load, const struct ns_journal_row *row, const char *what)
{
    return ns_reason_set(load->reason, EUCLEAN, "", "the journal %s has %s: %.*s",
                         ns_journal_file_path(load->journal->file), what,
                         row->path_size > 200 ? 200 : (int)row->path_size, row->path);
}

static int take_perms(struct load *load, const struct ns_journal_row *row)
{
    struct ns_perm list[NS_PERMS_MAX];
    int count;

    if (load->perms != NULL && row->perms_size == load->perms_size &&
        memcmp(row->perms, load->perms_text, row->perms_size) == 0)
        return 0;
    count = row->perms_size > sizeof(load->perms_text)
                ? -ENOSPC
                : ns_perms_parse(row->perms, row->perms_size, list);
    if (count < 0)
        return bad_row(load, row, "a name with permissions that are none");
    ns_perms_put(load->perms);
    load->perms = ns_perms_new(list, (size_t)count);
    if (load->perms == NULL)
        return -ENOMEM;
    memcpy(load->perms_text, row->perms, row->perms_size);
    load->perms_size = row->perms_size;
    return 0;
}

static int load_special(struct load *load, const struct ns_journal_row *row, const char *name)
{
    enum ns_special special = ns_special_find(name);

    if (special == NS_SPECIALS)
        return bad_row(load, row, "a name that is none");
    ns_special_set_perms(load->journal->store, special, load->perms);
    return 0;
}

static int load_quotas(struct load *load, const struct ns_journal_row *row, const char *name)
{
    char text[NS_QUOTAS_TEXT];
    int error = -EINVAL;

    if (row->value_size < sizeof(text)) {
        memcpy(text, row->value, row->value_size);
        text[row->value_size] = '\0';
        error = ns_quotas_take(load->journal->store, name, text);
    }
    return error == -EINVAL ? bad_row(load, row, "limits that are none") : error;
}

static int load_row(const struct ns_journal_row *row, void *arg)
{
    struct load *load = arg;
    char path[NS_PATH_MAX + 1];
    int error = take_perms(load, row);

    if (error != 0)
        return error;
    if (row->path_size > NS_PATH_MAX || memchr(row->path, '\0', row->path_size) != NULL)
        return bad_row(load, row, "a name that is none");
    memcpy(path, row->path, row->path_size);
    path[row->path_size] = '\0';
    load->names++;
    if (strncmp(path, NS_QUOTA_PREFIX "/", sizeof(NS_QUOTA_PREFIX)) == 0)
        return load_quotas(load, row, path);
    if (path[0] == '@')
        return load_special(load, row, path);
    error = ns_txn_load(load->txn, path, row->path_size, row->value, row->value_size, load->perms);
    if (error != 0)
        *load->reason = *ns_txn_reason(load->txn);
    return error;
}

int ns_journal_load(struct ns_journal *journal, size_t *names, struct ns_reason *reason)
{
    struct load load = {.journal = journal, .reason = reason};
    int error;

    *names = 0;
    reason->text[0] = reason->path[0] = '\0';
    ns_store_number_from(journal->store, ns_journal_file_commits(journal->file));
    error = ns_txn_begin(journal->store, &loader, &load.txn);
    if (error != 0)
        return ns_reason_set(reason, -error, "", "no transaction: %s", strerror(-error));
    error = ns_journal_file_read(journal->file, load_row, &load, reason);
    if (error == 0)
        error = ns_txn_commit(load.txn, NULL, reason);
    else
        ns_txn_abort(load.txn);
    ns_perms_put(load.perms);
    *names = load.names;
    if (error != 0 && reason->text[0] == '\0')
        ns_reason_set(reason, -error, "", "%s", strerror(-error));
    return error;
}

/* ---- the other way ---- */

static int take_entry(const char *path, size_t path_size, const struct ns_entry *before,
                      const struct ns_entry *after, void *arg)
{
    struct ns_journal *journal = arg;
    struct ns_journal_row row;

    (void)before;
    if (ns_mount_forgets(ns_mount_find(journal->store, path, path_size), path, path_size, after))
        return 0;
    ns_journal_describe(journal, path, path_size, after, &row);
    return ns_journal_file_put(journal->file, &row);
}

static int take_special(struct ns_journal *journal, enum ns_special special)
{
    const char *name = ns_special_name(special);
    char text[NS_PERMS_TEXT];
    int size = ns_perms_format(ns_special_perms(journal->store, special), text, sizeof(text));
    const struct ns_journal_row row = {.path = name,
                                       .path_size = strlen(name),
                                       .perms = text,
                                       .perms_size = size < 0 ? 0 : (size_t)size,
                                       .value = ""};

    return ns_journal_file_put(journal->file, &row);
}

static int take_quotas(const char *name, const char *text, void *arg)
{
    struct ns_journal *journal = arg;
    struct ns_journal_row row;

    ns_journal_describe_quotas(name, text, &row);
    return ns_journal_file_put(journal->file, &row);
}

int ns_journal_take_over(struct ns_journal *journal, uint64_t commit, struct ns_reason *reason)
{
    const struct ns_version *version = ns_store_version(journal->store);
    int error;

    if (ns_journal_file_commits(journal->file) == commit)
        return 0;
    error = ns_journal_file_begin(journal->file);
    if (error == 0)
        error = ns_journal_file_remove(journal->file, "", 0);
    if (error == 0)
        error = ns_journal_file_remove(journal->file, NS_QUOTA_PREFIX, strlen(NS_QUOTA_PREFIX));
    if (error == 0)
        error = ns_tree_each(version->root, take_entry, journal);
    if (error == 0)
        error = ns_quotas_each(journal->store, take_quotas, journal);
    for (int i = 0; i < NS_SPECIALS && error == 0; i++)
        error = take_special(journal, (enum ns_special)i);
    if (error == 0)
        error = ns_journal_file_end(journal->file, version->number);
    if (error == 0)
        return 0;
    ns_reason_set(reason, -error, "", "the journal %s can't be written: %s",
                  ns_journal_file_path(journal->file), ns_journal_file_error(journal->file));
    ns_journal_file_abort(journal->file);
    return error;
}
