// The threads of one block, as fibers.
#pragma once
#include <stddef.h>

namespace emulation {

struct Index {
    unsigned x = 0, y = 0, z = 0;
};

// A warp-wide operation that a thread waits in: `finish` runs once, in the last lane that arrives, over the
// operands of all lanes of `mask` (null for the others).
struct WarpOperation {
    const char *name;
    unsigned mask;
    void *operand;
    void (*finish)(void *const operands[32], unsigned mask);
};

// What the running thread sees.
extern Index thread_index, block_index, block_shape, grid_shape;

unsigned lane_number();
void block_barrier(const char *name, int id, unsigned threads);
// How many threads of the block bring true, after a barrier.
int block_vote(bool vote);
void warp_operation(const WarpOperation &operation);
unsigned char *dynamic_shared();

// Ends the launch: the message says what a thread did wrong.
[[noreturn]] void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

// Copies that cp.async started; they land when their group is waited for.
void start_copy(void *shared, const void *global, unsigned bytes, unsigned zeros);
void commit_copies();
void wait_for_copies(unsigned groups_left);

struct Launch {
    const char *kernel;
    Index grid, block;
    unsigned shared_bytes;
    void (*body)(void **args);
    void **args;
};

// Runs all blocks; false with a message in `error` when one fails.
bool run(const Launch &launch, unsigned order, char *error, size_t error_bytes);

// Which buffer an address belongs to or is next to, for messages; false when it is near none.
bool describe_address(const void *address, char *text, size_t bytes);
// False with a message when a kernel wrote between a buffer and its guard pages.
bool check_buffers(char *error, size_t error_bytes);

}  // namespace emulation
