// What the recurrences with weights share: one thread takes a block of rows (sequences) through all time steps, so that
// the weights stay in its cache and neither gates nor projected inputs go through memory.
//
// A cell (gru.h, lstm.h, elman_scan.cpp) has per unit `slots` sums: the products with x add to the first
// of them, those with the state to the last; `x_gates` and `h_gates` name their places in the weights. A cell that
// `resets` adds the product of the `late_gates` with the reset state to the first sum, when the others are known.
#pragma once

#include <algorithm>
#include <cstdint>

#include "bfloat16.h"
#include "buffer.h"
#include "parallel.h"
#include "vector.h"

namespace sweepseg {

struct Strides {
    int64_t outer, inner, step;
};

// Sizes in numbers, not bytes. x is (outer, inner, steps, input) with contiguous channels.
struct RecurrentShape {
    int64_t outer, inner, steps, input, hidden, reverse;
    Strides x, y, grad_x, grad_y;

    int64_t rows() const { return outer * inner; }
    // The position of the step that runs as number `s`.
    int64_t time(int64_t s) const { return reverse ? steps - 1 - s : s; }
    double multiply_adds(int gates) const { return double(rows()) * steps * gates * hidden * (input + hidden); }
    // Where the sequences of the rows from `first` start.
    void starts(const Strides& strides, int64_t first, int64_t rows, int64_t* start) const {
        for (int64_t row = first; row < first + rows; row++)
            *start++ = row / inner * strides.outer + row % inner * strides.inner;
    }
};

// Null where there is none. The states, the mask and their gradients are (rows, hidden) and contiguous.
template <typename T>
struct RecurrentTensors {
    const T *x, *weight_ih, *weight_hh;
    const Number<T> *bias_ih, *bias_hh, *h0, *c0, *mask;
    T* y;
    Number<T> *h, *c, *saved;  // saved: (steps, rows, Cell::saved, hidden), what the backward pass needs
};

// Of the outputs, null for zeros, and of the inputs that are not null, to be written. BackwardScan alone reads x_so_far, to
// which it adds that of x, in place: null for zeros.
template <typename T>
struct RecurrentGradients {
    const T *y, *h, *c;
    T *x, *weight_ih, *weight_hh, *bias_ih, *bias_hh, *h0, *c0, *mask;
    const T* x_so_far;
};

template <int Count>
constexpr int count(const int (&)[Count]) {
    return Count;
}
SWEEPSEG_INLINE int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
template <typename T>
SWEEPSEG_INLINE int64_t padded(int64_t size) {
    return divide_up(size, LANES<T>) * LANES<T>;
}
// Rows and columns of products that are this long, padded with zeros.
template <typename T>
SWEEPSEG_INLINE int64_t padded_depth(int64_t depth) {
    return divide_up(depth, DEPTH<T>) * DEPTH<T>;
}

template <typename T>
SWEEPSEG_INLINE Vec<T> load_some(const T* p, int64_t n) {
    return n >= LANES<T> ? load(p) : load(p, int(n));
}
template <typename T>
SWEEPSEG_INLINE void store_some(T* p, Vec<T> v, int64_t n) {
    n >= LANES<T> ? store(p, v) : store(p, v, int(n));
}

template <typename T>
SWEEPSEG_INLINE void copy(const T* from, int64_t n, T* to) {
    constexpr int64_t step = VECTOR_BYTES / sizeof(T);
    int64_t i = 0;
    for (; i + step <= n; i += step) std::memcpy(to + i, from + i, VECTOR_BYTES);
    for (; i < n; i++) to[i] = from[i];
}

template <typename T>
SWEEPSEG_INLINE void prefetch(const T* p, int64_t n) {
    for (int64_t i = 0; i < n; i += 64 / sizeof(T)) __builtin_prefetch(p + i);
}

// sums[r][First + j] += sum over k of a[r][k] * b[k][j] with vectors b[k][j]; the sums stay in registers.
template <int First, int Count, int Rows, int Slots, typename T>
SWEEPSEG_INLINE void multiply(Vec<T> (&sums)[Rows][Slots], const T* a, int64_t a_row, int64_t a_k, const T* b,
                              int64_t b_k, int64_t depth) {
    for (int64_t k = 0; k < depth; k += DEPTH<T>, a += DEPTH<T> * a_k, b += DEPTH<T> * b_k) {
        Vec<T> column[Count];
#pragma GCC unroll 8
        for (int j = 0; j < Count; j++) column[j] = load_columns(b + j * DEPTH<T> * LANES<T>);
#pragma GCC unroll 8
        for (int r = 0; r < Rows; r++)
#pragma GCC unroll 8
            for (int j = 0; j < Count; j++)
                sums[r][First + j] = multiply_add(sums[r][First + j], a + r * a_row, column[j]);
    }
}

// out[r][j] += sum over k of a[r][k] * b[k][j] with vectors out[r][j] and b[k][j].
template <int Rows, int Vectors, typename T>
SWEEPSEG_INLINE void add_product(T* out, int64_t out_row, const T* a, int64_t a_row, int64_t a_k, const T* b, int64_t b_k,
                                 int64_t depth) {
    Vec<T> sums[Rows][Vectors];
#pragma GCC unroll 8
    for (int r = 0; r < Rows; r++)
#pragma GCC unroll 8
        for (int j = 0; j < Vectors; j++) sums[r][j] = load(out + r * out_row + j * LANES<T>);
    multiply<0, Vectors>(sums, a, a_row, a_k, b, b_k, depth);
#pragma GCC unroll 8
    for (int r = 0; r < Rows; r++)
#pragma GCC unroll 8
        for (int j = 0; j < Vectors; j++) store(out + r * out_row + j * LANES<T>, sums[r][j]);
}

// Call `work(tile size, first row)` for tiles that cover the rows: as many of Rows as fit, then halves.
template <int Rows, typename Work>
SWEEPSEG_INLINE void for_tiles(int64_t row, int64_t rows, const Work& work) {
    for (; row + Rows <= rows; row += Rows) work(std::integral_constant<int, Rows>{}, row);
    if constexpr (Rows > 1) for_tiles<Rows / 2>(row, rows, work);
}

// Call `work(vectors, first column)` for panels that cover the columns: PANEL vectors each, and narrower at the end.
constexpr int PANEL = 2;
template <typename T, typename Work>
SWEEPSEG_INLINE void for_panels(int64_t columns, const Work& work) {
    for_tiles<PANEL>(0, divide_up(columns, LANES<T>),
                     [&](auto vectors, int64_t vector) { work(vectors, vector * LANES<T>); });
}

// Rows a thread takes at once: about 32 or, for the sake of many threads, fewer, but whole tiles if there are two. It depends
// on nothing but the number of rows, so that the bits of a result do not either.
constexpr int64_t MAX_ROWS = 40;
inline int64_t rows_per_block(int64_t rows, int64_t tile) {
    const int64_t tiles = std::min(divide_up(divide_up(rows, 16), tile), divide_up(32, tile));
    return std::max<int64_t>(std::min(tiles * tile, divide_up(rows, 2)), 1);
}

// Tasks of so many multiply-adds that make up about 50 us of work.
inline int64_t tasks_per_thread(double multiply_adds) { return int64_t(2.5e6 / (multiply_adds + 1)) + 1; }

// weight (gates * hidden, depth) -> [block of LANES units][DEPTH of k][gate][LANES][DEPTH], padded with zeros.
template <typename T, int Gates>
Buffer<T> pack_gates(const T* weight, const int (&gate)[Gates], int64_t hidden, int64_t depth) {
    constexpr int L = LANES<T>, D = DEPTH<T>;
    const int64_t rows = padded_depth<T>(depth) * Gates;
    Buffer<T> packed(padded<T>(hidden) * rows);
    for (int64_t unit = 0; unit < hidden; unit++)
        for (int j = 0; j < Gates; j++) {
            const T* from = weight + (gate[j] * hidden + unit) * depth;
            T* to = packed + (unit / L * rows + j * D) * L + unit % L * D;
            for (int64_t k = 0; k < depth; k++) to[k / D * D * Gates * L + k % D] = from[k];
        }
    return packed;
}

// The biases of each slot -> [block of LANES units][slot][LANES], padded with zeros.
template <typename T, typename Cell>
Buffer<Number<T>> pack_biases(const RecurrentTensors<T>& tensors, int64_t hidden) {
    constexpr int L = LANES<T>;
    Buffer<Number<T>> packed(padded<T>(hidden) * Cell::slots);
    const auto add = [&](const Number<T>* bias, const auto& gate, int first_slot) {
        for (int j = 0; bias && j < count(gate); j++)
            for (int64_t unit = 0; unit < hidden; unit++)
                packed[(unit / L * Cell::slots + first_slot + j) * L + unit % L] += bias[gate[j] * hidden + unit];
    };
    add(tensors.bias_ih, Cell::x_gates, 0);
    add(tensors.bias_hh, Cell::h_gates, Cell::slots - count(Cell::h_gates));
    if (Cell::resets) add(tensors.bias_hh, Cell::late_gates, 0);
    return packed;
}

// y and what the products read (x, weights, the state as they see it) are Stored; sums, states and gates may be wider.
template <typename Stored, typename Cell>
class ForwardScan {
    using T = Number<Stored>;

