// Scans of logits rows by AVX-512.
#include "engine.h"
#include "x86.h"
#include <math.h>

#if defined(__x86_64__)
#pragma clang attribute push(__attribute__((target(MR_TARGET_AVX512))), apply_to = function)
#include "vector_avx512.h"
#include "functions_body.h"
#include "scan_body.h"
#pragma clang attribute pop

void mr_scan_avx512(mr_kernels *kernels) {
    kernels->argmax = argmax;
    kernels->maximum = maximum;
    kernels->sum_exp = sum_exp;
    kernels->count_at_least = count_at_least;
    kernels->indices_at_least = indices_at_least;
}
#endif
