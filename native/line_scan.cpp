// h[t, j] = left[t, j] h[t-1, j-1] + center[t, j] h[t-1, j] + right[t, j] h[t-1, j+1] + update[t, j], 0 outside
//
// Lanes are channels: a Shape's inner index is the place j in the line, its steps are the lines. Threads take bands of
// lines and follow each other through the map at a distance, as `pipeline` says. Within a band the lines run diagonal
// after diagonal, line i one place behind line i - 1, so that each place gives all its lines at about the same time: where
// they are neighbours in memory that is one stretch of it. A ring holds the last three places of each line. Maps of few
// channels, in which a place is no longer than a vector or a few, run line by line instead, a whole line as one vector.
#include "recurrent.h"
#include "scan.h"

namespace sweepseg {
namespace {

constexpr int64_t FEW = 256;              // bytes of a place up to which a line is one vector
constexpr int64_t ALONG = 8, ACROSS = 2;  // lines of a band if lines are neighbours in memory, and otherwise
constexpr int64_t STRIDE = 8;             // places that a band waits for at once
constexpr int64_t AHEAD = 2;              // memory is asked for so many places early
constexpr int64_t GRAIN = 100000;         // numbers per map that take about 50 us
constexpr int64_t LARGE = 4 << 20;        // bytes of a map from which on it is written past the caches

// How vectors come and go: whole ones, whole ones past the caches, or parts.
enum class Way { CACHED, PAST, PART };
template <Way way>
struct Access {
    int channels = 0;  // of a part

    template <typename T>
    SWEEPSEG_INLINE Vec<T> get(const T* p) const {
        if constexpr (way == Way::PART) return load(p, channels);
        return load(p);
    }
    // The same of a place of memory, and ask for what lies `ahead`.
    template <typename T>
    SWEEPSEG_INLINE Vec<T> get(const T* p, int64_t ahead) const {
        if constexpr (way == Way::PAST) __builtin_prefetch(p + ahead, 0, 2);
        return get(p);
    }
    template <typename T>
    SWEEPSEG_INLINE void keep(T* p, Vec<T> v) const {
        if constexpr (way == Way::PART)
            store(p, v, channels);
        else
            store(p, v);
    }
    template <typename T>
    SWEEPSEG_INLINE void put(T* p, Vec<T> v, bool soon_read) const {
        if (way == Way::PAST && !soon_read)
            stream(p, v);
        else
            keep(p, v);
    }
};

enum Map { UPDATE, LEFT, CENTER, RIGHT, OUTPUT, MAPS };
enum Gradient { OF_OUTPUT = OUTPUT + 1, OF_UPDATE, OF_LEFT, OF_CENTER, OF_RIGHT, ALL };

template <typename T>
class LineScan {
   public:
    // Maps in the order of the enumerations, as many as are needed; single lines are dense (outer, inner, channels).
    LineScan(const Shape& shape, const Sequence<T>* maps_, int count) : shape(shape) {
        flat = shape.channels * int64_t(sizeof(T)) <= FEW;
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
        past = aligned && size() * int64_t(sizeof(T)) >= LARGE;
        band = std::abs(maps[OUTPUT].step) < std::abs(maps[OUTPUT].inner) ? ALONG : ACROSS;
        length = flat ? shape.inner * shape.channels : shape.channels;
    }

    void forward(const T* initial, T* final) const {
        flat ? flat_forward(initial, final) : banded_forward(initial, final);
    }
    void backward(const T* initial, const T* grad_final, T* grad_initial) const {
        flat ? flat_backward(initial, grad_final, grad_initial) : banded_backward(initial, grad_final, grad_initial);
    }

   private:
    static constexpr int L = LANES<T>;

    int64_t size() const { return shape.outer * shape.inner * shape.steps * shape.channels; }

    // A place of a dense line, of `zeros` where there is no line.
    const T* in_line(const T* line, int64_t outer, int64_t j, const T* zeros) const {
        return line ? line + (outer * shape.inner + j) * shape.channels : zeros;
    }
    bool inside(int64_t j) const { return 0 <= j && j < shape.inner; }

