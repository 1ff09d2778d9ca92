// h[t] = exp(delta[t] A) h[t-1] + delta[t] x[t] B[t], y[t] = C[t] h[t] + D x[t], every channel with `states` states.
//
// Lanes are channels. Nothing as large as (steps, channels, states) is stored: for the backward pass the forward pass
// keeps the states before every SEGMENT-th step, and the steps between are computed again.
#include <algorithm>
#include <limits>
#include <type_traits>

#include "recurrent.h"
#include "scan.h"

namespace sweepseg {
namespace {

constexpr int64_t SEGMENT = 16;  // steps from one kept state to the next; ops/selective_scan/_cpu.py knows it too
constexpr int64_t CHUNK = 4;     // vectors of channels in a block of the forward pass
constexpr int TOGETHER = 2;      // states that run through a segment side by side in the backward pass
constexpr int64_t GROUPS = 16;   // partial sums of the gradients of A and D

// Null where there is none.
template <typename T>
struct SelectiveTensors {
    const T *A, *D, *initial;  // (channels, states), (channels,), (rows, channels, states)
    T *final, *kept;           // (rows, channels, states), (rows, segments, states, channels)
};

template <typename T>
struct SelectiveGradients {
    const T* final;
    T *A, *D, *initial;
};

template <typename T, int N>
struct Part {
    typedef T Vector __attribute__((vector_size(N * sizeof(T))));
};

// The coefficients of (2^r - 1) / r for |r| <= 1/2: those of e^r - 1 - r in vector.h in powers of log(2).
template <typename T>
struct Power {
    static constexpr T log2 = T(0.693147180559945309417);
    static constexpr int degree = sizeof(Exponential<T>::q) / sizeof(T);
    T c[degree + 1];

    constexpr Power() : c{} {
        double power = 0.693147180559945309417;
        c[0] = T(power);
        for (int i = 0; i < degree; i++) c[i + 1] = T((power *= 0.693147180559945309417) * Exponential<T>::q[i]);
    }
};

// x 2^k for whole numbers k: one instruction that also underflows as it should, or a product with 2^k, which is 0 from
// where k is below the exponents of T.
#if defined(__AVX512F__)
SWEEPSEG_INLINE __m512 nearest(__m512 t) { return _mm512_maskz_roundscale_ps(__mmask16(-1), t, 0); }
SWEEPSEG_INLINE __m512d nearest(__m512d t) { return _mm512_maskz_roundscale_pd(__mmask8(-1), t, 0); }
SWEEPSEG_INLINE __m512 scaled(__m512 x, __m512 k) { return _mm512_maskz_scalef_ps(__mmask16(-1), x, k); }
SWEEPSEG_INLINE __m512d scaled(__m512d x, __m512d k) { return _mm512_maskz_scalef_pd(__mmask8(-1), x, k); }
template <typename T>
struct PowerOfTwo {
    static constexpr T lowest = -4 * Exponential<T>::bias;  // below it all underflows
    Vec<T> k;

    SWEEPSEG_INLINE explicit PowerOfTwo(Vec<T> t, Vec<T>& rest) : k(nearest(t)) { rest = t - k; }
    SWEEPSEG_INLINE Vec<T> times(Vec<T> x) const { return scaled(x, k); }
};
#else
template <typename T>
struct PowerOfTwo {
    static constexpr T lowest = -Exponential<T>::bias;
    Vec<T> scale;

