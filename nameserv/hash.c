/* SPDX-License-Identifier: BSD-3-Clause */
/* The keyed hash; see hash.h. */
#include "nameserv/hash.h"

#include <errno.h>
#include <pthread.h>
#include <sys/random.h>

struct ns_hash ns_hash_start;

static int seed_error;

static void draw(void)
{
    uint64_t key[2];

    if (getrandom(key, sizeof(key), 0) != sizeof(key))
        seed_error = errno != 0 ? -errno : -EIO;
    else
        ns_hash_start = ns_hash_of_key(key[0], key[1]);
}

int ns_hash_seed(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, draw);
    return seed_error;
}

uint32_t ns_path_hash(const char *path, size_t size)
{
    struct ns_path_hash hash = ns_path_hash_begin();

    for (size_t i = 0; i < size; i++)
        ns_path_hash_step(&hash, (unsigned char)path[i]);
    return ns_path_hash_end(&hash);
}
