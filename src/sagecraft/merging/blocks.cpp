// One pass over a block of a tensor of all models: read, thin out, combine, round, and the sums of the summary.
//
// Every function here has a plain twin in blocks.py that gives the same bytes: each operation is rounded by itself (built with
// -ffp-contract=off), in the same order, and sums have the order that `chunk_totals` describes. A block is a part of a tensor that
// begins at a multiple of kChunk. It is read in pieces that stay in a core's second-level cache and worked on 16 elements at
// a time in registers: what a step leaves for the next never goes through memory. Threads are the caller's: the functions keep no state.
//
// Results: 0; 1 + s if source s holds a value that is not finite; 1001 + s if its file ends too early; -1 if a merged value is too
// large for its type; -1000 - errno if reading fails.

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <type_traits>
#include <utility>

#include "../models/kernels/common.h"

#ifdef __AVX512F__
#include <immintrin.h>
#endif

namespace {

constexpr int64_t kChunk = 1024;     // elements of one total, as in blocks.py; its 16 lanes are kLanes
constexpr int64_t kPiece = 1 << 16;  // elements between two reads: four bf16 models are 512 KB, half of a second-level cache
constexpr int64_t kLow = 19;         // low bits of a magnitude, as in sparsify.py
constexpr int32_t kMagnitude = 0x7FFFFFFF;
constexpr uint32_t kExponent = 0x7F800000u;
constexpr float kTiny = 1e-8f;

enum Type : int64_t { kF32 = 0, kBf16 = 1, kF16 = 2 };
enum Mask : int64_t { kAll = 0, kRandom = 1, kBand = 2 };
enum Way : int64_t { kLinear = 0, kCombine = 1, kAdd = 2, kElect = 3, kNearswap = 4 };

}  // namespace

extern "C" {

// Where a block stands: `starts` are bytes in the files, `first` is the number of its first element in the tensor.
struct Input {
    int64_t num_sources, first, count;
    const int64_t *handles, *starts, *types;
};

// What is taken from the sources: model m is source `sources[m]` less source `origin` (none: -1), thinned out. `lower` and
// `upper` bound the magnitudes of a band; of those that equal a bound, the elements before its end count as above it.
struct Deltas {
    int64_t num_models, origin;
    const int64_t *sources, *masks;
    const uint64_t* keys;
    const uint32_t *limits, *lower, *upper;
    const int64_t *lower_ends, *upper_ends;
};

// How they are put together. `divisor` is that of the sum (1: none), `weights` are those of an election's mean. The result goes to
// `out`, which has room for a multiple of 16 elements.
struct Recipe {
    int64_t way, base, reference, normalize, positive, type;
    float divisor, lambda, t;
    const float *factors, *weights;
    char* out;
};

// Groups of `size` neighbours (a multiple of 16, at most 1,024), each from its place in the block on.
struct Groups {
    int64_t count, size;
    const int64_t* places;
};

// Magnitudes that are looked for, of each model, and how many of it there is room for.
struct Range {
    const uint32_t *low, *high;
    int64_t room;
};

// Those that were found: `above` is [models], `inside` [chunks][models], the others [models][room].
struct Found {
    int64_t *above, *inside;
    uint32_t *magnitudes, *places;
};

}  // extern "C"

