// What a kernel must not do; the emulation reports it.
#include "mr.cuh"

// 0: some threads skip a barrier by returning. 1: warps wait at different barriers. 2: a lane is missing from a shuffle.
// 3: lanes are in different operations. 4: past the end of a buffer. 5: before it. 6: a write to the space between a
// buffer's end and its guard. 7: past dynamic shared memory. 8: a shuffle names a lane that has returned.
extern "C" __global__ void probe_mistake(int kind, float *buffer, long long count) {
    int t = threadIdx.x;
    switch (kind) {
    case 0:
        if (t == 7) return;
        __syncthreads();
        break;
    case 1:
        if (t < 32) __syncthreads();
        else barrier_sync<1>(64);
        break;
    case 2:
        if (t % 32 != 5) buffer[t] = __shfl_xor_sync(MR_FULL_WARP, 1.f, 1);
        else __syncthreads();
        break;
    case 3:
        if (t % 2) __syncwarp();
        else __ballot_sync(MR_FULL_WARP, 1);
        break;
    case 4: buffer[count + 64 + t] += 1; break;
    case 5: buffer[-1 - t] = 1; break;
    case 6: buffer[count] = 1; break;
    case 7: {
        MR_DYNAMIC_SHARED(float, shared);
        shared[t] = 1;
        break;
    }
    case 8:
        if (t % 32 == 3) return;
        if (t % 32 > 3) buffer[t] = __shfl_sync(0xfffffff8u, 1.f, 4);
        break;
    }
}
