// h[t] = decay[t] * h[t-1] + update[t]
#include "scan.h"

namespace sweepseg {
namespace {

template <typename T>
struct Linear {
    static constexpr int INPUTS = 2;  // decay, update
    static constexpr int PARTS = 1;   // of them in one tensor
    static constexpr int64_t GRAIN = 300000;

    static SWEEPSEG_INLINE Vec<T> forward(const Vec<T>* x, Vec<T> h) { return x[0] * h + x[1]; }

    static SWEEPSEG_INLINE Vec<T> backward(const Vec<T>* x, Vec<T> before, Vec<T> s, Vec<T>* gradient) {
        gradient[0] = s * before;
        gradient[1] = s;
        return x[0] * s;
    }
};

}  // namespace
}  // namespace sweepseg

SWEEPSEG_SCAN(linear_scan, sweepseg::Linear)
