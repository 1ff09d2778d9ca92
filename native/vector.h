// Vectors of the instruction set's own width, as GCC's and Clang's vector extensions give them: `+ - * / < ?:` act
// on every lane. One source serves AVX-512, AVX2, SSE2 and NEON.
#pragma once

#include <cstdint>
#include <cstring>
#include <limits>
#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace sweepseg {

#if defined(__AVX512F__)
constexpr int VECTOR_BYTES = 64;
#elif defined(__AVX__)
constexpr int VECTOR_BYTES = 32;
#else
constexpr int VECTOR_BYTES = 16;
#endif

template <typename T>
struct Lanes;
template <>
struct Lanes<float> {
    typedef float Number;
    typedef float Vector __attribute__((vector_size(VECTOR_BYTES)));
    typedef int32_t Integers __attribute__((vector_size(VECTOR_BYTES)));
};
template <>
struct Lanes<double> {
    typedef double Number;
    typedef double Vector __attribute__((vector_size(VECTOR_BYTES)));
    typedef int64_t Integers __attribute__((vector_size(VECTOR_BYTES)));
};

template <typename T>
using Number = typename Lanes<T>::Number;  // what to compute with: T or, for a T that is only stored, its wide type
template <typename T>
using Vec = typename Lanes<T>::Vector;  // LANES<T> numbers of T
template <typename T>
using Ints = typename Lanes<T>::Integers;  // as many integers of the same size: bits and comparisons
template <typename T>
constexpr int LANES = VECTOR_BYTES / int(sizeof(Number<T>));
template <typename T>
constexpr int DEPTH = int(sizeof(Number<T>) / sizeof(T));  // how many numbers of a row one `multiply_add` takes

#define SWEEPSEG_INLINE inline __attribute__((always_inline))
#define SWEEPSEG_LAMBDA __attribute__((always_inline))  // the same for a lambda, behind its arguments

template <typename T>
SWEEPSEG_INLINE Vec<T> broadcast(T value) {
    return value - Vec<T>{};
}

// The LANES numbers at `p`, which needs no alignment.
template <typename T>
SWEEPSEG_INLINE Vec<T> load(const T* p) {
    Vec<T> v;
    std::memcpy(&v, p, sizeof v);
    return v;
}

template <typename T>
SWEEPSEG_INLINE void store(T* p, Vec<T> v) {
    std::memcpy(p, &v, sizeof v);
}

// A product of a row and a matrix, bit by bit: DEPTH numbers from each of LANES columns, and sum + row * these numbers.
template <typename T>
SWEEPSEG_INLINE Vec<T> load_columns(const T* p) {
    return load(p);
}
template <typename T>
SWEEPSEG_INLINE Vec<T> multiply_add(Vec<T> sum, const T* row, Vec<T> columns) {
    return sum + *row * columns;
}

// The first `n` numbers at `p`, 0 <= n < LANES, and zeros behind them. Nothing behind them is touched.
template <typename T>
SWEEPSEG_INLINE Vec<T> load(const T* p, int n) {
    Vec<T> v{};
    for (int i = 0; i < n; i++) v[i] = p[i];
    return v;
}

template <typename T>
SWEEPSEG_INLINE void store(T* p, Vec<T> v, int n) {
    for (int i = 0; i < n; i++) p[i] = v[i];
}

// Past the caches, for results that are larger than them; `p` must be aligned to VECTOR_BYTES. End with `fence`.
template <typename T>
SWEEPSEG_INLINE void stream(T* p, Vec<T> v) {
#if defined(__clang__)
    __builtin_nontemporal_store(v, reinterpret_cast<Vec<T>*>(p));
#elif defined(__AVX512F__)
    __builtin_ia32_movntps512(reinterpret_cast<float*>(p), reinterpret_cast<Lanes<float>::Vector>(v));
#elif defined(__AVX__)
    __builtin_ia32_movntps256(reinterpret_cast<float*>(p), reinterpret_cast<Lanes<float>::Vector>(v));
#elif defined(__SSE2__)
    __builtin_ia32_movntps(reinterpret_cast<float*>(p), reinterpret_cast<Lanes<float>::Vector>(v));
#else
    store(p, v);
#endif
}

