// h[t] = f' * h[t-1] + i' * candidate[t] with f' = f / (f + i), i' = i / (f + i), f and i sigmoids of gates
#include "scan.h"

namespace sweepseg {
namespace {

// i' and f' = (1 + e^-i, 1 + e^-f) crosswise over their sum, each term times e^least so that none overflows.
template <typename T>
struct Shares {
    Vec<T> input, forget;

    SWEEPSEG_INLINE Shares(Vec<T> i, Vec<T> f) {
        Vec<T> least = i < f ? i : f;
        least = least < T(0) ? least : Vec<T>{};
        const Vec<T> one = exp_small<T>(least);
        const Vec<T> closed_i = one + exp_small<T>(least - i), closed_f = one + exp_small<T>(least - f);
        const Vec<T> scale = T(1) / (closed_i + closed_f);
        input = closed_f * scale;
        forget = closed_i * scale;
    }
};

template <typename T>
struct MinLSTM {
    static constexpr int INPUTS = 3;  // input gate, forget gate, candidate
    static constexpr int PARTS = 3;   // of them in one tensor
    static constexpr int64_t GRAIN = 50000;

    static SWEEPSEG_INLINE Vec<T> forward(const Vec<T>* x, Vec<T> h) {
        const Shares<T> share(x[0], x[1]);
        return share.forget * h + share.input * x[2];
    }

    static SWEEPSEG_INLINE Vec<T> backward(const Vec<T>* x, Vec<T> before, Vec<T> s, Vec<T>* gradient) {
        const Shares<T> share(x[0], x[1]);
        gradient[2] = s * share.input;
        const Vec<T> slope = gradient[2] * share.forget * (x[2] - before);  // by log(i / f)
        gradient[0] = slope * gate<T>(x[0]).closed;
        gradient[1] = -slope * gate<T>(x[1]).closed;
        return s * share.forget;
    }
};

}  // namespace
}  // namespace sweepseg

SWEEPSEG_SCAN(min_lstm_scan, sweepseg::MinLSTM)
