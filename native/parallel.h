// How the kernels are entered and how they share torch's threads.
#pragma once

#include <cstdint>

// A function that Python calls: plain C types only.
#define SWEEPSEG_API extern "C" __attribute__((visibility("default")))

namespace sweepseg {

// torch's `torch_parallel_for`, handed in by ops/_native.py when it loads the library.
using ParallelFor = int32_t (*)(int64_t begin, int64_t end, int64_t grain, void (*run)(int64_t, int64_t, void*),
                                void* context);
extern ParallelFor torch_parallel_for;

// Call `work(block)` for 0 <= block < blocks; at least `grain` blocks make it worth to wake another thread (about
// 50 us of work). What a block computes must not depend on which others share its thread.
template <typename Work>
void parallel_for(int64_t blocks, int64_t grain, const Work& work) {
    if (blocks <= grain) {
        for (int64_t block = 0; block < blocks; block++) work(block);
        return;
    }
    const auto run = [](int64_t begin, int64_t end, void* context) {
        const Work& work = *static_cast<const Work*>(context);
        for (int64_t block = begin; block < end; block++) work(block);
    };
    torch_parallel_for(0, blocks, grain, run, const_cast<Work*>(&work));
}

}  // namespace sweepseg
