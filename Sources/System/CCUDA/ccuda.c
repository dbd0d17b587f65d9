#include "ccuda.h"

#include <dlfcn.h>
#include <stdio.h>

static void *open_library(const char *path, int flags, char *message, size_t capacity) {
    void *library = dlopen(path, flags);
    if (!library) {
        const char *reason = dlerror();
        snprintf(message, capacity, "%s", reason ? reason : path);
    }
    return library;
}

static int find(void *library, const char *path, const char *name, void **function, char *message,
                size_t capacity) {
    *function = dlsym(library, name);
    if (*function) return 0;
    snprintf(message, capacity, "%s has no function %s: it is too old", path, name);
    return -1;
}

#define FIND(name, parameters)                                                                                \
    if (find(table->library, path, #name, (void **)&table->name, message, capacity) != 0) return -1;

int mr_cuda_driver_open(mr_cuda_driver *table, const char *path, char *message, size_t capacity) {
    table->library = open_library(path, RTLD_NOW, message, capacity);
    if (!table->library) return -1;
    MR_CUDA_DRIVER(FIND)
    return 0;
}

int mr_nvrtc_open(mr_nvrtc *table, const char *path, char *message, size_t capacity) {
    table->library = open_library(path, RTLD_NOW, message, capacity);
    if (!table->library) return -1;
    MR_CUDA_NVRTC(FIND)
    return 0;
}

int mr_cublaslt_open(mr_cublaslt *table, const char *path, char *message, size_t capacity) {
    table->library = open_library(path, RTLD_NOW, message, capacity);
    if (!table->library) return -1;
    MR_CUDA_CUBLASLT(FIND)
    return 0;
}

int mr_cuda_preload(const char *path, char *message, size_t capacity) {
    return open_library(path, RTLD_NOW | RTLD_GLOBAL, message, capacity) ? 0 : -1;
}
