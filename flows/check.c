/* SPDX-License-Identifier: BSD-3-Clause */
/* Does every flow agree with the tree? See flows/check.h. */
#include "flows/check.h"

#include <stdio.h>

#include "flows/ways_p.h"

static const char *const role_names[ROLES] = {
    [BY_ROUTE] = "route",
    [BY_DEFINITION] = "definition",
    [BY_ALL] = "definitions",
    [BY_ADJACENCY] = "adjacency",
};

static const struct ns_anchor *expected(const struct decision *decision, int role)
{
    if (role == BY_ADJACENCY)
        return decision->fixed ? NULL : decision->adjacency;
    return decision->anchors[role];
}

static const struct ns_anchor *bound(const struct flow_table *table, uint32_t index, int role)
{
    uint32_t hold = flow_hold(table, index, role);

    return hold == 0 ? NULL : table->inner->holds[hold].anchor;
}

static bool is_registered(const struct flow_table *table, const struct ns_anchor *anchor)
{
    uint64_t mask = atomic_load_explicit(&anchor->mask, memory_order_relaxed);

    return mask >> table->inner->options.lcore & 1;
}

/* Where a walk looks for it: there, or in the slots. */
static bool is_found(const struct flow_table *table, uint32_t index, int role)
{
    const struct flow_table_inner *inner = table->inner;
    uint32_t place = inner->bindings[index].place[role];
    bool in_array =
        role == BY_ADJACENCY
            ? table->flows[index].listeners != 0
            : role != BY_ALL && hold_has_filed(table, flow_hold(table, index, role), index);

    if (!in_array)
        return inner->live[index / 64] >> index % 64 & 1;
    return place != 0 && inner->chunks[place] == index;
}

/* NULL: this part is as it should be. */
static const char *part_fault(const struct flow_table *table, uint32_t index, int role,
                              const struct decision *decision)
{
    const struct ns_anchor *anchor = bound(table, index, role);

    if (anchor != expected(decision, role))
        return role_names[role];
    if (role == BY_ADJACENCY && table->flows[index].adjacency != decision->adjacency)
        return role_names[role];
    if (anchor == NULL)
        return NULL;
    if (!is_registered(table, anchor))
        return "mask";
    return is_found(table, index, role) ? NULL : "array";
}

static bool is_walked(const struct flow_table *table, uint32_t index)
{
    for (int role = 0; role < DEPENDENCIES; role++) {
        uint32_t hold = flow_hold(table, index, role);

        if (hold != 0 && table->inner->holds[hold].walk != WALK_NONE)
            return true;
    }
    return false;
}

/* Has something changed that it does not know of, whether or not the notice has come? */
static bool is_pending(const struct flow_table *table, uint32_t index)
{
    const struct claims_now now = claims_now(table);

    for (int role = 0; role < DEPENDENCIES; role++) {
        const struct ns_anchor *anchor = bound(table, index, role);

        if (anchor != NULL &&
            ns_anchor_version(anchor) > table->inner->holds[flow_hold(table, index, role)].stamp)
            return true;
    }
    return flow_is_stale(table, &table->flows[index], &now) || is_walked(table, index);
}

static void note_fault(const struct flow_table *table, struct flow_check *check, uint32_t index,
                       int role, const char *what, const struct decision *decision)
{
    const struct ns_anchor *is =
        role == BY_ADJACENCY ? table->flows[index].adjacency : bound(table, index, role);
    const struct ns_anchor *should =
        role == BY_ADJACENCY ? decision->adjacency : expected(decision, role);
    struct flow_fault *fault = &check->faults[check->wrong];

    if (check->wrong++ >= CHECK_FAULTS)
        return;
    fault->key = table->flows[index].key;
    snprintf(fault->what, sizeof(fault->what), "%s", what);
    snprintf(fault->bound, sizeof(fault->bound), "%s", is == NULL ? "" : is->path);
    snprintf(fault->expected, sizeof(fault->expected), "%s", should == NULL ? "" : should->path);
}

/* False: it differs, and has to be looked at again later. */
static bool check_flow(const struct flow_table *table, struct flow_check *check, uint32_t index)
{
    struct decision decision;
    struct flow_missing missing;
    const char *what = NULL;
    int role = 0;

    if (decide(&table->inner->sources, &table->flows[index].key, &decision, &missing) == FLOW_BOUND)
        for (; role < ROLES && what == NULL; role++)
            what = part_fault(table, index, role, &decision);
    else
        check->pending++;
    if (what == NULL)
        return true;
    if (is_pending(table, index)) {
        check->pending++;
        return true;
    }
    if (check->suspect_since == 0)
        check->suspect_since = RTE_MAX(table->now, 1u);
    if (table->now - check->suspect_since < CHECK_PATIENCE)
        return false;
    note_fault(table, check, index, role - 1, what, &decision);
    return true;
}

bool flow_table_check(const struct flow_table *table, struct flow_check *check, uint32_t slots)
{
    for (; slots > 0 && check->cursor <= table->mask; slots--) {
        uint32_t index = check->cursor;

        if (flow_is_live(&table->flows[index])) {
            if (!check_flow(table, check, index))
                return false;
            check->flows++;
        }
        check->suspect_since = 0;
        check->cursor++;
    }
    return check->cursor > table->mask;
}