   public:
    ForwardScan(const RecurrentShape& shape, const RecurrentTensors<Stored>& tensors)
        : shape(shape),
          tensors(tensors),
          panels_ih(pack_gates<Stored>(tensors.weight_ih, Cell::x_gates, shape.hidden, shape.input)),
          panels_hh(pack_gates<Stored>(tensors.weight_hh, Cell::h_gates, shape.hidden, shape.hidden)),
          panels_late(
              pack_gates<Stored>(tensors.weight_hh, Cell::late_gates, Cell::resets ? shape.hidden : 0, shape.hidden)),
          bias(pack_biases<Stored, Cell>(tensors, shape.hidden)) {}

    void run() const {
        const int64_t size = rows_per_block(shape.rows(), Cell::rows);
        const int64_t blocks = divide_up(shape.rows(), size);
        parallel_for(blocks, tasks_per_thread(shape.multiply_adds(gates) / double(blocks)), [&](int64_t block) {
            run_block(block * size, std::min(size, shape.rows() - block * size));
        });
    }

   private:
    static constexpr int L = LANES<T>, slots = Cell::slots, gates = count(Cell::x_gates);
    static constexpr int h_gates = count(Cell::h_gates), h_slot = slots - h_gates;

    // The state of a block of rows between two steps: row by row the input of the products, x[t] and the state that
    // they see, and for the next step the same; then the state itself, if that is `apart`, and c. Within a step of a
    // cell that resets: the sums and the reset state.
    struct Block {
        int64_t first, rows, x[MAX_ROWS], y[MAX_ROWS];
        Stored *now, *next, *reset;
        T *h, *c, *sums;
    };

