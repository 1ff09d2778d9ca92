// The two-dimensional LSTM of ops/md_lstm_scan/_reference.py.
//
// In a shape, outer is the map, inner the column and a step the row; the taps are the pixel above and the one on the left.
// LINES rows are a band of a `pipeline`. It runs diagonal after diagonal, line i one column behind line i - 1: the pixels of
// a diagonal are independent and share each load of the weights, and what they see lies on the diagonal before. A band
// leaves its last row to the next band and tells how far that is done.
#include "conv_scan.h"

namespace sweepseg {
namespace {

// Input, forget above, forget left, candidate, output.
struct MDLSTM {
    static constexpr int slots = 5, saved = 6;
    static constexpr int x_gates[] = {0, 1, 2, 3, 4}, h_gates[] = {0, 1, 2, 3, 4}, late_gates[] = {0};
    static constexpr bool resets = false;
    static constexpr int rows = VECTOR_BYTES == 64 ? 4 : 2;

    template <typename T>
    SWEEPSEG_INLINE static void forward(const Vec<T> (&sums)[slots], Vec<T> c_above, Vec<T> c_left, Vec<T>& h,
                                        Vec<T> (&values)[saved]) {
        const Vec<T> i = sigmoid<T>(sums[0]), f = sigmoid<T>(sums[1]), e = sigmoid<T>(sums[2]), g = tanh<T>(sums[3]);
        const Vec<T> o = sigmoid<T>(sums[4]), c = f * c_above + e * c_left + i * g;
        h = o * tanh<T>(c);
        values[0] = i, values[1] = f, values[2] = e, values[3] = g, values[4] = o, values[5] = c;
    }

    // From the gradients of the states to those of the sums and of the states c above and on the left.
    template <typename T>
    SWEEPSEG_INLINE static void backward(const Vec<T> (&values)[saved], Vec<T> c_above, Vec<T> c_left, Vec<T> grad_h,
                                         Vec<T> grad_c, Vec<T> (&grads)[slots], Vec<T>& above, Vec<T>& left) {
        const Vec<T> i = values[0], f = values[1], e = values[2], g = values[3], o = values[4], tanh_c = tanh<T>(values[5]);
        grad_c += grad_h * o * (T(1) - tanh_c * tanh_c);
        grads[0] = grad_c * g * i * (T(1) - i);
        grads[1] = grad_c * c_above * f * (T(1) - f);
        grads[2] = grad_c * c_left * e * (T(1) - e);
        grads[3] = grad_c * i * (T(1) - g * g);
        grads[4] = grad_h * tanh_c * o * (T(1) - o);
        above = grad_c * f, left = grad_c * e;
    }
};

constexpr int64_t LINES = 4;

// Where row s and column j, counted as they are run, lie in memory.
struct Corner {
    const RecurrentShape& shape;
    const bool leftwards;

    int64_t column(int64_t j) const { return leftwards ? shape.inner - 1 - j : j; }
    int64_t pixel(const Strides& strides, int64_t map, int64_t s, int64_t j) const {
        return map * strides.outer + column(j) * strides.inner + shape.time(s) * strides.step;
    }
    // From a pixel to the next one of its diagonal, which is a row later and a column earlier.
    int64_t along_diagonal(const Strides& strides) const {
        return (shape.reverse ? -strides.step : strides.step) - (leftwards ? -strides.inner : strides.inner);
    }
    // In dense rows (outer, inner).
    int64_t place(int64_t map, int64_t j) const { return map * shape.inner + column(j); }
    int64_t saved(int64_t map, int64_t s, int64_t j, int k) const {
        return ((shape.time(s) * shape.rows() + place(map, j)) * MDLSTM::saved + k) * shape.hidden;
    }
};

// Call `work(number, map, first, lines, progress, walk)` for all bands; `walk(visit)` calls `visit(d, begin, end)` for the
// diagonals d, of which the lines from `begin` to before `end` have a pixel, line i in column d - i.
template <typename Work>
void for_each_band(const RecurrentShape& shape, double multiply_adds, const Work& work) {
    RecurrentShape bands = shape;
    bands.steps = divide_up(shape.steps, LINES);
    const int64_t columns = shape.inner;
    for_each_step(bands, multiply_adds, [&](int64_t number, int64_t map, int64_t band, const auto& wait,
                                            const Progress& progress) {
        const int64_t first = band * LINES, lines = std::min(LINES, shape.steps - first);
        work(number, map, first, lines, progress, [&](const auto& visit) SWEEPSEG_LAMBDA {
            for (int64_t d = 0; d < columns + lines - 1; d++) {
                if (d % STRIDE == 0) wait(std::min(d + STRIDE, columns));
                visit(d, std::max<int64_t>(0, d - columns + 1), std::min(lines, d + 1));
                progress.tell(std::max<int64_t>(0, d + 2 - lines));
            }
        });
    });
}

template <typename T>
class ForwardMDLSTM {
   public:
    ForwardMDLSTM(const ConvShape& conv, const RecurrentTensors<T>& tensors, bool leftwards)
        : conv(conv),
          tensors(tensors),
          corner{conv.base, leftwards},
          panels_ih(pack_gates<T>(tensors.weight_ih, MDLSTM::x_gates, shape.hidden, shape.input)),
          panels_hh(pack_gates<T>(tensors.weight_hh, MDLSTM::h_gates, shape.hidden, depth)),
          bias(pack_biases<T, MDLSTM>(tensors, shape.hidden)) {}