    SWEEPSEG_INLINE explicit PowerOfTwo(Vec<T> t, Vec<T>& rest) {
        const Vec<T> shifted = t + Exponential<T>::round;
        rest = t - (shifted - Exponential<T>::round);
        scale = power_of_two<T>(to_bits<T>(shifted));
    }
    SWEEPSEG_INLINE Vec<T> times(Vec<T> x) const { return x * scale; }
};
#endif

// 2^t = 2^k (1 + p) with |p| < 1/2 exact to the last place also for small t. A state h 2^t = u + u p, u = h 2^k, then
// keeps its digits for as many steps as it remembers, where h times the rounded 2^t would lose them.
template <typename T>
class Decay {
   public:
    // t must not be above Exponential<T>::bias.
    SWEEPSEG_INLINE explicit Decay(Vec<T> t) : power(clamped(t), p) {
        constexpr Power<T> coefficients;
        Vec<T> q = broadcast(coefficients.c[coefficients.degree]);
#pragma GCC unroll 16
        for (int i = coefficients.degree - 1; i >= 0; i--) q = q * p + coefficients.c[i];
        p *= q;
    }

    SWEEPSEG_INLINE Vec<T> apply(Vec<T> h, Vec<T> update) const {
        const Vec<T> u = power.times(h);
        return u + (u * p + update);
    }
    SWEEPSEG_INLINE Vec<T> minus_one() const {
        const Vec<T> scale = power.times(broadcast(T(1)));
        return p * scale + (scale - T(1));
    }

   private:
    using Unsigned = typename Part<std::make_unsigned_t<std::decay_t<decltype(Ints<T>{}[0])>>, LANES<T>>::Vector;
    Vec<T> p;
    PowerOfTwo<T> power;

    // The greater of t and the lowest, as integers: of negative numbers the bits grow as they fall.
    SWEEPSEG_INLINE static Vec<T> clamped(Vec<T> t) {
        const auto bits = reinterpret_cast<Unsigned>(t);
        const auto lowest = reinterpret_cast<Unsigned>(broadcast(PowerOfTwo<T>::lowest));
        return reinterpret_cast<Vec<T>>(bits < lowest ? bits : lowest);
    }
};

template <typename T, int N = LANES<T>>
SWEEPSEG_INLINE T total(typename Part<T, N>::Vector v) {
    if constexpr (N == 2) {
        return v[0] + v[1];
    } else {
        typename Part<T, N / 2>::Vector halves[2];
        std::memcpy(halves, &v, sizeof v);
        return total<T, N / 2>(halves[0] + halves[1]);
    }
}

template <typename T>
class SelectiveScan {
   public:
    SelectiveScan(const Shape& shape, int64_t states, const SelectiveTensors<T>& tensors)
        : shape(shape), states(states), tensors(tensors), bounds(2 * vectors * L), rates(vectors * width * L) {
        for (int64_t c = 0; c < shape.channels; c++)
            for (int64_t n = 0; n < states; n++)
                rates[(c / L * width + n) * L + c % L] = rate_of(tensors.A[c * states + n]);
        constexpr T most = Exponential<T>::bias, never = std::numeric_limits<T>::max();
        for (int64_t c = 0; c < shape.channels; c++) {
            const auto [least, greatest] = std::minmax_element(tensors.A + c * states, tensors.A + (c + 1) * states);
            bounds[c] = *least < 0 ? most / *least * T(0.69) : -never;
            bounds[vectors * L + c] = *greatest > 0 ? most / *greatest * T(0.69) : never;
        }
    }

    // `sequences` are x, delta, B, C and y.
    void forward(const Sequence<T>* sequences) const {
        const int64_t chunks = divide_up(vectors, CHUNK);
        const double work = double(shape.steps) * std::min(vectors, CHUNK) * states;
        parallel_for(rows * chunks, tasks_per_thread(160 * work), [&](int64_t block) {
            const int64_t first = block % chunks * CHUNK;
            forward_block(sequences, block / chunks, first, std::min(CHUNK, vectors - first));
        });
    }

