/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What kedgectl can be asked to do. Each function takes the words that follow its own, prints, and returns
 * the exit status.
 */
#ifndef KEDGE_CLI_VERBS_H
#define KEDGE_CLI_VERBS_H

#include "cli/session.h"

/* add, set, del of any noun: all words, one transaction, done again while it conflicts. */
int do_change(struct session *session, const char *const *words, size_t count);

/* show of a noun. */
int do_show(struct session *session, const char *noun, const char *const *words, size_t count);

/* name read, list, perms */
int do_name_read(struct session *session, const char *const *words, size_t count);
int do_name_list(struct session *session, const char *const *words, size_t count);
int do_name_perms(struct session *session, const char *const *words, size_t count);

/* flow why: a definition's name, or terms of a 5-tuple */
int do_why(struct session *session, const char *const *words, size_t count);

/* flow show --learned */
int do_learned(struct session *session);

/* who depends on a name */
int do_dependents(struct session *session, const char *path);

int do_stats(struct session *session, const char *const *words, size_t count);
int do_top(struct session *session, const char *const *words, size_t count);
int do_watch(struct session *session, const char *const *words, size_t count);
int do_wait(struct session *session, const char *const *words, size_t count);
int do_save(struct session *session, const char *const *words, size_t count);
int do_check(struct session *session, const char *const *words, size_t count);

/* Wait until all that was committed before on this connection is applied. */
int wait_applied(struct session *session);

#endif
