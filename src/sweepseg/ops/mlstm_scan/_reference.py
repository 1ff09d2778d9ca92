"""The LSTM with a matrix memory, one step after the other, in the letters of xLSTM.

m[t] = max(log f[t] + m[t-1], log i[t], 0)            log i = input_gate, f = sigmoid(forget_gate)
i'[t] = exp(log i[t] - m[t])
f'[t] = exp(log f[t] + m[t-1] - m[t])
C[t] = f'[t] C[t-1] + i'[t] k[t] v[t]^T
n[t] = f'[t] n[t-1] + i'[t] k[t]
h[t] = C[t]^T q[t] / max(|n[t]^T q[t]|, exp(-m[t]))

h does not depend on m, which only keeps the exponentials in range: the memory proper is C exp(m), and the denominator
stands for max(|n^T q|, 1) of the memory proper. The 0 under the maximum keeps exp(-m) from overflowing; below it
nothing has to be scaled up, because the denominator is 1 there.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from .._sequences import no_autocast, stack_steps, steps, widen

State = tuple[Tensor, Tensor, Tensor]


def scan(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    input_gate: Tensor,
    forget_gate: Tensor,
    initial: State | None,
    reverse: bool,
) -> tuple[Tensor, State]:
    """The definition of `mlstm_scan`; same arguments, already checked."""
    heads = input_gate.shape[-1]
    with no_autocast(v.device):
        wide, (C, n, m) = prepare(q, k, v, input_gate, forget_gate, initial)
        outputs = []
        for q_t, k_t, v_t, log_i, log_f in zip(*(steps(each, reverse) for each in wide), strict=True):
            q_t, k_t, v_t = (each.unflatten(-1, (heads, -1)) for each in (q_t, k_t, v_t))  # (*batch, heads, K or V)
            previous, m = m, torch.maximum(log_f + m, log_i).clamp_min(0)  # (*batch, heads)
            i, f = torch.exp(log_i - m).unsqueeze(-1), torch.exp(log_f + previous - m).unsqueeze(-1)
            C = f.unsqueeze(-1) * C + (i * k_t).unsqueeze(-1) * v_t.unsqueeze(-2)  # (*batch, heads, K, V)
            n = f * n + i * k_t  # (*batch, heads, K)
            size = torch.maximum((n * q_t).sum(-1).abs(), torch.exp(-m))
            h = (q_t.unsqueeze(-2) @ C).squeeze(-2) / size.unsqueeze(-1)
            outputs.append(h.flatten(-2))
        return stack_steps(outputs, v, reverse), (C, n, m)


def prepare(
    q: Tensor, k: Tensor, v: Tensor, input_gate: Tensor, forget_gate: Tensor, initial: State | None
) -> tuple[list[Tensor], State]:
    """The wide sequences q, k, v, log i and log f, and the wide state before the first step."""
    heads = input_gate.shape[-1]
    _, *wide = widen(v, q, k, v, input_gate, forget_gate)
    wide[-1] = F.logsigmoid(wide[-1])
    if initial is not None:
        C, n, m = widen(v, *initial)[1:]
        return wide, (C, n, m)
    size, batch = q.shape[-1] // heads, v.shape[:-2]
    zero = wide[0].new_zeros
    return wide, (zero(*batch, heads, size, v.shape[-1] // heads), zero(*batch, heads, size), zero(*batch, heads))
