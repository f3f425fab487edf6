/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DPDK's environment: which CPUs, how much memory and of which kind, the pool of packets, the log.
 */
#include "dataplane/eal.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_log.h>
#include <rte_mbuf.h>
#include <rte_mbuf_pool_ops.h>

#include "dataplane/hugepages.h"

enum {
    PACKET_BYTES = 2560, /* an mbuf with its data room, the mempool's header and rounding */
    MORE_MB = 128,       /* rings, held packets, devices and their own buffers, malloc's own */
    POOL_CACHE = 256,
    ARGUMENTS_MAX = OPTIONS_EAL_MAX + 24,
};

static int failed(char *why, size_t size, int error, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static int failed(char *why, size_t size, int error, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(why, size, format, arguments);
    va_end(arguments);
    return -error;
}

/* ---- CPUs ---- */

unsigned eal_workers(const struct options *options)
{
    if (options->workers > 0)
        return options->workers;
    if (options->cpu_count > 1)
        return options->cpu_count - 1 < WORKERS_MAX ? options->cpu_count - 1 : WORKERS_MAX;
    return 1;
}

/* The CPUs to use: those that were named, else all that this process may use. */
static int choose_cpus(const struct options *options, unsigned *cpus, unsigned *count, char *why,
                       size_t why_size)
{
    cpu_set_t allowed;

    if (sched_getaffinity(0, sizeof(allowed), &allowed) < 0)
        return failed(why, why_size, errno, "which CPUs may be used: %s", strerror(errno));
    for (unsigned i = 0; i < options->cpu_count; i++)
        if (options->cpus[i] >= CPU_SETSIZE || !CPU_ISSET(options->cpus[i], &allowed))
            return failed(
                why, why_size, EINVAL,
                "--lcores: CPU %u can't be used by this process; `taskset -p $$` shows which can",
                options->cpus[i]);
    *count = options->cpu_count;
    memcpy(cpus, options->cpus, options->cpu_count * sizeof(*cpus));
    for (unsigned cpu = 0;
         options->cpu_count == 0 && cpu < CPU_SETSIZE && *count < OPTIONS_CPUS_MAX; cpu++)
        if (CPU_ISSET(cpu, &allowed))
            cpus[(*count)++] = cpu;
    if (*count == 0)
        return failed(why, why_size, EINVAL, "there is no CPU that this process may use");
    return 0;
}

/* EAL's --lcores: lcore 0 is the control core, 1 to N the workers. They share CPUs if there are too
 * few, and the control core's only if it is the only one. */
static void map_lcores(struct eal *eal, const unsigned *cpus, unsigned count, char *text,
                       size_t size)
{
    size_t used = (size_t)snprintf(text, size, "0@%u", cpus[0]);

    for (unsigned i = 0; i < eal->workers; i++) {
        unsigned cpu = count > 1 ? cpus[1 + i % (count - 1)] : cpus[0];

        eal->lcores[i] = i + 1;
        used += (size_t)snprintf(text + used, size - used, ",%u@%u", i + 1, cpu);
    }
}

/* ---- memory ---- */

/* Flow tables are not in it: they take their memory themselves. */
static unsigned memory_mb(const struct options *options)
{
    uint64_t bytes = (uint64_t)options->packets * PACKET_BYTES;

    return options->memory > 0 ? options->memory : (unsigned)(bytes >> 20) + MORE_MB;
}

/* Without hugepages it works as well; the user is told what it costs, unless it was asked for. */
static bool enough_hugepages(const struct options *options, unsigned needed)
{
    uint64_t available = hugepages_available() >> 20;

    if (options->no_huge)
        return false;
    if (available >= needed)
        return true;
    ns_log(NS_LOG_WARNING,
           "%llu MB of hugepages are free and %u MB are needed: going on without (--no-huge), "
           "which costs "
           "a third to a half of the speed on fast devices, nothing on af_packet, af_xdp and tap; "
           "`make hugepages` reserves some",
           (unsigned long long)available, needed);
    return false;
}

struct rte_mempool *eal_make_pool(const char *name, unsigned packets)
{
    struct rte_pktmbuf_pool_private private = {.mbuf_data_room_size = RTE_MBUF_DEFAULT_BUF_SIZE};
    struct rte_mempool *pool = rte_mempool_create_empty(
        name, packets, sizeof(struct rte_mbuf) + RTE_MBUF_DEFAULT_BUF_SIZE, POOL_CACHE,
        sizeof(private), SOCKET_ID_ANY, RTE_MEMPOOL_F_NO_IOVA_CONTIG);

    if (pool == NULL)
        return NULL;
    if (rte_mempool_set_ops_byname(pool, rte_mbuf_best_mempool_ops(), NULL) < 0) {
        rte_mempool_free(pool);
        return NULL;
    }
    rte_pktmbuf_pool_init(pool, &private);
    if (rte_mempool_populate_default(pool) < 0) {
        rte_mempool_free(pool);
        return NULL;
    }
    rte_mempool_obj_iter(pool, rte_pktmbuf_init, NULL);
    return pool;
}

/* ---- DPDK's log ---- */

static _Thread_local bool quiet_thread;

void eal_quiet(bool quiet)
{
    quiet_thread = quiet;
}

static ssize_t write_log(void *cookie, const char *text, size_t size)
{
    static const enum ns_log_level levels[] = {
        [0] = NS_LOG_ERROR, /* no level */
        [RTE_LOG_EMERG] = NS_LOG_ERROR,
        [RTE_LOG_ALERT] = NS_LOG_ERROR,
        [RTE_LOG_CRIT] = NS_LOG_ERROR,
        [RTE_LOG_ERR] = NS_LOG_WARNING,
        [RTE_LOG_WARNING] = NS_LOG_WARNING,
        [RTE_LOG_NOTICE] = NS_LOG_INFO,
        [RTE_LOG_INFO] = NS_LOG_INFO,
        [RTE_LOG_DEBUG] = NS_LOG_DEBUG,
    };
    unsigned level = (unsigned)rte_log_cur_msg_loglevel();
    enum ns_log_level as = level < RTE_DIM(levels) ? levels[level] : NS_LOG_INFO;

    (void)cookie;
    if (quiet_thread)
        as = NS_LOG_DEBUG;
    for (size_t at = 0; at < size;) {
        const char *end = memchr(text + at, '\n', size - at);
        size_t line = end != NULL ? (size_t)(end - text) - at : size - at;

        if (line > 0)
            ns_log(as, "dpdk: %.*s", (int)line, text + at);
        at += line + 1;
    }
    return (ssize_t)size;
}

/* Its errors are our warnings: whether one matters, the daemon says itself. */
static void redirect_log(void)
{
    static const uint32_t levels[] = {
        [NS_LOG_ERROR] = RTE_LOG_CRIT,     [NS_LOG_WARNING] = RTE_LOG_WARNING,
        [NS_LOG_NOTICE] = RTE_LOG_WARNING, [NS_LOG_INFO] = RTE_LOG_NOTICE,
        [NS_LOG_DEBUG] = RTE_LOG_DEBUG,
    };
    FILE *stream = fopencookie(NULL, "w", (cookie_io_functions_t){.write = write_log});

    rte_log_set_global_level(levels[ns_log_get()]);
    if (stream == NULL)
        return;
    setvbuf(stream, NULL, _IOLBF, 0);
    rte_openlog_stream(stream);
}

/* ---- start and end ---- */

/* A name for this daemon's files that is the same at the next start, and differs between sockets.
 * */
static void choose_prefix(const struct options *options, char *prefix, size_t size)
{
    char folder[PATH_MAX] = "";
    uint32_t hash = UINT32_C(2166136261); /* FNV-1a */

    if (options->file_prefix != NULL) {
        snprintf(prefix, size, "%s", options->file_prefix);
        return;
    }
    if (options->socket[0] != '/' && getcwd(folder, sizeof(folder)) == NULL)
        folder[0] = '\0';
    for (const char *c = folder; *c != '\0'; c++)
        hash = (hash ^ (unsigned char)*c) * UINT32_C(16777619);
    for (const char *c = options->socket; *c != '\0'; c++)
        hash = (hash ^ (unsigned char)*c) * UINT32_C(16777619);
    snprintf(prefix, size, "kedge-%08x", hash);
}

/* Does the user name devices on buses that are to be scanned? Else none of the host's is touched.
 * */
static bool wants_pci(const struct options *options)
{
    for (unsigned i = 0; i < options->eal_count; i++)
        if (strncmp(options->eal[i], "-a", 2) == 0 || strncmp(options->eal[i], "-b", 2) == 0 ||
            strncmp(options->eal[i], "--allow", 7) == 0 ||
            strncmp(options->eal[i], "--block", 7) == 0)
            return true;
    return false;
}

struct arguments {
    char *words[ARGUMENTS_MAX];
    int count;
};

static void add(struct arguments *arguments, const char *word)
{
    arguments->words[arguments->count++] = (char *)(uintptr_t)word; /* EAL does not write to them */
}

static int initialise(const struct options *options, struct eal *eal, const char *lcores,
                      unsigned memory)
{
    struct arguments arguments = {.count = 0};
    char megabytes[16];

    snprintf(megabytes, sizeof(megabytes), "%u", memory);
    add(&arguments, "kedged");
    add(&arguments, "--lcores");
    add(&arguments, lcores);
    add(&arguments, "--file-prefix");
    add(&arguments, eal->prefix);
    if (!eal->huge)
        add(&arguments, "--no-huge");
    if (!eal->huge || options->memory > 0) {
        add(&arguments, "-m");
        add(&arguments, megabytes);
    }
    if (!wants_pci(options)) {
        add(&arguments, "--no-pci");
        add(&arguments, "--iova-mode=va");
    }
    if (ns_log_get() < NS_LOG_DEBUG) {
        /* That a port has no interrupts, and nobody uses old telemetry, is nothing to warn of. */
        add(&arguments, "--log-level=lib.ethdev:critical");
        add(&arguments, "--log-level=lib.telemetry:error");
    }
    for (unsigned i = 0; i < options->eal_count; i++)
        add(&arguments, options->eal[i]);
    rte_errno = 0; /* it is not set by every failure */
    if (rte_eal_init(arguments.count, arguments.words) >= 0)
        return 0;
    return rte_errno != 0 ? -rte_errno : -EIO;
}

/* After a start that failed: DPDK's folder is ours to remove unless a living daemon has the same
 * prefix, and so a lock on the file in it. */
static bool folder_is_ours(const char *folder)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char path[PATH_MAX];
    int fd = -1;
    bool ours;

    if (snprintf(path, sizeof(path), "%s/config", folder) < (int)sizeof(path))
        fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return true;
    ours = fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type == F_UNLCK;
    close(fd);
    return ours;
}

