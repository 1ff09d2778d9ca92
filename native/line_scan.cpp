// h[t, j] = left[t, j] h[t-1, j-1] + center[t, j] h[t-1, j] + right[t, j] h[t-1, j+1] + update[t, j], 0 outside
//
// Lanes are channels: a Shape's inner index is the place j in the line, its steps are the lines. One thread takes some
// channels of a map through all lines; the line before stays in its cache.
#include "recurrent.h"
#include "scan.h"

namespace sweepseg {
namespace {

constexpr int64_t CHUNK = 256;     // bytes of channels in a block where whole maps would be too few blocks
constexpr int64_t ENOUGH = 4;      // maps
constexpr int64_t TILE = 8;        // steps of a tile
constexpr int64_t GRAIN = 100000;  // numbers per map that take about 50 us
constexpr int64_t LARGE = 4 << 20;      // bytes of a map from which on it is written past the caches

// How vectors come and go: whole ones, whole ones past the caches with the next line asked for early, or parts.
enum class Way { CACHED, PAST, PART };
template <Way way>
struct Access {
    int channels = 0;  // of a part

    template <typename T>
    SWEEPSEG_INLINE Vec<T> get(const T* p, int64_t step) const {
        if constexpr (way == Way::PART) return load(p, channels);
        if constexpr (way == Way::PAST) __builtin_prefetch(p + step, 0, 2);
        return load(p);
    }
    template <typename T>
    SWEEPSEG_INLINE void put(T* p, Vec<T> v) const {
        if constexpr (way == Way::PAST)
            stream(p, v);
        else
            keep(p, v);
    }
    template <typename T>
    SWEEPSEG_INLINE void keep(T* p, Vec<T> v) const {
        if constexpr (way == Way::PART)
            store(p, v, channels);
        else
            store(p, v);
    }
};
constexpr Access<Way::CACHED> NEAR{};

enum Map { UPDATE, LEFT, CENTER, RIGHT, OUTPUT, MAPS };
enum Gradient { OF_OUTPUT = OUTPUT + 1, OF_UPDATE, OF_LEFT, OF_CENTER, OF_RIGHT, ALL };

// Some channels of a map. Lines of them lie in buffers, place after place at a distance of `pitch`, with zeros around.
template <typename T>
struct Lines {
    int64_t outer, channel, pitch, pieces, length;

    int64_t margin() const { return padded<T>(pitch + LANES<T>); }
    int64_t size() const { return 2 * margin() + padded<T>(pieces * std::max(pitch, length)); }
};

template <typename T>
class LineScan {
   public:
    // Maps in the order of the enumerations, as many as are needed; single lines are dense (outer, inner, channels).
    LineScan(const Shape& shape, const Sequence<T>* maps_, int count) : shape(shape) {
        flat = shape.outer >= ENOUGH || shape.channels * int64_t(sizeof(T)) <= CHUNK;
        bool aligned = shape.channels % L == 0;
        for (int k = 0; k < count; k++) {
            Sequence<T>& map = maps[k] = maps_[k];
            if (shape.reverse) {
                map.data += (shape.steps - 1) * map.step;
                map.step = -map.step;
            }
            flat &= map.inner == shape.channels;
            aligned &= reinterpret_cast<uintptr_t>(map.data) % VECTOR_BYTES == 0 &&
                       ((shape.outer == 1 ? 0 : map.outer) | map.inner | map.step) % L == 0;
        }
        along = std::abs(maps[OUTPUT].step) < std::abs(maps[OUTPUT].inner);
        past = aligned && size() * int64_t(sizeof(T)) >= LARGE;
    }

