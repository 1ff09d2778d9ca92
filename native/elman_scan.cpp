#include "recurrent.h"

namespace sweepseg {
namespace {

template <typename Nonlinearity>
struct Elman {
    static constexpr int slots = 1, saved = 0;
    static constexpr int x_gates[] = {0}, h_gates[] = {0}, late_gates[] = {0};
    static constexpr bool resets = false, has_c = false;
    static constexpr int rows = 8;

    template <typename T>
    SWEEPSEG_INLINE static void forward(const Vec<T> (&sums)[slots], Vec<T>& h, Vec<T>&, Vec<T>*) {
        h = Nonlinearity::template value<T>(sums[0]);
    }

    template <typename T>
    SWEEPSEG_INLINE static void backward(const Vec<T>*, Vec<T> y, Vec<T>, Vec<T>, Vec<T>& grad_h, Vec<T>&,
                                         Vec<T> (&grads)[slots]) {
        grads[0] = grad_h * Nonlinearity::template slope<T>(y);
        grad_h = Vec<T>{};
    }
};

// Functions with their slope where the value is y.
struct Tanh {
    template <typename T>
    SWEEPSEG_INLINE static Vec<T> value(Vec<T> x) { return tanh<T>(x); }
    template <typename T>
    SWEEPSEG_INLINE static Vec<T> slope(Vec<T> y) { return T(1) - y * y; }
};
struct ReLU {
    template <typename T>
    SWEEPSEG_INLINE static Vec<T> value(Vec<T> x) { return x < T(0) ? Vec<T>{} : x; }  // NaN stays NaN
    template <typename T>
    SWEEPSEG_INLINE static Vec<T> slope(Vec<T> y) { return y > T(0) ? broadcast(T(1)) : Vec<T>{}; }
};

}  // namespace
}  // namespace sweepseg

SWEEPSEG_RECURRENCE(elman_scan_tanh, Elman<sweepseg::Tanh>)
SWEEPSEG_RECURRENCE(elman_scan_relu, Elman<sweepseg::ReLU>)
