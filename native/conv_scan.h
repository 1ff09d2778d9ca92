// What the row-wise convolutional recurrences share: the state is a row of a map, place after place, so that the
// neighbours of a place that a convolution along the row sees are one run of taps * hidden numbers.
//
// In a shape, outer is the map and inner the place in its row. Each step of a map is a band of a `pipeline`, which runs along
// the row behind the band of the step before, as far behind as the convolution reaches.
//
// A cell (gru.h, lstm.h) is one of recurrent.h; there is no mask.
#pragma once

#include "recurrent.h"

namespace sweepseg {

struct ConvShape {
    RecurrentShape base;
    int64_t taps;  // of the convolution, odd

    int64_t margin() const { return taps / 2; }
    double multiply_adds(int gates) const {
        return double(base.rows()) * base.steps * gates * base.hidden * (base.input + taps * base.hidden);
    }
};

constexpr int64_t STRIDE = 8;  // places that a band takes at once

// The steps of all maps as bands of a pipeline: step by step, map by map. `work(band, map, s, wait, progress)` gets the number under
// which a step runs; `wait(places)` returns when the band of the step before has told so many.
template <typename Work>
void for_each_step(const RecurrentShape& shape, double multiply_adds, const Work& work) {
    const int64_t maps = shape.outer, bands = maps * shape.steps;
    if (shape.rows() == 0) return;
    pipeline(bands, tasks_per_thread(multiply_adds / double(bands)), [&](int64_t band, const Progress& progress) {
        const auto wait = [&](int64_t places) {
            if (band >= maps) progress.wait(band - maps, places);
        };
        work(band, band % maps, band / maps, wait, progress);
    });
}

template <typename T, typename Cell>
class ForwardConvScan {
   public:
    ForwardConvScan(const ConvShape& conv, const RecurrentTensors<T>& tensors)
        : conv(conv),
          tensors(tensors),
          panels_ih(pack_gates<T>(tensors.weight_ih, Cell::x_gates, shape.hidden, shape.input)),
          panels_hh(pack_gates<T>(tensors.weight_hh, Cell::h_gates, shape.hidden, depth)),
          panels_late(pack_gates<T>(tensors.weight_hh, Cell::late_gates, Cell::resets ? shape.hidden : 0, depth)),
          bias(pack_biases<T, Cell>(tensors, shape.hidden)) {}

    void run() const {
        for_each_step(shape, conv.multiply_adds(gates),
                      [&](int64_t, int64_t map, int64_t s, const auto& wait, const Progress& progress) {
                          run_step(map, s, wait, progress);
                      });
    }

   private:
    static constexpr int L = LANES<T>, slots = Cell::slots, gates = count(Cell::x_gates);
    static constexpr int h_gates = count(Cell::h_gates), h_slot = slots - h_gates;

    // Rows with `margin` places of zeros on both sides: the states before and after the step, the reset state. Without them:
    // c and the sums of a cell that resets.
    struct Rows {
        int64_t map, time;
        T *before, *after, *c, *reset, *sums;
    };

    template <typename Wait>
    void run_step(int64_t map, int64_t s, const Wait& wait, const Progress& progress) const {
        const int64_t hidden = shape.hidden, places = shape.inner, dense = map * places * hidden;
        const Buffer<T> own(Cell::resets ? row + places * slots * units : 0);
        const Rows rows{map, shape.time(s), states + (2 * map + s % 2) * row, states + (2 * map + 1 - s % 2) * row,
                  c + map * places * units, own, own + row};
        if (s == 0)
            for (int64_t j = 0; j < places; j++) {
                if (tensors.h0) copy(tensors.h0 + dense + j * hidden, hidden, state(rows.before, j));
                if (tensors.c0) copy(tensors.c0 + dense + j * hidden, hidden, rows.c + j * units);
            }
        int64_t ready = 0;
        for (int64_t first = 0; first < places; first += STRIDE) {
            const int64_t last = std::min(first + STRIDE, places), around = std::min(last + Cell::resets * margin, places);
            wait(std::min(last + reach, places));
            for (int64_t unit = 0; unit < hidden; unit += L)
                for_tiles<Cell::rows>(ready, around, [&](auto size, int64_t j) { tile<size()>(rows, j, unit); });
            ready = around;
            if constexpr (Cell::resets)
                for (int64_t unit = 0; unit < hidden; unit += L)
                    for_tiles<Cell::rows>(first, last, [&](auto size, int64_t j) { late_tile<size()>(rows, j, unit); });
            progress.tell(last);
        }
        if (s + 1 == shape.steps)
            for (int64_t j = 0; j < places; j++) {
                copy(state(rows.after, j), hidden, tensors.h + dense + j * hidden);
                if (tensors.c) copy(rows.c + j * units, hidden, tensors.c + dense + j * hidden);
            }
    }

