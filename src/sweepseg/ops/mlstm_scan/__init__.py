"""The LSTM with a matrix memory (mLSTM) of xLSTM over a whole sequence."""

from torch import Tensor

from .._dispatch import Backend, choose
from .._sequences import check_sequence, check_shape
from .._triton import backend as triton_backend
from . import _chunked, _reference, _triton
from ._matrix_memory import KEYS, WIDE

BACKENDS = {
    "triton": triton_backend(_triton.scan, lacks=(WIDE,)),
    "chunked": Backend(_chunked.scan),
    "reference": Backend(_reference.scan),
}


def mlstm_scan(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    input_gate: Tensor,
    forget_gate: Tensor,
    initial: tuple[Tensor, Tensor, Tensor] | None = None,
    *,
    reverse: bool = False,
    backend: str | None = None,
) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
    """Run C[t] = f C[t-1] + i k[t] v[t]^T, n[t] = f n[t-1] + i k[t], h[t] = C^T q / max(|n^T q|, 1) along the steps.

    Each head has memories C and n of its own, an input gate i = exp(input_gate) and a forget gate
    f = sigmoid(forget_gate). They are kept scaled by exp(-m), so that no exponential overflows.

    Source: Beck et al. 2024, "xLSTM: Extended Long Short-Term Memory", arXiv:2405.04517, equations 19 to 27 and the
    stabiliser of equations 15 to 17. Keys are used as they come: the paper's 1 / sqrt(K) is the caller's.

    Args:
        q: Queries (*batch, T, heads * K) with one or two batch dimensions of any stride.
        k: Keys (*batch, T, heads * K).
        v: Values (*batch, T, heads * V).
        input_gate: (*batch, T, heads), before its exponential.
        forget_gate: (*batch, T, heads), before its sigmoid.
        initial: States (C, n, m) before the first step that is run: (*batch, heads, K, V), (*batch, heads, K) and
            (*batch, heads). Default: zeros.
        reverse: Run from the last step to the first.
        backend: A key of ``BACKENDS``. Default: see `sweepseg.ops.use_backend`.

    Returns:
        The outputs h (*batch, T, heads * V), in dtype and memory order of ``v``, and the states (C, n, m) after the
        last step that was run, in float32 or, for float64 input, float64. The memory proper is C exp(m) and n exp(m).

    Raises:
        ValueError: Shapes do not fit, the sequence has no step, or the backend cannot run.

    >>> import torch
    >>> one, open_ = torch.ones(1, 3, 1), torch.full((1, 3, 1), 99.0)
    >>> mlstm_scan(one, one, torch.tensor([[[2.0], [4.0], [6.0]]]), 0 * one, open_)[0].flatten().tolist()
    [2.0, 3.0, 4.0]
    """
    check_sequence("mlstm_scan", v)
    steps, heads, keys, values = v.shape[:-1], input_gate.shape[-1], q.shape[-1], v.shape[-1]
    if heads == 0 or keys % heads or values % heads:
        raise ValueError(
            f"mlstm_scan got {keys} channels of q and {values} of v for {heads} heads; give multiples of the heads"
        )
    check_shape("mlstm_scan", "q", q, (*steps, keys))
    check_shape("mlstm_scan", "k", k, (*steps, keys))
    check_shape("mlstm_scan", "input_gate", input_gate, (*steps, heads))
    check_shape("mlstm_scan", "forget_gate", forget_gate, (*steps, heads))
    memory = (*v.shape[:-2], heads)
    sizes = {"C": (keys // heads, values // heads), "n": (keys // heads,), "m": ()}
    for (name, size), state in zip(sizes.items(), initial or (), strict=False):
        check_shape("mlstm_scan", f"initial {name}", state, (*memory, *size))
    options = [WIDE] if keys // heads > KEYS else []
    return choose(BACKENDS, backend, v.device, options)(q, k, v, input_gate, forget_gate, initial, reverse)
