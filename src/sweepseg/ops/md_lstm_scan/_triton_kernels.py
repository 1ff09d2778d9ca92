"""Triton kernels of the two-dimensional LSTM over the anti-diagonals of channels-last maps (B, W, T, C).

A program runs some maps from corner to corner. The states of a diagonal wait for the next one in a line, each at the
column of its pixel: at its own column a pixel finds the state above, at the column before the one on its left. A
diagonal reads one line and writes another, which then change places; between diagonals the threads of a program wait
for each other.
"""

import triton
import triton.language as tl

from ..elman_scan._triton_kernels import load_parts, load_weights, product, store_parts, tanh


@triton.jit
def own_lanes(total, size, maps: tl.constexpr, pixels: tl.constexpr, units: tl.constexpr):
    """For each lane its map in 64 bits and its place among the pixels that run together; units; which of them exist."""
    lane = tl.arange(0, maps * pixels)[:, None]
    number = tl.program_id(0).to(tl.int64) * maps + lane // pixels
    unit = tl.arange(0, units)[None, :]
    return number, lane % pixels, unit, (number < total) & (unit < size)


@triton.jit
def place_of(d, s, width, steps, reverse: tl.constexpr, leftwards: tl.constexpr):
    """Row and column in memory, in 64 bits, of the pixel in the s-th column of those that are run on diagonal d."""
    t, w = tl.cast(d - s, tl.int64), tl.cast(s, tl.int64)
    return steps - 1 - t if reverse else t, width - 1 - w if leftwards else w


@triton.jit
def plus_products(sums, h, weights, first: tl.constexpr):
    """The five gates' sums and the products of a state with the weights from the first on."""
    results = ()
    for k in tl.static_range(5):
        results += (sums[k] + product(h, weights[first + k]),)
    return results


@triton.jit
def scan(
    projected,
    projected_strides,
    weight,
    lines,
    y,
    y_strides,
    h_last,
    c_last,
    saved,
    total,
    width,
    steps,
    size,
    reverse: tl.constexpr,
    leftwards: tl.constexpr,
    maps: tl.constexpr,
    pixels: tl.constexpr,
    units: tl.constexpr,
    resident: tl.constexpr,
):
    """Write the states of all pixels, those of the last row and, unless it is None, ``saved``: the gates and c.

    ``lines`` (2, 2, B, W, H) begin with h and c of the row before the first. ``weight`` (10, units, units) is padded
    with zeros, and transposed here but not in `scan_backward`.
    """
    number, pixel, unit, exists = own_lanes(total, size, maps, pixels, units)
    weights = load_weights(weight, tl.arange(0, units)[:, None] * units + unit, 10, units, resident)
    of_map = number * width * size + unit
    state = tl.cast(total, tl.int64) * width * size  # elements of a state in a line
    projected += number * projected_strides[0] + unit
    y += number * y_strides[0] + unit
    left: tl.constexpr = 1 if leftwards else -1
    for d in range(0, steps + width - 1):
        tl.debug_barrier()
        before, after = lines + (d + 1) % 2 * 2 * state, lines + d % 2 * 2 * state
        last = tl.minimum(d, width - 1)
        for first in range(tl.maximum(0, d - steps + 1), last + 1, pixels):
            s = first + pixel
            here = exists & (s <= last)
            t, w = place_of(d, s, width, steps, reverse, leftwards)
            own, beside = of_map + w * size, of_map + (w + left) * size
            sums = load_parts(projected + w * projected_strides[1] + t * projected_strides[2], size, 5, here)
            h_above, c_above = load_parts(before + own, state, 2, here)
            sums = plus_products(sums, h_above, weights, 0)
            h_left, c_left = load_parts(before + beside, state, 2, here & (s > 0))
            sums = plus_products(sums, h_left, weights, 5)
            i, f, e = tl.sigmoid(sums[0]), tl.sigmoid(sums[1]), tl.sigmoid(sums[2])
            g, o = tanh(sums[3]), tl.sigmoid(sums[4])
            c = f * c_above + e * c_left + i * g
            h = o * tanh(c)
            store_parts(after + own, state, (h, c), here)
            tl.store(y + w * y_strides[1] + t * y_strides[2], h, here)
            if saved is not None:
                cell = saved + ((t * total + number) * width + w) * (6 * size) + unit
                store_parts(cell, size, (i, f, e, g, o, c), here)
            is_last = here & (d - s == steps - 1)
            tl.store(h_last + own, h, is_last)
            tl.store(c_last + own, c, is_last)


