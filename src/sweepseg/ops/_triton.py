"""Triton kernels as the CUDA side of the torch operations whose CPU side is compiled.

Shapes, memory and derivatives of an operation are those of its `Channelwise` or `Recurrence`; here stand the launches.
With TRITON_INTERPRET=1 Triton runs the kernels in Python on the CPU, and they take the place of the compiled ones.
"""

import math
import os
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ._channelwise import Channelwise
from ._dispatch import Backend
from ._memory import contiguous, empty_state, empty_steps, strides, with_dense_channels
from ._operation import replace_kernel
from ._recurrent import Recurrence
from ._sequences import input_product, memory_order, no_autocast

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICES = ("cuda", "cpu") if INTERPRETED else ("cuda",)

RESIDENT = 100_000  # bytes of weights that stay on the chip; as much again passes through beside them

_library = torch.library.Library("sweepseg", "FRAGMENT")


def backend(scan: Callable[..., Any], *, lacks: tuple[str, ...] = ()) -> Backend:
    """The entry of an operation's ``BACKENDS``. A torch without CUDA meets no tensors that would need triton."""
    wanted = INTERPRETED or torch.version.cuda is not None
    problem = "triton is not installed; pip install triton" if wanted and find_spec("triton") is None else None
    return Backend(scan, DEVICES, problem, lacks)


def implement(name: str, function: Callable[..., Any]) -> None:
    """Run ``torch.ops.sweepseg.<name>`` on GPUs as this function."""
    _library.impl(name, function, "CUDA")
    if INTERPRETED:
        replace_kernel(name, function)


def define(name: str, schema: str, kernel: Callable[..., Any], fake: Callable[..., Any]) -> Any:
    """The operation ``torch.ops.sweepseg.<name>`` of GPUs alone; see `_operation.define`, also for its kernel."""
    _library.define(name + schema)
    implement(name, kernel)
    torch.library.register_fake(f"sweepseg::{name}", fake, lib=_library)
    return getattr(torch.ops.sweepseg, name).default


def cell_function(package: str, name: str) -> Any:
    """A function of the kernels of an operation's package, which import triton."""
    return getattr(import_module(f"{package}._triton_kernels"), name)


def readable(x: Tensor) -> tuple[Tensor, tuple[int, ...]]:
    """A sequence (*batch, T, channels) as the kernels read it, and its strides."""
    x = with_dense_channels(x)
    return x, strides(x)


def power_of_2(size: int) -> int:
    """The least power of 2 that is not less than size, at least 1; Triton's tiles have such sizes."""
    return 1 << max(0, size - 1).bit_length()


