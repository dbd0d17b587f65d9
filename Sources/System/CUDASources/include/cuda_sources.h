// Sources/Kernels/CUDA as text, part of the program, so that it is one file and needs no folder beside it.
#pragma once

#include <stddef.h>

typedef struct {
    const char *name; // file name
    const unsigned char *text;
    size_t bytes;
} mr_cuda_source;

// nullptr for a file that is not there.
const mr_cuda_source *mr_cuda_source_named(const char *name);