    void run() const {
        for_each_band(shape, conv.multiply_adds(slots),
                      [&](int64_t, int64_t map, int64_t first, int64_t lines, const Progress&, const auto& walk) {
                          run_band(map, first, lines, walk);
                      });
    }

   private:
    static constexpr int L = LANES<T>, slots = MDLSTM::slots;

    // The states of a diagonal, line after line behind the one of the band before: what the pixel of line i on the next
    // diagonal sees is at i, above, and at i + 1, on the left.
    struct States {
        T *h, *c;
    };

    template <typename Walk>
    void run_band(int64_t map, int64_t first, int64_t lines, const Walk& walk) const {
        const int64_t hidden = shape.hidden, size = (lines + 1) * (hidden + units);
        const Buffer<T> memory(2 * size);
        States now{memory, memory + (lines + 1) * hidden}, next{now.h + size, now.c + size};
        if (first == 0) {
            start(tensors.h0, map, tensors.h);
            start(tensors.c0, map, tensors.c);
        }
        walk([&](int64_t d, int64_t begin, int64_t end) {
            if (d < shape.inner) {
                copy(tensors.h + corner.place(map, d) * hidden, hidden, now.h);
                copy(tensors.c + corner.place(map, d) * hidden, hidden, now.c);
            }
            for (int64_t unit = 0; unit < hidden; unit += L)
                for_tiles<MDLSTM::rows>(begin, end, [&](auto size, int64_t i) {
                    tile<size()>(now, next, map, first + i, d - i, i, unit);
                });
            if (end == lines) {
                const int64_t place = corner.place(map, d + 1 - lines) * hidden;
                copy(next.h + lines * hidden, hidden, tensors.h + place);
                copy(next.c + lines * units, hidden, tensors.c + place);
            }
            std::swap(now, next);
        });
    }

    // The row before the first; it and the last one of each band lie where the last row of all is wanted.
    void start(const T* initial, int64_t map, T* row) const {
        const int64_t size = shape.inner * shape.hidden;
        initial ? std::copy_n(initial + map * size, size, row + map * size) : std::fill_n(row + map * size, size, T(0));
    }

    template <int Count>
    SWEEPSEG_INLINE void tile(const States& now, const States& next, int64_t map, int64_t s, int64_t j, int64_t line,
                              int64_t unit) const {
        const int64_t block = unit / L, hidden = shape.hidden, size = hidden - unit;
        Vec<T> sums[Count][slots];
#pragma GCC unroll 8
        for (int r = 0; r < Count; r++)
#pragma GCC unroll 8
            for (int k = 0; k < slots; k++) sums[r][k] = load<T>(bias + (block * slots + k) * L);
        multiply<0, slots>(sums, tensors.x + corner.pixel(shape.x, map, s, j), corner.along_diagonal(shape.x), 1,
                           panels_ih + block * shape.input * slots * L, slots * L, shape.input);
        multiply<0, slots>(sums, now.h + line * hidden, hidden, 1, panels_hh + block * depth * slots * L, slots * L, depth);
#pragma GCC unroll 8
        for (int r = 0; r < Count; r++) {
            const T* const c = now.c + (line + r) * units + unit;
            Vec<T> h, values[MDLSTM::saved];
            MDLSTM::forward<T>(sums[r], load(c), load(c + units), h, values);
            store_some(next.h + (line + r + 1) * hidden + unit, h, size);
            store(next.c + (line + r + 1) * units + unit, values[MDLSTM::saved - 1]);
            store_some(tensors.y + corner.pixel(shape.y, map, s + r, j - r) + unit, h, size);
            if (tensors.saved)
#pragma GCC unroll 8
                for (int k = 0; k < MDLSTM::saved; k++)
                    store_some(tensors.saved + corner.saved(map, s + r, j - r, k) + unit, values[k], size);
        }
    }

