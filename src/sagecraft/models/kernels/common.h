// What the kernels share: bfloat16 as its 16 bits, an exponential that vectorises, scratch memory.
//
// No header of torch or Python is needed: the functions take plain pointers (library.py calls them through ctypes), so a
// build takes seconds. Loops are written for the compiler's vectoriser; `simd reduction` says where the order of a sum is free.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>

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

// e^x to 2 units in the last place: x = n ln 2 + r, a polynomial for e^r, n put into the exponent. Below -87 it is 1e-38, not 0:
// callers mask what must vanish.
inline float exponential(float x) {
    constexpr float shift = 12582912.0f;  // 1.5 x 2^23: adding it rounds to an integer
    x = x < -87.0f ? -87.0f : x;
    x = x > 88.0f ? 88.0f : x;
    const float n = (x * 1.44269504f + shift) - shift;
    const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    return p * reinterpret<float>((static_cast<int32_t>(n) + 127) << 23);
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
