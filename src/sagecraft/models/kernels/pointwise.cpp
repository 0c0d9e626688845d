// What surrounds the matrix products: norm, gated unit, softmax with its gradient. Each reads its input once from memory and
// writes its output once; everything between is float32 in registers or in the first cache.
//
// Legend: N rows (tokens, or tokens x heads), D columns, V vocabulary. Sums over rows are made in blocks of a fixed size and
// then in order, so the bytes do not depend on the number of threads.

#include <algorithm>
#include <cmath>

#include "common.h"

namespace {

constexpr int64_t kRows = 32;        // rows of one task: 32 x 576 bf16 are 37 KB
constexpr int64_t kSerial = 1 << 14;  // elements below which waking the threads costs more than it saves

// Gradient of the gated units: both are gate x sigmoid(u(gate)), SiLU with u the identity, GELU's tanh form
// (arXiv:1606.08415) with a cubic, since (1 + tanh y) / 2 = sigmoid(2 y).
constexpr float kGelu = 1.5957691216f, kCubic = 0.044715f;

template <bool gelu>
inline Floats inner(Floats gate) {
    return gelu ? kGelu * gate * (1.0f + kCubic * gate * gate) : gate;
}

inline Floats sigmoid(Floats x) {
    const Floats power = x * -kLog2E;
    return 1.0f / (1.0f + power_of_two(power > 126.0f ? Floats{} + 126.0f : power));
}

template <bool gelu>
inline void gate_lanes(const bf16* gate, const bf16* up, bf16* out) {
    const Floats g = load_wide(gate);
    store(out, narrow(g * sigmoid(inner<gelu>(g)) * load_wide(up)));
}

template <bool gelu>
inline void gate_lanes_backward(const bf16* grad, const bf16* gate, const bf16* up, bf16* grad_gate, bf16* grad_up) {
    const Floats g = load_wide(gate), d = load_wide(grad), s = sigmoid(inner<gelu>(g));
    const Floats rise = gelu ? kGelu * (1.0f + 3.0f * kCubic * g * g) : Floats{} + 1.0f;
    store(grad_up, narrow(d * g * s));
    store(grad_gate, narrow(d * load_wide(up) * s * (1.0f + g * (1.0f - s) * rise)));
}

template <bool gelu>
void gate_forward(const bf16* gate, const bf16* up, int64_t size, bf16* out, int num_threads) {
    const int64_t whole = size / kLanes * kLanes, rest = size - whole;
#pragma omp parallel for num_threads(num_threads) if (size > kSerial) schedule(static)
    for (int64_t i = 0; i < whole; i += kLanes) gate_lanes<gelu>(gate + i, up + i, out + i);
    if (rest > 0) {
        bf16 x[3][kLanes] = {};
        std::copy_n(gate + whole, rest, x[0]);
        std::copy_n(up + whole, rest, x[1]);
        gate_lanes<gelu>(x[0], x[1], x[2]);
        std::copy_n(x[2], rest, out + whole);
    }
}

template <bool gelu>
void gate_backward(const bf16* grad, const bf16* gate, const bf16* up, int64_t size, bf16* grad_gate, bf16* grad_up,
                   int num_threads) {
    const int64_t whole = size / kLanes * kLanes, rest = size - whole;
#pragma omp parallel for num_threads(num_threads) if (size > kSerial) schedule(static)
    for (int64_t i = 0; i < whole; i += kLanes) {
        gate_lanes_backward<gelu>(grad + i, gate + i, up + i, grad_gate + i, grad_up + i);
    }
    if (rest > 0) {
        bf16 x[5][kLanes] = {};
        std::copy_n(grad + whole, rest, x[0]);
        std::copy_n(gate + whole, rest, x[1]);
        std::copy_n(up + whole, rest, x[2]);
        gate_lanes_backward<gelu>(x[0], x[1], x[2], x[3], x[4]);
        std::copy_n(x[3], rest, grad_gate + whole);
        std::copy_n(x[4], rest, grad_up + whole);
    }
}

// One row of the norm. `from_one`: the weight is stored as its distance from one and multiplies before rounding (Gemma).
inline void norm_row(const bf16* x, const bf16* weight, int64_t size, float eps, bool from_one, bf16* out, float* scale) {
    float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
    for (int64_t d = 0; d < size; ++d) sum += widen(x[d]) * widen(x[d]);
    const float inverse = 1.0f / std::sqrt(sum / static_cast<float>(size) + eps);
    *scale = inverse;
    if (from_one) {
#pragma omp simd
        for (int64_t d = 0; d < size; ++d) out[d] = narrow(widen(x[d]) * inverse * (1.0f + widen(weight[d])));
    } else {  // rounded before the weight and after it, as the checkpoints' own code does
#pragma omp simd
        for (int64_t d = 0; d < size; ++d) out[d] = narrow(widen(narrow(widen(x[d]) * inverse)) * widen(weight[d]));
    }
}

// Gradient of one row; adds the row's share of the weight's gradient to `shares`.
inline void norm_row_backward(const bf16* grad, const bf16* x, const bf16* weight, const bf16* residual, int64_t size,
                              float one, float scale, bf16* out, float* shares) {
    float dot = 0.0f;
#pragma omp simd reduction(+ : dot)
    for (int64_t d = 0; d < size; ++d) {
        const float slope = widen(grad[d]) * scale * widen(x[d]);
        shares[d] += slope;
        dot += slope * (one + widen(weight[d]));
    }
    const float mean = dot * scale / static_cast<float>(size);
    if (residual != nullptr) {
#pragma omp simd
        for (int64_t d = 0; d < size; ++d) {
            const float own = scale * (widen(grad[d]) * (one + widen(weight[d])) - mean * widen(x[d]));
            out[d] = narrow(own + widen(residual[d]));
        }
    } else {
#pragma omp simd
        for (int64_t d = 0; d < size; ++d) {
            out[d] = narrow(scale * (widen(grad[d]) * (one + widen(weight[d])) - mean * widen(x[d])));
        }
    }
}

// Scores of one token → its loss, and in their place the slope of loss + z_weight x normaliser².
float softmax_row(bf16* scores, int64_t size, int64_t target, bool slopes, float z_weight, float* normaliser) {
    const int64_t whole = size / kLanes * kLanes;
    Floats tops = Floats{} - INFINITY, sums{};
    for (int64_t v = 0; v < whole; v += kLanes) {
        const Floats score = load_wide(scores + v);
        tops = score > tops ? score : tops;
    }
    float top = largest_of(tops);
    for (int64_t v = whole; v < size; ++v) top = widen(scores[v]) > top ? widen(scores[v]) : top;
    for (int64_t v = 0; v < whole; v += kLanes) sums += power_of_two((load_wide(scores + v) - top) * kLog2E);
    float sum = sum_of(sums);
    for (int64_t v = whole; v < size; ++v) sum += std::exp(widen(scores[v]) - top);
    const float log_sum = top + std::log(sum), score = widen(scores[target]);
    *normaliser = log_sum;
    if (slopes) {
        const float factor = 1.0f + 2.0f * z_weight * log_sum;
        for (int64_t v = 0; v < whole; v += kLanes) {
            store(scores + v, narrow(factor * power_of_two((load_wide(scores + v) - log_sum) * kLog2E)));
        }
        for (int64_t v = whole; v < size; ++v) scores[v] = narrow(factor * std::exp(widen(scores[v]) - log_sum));
        scores[target] = narrow(factor * std::exp(score - log_sum) - 1.0f);
    }
    return log_sum - score;
}

}  // namespace

