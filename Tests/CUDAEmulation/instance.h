// Names of kernels that macros specialise: NAME_ and the macros' values, in the order of the macros' names.
#pragma once
#include "instructions.h"

#define INSTANCE_JOIN1(name, a) name##_##a
#define INSTANCE_JOIN3(name, a, b, c) name##_##a##_##b##_##c
#define INSTANCE_JOIN4(name, a, b, c, d) name##_##a##_##b##_##c##_##d
#define INSTANCE4(name, a, b, c, d) INSTANCE_JOIN4(name, a, b, c, d)
#define INSTANCE1(name, a) INSTANCE_JOIN1(name, a)
#define INSTANCE3(name, a, b, c) INSTANCE_JOIN3(name, a, b, c)
#define EMULATE_INSTANCE(kernel) EMULATE(kernel)
