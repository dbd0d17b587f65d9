// What the x86 kernels are compiled for. Instruction sets are switched on for each function, never for a
// file, so that one binary runs everywhere.
#pragma once
#if defined(__x86_64__)
#include <immintrin.h>
#define MR_TARGET_AVX2 "avx2,fma,f16c,bmi,bmi2"
#define MR_TARGET_AVX512 MR_TARGET_AVX2 ",avx512f,avx512bw,avx512dq,avx512vl"
#define MR_TARGET_VNNI MR_TARGET_AVX512 ",avx512vnni"
#define MR_TARGET_AVX512BF16 MR_TARGET_AVX512 ",avx512bf16"
#define MR_TARGET_AMX MR_TARGET_AVX512BF16 ",avx512vnni,amx-tile,amx-bf16,amx-int8"
#endif
