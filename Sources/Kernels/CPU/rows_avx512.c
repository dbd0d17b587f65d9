// Norms and element-wise operations by AVX-512.
#include "engine.h"
#include "x86.h"
#include <math.h>

#if defined(__x86_64__)
#pragma clang attribute push(__attribute__((target(MR_TARGET_AVX512))), apply_to = function)
#include "vector_avx512.h"
#include "functions_body.h"
#include "rows_body.h"
#pragma clang attribute pop

void mr_rows_avx512(mr_kernels *kernels) {
    kernels->rms_norm = rms_norm;
    kernels->add_rms_norm = add_rms_norm;
    kernels->layer_norm = layer_norm;
    kernels->activate = activate;
    kernels->scale = scale;
    kernels->add_scaled = add_scaled;
    kernels->rotate = rotate;
}
#endif
