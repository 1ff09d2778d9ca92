// What the row-wise convolutional recurrences share: the state is a row of a map, place after place, so that the
// neighbours of a place that a convolution along the row sees are one run of taps * hidden numbers.
//
// In a shape, outer is the map and inner the place in its row. One thread takes one map through all steps or, where there
// are few maps, a piece of one through some steps, and computes what these need of the places around them itself.
//
// A cell (gru.h, lstm.h) is one of recurrent.h; there is no mask.
#pragma once

#include "recurrent.h"

namespace sweepseg {

struct ConvShape {
    RecurrentShape base;
    int64_t taps;  // of the convolution, odd

    int64_t margin() const { return taps / 2; }
    // The positions of a state's hidden numbers in dense rows (outer, inner, hidden).
    int64_t dense(int64_t map, int64_t place) const { return (map * base.inner + place) * base.hidden; }
    double multiply_adds(int gates) const {
        return double(base.rows()) * base.steps * gates * base.hidden * (base.input + taps * base.hidden);
    }
};

// How the work is shared out. It depends on nothing but the shape, so that the bits of a result do not either.
struct Plan {
    int64_t maps, row, all_steps, pieces, places, steps, chunks;  // places of a piece, steps of a chunk

    // In each step a piece sees `reach` places further to both sides in the step before.
    Plan(const ConvShape& shape, int64_t reach)
        : maps(shape.base.outer), row(shape.base.inner), all_steps(shape.base.steps) {
        constexpr int64_t ENOUGH_MAPS = 4, MOST_BLOCKS = 16, FEWEST_PLACES = 32, HALO = 8;
        const int64_t most = maps < ENOUGH_MAPS ? MOST_BLOCKS / std::max<int64_t>(maps, 1) : 1;
        places = divide_up(row, std::clamp<int64_t>(row / FEWEST_PLACES, 1, most));
        pieces = divide_up(row, places);
        steps = pieces > 1 ? std::clamp<int64_t>(places / (HALO * std::max<int64_t>(reach, 1)), 1, all_steps) : all_steps;
        chunks = divide_up(all_steps, steps);
    }
    int64_t blocks() const { return maps * pieces; }

    // Call `work(group, block, turn)` for the pieces of all maps, grouped; the turns of a block, one a chunk, in order.
    template <typename Work>
    void run(int64_t groups, double multiply_adds, const Work& work) const {
        const int64_t together = pieces > 1 ? 1 : chunks;
        const int64_t grain = tasks_per_thread(multiply_adds / double(groups) * double(together) / double(chunks));
        for (int64_t first = 0; first < chunks; first += together)
            parallel_for(groups, grain, [&](int64_t group) {
                for (int64_t block = blocks() * group / groups; block < blocks() * (group + 1) / groups; block++)
                    for (int64_t turn = first; turn < first + together; turn++) work(group, block, turn);
            });
    }
};

// A piece of a map in a chunk of steps, and the places around it that it sees at the other end of these steps. Its buffers
// of rows hold all of these and `margin` places more on both sides, which are zero outside of the map.
struct Piece {
    int64_t map, first, last, left, right, begin, end;  // its own places, with those around it, steps

    Piece(const Plan& plan, int64_t block, int64_t chunk, int64_t reach) {
        map = block / plan.pieces, first = block % plan.pieces * plan.places;
        last = std::min(first + plan.places, plan.row);
        begin = chunk * plan.steps, end = std::min(begin + plan.steps, plan.all_steps);
        left = std::max<int64_t>(first - reach * steps(), 0), right = std::min(last + reach * steps(), plan.row);
    }
    int64_t steps() const { return end - begin; }
    int64_t width() const { return right - left; }
    bool owns(int64_t place) const { return first <= place && place < last; }
    // Its own places and `around` on both sides.
    int64_t from(int64_t around) const { return std::max(first - around, left); }
    int64_t to(int64_t around) const { return std::min(last + around, right); }
};

// States (maps, row, hidden) that each turn hands to the next: from `first`, null for zeros, to `last`, null for nowhere.
template <typename T>
struct Relay {
    Relay(const T* first, T* last, const Plan& plan, int64_t hidden)
        : first(first), last(last), turns(plan.chunks), size(plan.maps * plan.row * hidden), between(turns > 1 ? 2 * size : 0) {}

