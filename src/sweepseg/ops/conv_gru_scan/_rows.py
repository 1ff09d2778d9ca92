"""What the row-wise convolutional recurrences share: argument checks, memory order, the product of a row."""

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor

from .._sequences import check_shape


def check_rows(
    op: str,
    gates: int,
    x: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    *,
    biases: Mapping[str, Tensor | None],
    states: Mapping[str, Tensor | None],
) -> None:
    """Raise ValueError unless the arguments of a row-wise convolutional recurrence fit each other.

    Args:
        op: Name of the operation, for the message.
        gates: Number of products of H rows stacked in the weights.
        x: (*batch, C, T, W).
        weight_ih: (gates * H, C).
        weight_hh: (gates * H, H, K).
        biases: Each (gates * H,) or None.
        states: Each (*batch, H, W) or None.
    """
    shape = tuple(x.shape)
    if len(shape) not in (4, 5):
        raise ValueError(f"{op} got a map of shape {shape}; give (B, C, H, W)")
    if 0 in shape[-2:]:
        raise ValueError(f"{op} got a map of 0 steps, shape {shape}; give at least one row and one column")
    if weight_hh.ndim != 3 or weight_hh.shape[-1] % 2 == 0:
        raise ValueError(
            f"{op}: weight_hh has shape {tuple(weight_hh.shape)}; give ({gates} * hidden, hidden, K) with an odd K"
        )
    hidden, taps = weight_hh.shape[1:]
    check_shape(op, "weight_hh", weight_hh, (gates * hidden, hidden, taps))
    check_shape(op, "weight_ih", weight_ih, (gates * hidden, x.shape[-3]))
    for name, bias in biases.items():
        check_shape(op, name, bias, (gates * hidden,))
    for name, state in states.items():
        check_shape(op, name, state, (*shape[:-3], hidden, shape[-1]))


def channels_last(x: Tensor) -> Tensor:
    """Maps (*batch, C, T, W) as sequences (*batch, W, T, C) of their columns, and back."""
    return x.transpose(-3, -1)


def row_product(row: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """The convolution sum over k of ``weight[..., k] @ row[j + k - K // 2] + bias``, 0 outside of the row.

    Args:
        row: (*batch, W, H).
        weight: (rows, H, K).
        bias: (rows,).

    Returns:
        (*batch, W, rows).
    """
    taps = weight.shape[-1]
    neighbours = F.pad(row, (0, 0, taps // 2, taps // 2)).unfold(-2, taps, 1)  # (*batch, W, H, K)
    return F.linear(neighbours.flatten(-2), weight.flatten(-2), bias)
