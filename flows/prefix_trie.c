/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The trie of prefixes; see prefix_trie.h for its shape and the rules of versions.
 */
#include "flows/prefix_trie.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    VRF_BITS = 16,
    KEY_BITS = VRF_BITS + 32,
    KEY_SHIFT = 64 - KEY_BITS,
    /* A change replaces at most the nodes on one path. */
    PATH_MAX_NODES = KEY_BITS + 2,
};

/* word: the key in the upper 48 bits (those beyond `bits` are 0), then a byte that says whether
 * there is a route, then `bits`. Keys of look-ups have the lower 16 bits 0. */
struct prefix_node {
    uint64_t word;
    struct prefix_node *child[2]; /* by the bit after the node's own */
    uint64_t owner;               /* serial of the build that made it; not read by readers */
    struct route route[];         /* one or none */
};

static inline unsigned node_bits(const struct prefix_node *node)
{
    return node->word & 0xff;
}

static inline bool node_routed(const struct prefix_node *node)
{
    return (node->word >> 8) & 1;
}

static inline size_t node_size(bool routed)
{
    return sizeof(struct prefix_node) + (routed ? sizeof(struct route) : 0);
}

static inline uint64_t key_of(uint16_t vrf, rte_be32_t address)
{
    return (uint64_t)vrf << (KEY_SHIFT + 32) | (uint64_t)rte_be_to_cpu_32(address) << KEY_SHIFT;
}

/* Do the first `bits` bits agree? bits <= KEY_BITS, so what lies below the key is shifted out. */
static inline bool key_agrees(uint64_t a, uint64_t b, unsigned bits)
{
    return (a ^ b) >> (63 - bits) >> 1 == 0;
}

static inline uint64_t key_cut(uint64_t key, unsigned bits)
{
    return bits == 0 ? 0 : key & ~UINT64_C(0) << (64 - bits);
}

/* Bit number `bits`, counted from the first; 0 for the one after the key's last. */
static inline unsigned key_bit(uint64_t key, unsigned bits)
{
    return key >> (63 - bits) & 1;
}

static unsigned key_common(uint64_t a, uint64_t b, unsigned limit)
{
    unsigned common = a == b ? 64 : (unsigned)__builtin_clzll(a ^ b);

    return common < limit ? common : limit;
}

/* ---- reading ---- */

/* The length of the address's part in so many bits of the key. */
static uint8_t address_bits(unsigned bits)
{
    return (uint8_t)(RTE_MIN(RTE_MAX(bits, (unsigned)VRF_BITS), (unsigned)KEY_BITS) - VRF_BITS);
}

const struct route *prefix_trie_lookup_range(const struct prefix_trie *trie, uint16_t vrf,
                                             rte_be32_t address, uint8_t *length)
{
    uint64_t key = key_of(vrf, address);
    const struct route *best = NULL;
    unsigned seen = 0; /* bits of the key that have made a difference */

    for (const struct prefix_node *node = trie->root; node != NULL;) {
        unsigned bits = node_bits(node);

        seen = bits + 1;
        if (!key_agrees(key, node->word, bits)) {
            seen = key_common(key, node->word, bits) + 1;
            break;
        }
        if (node_routed(node))
            best = node->route;
        node = node->child[key_bit(key, bits)];
    }
    *length = address_bits(seen);
    return best;
}

const struct route *prefix_trie_lookup(const struct prefix_trie *trie, uint16_t vrf,
                                       rte_be32_t address)
{
    uint8_t length;

    return prefix_trie_lookup_range(trie, vrf, address, &length);
}

/* Below a node: the route at `bits` bits of key in *exact, the next shorter one that covers it in *cover. */
static void find(const struct prefix_node *node, uint64_t key, unsigned bits,
                 const struct route **exact, const struct route **cover)
{
    *exact = *cover = NULL;
    while (node != NULL && node_bits(node) < bits && key_agrees(key, node->word, node_bits(node))) {
        if (node_routed(node))
            *cover = node->route;
        node = node->child[key_bit(key, node_bits(node))];
    }
    if (node != NULL && node_bits(node) == bits && key_agrees(key, node->word, bits) &&
        node_routed(node))
        *exact = node->route;
}

const struct route *prefix_trie_exact(const struct prefix_trie *trie, uint16_t vrf,
                                      rte_be32_t prefix, uint8_t length)
{
    const struct route *exact, *cover;

    find(trie->root, key_of(vrf, prefix), VRF_BITS + length, &exact, &cover);
    return exact;
}

const struct route *prefix_trie_cover(const struct prefix_trie *trie, uint16_t vrf,
                                      rte_be32_t prefix, uint8_t length)
{
    const struct route *exact, *cover;

    find(trie->root, key_of(vrf, prefix), VRF_BITS + length, &exact, &cover);
    return cover;
}

/* Recursion here and below is bounded by the key: each level has more bits. */
static int each(const struct prefix_node *node, int (*fn)(const struct route *route, void *arg),
                void *arg)
{
    int answer = 0;

    if (node == NULL)
        return 0;
    if (node_routed(node))
        answer = fn(node->route, arg);
    for (unsigned i = 0; i < 2 && answer == 0; i++)
        answer = each(node->child[i], fn, arg);
    return answer;
}