    // `sequences` are x, delta, B, C, the gradient of y, and the gradients of x, delta, B and C.
    void backward(const Sequence<T>* sequences, const SelectiveGradients<T>& gradients) const {
        const int64_t groups = std::min(rows, GROUPS), size = vectors * (width + 1) * L;
        Buffer<T> sums(std::max<int64_t>(groups, 1) * size);
        const double work = double(divide_up(rows, GROUPS)) * shape.steps * vectors * states;
        parallel_for(groups, tasks_per_thread(400 * work), [&](int64_t group) {
            for (int64_t row = rows * group / groups; row < rows * (group + 1) / groups; row++)
                backward_row(sequences, gradients, row, sums + group * size);
        });
        for (int64_t group = 1; group < groups; group++)
            for (int64_t i = 0; i < size; i++) sums[i] += sums[group * size + i];
        for (int64_t c = 0; c < shape.channels; c++) {
            for (int64_t n = 0; n < states; n++)
                gradients.A[c * states + n] = sums[(c / L * width + n) * L + c % L];
            gradients.D[c] = sums[vectors * width * L + c];
        }
    }

   private:
    static constexpr int L = LANES<T>;

    // A / log(2). The NaN is a positive one, which Decay lets through.
    static T rate_of(T A) { return A == A ? A * T(1.44269504088896340736) : std::numeric_limits<T>::quiet_NaN(); }
    int64_t time(int64_t s) const { return shape.reverse ? shape.steps - 1 - s : s; }
    T* at(const Sequence<T>& sequence, int64_t row, int64_t s) const {
        return sequence.at(row / shape.inner, row % shape.inner, time(s));
    }
    int64_t left(int64_t vector) const { return shape.channels - vector * L; }
    T* kept(int64_t row, int64_t segment, int64_t n, int64_t vector) const {
        return tensors.kept + ((row * segments + segment) * states + n) * shape.channels + vector * L;
    }

    // Step sizes for which delta A is not beyond the exponents of T: a decay that grows without bound does not wrap.
    SWEEPSEG_INLINE Vec<T> bounded(Vec<T> delta, int64_t vector) const {
        const Vec<T> least = load<T>(bounds + vector * L), most = load<T>(bounds + (vectors + vector) * L);
        delta = delta < least ? least : delta;
        return delta > most ? most : delta;
    }

    // The states of one vector of channels, (channels, states) in memory, as `states` vectors.
    void load_states(const T* from, int64_t row, int64_t vector, T* to) const {
        std::fill_n(to, states * L, T(0));
        if (!from) return;
        for (int64_t c = 0; c < std::min<int64_t>(L, left(vector)); c++)
            for (int64_t n = 0; n < states; n++)
                to[n * L + c] = from[(row * shape.channels + vector * L + c) * states + n];
    }
    void store_states(const T* from, int64_t row, int64_t vector, T* to) const {
        for (int64_t c = 0; c < std::min<int64_t>(L, left(vector)); c++)
            for (int64_t n = 0; n < states; n++)
                to[(row * shape.channels + vector * L + c) * states + n] = from[n * L + c];
    }

    void forward_block(const Sequence<T>* sequences, int64_t row, int64_t first, int64_t count) const {
        Buffer<T> h(count * states * L);
        for (int64_t v = 0; v < count; v++) load_states(tensors.initial, row, first + v, h + v * states * L);
        for (int64_t s = 0; s < shape.steps; s++) {
            if (tensors.kept && s % SEGMENT == 0)
                for (int64_t v = first; v < first + count; v++)
                    for (int64_t n = 0; n < states; n++)
                        store_some(kept(row, s / SEGMENT, n, v), load<T>(h + ((v - first) * states + n) * L), left(v));
            const T *x = at(sequences[0], row, s), *delta = at(sequences[1], row, s);
            const T *B = at(sequences[2], row, s), *C = at(sequences[3], row, s);
            T* y = at(sequences[4], row, s);
            for (int64_t v = 0; v < count; v++) {
                const int64_t c = (first + v) * L, channels = left(first + v);
                const Vec<T> x_ = load_some(x + c, channels), delta_ = load_some(delta + c, channels);
                const Vec<T> delta_x = delta_ * x_, exponent = bounded(delta_, first + v);
                Vec<T> sum = tensors.D ? x_ * load_some(tensors.D + c, channels) : Vec<T>{};
                T* state = h + v * states * L;
                const T* rate = rates + (first + v) * width * L;
#pragma GCC unroll 4
                for (int64_t n = 0; n < states; n++) {
                    Vec<T> h_ = load(state + n * L);
                    h_ = Decay<T>(exponent * load(rate + n * L)).apply(h_, delta_x * B[n]);
                    store(state + n * L, h_);
                    sum += h_ * C[n];
                }
                store_some(y + c, sum, channels);
            }
        }
        for (int64_t v = 0; v < count; v++) store_states(h + v * states * L, row, first + v, tensors.final);
    }