    // Where the steps of a place are neighbours in memory and places are far apart, the lines run in tiles of steps:
    // diagonal after diagonal, step i of a tile one place behind step i - 1, so that each place gives all its steps of
    // the tile at about the same time. A ring holds the last three places of each step.
    void forward(const T* initial, T* final) const {
        for_each_block([&](const Lines<T>& lines) {
            const int64_t tile = along && !flat ? TILE : 1, pitch = lines.pitch;
            Buffer<T> memory(2 * lines.size() + (tile > 1 ? (3 * tile + 1) * pitch : 0));
            T *before = memory + lines.margin(), *after = before + lines.size();
            T *const zeros = memory + 2 * lines.size(), *const ring = zeros + pitch;
            load_line(lines, initial, before);
            for (int64_t first = 0; first < shape.steps; first += tile) {
                const int64_t steps = std::min(tile, shape.steps - first);
                for (int64_t d = 0; d < lines.pieces + steps - 1; d++)
                    for (int64_t i = std::max<int64_t>(0, d - lines.pieces + 1); i < std::min(steps, d + 1); i++) {
                        const int64_t j = d - i, t = first + i;
                        const auto of = [&](int64_t step, int64_t diagonal) {
                            return ring + (step * 3 + diagonal % 3) * pitch;
                        };
                        const T *here = before + j * pitch, *on_left = here - pitch, *on_right = here + pitch;
                        if (i > 0) {
                            here = of(i - 1, d - 1);
                            on_left = j > 0 ? of(i - 1, d - 2) : zeros;
                            on_right = j + 1 < lines.pieces ? of(i - 1, d) : zeros;
                        }
                        T* const kept = i + 1 < steps ? of(i, d) : after + j * pitch;
                        const auto of_map = [&](int map) {  // a diagonal asks for all steps of one place
                            return tile > 1 ? piece(map, lines, j, t, i + 2, 0) : piece(map, lines, j, t, 0, 1);
                        };
                        const Piece update = of_map(UPDATE), left = of_map(LEFT), center = of_map(CENTER),
                                    right = of_map(RIGHT), output = of_map(OUTPUT);
                        for_each_vector(lines, [&](const auto& access, int64_t c) {
                            const Vec<T> sum = update.get(access, c) + left.get(access, c) * load(on_left + c) +
                                               center.get(access, c) * load(here + c) +
                                               right.get(access, c) * load(on_right + c);
                            access.keep(kept + c, sum);
                            output.put(access, c, sum);
                        });
                    }
                std::swap(before, after);
            }
            for (int64_t j = 0; j < lines.pieces; j++) {
                const T* from = before + j * pitch;
                T* const to = final + place(lines, j);
                for_each_vector(lines, [&](const auto& access, int64_t c) { access.keep(to + c, load(from + c)); });
            }
        });
    }

    // With s = d loss / d h[t]: the gradients at t are s times what the forward pass multiplied, and s times the
    // weights is what the three places of the line before get.
    void backward(const T* initial, const T* grad_final, T* grad_initial) const {
        for_each_block([&](const Lines<T>& lines) {
            const int64_t size = lines.size(), pitch = lines.pitch;
            Buffer<T> memory(7 * size);
            T *now = memory + lines.margin(), *next = now + 3 * size;  // s left, s center and s right of t and of t + 1
            T* const before = next + 3 * size;                         // h[t-1]
            load_line(lines, grad_final, next + size);
            for (int64_t t = shape.steps - 1; t >= 0; t--) {
                if (t == 0)
                    load_line(lines, initial, before);
                else
                    for (int64_t j = 0; j < lines.pieces; j++) {
                        const Piece h = piece(OUTPUT, lines, j, t - 1, 0, -1);
                        T* const to = before + j * pitch;
                        for_each_vector(lines, [&](const auto& access, int64_t c) {
                            access.keep(to + c, h.get(access, c));
                        });
                    }
                for (int64_t j = 0; j < lines.pieces; j++) {
                    T* const kept = now + j * pitch;
                    const T *h = before + j * pitch, *arriving = next + j * pitch;
                    const auto of_map = [&](int map) { return piece(map, lines, j, t, 0, -1); };
                    const Piece left = of_map(LEFT), center = of_map(CENTER), right = of_map(RIGHT),
                                of_output = of_map(OF_OUTPUT), of_update = of_map(OF_UPDATE), of_left = of_map(OF_LEFT),
                                of_center = of_map(OF_CENTER), of_right = of_map(OF_RIGHT);
                    for_each_vector(lines, [&](const auto& access, int64_t c) {
                        const Vec<T> s = of_output.get(access, c) + sum_of(arriving + c, size, pitch);
                        access.keep(kept + c, s * left.get(access, c));
                        access.keep(kept + size + c, s * center.get(access, c));
                        access.keep(kept + 2 * size + c, s * right.get(access, c));
                        of_update.put(access, c, s);
                        of_left.put(access, c, s * load(h + c - pitch));
                        of_center.put(access, c, s * load(h + c));
                        of_right.put(access, c, s * load(h + c + pitch));
                    });
                }
                std::swap(now, next);
            }
            for (int64_t j = 0; j < lines.pieces; j++) {
                const T* arriving = next + j * pitch;
                T* const to = grad_initial + place(lines, j);
                for_each_vector(lines, [&](const auto& access, int64_t c) {
                    access.keep(to + c, sum_of(arriving + c, size, pitch));
                });
            }
        });
    }

