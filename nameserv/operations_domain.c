/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Operations about domains: what a tool stack says of its guests, and the special names.
 */
#include <errno.h>
#include <string.h>

#include "nameserv/connection_ring.h"
#include "nameserv/operations.h"

int ns_call_domid(struct ns_call *call, const char *text, uint32_t *domid)
{
    uint64_t number;

    if (ns_wire_number(text, UINT16_MAX, &number) < 0) {
        ns_call_refuse(call, EINVAL, "'%.40s' is no domain number (0 to 65535)", text);
        return -EINVAL;
    }
    *domid = (uint32_t)number;
    return 0;
}

/* The domain, which must be introduced. */
static int introduced(struct ns_call *call, const char *text, struct ns_domain **domain)
{
    uint32_t domid = 0;
    int error = ns_call_domid(call, text, &domid);

    if (error < 0)
        return error;
    *domain = ns_domain_find(call->server->store, domid);
    if (*domain != NULL)
        return 0;
    ns_call_refuse(call, ENOENT, "domain %u is not introduced", domid);
    return -ENOENT;
}

/* The domain, introduced or not. */
static int known(struct ns_call *call, const char *text, struct ns_domain **domain)
{
    uint32_t domid = 0;
    int error = ns_call_domid(call, text, &domid);

    if (error == 0)
        error = ns_domain_know(call->server->store, domid, domain);
    if (error == -ENOENT)
        ns_call_refuse(call, ENOENT, "%u is no domain's number; they are below %d", domid,
                       NS_DOMIDS);
    return error;
}

/* ---- life ---- */

int ns_domain_run_path(struct ns_call *call)
{
    uint32_t domid = 0;
    int error = ns_call_domid(call, call->arguments.first, &domid);

    return error < 0 ? error : ns_call_put_number(call, NS_WIRE_HOME, domid);
}

int ns_domain_run_introduce(struct ns_call *call)
{
    const char *page = ns_wire_text(&call->arguments, 1), *port = ns_wire_text(&call->arguments, 2);
    struct ns_domain *domain;
    uint64_t page_number, port_number;
    int error;

    if (ns_wire_number(page, UINT64_MAX, &page_number) < 0)
        return ns_call_refuse(call, EINVAL, "'%.40s' is no page number", page);
    if (ns_wire_number(port, INT32_MAX, &port_number) < 0 || port_number == 0)
        return ns_call_refuse(call, EINVAL, "'%.40s' is no event channel; they begin with 1", port);
    error = known(call, call->arguments.first, &domain);
    if (error < 0)
        return error;
    error = ns_attached_ring_introduce(call->connection, domain, page_number, (uint32_t)port_number,
                                       &call->reason);
    if (error < 0)
        return error;
    domain->page = page_number;
    domain->port = (uint32_t)port_number;
    ns_domain_introduce(call->server->store, domain);
    return 0;
}

static bool acts_as(const struct ns_connection *connection, const struct ns_domain *domain)
{
    return connection->who.kind == NS_DOMAIN &&
           connection->who.domain.domid == domain->who.domain.domid;
}

/* It hears nothing of its own end. A connection that is no ring's is closed when it has its turn. */
static void hang_up(struct ns_server *server, const struct ns_domain *domain)
{
    struct ns_connection *connection;

    if (domain->ring != NULL)
        ns_attached_ring_stop(domain->ring);
    LIST_FOREACH (connection, &server->connections, link) {
        if (!acts_as(connection, domain))
            continue;
        ns_operations_reset(connection);
        connection->broken = true;
        ns_connection_ready(connection);
    }
}

int ns_domain_run_release(struct ns_call *call)
{
    struct ns_domain *domain;
    uint32_t domid = 0;
    int error = ns_call_domid(call, call->arguments.first, &domid);

    if (error < 0)
        return error;
    if (domid == 0)
        return ns_call_refuse(call, EINVAL, "domain 0 can't be released");
    error = introduced(call, call->arguments.first, &domain);
    if (error < 0)
        return error;
    hang_up(call->server, domain);
    return ns_domain_release(call->server->store, domain);
}

int ns_domain_run_is_introduced(struct ns_call *call)
{
    uint32_t domid = 0;
    int error = ns_call_domid(call, call->arguments.first, &domid);
    bool is;

    if (error < 0)
        return error;
    /* The privileged of this host are domain 0, with or without a ring. */
    is = domid == NS_DOMID_SELF || domid == 0 || ns_domain_find(call->server->store, domid) != NULL;
    return ns_call_put(call, is ? "T" : "F", 2);
}

int ns_domain_run_resume(struct ns_call *call)
{
    struct ns_domain *domain;
    int error = introduced(call, call->arguments.first, &domain);

    if (error == 0)
        domain->shutdown = false;
    return error;
}