namespace {

// Which of 16 elements: a mask register where there are such, elsewhere a vector of zeros and ones.
#ifdef __AVX512F__
using Lanes = __mmask16;
inline Lanes less(Floats x, Floats y) { return _mm512_cmp_ps_mask((__m512)x, (__m512)y, _CMP_LT_OQ); }
inline Lanes less(Lanes of, Floats x, Floats y) { return _mm512_mask_cmp_ps_mask(of, (__m512)x, (__m512)y, _CMP_LT_OQ); }
inline Lanes less(Words x, Words y) { return _mm512_cmplt_epu32_mask((__m512i)x, (__m512i)y); }
inline Lanes less(Ints x, Ints y) { return _mm512_cmplt_epi32_mask((__m512i)x, (__m512i)y); }
inline Floats keep(Lanes of, Floats x) { return (Floats)_mm512_maskz_mov_ps(of, (__m512)x); }
inline Floats choose(Lanes of, Floats x, Floats y) { return (Floats)_mm512_mask_mov_ps((__m512)y, of, (__m512)x); }
inline Floats add(Lanes of, Floats x, Floats y) { return (Floats)_mm512_mask_add_ps((__m512)x, of, (__m512)x, (__m512)y); }
inline Floats smaller(Floats x, Floats y) { return (Floats)_mm512_min_ps((__m512)x, (__m512)y); }
inline Floats larger(Floats x, Floats y) { return (Floats)_mm512_max_ps((__m512)x, (__m512)y); }
inline Floats fused(Floats x, Floats y, Floats z) { return (Floats)_mm512_fmadd_ps((__m512)x, (__m512)y, (__m512)z); }
inline uint32_t as_bits(Lanes of) { return of; }
inline Floats get(const bf16* from) { return (Floats)_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)from)), 16); }
inline Halves lower_halves(Words x) { return (Halves)_mm512_cvtepi32_epi16((__m512i)x); }
#else
using Lanes = Ints;
inline Lanes less(Floats x, Floats y) { return x < y; }
inline Lanes less(Lanes of, Floats x, Floats y) { return of & (x < y); }
inline Lanes less(Words x, Words y) { return x < y; }
inline Lanes less(Ints x, Ints y) { return x < y; }
inline Floats keep(Lanes of, Floats x) { return reinterpret<Floats>(reinterpret<Ints>(x) & of); }
inline Floats choose(Lanes of, Floats x, Floats y) { return of ? x : y; }
inline Floats add(Lanes of, Floats x, Floats y) { return x + keep(of, y); }
inline Floats smaller(Floats x, Floats y) { return x < y ? x : y; }
inline Floats larger(Floats x, Floats y) { return x > y ? x : y; }
inline Floats fused(Floats x, Floats y, Floats z) {
    for (int64_t lane = 0; lane < kLanes; ++lane) z[lane] = std::fma(x[lane], y[lane], z[lane]);
    return z;
}
inline uint32_t as_bits(Lanes of) {
    uint32_t bits = 0;
    for (int64_t lane = 0; lane < kLanes; ++lane) bits |= (of[lane] & 1u) << lane;
    return bits;
}
inline Floats get(const bf16* from) { return load_wide(from); }
inline Halves lower_halves(Words x) { return __builtin_convertvector(x, Halves); }
#endif
inline Floats get(const float* from) { return load<Floats>(from); }

inline Floats all(float x) { return x - Floats{}; }
inline Floats size_of(Floats x) { return reinterpret<Floats>(reinterpret<Ints>(x) & kMagnitude); }
inline Words larger(Words x, Words y) { return x > y ? x : y; }

inline int64_t width_of(int64_t type) { return type == kF32 ? 4 : 2; }
constexpr int64_t pairs_of(int64_t n) { return n * (n + 1) / 2; }

inline Words mix(Words x) {
    x ^= x >> 16;
    x *= 0x7FEB352Du;
    x ^= x >> 15;
    x *= 0x846CA68Bu;
    return x ^ (x >> 16);
}

// float16 <-> float32 in whole numbers, so that no processor's own conversion is needed.
inline float from_half(uint16_t x) {
    const uint32_t scaled = static_cast<uint32_t>(x & 0x7FFFu) << 13;
    const float value = reinterpret<float>(scaled) * 0x1p112f;  // exact, subnormal numbers too
    return reinterpret<float>(reinterpret<uint32_t>(value) | (static_cast<uint32_t>(x & 0x8000u) << 16));
}

inline uint16_t to_half(float x) {
    const uint32_t bits = reinterpret<uint32_t>(x), sign = (bits >> 16) & 0x8000u, size = bits & 0x7FFFFFFFu;
    const uint32_t normal = (size - 0x38000000u + 0xFFFu + ((size >> 13) & 1u)) >> 13;
    // adding a number whose last place is float16's smallest rounds there
    const uint32_t tiny = reinterpret<uint32_t>(reinterpret<float>(size) + 0.5f) - 0x3F000000u;
    const uint32_t inside = size < 0x38800000u ? tiny : normal;
    return static_cast<uint16_t>(sign | (size >= 0x477FF000u ? 0x7C00u : inside));
}

