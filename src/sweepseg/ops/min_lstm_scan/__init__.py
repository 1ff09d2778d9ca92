"""The MinLSTM recurrence over a whole sequence of gates that were computed before."""

from torch import Tensor

from .. import _native
from .._dispatch import Backend, choose
from .._sequences import check_gates, check_shape
from .._triton import backend as triton_backend
from . import _cpu, _reference, _triton

BACKENDS = {
    "triton": triton_backend(_triton.scan),
    "cpu": Backend(_cpu.scan, devices=("cpu",), problem=_native.problem_with("sweepseg_min_lstm_scan_float")),
    "reference": Backend(_reference.scan),
}


def min_lstm_scan(
    gates: Tensor, initial: Tensor | None = None, *, reverse: bool = False, backend: str | None = None
) -> tuple[Tensor, Tensor]:
    """Run h[t] = f'[t] * h[t-1] + i'[t] * candidate[t], f' = f / (f + i), i' = i / (f + i), along the steps.

    f and i are the sigmoids of forget and input gate.

    Source: Feng et al. 2024, "Were RNNs All We Needed?", arXiv:2410.01201, section 3.2.

    Args:
        gates: (*batch, T, 3 H) with one or two batch dimensions of any stride: input gate and forget gate before their
            sigmoids, then candidate, as one matrix product leaves them.
        initial: State before the first step that is run, (*batch, H). Default: zeros.
        reverse: Run from the last step to the first.
        backend: A key of ``BACKENDS``. Default: see `sweepseg.ops.use_backend`.

    Returns:
        The states (*batch, T, H), in dtype and memory order of ``gates``, and the state (*batch, H) after the last step
        that was run, in float32 or, for float64 input, float64.

    Raises:
        ValueError: Shapes do not fit, the sequence has no step, or the backend cannot run.

    >>> import torch
    >>> equal, candidate = torch.zeros(1, 3, 2), torch.full((1, 3, 1), 4.0)
    >>> output, final = min_lstm_scan(torch.cat((equal, candidate), dim=-1))
    >>> output.flatten().tolist(), final.item()
    ([2.0, 3.0, 3.5], 3.5)
    """
    hidden_size = check_gates("min_lstm_scan", gates, 3)
    check_shape("min_lstm_scan", "initial", initial, (*gates.shape[:-2], hidden_size))
    return choose(BACKENDS, backend, gates.device)(gates, initial, reverse)
