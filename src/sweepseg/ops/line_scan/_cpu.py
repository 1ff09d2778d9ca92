"""The compiled line propagation, native/line_scan.cpp, as a torch operation on channels-last maps (*batch, W, T, C)."""

from ctypes import c_void_p
from typing import Any

import torch
from torch import Tensor

from .. import _native
from .._memory import empty_steps, laid_out_like, sequences, shape, with_dense_channels
from .._sequences import widen

_DTYPES = {torch.float32: "float", torch.float64: "double"}
_forward_kernels, _backward_kernels = (
    {dtype: _native.function(f"sweepseg_{name}_{suffix}", *(c_void_p,) * count) for dtype, suffix in _DTYPES.items()}
    for name, count in (("line_scan", 4), ("line_scan_backward", 5))
)


def scan(
    update: Tensor, left: Tensor, center: Tensor, right: Tensor, initial: Tensor | None, reverse: bool
) -> tuple[Tensor, Tensor]:
    """Same arguments and result as the reference."""
    *maps, line = widen(update, left, center, right, initial)
    line = None if line is None else line.mT
    output, final = torch.ops.sweepseg.line_scan.default(*map(_channels_last, maps), line, reverse)
    return laid_out_like(_channels_last(output), update), final.mT


def _channels_last(x: Tensor) -> Tensor:
    """(B, C, T, W) -> (B, W, T, C) and back; in (B, T, W) the batch stands for the channels."""
    return x.transpose(-3, -1)


def _results(update: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    return empty_steps(update, update.shape[-1]), _empty_line(update)


def _forward(
    update: Tensor, left: Tensor, center: Tensor, right: Tensor, initial: Tensor | None, reverse: bool
) -> tuple[Tensor, Tensor]:
    output, final = _results(update)
    maps = [with_dense_channels(each) for each in (update, left, center, right)]
    initial = None if initial is None else initial.contiguous()
    _forward_kernels[update.dtype](
        shape(update, reverse),
        sequences(*maps, output),
        None if initial is None else initial.data_ptr(),
        final.data_ptr(),
    )
    return output, final


def _gradients(grad_output: Tensor, left: Tensor, *_: Any) -> tuple[Tensor, ...]:
    return *(empty_steps(left, left.shape[-1]) for _ in range(4)), _empty_line(left)


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
    grad_output = with_dense_channels(grad_output)
    initial, grad_final = (None if each is None else each.contiguous() for each in (initial, grad_final))
    _backward_kernels[left.dtype](
        shape(left, reverse),
        # the update's own values play no part in the gradients
        sequences(output, *weights, output, grad_output, *of_maps),
        None if initial is None else initial.data_ptr(),
        None if grad_final is None else grad_final.data_ptr(),
        of_initial.data_ptr(),
    )
    return results


def _differentiate(ctx: Any, grad_output: Tensor | None, grad_final: Tensor | None) -> tuple[Tensor | None, ...]:
    left, center, right, output, initial = ctx.saved_tensors
    grad_output = torch.zeros_like(output) if grad_output is None else grad_output
    *of_maps, of_initial = torch.ops.sweepseg.line_scan_backward.default(
        grad_output, left, center, right, output, initial, grad_final, ctx.reverse
    )
    return *of_maps, None if initial is None else of_initial, None


def _keep(ctx: Any, inputs: tuple, output: tuple[Tensor, Tensor]) -> None:
    _, *weights, initial, ctx.reverse = inputs
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*weights, output[0], initial)


def _empty_line(x: Tensor) -> Tensor:
    """Memory for one line (..., W, C) of (..., W, T, C)."""
    return x.new_empty(*x.shape[:-2], x.shape[-1])


_library = torch.library.Library("sweepseg", "FRAGMENT")
_library.define(
    "line_scan(Tensor update, Tensor left, Tensor center, Tensor right, Tensor? initial, bool reverse) "
    "-> (Tensor, Tensor)"
)
_library.define(
    "line_scan_backward(Tensor grad_output, Tensor left, Tensor center, Tensor right, Tensor output, Tensor? initial, "
    "Tensor? grad_final, bool reverse) -> (Tensor, Tensor, Tensor, Tensor, Tensor)"
)
_library.impl("line_scan", _forward, "CPU")
_library.impl("line_scan_backward", _backward, "CPU")
torch.library.register_fake("sweepseg::line_scan", _results, lib=_library)
torch.library.register_fake("sweepseg::line_scan_backward", _gradients, lib=_library)
torch.library.register_autograd("sweepseg::line_scan", _differentiate, setup_context=_keep, lib=_library)
torch.library.register_autograd("sweepseg::line_scan_backward", _native.no_second_derivative, lib=_library)