// Whether all of them are finite: the exponents' largest value marks what is not.
template <typename T>
bool finite(const void* raw, int64_t count, T exponent) {
    const auto* from = static_cast<const T*>(raw);
    T top = 0;
    for (int64_t i = 0; i < count; ++i) top = std::max<T>(top, from[i] & exponent);
    return top != exponent;
}
bool finite(const void* raw, int64_t type, int64_t count) {
    if (type == kF32) return finite<uint32_t>(raw, count, kExponent);
    return finite<uint16_t>(raw, count, type == kBf16 ? 0x7F80 : 0x7C00);
}

void widen_all(const void* raw, int64_t type, int64_t count, float* out) {
    const auto* from = static_cast<const uint16_t*>(raw);
    if (type == kBf16) {
        for (int64_t i = 0; i < count; ++i) out[i] = widen(from[i]);
    } else {
        for (int64_t i = 0; i < count; ++i) out[i] = from_half(from[i]);
    }
}

// Stores 16 values in a type, and raises `top` to the largest exponent among them.
inline void put(Floats x, int64_t type, void* to, Words& top) {
    if (type == kBf16) {
        const Words bits = reinterpret<Words>(x), rounded = bits + 0x7FFFu + ((bits >> 16) & 1u);
        top = larger(top, rounded & kExponent);
        store(to, lower_halves(rounded >> 16));
    } else if (type == kF32) {
        top = larger(top, reinterpret<Words>(x) & kExponent);
        store(to, x);
    } else {
        Halves narrowed;
        for (int64_t lane = 0; lane < kLanes; ++lane) narrowed[lane] = to_half(x[lane]);
        top = larger(top, __builtin_convertvector((narrowed & 0x7C00) == 0x7C00, Words) & kExponent);
        store(to, narrowed);
    }
}

// Sum of the lanes of a chunk, one after the other in float64.
inline double total(Floats lanes) {
    double sum = 0.0;
    for (int64_t lane = 0; lane < kLanes; ++lane) sum += static_cast<double>(lanes[lane]);
    return sum;
}

template <typename Work, int... M>
inline void each_of(Work& work, std::integer_sequence<int, M...>) {
    (work(std::integral_constant<int, M>{}), ...);
}
// Calls `work` with 0, 1, …, n - 1: constants if N, their number as the compiler knows it, is not 0.
template <int N, typename Work>
inline void each(int64_t n, Work work) {
    if constexpr (N > 0) {
        each_of(work, std::make_integer_sequence<int, N>{});
    } else {
        for (int64_t m = 0; m < n; ++m) work(m);
    }
}
#define INLINE __attribute__((always_inline))

// The values of all sources: read piece by piece, handed out 16 at a time. T is bf16 if all sources are that, else float.
// Behind the last element stand zeros up to the next multiple of 16.
template <typename T>
class Reader {
   public:
    using Value = T;
    explicit Reader(const Input& input)
        : input_(input),
          raw_(kStride * input.num_sources),
          wide_(std::is_same_v<T, float> ? kChunk * input.num_sources : 0),
          at_(input.num_sources) {}

    // Reads elements [begin, begin + count) of the block of every source.
    int64_t read(int64_t begin, int64_t count) {
        for (int64_t s = 0; s < input_.num_sources; ++s) {
            const int64_t width = width_of(input_.types[s]);
            char* to = raw(s);
            int64_t at = input_.starts[s] + begin * width, left = count * width;
            while (left > 0) {
                const ssize_t got = pread(static_cast<int>(input_.handles[s]), to, left, at);
                if (got < 0 && errno == EINTR) continue;
                if (got < 0) return -1000 - errno;
                if (got == 0) return 1001 + s;
                to += got, at += got, left -= got;
            }
            std::memset(to, 0, kLanes * 4);
        }
        return 0;
    }
    // Makes elements [at, at + count) of what was read those that `get` hands out; count is at most kChunk.
    int64_t go_to(int64_t at, int64_t count) {
        for (int64_t s = 0; s < input_.num_sources; ++s) {
            const int64_t type = input_.types[s];
            const char* from = raw(s) + at * width_of(type);
            if (!finite(from, type, count)) return 1 + s;
            at_.get()[s] = from;
            if (std::is_same_v<T, float> && type != kF32) {
                widen_all(from, type, round_up(count, kLanes), wide_.get() + s * kChunk);
                at_.get()[s] = reinterpret_cast<const char*>(wide_.get() + s * kChunk);
            }
        }
        return 0;
    }
    Floats get(int64_t s, int64_t i) const {
        return ::get(reinterpret_cast<const T*>(at_.get()[s]) + i);
    }
    // Model m less the origin.
    Floats delta(const Deltas& deltas, int64_t m, int64_t i) const {
        const Floats x = get(deltas.sources[m], i);
        return deltas.origin < 0 ? x : x - get(deltas.origin, i);
    }

