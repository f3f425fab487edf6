/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The commands of CONTROL about logs: what is logged, and where the access log goes.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "nameserv/access_log.h"
#include "nameserv/log.h"
#include "nameserv/operations.h"

enum { TEXT_MAX = 512 };

static int put_text(struct ns_call *call, const char *text)
{
    return ns_call_put(call, text, strlen(text));
}

static int show_log(struct ns_call *call)
{
    static const char *const levels[] = {"error", "warning", "notice", "info", "debug"};
    const struct ns_access_log *log = call->server->access_log;
    char text[TEXT_MAX];
    int error = put_text(call, levels[ns_log_get()]);

    if (error < 0 || log == NULL)
        return error;
    ns_access_log_switches(log, text, sizeof(text));
    error = put_text(call, "\n");
    return error < 0 ? error : put_text(call, text);
}

/* "on", "off", "+NAME", "-NAME"; -EINVAL: none of these. */
static int turn_switch(struct ns_access_log *log, const char *text)
{
    if (strcmp(text, "on") == 0 || strcmp(text, "off") == 0)
        return ns_access_log_switch(log, "access", text[1] == 'n');
    if (*text != '+' && *text != '-')
        return -EINVAL;
    return ns_access_log_switch(log, text + 1, *text == '+');
}

int ns_control_log(struct ns_call *call)
{
    const char *text = ns_wire_text(&call->arguments, 1);
    struct ns_access_log *log = call->server->access_log;
    enum ns_log_level level;

    if (call->arguments.count == 1)
        return show_log(call);
    if (ns_log_parse(text, &level)) {
        ns_log_set(level);
        return 0;
    }
    if (log != NULL && turn_switch(log, text) == 0)
        return 0;
    return ns_call_refuse(
        call, EINVAL,
        "'%.40s' is neither a level (error, warning, notice, info, debug) nor on, "
        "off, or + or - and a switch of the access log (access, reads, "
        "transactions, specials)",
        text);
}

static int show_file(struct ns_call *call)
{
    const struct ns_access_log *log = call->server->access_log;
    const char *where = ns_access_log_where(log);
    struct ns_log_file_counters counters;
    char text[TEXT_MAX];

    if (where == NULL)
        return put_text(call, "off");
    ns_access_log_counters(log, &counters);
    snprintf(text, sizeof(text), "%.300s\nlines %llu\nleft out %llu\nrotations %llu", where,
             (unsigned long long)counters.lines, (unsigned long long)counters.left_out,
             (unsigned long long)counters.rotations);
    return put_text(call, text);
}

int ns_control_logfile(struct ns_call *call)
{
    const char *where = ns_wire_text(&call->arguments, 1);
    struct ns_access_log *log = call->server->access_log;
    int error;

    if (log == NULL)
        return ns_call_refuse(call, ENOSYS, "this server has no access log");
    if (call->arguments.count == 1)
        return show_file(call);
    if (strcmp(where, "off") != 0 && *where != '/' && strncmp(where, "syslog:", 7) != 0)
        return ns_call_refuse(call, EINVAL,
                              "'%.100s' is neither a path from the root, syslog:FACILITY, nor off",
                              where);
    error = ns_access_log_move(log, strcmp(where, "off") == 0 ? NULL : where);
    return error < 0 ? ns_call_refuse(call, -error, "%.100s: %s", where, strerror(-error)) : 0;
}