   private:
    static constexpr int L = LANES<T>;

    int64_t size() const { return shape.outer * shape.inner * shape.steps * shape.channels; }
    int64_t place(const Lines<T>& lines, int64_t j) const {
        return (lines.outer * shape.inner + j) * shape.channels + lines.channel;
    }
    // What the places of a line get from the three products at `p`, whose buffers are `size` apart.
    static SWEEPSEG_INLINE Vec<T> sum_of(const T* p, int64_t size, int64_t pitch) {
        return load(p + pitch) + load(p + size) + load(p + 2 * size - pitch);
    }

    struct Piece {
        T* data;
        int64_t ahead;

        template <typename Access>
        SWEEPSEG_INLINE Vec<T> get(const Access& access, int64_t c) const {
            return access.get(data + c, ahead);
        }
        template <typename Access>
        SWEEPSEG_INLINE void put(const Access& access, int64_t c, Vec<T> v) const {
            access.put(data + c, v);
        }
    };
    // The piece of line t at place j, and to ask for the one so many places and lines further on early.
    SWEEPSEG_INLINE Piece piece(int map, const Lines<T>& lines, int64_t j, int64_t t, int64_t places,
                                int64_t steps) const {
        return {maps[map].at(lines.outer, j, t) + lines.channel, places * maps[map].inner + steps * maps[map].step};
    }

    // A dense line, null for zeros, into a buffer.
    void load_line(const Lines<T>& lines, const T* from, T* to) const {
        for (int64_t j = 0; j < lines.pieces; j++)
            for_each_vector(lines, [&](const auto& access, int64_t c) {
                access.keep(to + j * lines.pitch + c,
                            from ? access.get(from + place(lines, j) + c, 0) : Vec<T>{});
            });
    }

    // Where the channels of a line lie side by side it is one piece, where they are shared out one piece a place.
    template <typename Work>
    void for_each_block(const Work& work) const {
        if (size() == 0) return;
        const int64_t channels = flat ? shape.channels : CHUNK / int64_t(sizeof(T));
        const int64_t chunks = divide_up(shape.channels, channels), blocks = shape.outer * chunks;
        parallel_for(blocks, std::max<int64_t>(1, GRAIN * blocks / size()), [&](int64_t block) {
            const int64_t channel = block % chunks * channels, count = std::min(channels, shape.channels - channel);
            work(flat ? Lines<T>{block, 0, count, 1, shape.inner * count}
                      : Lines<T>{block / chunks, channel, padded<T>(count), shape.inner, count});
            if (past) fence();
        });
    }

    // Call `visit(access, channel)` for all vectors of a piece.
    template <typename Visit>
    SWEEPSEG_INLINE void for_each_vector(const Lines<T>& lines, const Visit& visit) const {
        const int64_t length = lines.length;
        int64_t c = 0;
        if (past)
            for (; c < length; c += L) visit(Access<Way::PAST>{}, c);
        for (; c + L <= length; c += L) visit(NEAR, c);
        if (c < length) visit(Access<Way::PART>{int(length - c)}, c);
    }

    const Shape& shape;
    Sequence<T> maps[ALL];
    bool flat, along, past;
};

}  // namespace
}  // namespace sweepseg

#define SWEEPSEG_LINE_SCAN(T)                                                                                   \
    SWEEPSEG_API void sweepseg_line_scan_##T(const sweepseg::Shape* shape, const sweepseg::Sequence<T>* maps,   \
                                             const T* initial, T* final) {                                      \
        sweepseg::LineScan<T>(*shape, maps, sweepseg::MAPS).forward(initial, final);                            \
    }                                                                                                           \
    SWEEPSEG_API void sweepseg_line_scan_backward_##T(const sweepseg::Shape* shape,                             \
                                                      const sweepseg::Sequence<T>* maps, const T* initial,      \
                                                      const T* grad_final, T* grad_initial) {                   \
        sweepseg::LineScan<T>(*shape, maps, sweepseg::ALL).backward(initial, grad_final, grad_initial);         \
    }
SWEEPSEG_LINE_SCAN(float)
SWEEPSEG_LINE_SCAN(double)