    const T* given(int64_t turn) const { return turn == 0 ? first : between + (turn - 1) % 2 * size; }
    T* taken(int64_t turn) const { return turn == turns - 1 ? last : between + turn % 2 * size; }

    const T* first;
    T* last;
    const int64_t turns, size;
    const Buffer<T> between;
};

template <typename T, typename Cell>
class ForwardConvScan {
   public:
    ForwardConvScan(const ConvShape& conv, const RecurrentTensors<T>& tensors)
        : conv(conv),
          tensors(tensors),
          panels_ih(pack_gates<T>(tensors.weight_ih, Cell::x_gates, shape.hidden, shape.input)),
          panels_hh(pack_gates<T>(tensors.weight_hh, Cell::h_gates, shape.hidden, depth)),
          panels_late(pack_gates<T>(tensors.weight_hh, Cell::late_gates, Cell::resets ? shape.hidden : 0, depth)),
          bias(pack_biases<T, Cell>(tensors, shape.hidden)),
          h(tensors.h0, tensors.h, plan, shape.hidden),
          c(tensors.c0, tensors.c, plan, Cell::has_c ? shape.hidden : 0) {}

    void run() const {
        plan.run(plan.blocks(), conv.multiply_adds(gates),
                 [&](int64_t, int64_t block, int64_t turn) { run_piece(Piece(plan, block, turn, reach), turn); });
    }

   private:
    static constexpr int L = LANES<T>, slots = Cell::slots, gates = count(Cell::x_gates);
    static constexpr int h_gates = count(Cell::h_gates), h_slot = slots - h_gates;

    // Rows of the piece: x[t], the states before and after the step, the reset state, c, and the sums of a cell that resets.
    struct Rows {
        T *x, *now, *next, *reset, *c, *sums;
    };

    void run_piece(const Piece& piece, int64_t turn) const {
        const int64_t hidden = shape.hidden, width = piece.width(), row = (width + 2 * margin) * hidden + L;
        Buffer<T> memory(3 * row + width * (shape.input + (1 + Cell::resets * slots) * units));
        Rows rows;
        rows.now = memory, rows.next = rows.now + row, rows.reset = rows.next + row;
        rows.x = rows.reset + row, rows.c = rows.x + width * shape.input, rows.sums = rows.c + width * units;
        for (int64_t j = piece.left; j < piece.right; j++) {
            if (h.given(turn)) copy(h.given(turn) + conv.dense(piece.map, j), hidden, state(rows.now, piece, j));
            if (Cell::has_c && c.given(turn))
                copy(c.given(turn) + conv.dense(piece.map, j), hidden, rows.c + (j - piece.left) * units);
        }
        for (int64_t s = piece.begin; s < piece.end; s++) {
            const int64_t time = shape.time(s), around = reach * (piece.end - 1 - s), resets = Cell::resets * margin;
            load_input(rows, piece, s, around + resets);
            for (int64_t unit = 0; unit < hidden; unit += L)
                for_tiles<Cell::rows>(piece.from(around + resets), piece.to(around + resets), [&](auto size, int64_t j) {
                    tile<size()>(rows, piece, j, unit, time);
                });
            if constexpr (Cell::resets)
                for (int64_t unit = 0; unit < hidden; unit += L)
                    for_tiles<Cell::rows>(piece.from(around), piece.to(around), [&](auto size, int64_t j) {
                        late_tile<size()>(rows, piece, j, unit, time);
                    });
            std::swap(rows.now, rows.next);
        }
        for (int64_t j = piece.first; j < piece.last; j++) {
            copy(state(rows.now, piece, j), hidden, h.taken(turn) + conv.dense(piece.map, j));
            if (Cell::has_c)
                copy(rows.c + (j - piece.left) * units, hidden, c.taken(turn) + conv.dense(piece.map, j));
        }
    }

    // The state at place j of a row; what the place sees starts `margin` places before.
    T* state(T* row, const Piece& piece, int64_t j) const { return row + (j - piece.left + margin) * shape.hidden; }
    const T* seen(T* row, const Piece& piece, int64_t j) const { return row + (j - piece.left) * shape.hidden; }

