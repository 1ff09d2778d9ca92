"""Gated linear attention as a plain loop differentiated by autograd, in the letters of the paper.

S[t] = diag(alpha[t]) S[t-1] + k[t] v[t]^T            alpha = exp(log_decay)
o[t] = S[t]^T q[t]
"""

import torch
from torch import Tensor

from .._sequences import no_autocast, stack_steps, steps, widen


def scan(
    q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor, initial: Tensor | None, heads: int, reverse: bool
) -> tuple[Tensor, Tensor]:
    """The definition of `gla_scan`; same arguments, already checked."""
    with no_autocast(v.device):
        wide_v, q, k, log_decay, S = widen(v, q, k, log_decay, initial)
        outputs = []
        for each in zip(*(steps(each, reverse) for each in (q, k, wide_v, log_decay)), strict=True):
            q_t, k_t, v_t, log_alpha = (step.unflatten(-1, (heads, -1)) for step in each)  # (*batch, heads, K or V)
            kv = k_t.unsqueeze(-1) * v_t.unsqueeze(-2)
            S = kv if S is None else torch.addcmul(kv, torch.exp(log_alpha).unsqueeze(-1), S)  # (*batch, heads, K, V)
            outputs.append((q_t.unsqueeze(-2) @ S).squeeze(-2).flatten(-2))
        return stack_steps(outputs, v, reverse), S
