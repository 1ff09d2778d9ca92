// Recurrences that run every channel on its own, h[t] = f(inputs[t], h[t-1]): one walk over strided sequences for all.
#pragma once

#include <algorithm>
#include <cstdlib>

#include "parallel.h"
#include "vector.h"

namespace sweepseg {

// Sequences (outer, inner, steps, channels); the channels of a step lie side by side. States (outer, inner, channels)
// are dense.
struct Shape {
    int64_t outer, inner, steps, channels;
    bool reverse;
};

template <typename T>
struct Sequence {
    T* data;
    int64_t outer, inner, step;  // strides in numbers

    SWEEPSEG_INLINE T* at(int64_t o, int64_t i, int64_t t) const { return data + o * outer + i * inner + t * step; }
};

// Take COUNT sequences that lie side by side, PARTS of them in the channels of each tensor.
template <int PARTS, int COUNT, typename T>
const Sequence<T>* split(const Sequence<T>* tensors, int64_t channels, Sequence<T>* sequences) {
    for (int k = 0; k < COUNT; k++) {
        sequences[k] = tensors[k / PARTS];
        sequences[k].data += k % PARTS * channels;
    }
    return tensors + COUNT / PARTS;
}

template <typename T>
constexpr int64_t vectors(int64_t channels) {
    return (channels + LANES<T> - 1) / LANES<T>;
}

// The lines [line, line + lines) of one outer index, and of their channels [channel, channel + channels): what one
// thread walks from the first step to the last.
struct Block {
    int64_t outer, line, lines, channel, channels;
};

// How vectors come and go, and how many steps a vector of state runs on before it goes back to the nearest cache: more
// where the steps of a line are neighbours; across lines their addresses would compete for the same place in the cache.
template <int STEPS>
struct Cached {
    static constexpr int TOGETHER = STEPS;
    static constexpr bool DESCENDS = false;

    template <typename T>
    SWEEPSEG_INLINE Vec<T> get(const T* p, int64_t) const {
        return load(p);
    }
    template <typename T>
    SWEEPSEG_INLINE void put(T* p, Vec<T> v) const {
        store(p, v);
    }
};
// Sequences larger than the caches: later steps are asked for early, results are written past the caches, and memory
// is walked in one direction.
struct Streamed {
    static constexpr int TOGETHER = 1;
    static constexpr bool DESCENDS = true;
    int64_t ahead;  // steps

    template <typename T>
    SWEEPSEG_INLINE Vec<T> get(const T* p, int64_t step) const {
        __builtin_prefetch(p + step * ahead, 0, 2);
        return load(p);
    }
    template <typename T>
    SWEEPSEG_INLINE void put(T* p, Vec<T> v) const {
        stream(p, v);
    }
};
struct Partial {  // lines shorter than a vector
    static constexpr int TOGETHER = 1;
    static constexpr bool DESCENDS = false;
    int channels;

