// Buffers between pages that nothing may touch.
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <map>
#include <mutex>

#include "block.h"
#include "include/CUDAEmulation.h"

namespace {

constexpr size_t page_bytes = 4096;
constexpr size_t alignment = 256;
// Untouchable space on each side.
constexpr size_t guard_bytes = 16 * page_bytes;

struct Buffer {
    unsigned char *mapping;
    size_t mapping_bytes;
    size_t bytes;
    // From the start of the buffer to the guard behind it.
    size_t reserved;
};

// Never destroyed: buffers may be freed while the process ends.
std::map<uintptr_t, Buffer> &buffers() {
    static auto *all = new std::map<uintptr_t, Buffer>;
    return *all;
}

std::mutex lock;

}  // namespace

extern "C" void *mr_emulation_allocate(size_t bytes) {
    size_t reserved = (bytes + alignment - 1) / alignment * alignment;
    size_t inner = (reserved + page_bytes - 1) / page_bytes * page_bytes;
    size_t total = inner + 2 * guard_bytes;
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void *mapping = mmap(nullptr, total, PROT_NONE, flags, -1, 0);
    if (mapping == MAP_FAILED) return nullptr;
    auto *base = static_cast<unsigned char *>(mapping);
    if (inner != 0 && mprotect(base + guard_bytes, inner, PROT_READ | PROT_WRITE) != 0) {
        munmap(mapping, total);
        return nullptr;
    }
    memset(base + guard_bytes, 0xff, inner);
    unsigned char *buffer = base + guard_bytes + inner - reserved;
    std::lock_guard<std::mutex> guard(lock);
    buffers()[reinterpret_cast<uintptr_t>(buffer)] = {base, total, bytes, reserved};
    return buffer;
}

extern "C" void mr_emulation_free(void *buffer) {
    if (buffer == nullptr) return;
    std::lock_guard<std::mutex> guard(lock);
    auto found = buffers().find(reinterpret_cast<uintptr_t>(buffer));
    if (found == buffers().end()) __builtin_trap();
    munmap(found->second.mapping, found->second.mapping_bytes);
    buffers().erase(found);
}

namespace emulation {

bool describe_address(const void *address, char *text, size_t bytes) {
    auto at = reinterpret_cast<uintptr_t>(address);
    // Without the lock: the faulting thread may hold it only in this file, which touches no guard page.
    for (const auto &[start, buffer] : buffers()) {
        auto mapping = reinterpret_cast<uintptr_t>(buffer.mapping);
        if (at < mapping || at >= mapping + buffer.mapping_bytes) continue;
        if (at < start) {
            snprintf(
                text, bytes, "%zu bytes before a buffer of %zu bytes", static_cast<size_t>(start - at),
                buffer.bytes);
        } else {
            snprintf(
                text, bytes, "byte %zu of a buffer of %zu bytes", static_cast<size_t>(at - start), buffer.bytes);
        }
        return true;
    }
    return false;
}

bool check_buffers(char *error, size_t error_bytes) {
    std::lock_guard<std::mutex> guard(lock);
    for (const auto &[start, buffer] : buffers()) {
        const auto *data = reinterpret_cast<const unsigned char *>(start);
        const unsigned char *first = buffer.mapping + guard_bytes;
        for (const unsigned char *at = first; at < data; at++) {
            if (*at == 0xff) continue;
            snprintf(
                error, error_bytes, "a kernel wrote %zu bytes before a buffer of %zu bytes",
                static_cast<size_t>(data - at), buffer.bytes);
            return false;
        }
        for (size_t i = buffer.bytes; i < buffer.reserved; i++) {
            if (data[i] == 0xff) continue;
            snprintf(error, error_bytes, "a kernel wrote byte %zu of a buffer of %zu bytes", i, buffer.bytes);
            return false;
        }
    }
    return true;
}

}  // namespace emulation
