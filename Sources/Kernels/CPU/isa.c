// Which instruction sets this CPU has, and the dispatch table each gives.
#include "engine.h"
#include <string.h>

static const char *const names[MR_ISA_COUNT] = {"scalar", "avx2", "avx512", "avx512bf16"};

const char *mr_isa_name(mr_isa isa) { return isa < MR_ISA_COUNT ? names[isa] : "unknown"; }

bool mr_isa_supported(mr_isa isa) {
    return isa == MR_ISA_SCALAR;
}

bool mr_isa_multiplies_bf16(mr_isa isa) { return isa == MR_ISA_AVX512BF16; }

void mr_kernels_select(mr_isa isa, mr_kernels *kernels) {
    (void)isa;
    memset(kernels, 0, sizeof *kernels);
    mr_gemm_scalar(kernels);
    mr_rows_scalar(kernels);
    mr_attention_scalar(kernels);
    mr_scan_scalar(kernels);
}
