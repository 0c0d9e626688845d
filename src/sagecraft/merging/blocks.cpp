// One pass over a block of a tensor of all models: read, thin out, combine, round, write, and the sums of the summary.
//
// Every function here has a plain twin in blocks.py that gives the same bytes: each operation is rounded by itself (built with
// -ffp-contract=off), in the same order, and sums have the order that `chunk_totals` describes. A block is a part of a tensor that
// begins at a multiple of kChunk; it is worked on in pieces that stay in a core's cache, and each element is read once and
// written once. Threads are the caller's: the functions keep no state.
//
// Results: 0; 1 + s if source s holds a value that is not finite; 1001 + s if its file ends too early; -1 if a merged value is too
// large for its type; -1000 - errno if writing fails, -5000 - errno if reading does.

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

namespace {

constexpr int64_t kChunk = 1024;         // elements of one total, as in blocks.py
constexpr int64_t kLanes = 16;           // sums of a chunk that run side by side, as in blocks.py
constexpr int64_t kPiece = 1 << 16;      // elements between two reads: four bf16 models are 512 KB, half of a second-level cache
constexpr int64_t kLow = 19;             // low bits of a magnitude, as in sparsify.py
constexpr float kTiny = 1e-8f;

enum Type : int64_t { kF32 = 0, kBf16 = 1, kF16 = 2 };
enum Mask : int64_t { kAll = 0, kRandom = 1, kBand = 2 };
enum Way : int64_t { kLinear = 0, kCombine = 1, kAdd = 2, kElect = 3, kNearswap = 4 };

template <typename To, typename From>
inline To reinterpret(From from) {
    To to;
    static_assert(sizeof(to) == sizeof(from));
    std::memcpy(&to, &from, sizeof(to));
    return to;
}

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

// How they are put together. `divisor` is that of the sum (1: none), `weights` are those of an election's mean.
struct Recipe {
    int64_t way, base, reference, normalize, positive, type, handle, start;
    float divisor, lambda, t;
    const float *factors, *weights;
};

}  // extern "C"

