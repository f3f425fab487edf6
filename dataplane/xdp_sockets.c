/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * AF_XDP sockets of this process, by /proc/self/fd.
 */
#include "dataplane/xdp_sockets.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* The socket's inode, 0 if the descriptor is not an AF_XDP socket. */
static ino_t inode_of(int fd)
{
    int domain = 0;
    socklen_t size = sizeof(domain);
    struct stat info;

    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) < 0 || domain != AF_XDP ||
        fstat(fd, &info) < 0)
        return 0;
    return info.st_ino;
}

void xdp_sockets_find(struct xdp_sockets *sockets)
{
    DIR *folder = opendir("/proc/self/fd");

    sockets->count = 0;
    if (folder == NULL)
        return;
    for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        int fd = atoi(entry->d_name); /* "." and ".." become 0, which is no such socket */
        ino_t inode = inode_of(fd);

        if (inode != 0 && sockets->count < XDP_SOCKETS_MAX) {
            sockets->list[sockets->count].fd = fd;
            sockets->list[sockets->count++].inode = inode;
        }
    }
    closedir(folder);
}

static bool holds(const struct xdp_sockets *sockets, ino_t inode)
{
    for (unsigned i = 0; i < sockets->count; i++)
        if (sockets->list[i].inode == inode)
            return true;
    return false;
}

void xdp_sockets_subtract(struct xdp_sockets *sockets, const struct xdp_sockets *others)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < sockets->count; i++)
        if (!holds(others, sockets->list[i].inode))
            sockets->list[kept++] = sockets->list[i];
    sockets->count = kept;
}

void xdp_sockets_close(const struct xdp_sockets *sockets)
{
    for (unsigned i = 0; i < sockets->count; i++)
        if (inode_of(sockets->list[i].fd) == sockets->list[i].inode)
            close(sockets->list[i].fd);
}