   private:
    static constexpr int64_t kStride = kPiece * sizeof(T) + kLanes * 4;
    char* raw(int64_t s) const { return raw_.get() + s * kStride; }
    const Input& input_;
    Scratch<char> raw_;
    Scratch<float> wide_;
    Scratch<const char*> at_;
};

// Calls `work.chunk(number, first element in the block, count)` for every chunk, and `work.finish` at the end of a piece.
template <typename T, typename Work>
int64_t each_chunk(const Input& input, Reader<T>& reader, Work& work) {
    for (int64_t piece = 0; piece < input.count; piece += kPiece) {
        const int64_t size = std::min(kPiece, input.count - piece);
        if (const int64_t fault = reader.read(piece, size)) return fault;
        for (int64_t at = 0; at < size; at += kChunk) {
            const int64_t count = std::min(kChunk, size - at);
            if (const int64_t fault = reader.go_to(at, count)) return fault;
            work.chunk((piece + at) / kChunk, piece + at, count);
        }
        if (const int64_t fault = work.finish()) return fault;
    }
    return 0;
}

// A callable that has nothing to do at the end of a piece.
template <typename Function>
struct Quiet {
    Function function;
    void chunk(int64_t number, int64_t at, int64_t count) { function(number, at, count); }
    int64_t finish() { return 0; }
};

// Calls `run` with a reader for the types of the sources and, as a constant, the number of models; 0 if there are many.
template <typename Run>
int64_t dispatch(const Input& input, int64_t num_models, Run run) try {
    const auto by_type = [&](auto count) {
        if (std::all_of(input.types, input.types + input.num_sources, [](int64_t type) { return type == kBf16; })) {
            Reader<bf16> reader(input);
            return run(reader, count);
        }
        Reader<float> reader(input);
        return run(reader, count);
    };
    switch (num_models) {
        case 1: return by_type(std::integral_constant<int, 1>{});
        case 2: return by_type(std::integral_constant<int, 2>{});
        case 3: return by_type(std::integral_constant<int, 3>{});
        case 4: return by_type(std::integral_constant<int, 4>{});
        default: return by_type(std::integral_constant<int, 0>{});
    }
} catch (const std::bad_alloc&) {
    return -1000 - ENOMEM;
}

// The same for what looks at deltas only: `work(reader, count, chunk number, first element in the block, number of elements)`.
template <typename Work>
int64_t each_delta(const Input& input, const Deltas& deltas, Work work) {
    return dispatch(input, deltas.num_models, [&](auto& reader, auto count) {
        auto call = [&](int64_t chunk, int64_t at, int64_t size) { work(reader, count, chunk, at, size); };
        Quiet<decltype(call)> quiet{call};
        return each_chunk(input, reader, quiet);
    });
}

// What a mask needs to know in a chunk, whose first element has the number `first`.
struct Keep {
    Keep(const Deltas& deltas, int64_t m, int64_t first)
        : kind(deltas.masks[m]),
          limit(deltas.limits[m]),
          low(static_cast<uint32_t>(deltas.keys[m])),
          // a chunk starts at a multiple of 1,024, so the high word of the index is the same in all of it
          high(static_cast<uint32_t>(deltas.keys[m] >> 32) ^
               static_cast<uint32_t>((static_cast<uint64_t>(first) >> 32) * 0x9E3779B9ull)),
          start(static_cast<uint32_t>(first)),
          lower(static_cast<int32_t>(deltas.lower[m])),
          upper(static_cast<int32_t>(deltas.upper[m])),
          lower_end(static_cast<int32_t>(std::clamp<int64_t>(deltas.lower_ends[m] - first, 0, kChunk))),
          upper_end(static_cast<int32_t>(std::clamp<int64_t>(deltas.upper_ends[m] - first, 0, kChunk))) {}

