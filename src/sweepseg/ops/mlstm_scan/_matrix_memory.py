"""Operations with a matrix memory in each head on GPUs; `gla_scan` has one too.

They are torch operations of their own: on CPUs these recurrences run as torch's matrix products. The backward pass
starts from the states before each chunk of steps, which the forward pass keeps.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .._memory import contiguous, empty_steps, needs_gradient, strides
from .._operation import make_differentiable
from .._triton import cell_function, define, power_of_2, readable

VALUES = 32  # of a head, that a program works on; 16 are the fewest of a matrix product
KEYS = 64  # of a head, at most
WIDE = f"more than {KEYS} keys a head"  # whose memory has no room on the chip


class MatrixMemory:
    """The operation ``torch.ops.sweepseg.<name>`` of GPUs alone.

    Args:
        name: Of the operation.
        package: Of the operation; its `_triton_kernels` has ``scan`` and ``scan_backward``.
        sequences: Names of its sequences (*batch, T, heads * size), first q, k and v.
        states: Names of its states (*batch, heads, ...), first the memory (*batch, heads, K, V).
        length: Steps of a chunk.
    """

    def __init__(self, name: str, package: str, sequences: Sequence[str], states: Sequence[str], *, length: int):
        self.package, self.length = package, length
        self.sequences, self.states = len(sequences), len(states)
        tensors, initial, of_states, kept = (
            ", ".join(f"Tensor {prefix}{each}" for each in names)
            for prefix, names in (("", sequences), ("", states), ("grad_", states), ("kept_", states))
        )
        self.forward = define(
            name,
            f"({tensors}, {initial}, bool reverse, bool keep) -> ({_tensors(1 + 2 * len(states))})",
            self._forward,
            self._results,
        )
        self.backward = define(
            f"{name}_backward",
            f"(Tensor grad_output, {of_states}, {tensors}, {kept}, bool reverse) "
            f"-> ({_tensors(len(sequences) + len(states))})",
            self._backward,
            self._gradients,
        )
        make_differentiable(name, self._differentiate, self._keep)

    def __call__(
        self, sequences: Sequence[Tensor], states: Sequence[Tensor], reverse: bool
    ) -> tuple[Tensor, list[Tensor]]:
        """The outputs (*batch, T, heads * V) in the memory order of v, and the states after the last step."""
        output, *results = self.forward(*sequences, *states, reverse, needs_gradient([*sequences, *states]))
        return output, results[: self.states]

    def _results(self, *arguments: Any) -> tuple[Tensor, ...]:
        *tensors, _, keep = arguments
        v, states = tensors[2], tensors[self.sequences :]
        heads, chunks = v.ndim - 1, -(-v.shape[-2] // self.length) if keep else 0
        kept = (state.new_empty((*state.shape[:heads], chunks, *state.shape[heads:])) for state in states)
        return empty_steps(v, v.shape[-1]), *(state.new_empty(state.shape) for state in states), *kept

    def _forward(self, *arguments: Any) -> tuple[Tensor, ...]:
        *tensors, reverse, keep = arguments
        results = output, *states = self._results(*arguments)
        sequences, sequence_strides = zip(*map(readable, tensors[: self.sequences]), strict=True)
        self._launch(
            "scan",
            sequences,
            sequence_strides,
            tuple(map(contiguous, tensors[self.sequences :])),
            output,
            strides(output),
            tuple(states[: self.states]),
            tuple(states[self.states :]) if keep else None,
            like=output,
            memory=tensors[self.sequences],
            reverse=reverse,
        )
        return results

    def _gradients(self, *arguments: Any) -> tuple[Tensor, ...]:
        of_states, others = arguments[1 : 1 + self.states], arguments[1 + self.states :]
        of_sequences = (empty_steps(x, x.shape[-1]) for x in others[: self.sequences])
        return *of_sequences, *(state.new_empty(state.shape) for state in of_states)

    def _backward(self, *arguments: Any) -> tuple[Tensor, ...]:
        grad_output, *others, reverse = arguments
        of_states, kept = others[: self.states], others[-self.states :]
        results = self._gradients(*arguments)
        of_v, of_memory = results[2], results[self.sequences]
        blocks = -(-of_memory.shape[-1] // VALUES)
        parts = [each if each is of_v or each is of_memory else each.new_empty(blocks, *each.shape) for each in results]
        sequences, sequence_strides = zip(*map(readable, others[self.states : -self.states]), strict=True)
        self._launch(
            "scan_backward",
            sequences,
            sequence_strides,
            tuple(map(contiguous, kept)),
            *readable(grad_output),
            tuple(map(contiguous, of_states)),
            tuple(parts[: self.sequences]),
            strides(of_v),
            tuple(parts[self.sequences :]),
            math.prod(grad_output.shape[:-2]),
            like=grad_output,
            memory=of_memory,
            reverse=reverse,
        )
        for whole, part in zip(results, parts, strict=True):
            if part is not whole:
                torch.sum(part, 0, out=whole)
        return results

    def _launch(self, kernel: str, *arguments: Any, like: Tensor, memory: Tensor, reverse: bool) -> None:
        *_, heads, keys, values = memory.shape
        key_lanes, value_lanes = max(16, power_of_2(keys)), max(16, min(power_of_2(values), VALUES))
        programs = math.prod(memory.shape[:-2]) * -(-values // value_lanes)
        if programs == 0:
            return
        with torch.cuda.device_of(like):
            cell_function(self.package, kernel)[(programs,)](
                *arguments,
                like.shape[-3],
                heads,
                keys,
                values,
                like.shape[-2],
                reverse,
                self.length,
                key_lanes,
                value_lanes,
                num_warps=8 if key_lanes > 32 else 4,
                num_stages=1,
            )

    def _differentiate(self, ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        sequences, kept = ctx.saved_tensors[: self.sequences], ctx.saved_tensors[self.sequences :]
        v = sequences[2]
        results = (v, *(state.select(v.ndim - 1, 0) for state in kept))
        of_results = (
            torch.zeros_like(result) if grad is None else grad for result, grad in zip(results, grads, strict=False)
        )
        return *self.backward(*of_results, *sequences, *kept, ctx.reverse), None, None

    def _keep(self, ctx: Any, inputs: tuple, output: tuple[Tensor, ...]) -> None:
        *tensors, ctx.reverse, _ = inputs
        kept = output[1 + self.states :]
        ctx.mark_non_differentiable(*kept)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors[: self.sequences], *kept)


def _tensors(count: int) -> str:
    return ", ".join(["Tensor"] * count)