    void run_block(int64_t first, int64_t rows) const {
        Buffer<Stored> seen(rows * (2 * width + Cell::resets * units));
        Buffer<T> memory(rows * (2 + Cell::resets * slots) * units);
        Block block;
        block.first = first, block.rows = rows;
        block.now = seen, block.next = block.now + rows * width, block.reset = block.next + rows * width;
        block.h = memory, block.c = block.h + rows * units, block.sums = block.c + rows * units;
        shape.starts(shape.x, first, rows, block.x);
        shape.starts(shape.y, first, rows, block.y);
        const int64_t hidden = shape.hidden;
        for (int64_t r = 0; r < rows; r++)
            for (int64_t unit = 0; unit < hidden; unit += L) {
                const int64_t place = (first + r) * hidden + unit, size = hidden - unit;
                const Vec<T> h = tensors.h0 ? load_some(tensors.h0 + place, size) : Vec<T>{};
                store(block.h + r * units + unit, h);
                store(block.now + r * width + inputs + unit,
                      tensors.mask ? h * load_some(tensors.mask + place, size) : h);
                if (tensors.c0) store(block.c + r * units + unit, load_some(tensors.c0 + place, size));
            }
        for (int64_t s = 0; s < shape.steps; s++) {
            const int64_t time = shape.time(s);
            const int64_t next = shape.time(std::min(s + 1, shape.steps - 1));
            for (int64_t r = 0; r < rows; r++) {
                copy(tensors.x + block.x[r] + time * shape.x.step, shape.input, block.now + r * width);
                prefetch(tensors.x + block.x[r] + next * shape.x.step, shape.input);
            }
            for (int64_t unit = 0; unit < hidden; unit += L)
                for_tiles<Cell::rows>(
                    0, rows, [&](auto size, int64_t row) { tile<size()>(block, row, unit, time); });
            if constexpr (Cell::resets)
                for (int64_t unit = 0; unit < hidden; unit += L)
                    for_tiles<Cell::rows>(
                        0, rows, [&](auto size, int64_t row) { late_tile<size()>(block, row, unit, time); });
            std::swap(block.now, block.next);
        }
        for (int64_t r = 0; r < rows; r++) {
            for (int64_t unit = 0; unit < hidden; unit += L)
                store_some(tensors.h + (first + r) * hidden + unit, state(block, r, unit), hidden - unit);
            if (tensors.c) std::copy_n(block.c + r * units, hidden, tensors.c + (first + r) * hidden);
        }
    }

