// Switching between stacks. One OS thread, no signal masks: a switch saves what the ABI says a call keeps.
#pragma once

#if defined(__x86_64__)

struct Fiber {
    void *stack_pointer = nullptr;
};

// Saves the callee-saved registers of the caller in `from`, continues `to` where it left off.
extern "C" void mr_emulation_switch(Fiber *from, const Fiber *to);

inline void prepare(Fiber &fiber, char *stack, unsigned long bytes, void (*entry)()) {
    // The layout that mr_emulation_switch restores: six registers, the return address. At entry the stack
    // pointer must be 8 past a multiple of 16, as after a call.
    void **top = reinterpret_cast<void **>(stack + bytes - 64);
    *--top = nullptr;
    *--top = reinterpret_cast<void *>(entry);
    for (int i = 0; i < 6; i++) *--top = nullptr;
    fiber.stack_pointer = top;
}

#else
#include <ucontext.h>

struct Fiber {
    ucontext_t context;
};

inline void mr_emulation_switch(Fiber *from, const Fiber *to) { swapcontext(&from->context, &to->context); }

inline void prepare(Fiber &fiber, char *stack, unsigned long bytes, void (*entry)()) {
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = stack;
    fiber.context.uc_stack.ss_size = bytes;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, entry, 0);
}
#endif
