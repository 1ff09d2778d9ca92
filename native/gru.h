// The gates of gru_scan.cpp and conv_gru_scan.cpp.
#pragma once

#include "vector.h"

namespace sweepseg {
namespace {

// In the letters of torch.nn.GRU. Slots: the candidate's product with x, r, z, the candidate's product with the state.
struct GRU {
    static constexpr int slots = 4, saved = 4, rows = 4;
    static constexpr int x_gates[] = {2, 0, 1}, h_gates[] = {0, 1, 2}, late_gates[] = {0};
    static constexpr bool resets = false, has_c = false;

    template <typename T>
    SWEEPSEG_INLINE static void forward(const Vec<T> (&sums)[slots], Vec<T>& h, Vec<T>&, Vec<T>* saved) {
        const Vec<T> r = sigmoid<T>(sums[1]), z = sigmoid<T>(sums[2]), n = tanh<T>(sums[0] + r * sums[3]);
        h = n + z * (h - n);
        saved[0] = r, saved[1] = z, saved[2] = n, saved[3] = sums[3];
    }

    template <typename T>
    SWEEPSEG_INLINE static void backward(const Vec<T>* saved, Vec<T>, Vec<T> h, Vec<T>, Vec<T>& grad_h, Vec<T>&,
                                         Vec<T> (&grads)[slots]) {
        const Vec<T> r = saved[0], z = saved[1], n = saved[2];
        grads[0] = grad_h * (T(1) - z) * (T(1) - n * n);
        grads[1] = grads[0] * saved[3] * r * (T(1) - r);
        grads[2] = grad_h * (h - n) * z * (T(1) - z);
        grads[3] = grads[0] * r;
        grad_h *= z;
    }
};

// The reset gate acts before the candidate's product with the state. Slots: the candidate, r, z.
struct GRUResetBefore {
    static constexpr int slots = 3, saved = 3, rows = 4;
    static constexpr int x_gates[] = {2, 0, 1}, h_gates[] = {0, 1}, late_gates[] = {2};
    static constexpr bool resets = true, has_c = false;

    template <typename T>
    SWEEPSEG_INLINE static Vec<T> reset(Vec<T> (&sums)[slots], Vec<T> h) {
        sums[1] = sigmoid<T>(sums[1]), sums[2] = sigmoid<T>(sums[2]);
        return sums[1] * h;
    }

    template <typename T>
    SWEEPSEG_INLINE static void forward(const Vec<T> (&sums)[slots], Vec<T>& h, Vec<T>&, Vec<T>* saved) {
        const Vec<T> z = sums[2], n = tanh<T>(sums[0]);
        h = n + z * (h - n);
        saved[0] = sums[1], saved[1] = z, saved[2] = n;
    }

    template <typename T>
    SWEEPSEG_INLINE static void backward(const Vec<T>* saved, Vec<T>, Vec<T> h, Vec<T>, Vec<T>& grad_h, Vec<T>&,
                                         Vec<T> (&grads)[slots]) {
        const Vec<T> z = saved[1], n = saved[2];
        grads[0] = grad_h * (T(1) - z) * (T(1) - n * n);
        grads[1] = Vec<T>{};  // known when the gradient of the reset state is
        grads[2] = grad_h * (h - n) * z * (T(1) - z);
        grad_h *= z;
    }
};

}  // namespace
}  // namespace sweepseg