int prefix_trie_each(const struct prefix_trie *trie,
                     int (*fn)(const struct route *route, void *arg), void *arg)
{
    return each(trie->root, fn, arg);
}

static bool check_node(const struct prefix_node *node)
{
    unsigned bits = node_bits(node), children = (node->child[0] != NULL) + (node->child[1] != NULL);

    if (bits > KEY_BITS || key_cut(node->word, bits) != (node->word & ~UINT64_C(0xffff)))
        return false;
    if (node_routed(node))
        return bits >= VRF_BITS && node->route->length == bits - VRF_BITS &&
               node->route->prefix == rte_cpu_to_be_32((uint32_t)(node->word >> KEY_SHIFT));
    return children == 2;
}

static bool check(const struct prefix_node *node, size_t *count)
{
    if (!check_node(node))
        return false;
    *count += node_routed(node);
    for (unsigned i = 0; i < 2; i++) {
        const struct prefix_node *child = node->child[i];

        if (child == NULL)
            continue;
        if (node_bits(child) <= node_bits(node) || key_bit(child->word, node_bits(node)) != i ||
            !key_agrees(child->word, node->word, node_bits(node)) || !check(child, count))
            return false;
    }
    return true;
}

bool prefix_trie_check(const struct prefix_trie *trie)
{
    size_t count = 0;

    return (trie->root == NULL || check(trie->root, &count)) && count == trie->count;
}

/* ---- nodes of a build ---- */

static struct prefix_node *make(struct prefix_build *build, uint64_t key, unsigned bits,
                                const struct route *route)
{
    struct prefix_node *node = ns_pool_get(build->pool, node_size(route != NULL));

    if (node == NULL)
        return NULL;
    node->word = key_cut(key, bits) | (route != NULL ? 1 << 8 : 0) | bits;
    node->child[0] = node->child[1] = NULL;
    node->owner = build->serial;
    if (route != NULL)
        node->route[0] = *route;
    return node;
}

/* The same node with this route, or with none. */
static struct prefix_node *make_like(struct prefix_build *build, const struct prefix_node *node,
                                     const struct route *route)
{
    struct prefix_node *copy = make(build, node->word, node_bits(node), route);

    if (copy != NULL)
        memcpy(copy->child, node->child, sizeof(copy->child));
    return copy;
}

/* Make room in `replaced` for one path, so that drop() can't fail in the middle of a change. */
static int reserve(struct prefix_replaced *replaced)
{
    size_t capacity = replaced->capacity * 2 + PATH_MAX_NODES;
    struct prefix_node **nodes;

    if (replaced->capacity - replaced->count >= PATH_MAX_NODES)
        return 0;
    nodes = realloc(replaced->nodes, capacity * sizeof(*nodes));
    if (nodes == NULL)
        return -ENOMEM;
    replaced->nodes = nodes;
    replaced->capacity = capacity;
    return 0;
}

/* The build does not use this node any more. */
static void drop(struct prefix_build *build, struct prefix_node *node)
{
    if (node->owner == build->serial)
        ns_pool_put(build->pool, node, node_size(node_routed(node)));
    else
        build->replaced.nodes[build->replaced.count++] = node;
}

/* Make the node in the slot the build's own, to be edited. */
static int own(struct prefix_build *build, struct prefix_node **slot)
{
    struct prefix_node *node = *slot, *copy;

    if (node->owner == build->serial)
        return 0;
    copy = make_like(build, node, node_routed(node) ? node->route : NULL);
    if (copy == NULL)
        return -ENOMEM;
    *slot = copy;
    drop(build, node);
    return 0;
}

/* ---- changes ---- */

void prefix_build_begin(struct prefix_build *build, struct ns_pool *pool,
                        const struct prefix_trie *base, uint64_t serial)
{
    *build = (struct prefix_build){.pool = pool, .trie = *base, .serial = serial};
}

/* The slot where the way leads on to a key. */
static struct prefix_node **way_slot(struct prefix_build *build, uint64_t key, unsigned depth)
{
    struct prefix_node *last;

    if (depth == 0)
        return &build->trie.root;
    last = build->way[depth - 1];
    return &last->child[key_bit(key, node_bits(last))];
}

/* Back to the last node on the way that lies above `bits` bits of key. */
static void way_back(struct prefix_build *build, uint64_t key, unsigned bits)
{
    unsigned common = key_common(key, build->last_key, KEY_BITS);

    while (build->depth > 0) {
        unsigned node = node_bits(build->way[build->depth - 1]);

        if (node < bits && node <= common)
            return;
        build->depth--;
    }
}

/* Go down to where `bits` bits of key are or belong, making the way there the build's own. */
static int descend(struct prefix_build *build, uint64_t key, unsigned bits,
                   struct prefix_node ***slot)
{
    way_back(build, key, bits);
    build->last_key = key;
    for (;;) {
        *slot = way_slot(build, key, build->depth);
        if (**slot == NULL || node_bits(**slot) >= bits ||
            !key_agrees(key, (**slot)->word, node_bits(**slot)))
            return 0;
        if (own(build, *slot) < 0)
            return -ENOMEM;
        build->way[build->depth++] = **slot;
    }
}

