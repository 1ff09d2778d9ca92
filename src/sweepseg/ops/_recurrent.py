"""The compiled recurrences with weights as torch operations; `gru_scan`, `lstm_scan` and `elman_scan` share them."""

from collections.abc import Sequence
from ctypes import Array, c_int64, c_void_p
from typing import Any

import torch
from torch import Tensor

from . import _native
from ._memory import laid_out_like
from ._sequences import memory_order, widen

_INPUTS = (
    "Tensor x, Tensor weight_ih, Tensor weight_hh, Tensor? bias_ih, Tensor? bias_hh, "
    "Tensor? h0, Tensor? c0, Tensor? mask"
)
_DTYPES = {torch.float32: "float", torch.float64: "double"}
_Numbers = c_int64 * 18
_library = torch.library.Library("sweepseg", "FRAGMENT")


class Recurrence:
    """A cell of the compiled library as two operations.

    ``torch.ops.sweepseg.<name>`` can be differentiated, for which it returns one tensor more; ``<name>_inference``
    cannot and costs half as much to call.

    Args:
        name: Of the operation and of the compiled functions.
        states: Number of states, 1 (h) or 2 (h, c).
        saved: Numbers per unit and step that the backward pass needs beyond input and output.
    """

    def __init__(self, name: str, *, states: int = 1, saved: int = 0):
        self.states, self.saved = states, saved
        self.kernels, self.backward_kernels = (
            {dtype: _native.function(f"sweepseg_{way}_{suffix}", *arguments) for dtype, suffix in _DTYPES.items()}
            for way, arguments in ((name, (c_void_p,) * 2), (f"{name}_backward", (c_void_p,) * 3))
        )
        results = ", ".join(["Tensor"] * (1 + states))
        self.forward = _define(
            name, f"({_INPUTS}, bool reverse) -> ({results}, Tensor)", self._forward, self._results_and_saved
        )
        self.inference = _define(
            f"{name}_inference", f"({_INPUTS}, bool reverse) -> ({results})", self._inference, self._results
        )
        self.backward = _define(
            f"{name}_backward",
            f"(Tensor? grad_y, Tensor? grad_h, Tensor? grad_c, {_INPUTS}, Tensor y, Tensor saved, bool reverse) "
            "-> Tensor[]",
            self._backward,
            self._gradients,
        )
        torch.library.register_autograd(f"sweepseg::{name}", self._differentiate, setup_context=_keep, lib=_library)
        torch.library.register_autograd(f"sweepseg::{name}_backward", _native.no_second_derivative, lib=_library)

    def __call__(self, x: Tensor, *others: Any, reverse: bool) -> tuple[Tensor, ...]:
        """Run over a sequence.

        Args:
            x: (*batch, T, C).
            others: Weights, biases, h0, c0 and mask as in torch.nn and `lstm_scan`; None where there is none.
            reverse: Run from the last step to the first.

        Returns:
            The states h (*batch, T, H) in dtype and memory order of ``x``, and the last states (*batch, H).
        """
        inputs = [x, *others]
        if {tensor.dtype for tensor in inputs if tensor is not None} not in ({torch.float32}, {torch.float64}):
            inputs = widen(*inputs)
        wide_x = inputs[0] if inputs[0].stride(-1) == 1 else inputs[0].contiguous()
        inputs = [wide_x, *(None if tensor is None else tensor.contiguous() for tensor in inputs[1:])]
        if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in inputs if tensor is not None):
            y, *states, _ = self.forward(*inputs, reverse)
        else:
            y, *states = self.inference(*inputs, reverse)
        return y if wide_x is x else laid_out_like(y, x), *states

    def _results(self, x: Tensor, weight_ih: Tensor, weight_hh: Tensor, *_: Any) -> tuple[Tensor, ...]:
        shape, hidden = x.shape[:-2], weight_hh.shape[-1]
        return _empty_steps(x, hidden), *(x.new_empty((*shape, hidden)) for _ in range(self.states))

    def _results_and_saved(self, x: Tensor, weight_ih: Tensor, weight_hh: Tensor, *_: Any) -> tuple[Tensor, ...]:
        saved = x.new_empty((x.shape[-2], *x.shape[:-2], self.saved, weight_hh.shape[-1]))
        return *self._results(x, weight_ih, weight_hh), saved

    def _run(self, results: Sequence[Tensor], saved: Tensor | None, *inputs: Any) -> None:
        *tensors, reverse = inputs
        x, y, absent = tensors[0], results[0], [None] * (2 - self.states)
        self.kernels[x.dtype](_shape(x, y, reverse, x, y), _pointers(*tensors, *results, *absent, saved))

    def _inference(self, *inputs: Any) -> tuple[Tensor, ...]:
        results = self._results(*inputs)
        self._run(results, None, *inputs)
        return results

    def _forward(self, *inputs: Any) -> tuple[Tensor, ...]:
        *results, saved = outputs = self._results_and_saved(*inputs)
        self._run(results, saved, *inputs)
        return outputs

    def _differentiate(self, ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        *inputs, y, saved = ctx.saved_tensors
        absent = [None] * (2 - self.states)
        gradients = iter(self.backward(*grads[:-1], *absent, *inputs, y, saved, ctx.reverse))
        return *(None if tensor is None else next(gradients) for tensor in inputs), None

    def _gradients(self, grad_y: Any, grad_h: Any, grad_c: Any, x: Tensor, *others: Any) -> list[Tensor]:
        inputs = others[:-3]
        return [_empty_steps(x, x.shape[-1]), *(torch.empty_like(tensor) for tensor in inputs if tensor is not None)]

    def _backward(
        self, grad_y: Tensor | None, grad_h: Tensor | None, grad_c: Tensor | None, *others: Any
    ) -> list[Tensor]:
        *inputs, y, saved, reverse = others
        gradients = self._gradients(grad_y, grad_h, grad_c, *others)
        if grad_y is not None and grad_y.stride(-1) != 1:
            grad_y = grad_y.contiguous()
        states = [None if state is None else state.contiguous() for state in (grad_h, grad_c)]
        shape = _shape(inputs[0], y, reverse, gradients[0], y if grad_y is None else grad_y)
        of_present = iter(gradients)
        of_inputs = [None if tensor is None else next(of_present) for tensor in inputs]
        self.backward_kernels[y.dtype](
            shape, _pointers(*inputs, y, None, None, saved), _pointers(grad_y, *states, *of_inputs)
        )
        return gradients


def _define(name: str, schema: str, kernel: Any, fake: Any) -> Any:
    _library.define(name + schema)
    _library.impl(name, kernel, "CPU")
    torch.library.register_fake(f"sweepseg::{name}", fake, lib=_library)
    return getattr(torch.ops.sweepseg, name).default


def _keep(ctx: Any, inputs: tuple, output: tuple[Tensor, ...]) -> None:
    *tensors, ctx.reverse = inputs
    y, *_, saved = output
    ctx.mark_non_differentiable(saved)
    ctx.set_materialize_grads(False)  # no zeros as large as `saved`
    ctx.save_for_backward(*tensors, y, saved)


def _empty_steps(x: Tensor, channels: int) -> Tensor:
    """Memory for (*batch, T, channels) whose steps lie in memory in the order of those of ``x``."""
    if x.is_contiguous():
        return x.new_empty((*x.shape[:-1], channels))
    order = [dim for dim in memory_order(x) if dim != x.ndim - 1]
    dense = x.new_empty([x.shape[dim] for dim in order] + [channels])
    return dense.permute([order.index(dim) for dim in range(x.ndim - 1)] + [x.ndim - 1])


def _shape(x: Tensor, y: Tensor, reverse: bool, grad_x: Tensor, grad_y: Tensor) -> Array:
    """RecurrentShape of native/recurrent.h."""
    tensors = (x, y, grad_x, grad_y)
    if x.ndim == 4:
        strides = [stride for tensor in tensors for stride in tensor.stride()[:3]]
        return _Numbers(*x.shape, y.shape[-1], reverse, *strides)
    strides = [stride for tensor in tensors for stride in (0, *tensor.stride()[:2])]
    return _Numbers(1, *x.shape, y.shape[-1], reverse, *strides)


def _pointers(*tensors: Tensor | None) -> Array:
    return (c_void_p * len(tensors))(*[None if tensor is None else tensor.data_ptr() for tensor in tensors])