    // Whether the products see another state than the one that is carried: a masked or a rounded one.
    bool apart() const { return tensors.mask || sizeof(Stored) < sizeof(T); }

    SWEEPSEG_INLINE Vec<T> state(const Block& block, int64_t row, int64_t unit) const {
        return apart() ? load(block.h + row * units + unit) : load(block.now + row * width + inputs + unit);
    }

    template <int Rows>
    SWEEPSEG_INLINE void tile(const Block& block, int64_t row, int64_t unit, int64_t time) const {
        const int64_t unit_block = unit / L;
        const Stored* in = block.now + row * width;
        Vec<T> sums[Rows][slots];
#pragma GCC unroll 8
        for (int r = 0; r < Rows; r++)
#pragma GCC unroll 8
            for (int j = 0; j < slots; j++) sums[r][j] = load<T>(bias + (unit_block * slots + j) * L);
        multiply<0, gates>(sums, in, width, 1, panels_ih + unit_block * depth_ih * gates * L, gates * L, depth_ih);
        multiply<h_slot, h_gates>(sums, in + inputs, width, 1, panels_hh + unit_block * depth_hh * h_gates * L,
                                  h_gates * L, depth_hh);
        if constexpr (Cell::resets) {
#pragma GCC unroll 8
            for (int r = 0; r < Rows; r++) {
                const Vec<T> reset = Cell::template reset<Stored>(sums[r], load(in + r * width + inputs + unit));
                store(block.reset + (row + r) * units + unit, reset);
#pragma GCC unroll 8
                for (int j = 0; j < slots; j++)
                    store(block.sums + ((row + r) * slots + j) * units + unit, sums[r][j]);
            }
        } else {
            finish(sums, block, row, unit, time);
        }
    }

    template <int Rows>
    SWEEPSEG_INLINE void late_tile(const Block& block, int64_t row, int64_t unit, int64_t time) const {
        Vec<T> sums[Rows][slots];
#pragma GCC unroll 8
        for (int r = 0; r < Rows; r++)
#pragma GCC unroll 8
            for (int j = 0; j < slots; j++)
                sums[r][j] = load<T>(block.sums + ((row + r) * slots + j) * units + unit);
        multiply<0, 1>(sums, block.reset + row * units, units, 1, panels_late + unit * depth_hh, L, depth_hh);
        finish(sums, block, row, unit, time);
    }

    // From the sums to the states, in registers.
    template <int Rows>
    SWEEPSEG_INLINE void finish(const Vec<T> (&sums)[Rows][slots], const Block& block, int64_t row, int64_t unit,
                                int64_t time) const {
        const int64_t hidden = shape.hidden, size = hidden - unit;
#pragma GCC unroll 8
        for (int r = 0; r < Rows; r++) {
            const int64_t n = block.first + row + r;
            Vec<T> h = state(block, row + r, unit), c{}, saved[Cell::saved + 1];
            if constexpr (Cell::has_c) c = load<T>(block.c + (row + r) * units + unit);
            Cell::template forward<Stored>(sums[r], h, c, saved);
            if (apart()) store(block.h + (row + r) * units + unit, h);
            const Vec<T> seen = tensors.mask ? h * load_some(tensors.mask + n * hidden + unit, size) : h;
            store(block.next + (row + r) * width + inputs + unit, seen);
            if constexpr (Cell::has_c) store(block.c + (row + r) * units + unit, c);
            store_some(tensors.y + block.y[row + r] + time * shape.y.step + unit, h, size);
            if (tensors.saved)
#pragma GCC unroll 8
                for (int j = 0; j < Cell::saved; j++)
                    store_some(tensors.saved + ((time * shape.rows() + n) * Cell::saved + j) * hidden + unit, saved[j],
                               size);
        }
    }