    // The state at place j of a row; what the place sees starts `margin` places before.
    T* state(T* row, int64_t j) const { return row + (j + margin) * shape.hidden; }
    const T* seen(T* row, int64_t j) const { return row + j * shape.hidden; }

    template <int Count>
    SWEEPSEG_INLINE void tile(const Rows& rows, int64_t j, int64_t unit) const {
        const int64_t block = unit / L;
        const T* x = tensors.x + rows.map * shape.x.outer + j * shape.x.inner + rows.time * shape.x.step;
        Vec<T> sums[Count][slots];
#pragma GCC unroll 8
        for (int r = 0; r < Count; r++)
#pragma GCC unroll 8
            for (int k = 0; k < slots; k++) sums[r][k] = load<T>(bias + (block * slots + k) * L);
        multiply<0, gates>(sums, x, shape.x.inner, 1, panels_ih + block * shape.input * gates * L, gates * L, shape.input);
        multiply<h_slot, h_gates>(sums, seen(rows.before, j), shape.hidden, 1, panels_hh + block * depth * h_gates * L,
                                  h_gates * L, depth);
        if constexpr (Cell::resets) {
#pragma GCC unroll 8
            for (int r = 0; r < Count; r++) {
                const Vec<T> reset = Cell::template reset<T>(sums[r], load(state(rows.before, j + r) + unit));
                store_some(state(rows.reset, j + r) + unit, reset, shape.hidden - unit);
#pragma GCC unroll 8
                for (int k = 0; k < slots; k++) store(rows.sums + ((j + r) * slots + k) * units + unit, sums[r][k]);
            }
        } else {
            finish(sums, rows, j, unit);
        }
    }

    template <int Count>
    SWEEPSEG_INLINE void late_tile(const Rows& rows, int64_t j, int64_t unit) const {
        Vec<T> sums[Count][slots];
#pragma GCC unroll 8
        for (int r = 0; r < Count; r++)
#pragma GCC unroll 8
            for (int k = 0; k < slots; k++) sums[r][k] = load<T>(rows.sums + ((j + r) * slots + k) * units + unit);
        multiply<0, 1>(sums, seen(rows.reset, j), shape.hidden, 1, panels_late + unit * depth, L, depth);
        finish(sums, rows, j, unit);
    }

    // From the sums to the states, in registers.
    template <int Count>
    SWEEPSEG_INLINE void finish(const Vec<T> (&sums)[Count][slots], const Rows& rows, int64_t j, int64_t unit) const {
        const int64_t hidden = shape.hidden, size = hidden - unit;
#pragma GCC unroll 8
        for (int r = 0; r < Count; r++) {
            const int64_t place = j + r;
            Vec<T> h = load(state(rows.before, place) + unit), c{}, saved[Cell::saved];
            T* const c_place = rows.c + place * units + unit;
            if constexpr (Cell::has_c) c = load<T>(c_place);
            Cell::template forward<T>(sums[r], h, c, saved);
            store_some(state(rows.after, place) + unit, h, size);
            if constexpr (Cell::has_c) store(c_place, c);
            T* const y = tensors.y + rows.map * shape.y.outer + place * shape.y.inner + rows.time * shape.y.step;
            store_some(y + unit, h, size);
            if (tensors.saved) {
                const int64_t n = rows.time * shape.rows() + rows.map * shape.inner + place;
#pragma GCC unroll 8
                for (int k = 0; k < Cell::saved; k++)
                    store_some(tensors.saved + (n * Cell::saved + k) * hidden + unit, saved[k], size);
            }
        }
    }

