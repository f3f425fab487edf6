/* SPDX-License-Identifier: BSD-3-Clause */
/* The store: its life, its housekeeping, and small changes by the stack itself. */
#include "nameserv/store.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "nameserv/account.h"
#include "nameserv/domain.h"
#include "nameserv/store_p.h"

#ifdef NS_TSAN
char ns_rcu_tsan_readers, ns_rcu_tsan_fence;
#endif

enum { WAITING_BYTES_DEFAULT = 256 << 20, ANCHORS_DEFAULT = 1 << 20 };

static const struct ns_mount_ops plain_ops = {.name = "plain"};

static const struct ns_entry *first_root(struct ns_pool *pool)
{
    struct ns_perms *perms = ns_perms_new(&ns_authority_plain.first, 1);
    const struct ns_entry *root = perms == NULL ? NULL : ns_tree_new(pool, perms, 1);

    if (root == NULL)
        ns_perms_put(perms);
    return root;
}

static int make_version(struct ns_store *store)
{
    store->pool = ns_pool_new();
    store->version = store->pool != NULL ? ns_version_new(store) : NULL;
    if (store->version == NULL)
        return -ENOMEM;
    *store->version = (struct ns_version){.number = 1, .root = first_root(store->pool)};
    store->published = store->version;
    return store->version->root == NULL ? -ENOMEM : 0;
}

static int make_subscribers(struct ns_store *store)
{
    size_t size = store->lcores * sizeof(struct ns_subscriber);

    if (size == 0)
        return 0;
    store->subscribers = aligned_alloc(NS_CACHE_LINE, size);
    if (store->subscribers == NULL)
        return -ENOMEM;
    memset(store->subscribers, 0, size);
    return 0;
}

static void store_destroy(struct ns_store *store)
{
    if (store->anchors.buckets != NULL)
        ns_anchors_fini(store);
    if (store->version != NULL && store->version->root != NULL)
        ns_tree_free(store->version->root, store->pool);
    if (store->pool != NULL)
        ns_version_free(store, store->version);
    ns_txn_free_room(store->spare);
    free(store->changes);
    ns_domains_free(store->domains);
    ns_accounts_free(store->accounts);
    if (store->pool != NULL)
        ns_pool_free(store->pool);
    free(store->subscribers);
    free(store);
}

int ns_store_new(const struct ns_store_options *options, struct ns_store **result)
{
    struct ns_store *store = calloc(1, sizeof(*store));
    int rc;

    if (store == NULL)
        return -ENOMEM;
    assert(options->lcores <= NS_LCORES_MAX);
    store->writer = pthread_self();
    store->lcores = options->lcores;
    store->waiting_limit =
        options->waiting_bytes == 0 ? WAITING_BYTES_DEFAULT : options->waiting_bytes;
    rc = ns_hash_seed();
    if (rc == 0)
        rc = make_version(store);
    if (rc == 0 && ((store->domains = ns_domains_new()) == NULL ||
                    (store->accounts = ns_accounts_new()) == NULL))
        rc = -ENOMEM;
    if (rc == 0)
        rc = make_subscribers(store);
    if (rc == 0)
        rc = ns_anchors_init(&store->anchors,
                             options->anchors_max == 0 ? ANCHORS_DEFAULT : options->anchors_max);
    store->root_mount = (struct ns_mount){.ops = &plain_ops,
                                          .authority = &ns_authority_plain,
                                          .path = "/",
                                          .path_size = 1,
                                          .store = store};
    store->mounts[store->mount_count++] = &store->root_mount;
    if (rc == 0)
        rc = ns_accounts_take(store);
    if (rc == 0)
        rc = ns_reclaim_start(&store->reclaim, options->alone);
    if (rc != 0) {
        store_destroy(store);
        return rc;
    }
    ns_rcu_register();
    *result = store;
    return 0;
}

void ns_store_free(struct ns_store *store)
{
    assert(store->oldest == NULL);
    ns_store_drain(store);
    ns_rcu_offline(); /* the reclaimer may be in a grace period, which would wait for us */
    ns_reclaim_stop(&store->reclaim);
    ns_rcu_unregister();
    store_destroy(store);
}

