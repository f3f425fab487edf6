/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An example of a guest over a ring page, and of the monitor that attaches it:
 *
 *     build/examples/guest 7                                   (as root; prints what happens)
 *     kedgectl name add /local/domain/7/request 'how are you'  -> the guest writes its reply
 *     kedgectl name read /local/domain/7/reply
 *     kedgectl name set /local/domain/7/request quit
 *
 * The monitor makes the domain's home, a page, and two eventfds, and introduces them over the control
 * socket. The guest here is a process that inherits them; a unikernel's monitor would map the page into
 * its guest and connect the eventfds to its interrupts. What the guest does then is what any client
 * does: its relative paths lie below its home, and its rights are its domain's.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "nameserv/ring_client.h"

/* ---- the guest ---- */

/* Answer one request; 1: it was the last. */
static int answer(struct ns_client *client)
{
    const char *value;
    char reply[256];
    size_t size;
    int error = ns_client_read(client, 0, "request", &value, &size), last;

    if (error < 0)
        return error == -ENOENT ? 0 : error; /* nobody has asked yet */
    printf("asked: %s\n", value);
    fflush(stdout);
    last = strcmp(value, "quit") == 0;
    size = (size_t)snprintf(reply, sizeof(reply), "%.200s: fine", value);
    error = ns_client_write(client, 0, "reply", reply, size);
    return error < 0 ? error : last;
}

static int live(struct ns_client *client)
{
    const char *path, *token;
    int over = ns_client_watch(client, "request", "example");

    while (over == 0) {
        over = ns_client_event(client, -1, &path, &token);
        if (over == 1)
            over = answer(client);
    }
    return over;
}

static int run_guest(const struct ns_guest_ring *ring)
{
    struct ns_client *client;
    int error = ns_client_open_ring(ring, &client);

    if (error == 0) {
        error = live(client);
        ns_client_close(client);
    }
    if (error < 0)
        fprintf(stderr, "guest: %s\n", strerror(-error));
    return error < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* ---- the monitor ---- */

static int make_home(struct ns_client *monitor, unsigned domid)
{
    char home[64], perms[32];
    int error;

    snprintf(home, sizeof(home), "/local/domain/%u", domid);
    snprintf(perms, sizeof(perms), "n%u", domid);
    error = ns_client_mkdir(monitor, 0, home);
    return error < 0 ? error : ns_client_set_perms(monitor, 0, home, perms, strlen(perms) + 1);
}

/* The domain lives as long as the guest's process does, whatever becomes of us. */
static int attach(const struct ns_guest_ring *ring, unsigned domid, pid_t guest)
{
    int life = (int)syscall(SYS_pidfd_open, guest, 0);
    struct ns_client *monitor;
    int error = ns_client_open(NULL, &monitor); /* $KEDGE_SOCKET, else the usual one */

    if (error < 0) {
        fprintf(stderr, "no daemon answers: %s\n", strerror(-error));
        return error;
    }
    error = make_home(monitor, domid);
    if (error == 0)
        error = ns_guest_ring_introduce(monitor, ring, domid, life);
    if (error < 0)
        fprintf(stderr, "domain %u: %s (%s)\n", domid, strerror(-error), ns_client_reason(monitor));
    ns_client_close(monitor);
    close(life);
    return error;
}

static int run_monitor(const struct ns_guest_ring *ring, unsigned domid, pid_t guest)
{
    int error = attach(ring, domid, guest), status = 0;

    if (error < 0)
        kill(guest, SIGKILL); /* it waits for a server that will not come */
    if (waitpid(guest, &status, 0) < 0 || error < 0)
        return EXIT_FAILURE;
    return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    unsigned domid = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 1;
    struct ns_guest_ring ring;
    int error;
    pid_t guest;

    if (argc > 2 || domid == 0) {
        fprintf(stderr,
                "Usage: %s [DOMAIN]\nA guest over a ring page, as the domain of this number "
                "(1).\n",
                argv[0]);
        return EXIT_FAILURE;
    }
    error = ns_guest_ring_new(&ring);
    if (error < 0) {
        fprintf(stderr, "no ring can be made: %s\n", strerror(-error));
        return EXIT_FAILURE;
    }
    guest = fork();
    if (guest < 0) {
        perror("fork");
        return EXIT_FAILURE;
    }
    return guest == 0 ? run_guest(&ring) : run_monitor(&ring, domid, guest);
}
