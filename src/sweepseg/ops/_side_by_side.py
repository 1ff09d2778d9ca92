"""One compiled recurrence along several directions of a map, whose outputs lie side by side in one map.

It is what single scans and a concatenation give, without the copy and with one call's overhead for all.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ._channelwise import Channelwise
from ._memory import needs_gradient, with_dense_channels
from ._operation import no_second_derivative
from ._recurrent import Recurrence


class Path(NamedTuple):
    """How one of the scans goes over a map (B, H, W, C).

    Attributes:
        columns: Whether the sequences are its columns, (B, W, H, C), instead of its rows, (B, H, W, C).
        reverse: Whether the last step runs first.
        inputs: The channels that it reads.
        outputs: The channels that it writes.
    """

    columns: bool
    reverse: bool
    inputs: slice
    outputs: slice

    def read(self, x: Tensor) -> Tensor:
        """Its input (*batch, T, C) within the map that all read."""
        return self._sequences(x)[..., self.inputs]

    def written(self, y: Tensor) -> Tensor:
        """Its output (*batch, T, H) within the map of all outputs."""
        return self._sequences(y)[..., self.outputs]

    def _sequences(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2) if self.columns else x


def side_by_side(
    scan: Recurrence | Channelwise, x: Tensor, paths: Sequence[Path], tensors: Sequence[Sequence[Tensor | None]]
) -> tuple[Tensor, list[tuple[Tensor, ...]]]:
    """Run a recurrence along all paths.

    Args:
        scan: The compiled recurrence.
        x: (B, H, W, C) on the CPU.
        paths: The paths, which together read every channel of ``x`` and write each channel of the result once; the last
            one writes the last.
        tensors: What the scan takes beside its sequence, for each path.

    Returns:
        The states of all steps (B, H, W, outputs) as the kernels give them, and the last states of each path.
    """
    ready, flat = x, list[Tensor | None]()
    for of_path in tensors:
        ready, *others = scan.ready(ready, *of_path)
        flat += others
    if needs_gradient((ready, *flat)):
        y, *states = _SideBySide.apply(scan, paths, ready, *flat)
    else:
        y, states, _ = _forward(scan, paths, ready, flat, saving=False)
    return y, _shared_out(states, paths)


def _forward(
    scan: Any, paths: Sequence[Path], x: Tensor, tensors: Sequence[Tensor | None], *, saving: bool
) -> tuple[Tensor, list[Tensor], list[Tensor | None]]:
    """The output, all last states, and what is saved for each path."""
    y = x.new_empty((*x.shape[:-1], paths[-1].outputs.stop))
    all_states, all_saved = [], []
    for path, of_path in zip(paths, _shared_out(tensors, paths), strict=True):
        states, saved = scan.forward_into(path.written(y), path.read(x), of_path, path.reverse, saving=saving)
        all_states += states
        all_saved.append(saved)
    return y, all_states, all_saved


class _SideBySide(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scan: Any, paths: Sequence[Path], x: Tensor, *tensors: Tensor | None) -> tuple[Tensor, ...]:
        y, states, saved = _forward(scan, paths, x, tensors, saving=True)
        ctx.scan, ctx.paths = scan, paths
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, y, *tensors, *saved)
        return y, *states

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        return None, None, *_Gradients.apply(ctx.scan, ctx.paths, len(grads), *grads, *ctx.saved_tensors)


class _Gradients(torch.autograd.Function):
    """The gradients as a function of its own, which says that it has none."""

    @staticmethod
    def forward(ctx: Any, scan: Any, paths: Sequence[Path], grads: int, *tensors: Any) -> tuple[Tensor | None, ...]:
        (grad_y, *grad_states), (x, y, *others) = tensors[:grads], tensors[grads:]
        inputs, saved = others[: -len(paths)], others[-len(paths) :]
        grad_y = None if grad_y is None else with_dense_channels(grad_y)
        grad_x = torch.empty_like(x)
        gradients: list[Tensor | None] = []
        for i, (path, of_path, of_states) in enumerate(
            zip(paths, _shared_out(inputs, paths), _shared_out(grad_states, paths), strict=True)
        ):
            again = any(path.inputs == earlier.inputs for earlier in paths[:i])
            of_outputs = (None if grad_y is None else path.written(grad_y), *of_states)
            gradients += scan.backward_into(
                path.read(grad_x), of_outputs, path.read(x), of_path, path.written(y), saved[i], path.reverse, add=again
            )
        return grad_x, *gradients

    @staticmethod
    def backward(ctx: Any, *_: Tensor | None) -> None:
        no_second_derivative()


def _shared_out(values: Sequence[Any], paths: Sequence[Path]) -> list[tuple]:
    """As many values to each path, in their order."""
    size = len(values) // len(paths)
    return [tuple(values[i : i + size]) for i in range(0, len(values), size)]
