// The gates of lstm_scan.cpp and conv_lstm_scan.cpp.
#pragma once

#include "vector.h"

namespace sweepseg {
namespace {

// In the letters and the order of torch.nn.LSTM: i, f, g, o.
struct LSTM {
    static constexpr int slots = 4, saved = 5;
    static constexpr int x_gates[] = {0, 1, 2, 3}, h_gates[] = {0, 1, 2, 3}, late_gates[] = {0};
    static constexpr bool resets = false, has_c = true;
    static constexpr int rows = VECTOR_BYTES == 64 ? 4 : 3;

    template <typename T>
    SWEEPSEG_INLINE static void forward(const Vec<T> (&sums)[slots], Vec<T>& h, Vec<T>& c, Vec<T>* saved) {
        const Vec<T> i = sigmoid<T>(sums[0]), f = sigmoid<T>(sums[1]), g = tanh<T>(sums[2]), o = sigmoid<T>(sums[3]);
        c = f * c + i * g;
        h = o * tanh<T>(c);
        saved[0] = i, saved[1] = f, saved[2] = g, saved[3] = o, saved[4] = c;
    }

    template <typename T>
    SWEEPSEG_INLINE static void backward(const Vec<T>* saved, Vec<T>, Vec<T>, Vec<T> c, Vec<T>& grad_h, Vec<T>& grad_c,
                                         Vec<T> (&grads)[slots]) {
        const Vec<T> i = saved[0], f = saved[1], g = saved[2], o = saved[3], tanh_c = tanh<T>(saved[4]);
        grad_c += grad_h * o * (T(1) - tanh_c * tanh_c);
        grads[0] = grad_c * g * i * (T(1) - i);
        grads[1] = grad_c * c * f * (T(1) - f);
        grads[2] = grad_c * i * (T(1) - g * g);
        grads[3] = grad_h * tanh_c * o * (T(1) - o);
        grad_c *= f;
        grad_h = Vec<T>{};
    }
};

}  // namespace
}  // namespace sweepseg
