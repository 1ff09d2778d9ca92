"""The two-dimensional long short-term memory (MDLSTM) over a whole map."""

from torch import Tensor

from .. import _native
from .._dispatch import Backend, choose
from .._sequences import check_shape
from .._triton import backend as triton_backend
from . import _cpu, _reference, _triton

BACKENDS = {
    "triton": triton_backend(_triton.scan, lacks=(_triton.WIDE,)),
    "cpu": Backend(_cpu.scan, devices=("cpu",), problem=_native.problem_with("sweepseg_md_lstm_scan_leftwards_float")),
    "reference": Backend(_reference.scan),
}


def md_lstm_scan(
    x: Tensor,
    weight_ih: Tensor,
    weight_above: Tensor,
    weight_left: Tensor,
    bias: Tensor | None = None,
    initial: tuple[Tensor, Tensor] | None = None,
    *,
    reverse: bool = False,
    leftwards: bool = False,
    backend: str | None = None,
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Run a two-dimensional LSTM over a map: each pixel sees the pixel above and the one on its left.

    Gates are input, forget for the pixel above, forget for the left one, candidate, output. The state c can grow along
    a map as far as the two forget gates together exceed 1. With ``reverse`` and ``leftwards`` the run starts in another
    corner, and above and left are meant as seen from there.

    Source: Graves, Fernandez & Schmidhuber 2007, "Multi-Dimensional Recurrent Neural Networks", arXiv:0705.2011,
    section 3, without peepholes.

    Args:
        x: (*batch, C, H, W) with one or two batch dimensions of any stride.
        weight_ih: (5 hidden, C).
        weight_above: (5 hidden, hidden).
        weight_left: (5 hidden, hidden).
        bias: (5 hidden,).
        initial: States (h, c) of the row before the first row that is run, both (*batch, hidden, W). Default: zeros.
        reverse: Run from the last row to the first.
        leftwards: Run from the last column to the first.
        backend: A key of ``BACKENDS``. Default: see `sweepseg.ops.use_backend`.

    Returns:
        The states h (*batch, hidden, H, W), in dtype and memory order of ``x``, and the states (h, c), both
        (*batch, hidden, W), of the last row that was run, in float32 or, for float64 input, float64.

    Raises:
        ValueError: Shapes do not fit, the map has no row or no column, or the backend cannot run.

    >>> import torch
    >>> output, (h, c) = md_lstm_scan(torch.ones(1, 2, 3, 4), *(torch.ones(25, n) for n in (2, 5, 5)))
    >>> output.shape, torch.equal(h, output[..., -1, :]), c.shape
    (torch.Size([1, 5, 3, 4]), True, torch.Size([1, 5, 4]))
    """
    shape = tuple(x.shape)
    if len(shape) not in (4, 5):
        raise ValueError(f"md_lstm_scan got a map of shape {shape}; give (B, C, H, W)")
    if 0 in shape[-2:]:
        raise ValueError(f"md_lstm_scan got a map of 0 steps, shape {shape}; give at least one row and one column")
    hidden = weight_above.shape[-1]
    check_shape("md_lstm_scan", "weight_above", weight_above, (5 * hidden, hidden))
    check_shape("md_lstm_scan", "weight_left", weight_left, (5 * hidden, hidden))
    check_shape("md_lstm_scan", "weight_ih", weight_ih, (5 * hidden, x.shape[-3]))
    check_shape("md_lstm_scan", "bias", bias, (5 * hidden,))
    for name, state in zip(("initial h", "initial c"), initial or (), strict=False):
        check_shape("md_lstm_scan", name, state, (*shape[:-3], hidden, shape[-1]))
    scan = choose(BACKENDS, backend, x.device, [_triton.WIDE] if hidden > _triton.HIDDEN else [])
    return scan(x, weight_ih, weight_above, weight_left, bias, initial, reverse, leftwards)
