// What the kernels share: bfloat16 as its 16 bits, vectors, a power of two, scratch memory.
//
// No header of torch or Python is needed: the functions take plain pointers (library.py calls them through ctypes), so a
// build takes seconds. Loops bound by memory are left to the compiler's vectoriser (`simd reduction` says where the order of a
// sum is free); those bound by arithmetic are written in GCC's vectors, which it maps to whatever the processor has.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>

#ifdef __AVX512BF16__
#include <immintrin.h>
#endif

using bf16 = uint16_t;

// C++20's std::bit_cast, which compilers before GCC 11 lack.
template <typename To, typename From>
inline To reinterpret(From from) {
    To to;
    static_assert(sizeof(to) == sizeof(from));
    std::memcpy(&to, &from, sizeof(to));
    return to;
}

inline float widen(bf16 x) { return reinterpret<float>(static_cast<uint32_t>(x) << 16); }

// Rounds to nearest, ties to even, as torch does.
inline bf16 narrow(float x) {
    const uint32_t bits = reinterpret<uint32_t>(x);
    return static_cast<bf16>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

constexpr int64_t kLanes = 16;
using Floats = float __attribute__((vector_size(64)));
using Ints = int32_t __attribute__((vector_size(64)));
using Words = uint32_t __attribute__((vector_size(64)));
using Halves = bf16 __attribute__((vector_size(32)));

template <typename T>
inline T load(const void* from) {
    T x;
    std::memcpy(&x, from, sizeof(x));
    return x;
}
template <typename T>
inline void store(void* to, const T& x) {
    std::memcpy(to, &x, sizeof(x));
}

inline Floats widen(Halves x) { return reinterpret<Floats>(__builtin_convertvector(x, Words) << 16); }
inline Floats load_wide(const bf16* from) { return widen(load<Halves>(from)); }

inline Halves narrow(Floats x) {
#ifdef __AVX512BF16__  // the same rounding in one instruction; tiny numbers become 0
    return reinterpret<Halves>(_mm512_cvtneps_pbh(reinterpret<__m512>(x)));
#else
    const Words bits = reinterpret<Words>(x);
    return __builtin_convertvector((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16, Halves);
#endif
}

// 2^x for x up to 127, to 1e-7 of itself (a polynomial of least relative error on [-0.5, 0.5]); below -126 it is 1e-38, so
// callers mask what must vanish. Larger x give nonsense, no fault. e^x is 2^(x log2 e): one multiplication, which often is
// part of x already.
inline Floats power_of_two(Floats x) {
    constexpr float shift = 12582912.0f;  // 1.5 x 2^23: adding it rounds to an integer, which stands in the low bits
    x = x < -126.0f ? Floats{} - 126.0f : x;
    const Floats shifted = x + shift, r = x - (shifted - shift);
    Floats p = 1.3276466e-3f * r + 9.6755413e-3f;
    p = p * r + 5.5507135e-2f;
    p = p * r + 2.4022120e-1f;
    p = p * r + 6.9314694e-1f;
    p = p * r + 1.0f;
    return reinterpret<Floats>(reinterpret<Ints>(p) + (reinterpret<Ints>(shifted) << 23));
}
constexpr float kLog2E = 1.44269504f;

inline float sum_of(Floats x) {
    float total = 0.0f;
    for (int64_t i = 0; i < kLanes; ++i) total += x[i];
    return total;
}
inline float largest_of(Floats x) {
    float largest = x[0];
    for (int64_t i = 1; i < kLanes; ++i) largest = x[i] > largest ? x[i] : largest;
    return largest;
}
inline Ints lanes_from(int64_t start) {
    return Ints{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15} + static_cast<int32_t>(start);
}

// Memory that the vector units load without crossing lines; freed at the end of the scope.
template <typename T>
class Scratch {
   public:
    explicit Scratch(int64_t size) {
        const size_t bytes = (static_cast<size_t>(size > 0 ? size : 1) * sizeof(T) + 63) / 64 * 64;
        data_ = static_cast<T*>(std::aligned_alloc(64, bytes));
        if (data_ == nullptr) throw std::bad_alloc();
    }
    ~Scratch() { std::free(data_); }
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
    T* get() const { return data_; }

   private:
    T* data_;
};

inline int64_t round_up(int64_t x, int64_t to) { return (x + to - 1) / to * to; }
