// How the kernels are entered and how they share torch's threads.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>

#include "buffer.h"

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

// How far the bands of a pipeline are.
class Progress {
   public:
    struct alignas(64) Told {
        std::atomic<int64_t> much{0};
    };
    Progress(Told* told, int64_t band) : told(told), band(band) {}

    // Until another band has told at least so much.
    void wait(int64_t other, int64_t much) const {
        for (int spins = 0; told[other].much.load(std::memory_order_acquire) < much; spins++)
            if (spins > 1000) std::this_thread::yield();
    }
    void tell(int64_t much) const { told[band].much.store(much, std::memory_order_release); }

   private:
    Told* told;
    int64_t band;
};

// Call `work(band, progress)` for 0 <= band < bands; a band may wait for what bands before it have told. Threads take the
// bands in their order, so that none waits for a band that nobody has begun, and one thread alone never waits.
template <typename Work>
void pipeline(int64_t bands, int64_t grain, const Work& work) {
    const Buffer<Progress::Told> told(bands);
    std::atomic<int64_t> next{0};
    parallel_for(bands, grain, [&](int64_t) {
        const int64_t band = next.fetch_add(1, std::memory_order_relaxed);
        work(band, Progress(told, band));
    });
}

}  // namespace sweepseg