    void load_input(const Rows& rows, const Piece& piece, int64_t s, int64_t around) const {
        const int64_t ahead = (shape.time(std::min(s + 1, shape.steps - 1)) - shape.time(s)) * shape.x.step;
        for (int64_t j = piece.from(around); j < piece.to(around); j++) {
            const T* x = tensors.x + piece.map * shape.x.outer + j * shape.x.inner + shape.time(s) * shape.x.step;
            copy(x, shape.input, rows.x + (j - piece.left) * shape.input);
            prefetch(x + ahead, shape.input);
        }
    }

    template <int Rows_>
    SWEEPSEG_INLINE void tile(const Rows& rows, const Piece& piece, int64_t j, int64_t unit, int64_t time) const {
        const int64_t block = unit / L, local = j - piece.left;
        Vec<T> sums[Rows_][slots];
#pragma GCC unroll 8
        for (int r = 0; r < Rows_; r++)
#pragma GCC unroll 8
            for (int k = 0; k < slots; k++) sums[r][k] = load<T>(bias + (block * slots + k) * L);
        multiply<0, gates>(sums, rows.x + local * shape.input, shape.input, 1, panels_ih + block * shape.input * gates * L,
                           gates * L, shape.input);
        multiply<h_slot, h_gates>(sums, seen(rows.now, piece, j), shape.hidden, 1, panels_hh + block * depth * h_gates * L,
                                  h_gates * L, depth);
        if constexpr (Cell::resets) {
#pragma GCC unroll 8
            for (int r = 0; r < Rows_; r++) {
                const Vec<T> reset = Cell::template reset<T>(sums[r], load(state(rows.now, piece, j + r) + unit));
                store_some(state(rows.reset, piece, j + r) + unit, reset, shape.hidden - unit);
#pragma GCC unroll 8
                for (int k = 0; k < slots; k++) store(rows.sums + ((local + r) * slots + k) * units + unit, sums[r][k]);
            }
        } else {
            finish(sums, rows, piece, j, unit, time);
        }
    }

    template <int Rows_>
    SWEEPSEG_INLINE void late_tile(const Rows& rows, const Piece& piece, int64_t j, int64_t unit, int64_t time) const {
        Vec<T> sums[Rows_][slots];
#pragma GCC unroll 8
        for (int r = 0; r < Rows_; r++)
#pragma GCC unroll 8
            for (int k = 0; k < slots; k++)
                sums[r][k] = load<T>(rows.sums + ((j - piece.left + r) * slots + k) * units + unit);
        multiply<0, 1>(sums, seen(rows.reset, piece, j), shape.hidden, 1, panels_late + unit * depth, L, depth);
        finish(sums, rows, piece, j, unit, time);
    }

    // From the sums to the states, in registers.
    template <int Rows_>
    SWEEPSEG_INLINE void finish(const Vec<T> (&sums)[Rows_][slots], const Rows& rows, const Piece& piece, int64_t j,
                                int64_t unit, int64_t time) const {
        const int64_t hidden = shape.hidden, size = hidden - unit;
#pragma GCC unroll 8
        for (int r = 0; r < Rows_; r++) {
            const int64_t place = j + r;
            Vec<T> h = load(state(rows.now, piece, place) + unit), c{}, saved[Cell::saved];
            T* const c_place = rows.c + (place - piece.left) * units + unit;
            if constexpr (Cell::has_c) c = load<T>(c_place);
            Cell::template forward<T>(sums[r], h, c, saved);
            store_some(state(rows.next, piece, place) + unit, h, size);
            if constexpr (Cell::has_c) store(c_place, c);
            if (!piece.owns(place)) continue;
            T* const y = tensors.y + piece.map * shape.y.outer + place * shape.y.inner + time * shape.y.step;
            store_some(y + unit, h, size);
            if (tensors.saved) {
                const int64_t row = time * shape.rows() + piece.map * shape.inner + place;
#pragma GCC unroll 8
                for (int k = 0; k < Cell::saved; k++)
                    store_some(tensors.saved + (row * Cell::saved + k) * hidden + unit, saved[k], size);
            }
        }
    }