    const ConvShape& conv;
    const RecurrentShape& shape = conv.base;
    const RecurrentTensors<T>& tensors;
    const Corner corner;
    const int64_t units = padded<T>(shape.hidden), depth = conv.taps * shape.hidden;
    const Buffer<T> panels_ih, panels_hh, bias;
};

// The same from the last row and column to the first: line i of a band is i rows before its first one, and its column d - i
// is counted from the last.
template <typename T>
class BackwardMDLSTM {
   public:
    BackwardMDLSTM(const ConvShape& conv, const RecurrentTensors<T>& tensors, const RecurrentGradients<T>& gradients,
                   bool leftwards)
        : conv(conv),
          tensors(tensors),
          gradients(gradients),
          corner{conv.base, leftwards},
          panels_ih(pack_columns(tensors.weight_ih, MDLSTM::x_gates, shape.hidden, shape.input)),
          panels_hh(pack_taps(tensors.weight_hh, MDLSTM::h_gates, shape.hidden, conv.taps)) {}

    void run() const {
        for_each_band(shape, 2 * conv.multiply_adds(slots),
                      [&](int64_t number, int64_t map, int64_t first, int64_t lines, const Progress& progress,
                          const auto& walk) { run_band(number, map, first, lines, progress, walk); });
        add_groups<MDLSTM, T>(group_sums, groups, group_size, shape, depth, gradients);
    }

   private:
    static constexpr int L = LANES<T>, slots = MDLSTM::slots;
    static constexpr int64_t DEPTH = 64;  // pixels between two updates of the weights' gradients

    // Of all pixels, behind a column of zeros: the gradients of the sums, with the row of the band before ahead, and the
    // inputs of the products: x, h above, h on the left. Of two diagonals, line after line behind the row of the band
    // before: the gradients of c above and on the left.
    struct Band {
        T *sums, *in, *now, *next;
    };

    template <typename Walk>
    void run_band(int64_t number, int64_t map, int64_t first, int64_t lines, const Progress& progress,
                  const Walk& walk) const {
        const int64_t hidden = shape.hidden, rings = (lines + 1) * 2 * units;
        const int64_t of_sums = (lines + 1) * pitch * grads, of_in = lines * pitch * width;
        const Buffer<T> memory(of_sums + of_in + 2 * rings);
        Band band{memory, memory + of_sums, memory + of_sums + of_in, memory + of_sums + of_in + rings};
        if (first == 0 && gradients.c)
            for (int64_t j = 0; j < shape.inner; j++)
                copy(gradients.c + corner.place(map, j) * hidden, hidden, row_c + corner.place(map, j) * units);
        walk([&](int64_t d, int64_t begin, int64_t end) {
            if (d < shape.inner) {
                const int64_t place = corner.place(map, shape.inner - 1 - d);
                copy(row_sums + place * grads, grads, band.sums + (d + 1) * grads);
                copy(row_c + place * units, units, band.now);
            }
            for_tiles<LINES>(begin, end, [&](auto size, int64_t i) {
                tile<size()>(band, map, shape.steps - 1 - first - i, shape.inner - 1 - d + i, i);
            });
            if (end == lines) {
                const int64_t k = d + 1 - lines, place = corner.place(map, shape.inner - 1 - k);
                copy(band.sums + (lines * pitch + k + 1) * grads, grads, row_sums + place * grads);
                copy(band.next + lines * 2 * units, units, row_c + place * units);
            }
            std::swap(band.now, band.next);
        });
        if (first + lines == shape.steps) initial_gradients(map);
        if (number >= groups) progress.wait(number - groups, shape.inner + 1);
        weight_gradients(band, lines, group_sums + number % groups * group_size);
        progress.tell(shape.inner + 1);
    }