    template <typename T>
    SWEEPSEG_INLINE Vec<T> get(const T* p, int64_t) const {
        return load(p, channels);
    }
    template <typename T>
    SWEEPSEG_INLINE void put(T* p, Vec<T> v) const {
        store(p, v, channels);
    }
};

// States are small and read again soon: they never go past the caches.
template <typename T, typename Access>
SWEEPSEG_INLINE void keep(const Access& access, T* p, Vec<T> v) {
    access.put(p, v);
}
template <typename T>
SWEEPSEG_INLINE void keep(const Streamed&, T* p, Vec<T> v) {
    store(p, v);
}

// Measured on Zen 4, in bytes.
constexpr int64_t STREAMED = 4 << 20;    // from this size of a sequence on it is streamed
constexpr int64_t MOST_STATE = 16384;    // of a block, when it is streamed across lines; fewer if there are few blocks
constexpr int64_t ACROSS_STATE = 4096;   // when it is cached and the steps of a line are far apart
constexpr int64_t ALONG_STATE = 512;     // when it is cached and they are neighbours
constexpr int64_t BLOCKS = 8;

// Call `work(shape, block, access)` for all blocks, which depend on the shape alone; `grain` is the number of elements
// that take about 50 us.
template <typename T, int COUNT, typename Work>
void for_each_block(Shape shape, Sequence<T> (&sequences)[COUNT], int64_t grain, const Work& work) {
    const int64_t size = shape.outer * shape.inner * shape.steps * shape.channels;
    if (size == 0) return;
    bool dense = true, aligned = true;
    for (Sequence<T>& s : sequences) {
        if (shape.reverse) {
            s.data += (shape.steps - 1) * s.step;
            s.step = -s.step;
        }
        dense &= s.inner == shape.channels;
        const int64_t strides = (shape.outer > 1 ? s.outer : 0) | (shape.inner > 1 ? s.inner : 0) | s.step;
        aligned &= reinterpret_cast<uintptr_t>(s.data) % VECTOR_BYTES == 0 && strides % LANES<T> == 0;
    }
    if (dense) {  // lines that touch are one line
        shape.channels *= shape.inner;
        shape.inner = 1;
    }
    const Sequence<T>& last = sequences[COUNT - 1];
    const bool along = shape.inner > 1 && std::abs(last.step) < std::abs(last.inner);
    const bool streamed = aligned && shape.channels % LANES<T> == 0 && size * int64_t(sizeof(T)) >= STREAMED;
    const int64_t row = shape.inner * shape.channels * int64_t(sizeof(T));
    const int64_t bytes = !streamed ? (along ? ALONG_STATE : ACROSS_STATE)
                          : along   ? MOST_STATE
                                    : std::clamp(row / BLOCKS, ACROSS_STATE, MOST_STATE);
    const int64_t width = bytes / VECTOR_BYTES * LANES<T>, padded = vectors<T>(shape.channels) * LANES<T>;
    const int64_t channels = std::min(width, shape.channels);
    const int64_t lines = streamed && along ? 1 : std::max<int64_t>(1, width / padded);
    const int64_t line_blocks = (shape.inner + lines - 1) / lines;
    const int64_t channel_blocks = (shape.channels + channels - 1) / channels;
    const int64_t blocks = shape.outer * line_blocks * channel_blocks;
    parallel_for(blocks, std::max<int64_t>(1, grain * blocks / size), [&](int64_t index) {
        Block block;
        block.channel = index % channel_blocks * channels;
        block.channels = std::min(channels, shape.channels - block.channel);
        block.line = index / channel_blocks % line_blocks * lines;
        block.lines = std::min(lines, shape.inner - block.line);
        block.outer = index / channel_blocks / line_blocks;
        if (block.channels < LANES<T>) {
            work(shape, block, Partial{int(block.channels)});
        } else if (streamed) {
            work(shape, block, Streamed{along ? 4 : 1});
            fence();
        } else if (along) {
            work(shape, block, Cached<4>{});
        } else {
            work(shape, block, Cached<1>{});
        }
    });
}

// Call `visit(channel, i)` for every vector of a line, i counting them. The last vector of a line whose length is no
// multiple of LANES overlaps the one before it; there is none in a descending walk.
template <typename T, typename Visit>
SWEEPSEG_INLINE void for_each_vector(int64_t channels, const Visit& visit, bool descending = false) {
    if (descending) {
        for (int64_t i = channels / LANES<T>; i-- > 0;) visit(i * LANES<T>, i);
        return;
    }
    int64_t channel = 0, i = 0;
    for (; channel + LANES<T> <= channels; channel += LANES<T>) visit(channel, i++);
    if (channel < channels) visit(std::max<int64_t>(0, channels - LANES<T>), i);
}

// One block of a scan, forwards or backwards; what they share: where the block's lines and states are.
template <typename T>
struct Lines {
    const Shape& shape;
    const Block& block;