SWEEPSEG_INLINE void fence() {
#if defined(__SSE2__)
    __builtin_ia32_sfence();  // streamed results become visible to the other threads
#endif
}

// max(a, b) of one instruction, which is b where either is NaN. (GCC 12 warns of what `_mm512_max_ps` leaves undefined.)
#if defined(__AVX512F__)
SWEEPSEG_INLINE __m512 larger(__m512 a, __m512 b) { return _mm512_maskz_max_ps(__mmask16(-1), a, b); }
SWEEPSEG_INLINE __m512d larger(__m512d a, __m512d b) { return _mm512_maskz_max_pd(__mmask8(-1), a, b); }
#elif defined(__AVX__)
SWEEPSEG_INLINE __m256 larger(__m256 a, __m256 b) { return _mm256_max_ps(a, b); }
SWEEPSEG_INLINE __m256d larger(__m256d a, __m256d b) { return _mm256_max_pd(a, b); }
#elif defined(__SSE2__)
SWEEPSEG_INLINE __m128 larger(__m128 a, __m128 b) { return _mm_max_ps(a, b); }
SWEEPSEG_INLINE __m128d larger(__m128d a, __m128d b) { return _mm_max_pd(a, b); }
#endif

// `x`, or the bound where it is beyond it; NaN stays NaN. Compilers make two instructions of `?:`.
template <typename T>
SWEEPSEG_INLINE Vec<T> at_least(Vec<T> x, Number<T> bound) {
#if defined(__SSE2__)
    return larger(broadcast(bound), x);
#else
    return x < bound ? broadcast(bound) : x;
#endif
}
template <typename T>
SWEEPSEG_INLINE Vec<T> at_most(Vec<T> x, Number<T> bound) {
    return -at_least<T>(-x, -bound);
}

// e^r - 1 = r + r^2 q(r) for |r| <= log(2) / 2. The coefficients of q are a minimax fit of the error relative to
// e^r - 1: Lawson's reweighted least squares at Chebyshev points in 50 digits; 1.3e-8 for float, 1.8e-17 for double.
template <typename T>
struct Exponential;
template <>
struct Exponential<float> {
    static constexpr float q[] = {0.499999981f, 0.166665434f, 0.0416672008f, 0.00836654745f, 0.00138825107f};
    static constexpr float log2_high = 0.693145751953125f;  // its product with an exponent is exact
    static constexpr float log2_low = 1.42860677e-6f;
    static constexpr float round = 12582912.0f + 127;  // 1.5 * 2^23 + bias: a sum with it holds, in its low bits, the
                                                       // nearest integer plus the bias
    static constexpr float lowest = -104.0f;     // e^x is 0 below, infinite above
    static constexpr float highest = 89.0f;
    static constexpr float vanishing = -88.0f;  // 2^round(vanishing / log(2)) has the biased exponent 0, which is 0.0
    static constexpr int mantissa = 23;
    static constexpr int bias = 127;
};
template <>
struct Exponential<double> {
    static constexpr double q[] = {0x1.0000000000005p-1,  0x1.5555555555539p-3,  0x1.5555555552287p-5,
                                   0x1.1111111118f98p-7,  0x1.6c16c17ee8a30p-10, 0x1.a01a0175262b5p-13,
                                   0x1.a019a746c9cd4p-16, 0x1.71de87c0e63abp-19, 0x1.28a209adc6500p-22,
                                   0x1.ae6c4f2e21c61p-26};
    static constexpr double log2_high = 0x1.62e42feep-1;
    static constexpr double log2_low = 0x1.a39ef35793c76p-33;
    static constexpr double round = 6755399441055744.0 + 1023;  // 1.5 * 2^52 + bias
    static constexpr double lowest = -746.0;
    static constexpr double highest = 710.0;
    static constexpr double vanishing = -709.0;
    static constexpr int mantissa = 52;
    static constexpr int bias = 1023;
};

template <typename T>
SWEEPSEG_INLINE Vec<T> from_bits(Ints<T> bits) {
    return reinterpret_cast<Vec<T>>(bits);
}

template <typename T>
SWEEPSEG_INLINE Ints<T> to_bits(Vec<T> v) {
    return reinterpret_cast<Ints<T>>(v);
}

