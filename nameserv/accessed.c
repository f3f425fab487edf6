/* SPDX-License-Identifier: BSD-3-Clause */
/* The names that a transaction has asked for, to be counted; see connection.h. */
#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "nameserv/connection.h"

static int compare(const void *a, const void *b)
{
    return strcmp(a, b);
}

bool ns_accessed_has(const struct ns_client_txn *txn, const char *path)
{
    return tfind(path, (void *const *)&txn->accessed, compare) != NULL;
}

int ns_accessed_add(struct ns_client_txn *txn, const char *path)
{
    char *copy = strdup(path);

    if (copy == NULL || tsearch(copy, &txn->accessed, compare) == NULL) {
        free(copy);
        return -ENOMEM;
    }
    txn->accessed_count++;
    return 0;
}

void ns_accessed_forget(struct ns_client_txn *txn)
{
    tdestroy(txn->accessed, free);
    txn->accessed = NULL;
    txn->accessed_count = 0;
}
