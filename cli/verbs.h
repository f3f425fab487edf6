/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What kedgectl can be asked to do. Each function takes the words that follow its own (the flags are in
 * the session), prints, and returns the exit status.
 */
#ifndef KEDGE_CLI_VERBS_H
#define KEDGE_CLI_VERBS_H

#include "cli/session.h"

/* add, set, del of any noun: all words, one transaction, done again while it conflicts. */
int do_change(struct session *session, const char *const *words, size_t count);

/* show of session->noun; with --dependents who depends on it; flow show --learned */
int do_show(struct session *session, const char *const *words, size_t count);

/* name show, read, list, perms */
int do_name_show(struct session *session, const char *const *words, size_t count);
int do_name_read(struct session *session, const char *const *words, size_t count);
int do_name_list(struct session *session, const char *const *words, size_t count);
int do_name_perms(struct session *session, const char *const *words, size_t count);

/* flow moves: what flows were told lately */
int do_moves(struct session *session, const char *const *words, size_t count);
/* flow why: a definition's name, or terms of a 5-tuple */
int do_why(struct session *session, const char *const *words, size_t count);

/* All flows of all lcores. The session is open. */
int do_learned(struct session *session);

/* Who depends on a name. The session is open. */
int do_dependents(struct session *session, const char *path);

/* Who depends on what: all names, or those around one; --svg draws it. */
int do_graph(struct session *session, const char *const *words, size_t count);

/* The next change of a name, followed through to the packets. */
int do_trace(struct session *session, const char *const *words, size_t count);

int do_stats(struct session *session, const char *const *words, size_t count);
int do_top(struct session *session, const char *const *words, size_t count);
int do_watch(struct session *session, const char *const *words, size_t count);
int do_wait(struct session *session, const char *const *words, size_t count);
int do_save(struct session *session, const char *const *words, size_t count);
int do_check(struct session *session, const char *const *words, size_t count);

#endif
