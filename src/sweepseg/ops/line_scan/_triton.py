"""Line propagation on GPUs, on channels-last maps (*batch, W, T, C) as in `_cpu`."""

from typing import Any

import torch
from torch import Tensor

from .._memory import contiguous, strides
from .._triton import INTERPRETED, implement, power_of_2, readable
from ._cpu import _gradients, _results, scan

__all__ = ["scan"]

TILE = 2**20 if INTERPRETED else 512  # numbers that a program works on; the interpreter's time goes by programs
CHANNELS = 2**20 if INTERPRETED else 8  # of a program: as many as memory is fetched in; few, for many programs


def forward(
    update: Tensor, left: Tensor, center: Tensor, right: Tensor, initial: Tensor | None, reverse: bool
) -> tuple[Tensor, Tensor]:
    """Of ``torch.ops.sweepseg.line_scan``."""
    output, final = _results(update)
    _run(update, (left, center, right), output, initial, reverse, lag=0)
    final.copy_(output.select(-2, 0 if reverse else -1))
    return output, final


def backward(
    grad_output: Tensor,
    left: Tensor,
    center: Tensor,
    right: Tensor,
    output: Tensor,
    initial: Tensor | None,
    grad_final: Tensor | None,
    reverse: bool,
) -> tuple[Tensor, ...]:
    """Of ``torch.ops.sweepseg.line_scan_backward``."""
    from . import _triton_kernels

    of_update, *of_weights, of_initial = results = _gradients(grad_output, left)
    if grad_final is not None:
        grad_output = grad_output.clone()
        grad_output.select(-2, 0 if reverse else -1).add_(grad_final)
    _run(grad_output, (right, center, left), of_update, None, not reverse, lag=1)
    _launch(
        _triton_kernels.products,
        of_update,
        *readable(output),
        contiguous(initial),
        *of_weights,
        strides(of_update),
        like=of_update,
        options=(reverse,),
        apart=True,
    )
    first = -1 if reverse else 0
    of_h, *weights = (each.select(-2, first) for each in (of_update, left, center, right))  # (*batch, W, C)
    torch.mul(of_h, weights[1], out=of_initial)
    of_initial[..., :-1, :] += (of_h * weights[0])[..., 1:, :]
    of_initial[..., 1:, :] += (of_h * weights[2])[..., :-1, :]
    return results


def _run(
    update: Tensor, weights: tuple[Tensor, ...], output: Tensor, initial: Tensor | None, reverse: bool, *, lag: int
) -> None:
    from . import _triton_kernels

    weights, weight_strides = zip(*map(readable, weights), strict=True)
    _launch(
        _triton_kernels.scan,
        *readable(update),
        weights,
        weight_strides,
        output,
        strides(output),
        contiguous(initial),
        like=output,
        options=(reverse, lag),
        apart=False,
    )


def _launch(kernel: Any, *arguments: Any, like: Tensor, options: tuple[Any, ...], apart: bool) -> None:
    """Run programs for all maps and blocks of channels or, with ``apart``, for each piece of their maps."""
    *_, width, steps, channels = like.shape
    if like.numel() == 0:
        return
    size = width * steps if apart else width
    block = min(power_of_2(channels), CHANNELS)
    places = min(power_of_2(size), max(1, TILE // block))
    programs = like.numel() // (width * steps * channels) * -(-channels // block) * (-(-size // places) if apart else 1)
    with torch.cuda.device_of(like):
        kernel[(programs,)](*arguments, width, channels, steps, *options, places, block, num_warps=4, num_stages=1)


implement("line_scan", forward)
implement("line_scan_backward", backward)
