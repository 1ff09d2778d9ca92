"""The compiled selective state space model, native/selective_scan.cpp, as a torch operation."""

from ctypes import c_int64, c_void_p
from typing import Any

import torch
from torch import Tensor

from .. import _native
from .._memory import empty_steps, laid_out_like, pointers, sequences, shape, with_dense_channels
from .._sequences import widen

SEGMENT = 16  # steps between the states that are kept for the backward pass, as in native/selective_scan.cpp

_INPUTS = "Tensor x, Tensor delta, Tensor A, Tensor B, Tensor C, Tensor? D, Tensor? initial"
_DTYPES = {torch.float32: "float", torch.float64: "double"}
_forward_kernels, _backward_kernels = (
    {
        dtype: _native.function(f"sweepseg_{name}_{suffix}", c_void_p, c_int64, *(c_void_p,) * others)
        for dtype, suffix in _DTYPES.items()
    }
    for name, others in (("selective_scan", 2), ("selective_scan_backward", 3))
)


def scan(
    x: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None, initial: Tensor | None, reverse: bool
) -> tuple[Tensor, Tensor]:
    """Same arguments and result as the reference."""
    wide = widen(x, delta, A, B, C, D, initial)
    save = torch.is_grad_enabled() and any(tensor is not None and tensor.requires_grad for tensor in wide)
    y, final, _ = torch.ops.sweepseg.selective_scan.default(*wide, reverse, save)
    return laid_out_like(y, x), final


def _results(
    x: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Any, initial: Any, reverse: bool, save: bool
) -> tuple[Tensor, Tensor, Tensor]:
    *batch, steps, channels = x.shape
    segments = -(-steps // SEGMENT) if save else 0
    kept = x.new_empty(*batch, segments, A.shape[1], channels)
    return empty_steps(x, channels), x.new_empty(*batch, *A.shape), kept


def _forward(
    x: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    initial: Tensor | None,
    reverse: bool,
    save: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    y, final, kept = _results(x, delta, A, B, C, D, initial, reverse, save)
    x, delta, B, C = (with_dense_channels(each) for each in (x, delta, B, C))
    A = A.contiguous()
    D, initial = (None if each is None else each.contiguous() for each in (D, initial))
    _forward_kernels[x.dtype](
        shape(x, reverse),
        A.shape[1],
        sequences(x, delta, B, C, y),
        pointers(A, D, initial, final, kept if save else None),
    )
    return y, final, kept


def _gradients(
    grad_y: Tensor, grad_final: Any, x: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, *others: Any
) -> tuple[Tensor, ...]:
    of_x, of_delta, of_B, of_C = (empty_steps(each, each.shape[-1]) for each in (x, delta, B, C))
    of_D, of_initial = x.new_empty(x.shape[-1]), x.new_empty(*x.shape[:-2], *A.shape)
    return of_x, of_delta, A.new_empty(A.shape), of_B, of_C, of_D, of_initial


def _backward(
    grad_y: Tensor,
    grad_final: Tensor | None,
    x: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    kept: Tensor,
    reverse: bool,
) -> tuple[Tensor, ...]:
    results = of_x, of_delta, of_A, of_B, of_C, of_D, of_initial = _gradients(grad_y, grad_final, x, delta, A, B, C)
    grad_y, x, delta, B, C = (with_dense_channels(each) for each in (grad_y, x, delta, B, C))
    A = A.contiguous()
    D, grad_final = (None if each is None else each.contiguous() for each in (D, grad_final))
    _backward_kernels[x.dtype](
        shape(x, reverse),
        A.shape[1],
        sequences(x, delta, B, C, grad_y, of_x, of_delta, of_B, of_C),
        pointers(A, D, None, None, kept),
        pointers(grad_final, of_A, of_D, of_initial),
    )
    return results


def _differentiate(ctx: Any, grad_y: Tensor | None, grad_final: Tensor | None, _: None) -> tuple[Tensor | None, ...]:
    x, delta, A, B, C, D, kept = ctx.saved_tensors
    grad_y = torch.zeros_like(x) if grad_y is None else grad_y
    *others, of_D, of_initial = torch.ops.sweepseg.selective_scan_backward.default(
        grad_y, grad_final, x, delta, A, B, C, D, kept, ctx.reverse
    )
    return *others, None if D is None else of_D, of_initial if ctx.has_initial else None, None, None


def _keep(ctx: Any, inputs: tuple, output: tuple[Tensor, ...]) -> None:
    *tensors, initial, ctx.reverse, _ = inputs
    ctx.has_initial = initial is not None
    ctx.mark_non_differentiable(output[2])
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*tensors, output[2])


_library = torch.library.Library("sweepseg", "FRAGMENT")
_library.define(f"selective_scan({_INPUTS}, bool reverse, bool save) -> (Tensor, Tensor, Tensor)")
_library.define(
    "selective_scan_backward(Tensor grad_y, Tensor? grad_final, Tensor x, Tensor delta, Tensor A, Tensor B, Tensor C, "
    "Tensor? D, Tensor kept, bool reverse) -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)"
)
_library.impl("selective_scan", _forward, "CPU")
_library.impl("selective_scan_backward", _backward, "CPU")
torch.library.register_fake("sweepseg::selective_scan", _results, lib=_library)
torch.library.register_fake("sweepseg::selective_scan_backward", _gradients, lib=_library)
torch.library.register_autograd("sweepseg::selective_scan", _differentiate, setup_context=_keep, lib=_library)
torch.library.register_autograd("sweepseg::selective_scan_backward", _native.no_second_derivative, lib=_library)