extern "C" {

void gated_forward(const bf16* gate, const bf16* up, int64_t size, int gelu, bf16* out, int num_threads) {
    gelu ? gate_forward<true>(gate, up, size, out, num_threads) : gate_forward<false>(gate, up, size, out, num_threads);
}

void gated_backward(const bf16* grad, const bf16* gate, const bf16* up, int64_t size, int gelu, bf16* grad_gate, bf16* grad_up,
                    int num_threads) {
    gelu ? gate_backward<true>(grad, gate, up, size, grad_gate, grad_up, num_threads)
         : gate_backward<false>(grad, gate, up, size, grad_gate, grad_up, num_threads);
}

// x [N,D] (+ added, then also `sum`) → out [N,D], scales [N].
void norm_forward(const bf16* x, const bf16* added, const bf16* weight, int64_t rows, int64_t size, float eps, int from_one,
                  bf16* sum, bf16* out, float* scales, int num_threads) {
#pragma omp parallel for num_threads(num_threads) if (rows * size > kSerial) schedule(static)
    for (int64_t row = 0; row < rows; ++row) {
        const bf16* from = x + row * size;
        if (added != nullptr) {
            bf16* to = sum + row * size;
            const bf16* more = added + row * size;
#pragma omp simd
            for (int64_t d = 0; d < size; ++d) to[d] = narrow(widen(from[d]) + widen(more[d]));
            from = to;
        }
        norm_row(from, weight, size, eps, from_one != 0, out + row * size, scales + row);
    }
}

// grad of out, and of what else x flows into if not null → grad of x [N,D] and of the weight [D].
void norm_backward(const bf16* grad, const bf16* residual, const bf16* x, const bf16* weight, const float* scales, int64_t rows,
                   int64_t size, int from_one, bf16* out, bf16* grad_weight, int num_threads) {
    const int64_t blocks = (rows + kRows - 1) / kRows;
    const float one = from_one ? 1.0f : 0.0f;
    Scratch<float> shares(blocks * size);
#pragma omp parallel num_threads(num_threads) if (rows * size > kSerial)
    {
#pragma omp for schedule(static)
        for (int64_t block = 0; block < blocks; ++block) {
            float* share = shares.get() + block * size;
            std::fill(share, share + size, 0.0f);
            for (int64_t row = block * kRows; row < std::min(rows, (block + 1) * kRows); ++row) {
                const int64_t at = row * size;
                norm_row_backward(grad + at, x + at, weight, residual == nullptr ? nullptr : residual + at, size, one,
                                  scales[row], out + at, share);
            }
        }
#pragma omp for schedule(static)
        for (int64_t begin = 0; begin < size; begin += 64) {
            const int64_t width = std::min<int64_t>(64, size - begin);
            float sums[64] = {};
            for (int64_t block = 0; block < blocks; ++block) {
                const float* share = shares.get() + block * size + begin;
#pragma omp simd
                for (int64_t d = 0; d < width; ++d) sums[d] += share[d];
            }
            for (int64_t d = 0; d < width; ++d) grad_weight[begin + d] = narrow(sums[d]);
        }
    }
}

// scores [N,V] → losses [N] and normalisers [N]; with `slopes` the scores become the gradient.
void softmax_losses(bf16* scores, const int64_t* targets, int64_t rows, int64_t size, int slopes, float z_weight, float* losses,
                    float* normalisers, int num_threads) {
#pragma omp parallel for num_threads(num_threads) schedule(dynamic)
    for (int64_t row = 0; row < rows; ++row) {
        losses[row] = softmax_row(scores + row * size, size, targets[row], slopes != 0, z_weight, normalisers + row);
    }
}
}
