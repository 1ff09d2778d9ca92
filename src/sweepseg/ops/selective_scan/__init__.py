"""The selective state space model (S6) of Mamba over a whole sequence."""

from torch import Tensor

from .. import _native
from .._dispatch import Backend, choose
from .._sequences import check_sequence, check_shape
from .._triton import backend as triton_backend
from . import _cpu, _reference, _triton

BACKENDS = {
    "triton": triton_backend(_triton.scan),
    "cpu": Backend(_cpu.scan, devices=("cpu",), problem=_native.problem_with("sweepseg_selective_scan_float")),
    "reference": Backend(_reference.scan),
}


def selective_scan(
    x: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    initial: Tensor | None = None,
    *,
    reverse: bool = False,
    backend: str | None = None,
) -> tuple[Tensor, Tensor]:
    """Run h[t] = exp(delta[t] A) h[t-1] + delta[t] B[t] x[t], y[t] = C[t] h[t] + D x[t], each channel with N states.

    Source: Gu & Dao 2023, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces", arXiv:2312.00752,
    algorithm 2, in its letters; A is discretised by zero-order hold and B by Euler's step, as in the authors' code.

    Args:
        x: (*batch, T, channels) with one or two batch dimensions of any stride.
        delta: Step sizes (*batch, T, channels), at least 0.
        A: (channels, N), usually below 0.
        B: (*batch, T, N).
        C: (*batch, T, N).
        D: (channels,). Default: zeros.
        initial: State before the first step that is run, (*batch, channels, N). Default: zeros.
        reverse: Run from the last step to the first.
        backend: A key of ``BACKENDS``. Default: see `sweepseg.ops.use_backend`.

    Returns:
        The outputs y (*batch, T, channels), in dtype and memory order of ``x``, and the state (*batch, channels, N)
        after the last step that was run, in float32 or, for float64 input, float64.

    Raises:
        ValueError: Shapes do not fit, the sequence has no step, or the backend cannot run.

    >>> import torch
    >>> x, one = torch.ones(1, 3, 1), torch.ones(1, 1)
    >>> output, final = selective_scan(x, x, 0 * one, x, 2 * x)
    >>> output.flatten().tolist(), final.item()
    ([2.0, 4.0, 6.0], 3.0)
    """
    check_sequence("selective_scan", x)
    channels = x.shape[-1]
    check_shape("selective_scan", "delta", delta, x.shape)
    check_shape("selective_scan", "A", A, (channels, A.shape[-1]))
    check_shape("selective_scan", "B", B, (*x.shape[:-1], A.shape[-1]))
    check_shape("selective_scan", "C", C, (*x.shape[:-1], A.shape[-1]))
    check_shape("selective_scan", "D", D, (channels,))
    check_shape("selective_scan", "initial", initial, (*x.shape[:-2], channels, A.shape[-1]))
    return choose(BACKENDS, backend, x.device)(x, delta, A, B, C, D, initial, reverse)