    // Sets those to zero that are not kept; `lane` are places in the chunk.
    Floats thin(Floats d, Ints lane) const {
        if (kind == kRandom) {
            return keep(less(mix(mix((reinterpret<Words>(lane) + start) ^ low) + high), Words{} + limit), d);
        }
        if (kind == kBand) {
            // of those that equal a bound, the ones before its end stand above it: as if the bound were one less there
            const Ints bits = reinterpret<Ints>(d) & kMagnitude;
            const Ints lowest = lower + (lane < lower_end), highest = upper + (lane < upper_end);
            return keep(static_cast<Lanes>(less(lowest, bits) & ~less(highest, bits)), d);
        }
        return d;
    }

    int64_t kind;
    uint32_t limit, low, high, start;
    int32_t lower, upper, lower_end, upper_end;
};

// The mean of the parts with the elected sign (or their sum), times lambda, on top of the base.
template <int N>
inline Floats elect(const Recipe& r, int64_t n, const Floats* weighted, Floats base) {
    const Floats zero{};
    Floats sums = weighted[0], mixed{}, divisors{};
    each<N>(n, [&](auto m) INLINE { sums = m > 0 ? sums + weighted[m] : sums; });
    const Lanes minus = less(sums, zero), plus = r.positive ? static_cast<Lanes>(~minus) : less(zero, sums);
    each<N>(n, [&](auto m) INLINE {
        const auto agrees = static_cast<Lanes>(less(plus, zero, weighted[m]) | less(minus, weighted[m], zero));
        mixed = add(agrees, mixed, weighted[m]);
        divisors = add(agrees, divisors, all(r.weights[m]));
    });
    if (r.normalize) mixed /= choose(less(size_of(divisors), all(kTiny)), all(1.0f), divisors);
    return base + mixed * r.lambda;
}

// The merged values; `kept` holds the thinned deltas, or whole values, and is overwritten.
template <int N>
inline Floats combine(const Recipe& r, int64_t n, Floats* kept, Floats base) {
    if (r.way == kNearswap) {
        const Floats gap = size_of(base - kept[0]);
        const Floats share = choose(less(all(r.t), gap), r.t / gap, all(1.0f));
        return share * kept[0] + (1.0f - share) * base;
    }
    if (r.way == kLinear) {
        Floats sum = kept[0] * r.factors[0];
        each<N>(n, [&](auto m) INLINE { sum = m > 0 ? fused(kept[m], all(r.factors[m]), sum) : sum; });
        return r.normalize ? sum / r.divisor : sum;
    }
    each<N>(n, [&](auto m) INLINE { kept[m] *= r.factors[m]; });
    if (r.way == kElect) return elect<N>(r, n, kept, base);
    Floats sum = kept[0];
    each<N>(n, [&](auto m) INLINE { sum = m > 0 ? sum + kept[m] : sum; });
    if (r.way == kCombine) return sum;
    if (r.normalize) sum /= r.divisor;
    return base + sum * r.lambda;
}

// Place of the pair (a, b), a <= b, in the order (0,0) (0,1) … (1,1) ….
constexpr int64_t pair(int64_t n, int64_t a, int64_t b) { return a * n - a * (a - 1) / 2 + b - a; }

// What is at hand of 16 elements: in registers if the number of models is known, else in scratch memory.
template <int N>
struct Models {
    explicit Models(int64_t) {}
    Floats kept[N], seen[N], sums[pairs_of(N)];
};
template <>
struct Models<0> {
    explicit Models(int64_t n) : memory(2 * n + pairs_of(n)), kept(memory.get()), seen(kept + n), sums(seen + n) {}
    Scratch<Floats> memory;
    Floats *kept, *seen, *sums;
};

// Merges chunk after chunk.
template <typename T, int N>
struct Merge {
    const Input& input;
    const Deltas& deltas;
    const Recipe& recipe;
    const Reader<T>& reader;
    double* totals;
    Scratch<Keep> keeps{deltas.num_models};
    Words top{};

