/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The ring page.
 */
#include "nameserv/ring.h"

#include <errno.h>
#include <string.h>

#include "nameserv/rcu.h"

/* Compilers may neither repeat nor split these loads. */
static uint32_t load(const uint32_t *word)
{
    return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static void store(uint32_t *word, uint32_t value)
{
    __atomic_store_n(word, value, __ATOMIC_RELEASE);
}

/* Private copies of the indexes; false if they can't be right. */
struct indexes {
    uint32_t consumer, producer;
};

static bool load_indexes(struct ns_ring ring, struct indexes *indexes)
{
    indexes->consumer = load(ring.consumer);
    indexes->producer = load(ring.producer);
    return indexes->producer - indexes->consumer <= NS_RING_SIZE;
}

/* How many of size bytes lie before the ring's end. */
static size_t before_end(uint32_t index, size_t size)
{
    size_t room = NS_RING_SIZE - index % NS_RING_SIZE;

    return size < room ? size : room;
}

ssize_t ns_ring_take(struct ns_ring ring, void *bytes, size_t room)
{
    struct indexes at;
    size_t size, first;

    if (!load_indexes(ring, &at)) /* R1 */
        return -EIO;
    size = at.producer - at.consumer;
    if (size > room)
        size = room;
    if (size == 0)
        return 0;
    first = before_end(at.consumer, size);
    memcpy(bytes, ring.bytes + at.consumer % NS_RING_SIZE, first);
    memcpy((char *)bytes + first, ring.bytes, size - first);
    store(ring.consumer, at.consumer + (uint32_t)size); /* R3 */
    NS_FENCE();                                         /* R5 */
    return (ssize_t)size;
}

ssize_t ns_ring_put(struct ns_ring ring, const void *bytes, size_t size)
{
    struct indexes at;
    size_t room, first;

    if (!load_indexes(ring, &at)) /* R4 */
        return -EIO;
    room = NS_RING_SIZE - (at.producer - at.consumer);
    if (size > room)
        size = room;
    if (size == 0)
        return 0;
    first = before_end(at.producer, size);
    memcpy(ring.bytes + at.producer % NS_RING_SIZE, bytes, first);
    memcpy(ring.bytes, (const char *)bytes + first, size - first);
    store(ring.producer, at.producer + (uint32_t)size); /* R2 */
    NS_FENCE();                                         /* R5 */
    return (ssize_t)size;
}

bool ns_ring_pending(struct ns_ring ring)
{
    struct indexes at;

    return !load_indexes(ring, &at) || at.producer != at.consumer;
}

bool ns_ring_has_room(struct ns_ring ring)
{
    struct indexes at;

    return !load_indexes(ring, &at) || at.producer - at.consumer < NS_RING_SIZE;
}

/* ---- the server's side ---- */

bool ns_ring_reconnect_asked(const struct ns_ring_page *page)
{
    return load(&page->state) == NS_RING_RECONNECT;
}

void ns_ring_reset(struct ns_ring_page *page)
{
    store(&page->request_consumer, 0);
    store(&page->request_producer, 0);
    store(&page->reply_consumer, 0);
    store(&page->reply_producer, 0);
    store(&page->error, NS_RING_OK);
    store(&page->state, NS_RING_CONNECTED); /* R6 */
    NS_FENCE();
}

void ns_ring_offer(struct ns_ring_page *page, uint32_t features)
{
    store(&page->features, features);
    store(&page->error, NS_RING_OK);
    store(&page->state, NS_RING_CONNECTED);
    NS_FENCE();
}

void ns_ring_fail(struct ns_ring_page *page, enum ns_ring_error error)
{
    store(&page->error, error);
    NS_FENCE();
}

/* ---- the guest's side ---- */

enum ns_ring_error ns_ring_failed(const struct ns_ring_page *page)
{
    return (enum ns_ring_error)load(&page->error);
}

int ns_ring_ask_reconnect(struct ns_ring_page *page)
{
    if ((load(&page->features) & NS_RING_FEATURE_RECONNECTION) == 0)
        return -EOPNOTSUPP;
    store(&page->state, NS_RING_RECONNECT);
    NS_FENCE();
    return 0;
}

bool ns_ring_connected(const struct ns_ring_page *page)
{
    return load(&page->state) == NS_RING_CONNECTED;
}