    const RecurrentShape& shape;
    const RecurrentTensors<Stored>& tensors;
    const int64_t units = padded<T>(shape.hidden), inputs = padded<T>(shape.input), width = inputs + units;
    const int64_t depth_ih = padded_depth<Stored>(shape.input), depth_hh = padded_depth<Stored>(shape.hidden);
    const Buffer<Stored> panels_ih, panels_hh, panels_late;
    const Buffer<T> bias;
};

// weight (gates * hidden, columns) -> [panel][gate][unit][columns of the panel], padded with zeros.
template <int Gates, typename T>
Buffer<T> pack_columns(const T* weight, const int (&gate)[Gates], int64_t hidden, int64_t columns) {
    const int64_t units = padded<T>(hidden), rows = Gates * units, width = padded<T>(columns);
    Buffer<T> packed(rows * width);
    for (int j = 0; j < Gates; j++)
        for (int64_t unit = 0; unit < hidden; unit++)
            for_panels<T>(columns, [&](auto vectors, int64_t column) {
                constexpr int64_t panel = vectors() * LANES<T>;
                std::copy_n(weight + (gate[j] * hidden + unit) * columns + column, std::min(panel, columns - column),
                            packed + rows * column + (j * units + unit) * panel);
            });
    return packed;
}

// The inverse of `pack_columns`.
template <int Gates, typename T>
void unpack_columns(const T* packed, const int (&gate)[Gates], int64_t hidden, int64_t columns, T* weight) {
    const int64_t units = padded<T>(hidden);
    for (int j = 0; j < Gates; j++)
        for (int64_t unit = 0; unit < hidden; unit++)
            for_panels<T>(columns, [&](auto vectors, int64_t column) {
                constexpr int64_t panel = vectors() * LANES<T>;
                std::copy_n(packed + Gates * units * column + (j * units + unit) * panel,
                            std::min(panel, columns - column), weight + (gate[j] * hidden + unit) * columns + column);
            });
}

// [gate][unit] -> the gates' places in a bias, if there is one.
template <int Gates, typename T>
void unpack_bias(const T* packed, const int (&gate)[Gates], int64_t hidden, T* bias) {
    if (!bias) return;
    for (int j = 0; j < Gates; j++) std::copy_n(packed + j * padded<T>(hidden), hidden, bias + gate[j] * hidden);
}

// The gradients of the weights and biases from the sums of groups, one behind the other: of weight_ih, of weight_hh and of its
// late gates in panels, then of the slots' biases. A row of weight_hh has `depth` numbers. Adds the others to the first group.
template <typename Cell, typename T>
void add_groups(T* sums, int64_t groups, int64_t group_size, const RecurrentShape& shape, int64_t depth,
                const RecurrentGradients<T>& gradients) {
    constexpr int gates = count(Cell::x_gates), h_gates = count(Cell::h_gates), h_slot = Cell::slots - h_gates;
    for (int64_t group = 1; group < groups; group++)
        for (int64_t i = 0; i < group_size; i++) sums[i] += sums[group * group_size + i];
    const int64_t hidden = shape.hidden, units = padded<T>(hidden), columns = padded<T>(depth);
    const T *weight_ih = sums, *weight_hh = weight_ih + gates * units * padded<T>(shape.input),
            *weight_late = weight_hh + h_gates * units * columns,
            *bias = weight_late + Cell::resets * units * columns;
    unpack_columns(weight_ih, Cell::x_gates, hidden, shape.input, gradients.weight_ih);
    unpack_columns(weight_hh, Cell::h_gates, hidden, depth, gradients.weight_hh);
    unpack_bias(bias, Cell::x_gates, hidden, gradients.bias_ih);
    unpack_bias(bias + h_slot * units, Cell::h_gates, hidden, gradients.bias_hh);
    if (Cell::resets) {
        unpack_columns(weight_late, Cell::late_gates, hidden, depth, gradients.weight_hh);
        unpack_bias(bias, Cell::late_gates, hidden, gradients.bias_hh);
    }
}

template <typename T, typename Cell>
class BackwardScan {
   public:
    BackwardScan(const RecurrentShape& shape, const RecurrentTensors<T>& tensors,
                 const RecurrentGradients<T>& gradients)
        : shape(shape),
          tensors(tensors),
          gradients(gradients),
          size(rows_per_block(shape.rows(), ROWS)),
          blocks(divide_up(shape.rows(), size)),
          groups(std::clamp<int64_t>(std::min(blocks, shape.rows() * shape.steps / 1024), 1, 16)),
          panels_ih(pack_columns(tensors.weight_ih, Cell::x_gates, shape.hidden, shape.input)),
          panels_hh(pack_columns(tensors.weight_hh, Cell::h_gates, shape.hidden, shape.hidden)),
          panels_late(pack_columns(tensors.weight_hh, Cell::late_gates, Cell::resets ? shape.hidden : 0, shape.hidden)),
          sums(groups * group_size) {}