    const ConvShape& conv;
    const RecurrentShape& shape = conv.base;
    const RecurrentTensors<T>& tensors;
    const int64_t units = padded<T>(shape.hidden), depth = conv.taps * shape.hidden;
    const int64_t margin = conv.margin(), reach = (1 + Cell::resets) * margin;
    const int64_t row = padded<T>((shape.inner + 2 * margin) * shape.hidden + L);
    const Buffer<T> panels_ih, panels_hh, panels_late, bias;
    const Buffer<T> states{2 * shape.outer * row}, c{Cell::has_c ? shape.rows() * units : 0};
};

// weight (gates * hidden, taps, hidden) -> [panel][place][gate][unit][columns of the panel], padded with zeros: what the
// sums of the places around a state, from `margin` before to `margin` behind it, had from this state.
template <int Gates, typename T>
Buffer<T> pack_taps(const T* weight, const int (&gate)[Gates], int64_t hidden, int64_t taps) {
    const int64_t units = padded<T>(hidden), rows = taps * Gates * units;
    Buffer<T> packed(rows * units);
    for (int64_t place = 0; place < taps; place++)
        for (int j = 0; j < Gates; j++)
            for (int64_t unit = 0; unit < hidden; unit++)
                for_panels<T>(hidden, [&](auto vectors, int64_t column) {
                    constexpr int64_t panel = vectors() * LANES<T>;
                    std::copy_n(weight + ((gate[j] * hidden + unit) * taps + taps - 1 - place) * hidden + column,
                                std::min(panel, hidden - column),
                                packed + rows * column + ((place * Gates + j) * units + unit) * panel);
                });
    return packed;
}

template <typename T, typename Cell>
class BackwardConvScan {
   public:
    BackwardConvScan(const ConvShape& conv, const RecurrentTensors<T>& tensors, const RecurrentGradients<T>& gradients)
        : conv(conv),
          tensors(tensors),
          gradients(gradients),
          panels_ih(pack_columns(tensors.weight_ih, Cell::x_gates, shape.hidden, shape.input)),
          panels_hh(pack_taps(tensors.weight_hh, Cell::h_gates, shape.hidden, conv.taps)),
          panels_late(pack_taps(tensors.weight_hh, Cell::late_gates, Cell::resets ? shape.hidden : 0, conv.taps)) {}

    void run() const {
        for_each_step(shape, 2 * conv.multiply_adds(gates),
                      [&](int64_t band, int64_t map, int64_t turn, const auto& wait, const Progress& progress) {
                          run_step(band, map, shape.steps - 1 - turn, wait, progress);
                      });
        add_groups<Cell, T>(group_sums, groups, group_size, shape, depth, gradients);
    }

   private:
    static constexpr int L = LANES<T>, slots = Cell::slots, gates = count(Cell::x_gates);
    static constexpr int h_gates = count(Cell::h_gates), h_slot = slots - h_gates;
    static constexpr int ROWS = 4;

    // Rows with `margin` places of zeros on both sides: the states before the step, these after the reset, the gradients of
    // the slots' sums. Without them: x[t], the gradients of the states and of the reset state.
    struct Rows {
        int64_t map, s;
        T *h, *c, *before, *reset, *sums, *x, *of_reset;
    };

    template <typename Wait>
    void run_step(int64_t band, int64_t map, int64_t s, const Wait& wait, const Progress& progress) const {
        const int64_t hidden = shape.hidden, places = shape.inner, dense = map * places * hidden;
        const int64_t of_sums = (places + 2 * margin) * slots * units;
        const Buffer<T> own(2 * row + of_sums + places * (inputs + Cell::resets * units));
        T *const sums = own + 2 * row, *const x = sums + of_sums;
        const Rows rows{map, s, h + map * places * units, c + map * places * units, own, own + row, sums, x, x + places * inputs};
        if (s + 1 == shape.steps)
            for (int64_t j = 0; j < places; j++) {
                if (gradients.h) copy(gradients.h + dense + j * hidden, hidden, rows.h + j * units);
                if (gradients.c) copy(gradients.c + dense + j * hidden, hidden, rows.c + j * units);
            }
        int64_t ready = 0, reset_ready = 0;
        for (int64_t first = 0; first < places; first += STRIDE) {
            const int64_t last = std::min(first + STRIDE, places);
            const int64_t around = std::min(last + reach, places), reset_around = std::min(last + margin, places);
            wait(around);
            for (; ready < around; ready++) gates_gradient(rows, ready);
            if constexpr (Cell::resets) {
                state_gradient<1>(rows, 0, panels_late, reset_ready, reset_around, rows.of_reset);
                for (; reset_ready < reset_around; reset_ready++) reset_gradient(rows, reset_ready);
            }
            state_gradient<h_gates>(rows, h_slot, panels_hh, first, last, rows.h);
            progress.tell(last);
        }
        if (s == 0)
            for (int64_t j = 0; j < places; j++) {
                if (gradients.h0) copy(rows.h + j * units, hidden, gradients.h0 + dense + j * hidden);
                if (gradients.c0) copy(rows.c + j * units, hidden, gradients.c0 + dense + j * hidden);
            }
        input_gradient(rows);
        if (band >= groups) progress.wait(band - groups, places + 1);
        weight_gradients(rows, group_sums + band % groups * group_size);
        progress.tell(places + 1);
    }

