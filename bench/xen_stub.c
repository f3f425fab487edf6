/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * For LD_PRELOAD: lets Debian's xenstored and oxenstored answer on their socket on a machine without
 * Xen. Both open event channels, the hypervisor's control interface and grant tables before they
 * serve anybody; here those open, deliver nothing, and know of no domain. What lies in
 * /var/run/xenstored goes to the folder that XENSTORED_RUNDIR names.
 *
 * Nothing of it is on the way of a request on a socket, so what is measured is the daemons themselves.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* ---- the libraries of Xen, as far as the daemons call them; signatures by their headers ---- */

static int handle; /* its address stands for each library's handle */
static int never_readable = -1;

void *xenevtchn_open(void *logger, unsigned flags);
void *xenevtchn_fdopen(void *logger, int fd, unsigned flags);
int xenevtchn_close(void *xce);
int xenevtchn_fd(void *xce);
int xenevtchn_bind_interdomain(void *xce, uint32_t domid, uint32_t port);
int xenevtchn_bind_virq(void *xce, unsigned virq);
int xenevtchn_notify(void *xce, uint32_t port);
int xenevtchn_pending(void *xce);
int xenevtchn_unbind(void *xce, uint32_t port);
int xenevtchn_unmask(void *xce, uint32_t port);
void *xengnttab_open(void *logger, unsigned flags);
int xengnttab_close(void *xgt);
void *xengnttab_map_grant_ref(void *xgt, uint32_t domid, uint32_t reference, int prot);
int xengnttab_set_max_grants(void *xgt, uint32_t count);
int xengnttab_unmap(void *xgt, void *address, uint32_t count);
void *xc_interface_open(void *logger, void *dombuild_logger, unsigned flags);
int xc_interface_close(void *xch);
int xc_domain_getinfo(void *xch, uint32_t first, unsigned max, void *info);
int xc_domain_getinfolist(void *xch, uint32_t first, unsigned max, void *info);
void *xc_map_foreign_range(void *xch, uint32_t domid, int size, int prot, unsigned long frame);

void *xenevtchn_open(void *logger, unsigned flags)
{
    (void)logger, (void)flags;
    never_readable = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return never_readable < 0 ? NULL : &handle;
}

void *xenevtchn_fdopen(void *logger, int fd, unsigned flags)
{
    (void)fd;
    return xenevtchn_open(logger, flags);
}

int xenevtchn_close(void *xce)
{
    (void)xce;
    return 0;
}

int xenevtchn_fd(void *xce)
{
    (void)xce;
    return never_readable;
}

int xenevtchn_bind_interdomain(void *xce, uint32_t domid, uint32_t port)
{
    (void)xce, (void)domid;
    return (int)port;
}

int xenevtchn_bind_virq(void *xce, unsigned virq)
{
    (void)xce;
    return (int)virq + 1;
}

int xenevtchn_notify(void *xce, uint32_t port)
{
    (void)xce, (void)port;
    return 0;
}

int xenevtchn_pending(void *xce)
{
    (void)xce;
    errno = EAGAIN;
    return -1;
}

int xenevtchn_unbind(void *xce, uint32_t port)
{
    (void)xce, (void)port;
    return 0;
}

int xenevtchn_unmask(void *xce, uint32_t port)
{
    (void)xce, (void)port;
    return 0;
}

void *xengnttab_open(void *logger, unsigned flags)
{
    (void)logger, (void)flags;
    return &handle;
}

int xengnttab_close(void *xgt)
{
    (void)xgt;
    return 0;
}

static void *page(size_t size, int prot)
{
    void *address = mmap(NULL, size, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return address == MAP_FAILED ? NULL : address;
}

void *xengnttab_map_grant_ref(void *xgt, uint32_t domid, uint32_t reference, int prot)
{
    (void)xgt, (void)domid, (void)reference;
    return page(4096, prot);
}

int xengnttab_set_max_grants(void *xgt, uint32_t count)
{
    (void)xgt, (void)count;
    return 0;
}

int xengnttab_unmap(void *xgt, void *address, uint32_t count)
{
    (void)xgt;
    return munmap(address, (size_t)count * 4096);
}

void *xc_interface_open(void *logger, void *dombuild_logger, unsigned flags)
{
    (void)logger, (void)dombuild_logger, (void)flags;
    return &handle;
}

int xc_interface_close(void *xch)
{
    (void)xch;
    return 0;
}

int xc_domain_getinfo(void *xch, uint32_t first, unsigned max, void *info)
{
    (void)xch, (void)first, (void)max, (void)info;
    return 0;
}

int xc_domain_getinfolist(void *xch, uint32_t first, unsigned max, void *info)
{
    (void)xch, (void)first, (void)max, (void)info;
    return 0;
}

void *xc_map_foreign_range(void *xch, uint32_t domid, int size, int prot, unsigned long frame)
{
    (void)xch, (void)domid, (void)frame;
    return page((size_t)size, prot);
}

/* ---- the system ---- */

#define RUN_FOLDER "/var/run/xenstored"

/* The path in the run folder that we use instead; path itself if it is elsewhere. */
static const char *redirected(const char *path, char *buffer)
{
    const char *folder = getenv("XENSTORED_RUNDIR");

    if (folder == NULL || strncmp(path, RUN_FOLDER, sizeof(RUN_FOLDER) - 1) != 0)
        return path;
    snprintf(buffer, PATH_MAX, "%s%s", folder, path + sizeof(RUN_FOLDER) - 1);
    return buffer;
}

/* Call libc's own. */
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* xenstored reads the number of its event channel to domain 0 from one file, and maps the page that it
 * shares with domain 0 from another. */
static int open_fake(const char *path)
{
    int fd;

    if (strcmp(path, "/proc/xen/xsd_port") != 0 && strcmp(path, "/proc/xen/xsd_kva") != 0)
        return -1;
    fd = memfd_create(path, MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, 4096) < 0 ||
        (strstr(path, "port") != NULL && pwrite(fd, "1", 1, 0) < 0))
        abort();
    return fd;
}

int open(const char *path, int flags, ...)
{
    char buffer[PATH_MAX];
    va_list arguments;
    mode_t mode;
    int fake = open_fake(path);

    va_start(arguments, flags);
    mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    return fake >= 0 ? fake : REAL(open)(redirected(path, buffer), flags, mode);
}

int unlink(const char *path)
{
    char buffer[PATH_MAX];

    return REAL(unlink)(redirected(path, buffer));
}

int mkdir(const char *path, mode_t mode)
{
    char buffer[PATH_MAX];

    return REAL(mkdir)(redirected(path, buffer), mode);
}

int chmod(const char *path, mode_t mode)
{
    char buffer[PATH_MAX];

    return REAL(chmod)(redirected(path, buffer), mode);
}

int bind(int fd, const struct sockaddr *address, socklen_t size)
{
    const char *path = ((const struct sockaddr_un *)(const void *)address)->sun_path;
    struct sockaddr_un other = {.sun_family = AF_UNIX};
    char buffer[PATH_MAX];

    if (address->sa_family != AF_UNIX)
        return REAL(bind)(fd, address, size);
    path = redirected(path, buffer);
    if (strlen(path) >= sizeof(other.sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(other.sun_path, path);
    return REAL(bind)(fd, (const struct sockaddr *)&other, sizeof(other));
}

/* oxenstored ends if it can't have as many descriptors as it wants. */
int setrlimit(__rlimit_resource_t resource, const struct rlimit *limit)
{
    REAL(setrlimit)(resource, limit);
    return 0;
}
