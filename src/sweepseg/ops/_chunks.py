"""Recurrences in chunks of steps: inside a chunk matrix products, from chunk to chunk the state."""

from collections.abc import Iterator

import torch
from torch import Tensor


def chunks(sequences: list[Tensor], heads: int, length: int, reverse: bool) -> Iterator[list[Tensor]]:
    """Cut sequences (*batch, T, heads * D) into chunks (*batch, heads, length, D), in the order in which they run.

    The last chunk may be shorter. The steps inside a chunk run forwards.
    """
    ordered = (sequence.flip(-2) if reverse else sequence for sequence in sequences)
    cut = [each.unflatten(-1, (heads, -1)).transpose(-3, -2).split(length, dim=-2) for each in ordered]
    return map(list, zip(*cut, strict=True))


def joined(outputs: list[Tensor], reverse: bool) -> Tensor:
    """The inverse of `chunks`: outputs (*batch, heads, length, D) -> (*batch, T, heads * D)."""
    whole = torch.cat(outputs, dim=-2).transpose(-3, -2).flatten(-2)
    return whole.flip(-2) if reverse else whole


def segment_sums(x: Tensor) -> Tensor:
    """Sums of x over the steps s + 1 to t, at [t, s] of the result; -inf where t < s.

    As running sums from each s on: the difference of two sums from the start would lose the small terms of a segment
    behind a large term before it.

    Args:
        x: (..., T, D).

    Returns:
        (..., T, T, D).

    >>> segment_sums(torch.tensor([[1.0], [2.0], [4.0]])).squeeze(-1).tolist()
    [[0.0, -inf, -inf], [2.0, 0.0, -inf], [6.0, 4.0, 0.0]]
    """
    later = torch.ones(x.shape[-2], x.shape[-2], dtype=torch.bool, device=x.device).tril(-1)  # t > s
    sums = x.unsqueeze(-2).masked_fill(~later.unsqueeze(-1), 0).cumsum(-3)
    return sums.masked_fill(later.T.unsqueeze(-1), -torch.inf)