    void run() const {
        parallel_for(groups, tasks_per_thread(2 * shape.multiply_adds(gates) / double(groups)), [&](int64_t group) {
            for (int64_t block = blocks * group / groups; block < blocks * (group + 1) / groups; block++)
                run_block(block * size, std::min(size, shape.rows() - block * size), sums + group * group_size);
        });
        add_groups<Cell, T>(sums, groups, group_size, shape, shape.hidden, gradients);
    }

   private:
    static constexpr int L = LANES<T>, slots = Cell::slots, gates = count(Cell::x_gates);
    static constexpr int h_gates = count(Cell::h_gates), h_slot = slots - h_gates;
    static constexpr int ROWS = 4;
    static constexpr int64_t DEPTH = 64;  // rows times steps between two updates of the weights' gradients

    // Of some steps of a block of rows, step by step and row by row: the gradients of the slots' sums, and the inputs of
    // the products: x[t], the state that they see, the reset state. Row by row: the gradients of the states, of the state
    // that the products see, and of the mask.
    struct Block {
        int64_t first, rows, x[MAX_ROWS], y[MAX_ROWS], grad_x[MAX_ROWS], grad_y[MAX_ROWS];
        T *slot_grads, *in, *h, *c, *seen, *mask;
        T *weight_ih, *weight_hh, *weight_late, *bias;  // of the group
    };

    void run_block(int64_t first, int64_t rows, T* group) const {
        const int64_t hidden = shape.hidden, chunk = divide_up(DEPTH, rows);
        Buffer<T> memory(chunk * rows * (slots * units + width) + 4 * rows * units);
        Block block;
        block.first = first, block.rows = rows;
        block.slot_grads = memory, block.in = block.slot_grads + chunk * rows * slots * units;
        block.h = block.in + chunk * rows * width, block.c = block.h + rows * units;
        block.seen = block.c + rows * units, block.mask = block.seen + rows * units;
        block.weight_ih = group, block.weight_hh = group + gates * units * inputs;
        block.weight_late = block.weight_hh + h_gates * units * units;
        block.bias = block.weight_late + Cell::resets * units * units;
        shape.starts(shape.x, first, rows, block.x);
        shape.starts(shape.y, first, rows, block.y);
        shape.starts(shape.grad_x, first, rows, block.grad_x);
        shape.starts(shape.grad_y, first, rows, block.grad_y);
        for (int64_t r = 0; r < rows; r++) {
            if (gradients.h) std::copy_n(gradients.h + (first + r) * hidden, hidden, block.h + r * units);
            if (gradients.c) std::copy_n(gradients.c + (first + r) * hidden, hidden, block.c + r * units);
        }
        for (int64_t end = shape.steps; end > 0; end -= chunk) {
            const int64_t begin = std::max<int64_t>(end - chunk, 0);
            for (int64_t s = end - 1; s >= begin; s--) step(block, s, (s - begin) * rows);
            for (int64_t s = begin; s < end; s++) input_gradient(block, s, (s - begin) * rows);
            const int64_t depth = (end - begin) * rows;
            weight_gradient<gates>(block.in, inputs, block.slot_grads, block.weight_ih, depth);
            weight_gradient<h_gates>(block.in + inputs, units, block.slot_grads + h_slot * units, block.weight_hh,
                                     depth);
            if (Cell::resets)
                weight_gradient<1>(block.in + inputs + units, units, block.slot_grads, block.weight_late, depth);
        }
        for (int64_t r = 0; r < rows; r++) {
            if (gradients.h0) std::copy_n(block.h + r * units, hidden, gradients.h0 + (first + r) * hidden);
            if (gradients.c0) std::copy_n(block.c + r * units, hidden, gradients.c0 + (first + r) * hidden);
            if (gradients.mask) std::copy_n(block.mask + r * units, hidden, gradients.mask + (first + r) * hidden);
        }
    }

    // h[t-1] and c[t-1] of the step that runs as number s; zeros where there is no initial state.
    const T* h_before(const Block& block, int64_t s, int64_t r) const {
        if (s == 0) return tensors.h0 ? tensors.h0 + (block.first + r) * shape.hidden : zeros;
        return tensors.y + block.y[r] + shape.time(s - 1) * shape.y.step;
    }
    const T* saved(int64_t s, int64_t n, int j) const {
        return tensors.saved + ((shape.time(s) * shape.rows() + n) * Cell::saved + j) * shape.hidden;
    }
    const T* c_before(int64_t s, int64_t n) const {
        if (s == 0) return tensors.c0 ? tensors.c0 + n * shape.hidden : zeros;
        return saved(s - 1, n, Cell::saved - 1);
    }

