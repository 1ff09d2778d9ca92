"""The compiled recurrences that run every channel on its own, native/scan.h, as torch operations."""

from collections.abc import Sequence
from ctypes import c_void_p
from typing import Any

import torch
from torch import Tensor

from . import _native
from ._memory import (
    contiguous,
    empty_state,
    empty_steps,
    laid_out_like,
    pointer,
    sequences,
    shape,
    with_dense_channels,
)
from ._operation import define, make_differentiable
from ._sequences import widen


class Channelwise:
    """A recurrence h[t] = f(inputs[t], h[t-1]) of the compiled library as the operation ``torch.ops.sweepseg.<name>``.

    Args:
        name: Of the operation and of the compiled functions.
        inputs: Names of its input tensors, each (*batch, T, parts * C).
        parts: How many inputs of the recurrence lie side by side in the channels of each tensor.
    """

    def __init__(self, name: str, inputs: Sequence[str], *, parts: int = 1):
        self.parts, self.count = parts, len(inputs)
        self.kernels = _native.functions(name, *(c_void_p,) * 4)
        self.backward_kernels = _native.functions(f"{name}_backward", *(c_void_p,) * 5)
        tensors = ", ".join(f"Tensor {tensor}" for tensor in inputs)
        grads = ", ".join(["Tensor"] * len(inputs))
        schema = f"({tensors}, Tensor? initial, bool reverse) -> (Tensor, Tensor)"
        self.forward = define(name, schema, self._forward, self._results)
        self.backward = define(
            f"{name}_backward",
            f"({tensors}, Tensor output, Tensor grad_output, Tensor? initial, Tensor? grad_final, bool reverse) "
            f"-> ({grads}, Tensor)",
            self._backward,
            self._gradients,
        )
        make_differentiable(name, self._differentiate, _keep)

    def __call__(self, *inputs: Tensor, initial: Tensor | None, reverse: bool) -> tuple[Tensor, Tensor]:
        """The states (*batch, T, C) in dtype and memory order of the last input, and the last state (*batch, C)."""
        last = inputs[-1]
        *dense, h = self.ready(*inputs, initial)  # one copy for both passes
        output, final = self.forward(*dense, h, reverse)
        return output if dense[-1] is last else laid_out_like(output, last), final

    def ready(self, *inputs: Any) -> list[Any]:
        """The inputs and the initial state with the dtypes and strides that the kernels take."""
        *wide, h = widen(*inputs)
        return [*map(with_dense_channels, wide), contiguous(h)]

    def _results(self, *arguments: Any) -> tuple[Tensor, Tensor]:
        last = arguments[self.count - 1]
        channels = last.shape[-1] // self.parts
        return empty_steps(last, channels), empty_state(last, channels)

    def _forward(self, *arguments: Any) -> tuple[Tensor, Tensor]:
        results = self._results(*arguments)
        self.run(results, *arguments)
        return results

    def run(self, results: tuple[Tensor, Tensor], *arguments: Any) -> None:
        """Run the forward kernel into memory of any strides with dense channels."""
        *inputs, initial, reverse = arguments
        output, final = results
        dense, initial = [with_dense_channels(x) for x in inputs], contiguous(initial)
        self.kernels[output.dtype](
            shape(output, reverse), sequences(*dense, output), pointer(initial), final.data_ptr()
        )

    def _gradients(self, *arguments: Any) -> tuple[Tensor, ...]:
        inputs, output = arguments[: self.count], arguments[self.count]
        return *(empty_steps(x, x.shape[-1]) for x in inputs), empty_state(output, output.shape[-1])

    def _backward(self, *arguments: Any) -> tuple[Tensor, ...]:
        gradients = self._gradients(*arguments)
        self.run_backward(gradients, *arguments)
        return gradients

    def run_backward(self, results: tuple[Tensor, ...], *arguments: Any) -> None:
        """Run the backward kernel into memory of any strides with dense channels."""
        *tensors, initial, grad_final, reverse = arguments  # the inputs, the output and its gradient
        *gradients, of_initial = results
        dense = [with_dense_channels(x) for x in tensors]
        initial, grad_final = contiguous(initial), contiguous(grad_final)
        self.backward_kernels[of_initial.dtype](
            shape(tensors[-1], reverse),
            sequences(*dense, *gradients),
            pointer(initial),
            pointer(grad_final),
            of_initial.data_ptr(),
        )

    def _differentiate(
        self, ctx: Any, grad_output: Tensor | None, grad_final: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        *inputs, output, initial = ctx.saved_tensors
        grad_output = torch.zeros_like(output) if grad_output is None else with_dense_channels(grad_output)
        *gradients, of_initial = self.backward(
            *inputs, output, grad_output, initial, contiguous(grad_final), ctx.reverse
        )
        return *gradients, None if initial is None else of_initial, None

    def forward_into(
        self, y: Tensor, x: Tensor, tensors: Sequence[Any], reverse: bool, *, saving: bool
    ) -> tuple[list[Tensor], None]:
        """Write the states of all steps to ``y``; return the last one. Backwards nothing else is needed."""
        final = empty_state(y, y.shape[-1])
        self.run((y, final), x, *tensors, reverse)
        return [final], None

    def backward_into(
        self,
        grad_x: Tensor,
        grads: Sequence[Tensor | None],
        x: Tensor,
        tensors: Sequence[Any],
        y: Tensor,
        saved: None,
        reverse: bool,
        *,
        add: bool,
    ) -> list[Tensor | None]:
        """Write, or add, the gradient of ``x`` from those of ``y`` and the last state; return the initial state's."""
        grad_y, grad_final = grads
        of_initial = empty_state(y, y.shape[-1])
        grad_y = torch.zeros_like(y) if grad_y is None else grad_y
        target = torch.empty_like(grad_x) if add else grad_x
        self.run_backward((target, of_initial), x, y, grad_y, *tensors, grad_final, reverse)
        if add:
            grad_x += target
        return [None if tensors[0] is None else of_initial]


def _keep(ctx: Any, inputs: tuple, output: tuple[Tensor, Tensor]) -> None:
    *tensors, initial, ctx.reverse = inputs
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*tensors, output[0], initial)