    void banded_forward(const T* initial, T* final) const {
        for_each_band([&](int64_t outer, int64_t first, int64_t lines, T* zeros, T* ring, const auto& walk) {
            walk([&](int64_t i, int64_t j) SWEEPSEG_LAMBDA {
                const int64_t t = first + i;
                const auto before = [&](int64_t place) SWEEPSEG_LAMBDA -> const T* {
                    if (!inside(place)) return zeros;
                    if (i > 0) return in_ring(ring, i - 1, place);
                    return t > 0 ? maps[OUTPUT].at(outer, place, t - 1) : in_line(initial, outer, place, zeros);
                };
                const T *on_left = before(j - 1), *here = before(j), *on_right = before(j + 1);
                const Ahead update = at(UPDATE, outer, j, t), left = at(LEFT, outer, j, t),
                            center = at(CENTER, outer, j, t), right = at(RIGHT, outer, j, t);
                T *const output = maps[OUTPUT].at(outer, j, t), *const kept = in_ring(ring, i, j);
                const bool last = i + 1 == lines;
                for_each_vector([&](const auto& access, int64_t c) SWEEPSEG_LAMBDA {
                    const Vec<T> h = update.get(access, c) + left.get(access, c) * access.get(on_left + c) +
                                     center.get(access, c) * access.get(here + c) +
                                     right.get(access, c) * access.get(on_right + c);
                    access.keep(kept + c, h);
                    access.put(output + c, h, last);
                });
            });
            if (first + lines == shape.steps)
                for (int64_t j = 0; j < shape.inner; j++)
                    copy(maps[OUTPUT].at(outer, j, shape.steps - 1), shape.channels,
                         final + (outer * shape.inner + j) * shape.channels);
        });
    }

    // With s = d loss / d h[t], which is the gradient of the update: the gradients at t are s times what the forward
    // pass multiplied, and s times the weights is what the three places of the line before get.
    void banded_backward(const T* initial, const T* grad_final, T* grad_initial) const {
        for_each_band([&](int64_t outer, int64_t first, int64_t lines, T* zeros, T* ring, const auto& walk) {
            const auto arriving = [&](int64_t j, int64_t t, const auto& s_after, const auto& visit)
                                      SWEEPSEG_LAMBDA {
                const auto weight = [&](int map, int64_t place) SWEEPSEG_LAMBDA {
                    return inside(place) ? at(map, outer, place, t) : Ahead{zeros, 0};
                };
                const Ahead left = weight(LEFT, j + 1), center = weight(CENTER, j), right = weight(RIGHT, j - 1);
                const T *on_right = s_after(j + 1), *here = s_after(j), *on_left = s_after(j - 1);
                for_each_vector([&](const auto& access, int64_t c) SWEEPSEG_LAMBDA {
                    visit(access, c, access.get(on_right + c) * left.get(access, c) +
                                         access.get(here + c) * center.get(access, c) +
                                         access.get(on_left + c) * right.get(access, c));
                });
            };
            walk([&](int64_t i, int64_t j) SWEEPSEG_LAMBDA {
                const int64_t t = shape.steps - 1 - first - i;
                const auto h_before = [&](int64_t place) SWEEPSEG_LAMBDA {
                    if (!inside(place)) return Ahead{zeros, 0};
                    return t > 0 ? at(OUTPUT, outer, place, t - 1)
                                 : Ahead{const_cast<T*>(in_line(initial, outer, place, zeros)), 0};
                };
                const Ahead on_left = h_before(j - 1), here = h_before(j), on_right = h_before(j + 1),
                            of_output = at(OF_OUTPUT, outer, j, t);
                T *const of_update = maps[OF_UPDATE].at(outer, j, t), *const of_left = maps[OF_LEFT].at(outer, j, t),
                  *const of_center = maps[OF_CENTER].at(outer, j, t), *const of_right = maps[OF_RIGHT].at(outer, j, t),
                  *const kept = in_ring(ring, i, j);
                const bool last = i + 1 == lines;
                const auto finish = [&](const auto& access, int64_t c, Vec<T> from_after) SWEEPSEG_LAMBDA {
                    const Vec<T> s = of_output.get(access, c) + from_after;
                    access.keep(kept + c, s);
                    access.put(of_update + c, s, last);
                    access.put(of_left + c, s * on_left.get(access, c), false);
                    access.put(of_center + c, s * here.get(access, c), false);
                    access.put(of_right + c, s * on_right.get(access, c), false);
                };
                if (t + 1 == shape.steps) {
                    const T* from = in_line(grad_final, outer, j, zeros);
                    for_each_vector([&](const auto& access, int64_t c) SWEEPSEG_LAMBDA {
                        finish(access, c, access.get(from + c));
                    });
                    return;
                }
                arriving(j, t + 1, [&](int64_t place) SWEEPSEG_LAMBDA -> const T* {
                    if (!inside(place)) return zeros;
                    return i > 0 ? in_ring(ring, i - 1, place) : maps[OF_UPDATE].at(outer, place, t + 1);
                }, finish);
            });
            if (first + lines == shape.steps)
                for (int64_t j = 0; j < shape.inner; j++) {
                    T* const to = grad_initial + (outer * shape.inner + j) * shape.channels;
                    arriving(j, 0, [&](int64_t place) SWEEPSEG_LAMBDA -> const T* {
                        return inside(place) ? maps[OF_UPDATE].at(outer, place, 0) : zeros;
                    }, [&](const auto& access, int64_t c, Vec<T> v) SWEEPSEG_LAMBDA { access.keep(to + c, v); });
                }
        });
    }