    // From the gradient of the states after step s to that of the states before it.
    void step(const Block& block, int64_t s, int64_t place) const {
        const int64_t hidden = shape.hidden, time = shape.time(s), next = shape.time(std::max<int64_t>(s - 1, 0));
        for (int64_t r = 0; r < block.rows; r++) {
            const int64_t n = block.first + r;
            T *in = block.in + (place + r) * width, *grads = block.slot_grads + (place + r) * slots * units;
            copy(tensors.x + block.x[r] + time * shape.x.step, shape.input, in);
            prefetch(tensors.x + block.x[r] + next * shape.x.step, shape.input);
            prefetch(h_before(block, std::max<int64_t>(s - 1, 0), r), hidden);
            if (gradients.y) prefetch(gradients.y + block.grad_y[r] + next * shape.grad_y.step, hidden);
            const T *before = h_before(block, s, r), *after = tensors.y + block.y[r] + time * shape.y.step;
            const T* grad_y = gradients.y ? gradients.y + block.grad_y[r] + time * shape.grad_y.step : zeros;
            for (int64_t unit = 0; unit < hidden; unit += L) {
                const int64_t count = hidden - unit;
                Vec<T> values[Cell::saved + 1], grad[slots], c_prev{}, grad_c{};
#pragma GCC unroll 8
                for (int j = 0; j < Cell::saved; j++) values[j] = load_some(saved(s, n, j) + unit, count);
                if constexpr (Cell::has_c) {
                    c_prev = load_some(c_before(s, n) + unit, count);
                    grad_c = load<T>(block.c + r * units + unit);
                }
                const Vec<T> h_prev = load_some(before + unit, count);
                Vec<T> grad_h = load<T>(block.h + r * units + unit) + load_some(grad_y + unit, count);
                Cell::template backward<T>(values, load_some(after + unit, count), h_prev, c_prev, grad_h, grad_c, grad);
                store(block.h + r * units + unit, grad_h);
                if constexpr (Cell::has_c) store(block.c + r * units + unit, grad_c);
#pragma GCC unroll 8
                for (int j = 0; j < slots; j++) {
                    store(grads + j * units + unit, grad[j]);
                    store(block.bias + j * units + unit, load<T>(block.bias + j * units + unit) + grad[j]);
                }
                const T* mask = tensors.mask + n * hidden + unit;
                const Vec<T> seen = tensors.mask ? h_prev * load_some(mask, count) : h_prev;
                store(in + inputs + unit, seen);
                if constexpr (Cell::resets) store(in + inputs + units + unit, values[0] * seen);
            }
        }
        const bool apart = tensors.mask || Cell::resets;  // the products do not see h[t-1] itself
        T* seen = apart ? block.seen : block.h;
        if (apart) std::fill_n(seen, block.rows * units, T(0));
        if constexpr (Cell::resets) {
            state_gradient<1>(block, place, 0, panels_late, seen);
            reset_gradient(block, s, place);
        }
        state_gradient<h_gates>(block, place, h_slot, panels_hh, seen);
        if (apart) add_seen(block, s);
    }

    // out += grads W over the slots from `slot`.
    template <int Gates>
    void state_gradient(const Block& block, int64_t place, int slot, const T* panels, T* out) const {
        const T* grads = block.slot_grads + (place * slots + slot) * units;
        for_panels<T>(units, [&](auto vectors, int64_t column) {
            for_tiles<ROWS>(0, block.rows, [&](auto rows, int64_t row) {
                add_product<rows(), vectors()>(out + row * units + column, units, grads + row * slots * units, slots * units,
                                        1, panels + Gates * units * column, vectors() * L, Gates * units);
            });
        });
    }

    // From the gradient of the reset state, r times the state that is seen, to those of r's sum and of that state.
    void reset_gradient(const Block& block, int64_t s, int64_t place) const {
        for (int64_t row = 0; row < block.rows; row++)
            for (int64_t unit = 0; unit < shape.hidden; unit += L) {
                const Vec<T> r = load_some(saved(s, block.first + row, 0) + unit, shape.hidden - unit);
                T* grad = block.seen + row * units + unit;
                const Vec<T> reset = load<T>(block.in + (place + row) * width + inputs + units + unit);
                const Vec<T> of_sum = load(grad) * reset * (T(1) - r);
                store(block.slot_grads + ((place + row) * slots + 1) * units + unit, of_sum);
                store(block.bias + units + unit, load<T>(block.bias + units + unit) + of_sum);
                store(grad, load(grad) * r);
            }
    }