    int64_t position(const Strides& strides, const Rows& rows, int64_t j, int64_t s) const {
        return rows.map * strides.outer + j * strides.inner + shape.time(s) * strides.step;
    }
    // h[t-1] and c[t-1]; zeros where there is no initial state.
    const T* h_before(const Rows& rows, int64_t j) const {
        if (rows.s > 0) return tensors.y + position(shape.y, rows, j, rows.s - 1);
        return tensors.h0 ? tensors.h0 + (rows.map * shape.inner + j) * shape.hidden : zeros;
    }
    const T* saved(const Rows& rows, int64_t s, int64_t j, int k) const {
        const int64_t n = shape.time(s) * shape.rows() + rows.map * shape.inner + j;
        return tensors.saved + (n * Cell::saved + k) * shape.hidden;
    }
    const T* c_before(const Rows& rows, int64_t j) const {
        if (rows.s > 0) return saved(rows, rows.s - 1, j, Cell::saved - 1);
        return tensors.c0 ? tensors.c0 + (rows.map * shape.inner + j) * shape.hidden : zeros;
    }

    // From the gradient of the state after the step to those of its sums, and what of it reaches the state before directly.
    void gates_gradient(const Rows& rows, int64_t j) const {
        const int64_t hidden = shape.hidden;
        const T* const before = h_before(rows, j);
        const T* const grad_y = gradients.y ? gradients.y + position(shape.grad_y, rows, j, rows.s) : zeros;
        T* const sums = rows.sums + (margin + j) * slots * units;
        copy(tensors.x + position(shape.x, rows, j, rows.s), shape.input, rows.x + j * inputs);
        copy(before, hidden, rows.before + (margin + j) * hidden);
        for (int64_t unit = 0; unit < hidden; unit += L) {
            const int64_t size = hidden - unit;
            Vec<T> values[Cell::saved], grad[slots], c_{}, grad_c{};
#pragma GCC unroll 8
            for (int k = 0; k < Cell::saved; k++) values[k] = load_some(saved(rows, rows.s, j, k) + unit, size);
            T *const grad_h_place = rows.h + j * units + unit, *const grad_c_place = rows.c + j * units + unit;
            if constexpr (Cell::has_c) {
                c_ = load_some(c_before(rows, j) + unit, size);
                grad_c = load<T>(grad_c_place);
            }
            const Vec<T> h_ = load_some(before + unit, size);
            Vec<T> grad_h = load<T>(grad_h_place) + load_some(grad_y + unit, size);
            Cell::template backward<T>(values, Vec<T>{}, h_, c_, grad_h, grad_c, grad);  // gates tell h[t]'s slope from `values`
            store(grad_h_place, grad_h);
            if constexpr (Cell::has_c) store(grad_c_place, grad_c);
            if constexpr (Cell::resets) store_some(rows.reset + (margin + j) * hidden + unit, values[0] * h_, size);
#pragma GCC unroll 8
            for (int k = 0; k < slots; k++) store(sums + k * units + unit, grad[k]);
        }
    }

    // From the gradient of the reset state, r times the state, to those of r's sum and of the state.
    void reset_gradient(const Rows& rows, int64_t j) const {
        for (int64_t unit = 0; unit < shape.hidden; unit += L) {
            const Vec<T> r = load_some(saved(rows, rows.s, j, 0) + unit, shape.hidden - unit);
            const Vec<T> grad = load<T>(rows.of_reset + j * units + unit);
            const Vec<T> reset = load<T>(rows.reset + (margin + j) * shape.hidden + unit);
            store(rows.sums + ((margin + j) * slots + 1) * units + unit, grad * reset * (T(1) - r));
            add(rows.h + j * units + unit, grad * r);
        }
    }

    SWEEPSEG_INLINE static void add(T* to, Vec<T> v) { store(to, load<T>(to) + v); }

    // out += gradients of the sums from `slot`, of all places that saw a state, times their weights.
    template <int Gates>
    void state_gradient(const Rows& rows, int slot, const T* panels, int64_t from, int64_t to, T* out) const {
        for_panels<T>(units, [&](auto vectors, int64_t column) {
            for_tiles<ROWS>(from, to, [&](auto size, int64_t j) {
                const T* sums = rows.sums + (j * slots + slot) * units;
                const T* panel = panels + conv.taps * Gates * units * column;
                for (int64_t place = 0; place < conv.taps; place++)
                    add_product<size(), vectors()>(out + j * units + column, units, sums + place * slots * units,
                                                   slots * units, 1, panel + place * Gates * units * vectors() * L,
                                                   vectors() * L, Gates * units);
            });
        });
    }

