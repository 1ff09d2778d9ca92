"""The two-dimensional LSTM on GPUs, over the anti-diagonals of channels-last maps (B, W, T, C) as in `_cpu`."""

from typing import Any

import torch
from torch import Tensor

from .._memory import contiguous, empty_steps, strides, with_dense_channels
from .._recurrent import Recurrence
from .._sequences import input_product, no_autocast
from .._triton import INTERPRETED, RecurrenceLaunches, before_each_step, flat, power_of_2, unflat, units_of
from ._cpu import _leftwards, _rightwards, scan

__all__ = ["scan"]

TILE = 2**20 if INTERPRETED else 1024  # numbers that a program works on; the interpreter's time goes by programs
HIDDEN = 64  # at most
WIDE = f"a hidden_size above {HIDDEN}"  # whose products have no room in registers
LANES = 16  # of a program at least: the fewest of a matrix product


class _Launches(RecurrenceLaunches):
    """Launches for the two operations, which differ in the direction along the rows.

    The weights are those of the five gates above, then of the five on the left.
    """

    def __init__(self, recurrence: Recurrence, *, leftwards: bool):
        super().__init__(recurrence, __package__, gates=10)
        self.leftwards = leftwards

    def _run(self, results: Any, saved: Tensor | None, *inputs: Any) -> None:
        from . import _triton_kernels

        x, weight_ih, taps, bias, _, h0, c0, _, reverse = inputs
        y, h_last, c_last = results
        with no_autocast(x.device):
            projected = input_product(x, weight_ih, bias)
        self._launch(
            _triton_kernels.scan,
            projected,
            strides(projected),
            self._padded(_stacked(taps)).mT.contiguous(),
            _lines(h_last, h0, c0),
            y,
            strides(y),
            h_last,
            c_last,
            saved,
            like=y,
            reverse=reverse,
        )

    def backward(
        self, grad_y: Tensor | None, grad_h: Tensor | None, grad_c: Tensor | None, *others: Any
    ) -> list[Tensor]:
        """Of ``torch.ops.sweepseg.<name>_backward``."""
        from . import _triton_kernels

        x, weight_ih, taps, bias, _, h0, c0, _, y, saved, reverse = others
        of_products = empty_steps(x, weight_ih.shape[0])
        of_h0, of_c0 = (y.new_empty(*y.shape[:-2], y.shape[-1]) for _ in range(2))
        grad_y = None if grad_y is None else with_dense_channels(grad_y)
        self._launch(
            _triton_kernels.scan_backward,
            self._padded(_stacked(taps)),
            contiguous(c0),
            saved.contiguous(),
            grad_y,
            None if grad_y is None else strides(grad_y),
            _lines(of_h0, grad_h, grad_c, None, None),
            of_products,
            strides(of_products),
            of_h0,
            of_c0,
            like=y,
            reverse=reverse,
        )
        above = before_each_step(y, h0, reverse)
        left = before_each_step(y.transpose(-3, -2), None, self.leftwards).transpose(-3, -2)
        products = flat(of_products, like=x)
        with no_autocast(x.device):
            of_x = unflat(products @ weight_ih, like=x)
            of_weight_ih = products.T @ flat(x, like=x)
            of_taps = torch.stack([products.T @ flat(seen, like=x) for seen in (above, left)], dim=1)
        of_bias = [] if bias is None else [products.sum(0)]
        return [of_x, of_weight_ih, of_taps, *of_bias, *([] if h0 is None else [of_h0, of_c0])]

    def _launch(self, kernel: Any, *arguments: Any, like: Tensor, reverse: bool) -> None:
        total, width, steps, size = like.shape
        if total == 0:
            return
        units = units_of(size)
        most = max(LANES, TILE // units)
        pixels = min(power_of_2(min(width, steps)), most)
        maps = min(max(power_of_2(total), LANES // pixels), most // pixels)
        with torch.cuda.device_of(like):
            kernel[(-(-total // maps),)](
                *arguments,
                total,
                width,
                steps,
                size,
                reverse,
                self.leftwards,
                maps,
                pixels,
                units,
                self._resident(units, like),
                num_warps=8,
                num_stages=1,  # no room for the weights of steps to come
            )


def _stacked(taps: Tensor) -> Tensor:
    """(5 H, 2, H) -> (2 * 5 H, H)."""
    return taps.movedim(1, 0).flatten(0, 1)


def _lines(like: Tensor, *states: Tensor | None) -> Tensor:
    """Two lines of the states (B, W, H) that pixels hand on to the next anti-diagonal, one read and one written.

    Both begin with what comes in from outside of the map: a pixel of the first row reads what no pixel has written.
    """
    lines = like.new_zeros(2, len(states), *like.shape)
    for number, state in enumerate(states):
        if state is not None:
            lines[:, number] = state
    return lines


_Launches(_rightwards, leftwards=False)
_Launches(_leftwards, leftwards=True)
