"""Triton kernels of line propagation, on channels-last maps (batch, W, T, C).

A program runs some channels of one map through all lines, piece after piece of a line. The line before, of which every
place needs its neighbours too, is read from the result, where the program's own threads wrote it: before each piece
they wait for each other. What does not depend on the line before is read one piece ahead.
"""

import triton
import triton.language as tl


@triton.jit
def own_channels(number, channels, places: tl.constexpr, block: tl.constexpr):
    """The map, in 64 bits, and the channels of the number-th block of them, and the places of a first piece."""
    blocks = tl.cdiv(channels, block)
    channel = number % blocks * block + tl.arange(0, block)[None, :]
    return (number // blocks).to(tl.int64), channel, tl.arange(0, places)[:, None]


@triton.jit
def neighbours(line, stride, place, width, exists):
    """The values of a line one place before, at and one place after, 0 outside of the map."""
    here = line + place * stride
    before = tl.load(here - stride, exists & (place > 0), other=0)
    after = tl.load(here + stride, exists & (place + 1 < width), other=0)
    return before, tl.load(here, exists, other=0), after


@triton.jit
def read(update, update_strides, weights, weight_strides, s, place, steps, width, is_channel, reverse, lag):
    """The update at places of the s-th line that is run, and the weights of the neighbours before, here and after."""
    t = tl.cast(steps - 1 - s if reverse else s, tl.int64)
    exists = is_channel & (place < width) & (s < steps)
    x = tl.load(update + place * update_strides[1] + t * update_strides[2], exists, other=0)
    t += lag if reverse else -lag
    exists &= s >= lag
    values = ()
    for k in tl.static_range(3):
        giver = place + (k - 1) * lag
        weight = weights[k] + giver * weight_strides[k][1] + t * weight_strides[k][2]
        values += (tl.load(weight, exists & (giver >= 0) & (giver < width), other=0),)
    return x, values


@triton.jit
def scan(
    update,
    update_strides,
    weights,
    weight_strides,
    output,
    output_strides,
    initial,
    width,
    channels,
    steps,
    reverse: tl.constexpr,
    lag: tl.constexpr,
    places: tl.constexpr,
    block: tl.constexpr,
):
    """Write all lines h. With ``weights`` (left, center, right) and a lag of 0 they are those of the operation.

    With (right, center, left) and a lag of 1 a weight stands where the state stands that it multiplies, not where the
    product arrives. So run the gradients of h, from the last line to the first.
    """
    outer, channel, own = own_channels(tl.program_id(0), channels, places, block)
    is_channel, pieces = channel < channels, tl.cdiv(width, places)
    update += outer * update_strides[0] + channel
    output += outer * output_strides[0] + channel
    givers = ()
    for k in tl.static_range(3):
        givers += (weights[k] + outer * weight_strides[k][0] + channel,)
    if initial is not None:
        initial += outer * width * channels + channel
    x, factors = read(update, update_strides, givers, weight_strides, 0, own, steps, width, is_channel, reverse, lag)
    for i in range(0, steps * pieces):
        s, place = i // pieces, i % pieces * places + own
        t = tl.cast(steps - 1 - s if reverse else s, tl.int64)
        exists, next_s, next_place = is_channel & (place < width), (i + 1) // pieces, (i + 1) % pieces * places + own
        next_x, next_factors = read(
            update, update_strides, givers, weight_strides, next_s, next_place, steps, width, is_channel, reverse, lag
        )
        tl.debug_barrier()
        line = output + (t + 1 if reverse else t - 1) * output_strides[2]
        before, here, after = neighbours(line, output_strides[1], place, width, exists & (s > 0))
        if initial is not None and s == 0:
            before, here, after = neighbours(initial, channels, place, width, exists)
        h = x + factors[0] * before + factors[1] * here + factors[2] * after
        tl.store(output + place * output_strides[1] + t * output_strides[2], h, exists)
        x, factors = next_x, next_factors


@triton.jit
def products(
    gradient,
    output,
    output_strides,
    initial,
    of_left,
    of_center,
    of_right,
    of_strides,
    width,
    channels,
    steps,
    reverse: tl.constexpr,
    places: tl.constexpr,
    block: tl.constexpr,
):
    """Write the gradients of the weights at some places of any lines: that of h times what the weight multiplies."""
    pieces = tl.cdiv(width * steps, places)
    outer, channel, own = own_channels(tl.program_id(0) // pieces, channels, places, block)
    number = (tl.program_id(0) % pieces).to(tl.int64) * places + own
    place, t = number // steps, number % steps
    exists = (channel < channels) & (place < width)
    line = output + outer * output_strides[0] + (t + 1 if reverse else t - 1) * output_strides[2] + channel
    is_first = t == (steps - 1 if reverse else 0)
    before, here, after = neighbours(line, output_strides[1], place, width, exists & (is_first == 0))
    if initial is not None:
        initial += outer * width * channels + channel
        on_first = neighbours(initial, channels, place, width, exists & is_first)
        before, here, after = before + on_first[0], here + on_first[1], after + on_first[2]
    where = outer * of_strides[0] + place * of_strides[1] + t * of_strides[2] + channel
    of_h = tl.load(gradient + where, exists, other=0)
    tl.store(of_left + where, of_h * before, exists)
    tl.store(of_center + where, of_h * here, exists)
    tl.store(of_right + where, of_h * after, exists)