const struct route *prefix_build_exact(struct prefix_build *build, uint16_t vrf, rte_be32_t prefix,
                                       uint8_t length)
{
    uint64_t key = key_of(vrf, prefix);
    const struct route *exact, *cover;

    way_back(build, key, VRF_BITS + length);
    find(*way_slot(build, key, build->depth), key, VRF_BITS + length, &exact, &cover);
    return exact;
}

/* The prefix has a node: give it the route. */
static int set_here(struct prefix_build *build, struct prefix_node **slot,
                    const struct route *route)
{
    struct prefix_node *node = *slot, *copy;

    if (node->owner == build->serial && node_routed(node)) {
        node->route[0] = *route;
        return 0;
    }
    copy = make_like(build, node, route);
    if (copy == NULL)
        return -ENOMEM;
    build->trie.count += !node_routed(node);
    *slot = copy;
    drop(build, node);
    return 0;
}

/* The prefix belongs above or beside what is in the slot, if anything is. */
static int set_new(struct prefix_build *build, struct prefix_node **slot, uint64_t key,
                   unsigned bits, const struct route *route)
{
    struct prefix_node *node = *slot, *leaf = make(build, key, bits, route), *top = leaf;

    if (leaf == NULL)
        return -ENOMEM;
    if (node != NULL) {
        unsigned common = key_common(key, node->word, bits);

        if (common < bits) {
            top = make(build, key, common, NULL);
            if (top == NULL) {
                drop(build, leaf);
                return -ENOMEM;
            }
            top->child[key_bit(key, common)] = leaf;
        }
        top->child[key_bit(node->word, common)] = node;
    }
    build->trie.count++;
    *slot = top;
    return 0;
}

int prefix_build_set(struct prefix_build *build, uint16_t vrf, const struct route *route)
{
    uint64_t key = key_of(vrf, route->prefix);
    unsigned bits = VRF_BITS + route->length;
    struct prefix_node **slot;

    if (reserve(&build->replaced) < 0 || descend(build, key, bits, &slot) < 0)
        return -ENOMEM;
    if (*slot != NULL && node_bits(*slot) == bits && key_agrees(key, (*slot)->word, bits))
        return set_here(build, slot, route);
    return set_new(build, slot, key, bits, route);
}

/* Take the route from the node: with two children it stays as a branch, else its child takes its
 * place. */
static int clear_here(struct prefix_build *build, struct prefix_node **slot)
{
    struct prefix_node *node = *slot;

    assert(node != NULL);
    if (node->child[0] != NULL && node->child[1] != NULL) {
        struct prefix_node *branch = make_like(build, node, NULL);

        if (branch == NULL)
            return -ENOMEM;
        *slot = branch;
    } else {
        *slot = node->child[0] != NULL ? node->child[0] : node->child[1];
    }
    drop(build, node);
    build->trie.count--;
    return 0;
}

int prefix_build_remove(struct prefix_build *build, uint16_t vrf, rte_be32_t prefix, uint8_t length)
{
    uint64_t key = key_of(vrf, prefix);
    struct prefix_node **slot, *above;

    if (prefix_build_exact(build, vrf, prefix, length) == NULL)
        return -ENOENT;
    if (reserve(&build->replaced) < 0 || descend(build, key, VRF_BITS + length, &slot) < 0 ||
        clear_here(build, slot) < 0)
        return -ENOMEM;
    if (*slot != NULL || build->depth == 0)
        return 0;
    above = build->way[build->depth - 1];
    if (!node_routed(above)) { /* a branch with one child left */
        slot = way_slot(build, key, --build->depth);
        *slot = above->child[0] != NULL ? above->child[0] : above->child[1];
        drop(build, above);
    }
    return 0;
}

/* Nodes of older builds never point at newer ones, so their subtrees can be skipped. */
static void free_own(struct prefix_build *build, struct prefix_node *node)
{
    if (node == NULL || node->owner != build->serial)
        return;
    free_own(build, node->child[0]);
    free_own(build, node->child[1]);
    drop(build, node);
}

void prefix_build_abandon(struct prefix_build *build)
{
    free_own(build, build->trie.root);
    free(build->replaced.nodes);
    *build = (struct prefix_build){0};
}

void prefix_replaced_free(struct prefix_replaced *replaced, struct ns_pool *pool)
{
    for (size_t i = 0; i < replaced->count; i++)
        ns_pool_put(pool, replaced->nodes[i], node_size(node_routed(replaced->nodes[i])));
    free(replaced->nodes);
    *replaced = (struct prefix_replaced){0};
}

static void free_all(struct prefix_node *node, struct ns_pool *pool)
{
    if (node == NULL)
        return;
    free_all(node->child[0], pool);
    free_all(node->child[1], pool);
    ns_pool_put(pool, node, node_size(node_routed(node)));
}

void prefix_trie_free(struct prefix_trie *trie, struct ns_pool *pool)
{
    free_all(trie->root, pool);
    *trie = (struct prefix_trie){0};
}
