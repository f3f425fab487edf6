/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Listings in parts (DIRECTORY_PART): for nodes with more names than a message carries.
 *
 * The parts of a listing come out of one snapshot, and each goes on where the last one ended, so the
 * whole costs in proportion to the list, whatever others write meanwhile.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "nameserv/operations.h"

void ns_listing_drop(struct ns_connection *connection)
{
    if (connection->listing == NULL)
        return;
    if (connection->listing->pin != NULL)
        ns_txn_abort(connection->listing->pin);
    free(connection->listing);
    connection->listing = NULL;
}

/* Start a listing anew. Outside of a transaction it takes over the call's own one. */
static int start_listing(struct ns_call *call)
{
    struct ns_listing *listing = calloc(1, sizeof(*listing));

    ns_listing_drop(call->connection);
    if (listing == NULL)
        return -ENOMEM;
    listing->tx = call->header->tx;
    memcpy(listing->path, call->path, call->path_size + 1);
    if (call->in == NULL) {
        listing->pin = call->txn;
        call->txn = NULL;
    }
    call->connection->listing = listing;
    return 0;
}

/* The listing that this request is about. The first part starts it; a later one goes on, or starts
 * it anew if another was asked for in between: then the generation tells the client. */
static int find_listing(struct ns_call *call, uint64_t offset)
{
    const struct ns_listing *listing = call->connection->listing;

    if (listing != NULL && offset > 0 && listing->tx == call->header->tx &&
        strcmp(listing->path, call->path) == 0)
        return 0;
    return start_listing(call);
}

/* A number that changes when the list does. Inside of a transaction that has changed the list itself
 * there is no commit number yet. */
static uint64_t generation(const struct ns_call *call, const struct ns_entry *entry)
{
    if (entry->children_version > 0)
        return entry->children_version;
    return (UINT64_C(1) << 63) + (call->in != NULL ? call->in->changes : 0);
}

/* The name at the byte offset of the list: the one after the last part, or by counting. *skip gets
 * how much of it lies before the offset. */
static const struct ns_entry *seek(struct ns_listing *listing, const struct ns_entry *entry,
                                   uint64_t offset, size_t *skip)
{
    const struct ns_entry *child;
    uint64_t at = 0;

    *skip = 0;
    if (offset > 0 && listing->offset == offset)
        return ns_entry_next(entry, listing->last, strlen(listing->last));
    for (child = ns_entry_first(entry); child != NULL && at + child->name_size + 1 <= offset;
         child = ns_entry_next(entry, ns_entry_name(child), child->name_size))
        at += child->name_size + 1u;
    *skip = child != NULL ? (size_t)(offset - at) : 0;
    return child;
}

static void put_part(struct ns_call *call, struct ns_listing *listing, const struct ns_entry *entry,
                     uint64_t offset)
{
    size_t skip;
    const struct ns_entry *child = seek(listing, entry, offset, &skip);

    listing->generation = generation(call, entry);
    ns_call_put_number(call, "", listing->generation);
    listing->offset = offset;
    while (child != NULL && call->reply_size + child->name_size + 1 - skip < NS_WIRE_PAYLOAD_MAX) {
        ns_call_put(call, ns_entry_name(child) + skip, child->name_size + 1 - skip);
        listing->offset += child->name_size + 1 - skip;
        memcpy(listing->last, ns_entry_name(child), child->name_size + 1u);
        skip = 0;
        child = ns_entry_next(entry, listing->last, child->name_size);
    }
    if (child == NULL) {
        ns_call_put(call, "", 1);
        ns_listing_drop(call->connection);
    }
}

int ns_listing_run_part(struct ns_call *call)
{
    const struct ns_entry *entry;
    struct ns_listing *listing;
    struct ns_txn *txn;
    uint64_t offset;
    int error;

    if (ns_wire_number(call->arguments.rest, UINT32_MAX, &offset) < 0)
        return ns_call_refuse(call, EINVAL, "'%.40s' is no offset", call->arguments.rest);
    error = ns_call_ask_mount(call, true, offset);
    if (error == 0)
        error = find_listing(call, offset);
    if (error != 0)
        return error;
    listing = call->connection->listing;
    txn = listing->pin != NULL ? listing->pin : call->txn;
    error = ns_txn_directory(txn, call->path, &entry);
    if (error >= 0) {
        /* A list that was changed in between is not where the last part ended. */
        if (listing->generation != generation(call, entry))
            listing->offset = 0;
        put_part(call, listing, entry, offset);
        return 0;
    }
    call->reason = *ns_txn_reason(txn);
    ns_listing_drop(call->connection);
    return error;
}