    const ConvShape& conv;
    const RecurrentShape& shape = conv.base;
    const RecurrentTensors<T>& tensors;
    const int64_t units = padded<T>(shape.hidden), depth = conv.taps * shape.hidden;
    const int64_t margin = conv.margin(), reach = (1 + Cell::resets) * margin;
    const Plan plan{conv, reach};
    const Buffer<T> panels_ih, panels_hh, panels_late, bias;
    const Relay<T> h, c;
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
          groups(std::clamp<int64_t>(std::min(plan.blocks(), shape.rows() * shape.steps / 1024), 1, 16)),
          panels_ih(pack_columns(tensors.weight_ih, Cell::x_gates, shape.hidden, shape.input)),
          panels_hh(pack_taps(tensors.weight_hh, Cell::h_gates, shape.hidden, conv.taps)),
          panels_late(pack_taps(tensors.weight_hh, Cell::late_gates, Cell::resets ? shape.hidden : 0, conv.taps)),
          group_sums(groups * group_size),
          h(gradients.h, gradients.h0, plan, shape.hidden),
          c(gradients.c, gradients.c0, plan, Cell::has_c ? shape.hidden : 0) {}

    void run() const {
        plan.run(groups, 2 * conv.multiply_adds(gates), [&](int64_t group, int64_t block, int64_t turn) {
            run_piece(Piece(plan, block, plan.chunks - 1 - turn, reach), turn, group_sums + group * group_size);
        });
        add_groups();
    }

   private:
    static constexpr int L = LANES<T>, slots = Cell::slots, gates = count(Cell::x_gates);
    static constexpr int h_gates = count(Cell::h_gates), h_slot = slots - h_gates;
    static constexpr int ROWS = 4;

    // Rows of the piece: x[t], the states before the step, these after the reset, the gradients of the slots' sums; the
    // gradients of the states and of the reset state. Then those of a group's weights.
    struct Rows {
        T *x, *before, *reset, *sums, *h, *c, *of_reset;
        T *weight_ih, *weight_hh, *weight_late, *bias;
    };

    void run_piece(const Piece& piece, int64_t turn, T* group) const {
        const int64_t hidden = shape.hidden, width = piece.width(), own = piece.last - piece.first;
        const int64_t wide = width + 2 * margin, row = wide * hidden + L;
        Buffer<T> memory(own * inputs + 2 * row + wide * slots * units + 3 * width * units);
        Rows rows;
        rows.x = memory, rows.before = rows.x + own * inputs, rows.reset = rows.before + row;
        rows.sums = rows.reset + row, rows.h = rows.sums + wide * slots * units;
        rows.c = rows.h + width * units, rows.of_reset = rows.c + width * units;
        rows.weight_ih = group, rows.weight_hh = group + gates * units * inputs;
        rows.weight_late = rows.weight_hh + h_gates * units * columns;
        rows.bias = rows.weight_late + Cell::resets * units * columns;
        for (int64_t j = piece.left; j < piece.right; j++) {
            if (h.given(turn)) copy(h.given(turn) + conv.dense(piece.map, j), hidden, rows.h + (j - piece.left) * units);
            if (Cell::has_c && c.given(turn))
                copy(c.given(turn) + conv.dense(piece.map, j), hidden, rows.c + (j - piece.left) * units);
        }
        const int64_t first = piece.first - piece.left;
        const T *before = rows.before + first * hidden, *reset = rows.reset + first * hidden;
        const T* sums = rows.sums + (margin + first) * slots * units;
        for (int64_t s = piece.end - 1; s >= piece.begin; s--) {
            step(rows, piece, s, reach * (s - piece.begin + 1));
            input_gradient(sums, piece, s);
            weight_gradient<gates>(rows.x, inputs, shape.input, sums, own, rows.weight_ih);
            weight_gradient<h_gates>(before, hidden, depth, sums + h_slot * units, own, rows.weight_hh);
            if (Cell::resets) weight_gradient<1>(reset, hidden, depth, sums, own, rows.weight_late);
        }
        for (int64_t j = piece.first; j < piece.last; j++) {
            if (h.taken(turn)) copy(rows.h + (j - piece.left) * units, hidden, h.taken(turn) + conv.dense(piece.map, j));
            if (Cell::has_c && c.taken(turn))
                copy(rows.c + (j - piece.left) * units, hidden, c.taken(turn) + conv.dense(piece.map, j));
        }
    }

