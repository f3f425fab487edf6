/* SPDX-License-Identifier: BSD-3-Clause */
/* The trie of prefixes against a list that is searched from end to end. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "flows/prefix_trie.h"
#include "tests/unit/seed.h"

enum { MODEL_MAX = 400, VERSIONS = 6, ROUNDS = 6000, LOOKS = 12 };

struct model_route {
    uint16_t vrf;
    struct route route;
};

struct model {
    size_t count;
    struct model_route routes[MODEL_MAX];
};

/* A published version with its model, and what the build after it has replaced. */
struct version {
    struct prefix_trie trie;
    struct model model;
    struct prefix_replaced replaced;
};

static struct ns_pool *pool;

static int setup(void **state)
{
    (void)state;
    pool = ns_pool_new();
    return pool == NULL ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    assert_int_equal(ns_pool_used(pool), 0);
    ns_pool_free(pool);
    return 0;
}

/* Few different bits, so that prefixes nest and meet again. */
static uint32_t some_address(void)
{
    static const uint32_t parts[] = {0, 0x0a000000, 0x0a010000, 0xc0a80000, 0xffffff00, 0x80000000};

    return parts[seed_below(RTE_DIM(parts))] |
           (seed_below(2) ? seed_below(8) << seed_below(24) : seed_below(4));
}

static uint16_t some_vrf(void)
{
    static const uint16_t vrfs[] = {0, 0, 0, 1, 0x8000, 0xffff};

    return vrfs[seed_below(RTE_DIM(vrfs))];
}

static struct route some_route(void)
{
    static const uint8_t lengths[] = {0, 1, 8, 15, 16, 17, 24, 30, 31, 32};
    uint8_t length =
        seed_below(3) == 0 ? (uint8_t)seed_below(33) : lengths[seed_below(RTE_DIM(lengths))];

    return (struct route){
        .prefix = rte_cpu_to_be_32(some_address()) & route_mask(length),
        .length = length,
        .kind = ROUTE_VIA,
        .via = (rte_be32_t)seed_next(),
        .version = 1,
    };
}

static ptrdiff_t model_find(const struct model *model, uint16_t vrf, rte_be32_t prefix,
                            uint8_t length)
{
    for (size_t i = 0; i < model->count; i++)
        if (model->routes[i].vrf == vrf && model->routes[i].route.prefix == prefix &&
            model->routes[i].route.length == length)
            return (ptrdiff_t)i;
    return -1;
}

static const struct route *model_longest(const struct model *model, uint16_t vrf,
                                         rte_be32_t address, int below)
{
    const struct route *best = NULL;

    for (size_t i = 0; i < model->count; i++) {
        const struct route *route = &model->routes[i].route;

        if (model->routes[i].vrf == vrf && (address & route_mask(route->length)) == route->prefix &&
            route->length < below && (best == NULL || route->length > best->length))
            best = route;
    }
    return best;
}

static void assert_route(const struct route *found, const struct route *expected)
{
    assert_int_equal(found == NULL, expected == NULL);
    if (found != NULL)
        assert_memory_equal(found, expected, sizeof(*found));
}

/* Nothing else is found by addresses that have so much in common. */
static void compare_range(const struct prefix_trie *trie, uint16_t vrf, rte_be32_t address)
{
    uint8_t length, other_length;
    const struct route *route = prefix_trie_lookup_range(trie, vrf, address, &length);

    assert_route(route, prefix_trie_lookup(trie, vrf, address));
    for (int i = 0; i < 4; i++) {
        rte_be32_t inside = (address & route_mask(length)) |
                            (rte_cpu_to_be_32((uint32_t)seed_next()) & ~route_mask(length));

        assert_ptr_equal(prefix_trie_lookup_range(trie, vrf, inside, &other_length), route);
        assert_int_equal(other_length, length);
    }
}

static void compare_some(const struct prefix_trie *trie, const struct model *model)
{
    assert_int_equal(trie->count, model->count);
    for (unsigned i = 0; i < LOOKS; i++) {
        struct route any = some_route();
        uint16_t vrf = some_vrf();
        rte_be32_t address = rte_cpu_to_be_32(some_address());
        ptrdiff_t at = model_find(model, vrf, any.prefix, any.length);

        assert_route(prefix_trie_lookup(trie, vrf, address),
                     model_longest(model, vrf, address, 33));
        compare_range(trie, vrf, address);
        assert_route(prefix_trie_exact(trie, vrf, any.prefix, any.length),
                     at < 0 ? NULL : &model->routes[at].route);
        assert_route(prefix_trie_cover(trie, vrf, any.prefix, any.length),
                     model_longest(model, vrf, any.prefix, any.length));
    }
}

static void set(struct prefix_build *build, struct model *model)
{
    uint16_t vrf = some_vrf();
    struct route route = some_route();
    ptrdiff_t at = model_find(model, vrf, route.prefix, route.length);

    if (at < 0 && model->count == MODEL_MAX)
        return;
    assert_int_equal(prefix_build_set(build, vrf, &route), 0);
    if (at < 0)
        at = (ptrdiff_t)model->count++;
    model->routes[at] = (struct model_route){vrf, route};
}

static void take_out(struct prefix_build *build, struct model *model)
{
    struct model_route gone = {some_vrf(), some_route()};
    ptrdiff_t at;

    if (model->count > 0 && seed_below(8) != 0)
        gone = model->routes[seed_below((unsigned)model->count)];
    at = model_find(model, gone.vrf, gone.route.prefix, gone.route.length);
    assert_int_equal(prefix_build_remove(build, gone.vrf, gone.route.prefix, gone.route.length),
                     at < 0 ? -ENOENT : 0);
    if (at >= 0)
        model->routes[at] = model->routes[--model->count];
}

