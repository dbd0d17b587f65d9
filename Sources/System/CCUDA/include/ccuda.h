// The parts of NVIDIA's driver API, NVRTC and cuBLASLt that Millrace calls, opened at run time, so that building needs
// no CUDA and a machine without a GPU runs the same program. Declarations are ours, after
// https://docs.nvidia.com/cuda/cuda-driver-api/, https://docs.nvidia.com/cuda/nvrtc/ and
// https://docs.nvidia.com/cuda/cublas/ ; names are those that the libraries export.
#pragma once

#include <stddef.h>
#include <stdint.h>

typedef uint64_t mr_cuda_address;

// X(name, parameters): every function returns an int status, 0 for success.
#define MR_CUDA_DRIVER(X)                                                                                     \
    X(cuInit, (unsigned flags))                                                                               \
    X(cuDriverGetVersion, (int *version))                                                                     \
    X(cuDeviceGetCount, (int *count))                                                                         \
    X(cuDeviceGet, (int *device, int ordinal))                                                                \
    X(cuDeviceGetName, (char *name, int capacity, int device))                                                \
    X(cuDeviceTotalMem_v2, (size_t *bytes, int device))                                                       \
    X(cuDeviceGetAttribute, (int *value, int attribute, int device))                                          \
    X(cuDevicePrimaryCtxRetain, (void **context, int device))                                                 \
    X(cuDevicePrimaryCtxRelease_v2, (int device))                                                             \
    X(cuCtxSetCurrent, (void *context))                                                                       \
    X(cuMemAlloc_v2, (mr_cuda_address *address, size_t bytes))                                                \
    X(cuMemFree_v2, (mr_cuda_address address))                                                                \
    X(cuMemGetInfo_v2, (size_t *available, size_t *total))                                                    \
    X(cuMemHostAlloc, (void **memory, size_t bytes, unsigned flags))                                          \
    X(cuMemFreeHost, (void *memory))                                                                          \
    X(cuMemcpyHtoDAsync_v2, (mr_cuda_address to, const void *from, size_t bytes, void *stream))               \
    X(cuMemcpyDtoHAsync_v2, (void *to, mr_cuda_address from, size_t bytes, void *stream))                     \
    X(cuMemcpyDtoDAsync_v2, (mr_cuda_address to, mr_cuda_address from, size_t bytes, void *stream))           \
    X(cuMemsetD8Async, (mr_cuda_address to, unsigned char value, size_t bytes, void *stream))                 \
    X(cuStreamCreate, (void **stream, unsigned flags))                                                        \
    X(cuStreamDestroy_v2, (void *stream))                                                                     \
    X(cuStreamSynchronize, (void *stream))                                                                    \
    X(cuStreamBeginCapture_v2, (void *stream, int mode))                                                      \
    X(cuStreamEndCapture, (void *stream, void **graph))                                                       \
    X(cuGraphInstantiateWithFlags, (void **executable, void *graph, unsigned long long flags))                \
    X(cuGraphLaunch, (void *executable, void *stream))                                                        \
    X(cuGraphExecDestroy, (void *executable))                                                                 \
    X(cuGraphDestroy, (void *graph))                                                                          \
    X(cuModuleLoadData, (void **module, const void *image))                                                   \
    X(cuModuleUnload, (void *module))                                                                         \
    X(cuModuleGetFunction, (void **function, void *module, const char *name))                                 \
    X(cuFuncSetAttribute, (void *function, int attribute, int value))                                         \
    X(cuLaunchKernel, (void *function, unsigned gridX, unsigned gridY, unsigned gridZ, unsigned blockX,       \
                       unsigned blockY, unsigned blockZ, unsigned sharedBytes, void *stream, void **arguments, \
                       void **extra))                                                                         \
    X(cuEventCreate, (void **event, unsigned flags))                                                          \
    X(cuEventRecord, (void *event, void *stream))                                                             \
    X(cuEventSynchronize, (void *event))                                                                      \
    X(cuEventElapsedTime, (float *milliseconds, void *start, void *end))                                      \
    X(cuEventDestroy_v2, (void *event))                                                                       \
    X(cuGetErrorName, (int error, const char **name))                                                         \
    X(cuGetErrorString, (int error, const char **text))

