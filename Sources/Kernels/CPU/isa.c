// Which instruction sets this CPU has, and the dispatch table each gives.
#define _GNU_SOURCE
#include "engine.h"
#include <string.h>
#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>
#endif

static const char *const names[MR_ISA_COUNT] = {"scalar", "avx2", "avx512", "avx512bf16", "amx"};

const char *mr_isa_name(mr_isa isa) { return isa < MR_ISA_COUNT ? names[isa] : "unknown"; }

#if defined(__x86_64__)
static bool has_vnni(void) {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512vnni");
}

// The kernel gives tile registers to processes that ask for their state to be kept.
static bool may_use_tiles(void) {
    enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 };
    __builtin_cpu_init();
#ifdef __linux__
    return __builtin_cpu_supports("amx-tile") && __builtin_cpu_supports("amx-bf16") &&
           __builtin_cpu_supports("amx-int8") &&
           syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
#else
    return false;
#endif
}
#endif

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
    case MR_ISA_AMX: return avx512 && __builtin_cpu_supports("avx512bf16") && has_vnni() && may_use_tiles();
    default: return false;
    }
#else
    return isa == MR_ISA_SCALAR;
#endif
}

// Plain C counts: it is the reference, and slow in everything.
bool mr_isa_multiplies_bytes(mr_isa isa) {
#if defined(__x86_64__)
    if (isa == MR_ISA_AVX2) return false;
    if (isa >= MR_ISA_AVX512) return has_vnni();
#endif
    return isa == MR_ISA_SCALAR;
}

bool mr_isa_multiplies_bf16(mr_isa isa) { return isa >= MR_ISA_AVX512BF16; }

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
    if (isa >= MR_ISA_AMX) {
        mr_gemm_amx(kernels);
        mr_attention_amx(kernels);
    }
#else
    (void)isa;
#endif
}