    template <int Count>
    void tile(const Band& band, int64_t map, int64_t s, int64_t j, int64_t line) const {
        const int64_t k = shape.inner - 1 - j, diagonal = (pitch - 1) * grads;
        T* const sums = band.sums + ((line + 1) * pitch + k + 1) * grads;
        for_panels<T>(units, [&](auto vectors, int64_t column) {
            Vec<T> of_h[Count][vectors()] = {};
            const T* panel = panels_hh + conv.taps * grads * column;
            multiply<0, vectors()>(of_h, sums - grads, diagonal, 1, panel, vectors() * L, grads);
            multiply<0, vectors()>(of_h, sums - pitch * grads, diagonal, 1, panel + grads * vectors() * L, vectors() * L,
                                   grads);
            for (int r = 0; r < Count; r++)
                for (int v = 0; v < vectors(); v++)
                    gates_gradient(band, map, s - r, j + r, line + r, column + v * L, of_h[r][v], sums + r * diagonal);
        });
        for (int r = 0; r < Count; r++) {
            T* const in = band.in + ((line + r) * pitch + k - r + 1) * width;
            copy(tensors.x + corner.pixel(shape.x, map, s - r, j + r), shape.input, in);
            copy(h_before(map, s - r - 1, j + r), shape.hidden, in + inputs);
            copy(h_before(map, s - r, j + r - 1), shape.hidden, in + inputs + shape.hidden);
        }
        for_panels<T>(shape.input, [&](auto vectors, int64_t column) {
            Vec<T> of_x[Count][vectors()] = {};
            multiply<0, vectors()>(of_x, sums, diagonal, 1, panels_ih + grads * column, vectors() * L, grads);
            for (int r = 0; r < Count; r++)
                for (int v = 0; v < vectors(); v++)
                    if (column + v * L < shape.input)
                        store_some(gradients.x + corner.pixel(shape.grad_x, map, s - r, j + r) + column + v * L,
                                   of_x[r][v], shape.input - column - v * L);
        });
    }

    // The states of a pixel, also of those beside the map; zeros where there is none.
    const T* h_before(int64_t map, int64_t s, int64_t j) const {
        if (j < 0 || (s < 0 && !tensors.h0)) return zeros;
        return s < 0 ? tensors.h0 + corner.place(map, j) * shape.hidden : tensors.y + corner.pixel(shape.y, map, s, j);
    }
    const T* c_before(int64_t map, int64_t s, int64_t j) const {
        if (j < 0 || (s < 0 && !tensors.c0)) return zeros;
        return s < 0 ? tensors.c0 + corner.place(map, j) * shape.hidden
                     : tensors.saved + corner.saved(map, s, j, MDLSTM::saved - 1);
    }

    SWEEPSEG_INLINE void gates_gradient(const Band& band, int64_t map, int64_t s, int64_t j, int64_t line, int64_t unit,
                                        Vec<T> of_h, T* sums) const {
        const int64_t size = shape.hidden - unit;
        Vec<T> values[MDLSTM::saved], grad[slots], above, left;
#pragma GCC unroll 8
        for (int k = 0; k < MDLSTM::saved; k++)
            values[k] = load_some(tensors.saved + corner.saved(map, s, j, k) + unit, size);
        if (gradients.y) of_h += load_some(gradients.y + corner.pixel(shape.grad_y, map, s, j) + unit, size);
        if (gradients.h && s + 1 == shape.steps)
            of_h += load_some(gradients.h + corner.place(map, j) * shape.hidden + unit, size);
        const T *const below = band.now + line * 2 * units + unit, *const right = below + 3 * units;
        MDLSTM::backward<T>(values, load_some(c_before(map, s - 1, j) + unit, size),
                            load_some(c_before(map, s, j - 1) + unit, size), of_h, load(below) + load(right), grad, above,
                            left);
        T* const before = band.next + (line + 1) * 2 * units + unit;
        store(before, above);
        store(before + units, left);
#pragma GCC unroll 8
        for (int k = 0; k < slots; k++) store(sums + k * units + unit, grad[k]);
    }