const struct ns_version *ns_store_version(struct ns_store *store)
{
    return ns_rcu_load(store->published);
}

int ns_store_derived_slot(struct ns_store *store)
{
    return store->derived_count == NS_DERIVED_MAX ? -ENOSPC : store->derived_count++;
}

void ns_store_number_from(struct ns_store *store, uint64_t number)
{
    store->number_floor = number;
}

struct ns_hold *ns_store_hold(struct ns_store *store)
{
    return &store->hold;
}

void ns_store_listen(struct ns_store *store, struct ns_listener *listener)
{
    listener->prepared = false;
    listener->next = store->listeners;
    store->listeners = listener;
}

void ns_store_unlisten(struct ns_store *store, struct ns_listener *listener)
{
    struct ns_listener **at = &store->listeners;

    while (*at != listener)
        at = &(*at)->next;
    *at = listener->next;
}

struct ns_subscriber *ns_store_subscriber(struct ns_store *store, unsigned lcore)
{
    assert(lcore < store->lcores);
    return &store->subscribers[lcore];
}

/* ---- housekeeping ---- */

enum { BLOCKS_PER_ROUND = 2048, ANCHORS_PER_ROUND = 8, ANCHORS_PER_ROUND_SHORT = 512 };

bool ns_store_waits(const struct ns_store *store)
{
    const struct ns_reclaim *reclaim = &store->reclaim;

    return reclaim->objects.first != NULL || reclaim->trees.first != NULL ||
           store->anchors.dying > 0;
}

/* How many anchors are looked at in a round: more when there will soon be no room for new ones (a scan of
 * addresses has asked for them, and left). */
static unsigned anchors_to_sweep(const struct ns_anchors *anchors)
{
    return anchors->requested > anchors->requested_max / 2 ? ANCHORS_PER_ROUND_SHORT
                                                           : ANCHORS_PER_ROUND;
}

void ns_store_quiescent(struct ns_store *store)
{
    if (store->reclaim.alone && ns_store_waits(store))
        ns_reclaim_over_now(&store->reclaim);
}

/* One grace period serves all that was replaced since the last was asked for; the next is asked for
 * when that is over and it is worth it. */
bool ns_store_housekeep(struct ns_store *store)
{
    struct ns_reclaim *reclaim = &store->reclaim;
    bool more = ns_reclaim_run(store, BLOCKS_PER_ROUND);

    more |= ns_anchors_sweep(store, anchors_to_sweep(&store->anchors));
    if (!reclaim->alone && ns_store_waits(store) && ns_reclaim_over(reclaim, reclaim->ticket - 1) &&
        ns_reclaim_due(reclaim))
        ns_reclaim_ask(reclaim);
    return more;
}

/* Without the reclaimer's thread: on a machine whose CPUs are taken, each turn of another thread costs the
 * slices of all that are in front of it. */
void ns_store_drain(struct ns_store *store)
{
    ns_store_publish(store);
    for (int rounds = 0; rounds < 8; rounds++) {
        ns_anchors_sweep(store, store->anchors.count);
        ns_reclaim_wait(&store->reclaim);
        while (ns_reclaim_run(store, BLOCKS_PER_ROUND))
            ;
    }
}

void ns_store_counters(struct ns_store *store, struct ns_store_counters *out)
{
    *out = store->counters;
    out->anchors = store->anchors.count;
    out->pool_bytes = ns_pool_used(store->pool);
    out->waiting_bytes = store->reclaim.waiting_bytes;
}

int ns_store_put(struct ns_store *store, const char *path, const char *value)
{
    struct ns_txn *txn;
    int rc = ns_txn_begin(store, &ns_identity_stack, &txn);

    if (rc != 0)
        return rc;
    rc = value == NULL ? ns_txn_remove(txn, path) : ns_txn_write(txn, path, value, strlen(value));
    if (rc == 0)
        return ns_txn_commit(txn, NULL, NULL);
    ns_txn_abort(txn);
    return rc;
}
