"""The compiled recurrences that run every channel on its own, native/scan.h, as torch operations."""

from collections.abc import Sequence
from ctypes import Array, c_int64, c_void_p
from typing import Any

import torch
from torch import Tensor

from . import _native
from ._memory import laid_out_like
from ._sequences import widen

_library = torch.library.Library("sweepseg", "FRAGMENT")


class Channelwise:
    """A recurrence h[t] = f(inputs[t], h[t-1]) of the compiled library as the operation ``torch.ops.sweepseg.<name>``.

    Args:
        name: Of the operation and of the compiled functions.
        inputs: Names of its input tensors, each (*batch, T, parts * C).
        parts: How many inputs of the recurrence lie side by side in the channels of each tensor.
    """

    def __init__(self, name: str, inputs: Sequence[str], *, parts: int = 1):
        self.parts, self.count = parts, len(inputs)
        dtypes = {torch.float32: "float", torch.float64: "double"}
        self.kernel, self.backward_kernel = (
            {dtype: _native.function(f"sweepseg_{way}_{suffix}", *(c_void_p,) * 4) for dtype, suffix in dtypes.items()}
            for way in (name, f"{name}_backward")
        )
        tensors = ", ".join(f"Tensor {tensor}" for tensor in inputs)
        grads = ", ".join(["Tensor"] * len(inputs))
        _library.define(f"{name}({tensors}, Tensor? initial, bool reverse) -> (Tensor, Tensor)")
        _library.define(
            f"{name}_backward({tensors}, Tensor output, Tensor grad_output, Tensor? initial, Tensor? grad_final, "
            f"bool reverse) -> ({grads}, Tensor)"
        )
        operation = f"sweepseg::{name}"
        _library.impl(name, self._forward, "CPU")
        _library.impl(f"{name}_backward", self._backward, "CPU")
        torch.library.register_fake(operation, self._results, lib=_library)
        torch.library.register_fake(f"{operation}_backward", self._gradients, lib=_library)
        torch.library.register_autograd(operation, self._differentiate, setup_context=_keep, lib=_library)
        torch.library.register_autograd(f"{operation}_backward", _native.no_second_derivative, lib=_library)
        self.forward = getattr(torch.ops.sweepseg, name).default
        self.backward = getattr(torch.ops.sweepseg, f"{name}_backward").default

    def __call__(self, *inputs: Tensor, initial: Tensor | None, reverse: bool) -> tuple[Tensor, Tensor]:
        """The states (*batch, T, C) in dtype and memory order of the last input, and the last state (*batch, C)."""
        last = inputs[-1]
        *wide, h = widen(*inputs, initial)
        dense = [_with_dense_channels(x) for x in wide]
        output, final = self.forward(*dense, h if h is None else h.contiguous(), reverse)
        if dense[-1] is last:
            return output, final
        return laid_out_like(output, last), final

    def _results(self, *arguments: Any) -> tuple[Tensor, Tensor]:
        last = arguments[-3]
        output = torch.empty_like(last if self.parts == 1 else last.narrow(-1, 0, last.shape[-1] // self.parts))
        return output, _empty_state(output)

    def _forward(self, *arguments: Any) -> tuple[Tensor, Tensor]:
        *inputs, initial, reverse = arguments
        output, final = results = self._results(*arguments)
        call = _call(reverse, output, *inputs)
        self.kernel[output.dtype](call, None if initial is None else initial.data_ptr(), final.data_ptr(), None)
        return results

    def _gradients(self, *arguments: Any) -> tuple[Tensor, ...]:
        return *map(torch.empty_like, arguments[: self.count]), _empty_state(arguments[self.count])

    def _backward(self, *arguments: Any) -> tuple[Tensor, ...]:
        *inputs, output, grad_output, initial, grad_final, reverse = arguments
        *gradients, of_initial = results = self._gradients(*arguments)
        call = _call(reverse, output, *inputs, grad_output, *gradients)
        states = (None if state is None else state.data_ptr() for state in (initial, grad_final, of_initial))
        self.backward_kernel[output.dtype](call, *states)
        return results

    def _differentiate(
        self, ctx: Any, grad_output: Tensor | None, grad_final: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        *inputs, output, initial = ctx.saved_tensors
        grad_output = torch.zeros_like(output) if grad_output is None else _with_dense_channels(grad_output)
        grad_final = grad_final if grad_final is None else grad_final.contiguous()
        *gradients, of_initial = self.backward(*inputs, output, grad_output, initial, grad_final, ctx.reverse)
        return *gradients, None if initial is None else of_initial, None


def _keep(ctx: Any, inputs: tuple, output: tuple[Tensor, Tensor]) -> None:
    *sequences, initial, ctx.reverse = inputs
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*sequences, output[0], initial)


def _with_dense_channels(x: Tensor) -> Tensor:
    return x if x.stride(-1) == 1 else x.contiguous()


def _empty_state(output: Tensor) -> Tensor:
    *batch, _, channels = output.shape
    return output.new_empty((*batch, channels))


def _call(reverse: bool, output: Tensor, *others: Tensor) -> Array:
    """Call of native/scan.h."""
    values = [reverse, output.ndim - 2, *output.shape]
    for tensor in (output, *others):
        values.append(tensor.data_ptr())
        values += tensor.stride()
    return (c_int64 * len(values))(*values)
