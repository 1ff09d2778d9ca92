"""Cells of one kind along rows and columns of a map in one call of the compiled kernels."""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.module import _has_any_global_hook

from ..cells._base import Cell
from ..ops._dispatch import runs_compiled
from ..ops._operation import differentiating_forward, is_plain
from ..ops._side_by_side import Path, side_by_side

MOST_GATES = 1 << 24  # numbers; measured on Zen 4: with more, cell by cell is faster and takes less memory


def run_together(sweeps: Sequence[Any], x: Tensor, states: Sequence[Any]) -> tuple[Tensor, list[Any]] | None:
    """Run sweeps over a map.

    Args:
        sweeps: Modules; those that can run together have a ``cell`` and an ``order``.
        x: (B, C, H, W).
        states: The initial state of each sweep, or None.

    Returns:
        The outputs side by side, (B, sum of hidden sizes, H, W), and the last states; None if these sweeps, or what
        else is asked of torch at this moment, take a call for each.
    """
    if not is_plain((x,)) or differentiating_forward() or _has_any_global_hook() or x.ndim != 4 or not x.numel():
        return None
    cells: list[Any] = [getattr(sweep, "cell", None) for sweep in sweeps]
    if not all(map(_is_simple, cells)) or any(map(_is_watched, (*cells, *sweeps))):
        return None
    scan, gated = cells[0].scan, cells[0].weight_hh is None
    fit = all(map(_fits, cells, [sweep.order.lines for sweep in sweeps], [x] * len(cells), states))
    if not fit or any(cell.scan is not scan for cell in cells) or not runs_compiled(cells[0].backends, x.device):
        return None
    pixels = x.permute(0, 2, 3, 1)  # (B, H, W, C)
    inputs = [slice(0, x.shape[1])] * len(cells)
    if gated:
        weights, biases = ([getattr(cell, name) for cell in cells] for name in ("weight_ih", "bias_ih"))
        gates = sum(weight.shape[0] for weight in weights)
        if any(bias is None for bias in biases) or x[:, 0].numel() * gates > MOST_GATES:
            return None
        pixels = F.linear(pixels, torch.cat(weights), torch.cat(biases))  # (B, H, W, gates)
        inputs = _one_after_the_other([weight.shape[0] for weight in weights])
    outputs = _one_after_the_other([cell.hidden_size for cell in cells])
    paths = [
        Path(sweep.order.lines == "columns", sweep.order.reverse, read, written)
        for sweep, read, written in zip(sweeps, inputs, outputs, strict=True)
    ]
    tensors = (
        [(state,) for state in states]
        if gated
        else [*map(_tensors, cells, [path.read(pixels) for path in paths], states)]
    )
    y, final = side_by_side(scan, pixels, paths, tensors)
    return y.to(x.dtype).permute(0, 3, 1, 2), [last if len(last) > 1 else last[0] for last in final]


def _is_simple(cell: Any) -> bool:
    """Whether a cell is one of ours that does nothing but run its scan."""
    return (
        isinstance(cell, Cell)
        and "backends" in vars(type(cell))
        and cell.gain_ih is None
        and cell.scan is not None
        and not (cell.training and cell.dropout)
    )


def _is_watched(module: nn.Module) -> bool:
    return bool(
        module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks
    )


def _fits(cell: Any, lines: str | None, x: Tensor, state: Any) -> bool:
    """Whether shapes are what the kernels, which cannot tell, rely on; where not, the call for each sweep says so."""
    if lines is None or x.shape[1] != cell.input_size:
        return False
    shape = (x.shape[0], x.shape[2 if lines == "rows" else 3], cell.hidden_size)
    return all(h is None or h.shape == shape for h in (state if isinstance(state, tuple) else (state,)))


def _tensors(cell: Any, x: Tensor, state: Any) -> tuple[Tensor | None, ...]:
    """What the scan of a cell with weights takes beside its sequences ``x``."""
    h, c = state if isinstance(state, tuple) else (state, None)
    return cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh, h, c, cell.hidden_mask(x)


def _one_after_the_other(sizes: Sequence[int]) -> list[slice]:
    ends = [*accumulate(sizes)]
    return [slice(end - size, end) for end, size in zip(ends, sizes, strict=True)]