    // A place in memory, and how far on it is asked for early.
    struct Ahead {
        T* data;
        int64_t ahead;

        template <typename Access>
        SWEEPSEG_INLINE Vec<T> get(const Access& access, int64_t c) const {
            return access.get(data + c, ahead);
        }
    };
    SWEEPSEG_INLINE Ahead at(int map, int64_t outer, int64_t j, int64_t t) const {
        return {maps[map].at(outer, j, t), AHEAD * maps[map].inner};
    }
    SWEEPSEG_INLINE T* in_ring(T* ring, int64_t i, int64_t j) const {
        return ring + (3 * i + j % 3) * padded<T>(shape.channels);
    }

    // Call `work(outer, first line, lines, zeros, ring, walk)` for all bands; `walk(visit)` calls `visit(line, place)`.
    template <typename Work>
    void for_each_band(const Work& work) const {
        if (size() == 0) return;
        const int64_t of_map = divide_up(shape.steps, band), bands = shape.outer * of_map;
        pipeline(bands, std::max<int64_t>(1, GRAIN * bands / size()), [&](int64_t number, const Progress& progress) {
            const int64_t first = number % of_map * band, lines = std::min(band, shape.steps - first);
            const int64_t pitch = padded<T>(shape.channels);
            const Buffer<T> memory((3 * lines + 1) * pitch);
            work(number / of_map, first, lines, memory, memory + pitch, [&](const auto& visit) SWEEPSEG_LAMBDA {
                for (int64_t d = 0; d < shape.inner + lines - 1; d++) {
                    if (first > 0 && d % STRIDE == 0)  // for places of the line before the band
                        progress.wait(number - 1, std::min(d + STRIDE + 1, shape.inner));
                    for (int64_t i = std::max<int64_t>(0, d - shape.inner + 1); i < std::min(lines, d + 1); i++)
                        visit(i, d - i);
                    progress.tell(std::max<int64_t>(0, d + 2 - lines));
                }
            });
            if (past) fence();
        });
    }

