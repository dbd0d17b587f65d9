// Norms and element-wise operations in plain C; sums in double.
#include "engine.h"
#include "math_scalar.h"
#pragma STDC FP_CONTRACT OFF

static float inverse_rms(const float *x, float epsilon, int32_t width) {
    double sum = 0;
    for (int32_t i = 0; i < width; i++) sum += (double)x[i] * (double)x[i];
    return (float)(1 / sqrt(sum / width + (double)epsilon));
}

static void rms_norm(const float *x, const float *weight, float epsilon, float *y, int32_t width) {
    float factor = inverse_rms(x, epsilon, width);
    for (int32_t i = 0; i < width; i++) y[i] = x[i] * factor * weight[i];
}

static void add_rms_norm(const float *x, const float *weight, float epsilon, float *y, int32_t width) {
    float factor = inverse_rms(x, epsilon, width);
    for (int32_t i = 0; i < width; i++) y[i] += x[i] * factor * weight[i];
}

static void
layer_norm(const float *x, const float *weight, const float *bias, float epsilon, float *y, int32_t width) {
    double sum = 0, squares = 0;
    for (int32_t i = 0; i < width; i++) sum += (double)x[i];
    float mean = (float)(sum / width);
    for (int32_t i = 0; i < width; i++) squares += (double)(x[i] - mean) * (double)(x[i] - mean);
    float factor = (float)(1 / sqrt(squares / width + (double)epsilon));
    for (int32_t i = 0; i < width; i++) y[i] = (x[i] - mean) * factor * weight[i] + bias[i];
}

static void activate(float *x, int32_t width, mr_function function) {
    for (int32_t i = 0; i < width; i++) x[i] = mr_apply(function, x[i]);
}

static void scale(float *x, float factor, int32_t width) {
    for (int32_t i = 0; i < width; i++) x[i] *= factor;
}

static void add_scaled(const float *x, float factor, float *y, int32_t width) {
    for (int32_t i = 0; i < width; i++) y[i] += x[i] * factor;
}

static void rotate(float *head, const float *cosines, const float *sines, int32_t pairs) {
    for (int32_t i = 0; i < pairs; i++) {
        float a = head[i], b = head[i + pairs];
        head[i] = a * cosines[i] - b * sines[i];
        head[i + pairs] = b * cosines[i] + a * sines[i];
    }
}

void mr_rows_scalar(mr_kernels *kernels) {
    kernels->rms_norm = rms_norm;
    kernels->add_rms_norm = add_rms_norm;
    kernels->layer_norm = layer_norm;
    kernels->activate = activate;
    kernels->scale = scale;
    kernels->add_scaled = add_scaled;
    kernels->rotate = rotate;
}