    int64_t end() const { return block.line + block.lines; }
    T* at(const Sequence<T>& sequence, int64_t line, int64_t t) const {
        return sequence.at(block.outer, line, t) + block.channel;
    }
    template <typename State>
    State* state(State* states, int64_t line) const {
        return states ? states + (block.outer * shape.inner + line) * shape.channels + block.channel : nullptr;
    }
    template <typename Access>
    void read(const T* states, Vec<T>* h, const Access& access) const {
        for (int64_t line = block.line; line < end(); line++, h += vectors<T>(block.channels)) {
            const T* p = state(states, line);
            for_each_vector<T>(block.channels, [&](int64_t c, int64_t i) SWEEPSEG_LAMBDA {
                h[i] = p ? access.get(p + c, 0) : Vec<T>{};
            });
        }
    }
};

// Run STEPS steps of a line from `t` on: a vector of state goes back to memory only after the last of them.
template <typename Step, int STEPS, typename T, typename Access>
SWEEPSEG_INLINE void advance(const Sequence<T>* sequences, const Lines<T>& lines, int64_t line, int64_t t, Vec<T>* state,
                             const Access& access) {
    constexpr int INPUTS = Step::INPUTS;
    T* p[INPUTS + 1];
    int64_t step[INPUTS + 1];
    for (int k = 0; k <= INPUTS; k++) p[k] = lines.at(sequences[k], line, t), step[k] = sequences[k].step;
    for_each_vector<T>(lines.block.channels, [&](int64_t c, int64_t i) SWEEPSEG_LAMBDA {
        Vec<T> h = state[i];
        for (int n = 0; n < STEPS; n++) {
            Vec<T> x[INPUTS];
            for (int k = 0; k < INPUTS; k++) x[k] = access.get(p[k] + n * step[k] + c, STEPS * step[k]);
            h = Step::forward(x, h);
            access.put(p[INPUTS] + n * step[INPUTS] + c, h);
        }
        state[i] = h;
    }, Access::DESCENDS && step[0] < 0);
}

// Run h = Step::forward(inputs, h). The shape is that of the output; the tensors are the inputs, PARTS in each, then the
// output; `initial` may be null.
template <typename T, typename Step>
void scan(const Shape& shape, const Sequence<T>* tensors, const T* initial, T* final) {
    constexpr int INPUTS = Step::INPUTS;
    Sequence<T> sequences[INPUTS + 1];  // the inputs, the output
    tensors = split<Step::PARTS, INPUTS>(tensors, shape.channels, sequences);
    sequences[INPUTS] = *tensors;
    for_each_block(shape, sequences, Step::GRAIN, [&](const Shape& shape, const Block& block, auto access) {
        const Lines<T> lines{shape, block};
        const int64_t width = vectors<T>(block.channels);
        constexpr int TOGETHER = decltype(access)::TOGETHER;
        Vec<T> state[MOST_STATE / VECTOR_BYTES];
        lines.read(initial, state, access);
        int64_t t = 0;
        for (; t + TOGETHER <= shape.steps; t += TOGETHER)
            for (int64_t line = block.line, i = 0; line < lines.end(); line++, i += width)
                advance<Step, TOGETHER>(sequences, lines, line, t, state + i, access);
        for (; t < shape.steps; t++)
            for (int64_t line = block.line, i = 0; line < lines.end(); line++, i += width)
                advance<Step, 1>(sequences, lines, line, t, state + i, access);
        for (int64_t line = block.line, i = 0; line < lines.end(); line++, i += width) {
            T* p = lines.state(final, line);
            for_each_vector<T>(block.channels, [&](int64_t c, int64_t v) { keep(access, p + c, state[i + v]); });
        }
    });
}

// The same backwards, from `t` down. The step 0, before which no output is, comes with STEPS = 0.
template <typename Step, int STEPS, typename T, typename Access>
SWEEPSEG_INLINE void retreat(const Sequence<T>* sequences, const Lines<T>& lines, int64_t line, int64_t t,
                             const T* initial, Vec<T>* state, const Access& access) {
    constexpr int INPUTS = Step::INPUTS, OUTPUT = INPUTS, GRAD_OUTPUT = INPUTS + 1, GRADIENTS = INPUTS + 2;
    T* p[2 * INPUTS + 2];
    int64_t step[2 * INPUTS + 2];
    for (int k = 0; k < 2 * INPUTS + 2; k++) p[k] = lines.at(sequences[k], line, t), step[k] = -sequences[k].step;
    for_each_vector<T>(lines.block.channels, [&](int64_t c, int64_t i) SWEEPSEG_LAMBDA {
        Vec<T> s = state[i];
        for (int n = 0; n < std::max(1, STEPS); n++) {
            const auto get = [&](int k, int64_t at) SWEEPSEG_LAMBDA {
                return access.get(p[k] + at * step[k] + c, STEPS * step[k]);
            };
            Vec<T> x[INPUTS], gradient[INPUTS], before{};
            for (int k = 0; k < INPUTS; k++) x[k] = get(k, n);
            if (STEPS > 0) before = get(OUTPUT, n + 1);
            else if (initial) before = access.get(initial + c, 0);
            s = Step::backward(x, before, s + get(GRAD_OUTPUT, n), gradient);
            for (int k = 0; k < INPUTS; k++) access.put(p[GRADIENTS + k] + n * step[GRADIENTS + k] + c, gradient[k]);
        }
        state[i] = s;
    }, Access::DESCENDS && step[0] < 0);
}

// The gradients: with s = d loss / d h[t], Step::backward(inputs[t], h[t-1], s, gradients of inputs[t]) returns the part
// of d loss / d h[t-1] that comes through h[t]. The tensors are the inputs, the output, its gradient, then the
// gradients of the inputs; `initial` and `grad_final` may be null.
template <typename T, typename Step>
void scan_backward(const Shape& shape, const Sequence<T>* tensors, const T* initial, const T* grad_final,
                   T* grad_initial) {
    constexpr int INPUTS = Step::INPUTS;
    Sequence<T> sequences[2 * INPUTS + 2];  // the inputs, the output, its gradient, theirs
    tensors = split<Step::PARTS, INPUTS>(tensors, shape.channels, sequences);
    sequences[INPUTS] = *tensors++;
    sequences[INPUTS + 1] = *tensors++;
    split<Step::PARTS, INPUTS>(tensors, shape.channels, sequences + INPUTS + 2);
    for_each_block(shape, sequences, Step::GRAIN, [&](const Shape& shape, const Block& block, auto access) {
        const Lines<T> lines{shape, block};
        const int64_t width = vectors<T>(block.channels);
        constexpr int TOGETHER = decltype(access)::TOGETHER;
        Vec<T> state[MOST_STATE / VECTOR_BYTES];
        lines.read(grad_final, state, access);
        int64_t t = shape.steps - 1;
        for (; t >= TOGETHER; t -= TOGETHER)
            for (int64_t line = block.line, i = 0; line < lines.end(); line++, i += width)
                retreat<Step, TOGETHER, T>(sequences, lines, line, t, nullptr, state + i, access);
        for (; t > 0; t--)
            for (int64_t line = block.line, i = 0; line < lines.end(); line++, i += width)
                retreat<Step, 1, T>(sequences, lines, line, t, nullptr, state + i, access);
        for (int64_t line = block.line, i = 0; line < lines.end(); line++, i += width) {
            retreat<Step, 0>(sequences, lines, line, 0, lines.state(initial, line), state + i, access);
            T* p = lines.state(grad_initial, line);
            for_each_vector<T>(block.channels, [&](int64_t c, int64_t v) { keep(access, p + c, state[i + v]); });
        }
    });
}

}  // namespace sweepseg

// The functions of one recurrence that Python calls, for float and double.
#define SWEEPSEG_SCAN_OF(NAME, STEP, T)                                                                       \
    SWEEPSEG_API void sweepseg_##NAME##_##T(const sweepseg::Shape* shape, const sweepseg::Sequence<T>* tensors, \
                                            const T* initial, T* final) {                                     \
        sweepseg::scan<T, STEP<T>>(*shape, tensors, initial, final);                                          \
    }                                                                                                         \
    SWEEPSEG_API void sweepseg_##NAME##_backward_##T(const sweepseg::Shape* shape,                            \
                                                     const sweepseg::Sequence<T>* tensors, const T* initial,  \
                                                     const T* grad_final, T* grad_initial) {                  \
        sweepseg::scan_backward<T, STEP<T>>(*shape, tensors, initial, grad_final, grad_initial);              \
    }
#define SWEEPSEG_SCAN(NAME, STEP)       \
    SWEEPSEG_SCAN_OF(NAME, STEP, float) \
    SWEEPSEG_SCAN_OF(NAME, STEP, double)
