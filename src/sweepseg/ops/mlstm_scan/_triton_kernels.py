"""Triton kernels of the LSTM with a matrix memory in chunks of steps, as in `_chunked`, in the letters of xLSTM.

A program carries the memory of one head of one sequence, a block of values wide, from chunk to chunk. The backward pass
starts from the states before each chunk that the forward pass kept. It takes the scale m, which does not change the
outputs, for a constant; the gradient of the last m goes on its own to the term that was the greatest.
"""

import triton
import triton.language as tl

from ..elman_scan._triton_kernels import product


@triton.jit
def own_place(heads, values, lanes: tl.constexpr):
    """This program's block of values, its row, head and the number of both in 64 bits, and its values."""
    blocks = tl.cdiv(values, lanes)
    block, number = tl.program_id(0) % blocks, (tl.program_id(0) // blocks).to(tl.int64)
    return block, number // heads, number % heads, number, block * lanes + tl.arange(0, lanes)


@triton.jit
def rows_at(sequence, strides, outer, inner, t):
    """Pointers to the steps t of a sequence."""
    return sequence + outer * strides[0] + inner * strides[1] + t * strides[2]


@triton.jit
def load_rows(pointers, inside, channel, channels):
    """The rows (steps, channels) at pointers to steps, zeros outside."""
    return tl.load(pointers[:, None] + channel[None, :], inside[:, None] & (channel < channels)[None, :], other=0)


@triton.jit
def store_rows(pointers, inside, channel, channels, rows):
    """Write what `load_rows` reads."""
    tl.store(pointers[:, None] + channel[None, :], rows, inside[:, None] & (channel < channels)[None, :])


@triton.jit
def load_chunk(sequences, strides, outer, inner, head, t, inside, key, value, keys, values):
    """q, k, v, log i and log f of the steps t of a head. Those that are not inside of the sequence change no state."""
    rows = ()
    for j in tl.static_range(5):
        rows += (rows_at(sequences[j], strides[j], outer, inner, t),)
    return (
        load_rows(rows[0] + head * keys, inside, key, keys),
        load_rows(rows[1] + head * keys, inside, key, keys),
        load_rows(rows[2] + head * values, inside, value, values),
        tl.load(rows[3] + head, inside, other=float("-inf")),
        tl.load(rows[4] + head, inside, other=0),
    )


@triton.jit
def load_memory(pointer, place, key, value, keys, values):
    """The memory (keys, values) at a place in a tensor of memories, zeros outside."""
    cells = pointer + (place * keys + key[:, None]) * values + value[None, :]
    return tl.load(cells, (key < keys)[:, None] & (value < values)[None, :], other=0)


@triton.jit
def store_memory(pointer, place, key, value, keys, values, memory):
    """Write what `load_memory` reads."""
    cells = pointer + (place * keys + key[:, None]) * values + value[None, :]
    tl.store(cells, memory, (key < keys)[:, None] & (value < values)[None, :])


@triton.jit
def load_state(pointers, place, key, value, keys, values):
    """The state (C, n, m) at a place in tensors of states."""
    C = load_memory(pointers[0], place, key, value, keys, values)
    return C, tl.load(pointers[1] + place * keys + key, key < keys, other=0), tl.load(pointers[2] + place)


@triton.jit
def store_state(pointers, place, key, value, keys, values, C, n, m):
    """Write a state; all blocks of values write the same n and m."""
    store_memory(pointers[0], place, key, value, keys, values, C)
    tl.store(pointers[1] + place * keys + key, n, key < keys)
    tl.store(pointers[2] + place, m)


@triton.jit
def weights(log_i, log_f, m, step):
    """How much the steps of a chunk, there [t, s], and the state before it count at each step t, and after the chunk.

    Returns:
        within, before and top: at the steps, over exp(top); log_given, log_left and m_end: after the chunk, m there.
    """
    # Running sums from each s on: the difference of two sums would lose small terms behind a large one.
    since = tl.where(step[:, None] > step[None, :], log_f[:, None], 0.0)
    log_inner = tl.cumsum(since, 0) + log_i[None, :]
    log_inner = tl.where(step[:, None] >= step[None, :], log_inner, float("-inf"))
    log_before = tl.cumsum(log_f, 0) + m
    top = tl.maximum(tl.maximum(tl.max(log_inner, 1), log_before), 0.0)
    log_given, log_left = tl.sum(since, 0) + log_i, tl.sum(log_f, 0) + m
    m_end = tl.maximum(tl.maximum(tl.max(log_given, 0), log_left), 0.0)
    return tl.exp(log_inner - top[:, None]), tl.exp(log_before - top), top, log_given, log_left, m_end


@triton.jit
def scan(
    sequences,
    strides,
    initial,
    h,
    h_strides,
    final,
    kept,
    width,
    heads,
    keys,
    values,
    steps,
    reverse: tl.constexpr,
    length: tl.constexpr,
    key_lanes: tl.constexpr,
    value_lanes: tl.constexpr,
):
    """Write the outputs of all steps, the last state and, unless it is None, ``kept``, the states before each chunk.

    ``sequences`` are q, k, v, log i and log f; states are (C, n, m).
    """
    _, row, head, number, value = own_place(heads, values, value_lanes)
    key, step = tl.arange(0, key_lanes), tl.arange(0, length)
    outer, inner = row // width, row % width
    C, n, m = load_state(initial, number, key, value, keys, values)
    chunks = tl.cdiv(steps, length)
    for chunk in range(0, chunks):
        if kept is not None:
            store_state(kept, number * chunks + chunk, key, value, keys, values, C, n, m)
        s = chunk * length + step
        t, inside = (steps - 1 - s if reverse else s).to(tl.int64), s < steps
        q, k, v, log_i, log_f = load_chunk(sequences, strides, outer, inner, head, t, inside, key, value, keys, values)
        within, before, top, log_given, log_left, m = weights(log_i, log_f, m, step)
        scores = product(q, tl.trans(k)) * within
        size = tl.sum(scores, 1) + before * tl.sum(q * n[None, :], 1)
        numerator = product(scores, v) + before[:, None] * product(q, C)
        divisor = tl.where(inside, tl.maximum(tl.abs(size), tl.exp(-top)), 1.0)
        h_t = rows_at(h, h_strides, outer, inner, t) + head * values
        store_rows(h_t, inside, value, values, numerator / divisor[:, None])
        left, k_given = tl.exp(log_left - m), k * tl.exp(log_given - m)[:, None]
        C = left * C + product(tl.trans(k_given), v)
        n = left * n + tl.sum(k_given, 0)
    store_state(final, number, key, value, keys, values, C, n, m)


@triton.jit
def scan_backward(
    sequences,
    strides,
    kept,
    grad_h,
    grad_h_strides,
    grad_final,
    to_sequences,
    to_v_strides,
    to_initial,
    total,
    width,
    heads,
    keys,
    values,
    steps,
    reverse: tl.constexpr,
    length: tl.constexpr,
    key_lanes: tl.constexpr,
    value_lanes: tl.constexpr,
):
    """Write the gradients, from the last chunk to the first.

    Those of q, k, log i, log f and of the initial n and m, (blocks of values, total, ...), are to be added up over
    blocks. ``grad_final`` is (C, n, m), with the gradients of C and n for a constant m.
    """
    block, row, head, number, value = own_place(heads, values, value_lanes)
    key, step = tl.arange(0, key_lanes), tl.arange(0, length)
    outer, inner, part = row // width, row % width, (block * total + row) * steps
    of_C, of_n, of_m = load_state(grad_final, number, key, value, keys, values)
    if block > 0:  # n and m count once
        of_n, of_m = of_n * 0, of_m * 0
    of_first_m = of_m
    chunks = tl.cdiv(steps, length)
    for later in range(0, chunks):
        chunk = chunks - 1 - later
        C, n, m = load_state(kept, number * chunks + chunk, key, value, keys, values)
        s = chunk * length + step
        t, inside = (steps - 1 - s if reverse else s).to(tl.int64), s < steps
        q, k, v, log_i, log_f = load_chunk(sequences, strides, outer, inner, head, t, inside, key, value, keys, values)
        grad_h_t = rows_at(grad_h, grad_h_strides, outer, inner, t) + head * values
        of_h = load_rows(grad_h_t, inside, value, values)
        within, before, top, log_given, log_left, m_end = weights(log_i, log_f, m, step)
        given, left, least = tl.exp(log_given - m_end), tl.exp(log_left - m_end), tl.exp(-top)

        scores = product(q, tl.trans(k)) * within
        size = tl.sum(scores, 1) + before * tl.sum(q * n[None, :], 1)
        divisor = tl.where(inside, tl.maximum(tl.abs(size), least), 1.0)
        of_numerator = of_h / divisor[:, None]
        of_scores, from_C = product(of_numerator, tl.trans(v)), product(of_numerator, tl.trans(C))
        of_divisor = -(tl.sum(of_scores * scores, 1) + before * tl.sum(q * from_C, 1)) / divisor
        of_size = tl.where(tl.abs(size) > least, tl.where(size > 0, of_divisor, -of_divisor), 0.0)
        of_scores += of_size[:, None]
        of_qk, of_log_inner = of_scores * within, of_scores * scores
        of_q = before[:, None] * (from_C + of_size[:, None] * n[None, :])
        of_k = given[:, None] * (product(v, tl.trans(of_C)) + of_n[None, :])
        of_v = given[:, None] * product(k, of_C) + product(tl.trans(scores), of_numerator)
        of_log_before, of_log_given = tl.sum(q * of_q, 1), tl.sum(k * of_k, 1)
        of_log_left = left * (tl.sum(tl.sum(of_C * C, 1), 0) + tl.sum(of_n * n, 0))
        of_q += product(of_qk, k)
        of_k += product(tl.trans(of_qk), q)

        from_step, from_state = log_given == m_end, log_left == m_end
        of_m /= tl.sum(from_step.to(tl.int32), 0) + from_state.to(tl.int32) + (m_end == 0).to(tl.int32)
        of_log_given += tl.where(from_step, of_m, 0.0)
        of_m = tl.where(from_state, of_m, 0.0)
        of_log_left += of_m

        of_log_i = tl.sum(of_log_inner, 0) + of_log_given
        passing = tl.where(step[:, None] >= step[None, :], tl.cumsum(of_log_inner, 1) - of_log_inner, 0.0)
        of_log_f = tl.sum(passing, 0) + tl.cumsum(of_log_before, 0, reverse=True)
        of_log_f += tl.cumsum(of_log_given, 0) - of_log_given + of_log_left
        of_first_m = tl.sum(of_log_before, 0) + of_log_left
        of_C = left * of_C + product(tl.trans(q * before[:, None]), of_numerator)
        of_n = left * of_n + tl.sum(q * (before * of_size)[:, None], 0)

        place = (part + t) * heads + head
        store_rows(to_sequences[0] + place * keys, inside, key, keys, of_q)
        store_rows(to_sequences[1] + place * keys, inside, key, keys, of_k)
        to_v = rows_at(to_sequences[2], to_v_strides, outer, inner, t) + head * values
        store_rows(to_v, inside, value, values, of_v)
        tl.store(to_sequences[3] + place, of_log_i, inside)
        tl.store(to_sequences[4] + place, of_log_f, inside)
    store_memory(to_initial[0], number, key, value, keys, values, of_C)
    number += block * total * heads
    tl.store(to_initial[1] + number * keys + key, of_n, key < keys)
    tl.store(to_initial[2] + number, of_first_m)