    void backward_row(const Sequence<T>* sequences, const SelectiveGradients<T>& gradients, int64_t row,
                      T* sums) const {
        const int64_t size = vectors * SEGMENT * L;
        Buffer<T> memory(6 * size + vectors * width * L);
        T *x = memory, *delta = x + size, *delta_x = delta + size, *grad_y = delta_x + size;
        T *of_delta_x = grad_y + size, *of_rate = of_delta_x + size, *s_all = of_rate + size;
        for (int64_t v = 0; v < vectors; v++) load_states(gradients.final, row, v, s_all + v * width * L);
        for (int64_t segment = segments - 1; segment >= 0; segment--) {
            const int64_t first = segment * SEGMENT, steps = std::min(SEGMENT, shape.steps - first);
            for (int64_t v = 0; v < vectors; v++)
                for (int64_t i = 0; i < SEGMENT; i++) {  // steps behind the last one change nothing: all zero
                    const int64_t place = (v * SEGMENT + i) * L, c = v * L;
                    const auto get = [&](const Sequence<T>& sequence) {
                        return i < steps ? load_some(at(sequence, row, first + i) + c, left(v)) : Vec<T>{};
                    };
                    const Vec<T> x_ = get(sequences[0]), delta_ = get(sequences[1]);
                    store(x + place, x_);
                    store(delta + place, bounded(delta_, v));
                    store(delta_x + place, delta_ * x_);
                    store(grad_y + place, get(sequences[4]));
                    store(of_delta_x + place, Vec<T>{});
                    store(of_rate + place, Vec<T>{});
                }
            for (int64_t n = 0; n < states; n += TOGETHER) {
                T B[SEGMENT][TOGETHER] = {}, C[SEGMENT][TOGETHER] = {};
                Vec<T> of_B[SEGMENT][TOGETHER] = {}, of_C[SEGMENT][TOGETHER] = {};
                const int64_t count = std::min<int64_t>(TOGETHER, states - n);
                for (int64_t i = 0; i < steps; i++) {
                    std::copy_n(at(sequences[2], row, first + i) + n, count, B[i]);
                    std::copy_n(at(sequences[3], row, first + i) + n, count, C[i]);
                }
                for (int64_t v = 0; v < vectors; v++) {
                    T* const sum = sums + (v * width + n) * L;
                    T* const s_ = s_all + (v * width + n) * L;
                    const int64_t begin = v * SEGMENT * L;
                    Vec<T> h[SEGMENT + 1][TOGETHER], change[SEGMENT][TOGETHER];  // change = decay - 1
                    Vec<T> rate[TOGETHER], of_A[TOGETHER], s[TOGETHER];
                    for (int j = 0; j < TOGETHER; j++) {
                        h[0][j] = j < count ? load_some(kept(row, segment, n + j, v), left(v)) : Vec<T>{};
                        rate[j] = load<T>(rates + (v * width + n + j) * L);
                        of_A[j] = load(sum + j * L);
                        s[j] = load(s_ + j * L);
                    }
                    for (int64_t i = 0; i < SEGMENT; i++)
                        for (int j = 0; j < TOGETHER; j++) {
                            const int64_t place = begin + i * L;
                            change[i][j] = Decay<T>(load(delta + place) * rate[j]).minus_one();
                            h[i + 1][j] = h[i][j] + (h[i][j] * change[i][j] + load(delta_x + place) * B[i][j]);
                        }
                    for (int64_t i = SEGMENT - 1; i >= 0; i--) {
                        const int64_t place = begin + i * L;
                        const Vec<T> grad_y_ = load(grad_y + place), delta_x_ = load(delta_x + place);
                        Vec<T> q = load(of_delta_x + place), r = load(of_rate + place);
                        for (int j = 0; j < TOGETHER; j++) {
                            s[j] += grad_y_ * C[i][j];
                            of_C[i][j] += grad_y_ * h[i + 1][j];
                            of_B[i][j] += s[j] * delta_x_;
                            q += s[j] * B[i][j];
                            s[j] += s[j] * change[i][j];
                            const Vec<T> of_exponent = s[j] * h[i][j];
                            r += of_exponent * rate[j];
                            of_A[j] += of_exponent * load(delta + place);
                        }
                        store(of_delta_x + place, q);
                        store(of_rate + place, r);
                    }
                    for (int j = 0; j < TOGETHER; j++) {
                        store(sum + j * L, of_A[j]);
                        store(s_ + j * L, s[j]);
                    }
                }
                for (int64_t i = 0; i < steps; i++)
                    for (int64_t j = 0; j < count; j++) {
                        at(sequences[7], row, first + i)[n + j] = total<T>(of_B[i][j]);
                        at(sequences[8], row, first + i)[n + j] = total<T>(of_C[i][j]);
                    }
            }
            for (int64_t i = 0; i < steps; i++)
                for (int64_t v = 0; v < vectors; v++) {
                    const int64_t place = (v * SEGMENT + i) * L, c = v * L;
                    const Vec<T> x_ = load(x + place), grad_y_ = load(grad_y + place), q = load(of_delta_x + place);
                    const Vec<T> D = tensors.D ? load_some(tensors.D + c, left(v)) : Vec<T>{};
                    T* of_D = sums + (vectors * width + v) * L;
                    store(of_D, load(of_D) + grad_y_ * x_);
                    store_some(at(sequences[5], row, first + i) + c, q * load(delta + place) + D * grad_y_, left(v));
                    store_some(at(sequences[6], row, first + i) + c,
                               q * x_ + load(of_rate + place) * T(0.693147180559945309417), left(v));
                }
        }
        for (int64_t v = 0; v < vectors; v++) store_states(s_all + v * width * L, row, v, gradients.initial);
    }

