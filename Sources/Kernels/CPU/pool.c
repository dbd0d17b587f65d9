// The engine's threads: the caller and count - 1 workers. Each begins with a share of the job of its own: of jobs over
// rows, the same rows each time, which it then finds in its own caches. It takes ranges of what is left of it, large
// ones at first and small ones when threads have to end together, and then goes on with what others have left.
//
// A worker that finds nothing to do spins for some microseconds, because the next job of a step follows at
// once, and then sleeps in a futex. Which thread takes which range never shows in results: ranges are output
// tiles.
#define _GNU_SOURCE
#include "engine.h"
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef __linux__
#include <linux/futex.h>
#include <sys/syscall.h>
static void futex_wait(atomic_uint *word, unsigned expected) {
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, NULL, NULL, 0);
}
static void futex_wake(atomic_uint *word) {
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 0x7fffffff, NULL, NULL, 0);
}
#else
static void futex_wait(atomic_uint *word, unsigned expected) {
    if (atomic_load(word) == expected) sched_yield();
}
static void futex_wake(atomic_uint *word) { (void)word; }
#endif

static inline void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

// About 20 to 50 microseconds: longer than the gap between two jobs of a step, shorter than anybody minds.
enum { SPINS = 1000 };

typedef struct {
    mr_pool *pool;
    int32_t index;
    pthread_t thread;
} worker;

// Items that one thread begins with, on a cache line of their own.
typedef struct {
    _Alignas(64) atomic_int next; // first item nobody has taken
    int32_t end;
} share;

struct mr_pool {
    int32_t threads;
    mr_task function;
    void *context;
    int32_t grain;
    int32_t most; // items of a range
    // Each on a cache line of its own, since all threads write to them.
    _Alignas(64) atomic_uint epoch; // number of the current job
    _Alignas(64) atomic_uint sleepers; // workers in (or entering) futex_wait on epoch
    _Alignas(64) atomic_uint busy; // workers that have not finished the current job
    _Alignas(64) atomic_uint waiting; // 1 while the caller sleeps on busy
    atomic_bool stop;
    worker *workers;
    share *shares; // [threads]
};

// Takes the range begin..<end of a share; false if none is left.
static bool take_range(const mr_pool *pool, share *share, int32_t *begin, int32_t *end) {
    *begin = atomic_load_explicit(&share->next, memory_order_relaxed);
    do {
        int32_t left = share->end - *begin, count = left / 2;
        if (left <= 0) return false;
        if (count > pool->most) count = pool->most;
        if (count < pool->grain) count = pool->grain;
        *end = *begin + (count < left ? count : left);
    } while (!atomic_compare_exchange_weak_explicit(
        &share->next, begin, *end, memory_order_relaxed, memory_order_relaxed));
    return true;
}

static void take_ranges(mr_pool *pool, int32_t thread) {
    int32_t begin, end;
    for (int32_t i = 0; i < pool->threads; i++) {
        share *share = &pool->shares[(thread + i) % pool->threads];
        while (take_range(pool, share, &begin, &end)) pool->function(pool->context, begin, end, thread);
    }
}

// Shares are whole grains but for the last, so that where there are few items, few threads have any.
static void divide(mr_pool *pool, int32_t count, int32_t grain) {
    pool->grain = grain;
    // Of items that differ, as sequences do, long ones may come first: no range is a large part of the job.
    pool->most = count / (16 * pool->threads);
    int64_t grains = ((int64_t)count + grain - 1) / grain;
    int32_t begin = 0;
    for (int32_t i = 0; i < pool->threads; i++) {
        int64_t end = grains * (i + 1) / pool->threads * grain;
        atomic_store_explicit(&pool->shares[i].next, begin, memory_order_relaxed);
        begin = pool->shares[i].end = (int32_t)(end < count ? end : count);
    }
}

static void await_job(mr_pool *pool, unsigned seen) {
    for (int spin = 0; spin < SPINS; spin++) {
        if (atomic_load_explicit(&pool->epoch, memory_order_acquire) != seen) return;
        relax();
    }
    atomic_fetch_add(&pool->sleepers, 1);
    while (atomic_load(&pool->epoch) == seen) futex_wait(&pool->epoch, seen);
    atomic_fetch_sub(&pool->sleepers, 1);
}

static void *work(void *argument) {
    worker *self = argument;
    mr_pool *pool = self->pool;
    unsigned seen = 0;
    for (;;) {
        await_job(pool, seen);
        seen = atomic_load_explicit(&pool->epoch, memory_order_acquire);
        if (atomic_load_explicit(&pool->stop, memory_order_acquire)) return NULL;
        take_ranges(pool, self->index);
        if (atomic_fetch_sub(&pool->busy, 1) == 1 && atomic_load(&pool->waiting)) futex_wake(&pool->busy);
    }
}

static void publish(mr_pool *pool) {
    atomic_fetch_add(&pool->epoch, 1);
    if (atomic_load(&pool->sleepers) > 0) futex_wake(&pool->epoch);
}

void mr_pool_run(mr_pool *pool, int32_t count, int32_t grain, mr_task function, void *context) {
    if (count <= 0) return;
    if (grain < 1) grain = 1;
    if (pool->threads == 1 || count <= grain) {
        function(context, 0, count, 0);
        return;
    }
    pool->function = function;
    pool->context = context;
    divide(pool, count, grain);
    atomic_store_explicit(&pool->busy, (unsigned)pool->threads - 1, memory_order_relaxed);
    publish(pool);
    take_ranges(pool, 0);
    for (int spin = 0; spin < SPINS; spin++) {
        if (atomic_load_explicit(&pool->busy, memory_order_acquire) == 0) return;
        relax();
    }
    atomic_store(&pool->waiting, 1);
    unsigned left;
    while ((left = atomic_load(&pool->busy)) != 0) futex_wait(&pool->busy, left);
    atomic_store(&pool->waiting, 0);
}

int32_t mr_pool_threads(const mr_pool *pool) { return pool->threads; }

static void join_workers(mr_pool *pool, int32_t count) {
    atomic_store(&pool->stop, true);
    publish(pool);
    for (int32_t i = 0; i < count; i++) pthread_join(pool->workers[i].thread, NULL);
}

static void release(mr_pool *pool) {
    free(pool->workers);
    free(pool->shares);
    free(pool);
}

mr_pool *mr_pool_create(int32_t threads) {
    mr_pool *pool = NULL;
    if (posix_memalign((void **)&pool, 64, sizeof *pool) != 0) return NULL;
    memset(pool, 0, sizeof *pool);
    pool->threads = threads;
    pool->workers = calloc((size_t)threads, sizeof *pool->workers);
    size_t bytes = (size_t)threads * sizeof *pool->shares;
    if (posix_memalign((void **)&pool->shares, 64, bytes) != 0) pool->shares = NULL;
    if (pool->shares == NULL || pool->workers == NULL) {
        release(pool);
        return NULL;
    }
    for (int32_t i = 0; i < threads - 1; i++) {
        pool->workers[i] = (worker){.pool = pool, .index = i + 1};
        if (pthread_create(&pool->workers[i].thread, NULL, work, &pool->workers[i]) != 0) {
            join_workers(pool, i);
            release(pool);
            return NULL;
        }
    }
    return pool;
}

void mr_pool_destroy(mr_pool *pool) {
    join_workers(pool, pool->threads - 1);
    release(pool);
}

int32_t mr_online_cpus(void) {
#ifdef __linux__
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
#endif
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online < 1 ? 1 : (int32_t)online;
}
