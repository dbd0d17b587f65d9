// Which instruction sets this CPU has, and the dispatch table each gives.
#include "engine.h"
#include <string.h>

static const char *const names[MR_ISA_COUNT] = {"scalar", "avx2", "avx512", "avx512bf16"};

const char *mr_isa_name(mr_isa isa) { return isa < MR_ISA_COUNT ? names[isa] : "unknown"; }

bool mr_isa_supported(mr_isa isa) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                __builtin_cpu_supports("f16c") && __builtin_cpu_supports("bmi") &&
                __builtin_cpu_supports("bmi2");
    bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    switch (isa) {
    case MR_ISA_SCALAR: return true;
    case MR_ISA_AVX2: return avx2;
    case MR_ISA_AVX512: return avx512;
    case MR_ISA_AVX512BF16: return avx512 && __builtin_cpu_supports("avx512bf16");
    default: return false;
    }
#else
    return isa == MR_ISA_SCALAR;
#endif
}

#if defined(__x86_64__)
static bool has_vnni(void) {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512vnni");
}
#endif

// Plain C counts: it is the reference, and slow in everything.
bool mr_isa_multiplies_bytes(mr_isa isa) {
#if defined(__x86_64__)
    if (isa == MR_ISA_AVX2) return false;
    if (isa >= MR_ISA_AVX512) return has_vnni();
#endif
    return isa == MR_ISA_SCALAR;
}

bool mr_isa_multiplies_bf16(mr_isa isa) { return isa == MR_ISA_AVX512BF16; }

void mr_kernels_select(mr_isa isa, mr_kernels *kernels) {
    memset(kernels, 0, sizeof *kernels);
    mr_gemm_scalar(kernels);
    mr_rows_scalar(kernels);
    mr_attention_scalar(kernels);
    mr_scan_scalar(kernels);
    mr_bytes_scalar(kernels);
    mr_peaks_scalar(kernels);
#if defined(__x86_64__)
    if (isa >= MR_ISA_AVX2) {
        mr_gemm_avx2(kernels);
        mr_rows_avx2(kernels);
        mr_attention_avx2(kernels);
        mr_scan_avx2(kernels);
    }
    if (isa >= MR_ISA_AVX512) {
        mr_gemm_avx512(kernels);
        mr_rows_avx512(kernels);
        mr_attention_avx512(kernels);
        mr_scan_avx512(kernels);
    }
    if (isa >= MR_ISA_AVX512 && has_vnni()) mr_bytes_vnni(kernels);
    if (isa >= MR_ISA_AVX512BF16) {
        mr_gemm_avx512bf16(kernels);
        mr_attention_avx512bf16(kernels);
    }
#else
    (void)isa;
#endif
}
