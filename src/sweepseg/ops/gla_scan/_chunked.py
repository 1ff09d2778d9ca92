"""Gated linear attention in chunks of steps: attention inside a chunk, the state from chunk to chunk.

Time and memory grow linearly with the steps. Factors exp(sum to t) and exp(-sum to s) of the decay from step s to step
t overflow where the decay is strong. Here each pair of steps is joined at the middle of the smallest half-and-half
block that parts it: from s to the middle and from the middle to t both exponents are at most 0.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from .._chunks import chunks, joined
from .._memory import laid_out_like
from .._sequences import no_autocast, widen

LENGTH = 64  # steps of a chunk, a power of two


def scan(
    q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor, initial: Tensor | None, heads: int, reverse: bool
) -> tuple[Tensor, Tensor]:
    """Same arguments and result as the reference."""
    with no_autocast(v.device):
        wide_v, q, k, log_decay, S = widen(v, q, k, log_decay, initial)
        if S is None:
            S = k.new_zeros(*v.shape[:-2], heads, k.shape[-1] // heads, v.shape[-1] // heads)
        outputs = []
        for q_, k_, v_, log_alpha in chunks([q, k, wide_v, log_decay], heads, LENGTH, reverse):  # (*batch, heads, L, D)
            before = torch.exp(log_alpha.cumsum(-2))  # (*batch, heads, L, K)
            outputs.append(_scores(q_, k_, log_alpha) @ v_ + (q_ * before) @ S)
            S = before[..., -1, :, None] * S + (k_ * torch.exp(_sums_after(log_alpha))).mT @ v_
        return laid_out_like(joined(outputs, reverse), v), S


def _scores(q: Tensor, k: Tensor, log_alpha: Tensor) -> Tensor:
    """q[t] . (k[s] decayed from s to t) for s <= t, (..., L, L), of (..., L, K)."""
    length = q.shape[-2]
    missing = (1 << (length - 1).bit_length()) - length
    q, k, log_alpha = (F.pad(each, (0, 0, 0, missing)) for each in (q, k, log_alpha))
    scores = (q * k).sum(-1)[..., None, None]  # (..., blocks, size, size), blocks of one step
    while scores.shape[-3] > 1:
        halves = (scores.shape[-3] // 2, 2, scores.shape[-1])
        (_, late_q), (early_k, _), (early, late) = (each.unflatten(-2, halves).unbind(-3) for each in (q, k, log_alpha))
        across = (late_q * torch.exp(late.cumsum(-2))) @ (early_k * torch.exp(_sums_after(early))).mT
        first, second = scores.unflatten(-3, halves[:2]).unbind(-3)
        scores = torch.cat((F.pad(first, (0, halves[2])), torch.cat((across, second), -1)), -2)
    return scores[..., 0, :length, :length]


def _sums_after(x: Tensor) -> Tensor:
    """Sums over the steps behind each step, of (..., T, D)."""
    return F.pad(x[..., 1:, :], (0, 0, 0, 1)).flip(-2).cumsum(-2).flip(-2)