@triton.jit
def scan_backward(
    weight,
    c0,
    saved,
    grad_y,
    grad_y_strides,
    lines,
    of_products,
    of_strides,
    of_h0,
    of_c0,
    total,
    width,
    steps,
    size,
    reverse: tl.constexpr,
    leftwards: tl.constexpr,
    maps: tl.constexpr,
    pixels: tl.constexpr,
    units: tl.constexpr,
    resident: tl.constexpr,
):
    """Write the gradients of the gates' sums and of the row before the first, from the last diagonal to the first.

    ``lines`` (2, 4, B, W, H) carry those of h and c above, then of h and c on the left; they begin with the gradients
    of the last row's states.
    """
    number, pixel, unit, exists = own_lanes(total, size, maps, pixels, units)
    weights = load_weights(weight, tl.arange(0, units)[:, None] * units + unit, 10, units, resident)
    of_map = number * width * size + unit
    state = tl.cast(total, tl.int64) * width * size
    of_products += number * of_strides[0] + unit
    left: tl.constexpr = 1 if leftwards else -1
    for past in range(0, steps + width - 1):
        d = steps + width - 2 - past
        tl.debug_barrier()
        after, before = lines + (d + 1) % 2 * 4 * state, lines + d % 2 * 4 * state
        last = tl.minimum(d, width - 1)
        for first in range(tl.maximum(0, d - steps + 1), last + 1, pixels):
            s = first + pixel
            here = exists & (s <= last)
            t, w = place_of(d, s, width, steps, reverse, leftwards)
            own, beside = of_map + w * size, of_map + (w - left) * size
            below = load_parts(after + own, state, 2, here)
            right = load_parts(after + 2 * state + beside, state, 2, here & (s + 1 < width))
            of_h, of_c = below[0] + right[0], below[1] + right[1]
            if grad_y is not None:
                place = number * grad_y_strides[0] + w * grad_y_strides[1] + t * grad_y_strides[2] + unit
                of_h += tl.load(grad_y + place, here, other=0)
            cell = saved + ((t * total + number) * width + w) * (6 * size) + unit
            i, f, e, g, o, c = load_parts(cell, size, 6, here)
            row, column = tl.cast(total, tl.int64) * width * (6 * size), 6 * size
            is_first = d == s
            c_above = tl.load(cell + 5 * size + (row if reverse else -row), here & (is_first == 0), other=0)
            c_left = tl.load(cell + 5 * size + left * column, here & (s > 0), other=0)
            if c0 is not None:
                c_above += tl.load(c0 + own, here & is_first, other=0)
            tanh_c = tanh(c)
            of_c += of_h * o * (1 - tanh_c * tanh_c)
            of_i, of_g, of_o = of_c * g * i * (1 - i), of_c * i * (1 - g * g), of_h * tanh_c * o * (1 - o)
            of_f, of_e = of_c * c_above * f * (1 - f), of_c * c_left * e * (1 - e)
            gates = (of_i, of_f, of_e, of_g, of_o)
            store_parts(of_products + w * of_strides[1] + t * of_strides[2], size, gates, here)
            of_above, of_left = product(of_i, weights[0]), product(of_i, weights[5])
            for k in tl.static_range(1, 5):
                of_above += product(gates[k], weights[k])
                of_left += product(gates[k], weights[5 + k])
            store_parts(before + own, state, (of_above, of_c * f, of_left, of_c * e), here)
            tl.store(of_h0 + own, of_above, here & is_first)
            tl.store(of_c0 + own, of_c * f, here & is_first)