    void input_gradient(const Rows& rows) const {
        const T* sums = rows.sums + margin * slots * units;
        for_panels<T>(shape.input, [&](auto vectors, int64_t column) {
            for_tiles<ROWS>(0, shape.inner, [&](auto size, int64_t j) {
                Vec<T> of_x[size()][vectors()] = {};
                multiply<0, vectors()>(of_x, sums + j * slots * units, slots * units, 1,
                                       panels_ih + gates * units * column, vectors() * L, gates * units);
                for (int r = 0; r < size(); r++)
                    for (int k = 0; k < vectors(); k++)
                        if (column + k * L < shape.input)
                            store_some(gradients.x + position(shape.grad_x, rows, j + r, rows.s) + column + k * L,
                                       of_x[r][k], shape.input - column - k * L);
            });
        });
    }

    // Add to the gradients of the weights of a group, which lie one behind the other.
    void weight_gradients(const Rows& rows, T* group) const {
        const T* sums = rows.sums + margin * slots * units;
        group = weight_gradient<gates>(rows.x, inputs, shape.input, sums, group);
        group = weight_gradient<h_gates>(rows.before, shape.hidden, depth, sums + h_slot * units, group);
        if (Cell::resets) group = weight_gradient<1>(rows.reset, shape.hidden, depth, sums, group);
        for (int64_t j = 0; j < shape.inner; j++)
            for (int64_t i = 0; i < slots * units; i += L) add(group + i, load<T>(sums + j * slots * units + i));
    }

    // out += grads^T in, in panels; row after row of `in` may overlap. Returns the end of `out`.
    template <int Gates>
    T* weight_gradient(const T* in, int64_t in_row, int64_t in_columns, const T* grads, T* out) const {
        for_panels<T>(in_columns, [&](auto vectors, int64_t column) {
            for_tiles<ROWS>(0, Gates * units, [&](auto size, int64_t row) {
                add_product<size(), vectors()>(out + Gates * units * column + row * vectors() * L, vectors() * L,
                                               grads + row, 1, slots * units, in + column, in_row, shape.inner);
            });
        });
        return out + Gates * units * padded<T>(in_columns);
    }

    const ConvShape& conv;
    const RecurrentShape& shape = conv.base;
    const RecurrentTensors<T>& tensors;
    const RecurrentGradients<T>& gradients;
    const int64_t units = padded<T>(shape.hidden), inputs = padded<T>(shape.input);
    const int64_t depth = conv.taps * shape.hidden, columns = padded<T>(depth);
    const int64_t margin = conv.margin(), reach = (1 + Cell::resets) * margin;
    const int64_t row = padded<T>((shape.inner + 2 * margin) * shape.hidden + L);
    const int64_t groups = std::clamp<int64_t>(shape.rows() * shape.steps / 1024, 1, 16);  // sums apart, for many threads
    const int64_t group_size = (gates * inputs + (h_gates + Cell::resets) * columns + slots) * units;
    const Buffer<T> panels_ih, panels_hh, panels_late, group_sums{groups * group_size}, zeros{units};
    const Buffer<T> h{shape.rows() * units}, c{Cell::has_c ? shape.rows() * units : 0};
};

}  // namespace sweepseg

// The functions of a cell that Python calls.
#define SWEEPSEG_CONV_RECURRENCE_OF(name, Cell, T)                                                                   \
    SWEEPSEG_API void sweepseg_##name##_##T(const sweepseg::ConvShape* shape,                                        \
                                            const sweepseg::RecurrentTensors<T>* tensors) {                          \
        sweepseg::ForwardConvScan<T, sweepseg::Cell>(*shape, *tensors).run();                                        \
    }                                                                                                                \
    SWEEPSEG_API void sweepseg_##name##_backward_##T(const sweepseg::ConvShape* shape,                               \
                                                     const sweepseg::RecurrentTensors<T>* tensors,                   \
                                                     const sweepseg::RecurrentGradients<T>* gradients) {             \
        sweepseg::BackwardConvScan<T, sweepseg::Cell>(*shape, *tensors, *gradients).run();                           \
    }
#define SWEEPSEG_CONV_RECURRENCE(name, Cell)       \
    SWEEPSEG_CONV_RECURRENCE_OF(name, Cell, float) \
    SWEEPSEG_CONV_RECURRENCE_OF(name, Cell, double)
