"""The LSTM with a matrix memory on GPUs, as torch operations of its own: on CPUs it runs as torch's matrix products."""

import math
from typing import Any

import torch
from torch import Tensor

from .._memory import contiguous, empty_state, empty_steps, laid_out_like, needs_gradient, strides
from .._operation import make_differentiable
from .._sequences import no_autocast
from .._triton import define, power_of_2, readable
from ._reference import State, prepare

LENGTH = 32  # steps of a chunk
VALUES = 32  # of a head, that a program works on; 16 are the fewest of a matrix product
KEYS = 64  # of a head, at most
WIDE = f"more than {KEYS} keys a head"  # whose memory has no room on the chip


def scan(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    input_gate: Tensor,
    forget_gate: Tensor,
    initial: State | None,
    reverse: bool,
) -> tuple[Tensor, State]:
    """Same arguments and result as the reference."""
    with no_autocast(v.device):
        wide, state = prepare(q, k, v, input_gate, forget_gate, initial)
    h, C, n, m, *_ = _mlstm_scan(*wide, *state, reverse, needs_gradient([*wide, *state]))
    return laid_out_like(h, v), (C, n, m)


def _results(
    q: Tensor, k: Tensor, v: Tensor, log_i: Tensor, log_f: Tensor, C: Tensor, n: Tensor, m: Tensor, *options: bool
) -> tuple[Tensor, ...]:
    _, keep = options
    chunks = -(-v.shape[-2] // LENGTH) if keep else 0
    kept = (empty_state(v, n.shape[-2], chunks, *size) for size in (C.shape[-2:], n.shape[-1:], ()))
    return empty_steps(v, v.shape[-1]), *(state.new_empty(state.shape) for state in (C, n, m)), *kept


def _forward(*arguments: Any) -> tuple[Tensor, ...]:
    from . import _triton_kernels

    *tensors, reverse, keep = arguments
    results = h, *states = _results(*arguments)
    sequences, sequence_strides = zip(*map(readable, tensors[:5]), strict=True)
    _launch(
        _triton_kernels.scan,
        sequences,
        sequence_strides,
        tuple(map(contiguous, tensors[5:])),
        h,
        strides(h),
        tuple(states[:3]),
        tuple(states[3:]) if keep else None,
        like=h,
        C=tensors[5],
        reverse=reverse,
    )
    return results


def _gradients(
    grad_h: Tensor, of_C: Tensor, of_n: Tensor, of_m: Tensor, q: Tensor, k: Tensor, v: Tensor, log_i: Tensor, *_: Any
) -> tuple[Tensor, ...]:
    of_sequences = (empty_steps(x, x.shape[-1]) for x in (q, k, v, log_i, log_i))
    return *of_sequences, *(state.new_empty(state.shape) for state in (of_C, of_n, of_m))


def _backward(*arguments: Any) -> tuple[Tensor, ...]:
    from . import _triton_kernels

    *tensors, reverse = arguments
    grad_h, *grad_final = tensors[:4]
    h, *kept = tensors[9:]
    results = of_q, of_k, of_v, of_i, of_f, of_C, of_n, of_m = _gradients(*arguments)
    blocks = -(-of_C.shape[-1] // VALUES)
    summed = (of_q, of_k, of_i, of_f, of_n, of_m)
    part_q, part_k, part_i, part_f, part_n, part_m = parts = [each.new_empty(blocks, *each.shape) for each in summed]
    sequences, sequence_strides = zip(*map(readable, tensors[4:9]), strict=True)
    _launch(
        _triton_kernels.scan_backward,
        sequences,
        sequence_strides,
        tuple(map(contiguous, kept)),
        *readable(h),
        *readable(grad_h),
        tuple(map(contiguous, grad_final)),
        part_q,
        part_k,
        of_v,
        strides(of_v),
        part_i,
        part_f,
        (of_C, part_n, part_m),
        math.prod(h.shape[:-2]),
        like=h,
        C=of_C,
        reverse=reverse,
    )
    for whole, part in zip(summed, parts, strict=True):
        torch.sum(part, 0, out=whole)
    return results


def _launch(kernel: Any, *arguments: Any, like: Tensor, C: Tensor, reverse: bool) -> None:
    *_, heads, keys, values = C.shape
    key_lanes, value_lanes = max(16, power_of_2(keys)), max(16, min(power_of_2(values), VALUES))
    programs = math.prod(C.shape[:-2]) * -(-values // value_lanes)
    if programs == 0:
        return
    with torch.cuda.device_of(like):
        kernel[(programs,)](
            *arguments,
            like.shape[-3],
            heads,
            keys,
            values,
            like.shape[-2],
            reverse,
            LENGTH,
            key_lanes,
            value_lanes,
            num_warps=8 if key_lanes > 32 else 4,
            num_stages=1,
        )


def _differentiate(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
    *sequences, h, C, n, m, kept_C, kept_n, kept_m = ctx.saved_tensors
    grad_h, of_C, of_n, of_m = (
        torch.zeros_like(each) if grad is None else grad for each, grad in zip((h, C, n, m), grads, strict=False)
    )
    of_m = of_m - (of_C * C).sum((-2, -1)) - (of_n * n).sum(-1)  # C and n are the memory proper over exp(m)
    gradients = _mlstm_scan_backward(grad_h, of_C, of_n, of_m, *sequences, h, kept_C, kept_n, kept_m, ctx.reverse)
    return *gradients, None, None


def _keep(ctx: Any, inputs: tuple, output: tuple[Tensor, ...]) -> None:
    *tensors, ctx.reverse, _ = inputs
    ctx.mark_non_differentiable(*output[4:])
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*tensors[:5], *output)


_SEQUENCES = "Tensor q, Tensor k, Tensor v, Tensor log_i, Tensor log_f"
_mlstm_scan = define(
    "mlstm_scan",
    f"({_SEQUENCES}, Tensor C, Tensor n, Tensor m, bool reverse, bool keep) "
    "-> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
    _forward,
    _results,
)
_mlstm_scan_backward = define(
    "mlstm_scan_backward",
    f"(Tensor grad_h, Tensor grad_C, Tensor grad_n, Tensor grad_m, {_SEQUENCES}, "
    "Tensor h, Tensor kept_C, Tensor kept_n, Tensor kept_m, bool reverse) "
    "-> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
    _backward,
    _gradients,
)
make_differentiable("mlstm_scan", _differentiate, _keep)