    void chunk(int64_t number, int64_t at, int64_t count) {
        const int64_t n = N > 0 ? N : deltas.num_models, width = width_of(recipe.type);
        const Keep* keep = keeps.get();
        for (int64_t m = 0; m < n; ++m) keeps.get()[m] = Keep(deltas, m, input.first + at);
        Models<N> models(n);
        each<pairs_of(N)>(pairs_of(n), [&](auto p) INLINE { models.sums[p] = Floats{}; });
        Floats squares{};
        Words largest = top;
        int64_t conflicts = 0;
        char* to = recipe.out + at * width;
        for (int64_t i = 0; i < count; i += kLanes, to += kLanes * width) {
            const Floats origin = reader.get(recipe.reference, i);
            each<N>(n, [&](auto m) INLINE {
                const Floats x = reader.get(deltas.sources[m], i);
                models.seen[m] = x - origin;  // the summary's deltas are those from the reference, the method's may be whole values
                models.kept[m] = keep[m].thin(deltas.origin < 0 ? x : models.seen[m], lanes_from(i));
            });
            const Floats base = recipe.base < 0 ? Floats{} : reader.get(recipe.base, i);
            const Floats merged = combine<N>(recipe, n, models.kept, base);
            put(merged, recipe.type, to, largest);
            squares += (merged - origin) * (merged - origin);
            Floats lowest = models.seen[0], highest = models.seen[0];
            each<N>(n, [&](auto a) INLINE {
                lowest = smaller(models.seen[a], lowest), highest = larger(models.seen[a], highest);
                each<N>(n, [&](auto b) INLINE {
                    if (b >= a) models.sums[pair(n, a, b)] += models.seen[a] * models.seen[b];
                });
            });
            conflicts += __builtin_popcount(as_bits(less(less(lowest, Floats{}), Floats{}, highest)));
        }
        top = largest;
        double* result = totals + number * (pairs_of(n) + 2);
        each<pairs_of(N)>(pairs_of(n), [&](auto p) INLINE { *result++ = total(models.sums[p]); });
        *result++ = static_cast<double>(conflicts);
        *result++ = total(squares);
    }
    int64_t finish() const {
        for (int64_t lane = 0; lane < kLanes; ++lane) {
            if (top[lane] == kExponent) return -1;
        }
        return 0;
    }
};

}  // namespace