    int64_t position(const Strides& strides, const Piece& piece, int64_t j, int64_t s) const {
        return piece.map * strides.outer + j * strides.inner + shape.time(s) * strides.step;
    }
    // h[t-1] and c[t-1] of the step that runs as number s; zeros where there is no initial state.
    const T* h_before(const Piece& piece, int64_t s, int64_t j) const {
        if (s == 0) return tensors.h0 ? tensors.h0 + conv.dense(piece.map, j) : zeros;
        return tensors.y + position(shape.y, piece, j, s - 1);
    }
    const T* saved(const Piece& piece, int64_t s, int64_t j, int k) const {
        const int64_t row = shape.time(s) * shape.rows() + piece.map * shape.inner + j;
        return tensors.saved + (row * Cell::saved + k) * shape.hidden;
    }
    const T* c_before(const Piece& piece, int64_t s, int64_t j) const {
        if (s == 0) return tensors.c0 ? tensors.c0 + conv.dense(piece.map, j) : zeros;
        return saved(piece, s - 1, j, Cell::saved - 1);
    }

    // From the gradient of the states after step s to that of the states before it, `reach` places less to both sides.
    void step(const Rows& rows, const Piece& piece, int64_t s, int64_t around) const {
        for (int64_t j = piece.from(around); j < piece.to(around); j++) gates_gradient(rows, piece, s, j);
        if constexpr (Cell::resets) {
            const int64_t from = piece.from(around - margin), to = piece.to(around - margin);
            std::fill_n(rows.of_reset + (from - piece.left) * units, (to - from) * units, T(0));
            state_gradient<1>(rows, piece, 0, panels_late, from, to, rows.of_reset);
            for (int64_t j = from; j < to; j++) reset_gradient(rows, piece, s, j);
        }
        state_gradient<h_gates>(rows, piece, h_slot, panels_hh, piece.from(around - reach), piece.to(around - reach),
                                rows.h);
    }

    void gates_gradient(const Rows& rows, const Piece& piece, int64_t s, int64_t j) const {
        const int64_t hidden = shape.hidden, local = j - piece.left, next = std::max<int64_t>(s - 1, 0);
        const T* const before = h_before(piece, s, j);
        const T* const grad_y = gradients.y ? gradients.y + position(shape.grad_y, piece, j, s) : zeros;
        T* const sums = rows.sums + (margin + local) * slots * units;
        prefetch(h_before(piece, next, j), hidden);
        if (gradients.y) prefetch(gradients.y + position(shape.grad_y, piece, j, next), hidden);
        if (piece.owns(j)) {
            copy(tensors.x + position(shape.x, piece, j, s), shape.input, rows.x + (j - piece.first) * inputs);
            prefetch(tensors.x + position(shape.x, piece, j, next), shape.input);
        }
        copy(before, hidden, rows.before + (margin + local) * hidden);
        for (int64_t unit = 0; unit < hidden; unit += L) {
            const int64_t size = hidden - unit;
            Vec<T> values[Cell::saved], grad[slots], c{}, grad_c{};
#pragma GCC unroll 8
            for (int k = 0; k < Cell::saved; k++) values[k] = load_some(saved(piece, s, j, k) + unit, size);
            T *const grad_h_place = rows.h + local * units + unit, *const grad_c_place = rows.c + local * units + unit;
            if constexpr (Cell::has_c) {
                c = load_some(c_before(piece, s, j) + unit, size);
                grad_c = load<T>(grad_c_place);
            }
            const Vec<T> h = load_some(before + unit, size);
            Vec<T> grad_h = load<T>(grad_h_place) + load_some(grad_y + unit, size);
            Cell::template backward<T>(values, Vec<T>{}, h, c, grad_h, grad_c, grad);  // gates tell h[t]'s slope from `values`
            store(grad_h_place, grad_h);
            if constexpr (Cell::has_c) store(grad_c_place, grad_c);
            if constexpr (Cell::resets)
                store_some(rows.reset + (margin + local) * hidden + unit, values[0] * h, size);
#pragma GCC unroll 8
            for (int k = 0; k < slots; k++) {
                store(sums + k * units + unit, grad[k]);
                if (piece.owns(j)) add(rows.bias + k * units + unit, grad[k]);
            }
        }
    }

