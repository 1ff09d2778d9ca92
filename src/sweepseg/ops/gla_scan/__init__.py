"""Gated linear attention (GLA) over a whole sequence."""

from torch import Tensor

from .._dispatch import Backend, choose
from .._sequences import check_sequence, check_shape
from .._triton import backend as triton_backend
from ..mlstm_scan._matrix_memory import KEYS, WIDE
from . import _chunked, _reference, _triton

BACKENDS = {
    "triton": triton_backend(_triton.scan, lacks=(WIDE,)),
    "chunked": Backend(_chunked.scan),
    "reference": Backend(_reference.scan),
}


def gla_scan(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor,
    initial: Tensor | None = None,
    *,
    heads: int = 1,
    reverse: bool = False,
    backend: str | None = None,
) -> tuple[Tensor, Tensor]:
    """Run S[t] = diag(exp(log_decay[t])) S[t-1] + k[t] v[t]^T, o[t] = S[t]^T q[t] along the steps, in each head.

    Source: Yang et al. 2023, "Gated Linear Attention Transformers with Hardware-Efficient Training", arXiv:2312.06635,
    equation 3. Queries and keys are used as they come: a scale 1 / sqrt(K) is the caller's.

    Args:
        q: Queries (*batch, T, heads * K) with one or two batch dimensions of any stride.
        k: Keys (*batch, T, heads * K).
        v: Values (*batch, T, heads * V).
        log_decay: Logarithms of the decays, (*batch, T, heads * K), at most 0; -inf forgets all.
        initial: State S before the first step that is run, (*batch, heads, K, V). Default: zeros.
        heads: Number of heads.
        reverse: Run from the last step to the first.
        backend: A key of ``BACKENDS``. Default: see `sweepseg.ops.use_backend`.

    Returns:
        The outputs o (*batch, T, heads * V), in dtype and memory order of ``v``, and the state S (*batch, heads, K, V)
        after the last step that was run, in float32 or, for float64 input, float64.

    Raises:
        ValueError: Shapes do not fit, the sequence has no step, or the backend cannot run.

    >>> import torch
    >>> one = torch.ones(1, 3, 1)
    >>> gla_scan(one, one, one, 0 * one)[0].flatten().tolist()
    [1.0, 2.0, 3.0]
    """
    check_sequence("gla_scan", v)
    keys, values = q.shape[-1], v.shape[-1]
    if heads < 1 or keys % heads or values % heads:
        raise ValueError(
            f"gla_scan got {keys} channels of q and {values} of v for {heads} heads; give multiples of the heads"
        )
    for name, sequence in (("q", q), ("k", k), ("log_decay", log_decay)):
        check_shape("gla_scan", name, sequence, (*v.shape[:-1], keys))
    check_shape("gla_scan", "initial", initial, (*v.shape[:-2], heads, keys // heads, values // heads))
    options = [WIDE] if keys // heads > KEYS else []
    return choose(BACKENDS, backend, v.device, options)(q, k, v, log_decay, initial, heads, reverse)
