"""Triton kernels of the selective state space model, in the letters of Mamba.

A program runs a tile (rows, channels, N) of states, where rows are sequences, through all steps in registers. Nothing
as large as (steps, channels, N) is stored: the forward pass keeps the states before every ``segment``-th step, from
which the backward pass computes those of a ``span`` of steps again.
"""

import triton
import triton.language as tl


@triton.jit
def own_tile(total, channels, states, rows: tl.constexpr, block: tl.constexpr, lanes: tl.constexpr):
    """This program's block of channels; its rows in 64 bits, channels and states, and which of them exist."""
    blocks = tl.cdiv(channels, block)
    group, number = tl.program_id(0) // blocks, tl.program_id(0) % blocks
    row = group.to(tl.int64) * rows + tl.arange(0, rows)[:, None, None]
    channel, n = number * block + tl.arange(0, block)[None, :, None], tl.arange(0, lanes)[None, None, :]
    return number, row, channel, n, row < total, channel < channels, n < states


@triton.jit
def begin(sequence, strides, row, width, channel):
    """Pointers to channels of sequences at step 0."""
    return sequence + row // width * strides[0] + row % width * strides[1] + channel


@triton.jit
def scan(
    x,
    x_strides,
    delta,
    delta_strides,
    A,
    B,
    B_strides,
    C,
    C_strides,
    D,
    initial,
    y,
    y_strides,
    final,
    kept,
    total,
    width,
    channels,
    states,
    steps,
    reverse: tl.constexpr,
    segment: tl.constexpr,
    ahead: tl.constexpr,
    rows: tl.constexpr,
    block: tl.constexpr,
    lanes: tl.constexpr,
):
    """Write the outputs of all steps, the last states and, unless it is None, ``kept``."""
    _, row, channel, n, is_row, is_channel, is_state = own_tile(total, channels, states, rows, block, lanes)
    has_x, has_B, exists = is_row & is_channel, is_row & is_state, is_row & is_channel & is_state
    x, delta = begin(x, x_strides, row, width, channel), begin(delta, delta_strides, row, width, channel)
    B, C = begin(B, B_strides, row, width, n), begin(C, C_strides, row, width, n)
    y = begin(y, y_strides, row, width, channel)
    A = tl.load(A + channel * states + n, is_channel & is_state, other=0)
    D = 0.0 if D is None else tl.load(D + channel, is_channel, other=0)
    place = (row * channels + channel) * states + n
    h = tl.zeros([rows, block, lanes], A.dtype) if initial is None else tl.load(initial + place, exists, other=0)
    if kept is not None:
        kept += (row * tl.cdiv(steps, segment) * states + n) * channels + channel
    for first in range(0, steps, ahead):
        if kept is not None and first % segment == 0:
            tl.store(kept + first // segment * states * channels, h, exists)
        loaded = ()
        for i in tl.static_range(ahead):
            t, inside = tl.cast(steps - 1 - first - i if reverse else first + i, tl.int64), first + i < steps
            x_t = tl.load(x + t * x_strides[2], has_x & inside, other=0)
            delta_t = tl.load(delta + t * delta_strides[2], has_x & inside, other=0)
            B_t = tl.load(B + t * B_strides[2], has_B & inside, other=0)
            C_t = tl.load(C + t * C_strides[2], has_B & inside, other=0)
            loaded += ((x_t, delta_t, B_t, C_t),)
        for i in tl.static_range(ahead):
            t, inside = tl.cast(steps - 1 - first - i if reverse else first + i, tl.int64), first + i < steps
            x_t, delta_t, B_t, C_t = loaded[i]
            h = tl.where(inside, tl.exp(delta_t * A), 1.0) * h + delta_t * x_t * B_t
            tl.store(y + t * y_strides[2], tl.sum(h * C_t, 2, keep_dims=True) + D * x_t, has_x & inside)
    tl.store(final + place, h, exists)


@triton.jit
def scan_backward(
    x,
    x_strides,
    delta,
    delta_strides,
    A,
    B,
    B_strides,
    C,
    C_strides,
    D,
    kept,
    grad_y,
    grad_y_strides,
    grad_final,
    of_x,
    of_x_strides,
    of_delta,
    of_delta_strides,
    of_A,
    of_B,
    of_C,
    of_D,
    of_initial,
    total,
    width,
    channels,
    states,
    steps,
    reverse: tl.constexpr,
    segment: tl.constexpr,
    span: tl.constexpr,
    rows: tl.constexpr,
    block: tl.constexpr,
    lanes: tl.constexpr,
):
    """Write the gradients, from the last step that was run to the first.

    Those of A (total, channels, N) and D (total, channels) are to be added up over rows, those of B and C
    (blocks, total, steps, N) over blocks of channels.
    """
    number, row, channel, n, is_row, is_channel, is_state = own_tile(total, channels, states, rows, block, lanes)
    has_x, has_B, exists = is_row & is_channel, is_row & is_state, is_row & is_channel & is_state
    x, delta = begin(x, x_strides, row, width, channel), begin(delta, delta_strides, row, width, channel)
    B, C = begin(B, B_strides, row, width, n), begin(C, C_strides, row, width, n)
    grad_y, of_x = begin(grad_y, grad_y_strides, row, width, channel), begin(of_x, of_x_strides, row, width, channel)
    of_delta = begin(of_delta, of_delta_strides, row, width, channel)
    first_part = (number * total + row) * steps * states + n
    A = tl.load(A + channel * states + n, is_channel & is_state, other=0)
    D = 0.0 if D is None else tl.load(D + channel, is_channel, other=0)
    place = (row * channels + channel) * states + n
    kept += (row * tl.cdiv(steps, segment) * states + n) * channels + channel
    sum_of_A, sum_of_D = tl.zeros([rows, block, lanes], A.dtype), tl.zeros([rows, block, 1], A.dtype)
    s = sum_of_A if grad_final is None else tl.load(grad_final + place, exists, other=0)  # the gradient of h
    spans = tl.cdiv(steps, span)
    for later in range(0, spans):
        first = (spans - 1 - later) * span
        h = tl.load(kept + first // segment * states * channels, exists, other=0)
        for i in range(first // segment * segment, first):
            t = tl.cast(steps - 1 - i if reverse else i, tl.int64)
            x_t = tl.load(x + t * x_strides[2], has_x, other=0)
            delta_t = tl.load(delta + t * delta_strides[2], has_x, other=0)
            h = tl.exp(delta_t * A) * h + delta_t * x_t * tl.load(B + t * B_strides[2], has_B, other=0)
        held = ()
        for i in tl.static_range(span):
            t, inside = tl.cast(steps - 1 - first - i if reverse else first + i, tl.int64), first + i < steps
            x_t = tl.load(x + t * x_strides[2], has_x & inside, other=0)
            delta_t = tl.load(delta + t * delta_strides[2], has_x & inside, other=0)
            B_t = tl.load(B + t * B_strides[2], has_B & inside, other=0)
            decay = tl.where(inside, tl.exp(delta_t * A), 1.0)
            held += ((x_t, delta_t, decay, h),)
            h = decay * h + delta_t * x_t * B_t
        for i in tl.static_range(span - 1, -1, -1):
            t, inside = tl.cast(steps - 1 - first - i if reverse else first + i, tl.int64), first + i < steps
            x_t, delta_t, decay, before = held[i]
            B_t = tl.load(B + t * B_strides[2], has_B & inside, other=0)
            C_t = tl.load(C + t * C_strides[2], has_B & inside, other=0)
            grad_y_t = tl.load(grad_y + t * grad_y_strides[2], has_x & inside, other=0)
            s += grad_y_t * C_t
            tl.store(of_C + first_part + t * states, tl.sum(grad_y_t * h, 1, keep_dims=True), has_B & inside)
            tl.store(of_B + first_part + t * states, tl.sum(s * delta_t * x_t, 1, keep_dims=True), has_B & inside)
            of_delta_x = tl.sum(s * B_t, 2, keep_dims=True)
            s *= decay
            h = before
            of_exponent = s * h
            of_rate = tl.sum(of_exponent * A, 2, keep_dims=True)
            tl.store(of_x + t * of_x_strides[2], of_delta_x * delta_t + grad_y_t * D, has_x & inside)
            tl.store(of_delta + t * of_delta_strides[2], of_delta_x * x_t + of_rate, has_x & inside)
            sum_of_A += of_exponent * delta_t
            sum_of_D += grad_y_t * x_t
    tl.store(of_A + place, sum_of_A, exists)
    tl.store(of_D + row * channels + channel, sum_of_D, has_x)
    tl.store(of_initial + place, s, exists)
