"""The compiled selective state space model, native/selective_scan.cpp, as a torch operation."""

from collections.abc import Callable
from ctypes import c_int64, c_void_p
from typing import Any

import torch
from torch import Tensor

from .. import _native
from .._memory import (
    contiguous,
    empty_state,
    empty_steps,
    laid_out_like,
    needs_gradient,
    pointers,
    sequences,
    shape,
    with_dense_channels,
)
from .._operation import define, make_differentiable
from .._sequences import widen

SEGMENT = 16  # steps between the states that are kept for the backward pass, as in native/selective_scan.cpp

_INPUTS = "Tensor x, Tensor delta, Tensor A, Tensor B, Tensor C, Tensor? D, Tensor? initial"
_kernels = _native.functions("selective_scan", c_void_p, c_int64, *(c_void_p,) * 2)
_backward_kernels = _native.functions("selective_scan_backward", c_void_p, c_int64, *(c_void_p,) * 3)


def scan(
    x: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None, initial: Tensor | None, reverse: bool
) -> tuple[Tensor, Tensor]:
    """Same arguments and result as the reference."""
    wide = widen(x, delta, A, B, C, D, initial)
    if needs_gradient(wide):
        y, final, _ = _selective_scan(*wide, reverse)
    else:
        y, final = _inference(*wide, reverse)
    return laid_out_like(y, x), final


def _results(x: Tensor, delta: Tensor, A: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    return empty_steps(x, x.shape[-1]), empty_state(x, *A.shape)


def _results_and_kept(x: Tensor, delta: Tensor, A: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor]:
    segments = -(-x.shape[-2] // SEGMENT)
    return *_results(x, delta, A), empty_state(x, segments, *A.shape[::-1])


def _gradients(
    grad_y: Tensor, grad_final: Any, x: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, *others: Any
) -> tuple[Tensor, ...]:
    of_x, of_delta, of_B, of_C = (empty_steps(each, each.shape[-1]) for each in (x, delta, B, C))
    of_D, of_initial = x.new_empty(x.shape[-1]), empty_state(x, *A.shape)
    return of_x, of_delta, A.new_empty(A.shape), of_B, of_C, of_D, of_initial


def functions(
    run: Callable[..., None], run_backward: Callable[..., None]
) -> dict[str, Callable[..., tuple[Tensor, ...]]]:
    """What the operations of these names run.

    Args:
        run: ((y, final, kept or None), *arguments of the operation) -> None; writes the results.
        run_backward: (gradients, *arguments of the backward operation) -> None; writes the gradients.
    """

    def forward(*inputs: Any) -> tuple[Tensor, ...]:
        results = _results_and_kept(*inputs)
        run(results, *inputs)
        return results

    def inference(*inputs: Any) -> tuple[Tensor, ...]:
        results = _results(*inputs)
        run((*results, None), *inputs)
        return results

    def backward(*arguments: Any) -> tuple[Tensor, ...]:
        gradients = _gradients(*arguments)
        run_backward(gradients, *arguments)
        return gradients

    return {"selective_scan": forward, "selective_scan_inference": inference, "selective_scan_backward": backward}


def _run(results: tuple[Any, ...], *inputs: Any) -> None:
    (y, final, kept), (x, delta, A, B, C, D, initial, reverse) = results, inputs
    x, delta, B, C = (with_dense_channels(each) for each in (x, delta, B, C))
    A, D, initial = A.contiguous(), contiguous(D), contiguous(initial)
    _kernels[x.dtype](shape(x, reverse), A.shape[1], sequences(x, delta, B, C, y), pointers(A, D, initial, final, kept))


def _run_backward(gradients: tuple[Tensor, ...], *arguments: Any) -> None:
    of_x, of_delta, of_A, of_B, of_C, of_D, of_initial = gradients
    grad_y, grad_final, x, delta, A, B, C, D, kept, reverse = arguments
    grad_y, x, delta, B, C = (with_dense_channels(each) for each in (grad_y, x, delta, B, C))
    A, D, grad_final, kept = A.contiguous(), contiguous(D), contiguous(grad_final), kept.contiguous()
    _backward_kernels[x.dtype](
        shape(x, reverse),
        A.shape[1],
        sequences(x, delta, B, C, grad_y, of_x, of_delta, of_B, of_C),
        pointers(A, D, None, None, kept),
        pointers(grad_final, of_A, of_D, of_initial),
    )


def _differentiate(ctx: Any, grad_y: Tensor | None, grad_final: Tensor | None, _: None) -> tuple[Tensor | None, ...]:
    x, delta, A, B, C, D, kept = ctx.saved_tensors
    grad_y = torch.zeros_like(x) if grad_y is None else grad_y
    *others, of_D, of_initial = _selective_scan_backward(grad_y, grad_final, x, delta, A, B, C, D, kept, ctx.reverse)
    return *others, None if D is None else of_D, of_initial if ctx.has_initial else None, None


def _keep(ctx: Any, inputs: tuple, output: tuple[Tensor, ...]) -> None:
    *tensors, initial, ctx.reverse = inputs
    ctx.has_initial = initial is not None
    ctx.mark_non_differentiable(output[2])
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*tensors, output[2])


_functions = functions(_run, _run_backward)
_selective_scan = define(
    "selective_scan",
    f"({_INPUTS}, bool reverse) -> (Tensor, Tensor, Tensor)",
    _functions["selective_scan"],
    _results_and_kept,
)
_inference = define(
    "selective_scan_inference",
    f"({_INPUTS}, bool reverse) -> (Tensor, Tensor)",
    _functions["selective_scan_inference"],
    _results,
)
_selective_scan_backward = define(
    "selective_scan_backward",
    "(Tensor grad_y, Tensor? grad_final, Tensor x, Tensor delta, Tensor A, Tensor B, Tensor C, Tensor? D, Tensor kept, "
    "bool reverse) -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
    _functions["selective_scan_backward"],
    _gradients,
)
make_differentiable("selective_scan", _differentiate, _keep)
