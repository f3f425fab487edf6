/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Read-copy-update as Kedge uses it: liburcu's QSBR flavour behind a few inline functions.
 *
 * QSBR (quiescent-state based reclamation, Desnoyers et al., "User-Level Implementations of
 * Read-Copy Update", IEEE TPDS 2012) costs a reader nothing: a registered thread that is online is
 * always inside a read section, and says at the top of its loop, with ns_rcu_quiescent(), that it
 * holds no reference any more. A thread that is about to sleep goes offline first.
 *
 * Why a wrapper: liburcu 0.13 publishes and dereferences with volatile accesses, and orders grace
 * periods with barriers, neither of which ThreadSanitizer understands. Here publishing and
 * dereferencing are __atomic built-ins, and in a TSan build quiescent states and grace periods are
 * annotated, so that a report is a race of ours.
 *
 * Threads: every function says who may call it. None of them allocates.
 */
#ifndef KEDGE_NAMESERV_RCU_H
#define KEDGE_NAMESERV_RCU_H

#define URCU_INLINE_SMALL_FUNCTIONS
#include <urcu/urcu-qsbr.h>

#if defined(__SANITIZE_THREAD__)
#define NS_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define NS_TSAN 1
#endif
#endif

#ifdef NS_TSAN
void __tsan_acquire(void *addr);
void __tsan_release(void *addr);
/* One address stands for all readers: coarser than the truth, but it never invents an order that
 * a grace period does not give. */
extern char ns_rcu_tsan_readers;
#define NS_TSAN_RELEASE() __tsan_release(&ns_rcu_tsan_readers)
#define NS_TSAN_ACQUIRE() __tsan_acquire(&ns_rcu_tsan_readers)
#else
#define NS_TSAN_RELEASE() ((void)0)
#define NS_TSAN_ACQUIRE() ((void)0)
#endif

/* A full fence: stores before it are visible before loads after it are done. ThreadSanitizer knows no
 * fences; in its build a read-modify-write of one common variable stands for it. */
#ifdef NS_TSAN
extern char ns_rcu_tsan_fence;
#define NS_FENCE() ((void)__atomic_fetch_add(&ns_rcu_tsan_fence, 0, __ATOMIC_SEQ_CST))
#else
#define NS_FENCE() __atomic_thread_fence(__ATOMIC_SEQ_CST)
#endif

/* Read an RCU-protected pointer. Any registered, online thread; what it points at stays valid until
 * the thread's next quiescent state. Acquire instead of consume: free on x86, and compilers treat
 * consume so anyway. */
#define ns_rcu_load(pointer) __atomic_load_n(&(pointer), __ATOMIC_ACQUIRE)

/* Publish: everything written to *value before becomes visible before the pointer does. The
 * control core only. Each use is a point of visibility; grep for it. */
#define ns_rcu_publish(pointer, value) __atomic_store_n(&(pointer), (value), __ATOMIC_RELEASE)

/* Make the calling thread a reader; it is online afterwards. Once per thread, before it reads. */
static inline void ns_rcu_register(void)
{
    urcu_qsbr_register_thread();
}

/* The reverse. The thread must hold no reference. */
static inline void ns_rcu_unregister(void)
{
    NS_TSAN_RELEASE();
    urcu_qsbr_unregister_thread();
}

/* A registered reader holds no reference at this moment. */
static inline void ns_rcu_quiescent(void)
{
    NS_TSAN_RELEASE();
    urcu_qsbr_quiescent_state();
}

/* Before sleeping: until ns_rcu_online() the thread reads nothing and delays no grace period. */
static inline void ns_rcu_offline(void)
{
    NS_TSAN_RELEASE();
    urcu_qsbr_thread_offline();
}

static inline void ns_rcu_online(void)
{
    urcu_qsbr_thread_online();
}

/* Wait until every reader that was online has passed a quiescent state. Blocks: the reclaimer's
 * thread, tests, and the control core at its end (offline) only, never an lcore. */
static inline void ns_rcu_wait(void)
{
    urcu_qsbr_synchronize_rcu();
    NS_TSAN_ACQUIRE();
}

#endif
