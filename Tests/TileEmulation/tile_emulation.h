// Tile instructions as functions on a thread's eight registers, instead of those of Sources/Kernels/CPU/tiles.h; and
// names of their own for what is compiled with them.
#pragma once

#define TILE_LAYOUT(layout) mr_emulated_layout(layout)
#define TILE_ZERO(c) mr_emulated_zero(c)
#define TILE_LOAD(t, from, stride) mr_emulated_load(t, from, (size_t)(stride))
#define TILE_STORE(t, to, stride) mr_emulated_store(t, to, (size_t)(stride))
#define TILE_MULTIPLY(c, a, b) mr_emulated_multiply(c, a, b)
#define TILE_MULTIPLY_BYTES(c, a, b) mr_emulated_multiply_bytes(c, a, b)

#define mr_tiles_now mr_emulated_tiles_now
#define mr_gemm_amx mr_gemm_emulated_amx
#define mr_attention_amx mr_attention_emulated_amx

void mr_emulated_layout(const void *layout);
void mr_emulated_zero(int c);
void mr_emulated_load(int t, const void *from, size_t stride);
void mr_emulated_store(int t, void *to, size_t stride);
void mr_emulated_multiply(int c, int a, int b);
void mr_emulated_multiply_bytes(int c, int a, int b);


void mr_gemm_amx(mr_kernels *kernels);
void mr_attention_amx(mr_kernels *kernels);
