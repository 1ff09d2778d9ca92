// Working memory of a kernel.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>

namespace sweepseg {

// `size` values of T{}, on cache lines of their own. Not `new`, which is part of the C++ runtime: the libraries need the
// C library alone, so that they load beside any compiler's runtime, or none.
template <typename T>
struct Buffer {
    explicit Buffer(int64_t size) : data(static_cast<T*>(std::aligned_alloc(64, (size * sizeof(T) + 63) / 64 * 64))) {
        std::uninitialized_value_construct_n(data.get(), size);
    }
    operator T*() const { return data.get(); }

    struct Free {
        void operator()(T* p) const { std::free(p); }
    };
    std::unique_ptr<T, Free> data;
};

}  // namespace sweepseg
