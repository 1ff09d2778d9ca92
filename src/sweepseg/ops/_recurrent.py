"""The compiled recurrences with weights as torch operations; `gru_scan`, `lstm_scan` and `elman_scan` share them."""

from collections.abc import Sequence
from ctypes import c_void_p
from struct import Struct
from typing import Any

import torch
from torch import Tensor

from . import _native
from ._memory import (
    contiguous,
    empty_steps,
    laid_out_like,
    needs_gradient,
    pointers,
    strides,
    with_dense_channels,
)
from ._operation import define, make_differentiable
from ._sequences import widen

_SHAPE, _NONE = Struct("18q"), (0,) * 6
_INPUTS = (
    "Tensor x, Tensor weight_ih, Tensor weight_hh, Tensor? bias_ih, Tensor? bias_hh, "
    "Tensor? h0, Tensor? c0, Tensor? mask"
)


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
        self.kernels = _native.functions(name, *(c_void_p,) * 2)
        self.backward_kernels = _native.functions(f"{name}_backward", *(c_void_p,) * 3)
        results = ", ".join(["Tensor"] * (1 + states))
        self.forward = define(
            name, f"({_INPUTS}, bool reverse) -> ({results}, Tensor)", self._forward, self._results_and_saved
        )
        self.inference = define(
            f"{name}_inference", f"({_INPUTS}, bool reverse) -> ({results})", self._inference, self._results
        )
        self.backward = define(
            f"{name}_backward",
            f"(Tensor? grad_y, Tensor? grad_h, Tensor? grad_c, {_INPUTS}, Tensor y, Tensor saved, bool reverse) "
            "-> Tensor[]",
            self._backward,
            self._gradients,
        )
        make_differentiable(name, self._differentiate, _keep)

    def __call__(self, x: Tensor, *others: Any, reverse: bool) -> tuple[Tensor, ...]:
        """Run over a sequence.

        Args:
            x: (*batch, T, C).
            others: Weights, biases, h0, c0 and mask as in torch.nn and `lstm_scan`; None where there is none.
            reverse: Run from the last step to the first.

        Returns:
            The states h (*batch, T, H) in dtype and memory order of ``x``, and the last states (*batch, H).

        In bfloat16 without gradients the products see ``x``, the weights and the state rounded to bfloat16; sums and
        states themselves are float32.
        """
        dense = self.ready(x, *others)  # one copy for both passes
        if needs_gradient(dense):
            y, *states, _ = self.forward(*dense, reverse)
        else:
            y, *states = self.inference(*dense, reverse)
        return y if dense[0] is x else laid_out_like(y, x), *states

    def ready(self, *inputs: Any) -> list[Any]:
        """The inputs with the dtypes and strides that the kernels take."""
        if self._reads(inputs):
            read = [*inputs[:3], *(None if tensor is None else tensor.float() for tensor in inputs[3:])]
        elif {tensor.dtype for tensor in inputs if tensor is not None} in ({torch.float32}, {torch.float64}):
            read = [*inputs]
        else:
            read = widen(*inputs)
        return [with_dense_channels(read[0]), *map(contiguous, read[1:])]

    def _reads(self, inputs: Sequence[Any]) -> bool:
        """Whether the operations take x and weights as bfloat16: without gradients, where there is a kernel."""
        return (
            torch.bfloat16 in self.kernels
            and all(tensor.dtype == torch.bfloat16 and tensor.is_cpu for tensor in inputs[:3])
            and not needs_gradient(inputs)
        )

    def _results(self, x: Tensor, weight_ih: Tensor, weight_hh: Tensor, *_: Any) -> tuple[Tensor, ...]:
        return empty_steps(x, weight_hh.shape[-1]), *self.empty_states(x, weight_hh)

    def empty_states(self, x: Tensor, weight_hh: Tensor) -> list[Tensor]:
        """Memory for the last states."""
        wide = torch.promote_types(x.dtype, torch.float32)
        return [x.new_empty((*x.shape[:-2], weight_hh.shape[-1]), dtype=wide) for _ in range(self.states)]

    def empty_saved(self, x: Tensor, weight_hh: Tensor) -> Tensor:
        """Memory for what the backward pass needs beyond input and output."""
        return x.new_empty((x.shape[-2], *x.shape[:-2], self.saved, weight_hh.shape[-1]))

    def _results_and_saved(self, x: Tensor, weight_ih: Tensor, weight_hh: Tensor, *_: Any) -> tuple[Tensor, ...]:
        return *self._results(x, weight_ih, weight_hh), self.empty_saved(x, weight_hh)

    def run(self, results: Sequence[Tensor], saved: Tensor | None, *inputs: Any) -> None:
        """Run the forward kernel into memory of any strides with dense channels."""
        *tensors, reverse = inputs
        x, y, absent = with_dense_channels(tensors[0]), results[0], [None] * (2 - self.states)
        others = list(map(contiguous, tensors[1:]))
        self.kernels[x.dtype](self._shape(x, tensors[2], y, reverse), pointers(x, *others, *results, *absent, saved))

    def _shape(self, x: Tensor, weight_hh: Tensor, y: Tensor, reverse: bool, *of_gradients: int) -> bytes:
        """RecurrentShape of native/recurrent.h; the strides of the gradients of x and y matter backwards only."""
        sizes = (*(1,) * (4 - x.ndim), *x.shape, y.shape[-1], reverse)
        return _SHAPE.pack(*sizes, *strides(x), *strides(y), *(of_gradients or _NONE))

    def _inference(self, *inputs: Any) -> tuple[Tensor, ...]:
        results = self._results(*inputs)
        self.run(results, None, *inputs)
        return results

    def _forward(self, *inputs: Any) -> tuple[Tensor, ...]:
        *results, saved = outputs = self._results_and_saved(*inputs)
        self.run(results, saved, *inputs)
        return outputs

    def _differentiate(self, ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        *inputs, y, saved = ctx.saved_tensors
        absent = [None] * (2 - self.states)
        gradients = iter(self.backward(*grads[:-1], *absent, *inputs, y, saved, ctx.reverse))
        return *(None if tensor is None else next(gradients) for tensor in inputs), None

    def _gradients(self, grad_y: Any, grad_h: Any, grad_c: Any, x: Tensor, *others: Any) -> list[Tensor]:
        inputs = others[:-3]
        return [empty_steps(x, x.shape[-1]), *(x.new_empty(tensor.shape) for tensor in inputs if tensor is not None)]

    def _backward(self, *inputs: Any) -> list[Tensor]:
        gradients = self._gradients(*inputs)
        self.run_backward(gradients, *inputs)
        return gradients

    def run_backward(
        self,
        gradients: Sequence[Tensor],
        grad_y: Tensor | None,
        grad_h: Tensor | None,
        grad_c: Tensor | None,
        *others: Any,
        add: bool = False,
    ) -> None:
        """Run the backward kernel into memory of any strides with dense channels, or ``add`` to the gradient of x."""
        x, *tensors, y, saved, reverse = others
        x, y, saved = with_dense_channels(x), with_dense_channels(y), saved.contiguous()
        inputs = [x, *map(contiguous, tensors)]
        grad_y = None if grad_y is None else with_dense_channels(grad_y)
        states = [contiguous(grad_h), contiguous(grad_c)]
        of_present = iter(gradients)
        of_inputs = [None if tensor is None else next(of_present) for tensor in inputs]
        self.backward_kernels[y.dtype](
            self._shape(x, tensors[1], y, reverse, *strides(gradients[0]), *strides(y if grad_y is None else grad_y)),
            pointers(*inputs, y, None, None, saved),
            pointers(grad_y, *states, *of_inputs, gradients[0] if add else None),
        )

    def forward_into(
        self, y: Tensor, x: Tensor, tensors: Sequence[Any], reverse: bool, *, saving: bool
    ) -> tuple[list[Tensor], Tensor | None]:
        """Write the states of all steps to ``y``; return the last states and what the backward pass needs."""
        states = self.empty_states(x, tensors[1])
        saved = self.empty_saved(x, tensors[1]) if saving else None
        self.run((y, *states), saved, x, *tensors, reverse)
        return states, saved

    def backward_into(
        self,
        grad_x: Tensor,
        grads: Sequence[Tensor | None],
        x: Tensor,
        tensors: Sequence[Any],
        y: Tensor,
        saved: Tensor,
        reverse: bool,
        *,
        add: bool,
    ) -> list[Tensor | None]:
        """Write, or add, the gradient of ``x`` from those of ``y`` and the last states; return those of the others."""
        gradients = [None if tensor is None else torch.empty_like(tensor) for tensor in tensors]
        present = [gradient for gradient in gradients if gradient is not None]
        absent = [None] * (2 - self.states)
        self.run_backward([grad_x, *present], *grads, *absent, x, *tensors, y, saved, reverse, add=add)
        return gradients


def _keep(ctx: Any, inputs: tuple, output: tuple[Tensor, ...]) -> None:
    *tensors, ctx.reverse = inputs
    y, *_, saved = output
    ctx.mark_non_differentiable(saved)
    ctx.set_materialize_grads(False)  # no zeros as large as `saved`
    ctx.save_for_backward(*tensors, y, saved)
