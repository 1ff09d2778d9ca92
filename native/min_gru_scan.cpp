// h[t] = (1 - z) * h[t-1] + z * candidate[t] with z = sigmoid(gate[t])
#include "scan.h"

namespace sweepseg {
namespace {

template <typename T>
struct MinGRU {
    static constexpr int INPUTS = 2;  // gate, candidate
    static constexpr int PARTS = 2;   // of them in one tensor
    static constexpr int64_t GRAIN = 100000;

    static SWEEPSEG_INLINE Vec<T> forward(const Vec<T>* x, Vec<T> h) {
        const Gate<T> z = gate<T>(x[0]);
        return z.closed * h + z.open * x[1];
    }

    static SWEEPSEG_INLINE Vec<T> backward(const Vec<T>* x, Vec<T> before, Vec<T> s, Vec<T>* gradient) {
        const Gate<T> z = gate<T>(x[0]);
        gradient[1] = s * z.open;
        gradient[0] = gradient[1] * z.closed * (x[1] - before);
        return s * z.closed;
    }
};

}  // namespace
}  // namespace sweepseg

SWEEPSEG_SCAN(min_gru_scan, sweepseg::MinGRU)