    // From the gradient of the reset state, r times the state, to those of r's sum and of the state.
    void reset_gradient(const Rows& rows, const Piece& piece, int64_t s, int64_t j) const {
        const int64_t local = j - piece.left;
        for (int64_t unit = 0; unit < shape.hidden; unit += L) {
            const Vec<T> r = load_some(saved(piece, s, j, 0) + unit, shape.hidden - unit);
            const Vec<T> grad = load<T>(rows.of_reset + local * units + unit);
            const Vec<T> reset = load<T>(rows.reset + (margin + local) * shape.hidden + unit);
            const Vec<T> of_sum = grad * reset * (T(1) - r);
            store(rows.sums + ((margin + local) * slots + 1) * units + unit, of_sum);
            if (piece.owns(j)) add(rows.bias + units + unit, of_sum);
            add(rows.h + local * units + unit, grad * r);
        }
    }

    SWEEPSEG_INLINE static void add(T* to, Vec<T> v) { store(to, load<T>(to) + v); }

    // out += gradients of the sums from `slot`, of all places that saw a state, times their weights.
    template <int Gates>
    void state_gradient(const Rows& rows, const Piece& piece, int slot, const T* panels, int64_t from, int64_t to,
                        T* out) const {
        for_panels<T>(units, [&](auto vectors, int64_t column) {
            for_tiles<ROWS>(from, to, [&](auto size, int64_t j) {
                const T* sums = rows.sums + ((j - piece.left) * slots + slot) * units;
                const T* panel = panels + conv.taps * Gates * units * column;
                for (int64_t place = 0; place < conv.taps; place++)
                    add_product<size(), vectors()>(out + (j - piece.left) * units + column, units,
                                                   sums + place * slots * units, slots * units, 1,
                                                   panel + place * Gates * units * vectors() * L, vectors() * L,
                                                   Gates * units);
            });
        });
    }

    void input_gradient(const T* sums, const Piece& piece, int64_t s) const {
        for_panels<T>(shape.input, [&](auto vectors, int64_t column) {
            for_tiles<ROWS>(piece.first, piece.last, [&](auto size, int64_t j) {
                Vec<T> of_x[size()][vectors()] = {};
                multiply<0, vectors()>(of_x, sums + (j - piece.first) * slots * units, slots * units, 1,
                                       panels_ih + gates * units * column, vectors() * L, gates * units);
                for (int r = 0; r < size(); r++)
                    for (int k = 0; k < vectors(); k++)
                        if (column + k * L < shape.input)
                            store_some(gradients.x + position(shape.grad_x, piece, j + r, s) + column + k * L, of_x[r][k],
                                       shape.input - column - k * L);
            });
        });
    }

    // out += grads^T in, in panels, over the piece's own places; row after row of `in` may overlap.
    template <int Gates>
    void weight_gradient(const T* in, int64_t in_row, int64_t in_columns, const T* grads, int64_t own, T* out) const {
        for_panels<T>(in_columns, [&](auto vectors, int64_t column) {
            for_tiles<ROWS>(0, Gates * units, [&](auto size, int64_t row) {
                add_product<size(), vectors()>(out + Gates * units * column + row * vectors() * L, vectors() * L,
                                               grads + row, 1, slots * units, in + column, in_row, own);
            });
        });
    }

    void add_groups() const {
        for (int64_t group = 1; group < groups; group++)
            for (int64_t i = 0; i < group_size; i++) group_sums[i] += group_sums[group * group_size + i];
        const int64_t hidden = shape.hidden;
        const T *weight_ih = group_sums, *weight_hh = weight_ih + gates * units * inputs,
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

    const ConvShape& conv;
    const RecurrentShape& shape = conv.base;
    const RecurrentTensors<T>& tensors;
    const RecurrentGradients<T>& gradients;
    const int64_t units = padded<T>(shape.hidden), inputs = padded<T>(shape.input);
    const int64_t depth = conv.taps * shape.hidden, columns = padded<T>(depth);
    const int64_t margin = conv.margin(), reach = (1 + Cell::resets) * margin;
    const Plan plan{conv, reach};
    const int64_t group_size = (gates * inputs + (h_gates + Cell::resets) * columns + slots) * units;
    const int64_t groups;
    const Buffer<T> panels_ih, panels_hh, panels_late, group_sums, zeros{units};
    const Relay<T> h, c;
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
