// Kernels by name.
#pragma once
#include <stddef.h>

#include <utility>

namespace emulation {

void add_kernel(const char *name, void (*body)(void **args));

// Unpacks `args` by the types of the kernel's parameters.
template <auto kernel> struct Kernel;
template <typename... Parameters, void (*kernel)(Parameters...)> struct Kernel<kernel> {
    static void call(void **args) { call(args, std::index_sequence_for<Parameters...>()); }
    template <size_t... places> static void call(void **args, std::index_sequence<places...>) {
        (void)args;
        kernel(*static_cast<Parameters *>(args[places])...);
    }
};

struct Registration {
    Registration(const char *name, void (*body)(void **args)) { add_kernel(name, body); }
};

}  // namespace emulation

// Makes a kernel known under its own name.
#define EMULATE(kernel) static emulation::Registration emulated_##kernel(#kernel, emulation::Kernel<&kernel>::call)
