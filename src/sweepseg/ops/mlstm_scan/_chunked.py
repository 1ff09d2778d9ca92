"""The LSTM with a matrix memory in chunks of steps: matrix products inside a chunk, the state from chunk to chunk.

Time and memory grow linearly with the steps. m[t] of the reference in closed form is the greatest of 0, the logarithm
of the weight with which each k[s] v[s]^T of the chunk counts at t, and that of the state before the chunk.
"""

import torch
from torch import Tensor

from .._chunks import chunks, joined, segment_sums
from .._memory import laid_out_like
from .._sequences import no_autocast
from ._reference import State, prepare

LENGTH = 64  # steps of a chunk


def scan(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    input_gate: Tensor,
    forget_gate: Tensor,
    initial: State | None,
    reverse: bool,
) -> tuple[Tensor, State]:
    """Same arguments and result as the reference."""
    with no_autocast(v.device):
        wide, (C, n, m) = prepare(q, k, v, input_gate, forget_gate, initial)
        outputs = []
        for q_, k_, v_, log_i, log_f in chunks(wide, input_gate.shape[-1], LENGTH, reverse):  # (*batch, heads, L, D)
            log_inner = segment_sums(log_f).squeeze(-1) + log_i.mT  # (*batch, heads, L, L), step s at step t
            log_before = log_f.cumsum(-2) + m[..., None, None]  # (*batch, heads, L, 1), the state at step t
            top = torch.maximum(log_inner.amax(-1, keepdim=True), log_before).clamp_min(0)  # m[t]
            inner, before = torch.exp(log_inner - top), torch.exp(log_before - top)
            scores = (q_ @ k_.mT) * inner
            size = scores.sum(-1, keepdim=True) + before * (q_ @ n.unsqueeze(-1))
            h = (scores @ v_ + before * (q_ @ C)) / torch.maximum(size.abs(), torch.exp(-top))
            outputs.append(h)
            k_last = k_ * inner[..., -1, :, None]
            C = before[..., -1:, :] * C + k_last.mT @ v_
            n = before[..., -1, :] * n + k_last.sum(-2)
            m = top[..., -1, 0]
        return laid_out_like(joined(outputs, reverse), v), (C, n, m)