class ChannelwiseLaunches:
    """Launches of the kernels of linear_scan, forward and backward, for one operation.

    Args:
        scan: The operation.
        package: Of the operation; its `_triton_kernels` has the cell's functions ``step`` and ``slopes``.
    """

    block = 1024 if INTERPRETED else 128  # chains of a program; the interpreter's time goes by programs
    ahead = 2 if INTERPRETED else 8  # steps

    def __init__(self, scan: Channelwise, package: str):
        self.scan, self.package = scan, package
        name = scan.forward.name
        implement(name, self.forward)
        implement(f"{name}_backward", self.backward)

    def forward(self, *arguments: Any) -> tuple[Tensor, ...]:
        """Of ``torch.ops.sweepseg.<name>``."""
        from .linear_scan import _triton_kernels

        *inputs, initial, reverse = arguments
        output, final = results = self.scan._results(*arguments)
        self._launch(
            _triton_kernels.scan,
            cell_function(self.package, "step"),
            *self._parts(list(map(with_dense_channels, inputs))),
            output,
            strides(output),
            contiguous(initial),
            final,
            like=output,
            reverse=reverse,
        )
        return results

    def backward(self, *arguments: Any) -> tuple[Tensor, ...]:
        """Of ``torch.ops.sweepseg.<name>_backward``."""
        from .linear_scan import _triton_kernels

        *tensors, initial, grad_final, reverse = arguments
        *gradients, of_initial = results = self.scan._gradients(*arguments)
        *inputs, output, grad_output = map(with_dense_channels, tensors)
        self._launch(
            _triton_kernels.scan_backward,
            cell_function(self.package, "slopes"),
            *self._parts(inputs),
            output,
            strides(output),
            grad_output,
            strides(grad_output),
            contiguous(initial),
            contiguous(grad_final),
            *self._parts(gradients),
            of_initial,
            like=output,
            reverse=reverse,
        )
        return results

    def _parts(self, tensors: list[Tensor]) -> tuple[tuple[Tensor, ...], tuple[tuple[int, ...], ...]]:
        """The inputs that lie side by side in the channels of tensors, and their strides."""
        parts = tuple(part for tensor in tensors for part in tensor.chunk(self.scan.parts, dim=-1))
        return parts, tuple(map(strides, parts))

    def _launch(self, kernel: Any, *arguments: Any, like: Tensor, reverse: bool) -> None:
        *_, steps, channels = like.shape
        chains = like.numel() // steps
        if chains == 0:
            return
        width = like.shape[-3]
        grid = (-(-chains // self.block),)
        with torch.cuda.device_of(like):
            kernel[grid](
                *arguments, chains, width, channels, steps, reverse, self.ahead, self.block, num_warps=self.block // 32
            )


class RecurrenceLaunches:
    """Launches of the kernels of elman_scan, forward and backward, for one operation.

    Args:
        recurrence: The operation.
        package: Of the operation; its `_triton_kernels` has the cell's functions.
        gates: Number of products of hidden_size rows stacked in the weights.
        variant: What follows ``step`` and ``slopes`` in the names of these functions, such as "_tanh".
        resets: Whether a reset gate acts "before" or "after" the last gate's product with the state; "" without one.
    """

    rows = 512 if INTERPRETED else 16  # of a program; 16 are the fewest of a matrix product

    def __init__(self, recurrence: Recurrence, package: str, gates: int, variant: str = "", resets: str = ""):
        self.recurrence, self.package, self.gates, self.variant, self.resets = (
            recurrence,
            package,
            gates,
            variant,
            resets,
        )
        name = recurrence.forward.name
        implement(name, self.forward)
        implement(f"{name}_inference", self.inference)
        implement(f"{name}_backward", self.backward)

    def forward(self, *inputs: Any) -> tuple[Tensor, ...]:
        """Of ``torch.ops.sweepseg.<name>``."""
        *results, saved = outputs = self.recurrence._results_and_saved(*inputs)
        self._run(results, saved, *inputs)
        return outputs

    def inference(self, *inputs: Any) -> tuple[Tensor, ...]:
        """Of ``torch.ops.sweepseg.<name>_inference``."""
        results = self.recurrence._results(*inputs)
        self._run(results, None, *inputs)
        return results

    def _run(
        self,
        results: Sequence[Tensor],
        saved: Tensor | None,
        x: Tensor,
        weight_ih: Tensor,
        weight_hh: Tensor,
        bias_ih: Tensor | None,
        bias_hh: Tensor | None,
        h0: Tensor | None,
        c0: Tensor | None,
        mask: Tensor | None,
        reverse: bool,
    ) -> None:
        from .elman_scan import _triton_kernels

        y, h_last = results[:2]
        c_last = results[2] if self.recurrence.states == 2 else None
        with no_autocast(x.device):
            projected = input_product(x, weight_ih, bias_ih)
        self._launch(
            _triton_kernels.scan,
            cell_function(self.package, f"step{self.variant}"),
            self.gates,
            projected,
            strides(projected),
            self._padded(weight_hh).mT.contiguous(),
            contiguous(bias_hh),
            contiguous(mask),
            contiguous(h0),
            contiguous(c0),
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
        from .elman_scan import _triton_kernels

        x, weight_ih, weight_hh, _, _, *states, y, saved, reverse = others
        h0, c0, mask = map(contiguous, states)
        y, grad_y = with_dense_channels(y), None if grad_y is None else with_dense_channels(grad_y)
        of_products = of_state_products = empty_steps(x, weight_hh.shape[0])
        if self.resets == "after":
            of_state_products = torch.empty_like(of_products)
        of_h0 = empty_state(y, y.shape[-1])
        of_c0 = torch.empty_like(of_h0) if self.recurrence.states == 2 else None
        of_mask = None if mask is None else torch.empty_like(of_h0)
        self._launch(
            _triton_kernels.scan_backward,
            cell_function(self.package, f"slopes{self.variant}"),
            self.gates,
            self.recurrence.saved,
            self._padded(weight_hh),
            mask,
            h0,
            c0,
            y,
            strides(y),
            saved.contiguous(),
            grad_y,
            None if grad_y is None else strides(grad_y),
            contiguous(grad_h),
            contiguous(grad_c),
            of_products,
            of_state_products if self.resets == "after" else None,
            strides(of_products),
            of_h0,
            of_c0,
            of_mask,
            like=y,
            reverse=reverse,
        )
        before = before_each_step(y, h0, reverse)
        seen = before if mask is None else before * mask.unsqueeze(-2)
        flat_products, flat_state_products, flat_seen = (
            flat(each, like=x) for each in (of_products, of_state_products, seen)
        )
        with no_autocast(x.device):
            of_x = unflat(flat_products @ weight_ih, like=x)
            of_weight_ih = flat_products.T @ flat(x, like=x)
            of_weight_hh = flat_state_products.T @ flat_seen
            if self.resets == "before":  # the candidate saw the state that was reset
                candidate, r = slice(2 * y.shape[-1], None), saved[..., 0, :].movedim(0, -2)
                of_weight_hh[candidate] = flat_products[:, candidate].T @ flat(r * seen, like=x)
        of_biases = flat_products.sum(0), flat_state_products.sum(0)
        gradients = (of_x, of_weight_ih, of_weight_hh, *of_biases, of_h0, of_c0, of_mask)
        return [
            gradient
            for gradient, tensor in zip(gradients, others[: len(gradients)], strict=True)
            if tensor is not None and gradient is not None
        ]

    def _padded(self, weight: Tensor) -> Tensor:
        """(gates * H, H) -> (gates, units, units)."""
        missing = units_of(weight.shape[-1]) - weight.shape[-1]
        return F.pad(weight.unflatten(0, (self.gates, -1)), (0, missing, 0, missing)).contiguous()

    def _resident(self, units: int, like: Tensor) -> bool:
        """Whether the weights stay on the chip."""
        return self.gates * units * units * like.itemsize <= RESIDENT

    def _launch(self, kernel: Any, *arguments: Any, like: Tensor, reverse: bool) -> None:
        *batch, steps, size = like.shape
        total, units = math.prod(batch), units_of(size)
        if total == 0:
            return
        with torch.cuda.device_of(like):
            kernel[(-(-total // self.rows),)](
                *arguments,
                total,
                batch[-1],
                steps,
                size,
                reverse,
                self.rows,
                units,
                self._resident(units, like),
                num_warps=8,
                num_stages=1,  # no room for the weights of steps to come
            )


def units_of(size: int) -> int:
    """Number of units that a program works on for a hidden_size: a power of 2, as Triton wants it."""
    return max(16, power_of_2(size))


def before_each_step(y: Tensor, h0: Tensor | None, reverse: bool) -> Tensor:
    """h[t-1] (*batch, T, H) of the states h[t] and the initial one."""
    first = torch.zeros_like(y[..., :1, :]) if h0 is None else h0.unsqueeze(-2)
    return torch.cat((y[..., 1:, :], first) if reverse else (first, y[..., :-1, :]), dim=-2)


def flat(sequence: Tensor, like: Tensor) -> Tensor:
    """(*batch, T, C) -> (all steps, C), in the memory order of the sequence ``like``."""
    order = [dim for dim in memory_order(like) if dim != like.ndim - 1]
    return sequence.permute(*order, -1).reshape(-1, sequence.shape[-1])


def unflat(rows: Tensor, like: Tensor) -> Tensor:
    """The inverse of `flat`."""
    order = [dim for dim in memory_order(like) if dim != like.ndim - 1]
    dense = rows.view(*(like.shape[dim] for dim in order), rows.shape[-1])
    return dense.permute(*(order.index(dim) for dim in range(like.ndim - 1)), -1)