    // From what the first row left.
    void initial_gradients(int64_t map) const {
        const int64_t hidden = shape.hidden, first = map * shape.inner;
        if (gradients.c0)
            for (int64_t j = first; j < first + shape.inner; j++) copy(row_c + j * units, hidden, gradients.c0 + j * hidden);
        if (!gradients.h0) return;
        for_panels<T>(units, [&](auto vectors, int64_t column) {
            const T* panel = panels_hh + conv.taps * grads * column + grads * vectors() * L;
            for_tiles<LINES>(first, first + shape.inner, [&](auto size, int64_t j) {
                Vec<T> of_h[size()][vectors()] = {};
                multiply<0, vectors()>(of_h, row_sums + j * grads, grads, 1, panel, vectors() * L, grads);
                for (int r = 0; r < size(); r++)
                    for (int v = 0; v < vectors(); v++)
                        store_some(gradients.h0 + (j + r) * hidden + column + v * L, of_h[r][v], hidden - column - v * L);
            });
        });
    }

    // Add to the gradients of the weights of a group, which lie one behind the other.
    void weight_gradients(const Band& band, int64_t lines, T* group) const {
        T *const weight_hh = group + inputs * grads, *const bias = weight_hh + columns * grads;
        for (int64_t from = 0; from < lines * pitch; from += DEPTH) {
            const int64_t size = std::min(DEPTH, lines * pitch - from);
            const T *const sums = band.sums + (pitch + from) * grads, *const in = band.in + from * width;
            weight_gradient(in, shape.input, sums, size, group);
            weight_gradient(in + inputs, depth, sums, size, weight_hh);
            for (int64_t n = 0; n < size; n++)
                for (int64_t i = 0; i < grads; i += L) store(bias + i, load<T>(bias + i) + load(sums + n * grads + i));
        }
    }

    // out += sums^T in, in panels, over some pixels.
    void weight_gradient(const T* in, int64_t in_columns, const T* sums, int64_t pixels, T* out) const {
        for_panels<T>(in_columns, [&](auto vectors, int64_t column) {
            for_tiles<LINES>(0, grads, [&](auto size, int64_t row) {
                add_product<size(), vectors()>(out + grads * column + row * vectors() * L, vectors() * L, sums + row, 1,
                                               grads, in + column, width, pixels);
            });
        });
    }

    const ConvShape& conv;
    const RecurrentShape& shape = conv.base;
    const RecurrentTensors<T>& tensors;
    const RecurrentGradients<T>& gradients;
    const Corner corner;
    const int64_t units = padded<T>(shape.hidden), grads = slots * units, inputs = padded<T>(shape.input);
    const int64_t depth = conv.taps * shape.hidden, columns = padded<T>(depth), width = inputs + columns;
    const int64_t pitch = shape.inner + 1;
    const int64_t groups = std::clamp<int64_t>(shape.rows() * shape.steps / 1024, 1, 16);  // sums apart, for many threads
    const int64_t group_size = (inputs + columns + 1) * grads;
    const Buffer<T> panels_ih, panels_hh, group_sums{groups * group_size}, zeros{units};
    const Buffer<T> row_sums{shape.rows() * grads}, row_c{shape.rows() * units};  // of the last row that is done
};

}  // namespace
}  // namespace sweepseg

// The functions that Python calls.
#define SWEEPSEG_MD_LSTM_OF(name, T, leftwards)                                                          \
    SWEEPSEG_API void sweepseg_##name##_##T(const sweepseg::ConvShape* shape,                            \
                                            const sweepseg::RecurrentTensors<T>* tensors) {              \
        sweepseg::ForwardMDLSTM<T>(*shape, *tensors, leftwards).run();                                   \
    }                                                                                                    \
    SWEEPSEG_API void sweepseg_##name##_backward_##T(const sweepseg::ConvShape* shape,                   \
                                                     const sweepseg::RecurrentTensors<T>* tensors,       \
                                                     const sweepseg::RecurrentGradients<T>* gradients) { \
        sweepseg::BackwardMDLSTM<T>(*shape, *tensors, *gradients, leftwards).run();                      \
    }
#define SWEEPSEG_MD_LSTM(T)                                \
    SWEEPSEG_MD_LSTM_OF(md_lstm_scan_rightwards, T, false) \
    SWEEPSEG_MD_LSTM_OF(md_lstm_scan_leftwards, T, true)
SWEEPSEG_MD_LSTM(float)
SWEEPSEG_MD_LSTM(double)
