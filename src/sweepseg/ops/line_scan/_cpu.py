"""The compiled line propagation, native/line_scan.cpp, as a torch operation on channels-last maps (*batch, W, T, C)."""

from ctypes import c_void_p
from typing import Any

import torch
from torch import Tensor

from .. import _native
from .._memory import (
    contiguous,
    empty_state,
    empty_steps,
    laid_out_like,
    pointer,
    sequences,
    shape,
    with_dense_channels,
)
from .._operation import define, make_differentiable
from .._sequences import widen

_kernels = _native.functions("line_scan", *(c_void_p,) * 4)
_backward_kernels = _native.functions("line_scan_backward", *(c_void_p,) * 5)


def scan(
    update: Tensor, left: Tensor, center: Tensor, right: Tensor, initial: Tensor | None, reverse: bool
) -> tuple[Tensor, Tensor]:
    """Same arguments and result as the reference."""
    *maps, line = widen(update, left, center, right, initial)
    line = None if line is None else line.mT
    output, final = _line_scan(*map(_channels_last, maps), line, reverse)
    return laid_out_like(_channels_last(output), update), final.mT


def _channels_last(x: Tensor) -> Tensor:
    """(B, C, T, W) -> (B, W, T, C) and back; in (B, T, W) the batch stands for the channels."""
    return x.transpose(-3, -1)


def _results(update: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    return empty_steps(update, update.shape[-1]), empty_state(update, update.shape[-1])


def _forward(
    update: Tensor, left: Tensor, center: Tensor, right: Tensor, initial: Tensor | None, reverse: bool
) -> tuple[Tensor, Tensor]:
    output, final = _results(update)
    maps = [with_dense_channels(each) for each in (update, left, center, right)]
    initial = contiguous(initial)
    _kernels[update.dtype](shape(update, reverse), sequences(*maps, output), pointer(initial), final.data_ptr())
    return output, final


def _gradients(grad_output: Tensor, left: Tensor, *_: Any) -> tuple[Tensor, ...]:
    return *(empty_steps(left, left.shape[-1]) for _ in range(4)), empty_state(left, left.shape[-1])


def _backward(
    grad_output: Tensor,
    left: Tensor,
    center: Tensor,
    right: Tensor,
    output: Tensor,
    initial: Tensor | None,
    grad_final: Tensor | None,
    reverse: bool,
) -> tuple[Tensor, ...]:
    *of_maps, of_initial = results = _gradients(grad_output, left)
    weights = [with_dense_channels(each) for each in (left, center, right)]
    output, grad_output = with_dense_channels(output), with_dense_channels(grad_output)
    initial, grad_final = contiguous(initial), contiguous(grad_final)
    _backward_kernels[left.dtype](
        shape(left, reverse),
        # the update's own values play no part in the gradients
        sequences(output, *weights, output, grad_output, *of_maps),
        pointer(initial),
        pointer(grad_final),
        of_initial.data_ptr(),
    )
    return results


def _differentiate(ctx: Any, grad_output: Tensor | None, grad_final: Tensor | None) -> tuple[Tensor | None, ...]:
    left, center, right, output, initial = ctx.saved_tensors
    grad_output = torch.zeros_like(output) if grad_output is None else grad_output
    *of_maps, of_initial = _line_scan_backward(
        grad_output, left, center, right, output, initial, grad_final, ctx.reverse
    )
    return *of_maps, None if initial is None else of_initial, None


def _keep(ctx: Any, inputs: tuple, output: tuple[Tensor, Tensor]) -> None:
    _, *weights, initial, ctx.reverse = inputs
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*weights, output[0], initial)


_line_scan = define(
    "line_scan",
    "(Tensor update, Tensor left, Tensor center, Tensor right, Tensor? initial, bool reverse) -> (Tensor, Tensor)",
    _forward,
    _results,
)
_line_scan_backward = define(
    "line_scan_backward",
    "(Tensor grad_output, Tensor left, Tensor center, Tensor right, Tensor output, Tensor? initial, "
    "Tensor? grad_final, bool reverse) -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
    _backward,
    _gradients,
)
make_differentiable("line_scan", _differentiate, _keep)