    const Shape& shape;
    const int64_t states;
    const SelectiveTensors<T>& tensors;
    const int64_t rows = shape.outer * shape.inner, vectors = divide_up(shape.channels, L);
    const int64_t segments = divide_up(shape.steps, SEGMENT);
    const int64_t width = divide_up(states, TOGETHER) * TOGETHER;
    Buffer<T> bounds;  // of delta, [least, greatest][channel]
    Buffer<T> rates;   // A / log(2), [vector of channels][state up to width][lane], padded with zeros
};

}  // namespace
}  // namespace sweepseg

#define SWEEPSEG_SELECTIVE_SCAN(T)                                                                                  \
    SWEEPSEG_API void sweepseg_selective_scan_##T(const sweepseg::Shape* shape, int64_t states,                     \
                                                  const sweepseg::Sequence<T>* sequences,                           \
                                                  const sweepseg::SelectiveTensors<T>* tensors) {                   \
        sweepseg::SelectiveScan<T>(*shape, states, *tensors).forward(sequences);                                    \
    }                                                                                                               \
    SWEEPSEG_API void sweepseg_selective_scan_backward_##T(                                                         \
        const sweepseg::Shape* shape, int64_t states, const sweepseg::Sequence<T>* sequences,                       \
        const sweepseg::SelectiveTensors<T>* tensors, const sweepseg::SelectiveGradients<T>* gradients) {           \
        sweepseg::SelectiveScan<T>(*shape, states, *tensors).backward(sequences, *gradients);                       \
    }
SWEEPSEG_SELECTIVE_SCAN(float)
SWEEPSEG_SELECTIVE_SCAN(double)
