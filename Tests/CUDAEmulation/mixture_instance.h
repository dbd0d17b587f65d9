// mixture.cu for experts of the type MR_WEIGHT_TYPE.
#define mr_mixture_route INSTANCE1(mr_mixture_route, MR_WEIGHT_TYPE)
#define mr_mixture_group INSTANCE1(mr_mixture_group, MR_WEIGHT_TYPE)
#define mr_mixture_gate_up_16 INSTANCE1(mr_mixture_gate_up_16, MR_WEIGHT_TYPE)
#define mr_mixture_gate_up_32 INSTANCE1(mr_mixture_gate_up_32, MR_WEIGHT_TYPE)
#define mr_mixture_gate_up_64 INSTANCE1(mr_mixture_gate_up_64, MR_WEIGHT_TYPE)
#define mr_mixture_down_16 INSTANCE1(mr_mixture_down_16, MR_WEIGHT_TYPE)
#define mr_mixture_down_32 INSTANCE1(mr_mixture_down_32, MR_WEIGHT_TYPE)
#define mr_mixture_down_64 INSTANCE1(mr_mixture_down_64, MR_WEIGHT_TYPE)
#define mr_mixture_add INSTANCE1(mr_mixture_add, MR_WEIGHT_TYPE)

namespace {
#include "mixture.cu"
}

EMULATE_INSTANCE(mr_mixture_route);
EMULATE_INSTANCE(mr_mixture_group);
EMULATE_INSTANCE(mr_mixture_gate_up_16);
EMULATE_INSTANCE(mr_mixture_gate_up_32);
EMULATE_INSTANCE(mr_mixture_gate_up_64);
EMULATE_INSTANCE(mr_mixture_down_16);
EMULATE_INSTANCE(mr_mixture_down_32);
EMULATE_INSTANCE(mr_mixture_down_64);
EMULATE_INSTANCE(mr_mixture_add);