    void add_seen(const Block& block, int64_t s) const {
        for (int64_t r = 0; r < block.rows; r++) {
            const T *before = h_before(block, s, r), *mask = tensors.mask + (block.first + r) * shape.hidden;
            for (int64_t unit = 0; unit < shape.hidden; unit++) {
                const T grad = block.seen[r * units + unit];
                block.h[r * units + unit] += tensors.mask ? grad * mask[unit] : grad;
                block.mask[r * units + unit] += grad * before[unit];
            }
        }
    }

    void input_gradient(const Block& block, int64_t s, int64_t place) const {
        const T* grads = block.slot_grads + place * slots * units;
        for_panels<T>(shape.input, [&](auto vectors, int64_t column) {
            for_tiles<ROWS>(0, block.rows, [&](auto rows, int64_t row) {
                Vec<T> sums[rows()][vectors()] = {};
                multiply<0, vectors()>(sums, grads + row * slots * units, slots * units, 1,
                                       panels_ih + gates * units * column, vectors() * L, gates * units);
                for (int r = 0; r < rows(); r++) {
                    const int64_t place = block.grad_x[row + r] + shape.time(s) * shape.grad_x.step + column;
                    for (int j = 0; j < vectors() && column + j * L < shape.input; j++) {
                        const int64_t at = place + j * L, count = shape.input - column - j * L;
                        if (gradients.x_so_far) sums[r][j] += load_some(gradients.x_so_far + at, count);
                        store_some(gradients.x + at, sums[r][j], count);
                    }
                }
            });
        });
    }

    // out += grads^T in, in panels, over all rows and steps of the chunk.
    template <int Gates>
    void weight_gradient(const T* in, int64_t columns, const T* grads, T* out, int64_t depth) const {
        for_panels<T>(columns, [&](auto vectors, int64_t column) {
            for_tiles<ROWS>(0, Gates * units, [&](auto rows, int64_t row) {
                add_product<rows(), vectors()>(out + Gates * units * column + row * vectors() * L, vectors() * L, grads + row,
                                        1, slots * units, in + column, width, depth);
            });
        });
    }

    const RecurrentShape& shape;
    const RecurrentTensors<T>& tensors;
    const RecurrentGradients<T>& gradients;
    const int64_t units = padded<T>(shape.hidden), inputs = padded<T>(shape.input), width = inputs + (1 + Cell::resets) * units;
    const int64_t group_size = (gates * inputs + (h_gates + Cell::resets) * units + slots) * units;
    const int64_t size, blocks, groups;
    const Buffer<T> panels_ih, panels_hh, panels_late, sums, zeros{units};
};

}  // namespace sweepseg

// The functions of a cell that Python calls.
#define SWEEPSEG_RECURRENCE_FORWARD(name, Cell, T, suffix)                                       \
    SWEEPSEG_API void sweepseg_##name##_##suffix(const sweepseg::RecurrentShape* shape,          \
                                                 const sweepseg::RecurrentTensors<T>* tensors) { \
        sweepseg::ForwardScan<T, sweepseg::Cell>(*shape, *tensors).run();                        \
    }
#define SWEEPSEG_RECURRENCE_OF(name, Cell, T)                                                            \
    SWEEPSEG_RECURRENCE_FORWARD(name, Cell, T, T)                                                        \
    SWEEPSEG_API void sweepseg_##name##_backward_##T(const sweepseg::RecurrentShape* shape,              \
                                                     const sweepseg::RecurrentTensors<T>* tensors,       \
                                                     const sweepseg::RecurrentGradients<T>* gradients) { \
        sweepseg::BackwardScan<T, sweepseg::Cell>(*shape, *tensors, *gradients).run();                   \
    }
#define SWEEPSEG_RECURRENCE(name, Cell)       \
    SWEEPSEG_RECURRENCE_OF(name, Cell, float) \
    SWEEPSEG_RECURRENCE_OF(name, Cell, double)
// For cells whose state does not live on in the products alone, which round it.
#if defined(SWEEPSEG_BFLOAT16)
#define SWEEPSEG_RECURRENCE_BFLOAT16(name, Cell) SWEEPSEG_RECURRENCE_FORWARD(name, Cell, sweepseg::BFloat16, bfloat16)
#else
#define SWEEPSEG_RECURRENCE_BFLOAT16(name, Cell)
#endif
