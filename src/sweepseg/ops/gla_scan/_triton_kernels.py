"""Triton kernels of gated linear attention in chunks of steps, in the letters of the paper.

A program carries the state of one head of one sequence, a block of values wide, from chunk to chunk. Inside of a chunk
each pair of steps has a decay of its own, in tiles [t, s, key]: sums of logarithms between two steps, never differences
of sums, so no exponential overflows and none loses its digits behind a step that forgets all.
"""

import triton
import triton.language as tl

from ..elman_scan._triton_kernels import product
from ..mlstm_scan._triton_kernels import load_memory, load_rows, own_place, rows_at, store_memory, store_rows


@triton.jit
def load_chunk(sequences, strides, outer, inner, head, t, inside, key, value, keys, values):
    """q, k, v and log alpha of the steps t of a head. Those that are not inside of the sequence change no state."""
    rows = ()
    for j in tl.static_range(4):
        rows += (rows_at(sequences[j], strides[j], outer, inner, t),)
    return (
        load_rows(rows[0] + head * keys, inside, key, keys),
        load_rows(rows[1] + head * keys, inside, key, keys),
        load_rows(rows[2] + head * values, inside, value, values),
        load_rows(rows[3] + head * keys, inside, key, keys),
    )


@triton.jit
def decays(log_alpha, step):
    """What is left of each key: at step t of what step s gave, there [t, s], and of the state before the chunk; at the
    end of the chunk of what each step gave, and of the state before.
    """
    since = tl.where(step[:, None, None] > step[None, :, None], log_alpha[:, None, :], 0.0)
    within = tl.where(step[:, None, None] >= step[None, :, None], tl.exp(tl.cumsum(since, 0)), 0.0)
    return within, tl.exp(tl.cumsum(log_alpha, 0)), tl.exp(tl.sum(since, 0)), tl.exp(tl.sum(log_alpha, 0))


@triton.jit
def scan(
    sequences,
    strides,
    initial,
    o,
    o_strides,
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

    ``sequences`` are q, k, v and log alpha; ``initial``, ``final`` and ``kept`` are (S,).
    """
    _, row, head, number, value = own_place(heads, values, value_lanes)
    key, step = tl.arange(0, key_lanes), tl.arange(0, length)
    outer, inner = row // width, row % width
    S = load_memory(initial[0], number, key, value, keys, values)
    chunks = tl.cdiv(steps, length)
    for chunk in range(0, chunks):
        if kept is not None:
            store_memory(kept[0], number * chunks + chunk, key, value, keys, values, S)
        s = chunk * length + step
        t, inside = (steps - 1 - s if reverse else s).to(tl.int64), s < steps
        q, k, v, log_alpha = load_chunk(sequences, strides, outer, inner, head, t, inside, key, value, keys, values)
        within, before, given, left = decays(log_alpha, step)
        scores = tl.sum(q[:, None, :] * k[None, :, :] * within, 2)
        o_t = rows_at(o, o_strides, outer, inner, t) + head * values
        store_rows(o_t, inside, value, values, product(scores, v) + product(q * before, S))
        S = left[:, None] * S + product(tl.trans(k * given), v)
    store_memory(final[0], number, key, value, keys, values, S)


@triton.jit
def scan_backward(
    sequences,
    strides,
    kept,
    grad_o,
    grad_o_strides,
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

    Those of q, k and log alpha, (blocks of values, total, ...), are to be added up over blocks.
    """
    block, row, head, number, value = own_place(heads, values, value_lanes)
    key, step = tl.arange(0, key_lanes), tl.arange(0, length)
    outer, inner, part = row // width, row % width, (block * total + row) * steps
    of_S = load_memory(grad_final[0], number, key, value, keys, values)
    chunks = tl.cdiv(steps, length)
    for later in range(0, chunks):
        chunk = chunks - 1 - later
        S = load_memory(kept[0], number * chunks + chunk, key, value, keys, values)
        s = chunk * length + step
        t, inside = (steps - 1 - s if reverse else s).to(tl.int64), s < steps
        q, k, v, log_alpha = load_chunk(sequences, strides, outer, inner, head, t, inside, key, value, keys, values)
        grad_o_t = rows_at(grad_o, grad_o_strides, outer, inner, t) + head * values
        of_o = load_rows(grad_o_t, inside, value, values)
        within, before, given, left = decays(log_alpha, step)

        scores = tl.sum(q[:, None, :] * k[None, :, :] * within, 2)
        of_v = product(tl.trans(scores), of_o) + product(k * given, of_S)
        of_products = product(of_o, tl.trans(v))[:, :, None] * within
        of_q, of_k = before * product(of_o, tl.trans(S)), given * product(v, tl.trans(of_S))
        of_log_before, of_log_given = q * of_q, k * of_k
        of_q += tl.sum(of_products * k[None, :, :], 1)
        of_k += tl.sum(of_products * q[:, None, :], 0)

        of_log_within = of_products * q[:, None, :] * k[None, :, :]
        passing = tl.cumsum(of_log_within, 0, reverse=True)
        passing = tl.where(step[:, None, None] > step[None, :, None], passing, 0.0)
        of_log_alpha = tl.sum(passing, 1) + tl.cumsum(of_log_before, 0, reverse=True)
        of_log_alpha += tl.cumsum(of_log_given, 0) - of_log_given + (left * tl.sum(of_S * S, 1))[None, :]
        of_S = left[:, None] * of_S + product(tl.trans(q * before), of_o)

        place = ((part + t) * heads + head) * keys
        store_rows(to_sequences[0] + place, inside, key, keys, of_q)
        store_rows(to_sequences[1] + place, inside, key, keys, of_k)
        to_v = rows_at(to_sequences[2], to_v_strides, outer, inner, t) + head * values
        store_rows(to_v, inside, value, values, of_v)
        store_rows(to_sequences[3] + place, inside, key, keys, of_log_alpha)
    store_memory(to_initial[0], number, key, value, keys, values, of_S)
