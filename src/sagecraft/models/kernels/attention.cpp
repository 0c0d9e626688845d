// Causal attention over sequences laid end to end, with rotary positions and grouped key-value heads, forward and backward.
//
// The method is FlashAttention's (arXiv:2205.14135, 2307.08691): blocks of scores live in the cache, only the logarithm of each
// row's normaliser is kept, and the backward pass makes the scores again. What is particular to this file:
//   - the products of blocks are oneDNN's small ones (which use AMX or AVX512-bf16), called through a pointer;
//   - the backward pass makes the scores transposed, so that the weights and their gradients are left operands as they
//     stand, and only the operand that needs it is written a second time in pairs of rows;
//   - queries and keys are turned while they are packed, and the gradients are turned back while they are written out.
//
// Legend: N tokens, H query heads, G key-value heads, K head size, P = K rounded up to 16, W width of a block of keys, M rows of
// a block of queries. A right operand of a product is stored in pairs of rows, [rows/2][columns][2].
// Every output element is written by one task in a fixed order: the bytes do not depend on the number of threads.

#include <omp.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <memory>
#include <numeric>
#include <vector>

#include "common.h"

namespace {

using Product = void (*)(int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, bool, const bf16*, const bf16*, float*, bool);
using Release = void (*)(bool);

Product product = nullptr;
Release release = nullptr;

constexpr int64_t kBlock = 64;   // rows of a block of scores, and its columns in the backward pass
constexpr int64_t kKeys = 256;   // columns of a block in the forward pass: each row's maximum and sum are found once a block
constexpr int64_t kGrain = 16;   // a sequence is padded to this, so that few shapes of products exist
static_assert(kGrain == kLanes && kKeys % kBlock == 0);

struct Shape {
    int64_t num_pieces, num_heads, num_groups, head_size, window;
    float scale;
    const int64_t* boundaries;
    int64_t padded_size() const { return round_up(head_size, kGrain); }
    int64_t num_tokens() const { return boundaries[num_pieces]; }
    int64_t length(int64_t piece) const { return boundaries[piece + 1] - boundaries[piece]; }
};

// A block of one sequence: `begin` and `end` count within it, `width` is the padded size.
struct Block {
    int64_t piece, begin, end, width, padded;  // padded: where its rows start when every sequence is padded
};

std::vector<Block> cut(const Shape& shape, int64_t size) {
    std::vector<Block> blocks;
    int64_t padded = 0;
    for (int64_t piece = 0; piece < shape.num_pieces; ++piece) {
        const int64_t length = shape.length(piece);
        for (int64_t begin = 0; begin < length; begin += size) {
            const int64_t end = std::min(begin + size, length);
            const int64_t width = round_up(end - begin, kGrain);
            blocks.push_back({piece, begin, end, width, padded});
            padded += width;
        }
    }
    return blocks;
}

// First block of each sequence, and one past the last.
std::vector<int64_t> firsts(const Shape& shape, const std::vector<Block>& blocks) {
    std::vector<int64_t> first(shape.num_pieces + 1, static_cast<int64_t>(blocks.size()));
    for (int64_t i = static_cast<int64_t>(blocks.size()) - 1; i >= 0; --i) first[blocks[i].piece] = i;
    for (int64_t piece = shape.num_pieces - 1; piece >= 0; --piece) first[piece] = std::min(first[piece], first[piece + 1]);
    return first;
}

int64_t padded_tokens(const std::vector<Block>& blocks) {
    return blocks.empty() ? 0 : blocks.back().padded + blocks.back().width;
}

// Rows [begin, end) of one head, turned by their angles if there are any, as [width][P] with zeros where there is nothing.
void load_rows(const bf16* x, const bf16* cosine, const bf16* sine, int64_t stride, const Block& block, int64_t origin,
               const Shape& shape, bf16* out) {
    const int64_t size = shape.head_size, padded = shape.padded_size(), half = size / 2;
    for (int64_t row = 0; row < block.width; ++row) {
        bf16* to = out + row * padded;
        if (row >= block.end - block.begin) {
            std::memset(to, 0, sizeof(bf16) * padded);
            continue;
        }
        const int64_t token = origin + block.begin + row;
        const bf16* from = x + token * stride;
        if (cosine == nullptr) {
            std::memcpy(to, from, sizeof(bf16) * size);
        } else {
            const bf16 *c = cosine + token * size, *s = sine + token * size;
#pragma omp simd
            for (int64_t k = 0; k < half; ++k) {
                const float a = widen(from[k]), b = widen(from[k + half]);
                to[k] = narrow(a * widen(c[k]) - b * widen(s[k]));
                to[k + half] = narrow(b * widen(c[k + half]) + a * widen(s[k + half]));
            }
        }
        for (int64_t k = size; k < padded; ++k) to[k] = 0;
    }
}

// The gradient of `load_rows` for one row: turns back and rounds.
void store_row(const float* grad, const bf16* cosine, const bf16* sine, int64_t token, int64_t size, bf16* to) {
    const int64_t half = size / 2;
    const bf16 *c = cosine + token * size, *s = sine + token * size;
#pragma omp simd
    for (int64_t k = 0; k < half; ++k) {
        const float a = grad[k], b = grad[k + half];
        to[k] = narrow(a * widen(c[k]) + b * widen(s[k + half]));
        to[k + half] = narrow(b * widen(c[k + half]) - a * widen(s[k]));
    }
}

// [rows][columns] → right operand [rows/2][columns][2].
void pair_rows(const bf16* x, int64_t rows, int64_t columns, bf16* out) {
    for (int64_t row = 0; row < rows; row += 2) {
        const bf16 *a = x + row * columns, *b = a + columns;
        auto* to = reinterpret_cast<uint32_t*>(out + row * columns);
#pragma omp simd
        for (int64_t k = 0; k < columns; ++k) to[k] = static_cast<uint32_t>(a[k]) | (static_cast<uint32_t>(b[k]) << 16);
    }
}

// [rows][columns] → its transpose as a right operand [columns/2][rows][2]: a transposition of 32-bit words.
void pair_columns(const bf16* x, int64_t rows, int64_t columns, bf16* out) {
    const auto* from = reinterpret_cast<const uint32_t*>(x);
    auto* to = reinterpret_cast<uint32_t*>(out);
    const int64_t words = columns / 2;
    for (int64_t base = 0; base < rows; base += kGrain) {
        for (int64_t k = 0; k < words; ++k) {
            for (int64_t row = base; row < base + kGrain; ++row) to[k * rows + row] = from[row * words + k];
        }
    }
}

template <typename T>
void transpose(const T* x, int64_t rows, int64_t columns, T* out) {
    for (int64_t base = 0; base < rows; base += kGrain) {
        for (int64_t k = 0; k < columns; ++k) {
            for (int64_t row = base; row < base + kGrain; ++row) out[k * rows + row] = x[row * columns + k];
        }
    }
}

// Does a query block see a key block at all, and does every one of its queries see every key?
bool sees(const Shape& shape, const Block& q, const Block& k) {
    return k.begin < q.end && (shape.window <= 0 || k.end - 1 > q.begin - shape.window);
}
bool sees_all(const Shape& shape, const Block& q, const Block& k) {
    return k.end - 1 <= q.begin && (shape.window <= 0 || k.begin > q.end - 1 - shape.window);
}

// One row of scores → weights in bf16, of which [low, high) may be non-zero, with the running maximum (of scores that are not
// scaled yet) and sum. `scale` contains log2(e): weights are powers of two. Returns the factor for what was summed before.
float weigh_row(float* scores, int64_t width, int64_t low, int64_t high, float scale, float& top, float& sum, bf16* weights) {
    const Floats none = Floats{} - INFINITY;
    const int64_t first = low / kLanes * kLanes, last = round_up(high, kLanes);
    Floats largest = none;
    for (int64_t k = first; k < last; k += kLanes) {
        Floats score = load<Floats>(scores + k);
        if (k < low || k + kLanes > high) {
            const Ints lane = lanes_from(k);
            score = (lane >= static_cast<int32_t>(low)) & (lane < static_cast<int32_t>(high)) ? score : none;
            store(scores + k, score);
        }
        largest = score > largest ? score : largest;
    }
    const float before = top, found = last > first ? largest_of(largest) : -INFINITY;
    if (found == -INFINITY) {  // a window that none of this block's keys is in
        std::memset(weights, 0, sizeof(bf16) * width);
        return 1.0f;
    }
    top = found > before ? found : before;
    const float origin = top * scale;
    Floats total{};
    for (int64_t k = 0; k < width; k += kLanes) {
        if (k < first || k >= last) {
            store(weights + k, Halves{});
            continue;
        }
        const Floats score = load<Floats>(scores + k);
        Floats weight = power_of_two(score * scale - origin);
        if (k < low || k + kLanes > high) weight = score == none ? Floats{} : weight;
        total += weight;
        store(weights + k, narrow(weight));
    }
    const float factor = before == -INFINITY ? 0.0f : before == top ? 1.0f : std::exp2((before - top) * scale);
    sum = sum * factor + sum_of(total);
    return factor;
}

// Workspace of one thread for one block of queries.
struct ForwardSpace {
    Scratch<bf16> rows, weights;
    Scratch<float> scores, mixed;
    explicit ForwardSpace(int64_t padded)
        : rows(kKeys * padded), weights(kBlock * kKeys), scores(kBlock * kKeys), mixed(kBlock * padded) {}
};

struct Packed {
    const bf16 *keys, *values;  // one group's right operands, block by block
};

void attend(const Shape& shape, const Block* first, const Block* last, const Block& q, const Packed& packed,
            const bf16* query_head, const bf16* cosine, const bf16* sine, ForwardSpace& space, bf16* out, float* normaliser) {
    const int64_t size = shape.head_size, padded = shape.padded_size(), stride = shape.num_heads * size;
    const int64_t origin = shape.boundaries[q.piece], rows = q.end - q.begin;
    float top[kBlock], sum[kBlock];
    std::fill(top, top + kBlock, -INFINITY);
    std::fill(sum, sum + kBlock, 0.0f);
    load_rows(query_head, cosine, sine, stride, q, origin, shape, space.rows.get());
    bool started = false;
    for (const Block* k = first; k < last && k->begin < q.end; ++k) {
        if (!sees(shape, q, *k)) continue;
        const int64_t width = std::min(k->width, round_up(q.end - k->begin, kGrain));  // keys behind the last query: none
        product(q.width, width, padded, padded, k->width, kKeys, false, space.rows.get(), packed.keys + k->padded * padded,
                space.scores.get(), true);
        for (int64_t row = 0; row < rows; ++row) {
            const int64_t position = q.begin + row;
            const int64_t high = std::min(k->end, position + 1) - k->begin;
            const int64_t low = shape.window > 0 ? std::max<int64_t>(0, position - shape.window + 1 - k->begin) : 0;
            const float factor = weigh_row(space.scores.get() + row * kKeys, width, low, high, shape.scale * kLog2E, top[row],
                                           sum[row], space.weights.get() + row * kKeys);
            if (factor == 1.0f || !started) continue;
            float* mixed = space.mixed.get() + row * padded;
#pragma omp simd
            for (int64_t d = 0; d < padded; ++d) mixed[d] *= factor;
        }
        product(q.width, padded, width, kKeys, padded, padded, started, space.weights.get(),
                packed.values + k->padded * padded, space.mixed.get(), true);
        started = true;
    }
    for (int64_t row = 0; row < rows; ++row) {
        const int64_t token = origin + q.begin + row;
        const float inverse = 1.0f / sum[row];
        const float* mixed = space.mixed.get() + row * padded;
        bf16* to = out + token * stride;
#pragma omp simd
        for (int64_t d = 0; d < size; ++d) to[d] = narrow(mixed[d] * inverse);
        normaliser[token] = top[row] * shape.scale + std::log(sum[row]);
    }
}

// Keys and values of one group as the backward pass needs them.
struct Group {
    const bf16 *keys, *keys_transposed, *values;
};

// Workspace of one thread for one head of one sequence.
struct BackwardSpace {
    Scratch<bf16> rows, queries_t, queries, slopes_t, slopes;  // queries and output gradients as right operands, both ways
    Scratch<bf16> weights, score_slopes, score_slopes_paired;
    Scratch<float> scores, weight_slopes, normalisers, products, grad_queries, turned;
    BackwardSpace(int64_t tokens, int64_t padded)
        : rows(kBlock * padded), queries_t(tokens * padded), queries(tokens * padded), slopes_t(tokens * padded),
          slopes(tokens * padded), weights(kBlock * kBlock), score_slopes(kBlock * kBlock),
          score_slopes_paired(kBlock * kBlock), scores(kBlock * kBlock), weight_slopes(kBlock * kBlock),
          normalisers(tokens), products(tokens), grad_queries(tokens * padded), turned(kBlock * padded) {}
};

struct Head {
    const bf16 *queries, *out, *grad_out, *cosine, *sine;  // at this head's first column
    const float* normaliser;
    bf16* grad_queries;
    float *grad_keys, *grad_values;  // this head's share, [padded tokens][P]
};

void load_queries(const Shape& shape, const Block* first, const Block* last, const Head& head, BackwardSpace& space) {
    const int64_t size = shape.head_size, padded = shape.padded_size(), stride = shape.num_heads * size;
    const int64_t origin = shape.boundaries[first->piece];
    for (const Block* q = first; q < last; ++q) {
        const int64_t at = (q->padded - first->padded), offset = at * padded;
        load_rows(head.queries, head.cosine, head.sine, stride, *q, origin, shape, space.rows.get());
        pair_columns(space.rows.get(), q->width, padded, space.queries_t.get() + offset);
        pair_rows(space.rows.get(), q->width, padded, space.queries.get() + offset);
        load_rows(head.grad_out, nullptr, nullptr, stride, *q, origin, shape, space.rows.get());
        pair_columns(space.rows.get(), q->width, padded, space.slopes_t.get() + offset);
        pair_rows(space.rows.get(), q->width, padded, space.slopes.get() + offset);
        for (int64_t row = 0; row < q->width; ++row) {
            const int64_t token = origin + q->begin + row;
            float dot = 0.0f;
            if (row < q->end - q->begin) {
                const bf16 *a = head.grad_out + token * stride, *b = head.out + token * stride;
#pragma omp simd reduction(+ : dot)
                for (int64_t d = 0; d < size; ++d) dot += widen(a[d]) * widen(b[d]);
            }
            space.products.get()[at + row] = dot * shape.scale;
            // as a power of two; padded queries have no scores and no gradient: any finite normaliser gives nothing
            space.normalisers.get()[at + row] = row < q->end - q->begin ? head.normaliser[token] * kLog2E : 0.0f;
        }
    }
}

// Scores and weight slopes (transposed, [W][M]) → weights and score slopes in bf16, the latter also in pairs of rows.
void slope_block(const Shape& shape, const Block& q, const Block& k, const float* normaliser, const float* dots,
                 BackwardSpace& space) {
    const int64_t width = q.width;
    const float scale = shape.scale * kLog2E;
    const bool all = sees_all(shape, q, k);
    for (int64_t row = 0; row < k.width; row += 2) {
        // the queries that see this key: from its own position on, and not beyond the window
        const int32_t low = static_cast<int32_t>(k.begin + row - q.begin);
        const int32_t high = shape.window > 0 ? low + static_cast<int32_t>(shape.window) : static_cast<int32_t>(width);
        for (int64_t m = 0; m < width; m += kLanes) {
            const Floats normalisers = load<Floats>(normaliser + m), products = load<Floats>(dots + m);
            const Ints lane = lanes_from(m);
            Words paired{};
            for (int32_t r = 0; r < 2; ++r) {
                const int64_t at = (row + r) * width + m;
                Floats weight = power_of_two(load<Floats>(space.scores.get() + at) * scale - normalisers);
                if (!all) weight = (lane >= low + r) & (lane < high + (shape.window > 0 ? r : 0)) ? weight : Floats{};
                const Floats slope = weight * (load<Floats>(space.weight_slopes.get() + at) * shape.scale - products);
                const Halves rounded = narrow(slope);
                store(space.weights.get() + at, narrow(weight));
                store(space.score_slopes.get() + at, rounded);
                paired |= __builtin_convertvector(rounded, Words) << (16 * r);
            }
            store(space.score_slopes_paired.get() + row * width + 2 * m, paired);
        }
    }
}

void attend_backward(const Shape& shape, const Block* first, const Block* last, const Group& group, const Head& head,
                     BackwardSpace& space) {
    const int64_t padded = shape.padded_size();
    const int64_t tokens = (last - 1)->padded + (last - 1)->width - first->padded;
    load_queries(shape, first, last, head, space);
    std::memset(space.grad_queries.get(), 0, sizeof(float) * tokens * padded);
    for (const Block* k = first; k < last; ++k) {
        float *grad_keys = head.grad_keys + k->padded * padded, *grad_values = head.grad_values + k->padded * padded;
        bool started = false;
        for (const Block* q = k; q < last; ++q) {
            if (!sees(shape, *q, *k)) break;
            const int64_t at = q->padded - first->padded, offset = at * padded;
            product(k->width, q->width, padded, padded, q->width, q->width, false, group.keys + k->padded * padded,
                    space.queries_t.get() + offset, space.scores.get(), true);
            product(k->width, q->width, padded, padded, q->width, q->width, false, group.values + k->padded * padded,
                    space.slopes_t.get() + offset, space.weight_slopes.get(), true);
            slope_block(shape, *q, *k, space.normalisers.get() + at, space.products.get() + at, space);
            product(k->width, padded, q->width, q->width, padded, padded, started, space.weights.get(),
                    space.slopes.get() + offset, grad_values, true);
            product(k->width, padded, q->width, q->width, padded, padded, started, space.score_slopes.get(),
                    space.queries.get() + offset, grad_keys, true);
            product(padded, q->width, k->width, k->width, q->width, q->width, true,
                    group.keys_transposed + k->padded * padded, space.score_slopes_paired.get(),
                    space.grad_queries.get() + offset, true);
            started = true;
        }
    }
    const int64_t size = shape.head_size, origin = shape.boundaries[first->piece];
    for (const Block* q = first; q < last; ++q) {
        const float* from = space.grad_queries.get() + (q->padded - first->padded) * padded;
        transpose(from, padded, q->width, space.turned.get());
        for (int64_t row = 0; row < q->end - q->begin; ++row) {
            const int64_t token = origin + q->begin + row;
            store_row(space.turned.get() + row * padded, head.cosine, head.sine, token, size,
                      head.grad_queries + token * shape.num_heads * size);
        }
    }
}

// Adds the shares of the heads of each group, turns the keys' back, and rounds.
void gather_heads(const Shape& shape, const Block& block, int64_t group, int64_t tokens, const float* keys,
                  const float* values, const bf16* cosine, const bf16* sine, bf16* grad_keys, bf16* grad_values) {
    const int64_t size = shape.head_size, padded = shape.padded_size(), shared = shape.num_heads / shape.num_groups;
    std::vector<float> sums(2 * padded);
    for (int64_t row = 0; row < block.end - block.begin; ++row) {
        std::fill(sums.begin(), sums.end(), 0.0f);
        for (int64_t h = group * shared; h < (group + 1) * shared; ++h) {
            const int64_t at = (h * tokens + block.padded + row) * padded;
#pragma omp simd
            for (int64_t d = 0; d < padded; ++d) {
                sums[d] += keys[at + d];
                sums[padded + d] += values[at + d];
            }
        }
        const int64_t token = shape.boundaries[block.piece] + block.begin + row;
        const int64_t to = (token * shape.num_groups + group) * size;
        store_row(sums.data(), cosine, sine, token, size, grad_keys + to);
        for (int64_t d = 0; d < size; ++d) grad_values[to + d] = narrow(sums[padded + d]);
    }
}

// One workspace a thread, made before the threads are: an exception must not leave a parallel region.
template <typename Space, typename... Sizes>
std::vector<std::unique_ptr<Space>> workspaces(int num_threads, Sizes... sizes) {
    std::vector<std::unique_ptr<Space>> spaces;
    for (int i = 0; i < num_threads; ++i) spaces.push_back(std::make_unique<Space>(sizes...));
    return spaces;
}

// Runs `body(task, space)` for every task on all threads, tasks handed out one by one. False if one of them threw, as a
// product does that this processor turns out not to have.
template <typename Space, typename Body>
bool in_parallel(int64_t num_tasks, const std::vector<std::unique_ptr<Space>>& spaces, const Body& body) {
    std::atomic<bool> fine{true};
#pragma omp parallel num_threads(static_cast<int>(spaces.size()))
    {
        Space& space = *spaces[omp_get_thread_num()];
#pragma omp for schedule(dynamic)
        for (int64_t task = 0; task < num_tasks; ++task) {
            try {
                body(task, space);
            } catch (...) {
                fine = false;
            }
        }
        release(true);
    }
    return fine;
}

bool forward(const Shape& shape, const bf16* queries, const bf16* keys, const bf16* values, const bf16* cosine,
             const bf16* sine, bf16* out, float* normaliser, int num_threads) {
    const auto blocks = cut(shape, kBlock), key_blocks = cut(shape, kKeys);
    const auto first = firsts(shape, key_blocks);
    const int64_t size = shape.head_size, padded = shape.padded_size(), tokens = padded_tokens(blocks);
    const int64_t num_blocks = blocks.size(), num_key_blocks = key_blocks.size();
    const int64_t num_heads = shape.num_heads, num_groups = shape.num_groups, stride = num_groups * size;
    Scratch<bf16> packed_keys(num_groups * tokens * padded), packed_values(num_groups * tokens * padded);
    const auto spaces = workspaces<ForwardSpace>(num_threads, padded);
    const bool packed = in_parallel(num_groups * num_key_blocks, spaces, [&](int64_t task, ForwardSpace& space) {
        const int64_t group = task / num_key_blocks;
        const Block& block = key_blocks[task % num_key_blocks];
        const int64_t to = (group * tokens + block.padded) * padded, origin = shape.boundaries[block.piece];
        load_rows(keys + group * size, cosine, sine, stride, block, origin, shape, space.rows.get());
        pair_columns(space.rows.get(), block.width, padded, packed_keys.get() + to);
        load_rows(values + group * size, nullptr, nullptr, stride, block, origin, shape, space.rows.get());
        pair_rows(space.rows.get(), block.width, padded, packed_values.get() + to);
    });
    return packed && in_parallel(num_heads * num_blocks, spaces, [&](int64_t task, ForwardSpace& space) {
        // last blocks first: they see the most keys, and a long task at the end would keep the others waiting
        const Block& block = blocks[num_blocks - 1 - task / num_heads];
        const int64_t head = task % num_heads, group = head / (num_heads / num_groups);
        const Packed right{packed_keys.get() + group * tokens * padded, packed_values.get() + group * tokens * padded};
        attend(shape, &key_blocks[first[block.piece]], key_blocks.data() + first[block.piece + 1], block, right,
               queries + head * size, cosine, sine, space, out + head * size, normaliser + head * shape.num_tokens());
    });
}

// Gradients of queries, keys and values as they were before they were turned.
struct Grads {
    bf16 *queries, *keys, *values;
};

bool backward(const Shape& shape, const bf16* queries, const bf16* keys, const bf16* values, const bf16* cosine,
              const bf16* sine, const bf16* out, const float* normaliser, const bf16* grad_out, const Grads& grads,
              int num_threads) {
    const auto blocks = cut(shape, kBlock);
    const auto first = firsts(shape, blocks);
    const int64_t size = shape.head_size, padded = shape.padded_size(), tokens = padded_tokens(blocks);
    const int64_t num_blocks = blocks.size(), num_heads = shape.num_heads, num_groups = shape.num_groups;
    int64_t longest = 0;
    for (int64_t piece = 0; piece < shape.num_pieces; ++piece) longest = std::max(longest, round_up(shape.length(piece), kGrain));
    std::vector<int64_t> order(shape.num_pieces);  // long sequences first, so that the threads end together
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return shape.length(a) > shape.length(b); });
    const int64_t all = num_groups * tokens * padded, stride = num_groups * size;
    Scratch<bf16> group_keys(all), group_keys_transposed(all), group_values(all);
    Scratch<float> share_keys(num_heads * tokens * padded), share_values(num_heads * tokens * padded);
    const auto spaces = workspaces<BackwardSpace>(num_threads, longest, padded);
    bool fine = in_parallel(num_groups * num_blocks, spaces, [&](int64_t task, BackwardSpace&) {
        const int64_t group = task / num_blocks;
        const Block& block = blocks[task % num_blocks];
        const int64_t to = (group * tokens + block.padded) * padded, origin = shape.boundaries[block.piece];
        load_rows(keys + group * size, cosine, sine, stride, block, origin, shape, group_keys.get() + to);
        transpose(group_keys.get() + to, block.width, padded, group_keys_transposed.get() + to);
        load_rows(values + group * size, nullptr, nullptr, stride, block, origin, shape, group_values.get() + to);
    });
    fine = fine && in_parallel(num_heads * shape.num_pieces, spaces, [&](int64_t task, BackwardSpace& space) {
        const int64_t piece = order[task / num_heads], h = task % num_heads, group = h / (num_heads / num_groups);
        if (shape.length(piece) == 0) return;
        const int64_t offset = group * tokens * padded, share = h * tokens * padded, column = h * size;
        const Group packed{group_keys.get() + offset, group_keys_transposed.get() + offset, group_values.get() + offset};
        const Head head{queries + column, out + column, grad_out + column, cosine, sine, normaliser + h * shape.num_tokens(),
                        grads.queries + column, share_keys.get() + share, share_values.get() + share};
        attend_backward(shape, &blocks[first[piece]], blocks.data() + first[piece + 1], packed, head, space);
    });
    return fine && in_parallel(num_groups * num_blocks, spaces, [&](int64_t task, BackwardSpace&) {
        gather_heads(shape, blocks[task % num_blocks], task / num_blocks, tokens, share_keys.get(), share_values.get(), cosine,
                     sine, grads.keys, grads.values);
    });
}

}  // namespace