namespace {

inline int64_t width_of(int64_t type) { return type == kF32 ? 4 : 2; }

inline uint32_t mix(uint32_t x) {
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

inline uint16_t to_bf16(float x) {
    const uint32_t bits = reinterpret<uint32_t>(x);
    return static_cast<uint16_t>((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
}

// Reads and widens. The exponents' largest value marks what is not finite.
bool widen(const void* raw, int64_t type, int64_t count, float* out) {
    uint32_t top = 0;
    if (type == kF32) {
        const auto* from = static_cast<const uint32_t*>(raw);
        for (int64_t i = 0; i < count; ++i) top = std::max(top, from[i] & 0x7F800000u);
        std::memcpy(out, raw, count * 4);
        return top != 0x7F800000u;
    }
    const auto* from = static_cast<const uint16_t*>(raw);
    const uint32_t exponent = type == kBf16 ? 0x7F80u : 0x7C00u;
    if (type == kBf16) {
        for (int64_t i = 0; i < count; ++i) {
            top = std::max(top, from[i] & exponent);
            out[i] = reinterpret<float>(static_cast<uint32_t>(from[i]) << 16);
        }
    } else {
        for (int64_t i = 0; i < count; ++i) {
            top = std::max(top, from[i] & exponent);
            out[i] = from_half(from[i]);
        }
    }
    return top != exponent;
}

bool narrow(const float* values, int64_t type, int64_t count, void* out) {
    uint32_t top = 0;
    if (type == kF32) {
        for (int64_t i = 0; i < count; ++i) top = std::max(top, reinterpret<uint32_t>(values[i]) & 0x7F800000u);
        std::memcpy(out, values, count * 4);
        return top != 0x7F800000u;
    }
    auto* to = static_cast<uint16_t*>(out);
    const uint32_t exponent = type == kBf16 ? 0x7F80u : 0x7C00u;
    for (int64_t i = 0; i < count; ++i) {
        to[i] = type == kBf16 ? to_bf16(values[i]) : to_half(values[i]);
        top = std::max<uint32_t>(top, to[i] & exponent);
    }
    return top != exponent;
}

// Sum of a chunk: lanes side by side in float32, then one after the other in float64.
template <typename Term>
inline double total(int64_t count, Term term) {
    float lanes[kLanes] = {};
    const int64_t whole = count / kLanes * kLanes;
    for (int64_t i = 0; i < whole; i += kLanes) {
        for (int64_t lane = 0; lane < kLanes; ++lane) lanes[lane] += term(i + lane);
    }
    for (int64_t i = whole; i < count; ++i) lanes[i - whole] += term(i);
    double sum = 0.0;
    for (const float lane : lanes) sum += static_cast<double>(lane);
    return sum;
}

class Floats {  // aligned scratch memory
   public:
    explicit Floats(int64_t count) : data_(static_cast<float*>(std::aligned_alloc(64, (count * 4 + 63) / 64 * 64 + 64))) {
        if (data_ == nullptr) throw std::bad_alloc();
    }
    ~Floats() { std::free(data_); }
    Floats(const Floats&) = delete;
    Floats& operator=(const Floats&) = delete;
    float* get() const { return data_; }

   private:
    float* data_;
};

// The values of one chunk of all sources, widened, and the deltas.
class Reader {
   public:
    Reader(const Input& input, int64_t num_deltas)
        : input_(input), raw_(kPiece * input.num_sources), values_(kChunk * input.num_sources), deltas_(kChunk * num_deltas) {}

    // Reads elements [begin, begin + count) of the block of every source.
    int64_t read(int64_t begin, int64_t count) {
        for (int64_t s = 0; s < input_.num_sources; ++s) {
            const int64_t width = width_of(input_.types[s]);
            char* to = raw(s);
            int64_t at = input_.starts[s] + begin * width, left = count * width;
            while (left > 0) {
                const ssize_t got = pread(static_cast<int>(input_.handles[s]), to, left, at);
                if (got < 0 && errno == EINTR) continue;
                if (got < 0) return -5000 - errno;
                if (got == 0) return 1001 + s;
                to += got, at += got, left -= got;
            }
        }
        return 0;
    }
    // Widens elements [at, at + count) of what was read.
    int64_t widen_chunk(int64_t at, int64_t count) {
        for (int64_t s = 0; s < input_.num_sources; ++s) {
            if (!widen(raw(s) + at * width_of(input_.types[s]), input_.types[s], count, value(s))) return 1 + s;
        }
        return 0;
    }
    void subtract(const Deltas& deltas, int64_t count) {
        for (int64_t m = 0; m < deltas.num_models; ++m) {
            const float* x = value(deltas.sources[m]);
            float* d = delta(m);
            if (deltas.origin < 0) {
                std::memcpy(d, x, count * 4);
                continue;
            }
            const float* o = value(deltas.origin);
            for (int64_t i = 0; i < count; ++i) d[i] = x[i] - o[i];
        }
    }
    float* value(int64_t s) const { return values_.get() + s * kChunk; }
    float* delta(int64_t m) const { return deltas_.get() + m * kChunk; }

   private:
    char* raw(int64_t s) const { return reinterpret_cast<char*>(raw_.get() + s * kPiece); }
    const Input& input_;
    Floats raw_, values_, deltas_;
};

// Calls `work(chunk number, first element in the block, count)` for every chunk, with its values and deltas at hand.
template <typename Work>
int64_t each_chunk(const Input& input, Reader& reader, const Deltas& deltas, Work& work) {
    for (int64_t piece = 0; piece < input.count; piece += kPiece) {
        const int64_t size = std::min(kPiece, input.count - piece);
        if (const int64_t fault = reader.read(piece, size)) return fault;
        for (int64_t at = 0; at < size; at += kChunk) {
            const int64_t count = std::min(kChunk, size - at);
            if (const int64_t fault = reader.widen_chunk(at, count)) return fault;
            reader.subtract(deltas, count);
            work((piece + at) / kChunk, piece + at, count);
        }
        if (const int64_t fault = work.finish(piece, size)) return fault;
    }
    return 0;
}

// A callable that has nothing to do at the end of a piece.
template <typename Function>
struct Quiet {
    Function function;
    void operator()(int64_t chunk, int64_t at, int64_t count) { function(chunk, at, count); }
    int64_t finish(int64_t, int64_t) { return 0; }
};
template <typename Function>
Quiet<Function> quiet(Function function) {
    return {function};
}

// A delta with the elements that are not kept set to zero; `first` is the number of the chunk's first element in the tensor.
void thin(const Deltas& deltas, int64_t m, const float* d, int64_t first, int64_t count, float* out) {
    if (deltas.masks[m] == kRandom) {
        const uint64_t key = deltas.keys[m];
        const uint32_t low = static_cast<uint32_t>(key), high = static_cast<uint32_t>(key >> 32), limit = deltas.limits[m];
        // a chunk starts at a multiple of 1,024, so the high word of the index is the same in all of it
        const uint32_t second = high ^ static_cast<uint32_t>((static_cast<uint64_t>(first) >> 32) * 0x9E3779B9ull);
        const auto start = static_cast<uint32_t>(first);
        for (int64_t i = 0; i < count; ++i) {
            const uint32_t hash = mix(mix((start + static_cast<uint32_t>(i)) ^ low) + second);
            out[i] = hash < limit ? d[i] : 0.0f;
        }
    } else if (deltas.masks[m] == kBand) {
        const uint32_t lower = deltas.lower[m], upper = deltas.upper[m];
        // places of the chunk before which a magnitude that equals a bound counts as above it
        const auto place = [&](int64_t end) { return static_cast<int32_t>(std::clamp<int64_t>(end - first, 0, kChunk)); };
        const int32_t lower_end = place(deltas.lower_ends[m]), upper_end = place(deltas.upper_ends[m]);
        const auto size = static_cast<int32_t>(count);
        for (int32_t i = 0; i < size; ++i) {
            const uint32_t bits = reinterpret<uint32_t>(d[i]) & 0x7FFFFFFFu;
            const bool in = (bits > lower) | ((bits == lower) & (i < lower_end));
            const bool beyond = (bits > upper) | ((bits == upper) & (i < upper_end));
            out[i] = (in & !beyond) ? d[i] : 0.0f;
        }
    } else {
        std::memcpy(out, d, count * 4);
    }
}

void elect(const Recipe& r, int64_t n, const float* weighted, const float* base, int64_t count, float* out) {
    alignas(64) float sums[kChunk], mixed[kChunk], divisors[kChunk];
    std::memcpy(sums, weighted, count * 4);
    for (int64_t m = 1; m < n; ++m) {
        for (int64_t i = 0; i < count; ++i) sums[i] += weighted[m * kChunk + i];
    }
    std::fill_n(mixed, count, 0.0f);
    std::fill_n(divisors, count, 0.0f);
    const bool positive = r.positive != 0;
    for (int64_t m = 0; m < n; ++m) {
        const float* part = weighted + m * kChunk;
        const float weight = r.weights[m];
        for (int64_t i = 0; i < count; ++i) {
            const bool minus = sums[i] < 0.0f, plus = positive ? !minus : sums[i] > 0.0f;
            const bool agrees = ((part[i] > 0.0f) & plus) | ((part[i] < 0.0f) & minus);
            mixed[i] += agrees ? part[i] : 0.0f;
            divisors[i] += agrees ? weight : 0.0f;
        }
    }
    if (r.normalize) {
        for (int64_t i = 0; i < count; ++i) mixed[i] /= std::fabs(divisors[i]) < kTiny ? 1.0f : divisors[i];
    }
    for (int64_t i = 0; i < count; ++i) out[i] = base[i] + mixed[i] * r.lambda;
}

// The merged values of one chunk. `kept` holds the thinned deltas, [models][kChunk], and is overwritten.
void combine(const Recipe& r, int64_t n, float* kept, const float* base, int64_t count, float* out) {
    if (r.way == kLinear) {
        for (int64_t i = 0; i < count; ++i) out[i] = kept[i] * r.factors[0];
        for (int64_t m = 1; m < n; ++m) {
            const float* x = kept + m * kChunk;
            const auto factor = static_cast<double>(r.factors[m]);
            for (int64_t i = 0; i < count; ++i) {
                out[i] = static_cast<float>(static_cast<double>(out[i]) + static_cast<double>(x[i]) * factor);
            }
        }
        if (r.normalize) {
            for (int64_t i = 0; i < count; ++i) out[i] /= r.divisor;
        }
        return;
    }
    if (r.way == kNearswap) {
        for (int64_t i = 0; i < count; ++i) {
            const float gap = std::fabs(base[i] - kept[i]);
            const float share = gap > r.t ? r.t / gap : 1.0f;
            out[i] = share * kept[i] + (1.0f - share) * base[i];
        }
        return;
    }
    for (int64_t m = 0; m < n; ++m) {
        float* x = kept + m * kChunk;
        for (int64_t i = 0; i < count; ++i) x[i] *= r.factors[m];
    }
    if (r.way == kElect) return elect(r, n, kept, base, count, out);
    std::memcpy(out, kept, count * 4);
    for (int64_t m = 1; m < n; ++m) {
        for (int64_t i = 0; i < count; ++i) out[i] += kept[m * kChunk + i];
    }
    if (r.way == kAdd) {
        if (r.normalize) {
            for (int64_t i = 0; i < count; ++i) out[i] /= r.divisor;
        }
        for (int64_t i = 0; i < count; ++i) out[i] = base[i] + out[i] * r.lambda;
    }
}

// Products of all pairs of deltas (in the order (0,0) (0,1) … (1,1) …), and then where the caller goes on.
double* products(const Reader& reader, int64_t n, int64_t count, double* to) {
    for (int64_t a = 0; a < n; ++a) {
        for (int64_t b = a; b < n; ++b) {
            const float *x = reader.delta(a), *y = reader.delta(b);
            *to++ = total(count, [x, y](int64_t i) { return x[i] * y[i]; });
        }
    }
    return to;
}

double conflicts(const Reader& reader, int64_t n, int64_t count) {
    alignas(64) float lowest[kChunk], highest[kChunk];
    std::memcpy(lowest, reader.delta(0), count * 4);
    std::memcpy(highest, reader.delta(0), count * 4);
    for (int64_t m = 1; m < n; ++m) {
        const float* d = reader.delta(m);
        for (int64_t i = 0; i < count; ++i) {
            lowest[i] = d[i] < lowest[i] ? d[i] : lowest[i];
            highest[i] = d[i] > highest[i] ? d[i] : highest[i];
        }
    }
    int32_t found = 0;
    for (int64_t i = 0; i < count; ++i) found += (lowest[i] < 0.0f) & (highest[i] > 0.0f);
    return found;
}

}  // namespace

extern "C" {

// Merges a block. `totals`: [chunks][pairs + 2], products of the deltas from the reference, conflicts of sign, merged squares.
int64_t merge_block(const Input* input, const Deltas* deltas, const Recipe* recipe, double* totals) try {
    const int64_t n = deltas->num_models, row = n * (n + 1) / 2 + 2;
    // the summary's deltas are those from the reference, the method's may be whole values
    Deltas seen = *deltas;
    seen.origin = recipe->reference;
    Reader reader(*input, n);
    const Floats kept(kChunk * n), narrowed(kPiece);
    alignas(64) float merged[kChunk];
    struct Work {
        const Input& input;
        const Deltas& deltas;
        const Recipe& recipe;
        Reader& reader;
        double* totals;
        float *kept, *merged;
        char* narrowed;
        int64_t n, row;
        bool finite = true;
        void operator()(int64_t chunk, int64_t at, int64_t count) {
            for (int64_t m = 0; m < n; ++m) {
                const float* x = deltas.origin < 0 ? reader.value(deltas.sources[m]) : reader.delta(m);
                thin(deltas, m, x, input.first + at, count, kept + m * kChunk);
            }
            combine(recipe, n, kept, recipe.base < 0 ? nullptr : reader.value(recipe.base), count, merged);
            finite &= narrow(merged, recipe.type, count, narrowed + at % kPiece * width_of(recipe.type));
            double* to = products(reader, n, count, totals + chunk * row);
            *to++ = n > 1 ? conflicts(reader, n, count) : 0.0;
            const float *x = merged, *o = reader.value(recipe.reference);
            *to = total(count, [x, o](int64_t i) { return (x[i] - o[i]) * (x[i] - o[i]); });
        }
        int64_t finish(int64_t begin, int64_t count) {
            if (!finite) return -1;
            const int64_t width = width_of(recipe.type);
            const char* from = narrowed;
            int64_t at = recipe.start + begin * width, left = count * width;
            while (left > 0) {
                const ssize_t put = pwrite(static_cast<int>(recipe.handle), from, left, at);
                if (put < 0 && errno == EINTR) continue;
                if (put < 0) return -1000 - errno;
                from += put, at += put, left -= put;
            }
            return 0;
        }
    };
    Work work{*input, *deltas, *recipe, reader, totals, kept.get(), merged, reinterpret_cast<char*>(narrowed.get()), n, row};
    return each_chunk(*input, reader, seen, work);
} catch (const std::bad_alloc&) {
    return -1000 - ENOMEM;
}

// Inner products of all pairs of deltas: `totals` is [chunks][pairs].
int64_t gram_block(const Input* input, const Deltas* deltas, double* totals) try {
    const int64_t n = deltas->num_models, row = n * (n + 1) / 2;
    Reader reader(*input, n);
    auto work = quiet([&](int64_t chunk, int64_t, int64_t count) { products(reader, n, count, totals + chunk * row); });
    return each_chunk(*input, reader, *deltas, work);
} catch (const std::bad_alloc&) {
    return -5000 - ENOMEM;
}

// Absolute values of the deltas and of what is kept of them: `totals` is [chunks][2][models].
int64_t sizes_block(const Input* input, const Deltas* deltas, double* totals) try {
    const int64_t n = deltas->num_models;
    Reader reader(*input, n);
    alignas(64) float kept[kChunk];
    auto work = quiet([&](int64_t chunk, int64_t at, int64_t count) {
        for (int64_t m = 0; m < n; ++m) {
            const float *d = reader.delta(m), *k = kept;
            thin(*deltas, m, d, input->first + at, count, kept);
            totals[(chunk * 2) * n + m] = total(count, [d](int64_t i) { return std::fabs(d[i]); });
            totals[(chunk * 2 + 1) * n + m] = total(count, [k](int64_t i) { return std::fabs(k[i]); });
        }
    });
    return each_chunk(*input, reader, *deltas, work);
} catch (const std::bad_alloc&) {
    return -5000 - ENOMEM;
}

// Adds to `counts` [models][4096] how many magnitudes have each value of their upper 12 bits.
int64_t upper_block(const Input* input, const Deltas* deltas, uint32_t* counts) try {
    const int64_t n = deltas->num_models;
    Reader reader(*input, n);
    auto work = quiet([&](int64_t, int64_t, int64_t count) {
        for (int64_t m = 0; m < n; ++m) {
            const float* d = reader.delta(m);
            uint32_t* to = counts + (m << 12);
            for (int64_t i = 0; i < count; ++i) ++to[(reinterpret<uint32_t>(d[i]) & 0x7FFFFFFFu) >> kLow];
        }
    });
    return each_chunk(*input, reader, *deltas, work);
} catch (const std::bad_alloc&) {
    return -5000 - ENOMEM;
}

// Adds to `counts` [models][2^19] how many magnitudes whose upper bits are `uppers[m]` have each value of the others.
int64_t lower_block(const Input* input, const Deltas* deltas, const uint32_t* uppers, uint32_t* counts) try {
    const int64_t n = deltas->num_models;
    Reader reader(*input, n);
    auto work = quiet([&](int64_t, int64_t, int64_t count) {
        for (int64_t m = 0; m < n; ++m) {
            const float* d = reader.delta(m);
            uint32_t* to = counts + (m << kLow);
            for (int64_t i = 0; i < count; ++i) {
                const uint32_t bits = reinterpret<uint32_t>(d[i]) & 0x7FFFFFFFu;
                if (bits >> kLow == uppers[m]) ++to[bits & ((1u << kLow) - 1)];
            }
        }
    });
    return each_chunk(*input, reader, *deltas, work);
} catch (const std::bad_alloc&) {
    return -5000 - ENOMEM;
}

// How many magnitudes of each chunk equal `bounds[m]`: `totals` is [chunks][models].
int64_t equal_block(const Input* input, const Deltas* deltas, const uint32_t* bounds, double* totals) try {
    const int64_t n = deltas->num_models;
    Reader reader(*input, n);
    auto work = quiet([&](int64_t chunk, int64_t, int64_t count) {
        for (int64_t m = 0; m < n; ++m) {
            const float* d = reader.delta(m);
            int32_t found = 0;
            for (int64_t i = 0; i < count; ++i) found += (reinterpret<uint32_t>(d[i]) & 0x7FFFFFFFu) == bounds[m];
            totals[chunk * n + m] = found;
        }
    });
    return each_chunk(*input, reader, *deltas, work);
} catch (const std::bad_alloc&) {
    return -5000 - ENOMEM;
}

}  // extern "C"