#define MR_CUDA_NVRTC(X)                                                                                      \
    X(nvrtcVersion, (int *major, int *minor))                                                                 \
    X(nvrtcCreateProgram, (void **program, const char *source, const char *name, int headerCount,             \
                           const char *const *headers, const char *const *headerNames))                       \
    X(nvrtcDestroyProgram, (void **program))                                                                  \
    X(nvrtcCompileProgram, (void *program, int optionCount, const char *const *options))                      \
    X(nvrtcGetCUBINSize, (void *program, size_t *bytes))                                                      \
    X(nvrtcGetCUBIN, (void *program, char *cubin))                                                            \
    X(nvrtcGetProgramLogSize, (void *program, size_t *bytes))                                                 \
    X(nvrtcGetProgramLog, (void *program, char *log))

// An algorithm that cuBLASLt chose for one product; opaque, copied by value (cublasLtMatmulHeuristicResult_t).
typedef struct {
    uint64_t algorithm[8];
    size_t workspace_bytes;
    int state;
    float waves;
    int reserved[4];
} mr_cublaslt_choice;

#define MR_CUDA_CUBLASLT(X)                                                                                   \
    X(cublasLtCreate, (void **handle))                                                                        \
    X(cublasLtDestroy, (void *handle))                                                                        \
    X(cublasLtMatmulDescCreate, (void **description, int computeType, int scaleType))                         \
    X(cublasLtMatmulDescSetAttribute, (void *description, int attribute, const void *value, size_t bytes))    \
    X(cublasLtMatmulDescDestroy, (void *description))                                                         \
    X(cublasLtMatrixLayoutCreate, (void **layout, int type, uint64_t rows, uint64_t columns, int64_t stride)) \
    X(cublasLtMatrixLayoutDestroy, (void *layout))                                                            \
    X(cublasLtMatmulPreferenceCreate, (void **preference))                                                    \
    X(cublasLtMatmulPreferenceSetAttribute, (void *preference, int attribute, const void *value,              \
                                             size_t bytes))                                                   \
    X(cublasLtMatmulPreferenceDestroy, (void *preference))                                                    \
    X(cublasLtMatmulAlgoGetHeuristic, (void *handle, void *description, void *a, void *b, void *c, void *d,   \
                                       void *preference, int wanted, mr_cublaslt_choice *choices,             \
                                       int *found))                                                           \
    X(cublasLtMatmul, (void *handle, void *description, const void *alpha, mr_cuda_address a, void *layoutA,  \
                       mr_cuda_address b, void *layoutB, const void *beta, mr_cuda_address c, void *layoutC,  \
                       mr_cuda_address d, void *layoutD, const uint64_t *algorithm, mr_cuda_address workspace, \
                       size_t workspaceBytes, void *stream))

#define MR_CUDA_FIELD(name, parameters) int(*name) parameters;
typedef struct {
    void *library;
    MR_CUDA_DRIVER(MR_CUDA_FIELD)
} mr_cuda_driver;
typedef struct {
    void *library;
    MR_CUDA_NVRTC(MR_CUDA_FIELD)
} mr_nvrtc;
typedef struct {
    void *library;
    MR_CUDA_CUBLASLT(MR_CUDA_FIELD)
} mr_cublaslt;
#undef MR_CUDA_FIELD

// Each opens the library at `path` (a file, or a name for the loader) and finds its functions. Returns 0, or -1 and
// writes what failed to `message` (a library or a function that is not there). Libraries stay open.
int mr_cuda_driver_open(mr_cuda_driver *driver, const char *path, char *message, size_t capacity);
int mr_nvrtc_open(mr_nvrtc *nvrtc, const char *path, char *message, size_t capacity);
int mr_cublaslt_open(mr_cublaslt *cublaslt, const char *path, char *message, size_t capacity);
// Loads a library so that others find it by its name: NVRTC's builtins, which it opens when it compiles.
int mr_cuda_preload(const char *path, char *message, size_t capacity);