int ns_domain_run_set_target(struct ns_call *call)
{
    struct ns_connection *connection;
    struct ns_domain *domain, *target;
    int error = introduced(call, call->arguments.first, &domain);

    if (error == 0)
        error = introduced(call, call->arguments.rest, &target);
    if (error < 0)
        return error;
    ns_domain_set_target(domain, target);
    LIST_FOREACH (connection, &call->server->connections, link)
        if (acts_as(connection, domain))
            connection->who = domain->who;
    return 0;
}

/* ---- features ---- */

static uint32_t features_of(const struct ns_call *call)
{
    const struct ns_identity *who = &call->connection->who;
    const struct ns_domain *domain =
        who->kind == NS_DOMAIN ? ns_domain_find(call->server->store, who->domain.domid) : NULL;

    return domain != NULL ? domain->features : NS_FEATURES;
}

bool ns_call_offers(const struct ns_call *call, uint32_t feature)
{
    return (features_of(call) & feature) != 0;
}

int ns_domain_run_get_feature(struct ns_call *call)
{
    struct ns_domain *domain;
    int error;

    if (call->arguments.count == 0)
        return ns_call_put_number(call, "", features_of(call));
    if (!call->connection->who.privileged)
        return ns_call_refuse(call, EACCES, "only the privileged may ask about other domains");
    error = introduced(call, call->arguments.first, &domain);
    return error < 0 ? error : ns_call_put_number(call, "", domain->features);
}

int ns_domain_run_set_feature(struct ns_call *call)
{
    struct ns_domain *domain;
    uint64_t features;
    int error = known(call, call->arguments.first, &domain);

    if (error < 0)
        return error;
    if (ns_wire_number(call->arguments.rest, UINT32_MAX, &features) < 0 ||
        (features & ~(uint64_t)NS_FEATURES) != 0)
        return ns_call_refuse(call, EINVAL, "'%.40s' is no sum of features, which are %d together",
                              call->arguments.rest, NS_FEATURES);
    if (domain->introduced)
        return ns_call_refuse(call, EBUSY,
                              "domain %u is introduced; its features are set before that",
                              domain->who.domain.domid);
    domain->features = (uint32_t)features;
    return 0;
}

/* ---- special names ---- */

int ns_special_check(struct ns_call *call)
{
    const char *path = call->path;
    bool bad =
        call->path_size == 1 || path[call->path_size - 1] == '/' || strstr(path, "//") != NULL;

    bad |= strspn(path, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_@/") !=
           call->path_size;
    return bad ? ns_call_refuse(call, EINVAL, "%.100s: not the form of a special name", path) : 0;
}

static int find_special(struct ns_call *call, enum ns_special *special)
{
    *special = ns_special_find(call->path);
    if (*special < NS_SPECIALS)
        return 0;
    return ns_call_refuse(call, ENOENT,
                          "%.100s: no such name; @introduceDomain and @releaseDomain are there",
                          call->path);
}

int ns_special_get_perms(struct ns_call *call, const struct ns_perms **perms)
{
    enum ns_special special;
    int error = find_special(call, &special);

    if (error < 0)
        return error;
    *perms = ns_special_perms(call->server->store, special);
    if ((ns_rights(&ns_authority_xenstore, *perms, &call->connection->who) & NS_PERM_READ) != 0)
        return 0;
    return ns_call_refuse(call, EACCES, "%s: not permitted: you have no right to read here",
                          call->path);
}

static int check_special_change(struct ns_call *call, enum ns_special special,
                                const struct ns_perm *list)
{
    const struct ns_perms *before = ns_special_perms(call->server->store, special);
    const struct ns_identity *who = &call->connection->who;

    if (!ns_owns(&ns_authority_xenstore, before, who))
        return ns_call_refuse(call, EACCES, "%s: only the owner changes permissions", call->path);
    if (!who->privileged && list[0].id != before->list[0].id)
        return ns_call_refuse(call, EPERM, "%s: only the privileged give it to another owner",
                              call->path);
    return 0;
}

int ns_special_change_perms(struct ns_call *call, const struct ns_perm *list, size_t count)
{
    struct ns_perm bound[NS_PERMS_MAX];
    struct ns_perms *perms;
    enum ns_special special;
    int error = find_special(call, &special);

    if (error == 0)
        error = check_special_change(call, special, list);
    if (error < 0)
        return error;
    memcpy(bound, list, count * sizeof(list[0]));
    ns_authority_xenstore.bind(call->server->store, bound, count);
    perms = ns_perms_new(bound, count);
    if (perms == NULL)
        return -ENOMEM;
    ns_special_set_perms(call->server->store, special, perms);
    ns_perms_put(perms);
    return 0;
}