/* The oldest version goes: what was replaced after it can be seen by nobody any more. */
static void forget_oldest(struct version *versions, size_t *count)
{
    prefix_replaced_free(&versions[0].replaced, pool);
    memmove(versions, versions + 1, --*count * sizeof(*versions));
}

static void test_model(void **state)
{
    struct version *versions = calloc(VERSIONS + 1, sizeof(*versions));
    unsigned rounds = ROUNDS * seed_scale();
    size_t count = 1;

    (void)state;
    assert_non_null(versions);
    seed_begin();
    for (unsigned round = 1; round <= rounds; round++) {
        struct version *newest = &versions[count - 1], *next = &versions[count];
        unsigned steps = 1 + seed_below(80), grow = 3 + round / 500 % 5;
        struct prefix_build build;

        prefix_build_begin(&build, pool, &newest->trie, round);
        *next = (struct version){.model = newest->model};
        for (unsigned i = 0; i < steps; i++)
            seed_below(10) < grow ? set(&build, &next->model) : take_out(&build, &next->model);
        compare_some(&build.trie, &next->model);
        if (seed_below(4) == 0) {
            size_t used = ns_pool_used(pool);

            prefix_build_abandon(&build);
            assert_true(ns_pool_used(pool) <= used);
        } else {
            next->trie = build.trie;
            newest->replaced = build.replaced;
            if (++count > VERSIONS)
                forget_oldest(versions, &count);
        }
        for (size_t i = 0; i < count; i++)
            compare_some(&versions[i].trie, &versions[i].model);
        if (round % 64 == 0)
            assert_true(prefix_trie_check(&versions[count - 1].trie));
    }
    while (count > 1)
        forget_oldest(versions, &count);
    prefix_trie_free(&versions[0].trie, pool);
    free(versions);
}

struct order {
    const struct route *last;
    size_t count;
};

static int in_order(const struct route *route, void *arg)
{
    struct order *order = arg;
    const struct route *last = order->last;

    if (last != NULL) {
        uint32_t a = rte_be_to_cpu_32(last->prefix), b = rte_be_to_cpu_32(route->prefix);

        assert_true(a < b || (a == b && last->length < route->length));
    }
    order->last = route;
    return ++order->count == 700 ? 42 : 0;
}

static void test_order(void **state)
{
    struct prefix_trie empty = {0};
    struct prefix_build build;
    struct order order = {0};

    (void)state;
    seed_begin();
    prefix_build_begin(&build, pool, &empty, 1);
    while (build.trie.count < 800) {
        uint8_t length = (uint8_t)seed_below(33);
        struct route route = {.prefix = (rte_be32_t)seed_next() & route_mask(length),
                              .length = length};

        assert_int_equal(prefix_build_set(&build, 0, &route), 0);
    }
    assert_true(prefix_trie_check(&build.trie));
    assert_int_equal(prefix_trie_each(&build.trie, in_order, &order), 42);
    assert_int_equal(order.count, 700);
    prefix_build_abandon(&build);
}

/* A node of a published version is copied once a build, and what a build makes and drops is back at
 * once. */
static void test_cost(void **state)
{
    struct prefix_trie trie = {0};
    struct prefix_build build;
    size_t used;

    (void)state;
    prefix_build_begin(&build, pool, &trie, 1);
    for (uint32_t i = 0; i < 65536; i++) {
        struct route route = {.prefix = rte_cpu_to_be_32(i << 16), .length = 16};

        assert_int_equal(prefix_build_set(&build, 0, &route), 0);
    }
    assert_int_equal(build.replaced.count, 0);
    trie = build.trie;
    free(build.replaced.nodes);
    used = ns_pool_used(pool);

    prefix_build_begin(&build, pool, &trie, 2);
    for (uint32_t i = 0; i < 1000; i++) {
        struct route route = {.prefix = rte_cpu_to_be_32(0x0a010000), .length = 16, .via = i};

        assert_int_equal(prefix_build_set(&build, 0, &route), 0);
    }
    assert_int_equal(build.replaced.count, 17);
    assert_true(ns_pool_used(pool) - used < 17 * 64);
    prefix_build_abandon(&build);
    assert_int_equal(ns_pool_used(pool), used);
    prefix_trie_free(&trie, pool);
}

/* Whatever allocation fails, the content is as before, and abandoning gives everything back. */
static void test_no_memory(void **state)
{
    struct prefix_trie trie = {0};
    struct prefix_build build;
    struct model model = {0};
    size_t used;

    (void)state;
    seed_begin();
    prefix_build_begin(&build, pool, &trie, 1);
    while (model.count < 200)
        set(&build, &model);
    trie = build.trie;
    free(build.replaced.nodes);
    used = ns_pool_used(pool);
    for (unsigned round = 0; round < 2000; round++) {
        struct route route = some_route();
        unsigned victim = seed_below((unsigned)model.count);
        int rc;

        prefix_build_begin(&build, pool, &trie, 2 + round);
        ns_pool_fail_after(pool, 1 + seed_below(12));
        if (round % 2 == 0)
            rc = prefix_build_set(&build, 0, &route);
        else
            rc = prefix_build_remove(&build, model.routes[victim].vrf,
                                     model.routes[victim].route.prefix,
                                     model.routes[victim].route.length);
        ns_pool_fail_after(pool, 0);
        assert_true(rc == 0 || rc == -ENOMEM);
        assert_true(prefix_trie_check(&build.trie));
        if (rc != 0)
            compare_some(&build.trie, &model);
        prefix_build_abandon(&build);
        assert_int_equal(ns_pool_used(pool), used);
        compare_some(&trie, &model);
    }
    prefix_trie_free(&trie, pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_model, setup, teardown),
        cmocka_unit_test_setup_teardown(test_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cost, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_memory, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