// x = exponent * log(2) + r; returns e^r - 1, and the exponent plus its bias in the low bits of `biased`.
template <typename T>
SWEEPSEG_INLINE Vec<T> reduced_expm1(Vec<T> x, Ints<T>& biased) {
    using E = Exponential<T>;
    const Vec<T> shifted = x * Number<T>(1.44269504088896340736) + E::round;
    const Vec<T> exponent = shifted - E::round;
    biased = to_bits<T>(shifted);
    Vec<T> r = x - exponent * E::log2_high;
    if constexpr (E::log2_low != 0) r -= exponent * E::log2_low;
    constexpr int degree = sizeof(E::q) / sizeof(E::q[0]) - 1;
    Vec<T> q = broadcast(E::q[degree]);
    for (int i = degree - 1; i >= 0; i--) q = q * r + E::q[i];
    return (q * r) * r + r;
}

// 2^exponent, 0 for the exponent -bias.
template <typename T>
SWEEPSEG_INLINE Vec<T> power_of_two(Ints<T> biased) {
    return from_bits<T>(biased << Exponential<T>::mantissa);
}

// e^x within 1.1 units in the last place; 0 and infinity where it under- and overflows; NaN stays NaN.
template <typename T>
SWEEPSEG_INLINE Vec<T> exp(Vec<T> x) {
    using E = Exponential<T>;
    x = at_most<T>(at_least<T>(x, E::lowest), E::highest);
    Ints<T> biased;
    const Vec<T> p = reduced_expm1<T>(x, biased);
    const Ints<T> exponent = biased - to_bits<T>(broadcast(E::round));
    const Ints<T> half = exponent >> 1;  // two factors: 2^exponent itself may be out of range where e^x is not
    const Vec<T> scale = power_of_two<T>(half + E::bias);
    return (p * scale + scale) * power_of_two<T>(exponent - half + E::bias);
}

// e^x for x < -vanishing, cheaper than `exp`: results below the smallest normal number are 0.
template <typename T>
SWEEPSEG_INLINE Vec<T> exp_small(Vec<T> x) {
    using E = Exponential<T>;
    Ints<T> biased;
    const Vec<T> p = reduced_expm1<T>(at_least<T>(x, E::vanishing), biased);
    const Vec<T> scale = power_of_two<T>(biased);
    return p * scale + scale;
}

template <typename T>
SWEEPSEG_INLINE Vec<T> absolute(Vec<T> x) {
    return from_bits<T>(to_bits<T>(x) & std::numeric_limits<decltype(Ints<T>{}[0] + 0)>::max());
}

// sigmoid(x) and sigmoid(-x), which is 1 - sigmoid(x) without cancellation, each within 3 units in the last place.
template <typename T>
struct Gate {
    Vec<T> open, closed;
};

template <typename T>
SWEEPSEG_INLINE Gate<T> gate(Vec<T> x) {
    const Vec<T> e = exp_small<T>(-absolute<T>(x));
    const Vec<T> large = T(1) / (T(1) + e), small = e * large;
    const Ints<T> positive = x > T(0);
    return {positive ? large : small, positive ? small : large};
}

// sigmoid(x) alone, cheaper: within 3 units in the last place, and no smaller than e^vanishing.
template <typename T>
SWEEPSEG_INLINE Vec<T> sigmoid(Vec<T> x) {
    using N = Number<T>;
    return N(1) / (N(1) + exp_small<T>(-at_least<T>(x, Exponential<T>::vanishing + 1)));
}

// tanh |x| = m / (2 - m) with m = 1 - e^(-2 |x|), within 3 units in the last place.
template <typename T>
SWEEPSEG_INLINE Vec<T> tanh(Vec<T> x) {
    using E = Exponential<T>;
    using N = Number<T>;
    Ints<T> biased;
    const Vec<T> p = reduced_expm1<T>(at_least<T>(absolute<T>(x) * N(-2), E::vanishing), biased);
    const Vec<T> scale = power_of_two<T>(biased);
    const Vec<T> m = (N(1) - scale) - p * scale;
    const Vec<T> magnitude = m / (N(2) - m);
    const Ints<T> sign = to_bits<T>(x) & std::numeric_limits<decltype(Ints<T>{}[0] + 0)>::min();
    return from_bits<T>(to_bits<T>(magnitude) | sign);
}

}  // namespace sweepseg
