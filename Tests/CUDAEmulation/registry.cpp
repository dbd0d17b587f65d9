#include "registry.h"

#include <stdio.h>
#include <string.h>
#include <map>
#include <mutex>
#include <string>

#include "block.h"
#include "include/CUDAEmulation.h"

namespace {

std::map<std::string, void (*)(void **)> &kernels() {
    static auto *all = new std::map<std::string, void (*)(void **)>;
    return *all;
}

std::mutex launching;
thread_local unsigned order = 0;
thread_local char error[2048];

}  // namespace

void emulation::add_kernel(const char *name, void (*body)(void **args)) {
    // Two kernels of one name would hide one another.
    if (!kernels().emplace(name, body).second) __builtin_trap();
}

extern "C" const char *mr_emulation_error(void) { return error; }

extern "C" void mr_emulation_order(unsigned seed) {
    order = seed;
}

extern "C" int mr_emulation_has(const char *kernel) { return kernels().count(kernel) != 0; }

extern "C" int mr_emulate(
    const char *kernel, unsigned gridX, unsigned gridY, unsigned gridZ, unsigned blockX, unsigned blockY,
    unsigned blockZ, unsigned sharedBytes, void **args) {
    std::lock_guard<std::mutex> guard(launching);
    error[0] = 0;
    auto found = kernels().find(kernel);
    if (found == kernels().end()) {
        snprintf(error, sizeof error, "there is no kernel '%s' in the emulation", kernel);
        return 1;
    }
    emulation::Launch launch = {kernel, {gridX, gridY, gridZ}, {blockX, blockY, blockZ}, sharedBytes,
                                found->second, args};
    return emulation::run(launch, order, error, sizeof error) ? 0 : 1;
}
