// bfloat16, the upper half of a float, as a type to store: vectors of it are vectors of floats. The two instructions of
// AVX512-BF16 are written as assembly: the library is compiled for AVX-512 machines with and without them.
#pragma once

#include "vector.h"

#if defined(__AVX512F__)
#define SWEEPSEG_BFLOAT16

namespace sweepseg {

struct BFloat16 {
    uint16_t bits;
};

template <>
struct Lanes<BFloat16> : Lanes<float> {};

// To 2e-5, a hundredth of what rounding to bfloat16 may change: three coefficients, and log(2) in one piece.
template <>
struct Exponential<BFloat16> : Exponential<float> {
    static constexpr float q[] = {0.500016510f, 0.167496279f, 0.0416100137f};
    static constexpr float log2_high = 0.693147181f, log2_low = 0;
};

SWEEPSEG_INLINE Vec<float> load(const BFloat16* p) {
    typedef uint16_t Halves __attribute__((vector_size(VECTOR_BYTES / 2)));
    Halves halves;
    std::memcpy(&halves, p, sizeof halves);
    return from_bits<float>(__builtin_convertvector(halves, Ints<float>) << 16);
}

// Rounded to the nearest, ties to even; NaN stays NaN.
SWEEPSEG_INLINE void store(BFloat16* p, Vec<float> v) {
    __m256i rounded;
    asm("vcvtneps2bf16 %1, %0" : "=v"(rounded) : "v"(v));
    std::memcpy(p, &rounded, sizeof rounded);
}

SWEEPSEG_INLINE void store(BFloat16* p, Vec<float> v, int n) {
    BFloat16 all[LANES<BFloat16>];
    store(all, v);
    for (int i = 0; i < n; i++) p[i] = all[i];
}

SWEEPSEG_INLINE Vec<float> load_columns(const BFloat16* p) {
    Vec<float> pairs;
    std::memcpy(&pairs, p, sizeof pairs);
    return pairs;
}

SWEEPSEG_INLINE Vec<float> multiply_add(Vec<float> sum, const BFloat16* row, Vec<float> columns) {
    int32_t pair;
    std::memcpy(&pair, row, sizeof pair);
    asm("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(columns), "v"(pair + Ints<float>{}));
    return sum;
}

}  // namespace sweepseg
#endif