extern "C" {

// Merges a block. `totals`: [chunks][pairs + 2], products of the deltas from the reference, conflicts of sign, merged squares.
int64_t merge_block(const Input* input, const Deltas* deltas, const Recipe* recipe, double* totals) {
    return dispatch(*input, deltas->num_models, [&](auto& reader, auto count) {
        using T = typename std::decay_t<decltype(reader)>::Value;
        Merge<T, count> work{*input, *deltas, *recipe, reader, totals};
        return each_chunk(*input, reader, work);
    });
}

// Inner products of all pairs of deltas: `totals` is [chunks][pairs].
int64_t gram_block(const Input* input, const Deltas* deltas, double* totals) {
    return each_delta(*input, *deltas, [&](auto& reader, auto known, int64_t chunk, int64_t, int64_t count) {
        constexpr int N = known;
        const int64_t n = N > 0 ? N : deltas->num_models;
        Models<N> models(n);
        each<pairs_of(N)>(pairs_of(n), [&](auto p) INLINE { models.sums[p] = Floats{}; });
        for (int64_t i = 0; i < count; i += kLanes) {
            each<N>(n, [&](auto m) INLINE { models.seen[m] = reader.delta(*deltas, m, i); });
            each<N>(n, [&](auto a) INLINE {
                each<N>(n, [&](auto b) INLINE {
                    if (b >= a) models.sums[pair(n, a, b)] += models.seen[a] * models.seen[b];
                });
            });
        }
        double* result = totals + chunk * pairs_of(n);
        each<pairs_of(N)>(pairs_of(n), [&](auto p) INLINE { *result++ = total(models.sums[p]); });
    });
}

// Absolute values of the deltas and of what is kept of them: `totals` is [chunks][2][models].
int64_t sizes_block(const Input* input, const Deltas* deltas, double* totals) {
    const int64_t n = deltas->num_models;
    return each_delta(*input, *deltas, [&](auto& reader, auto, int64_t chunk, int64_t at, int64_t count) {
        for (int64_t m = 0; m < n; ++m) {
            const Keep keep(*deltas, m, input->first + at);
            Floats whole{}, kept{};
            for (int64_t i = 0; i < count; i += kLanes) {
                const Floats d = reader.delta(*deltas, m, i);
                whole += size_of(d);
                kept += size_of(keep.thin(d, lanes_from(i)));
            }
            totals[chunk * 2 * n + m] = total(whole);
            totals[(chunk * 2 + 1) * n + m] = total(kept);
        }
    });
}

// Adds to `counts` [models][4096] how many magnitudes have each value of their upper 12 bits.
int64_t upper_block(const Input* input, const Deltas* deltas, uint32_t* counts) {
    return each_delta(*input, *deltas, [&](auto& reader, auto, int64_t, int64_t, int64_t count) {
        for (int64_t m = 0; m < deltas->num_models; ++m) {
            uint32_t* to = counts + (m << 12);
            for (int64_t i = 0; i < count; i += kLanes) {
                const Ints upper = (reinterpret<Ints>(reader.delta(*deltas, m, i)) & kMagnitude) >> kLow;
                for (int64_t lane = 0; lane < std::min(kLanes, count - i); ++lane) ++to[upper[lane]];
            }
        }
    });
}

// Adds to `counts` [models][2^19] how many magnitudes whose upper bits are `uppers[m]` have each value of the others.
int64_t lower_block(const Input* input, const Deltas* deltas, const uint32_t* uppers, uint32_t* counts) {
    return each_delta(*input, *deltas, [&](auto& reader, auto, int64_t, int64_t, int64_t count) {
        for (int64_t m = 0; m < deltas->num_models; ++m) {
            uint32_t* to = counts + (m << kLow);
            for (int64_t i = 0; i < count; i += kLanes) {
                const Words bits = reinterpret<Words>(size_of(reader.delta(*deltas, m, i)));
                for (int64_t lane = 0; lane < std::min(kLanes, count - i); ++lane) {
                    if (bits[lane] >> kLow == uppers[m]) ++to[bits[lane] & ((1u << kLow) - 1)];
                }
            }
        }
    });
}

// Magnitudes of groups of neighbours: `magnitudes` is [models][groups][size].
int64_t sample_block(const Input* input, const Deltas* deltas, const Groups* groups, uint32_t* magnitudes) {
    return dispatch(*input, deltas->num_models, [&](auto& reader, auto) {
        for (int64_t g = 0; g < groups->count; ++g) {
            if (const int64_t fault = reader.read(groups->places[g], groups->size)) return fault;
            if (const int64_t fault = reader.go_to(0, groups->size)) return fault;
            for (int64_t m = 0; m < deltas->num_models; ++m) {
                uint32_t* to = magnitudes + (m * groups->count + g) * groups->size;
                for (int64_t i = 0; i < groups->size; i += kLanes) store(to + i, size_of(reader.delta(*deltas, m, i)));
            }
        }
        return int64_t{0};
    });
}

// Magnitudes from `low[m]` to `high[m]` : how many there are in each chunk, and (unless the two are the same number) they
// themselves with their places in the block, of each model as many as there is room for; and how many are larger.
int64_t between_block(const Input* input, const Deltas* deltas, const Range* range, const Found* found) {
    const int64_t n = deltas->num_models;
    const Scratch<int64_t> taken(n);
    std::fill_n(taken.get(), n, 0);
    return each_delta(*input, *deltas, [&](auto& reader, auto, int64_t chunk, int64_t at, int64_t count) {
        for (int64_t m = 0; m < n; ++m) {
            const auto low = static_cast<int32_t>(range->low[m]), high = static_cast<int32_t>(range->high[m]);
            const int64_t room = low == high ? 0 : range->room;
            uint32_t *magnitudes = found->magnitudes + m * range->room, *places = found->places + m * range->room;
            int64_t above = 0, inside = 0, have = taken.get()[m];
            for (int64_t i = 0; i < count; i += kLanes) {
                const Ints bits = reinterpret<Ints>(size_of(reader.delta(*deltas, m, i)));
                const uint32_t larger = as_bits(less(Ints{} + high, bits));
                uint32_t rest = as_bits(less(Ints{} + (low - 1), bits)) & ~larger;
                rest &= 0xFFFFu >> std::max<int64_t>(kLanes - (count - i), 0);  // not the zeros behind the last element
                above += __builtin_popcount(larger);
                inside += __builtin_popcount(rest);
                for (; rest && have < room; rest &= rest - 1, ++have) {
                    const int lane = __builtin_ctz(rest);
                    magnitudes[have] = static_cast<uint32_t>(bits[lane]);
                    places[have] = static_cast<uint32_t>(at + i + lane);
                }
            }
            taken.get()[m] = have;
            found->above[m] += above;
            found->inside[chunk * n + m] = inside;
        }
    });
}

}  // extern "C"