    void flat_forward(const T* initial, T* final) const {
        for_each_map([&](int64_t outer) {
            const int64_t pitch = shape.channels;
            Buffer<T> memory(2 * line_size());
            T *before = memory + margin(), *after = before + line_size();
            if (initial) std::copy_n(initial + outer * length, length, before);
            for (int64_t t = 0; t < shape.steps; t++) {
                const auto of = [&](int map) { return Ahead{maps[map].at(outer, 0, t), maps[map].step}; };
                const Ahead update = of(UPDATE), left = of(LEFT), center = of(CENTER), right = of(RIGHT);
                T* const output = maps[OUTPUT].at(outer, 0, t);
                for_each_vector([&](const auto& access, int64_t c) SWEEPSEG_LAMBDA {
                    const Vec<T> h = update.get(access, c) + left.get(access, c) * load(before + c - pitch) +
                                     center.get(access, c) * load(before + c) +
                                     right.get(access, c) * load(before + c + pitch);
                    access.keep(after + c, h);
                    access.put(output + c, h, false);
                });
                std::swap(before, after);
            }
            std::copy_n(before, length, final + outer * length);
        });
    }

    void flat_backward(const T* initial, const T* grad_final, T* grad_initial) const {
        for_each_map([&](int64_t outer) {
            const int64_t size = line_size(), pitch = shape.channels;
            Buffer<T> memory(7 * size);
            T *now = memory + margin(), *next = now + 3 * size;  // s left, s center and s right of t and of t + 1
            T* const before = next + 3 * size;                   // h[t-1]
            const auto arriving = [&](int64_t c) SWEEPSEG_LAMBDA {
                return load(next + c + pitch) + load(next + size + c) + load(next + 2 * size + c - pitch);
            };
            if (grad_final) std::copy_n(grad_final + outer * length, length, next + size);
            for (int64_t t = shape.steps - 1; t >= 0; t--) {
                if (t > 0)
                    std::copy_n(maps[OUTPUT].at(outer, 0, t - 1), length, before);
                else if (initial)
                    std::copy_n(initial + outer * length, length, before);
                else
                    std::fill_n(before, length, T(0));
                const auto of = [&](int map) { return Ahead{maps[map].at(outer, 0, t), -maps[map].step}; };
                const Ahead left = of(LEFT), center = of(CENTER), right = of(RIGHT), of_output = of(OF_OUTPUT);
                T *const of_update = of(OF_UPDATE).data, *const of_left = of(OF_LEFT).data,
                  *const of_center = of(OF_CENTER).data, *const of_right = of(OF_RIGHT).data;
                for_each_vector([&](const auto& access, int64_t c) SWEEPSEG_LAMBDA {
                    const Vec<T> s = of_output.get(access, c) + arriving(c);
                    access.keep(now + c, s * left.get(access, c));
                    access.keep(now + size + c, s * center.get(access, c));
                    access.keep(now + 2 * size + c, s * right.get(access, c));
                    access.put(of_update + c, s, false);
                    access.put(of_left + c, s * load(before + c - pitch), false);
                    access.put(of_center + c, s * load(before + c), false);
                    access.put(of_right + c, s * load(before + c + pitch), false);
                });
                std::swap(now, next);
            }
            for_each_vector([&](const auto& access, int64_t c) SWEEPSEG_LAMBDA {
                access.keep(grad_initial + outer * length + c, arriving(c));
            });
        });
    }

    // A line in a buffer has zeros around.
    int64_t margin() const { return padded<T>(shape.channels + L); }
    int64_t line_size() const { return 2 * margin() + padded<T>(length); }

    template <typename Work>
    void for_each_map(const Work& work) const {
        if (size() == 0) return;
        parallel_for(shape.outer, std::max<int64_t>(1, GRAIN * shape.outer / size()), [&](int64_t outer) {
            work(outer);
            if (past) fence();
        });
    }

    // Call `visit(access, channel)` for all vectors of a place or, of flat maps, of a line.
    template <typename Visit>
    SWEEPSEG_INLINE void for_each_vector(const Visit& visit) const {
        int64_t c = 0;
        if (past)
            for (; c < length; c += L) visit(Access<Way::PAST>{}, c);
        for (; c + L <= length; c += L) visit(Access<Way::CACHED>{}, c);
        if (c < length) visit(Access<Way::PART>{int(length - c)}, c);
    }

    const Shape& shape;
    Sequence<T> maps[ALL];
    bool flat, past;
    int64_t band, length;  // lines of a band; numbers of a place or, of flat maps, of a line
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
