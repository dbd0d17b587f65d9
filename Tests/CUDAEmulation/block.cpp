#include "block.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <vector>

#include "fiber.h"

#if defined(__x86_64__)
asm(R"(
.text
.globl mr_emulation_switch
.type mr_emulation_switch, @function
mr_emulation_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq (%rsi), %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size mr_emulation_switch, .-mr_emulation_switch
)");
#endif

// Static shared variables lie in a section of their own (emulation.h), whose bounds the linker gives.
extern "C" unsigned char __start_mr_shared[] __attribute__((weak));
extern "C" unsigned char __stop_mr_shared[] __attribute__((weak));

namespace emulation {

Index thread_index, block_index, block_shape, grid_shape;

namespace {

constexpr unsigned max_threads = 1024;
constexpr size_t stack_bytes = 256 << 10;
constexpr size_t max_shared_bytes = 227 << 10;
constexpr size_t canary_bytes = 4096;
constexpr int barrier_count = 16;

enum class State { ready, at_barrier, in_warp, done };

struct Copy {
    void *shared;
    const void *global;
    unsigned bytes, zeros;
};

struct Barrier {
    unsigned arrived, wanted;
};

struct Thread {
    Fiber fiber;
    State state;
    Index index;
    int barrier;
    const char *barrier_name;
    unsigned votes;
    WarpOperation operation;
    std::vector<Copy> started;
    std::vector<std::vector<Copy>> groups;
};

Thread *threads = nullptr;
char *stacks = nullptr;
unsigned char *shared = nullptr;
unsigned thread_count = 0, current = 0;
Fiber scheduler;
const Launch *launch = nullptr;
jmp_buf escape;
char *message = nullptr;
size_t message_bytes = 0;
unsigned random_state = 1;
int votes[2];
Barrier barriers[barrier_count];
// Threads of each warp that are in a warp operation.
unsigned in_warp[max_threads / 32];

void leave() {
    thread_index = threads[current].index;
    mr_emulation_switch(&threads[current].fiber, &scheduler);
}

void entry() {
    launch->body(launch->args);
    threads[current].state = State::done;
    for (;;) leave();
}

void allocate() {
    if (threads != nullptr) return;
    threads = new Thread[max_threads];
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void *memory = mmap(nullptr, max_threads * stack_bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (memory == MAP_FAILED) abort();
    stacks = static_cast<char *>(memory);
    for (unsigned t = 0; t < max_threads; t++) mprotect(stacks + t * stack_bytes, 4096, PROT_NONE);
    shared = static_cast<unsigned char *>(aligned_alloc(1024, max_shared_bytes + canary_bytes));
}

size_t print_thread(char *text, size_t bytes, const Thread &thread) {
    Index i = thread.index;
    int length = 0;
    switch (thread.state) {
    case State::at_barrier:
        length = snprintf(text, bytes, "(%u,%u,%u) at %s", i.x, i.y, i.z, thread.barrier_name);
        break;
    case State::in_warp:
        length = snprintf(
            text, bytes, "(%u,%u,%u) in %s of lanes 0x%08x", i.x, i.y, i.z, thread.operation.name,
            thread.operation.mask);
        break;
    default: length = snprintf(text, bytes, "(%u,%u,%u) has returned", i.x, i.y, i.z);
    }
    return length < 0 ? 0 : static_cast<size_t>(length);
}

// Nothing can run and something waits: says who, one thread of each kind of wait.
[[noreturn]] void report_deadlock() {
    char text[1024];
    size_t used = 0;
    const Thread *shown[6];
    unsigned kinds = 0;
    for (unsigned t = 0; t < thread_count && kinds < 6; t++) {
        const Thread &thread = threads[t];
        bool is_new = true;
        for (unsigned k = 0; k < kinds && is_new; k++) {
            const Thread &other = *shown[k];
            bool same = other.state == thread.state;
            if (same && thread.state == State::at_barrier) same = other.barrier == thread.barrier;
            if (same && thread.state == State::in_warp) {
                same = other.operation.mask == thread.operation.mask &&
                       strcmp(other.operation.name, thread.operation.name) == 0;
            }
            is_new = !same;
        }
        if (!is_new) continue;
        shown[kinds++] = &thread;
        if (used + 2 >= sizeof text) break;
        used += static_cast<size_t>(snprintf(text + used, sizeof text - used, "; thread "));
        if (used < sizeof text) used += print_thread(text + used, sizeof text - used, thread);
        if (used >= sizeof text) break;
    }
    fail("its threads wait for each other for ever%s", text);
}

unsigned next_random() {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    return random_state;
}

void fill_order(unsigned order, unsigned *places) {
    for (unsigned t = 0; t < thread_count; t++) places[t] = order == 1 ? thread_count - 1 - t : t;
    if (order < 2) return;
    for (unsigned t = thread_count; t > 1; t--) {
        unsigned other = next_random() % t, kept = places[t - 1];
        places[t - 1] = places[other];
        places[other] = kept;
    }
}

void run_block(unsigned order) {
    Index shape = launch->block;
    thread_count = shape.x * shape.y * shape.z;
    if (__start_mr_shared != nullptr) {
        memset(__start_mr_shared, 0xff, static_cast<size_t>(__stop_mr_shared - __start_mr_shared));
    }
    memset(shared, 0xff, launch->shared_bytes + canary_bytes);
    votes[0] = votes[1] = 0;
    memset(barriers, 0, sizeof barriers);
    memset(in_warp, 0, sizeof in_warp);
    for (unsigned t = 0; t < thread_count; t++) {
        Thread &thread = threads[t];
        thread.state = State::ready;
        thread.votes = 0;
        thread.index = {t % shape.x, t / shape.x % shape.y, t / (shape.x * shape.y)};
        thread.started.clear();
        thread.groups.clear();
        // Tops at different distances: at one they would all fall into the same sets of the caches.
        prepare(thread.fiber, stacks + t * stack_bytes, stack_bytes - t % 256 * 320, entry);
    }
    static unsigned places[max_threads];
    for (;;) {
        bool ran = false, waits = false;
        fill_order(order, places);
        for (unsigned i = 0; i < thread_count; i++) {
            Thread &thread = threads[places[i]];
            if (thread.state == State::ready) {
                current = places[i];
                thread_index = thread.index;
                mr_emulation_switch(&scheduler, &thread.fiber);
                ran = true;
            }
            waits = waits || thread.state != State::done;
        }
        if (!waits) break;
        if (!ran) report_deadlock();
    }
    for (size_t i = 0; i < canary_bytes; i++) {
        if (shared[launch->shared_bytes + i] != 0xff) {
            fail("wrote byte %zu past its %u bytes of dynamic shared memory", i, launch->shared_bytes);
        }
    }
}

// A touched guard page: unlike other faults it ends the launch, not the process.
struct sigaction previous_action;
volatile sig_atomic_t is_running = 0;
pthread_t running_thread;

void on_fault(int signal, siginfo_t *info, void *) {
    char text[256];
    if (is_running && pthread_equal(pthread_self(), running_thread) &&
        describe_address(info->si_addr, text, sizeof text)) {
        fail("touched %s", text);
    }
    sigaction(signal, &previous_action, nullptr);
}

bool accepts(const Launch &l) {
    unsigned long count = static_cast<unsigned long>(l.block.x) * l.block.y * l.block.z;
    unsigned long blocks = static_cast<unsigned long>(l.grid.x) * l.grid.y * l.grid.z;
    return count >= 1 && count <= max_threads && l.block.z <= 64 && blocks >= 1 && l.grid.x <= 0x7fffffffu &&
           l.grid.y <= 65535 && l.grid.z <= 65535 && l.shared_bytes <= max_shared_bytes;
}

void run_blocks(unsigned order) {
    for (unsigned z = 0; z < launch->grid.z; z++) {
        for (unsigned y = 0; y < launch->grid.y; y++) {
            for (unsigned x = 0; x < launch->grid.x; x++) {
                block_index = {x, y, z};
                run_block(order);
            }
        }
    }
}

}  // namespace

void fail(const char *format, ...) {
    int used = snprintf(
        message, message_bytes, "%s, block (%u,%u,%u), thread (%u,%u,%u): ", launch->kernel, block_index.x,
        block_index.y, block_index.z, thread_index.x, thread_index.y, thread_index.z);
    va_list values;
    va_start(values, format);
    vsnprintf(message + used, message_bytes - static_cast<size_t>(used), format, values);
    va_end(values);
    longjmp(escape, 1);
}

unsigned lane_number() { return current % 32; }

unsigned char *dynamic_shared() {
    if (launch->shared_bytes == 0) fail("uses dynamic shared memory, and was launched without any");
    return shared;
}

void block_barrier(const char *name, int id, unsigned wanted) {
    if (wanted == 0) wanted = thread_count;
    if (id < 0 || id >= barrier_count) fail("%s %d: a block has barriers 0 to %d", name, id, barrier_count - 1);
    Barrier &barrier = barriers[id];
    if (barrier.arrived != 0 && barrier.wanted != wanted) {
        fail("%s %d is waited at for %u and for %u threads", name, id, wanted, barrier.wanted);
    }
    Thread &self = threads[current];
    self.state = State::at_barrier;
    self.barrier = id;
    self.barrier_name = name;
    barrier.wanted = wanted;
    if (++barrier.arrived == wanted) {
        barrier.arrived = 0;
        for (unsigned t = 0; t < thread_count; t++) {
            Thread &other = threads[t];
            if (other.state == State::at_barrier && other.barrier == id) other.state = State::ready;
        }
    }
    // Others run first even when this thread was the last: what follows must not rely on that.
    leave();
}

int block_vote(bool vote) {
    // Threads enter the next vote only after all left this one's first barrier, so two counters take turns.
    Thread &self = threads[current];
    int *votes_now = &votes[self.votes++ & 1];
    if (vote) ++*votes_now;
    block_barrier("__syncthreads_count", 0, 0);
    int result = *votes_now;
    block_barrier("__syncthreads_count", 0, 0);
    *votes_now = 0;
    return result;
}

void warp_operation(const WarpOperation &operation) {
    unsigned first = current / 32 * 32, lane = current % 32;
    if ((operation.mask >> lane & 1) == 0) {
        fail("%s of lanes 0x%08x is called by lane %u", operation.name, operation.mask, lane);
    }
    Thread &self = threads[current];
    self.state = State::in_warp;
    self.operation = operation;
    void *operands[32] = {};
    unsigned lanes = static_cast<unsigned>(__builtin_popcount(operation.mask));
    bool complete = ++in_warp[current / 32] >= lanes;
    for (unsigned l = 0; l < 32 && complete; l++) {
        if ((operation.mask >> l & 1) == 0) continue;
        const Thread &other = threads[first + l];
        // A lane may still be in an operation of fewer lanes, and come here after it.
        if (other.state != State::in_warp || other.operation.mask != operation.mask ||
            other.operation.finish != operation.finish || strcmp(other.operation.name, operation.name) != 0) {
            complete = false;
            continue;
        }
        operands[l] = other.operation.operand;
    }
    if (complete) {
        operation.finish(operands, operation.mask);
        for (unsigned l = 0; l < 32; l++) {
            if (operation.mask >> l & 1) threads[first + l].state = State::ready;
        }
        in_warp[current / 32] -= lanes;
    }
    leave();
}

void start_copy(void *target, const void *source, unsigned bytes, unsigned zeros) {
    memset(target, 0xff, bytes + zeros);
    threads[current].started.push_back({target, source, bytes, zeros});
}

void commit_copies() {
    threads[current].groups.push_back(threads[current].started);
    threads[current].started.clear();
}

void wait_for_copies(unsigned groups_left) {
    auto &groups = threads[current].groups;
    while (groups.size() > groups_left) {
        for (const Copy &copy : groups.front()) {
            if (copy.bytes != 0) memcpy(copy.shared, copy.global, copy.bytes);
            memset(static_cast<char *>(copy.shared) + copy.bytes, 0, copy.zeros);
        }
        groups.erase(groups.begin());
    }
}

bool run(const Launch &l, unsigned order, char *error, size_t error_bytes) {
    allocate();
    launch = &l;
    message = error;
    message_bytes = error_bytes;
    thread_index = {};
    block_index = {};
    block_shape = l.block;
    grid_shape = l.grid;
    random_state = order | 1;
    if (!accepts(l)) {
        snprintf(
            error, error_bytes, "%s: no device accepts a grid of (%u,%u,%u) blocks of (%u,%u,%u) threads with %u "
            "bytes of shared memory", l.kernel, l.grid.x, l.grid.y, l.grid.z, l.block.x, l.block.y, l.block.z,
            l.shared_bytes);
        return false;
    }
    struct sigaction action = {};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigemptyset(&action.sa_mask);
    sigaction(SIGSEGV, &action, &previous_action);
    running_thread = pthread_self();
    is_running = 1;
    volatile bool succeeded = false;
    if (_setjmp(escape) == 0) {
        run_blocks(order);
        succeeded = true;
    }
    is_running = 0;
    sigaction(SIGSEGV, &previous_action, nullptr);
    return succeeded && check_buffers(error, error_bytes);
}

}  // namespace emulation
