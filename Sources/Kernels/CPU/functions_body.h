// exp, tanh, erf and the activation functions over vectors, to one or two units in the last place.
// Polynomials are minimax fits with their coefficients rounded to float32 one after another.
#include "engine.h"

// 2^n * e^r with |r| <= ln 2 / 2; e^r = 1 + r + r^2 q(r), q good to 3e-9 of e^r. 0 for -inf, NaN stays NaN.
INLINE vf v_exp(vf x) {
    x = v_min(v_set(89.0f), v_max(v_set(-104.5f), x));
    vf n = v_round(v_mul(x, v_set(1.44269504f)));
    vf r = v_fma(n, v_set(-0x1.62e4p-1f), x);
    r = v_fma(n, v_set(-0x1.7f7d1cp-20f), r);
    vf q = v_set(0x1.6a4b38p-10f);
    q = v_fma(q, r, v_set(0x1.12398ep-7f));
    q = v_fma(q, r, v_set(0x1.5558b2p-5f));
    q = v_fma(q, r, v_set(0x1.555492p-3f));
    q = v_fma(q, r, v_set(0x1.fffffcp-2f));
    return v_scale(v_add(v_set(1), v_fma(v_mul(r, r), q, r)), n);
}

// x + x^3 p(x^2) below 0.625 (6e-9), else 1 - 2 / (e^2x + 1).
INLINE vf v_tanh(vf x) {
    vf a = v_abs(x), z = v_mul(x, x);
    vf p = v_set(-0x1.6a4bcap-8f);
    p = v_fma(p, z, v_set(0x1.4f9766p-6f));
    p = v_fma(p, z, v_set(-0x1.b7d9fep-5f));
    p = v_fma(p, z, v_set(0x1.11044cp-3f));
    p = v_fma(p, z, v_set(-0x1.555526p-2f));
    vf small = v_fma(v_mul(x, z), p, x);
    vf large = v_sub(v_set(1), v_div(v_set(2), v_add(v_exp(v_add(a, a)), v_set(1))));
    return v_select(v_less(a, v_set(0.625f)), small, v_copy_sign(large, x));
}

// x + x p(x^2) below 1, else 1 - e^(-x q(x)); beyond 4 it is 1 to the last place.
INLINE vf v_erf(vf x) {
    vf a = v_abs(x), z = v_mul(x, x), b = v_min(v_set(4), a);
    vf p = v_set(0x1.4771fcp-14f);
    p = v_fma(p, z, v_set(-0x1.a3515ep-11f));
    p = v_fma(p, z, v_set(0x1.53f224p-8f));
    p = v_fma(p, z, v_set(-0x1.b7f71ap-6f));
    p = v_fma(p, z, v_set(0x1.ce2ce6p-4f));
    p = v_fma(p, z, v_set(-0x1.81273ep-2f));
    p = v_fma(p, z, v_set(0x1.06eba8p-3f));
    vf small = v_fma(x, p, x);
    vf q = v_set(0x1.025fbap-18f);
    q = v_fma(q, b, v_set(-0x1.0d912ap-15f));
    q = v_fma(q, b, v_set(-0x1.f3d444p-14f));
    q = v_fma(q, b, v_set(0x1.99b012p-9f));
    q = v_fma(q, b, v_set(-0x1.78c5eap-6f));
    q = v_fma(q, b, v_set(0x1.b06edap-4f));
    q = v_fma(q, b, v_set(0x1.455b2ep-1f));
    q = v_fma(q, b, v_set(0x1.20eb24p+0f));
    vf large = v_sub(v_set(1), v_exp(v_sub(v_zero(), v_mul(b, q))));
    return v_select(v_less(a, v_set(1)), small, v_copy_sign(large, x));
}

INLINE vf v_silu(vf x) { return v_div(x, v_add(v_set(1), v_exp(v_sub(v_zero(), x)))); }

INLINE vf v_gelu_tanh(vf x) {
    vf cube = v_mul(v_mul(x, x), x);
    vf inner = v_mul(v_set(0.797884560802865f), v_fma(v_set(0.044715f), cube, x));
    return v_mul(v_mul(v_set(0.5f), x), v_add(v_set(1), v_tanh(inner)));
}

INLINE vf v_gelu(vf x) {
    return v_mul(v_mul(v_set(0.5f), x), v_add(v_set(1), v_erf(v_mul(x, v_set(0.707106781186548f)))));
}

INLINE vf v_apply(mr_function function, vf x) {
    switch (function) {
    case MR_SILU: return v_silu(x);
    case MR_GELU_TANH: return v_gelu_tanh(x);
    case MR_GELU: return v_gelu(x);
    case MR_RELU: return v_max(v_zero(), x);
    }
    return x;
}
