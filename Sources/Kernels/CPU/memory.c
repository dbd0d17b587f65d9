// Memory for weights, caches and scratch: mapped directly, so that pages are committed as they are touched
// and given back when released, and large spans may use huge pages.
#define _GNU_SOURCE
#include "engine.h"
#include <sys/mman.h>

void *mr_allocate(size_t bytes) {
    if (bytes == 0) bytes = 1;
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return NULL;
#ifdef MADV_HUGEPAGE
    if (bytes >= (size_t)4 << 20) madvise(memory, bytes, MADV_HUGEPAGE);
#endif
    return memory;
}

void mr_release(void *memory, size_t bytes) {
    if (memory != NULL) munmap(memory, bytes == 0 ? 1 : bytes);
}

bool mr_buffer_reserve(mr_buffer *buffer, size_t bytes) {
    if (bytes <= buffer->bytes) return true;
    size_t grown = buffer->bytes + buffer->bytes / 2;
    if (grown < bytes) grown = bytes;
    void *memory = mr_allocate(grown);
    if (memory == NULL) return false;
    mr_release(buffer->data, buffer->bytes);
    buffer->data = memory;
    buffer->bytes = grown;
    return true;
}

void mr_buffer_free(mr_buffer *buffer) {
    if (buffer->data != NULL) mr_release(buffer->data, buffer->bytes);
    buffer->data = NULL;
    buffer->bytes = 0;
}
