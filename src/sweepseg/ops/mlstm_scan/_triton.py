"""The LSTM with a matrix memory on GPUs."""

import torch
from torch import Tensor

from .._memory import laid_out_like
from .._sequences import no_autocast
from ._matrix_memory import MatrixMemory
from ._reference import State, prepare

_mlstm_scan = MatrixMemory("mlstm_scan", __package__, ("q", "k", "v", "log_i", "log_f"), ("C", "n", "m"), length=32)


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
        wide, state = prepare(q, k, v, input_gate, forget_gate, initial)
    h, (C, n, m) = _mlstm_scan(wide, state, reverse)
    if m.requires_grad:  # C and n are the memory proper over exp(m), and the operation takes m for a constant in them
        one = torch.exp(m.detach() - m)
        C, n = C * one[..., None, None], n * one[..., None]
    return laid_out_like(h, v), (C, n, m)
