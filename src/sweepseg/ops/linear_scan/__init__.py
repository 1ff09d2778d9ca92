"""The diagonal linear recurrence h[t] = decay[t] * h[t-1] + update[t]."""

from torch import Tensor

from .. import _native
from .._dispatch import Backend, choose
from .._sequences import check_sequence, check_shape
from .._triton import backend as triton_backend
from . import _cpu, _reference, _triton

BACKENDS = {
    "triton": triton_backend(_triton.scan),
    "cpu": Backend(_cpu.scan, devices=("cpu",), problem=_native.problem_with("sweepseg_linear_scan_float")),
    "reference": Backend(_reference.scan),
}


def linear_scan(
    decay: Tensor,
    update: Tensor,
    initial: Tensor | None = None,
    *,
    reverse: bool = False,
    backend: str | None = None,
) -> tuple[Tensor, Tensor]:
    """Run h[t] = decay[t] * h[t-1] + update[t] along the steps, every channel on its own.

    Source: Martin & Cundy 2018, "Parallelizing Linear Recurrent Neural Nets Over Sequence Length", arXiv:1709.04057.

    Args:
        decay: (*batch, T, C) with one or two batch dimensions of any stride; usually in [0, 1].
        update: (*batch, T, C).
        initial: State before the first step that is run, (*batch, C). Default: zeros.
        reverse: Run from the last step to the first.
        backend: A key of ``BACKENDS``. Default: see `sweepseg.ops.use_backend`.

    Returns:
        The states (*batch, T, C), in dtype and memory order of ``update``, and the state (*batch, C) after the last
        step that was run, in float32 or, for float64 input, float64.

    Raises:
        ValueError: Shapes do not fit, the sequence has no step, or the backend cannot run.

    >>> import torch
    >>> output, final = linear_scan(torch.tensor([[[0.5], [0.5], [0.5]]]), torch.ones(1, 3, 1))
    >>> output.flatten().tolist(), final.item()
    ([1.0, 1.5, 1.75], 1.75)
    """
    check_sequence("linear_scan", update)
    check_shape("linear_scan", "decay", decay, update.shape)
    check_shape("linear_scan", "initial", initial, (*update.shape[:-2], update.shape[-1]))
    return choose(BACKENDS, backend, update.device)(decay, update, initial, reverse)