extern "C" {

// Takes oneDNN's small product from torch. Returns 1 if this processor has it: it throws where it does not.
int attention_prepare(void* small_product, void* release_context) {
    product = reinterpret_cast<Product>(small_product);
    release = reinterpret_cast<Release>(release_context);
    Scratch<bf16> a(kGrain * kGrain), b(kGrain * kGrain);
    Scratch<float> c(kGrain * kGrain);
    std::fill(a.get(), a.get() + kGrain * kGrain, bf16{0x3f80});
    std::fill(b.get(), b.get() + kGrain * kGrain, bf16{0x3f80});
    try {
        product(kGrain, kGrain, kGrain, kGrain, kGrain, kGrain, false, a.get(), b.get(), c.get(), true);
        release(true);
    } catch (...) {
        return 0;
    }
    return c.get()[0] == kGrain ? 1 : 0;
}

// queries [N,H,K], keys and values [N,G,K], cosine and sine [N,K] → out [N,H,K], normaliser [H,N]. Returns 1 if it was done.
int attention_forward(const bf16* queries, const bf16* keys, const bf16* values, const bf16* cosine, const bf16* sine,
                      const int64_t* boundaries, int64_t num_pieces, int64_t num_heads, int64_t num_groups, int64_t head_size,
                      float scale, int64_t window, bf16* out, float* normaliser, int num_threads) {
    const Shape shape{num_pieces, num_heads, num_groups, head_size, window, scale, boundaries};
    try {
        return forward(shape, queries, keys, values, cosine, sine, out, normaliser, num_threads);
    } catch (...) {  // no memory
        return 0;
    }
}

int attention_backward(const bf16* queries, const bf16* keys, const bf16* values, const bf16* cosine, const bf16* sine,
                       const int64_t* boundaries, int64_t num_pieces, int64_t num_heads, int64_t num_groups, int64_t head_size,
                       float scale, int64_t window, const bf16* out, const float* normaliser, const bf16* grad_out,
                       bf16* grad_queries, bf16* grad_keys, bf16* grad_values, int num_threads) {
    const Shape shape{num_pieces, num_heads, num_groups, head_size, window, scale, boundaries};
    const Grads grads{grad_queries, grad_keys, grad_values};
    try {
        return backward(shape, queries, keys, values, cosine, sine, out, normaliser, grad_out, grads, num_threads);
    } catch (...) {
        return 0;
    }
}
}
