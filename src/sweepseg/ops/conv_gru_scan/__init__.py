"""The row-wise convolutional gated recurrent unit (ConvGRU) over a map."""

from torch import Tensor

from .. import _native
from .._dispatch import Backend, choose
from . import _cpu, _reference
from ._rows import check_rows

BACKENDS = {
    "cpu": Backend(_cpu.scan, devices=("cpu",), problem=_native.problem_with("sweepseg_conv_gru_scan_float")),
    "reference": Backend(_reference.scan),
}


def conv_gru_scan(
    x: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor | None = None,
    bias_hh: Tensor | None = None,
    initial: Tensor | None = None,
    *,
    reset_after: bool = True,
    reverse: bool = False,
    backend: str | None = None,
) -> tuple[Tensor, Tensor]:
    """Run a GRU over the rows of a map: its state is a whole row, its product with the state a convolution along it.

    Gates and their order (reset, update, candidate) are those of torch.nn.GRU. Each pixel sees itself and, in each row
    before, K // 2 more pixels to both sides than in the row after it. Over columns instead of rows run the transposed
    view ``x.mT``.

    Source: Ballas et al. 2016, "Delving Deeper into Convolutional Networks for Learning Video Representations",
    arXiv:1511.06432 (GRU-RCN: reset before the product; z keeps the old state here), along the rows as in van den Oord
    et al. 2016, "Pixel Recurrent Neural Networks", arXiv:1601.06759, section 3.1; cuDNN's variant (reset after it).

    Args:
        x: (*batch, C, H, W) with one or two batch dimensions of any stride, best channels-last in memory.
        weight_ih: (3 hidden, C).
        weight_hh: (3 hidden, hidden, K) as in torch.nn.Conv1d, with an odd K; outside of the row the state is 0.
        bias_ih: (3 hidden,).
        bias_hh: (3 hidden,).
        initial: The row before the first row that is run, (*batch, hidden, W). Default: zeros.
        reset_after: Apply the reset gate after the candidate's product with the state, not before.
        reverse: Run from the last row to the first.
        backend: A key of ``BACKENDS``. Default: see `sweepseg.ops.use_backend`.

    Returns:
        The states (*batch, hidden, H, W), in dtype and memory order of ``x``, and the last row (*batch, hidden, W) that
        was run, in float32 or, for float64 input, float64.

    Raises:
        ValueError: Shapes do not fit, the map has no row or no column, or the backend cannot run.

    >>> import torch
    >>> output, final = conv_gru_scan(torch.ones(1, 2, 3, 4), torch.ones(15, 2), torch.zeros(15, 5, 3))
    >>> output.shape, torch.equal(final, output[..., -1, :])
    (torch.Size([1, 5, 3, 4]), True)
    """
    check_rows(
        "conv_gru_scan",
        3,
        x,
        weight_ih,
        weight_hh,
        biases={"bias_ih": bias_ih, "bias_hh": bias_hh},
        states={"initial": initial},
    )
    scan = choose(BACKENDS, backend, x.device)
    return scan(x, weight_ih, weight_hh, bias_ih, bias_hh, initial, reset_after, reverse)
