"""What the recurrences share: argument checks, the wide dtype, the input product, steps in and out of a sequence."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

GAINS = ("gain_ih", "gain_hh")
WIDE = "a hidden_size above 128"  # whose weights have no room on a GPU's chip


def check_sequence(op: str, x: Tensor) -> None:
    """Raise ValueError unless ``x`` is (*batch, T, C) with one or two batch dimensions and at least one step."""
    shape = x.shape
    if len(shape) not in (3, 4):
        raise ValueError(
            f"{op} got a sequence of shape {tuple(shape)}; give (B, T, C) or, with two batch dimensions, (B, W, T, C)"
        )
    if shape[-2] == 0:
        raise ValueError(f"{op} got a sequence of 0 steps, shape {tuple(shape)}; give at least one step")


def check_shape(op: str, name: str, tensor: Tensor | None, shape: tuple[int, ...]) -> None:
    """Raise ValueError unless ``tensor`` is None or has this shape."""
    if tensor is not None and tensor.shape != shape:
        raise ValueError(f"{op}: {name} has shape {tuple(tensor.shape)}; give {tuple(shape)}")


def check_gates(op: str, gates: Tensor, parts: int) -> int:
    """H of a sequence of gates (*batch, T, parts * H); ValueError if it is none."""
    check_sequence(op, gates)
    if gates.shape[-1] % parts:
        raise ValueError(f"{op}: gates have shape {tuple(gates.shape)}; give {parts} * hidden_size channels")
    return gates.shape[-1] // parts


def check_recurrence(
    op: str,
    gates: int,
    x: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    *,
    vectors: Mapping[str, Tensor | None],
    states: Mapping[str, Tensor | None],
) -> None:
    """Raise ValueError unless the arguments of a recurrence with weights fit each other.

    Args:
        op: Name of the operation, for the message.
        gates: Number of products of hidden_size rows stacked in the weights.
        x: (*batch, T, C).
        weight_ih: (gates * H, C).
        weight_hh: (gates * H, H).
        vectors: Biases and gains, each (gates * H,) or None.
        states: Initial states and masks, each (*batch, H) or None.
    """
    check_sequence(op, x)
    hidden = weight_hh.shape[-1]
    check_shape(op, "weight_hh", weight_hh, (gates * hidden, hidden))
    check_shape(op, "weight_ih", weight_ih, (gates * hidden, x.shape[-1]))
    for name, vector in vectors.items():
        if vector is not None:
            check_shape(op, name, vector, (gates * hidden,))
    for name, state in states.items():
        if state is not None:
            check_shape(op, name, state, (*x.shape[:-2], hidden))


def options_in_use(weight_hh: Tensor, gain_ih: Tensor | None, gain_hh: Tensor | None) -> list[str]:
    """Which options of a recurrence with weights are in use, of those that some backend lacks: `GAINS` and `WIDE`."""
    gains = [name for name, gain in zip(GAINS, (gain_ih, gain_hh), strict=True) if gain is not None]
    return [*gains, WIDE] if weight_hh.shape[-1] > 128 else gains


def widen(x: Tensor, *others: Tensor | None) -> list[Any]:
    """All tensors in the dtype of the state: float64 if ``x`` is float64, else float32. None stays None."""
    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    return [tensor if tensor is None or tensor.dtype is dtype else tensor.to(dtype) for tensor in (x, *others)]


def no_autocast(device: torch.device) -> AbstractContextManager:
    """Keep autocast from narrowing products inside a recurrence, where rounding adds up over the steps."""
    if torch.is_autocast_enabled(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


def product(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, gain: Tensor | None = None, norms: Sequence[int] = ()
) -> Tensor:
    """``weight @ x + bias`` over the last dimension of ``x``, or with a gain ``LayerNorm(weight @ x) * gain + bias``.

    ``norms`` are the sizes of the consecutive parts of ``weight @ x`` that are normalised each on its own.

    Source: Ba et al. 2016, "Layer Normalization", arXiv:1607.06450, supplement on recurrent networks.
    """
    if gain is None:
        return F.linear(x, weight, bias)
    parts = [F.layer_norm(part, part.shape[-1:]) for part in F.linear(x, weight).split(norms, dim=-1)]
    scaled = torch.cat(parts, dim=-1) * gain
    return scaled if bias is None else scaled + bias


def memory_order(x: Tensor) -> list[int]:
    """The dimensions of ``x`` from the outermost to the innermost in memory; broadcast ones count as outermost.

    >>> memory_order(torch.empty(2, 3, 4, 5).permute(0, 2, 3, 1))
    [0, 3, 1, 2]
    """
    strides = x.stride()
    return sorted(range(x.ndim), key=lambda dim: (strides[dim] != 0, -strides[dim]))


def input_product(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, gain: Tensor | None = None, norms: Sequence[int] = ()
) -> Tensor:
    """`product` for all steps of ``x`` (*batch, T, C) at once, (*batch, T, gates * H) in the memory order of ``x``.

    It is one matrix product, which flattens the leading dimensions: in the order in which they lie in memory, without
    a copy.
    """
    order = [dim for dim in memory_order(x) if dim != x.ndim - 1] + [x.ndim - 1]
    projected = product(x.permute(order), weight, bias, gain, norms)
    return projected.permute([order.index(dim) for dim in range(x.ndim)])


def steps(x: Tensor, reverse: bool) -> tuple[Tensor, ...]:
    """The steps (*batch, C) of (*batch, T, C) in the order in which they run."""
    unbound = x.unbind(-2)
    return unbound[::-1] if reverse else unbound


def stack_steps(outputs: list[Tensor], like: Tensor, reverse: bool) -> Tensor:
    """Steps (*batch, H) in the order in which they ran -> (*batch, T, H) in memory order and dtype of ``like``."""
    order = memory_order(like)
    time = like.ndim - 2
    place = order.index(time)
    within_step = [dim if dim < time else dim - 1 for dim in order if dim != time]
    laid_out = [output.permute(within_step) for output in (reversed(outputs) if reverse else outputs)]
    return torch.stack(laid_out, place).to(like.dtype).permute([order.index(dim) for dim in range(like.ndim)])