static int failed_to_start(const struct eal *eal, int error, char *why, size_t why_size)
{
    const char *folder = rte_eal_get_runtime_dir();

    if (folder != NULL && folder[0] != '\0' && !folder_is_ours(folder))
        return failed(why, why_size, EBUSY,
                      "another daemon uses the file prefix '%s'; give this one another "
                      "by --file-prefix",
                      eal->prefix);
    if (folder != NULL && folder[0] != '\0')
        folder_remove(folder);
    return failed(why, why_size, -error, "DPDK does not start: %s; --log debug shows its own words",
                  rte_strerror(-error));
}

int eal_start(const struct options *options, struct eal *eal, char *why, size_t why_size)
{
    unsigned cpus[OPTIONS_CPUS_MAX] = {0}, count = 0, memory;
    char lcores[WORKERS_MAX * 12];
    int error = choose_cpus(options, cpus, &count, why, why_size);

    if (error < 0)
        return error;
    *eal = (struct eal){.workers = eal_workers(options)};
    map_lcores(eal, cpus, count, lcores, sizeof(lcores));
    memory = memory_mb(options);
    choose_prefix(options, eal->prefix, sizeof(eal->prefix));
    hugepages_remove(eal->prefix, false);
    eal->huge = enough_hugepages(options, memory);
    redirect_log();
    /* For net_af_xdp: libxdp's dispatcher of several programs wants a bpffs, which a namespace made
     * by `ip netns` does not have; without one it complains, and does without. */
    setenv("LIBXDP_SKIP_DISPATCHER", "1", 0);
    error = initialise(options, eal, lcores, memory);
    if (error < 0)
        return failed_to_start(eal, error, why, why_size);
    snprintf(eal->runtime_folder, sizeof(eal->runtime_folder), "%s", rte_eal_get_runtime_dir());
    eal->pool = eal_make_pool("packets", options->packets);
    if (eal->pool != NULL)
        return 0;
    error = failed(why, why_size, ENOMEM,
                   "no memory for %u packets; ask for fewer (--packets) or allow more "
                   "(--memory, now %u MB)",
                   options->packets, memory);
    eal_stop(eal);
    return error;
}

void eal_remove_files(const struct eal *eal)
{
    hugepages_remove(eal->prefix, true);
    if (eal->runtime_folder[0] != '\0')
        folder_remove(eal->runtime_folder);
}

void eal_stop(struct eal *eal)
{
    rte_mempool_free(eal->pool);
    rte_eal_cleanup();
    eal_remove_files(eal);
}
