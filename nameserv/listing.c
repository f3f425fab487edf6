/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Listings in parts (DIRECTORY_PART): for nodes with more names than a message carries.
 *
 * The parts of a listing come out of one snapshot, and each goes on where the last one ended, so the
 * whole costs in proportion to the list, whatever others write meanwhile.
 *
 * The list that was asked for last is kept as text, for whoever asks for the same one: who listens to a
 * directory lists it again after each change, all of them at once, and clients may ask for all parts
 * without waiting for the first. A directory's path and the commit that last changed its list say
 * whether it is still the same.
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

/* ---- from the text ---- */

static int add_to_text(const struct ns_entry *child, void *arg)
{
    struct ns_list_text *text = arg;
    size_t size = child->name_size + 1u;

    if (size > NS_LIST_TEXT_SIZE - text->size)
        return 1;
    memcpy(text->bytes + text->size, ns_entry_name(child), size);
    text->size += size;
    return 0;
}

/* A list that is too long is not kept, nor one that a transaction has changed and not committed. */
static bool make_text(struct ns_call *call, const struct ns_entry *entry)
{
    struct ns_list_text *text = &call->server->listed;

    if (entry->children_version == 0)
        return false;
    if (text->bytes == NULL && (text->bytes = malloc(NS_LIST_TEXT_SIZE)) == NULL)
        return false;
    text->generation = entry->children_version;
    memcpy(text->path, call->path, call->path_size + 1);
    text->size = 0;
    text->whole = ns_entry_each(entry, add_to_text, text) == 0;
    return text->whole;
}

static bool find_text(struct ns_call *call, const struct ns_entry *entry)
{
    const struct ns_list_text *text = &call->server->listed;

    if (text->generation != 0 && text->generation == entry->children_version &&
        strcmp(text->path, call->path) == 0)
        return text->whole;
    return make_text(call, entry);
}

/* Whole names from the offset, as many as fit. True: they are the last. */
static bool put_from_text(struct ns_call *call, uint64_t offset)
{
    const struct ns_list_text *text = &call->server->listed;
    size_t room = NS_WIRE_PAYLOAD_MAX - 1 - call->reply_size;
    size_t size = offset < text->size ? text->size - offset : 0;

    if (size > room) {
        const char *end = memrchr(text->bytes + offset, '\0', room);

        size = end == NULL ? 0 : (size_t)(end + 1 - (text->bytes + offset));
    }
    ns_call_put(call, text->bytes + offset, size);
    return offset + size >= text->size;
}

/* ---- from the tree ---- */

struct part {
    struct ns_call *call;
    uint64_t at; /* offset of the next name in the list */
    uint64_t from;
    const struct ns_entry *last; /* put */
};

/* What lies before the offset is passed over; 1: there is no room for more. */
static int put_child(const struct ns_entry *child, void *arg)
{
    struct part *part = arg;
    size_t size = child->name_size + 1u, skip = 0;

    if (part->at + size <= part->from) {
        part->at += size;
        return 0;
    }
    if (part->at < part->from)
        skip = (size_t)(part->from - part->at);
    if (part->call->reply_size + size - skip >= NS_WIRE_PAYLOAD_MAX)
        return 1;
    part->at += size;
    part->last = child;
    return ns_call_put(part->call, ns_entry_name(child) + skip, size - skip);
}

/* True: the list ends with this part. */
static bool put_from_tree(struct ns_call *call, struct ns_listing *listing,
                          const struct ns_entry *entry, uint64_t offset)
{
    struct part part = {.call = call, .from = offset};
    int more;

    if (offset > 0 && listing->offset == offset) {
        part.at = offset;
        more = ns_entry_each_after(entry, listing->last, strlen(listing->last), put_child, &part);
    } else {
        more = ns_entry_each(entry, put_child, &part);
    }
    listing->offset = part.at;
    if (part.last != NULL)
        memcpy(listing->last, ns_entry_name(part.last), part.last->name_size + 1u);
    return more == 0;
}

static void put_part(struct ns_call *call, struct ns_listing *listing, const struct ns_entry *entry,
                     uint64_t offset)
{
    bool ends;

    listing->generation = generation(call, entry);
    ns_call_put_number(call, "", listing->generation);
    ends = find_text(call, entry) ? put_from_text(call, offset)
                                  : put_from_tree(call, listing, entry, offset);
    if (ends) {
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
