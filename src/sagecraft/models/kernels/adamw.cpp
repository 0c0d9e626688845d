// AdamW (arXiv:1711.05101) over a whole model in two passes: one that measures the gradient, one that reads gradient, master
// and moments, and writes master, moments and the model's own copy. The step is bound by memory: 30 bytes a parameter.

#include <cmath>
#include <vector>

#include "common.h"

namespace {

constexpr int64_t kChunk = 1 << 15;  // elements of one task; also the unit in which the norm is summed, whatever the threads

struct Chunk {
    int64_t tensor, begin, size;
};

std::vector<Chunk> cut(const int64_t* sizes, int64_t count) {
    std::vector<Chunk> chunks;
    for (int64_t tensor = 0; tensor < count; ++tensor) {
        for (int64_t begin = 0; begin < sizes[tensor]; begin += kChunk) {
            chunks.push_back({tensor, begin, sizes[tensor] - begin < kChunk ? sizes[tensor] - begin : kChunk});
        }
    }
    return chunks;
}

inline float read(const bf16* x, int64_t i) { return widen(x[i]); }
inline float read(const float* x, int64_t i) { return x[i]; }
inline void write(bf16* x, int64_t i, float value) { x[i] = narrow(value); }
inline void write(float* x, int64_t i, float value) { x[i] = value; }

template <typename T>
double squares_of(const T* grad, int64_t size) {
    double total = 0.0;
    for (int64_t begin = 0; begin < size; begin += 1024) {  // float32 within, float64 across: no loss, full speed
        const int64_t end = begin + 1024 < size ? begin + 1024 : size;
        float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
        for (int64_t i = begin; i < end; ++i) sum += read(grad, i) * read(grad, i);
        total += sum;
    }
    return total;
}

struct Rates {
    float factor, decay, rest1, beta2, rest2, step_size, root, eps;
};

template <typename Grad, typename Copy>
void move(float* master, float* mean, float* square, const Grad* grad, Copy* copy, int64_t size, const Rates& r) {
#pragma omp simd
    for (int64_t i = 0; i < size; ++i) {
        const float g = read(grad, i) * r.factor;
        const float m = mean[i] + r.rest1 * (g - mean[i]);
        const float v = r.beta2 * square[i] + r.rest2 * g * g;
        const float moved = master[i] * r.decay - r.step_size * m / (std::sqrt(v) / r.root + r.eps);
        mean[i] = m;
        square[i] = v;
        master[i] = moved;
        write(copy, i, moved);
    }
}

}  // namespace

extern "C" {

// Sum of the squares of all gradients. `narrow_grads[t]`: gradient t is bf16, else float32.
double gradient_squares(void* const* grads, const int64_t* sizes, const uint8_t* narrow_grads, int64_t count, int num_threads) {
    const auto chunks = cut(sizes, count);
    std::vector<double> sums(chunks.size());
#pragma omp parallel for num_threads(num_threads) schedule(static)
    for (size_t i = 0; i < chunks.size(); ++i) {
        const auto [tensor, begin, size] = chunks[i];
        sums[i] = narrow_grads[tensor] ? squares_of(static_cast<const bf16*>(grads[tensor]) + begin, size)
                                       : squares_of(static_cast<const float*>(grads[tensor]) + begin, size);
    }
    double total = 0.0;
    for (const double sum : sums) total += sum;
    return total;
}

// One step with gradients multiplied by `factor`; the model's copies are bf16 where `narrow_copies[t]`, else float32.
void adamw_step(float* const* masters, float* const* means, float* const* squares, void* const* grads, void* const* copies,
                const int64_t* sizes, const uint8_t* narrow_grads, const uint8_t* narrow_copies, int64_t count,
                const double* decays, const double* steps, double learning_rate, double beta1, double beta2, double eps,
                double factor, int num_threads) {
    const auto chunks = cut(sizes, count);
#pragma omp parallel for num_threads(num_threads) schedule(static)
    for (size_t i = 0; i < chunks.size(); ++i) {
        const auto [t, begin, size] = chunks[i];
        const Rates rates{static_cast<float>(factor),
                          static_cast<float>(1.0 - learning_rate * decays[t]),
                          static_cast<float>(1.0 - beta1),
                          static_cast<float>(beta2),
                          static_cast<float>(1.0 - beta2),
                          static_cast<float>(learning_rate / (1.0 - std::pow(beta1, steps[t]))),
                          static_cast<float>(std::sqrt(1.0 - std::pow(beta2, steps[t]))),
                          static_cast<float>(eps)};
        float *master = masters[t] + begin, *mean = means[t] + begin, *square = squares[t] + begin;
        const auto* narrow_grad = static_cast<const bf16*>(grads[t]) + begin;
        const auto* wide_grad = static_cast<const float*>(grads[t]) + begin;
        auto* narrow_copy = static_cast<bf16*>(copies[t]) + begin;
        auto* wide_copy = static_cast<float*>(copies[t]) + begin;
        if (narrow_grads[t] && narrow_copies[t]) move(master, mean, square, narrow_grad, narrow_copy, size, rates);
        if (!narrow_grads[t] && narrow_copies[t]) move(master, mean, square, wide_grad, narrow_copy, size, rates);
        if (narrow_grads[t] && !narrow_copies[t]) move(master, mean, square, narrow_grad, wide_copy, size, rates);
        if (!narrow_grads[t] && !narrow_copies[t]) move(master, mean, square, wide_grad, wide_copy, size, rates);
    }
}
}
