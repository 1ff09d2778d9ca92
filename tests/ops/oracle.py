"""Plain pieces of the oracles, written from the papers and sharing nothing with the package."""

import torch
from torch import Tensor


def random(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64)


def one_in_three_dropped(*shape: int) -> Tensor:
    """A dropout mask that leaves no vector all zero, where layer normalisation amplifies rounding 300-fold."""
    count = torch.Size(shape).numel()
    return (torch.arange(count).view(shape) % 3 > 0).double() * 1.5


def normalised(vector: Tensor, gain: Tensor | None) -> Tensor:
    """Layer normalisation (Ba et al. 2016) without the offset; the vector itself without a gain."""
    if gain is None:
        return vector
    mean = vector.sum(-1, keepdim=True) / vector.shape[-1]
    variance = ((vector - mean) ** 2).sum(-1, keepdim=True) / vector.shape[-1]
    return gain * (vector - mean) / (variance + 1e-5).sqrt()


def times(steps: int, reverse: bool) -> list[int]:
    return list(range(steps - 1, -1, -1)) if reverse else list(range(steps))


def by_time(states: dict[int, Tensor]) -> Tensor:
    """{t: (*batch, H)} -> (*batch, T, H)."""
    return torch.stack([states[t] for t in sorted(states)], dim=-2)
