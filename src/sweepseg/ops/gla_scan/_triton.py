"""Gated linear attention on GPUs."""

from torch import Tensor

from .._memory import laid_out_like
from .._sequences import widen
from ..mlstm_scan._matrix_memory import MatrixMemory

_gla_scan = MatrixMemory("gla_scan", __package__, ("q", "k", "v", "log_decay"), ("S",), length=16)


def scan(
    q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor, initial: Tensor | None, heads: int, reverse: bool
) -> tuple[Tensor, Tensor]:
    """Same arguments and result as the reference."""
    wide_v, q, k, log_decay, S = widen(v, q, k, log_decay, initial)
    if S is None:
        S = k.new_zeros(*v.shape[:-2], heads, k.shape[-1] // heads, v.shape[-1] // heads)
    o, (S,) = _gla_scan([q, k, wide_v, log_decay], [S], reverse)
    return laid_out_like(o, v), S
