"""The selective state space model on GPUs."""

import math
from typing import Any

import torch
from torch import Tensor

from .._memory import contiguous, strides
from .._triton import INTERPRETED, implement, power_of_2, readable
from ._cpu import SEGMENT, functions, scan

__all__ = ["scan"]

TILE = 2**20 if INTERPRETED else 256  # states that a program works on; the interpreter's time goes by programs
AHEAD = 2 if INTERPRETED else 4  # steps that are read together; a divisor of SEGMENT, as SPAN is
SPAN = 2 if INTERPRETED else 8  # steps whose states the backward pass holds


def _run(results: tuple[Any, ...], *inputs: Any) -> None:
    from . import _triton_kernels

    (y, final, kept), (x, delta, A, B, C, D, initial, reverse) = results, inputs
    _launch(
        _triton_kernels.scan,
        *readable(x),
        *readable(delta),
        A.contiguous(),
        *readable(B),
        *readable(C),
        contiguous(D),
        contiguous(initial),
        y,
        strides(y),
        final,
        kept,
        like=y,
        states=A.shape[1],
        together=AHEAD,
        reverse=reverse,
    )


def _run_backward(gradients: tuple[Tensor, ...], *arguments: Any) -> None:
    from . import _triton_kernels

    of_x, of_delta, of_A, of_B, of_C, of_D, of_initial = gradients
    grad_y, grad_final, x, delta, A, B, C, D, kept, reverse = arguments
    rows, channels = math.prod(x.shape[:-2]), x.shape[-1]
    blocks = -(-channels // _tile(rows, *A.shape)[1])
    parts = [
        x.new_empty(rows, *A.shape),
        x.new_empty(blocks, *B.shape),
        x.new_empty(blocks, *B.shape),
        x.new_empty(rows, channels),
    ]
    _launch(
        _triton_kernels.scan_backward,
        *readable(x),
        *readable(delta),
        A.contiguous(),
        *readable(B),
        *readable(C),
        contiguous(D),
        kept.contiguous(),
        *readable(grad_y),
        contiguous(grad_final),
        of_x,
        strides(of_x),
        of_delta,
        strides(of_delta),
        *parts,
        of_initial,
        like=x,
        states=A.shape[1],
        together=SPAN,
        reverse=reverse,
    )
    for part, whole in zip(parts, (of_A, of_B, of_C, of_D), strict=True):
        torch.sum(part, 0, out=whole)


def _tile(rows: int, channels: int, states: int) -> tuple[int, int, int]:
    """How many of each a program runs: powers of 2."""
    lanes = power_of_2(states)
    block = min(power_of_2(channels), max(1, TILE // lanes))
    return min(power_of_2(rows), max(1, TILE // (lanes * block))), block, lanes


def _launch(kernel: Any, *arguments: Any, like: Tensor, states: int, together: int, reverse: bool) -> None:
    *batch, steps, channels = like.shape
    total = math.prod(batch)
    rows, block, lanes = _tile(total, channels, states)
    programs = -(-total // rows) * -(-channels // block)
    if programs == 0:
        return
    with torch.cuda.device_of(like):
        kernel[(programs,)](
            *arguments,
            total,
            batch[-1],
            channels,
            states,
            steps,
            reverse,
            SEGMENT,
            together,
            rows,
            block,
            lanes,
            num_warps=1,
            num_stages=1,
        )


for _name, _function in functions(_run, _run_backward).items():
    implement(_name, _function)
