/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One request while it is run: for operations.c and the operations that have files of their own.
 *
 * Thread safety: the control core only.
 */
#ifndef KEDGE_NAMESERV_OPERATIONS_H
#define KEDGE_NAMESERV_OPERATIONS_H

#include "nameserv/connection.h"
#include "nameserv/domain.h"

/* What a function answers if the reply comes by another way, now or later. */
enum { NS_ANSWERED_ELSEWHERE = 1 };

/* ... or if it waits for the end of somebody's turn, and has done nothing. */
enum { NS_CALL_HELD = 2 };

/* What the transaction number of the header means to an operation. */
enum ns_txn_use {
    NS_TXN_IGNORED, /* not looked at */
    NS_TXN_CHECKED, /* must exist if it is not 0 */
    NS_TXN_NEEDED,  /* must exist */
    NS_TXN_VIEW,    /* as CHECKED; the operation reads in it, or in one of its own */
    NS_TXN_CHANGE,  /* the same, and its own is committed */
};

enum ns_path_use { NS_PATH_NONE, NS_PATH_NODE, NS_PATH_NODE_OR_SPECIAL };

struct ns_call;

struct ns_operation {
    const char *name;
    int (*run)(struct ns_call *call); /* 0, NS_ANSWERED_ELSEWHERE, or a negative errno */
    enum ns_wire_shape shape;
    enum ns_txn_use txn;
    enum ns_path_use path;
};

/* One request while it is run. */
struct ns_call {
    struct ns_connection *connection;
    struct ns_server *server;
    const struct ns_wire_header *header;
    const struct ns_operation *operation;
    struct ns_wire_arguments arguments;
    const char *path; /* absolute */
    size_t path_size;
    struct ns_client_txn *in; /* the client's transaction; NULL: none */
    struct ns_txn *txn;       /* that, or one of its own */
    struct ns_reason reason;  /* of a refusal; text "" = none given */
    char *reply;              /* NS_WIRE_PAYLOAD_MAX bytes */
    size_t reply_size;
};

/* ---- operations.c ---- */

/* Does such a request commit something? */
bool ns_operation_commits(uint32_t type);

/* Set the sentence about a refusal, and return -error. */
int ns_call_refuse(struct ns_call *call, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Append to the reply. 0, or -E2BIG if it would be longer than a message. */
int ns_call_put(struct ns_call *call, const void *bytes, size_t size);

/* The same for a text that ends with a number, and its NUL. */
int ns_call_put_number(struct ns_call *call, const char *prefix, uint64_t number);

/* Answer a request. */
void ns_operations_reply(struct ns_connection *connection, const struct ns_wire_header *request,
                         const void *payload, size_t size);

/* Refuse a request; the name that it is about ("": none) and the sentence (NULL: what is generally
 * said about that error) go to /stats/self/error. */
void ns_operations_refuse(struct ns_connection *connection, const struct ns_wire_header *request,
                          int error, const char *path, const char *text);

/* May the caller have one more of what it has `used` of? Then it is going to. The privileged always may. */
bool ns_call_allows(const struct ns_call *call, enum ns_quota quota, uint64_t used);

/* Refuse because it may not; what: the plural of what there would be too many of. */
int ns_call_over(struct ns_call *call, enum ns_quota quota, const char *what);

/* Is a feature (NS_FEATURE_*) offered to the caller? */
bool ns_call_offers(const struct ns_call *call, uint32_t feature);

/* ---- operations_txn.c ---- */

/* TRANSACTION_START and TRANSACTION_END. */
int ns_operations_run_start(struct ns_call *call);
int ns_operations_run_end(struct ns_call *call);

/* The client's transaction with that number; NULL: there is none. */
struct ns_client_txn *ns_operations_find_txn(struct ns_connection *connection, uint32_t id);

/* The request asks for a name in the client's transaction, if it has one. 0, -ENOSPC, -ENOMEM. What the privileged
 * ask for is not limited, and need not be known. */
int ns_operations_access(struct ns_call *call);

/* ---- operations_domain.c: for domains, and names that begin with '@' ---- */

int ns_domain_run_path(struct ns_call *call); /* GET_DOMAIN_PATH */
int ns_domain_run_introduce(struct ns_call *call);
int ns_domain_run_release(struct ns_call *call);
int ns_domain_run_is_introduced(struct ns_call *call);
int ns_domain_run_resume(struct ns_call *call);
int ns_domain_run_set_target(struct ns_call *call);
int ns_domain_run_get_feature(struct ns_call *call);
int ns_domain_run_set_feature(struct ns_call *call);

/* May it be a special name? 0, -EINVAL. */
int ns_special_check(struct ns_call *call);
int ns_special_get_perms(struct ns_call *call, const struct ns_perms **perms);
/* They are no part of transactions: it holds at once. */
int ns_special_change_perms(struct ns_call *call, const struct ns_perm *list, size_t count);

/* A domain's number in a request. 0, -EINVAL. */
int ns_call_domid(struct ns_call *call, const char *text, uint32_t *domid);

/* ---- operations_quota.c, control.c ---- */

int ns_quota_run_get(struct ns_call *call);
int ns_quota_run_set(struct ns_call *call);
int ns_control_run(struct ns_call *call);

/* ---- computed.c ---- */

/* If the name is computed, ask its mount, which answers the request now or later:
 * NS_ANSWERED_ELSEWHERE, or -ENOMEM. Else 0. offset: of a DIRECTORY_PART. */
int ns_call_ask_mount(struct ns_call *call, bool list, uint64_t offset);

/* ---- control_log.c: commands of CONTROL ---- */

int ns_control_log(struct ns_call *call);
int ns_control_logfile(struct ns_call *call);

/* ---- listing.c ---- */

/* DIRECTORY_PART. */
int ns_listing_run_part(struct ns_call *call);

/* Forget the listing that the connection has under way. */
void ns_listing_drop(struct ns_connection *connection);

#endif
