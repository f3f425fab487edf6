/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Hugepages: /sys says how many are free, /proc/mounts where their files are.
 */
#include "dataplane/hugepages.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <mntent.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/vfs.h>
#include <unistd.h>

/* Call fn for each mounted hugetlbfs. */
static void each_mount(void (*fn)(const char *folder, void *arg), void *arg)
{
    FILE *mounts = setmntent("/proc/mounts", "r");
    struct mntent entry;
    char buffer[4096];

    if (mounts == NULL)
        return;
    while (getmntent_r(mounts, &entry, buffer, sizeof(buffer)) != NULL)
        if (strcmp(entry.mnt_type, "hugetlbfs") == 0)
            fn(entry.mnt_dir, arg);
    endmntent(mounts);
}

static uint64_t free_pages(uint64_t page_size)
{
    char path[128];
    uint64_t count = 0;
    FILE *file;

    snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/hugepages-%" PRIu64 "kB/free_hugepages",
             page_size >> 10);
    file = fopen(path, "r");
    if (file == NULL)
        return 0;
    if (fscanf(file, "%" SCNu64, &count) != 1)
        count = 0;
    fclose(file);
    return count;
}

struct available {
    uint64_t sizes[8]; /* seen already: a size may be mounted twice */
    unsigned size_count;
    uint64_t bytes;
};

static void add_available(const char *folder, void *arg)
{
    struct available *available = arg;
    struct statfs info;

    if (access(folder, W_OK) < 0 || statfs(folder, &info) < 0)
        return;
    for (unsigned i = 0; i < available->size_count; i++)
        if (available->sizes[i] == (uint64_t)info.f_bsize)
            return;
    if (available->size_count == sizeof(available->sizes) / sizeof(available->sizes[0]))
        return;
    available->sizes[available->size_count++] = (uint64_t)info.f_bsize;
    available->bytes += free_pages((uint64_t)info.f_bsize) * (uint64_t)info.f_bsize;
}

uint64_t hugepages_available(void)
{
    struct available available = {.bytes = 0};

    each_mount(add_available, &available);
    return available.bytes;
}

struct removal {
    char start[80]; /* of the names of files to remove; "": all names */
    bool all;
};

/* A process that uses a page holds a shared lock on its file. */
static bool is_free(int folder, const char *name)
{
    int fd = openat(folder, name, O_RDONLY | O_CLOEXEC);
    bool free = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0;

    if (fd >= 0)
        close(fd);
    return free;
}

static void remove_files(const char *path, void *arg)
{
    const struct removal *removal = arg;
    DIR *folder = opendir(path);

    if (folder == NULL)
        return;
    for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder))
        if (strncmp(entry->d_name, removal->start, strlen(removal->start)) == 0 &&
            (removal->all || is_free(dirfd(folder), entry->d_name)))
            unlinkat(dirfd(folder), entry->d_name, 0);
    closedir(folder);
}

void hugepages_remove(const char *prefix, bool all)
{
    struct removal removal = {.all = all};

    snprintf(removal.start, sizeof(removal.start), "%smap_", prefix);
    each_mount(remove_files, &removal);
}

void folder_remove(const char *path)
{
    struct removal removal = {.start = "", .all = true};

    remove_files(path, &removal);
    rmdir(path);
}
