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
        *wide, h = widen(*inputs, initial)
        dense = [with_dense_channels(x) for x in wide]  # one copy for both passes
        output, final = self.forward(*dense, contiguous(h), reverse)
        return output if dense[-1] is last else laid_out_like(output, last), final

    def _results(self, *arguments: Any) -> tuple[Tensor, Tensor]:
        last = arguments[self.count - 1]
        channels = last.shape[-1] // self.parts
        return empty_steps(last, channels), empty_state(last, channels)

    def _forward(self, *arguments: Any) -> tuple[Tensor, Tensor]:
        *inputs, initial, reverse = arguments
        output, final = results = self._results(*arguments)
        dense, initial = [with_dense_channels(x) for x in inputs], contiguous(initial)
        self.kernels[output.dtype](
            shape(output, reverse), sequences(*dense, output), pointer(initial), final.data_ptr()
        )
        return results

    def _gradients(self, *arguments: Any) -> tuple[Tensor, ...]:
        inputs, output = arguments[: self.count], arguments[self.count]
        return *(empty_steps(x, x.shape[-1]) for x in inputs), empty_state(output, output.shape[-1])

    def _backward(self, *arguments: Any) -> tuple[Tensor, ...]:
        *tensors, initial, grad_final, reverse = arguments  # the inputs, the output and its gradient
        *gradients, of_initial = results = self._gradients(*arguments)
        dense = [with_dense_channels(x) for x in tensors]
        initial, grad_final = contiguous(initial), contiguous(grad_final)
        self.backward_kernels[of_initial.dtype](
            shape(tensors[-1], reverse),
            sequences(*dense, *gradients),
            pointer(initial),
            pointer(grad_final),
            of_initial.data_ptr(),
        )
        return results

    def _differentiate(
        self, ctx: Any, grad_output: Tensor | None, grad_final: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        *inputs, output, initial = ctx.saved_tensors
        grad_output = torch.zeros_like(output) if grad_output is None else with_dense_channels(grad_output)
        *gradients, of_initial = self.backward(
            *inputs, output, grad_output, initial, contiguous(grad_final), ctx.reverse
        )
        return *gradients, None if initial is None else of_initial, None


def _keep(ctx: Any, inputs: tuple, output: tuple[Tensor, Tensor]) -> None:
    *tensors, initial, ctx.reverse = inputs
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*tensors, output[0], initial)
